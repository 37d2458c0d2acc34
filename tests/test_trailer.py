"""The lease trailer: one spelling a lease, and what an appender writes next."""

from __future__ import annotations

from typing import Any

import model
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordjournal import trailer
from coordjournal.text import FORBIDDEN, is_ident
from coordjournal.timestamp import LAST_SECOND
from coordjournal.trailer import MOST_TTL, Lease

NOW = 1795341600  # 2026-11-22T10:00:00Z
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="".join(FORBIDDEN)), min_size=1)
holders = st.one_of(texts, st.lists(st.sampled_from(["a", "/", "5f0c", "-", "é", " "]), max_size=6).map("".join))
held = st.builds(
    Lease,
    holders.filter(is_ident),
    st.text("0123456789abcdef", min_size=4, max_size=64),
    st.integers(1, 10**15 - 1),
    st.integers(1, MOST_TTL),
    st.integers(0, LAST_SECOND),
)
nobody = st.integers(1, 10**15 - 1).map(lambda term: Lease("", "", term, 0, 0))
leases = held | nobody


@given(leases)
def test_a_lease_is_its_trailer_and_back(lease: Lease) -> None:
    read = trailer.read(str(lease))
    assert read == lease
    assert str(read) == str(lease)
    assert hash(read) == hash(lease)
    assert lease.json() == model.lease(str(lease))
    assert "\n" not in str(lease)


def test_no_trailer_is_no_lease() -> None:
    assert trailer.read(None) is None


def test_a_trailer_is_read_as_it_is_drawn() -> None:
    drawn = trailer.read("org/node-a/5f0c; term=3; ttl=300; until=2026-11-22T10:05:00Z")
    assert drawn == Lease("org/node-a", "5f0c", 3, 300, NOW + 300)
    assert repr(drawn) == "<Lease org/node-a/5f0c; term=3; ttl=300; until=2026-11-22T10:05:00Z>"
    assert trailer.read("-; term=3") == Lease("", "", 3, 0, 0)
    assert drawn != "org/node-a/5f0c; term=3; ttl=300; until=2026-11-22T10:05:00Z"


@settings(max_examples=150)
@given(leases, st.data())
def test_what_is_read_is_the_one_spelling(lease: Lease, data: st.DataObject) -> None:
    """Whatever becomes of the characters of a trailer: it says what it spells, or nothing."""
    changed = str(lease)
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(changed)))
        new = data.draw(
            st.sampled_from(
                ["", " ", ";", "; ", "/", "=", "0", "1", "-", "Z", "a", "A", "+", "é", "٣", "\n", "\r", "term="]
            )
        )
        changed = changed[:at] + new + changed[at + data.draw(st.integers(0, 2)) :]
    try:
        found = trailer.read(changed)
    except ValueError:
        with pytest.raises(ValueError):
            model.lease(changed)
        return
    assert str(found) == changed
    assert found is not None
    assert found.json() == model.lease(changed)


@given(st.text(max_size=80))
def test_any_text_is_a_trailer_or_refused(text: str) -> None:
    for value in (text, f"{text}; term=1", f"a/{text}; term=1; ttl=1; until=2026-11-22T10:00:00Z"):
        try:
            assert str(trailer.read(value)) == value
        except ValueError:
            pass


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("", "not '<holder>/<token>; term=<n>"),
        ("-", "nor '-; term=<n>'"),
        ("-; term=1; ttl=300", "nor '-; term=<n>'"),
        ("-; ttl=1", "expected term=, found 'ttl=1'"),
        ("-; term", "expected term=, found 'term'"),
        ("-; term=0", "'0' is not a number from 1 on"),
        ("-; term=01", "'01' is not a number from 1 on"),
        ("-; term=", "'' is not a number from 1 on"),
        ("a/5f0c; term=1; ttl=31536001; until=2026-11-22T10:00:00Z", "the longest is 31536000"),
        ("a./5f0c; term=1; ttl=1; until=2026-11-22T10:00:00Z", "the holder is no ident"),
        ("a; term=1; ttl=1; until=2026-11-22T10:00:00Z", "the holder is no ident"),
        ("a/5F0C; term=1; ttl=1; until=2026-11-22T10:00:00Z", "the token is not"),
        ("a/5f0; term=1; ttl=1; until=2026-11-22T10:00:00Z", "the token is not"),
        ("a/" + "5" * 65 + "; term=1; ttl=1; until=2026-11-22T10:00:00Z", "the token is not"),
        ("a/5f0c; term=1; ttl=1; until=2026-11-22T10:00:00", "until is not YYYY-MM-DDThh:mm:ssZ"),
        ("a/5f0c; term=1; ttl=1; until=2026-11-31T10:00:00Z", "not a time"),
    ],
)
def test_what_is_wrong_is_said(bad: str, words: str) -> None:
    with pytest.raises(ValueError) as error:
        trailer.read(bad)
    assert words in str(error.value)


def test_in_force_is_before_the_end() -> None:
    lease = Lease("a", "5f0c", 1, 300, NOW)
    assert [lease.in_force(NOW + by) for by in (-1, 0, 1)] == [True, False, False]
    assert not Lease("", "", 1, 0, 0).in_force(0)
    assert not lease.released(NOW - 9).in_force(NOW - 9)


def test_no_lease_ends_after_the_year_9999() -> None:
    assert str(Lease("a", "5f0c", 1, 1, LAST_SECOND)).endswith("until=9999-12-31T23:59:59Z")
    with pytest.raises(ValueError, match="9999"):
        str(Lease("a", "5f0c", 1, 1, LAST_SECOND + 1))


def test_json_says_what_there_is() -> None:
    assert Lease("org/a", "5f0c", 3, 300, NOW).json() == {
        "holder": "org/a",
        "term": 3,
        "token": "5f0c",
        "ttl": 300,
        "until": "2026-11-22T10:00:00Z",
    }
    assert Lease("", "", 3, 0, 0).json() == {"holder": None, "term": 3, "token": None, "ttl": None, "until": None}


def following(before: Lease | None, kind: str, time: int, held: Lease | None, **payload: Any) -> str | None:
    return trailer.following(before, {"type": kind, "payload": payload}, time, held, "00ff")


HELD = Lease("a", "5f0c", 3, 300, NOW + 300)


@pytest.mark.parametrize(
    ("before", "kind", "time", "held", "payload", "due"),
    [
        (None, "alias-set", NOW, None, {}, None),
        (None, "alias-set", NOW, HELD, {}, None),
        (None, "lease-acquired", NOW, None, {"holder": "b", "ttl": 9}, Lease("b", "00ff", 1, 9, NOW + 9)),
        (HELD, "alias-set", NOW + 10, HELD, {}, Lease("a", "5f0c", 3, 300, NOW + 310)),
        (HELD, "alias-set", NOW + 299, HELD, {}, Lease("a", "5f0c", 3, 300, NOW + 599)),
        (HELD, "alias-set", NOW + 300, HELD, {}, Lease("", "", 3, 0, 0)),
        (HELD, "intent-refused", NOW + 10, HELD, {}, Lease("a", "5f0c", 3, 300, NOW + 310)),
        (HELD, "lease-acquired", NOW + 10, HELD, {"holder": "a", "ttl": 9}, Lease("a", "5f0c", 3, 9, NOW + 19)),
        (HELD, "lease-acquired", NOW + 300, HELD, {"holder": "a", "ttl": 9}, Lease("a", "00ff", 4, 9, NOW + 309)),
        (HELD, "lease-released", NOW + 10, HELD, {"holder": "a"}, Lease("a", "5f0c", 3, 300, NOW + 10)),
        (HELD.released(NOW), "alias-set", NOW, HELD, {}, Lease("", "", 3, 0, 0)),
        (Lease("", "", 3, 0, 0), "alias-set", NOW, None, {}, Lease("", "", 3, 0, 0)),
        (
            Lease("", "", 3, 0, 0),
            "lease-acquired",
            NOW,
            None,
            {"holder": "b", "ttl": 9},
            Lease("b", "00ff", 4, 9, NOW + 9),
        ),
    ],
)
def test_what_an_appender_writes_next(
    before: Lease | None, kind: str, time: int, held: Lease | None, payload: Any, due: Lease | None
) -> None:
    assert following(before, kind, time, held, **payload) == (None if due is None else str(due))


def test_nothing_is_written_beyond_the_year_9999() -> None:
    with pytest.raises(ValueError, match="9999"):
        following(None, "lease-acquired", LAST_SECOND, None, holder="a", ttl=1)
