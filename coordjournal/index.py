"""The index of a log: what the fold looks things up in, kept by appending alone (docs/format.md, "The fold").

A state is a *view* of an index up to some Seq (see the module ``state``): handing one out copies nothing, and as-of,
what-if and the difference of two states are views too. So everything here obeys two rules:

- An entry is appended and never changed or removed, and it depends on the decisions before it alone. Only this makes
  folding in any number of steps the same as folding at once, and leaves a view alone when the log grows.
- An entry for a Seq is in place before the record of that Seq is, and a view looks at no Seq above its own. So any
  number of threads may ask while one thread extends.

What depends on later decisions (is it revoked?) is therefore no business of the index but of the view. Two reasons to
be void are known for good when a decision lands: its id was used before, or it revokes what cannot be revoked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from .extensions import ExtensionFold

#: A decision where it landed: commit, append time in seconds, appender, the decision's JSON object. The place in the
#: list is the Seq. The objects are shared by all views: read them, never change them.
Record = tuple[str, int, str, dict[str, Any], str | None]

#: Why a decision is void: the code, and the sentence that explains it.
VOID_REASONS = {
    "repeated-id": "its id was used before, and the first occurrence of an id is the decision",
    "unknown-decision": "it revokes an id that no earlier decision of this space has",
    "not-revocable": "it revokes a decision of a type that cannot be revoked",
    "alias-not-set": "it clears a name that was not set",
    "overlay-exists": "it opens an overlay under an overlay_id that was used before",
    "unknown-overlay": "it is about an overlay that nobody opened",
    "overlay-closed": "it is about an overlay that was closed before",
    "extension-failed": "the plug-in of its type failed on it",
}

#: The types whose decisions stay as they are: a lease is over when it is over, not when someone says so later.
NOT_REVOCABLE = frozenset({"lease-acquired", "lease-released", "intent-refused"})


class Index:
    """An append-only index over the log of one space.

    Attributes (to be read; lists of Seqs rise; decisions with a repeated id are in none but the first two):
        records: the log, a record per Seq.
        static_void: Seq to the reason, for decisions that are void whatever comes later.
        first: id to the Seq of its first occurrence.
        alias_events: alias to the Seqs that set or clear it.
        alias_clears: the Seqs that clear an alias.
        group_events: the Seqs of bindings and merges.
        page_events: page to the Seqs of bindings and merges that name it.
        overlay_events: overlay_id to the Seqs about it.
        forks: the Seqs of forks.
        forks_of: page to the Seqs of the forks that made it.
        revocations, revoked_targets: the Seqs of revocations that are not void, and beside them what each revokes.
        by_type: extension type to the Seqs of its decisions.
        extensions: extension type to its plug-in.
    """

    __slots__ = (
        "_space",
        "alias_clears",
        "alias_events",
        "by_type",
        "extensions",
        "first",
        "forks",
        "forks_of",
        "group_events",
        "overlay_events",
        "page_events",
        "records",
        "refusals",
        "revocations",
        "revoked_targets",
        "settled",
        "static_void",
    )

    def __init__(self, space: str | None = None, extensions: Mapping[str, ExtensionFold] | None = None) -> None:
        """An empty index. Without ``space``, the first record says which space this is."""
        self._space = space
        self.extensions = dict(extensions or {})
        self.records: list[Record] = []
        self.static_void: dict[int, str] = {}
        self.first: dict[str, int] = {}
        self.alias_events: dict[str, list[int]] = {}
        self.alias_clears: list[int] = []
        self.group_events: list[int] = []
        self.page_events: dict[str, list[int]] = {}
        self.overlay_events: dict[str, list[int]] = {}
        self.forks: list[int] = []
        self.forks_of: dict[str, list[int]] = {}
        self.revocations: list[int] = []
        self.revoked_targets: list[int] = []
        self.by_type: dict[str, list[int]] = {}
        self.refusals: dict[str, int] = {}  # of intents: the id to the first intent-refused that names it
        # What the latest view worked out: so many revocations, and what they revoke. Most views can take it over.
        self.settled: tuple[int, dict[int, int]] = (0, {})

    def __len__(self) -> int:
        return len(self.records)

    @property
    def space(self) -> str | None:
        """The space id; None while nothing has said it."""
        if self._space is None and self.records:
            return str(self.records[0][3]["space"])
        return self._space

    def extend(self, records: Iterable[Record]) -> None:
        """Append the next records of the log.

        The records must be lawful: one that is not may raise and leaves the index unusable. When ``records`` itself
        raises, the index holds all it had given before. One thread at a time.
        """
        first = self.first
        append = self.records.append
        takers = _TAKERS
        seq = len(self.records)
        for record in records:
            doc = record[3]
            if first.setdefault(doc["id"], seq) != seq:
                self.static_void[seq] = "repeated-id"
            else:
                kind = doc["type"]
                take = takers.get(kind)
                if take is not None:
                    take(self, seq, doc["payload"])
                elif kind.startswith("x-"):
                    _note(self.by_type, kind, seq)
            append(record)
            seq += 1

    def seq_at_time(self, seconds: int) -> int:
        """The last Seq whose append time is not after ``seconds`` (since 1970); -1 when there is none."""
        return bisect_right(self.records, seconds, key=itemgetter(1)) - 1

    def revocation_fault(self, target: int | None) -> str | None:
        """Why a revocation of the decision at ``target`` (None: no such decision) is void, or None."""
        if target is None:
            return "unknown-decision"
        return "not-revocable" if self.records[target][3]["type"] in NOT_REVOCABLE else None


def pages_of(payload: Mapping[str, Any]) -> list[str]:
    """The pages that a ``binding-made`` or ``merge-decided`` with this payload ties together."""
    members: list[str] | None = payload.get("members")
    return [*payload["sources"], payload["into"]] if members is None else members


def _note(events: dict[str, list[int]], key: str, seq: int) -> None:
    seqs = events.get(key)
    if seqs is None:
        events[key] = [seq]
    elif seqs[-1] != seq:  # a merge may name a page twice
        seqs.append(seq)


def _take_alias_set(index: Index, seq: int, payload: dict[str, Any]) -> None:
    _note(index.alias_events, payload["alias"], seq)


def _take_alias_cleared(index: Index, seq: int, payload: dict[str, Any]) -> None:
    _note(index.alias_events, payload["alias"], seq)
    index.alias_clears.append(seq)


def _take_group(index: Index, seq: int, payload: dict[str, Any]) -> None:
    for page in pages_of(payload):
        _note(index.page_events, page, seq)
    index.group_events.append(seq)


def _take_fork(index: Index, seq: int, payload: dict[str, Any]) -> None:
    _note(index.forks_of, payload["fork"], seq)
    index.forks.append(seq)


def _take_overlay(index: Index, seq: int, payload: dict[str, Any]) -> None:
    _note(index.overlay_events, payload["overlay_id"], seq)


def _take_revocation(index: Index, seq: int, payload: dict[str, Any]) -> None:
    target = index.first.get(payload["decision"])
    fault = index.revocation_fault(None if target == seq else target)  # nothing can revoke itself
    if target is None or fault is not None:
        index.static_void[seq] = fault or "unknown-decision"
    else:
        index.revoked_targets.append(target)
        index.revocations.append(seq)  # last: a reader counts these and then takes as many targets


def _take_refusal(index: Index, seq: int, payload: dict[str, Any]) -> None:
    index.refusals.setdefault(payload["decision"], seq)


_TAKERS: dict[str, Callable[[Index, int, dict[str, Any]], None]] = {
    "alias-set": _take_alias_set,
    "alias-cleared": _take_alias_cleared,
    "binding-made": _take_group,
    "merge-decided": _take_group,
    "fork-made": _take_fork,
    "overlay-created": _take_overlay,
    "overlay-revised": _take_overlay,
    "overlay-closed": _take_overlay,
    "decision-revoked": _take_revocation,
    "intent-refused": _take_refusal,
}
