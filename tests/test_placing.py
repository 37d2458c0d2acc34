"""Placing: what the rightful appender stamps is always lawful, and what anybody else stamps never is."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordjournal import canonical, law, trailer
from coordjournal.admission import Settings
from coordjournal.commit import EMPTY_TREE, Commit, parse, subject
from coordjournal.decision import new_id
from coordjournal.errors import Refused
from coordjournal.placing import Appender, place, token_of
from coordjournal.timestamp import LAST_SECOND, text
from coordjournal.trailer import Lease

NOW = 1_790_000_000
SETTINGS = Settings(clock_skew=1, lease_max_ttl=9)


def name(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def decided(kind: str = "alias-cleared", payload: Any = None, **more: Any) -> dict[str, Any]:
    doc = {"actor": "alice", "at": text(NOW - 1000), "id": new_id(), "space": "garden", "type": kind, "v": 1}
    return doc | {"payload": payload or {"alias": "Home"}} | more


def acquire(holder: str = "node-a", ttl: int = 5, **more: Any) -> dict[str, Any]:
    return decided("lease-acquired", {"holder": holder, "ttl": ttl}, **more)


def put(
    parent: Commit | None,
    doc: dict[str, Any],
    who: str = "node-a",
    now: int = NOW,
    held: Lease | None = None,
    limits: Settings = SETTINGS,
) -> Commit:
    """What is placed, once it was read back from its bytes and judged again."""
    by = Appender(who, now, name, limits, lambda kind, payload: None, held)
    shown = subject(doc["type"], doc["payload"])
    child, raw = place("garden", parent, doc, shown, canonical.dumps(doc), EMPTY_TREE[40], (), by)
    again = parse(name("commit", raw), raw)
    assert law.check("garden", parent, again) == doc
    for part in ("oid", "appended", "appender", "seq", "lease"):
        assert getattr(again, part) == getattr(child, part)
    return child


def refused(*asked: Any, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        put(*asked, **more)
    return caught.value


def test_a_lease_from_its_acquisition_to_the_next() -> None:
    first = put(None, decided())
    assert (first.seq, first.lease) == (0, None)
    doc = acquire("org/node-a", id="0193f0a0-0000-7000-8000-00000000beef")
    held = put(first, doc)
    assert held.lease == f"org/node-a/800000000000beef; term=1; ttl=5; until={text(NOW + 5)[:19]}Z"
    mine = trailer.read(held.lease)
    on = put(held, decided(), now=NOW + 3, held=mine)
    assert on.lease == f"org/node-a/800000000000beef; term=1; ttl=5; until={text(NOW + 8)[:19]}Z"
    over = put(on, decided("lease-released", {"holder": "org/node-a"}), now=NOW + 4, held=mine)
    assert over.lease == f"org/node-a/800000000000beef; term=1; ttl=5; until={text(NOW + 4)[:19]}Z"
    free = put(over, decided(), "node-b", NOW + 4)
    assert free.lease == "-; term=1"
    assert put(free, acquire("node-b"), "node-b").lease.startswith("node-b/")  # type: ignore[union-attr]


def test_the_time_of_a_parent_that_is_ahead_is_kept() -> None:
    held = put(None, acquire())
    mine = trailer.read(held.lease)
    ahead = put(held, decided(), now=NOW + 3, held=mine)
    for now in (NOW, NOW + 3):
        child = put(ahead, decided(), now=now, held=mine)
        assert (child.appended, child.lease) == (NOW + 3, ahead.lease)


def test_whoever_is_not_the_holder_is_told_who_is() -> None:
    held = put(None, acquire())
    stale = Lease("node-a", "0000", 1, 5, NOW + 5)
    for who, mine in (("node-a", None), ("node-a", stale), ("node-b", None), ("node-b", trailer.read(held.lease))):
        for doc in (decided(), acquire()):
            refusal = refused(held, doc, who, NOW + 4, mine)
            assert refusal.code == "lease-held"
            assert "'node-a' holds the lease" in refusal.what


def test_a_holder_that_comes_late_has_no_lease_any_more() -> None:
    held = put(None, acquire())
    mine = trailer.read(held.lease)
    assert put(held, decided(), now=NOW + 5, held=mine).lease == "-; term=1"
    again = put(held, acquire(), now=NOW + 5, held=mine)
    assert trailer.read(again.lease).term == 2  # type: ignore[union-attr]
    assert refused(held, decided("lease-released", {"holder": "node-a"}), now=NOW + 5, held=mine).code == "lease"
    taken = put(held, acquire("node-b"), "node-b", NOW + 5)
    for doc in (decided(), acquire(), decided("lease-released", {"holder": "node-a"})):
        assert refused(taken, doc, now=NOW + 6, held=mine).code == "lease-held"


def test_the_admission_is_asked() -> None:
    assert refused(None, acquire(ttl=1)).place == "payload.ttl"
    assert refused(None, acquire(ttl=10)).place == "payload.ttl"
    assert refused(None, decided(at=text(NOW + 2))).code == "clock"
    assert refused(None, decided(), limits=Settings(decision_bytes=100)).code == "too-large"


def test_a_lease_that_would_end_after_the_year_9999_is_refused() -> None:
    refusal = refused(None, acquire(), now=LAST_SECOND - 4)
    assert (refusal.code, refusal.place) == ("lease", "trailer Lease")
    assert put(None, acquire(), now=LAST_SECOND - 5).lease.endswith("until=9999-12-31T23:59:59Z")  # type: ignore[union-attr]


def test_a_token_is_as_fresh_as_its_id() -> None:
    tokens = {token_of(new_id()) for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(map(trailer.is_token, tokens))


WHO = st.sampled_from(["node-a", "node-b", "node-c"])
KINDS = st.sampled_from(["alias-cleared", "alias-cleared", "lease-acquired", "lease-released", "intent-refused"])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_the_rightful_appender_is_always_lawful(data: st.DataObject) -> None:
    """Any history: while a lease is in force its holder, who knows the tip's trailer, and otherwise anybody, also with
    a lease that is over; clocks that stand still or go back. Everybody else is refused at every step."""
    tip: Commit | None = None
    now = NOW
    for _ in range(data.draw(st.integers(1, 10))):
        now += data.draw(st.integers(-2, 4))
        kind, who = data.draw(KINDS), data.draw(WHO)
        lease = trailer.read(tip.lease) if tip else None
        in_force = lease is not None and tip is not None and lease.in_force(max(now, tip.appended))
        holder = data.draw(st.sampled_from(["node-a", "org/b"]))
        if in_force and lease is not None and tip is not None:
            holder = lease.holder
            for other in {"node-a", "node-b", "node-c"} - {tip.appender}:
                assert refused(tip, decided(), other, now, lease).code == "lease-held"
            assert refused(tip, decided(), tip.appender, now, None).code == "lease-held"
            who = tip.appender
        elif kind == "lease-released":
            assert refused(tip, decided(kind, {"holder": holder}), who, now, lease).code == "lease"
            continue
        payload: dict[str, Any] = {"alias": "Home"}
        if kind == "intent-refused":
            payload = {"decision": new_id(), "reason": "x"}
        elif kind == "lease-acquired":
            payload = {"holder": holder, "ttl": data.draw(st.integers(2, 9))}
        elif kind == "lease-released":
            payload = {"holder": holder}
        tip = put(tip, decided(kind, payload), who, now, lease)
