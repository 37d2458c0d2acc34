"""Sync: what is new comes, checked and in order; a remote that went wrong changes nothing here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import decide, git, run

import coordjournal
from coordjournal import (
    AliasSet,
    Change,
    Checkpoint,
    GitFailed,
    Journal,
    JournalRewound,
    RemoteUnreachable,
    UnlawfulLog,
    UnsupportedVersion,
    sync,
)
from coordjournal.remote import Remote
from coordjournal.store import GitStore

ROOT = str(Path(coordjournal.__file__).parent.parent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bare repository without hooks, so that anything can happen to its logs."""
    run("git", "init", "--quiet", "--bare", tmp_path / "server.git")
    return tmp_path / "server.git"


@pytest.fixture
def server(path: Path) -> Iterator[Journal]:
    with Journal.open(path) as journal:
        yield journal


@pytest.fixture
def clone(server: Journal, path: Path, tmp_path: Path) -> Iterator[Journal]:
    """A clone of the server with three decisions in ``garden`` and one in ``Größe/1``."""
    fill(server, "garden", 3)
    fill(server, "Größe/1", 1)
    with Journal.clone(str(path), tmp_path / "clone") as journal:
        yield journal


def fill(journal: Journal, space: str, count: int) -> None:
    for number in range(count):
        journal.space(space).append(AliasSet(f"name{number}", f"s:{number}"), actor="alice")


def told(changes: list[Change]) -> list[tuple[str, int]]:
    return [(change.space, change.landed.seq) for change in changes]


def refs(where: Path | Journal) -> str:
    """Every ref, its object, and what the reflogs say."""
    git_dir = Path(where.store.git_dir) if isinstance(where, Journal) and isinstance(where.store, GitStore) else where
    assert isinstance(git_dir, Path)
    logs = sorted(str(log.relative_to(git_dir)) for log in (git_dir / "logs").rglob("*") if log.is_file())
    return "\n".join([git(git_dir, "for-each-ref"), *logs])


def tip(path: Path, space: str = "garden") -> str:
    return git(path, "rev-parse", f"refs/spaces/{space}")


# -- what is new -----------------------------------------------------------------------------------------------------


def test_a_clone_has_everything_and_a_sync_brings_only_what_is_new(server: Journal, clone: Journal) -> None:
    assert clone.spaces() == ["Größe/1", "garden"]
    assert clone.sync() == []
    fill(server, "garden", 2)
    fill(server, "another", 1)
    changes = clone.sync()
    assert told(changes) == [("another", 0), ("garden", 3), ("garden", 4)]
    assert changes[1].landed == server.space("garden").state().landed(3)
    assert clone.sync() == []
    assert clone.space("garden").state().json() == server.space("garden").state().json()


def test_what_this_clone_appends_is_not_news_to_it(server: Journal, clone: Journal) -> None:
    clone.space("garden").append(AliasSet("Home", "s:P"), actor="bob")
    assert clone.sync() == []
    assert server.space("garden").state().seq == 3


def test_a_journal_without_a_remote_has_nothing_to_sync(server: Journal) -> None:
    fill(server, "garden", 1)
    assert server.sync() == []
    assert Journal.memory().sync() == []


def test_the_remote_is_told_apart_by_space(server: Journal, path: Path, tmp_path: Path) -> None:
    fill(server, "garden", 1)
    fill(server, "other", 1)
    with Journal.clone(str(path), tmp_path / "only", spaces=["garden", "later"]) as clone:
        assert clone.spaces() == ["garden"]
        fill(server, "garden", 1)
        fill(server, "other", 1)
        fill(server, "later", 1)
        assert told(clone.sync()) == [("garden", 1), ("later", 0)]
    with Journal.open(tmp_path / "only") as again:
        fill(server, "other", 1)
        fill(server, "later", 1)
        assert told(again.sync()) == [("later", 1)]
        assert told(list(again.changes())) == [("garden", 0), ("garden", 1), ("later", 0), ("later", 1)]


# -- the feed --------------------------------------------------------------------------------------------------------


def test_the_feed_goes_on_where_its_reader_stopped(server: Journal, clone: Journal, tmp_path: Path) -> None:
    seen = Checkpoint()
    stopped_at = 2
    for number, change in enumerate(clone.changes(seen)):
        if number == stopped_at:
            break
        seen = seen.after(change)
    kept = seen.dumps()  # over a restart of the reader
    with Journal.open(tmp_path / "clone") as again:
        fill(server, "garden", 1)
        again.sync()
        rest = list(again.changes(after=Checkpoint.loads(kept)))
        assert told(rest) == [("garden", 1), ("garden", 2), ("garden", 3)]
        for change in rest:
            seen = seen.after(change)
        assert list(again.changes(after=seen)) == []
        assert seen == again.checkpoint() == Checkpoint.loads(again.checkpoint().dumps())


def test_a_reader_in_another_process_misses_nothing(server: Journal, clone: Journal, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from coordjournal import Checkpoint, Journal\n"
        "with Journal.open(sys.argv[1]) as journal:\n"
        "    journal.sync()\n"
        "    seen = Checkpoint.loads(sys.argv[2])\n"
        "    for change in journal.changes(after=seen):\n"
        "        seen = seen.after(change)\n"
        "        print(change.space, change.landed.seq)\n"
        "    print(seen.dumps())\n"
    )
    checkpoint, found = "{}", []
    for _ in range(2):
        fill(server, "garden", 1)
        said = run(sys.executable, "-c", script, tmp_path / "clone", checkpoint, cwd=ROOT).stdout.splitlines()
        found.append(said[:-1])
        checkpoint = said[-1]
    assert found == [["Größe/1 0", *(f"garden {seq}" for seq in range(4))], ["garden 4"]]
    assert Checkpoint.loads(checkpoint).seen["garden"] == server.space("garden").state().commit


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"garden":1}', '{"garden":""}', "null", "{", '"garden"', pytest.param("[" * 100_000, id="too deep")],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Checkpoint.loads(text)


def test_a_checkpoint_of_another_log_is_a_rewind(server: Journal, clone: Journal, path: Path) -> None:
    fill(server, "garden", 1)
    for strange in (decide(path), "1" * 40, "main", "HEAD~1", "-x", "a\nb"):
        with pytest.raises(JournalRewound) as error:
            list(server.changes(after=Checkpoint({"garden": strange})))
        assert (error.value.space, error.value.known) == ("garden", strange)
    with pytest.raises(JournalRewound) as error:
        list(server.changes(after=Checkpoint({"lost": tip(path)})))
    assert (error.value.space, error.value.found) == ("lost", None)


def test_a_checkpoint_that_is_ahead_of_the_log_is_a_rewind(server: Journal, path: Path) -> None:
    fill(server, "garden", 3)
    checkpoint = server.checkpoint()
    git(path, "update-ref", "refs/spaces/garden", f"{tip(path)}~1")
    with Journal.open(path) as again, pytest.raises(JournalRewound):
        list(again.changes(after=checkpoint))


def test_what_another_process_has_fetched_already_is_read_back(
    server: Journal, clone: Journal, path: Path
) -> None:
    """One commit that is known, one that is behind the tip here, one that came meanwhile, one that is not there."""
    assert isinstance(clone.store, GitStore) and clone.remote is not None
    old = tip(path)
    assert sync.read_back(clone.store, clone.remote, "garden", old)
    before = refs(clone)
    for commit in (git(path, "rev-parse", f"{old}~1"), "1" * 40):
        assert not sync.read_back(clone.store, clone.remote, "garden", commit)
        assert refs(clone) == before
    fill(server, "garden", 1)
    new = tip(path)
    fill(server, "garden", 1)
    assert sync.read_back(clone.store, clone.remote, "garden", new)
    assert clone.store.tip("garden") == new
    assert told(clone.sync()) == [("garden", 4)]


def test_a_commit_that_breaks_the_law_is_not_read_back(clone: Journal, path: Path) -> None:
    assert isinstance(clone.store, GitStore) and clone.remote is not None
    before = refs(clone)
    git(path, "update-ref", "refs/spaces/garden", wrong_seq(path))
    assert not sync.read_back(clone.store, clone.remote, "garden", tip(path))
    assert refs(clone) == before


# -- a remote that went wrong ----------------------------------------------------------------------------------------


def rewind(path: Path) -> None:
    git(path, "update-ref", "refs/spaces/garden", f"{tip(path)}~1")


def rewind_and_go_on(path: Path) -> None:
    parent = git(path, "rev-parse", f"{tip(path)}~2")
    for seq in (1, 2, 3, 4):
        parent = decide(path, parent=parent, seq=seq, target="s:other")
    git(path, "update-ref", "refs/spaces/garden", parent)


def replace_history(path: Path) -> None:
    git(path, "update-ref", "refs/spaces/garden", decide(path, target="s:other"))


def lose_the_log(path: Path) -> None:
    git(path, "update-ref", "-d", "refs/spaces/garden")


@pytest.mark.parametrize("accident", [rewind, rewind_and_go_on, replace_history, lose_the_log])
def test_a_log_that_went_backwards_is_an_error_and_nothing_changes(
    server: Journal, clone: Journal, path: Path, accident: object
) -> None:
    fill(server, "another", 1)  # good news beside the bad ones does not come in either
    known = clone.space("garden").state().commit
    before = refs(clone)
    accident(path)  # type: ignore[operator]
    for _ in range(2):
        with pytest.raises(JournalRewound) as error:
            clone.sync()
        assert error.value.space == "garden"
        assert error.value.known == known
        assert error.value.found == (None if accident is lose_the_log else tip(path))
        assert refs(clone) == before
    assert clone.space("garden").state().commit == known
    with pytest.raises(JournalRewound):
        clone.space("garden").append(AliasSet("Home", "s:P"), actor="bob")
    assert refs(clone) == before


def test_a_log_that_went_backwards_is_seen_by_who_holds_it_open(server: Journal, path: Path) -> None:
    fill(server, "garden", 3)
    state = server.space("garden").state()
    rewind(path)
    with pytest.raises(JournalRewound):
        server.space("garden").state()
    assert state.seq == 2 and state.resolve("name2") == "s:2"  # what was handed out stays


def wrong_seq(path: Path) -> str:
    good = decide(path, parent=tip(path), seq=3)
    return decide(path, parent=decide(path, parent=good, seq=9), seq=10)


def wrong_space(path: Path) -> str:
    return decide(path, "other", parent=tip(path), seq=3)


def merge(path: Path) -> str:
    return plain(path, tip(path), decide(path))


def no_decision(path: Path) -> str:
    return plain(path, tip(path))


def not_a_commit(path: Path) -> str:
    return git(path, "rev-parse", f"{tip(path)}^{{tree}}")


def what_fsck_does_not_like(path: Path) -> str:
    good = git(path, "cat-file", "commit", decide(path, parent=tip(path), seq=3)) + "\n"
    bad = good.replace("author alice <>", "author alice<>").encode()
    return git(path, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=bad)


def plain(path: Path, *parents: str) -> str:
    tree = git(path, "mktree")
    return git(path, "commit-tree", "-m", "not a decision", *(word for p in parents for word in ("-p", p)), tree)


@pytest.mark.parametrize(
    ("accident", "code", "seq"),
    [
        (wrong_seq, "seq", 4),
        (wrong_space, "wrong-space", 3),
        (merge, "merge", 3),
        (no_decision, "bad-commit", 3),
        (not_a_commit, "not-a-commit", 3),
        (what_fsck_does_not_like, "bad-commit", 3),
    ],
)
def test_a_log_that_breaks_the_law_is_not_taken(
    server: Journal, clone: Journal, path: Path, accident: object, code: str, seq: int
) -> None:
    fill(server, "another", 1)
    before = refs(clone)
    bad = accident(path)  # type: ignore[operator]
    run("git", "-C", path, "update-ref", "--no-deref", "refs/spaces/garden", bad)
    for _ in range(2):
        with pytest.raises(UnlawfulLog) as error:
            clone.sync()
        assert error.value.refusal.code == code
        assert error.value.refusal.ref == "refs/spaces/garden"
        assert error.value.refusal.seq == seq
        assert refs(clone) == before
    git(path, "update-ref", "refs/spaces/garden", clone.space("garden").state().commit or "")
    assert told(clone.sync()) == [("another", 0)]


def test_a_later_format_is_no_break_of_the_law_but_beyond_this_reader(
    server: Journal, clone: Journal, path: Path
) -> None:
    before = refs(clone)
    raw = git(path, "cat-file", "commit", decide(path, parent=tip(path), seq=3)) + "\n"
    later = git(path, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw.replace('"v":1}', '"v":2}').encode())
    git(path, "update-ref", "refs/spaces/garden", later)
    with pytest.raises(UnsupportedVersion, match=rf"{later} holds a decision of format 2.* reads format 1"):
        clone.sync()
    assert refs(clone) == before
    zero = git(path, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw.replace('"v":1}', '"v":0}').encode())
    git(path, "update-ref", "refs/spaces/garden", zero)
    with pytest.raises(UnlawfulLog, match="schema at v"):
        clone.sync()


def test_a_new_log_that_breaks_the_law_is_not_taken_either(path: Path, clone: Journal) -> None:
    before = refs(clone)
    git(path, "update-ref", "refs/spaces/new", decide(path, "new", seq=1))
    with pytest.raises(UnlawfulLog, match="refs/spaces/new Seq 0"):
        clone.sync()
    assert refs(clone) == before


def test_a_remote_that_is_not_there_changes_nothing(clone: Journal, path: Path, tmp_path: Path) -> None:
    before = refs(clone)
    path.rename(tmp_path / "elsewhere.git")
    with pytest.raises(RemoteUnreachable):
        clone.sync()
    assert refs(clone) == before
    assert clone.space("garden").state().seq == 2


# -- interrupted, and several at once --------------------------------------------------------------------------------


def test_a_sync_that_was_killed_leaves_nothing_that_the_next_one_does_not_take_away(
    server: Journal, clone: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server, "garden", 1)
    script = (
        "import os, sys\n"
        "from coordjournal import Journal, sync\n"
        "sync._move = lambda *_: os.kill(os.getpid(), 9)\n"
        "Journal.open(sys.argv[1]).sync()\n"
    )
    done = run(sys.executable, "-c", script, tmp_path / "clone", cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert sync.INCOMING in refs(clone)
    assert told(clone.sync()) == [("garden", 3)]
    assert sync.INCOMING not in refs(clone)


def test_leftovers_go_even_when_there_is_no_news(clone: Journal) -> None:
    git(Path(str(clone.store.git_dir)), "update-ref", f"{sync.INCOMING}spaces/garden", clone.store.tips()["garden"])
    assert clone.sync() == []
    assert sync.INCOMING not in refs(clone)


def test_processes_that_sync_one_clone_wait_for_each_other(server: Journal, clone: Journal, tmp_path: Path) -> None:
    words = [sys.executable, "-c", "import sys, coordjournal; coordjournal.Journal.open(sys.argv[1]).sync()"]
    workers = [
        subprocess.Popen([*words, str(tmp_path / "clone")], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for _ in range(10):
        fill(server, "garden", 1)
        clone.sync()
    for worker in workers:
        _, said = worker.communicate()
        assert worker.returncode == 0, said
    clone.sync()
    assert clone.space("garden").state().json() == server.space("garden").state().json()
    assert sync.INCOMING not in refs(clone)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_log_that_this_clone_makes_while_the_remote_is_asked_is_no_lost_one(
    server: Journal, clone: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    fill(server, "third", 1)
    with Journal.open(tmp_path / "clone") as other:
        around(monkeypatch, Remote.tips, **{when: lambda: fill(other, "new", 1)})
        assert told(clone.sync()) == [("third", 0)]
    assert clone.sync() == []
    assert clone.spaces() == ["Größe/1", "garden", "new", "third"]


def test_a_log_that_this_clone_continues_during_a_sync_is_no_failure(
    server: Journal, clone: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync has fetched what an append of another process has pushed, just before that moves the log here too."""
    git_dir = Path(str(clone.store.git_dir))
    known = tip(path)
    mine = decide(git_dir, parent=known, seq=3)
    fill(server, "third", 1)

    def pushed() -> None:
        git(git_dir, "push", "--quiet", "origin", f"{mine}:refs/spaces/garden")

    def moved() -> None:
        git(git_dir, "update-ref", "refs/coordjournal/origin/garden", mine, known)

    around(monkeypatch, Remote.tips, before=pushed)
    around(monkeypatch, Remote.fetch, after=moved)
    assert told(clone.sync()) == [("third", 0)]
    assert clone.space("garden").state().commit == mine
    assert sync.INCOMING not in refs(clone)


def around(
    monkeypatch: pytest.MonkeyPatch,
    method: Callable[..., Any],
    before: Callable[[], None] | None = None,
    after: Callable[[], None] | None = None,
) -> None:
    """Does something before or after the first call of a method of :class:`Remote`."""
    calls: list[None] = []

    def wrapped(*arguments: Any) -> Any:
        calls.append(None)
        if before and len(calls) == 1:
            before()
        answer = method(*arguments)
        if after and len(calls) == 1:
            after()
        return answer

    monkeypatch.setattr(Remote, method.__name__, wrapped)


def test_a_lock_that_stays_is_an_error_and_changes_nothing(
    server: Journal, clone: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordjournal.store._LOCK_SECONDS", 0.1)
    fill(server, "garden", 1)
    before = refs(clone)
    lock = Path(str(clone.store.git_dir)) / "refs" / "coordjournal" / "origin" / "garden.lock"
    lock.touch()
    with pytest.raises(GitFailed, match=r"garden\.lock"):
        clone.sync()
    lock.unlink()
    assert refs(clone) == before
    assert told(clone.sync()) == [("garden", 3)]


def test_a_lock_that_somebody_holds_is_waited_for_and_is_no_failure_where_all_has_moved(
    server: Journal, clone: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a git that packs refs in the clone holds it."""
    lock = Path(str(clone.store.git_dir)) / "packed-refs.lock"
    forget = sync._forget
    for seq, ends in ((3, True), (4, False)):
        fill(server, "garden", 1)

        def held(store: GitStore, ends: bool = ends) -> None:
            lock.touch()
            if ends:
                threading.Timer(1.2, lock.unlink).start()
            forget(store)

        monkeypatch.setattr(sync, "_forget", held)
        assert told(clone.sync()) == [("garden", seq)]
        assert sync.INCOMING not in refs(clone) or not ends
        monkeypatch.setattr("coordjournal.store._LOCK_SECONDS", 0.1)
    lock.unlink()
    monkeypatch.setattr(sync, "_forget", forget)
    assert clone.sync() == []
    assert sync.INCOMING not in refs(clone)


def test_a_fork_does_not_wait_for_a_sync_that_it_has_no_part_in(clone: Journal) -> None:
    """It would have the lock itself, and wait for it for ever."""
    assert isinstance(clone.store, GitStore)
    read, write = os.pipe()
    with sync.alone(clone.store, "sync.lock"):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os.read(read, 1)  # until the parent has let go
            with sync.alone(clone.store, "sync.lock"):
                os._exit(0)
    os.write(write, b"x")
    assert os.waitpid(child, 0)[1] == 0
    os.close(read)
    os.close(write)


def test_a_sync_that_is_interrupted_tidies_up(
    server: Journal, clone: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server, "garden", 1)
    before = refs(clone)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sync, "_move", interrupted)
        with pytest.raises(KeyboardInterrupt):
            clone.sync()
    assert refs(clone) == before
    assert told(clone.sync()) == [("garden", 3)]


def test_threads_sync_and_append_through_one_journal(server: Journal, clone: Journal) -> None:
    failed: list[BaseException] = []

    def guarded(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            failed.append(error)

    works = [
        lambda: fill(clone, "garden", 5),
        lambda: fill(clone, "new", 5),
        lambda: [clone.sync() for _ in range(8)],
        lambda: fill(server, "garden", 5),
    ]
    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    clone.sync()
    for space, seq in (("garden", 12), ("new", 4)):
        assert clone.space(space).state().seq == seq
        assert clone.space(space).state().json() == server.space(space).state().json()


def test_no_file_is_left_open(server: Journal, clone: Journal) -> None:
    before = 0
    for number in range(3):
        fill(server, "garden", 1)
        assert len(clone.sync()) == 1
        before = before if number else len(os.listdir("/proc/self/fd"))
    assert len(os.listdir("/proc/self/fd")) == before
