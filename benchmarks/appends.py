"""Appends on this machine, by the library: one after the other, and very many at once."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from . import logs, servers
from .bench import Bench, git, python, run
from .machine import Unable
from .measure import Row, figure, rates, row

# Told a number of appends, it makes so many and says the seconds that it took.
_APPENDER = """
import sys, time
from coordjournal import AliasSet, Journal

with Journal.open(sys.argv[1], extensions={}) as journal:
    space = journal.space("garden")
    number = 0
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            space.append(AliasSet(f"name {number}", "shardA:Page"), actor="writer")
            number += 1
        print(time.perf_counter() - start, flush=True)
"""
_BATCH = """
import sys, time
from coordjournal import AliasSet, Journal, OverlayCreated

count, every = int(sys.argv[2]), int(sys.argv[3])
with Journal.open(sys.argv[1], extensions={}) as journal:
    space = journal.space("garden")
    intents = []
    for i in range(count):
        page = f"shardA:Page-{i % 5003}"
        if every and i % every == 0:
            body = f"Overlay {i}\\n\\n" + f"What the page {page} should say, in so many words. " * (2 + i % 7)
            decision = OverlayCreated(f"overlay {i}", page, None, body)
        else:
            decision = AliasSet(f"name {i}", page)
        intents.append(space.intent(decision, actor=f"actor-{i % 50}"))
    start = time.perf_counter()
    landed = space.append_many(intents)
    print(time.perf_counter() - start)
    assert len(landed) == count and landed[-1].seq == count - 1
"""
_LOOSE_AT_MOST = 64  # loose objects that a batch may leave: what was there before it, and the empty tree


def one(bench: Bench) -> list[Row]:
    """Single durable appends into a bare repository, against an event store of git commands, and against each other on
    a short log and a long one."""
    long, short = bench.sizes.long_log, 10
    store = _GitStore(servers.without_hooks(servers.with_hooks(bench, "empty.git"), "store.git"))
    count = bench.sizes.appends
    with ExitStack() as stack:
        appenders = {}
        for length in (long, short):
            repository = servers.with_hooks(bench, f"journal{length}.git")
            bench.copy(length, repository)
            appenders[length] = stack.enter_context(_Appender(repository))
            bench.note(f"reading a log of {length:,}")
            appenders[length].append(1)
        seconds = bench.rounds(
            {
                "long": lambda _turn: appenders[long].append(count),
                "short": lambda _turn: appenders[short].append(count),
                "git": lambda _turn: store.append(max(1, count // 10)),
            }
        )
    name = "append on this machine"
    return [
        row(
            f"{name}, decisions a second",
            "events a second of four git commands each",
            rates(seconds["short"]),
            rates(seconds["git"]),
            10,
            at_least=True,
            unit="a second",
        ),
        row(f"{name}, log of {long:,}", f"log of {short:,}", seconds["long"], seconds["short"], 1.2),
    ]


def many(bench: Bench) -> list[Row]:
    """A batch of very many decisions, against ``git fast-import`` of the same commits."""
    count = bench.sizes.batch
    empty = servers.with_hooks(bench, "empty.git")
    rows = []
    for words, every, target in (("small decisions", 0, 25_000), ("one body in ten", 10, 20_000)):
        stream = bench.place / f"stream{every}"
        number = 0

        def new(name: str) -> Path:
            nonlocal number
            number += 1
            return servers.without_hooks(empty, f"{name}{number}.git")

        def ours(turn: int, every: int = every, stream: Path = stream) -> float:
            repository = new("ours")
            seconds = float(run(*python(_BATCH, repository, str(count), str(every)), cwd="/"))
            _check(repository, count)
            if not stream.exists():
                with stream.open("wb") as file:
                    words = ["git", f"--git-dir={repository}", "fast-export", "--reencode=no", logs.REF]
                    subprocess.run(words, stdout=file, check=True)
            _remove(repository)
            return seconds

        def theirs(turn: int, stream: Path = stream) -> float:
            repository = new("theirs")
            start = time.perf_counter()
            with stream.open("rb") as file:
                git(f"--git-dir={repository}", "fast-import", "--quiet", stdin=file)
            seconds = time.perf_counter() - start
            _remove(repository)
            return seconds

        ours(0)  # writes the stream
        seconds = bench.rounds({"ours": ours, "fast-import": theirs}, long=True, warm_up=False)
        name = f"append_many of {count:,} ({words})"
        rate = [count * each for each in rates(seconds["ours"])]
        rows += [
            figure(f"{name}, decisions a second", rate, "a second", target, at_least=True),
            row(name, "git fast-import of the same commits", seconds["ours"], seconds["fast-import"]),
        ]
    return rows


class _Appender:
    """A process that appends when it is told to."""

    def __init__(self, repository: Path) -> None:
        self._process = subprocess.Popen(
            python(_APPENDER, repository), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
        )

    def __enter__(self) -> _Appender:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def append(self, count: int) -> float:
        """Appends so many decisions; the seconds that one of them took."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        told = self._process.stdout.readline()
        if not told:
            raise Unable("the process that appends has ended")
        return float(told) / count


class _GitStore:
    """An event store as one writes it with git commands: four processes an event, whose content is a blob."""

    def __init__(self, repository: Path) -> None:
        self._git = ["git", f"--git-dir={repository}"]
        self._tip = ""
        self._number = 0

    def append(self, count: int) -> float:
        """Appends so many events; the seconds that one of them took."""
        start = time.perf_counter()
        for _ in range(count):
            self._number += 1
            event = json.dumps({"actor": "writer", "alias": f"name {self._number}", "target": "shardA:Page"})
            blob = self._ask("hash-object", "-w", "--stdin", said=event)
            tree = self._ask("mktree", said=f"100644 blob {blob}\tevent.json\n")
            parents = ["-p", self._tip] if self._tip else []
            commit = self._ask("commit-tree", tree, *parents, "-m", "alias-set")
            self._ask("update-ref", "refs/events/garden", commit, self._tip or "0" * len(commit))
            self._tip = commit
        return (time.perf_counter() - start) / count

    def _ask(self, *words: str, said: str = "") -> str:
        done = subprocess.run([*self._git, *words], input=said, capture_output=True, text=True, check=True)
        return done.stdout.rstrip("\n")


def _check(repository: Path, count: int) -> None:
    """Raises Unable unless a batch is there, whole, and in one pack."""
    run("git", f"--git-dir={repository}", "fsck", "--strict")
    found = int(git(f"--git-dir={repository}", "rev-list", "--count", logs.REF))
    packs = list((repository / "objects" / "pack").glob("*.pack"))
    loose = list((repository / "objects").glob("??/*"))
    if found != count:
        raise Unable(f"append_many of {count:,} left {found:,} decisions")
    if len(packs) != 1 or len(loose) > _LOOSE_AT_MOST:
        raise Unable(f"append_many of {count:,} left {len(packs)} packs and {len(loose):,} loose objects, not one pack")


def _remove(repository: Path) -> None:
    run("rm", "-rf", str(repository))
