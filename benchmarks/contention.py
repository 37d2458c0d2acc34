"""Many writers and one space: what each of them lands beside the others, against what one lands by itself.

A writer is a process with a clone of its own. It says when it is ready, begins when it is told to, and says how many
pushes it took; so the seconds are those of the appends alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from coordjournal import Journal, install

from .logs import SPACE
from .measure import Row, interleaved, row

_WRITER = """
import subprocess, sys, time
from coordjournal import AliasSet, Journal
from coordjournal.commit import build, subject
from coordjournal.remote import Remote
from coordjournal.timestamp import seconds

clone, count, raw = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "raw"
pushes = 0

def counted(method):
    def call(*arguments):
        global pushes
        pushes += 1
        return method(*arguments)
    return call

def commit(decision):
    raw = build(
        *(journal.store.empty_tree, None, decision.actor, seconds(decision.at), "writer", int(time.time())),
        *(subject(decision.type, decision.payload), decision.line(), None),
    )
    journal.store.add([("commit", raw)])
    return journal.store.name("commit", raw)

Remote.push, Remote.submit = counted(Remote.push), counted(Remote.submit)
with Journal.open(clone, extensions={}) as journal:
    space = journal.space("garden")
    journal.refresh(space.id)
    intents = [space.intent(AliasSet(f"name {i}", "shardA:Page"), actor="writer") for i in range(count)]
    commits = [commit(intent.decision) for intent in intents] if raw else []
    space.state()
    journal.store.add([("tree", b"")])  # imports dulwich, which is not what is measured
    print("ready", flush=True)
    sys.stdin.readline()
    if raw:
        for commit in commits:
            words = ["git", "-C", clone, "push", "--quiet", "origin", f"{commit}:refs/append/garden"]
            subprocess.run(words, check=True, capture_output=True)
            pushes += 1
    else:
        for intent in intents:
            space.append_many([intent], timeout=600)
    print(pushes, flush=True)
"""


def contend(place: Path, writers: int, each: int, runs: int) -> list[Row]:
    """``writers`` at once, each of which appends ``each`` decisions, and one by itself: through the sequencer by the
    library, by plain ``git push``, and by compare-and-swap on a server that does not sequence."""
    sequencing = _Space(place / "sequencing", writers, sequencing=True)
    plain = _Space(place / "plain", writers, sequencing=False)
    alone = max(4, writers * each // 4)
    steps: dict[str, Callable[[int], float]] = {
        "one": lambda _turn: sequencing.append(1, alone),
        "many": lambda _turn: sequencing.append(writers, each),
        "git one": lambda _turn: sequencing.append(1, alone, raw=True),
        "git many": lambda _turn: sequencing.append(writers, each, raw=True),
        "cas one": lambda _turn: plain.append(1, alone),
        "cas many": lambda _turn: plain.append(writers, each),
    }
    seconds = interleaved(steps, runs)
    pushes = {"many": sequencing.pushes[writers][-runs:], "cas many": plain.pushes[writers][-runs:]}
    landed = [float(writers * each)] * runs
    name = f"a decision of {writers} writers at once"
    return [
        row(f"{name}, sequencer", "of one writer", seconds["many"], seconds["one"], 1.25),
        row(f"pushes of {writers} writers, sequencer", "decisions", pushes["many"], landed, 1.0, unit="pushes"),
        row(f"{name}, sequencer, git push", "of one writer", seconds["git many"], seconds["git one"], 1.25),
        row(f"{name}, compare-and-swap", "of one writer", seconds["cas many"], seconds["cas one"], None),
        row(f"pushes of {writers} writers, compare-and-swap", "decisions", pushes["cas many"], landed, None, "pushes"),
        row(f"{name}, compare-and-swap", "sequencer", seconds["cas many"], seconds["many"], None),
    ]


class _Space:
    """A server, and the clones of those who write to its one space."""

    def __init__(self, place: Path, writers: int, sequencing: bool) -> None:
        place.mkdir()
        server = place / "server.git"
        install.init(str(server), prefix=str(place / "prefix"), sequencing=sequencing)
        self.clones = [place / f"clone{number}" for number in range(writers)]
        self.pushes: dict[int, list[float]] = {1: [], writers: []}  # by the number of writers: how many each run took
        for clone in self.clones:
            Journal.clone(str(server), clone, spaces=[SPACE], extensions={}).close()

    def append(self, writers: int, each: int, raw: bool = False) -> float:
        """So many writers append so many decisions each; the seconds that one decision took."""
        words = [sys.executable, "-c", _WRITER]
        processes = [
            subprocess.Popen(
                [*words, str(clone), str(each), "raw" if raw else "library"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for clone in self.clones[:writers]
        ]
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("a writer did not begin")
        start = time.perf_counter()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate()[0] for process in processes]
        spent = time.perf_counter() - start
        if any(process.returncode for process in processes):
            raise RuntimeError("a writer failed")
        if not raw:
            self.pushes[writers].append(float(sum(map(int, told))))
        return spent / (writers * each)
