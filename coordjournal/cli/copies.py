"""Copies of a journal: ``clone``, ``sync``, ``spaces``."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from .base import SPACE, App, Command, json_option, pass_app
from .output import put_json, safe
from .progress import Progress

if TYPE_CHECKING:
    from ..journal import Journal

_MOST = 20  # new decisions of a space that `sync` shows one by one


@click.command(
    cls=Command,
    examples=[
        "coordjournal clone ssh://git@host/wiki.git wiki",
        "coordjournal clone /srv/git/wiki.git wiki --space garden --space orchard",
    ],
)
@click.argument("url")
@click.argument("directory", metavar="DIR", type=click.Path())
@click.option("--space", "spaces", multiple=True, type=SPACE, help="Only this space, now and at every sync.")
@json_option
@pass_app
def clone(app: App, url: str, directory: str, spaces: tuple[str, ...]) -> None:
    """Fetch the logs at URL into a new repository DIR.

    And check them. URL is anything that git accepts. --space may be given several times.
    """
    from ..journal import Journal

    if url.startswith("-"):
        raise click.UsageError(f"{url!r} is no URL.")
    with Progress(f"cloning {url}"):
        journal = Journal.clone(url, directory, spaces=spaces or None, extensions={})
    with journal:
        rows = _listed(journal)
        if app.json:
            put_json({"directory": directory, "url": url, "spaces": rows})
            return
        app.paper.line(f"cloned into {safe(directory)}")
        _print_spaces(app, rows)


@click.command(cls=Command, examples=["coordjournal sync", "coordjournal -C wiki sync --json"])
@json_option
@pass_app
def sync(app: App) -> None:
    """Fetch what is new from the remote, check it, and print it.

    If the remote has rewound or lost a log, or holds what breaks the law, nothing is changed here. With --json a line
    is a new decision.
    """
    from . import render

    journal = app.journal(extensions=False)
    with Progress("fetching"):
        changes = journal.sync()
    if app.json:
        for change in changes:
            put_json(change.landed.json())
        return
    if not changes:
        app.paper.line("nothing is new" if journal.remote else "nothing to fetch: the logs themselves are here")
    for space, group in groupby(changes, key=lambda change: change.space):
        news = [change.landed for change in group]
        first, last = news[0].seq, news[-1].seq
        seqs = f"Seq {first}" if first == last else f"Seq {first} to {last}"
        app.paper.line(f"{app.paper.bold(safe(space))}: {len(news):,} new, {seqs}")
        if len(news) > _MOST:
            app.paper.line(app.paper.dim(f"  ... the last {_MOST} of them:"))
        for landed in news[-_MOST:]:
            render.log_line(app.paper, landed, len(str(last)) + 2)


@click.command(
    cls=Command,
    examples=["coordjournal spaces", "git push origin \"$commit:$(coordjournal spaces --ref 'Größe/1')\""],
)
@click.option("--ref", "spelled", metavar="SPACE", type=SPACE, help="Only print the ref of this space on a server.")
@json_option
@pass_app
def spaces(app: App, spelled: str | None) -> None:
    """List the spaces that have a log here.

    A line is the last Seq, when it was appended, and the space. With --ref no repository is needed.
    """
    from ..refs import space_ref

    if spelled is not None:
        ref = space_ref(spelled)
        if app.json:
            put_json({"space": spelled, "ref": ref})
        else:
            app.paper.line(ref)
        return
    rows = _listed(app.journal(extensions=False))
    if app.json:
        put_json({"spaces": rows})
    else:
        _print_spaces(app, rows)


def _listed(journal: Journal) -> list[dict[str, object]]:
    """The spaces with a log here, by what the commits at their tips say."""
    from .. import timestamp
    from ..commit import parse
    from ..errors import GitFailed, Refused
    from ..refs import space_ref

    wanted = frozenset(journal.spaces())
    rows: list[dict[str, object]] = []
    for space, tip in journal.store.tips().items():
        if space not in wanted:
            continue
        found = journal.store.object(tip, "commit")
        if found is None:
            raise GitFailed(f"the commit {tip} is missing; `git fsck` may tell what is damaged")
        row: dict[str, object] = {"space": space, "ref": space_ref(space), "seq": None, "commit": tip, "appended": None}
        try:
            commit = parse(tip, found[1])
            row |= {"seq": commit.seq, "appended": timestamp.text(commit.appended)}
        except Refused:
            pass  # not a log, though the ref says so: `verify` tells what it is
        rows.append(row)
    return rows


def _print_spaces(app: App, rows: list[dict[str, object]]) -> None:
    width = max((len(str(row["seq"])) for row in rows if row["seq"] is not None), default=1)
    for row in rows:
        appended = str(row["appended"])[:19].replace("T", " ") + "Z" if row["appended"] else "no log; try `verify`"
        seq = app.paper.yellow(f"{'?' if row['seq'] is None else row['seq']!s:>{width}}")
        app.paper.line(f"{seq}  {app.paper.dim(appended)}  {safe(str(row['space']))}")
    if not rows:
        app.paper.line("no space has a log here yet")
