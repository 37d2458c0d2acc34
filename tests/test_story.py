"""Two nodes that share nothing but a remote: one holds the lease, the other forwards, over git://."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest
from authority import Clock, time_passes
from servers import git_daemon
from support import git, run

from coordjournal import AliasSet, BindingMade, Journal, LeaseHeld, Queued
from coordjournal.decision import new_id
from coordjournal.space import Space

HOLDER = """
import sys
from coordjournal import Journal

garden = Journal.open(sys.argv[1]).space("garden")
with garden.lease(holder="node-a", ttl=int(sys.argv[2])) as lease:
    print(f"holds term {lease.term}", flush=True)
    for landed in lease.serve(lambda intent, _: "not here" if intent.decision.actor == "mallory" else None, poll=0.02):
        print(landed.decision.type, flush=True)
"""


@pytest.fixture
def wiki(bare: Callable[..., Path]) -> Iterator[tuple[Path, str]]:
    """A repository that takes leases of a few seconds, and its URL."""
    path = bare("wiki.git")
    git(path, "config", "coordjournal.clockSkew", "1")
    run(sys.executable, "-m", "coordjournal", "install", path)
    with git_daemon(path.parent) as url:
        yield path, f"{url}/wiki.git"


@contextmanager
def holder(clone: Path, ttl: int) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease and serves the inbox."""
    words = [sys.executable, "-c", HOLDER, str(clone), str(ttl)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_one_holds_the_lease_and_the_other_forwards(
    wiki: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, url = wiki
    Journal.clone(url, tmp_path / "a").close()
    with Journal.clone(url, tmp_path / "b", appender="node-b") as journal:
        garden = journal.space("garden")
        garden.append(AliasSet("Home", "shardA:Index"), actor="bob")
        with holder(tmp_path / "a", 300) as process:
            assert told(process) == "holds term 1"
            with pytest.raises(LeaseHeld):
                garden.lease(holder="node-b", ttl=300)

            forwarded = forward(garden, "bob")
            assert told(process) == "alias-set"
            assert (garden.wait(forwarded).lease or "").startswith("node-a/")

            let_go = forward(garden, "mallory")
            assert told(process) == "intent-refused"
            assert garden.whereabouts(let_go).reason == "not here"
            journal.sync()  # the clone notes it too

            process.kill()
            process.wait()
            waits = forward(garden, "bob")
            assert garden.whereabouts(waits).place == "inbox"
        time_passes(path, Clock(monkeypatch), 301)
        # Nobody serves it any more: it lands once the lease has ended, asked for by whoever waits.
        landed = garden.wait(waits, timeout=30)
        assert landed.lease == "-; term=1"

        with garden.lease(holder="node-b", ttl=300) as lease:
            assert lease.term == 2
            bound = garden.append(BindingMade(["shardA:Index", "shardB:Home"]), actor="bob")
            assert bound.lease is not None and bound.lease.startswith("node-b/")
        landed = garden.append(AliasSet("Home", "shardB:Home"), actor="bob", expect=garden.last_seq())
        assert landed.lease == "-; term=2"
        assert not garden.inbox()
        assert journal.outbox is not None
        assert [entry.state for entry in journal.outbox.entries()] == ["rejected"]
    subjects = git(path, "log", "--reverse", "--format=%s", "refs/spaces/garden").splitlines()
    kinds = [kind for kind, _ in groupby(subject.partition(":")[0] for subject in subjects)]
    while "lease-acquired" in kinds[2:]:  # how often a holder renews its lease is a matter of time
        kinds.pop(kinds.index("lease-acquired", 2))
    kinds = [kind for kind, _ in groupby(kinds)]
    assert kinds == [
        *("alias-set", "lease-acquired", "alias-set", "intent-refused", "alias-set"),
        *("binding-made", "lease-released", "alias-set"),
    ]
    assert "lawful" in run(sys.executable, "-m", "coordjournal", "verify", path).stdout


def forward(garden: Space, actor: str) -> str:
    """Appends what somebody else's lease keeps out for now; its id."""
    id = new_id()
    with pytest.raises(Queued) as queued:
        garden.append(AliasSet(f"n{time.monotonic_ns()}", "shardB:Home"), actor=actor, id=id)
    assert queued.value.place == "inbox"
    return id
