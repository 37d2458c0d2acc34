"""``lease serve``: a program that runs for long, holds the lease of a space and appends what waits in its inbox.

One thread does all of it, step by step: acquire, look at the inbox, renew in good time, wait. So nothing else has to be
stopped when it is told to end, and whatever it was doing is done or was never begun. What fails because of the remote
is tried again; whatever else fails ends it, with the lease given back, so that nobody waits for a server that serves
nothing.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import Contention, CoordjournalError, GitFailed, LeaseLost, RemoteUnreachable
from . import failure, held, render
from .base import App
from .output import Paper, put_json, safe

if TYPE_CHECKING:
    from ..decision import Landed
    from ..lease import HeldLease
    from ..space import Space

_RENEW_AT = 2 / 3  # of the ttl left
_SHORTEST = 0.02  # seconds between two looks
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Stop:
    """SIGTERM and SIGINT, as something to wait for. A second one ends the program at once."""

    def __enter__(self) -> _Stop:
        self.asked = False
        self._reader, self._writer = os.pipe()
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, seconds: float) -> None:
        """Waits for so long, or until it is asked for."""
        select.select([self._reader], [], [], seconds)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        os.write(self._writer, b".")
        self._restore()

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


class Server:
    """Serves the inbox of a space. ``wait`` is how long to wait for the lease, in seconds; None: for ever."""

    def __init__(
        self,
        app: App,
        space: Space,
        holder: str | None,
        ttl: int,
        poll: float,
        wait: float | None,
        once: bool,
    ) -> None:
        self._app = app
        self._space = space
        self._ttl = ttl
        self._poll = max(poll, _SHORTEST)
        self._wait = wait
        self._once = once
        self._holder = holder
        self._candidate = held.Candidate(space, held.holder_of(space, holder), ttl)
        self._resumes = True  # what this repository holds already, from before a crash perhaps
        self._waiting_since = time.monotonic()
        self._lease: HeldLease | None = None
        self._told = ""  # the trouble that was told last
        self._failed = False  # git failed at the last step
        self._unreadable: dict[str, str] = {}  # what was told to be damaged

    def run(self) -> None:
        """Serves until a signal asks for the end.

        Raises:
            LeaseHeld: somebody else held the lease for longer than ``wait``.
            LeaseLost: it is lost, and was not to be acquired again.
            CoordjournalError: what trying again cannot help.
        """
        with _Stop() as stop:
            try:
                while not stop.asked:
                    if self._step():
                        continue
                    stop.wait(self._pause())
            except BaseException:
                with suppress(CoordjournalError):
                    self._give_back()
                raise
            try:
                self._give_back()
            except CoordjournalError as error:
                self._tell_event("unreleased", "the lease could not be released, and ends by itself", error)

    # -- steps ---------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """One step; whether the next should follow at once."""
        try:
            more = self._acquire() if self._lease is None else self._serve(self._lease)
        except LeaseLost as lost:
            self._lose(lost)
            if self._once:
                raise
            return False
        except (RemoteUnreachable, Contention, GitFailed) as error:
            if isinstance(error, GitFailed):
                # Once it may be a race: what was in the inbox has just left it.
                if self._failed:
                    raise
                self._failed = True
            if self._told != str(error):
                self._told = str(error)
                self._tell_event("trouble", "trying again", error)
            if self._lease is None:
                self._check_patience(error)
            return False
        self._failed = False
        if self._told:
            self._told = ""
            self._tell_event("recovered", "the remote answers again")
        return more

    def _acquire(self) -> bool:
        if self._resumes:
            found = held.resume(self._app, self._space)
            self._resumes = False
            if found is not None:
                held.check_holder(self._space, found, self._holder)
                self._lease = found
                self._tell_lease("resumed")
                return True
        first = self._candidate.error is None
        self._lease = self._candidate.attempt()
        if self._lease is not None:
            self._tell_lease("acquired")
            return True
        error = self._candidate.error
        assert error is not None
        if first:
            self._tell_event("waiting", "waiting for the lease", error)
        self._check_patience(error)
        return False

    def _serve(self, lease: HeldLease) -> bool:
        if lease.ttl != self._ttl or lease.until - time.time() <= lease.ttl * _RENEW_AT:
            lease.renew(self._ttl)
        busy = False
        for item in lease.served():
            self._tell_landed(item)
            busy = True
        for id, why in lease.unreadable.items():
            if self._unreadable.get(id) != why:
                self._tell_event("unreadable", f"{id} cannot be read, and waits on: {why}", id=id)
        self._unreadable = dict(lease.unreadable)
        return busy

    def _lose(self, lost: LeaseLost) -> None:
        if self._lease is not None:
            self._lease.release()  # it is gone: the space only stops to append under it
            self._lease = None
        held.forget(self._space)
        self._waiting_since = time.monotonic()
        self._tell_event("lost", "", lost)

    def _give_back(self) -> None:
        if self._lease is None:
            return
        lease, self._lease = self._lease, None
        lease.release()
        held.forget(self._space)
        self._tell_event("released", f"released the lease of {self._space.id}")

    def _check_patience(self, error: CoordjournalError) -> None:
        if self._wait is not None and time.monotonic() - self._waiting_since > self._wait:
            raise error

    def _pause(self) -> float:
        """Seconds until there is something to do."""
        if self._lease is None:
            return self._poll
        renewal = self._lease.until - time.time() - self._lease.ttl * _RENEW_AT
        return min(self._poll, max(renewal, _SHORTEST))

    # -- words ---------------------------------------------------------------------------------------------------

    def _tell_landed(self, landed: Landed) -> None:
        decision = landed.decision
        let_go = decision.type == "intent-refused"
        if self._app.json:
            put_json({"event": "let-go" if let_go else "landed", **landed.json()})
        else:
            paper = self._app.paper
            place = paper.yellow(f"{safe(decision.space)}@{landed.seq}")
            paper.line(f"{place}  {paper.cyan(safe(decision.actor))}  {render.what(decision)}")
        sys.stdout.flush()

    def _tell_lease(self, event: str) -> None:
        facts = render.lease_facts(self._space.state(), int(time.time()))
        self._tell_event(event, f"{self._space.id}: {render.lease_words(facts)}", lease=facts)

    def _tell_event(self, event: str, words: str, error: CoordjournalError | None = None, **more: Any) -> None:
        """Something that is no decision, on standard error."""
        if self._app.json:
            told: dict[str, Any] = {"event": event, "space": self._space.id, **more}
            if error is not None:
                told["error"] = failure.described(error)
            put_json(told, sys.stderr)
        else:
            paper = Paper(sys.stderr)
            said = [part for part in (words, str(error) if error is not None else "") if part]
            paper.line(f"{paper.yellow('coordjournal:')} {safe(': '.join(said))}")
        sys.stderr.flush()
