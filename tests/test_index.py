"""The index: append-only, the same in any number of steps, and safe to read while it grows."""

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fold_logs import PLUGINS, SPACE, decision, decision_id, log_of, logs, records, revoke
from hypothesis import given
from hypothesis import strategies as st

from coordjournal.index import VOID_REASONS, Index
from coordjournal.state import CoordinationState


def index_of(log):
    index = Index(SPACE, PLUGINS)
    index.extend(records(log))
    return index


def contents(index):
    """All that can be looked up without a name."""
    last = len(index) - 1
    return {
        "records": [index.record(seq) for seq in range(len(index))],
        "voids": list(index.static_voids(last)),
        "revocations": list(index.revocations(last)),
        "aliases": list(index.all_alias_events(last)),
        "ties": list(index.all_ties(last)),
        "overlays": list(index.all_overlay_events(last)),
        "forks": list(index.forks(last)),
    }


@given(logs(), st.sets(st.integers(0, 14)))
def test_any_split_gives_the_same_index(log, cuts):
    whole = index_of(log)
    parts = Index(SPACE, PLUGINS)
    start = 0
    for cut in [*sorted(cuts), len(log)]:
        parts.extend(iter(records(log[start:cut], start)))
        start = max(start, min(cut, len(log)))
    assert contents(parts) == contents(whole)


@given(logs(), st.integers(0, 14), logs())
def test_a_future_of_an_index_leaves_it_alone_and_knows_what_came_before(log, cut, more):
    index = index_of(log)
    before = contents(index)
    start = min(cut, len(log))
    future = Index(SPACE, PLUGINS, index, start)
    future.extend(records(more, start))
    whole = Index(SPACE, PLUGINS)
    whole.extend([*records(log[:start]), *records(more, start)])
    assert contents(future) == contents(whole)
    assert CoordinationState(future).json() == CoordinationState(whole).json()
    assert contents(index) == before


@given(logs(), logs())
def test_views_handed_out_earlier_do_not_change(log, more):
    index = index_of(log)
    untouched = CoordinationState(index)  # first asked when the index has grown
    asked = CoordinationState(index)
    before = asked.json()
    early = asked.as_of(len(log) // 2 - 1)
    index.extend(records(more, len(log)))
    assert asked.json() == before
    assert untouched.json() == before
    assert early.json() == CoordinationState(index_of(log[: len(log) // 2])).json()


def test_lists_hold_no_seq_of_a_repeated_id():
    log = log_of(("alias-set", {"alias": "A", "target": "p"}))
    repeats = [
        decision(0, "alias-set", alias="A", target="q"),
        decision(0, "binding-made", members=["p", "q"]),
        decision(0, "decision-revoked", decision=decision_id(0)),
    ]
    index = index_of(log + repeats)
    assert list(index.static_voids(3)) == [(1, "repeated-id"), (2, "repeated-id"), (3, "repeated-id")]
    assert list(index.alias_events("A", 3)) == [(0, "p")]
    assert list(index.all_ties(3)) == []
    assert list(index.revocations(3)) == []


def test_a_merge_that_names_a_page_twice_is_noted_once():
    index = index_of(log_of(("merge-decided", {"sources": ["p", "q"], "into": "p"})))
    tie = (0, ["p", "q", "p"], True)
    assert [list(index.ties(page, 0)) for page in "pq"] == [[tie], [tie]]


@pytest.mark.parametrize(
    ("log", "reasons"),
    [
        (log_of(revoke(0)), {0: "unknown-decision"}),
        (log_of(revoke(1), ("alias-set", {"alias": "A", "target": "p"})), {0: "unknown-decision"}),
        (log_of(("lease-acquired", {"holder": "a", "ttl": 9}), revoke(0)), {1: "not-revocable"}),
        (log_of(("lease-released", {"holder": "a"}), revoke(0)), {1: "not-revocable"}),
        (log_of(("intent-refused", {"decision": decision_id(9), "reason": "no"}), revoke(0)), {1: "not-revocable"}),
        (log_of(("x-acme-other", {}), revoke(0)), {}),
    ],
)
def test_what_is_void_whatever_comes_later(log, reasons):
    index = index_of(log)
    assert dict(index.static_voids(len(log))) == reasons
    assert set(reasons.values()) <= set(VOID_REASONS)


def test_a_source_that_fails_leaves_what_it_gave():
    log = log_of(("alias-set", {"alias": "A", "target": "p"}), ("alias-set", {"alias": "A", "target": "q"}))

    def source():
        yield records(log)[0]
        raise OSError("the pipe broke")

    index = Index(SPACE)
    with pytest.raises(OSError, match="pipe"):
        index.extend(source())
    assert CoordinationState(index).aliases == {"A": "p"}
    index.extend(records(log)[1:])
    assert CoordinationState(index).aliases == {"A": "q"}


def test_the_last_seq_at_a_time():
    index = index_of(log_of(*[("x-acme-other", {})] * 5))  # seconds 1000 1000 1001 1001 1002
    assert [index.seq_at_time(second, 4) for second in (0, 999, 1000, 1001, 1002, 9999)] == [-1, -1, 1, 3, 4, 4]
    assert [index.seq_at_time(second, 2) for second in (999, 1000, 1001, 9999)] == [-1, 1, 2, 2]
    assert Index().seq_at_time(5, -1) == -1


def test_the_first_record_says_the_space():
    index = Index()
    assert index.space is None
    index.extend(records(log_of(("x-acme-other", {}))))
    assert index.space == SPACE
    assert Index("elsewhere").space == "elsewhere"


def test_long_chains_need_no_recursion():
    length = 100_000
    chain = [("alias-set", {"alias": "A", "target": "p"}), *(revoke(number) for number in range(length))]
    index = index_of(log_of(*chain))
    state = CoordinationState(index)
    assert state.resolve("A") == "p"  # an even number of revocations
    assert state.as_of(length - 1).resolve("A") is None
    assert len(state.revoked) == length // 2
    merges = [("merge-decided", {"sources": [f"p{n}"], "into": f"p{n + 1}"}) for n in range(10_000)]
    forks = [("fork-made", {"source": f"p{n + 1}", "fork": f"p{n}"}) for n in range(10_000)]
    state = CoordinationState(index_of(log_of(*merges, *forks)))
    assert state.canonical("p0") == "p10000"
    assert len(state.why_canonical("p0")) == 10_000
    assert len(state.lineage("p0")) == 10_000
    assert [len(group) for group in state.groups] == [10_001]


def test_readers_are_right_while_one_writer_extends():
    rng = random.Random(7)
    log = []
    kinds = ("alias-set", "alias-cleared", "binding-made", "merge-decided", "decision-revoked", "x-acme-tag")
    for seq in range(600):
        kind = rng.choice(kinds)
        page, other = f"p{rng.randrange(200)}", f"q{rng.randrange(200)}"
        payload = {
            "alias-set": {"alias": f"A{seq % 150}", "target": page},
            "alias-cleared": {"alias": f"A{seq % 150}"},
            "binding-made": {"members": [page, other]},
            "merge-decided": {"sources": [page], "into": other},
            "decision-revoked": {"decision": decision_id(rng.randrange(seq + 1))},
            "x-acme-tag": {"page": page},
        }[kind]
        log.append(decision(seq, kind, **payload))
    index = Index(SPACE, PLUGINS)

    found = [{}, {}, {}]

    def read(seen):
        while len(index) < len(log):
            state = CoordinationState(index)
            seen[state.seq] = (state.json(), state.group("p1"), state.resolve("A1"))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor() as pool:
            readers = [pool.submit(read, seen) for seen in found]
            for seq, record in enumerate(records(log)):
                index.extend([record])
                # However the machine shares its cores, each reader asks while the index grows.
                while seq % 100 == 50 and not all(len(seen) > seq // 100 for seen in found):
                    time.sleep(0)
            for reader in readers:
                reader.result()
    finally:
        sys.setswitchinterval(interval)
    whole = CoordinationState(index_of(log))
    assert all(len(seen) >= 6 for seen in found)
    for seen in found:
        for seq, answers in seen.items():
            state = whole.as_of(seq)
            assert answers == (state.json(), state.group("p1"), state.resolve("A1"))
