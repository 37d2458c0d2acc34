"""One operation, killed at each of its points: what is there at once, what the next command does, and what heals it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coordjournal
from coordjournal import AliasSet, Journal, Queued, install, verify
from coordjournal.store import GitStore

from .operations import SPACE, Operation, template
from .tracing import Point, Tracer
from .worker import brought, intents

_ROOT = str(Path(coordjournal.__file__).parent.parent)
_WORKER = str(Path(__file__).parent / "worker.py")
_LATER = 120  # seconds; a lock that was left behind is removed after a minute
_ENTRY = re.compile(r'"id":"(?P<id>[0-9a-f-]{36})".*^Seq: (?P<seq>\d+)$', re.DOTALL | re.MULTILINE)
_PATIENCE = 15.0  # seconds until a lease that nobody holds any more must have ended


@dataclass
class Counts:
    """What a run came to: ``points`` by process, and what was found and said at them."""

    points: Counter[str] = field(default_factory=Counter)
    not_reached: int = 0
    locks_left: int = 0
    faults: list[str] = field(default_factory=list)


class Broken(Exception):
    """What should hold does not."""


class Killing:
    """The kills of one operation, in the folder ``place``, which must not be there yet."""

    def __init__(self, operation: Operation, place: Path, prefix: str) -> None:
        self.operation = operation
        self._run = place / "run"
        self._template = place / "template"
        place.mkdir()
        template(operation, self._run, prefix)
        self.asked: dict[str, Any] = json.loads((self._run / "asked.json").read_text())
        self._usual = self._findings() if operation.serves else set()
        self._run.rename(self._template)
        hooks = operation.name != "upgrade"  # which must find the hooks that it has installed
        self._tracer = Tracer(place / "tracer", self._run / "server.git", {"PYTHONPATH": _ROOT}, hooks)
        self._words = [sys.executable, "-B", _WORKER, str(self._run)]

    def points(self) -> list[Point]:
        """Every point of the operation, as an undisturbed run shows them; it is judged too."""
        self._again()
        done, points = self._tracer.trace(self._words)
        if done.returncode or "done" not in done.stdout:
            raise Broken(f"{self.operation.name} itself fails:\n{done.stdout}{done.stderr}")
        self._judge(done.stdout)
        return points

    def kill(self, points: Iterable[Point], counts: Counts, tell: Callable[[Point], None] = lambda _: None) -> None:
        """Kills at each of ``points`` and judges what comes of it; ``tell`` hears of each."""
        for point in points:
            tell(point)
            self._again()
            done, reached = self._tracer.kill(self._words, point)
            if not reached:
                counts.not_reached += 1
            else:
                counts.points[_kind(point)] += 1
            try:
                counts.locks_left += self._judge(done.stdout)
            except Exception as error:
                said = (done.stdout + done.stderr).strip().splitlines()[-1:]
                counts.faults.append(f"{self.operation.name}: {point}: {type(error).__name__}: {error}; {said}")

    def _again(self) -> None:
        shutil.rmtree(self._run, ignore_errors=True)
        shutil.copytree(self._template, self._run, symlinks=True)

    # -- what must hold ------------------------------------------------------------------------------------------

    def _judge(self, told: str) -> int:
        """Raises Broken, or whatever the library raises. How many locks had been left behind."""
        landed = {words[1]: words[2] for words in map(str.split, told.splitlines()) if words[0] == "landed"}
        operation, server = self.operation, self._run / "server.git"
        if operation.serves:
            self._is_whole(landed)
        old = _age_locks(self._run)
        if not operation.serves:
            install.install(str(server), prefix=self.asked["prefix"])
        if operation.name == "upgrade":
            self._goes_on()  # old hooks or new ones: they serve
            install.upgrade(str(server))
        if operation.name == "sync":
            with Journal.open(self._run / "alice", extensions={}) as alice:
                alice.sync()
                _equal("what alice has after the next sync", alice.space(SPACE).state().seq, entries(server)[-1].seq)
        if self.asked["verb"] == "rescue":
            self._is_rescued()
        if operation.appends:
            self._lands_once()
        self._goes_on()
        if operation.name in ("build", "extend"):
            _answers(server)
        self._is_whole(landed)
        for place in (server, self._run / "alice", self._run / "bob"):
            if place.exists():
                _is_sound(place)
        strange = self._findings() - self._usual
        if strange:
            raise Broken(f"the doctor says {strange}")
        return old

    def _is_whole(self, landed: dict[str, str]) -> None:
        """All or nothing of what was asked for is in the log, once; all that was acknowledged is."""
        there = entries(self._run / "server.git")
        _equal("the Seqs", [entry.seq for entry in there], list(range(len(there))))
        times = Counter(entry.id for entry in there)
        twice = [id for id, count in times.items() if count > 1]
        if twice:
            raise Broken(f"landed twice: {twice}")
        for id, commit in landed.items():
            if not any(entry.id == id and entry.commit == commit for entry in there):
                raise Broken(f"{id} was acknowledged as {commit} and is not there")
        some = [id for id in self.asked["ids"] if id in times]
        if self.asked["verb"] in ("append", "bring") and some and some != self.asked["ids"]:
            raise Broken(f"a part of what was to land together: {some}")

    def _lands_once(self) -> None:
        """Whoever asks again for the same gets it once."""
        with Journal.open(self._run / self.asked["where"], extensions={}) as journal:
            space = journal.space(SPACE)
            if self.asked["verb"] == "bring":
                brought(journal, self.asked)
                return
            made = intents(space, self.asked)
            if self.asked["verb"] == "send":
                _patiently(lambda: journal.send())
                if journal.outbox and (journal.outbox.entries() or journal.outbox.damaged()):
                    raise Broken(f"the outbox holds {journal.outbox.entries()} and {journal.outbox.damaged()}")
                return
            landed = _patiently(lambda: space.append_many(made))
            _equal("what a retry is answered", [one.decision.id for one in landed], self.asked["ids"])
            _patiently(lambda: journal.send())
            if journal.outbox and (journal.outbox.entries() or journal.outbox.damaged()):
                raise Broken(f"the outbox holds {journal.outbox.entries()} and {journal.outbox.damaged()}")

    def _is_rescued(self) -> None:
        """Whoever rescues again ends it: what was lost is on the server once, and the clone goes with the server."""
        server = self._run / "server.git"
        with Journal.open(self._run / "alice", extensions={}) as alice:
            [rescued] = alice.rescue()
            if rescued.outcome not in ("same", "pushed", "joined"):
                raise Broken(f"the rescue ends as {rescued.json()}, {rescued.error}")
            alice.sync()
            _equal("the tip of alice", alice.space(SPACE).state().commit, entries(server)[-1].commit)
        there = {entry.id for entry in entries(server)}
        if not there.issuperset(self.asked["ids"]):
            raise Broken(f"lost for good: {set(self.asked['ids']) - there}")

    def _goes_on(self) -> None:
        """Somebody else appends, by the way of the operation."""
        bob = self._run / "bob"
        with Journal.open(bob if bob.exists() else self._run / "server.git", extensions={}) as journal:
            _patiently(lambda: journal.space(SPACE).append(AliasSet("Next", "shardB:Home"), actor="bob"))

    def _findings(self) -> set[tuple[str, str]]:
        found = install.doctor(str(self._run / "server.git"), probe=False)
        return {(finding.check, finding.what) for finding in found if finding.level != "ok"}


def _patiently(act: Callable[[], Any]) -> Any:
    """What the next command says. One that waits for the end of a lease is asked again."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return act()
        except Queued as queued:
            if queued.place != "inbox" or time.monotonic() > until:
                raise
            time.sleep(0.2)
        except coordjournal.LeaseHeld:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Entry:
    """A decision in a log, as git itself shows it."""

    commit: str
    id: str
    seq: int


def entries(server: Path) -> list[Entry]:
    """The log of the space, oldest first, as git itself has it."""
    name = f"refs/spaces/{SPACE}"
    if not _git(server, "for-each-ref", "--format=%(refname)", name).strip():
        return []
    found = []
    for raw in _git(server, "log", "--reverse", "--format=%H%n%B%x00", name).split("\0\n")[:-1]:
        match = _ENTRY.search(raw)
        if match is None:
            raise Broken(f"no decision: {raw!r}")
        found.append(Entry(raw.partition("\n")[0], match["id"], int(match["seq"])))
    return found


def _git(place: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(place), *words], capture_output=True, text=True, check=True).stdout


def _is_sound(place: Path) -> None:
    """git finds nothing missing, and the law nothing unlawful."""
    done = subprocess.run(
        ["git", "-C", str(place), "fsck", "--connectivity-only", "--no-dangling"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or done.stdout.strip() or "error" in done.stderr:
        raise Broken(f"git fsck of {place.name} says {done.stdout}{done.stderr}")
    with Journal.open(place, extensions={}) as journal:
        store = journal.store
        assert isinstance(store, GitStore)
        for space, tip in store.tips().items():
            verify.check(store, space, tip)


def _answers(server: Path) -> None:
    """A projection, whatever became of it, says what the log says."""
    with Journal.open(server, extensions={}) as journal:
        said = journal.space(SPACE).state().json()
    for path in _projections(server):
        path.unlink()
    with Journal.open(server, extensions={}) as journal:
        _equal("the state", said, journal.space(SPACE).state().json())


def _projections(server: Path) -> Iterator[Path]:
    yield from list((server / "coordjournal").rglob("*.sqlite"))


def _age_locks(place: Path) -> int:
    """A minute passes for what git locks by a file. How many there are."""
    own = ("coordjournal", "fold")  # held by flock, and never removed
    locks = [path for path in place.rglob("*.lock") if path.is_file() and path.parent.name not in own]
    before = time.time() - _LATER
    for path in locks:
        os.utime(path, (before, before))
    return len(locks)


def _equal(what: str, found: object, due: object) -> None:
    if found != due:
        raise Broken(f"{what}: {found}, not {due}")


def _kind(point: Point) -> str:
    """The process of a point, whichever of several of its kind it is."""
    return point.who.rpartition(".")[0]
