"""What a space tells of a decision that is not, or not yet, in its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .decision import Landed
from .errors import CoordjournalError
from .state import CoordinationState


@dataclass(frozen=True, slots=True)
class Preview:
    """What an append would do: the decisions as they would land (their commits are not written), and the states."""

    landed: Sequence[Landed]
    before: CoordinationState
    after: CoordinationState


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a decision is: ``state`` is ``landed``, ``queued``, ``refused`` or ``unknown``.

    ``landed`` is where it landed; ``place`` says where it is queued or kept (``outbox``, ``inbox``); ``reason`` why it
    was refused, and ``error``, where the outbox keeps it, is what was raised then.
    """

    state: Literal["landed", "queued", "refused", "unknown"]
    place: Literal["outbox", "inbox"] | None = None
    landed: Landed | None = None
    reason: str | None = None
    error: CoordjournalError | None = None

    def json(self) -> dict[str, Any]:
        """It as a JSON object, with the Seq and the commit of what landed."""
        landed = self.landed
        return {
            "state": self.state,
            "place": self.place,
            "seq": landed.seq if landed else None,
            "commit": landed.commit if landed else None,
            "reason": self.reason,
        }
