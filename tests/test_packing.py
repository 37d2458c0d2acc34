"""Objects written through git: git reads back what was given, under the names that were computed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pushing import EMPTY_TREE, decision, git, run_git, write_program
from support import run

import coordjournal
from coordjournal import packing
from coordjournal.commit import tree_of
from coordjournal.errors import GitFailed
from coordjournal.gitread import Objects, environment
from coordjournal.kept import Kept

ROOT = str(Path(coordjournal.__file__).parent.parent)
LENGTH = {"sha1": 40, "sha256": 64}
FEW, MANY = 3, packing._LOOSE_AT_MOST + 1

Written = list[tuple[str, bytes]]


def repository(path: Path, object_format: str = "sha1") -> dict[str, str]:
    """The environment of a new bare repository."""
    git(path.parent, "init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(path))
    return environment(str(path), os.environ)


def log(count: int, object_format: str = "sha1") -> tuple[Written, list[str]]:
    """The objects of a log with an attachment, and the names of its commits."""
    length = LENGTH[object_format]
    tree = tree_of([("body", packing.name("blob", b"text", length))])
    objects: Written = [("blob", b"text"), ("tree", tree), ("tree", b"")]
    names: list[str] = []
    while len(objects) < count:
        trees = (packing.name("tree", tree, length), EMPTY_TREE[object_format])
        raw = decision("garden", len(names), names[-1] if names else None, tree=trees[len(names) % 2])
        objects.append(("commit", raw))
        names.append(packing.name("commit", raw, length))
    return objects, names


def files(objects: Path) -> list[str]:
    """What lies in a folder of objects, without the empty folders."""
    return sorted(str(path.relative_to(objects)) for path in objects.rglob("*") if path.is_file())


@pytest.fixture(scope="module", params=["sha1", "sha256"])
def env(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return repository(tmp_path_factory.mktemp("packing") / "any.git", request.param)


def length_of(env: dict[str, str]) -> int:
    answer = git(Path(env["GIT_DIR"]), "rev-parse", "--show-object-format").decode().strip()
    return LENGTH[answer]


# Sizes around those at which the size before an object takes one byte more.
contents = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda seed, size: (seed * size)[:size],
        st.binary(min_size=1, max_size=50),
        st.sampled_from([15, 16, 2047, 2048, 2049, 65_535, 70_000, 262_143, 262_144]),
    ),
)


@given(blobs=st.lists(contents, max_size=12))
@settings(max_examples=25)
def test_git_reads_back_what_was_written(env: dict[str, str], blobs: list[bytes]) -> None:
    length = length_of(env)
    packing.write([("blob", blob) for blob in blobs], env, length)
    with Objects(env) as objects:
        for blob in blobs:
            assert objects.read(packing.name("blob", blob, length), "blob") == (
                packing.name("blob", blob, length),
                blob,
            )


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
@pytest.mark.parametrize("count", [packing._LOOSE_AT_MOST, MANY, 300])
def test_a_log_passes_fsck(tmp_path: Path, object_format: str, count: int) -> None:
    env = repository(tmp_path / "new.git", object_format)
    objects, names = log(count, object_format)
    packing.write(objects, env, LENGTH[object_format])
    git(tmp_path / "new.git", "update-ref", "refs/spaces/garden", names[-1])
    fsck = run_git(tmp_path / "new.git", ["fsck", "--strict", "--no-dangling"])
    assert fsck.returncode == 0
    assert b"error" not in fsck.stderr + fsck.stdout
    assert git(tmp_path / "new.git", "rev-list", "refs/spaces/garden").decode().split() == names[::-1]
    with Objects(env) as read:
        for kind, content in objects:
            name = packing.name(kind, content, LENGTH[object_format])
            assert read.read(name, kind) == (name, content)
    packs = [name for name in files(tmp_path / "new.git" / "objects") if name.endswith(".pack")]
    assert len(packs) == (count > packing._LOOSE_AT_MOST)


@pytest.mark.parametrize("count", [0, FEW, MANY])
def test_a_git_that_was_started_ahead_takes_a_few_and_ends_in_any_case(tmp_path: Path, count: int) -> None:
    env = repository(tmp_path / "new.git", "sha1")
    begun = packing.Unpacking(env)
    objects = [("blob", b"%d" % number) for number in range(count)]
    packing.write(objects, env, 40, begun)
    with Objects(env) as read:
        assert all(read.read(packing.name(*one, 40), "blob") for one in objects)
    packs = [name for name in files(tmp_path / "new.git" / "objects") if name.endswith(".pack")]
    assert len(packs) == (count == MANY)
    with pytest.raises(ChildProcessError):  # it has ended, and was waited for
        os.waitpid(begun.process._pid, 0)
    with pytest.raises(OSError):
        os.fstat(begun.writer)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_names_are_those_of_git(tmp_path: Path, object_format: str) -> None:
    repository(tmp_path / "new.git", object_format)
    for kind, content in (("blob", b""), ("blob", b"\0" * 100_000), ("tree", b"")):
        said = git(tmp_path / "new.git", "hash-object", "-t", kind, "--stdin", content=content)
        assert packing.name(kind, content, LENGTH[object_format]) == said.decode().strip()


def test_without_its_own_hash_functions_python_has_others(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [packing.name("blob", b"x", length) for length in (40, 64)]
    for missing in (["_sha256"], ["_sha1", "_sha256", "_sha2"]):
        for module in missing:
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setattr(packing, "_hashers", {})
        assert [packing.name("blob", b"x", length) for length in (40, 64)] == names


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_a_pack_is_one_that_git_verifies(tmp_path: Path, object_format: str) -> None:
    repository(tmp_path / "new.git", object_format)
    objects, _ = log(20, object_format)
    git(tmp_path / "new.git", "index-pack", "--strict", "--stdin", content=packing.pack(objects, LENGTH[object_format]))
    listed = git(tmp_path / "new.git", "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    assert set(listed.decode().split()) == {packing.name(*one, LENGTH[object_format]) for one in objects}


def test_nothing_to_write(tmp_path: Path) -> None:
    packing.write([], environment(str(tmp_path / "none.git"), os.environ), 40)


@pytest.mark.parametrize("count", [FEW, MANY])
def test_what_is_there_already_stays(tmp_path: Path, count: int) -> None:
    env = repository(tmp_path / "new.git")
    objects, _ = log(count)
    for _ in range(2):
        packing.write(objects + objects[:1], env, 40)
    with Objects(env) as read:
        for kind, content in objects:
            assert read.read(packing.name(kind, content, 40), kind) is not None
    assert run_git(tmp_path / "new.git", ["fsck", "--strict"]).returncode == 0


class Made:
    """Objects made while they are written; ``raises`` after so many."""

    def __init__(self, objects: Written, raises: int | None = None) -> None:
        self.objects = objects
        self.raises = raises
        self.made = 0

    def __len__(self) -> int:
        return len(self.objects)

    def __contains__(self, one: object) -> bool:
        return one in self.objects

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for one in self.objects:
            if self.made == self.raises:
                raise KeyboardInterrupt
            self.made += 1
            yield one


def test_a_pack_is_sent_while_it_is_made() -> None:
    objects = Made([("blob", os.urandom(1000)) for _ in range(500)])
    pieces = packing._pieces(objects, 40)
    first = next(pieces)
    assert objects.made < 100
    rest = list(pieces)
    assert all(len(piece) < 100_000 for piece in [first, *rest])
    assert b"".join([first, *rest]) == packing.pack(objects.objects, 40)


@pytest.mark.parametrize("count", [FEW, MANY])
def test_an_interruption_leaves_nothing(tmp_path: Path, count: int) -> None:
    env = repository(tmp_path / "new.git")
    objects = [("blob", os.urandom(300_000)) for _ in range(count)]
    with pytest.raises(KeyboardInterrupt):
        packing.write(Made(objects, count - 1), env, 40)
    assert not [name for name in files(tmp_path / "new.git" / "objects") if "tmp" in name]


@pytest.mark.parametrize("count", [FEW, MANY])
def test_a_full_disk(tmp_path: Path, count: int) -> None:
    """As the limit on the size of a file has it: git's write fails half-way."""
    env = repository(tmp_path / "new.git")
    objects = tmp_path / "new.git" / "objects"
    (objects / "17").mkdir()
    old = [objects / "17" / "tmp_obj_older", objects / "pack" / "tmp_pack_older", objects / "tmp_of_others"]
    for path in old:
        path.write_bytes(b"of a write that may still go on")
        os.utime(path, (1_700_000_000, 1_700_000_000))
    program = (
        "import sys, os, resource; sys.path.insert(0, sys.argv[1])\n"
        "from coordjournal import errors, gitread, packing\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "env = gitread.environment(sys.argv[2], os.environ)\n"
        "try: packing.write([('blob', os.urandom(200_000)) for _ in range(int(sys.argv[3]))], env, 40)\n"
        "except errors.GitFailed as error: print(error)\n"
    )
    said = run(sys.executable, "-c", program, ROOT, env["GIT_DIR"], str(count)).stdout
    assert said.startswith("`git index-pack" if count == MANY else "`git unpack-objects")
    assert files(objects) == sorted(str(path.relative_to(objects)) for path in old)


@pytest.mark.parametrize("fails, lands", [(1, True), (packing._TRIES - 1, True), (packing._TRIES, False)])
def test_a_git_that_prunes_is_faster(tmp_path: Path, fails: int, lands: bool) -> None:
    """It removes a folder that git has just made for an object, so that git's write fails: it is asked again."""
    env = repository(tmp_path / "new.git")
    counted = tmp_path / "counted"
    script = (
        f'if [ "$1" != unpack-objects ]; then exec {shutil.which("git")} "$@"; fi\n'
        f"echo >>{counted}\n"
        f"if [ $(wc -l <{counted}) -le {fails} ]; then cat >/dev/null; exit 128; fi\n"
        f'exec {shutil.which("git")} "$@"\n'
    )
    write_program(tmp_path / "git", f"#!/bin/sh\n{script}")
    objects, names = log(FEW + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        begun = packing.Unpacking(env)
        if lands:
            packing.write(objects, env, 40, begun)
        else:
            with pytest.raises(GitFailed, match="unpack-objects"):
                packing.write(objects, env, 40, begun)
    assert counted.read_text().count("\n") == min(fails + 1, packing._TRIES)
    with Objects(env) as read:
        assert (read.read(names[0], "commit") is not None) == lands


def test_a_pack_is_kept_until_it_is_released(tmp_path: Path) -> None:
    """git takes for rubbish what no ref names, unless its pack has a ``.keep``."""
    env = repository(tmp_path / "new.git")
    packs = tmp_path / "new.git" / "objects" / "pack"
    left = {"pack-1.keep": "coordjournal\n", "pack-2.keep": "of somebody\n", "pack-3.keep": "coordjournal\n"}
    for name, content in left.items():
        (packs / name).write_text(content)
    for name in ("pack-1.keep", "pack-2.keep"):
        os.utime(packs / name, (0, 0))
    objects, names = log(MANY)

    def is_there() -> bool:
        with Objects(env) as read:
            return read.read(names[0], "commit") is not None

    with Kept() as kept:
        packing.write(objects, env, 40, kept=kept)
        git(tmp_path / "new.git", "repack", "-a", "-d", "-q")
        assert is_there()
        keeps = {path.name for path in packs.glob("*.keep")}
        assert len(keeps) == 3 and keeps > {"pack-2.keep", "pack-3.keep"}  # of somebody, or not a day old
        again = Kept()
        packing.write(objects, env, 40, kept=again)  # the very same pack: it stays the first one's
        del again
        assert {path.name for path in packs.glob("*.keep")} == keeps
    assert {path.name for path in packs.glob("*.keep")} == {"pack-2.keep", "pack-3.keep"}
    git(tmp_path / "new.git", "repack", "-a", "-d", "-q")
    assert not is_there()


@pytest.mark.parametrize("count", [FEW, MANY])
def test_a_damaged_repository(tmp_path: Path, count: int) -> None:
    env = repository(tmp_path / "new.git")
    objects = tmp_path / "new.git" / "objects"
    for folder in ("pack", "info"):
        (objects / folder).rmdir()
    objects.rmdir()
    objects.write_text("not a folder")
    with pytest.raises(GitFailed):
        packing.write(log(count)[0], env, 40)
    assert objects.read_text() == "not a folder"


def test_no_git_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = repository(tmp_path / "new.git")
    monkeypatch.setenv("PATH", str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(GitFailed):
        packing.write(log(FEW)[0], env, 40)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("count", [FEW, MANY])
def test_git_gives_the_permissions_of_the_repository(tmp_path: Path, count: int) -> None:
    env = repository(tmp_path / "new.git")
    git(tmp_path / "new.git", "config", "core.sharedRepository", "0660")
    before = os.umask(0o077)
    try:
        packing.write(log(count)[0], env, 40)
    finally:
        os.umask(before)
    objects = tmp_path / "new.git" / "objects"
    assert {(objects / name).stat().st_mode & 0o777 for name in files(objects)} == {0o440}


@pytest.mark.parametrize("count", [FEW, MANY])
def test_file_descriptors_are_closed(tmp_path: Path, count: int) -> None:
    env = repository(tmp_path / "new.git")
    before = sorted(os.listdir("/proc/self/fd"))
    packing.write(log(count)[0], env, 40)
    with pytest.raises(KeyboardInterrupt):
        packing.write(Made(log(count)[0], 1), env, 40)
    assert sorted(os.listdir("/proc/self/fd")) == before
