"""What a curator should look at: answers of a state that are lawful and consistent, and probably not meant.

Pure: the state and the time are arguments. Nothing here is a fault of the log; a finding is a question to a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .decision import Landed
from .state import CoordinationState

DAY = 86_400
FORGOTTEN_AFTER = 30 * DAY  #: seconds without a revision after which an open overlay counts as forgotten


@dataclass(frozen=True, slots=True)
class Finding:
    """``kind`` (stable) says what is odd, ``names`` which aliases, pages or overlays, ``seqs`` which decisions made it
    so, ``message`` all of it in words."""

    kind: str
    names: tuple[str, ...]
    seqs: tuple[int, ...]
    message: str

    def json(self) -> dict[str, Any]:
        """The object that ``lint --json`` prints."""
        return {"kind": self.kind, "names": list(self.names), "seqs": list(self.seqs), "message": self.message}


def lint(state: CoordinationState, *, now: int, forgotten_after: int = FORGOTTEN_AFTER) -> list[Finding]:
    """Everything that is odd in ``state``, kind by kind, sorted within each.

    Args:
        now: the present, in seconds since 1970.
        forgotten_after: so many seconds without a revision make an open overlay forgotten.
    """
    return [
        *_alias_loops(state),
        *_aliases_to_merged_pages(state),
        *_competing_canonicals(state),
        *_forgotten_overlays(state, now, forgotten_after),
    ]


def _alias_loops(state: CoordinationState) -> Iterator[Finding]:
    """Names that lead back to themselves when each target is read as a name again, as a wiki may do."""
    aliases = state.aliases
    done: set[str] = set()
    for start in aliases:
        path: dict[str, None] = {}
        name = start
        while name in aliases and name not in done and name not in path:
            path[name] = None
            name = aliases[name]
        if name in path:
            steps = list(path)
            loop = steps[steps.index(name) :]
            first = loop.index(min(loop))
            loop = loop[first:] + loop[:first]
            shown = " -> ".join(map(repr, [*loop, loop[0]]))
            yield Finding("alias-loop", tuple(loop), _seqs(*map(state.why_alias, loop)), f"names in a circle: {shown}")
        done.update(path)


def _aliases_to_merged_pages(state: CoordinationState) -> Iterator[Finding]:
    """Names that mean a page which was merged into another one."""
    for name, target in state.aliases.items():
        canonical = state.canonical(target)
        if canonical is not None and canonical != target:
            yield Finding(
                "alias-to-merged-page",
                (name, target, canonical),
                _seqs(state.why_alias(name), state.why_canonical(target)),
                f"the name {name!r} means {target!r}, which is merged into {canonical!r}",
            )


def _competing_canonicals(state: CoordinationState) -> Iterator[Finding]:
    """Groups with several pages that others were merged into, none of which was merged on: the last merge wins, though
    nobody may have decided between them."""
    for group in state.groups:
        if state.canonical(group[0]) is None:
            continue
        merges = [landed for landed in state.why_group(group[0]) if landed.decision.type == "merge-decided"]
        last: dict[str, int] = {}  # page to the last merge into it
        for merge in merges:
            last[merge.decision.payload["into"]] = merge.seq
        for merge in merges:
            for source in merge.decision.payload["sources"]:
                if source != merge.decision.payload["into"] and last.get(source, merge.seq) < merge.seq:
                    del last[source]
        if len(last) > 1:
            rivals = tuple(sorted(last))
            winner = state.canonical(group[0])
            yield Finding(
                "competing-canonicals",
                rivals,
                tuple(sorted(last.values())),
                f"one group was merged into {' and '.join(map(repr, rivals))}; {winner!r} counts, as the last one",
            )


def _forgotten_overlays(state: CoordinationState, now: int, after: int) -> Iterator[Finding]:
    """Open overlays that nobody has touched for more than ``after`` seconds."""
    for overlay in state.overlays:
        age = now - state.landed(overlay.revised).appended
        if age > after:
            yield Finding(
                "forgotten-overlay",
                (overlay.overlay_id, overlay.target),
                tuple(sorted({overlay.opened, overlay.revised})),
                f"the overlay {overlay.overlay_id!r} on {overlay.target!r} is open and was not touched for "
                f"{age // DAY} days",
            )


def _seqs(*reasons: tuple[Landed, ...]) -> tuple[int, ...]:
    return tuple(sorted({landed.seq for why in reasons for landed in why}))
