"""``python -m tests.faults``: kills at every point of every operation, and counts them. Exit status 0 if all held."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

import click

from coordjournal import install

from .kills import Counts, Killing
from .operations import OPERATIONS
from .tracing import Point


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--only", "names", multiple=True, type=click.Choice(sorted(OPERATIONS)), help="This one; repeatable.")
@click.option("--who", help="Kill only in processes whose name contains this.")
@click.option("--every", default=1, help="Only each so manieth point.")
@click.option("--first", default=0, help="Leave out so many points at the beginning.")
@click.option("--seconds", default=0.0, help="Leave an operation after so long, and draw its points; 0: never.")
@click.option("--list", "listing", is_flag=True, help="Only list the points.")
@click.option("--keep", is_flag=True, help="Keep the folders.")
def main(
    names: tuple[str, ...], who: str | None, every: int, first: int, seconds: float, listing: bool, keep: bool
) -> None:
    """Kill each process of each operation at each system call that writes, and look whether all holds."""
    for key in [key for key in os.environ if key.startswith(("GIT_", "COORDJOURNAL_"))]:
        del os.environ[key]
    os.environ.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", LC_ALL="C.UTF-8")
    os.environ.update({f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")})
    place = Path(tempfile.mkdtemp(prefix="coordjournal-faults-"))
    prefix = str(place / "prefix")
    install.init(str(place / "first.git"), prefix=prefix)
    total, faults = 0, 0
    for name in names or OPERATIONS:
        began = time.monotonic()
        killing = Killing(OPERATIONS[name], place / name, prefix)
        there = [point for point in killing.points() if who is None or who in point.who]
        points = there[first::every]
        if seconds:
            random.Random(name).shuffle(points)
        if listing:
            for point in points:
                click.echo(f"{name}: {point}")
            continue
        counts = Counts()
        tell = _told(len(points)) if sys.stderr.isatty() else lambda _: None
        until = began + seconds if seconds else float("inf")
        killing.kill(_until(until, points), counts, tell)
        done = sum(counts.points.values())
        click.echo(
            f"{name}: {done} kills of {len(there)} points ({counts.not_reached} not reached again), "
            f"{counts.locks_left} locks left behind, {len(counts.faults)} faults, {time.monotonic() - began:.0f} s"
        )
        for process, count in sorted(counts.points.items()):
            click.echo(f"    {count:5} {process}")
        for fault in counts.faults:
            click.echo(f"\n{fault}\n")
        total, faults = total + done, faults + len(counts.faults)
    if not listing:
        click.echo(f"{total} kills, {faults} faults")
    if keep:
        click.echo(f"kept in {place}")
    else:
        shutil.rmtree(place)
    sys.exit(1 if faults else 0)


def _until(end: float, points: list[Point]) -> Iterator[Point]:
    return takewhile(lambda _: time.monotonic() < end, points)


def _told(count: int) -> Callable[[Point], None]:
    number = 0

    def tell(point: Point) -> None:
        nonlocal number
        number += 1
        click.echo(f"\r\x1b[K{number}/{count} {point}"[:150], err=True, nl=False)

    return tell


if __name__ == "__main__":
    main()
