"""What each process of a run asked and was answered, as JSON lines: one file a worker, through all its lives.

A call is noted before it is made and its answer after it came, each by one write, so that a process that is killed has
noted what it had begun. The times are those of the monotonic clock, which is the same for all processes of a machine
and which nobody shifts.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: How a call can end. "unknown": it failed, and the decision may or may not have landed.
OUTCOMES = ("landed", "queued", "refused", "unknown")


class History:
    """The file of one life of a process."""

    def __init__(self, path: Path, who: str, life: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._who = who
        self._life = life
        self._calls = 0

    def call(self, op: str, space: str, **more: Any) -> int:
        """Notes that a call is about to be made; its number."""
        self._calls += 1
        self.note("call", call=self._calls, op=op, space=space, **more)
        return self._calls

    def answer(self, call: int, outcome: str, **more: Any) -> None:
        """Notes how it ended."""
        self.note("answer", call=call, outcome=outcome, **more)

    def note(self, event: str, **more: Any) -> None:
        """Notes anything."""
        fields = {"t": time.monotonic_ns(), "who": self._who, "life": self._life, "event": event, **more}
        os.write(self._file, json.dumps(fields).encode() + b"\n")


@dataclass(slots=True)
class Call:
    """A call and its answer. ``end`` and ``outcome`` are None if the process was killed before it came.

    ``asked`` and ``answered`` are what was noted beside that: ``asked["docs"]`` the decisions that were handed over,
    ``answered["places"]`` where decisions are said to have landed: id, Seq and commit of each.
    """

    who: str
    life: int
    number: int
    op: str
    space: str
    begin: int
    asked: Mapping[str, Any]
    end: int | None = None
    outcome: str | None = None
    answered: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """The ids of the decisions that were handed over."""
        return [doc["id"] for doc in self.asked.get("docs", ())]

    @property
    def places(self) -> list[tuple[str, int, str]]:
        """Where decisions are said to have landed."""
        return [(id, seq, commit) for id, seq, commit in self.answered.get("places", ())]

    def __str__(self) -> str:
        asked = {key: value for key, value in self.asked.items() if key != "docs"}
        end = "never answered" if self.end is None else f"{self.end / 1e9:.6f} {self.outcome}"
        return (
            f"{self.who} life {self.life} call {self.number}: {self.op} {self.space} {asked or ''} {self.ids} "
            f"from {self.begin / 1e9:.6f} to {end} {dict(self.answered) or ''}"
        )


def events(path: Path) -> Iterator[dict[str, Any]]:
    """What one file holds, in its order."""
    with open(path, "rb") as file:
        for line in file:
            yield json.loads(line)


def calls(noted: Iterator[dict[str, Any]]) -> list[Call]:
    """The calls among events, with their answers."""
    found: dict[tuple[str, int, int], Call] = {}
    for event in noted:
        if event["event"] not in ("call", "answer"):
            continue
        more = dict(event)
        begun, who, life, number = (more.pop(key) for key in ("t", "who", "life", "call"))
        if more.pop("event") == "call":
            found[who, life, number] = Call(who, life, number, more.pop("op"), more.pop("space"), begun, more)
        else:
            call = found[who, life, number]
            call.end, call.outcome, call.answered = begun, more.pop("outcome"), more
    return list(found.values())
