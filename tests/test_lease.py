"""Leases: one holder at a time, who knows in time that it is none any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import (
    ROOT,
    Clock,
    copied,
    cut_off,
    lease_of_the_past,
    lose_answer,
    time_passes,
    types,
    verified,
)
from servers import http_server
from support import git, run

from coordjournal import (
    AliasSet,
    HeldLease,
    Journal,
    LeaseAcquired,
    LeaseHeld,
    LeaseLost,
    Queued,
    Refused,
    RemoteUnreachable,
    Space,
    lease,
    trailer,
)
from coordjournal.appending import Ask

Bare = Callable[..., Path]
HOME = AliasSet("Home", "shardA:Index")
SKEW = 60  # of a server that was told nothing else


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture(params=["memory", "embedded", "sequencer"])
def garden(request: pytest.FixtureRequest, bare: Bare, tmp_path: Path) -> Iterator[Space]:
    """A space of every kind of journal."""
    kind = request.param
    if kind == "memory":
        yield Journal.memory(appender="Test").space("garden")
        return
    path = bare()
    with Journal.open(path) if kind == "embedded" else Journal.clone(str(path), tmp_path / "clone") as journal:
        yield journal.space("garden")


@pytest.fixture
def local(clock: Clock) -> Space:
    """A space without a disk, and a clock to move."""
    return Journal.memory(appender="Test").space("garden")


BOTH = pytest.mark.parametrize("path", ["sequencer", "no hook"], indirect=True)


@pytest.fixture(params=["no hook"])
def path(request: pytest.FixtureRequest, bare: Bare, tmp_path: Path) -> Path:
    """A server that sequences, or one that does not."""
    if request.param == "sequencer":
        return bare()
    run("git", "init", "--quiet", "--bare", tmp_path / "server.git")
    return tmp_path / "server.git"


@pytest.fixture
def node(path: Path, tmp_path: Path) -> Iterator[Callable[[str], Space]]:
    """Clones of one server, by name."""
    opened: list[Journal] = []

    def make(name: str) -> Space:
        opened.append(Journal.clone(str(path), tmp_path / name, appender=name))
        return opened[-1].space("garden")

    yield make
    for journal in opened:
        journal.close()


# -- acquired, renewed, released -------------------------------------------------------------------------------------


def test_a_lease_from_its_beginning_to_its_end(garden: Space) -> None:
    garden.append(HOME, actor="alice")
    with garden.lease("node/a", ttl=300) as held:
        assert (held.holder, held.term, held.ttl) == ("node/a", 1, 300)
        assert abs(held.until - time.time() - 300) < 20
        assert 300 - SKEW - 20 < held.remaining <= 300 - SKEW
        assert repr(held) == f"<HeldLease garden node/a/{held.token} term 1>"
        under = garden.append(AliasSet("Home", "s:1"), actor="bob")
        assert under.appender == held.appender
        assert held.renew().decision.payload == {"holder": "node/a", "ttl": 300}
        assert held.renew(600).decision.payload == {"holder": "node/a", "ttl": 600}
        assert (held.ttl, held.remaining > 500) == (600, True)
        garden.append(AliasSet("Home", "s:2"), actor="bob")
        state = garden.state()
        assert state.lease is not None and state.lease.in_force(int(time.time()))
        assert (state.lease.holder, state.lease.token, state.lease.ttl) == ("node/a", held.token, 600)
    assert garden.state().lease is not None and not garden.state().lease.in_force(int(time.time()))  # type: ignore[union-attr]
    after = garden.append(AliasSet("Home", "s:3"), actor="alice")
    assert (after.seq, after.lease) == (7, "-; term=1")
    with garden.lease("node-b", ttl=300) as again:
        assert again.term == 2 and again.token != held.token
    assert [landed.decision.type for landed in garden.log()] == [
        *("alias-set", "lease-acquired", "alias-set", "lease-acquired", "lease-acquired", "alias-set"),
        *("lease-released", "alias-set", "lease-acquired", "lease-released"),
    ]
    assert garden.state().void == ()


def test_every_append_renews(local: Space, clock: Clock) -> None:
    with local.lease("node-a", ttl=300, renew=False) as held:
        for number in range(5):
            clock.go(200)
            local.append(AliasSet("Home", f"s:{number}"), actor="alice")
            assert 300 - SKEW - 2 <= held.remaining <= 300 - SKEW
    assert [landed.decision.type for landed in local.log()].count("lease-acquired") == 1


@BOTH
def test_a_lease_is_for_one(path: Path, node: Callable[[str], Space]) -> None:
    a, b = node("a"), node("b")
    with a.lease("node", ttl=300) as held:
        for space in (a, b):
            with pytest.raises(LeaseHeld) as raised:
                space.lease("node", ttl=300)  # the same name, but not the same holder
            assert (raised.value.holder, raised.value.until) == ("node", held.until)
        a.append(HOME, actor="alice")
        with pytest.raises(LeaseHeld):
            b.lease("node-b", ttl=300, wait=0.05)
        for more in ({"queue": False}, {"queue": True}):
            with pytest.raises((Refused, Queued)):
                b.append(HOME, actor="bob", **more)
    assert types(path)[-1] == "lease-released" and types(path).count("lease-acquired") == 1


@BOTH
def test_who_waits_gets_it(path: Path, node: Callable[[str], Space]) -> None:
    a, b = node("a"), node("b")
    held = a.lease("node-a", ttl=300)
    got: list[HeldLease] = []
    waits = threading.Event()
    refresh = b.journal.refresh

    def told(space: str) -> None:
        refresh(space)
        waits.set()

    b.journal.refresh = told  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: got.append(b.lease("node-b", ttl=300, wait=30)))
    thread.start()
    assert waits.wait(30)
    held.release()
    thread.join()
    assert (got[0].holder, got[0].term) == ("node-b", 2)
    got[0].release()
    log = path / "coordjournal" / "refusals.jsonl"
    assert not log.exists() or len(log.read_text().splitlines()) < 4  # it does not knock on the door all the time


@pytest.mark.parametrize("ttl", [2 * SKEW - 1, 3601])
def test_a_ttl_that_the_server_does_not_grant(garden: Space, ttl: int) -> None:
    with pytest.raises(Refused) as refused:
        garden.lease("node-a", ttl=ttl)
    assert (refused.value.code, refused.value.place) == ("lease", "payload.ttl")
    assert garden.last_seq() == -1


def test_the_holder_is_the_appender_unless_told_otherwise(garden: Space) -> None:
    with garden.lease(ttl=300) as held:
        assert held.holder == "Test"
    with pytest.raises(Refused, match="schema"):
        garden.lease("no<holder>")


def test_the_server_may_commit_under_another_name(bare: Bare, tmp_path: Path) -> None:
    """Whoever acquired it commits what is appended under it: the pusher, where the sequencer knows who that is."""
    path = bare()
    with http_server(tmp_path) as server, Journal.clone(f"{server.url}/{path.name}", tmp_path / "a") as clone:
        garden = clone.space("garden")
        with garden.lease("node-a", ttl=300) as held:
            assert held.appender == "somebody"
            assert garden.append(HOME, actor="alice").appender == "somebody"
            saved = held.dumps()
            with Journal.open(tmp_path / "a", appender="node") as same:
                again = same.space("garden").resume(saved)
                assert same.space("garden").append(AliasSet("Home", "s:1"), actor="alice").appender == "somebody"
                again.release()
    assert verified(path)


# -- clocks ----------------------------------------------------------------------------------------------------------


def test_it_stops_one_skew_before_the_end(local: Space, clock: Clock) -> None:
    held = local.lease("node-a", ttl=300, renew=False)
    clock.go(300 - SKEW - 2)
    held.check()
    assert 0 < held.remaining <= 2
    clock.go(2)
    with pytest.raises(LeaseLost, match="not renewed in time"):
        local.append(HOME, actor="alice")
    with pytest.raises(LeaseLost):
        held.renew()
    clock.go(-100)  # too late
    with pytest.raises(LeaseLost):
        local.append(HOME, actor="alice")
    held.release()
    assert [landed.decision.type for landed in local.log()] == ["lease-acquired"]


@pytest.mark.parametrize("jump", [-100_000, -100, 100_000])
def test_a_clock_that_somebody_sets(
    local: Space, clock: Clock, jump: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + clock.wall)  # an append in the next second would renew it
    held = local.lease("node-a", ttl=300, renew=False)
    clock.wall += jump
    if jump > 0:
        with pytest.raises(LeaseLost):
            held.check()
        return
    for _ in range(2):
        local.append(HOME, actor="alice")  # its append time is that of the acquisition: that renews nothing
        clock.go(100)
    clock.go(300 - SKEW - 200)
    with pytest.raises(LeaseLost):
        local.append(HOME, actor="alice")


def test_a_machine_that_slept(local: Space, clock: Clock) -> None:
    """Its clock on the wall has not been set yet."""
    held = local.lease("node-a", ttl=300, renew=False)
    clock.awake += 300 - SKEW + 1
    with pytest.raises(LeaseLost):
        local.append(HOME, actor="alice")
    with pytest.raises(LeaseLost):
        held.renew()


def test_it_is_renewed_from_when_it_was_stamped_on(local: Space, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer took its time."""
    held = local.lease("node-a", ttl=300, renew=False)
    clock.go(100)
    move = local.journal.store.move

    def slow(*arguments: Any) -> bool:
        moved = move(*arguments)
        clock.go(50)
        return moved

    monkeypatch.setattr(local.journal.store, "move", slow)
    local.append(HOME, actor="alice")
    assert 300 - SKEW - 52 <= held.remaining <= 300 - SKEW - 50


def test_a_preview_renews_nothing(local: Space, clock: Clock) -> None:
    held = local.lease("node-a", ttl=300, renew=False)
    clock.go(100)
    assert local.preview([local.intent(HOME, actor="alice")]).landed[0].appender == held.appender
    assert 300 - SKEW - 102 <= held.remaining <= 300 - SKEW - 100


# -- expired, taken over, lost ---------------------------------------------------------------------------------------


@BOTH
def test_an_expired_lease_is_taken_over(path: Path, node: Callable[[str], Space], clock: Clock) -> None:
    lease_of_the_past(path, clock, ago=1000)
    a = node("a")
    state = a.state()
    assert state.lease is not None and not state.lease.in_force(int(time.time()))
    with a.lease("node-b", ttl=300) as held:
        assert held.term == 2
    assert verified(path)


@BOTH
def test_what_an_append_follows_an_expired_lease_with(path: Path, node: Callable[[str], Space], clock: Clock) -> None:
    lease_of_the_past(path, clock, ago=1000)
    assert node("a").append(HOME, actor="alice").lease == "-; term=1"
    assert verified(path)


@BOTH
@pytest.mark.parametrize("next", ["acquires", "appends"])
def test_a_holder_that_was_asleep_finds_that_it_is_none(
    path: Path, node: Callable[[str], Space], clock: Clock, next: str
) -> None:
    """It even believes that it still is one, for it was put to sleep after it had looked at its clock."""
    clock.wall = -1000
    with Journal.open(path) as server:
        held = server.space("garden").lease("node-a", ttl=300, renew=False)
        saved = held.dumps()
        server.space("garden").append(HOME, actor="alice")
    clock.wall = 0
    a, b = node("a"), node("b")
    with pytest.raises(LeaseLost):
        a.resume(saved)
    clock.wall = -1000
    held = a.resume(saved)
    clock.wall = 0
    held._until += 10_000
    held._ends += 10_000
    held.check()
    if next == "acquires":
        other = b.lease("node-b", ttl=300)
    else:
        b.append(AliasSet("Home", "s:b"), actor="bob")
    before = types(path)
    with pytest.raises(LeaseLost, match="taken it over"):
        a.append(AliasSet("Home", "s:late"), actor="alice")
    with pytest.raises(LeaseLost):
        held.renew()
    held.release()
    assert types(path) == before
    if next == "acquires":
        with pytest.raises((Queued, Refused)):
            a.append(AliasSet("Home", "s:late"), actor="alice")  # as anybody else
        other.release()
    assert verified(path)


def test_whoever_lost_it_can_acquire_it_anew(local: Space, clock: Clock) -> None:
    first = local.lease("node-a", ttl=300, renew=False)
    clock.go(301)
    second = local.lease("node-a", ttl=300, renew=False)
    assert (second.term, second.token != first.token) == (2, True)
    with pytest.raises(LeaseLost):
        first.renew()
    first.release()  # it holds nothing, and takes nothing from the other
    assert local.way() == "lease"
    assert local.append(HOME, actor="alice").seq == 2
    second.release()
    assert local.way() == "embedded"


def test_a_release_that_meets_nobody(path: Path, node: Callable[[str], Space]) -> None:
    a = node("a")
    held = a.lease("node-a", ttl=300)
    with cut_off(path), pytest.raises(RemoteUnreachable):
        held.release()
    assert a.way() == "lease"  # it can be tried again
    assert types(path) == ["lease-acquired"]


def test_the_end_of_a_with_statement(path: Path, node: Callable[[str], Space]) -> None:
    a = node("a")
    with pytest.raises(ZeroDivisionError), a.lease("node-a", ttl=300):
        raise ZeroDivisionError
    assert types(path) == ["lease-acquired", "lease-released"]


def test_an_error_of_the_body_is_not_hidden_by_one_of_the_release(path: Path, node: Callable[[str], Space]) -> None:
    a = node("a")
    for error in (ZeroDivisionError, RemoteUnreachable):
        held = a.lease(error.__name__, ttl=300, wait=0)
        with pytest.raises(error), cut_off(path), held:
            if error is ZeroDivisionError:
                raise ZeroDivisionError
        a.resume(held.dumps()).release()
    assert types(path) == ["lease-acquired", "lease-released"] * 2


# -- renewing --------------------------------------------------------------------------------------------------------


def renewing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lease of garden"]


def until(condition: Callable[[], object], timeout: float = 30) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_thread_renews_and_ends_with_the_lease(garden: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_RENEWALS", 3000)  # within 300 s
    with garden.lease("node-a", ttl=300):
        [thread] = renewing()
        until(lambda: garden.last_seq() >= 2)
        garden.append(HOME, actor="alice")
    thread.join(30)
    assert renewing() == []
    log = list(garden.log())
    assert {landed.decision.type for landed in log[:-1]} == {"lease-acquired", "alias-set"}
    assert log[-1].decision.type == "lease-released"
    assert {trailer.read(landed.lease).term for landed in log} == {1}  # type: ignore[union-attr]
    garden.append(AliasSet("Home", "s:2"), actor="alice")


def test_the_thread_goes_on_when_the_remote_is_back(
    path: Path, node: Callable[[str], Space], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEWALS", 3000)
    a = node("a")
    met: list[BaseException] = []
    renew = HeldLease.renew

    def noted(self: HeldLease) -> Any:
        try:
            return renew(self)
        except BaseException as error:
            met.append(error)
            raise

    monkeypatch.setattr(HeldLease, "renew", noted)
    held = a.lease("node-a", ttl=300)
    with cut_off(path):
        until(lambda: met)
    assert isinstance(met[0], RemoteUnreachable)
    monkeypatch.setattr(lease, "_RENEWALS", 100)
    before = a.last_seq()
    until(lambda: a.last_seq() > before)
    held.release()
    until(lambda: not renewing())


def test_the_thread_ends_when_the_lease_is_lost(local: Space, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_RENEWALS", 3000)
    held = local.lease("node-a", ttl=300)
    until(lambda: local.last_seq() >= 1)
    clock.go(1000)
    until(lambda: not renewing())
    with pytest.raises(LeaseLost):
        held.check()


def test_a_renewal_that_a_release_overtakes_acquires_nothing(
    garden: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread has just looked whether the lease is still held, and then it is released."""
    held = garden.lease("node-a", ttl=300, renew=False)
    looked, released = threading.Event(), threading.Event()
    intent = garden.intent

    def slow(*given: Any, **more: Any) -> Any:
        if isinstance(given[0], LeaseAcquired):
            looked.set()
            assert released.wait(30)
        return intent(*given, **more)

    monkeypatch.setattr(garden, "intent", slow)
    errors: list[BaseException] = []

    def renew() -> None:
        try:
            held.renew()
        except LeaseLost as error:
            errors.append(error)

    thread = threading.Thread(target=renew)
    thread.start()
    assert looked.wait(30)
    held.release()
    released.set()
    thread.join()
    assert len(errors) == 1
    assert [landed.decision.type for landed in garden.log()] == ["lease-acquired", "lease-released"]


def test_an_append_beside_a_release_lands_either_way(garden: Space) -> None:
    held = garden.lease("node-a", ttl=300)
    landed: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: landed.append(garden.append(AliasSet(f"n{n}", "s:P"), actor="alice").seq))  # type: ignore[misc]
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    held.release()
    for thread in threads:
        thread.join()
    assert sorted([*landed, *(seq for seq in range(6) if seq not in landed)]) == list(range(6))
    assert len(landed) == 4 and garden.last_seq() == 5


def test_threads_that_want_it_get_it_one_after_the_other(garden: Space) -> None:
    got: list[str] = []
    lost: list[BaseException] = []

    def want(name: str) -> None:
        try:
            with garden.lease(name, ttl=300):
                got.append(name)
                garden.append(AliasSet(name, "s:P"), actor=name)
        except LeaseHeld as error:
            lost.append(error)

    threads = [threading.Thread(target=want, args=(f"node-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) + len(lost) == 4 and got
    terms: list[int] = []
    for landed in garden.log():
        held = trailer.read(landed.lease)
        assert held is not None and held.holder in got
        if landed.decision.type == "lease-acquired":
            terms.append(held.term)
    assert terms == list(range(1, len(got) + 1))


# -- other processes -------------------------------------------------------------------------------------------------


@BOTH
def test_a_fork_does_not_hold_it(path: Path, node: Callable[[str], Space]) -> None:
    garden = node("a")
    held = garden.lease("node-a", ttl=300)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for use in (held.check, held.renew, held.serve_once, lambda: garden.append(HOME, actor="bob")):
                with pytest.raises(LeaseLost, match="forked"):
                    use()
            held.release()
            with pytest.raises(LeaseHeld):
                garden.lease("node-a", ttl=300)
            with pytest.raises(Queued):
                garden.append(HOME, actor="bob")  # as anybody else
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert held.remaining > 0
    assert garden.append(AliasSet("Home", "s:1"), actor="alice").lease is not None
    held.release()
    assert types(path)[0] == "lease-acquired" and types(path).count("lease-released") == 1


HOLDER = """
import sys
from coordjournal import Journal
held = Journal.open(sys.argv[1]).space("garden").lease(sys.argv[2], ttl=int(sys.argv[3]))
print(held.dumps(), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("path", ["sequencer"], indirect=True)
def test_a_holder_that_is_killed_is_followed_once_its_lease_has_ended(
    path: Path, node: Callable[[str], Space], clock: Clock
) -> None:
    a = node("a")
    b = node("b")
    words = [sys.executable, "-c", HOLDER, str(path.parent / "a"), "node", "300"]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        saved = process.stdout.readline()
        with pytest.raises(LeaseHeld):
            b.lease("node", ttl=300)
        process.send_signal(signal.SIGKILL)
    time_passes(path, clock, 301)
    with b.lease("node", ttl=300, wait=30) as held:
        assert held.term == 2
        with pytest.raises(LeaseLost):
            a.resume(saved)
        b.append(HOME, actor="alice")
    assert verified(path)


@BOTH
def test_a_saved_lease_goes_on_elsewhere(path: Path, node: Callable[[str], Space]) -> None:
    a = node("a")
    held = a.lease("node-a", ttl=300, renew=False)
    saved = held.dumps()
    b = node("b")
    a.append(HOME, actor="alice")
    with b.resume(saved) as again:
        assert (again.holder, again.token, again.term) == (held.holder, held.token, 1)
        assert 200 - SKEW < again.remaining <= 300 - SKEW
        assert b.append(AliasSet("Home", "s:1"), actor="bob").appender == held.appender
        a.append(AliasSet("Home", "s:2"), actor="alice")  # both are the holder, and come one after the other
        with pytest.raises(LeaseHeld):
            b.resume(saved)
    with pytest.raises(LeaseLost):
        a.append(AliasSet("Home", "s:3"), actor="alice")
    held.release()
    assert types(path) == ["lease-acquired", *["alias-set"] * 3, "lease-released"]


@pytest.mark.parametrize(
    "saved",
    ["", "[]", "{}", "null", "7", json.dumps({"space": "garden"}), '{"space":"other","token":"0123","appender":"a"}'],
)
def test_what_is_no_saved_lease(local: Space, saved: str) -> None:
    with pytest.raises(ValueError):
        local.resume(saved)


def test_a_saved_lease_that_was_released(local: Space) -> None:
    with local.lease("node-a", ttl=300) as held:
        saved = held.dumps()
    with pytest.raises(LeaseLost):
        local.resume(saved)


# -- answers that are lost -------------------------------------------------------------------------------------------


@BOTH
def test_an_acquisition_whose_answer_was_lost(
    path: Path, node: Callable[[str], Space], monkeypatch: pytest.MonkeyPatch
) -> None:
    a = node("a")
    lose_answer(monkeypatch, "submit" if a.way() == "sequencer" else "push")
    with a.lease("node-a", ttl=300) as held:
        assert held.term == 1
    assert types(path) == ["lease-acquired", "lease-released"]


@BOTH
def test_whoever_asks_again_after_a_lost_connection_gets_what_it_asked_for(
    path: Path, node: Callable[[str], Space], monkeypatch: pytest.MonkeyPatch
) -> None:
    a = node("a")
    with monkeypatch.context() as patch:
        lose_answer(patch, "submit" if a.way() == "sequencer" else "push", cut=True)
        with pytest.raises(RemoteUnreachable):
            a.lease("node-a", ttl=300)
        with pytest.raises(RemoteUnreachable):
            a.lease("node-a", ttl=300)
    with pytest.raises(LeaseHeld):
        a.lease("node-b", ttl=300)  # that is not what was asked for
    with a.lease("node-a", ttl=300, renew=False) as held:
        assert (held.term, held.holder) == (1, "node-a")
        a.append(HOME, actor="alice")
    assert types(path) == ["lease-acquired", "alias-set", "lease-released"]
    with a.lease("node-a", ttl=300) as held:
        assert held.term == 2


@pytest.mark.parametrize("over", ["expired", "taken over"])
def test_an_acquisition_that_is_over_when_its_answer_comes(
    path: Path, node: Callable[[str], Space], clock: Clock, monkeypatch: pytest.MonkeyPatch, over: str
) -> None:
    a, b = node("a"), node("b")
    with monkeypatch.context() as patch:
        lose_answer(patch, "submit" if a.way() == "sequencer" else "push", cut=True)
        with pytest.raises(RemoteUnreachable):
            a.lease("node-a", ttl=300)
    # As if all that had been a day ago.
    intent = a._writer.unsure
    assert intent is not None
    git(path, "update-ref", "-d", "refs/spaces/garden")
    clock.wall = -86_400
    with Journal.open(path) as past:
        a._writer.unsure = past.space("garden").intent(
            LeaseAcquired("node-a", 300), actor="node-a", id=intent.decision.id
        )
        past.space("garden").append_many([a._writer.unsure])
    clock.wall = 0
    if over == "taken over":
        b.lease("node-b", ttl=300).release()
    with a.lease("node-a", ttl=300) as held:
        assert held.term == (3 if over == "taken over" else 2)


@BOTH
def test_a_renewal_whose_answer_was_lost_has_renewed(
    path: Path, node: Callable[[str], Space], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = node("a")
    clock.wall = -30
    with a.lease("node-a", ttl=300, renew=False) as held:
        clock.wall = 0
        lose_answer(monkeypatch, "submit" if a.journal.sequencing() else "push")
        held.renew(600)
        assert held.ttl == 600 and 600 - SKEW - 20 < held.remaining <= 600 - SKEW
    assert types(path) == ["lease-acquired", "lease-acquired", "lease-released"]


def test_an_append_under_it_is_not_kept_for_later(path: Path, node: Callable[[str], Space]) -> None:
    a = node("a")
    with a.lease("node-a", ttl=300):
        with cut_off(path), pytest.raises(RemoteUnreachable) as raised:
            a.append(HOME, actor="alice")
        assert a.journal.outbox is not None and a.journal.outbox.entries() == []
        assert a.append_many(raised.value.intents)[0].seq == 1


def test_a_copy_that_does_not_sequence(bare: Bare, tmp_path: Path) -> None:
    mirror = copied(bare(), tmp_path / "mirror.git")
    with Journal.clone(str(mirror), tmp_path / "clone") as clone, clone.space("garden").lease(ttl=300) as held:
        clone.space("garden").append(HOME, actor="alice")
        assert held.serve_once() == []
    assert types(mirror) == ["lease-acquired", "alias-set", "lease-released"]
    assert not git(mirror, "for-each-ref", "refs/append")


def test_only_its_own_lease_is_written_under(garden: Space) -> None:
    first = garden.lease("node-a", ttl=300)
    first.release()
    with garden.lease("node-b", ttl=300):
        with pytest.raises(LeaseLost):
            garden._writer.land([garden.intent(HOME, actor="alice")], Ask(lease=first))
        with pytest.raises(LeaseHeld):
            garden._writer.land([garden.intent(LeaseAcquired("node-c", 300), actor="c")], Ask(acquires=True))
    assert garden.last_seq() == 3


def test_a_release_that_did_not_get_through_can_be_tried_again(path: Path, tmp_path: Path) -> None:
    with Journal.clone(str(path), tmp_path / "clone") as journal:
        garden = journal.space("garden")
        held = garden.lease("node-a", ttl=300, renew=False)
        with cut_off(path), pytest.raises(RemoteUnreachable):
            held.release()
        assert garden.append(HOME, actor="alice").lease is not None  # it is still ours
        held.release()
        journal.sync()
        assert garden.state().lease is not None
        assert not garden.state().lease.in_force(int(time.time()))


def test_who_cannot_hold_a_lease(path: Path, tmp_path: Path) -> None:
    with Journal.clone(str(path), tmp_path / "clone") as journal, pytest.raises(Refused) as refused:
        journal.space("garden").lease("node-a;x", ttl=300)
    assert (refused.value.code, refused.value.place) == ("schema", "payload.holder")
