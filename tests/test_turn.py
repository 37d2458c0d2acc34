"""A turn at a space: one process at a time, and what is read in it is of that time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import decide, git, run

from coordjournal import turn as turn_module
from coordjournal.errors import GitFailed
from coordjournal.gitread import environment
from coordjournal.turn import Turn

ROOT = Path(turn_module.__file__).parent.parent


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    run("git", "init", "--quiet", "--bare", tmp_path / "server.git")
    (tmp_path / "server.git" / "coordjournal").mkdir()
    return tmp_path / "server.git"


@pytest.fixture
def turn(repository: Path) -> Iterator[Turn]:
    turn = at(repository)
    yield turn
    turn.end()


def at(repository: Path, space: str = "garden") -> Turn:
    return Turn(str(repository), environment(str(repository), dict(os.environ)), space)


def is_held(repository: Path, space: str = "garden") -> bool:
    """Whether another process finds the lock taken."""
    code = (
        "import fcntl, sys\n"
        "lock = open(sys.argv[1])\n"
        "try:\n    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError:\n    print('held')\n"
    )
    return run(sys.executable, "-c", code, repository / "coordjournal" / "locks" / space).stdout == "held\n"


def holder(repository: Path) -> subprocess.Popen[bytes]:
    """A process that takes its turn and ends it when its input ends. It says when it has opened a lock that it will
    wait for, and when it has its turn."""
    code = (
        "import os, sys\n"
        "from coordjournal.gitread import environment\n"
        "from coordjournal import turn\n"
        "hold = turn._hold\n"
        "turn._hold = lambda *lock: (print('opened', flush=True), hold(*lock))[1]\n"
        "turn = turn.Turn(sys.argv[1], environment(sys.argv[1], dict(os.environ)), 'garden')\n"
        "turn.begin()\n"
        "print('begun', flush=True)\n"
        "sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", code, str(repository)]
    return subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_a_free_space_is_taken_at_once_and_given_back(repository: Path, turn: Turn) -> None:
    turn.begin(wait=False)
    assert is_held(repository)
    turn.begin()  # it has it
    other = at(repository, "other")
    other.begin(wait=False)
    other.end()
    turn.end()
    turn.end()
    assert not is_held(repository)


def test_who_does_not_wait_goes_on_without_it(repository: Path, turn: Turn) -> None:
    turn.begin()
    second = at(repository)
    second.begin(wait=False)
    turn.end()
    assert not is_held(repository)
    second.begin()
    assert is_held(repository)
    second.end()


def test_what_is_read_is_of_the_time_of_the_turn(repository: Path, turn: Turn) -> None:
    """While it waited, others have moved the log and filed an intent; also what it reads again is not what it read."""
    first = at(repository)
    first.begin()
    turn.begin(wait=False)
    one = decide(repository)
    git(repository, "update-ref", "refs/spaces/garden", one)
    name = "refs/intents/garden/0000000000000007-x"
    git(repository, "update-ref", name, one)
    first.end()
    assert turn.refs() == (one, {"x": (name, one)})
    two = decide(repository, parent=one, seq=1)
    git(repository, "update-ref", "refs/spaces/garden", two)
    git(repository, "update-ref", "-d", name)
    assert turn.refs() == (two, {})


def test_only_its_own_refs_are_seen(repository: Path, turn: Turn) -> None:
    """Also not a branch whose name git would take for it."""
    one = decide(repository)
    for name in ("refs/heads/refs/spaces/garden", "refs/spaces/gardens", "refs/intents/gardens/1-x"):
        git(repository, "update-ref", name, one)
    assert turn.refs() == (None, {})


def test_the_lock_goes_with_the_process(repository: Path, turn: Turn) -> None:
    with holder(repository) as other:
        assert other.stdout is not None and other.stdout.readline() == b"opened\n"
        assert other.stdout.readline() == b"begun\n"
        turn.begin(wait=False)
        assert is_held(repository)
        other.send_signal(signal.SIGKILL)
    turn.begin()
    assert turn.refs() == (None, {})


def test_who_waited_for_a_lock_that_is_gone_takes_the_one_that_is_there(repository: Path, turn: Turn) -> None:
    """The lock of a space that has no log goes when nothing has landed: two would hold one otherwise."""
    turn.begin()
    assert turn.refs() == (None, {})
    with holder(repository) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == b"opened\n"
        turn.end(forget=True)
        assert other.stdout.readline() == b"opened\n"  # another one
        assert other.stdout.readline() == b"begun\n"
        assert is_held(repository)
        other.stdin.close()
    git(repository, "update-ref", "refs/spaces/garden", decide(repository))
    turn.begin(wait=False)
    assert is_held(repository)
    assert turn.refs()[0] is not None
    turn.end(forget=True)  # a log keeps its lock
    assert (repository / "coordjournal" / "locks" / "garden").exists()


def test_git_that_cannot_list_the_refs_is_told(repository: Path, turn: Turn) -> None:
    turn.begin()
    (repository / "HEAD").unlink()
    turn.end()
    with pytest.raises(GitFailed, match="for-each-ref"):
        turn.refs()
