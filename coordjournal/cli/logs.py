"""The log itself: ``log`` and ``show``."""

from __future__ import annotations

import click

from .base import KIND, SPACE, App, Command, Number, json_option, named_decision, pass_app, state_of
from .output import put_content, put_json


@click.command(
    cls=Command,
    examples=[
        "coordjournal log garden",
        "coordjournal log garden -n 20 --type alias-set",
        "coordjournal log garden --since 40 --json | jq .payload",
    ],
)
@click.argument("space", type=SPACE)
@click.option("--since", type=Number(0), default=0, metavar="SEQ", help="From this Seq on.")
@click.option("--until", type=Number(0), metavar="SEQ", help="Up to and with this Seq.")
@click.option("-n", "--last", type=Number(1), metavar="COUNT", help="Only the last so many decisions.")
@click.option("--type", "kinds", multiple=True, metavar="TYPE", type=KIND, help="Only decisions of this type.")
@click.option("--actor", "actors", multiple=True, metavar="NAME", help="Only decisions of this actor.")
@json_option
@pass_app
def log(
    app: App,
    space: str,
    since: int,
    until: int | None,
    last: int | None,
    kinds: tuple[str, ...],
    actors: tuple[str, ...],
) -> None:
    """Print the decisions of a space, oldest first.

    A line is the Seq, when it was decided, the actor, and what was decided; the reason follows. Nothing is fetched;
    `coordjournal sync` does that. --type and --actor may be given several times; of what --last counts they show a
    part. With --json a line is a decision.
    """
    from . import render

    if last is not None and since:
        raise click.UsageError("--last counts from the end, --since from the beginning: choose one.")
    room = app.space(space, extensions=False)
    first = since
    if last is not None:
        first = max(0, (room.last_seq() if until is None else min(until, room.last_seq())) + 1 - last)
    width = len(str(max(room.last_seq(), 0) if until is None else until))
    seen: dict[str, int] = {}  # what revocations name lies before them
    for landed in room.log(first, until):
        if not app.json:
            seen.setdefault(landed.decision.id, landed.seq)
        if (kinds and landed.decision.type not in kinds) or (actors and landed.decision.actor not in actors):
            continue
        if app.json:
            put_json(landed.json())
        else:
            render.log_line(app.paper, landed, width, seen.get)


@click.command(
    cls=Command,
    examples=["coordjournal show garden@42", "coordjournal show garden 42 --body", "coordjournal show 0193a2f4 --json"],
)
@click.argument("decision", metavar="[SPACE] DECISION", nargs=-1, required=True)
@click.option("--body", is_flag=True, help="Only its attachment `body`, byte for byte.")
@json_option
@pass_app
def show(app: App, decision: tuple[str, ...], body: bool) -> None:
    """Show a decision in full, and whether it is in effect.

    DECISION is a Seq, SPACE@SEQ, a commit, or the beginning of an id.
    """
    from . import render

    space, named = named_decision(app, decision)
    state = state_of(space)
    landed = state.find(named)
    if body:
        put_content(space.body(landed), app.paper)
    elif app.json:
        put_json({**landed.json(), **render.status_of(landed.seq, state)})
    else:
        render.decision_in_full(app.paper, landed, state)
