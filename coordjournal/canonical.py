"""Canonical JSON: the one byte string of a decision (docs/format.md, "Canonical JSON").

RFC 8785 restricted to integers within +-(2^53-1) and ASCII keys, nested at most 64 deep, without duplicate keys and
lone surrogates. Within that model Python's own compact encoder with sorted keys writes exactly RFC 8785.

This module is on the hook's hot path. It takes the C scanner and encoder from ``_json`` directly, because importing
``json`` costs 9 ms (it imports ``re``); where anything at all is odd, :func:`loads` imports ``json`` and judges anew.
"""

from _json import encode_basestring, make_encoder, make_scanner

from .errors import Refused

MOST_INTEGER = 2**53 - 1
MOST_DEPTH = 64  # arrays and objects inside one another
_TOO_DEEP = f"arrays and objects inside one another more than {MOST_DEPTH} deep"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _no_such(token: object) -> "Any":
    raise ValueError("outside the model")


class _Scan:
    """What ``make_scanner`` reads its settings from."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = staticmethod(_no_such)
    parse_int = int
    parse_constant = staticmethod(_no_such)


_scan = make_scanner(_Scan())  # type: ignore[arg-type]  # typeshed asks for a scanner; these attributes will do
_encode = make_encoder(None, _no_such, encode_basestring, None, ":", ",", True, False, False)


def dumps(value: object) -> bytes:
    """The canonical bytes of ``value``.

    Raises:
        ValueError: ``value`` is outside the model.
    """
    fault = outside_model(value)
    if fault:
        raise ValueError(fault)
    return "".join(_encode(value, 0)).encode()


def loads_fast(line: bytes) -> "Any":
    """The value of ``line`` if it is canonical as far as this can tell, else None.

    What it cannot tell is a non-ASCII key, an integer out of range and too deep a nesting. The envelope and the
    payload of the built-in types have no room for any of them; ask :func:`outside_model` for the others.
    """
    try:
        text = line.decode()
        value, end = _scan(text, 0)
        if end == len(text) and "".join(_encode(value, 0)) == text:
            return value
    except Exception:
        # _json raises SystemError for malformed text while json.decoder is not loaded; loads() finds out the reason.
        pass
    return None


def loads(line: bytes) -> "Any":
    """The value of ``line``.

    Raises:
        Refused: ``bad-json`` if ``line`` is not JSON of the model, ``not-canonical`` if it is its second spelling.
    """
    import json

    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise _bad(f"not UTF-8: {error.reason}", f"byte {error.start}") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        raise _bad(f"not JSON: {error.msg}", f"character {error.pos}") from None
    except RecursionError:
        raise _bad(_TOO_DEEP) from None
    except ValueError as error:
        raise _bad(str(error)) from None
    fault = outside_model(value)
    if fault:
        raise _bad(fault)
    canonical = "".join(_encode(value, 0))
    if canonical != text:
        at = next((i for i, (a, b) in enumerate(zip(text, canonical, strict=False)) if a != b), len(canonical))
        raise Refused(
            "not-canonical",
            f"the canonical JSON continues {canonical[at : at + 20]!r} where this has {text[at : at + 20]!r}",
            f"character {at}",
            "write keys sorted, without white space, with the shortest escapes (RFC 8785)",
        )
    return value


def outside_model(value: object) -> str:
    """Why ``value`` is outside the model, or ``""``. Not recursive: depth is one of the things it checks."""
    level = [value]
    depth = 0  # how many arrays and objects stand around the items of this level
    while level:
        if depth == MOST_DEPTH and any(type(item) in (dict, list, tuple) for item in level):
            return _TOO_DEEP
        below: list[object] = []
        for item in level:
            if type(item) is dict:
                for key in item:
                    if type(key) is not str or not key.isascii():
                        return f"the key {str(key)[:100]!r} is not ASCII text"
                below += item.values()
            elif type(item) is list or type(item) is tuple:
                below += item
            elif type(item) is int:
                if abs(item) > MOST_INTEGER:
                    return f"the integer {item if abs(item) < 10**40 else '...'} is outside +-(2^53-1)"
            elif type(item) is str:
                if not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
                    return "a string holds a lone surrogate"
            elif item is not None and type(item) is not bool:
                return f"a {type(item).__name__} is not null, true, false, an integer, a string, an array or an object"
        level = below
        depth += 1
    return ""


def _bad(what: str, place: str = "the JSON line") -> Refused:
    return Refused("bad-json", what, place, "write the line as docs/format.md draws it, under 'Canonical JSON'")


def _unique(pairs: "list[tuple[str, Any]]") -> "dict[str, Any]":
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:100]!r} stands twice in one object")
        found[key] = value
    return found


def _integer(token: str) -> int:
    if len(token) > 17:  # longer than any integer of the model; int() would take quadratic time on millions of digits
        raise ValueError(f"the integer {token[:20]}... is outside +-(2^53-1)")
    return int(token)


def _fraction(token: str) -> "Any":
    raise ValueError(f"the number {token[:40]} is not a plain integer")


def _constant(token: str) -> "Any":
    raise ValueError(f"{token} is not JSON")


def trusted(line: bytes) -> "Any":
    """The value of a line that the law has passed before. Raises ValueError if it is no JSON after all."""
    try:
        return _scan(line.decode(), 0)[0]
    except Exception as error:  # _json raises StopIteration and SystemError for malformed text
        raise ValueError(f"not JSON: {error!r}") from None
