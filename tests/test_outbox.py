"""The outbox: what was handed over is there, whole and in order, whatever happens to whoever wrote it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import run, snapshot

import coordjournal
from coordjournal import outbox
from coordjournal.decision import Decision, Intent, new_id
from coordjournal.errors import (
    Contention,
    CoordjournalError,
    GitFailed,
    IdConflict,
    LeaseHeld,
    LeaseLost,
    PreconditionFailed,
    Queued,
    Refused,
    RemoteUnreachable,
    UnlawfulLog,
    WouldBeVoid,
)
from coordjournal.outbox import Entry, Outbox
from coordjournal.payload import AliasSet, OverlayCreated
from coordjournal.refs import encode_space

ROOT = str(Path(coordjournal.__file__).parent.parent)
AT = "2026-11-22T10:00:00.000000Z"
OLD_ID = "01935c2f-7b00-7000-8000-000000000000"


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    """An outbox that is yet to be made, in a repository of its own."""
    return Outbox(tmp_path / "coordjournal" / "outbox")


def alias(name: str, space: str = "garden") -> Intent:
    return Intent(Decision(new_id(), space, "alias-set", AliasSet(name, "s:P").json(), "alice", AT))


def overlay(body: bytes, space: str = "garden") -> Intent:
    payload = OverlayCreated("o", "s:P", None, body)
    return Intent(Decision(new_id(), space, payload.type, payload.json(), "alice", AT), payload.files())


def aliases(entries: list[Entry]) -> list[str]:
    found = [decision.payload.get("alias") for entry in entries for decision in entry.decisions]
    return [name for name in found if name]


def exact(intents: Any) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    """Every byte of intents."""
    return [(intent.decision.line(), list(intent.files.items())) for intent in intents]


# -- what is kept ----------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
payloads = st.dictionaries(
    st.text(st.characters(max_codepoint=126), max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)
decisions = st.builds(
    Decision,
    id=texts,
    space=texts,
    type=texts,
    payload=payloads,
    actor=texts,
    at=texts,
    reason=st.none() | texts,
    meta=st.none() | st.dictionaries(st.text(st.characters(max_codepoint=126), max_size=5), texts, max_size=3),
)
batches = st.lists(
    st.builds(Intent, decisions, st.dictionaries(st.text(max_size=8), st.binary(max_size=40), max_size=3)),
    min_size=1,
    max_size=4,
)
SPACES = ["garden", "Großer Garten", "a/b", "counter", ".", "é" * 40]


@given(batches, st.sampled_from(SPACES), st.none() | st.integers(-1, 2**40), st.booleans(), st.booleans())
def test_intents_come_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory,
    intents: list[Intent],
    space: str,
    expect: int | None,
    allow_void: bool,
    same_at: bool,
) -> None:
    folder = tmp_path_factory.mktemp("any") / "outbox"
    added = Outbox(folder).add(space, intents, expect=expect, allow_void=allow_void, same_at=same_at)
    [found] = Outbox(folder).entries(space)
    assert found == added
    assert exact(found.intents) == exact(intents)
    assert list(found.intents) == intents
    assert found.decisions == tuple(intent.decision for intent in intents)
    assert (found.space, found.expect, found.allow_void, found.same_at) == (space, expect, allow_void, same_at)
    assert (found.state, found.commits, found.error()) == ("waiting", (), None)
    assert Outbox(folder).damaged() == []


def test_attachments_of_any_size_and_content_come_back_in_every_state(box: Outbox) -> None:
    bodies = [bytes(range(256)), b"", b"coordjournal outbox 1 \n\n", os.urandom(16 << 20)]
    added = entry = box.add("garden", [overlay(body) for body in bodies])
    for change in (box.waiting, lambda e: box.filed(e, ["c1", "c2"]), lambda e: box.reject(e, REFUSAL), box.waiting):
        entry = change(entry)
        assert [intent.files for intent in entry.intents] == [{"body": body} for body in bodies]
        assert box.entries() == [entry]
    assert entry == added
    assert added.path.stat().st_size < (16 << 20) + 10_000


def test_a_listing_holds_no_attachment_in_memory(box: Outbox) -> None:
    import tracemalloc

    for _ in range(3):
        box.filed(box.add("garden", [overlay(bytes(8 << 20))]), ["c"])
    tracemalloc.start()
    try:
        assert len(box.entries()) == 3
        box.waiting(box.entries()[0])
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_the_time_and_the_json(box: Outbox) -> None:
    before = time.time_ns() // 1000
    entry = box.add("garden", [alias("Home"), overlay(b"\xff")], expect=-1, same_at=False)
    assert outbox.timestamp.seconds(entry.added) in range(before // 10**6, time.time_ns() // 10**9 + 1)
    shown = json.loads(json.dumps(box.reject(entry, WouldBeVoid("no-overlay", "nothing to close")).json()))
    assert [doc["id"] for doc in shown.pop("decisions")] == [decision.id for decision in entry.decisions]
    assert shown == {
        "number": 1,
        "space": "garden",
        "state": "rejected",
        "added": entry.added,
        "expect": -1,
        "allow_void": False,
        "same_at": False,
        "commits": [],
        "error": {
            "code": "would-be-void",
            "message": "nothing to close",
            "kind": "would-be-void",
            "reason": "no-overlay",
        },
    }


def test_what_cannot_be_stored_is_refused_at_once(box: Outbox) -> None:
    with pytest.raises(ValueError, match="not a space id"):
        box.add("a\nb", [alias("Home")])
    with pytest.raises(ValueError, match="no intent"):
        box.add("garden", [])
    odd = Intent(Decision(new_id(), "garden", "x-acme-tag", {"a": 1.5}, "alice", AT))
    with pytest.raises(Refused) as refusal:
        box.add("garden", [alias("Home"), odd])
    assert refusal.value.code == "bad-json"
    assert not box.folder.exists()


# -- order -----------------------------------------------------------------------------------------------------------


def test_entries_keep_the_order_in_which_they_came(box: Outbox) -> None:
    for number in range(12):
        box.add("garden" if number % 3 else "other", [alias(str(number))])
    assert aliases(box.entries()) == [str(number) for number in range(12)]
    assert aliases(box.entries("other")) == ["0", "3", "6", "9"]
    assert box.entries("nowhere") == []
    moved = box.reject(box.filed(box.entries()[4], ["c"]), IdConflict("x"))
    assert box.entries()[4] == moved
    assert [entry.name for entry in box.entries()] == [str(number) for number in range(1, 13)]


def test_an_entry_is_found_by_its_number(box: Outbox) -> None:
    entry = box.add("garden", [alias("Home")])
    assert box.entry(entry.name) == box.entry(entry.number) == entry
    for name in ("2", "-1", "x", "", "²", "9" * 5000, 0):
        assert box.entry(name) is None


@pytest.mark.parametrize("loss", ["nothing", "counter", "damaged counter"])
def test_a_number_is_never_given_again(box: Outbox, loss: str) -> None:
    box.add("garden", [alias("a")])
    kept = box.add("garden", [alias("b")])
    if loss == "nothing":
        box.done(kept)
    elif loss == "counter":
        (box.folder / "counter").unlink()
    else:
        (box.folder / "counter").write_text("00000")
    assert Outbox(box.folder).add("garden", [alias("c")]).number == 3
    assert aliases(box.entries())[-1] == "c"


def test_done_removes_and_can_be_said_twice(box: Outbox) -> None:
    first, second = box.add("garden", [alias("a")]), box.add("garden", [alias("b")])
    box.done(first)
    box.done(first)
    assert box.entries() == [second]
    assert box.entry(first.name) is None
    for change in (box.waiting, lambda entry: box.filed(entry, ["c"]), lambda entry: entry.intents):
        with pytest.raises(GitFailed, match="entry 1 is not in the outbox any more"):
            change(first)


ADDER = """
import sys
from coordjournal.decision import Decision, Intent, new_id
from coordjournal.outbox import Outbox
box = Outbox(sys.argv[1])
sys.stdin.read()
for number in range(25):
    payload = {"who": sys.argv[2], "number": number}
    decision = Decision(new_id(), "garden", "x-a-b", payload, "alice", "t")
    entry = box.add("garden", [Intent(decision, {"f": b"x" * 5000})])
    if number % 5 == 4:
        box.done(entry)
    elif number % 5 == 3:
        box.filed(entry, ["c"])
"""


def test_processes_that_add_at_once_lose_nothing_and_keep_their_order(box: Outbox) -> None:
    box.folder.parent.mkdir()
    words = [sys.executable, "-c", ADDER, str(box.folder)]
    adders = [
        subprocess.Popen([*words, who], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for who in "abcd"
    ]
    for adder in adders:
        assert adder.stdin
        adder.stdin.close()  # all at once
        adder.stdin = None
    for adder in adders:
        _, said = adder.communicate()
        assert adder.returncode == 0, said
    entries = box.entries("garden")
    numbers = [entry.number for entry in entries]
    assert numbers == sorted(set(numbers))
    for who in "abcd":
        mine = [entry for entry in entries if entry.decisions[0].payload["who"] == who]
        assert [entry.decisions[0].payload["number"] for entry in mine] == [n for n in range(25) if n % 5 != 4]
        assert [entry.state for entry in mine] == ["waiting", "waiting", "waiting", "filed"] * 5
    assert box.damaged() == []


def test_threads_that_add_at_once_lose_nothing(box: Outbox) -> None:
    def work(who: int) -> None:
        for number in range(10):
            Outbox(box.folder).add("garden", [alias(f"{who} {number}")])

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = aliases(box.entries())
    for who in range(4):
        assert [name for name in found if name.startswith(f"{who} ")] == [f"{who} {number}" for number in range(10)]


# -- the states ------------------------------------------------------------------------------------------------------


def test_states_come_and_go(box: Outbox) -> None:
    added = box.add("garden", [alias("a"), alias("b")], expect=4, allow_void=True)
    filed = box.filed(added, ["c1", "c2"])
    assert (filed.state, filed.commits, filed.error()) == ("filed", ("c1", "c2"), None)
    rejected = box.reject(filed, PreconditionFailed("the tip is Seq 7, not 4"))
    assert (rejected.state, rejected.commits) == ("rejected", ())
    assert str(rejected.error()) == "the tip is Seq 7, not 4"
    assert box.waiting(rejected) == added
    assert box.entries() == [added]


REFUSAL = Refused(
    "schema", "not a \ud800 page", "payload.target", "write one", ref="refs/spaces/g", commit="c", seq=0, incident="i-1"
)


@pytest.mark.parametrize(
    "error",
    [
        REFUSAL,
        Refused("seq", "expected 3"),
        PreconditionFailed("the tip is Seq 7, not 4"),
        WouldBeVoid("no-overlay", "nothing to close"),
        IdConflict("another decision has this id"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_very_error_can_be_raised_again(box: Outbox, error: CoordjournalError) -> None:
    box.reject(box.add("garden", [alias("Home")]), error)
    [entry] = box.entries()
    again = entry.error()
    assert again is not error
    assert again is not None
    assert type(again) is type(error)
    assert (str(again), again.code, again.args) == (str(error), error.code, error.args)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    "error",
    [
        RemoteUnreachable("x"),
        Contention("x"),
        GitFailed("x"),
        UnlawfulLog(REFUSAL),
        LeaseHeld("garden", "node-a", 1_800_000_000),
        LeaseLost("x"),
        Queued("inbox", (alias("Home"),), "x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_be_over_tomorrow_ends_no_entry(box: Outbox, error: CoordjournalError) -> None:
    entry = box.add("garden", [alias("Home")])
    with pytest.raises(TypeError, match="does not say that"):
        box.reject(entry, error)
    assert box.entries() == [entry]


def test_an_error_of_a_later_version_keeps_its_code(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    later = {"kind": "later", "code": "later-code", "message": "as it may be"}
    monkeypatch.setattr(outbox, "_refusal", lambda error: later)
    error = box.reject(box.add("garden", [alias("Home")]), IdConflict("")).error()
    assert error is not None
    assert (type(error), error.code, str(error)) == (CoordjournalError, "later-code", "as it may be")


# -- reading costs nothing where there is nothing --------------------------------------------------------------------


def test_without_a_folder_there_is_nothing_and_nothing_is_made(box: Outbox, traced: list[str]) -> None:
    assert box.entries("garden") == []
    assert traced == ["listdir"]
    assert box.damaged() == []
    assert box.entry("1") is None
    assert not box.folder.parent.exists()


def test_a_file_in_the_way_is_said_when_it_matters(box: Outbox) -> None:
    box.folder.parent.write_text("in the way")
    assert box.entries() == []
    assert box.entry("1") is None
    with pytest.raises(GitFailed, match="cannot write to"):
        box.add("garden", [alias("Home")])
    with pytest.raises(GitFailed, match="cannot write to"), box.sending("garden"):
        pass


def test_a_repository_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="No such file"):
        Outbox(tmp_path / "gone.git" / "coordjournal" / "outbox").add("garden", [alias("Home")])
    assert not (tmp_path / "gone.git").exists()


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o002])
def test_files_have_the_permissions_of_the_umask(box: Outbox, mask: int) -> None:
    before = os.umask(mask)
    try:
        entry = box.add("garden", [alias("Home")])
        box.filed(entry, ["c"])
        with box.sending("garden"):
            pass
    finally:
        os.umask(before)
    for path, (mode, _) in snapshot(box.folder).items():
        assert mode & 0o777 == (0o777 if (box.folder / path).is_dir() else 0o666) & ~mask, path


# -- on the disk before it is said -----------------------------------------------------------------------------------


def _watched(see: Callable[[str, tuple[Any, ...]], None]) -> Any:
    """The ``os`` of the module, whose calls are seen before they are made."""

    def watch(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            see(name, arguments)
            return getattr(os, name)(*arguments)

        return call

    touched = ["open", "write", "pwrite", "ftruncate", "fsync", "close", "rename", "unlink", "mkdir", "listdir"]
    return SimpleNamespace(**{**vars(os), **{name: watch(name) for name in touched}})


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls to the system, in their order; fsync says of what."""
    seen: list[str] = []

    def see(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "fsync":
            name += " " + Path(os.readlink(f"/proc/self/fd/{arguments[0]}")).name
        seen.append(name)

    monkeypatch.setattr(outbox, "os", _watched(see))
    return seen


def test_all_is_on_the_disk_when_a_method_returns(box: Outbox, traced: list[str]) -> None:
    def synced() -> list[str]:
        found = [call for call in traced if call.split()[0] in ("fsync", "rename", "unlink", "mkdir")]
        traced.clear()
        return found

    stored = ["fsync new.tmp", "rename", "fsync outbox"]
    home = box.folder.parent.parent.name
    made = ["mkdir", f"fsync {home}", "mkdir", "fsync coordjournal"]
    entry = box.add("garden", [alias("a")])
    assert synced() == [*made, "unlink", "fsync counter", *stored]
    for _ in range(2):
        box.add("garden", [alias("b")])
        assert synced() == ["unlink", "fsync counter", *stored]
    for change in (box.waiting, lambda entry: box.filed(entry, ["c"]), lambda entry: box.reject(entry, REFUSAL)):
        change(entry)
        assert synced() == ["unlink", *stored]
    box.done(entry)
    assert synced() == ["unlink", "unlink", "fsync outbox"]


def test_a_folder_whose_making_was_cut_short_is_brought_to_the_disk_all_the_same(
    box: Outbox, traced: list[str]
) -> None:
    box.folder.mkdir(parents=True)  # and then the power went, before its name was on the disk
    box.add("garden", [alias("a")])
    assert "fsync coordjournal" in traced
    assert traced.index("fsync coordjournal") < traced.index("rename")


# -- crashes, full disks ---------------------------------------------------------------------------------------------

OLD = [alias("old"), overlay(b"\x00")]
NEW = [alias("new"), overlay(b"\xff" * 10)]

CHANGES: dict[str, Callable[[Outbox], object]] = {
    "add to a new outbox": lambda box: box.add("garden", NEW),
    "add": lambda box: box.add("garden", NEW),
    "filed": lambda box: box.filed(box.entries()[0], ["c"]),
    "reject": lambda box: box.reject(box.entries()[0], REFUSAL),
    "done": lambda box: box.done(box.entries()[0]),
}


def prepared(folder: Path, name: str) -> Outbox:
    """An outbox that a change can be made to."""
    folder.mkdir(parents=True)
    box = Outbox(folder / "outbox")
    if name != "add to a new outbox":
        box.add("garden", OLD)
    return box


def content(box: Outbox) -> list[Any]:
    assert box.damaged() == []
    return [(entry.number, entry.state, entry.commits, entry.refusal, exact(entry.intents)) for entry in box.entries()]


def goes_on(box: Outbox) -> None:
    """What was left halfway is cleared away by the next one who comes."""
    before = content(box)
    after = box.add("garden", [alias("after")])
    assert content(box)[:-1] == before
    assert aliases(box.entries())[-1] == "after"
    assert set(os.listdir(box.folder)) == {"counter", *(entry.path.name for entry in box.entries())}
    assert after.number > max([0, *(number for number, *_ in before)])


def watching(at: int, strike: Callable[[], None]) -> Any:
    """The ``os`` of the module, whose call number ``at`` is struck before it is made."""
    calls = 0

    def see(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            strike()

    return _watched(see)


def killed_everywhere(folder: Path) -> None:
    """Kills each change before each of its calls to the system in turn. To be run by a process of its own: it forks."""
    for case, (name, change) in enumerate(CHANGES.items()):
        box = prepared(folder / f"{case}", name)
        before = content(box)
        change(box)
        after = content(box)
        seen = []
        for at in range(1, 100):
            box = prepared(folder / f"{case} {at}", name)
            child = os.fork()
            if child == 0:
                outbox.os = watching(at, lambda: os.kill(os.getpid(), signal.SIGKILL))  # type: ignore[attr-defined]
                change(box)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            found = content(box)
            assert found in (before, after), (name, at)
            goes_on(box)
            if status == 0:
                assert found == after
                break
            assert status == signal.SIGKILL
            seen.append(found == after)
        assert seen == sorted(seen)  # the old, and from one call on the new
        assert {False, True} == set(seen), name
        print(name)


def in_a_process(program: str, *words: str | Path) -> str:
    """What a Python program says that can import this module, as ``t``."""
    path = os.pathsep.join([ROOT, str(Path(__file__).parent)])
    program = f"import sys; from pathlib import Path; import test_outbox as t\n{program}"
    return run(sys.executable, "-c", program, *words, env={"PYTHONPATH": path}).stdout


def test_whoever_is_killed_anywhere_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    assert in_a_process("t.killed_everywhere(Path(sys.argv[1]))", tmp_path).splitlines() == list(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
def test_a_disk_that_refuses_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full() -> None:
        struck.append(at)
        raise OSError(errno.ENOSPC, "No space left on device")

    box = prepared(tmp_path / "calm", name)
    before = content(box)
    CHANGES[name](box)
    after = content(box)
    failed = 0
    for at in range(1, 100):
        box = prepared(tmp_path / f"{at}", name)
        struck: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(outbox, "os", watching(at, full))
            try:
                CHANGES[name](box)
                allowed = [after]  # what was struck did not matter
            except GitFailed as error:
                assert "No space left" in str(error)
                failed += 1
                # Where the file has its name, but the disk would not say that it knows, a change may count.
                allowed = [before] if name.startswith("add") else [before, after]
            except IndexError:  # from CHANGES: the entry could not be read
                allowed = [before]
        assert content(box) in allowed, at
        assert not (box.folder / "new.tmp").exists()
        goes_on(box)
        if not struck:
            break
    assert failed > 3


def test_a_disk_that_is_full_halfway_leaves_nothing(box: Outbox) -> None:
    """A real limit: the system stops the file in its middle."""
    box.folder.parent.mkdir()
    said = in_a_process(
        "import resource\n"
        "box = t.Outbox(sys.argv[1])\n"
        "box.add('garden', [t.alias('small')])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    box.add('garden', [t.overlay(bytes(1 << 20))])\n"
        "except t.GitFailed as error:\n"
        "    print(error)\n"
        "box.add('garden', [t.alias('small too')])\n",
        box.folder,
    )
    assert said == f"cannot write to {box.folder}: File too large\n"
    assert aliases(box.entries()) == ["small", "small too"]
    assert len(os.listdir(box.folder)) == 3


# -- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flip", "cut", "grow"])
def test_a_damaged_entry_is_told_of_and_stops_nothing(box: Outbox, damage: str) -> None:
    first, entry, last = (box.add("garden", [alias(name), overlay(b"\xff\n\x00")]) for name in "abc")
    good = entry.path.read_bytes()
    for at in range(len(good) + (damage == "grow")):
        if damage == "flip":
            bad = good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1 :]
        elif damage == "cut":
            bad = good[:at]
        else:
            bad = good[:at] + b"x" + good[at:]
        entry.path.write_bytes(bad)
        assert box.entries() == [first, last], at
        [told] = box.damaged()
        assert (told.path, bool(told.reason)) == (entry.path, True)
        for use in (box.waiting, lambda entry: box.reject(entry, REFUSAL), lambda entry: entry.intents):
            with pytest.raises(GitFailed, match="left as it is"):
                use(entry)
        with pytest.raises(GitFailed, match="left as it is"):
            box.entry("2")
        assert entry.path.read_bytes() == bad
    assert not (box.folder / "new.tmp").exists()
    assert box.add("garden", [alias("d")]).number == 4
    entry.path.write_bytes(good)
    assert aliases(box.entries()) == list("abcd")


def test_files_of_somebody_else_are_told_of_and_left(box: Outbox) -> None:
    entry = box.add("garden", [alias("a")])
    with box.sending("garden"):
        pass
    folder = box.folder
    (folder / "notes.txt").write_text("mine")
    (folder / "7.entry").write_text("not our spelling of a number")
    (folder / "²².entry").touch()
    (folder / "0000000000000002.entry").mkdir()
    os.mkfifo(folder / "0000000000000003.entry")
    (folder / "0000000000000004.entry").symlink_to("nowhere/else")
    (folder / "0000000000000005.entry").write_bytes(b"coordjournal outbox 2 and so on\n")
    (folder / "0000000000000006.entry").write_bytes(b"x" * 1000)
    line = b'{"space":"garden"}\n'
    odd = b"coordjournal outbox 1 " + hashlib.sha256(line).hexdigest().encode() + b"\n" + line
    (folder / "0000000000000008.entry").write_bytes(odd)
    before = snapshot(folder)
    assert {told.path.name: told.reason for told in box.damaged()} == {
        "notes.txt": "not a file of an outbox",
        "7.entry": "not a file of an outbox",
        "²².entry": "not a file of an outbox",
        "0000000000000002.entry": "not a file",
        "0000000000000003.entry": "not a file",
        "0000000000000005.entry": "of a later format",
        "0000000000000006.entry": "not an entry of an outbox",
        "0000000000000008.entry": "it holds something else than an entry does",
    }
    assert box.damaged()[0].json() == {"path": str(box.damaged()[0].path), "reason": "not a file"}
    assert box.entries() == box.entries("garden") == [entry]
    assert snapshot(folder) == before
    box.done(box.add("garden", [alias("b")]))
    after = snapshot(folder)
    assert after.pop("counter") != before.pop("counter")
    assert after == before


# -- one sender a space ----------------------------------------------------------------------------------------------


def excluded(box: Outbox, space: str = "garden") -> bool:
    try:
        with box.sending(space, timeout=0):
            return False
    except Contention:
        return True


HOLDER = """
import sys
from coordjournal.outbox import Outbox
with Outbox(sys.argv[1]).sending("garden"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(box: Outbox) -> Iterator[subprocess.Popen[str]]:
    """A process that is sending for the garden."""
    box.folder.parent.mkdir()
    words = [sys.executable, "-c", HOLDER, str(box.folder)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_waits_for_the_first(box: Outbox, holder: subprocess.Popen[str]) -> None:
    assert excluded(box)
    assert not excluded(box, "other")
    with pytest.raises(Contention, match=r"garden: .* within 0\.02 s"), box.sending("garden", timeout=0.02):
        pass
    box.done(box.filed(box.add("garden", [alias("a")]), ["c"]))  # not what the lock is about
    assert holder.stdin
    holder.stdin.close()
    with box.sending("garden"):
        assert holder.wait() == 0


def test_the_lock_goes_with_a_holder_that_is_killed(box: Outbox, holder: subprocess.Popen[str]) -> None:
    assert excluded(box)
    holder.kill()
    with box.sending("garden", timeout=30):
        assert holder.wait() == -signal.SIGKILL
    assert not excluded(box)


def test_threads_send_one_after_the_other(box: Outbox) -> None:
    box.folder.parent.mkdir()
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with Outbox(box.folder).sending("garden"):
                inside += 1
                most = max(most, inside)
                threading.Event().wait(0)  # lets another thread run
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_the_lock_ends_with_an_error_and_passes_it_on(box: Outbox) -> None:
    box.folder.parent.mkdir()
    with pytest.raises(FileNotFoundError), box.sending("garden"):
        assert excluded(box)
        raise FileNotFoundError
    assert not excluded(box)


def test_spaces_have_locks_of_their_own_names(box: Outbox) -> None:
    box.folder.parent.mkdir()
    for space in SPACES:
        with box.sending(space):
            assert excluded(box, space)
    assert sorted(os.listdir(box.folder / "locks")) == sorted(map(encode_space, SPACES))
    with pytest.raises(ValueError, match="not a space id"), box.sending("a\nb"):
        pass


def forking(folder: Path) -> None:
    """A fork has no part in the locks of its parent. To be run by a process of its own."""
    box = Outbox(folder)
    box.folder.parent.mkdir()
    read, write = os.pipe()
    with box.sending("garden"):
        descriptors = os.listdir("/proc/self/fd")
        child = os.fork()
        if child == 0:
            ok = excluded(box) and len(os.listdir("/proc/self/fd")) < len(descriptors)
            os.write(write, b"+" if ok else b"-")
            os.read(read, 0)
        else:
            os.waitpid(child, 0)
            print(os.read(read, 1).decode(), excluded(box))
    if child == 0:
        os._exit(0)  # it left the block, which must not have freed what is the parent's
    print(excluded(box))
    begun, begins = os.pipe()
    middle = os.fork()
    if middle == 0:
        with box.sending("garden"), box._changing():
            if os.fork() == 0:  # outlives the holder
                signal.alarm(20)  # but not for ever, should it have the locks
                os.write(begins, b"x")
                os.read(read, 1)
                os._exit(0)
            os.read(begun, 1)  # in the moment of the fork itself it has them
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(middle, 0)
    print(excluded(box), box.add("garden", [alias("a")]).number)
    os.write(write, b"x")


def test_a_fork_neither_holds_nor_frees_its_parents_lock(box: Outbox) -> None:
    said = in_a_process("t.forking(Path(sys.argv[1]))", box.folder)
    assert said.splitlines() == ["+ True", "False", "False 1"]


def test_a_program_that_is_started_does_not_get_the_lock(box: Outbox) -> None:
    box.folder.parent.mkdir()
    with box.sending("garden"):
        listed = run("ls", "-l", "/proc/self/fd", close_fds=False).stdout
    assert "pipe" in listed
    assert "locks" not in listed
