"""Whole logs out and in: ``export`` and ``import``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO

import click

from .base import SPACE, App, Command, Number, json_option, pass_app
from .output import put_json, safe
from .progress import Progress
from .writing import dry_run_option

_STEP = 1000  # lines between two words of progress


@click.command(
    cls=Command,
    examples=["coordjournal export garden > garden.jsonl", "coordjournal export garden --since 100 | gzip > more.gz"],
)
@click.argument("space", type=SPACE)
@click.option("--since", type=Number(0), default=0, metavar="SEQ", help="From this Seq on.")
@click.option("--until", type=Number(0), metavar="SEQ", help="Up to and with this Seq.")
@partial(json_option, words="The log is always JSON; with this, an error is too.")
@pass_app
def export(app: App, space: str, since: int, until: int | None) -> None:
    """Print a log verbatim, as JSON Lines.

    A line is a decision, its place, and its attachments. `coordjournal import` makes the same log of it again, with
    the same commits.
    """
    from .. import transfer

    with Progress(f"exporting {space}") as progress:
        for count, line in enumerate(transfer.export(app.journal(extensions=False), space, since, until)):
            put_json(line)
            if count % _STEP == 0:
                progress.at(count)


@click.command(
    "import",
    cls=Command,
    examples=["coordjournal import garden garden.jsonl --dry-run", "zcat garden.gz | coordjournal import garden -"],
)
@click.argument("space", type=SPACE)
@click.argument("file")
@dry_run_option
@json_option
@pass_app
def import_log(app: App, space: str, file: str, dry_run: bool) -> None:
    """Bring an exported log here, verbatim.

    FILE is what `coordjournal export` printed, or - for standard input. The same decisions come to the same places,
    with their actors, appenders, times and attachments, and in a repository of the same object format in the same
    commits. The file must begin or continue what is here, so that importing it twice changes nothing.

    All of it lands, or nothing: a line that is damaged, out of order, a repetition, of another space or not lawful
    is refused with its number before anything is appended.
    """
    from .. import transfer
    from ..difference import diff
    from . import render

    journal = app.journal()
    if journal.remote is not None and not dry_run:
        with Progress("fetching"):
            journal.refresh(space)
    with _opened(file) as lines, Progress(f"importing {space}") as progress:
        planned = transfer.plan(journal, space, lines, write=not dry_run, progress=progress.at)
        if not dry_run:
            transfer.land(journal, space, planned)
        before = planned.before
        after = planned.after() if planned.records else before
        difference = diff(before, after)
    new = len(planned.records)
    if app.json:
        put_json(
            {
                "dry_run": dry_run,
                "space": space,
                "imported": new,
                "known": planned.known,
                "before": before.seq,
                "after": after.seq,
                "commit": after.commit,
                "changes": difference.json(),
            }
        )
        return
    paper = app.paper
    if not new:
        paper.line(f"all {planned.known:,} decisions are there already: {safe(space)}@{before.seq}")
        return
    verb = "would import" if dry_run else "imported"
    known = f" ({planned.known:,} were there already)" if planned.known else ""
    last = paper.yellow(f"{safe(space)}@{after.seq}")
    paper.line(f"{verb} {new:,} decisions{known}: {safe(space)}@{before.seq + 1} to {last}")
    render.changes(paper, before, difference)


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    """The file to read lines from."""
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        opened = open(file, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise click.UsageError(f"Cannot read {file!r}: {error.strerror}.") from None
    with opened:
        yield opened
