"""Journals: where they come from, what they hold open, and who may use one at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import decide, git, run

import coordjournal
from coordjournal import (
    AliasSet,
    Checkpoint,
    CoordjournalError,
    Journal,
    JournalRewound,
    NotAJournal,
    Queued,
    Refused,
    RemoteUnreachable,
    UnlawfulLog,
)

ROOT = str(Path(coordjournal.__file__).parent.parent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bare repository without hooks."""
    run("git", "init", "--quiet", "--bare", tmp_path / "server.git")
    return tmp_path / "server.git"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.open(path) as journal:
        yield journal


def appended(journal: Journal, space: str = "garden", target: str = "s:P") -> int:
    return journal.space(space).append(AliasSet("Home", target), actor="alice").seq


# -- open ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["absolute", "relative", "text"])
def test_a_bare_repository_holds_the_logs_itself(path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.chdir(path.parent)
    place: str | Path = {"absolute": path, "relative": Path(path.name), "text": path.name}[where]
    with Journal.open(place) as journal:
        monkeypatch.chdir("/")
        assert journal.remote is None
        assert appended(journal) == 0
        assert journal.spaces() == ["garden"]
    assert git(path, "log", "-1", "--format=%s", "refs/spaces/garden") == "alias-set: Home -> s:P"


def test_any_other_repository_is_a_clone_of_its_remote(path: Path, tmp_path: Path) -> None:
    run("git", "clone", "--quiet", path, tmp_path / "work")
    for place in (tmp_path / "work", tmp_path / "work" / ".git"):
        with Journal.open(place) as journal:
            assert journal.remote is not None
            appended(journal)
    (tmp_path / "work" / "deep").mkdir()
    with Journal.open(tmp_path / "work" / "deep") as journal:
        assert appended(journal) == 2
    with Journal.open(path) as server:
        assert server.space("garden").last_seq() == 2
    assert not git(tmp_path / "work", "for-each-ref", "refs/remotes", "refs/heads")


def test_the_remote_can_be_another_than_origin(path: Path, tmp_path: Path) -> None:
    run("git", "init", "--quiet", "--bare", tmp_path / "mirror.git")
    git(tmp_path / "mirror.git", "remote", "add", "up/stream", str(path))
    git(tmp_path / "mirror.git", "config", "coordjournal.remote", "up/stream")
    with Journal.open(tmp_path / "mirror.git") as journal, Journal.open(path) as server:
        appended(server)
        journal.sync()
        assert appended(journal) == 1
        assert server.space("garden").last_seq() == 1
    assert git(tmp_path / "mirror.git", "for-each-ref", "--format=%(refname)", "refs/coordjournal").endswith("/garden")


def test_a_linked_work_tree_is_the_same_clone(path: Path, tmp_path: Path) -> None:
    run("git", "clone", "--quiet", path, tmp_path / "work")
    git(tmp_path / "work", "commit", "--quiet", "--allow-empty", "-m", "start")
    git(tmp_path / "work", "worktree", "add", "--quiet", "../linked")
    with Journal.open(tmp_path / "linked") as linked, Journal.open(tmp_path / "work") as work:
        assert appended(linked) == 0
        assert appended(work, target="s:Q") == 1
        assert appended(linked) == 2


@pytest.mark.parametrize("kind", ["nothing", "a file", "a folder", "a repository without a remote", "another's"])
def test_what_is_no_journal_is_refused_with_the_reason(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    why = {
        "nothing": "there is no",
        "a file": "no folder",
        "a folder": "no git repository",
        "a repository without a remote": "coordjournal init",
        "another's": "dubious ownership",
    }[kind]
    if kind == "a file":
        place.touch()
    elif kind == "a folder":
        place.mkdir()
    elif kind != "nothing":
        run("git", "init", "--quiet", place)
    if kind == "another's":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(NotAJournal, match=why):
        Journal.open(place)


def test_the_callers_environment_does_not_choose_the_repository(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a program that a git hook of some other repository has started."""
    run("git", "init", "--quiet", "--bare", tmp_path / "other.git")
    other = tmp_path / "other.git"
    before = sorted(place.name for place in other.rglob("*"))
    for name, value in {
        "GIT_DIR": other,
        "GIT_COMMON_DIR": other,
        "GIT_OBJECT_DIRECTORY": other / "objects",
        "GIT_INDEX_FILE": other / "index",
        "GIT_NAMESPACE": "elsewhere",
        "GIT_QUARANTINE_PATH": other / "objects",
    }.items():
        monkeypatch.setenv(name, str(value))
    with Journal.open(path) as server, Journal.clone(str(path), tmp_path / "clone") as clone:
        assert appended(server) == 0
        clone.sync()
        assert appended(clone) == 1
    assert sorted(place.name for place in other.rglob("*")) == before


@pytest.mark.parametrize(
    ("config", "given", "appender"),
    [
        ({}, None, "Test"),
        ({"user.name": "node a"}, None, "node a"),
        ({"user.name": "node a", "coordjournal.appender": "node b"}, None, "node b"),
        ({"user.name": "Test."}, None, "coordjournal"),
        ({"coordjournal.appender": "node b"}, "node c", "node c"),
    ],
)
def test_the_appender_is_the_committer(path: Path, config: dict[str, str], given: str | None, appender: str) -> None:
    for key, value in config.items():
        git(path, "config", key, value)
    with Journal.open(path, appender=given) as journal:
        assert journal.appender == appender
        assert journal.space("garden").append(AliasSet("Home", "s:P"), actor="alice").appender == appender
    assert git(path, "log", "-1", "--format=%an %cn", "refs/spaces/garden") == f"alice {appender}"


def test_an_appender_that_git_would_change_is_refused(path: Path) -> None:
    with Journal.open(path, appender="<nobody>") as journal, pytest.raises(Refused) as refused:
        appended(journal)
    assert (refused.value.code, refused.value.place) == ("bad-commit", "header committer")


def test_a_bad_setting_is_named(path: Path, journal: Journal) -> None:
    git(path, "config", "coordjournal.clockSkew", "soon")
    with pytest.raises(CoordjournalError, match=r"clockskew.*soon"):
        appended(journal)


def test_a_setting_counts_at_once(path: Path, journal: Journal) -> None:
    assert appended(journal) == 0
    git(path, "config", "coordjournal.readOnly", "true")
    with pytest.raises(Refused) as refused:
        appended(journal)
    assert refused.value.code == "read-only"
    git(path, "config", "coordjournal.readOnly", "false")
    assert appended(journal) == 1


def test_what_cannot_be_written_to_says_so(path: Path, journal: Journal) -> None:
    git(path, "config", "core.repositoryFormatVersion", "1")
    git(path, "config", "extensions.preciousObjects", "true")
    with pytest.raises(NotAJournal, match="preciousobjects"):
        appended(journal)
    assert journal.space("garden").state().seq == -1


# -- clone -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["path", "relative path", "file url"])
def test_a_clone_is_a_repository_of_its_own(
    path: Path, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    appended(journal)
    monkeypatch.chdir(tmp_path)
    url = {"path": str(path), "relative path": path.name, "file url": f"file://{path}"}[spelling]
    with Journal.clone(url, "deep/down/clone") as clone:
        assert clone.spaces() == ["garden"]
        assert appended(clone) == 1
    monkeypatch.chdir("/")
    with Journal.open(tmp_path / "deep/down/clone") as again:
        assert appended(again) == 2
    assert journal.space("garden").last_seq() == 2
    git(tmp_path / "deep/down/clone", "fsck", "--strict")


def test_a_clone_of_an_empty_repository_waits_for_the_first_decision(
    path: Path, journal: Journal, tmp_path: Path
) -> None:
    with Journal.clone(str(path), tmp_path / "clone") as clone:
        assert clone.spaces() == []
        assert clone.space("garden").state().seq == -1
        assert appended(clone) == 0
    assert journal.space("garden").last_seq() == 0


def test_a_clone_of_a_sha_256_repository_is_one_too(tmp_path: Path) -> None:
    run("git", "init", "--quiet", "--bare", "--object-format=sha256", tmp_path / "server.git")
    with Journal.open(tmp_path / "server.git") as server:
        coordjournal.descriptor.publish(server.store)  # type: ignore[attr-defined]
        with Journal.clone(str(tmp_path / "server.git"), tmp_path / "before") as clone:
            assert appended(clone) == 0
            assert len(clone.space("garden").state().commit or "") == 64
        with Journal.clone(str(tmp_path / "server.git"), tmp_path / "after") as clone:
            assert appended(clone) == 1
        assert server.space("garden").last_seq() == 1
    git(tmp_path / "server.git", "fsck", "--strict")


def test_an_empty_folder_is_a_fine_place_for_a_clone(path: Path, tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    with Journal.clone(str(path), tmp_path / "clone") as clone:
        assert appended(clone) == 0


def test_a_clone_never_goes_where_something_is(path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotAJournal, match="not empty"):
        Journal.clone(str(path), tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").touch()
    with pytest.raises(NotAJournal, match="not empty"):
        Journal.clone(str(path), tmp_path / "full")
    assert [place.name for place in (tmp_path / "full").iterdir()] == ["kept"]


@pytest.mark.parametrize("place", ["clone", "deep/down/clone", "existing"])
@pytest.mark.parametrize("fault", ["nobody there", "unlawful"])
def test_a_clone_that_fails_leaves_nothing_behind(path: Path, tmp_path: Path, place: str, fault: str) -> None:
    if fault == "unlawful":
        git(path, "update-ref", "refs/spaces/garden", decide(path, seq=3))
    (tmp_path / "existing").mkdir()
    before = sorted(tmp_path.rglob("*"))
    expected = UnlawfulLog if fault == "unlawful" else RemoteUnreachable
    files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(expected):
        Journal.clone(str(path) if fault == "unlawful" else "file:///nowhere.git", tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before
    assert len(os.listdir("/proc/self/fd")) == files


def test_a_bad_space_is_refused_before_anything_is_made(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a space id"):
        Journal.clone(str(path), tmp_path / "clone", spaces=["garden", ""])
    assert not (tmp_path / "clone").exists()


def test_names_that_look_like_options_are_names(path: Path, journal: Journal, tmp_path: Path) -> None:
    appended(journal, "--all")
    appended(journal, "other")
    with pytest.raises(RemoteUnreachable):
        Journal.clone(f"--upload-pack=touch {tmp_path}/owned;", tmp_path / "clone")
    assert not (tmp_path / "owned").exists()
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        with Journal.clone(str(path), "--bare", spaces=["--all"]) as clone:
            assert clone.spaces() == ["--all"]
    finally:
        os.chdir(before)
    assert (tmp_path / "--bare").is_dir()


def test_a_clone_of_some_spaces_stays_so(path: Path, journal: Journal, tmp_path: Path) -> None:
    composed, decomposed = "Größe", "Gro\u0308ße"
    for space in (composed, "other"):
        appended(journal, space)
    with Journal.clone(str(path), tmp_path / "clone", spaces=[decomposed]) as clone:
        assert clone.spaces() == [composed]
    with Journal.open(tmp_path / "clone") as again:
        assert again.spaces() == [composed]
        appended(journal, "other")
        assert again.sync() == []
        # A space beyond the filter can be named all the same.
        assert appended(again, "other") == 2
        assert again.spaces() == [composed]


# -- many spaces -----------------------------------------------------------------------------------------------------

ODD = ["Größe/1", "a/b", "a", "..", "a...b", "CON", "x.lock", "%41", "ß", "\N{GRINNING FACE}" * 20]
ODD += ["A", "con", "-x", "x-g1234"]


def test_odd_names_live_beside_each_other_end_to_end(bare: Callable[..., Path], tmp_path: Path) -> None:
    path = bare()
    with Journal.clone(str(path), tmp_path / "a") as a, Journal.clone(str(path), tmp_path / "b") as b:
        for number, space in enumerate(ODD):
            writer = a if number % 2 else b
            assert writer.space(space).append(AliasSet("Home", f"s:{number}"), actor="alice").seq == 0
        for journal in (a, b):
            journal.sync()
            assert journal.spaces() == sorted(ODD, key=str.encode)
            for number, space in enumerate(ODD):
                assert journal.space(space).state().resolve("Home") == f"s:{number}"
    with Journal.clone(str(path), tmp_path / "c", spaces=ODD[:3]) as c:
        assert c.spaces() == sorted(ODD[:3], key=str.encode)
    git(path, "fsck", "--strict")


def test_a_space_is_one_object_whatever_its_unicode_form(journal: Journal) -> None:
    composed, decomposed = "Größe", "Gro\u0308ße"
    assert journal.space(decomposed) is journal.space(composed)
    assert journal.space(decomposed).id == composed


def test_a_log_under_another_unicode_form_keeps_its_name(path: Path, journal: Journal) -> None:
    decomposed = "Gro\u0308ße"
    git(path, "update-ref", "refs/spaces/%47ro%CC%88%C3%9Fe", decide(path, decomposed))
    assert journal.space(decomposed).id == decomposed
    assert journal.space(decomposed).state().seq == 0
    assert journal.space("Größe").state().seq == -1


@pytest.mark.parametrize("space", ["", "a\n", "x" * 81, "ß" * 41, "a\u202eb"])
def test_what_is_no_space_id_is_an_error_at_once(journal: Journal, space: str) -> None:
    with pytest.raises(ValueError, match="not a space id"):
        journal.space(space)


# -- the feed of a journal without a remote --------------------------------------------------------------------------


@pytest.fixture(params=["memory", "embedded"])
def local(request: pytest.FixtureRequest, path: Path) -> Iterator[Journal]:
    with Journal.memory() if request.param == "memory" else Journal.open(path) as journal:
        yield journal


def test_the_feed_is_space_by_space_in_order(local: Journal) -> None:
    for space in ("b", "a", "b"):
        appended(local, space)
    changes = list(local.changes())
    assert [(change.space, change.landed.seq) for change in changes] == [("a", 0), ("b", 0), ("b", 1)]
    assert changes[2].landed == local.space("b").state().landed(1)
    half = Checkpoint().after(changes[0]).after(changes[1])
    appended(local, "a")
    assert [(c.space, c.landed.seq) for c in local.changes(after=half)] == [("a", 1), ("b", 1)]
    assert list(local.changes(after=local.checkpoint())) == []
    with pytest.raises(JournalRewound):
        list(local.changes(after=Checkpoint({"a": "1" * 40})))


# -- threads, forks, processes, files --------------------------------------------------------------------------------


def test_threads_share_a_journal(local: Journal) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            space = local.space("garden")
            for step in range(4):
                space.append(AliasSet(f"{number}-{step}", "s:P"), actor=f"a{number}", timeout=60)
                assert space.state().resolve(f"{number}-{step}") == "s:P"
                local.space(f"own/{number}").append(AliasSet("Home", "s:P"), actor="alice")
                list(local.changes())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(local.space("garden").state().aliases) == 32
    assert local.space("garden").last_seq() == 31
    assert len(local.spaces()) == 9


def test_a_fork_can_go_on_with_it(local: Journal) -> None:
    appended(local)
    garden = local.space("garden")
    state = garden.state()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert state.resolve("Home") == garden.state().resolve("Home") == "s:P"
            with local:
                assert appended(local, target="s:child") == 1
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    seen = garden.state().seq
    assert seen == (0 if local.store.hash_name and not hasattr(local.store, "git_dir") else 1)
    assert appended(local) == seen + 1


def test_a_fork_while_another_thread_appends_does_not_hang(path: Path, journal: Journal) -> None:
    started, goes_on = threading.Event(), threading.Event()

    def when(_: object) -> bool:
        started.set()
        goes_on.wait(10)
        return True

    garden = journal.space("garden")
    slow = threading.Thread(target=lambda: garden.append(AliasSet("slow", "s:P"), actor="alice", when=when))
    slow.start()
    started.wait(10)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert garden.append(AliasSet("child", "s:P"), actor="bob").seq == 0
            status = 0
        finally:
            os._exit(status)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    goes_on.set()
    slow.join()
    assert ended == 0
    assert garden.state().aliases == {"child": "s:P", "slow": "s:P"}


def test_the_configuration_is_read_again_whatever_its_time(path: Path, journal: Journal) -> None:
    """As after `rsync --inplace --times` of a backup."""
    git(path, "config", "coordjournal.maxDecisionBytes", "65536")
    assert journal.settings().decision_bytes == 65536
    config = path / "config"
    before, content = config.stat(), config.read_text().replace("65536", "16384")
    with config.open("r+") as file:
        file.write(content)
    os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert journal.settings().decision_bytes == 16384


def test_nothing_is_left_open_after_close(path: Path, journal: Journal) -> None:
    for number in range(70):  # so that git may pack
        appended(journal, f"space {number % 7}")
    git(path, "gc", "--quiet")

    def use() -> None:
        with Journal.open(path) as other:
            assert other.space("space 0").state().seq >= 9
            appended(other, "space 0")
            next(other.space("space 1").log())
            next(other.changes())

    use()
    before = sorted(os.listdir("/proc/self/fd")), children()
    for _ in range(20):
        use()
    assert (sorted(os.listdir("/proc/self/fd")), children()) == before


def test_two_hundred_opens_leave_nothing(path: Path, journal: Journal) -> None:
    appended(journal)
    before = sorted(os.listdir("/proc/self/fd")), children()
    for _ in range(200):
        with Journal.open(path, extensions={}) as other:
            assert other.space("garden").last_seq() == 0
    assert (sorted(os.listdir("/proc/self/fd")), children()) == before


def children() -> set[int]:
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for file in lists for pid in file.read_text().split()}


def test_a_program_that_ends_without_close_leaves_no_process_and_no_complaint(path: Path, journal: Journal) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from coordjournal import AliasSet, Journal\n"
        "journal = Journal.open(sys.argv[1])\n"
        "journal.space('garden').append(AliasSet('Home', 's:P'), actor='alice')\n"
        "journal.space('garden').last_seq()\n"  # which a git that stays is asked for
        "print(pathlib.Path('/proc/self/task/%d/children' % os.getpid()).read_text())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", script, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    pids = done.stdout.split()
    assert pids and not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_importing_the_package_loads_next_to_nothing() -> None:
    script = "import sys; import coordjournal; print([m for m in ('typing', 'jsonschema', 'json') if m in sys.modules])"
    assert run(sys.executable, "-IS", "-c", f"import sys; sys.path.insert(0, {ROOT!r}); {script}").stdout == "[]\n"
    assert set(coordjournal.__all__) <= set(dir(coordjournal))
    for name in coordjournal.__all__:
        assert getattr(coordjournal, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        coordjournal.no_such_name  # type: ignore[attr-defined]  # noqa: B018


# -- the outbox ------------------------------------------------------------------------------------------------------


def test_a_sync_sends_what_waits_in_every_space(path: Path, journal: Journal, tmp_path: Path) -> None:
    assert journal.outbox is None and journal.send() == []
    with Journal.clone(str(path), tmp_path / "clone") as clone:
        path.rename(tmp_path / "away.git")
        for space in ("b", "a", "b"):
            with pytest.raises(Queued):
                appended(clone, space)
        assert [(sent.entry.space, sent.landed) for sent in clone.send()] == [("b", ()), ("a", ())]
        (tmp_path / "away.git").rename(path)
        assert clone.sync() == []
        assert clone.outbox is not None and clone.outbox.entries() == []
        assert [change.space for change in clone.changes()] == ["a", "b", "b"]
    assert journal.spaces() == ["a", "b"]


def test_a_sync_tells_what_others_appended_though_something_cannot_be_sent(
    path: Path, journal: Journal, tmp_path: Path
) -> None:
    with Journal.clone(str(path), tmp_path / "clone") as clone:
        path.rename(tmp_path / "away.git")
        with pytest.raises(Queued):
            clone.space("garden").append(AliasSet("Home", "s:mine"), actor="alice", expect=-1)
        (tmp_path / "away.git").rename(path)
        appended(journal)
        assert [change.landed.seq for change in clone.sync()] == [0]
        assert clone.outbox is not None
        [entry] = clone.outbox.entries()
        assert entry.state == "rejected" and entry.refusal is not None
    with Journal.open(tmp_path / "clone") as again:
        assert again.outbox is not None
        assert again.outbox.entries() == [entry]
        assert again.send() == []
