"""Space ids in refs: one spelling an id, that git and every file system take."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import git, run

from coordjournal import refs
from coordjournal.text import FORBIDDEN, is_space

ODD = st.sampled_from(["a", "z", "0", "A", ".", "..", ".lock", "lock", "%", "%4", "%41", "/", "-", "_", "ß", "😀", " "])
spaces = st.one_of(
    st.lists(ODD, min_size=1, max_size=8).map("".join),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="".join(FORBIDDEN)), min_size=1),
).filter(is_space)


@given(spaces)
def test_round_trip(space: str) -> None:
    ref = refs.encode_space(space)
    assert refs.decode_space(ref) == space
    assert refs.space_ref(space) == "refs/spaces/" + ref
    assert ref.isascii()
    assert len(ref) <= 240
    assert "/" not in ref


@given(spaces, spaces)
def test_no_two_spaces_meet_even_where_case_is_folded(one: str, other: str) -> None:
    if one != other:
        assert refs.encode_space(one).lower() != refs.encode_space(other).lower()


@given(st.one_of(st.text(max_size=30), st.lists(ODD, max_size=8).map("".join)))
def test_what_decodes_is_the_one_spelling(name: str) -> None:
    try:
        space = refs.decode_space(name)
    except ValueError:
        return
    assert refs.encode_space(space) == name


@given(spaces, st.data())
def test_another_spelling_of_the_same_bytes_is_none(space: str, data: st.DataObject) -> None:
    """Spell one more byte as %XX, or a %XX in lower case: the ref must not be read as that space."""
    ref = refs.encode_space(space)
    at = data.draw(st.integers(0, len(ref) - 1))
    if ref[at] == "%":
        other = ref[:at] + ref[at : at + 3].lower() + ref[at + 3 :]
    else:
        other = ref[:at] + f"%{ord(ref[at]):02X}" + ref[at + 1 :]
    if other == ref:
        return
    try:
        assert refs.decode_space(other) != space
    except ValueError:
        pass


@pytest.mark.parametrize("space", [None, 5, b"garden", "\ud800", ["garden"]])
def test_what_is_no_space_has_no_ref(space: object) -> None:
    with pytest.raises(ValueError, match="not a space id"):
        refs.space_ref(space)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["\udcff", "\ud800", "%\udcff1", "a\udcc3\udc9f"])
def test_bytes_that_are_not_utf8_spell_nothing(name: str) -> None:
    with pytest.raises(ValueError, match="not the spelling"):
        refs.decode_space(name)


def test_git_takes_what_the_issue_names_beside_each_other(tmp_path: Path) -> None:
    run("git", "init", "-q", "--bare", tmp_path)
    blob = git(tmp_path, "hash-object", "-w", "--stdin")
    names = ["Größe/1", "a/b", "a", "..", "a...b", "CON", "x.lock", "%41", "ß", "😀" * 20]
    for name in names:
        git(tmp_path, "update-ref", refs.space_ref(name), blob)
    listed = git(tmp_path, "for-each-ref", "--format=%(refname)").split("\n")
    assert {refs.decode_space(ref.removeprefix(refs.SPACES)) for ref in listed} == set(names)
