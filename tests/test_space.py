"""One space: every append is judged as a push would be, lands once, and can be asked for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import decide, git, run

import coordjournal
from coordjournal import (
    AliasCleared,
    AliasSet,
    Attachment,
    BindingMade,
    Contention,
    DecisionNotFound,
    DecisionRevoked,
    ForkMade,
    GitFailed,
    IdConflict,
    Journal,
    MergeDecided,
    OverlayClosed,
    OverlayCreated,
    OverlayRevised,
    Payload,
    PreconditionFailed,
    Queued,
    Refused,
    RemoteUnreachable,
    Space,
    UnknownSpace,
    UnlawfulLog,
    UnsupportedVersion,
    WouldBeVoid,
    fold,
)
from coordjournal.decision import new_id
from coordjournal.remote import Remote
from coordjournal.verify import check

ROOT = str(Path(coordjournal.__file__).parent.parent)
HOME = AliasSet("Home", "shardA:Index")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bare repository without hooks."""
    run("git", "init", "--quiet", "--bare", tmp_path / "server.git")
    return tmp_path / "server.git"


@pytest.fixture
def embedded(path: Path) -> Iterator[Journal]:
    with Journal.open(path) as journal:
        yield journal


@pytest.fixture
def clone(path: Path, tmp_path: Path) -> Iterator[Journal]:
    with Journal.clone(str(path), tmp_path / "clone") as journal:
        yield journal


@pytest.fixture(params=["memory", "embedded", "clone", "sha256"])
def garden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Space]:
    """A space of every kind of journal."""
    if request.param == "memory":
        yield Journal.memory(appender="Test").space("garden")
        return
    if request.param == "sha256":
        run("git", "init", "--quiet", "--bare", "--object-format=sha256", tmp_path / "server.git")
        with Journal.open(tmp_path / "server.git") as journal:
            yield journal.space("garden")
        return
    name = "embedded" if request.param == "embedded" else "clone"
    yield request.getfixturevalue(name).space("garden")


# -- what lands ------------------------------------------------------------------------------------------------------

EVERY_TYPE: list[Payload] = [
    HOME,
    BindingMade(["s:A", "t:A"]),
    MergeDecided(["s:B", "t:B"], "s:B"),
    ForkMade("s:A", "s:C", "r1"),
    OverlayCreated("o1", "s:D", None, "a note\n"),
    OverlayRevised("o1", "r2", b"a \xff note"),
    OverlayClosed("o1", "applied", "r3"),
    AliasCleared("Home"),
]


def test_every_type_lands_and_reads_back(garden: Space) -> None:
    before = datetime.now(UTC)
    more: dict[str, Any] = {"actor": "alice", "reason": "because\nof this", "meta": {"k": "v"}}
    landed = [garden.append(payload, **more) for payload in EVERY_TYPE]
    landed.append(garden.append(DecisionRevoked(landed[-1].decision.id), actor="bob"))
    assert [item.seq for item in landed] == list(range(9))
    assert list(garden.log()) == landed
    state = garden.state()
    assert [state.landed(seq) for seq in range(9)] == landed
    assert state.resolve("Home") == "shardA:Index"
    assert state.group("t:A") == ("s:A", "t:A")
    assert state.canonical("t:B") == "s:B"
    assert state.lineage("s:C") == ("s:A",)
    assert [overlay.overlay_id for overlay in state.closed_overlays] == ["o1"]
    assert state.revoked == (7,)
    assert state.void == ()
    assert garden.body(landed[4]) == b"a note\n"
    assert garden.body(landed[5].commit) == b"a \xff note"
    decision = landed[0].decision
    assert (decision.actor, decision.reason, decision.meta) == ("alice", "because\nof this", {"k": "v"})
    assert before <= datetime.fromisoformat(decision.at) <= datetime.now(UTC)
    assert landed[0].appender == "Test"
    assert state.json() == fold(landed).json()


def test_a_type_and_its_payload_are_the_same_decision(garden: Space) -> None:
    body = b"a note"
    typed = garden.append(OverlayCreated("o1", "s:D", None, body), actor="alice")
    generic = garden.append(
        "overlay-created",
        {"overlay_id": "o2", "target": "s:D", "base_rev": None, "body": Attachment.of(body).json()},
        actor="alice",
        files={"body": body},
    )
    assert garden.body(generic) == garden.body(typed) == body
    assert generic.decision.payload == {**typed.decision.payload, "overlay_id": "o2"}


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("2020-02-29T23:59:59.123456Z", "2020-02-29T23:59:59.123456Z"),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00.000000Z"),
        (datetime.fromisoformat("2020-01-01T00:30:00.5+01:00"), "2019-12-31T23:30:00.500000Z"),
    ],
)
def test_when_it_was_decided(embedded: Journal, at: datetime | str, text: str) -> None:
    landed = embedded.space("garden").append(HOME, actor="alice", at=at)
    assert landed.decision.at == text
    assert landed.appended > 1_700_000_000


@pytest.mark.parametrize("at", [datetime(2020, 1, 1), "yesterday", "2020-01-01", "2020-02-30T00:00:00.000000Z"])
def test_a_time_that_is_none_is_an_error_at_once(embedded: Journal, at: datetime | str) -> None:
    with pytest.raises(ValueError):
        embedded.space("garden").append(HOME, actor="alice", at=at)


def test_what_is_typed_and_what_is_generic_are_not_mixed(embedded: Journal) -> None:
    garden = embedded.space("garden")
    with pytest.raises(TypeError):
        garden.append(HOME, {"alias": "Home"}, actor="alice")
    with pytest.raises(TypeError):
        garden.append("alias-set", actor="alice")


def test_labels_that_people_type_are_brought_to_nfc(embedded: Journal) -> None:
    composed, decomposed = "Größe", "Gro\u0308ße"
    garden = embedded.space("garden")
    garden.append(AliasSet(decomposed, "s:P"), actor="alice")
    state = garden.state()
    assert list(state.aliases) == [composed]
    assert state.resolve(decomposed) == state.resolve(composed) == "s:P"
    assert len(state.why_alias(decomposed)) == 1
    garden.append(AliasCleared(decomposed), actor="alice")
    assert garden.state().resolve(composed) is None


def test_a_generic_payload_is_kept_byte_for_byte(embedded: Journal) -> None:
    composed, decomposed = "Größe", "Gro\u0308ße"
    garden = embedded.space("garden")
    garden.append("alias-set", {"alias": decomposed, "target": "s:D"}, actor="alice")
    assert garden.state().resolve(decomposed) == "s:D"
    assert garden.state().resolve(composed) is None


def test_git_alone_can_read_the_log(path: Path, embedded: Journal) -> None:
    garden = embedded.space("a/b")
    for payload in EVERY_TYPE[:4]:
        garden.append(payload, actor="alice")
    assert garden.ref == "refs/spaces/a%2Fb"
    assert git(path, "log", "--format=%s", garden.ref).splitlines()[::-1] == [
        "alias-set: Home -> shardA:Index",
        "binding-made: s:A = t:A",
        "merge-decided: s:B + t:B -> s:B",
        "fork-made: s:A @ r1 -> s:C",
    ]
    git(path, "fsck", "--strict")


# -- what does not land ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "payload", "more", "code", "place"),
    [
        (AliasSet("", "s:P"), None, {}, "schema", "payload.alias"),
        (AliasSet("a\nb", "s:P"), None, {}, "schema", "payload.alias"),
        (BindingMade(["s:A"]), None, {}, "schema", "payload.members"),
        (HOME, None, {"actor": "<alice>"}, "schema", "actor"),
        (HOME, None, {"actor": ""}, "schema", "actor"),
        (HOME, None, {"reason": ""}, "schema", "reason"),
        (HOME, None, {"id": "not-an-id"}, "schema", "id"),
        (HOME, None, {"meta": {"k": 1}}, "schema", "meta.k"),
        ("alias-set", {"alias": "Home"}, {}, "schema", "payload"),
        ("alias-set", {"alias": "Home", "target": "s:P", "more": 1}, {}, "schema", "payload"),
        ("alias-sit", {}, {}, "unknown-type", "type"),
        ("x-acme-tag", {"number": 0.5}, {}, "bad-json", ""),
        ("x-acme-tag", {"text": "\ud800"}, {}, "bad-json", ""),
        (HOME, None, {"files": {"body": b"stray"}}, "attachment", "tree"),
        (OverlayCreated("o", "s:P", None, Attachment(3, "0" * 64)), None, {}, "attachment", "tree"),
        (HOME, None, {"at": datetime.now(UTC) + timedelta(days=30)}, "clock", "at"),
        (AliasSet("Home", "s:" + "x" * 2000), None, {}, "schema", "payload.target"),
        ("x-acme-tag", {"text": "x" * 70_000}, {}, "too-large", "commit"),
    ],
)
def test_the_law_and_the_admission_refuse_before_anything_is_written(
    garden: Space, decision: Payload | str, payload: Any, more: dict[str, Any], code: str, place: str
) -> None:
    with pytest.raises(Refused) as refused:
        garden.append(decision, payload, **{"actor": "alice", **more})
    assert (refused.value.code, refused.value.place, refused.value.seq) == (code, place, 0)
    assert garden.last_seq() == -1


def test_limits_are_the_repositorys_own(path: Path, embedded: Journal) -> None:
    git(path, "config", "coordjournal.maxDecisionBytes", "1k")
    git(path, "config", "coordjournal.maxAttachmentBytes", "100")
    garden = embedded.space("garden")
    with pytest.raises(Refused, match="too-large at commit"):
        garden.append(AliasSet("Home", "s:" + "x" * 900), actor="alice")
    with pytest.raises(Refused, match="too-large at tree body"):
        garden.append(OverlayCreated("o", "s:P", None, "x" * 101), actor="alice")
    garden.append(OverlayCreated("o", "s:P", None, "x" * 100), actor="alice")


def test_a_clone_knows_the_limits_of_its_server(path: Path, embedded: Journal, tmp_path: Path) -> None:
    git(path, "config", "coordjournal.maxAttachmentBytes", "100")
    coordjournal.descriptor.publish(embedded.store)  # type: ignore[attr-defined]
    with Journal.clone(str(path), tmp_path / "clone") as clone:
        note = OverlayCreated("o", "s:P", None, "x" * 101)
        with pytest.raises(Refused, match="too-large at tree body"):
            clone.space("garden").append(note, actor="alice")
        git(path, "config", "coordjournal.maxAttachmentBytes", "200")
        coordjournal.descriptor.publish(embedded.store)  # type: ignore[attr-defined]
        assert clone.space("garden").append(note, actor="alice").seq == 0  # what it was told is asked for again
        git(path, "config", "coordjournal.readOnly", "true")
        git(path, "config", "coordjournal.primary", "ssh://host/x.git")
        coordjournal.descriptor.publish(embedded.store)  # type: ignore[attr-defined]
        clone.sync()
        with pytest.raises(Refused, match=r"read-only.*ssh://host/x\.git"):
            clone.space("garden").append(HOME, actor="alice")
        with pytest.raises(Refused, match="read-only"):
            embedded.space("garden").append(HOME, actor="alice")


def test_a_clock_that_once_ran_ahead_stops_nobody(path: Path, embedded: Journal) -> None:
    ahead = int((datetime.now(UTC) + timedelta(days=3)).timestamp())
    raw = git(path, "cat-file", "commit", decide(path)) + "\n"
    line = next(line for line in raw.splitlines() if line.startswith("committer"))
    raw = raw.replace(line, f"committer alice <> {ahead} +0000")
    first = git(path, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw.encode())
    git(path, "update-ref", "refs/spaces/garden", first)
    assert embedded.space("garden").append(HOME, actor="alice").appended == ahead


# -- ids and retries -------------------------------------------------------------------------------------------------


def test_the_same_bytes_under_the_same_id_land_once(garden: Space) -> None:
    mine, at = new_id(), datetime.now(UTC)
    first = garden.append(HOME, actor="alice", id=mine, at=at, reason="once")
    garden.append(AliasCleared("Home"), actor="bob")
    assert garden.append(HOME, actor="alice", id=mine, at=at, reason="once") == first
    assert garden.append(HOME, actor="alice", id=mine, reason="once") == first  # its time was not given again
    assert garden.append(HOME, actor="alice", id=mine, reason="once", expect=-1) == first  # nothing left to ask
    for other in (
        lambda: garden.append(AliasSet("Home", "s:Q"), actor="alice", id=mine, reason="once"),
        lambda: garden.append(HOME, actor="bob", id=mine, reason="once"),
        lambda: garden.append(HOME, actor="alice", id=mine),
        lambda: garden.append(HOME, actor="alice", id=mine, reason="once", at=at + timedelta(microseconds=1)),
        lambda: garden.append(HOME, actor="alice", id=mine, reason="once", allow_void=True, meta={}),
    ):
        with pytest.raises(IdConflict, match="garden@0"):
            other()
    assert garden.last_seq() == 1


def test_another_attachment_under_the_same_id_is_another_decision(garden: Space) -> None:
    mine = new_id()
    first = garden.append(OverlayCreated("o", "s:P", None, "one"), actor="alice", id=mine)
    assert garden.append(OverlayCreated("o", "s:P", None, "one"), actor="alice", id=mine) == first
    with pytest.raises(IdConflict):
        garden.append(OverlayCreated("o", "s:P", None, "two"), actor="alice", id=mine)


def test_true_and_one_are_no_repetition() -> None:
    """Python takes them for the same; in the log they are other bytes."""
    with Journal.memory() as journal:
        garden = journal.space("garden")
        same = {"actor": "bot", "id": new_id(), "at": "2026-01-01T00:00:00.000000Z"}
        garden.append("x-acme-tag", {"n": 1}, **same)  # type: ignore[arg-type]
        with pytest.raises(IdConflict):
            garden.append("x-acme-tag", {"n": True}, **same)  # type: ignore[arg-type]


def test_a_batch_lands_whole_or_not_at_all(garden: Space) -> None:
    intents = [garden.intent(AliasSet(f"name{n}", "s:P"), actor="alice") for n in range(70)]
    landed = garden.append_many(intents)
    assert [item.seq for item in landed] == list(range(70))
    assert garden.append_many(intents[::-1]) == landed[::-1]
    assert garden.append_many([intents[3], intents[3]]) == [landed[3]] * 2
    new = garden.intent(AliasSet("new", "s:P"), actor="alice")
    assert [item.seq for item in garden.append_many([intents[5], new, new])] == [5, 70, 70]
    with pytest.raises(Refused) as refused:
        garden.append_many(
            [garden.intent(AliasSet("good", "s:P"), actor="alice"), garden.intent(AliasSet("", "s:P"), actor="alice")]
        )
    assert refused.value.seq == 72
    with pytest.raises(IdConflict, match="same batch"):
        twin = new_id()
        garden.append_many([garden.intent(AliasSet(name, "s:P"), actor="alice", id=twin) for name in "ab"])
    assert garden.append_many([]) == []
    assert garden.last_seq() == 70
    assert len(garden.state().aliases) == 71


@pytest.fixture
def batch(embedded: Journal) -> list[Any]:
    """Intents enough to be written while they are stamped, and to be passed as plain; some share a body."""
    space = embedded.space("garden")
    made = [space.intent(AliasSet(f"name {n}", "s:P"), actor="alice", reason="why") for n in range(400)]
    made[5:5] = [space.intent(OverlayCreated(f"o{n}", "s:P", None, f"body {n // 2}"), actor="alice") for n in range(10)]
    return made


def objects(path: Path) -> dict[str, str]:
    """What `git count-objects` counts."""
    return dict(line.split(": ") for line in git(path, "count-objects", "-v").splitlines())


def test_a_large_batch_is_one_pack_in_which_each_body_stands_once(
    path: Path, embedded: Journal, batch: list[Any]
) -> None:
    space = embedded.space("garden")
    landed = space.append_many(batch)
    assert [item.decision for item in landed] == [intent.decision for intent in batch]
    assert [item.seq for item in landed] == list(range(410))
    assert objects(path)["packs"] == "1"
    assert objects(path)["in-pack"] == str(410 + 5 + 5)  # bodies and trees, each for two
    assert objects(path)["count"] == "1"  # the empty tree
    assert space.body(landed[6]) == space.body(landed[5]) == b"body 0"
    assert git(path, "rev-list", "--count", "refs/spaces/garden") == "410"
    git(path, "fsck", "--strict")
    with Journal.open(path, extensions={}) as other:
        assert list(other.space("garden").log()) == landed
        assert other.space("garden").state().json() == space.state().json()


@pytest.mark.parametrize("why", ["refused", "void", "interrupted"])
def test_a_large_batch_that_cannot_land_leaves_nothing_behind(
    path: Path, embedded: Journal, batch: list[Any], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    space = embedded.space("garden")
    space.append(HOME, actor="alice")
    before = objects(path)
    error: type[BaseException] = Refused if why == "refused" else WouldBeVoid
    if why == "refused":
        batch.append(space.intent("alias-set", {"alias": "Home"}, actor="alice"))
    elif why == "void":
        batch.append(space.intent(AliasCleared("unset"), actor="alice"))
    else:
        error = KeyboardInterrupt

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(space._writer, "_check_effect", interrupted)
    with pytest.raises(error):
        space.append_many(batch)
    assert objects(path) == before
    assert not [file for file in path.rglob("*") if file.name.startswith("tmp_")]
    assert space.last_seq() == space.state().seq == 0
    monkeypatch.undo()
    assert space.append_many(batch, allow_void=True)[-1].seq == 411 if why == "void" else True


def test_a_large_batch_that_loses_a_race_is_stamped_anew(
    path: Path, embedded: Journal, rival: Space, batch: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = embedded.space("garden")
    overtaken(monkeypatch, space, lambda n: rival.append(HOME, actor="bob"))
    assert [item.seq for item in space.append_many(batch)] == list(range(1, 411))
    git(path, "fsck", "--strict")


def test_a_large_batch_lands_under_a_lease_and_through_a_remote(
    path: Path, embedded: Journal, clone: Journal, batch: list[Any]
) -> None:
    with embedded.space("garden").lease("node-a"):
        landed = embedded.space("garden").append_many(batch[:350])
    assert {item.lease for item in landed} == {landed[0].lease} != {None}
    with clone.space("garden").lease("node-b"):
        assert clone.space("garden").append_many(batch[350:])[-1].seq == 412
    with Journal.open(path, extensions={}) as other:
        assert check(other.store, "garden", other.store.tip("garden")) == 414


def test_a_batch_may_build_on_itself(garden: Space) -> None:
    made, named = garden.intent(OverlayCreated("o", "s:P", None, "x"), actor="alice"), new_id()
    garden.append_many(
        [
            made,
            garden.intent(OverlayRevised("o", "r", "y"), actor="alice"),
            garden.intent(AliasSet("a", "s:P"), actor="alice", id=named),
            garden.intent(DecisionRevoked(named), actor="alice"),
        ]
    )
    assert [overlay.revised for overlay in garden.state().overlays] == [1]
    assert garden.state().revoked == (2,)


def test_processes_that_retry_one_append_land_it_once(path: Path, embedded: Journal, tmp_path: Path) -> None:
    mine = new_id()
    script = (
        "import sys\n"
        "from coordjournal import AliasSet, Journal\n"
        "with Journal.open(sys.argv[1]) as journal:\n"
        "    print(journal.space('garden').append(AliasSet('Home', 's:P'), actor='alice', id=sys.argv[2]).seq)\n"
    )
    with Journal.clone(str(path), tmp_path / "clone"):
        pass
    workers = [
        subprocess.Popen([sys.executable, "-c", script, str(where), mine], cwd=ROOT, stdout=subprocess.PIPE)
        for where in (path, path, tmp_path / "clone")
    ]
    assert [worker.communicate()[0] for worker in workers] == [b"0\n"] * 3
    assert embedded.space("garden").last_seq() == 0


# -- preconditions ---------------------------------------------------------------------------------------------------


def test_expect_is_the_seq_of_the_tip(garden: Space) -> None:
    with pytest.raises(PreconditionFailed, match="expected garden to be at Seq 0, it is at -1"):
        garden.append(HOME, actor="alice", expect=0)
    landed = garden.append(HOME, actor="alice", expect=-1)
    assert garden.append(AliasSet("Home", "s:Q"), actor="alice", expect=landed.seq).seq == 1
    for wrong in (-1, 0, 2):
        with pytest.raises(PreconditionFailed):
            garden.append(HOME, actor="alice", expect=wrong)
    assert garden.last_seq() == 1


def test_when_is_asked_with_the_state_to_be_appended_to(garden: Space) -> None:
    garden.append(HOME, actor="alice", when=lambda state: state.seq == -1 and state.resolve("Home") is None)
    garden.append(AliasSet("Home", "s:Q"), actor="alice", when=lambda state: state.resolve("Home") == "shardA:Index")
    with pytest.raises(PreconditionFailed):
        garden.append(HOME, actor="alice", when=lambda state: state.resolve("Home") == "shardA:Index")
    with pytest.raises(ZeroDivisionError):
        garden.append(HOME, actor="alice", when=lambda state: 1 // 0 == 0)
    assert garden.append(HOME, actor="alice").seq == 2


VOID: list[tuple[str, Callable[[Space], Payload]]] = [
    ("alias-not-set", lambda space: AliasCleared("nobody")),
    ("unknown-decision", lambda space: DecisionRevoked(new_id())),
    ("unknown-overlay", lambda space: OverlayRevised("nobody", None, "x")),
    ("unknown-overlay", lambda space: OverlayClosed("nobody", "discarded")),
    ("overlay-exists", lambda space: OverlayCreated("open", "s:P", None, "x")),
    ("overlay-exists", lambda space: OverlayCreated("closed", "s:P", None, "x")),
    ("overlay-closed", lambda space: OverlayRevised("closed", None, "x")),
    ("overlay-closed", lambda space: OverlayClosed("closed", "applied")),
]


@pytest.mark.parametrize(("reason", "make"), VOID)
def test_what_would_be_void_is_refused_unless_it_is_insisted_on(
    reason: str, make: Callable[[Space], Payload]
) -> None:
    garden = Journal.memory().space("garden")
    garden.append(OverlayCreated("open", "s:P", None, "x"), actor="alice")
    garden.append(OverlayCreated("closed", "s:P", None, "x"), actor="alice")
    garden.append(OverlayClosed("closed", "discarded"), actor="alice")
    payload = make(garden)
    with pytest.raises(WouldBeVoid) as error:
        garden.append(payload, actor="alice")
    assert error.value.reason == reason
    with pytest.raises(WouldBeVoid) as error:
        garden.append_many([garden.intent(HOME, actor="alice"), garden.intent(payload, actor="alice")])
    assert error.value.reason == reason
    assert garden.last_seq() == 2
    landed = garden.append(payload, actor="alice", allow_void=True)
    assert [(void.seq, void.reason) for void in garden.state().void] == [(landed.seq, reason)]


def test_a_preview_writes_nothing_and_shows_both_states(garden: Space) -> None:
    garden.append(HOME, actor="alice")
    intents = [
        garden.intent(AliasSet("Home", "s:Q"), actor="alice"),
        garden.intent(AliasSet("More", "s:R"), actor="alice"),
    ]
    for some in (intents[:1], intents):
        preview = garden.preview(some)
        assert (preview.before.seq, preview.before.resolve("Home")) == (0, "shardA:Index")
        assert (preview.after.seq, preview.after.resolve("Home")) == (len(some), "s:Q")
        assert [item.seq for item in preview.landed] == list(range(1, len(some) + 1))
    assert garden.preview([]).after.seq == 0
    assert garden.last_seq() == 0
    for wrong in (
        lambda: garden.preview(intents, expect=5),
        lambda: garden.preview(intents, when=lambda state: False),
    ):
        with pytest.raises(PreconditionFailed):
            wrong()
    with pytest.raises(WouldBeVoid):
        garden.preview([garden.intent(AliasCleared("nobody"), actor="alice")])
    assert garden.preview([garden.intent(AliasCleared("nobody"), actor="alice")], allow_void=True).after.void
    with pytest.raises(Refused):
        garden.preview([garden.intent(AliasSet("", "s:P"), actor="alice")])


# -- attachments -----------------------------------------------------------------------------------------------------


def test_a_megabyte_lands_reads_back_and_costs_the_fold_nothing(
    path: Path, embedded: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = bytes(range(256)) * 4096
    landed = embedded.space("garden").append(OverlayCreated("o", "s:P", None, body), actor="alice")
    assert embedded.space("garden").body(landed) == body
    blob = git(path, "rev-parse", f"{landed.commit}:body")
    assert run("git", "-C", path, "cat-file", "-s", blob).stdout.strip() == str(len(body))
    # The fold cannot read it: it is not there.
    (path / "objects" / blob[:2] / blob[2:]).unlink()
    with Journal.open(path) as again:
        state = again.space("garden").state()
        assert state.overlays[0].body == Attachment.of(body)
        assert state.body_commit("o") == landed.commit
        with pytest.raises(DecisionNotFound):
            again.space("garden").body(landed)


def test_a_body_that_is_none(garden: Space) -> None:
    landed = garden.append(HOME, actor="alice")
    for name, what in (("body", landed), ("", landed), ("body", "0" * 40), ("body", "nonsense")):
        with pytest.raises(DecisionNotFound):
            garden.body(what, name)
    overlay = garden.append(OverlayCreated("o", "s:P", None, ""), actor="alice")
    assert garden.body(overlay) == b""
    with pytest.raises(DecisionNotFound):
        garden.body(overlay, "other")


# -- reading ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def five(garden: Space) -> Space:
    garden.append_many([garden.intent(AliasSet("Home", f"s:{n}"), actor="alice") for n in range(5)])
    return garden


def test_the_log_by_seq(five: Space) -> None:
    def seqs(*bounds: int | None) -> list[int]:
        return [landed.seq for landed in five.log(*bounds)]  # type: ignore[arg-type]

    assert seqs() == [0, 1, 2, 3, 4]
    assert seqs(3) == [3, 4]
    assert seqs(1, 2) == [1, 2]
    assert seqs(-2) == [3, 4]
    assert seqs(-9, 0) == [0]
    assert seqs(5) == seqs(3, 2) == []
    for landed in five.log():
        assert landed.decision.payload["target"] == f"s:{landed.seq}"
    with pytest.raises(UnknownSpace, match="'nowhere'"):
        list(five.journal.space("nowhere").log())


def test_a_log_read_while_it_grows_numbers_its_decisions_right(
    path: Path, embedded: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = embedded.space("garden")
    for number in range(3):
        garden.append(AliasSet("Home", f"s:{number}"), actor="alice")
    tip = embedded.store.tip

    def growing(space: str) -> str | None:
        found = tip(space)
        monkeypatch.undo()
        garden.append(AliasSet("Home", "s:3"), actor="bob")
        return found

    monkeypatch.setattr(embedded.store, "tip", growing)
    read = [(landed.seq, landed.decision.payload["target"]) for landed in garden.log(1)]
    assert read[:2] == [(1, "s:1"), (2, "s:2")]
    assert garden.last_seq() == 3


def test_the_state_as_of(five: Space) -> None:
    now = five.state()
    times = [landed.appended for landed in five.log()]
    second = datetime.fromtimestamp(times[-1], UTC)
    assert five.state(at=2).resolve("Home") == "s:2"
    assert five.state(at="2").resolve("Home") == "s:2"
    assert five.state(at="garden@2").resolve("Home") == "s:2"
    assert five.state(at=now.landed(2).commit).resolve("Home") == "s:2"
    assert five.state(at=now.landed(2).decision.id).resolve("Home") == "s:2"
    assert five.state(at=-1).resolve("Home") is five.state(at="-1").resolve("Home") is None
    assert five.state(at=second).seq == 4
    assert five.state(at=second.strftime("%Y-%m-%dT%H:%M:%S.999999Z")).seq == 4
    assert five.state(at=second - timedelta(days=1)).seq == -1
    assert five.state(without=[4, now.landed(3).decision.id]).resolve("Home") == "s:2"
    assert five.state(at=3, without=["garden@3"]).resolve("Home") == "s:2"
    for unknown in (5, "5", "other@1", "nonsense", "2020"):
        with pytest.raises(DecisionNotFound):
            five.state(at=unknown)
    with pytest.raises(DecisionNotFound):
        five.state(at=2, without=[3])


def test_at_least_waits_for_the_remote(path: Path, embedded: Journal, clone: Journal) -> None:
    embedded.space("garden").append(HOME, actor="alice")
    assert clone.space("garden").state().seq == -1
    assert clone.space("garden").state(at_least=0).resolve("Home") == "shardA:Index"
    later = threading.Timer(0.05, lambda: embedded.space("garden").append(HOME, actor="bob"))
    later.start()
    assert clone.space("garden").state(at_least=1).seq == 1
    later.join()
    assert clone.space("garden").state(at_least=1, at=0).seq == 0
    with pytest.raises(DecisionNotFound, match=r"garden@2 did not come within 0\.05 s; the last is Seq 1"):
        clone.space("garden").state(at_least=2, timeout=0.05)


def test_reading_goes_on_while_an_append_waits_for_the_remote(path: Path, clone: Journal, tmp_path: Path) -> None:
    clone.space("garden").append(HOME, actor="alice")
    pushing, goes_on = tmp_path / "pushing", tmp_path / "goes-on"
    run("mkfifo", goes_on)
    hook = path / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\ntouch {pushing}\ncat {goes_on}\n")
    hook.chmod(0o755)
    append = threading.Thread(target=lambda: clone.space("garden").append(AliasSet("Home", "s:Q"), actor="alice"))
    append.start()
    while not pushing.exists():
        assert append.is_alive()
    assert clone.space("garden").state().resolve("Home") == "shardA:Index"
    assert len(list(clone.space("garden").log())) == 1
    goes_on.write_text("")
    append.join()
    assert clone.space("garden").state().resolve("Home") == "s:Q"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("not a decision\n", UnlawfulLog),
        ("x: y\n\n{}\n\nSeq: 1\n", UnlawfulLog),
        ('x: y\n\n{"v":1}\n\nSeq: 1\n', UnlawfulLog),
        ('x: y\n\n{"id":[],"payload":{},"type":"alias-set","v":1}\n\nSeq: 1\n', UnlawfulLog),
        ('x: y\n\n{"id":"7","payload":{},"type":"alias-set","v":1}\n\nSeq: 1\n', UnlawfulLog),
        ('x: y\n\n{"v":2}\n\nSeq: 1\n', UnsupportedVersion),
    ],
)
def test_a_log_that_somebody_spoilt_is_an_error_until_it_is_repaired(
    path: Path, embedded: Journal, message: str, error: type[Exception]
) -> None:
    garden = embedded.space("garden")
    good = garden.append(HOME, actor="alice")
    tree = git(path, "mktree")
    bad = git(path, "commit-tree", "-p", good.commit, "-F", "-", tree, stdin=message.encode())
    git(path, "update-ref", "refs/spaces/garden", bad)
    with Journal.open(path) as other:
        for _ in range(2):
            for space in (garden, other.space("garden")):
                with pytest.raises(error):
                    space.state()
                with pytest.raises((error, UnlawfulLog)):
                    space.append(HOME, actor="alice")
        git(path, "update-ref", "refs/spaces/garden", good.commit)
        for space in (garden, other.space("garden")):
            assert space.state().seq == 0
            assert space.state().void == ()


def test_a_read_that_was_interrupted_leaves_no_half_of_it_behind(
    path: Path, embedded: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        embedded.space("garden").append(AliasSet("Home", f"s:{number}"), actor="alice")
    calls: list[int] = []

    def interrupted(index: Any, seq: int, payload: Any) -> None:
        calls.append(seq)
        if seq == 2:
            raise KeyboardInterrupt

    with Journal.open(path) as other:
        with monkeypatch.context() as patch:
            patch.setitem(coordjournal.index._TAKERS, "alias-set", interrupted)  # type: ignore[attr-defined]
            with pytest.raises(KeyboardInterrupt):
                other.space("garden").state()
        assert calls == [0, 1, 2]
        assert other.space("garden").state().json() == embedded.space("garden").state().json()


def test_a_log_that_cannot_be_read_is_gits_failure(path: Path, embedded: Journal) -> None:
    garden = embedded.space("garden")
    oids = [garden.append(AliasSet("Home", f"s:{n}"), actor="alice").commit for n in range(3)]
    (path / "objects" / oids[1][:2] / oids[1][2:]).unlink()
    with Journal.open(path) as other:
        with pytest.raises(GitFailed):
            other.space("garden").state()
        with pytest.raises(GitFailed):
            list(other.space("garden").log())
        with pytest.raises(GitFailed):
            list(other.changes())


# -- races -----------------------------------------------------------------------------------------------------------


def overtaken(monkeypatch: pytest.MonkeyPatch, space: Space, rival: Callable[[int], object], times: int = 1) -> None:
    """Lets a rival append just before ``space`` moves its log, the first ``times`` times."""
    move = space._writer._moved
    count = iter(range(times))

    def late(*arguments: Any) -> bool:
        number = next(count, None)
        if number is not None:
            rival(number)
        return move(*arguments)

    monkeypatch.setattr(space._writer, "_moved", late)


@pytest.fixture(params=["embedded", "clone"])
def racer(request: pytest.FixtureRequest) -> Space:
    journal: Journal = request.getfixturevalue(request.param)
    return journal.space("garden")


@pytest.fixture
def rival(path: Path) -> Iterator[Space]:
    with Journal.open(path) as journal:
        yield journal.space("garden")


def test_a_lost_race_is_run_again(racer: Space, rival: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    overtaken(monkeypatch, racer, lambda n: rival.append(AliasSet(f"rival{n}", "s:P"), actor="bob"), 3)
    asked: list[int] = []
    landed = racer.append(HOME, actor="alice", when=lambda state: asked.append(state.seq) or True)  # type: ignore[func-returns-value]
    assert landed.seq == 3
    assert asked == [-1, 0, 1, 2]  # again on each new state
    assert list(rival.log())[-1] == landed
    assert racer.state().json() == rival.state().json()


@pytest.mark.parametrize(
    "more",
    [{"expect": -1}, {"when": lambda state: state.resolve("Home") is None}],
    ids=["expect", "when"],
)
def test_a_precondition_that_a_rival_broke_is_seen(
    racer: Space, rival: Space, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    overtaken(monkeypatch, racer, lambda _: rival.append(AliasSet("Home", "s:rival"), actor="bob"))
    with pytest.raises(PreconditionFailed):
        racer.append(HOME, actor="alice", **more)
    assert rival.state().resolve("Home") == "s:rival"
    assert rival.last_seq() == 0


def test_what_a_rival_made_void_is_seen(racer: Space, rival: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    racer.append(HOME, actor="alice")
    overtaken(monkeypatch, racer, lambda _: rival.append(AliasCleared("Home"), actor="bob"))
    with pytest.raises(WouldBeVoid):
        racer.append(AliasCleared("Home"), actor="alice")
    assert rival.last_seq() == 1


def test_the_same_append_by_a_rival_is_the_landing(
    racer: Space, rival: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = new_id()
    overtaken(monkeypatch, racer, lambda _: rival.append(HOME, actor="alice", id=mine))
    assert racer.append(HOME, actor="alice", id=mine) == rival.state().landed(0)
    overtaken(monkeypatch, racer, lambda _: rival.append(HOME, actor="alice", id=other))
    other = new_id()
    with pytest.raises(IdConflict):
        racer.append(AliasSet("Home", "s:Q"), actor="alice", id=other)
    assert rival.last_seq() == 1


def test_who_always_loses_is_told_so(racer: Space, rival: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    overtaken(monkeypatch, racer, lambda n: rival.append(AliasSet(f"rival{n}", "s:P"), actor="bob"), 1000)
    with pytest.raises(Contention, match=r"faster for 0\.1 s; nothing was appended"):
        racer.append(HOME, actor="alice", timeout=0.1)
    assert "Home" not in rival.state().aliases


def test_a_clone_that_is_behind_does_not_refuse_what_has_an_effect_by_now(
    clone: Journal, embedded: Journal
) -> None:
    landed = embedded.space("garden").append(HOME, actor="alice")
    assert clone.space("garden").append(DecisionRevoked(landed.decision.id), actor="bob").seq == 1
    with pytest.raises(WouldBeVoid):
        clone.space("garden").append(DecisionRevoked(new_id()), actor="bob")


# -- the server dies -------------------------------------------------------------------------------------------------


def kill_at(path: Path, name: str, condition: str = ":", after: int = 0) -> None:
    """Installs a hook that kills receive-pack, once."""
    hook = path / "hooks" / name
    hook.write_text(f"#!/bin/sh\nif {condition} && [ -e {path}/alive ]; then rm {path}/alive; kill -9 $PPID; fi\n")
    hook.chmod(0o755)
    (path / "alive").touch()


def test_a_server_killed_before_it_took_the_push_has_nothing(path: Path, clone: Journal, rival: Space) -> None:
    garden = clone.space("garden")
    garden.append(HOME, actor="alice")
    kill_at(path, "pre-receive")
    intent = garden.intent(AliasSet("Home", "s:Q"), actor="alice")
    with pytest.raises(Queued) as queued:
        garden.append_many([intent])
    assert (queued.value.place, queued.value.intents) == ("outbox", (intent,))
    assert not (path / "alive").exists()
    assert rival.last_seq() == garden.last_seq() == 0
    assert garden.append_many([intent])[0].seq == 1
    assert [landed.decision for landed in rival.log(1)] == [intent.decision]
    clone.sync()
    assert rival.last_seq() == 1
    assert clone.outbox is not None and clone.outbox.entries() == []


def test_a_server_killed_after_it_took_the_push_has_it_once(path: Path, clone: Journal, rival: Space) -> None:
    garden = clone.space("garden")
    kill_at(path, "reference-transaction", '[ "$1" = committed ]')
    landed = garden.append(HOME, actor="alice")
    assert not (path / "alive").exists()
    assert list(rival.log()) == [landed]
    assert garden.append(AliasSet("Home", "s:Q"), actor="alice").seq == 1


def test_a_lost_reply_is_found_out_even_when_others_went_on(
    path: Path, clone: Journal, rival: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The push got through, its reply did not, and another writer appended before the log was asked for."""
    garden = clone.space("garden")
    push = Remote.push

    def lossy(self: Remote, *arguments: Any) -> bool:
        monkeypatch.undo()
        assert push(self, *arguments)
        rival.append(AliasSet("rival", "s:P"), actor="bob")
        raise RemoteUnreachable("lost")

    monkeypatch.setattr(Remote, "push", lossy)
    assert garden.append(HOME, actor="alice").seq == 0
    assert rival.last_seq() == 1


def test_a_server_that_is_gone_is_unreachable_and_the_id_makes_the_retry_safe(
    path: Path, clone: Journal, tmp_path: Path
) -> None:
    garden = clone.space("garden")
    away = tmp_path / "away.git"
    path.rename(away)
    mine = new_id()
    with pytest.raises(RemoteUnreachable):
        garden.append(HOME, actor="alice", id=mine, queue=False)
    with pytest.raises(Queued, match="outbox"):
        garden.append(HOME, actor="alice", id=mine)
    away.rename(path)
    landed = garden.append(HOME, actor="alice", id=mine)
    assert landed.seq == 0
    assert garden.append(HOME, actor="alice", id=mine) == landed


# -- many processes --------------------------------------------------------------------------------------------------

WRITER = """
import sys
from coordjournal import AliasSet, Journal
with Journal.open(sys.argv[1], appender=sys.argv[2]) as journal:
    garden = journal.space("garden")
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[3])):
        landed = garden.append(AliasSet(f"{sys.argv[2]}-{number}", "s:P"), actor=sys.argv[2], timeout=60)
        print(landed.seq, landed.commit, landed.decision.id)
"""
PLAIN = """
cd "$1" || exit 1
echo ready; read -r _
landed=0
while [ "$landed" -lt "$2" ]; do
    git fetch --quiet origin "+refs/spaces/garden:refs/plain/garden" 2>/dev/null
    tip=$(git rev-parse --verify --quiet refs/plain/garden)
    commit=$("$3" -c "$4" "$5" "$6" "$tip")
    lease=--force-with-lease=refs/spaces/garden:$tip
    git push --quiet origin "$lease" "$commit:refs/spaces/garden" 2>/dev/null || continue
    landed=$((landed + 1))
    git cat-file commit "$commit" | sed -n "s/^Seq: //p" | tr '\\n' ' '
    echo "$commit $(git cat-file commit "$commit" | sed -n 's/.*"id":"\\([^"]*\\)".*/\\1/p')"
done
"""
STAMP = """
import sys
sys.path[:0] = sys.argv[1:3]
import support
place, tip = ".", sys.argv[3]
seq = 0
if tip:
    seq = int(support.git(place, "cat-file", "commit", tip).rpartition("Seq: ")[2]) + 1
print(support.decide(place, parent=tip or None, seq=seq))
"""


def contend(commands: list[list[str]]) -> list[list[str]]:
    """Runs writers at once; a line each of what they were told landed: Seq, commit, id."""
    workers = [
        subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        for words in commands
    ]
    for worker in workers:
        assert worker.stdout and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    acknowledged = []
    for worker in workers:
        said, complained = worker.communicate()
        assert worker.returncode == 0, complained
        acknowledged += [line.split() for line in said.splitlines()]
    return acknowledged


def test_writers_contend_and_every_acknowledged_append_is_there_once(
    bare: Callable[..., Path], tmp_path: Path
) -> None:
    """Embedded ones, clones (two processes of one clone among them) and a plain git push, against the real hook."""
    path = bare()
    commands = [[sys.executable, "-c", WRITER, str(path), f"embedded{n}", "6"] for n in range(2)]
    for name in ("a", "b"):
        Journal.clone(str(path), tmp_path / name).close()
    for number, name in enumerate("aab"):
        commands.append([sys.executable, "-c", WRITER, str(tmp_path / name), f"clone{number}", "3"])
    run("git", "init", "--quiet", tmp_path / "plain")
    git(tmp_path / "plain", "remote", "add", "origin", str(path))
    tests = str(Path(__file__).parent)
    commands.append(["sh", "-c", PLAIN, "sh", str(tmp_path / "plain"), "2", sys.executable, STAMP, tests, ROOT])
    acknowledged = contend(commands)
    assert len(acknowledged) == 2 * 6 + 3 * 3 + 2
    with Journal.open(path) as journal:
        log = [[str(item.seq), item.commit, item.decision.id] for item in journal.space("garden").log()]
        assert sorted(acknowledged, key=lambda item: int(item[0])) == log
        assert [verdict.refusal for verdict in coordjournal.verify.repository(journal.store)] == [None]  # type: ignore[attr-defined]
    git(path, "fsck", "--strict")


# -- in any order ----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["A", "B"])
STEPS = st.one_of(
    st.builds(AliasSet, NAMES, st.sampled_from(["s:1", "s:2"])),
    st.builds(AliasCleared, NAMES),
    st.builds(lambda a, b: BindingMade([f"s:{a}", f"t:{b}"]), NAMES, NAMES),
    st.builds(OverlayCreated, NAMES, st.just("s:1"), st.none(), st.just("x")),
    st.builds(OverlayClosed, NAMES, st.just("discarded")),
    st.integers(0, 5),  # revoke the decision that was appended so many decisions ago
    st.just("sync"),
    st.just("reopen"),
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 1), STEPS), min_size=3, max_size=10))
def test_two_clones_and_the_server_agree_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, Any]]
) -> None:
    place = tmp_path_factory.mktemp("clones")
    run("git", "init", "--quiet", "--bare", place / "server.git")
    clones = [Journal.clone(str(place / "server.git"), place / name) for name in ("a", "b")]
    ids: list[str] = []
    for who, step in steps:
        if step == "sync":
            clones[who].sync()
        elif step == "reopen":
            clones[who].close()
            clones[who] = Journal.open(place / "ab"[who])
        else:
            if isinstance(step, int):
                if step >= len(ids):
                    continue
                step = DecisionRevoked(ids[-1 - step])
            landed = clones[who].space("garden").append(step, actor="ab"[who], allow_void=True)
            assert landed.seq == len(ids)
            ids.append(landed.decision.id)
    with Journal.open(place / "server.git") as server:
        log = list(server.space("garden").log()) if ids else []
    assert [landed.decision.id for landed in log] == ids
    expected = json.dumps(fold(log, space="garden").json())
    for clone in clones:
        clone.sync()
        assert json.dumps(clone.space("garden").state().json()) == expected
        clone.close()



def test_an_append_that_met_nobody_can_be_tried_again(path: Path, clone: Journal, tmp_path: Path) -> None:
    garden = clone.space("garden")
    path.rename(tmp_path / "away.git")
    with pytest.raises(RemoteUnreachable) as raised:
        garden.append(HOME, actor="alice", queue=False)
    (tmp_path / "away.git").rename(path)
    again = garden.append_many(raised.value.intents)
    assert [landed.decision for landed in again] == [intent.decision for intent in raised.value.intents]
    assert garden.append_many(raised.value.intents) == again


def test_an_append_that_landed_is_told_as_landed_though_the_clone_cannot_be_written(
    path: Path, clone: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = clone.space("garden")
    garden.append(HOME, actor="alice")
    lock = Path(clone.store.git_dir) / "refs/coordjournal/origin/garden.lock"
    lock.touch()
    monkeypatch.setattr("coordjournal.store._LOCK_SECONDS", 0.1)
    landed = garden.append(AliasSet("Other", "s:O"), actor="alice")
    assert git(path, "rev-parse", garden.ref) == landed.commit
    assert garden.state().seq == 0  # what is here is still the state before
    lock.unlink()
    clone.sync()
    assert garden.state().landed(1) == landed


def test_a_server_that_is_stuck_is_not_called_contention(path: Path, clone: Journal) -> None:
    garden = clone.space("garden")
    garden.append(HOME, actor="alice")
    (path / "refs/spaces/garden.lock").touch()
    with pytest.raises(GitFailed, match="nobody else moved it"):
        garden.append(AliasSet("Other", "s:O"), actor="alice", timeout=0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_lock_behind(path: Path, number: signal.Signals) -> None:
    """The signal comes while the lock is held: the new tip is brought to the disk then."""
    code = (
        "import os, sys\n"
        "from coordjournal import AliasSet, Journal\n"
        "fsync, number = os.fsync, int(sys.argv[2])\n"
        "lock = sys.argv[1] + '/refs/spaces/garden.lock'\n"
        "def interrupted(descriptor):\n"
        "    if os.path.exists(lock):\n"
        "        print('held', flush=True)\n"
        "        os.kill(os.getpid(), number)\n"
        "    fsync(descriptor)\n"
        "os.fsync = interrupted\n"
        "Journal.open(sys.argv[1]).space('garden').append(AliasSet('Home', 's:P'), actor='alice')\n"
    )
    with Journal.open(path) as journal:
        journal.space("garden").append(HOME, actor="alice")  # git makes a ref, and moves it no more
    done = subprocess.run([sys.executable, "-c", code, str(path), str(int(number))], capture_output=True, text=True)
    assert "held" in done.stdout and done.returncode != 0
    assert list((path / "refs").rglob("*.lock")) == []
