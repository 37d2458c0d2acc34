"""Space ids and the one spelling of each in a ref (docs/format.md, "Refs")."""

from __future__ import annotations

from typing import Any

_SPACES = [
    ("garden", "garden"),
    ("a", "a"),
    ("a/b", "a%2Fb"),
    ("a%2Fb", "a%252%46b"),
    ("A", "%41"),
    ("%41", "%2541"),
    ("CON", "%43%4F%4E"),
    ("con", "con"),
    ("Garden", "%47arden"),
    ("Größe/1", "%47r%C3%B6%C3%9Fe%2F1"),
    ("ß", "%C3%9F"),
    ("Caf\u00e9", "%43af%C3%A9"),
    ("Cafe\u0301", "%43afe%CC%81"),
    (".", "%2E"),
    ("..", "%2E%2E"),
    ("...", "%2E%2E%2E"),
    ("a.b", "a.b"),
    ("a..b", "a.%2Eb"),
    ("a...b", "a.%2E%2Eb"),
    (".a", "%2Ea"),
    ("a.", "a%2E"),
    ("a..", "a.%2E"),
    ("x.lock", "x%2Elock"),
    (".lock", "%2Elock"),
    ("x.lock.lock", "x.lock%2Elock"),
    ("x..lock", "x.%2Elock"),
    ("x.locked", "x.locked"),
    ("x.lock.", "x.lock%2E"),
    ("lock", "lock"),
    ("x.LOCK", "x.%4C%4F%43%4B"),
    ("-", "-"),
    ("-a_b-", "-a_b-"),
    ("0", "0"),
    ("HEAD", "%48%45%41%44"),
    ("@", "%40"),
    ("@{u}", "%40%7Bu%7D"),
    ("a b", "a%20b"),
    (" ", "%20"),
    ("~^:?*[\\", "%7E%5E%3A%3F%2A%5B%5C"),
    ("<>\"'|&;$()`!#=+,", "%3C%3E%22%27%7C%26%3B%24%28%29%60%21%23%3D%2B%2C"),
    ("nbsp\u00a0", "nbsp%C2%A0"),
    ("日本", "%E6%97%A5%E6%9C%AC"),
    ("😀", "%F0%9F%98%80"),
    ("a" * 80, "a" * 80),
    ("😀" * 20, "%F0%9F%98%80" * 20),
    ("\uffff", "%EF%BF%BF"),
]

_NOT_SPACES = [
    ("", "empty"),
    ("a" * 81, "81 bytes"),
    ("ß" * 40 + "a", "81 bytes"),
    ("😀" * 20 + "a", "81 bytes"),
    ("a\nb", "a control"),
    ("\x00", "a control"),
    ("a\x7f", "DEL"),
    ("a\u2028b", "a line separator"),
    ("a\u202eb", "a bidirectional control"),
]

_NOT_REFS = [
    ("", "no space id is empty"),
    ("Garden", "an upper-case letter is %XX"),
    ("%47Arden", ""),
    ("a%2fb", "the hex digits are upper case"),
    ("%61", "a is spelled plainly"),
    ("a%2Db", "a hyphen is spelled plainly"),
    ("a%2Eb", "this dot is spelled plainly"),
    ("a.%2E.b", "a dot that follows a dot is %2E, but only that"),
    ("a..b", ""),
    (".a", ""),
    ("a.", ""),
    ("x.lock", ""),
    ("x%2Elock.lock", "the first dot is plain, the second is not"),
    ("a/b", "a deeper path"),
    ("a/", ""),
    ("/a", ""),
    ("a b", ""),
    ("ß", "bytes above 7F are %XX"),
    ("%C3%9f", ""),
    ("%C3", "not UTF-8"),
    ("%9F", "not UTF-8"),
    ("%C0%AF", "an overlong form"),
    ("%ED%A0%80", "a surrogate"),
    ("%F4%90%80%80", "above U+10FFFF"),
    ("a%", ""),
    ("a%4", ""),
    ("%GG", ""),
    ("%+1", ""),
    ("%-1", ""),
    ("% 1", ""),
    ("%1_", ""),
    ("%%41", ""),
    ("%0A", "a control is no part of a space id"),
    ("%00", ""),
    ("%7F", ""),
    ("%E2%80%A8", "a line separator"),
    ("%E2%80%AE", "a bidirectional control"),
    ("a" * 81, "81 bytes"),
    ("%C3%9F" * 40 + "a", "81 bytes"),
    ("%4１", "a digit, but not of ASCII"),
]

# What a push to these refs is met with: the space, a code, or null where the ref is none of the journal's business.
_REFS = [
    ("refs/spaces/garden", {"space": "garden"}, {"space": "garden"}),
    ("refs/spaces/a%2Fb", {"space": "a/b"}, {"space": "a/b"}),
    ("refs/spaces/a/b", {"code": "bad-ref"}, {"code": "bad-ref"}),
    ("refs/spaces/Garden", {"code": "bad-ref"}, {"code": "bad-ref"}),
    ("refs/spaces", {"code": "bad-ref"}, {"code": "bad-ref"}),
    ("refs/append/garden", {"code": "bad-ref"}, {"code": "bad-ref"}),
    ("refs/append", {"code": "bad-ref"}, {"code": "bad-ref"}),
    ("refs/intents/garden/1-x", {"code": "bad-ref"}, {"code": "bad-ref"}),
    ("refs/intents", {"code": "bad-ref"}, {"code": "bad-ref"}),
    ("refs/meta/coordjournal", {"code": "bad-ref"}, {"code": "bad-ref"}),
    ("refs/meta/coordjournal/x", {"code": "bad-ref"}, {"code": "bad-ref"}),
    ("refs/meta", {"code": "bad-ref"}, {"code": "bad-ref"}),
    ("refs/meta/other", {"code": "bad-ref"}, None),
    ("refs/heads/main", {"code": "bad-ref"}, None),
    ("refs/heads/spaces/garden", {"code": "bad-ref"}, None),
    ("refs/tags/v1", {"code": "bad-ref"}, None),
    ("refs/spacesuit", {"code": "bad-ref"}, None),
]


# The same where refs/append is sequenced; each pushed by itself. "append": intents or stamped commits of the space.
_SEQUENCED: list[tuple[str, dict[str, str]]] = [
    ("refs/append/garden", {"append": "garden"}),
    ("refs/append/a%2Fb", {"append": "a/b"}),
    ("refs/append/a/b", {"code": "bad-ref"}),
    ("refs/append/Garden", {"code": "bad-ref"}),
    ("refs/append/%67arden", {"code": "bad-ref"}),
    ("refs/append/x.lock", {"code": "bad-ref"}),
    ("refs/append", {"code": "bad-ref"}),
    ("refs/heads/refs/append/garden", {"code": "bad-ref"}),
    ("refs/intents/garden/1795341600000000-01935c2f-7b00-7000-8000-000000000000", {"code": "bad-ref"}),
    ("refs/intents/garden", {"code": "bad-ref"}),
    ("refs/spaces/garden", {"space": "garden"}),
]

# The space, when the intent arrived in microseconds since 1970, its id, its ref; in the order of arrival.
_INTENTS = [
    (
        "garden",
        0,
        "01935c2f-7b00-7000-8000-00000000000f",
        "refs/intents/garden/0000000000000000-01935c2f-7b00-7000-8000-00000000000f",
    ),
    (
        "garden",
        999_999_999_999_999,
        "01935c2f-7b00-7000-8000-000000000001",
        "refs/intents/garden/0999999999999999-01935c2f-7b00-7000-8000-000000000001",
    ),
    (
        "garden",
        1_795_341_600_000_000,
        "01935c2f-7b00-7000-8000-000000000000",
        "refs/intents/garden/1795341600000000-01935c2f-7b00-7000-8000-000000000000",
    ),
    (
        "Größe/1",
        1_795_341_600_000_001,
        "01935c2f-7b00-7000-bfff-0123456789ab",
        "refs/intents/%47r%C3%B6%C3%9Fe%2F1/1795341600000001-01935c2f-7b00-7000-bfff-0123456789ab",
    ),
    (
        "😀" * 20,
        9_999_999_999_999_999,
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        f"refs/intents/{'%F0%9F%98%80' * 20}/9999999999999999-ffffffff-ffff-7fff-bfff-ffffffffffff",
    ),
]


def document() -> dict[str, Any]:
    return {
        "about": "docs/format.md, 'Refs'. spaces: ids and their one spelling behind refs/spaces/. not_spaces: texts "
        "that are no space id. not_spellings: names that spell no space id, or spell one in a second way. refs: what "
        "a push to the ref is met with in a strict repository and in one that is not: the log of a space, a code, or "
        "null where the ref is none of the journal's business; without sequencing. sequenced: the same with it, of a "
        "push of one ref. intents: the refs of intents that wait.",
        "spaces": [{"space": space, "ref": ref} for space, ref in _SPACES],
        "not_spaces": [{"space": space, "about": about} for space, about in _NOT_SPACES],
        "not_spellings": [{"ref": ref} | ({"about": about} if about else {}) for ref, about in _NOT_REFS],
        "refs": [{"ref": ref, "strict": strict, "otherwise": otherwise} for ref, strict, otherwise in _REFS],
        "sequenced": [{"ref": ref, "met": met} for ref, met in _SEQUENCED],
        "intents": [{"space": space, "arrival": arrival, "id": id, "ref": ref} for space, arrival, id, ref in _INTENTS],
    }
