"""Many writers and one space: what all of them land beside each other, against what one lands by itself.

A writer is a process with a clone of its own. It says when it is ready, begins when it is told to, and says how many
pushes it took; so the seconds are those of the appends alone.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from coordjournal import Journal

from . import logs, servers
from .bench import Bench, python
from .logs import SPACE
from .machine import Unable
from .measure import Row, rates, row
from .timing import Step

# The pushes are counted by an audit hook of Python's: it sees each process that is started, however that is done.
_LIBRARY = """
import sys
from coordjournal import AliasSet, Journal

clone, count = sys.argv[1], int(sys.argv[2])
pushes = 0

def count_pushes(event, arguments):
    global pushes
    if event in ("subprocess.Popen", "os.posix_spawn", "os.exec"):
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in arguments[1]]
        pushes += "push" in words

with Journal.open(clone, extensions={}) as journal:
    journal.sync()
    space = journal.space("garden")
    space.state()
    intents = [space.intent(AliasSet(f"name {i}", "shardA:Page"), actor="writer") for i in range(count)]
    print("ready", flush=True)
    sys.stdin.readline()
    sys.addaudithook(count_pushes)
    for intent in intents:
        space.append_many([intent], timeout=600)
    print(pushes, flush=True)
"""
_GIT = """
import subprocess, sys

clone, commits = sys.argv[1], sys.argv[2].split()
print("ready", flush=True)
sys.stdin.readline()
for commit in commits:
    words = ["git", "-C", clone, "push", "--quiet", "origin", f"{commit}:refs/append/garden"]
    subprocess.run(words, check=True, capture_output=True)
print(len(commits), flush=True)
"""


def contend(bench: Bench) -> list[Row]:
    """Many writers at once and one alone: by the library and by plain git through the sequencer, and by
    compare-and-swap where nobody sequences."""
    writers, each = bench.sizes.writers, bench.sizes.each
    alone = max(2, writers * each // 4)
    sequencing = _Space(bench, "sequencing", sequencing=True)
    plain = _Space(bench, "plain", sequencing=False)
    counts = {name: list[float]() for name in ("many", "git many", "cas many")}

    def step(space: _Space, count: int, how_many: int, name: str, by_git: bool = False) -> Step:
        def measured(_turn: int) -> float:
            seconds, pushes = space.append(count, how_many, by_git)
            if name in counts:
                counts[name].append(pushes)
            return seconds / (count * how_many)

        return measured

    seconds = bench.rounds(
        {
            "one": step(sequencing, 1, alone, "one"),
            "many": step(sequencing, writers, each, "many"),
            "git one": step(sequencing, 1, alone, "git one", by_git=True),
            "git many": step(sequencing, writers, each, "git many", by_git=True),
            "cas one": step(plain, 1, alone, "cas one"),
            "cas many": step(plain, writers, each, "cas many"),
        },
        long=True,
        warm_up=False,
    )
    rate = {name: rates(values) for name, values in seconds.items()}
    landed = [float(writers * each)] * len(seconds["many"])
    name, unit = f"decisions a second, {writers} writers at once", "a second"

    def against_one(words: str, key: str, target: float | None) -> Row:
        ours, yardstick = rate[f"{key}many"], rate[f"{key}one"]
        return row(f"{name}, {words}", "one writer", ours, yardstick, target, at_least=True, unit=unit)

    return [
        against_one("sequencer", "", 1.5),
        row(f"pushes of {writers} writers, sequencer", "decisions", counts["many"], landed, 1.0, unit="pushes"),
        against_one("sequencer, plain git push", "git ", 1.5),
        against_one("compare-and-swap", "cas ", None),
        row(f"pushes of {writers} writers, compare-and-swap", "decisions", counts["cas many"], landed, unit="pushes"),
        row(f"{name}, sequencer", "compare-and-swap", rate["many"], rate["cas many"], at_least=True, unit=unit),
    ]


class _Space:
    """A server, and the clones of those who write to its one space."""

    def __init__(self, bench: Bench, name: str, *, sequencing: bool) -> None:
        self.server = servers.with_hooks(bench, f"{name}.git", sequencing=sequencing)
        self.clones = [bench.place / f"{name}{number}" for number in range(bench.sizes.writers)]
        self._intents = 0
        bench.note(f"cloning a server ({name})")
        Journal.clone(str(self.server), self.clones[0], spaces=[SPACE], extensions={}).close()
        for clone in self.clones[1:]:
            shutil.copytree(self.clones[0], clone, symlinks=True)
        self.append(1, 1, by_git=False)  # the first decision of a space makes more files than the others

    def append(self, writers: int, each: int, by_git: bool) -> tuple[float, float]:
        """So many writers append so many decisions each: the seconds from the first to the last, and the pushes."""
        programs = [
            python(_GIT, clone, " ".join(self._commits(clone, each))) if by_git else python(_LIBRARY, clone, str(each))
            for clone in self.clones[:writers]
        ]
        processes: list[subprocess.Popen[str]] = []
        try:
            for words in programs:
                pipe = subprocess.PIPE
                processes.append(subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, cwd="/"))
            for process in processes:
                assert process.stdout is not None
                if process.stdout.readline() != "ready\n":
                    raise Unable("a writer did not begin")
            start = time.perf_counter()
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            told = [process.communicate()[0] for process in processes]
            spent = time.perf_counter() - start
        finally:
            for process in processes:
                process.kill()  # those that still run: another one has failed, or somebody wants to stop
                process.wait()
        if any(process.returncode for process in processes):
            raise Unable("a writer failed")
        pushes = sum(map(int, told))
        if pushes < writers * each:  # each decision takes one: the library starts git in a way that is not seen
            raise Unable(f"{writers * each} decisions landed, and {pushes} pushes were seen")
        return spent, float(pushes)

    def _commits(self, clone: Path, count: int) -> list[str]:
        """New intents in a clone. They build on nothing: a space of which its author has seen nothing yet."""
        first = self._intents
        self._intents += count
        return logs.intents(clone / ".git", logs.plain(count, first, seed=8, what="by git"), "")
