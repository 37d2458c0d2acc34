"""The difference of two states: what one answers otherwise than the other.

The two may be any views of one log: at two places, or with and without a decision. Only answers are compared, so that
a decision which changed nothing is not seen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from .state import CoordinationState, ForkEdge, Overlay, Void
from .trailer import Lease

_T = TypeVar("_T")

Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StateDiff:
    """What is different in the state ``after`` from the state ``before``; ``bool()`` says whether anything is.

    Attributes:
        aliases: name to what it meant and what it means, None where it is not set.
        groups_gained, groups_lost: the groups that only the state after, only the state before has.
        canonicals_gained, canonicals_lost: likewise the pages that are canonical of their group.
        overlays_opened: open after and not before (also when a closing was revoked).
        overlays_revised: open in both and not the same, as they are after.
        overlays_closed: closed after and not so before.
        overlays_gone: in the state before, open or closed, and unknown after.
        forks_gained, forks_lost, void_gained, void_lost, revoked_gained, revoked_lost: likewise, in Seq order.
        extensions: type to its state before and after, None where it has none.
        lease: what the tip says of it before and after, where another acquisition made it, or nobody holds it any
            more; None where it is the same. That it was renewed is no difference.
    """

    aliases: Mapping[str, tuple[str | None, str | None]]
    groups_gained: tuple[Group, ...]
    groups_lost: tuple[Group, ...]
    canonicals_gained: tuple[str, ...]
    canonicals_lost: tuple[str, ...]
    overlays_opened: tuple[Overlay, ...]
    overlays_revised: tuple[Overlay, ...]
    overlays_closed: tuple[Overlay, ...]
    overlays_gone: tuple[Overlay, ...]
    forks_gained: tuple[ForkEdge, ...]
    forks_lost: tuple[ForkEdge, ...]
    void_gained: tuple[Void, ...]
    void_lost: tuple[Void, ...]
    revoked_gained: tuple[int, ...]
    revoked_lost: tuple[int, ...]
    extensions: Mapping[str, tuple[Any, Any]]
    lease: tuple[Lease | None, Lease | None] | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)

    def json(self) -> dict[str, Any]:
        """The object that ``diff --json`` prints."""
        return {
            "aliases": {name: list(change) for name, change in self.aliases.items()},
            "groups": {
                "gained": [list(group) for group in self.groups_gained],
                "lost": [list(group) for group in self.groups_lost],
            },
            "canonicals": {"gained": list(self.canonicals_gained), "lost": list(self.canonicals_lost)},
            "overlays": {
                "opened": [overlay.json() for overlay in self.overlays_opened],
                "revised": [overlay.json() for overlay in self.overlays_revised],
                "closed": [overlay.json() for overlay in self.overlays_closed],
                "gone": [overlay.json() for overlay in self.overlays_gone],
            },
            "forks": {
                "gained": [edge.json() for edge in self.forks_gained],
                "lost": [edge.json() for edge in self.forks_lost],
            },
            "void": {
                "gained": [void.json() for void in self.void_gained],
                "lost": [void.json() for void in self.void_lost],
            },
            "revoked": {"gained": list(self.revoked_gained), "lost": list(self.revoked_lost)},
            "extensions": {kind: list(change) for kind, change in self.extensions.items()},
            "lease": None if self.lease is None else [lease.json() if lease else None for lease in self.lease],
        }


def diff(before: CoordinationState, after: CoordinationState) -> StateDiff:
    """What ``after`` answers otherwise than ``before``."""
    was = {overlay.overlay_id: overlay for overlay in (*before.overlays, *before.closed_overlays)}
    known = {overlay.overlay_id for overlay in (*after.overlays, *after.closed_overlays)}
    was_open = {overlay.overlay_id for overlay in before.overlays}
    return StateDiff(
        aliases=_changes(before.aliases, after.aliases),
        groups_gained=_only(after.groups, before.groups),
        groups_lost=_only(before.groups, after.groups),
        canonicals_gained=_only(after.canonicals, before.canonicals),
        canonicals_lost=_only(before.canonicals, after.canonicals),
        overlays_opened=tuple(overlay for overlay in after.overlays if overlay.overlay_id not in was_open),
        overlays_revised=tuple(
            overlay
            for overlay in after.overlays
            if overlay.overlay_id in was_open and overlay != was[overlay.overlay_id]
        ),
        overlays_closed=tuple(
            overlay for overlay in after.closed_overlays if overlay != was.get(overlay.overlay_id)
        ),
        overlays_gone=tuple(
            overlay for overlay in (*before.overlays, *before.closed_overlays) if overlay.overlay_id not in known
        ),
        forks_gained=_only(after.forks, before.forks),
        forks_lost=_only(before.forks, after.forks),
        void_gained=_only(after.void, before.void),
        void_lost=_only(before.void, after.void),
        revoked_gained=_only(after.revoked, before.revoked),
        revoked_lost=_only(before.revoked, after.revoked),
        extensions=_changes(before.extensions, after.extensions),
        lease=None if _who(before.lease) == _who(after.lease) else (before.lease, after.lease),
    )


def _who(lease: Lease | None) -> tuple[str, str, int] | None:
    return (lease.holder, lease.token, lease.term) if lease and lease.holder else None


def _only(these: tuple[_T, ...], those: tuple[_T, ...]) -> tuple[_T, ...]:
    others = set(those)
    return tuple(item for item in these if item not in others)


def _changes(before: Mapping[str, _T], after: Mapping[str, _T]) -> Mapping[str, tuple[_T | None, _T | None]]:
    changed = {
        key: (before.get(key), after.get(key))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    }
    return MappingProxyType(changed)
