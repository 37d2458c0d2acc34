"""Rows of the table and their arithmetic: pure, without a clock or a process.

Machines are noisy, so that only ratios of medians from one run mean anything; a few rows have no yardstick, because
what they promise is absolute.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what was measured.
        against: what it is measured against, the yardstick; None for an absolute figure.
        ours, yardstick: the medians, in ``unit``.
        spread: the middle half of the rounds: of their ratios, or of the figures where there is no yardstick.
        runs: how many rounds were counted.
        unit: ``s`` for seconds, ``MiB``, ``bytes``, or what was counted.
        target: what is good enough of :attr:`value`; None where the row only tells.
        at_least: whether the target is the smallest value that is good enough, not the largest.
    """

    name: str
    against: str | None
    ours: float
    yardstick: float | None
    spread: tuple[float, float]
    runs: int
    unit: str = "s"
    target: float | None = None
    at_least: bool = False

    @property
    def value(self) -> float:
        """What the target is about: how many times the yardstick ours is, or ours itself. Infinite where the yardstick
        is not above zero, as the difference of two noisy times may be."""
        if self.yardstick is None:
            return self.ours
        return self.ours / self.yardstick if self.yardstick > 0 else math.inf

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one. What could not be told is not met."""
        if self.target is None:
            return None
        if math.isinf(self.value):
            return False
        return self.value >= self.target if self.at_least else self.value <= self.target

    def json(self) -> dict[str, Any]:
        """The row as JSON; ``ratio`` is null where there is no yardstick, or none that can be divided by."""
        ratio = None if self.yardstick is None or math.isinf(self.value) else self.value
        return {
            "name": self.name,
            "against": self.against,
            "ours": self.ours,
            "yardstick": self.yardstick,
            "unit": self.unit,
            "ratio": ratio,
            "spread": list(self.spread),
            "runs": self.runs,
            "target": self.target,
            "at_least": self.at_least,
            "met": self.met,
        }


def row(
    name: str,
    against: str,
    ours: Sequence[float],
    yardstick: Sequence[float],
    target: float | None = None,
    *,
    at_least: bool = False,
    unit: str = "s",
) -> Row:
    """The row of two series that were measured in the same rounds.

    Raises:
        ValueError: the series are empty or not of one length.
    """
    if not ours or len(ours) != len(yardstick):
        raise ValueError(f"{name}: {len(ours)} rounds against {len(yardstick)}")
    ratios = [a / b for a, b in zip(ours, yardstick, strict=True) if b > 0] or [0.0]
    medians = (statistics.median(ours), statistics.median(yardstick))
    return Row(name, against, *medians, middle_half(ratios), len(ours), unit, target, at_least)


def figure(
    name: str, values: Sequence[float], unit: str, target: float | None = None, *, at_least: bool = False
) -> Row:
    """The row of an absolute figure. Raises ValueError where nothing was measured."""
    if not values:
        raise ValueError(f"{name}: no rounds")
    return Row(name, None, statistics.median(values), None, middle_half(values), len(values), unit, target, at_least)


def middle_half(values: Iterable[float]) -> tuple[float, float]:
    """Between which values the middle half of these lies: a quarter of them, rounded down, is below and above."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return ordered[quarter], ordered[-1 - quarter]


def rates(seconds: Iterable[float]) -> list[float]:
    """How many a second, of how many seconds one takes."""
    return [1 / one for one in seconds]


def differences(ours: Iterable[float], others: Iterable[float]) -> list[float]:
    """What ours take more than the others of the same rounds."""
    return [a - b for a, b in zip(ours, others, strict=True)]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = ("row", "ours", "yardstick", "ratio", "middle half", "rounds", "target", "met")
    lines = [_line(head), _line(["---"] * len(head)).replace(" ", "")]
    return "\n".join([*lines, *(_line(_cells(row)) for row in rows)])


def about(facts: Mapping[str, Any]) -> str:
    """What was measured on and with, as a line."""
    return ", ".join(f"{key} {value}" for key, value in facts.items())


def shown(value: float, unit: str) -> str:
    """A figure for people."""
    if unit == "s":
        return f"{value * 1000:.1f} ms" if abs(value) < 1 else f"{value:.2f} s"
    return f"{value:,.0f} {unit}" if abs(value) >= 100 or value == int(value) else f"{value:,.1f} {unit}"


def _cells(row: Row) -> list[str]:
    bound = "" if row.target is None else f"{'>=' if row.at_least else '<='} {row.target:,g}"
    met = {None: "", True: "yes", False: "**no**"}[row.met]
    low, high = row.spread
    if row.yardstick is None:
        spread = f"{shown(low, row.unit)} to {shown(high, row.unit)}" if row.runs > 1 else ""
        return [row.name, shown(row.ours, row.unit), "", "", spread, str(row.runs), bound, met]
    spread = f"{low:.2f} to {high:.2f}" if row.runs > 1 else ""
    return [
        *(f"{row.name} / {row.against}", shown(row.ours, row.unit), shown(row.yardstick, row.unit)),
        *("?" if math.isinf(row.value) else f"{row.value:.2f}", spread, str(row.runs), bound, met),
    ]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
