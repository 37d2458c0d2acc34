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


def document() -> dict[str, Any]:
    return {
        "about": "docs/format.md, 'The admission': a server's time and skew, the append times of the parent and of the "
        "commit, the decision's at; all in seconds since 1970 but at. code: null where it is admitted.",
        "cases": [
            {
                "about": about,
                "now": _NOW,
                "clock_skew": skew,
                "parent_appended": parent,
                "appended": appended,
                "at": at,
                "code": code,
            }
            for about, skew, parent, appended, at, code in _CASES
        ],
    }
