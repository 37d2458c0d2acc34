"""One worker: a process that appends in every way there is, and tells its history.

It may be killed at any moment. The next life reads in the history what was asked and never answered, and asks it again
under the same ids. Which way it takes is drawn from the seed; what meets what is not.
"""

from __future__ import annotations

import os
import random
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordjournal import decision as decisions
from coordjournal.decision import Decision, Intent, Landed
from coordjournal.errors import (
    CoordjournalError,
    DecisionNotFound,
    IdConflict,
    LeaseHeld,
    LeaseLost,
    PreconditionFailed,
    Queued,
    Refused,
    WouldBeVoid,
)
from coordjournal.journal import Journal
from coordjournal.lease import HeldLease
from coordjournal.payload import AliasSet, OverlayCreated, Payload
from coordjournal.space import Space

from . import history
from .history import History
from .rules import FOR_GOOD

_NAMES = 12  # aliases that all set
_REFUSALS = (Refused, PreconditionFailed, WouldBeVoid, IdConflict)
_SETTLE_SECONDS = 300
_LET_GO = 0.3  # of what a holder finds in the inbox


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do.

    ``clock`` is by how many seconds its clock is off. ``begun``, shared with the run, is where it says how many
    decisions it has begun in all its lives. ``stop`` is a file: once it is there, only what was begun is finished.
    """

    who: str
    seed: int
    life: int
    clone: Path
    notes: Path
    server: Path
    spaces: tuple[str, ...]
    ttls: tuple[int, int]
    clock: float
    begun: memoryview
    stop: Path


def main(job: Job) -> int:
    """Works until it is told to stop, then finishes what was begun; the exit status."""
    noted = History(job.notes, job.who, job.life)
    try:
        _shift_clock(job.clock)
        worker = _Worker(job, noted)
        worker.work()
        worker.finish()
    except BaseException:
        noted.note("crash", what=traceback.format_exc())
        return 1
    noted.note("done", life=job.life)
    return 0


def _shift_clock(seconds: float) -> None:
    """Sets the clock of this process, as far as the package looks at it."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)
    decisions.at_text.__defaults__ = (time.time_ns,)  # they hold the clock as it was when they were defined
    decisions.new_id.__defaults__ = (time.time_ns, os.urandom)


class _Worker:
    def __init__(self, job: Job, noted: History) -> None:
        self.job = job
        self.noted = noted
        self.rng = random.Random(f"{job.seed} {job.who} {job.life}")
        self.pending: list[dict[str, Any]] = []  # what was asked of appends that may have to be asked again
        self.queued: list[dict[str, Any]] = []  # ... and of those that wait somewhere
        self.done: list[dict[str, Any]] = []  # ... and of those that have landed
        self.held: HeldLease | None = None
        self.journal = Journal.open(job.clone, appender=job.who, extensions={})
        self._remember()

    # -- what it does ----------------------------------------------------------------------------------------------

    def work(self) -> None:
        turns: list[tuple[int, Callable[[Space], None]]] = [
            (20, self.one),
            (20, self.batch),
            (8, self.expecting),
            (8, self.when),
            (8, self.unqueued),
            (10, self.again),
            (4, self.landed_again),
            (4, self.forge),
            (6, self.wait),
            (6, self.send),
            (6, self.read),
            (4, self.offline),
            (14, self.lease),
            (2, self.reopen),
        ]
        weights = [weight for weight, _ in turns]
        self.take_up_lease()
        while not self.job.stop.exists():
            turn = self.rng.choices(turns, weights)[0][1]
            turn(self.space())

    def finish(self) -> None:
        """Everything that was begun comes to its end."""
        until = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < until:
            for space in map(self.journal.space, self.job.spaces):
                self.send(space)
                for asked in [asked for asked in self.pending if asked["space"] == space.id]:
                    self.ask(space, asked)
            outbox = self.journal.outbox
            assert outbox is not None
            if not self.pending and all(entry.state == "rejected" for entry in outbox.entries()):
                return
            time.sleep(0.2)
        raise TimeoutError(f"still waiting: {self.pending}")

    def space(self) -> Space:
        return self.journal.space(self.rng.choice(self.job.spaces))

    def one(self, space: Space) -> None:
        self.append(space, [self.intent(space)], at=self.rng.random() < 0.5)

    def batch(self, space: Space) -> None:
        self.append(space, [self.intent(space) for _ in range(self.rng.randint(2, 16))])

    def expecting(self, space: Space) -> None:
        if self.rng.random() < 0.7:
            self.read(space)
        self.append(space, [self.intent(space)], expect=space.last_seq(), queue=self.rng.random() < 0.5)

    def when(self, space: Space) -> None:
        if self.rng.random() < 0.7:
            self.read(space)
        name = f"name {self.rng.randrange(_NAMES)}"
        intent = self.intent(space, name)
        self.append(space, [intent], when=[name, space.newest().resolve(name)])

    def unqueued(self, space: Space) -> None:
        self.append(space, [self.intent(space)], queue=False)

    def again(self, space: Space) -> None:
        """Asks again for what may not have landed."""
        for asked in [asked for asked in self.pending if asked["space"] == space.id][:3]:
            self.ask(space, asked)

    def wait(self, space: Space) -> None:
        """Asks what became of something that was queued, or hands it over once more."""
        found = [asked for asked in self.queued if asked["space"] == space.id]
        if not found:
            return
        asked = self.rng.choice(found[-5:])
        if self.rng.random() < 0.5:
            self.queued.remove(asked)
            self.ask(space, asked)
            return
        with self.told("wait", space, id=asked["docs"][0]["id"]) as answer:
            answer["places"] = places([space.wait(asked["docs"][0]["id"], timeout=self.rng.choice((0.0, 1.0)))])

    def landed_again(self, space: Space) -> None:
        """Asks again for what has landed: the answer must be the same."""
        found = [asked for asked in self.done if asked["space"] == space.id]
        if found:
            asked = self.rng.choice(found[-20:])
            doc = self.rng.choice(asked["docs"])
            at = asked["at"] and self.rng.random() < 0.5  # where it was not said, it landed with another
            self.ask(space, {"space": space.id, "docs": [doc], "at": at, "queue": self.rng.random() < 0.5})

    def forge(self, space: Space) -> None:
        """Hands over another decision under the id of one that has landed."""
        found = [asked for asked in self.done if asked["space"] == space.id]
        if found:
            doc = self.rng.choice(self.rng.choice(found[-20:])["docs"])
            forged = {**doc, "actor": "mallory"}
            with self.told("forge", space, id=doc["id"]) as answer:
                answer["places"] = places(space.append_many([rebuilt(forged)], queue=False))

    def send(self, space: Space) -> None:
        with self.told("send", space) as answer:
            sent = space.send()
            answer["places"] = [place for item in sent for place in places(item.landed)]
            answer["rejected"] = [d.id for item in sent if item.entry.state == "rejected" for d in item.entry.decisions]

    def read(self, space: Space) -> None:
        with self.told("read", space) as answer:
            self.journal.refresh(space.id)
            state = space.newest()
            answer.update(seq=state.seq, commit=state.commit)

    def offline(self, space: Space) -> None:
        """Appends while the server is away, and sends once it is back."""
        with self.away():
            for _ in range(self.rng.randint(1, 4)):
                self.append(space, [self.intent(space) for _ in range(self.rng.choice((1, 1, 3)))])
        self.send(space)

    def reopen(self, _space: Space) -> None:
        self.journal.close()
        self.journal = Journal.open(self.job.clone, appender=self.job.who, extensions={})

    # -- the lease -------------------------------------------------------------------------------------------------

    def lease(self, space: Space) -> None:
        """Holds the lease for a while, if it can be had."""
        ttl = self.rng.randint(*self.job.ttls)
        with self.told("lease", space, ttl=ttl) as answer:
            self.held = space.lease(
                self.job.who, ttl=ttl, wait=self.rng.choice((0.0, 0.5, 2.0)), renew=self.rng.random() < 0.7
            )
            answer.update(term=self.held.term, token=self.held.token)
        if self.held is not None:
            self.hold(space)

    def take_up_lease(self) -> None:
        """The lease of a former life, if it is still there."""
        saved = self.saved()
        if not saved.exists():
            return
        try:
            space = self.journal.space(self.job.spaces[int(saved.name[-1])])
            self.journal.refresh(space.id)
            self.held = space.resume(saved.read_text())
        except (CoordjournalError, ValueError):
            return
        finally:
            saved.unlink()
        self.noted.note("resumed", space=space.id, token=self.held.token)
        self.hold(space)

    def saved(self) -> Path:
        return next(self.job.notes.parent.glob(f"{self.job.who}.lease*"), self.job.notes.parent / "none")

    def hold(self, space: Space) -> None:
        assert self.held is not None
        saved = self.job.notes.parent / f"{self.job.who}.lease{self.job.spaces.index(space.id)}"
        if self.rng.random() < 0.5:
            saved.write_text(self.held.dumps())
        turns = (self.one, self.batch, self.expecting, self.when, self.serve, self.serve, self.renew, self.nap)
        for _ in range(self.rng.randint(3, 10)):
            if self.held is None:
                break
            self.rng.choice(turns)(space)
            self.check(space)
        if self.held is not None:
            if self.rng.random() < 0.25:
                time.sleep(max(0.0, self.held.remaining + 0.1))  # it ends by itself, or is renewed by its thread
            with self.told("release", space, term=self.held.term, token=self.held.token):
                self.held.release()
        self.held = None
        saved.unlink(missing_ok=True)

    def serve(self, space: Space) -> None:
        held = self.held
        assert held is not None
        rng = self.rng
        decide = None
        if rng.random() < 0.5:
            def decide(_intent: Intent, _state: object) -> str | None:
                return "not wanted" if rng.random() < _LET_GO else None

        with self.told("serve", space, term=held.term, token=held.token) as answer:
            answer["places"] = places(held.serve_once(decide))

    def check(self, space: Space) -> None:
        if self.held is not None:
            with self.told("check", space, term=self.held.term, token=self.held.token):
                self.held.check()

    def renew(self, space: Space) -> None:
        assert self.held is not None
        with self.told("renew", space, term=self.held.term, token=self.held.token) as answer:
            answer["places"] = places([self.held.renew(self.rng.choice((None, self.rng.randint(*self.job.ttls))))])

    def nap(self, _space: Space) -> None:
        time.sleep(self.rng.uniform(0.05, 0.8))

    # -- appending -------------------------------------------------------------------------------------------------

    def intent(self, space: Space, name: str | None = None) -> Intent:
        self.job.begun[0] += 1
        page = f"{self.job.who}:life {self.job.life} number {self.job.begun[0]}"
        payload: Payload = AliasSet(name or f"name {self.rng.randrange(_NAMES)}", page)
        if name is None and self.rng.random() < 0.05:
            payload = OverlayCreated(page, page, None, body(page))
        return space.intent(payload, actor=self.job.who)

    def append(
        self,
        space: Space,
        intents: list[Intent],
        at: bool = True,
        expect: int | None = None,
        when: list[Any] | None = None,
        queue: bool = True,
    ) -> None:
        docs = [intent.decision.json() for intent in intents]
        self.ask(space, {"space": space.id, "docs": docs, "at": at, "expect": expect, "when": when, "queue": queue})

    def ask(self, space: Space, asked: dict[str, Any]) -> None:
        """Hands over what was asked, for the first time or again. Without ``at`` the time of a retry is another one."""
        more = {key: value for key, value in asked.items() if key != "space"}
        if self.held is not None:
            more["token"] = self.held.token
        docs, expect, when, queue = asked["docs"], asked.get("expect"), asked.get("when"), asked["queue"]
        if asked in self.pending:
            self.pending.remove(asked)
        holds = None if when is None else (lambda state: state.resolve(when[0]) == when[1])
        with self.told("append", space, **more) as answer:
            intents = [rebuilt(doc) for doc in docs]
            if asked["at"] or len(docs) > 1:
                landed = space.append_many(intents, expect=expect, when=holds, queue=queue)
            else:
                doc = docs[0]
                files = intents[0].files
                asked_for: dict[str, Any] = {"expect": expect, "when": holds, "queue": queue}
                landed = [
                    space.append(
                        doc["type"], doc["payload"], actor=doc["actor"], id=doc["id"], files=files, **asked_for
                    )
                ]
            answer["places"] = places(landed)
        if answer["outcome"] == "landed":
            self.done.append(asked)
        elif answer["outcome"] == "queued":
            self.queued.append(asked)
        elif may_be_asked_again(answer):
            self.pending.append(asked)

    @contextmanager
    def told(self, op: str, space: Space, **asked: Any) -> Iterator[dict[str, Any]]:
        """Notes a call and how it ends. What the answer is to hold is put into what this gives."""
        answer: dict[str, Any] = {"outcome": "landed"}
        number = self.noted.call(op, space.id, **asked)
        try:
            yield answer
        except Queued as queued:
            answer.update(outcome="queued", place=queued.place, why=str(queued))
        except _REFUSALS as refusal:
            answer.update(outcome="refused", code=refusal.code, why=str(refusal))
        except (LeaseHeld, DecisionNotFound) as refusal:
            answer.update(outcome="refused", code=refusal.code, why=str(refusal))
        except CoordjournalError as error:
            answer.update(outcome="unknown", code=error.code, why=str(error))
            if isinstance(error, LeaseLost) and self.held is not None:
                held, self.held = self.held, None
                held.release()
        self.noted.answer(number, **answer)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The server cannot be reached."""
        more = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.job.server}-is-away.insteadOf",
            "GIT_CONFIG_VALUE_0": str(self.job.server),
        }
        os.environ.update(more)
        try:
            yield
        finally:
            for key in more:
                del os.environ[key]

    def _remember(self) -> None:
        """Finds in the history what former lives have begun."""
        latest: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        for call in history.calls(history.events(self.job.notes)):
            if call.op == "append":
                asked = {key: value for key, value in call.asked.items() if key != "token"}
                latest[call.ids[0]] = ({"space": call.space, **asked}, {"outcome": call.outcome, **call.answered})
        self.job.begun[0] = sum(len(asked["docs"]) for asked, _ in latest.values())
        for asked, answer in latest.values():
            if answer["outcome"] == "landed":
                self.done.append(asked)
            elif may_be_asked_again(answer):
                self.pending.append(asked)


def may_be_asked_again(answer: dict[str, Any]) -> bool:
    """Whether an append that was answered so has to be asked again: it failed, or nobody answered."""
    if answer["outcome"] == "refused":
        return answer["code"] not in FOR_GOOD
    return answer["outcome"] in (None, "unknown")


def places(landed: list[Landed] | Any) -> list[tuple[str, int, str]]:
    """Where decisions landed, for the history."""
    return [(item.decision.id, item.seq, item.commit) for item in landed]


def rebuilt(doc: dict[str, Any]) -> Intent:
    """The intent of a decision in the history."""
    files = {"body": body(doc["payload"]["overlay_id"])} if doc["type"] == "overlay-created" else {}
    return Intent(Decision.from_json(doc), files)


def body(page: str) -> bytes:
    """The text of an overlay."""
    return f"The text of {page}\n".encode()
