"""The inbox: what waits for the holder of a lease lands once, in the order of its arrival, or is let go."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authority import (
    Clock,
    child,
    configure,
    cut_off,
    lease_of_the_past,
    lose_answer,
    soon,
    time_passes,
    types,
    verified,
    without_sequencing,
)
from support import git

from coordjournal import (
    AliasCleared,
    AliasSet,
    DecisionNotFound,
    HeldLease,
    Intent,
    Journal,
    LeaseLost,
    OverlayCreated,
    PreconditionFailed,
    Queued,
    Refused,
    RemoteUnreachable,
    Space,
)
from coordjournal.decision import new_id
from coordjournal.remote import Remote
from coordjournal.store import GitStore
from coordjournal.text import is_reason

Bare = Callable[..., Path]
HOME = AliasSet("Home", "shardA:Index")


@pytest.fixture
def path(bare: Bare) -> Path:
    return bare()


@pytest.fixture
def author(path: Path, tmp_path: Path) -> Iterator[Space]:
    """Somebody who does not hold the lease."""
    with Journal.clone(str(path), tmp_path / "author", appender="author") as journal:
        yield journal.space("garden")


@pytest.fixture(params=["clone", "embedded"])
def holder(request: pytest.FixtureRequest, path: Path, tmp_path: Path) -> Iterator[Space]:
    """Where the lease is held: in another clone, or on the server itself."""
    embedded = request.param == "embedded"
    with Journal.open(path) if embedded else Journal.clone(str(path), tmp_path / "holder") as journal:
        yield journal.space("garden")


@pytest.fixture
def held(holder: Space) -> Iterator[HeldLease]:
    with holder.lease("node-a", ttl=300, renew=False) as lease:
        yield lease


def filed(space: Space, *targets: str, **more: Any) -> list[str]:
    """Has aliases wait in the inbox; their ids."""
    ids = []
    for target in targets:
        with pytest.raises(Queued) as queued:
            space.append(AliasSet("Home", target), actor="bob", **more)
        assert queued.value.place == "inbox"
        ids += [intent.decision.id for intent in queued.value.intents]
    return ids


def waiting(space: Space) -> list[str]:
    return [item.id for item in space.inbox()]


def states(space: Space) -> list[str]:
    """The states of the entries of the author's outbox."""
    assert space.journal.outbox is not None
    return [entry.state for entry in space.journal.outbox.entries()]


def targets(path: Path) -> list[str]:
    with Journal.open(path) as server:
        log = [landed.decision for landed in server.space("garden").log()]
    return [str(decision.payload["target"]) for decision in log if decision.type == "alias-set"]


# -- landing ---------------------------------------------------------------------------------------------------------


def test_what_waits_lands_in_the_order_of_its_arrival(
    path: Path, author: Space, holder: Space, held: HeldLease
) -> None:
    ids = filed(author, "s:0", "s:1", "s:2")
    assert states(author) == ["filed"] * 3
    for space in (author, holder):
        found = space.inbox()
        assert [item.id for item in found] == ids
        assert [item.arrival for item in found] == sorted({item.arrival for item in found})
        assert [item.ref for item in found] == git(path, "for-each-ref", "--format=%(refname)", "refs/intents").split()
        assert [git(path, "cat-file", "-t", item.commit) for item in found] == ["commit"] * 3
    told = found[0].json()
    assert (told["id"], told["ref"], told["commit"]) == (ids[0], found[0].ref, found[0].commit)
    assert abs(soon().timestamp() - found[0].arrival / 1e6) < 60 and told["arrived"].startswith("20")
    assert author.whereabouts(ids[0]).json()["place"] == "inbox"
    holder.append(AliasSet("Home", "s:own"), actor="alice")
    landed = held.serve_once()
    assert [item.decision.id for item in landed] == ids
    assert {(item.decision.actor, item.appender) for item in landed} == {("bob", held.appender)}
    assert waiting(author) == waiting(holder) == []
    assert held.serve_once() == []
    assert [author.wait(id) for id in ids] == landed
    assert states(author) == []
    assert targets(path) == ["s:own", "s:0", "s:1", "s:2"]
    assert verified(path)


@pytest.mark.parametrize("holder", ["embedded"], indirect=True)
def test_attachments_and_batches(author: Space, holder: Space, held: HeldLease) -> None:
    note = author.intent(OverlayCreated("o", "s:P", None, "a note"), actor="bob")
    more = [author.intent(AliasSet(f"name{n}", "s:P"), actor="bob") for n in range(3)]
    with pytest.raises(Queued, match="4 decisions in the inbox") as queued:
        author.append_many([note, *more])
    assert queued.value.intents == (note, *more)
    assert waiting(author) == [intent.decision.id for intent in (note, *more)]
    landed = held.serve_once()
    assert holder.body(landed[0]) == b"a note"
    author.journal.sync()
    assert author.append_many([note, *more]) == landed  # the same again
    assert author.body(landed[0]) == b"a note"


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_the_same_intents_again_wait_once(
    author: Space, held: HeldLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answer(monkeypatch, "submit")
    with pytest.raises(Queued) as queued:
        author.append(HOME, actor="bob")
    assert (queued.value.place, states(author)) == ("outbox", ["waiting"])  # as far as it knows
    [item] = author.inbox()
    author.journal.sync()
    assert (author.inbox(), states(author)) == ([item], ["filed"])
    author.journal.send()
    with pytest.raises(Queued, match="inbox"):
        author.append_many(queued.value.intents, queue=False)
    assert author.inbox() == [item]
    [landed] = held.serve_once()
    assert author.append_many(queued.value.intents) == [landed]
    author.journal.sync()
    assert states(author) == []


@pytest.mark.parametrize("holder", ["embedded"], indirect=True)
def test_what_has_no_effect_any_more_lands_and_is_void(path: Path, author: Space, holder: Space) -> None:
    holder.append(HOME, actor="alice")
    with holder.lease("node-a", ttl=300) as held:
        author.journal.sync()
        ids = []
        for _ in range(2):
            with pytest.raises(Queued) as queued:
                author.append(AliasCleared("Home"), actor="bob")
            ids.append(queued.value.intents[0].decision.id)
        ids += filed(author, "s:after")
        assert [landed.decision.id for landed in held.serve_once()] == ids
        assert [(void.id, void.reason) for void in holder.state().void] == [(ids[1], "alias-not-set")]
        author.journal.sync()
        assert states(author) == []


def test_the_holders_own_landing_of_an_intent_takes_it_out(
    path: Path, author: Space, holder: Space, held: HeldLease
) -> None:
    """It came to the holder some other way too."""
    mine, at = new_id(), soon()
    filed(author, "s:twice", id=mine, at=at)
    holder.append(AliasSet("Home", "s:twice"), actor="bob", id=mine, at=at)
    assert held.serve_once() == []
    assert waiting(holder) == []
    assert author.wait(mine).seq == 1
    before = types(path)
    assert held.serve_once() == []
    assert types(path) == before


@pytest.mark.parametrize("holder", ["embedded"], indirect=True)
def test_what_was_decided_by_a_clock_ahead_waits_for_its_time(
    path: Path, author: Space, holder: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has let it in, and the clock of the holder is behind the server's."""
    clock = Clock(monkeypatch)
    clock.wall = -30
    held = holder.lease("node-a", ttl=300, renew=False)
    clock.wall = 0
    ids = filed(author, "s:ahead", at=soon() + timedelta(seconds=50))
    ids += filed(author, "s:behind it")
    clock.wall = -30
    assert held.serve_once() == []
    assert waiting(author) == ids
    clock.wall = 0
    assert [landed.decision.id for landed in held.serve_once()] == ids
    held.release()


# -- letting go ------------------------------------------------------------------------------------------------------


def test_what_is_let_go_is_refused_with_the_reason(path: Path, author: Space, holder: Space, held: HeldLease) -> None:
    ids = filed(author, "s:0", "s:bad", "s:2")
    asked: list[tuple[str, int]] = []

    def decide(intent: Intent, state: Any) -> str | None:
        asked.append((intent.decision.id, state.seq))
        return "not this one" if intent.decision.payload["target"] == "s:bad" else None

    landed = held.serve_once(decide)
    assert asked == list(zip(ids, (0, 1, 2), strict=True))
    assert [item.decision.type for item in landed] == ["alias-set", "intent-refused", "alias-set"]
    assert landed[1].decision.payload == {"decision": ids[1], "reason": "not this one"}
    assert landed[1].decision.actor == "node-a"
    assert waiting(author) == []
    author.journal.refresh("garden")
    assert author.whereabouts(ids[1]).json() == {
        "state": "refused", "place": None, "seq": None, "commit": None, "reason": "not this one"
    }
    with pytest.raises(Refused, match="not this one") as refused:
        author.wait(ids[1])
    assert refused.value.code == "intent-refused"
    [entry] = author.journal.outbox.entries()  # type: ignore[union-attr]
    assert (entry.state, str(entry.error())) == ("rejected", f"intent-refused at id: {ids[1]} was let go: not this one")
    assert author.wait(ids[0]).seq == 1 and author.wait(ids[2]).seq == 3
    for space, more in ((author, {"queue": False}), (author, {}), (holder, {})):
        with pytest.raises(Refused, match="intent-refused"):
            space.append(AliasSet("Home", "s:bad"), actor="bob", id=ids[1], **more)
    assert targets(path) == ["s:0", "s:2"]


@pytest.mark.parametrize("holder", ["embedded"], indirect=True)
@pytest.mark.parametrize("reason", ["", "a\x1b[31m\nb", "\ud800", "x" * 20_000, "ü" * 9_000, "two\nlines"])
def test_a_reason_may_be_anything(author: Space, holder: Space, held: HeldLease, reason: str) -> None:
    [mine] = filed(author, "s:bad")
    [landed] = held.serve_once(lambda *_: reason)
    told = str(landed.decision.payload["reason"])
    assert (landed.decision.payload["decision"], waiting(author)) == (mine, [])
    assert is_reason(told) and (told == reason or not is_reason(reason))


@pytest.mark.parametrize("holder", ["embedded"], indirect=True)
def test_what_cannot_be_appended_any_more_is_let_go_and_stops_nobody(
    path: Path, author: Space, holder: Space, held: HeldLease
) -> None:
    ids = filed(author, "s:0", "s:" + "x" * 1800, "s:2")
    configure(path, maxDecisionBytes=2048)
    holder.journal.refresh("garden")
    landed = held.serve_once()
    assert [item.decision.type for item in landed] == ["alias-set", "intent-refused", "alias-set"]
    assert "too-large" in landed[1].decision.payload["reason"]
    assert waiting(author) == []
    with pytest.raises(Refused, match="too-large"):
        author.wait(ids[1])
    assert author.wait(ids[2]).seq == 3


@pytest.mark.parametrize("holder", ["embedded"], indirect=True)
def test_each_of_a_batch_has_its_own_fate(author: Space, holder: Space, held: HeldLease) -> None:
    batch = [author.intent(AliasSet(f"name{n}", "s:P"), actor="bob") for n in range(3)]
    with pytest.raises(Queued):
        author.append_many(batch)
    ids = [intent.decision.id for intent in batch]
    served = held.serve(lambda intent, _: "no" if intent.decision.id == ids[0] else None, poll=0.01)
    assert next(served).decision.type == "intent-refused"
    author.journal.sync()
    assert states(author) == ["filed"]  # two of them still wait
    assert [author.whereabouts(id).state for id in ids] == ["refused", "queued", "queued"]
    assert [next(served).decision.id for _ in range(2)] == ids[1:]
    author.journal.sync()
    assert states(author) == ["rejected"]
    assert [author.whereabouts(id).state for id in ids] == ["refused", "landed", "landed"]


# -- crashes ---------------------------------------------------------------------------------------------------------

SERVE = """
import os, sys
from coordjournal import Journal, lease
def dying(*_, **__):
    os.kill(os.getpid(), 9)
lease.HeldLease._leave = dying
with Journal.open(sys.argv[1]) as journal:
    journal.space("garden").resume(sys.argv[2]).serve_once()
"""


def test_a_holder_that_is_killed_when_they_have_landed(
    path: Path, author: Space, holder: Space, held: HeldLease
) -> None:
    ids = filed(author, "s:0", "s:1")
    store = holder.journal.store
    assert isinstance(store, GitStore)
    done = child(SERVE, path if holder.journal.remote is None else Path(store.git_dir).parent, held.dumps())
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert waiting(author) == (ids if holder.journal.remote is None else [])
    ids += filed(author, "s:2")
    assert [landed.decision.id for landed in held.serve_once()] == ids[2:]
    assert waiting(author) == []
    assert targets(path) == ["s:0", "s:1", "s:2"]
    assert [author.wait(id).seq for id in ids] == [1, 2, 3]


def test_a_holder_whose_answer_is_lost(
    path: Path, author: Space, holder: Space, held: HeldLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = filed(author, "s:0", "s:1")
    if holder.journal.remote is not None:
        lose_answer(monkeypatch, "submit", cut=True)
        with pytest.raises(RemoteUnreachable):
            held.serve_once()
        monkeypatch.undo()
    landed = held.serve_once()
    assert targets(path) == ["s:0", "s:1"]
    assert len(landed) == (2 if holder.journal.remote is None else 0)
    assert waiting(author) == []
    assert [author.wait(id).seq for id in ids] == [1, 2]


# -- when the lease ends ---------------------------------------------------------------------------------------------


def test_a_next_holder_lands_what_the_last_one_left(path: Path, author: Space, holder: Space) -> None:
    with holder.lease("node-a", ttl=300):
        ids = filed(author, "s:0", "s:1")
    assert waiting(author) == ids
    with holder.lease("node-b", ttl=300) as held:
        ids += filed(author, "s:2")
        held.serve_once()
        assert waiting(author) == []
    assert targets(path) == ["s:0", "s:1", "s:2"]
    assert [author.wait(id).decision.id for id in ids] == ids


@pytest.mark.parametrize("how", ["sync", "wait", "append", "another's append"])
@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_the_server_lands_it_when_nobody_holds_the_lease(
    path: Path, author: Space, holder: Space, how: str
) -> None:
    with holder.lease("node-a", ttl=300):
        ids = filed(author, "s:0", "s:1")
    if how == "sync":
        author.journal.sync()
    elif how == "wait":
        author.wait(ids[1])
    elif how == "append":
        author.append(AliasSet("Home", "s:2"), actor="bob")
    else:
        holder.append(AliasSet("Home", "s:2"), actor="alice")
    assert waiting(author) == []
    assert [author.wait(id).seq for id in ids] == [2, 3]
    assert targets(path)[:2] == ["s:0", "s:1"]
    assert states(author) == []


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_whoever_kept_nothing_can_wait_too(path: Path, author: Space, holder: Space) -> None:
    with holder.lease("node-a", ttl=300):
        ids = filed(author, "s:0", "s:1", queue=False)
        assert states(author) == []
        with pytest.raises(Queued, match="still waits"):
            author.wait(ids[0], timeout=0)
    assert author.wait(ids[1]).decision.id == ids[1]
    assert targets(path) == ["s:0", "s:1"]


def test_a_lease_that_expires_while_they_wait(path: Path, author: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    lease_of_the_past(path, clock, ago=0, ttl=300)
    ids = filed(author, "s:0", "s:1")
    time_passes(path, clock, 301)
    assert [author.wait(id).seq for id in ids] == [1, 2]
    assert verified(path)


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_a_server_that_sequences_no_more(path: Path, author: Space, holder: Space) -> None:
    """What its inbox holds is not lost: its authors have it too."""
    with holder.lease("node-a", ttl=300) as held:
        ids = filed(author, "s:0")
        without_sequencing(path)
        holder.journal.refresh("garden")
        ids += filed_here(author, "s:1")
        assert [landed.decision.id for landed in held.serve_once()] == ids[:1]
        before = types(path)
        assert held.serve_once() == []
        assert types(path) == before  # though its ref stays, for nobody takes it away
    author.journal.sync()
    assert states(author) == []
    assert [author.wait(id).decision.id for id in ids] == ids
    assert targets(path) == ["s:0", "s:1"]


def filed_here(space: Space, target: str) -> list[str]:
    with pytest.raises(Queued) as queued:
        space.append(AliasSet("Home", target), actor="bob")
    assert queued.value.place == "outbox"
    return [intent.decision.id for intent in queued.value.intents]


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_an_inbox_that_somebody_emptied(path: Path, author: Space, holder: Space) -> None:
    """An administrator, who may do anything: the author's outbox still has it."""
    with holder.lease("node-a", ttl=300) as held:
        [mine] = filed(author, "s:0")
        [item] = author.inbox()
        git(path, "update-ref", "-d", item.ref)
        assert held.serve_once() == []
        assert author.whereabouts(mine).json()["place"] == "outbox"
    assert author.wait(mine).seq == 2


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_what_left_the_inbox_while_it_was_read(
    path: Path, author: Space, holder: Space, held: HeldLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed(author, "s:0")
    [item] = holder.inbox()
    inbox = holder.inbox

    def emptied() -> Any:
        found = inbox()
        if found:
            git(path, "update-ref", "-d", item.ref)
        return found

    monkeypatch.setattr(holder, "inbox", emptied)
    assert held.serve_once() == []
    monkeypatch.undo()
    with cut_off(path), pytest.raises(RemoteUnreachable):
        held.serve_once()


# -- whereabouts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_where_an_intent_is(path: Path, author: Space, holder: Space, held: HeldLease) -> None:
    ids = filed(author, "s:0", "s:1")
    with cut_off(path):
        author_out = filed_here_offline(author)
        assert author.whereabouts(author_out).json()["place"] == "outbox"
        with pytest.raises(RemoteUnreachable):
            author.whereabouts(ids[0])
        with pytest.raises(RemoteUnreachable):
            author.wait(ids[0])
    assert author.whereabouts(ids[0]).json() == {
        "state": "queued", "place": "inbox", "seq": None, "commit": None, "reason": None
    }
    with pytest.raises(Queued) as queued:
        author.wait(ids[0], timeout=0)
    assert queued.value.place == "inbox"
    first = held.serve(lambda intent, _: "no" if intent.decision.id == ids[1] else None)
    landed = next(first)
    next(first)
    assert holder.whereabouts(ids[0]).json() == {
        "state": "landed", "place": None, "seq": 1, "commit": landed.commit, "reason": None
    }
    assert author.whereabouts(ids[0]).landed == landed  # though this clone has not heard of it yet
    assert author.whereabouts(ids[1]).reason == "no"
    assert author.whereabouts(new_id()).state == "unknown"
    with pytest.raises(DecisionNotFound):
        author.wait(new_id())


def filed_here_offline(space: Space) -> str:
    with pytest.raises(Queued) as queued:
        space.append(AliasSet("Other", "s:P"), actor="bob")
    return queued.value.intents[0].decision.id


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_waiting_while_it_lands(author: Space, holder: Space, held: HeldLease) -> None:
    ids = filed(author, "s:0", "s:1", "s:2")
    stop = threading.Event()
    served: list[str] = []

    def serve() -> None:
        for landed in held.serve(poll=0.01, stop=stop):
            served.append(landed.decision.id)

    thread = threading.Thread(target=serve)
    thread.start()
    assert [author.wait(id).seq for id in ids] == [1, 2, 3]
    more = filed(author, "s:3")
    assert author.wait(more[0]).seq == 4
    stop.set()
    thread.join()
    assert served == ids + more


def test_serving_ends_with_the_lease(holder: Space) -> None:
    held = holder.lease("node-a", ttl=300)
    errors: list[BaseException] = []

    def serve() -> None:
        try:
            for _ in held.serve(poll=60):
                pass
        except LeaseLost as error:
            errors.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    held.release()
    thread.join()
    assert len(errors) == 1
    assert holder.last_seq() == 1


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_an_error_of_the_one_who_decides_loses_nothing(author: Space, holder: Space, held: HeldLease) -> None:
    ids = filed(author, "s:0", "s:1")
    told: list[str] = []

    def decide(intent: Intent, _: Any) -> str | None:
        if intent.decision.id == ids[1]:
            raise ZeroDivisionError
        return None

    with pytest.raises(ZeroDivisionError):
        for landed in held.serve(decide):
            told.append(landed.decision.id)
    assert told == ids[:1]
    assert [landed.decision.id for landed in held.serve_once()] == ids[1:]
    assert waiting(author) == []


# -- preconditions and other journals --------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_a_precondition_is_for_the_one_who_asks(author: Space, holder: Space, held: HeldLease) -> None:
    """Nobody asks it in the inbox, so that it never gets there."""
    author.journal.sync()
    for more in ({"expect": 0}, {"when": lambda state: True}):
        with pytest.raises((Queued, Refused)):
            author.append(HOME, actor="bob", **more)  # type: ignore[arg-type]
    assert waiting(author) == []
    with pytest.raises(PreconditionFailed):
        holder.append(HOME, actor="alice", expect=5)
    assert holder.append(HOME, actor="alice", expect=0).seq == 1


def test_in_memory_nothing_waits() -> None:
    garden = Journal.memory().space("garden")
    with garden.lease("node-a", ttl=300) as held:
        assert garden.inbox() == held.serve_once() == []
        landed = garden.append(HOME, actor="alice")
        assert garden.whereabouts(landed.decision.id).landed == landed
        assert garden.wait(landed.decision.id) == landed
        assert garden.whereabouts(new_id()).state == "unknown"


@pytest.mark.parametrize("holder", ["embedded"], indirect=True)
def test_other_refs_are_no_intents(path: Path, author: Space, held: HeldLease) -> None:
    ids = filed(author, "s:0")
    [item] = author.inbox()
    for name in ("refs/intents/garden/nonsense", "refs/intents/garden/1-2", "refs/intents/gardens/0-1"):
        git(path, "update-ref", name, item.commit)
    assert waiting(author) == ids
    assert [landed.decision.id for landed in held.serve_once()] == ids


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
@pytest.mark.parametrize("batch", [False, True])
def test_what_has_vanished_from_the_inbox_is_handed_over_again(
    path: Path, author: Space, held: HeldLease, batch: bool
) -> None:
    """As after the removal of a damaged one, which the doctor advises, or a restore: also while a lease is in force."""
    if batch:
        with pytest.raises(Queued) as queued:
            author.append_many([author.intent(AliasSet("Home", f"s:{n}"), actor="bob") for n in range(3)])
        ids = [intent.decision.id for intent in queued.value.intents]
    else:
        ids = filed(author, "s:0", "s:1", "s:2")
    for item in author.inbox()[:2]:
        git(path, "update-ref", "-d", item.ref)
    sent = author.journal.send()
    assert [one.error for one in sent] == [None] * (1 if batch else 2)
    assert sorted(waiting(author)) == sorted(ids)
    assert set(states(author)) == {"filed"}
    assert author.journal.send() == []
    landed = held.serve_once()
    assert sorted(item.decision.id for item in landed) == sorted(ids)
    author.journal.sync()
    assert states(author) == []
    assert sorted(targets(path)) == ["s:0", "s:1", "s:2"]


@pytest.mark.parametrize("holder", ["clone"], indirect=True)
def test_the_inbox_is_read_once_a_sync_and_only_where_something_waits(
    author: Space, held: HeldLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = Remote.waiting

    def counted(self: Remote, space: str) -> dict[str, str]:
        asked.append(space)
        return real(self, space)

    monkeypatch.setattr(Remote, "waiting", counted)
    author.journal.sync()
    assert asked == []
    filed(author, "s:0", "s:1", "s:2")
    assert asked == []
    author.journal.sync()
    assert asked == ["garden"]
    held.serve_once()
    asked.clear()
    author.journal.sync()
    assert (asked, states(author)) == ([], [])
