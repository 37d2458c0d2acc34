"""The fast yes and the schemas never disagree: over every vector, over decisions of all types with anything at all in
any place, and over random ones."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from coordjournal import accept, canonical, law, schema
from coordjournal.errors import Refused

VECTORS = Path(__file__).resolve().parents[1] / "schemas" / "vectors"
DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ID = "01935c2f-7b00-7000-8000-000000000001"
AT = "2026-11-22T10:00:00.000000Z"
BODY = {"bytes": 12, "sha256": DIGEST}
PAYLOADS: list[tuple[str, dict[str, Any]]] = [
    ("alias-set", {"alias": "Home", "target": "shardA:Index"}),
    ("alias-cleared", {"alias": "Home"}),
    ("binding-made", {"members": ["a", "b"]}),
    ("merge-decided", {"into": "a", "sources": ["a", "b"]}),
    ("fork-made", {"fork": "b", "source": "a", "source_rev": "r1"}),
    ("overlay-created", {"base_rev": None, "body": BODY, "overlay_id": "o1", "target": "a"}),
    ("overlay-revised", {"base_rev": "r2", "body": BODY, "overlay_id": "o1"}),
    ("overlay-closed", {"outcome": "applied", "overlay_id": "o1", "result_rev": "r3"}),
    ("decision-revoked", {"decision": ID}),
    ("lease-acquired", {"holder": "node-a", "ttl": 300}),
    ("lease-released", {"holder": "node-a"}),
    ("intent-refused", {"decision": ID, "reason": "too late\nfor it"}),
    ("x-acme-tag", {"page": "s:P", "deep": [{"a": [1, True, None, "\n"]}]}),
]


def decided(kind: str, payload: Any, **more: Any) -> dict[str, Any]:
    doc = {"actor": "alice", "at": AT, "id": ID, "payload": payload, "space": "garden", "type": kind, "v": 1}
    return doc | {"reason": "so it is", "meta": {"import.id": "7", "empty": ""}} | more


DECISIONS = [decided(kind, payload) for kind, payload in PAYLOADS]

# What JSON may hold in any place, and what is nearly right in some.
HOSTILE: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    1.0,
    2**53 - 1,
    2**53,
    -(2**53),
    10**30,
    31_536_000,
    31_536_001,
    "",
    " ",
    "a",
    "A",
    "-",
    "a ",
    " a",
    ".a",
    "a;b",
    "a<b",
    "a\n",
    "\n",
    "\na",
    "a\tb",
    "a\x00b",
    "\x7f",
    "\x85",
    "\u2028",
    "\u202e",
    "\u200f",
    "\u061c",
    "\ufeff",
    "é",
    "😀",
    "٣",
    "\ud800",
    "a\udfffb",
    "a" * 80,
    "a" * 81,
    "é" * 40,
    "é" * 41,
    "a" * 200,
    "a" * 201,
    "é" * 100 + "a",
    "a" * 400,
    "a" * 401,
    "é" * 200,
    "é" * 201,
    "a" * 2000,
    "a" * 2001,
    "é" * 1000,
    "é" * 1001,
    "a" * 10_000,
    "a" * 10_001,
    "é" * 5001,
    ID,
    ID.upper(),
    ID + "\n",
    ID[:-1] + "\n",
    ID[:-1] + "٣",
    ID.replace("7", "4"),
    ID.replace("8000", "7000"),
    ID[:-1] + "-",
    "-" * 36,
    AT,
    AT + "\n",
    AT[:-1] + "\n",
    AT.replace("11", "13"),
    AT.replace("T", " "),
    AT.replace("22", "٢٢"),
    AT[:-1],
    "2100-02-29T00:00:00.000000Z",
    "1969-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999Z",
    DIGEST,
    DIGEST.upper(),
    "h" * 64,
    DIGEST[:-1],
    DIGEST + "\n",
    DIGEST[:-1] + "\n",
    DIGEST[:-1] + "é",
    "alias-set",
    "alias-cleared",
    "lease-acquired",
    "intent-refused",
    "text",
    "envelope",
    "x-acme-tag",
    "x-acme-tag\n",
    "x-acme",
    "x-a-b-",
    "X-a-b",
    "x-é-b",
    "x-" + "a" * 96 + "-b",
    "x-" + "a" * 97 + "-b",
    "applied",
    "discarded",
    "applied\n",
    "Applied",
    [],
    {},
    [[]],
    [{}],
    {"a": 1},
    {"a": "b"},
    {"": ""},
    {"é": "b"},
    {"a\n": "b"},
    {"a b": "c"},
    {"k" * 100: "v"},
    {"k" * 101: "v"},
    {"a": ["b"]},
    {"a": None},
    {"a": "x\ny"},
    {"a": "x\ty"},
    {"a": "m" * 2001},
    ["a"],
    ["a", "a"],
    ["a", "b"],
    ["a", "é", "e\u0301"],
    ["a", 1],
    ["a", True],
    [1, True],
    ["a", []],
    ["a", {}],
    [None, None],
    ["a", "a\n"],
    ["a", "\ud800"],
    ["a"] * 100,
    [str(n) for n in range(100)],
    BODY,
    {**BODY, "bytes": True},
    {**BODY, "bytes": -1},
    {**BODY, "bytes": 2**53 - 1},
    {**BODY, "bytes": 2**53},
    {**BODY, "bytes": "12"},
    {**BODY, "x": 1},
    {"bytes": 1},
    {**BODY, "sha256": None},
    {**BODY, "sha256": [DIGEST]},
]


def line_of(doc: Any) -> bytes:
    """The line that would be canonical if ``doc`` had one: also of what is outside the model."""
    text = json.dumps(doc, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def agree(line: bytes) -> bool:
    """Whether the line is a decision; fails where the fast and the slow answer differ."""
    doc = canonical.loads_fast(line)
    fast = doc is not None and accept.accept(doc)
    try:
        slow = schema.judge(line)
    except Refused as refusal:
        assert not fast, (line, str(refusal))
        assert refusal.code in ("bad-json", "not-canonical", "schema", "unknown-type")
        return False
    assert fast, line
    assert repr(law.decision(line)) == repr(slow)
    return True


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


def put(doc: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    doc = copy.deepcopy(doc)
    at = doc
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return doc


def without(doc: Any, path: tuple[Any, ...]) -> Any:
    doc = copy.deepcopy(doc)
    at = doc
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    return doc


@pytest.mark.parametrize("doc", DECISIONS, ids=lambda doc: doc["type"])
def test_a_decision_of_each_type(doc: dict[str, Any]) -> None:
    assert agree(line_of(doc))
    assert agree(line_of({key: value for key, value in doc.items() if key not in ("reason", "meta")}))


@pytest.mark.parametrize("doc", DECISIONS, ids=lambda doc: doc["type"])
def test_anything_in_any_place(doc: dict[str, Any]) -> None:
    """Every value of HOSTILE for every value of the payload, every key left out, and every key doubled under others."""
    for path in places(doc):
        if (path[:1] != ("payload",) and doc["type"] != "alias-set") or len(path) > 3:
            continue  # the envelope is the same for all types, and an extension's payload is the same all the way down
        for value in HOSTILE:
            agree(line_of(put(doc, path, value)))
        if path:
            agree(line_of(without(doc, path)))
            for key in ("", "x", "alias", "alias\n", "é", "v", "body", "base_rev", "source_rev", "result_rev"):
                parent = (*path[:-1], key)
                if isinstance(path[-1], str):
                    agree(line_of(put(doc, parent, "a")))


def test_every_payload_under_every_type() -> None:
    kinds = [*(kind for kind, _ in PAYLOADS), "lease-renewed", "x-a", ""]
    accepted = [(kind, of) for kind in kinds for of, payload in PAYLOADS if agree(line_of(decided(kind, payload)))]
    assert [pair for pair in accepted if not pair[0].startswith("x-")] == [(k, k) for k, _ in PAYLOADS[:-1]]
    assert len([pair for pair in accepted if pair[0] == "x-acme-tag"]) == len(PAYLOADS)


def test_all_vectors() -> None:
    commits = json.loads((VECTORS / "commits.json").read_text("utf-8"))["cases"]
    accepted = 0
    for case in commits:
        content = case["commit"]
        raw = content.encode() if isinstance(content, str) else base64.b64decode(content["base64"])
        for part in raw.split(b"\n\n")[1:]:
            accepted += agree(part)
    assert accepted > 100
    for case in json.loads((VECTORS / "canonical.json").read_text("utf-8"))["cases"]:
        if isinstance(case.get("json"), str):
            agree(case["json"].encode())
            agree(line_of(decided("x-acme-tag", {"a": "HERE"})).replace(b'"HERE"', case["json"].encode()))


@pytest.mark.parametrize("depth", [1, 60, 61, 62, 63, 64])
@pytest.mark.parametrize("inmost", [[], 1])
def test_depth_is_counted_from_the_decision(depth: int, inmost: Any) -> None:
    for _ in range(depth):
        inmost = [inmost]
    agree(line_of(decided("x-acme-tag", {"a": inmost})))


strings = st.sampled_from([value for value in HOSTILE if isinstance(value, str)]) | st.text(max_size=4)
anything = st.recursive(
    st.sampled_from(HOSTILE) | strings | st.integers(-(2**54), 2**54),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100)
@given(st.data())
def test_random_changes(data: st.DataObject) -> None:
    doc: Any = data.draw(st.sampled_from(DECISIONS))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(places(doc))))
        if path and data.draw(st.booleans()):
            path = (*path[:-1], data.draw(strings)) if isinstance(path[-1], str) else path
        doc = put(doc, path, data.draw(anything))
        if not isinstance(doc, dict):
            break
    agree(line_of(doc))


SCHEMAS = {path.stem: json.loads(path.read_text("utf-8")) for path in VECTORS.parent.glob("*.json")}
EDGES = ["a", "é", "😀", " ", ".", ";", "-", '"', "\\", "\n", "\x7f", "\x85", "\u2028", "\ufeff", "\ud800"]
runs = st.lists(st.sampled_from(EDGES), min_size=1, max_size=3).map("".join)
SPECIAL = {  # what no one meets by chance
    "id": [ID, ID.replace("7", "4"), ID.upper()],
    "at": [AT, "2100-02-29T00:00:00.000000Z", "2000-02-29T23:59:59.999999Z", AT.replace("T10", "T24")],
    "sha256": [DIGEST, DIGEST[1:], "A" * 64],
    "extension-type": ["x-acme-tag", "x-a", "x-a-b-"],
}


def rarely(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Much has to be right before the rest of a document matters."""
    return st.integers(0, 24).flatmap(lambda n: usual if n else odd)


def shaped(rule: dict[str, Any], name: str = "") -> st.SearchStrategy[Any]:
    """Values as a schema describes them, up to its limits, and now and then beyond. It knows nothing of ``accept``."""
    if "$ref" in rule:
        file, _, inner = rule["$ref"].rpartition(":")[2].rpartition("#")
        name = inner.rpartition("/")[2]
        return shaped(SCHEMAS[file or "text"]["$defs"][name], name)
    if "oneOf" in rule:
        return st.one_of(*map(shaped, rule["oneOf"]))
    if "const" in rule or "enum" in rule:
        return rarely(st.sampled_from(rule.get("enum") or [rule["const"]]), st.sampled_from(HOSTILE))
    if name in SPECIAL:
        return rarely(st.just(SPECIAL[name][0]), st.sampled_from(SPECIAL[name]))
    kind = rule["type"]
    if kind == "object" and "properties" in rule:
        fields = {key: shaped(value, key) for key, value in rule["properties"].items()}
        may = {key: fields.pop(key) for key in set(fields) - set(rule["required"])}
        whole = st.fixed_dictionaries(fields, optional=may)
        return rarely(whole, st.builds(lambda doc, key, value: doc | {key: value}, whole, strings, anything))
    if kind == "object":
        keys = rarely(st.sampled_from(["a.b", "x/y:z", "k" * 100]), st.sampled_from(["k" * 101, "é", ""]))
        return st.dictionaries(keys, rarely(st.sampled_from(["", "a\nb"]), runs), max_size=2)
    if kind == "array":
        items = shaped(rule["items"])
        return rarely(st.lists(items, min_size=rule["minItems"], max_size=3, unique=True), st.lists(items, max_size=2))
    if kind == "integer":
        low, high = rule["minimum"], rule["maximum"]
        return rarely(st.sampled_from([low, high, 12]), st.sampled_from([low - 1, high + 1, True, 1.0, None]))
    if kind == "null":
        return st.none()
    assert kind == "string", rule
    most = rule.get("maxUtf8Bytes", 100)
    within = st.sampled_from(["a", "s:P", "é" * (most // 2), "a" * most, "x y"])
    return rarely(within, runs | st.sampled_from(["", "é" * (most // 2) + "aa", "a" * (most + 1)]))


KEPT = {"payload": {"const": "payload"}, "type": {"const": "type"}}  # until they are drawn
ENVELOPES = shaped(SCHEMAS["envelope"] | {"properties": SCHEMAS["envelope"]["properties"] | KEPT})
SHAPED = {kind: shaped(SCHEMAS[kind]) for kind, _ in PAYLOADS if kind in SCHEMAS}


@settings(max_examples=200)
@given(st.data())
def test_documents_shaped_as_the_schemas_want_them(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(SHAPED)))
    doc = data.draw(ENVELOPES)
    if doc.get("type") == "type":
        doc["type"] = kind
    if doc.get("payload") == "payload":
        doc["payload"] = data.draw(SHAPED[kind])
    event("accepted" if agree(line_of(doc)) else "refused")


def test_every_built_in_type_has_such_documents() -> None:
    assert set(SHAPED) == accept.BUILT_IN == schema.built_in()


@given(st.data())
def test_random_lines(data: st.DataObject) -> None:
    line = bytearray(line_of(data.draw(st.sampled_from(DECISIONS))))
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(line) - 1))
        line[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    agree(bytes(line))


@pytest.mark.parametrize(
    "value", [{1, 2}, b"a", 1.5, object(), ("a", "b"), "\ud800", 10**5000], ids=lambda v: type(v).__name__
)
def test_values_that_no_json_holds_are_refused_and_never_raise(value: Any) -> None:
    """A program may ask about objects that have no bytes yet."""
    for doc in DECISIONS:
        for path in places(doc):
            if not (
                isinstance(value, tuple) and doc["type"] == "x-acme-tag" and len(path) > 1
            ):  # there a tuple is an array
                assert not accept.accept(put(doc, path, value))


def test_times_and_types_tell_booleans_from_numbers() -> None:
    assert not accept.accept(decided("alias-cleared", {"alias": "Home"}, v=True))
    assert not accept.accept(decided("alias-cleared", {"alias": "Home"}, v=1.0))
    assert accept.accept(decided("alias-cleared", {"alias": "Home"}))
