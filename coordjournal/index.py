"""The index of a log: what the fold looks things up in, kept by appending alone (docs/format.md, "The fold").

A state is a *view* of an index up to some Seq (see the module ``state``): handing one out copies nothing, and as-of,
what-if and the difference of two states are views too. So everything here obeys two rules:

- An entry is appended and never changed or removed, and it depends on the decisions before it alone. Only this makes
  folding in any number of steps the same as folding at once, and leaves a view alone when the log grows.
- An entry for a Seq is in place before the record of that Seq is, and whoever asks says up to which Seq (``last``). So
  any number of threads may ask while one thread extends.

What depends on later decisions (is it revoked?) is therefore no business of the index but of the view. Two reasons to
be void are known for good when a decision lands: its id was used before, or it revokes what cannot be revoked.

An :class:`Index` may stand on a *base* that answers for the first decisions of the log: on a file of them
(:mod:`coordjournal.projection`), or on another index, of which it is then a possible future. Without a base it is the
definition of the fold: everything else is held equal to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Protocol

from .extensions import ExtensionFold

#: A decision where it landed: commit, append time in seconds, appender, the decision's JSON object, lease trailer. The
#: place in the list is the Seq. The objects are shared by all views: read them, never change them.
Record = tuple[str, int, str, dict[str, Any], str | None]

AliasEvent = tuple[int, str | None]  #: Seq, and the target; None where it clears the name
Tie = tuple[int, list[str], bool]  #: Seq, the pages that are one, and whether they were merged, into the last of them
OverlayEvent = tuple[int, str, dict[str, Any]]  #: Seq, decision type and payload
Fork = tuple[int, str, str, str | None]  #: Seq, the fork, its source, the source's revision

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


class Lookups(Protocol):
    """What can be looked up about the decisions of a log. ``last`` is the last Seq that counts; events about a name
    leave out decisions with a repeated id, and come in the order of their Seqs unless it is said otherwise."""

    def __len__(self) -> int: ...

    def record(self, seq: int) -> Record:
        """The decision at ``seq``."""

    def commit(self, seq: int) -> str:
        """Its commit."""

    def appended(self, seq: int) -> int:
        """Its append time, in seconds since 1970."""

    def kind(self, seq: int) -> str:
        """Its type."""

    def first(self, id: str) -> int | None:
        """The Seq at which an id stands first."""

    def refusal(self, id: str) -> int | None:
        """The first ``intent-refused`` that names the intent with this id."""

    def starting_with(self, prefix: str, last: int) -> set[int]:
        """The Seqs whose commit begins with ``prefix``, and those at which an id that does so stands first."""

    def seq_at_time(self, seconds: int, last: int) -> int:
        """The last Seq whose append time is not after ``seconds`` since 1970; -1 when there is none."""

    def static_void(self, seq: int) -> str | None:
        """Why the decision at ``seq`` is void whatever comes later, or None."""

    def static_voids(self, last: int) -> Iterable[tuple[int, str]]:
        """All that are void whatever comes later, and why."""

    def revocations_of(self, seq: int, last: int) -> Sequence[int]:
        """The revocations, themselves not void, of the decision at ``seq``."""

    def revocations(self, last: int) -> Iterable[tuple[int, int]]:
        """All such revocations, each with what it revokes."""

    def alias_events(self, name: str, last: int) -> Iterable[AliasEvent]:
        """What sets or clears a name, the newest first."""

    def all_alias_events(self, last: int) -> Iterable[tuple[str, int, str | None]]:
        """The name, the Seq and the target of all of them."""

    def ties(self, page: str, last: int) -> Iterable[Tie]:
        """The bindings and merges that name a page."""

    def all_ties(self, last: int) -> Iterable[Tie]:
        """All bindings and merges."""

    def overlay_events(self, overlay_id: str, last: int) -> Iterable[OverlayEvent]:
        """What is about an overlay."""

    def all_overlay_events(self, last: int) -> Iterable[tuple[str, OverlayEvent]]:
        """All of that, with the overlay's id."""

    def forks_of(self, page: str, last: int) -> Iterable[Fork]:
        """The forks that made a page."""

    def forks(self, last: int) -> Iterable[Fork]:
        """All forks."""

    def of_type(self, kind: str, last: int) -> Iterable[int]:
        """The decisions of an extension type."""


class Index:
    """An append-only index over the log of one space, in memory; over a ``base`` of its first decisions, if it has
    one. See :class:`Lookups` for the questions."""

    def __init__(
        self,
        space: str | None = None,
        extensions: Mapping[str, ExtensionFold] | None = None,
        base: Lookups | None = None,
        start: int | None = None,
    ) -> None:
        """An index that holds what ``base`` holds, or only its first ``start`` decisions.

        Without ``space``, the first record says which space this is.
        """
        self._space = space
        self.extensions = dict(extensions or {})
        self._base = base
        self.start = (0 if base is None else len(base)) if start is None else start
        self._records: list[Record] = []
        self._first: dict[str, int] = {}
        self._static_void: dict[int, str] = {}
        # Names to the Seqs about them, and all such Seqs in order; decisions with a repeated id are in none of these.
        self._aliases: dict[str, list[int]] = {}
        self._alias_seqs: list[int] = []
        self._ties: dict[str, list[int]] = {}
        self._tie_seqs: list[int] = []
        self._overlays: dict[str, list[int]] = {}
        self._overlay_seqs: list[int] = []
        self._forks: dict[str, list[int]] = {}
        self._fork_seqs: list[int] = []
        self._by_type: dict[str, list[int]] = {}
        self._revocations_of: dict[int, list[int]] = {}
        self._revocations: list[tuple[int, int]] = []
        self._refusals: dict[str, int] = {}

    def __len__(self) -> int:
        return self.start + len(self._records)

    @property
    def space(self) -> str | None:
        """The space id; None while nothing has said it."""
        if self._space is None and len(self):
            return str(self.record(0)[3]["space"])
        return self._space

    def extend(self, records: Iterable[Record]) -> None:
        """Append the next records of the log.

        The records must be lawful: one that is not may raise and leaves the index unusable. When ``records`` itself
        raises, the index holds all it had given before. One thread at a time.
        """
        base = self._base
        first = self._first
        append = self._records.append
        takers = _TAKERS
        seq = len(self)
        for record in records:
            doc = record[3]
            id = doc["id"]
            if first.setdefault(id, seq) != seq or (base is not None and self.first(id) != seq):
                self._static_void[seq] = "repeated-id"
            else:
                kind = doc["type"]
                take = takers.get(kind)
                if take is not None:
                    take(self, seq, doc["payload"])
                elif kind.startswith("x-"):
                    self._by_type.setdefault(kind, []).append(seq)
            append(record)
            seq += 1

    def added(self) -> Iterator[tuple[int, Record, str | None, int | None]]:
        """What was added to the base: the Seq of each decision, its record, why it is void whatever comes later, and
        what it revokes."""
        targets = dict(self._revocations)
        for seq, record in enumerate(self._records, self.start):
            yield seq, record, self._static_void.get(seq), targets.get(seq)

    # -- single decisions ----------------------------------------------------------------------------------------

    def record(self, seq: int) -> Record:
        if seq < self.start and self._base is not None:
            return self._base.record(seq)
        return self._records[seq - self.start]

    def commit(self, seq: int) -> str:
        if seq < self.start and self._base is not None:
            return self._base.commit(seq)
        return self._records[seq - self.start][0]

    def appended(self, seq: int) -> int:
        if seq < self.start and self._base is not None:
            return self._base.appended(seq)
        return self._records[seq - self.start][1]

    def kind(self, seq: int) -> str:
        if seq < self.start and self._base is not None:
            return self._base.kind(seq)
        kind: str = self._records[seq - self.start][3]["type"]
        return kind

    def first(self, id: str) -> int | None:
        if self._base is not None:
            below = self._base.first(id)
            if below is not None and below < self.start:
                return below
        return self._first.get(id)

    def refusal(self, id: str) -> int | None:
        if self._base is not None:
            below = self._base.refusal(id)
            if below is not None and below < self.start:
                return below
        return self._refusals.get(id)

    def starting_with(self, prefix: str, last: int) -> set[int]:
        found = set() if self._base is None else self._base.starting_with(prefix, self._below(last))
        for seq, (commit, _, _, doc, _) in enumerate(self._records[: max(0, last + 1 - self.start)], self.start):
            if commit.startswith(prefix):
                found.add(seq)
            if doc["id"].startswith(prefix) and self._static_void.get(seq) != "repeated-id":
                found.add(seq)
        return found

    def seq_at_time(self, seconds: int, last: int) -> int:
        here = bisect_right(self._records, seconds, hi=max(0, last + 1 - self.start), key=itemgetter(1))
        if here or self._base is None:
            return self.start + here - 1
        return self._base.seq_at_time(seconds, self._below(last))

    def static_void(self, seq: int) -> str | None:
        if seq < self.start and self._base is not None:
            return self._base.static_void(seq)
        return self._static_void.get(seq)

    def static_voids(self, last: int) -> Iterator[tuple[int, str]]:
        below = self._base.static_voids(self._below(last)) if self._base is not None else ()
        seqs = list(self._static_void)
        return chain(below, ((seq, self._static_void[seq]) for seq in seqs[: bisect_right(seqs, last)]))

    # -- revocations ---------------------------------------------------------------------------------------------

    def revocations_of(self, seq: int, last: int) -> Sequence[int]:
        here = _upto(self._revocations_of.get(seq, ()), last)
        if self._base is None or seq >= self.start:
            return here
        return [*self._base.revocations_of(seq, self._below(last)), *here]

    def revocations(self, last: int) -> Iterator[tuple[int, int]]:
        below = self._base.revocations(self._below(last)) if self._base is not None else ()
        end = bisect_right(self._revocations, last, key=itemgetter(0))
        return chain(below, self._revocations[:end])

    def revocation_fault(self, target: int | None) -> str | None:
        """Why a revocation of the decision at ``target`` (None: no such decision) is void, or None."""
        if target is None:
            return "unknown-decision"
        return "not-revocable" if self.kind(target) in NOT_REVOCABLE else None

    # -- events --------------------------------------------------------------------------------------------------

    def alias_events(self, name: str, last: int) -> Iterator[AliasEvent]:
        seqs = self._aliases.get(name, ())
        for at in range(bisect_right(seqs, last) - 1, -1, -1):  # a name that was set 10,000 times costs no more
            yield seqs[at], self._payload(seqs[at]).get("target")
        if self._base is not None:
            yield from self._base.alias_events(name, self._below(last))

    def all_alias_events(self, last: int) -> Iterator[tuple[str, int, str | None]]:
        if self._base is not None:
            yield from self._base.all_alias_events(self._below(last))
        for seq in _upto(self._alias_seqs, last):
            payload = self._payload(seq)
            yield payload["alias"], seq, payload.get("target")

    def ties(self, page: str, last: int) -> Iterator[Tie]:
        if self._base is not None:
            yield from self._base.ties(page, self._below(last))
        for seq in _upto(self._ties.get(page, ()), last):
            yield self._tie(seq)

    def all_ties(self, last: int) -> Iterator[Tie]:
        if self._base is not None:
            yield from self._base.all_ties(self._below(last))
        for seq in _upto(self._tie_seqs, last):
            yield self._tie(seq)

    def overlay_events(self, overlay_id: str, last: int) -> Iterator[OverlayEvent]:
        if self._base is not None:
            yield from self._base.overlay_events(overlay_id, self._below(last))
        for seq in _upto(self._overlays.get(overlay_id, ()), last):
            yield seq, self.kind(seq), self._payload(seq)

    def all_overlay_events(self, last: int) -> Iterator[tuple[str, OverlayEvent]]:
        if self._base is not None:
            yield from self._base.all_overlay_events(self._below(last))
        for seq in _upto(self._overlay_seqs, last):
            payload = self._payload(seq)
            yield payload["overlay_id"], (seq, self.kind(seq), payload)

    def forks_of(self, page: str, last: int) -> Iterator[Fork]:
        if self._base is not None:
            yield from self._base.forks_of(page, self._below(last))
        for seq in _upto(self._forks.get(page, ()), last):
            yield self._fork(seq)

    def forks(self, last: int) -> Iterator[Fork]:
        if self._base is not None:
            yield from self._base.forks(self._below(last))
        for seq in _upto(self._fork_seqs, last):
            yield self._fork(seq)

    def of_type(self, kind: str, last: int) -> Iterator[int]:
        below = self._base.of_type(kind, self._below(last)) if self._base is not None else ()
        return chain(below, _upto(self._by_type.get(kind, ()), last))

    # -- how -----------------------------------------------------------------------------------------------------

    def _below(self, last: int) -> int:
        """What the base may tell of: it may have grown beyond what this index takes from it."""
        return min(last, self.start - 1)

    def _payload(self, seq: int) -> dict[str, Any]:
        payload: dict[str, Any] = self._records[seq - self.start][3]["payload"]
        return payload

    def _tie(self, seq: int) -> Tie:
        payload = self._payload(seq)
        return seq, pages_of(payload), "into" in payload

    def _fork(self, seq: int) -> Fork:
        payload = self._payload(seq)
        return seq, payload["fork"], payload["source"], payload.get("source_rev")


def pages_of(payload: Mapping[str, Any]) -> list[str]:
    """The pages that a ``binding-made`` or ``merge-decided`` with this payload ties together; what they are merged
    into comes last."""
    members: list[str] | None = payload.get("members")
    return [*payload["sources"], payload["into"]] if members is None else members


def _upto(seqs: Sequence[int], last: int) -> Sequence[int]:
    """Those of rising ``seqs`` that are not beyond ``last``; a copy, for a writer may extend the list meanwhile."""
    return seqs[: bisect_right(seqs, last)]


def _note(events: dict[str, list[int]], key: str, seq: int) -> None:
    seqs = events.get(key)
    if seqs is None:
        events[key] = [seq]
    elif seqs[-1] != seq:  # a merge may name a page twice
        seqs.append(seq)


def _take_alias(index: Index, seq: int, payload: dict[str, Any]) -> None:
    _note(index._aliases, payload["alias"], seq)
    index._alias_seqs.append(seq)


def _take_tie(index: Index, seq: int, payload: dict[str, Any]) -> None:
    for page in pages_of(payload):
        _note(index._ties, page, seq)
    index._tie_seqs.append(seq)


def _take_fork(index: Index, seq: int, payload: dict[str, Any]) -> None:
    _note(index._forks, payload["fork"], seq)
    index._fork_seqs.append(seq)


def _take_overlay(index: Index, seq: int, payload: dict[str, Any]) -> None:
    _note(index._overlays, payload["overlay_id"], seq)
    index._overlay_seqs.append(seq)


def _take_revocation(index: Index, seq: int, payload: dict[str, Any]) -> None:
    target = index.first(payload["decision"])
    fault = index.revocation_fault(None if target == seq else target)  # nothing can revoke itself
    if target is None or fault is not None:
        index._static_void[seq] = fault or "unknown-decision"
    else:
        index._revocations_of.setdefault(target, []).append(seq)
        index._revocations.append((seq, target))


def _take_refusal(index: Index, seq: int, payload: dict[str, Any]) -> None:
    index._refusals.setdefault(payload["decision"], seq)


_TAKERS: dict[str, Callable[[Index, int, dict[str, Any]], None]] = {
    "alias-set": _take_alias,
    "alias-cleared": _take_alias,
    "binding-made": _take_tie,
    "merge-decided": _take_tie,
    "fork-made": _take_fork,
    "overlay-created": _take_overlay,
    "overlay-revised": _take_overlay,
    "overlay-closed": _take_overlay,
    "decision-revoked": _take_revocation,
    "intent-refused": _take_refusal,
}
