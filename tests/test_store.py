"""The git store: what it writes git accepts, what it reads is what stands there, whatever others do meanwhile."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support import decide, git, run

import coordjournal
from coordjournal import store as store_module
from coordjournal.commit import tree_of
from coordjournal.errors import DecisionNotFound, GitFailed, NotAJournal
from coordjournal.store import GitStore, object_name

ROOT = str(Path(coordjournal.__file__).parent.parent)
FORMATS = ("sha1", "sha256")


def init(path: Path, object_format: str = "sha1") -> Path:
    run("git", "init", "--quiet", "--bare", f"--object-format={object_format}", path)
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return init(tmp_path / "journal.git")


def a_commit(store: GitStore, text: str = "a note") -> list[tuple[str, bytes]]:
    """A commit with a file in its tree, as :meth:`GitStore.add` takes them; the commit comes last."""
    tree = tree_of([("body", store.name("blob", text.encode()))])
    stamp = "node-a <> 1700000000 +0000"
    commit = f"tree {store.name('tree', tree)}\nauthor {stamp}\ncommitter {stamp}\n\n{text}\n".encode()
    return [("blob", text.encode()), ("tree", tree), ("commit", commit)]


def written(store: GitStore, text: str = "a note") -> str:
    objects = a_commit(store, text)
    store.add(objects)
    return store.name(*objects[-1])


def forked(check: Callable[[], bool]) -> bool:
    """What ``check`` says in a fork of this process."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if check() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> set[int]:
    """The processes that this one has started and not yet seen the end of."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for path in lists for pid in path.read_text().split()}


# -- objects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("object_format", FORMATS)
@pytest.mark.parametrize("count", [1, 100], ids=["loose", "a pack"])
def test_git_finds_what_was_written_and_nothing_wrong_with_it(tmp_path: Path, object_format: str, count: int) -> None:
    path = init(tmp_path / "journal.git", object_format)
    with closing(GitStore(path)) as store:
        objects = [item for number in range(count) for item in a_commit(store, f"note {number}")]
        store.add(objects)
        for number in range(count):
            name = store.name(*objects[3 * number + 2])
            assert store.move(f"space-{number}", None, name)
            assert store.file(name, "body") == f"note {number}".encode()
        assert git(path, "cat-file", "-t", name) == "commit"
        assert git(path, "hash-object", "-t", "commit", "--stdin", stdin=objects[-1][1]) == name
    assert len(list((path / "objects" / "pack").glob("*.pack"))) == (count > 1)
    git(path, "fsck", "--strict")


@pytest.mark.parametrize("object_format", FORMATS)
def test_the_name_of_an_object_is_gits(tmp_path: Path, object_format: str) -> None:
    path = init(tmp_path / "journal.git", object_format)
    for content in (b"", b"text", bytes(range(256))):
        assert object_name(object_format, "blob", content) == git(path, "hash-object", "--stdin", stdin=content)


@pytest.mark.parametrize("object_format", FORMATS)
def test_the_empty_tree_is_written_once_so_that_fsck_finds_it(tmp_path: Path, object_format: str) -> None:
    path = init(tmp_path / "journal.git", object_format)
    with closing(GitStore(path)) as store:
        store.add([("blob", b"x")])
        store.add([("blob", b"y")])
        empty = store.empty_tree
    assert (path / "objects" / empty[:2] / empty[2:]).exists()


def test_objects_that_are_there_already_are_no_trouble(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        assert written(store) == written(store)
        git(repository, "gc", "--quiet", "--prune=now")
        assert written(store) == written(store)


def test_what_is_missing_or_of_another_kind_is_none(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        name = written(store)
        assert store.object(name, "blob") is None
        assert store.object(name, "commit") is not None  # asked again after git was stopped
        assert store.object("0" * 40, "commit") is None
        assert store.object("no\nname", "commit") is None
        assert store.resolve("refs/spaces/none") is None
        with pytest.raises(DecisionNotFound, match="'other'"):
            store.file(name, "other")


def test_processes_that_write_the_same_objects_at_once_do_not_get_into_each_others_way(repository: Path) -> None:
    script = (
        "import sys\n"
        "from coordjournal.store import GitStore\n"
        "store = GitStore(sys.argv[1])\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for number in range(60):\n"
        "    store.add([('blob', b'%d' % number)])\n"
        "store.close()\n"
    )
    words = [sys.executable, "-c", script, str(repository)]
    workers = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout and worker.stdout.readline() == b"ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    for worker in workers:
        _, said = worker.communicate()
        assert worker.returncode == 0, said.decode()
    git(repository, "fsck", "--strict")


def test_an_interrupted_question_does_not_spoil_the_next_answer(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(GitStore(repository)) as store:
        name = written(store)

        def interrupted(*_: object) -> bytes:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("coordjournal.gitread.Objects.take", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.object(name, "commit")
        assert store.resolve(name) == name


def test_a_git_process_that_somebody_killed_is_started_again(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        before = children()
        name = written(store)
        assert store.resolve(name) == name
        for pid in children() - before:
            os.kill(pid, signal.SIGKILL)
        assert store.resolve(name) == name


def test_a_damaged_object_is_gits_failure_and_the_store_goes_on(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        name, good = written(store), written(store, "good")
        assert store.move("garden", None, name)
        path = repository / "objects" / name[:2] / name[2:]
        path.chmod(0o644)
        path.write_bytes(b"damage")
        with closing(GitStore(repository)) as other, pytest.raises(GitFailed, match="git fsck"):
            other.tip("garden")
        with pytest.raises(GitFailed, match="git fsck"):
            list(store.commits(name))
        assert store.resolve(good) == good


# -- refs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("object_format", FORMATS)
def test_a_move_is_a_compare_and_swap(tmp_path: Path, object_format: str) -> None:
    with closing(GitStore(init(tmp_path / "journal.git", object_format))) as store:
        a, b = written(store, "a"), written(store, "b")
        assert store.tip("garden") is None
        assert not store.move("garden", a, b)
        assert store.move("garden", None, a)
        assert not store.move("garden", None, b)
        assert not store.move("garden", b, a)
        assert store.tip("garden") == a
        assert store.move("garden", a, b)
        assert store.tip("garden") == b


def test_a_move_sees_what_git_packed_meanwhile(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        a, b = written(store, "a"), written(store, "b")
        assert store.move("garden", None, a)
        git(repository, "pack-refs", "--all", "--prune")
        assert store.tip("garden") == a
        assert not store.move("garden", None, b)
        assert store.move("garden", a, b)
        git(repository, "pack-refs", "--all", "--prune")
        assert store.move("garden", b, a)
        assert store.tip("garden") == a


def test_refs_packed_twice_in_one_second_are_read_as_they_are_now(repository: Path) -> None:
    """A later packed-refs may have inode, size and second of an earlier one, by which git tells them apart."""
    packed = repository / "packed-refs"
    with closing(GitStore(repository)) as store:
        a, b = written(store, "a"), written(store, "b")
        store.move("garden", None, a)
        git(repository, "pack-refs", "--all", "--prune")
        assert store.tip("garden") == a  # seen once, from here on the git that reads objects is asked
        for old, new in [(a, b), (b, a)] * 10:
            content = packed.read_text()
            with packed.open("r+") as file:  # the same inode
                file.write(content.replace(old, new))
            assert store.tip("garden") == new


def test_a_move_is_in_the_reflog_when_the_repository_keeps_one(repository: Path) -> None:
    git(repository, "config", "core.logAllRefUpdates", "always")
    with closing(GitStore(repository)) as store:
        store.move("garden", None, written(store))
    assert "coordjournal: append" in git(repository, "reflog", "show", "refs/spaces/garden")


def test_only_the_ref_of_exactly_the_name_is_a_tip(repository: Path) -> None:
    """git also takes refs/spaces/x for refs/heads/refs/spaces/x, and anything-g1234abc for the commit 1234abc."""
    with closing(GitStore(repository)) as store:
        name = written(store)
        git(repository, "update-ref", "refs/heads/refs/spaces/garden", name)
        assert store.tip("garden") is None
        described = f"release-g{name[:8]}"
        assert store.tip(described) is None
        assert store.move(described, None, name)
        assert store.tip(described) == name
        assert list(store.tips()) == [described]


def test_a_tip_can_be_asked_for_ahead_but_once(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        one, other = written(store, "one"), written(store, "other")
        assert store.move("garden", None, one)
        before = children()
        store.ask_ahead("garden")
        assert len(children() - before) == 1
        assert store.tip("elsewhere") is None
        assert store.tip("garden") == one
        assert store.move("garden", one, other)
        assert store.tip("garden") == other
        store.ask_ahead("garden")
        store.ask_ahead("elsewhere")

        def in_child() -> bool:
            asked = store.tip("elsewhere") is None and store.move("elsewhere", None, one)
            return asked and store.tip("elsewhere") == one

        assert forked(in_child)
    assert children() == before


@pytest.mark.parametrize("ahead", [False, True])
def test_damage_below_the_ref_of_a_log_is_not_its_own(repository: Path, ahead: bool) -> None:
    """git fails on what lies below too: refs/spaces/a is a folder where refs/spaces/a/b is a ref."""
    with closing(GitStore(repository)) as store:
        git(repository, "update-ref", "refs/spaces/a/b", written(store))
        (repository / "refs/spaces/a/b").write_text("1" * 40 + "\n")
        if ahead:
            store.ask_ahead("a")
        assert store.tip("a") is None


def test_refs_that_spell_no_space_are_no_tips(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        name = written(store)
        for space in ("b", "a", "ß", "a/b"):
            assert store.move(space, None, name)
        git(repository, "update-ref", "refs/spaces/UPPER", name)
        git(repository, "update-ref", "refs/spaces/deep/er", name)
        assert list(store.tips()) == ["a", "a/b", "b", "ß"]


def test_a_ref_that_another_process_holds_is_waited_for(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        name = written(store)
        lock = repository / "refs" / "spaces" / "garden.lock"
        lock.parent.mkdir(parents=True)
        lock.touch()
        threading.Timer(0.05, lock.unlink).start()
        assert store.move("garden", None, name)


def test_a_lock_that_nobody_takes_away_is_an_error_that_names_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_LOCK_SECONDS", 0.02)
    with closing(GitStore(repository)) as store:
        name = written(store)
        lock = repository / "refs" / "spaces" / "garden.lock"
        lock.parent.mkdir(parents=True)
        lock.touch()
        with pytest.raises(GitFailed, match=r"garden\.lock"):
            store.move("garden", None, name)
        lock.unlink()
        assert store.move("garden", None, name)


def test_a_log_whose_tip_is_missing_is_not_an_empty_log(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        name = written(store)
        (repository / "refs" / "spaces").mkdir(exist_ok=True)
        (repository / "refs" / "spaces" / "garden").write_text("1" * 40 + "\n")
        with pytest.raises(GitFailed, match="refs/spaces/garden"):
            store.tip("garden")
        git(repository, "update-ref", "refs/spaces/tree", git(repository, "rev-parse", f"{name}^{{tree}}"))
        with pytest.raises(GitFailed, match="refs/spaces/tree"):
            store.tip("tree")


def test_what_a_group_shares_stays_shared(tmp_path: Path) -> None:
    path = tmp_path / "journal.git"
    run("git", "init", "--quiet", "--bare", "--shared=group", path)
    git(path, "config", "core.logAllRefUpdates", "always")
    before = os.umask(0o077)
    try:
        with closing(GitStore(path)) as store:
            for number in range(3):
                store.move(f"space/{number}", None, written(store, f"note {number}"))
            store.add([("blob", b"%d" % number) for number in range(100)])  # a pack
    finally:
        os.umask(before)
    for where in ("objects", "refs", "logs"):
        for folder, _, files in os.walk(path / where):
            mode = os.stat(folder).st_mode
            assert mode & stat.S_IWGRP and mode & stat.S_ISGID, folder
            for name in files:
                if where == "logs":
                    assert os.stat(os.path.join(folder, name)).st_mode & stat.S_IWGRP, name
                assert os.stat(os.path.join(folder, name)).st_mode & stat.S_IRGRP, name


# -- whose business it is --------------------------------------------------------------------------------------------


def test_the_callers_environment_does_not_say_what_is_read(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = init(tmp_path / "other.git")
    for name in ("GIT_DIR", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(other))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / "objects"))
    monkeypatch.setenv("GIT_NAMESPACE", "elsewhere")
    with closing(GitStore(repository)) as store:
        name = written(store)
        assert store.move("garden", None, name)
        assert store.tip("garden") == name
    assert not list((other / "objects").glob("??"))
    assert (repository / "refs" / "spaces" / "garden").read_text().strip() == name


def test_replace_refs_have_no_say(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        name, other = written(store), written(store, "other")
        git(repository, "replace", name, other)
        found = store.object(name, "commit")
        assert found and found[1].endswith(b"a note\n")


@pytest.mark.parametrize("kind", ["nothing", "a file", "an empty folder"])
def test_what_is_no_repository_is_not_a_journal(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "place"
    if kind == "a file":
        path.touch()
    elif kind == "an empty folder":
        path.mkdir()
    with pytest.raises(NotAJournal):
        GitStore(path)


def test_the_settings_are_the_repositorys_own(repository: Path) -> None:
    git(repository, "config", "coordjournal.maxDecisionBytes", "10k")
    run("git", "config", "--global", "coordjournal.readOnly", "true")
    try:
        with closing(GitStore(repository)) as store:
            assert store.settings().decision_bytes == 10 * 1024
            assert store.settings().read_only is False
            git(repository, "config", "coordjournal.clockSkew", "soon")
            with pytest.raises(ValueError, match=r"clockskew.*soon"):
                store.settings()
    finally:
        run("git", "config", "--global", "--unset", "coordjournal.readOnly")


# -- processes, threads, forks ---------------------------------------------------------------------------------------


def test_it_can_be_used_again_after_close(repository: Path) -> None:
    store = GitStore(repository)
    name = written(store)
    assert store.move("garden", None, name)
    assert store.tip("garden") == store.resolve("refs/spaces/garden") == name
    before = children()
    store.close()
    store.close()
    assert children() < before
    assert store.tip("garden") == store.resolve("refs/spaces/garden") == name
    store.close()


def test_a_store_that_is_dropped_ends_its_process(repository: Path) -> None:
    store = GitStore(repository)
    before = children()
    assert store.resolve("refs/spaces/garden") is None
    assert len(children()) == len(before) + 1
    del store
    assert children() == before


def test_a_fork_leaves_the_parents_process_alone(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        name = written(store)
        assert store.resolve(name) == name

        def in_child() -> bool:
            before = open_files()
            found = store.resolve(name)
            store.close()  # as leaving a `with` block in the child does
            return found == name and written(store, "child") != name and open_files() <= before

        assert forked(in_child)
        process = store._objects._child
        assert process is not None and process._status is None
        os.kill(process._pid, 0)  # raises if the process is gone
        assert store.resolve(name) == name
        assert store._objects._child is process


def test_threads_share_it(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        names = [written(store, f"note {number}") for number in range(4)]
        wrong: list[str] = []

        def ask(name: str) -> None:
            for _ in range(50):
                if store.resolve(name) != name:
                    wrong.append(name)

        threads = [threading.Thread(target=ask, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_a_walk_that_is_left_early_ends_its_processes(repository: Path) -> None:
    parent = decide(repository)
    for seq in range(1, 4):
        parent = decide(repository, parent=parent, seq=seq)
    with closing(GitStore(repository)) as store:
        before = children()
        walk = store.commits(parent)
        assert next(walk)[0] == parent
        walk.close()
        assert children() == before
        assert [oid for oid, _ in store.commits(parent, oldest_first=True, count=2)][-1] == parent
        assert children() == before


def test_refs_move_all_together_or_not_at_all(repository: Path) -> None:
    with closing(GitStore(repository)) as store:
        one = decide(repository)
        store.update_refs([f"create refs/kept/{name} {one}" for name in "ab"], "test")
        assert store.refs("refs/kept/") == [("refs/kept/a", one), ("refs/kept/b", one)]
        (repository / "refs/kept/b.lock").touch()
        with pytest.raises(GitFailed, match=r"refs/kept/b\.lock"):
            store.update_refs([f"delete refs/kept/{name} {one}" for name in "ab"], "test")
        (repository / "refs/kept/b.lock").unlink()
        with pytest.raises(GitFailed, match="refs/kept/c"):
            store.update_refs([f"delete refs/kept/a {one}", f"update refs/kept/c {one} {one}"], "test")
        assert len(store.refs("refs/kept/")) == 2
        store.update_refs([f"delete refs/kept/{name} {one}" for name in "ab"], "test")
        store.update_refs([], "test")
        assert store.refs("refs/kept/") == []
