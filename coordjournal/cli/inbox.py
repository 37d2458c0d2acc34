"""The inbox of a space, on the server: ``inbox list``, ``inbox show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..errors import DecisionNotFound, GitFailed
from .base import SPACE, App, ListingGroup, json_option, pass_app
from .output import put_content, put_json, safe
from .progress import Progress

if TYPE_CHECKING:
    from ..decision import Intent
    from ..inbox import Waiting
    from ..space import Space

_SHORTEST = 4  # characters of an id that name an intent


@click.group(cls=ListingGroup)
def inbox() -> None:
    """Look at what waits for the holder of a lease.

    It is on the server: here it is asked for it, and in the bare repository itself it is read there. `list` may be
    left out.
    """


@inbox.command(
    "list", examples=["coordjournal inbox list garden", "coordjournal -C /srv/git/wiki.git inbox list garden"]
)
@click.argument("space", type=SPACE)
@json_option
@pass_app
def list_waiting(app: App, space: str) -> None:
    """List the intents that wait, in the order of their arrival.

    A line is when it arrived, its id, the actor, and what is to be decided.
    """
    from . import render

    room = app.journal(extensions=False).space(space)
    with Progress("fetching"):
        found = _read(room, room.inbox())
    if app.json:
        told = [{**item.json(), **_decision_json(intent, fault)} for item, intent, fault in found]
        put_json({"space": space, "waiting": told})
        return
    paper = app.paper
    for item, intent, fault in found:
        what = paper.red(safe(fault))
        if intent is not None:
            what = f"{paper.cyan(safe(intent.decision.actor))}  {render.what(intent.decision)}"
        paper.line(f"{paper.dim(render.arrival(item))}  {safe(item.id)}  {what}")
    if not found:
        paper.line("nothing waits")


@inbox.command(
    "show", examples=["coordjournal inbox show garden 0193a2f4", "coordjournal inbox show garden 0193a2f4 --body"]
)
@click.argument("space", type=SPACE)
@click.argument("id", metavar="ID")
@click.option("--body", is_flag=True, help="Only its attachment `body`, byte for byte.")
@json_option
@pass_app
def show(app: App, space: str, id: str, body: bool) -> None:
    """Show an intent that waits, in full.

    ID may be the beginning of its id.
    """
    from ..inbox import contents
    from . import render

    room = app.journal(extensions=False).space(space)
    with Progress("fetching"):
        item = _named(room, id)
        intent = contents(room.journal.store, room.journal.remote, [item])[0]
    if body:
        if "body" not in intent.files:
            raise DecisionNotFound(f"{item.id} has no attachment 'body'")
        put_content(intent.files["body"], app.paper)
    elif app.json:
        put_json({**item.json(), **_decision_json(intent, "")})
    else:
        render.intent_in_full(app.paper, intent.decision, [("arrived", render.arrival(item)), ("commit", item.commit)])


def _named(space: Space, id: str) -> Waiting:
    found = [item for item in space.inbox() if item.id.startswith(id) and (len(id) >= _SHORTEST or item.id == id)]
    if len(found) != 1:
        many = "more than one intent" if found else "no intent"
        raise DecisionNotFound(f"{many} in the inbox of {space.id!r} answers to {id!r}")
    return found[0]


def _read(space: Space, waiting: list[Waiting]) -> list[tuple[Waiting, Intent | None, str]]:
    """What waits: each intent, or None and why it cannot be read."""
    from ..inbox import contents

    def some(items: list[Waiting]) -> list[Intent]:
        return contents(space.journal.store, space.journal.remote, items)

    try:
        return [(item, intent, "") for item, intent in zip(waiting, some(waiting), strict=True)]
    except GitFailed:
        pass  # one of them is damaged, or has just left
    found: list[tuple[Waiting, Intent | None, str]] = []
    for item in waiting:
        try:
            found.append((item, some([item])[0], ""))
        except GitFailed as error:
            found.append((item, None, str(error)))
    return found


def _decision_json(intent: Intent | None, fault: str) -> dict[str, Any]:
    return {"decision": None, "fault": fault} if intent is None else {"decision": intent.decision.json(), "fault": None}
