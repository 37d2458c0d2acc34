"""The journal without a disk answers as the one with a disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import run

from coordjournal import (
    AliasCleared,
    AliasSet,
    CoordjournalError,
    DecisionNotFound,
    DecisionRevoked,
    Journal,
    MergeDecided,
    OverlayClosed,
    OverlayCreated,
)
from coordjournal.commit import tree_of
from coordjournal.memory import MemoryStore
from coordjournal.store import GitStore

Store = MemoryStore | GitStore
AT = "2026-11-22T10:00:00.000000Z"


@pytest.fixture(params=["memory", "git"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    run("git", "init", "--quiet", "--bare", tmp_path / "x.git")
    with closing(GitStore(tmp_path / "x.git")) as store:
        yield store


def chain(store: Store, count: int, note: str = "") -> list[str]:
    """Commits, one after the other, each with a file in its tree."""
    oids: list[str] = []
    for number in range(count):
        body = f"{note}{number}".encode()
        tree = tree_of([("body", store.name("blob", body))])
        parent = f"parent {oids[-1]}\n" if oids else ""
        stamp = "node-a <> 1700000000 +0000"
        head = f"tree {store.name('tree', tree)}\n{parent}author {stamp}\ncommitter {stamp}\n"
        raw = f'{head}\nalias-set: a -> b\n\n{{"v":1}}\n\nSeq: {number}\n'.encode()
        store.add([("blob", body), ("tree", tree), ("commit", raw)])
        oids.append(store.name("commit", raw))
    return oids


def test_objects(store: Store) -> None:
    (oid,) = chain(store, 1)
    found = store.object(oid, "commit")
    assert found and found[0] == oid and found[1].endswith(b"Seq: 0\n")
    assert store.object(oid, "blob") is None
    assert store.object("0" * 40, "commit") is None
    assert store.file(oid, "body") == b"0"
    for commit, name in ((oid, "other"), ("0" * 40, "body"), ("nonsense", "body")):
        with pytest.raises(DecisionNotFound):
            store.file(commit, name)


def test_commits(store: Store) -> None:
    oids = chain(store, 5)

    def walked(*bounds: str, **more: Any) -> list[str]:
        return [oid for oid, _ in store.commits(*bounds, **more)]

    assert walked(oids[4]) == oids[::-1]
    assert walked(oids[4], oldest_first=True) == oids
    assert walked(oids[4], oids[1]) == oids[:1:-1]
    assert walked(oids[4], oids[1], oldest_first=True) == oids[2:]
    assert walked(oids[4], count=2) == [oids[4], oids[3]]
    assert walked(oids[4], count=2, oldest_first=True) == [oids[3], oids[4]]
    assert walked(oids[4], oids[4]) == []


def test_tips(store: Store) -> None:
    a, b = chain(store, 2)
    assert store.tips() == {}
    assert store.tip("garden") is None
    assert not store.move("garden", a, b)
    assert store.move("garden", None, a)
    assert not store.move("garden", None, b)
    assert store.move("garden", a, b)
    for space in ("ß", "B", "a"):
        assert store.move(space, None, a)
    assert list(store.tips().items()) == [("B", a), ("a", a), ("garden", b), ("ß", a)]
    assert store.settings().decision_bytes == 65_536
    assert len(store.empty_tree) == len(a)


NAMES = st.sampled_from(["A", "ß"])
STEPS = st.one_of(
    st.builds(AliasSet, NAMES, st.sampled_from(["s:1", ""])),
    st.builds(AliasCleared, NAMES),
    st.builds(lambda a, b: MergeDecided([f"s:{a}", f"t:{b}"], f"s:{a}"), NAMES, NAMES),
    st.builds(OverlayCreated, NAMES, st.just("s:1"), st.none(), st.sampled_from(["x", "ß" * 40])),
    st.builds(OverlayClosed, NAMES, st.just("discarded")),
    st.integers(0, 3).map(lambda number: DecisionRevoked(f"0193f0a0-0000-7000-8000-00000000000{number}")),
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 5), st.booleans(), st.none() | st.integers(-1, 4)), max_size=8))
def test_whatever_is_appended_the_answers_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, int, bool, int | None]]
) -> None:
    """Also the errors, the ids that come again, and the bytes: the commits have the same names."""
    place = tmp_path_factory.mktemp("both") / "x.git"
    run("git", "init", "--quiet", "--bare", place)
    answers = []
    for journal in (Journal.memory(appender="node"), Journal.open(place, appender="node")):
        said: list[Any] = []
        with journal:
            garden = journal.space("garden")
            for payload, number, insist, expect in steps:
                mine = f"0193f0a0-0000-7000-8000-00000000000{number}"
                try:
                    landed = garden.append(
                        payload, actor="alice", at=AT, id=mine, allow_void=insist, expect=expect
                    )
                    said.append((landed.seq, landed.decision))
                except CoordjournalError as error:
                    said.append((type(error).__name__, str(error)))
            state = garden.state().json()
            state.pop("commit")
            said += [json.dumps(state), journal.spaces(), [change.landed.seq for change in journal.changes()]]
        answers.append(said)
    assert answers[0] == answers[1]


def test_plug_ins_are_those_given() -> None:
    assert Journal.memory().extensions == {}
