"""What can go wrong on the way, over every transport that git has. What goes right is in test_servers.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from servers import http_server
from support import git

from coordjournal import AliasSet, Journal, RemoteUnreachable


@pytest.mark.parametrize("scheme", ["file", "git", "http", "ssh"])
def test_nobody_there(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -F none -o BatchMode=yes -o ConnectTimeout=1")
    host = "" if scheme == "file" else "127.0.0.1:1"
    with pytest.raises(RemoteUnreachable):
        Journal.clone(f"{scheme}://{host}{tmp_path}/nothing.git", tmp_path / "clone")
    assert list(tmp_path.iterdir()) == []


def test_a_reply_lost_over_http_is_no_lost_and_no_double_decision(bare: Callable[..., Path], tmp_path: Path) -> None:
    path = bare()
    with http_server(tmp_path) as server, Journal.clone(f"{server.url}/{path.name}", tmp_path / "a") as journal:
        garden = journal.space("garden")
        server.lose_replies = 1
        landed = garden.append(AliasSet("Home", "s:P"), actor="alice")
        assert server.lose_replies == 0
        assert landed.commit == git(path, "rev-parse", "refs/spaces/garden")
        assert garden.append(AliasSet("Home", "s:Q"), actor="alice").seq == 1
