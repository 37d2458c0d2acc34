"""The base of the frozen dataclasses, against what ``dataclasses`` itself compiles."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import coordjournal
from coordjournal import AliasSet, Attachment, BindingMade, Decision, ForkMade, Intent, Landed
from coordjournal.value import Value

VALUES = [cls for name in coordjournal.__all__ if Value in getattr(cls := getattr(coordjournal, name), "__mro__", ())]
MAKEABLE = [cls for cls in VALUES if dataclasses.is_dataclass(cls)]


def plain(cls: type) -> type:
    """The dataclass of the same fields that is made without the base."""
    fields = [(f.name, Any, dataclasses.field(default=f.default)) for f in dataclasses.fields(cls)]
    return dataclasses.make_dataclass(cls.__name__, fields, frozen=True)


def test_these_stand_on_it() -> None:
    assert {AliasSet, Attachment, BindingMade, Decision, ForkMade, Intent, Landed} <= set(MAKEABLE)
    assert len(MAKEABLE) == 19


content = st.none() | st.integers(-1, 1) | st.sampled_from(["", "a", "\u00e9"]) | st.tuples(st.sampled_from("ab"))


TWINS = {cls: plain(cls) for cls in MAKEABLE}


@given(cls=st.sampled_from(MAKEABLE), data=st.data())
def test_it_compares_hashes_and_shows_itself_as_a_dataclass(cls: type, data: st.DataObject) -> None:
    twin = TWINS[cls]
    names = [f.name for f in dataclasses.fields(cls)]

    def made(of: type, values: list[Any]) -> Any:
        new = object.__new__(of)  # past __post_init__, which wants real pages
        for name, value in zip(names, values, strict=True):
            object.__setattr__(new, name, value)
        return new

    one, other = (data.draw(st.lists(content, min_size=len(names), max_size=len(names))) for _ in range(2))
    ours, theirs = made(cls, one), made(twin, one)
    assert (ours == made(cls, other)) is (theirs == made(twin, other))
    assert (ours != made(cls, other)) is (theirs != made(twin, other))
    assert ours == made(cls, one) and hash(ours) == hash(theirs)
    assert repr(ours) == repr(theirs)


def test_it_is_equal_to_nothing_of_another_class() -> None:
    assert AliasSet("a", "b") != ForkMade("a", "b") and AliasSet("a", "b") != ("a", "b")
    assert coordjournal.DecisionRevoked("a") != coordjournal.AliasCleared("a") != coordjournal.LeaseReleased("a")


def test_it_is_frozen_and_can_be_copied_and_pickled() -> None:
    made = AliasSet("Home", "s:P")
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.target = "s:Q"  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        made.other = "s:Q"  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == made
    assert dataclasses.replace(made, target="s:Q") == AliasSet("Home", "s:Q")
    assert dataclasses.asdict(made) == {"alias": "Home", "target": "s:P"}
