"""Stamping: intents become lawful commits at their places, or a refusal says which would not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordjournal import Decision, Intent, Refused, law
from coordjournal.admission import Settings
from coordjournal.commit import EMPTY_TREE, Commit, parse, tree_of
from coordjournal.decision import Attachment, at_text, new_id
from coordjournal.stamp import stamping, trees_of
from coordjournal.store import object_name
from coordjournal.timestamp import text
from coordjournal.trailer import read

NOW = 1_790_000_000


def intent(
    type: str = "alias-set", payload: dict[str, Any] | None = None, files: dict[str, bytes] | None = None, **more: Any
) -> Intent:
    given = {"id": new_id(), "space": "garden", "actor": "alice", "at": text(NOW - 5, 250_000)}
    payload = {"alias": "Home", "target": "s:P"} if payload is None else payload
    return Intent(Decision(type=type, payload=payload, **{**given, **more}), files or {})


def overlay(body: bytes, **more: Any) -> Intent:
    payload = {"overlay_id": "o", "target": "s:P", "base_rev": None, "body": Attachment.of(body).json()}
    return intent("overlay-created", payload, {"body": body}, **more)


@dataclass
class Stamped:
    commits: list[Commit]
    docs: list[dict[str, Any]]
    objects: list[tuple[str, bytes]]


def stamped(*intents: Intent, parent: Commit | None = None, hash_name: str = "sha1", **more: Any) -> Stamped:
    given: dict[str, Any] = {
        "appender": "node-a",
        "now": NOW,
        "name": partial(object_name, hash_name),
        "settings": Settings(),
        "judge_extension": lambda kind, payload: None,
    }
    trees, objects = trees_of(intents, given["name"], EMPTY_TREE[64 if hash_name == "sha256" else 40])
    steps = list(stamping("garden", intents, trees, parent, **{**given, **more}))
    objects += [("commit", raw) for _, _, raw in steps]
    return Stamped([commit for commit, _, _ in steps], [decision.json() for _, decision, _ in steps], objects)


def test_the_bytes_of_a_commit() -> None:
    made = intent(id="0193f0a0-0000-7000-8000-000000000000", reason="why")
    ((kind, raw),) = stamped(made).objects
    assert kind == "commit"
    assert raw.decode() == (
        f"tree {EMPTY_TREE[40]}\n"
        f"author alice <> {NOW - 5} +0000\n"
        f"committer node-a <> {NOW} +0000\n"
        "\n"
        "alias-set: Home -> s:P\n"
        "\n"
        f'{{"actor":"alice","at":"{text(NOW - 5, 250_000)}","id":"0193f0a0-0000-7000-8000-000000000000",'
        '"payload":{"alias":"Home","target":"s:P"},"reason":"why","space":"garden","type":"alias-set","v":1}\n'
        "\n"
        "Seq: 0\n"
    )


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
def test_attachments_and_their_tree_come_before_the_commit_that_names_them(hash_name: str) -> None:
    done = stamped(overlay(b"a note"), hash_name=hash_name)
    blob, tree, commit = done.objects
    assert blob == ("blob", b"a note")
    assert tree == ("tree", tree_of([("body", object_name(hash_name, *blob))]))
    assert done.commits[0].oid == object_name(hash_name, *commit)
    assert done.commits[0].tree == object_name(hash_name, *tree)


@given(st.integers(1, 5), st.integers(-100, 100))
def test_a_batch_is_a_lawful_chain_behind_its_parent(count: int, ahead: int) -> None:
    first = stamped(intent()).commits[0]
    first.appended = NOW + ahead
    done = stamped(*[intent() for _ in range(count)], parent=first)
    parent = first
    for seq, (commit, doc, (_, raw)) in enumerate(zip(done.commits, done.docs, done.objects, strict=True), 1):
        child = parse(object_name("sha1", "commit", raw), raw)
        child.files = ()
        assert law.check("garden", parent, child) == doc
        assert (commit.oid, child.seq) == (child.oid, seq)
        assert child.appended == max(NOW, NOW + ahead)  # never before the parent, however wrong that clock was
        parent = child


def test_a_batch_under_a_lease_carries_it_on() -> None:
    (acquired,) = stamped(intent("lease-acquired", {"holder": "node-a", "ttl": 300})).commits
    held = read(acquired.lease)
    assert held is not None
    assert (held.holder, held.term, held.ttl, held.until) == ("node-a", 1, 300, NOW + 300)
    done = stamped(
        intent(), intent(), intent("lease-released", {"holder": "node-a"}), intent(), parent=acquired, held=held
    )
    assert [commit.lease for commit in done.commits] == [
        str(held),
        str(held),
        str(held.released(NOW)),
        "-; term=1",
    ]
    with pytest.raises(Refused) as refused:
        stamped(intent(), parent=acquired)
    assert (refused.value.code, refused.value.seq) == ("lease-held", 1)
    (late,) = stamped(intent(), parent=acquired, now=NOW + 300).commits
    assert late.lease == "-; term=1"


def test_nothing_of_nothing() -> None:
    done = stamped()
    assert (list(done.commits), list(done.objects)) == ([], [])


@pytest.mark.parametrize(
    ("bad", "more", "code", "place"),
    [
        (intent(space="other"), {}, "wrong-space", "space"),
        (intent(payload={"alias": "", "target": "s:P"}), {}, "schema", "payload.alias"),
        (intent(type="nonsense"), {}, "unknown-type", "type"),
        (intent(payload={"alias": "a", "target": 0.5}), {}, "bad-json", ""),
        (intent(payload={"alias": "a", "target": b"s:P"}), {}, "bad-json", ""),
        (intent(meta={"ß": "key"}), {}, "bad-json", ""),
        (intent(at=text(NOW + 61)), {}, "clock", "at"),
        (intent(files={"stray": b""}), {}, "attachment", "tree"),
        (intent("overlay-created", overlay(b"x").decision.payload | {}), {}, "attachment", "tree"),
        (overlay(b"x" * 11), {"settings": Settings(attachment_bytes=10)}, "too-large", "tree body"),
        (intent(), {"settings": Settings(decision_bytes=100)}, "too-large", "commit"),
        (intent(), {"settings": Settings(read_only=True, primary="there")}, "read-only", "repository"),
        (intent(), {"appender": "no;body"}, "bad-commit", "header committer"),
    ],
)
def test_a_refusal_names_the_place_in_the_log(bad: Intent, more: dict[str, Any], code: str, place: str) -> None:
    with pytest.raises(Refused) as refused:
        stamped(bad, **more)
    assert (refused.value.code, refused.value.place) == (code, place)
    assert refused.value.seq in (0, None) if code == "read-only" else refused.value.seq == 0
    if not more:
        with pytest.raises(Refused) as refused:
            stamped(intent(), intent(), bad, intent())
        assert (refused.value.code, refused.value.seq) == (code, 2)


def test_an_extension_is_judged_by_its_schema_once() -> None:
    asked = []

    def judge(kind: str, payload: Any) -> None:
        asked.append((kind, payload))
        if payload["page"] == "bad":
            raise Refused("extension-schema", "bad", "payload.page")

    stamped(intent("x-acme-tag", {"page": "good"}), intent(), judge_extension=judge)
    assert asked == [("x-acme-tag", {"page": "good"})]
    with pytest.raises(Refused, match="extension-schema"):
        stamped(intent("x-acme-tag", {"page": "bad"}), judge_extension=judge)


def test_the_present_is_when_nothing_else_is_said() -> None:
    assert stamped(intent(at=at_text(None, lambda: NOW * 10**9 + 123_456_789))).docs[0]["at"].endswith(".123456Z")


def test_a_batch_goes_on_under_the_lease_that_it_acquires_and_renews() -> None:
    acquired = intent("lease-acquired", {"holder": "node-a", "ttl": 300})
    renewed = intent("lease-acquired", {"holder": "node-a", "ttl": 120})
    commits = stamped(acquired, intent(), renewed, intent()).commits
    leases = [read(commit.lease) for commit in commits]
    assert [lease and lease.until - NOW for lease in leases] == [300, 300, 120, 120]


def test_what_follows_a_lease_that_ran_out_is_stamped_early_enough_for_every_clock_within_the_skew() -> None:
    (held,) = stamped(intent("lease-acquired", {"holder": "node-a", "ttl": 300})).commits
    end = NOW + 300
    for now, due in ((end, end), (end + 59, end), (end + 100, end + 40)):
        (commit,) = stamped(intent(), parent=held, now=now, appender="node-b").commits
        assert (commit.appended, commit.lease) == (due, "-; term=1")
        assert due <= now - 60 or due == end
    (released,) = stamped(intent("lease-released", {"holder": "node-a"}), parent=held, held=read(held.lease)).commits
    (commit,) = stamped(intent(), parent=released, now=end, appender="node-b").commits
    assert commit.appended == end


# -- many: the plain ones are passed without the law ------------------------------------------------------------------


def outcome(*intents: Intent, **more: Any) -> Any:
    """All that stamping has made, or the refusal."""
    try:
        done = stamped(*intents, **more)
    except Refused as refusal:
        return refusal.code, refusal.what, refusal.place, refusal.seq
    kept = ("oid", "tree", "parent", "actor", "authored", "appender", "appended", "subject", "line", "seq", "lease")
    return done.objects, done.docs, [[getattr(commit, name) for name in kept] for commit in done.commits]


class Strange(str):
    """No text of JSON's own, though it is written as one."""


PLAIN: list[Any] = [
    ("alias-set", {"alias": "Home", "target": "s:P"}),
    ("alias-set", {"alias": "Hüte und Mützen", "target": 's:"P"'}),
    ("alias-cleared", {"alias": "Home"}),
    ("binding-made", {"members": ["s:A", "s:B"]}),
    ("binding-made", {"members": ("s:A", "s:B")}),
    ("merge-decided", {"sources": ["s:A"], "into": "s:B"}),
    ("fork-made", {"source": "s:A", "fork": "s:B", "source_rev": "r 1"}),
    ("overlay-closed", {"overlay_id": "o", "outcome": "applied"}),
    ("decision-revoked", {"decision": "0193f0a0-0000-7000-8000-000000000000"}),
    ("x-acme-tag", {"page": "s:P", "of": {"any": [1, "kind"]}}),
    ("lease-acquired", {"holder": "node-a", "ttl": 300}),
    ("lease-released", {"holder": "node-a"}),
]
ODD: list[Any] = [
    ("merge-decided", {"sources": ["s:A"], "into": Strange("s:B")}),
    ("alias-set", {"alias": "Home"}),
    ("alias-set", {"alias": "Home", "target": 5}),
    ("alias-set", {"alias": "Home", "target": None}),
    ("alias-set", {"alias": "Home\n", "target": "s:P"}),
    ("alias-set", {"alias": "\ud800", "target": "s:P"}),
    ("alias-set", {"alias": "a" * 401, "target": "s:P"}),
    ("alias-set", {"alias": "Home", "target": "s:P", 5: "more"}),
    ("binding-made", {"members": ["s:A", "s:A"]}),
    ("binding-made", {"members": "s:A"}),
    ("alias-set", ["no", "object"]),
    ("nonsense", {}),
]
ENVELOPES: list[dict[str, Any]] = [
    {"reason": 'why "so"?\n'},
    {"meta": {"from": "there"}},
    {"actor": "Strange <name>"},
    {"actor": Strange("alice")},
    {"at": text(NOW + 61)},
    {"at": "2026-02-30T00:00:00.000000Z"},
    {"at": 5},
    {"space": "other"},
    {"id": "no-id"},
    {"reason": ""},
]


@st.composite
def some_intents(draw: st.DrawFn) -> list[Intent]:
    made = []
    for _ in range(draw(st.integers(1, 7))):
        body = draw(st.sampled_from([None, None, None, b"", b"a note", b"x" * 20]))
        more = draw(st.sampled_from([{}, {}, {}, {}, *ENVELOPES]))
        if body is not None:
            made.append(overlay(body, **more))
        else:
            kind, payload = draw(st.sampled_from(PLAIN if draw(st.integers(0, 9)) else ODD))
            files = draw(st.sampled_from([{}, {}, {}, {}, {"stray": b""}]))
            made.append(intent(kind, payload, files, **more))
    return made


@settings(max_examples=150, deadline=None)
@given(some_intents(), st.data())
def test_many_are_stamped_and_refused_as_each_of_them_would_be(intents: list[Intent], data: st.DataObject) -> None:
    """From any parent, under any lease, whatever the clock says; the law and the admission alone are the oracle."""
    parent, held = None, None
    if data.draw(st.booleans()):
        acquired = intent("lease-acquired", {"holder": "node-a", "ttl": 300})
        parent = stamped(acquired if data.draw(st.booleans()) else intent()).commits[0]
        held = data.draw(st.sampled_from([None, read(parent.lease)]))
        if data.draw(st.booleans()) and held is not None:
            parent = stamped(intent("lease-released", {"holder": "node-a"}), parent=parent, held=held).commits[0]
    more: dict[str, Any] = {
        "now": NOW + data.draw(st.sampled_from([0, 0, 0, -100, 200, 299, 300, 1000])),
        "settings": data.draw(
            st.sampled_from([Settings(), Settings(attachment_bytes=10), Settings(decision_bytes=450)])
        ),
        "appender": data.draw(st.sampled_from(["node-a", "node-a", "node-b", "no;body"])),
        "hash_name": data.draw(st.sampled_from(["sha1", "sha1", "sha256"])) if parent is None else "sha1",
        "parent": parent,
        "held": held,
    }
    assert outcome(*intents, many=True, **more) == outcome(*intents, many=False, **more)


def test_most_of_many_do_not_ask_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    judge = law.check
    monkeypatch.setattr(law, "check", lambda *words: (asked.append(words), judge(*words))[1])
    kinds = [item for item in PLAIN if not item[0].startswith(("x-", "lease-"))]
    many = [intent(*item) for item in kinds if '"' not in str(item[1])] * 20 + [overlay(b"a note")]
    stamped(*many, many=True)
    assert asked == []
    (parent,) = stamped(intent("lease-acquired", {"holder": "node-a", "ttl": 300})).commits
    asked.clear()
    stamped(*many, parent=parent, held=read(parent.lease), many=True)
    assert len(asked) == 1  # the first, from which the lease is learnt
