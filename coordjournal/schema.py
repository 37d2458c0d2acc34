"""The schemas, and what they have to say about a decision that they do not allow.

``schemas/*.json`` are the truth about the shape of a decision. :mod:`coordjournal.accept` says yes fast; only where it
says no is this module imported, because jsonschema takes 120 ms to import. It also judges the extension types, whose
schemas are declared on the server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from . import resources
from .accept import is_extension_type
from .canonical import dumps, loads
from .errors import CoordjournalError, Refused, UnsupportedVersion

_BASE = "urn:coordjournal:format-1:"


def judge(line: bytes) -> dict[str, Any]:
    """The decision of a JSON line, judged by the schemas alone.

    Raises:
        Refused: ``bad-json``, ``not-canonical``, ``schema`` or ``unknown-type``.
    """
    doc = loads(line)
    if isinstance(doc, dict) and isinstance(doc.get("v"), int) and doc["v"] > 1:
        raise Refused("schema", str(later_version(doc["v"])), "v", "use a coordjournal that knows that version")
    _check("envelope", doc, "")
    kind = doc["type"]
    if kind in built_in():
        _check(kind, doc["payload"], "payload")
    elif _validator("text#/$defs/extension-type").is_valid(kind):
        pass  # any object: what else its schema demands is asked by the admission
    else:
        raise Refused(
            "unknown-type",
            f"the type {kind[:100]!r} is neither built in nor an extension x-<vendor>-<name>",
            "type",
            f"the built-in types are {', '.join(sorted(built_in()))}",
        )
    assert isinstance(doc, dict)
    return doc


def later_version(version: int) -> UnsupportedVersion:
    """The error of a reader that meets a decision of a later format."""
    return UnsupportedVersion(f"this decision is of format {version}; this coordjournal reads format 1")


@cache
def built_in() -> frozenset[str]:
    """The decision types that have a schema in the package."""
    return frozenset(_documents()) - {"text", "envelope"}


class Extensions:
    """The extension types that a server declares: type to JSON Schema of the payload (draft 2020-12)."""

    def __init__(self, declared: Mapping[str, Any]) -> None:
        self.declared = declared

    def judge(self, kind: str, payload: Any) -> None:
        """Raises Refused ``undeclared-type`` or ``extension-schema``."""
        schema = self.declared.get(kind)
        if schema is None:
            raise Refused(
                "undeclared-type",
                f"no schema of the type {kind!r} is declared on this server",
                "type",
                "ask the administrator to run `coordjournal schema declare`",
            )
        try:
            error = best_match(_extended(schema).iter_errors(payload))
        except (Unresolvable, RecursionError) as failure:
            fault = "refers to itself without end" if isinstance(failure, RecursionError) else f"lacks {failure.ref}"
            raise Refused(
                "extension-schema",
                f"the schema declared for {kind!r} {fault}",
                "payload",
                "tell the administrator: no decision of this type can be judged by it",
            ) from None
        if error is not None:
            raise Refused("extension-schema", _words(error), _path("payload", error), "see the schema declared for it")


def check_declaration(kind: str, schema: Any) -> None:
    """Whether ``schema`` can be declared for the type ``kind`` (docs/format.md, "Extension types").

    Raises:
        CoordjournalError: the type is not ``x-<vendor>-<name>``, or the schema is none of draft 2020-12, has no
            canonical form, or refers to anything outside itself.
    """
    if not is_extension_type(kind):
        raise CoordjournalError(
            f"{kind!r} is not x-<vendor>-<name> in lower-case letters and digits, 100 bytes at most"
        )
    if not isinstance(schema, dict):
        raise CoordjournalError("a schema is a JSON object")
    try:
        dumps(schema)
    except ValueError as error:
        raise CoordjournalError(f"the schema has no canonical JSON: {error}") from None
    fault = best_match(Draft202012Validator(_META, format_checker=_FORMATS).iter_errors(schema))
    if fault is not None:
        place = _path("", fault).replace("the decision", "the schema")
        raise CoordjournalError(f"not a JSON Schema of draft 2020-12 at {place}: {_words(fault)}")
    for key, value in _names(schema):
        if key == "$schema" and value != _DRAFT:
            raise CoordjournalError(f"the schema is of {value!r}; it must be of {_DRAFT}")
        if key in ("$ref", "$dynamicRef") and not value.startswith("#"):
            raise CoordjournalError(f"the schema refers to {value!r}; it may refer to itself only")


def _names(schema: Any) -> Iterator[tuple[str, str]]:
    """The keywords of ``schema``, at any depth, whose value is a string."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if isinstance(value, str):
                yield key, value
            yield from _names(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _names(item)


def _check(name: str, value: Any, place: str) -> None:
    error = best_match(_validator(name).iter_errors(value))
    if error is not None:
        raise Refused("schema", _words(error), _path(place, error), f"see schemas/{name}.json")


def _words(error: ValidationError | SchemaError) -> str:
    """What is wrong, as a sentence. Values are cut: they may be as long as a pusher likes."""
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    about = f" [{schema['description']}]" if "description" in schema else ""
    due: Any = error.validator_value
    value: Any = error.instance
    shown = _cut(repr(value), 80)
    match error.validator:
        case "required":
            return f"missing: {_listed(name for name in due if name not in value)}"
        case "additionalProperties" if due is False and "patternProperties" not in schema:
            return f"not allowed here: {_listed(name for name in value if name not in schema.get('properties', {}))}"
        case "not":
            return (_forbidden(due, value) or _cut(error.message, 300)) + about
        case "pattern" | "oneOf" if about:
            return f"{shown} does not have the form due here{about}"
        case "maxUtf8Bytes":
            return f"{shown} takes more than {due} bytes in UTF-8{about}"
        case "uniqueItems":
            return "the same item stands twice"
        case "minItems":
            return f"too few items: {len(value)}, due are at least {due}"
    return _cut(error.message, 300) + about


def _forbidden(schema: Any, value: Any) -> str:
    """The sentence for a ``not`` that forbids a character at some place, or a value; ``""`` for any other."""
    match schema:
        case {"pattern": pattern, **rest} if not rest and isinstance(value, str):
            found = re.search(pattern, value)
            if found is None or len(found.group()) != 1:
                return ""
            if pattern.startswith("^"):
                where = "the first character"
            elif pattern.endswith("$"):
                where = "the last character"
            else:
                where = f"character {found.start() + 1}"
            char = found.group()
            glyph = f" {char!r}" if char.isprintable() else ""
            return f"{where} of {_cut(repr(value), 80)} is U+{ord(char):04X}{glyph}, which is not allowed there"
        case {"const": constant, **rest} if not rest:
            return f"{constant!r} is not allowed"
    return ""


def _listed(names: Iterable[str]) -> str:
    return _cut(", ".join(map(repr, sorted(names))), 300)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "..."


def _path(place: str, error: ValidationError) -> str:
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    key = " (a key)" if "propertyNames" in error.absolute_schema_path else ""
    return (place + steps).removeprefix(".") + key or "the decision"


def _max_utf8_bytes(_validator: Any, most: int, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """The keyword ``maxUtf8Bytes`` of docs/format.md."""
    if isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) > most:
        yield ValidationError("too long")


def _unique_items(_validator: Any, wanted: bool, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """``uniqueItems`` in one pass. jsonschema compares each item with each where they cannot be sorted: an array of
    53 kB kept the hook busy for 24 s. Within the model the canonical bytes are the equality of JSON."""
    if wanted and isinstance(value, list) and len(set(map(dumps, value))) < len(value):
        yield ValidationError("the same item stands twice")


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"maxUtf8Bytes": _max_utf8_bytes, "uniqueItems": _unique_items}
)
_FORMATS = Draft202012Validator.FORMAT_CHECKER  # so that a pattern must be one
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_META = {
    "$id": _BASE + "meta",
    "$dynamicAnchor": "meta",
    "$ref": _DRAFT,
    "properties": {"maxUtf8Bytes": {"type": "integer", "minimum": 0}},
}


def _plain(schema: Any) -> Any:
    """``schema`` without ``$schema``: jsonschema would switch to the draft's own validator there, which has never
    heard of ``maxUtf8Bytes`` and so would let every length pass."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "$schema" or not isinstance(value, str)}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


@cache
def _documents() -> dict[str, Any]:
    files = Path(resources.schemas()).glob("*.json")
    return {file.stem: _plain(json.loads(file.read_text("utf-8"))) for file in files}


@cache
def _validator(name: str) -> Any:
    registry: Registry[Any] = Registry().with_resources(
        (document["$id"], DRAFT202012.create_resource(document)) for document in _documents().values()
    )
    return _Validator({"$ref": _BASE + name}, registry=registry)


def _extended(schema: Any) -> Any:
    return _Validator(_plain(schema), registry=Registry())  # an empty one: what a schema names is never fetched
