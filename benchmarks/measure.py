"""Interleaved timing: machines are noisy, so that only ratios of medians from one run mean anything."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table: ``ours`` and ``yardstick`` are medians in seconds, or in the ``unit`` that is named, and
    ``spread`` the middle half of the ratios' range. ``target`` is the largest ratio that is good enough, None where
    there is none."""

    name: str
    yardstick_name: str
    ours: float
    yardstick: float
    spread: tuple[float, float]
    runs: int
    target: float | None
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """How many times the yardstick ours takes."""
        return self.ours / self.yardstick

    def json(self) -> dict[str, Any]:
        """The row as JSON."""
        return {**asdict(self), "ratio": self.ratio, "met": self.target is None or self.ratio <= self.target}


def interleaved(steps: Mapping[str, Callable[[int], float | None]], runs: int) -> dict[str, list[float]]:
    """The seconds of each step in each of ``runs`` rounds. A round runs every step once; the first is not counted.

    A step may return the seconds that count, where it measures itself inside a process that it starts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(runs + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            counted = step(turn)
            spent = time.perf_counter() - start
            if turn:
                seconds[name].append(spent if counted is None else counted)
    return seconds


def row(
    name: str,
    yardstick_name: str,
    ours: list[float],
    yardstick: list[float],
    target: float | None,
    unit: str = "s",
) -> Row:
    """The row of two series of one run."""
    ratios = sorted(a / b for a, b in zip(ours, yardstick, strict=True))
    low, high = (ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4])
    return Row(
        *(name, yardstick_name, statistics.median(ours), statistics.median(yardstick)),
        *((low, high), len(ours), target, unit),
    )


def machine() -> dict[str, Any]:
    """What was measured on: no name, only what bears on speed."""
    git = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "git": git.removeprefix("git version "),
        "dulwich": version("dulwich"),
    }


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| row | ours | yardstick | ratio | middle half | target | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        target = "" if r.target is None else f"{r.target:g}"
        met = "" if r.target is None else ("yes" if r.ratio <= r.target else "**no**")
        ours, yardstick = _shown(r.ours, r.unit), _shown(r.yardstick, r.unit)
        lines.append(
            f"| {r.name} / {r.yardstick_name} | {ours} | {yardstick} | {r.ratio:.2f} "
            f"| {r.spread[0]:.2f} to {r.spread[1]:.2f} | {target} | {met} |"
        )
    return "\n".join(lines)


def _shown(value: float, unit: str) -> str:
    return _time(value) if unit == "s" else f"{value:,.0f} {unit}"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
