"""The subject lines of decisions (docs/format.md, "Subject")."""

from __future__ import annotations

from typing import Any

_BODY = {"bytes": 12, "sha256": "a" * 64}
_ID = "01935c2f-7b00-7000-8000-000000000000"
_E, _EURO, _EMOJI = "\u00e9", "\u20ac", "\U0001f600"  # two, three and four bytes in UTF-8


def _alias(alias: str, target: str) -> dict[str, Any]:
    return {"alias": alias, "target": target}


_CASES: list[tuple[str, dict[str, Any], str]] = [
    ("alias-set", _alias("Home", "shardA:Index"), "alias-set: Home -> shardA:Index"),
    ("alias-set", _alias("Größe", "日本:😀"), "alias-set: Größe -> 日本:😀"),
    ("alias-set", _alias("Home page", "s:P"), 'alias-set: "Home page" -> s:P'),
    ("alias-set", _alias(" ", " x"), 'alias-set: " " -> " x"'),
    ("alias-set", _alias('say "hi"', "s:P"), 'alias-set: "say \\"hi\\"" -> s:P'),
    ("alias-set", _alias('"', "'"), 'alias-set: "\\"" -> \''),
    ("alias-set", _alias("C:\\temp", "s:P"), 'alias-set: "C:\\\\temp" -> s:P'),
    ("alias-set", _alias("a\u00a0b", "a\u3000b"), "alias-set: a\u00a0b -> a\u3000b"),
    ("alias-set", _alias("->", "->"), "alias-set: -> -> ->"),
    ("alias-cleared", {"alias": "Home"}, "alias-cleared: Home"),
    ("alias-cleared", {"alias": "Home page"}, 'alias-cleared: "Home page"'),
    ("binding-made", {"members": ["a:1", "b:2"]}, "binding-made: a:1 = b:2"),
    ("binding-made", {"members": ["c", "a", "b b"]}, 'binding-made: c = a = "b b"'),
    ("merge-decided", {"sources": ["a:1"], "into": "b:2"}, "merge-decided: a:1 -> b:2"),
    ("merge-decided", {"sources": ["a", "b b", "c"], "into": "a"}, 'merge-decided: a + "b b" + c -> a'),
    ("fork-made", {"source": "a", "fork": "b"}, "fork-made: a -> b"),
    ("fork-made", {"source": "a", "fork": "b", "source_rev": "r 1"}, 'fork-made: a @ "r 1" -> b'),
    (
        "overlay-created",
        {"overlay_id": "o1", "target": "s:P", "base_rev": "r7", "body": _BODY},
        "overlay-created: o1 on s:P @ r7 (12 bytes)",
    ),
    (
        "overlay-created",
        {"overlay_id": "o 1", "target": "s:P", "base_rev": None, "body": _BODY | {"bytes": 1}},
        'overlay-created: "o 1" on s:P (1 bytes)',
    ),
    (
        "overlay-revised",
        {"overlay_id": "o1", "base_rev": "r8", "body": _BODY | {"bytes": 0}},
        "overlay-revised: o1 @ r8 (0 bytes)",
    ),
    ("overlay-revised", {"overlay_id": "o1", "base_rev": None, "body": _BODY}, "overlay-revised: o1 (12 bytes)"),
    ("overlay-closed", {"overlay_id": "o1", "outcome": "discarded"}, "overlay-closed: o1 discarded"),
    (
        "overlay-closed",
        {"overlay_id": "o1", "outcome": "applied", "result_rev": "r9"},
        "overlay-closed: o1 applied @ r9",
    ),
    ("decision-revoked", {"decision": _ID}, f"decision-revoked: {_ID}"),
    ("lease-acquired", {"holder": "node-a", "ttl": 300}, "lease-acquired: node-a for 300 s"),
    ("lease-acquired", {"holder": "org/node a", "ttl": 1}, 'lease-acquired: "org/node a" for 1 s'),
    ("lease-acquired", {"holder": "n" * 200, "ttl": 31_536_000}, "lease-acquired: " + "n" * 181 + "…"),
    ("lease-released", {"holder": "node-a"}, "lease-released: node-a"),
    ("lease-released", {"holder": "узел 1"}, 'lease-released: "узел 1"'),
    ("intent-refused", {"decision": _ID, "reason": "too late"}, f"intent-refused: {_ID} (too late)"),
    ("intent-refused", {"decision": _ID, "reason": 'a "b" \\ c'}, f'intent-refused: {_ID} (a "b" \\ c)'),
    ("intent-refused", {"decision": _ID, "reason": "\na\n\nb\n"}, f"intent-refused: {_ID} ( a  b )"),
    ("intent-refused", {"decision": _ID, "reason": "r" * 10_000}, f"intent-refused: {_ID} (" + "r" * 143 + "…"),
    ("x-acme-tag", {}, "x-acme-tag: {}"),
    ("x-acme-tag", {"page": "s:P", "n": -1, "a": [True, None]}, 'x-acme-tag: {"a":[true,null],"n":-1,"page":"s:P"}'),
    ("x-acme-tag", {"a": 'b "c" \\'}, 'x-acme-tag: {"a":"b \\"c\\" \\\\"}'),
    ("x-acme-tag", {"a": "1\n2\x1b"}, 'x-acme-tag: {"a":"1\\n2\\u001b"}'),
    ("x-acme-tag", {"a": "\x7f\x85"}, 'x-acme-tag: {"a":"\\u{7f}\\u{85}"}'),
    ("x-acme-tag", {"a": "x\u202ey\u2028z"}, 'x-acme-tag: {"a":"x\\u{202e}y\\u{2028}z"}'),
    ("x-acme-tag", {"a\x7f": 1}, 'x-acme-tag: {"a\\u{7f}":1}'),
    # The cut: at most 200 bytes. "alias-cleared: " has 15, the ellipsis 3.
    ("alias-cleared", {"alias": "a" * 185}, "alias-cleared: " + "a" * 185),
    ("alias-cleared", {"alias": "a" * 186}, "alias-cleared: " + "a" * 182 + "…"),
    ("alias-cleared", {"alias": "a" * 400}, "alias-cleared: " + "a" * 182 + "…"),
    ("alias-cleared", {"alias": _E * 92 + "a"}, "alias-cleared: " + _E * 92 + "a"),
    ("alias-cleared", {"alias": _E * 93}, "alias-cleared: " + _E * 91 + "…"),
    ("alias-cleared", {"alias": "a" + _E * 93}, "alias-cleared: a" + _E * 90 + "…"),
    ("alias-cleared", {"alias": _EURO * 62}, "alias-cleared: " + _EURO * 60 + "…"),
    ("alias-cleared", {"alias": "a" + _EURO * 62}, "alias-cleared: a" + _EURO * 60 + "…"),
    ("alias-cleared", {"alias": "aa" + _EURO * 62}, "alias-cleared: aa" + _EURO * 60 + "…"),
    ("alias-cleared", {"alias": _EMOJI * 46}, "alias-cleared: " + _EMOJI * 46),
    ("alias-cleared", {"alias": "a" + _EMOJI * 46}, "alias-cleared: a" + _EMOJI * 46),
    ("alias-cleared", {"alias": "aa" + _EMOJI * 46}, "alias-cleared: aa" + _EMOJI * 45 + "…"),
    ("alias-cleared", {"alias": "aaa" + _EMOJI * 46}, "alias-cleared: aaa" + _EMOJI * 44 + "…"),
    ("alias-cleared", {"alias": "a" * 184 + " "}, 'alias-cleared: "' + "a" * 181 + "…"),
    ("alias-cleared", {"alias": "a" * 182 + " "}, 'alias-cleared: "' + "a" * 182 + ' "'),
    ("alias-cleared", {"alias": " " * 300}, 'alias-cleared: "' + " " * 181 + "…"),
    ("alias-cleared", {"alias": "a" * 180 + "\\" * 9}, 'alias-cleared: "' + "a" * 180 + "\\" + "…"),
    ("x-acme-tag", {"a": "\u2028" * 40}, 'x-acme-tag: {"a":"' + "\\u{2028}" * 22 + "\\u{…"),
]


def document() -> dict[str, Any]:
    return {
        "about": "docs/format.md, 'Subject': the subject line of a decision of this type and payload.",
        "cases": [{"type": kind, "payload": payload, "subject": subject} for kind, payload, subject in _CASES],
    }
