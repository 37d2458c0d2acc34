"""How appends find their way: sequencer, compare-and-swap or lease, and an outbox that loses and doubles nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import (
    ROOT,
    Clock,
    child,
    configure,
    copied,
    cut_off,
    lease_of_the_past,
    lose_answer,
    publish,
    soon,
    time_passes,
    types,
    verified,
    without_sequencing,
)
from servers import http_server
from support import git, run

from coordjournal import (
    AliasCleared,
    AliasSet,
    GitFailed,
    IdConflict,
    Journal,
    JournalRewound,
    Landed,
    LeaseAcquired,
    LeaseHeld,
    OverlayCreated,
    PreconditionFailed,
    Queued,
    Refused,
    RemoteUnreachable,
    Space,
    WouldBeVoid,
)
from coordjournal.decision import new_id
from coordjournal.outbox import Outbox
from coordjournal.remote import Remote

Bare = Callable[..., Path]
HOME = AliasSet("Home", "shardA:Index")


EVERY_KIND = pytest.mark.parametrize("path", ["sequencer", "compare-and-swap", "no hook"], indirect=True)


@pytest.fixture(params=["sequencer", "no hook"])
def path(request: pytest.FixtureRequest, bare: Bare, tmp_path: Path) -> Path:
    """A server that sequences, and one that does not."""
    if request.param == "no hook":
        run("git", "init", "--quiet", "--bare", tmp_path / "server.git")
        return tmp_path / "server.git"
    return bare() if request.param == "sequencer" else without_sequencing(bare())


@pytest.fixture
def sequencer(bare: Bare) -> Path:
    return bare()


def clones(path: Path, *names: str) -> list[Journal]:
    return [Journal.clone(str(path), path.parent / name, appender=name) for name in names]


@pytest.fixture
def clone(path: Path) -> Iterator[Journal]:
    with clones(path, "clone")[0] as journal:
        yield journal


@pytest.fixture
def garden(clone: Journal) -> Space:
    return clone.space("garden")


def outbox(journal: Journal) -> Outbox:
    assert journal.outbox is not None
    return journal.outbox


def waiting(journal: Journal) -> list[str]:
    """The states of the entries of an outbox."""
    return [entry.state for entry in outbox(journal).entries()]


def targets(path: Path) -> list[str]:
    """What the log of a server sets its aliases to, in its order."""
    with Journal.open(path) as server:
        return [landed.decision.payload["target"] for landed in server.space("garden").log()]


def name(target: str) -> AliasSet:
    return AliasSet("Home", target)


def appended_by_others(path: Path, count: int) -> None:
    with Journal.open(path) as server:
        for number in range(count):
            server.space("garden").append(name(f"others:{number}"), actor="bob")


# -- the ways --------------------------------------------------------------------------------------------------------


@EVERY_KIND
def test_the_way_is_what_the_server_offers(path: Path, clone: Journal, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["path"]
    garden = clone.space("garden")
    assert garden.way() == ("sequencer" if kind == "sequencer" else "compare-and-swap")
    assert garden.way(precondition=True) == "compare-and-swap"
    with garden.lease(ttl=300):
        assert garden.way() == garden.way(precondition=True) == "lease"
    with Journal.open(path) as server:
        assert server.space("garden").way() == server.space("garden").way(precondition=True) == "embedded"


@EVERY_KIND
def test_each_way_lands_what_it_is_given(path: Path, clone: Journal, garden: Space) -> None:
    one = garden.append(HOME, actor="alice")
    two = garden.append(name("s:1"), actor="alice", expect=0)
    three = garden.append(name("s:2"), actor="alice", when=lambda state: state.resolve("Home") == "s:1")
    with garden.lease("node-a", ttl=300):
        four = garden.append(name("s:3"), actor="alice")
    five = garden.append(OverlayCreated("o", "s:P", None, "a note"), actor="alice")
    assert [landed.seq for landed in (one, two, three, four, five)] == [0, 1, 2, 4, 6]
    assert garden.body(five) == b"a note"
    with Journal.open(path) as server:
        log = list(server.space("garden").log())
        assert [log[seq] for seq in (0, 1, 2, 4, 6)] == [one, two, three, four, five]
    assert verified(path)
    assert waiting(clone) == []


def test_the_ways_of_a_sha_256_repository(bare: Bare, tmp_path: Path) -> None:
    path = bare("journal.git", object_format="sha256")
    with Journal.clone(str(path), tmp_path / "clone") as clone, Journal.open(path) as server:
        garden = clone.space("garden")
        assert garden.append(HOME, actor="alice").seq == 0
        assert garden.append(name("s:1"), actor="alice", expect=0).seq == 1
        with server.space("garden").lease("node-a", ttl=300) as held:
            with pytest.raises(Queued) as queued:
                garden.append(OverlayCreated("o", "s:P", None, "a note"), actor="alice")
            [landed] = held.serve_once()
        assert garden.wait(queued.value.intents[0].decision.id) == landed
        assert garden.body(landed) == b"a note"
    assert verified(path)


@pytest.mark.parametrize("way", ["sequencer", "compare-and-swap"])
def test_what_is_sent_does_not_grow_with_the_log(
    sequencer: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where others have appended meanwhile, so that nothing that the server names is known here."""
    appended_by_others(sequencer, 40)
    git(sequencer, "config", "receive.maxInputSize", "2k")
    run = Remote._run
    sent: list[str] = []

    def overtaken(self: Remote, *words: str, **more: Any) -> Any:
        if "push" in words:
            if not sent:
                appended_by_others(sequencer, 1)
            sent.append(words[-1])
        return run(self, *words, **more)

    monkeypatch.setattr(Remote, "_run", overtaken)
    [clone] = clones(sequencer, "clone")
    with clone:
        landed = clone.space("garden").append(HOME, actor="alice", when=None if way == "sequencer" else bool)
        assert landed.seq == 41
        assert len(sent) == (1 if way == "sequencer" else 2)
        size = git(Path(clone.store.git_dir), "cat-file", "-s", sent[0].partition(":")[0])  # type: ignore[union-attr]
        assert int(size) < 1000 < 2048
    assert verified(sequencer)


@pytest.mark.parametrize("others", [0, 3])
def test_a_sequenced_append_has_two_conversations(
    sequencer: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """What the push reports is fetched, and nothing is listed, so that the number of spaces costs nothing."""
    talks: list[str] = []
    run = Remote._run

    def noted(self: Remote, *words: str, **more: Any) -> Any:
        talks.append(next(word for word in words if word in ("push", "fetch", "ls-remote")))
        return run(self, *words, **more)

    [clone] = clones(sequencer, "clone")
    with clone:
        garden = clone.space("garden")
        garden.append(HOME, actor="alice")
        appended_by_others(sequencer, others)
        monkeypatch.setattr(Remote, "_run", noted)
        assert garden.append(name("s:1"), actor="alice").seq == others + 1
        assert talks == ["push", "fetch"]
        assert garden.state().resolve("Home") == "s:1"
        assert clone.sync() == []
    assert git(Path(str(clone.store.git_dir)), "for-each-ref", "refs/coordjournal-incoming") == ""  # type: ignore[union-attr]


def test_a_landing_that_is_reported_of_another_log_is_a_rewind(
    sequencer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is replaced between the push and what is fetched after it."""
    [clone] = clones(sequencer, "clone")
    with clone:
        garden = clone.space("garden")
        known = [garden.append(name(f"s:{number}"), actor="alice").commit for number in range(3)][-1]
        submit = Remote.submit

        def replaced(self: Remote, *given: Any) -> Any:
            went = submit(self, *given)
            git(sequencer, "update-ref", "refs/spaces/garden", f"{known}~1")
            return went

        monkeypatch.setattr(Remote, "submit", replaced)
        with pytest.raises((JournalRewound, Queued)) as error:
            garden.append(name("s:3"), actor="alice")
        assert "backwards" in str(error.value)
        assert garden.state(at=2).commit == known
        assert git(Path(str(clone.store.git_dir)), "rev-parse", "refs/coordjournal/origin/garden") == known  # type: ignore[union-attr]


def test_a_precondition_goes_past_the_sequencer(
    sequencer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [clone] = clones(sequencer, "clone")
    submitted: list[str] = []
    submit = Remote.submit
    monkeypatch.setattr(Remote, "submit", lambda *given: submitted.append(given[2]) or submit(*given))  # type: ignore[func-returns-value]
    with clone:
        garden = clone.space("garden")
        first = garden.append(HOME, actor="alice", expect=-1)
        second = garden.append(name("s:1"), actor="alice", when=lambda state: state.seq == 0)
        assert submitted == [first.commit, second.commit]  # stamped here: the server only compares and swaps
        with pytest.raises(PreconditionFailed):
            garden.append(name("s:2"), actor="alice", expect=0)
        landed = garden.append(name("s:2"), actor="alice")
        assert len(submitted) == 3
        assert landed.commit not in submitted
    assert waiting(clone) == []


def test_a_precondition_is_asked_again_after_a_lost_race(
    path: Path, clone: Journal, garden: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    [rival] = clones(path, "rival")
    moved = garden._writer._moved
    rivals = iter(range(2))

    def late(*arguments: Any) -> bool:
        for number in rivals:
            rival.space("garden").append(name(f"s:rival{number}"), actor="bob")
            break
        return moved(*arguments)

    monkeypatch.setattr(garden._writer, "_moved", late)
    asked: list[int] = []
    landed = garden.append(HOME, actor="alice", when=lambda state: asked.append(state.seq) or True)  # type: ignore[func-returns-value]
    assert (landed.seq, asked) == (2, [-1, 0, 1])
    rivals = iter([2])
    with pytest.raises(PreconditionFailed):
        garden.append(HOME, actor="alice", expect=2)
    assert waiting(clone) == []
    rival.close()


def test_settings_that_change_are_heard_of_with_the_next_news(sequencer: Path) -> None:
    [clone] = clones(sequencer, "clone")
    with clone:
        garden = clone.space("garden")
        without_sequencing(sequencer)
        assert garden.way() == "sequencer"  # it cannot know yet
        garden.append(HOME, actor="alice")
        assert garden.way() == "compare-and-swap"
        git(sequencer, "config", "receive.procReceiveRefs", "refs/append")
        publish(sequencer)
        clone.sync()
        assert garden.way() == "sequencer"
        assert garden.append(name("s:1"), actor="alice").seq == 1


# -- a server that does not do what its descriptor says --------------------------------------------------------------


@pytest.fixture
def mirror(sequencer: Path, tmp_path: Path) -> Path:
    """A copy without hooks, with the descriptor of a server that sequences."""
    with Journal.open(sequencer) as server:
        server.space("garden").append(name("s:0"), actor="alice")
    return copied(sequencer, tmp_path / "mirror.git")


def refs(path: Path) -> list[str]:
    return git(path, "for-each-ref", "--format=%(refname)").splitlines()


def test_a_copy_that_does_not_sequence_is_found_out_and_left_clean(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = refs(mirror)
    submitted: list[str] = []
    submit = Remote.submit
    monkeypatch.setattr(Remote, "submit", lambda *given: submitted.append(given[2]) or submit(*given))  # type: ignore[func-returns-value]
    [clone] = clones(mirror, "clone")
    with clone:
        garden = clone.space("garden")
        assert garden.way() == "sequencer"
        assert garden.append(name("s:1"), actor="alice").seq == 1
        assert garden.way() == "compare-and-swap"
        assert garden.append(name("s:2"), actor="alice").seq == 2
        with garden.lease(ttl=300):
            garden.append(name("s:3"), actor="alice")
        assert len(submitted) == 1
        assert clone.space("other").append(HOME, actor="alice").seq == 0
        assert len(submitted) == 1
    assert refs(mirror) == [*before, "refs/spaces/other"]
    assert verified(mirror)


def test_a_new_descriptor_is_believed_again(mirror: Path) -> None:
    [clone] = clones(mirror, "clone")
    with clone:
        clone.space("garden").append(HOME, actor="alice")
        assert clone.space("garden").way() == "compare-and-swap"
        git(mirror, "config", "receive.procReceiveRefs", "refs/append")
        git(mirror, "config", "coordjournal.clockSkew", "7")
        publish(mirror)
        clone.sync()
        assert clone.space("garden").way() == "sequencer"


@pytest.mark.parametrize("held", [False, True], ids=["free", "under a lease"])
def test_what_a_client_that_died_left_at_such_a_copy_goes_and_nothing_is_doubled(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    """It is killed when its intents are stored under refs/append/ and not removed yet."""
    before = refs(mirror)
    code = (
        "import os, sys\n"
        "from coordjournal import AliasSet, Journal, remote\n"
        "run = remote.Remote._run\n"
        "def dying(self, *words, **more):\n"
        "    if words[-1].startswith(':refs/append/'):\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return run(self, *words, **more)\n"
        "remote.Remote._run = dying\n"
        "garden = Journal.open(sys.argv[1]).space('garden')\n"
        "if sys.argv[2] == 'True':\n"
        "    garden.lease('node-a', ttl=300)\n"
        "else:\n"
        "    garden.append(AliasSet('Home', 's:1'), actor='alice', id=sys.argv[3])\n"
    )
    first, second = clones(mirror, "first", "second")
    mine = new_id()
    assert child(code, mirror.parent / "first", held, mine).returncode == -signal.SIGKILL
    assert refs(mirror) == ["refs/append/garden", *before]
    with first, second:
        second.space("garden").append(name("s:2"), actor="bob")  # another intent, in the way of the one that is there
        assert refs(mirror) == before
        first.sync()
        first.space("garden").append(name("s:3"), actor="alice")
    assert refs(mirror) == before
    assert targets(mirror) == ["s:0", "s:2", *([] if held else ["s:1"]), "s:3"]
    assert verified(mirror)


def test_the_same_intents_again_at_such_a_copy(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection broke after they were stored under refs/append/."""
    before = refs(mirror)
    [clone] = clones(mirror, "clone")
    submit = Remote.submit
    run = Remote._run

    def breaking(self: Remote, *words: str, **more: Any) -> Any:
        done = run(self, *words, **more)
        if words[-1].endswith(":refs/append/garden"):
            monkeypatch.setattr(Remote, "_run", run)
            raise RemoteUnreachable("broken")
        return done

    monkeypatch.setattr(Remote, "_run", breaking)
    with clone:
        with pytest.raises(Queued):
            clone.space("garden").append(name("s:1"), actor="alice")
        assert refs(mirror) == ["refs/append/garden", *before]
        clone.sync()
        assert waiting(clone) == []
    assert Remote.submit is submit
    assert (refs(mirror), targets(mirror)) == (before, ["s:0", "s:1"])


def test_a_server_that_has_stopped_sequencing_without_a_word(sequencer: Path) -> None:
    """Its hook says so, and that is no refusal of the decision."""
    [clone] = clones(sequencer, "clone")
    git(sequencer, "config", "--unset-all", "receive.procReceiveRefs")
    with clone:
        assert clone.space("garden").append(HOME, actor="alice").seq == 0
        assert clone.space("garden").way() == "compare-and-swap"


def test_a_server_that_hides_the_refs_of_its_sequencer(mirror: Path) -> None:
    git(mirror, "config", "receive.hideRefs", "refs/append")
    [clone] = clones(mirror, "clone")
    with clone:
        assert clone.space("garden").append(HOME, actor="alice").seq == 1


# -- the outbox ------------------------------------------------------------------------------------------------------


def test_what_is_appended_offline_lands_once_in_order_and_stamped_anew(
    path: Path, clone: Journal, garden: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    clock.wall = -1000
    with cut_off(path):
        for number in range(3):
            with pytest.raises(Queued) as queued:
                garden.append(name(f"s:{number}"), actor="alice", meta={"n": str(number)})
            assert queued.value.place == "outbox"
            assert [intent.decision.meta for intent in queued.value.intents] == [{"n": str(number)}]
        assert garden.whereabouts(queued.value.intents[0].decision.id).place == "outbox"
        with pytest.raises(RemoteUnreachable):
            clone.sync()
        assert [sent.entry.number for sent in clone.send()] == [1]
    assert waiting(clone) == ["waiting"] * 3
    clock.wall = 0
    assert clone.sync() == []  # its own are no news
    assert waiting(clone) == []
    assert targets(path) == ["s:0", "s:1", "s:2"]
    clone.sync()
    for landed in garden.log():
        assert landed.appended * 1.0 > soon().timestamp() - 500
        assert landed.decision.at < "9" and soon().timestamp() - 500 > _decided(landed.decision.at)
    assert verified(path)


def _decided(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()


def test_what_waits_goes_before_what_is_appended_now(path: Path, clone: Journal, garden: Space) -> None:
    with cut_off(path):
        for number in range(2):
            with pytest.raises(Queued):
                garden.append(name(f"s:{number}"), actor="alice")
    assert garden.append(name("s:2"), actor="alice").seq == 2
    with cut_off(path), pytest.raises(Queued):
        garden.append(name("s:3"), actor="alice")
    assert garden.append(name("s:4"), actor="alice", queue=False).seq == 4
    with cut_off(path), pytest.raises(Queued):
        garden.append(name("s:5"), actor="alice")
    assert garden.append(name("s:6"), actor="alice", when=lambda state: state.resolve("Home") == "s:5").seq == 6
    with cut_off(path), pytest.raises(Queued):
        garden.append(name("s:7"), actor="alice")
    with garden.lease("node-a", ttl=300):
        garden.append(name("s:8"), actor="alice")
    with Journal.open(path) as server:
        log = [landed.decision for landed in server.space("garden").log()]
    assert [decision.payload.get("target") for decision in log if decision.type == "alias-set"] == [
        f"s:{number}" for number in range(9)
    ]


def test_what_needs_the_remote_now_is_never_stored(path: Path, clone: Journal, garden: Space) -> None:
    with cut_off(path):
        for more in ({"when": lambda state: True}, {"queue": False}):
            with pytest.raises(RemoteUnreachable) as raised:
                garden.append(HOME, actor="alice", **more)  # type: ignore[arg-type]
            assert [intent.decision.payload["target"] for intent in raised.value.intents] == ["shardA:Index"]
            assert waiting(clone) == []
    assert garden.append_many(raised.value.intents)[0].seq == 0
    assert garden.append_many(raised.value.intents)[0].seq == 0


def test_expect_is_asked_again_and_what_fails_is_kept_and_reported(path: Path, clone: Journal, garden: Space) -> None:
    [rival] = clones(path, "rival")
    garden.append(name("s:0"), actor="alice")
    with cut_off(path):
        for target, expect in (("s:lost", 0), ("s:free", None), ("s:held", 2)):
            with pytest.raises(Queued):
                garden.append(name(target), actor="alice", expect=expect)
    rival.space("garden").append(name("s:rival"), actor="bob")
    sent = clone.send()
    assert [(item.entry.state, len(item.landed)) for item in sent] == [("rejected", 0), ("waiting", 1), ("waiting", 1)]
    assert isinstance(sent[0].error, PreconditionFailed)
    assert targets(path) == ["s:0", "s:rival", "s:free", "s:held"]
    [entry] = outbox(clone).entries()
    mine = entry.decisions[0].id
    assert garden.whereabouts(mine).json() == {
        "state": "refused", "place": "outbox", "seq": None, "commit": None, "reason": str(sent[0].error)
    }
    with pytest.raises(PreconditionFailed):
        garden.wait(mine)
    assert clone.send() == []
    assert garden.append(name("s:1"), actor="alice").seq == 4  # it is in nobody's way
    rival.close()


def test_one_that_has_to_wait_keeps_those_behind_it_in_order(
    sequencer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody holds the lease, and a precondition cannot wait in the inbox."""
    clock = Clock(monkeypatch)
    lease_of_the_past(sequencer, clock, ago=0, ttl=300)
    [second] = clones(sequencer, "second")
    with second:
        garden = second.space("garden")
        with pytest.raises(Queued, match="'node-a' holds the lease") as queued:
            garden.append(name("s:0"), actor="bob", expect=0)
        assert queued.value.place == "outbox"
        with pytest.raises(Queued, match="behind 1, which waits") as queued:
            garden.append(name("s:1"), actor="bob")
        assert queued.value.place == "outbox"
        last = queued.value.intents[0].decision.id
        with pytest.raises(Refused, match="lease-held"):
            garden.append(name("s:2"), actor="bob", when=lambda state: True)
        assert waiting(second) == ["waiting", "waiting"]
        time_passes(sequencer, clock, 301)
        assert garden.wait(last).seq == 2  # once the lease has ended
        assert waiting(second) == []
    with Journal.open(sequencer) as server:
        assert [landed.decision.payload["target"] for landed in server.space("garden").log(1)] == ["s:0", "s:1"]


@pytest.mark.parametrize("path", ["compare-and-swap", "no hook"], indirect=True)
def test_where_nobody_sequences_the_outbox_waits_for_the_end_of_the_lease(path: Path, clone: Journal) -> None:
    [other] = clones(path, "other")
    held = other.space("garden").lease("node-a", ttl=300)
    garden = clone.space("garden")
    with pytest.raises(Queued) as queued:
        garden.append(HOME, actor="alice")
    assert queued.value.place == "outbox"
    mine = queued.value.intents[0].decision.id
    assert garden.whereabouts(mine).place == "outbox"
    [sent] = clone.send()
    assert isinstance(sent.error, Refused) and sent.error.code == "lease-held" and sent.entry.state == "waiting"
    with pytest.raises(Queued):
        garden.wait(mine, timeout=0.05)
    held.release()
    assert garden.wait(mine).seq == 2
    assert waiting(clone) == []
    other.close()


def test_what_the_law_refuses_is_never_stored(path: Path, clone: Journal, garden: Space) -> None:
    with cut_off(path):
        with pytest.raises(Queued):
            garden.append(HOME, actor="alice")
        for bad in (AliasSet("", "s:P"), AliasSet("a\nb", "s:P")):
            with pytest.raises(Refused, match="schema"):
                garden.append(bad, actor="alice")
        with pytest.raises(Refused, match="unknown-type"):
            garden.append("alias-sit", {}, actor="alice")
    assert waiting(clone) == ["waiting"]


def test_what_only_the_server_knows_is_not_decided_without_it(
    path: Path, clone: Journal, garden: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that a process stored before it died, whose effect depends on what this clone has not heard of."""
    [rival] = clones(path, "rival")
    rival.space("garden").append(HOME, actor="bob")
    intent = garden.intent(AliasCleared("Home"), actor="alice")
    outbox(clone).add("garden", [intent])
    with cut_off(path):
        [sent] = clone.send()
        assert isinstance(sent.error, RemoteUnreachable) and sent.entry.state == "waiting"
        with pytest.raises(WouldBeVoid):
            clone.space("other").append(AliasCleared("Home"), actor="alice")  # its author is there, and is asked
    assert clone.space("garden").wait(intent.decision.id).seq == 1
    rival.close()


def test_the_same_decision_twice_in_the_outbox_lands_once(path: Path, clone: Journal, garden: Space) -> None:
    mine, at = new_id(), soon()
    with cut_off(path):
        for _ in range(2):
            with pytest.raises(Queued):
                garden.append(HOME, actor="alice", id=mine, at=at)
        with pytest.raises(Queued):
            garden.append(name("s:other"), actor="alice", id=mine, at=at)
    clone.sync()
    assert targets(path) == ["shardA:Index"]
    [entry] = outbox(clone).entries()
    assert entry.state == "rejected" and isinstance(entry.error(), IdConflict)


# -- answers that are lost -------------------------------------------------------------------------------------------


def push_of(path: Path, garden: Space) -> str:
    return "submit" if garden.way() == "sequencer" else "push"


def test_a_lost_answer_is_found_out(
    path: Path, clone: Journal, garden: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden.append(name("s:0"), actor="alice")
    lose_answer(monkeypatch, push_of(path, garden))
    assert garden.append(name("s:1"), actor="alice").seq == 1
    lose_answer(monkeypatch, "push")
    assert garden.append(name("s:2"), actor="alice", expect=1).seq == 2
    assert (targets(path), waiting(clone)) == (["s:0", "s:1", "s:2"], [])


def test_a_connection_that_stays_lost_after_the_push_doubles_nothing(
    path: Path, clone: Journal, garden: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden.append(name("s:0"), actor="alice")
    with monkeypatch.context() as patch:
        lose_answer(patch, push_of(path, garden), cut=True)
        with pytest.raises(Queued) as queued:
            garden.append(name("s:1"), actor="alice")
        assert targets(path) == ["s:0", "s:1"]
    assert garden.wait(queued.value.intents[0].decision.id).seq == 1
    with monkeypatch.context() as patch:
        lose_answer(patch, push_of(path, garden), cut=True)
        with pytest.raises(Queued):
            garden.append(name("s:2"), actor="alice", expect=1)
    clone.sync()  # its precondition held when it landed: that it holds no more says nothing
    assert (targets(path), waiting(clone)) == (["s:0", "s:1", "s:2"], [])


def test_a_lost_answer_over_http(sequencer: Path, tmp_path: Path) -> None:
    with http_server(tmp_path) as server, Journal.clone(f"{server.url}/{sequencer.name}", tmp_path / "a") as clone:
        garden = clone.space("garden")
        server.lose_replies = 1
        assert garden.append(name("s:0"), actor="alice").seq == 0
        server.lose_replies = 1
        assert garden.append(name("s:1"), actor="alice", expect=0).seq == 1
        server.lose_replies = 1
        with garden.lease(ttl=300) as held:
            assert held.term == 1
            server.lose_replies = 1
            garden.append(name("s:2"), actor="alice")
            server.lose_replies = 1
    assert types(sequencer) == ["alias-set"] * 2 + ["lease-acquired", "alias-set", "lease-released"]


SAY = """#!/bin/sh
if [ -e {alive} ]; then rm {alive}; {before} {hook} "$@" {after}; exit 1; fi
exec {hook} "$@"
"""


@pytest.mark.parametrize("when", ["before it began", "after it was done"])
def test_a_sequencer_that_dies(sequencer: Path, when: str) -> None:
    """Nobody knows what became of the push but the log."""
    hooks = sequencer / "hooks"
    os.rename(hooks / "proc-receive", hooks / "proc-receive.real")
    version = len(b"0014version=1\0atomic0000")
    early = {"before": "exit 9;", "after": ""}
    late = {"before": "", "after": f"| head -c {version}"}  # its answers never come
    parts = early if when.startswith("before") else late
    script = SAY.format(alive=sequencer / "alive", hook=hooks / "proc-receive.real", **parts)
    (hooks / "proc-receive").write_text(script)
    (hooks / "proc-receive").chmod(0o755)
    [clone] = clones(sequencer, "clone")
    with clone:
        garden = clone.space("garden")
        for number in range(2):
            (sequencer / "alive").touch()
            if parts is early:
                with pytest.raises(Queued) as queued:
                    garden.append(name(f"s:{number}"), actor="alice")
                assert garden.wait(queued.value.intents[0].decision.id).seq == number
            else:
                assert garden.append(name(f"s:{number}"), actor="alice").seq == number
            assert not (sequencer / "alive").exists()
        assert waiting(clone) == []
    assert targets(sequencer) == ["s:0", "s:1"]


def test_a_sequencer_that_cannot_judge_says_so(sequencer: Path) -> None:
    """That is neither a lost connection nor a word against the decision."""
    [clone] = clones(sequencer, "clone")
    with clone:
        git(sequencer, "config", "coordjournal.clockSkew", "nonsense")
        with pytest.raises(GitFailed, match="nonsense"):
            clone.space("garden").append(HOME, actor="alice")
        assert waiting(clone) == []
        git(sequencer, "config", "coordjournal.clockSkew", "60")
        assert clone.space("garden").append(HOME, actor="alice").seq == 0


def test_a_log_that_cannot_be_read_back_is_not_taken_for_nothing(
    path: Path, clone: Journal, garden: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has landed, but the clone cannot be written: it stays in the outbox until that is known."""
    garden.append(name("s:0"), actor="alice")
    lock = Path(clone.store.git_dir) / "refs/coordjournal/origin/garden.lock"  # type: ignore[union-attr]
    monkeypatch.setattr("coordjournal.store._LOCK_SECONDS", 0.1)
    lock.touch()
    if garden.way() == "sequencer":
        with pytest.raises(Queued, match=r"garden\.lock"):
            garden.append(name("s:1"), actor="alice")
        assert waiting(clone) == ["waiting"]
    else:
        assert garden.append(name("s:1"), actor="alice").seq == 1
    lock.unlink()
    clone.sync()
    assert (targets(path), waiting(clone)) == (["s:0", "s:1"], [])


def test_a_server_that_went_back_rejects_nothing_for_good(sequencer: Path) -> None:
    """Somebody restored an old copy: what waits is sent once that is settled."""
    [clone] = clones(sequencer, "clone")
    with clone:
        garden = clone.space("garden")
        garden.append(name("s:0"), actor="alice")
        garden.append(name("s:1"), actor="alice")
        tip = git(sequencer, "rev-parse", "refs/spaces/garden")
        with cut_off(sequencer), pytest.raises(Queued):
            garden.append(name("s:2"), actor="alice")
        git(sequencer, "update-ref", "refs/spaces/garden", f"{tip}^")
        [sent] = clone.send()
        assert isinstance(sent.error, JournalRewound)
        with pytest.raises(Queued):
            garden.append(name("s:3"), actor="alice")
        assert waiting(clone) == ["waiting", "waiting"]
        git(sequencer, "update-ref", "refs/spaces/garden", tip)
        clone.sync()
        assert waiting(clone) == []
    assert targets(sequencer) == ["s:0", "s:1", "s:2", "s:3"]


def test_a_server_that_was_restored_and_lacks_what_is_known_here(sequencer: Path) -> None:
    """It has not even the objects of what it has lost. No intent lands on what is left, which would fork the log; what
    is stamped on the lost decisions brings them back."""
    [clone] = clones(sequencer, "clone")
    with clone:
        garden = clone.space("garden")
        garden.append(name("s:0"), actor="alice")
        backup = shutil.copytree(sequencer, sequencer.parent / "backup.git")
        for number in (1, 2):
            garden.append(name(f"s:{number}"), actor="alice")
        shutil.rmtree(sequencer)
        backup.rename(sequencer)
        before = git(sequencer, "for-each-ref")
        with pytest.raises(JournalRewound):
            garden.append(name("s:3"), actor="alice", queue=False)
        assert git(sequencer, "for-each-ref") == before
        assert garden.append(name("s:4"), actor="alice", when=bool).seq == 3
    assert targets(sequencer) == ["s:0", "s:1", "s:2", "s:4"]
    assert verified(sequencer)


def test_a_takeover_waits_for_the_clock_of_the_server(sequencer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the clone is ahead: by it the lease of somebody who died has ended, by the server's not yet."""
    configure(without_sequencing(sequencer), clockSkew=2)
    clock = Clock(monkeypatch)
    lease_of_the_past(sequencer, clock, ago=3, ttl=4)
    [clone] = clones(sequencer, "clone")
    clock.wall = 2
    with clone:
        assert clone.space("garden").append(HOME, actor="alice").seq == 1
    assert verified(sequencer)


# -- killed ----------------------------------------------------------------------------------------------------------

DYING = """
import os, sys
from coordjournal import AliasSet, Journal, appending, outbox, remote
def dying(*_, **__):
    os.kill(os.getpid(), 9)
what = sys.argv[2]
if what == "before the push":
    appending.Writer._send = dying
elif what == "after the push":
    for method in ("submit", "push"):
        push = getattr(remote.Remote, method)
        setattr(remote.Remote, method, lambda *given, push=push: (push(*given), dying()))
else:
    outbox.Outbox.done = dying
with Journal.open(sys.argv[1]) as journal:
    journal.space("garden").append(AliasSet("Home", sys.argv[3]), actor="alice", id=sys.argv[4])
"""


@pytest.mark.parametrize("when", ["before the push", "after the push", "before it left the outbox"])
def test_a_client_that_is_killed(path: Path, clone: Journal, garden: Space, when: str) -> None:
    garden.append(name("s:0"), actor="alice")
    mine = new_id()
    folder = Path(clone.store.git_dir).parent  # type: ignore[union-attr]
    done = child(DYING, folder, when, "s:1", mine)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert waiting(clone) == ["waiting"]
    assert garden.append(name("s:2"), actor="alice").seq == 2
    assert garden.append(name("s:1"), actor="alice", id=mine).seq == 1  # whoever asks again learns where it landed
    assert (targets(path), waiting(clone)) == (["s:0", "s:1", "s:2"], [])


# -- many at once ----------------------------------------------------------------------------------------------------

WRITER = """
import sys
from coordjournal import AliasSet, Journal
with Journal.open(sys.argv[1], appender=sys.argv[2]) as journal:
    for number in range(int(sys.argv[3])):
        landed = journal.space("garden").append(AliasSet(f"{sys.argv[2]}-{number}", "s:P"), actor=sys.argv[2])
        print(landed.seq, landed.decision.id)
"""


def test_processes_of_one_clone_and_of_another(path: Path) -> None:
    for journal in clones(path, "a", "b"):
        journal.close()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path.parent / where), who, "4"],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )
        for where, who in (("a", "one"), ("a", "two"), ("b", "three"))
    ]
    told = [[line.split() for line in worker.communicate()[0].splitlines()] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    with Journal.open(path) as server:
        log = [[str(landed.seq), landed.decision.id] for landed in server.space("garden").log()]
    assert sorted((line for lines in told for line in lines), key=lambda line: int(line[0])) == log
    assert len(log) == 12
    for lines in told:
        assert [int(seq) for seq, _ in lines] == sorted(int(seq) for seq, _ in lines)


def test_threads_of_one_clone(path: Path, clone: Journal, garden: Space) -> None:
    told: dict[int, list[int]] = {}

    def work(number: int) -> None:
        more = [{}, {"queue": False}, {"when": lambda state: True}][number % 3]
        told[number] = [
            garden.append(AliasSet(f"{number}-{n}", "s:P"), actor="alice", **more).seq for n in range(3)  # type: ignore[arg-type]
        ]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seq for seqs in told.values() for seq in seqs) == list(range(18))
    assert all(seqs == sorted(seqs) for seqs in told.values())
    assert waiting(clone) == []
    assert types(path) == ["alias-set"] * 18


def test_a_fork_appends_while_its_parent_does(path: Path, clone: Journal, garden: Space) -> None:
    garden.append(name("s:start"), actor="alice")
    started = threading.Event()

    def work() -> None:
        for number in range(3):
            garden.append(AliasSet(f"parent-{number}", "s:P"), actor="alice")
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(60)
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        status = 1
        try:
            for number in range(3):
                garden.append(AliasSet(f"child-{number}", "s:P"), actor="bob")
            status = 0
        finally:
            os._exit(status)
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    clone.sync()
    assert set(garden.state().aliases) == {f"{who}-{n}" for who in ("parent", "child") for n in range(3)} | {"Home"}
    assert types(path) == ["alias-set"] * 7
    assert waiting(clone) == []


# -- beside a lease --------------------------------------------------------------------------------------------------


def test_an_embedded_append_waits_for_nobody(path: Path) -> None:
    with Journal.open(path) as server, Journal.open(path) as other:
        with server.space("garden").lease("node-a", ttl=300):
            with pytest.raises(Refused, match="lease-held"):
                other.space("garden").append(HOME, actor="bob")
            with pytest.raises(LeaseHeld):
                other.space("garden").lease("node-b", ttl=300)
        assert other.space("garden").append(HOME, actor="bob").lease == "-; term=1"


def test_an_acquisition_appended_by_hand_is_a_decision_like_others(path: Path, clone: Journal, garden: Space) -> None:
    landed = garden.append(LeaseAcquired("node-a", 300), actor="node-a")
    assert landed.lease is not None and landed.lease.startswith("node-a/")
    [other] = clones(path, "other")
    with other, pytest.raises(Queued):
        other.space("garden").append(HOME, actor="bob")


def test_the_same_id_without_a_time_is_the_same_decision(sequencer: Path, tmp_path: Path) -> None:
    """What landed first says when it was decided, also to a clone that has not heard of it, and while it waits."""
    with Journal.clone(str(sequencer), tmp_path / "one") as one, Journal.clone(str(sequencer), tmp_path / "two") as two:
        landed = one.space("garden").append(HOME, actor="alice", id=(mine := new_id()))
        assert two.space("garden").append(HOME, actor="alice", id=mine) == landed
        with one.space("garden").lease("node-a", ttl=300) as lease:
            for _ in range(2):
                with pytest.raises(Queued) as queued:
                    two.space("garden").append(HOME, actor="bob", id=(waits := uuid_of(landed)))
                assert queued.value.place == "inbox"
            assert [item.id for item in two.space("garden").inbox()] == [waits]
            assert [served.decision.id for served in lease.serve_once()] == [waits]
        assert two.space("garden").append(HOME, actor="bob", id=waits).seq == 2


def uuid_of(landed: Landed) -> str:
    """An id that follows from a landing."""
    return landed.decision.id[:-4] + "abcd"


def test_a_precondition_where_the_logs_are_hidden_from_pushes(sequencer: Path, tmp_path: Path) -> None:
    """An administrator may let refs/append alone be pushed to; what is stamped here goes there too."""
    git(sequencer, "config", "receive.hideRefs", "refs/spaces")
    with Journal.clone(str(sequencer), tmp_path / "clone") as journal:
        garden = journal.space("garden")
        first = garden.append(HOME, actor="alice", expect=-1)
        assert garden.append(name("s:2"), actor="alice", expect=first.seq, when=lambda state: state.seq == 0).seq == 1
        with pytest.raises(PreconditionFailed):
            garden.append(name("s:3"), actor="alice", expect=first.seq)


def test_what_is_expected_of_a_log_that_cannot_be_asked(path: Path, tmp_path: Path) -> None:
    """Another node hands over garden@0; this clone has not heard of it, and the remote is away."""
    with Journal.clone(str(path), tmp_path / "one") as one, Journal.clone(str(path), tmp_path / "two") as two:
        token = one.space("garden").append(HOME, actor="alice")
        garden = two.space("garden")
        with cut_off(path):
            with pytest.raises(Queued) as queued:
                garden.append(name("s:2"), actor="bob", expect=token.seq)
            assert queued.value.place == "outbox"
        two.sync()
        assert garden.state().seq == 1
        with cut_off(path), pytest.raises(PreconditionFailed):  # a log never goes back to Seq 0
            garden.append(name("s:3"), actor="bob", expect=0)
        assert outbox(two).entries() == []
