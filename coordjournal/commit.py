"""The decision commit, format 1: read from and written to the bytes of a git commit (docs/format.md, "Commit").

    tree, at most one parent, author (the actor), committer (the appender), at most one signature
    <blank>  subject  <blank>  JSON line  <blank>  Seq: n  [Lease: ...]

Every byte counts: the message is read with ``git cat-file``, never with ``git log`` or ``rev-list --header``, which
trim and re-encode. This module is on the hook's hot path: it imports nothing heavy.
"""

from .canonical import dumps
from .errors import Refused
from .text import FORBIDDEN, is_ident
from .timestamp import DIGITS_AS_0, LAST_SECOND

SUBJECT_BYTES = 200
SIGNATURE_BYTES = 16_384
_LF, _NUL, _LESS, _GREATER = b"\n\0<>"  # numbers: ``b"x" in data`` takes three times the time of ``0x78 in data``
_HEX = b"0123456789abcdef"
EMPTY_TREE = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}  # git's empty tree in SHA-1 and SHA-256 repositories, by the length of an object name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


class File:
    """An entry of a commit's tree as it was measured: ``sha256`` is None where the content was too large to read."""

    __slots__ = ("mode", "name", "oid", "sha256", "size")

    def __init__(self, mode: str, name: str, oid: str, size: int, sha256: "str | None") -> None:
        self.mode = mode
        self.name = name
        self.oid = oid
        self.size = size
        self.sha256 = sha256


class Commit:
    """A decision commit, taken apart but not yet judged by the law.

    ``authored`` and ``appended`` are seconds since 1970. ``seq`` is None for an intent, which has no place in a log
    yet. ``files`` are the measured entries of the tree: none for the empty tree; for another tree whoever reads the
    commit measures them, and None stays where that is no tree of a few files.
    """

    __slots__ = (
        "actor",
        "appended",
        "appender",
        "authored",
        "files",
        "lease",
        "line",
        "oid",
        "parent",
        "seq",
        "subject",
        "tree",
    )

    oid: str
    tree: str
    parent: "str | None"
    actor: str
    authored: int
    appender: str
    appended: int
    subject: bytes
    line: bytes
    seq: "int | None"
    lease: "str | None"
    files: "tuple[File, ...] | None"

    @classmethod
    def unread(cls, oid: str) -> "Commit":
        """A commit too large to be read: it has a name and nothing else."""
        commit = cls()
        commit.oid = oid
        commit.seq = commit.lease = None
        commit.parent = None
        commit.appended = 0
        commit.files = ()
        return commit


def parse(oid: str, raw: bytes) -> Commit:
    """The commit of the bytes ``raw``, whose object name is ``oid``.

    Raises:
        Refused: ``merge``, or ``bad-commit`` with the header or line that format 1 does not allow.
    """
    header, _, message = raw.partition(b"\n\n")
    lines = header.split(b"\n")
    commit = Commit()
    commit.oid = oid
    commit.tree = _object_name(lines[0], b"tree ", len(oid))
    commit.files = () if commit.tree == EMPTY_TREE.get(len(oid)) else None
    at = 1
    commit.parent = None
    while at < len(lines) and lines[at].startswith(b"parent "):
        if commit.parent is not None:
            raise Refused("merge", "a merge commit", "header parent", "append decisions one after the other, unmerged")
        commit.parent = _object_name(lines[at], b"parent ", len(oid))
        at += 1
    if len(lines) < at + 2:
        raise _bad("the author or the committer is missing", "header")
    commit.actor, commit.authored = _ident(lines[at], b"author ")
    commit.appender, commit.appended = _ident(lines[at + 1], b"committer ")
    if len(lines) > at + 2:
        _check_signature(lines[at + 2 :], len(oid))
    if _NUL in header:
        raise _bad("a NUL byte", "header")

    parts = message.split(b"\n\n")
    if not 2 <= len(parts) <= 3 or _LF in parts[0] or parts[-1][-1:] != b"\n":
        raise _bad(
            "the message is not a subject, a JSON line and the trailers, with one blank line between them", "message"
        )
    commit.subject = parts[0]
    commit.seq = commit.lease = None
    if len(parts) == 2:
        commit.line = parts[1][:-1]
    else:
        commit.line = parts[1]
        commit.seq, commit.lease = _trailers(parts[2][:-1])
    if _LF in commit.line:
        raise _bad("the JSON is not on one line", "message")
    return commit


def build(
    tree: str,
    parent: "str | None",
    actor: str,
    authored: int,
    appender: str,
    appended: int,
    subject: str,
    line: bytes,
    seq: "int | None",
    email: str = "",
    lease: "str | None" = None,
) -> bytes:
    """The bytes of a decision commit; the inverse of :func:`parse`. Without ``seq`` it is an intent."""
    head = f"tree {tree}\n" + (f"parent {parent}\n" if parent else "")
    head += f"author {actor} <{email}> {authored} +0000\n"
    head += f"committer {appender} <{email}> {appended} +0000\n"
    trailers = "" if seq is None else f"\nSeq: {seq}\n" + (f"Lease: {lease}\n" if lease is not None else "")
    return f"{head}\n{subject}\n\n".encode() + line + f"\n{trailers}".encode()


def tree_of(files: "Iterable[tuple[str, str]]") -> bytes:
    """The content of a tree of plain files, each a name and the name of its blob."""
    return b"".join(f"100644 {name}\0".encode() + bytes.fromhex(oid) for name, oid in sorted(files))


def subject(kind: str, payload: "Mapping[str, Any]") -> str:
    """The subject line of a decision of type ``kind``: what ``git log --oneline`` shows is what was decided.

    Docs: docs/format.md, "Subject". ``payload`` has passed the schema of its type.
    """
    q = _quoted
    p = payload
    if kind == "alias-set":
        body = f"{q(p['alias'])} -> {q(p['target'])}"
    elif kind == "alias-cleared":
        body = q(p["alias"])
    elif kind == "binding-made":
        body = " = ".join(map(q, p["members"]))
    elif kind == "merge-decided":
        body = " + ".join(map(q, p["sources"])) + f" -> {q(p['into'])}"
    elif kind == "fork-made":
        body = f"{q(p['source'])}{_at(p.get('source_rev'))} -> {q(p['fork'])}"
    elif kind == "overlay-created":
        body = f"{q(p['overlay_id'])} on {q(p['target'])}{_at(p['base_rev'])} ({p['body']['bytes']} bytes)"
    elif kind == "overlay-revised":
        body = f"{q(p['overlay_id'])}{_at(p['base_rev'])} ({p['body']['bytes']} bytes)"
    elif kind == "overlay-closed":
        body = f"{q(p['overlay_id'])} {p['outcome']}{_at(p.get('result_rev'))}"
    elif kind == "decision-revoked":
        body = p["decision"]
    elif kind == "lease-acquired":
        body = f"{q(p['holder'])} for {p['ttl']} s"
    elif kind == "lease-released":
        body = q(p["holder"])
    elif kind == "intent-refused":
        body = f"{p['decision']} ({_one_line(p['reason'])})"
    else:
        body = _escaped(dumps(payload).decode())
    return cut(f"{kind}: {body}".encode()).decode()


def _quoted(field: str) -> str:
    """A field as it is, or as a JSON string where a space, a quote or a backslash would blur where it ends."""
    if " " in field or '"' in field or "\\" in field:
        return '"' + field.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return field


def _at(revision: "str | None") -> str:
    return "" if revision is None else f" @ {_quoted(revision)}"


def _one_line(reason: str) -> str:
    return reason.replace("\n", " ")


def _escaped(text: str) -> str:
    """Extension payloads may hold any character; in a subject those that are not text become ``\\u{hex}``."""
    if FORBIDDEN.isdisjoint(text):
        return text
    return "".join(f"\\u{{{ord(c):x}}}" if c in FORBIDDEN else c for c in text)


def cut(whole: bytes) -> bytes:
    """A subject as it is shown: cut to SUBJECT_BYTES bytes, behind a whole character."""
    if len(whole) <= SUBJECT_BYTES:
        return whole
    return (whole[: SUBJECT_BYTES - 3].decode(errors="ignore") + "…").encode()  # the ellipsis takes three bytes


def _bad(what: str, place: str) -> Refused:
    return Refused("bad-commit", what, place, "build the commit as docs/format.md draws it")


def _object_name(line: bytes, key: bytes, length: int) -> str:
    name = line[len(key) :]
    if not line.startswith(key) or len(name) != length or name.strip(_HEX):
        raise _bad(f"expected a line '{key.decode()}<object name of {length} lower-case hex digits>'", "header")
    return name.decode()


def _ident(line: bytes, key: bytes) -> "tuple[str, int]":
    """The name and the time of an author or committer line."""
    front, _, when = line.rpartition(b"> ")
    name, opened, email = front[len(key) :].partition(b" <")
    seconds, _, zone = when.partition(b" ")
    if (
        not line.startswith(key)
        or not opened
        or not seconds.isdigit()
        or (seconds[0] == 0x30 and seconds != b"0")
        or len(seconds) > 12
        or zone.translate(DIGITS_AS_0) not in (b"+0000", b"-0000")
        or _LESS in email
        or _GREATER in email
    ):
        expected = f"{key.decode()}<name> <email> <seconds> <zone>"
        raise _bad(f"expected a line '{expected}' with single spaces", _place(key))
    time = int(seconds)
    if time > LAST_SECOND:
        raise _bad("a time after the year 9999", _place(key))
    try:
        decoded = name.decode()
    except UnicodeDecodeError:
        decoded = ""
    if not is_ident(decoded):
        raise _bad("the name is not an ident (1 to 200 bytes that git keeps as they are)", _place(key))
    return decoded, time


def _place(key: bytes) -> str:
    return f"header {key.decode().strip()}"


def _check_signature(lines: "list[bytes]", length: int) -> None:
    """Nothing may follow the committer but one signature, of the kind that the object format has, last."""
    key = b"gpgsig " if length == 40 else b"gpgsig-sha256 "
    if not lines[0].startswith(key) or not all(line.startswith(b" ") for line in lines[1:]):
        shown = lines[0].partition(b" ")[0].decode("utf-8", "replace")
        raise _bad(f"the header {shown!r} after the committer", "header")
    if sum(map(len, lines)) + len(lines) > SIGNATURE_BYTES:
        raise _bad(f"a signature of more than {SIGNATURE_BYTES} bytes", "header gpgsig")


def _trailers(text: bytes) -> "tuple[int, str | None]":
    first, newline, second = text.partition(b"\n")
    number = first[5:]
    if (
        not first.startswith(b"Seq: ")
        or not number.isdigit()
        or (number[0] == 0x30 and number != b"0")
        or len(number) > 15
    ):
        raise _bad("the line after the JSON is not 'Seq: <number>'", "trailers")
    if not newline:
        return int(number), None
    if not second.startswith(b"Lease: ") or _LF in second:
        raise _bad("only a Lease trailer may follow the Seq trailer", "trailers")
    try:
        return int(number), second[7:].decode()
    except UnicodeDecodeError:
        raise _bad("the Lease trailer is not UTF-8", "trailers") from None
