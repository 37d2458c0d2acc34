"""What all commands that append have in common: their options, and what they say."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ..errors import DecisionNotFound
from ..text import is_ident
from .base import App, Number, json_option
from .output import put_json, safe

if TYPE_CHECKING:
    from ..decision import Landed, Payload
    from ..space import Space
    from ..state import CoordinationState


@dataclass(frozen=True, slots=True)
class How:
    """How to append: the values of the common options."""

    actor: str | None
    reason: str | None
    expect: int | None
    allow_void: bool
    dry_run: bool


def writing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the common options; it gets them as ``how``."""

    @functools.wraps(command)
    def with_how(
        *args: Any,
        actor: str | None,
        reason: str | None,
        expect: int | None,
        allow_void: bool,
        dry_run: bool,
        **kwargs: Any,
    ) -> Any:
        return command(*args, how=How(actor, reason, expect, allow_void, dry_run), **kwargs)

    wrapped: Callable[..., Any] = with_how
    for option in (
        json_option,
        dry_run_option,
        click.option("--allow-void", is_flag=True, help="Append it even if it would have no effect."),
        click.option(
            "--expect",
            type=Number(-1),
            metavar="SEQ",
            help="Refuse unless this is the last Seq (-1: the space is empty).",
        ),
        click.option("-m", "--reason", metavar="TEXT", help="Why, in words."),
        actor_option,
    ):
        wrapped = option(wrapped)
    return wrapped


actor_option = click.option("--actor", metavar="NAME", help="Who decided; git's user.name by default.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")


def actor_of(app: App, given: str | None) -> str:
    """Who decides: the one named, else ``user.name`` of the repository's git configuration.

    Raises:
        click.UsageError: nobody is named, or the name cannot be an actor.
    """
    named = given
    if named is None:
        asked = subprocess.run(
            ["git", "config", "user.name"],
            cwd=app.directory,
            env={key: value for key, value in os.environ.items() if key not in ("GIT_DIR", "GIT_WORK_TREE")},
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
        named = asked.stdout.rstrip("\n")
        if not named:
            raise click.UsageError("Who decides this? Say --actor NAME, or set git's user.name.")
    if not is_ident(named):
        raise click.UsageError(
            f"{named!r} cannot be an actor: 1 to 200 bytes, without control characters and < > ; and without "
            "spaces or any of . , : ' \" \\ at either end."
        )
    return named


def decide(
    app: App,
    space: Space,
    decision: Payload | str,
    how: How,
    when: Callable[[CoordinationState], bool] | None = None,
    **more: Any,
) -> None:
    """Appends a decision, or says what it would do, and tells what was and what is now.

    Args:
        when: the precondition, as for :meth:`coordjournal.Space.append`.
        more: further arguments of :meth:`coordjournal.Space.append`.
    """
    from .progress import Progress

    actor = actor_of(app, how.actor)
    if how.dry_run:
        _rehearse(app, space, decision, actor, how, when, more)
        return
    with Progress(f"appending to {space.id}"):
        tip = space.state().seq
        landed = space.append(
            decision,
            actor=actor,
            reason=how.reason,
            expect=how.expect,
            when=when,
            allow_void=how.allow_void,
            **more,
        )
        before, after = space.state(landed.seq - 1), space.state(landed.seq)
    tell(app, landed, before, after, known=landed.seq <= tip)


def tell(
    app: App,
    landed: Landed,
    before: CoordinationState,
    after: CoordinationState,
    *,
    known: bool = False,
    dry_run: bool = False,
) -> None:
    """Says where a decision landed (or would), and what it changed."""
    from ..difference import diff
    from . import render

    difference = diff(before, after)
    if app.json:
        told = landed.json()
        if dry_run and not known:
            told["commit"] = None  # it would depend on the time
        put_json({"dry_run": dry_run, "known": known, "landed": told, "changes": difference.json()})
        return
    paper = app.paper
    place = paper.yellow(f"{safe(landed.decision.space)}@{landed.seq}")
    what = render.what(landed.decision, render.seq_in(before))
    commit = paper.dim(render.short(landed.commit))
    if known:
        paper.line(f"{place} is there already  {what}  {commit}")
    elif dry_run:
        paper.line(f"would append {place}  {what}")
    else:
        paper.line(f"{place}  {what}  {commit}")
    render.changes(paper, before, difference)


def _rehearse(
    app: App,
    space: Space,
    decision: Payload | str,
    actor: str,
    how: How,
    when: Callable[[CoordinationState], bool] | None,
    more: dict[str, Any],
) -> None:
    state = space.state()
    if more.get("id") is not None and more.get("at") is None:
        with suppress(DecisionNotFound):
            more["at"] = state.find(more["id"]).decision.at  # the same again need not say its time again
    intent = space.intent(decision, actor=actor, reason=how.reason, **more)
    preview = space.preview([intent], expect=how.expect, when=when, allow_void=how.allow_void)
    if not preview.landed:
        landed = state.find(intent.decision.id)
        tell(app, landed, state.as_of(landed.seq - 1), state.as_of(landed.seq), known=True, dry_run=True)
        return
    tell(app, preview.landed[0], preview.before, preview.after, dry_run=True)
