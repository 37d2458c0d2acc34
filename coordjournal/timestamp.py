"""Times: ``at`` is text with six digits of fraction, git's times are whole seconds since 1970 (UTC).

This module is on the hook's hot path: it imports nothing. Importing ``datetime`` would cost it 5 ms.
"""

LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

DIGITS_AS_0 = bytes.maketrans(b"123456789", b"000000000")  # bytes.translate then shows the form of a text
_FORM = b"0000-00-00T00:00:00.000000Z"
_TWO_ZEROS = 0x30 * 11  # what two digits weigh as ASCII beyond their value


def seconds(at: object) -> int:
    """The whole seconds since 1970 of ``at`` (``2026-11-22T10:00:00.000000Z``), rounded down.

    Raises:
        ValueError: ``at`` is not of that form, or names a day, hour or second that does not exist.
    """
    if type(at) is not str or not at.isascii():
        raise ValueError("not a time")
    raw = at.encode()
    if raw.translate(DIGITS_AS_0) != _FORM:
        raise ValueError("not a time")
    # Slicing out six texts for int() would take twice the time of this.
    year = (raw[0] * 10 + raw[1]) * 100 + raw[2] * 10 + raw[3] - _TWO_ZEROS * 101
    month = raw[5] * 10 + raw[6] - _TWO_ZEROS
    day = raw[8] * 10 + raw[9] - _TWO_ZEROS
    hour = raw[11] * 10 + raw[12] - _TWO_ZEROS
    minute = raw[14] * 10 + raw[15] - _TWO_ZEROS
    second = raw[17] * 10 + raw[18] - _TWO_ZEROS
    if year < 1970 or not 1 <= month <= 12 or hour > 23 or minute > 59 or second > 59:
        raise ValueError("not a time")
    leap_day = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= _DAYS[month - 1] + leap_day:
        raise ValueError("not a time")
    return _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second


def text(second: int, microsecond: int = 0) -> str:
    """The time ``second`` since 1970 (0 to LAST_SECOND) as an ``at``.

    Raises:
        ValueError: the time is before 1970 or after 9999.
    """
    if not 0 <= second <= LAST_SECOND or not 0 <= microsecond < 1_000_000:
        raise ValueError(f"outside 1970 to 9999: {second}")
    days, rest = divmod(second, 86400)
    # Days to a civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    days += 719_468
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    return (
        f"{year:04}-{month:02}-{day:02}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}.{microsecond:06}Z"
    )


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a civil date (the inverse of the arithmetic in :func:`text`)."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468
