"""What programs write: typed payloads, decisions, ids and times."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordjournal import accept, decision, timestamp
from coordjournal.decision import Attachment, Decision, Landed
from coordjournal.payload import (
    BUILT_IN,
    AliasCleared,
    AliasSet,
    BindingMade,
    DecisionRevoked,
    ForkMade,
    IntentRefused,
    LeaseAcquired,
    LeaseReleased,
    MergeDecided,
    OverlayClosed,
    OverlayCreated,
    OverlayRevised,
    Payload,
)

ID = "01935c2f-7b00-7000-8000-000000000000"
AT = "2026-11-22T10:00:00.000000Z"
BODY = {"bytes": 3, "sha256": hashlib.sha256("é!".encode()).hexdigest()}


def decided(payload: Payload, **more: Any) -> Decision:
    return Decision(ID, "garden", payload.type, payload.json(), "alice", AT, **more)


@pytest.mark.parametrize(
    ("payload", "due"),
    [
        (AliasSet("Home", "s:P"), {"alias": "Home", "target": "s:P"}),
        (AliasCleared("Home"), {"alias": "Home"}),
        (BindingMade(["a", "b"]), {"members": ["a", "b"]}),
        (BindingMade(("a", "b")), {"members": ["a", "b"]}),
        (MergeDecided(("a", "b"), "a"), {"sources": ["a", "b"], "into": "a"}),
        (ForkMade("a", "b"), {"source": "a", "fork": "b"}),
        (ForkMade("a", "b", "r1"), {"source": "a", "fork": "b", "source_rev": "r1"}),
        (OverlayCreated("o", "a", None, "é!"), {"overlay_id": "o", "target": "a", "base_rev": None, "body": BODY}),
        (
            OverlayCreated("o", "a", "r", "é!".encode()),
            {"overlay_id": "o", "target": "a", "base_rev": "r", "body": BODY},
        ),
        (OverlayRevised("o", None, Attachment.of("é!".encode())), {"overlay_id": "o", "base_rev": None, "body": BODY}),
        (OverlayClosed("o", "discarded"), {"overlay_id": "o", "outcome": "discarded"}),
        (OverlayClosed("o", "applied", "r2"), {"overlay_id": "o", "outcome": "applied", "result_rev": "r2"}),
        (DecisionRevoked(ID), {"decision": ID}),
        (LeaseAcquired("node-a", 300), {"holder": "node-a", "ttl": 300}),
        (LeaseReleased("node-a"), {"holder": "node-a"}),
        (IntentRefused(ID, "too\nlate"), {"decision": ID, "reason": "too\nlate"}),
    ],
)
def test_payloads_are_what_the_schemas_allow(payload: Payload, due: dict[str, Any]) -> None:
    assert payload.json() == due
    assert accept.accept(decided(payload).json())


def test_every_type_has_a_payload() -> None:
    assert set(BUILT_IN) == accept.BUILT_IN


def test_payloads_bring_their_attachments() -> None:
    assert OverlayCreated("o", "a", None, "é!").files() == {"body": "é!".encode()}
    assert OverlayRevised("o", None, b"\x00").files() == {"body": b"\x00"}
    assert OverlayRevised("o", None, Attachment(3, "0" * 64)).files() == {}  # the bytes are somewhere else
    assert AliasSet("Home", "s:P").files() == {}


@pytest.mark.parametrize("make", [lambda: BindingMade("ab"), lambda: MergeDecided("ab", "a")])
def test_a_text_is_not_a_sequence_of_pages(make: Any) -> None:
    with pytest.raises(TypeError, match="not one text"):
        make()


def test_payloads_are_values() -> None:
    assert BindingMade(["a", "b"]) == BindingMade(("a", "b"))
    assert len({BindingMade(["a", "b"]), BindingMade(("a", "b"))}) == 1


def test_a_decision_is_its_json_and_back() -> None:
    plain = decided(AliasSet("Home", "s:P"))
    assert plain.line() == (
        b'{"actor":"alice","at":"2026-11-22T10:00:00.000000Z","id":"01935c2f-7b00-7000-8000-000000000000",'
        b'"payload":{"alias":"Home","target":"s:P"},"space":"garden","type":"alias-set","v":1}'
    )
    assert Decision.from_json(plain.json()) == plain
    full = decided(AliasSet("Home", "s:P"), reason="so\nit is", meta={"a": "b"})
    assert full.json()["reason"] == "so\nit is"
    assert full.json()["meta"] == {"a": "b"}
    assert Decision.from_json(full.json()) == full


def test_what_is_outside_the_model_has_no_line() -> None:
    with pytest.raises(ValueError, match="float"):
        Decision(ID, "garden", "x-acme-tag", {"a": 1.5}, "alice", AT).line()


def test_a_landed_decision_says_where_it_is() -> None:
    shown = Landed(7, "c" * 40, 1795341601, "node-a", decided(AliasCleared("Home"))).json()
    assert shown["seq"] == 7
    assert shown["commit"] == "c" * 40
    assert shown["appended"] == "2026-11-22T10:00:01.000000Z"
    assert shown["appender"] == "node-a"
    assert shown["id"] == ID
    assert "lease" not in shown
    assert Landed(7, "c" * 40, 1, "a", decided(LeaseReleased("a")), "-; term=1").json()["lease"] == "-; term=1"


@given(st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=10))
def test_ids_are_uuid_7(milliseconds: int, entropy: bytes) -> None:
    made = decision.new_id(lambda: milliseconds * 1_000_000 + 999_999, lambda count: entropy[:count])
    assert accept.is_id(made)
    assert int(made[:8] + made[9:13], 16) == milliseconds


def test_ids_differ() -> None:
    assert len({decision.new_id() for _ in range(1000)}) == 1000


@given(st.integers(0, timestamp.LAST_SECOND * 10**9))
def test_now_is_cut_to_the_microsecond(nanoseconds: int) -> None:
    at = decision.at_text(None, lambda: nanoseconds)
    assert at == timestamp.text(nanoseconds // 10**9, nanoseconds % 10**9 // 1000)


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 12, 30)),
    st.integers(-23 * 60, 23 * 60),
)
def test_a_datetime_keeps_its_moment(moment: datetime, minutes: int) -> None:
    local = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    at = decision.at_text(local)
    assert datetime.fromisoformat(at) == local
    assert accept.is_at(at)


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 11, 22, 10),
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
        "2026-11-22",
        "2026-11-22T10:00:00Z",
    ],
)
def test_other_times_are_errors(at: datetime | str) -> None:
    with pytest.raises(ValueError, match=r"zone|1970|time"):
        decision.at_text(at)


def test_a_time_as_text_stays_as_it_is() -> None:
    assert decision.at_text(AT) == AT
