"""Loose objects and refs: git takes them for its own, and neither a kill, a full disk nor another git harms them."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import git, require, run

from coordjournal import AliasSet, Journal, loose
from coordjournal import store as store_module
from coordjournal.errors import GitFailed, NotAJournal
from coordjournal.sharing import Sharing, parse
from coordjournal.store import GitStore, object_name

REF = "refs/spaces/garden"
TOUCHED = ["open", "write", "fsync", "fchmod", "close", "rename", "unlink", "mkdir", "posix_fadvise", "read", "listdir"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One that has a log of a decision, whose ref and reflog git has made."""
    path = tmp_path / "journal.git"
    run("git", "init", "--quiet", "--bare", path)
    git(path, "config", "core.logAllRefUpdates", "always")
    with closing(GitStore(path)) as store:
        assert store.append("garden", None, *commit(store, None))
    return path


def commit(store: GitStore, parent: str | None, text: str = "a note") -> tuple[str, list[tuple[str, bytes]]]:
    """The name of a commit, and it as :meth:`GitStore.add` takes it."""
    head = f"tree {store.empty_tree}\n" + (f"parent {parent}\n" if parent else "")
    raw = f"{head}author a <> 1700000000 +0000\ncommitter a <> 1700000000 +0000\n\n{text}\n".encode()
    return store.name("commit", raw), [("commit", raw)]


def watched(see: Callable[[str, tuple[Any, ...]], None]) -> Any:
    """The ``os`` of the module, whose calls are seen before they are made."""

    def watch(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            see(name, arguments)
            return getattr(os, name)(*arguments)

        return call

    return SimpleNamespace(**{**vars(os), **{name: watch(name) for name in TOUCHED}})


def left_behind(path: Path) -> list[str]:
    """Locks and temporary files."""
    return [str(file) for file in path.rglob("*") if file.name.endswith(".lock") or file.name.startswith("tmp_")]


# -- on the disk before it is said -----------------------------------------------------------------------------------


def test_an_append_is_on_the_disk_before_its_ref_moves_and_the_ref_before_it_is_said(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def see(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "fsync":
            seen.append("fsync " + Path(os.readlink(f"/proc/self/fd/{arguments[0]}")).name[:8])
        elif name == "rename":
            seen.append("rename " + Path(arguments[1]).name)
        elif name == "mkdir":
            seen.append("mkdir " + Path(arguments[0]).name)

    with closing(GitStore(repository)) as store:
        one, objects = commit(store, None)
        for number in range(2):  # the second is an append as all that follow: its folders are known
            tip = store.tip("garden")
            text = next(t for t in map(str, range(9999)) if commit(store, tip, t)[0][:2] == one[:2])
            new, objects = commit(store, tip, text)
            monkeypatch.setattr(loose, "os", watched(see))
            assert store.append("garden", tip, new, objects)
            monkeypatch.undo()
            if number == 0:
                seen.clear()
        written = ["fsync tmp_obj_", f"rename {new[2:]}", f"fsync {new[:2]}"]
        assert seen == [*written, "fsync garden.l", "rename garden", "fsync spaces"]


@pytest.mark.parametrize("made_by", ["us", "another who was killed"])
def test_a_folder_of_objects_is_brought_to_the_disk_with_its_first_object(
    repository: Path, monkeypatch: pytest.MonkeyPatch, made_by: str
) -> None:
    synced: list[str] = []

    def see(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "fsync":
            synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{arguments[0]}"), repository))

    with closing(GitStore(repository)) as store:
        store.add([("blob", b"known")])
        blob = next(b for b in (b"%d" % n for n in range(99)) if not folder_of(store, repository, b).exists())
        folder = folder_of(store, repository, blob)
        if made_by != "us":
            folder.mkdir()
        monkeypatch.setattr(loose, "os", watched(see))
        store.add([("blob", blob)])
        assert synced[-2:] == [f"objects/{folder.name}", "objects"]
        synced.clear()
        store.add([("blob", blob)])
        assert synced[-1] == f"objects/{folder.name}"


def folder_of(store: GitStore, repository: Path, blob: bytes) -> Path:
    return repository / "objects" / store.name("blob", blob)[:2]


@pytest.mark.parametrize("space", ["garden", "another"])
def test_the_folders_of_a_ref_that_git_has_made_are_brought_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: str
) -> None:
    path = tmp_path / "journal.git"
    run("git", "init", "--quiet", "--bare", path)
    synced: list[str] = []

    def see(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "fsync":
            synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{arguments[0]}"), path))

    with closing(GitStore(path)) as store:
        if space == "another":  # and then all was packed, and the folder removed
            assert store.append("garden", None, *commit(store, None))
            git(path, "pack-refs", "--all", "--prune")
            shutil.rmtree(path / "refs" / "spaces")
        monkeypatch.setattr(loose, "os", watched(see))
        assert store.append(space, None, *commit(store, None))
    assert synced[-4:] == [f"refs/spaces/{space}", "refs/spaces", "refs", "."]


def test_a_pack_and_a_new_ref_are_on_the_disk_whatever_the_repository_says(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As git itself tells (trace2): how often it has waited for the disk."""
    version = re.findall(r"\d+", run("git", "version").stdout)
    require((int(version[0]), int(version[1])) >= (2, 36), "git 2.36, the first that tells")
    git(repository, "config", "core.fsync", "none")
    real = run("sh", "-c", "command -v git").stdout.strip()
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nGIT_TRACE2_EVENT={tmp_path}/trace exec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")

    def flushes() -> int:
        found = re.findall(r'"fsync/hardware-flush","value":"(\d+)"', (tmp_path / "trace").read_text())
        (tmp_path / "trace").unlink()
        return sum(map(int, found))

    with closing(GitStore(repository)) as store:
        store.add([("blob", b"%d" % number) for number in range(100)])
        assert flushes() >= 2  # the pack and its index
        assert store.append("new", None, *commit(store, None))
        assert flushes() == 1


# -- as git does it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o007])
@pytest.mark.parametrize("value", ["umask", "group", "all", "0640"])
def test_modes_are_those_that_git_gives(tmp_path: Path, value: str, mask: int) -> None:
    path = tmp_path / "journal.git"
    before = os.umask(mask)
    try:
        run("git", "init", "--quiet", "--bare", f"--shared={value}", path)
        with closing(GitStore(path)) as store:
            assert store.append("garden", None, *commit(store, None))  # by git
            modes = modes_of(path, store.tip("garden") or "")
            assert store.append("garden", store.tip("garden"), *commit(store, store.tip("garden")))
            ours = modes_of(path, store.tip("garden") or "")
            theirs = git(path, "hash-object", "-w", "--stdin", stdin=b"theirs")
    finally:
        os.umask(before)
    assert ours == modes
    assert ours[:2] == modes_of(path, theirs)[:2]


def modes_of(path: Path, name: str) -> list[int]:
    """The modes of an object, of its folder, and of the ref."""
    object_path = path / "objects" / name[:2] / name[2:]
    return [stat.S_IMODE(file.stat().st_mode) for file in (object_path, object_path.parent, path / REF)]


def test_what_is_there_but_broken_is_written_again(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        name = store.name("blob", b"x")
        path = repository / "objects" / name[:2] / name[2:]
        path.parent.mkdir(exist_ok=True)
        path.touch()  # a power cut leaves such files where nobody waits for the disk
        store.add([("blob", b"x")])
    assert git(repository, "cat-file", "blob", name) == "x"


def test_large_and_empty_objects_are_whole(repository: Path) -> None:
    contents = [b"", b"x", b"x" * 4096, os.urandom(4097), os.urandom(3_000_000)]
    with closing(GitStore(repository)) as store:
        store.add([("blob", content) for content in contents])
        for content in contents:
            assert store.object(store.name("blob", content), "blob") == (store.name("blob", content), content)
    git(repository, "fsck", "--strict")


def test_the_reflog_tells_each_move_also_when_it_is_begun_later(repository: Path) -> None:
    log = repository / "logs" / REF
    with closing(GitStore(repository)) as store:
        log.unlink()
        git(repository, "config", "core.logAllRefUpdates", "false")
        tips = [store.tip("garden") or ""]
        for text, setting in enumerate(["false", "always", "always"]):
            git(repository, "config", "core.logAllRefUpdates", setting)
            new, objects = commit(store, tips[-1], str(text))
            assert store.append("garden", tips[-1], new, objects)
            assert log.exists() == (setting == "always")
            tips.append(new)
    said = git(repository, "reflog", "show", "--format=%H %gn <%ge> %gs", REF).splitlines()
    assert said == [f"{tip} coordjournal <coordjournal> coordjournal: append" for tip in (tips[3], tips[2])]
    old_and_new = [line.split()[:2] for line in log.read_text().splitlines()]
    assert old_and_new == [tips[1:3], tips[2:4]]


def test_a_symbolic_ref_moves_what_it_names(repository: Path) -> None:
    git(repository, "update-ref", "refs/spaces/real", "refs/spaces/garden")
    git(repository, "symbolic-ref", REF, "refs/spaces/real")
    with closing(GitStore(repository)) as store:
        tip = store.tip("garden")
        new, objects = commit(store, tip)
        assert not store.append("garden", None, new, objects)
        assert store.append("garden", tip, new, objects)
        assert store.tip("garden") == store.tip("real") == new
    assert (repository / REF).read_text() == "ref: refs/spaces/real\n"


def test_a_linked_work_tree_writes_into_the_repository(repository: Path, tmp_path: Path) -> None:
    tip = git(repository, "rev-parse", REF)
    git(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"), tip)
    with closing(GitStore(repository / "worktrees" / "tree")) as store:
        new, objects = commit(store, tip)
        assert store.append("garden", tip, new, objects)
        store.add([("blob", b"%d" % number) for number in range(20)])
    assert git(repository, "rev-parse", REF) == new
    assert not (repository / "worktrees" / "tree" / "objects").exists()
    git(repository, "fsck", "--strict")


def test_nothing_is_written_for_a_ref_that_is_elsewhere(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        tip = store.tip("garden")
        other, objects = commit(store, None, "other")
        assert not store.append("garden", other, other, objects)
        assert not store.append("garden", None, other, objects)
        assert store.resolve(other) is None
        assert store.tip("garden") == tip


@pytest.mark.parametrize(("extension", "value"), [("refstorage", "reftable"), ("compatobjectformat", "sha256")])
def test_what_only_git_can_write_to_is_refused(
    repository: Path, monkeypatch: pytest.MonkeyPatch, extension: str, value: str
) -> None:
    """By the configuration alone: not every git here knows these."""
    config = {f"extensions.{extension}": value}
    with closing(GitStore(repository)) as store:
        monkeypatch.setattr("coordjournal.gitread.config", lambda asked: (asked.wait(), config)[1])
        with pytest.raises(NotAJournal, match=rf"{extension} \({value}\)"):
            store.add([("blob", b"x")])


def test_a_sharing_that_git_does_not_understand_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordjournal.gitread.config", lambda asked: (asked.wait(), {"core.sharedrepository": "8"})[1])
    with closing(GitStore(repository)) as store, pytest.raises(NotAJournal, match="'8', which git does not understand"):
        store.add([("blob", b"x")])


# -- kills, full disks, other gits -----------------------------------------------------------------------------------


class Stopped(BaseException):
    """As a signal's handler may raise."""


def appended(store: GitStore, stop: Callable[[int, str], None] = lambda number, name: None) -> int:
    """Appends; ``stop`` is asked before each call to the system. The number of calls."""
    count = 0

    def see(name: str, _: tuple[Any, ...]) -> None:
        nonlocal count
        stop(count, name)
        count += 1

    tip = store.tip("garden")
    new, objects = commit(store, tip, os.urandom(4).hex())
    before, loose.os = loose.os, watched(see)  # type: ignore[attr-defined]
    try:
        assert store.append("garden", tip, new, objects)
    finally:
        loose.os = before  # type: ignore[attr-defined]
    return count


def parent(store: GitStore, name: str) -> str:
    found = store.object(name, "commit")
    assert found is not None
    return found[1].split(b"\n")[1].removeprefix(b"parent ").decode()


def test_a_kill_at_any_moment_leaves_the_log_whole(repository: Path) -> None:
    """The kill comes before each call to the system in turn."""
    locked = 0
    with closing(GitStore(repository)) as store:
        appended(store)
        for moment in itertools.count():
            before = store.tip("garden")
            child = os.fork()
            if child == 0:
                appended(store, lambda number, name: os._exit(9) if number == moment else None)  # noqa: B023
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status == 0:
                break
            assert status == 9
            after = store.tip("garden")
            assert after and (after == before or parent(store, after) == before)
            for lock in (repository / "refs").rglob("*.lock"):
                locked += 1
                os.utime(lock, (0, 0))  # a minute later
        assert moment > 20 and 5 < locked < moment
        appended(store)
    git(repository, "fsck", "--strict")
    assert not list(repository.rglob("*.lock"))


@pytest.mark.parametrize("old", [None, "0" * 40])
def test_a_lock_that_somebody_else_has_by_now_is_neither_used_nor_removed(
    repository: Path, old: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stood still for a minute finds that its lock was taken for one that was left behind."""
    path = repository / "refs" / "spaces" / "garden"
    lock = Path(f"{path}.lock")
    before = path.read_text()

    def overtaken(*_: object) -> str:
        lock.unlink()
        lock.write_text("of somebody else\n")
        return before.strip()

    arguments = (str(path), old or before.strip(), "1" * 40, (str(repository / "none"), ""), False, Sharing(0, None))
    if old:
        monkeypatch.setattr(loose, "read", overtaken)
        assert loose.move(*arguments) is False  # type: ignore[arg-type]
    else:
        with pytest.raises(loose.Locked):
            loose.move(*arguments, lambda: overtaken() and None)  # type: ignore[arg-type, func-returns-value]
    assert lock.read_text() == "of somebody else\n"
    assert path.read_text() == before


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), Stopped()])
def test_what_fails_leaves_nothing_behind(repository: Path, error: BaseException) -> None:
    """A full disk, or an interruption, at each call in turn that can meet with one."""
    failed = 0
    with closing(GitStore(repository)) as store:
        count = appended(store)
        for moment in range(count):
            before = store.tip("garden")

            def stop(number: int, name: str) -> None:
                if number == moment and name in ("open", "write", "fsync", "rename", "posix_fadvise"):  # noqa: B023
                    raise error

            try:
                appended(store, stop)
            except (GitFailed, Stopped) as raised:
                failed += 1
                assert isinstance(raised, Stopped) or "No space left on device" in str(raised)
            after = store.tip("garden")
            assert after and (after == before or parent(store, after) == before)
            assert left_behind(repository) == [], moment
    assert failed > 10
    git(repository, "fsck", "--strict")


def test_appends_and_gits_that_pack_do_not_get_into_each_others_way(repository: Path) -> None:
    done = threading.Event()
    tip = git(repository, "rev-parse", REF)

    def pack() -> None:
        for number in itertools.count():
            # A new ref each time: a git that has read packed-refs sees that it is another one by its size, or by the
            # second in which it was written.
            for words in (("update-ref", f"refs/kept/{number}", tip), ("pack-refs", "--all", "--prune"), ("gc", "-q")):
                subprocess.run(["git", "-C", repository, *words], capture_output=True, check=False)
            if done.is_set():
                break

    packer = threading.Thread(target=pack)
    packer.start()
    journals = [Journal.open(repository, appender=f"node-{n}", extensions={}) for n in range(2)]
    landed: list[list[int]] = [[], []]

    def append(number: int) -> None:
        space = journals[number].space("orchard")
        for n in range(15):
            landed[number].append(space.append(AliasSet(f"name {n}", "s:P"), actor="alice").seq)

    writers = [threading.Thread(target=append, args=(number,)) for number in range(2)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    packer.join()
    for journal in journals:
        journal.close()
    assert sorted(landed[0] + landed[1]) == list(range(30))
    assert git(repository, "rev-list", "--count", "refs/spaces/orchard") == "30"
    git(repository, "fsck", "--strict")


@pytest.mark.parametrize("where", ["the ref's folder is missing", "the ref is new", "the ref is packed"])
def test_what_git_moves_waits_for_locks_too(
    repository: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(store_module, "_LOCK_SECONDS", 0.3)
    with closing(GitStore(repository)) as store:
        space, old = ("garden", store.tip("garden")) if where == "the ref is packed" else ("new", None)
        if where != "the ref is new":
            git(repository, "pack-refs", "--all", "--prune")
        lock = repository / "refs" / "spaces" / f"{space}.lock"
        lock.parent.mkdir(exist_ok=True)
        lock.touch()
        new, objects = commit(store, old)
        with pytest.raises(GitFailed, match=rf"{space}\.lock"):
            store.append(space, old, new, objects)
        os.utime(lock, (0, 0))
        assert store.append(space, old, new, objects)
        assert store.tip(space) == new


def test_a_ref_that_git_cannot_make_is_an_error_that_says_why(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        new, objects = commit(store, None)
        store.add(objects)
        with pytest.raises(GitFailed, match=r"refs/spaces/garden/deep.*refs/spaces/garden"):
            store.move_ref("refs/spaces/garden/deep", None, new, "test")


@pytest.mark.parametrize(
    "content", ["", "ref: refs/heads/x\n", "0" * 39 + "\n", "g" * 40 + "\n", "A" * 40 + "\n", "1" * 40, "1" * 41 + "\n"]
)
def test_only_an_object_name_is_read_from_a_loose_ref(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ref"
    assert loose.read(str(path)) is None
    path.write_text(content)
    assert loose.read(str(path)) is None
    path.write_text("1" * 40 + "\n")
    assert loose.read(str(path)) == "1" * 40
    assert loose.read(str(tmp_path)) is None


def test_a_git_that_removes_what_is_not_named_yet_is_outlasted(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git that prunes removes an empty folder at any moment; a batch that fails elsewhere, temporary files."""
    times = iter(range(3))

    def see(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "rename" and next(times, None) is not None:
            shutil.rmtree(os.path.dirname(arguments[0]))

    with closing(GitStore(repository)) as store:
        monkeypatch.setattr(loose, "os", watched(see))
        store.add([("blob", b"x")])
        assert store.object(store.name("blob", b"x"), "blob")
        monkeypatch.setattr(loose.os, "open", gone)
        with pytest.raises(GitFailed, match="No such file"):
            store.add([("blob", b"y")])


def gone(path: str, *_: object) -> int:
    raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)


def test_an_object_that_cannot_be_named_leaves_no_temporary(tmp_path: Path) -> None:
    name = object_name("sha1", "blob", b"x")
    (tmp_path / name[:2] / name[2:]).mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        loose.write(str(tmp_path), [(name, "blob", b"x")], Sharing(), set())
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("value", [None, "umask", "0600", "group"])
def test_a_folder_keeps_its_group_only_where_the_group_gets_in(value: str | None) -> None:
    assert bool(parse(value).folder() & stat.S_ISGID) == (value == "group")
