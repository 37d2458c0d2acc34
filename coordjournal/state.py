"""The state of a space: the answers that follow from a log, or from a beginning of it (docs/format.md, "The fold").

A :class:`CoordinationState` is a view of an index: the records up to its Seq, less what is revoked. It never changes.
A question works out what it needs when it is asked and no more; whole lists are worked out once and kept. All of it is
iteration, never recursion, so that a chain of 100,000 revocations is as lawful to fold as it is to append.

The rule that everything rests on: a decision is effective unless a later effective ``decision-revoked`` names it. Read
from the newest revocation to the oldest it needs no second look, for what revokes a revocation is always newer.

All sorting is by UTF-8 bytes. That is the order of Python's strings too: UTF-8 keeps the order of code points.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, Generic, TypeVar, overload
from unicodedata import normalize

from . import timestamp, trailer
from .decision import Attachment, Decision, Landed
from .errors import DecisionNotFound
from .extensions import ExtensionFold
from .index import NOT_REVOCABLE, AliasEvent, Index, OverlayEvent, Record
from .trailer import Lease
from .value import Value

_T = TypeVar("_T")

_BY_WITHOUT = -1  # the place of the revocation of a decision that only this view takes as revoked
_SHORTEST_PREFIX = 4
_MOST_DIGITS = 16  # of a Seq in a name


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Overlay(Value):
    """A local edit over a page: as its latest revision has it, open or closed.

    ``opened``, ``revised`` (the latest revision, else the opening) and ``closed`` are Seqs. ``outcome`` and ``closed``
    are None while it is open; ``result_rev`` may be None after.
    """

    overlay_id: str
    target: str
    base_rev: str | None
    body: Attachment
    opened: int
    revised: int
    outcome: str | None = None
    result_rev: str | None = None
    closed: int | None = None

    def json(self) -> dict[str, Any]:
        """As in ``state --json``: an open one has no keys about its closing."""
        out: dict[str, Any] = {
            "overlay_id": self.overlay_id,
            "target": self.target,
            "base_rev": self.base_rev,
            "body": self.body.json(),
            "opened": self.opened,
            "revised": self.revised,
        }
        if self.closed is not None:
            out |= {"outcome": self.outcome, "result_rev": self.result_rev, "closed": self.closed}
        return out


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ForkEdge(Value):
    """The page ``fork`` was forked from the page ``source`` (at ``source_rev``), decided at ``seq``."""

    source: str
    fork: str
    source_rev: str | None
    seq: int

    def json(self) -> dict[str, Any]:
        return {"source": self.source, "fork": self.fork, "source_rev": self.source_rev, "seq": self.seq}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Void(Value):
    """The decision ``id`` at ``seq`` is without effect; ``reason`` is a key of ``index.VOID_REASONS``."""

    seq: int
    id: str
    reason: str

    def json(self) -> dict[str, Any]:
        return {"seq": self.seq, "id": self.id, "reason": self.reason}


# What is private is no dataclass: each would take half a millisecond of every program that asks a question.


class _OverlayFold:
    __slots__ = ("counted", "overlay", "void")

    def __init__(self, overlay: Overlay | None, void: dict[int, str], counted: list[int]) -> None:
        self.overlay = overlay
        self.void = void
        self.counted = counted  # the Seqs that had an effect


class _ExtensionFold:
    __slots__ = ("errors", "started", "state")

    def __init__(self, state: Any, started: bool, errors: dict[int, str]) -> None:
        self.state = state
        self.started = started  # initial() did not fail
        self.errors = errors


class _Walk:
    """A walk through a group: its pages, each with the decision and the page it was reached by; its ties, and those of
    its pages that are revoked, each with the pages it names and whether it merges them into the last one."""

    __slots__ = ("reached", "revoked", "ties")

    def __init__(
        self,
        reached: dict[str, tuple[int, str]],
        ties: dict[int, tuple[list[str], bool]],
        revoked: dict[int, tuple[list[str], bool]],
    ) -> None:
        self.reached = reached
        self.ties = ties
        self.revoked = revoked

    def last_merge(self) -> tuple[int, str | None]:
        """The last merge and what it merged into; Seq -1 if there is none."""
        last = max((seq for seq, (_, merged) in self.ties.items() if merged), default=-1)
        return last, self.ties[last][0][-1] if last >= 0 else None


class _Group:
    __slots__ = ("canonical", "pages")

    def __init__(self, pages: tuple[str, ...], canonical: str | None) -> None:
        self.pages = pages
        self.canonical = canonical


class _Lazy(Generic[_T]):
    """A property worked out once. functools.cached_property would hold one lock for all views (Python 3.11), and a
    process forked while another thread holds it would wait for ever. Here two threads may do the same work twice."""

    def __init__(self, make: Callable[[Any], _T]) -> None:
        self.make = make
        self.name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, view: None, owner: type) -> _Lazy[_T]: ...
    @overload
    def __get__(self, view: object, owner: type) -> _T: ...
    def __get__(self, view: object | None, owner: type) -> _T | _Lazy[_T]:
        if view is None:
            return self
        return vars(view).setdefault(self.name, self.make(view))  # type: ignore[no-any-return]  # vars() holds Any


class CoordinationState:
    """What follows from the decisions of a space up to ``seq``. Immutable, cheap to make, safe to ask from any thread.

    Attributes:
        seq: the Seq of the last decision; -1 when there is none.
    """

    def __init__(self, index: Index, seq: int | None = None, without: Iterable[int] = ()) -> None:
        """The view of ``index`` up to ``seq`` (None: all it holds now), as if the decisions at the Seqs ``without``
        were revoked by someone later. Those that cannot be revoked (leases, repeated ids) stay as they are.

        Raises:
            DecisionNotFound: the index has no such Seq.
        """
        newest = len(index) - 1
        self.seq = newest if seq is None else seq
        if not -1 <= self.seq <= newest:
            raise DecisionNotFound(f"there is no Seq {self.seq}; the last one is {newest}")
        self._index = index
        left_out = frozenset(without)
        for at in left_out:
            self._check(at)
        self._without = frozenset(
            at
            for at in left_out
            if index.static_void(at) != "repeated-id" and index.kind(at) not in NOT_REVOCABLE
        )
        self._revokers: dict[int, int | None] = {}
        self._known_groups: dict[str, _Group] = {}
        self._overlay_folds: dict[str, _OverlayFold] = {}
        self._extension_folds: dict[str, _ExtensionFold] = {}

    def __repr__(self) -> str:
        less = f" without {sorted(self._without)}" if self._without else ""
        return f"<CoordinationState {self.space}@{self.seq}{less}>"

    # -- where this is -------------------------------------------------------------------------------------------

    @property
    def space(self) -> str | None:
        """The space id; None when the log is empty and nobody said it."""
        return self._index.space

    @property
    def commit(self) -> str | None:
        """The commit of the last decision, or None."""
        return self._index.commit(self.seq) if self.seq >= 0 else None

    @property
    def appended(self) -> int | None:
        """The append time of the last decision in seconds since 1970, or None."""
        return self._index.appended(self.seq) if self.seq >= 0 else None

    def as_of(self, seq: int) -> CoordinationState:
        """The state after ``seq`` (-1: before the first decision), without the same decisions as this one.

        Raises:
            DecisionNotFound: ``seq`` is not in this state.
        """
        if seq != -1:
            self._check(seq)
        return CoordinationState(self._index, seq, [at for at in self._without if at <= seq])

    def as_of_time(self, seconds: int) -> CoordinationState:
        """The state after the last decision whose append time is not after ``seconds`` since 1970."""
        return self.as_of(self._index.seq_at_time(seconds, self.seq))

    def without(self, seqs: Iterable[int]) -> CoordinationState:
        """The state as if a later decision revoked each of ``seqs``. Those that cannot be revoked stay as they are.

        Raises:
            DecisionNotFound: one of them is not in this state.
        """
        return CoordinationState(self._index, self.seq, self._without.union(seqs))

    # -- single decisions ----------------------------------------------------------------------------------------

    def landed(self, seq: int) -> Landed:
        """The decision at ``seq``.

        Raises:
            DecisionNotFound: there is none.
        """
        self._check(seq)
        commit, appended, appender, doc, lease = self._index.record(seq)
        return Landed(seq, commit, appended, appender, Decision.from_json(doc), lease)

    def find_id(self, id: str) -> Landed | None:
        """Where the decision with this id landed first, None if it has not."""
        seq = self._first(id)
        return None if seq is None else self.landed(seq)

    def refusal_of(self, id: str) -> str | None:
        """Why the intent with this id was let go, on the record; None if it was not."""
        seq = self._index.refusal(id)
        return None if seq is None or seq > self.seq else str(self._payload(seq)["reason"])

    def after(self, records: Iterable[Record]) -> CoordinationState:
        """The state once these records have landed on this one; what it costs does not grow with the log."""
        index = Index(self._index.space, self._index.extensions, self._index, self.seq + 1)
        index.extend(records)
        return CoordinationState(index, without=self._without)

    def find(self, name: str) -> Landed:
        """The decision that ``name`` means: ``42``, ``garden@42``, an id, a commit, or the unique beginning (four
        characters or more) of an id or a commit. A number without leading zeros is a Seq wherever there is such a Seq.

        Raises:
            DecisionNotFound: none or more than one, or ``name`` is of another space.
        """
        space, at, number = name.rpartition("@")
        if at and space != self.space:
            raise DecisionNotFound(f"{name!r} is of another space than {self.space!r}")
        if _is_seq(number) and int(number) <= self.seq:
            return self.landed(int(number))
        if at:
            raise DecisionNotFound(f"{self.space!r} has no Seq {number!r}; its last one is {self.seq}")
        found = self._starting_with(name.lower())
        if len(found) == 1:
            return self.landed(found[0])
        if found:
            places = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
            raise DecisionNotFound(f"{name!r} is the beginning of {len(found)} decisions: Seq {places}")
        raise DecisionNotFound(
            f"no decision of {self.space!r} answers to {name!r} (a Seq up to {self.seq}, an id, a commit, or the "
            f"beginning of one in {_SHORTEST_PREFIX} characters or more)"
        )

    def is_effective(self, seq: int) -> bool:
        """Whether the decision at ``seq`` counts: neither revoked nor void. Raises DecisionNotFound."""
        self._check(seq)
        return not self._is_revoked(seq) and self.void_reason(seq) is None

    def is_revoked(self, seq: int) -> bool:
        """Whether a later effective revocation names the decision at ``seq``. Raises DecisionNotFound."""
        self._check(seq)
        return self._is_revoked(seq)

    def revoked_by(self, seq: int) -> Landed | None:
        """The first effective revocation of the decision at ``seq``; None if it is not revoked, or only left out by
        :meth:`without`. Raises DecisionNotFound."""
        self._check(seq)
        by = self._revoker(seq)
        return None if by is None or by == _BY_WITHOUT else self.landed(by)

    def void_reason(self, seq: int) -> str | None:
        """Why the decision at ``seq`` is void (a key of ``index.VOID_REASONS``), or None. Raises DecisionNotFound."""
        self._check(seq)
        if self._is_revoked(seq):
            return None
        static = self._index.static_void(seq)
        if static is not None:
            return static
        kind = self._index.kind(seq)
        if kind == "alias-cleared":
            return None if self._is_set(self._payload(seq)["alias"], seq) else "alias-not-set"
        if kind.startswith("overlay-"):
            return self._overlay_fold(self._payload(seq)["overlay_id"]).void.get(seq)
        if kind in self._index.extensions and seq in self._extension_fold(kind).errors:
            return "extension-failed"
        return None

    def would_be_void(self, doc: Mapping[str, Any]) -> str | None:
        """Why the decision ``doc`` (its JSON object) would be void if it were the next one, or None."""
        if self._first(doc["id"]) is not None:
            return "repeated-id"
        kind, payload = doc["type"], doc["payload"]
        if kind == "decision-revoked":
            return self._index.revocation_fault(self._first(payload["decision"]))
        if kind == "alias-cleared":
            return None if self._is_set(payload["alias"]) else "alias-not-set"
        if kind.startswith("overlay-"):
            overlay = self.overlay(payload["overlay_id"])
            return _overlay_fault(kind, overlay is not None, overlay is not None and overlay.closed is not None)
        if kind in self._index.extensions:
            folded = self._extension_fold(kind)
            at = max(self.appended or 0, timestamp.seconds(doc["at"]))
            landed = Landed(self.seq + 1, "", at, doc["actor"], Decision.from_json(doc))
            if not folded.started or _apply(self._index.extensions[kind], folded.state, landed)[1]:
                return "extension-failed"
        return None

    @_Lazy
    def void(self) -> tuple[Void, ...]:
        """The decisions that are neither revoked nor of any effect, by Seq."""
        revoked = self._all_revoked
        reasons = {seq: why for seq, why in self._index.static_voids(self.seq) if seq not in revoked}
        reasons |= dict.fromkeys(self._alias_fold[1], "alias-not-set")
        for folded in self._all_overlays:
            reasons |= folded.void
        for seq in self.extension_errors:
            reasons[seq] = "extension-failed"
        return tuple(Void(seq, self._index.record(seq)[3]["id"], reasons[seq]) for seq in sorted(reasons))

    @_Lazy
    def revoked(self) -> tuple[int, ...]:
        """The Seqs of the decisions that are revoked."""
        return tuple(sorted(self._all_revoked))

    # -- aliases -------------------------------------------------------------------------------------------------

    def resolve(self, name: str) -> str | None:
        """The page that ``name`` means, or None. One step: a target that is itself a name stays as it is.

        Names are compared byte for byte; one that no decision ever spelled so is looked up in Unicode's NFC.
        """
        return self._last_alias_event(self._spelled(name))[1]

    @_Lazy
    def aliases(self) -> Mapping[str, str]:
        """All names that are set, sorted, and the pages they mean."""
        return MappingProxyType(dict(sorted(self._alias_fold[0].items())))

    def why_alias(self, name: str) -> tuple[Landed, ...]:
        """What ``name`` means because of these: the decision that set or cleared it, and the revocations without which
        it would mean something else."""
        name = self._spelled(name)
        answer = self.resolve(name)
        last, target = self._last_alias_event(name)
        while last >= 0 and target is None and not self._is_set(name, last):
            last, target = self._last_alias_event(name, last)  # this one found nothing to clear
        undone = []
        for seq, target in self._index.alias_events(name, self.seq):
            if seq <= last:
                break
            if target != answer and self._is_revoked(seq):
                undone.append(seq)
        return self._why([last] if last >= 0 else [], undone)

    # -- groups --------------------------------------------------------------------------------------------------

    def group(self, page: str) -> tuple[str, ...]:
        """The pages that are one page with ``page``, itself included, sorted."""
        return self._group(page).pages

    @_Lazy
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The groups of two pages or more, each sorted, sorted among themselves."""
        return tuple(sorted(group.pages for group in self._all_groups if len(group.pages) > 1))

    def canonical(self, page: str) -> str | None:
        """The page that the group of ``page`` was last merged into; None if no merge ever was in it."""
        return self._group(page).canonical

    @_Lazy
    def canonicals(self) -> tuple[str, ...]:
        """The pages that are the canonical page of their group, sorted."""
        return tuple(sorted(group.canonical for group in self._all_groups if group.canonical is not None))

    def why_group(self, page: str) -> tuple[Landed, ...]:
        """The group of ``page`` is what it is because of these: its bindings and merges, and the revocations without
        which it would be larger."""
        walk = self._walk_group(page)
        undone = (seq for seq, (pages, _) in walk.revoked.items() if not walk.reached.keys() >= set(pages))
        return self._why(walk.ties, undone)

    def why_canonical(self, page: str) -> tuple[Landed, ...]:
        """The canonical page of ``page`` is what it is because of these: the merge that decided it, the shortest chain
        of decisions that ties ``page`` to it, and the revocations of what would have decided instead."""
        walk = self._walk_group(page)
        merge, into = walk.last_merge()
        made = []
        if into is not None:
            made.append(merge)
            here = into
            while here != page:
                seq, here = walk.reached[here]
                made.append(seq)
        return self._why(made, (seq for seq, (_, merged) in walk.revoked.items() if merged and seq > merge))

    # -- overlays ------------------------------------------------------------------------------------------------

    def overlay(self, overlay_id: str) -> Overlay | None:
        """The overlay of this id, open or closed; None if nobody opened it."""
        return self._overlay_fold(overlay_id).overlay

    @_Lazy
    def overlays(self) -> tuple[Overlay, ...]:
        """The open overlays, by the Seq that opened them."""
        return self._sorted_overlays(lambda overlay: overlay.closed is None)

    @_Lazy
    def closed_overlays(self) -> tuple[Overlay, ...]:
        """The closed overlays, by the Seq that opened them."""
        return self._sorted_overlays(lambda overlay: overlay.closed is not None)

    def body_commit(self, overlay_id: str) -> str | None:
        """The commit whose tree holds the overlay's latest ``body``; None if nobody opened it."""
        overlay = self.overlay(overlay_id)
        return None if overlay is None else self._index.commit(overlay.revised)

    def why_overlay(self, overlay_id: str) -> tuple[Landed, ...]:
        """The overlay is what it is because of these: its opening, revisions and closing, and the revocations of
        others."""
        events = self._index.overlay_events(overlay_id, self.seq)
        undone = (seq for seq, _, _ in events if self._is_revoked(seq))
        return self._why(self._overlay_fold(overlay_id).counted, undone)

    # -- forks ---------------------------------------------------------------------------------------------------

    @_Lazy
    def forks(self) -> tuple[ForkEdge, ...]:
        """All forks in Seq order."""
        revoked = self._all_revoked
        return tuple(
            ForkEdge(source, fork, rev, seq)
            for seq, fork, source, rev in self._index.forks(self.seq)
            if seq not in revoked
        )

    def lineage(self, page: str) -> tuple[str, ...]:
        """The pages that ``page`` comes from: its sources, then theirs, each once, ``page`` itself left out.

        Several sources of one page come in Seq order; sources of the nearer pages come first.
        """
        return tuple(islice(self._walk_lineage(page)[0], 1, None))

    def why_lineage(self, page: str) -> tuple[Landed, ...]:
        """The lineage of ``page`` is what it is because of these: the forks of it and of all pages it comes from, and
        the revocations without which it would be longer."""
        reached, edges, revoked = self._walk_lineage(page)
        return self._why(edges, (seq for seq, source in revoked if source not in reached))

    # -- leases and extensions -----------------------------------------------------------------------------------

    @property
    def lease(self) -> Lease | None:
        """The lease as the tip's trailer tells it, expired or not; None if none was ever acquired in this space.
        Whether it is in force depends on the time: ``state.lease.in_force(now)``."""
        return trailer.read(self._index.record(self.seq)[4]) if self.seq >= 0 else None

    @_Lazy
    def extensions(self) -> Mapping[str, Any]:
        """The states of the extension types that have a plug-in, by type, sorted."""
        types = ((kind, self._extension_fold(kind)) for kind in sorted(self._index.extensions))
        return MappingProxyType({kind: folded.state for kind, folded in types if folded.started})

    @_Lazy
    def extension_errors(self) -> Mapping[int, str]:
        """What plug-ins raised: the Seq of the decision they failed on, and their words."""
        errors: dict[int, str] = {}
        for kind in self._index.extensions:
            errors |= self._extension_fold(kind).errors
        return MappingProxyType({seq: errors[seq] for seq in sorted(errors)})

    # -- all of it -----------------------------------------------------------------------------------------------

    def json(self) -> dict[str, Any]:
        """The object that ``state --json`` prints. Alias names are keys, so it is outside canonical JSON."""
        return {
            "space": self.space,
            "seq": self.seq,
            "commit": self.commit,
            "aliases": dict(self.aliases),
            "groups": [list(group) for group in self.groups],
            "canonicals": list(self.canonicals),
            "overlays": [overlay.json() for overlay in self.overlays],
            "closed_overlays": [overlay.json() for overlay in self.closed_overlays],
            "forks": [edge.json() for edge in self.forks],
            "lease": self.lease.json() if self.lease else None,
            "void": [void.json() for void in self.void],
            "revoked": list(self.revoked),
            "extensions": dict(self.extensions),
        }

    # -- how -----------------------------------------------------------------------------------------------------

    def _check(self, seq: int) -> None:
        if not 0 <= seq <= self.seq:
            raise DecisionNotFound(f"{self.space!r} has no Seq {seq} here; its last one is {self.seq}")

    def _payload(self, seq: int) -> Any:
        return self._index.record(seq)[3]["payload"]

    def _first(self, decision_id: str) -> int | None:
        seq = self._index.first(decision_id)
        return None if seq is None or seq > self.seq else seq

    def _starting_with(self, prefix: str) -> list[int]:
        exact = self._first(prefix)
        if exact is not None:
            return [exact]
        if len(prefix) < _SHORTEST_PREFIX:
            return []
        return sorted(self._index.starting_with(prefix, self.seq))

    def _is_revoked(self, seq: int) -> bool:
        return self._revoker(seq) is not None

    def _revoker(self, seq: int) -> int | None:
        """The first effective revocation of the decision at ``seq``; _BY_WITHOUT if only this view takes it as revoked,
        None if nothing does.

        It looks at the revocations of this decision, at those of these, and so on, and at no others.
        """
        known = self._revokers
        path: list[tuple[int, Sequence[int], int]] = [(seq, self._revocations_of(seq), 0)] if seq not in known else []
        while path:
            here, revocations, at = path[-1]
            if at == len(revocations):
                known[here] = _BY_WITHOUT if here in self._without else None
                path.pop()
            elif revocations[at] not in known:
                path.append((revocations[at], self._revocations_of(revocations[at]), 0))
            elif known[revocations[at]] is None:
                known[here] = revocations[at]
                path.pop()
            else:
                path[-1] = (here, revocations, at + 1)
        return known[seq]

    def _revocations_of(self, seq: int) -> Sequence[int]:
        return self._index.revocations_of(seq, self.seq)

    @_Lazy
    def _all_revoked(self) -> Collection[int]:
        """What is revoked, worked out for all at once."""
        revoked = set(self._without)
        for seq, target in reversed(list(self._index.revocations(self.seq))):
            if seq not in revoked:
                revoked.add(target)
        return revoked

    def _why(self, made: Iterable[int], undone: Iterable[int]) -> tuple[Landed, ...]:
        """The decisions ``made``, and the revocations of those ``undone``, in Seq order."""
        seqs = {by for seq in undone if (by := self._revoker(seq)) is not None}
        seqs.discard(_BY_WITHOUT)
        return tuple(self.landed(seq) for seq in sorted(seqs.union(made)))

    def _spelled(self, name: str) -> str:
        if name.isascii() or any(True for _ in self._index.alias_events(name, self.seq)):
            return name
        return normalize("NFC", name)

    def _last_alias_event(self, name: str, before: int | None = None) -> AliasEvent:
        """The last effective decision (below ``before``) that sets or clears ``name``, and its target; Seq -1 if there
        is none."""
        for seq, target in self._index.alias_events(name, self.seq if before is None else before - 1):
            if not self._is_revoked(seq):
                return seq, target
        return -1, None

    def _is_set(self, name: str, before: int | None = None) -> bool:
        return self._last_alias_event(name, before)[1] is not None

    @_Lazy
    def _alias_fold(self) -> tuple[dict[str, str], list[int]]:
        """All names that are set, with their targets; and the Seqs that clear a name which was not set."""
        revoked = self._all_revoked
        targets: dict[str, str] = {}
        void: list[int] = []
        for name, seq, target in self._index.all_alias_events(self.seq):
            if seq in revoked:
                continue
            if target is not None:
                targets[name] = target
            elif targets.pop(name, None) is None:
                void.append(seq)
        return targets, void

    def _walk_group(self, page: str) -> _Walk:
        """The group of ``page``, nearest first."""
        walk = _Walk({page: (-1, page)}, {}, {})
        queue = [page]
        for here in queue:  # grows as it goes
            for seq, pages, merged in self._index.ties(here, self.seq):
                if seq in walk.ties or seq in walk.revoked:
                    continue
                if self._is_revoked(seq):
                    walk.revoked[seq] = pages, merged
                    continue
                walk.ties[seq] = pages, merged
                for other in pages:
                    if other not in walk.reached:
                        walk.reached[other] = (seq, here)
                        queue.append(other)
        return walk

    def _group(self, page: str) -> _Group:
        """The group of ``page``, walked once for all its pages."""
        known = self._known_groups.get(page)
        if known is not None:
            return known
        walk = self._walk_group(page)
        group = _Group(tuple(sorted(walk.reached)), walk.last_merge()[1])
        self._known_groups.update(dict.fromkeys(walk.reached, group))
        return group

    @_Lazy
    def _all_groups(self) -> list[_Group]:
        """All groups at once: a disjoint-set forest with path halving and union by size."""
        above: dict[str, str] = {}
        size: dict[str, int] = {}

        def root(page: str) -> str:
            while above[page] != page:
                above[page] = above[above[page]]
                page = above[page]
            return page

        revoked = self._all_revoked
        merges: list[str] = []
        for seq, pages, merged in self._index.all_ties(self.seq):
            if seq in revoked:
                continue
            for page in pages:
                if page not in above:
                    above[page] = page
                    size[page] = 1
            one = root(pages[0])
            for page in pages[1:]:
                other = root(page)
                if other != one:
                    if size[one] < size[other]:
                        one, other = other, one
                    above[other] = one
                    size[one] += size[other]
            if merged:
                merges.append(pages[-1])
        into_of = {root(into): into for into in merges}  # of a group the last one stays
        members: dict[str, list[str]] = {}
        for page in above:
            members.setdefault(root(page), []).append(page)
        groups = []
        for one, together in members.items():
            group = _Group(tuple(sorted(together)), into_of.get(one))
            self._known_groups.update(dict.fromkeys(together, group))
            groups.append(group)
        return groups

    def _overlay_fold(self, overlay_id: str) -> _OverlayFold:
        done = self._overlay_folds.get(overlay_id)
        if done is None:
            events = self._index.overlay_events(overlay_id, self.seq)
            done = _overlay_of(overlay_id, [event for event in events if not self._is_revoked(event[0])])
            self._overlay_folds[overlay_id] = done
        return done

    @_Lazy
    def _all_overlays(self) -> tuple[_OverlayFold, ...]:
        revoked = self._all_revoked
        events: dict[str, list[OverlayEvent]] = {}
        for overlay_id, event in self._index.all_overlay_events(self.seq):
            if event[0] not in revoked:
                events.setdefault(overlay_id, []).append(event)
        return tuple(_overlay_of(*item) for item in events.items())

    def _sorted_overlays(self, wanted: Callable[[Overlay], bool]) -> tuple[Overlay, ...]:
        overlays = (folded.overlay for folded in self._all_overlays)
        found = (overlay for overlay in overlays if overlay is not None and wanted(overlay))
        return tuple(sorted(found, key=lambda overlay: overlay.opened))

    def _walk_lineage(self, page: str) -> tuple[dict[str, None], list[int], list[tuple[int, str]]]:
        """``page`` and the pages it comes from, nearest first; the forks that say so; and those that are revoked, each
        with its source."""
        reached: dict[str, None] = {page: None}
        edges: list[int] = []
        revoked: list[tuple[int, str]] = []
        queue = [page]
        for here in queue:  # grows as it goes
            for seq, _, source, _ in self._index.forks_of(here, self.seq):
                if self._is_revoked(seq):
                    revoked.append((seq, source))
                    continue
                edges.append(seq)
                if source not in reached:
                    reached[source] = None
                    queue.append(source)
        return reached, edges, revoked

    def _extension_fold(self, kind: str) -> _ExtensionFold:
        done = self._extension_folds.get(kind)
        if done is not None:
            return done
        plugin = self._index.extensions[kind]
        seqs = [seq for seq in self._index.of_type(kind, self.seq) if not self._is_revoked(seq)]
        errors: dict[int, str] = {}
        started = True
        try:
            state = plugin.initial()
        except Exception as error:  # a plug-in may be anything; the fold must go on
            state = None
            started = False
            errors = dict.fromkeys(seqs, _words(error))
        if started:
            for seq in seqs:
                state, failure = _apply(plugin, state, self.landed(seq))
                if failure:
                    errors[seq] = failure
        folded = _ExtensionFold(state, started, errors)
        self._extension_folds[kind] = folded
        return folded


def fold(
    decisions: Iterable[Landed], *, space: str | None = None, extensions: Mapping[str, ExtensionFold] | None = None
) -> CoordinationState:
    """The state that follows from ``decisions``, a log from its Seq 0 on.

    Args:
        space: the space id, where the log may be empty.
        extensions: plug-ins by type; :func:`coordjournal.extensions.load_extensions` finds those installed.

    Raises:
        ValueError: a Seq is missing or out of order.
    """
    index = Index(space, extensions)

    def records() -> Iterator[Record]:
        for place, landed in enumerate(decisions):
            if landed.seq != place:
                raise ValueError(f"expected Seq {place}, found {landed.seq}: a fold takes a whole log in order")
            yield landed.record()

    index.extend(records())
    return CoordinationState(index)


def _overlay_of(overlay_id: str, events: Iterable[OverlayEvent]) -> _OverlayFold:
    """What the effective decisions about an overlay come to."""
    opened: OverlayEvent | None = None
    revised: OverlayEvent | None = None
    closed: OverlayEvent | None = None
    void: dict[int, str] = {}
    counted: list[int] = []
    for event in events:
        seq, kind, _ = event
        fault = _overlay_fault(kind, opened is not None, closed is not None)
        if fault is not None:
            void[seq] = fault
            continue
        counted.append(seq)
        if kind == "overlay-created":
            opened = revised = event
        elif kind == "overlay-revised":
            revised = event
        else:
            closed = event
    overlay = None
    if opened is not None and revised is not None:
        latest = revised[2]
        body = Attachment(latest["body"]["bytes"], latest["body"]["sha256"])
        end = {} if closed is None else closed[2]
        overlay = Overlay(
            *(overlay_id, opened[2]["target"], latest["base_rev"], body, opened[0], revised[0]),
            *(end.get("outcome"), end.get("result_rev"), None if closed is None else closed[0]),
        )
    return _OverlayFold(overlay, void, counted)


def _overlay_fault(kind: str, opened: bool, closed: bool) -> str | None:
    if kind == "overlay-created":
        return "overlay-exists" if opened else None
    if not opened:
        return "unknown-overlay"
    return "overlay-closed" if closed else None


def _apply(plugin: ExtensionFold, state: Any, landed: Landed) -> tuple[Any, str]:
    """The state after ``landed`` and ``""``, or the state as it was and what the plug-in raised."""
    try:
        return plugin.apply(state, landed), ""
    except Exception as error:  # a plug-in may be anything; the fold must go on
        return state, _words(error)


def _words(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # even its __str__ may fail
        return type(error).__name__


def _is_seq(number: str) -> bool:
    if not (number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS):
        return False
    return number == "0" or not number.startswith("0")
