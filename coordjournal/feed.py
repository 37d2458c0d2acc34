"""The feed of what is new in the logs of a journal: :meth:`coordjournal.Journal.changes`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from .decision import Landed


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that is new in a space."""

    space: str
    landed: Landed


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a reader of the feed has come: space to the commit of the last decision it has seen."""

    seen: Mapping[str, str] = field(default_factory=dict)

    def after(self, change: Change) -> Checkpoint:
        """The checkpoint once ``change`` is dealt with."""
        return Checkpoint({**self.seen, change.space: change.landed.commit})

    def dumps(self) -> str:
        """The checkpoint as text, to be kept wherever its reader keeps things."""
        return json.dumps(dict(self.seen), ensure_ascii=False, sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> Checkpoint:
        """The checkpoint of :meth:`dumps`. Raises ValueError for anything else."""
        try:
            seen = json.loads(text)
        except RecursionError:
            raise ValueError("not a checkpoint") from None
        if not isinstance(seen, dict) or not all(isinstance(commit, str) and commit for commit in seen.values()):
            raise ValueError("not a checkpoint")
        return cls(seen)
