"""Holding the lease of a space: this process alone appends, until it releases the lease or lets it end.

The lease is in the log (docs/format.md, "Leases"), so that whoever lost it cannot append anything, whatever it
believes. What is here only keeps its holder from trying: a holder stops one clock skew before the end, by the clock on
the wall and by one that counts the time that the machine slept, and renews in good time before that.

What an object of this class does reaches the log only under its own acquisition: where that is over, by a release in
another thread even, it raises LeaseLost instead of acquiring anew.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from . import inbox
from .appending import FIRST_PAUSE, LONGEST_PAUSE, Ask, Writer
from .decision import Intent, Landed
from .errors import (
    Contention,
    CoordjournalError,
    GitFailed,
    LeaseHeld,
    LeaseLost,
    Refused,
    RemoteUnreachable,
)
from .inbox import Waiting
from .payload import IntentRefused, LeaseAcquired, LeaseReleased
from .placing import token_of
from .state import CoordinationState
from .store import GitStore
from .text import REASON_BYTES, is_ident, is_reason, printable
from .trailer import Lease, read

if TYPE_CHECKING:
    from .space import Space

Decide = Callable[[Intent, CoordinationState], str | None]

_RENEWALS = 3  # within one ttl, where nothing is appended meanwhile
_NOT_ABOUT_IT = (LeaseLost, RemoteUnreachable, Contention, GitFailed)  # errors that say nothing of an intent
_AT_ONCE = 100  # intents of the inbox that are appended as one batch
_MAY_CHANGE = ("clock", "read-only", "lease-held")  # codes of refusals that are no reason to let an intent go


class HeldLease:
    """A lease that this object holds. :meth:`coordjournal.Space.lease` acquires it; ``with`` releases it at the end.

    Safe for any number of threads. A fork does not hold it: there every use raises LeaseLost.

    Attributes:
        holder: who holds it. appender: who commits what is appended under it: the committer of its acquisition.
        token, term, ttl: as the trailer says; ttl in seconds.
        unreadable: what the last look at the inbox passed over because it is damaged there: id to what is wrong.
    """

    def __init__(self, space: Space, writer: Writer, lease: Lease, appender: str, since: float) -> None:
        self.holder = lease.holder
        self.appender = appender
        self.token = lease.token
        self.term = lease.term
        self.ttl = lease.ttl
        self._space = space
        self._writer = writer
        self._pid = os.getpid()
        self.unreadable: dict[str, str] = {}
        self._lost = ""
        self._stop = threading.Event()
        self._until = lease.until
        self._ends = since + lease.ttl  # by the clock that nobody sets
        writer.held = self

    # -- acquiring -----------------------------------------------------------------------------------------------

    @classmethod
    def acquire(cls, space: Space, writer: Writer, holder: str, ttl: int, wait: float, renew: bool) -> HeldLease:
        """As :meth:`coordjournal.Space.lease`."""
        _check_free(space, writer)
        if not is_ident(holder):
            raise Refused("schema", f"{holder!r} cannot hold a lease: it is no ident", "payload.holder")
        give_up = time.monotonic() + wait
        asked = Ask(timeout=max(wait, 30.0), acquires=True)
        intent = _asked_before(writer, holder, ttl)
        again = intent is not None
        if intent is None:
            intent = space.intent(LeaseAcquired(holder, ttl), actor=holder)
        while True:
            since = _awake()
            try:
                landed = writer.land([intent], asked)[0]
            except RemoteUnreachable:
                writer.unsure = intent  # it may have got through: whoever asks again asks for this one
                raise
            except Refused as refusal:
                if refusal.code not in ("lease-held", "clock"):
                    raise
                _wait_until_free(space, refusal, give_up)
                continue
            writer.unsure = None
            lease, tip = read(landed.lease), space.newest().lease
            if lease is not None and tip is not None and tip.token == lease.token == token_of(intent.decision.id):
                if not again:
                    break
                since = _since(tip)
                if tip.in_force(int(time.time())):
                    break
            elif not again:
                raise LeaseLost(f"the lease of {space.id!r} ended before its acquisition was known here")
            intent, again = space.intent(LeaseAcquired(holder, ttl), actor=holder), False  # that one is over by now
        held = cls(space, writer, lease, landed.appender, since)
        if renew:
            held._start_renewing()
        return held

    @classmethod
    def resume(cls, space: Space, writer: Writer, saved: str) -> HeldLease:
        """As :meth:`coordjournal.Space.resume`."""
        _check_free(space, writer)
        try:
            found = json.loads(saved)
            name, token, appender = found["space"], found["token"], found["appender"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError("not a saved lease") from None
        if name != space.id:
            raise ValueError(f"a lease of the space {name!r}, not of {space.id!r}")
        space.journal.refresh(space.id)
        lease = space.newest().lease
        if lease is None or lease.token != token or not lease.in_force(int(time.time())):
            raise LeaseLost(f"the lease of {space.id!r} has ended, or another has taken it over")
        return cls(space, writer, lease, appender, _since(lease))

    def dumps(self) -> str:
        """The lease as text, for :meth:`coordjournal.Space.resume`. Whoever has it can append under the lease."""
        fields = {"space": self._space.id, "holder": self.holder, "token": self.token, "appender": self.appender}
        return json.dumps(fields, ensure_ascii=False, sort_keys=True)

    # -- while it is held ----------------------------------------------------------------------------------------

    @property
    def until(self) -> int:
        """When it ends if nothing renews it, in seconds since 1970. Nothing is written in its last skew."""
        return self._until

    @property
    def remaining(self) -> float:
        """For how long may still be written if nothing renews it, in seconds; 0 or less when it is over."""
        skew = self._space.journal.settings().clock_skew  # may have to wait for a sync that goes on
        return self._left() - skew

    def check(self) -> None:
        """Raises LeaseLost if nothing may be written under the lease any more."""
        if self._pid != os.getpid():
            raise LeaseLost(f"the lease of {self._space.id!r} is held by the process that was forked, not by its fork")
        if self._lost:
            raise LeaseLost(f"the lease of {self._space.id!r} is gone: {self._lost}")
        if self.remaining <= 0:
            raise self.lose("it was not renewed in time")

    def stamping(self) -> float:
        """As :meth:`check`, by who is about to stamp a decision under it. Gives the moment for :meth:`renewed_by`:
        it is renewed from then on, not from whenever the server will have answered."""
        self.check()
        return _awake()

    def lose(self, why: str) -> LeaseLost:
        """Notes that it is gone; the error to raise."""
        self._lost = self._lost or why
        self._stop.set()
        return LeaseLost(f"the lease of {self._space.id!r} is gone: {self._lost}")

    def renew(self, ttl: int | None = None) -> Landed:
        """Renews it now, by a decision of its own; with another ``ttl`` from then on.

        Raises:
            LeaseLost, RemoteUnreachable, Refused, Contention, GitFailed.
        """
        self.check()
        intent = self._space.intent(LeaseAcquired(self.holder, ttl or self.ttl), actor=self.holder)
        return self._writer.land([intent], Ask(lease=self))[0]

    def renewed_by(self, lease: Lease | None, since: float) -> None:
        """Notes what an append under it, stamped at the moment ``since``, has made of it."""
        if lease is None or lease.token != self.token or (lease.until, lease.ttl) == (self._until, self.ttl):
            return  # a clock that is behind the log renews nothing
        self.ttl = lease.ttl
        self._until = lease.until
        self._ends = since + lease.ttl - 1  # append times are rounded down

    def release(self) -> None:
        """Gives it back. One that is gone already stays so, without an error.

        Raises:
            RemoteUnreachable, Contention, GitFailed: the others have to wait until it ends.
        """
        self._stop.set()
        if self._writer.held is None and not self._lost:
            self._writer.held = self  # a release that did not get through, tried again
        try:
            if self._pid == os.getpid() and not self._lost:
                intent = self._space.intent(LeaseReleased(self.holder), actor=self.holder)
                self._writer.land([intent], Ask(lease=self))
                self._lost = self._lost or "it was released"
        except LeaseLost:
            pass
        if self._writer.held is self:  # where the release failed it is still ours, and can be tried again
            self._writer.held = None

    def __enter__(self) -> HeldLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except CoordjournalError:
            if kind is None:
                raise
        finally:
            if self._writer.held is self:
                self._writer.held = None

    def __repr__(self) -> str:
        return f"<HeldLease {self._space.id} {self.holder}/{self.token} term {self.term}>"

    # -- the inbox -----------------------------------------------------------------------------------------------

    def serve(
        self, decide: Decide | None = None, *, poll: float = 1.0, stop: threading.Event | None = None
    ) -> Iterator[Landed]:
        """Appends what waits in the inbox, in the order of its arrival, as long as it is asked for more.

        Gives each decision as it has landed; one that was let go as its ``intent-refused``. It ends when ``stop`` is
        set, and raises LeaseLost when the lease is gone. What crashes in between is done once more and never twice:
        an intent stays in the inbox until it has landed or was let go.

        Args:
            decide: asked about each intent and the state that it would be appended to: None to append it, else the
                reason for letting it go.
            poll: seconds between two looks at an empty inbox.
        """
        while stop is None or not stop.is_set():
            idle = True
            for landed in self.served(decide):
                idle = False
                yield landed
            if idle and not (self._stop if stop is None else stop).wait(poll):
                self.check()

    def serve_once(self, decide: Decide | None = None) -> list[Landed]:
        """Appends what waits in the inbox now; see :meth:`serve`."""
        return list(self.served(decide))

    def served(self, decide: Decide | None = None) -> Iterator[Landed]:
        """As :meth:`serve_once`, each decision as soon as it has landed."""
        self.check()
        self.unreadable.clear()
        waiting = self._space.inbox()
        state = self._space.newest()
        fresh = [item for item in waiting if not _is_settled(state, item)]
        pushed = False
        for start in range(0, len(fresh), _AT_ONCE):
            batch = fresh[start : start + _AT_ONCE]
            try:
                intents = inbox.contents(self._space.journal.store, self._space.journal.remote, batch)
            except (GitFailed, RemoteUnreachable) as error:
                if not set(batch).issubset(self._space.inbox()):
                    return  # somebody else under this lease has landed some, or it is over: the next look tells
                intents = self._readable(batch, error)
                if not intents:
                    continue
            try:
                for landed in self._appended(intents, decide):
                    pushed = True
                    yield landed
            except Refused as refusal:
                if refusal.code != "clock":
                    raise
                break  # decided by a clock that is ahead of this one: its time will come, and those behind it wait
        self._leave(waiting, pushed)

    def _readable(self, batch: list[Waiting], error: CoordjournalError) -> list[Intent]:
        """What can be read of a batch that cannot be read as a whole. What is damaged waits on, and stops nobody behind
        it. Raises ``error`` where the remote gives nothing of it: that may be the connection."""
        found: list[Intent] = []
        for item in batch:
            try:
                found += inbox.contents(self._space.journal.store, self._space.journal.remote, [item])
            except (GitFailed, RemoteUnreachable) as fault:
                self.unreadable[item.id] = str(fault)
        if not found and isinstance(error, RemoteUnreachable):
            raise error
        return found

    def _appended(self, intents: list[Intent], decide: Decide | None) -> Iterator[Landed]:
        """Appends intents, all at once if nothing is said against any of them."""
        asked = Ask(allow_void=True, lease=self)
        if decide is None:
            try:
                yield from self._writer.land(intents, asked)
                return
            except _NOT_ABOUT_IT:
                raise
            except CoordjournalError:
                pass  # one of them is at fault
        for intent in intents:
            reason = decide(intent, self._space.newest()) if decide else None
            if reason is None:
                try:
                    landed = self._writer.land([intent], asked)
                except _NOT_ABOUT_IT:
                    raise
                except CoordjournalError as error:
                    if error.code in _MAY_CHANGE:
                        raise
                    reason = str(error)
                else:
                    yield from landed
                    continue
            letting_go = IntentRefused(intent.decision.id, _as_reason(reason))
            yield from self._writer.land([self._space.intent(letting_go, actor=self.holder)], asked)

    def _leave(self, waiting: list[Waiting], pushed: bool) -> None:
        """Has what is settled leave the inbox. The server's sequencer does so by itself with every push of ours."""
        state = self._space.newest()
        settled = [item for item in waiting if _is_settled(state, item)]
        if not settled:
            return
        store = self._space.journal.store
        if self._space.journal.remote is not None:
            if not pushed and self._space.journal.sequencing():
                self.renew()  # whatever is pushed under the lease takes what has landed out of the inbox
            return
        assert isinstance(store, GitStore)
        try:
            store.update_refs([f"delete {item.ref} {item.commit}" for item in settled], "landed, or let go")
        except GitFailed:
            if set(settled).issubset(self._space.inbox()):
                raise  # else the sequencer was faster with some of them, and the next look finds the others

    # -- inside --------------------------------------------------------------------------------------------------

    def _left(self) -> float:
        """Seconds to its end, by the clock that is nearer to it."""
        return min(self._until - time.time(), self._ends - _awake())

    def _start_renewing(self) -> None:
        threading.Thread(target=self._keep_renewing, name=f"lease of {self._space.id}", daemon=True).start()

    def _keep_renewing(self) -> None:
        while not self._stop.wait(max(0.0, self._until_due())):
            if self._until_due() > 0:
                continue  # an append has renewed it meanwhile
            try:
                self.renew()
                pause = self.ttl / _RENEWALS / 2  # also where a clock behind the log renews nothing
            except LeaseLost:
                return
            except (CoordjournalError, OSError):
                pause = min(1.0, self.ttl / 20)  # the remote may be back before the end
            self._stop.wait(pause)

    def _until_due(self) -> float:
        return self._left() - self.ttl * (_RENEWALS - 1) / _RENEWALS


def _check_free(space: Space, writer: Writer) -> None:
    held = writer.held
    if held is not None:
        try:
            held.check()
        except LeaseLost:
            writer.held = None
        else:
            raise LeaseHeld(space.id, held.holder, held.until)


def _asked_before(writer: Writer, holder: str, ttl: int) -> Intent | None:
    """An acquisition of which it is not known whether it landed, if it asked for the same."""
    intent = writer.unsure
    same = intent is not None and intent.decision.payload == {"holder": holder, "ttl": ttl}
    return intent if same else None


def _wait_until_free(space: Space, refusal: Refused, give_up: float) -> None:
    """Waits until the lease seems to be over. Raises the refusal, or LeaseHeld, if there is no time left to wait."""
    pause = FIRST_PAUSE
    while True:
        space.journal.refresh(space.id)
        lease = space.newest().lease
        in_force = lease is not None and lease.in_force(int(time.time()))
        if time.monotonic() > give_up:
            if refusal.code == "lease-held" and lease is not None and lease.holder:
                raise LeaseHeld(space.id, lease.holder, lease.until) from None
            raise refusal
        if not in_force:
            pause = LONGEST_PAUSE  # the server has just seen it otherwise, so that its clock may be behind
        time.sleep(min(pause * random.random(), max(0.0, give_up - time.monotonic())))
        if not in_force:
            return
        pause = min(2 * pause, LONGEST_PAUSE)


def _since(lease: Lease) -> float:
    """When a lease of which only the trailer is known was renewed last, by the clock that nobody sets."""
    return _awake() + lease.until - time.time() - lease.ttl


def _is_settled(state: CoordinationState, item: Waiting) -> bool:
    return state.find_id(item.id) is not None or state.refusal_of(item.id) is not None


def _as_reason(why: str) -> str:
    """``why`` as the reason of a decision, for it may be anything."""
    if is_reason(why):
        return why
    return printable(why).encode()[:REASON_BYTES].decode(errors="ignore") or "no reason was given"


def _awake() -> float:
    """Seconds by a clock that nobody sets and that counts the time that the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
