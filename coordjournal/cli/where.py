"""``where``: what became of a decision that was sent off."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from ..errors import DecisionNotFound, Queued, Refused, RemoteUnreachable
from .base import SECONDS, SPACE, App, Command, json_option, pass_app
from .failure import DONE, QUEUED, REFUSED
from .output import note, put_json, safe
from .progress import Progress

if TYPE_CHECKING:
    from ..space import Space
    from ..whereabouts import Whereabouts

_STATUS = {"landed": DONE, "queued": QUEUED, "refused": REFUSED, "unknown": REFUSED}
_WAITS = {
    "outbox": "in the outbox of this clone: `coordjournal sync` sends it",
    "inbox": "in the inbox of the server: it waits for the holder of the lease, or for the lease to end",
}
_SHORTEST = 4  # characters of an id that name a decision
_WHOLE = 36  # characters of an id


@click.command(
    cls=Command,
    examples=[
        "coordjournal where garden 0193a2f4-7c1e-7a5b-8f00-2f1d5c9b7e61",
        "coordjournal where garden 0193a2f4 --wait 60 --json",
    ],
)
@click.argument("space", type=SPACE)
@click.argument("id", metavar="ID")
@click.option(
    "--wait", type=SECONDS, metavar="SECONDS", help="Send what waits here, and wait for the decision to land."
)
@json_option
@pass_app
@click.pass_context
def where(ctx: click.Context, app: App, space: str, id: str, wait: float | None) -> None:
    """Print where a decision is: landed, queued, or refused.

    ID is what an append has printed, or its beginning. The exit status is 0 if it has landed, 3 if it waits in the
    outbox or the inbox, and 1 if it was refused or nobody knows of it.
    """
    from . import held as leases
    from . import render

    room = app.journal().space(space)
    with Progress("asking"):
        try:
            room.journal.refresh(space)
        except RemoteUnreachable as error:
            if wait is not None:
                raise
            note(app.json, f"{error}; this is what is known here")
        found_id = _whole(room, id)
        if wait is not None:
            with leases.under(app, room), suppress(Queued, Refused, DecisionNotFound):
                room.wait(found_id, wait)
        found = room.whereabouts(found_id)
    if app.json:
        put_json({"space": space, "id": found_id, **found.json()})
    elif found.landed is not None:
        what = render.what(found.landed.decision)
        place = app.paper.yellow(f"{safe(space)}@{found.landed.seq}")
        app.paper.line(
            f"{app.paper.green('landed')}  {place}  {what}  {app.paper.dim(render.short(found.landed.commit))}"
        )
    else:
        app.paper.line(_words(app, found))
    ctx.exit(_STATUS[found.state])


def _words(app: App, found: Whereabouts) -> str:
    paper = app.paper
    if found.state == "queued":
        return f"{paper.yellow('queued')}  {_WAITS[found.place or 'inbox']}"
    if found.state == "refused":
        kept = "; it is kept in the outbox" if found.place == "outbox" else ""
        return f"{paper.red('refused')}  {safe(found.reason or '')}{kept}"
    return f"{paper.red('unknown')}  it has not landed, and waits neither here nor on the server"


def _whole(space: Space, id: str) -> str:
    """The id that begins so, of what has landed or waits; ``id`` itself if that is not one alone."""
    if not _SHORTEST <= len(id) < _WHOLE:
        return id
    found = set()
    with suppress(DecisionNotFound):
        found.add(space.state().find(id).decision.id)
    outbox = space.journal.outbox
    if outbox is not None:
        found |= {decision.id for entry in outbox.entries(space.id) for decision in entry.decisions}
    with suppress(RemoteUnreachable):
        found |= {item.id for item in space.inbox()}
    named = [each for each in found if each.startswith(id)]
    return named[0] if len(named) == 1 else id
