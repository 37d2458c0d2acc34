"""The law: its rules one by one, their order, and what a refusal says. schemas/vectors/commits.json has many more."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from coordjournal import canonical, law
from coordjournal.commit import EMPTY_TREE, Commit, File, build, parse, subject
from coordjournal.errors import Refused
from coordjournal.timestamp import seconds

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
    lease: str | None = "-; term=0"
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
        child.lease = lease
        if child.files is None:
            child.files = (File("100644", "body", "3" * 40, 1, body["sha256"]),)
        assert refused(ROOT, child).code == code
        change |= remedy
    child = commit(lawful, ROOT, **change)
    child.files = (File("100644", "body", "3" * 40, 1, body["sha256"]),)
    child.lease = lease
    assert refused(ROOT, child).code == "lease"
    child.lease = None
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
