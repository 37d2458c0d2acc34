"""Copies of a journal: ``clone``, ``sync``, ``spaces``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from ..errors import CoordjournalError
from .base import SPACE, App, Command, json_option, pass_app
from .failure import DONE, QUEUED, REFUSED, described
from .output import note, put_json, safe
from .progress import Progress

if TYPE_CHECKING:
    from ..decision import Landed
    from ..feed import Change
    from ..journal import Journal
    from ..outbox import Entry

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
@click.pass_context
def sync(ctx: click.Context, app: App) -> None:
    """Fetch what is new from the remote, and send what waits here.

    What comes is checked and printed. If the remote has rewound or lost a log, or holds what breaks the law, nothing
    is changed here (`coordjournal rescue` is the way on from a log that went backwards). Then the outbox is sent, and a
    line says what became of each entry. With --json a line is a new decision, or an entry of the outbox.

    The exit status is 3 if something still waits, and 1 if something was rejected.
    """
    from . import render
    from .outbox import damage

    journal = app.journal()
    with Progress("fetching"):
        changes, fates = _synced(app, journal)
    if app.json:
        for change in changes:
            put_json(change.landed.json())
        for fate in fates:
            put_json(fate.json())
    elif not changes and not fates:
        app.paper.line("nothing is new" if journal.remote else _nothing_to_fetch(journal))
    for space, group in groupby([] if app.json else changes, key=lambda change: change.space):
        news = [change.landed for change in group]
        first, last = news[0].seq, news[-1].seq
        seqs = f"Seq {first}" if first == last else f"Seq {first} to {last}"
        app.paper.line(f"{app.paper.bold(safe(space))}: {len(news):,} new, {seqs}")
        if len(news) > _MOST:
            app.paper.line(app.paper.dim(f"  ... the last {_MOST} of them:"))
        for landed in news[-_MOST:]:
            render.log_line(app.paper, landed, len(str(last)) + 2)
    for fate in [] if app.json else fates:
        fate.tell(app)
    for item in journal.outbox.damaged() if journal.outbox else ():
        note(app.json, damage(item))
    states = {fate.state for fate in fates}
    ctx.exit(REFUSED if "rejected" in states else QUEUED if states & {"waiting", "filed"} else DONE)


def _nothing_to_fetch(journal: Journal) -> str:
    if journal.mirror_of:
        return f"this is a mirror of {safe(journal.mirror_of)}: `git remote update` brings it up to date"
    return "nothing to fetch: the logs themselves are here"


@dataclass(frozen=True, slots=True)
class _Fate:
    """What became of an entry of the outbox: ``landed`` (where), ``waiting`` or ``filed`` (why), ``rejected`` (why)."""

    entry: Entry
    state: str
    landed: Sequence[Landed] = ()
    error: CoordjournalError | None = None

    def json(self) -> dict[str, Any]:
        return {
            "outbox": self.entry.number,
            "space": self.entry.space,
            "state": self.state,
            "ids": [decision.id for decision in self.entry.decisions],
            "landed": [landed.json() for landed in self.landed],
            "error": None if self.error is None else described(self.error),
        }

    def tell(self, app: App) -> None:
        from . import render

        paper = app.paper
        render.entry_line(paper, self.entry, state=self.state)
        for landed in self.landed:
            place = paper.yellow(f"{safe(self.entry.space)}@{landed.seq}")
            paper.line(f"    {place}  {paper.dim(render.short(landed.commit))}")
        if self.state == "filed":
            paper.line("    it waits on the server for the holder of the lease")
        elif self.error is not None:
            paper.line(f"    {safe(str(self.error))}")


def _synced(app: App, journal: Journal) -> tuple[list[Change], list[_Fate]]:
    """What is new, and what became of the outbox."""
    from . import held

    if journal.outbox is None:
        return journal.sync(), []
    seen = journal.checkpoint()
    before = [entry for entry in journal.outbox.entries() if entry.state != "rejected"]
    own = {decision.id for entry in before for decision in entry.decisions}
    for space in {entry.space for entry in before}:
        held.resume(app, journal.space(space))
    journal.sync()
    changes = [change for change in journal.changes(seen) if change.landed.decision.id not in own]
    left = {entry.number: entry for entry in journal.outbox.entries()}
    why: dict[int, CoordjournalError | None] = {}
    if any(entry.state == "waiting" for entry in left.values()):
        why = {sent.entry.number: sent.error for sent in journal.send()}
        left = {entry.number: entry for entry in journal.outbox.entries()}
    fates = []
    for entry in before:
        now = left.get(entry.number)
        if now is None:
            state = journal.space(entry.space).state()
            found = [state.find_id(decision.id) for decision in entry.decisions]
            fates.append(_Fate(entry, "landed", [landed for landed in found if landed is not None]))
        else:
            fates.append(_Fate(now, now.state, error=now.error() or why.get(now.number)))
    return changes, fates


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
