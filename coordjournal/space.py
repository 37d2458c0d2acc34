"""One space: append to its log, read it, ask for its state."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import log
from .errors import (
    DecisionNotFound,
    GitFailed,
    JournalRewound,
    Queued,
    Refused,
    UnknownSpace,
    UnlawfulLog,
)
from .index import Index, Record
from .locking import Lock
from .refs import encode_space
from .state import CoordinationState
from .store import GitStore
from .timestamp import seconds

if TYPE_CHECKING:
    from datetime import datetime

    from .appending import Sent, Way, When, Writer
    from .commit import Commit
    from .decision import Intent, Landed
    from .inbox import Waiting
    from .journal import Journal
    from .lease import HeldLease
    from .payload import Payload
    from .projection import Projection
    from .rescue import Rescue
    from .whereabouts import Preview, Whereabouts

_PROJECTED = 256  # so many decisions are worth a write to the projection
_PART = 4096  # decisions that are read at a time


class Space:
    """The log of one space. Made by :meth:`coordjournal.Journal.space`; safe for any number of threads.

    Attributes:
        id: the space id.
        ref: the ref of the log on the server.
        journal: the journal that it is of.
    """

    def __init__(self, journal: Journal, space: str) -> None:
        self.id = space
        self.ref = "refs/spaces/" + encode_space(space)  # raises ValueError for what is no space id
        self.journal = journal
        self._store = journal.store
        self._lock = Lock(self._start_over)  # held while the index grows, never while a remote is asked
        self._writing: Writer | None = None
        self._start_over()

    def _start_over(self) -> None:
        """Forgets what was read of the log. States that were handed out keep the index they look at."""
        self._index = Index(self.id, self.journal.extensions)
        self._tip: str | None = None
        self._projection: Projection | None = None
        self._kept = 0  # so many decisions are where they are to stay for now: in the projection, or in memory

    def close(self) -> None:
        """Closes the file of the projection; a question opens it again."""
        if self._projection is not None:
            self._projection.close()

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
        state = self.newest()
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

    # -- writing: what only this half needs is imported when it is needed ----------------------------------------

    @property
    def _writer(self) -> Writer:
        with self._lock:
            if self._writing is None:
                from .appending import Writer

                self._writing = Writer(self)
            return self._writing

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
        from .decision import Decision, Intent, at_text, new_id
        from .payload import Payload

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
        queue: bool = True,
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
            queue: keep the decision in the outbox of the clone if it cannot land now. One with ``when``, which cannot
                be stored, and one under a lease, which may be over by then, is never kept.

        Raises:
            Queued: it is kept and will land later: the remote cannot be reached, or somebody else holds the lease.
            Refused: by the law or the admission, here or on the server.
            WouldBeVoid, PreconditionFailed, IdConflict, Contention: as their names say.
            LeaseLost: the lease that this object held is gone.
            RemoteUnreachable: the remote could not be asked, or did not answer, and the decision is not kept;
                ``append_many(error.intents)`` tries again under the same ids, and lands what has not landed yet.
            JournalRewound, UnlawfulLog, GitFailed: the log cannot be continued.
        """
        intent = self.intent(
            decision, payload, actor=actor, reason=reason, meta=meta, at=at, id=id, files=files
        )
        return self.append_many(
            [intent],
            expect=expect,
            when=when,
            allow_void=allow_void,
            timeout=timeout,
            same_at=at is not None,
            queue=queue,
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
        queue: bool = True,
    ) -> list[Landed]:
        """Appends a batch as one push: all of it lands, or nothing. Arguments and errors are those of :meth:`append`.

        Intents that are in the log already, the same bytes under the same id, answer with their first landing.
        ``same_at=False`` lets their time differ from what landed. (In the inbox of a space whose lease somebody else
        holds the intents of a batch wait side by side, and each lands or is let go for itself.)
        """
        from .appending import Ask

        if not intents:
            return []
        return self._writer.append(intents, Ask(expect, when, allow_void, timeout, same_at), queue)

    def preview(
        self,
        intents: Sequence[Intent],
        *,
        expect: int | None = None,
        when: When | None = None,
        allow_void: bool = False,
    ) -> Preview:
        """What :meth:`append_many` would do now, by what this repository holds. Writes nothing; raises the same."""
        from .appending import Ask
        from .whereabouts import Preview

        state = self.newest()
        _, new = self._writer.known(state, intents, True)
        self._writer.check_asked(state, Ask(expect, when))
        landed, _ = self._writer.stamped(state, new, allow_void, self._writer.held)
        return Preview(landed, state, state.after(item.record() for item in landed))

    def way(self, precondition: bool = False) -> Way:
        """The way that an append takes now: ``embedded``, ``sequencer``, ``compare-and-swap`` or ``lease``. With a
        ``precondition`` (expect, when) the sequencer cannot be it: it asks for none."""
        return self._writer.way(precondition)

    def send(self, timeout: float = 30.0) -> list[Sent]:
        """Sends what waits in the clone's outbox for this space, in order; what became of each entry.

        Raises RemoteUnreachable, and what :meth:`Journal.sync` raises.
        """
        return self._writer.send(timeout)

    def rescue(
        self,
        *,
        accept: bool = False,
        skip_refused: bool = False,
        late: bool = False,
        dry_run: bool = False,
        timeout: float = 30.0,
    ) -> Rescue:
        """As :meth:`coordjournal.Journal.rescue`, for this space alone."""
        [rescued] = self.journal.rescue(
            [self.id], accept=accept, skip_refused=skip_refused, late=late, dry_run=dry_run, timeout=timeout
        )
        return rescued

    def whereabouts(self, id: str) -> Whereabouts:
        """Where the decision with this id is: in the log, in the outbox of this clone, or in the inbox of the server,
        which is asked only where this clone does not know.

        Raises:
            RemoteUnreachable: the server cannot be asked.
        """
        from .whereabouts import Whereabouts

        found = self._recorded(id) or self._in_outbox(id)
        if found is None and any(item.id == id for item in self.inbox()):
            found = Whereabouts("queued", place="inbox")
        if found is None:  # it may have left the inbox for the log, of which this clone has not heard
            self.journal.refresh(self.id)
            found = self._recorded(id) or self._in_outbox(id, ("filed",))  # an inbox that lost it gets it again
        return found or Whereabouts("unknown")

    def _recorded(self, id: str) -> Whereabouts | None:
        from .whereabouts import Whereabouts

        state = self.newest()
        landed = state.find_id(id)
        if landed is not None:
            return Whereabouts("landed", landed=landed)
        reason = state.refusal_of(id)
        return None if reason is None else Whereabouts("refused", reason=reason)

    def _in_outbox(self, id: str, states: Collection[str] = ("waiting", "rejected")) -> Whereabouts | None:
        from .whereabouts import Whereabouts

        for entry in self.journal.outbox.entries(self.id) if self.journal.outbox else ():
            if entry.state in states and any(decision.id == id for decision in entry.decisions):
                error = entry.error()
                if error is not None:
                    return Whereabouts("refused", place="outbox", reason=str(error), error=error)
                return Whereabouts("queued", place="outbox")
        return None

    def wait(self, id: str, timeout: float = 60.0) -> Landed:
        """Waits until the decision with this id has landed, sending what the outbox holds meanwhile.

        Raises:
            Refused: it was let go (``intent-refused``), or cannot be appended any more.
            Queued: it still waits after ``timeout`` seconds.
            DecisionNotFound: nobody knows of it.
            RemoteUnreachable: the remote could not be asked.
        """
        import random

        from .appending import FIRST_PAUSE, LONGEST_PAUSE

        until = time.monotonic() + timeout
        pause = FIRST_PAUSE
        while True:
            self.journal.refresh(self.id)
            self.send()
            found = self.whereabouts(id)
            if found.landed is not None:
                return found.landed
            if found.state == "refused":
                raise found.error or Refused("intent-refused", found.reason or "", "id")
            if found.state == "unknown":
                raise DecisionNotFound(f"{id} has neither landed nor is it waiting anywhere")
            if time.monotonic() > until:
                raise Queued(found.place or "", (), f"{id} still waits after {timeout:g} s")
            if found.place == "inbox":
                self._writer.poke(id)
            time.sleep(pause * random.random())
            pause = min(2 * pause, LONGEST_PAUSE)

    def inbox(self) -> list[Waiting]:
        """The intents that wait on the server for the holder of the lease, in the order of their arrival.

        Raises:
            RemoteUnreachable, GitFailed: the inbox cannot be read.
        """
        from . import inbox

        return inbox.read(self.journal.store, self.journal.remote, self.id)

    # -- the lease -----------------------------------------------------------------------------------------------

    def lease(
        self,
        holder: str | None = None,
        *,
        ttl: int = 300,
        wait: float = 0.0,
        renew: bool = True,
    ) -> HeldLease:
        """Acquires the lease of the space: from then on only this object appends to it, until it is released.

        Use it with ``with``, which releases it. Every append under it renews it; a thread of its own does so between
        them, unless ``renew`` is False.

        Args:
            holder: who holds it (an ident); by default the journal's appender.
            ttl: how long it lasts without being renewed, in seconds: at least twice the clock skew of the server.
            wait: how long to wait while somebody else holds it, in seconds.

        Raises:
            LeaseHeld: somebody else holds it, or this very object does.
            Refused: the server does not grant such a lease.
            RemoteUnreachable: as :meth:`append`; whoever asks for the same again gets what may have got through.
            Contention, GitFailed: as :meth:`append`.
        """
        from .lease import HeldLease

        return HeldLease.acquire(self, self._writer, holder or self.journal.appender, ttl, wait, renew)

    def resume(self, saved: str) -> HeldLease:
        """The lease that another object, or a process that has ended, held and saved with :meth:`HeldLease.dumps`.
        Every append under it renews it, but no thread does so.

        Raises:
            LeaseLost: it has ended, or another has taken it over.
            RemoteUnreachable: the remote cannot be asked whether it is still held.
            ValueError: ``saved`` is no saved lease of this space.
        """
        from .lease import HeldLease

        return HeldLease.resume(self, self._writer, saved)

    # -- inside --------------------------------------------------------------------------------------------------

    def newest(self) -> CoordinationState:
        """The state of all that this repository holds."""
        with self._lock:
            tip = self._store.tip(self.id)
            if tip != self._tip:
                self._catch_up(tip)
            self._project()
            return CoordinationState(self._index)

    def _catch_up(self, tip: str | None) -> None:
        """Brings the index to the tip, reading no more than what is new since last time."""
        if tip is None:
            raise JournalRewound(self.id, self._tip or "", None)
        with log.garbage_collection_paused():
            first = self._tip is None
            if first:
                self._open_projection(tip)
            try:
                self._read_on(tip)
            except (JournalRewound, GitFailed):
                newer = self._store.tip(self.id)
                if newer is not None and newer != tip:
                    self._read_on(newer)  # another process was that much faster
                elif first and self._projection is not None:
                    self._projection.drop()  # of another log, or of one that was rewound
                    self._start_over()
                    self._open_projection(tip)
                    self._read_on(tip)
                else:
                    raise

    def _read_on(self, tip: str) -> None:
        """Reads from where the index ends to ``tip``, part by part."""
        if tip == self._tip:
            return
        commits = self._store.commits(tip, self._tip, oldest_first=True)
        while part := list(islice(commits, _PART)):
            if log.parent_of(part[0][1]) != self._tip:
                raise JournalRewound(self.id, self._tip or "nothing", tip)
            self._grow([log.record(oid, raw) for oid, raw in part], part[-1][0])
            self._project()
        if self._tip != tip:
            raise JournalRewound(self.id, self._tip or "nothing", tip)

    def advance(self, old: str | None, new: str) -> bool:
        """Moves the log, here and at the remote, from ``old`` (None: there is none) on to ``new``, which is stamped
        already; False if it is not at ``old`` any more. Raises Refused, RemoteUnreachable, GitFailed."""
        return self._writer.advance(old, new)

    def rehearse(self, intents: Sequence[Intent]) -> None:
        """Raises what :meth:`append_many` with ``allow_void`` would, by what this repository holds. Writes nothing."""
        self._writer.rehearse(intents)

    def look_again(self) -> None:
        """Forgets what was read of the log if the log here is another one by now: after a rescue, in this process or in
        another. What was handed out stays as it is."""
        with self._lock:
            if self._tip is None:
                return
            try:
                self.newest()
            except JournalRewound:
                if self._projection is not None:
                    self._projection.drop()
                self._start_over()

    def take_own(self, state: CoordinationState, landed: Sequence[Landed], tip: str) -> None:
        """Adds what just landed on ``state`` to the index, which need not be read back then."""
        with self._lock:
            if self._tip != state.commit or self._store.tip(self.id) == state.commit:
                return  # another thread has read it back already, or the log here has not moved yet
            self._grow([item.record() for item in landed], tip)

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

    # A log of some length has a projection: a file that answers for all of its decisions but the last few, which the
    # index holds in memory. A short log needs none, and a journal in memory has none.

    def _open_projection(self, tip: str) -> None:
        """Opens the projection, or builds it; a short log is read."""
        store, path = self._store, self.journal.projection_path(self.id)
        if path is None or not isinstance(store, GitStore):
            return
        found = None
        if os.path.exists(path):
            from .projection import Projection  # imports sqlite3, which a short log does without

            found = Projection.open(path, self.id, store)
        if found is None:
            newest = list(store.commits(tip, count=_PROJECTED))
            if log.parent_of(newest[-1][1]) is None:
                newest.reverse()
                self._grow([log.record(oid, raw) for oid, raw in newest], tip)
                return
            from .projection import Projection

            found = Projection.build(path, self.id, store, tip)
        self._stand_on(found)

    def _project(self) -> None:
        """Puts what the index has gathered in memory into the projection, once that is worth a write."""
        store, path = self._store, self.journal.projection_path(self.id)
        if path is None or not isinstance(store, GitStore) or self._tip is None:
            return
        if len(self._index) - self._kept < _PROJECTED:
            return
        from .projection import Projection

        self._kept = len(self._index)  # whether that works or not
        known = self._projection
        if known is None:
            self._take_over(Projection.build(path, self.id, store, self._tip), 0)
        elif known.extend(self._index):
            self._stand_on(known)
        else:
            self._take_over(Projection.open(path, self.id, store), known.count)

    def _take_over(self, found: Projection | None, known: int) -> None:
        """Stands on a projection of more than ``known`` decisions, if it is of this log. Another process may have made
        or extended it meanwhile; what it does not hold stays in memory."""
        if found is None:
            return
        if known < found.count <= len(self._index) and found.tip == self._index.commit(found.count - 1):
            more = [self._index.record(seq) for seq in range(found.count, len(self._index))]
            tip = self._tip
            self._stand_on(found)
            if more and tip is not None:
                self._grow(more, tip)
        else:
            found.close()

    def _stand_on(self, projection: Projection) -> None:
        self._projection = projection
        self._index = Index(self.id, self.journal.extensions, projection)
        self._tip = projection.tip
        self._kept = projection.count

    def _wait_for(self, seq: int, timeout: float) -> CoordinationState:
        from .appending import FIRST_PAUSE, LONGEST_PAUSE

        until = time.monotonic() + timeout
        pause = FIRST_PAUSE
        while (state := self.newest()).seq < seq:
            if time.monotonic() > until:
                raise DecisionNotFound(
                    f"{self.id}@{seq} did not come within {timeout:g} s; the last is Seq {state.seq}"
                )
            self.journal.refresh(self.id)
            if self.newest().seq < seq:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        return state

    def _as_of(self, state: CoordinationState, at: int | str | datetime) -> CoordinationState:
        if isinstance(at, int):
            return state.as_of(at)
        if not isinstance(at, str):
            from .decision import at_text

            return state.as_of_time(seconds(at_text(at)))
        try:
            moment = seconds(at)
        except ValueError:
            return state.as_of(int(at) if at == "-1" else state.find(at).seq)
        return state.as_of_time(moment)

    def _seq_of(self, tip: str | None) -> int:
        commit = self.commit(tip)
        return -1 if commit is None or commit.seq is None else commit.seq

    def commit(self, oid: str | None) -> Commit | None:
        """The decision commit of that name. Raises UnlawfulLog, GitFailed."""
        from .commit import parse

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

