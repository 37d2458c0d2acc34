"""One command prints the table: ``python -m benchmarks [--quick | --full] [--json] [--only PATTERN]``."""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from . import machine, measure
from .bench import Bench
from .measure import Row
from .parts import PARTS, Part
from .sizes import DEFAULT, FULL, QUICK, Sizes


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", "sizes", flag_value="quick", help="Short logs and few rounds: under two minutes.")
@click.option("--full", "sizes", flag_value="full", help="Logs of a million decisions: about 25 minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--only", metavar="PATTERN", help="Only the parts whose name matches: 'push-*', 'fold'.")
@click.option("--list", "only_list", is_flag=True, help="Print the names of the parts.")
@click.pass_context
def main(ctx: click.Context, sizes: str | None, as_json: bool, only: str | None, only_list: bool) -> None:
    """Measure coordjournal against yardsticks of the same run.

    Ratios matter; seconds are those of this machine. What is written goes to the folder for temporary files (TMPDIR)
    and is gone at the end. The exit status is 1 if something could not be measured; a target that is missed is no
    error but a "no" in the table.
    """
    if ctx.invoked_subcommand is not None:
        return
    chosen = {name: part for name, part in PARTS.items() if only is None or fnmatch.fnmatch(name, only)}
    if not chosen:
        raise click.UsageError(f"no part matches {only!r}; there are {', '.join(PARTS)}")
    if only_list:
        for name, part in chosen.items():
            click.echo(f"{name:16} {(part.__doc__ or '').partition(chr(10))[0]}")
        return
    rows, failures = run({"quick": QUICK, "full": FULL, None: DEFAULT}[sizes], chosen)
    facts = {**machine.facts(), "mode": sizes or "default"}
    if as_json:
        told = {"machine": facts, "rows": [row.json() for row in rows], "failed": failures}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        click.echo(measure.about(facts) + "\n")
        click.echo(measure.table(rows))
    for name, why in failures.items():
        click.echo(f"benchmarks: {name} could not be measured: {why}", err=True)
    ctx.exit(1 if failures else 0)


@main.command()
def profile() -> None:
    """Print where one push spends its time: its processes, their system calls, and what Python imports."""
    from .profile import report

    with _folder() as top:
        click.echo(report(_bench(top, DEFAULT, Teller(1))))


class Teller:
    """Says on a terminal what is being done; nothing elsewhere."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.part = ""
        self.number = 0
        self.begun = time.monotonic()

    def begin(self, name: str) -> None:
        self.number += 1
        self.part = name
        self.say("")

    def say(self, words: str) -> None:
        if sys.stderr.isatty():
            shown = f"[{time.monotonic() - self.begun:4.0f} s] part {self.number} of {self.parts}: {self.part} {words}"
            sys.stderr.write("\r\x1b[K" + shown[:100])
            sys.stderr.flush()

    def end(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def run(sizes: Sizes, parts: dict[str, Part]) -> tuple[list[Row], dict[str, str]]:
    """Measures parts one after the other: their rows, and why any of them could not be measured."""
    rows: list[Row] = []
    failures: dict[str, str] = {}
    if sys.stderr.isatty():
        click.echo(f"{sizes.name}: {len(parts)} parts; all of them take about {sizes.minutes:g} minutes", err=True)
    teller = Teller(len(parts))
    with _folder() as top:
        bench = _bench(top, sizes, teller)
        for name, part in parts.items():
            teller.begin(name)
            with tempfile.TemporaryDirectory(dir=top, prefix=f"{name}-", ignore_cleanup_errors=True) as place:
                bench.place = Path(place)
                try:
                    rows += part(bench)
                except Exception as error:  # whatever it is: the other parts can be measured all the same
                    failures[name] = str(error) or repr(error)
        teller.end()
    return rows, failures


@contextmanager
def _folder() -> Iterator[str]:
    """A folder that is gone in the end, also if a git that was stopped with us is still writing there for a moment."""
    place = tempfile.mkdtemp(prefix="coordjournal-bench-")
    try:
        yield place
    finally:
        for _ in range(50):
            shutil.rmtree(place, ignore_errors=True)
            if not os.path.exists(place):
                break
            time.sleep(0.1)


def _bench(top: str, sizes: Sizes, teller: Teller) -> Bench:
    environ = machine.environment(Path(top))
    os.environ.clear()
    os.environ.update(environ)
    machine.check_installed()
    return Bench(Path(top), Path(top), sizes, teller.say)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # unwinds, so that what was written is removed


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    try:
        main()
    except machine.Unable as problem:
        sys.exit(f"benchmarks: {problem}")
