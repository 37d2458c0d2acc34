"""Times as the admission judges them (docs/format.md, "The admission"). Seconds since 1970; ``at`` as decided."""

from __future__ import annotations

from typing import Any

_NOW = 1795341600  # 2026-11-22T10:00:00Z

# about, skew, the parent's append time (None: no parent), the append time, at, the code (None: admitted)
_CASES: list[tuple[str, int, int | None, int, str, str | None]] = [
    ("just now", 60, None, _NOW, "2026-11-22T10:00:00.000000Z", None),
    ("long ago: an old clock, an imported log", 60, None, 0, "1970-01-01T00:00:00.000000Z", None),
    ("one skew ahead", 60, None, _NOW + 60, "2026-11-22T10:00:00.000000Z", None),
    ("more than one skew ahead", 60, None, _NOW + 61, "2026-11-22T10:00:00.000000Z", "clock"),
    ("without any skew", 0, None, _NOW + 1, "2026-11-22T10:00:00.000000Z", "clock"),
    ("ahead, but not of the parent", 60, _NOW + 500, _NOW + 500, "2026-11-22T10:00:00.000000Z", None),
    ("ahead of the parent too", 60, _NOW + 500, _NOW + 501, "2026-11-22T10:00:00.000000Z", "clock"),
    ("ahead of a parent of the past", 60, _NOW - 500, _NOW + 61, "2026-11-22T10:00:00.000000Z", "clock"),
    ("decided one skew after it was appended", 60, None, _NOW, "2026-11-22T10:01:00.999999Z", None),
    ("decided later than that", 60, None, _NOW, "2026-11-22T10:01:01.000000Z", "clock"),
    ("decided after the server's time, but appended so too", 60, None, _NOW + 60, "2026-11-22T10:02:00.000000Z", None),
    ("decided long before", 60, None, _NOW, "1999-12-31T23:59:59.000000Z", None),
    (
        "decided after an old append time",
        60,
        _NOW - 1000,
        _NOW - 1000,
        "2026-11-22T10:00:00.000000Z",
        "clock",
    ),
]


_HELD = "node-a/5f0c; term=3; ttl=300; until={}"

# about, skew, the parent's append time, the parent's lease, the append time, the code. All at _NOW, 10:00:00.
_AFTER_LEASES: list[tuple[str, int, int, str, int, str | None]] = [
    ("it ended before now", 60, _NOW - 400, _HELD.format("2026-11-22T09:58:20Z"), _NOW, None),
    ("it ends now", 60, _NOW - 300, _HELD.format("2026-11-22T10:00:00Z"), _NOW, None),
    (
        "it ended, and the append time is not after now",
        60,
        _NOW - 400,
        _HELD.format("2026-11-22T09:58:20Z"),
        _NOW - 9,
        None,
    ),
    ("it ends in a second", 60, _NOW - 299, _HELD.format("2026-11-22T10:00:01Z"), _NOW + 1, "clock"),
    ("it ends in one skew", 60, _NOW - 240, _HELD.format("2026-11-22T10:01:00Z"), _NOW + 60, "clock"),
    (
        "it ended, but the append time is after now",
        60,
        _NOW - 300,
        _HELD.format("2026-11-22T10:00:00Z"),
        _NOW + 1,
        "clock",
    ),
    ("it ended long ago, but likewise", 60, _NOW - 900, _HELD.format("2026-11-22T09:50:00Z"), _NOW + 1, "clock"),
    (
        "it is in force: the holder may be one skew ahead",
        60,
        _NOW,
        _HELD.format("2026-11-22T10:05:00Z"),
        _NOW + 60,
        None,
    ),
    ("it is in force, more than one skew ahead", 60, _NOW, _HELD.format("2026-11-22T10:05:00Z"), _NOW + 61, "clock"),
    ("it was released", 60, _NOW + 30, _HELD.format("2026-11-22T10:00:30Z"), _NOW + 60, None),
    ("it was released, more than one skew ahead", 60, _NOW, _HELD.format("2026-11-22T10:00:00Z"), _NOW + 61, "clock"),
    ("nobody held it any more", 60, _NOW - 9, "-; term=3", _NOW + 60, None),
    (
        "the parent's time is ahead, and it is in force then",
        60,
        _NOW + 500,
        _HELD.format("2026-11-22T10:13:20Z"),
        _NOW + 500,
        None,
    ),
    ("without any skew, where it ends", 0, _NOW - 300, _HELD.format("2026-11-22T10:00:00Z"), _NOW, None),
    ("without any skew, before it ends", 0, _NOW - 300, _HELD.format("2026-11-22T10:00:01Z"), _NOW + 1, "clock"),
]

# skew, the longest ttl, the ttl of a lease-acquired, the code
_TTLS: list[tuple[int, int, int, str | None]] = [
    (60, 3600, 119, "lease"),
    (60, 3600, 120, None),
    (60, 3600, 3600, None),
    (60, 3600, 3601, "lease"),
    (0, 3600, 1, None),
    (5, 9, 10, "lease"),
    (60, 31_536_000, 31_536_000, None),
]

# about, type, at, ttl, the code: intents that arrive at _NOW where the skew is 60 s and the longest ttl an hour
_INTENTS: list[tuple[str, str, str, int | None, str | None]] = [
    ("just decided", "alias-cleared", "2026-11-22T10:00:00.000000Z", None, None),
    ("decided one skew ahead", "alias-cleared", "2026-11-22T10:01:00.999999Z", None, None),
    ("decided more than one skew ahead", "alias-cleared", "2026-11-22T10:01:01.000000Z", None, "clock"),
    ("decided long ago", "alias-cleared", "1970-01-01T00:00:00.000000Z", None, None),
    ("a lease", "lease-acquired", "2026-11-22T10:00:00.000000Z", 300, None),
    ("a lease that is too short", "lease-acquired", "2026-11-22T10:00:00.000000Z", 119, "lease"),
    ("a lease that is too long", "lease-acquired", "2026-11-22T10:00:00.000000Z", 3601, "lease"),
    ("a release", "lease-released", "2026-11-22T10:00:00.000000Z", None, "lease"),
    ("a release, decided far ahead", "lease-released", "2026-11-23T10:00:00.000000Z", None, "lease"),
    ("an intent let go", "intent-refused", "2026-11-22T10:00:00.000000Z", None, "lease"),
]


def document() -> dict[str, Any]:
    at = "2026-11-22T09:59:00.000000Z"
    return {
        "about": "docs/format.md, 'The admission': a server's time and skew, the append times of the parent and of the "
        "commit, the decision's at; all in seconds since 1970 but at. code: null where it is admitted. parent_lease: "
        "the trailer of the parent, null for none. ttls: of a lease-acquired. intents: what is pushed to refs/append.",
        "cases": [
            {
                "about": about,
                "now": _NOW,
                "clock_skew": skew,
                "parent_appended": parent,
                "parent_lease": lease,
                "appended": appended,
                "at": decided,
                "code": code,
            }
            for about, skew, parent, lease, appended, decided, code in (
                *((about, skew, parent, None, *rest) for about, skew, parent, *rest in _CASES),
                *((f"a lease before: {about}", *rest, at, code) for about, *rest, code in _AFTER_LEASES),
            )
        ],
        "ttls": [
            {"clock_skew": skew, "lease_max_ttl": most, "ttl": ttl, "code": code} for skew, most, ttl, code in _TTLS
        ],
        "intents": [
            {
                "about": about,
                "now": _NOW,
                "clock_skew": 60,
                "lease_max_ttl": 3600,
                "type": kind,
                "at": decided,
                **({} if ttl is None else {"ttl": ttl}),
                "code": code,
            }
            for about, kind, decided, ttl, code in _INTENTS
        ],
    }
