"""The journal over every transport that git has, against real servers with the real hook."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import git_daemon, http_server, ssh_server
from support import git

from coordjournal import AliasSet, Journal, OverlayCreated, Refused, RemoteUnreachable

Bare = Callable[..., Path]
TRANSPORTS = ("file", "git", "http", "ssh")


@pytest.fixture(params=TRANSPORTS)
def served(
    request: pytest.FixtureRequest, bare: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, str]]:
    """A repository with hooks, and where a client finds it."""
    path = bare()
    if request.param == "file":
        yield path, f"file://{path}"
    elif request.param == "git":
        with git_daemon(tmp_path) as url:
            yield path, f"{url}/{path.name}"
    elif request.param == "http":
        with http_server(tmp_path) as server:
            yield path, f"{server.url}/{path.name}"
    else:
        with ssh_server(tmp_path, tmp_path / "keys") as (url, command):
            monkeypatch.setenv("GIT_SSH_COMMAND", command)
            yield path, f"{url}/{path.name}"


def test_the_main_job(served: tuple[Path, str], tmp_path: Path) -> None:
    path, url = served
    git(path, "config", "coordjournal.maxAttachmentBytes", "2m")
    with Journal.clone(url, tmp_path / "a") as a, Journal.clone(url, tmp_path / "b") as b:
        # The descriptor tells the clones what the server takes, but it is told in advance only: the limit is lower now,
        # and only the hook knows.
        git(path, "config", "coordjournal.maxAttachmentBytes", "1k")
        text = "word " * 1000
        with pytest.raises(Refused) as refused:
            a.space("garden").append(OverlayCreated("o1", "s:P", None, text), actor="alice")
        assert refused.value.code == "too-large"
        assert refused.value.place == "tree body"
        assert refused.value.ref == "refs/append/garden"
        assert refused.value.seq is None  # the server gives places only to what it takes
        assert "limit is 1024" in refused.value.what
        assert refused.value.remedy
        assert refused.value.incident in (path / "coordjournal" / "refusals.jsonl").read_text()
        git(path, "config", "coordjournal.maxAttachmentBytes", "2m")
        text = "word " * 200_000  # more than fits one HTTP request of git's that is not chunked
        landed = a.space("garden").append(OverlayCreated("o1", "s:P", None, text), actor="alice")

        together(
            lambda: [a.space("garden").append(AliasSet(f"a{i}", "s:A"), actor="alice") for i in range(2)],
            lambda: [b.space("garden").append(AliasSet(f"b{i}", "s:B"), actor="bob") for i in range(2)],
        )
        a.sync()
        b.sync()
        states = [journal.space("garden").state() for journal in (a, b)]
        with Journal.open(path) as server:
            states.append(server.space("garden").state())
        assert states[0].json() == states[1].json() == states[2].json()
        assert states[0].seq == 4
        assert set(states[0].aliases) == {"a0", "a1", "b0", "b1"}
        assert b.space("garden").body(landed) == text.encode()
        assert [change.landed.seq for change in b.changes()] == [0, 1, 2, 3, 4]


def together(*works: Callable[[], object]) -> None:
    """Does things at once, each in a thread of its own, and raises what one of them raised."""
    failed: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@pytest.mark.parametrize("scheme", TRANSPORTS)
def test_nobody_there(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -F none -o BatchMode=yes -o ConnectTimeout=1")
    host = "" if scheme == "file" else "127.0.0.1:1"
    with pytest.raises(RemoteUnreachable):
        Journal.clone(f"{scheme}://{host}{tmp_path}/nothing.git", tmp_path / "clone")
    assert list(tmp_path.iterdir()) == []


def test_a_reply_lost_over_http_is_no_lost_and_no_double_decision(bare: Bare, tmp_path: Path) -> None:
    path = bare()
    with http_server(tmp_path) as server, Journal.clone(f"{server.url}/{path.name}", tmp_path / "a") as journal:
        garden = journal.space("garden")
        server.lose_replies = 1
        landed = garden.append(AliasSet("Home", "s:P"), actor="alice")
        assert server.lose_replies == 0
        assert landed.commit == git(path, "rev-parse", "refs/spaces/garden")
        assert garden.append(AliasSet("Home", "s:Q"), actor="alice").seq == 1
