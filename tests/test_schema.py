"""The schemas: what they allow is in the vectors; here is what they say to a person, and the declared ones."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from coordjournal import accept, canonical, schema
from coordjournal.errors import CoordjournalError, Refused

FOLDER = Path(__file__).resolve().parents[1] / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
BODY = {"bytes": 1, "sha256": "0" * 64}
LEASE = {"holder": "node-a", "ttl": 300}
OVERLAY = {"overlay_id": "o", "target": "t", "base_rev": None, "body": BODY}


def decided(**change: Any) -> dict[str, Any]:
    """A decision; ``...`` takes a field out."""
    doc = {
        "actor": "alice",
        "at": "2026-11-22T10:00:00.000000Z",
        "id": "01935c2f-7b00-7000-8000-000000000001",
        "payload": {"alias": "Home", "target": "shardA:Index"},
        "space": "garden",
        "type": "alias-set",
        "v": 1,
    } | change
    return {key: value for key, value in doc.items() if value is not ...}


def refused(**change: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        schema.judge(canonical.dumps(decided(**change)))
    return caught.value


def test_every_file_is_a_schema_and_names_itself() -> None:
    stems = {path.stem for path in FOLDER.glob("*.json")}
    assert stems == {"text", "envelope"} | accept.BUILT_IN
    assert schema.built_in() == accept.BUILT_IN
    for path in FOLDER.glob("*.json"):
        document = json.loads(path.read_text("utf-8"))
        Draft202012Validator.check_schema(document)
        assert document["$schema"] == DRAFT
        assert document["$id"] == f"urn:coordjournal:format-1:{path.stem}"
        if path.stem != "text":
            assert document["additionalProperties"] is False
            assert set(document["required"]) <= set(document["properties"])


def test_a_lawful_line_is_its_decision() -> None:
    doc = decided(reason="so", meta={"a": "b"})
    assert schema.judge(canonical.dumps(doc)) == doc


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"actor": "a;b"}, "actor", "character 2 of 'a;b' is U+003B ';', which is not allowed there"),
        ({"actor": " a"}, "actor", "the first character of ' a' is U+0020 ' ', which is not allowed there"),
        ({"actor": "a."}, "actor", "the last character of 'a.' is U+002E '.', which is not allowed there"),
        ({"actor": "-"}, "actor", "'-' is not allowed"),
        ({"actor": "a\u0007"}, "actor", "character 2 of 'a\\x07' is U+0007, which is not allowed there [Actor"),
        ({"actor": "é" * 101}, "actor", "takes more than 200 bytes in UTF-8"),
        ({"actor": ""}, "actor", "non-empty"),
        ({"actor": ...}, "the decision", "missing: 'actor'"),
        ({"at": "2026-02-30T10:00:00.000000Z"}, "at", "does not have the form due here [A time in UTC"),
        ({"id": "01935C2F-7B00-7000-8000-000000000001"}, "id", "does not have the form due here [A UUIDv7"),
        ({"note": 1, "v": 1, "Note": 2}, "the decision", "not allowed here: 'Note', 'note'"),
        ({"space": "garden\u202e"}, "space", "character 7 of 'garden\\u202e' is U+202E, which is not allowed there"),
        ({"space": "é" * 41}, "space", "takes more than 80 bytes in UTF-8 [A space id.]"),
        ({"reason": "a\tb"}, "reason", "character 2 of 'a\\tb' is U+0009"),
        ({"meta": {"a b": "c"}}, "meta (a key)", "character 2 of 'a b' is U+0020 ' '"),
        ({"meta": {"a": 1}}, "meta.a", "1 is not of type 'string'"),
        ({"v": 3}, "v", "this decision is of format 3; this coordjournal reads format 1"),
        ({"payload": {}}, "payload", "missing: 'alias', 'target'"),
        ({"payload": {"alias": "a", "target": "b", "x": 1}}, "payload", "not allowed here: 'x'"),
        (
            {"type": "binding-made", "payload": {"members": ["a"]}},
            "payload.members",
            "too few items: 1, due are at least 2",
        ),
        ({"type": "binding-made", "payload": {"members": ["a", "a"]}}, "payload.members", "the same item stands twice"),
        ({"type": "binding-made", "payload": {"members": ["a", "b\n"]}}, "payload.members[1]", "is U+000A, which"),
        ({"type": "overlay-created", "payload": OVERLAY | {"base_rev": 5}}, "payload.base_rev", "A revision of a page"),
        ({"type": "overlay-created", "payload": OVERLAY | {"body": {}}}, "payload.body", "missing: 'bytes', 'sha256'"),
        (
            {"type": "overlay-created", "payload": OVERLAY | {"body": BODY | {"bytes": -1}}},
            "payload.body.bytes",
            "-1 is less than the minimum of 0",
        ),
        ({"type": "lease-acquired", "payload": LEASE | {"ttl": 0}}, "payload.ttl", "0 is less than the minimum of 1"),
        ({"type": "lease-acquired", "payload": LEASE | {"holder": "a;b"}}, "payload.holder", "character 2 of 'a;b'"),
        ({"type": "lease-released", "payload": LEASE}, "payload", "not allowed here: 'ttl'"),
        ({"type": "intent-refused", "payload": {}}, "payload", "missing: 'decision', 'reason'"),
    ],
)
def test_a_refusal_is_a_sentence_about_a_place(change: dict[str, Any], place: str, words: str) -> None:
    refusal = refused(**change)
    assert (refusal.code, refusal.place) == ("schema", place)
    assert words in refusal.what
    assert refusal.remedy


def test_an_unknown_type_is_told_the_known_ones() -> None:
    refusal = refused(type="alias")
    assert refusal.code == "unknown-type"
    assert "alias-cleared, alias-set, binding-made" in refusal.remedy


def test_a_refusal_is_short_however_long_the_value() -> None:
    for change in (
        {"actor": "a;" * 10_000},
        {"payload": {"alias": "a", "target": "b", "x" * 10_000: 1}},
        {"payload": ["x"] * 10_000},
        {"type": "binding-made", "payload": {"members": ["y" * 3000] * 1000}},
        {"type": "t" * 10_000},
    ):
        assert len(str(refused(**change))) < 800


# -- the schemas that a server declares ------------------------------------------------------------------------------

TAG: dict[str, Any] = {
    "$schema": DRAFT,
    "type": "object",
    "required": ["page"],
    "properties": {"page": {"$ref": "#/$defs/page"}},
    "$defs": {"page": {"type": "string", "maxUtf8Bytes": 10}},
}


def extension(payload: Any, declared: Any = TAG) -> Refused:
    with pytest.raises(Refused) as caught:
        schema.Extensions({"x-acme-tag": declared}).judge("x-acme-tag", payload)
    return caught.value


def test_a_declared_schema_judges_the_payload() -> None:
    schema.Extensions({"x-acme-tag": TAG}).judge("x-acme-tag", {"page": "s:P", "more": [1]})
    refusal = extension({})
    assert (refusal.code, refusal.place) == ("extension-schema", "payload")
    assert "missing: 'page'" in refusal.what
    assert extension({"page": 5}).place == "payload.page"


def test_a_declared_schema_may_count_bytes() -> None:
    """Also where it names its draft, at which jsonschema goes back to the validator of the plain draft."""
    assert "more than 10 bytes" in extension({"page": "é" * 6}).what
    inner = {"properties": {"page": {"$schema": DRAFT, "maxUtf8Bytes": 10}}}
    assert "more than 10 bytes" in extension({"page": "é" * 6}, inner).what


def test_an_undeclared_type() -> None:
    with pytest.raises(Refused) as caught:
        schema.Extensions({}).judge("x-acme-tag", {})
    assert (caught.value.code, caught.value.place) == ("undeclared-type", "type")
    assert "schema declare" in caught.value.remedy


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"$ref": "#"}, "refers to itself without end"),
        ({"$ref": "#/$defs/nothing"}, "lacks /$defs/nothing"),
        ({"$ref": "https://example.org/page.json"}, "lacks https://example.org/page.json"),
    ],
)
def test_what_a_declared_schema_lacks_refuses_and_is_never_fetched(
    declared: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    refusal = extension({}, declared)
    assert refusal.code == "extension-schema"
    assert words in refusal.what


@pytest.mark.parametrize(
    "declared",
    [
        {},
        TAG,
        {"type": "object", "properties": {"maxUtf8Bytes": {"type": "string"}, "$ref": {"type": "string"}}},
        {"properties": {"a": {"maxUtf8Bytes": 0, "pattern": "^[a-z]+$", "not": {"const": "x"}}}},
        {"additionalProperties": {"$dynamicRef": "#node"}, "$dynamicAnchor": "node"},
    ],
)
def test_these_can_be_declared(declared: Any) -> None:
    schema.check_declaration("x-acme-tag", declared)


@pytest.mark.parametrize(
    ("kind", "declared", "words"),
    [
        ("alias-set", {}, "is not x-<vendor>-<name>"),
        ("x-Acme-tag", {}, "is not x-<vendor>-<name>"),
        ("x-acme-tag\n", {}, "is not x-<vendor>-<name>"),
        ("x-acme-tag", True, "a schema is a JSON object"),
        ("x-acme-tag", [], "a schema is a JSON object"),
        ("x-acme-tag", {"minimum": 0.5}, "no canonical JSON: a float"),
        ("x-acme-tag", {"title": "\ud800"}, "no canonical JSON: a string holds a lone surrogate"),
        ("x-acme-tag", {"type": "text"}, "not a JSON Schema of draft 2020-12 at type"),
        ("x-acme-tag", {"properties": {"a": {"pattern": "("}}}, "at properties.a.pattern: '(' is not a 'regex'"),
        (
            "x-acme-tag",
            {"properties": {"a": {"maxUtf8Bytes": "9"}}},
            "at properties.a.maxUtf8Bytes: '9' is not of type",
        ),
        ("x-acme-tag", {"maxUtf8Bytes": -1}, "at maxUtf8Bytes: -1 is less than the minimum"),
        ("x-acme-tag", {"$ref": "https://example.org/a"}, "it may refer to itself only"),
        ("x-acme-tag", {"items": [{"$ref": "other#/a"}]}, "not a JSON Schema"),
        ("x-acme-tag", {"allOf": [{"$dynamicRef": "other"}]}, "it may refer to itself only"),
        ("x-acme-tag", {"$schema": "http://json-schema.org/draft-07/schema#"}, "it must be of " + DRAFT),
        ("x-acme-tag", {"$defs": {"a": {"$schema": "https://example.org/mine"}}}, "it must be of " + DRAFT),
    ],
)
def test_these_cannot_be_declared(kind: str, declared: Any, words: str) -> None:
    with pytest.raises(CoordjournalError) as caught:
        schema.check_declaration(kind, declared)
    assert words in str(caught.value)
