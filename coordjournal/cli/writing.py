"""What all commands that append have in common: their options, and what they say."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ..errors import DecisionNotFound, Queued, Refused
from ..text import is_ident
from .base import App, Number, json_option
from .failure import QUEUED
from .output import note, put_json, safe, word

if TYPE_CHECKING:
    from ..appending import Way
    from ..decision import Intent, Landed
    from ..payload import Payload
    from ..space import Space
    from ..state import CoordinationState


@dataclass(frozen=True, slots=True)
class How:
    """How to append: the values of the common options."""

    actor: str | None
    reason: str | None
    expect: int | None
    allow_void: bool
    queue: bool
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
        no_queue: bool,
        dry_run: bool,
        **kwargs: Any,
    ) -> Any:
        how = How(actor, reason, expect, allow_void, not no_queue, dry_run)
        return command(*args, how=how, **kwargs)

    wrapped: Callable[..., Any] = with_how
    for option in (
        json_option,
        dry_run_option,
        click.option("--no-queue", is_flag=True, help="Do not keep it in the outbox if it cannot land now."),
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
    from . import held as leases
    from .progress import Progress

    actor = actor_of(app, how.actor)
    if how.dry_run:
        with leases.under(app, space):
            _rehearse(app, space, decision, actor, how, when, more)
        return
    try:
        with Progress(f"appending to {space.id}"), leases.under(app, space) as held, _noted_rejections(app, space):
            tip = space.state().seq
            landed = space.append(
                decision,
                actor=actor,
                reason=how.reason,
                expect=how.expect,
                when=when,
                allow_void=how.allow_void,
                queue=how.queue,
                **more,
            )
            before, after = space.state(landed.seq - 1), space.state(landed.seq)
    except Queued as queued:
        _tell_queued(app, space, queued.place, queued.intents, str(queued))
        raise click.exceptions.Exit(QUEUED) from None
    if landed.seq <= tip:
        tell(app, landed, before, after, known=True)
    else:
        tell(app, landed, before, after, way=_way(space, how, when), holder=held.holder if held else "")


def tell(
    app: App,
    landed: Landed,
    before: CoordinationState,
    after: CoordinationState,
    *,
    known: bool = False,
    dry_run: bool = False,
    way: Way | None = None,
    holder: str = "",
) -> None:
    """Says where a decision landed (or would), which way it took, and what it changed.

    Args:
        holder: who holds the lease under which it landed, if it did.
    """
    from ..difference import diff
    from . import render

    difference = diff(before, after)
    if app.json:
        told = landed.json()
        if dry_run and not known:
            told["commit"] = None  # it would depend on the time
        put_json({"dry_run": dry_run, "known": known, "way": way, "landed": told, "changes": difference.json()})
        return
    paper = app.paper
    place = paper.yellow(f"{safe(landed.decision.space)}@{landed.seq}")
    what = render.what(landed.decision, render.seq_in(before))
    commit = paper.dim(render.short(landed.commit))
    if way == "lease":
        taken = paper.dim(f"  under the lease of {safe(holder)}")
    else:
        taken = paper.dim(f"  by {'the sequencer' if way == 'sequencer' else way}") if way in _WAYS else ""
    if known:
        paper.line(f"{place} is there already  {what}  {commit}")
    elif dry_run:
        paper.line(f"would append {place}  {what}{taken}")
    else:
        paper.line(f"{place}  {what}  {commit}{taken}")
    render.changes(paper, before, difference)


_WAYS = ("sequencer", "compare-and-swap")  # the ways that a server leaves to choose between


def _way(space: Space, how: How, when: Callable[[CoordinationState], bool] | None) -> Way:
    return space.way(how.expect is not None or when is not None)


def _tell_queued(
    app: App, space: Space, place: str, intents: Sequence[Intent], reason: str, *, dry_run: bool = False
) -> None:
    """Says where a decision waits, or would, and what happens next."""
    from . import render

    ids = [intent.decision.id for intent in intents]
    if app.json:
        told = {"state": "queued", "space": space.id, "place": place, "ids": ids, "reason": reason}
        put_json({"dry_run": dry_run, **told})
        return
    paper = app.paper
    verb = "would wait" if dry_run else "waits"
    for intent in intents:
        paper.line(f"{paper.yellow(f'{verb} in the {place}')}  {render.what(intent.decision)}")
    paper.line(f"  {safe(reason)}")
    if dry_run:
        return
    if place == "outbox":
        paper.line("  -> `coordjournal sync` sends it, and so does the next command that appends to this space")
    paper.line(f"  -> `coordjournal where {word(space.id)} {ids[0]}` tells where it is")


@contextmanager
def _noted_rejections(app: App, space: Space) -> Iterator[None]:
    """Tells which older entries of the outbox could not land, as they were sent before the decision in here."""
    outbox = space.journal.outbox
    waited = [entry for entry in outbox.entries(space.id) if entry.state != "rejected"] if outbox else []
    try:
        yield
    finally:
        for entry in waited:
            now = outbox.entry(entry.number) if outbox else None
            error = now.error() if now is not None else None
            if error is not None:
                note(app.json, f"what waited in the outbox as {entry.name} was rejected: {error}")


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
    way = _way(space, how, when)
    try:
        preview = space.preview([intent], expect=how.expect, when=when, allow_void=how.allow_void)
    except Refused as refusal:
        if refusal.code != "lease-held" or way == "embedded" or (way != "sequencer" and not how.queue):
            raise
        place = "inbox" if way == "sequencer" else "outbox"
        _tell_queued(app, space, place, [intent], refusal.what, dry_run=True)
        raise click.exceptions.Exit(QUEUED) from None
    if not preview.landed:
        landed = state.find(intent.decision.id)
        tell(app, landed, state.as_of(landed.seq - 1), state.as_of(landed.seq), known=True, dry_run=True)
        return
    holder = preview.before.lease.holder if preview.before.lease else ""
    tell(app, preview.landed[0], preview.before, preview.after, dry_run=True, way=way, holder=holder)
