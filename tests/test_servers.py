"""The same story on every server that people run: real programs, real accounts, real pushes (see :mod:`hosts`)."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from authority import verified
from hosts import KINDS, PEOPLE, Ground, Host, over_git_daemon, over_gitolite, until
from support import decide, push, together

from coordjournal import AliasSet, Journal, LeaseHeld, OverlayCreated, Queued, Refused, install
from coordjournal.decision import new_id
from coordjournal.install import prefix as prefixes
from coordjournal.space import Space


@pytest.fixture
def ground(
    open_place: Path, prefix: str, bare: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ground:
    place = open_place / tmp_path.name
    place.mkdir()
    place.chmod(0o755)
    return Ground(place, prefix, bare, monkeypatch)


@pytest.fixture(params=KINDS)
def host(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Host]:
    with KINDS[request.param](ground) as host:
        yield host


def test_the_story(host: Host, tmp_path: Path) -> None:
    alice, bob = (Journal.clone(host.url[name], tmp_path / name, appender=name) for name in PEOPLE)
    with alice, bob:
        appends(host, alice.space("garden"), bob.space("garden"))
        refusals(host, alice.space("garden"), tmp_path)
        leases(host, alice.space("garden"), bob.space("garden"))
    contention(host, {name: tmp_path / name for name in PEOPLE})
    assert judged(host)


def appends(host: Host, alice: Space, bob: Space) -> None:
    """What both append lands in order, by the way that the server offers, under the name that the server knows."""
    ways = {True: "sequencer", False: "compare-and-swap"}
    assert alice.way() == bob.way() == ways[host.believed]
    first = alice.append(AliasSet("Home", "s:P"), actor="alice")
    second = bob.append(AliasSet("Home", "s:Q"), actor="bob")
    third = alice.append(AliasSet("Home", "s:R"), actor="alice", expect=second.seq)  # compare-and-swap everywhere
    assert [landed.seq for landed in (first, second, third)] == [0, 1, 2]
    text = os.urandom(800_000).hex()  # more than fits one HTTP request of git's that is not chunked, even compressed
    fourth = alice.append(OverlayCreated("o1", "s:P", None, text), actor="alice", when=lambda state: state.seq == 2)
    assert host.git("show", f"{fourth.commit}:body") == text
    committers = host.git("log", "--reverse", "--format=%cn", "refs/spaces/garden").splitlines()
    by = host.committer if host.sequencing else dict(zip(PEOPLE, PEOPLE, strict=True))
    assert committers == [by["alice"], by["bob"], "alice", "alice"]
    assert alice.way() == bob.way() == ways[host.sequencing]  # whoever was told otherwise has noticed


def refusals(host: Host, alice: Space, tmp_path: Path) -> None:
    """Who is refused reads why, what to do, and under which number the server remembers it."""
    clone, url = tmp_path / "alice", host.url["alice"]
    tip = host.git("rev-parse", "refs/spaces/garden")
    if host.sequencing:
        target, wrong = "refs/append/garden", decide(clone, "orchard", seq=None)
    else:
        target, wrong = "refs/spaces/garden", decide(clone, "orchard", parent=tip, seq=4)
    other = "refs/heads/main" if host.strict else "refs/meta/coordjournal"
    for update, code, remedy in (
        (f"{wrong}:{target}", "wrong-space at space: ", "push it to its own space"),
        (f"+{tip}~1:refs/spaces/garden", "not-fast-forward at ref: ", "a decision is taken back with a "),
        (":refs/spaces/garden", "deleted", ""),
        (f"+{tip}:{other}", "bad-ref at ref: ", "coordjournal.strict false" if host.strict else "decisions go to "),
    ):
        done = push(clone, url, update)
        assert done.returncode == 1, (update, done.stderr)
        told = [line.removeprefix("remote:").strip() for line in done.stderr.splitlines() if line.startswith("remote:")]
        assert told[0].startswith("coordjournal refused this push; nothing was changed. Incident "), told
        assert any(line.startswith(code) for line in told), (code, told)
        assert any(line.startswith("-> ") and remedy in line for line in told), (remedy, told)
        logged = [json.loads(line) for line in (host.path / "coordjournal" / "refusals.jsonl").read_text().splitlines()]
        assert logged[-1]["incident"] == told[0].split()[-1]
        if host.names:
            key, value = host.names["alice"]
            assert logged[-1][key] == value
    assert host.git("rev-parse", "refs/spaces/garden") == tip
    host.git("config", "coordjournal.maxAttachmentBytes", "1k")  # no client is told, so that the server must say it
    with pytest.raises(Refused) as refused:
        alice.append(OverlayCreated("o2", "s:P", None, "word " * 1000), actor="alice")
    assert (refused.value.code, refused.value.place) == ("too-large", "tree body")
    assert "limit is 1024" in refused.value.what
    assert refused.value.remedy
    host.git("config", "--unset", "coordjournal.maxAttachmentBytes")


def leases(host: Host, alice: Space, bob: Space) -> None:
    """While Alice holds the lease nobody else appends; what Bob hands over waits, and lands once."""
    with alice.lease(holder="node-a", ttl=120) as lease:
        with pytest.raises(LeaseHeld):
            bob.lease(holder="node-b", ttl=120)
        own = alice.append(AliasSet("Away", "s:A"), actor="alice")
        assert (own.lease or "").startswith("node-a/")
        waits = handed_over(bob, "inbox" if host.sequencing else "outbox")
        if host.sequencing:
            stop = threading.Event()
            for landed in lease.serve(lambda *_: None, poll=0.05, stop=stop):
                assert landed.decision.id == waits
                stop.set()
            assert bob.wait(waits).lease is not None
            assert not bob.inbox()
            late = handed_over(bob, "inbox")
    if host.sequencing:
        assert bob.wait(late).decision.id == late  # nobody served it: it lands with the end of the lease
    else:
        assert [sent.landed[0].decision.id for sent in bob.send()] == [waits]
    ids = [landed.decision.id for landed in bob.log()]
    assert ids.count(waits) == 1
    assert host.git("for-each-ref", "refs/intents", "refs/append") == ""


def handed_over(space: Space, place: str) -> str:
    """Appends what somebody else's lease keeps out for now; its id."""
    id = new_id()
    with pytest.raises(Queued) as queued:
        space.append(AliasSet("Waits", "s:W"), actor="bob", id=id)
    assert queued.value.place == place
    return id


def contention(host: Host, clones: Mapping[str, Path], *others: Callable[[], object]) -> None:
    """Four writers at once, by the sequencer and by compare-and-swap, and ``others`` beside them: nothing is lost and
    nothing is doubled."""
    landed: dict[int, str] = {}

    def writer(name: str, race: bool) -> None:
        with Journal.open(clones[name]) as journal:
            for number in range(2):
                found = journal.space("garden").append(
                    AliasSet(f"{name}{race}{number}", "s:P"),
                    actor=name,
                    when=(lambda _: True) if race else None,
                    timeout=120,
                )
                assert found.seq not in landed
                landed[found.seq] = found.decision.id

    tip = host.git("for-each-ref", "--format=%(objectname)", "refs/spaces/garden")
    before = int(host.git("rev-list", "--count", tip)) if tip else 0
    together(*(partial(writer, name, race) for name in PEOPLE for race in (True, False)), *others)
    assert sorted(landed) == list(range(before, before + 8))
    for clone in clones.values():
        with Journal.open(clone) as journal:
            journal.sync()
            assert {found.seq: found.decision.id for found in journal.space("garden").log(since=before)} == landed


def judged(host: Host) -> bool:
    """Whether every log on the server is lawful, and git finds nothing wrong."""
    assert host.git("fsck", "--strict", "--no-dangling") == ""
    with host.trusted():
        return verified(host.path)


def test_the_rules_of_gitolite_hold_for_intents_too(ground: Ground, tmp_path: Path) -> None:
    with over_gitolite(ground) as host, Journal.clone(host.url["bob"], tmp_path / "bob") as bob:
        # git asks nobody about refs/append/closed itself: it is the real ref that counts.
        with pytest.raises(Refused) as refused:
            bob.space("closed").append(AliasSet("Home", "s:P"), actor="bob")
        assert refused.value.code == "update-hook"
        intent, decision = (decide(tmp_path / "bob", "closed", seq=seq) for seq in (None, 0))
        raw = push(tmp_path / "bob", host.url["bob"], f"{intent}:refs/append/closed")
        assert "DENIED by refs/(spaces|intents)/closed(/|$)" in raw.stderr
        assert "remote:   update-hook at ref: the repository's update hook declined refs/spaces/closed" in raw.stderr
        stamped = push(tmp_path / "bob", host.url["bob"], f"{decision}:refs/spaces/closed")
        assert "DENIED by refs/(spaces|intents)/closed(/|$)" in stamped.stderr

        # VREF/NAME looks at what the stamped commits change, as it would at those of an ordinary push.
        with pytest.raises(Refused) as refused:
            bob.space("garden").append(OverlayCreated("o1", "s:P", None, "text"), actor="bob")
        assert refused.value.code == "update-hook"
        assert host.git("for-each-ref", "refs/spaces", "refs/intents", "refs/append") == ""
        assert bob.space("garden").append(AliasSet("Home", "s:P"), actor="bob").seq == 0

        with Journal.clone(host.url["alice"], tmp_path / "alice") as alice:
            closed = alice.space("closed")
            assert closed.append(OverlayCreated("o1", "s:P", None, "text"), actor="alice").seq == 0
            with closed.lease(holder="node-a", ttl=60), pytest.raises(Refused) as refused:  # nor may he file it
                bob.space("closed").append(AliasSet("Home", "s:P"), actor="bob")
            assert refused.value.code == "update-hook"
        assert host.git("for-each-ref", "refs/intents") == ""

        with Journal.clone(host.url["carol"], tmp_path / "carol") as carol:
            assert carol.space("garden").state().resolve("Home") == "s:P"
            with pytest.raises((Queued, Refused)) as declined:
                carol.space("garden").append(AliasSet("Home", "s:Q"), actor="carol")
            assert "DENIED" in str(declined.value)
        assert host.git("rev-list", "--count", "refs/spaces/garden") == "1"


def test_an_upgrade_under_a_live_server(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushes go on, by the version that they began with or by the next, and none is refused."""
    prefix = ground.place / "prefix"
    package = prefixes.running_package()
    files = {**package.files, "coordjournal/mark.py": b"MARK = 2\n"}
    later = dataclasses.replace(package, version="999.0", digest="f" * 64, files=files)
    with over_git_daemon(ground) as host:
        install.install(str(host.path), prefix=str(prefix))
        for name in PEOPLE:
            Journal.clone(host.url[name], tmp_path / name, appender=name).close()
        before = os.readlink(prefix / "current")
        monkeypatch.setattr(prefixes, "running_package", lambda: later)
        host_log = host.path / "refs" / "spaces" / "garden"

        def upgrade() -> None:
            until(host_log.exists)  # in the middle of it
            assert install.upgrade(str(host.path)).version == "999.0"

        contention(host, {name: tmp_path / name for name in PEOPLE}, upgrade)
        assert os.readlink(prefix / "current") == f"versions/{later.name}" != before
        assert refused_with(host) <= {"not-fast-forward"}  # a race that was lost, and tried again
        assert judged(host)


def refused_with(host: Host) -> set[str]:
    """The codes in the refusal log of the server."""
    log = host.path / "coordjournal" / "refusals.jsonl"
    return {json.loads(line)["code"] for line in log.read_text().splitlines()} if log.exists() else set()
