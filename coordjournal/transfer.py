"""Export and import: a log as JSON Lines, verbatim (docs/format.md, "Export").

A line is one decision with its place (``seq``, ``commit``, ``appended``, ``appender``), the content of its
attachments, and under ``git`` what else stands in its commit: emails, zones, a signature. So a line holds every byte of
the commit, and an import is neither a replay nor a new stamp: it builds the very same commits again. That is also the
guard against damage: a line that was changed, left out or put elsewhere does not build the commit that it names.

What an import brings must begin or continue what is there already, so that importing a file twice changes nothing, and
every commit must pass the law and the admission like one that is pushed. Nothing is appended before the whole file has
been judged. Into a repository of the other object format the same decisions come at the same places and times; only
the names of commits differ there, and signatures, which would be about other bytes, stay behind.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import admission, canonical, law, log
from .commit import EMPTY_TREE, Commit, File, build, parse, subject, tree_of
from .decision import Attachment
from .errors import Contention, CoordjournalError, Refused, UnknownSpace
from .index import Record
from .journal import Journal
from .kept import Kept
from .state import CoordinationState
from .store import object_name
from .timestamp import seconds, text

_PLACE = ("seq", "commit", "appended", "appender")
_DECISION = ("actor", "at", "id", "payload", "space", "type", "v")
_REQUIRED = frozenset({*_PLACE, *_DECISION})
_KNOWN = _REQUIRED | {"reason", "meta", "attachments", "git", "lease"}
_GIT = ("author_email", "author_zone", "committer_email", "committer_zone", "signature")
_ZONE = "+0000"
_FLUSH_BYTES = 32 * 1024 * 1024  # objects wait in memory up to so many bytes, then they are written
_FLUSH_OBJECTS = 20_000
_STEP = 1000  # lines between two words of progress

Progress = Callable[[int], None]


class BadImport(CoordjournalError):
    """A line of an import cannot be taken; nothing was appended.

    Attributes: ``line``, counted from 1; ``what`` is wrong; ``refusal``, if it was the law or the admission that
    refused the line.
    """

    code = "bad-import"

    def __init__(self, line: int, what: str, refusal: Refused | None = None) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line
        self.what = what
        self.refusal = refusal


# -- out -------------------------------------------------------------------------------------------------------------


def export(journal: Journal, space: str, since: int = 0, until: int | None = None) -> Iterator[dict[str, Any]]:
    """The decisions of a space from Seq ``since`` to ``until`` (included; None: the last), each as the JSON object of
    its line. Strings may hold lone surrogates (an email need not be UTF-8), so write them as ASCII.

    Raises:
        UnknownSpace: the space has no log here.
        UnlawfulLog, UnsupportedVersion, GitFailed: the log cannot be read.
    """
    store = journal.store
    tip = store.tip(space)
    if tip is None:
        raise UnknownSpace(f"the space {space!r} has no log here")
    head = store.object(tip, "commit")
    last = -1 if head is None else log.seq_of(head[1])  # of this very tip: the log may grow meanwhile
    if since > last:
        return
    walk = store.commits(tip, oldest_first=True, count=last - since + 1)
    for seq, (oid, raw) in enumerate(walk, since):
        if until is not None and seq > until:
            return
        landed = log.landed(seq, log.record(oid, raw))
        line = landed.json()
        attached = law.attachments(line)
        if attached:
            line["attachments"] = {name: content(store.file(oid, name)) for name in attached}
        more = _git_of(raw)
        if more:
            line["git"] = more
        yield line


def content(raw: bytes) -> dict[str, str]:
    """The content of an attachment as JSON: ``{"text": ...}``, or ``{"base64": ...}`` where it is not UTF-8."""
    try:
        return {"text": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def _git_of(raw: bytes) -> dict[str, str]:
    """What a commit holds beyond its decision and its place; what is as coordjournal itself writes it is left out."""
    header = raw.partition(b"\n\n")[0].decode("utf-8", "surrogateescape").split("\n")
    at = next(i for i, line in enumerate(header) if line.startswith("author "))
    found: dict[str, str] = {}
    for who, line in (("author", header[at]), ("committer", header[at + 1])):
        front, _, when = line.rpartition("> ")
        email = front.partition(" <")[2]
        zone = when.partition(" ")[2]
        if email:
            found[f"{who}_email"] = email
        if zone != _ZONE:
            found[f"{who}_zone"] = zone
    if len(header) > at + 2:
        found["signature"] = "\n".join(header[at + 2 :])
    return found


# -- in --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Plan:
    """What an import brings, judged and ready to land.

    Attributes:
        before: the state that it continues.
        known: how many lines were in the log already.
        records: what is new.
        tip: the commit it ends with; None if nothing is new.
        kept: the packs that were written, until :func:`land`.
    """

    before: CoordinationState
    known: int = 0
    records: list[Record] = field(default_factory=list)
    tip: str | None = None
    kept: Kept = field(default_factory=Kept)

    def after(self) -> CoordinationState:
        """The state once it has landed."""
        return self.before.after(self.records)


def plan(
    journal: Journal, space: str, lines: Iterable[bytes], *, write: bool = True, progress: Progress | None = None
) -> Plan:
    """Judges an export, line by line, as what the log of ``space`` here begins with or continues with.

    Args:
        write: write the objects too (no ref names them before :func:`land`); False leaves the repository alone.
        progress: called with the number of lines now and then.

    Raises:
        BadImport: the first line that is damaged, out of order, a repetition, of another space, not what is here, or
            refused by the law or the admission.
    """
    reader = _Reader(journal, space, write)
    number = 0
    for number, line in enumerate(lines, 1):
        reader.take(number, line)
        if progress is not None and number % _STEP == 0:
            progress(number)
    if number == 0:
        raise BadImport(1, "there is nothing in it")
    reader.flush()
    return reader.plan


def land(journal: Journal, space: str, planned: Plan) -> None:
    """Moves the log to the end of what was planned, all of it or nothing.

    Raises:
        Contention: somebody appended meanwhile; nothing was appended here.
        Refused, RemoteUnreachable, GitFailed: by the remote. Importing the same again is safe.
    """
    if planned.tip is None:
        return
    old = planned.before.commit
    with planned.kept:
        if journal.remote is None:
            moved = journal.store.move(space, old, planned.tip, "import")
        else:
            moved = journal.space(space).advance(old, planned.tip)
    if not moved:
        raise Contention(f"{space}: somebody else appended meanwhile; nothing was imported")


class _Reader:
    """Takes the lines of one import, in order."""

    def __init__(self, journal: Journal, space: str, write: bool) -> None:
        self.space = space
        self.plan = Plan(journal.space(space).state())
        self._store = journal.store
        self._settings = journal.settings()
        self._judge_extension = journal.judge_extension
        self._write = write
        self._now = int(time.time())
        self._lines_of: dict[str, int] = {}  # commit to the line that names it
        self._next: int | None = None  # the Seq that is due
        self._parent: Commit | None = None
        self._exported: str | None = None  # the commit of the line before, as the line names it
        self._waiting: list[tuple[str, bytes]] = []
        self._waiting_bytes = 0

    def take(self, number: int, line: bytes) -> None:
        """Judges a line and keeps what it brings. Raises BadImport, and Refused if nothing may be appended at all."""
        doc = _parsed(number, line)
        self._check_place(number, doc)
        decision = {key: doc[key] for key in (*_DECISION, "reason", "meta") if key in doc}
        files = _files(number, doc)
        try:
            raw_line = canonical.dumps(decision)
            law.decision(raw_line)
            if text(seconds(doc["appended"])) != doc["appended"]:
                raise ValueError("appended is not a whole second")
            child, raw = self._built(doc, raw_line, files)
        except Refused as refusal:
            raise _refused_line(number, refusal) from None
        except ValueError as error:
            raise BadImport(number, f"damaged: {error}") from None
        known = self.plan.before.seq
        if doc["seq"] <= known:
            if self.plan.before.landed(doc["seq"]).commit != child.oid:
                here = f"{self.space}@{doc['seq']}"
                raise BadImport(number, f"{here} is another commit here: this is not the log that the file is of")
            self.plan.known += 1
        else:
            self._judge(number, child, len(raw))
            self.plan.records.append((child.oid, child.appended, child.appender, decision, child.lease))
            self.plan.tip = child.oid
            self._keep(raw, files)
        self._parent = child
        self._exported = doc["commit"]
        self._lines_of[doc["commit"]] = number
        self._next = doc["seq"] + 1

    def flush(self) -> None:
        """Writes what waits."""
        if self._write and self._waiting:
            self._store.add(self._waiting, self.plan.kept)
        self._waiting = []
        self._waiting_bytes = 0

    def _check_place(self, number: int, doc: dict[str, Any]) -> None:
        """Whether this is the decision that is due: of this space, not seen before, at the next Seq."""
        if doc["space"] != self.space:
            raise BadImport(number, f"a decision of space {doc['space']!r}, not of {self.space!r}")
        first = self._lines_of.get(doc["commit"])
        if first is not None:
            raise BadImport(number, f"repeats line {first}: the same commit {doc['commit']}")
        seq = doc["seq"]
        if self._next is not None:
            if seq != self._next:
                raise BadImport(number, f"out of order: expected Seq {self._next}, found Seq {seq}")
            return
        known = self.plan.before.seq
        if seq > known + 1:
            last = f"ends with Seq {known}" if known >= 0 else "is empty"
            raise BadImport(number, f"begins with Seq {seq}, but the log here {last}: what is between is missing")
        if seq > 0:
            commit = self.plan.before.landed(seq - 1).commit
            if len(commit) != len(doc["commit"]):
                raise BadImport(
                    number,
                    f"begins with Seq {seq} of a repository of another object format; export it from Seq 0 on",
                )
            found = self._store.object(commit, "commit")
            assert found is not None  # the state was folded from it
            self._parent = parse(commit, found[1])
            self._exported = commit

    def _built(self, doc: dict[str, Any], line: bytes, files: Mapping[str, bytes]) -> tuple[Commit, bytes]:
        """The commit of a line as this repository names it, and its bytes.

        Raises:
            ValueError: the line, behind the one before, does not build the commit that it names.
            Refused: that commit is no decision commit.
        """
        theirs = "sha1" if len(doc["commit"]) == 40 else "sha256"
        ours = self._store.hash_name
        raw = _raw(doc, line, files, self._exported, theirs, signed=True)
        oid = object_name(theirs, "commit", raw)
        if oid != doc["commit"]:
            raise ValueError(
                "this is not the commit that it says it is; the line was changed, or what comes before it was"
            )
        if theirs != ours:
            raw = _raw(doc, line, files, self._parent.oid if self._parent else None, ours, signed=False)
            oid = object_name(ours, "commit", raw)
        child = parse(oid, raw)
        child.files = tuple(_file(name, content, ours) for name, content in sorted(files.items()))
        return child, raw

    def _judge(self, number: int, child: Commit, size: int) -> None:
        admission.check_writable(self._settings)
        try:
            admission.check_size(child, size, self._settings)
            doc = law.check(self.space, self._parent, child)
            admission.check(doc, self._parent, child, self._now, self._settings, self._judge_extension)
        except Refused as refusal:
            raise _refused_line(number, refusal) from None

    def _keep(self, raw: bytes, files: Mapping[str, bytes]) -> None:
        """Has the objects of a commit written, many at a time."""
        if not self._write:
            return
        objects = [("blob", content) for content in files.values()]
        if files:
            objects.append(("tree", _tree(files, self._store.hash_name)))
        objects.append(("commit", raw))
        self._waiting += objects
        self._waiting_bytes += sum(len(content) for _, content in objects)
        if self._waiting_bytes > _FLUSH_BYTES or len(self._waiting) > _FLUSH_OBJECTS:
            self.flush()


def _refused_line(number: int, refusal: Refused) -> BadImport:
    place = f" at {refusal.place}" if refusal.place else ""
    return BadImport(number, f"{refusal.code}{place}: {refusal.what}", refusal)


def _parsed(number: int, line: bytes) -> dict[str, Any]:
    """The JSON object of a line, with the keys that an export writes, each of its type."""
    try:
        doc = json.loads(line.decode(), object_pairs_hook=_unique, parse_float=_refused, parse_constant=_refused)
    except json.JSONDecodeError as error:
        raise BadImport(number, f"damaged: not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError) as error:
        raise BadImport(number, f"damaged: not JSON of an export: {error}") from None
    if not isinstance(doc, dict):
        raise BadImport(number, "damaged: not a JSON object")
    missing = sorted(_REQUIRED - doc.keys())
    if missing:
        raise BadImport(number, f"damaged: {', '.join(missing)} missing")
    unknown = sorted(doc.keys() - _KNOWN)
    if unknown:
        raise BadImport(number, f"damaged: {', '.join(map(repr, unknown))[:200]} does not belong there")
    if type(doc["seq"]) is not int or doc["seq"] < 0:
        raise BadImport(number, "damaged: seq is not a number of 0 or more")
    if not _is_object_name(doc["commit"]):
        raise BadImport(number, "damaged: commit is not the name of a commit")
    for key in ("appender", "lease"):
        if not isinstance(doc.get(key, ""), str):
            raise BadImport(number, f"damaged: {key} is not text")
    more = doc.get("git", {})
    if not isinstance(more, dict) or not all(key in _GIT and isinstance(value, str) for key, value in more.items()):
        raise BadImport(number, f"damaged: git is not an object of {', '.join(_GIT)}")
    return doc


def _files(number: int, doc: dict[str, Any]) -> dict[str, bytes]:
    """The attachments of a line: name to content."""
    found: dict[str, bytes] = {}
    attached = doc.get("attachments", {})
    if not isinstance(attached, dict):
        raise BadImport(number, "damaged: attachments is not an object")
    for name, held in attached.items():
        match held:
            case {"text": str(held_text), **rest} if not rest:
                try:
                    found[name] = held_text.encode()
                except UnicodeEncodeError:
                    raise BadImport(number, f"damaged: the text of the attachment {name!r} is not Unicode") from None
            case {"base64": str(encoded), **rest} if not rest:
                try:
                    found[name] = base64.b64decode(encoded, validate=True)
                except (binascii.Error, ValueError):
                    raise BadImport(number, f"damaged: the attachment {name!r} is not base64") from None
            case _:
                raise BadImport(number, f"damaged: the attachment {name!r} is neither text nor base64")
    return found


def _raw(
    doc: dict[str, Any],
    line: bytes,
    files: Mapping[str, bytes],
    parent: str | None,
    hash_name: str,
    *,
    signed: bool,
) -> bytes:
    """The bytes of the commit of a line, behind ``parent``, in a repository of the object format ``hash_name``."""
    width = 40 if hash_name == "sha1" else 64
    tree = object_name(hash_name, "tree", _tree(files, hash_name)) if files else EMPTY_TREE[width]
    raw = build(
        tree,
        parent,
        doc["actor"],
        seconds(doc["at"]),
        doc["appender"],
        seconds(doc["appended"]),
        subject(doc["type"], doc["payload"]),
        line,
        doc["seq"],
        lease=doc.get("lease"),
    )
    more = doc.get("git")
    if not more:
        return raw
    header, _, message = raw.partition(b"\n\n")
    lines = header.decode("utf-8", "surrogateescape").split("\n")
    for at, who in ((-2, "author"), (-1, "committer")):
        front = lines[at].removesuffix(f" {_ZONE}").replace(" <>", f" <{more.get(f'{who}_email', '')}>")
        lines[at] = f"{front} {more.get(f'{who}_zone', _ZONE)}"
    if signed and "signature" in more:
        lines.append(more["signature"])
    return "\n".join(lines).encode("utf-8", "surrogateescape") + b"\n\n" + message


def _tree(files: Mapping[str, bytes], hash_name: str) -> bytes:
    return tree_of((name, object_name(hash_name, "blob", content)) for name, content in files.items())


def _file(name: str, content: bytes, hash_name: str) -> File:
    measured = Attachment.of(content)
    return File("100644", name, object_name(hash_name, "blob", content), measured.bytes, measured.sha256)


def _is_object_name(value: object) -> bool:
    return isinstance(value, str) and len(value) in EMPTY_TREE and not value.strip("0123456789abcdef")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _refused(token: str) -> Any:
    raise ValueError(f"the number {token[:40]} is not a plain integer")
