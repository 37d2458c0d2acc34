"""One command prints the table: ``python -m benchmarks [--quick] [--json]``."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from .contention import contend
from .measure import Row, machine, table
from .rows import push_many, push_one, read_many, start


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Smaller logs and fewer runs: under two minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(quick: bool, as_json: bool) -> None:
    """Measure coordjournal against yardsticks of the same run. Ratios matter, seconds are those of this machine."""
    parts: list[Callable[[Path], list[Row]]] = [
        lambda place: start(place, 15 if quick else 60),
        lambda place: push_one(place, 15 if quick else 60),
        lambda place: push_many(place, 2_000 if quick else 10_000, 3 if quick else 7),
        lambda place: read_many(place, 10_000 if quick else 100_000, 3 if quick else 7),
        lambda place: contend(place, 16, 2 if quick else 6, 1 if quick else 5),
    ]
    rows = []
    for number, part in enumerate(parts, 1):
        if sys.stderr.isatty():
            click.echo(f"part {number} of {len(parts)} ...", err=True)
        with tempfile.TemporaryDirectory(prefix="coordjournal-bench-") as place:
            rows += part(Path(place))
    if as_json:
        click.echo(json.dumps({"machine": machine(), "rows": [r.json() for r in rows]}, indent=2))
        return
    click.echo(", ".join(f"{key} {value}" for key, value in machine().items()) + "\n")
    click.echo(table(rows))


if __name__ == "__main__":
    main()
