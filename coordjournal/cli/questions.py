"""What follows from a log: ``state``, ``resolve``, ``group``, ``canonical``, ``lineage``, ``why``, ``diff``,
``lint``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from ..errors import CoordjournalError
from .base import ALIAS, PLACE, SPACE, App, Command, Number, View, json_option, pass_app, state_of, view_options
from .output import name, put_json, safe

if TYPE_CHECKING:
    from datetime import datetime

    from ..decision import Landed
    from ..state import CoordinationState

_ASPECTS = ("alias", "group", "canonical", "overlay", "lineage")


@click.command(
    cls=Command,
    examples=[
        "coordjournal state garden",
        "coordjournal state garden --at 2026-11-22 --json",
        "coordjournal state garden --at garden@40 --without 17",
    ],
)
@click.argument("space", type=SPACE)
@view_options
@json_option
@pass_app
def state(app: App, space: str, view: View) -> None:
    """Print what is in force in a space.

    Names, groups, overlays, forks, and the decisions without effect. --at takes a Seq, SPACE@SEQ, a commit, the
    beginning of an id, or a time such as 2026-11-22 or 2026-11-22T10:00:00Z (UTC): the last decision that was
    appended by then.
    """
    from . import render

    found = state_of(app.space(space), view)
    if app.json:
        put_json(found.json())
    else:
        render.state_in_full(app.paper, found)


@click.command(cls=Command, examples=["coordjournal resolve garden Home", "coordjournal resolve garden Home --at 17"])
@click.argument("space", type=SPACE)
@click.argument("alias", metavar="NAME", type=ALIAS)
@view_options
@json_option
@pass_app
def resolve(app: App, space: str, alias: str, view: View) -> None:
    """Print the page that NAME means.

    The exit status is 1 if it means none.
    """
    found = _asked(app, space, view)
    target = found.resolve(alias)
    _answer(app, found, {"alias": alias, "target": target}, [] if target is None else [target])
    if target is None:
        raise _nothing(app, f"{alias!r} means nothing in {space}@{found.seq}")


@click.command(cls=Command, examples=["coordjournal group garden shardB:Home"])
@click.argument("space", type=SPACE)
@click.argument("page")
@view_options
@json_option
@pass_app
def group(app: App, space: str, page: str, view: View) -> None:
    """Print the pages that are one page with PAGE.

    PAGE itself is one of them; a line each.
    """
    found = _asked(app, space, view)
    pages = found.group(page)
    _answer(app, found, {"page": page, "group": list(pages), "canonical": found.canonical(page)}, list(pages))


@click.command(cls=Command, examples=["coordjournal canonical garden shardB:Home"])
@click.argument("space", type=SPACE)
@click.argument("page")
@view_options
@json_option
@pass_app
def canonical(app: App, space: str, page: str, view: View) -> None:
    """Print the page that the group of PAGE was last merged into.

    The exit status is 1 if no merge was ever decided about it.
    """
    found = _asked(app, space, view)
    into = found.canonical(page)
    _answer(app, found, {"page": page, "canonical": into}, [] if into is None else [into])
    if into is None:
        raise _nothing(app, f"no merge is in force about {page!r} in {space}@{found.seq}")


@click.command(cls=Command, examples=["coordjournal lineage garden shardB:Index"])
@click.argument("space", type=SPACE)
@click.argument("page")
@view_options
@json_option
@pass_app
def lineage(app: App, space: str, page: str, view: View) -> None:
    """Print the pages that PAGE was forked from.

    The nearest first, a line each.
    """
    found = _asked(app, space, view)
    pages = found.lineage(page)
    _answer(app, found, {"page": page, "lineage": list(pages)}, list(pages))


@click.command(
    cls=Command,
    examples=["coordjournal why garden Home", "coordjournal why garden shardB:Home --about canonical --json"],
)
@click.argument("space", type=SPACE)
@click.argument("thing", type=ALIAS)
@click.option("--about", type=click.Choice(_ASPECTS), help="Only this answer.")
@view_options
@json_option
@pass_app
def why(app: App, space: str, thing: str, about: str | None, view: View) -> None:
    """Print the decisions that made it so.

    THING is a name, a page or an overlay. All answers there are about it are printed: what a name means, the group of
    a page and its canonical page, its lineage, the state of an overlay; and for each the decisions, oldest first,
    without which it would be another.
    """
    from . import render

    found = _asked(app, space, view)
    answers = [
        (aspect, value, words, reasons)
        for aspect in _ASPECTS
        if about in (None, aspect)
        for value, words, reasons in [_reasons(found, aspect, thing)]
        if reasons
    ]
    if app.json:
        told = [
            {"about": aspect, "answer": value, "decisions": [landed.json() for landed in reasons]}
            for aspect, value, _, reasons in answers
        ]
        put_json({"space": space, "seq": found.seq, "commit": found.commit, "thing": thing, "answers": told})
    for number, (_, _, words, reasons) in enumerate([] if app.json else answers):
        if number:
            app.paper.line()
        app.paper.line(app.paper.bold(words))
        width = max(len(str(landed.seq)) for landed in reasons) + 2
        for landed in reasons:
            render.log_line(app.paper, landed, width, render.seq_in(found))
    if not answers:
        raise _nothing(app, f"nothing was decided about {thing!r} in {space}@{found.seq}")


def _reasons(state: CoordinationState, aspect: str, thing: str) -> tuple[Any, str, tuple[Landed, ...]]:
    """One answer about a thing: as JSON, in words, and the decisions that made it so."""
    from . import render

    if aspect == "alias":
        target = state.resolve(thing)
        words = f"{name(thing)} means {name(target) if target is not None else 'nothing'}"
        return target, words, state.why_alias(thing)
    if aspect == "group":
        pages = state.group(thing)
        return list(pages), f"one page: {' = '.join(map(name, pages))}", state.why_group(thing)
    if aspect == "canonical":
        into = state.canonical(thing)
        words = f"the canonical page of {name(thing)}: {name(into) if into is not None else 'none'}"
        return into, words, state.why_canonical(thing)
    if aspect == "overlay":
        overlay = state.overlay(thing)
        words = f"overlay {render.overlay_words(overlay)}" if overlay else f"no overlay {name(thing)}"
        return overlay.json() if overlay else None, words, state.why_overlay(thing)
    sources = state.lineage(thing)
    words = f"{name(thing)} comes from {', '.join(map(name, sources)) or 'nothing'}"
    return list(sources), words, state.why_lineage(thing)


@click.command(
    cls=Command,
    examples=[
        "coordjournal diff garden 40 42",
        "coordjournal diff garden 2026-11-01",
        "coordjournal diff garden -- -1 9",
    ],
)
@click.argument("space", type=SPACE)
@click.argument("before", type=PLACE, metavar="A")
@click.argument("after", type=PLACE, metavar="[B]", required=False)
@json_option
@pass_app
def diff(app: App, space: str, before: str | datetime, after: str | datetime | None) -> None:
    """Print what differs between the states at A and at B.

    Without B, now. A and B are places as `coordjournal state --at` takes them; -1 is before the first decision. Lines
    that begin with - were so, lines that begin with + are so.
    """
    from ..difference import diff as difference_of
    from . import render

    room = app.space(space)
    one, other = state_of(room, View(before)), state_of(room, View(after))
    difference = difference_of(one, other)
    if app.json:
        put_json({"space": space, "before": one.seq, "after": other.seq, "changes": difference.json()})
        return
    app.paper.line(app.paper.yellow(f"{safe(space)}@{one.seq} -> {safe(space)}@{other.seq}"))
    render.changes(app.paper, one, difference)


@click.command(cls=Command, examples=["coordjournal lint garden", "coordjournal lint garden --days 7 --exit-code"])
@click.argument("space", type=SPACE)
@click.option(
    "--days",
    type=Number(0),
    metavar="DAYS",
    default=30,
    show_default=True,
    help="How long an open overlay may lie untouched.",
)
@click.option("--exit-code", is_flag=True, help="End with status 1 if anything is found.")
@json_option
@pass_app
@click.pass_context
def lint(ctx: click.Context, app: App, space: str, days: int, exit_code: bool) -> None:
    """Print what a curator should look at.

    Names that lead in a circle, names of pages that were merged into others, groups that were merged into several
    pages, overlays that nobody has touched for a while. None of it is a fault of the log.
    """
    from ..lint import DAY
    from ..lint import lint as findings_of

    state = state_of(app.space(space, extensions=False))
    findings = findings_of(state, now=int(time.time()), forgotten_after=days * DAY)
    if app.json:
        put_json({"space": space, "seq": state.seq, "findings": [finding.json() for finding in findings]})
    else:
        for finding in findings:
            seqs = ", ".join(map(str, finding.seqs))
            app.paper.line(
                f"{app.paper.yellow(finding.kind)}: {safe(finding.message)}  {app.paper.dim(f'(Seq {seqs})')}"
            )
        if not findings:
            app.paper.line("nothing to look at")
    if findings and exit_code:
        ctx.exit(1)


def _asked(app: App, space: str, view: View) -> CoordinationState:
    """The state that a question about names or pages is put to: no plug-in has a say in the answer."""
    return state_of(app.space(space, extensions=False), view)


def _answer(app: App, state: CoordinationState, facts: dict[str, Any], lines: list[str]) -> None:
    """One answer: as JSON with where it holds, else as bare lines for people and shell scripts."""
    if app.json:
        put_json({"space": state.space, "seq": state.seq, "commit": state.commit, **facts})
        return
    for line in lines:
        app.paper.line(safe(line))


def _nothing(app: App, message: str) -> Exception:
    """What ends a command with status 1 because the answer is nothing; JSON has said so already."""
    return click.exceptions.Exit(1) if app.json else NothingFound(message)


class NothingFound(CoordjournalError):
    """The question was answered: there is none."""

    code = "nothing"
