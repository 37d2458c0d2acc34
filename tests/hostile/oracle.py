"""The law and the admission once more, by the words of docs/format.md, for one commit behind a lawful one.

Nothing of coordjournal is imported: bytes are read with a cursor and without a regular expression, JSON by a parser
of its own, shapes are judged by jsonschema alone, leases by tests/model.py. No speed is sought.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import model
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT202012

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
LAST_SECOND = 253_402_300_799
EMPTY = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
CODES = frozenset(
    [
        "not-fast-forward",
        "deleted",
        "merge",
        "not-a-commit",
        "bad-commit",
        "bad-ref",
        "bad-json",
        "not-canonical",
        "schema",
        "unknown-type",
        "wrong-space",
        "seq",
        "subject",
        "author",
        "attachment",
        "time",
        "lease-held",
        "lease",
        "clock",
        "too-large",
        "extension-schema",
        "undeclared-type",
        "read-only",
    ]
)  # of docs/format.md, but for the two that only the sequencer has


class Fault(Exception):
    """The code by which something is refused."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# -- text --------------------------------------------------------------------------------------------------------------


def is_no_text(c: str) -> bool:
    n = ord(c)
    return (
        n < 0x20
        or 0x7F <= n <= 0x9F
        or n in (0x2028, 0x2029, 0x61C, 0x200E, 0x200F)
        or 0x202A <= n <= 0x202E
        or 0x2066 <= n <= 0x2069
    )


def is_space(value: str) -> bool:
    return 0 < len(value.encode("utf-8", "surrogatepass")) <= 80 and not any(
        is_no_text(c) or 0xD800 <= ord(c) <= 0xDFFF for c in value
    )


# -- JSON --------------------------------------------------------------------------------------------------------------


class Json:
    """One JSON text of the model. ``value()`` raises Fault ``bad-json``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def whole(self) -> Any:
        value = self.value(0)
        self.space()
        if self.at != len(self.text):
            raise Fault("bad-json")
        return value

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t\n\r":
            self.at += 1

    def next(self) -> str:
        if self.at >= len(self.text):
            raise Fault("bad-json")
        self.at += 1
        return self.text[self.at - 1]

    def value(self, around: int) -> Any:
        self.space()
        c = self.next()
        if c in "{[":
            if around == 64:
                raise Fault("bad-json")
            return self.object(around + 1) if c == "{" else self.array(around + 1)
        if c == '"':
            return self.string()
        if c == "-" or "0" <= c <= "9":
            return self.number(c)
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self.text.startswith(word, self.at - 1):
                self.at += len(word) - 1
                return value
        raise Fault("bad-json")

    def object(self, around: int) -> Any:
        found: dict[str, Any] = {}
        self.space()
        if self.at < len(self.text) and self.text[self.at] == "}":
            self.at += 1
            return found
        while True:
            self.space()
            if self.next() != '"':
                raise Fault("bad-json")
            key = self.string()
            if key in found or any(ord(c) > 0x7F for c in key):
                raise Fault("bad-json")
            self.space()
            if self.next() != ":":
                raise Fault("bad-json")
            found[key] = self.value(around)
            self.space()
            c = self.next()
            if c == "}":
                return found
            if c != ",":
                raise Fault("bad-json")

    def array(self, around: int) -> Any:
        found: list[Any] = []
        self.space()
        if self.at < len(self.text) and self.text[self.at] == "]":
            self.at += 1
            return found
        while True:
            found.append(self.value(around))
            self.space()
            c = self.next()
            if c == "]":
                return found
            if c != ",":
                raise Fault("bad-json")

    def string(self) -> str:
        units: list[str] = []
        escapes = False
        while (c := self.next()) != '"':
            if c < " ":
                raise Fault("bad-json")
            escapes = escapes or c == "\\"
            units.append(self.escape() if c == "\\" else c)
        if not escapes:
            return "".join(units)
        joined: list[str] = []
        for unit in units:
            if joined and "\ud800" <= joined[-1] <= "\udbff" and "\udc00" <= unit <= "\udfff":
                joined[-1] = chr(0x10000 + ((ord(joined[-1]) - 0xD800) << 10) + ord(unit) - 0xDC00)
            else:
                joined.append(unit)
        if any("\ud800" <= c <= "\udfff" for c in joined):
            raise Fault("bad-json")
        return "".join(joined)

    def escape(self) -> str:
        c = self.next()
        if c in '"\\/':
            return c
        if c in "bfnrt":
            return "\b\f\n\r\t"["bfnrt".index(c)]
        if c != "u":
            raise Fault("bad-json")
        digits = [self.next() for _ in range(4)]
        if any(d not in "0123456789abcdefABCDEF" for d in digits):
            raise Fault("bad-json")
        return chr(int("".join(digits), 16))

    def number(self, c: str) -> int:
        sign, digits = (-1, "") if c == "-" else (1, c)
        while self.at < len(self.text) and "0" <= self.text[self.at] <= "9":
            digits += self.text[self.at]
            self.at += 1
        if not digits or (digits[0] == "0" and len(digits) > 1) or len(digits) > 16:
            raise Fault("bad-json")
        if self.at < len(self.text) and self.text[self.at] in ".eE":
            raise Fault("bad-json")
        if int(digits) > 2**53 - 1:
            raise Fault("bad-json")
        return sign * int(digits)


def canonical(value: Any) -> str:
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"


def _escaped(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    if c in "\b\t\n\f\r":
        return "\\" + "btnfr"["\b\t\n\f\r".index(c)]
    return f"\\u{ord(c):04x}" if ord(c) < 0x20 else c


def read_json(line: bytes) -> Any:
    """The value of a canonical line. Raises Fault ``bad-json`` or ``not-canonical``."""
    try:
        text = line.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise Fault("bad-json") from None
    value = Json(text).whole()
    if canonical(value) != text:
        raise Fault("not-canonical")
    return value


# -- shapes ------------------------------------------------------------------------------------------------------------


def _most(_validator: Any, most: int, value: Any, _schema: Any) -> Any:
    if isinstance(value, str) and len(value.encode()) > most:
        yield ValidationError("too long")


def _without_draft(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_draft(value) for key, value in schema.items() if key != "$schema"}
    return [_without_draft(item) for item in schema] if isinstance(schema, list) else schema


_DOCUMENTS = {path.stem: _without_draft(json.loads(path.read_text("utf-8"))) for path in SCHEMAS.glob("*.json")}
_REGISTRY: Any = Registry().with_resources(
    (document["$id"], DRAFT202012.create_resource(document)) for document in _DOCUMENTS.values()
)
_VALIDATORS = {
    name: extend(Draft202012Validator, {"maxUtf8Bytes": _most})(document, registry=_REGISTRY)
    for name, document in _DOCUMENTS.items()
}
_BUILT_IN = set(_DOCUMENTS) - {"text", "envelope"}


def is_extension(kind: str) -> bool:
    words = kind.split("-")
    return (
        len(kind.encode()) <= 100
        and len(words) >= 3
        and words[0] == "x"
        and all(word and all(c in "abcdefghijklmnopqrstuvwxyz0123456789" for c in word) for word in words[1:])
    )


def decision(line: bytes) -> dict[str, Any]:
    """The decision of a line: rules 3 to 6. Raises Fault."""
    found = _decision(line)
    if isinstance(found, str):
        raise Fault(found)
    return found


@lru_cache(1000)
def _decision(line: bytes) -> dict[str, Any] | str:
    try:
        return _decided(line)
    except Fault as fault:
        return fault.code


def _decided(line: bytes) -> dict[str, Any]:
    doc = read_json(line)
    if not _VALIDATORS["envelope"].is_valid(doc):
        raise Fault("schema")
    if doc["type"] in _BUILT_IN:
        if not _VALIDATORS[doc["type"]].is_valid(doc["payload"]):
            raise Fault("schema")
    elif not is_extension(doc["type"]):
        raise Fault("unknown-type")
    assert isinstance(doc, dict)
    return doc


def subject(doc: dict[str, Any]) -> bytes:
    kind, p = doc["type"], doc["payload"]

    def q(x: str) -> str:
        return '"' + x.replace("\\", "\\\\").replace('"', '\\"') + '"' if set(x) & set(' "\\') else x

    def at(x: str | None) -> str:
        return f" @ {q(x)}" if x is not None else ""

    shown = {
        "alias-set": lambda: f"{q(p['alias'])} -> {q(p['target'])}",
        "alias-cleared": lambda: q(p["alias"]),
        "binding-made": lambda: " = ".join(q(page) for page in p["members"]),
        "merge-decided": lambda: f"{' + '.join(q(page) for page in p['sources'])} -> {q(p['into'])}",
        "fork-made": lambda: f"{q(p['source'])}{at(p.get('source_rev'))} -> {q(p['fork'])}",
        "overlay-created": lambda: (
            f"{q(p['overlay_id'])} on {q(p['target'])}{at(p['base_rev'])} ({p['body']['bytes']} bytes)"
        ),
        "overlay-revised": lambda: f"{q(p['overlay_id'])}{at(p['base_rev'])} ({p['body']['bytes']} bytes)",
        "overlay-closed": lambda: f"{q(p['overlay_id'])} {p['outcome']}{at(p.get('result_rev'))}",
        "decision-revoked": lambda: p["decision"],
        "lease-acquired": lambda: f"{q(p['holder'])} for {p['ttl']} s",
        "lease-released": lambda: q(p["holder"]),
        "intent-refused": lambda: p["decision"] + " (" + p["reason"].replace("\n", " ") + ")",
    }.get(kind, lambda: "".join(f"\\u{{{ord(c):x}}}" if is_no_text(c) else c for c in canonical(p)))()
    whole = f"{kind}: {shown}".encode()
    if len(whole) <= 200:
        return whole
    end = 197
    while end and whole[end] & 0xC0 == 0x80:
        end -= 1
    return whole[:end] + "…".encode()


# -- the commit --------------------------------------------------------------------------------------------------------


class Read:
    """A decision commit, taken apart. Raises Fault ``merge`` or ``bad-commit``."""

    def __init__(self, raw: bytes, width: int = 40) -> None:
        self.raw = raw
        self.at = 0
        self.empty = EMPTY[width]
        self.tree = self.name(b"tree ", width)
        self.parent = self.name(b"parent ", width) if self.follows(b"parent ") else None
        if self.parent is not None and self.follows(b"parent "):
            raise Fault("merge")
        self.actor, self.authored = self.person(b"author ")
        self.appender, self.appended = self.person(b"committer ")
        start = self.at
        while not self.follows(b"\n"):
            signs = b" " if self.at > start else b"gpgsig " if width == 40 else b"gpgsig-sha256 "
            self.need(self.follows(signs))
            self.line()
        self.need(self.at - start <= 16_384)
        self.need(0 not in raw[: self.at])
        self.at += 1
        self.subject = self.line()
        self.need(self.line() == b"")
        self.json = self.line()
        self.seq: int | None = None
        self.lease: str | None = None
        if self.at < len(raw):
            self.need(self.line() == b"")
            self.seq = self.number(self.valued(b"Seq: "), 15)
            if self.at < len(raw):
                self.lease = self.text(self.valued(b"Lease: "))
            self.need(self.at == len(raw))

    def need(self, condition: bool) -> None:
        if not condition:
            raise Fault("bad-commit")

    def follows(self, start: bytes) -> bool:
        return self.raw[self.at : self.at + len(start)] == start

    def line(self) -> bytes:
        end = self.raw.find(b"\n", self.at)
        self.need(end >= 0)
        found = self.raw[self.at : end]
        self.at = end + 1
        return found

    def valued(self, key: bytes) -> bytes:
        line = self.line()
        self.need(line[: len(key)] == key)
        return line[len(key) :]

    def name(self, key: bytes, width: int) -> str:
        found = self.valued(key)
        self.need(len(found) == width and all(b in b"0123456789abcdef" for b in found))
        return found.decode()

    def number(self, digits: bytes, most: int) -> int:
        self.need(0 < len(digits) <= most and all(b in b"0123456789" for b in digits))
        self.need(digits == b"0" or digits[:1] != b"0")
        return int(digits)

    def text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise Fault("bad-commit") from None

    def person(self, key: bytes) -> tuple[str, int]:
        line = self.valued(key)
        opens = line.find(b"<")
        closes = line.find(b">")
        self.need(0 < opens < closes and line[opens - 1 : opens] == b" ")
        email, rest = line[opens + 1 : closes], line[closes + 1 :]
        self.need(b"<" not in email and rest[:1] == b" ")
        digits, _, zone = rest[1:].partition(b" ")
        time = self.number(digits, 12)
        self.need(time <= LAST_SECOND)
        self.need(len(zone) == 5 and zone[0] in b"+-" and all(b in b"0123456789" for b in zone[1:]))
        name = self.text(line[: opens - 1])
        self.need(bool(name) and model.is_ident(name))
        return name, time


def seconds(at: str) -> int:
    """The whole seconds since 1970 of an ``at`` that the schema has passed."""
    from datetime import UTC, datetime

    return int(datetime.fromisoformat(at[:19]).replace(tzinfo=UTC).timestamp())


def law(
    space: str, parent: Read | None, parent_oid: str | None, raw: bytes, files: Any, width: int = 40
) -> tuple[Read, dict[str, Any]]:
    """The commit and its decision, if the law and the limits let it follow. Raises Fault with the first rule that is
    broken.

    ``files`` are (mode, name, size, sha256) of the entries of a tree that is not the empty one; None for no tree.
    """
    child = Read(raw, width)
    within_limits(child, files)
    if child.parent != parent_oid:
        raise Fault("not-fast-forward")
    doc = decision(child.json)
    if doc["space"] != space:
        raise Fault("wrong-space")
    if child.seq != (0 if parent is None else (parent.seq or 0) + 1):
        raise Fault("seq")
    stamps(child, doc, files)
    if parent is not None and child.appended < parent.appended:
        raise Fault("time")
    code = model.lease_code(
        None if parent is None else (parent.appender, parent.appended, parent.lease, None),
        (child.appender, child.appended, child.lease, doc),
    )
    if code:
        raise Fault(code)
    return child, doc


def within_limits(child: Read, files: Any) -> None:
    """What the admission asks before rule 2: that no attachment is larger than 16 MiB. Raises Fault."""
    if child.tree != child.empty and any(size > 16 * 2**20 for _, _, size, _ in files or ()):
        raise Fault("too-large")


def stamps(child: Read, doc: dict[str, Any], files: Any) -> None:
    """Rules 9 to 11. Raises Fault."""
    if (child.actor, child.authored) != (doc["actor"], seconds(doc["at"])):
        raise Fault("author")
    if child.subject != subject(doc):
        raise Fault("subject")
    due = []
    if doc["type"] in ("overlay-created", "overlay-revised"):
        body = doc["payload"]["body"]
        due = [("100644", "body", body["bytes"], body["sha256"])]
    if (due or child.tree != child.empty) and ([] if child.tree == child.empty else files) != due:
        raise Fault("attachment")


def intent(space: str, raw: bytes, files: Any, now: int, width: int = 40) -> None:
    """The law and the admission as far as they concern an intent. Raises Fault."""
    child = Read(raw, width)
    within_limits(child, files)
    doc = decision(child.json)
    if doc["space"] != space:
        raise Fault("wrong-space")
    if child.seq is not None:
        raise Fault("seq")
    stamps(child, doc, files)
    if doc["type"] in ("lease-released", "intent-refused"):
        raise Fault("lease")
    if doc["type"] == "lease-acquired" and not 120 <= doc["payload"]["ttl"] <= 3600:
        raise Fault("lease")
    if seconds(doc["at"]) > now + 60:
        raise Fault("clock")
    if doc["type"] not in _BUILT_IN:
        raise Fault("undeclared-type")


def admission(parent: Read | None, child: Read, doc: dict[str, Any], now: int) -> None:
    """The admission with the usual settings and no declared types. Raises Fault."""
    if child.appended > now + 60 and (parent is None or child.appended > parent.appended):
        raise Fault("clock")
    before = model.lease(parent.lease) if parent else None
    if parent is not None and before is not None and before["holder"] is not None:
        end = model.end(before)
        if end > parent.appended and end <= child.appended and child.appended > now:
            raise Fault("clock")
    if doc["type"] == "lease-acquired" and not 120 <= doc["payload"]["ttl"] <= 3600:
        raise Fault("lease")
    if seconds(doc["at"]) > child.appended + 60:
        raise Fault("clock")
    if doc["type"] not in _BUILT_IN:
        raise Fault("undeclared-type")


# -- refs --------------------------------------------------------------------------------------------------------------


def spelling(space: str) -> str:
    """The one spelling of a space id inside a ref."""
    raw = space.encode()
    out = ""
    for at, byte in enumerate(raw):
        plain = chr(byte) in "abcdefghijklmnopqrstuvwxyz0123456789_-"
        if byte == 0x2E:
            plain = 0 < at < len(raw) - 1 and raw[at - 1] != 0x2E and raw[at:] != b".lock"
        out += chr(byte) if plain else f"%{byte:02X}"
    return out


def space_of(spelled: bytes) -> str | None:
    """The space id that the last part of a ref spells, None if it spells none."""
    out = bytearray()
    at = 0
    while at < len(spelled):
        if spelled[at : at + 1] == b"%":
            digits = spelled[at + 1 : at + 3]
            if len(digits) != 2 or any(d not in b"0123456789ABCDEF" for d in digits):
                return None
            out.append(int(digits, 16))
            at += 3
        else:
            out.append(spelled[at])
            at += 1
    try:
        space = out.decode()
    except UnicodeDecodeError:
        return None
    return space if is_space(space) and spelling(space).encode() == spelled else None


def is_reserved(ref: bytes) -> bool:
    """Whether section 4 names the ref among those that no push may move, a log's own aside."""
    ours = (b"refs/spaces/", b"refs/append/", b"refs/intents/", b"refs/meta/coordjournal/")
    whole = (b"refs/spaces", b"refs/append", b"refs/intents", b"refs/meta", b"refs/meta/coordjournal")
    return ref in whole or ref.startswith(ours) or any(b"/" + prefix in ref for prefix in ours)
