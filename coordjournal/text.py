"""The classes of text (docs/format.md, "Text"): what a name, a label, a page may be.

This module is on the hook's hot path: it imports nothing. ``frozenset.isdisjoint`` runs in C over the characters of a
string, so that a check costs about what a regular expression would, without the 7 ms that importing ``re`` takes.
"""

# C0 and C1 controls, DEL, the Unicode line and paragraph separators, and the bidirectional controls of UAX #9.
FORBIDDEN = frozenset(
    map(
        chr,
        [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)],
    )
)
_FORBIDDEN_IN_REASON = FORBIDDEN - {"\n"}

# What git strips from either end of an ident (git's ident.c calls it crud); ``<``, ``>`` it drops anywhere. ``;``
# ends the holder in a lease trailer.
_CRUD = frozenset(" .,:;<>\"\\'")
_NOT_IN_IDENT = FORBIDDEN.union("<>;")

IDENT_BYTES = 200
LABEL_BYTES = 400
SPACE_BYTES = 80
PAGE_BYTES = 2000
REASON_BYTES = 10_000
META_VALUE_BYTES = 2000


def is_text(value: object, most: int) -> bool:
    """Whether ``value`` is text of 1 to ``most`` UTF-8 bytes."""
    if type(value) is not str or not value or len(value) > most or not FORBIDDEN.isdisjoint(value):
        return False
    return value.isascii() or _utf8_length(value) <= most


def is_ident(value: object) -> bool:
    """Whether ``value`` can be an actor, an appender or a holder: text that git keeps byte for byte."""
    if type(value) is not str or not value or len(value) > IDENT_BYTES or not _NOT_IN_IDENT.isdisjoint(value):
        return False
    if value[0] in _CRUD or value[-1] in _CRUD or value == "-":
        return False
    return value.isascii() or _utf8_length(value) <= IDENT_BYTES


def is_label(value: object) -> bool:
    """Whether ``value`` can be an alias."""
    return is_text(value, LABEL_BYTES)


def is_space(value: object) -> bool:
    """Whether ``value`` can be a space id."""
    return is_text(value, SPACE_BYTES)


def is_page(value: object) -> bool:
    """Whether ``value`` can be a page (opaque to coordjournal), or another id or revision of a page's store."""
    return is_text(value, PAGE_BYTES)


def is_reason(value: object) -> bool:
    """Whether ``value`` can be a reason: text of 1 to 10,000 bytes, newlines allowed."""
    if type(value) is not str or not value or len(value) > REASON_BYTES:
        return False
    return _FORBIDDEN_IN_REASON.isdisjoint(value) and _utf8_length(value) <= REASON_BYTES


def printable(text: str) -> str:
    """``text`` made safe for a terminal: what could steer it, or is no character at all, as ``\\u{...}``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"\\u{{{ord(c):x}}}" if c in FORBIDDEN or "\ud800" <= c <= "\udfff" else c for c in text)


def cut(text: str, most: int = 1000) -> str:
    """The first ``most`` characters of what somebody else says, who may say any amount."""
    return text if len(text) <= most else text[:most] + "..."


def lines(output: str) -> list[str]:
    """The lines that git printed. Names of refs may hold what ``splitlines`` also takes for the end of a line."""
    return output.removesuffix("\n").split("\n") if output else []


def _utf8_length(value: str) -> int:
    """The length in UTF-8 bytes; larger than any limit if a lone surrogate makes it no text at all."""
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        return 1 << 62
