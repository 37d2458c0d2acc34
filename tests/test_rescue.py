"""Rescue: what a server that was lost or restored has lost comes back from a clone, once, and nothing is forgotten."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from authority import child, configure, cut_off, publish, verified, without_sequencing
from hypothesis import given, settings
from hypothesis import strategies as st
from support import decide, git, run, snapshot

from coordjournal import (
    AliasCleared,
    AliasSet,
    Checkpoint,
    Contention,
    CoordjournalError,
    DecisionRevoked,
    GitFailed,
    Intent,
    IntentRefused,
    Journal,
    JournalRewound,
    Landed,
    OverlayClosed,
    OverlayCreated,
    Queued,
    Refused,
    RemoteUnreachable,
    Rescue,
    Space,
    UnknownSpace,
    descriptor,
)
from coordjournal import rescue as rescues
from coordjournal.decision import new_id
from coordjournal.projection import Projection
from coordjournal.store import GitStore

Bare = Callable[..., Path]
KINDS = ["sequencer", "compare-and-swap", "sha256"]  # SHA-256 without any hook


@pytest.fixture(params=["sequencer"])
def path(request: pytest.FixtureRequest, bare: Bare, tmp_path: Path) -> Path:
    """A server; that of a kind if a test asks for it."""
    if request.param in ("no hook", "sha256"):
        format = "sha256" if request.param == "sha256" else "sha1"
        run("git", "init", "--quiet", "--bare", f"--object-format={format}", tmp_path / "journal.git")
        return tmp_path / "journal.git"
    return bare() if request.param == "sequencer" else without_sequencing(bare())


EVERY_KIND = pytest.mark.parametrize("path", KINDS, indirect=True)


@pytest.fixture
def clones(path: Path) -> Iterator[Callable[[str], Journal]]:
    """Makes clones of the server, by name."""
    made: list[Journal] = []

    def make(name: str) -> Journal:
        made.append(Journal.clone(str(path), path.parent / name, appender=name))
        return made[-1]

    yield make
    for journal in made:
        journal.close()


def names(*targets: str) -> list[AliasSet]:
    return [AliasSet(f"n{target}", f"s:{target}") for target in targets]


def fill(path: Path, *payloads: Any, space: str = "garden", actor: str = "alice") -> list[Landed]:
    """Appends on the server itself."""
    with Journal.open(path, appender="server") as server:
        room = server.space(space)
        return [room.append(payload, actor=actor) for payload in payloads]


def backup(path: Path) -> Path:
    to = path.with_name("backup.git")
    shutil.copytree(path, to, symlinks=True)
    return to


def restore(path: Path) -> None:
    """The server is what it was when the backup was taken."""
    shutil.rmtree(path)
    shutil.copytree(path.with_name("backup.git"), path, symlinks=True)


def tip(where: Path, space: str = "garden") -> str:
    return git(where, "rev-parse", f"refs/spaces/{space}")


def lines(where: Path | str, ref: str = "refs/spaces/garden") -> list[bytes]:
    """The JSON lines of a log, oldest first, as git has them."""
    walk = git(where, "rev-list", "--reverse", ref)
    batch = git(where, "cat-file", "--batch", stdin=walk.encode() + b"\n")
    return [line.encode() for line in batch.split("\n") if line.startswith('{"actor":')]


def refs(journal: Journal) -> str:
    assert isinstance(journal.store, GitStore)
    return git(journal.store.git_dir, "for-each-ref", "--format=%(refname) %(objectname)")


def states(rescued: Rescue) -> list[str]:
    return [fate.state for fate in rescued.fates]


def garden_of(journal: Journal) -> list[Any]:
    return [item.decision.payload for item in journal.space("garden").log()]


# -- nothing is lost -------------------------------------------------------------------------------------------------


def test_where_nothing_is_lost_nothing_is_done(path: Path, clones: Any) -> None:
    fill(path, *names("0", "1"))
    clone = clones("clone")
    before = refs(clone)
    same = clone.space("garden").rescue()
    assert (same.outcome, same.ours, same.theirs, same.common, same.fates) == ("same", tip(path), tip(path), 1, ())
    fill(path, *names("2"))
    server = snapshot(path)
    for accept in (False, True):
        ahead = clone.space("garden").rescue(accept=accept)
        assert (ahead.outcome, ahead.theirs, ahead.common, ahead.kept) == ("ahead", tip(path), 1, None)
    assert refs(clone) == before
    assert snapshot(path) == server
    assert [change.landed.seq for change in clone.sync()] == [2]


def test_only_a_clone_can_rescue(path: Path, clones: Any) -> None:
    fill(path, *names("0"))
    with Journal.open(path) as server, pytest.raises(CoordjournalError, match="in a clone that has what was lost"):
        server.rescue()
    with pytest.raises(CoordjournalError, match="in a clone that has what was lost"):
        Journal.memory().rescue()
    clone = clones("clone")
    with pytest.raises(UnknownSpace):
        clone.rescue(["nowhere"])
    with cut_off(path), pytest.raises(RemoteUnreachable):
        clone.rescue()


def test_a_server_of_another_object_format_is_told(path: Path, clones: Any) -> None:
    fill(path, *names("0"))
    clone = clones("clone")
    shutil.rmtree(path)
    run("git", "init", "--quiet", "--bare", "--object-format=sha256", path)
    fill(path, *names("0"))
    for accept in (False, True):
        with pytest.raises(CoordjournalError, match="coordjournal init REPO --object-format sha1"):
            clone.rescue(accept=accept)


# -- the server is behind --------------------------------------------------------------------------------------------


@EVERY_KIND
def test_a_server_that_is_behind_gets_the_very_commits(
    path: Path, clones: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path, *names("0", "1"))
    fill(path, *names("x"), space="Größe/1")
    backup(path)
    with Journal.open(path, appender="server") as server:
        with server.space("garden").lease("node-a"):
            server.space("garden").append(OverlayCreated("o", "s:p", None, "Körper"), actor="bob", reason="weil")
        server.space("garden").append(AliasSet("ü", "s:ü"), actor="bob", meta={"k": "v"})
        fill(path, *names("y"), space="Größe/1")
        state = server.space("garden").state().json()
    clone = clones("clone")
    clone.space("garden").state()
    restore(path)
    with pytest.raises(JournalRewound) as error:
        clone.sync()
    assert error.value.common in (0, 1)
    monkeypatch.setattr(rescues, "_PUSH", 2)  # in several pushes
    before = refs(clone)
    heard: list[tuple[str, int]] = []
    found = {rescued.space: rescued for rescued in clone.rescue(progress=lambda *word: heard.append(word))}
    assert {rescued.outcome for rescued in found.values()} == {"pushed"}
    assert [count for label, count in heard if label == "pushing garden"] == [2, 4]
    assert [(found[space].common, found[space].pushed) for space in ("garden", "Größe/1")] == [(1, 4), (0, 1)]
    assert refs(clone) == before
    assert tip(path) == found["garden"].ours == clone.space("garden").state().commit
    assert verified(path)
    assert git(path, "show", f"{tip(path)}~2:body") == "Körper"
    assert clone.sync() == []
    with Journal.open(path) as server:
        assert server.space("garden").state().json() == state
    assert clone.space("garden").append(*names("new"), actor="bob").seq == 6
    assert [rescued.outcome for rescued in clone.rescue()] == ["same", "same"]


def test_a_server_that_was_lost_is_rebuilt(path: Path, bare: Bare, clones: Any) -> None:
    landed = fill(path, *names("0", "1"))
    fill(path, *names("x"), space="Größe/1")
    clone = clones("clone")
    tips = git(path, "for-each-ref", "refs/spaces")
    shutil.rmtree(path)
    with pytest.raises(RemoteUnreachable):
        clone.rescue()
    run("git", "init", "--quiet", "--bare", path)
    with pytest.raises(CoordjournalError, match="coordjournal install REPO"):
        clone.rescue()
    assert git(path, "for-each-ref") == ""
    shutil.rmtree(path)
    configure(bare(), readOnly="true")
    for dry in (True, False):
        with pytest.raises(Refused, match="read-only"):
            clone.rescue(dry_run=dry)
    configure(path, readOnly="false")
    git(path, "config", "receive.hideRefs", "refs/spaces")  # what can be pushed goes through refs/append alone
    with pytest.raises(JournalRewound) as error:
        clone.sync()
    assert (error.value.found, error.value.common) == (None, -1)
    found = [(rescued.outcome, rescued.theirs, rescued.common) for rescued in clone.rescue()]
    assert found == [("pushed", None, -1)] * 2
    assert git(path, "for-each-ref", "refs/spaces") == tips
    assert clone.sync() == []
    again = Intent(landed[0].decision)
    assert clone.space("garden").append_many([again]) == [clone.space("garden").state().landed(0)]
    with clones("other") as other:  # the server's own table of ids knows them too
        git(other.store.git_dir, "update-ref", "-d", "refs/coordjournal/origin/garden")
        assert other.space("garden").append_many([again])[0].seq == 0


def test_a_server_that_is_behind_and_forgot_an_extension(path: Path, clones: Any) -> None:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}
    fill(path, *names("0"))
    backup(path)
    with Journal.open(path) as server:
        descriptor.declare(server.store, "x-acme-tag", schema)  # type: ignore[arg-type]
        server.space("garden").append("x-acme-tag", {"page": "s:0"}, actor="bot")
        server.space("garden").append(*names("1"), actor="bot")
    clone = clones("clone")
    restore(path)
    before = refs(clone)
    for dry in (True, False):
        rescued = clone.space("garden").rescue(dry_run=dry)
        assert (rescued.outcome, rescued.common, rescued.pushed) == ("unfinished", 0, 0)
        assert isinstance(rescued.error, Refused) and (rescued.error.code, rescued.error.seq) == ("undeclared-type", 1)
        [command] = [part for part in rescued.error.remedy.split("`") if part.startswith("git show")]
        assert json.loads(git(clone.store.git_dir, *command.split()[1:])) == schema
        assert refs(clone) == before
    with Journal.open(path) as server:
        descriptor.declare(server.store, "x-acme-tag", schema)  # type: ignore[arg-type]
    assert clone.space("garden").rescue().outcome == "pushed"
    assert tip(path) == rescued.ours


def test_who_appends_while_a_server_is_brought_up_is_not_lost(
    path: Path, clones: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was behind when it was looked at, and has forked when it is pushed to."""
    fill(path, *names("0"))
    backup(path)
    fill(path, *names("1", "2"))
    clone = clones("clone")
    restore(path)
    advance = Space.advance

    def slow(self: Space, old: str | None, new: str) -> bool:
        monkeypatch.setattr(Space, "advance", advance)
        fill(path, *names("other"))
        return advance(self, old, new)

    monkeypatch.setattr(Space, "advance", slow)
    rescued = clone.space("garden").rescue()
    assert (rescued.outcome, states(rescued)) == ("joined", ["appended", "appended"])
    assert [payload["target"] for payload in garden_of(clone)] == ["s:0", "s:other", "s:1", "s:2"]


def test_clones_that_rebuild_a_server_at_once_build_one_log(path: Path, bare: Bare, clones: Any) -> None:
    fill(path, *names("0", "1"))
    less = clones("less")
    fill(path, *names("2"))
    more, ours = clones("more"), tip(path)
    shutil.rmtree(path)
    bare()
    found: list[Rescue] = []
    threads = [
        threading.Thread(target=lambda journal=journal: found.append(journal.space("garden").rescue()))  # type: ignore[misc]
        for journal in (less, more)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {rescued.outcome for rescued in found} <= {"pushed", "ahead"} and len(found) == 2
    assert tip(path) == ours
    less.sync()
    assert less.space("garden").rescue().outcome == "same"


def test_a_log_that_never_rests_is_told(path: Path, clones: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, *names("0"))
    clone = clones("clone")
    monkeypatch.setattr(rescues._Run, "_attempt", lambda *_: None)
    with pytest.raises(Contention, match="rescue it again"):
        clone.space("garden").rescue(timeout=0.01)


def test_a_server_that_lets_nothing_move_is_told(path: Path, clones: Any) -> None:
    without_sequencing(path)
    fill(path, *names("0"))
    backup(path)
    fill(path, *names("1"))
    clone = clones("clone")
    restore(path)
    (path / "refs/spaces/garden.lock").touch()
    with pytest.raises(GitFailed, match="coordjournal doctor"):
        clone.space("garden").rescue(timeout=0.0)
    (path / "refs/spaces/garden.lock").unlink()
    assert clone.space("garden").rescue().outcome == "pushed"


# -- the logs have forked --------------------------------------------------------------------------------------------


@EVERY_KIND
def test_what_only_the_clone_has_is_appended_again(path: Path, clones: Any) -> None:
    fill(path, *names("0", "1"))
    backup(path)
    with Journal.open(path, appender="server") as server:
        room = server.space("garden")
        made = room.append(AliasSet("Café", "s:ü"), actor="Zoë", reason="weil\nes so ist", meta={"trace": "é/1"})
        with room.lease("node-a"):
            room.append(OverlayCreated("o", "s:p", "r1", b"\xff\x00 body"), actor="bob")
        room.append(DecisionRevoked(made.decision.id), actor="alice")
        room.append(AliasCleared("nowhere"), actor="alice", allow_void=True)
        room.append(AliasSet("last", "s:last"), actor="alice", at="2001-02-03T04:05:06.789012Z")
    clone = clones("clone")
    old = clone.space("garden").state()
    assert old.seq == 8
    ours, lost = tip(path), lines(path)[2:]
    restore(path)
    fill(path, *names("other"), actor="eve")
    theirs = lines(path)
    with pytest.raises(JournalRewound) as error:
        clone.sync()
    assert (error.value.known, error.value.found, error.value.common) == (ours, tip(path), 1)
    assert "`coordjournal rescue`" in str(error.value) and "the last that both have is Seq 1" in str(error.value)

    rescued = clone.space("garden").rescue()
    assert (rescued.outcome, rescued.common, rescued.ours) == ("joined", 1, ours)
    assert [(fate.was.seq, fate.state, fate.now.seq if fate.now else None, fate.void) for fate in rescued.fates] == [
        (2, "appended", 3, None),
        (3, "left-out", None, None),
        (4, "appended", 4, None),
        (5, "left-out", None, None),
        (6, "appended", 5, None),
        (7, "appended", 6, "alias-not-set"),
        (8, "appended", 7, None),
    ]
    assert lines(path) == theirs + [lost[n] for n in (0, 2, 4, 5, 6)]
    assert clone.space("garden").body(clone.space("garden").state().landed(4)) == b"\xff\x00 body"
    assert verified(path)
    assert rescued.kept is not None
    assert rescued.kept == f"refs/coordjournal-rescued/origin/garden/8-{ours[:12]}"
    assert git(clone.store.git_dir, "rev-parse", rescued.kept) == ours
    assert {name.partition("/origin")[0] for name in refs(clone).split() if "/" in name} <= {
        *("refs/coordjournal", "refs/coordjournal-rescued", "refs/coordjournal-meta")
    }
    state = clone.space("garden").state()
    assert (state.commit, state.resolve("last"), state.resolve("Café")) == (tip(path), "s:last", None)
    assert clone.sync() == []
    assert old.resolve("last") == "s:last" and old.landed(8).commit == ours  # what was handed out stays
    assert clone.space("garden").append(*names("new"), actor="bob").seq == 8
    assert clone.space("garden").rescue().outcome == "same"


def test_logs_with_nothing_in_common_are_joined_too(path: Path, clones: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescues, "_BATCH_BYTES", 5)  # one push for each
    backup(path)
    fill(path, *(OverlayCreated(text, "s:p", None, text) for text in ("first", "other", "third")))
    clone = clones("clone")
    heard: list[tuple[str, int]] = []
    restore(path)
    fill(path, *names("other"))
    with pytest.raises(JournalRewound, match="they have nothing in common"):
        clone.sync()
    [rescued] = clone.rescue(progress=lambda *word: heard.append(word))
    assert (rescued.outcome, rescued.common, states(rescued)) == ("joined", -1, ["appended"] * 3)
    assert [count for label, count in heard if label == "appending to garden"] == [1, 2, 3]
    bodies = [clone.space("garden").body(landed) for landed in clone.space("garden").log(since=1)]
    assert bodies == [b"first", b"other", b"third"]


def test_an_id_lands_once_and_a_conflict_is_told(path: Path, clones: Any) -> None:
    """What landed again meanwhile is found by its bytes; other bytes under its id are not overwritten; an id that
    stood twice in the lost log lands once; what the server let go stays so."""
    [common] = fill(path, *names("0"))
    backup(path)
    with Journal.open(path) as server:
        room = server.space("garden")
        first, second, third = (room.append(payload, actor="alice") for payload in names("1", "2", "3"))
        room.append(DecisionRevoked(second.decision.id), actor="alice")
    parent = tip(path)
    for seq, landed in ((5, first), (6, common)):  # by a writer who knows no ids
        raw = git(path, "cat-file", "commit", landed.commit) + "\n"
        author = next(line for line in raw.split("\n") if line.startswith("author "))
        head = f"tree {git(path, 'rev-parse', f'{landed.commit}^{{tree}}')}\nparent {parent}\n{author}\n"
        head += f"committer twice <> {int(time.time())} +0000\n\n"
        rest = raw.partition("\n\n")[2].replace(f"\nSeq: {landed.seq}\n", f"\nSeq: {seq}\n")
        parent = git(path, "hash-object", "-t", "commit", "-w", "--stdin", stdin=(head + rest).encode())
    git(path, "update-ref", "refs/spaces/garden", parent)
    clone = clones("clone")
    restore(path)
    with Journal.open(path, appender="another") as server:  # else it might be the very same commit
        room = server.space("garden")
        room.append_many([Intent(first.decision)])
        other = room.append(AliasSet("n2", "s:another"), actor="eve", id=second.decision.id)
        room.append(IntentRefused(third.decision.id, "not today"), actor="eve")
    before = lines(path)
    rescued = clone.space("garden").rescue()
    assert rescued.outcome == "joined"
    assert states(rescued) == ["there", "conflict", "let-go", "conflict", "repeated", "repeated"]
    there, conflict, let_go, revoking, again, common_again = rescued.fates
    assert there.now is not None and there.now.seq == 1
    assert conflict.now == other == revoking.now  # which is not taken back in the place of what had its id
    assert let_go.reason == "not today"
    assert again.reason and again.reason.startswith("Seq 1 ")
    assert common_again.reason and common_again.reason.startswith("Seq 0 ")
    assert lines(path) == before


def test_an_id_that_is_taken_while_it_is_rescued_is_a_conflict_too(
    path: Path, clones: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what revoked it does not revoke what is there now."""
    fill(path, *names("0"))
    backup(path)
    [lost] = fill(path, *names("1"))
    fill(path, DecisionRevoked(lost.decision.id), *names("2"))
    clone = clones("clone")
    restore(path)
    fill(path, *names("other"))
    append_many = Space.append_many

    def slow(self: Space, *arguments: Any, **more: Any) -> list[Landed]:
        monkeypatch.setattr(Space, "append_many", append_many)
        with Journal.open(path) as server:
            server.space("garden").append(AliasSet("n1", "s:taken"), actor="eve", id=lost.decision.id)
        return append_many(self, *arguments, **more)

    monkeypatch.setattr(Space, "append_many", slow)
    assert states(clone.space("garden").rescue()) == ["conflict", "conflict", "appended"]
    assert clone.space("garden").state().resolve("n1") == "s:taken"


def test_true_and_one_are_two_decisions(path: Path, clones: Any) -> None:
    """Python takes them for the same."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}
    with Journal.open(path) as server:
        descriptor.declare(server.store, "x-acme-tag", schema)  # type: ignore[arg-type]
    fill(path, *names("0"))
    backup(path)
    id, at = new_id(), "2026-01-01T00:00:00.000000Z"
    with Journal.open(path) as server:
        server.space("garden").append("x-acme-tag", {"n": 1}, actor="bot", id=id, at=at)
    clone = clones("clone")
    restore(path)
    with Journal.open(path) as server:
        server.space("garden").append("x-acme-tag", {"n": True}, actor="bot", id=id, at=at)
    assert states(clone.space("garden").rescue()) == ["conflict"]


SCHEMA = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}


def declare(path: Path) -> None:
    """The server takes x-acme-tag."""
    with Journal.open(path) as server:
        descriptor.declare(server.store, "x-acme-tag", SCHEMA)  # type: ignore[arg-type]


def rehearsed(clone: Journal, **asked: Any) -> Rescue:
    """A rescue of the garden that did what its rehearsal said."""
    before = refs(clone)
    dry = clone.space("garden").rescue(dry_run=True, **asked)
    assert refs(clone) == before
    real = clone.space("garden").rescue(**asked)
    assert (dry.outcome, states(dry), dry.pushed, dry.kept) == (real.outcome, states(real), real.pushed, real.kept)
    return real


def test_what_is_refused_holds_up_what_is_behind_it(path: Path, clones: Any) -> None:
    """An extension that the server forgot, and a decision that is too large by now: in order, as each is put right."""
    fill(path, *names("0"))
    backup(path)
    declare(path)
    with Journal.open(path) as server:
        room = server.space("garden")
        room.append(*names("1"), actor="bot")
        tag = room.append("x-acme-tag", {"page": "s:0"}, actor="bot")
        large = room.append(AliasSet("large", "s:" + "x" * 1900), actor="bot")
        room.append(*names("2"), actor="bot")
    clone = clones("clone")
    ours = tip(path)
    restore(path)
    fill(path, *names("other"))
    configure(path, maxDecisionBytes=1500)
    before = refs(clone)
    for first in ("appended", "there"):
        rescued = rehearsed(clone)
        assert (rescued.outcome, states(rescued)) == ("unfinished", [first, "refused", "waiting", "waiting"])
        assert (rescued.kept, refs(clone)) == (None, before)
    reasons = [fate.reason or "" for fate in rescued.fates]
    assert "refs/coordjournal-meta/origin:schemas/x-acme-tag.json" in reasons[1]
    for reason in reasons[2:]:
        assert reason.startswith(f"behind garden@2 ({tag.decision.id}), which has not landed: undeclared-type")
    with pytest.raises(JournalRewound):
        clone.sync()
    declare(path)
    rescued = rehearsed(clone)
    assert states(rescued) == ["there", "appended", "refused", "waiting"]
    assert (rescued.fates[2].reason or "").startswith("too-large")
    assert f"behind garden@3 ({large.decision.id})" in (rescued.fates[3].reason or "")
    configure(path, maxDecisionBytes=65536)
    rescued = rehearsed(clone)
    assert (rescued.outcome, states(rescued)) == ("joined", ["there", "there", "appended", "appended"])
    assert git(clone.store.git_dir, "rev-parse", rescued.kept or "") == ours  # type: ignore[union-attr]
    due = [fate.was.decision.id for fate in rescued.fates]
    assert [item.decision.id for item in clone.space("garden").log(since=2)] == due
    assert clone.sync() == []


@EVERY_KIND
def test_what_was_closed_stays_closed_and_what_was_set_last_counts(path: Path, clones: Any) -> None:
    """Whatever the server refuses for a while, the state that it ends with is the one that was lost."""
    fill(path, *names("0"))
    backup(path)
    made = OverlayCreated("o", "s:p", None, b"x" * 3000)
    fill(path, made, OverlayClosed("o", "discarded"), AliasSet("n", "s:" + "x" * 1900), AliasSet("n", "s:last"))
    clone = clones("clone")
    assert clone.space("garden").state().overlays == ()
    restore(path)
    fill(path, *names("other"))
    small = {"maxAttachmentBytes": 1000, "maxDecisionBytes": 1500}
    guarded = git(path, "for-each-ref", "refs/meta") != ""
    if guarded:
        configure(path, **small)
        assert states(rehearsed(clone)) == ["refused", "waiting", "waiting", "waiting"]
        configure(path, maxAttachmentBytes=4000)
        assert states(rehearsed(clone)) == ["appended", "appended", "refused", "waiting"]
        configure(path, maxDecisionBytes=65536)
    rescued = rehearsed(clone)
    assert rescued.outcome == "joined"
    state = clone.space("garden").state()
    assert state.overlays == ()
    assert state.resolve("n") == "s:last"


def test_nothing_lands_behind_what_only_the_server_refuses(
    path: Path, clones: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its administrator's own hook has a word too: of a batch, whatever is before it lands, and nothing behind it."""
    fill(path, *names("0"))
    backup(path)
    fill(path, *names(*"1234567"))
    clone = clones("clone")
    restore(path)
    fill(path, *names("other"))
    lost = [item.decision.id for item in clone.space("garden").log(since=1)]
    append_many = Space.append_many

    def fails(self: Space, intents: Any, **more: Any) -> list[Landed]:
        if lost[4] in [intent.decision.id for intent in intents]:
            raise Refused("update-hook", "not this one", "ref")
        return append_many(self, intents, **more)

    monkeypatch.setattr(Space, "append_many", fails)
    for done in ("appended", "there"):
        rescued = clone.space("garden").rescue()
        assert states(rescued) == [done] * 4 + ["refused", "waiting", "waiting"]
        assert [line["id"] for line in map(json.loads, lines(path)[2:])] == lost[:4]
    skipping = clone.space("garden").rescue(skip_refused=True)
    assert (skipping.outcome, states(skipping)) == ("joined", ["there"] * 4 + ["given-up", "appended", "appended"])
    assert (skipping.fates[4].now, skipping.fates[4].reason) == (None, "update-hook at ref: not this one")
    assert [line["id"] for line in map(json.loads, lines(path)[2:])] == lost[:4] + lost[5:]
    assert git(clone.store.git_dir, "log", "--format=%b", "-1", f"{skipping.kept}~2").count(lost[4]) == 1  # type: ignore[union-attr]


def test_what_was_given_up_is_not_appended_behind_what_came_after_it(path: Path, clones: Any) -> None:
    """By another clone, whose log may be shorter: it takes an explicit word again, and the state stays what it was."""
    declare(path)
    fill(path, *names("0"))
    backup(path)
    with Journal.open(path) as server:
        room = server.space("garden")
        room.append(*names("1"), actor="bot")
        tag = room.append("x-acme-tag", {"page": "s:0"}, actor="bot")
        room.append(DecisionRevoked(tag.decision.id), actor="bot")
        first, second = clones("first"), clones("second")
        third = clones("third")
        room.append(*names("2"), actor="bot")
        longer = clones("longer")
    restore(path)
    fill(path, *names("other"))
    git(path, "update-ref", "-d", "refs/meta/coordjournal")
    publish(path)
    assert states(rehearsed(first)) == ["appended", "refused", "waiting"]
    skipping = rehearsed(first, skip_refused=True)
    assert (skipping.outcome, states(skipping)) == ("joined", ["there", "given-up", "appended"])
    assert skipping.fates[2].void is not None  # what it revokes is not there
    declare(path)  # so that the server would take it now
    server_has = lines(path)
    for clone in (second, longer):
        again = rehearsed(clone)
        assert again.outcome == "unfinished"
        assert states(again)[:3] == ["there", "refused", "there"]
        assert f"garden@3 ({again.fates[2].was.decision.id}) is in the server's log already, as Seq 3" in (
            again.fates[1].reason or ""
        )
    assert states(again)[3:] == ["waiting"]
    assert lines(path) == server_has
    assert states(rehearsed(second, skip_refused=True)) == ["there", "given-up", "there"]
    done = rehearsed(longer, skip_refused=True)
    assert (done.outcome, states(done)) == ("joined", ["there", "given-up", "there", "appended"])
    assert tag.decision.id not in [item.decision.id for item in longer.space("garden").log()]
    accepted = third.space("garden").rescue(accept=True)
    assert states(accepted) == ["there", "given-up", "there"]
    with pytest.raises(ValueError, match="nothing to skip"):
        third.rescue(accept=True, skip_refused=True)


def test_what_an_author_has_sent_again_costs_nobody_the_rest(path: Path, clones: Any) -> None:
    """A later one is at the server by its author's outbox: what was before it is not given up, and not appended behind
    it without a word."""
    fill(path, *names("0"))
    backup(path)
    sent = fill(path, *names(*"1234"))
    clone, later = clones("clone"), clones("later")
    restore(path)
    with Journal.open(path, appender="author") as server:
        server.space("garden").append_many([Intent(sent[2].decision)])
    rescued = rehearsed(clone)
    assert (rescued.outcome, states(rescued)) == ("unfinished", ["refused", "waiting", "there", "waiting"])
    done = rehearsed(clone, late=True)
    assert (done.outcome, states(done)) == ("joined", ["appended", "appended", "there", "appended"])
    assert [payload["target"] for payload in garden_of(clone)] == ["s:0", "s:3", "s:1", "s:2", "s:4"]
    assert states(rehearsed(later)) == ["there"] * 4


def test_what_the_backup_has_in_its_inbox_costs_nobody_the_rest(path: Path, clones: Any) -> None:
    """An intent waited when the backup was taken, and landed behind others afterwards."""
    fill(path, *names("0"))
    clone, author = clones("clone"), clones("author")
    with Journal.open(path, appender="holder") as server:
        room = server.space("garden")
        lease = room.lease("holder", renew=False)  # which is gone with the server
        with pytest.raises(Queued):
            author.space("garden").append(*names("late"), actor="bob")
        backup(path)
        for payload in names("1", "2"):
            room.append(payload, actor="holder")
        assert len(lease.serve_once()) == 1
        clone.sync()
    restore(path)
    git(path, "update-ref", "refs/spaces/garden", "refs/spaces/garden~1")  # nobody holds the lease there
    fill(path, *names("other"))
    rescued = rehearsed(clone)
    assert (rescued.outcome, states(rescued)) == ("unfinished", ["left-out", "refused", "waiting", "waiting"])
    assert "is in the server's inbox already" in (rescued.fates[1].reason or "")
    assert rescued.fates[3].reason == "it waits in the server's inbox, and may land from there"
    done = rehearsed(clone, late=True)
    assert (done.outcome, states(done)) == ("joined", ["left-out", "appended", "appended", "appended"])
    assert [payload["alias"] for payload in garden_of(clone)] == ["n0", "nother", "nlate", "n1", "n2"]


def test_what_an_earlier_rescue_has_filed_is_not_given_up(path: Path, clones: Any) -> None:
    """It waits in the inbox, one was refused, the next is let in by an explicit word: each lands in its turn."""
    fill(path, *names("0"))
    declare(path)
    backup(path)
    with Journal.open(path) as server:
        room = server.space("garden")
        room.append(*names("1"), actor="bot")
        tag = room.append("x-acme-tag", {"page": "s:0"}, actor="bot")
        room.append_many([room.intent(payload, actor="bot") for payload in names("2", "3")])
    clone, other, accepting = clones("clone"), clones("other"), clones("accepting")
    restore(path)
    git(path, "update-ref", "-d", "refs/meta/coordjournal")
    publish(path)
    with Journal.open(path, appender="holder") as server, server.space("garden").lease("holder") as lease:
        before = refs(clone)
        for _ in range(2):
            rescued = rehearsed(clone)
            assert (rescued.outcome, states(rescued)) == ("unfinished", ["waiting", "refused", "waiting", "waiting"])
            assert [item.id for item in server.space("garden").inbox()] == [rescued.fates[0].was.decision.id]
        skipping = rehearsed(clone, skip_refused=True)
        assert (skipping.outcome, states(skipping)) == ("unfinished", ["waiting", "given-up", "waiting", "waiting"])
        assert len(server.space("garden").inbox()) == 3
        again = rehearsed(other)  # of what is in the inbox one is behind it already
        assert states(again) == ["waiting", "refused", "waiting", "waiting"]
        assert f"garden@3 ({again.fates[2].was.decision.id}) is in the server's inbox" in (again.fates[1].reason or "")
        accepted = rehearsed(accepting, accept=True)
        assert (accepted.outcome, states(accepted)) == ("accepted", ["waiting", "given-up", "waiting", "waiting"])
        assert refs(clone) == before
        assert [landed.decision.payload["alias"] for landed in lease.serve_once()] == ["n1", "n2", "n3"]
    done = rehearsed(clone, skip_refused=True)
    assert (done.outcome, states(done)) == ("joined", ["there", "given-up", "there", "there"])
    for journal in (clone, accepting):
        journal.sync()
        assert journal.space("garden").state().find_id(tag.decision.id) is None
        assert [payload["alias"] for payload in garden_of(journal) if "alias" in payload] == ["n0", "n1", "n2", "n3"]


def test_what_is_filed_lands_in_order_behind_a_later_one_that_has_landed(path: Path, clones: Any) -> None:
    """What waits in the inbox is not late, though a later one is in the log."""
    fill(path, *names("0"))
    backup(path)
    sent = fill(path, *names("1", "2"))
    clone = clones("clone")
    restore(path)
    with Journal.open(path, appender="holder") as server, server.space("garden").lease("holder"):
        assert states(rehearsed(clone)) == ["waiting", "waiting"]
        server.space("garden").append_many([Intent(sent[1].decision)])  # out of turn, by its holder
        assert states(rehearsed(clone)) == ["waiting", "there"]
    assert states(rehearsed(clone)) == ["appended", "there"]


@pytest.mark.parametrize("path", ["sequencer", "compare-and-swap"], indirect=True)
def test_a_rehearsal_says_what_the_descriptor_and_the_log_there_tell(path: Path, clones: Any) -> None:
    """Of limits where the server is merely behind, and of a closed server and a lease where it has forked."""
    fill(path, *names("0"))
    backup(path)
    fill(path, *names("1"), OverlayCreated("o", "s:p", None, b"x" * 3000), AliasSet("n", "s:" + "x" * 1900))
    clone = clones("clone")
    restore(path)
    for limits in ({"maxAttachmentBytes": 1000}, {"maxAttachmentBytes": 4000, "maxDecisionBytes": 1500}):
        configure(path, **limits)
        told = [clone.space("garden").rescue(dry_run=dry) for dry in (True, False)]
        for rescued in told:
            assert (rescued.outcome, rescued.pushed) == ("unfinished", 0)
            assert isinstance(rescued.error, Refused) and rescued.error.code == "too-large"
        assert getattr(told[0].error, "seq", None) == (2 if "maxDecisionBytes" not in limits else 3)
    configure(path, readOnly="true")
    for _ in range(2):
        for dry in (True, False):
            with pytest.raises(Refused, match="read-only"):
                clone.space("garden").rescue(dry_run=dry)
        configure(path, readOnly="false")
        fill(path, *names("other"))
        configure(path, readOnly="true")
    configure(path, readOnly="false")
    assert states(rehearsed(clone)) == ["appended", "appended", "refused"]
    configure(path, maxDecisionBytes=65536)
    with Journal.open(path, appender="holder") as server, server.space("garden").lease("holder"):
        rescued = clone.space("garden").rescue(dry_run=True)
        assert (rescued.outcome, states(rescued)) == ("unfinished", ["there", "there", "waiting"])
        assert states(clone.space("garden").rescue(timeout=1.0)) == states(rescued)
    assert states(rehearsed(clone)) == ["there", "there", "appended"]


def test_a_shallow_clone_is_told_how_to_become_whole(path: Path, clones: Any, tmp_path: Path) -> None:
    """By commands that move no ref: one that did would take the log back to where the server is."""
    fill(path, *names("0"))
    backup(path)
    fill(path, *names("1", "2", "3"))
    whole = clones("whole")
    shallow = tmp_path / "shallow"
    log = "+refs/spaces/*:refs/coordjournal/origin/*"
    run("git", "clone", "--quiet", "--depth=1", f"file://{path}", shallow)
    git(shallow, "fetch", "--quiet", "--depth=2", "origin", log)
    restore(path)
    with Journal.open(shallow) as clone:
        for forked in (False, True):
            for more in ({}, {"dry_run": True}, {"accept": True}):
                with pytest.raises(GitFailed, match=r"this is a shallow clone.*--unshallow") as error:
                    clone.space("garden").rescue(**more)
            if not forked:
                fill(path, *names("other"))
        before = refs(clone)
        [of_remote, of_clone] = str(error.value).split("`")[1::2]
        run(*shlex.split(of_remote))
        assert refs(clone) == before
        run(*shlex.split(of_clone.replace("CLONE", str(whole.store.git_dir))))  # type: ignore[union-attr]
        assert refs(clone) == before
        assert states(clone.space("garden").rescue()) == ["appended"] * 3


@pytest.mark.parametrize("path", ["sequencer", "compare-and-swap"], indirect=True)
def test_while_somebody_holds_the_lease_nothing_is_given_up(path: Path, clones: Any) -> None:
    fill(path, *names("0"))
    backup(path)
    fill(path, *names("1", "2"))
    clone = clones("clone")
    restore(path)
    before = refs(clone)
    sequencing = clone.sequencing()
    with Journal.open(path, appender="holder") as server, server.space("garden").lease("holder") as lease:
        for _ in range(2):
            rescued = clone.space("garden").rescue(timeout=1.0)
            assert (rescued.outcome, states(rescued)) == ("unfinished", ["waiting"] * 2)
            assert refs(clone) == before
        if sequencing:
            assert [landed.decision.payload["alias"] for landed in lease.serve_once()] == ["n1", "n2"]
            assert states(clone.space("garden").rescue()) == ["there", "there"]
            assert clone.space("garden").state().seq == 4 - 1
    rescued = clone.space("garden").rescue()
    assert rescued.outcome == ("ahead" if sequencing else "joined")
    with Journal.open(path) as server:
        assert Counter(item.decision.type for item in server.space("garden").log())["alias-set"] == 3


def test_a_server_whose_log_breaks_the_law_is_no_way_forward(path: Path, clones: Any) -> None:
    fill(path, *names("0"))
    fill(path, *names("x"), space="other")
    backup(path)
    fill(path, *names("1"))
    fill(path, *names("y"), space="other")
    clone = clones("clone")
    restore(path)
    git(path, "update-ref", "refs/spaces/garden", decide(path, parent=tip(path), seq=7))
    before = refs(clone)
    for accept in (False, True):
        rescued = clone.space("garden").rescue(accept=accept)
        assert (rescued.outcome, getattr(rescued.error, "code", "")) == ("unfinished", "unlawful-log")
        assert refs(clone) == before
    assert [rescued.outcome for rescued in clone.rescue()] == ["unfinished", "pushed"]


# -- the other clones ------------------------------------------------------------------------------------------------


def test_every_other_clone_has_a_way_forward(path: Path, clones: Any) -> None:
    """One had heard less, one more than the clone that rescued first; one just accepts."""
    fill(path, *names("0"))
    backup(path)
    fill(path, *names("1"))
    less = clones("less")
    fill(path, *names("2"))
    first, accepting = clones("first"), clones("accepting")
    fill(path, *names("3"))
    more = clones("more")
    restore(path)
    fill(path, *names("other"))
    assert states(first.space("garden").rescue()) == ["appended"] * 2
    for journal in (less, accepting, more):
        with pytest.raises(JournalRewound, match="`coordjournal rescue --accept` gives it up"):
            journal.sync()
    assert states(less.space("garden").rescue()) == ["there"]
    accepted = accepting.space("garden").rescue(accept=True)
    assert (accepted.outcome, states(accepted)) == ("accepted", ["there", "there"])
    assert states(more.space("garden").rescue()) == ["there", "there", "appended"]
    for journal in (less, first, accepting, more):
        journal.sync()
        assert journal.space("garden").state().commit == tip(path)
        assert refs(journal).count("refs/coordjournal-rescued/") == 1
    assert [payload["target"] for payload in garden_of(less)] == ["s:0", "s:other", "s:1", "s:2", "s:3"]


@pytest.mark.parametrize("path", ["sequencer", "compare-and-swap"], indirect=True)
def test_clones_that_rescue_at_once_append_nothing_twice(path: Path, clones: Any) -> None:
    fill(path, *names("0"))
    backup(path)
    fill(path, *names(*"12345678"))
    racers = [clones(f"racer{number}") for number in range(3)]
    restore(path)
    fill(path, *names("other"))
    found: list[Rescue] = []
    threads = [threading.Thread(target=lambda j=j: found.append(j.space("garden").rescue())) for j in racers]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [rescued.outcome for rescued in found] == ["joined"] * 3
    due = ["s:0", "s:other", *(f"s:{n}" for n in range(1, 9))]
    for journal in racers:
        journal.sync()
        assert [payload["target"] for payload in garden_of(journal)] == due


# -- accepting -------------------------------------------------------------------------------------------------------


def test_accepting_gives_up_what_is_told_and_keeps_it(path: Path, clones: Any) -> None:
    """Of a server that is behind, that has forked, and that has no log any more."""
    fill(path, *names("0"))
    for space in ("behind", "forked"):
        fill(path, *names("0"), space=space)
    backup(path)
    for space in ("behind", "forked", "lost"):
        fill(path, *names("1", "2"), space=space)
    clone = clones("clone")
    tips = {space: tip(path, space) for space in ("behind", "forked", "lost")}
    restore(path)
    fill(path, *names("other"), space="forked")
    before, server = refs(clone), snapshot(path)
    dry = {rescued.space: rescued for rescued in clone.rescue(accept=True, dry_run=True)}
    assert refs(clone) == before
    found = {rescued.space: rescued for rescued in clone.rescue(accept=True)}
    assert snapshot(path) == server
    for space, rescued in found.items():
        if space == "garden":
            assert rescued.outcome == "same"
            continue
        assert (rescued.outcome, states(rescued)) == ("accepted", ["given-up"] * 2)
        assert (dry[space].fates, dry[space].kept, dry[space].dry_run) == (rescued.fates, rescued.kept, True)
        assert git(clone.store.git_dir, "rev-parse", rescued.kept or "") == tips[space]
    assert clone.sync() == []
    assert clone.spaces() == ["behind", "forked", "garden"]
    assert clone.space("lost").state().seq == -1
    assert clone.space("lost").append(*names("new"), actor="bob").seq == 0
    assert clone.space("behind").append(*names("new"), actor="bob").seq == 1
    with Journal.open(clone.store.git_dir) as again:
        assert again.space("forked").state().resolve("nother") == "s:other"


# -- what goes on afterwards -----------------------------------------------------------------------------------------


def test_the_outbox_is_sent_afterwards(path: Path, clones: Any) -> None:
    fill(path, *names("0"))
    backup(path)
    [one] = fill(path, *names("1"))
    clone = clones("clone")
    garden = clone.space("garden")
    with cut_off(path):
        for more in ({"decision": DecisionRevoked(one.decision.id)}, {"decision": AliasSet("late", "s:late")}):
            with pytest.raises(Queued):
                garden.append(**more, actor="bob")
        with pytest.raises(Queued):
            garden.append(AliasSet("expecting", "s:e"), actor="bob", expect=1)
    restore(path)
    fill(path, *names("other"))
    with pytest.raises(JournalRewound):
        clone.sync()
    assert clone.outbox is not None
    assert [entry.state for entry in clone.outbox.entries()] == ["waiting"] * 3
    assert states(garden.rescue()) == ["appended"]
    clone.sync()
    assert [(entry.state, entry.expect) for entry in clone.outbox.entries()] == [("rejected", 1)]
    assert [payload.get("target") for payload in garden_of(clone)] == ["s:0", "s:other", "s:1", None, "s:late"]
    assert garden.state().resolve("n1") is None


def test_a_checkpoint_of_what_was_lost_can_be_mended(path: Path, clones: Any) -> None:
    fill(path, *names("0"))
    backup(path)
    fill(path, *names("1", "2"))
    fill(path, *names("x"), space="new")
    clone = clones("clone")
    seen = clone.checkpoint()
    restore(path)
    fill(path, *names("other"))
    clone.rescue(["garden"])
    clone.rescue(["new"], accept=True)
    with pytest.raises(JournalRewound) as error:
        list(clone.changes(after=seen))
    mended = clone.mended(seen)
    assert list(mended.seen) == ["garden"]
    with pytest.raises(JournalRewound) as error:
        list(clone.changes(after=Checkpoint({"garden": seen.seen["garden"]})))
    assert error.value.common == 0
    news = [change.landed for change in clone.changes(after=mended)]
    assert [(landed.seq, landed.decision.payload["target"]) for landed in news] == [
        (1, "s:other"),
        (2, "s:1"),
        (3, "s:2"),
    ]
    assert clone.mended(clone.checkpoint()) == clone.checkpoint()
    for strange in ("1" * 40, "HEAD~1", "-x", "a\nb", ""):
        assert clone.mended(Checkpoint({"garden": strange})) == Checkpoint()


def test_projections_are_those_of_the_log_that_is_here(
    path: Path, clones: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the clone and of the server, where a journal that was open all along reads on too."""
    monkeypatch.setattr("coordjournal.space._PROJECTED", 4)
    fill(path, *names("0", "1", "2", "3", "4"))
    with Journal.open(path) as server:
        server.space("garden").state()
    backup(path)
    fill(path, *names("5", "6", "7"))
    clone = clones("clone")
    watcher = Journal.open(clone.store.git_dir)  # type: ignore[union-attr]
    old = clone.space("garden").state()
    assert watcher.space("garden").state().resolve("n7") == "s:7"
    restore(path)
    fill(path, AliasSet("n7", "s:another"))
    assert states(clone.space("garden").rescue()) == ["appended"] * 3
    for journal in (clone, Journal.open(clone.store.git_dir), Journal.open(path)):  # type: ignore[union-attr]
        state = journal.space("garden").state()
        assert (state.seq, state.resolve("n7"), state.find_id(old.landed(7).decision.id)) == (
            8,
            "s:7",
            state.landed(8),
        )
        found = Projection.open(journal.projection_path("garden") or "", "garden", journal.store)
        assert found is not None and found.tip in {landed.commit for landed in journal.space("garden").log()}
        found.close()
        if journal is not clone:
            journal.close()
    assert not (Path(clone.store.git_dir) / "coordjournal" / "rescue").exists()  # type: ignore[union-attr]
    with pytest.raises(JournalRewound):
        watcher.space("garden").state()
    assert watcher.space("garden").rescue().outcome == "same"
    assert watcher.space("garden").state().seq == 8
    watcher.close()
    assert old.resolve("n7") == "s:7"


def test_a_rehearsal_changes_nothing(path: Path, clones: Any) -> None:
    fill(path, *names("0"))
    for space in ("behind", "lost"):
        fill(path, *names("0"), space=space)
    backup(path)
    git(path.with_name("backup.git"), "update-ref", "-d", "refs/spaces/lost")
    fill(path, OverlayCreated("o", "s:p", None, "body"), *names("1"))
    fill(path, *names("1"), space="behind")
    clone = clones("clone")
    restore(path)
    fill(path, *names("other"))
    configure(path, maxDecisionBytes=60000)  # the descriptor is another one too
    git_dir = Path(clone.store.git_dir)  # type: ignore[union-attr]

    def all_but_objects() -> dict[str, Any]:
        """Of all files."""
        left_out = ("objects", "coordjournal/rescue.lock")
        found = {name: what for name, what in snapshot(git_dir).items() if not name.startswith(left_out)}
        return {name: what for name, what in found.items() if not stat.S_ISDIR(what[0])}

    before, server = all_but_objects(), snapshot(path)
    dry = {rescued.space: rescued for rescued in clone.rescue(dry_run=True)}
    assert (all_but_objects(), snapshot(path)) == (before, server)
    real = {rescued.space: rescued for rescued in clone.rescue()}
    assert {space: rescued.outcome for space, rescued in real.items()} == {
        "behind": "pushed",
        "garden": "joined",
        "lost": "pushed",
    }
    for space, rescued in dry.items():
        assert rescued.dry_run and not real[space].dry_run
        assert (rescued.outcome, rescued.pushed, states(rescued)) == (
            real[space].outcome,
            real[space].pushed,
            states(real[space]),
        )
    assert not [name for name in refs(clone).split() if "coordjournal-rescue/" in name]


# -- crashes ---------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from coordjournal import Journal, rescue, space

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

rescue._BATCH = 2
where = sys.argv[2]
if where == "before the log moves":
    rescue._Run._replace = die
elif where == "after it moved":
    space.Space.look_again = die
else:
    go_on, calls = space.Space.append_many, []
    def append_many(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 2:
            die()
        return go_on(self, *arguments, **more)
    space.Space.append_many = append_many
with Journal.open(sys.argv[1]) as journal:
    journal.rescue()
"""


@pytest.mark.parametrize("where", ["before the log moves", "after it moved", "between two pushes"])
def test_a_rescue_that_was_killed_goes_on(path: Path, clones: Any, where: str) -> None:
    fill(path, *names("0"))
    backup(path)
    fill(path, *names(*"12345"))
    clone = clones("clone")
    ours = tip(path)
    restore(path)
    fill(path, *names("other"))
    assert child(KILLED, clone.store.git_dir, where).returncode == -9  # type: ignore[union-attr]
    rescued = clone.space("garden").rescue()
    if where == "after it moved":
        assert rescued.outcome == "same"
    else:
        already = 5 if where == "before the log moves" else 2
        assert states(rescued) == ["there"] * already + ["appended"] * (5 - already)
    assert [payload["target"] for payload in garden_of(clone)] == ["s:0", "s:other", *(f"s:{n}" for n in range(1, 6))]
    assert git(clone.store.git_dir, "rev-parse", f"refs/coordjournal-rescued/origin/garden/5-{ours[:12]}") == ours
    assert not [name for name in refs(clone).split() if "coordjournal-rescue" in name and "rescued" not in name]
    assert clone.sync() == []


# -- any history -----------------------------------------------------------------------------------------------------


@settings(max_examples=3)
@given(seed=st.integers(0, 1 << 32), sequencing=st.booleans())
def test_whatever_was_acknowledged_is_on_the_server_once(
    seed: int, sequencing: bool, tmp_path_factory: pytest.TempPathFactory, _template: Path
) -> None:
    """A server is restored to any earlier point, some append, any clones rescue, accept or sync, in any order, and it
    happens again: whatever any clone that rescued had acknowledged is in the log exactly once, in the order in which it
    had it, and all converge."""
    chance = random.Random(seed)
    place = tmp_path_factory.mktemp("history")
    path = place / "journal.git"
    shutil.copytree(_template, path, symlinks=True)
    if not sequencing:
        run("git", "init", "--quiet", "--bare", place / "plain.git")
        path = place / "plain.git"
    fill(path, *names("first"))
    journals = [Journal.clone(str(path), place / f"clone{number}") for number in range(3)]
    acknowledged: set[bytes] = set()
    orders: list[list[bytes]] = []
    try:
        for again in (True, chance.random() < 0.5):
            if not again:
                break
            history = [tip(path)]
            for _ in range(2):
                news = [AliasSet(f"{chance.random()}", "s:before") for _ in range(chance.randrange(1, 4))]
                history += [landed.commit for landed in fill(path, *news)]
                for journal in chance.sample(journals, 2):
                    journal.sync()
            git(path, "update-ref", "refs/spaces/garden", chance.choice(history))
            fill(path, *(AliasSet(f"{chance.random()}", "s:after") for _ in range(chance.randrange(3))))
            for journal in chance.sample(journals, len(journals)):
                known = lines(journal.store.git_dir, "refs/coordjournal/origin/garden")  # type: ignore[union-attr]
                orders.append(known)
                rescued = journal.space("garden").rescue()
                assert rescued.outcome != "unfinished"
                acknowledged |= set(known)
                assert acknowledged <= set(lines(path))
                if chance.random() < 0.5:
                    fill(path, AliasSet(f"{chance.random()}", "s:between"))
        found = lines(path)
        assert max(Counter(json.loads(line)["id"] for line in found).values()) == 1
        assert acknowledged <= set(found)
        for known in orders:
            assert [line for line in found if line in known] == known
        for journal in journals:
            journal.sync()
            assert journal.space("garden").state().commit == tip(path)
            with Journal.open(path) as server:
                assert journal.space("garden").state().json() == server.space("garden").state().json()
        assert verified(path)
    finally:
        for journal in journals:
            journal.close()


@settings(max_examples=3)
@given(seed=st.integers(0, 1 << 32), sequencing=st.booleans())
def test_whatever_is_refused_meanwhile_the_order_stays(
    seed: int, sequencing: bool, tmp_path_factory: pytest.TempPathFactory, _template: Path
) -> None:
    """Clones that have heard more or less rescue in any order, and are interrupted, while limits and leases come and
    go: what has landed is always the first of what was lost, and nothing is ever taken for late."""
    chance = random.Random(seed)
    path = tmp_path_factory.mktemp("order") / "journal.git"
    shutil.copytree(_template, path, symlinks=True)
    if not sequencing:
        without_sequencing(path)
    fill(path, *names("first"))
    backup(path)
    journals = []
    for number in range(3):
        fill(path, *(AliasSet("n", "s:" + "x" * chance.choice((1, 900, 1900))) for _ in range(chance.randrange(1, 5))))
        journals.append(Journal.clone(str(path), path.parent / f"clone{number}"))
    due = [json.loads(line)["id"] for line in lines(path)[1:]]
    restore(path)
    fill(path, *names("other"))
    append_many = Space.append_many
    with pytest.MonkeyPatch.context() as patch, Journal.open(path, appender="holder") as server:
        patch.setattr(rescues, "_BATCH", 3)
        for turn in range(8):
            last = turn == 7
            configure(path, maxDecisionBytes=65536 if last else chance.choice((1000, 2000, 65536)))
            lease = None if last or chance.random() < 0.5 else server.space("garden").lease("holder", renew=False)
            left = [chance.randrange(6)]

            def dies(self: Space, *arguments: Any, **more: Any) -> list[Landed]:
                left[0] -= 1  # noqa: B023
                if left[0] < 0:  # noqa: B023
                    raise GitFailed("interrupted")
                return append_many(self, *arguments, **more)

            patch.setattr(Space, "append_many", append_many if last else dies)
            for journal in chance.sample(journals, len(journals)) if last else [chance.choice(journals)]:
                with suppress(GitFailed):
                    rescued = journal.space("garden").rescue(timeout=1.0)
                    assert not [fate for fate in rescued.fates if "would come behind" in (fate.reason or "")]
                    assert not last or rescued.outcome in ("joined", "ahead", "same")
            patch.setattr(Space, "append_many", append_many)
            if lease is not None:
                if chance.random() < 0.5:
                    lease.serve_once()
                lease.release()
            found = [json.loads(line) for line in lines(path)]
            let_go = {doc["payload"]["decision"] for doc in found if doc["type"] == "intent-refused"}
            left_over = [id for id in due if id not in let_go]  # a limit that is lower by now lets go of what is filed
            landed = [doc["id"] for doc in found if doc["id"] in due]
            assert landed == left_over[: len(landed)]
        assert landed == left_over
    for journal in journals:
        journal.close()
