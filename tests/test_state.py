"""The state: every answer against a naive model, and the answers that have no model by example."""

from dataclasses import replace

import model
import pytest
from fold_logs import (
    BODIES,
    MODEL_PLUGINS,
    NAMES,
    OVERLAYS,
    PAGES,
    PLUGINS,
    SPACE,
    Tags,
    decision,
    decision_id,
    log_of,
    logs,
    next_decisions,
    records,
    revoke,
)
from hypothesis import given
from hypothesis import strategies as st

from coordjournal import extensions as extensions_module
from coordjournal.decision import Attachment, Decision, Landed
from coordjournal.errors import DecisionNotFound
from coordjournal.extensions import BrokenPlugin, load_extensions
from coordjournal.index import VOID_REASONS, Index
from coordjournal.state import CoordinationState, ForkEdge, Overlay, Void, fold
from coordjournal.trailer import Lease

SET_A = ("alias-set", {"alias": "A", "target": "p"})
SET_A_Q = ("alias-set", {"alias": "A", "target": "q"})
CLEAR_A = ("alias-cleared", {"alias": "A"})


def state_of(log, plugins=PLUGINS):
    index = Index(SPACE, plugins)
    index.extend(records(log))
    return CoordinationState(index)


def of(*decisions):
    return state_of(log_of(*decisions))


def bind(*members):
    return "binding-made", {"members": list(members)}


def merge(*sources, into):
    return "merge-decided", {"sources": list(sources), "into": into}


def fork(source, to):
    return "fork-made", {"source": source, "fork": to}


def create(overlay_id="o", target="p", base_rev="r1", body=BODIES[0]):
    return "overlay-created", {"overlay_id": overlay_id, "target": target, "base_rev": base_rev, "body": body}


def revise(overlay_id="o", base_rev="r2", body=BODIES[1]):
    return "overlay-revised", {"overlay_id": overlay_id, "base_rev": base_rev, "body": body}


def close(overlay_id="o", outcome="applied", **more):
    return "overlay-closed", {"overlay_id": overlay_id, "outcome": outcome, **more}


def tag(page):
    return "x-acme-tag", {"page": page}


def seqs(why):
    return [landed.seq for landed in why]


def modelled(log, without=()):
    commit = records(log)[-1][0] if log else None
    trailer = records(log)[-1][4] if log else None
    return {**model.state(log, without, MODEL_PLUGINS, SPACE, trailer), "commit": commit}


# -- against the model ---------------------------------------------------------------------------------------------


@given(logs())
def test_a_state_is_what_the_model_says(log):
    state = state_of(log)
    assert state.json() == modelled(log)
    assert list(state.aliases) == sorted(state.aliases, key=str.encode)


@given(logs(), st.booleans())
def test_single_questions_agree_with_the_model(log, lists_first):
    state = state_of(log)
    if lists_first:
        state.json()  # answers come from what is worked out already
    for name in NAMES:
        assert state.resolve(name) == model.aliases(log).get(name)
    for page in (*PAGES, "never:named"):
        assert list(state.group(page)) == model.group(log, page)
        assert state.canonical(page) == model.canonical(log, page)
        assert list(state.lineage(page)) == model.lineage(log, page)
    every = {overlay["overlay_id"]: overlay for overlay in model.overlays(log)[0]}
    for overlay_id in OVERLAYS:
        overlay = state.overlay(overlay_id)
        assert (overlay and overlay.json()) == every.get(overlay_id)
        body_commit = records(log)[every[overlay_id]["revised"]][0] if overlay_id in every else None
        assert state.body_commit(overlay_id) == body_commit
    void = {entry["seq"]: entry["reason"] for entry in model.void(log, (), MODEL_PLUGINS)}
    assert set(void.values()) <= set(VOID_REASONS)
    for seq in range(len(log)):
        revoked = model.is_revoked(log, seq)
        assert state.void_reason(seq) == void.get(seq)
        assert state.is_revoked(seq) == revoked
        assert state.is_effective(seq) == (not revoked and seq not in void)


@given(logs(most=10))
def test_as_of_each_seq_is_the_fold_of_the_beginning(log):
    state = state_of(log)
    for seq in range(-1, len(log)):
        beginning = state.as_of(seq)
        assert beginning.json() == modelled(log[: seq + 1])
        assert beginning.appended == (records(log)[seq][1] if seq >= 0 else None)


@given(logs(), st.sets(st.integers(0, 13), max_size=4))
def test_without_is_what_revoking_afterwards_would_give(log, left_out):
    left_out = {seq for seq in left_out if seq < len(log)}
    less = state_of(log).without(left_out)
    assert less.json() == modelled(log, left_out)
    assert state_of(log).without(set()).json() == modelled(log)
    one_by_one = state_of(log)
    for seq in sorted(left_out):
        one_by_one = one_by_one.without([seq])
    assert one_by_one.json() == less.json()
    longer = log + [
        decision(100 + seq, "decision-revoked", decision=log[seq]["id"])
        for seq in sorted(left_out)
        if not model.is_repeat(log, seq)
    ]
    after = state_of(longer).json()
    for key, value in less.json().items():
        if key == "void":
            assert value == [void for void in after["void"] if void["seq"] < len(log)]
        elif key not in ("seq", "commit", "lease"):
            assert value == after[key]


@given(logs(), st.sets(st.integers(0, 13), max_size=3), st.integers(-1, 13))
def test_without_and_as_of_come_in_either_order(log, left_out, seq):
    seq = min(seq, len(log) - 1)
    left_out = {other for other in left_out if other <= seq}
    state = state_of(log)
    assert state.without(left_out).as_of(seq).json() == state.as_of(seq).without(left_out).json()


@given(st.data())
def test_would_be_void_agrees_with_appending(data):
    log = data.draw(logs())
    seq = data.draw(st.integers(-1, len(log) - 1))
    doc = data.draw(st.sampled_from(log) if log and data.draw(st.booleans()) else next_decisions(seq + 1))
    reason = state_of(log).as_of(seq).would_be_void(doc)
    beginning = log[: seq + 1]
    assert reason == model.would_be_void(beginning, doc, MODEL_PLUGINS)
    assert reason == state_of([*beginning, doc]).void_reason(len(beginning))


@given(logs())
def test_why_is_enough(log):
    """The decisions of a why, and what its revocations revoke, give the same answer by themselves."""
    state = state_of(log)

    def alone(why):
        assert seqs(why) == sorted(set(seqs(why)))
        assert all(state.is_effective(landed.seq) for landed in why)
        kept = set(seqs(why))
        for landed in why:
            if landed.decision.type == "decision-revoked":
                kept.add(state.find(landed.decision.payload["decision"]).seq)
        return state_of([log[seq] for seq in sorted(kept)])

    for name in NAMES:
        assert alone(state.why_alias(name)).resolve(name) == state.resolve(name)
    for page in PAGES:
        assert alone(state.why_group(page)).group(page) == state.group(page)
        assert alone(state.why_canonical(page)).canonical(page) == state.canonical(page)
        assert alone(state.why_lineage(page)).lineage(page) == state.lineage(page)
    for overlay_id in OVERLAYS:
        known, again = state.overlay(overlay_id), alone(state.why_overlay(overlay_id)).overlay(overlay_id)
        assert (known is None) == (again is None)
        if known and again:
            closed = None if known.closed is None else again.closed
            assert replace(known, opened=again.opened, revised=again.revised, closed=closed) == again


@given(logs())
def test_fold_takes_what_landed(log):
    state = state_of(log)
    landed = [state.landed(seq) for seq in range(len(log))]
    assert [one.decision.json() for one in landed] == log
    assert fold(iter(landed), space=SPACE, extensions=PLUGINS).json() == state.json()


def test_fold_wants_a_whole_log():
    state = of(SET_A, SET_A_Q)
    with pytest.raises(ValueError, match="expected Seq 0, found 1"):
        fold([state.landed(1)])
    with pytest.raises(ValueError, match="expected Seq 1, found 0"):
        fold([state.landed(0), state.landed(0)])
    assert fold([]).json()["space"] is None
    assert fold([state.landed(0)]).space == SPACE


# -- where it is ---------------------------------------------------------------------------------------------------


def test_an_empty_state_answers():
    state = of()
    assert state.json() == {
        "space": SPACE,
        "seq": -1,
        "commit": None,
        "aliases": {},
        "groups": [],
        "canonicals": [],
        "overlays": [],
        "closed_overlays": [],
        "forks": [],
        "lease": None,
        "void": [],
        "revoked": [],
        "extensions": {"x-acme-tag": []},
    }
    assert state.appended is None
    assert state.as_of(-1).seq == -1
    assert state.group("p") == ("p",)
    assert state.why_alias("A") == state.why_group("p") == state.why_canonical("p") == ()
    assert state.why_overlay("o") == state.why_lineage("p") == ()
    with pytest.raises(DecisionNotFound):
        state.landed(-1)
    with pytest.raises(DecisionNotFound):
        state.find("0")


def test_as_of_a_time_is_after_the_last_decision_of_that_second():
    state = of(SET_A, SET_A_Q, CLEAR_A)  # at 1000, 1000 and 1001
    assert [state.as_of_time(second).seq for second in (999, 1000, 1001, 5000)] == [-1, 1, 2, 2]
    assert state.as_of(0).as_of_time(5000).seq == 0


def test_places_that_are_not_in_the_state_are_an_error():
    state = of(SET_A, SET_A_Q)
    for ask in (state.landed, state.as_of, state.is_effective, state.is_revoked, state.revoked_by, state.void_reason):
        for seq in (2, -2):
            with pytest.raises(DecisionNotFound, match=f"no Seq {seq}"):
                ask(seq)
    with pytest.raises(DecisionNotFound):
        state.as_of(0).landed(1)
    with pytest.raises(DecisionNotFound):
        state.without([2])
    with pytest.raises(DecisionNotFound):
        CoordinationState(Index(), 0)


def test_a_state_says_where_it_is():
    state = of(SET_A)
    assert repr(state) == "<CoordinationState garden@0>"
    assert repr(state.without([0])) == "<CoordinationState garden@0 without [0]>"
    assert (state.space, state.seq, state.commit, state.appended) == (SPACE, 0, "00000000" + "c" * 32, 1000)


def test_the_lease_is_what_the_last_trailer_says():
    state = of(*[SET_A] * 5)
    assert [state.as_of(seq).lease for seq in (-1, 0, 1)] == [None, None, None]
    assert state.as_of(2).lease == Lease("", "", 2, 0, 0)
    assert state.as_of(3).lease == Lease("org/node", "5f0c", 3, 300, 1795341603)
    assert state.as_of(3).json()["lease"] == {
        "holder": "org/node",
        "term": 3,
        "token": "5f0c",
        "ttl": 300,
        "until": "2026-11-22T10:00:03Z",
    }
    assert state.as_of(4).json()["lease"] == {"holder": None, "term": 4, "token": None, "ttl": None, "until": None}
    assert state.as_of_time(1001).lease == state.as_of(3).lease
    assert state.without([3]).as_of(3).lease == state.as_of(3).lease
    assert [state.landed(seq).lease for seq in (1, 2)] == [None, "-; term=2"]
    assert state.landed(3).json()["lease"] == "org/node/5f0c; term=3; ttl=300; until=2026-11-22T10:00:03Z"
    assert fold(state.landed(seq) for seq in range(4)).lease == state.as_of(3).lease


# -- revocation ----------------------------------------------------------------------------------------------------


def test_a_state_says_who_revoked():
    state = of(SET_A, revoke(0), revoke(0), SET_A_Q, revoke(3), revoke(4))
    assert state.revoked == (0, 4)
    assert state.revoked_by(0) == state.landed(1)  # the first of two
    assert state.revoked_by(3) is None
    assert state.revoked_by(4) == state.landed(5)
    assert not state.is_effective(0)
    less = state.without([3])
    assert less.is_revoked(3)
    assert less.revoked_by(3) is None  # nobody's decision, only a question


def test_what_cannot_be_revoked_cannot_be_left_out():
    log = [*log_of(("lease-acquired", {"holder": "a", "ttl": 9}), SET_A), decision(1, *SET_A[:1], **SET_A[1])]
    state = state_of(log).without([0, 2])
    assert state.revoked == ()
    assert state.void == (Void(2, decision_id(1), "repeated-id"),)


def test_views_with_other_revocations_do_not_meet():
    state = of(SET_A, revoke(0), SET_A_Q, revoke(2), revoke(3))
    answers = [(state.as_of(seq).resolve("A"), state.as_of(seq).revoked) for seq in range(5)]
    assert answers == [("p", ()), (None, (0,)), ("q", (0,)), (None, (0, 2)), ("q", (0, 3))]
    assert state.without([1]).as_of(3).resolve("A") == "p"
    assert state.as_of(3).resolve("A") is None


def test_an_overlay_id_is_used_once():
    state = of(revise(), close(), create(), create(), close(), create(), revise(), close(), revoke(4), close())
    assert [(void.seq, void.reason) for void in state.void] == [
        (0, "unknown-overlay"),
        (1, "unknown-overlay"),
        (3, "overlay-exists"),
        (5, "overlay-exists"),
        (9, "overlay-closed"),
    ]
    assert (state.overlay("o").revised, state.overlay("o").closed) == (6, 7)
    before = state.as_of(7)
    assert [(void.seq, void.reason) for void in before.void[-3:]] == [
        (5, "overlay-exists"),
        (6, "overlay-closed"),
        (7, "overlay-closed"),
    ]


# -- finding -------------------------------------------------------------------------------------------------------


def test_a_decision_is_found_by_each_of_its_names():
    state = of(SET_A, SET_A_Q, CLEAR_A)
    for name in (
        "1",
        "garden@1",
        decision_id(1),
        decision_id(1).upper(),
        decision_id(1)[:8],
        "00000001" + "c" * 32,
        "00000001",
    ):
        assert state.find(name).seq == 1, name
    assert state.find("0").seq == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "no decision"),
        ("3", "no decision"),
        ("-1", "no decision"),
        ("\N{SUPERSCRIPT TWO}", "no decision"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "no decision"),
        ("9" * 5000, "no decision"),
        ("000", "no decision"),
        ("garden@3", "no Seq '3'"),
        ("garden@01", "no Seq '01'"),
        ("garden@", "no Seq ''"),
        ("meadow@1", "another space"),
        ("0193", "3 decisions: Seq 0, 1, 2"),
        ("0000", "3 decisions"),
        ("beef", "no decision"),
    ],
)
def test_what_is_not_found_says_why(name, says):
    with pytest.raises(DecisionNotFound, match=says):
        of(SET_A, SET_A_Q, CLEAR_A).find(name)


def test_a_long_list_of_candidates_is_cut():
    with pytest.raises(DecisionNotFound, match=r"7 decisions: Seq 0, 1, 2, 3, 4, \.\.\."):
        of(*[SET_A] * 7).find("0193")


def test_a_repeated_id_means_its_first_occurrence():
    state = state_of([*log_of(SET_A, SET_A_Q), decision(0, *CLEAR_A[:1], **CLEAR_A[1])])
    assert state.find(decision_id(0)).seq == 0
    assert state.find(decision_id(0)[:8]).seq == 0
    assert state.find("00000002").seq == 2  # its commit


def test_nothing_is_found_beyond_the_state():
    state = of(SET_A, SET_A_Q).as_of(0)
    for name in ("1", "garden@1", decision_id(1), "00000001"):
        with pytest.raises(DecisionNotFound):
            state.find(name)


def test_a_space_with_an_at_sign_is_named_too():
    index = Index("a@b")
    index.extend(records(log_of(SET_A)))
    assert CoordinationState(index).find("a@b@0").seq == 0


def test_a_number_that_is_no_seq_may_begin_a_commit():
    index = Index(SPACE)
    index.extend([("1234" + "c" * 36, 1, "server", log_of(SET_A)[0], None)])
    assert CoordinationState(index).find("1234").seq == 0


# -- values --------------------------------------------------------------------------------------------------------


def test_overlays_come_by_their_opening():
    body = [Attachment(0, f"{0:064x}"), Attachment(1, f"{1:064x}")]
    state = of(create("b"), create("a"), revise("b"), create("c"), close("c", "discarded"), create("d"), close("d"))
    assert state.overlays == (
        Overlay("b", "p", "r2", body[1], 0, 2),
        Overlay("a", "p", "r1", body[0], 1, 1),
    )
    assert state.closed_overlays == (
        Overlay("c", "p", "r1", body[0], 3, 3, "discarded", None, 4),
        Overlay("d", "p", "r1", body[0], 5, 5, "applied", None, 6),
    )
    assert state.overlay("e") is None
    assert state.body_commit("e") is None


def test_forks_are_edges():
    state = of(fork("a", "b"), ("fork-made", {"source": "a", "fork": "c", "source_rev": "r"}))
    assert state.forks == (ForkEdge("a", "b", None, 0), ForkEdge("a", "c", "r", 1))


def test_a_lineage_goes_up_in_breadth():
    state = of(fork("b", "c"), fork("x", "c"), fork("a", "b"), fork("y", "x"), fork("c", "a"))
    assert state.lineage("c") == ("b", "x", "a", "y")  # and c again, where it stops


def test_what_is_handed_out_cannot_be_changed_by_chance():
    state = of(SET_A, tag("p"))
    for mapping in (state.aliases, state.extensions, state.extension_errors):
        with pytest.raises(TypeError):
            mapping["A"] = "q"
    state.json()["aliases"]["A"] = "q"
    assert state.resolve("A") == "p"
    assert state.json()["aliases"] == {"A": "p"}


# -- why -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ([SET_A, SET_A_Q], [1]),
        ([SET_A, CLEAR_A], [1]),
        ([SET_A, SET_A_Q, revoke(1)], [0, 2]),
        ([SET_A, revoke(0)], [1]),
        ([SET_A, revoke(0), revoke(1)], [0]),
        ([SET_A, CLEAR_A, CLEAR_A], [1]),  # the second found nothing to clear
        ([CLEAR_A], []),
        ([SET_A, CLEAR_A, revoke(1)], [0, 2]),
        ([SET_A, SET_A, revoke(1)], [0]),  # what was revoked said the same
        ([SET_A_Q, revoke(0), SET_A], [2]),  # what was revoked would have been over by now
    ],
)
def test_why_a_name_means_what_it_means(log, why):
    assert seqs(of(*log).why_alias("A")) == why


def test_why_pages_are_one():
    made = bind("a", "b"), merge("b", into="c"), bind("x", "y"), bind("c", "d")
    state = of(*made, revoke(3), bind("a", "c"), revoke(5))
    assert state.group("a") == ("a", "b", "c")
    assert seqs(state.why_group("a")) == [0, 1, 4]  # 6 took nothing from the group
    assert seqs(state.why_group("d")) == [4]


def test_why_a_page_is_canonical():
    state = of(
        bind("a", "b"),
        bind("b", "c"),
        bind("a", "b", "z"),
        merge("c", into="d"),
        merge("x", into="y"),
        merge("a", into="b"),
        revoke(5),
    )
    assert state.canonical("a") == "d"
    assert seqs(state.why_canonical("a")) == [0, 1, 3, 6]
    assert seqs(state.why_canonical("d")) == [3, 6]
    assert seqs(state.why_canonical("x")) == [4]
    state = of(merge("a", into="b"), revoke(0), merge("a", into="c"))
    assert seqs(state.why_canonical("a")) == [2]  # what was revoked would have been over by now


def test_why_an_overlay_and_a_lineage():
    state = of(create(), create(), revise(), close(), revoke(3), revise())
    assert seqs(state.why_overlay("o")) == [0, 2, 4, 5]
    state = of(fork("a", "b"), fork("z", "b"), revoke(1), fork("x", "y"), fork("b", "a"), fork("a", "b"), revoke(5))
    assert state.lineage("b") == ("a",)
    assert seqs(state.why_lineage("b")) == [0, 2, 4]


def test_a_why_without_a_decision_names_no_revocation():
    assert of(SET_A).without([0]).why_alias("A") == ()


# -- extensions ----------------------------------------------------------------------------------------------------


def test_a_plug_in_that_raises_marks_its_decision_void_and_is_reported():
    state = of(tag("p"), tag("p"), tag("q"))
    assert state.extensions == {"x-acme-tag": ["p", "q"]}
    assert state.void == (Void(1, decision_id(1), "extension-failed"),)
    assert state.extension_errors == {1: "ValueError: p is tagged"}


class Rude(Exception):
    def __str__(self):
        raise RuntimeError


class Failing:
    def __init__(self, error):
        self.error = error

    def initial(self):
        return 0

    def apply(self, state, landed):
        raise self.error


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), AssertionError(), Rude()])
def test_whatever_a_plug_in_raises_the_fold_goes_on(error):
    state = state_of(log_of(tag("p"), SET_A), {"x-acme-tag": Failing(error)})
    assert state.json()["extensions"] == {"x-acme-tag": 0}
    assert state.extension_errors[0].startswith(type(error).__name__)
    assert state.aliases == {"A": "p"}


def test_a_plug_in_that_cannot_begin_has_no_state():
    state = state_of(log_of(tag("p"), tag("q"), revoke(1)), {"x-acme-tag": BrokenPlugin("out of order")})
    assert state.extensions == {}
    assert state.extension_errors == {0: "RuntimeError: out of order"}
    assert [void.seq for void in state.void] == [0]
    assert state.void_reason(0) == "extension-failed"
    assert state.would_be_void(decision(9, *tag("r")[:1], **tag("r")[1])) == "extension-failed"


def test_a_decision_would_be_void_where_a_plug_in_cannot_begin():
    class Halting(Tags):
        def initial(self):
            raise RuntimeError

        def apply(self, state, landed):
            return state

    state = state_of([], {"x-acme-tag": Halting()})
    assert state.would_be_void(decision(0, "x-acme-tag", page="p")) == "extension-failed"


def test_a_would_be_decision_has_a_place_and_no_commit():
    seen = []

    class Looks:
        def initial(self):
            return None

        def apply(self, state, landed):
            seen.append(landed)

    doc = decision(9, "x-acme-tag", page="p")
    assert state_of(log_of(SET_A), {"x-acme-tag": Looks()}).would_be_void(doc) is None
    assert seen == [Landed(1, "", 1795341600, "alice", Decision.from_json(doc))]


def test_without_a_plug_in_a_decision_is_kept():
    state = state_of(log_of(tag("p"), tag("p")), {})
    assert state.extensions == {}
    assert state.void == ()
    assert state.is_effective(1)
    assert state.landed(1).decision.payload == {"page": "p"}


class Entry:
    """An entry point as importlib.metadata gives it."""

    def __init__(self, name, value, what):
        self.name, self.value, self.what = name, value, what

    def load(self):
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


class Plugin(Failing):
    def __init__(self):
        super().__init__(ValueError())


def test_installed_plug_ins_are_loaded(monkeypatch):
    ready = Plugin()
    entries = [
        Entry("x-acme-class", "acme:Plugin", Plugin),
        Entry("x-acme-object", "acme:plugin", ready),
        Entry("x-acme-object", "acme:plugin", ready),  # the same one, found twice
        Entry("x-acme-missing", "acme:gone", ImportError("no acme")),
        Entry("x-acme-two", "acme:a", ready),
        Entry("x-acme-two", "evil:b", ready),
        Entry("alias-set", "evil:c", ready),
    ]

    def entry_points(group):
        assert group == extensions_module.GROUP == "coordjournal.decisions"
        return entries

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    found = load_extensions()
    assert isinstance(found["x-acme-class"], Plugin)
    assert found["x-acme-object"] is ready
    assert sorted(found) == ["x-acme-class", "x-acme-missing", "x-acme-object", "x-acme-two"]
    for kind, says in (("x-acme-missing", "ImportError: no acme"), ("x-acme-two", "acme:a and evil:b")):
        with pytest.raises(RuntimeError, match=says):
            found[kind].initial()
