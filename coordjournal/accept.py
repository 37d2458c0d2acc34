"""Fast acceptance: says yes to a decision that its schemas allow, and no to everything else, without a reason.

The JSON Schemas in ``schemas/`` are the truth and :mod:`coordjournal.schema` explains a refusal by them; these tables
say the same in a hundredth of the time and without importing anything. tests/test_accept.py holds the two equal.
"""

from .canonical import MOST_INTEGER, outside_model
from .text import META_VALUE_BYTES, is_ident, is_label, is_page, is_reason, is_space, is_text
from .timestamp import seconds
from .trailer import MOST_TTL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# bytes.translate then shows the form of a text: ``h`` for a lower-case hex digit, and only for one.
_HEX_AS_H = bytes.maketrans(b"0123456789abcdefh", b"hhhhhhhhhhhhhhhh?")
_ID_FORM = b"hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh"
_SHA256_FORM = b"h" * 64
_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_META_KEY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-")
_TYPE_BYTES = 100


def is_at(value: object) -> bool:
    """Whether ``value`` is a time with six digits of fraction."""
    try:
        seconds(value)
    except ValueError:
        return False
    return True


def is_id(value: object) -> bool:
    """Whether ``value`` is a UUIDv7 in lower-case hex with hyphens."""
    return (
        type(value) is str
        and value.isascii()
        and value.encode().translate(_HEX_AS_H) == _ID_FORM
        and value[14] == "7"
        and value[19] in "89ab"
    )


def is_extension_type(value: object) -> bool:
    """Whether ``value`` is ``x-<vendor>-<name>``: lower-case words and digits, at most 100 bytes."""
    if type(value) is not str or len(value) > _TYPE_BYTES:
        return False
    parts = value.split("-")
    return len(parts) >= 3 and parts[0] == "x" and all(part and _WORD.issuperset(part) for part in parts[1:])


def _is_revision(value: object) -> bool:
    return value is None or is_page(value)


def _is_pages(value: object, least: int) -> bool:
    if type(value) is not list or len(value) < least:
        return False
    return all(map(is_page, value)) and len(set(value)) == len(value)


def _is_attachment(value: object) -> bool:
    if type(value) is not dict or value.keys() != {"bytes", "sha256"}:
        return False
    size, digest = value["bytes"], value["sha256"]
    return (
        type(size) is int
        and 0 <= size <= MOST_INTEGER
        and type(digest) is str
        and digest.isascii()
        and digest.encode().translate(_HEX_AS_H) == _SHA256_FORM
    )


def _is_meta(value: object) -> bool:
    return type(value) is dict and all(_is_meta_key(key) and _is_meta_value(item) for key, item in value.items())


def _is_meta_key(key: str) -> bool:
    return 0 < len(key) <= 100 and _META_KEY.issuperset(key)


def _is_meta_value(item: object) -> bool:
    return item == "" or (type(item) is str and is_text(item.replace("\n", " "), META_VALUE_BYTES))


# For each type the fields that must be there and those that may.
_PAYLOADS: "dict[str, tuple[dict[str, Callable[[Any], bool]], dict[str, Callable[[Any], bool]]]]" = {
    "alias-set": ({"alias": is_label, "target": is_page}, {}),
    "alias-cleared": ({"alias": is_label}, {}),
    "binding-made": ({"members": lambda pages: _is_pages(pages, 2)}, {}),
    "merge-decided": ({"sources": lambda pages: _is_pages(pages, 1), "into": is_page}, {}),
    "fork-made": ({"source": is_page, "fork": is_page}, {"source_rev": is_page}),
    "overlay-created": (
        {"overlay_id": is_label, "target": is_page, "base_rev": _is_revision, "body": _is_attachment},
        {},
    ),
    "overlay-revised": ({"overlay_id": is_label, "base_rev": _is_revision, "body": _is_attachment}, {}),
    "overlay-closed": (
        {"overlay_id": is_label, "outcome": lambda outcome: outcome in ("applied", "discarded")},
        {"result_rev": is_page},
    ),
    "decision-revoked": ({"decision": is_id}, {}),
    "lease-acquired": ({"holder": is_ident, "ttl": lambda ttl: type(ttl) is int and 1 <= ttl <= MOST_TTL}, {}),
    "lease-released": ({"holder": is_ident}, {}),
    "intent-refused": ({"decision": is_id, "reason": is_reason}, {}),
}
BUILT_IN = frozenset(_PAYLOADS)

_ENVELOPE: "dict[str, Callable[[Any], bool]]" = {
    "actor": is_ident,
    "at": is_at,
    "id": is_id,
    "payload": lambda payload: type(payload) is dict,
    "space": is_space,
    "type": lambda kind: type(kind) is str,
    "v": lambda version: type(version) is int and version == 1,
}
_ENVELOPE_MAY: "dict[str, Callable[[Any], bool]]" = {"meta": _is_meta, "reason": is_reason}


def accept(doc: "Any") -> bool:
    """Whether ``doc``, the value of a JSON line, is a decision that the envelope's and its type's schema allow."""
    if type(doc) is not dict or not _fits(doc, _ENVELOPE, _ENVELOPE_MAY):
        return False
    fields = _PAYLOADS.get(doc["type"])
    if fields is not None:
        return _fits(doc["payload"], *fields)
    return is_extension_type(doc["type"]) and not outside_model(doc)


def _fits(
    item: "dict[str, Any]", must: "dict[str, Callable[[Any], bool]]", may: "dict[str, Callable[[Any], bool]]"
) -> bool:
    for key, test in must.items():
        if key not in item or not test(item[key]):
            return False
    if len(item) == len(must):
        return True
    return all(key in must or (key in may and may[key](value)) for key, value in item.items())


