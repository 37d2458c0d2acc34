"""``rescue``: what a server has lost comes back from a clone, or is given up, as somebody says."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from .base import SPACE, App, Command, json_option, pass_app
from .failure import DONE, QUEUED, REFUSED, described
from .output import put_json, safe
from .progress import Progress
from .writing import dry_run_option

if TYPE_CHECKING:
    from ..rescue import Fate
    from ..rescue import Rescue as Rescued

_MOST = 20  # decisions of one fate that are shown one by one
_QUIET = ("there", "repeated", "left-out")  # fates that nobody has to do anything about

_VERBS = {  # a fate, and what it would be
    "appended": ("appended again", "would be appended again"),
    "there": ("there again already",) * 2,
    "waiting": ("not landed yet",) * 2,
    "refused": ("refused",) * 2,
    "conflict": ("not appended: another decision has the id by now",) * 2,
    "let-go": ("not appended: it was let go",) * 2,
    "repeated": ("not appended: it repeats an id",) * 2,
    "left-out": ("left out",) * 2,
    "given-up": ("given up", "would be given up"),
}


@click.command(
    cls=Command,
    examples=[
        "coordjournal rescue --dry-run",
        "coordjournal -C wiki rescue garden",
        "coordjournal rescue --skip-refused garden",
        "coordjournal rescue --accept garden",
    ],
)
@click.argument("spaces", metavar="[SPACE]...", nargs=-1, type=SPACE)
@click.option("--accept", is_flag=True, help="Append nothing: take the server's log as it is, and give up the rest.")
@click.option("--skip-refused", is_flag=True, help="Give up what is refused, and append what is behind it.")
@click.option("--late", is_flag=True, help="Append also what comes behind a later one that the server has already.")
@dry_run_option
@json_option
@pass_app
@click.pass_context
def rescue(
    ctx: click.Context,
    app: App,
    spaces: tuple[str, ...],
    accept: bool,
    skip_refused: bool,
    late: bool,
    dry_run: bool,
) -> None:
    """Give a server back what it has lost.

    For a clone whose server was lost, or restored from an old backup. Where the server is merely behind, it gets the
    commits of this clone. Where its log has gone on since, each decision that only this clone has is appended to it
    again, at a new place; what stands there already is found by its id. Then the log of the server becomes the log
    here, and the old one is kept under a ref that is told. Rescuing again after an interruption goes on.

    The decisions keep their order: one that cannot be appended holds up those behind it and leaves the log here as it
    is, so that it can be rescued once the reason is gone.

    The exit status is 3 if something waits, and 1 if something was refused or met another decision under its id.
    """
    if accept and (skip_refused or late):
        raise click.UsageError("--accept appends nothing: it goes with neither --skip-refused nor --late.")
    journal = app.journal()
    chosen = list(dict.fromkeys(spaces)) or None
    statuses = {DONE}

    def tell(rescued: Rescued) -> None:
        statuses.add(_status(rescued))
        if app.json:
            facts = {"dry_run": dry_run, **rescued.json()}
            put_json({**facts, "error": None if rescued.error is None else described(rescued.error)})
        else:
            found.append(rescued)

    found: list[Rescued] = []
    try:
        with Progress("comparing") as progress:
            journal.rescue(
                chosen,
                accept=accept,
                skip_refused=skip_refused,
                late=late,
                dry_run=dry_run,
                progress=lambda label, count: progress.at(count, label),
                tell=tell,
            )
    finally:
        for rescued in found:
            _print(app, rescued)
    if not found and not app.json:
        app.paper.line("no space has a log here")
    ctx.exit(REFUSED if REFUSED in statuses else max(statuses))


def _status(rescued: Rescued) -> int:
    states = {fate.state for fate in rescued.fates} if rescued.outcome != "accepted" else set()
    if rescued.error is not None or states & {"refused", "conflict"}:
        return REFUSED
    return QUEUED if "waiting" in states else DONE


def _print(app: App, rescued: Rescued) -> None:
    paper = app.paper
    paper.line(f"{paper.bold(safe(rescued.space))}: {_summary(rescued)}")
    if rescued.error is not None:
        facts = described(rescued.error)
        paper.line(f"  {paper.red(safe(str(facts['code'])))}: {safe(str(facts['message']))}")
        if facts["remedy"]:
            paper.line(f"  -> {safe(str(facts['remedy']))}")
    shown: Counter[str] = Counter()
    for fate in rescued.fates:
        shown[fate.state] += 1
        if shown[fate.state] <= _MOST:
            _print_fate(app, fate, rescued.dry_run)
    for state, count in shown.items():
        if count > _MOST:
            paper.line(f"  ... {count - _MOST:,} more {_VERBS[state][rescued.dry_run]}")
    if rescued.kept is not None:
        verb = "would be kept" if rescued.dry_run else "is kept"
        paper.line(f"  the log as it was here {verb} as {safe(rescued.kept)}")
    if rescued.outcome == "unfinished":
        refused = any(fate.state == "refused" for fate in rescued.fates)
        skip = " --skip-refused goes on without what is refused," if refused else ""
        paper.line(
            f"  -> the log here is as it was; rescue it again once that is settled,{skip} or --accept the server's"
        )
    elif rescued.outcome == "ahead":
        paper.line("  -> `coordjournal sync` fetches it")


def _summary(rescued: Rescued) -> str:
    """What was found of a space, in words."""
    common = rescued.common
    if rescued.outcome == "same":
        return f"the server has what is here, up to Seq {common}"
    if rescued.outcome == "ahead":
        return f"the server has all that is here, up to Seq {common}, and more"
    was = "it had no log any more" if rescued.theirs is None else f"it was at Seq {common}"
    if rescued.outcome == "pushed":
        verb = "would get" if rescued.dry_run else "got"
        one = rescued.pushed == 1
        seqs = f"Seq {common + 1}" if one else f"Seq {common + 1} to {common + rescued.pushed}"
        what = "1 decision as it was" if one else f"{rescued.pushed:,} decisions as they were"
        return f"the server {verb} {what}, {seqs}; {was}"
    if rescued.error is not None:
        return f"not rescued; the last that both have is Seq {common}" if common >= 0 else f"not rescued; {was}"
    count = len(rescued.fates)
    lost = f"the server had lost {count:,} decision{'s' if count != 1 else ''}"
    if rescued.theirs is None:
        return f"{lost}, with the whole log"
    return f"{lost} after Seq {common}" if common >= 0 else f"{lost}; its log has nothing in common with the one here"


def _print_fate(app: App, fate: Fate, dry_run: bool) -> None:
    from ..index import VOID_REASONS
    from . import render

    paper = app.paper
    decision = fate.was.decision
    place = paper.yellow(f"{safe(decision.space)}@{fate.was.seq}")
    now = f" as {paper.yellow(f'{safe(decision.space)}@{fate.now.seq}')}" if fate.now is not None else ""
    verb = _VERBS[fate.state][dry_run]
    if fate.state in ("refused", "conflict"):
        verb = paper.red(verb)
    elif fate.state in _QUIET:
        verb = paper.dim(verb)
    if fate.state == "conflict":
        now = f" ({now.removeprefix(' as ')})" if now else ""
    paper.line(f"  {place}  {verb}{now}  {render.what(decision)}")
    if fate.reason:
        paper.line(f"    {safe(fate.reason)}")
    if fate.void:
        paper.line(f"    without effect there: {VOID_REASONS[fate.void]}")
