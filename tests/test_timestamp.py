"""Times, held against the standard library and against the regular expression of schemas/text.json."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordjournal import timestamp

SCHEMA = json.loads((Path(__file__).resolve().parents[1] / "schemas" / "text.json").read_text("utf-8"))
AT = re.compile(SCHEMA["$defs"]["at"]["pattern"])
times = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime.max)
YEARS = [
    1,
    1600,
    1900,
    1969,
    *range(1970, 2031),
    2096,
    2100,
    2104,
    2200,
    2300,
    2400,
    2800,
    3000,
    3200,
    4000,
    9996,
    9999,
]


def iso(moment: datetime) -> str:
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S.%f}Z"


@given(times)
def test_agrees_with_datetime(moment: datetime) -> None:
    second = int((moment - datetime(1970, 1, 1)) // timedelta(seconds=1))
    assert timestamp.text(second, moment.microsecond) == iso(moment)
    assert timestamp.seconds(iso(moment)) == second
    assert AT.search(iso(moment))


def test_every_month_boundary_until_the_last_year() -> None:
    for year in range(1970, 10_000):
        for month in (1, 2, 3, 12):
            day = date(year, month, 1)
            due = (day.toordinal() - 719_163) * 86_400
            assert timestamp.text(due) == f"{year:04}-{month:02}-01T00:00:00.000000Z"
            assert timestamp.seconds(f"{year:04}-{month:02}-01T00:00:00.000000Z") == due


def test_days_exist_or_not_as_datetime_and_the_schema_say() -> None:
    for year in YEARS:
        for month in range(0, 14):
            for day in range(0, 33):
                text = f"{year:04}-{month:02}-{day:02}T12:34:56.789012Z"
                try:
                    exists = date(year, month, day).year >= 1970
                except ValueError:
                    exists = False
                assert bool(AT.search(text)) == exists, text
                try:
                    assert (timestamp.seconds(text) - 45_296) // 86_400 + 719_163 == date(year, month, day).toordinal()
                    assert exists, text
                except ValueError:
                    assert not exists, text


@given(times, st.integers(0, 26), st.characters(codec="utf-8"))
def test_one_other_character_is_judged_as_the_schema_does(moment: datetime, at: int, char: str) -> None:
    text = iso(moment)
    text = text[:at] + char + text[at + 1 :]
    try:
        timestamp.seconds(text)
        valid = True
    except ValueError:
        valid = False
    assert valid == bool(AT.search(text) and len(text) == 27)


@pytest.mark.parametrize("at", [None, 0, b"2026-11-22T10:00:00.000000Z", [], True, "\ud800", "٢" * 27])
def test_nothing_else_is_a_time(at: object) -> None:
    with pytest.raises(ValueError, match="not a time"):
        timestamp.seconds(at)


@pytest.mark.parametrize(("second", "microsecond"), [(-1, 0), (timestamp.LAST_SECOND + 1, 0), (0, -1), (0, 1_000_000)])
def test_other_times_have_no_text(second: int, microsecond: int) -> None:
    with pytest.raises(ValueError, match="outside 1970 to 9999"):
        timestamp.text(second, microsecond)


def test_the_last_second() -> None:
    assert timestamp.text(timestamp.LAST_SECOND, 999_999) == "9999-12-31T23:59:59.999999Z"
    assert datetime.fromtimestamp(timestamp.LAST_SECOND, UTC).year == 9999
