"""Stamping: intents become lawful commits at their places, or a refusal says which would not."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordjournal import Decision, Intent, Refused, law
from coordjournal.admission import Settings
from coordjournal.commit import EMPTY_TREE, Commit, parse, tree_of
from coordjournal.decision import Attachment, at_text, new_id
from coordjournal.stamp import Stamped, stamp
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


def stamped(*intents: Intent, parent: Commit | None = None, hash_name: str = "sha1", **more: Any) -> Stamped:
    given: dict[str, Any] = {
        "appender": "node-a",
        "now": NOW,
        "name": partial(object_name, hash_name),
        "empty_tree": EMPTY_TREE[64 if hash_name == "sha256" else 40],
        "settings": Settings(),
        "judge_extension": lambda kind, payload: None,
    }
    return stamp("garden", intents, parent, **{**given, **more})


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
