"""Byte strings that are canonical JSON, and those that are not (docs/format.md, "Canonical JSON")."""

from __future__ import annotations

from typing import Any

_MOST = 9007199254740991

# Bytes and the value they spell.
_VALID: list[tuple[str, str, Any]] = [
    ("null", "null", None),
    ("true", "true", True),
    ("false", "false", False),
    ("zero", "0", 0),
    ("minus one", "-1", -1),
    ("the greatest integer", "9007199254740991", _MOST),
    ("the least integer", "-9007199254740991", -_MOST),
    ("the empty string", '""', ""),
    ("the empty array", "[]", []),
    ("the empty object", "{}", {}),
    ("an array keeps its order", '[3,1,2,"a",null]', [3, 1, 2, "a", None]),
    ("keys are sorted", '{"":0,"A":1,"a":2,"aa":3,"b":4}', {"": 0, "A": 1, "a": 2, "aa": 3, "b": 4}),
    ("keys are sorted by their bytes, not as words", '{"B":0,"_":1,"a":2}', {"B": 0, "_": 1, "a": 2}),
    (
        "keys are sorted as they are, not as they are escaped",
        '{"\\n":0,"!":1,"\\"":2,"\\\\":3}',
        {"\n": 0, "!": 1, '"': 2, "\\": 3},
    ),
    ("the two that must be escaped", '"\\"\\\\"', '"\\'),
    ("the five short escapes", '"\\b\\t\\n\\f\\r"', "\b\t\n\f\r"),
    ("other controls in lower-case hex", '"\\u0000\\u0001\\u001b\\u001f"', "\x00\x01\x1b\x1f"),
    ("the solidus is not escaped", '"a/b"', "a/b"),
    ("DEL and C1 controls are not escaped", '"\x7f\x80\x9f"', "\x7f\x80\x9f"),
    ("line separators are not escaped", '"\u2028\u2029"', "\u2028\u2029"),
    ("text beyond ASCII stands as UTF-8", '"Größe €"', "Größe €"),
    ("also beyond the first plane", '"😀\U0010ffff"', "😀\U0010ffff"),
    ("noncharacters and U+FEFF are text", '"\ufeff\uffff"', "\ufeff\uffff"),
    ("what looks like an escape", '"\\\\u0041"', "\\u0041"),
    ("nested", '{"a":[{"b":[]},{}],"c":{"d":null}}', {"a": [{"b": []}, {}], "c": {"d": None}}),
]

_NOT_CANONICAL: list[tuple[str, str]] = [
    ("a space behind a colon", '{"a": 1}'),
    ("a space behind a comma", "[1, 2]"),
    ("a space before", " 1"),
    ("a space behind", "1 "),
    ("a newline behind", "1\n"),
    ("a tab", "[\t]"),
    ("a carriage return", "{}\r"),
    ("keys out of order", '{"b":1,"a":2}'),
    ("nested keys out of order", '{"a":{"z":1,"y":2}}'),
    ("keys sorted as words", '{"_":1,"a":2,"B":0}'),
    ("an escape that is not needed", '"\\u0041"'),
    ("an escaped solidus", '"a\\/b"'),
    ("a long escape for a short one", '"\\u000a"'),
    ("upper-case hex", '"\\u001F"'),
    ("escaped text beyond ASCII", '"\\u00e9"'),
    ("an escaped surrogate pair", '"\\ud83d\\ude00"'),
    ("escaped DEL", '"\\u007f"'),
    ("an escaped line separator", '"\\u2028"'),
    ("minus zero", "-0"),
    ("a key that is escaped and need not be", '{"\\u0061":1}'),
]

_BAD: list[tuple[str, str | bytes]] = [
    ("nothing", ""),
    ("white space alone", " "),
    ("a word", "hello"),
    ("a literal in another case", "True"),
    ("an open object", '{"a":1'),
    ("an open array", "[1"),
    ("an open string", '"a'),
    ("a trailing comma in an array", "[1,]"),
    ("a trailing comma in an object", '{"a":1,}'),
    ("no comma", "[1 2]"),
    ("no colon", '{"a" 1}'),
    ("single quotes", "{'a':1}"),
    ("a key without quotes", "{a:1}"),
    ("a number for a key", "{1:1}"),
    ("two values", "{}{}"),
    ("a comment", "/**/1"),
    ("white space that JSON does not know", "\u00a01"),
    ("a vertical tab", "\x0b1"),
    ("NaN", "NaN"),
    ("Infinity", "Infinity"),
    ("minus Infinity", "-Infinity"),
    ("a fraction", "1.5"),
    ("a fraction of nothing", "1.0"),
    ("an exponent", "1e2"),
    ("an exponent in upper case", "1E2"),
    ("a number without bound", "1e999"),
    ("a leading zero", "01"),
    ("a leading zero behind a minus", "-01"),
    ("a plus", "+1"),
    ("a minus alone", "-"),
    ("no digit before the point", ".5"),
    ("no digit behind the point", "1."),
    ("hex", "0x10"),
    ("a digit, but not of ASCII", "٠"),
    ("2^53", "9007199254740992"),
    ("-2^53", "-9007199254740992"),
    ("an integer of 18 digits", "100000000000000000"),
    ("an integer of 10,000 digits", "1" * 10_000),
    ("a key twice", '{"a":1,"a":1}'),
    ("a key twice, deep", '[{"b":{"a":1,"c":2,"a":3}}]'),
    ("a key twice, once escaped", '{"a":1,"\\u0061":2}'),
    ("a key beyond ASCII", '{"é":1}'),
    ("a key beyond ASCII, escaped", '{"\\u00e9":1}'),
    ("a high surrogate alone", '"\\ud83d"'),
    ("a low surrogate alone", '"\\ude00"'),
    ("surrogates the wrong way round", '"\\ude00\\ud83d"'),
    ("a lone surrogate in a key", '{"\\ud83d":1}'),
    ("a surrogate in UTF-8", b'"\xed\xa0\xbd\xed\xb8\x80"'),
    ("a byte that is not UTF-8", b'"\xff"'),
    ("a character cut off", b'"\xc3"'),
    ("an overlong form", b'"\xc0\xaf"'),
    ("above U+10FFFF", b'"\xf4\x90\x80\x80"'),
    ("UTF-16", '{"a":1}'.encode("utf-16-le")),
    ("a byte order mark", "\ufeff{}"),
    ("a raw control in a string", '"a\x01b"'),
    ("a raw newline in a string", '"a\nb"'),
    ("a raw tab in a string", '"\t"'),
    ("a raw NUL in a string", '"\x00"'),
    ("a NUL behind", "1\x00"),
    ("an escape that JSON does not know", '"\\x41"'),
    ("a short \\u", '"\\u12"'),
    ("\\u without hex", '"\\u00g0"'),
    ("\\u with a sign", '"\\u+123"'),
    ("a backslash at the end", '"\\"'),
    ("both faults: a space and a fraction", '{"a": 1.5}'),
    ("both faults: keys out of order and a key twice", '{"b":1,"a":2,"a":3}'),
    ("both faults: minus zero and a key beyond ASCII", '{"ä":-0}'),
]


def _nested(depth: int, inmost: str) -> str:
    return "[" * depth + inmost + "]" * depth


def document() -> dict[str, Any]:
    deep = [
        ("64 arrays inside one another", _nested(64, "")),
        ("64 arrays around a number", _nested(64, "1")),
        ("64 objects inside one another", '{"a":' * 63 + "{}" + "}" * 63),
    ]
    bad: list[tuple[str, str | bytes]] = [
        *_BAD,
        ("65 arrays inside one another", _nested(65, "")),
        ("65 arrays around a number", _nested(65, "1")),
        ("65 objects inside one another", '{"a":' * 64 + "{}" + "}" * 64),
        ("65 arrays and objects inside one another", '[{"a":' * 32 + "[]" + "}]" * 32),
        ("100,000 arrays inside one another", _nested(100_000, "")),
        ("100,000 open arrays", "[" * 100_000),
    ]
    cases: list[dict[str, Any]] = [{"about": about, "json": text, "value": value} for about, text, value in _VALID]
    cases += [{"about": about, "json": text, "canonical": True} for about, text in deep]
    cases += [{"about": about, "json": text, "code": "not-canonical"} for about, text in _NOT_CANONICAL]
    cases += [{"about": about, "json": text, "code": "bad-json"} for about, text in bad]
    for case in cases:
        if len(case["json"]) > 5000:
            case["repeated"] = _repeated(case.pop("json"))
    return {
        "about": "docs/format.md, 'Canonical JSON'. json: the bytes, as a string where they are UTF-8; repeated: "
        "strings to repeat and put together. value: what they spell; canonical: they spell something; code: what "
        "refuses them.",
        "cases": cases,
    }


def _repeated(text: str) -> list[list[str | int]]:
    out: list[list[str | int]] = []
    for char in text:
        if out and out[-1][0] == char:
            out[-1][1] = int(out[-1][1]) + 1
        else:
            out.append([char, 1])
    return out
