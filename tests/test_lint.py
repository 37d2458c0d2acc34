"""What a curator should look at."""

from __future__ import annotations

import pytest

from coordjournal import AliasSet, BindingMade, DecisionRevoked, Journal, MergeDecided, OverlayClosed, OverlayCreated
from coordjournal.lint import DAY, FORGOTTEN_AFTER, lint
from coordjournal.timestamp import seconds


@pytest.fixture
def space():
    return Journal.memory().space("garden")


def state(space, *decisions):
    for decision in decisions:
        space.append(decision, actor="alice")
    return space.state()


def found(state, now=None):
    now = state.appended if now is None else now
    return [(finding.kind, finding.names, finding.seqs) for finding in lint(state, now=now)]


def test_a_sound_state_has_no_findings(space):
    now = state(
        space,
        AliasSet("Home", "a"),
        BindingMade(["a", "b"]),
        MergeDecided(["b"], "a"),
        AliasSet("Start", "a"),
        OverlayCreated("o", "a", None, "text"),
    )
    assert found(now) == []


def test_names_in_a_circle_are_named_once_and_from_the_least(space):
    now = state(
        space, AliasSet("C", "A"), AliasSet("A", "B"), AliasSet("B", "C"), AliasSet("Into", "A"), AliasSet("Z", "page")
    )
    assert found(now) == [("alias-loop", ("A", "B", "C"), (0, 1, 2))]


def test_a_name_that_means_itself_is_a_circle(space):
    assert found(state(space, AliasSet("Home", "Home"))) == [("alias-loop", ("Home",), (0,))]


def test_two_circles_are_two_findings(space):
    now = state(space, AliasSet("A", "B"), AliasSet("B", "A"), AliasSet("P", "Q"), AliasSet("Q", "P"))
    assert [names for _, names, _ in found(now)] == [("A", "B"), ("P", "Q")]


def test_a_circle_that_was_cut_is_none(space):
    now = state(space, AliasSet("A", "B"), AliasSet("B", "A"))
    space.append(DecisionRevoked(now.landed(1).decision.id), actor="alice")
    assert found(space.state()) == []


def test_a_name_of_a_page_that_was_merged_into_another(space):
    now = state(space, AliasSet("Home", "a"), AliasSet("Other", "c"), MergeDecided(["a"], "b"))
    assert found(now) == [("alias-to-merged-page", ("Home", "a", "b"), (0, 2))]


def test_rivals_that_nobody_merged(space):
    now = state(space, MergeDecided(["a"], "b"), MergeDecided(["c"], "d"), BindingMade(["b", "d"]))
    assert found(now) == [("competing-canonicals", ("b", "d"), (0, 1))]
    assert "'d' counts" in lint(now, now=0)[0].message


@pytest.mark.parametrize(
    "decisions",
    [
        [MergeDecided(["a"], "b"), MergeDecided(["b"], "c")],  # merged on
        [MergeDecided(["a"], "b"), MergeDecided(["b"], "a")],  # the other way round
        [MergeDecided(["a"], "b"), MergeDecided(["c"], "b")],  # the same page twice
        [BindingMade(["a", "b"])],
    ],
)
def test_no_rivals_where_one_page_is_left(space, decisions):
    assert found(state(space, *decisions)) == []


def test_merged_on_and_then_merged_into_again_is_a_rival(space):
    now = state(space, MergeDecided(["a"], "b"), MergeDecided(["b"], "c"), MergeDecided(["x"], "b"))
    assert found(now) == [("competing-canonicals", ("b", "c"), (1, 2))]


def test_an_open_overlay_is_forgotten_after_the_limit_and_not_before(space):
    now = state(space, OverlayCreated("o", "a", None, "text"))
    touched = now.landed(0).appended
    assert found(now, touched + FORGOTTEN_AFTER) == []
    assert found(now, touched + FORGOTTEN_AFTER + 1) == [("forgotten-overlay", ("o", "a"), (0,))]
    assert lint(now, now=touched + 3 * DAY, forgotten_after=2 * DAY)[0].message.endswith("not touched for 3 days")


def test_a_closed_overlay_is_never_forgotten(space):
    now = state(space, OverlayCreated("o", "a", None, "text"), OverlayClosed("o", "discarded"))
    assert found(now, seconds("2099-01-01T00:00:00.000000Z")) == []


def test_findings_as_json(space):
    (finding,) = lint(state(space, AliasSet("Home", "Home")), now=0)
    assert finding.json() == {
        "kind": "alias-loop",
        "names": ["Home"],
        "seqs": [0],
        "message": "names in a circle: 'Home' -> 'Home'",
    }
