"""Questions at the command line, to a log whose cache is warm and which has got ten decisions since."""

from __future__ import annotations

import time
from pathlib import Path

from . import logs, machine
from .bench import Bench, peak_of, python, quietly
from .folds import FOLD
from .logs import Entry, Log
from .measure import Row, figure, row
from .timing import Step

_SEED = 9
_NEW = 10
_MOST = 20  # rounds: each makes the logs longer by ten, which the short one must not feel
_HUB = "hub:Page-{}"
_NAME = "The name that is asked for"
_QUESTIONS = {
    "resolve": ("resolve", _NAME),
    "group": ("group", _HUB.format(0)),
    "why": ("why", _NAME),
    "group after a revoked binding": ("group", _HUB.format(0)),
}


def warm(bench: Bench) -> list[Row]:
    """A question as a whole process, at a long log and at a short one. The answers are as long at both."""
    program = machine.program()
    long, short = bench.sizes.long_log, bench.sizes.short_log
    asked = {length: _Asked(bench, length) for length in (long, short)}

    def step(length: int, question: str) -> Step:
        def measured(_turn: int) -> float:
            asked[length].grow(revoking="revoked" in question)
            start = time.perf_counter()
            quietly(*asked[length].words(program, question))
            return time.perf_counter() - start

        return measured

    rows = []
    for question in _QUESTIONS:
        bench.note(question)
        seconds = bench.rounds({str(length): step(length, question) for length in (long, short)}, most=_MOST)
        asked[long].grow(revoking="revoked" in question)
        peak = peak_of(*asked[long].words(program, question))
        name = f"coordjournal {question}, log of {long:,} and {_NEW} new"
        rows += [
            row(name, f"log of {short:,} and {_NEW} new", seconds[str(long)], seconds[str(short)], 1.2),
            figure(f"peak memory of {name}", [peak], "MiB", 32),
        ]
    return rows


class _Asked:
    """A log with a large group and a warm cache."""

    def __init__(self, bench: Bench, length: int) -> None:
        repository = bench.bare(f"log{length}.git")
        self.log: Log = bench.copy(length, repository)
        self.bindings: list[str] = []  # ids of those that are not revoked yet
        hub: list[Entry] = []
        for number in range(1, bench.sizes.group):
            payload = {"members": [_HUB.format(0), _HUB.format(number)]}
            hub.append(logs.entry(self.log.count + len(hub), "binding-made", payload, _SEED))
            self.bindings.append(hub[-1].doc["id"])
        named = {"alias": _NAME, "target": _HUB.format(0)}
        hub.append(logs.entry(self.log.count + len(hub), "alias-set", named, _SEED))
        self.log.grow(hub)
        bench.note(f"warming the cache of a log of {length:,}")
        quietly(*python(FOLD, repository))

    def grow(self, revoking: bool) -> None:
        """Ten more decisions, which no cache knows; the last revokes a binding of the large group, or does not."""
        more = list(logs.plain(_NEW - revoking, self.log.count, _SEED))
        if revoking:
            payload = {"decision": self.bindings.pop()}
            more.append(logs.entry(self.log.count + len(more), "decision-revoked", payload, _SEED))
        self.log.grow(more)

    def words(self, program: Path, question: str) -> list[str | Path]:
        """What is typed."""
        verb, thing = _QUESTIONS[question]
        return [program, "-C", self.log.git_dir, verb, logs.SPACE, thing]
