"""The law: its rules one by one, their order, and what a refusal says. schemas/vectors/commits.json has many more."""

from __future__ import annotations

import hashlib
from typing import Any

import model
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordjournal import canonical, law
from coordjournal.commit import EMPTY_TREE, Commit, File, build, parse, subject
from coordjournal.errors import Refused
from coordjournal.timestamp import LAST_SECOND, seconds, text

AT = "2026-11-22T10:00:00.999999Z"
NOW = 1795341601
EMPTY = EMPTY_TREE[40]


def decided(kind: str = "alias-set", payload: Any = None, **more: Any) -> dict[str, Any]:
    doc = {"actor": "alice", "at": AT, "id": "01935c2f-7b00-7000-8000-000000000001", "space": "garden", "type": kind}
    return doc | {"payload": payload or {"alias": "Home", "target": "s:P"}, "v": 1} | more


def commit(doc: Any = None, on: Commit | None = None, **change: Any) -> Commit:
    """A lawful commit on the parent ``on``, but for what is changed."""
    doc = doc or decided()
    parts = {
        "tree": EMPTY,
        "parent": on and on.oid,
        "actor": doc["actor"],
        "authored": seconds(doc["at"]),
        "appender": "node-a",
        "appended": NOW,
        "subject": subject(doc["type"], doc["payload"]),
        "line": canonical.dumps(doc),
        "seq": on.seq + 1 if on and on.seq is not None else 0,
    } | change
    raw = build(**parts)
    return parse(hashlib.sha1(b"commit %d\0" % len(raw) + raw).hexdigest(), raw)


def refused(parent: Commit | None, child: Commit, space: str = "garden") -> Refused:
    with pytest.raises(Refused) as caught:
        law.check(space, parent, child)
    return caught.value


ROOT = commit()


def test_a_chain_of_lawful_steps() -> None:
    parent: Commit | None = None
    for seq in range(5):
        child = commit(on=parent)
        assert law.check("garden", parent, child) == decided()
        assert child.seq == seq
        parent = child


def test_the_first_broken_rule_gives_the_code() -> None:
    """Everything is wrong at first; each step puts right what was named."""
    body: dict[str, Any] = {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    payload = {"base_rev": None, "body": body, "overlay_id": "o1", "target": "s:P"}
    lawful = decided("overlay-created", payload)
    wrong = lawful | {"space": "orchard"}
    change: dict[str, Any] = {
        "parent": "1" * 40,
        "line": b"{",
        "seq": 7,
        "actor": "bob",
        "subject": "x",
        "appended": NOW - 1,
    }
    change["lease"] = "-; term=1"
    steps: list[tuple[str, dict[str, Any]]] = [
        ("not-fast-forward", {"parent": ROOT.oid}),
        ("bad-json", {"line": b" {}"}),
        ("not-canonical", {"line": canonical.dumps(wrong | {"v": 0})}),
        ("schema", {"line": canonical.dumps(wrong | {"type": "overlay"})}),
        ("unknown-type", {"line": canonical.dumps(wrong)}),
        ("wrong-space", {"line": canonical.dumps(lawful)}),
        ("seq", {"seq": 1}),
        ("author", {"actor": "alice"}),
        ("subject", {"subject": "overlay-created: o1 on s:P (1 bytes)"}),
        ("attachment", {"tree": "2" * 40}),
        ("time", {"appended": NOW}),
    ]
    for code, remedy in steps:
        child = commit(lawful, ROOT, **change)
        if child.files is None:
            child.files = (File("100644", "body", "3" * 40, 1, body["sha256"]),)
        assert refused(ROOT, child).code == code
        change |= remedy
    child = commit(lawful, ROOT, **change)
    child.files = (File("100644", "body", "3" * 40, 1, body["sha256"]),)
    assert refused(ROOT, child).code == "lease"
    child = commit(lawful, ROOT, **change | {"lease": None})
    child.files = (File("100644", "body", "3" * 40, 1, body["sha256"]),)
    assert law.check("garden", ROOT, child) == lawful


def test_what_a_refusal_says_names_both_sides() -> None:
    cases = [
        (refused(ROOT, commit(on=None)), "starts another log", "header parent"),
        (refused(ROOT, commit(on=commit(appended=NOW - 5))), f"not the tip {ROOT.oid}", "header parent"),
        (refused(None, commit(on=ROOT)), f"this has {ROOT.oid}", "header parent"),
        (refused(None, commit(), "orchard"), "of space 'garden', the ref of space 'orchard'", "space"),
        (refused(ROOT, commit(on=ROOT, seq=5)), "has Seq 5, due is Seq 1", "trailer Seq"),
        (refused(ROOT, commit(on=ROOT, seq=None)), "it is an intent", "trailer Seq"),
        (refused(None, commit(actor="bob")), "the author is 'bob' at 2026-11-22T10:00:00", "header author"),
        (refused(None, commit(authored=NOW)), "2026-11-22T10:00:01.000000Z, the decision's actor", "header author"),
        (refused(None, commit(subject="x")), "does not say what was decided", "subject"),
        (refused(ROOT, commit(on=ROOT, appended=NOW - 1)), "is before the parent's", "header committer"),
    ]
    for refusal, words, place in cases:
        assert words in refusal.what
        assert refusal.place == place
        assert refusal.remedy
    assert "alias-set: Home -> s:P" in refused(None, commit(subject="x")).remedy


def test_at_is_rounded_down() -> None:
    assert law.check("garden", None, commit(authored=NOW - 1)) == decided()
    assert refused(None, commit(authored=NOW)).code == "author"


def test_the_same_append_time_is_lawful() -> None:
    law.check("garden", ROOT, commit(on=ROOT, appended=ROOT.appended))


def test_the_law_has_no_clock() -> None:
    late = commit(decided(at="9999-12-31T23:59:59.000000Z"), appended=0)
    law.check("garden", None, late)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (None, "the tree holds something else, declared is body"),
        ((), "the tree holds nothing, declared is body"),
        ((File("100644", "note", "3" * 40, 1, "0" * 64),), "the tree holds 'note', declared is body"),
        ((File("100755", "body", "3" * 40, 1, "0" * 64),), "the mode is 100755"),
        ((File("100644", "body", "3" * 40, 2, "0" * 64),), "2 bytes, declared are 1"),
        ((File("100644", "body", "3" * 40, 1, "1" * 64),), "its SHA-256 is 1111"),
        ((File("100644", "body", "3" * 40, 1, None),), "its SHA-256 is None"),
    ],
)
def test_attachments(files: tuple[File, ...] | None, words: str) -> None:
    payload = {"base_rev": None, "body": {"bytes": 1, "sha256": "0" * 64}, "overlay_id": "o1", "target": "s:P"}
    child = commit(decided("overlay-created", payload), tree="2" * 40)
    child.files = files
    refusal = refused(None, child)
    assert refusal.code == "attachment"
    assert words in refusal.what
    assert refusal.place.startswith("tree")


def test_only_overlays_declare_attachments() -> None:
    body = {"bytes": 1, "sha256": "0" * 64}
    payload = {"base_rev": None, "body": body, "overlay_id": "o1"}
    assert law.attachments(decided("overlay-revised", payload)) == {"body": body}
    assert law.attachments(decided("overlay-created", payload | {"target": "s:P"})) == {"body": body}
    assert law.attachments(decided()) == {}
    assert law.attachments(decided("x-acme-tag", {"body": body})) == {}


def test_a_tree_that_nothing_declares() -> None:
    child = commit(tree="2" * 40)
    child.files = (File("100644", "body", "3" * 40, 1, "0" * 64),)
    assert "declared is nothing" in refused(None, child).what


def test_the_fast_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lawful decision never asks jsonschema."""
    from coordjournal import schema

    monkeypatch.setattr(schema, "judge", lambda line: pytest.fail("the schemas were asked"))
    law.check("garden", None, commit())
    law.check("garden", None, commit(decided("x-acme-tag", {"a": [1, {"b": None}]})))


# -- intents ---------------------------------------------------------------------------------------------------------


def test_an_intent_is_lawful_wherever_it_may_land() -> None:
    assert law.intent("garden", commit(seq=None)) == decided()
    assert law.intent("garden", commit(seq=None, parent="1" * 40, appended=0)) == decided()
    acquired = decided("lease-acquired", {"holder": "node-a", "ttl": 300})
    assert law.intent("garden", commit(acquired, seq=None)) == acquired


def test_an_intent_says_what_the_decision_says() -> None:
    """Everything is wrong at first; each step puts right what was named."""
    change: dict[str, Any] = {"line": b"{", "seq": 0, "actor": "bob", "subject": "x", "tree": "2" * 40}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("bad-json", {"line": b" {}"}),
        ("not-canonical", {"line": b"{}"}),
        ("schema", {"line": canonical.dumps(decided("overlay"))}),
        ("unknown-type", {"line": canonical.dumps(decided(space="orchard"))}),
        ("wrong-space", {"line": canonical.dumps(decided())}),
        ("seq", {"seq": None}),
        ("author", {"actor": "alice"}),
        ("subject", {"subject": "alias-set: Home -> s:P"}),
        ("attachment", {"tree": EMPTY}),
    ]
    for code, remedy in steps:
        with pytest.raises(Refused) as caught:
            law.intent("garden", commit(decided(), **change))
        assert caught.value.code == code
        change |= remedy
    assert law.intent("garden", commit(decided(), **change)) == decided()


# -- leases ----------------------------------------------------------------------------------------------------------

ACQUIRED = decided("lease-acquired", {"holder": "node-a", "ttl": 300})
HELD = commit(ACQUIRED, ROOT, lease=f"node-a/5f0c; term=1; ttl=300; until={text(NOW + 300)[:19]}Z")


def test_what_a_refusal_for_a_lease_says() -> None:
    law.check("garden", ROOT, HELD)
    cases = [
        (HELD, {"appender": "node-b", "lease": "-; term=1"}, "lease-held", "'node-a' holds the lease", "trailer Lease"),
        (
            HELD,
            {"appender": "node-b", "lease": HELD.lease},
            "lease-held",
            "until 2026-11-22T10:05:01",
            "header committer",
        ),
        (HELD, {"lease": "-; term=01"}, "lease", "'01' is not a number", "trailer Lease"),
        (HELD, {"lease": None, "appended": NOW + 300}, "lease", "it is '-; term=1'", "trailer Lease"),
        (ROOT, {"lease": "-; term=1"}, "lease", "no lease was ever acquired here", "trailer Lease"),
    ]
    for parent, change, code, words, place in cases:
        refusal = refused(parent, commit(on=parent, **change))
        assert (refusal.code, refusal.place) == (code, place)
        assert words in refusal.what
        assert refusal.remedy


def test_no_lease_outlives_the_year_9999_and_the_law_says_so() -> None:
    last = f"node-a/5f0c; term=1; ttl=300; until={text(LAST_SECOND)[:19]}Z"
    late = commit(on=ROOT, appended=LAST_SECOND - 100)
    assert "after the year 9999" in refused(late, commit(ACQUIRED, late, appended=LAST_SECOND - 9, lease=last)).what
    held = commit(ACQUIRED, ROOT, appended=LAST_SECOND - 300, lease=last)
    law.check("garden", ROOT, held)
    law.check("garden", held, commit(on=held, appended=LAST_SECOND - 9, lease=last))
    assert (
        "after the year 9999"
        in refused(held, commit(on=held, appended=LAST_SECOND - 9, lease=last.replace("9Z", "8Z"))).what
    )


TTLS = st.integers(1, 4)
COMMITTERS = st.sampled_from(["node-a", "node-b"])
HOLDERS = st.sampled_from(["node-a", "org/b"])
TOKENS = st.sampled_from(["aaaa", "bbbb", "aaaab"])
Placed = tuple[str, int, str | None, dict[str, Any]]


def placed(made: Commit, doc: dict[str, Any]) -> Placed:
    return made.appender, made.appended, made.lease, doc


@st.composite
def steps(draw: st.DrawFn, before: Placed | None, nth: int) -> dict[str, Any]:
    """Something to append behind ``before``: as it should be, or with a thing or two that should not."""
    lease = model.lease(before[2]) if before else None
    time = (before[1] if before else 1000) + draw(st.integers(0, 3))
    kind = draw(
        st.sampled_from(["alias-cleared", "lease-acquired", "lease-acquired", "lease-released", "intent-refused"])
    )
    holder = draw(HOLDERS)
    ttl = draw(TTLS)
    appender = draw(COMMITTERS)
    wrong = draw(
        st.sampled_from(["nothing", "nothing", "nothing", "trailer", "trailer", "payload", "committer", "spelling"])
    )
    if lease and lease["holder"] and time < model.end(lease) and before:
        if wrong != "committer":
            appender = before[0]
        if wrong != "payload":
            holder = lease["holder"]
        parts = [lease["holder"], lease["token"], lease["term"], lease["ttl"], 0]
        if kind == "lease-acquired":
            parts[3:] = [ttl, time + ttl]
        elif kind == "lease-released":
            parts[4] = time
        else:
            parts[4] = draw(st.integers(model.end(lease), time + lease["ttl"]))
    elif kind == "lease-acquired":
        parts = [holder, draw(TOKENS), lease["term"] + 1 if lease else 1, ttl, time + ttl]
    else:
        parts = ["", "", lease["term"], 0, 0] if lease else []
    if wrong == "trailer":
        shape = draw(st.sampled_from(["none", "nobody", "held", "held", "held"]))
        term = (lease["term"] if lease else 1) + draw(st.integers(-1, 2))
        if shape == "held":
            parts = parts if len(parts) == 5 and parts[0] else [holder, draw(TOKENS), term, ttl, time + ttl]
            at = draw(st.sampled_from([0, 1, 2, 3, 4, 4, 4]))
            parts[at] = [draw(HOLDERS), draw(TOKENS), term, draw(TTLS), parts[4] + draw(st.integers(-5, 5))][at]
        else:
            parts = [] if shape == "none" else ["", "", term, 0, 0]
    line = written(*parts)
    if wrong == "spelling" and line:
        line = line.replace(" ", draw(st.sampled_from(["", "  "])), 1)
    payload: dict[str, Any] = {"alias": "Home"}
    if kind == "intent-refused":
        payload = {"decision": decided()["id"], "reason": "x"}
    elif kind != "alias-cleared":
        payload = {"holder": holder} | ({"ttl": ttl} if kind == "lease-acquired" else {})
    return {
        "doc": decided(kind, payload, reason=str(nth)),
        "appended": time,
        "appender": appender,
        "lease": line,
    }


def written(holder: str = "", token: str = "", term: int = 0, ttl: int = 0, until: int = 0) -> str | None:
    if not holder:
        return f"-; term={term}" if term else None
    return f"{holder}/{token}; term={term}; ttl={ttl}; until={text(until)[:19]}Z"


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_the_law_of_leases_is_the_models(data: st.DataObject) -> None:
    """Step by step: the same verdict, and on what has landed so far the promises of a lease."""
    log: list[Placed] = []
    tip: Commit | None = None
    for nth in range(data.draw(st.integers(1, 12))):
        step = data.draw(steps(log[-1] if log else None, nth))
        doc = step.pop("doc")
        child = commit(doc, tip, **step)
        code = model.lease_code(log[-1] if log else None, placed(child, doc))
        if code is None:
            law.check("garden", tip, child)
            log.append(placed(child, doc))
            tip = child
        else:
            assert refused(tip, child).code == code
    check_promises(log)


def check_promises(log: list[Placed]) -> None:
    owners: dict[int, tuple[str, str, str]] = {}
    term = 0
    gone: set[tuple[str, str, int]] = set()  # leases that are over: somebody has appended after their end
    before: Placed | None = None
    for committer, time, trailer, doc in log:
        lease = model.lease(trailer)
        last = model.lease(before[2]) if before else None
        in_force = before is not None and last is not None and last["holder"] is not None and time < model.end(last)
        acquired = doc["type"] == "lease-acquired" and not in_force
        if last and last["holder"] and not in_force:
            gone.add((last["holder"], last["token"], last["term"]))
        if in_force and before is not None:
            assert committer == before[0]
        assert (lease["term"] if lease else 0) == term + acquired
        term += acquired
        if lease and lease["holder"]:
            assert owners.setdefault(term, (lease["holder"], lease["token"], committer)) == (
                lease["holder"],
                lease["token"],
                committer,
            )
            assert (lease["holder"], lease["token"], term) not in gone
            assert acquired or in_force
        else:
            assert not in_force
        before = committer, time, trailer, doc


def test_every_step_of_a_long_story_is_lawful_in_the_model_too() -> None:
    """So that the comparison above is known to meet what it is about."""
    story = [
        ("alias-cleared", {"alias": "A"}, "node-a", 0, ()),
        ("lease-acquired", {"holder": "node-a", "ttl": 3}, "node-a", 0, ("node-a", "aaaa", 1, 3, 3)),
        ("alias-cleared", {"alias": "A"}, "node-a", 2, ("node-a", "aaaa", 1, 3, 5)),
        ("lease-acquired", {"holder": "node-a", "ttl": 1}, "node-a", 3, ("node-a", "aaaa", 1, 1, 4)),
        ("alias-cleared", {"alias": "A"}, "node-b", 4, ("", "", 1)),
        ("lease-acquired", {"holder": "org/b", "ttl": 2}, "node-b", 4, ("org/b", "aaaa", 2, 2, 6)),
        ("lease-released", {"holder": "org/b"}, "node-b", 4, ("org/b", "aaaa", 2, 2, 4)),
        ("lease-acquired", {"holder": "org/b", "ttl": 2}, "node-a", 4, ("org/b", "bbbb", 3, 2, 6)),
    ]
    log: list[Placed] = []
    tip: Commit | None = None
    for kind, payload, appender, time, lease in story:
        if lease:
            lease = (*lease[:4], 1000 + lease[4]) if lease[0] else lease
        doc = decided(kind, payload)
        child = commit(doc, tip, appender=appender, appended=1000 + time, lease=written(*lease))
        law.check("garden", tip, child)
        assert model.lease_code(log[-1] if log else None, placed(child, doc)) is None
        log.append(placed(child, doc))
        tip = child
    check_promises(log)
