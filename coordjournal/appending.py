"""How the library appends to one space: which way a decision takes, and what becomes of one that cannot land now.

    embedded        the log is on this machine: stamped onto the tip, and the ref moved if it is still there
    sequencer       the server stamps: the intents are pushed to refs/append/, one round trip and no race
    compare-and-swap  stamped onto the tip that this clone knows and pushed; whoever loses the race stamps anew.
                    Where the server does not sequence, and wherever a precondition (expect, when) must hold at the tip
    lease           stamped under the lease that this process holds, which excludes everybody else

In a clone an append is stored in the outbox before anything is sent, and leaves it once it has landed. So neither a
crash nor a lost connection loses it, and since its id stays the same, sending it again never doubles it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from . import inbox
from .commit import Commit, build, subject
from .decision import Decision, Intent, Landed
from .errors import (
    Contention,
    CoordjournalError,
    GitFailed,
    IdConflict,
    LeaseHeld,
    LeaseLost,
    PreconditionFailed,
    Queued,
    Refused,
    RemoteUnreachable,
    WouldBeVoid,
)
from .index import VOID_REASONS
from .kept import Kept
from .locking import Lock
from .log import garbage_collection_paused
from .outbox import Entry, Outbox
from .refs import INTENTS
from .remote import NotSequencing
from .stamp import WORTH, Made, Stamped, intent_tree, stamping, trees_of
from .state import CoordinationState
from .timestamp import seconds
from .trailer import Lease, read

if TYPE_CHECKING:
    from .lease import HeldLease
    from .space import Space

When = Callable[[CoordinationState], bool]
Way = Literal["embedded", "sequencer", "compare-and-swap", "lease"]

# What is judged by what is known of the server and its log.
_BY_WHAT_IS_KNOWN = ("too-large", "undeclared-type", "read-only", "lease-held", "would-be-void", "precondition-failed")
_MAY_CHANGE = ("read-only", "lease-held", "clock")  # codes of refusals that may be over tomorrow
_NOT_FOR_EVER = (*_BY_WHAT_IS_KNOWN, *_MAY_CHANGE, "lease")  # what the server may judge otherwise than this clone
_PERMANENT = (Refused, PreconditionFailed, WouldBeVoid, IdConflict)
_MANY = 64  # decisions of a batch that is written while it is stamped
FIRST_PAUSE = 0.01  # seconds before the second try of what lost a race; then twice as long each time
LONGEST_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Ask:
    """What an append asks for beside its intents; see :meth:`coordjournal.Space.append`.

    ``lease``: nothing is appended but under this very lease. ``acquires``: nothing under a lease that is held already.
    ``patient``: what this clone knows of the server is no reason to refuse it for good; the server must be asked.
    """

    expect: int | None = None
    when: When | None = None
    allow_void: bool = False
    timeout: float = 30.0
    same_at: bool = True
    lease: HeldLease | None = None
    acquires: bool = False
    patient: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of an entry of the outbox: ``landed``; or ``error`` says why it is rejected, or still waits."""

    entry: Entry
    landed: Sequence[Landed] = ()
    error: CoordjournalError | None = None


class _Filed(Exception):
    """The intents are in the server's inbox."""

    def __init__(self, commits: Sequence[str]) -> None:
        super().__init__(commits)
        self.commits = commits


class Writer:
    """The writing half of a :class:`coordjournal.Space`. ``held`` is the lease that this process holds of it."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._journal = space.journal
        self._store = space.journal.store
        self._appending = Lock()  # one append of this process at a time
        self.held: HeldLease | None = None
        self._count = 0  # decisions that were stamped here
        self._own: Commit | None = None  # the last commit of this object's own, which need not be read back
        self.unsure: Intent | None = None  # an acquisition of which it is not known whether it landed

    def way(self, precondition: bool = False) -> Way:
        """The way that an append takes now, with or without a ``precondition``."""
        if self.held is not None:
            return "lease"
        if self._journal.remote is None:
            return "embedded"
        return "sequencer" if self._journal.sequencing() and not precondition else "compare-and-swap"

    # -- through the outbox --------------------------------------------------------------------------------------

    def append(self, intents: Sequence[Intent], ask: Ask, queue: bool) -> list[Landed]:
        """As :meth:`coordjournal.Space.append_many`."""
        try:
            return self._append(intents, ask, queue)
        except (RemoteUnreachable, Contention, GitFailed) as error:
            error.intents = tuple(intents)
            raise

    def _append(self, intents: Sequence[Intent], ask: Ask, queue: bool) -> list[Landed]:
        outbox = self._journal.outbox
        if outbox is None or ask.when is not None or not queue or self.held is not None:
            try:
                if outbox is not None:
                    self._clear_the_way(outbox)
                with garbage_collection_paused() if len(intents) >= _MANY else nullcontext():
                    return self.land(intents, ask)
            except _Filed as filed:
                raise Queued("inbox", tuple(intents), _WAITS) from filed
        done, new = self.known(self._space.newest(), intents, ask.same_at)
        if not new:
            return [done[intent.decision.id] for intent in intents]
        self._check_storable(new)
        own = outbox.add(
            self._space.id, intents, expect=ask.expect, allow_void=ask.allow_void, same_at=ask.same_at
        )
        with outbox.sending(self._space.id):
            return self._sent_own(outbox, own, tuple(intents), ask)

    def send(self, timeout: float = 30.0) -> list[Sent]:
        """Sends what waits in the outbox for this space, in order, and looks after what is in the inbox."""
        outbox = self._journal.outbox
        if outbox is None or not outbox.entries(self._space.id):
            return []
        with outbox.sending(self._space.id):
            return self._send(outbox, timeout, None)

    def _check_storable(self, intents: Sequence[Intent]) -> None:
        """Raises Refused for what can never land: it is not stored. What only the server knows waits for its word."""
        try:
            self._check_intents(self._space.newest(), intents, allow_void=True)
        except Refused as refusal:
            if refusal.code not in _NOT_FOR_EVER:
                raise

    def _clear_the_way(self, outbox: Outbox) -> None:
        """What waits comes before what is appended now."""
        if not any(entry.state == "waiting" for entry in outbox.entries(self._space.id)):
            return
        for sent in self.send():
            if sent.error is not None and sent.entry.state != "rejected":
                raise sent.error

    def _sent_own(self, outbox: Outbox, own: Entry, intents: tuple[Intent, ...], ask: Ask) -> list[Landed]:
        """Sends the outbox up to the entry ``own``; where its decisions landed."""
        sent = self._send(outbox, ask.timeout, own)
        last = sent[-1] if sent else None
        mine = last if last is not None and last.entry.number == own.number else None
        if mine is not None and mine.landed:
            return list(mine.landed)
        now = outbox.entry(own.number)
        if now is None:  # another process of this clone was faster
            self._journal.refresh(self._space.id)
            done, new = self.known(self._space.newest(), intents, ask.same_at)
            if new:
                raise GitFailed(f"{new[0].decision.id} has left the outbox, and is not in the log that is here")
            return [done[intent.decision.id] for intent in intents]
        if now.state == "filed":
            raise Queued("inbox", intents, _WAITS)
        if now.state == "rejected":
            outbox.done(now)  # the caller is told
            error = now.error()
            assert error is not None
            raise error
        error = last.error if last else None
        assert error is not None
        if mine is None:
            ahead = last.entry.name if last else ""
            raise Queued("outbox", intents, f"behind {ahead}, which waits: {error}") from error
        if isinstance(error, RemoteUnreachable) or (isinstance(error, Refused) and error.code == "lease-held"):
            raise Queued("outbox", intents, str(error)) from error
        outbox.done(now)
        raise error

    def _send(self, outbox: Outbox, timeout: float, own: Entry | None) -> list[Sent]:
        """Sends entries in order until one of them has to wait. Who calls holds the right to send."""
        sent: list[Sent] = []
        heard = False
        inboxed: frozenset[str] | None = None
        for entry in outbox.entries(self._space.id):
            if own is not None and entry.number > own.number:
                break
            if entry.state == "rejected":
                continue
            try:
                if entry.state == "filed":
                    if not heard:
                        self._journal.refresh(self._space.id)
                        heard = True
                    if inboxed is None and own is None and self._is_kept_waiting(entry):
                        inboxed = frozenset(item.id for item in self._space.inbox())
                    sent += self._looked_after(outbox, entry, inboxed)
                    continue
                # What somebody expects of the server's log only the server can deny.
                patient = own is None or entry.number != own.number or entry.expect is not None
                ask = Ask(entry.expect, None, entry.allow_void, timeout, entry.same_at, patient=patient)
                landed = self.land(entry.intents, ask)
            except _Filed as filed:
                sent.append(Sent(outbox.filed(entry, filed.commits)))
                continue
            except CoordjournalError as error:
                over_tomorrow = isinstance(error, Refused) and error.code in _MAY_CHANGE
                if isinstance(error, _PERMANENT) and not over_tomorrow:
                    sent.append(Sent(outbox.reject(entry, error), error=error))
                    continue
                sent.append(Sent(entry, error=error))
                break
            outbox.done(entry)
            sent.append(Sent(entry, landed))
        return sent

    def _is_kept_waiting(self, entry: Entry) -> bool:
        """Whether an entry that was filed waits for the holder of the lease."""
        state = self._space.newest()
        if self.way() != "sequencer" or state.lease is None or not state.lease.in_force(int(time.time())):
            return False
        return not all(_is_settled(state, decision.id) for decision in entry.decisions)

    def _looked_after(self, outbox: Outbox, entry: Entry, inboxed: Collection[str] | None) -> list[Sent]:
        """What became of an entry that was filed. Where nobody holds the lease any more, the server is to land it; and
        what has vanished from the inbox, of which ``inboxed`` are the ids if it was read, is handed over again."""
        state = self._space.newest()
        refused = {
            decision.id: why for decision in entry.decisions if (why := state.refusal_of(decision.id)) is not None
        }
        open_ids = {decision.id for decision in entry.decisions if not _is_settled(state, decision.id)}
        there = inboxed is None or open_ids.issubset(inboxed)
        if open_ids and there and state.lease is not None and state.lease.in_force(int(time.time())):
            return []
        left = [intent for intent in entry.intents if intent.decision.id not in refused]
        landed = self.land(left, Ask(allow_void=True, same_at=entry.same_at, patient=True)) if left else []
        for id, why in refused.items():
            raise _let_go(id, why)
        outbox.done(entry)
        return [Sent(entry, landed)]

    def poke(self, id: str) -> None:
        """Hands an intent of the inbox to the sequencer once more if nobody holds the lease any more: it lands all that
        waits, but not before somebody asks."""
        lease = self._space.newest().lease
        if self.way() != "sequencer" or (lease is not None and lease.in_force(int(time.time()))):
            return
        waiting = [item for item in self._space.inbox() if item.id == id]
        if waiting:
            intents = inbox.contents(self._store, self._journal.remote, waiting)
            with suppress(_Filed):
                self.land(intents, Ask(allow_void=True, patient=True))

    # -- directly ------------------------------------------------------------------------------------------------

    def land(self, intents: Sequence[Intent], ask: Ask) -> list[Landed]:
        """Lands intents by the way that is due, or raises; nothing is stored here."""
        self._held_for(ask)
        if self.way(ask.expect is not None or ask.when is not None) == "sequencer":
            try:
                return self._sequenced(intents, ask)
            except NotSequencing:
                self._journal.forget_sequencing()
        return self._stamped_here(intents, ask)

    def _held_for(self, ask: Ask) -> HeldLease | None:
        """The lease to append under, if one is held. Another thread may have acquired or released it meanwhile."""
        held = self.held
        if ask.lease is not None and held is not ask.lease:
            raise LeaseLost(f"the lease of {self._space.id!r} was released")
        if ask.acquires and held is not None:
            raise LeaseHeld(self._space.id, held.holder, held.until)
        return held

    def _sequenced(self, intents: Sequence[Intent], ask: Ask) -> list[Landed]:
        remote = self._journal.remote
        assert remote is not None
        asked_again = based_again = timed_again = False
        while True:
            state = self._space.newest()
            done, new = self.known(state, intents, ask.same_at)
            if not new:
                return [done[intent.decision.id] for intent in intents]
            try:
                self._check_intents(state, new, ask.allow_void)
            except (Refused, WouldBeVoid) as refusal:
                if asked_again or not self._heard_more(refusal, ask):
                    raise
                asked_again = True
                continue
            kept = Kept()
            commits = self._written(new, state.commit, kept)
            try:
                went = remote.submit(self._space.id, commits[-1], commits[0] if state.commit else None)
            except (RemoteUnreachable, GitFailed):
                # The connection, or the hook, may have broken after the push got through: only the log can tell.
                self._read_back()
                if self.known(self._space.newest(), intents, ask.same_at)[1]:
                    raise
                continue
            except Refused as refusal:
                if refusal.code == "id-conflict" and not timed_again:
                    timed_again = True  # the very same perhaps, and this clone has not heard of it, or it waits
                    intents = self._as_handed_over(intents, ask)
                    continue
                if refusal.code != "not-fast-forward" or based_again:
                    raise
                based_again = True
                self._journal.refresh(self._space.id)  # raises JournalRewound where the log there is another one
                continue
            finally:
                kept.release()
            filed = any(ref.ref.startswith(INTENTS) for ref in went)
            self._read_back(went[-1].commit if went and not filed else None)
            if filed:
                raise _Filed(commits)
            if self.known(self._space.newest(), intents, ask.same_at)[1]:
                raise RemoteUnreachable("the server took it, but its log as it is read from here does not hold it yet")

    def _as_handed_over(self, intents: Sequence[Intent], ask: Ask) -> Sequence[Intent]:
        """The intents with the times under which they wait in the inbox, where they may differ by that."""
        self._read_back()
        if ask.same_at:
            return intents
        ids = {intent.decision.id for intent in intents}
        waiting = [item for item in self._space.inbox() if item.id in ids]
        found = inbox.contents(self._store, self._journal.remote, waiting) if waiting else []
        at = {intent.decision.id: intent.decision.at for intent in found}
        return [
            Intent(replace(intent.decision, at=at.get(intent.decision.id, intent.decision.at)), intent.files)
            for intent in intents
        ]

    def _stamped_here(self, intents: Sequence[Intent], ask: Ask) -> list[Landed]:
        until = time.monotonic() + ask.timeout
        pause = FIRST_PAUSE
        asked_again = self._journal.remote is None
        overtaken = False
        too_early: Refused | None = None
        since: float | None = None
        while True:
            with self._appending, Kept() as kept:
                held = self._held_for(ask)
                state = self._space.newest()
                done, new = self.known(state, intents, ask.same_at)
                if not new:
                    if held is not None and since is not None:
                        held.renewed_by(state.lease, since)  # by this append, whose answer was lost
                    return [done[intent.decision.id] for intent in intents]
                try:
                    self.check_asked(state, ask)
                    since = None if held is None else held.stamping()
                    landed, stamped = self.stamped(state, new, ask.allow_void, held, kept)
                except (Refused, PreconditionFailed, WouldBeVoid) as refusal:
                    # The remote may have said and done more since this clone has heard of it. A log never goes back.
                    beyond = ask.expect is not None and state.seq > ask.expect
                    if asked_again or beyond or not self._heard_more(refusal, ask):
                        raise
                    asked_again = True
                    continue
                try:
                    moved = self._moved(state.commit, landed[-1].commit, stamped.objects, landed[0].commit, kept)
                except Refused as refusal:
                    if refusal.code != "clock" or not _follows_an_expired_lease(state):
                        raise
                    too_early, moved = refusal, False  # by the server's clock it has not expired yet
                if moved:
                    self._own = stamped.commits[-1]
                    self._space.take_own(state, landed, landed[-1].commit)
                    if held is not None and since is not None:
                        held.renewed_by(read(landed[-1].lease), since)
                    done.update((item.decision.id, item) for item in landed)
                    return [done[intent.decision.id] for intent in intents]
            if time.monotonic() > until:
                if too_early is not None:
                    raise too_early
                if not overtaken:  # then perhaps by what this clone has not heard of yet
                    self._journal.refresh(self._space.id)
                    overtaken = self._store.tip(self._space.id) != state.commit
                if not overtaken:
                    raise GitFailed(
                        f"for {ask.timeout:g} s the remote has not let the log of {self._space.id} move, though nobody "
                        "else moved it: a lock may be left behind there, or its disk be full; its administrator should "
                        "run `coordjournal doctor`. Nothing was appended"
                    )
                raise Contention(f"{self._space.id}: others were faster for {ask.timeout:g} s; nothing was appended")
            time.sleep(pause * random.random())
            pause = min(2 * pause, LONGEST_PAUSE)
            self._journal.refresh(self._space.id)
            overtaken = overtaken or self._store.tip(self._space.id) != state.commit

    def _heard_more(self, refusal: CoordjournalError, ask: Ask) -> bool:
        """Asks the remote for news that a refusal may depend on; False if it depends on none, or cannot be asked."""
        if refusal.code not in _BY_WHAT_IS_KNOWN:
            return False
        try:
            self._journal.refresh(self._space.id)
        except RemoteUnreachable:
            if ask.patient:
                raise
            return False
        return True

    def _read_back(self, landed: str | None = None) -> None:
        """Fetches what a push may have changed; ``landed`` is where the server said that it went. Where that fails,
        whatever the cause, what became of it is not known:

        Raises:
            RemoteUnreachable.
        """
        try:
            if landed is None:
                self._journal.refresh(self._space.id)
            else:
                self._journal.read_back(self._space.id, landed)
        except RemoteUnreachable:
            raise
        except CoordjournalError as error:
            raise RemoteUnreachable(f"what became of the push cannot be read: {error}") from error

    def rehearse(self, intents: Sequence[Intent]) -> None:
        """As :meth:`coordjournal.Space.rehearse`: what :meth:`land` would raise."""
        state = self._space.newest()
        _, new = self.known(state, intents, True)
        if not new:
            return
        if self.way() != "sequencer":
            self.stamped(state, new, True, self.held)
            return
        self._check_intents(state, new, True)
        lease = state.lease
        if lease is not None and lease.in_force(max(int(time.time()), state.appended or 0)):
            raise Queued("inbox", tuple(new), _WAITS)

    def advance(self, old: str | None, new: str) -> bool:
        """As :meth:`coordjournal.Space.advance`."""
        return self._moved(old, new, ())

    def _moved(
        self,
        old: str | None,
        new: str,
        objects: Sequence[tuple[str, bytes]],
        first: str | None = None,
        kept: Kept | None = None,
    ) -> bool:
        """Writes the objects and moves the log, here or at the remote, to ``new``; False if it is not at ``old`` any
        more. ``first`` is the commit that follows ``old``, where that is known; ``kept`` as for ``store.add``."""
        remote = self._journal.remote
        if remote is None:
            return self._store.append(self._space.id, old, new, objects)
        self._store.add(objects, kept)
        try:
            # A server that sequences compares and swaps under the space's lock: also where it hides refs/spaces from
            # pushes, and what is settled leaves the inbox in the same transaction.
            if self._journal.sequencing():
                pushed = self._submitted(new, first if old else None)
            else:
                pushed = remote.push(self._space.id, old, new)
        except (RemoteUnreachable, GitFailed):
            # The connection, or the hook, may have broken after the push got through: only the log can tell.
            self._read_back()
            if self._store.tip(self._space.id) == old:
                raise
            return False
        if pushed:
            try:
                self._store.move(self._space.id, old, new, "pushed")
            except GitFailed:
                pass  # it has landed where it counts; the next sync brings it here
        return pushed

    def _submitted(self, new: str, first: str | None) -> bool:
        assert self._journal.remote is not None
        try:
            self._journal.remote.submit(self._space.id, new, first)
        except Refused as refusal:
            if refusal.code != "not-fast-forward":
                raise
            return False
        except NotSequencing:
            self._journal.forget_sequencing()
            return False
        return True

    # -- what an append is judged by -----------------------------------------------------------------------------

    def known(
        self, state: CoordinationState, intents: Sequence[Intent], same_at: bool
    ) -> tuple[dict[str, Landed], list[Intent]]:
        """Which of the intents landed before, and which are new. Raises IdConflict, and Refused for one that was let
        go."""
        done: dict[str, Landed] = {}
        new: dict[str, Intent] = {}
        for intent in intents:
            decision = intent.decision
            first = state.find_id(decision.id)
            twin = new.get(decision.id)
            other = first.decision if first else twin.decision if twin else None
            if other is None:
                why = state.refusal_of(decision.id)
                if why is not None:
                    raise _let_go(decision.id, why)
                new[decision.id] = intent
            elif not _is_same(decision if same_at else replace(decision, at=other.at), other):
                where = f"{self._space.id}@{first.seq}" if first else "the same batch"
                raise IdConflict(f"another decision has the id {decision.id} already: {where}")
            elif first:
                done[decision.id] = first
        return done, list(new.values())

    def check_asked(self, state: CoordinationState, ask: Ask) -> None:
        """Raises PreconditionFailed if what was asked does not hold in ``state``."""
        if ask.expect is not None and state.seq != ask.expect:
            raise PreconditionFailed(f"expected {self._space.id} to be at Seq {ask.expect}, it is at {state.seq}")
        if ask.when is not None and not ask.when(state):
            raise PreconditionFailed(f"the precondition does not hold for {self._space.id}@{state.seq}")

    def stamped(
        self,
        state: CoordinationState,
        intents: Sequence[Intent],
        allow_void: bool,
        held: HeldLease | None,
        kept: Kept | None = None,
    ) -> tuple[list[Landed], Stamped]:
        """The intents at their places behind ``state``, under the lease ``held``. With ``kept`` many are written while
        they are stamped, into a pack that it has. Raises Refused, WouldBeVoid, LeaseLost; nothing is written then."""
        lease = None
        appender = self._journal.appender
        if held is not None:
            held.check()
            lease = state.lease
            now = max(int(time.time()), state.appended or 0)
            if lease is None or lease.token != held.token or not lease.in_force(now):
                raise held.lose("another has taken it over, or it has ended")
            appender = held.appender
        own = self._own
        parent = own if own is not None and own.oid == state.commit else self._space.commit(state.commit)
        return self._stamped(state, parent, intents, appender, lease, allow_void, kept)

    def _check_intents(self, state: CoordinationState, intents: Sequence[Intent], allow_void: bool) -> None:
        """Whether intents would be taken in and have an effect, as far as this clone knows: the server asks again."""
        parent = self._space.commit(state.commit)
        if parent is not None:
            parent.lease = None  # whoever holds it: the server files them then
        self._stamped(state, parent, intents, self._journal.appender, None, allow_void, None)

    def _stamped(
        self,
        state: CoordinationState,
        parent: Commit | None,
        intents: Sequence[Intent],
        who: str,
        held: Lease | None,
        allow_void: bool,
        kept: Kept | None,
    ) -> tuple[list[Landed], Stamped]:
        name = self._store.name
        self._count += len(intents)
        trees, attached = trees_of(intents, name, self._store.empty_tree)
        landed: list[Landed] = []
        commits: list[Commit] = []

        def objects() -> Iterator[tuple[str, bytes]]:
            yield from attached
            for commit, decision, raw in stamping(
                self._space.id,
                intents,
                trees,
                parent,
                appender=who,
                now=int(time.time()),
                name=name,
                settings=self._journal.settings(),
                judge_extension=self._journal.judge_extension,
                held=held,
                many=self._count >= WORTH,
            ):
                seq = state.seq + 1 + len(commits)
                landed.append(Landed(seq, commit.oid, commit.appended, commit.appender, decision, commit.lease))
                commits.append(commit)
                yield "commit", raw
            if not allow_void:
                self._check_effect(state, landed)

        if kept is None or len(intents) < _MANY:
            left = list(objects())
        else:
            left = []
            self._store.add(Made(len(attached) + len(intents), objects()), kept)
        return landed, Stamped(commits, left)

    def _written(self, intents: Sequence[Intent], base: str | None, kept: Kept) -> list[str]:
        """Writes the commits of intents, one on the other, the first of them on ``base``."""
        objects: list[tuple[str, bytes]] = []
        commits: list[str] = []
        now = int(time.time())
        parent = base
        for intent in intents:
            decision = intent.decision
            tree = self._store.empty_tree
            if intent.files:
                tree, _, written = intent_tree(intent.files, self._store.name)
                objects += written
            raw = build(
                tree,
                parent,
                decision.actor,
                seconds(decision.at),
                self._journal.appender,
                now,
                subject(decision.type, decision.payload),
                decision.line(),
                None,
            )
            parent = self._store.name("commit", raw)
            objects.append(("commit", raw))
            commits.append(parent)
        self._store.add(objects, kept)
        return commits

    def _check_effect(self, state: CoordinationState, landed: Sequence[Landed]) -> None:
        """Raises WouldBeVoid if one of the decisions would have no effect."""
        if len(landed) == 1:
            reason = state.would_be_void(landed[0].decision.json())
            what = "it"
        else:
            after = state.after(item.record() for item in landed)
            void = next((item for item in landed if after.void_reason(item.seq) is not None), None)
            reason = after.void_reason(void.seq) if void else None
            what = f"the decision {void.decision.id}" if void else ""
        if reason is not None:
            raise WouldBeVoid(reason, f"{what} would have no effect: {VOID_REASONS[reason]}")


def _is_same(one: Decision, other: Decision) -> bool:
    """Whether two decisions have the same bytes; Python would take 1 and true for the same."""
    try:
        return one.line() == other.line()
    except ValueError:
        return False  # no JSON at all, so that it is none that has landed


def _is_settled(state: CoordinationState, id: str) -> bool:
    """Whether a decision has landed or was let go, so that it waits no more."""
    return state.find_id(id) is not None or state.refusal_of(id) is not None


def _let_go(id: str, why: str) -> Refused:
    return Refused("intent-refused", f"{id} was let go: {why}", "id")


def _follows_an_expired_lease(state: CoordinationState) -> bool:
    """Whether a lease has expired behind ``state`` that its holder has not released: the server's clock must have
    passed its end too."""
    lease = state.lease
    return lease is not None and lease.until > (state.appended or 0)


_WAITS = "somebody holds the lease of the space; its holder lands it, or the server once the lease has ended"

