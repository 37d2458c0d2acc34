"""Canonical JSON, held against a serializer of RFC 8785 written from its text, and two readers against each other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coordjournal import canonical
from coordjournal.errors import Refused

MOST = 2**53 - 1
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
keys = st.text(alphabet=st.characters(max_codepoint=0x7F), max_size=6)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-MOST, MOST), texts)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


def rfc8785(value: Any) -> str:
    """RFC 8785, sections 3.2.2 and 3.2.3, for values without fractions."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(map(_char, value)) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(rfc8785, value)) + "]"
    in_order = sorted(value, key=lambda key: key.encode("utf-16-be"))
    return "{" + ",".join(f"{rfc8785(key)}:{rfc8785(value[key])}" for key in in_order) + "}"


def _char(char: str) -> str:
    short = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    if char in short:
        return short[char]
    return f"\\u00{ord(char):02x}" if ord(char) < 0x20 else char


def exactly(value: Any) -> str:
    """Tells ``True`` from ``1``."""
    return repr(value)


@given(values)
def test_dumps_is_rfc_8785_and_loads_is_its_inverse(value: Any) -> None:
    line = canonical.dumps(value)
    assert line == rfc8785(value).encode()
    assert exactly(canonical.loads(line)) == exactly(json.loads(line))
    assert exactly(canonical.loads_fast(line)) == exactly(json.loads(line))
    assert canonical.dumps(canonical.loads(line)) == line


def agree(line: bytes) -> None:
    """The fast reader says a value only where the slow one says the same, and None only where that refuses."""
    fast = canonical.loads_fast(line)
    try:
        slow = canonical.loads(line)
    except Refused as refusal:
        assert refusal.code in ("bad-json", "not-canonical")
        assert fast is None or canonical.outside_model(fast)
        return
    assert exactly(fast) == exactly(slow)
    assert rfc8785(slow).encode() == line


def spelled(value: Any, spell: st.DataObject) -> str:
    """``value`` as JSON in a spelling that ``spell`` chooses."""
    draw = spell.draw
    return json.dumps(
        value,
        ensure_ascii=draw(st.booleans()),
        sort_keys=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": ")])),
        indent=draw(st.sampled_from([None, 0, 1])),
    )


@given(values, st.data())
def test_a_second_spelling_is_refused_as_such(value: Any, data: st.DataObject) -> None:
    text = spelled(value, data)
    agree(text.encode())
    if text != rfc8785(value):
        with pytest.raises(Refused) as caught:
            canonical.loads(text.encode())
        assert caught.value.code == "not-canonical"


@given(st.binary(max_size=40))
@example(b"")
@example(b"null")
def test_the_two_readers_agree_on_any_bytes(line: bytes) -> None:
    agree(line)


WORDS = [
    "\\u00",
    "\\ud800",
    "\\udc00",
    "NaN",
    "Infinity",
    "1e5",
    "-0",
    "é",
    "\ud7ff",
    "😀",
    '"a":',
    '"a":1,',
    "{}",
    "9" * 17,
]
JSONISH = st.sampled_from([*'[]{},:"\\ \t\nnullfalsetrue0123456789-+.eEu', *WORDS])


@given(st.lists(JSONISH, max_size=12).map("".join))
@example('{"a":1,"a":1}')
@example("9007199254740992")
@example("9" * 5000)
@example("[" * 5000)
@example('"\\ud83d\\ude00"')
def test_the_two_readers_agree_on_what_looks_like_json(text: str) -> None:
    agree(text.encode("utf-8", "surrogatepass"))


@given(values, st.data())
def test_the_two_readers_agree_on_a_changed_byte(value: Any, data: st.DataObject) -> None:
    line = bytearray(canonical.dumps(value))
    at = data.draw(st.integers(0, len(line) - 1))
    kind = data.draw(st.sampled_from(["replace", "insert", "delete", "double"]))
    if kind == "replace":
        line[at] = data.draw(st.integers(0, 255))
    elif kind == "insert":
        line.insert(at, data.draw(st.integers(0, 255)))
    elif kind == "delete":
        del line[at]
    else:
        line[at:at] = line[at : at + data.draw(st.integers(1, 10))]
    agree(bytes(line))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1.5, "a float is not"),
        (float("nan"), "a float is not"),
        (MOST + 1, "outside"),
        (-MOST - 1, "outside"),
        pytest.param(10**5000, "outside", id="huge"),
        ("\ud800", "lone surrogate"),
        (["a", {"b": "\udfff"}], "lone surrogate"),
        ({"é": 1}, "is not ASCII text"),
        ({1: 1}, "is not ASCII text"),
        (b"a", "a bytes is not"),
        ({"a": {1, 2}}, "a set is not"),
        (object(), "a object is not"),
    ],
)
def test_what_is_outside_the_model_has_no_bytes(value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        canonical.dumps(value)


def nested(depth: int, inmost: Any) -> Any:
    for at in range(depth):
        inmost = [inmost] if at % 2 else {"a": inmost}
    return inmost


@pytest.mark.parametrize("inmost", [[], {}, [1]])
def test_depth_counts_arrays_and_objects_also_empty_ones(inmost: Any) -> None:
    deepest = nested(63, inmost)
    assert canonical.loads(canonical.dumps(deepest)) == deepest
    too_deep = nested(64, inmost)
    with pytest.raises(ValueError, match="more than 64 deep"):
        canonical.dumps(too_deep)
    with pytest.raises(Refused, match="more than 64 deep"):
        canonical.loads(rfc8785(too_deep).encode())


def test_a_value_that_holds_itself_is_too_deep() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="more than 64 deep"):
        canonical.dumps(value)


def test_tuples_are_arrays() -> None:
    assert canonical.dumps({"a": ("x", ["y"])}) == b'{"a":["x",["y"]]}'


def test_a_refusal_names_the_place() -> None:
    with pytest.raises(Refused) as caught:
        canonical.loads(b'{"a":1, "b":2}')
    assert caught.value.code == "not-canonical"
    assert caught.value.place == "character 7"
    assert "'\"b\":2}'" in caught.value.what
    with pytest.raises(Refused) as caught:
        canonical.loads(b'{"a":1,\xff')
    assert (caught.value.code, caught.value.place) == ("bad-json", "byte 7")
    with pytest.raises(Refused) as caught:
        canonical.loads(b'{"a":1,"b"}')
    assert (caught.value.code, caught.value.place) == ("bad-json", "character 10")


def test_trusted_reads_what_the_law_has_passed() -> None:
    assert canonical.trusted(b'{"a":[1,"\xc3\xa9"]}') == {"a": [1, "é"]}
    for line in (b"", b"{", b'{"a":1.5}', b"\xff"):
        with pytest.raises(ValueError, match="not JSON"):
            canonical.trusted(line)
