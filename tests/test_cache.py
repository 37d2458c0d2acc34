"""The cache of the fold: it saves reading, and nothing that can happen to its file makes an answer wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import git, run

import coordjournal
from coordjournal import AliasSet, Journal, space
from coordjournal.cache import FoldCache
from coordjournal.index import Record
from coordjournal.store import GitStore

ROOT = str(Path(coordjournal.__file__).parent.parent)


# -- the file --------------------------------------------------------------------------------------------------------


LEASES = (None, 'no"de ß/5f0c; term=1; ttl=300; until=2026-11-22T10:00:00Z', "-; term=1")


def some(first: int, count: int) -> tuple[list[Record], list[bytes]]:
    """Records and the JSON lines of their decisions."""
    lines = [b'{"id":"%d","payload":{"alias":"\xc3\x9f"}}' % n for n in range(first, first + count)]
    records = [
        (f"{n:040x}", 1_700_000_000 + n, 'no"de ß', {"id": str(n), "payload": {"alias": "ß"}}, LEASES[n % 3])
        for n in range(first, first + count)
    ]
    return records, lines


def three_steps(path: Path) -> list[list[Record]]:
    """A cache of three steps; what may be found in it after damage: so many whole steps."""
    cache = FoldCache(path)
    whole: list[list[Record]] = [[]]
    for first, count in ((0, 2), (2, 1), (3, 2)):
        records, lines = some(first, count)
        assert cache.extend(records, lines)
        whole.append(whole[-1] + records)
    assert cache.count == 5
    return whole


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "garden.jsonl"
    whole = three_steps(path)
    cache = FoldCache(path)
    for _ in range(2):
        assert cache.load() == whole[3]
        assert cache.count == 5
    assert cache.extend(*some(5, 1))
    assert FoldCache(path).load() == whole[3] + some(5, 1)[0]


@pytest.mark.parametrize("damage", ["flip", "cut", "grow"])
def test_of_a_damaged_file_only_whole_steps_before_the_damage_are_used(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "garden.jsonl"
    whole = three_steps(path)
    good = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(good) if byte == ord("\n")]  # of the head line and of each step
    for at in range(len(good)):
        if damage == "flip":
            path.write_bytes(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1 :])
        elif damage == "cut":
            path.write_bytes(good[:at])
        else:
            path.write_bytes(good[:at] + b"x" + good[at:])
        intact = sum(end <= at for end in ends)  # lines before the damage
        cache = FoldCache(path)
        found = cache.load()
        assert found == whole[max(0, intact - 1)], at
        assert cache.count == len(found)


def test_damage_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "garden.jsonl"
    whole = three_steps(path)
    path.write_bytes(path.read_bytes()[:-3] + b"xyz" * 1000)
    cache = FoldCache(path)
    assert cache.load() == whole[2]
    assert cache.extend(*some(3, 2))
    assert FoldCache(path).load() == whole[3]
    path.write_bytes(b"another format\n" + path.read_bytes())
    cache = FoldCache(path)
    assert cache.load() == []
    assert cache.extend(*some(0, 2))
    assert FoldCache(path).load() == whole[1]


def test_two_writers_never_make_a_file_that_tells_something_else(tmp_path: Path) -> None:
    path = tmp_path / "garden.jsonl"
    whole = three_steps(path)[3] + some(5, 40)[0]
    for turns in range(16):
        path.unlink(missing_ok=True)
        three_steps(path)
        writers = [FoldCache(path), FoldCache(path)]
        for writer in writers:
            writer.load()
        for turn in range(4):
            writer = writers[turns >> turn & 1]
            assert writer.extend(*some(writer.count, 1 + turn))
            found = FoldCache(path).load()
            assert found == whole[: len(found)]


def test_where_it_cannot_be_kept_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = FoldCache(tmp_path / "file" / "garden.jsonl")
    assert cache.load() == []
    assert not cache.extend(*some(0, 1))
    cache.drop()
    assert cache.count == 0


# -- the cache of a log ----------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with twelve decisions in two spaces each, whose caches are written four decisions at a time."""
    monkeypatch.setattr(space, "_CACHED_STEP", 4)
    run("git", "init", "--quiet", "--bare", tmp_path / "server.git")
    with Journal.open(tmp_path / "server.git") as journal:
        for name in ("garden", "other"):
            room = journal.space(name)
            room.append_many([room.intent(AliasSet(f"ß{n}", f"{name}:{n}"), actor="alice") for n in range(12)])
    return tmp_path / "server.git"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits that were read by walking a log."""
    read: list[str] = []
    walk = GitStore.commits

    def counting(self: GitStore, *arguments: Any, **more: Any) -> Iterator[tuple[str, bytes]]:
        for oid, raw in walk(self, *arguments, **more):
            read.append(oid)
            yield oid, raw

    monkeypatch.setattr(GitStore, "commits", counting)
    return read


def cached(path: Path, name: str = "garden") -> Path:
    return path / "coordjournal" / "fold" / f"{name}.jsonl"


def answer(path: Path, name: str = "garden") -> dict[str, Any]:
    with Journal.open(path) as journal:
        return journal.space(name).state().json()


def append(path: Path, count: int = 1) -> None:
    with Journal.open(path) as journal:
        for number in range(count):
            journal.space("garden").append(AliasSet("new", f"s:{number}"), actor="bob")


def test_what_was_read_once_is_not_read_again(path: Path, reads: list[str]) -> None:
    first = answer(path)
    assert len(reads) == 12
    assert answer(path) == first
    assert len(reads) == 12
    append(path)
    assert len(reads) == 12  # an append needs the state too
    assert answer(path)["seq"] == 12
    assert len(reads) == 13  # fewer than a step are not worth a write
    append(path, 3)
    answer(path)
    before = len(reads)
    assert answer(path)["seq"] == 15
    assert len(reads) == before


def test_a_long_lived_process_reads_only_what_is_new(path: Path, reads: list[str]) -> None:
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        garden.state()
        assert len(reads) == 12
        garden.append(AliasSet("new", "s:P"), actor="alice")
        garden.state()
        assert len(reads) == 12
        with Journal.open(path) as other:
            other.space("garden").append(AliasSet("new", "s:Q"), actor="bob")
        before = len(reads)
        garden.state()
        assert len(reads) == before + 1


def test_without_its_cache_a_state_is_the_same(path: Path) -> None:
    first = answer(path)
    assert cached(path).exists()
    assert answer(path) == first
    cached(path).unlink()
    assert answer(path) == first


@pytest.mark.parametrize("part", range(8))
def test_a_damaged_cache_is_ignored(path: Path, part: int) -> None:
    first = answer(path)
    raw = bytearray(cached(path).read_bytes())
    raw[len(raw) * part // 8 + 3] ^= 1
    cached(path).write_bytes(raw)
    assert answer(path) == first
    append(path)
    assert answer(path)["seq"] == 12


def test_the_cache_of_another_log_is_ignored(path: Path) -> None:
    first, other = answer(path), answer(path, "other")
    ours, theirs = cached(path).read_bytes(), cached(path, "other").read_bytes()
    cached(path).write_bytes(theirs)
    cached(path, "other").write_bytes(ours)
    for _ in range(2):
        assert answer(path) == first
        assert answer(path, "other") == other


def test_a_cache_that_is_ahead_of_the_log_is_ignored(path: Path) -> None:
    answer(path)
    git(path, "update-ref", "refs/spaces/garden", git(path, "rev-parse", "refs/spaces/garden~5"))
    assert answer(path)["seq"] == 6
    append(path, 7)  # another history of the same length
    found = answer(path)
    assert (found["seq"], found["aliases"]["new"]) == (13, "s:6")
    cached(path).unlink()
    assert answer(path) == found


def test_a_cache_whose_commits_are_gone_is_ignored(path: Path, tmp_path: Path) -> None:
    answer(path)
    run("git", "init", "--quiet", "--bare", tmp_path / "new.git")
    git(path, "push", "--quiet", str(tmp_path / "new.git"), "refs/spaces/other:refs/spaces/garden")
    cached(tmp_path / "new.git").parent.mkdir(parents=True)
    cached(tmp_path / "new.git").write_bytes(cached(path).read_bytes())
    with Journal.open(tmp_path / "new.git") as journal:
        assert journal.space("garden").state().resolve("ß1") == "other:1"


def test_where_nothing_can_be_written_there_is_no_cache(path: Path, reads: list[str]) -> None:
    (path / "coordjournal").write_text("in the way")
    first = answer(path)
    assert answer(path) == first
    assert len(reads) == 24
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        for _ in range(9):
            garden.append(AliasSet("new", "s:P"), actor="bob")
            assert garden.state().seq == garden.last_seq()


def test_processes_that_share_a_cache_agree(path: Path) -> None:
    script = (
        "import sys\n"
        "from coordjournal import AliasSet, Journal, space\n"
        "space._CACHED_STEP = 2\n"
        "for number in range(4):\n"
        "    with Journal.open(sys.argv[1]) as journal:\n"
        "        garden = journal.space('garden')\n"
        "        garden.append(AliasSet('own', 's:P'), actor=sys.argv[2])\n"
        "        assert garden.state().aliases['ß11'] == 'garden:11'\n"
    )
    words = [sys.executable, "-c", script, str(path)]
    workers = [subprocess.Popen([*words, f"p{n}"], cwd=ROOT, stderr=subprocess.PIPE, text=True) for n in range(3)]
    for worker in workers:
        _, said = worker.communicate()
        assert worker.returncode == 0, said
    found = answer(path)
    assert found["seq"] == 23
    assert found["void"] == []
    cached(path).unlink()
    assert answer(path) == found
