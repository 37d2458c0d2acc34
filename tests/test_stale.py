"""Locks that a killed git has left behind, and those that somebody holds."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import decide, git, push

from coordjournal import AliasSet, GitFailed, Journal, install, stale


def lock(path: Path, age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_old_ones_go_and_young_ones_stay(tmp_path: Path) -> None:
    old, young = lock(tmp_path / "a.lock", stale.SECONDS + 1), lock(tmp_path / "b.lock", stale.SECONDS - 5)
    assert stale.remove([str(old), str(tmp_path / "none.lock"), str(young)])
    assert not old.exists()
    assert young.exists()
    assert not stale.remove([str(young)])


def test_one_whose_time_is_ahead_counts_from_now_on(tmp_path: Path) -> None:
    ahead = lock(tmp_path / "a.lock", -3600)  # the clock was set back since
    assert not stale.remove([str(ahead)])
    assert abs(ahead.stat().st_mtime - time.time()) < 5


def test_one_that_was_replaced_meanwhile_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two who have seen the same old lock: the slower one finds another there by then."""
    path = lock(tmp_path / "a.lock", stale.SECONDS + 1)
    stat, seen = os.stat, []

    def slow(name: str) -> os.stat_result:
        found = stat(name)
        if not seen:
            seen.append(name)
            path.unlink()
            path.touch()
        return found

    monkeypatch.setattr(stale.posix, "stat", slow)
    assert not stale.remove([str(path)])
    assert path.exists()
    os.utime(path, (0, 0))
    with held(path):  # somebody else is about to remove it
        assert not stale.remove([str(path)])
    assert stale.remove([str(path)])


@contextmanager
def held(path: Path) -> Iterator[None]:
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_what_cannot_be_removed_is_left(tmp_path: Path) -> None:
    (tmp_path / "folder.lock").mkdir()
    os.utime(tmp_path / "folder.lock", (0, 0))
    assert not stale.remove([str(tmp_path / "folder.lock")])


@pytest.mark.parametrize("name", ["coordjournal/origin/garden", "coordjournal-incoming/spaces/garden"])
def test_a_clone_gets_over_a_killed_git(bare: Callable[..., Path], tmp_path: Path, name: str) -> None:
    path = bare()
    with Journal.clone(str(path), tmp_path / "a") as a, Journal.clone(str(path), tmp_path / "b") as b:
        a.space("garden").append(AliasSet("Home", "s:P"), actor="alice")
        left = lock(tmp_path / "b" / ".git" / "refs" / f"{name}.lock", stale.SECONDS + 1)
        b.sync()
        assert not left.exists()
        assert b.space("garden").append(AliasSet("Home", "s:Q"), actor="bob").seq == 1
    assert git(path, "rev-list", "--count", "refs/spaces/garden") == "2"


def test_an_ordinary_push_gets_over_a_killed_receive_pack(bare: Callable[..., Path], tmp_path: Path) -> None:
    """git itself never removes the lock of a ref; without a sequencer nobody else comes by who could."""
    server, client = bare(), tmp_path / "client"
    git(tmp_path, "init", "--quiet", str(client))
    first = decide(client)
    left = lock(server / "refs" / "spaces" / "garden.lock", stale.SECONDS - 5)
    assert push(client, server, f"{first}:refs/spaces/garden").returncode  # somebody may still hold it
    assert left.exists()
    lock(left, stale.SECONDS + 1)
    outside = lock(server / "refs" / "heads" / "main.lock", stale.SECONDS + 1)
    done = push(client, server, f"{first}:refs/spaces/garden")
    assert done.returncode == 0, done.stderr
    assert not left.exists()
    assert outside.exists()
    assert git(server, "rev-parse", "refs/spaces/garden") == first


def test_an_installation_gets_over_a_killed_git_config(tmp_path: Path, prefix: str) -> None:
    server = tmp_path / "journal.git"
    git(tmp_path, "init", "--quiet", "--bare", str(server))
    left = lock(server / "config.lock", stale.SECONDS - 5)
    with pytest.raises(GitFailed, match="could not lock config file"):
        install.install(str(server), prefix=prefix)
    lock(left, stale.SECONDS + 1)
    install.install(str(server), prefix=prefix)
    assert not left.exists()
    assert [finding for finding in install.doctor(str(server)) if finding.level == "error"] == []
