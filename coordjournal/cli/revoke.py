"""Taking decisions back: ``revoke`` and ``undo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import CoordjournalError
from .base import SPACE, App, Command, named_decision, pass_app, state_of
from .output import note
from .writing import How, actor_of, decide, writing_options

if TYPE_CHECKING:
    from ..decision import Landed
    from ..state import CoordinationState


@click.command(
    cls=Command,
    examples=["coordjournal revoke garden@42 -m 'a mistake'", "coordjournal revoke garden 0193a2 --dry-run"],
)
@click.argument("decision", metavar="[SPACE] DECISION", nargs=-1, required=True)
@writing_options
@pass_app
def revoke(app: App, decision: tuple[str, ...], how: How) -> None:
    """Take an earlier decision back.

    Nothing is erased: the revocation is a decision of its own, and can be revoked like any other, which brings back
    what it took away. DECISION is a Seq, SPACE@SEQ, a commit, or the beginning of an id.
    """
    from ..payload import DecisionRevoked

    space, named = named_decision(app, decision)
    state = state_of(space)
    target = state.find(named)
    if state.is_revoked(target.seq):
        note(app.json, f"{space.id}@{target.seq} is revoked already")
    decide(app, space, DecisionRevoked(target.decision.id), how)


@click.command(
    cls=Command, examples=["coordjournal undo garden --dry-run", "coordjournal undo garden --anyone -m 'wrong page'"]
)
@click.argument("space", type=SPACE)
@click.option("--anyone", is_flag=True, help="The last decision of anyone, not only of the actor.")
@writing_options
@pass_app
def undo(app: App, space: str, anyone: bool, how: How) -> None:
    """Revoke the last decision of the actor that is in effect.

    Revocations themselves are passed over, so that undo again takes back the decision before; `coordjournal revoke`
    takes back an undo.
    """
    from ..payload import DecisionRevoked

    room = app.journal().space(space)
    actor = actor_of(app, how.actor)
    state = state_of(room)
    target = _last(state, None if anyone else actor)
    if target is None:
        whose = "no decision" if anyone else f"no decision of {actor!r}"
        raise CoordjournalError(f"{space}@{state.seq} has {whose} that is in effect and could be undone")

    def still_the_last(now: CoordinationState) -> bool:
        last = _last(now, None if anyone else actor)
        return last is not None and last.seq == target.seq

    decide(app, room, DecisionRevoked(target.decision.id), how, when=still_the_last)


def _last(state: CoordinationState, actor: str | None) -> Landed | None:
    """The last effective decision (of ``actor``) that a revocation would change something about."""
    from ..index import NOT_REVOCABLE

    for seq in range(state.seq, -1, -1):
        landed = state.landed(seq)
        decision = landed.decision
        if actor is not None and decision.actor != actor:
            continue
        if decision.type not in NOT_REVOCABLE and decision.type != "decision-revoked" and state.is_effective(seq):
            return landed
    return None
