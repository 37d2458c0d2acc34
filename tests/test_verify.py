"""Verify: any log, offline, by the law alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import decide, git, run

from coordjournal import AliasSet, GitFailed, Journal, OverlayCreated, Refused, verify
from coordjournal.store import GitStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    run("git", "init", "--quiet", "--bare", tmp_path / "server.git")
    return tmp_path / "server.git"


@pytest.fixture
def store(path: Path) -> Iterator[GitStore]:
    with closing(GitStore(path)) as store:
        yield store


def grow(path: Path, space: str, count: int, parent: str | None = None, start: int = 0, **more: str) -> str:
    """Lawful decisions, written with git alone; the last one, to which the log is moved."""
    for seq in range(start, start + count):
        parent = decide(path, space, parent, seq, **more)
    assert parent
    git(path, "update-ref", f"refs/spaces/{space}", parent)
    return parent


def test_a_lawful_repository(path: Path, store: GitStore) -> None:
    tips = {space: grow(path, space, count) for space, count in (("a", 1), ("b", 70))}
    verdicts = list(verify.repository(store))
    assert [(v.ref, v.space, v.tip, v.decisions, v.refusal) for v in verdicts] == [
        ("refs/spaces/a", "a", tips["a"], 1, None),
        ("refs/spaces/b", "b", tips["b"], 70, None),
    ]
    assert [v.space for v in verify.repository(store, {"b", "c"})] == ["b"]
    assert list(verify.repository(store, set())) == []


def test_the_first_break_of_each_log_is_named(path: Path, store: GitStore) -> None:
    good = grow(path, "early", 2)
    bad = decide(path, "early", good, 7)
    grow(path, "early", 3, decide(path, "early", bad, 8), 9)
    good = grow(path, "late", 100)
    stranger = grow(path, "late", 1, good, 100, target="s:" + "x" * 3000)
    grow(path, "good", 2)
    git(path, "update-ref", "refs/spaces/UPPER", good)
    git(path, "update-ref", "refs/spaces/tree", git(path, "mktree"))
    git(path, "update-ref", "refs/spaces/root", decide(path, "root", seq=1))
    found = {v.ref.removeprefix("refs/spaces/"): v for v in verify.repository(store)}

    def told(name: str) -> tuple[object, ...]:
        verdict = found[name]
        assert verdict.refusal is not None
        assert verdict.refusal.ref == verdict.ref
        return verdict.space, verdict.decisions, verdict.refusal.code, verdict.refusal.seq, verdict.refusal.commit

    assert told("early") == ("early", 2, "seq", 2, bad)
    assert told("late") == ("late", 100, "schema", 100, stranger)
    assert told("UPPER") == (None, 0, "bad-ref", None, good)
    assert told("tree")[:4] == ("tree", 0, "not-a-commit", 0)
    assert told("root")[:4] == ("root", 0, "seq", 0)
    assert found["good"].refusal is None
    assert "UPPER" not in [v.ref for v in verify.repository(store, {"UPPER"})]


def test_part_of_a_log_goes_on_from_what_is_known(path: Path, store: GitStore) -> None:
    base = grow(path, "garden", 3)
    tip = grow(path, "garden", 2, base, 3)
    assert verify.check(store, "garden", tip, base) == 2
    assert verify.check(store, "garden", tip) == 5
    with pytest.raises(Refused, match="not-fast-forward"):
        verify.check(store, "garden", base, tip)
    with pytest.raises(Refused, match="not-fast-forward"):
        verify.check(store, "garden", decide(path, "garden"), base)


def test_settings_never_condemn_the_past(path: Path, store: GitStore) -> None:
    with Journal.open(path) as journal:
        journal.space("garden").append(OverlayCreated("o", "s:P", None, "x" * 5000), actor="alice")
        journal.space("garden").append(AliasSet("Home", "s:" + "x" * 1900), actor="alice")
    for key, value in {"maxDecisionBytes": "10", "maxAttachmentBytes": "10", "readOnly": "true"}.items():
        git(path, "config", f"coordjournal.{key}", value)
    assert [v.refusal for v in verify.repository(store)] == [None]


def test_an_attachment_that_is_not_what_was_declared(path: Path, store: GitStore) -> None:
    with Journal.open(path) as journal:
        landed = journal.space("garden").append(OverlayCreated("o", "s:P", None, "right"), actor="alice")
    wrong = git(path, "hash-object", "-w", "--stdin", stdin=b"wrong")
    tree = git(path, "mktree", stdin=f"100644 blob {wrong}\tbody\n".encode())
    raw = git(path, "cat-file", "commit", landed.commit) + "\n"
    raw = raw.replace(raw.split("\n")[0], f"tree {tree}")
    forged = git(path, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw.encode())
    git(path, "update-ref", "refs/spaces/garden", forged)
    (verdict,) = verify.repository(store)
    assert verdict.refusal and verdict.refusal.code == "attachment"
    assert verdict.decisions == 0


def test_progress_is_told_now_and_then(path: Path, store: GitStore) -> None:
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        garden.append_many([garden.intent(AliasSet("a", "s:P"), actor="alice") for _ in range(2100)], allow_void=True)
    told: list[tuple[str, int]] = []
    (verdict,) = verify.repository(store, progress=lambda space, count: told.append((space, count)))
    assert (verdict.decisions, told) == (2100, [("garden", 1000), ("garden", 2000)])


def test_a_log_that_cannot_be_read_does_not_hide_the_others(path: Path, store: GitStore) -> None:
    base = grow(path, "a", 1)
    tip = grow(path, "a", 1, base, 1)
    grow(path, "b", 1)
    (path / "objects" / base[:2] / base[2:]).unlink()
    with pytest.raises(GitFailed):
        verify.check(store, "a", tip)
    unreadable, lawful = verify.repository(store)
    assert unreadable.refusal and unreadable.refusal.code == "unreadable"
    assert (lawful.space, lawful.decisions, lawful.refusal) == ("b", 1, None)


def test_a_ref_that_a_power_cut_left_empty_is_no_log_that_never_was(path: Path, store: GitStore) -> None:
    """git lists every other log and says nothing of this one but to its standard error."""
    tip = grow(path, "a", 3)
    grow(path, "b", 2)
    (path / "refs" / "spaces" / "a").write_bytes(b"")
    git(path, "pack-refs", "--all")
    (path / "refs" / "spaces" / "c.lock").write_bytes(b"")
    broken, whole = verify.repository(store)
    assert (broken.ref, broken.space, broken.tip, broken.decisions) == ("refs/spaces/a", "a", "", 0)
    assert broken.refusal is not None
    assert broken.refusal.code == "unreadable"
    assert "git cannot read the file of this ref" in broken.refusal.what
    assert (whole.ref, whole.refusal) == ("refs/spaces/b", None)
    assert [verdict.ref for verdict in verify.repository(store, {"a"})] == ["refs/spaces/a"]
    assert [verdict.ref for verdict in verify.repository(store, {"b"})] == ["refs/spaces/b"]
    git(path, "pack-refs", "--all")
    (path / "refs" / "spaces" / "a").write_text(f"{tip}\n")
    assert [verdict.refusal for verdict in verify.repository(store)] == [None, None]
