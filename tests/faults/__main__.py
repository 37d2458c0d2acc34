"""``python -m tests.faults``: kills at every point of every operation, and counts them. Exit status 0 if all held."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
@click.option("--seconds", default=0.0, help="Leave an operation after so long, and draw its points; 0: never.")
@click.option("--seed", default=1, help="What is drawn.")
@click.option("--jobs", default=1, help="Operations at once.")
@click.option("--list", "listing", is_flag=True, help="Only list the points.")
@click.option("--keep", is_flag=True, help="Keep the folders.")
def main(
    names: tuple[str, ...], who: str | None, seconds: float, seed: int, jobs: int, listing: bool, keep: bool
) -> None:
    """Kill each process of each operation at each system call that writes, and look whether all holds."""
    for key in [key for key in os.environ if key.startswith(("GIT_", "COORDJOURNAL_"))]:
        del os.environ[key]
    os.environ.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", LC_ALL="C.UTF-8")
    os.environ.update({f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")})
    place = Path(tempfile.mkdtemp(prefix="coordjournal-faults-"))
    prefix = str(place / "prefix")
    install.init(str(place / "first.git"), prefix=prefix)

    def one(name: str) -> tuple[int, int, int]:
        """Does all of an operation; how many points it has, how many kills were made, and how many faults found."""
        began = time.monotonic()
        killing = Killing(OPERATIONS[name], place / name, prefix)
        points = [point for point in killing.points() if who is None or who in point.who]
        if listing:
            click.echo("".join(f"{name}: {point}\n" for point in points), nl=False)
            return len(points), 0, 0
        drawn = random.Random(f"{name} {seed}").sample(points, len(points)) if seconds else points
        counts = Counts()
        tell = _told(name, len(points)) if jobs == 1 and sys.stderr.isatty() else lambda _: None
        killing.kill(_until(began + seconds if seconds else float("inf"), drawn), counts, tell)
        done = sum(counts.points.values())
        told = [
            f"{name}: {done} kills of {len(points)} points ({counts.not_reached} not reached again), "
            f"{counts.locks_left} locks left behind, {len(counts.faults)} faults, {time.monotonic() - began:.0f} s"
        ]
        told += [f"    {count:5} {process}" for process, count in sorted(counts.points.items())]
        told += [f"\n{fault}\n" for fault in counts.faults]
        click.echo("\n".join(told))
        return len(points), done, len(counts.faults)

    with ThreadPoolExecutor(jobs) as pool:
        points, kills, faults = map(sum, zip(*pool.map(one, names or OPERATIONS), strict=True))
    if not listing:
        click.echo(f"{kills} kills of {points} points, {faults} faults")
    if keep:
        click.echo(f"kept in {place}")
    else:
        shutil.rmtree(place)
    sys.exit(1 if faults else 0)


def _until(end: float, points: list[Point]) -> Iterator[Point]:
    return takewhile(lambda _: time.monotonic() < end, points)


def _told(name: str, count: int) -> Callable[[Point], None]:
    number = 0

    def tell(point: Point) -> None:
        nonlocal number
        number += 1
        click.echo(f"\r\x1b[K{name} {number}/{count} {point}"[:150], err=True, nl=False)

    return tell


if __name__ == "__main__":
    main()
