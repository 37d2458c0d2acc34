"""Reading a whole log in a fresh process: the cold fold, and verify."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import logs, machine
from .bench import Bench, peak_of, python, quietly
from .measure import Row, figure, row

# A fresh process that asks one question.
FOLD = """
import sys
from coordjournal import Journal

with Journal.open(sys.argv[1], extensions={}) as journal:
    journal.space("garden").state().resolve("Home")
"""
_HEADER = "git rev-list --header"


def cold(bench: Bench) -> list[Row]:
    """The fold of a whole log without a cache, in a process from its start to its end."""
    count = bench.sizes.read_log
    repository = bench.bare("log.git")
    bench.copy(count, repository)
    ours = repository / "coordjournal"
    peaks = []

    def fold(turn: int) -> None:
        shutil.rmtree(ours, ignore_errors=True)
        peak = peak_of(*python(FOLD, repository))
        if turn:
            peaks.append(peak)

    seconds = bench.rounds(
        {"fold": fold, "header": lambda _turn: _header(repository)}, long=True, warm_up=count < 1_000_000
    )
    name = f"cold fold of {count:,} decisions"
    kept = sum(path.stat().st_size for path in (ours / "fold").rglob("*") if path.is_file())
    return [
        row(name, _HEADER, seconds["fold"], seconds["header"], 1.6),
        figure(f"peak memory of the {name}", peaks, "MiB"),
        figure(f"projection on disk after the {name}", [kept / (1 << 20)], "MiB"),
    ]


def verify(bench: Bench) -> list[Row]:
    """``coordjournal verify`` of a whole log, from its start to its end."""
    count = bench.sizes.read_log
    repository = bench.bare("log.git")
    bench.copy(count, repository)
    program = machine.program()
    seconds = bench.rounds(
        {
            "verify": lambda _turn: quietly(program, "verify", repository),
            "header": lambda _turn: _header(repository),
        },
        long=True,
        warm_up=count < 1_000_000,
    )
    return [row(f"verify of {count:,} decisions", _HEADER, seconds["verify"], seconds["header"], 2.6)]


def _header(repository: Path) -> None:
    quietly("git", f"--git-dir={repository}", "rev-list", "--header", logs.REF)
