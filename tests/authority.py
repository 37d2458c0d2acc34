"""What the tests of leases, inbox and outbox share: servers of every kind, a clock to move, a remote to cut off."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support import git, run

import coordjournal
from coordjournal import Journal, LeaseAcquired, decision, descriptor, lease, verify
from coordjournal.remote import Remote

ROOT = str(Path(coordjournal.__file__).parent.parent)


def configure(path: Path, **values: object) -> Path:
    """Sets ``coordjournal.*`` of a server and tells its clients."""
    for key, value in values.items():
        git(path, "config", f"coordjournal.{key}", str(value))
    publish(path)
    return path


def publish(path: Path) -> None:
    """Tells the clients of a server what it offers."""
    with Journal.open(path) as server:
        descriptor.publish(server.store)  # type: ignore[arg-type]


def without_sequencing(path: Path) -> Path:
    """Turns the sequencer of a server off, as its administrator would."""
    git(path, "config", "--unset-all", "receive.procReceiveRefs")
    publish(path)
    return path


def copied(path: Path, to: Path) -> Path:
    """A copy of a server's refs without its hooks and settings, as a mirror at some host is."""
    run("git", "init", "--quiet", "--bare", to)
    git(to, "fetch", "--quiet", str(path), "+refs/*:refs/*")
    return to


@contextmanager
def cut_off(path: Path) -> Iterator[None]:
    """Nobody reaches the server meanwhile."""
    away = path.with_name(path.name + ".away")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


def lose_answer(monkeypatch: pytest.MonkeyPatch, method: str, *, cut: bool = False) -> None:
    """The next push gets through, its answer does not. ``cut``: nor does any question after it, until monkeypatch
    undoes it."""
    told = getattr(Remote, method)

    def lossy(self: Remote, *arguments: Any) -> Any:
        monkeypatch.setattr(Remote, method, told)
        told(self, *arguments)
        if cut:
            for name in ("tips", method):
                monkeypatch.setattr(Remote, name, unreachable)
        raise coordjournal.RemoteUnreachable("the answer was lost")

    def unreachable(*_: Any) -> Any:
        raise coordjournal.RemoteUnreachable("cut off")

    monkeypatch.setattr(Remote, method, lossy)


class Clock:
    """The clock on the wall and the one that nobody sets, moved by so many seconds. In this process alone: the hooks
    of a server have the right time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = 0.0
        self.awake = 0.0
        wall, awake, at_text = time.time, lease._awake, decision.at_text
        monkeypatch.setattr(time, "time", lambda: wall() + self.wall)
        monkeypatch.setattr(lease, "_awake", lambda: awake() + self.awake)
        monkeypatch.setattr(
            "coordjournal.decision.at_text",
            lambda at: at_text(at, lambda: time.time_ns() + int(self.wall * 1e9)),
        )

    def go(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.awake += seconds


def time_passes(path: Path, clock: Clock, seconds: int) -> None:
    """Time passes here and for the hooks of a server."""
    for name in ("pre-receive", "proc-receive"):
        hook = path / "hooks" / name
        head, main, _ = hook.read_text().rpartition("\nmain()\n")
        ahead = (
            "import time\n_time, _time_ns = time.time, time.time_ns\n"
            f"time.time = lambda: _time() + {seconds}\ntime.time_ns = lambda: _time_ns() + {seconds} * 10**9\n"
        )
        hook.write_text(f"{head}\n{ahead}{main}")
    clock.go(seconds)


def lease_of_the_past(path: Path, clock: Clock, ago: float, ttl: int = 300, holder: str = "node-a") -> None:
    """Somebody has acquired the lease of the garden so many seconds ago, and was never heard of again."""
    before = clock.wall
    clock.wall = -ago
    with Journal.open(path) as server:
        server.space("garden").append(LeaseAcquired(holder, ttl), actor=holder)
    clock.wall = before


def soon() -> datetime:
    """The present, for a decision's ``at``."""
    return datetime.now(UTC)


def child(code: str, *arguments: object, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Python code with the package in another process."""
    words = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env=env)


def types(path: Path, space: str = "garden") -> list[str]:
    """The types of the decisions of a server's log, oldest first."""
    with Journal.open(path) as server:
        return [landed.decision.type for landed in server.space(space).log()]


def verified(path: Path) -> bool:
    """Whether every log of a server is lawful."""
    with Journal.open(path) as server:
        verdicts = list(verify.repository(server.store))  # type: ignore[arg-type]
    return bool(verdicts) and all(verdict.refusal is None for verdict in verdicts)
