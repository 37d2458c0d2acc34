"""Reading through git: objects, chains and settings, of healthy and of damaged repositories."""

import contextlib
import itertools
import os
import resource
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from pushing import Author, git, write_program

from coordjournal import attachments, gitread, packing
from coordjournal.errors import GitFailed
from coordjournal.gitread import Child, Objects, ask_config, commits, config, environment, ref


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return Author(tmp_path_factory.mktemp("gitread") / "author.git")


def env_of(author: Author) -> dict[str, str]:
    return environment(str(author.path), os.environ)


# ------------------------------------------------------------------------------------------------ environment


def test_nothing_of_the_callers_environment_is_passed_on() -> None:
    outer = {"PATH": "/bin", "GIT_DIR": "/elsewhere", "GIT_TRACE": "1", "LD_PRELOAD": "x", "GIT_OBJECT_DIRECTORY": "/x"}
    env = environment("/repository.git", outer)
    assert env["PATH"] == "/bin"
    assert env["GIT_DIR"] == "/repository.git"
    assert not env.keys() & {"GIT_TRACE", "LD_PRELOAD", "GIT_OBJECT_DIRECTORY", "HOME"}


def test_without_a_path_there_is_a_usual_one() -> None:
    assert environment("/repository.git", {})["PATH"] == "/bin:/usr/bin"


@pytest.mark.parametrize(
    ("given_paths", "own"),
    [
        ("/srv/a.git/objects", "/srv/a.git/objects"),
        ("/lent/objects:/srv/a.git/objects", "/srv/a.git/objects"),
        ('"/le:nt":/srv/a.git/objects', "/srv/a.git/objects"),
        ('"/srv/a:b/objects"', '"/srv/a:b/objects"'),
        ('/lent:"/le\\"nt:":"/srv/a:\\"b\\":c/objects"', '"/srv/a:\\"b\\":c/objects"'),
        ("", ""),
    ],
)
def test_only_the_object_directory_that_git_added_itself_is_read(given_paths: str, own: str) -> None:
    outer = {"GIT_QUARANTINE_PATH": "/q", "GIT_OBJECT_DIRECTORY": "/o", "GIT_ALTERNATE_OBJECT_DIRECTORIES": given_paths}
    env = environment(".", outer, quarantine=True)
    assert env["GIT_OBJECT_DIRECTORY"] == "/q"
    assert env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] == own
    assert "GIT_OBJECT_DIRECTORY" not in environment(".", outer)


def test_a_quarantine_that_only_the_object_directory_tells_of(tmp_path: Path) -> None:
    """GitLab does not hand git's GIT_QUARANTINE_PATH on to the hooks of a repository."""
    objects = tmp_path / "a.git" / "objects"
    held_back = objects / "tmp_objdir-incoming-x"
    held_back.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "a.git")
    for inside in (held_back, link / "objects" / "tmp_objdir-incoming-x"):
        outer = {"GIT_OBJECT_DIRECTORY": str(inside), "GIT_ALTERNATE_OBJECT_DIRECTORIES": f"/lent:{objects}"}
        env = environment(str(tmp_path / "a.git"), outer, quarantine=True)
        assert env["GIT_OBJECT_DIRECTORY"] == str(inside)
        assert env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] == str(objects)
    for elsewhere in ("/o", str(tmp_path / "b" / "objects"), str(held_back / "deeper"), "relative", ""):
        env = environment(str(tmp_path / "a.git"), {"GIT_OBJECT_DIRECTORY": elsewhere}, quarantine=True)
        assert "GIT_OBJECT_DIRECTORY" not in env


# ---------------------------------------------------------------------------------------------------- objects


def test_an_empty_name_is_asked_of_nobody(author: Author) -> None:
    """git was never sent the question, and its answer waited for."""
    with Objects(env_of(author)) as objects:
        assert objects.ask("") is None
        assert objects.read("", "commit") is None


def test_objects_by_name(author: Author) -> None:
    blob, other = author.blob(b"one\n\ntwo"), author.blob(b"")
    with Objects(env_of(author)) as objects:
        assert objects.ask(blob) == (blob, "blob", 8)
        assert objects.take(8) == b"one\n\ntwo"
        assert objects.read(other, "blob") == (other, b"")
        assert objects.read(blob, "commit") is None
        assert objects.read(blob, "blob", most=7) is None
        assert objects.read(blob, "blob", most=8) == (blob, b"one\n\ntwo")
        assert objects.ask("1" * 40) is None
        assert objects.ask("refs/heads/none") is None
        assert objects.ask(f"{blob}\n{blob}") is None
        assert objects.ask("\udcff") is None
        assert objects.read(blob, "blob") == (blob, b"one\n\ntwo")


def test_a_question_asked_ahead(author: Author) -> None:
    blob, other = author.blob(b"one"), author.blob(b"two")
    with Objects(env_of(author)) as objects:
        objects.ask_ahead(blob)
        assert objects.read(blob, "blob") == (blob, b"one")
        objects.ask_ahead(blob)
        assert objects.read(other, "blob") == (other, b"two")
        objects.ask_ahead(blob)
        objects.ask_ahead(other)
        assert objects.read(other, "blob") == (other, b"two")


def test_a_large_object_left_unread(author: Author) -> None:
    blob, other = author.blob(os.urandom(1 << 20)), author.blob(b"two")
    with Objects(env_of(author)) as objects:
        assert objects.ask(blob) == (blob, "blob", 1 << 20)
        objects.leave()
        assert objects.read(other, "blob") == (other, b"two")
        assert objects.ask(blob) == (blob, "blob", 1 << 20)  # closing it with the content in the pipe does not hang


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 200_000])
def test_files_are_measured(author: Author, size: int) -> None:
    content = b"\n\0x" * (size // 3) + b"\n" * (size % 3)
    blob = author.blob(content)
    tree = author.tree(("100644", "body", blob))
    with Objects(env_of(author)) as objects:
        files = objects.files(tree, None)
        assert files is not None
        assert [(f.mode, f.name, f.oid, f.size, f.sha256) for f in files] == [
            ("100644", "body", blob, len(content), sha256(content).hexdigest())
        ]
        assert objects.read(blob, "blob") == (blob, content)


def test_what_is_no_tree_of_a_few_files(author: Author) -> None:
    blob = author.blob(b"x")
    with Objects(env_of(author)) as objects:
        assert objects.files("1" * 40, None) is None
        assert objects.files(blob, None) is None
        assert objects.files(author.tree(*(("100644", f"{n}", blob) for n in range(9))), None) is None
        assert objects.files(author.tree(*(("100644", f"{n:04}", blob) for n in range(1000))), None) is None
        assert objects.files(author.tree(), None) == ()
        folder, link = ("40000", "a", author.tree()), ("160000", "b", "1" * 40)
        files = objects.files(author.tree(folder, link, ("120000", "c", blob), ("100755", "d", blob)), None)
        assert files is not None
        assert [(f.mode, f.name, f.size, f.sha256 is not None) for f in files] == [
            ("40000", "a", 0, False),
            ("160000", "b", 0, False),
            ("120000", "c", 1, True),
            ("100755", "d", 1, True),
        ]


def test_a_file_that_is_missing_or_no_file(author: Author) -> None:
    with Objects(env_of(author)) as objects:
        with pytest.raises(GitFailed, match="1111"):
            objects.files(author.tree(("100644", "body", "1" * 40)), None)
        files = objects.files(author.tree(("100644", "body", author.tree())), None)
        assert files is not None and files[0].sha256 is None


def test_a_file_over_the_limit_has_a_size_only(author: Author) -> None:
    blob = author.blob(b"12345")
    tree = author.tree(("100644", "body", blob))
    with Objects(env_of(author)) as objects:
        for most, digest in ((4, None), (5, sha256(b"12345").hexdigest())):
            files = objects.files(tree, most)
            assert files is not None and (files[0].size, files[0].sha256) == (5, digest)


def test_a_large_file_that_many_commits_hold_is_read_once(author: Author) -> None:
    content = os.urandom(1 << 17)
    blob = author.blob(content)
    tree = author.tree(("100644", "body", blob))
    with Objects(env_of(author)) as objects:
        first = objects.files(tree, None)
        cut_off(author, blob)
        again = objects.files(tree, None)
    assert first and again and again[0].sha256 == first[0].sha256 == sha256(content).hexdigest()


def cut_off(author: Author, oid: str) -> None:
    """Damages an object so that its size can be told and its content cannot."""
    file = author.path / "objects" / oid[:2] / oid[2:]
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_damaged_object_is_an_error_and_no_answer(author: Author) -> None:
    blob = author.blob(os.urandom(50_000))
    cut_off(author, blob)
    with Objects(env_of(author)) as objects, pytest.raises(GitFailed, match="cat-file"):
        objects.read(blob, "blob")
    with Objects(env_of(author)) as objects, pytest.raises(GitFailed, match="cat-file"):
        objects.files(author.tree(("100644", "body", blob)), None)


def test_many_trees_are_measured_with_few_questions(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than are asked at once; some equal, some with the same file, some that are no such trees."""
    contents = [b"%d" % (number % 90) * 50 for number in range(200)]
    blobs = [author.blob(content) for content in contents]
    trees = [author.tree(("100644", f"body{number % 150}", blob)) for number, blob in enumerate(blobs)]
    odd = [author.blob(os.urandom(200_000)), "1" * 40, author.tree(*(("100644", f"{n}", blobs[0]) for n in range(9)))]
    for number, oid in enumerate(odd):
        trees[number * 7 + 3] = trees[number * 7 + 4] = oid
    sent: list[int] = []
    send = Child.send
    monkeypatch.setattr(Child, "send", lambda child, data: (sent.append(len(data)), send(child, data))[1])
    with Objects(env_of(author)) as objects:
        found = objects.measured(trees, 10**6)
        asked = len(sent)
        assert found == objects.measured(trees, 10**6)
        again = len(sent) - asked
        one_by_one = [objects.files(tree, None) for tree in trees]
    assert max(sent) <= 4096  # no more than any pipe takes while nobody reads it
    assert asked < 20 and again <= 4  # what is no such tree is not remembered
    for number, (tree, files, alone) in enumerate(zip(trees, found, one_by_one, strict=True)):
        if tree in odd:
            assert files is None and alone is None
        else:
            assert files is not None and alone is not None
            for (file,) in (files, alone):
                assert (file.mode, file.name, file.oid) == ("100644", f"body{number % 150}", blobs[number])
                assert (file.size, file.sha256) == (len(contents[number]), sha256(contents[number]).hexdigest())


def test_a_file_that_is_missing_among_many_leaves_no_answer_behind(author: Author) -> None:
    contents = [b"x" * number for number in range(40)]
    blobs = [author.blob(content) for content in contents]
    trees = [author.tree(("100644", "body", blob)) for blob in blobs]
    with Objects(env_of(author)) as objects:
        for at in (0, 20, 40):
            missing = author.tree(("100644", "body", f"{at:040}"))
            with pytest.raises(GitFailed, match=f"{at:040}"):
                objects.measured([*trees[:at], missing, *trees[at:]], None)
            assert objects.read(blobs[1], "blob") == (blobs[1], b"x")
        found = [files and (files[0].size, files[0].sha256) for files in objects.measured(trees, None)]
        assert found == [(len(content), sha256(content).hexdigest()) for content in contents]
        assert objects.measured([], None) == []


def test_the_trees_that_are_remembered_are_bounded(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "_MOST_KNOWN", 5)
    trees = [author.tree(("100644", f"b{number}", author.blob(b"x"))) for number in range(12)]
    with Objects(env_of(author)) as objects:
        for tree in trees * 2:
            assert objects.files(tree, None)
            assert len(objects.known) <= 5


def test_a_repository_of_sha256(tmp_path: Path) -> None:
    author = Author(tmp_path / "author.git", "sha256")
    blob = author.blob(b"x")
    with Objects(env_of(author)) as objects:
        files = objects.files(author.tree(("100644", "body", blob)), None)
    assert files is not None and files[0].oid == blob


# ---------------------------------------------------------------------------------------------------- commits


@pytest.fixture(scope="module")
def chain(author: Author) -> list[str]:
    return author.chain("garden", 12)


def test_commits_newest_first_and_oldest_first(author: Author, chain: list[str]) -> None:
    env = env_of(author)
    assert [oid for oid, _, _ in commits(chain[-1], None, env)] == chain[::-1]
    assert [oid for oid, _, _ in commits(chain[-1], None, env, oldest_first=True)] == chain
    assert [oid for oid, _, _ in commits(chain[-1], chain[3], env)] == chain[:3:-1]
    assert [oid for oid, _, _ in commits(chain[-1], None, env, count=2)] == chain[:-3:-1]
    assert list(commits(chain[3], chain[-1], env)) == []
    for oid, size, raw in commits(chain[-1], None, env):
        assert raw == author.git("cat-file", "commit", oid)
        assert size == len(raw)


def test_what_git_shows_of_a_lawful_commit_is_all_of_it(author: Author, chain: list[str], tmp_path: Path) -> None:
    """With its message indented, whatever it holds that a log may, and whatever the user has configured."""
    odd = "Straße \N{GRINNING FACE}  x\u00a0"
    tip = author.decision(
        *("garden", 12, chain[-1]),
        payload={"alias": odd, "target": "s:P"},
        subject=f'alias-set: "{odd}" -> s:P',
        actor=odd.strip(),
        document={"reason": "two\n\nlines  \n", "meta": {"k": " \\ \u007f "}},
        trailers=b"\nSeq: 12\nLease: -; term=3\n",
        headers=b"gpgsig -----BEGIN\n  x\n -----END\n",
    )
    author.git("config", "i18n.logOutputEncoding", "latin1")
    author.git("config", "format.pretty", "oneline")
    try:
        found = list(gitread.shown(tip, env_of(author)))
    finally:
        author.git("config", "--unset", "i18n.logOutputEncoding")
        author.git("config", "--unset", "format.pretty")
    assert len(found) == 13
    for oid, printed in zip([tip, *chain[::-1]], found, strict=True):
        head, _, message = author.git("cat-file", "commit", oid).partition(b"\n\n")
        indented = b"".join(b"    %b\n" % line for line in message.split(b"\n")[:-1])
        assert printed == oid.encode() + b"\n" + head + b"\n\n" + indented


def test_commits_that_are_too_large_are_passed_over(author: Author, chain: list[str]) -> None:
    large = author.decision("garden", 12, chain[-1], document={"reason": "x" * 5000})
    child = author.decision("garden", 13, large)
    found = {oid: (size, len(raw)) for oid, size, raw in commits(child, chain[-1], env_of(author), most=1000)}
    assert found[large][0] > 5000 and found[large][1] == 0
    assert found[child][0] == found[child][1]


def test_a_history_that_git_cannot_walk(author: Author, chain: list[str]) -> None:
    with pytest.raises(GitFailed, match="rev-list"):
        list(commits("1" * 40, None, env_of(author)))
    orphan = author.decision("garden", 3, "1" * 40)
    with pytest.raises(GitFailed, match="rev-list"):
        list(commits(orphan, None, env_of(author)))
    for missing in ("1" * 40, orphan):
        with pytest.raises(GitFailed, match="rev-list"):
            list(gitread.shown(missing, env_of(author)))


def children() -> set[str]:
    """The process ids of the children of this process, also of the dead that nobody waited for."""
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")


@needs_proc
def test_no_process_and_no_file_stays_behind(author: Author, chain: list[str]) -> None:
    before = children(), len(os.listdir("/proc/self/fd"))
    for _ in commits(chain[-1], None, env_of(author)):
        pass
    stream = commits(chain[-1], None, env_of(author))
    next(stream)
    stream.close()
    with pytest.raises(GitFailed):
        list(commits("1" * 40, None, env_of(author)))
    with Objects(env_of(author)) as objects:
        objects.read(chain[0], "commit")
        objects.files(author.tree(("100644", "body", author.blob(b"x"))), None)
        objects.ask_ahead(chain[1])
    config(ask_config(env_of(author)))
    ref("refs/heads/none", env_of(author))
    assert (children(), len(os.listdir("/proc/self/fd"))) == before


@needs_proc
def test_a_missing_git_is_said_so_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, author: Author) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    before = len(os.listdir("/proc/self/fd"))
    for start in (
        lambda: Child(["version"], env_of(author)),
        lambda: list(commits("1" * 40, None, env_of(author))),
        lambda: Objects(env_of(author)).ask("1" * 40),
        lambda: ask_config(env_of(author)),
    ):
        with pytest.raises(GitFailed, match="cannot start git"):
            start()
    assert len(os.listdir("/proc/self/fd")) == before


@needs_proc
def test_a_lack_of_files_is_said_so_and_leaves_none_open(author: Author, chain: list[str]) -> None:
    env = env_of(author)
    asked: dict[str, Callable[[], object]] = {
        "a question": lambda: Child(["version"], env).stop(),
        "a walk": lambda: list(commits(chain[-1], None, env)),
        "a few objects": lambda: packing.write([("blob", b"x")], env, 40),
        "a pack": lambda: packing.write([("blob", b"%d" % n) for n in range(9)], env, 40),
    }
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    failed = dict.fromkeys(asked, 0)
    for (what, ask), room in itertools.product(asked.items(), range(9)):
        before = os.listdir("/proc/self/fd")
        held: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.open(os.devnull, os.O_RDONLY))
            for _ in range(room):
                os.close(held.pop())
            try:
                ask()
            except GitFailed as error:
                assert "Too many open files" in str(error)
                failed[what] += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for file in held:
                os.close(file)
        assert os.listdir("/proc/self/fd") == before
    assert all(0 < count < 9 for count in failed.values()), failed


def test_a_ref_that_has_just_come_into_being_is_no_rubbish(
    monkeypatch: pytest.MonkeyPatch, author: Author, chain: list[str]
) -> None:
    """Between git's answer and the look at its file."""
    is_file, name = gitread._is_file, "refs/spaces/just-now"

    def late(path: str) -> bool:
        author.git("update-ref", name, chain[0])
        return is_file(path)

    monkeypatch.setattr(gitread, "_is_file", late)
    assert ref(name, env_of(author)) == chain[0]


@pytest.mark.parametrize("dies_at", ["rev-list", "cat-file"])
def test_a_git_that_dies_half_way(
    monkeypatch: pytest.MonkeyPatch, author: Author, chain: list[str], tmp_path: Path, dies_at: str
) -> None:
    """The list of commits is cut off: an error, and never a shorter chain."""
    real = git(author.path, "--exec-path").decode().strip()
    write_program(
        tmp_path / "git",
        f'#!/bin/sh\nPATH={real}:{os.environ["PATH"]}\n'
        f'if [ "$1" = {dies_at} ]; then {real}/git "$@" | head -n 3; kill -9 $$; fi\nexec {real}/git "$@"\n',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(GitFailed):
        list(commits(chain[-1], None, env_of(author)))


# ------------------------------------------------------------------------------------------- refs and settings


def test_a_ref_is_found_by_its_exact_name_only(author: Author, chain: list[str]) -> None:
    env = env_of(author)
    for place in ("heads/refs", "tags/refs", "refs", "remotes/refs"):
        author.git("update-ref", f"refs/{place}/meta/coordjournal", chain[0])
    assert ref("refs/meta/coordjournal", env) is None
    author.git("update-ref", "refs/meta/coordjournal", chain[1])
    assert ref("refs/meta/coordjournal", env) == chain[1]
    assert ref("refs/meta", env) is None


def test_settings_are_read_as_git_reads_them(tmp_path: Path) -> None:
    author = Author(tmp_path / "author.git")
    env = env_of(author)
    assert config(ask_config(env)) == {}
    (author.path / "more").write_text("[coordjournal]\n\tclockSkew = 5\n")
    with (author.path / "config").open("a") as file:
        file.write(
            '[coordjournal]\n\tStrict\n\tclockSkew = 1\n\tclockSkew = 2\n\tprimary = "a\\nb = c"\n'
            "\treadOnly = \n[CoordJournal]\n\tmaxDecisionBytes = 1k ; comment\n"
            "[include]\n\tpath = more\n[other]\n\tclockSkew = 9\n"
        )
    assert config(ask_config(env)) == {
        "coordjournal.strict": "true",
        "coordjournal.clockskew": "5",
        "coordjournal.primary": "a\nb = c",
        "coordjournal.readonly": "",
        "coordjournal.maxdecisionbytes": "1k",
    }


def test_settings_that_git_cannot_read(tmp_path: Path) -> None:
    author = Author(tmp_path / "author.git")
    (author.path / "config").write_text("[core\n")
    with pytest.raises(GitFailed, match="config"):
        config(ask_config(env_of(author)))


def test_the_module_is_light() -> None:
    assert not {"re", "json", "subprocess", "os"} & vars(gitread).keys()
