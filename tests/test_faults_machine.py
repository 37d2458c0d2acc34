"""Faults of a machine that are no kill: disks, clocks, damage, git's own housekeeping, two versions, a move.

Of each: what was acknowledged is there once, the log stays lawful and whole, and it goes on when the fault is over.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from authority import Clock, configure, cut_off
from cli_support import cj
from faults.kills import entries
from faults.operations import OLD_VERSION, older_package
from support import decide, git, push, require, run

from coordjournal import (
    AliasSet,
    CoordjournalError,
    GitFailed,
    Intent,
    Journal,
    LeaseHeld,
    Queued,
    install,
    sync,
    transfer,
    verify,
)
from coordjournal.refs import META
from coordjournal.space import Space
from coordjournal.store import GitStore

Bare = Callable[..., Path]
Cloned = Callable[..., None]


def alias(space: Space, name: str) -> Intent:
    return space.intent(AliasSet(name, "shardA:Index"), actor="alice")


def append(place: Path, *intents: Intent, name: str = "Home") -> list[str]:
    """Appends as a program of its own would; the ids of what landed."""
    with Journal.open(place, extensions={}) as journal:
        space = journal.space("garden")
        return [one.decision.id for one in space.append_many(list(intents) or [alias(space, name)])]


def made(place: Path, count: int = 1) -> list[Intent]:
    with Journal.open(place, extensions={}) as journal:
        return [alias(journal.space("garden"), f"n{n}") for n in range(count)]


def ids(server: Path) -> list[str]:
    """The ids of the log, which has no gap and nothing twice."""
    found = entries(server)
    assert [entry.seq for entry in found] == list(range(len(found)))
    assert len({entry.id for entry in found}) == len(found)
    return [entry.id for entry in found]


def is_sound(server: Path) -> None:
    done = run("git", "-C", server, "fsck", "--connectivity-only", "--no-dangling", check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    with Journal.open(server, extensions={}) as journal:
        assert isinstance(journal.store, GitStore)
        for space, tip in journal.store.tips().items():
            verify.check(journal.store, space, tip)


def told(server: Path, check: str) -> list[tuple[str, str, str]]:
    """What the doctor has to say beyond "ok" to a question."""
    found = install.doctor(str(server), probe=False)
    return [(one.level, one.what, one.remedy) for one in found if one.check == check and one.level != "ok"]


# -- disks -------------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(place: Path) -> Iterator[Callable[[int], None]]:
    """A file system of 4 MiB in ``place``; what it gives leaves so many KiB free on it."""
    require(os.geteuid() == 0 and shutil.which("mount"), "root, to mount a small tmpfs")
    place.mkdir()
    done = run("mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=4096", "none", place, check=False)
    require(done.returncode == 0, "the right to mount a tmpfs")

    def leave(kib: int) -> None:
        ballast = place / "ballast"
        ballast.unlink(missing_ok=True)
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - kib * 1024 or 1)

    try:
        yield leave
    finally:
        run("umount", "-l", place)


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(cloned: Cloned, tmp_path: Path) -> None:
    """So many pages left, one more each time: each of the writes is the one that fails."""
    with small_disk(tmp_path / "disk") as leave:
        cloned(tmp_path, "alice", "bob")
        server = shutil.copytree(tmp_path / "journal.git", tmp_path / "disk" / "journal.git", symlinks=True)
        git(tmp_path / "alice", "remote", "set-url", "origin", str(server))
        failed = 0
        for pages in range(4):
            for place in (server, tmp_path / "alice"):
                before, intents = ids(server), made(tmp_path / "bob", 2)
                leave(4 * pages)
                try:
                    assert append(place, *intents) == [intent.decision.id for intent in intents]
                except (GitFailed, Queued) as error:
                    failed += 1
                    assert ids(server) == before, "a part of what was refused"
                    assert re.search("No space left|disk|cannot write|unable to (write|create)", str(error)), error
                leave(512)
                with Journal.open(place, extensions={}) as journal:
                    journal.send()
                append(place, *intents)
                assert ids(server) == [*before, *(intent.decision.id for intent in intents)]
        assert failed >= 2
        is_sound(server)
        assert told(server, "leftovers") == []


def test_a_clone_on_a_full_disk_sends_nothing_that_it_cannot_keep(cloned: Cloned, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as leave:
        cloned(tmp_path, "alice")
        alice = shutil.copytree(tmp_path / "alice", tmp_path / "disk" / "alice", symlinks=True)
        server, intents = tmp_path / "journal.git", made(tmp_path / "alice")
        append(server)
        leave(0)
        for _ in range(2):
            with pytest.raises(GitFailed, match="No space left"):
                append(alice, *intents)
        with Journal.open(alice, extensions={}) as journal, pytest.raises(GitFailed):
            journal.sync()
        before = ids(server)
        assert intents[0].decision.id not in before
        leave(512)
        append(alice, *intents)
        assert ids(server) == [*before, intents[0].decision.id]
        is_sound(alice)


def test_a_disk_that_can_only_be_read_answers_and_refuses(cloned: Cloned, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"):
        cloned(tmp_path, "alice")
        server = shutil.copytree(tmp_path / "journal.git", tmp_path / "disk" / "journal.git", symlinks=True)
        git(tmp_path / "alice", "remote", "set-url", "origin", str(server))
        intents, before = made(tmp_path / "alice"), ids(server)
        run("mount", "-o", "remount,ro", tmp_path / "disk")
        with pytest.raises(GitFailed, match="Read-only file system"):
            append(server, *intents)
        with pytest.raises((GitFailed, Queued), match=r"Read-only|unable to create temporary"):
            append(tmp_path / "alice", *intents)
        assert cj("-C", server, "resolve", "garden", "Home").out
        assert "lawful" in cj("verify", server).out
        assert ids(server) == before
        run("mount", "-o", "remount,rw", tmp_path / "disk")
        append(tmp_path / "alice", *intents)
        assert ids(server) == [*before, intents[0].decision.id]


# -- clocks ------------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_both_ways_stops_nothing(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the machine with the log: append times never fall, so that a log outlives a clock that was ahead."""
    server, clock = bare(), Clock(monkeypatch)
    done = []
    for jump in (0, 86400, -3 * 86400, 5, 86400, -86400, 0):
        clock.wall = jump
        done += append(server, name=f"at {jump}")
    assert ids(server) == done
    times = [int(line) for line in git(server, "log", "--reverse", "--format=%ct", "refs/spaces/garden").split()]
    assert times == sorted(times) and times[-1] - times[0] >= 86400
    is_sound(server)


@pytest.mark.parametrize("way", ["sequencer", "compare-and-swap"])
def test_a_client_whose_clock_is_wrong_delays_only_itself(
    cloned: Cloned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    cloned(tmp_path, "alice", "bob")
    server, alice, bob = (tmp_path / name for name in ("journal.git", "alice", "bob"))
    clock = Clock(monkeypatch)
    expect: dict[str, int] = {} if way == "sequencer" else {"expect": len(ids(server)) - 1}
    with Journal.open(alice, extensions={}) as journal:
        clock.wall = 86400
        with pytest.raises(CoordjournalError) as ahead:
            journal.space("garden").append(AliasSet("Ahead", "x"), actor="alice", **expect)
        assert "clock" in str(ahead.value) or ahead.value.code == "clock"
        clock.wall = -86400
        behind = journal.space("orchard").append(AliasSet("Behind", "x"), actor="alice")
        clock.wall = 0
    assert behind.seq == 0
    assert append(bob)[0] == ids(server)[-1]
    is_sound(server)


def test_a_lease_does_not_outlive_a_clock_that_jumped_ahead(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    server, clock = configure(bare(), clockSkew=10), Clock(monkeypatch)
    with Journal.open(server, extensions={}) as one, Journal.open(server, extensions={}) as two:
        held = one.space("garden").lease("node-a", ttl=60, renew=False)
        clock.wall = 3600
        with pytest.raises(CoordjournalError) as lost:
            one.space("garden").append(AliasSet("Home", "x"), actor="alice")
        assert lost.value.code == "lease-lost"
        other = two.space("garden").lease("node-b", ttl=60, renew=False)
        clock.wall = 0
        with pytest.raises((LeaseHeld, CoordjournalError)):
            one.space("garden").lease("node-a", ttl=60, renew=False)
        assert (held.term, other.term) == (1, 2)
        other.release()
    append(server)
    is_sound(server)


# -- damage ------------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    path.chmod(0o644)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


def loose(server: Path, commit: str) -> Path:
    return server / "objects" / commit[:2] / commit[2:]


@pytest.mark.parametrize("what", ["tip gone", "tip damaged", "older damaged", "pack damaged"])
def test_damage_to_the_log_is_named_and_heals_from_any_clone(cloned: Cloned, tmp_path: Path, what: str) -> None:
    cloned(tmp_path, "alice")
    server, alice = tmp_path / "journal.git", tmp_path / "alice"
    for name in "abc":
        append(alice, name=name)
    before = ids(server)
    commit = entries(server)[1 if what == "older damaged" else -1].commit
    if what == "pack damaged":
        git(server, "gc", "--quiet")
        [path] = (server / "objects" / "pack").glob("*.pack")
        flip(path)
    else:
        path = loose(server, commit)
        if what == "tip gone":
            path.unlink()
        else:
            flip(path)
    said = cj("verify", server, status=1)
    assert "broken  garden" in said.out and ("missing" in said.out or "damaged" in said.out)
    intents = made(alice)
    with pytest.raises((GitFailed, Queued)):
        append(alice, *intents)
    # docs/reliability.md has these commands.
    path.unlink(missing_ok=True)
    path.with_suffix(".idx").unlink(missing_ok=True)
    names = git(alice, "rev-list", "--objects", "refs/coordjournal/origin/garden", "refs/coordjournal-meta/origin")
    pack = ["git", "-C", alice, "pack-objects", "--quiet", "--stdout"]
    packed = subprocess.run(pack, input=names.encode(), capture_output=True, check=True)
    git(server, "unpack-objects", "-q", stdin=packed.stdout)
    assert "lawful" in cj("verify", server).out
    append(alice, *intents)
    assert ids(server) == [*before, intents[0].decision.id]
    is_sound(server)
    assert [one for one in install.doctor(str(server)) if one.level != "ok"] == []


def tag(place: Path) -> None:
    with Journal.open(place, extensions={}) as journal:
        space = journal.space("garden")
        assert space.append("x-acme-tag", {"page": "s:P"}, actor="alice").seq


def declare(server: Path, kind: str, schema: Path) -> None:
    cj("-C", server, "schema", "declare", kind, schema)


# Each object that a descriptor is made of, lost in either way.
any_part = pytest.mark.parametrize(
    "part", ["", "^{tree}", ":coordjournal.json", ":schemas", ":schemas/x-acme-tag.json"]
)
either_way = pytest.mark.parametrize("how", ["gone", "damaged"])


@either_way
@any_part
def test_a_lost_descriptor_is_named_and_comes_back_from_any_clone(
    cloned: Cloned, tmp_path: Path, part: str, how: str
) -> None:
    cloned(tmp_path, "alice")
    server, alice = tmp_path / "journal.git", tmp_path / "alice"
    schema, other = tmp_path / "schema.json", tmp_path / "other.json"
    schema.write_text('{"type":"object","required":["page"]}')
    other.write_text('{"type":"array"}')
    declare(server, "x-acme-tag", schema)
    cj("-C", alice, "sync")
    tag(alice)
    before, ref = ids(server), git(server, "rev-parse", META)
    oid = git(server, "rev-parse", META + part)
    (flip if how == "damaged" else Path.unlink)(loose(server, oid))
    [(level, what, remedy)] = told(server, "descriptor")
    assert level == "error" and what.startswith(f"{META} needs the object {oid}, which is missing or damaged")
    if part != ":coordjournal.json":  # which no judge reads
        for place in (server, alice):
            named = f"needs the .* {oid}" if how == "gone" or place == server else f"{META} declares cannot be read"
            with pytest.raises(CoordjournalError, match=named) as caught:
                tag(place)
            assert "undeclared" not in str(caught.value)
        with Journal.open(alice, extensions={}) as journal:
            assert journal.outbox and journal.outbox.entries() == []
    for words in (
        ("-C", server, "schema", "declare", "x-acme-tag", other),
        ("-C", server, "schema", "declare", "x-acme-new", other),
        ("install", server),
    ):
        assert oid in cj(*words, status=1).err, words
    assert git(server, "for-each-ref", "--format=%(objectname)", META) == ref and ids(server) == before
    # As the doctor says, and docs/operations.md.
    command = remedy[remedy.index("mv " if how == "damaged" else "git -C") :].replace("CLONE", str(alice))
    assert ("/var/tmp/" in command) is (how == "damaged")
    run("sh", "-ec", command.replace("/var/tmp/", str(tmp_path)))
    assert told(server, "descriptor") == []
    tag(alice)
    tag(server)
    assert "another schema" in cj("-C", server, "schema", "declare", "x-acme-tag", other, status=1).err
    is_sound(server)


def test_a_descriptor_that_is_damaged_in_a_pack(cloned: Cloned, tmp_path: Path) -> None:
    cloned(tmp_path, "alice")
    server, alice = tmp_path / "journal.git", tmp_path / "alice"
    schema = tmp_path / "schema.json"
    schema.write_text('{"type":"object"}')
    declare(server, "x-acme-tag", schema)
    cj("-C", alice, "sync")
    before = ids(server)
    oid = git(server, "rev-parse", f"{META}:schemas/x-acme-tag.json")
    git(server, "gc", "--quiet")
    [path] = (server / "objects" / "pack").glob("*.pack")
    [line] = [line for line in git(server, "verify-pack", "-v", str(path)).split("\n") if line.startswith(oid)]
    raw, at = bytearray(path.read_bytes()), int(line.split()[4])
    raw[at + 3] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(raw)
    [(level, what, remedy)] = told(server, "descriptor")
    assert level == "error" and oid in what and remedy.startswith("Is it damaged in a pack, take that apart first")
    # As docs/operations.md says.
    for file in path.parent.glob(f"{path.stem}.*"):
        file.rename(tmp_path / file.name)
    run("git", "-C", server, "unpack-objects", "-q", "-r", stdin=bytes(raw), check=False)
    run("sh", "-ec", remedy[remedy.index("git -C") :].replace("CLONE", str(alice)))
    assert told(server, "descriptor") == [] and ids(server) == before
    tag(alice)
    is_sound(server)


@either_way
@any_part
def test_a_descriptor_that_a_clone_lost_comes_from_the_server(
    cloned: Cloned, tmp_path: Path, part: str, how: str
) -> None:
    cloned(tmp_path, "alice")
    server, alice = tmp_path / "journal.git", tmp_path / "alice"
    schema = tmp_path / "schema.json"
    schema.write_text('{"type":"object"}')
    declare(server, "x-acme-tag", schema)
    cj("-C", alice, "sync")
    oid = git(alice, "rev-parse", "refs/coordjournal-meta/origin" + part)
    git(alice, "unpack-objects", "-q", stdin=packs_moved_away(alice))
    (flip if how == "damaged" else Path.unlink)(loose(alice / ".git", oid))
    with pytest.raises(GitFailed, match=f"needs the .* {oid}, which is missing or damaged") as caught:
        tag(alice)
        with Journal.open(alice, extensions={}) as journal:
            journal.settings()
    for command in re.findall("`((?:rm|git) [^`]*)`", str(caught.value)):
        run("sh", "-ec", command)
    cj("-C", alice, "sync")
    tag(alice)
    is_sound(server)


def packs_moved_away(clone: Path) -> bytes:
    """All packs of a clone as one, which are gone from it."""
    names = git(clone, "rev-list", "--objects", "--all")
    pack = ["git", "-C", clone, "pack-objects", "--quiet", "--stdout"]
    packed = subprocess.run(pack, input=names.encode(), capture_output=True, check=True)
    for path in (clone / ".git" / "objects" / "pack").iterdir():
        path.unlink()
    return packed.stdout


@pytest.mark.parametrize("content", [b"", b"rubbish\n", b"\0" * 41])
@pytest.mark.parametrize("logged", [True, False])
def test_a_ref_of_a_clone_that_git_cannot_read(cloned: Cloned, tmp_path: Path, content: bytes, logged: bool) -> None:
    """It may be all that is left of a log: nobody takes it for one that is not there."""
    cloned(tmp_path, "alice")
    server, alice = tmp_path / "journal.git", tmp_path / "alice"
    append(alice)
    ref = "refs/coordjournal/origin/garden"
    before, tip = git(alice, "for-each-ref"), git(alice, "rev-parse", ref)
    path, reflog = alice / ".git" / ref, alice / ".git" / "logs" / ref
    path.write_bytes(content)
    if logged:
        reflog.write_bytes(reflog.read_bytes() + content)
    else:
        reflog.unlink()
    said = set()
    for words in (
        *("sync", "spaces", "rescue", "rescue --accept", "rescue --dry-run garden", "state garden", "log garden"),
        *("resolve garden Home", "alias set garden New shardA:New"),
    ):
        said.add(cj("-C", alice, *words.split(), status=1).err.replace("  -> ", ""))
    [told] = said
    assert f"git-failed: git cannot read the file of {ref}" in told and "when the remote answers" not in told
    with Journal.open(alice) as journal, pytest.raises(CoordjournalError, match=f"cannot read the file of {ref}"):
        orchard = journal.space("orchard")
        orchard.append_many([alias(orchard, "Home")], queue=False)
    [command] = re.findall("`(rm [^`]*)`", told)
    run("sh", "-ec", command)
    cj("-C", alice, "sync")
    assert git(alice, "rev-parse", ref) == tip
    assert git(alice, "for-each-ref", ref) in before
    append(alice, name="again")
    assert cj("-C", alice, "verify", alice).out.count("lawful") == 2
    is_sound(server)


@pytest.mark.parametrize("what", ["commit empty", "commit damaged", "older damaged", "pack damaged"])
def test_a_damaged_clone_is_not_a_remote_that_does_not_answer(cloned: Cloned, tmp_path: Path, what: str) -> None:
    cloned(tmp_path, "alice", "bob")
    server, alice, bob = (tmp_path / name for name in ("journal.git", "alice", "bob"))
    for name in "abc":
        append(bob, name=name)
    cj("-C", alice, "sync")
    ref, packs = "refs/coordjournal/origin/garden", alice / ".git" / "objects" / "pack"
    if what == "pack damaged":
        git(alice, "gc", "--quiet")
        [path] = packs.glob("*.pack")
        raw = bytearray(path.read_bytes())
        for at in range(20, len(raw) - 20, 20):
            raw[at] ^= 0xFF
        path.chmod(0o644)
        path.write_bytes(raw)
    else:
        packed = packs_moved_away(alice)
        git(alice, "unpack-objects", "-q", stdin=packed)
        path = loose(alice / ".git", git(alice, "rev-parse", ref + ("~1" if what == "older damaged" else "")))
        if what == "commit empty":
            path.chmod(0o644)
            path.write_bytes(b"")
        else:
            flip(path)
    append(bob, name="d")
    said = cj("-C", alice, "sync", status=1).err
    assert "git-failed" in said and "remote answers" not in said
    assert (str(path) in said and "This clone is damaged" in said) or "`git fsck` may tell" in said
    # As docs/operations.md says.
    path.rename(tmp_path / "damaged")
    path.with_suffix(".idx").unlink(missing_ok=True)
    git(alice, "fetch", "--refetch", "--no-filter", "--no-write-fetch-head", "origin", "refs/spaces/garden", META)
    cj("-C", alice, "sync")
    assert "lawful" in cj("verify", alice).out
    append(alice, name="e")
    is_sound(server)
    is_sound(alice)


@pytest.mark.parametrize("cache", ["fold/garden.sqlite", "ids/garden"])
def test_damage_to_what_is_derived_heals_by_itself(cloned: Cloned, tmp_path: Path, cache: str) -> None:
    cloned(tmp_path, "alice")
    server, alice = tmp_path / "journal.git", tmp_path / "alice"
    with Journal.open(server, extensions={}) as journal:
        space = journal.space("garden")
        space.append_many([alias(space, f"n{n}") for n in range(300)])
        due = space.state().json()
    append(alice)
    path = server / "coordjournal" / cache
    for damage in (flip, lambda path: path.write_bytes(b""), lambda path: os.truncate(path, 100)):
        damage(path)
        append(alice)
        with Journal.open(server, extensions={}) as journal:
            assert journal.space("garden").state(at=due["seq"]).json() == due
    ids(server)


def test_a_damaged_entry_is_set_aside_and_the_rest_is_sent(cloned: Cloned, tmp_path: Path) -> None:
    cloned(tmp_path, "alice")
    server, alice = tmp_path / "journal.git", tmp_path / "alice"
    with cut_off(server):
        for name in "ab":
            with pytest.raises(Queued):
                append(alice, name=name)
    folder = next(alice.rglob("coordjournal/outbox"))
    first, second = sorted(folder.glob("*.entry"))
    flip(first)
    content = first.read_bytes()
    sent = cj("-C", alice, "sync")
    assert f"{first} is damaged" in sent.err and "`coordjournal outbox drop 1 --yes` sets it aside" in sent.err
    assert not second.exists() and len(ids(server)) == 2
    assert "drop 1" in cj("-C", alice, "outbox").err
    assert "Nothing was changed" in cj("-C", alice, "outbox", "drop", "1", status=1).err
    out = cj("-C", alice, "outbox", "drop", "1", "--yes")
    aside = folder / "set-aside" / first.name
    assert out.out == f"set aside 1: {aside}\n" and "append it again" in out.err
    assert aside.read_bytes() == content
    assert cj("-C", alice, "outbox").out == "nothing waits\n" and "damaged" not in cj("-C", alice, "sync").err
    assert "no entry '1'" in cj("-C", alice, "outbox", "drop", "1", status=1).err
    with cut_off(server), pytest.raises(Queued):
        append(alice)
    assert [path.name for path in folder.glob("*.entry")] == [f"{3:016}.entry"]  # its number is not given again


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_damaged_intent_is_passed_over_and_named(cloned: Cloned, tmp_path: Path, how: str) -> None:
    cloned(tmp_path, "alice", "bob")
    server, alice, bob = (tmp_path / name for name in ("journal.git", "alice", "bob"))
    before = ids(server)
    with Journal.open(server, extensions={}) as journal:
        lease = journal.space("garden").lease("node-a", renew=False)
        for name in "ab":
            with pytest.raises(Queued):
                append(alice, name=name)
        listed = git(server, "for-each-ref", "--format=%(refname) %(objectname)", "refs/intents")
        ref, commit = listed.splitlines()[0].split()
        (flip if how == "damaged" else Path.unlink)(loose(server, commit))
        [landed] = lease.serve_once()
        assert list(lease.unreadable) == [ref.partition("-")[2]]
        assert lease.serve_once() == [] and list(lease.unreadable) == [ref.partition("-")[2]]
        lease.release()
    [(level, what, remedy)] = told(server, "inbox")
    assert level == "error" and what.startswith(f"{ref} names {commit}, which is missing or damaged")
    with pytest.raises(GitFailed, match="missing necessary objects"):
        append(bob)  # git itself takes no push
    command = remedy[remedy.index("git -C") :]
    run("sh", "-c", command)
    assert told(server, "inbox") == []
    with Journal.open(alice, extensions={}) as journal:
        journal.send()
        assert journal.outbox and journal.outbox.entries() == []
    found = ids(server)
    assert landed.decision.id in found and ref.partition("-")[2] in found
    assert len(found) == len(before) + 2 + 2  # and the lease, taken and released
    if how == "damaged":
        loose(server, commit).unlink(missing_ok=True)  # nothing names it any more
    is_sound(server)


# -- git's housekeeping ------------------------------------------------------------------------------------------------

_HOUSEKEEPING = [
    ("gc", "--quiet"),
    ("repack", "-a", "-d", "-q"),
    ("pack-refs", "--all", "--prune"),
    ("prune", "--expire=2.weeks.ago"),
    ("gc", "--quiet", "--prune=1.hour.ago"),
    ("repack", "-A", "-d", "-q", "--write-bitmap-index"),
    ("reflog", "expire", "--all", "--expire=now"),
]


def test_housekeeping_all_the_time_loses_nothing(cloned: Cloned, tmp_path: Path) -> None:
    cloned(tmp_path, "alice", "bob")
    server = tmp_path / "journal.git"
    before, done, failed = ids(server), threading.Event(), []
    rounds = 0

    def keep_house(place: Path) -> None:
        nonlocal rounds
        while not done.is_set():
            for words in _HOUSEKEEPING:
                subprocess.run(["git", "-C", place, *words], capture_output=True, check=False)
            rounds += 1

    landed: list[str] = []

    def write(place: Path) -> None:
        until = time.monotonic() + 2.5
        number = 0
        while time.monotonic() < until or number < 3:
            number += 1
            intents = made(place, (1, 12, 70)[number % 3])
            try:
                landed.extend(append(place, *intents))
            except (Queued, GitFailed) as error:
                failed.append(f"{place.name}: {error}")
                landed.extend(append(place, *intents))

    keepers = [threading.Thread(target=keep_house, args=(place,)) for place in (server, tmp_path / "alice")]
    places = (server, tmp_path / "alice", tmp_path / "bob")
    writers = [threading.Thread(target=write, args=(place,)) for place in places]
    for thread in (*keepers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in keepers:
        thread.join()
    for place in (tmp_path / "alice", tmp_path / "bob"):
        with Journal.open(place, extensions={}) as journal:
            journal.send()
    found = ids(server)
    assert failed == []
    assert rounds and sorted(found) == sorted([*before, *landed])
    for place in places:
        is_sound(place)


REPACK = "(unset $(git rev-parse --local-env-vars); for dir; do git -C $dir repack -a -d -q || exit; done) >&2"


@pytest.mark.parametrize("count", [1, 20, 150])
@pytest.mark.parametrize("way", ["embedded", "sequencer", "compare-and-swap", "import"])
def test_a_repack_while_no_ref_names_it_takes_nothing(
    cloned: Cloned, tmp_path: Path, way: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`git repack -a -d` in the very moment between the objects and the ref, in the server and in the clone."""
    cloned(tmp_path, "alice", "bob")
    server, clone = tmp_path / "journal.git", tmp_path / "alice"
    place = server if way in ("embedded", "import") else clone
    repack = ["sh", "-c", REPACK, "repack", str(server), str(clone)]
    (server / "hooks" / "update").write_text(f"#!/bin/sh\nset -- {server} {clone}\n{REPACK}\n")
    (server / "hooks" / "update").chmod(0o755)
    move, moved = GitStore.move_ref, []

    def late(store: GitStore, *words: Any) -> bool | None:
        subprocess.run(repack, check=True)
        moved.append(words)
        return move(store, *words)

    monkeypatch.setattr(GitStore, "move_ref", late)
    if way == "import":
        asked = [json.dumps(line) for line in exported(tmp_path / "other", count)]
        with Journal.open(place, extensions={}) as journal:
            transfer.land(journal, "other", transfer.plan(journal, "other", (line.encode() for line in asked)))
            assert journal.space("other").state().seq == count - 1
    else:
        intents = made(place, count)
        with Journal.open(place, extensions={}) as journal:
            when = (lambda _: True) if way == "compare-and-swap" else None
            landed = journal.space("garden").append_many(intents, when=when)
        assert [one.decision.id for one in landed] == ids(server)[1:]
    assert moved or way == "sequencer"  # where a sync moves what is much
    monkeypatch.undo()
    subprocess.run(repack, check=True)
    for path in (server, clone):
        is_sound(path)
        assert not list(path.rglob("*.keep"))


def exported(path: Path, count: int) -> list[dict[str, Any]]:
    """The export of another journal's space."""
    install.init(str(path))
    with Journal.open(path, extensions={}) as journal:
        space = journal.space("other")
        space.append_many([alias(space, f"n{n}") for n in range(count)])
        return list(transfer.export(journal, "other"))


def test_a_repack_takes_nothing_of_what_a_clone_reads_back(
    cloned: Cloned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a hundred objects on a fetch leaves a pack."""
    cloned(tmp_path, "alice")
    append(tmp_path / "journal.git", *made(tmp_path / "journal.git", 150))
    check = sync._checked

    def late(*words: Any) -> sync.Moved:
        git(tmp_path / "alice", "repack", "-a", "-d", "-q")
        return check(*words)

    monkeypatch.setattr(sync, "_checked", late)
    append(tmp_path / "alice")
    with Journal.open(tmp_path / "alice", extensions={}) as journal:
        assert journal.space("garden").state().seq == 151
    is_sound(tmp_path / "alice")


def test_a_push_does_not_overwrite_what_has_landed_while_it_ran(prefix: str, tmp_path: Path) -> None:
    """receive-pack compares with packed-refs as it was when it began, where a later one has its inode, size and second;
    here that later one is written while a hook of the administrator's runs."""
    server = tmp_path / "journal.git"
    install.init(str(server), prefix=prefix, sequencing=False)
    first = append(server, name="first")
    Journal.clone(str(server), tmp_path / "alice").close()
    old = git(server, "rev-parse", "refs/spaces/garden")
    bobs = append(server, name="bob")
    new = git(server, "rev-parse", "refs/spaces/garden")
    git(server, "update-ref", "refs/spaces/garden", old)
    git(server, "pack-refs", "--all")
    path = server / "hooks" / "update"
    path.write_text(
        f"#!{sys.executable}\nwith open('packed-refs', 'r+') as file:\n"
        f"    text = file.read().replace('{old}', '{new}')\n    file.seek(0)\n    file.write(text)\n"
    )
    path.chmod(0o755)
    done = push(tmp_path / "alice", server, f"{decide(tmp_path / 'alice', parent=old, seq=1)}:refs/spaces/garden")
    assert done.returncode, done.stderr  # git dies of a refusal at that moment, and tells the client no more
    assert ids(server) == [*first, *bobs]
    git(server, "update-ref", "refs/spaces/garden", old)
    git(server, "pack-refs", "--all")
    alices = append(tmp_path / "alice", name="alice")
    assert ids(server) == [*first, *bobs, *alices]
    is_sound(server)


# -- two versions, a move ----------------------------------------------------------------------------------------------


def test_two_versions_serve_one_repository(tmp_path: Path) -> None:
    """An older package installed the hooks and goes on to append; a later one appends beside it, and upgrades."""
    older = older_package(tmp_path / "older")
    server, prefix = tmp_path / "journal.git", tmp_path / "prefix"
    env = {"PYTHONPATH": str(older)}

    def old(code: str, *words: object) -> str:
        words = (sys.executable, "-c", f"import sys, coordjournal as c\n{code}", *map(str, words))
        return run(*words, cwd=older, env=env).stdout

    with_old = (
        "with c.Journal.open(sys.argv[1], extensions={}) as j:\n"
        "    print(c.__version__, j.space('garden').append(c.AliasSet('Home', 'x'), actor='a').decision.id)"
    )
    old("from coordjournal import install; install.init(sys.argv[1], prefix=sys.argv[2])", server, prefix)
    alice = tmp_path / "alice"
    Journal.clone(str(server), alice, extensions={}).close()
    due = []
    for step in ("before", "after"):
        for place in (server, alice):
            version, id = old(with_old, place).split()
            assert version == OLD_VERSION
            due += [id, *append(place)]
        findings = told(server, "package")
        if step == "before":
            assert any(f"the hooks run coordjournal {OLD_VERSION}" in what for _, what, _ in findings), findings
            install.upgrade(str(server))
        else:
            assert findings == []
    assert ids(server) == due
    is_sound(server)


def test_a_repository_that_is_moved_while_it_is_used(cloned: Cloned, tmp_path: Path) -> None:
    cloned(tmp_path, "alice")
    server, alice, moved = tmp_path / "journal.git", tmp_path / "alice", tmp_path / "elsewhere.git"
    append(alice)
    before = ids(server)
    with Journal.open(server, extensions={}) as opened:
        opened.space("garden").state()
        server.rename(moved)
        with pytest.raises(CoordjournalError):
            opened.space("garden").append(AliasSet("Lost", "x"), actor="alice")
        assert not server.exists()  # nothing is made where it was
        intents = made(alice)
        with pytest.raises(Queued):
            append(alice, *intents)
        git(alice, "remote", "set-url", "origin", str(moved))
        with Journal.open(alice, extensions={}) as journal:
            journal.send()
    assert ids(moved) == [*before, intents[0].decision.id]
    [found] = [one for one in install.doctor(str(moved)) if one.level != "ok"]
    assert (found.check, found.level) == ("settings", "warning") and "core.hooksPath is not set" in found.what
    install.install(str(moved))
    assert [one for one in install.doctor(str(moved)) if one.level != "ok"] == []
    is_sound(moved)
