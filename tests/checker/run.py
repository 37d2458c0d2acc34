"""A run from its beginning to its judgement."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from coordjournal import install, stale
from coordjournal.errors import CoordjournalError
from coordjournal.journal import Journal
from coordjournal.payload import AliasSet

from . import chaos, history, log
from .history import Call
from .rules import Evidence, Kept, Violation, judge
from .worker import Job
from .worker import main as work

_SUBREAPER = 36  # prctl(2), PR_SET_CHILD_SUBREAPER
# After so long a lock that git left behind is removed, 60 in earnest; a quarter of it is how long a push waits for one.
STALE_SECONDS = 3
_FINISH_SECONDS = 400
_TICK = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to be.

    ``skew`` is the server's setting in seconds, ``drift`` the part of it by which two clocks differ at most;
    ``ttls`` the shortest and the longest lease. ``kill_server``, ``kill_worker`` and ``pause`` are the seconds between
    two of these on average, 0 for never.
    """

    seed: int
    appends: int
    seconds: float
    workers: int
    spaces: int = 1
    skew: int = 1
    drift: float = 1.0
    ttls: tuple[int, int] = (2, 4)
    kill_server: float = 0.7
    kill_worker: float = 1.5
    pause: float = 4.0
    object_format: str = "sha1"
    sequencing: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended: what broke a rule, and the counts of what happened."""

    violations: list[Violation]
    counts: dict[str, int]


def run(plan: Plan, place: Path, prefix: str, tell: Callable[[str], None]) -> Result:
    """Runs it in the empty folder ``place``, with the package in ``prefix``; ``tell`` is given lines of progress."""
    stale.SECONDS = STALE_SECONDS
    server = place / "server.git"
    serve(server, plan, prefix)
    clones = [place / f"clone{_clone_of(worker, plan.workers)}" for worker in range(plan.workers)]
    for clone in dict.fromkeys(clones):
        Journal.clone(str(server), clone, extensions={}).close()
    notes = place / "history"
    notes.mkdir()
    _Run(plan, server, clones, notes, tell).go()
    evidence = collect(plan, server, sorted(set(clones)), notes)
    return Result(judge(evidence), count(evidence, notes))


def serve(server: Path, plan: Plan, prefix: str) -> None:
    """Makes the server's repository. Each run of a hook has a clock of its own, and old locks are old sooner."""
    install.init(str(server), prefix=prefix, sequencing=plan.sequencing, object_format=plan.object_format)
    log.git(server, "config", "coordjournal.clockSkew", str(plan.skew))
    install.install(str(server), prefix=prefix)  # tells the clients
    clock = (
        "import posix\nimport time\nimport zlib\n"
        f"off = (zlib.crc32(b'{plan.seed} %d' % posix.getpid()) / 2**32 - 0.5) * {plan.skew * plan.drift}\n"
        "real, real_ns = time.time, time.time_ns\n"
        "time.time = lambda: real() + off\n"
        "time.time_ns = lambda: real_ns() + int(off * 1e9)\n"
    )
    old = (
        "import coordjournal.sequence\nimport coordjournal.stale\n"
        f"coordjournal.stale.SECONDS = {STALE_SECONDS}\n"
        f"coordjournal.sequence._WAIT = {STALE_SECONDS * 250}\n"
    )
    for hook in ("pre-receive", "proc-receive") if plan.sequencing else ("pre-receive",):
        path = server / "hooks" / hook
        before = path.read_text()
        after = before.replace("sys.dont_write_bytecode = True\n", f"sys.dont_write_bytecode = True\n{clock}", 1)
        if hook == "proc-receive":
            after = re.sub(r"\nmain\(\)\n$", f"\n{old}main()\n", after)
        if after.count("\n") - before.count("\n") != (11 if hook == "proc-receive" else 7):
            raise ValueError(f"the hook {hook} is not what the checker expects")
        path.write_text(after)


class _Run:
    """The processes of a run, from the first to the last."""

    def __init__(self, plan: Plan, server: Path, clones: list[Path], notes: Path, tell: Callable[[str], None]) -> None:
        self.plan = plan
        self.server = server
        self.clones = clones
        self.notes = notes
        self.tell = tell
        self.rng = random.Random(f"{plan.seed} run")
        self.stop = notes.parent / "stop"
        self.deadline = time.monotonic() + plan.seconds
        self.lives = [0] * plan.workers
        self.running: dict[int, int] = {}  # process to worker
        self.paused: dict[int, tuple[float, list[int]]] = {}  # process to when it goes on, and what goes on with it
        self.over: set[int] = set()  # workers that have finished
        self.begun = memoryview(mmap.mmap(-1, 8 * plan.workers)).cast("q")  # decisions, by worker; shared with them

    def go(self) -> None:
        if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")  # without it, nobody could wait for what killed workers leave
        killer = 0
        if self.plan.kill_server:
            killer = _forked(
                lambda: chaos.kill_servers(
                    *(self.server, self.notes / "chaos.jsonl", self.plan.seed),
                    *(self.plan.kill_server, self.plan.sequencing),
                )
            )
        noted = history.History(self.notes / "run.jsonl", "run", 0)
        for worker in range(self.plan.workers):
            self.start(worker)
        due = {"kill": self._next(self.plan.kill_worker), "pause": self._next(self.plan.pause)}
        started = told = time.monotonic()
        while len(self.over) < self.plan.workers:
            self.reap()
            now = time.monotonic()
            working = now < self.deadline and sum(self.begun) < self.plan.appends and not self.over
            for process, (until, _) in list(self.paused.items()):
                if now > until or not working:
                    self.resume(process)
            if working and now > due["kill"] and self.running:
                self.kill(self.rng.choice(sorted(self.running)), noted)
                due["kill"] = self._next(self.plan.kill_worker)
            if working and now > due["pause"] and self.running:
                self.pause(self.rng.choice(sorted(self.running)), noted)
                due["pause"] = self._next(self.plan.pause)
            if not working and not self.stop.exists():
                self.deadline = now
                self.stop.touch()
                if killer:
                    chaos.send([killer], signal.SIGKILL)
            if now > self.deadline + _FINISH_SECONDS:
                noted.note("crash", what=f"these did not end: {[f'w{w}' for w in self.running.values()]}")
                chaos.send(list(self.running), signal.SIGKILL)
                self.over.update(self.running.values())
            if now > told + 5:
                told = now
                self.tell(f"{now - started:.0f} s: {self.progress()}")
            time.sleep(_TICK)
        self.wait_for_orphans()
        self.close()

    def start(self, worker: int) -> None:
        plan = self.plan
        rng = random.Random(f"{plan.seed} {worker} {self.lives[worker]}")
        job = Job(
            who=f"w{worker}",
            seed=plan.seed,
            life=self.lives[worker],
            clone=self.clones[worker],
            notes=self.notes / f"w{worker}.jsonl",
            server=self.server,
            spaces=tuple(f"space-{number}" for number in range(plan.spaces)),
            ttls=plan.ttls,
            clock=rng.uniform(-0.5, 0.5) * plan.skew * plan.drift,
            begun=self.begun[worker : worker + 1],
            stop=self.stop,
        )
        self.lives[worker] += 1
        self.running[_forked(lambda: work(job))] = worker

    def reap(self) -> None:
        """Takes note of what has ended; a worker that was killed begins its next life."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            worker = self.running.pop(process, None)
            if worker is None:
                continue  # an orphan of one that was killed
            if os.WIFSIGNALED(status):
                self.start(worker)
            else:
                self.over.add(worker)

    def kill(self, process: int, noted: history.History) -> None:
        """Kills a worker: alone, so that its git goes on without it; with its git; or with its git and the server's."""
        how = self.rng.choice(("alone", "alone", "client", "connection" if self.plan.sequencing else "client"))
        others: list[int] = []
        if process in self.paused:
            self.resume(process)
        if how != "alone":
            chaos.send([process], signal.SIGSTOP)  # so that it starts nothing meanwhile
            others = chaos.asking(process, self.server)
        if how == "connection":
            os.killpg(process, signal.SIGKILL)
        chaos.send([process, *others], signal.SIGKILL)
        noted.note("killed", what=f"worker {how}", worker=self.running[process])

    def pause(self, process: int, noted: history.History) -> None:
        """Pauses a worker, and a push of its own that has not reached the server, past the end of any lease."""
        if process in self.paused:
            return
        stopped = [process]
        chaos.send(stopped, signal.SIGSTOP)
        if self.rng.random() < 0.5:
            stopped += chaos.asking(process, self.server)
            chaos.send(stopped, signal.SIGSTOP)
        until = time.monotonic() + self.rng.uniform(0.5, 1.5) * (self.plan.ttls[1] + self.plan.skew)
        self.paused[process] = until, stopped
        noted.note("paused", worker=self.running[process])

    def resume(self, process: int) -> None:
        chaos.send(self.paused.pop(process)[1], signal.SIGCONT)

    def wait_for_orphans(self) -> None:
        """Waits until everything that killed workers have left behind has come to its end."""
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def close(self) -> None:
        """One more decision for each space: what waits in the inbox lands, and locks that were left go."""
        locks = [path.stat().st_mtime for path in self.server.rglob("*.lock")]
        if locks:
            time.sleep(max(0.0, max(locks) + STALE_SECONDS + self.plan.skew + 1 - time.time()))
        path = self.notes.parent / "closing"
        Journal.clone(str(self.server), path, extensions={}).close()
        with Journal.open(path, appender="closing", extensions={}) as journal:
            for number in range(self.plan.spaces):
                space = journal.space(f"space-{number}")
                intent = space.intent(AliasSet("closing", "run:end"), actor="closing")
                until = time.monotonic() + 30
                while True:
                    try:
                        space.append_many([intent], queue=False)
                        break
                    except CoordjournalError:
                        if time.monotonic() > until:
                            raise
                        time.sleep(0.2)

    def progress(self) -> str:
        landed = 0
        for number in range(self.plan.spaces):
            done = subprocess.run(
                ["git", f"--git-dir={self.server}", "rev-list", "--count", f"refs/spaces/space-{number}", "--"],
                capture_output=True,
                text=True,
                check=False,
            )
            landed += int(done.stdout or 0)
        lives = f"{sum(self.lives)} lives of {self.plan.workers} workers"
        return f"{sum(self.begun)} decisions begun, {landed} landed, {lives}"

    def _next(self, every: float) -> float:
        return time.monotonic() + (self.rng.expovariate(1 / every) if every else float("inf"))


def collect(plan: Plan, server: Path, clones: list[Path], notes: Path) -> Evidence:
    """What is left of a run."""
    refs = log.git(server, "for-each-ref", "--format=%(refname)").decode().split()
    calls: list[Call] = []
    crashes = []
    for path in sorted(notes.glob("*.jsonl")):
        calls += history.calls(history.events(path))
        crashes += [event["what"] for event in history.events(path) if event["event"] == "crash"]
    left = [ref for ref in refs if ref.startswith("refs/intents/")]
    left += [str(path.relative_to(server)) for path in server.rglob("*.lock")]
    logs = {
        ref.removeprefix("refs/spaces/"): log.read(server, ref) for ref in refs if ref.startswith("refs/spaces/")
    }
    return Evidence(
        logs=logs,
        calls=calls,
        outboxes=[kept for clone in clones for kept in log_outbox(clone)],
        left=left,
        crashes=crashes,
        reports={
            "coordjournal verify": _complaint(sys.executable, "-m", "coordjournal", "verify", str(server)),
            "git fsck": _complaint("git", f"--git-dir={server}", "fsck", "--strict", "--no-dangling"),
        },
        clocks_agree=plan.drift <= 1,
    )


def log_outbox(clone: Path) -> list[Kept]:
    """What the outbox of a clone holds."""
    with Journal.open(clone, extensions={}) as journal:
        assert journal.outbox is not None
        damaged = [Kept(clone.name, f"damaged: {item.reason}", ()) for item in journal.outbox.damaged()]
        return damaged + [
            Kept(clone.name, entry.state, tuple(decision.id for decision in entry.decisions))
            for entry in journal.outbox.entries()
        ]


def count(evidence: Evidence, notes: Path) -> dict[str, int]:
    """How often what happened."""
    counts: Counter[str] = Counter()
    for entries in evidence.logs.values():
        counts["decisions landed"] += len(entries)
        counts["terms"] += max((entry.lease.term for entry in entries if entry.lease), default=0)
        counts["let go"] += sum(entry.doc["type"] == "intent-refused" for entry in entries)
        for before, entry in pairwise(entries):
            if before.lease and before.lease.token and entry.lease and entry.lease.token != before.lease.token:
                counts["leases that ran out"] += before.doc["type"] != "lease-released"
                counts["... taken over by the next holder"] += entry.lease.token is not None and (
                    before.doc["type"] != "lease-released"
                )
    for call in evidence.calls:
        told = f"{call.op}: {call.outcome or 'killed'}"
        counts[f"{told} {call.answered.get('code') or call.answered.get('place') or ''}".strip()] += 1
    for calls in evidence.handed_over().values():
        counts["asked again under the same id"] += len(calls) - 1
    for path in notes.glob("*.jsonl"):
        for event in history.events(path):
            if event["event"] in ("killed", "paused", "resumed"):
                counts[f"{event['event']} {event.get('what', '')}".strip()] += 1
    return dict(sorted(counts.items()))


def _clone_of(worker: int, workers: int) -> int:
    """The first half of the workers share clones, two by two."""
    return worker // 2 if worker < workers // 2 else worker


def _forked(run: Callable[[], object]) -> int:
    """Runs something in a process of its own, which leads a group; its process id."""
    process = os.fork()
    if process:
        with suppress(OSError):
            os.setpgid(process, process)  # here too: whoever kills the group may be faster than the child
        return process
    status = 1
    try:
        os.setpgid(0, 0)
        status = int(bool(run()))
    finally:
        os._exit(status)


def _complaint(*words: str) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout if done.returncode else ""
