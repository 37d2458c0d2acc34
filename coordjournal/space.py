"""One space: append to its log, read it, ask for its state."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import log
from .commit import Commit, parse
from .decision import Decision, Intent, Landed, Payload, at_text, new_id
from .errors import (
    Contention,
    DecisionNotFound,
    GitFailed,
    IdConflict,
    JournalRewound,
    PreconditionFailed,
    Refused,
    RemoteUnreachable,
    UnknownSpace,
    UnlawfulLog,
    WouldBeVoid,
)
from .index import VOID_REASONS, Index, Record
from .locking import Lock
from .refs import encode_space
from .stamp import Stamped, stamp
from .state import CoordinationState
from .timestamp import seconds

if TYPE_CHECKING:
    from .journal import Journal

When = Callable[[CoordinationState], bool]

_CACHED_STEP = 256  # so many new records are worth a write to the cache
# What is judged by what is known of the server and its log.
_BY_WHAT_IS_KNOWN = ("too-large", "undeclared-type", "read-only", "would-be-void", "precondition-failed")
_FIRST_PAUSE = 0.01  # seconds before the second try of an append that lost a race; then twice as long each time
_LONGEST_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Preview:
    """What an append would do: the decisions as they would land (their commits are not written), and the states."""

    landed: Sequence[Landed]
    before: CoordinationState
    after: CoordinationState


class Space:
    """The log of one space. Made by :meth:`coordjournal.Journal.space`; safe for any number of threads.

    Attributes:
        id: the space id.
        ref: the ref of the log on the server.
    """

    def __init__(self, journal: Journal, space: str) -> None:
        self.id = space
        self.ref = "refs/spaces/" + encode_space(space)  # raises ValueError for what is no space id
        self._journal = journal
        self._store = journal.store
        self._lock = Lock(self._start_over)  # held while the index grows, never while a remote is asked
        self._appending = Lock()  # one append of this process at a time
        self._start_over()

    def _start_over(self) -> None:
        """Forgets what was read of the log. States that were handed out keep the index they look at."""
        self._index = Index(self.id, self._journal.extensions)
        self._tip: str | None = None
        self._cache = self._journal.cache(self.id)
        self._uncached: list[bytes] = []  # the JSON lines of what the cache does not hold yet

    def __repr__(self) -> str:
        return f"<Space {self.id}>"

    # -- reading -------------------------------------------------------------------------------------------------

    def state(
        self,
        at: int | str | datetime | None = None,
        *,
        without: Iterable[int | str] = (),
        at_least: int | None = None,
        timeout: float = 30.0,
    ) -> CoordinationState:
        """The state of the space: of all this repository holds, or as of ``at``.

        Args:
            at: a Seq (-1: before the first decision), a time (a datetime with a zone, or text as ``at`` has it), a
                commit, an id, or ``garden@42``.
            without: decisions to leave out, as if each were revoked now; named as for ``at``, but for times.
            at_least: a clone fetches until it has this Seq.
            timeout: how long to wait for ``at_least``, in seconds.

        Raises:
            DecisionNotFound: no decision is named so; or ``at_least`` did not come in time.
            JournalRewound: the log went backwards.
            UnlawfulLog, UnsupportedVersion, GitFailed: the log cannot be read.
        """
        state = self._newest()
        if at_least is not None:
            state = self._wait_for(at_least, timeout)
        if at is not None:
            state = self._as_of(state, at)
        left_out = [state.find(str(name)).seq for name in without]
        return state.without(left_out) if left_out else state

    def log(self, since: int = 0, until: int | None = None) -> Iterator[Landed]:
        """The decisions from Seq ``since`` to ``until`` (included; None: the last), in their order, as git streams.

        A negative ``since`` counts from the end: -10 gives the last ten.

        Raises:
            UnknownSpace: the space has no log here.
            UnlawfulLog, UnsupportedVersion, GitFailed: the log cannot be read.
        """
        tip = self._store.tip(self.id)
        if tip is None:
            raise UnknownSpace(f"the space {self.id!r} has no log here")
        last = self._seq_of(tip)  # of this very tip: the log may grow meanwhile
        first = max(0, last + 1 + since if since < 0 else since)
        if first > last:
            return
        for landed in log.numbered(self._store.commits(tip, oldest_first=True, count=last - first + 1), first):
            if until is not None and landed.seq > until:
                return
            yield landed

    def last_seq(self) -> int:
        """The Seq at the tip, read from its commit alone; -1 for an empty space."""
        return self._seq_of(self._store.tip(self.id))

    def body(self, landed: Landed | str, name: str = "body") -> bytes:
        """The content of an attachment of a landed decision, or of the commit given.

        Raises:
            DecisionNotFound: it has none of that name.
        """
        return self._store.file(landed if isinstance(landed, str) else landed.commit, name)

    # -- writing -------------------------------------------------------------------------------------------------

    def intent(
        self,
        decision: Payload | str,
        payload: Mapping[str, Any] | None = None,
        *,
        actor: str,
        reason: str | None = None,
        meta: Mapping[str, str] | None = None,
        at: datetime | str | None = None,
        id: str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Intent:
        """A decision of this space that has no place in its log yet; see :meth:`append` for the arguments."""
        if isinstance(decision, Payload):
            if payload is not None:
                raise TypeError("a typed decision has its payload in it")
            kind, body, content = decision.type, decision.json(), decision.files()
        else:
            if payload is None:
                raise TypeError("a decision named by its type needs a payload")
            kind, body, content = decision, dict(payload), {}
        if files:
            content = {**content, **files}
        return Intent(
            Decision(
                id=new_id() if id is None else id,
                space=self.id,
                type=kind,
                payload=body,
                actor=actor,
                at=at_text(at),
                reason=reason,
                meta=meta,
            ),
            content,
        )

    def append(
        self,
        decision: Payload | str,
        payload: Mapping[str, Any] | None = None,
        *,
        actor: str,
        reason: str | None = None,
        meta: Mapping[str, str] | None = None,
        at: datetime | str | None = None,
        id: str | None = None,
        files: Mapping[str, bytes] | None = None,
        expect: int | None = None,
        when: When | None = None,
        allow_void: bool = False,
        timeout: float = 30.0,
    ) -> Landed:
        """Appends a decision and says where it landed; when this returns it is durable where the log lives.

        Args:
            decision: a typed payload such as ``AliasSet("Home", "shardA:Index")``, or a type with its ``payload``.
            actor: who decided (an ident).
            reason: why, in words. meta: further strings.
            at: when it was decided; now by default.
            id: a UUIDv7 of your own. The same decision under the same id again answers with its first landing, so
                that a retry is safe; where ``at`` is not given, that of the first landing counts.
            files: attachments of a generic payload, name to content.
            expect: the Seq that the tip must have (-1: the space is empty).
            when: asked with the state that the decision would be appended to; it must be true.
            allow_void: append even what would have no effect.
            timeout: how long to go on after lost races, in seconds. ``expect`` and ``when`` are asked again each time.

        Raises:
            Refused: by the law or the admission, here or on the server.
            WouldBeVoid, PreconditionFailed, IdConflict, Contention: as their names say.
            RemoteUnreachable: the remote could not be asked, or did not answer; ``append_many(error.intents)`` tries
                again under the same ids, and lands what has not landed yet.
            JournalRewound, UnlawfulLog, GitFailed: the log cannot be continued.
        """
        intent = self.intent(
            decision, payload, actor=actor, reason=reason, meta=meta, at=at, id=id, files=files
        )
        return self.append_many(
            [intent], expect=expect, when=when, allow_void=allow_void, timeout=timeout, same_at=at is not None
        )[0]

    def append_many(
        self,
        intents: Sequence[Intent],
        *,
        expect: int | None = None,
        when: When | None = None,
        allow_void: bool = False,
        timeout: float = 30.0,
        same_at: bool = True,
    ) -> list[Landed]:
        """Appends a batch as one push: all of it lands, or nothing. Arguments and errors are those of :meth:`append`.

        Intents that are in the log already, the same bytes under the same id, answer with their first landing.
        ``same_at=False`` lets their time differ from what landed.
        """
        try:
            return self._append(intents, expect, when, allow_void, timeout, same_at)
        except RemoteUnreachable as error:
            error.intents = tuple(intents)
            raise

    def _append(
        self,
        intents: Sequence[Intent],
        expect: int | None,
        when: When | None,
        allow_void: bool,
        timeout: float,
        same_at: bool,
    ) -> list[Landed]:
        until = time.monotonic() + timeout
        pause = _FIRST_PAUSE
        asked_again = self._journal.remote is None
        overtaken = False
        while True:
            with self._appending:
                state = self._newest()
                done, new = self._known(state, intents, same_at)
                if not new:
                    return [done[intent.decision.id] for intent in intents]
                try:
                    self._ask(state, expect, when)
                    landed, stamped = self._stamped(state, new, allow_void)
                except (Refused, PreconditionFailed, WouldBeVoid) as refusal:
                    # The remote may have said and done more since this clone has heard of it.
                    if asked_again or refusal.code not in _BY_WHAT_IS_KNOWN or not self._heard_more():
                        raise
                    asked_again = True
                    continue
                if self._land(state.commit, landed[-1].commit, stamped.objects):
                    self._take_own(state, landed, stamped.commits)
                    done.update((item.decision.id, item) for item in landed)
                    return [done[intent.decision.id] for intent in intents]
            if time.monotonic() > until:
                if not overtaken:
                    raise GitFailed(
                        f"for {timeout:g} s the remote has not let the log of {self.id} move, though nobody else moved "
                        "it: a lock may be left behind there, or its disk be full; its administrator should run "
                        "`coordjournal doctor`. Nothing was appended"
                    )
                raise Contention(f"{self.id}: others were faster for {timeout:g} s; nothing was appended")
            time.sleep(pause * random.random())
            pause = min(2 * pause, _LONGEST_PAUSE)
            self._journal.refresh(self.id)
            overtaken = overtaken or self._store.tip(self.id) != state.commit

    def _heard_more(self) -> bool:
        """Asks the remote for news; False if it cannot be reached."""
        try:
            self._journal.refresh(self.id)
        except RemoteUnreachable:
            return False
        return True

    def preview(
        self,
        intents: Sequence[Intent],
        *,
        expect: int | None = None,
        when: When | None = None,
        allow_void: bool = False,
    ) -> Preview:
        """What :meth:`append_many` would do now, by what this repository holds. Writes nothing; raises the same."""
        state = self._newest()
        _, new = self._known(state, intents, True)
        self._ask(state, expect, when)
        landed, _ = self._stamped(state, new, allow_void)
        return Preview(landed, state, self._after(state, landed))

    # -- inside --------------------------------------------------------------------------------------------------

    def _newest(self) -> CoordinationState:
        with self._lock:
            tip = self._store.tip(self.id)
            if tip != self._tip:
                self._catch_up(tip)
            return CoordinationState(self._index)

    def _catch_up(self, tip: str | None) -> None:
        """Brings the index to the tip, reading no more than what is new since last time."""
        if tip is None:
            raise JournalRewound(self.id, self._tip or "", None)
        with log.garbage_collection_paused():
            if self._tip is None and self._cache is not None:
                self._take_cached(tip)
            if tip != self._tip:
                self._grow(self._read(tip, self._tip), tip)
        if self._cache is not None and len(self._uncached) >= _CACHED_STEP:
            if not self._cache.extend(self._index.records[self._cache.count :], self._uncached):
                self._cache = None  # not writable: go on without
            self._uncached.clear()

    def _take_own(self, state: CoordinationState, landed: Sequence[Landed], commits: Sequence[Commit]) -> None:
        """Adds what just landed on ``state`` to the index, which need not be read back then."""
        with self._lock:
            if self._tip != state.commit or self._store.tip(self.id) == state.commit:
                return  # another thread has read it back already, or the log here has not moved yet
            if self._cache is not None:
                self._uncached += [commit.line for commit in commits]
            self._grow(_records(landed), commits[-1].oid)

    def _grow(self, records: Sequence[Record], tip: str) -> None:
        """Adds records to the index, up to ``tip``. If that ends halfway, nothing that was read is used any more."""
        try:
            self._index.extend(records)
            self._tip = tip
        except BaseException as error:
            self._start_over()
            if not isinstance(error, (AttributeError, LookupError, TypeError, ValueError)):
                raise
            refusal = Refused("schema", f"not the decisions of a lawful log ({error!r})", ref=self.ref, commit=tip)
            raise UnlawfulLog(refusal) from None

    def _take_cached(self, tip: str) -> None:
        assert self._cache is not None
        cached = self._cache.load()
        if not cached:
            return
        base = cached[-1][0]
        try:
            new = [] if base == tip else self._read(tip, base)
        except (JournalRewound, GitFailed):
            self._cache.drop()  # of another log, or of one that was rewound
            return
        self._grow(cached + new, tip)

    def _read(self, tip: str, base: str | None) -> list[Record]:
        lines = None if self._cache is None else self._uncached
        return log.continuing(self._store.commits(tip, base), base, self.id, tip, lines)

    def _wait_for(self, seq: int, timeout: float) -> CoordinationState:
        until = time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while (state := self._newest()).seq < seq:
            if time.monotonic() > until:
                raise DecisionNotFound(
                    f"{self.id}@{seq} did not come within {timeout:g} s; the last is Seq {state.seq}"
                )
            self._journal.refresh(self.id)
            if self._newest().seq < seq:
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        return state

    def _as_of(self, state: CoordinationState, at: int | str | datetime) -> CoordinationState:
        if isinstance(at, int):
            return state.as_of(at)
        if isinstance(at, datetime):
            return state.as_of_time(seconds(at_text(at)))
        try:
            moment = seconds(at)
        except ValueError:
            return state.as_of(int(at) if at == "-1" else state.find(at).seq)
        return state.as_of_time(moment)

    def _known(
        self, state: CoordinationState, intents: Sequence[Intent], same_at: bool
    ) -> tuple[dict[str, Landed], list[Intent]]:
        """Which of the intents landed before, and which are new."""
        done: dict[str, Landed] = {}
        new: dict[str, Intent] = {}
        for intent in intents:
            decision = intent.decision
            seq = self._index.first.get(decision.id)
            first = None if seq is None or seq > state.seq else state.landed(seq)
            twin = new.get(decision.id)
            other = first.decision if first else twin.decision if twin else None
            if other is None:
                new[decision.id] = intent
            elif (decision if same_at else replace(decision, at=other.at)).json() != other.json():
                where = f"{self.id}@{first.seq}" if first else "the same batch"
                raise IdConflict(f"another decision has the id {decision.id} already: {where}")
            elif first:
                done[decision.id] = first
        return done, list(new.values())

    def _ask(self, state: CoordinationState, expect: int | None, when: When | None) -> None:
        if expect is not None and state.seq != expect:
            raise PreconditionFailed(f"expected {self.id} to be at Seq {expect}, it is at {state.seq}")
        if when is not None and not when(state):
            raise PreconditionFailed(f"the precondition does not hold for {self.id}@{state.seq}")

    def _stamped(
        self, state: CoordinationState, intents: Sequence[Intent], allow_void: bool
    ) -> tuple[list[Landed], Stamped]:
        stamped = stamp(
            self.id,
            intents,
            self._commit(state.commit),
            appender=self._journal.appender,
            now=int(time.time()),
            name=self._store.name,
            empty_tree=self._store.empty_tree,
            settings=self._journal.settings(),
            judge_extension=self._journal.judge_extension,
        )
        landed = [
            Landed(state.seq + 1 + i, commit.oid, commit.appended, commit.appender, Decision.from_json(doc))
            for i, (commit, doc) in enumerate(zip(stamped.commits, stamped.docs, strict=True))
        ]
        if not allow_void:
            self._check_effect(state, landed, stamped.docs)
        return landed, stamped

    def _check_effect(
        self, state: CoordinationState, landed: Sequence[Landed], docs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Raises WouldBeVoid if one of the decisions would have no effect."""
        if len(landed) == 1:
            reason = state.would_be_void(docs[0])
            what = "it"
        else:
            void = next((item for item in self._after(state, landed).void if item.seq > state.seq), None)
            reason = void.reason if void else None
            what = f"the decision {void.id}" if void else ""
        if reason is not None:
            raise WouldBeVoid(reason, f"{what} would have no effect: {VOID_REASONS[reason]}")

    def _after(self, state: CoordinationState, landed: Sequence[Landed]) -> CoordinationState:
        index = Index(self.id, self._journal.extensions)
        index.extend(self._index.records[: state.seq + 1])
        index.extend(_records(landed))
        return CoordinationState(index)

    def _land(self, old: str | None, new: str, objects: Sequence[tuple[str, bytes]]) -> bool:
        self._store.add(objects)
        remote = self._journal.remote
        if remote is None:
            return self._store.move(self.id, old, new)
        try:
            pushed = remote.push(self.id, old, new)
        except RemoteUnreachable:
            # The connection may have broken after the push got through: only the remote can tell.
            self._journal.refresh(self.id)
            if self._store.tip(self.id) == old:
                raise
            return False
        if pushed:
            try:
                self._store.move(self.id, old, new, "pushed")
            except GitFailed:
                pass  # it has landed where it counts; the next sync brings it here
        return pushed

    def _seq_of(self, tip: str | None) -> int:
        commit = self._commit(tip)
        return -1 if commit is None or commit.seq is None else commit.seq

    def _commit(self, oid: str | None) -> Commit | None:
        if oid is None:
            return None
        found = self._store.object(oid, "commit")
        if found is None:
            raise GitFailed(f"the commit {oid} is missing; `git fsck` may tell what is damaged")
        try:
            return parse(oid, found[1])
        except Refused as refusal:
            refusal.ref, refusal.commit = self.ref, oid
            raise UnlawfulLog(refusal) from None


def _records(landed: Sequence[Landed]) -> list[Record]:
    return [(item.commit, item.appended, item.appender, item.decision.json()) for item in landed]
