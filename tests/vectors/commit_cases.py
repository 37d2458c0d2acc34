"""Decision commits, byte by byte: what the law says about each (docs/format.md, "Commit" and "The law")."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_T = 1795341600  # 2026-11-22T10:00:00Z
_AT = "2026-11-22T10:00:00.000000Z"
_ID = "01935c2f-7b00-7000-8000-"


class File:
    """An attachment, or whatever else stands in a tree."""

    def __init__(self, content: bytes, name: str = "body", mode: str = "100644") -> None:
        self.content, self.name, self.mode = content, name, mode

    def oid(self, width: int) -> str:
        return _object_name("tree" if self.mode == "40000" else "blob", self.content, width)

    def json(self, width: int) -> dict[str, Any]:
        measured = self.mode in ("100644", "100755", "120000")
        return {
            "mode": self.mode,
            "name": self.name,
            "oid": self.oid(width),
            "size": len(self.content) if measured else 0,
            "sha256": hashlib.sha256(self.content).hexdigest() if measured else None,
            "content": self.content,
        }


def _object_name(kind: str, content: bytes, width: int) -> str:
    digest = hashlib.sha1 if width == 40 else hashlib.sha256
    return digest(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def _tree(files: tuple[File, ...], width: int) -> str:
    entries = [f"{file.mode} {file.name}\0".encode() + bytes.fromhex(file.oid(width)) for file in files]
    return _object_name("tree", b"".join(entries), width)


def _attachment(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _decision(number: int, kind: str, payload: Any, **more: Any) -> dict[str, Any]:
    """A decision; ``None`` takes a field out."""
    doc = {"actor": "alice", "at": _AT, "id": f"{_ID}{number:012x}", "payload": payload, "space": "garden"}
    doc |= {"type": kind, "v": 1} | more
    return {key: value for key, value in doc.items() if value is not None}


def _line(doc: Any) -> str:
    return json.dumps(doc, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _raw(
    subject: str,
    line: str,
    *,
    seq: str = "Seq: 0",
    tree: str,
    parent: str | None = None,
    author: str = f"alice <> {_T} +0000",
    committer: str = f"node-a <> {_T + 1} +0000",
    headers: str = "",
) -> bytes:
    up = f"parent {parent}\n" if parent else ""
    down = f"\n{seq}\n" if seq else ""
    head = f"tree {tree}\n{up}author {author}\ncommitter {committer}\n{headers}"
    return f"{head}\n{subject}\n\n{line}\n{down}".encode()


def trailers(seq: int, lease: str | None) -> str:
    return f"Seq: {seq}" + (f"\nLease: {lease}" if lease is not None else "")


class Log:
    """A log that grows by lawful decisions, each of which becomes a case."""

    def __init__(self, cases: list[dict[str, Any]], space: str = "garden", width: int = 40) -> None:
        self.cases, self.space, self.width = cases, space, width
        self.tip: dict[str, Any] | None = None
        self.seq = 0

    def add(
        self,
        name: str,
        subject: str,
        doc: dict[str, Any],
        files: tuple[File, ...] = (),
        about: str = "",
        lease: str | None = None,
        **more: str,
    ) -> bytes:
        more.setdefault("committer", f"node-a <> {_T + 1 + self.seq} +0000")
        parent = self.tip["oid"] if self.tip else None
        tree = _tree(files, self.width)
        raw = _raw(subject, _line(doc), seq=trailers(self.seq, lease), tree=tree, parent=parent, **more)
        self.cases.append(_case(name, self.space, raw, self.tip, files, about, self.width))
        self.cases[-1] |= {"accept": True, "seq": self.seq, "decision": doc}
        self.cases[-1] |= {"lease": lease} if lease is not None else {}
        self.tip = {"oid": _object_name("commit", raw, self.width), "commit": raw}
        self.seq += 1
        return raw


def _case(
    name: str,
    space: str,
    raw: bytes,
    parent: dict[str, Any] | None,
    files: tuple[File, ...] = (),
    about: str = "",
    width: int = 40,
) -> dict[str, Any]:
    return {
        "name": name,
        **({"about": about} if about else {}),
        "space": space,
        "object_format": "sha1" if width == 40 else "sha256",
        "parent": parent,
        "oid": _object_name("commit", raw, width),
        "commit": raw,
        "files": [file.json(width) for file in files],
    }


# -- what the law lets in --------------------------------------------------------------------------------------------

_SIGNATURE = "gpgsig -----BEGIN SSH SIGNATURE-----\n U1NIU0lHAAAAAQ\n -----END SSH SIGNATURE-----\n"


def _lawful() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []
    log = Log(cases)
    body = File(b"A longer text.\n")
    log.add(
        "alias-set",
        "alias-set: Home -> shardA:Index",
        _decision(0, "alias-set", {"alias": "Home", "target": "shardA:Index"}),
        about="the first decision of a log: no parent, Seq 0",
    )
    log.add("alias-cleared", "alias-cleared: Home", _decision(1, "alias-cleared", {"alias": "Home"}))
    log.add(
        "binding-made",
        "binding-made: shardA:Index = shardB:Home",
        _decision(2, "binding-made", {"members": ["shardA:Index", "shardB:Home"]}),
    )
    log.add(
        "merge-decided",
        "merge-decided: shardA:Index + shardB:Home -> shardA:Index",
        _decision(3, "merge-decided", {"into": "shardA:Index", "sources": ["shardA:Index", "shardB:Home"]}),
        about="`into` may be one of the sources",
    )
    log.add(
        "fork-made",
        "fork-made: shardA:Index @ r12 -> shardC:Index",
        _decision(4, "fork-made", {"fork": "shardC:Index", "source": "shardA:Index", "source_rev": "r12"}),
    )
    log.add(
        "fork-made without a revision",
        "fork-made: s:P -> s:P",
        _decision(5, "fork-made", {"fork": "s:P", "source": "s:P"}),
        about="also of itself: the law knows shapes, the fold knows what they mean",
    )
    log.add(
        "overlay-created",
        "overlay-created: o1 on shardA:Index @ r12 (15 bytes)",
        _decision(
            6,
            "overlay-created",
            {"base_rev": "r12", "body": _attachment(body.content), "overlay_id": "o1", "target": "shardA:Index"},
        ),
        (body,),
    )
    log.add(
        "overlay-created on an unwritten page",
        "overlay-created: o2 on s:New (0 bytes)",
        _decision(
            7,
            "overlay-created",
            {"base_rev": None, "body": _attachment(b""), "overlay_id": "o2", "target": "s:New"},
        ),
        (File(b""),),
        about="base_rev is null, the body is empty: an empty blob stands in the tree",
    )
    log.add(
        "overlay-revised",
        "overlay-revised: o1 @ r13 (4 bytes)",
        _decision(
            8,
            "overlay-revised",
            {"base_rev": "r13", "body": _attachment(b"\x00\xff\r\n"), "overlay_id": "o1"},
        ),
        (File(b"\x00\xff\r\n"),),
        about="a body is bytes, not text",
    )
    log.add(
        "overlay-closed",
        "overlay-closed: o1 applied @ r14",
        _decision(9, "overlay-closed", {"outcome": "applied", "overlay_id": "o1", "result_rev": "r14"}),
    )
    log.add(
        "overlay-closed, discarded",
        "overlay-closed: nobody-opened-it discarded",
        _decision(10, "overlay-closed", {"outcome": "discarded", "overlay_id": "nobody-opened-it"}),
        about="lawful, and void in the fold",
    )
    log.add(
        "decision-revoked",
        f"decision-revoked: {_ID}000000000000",
        _decision(11, "decision-revoked", {"decision": f"{_ID}000000000000"}),
    )
    log.add(
        "an id a second time",
        "alias-cleared: Home",
        _decision(1, "alias-cleared", {"alias": "Home"}),
        about="lawful, and void in the fold",
    )
    log.add(
        "extension",
        'x-acme-tag: {"n":-9007199254740991,"page":"s:P","tags":["a",null,true]}',
        _decision(12, "x-acme-tag", {"n": -9007199254740991, "page": "s:P", "tags": ["a", None, True]}),
    )
    log.add("extension with nothing", "x-a-b: {}", _decision(13, "x-a-b", {}))
    log.add(
        "extension with a control in its payload",
        'x-acme-tag: {"a":"\\n\\u{7f}\\u{202e}"}',
        _decision(14, "x-acme-tag", {"a": "\n\x7f\u202e"}),
        about="an extension's payload is any JSON of the model; what is no text is escaped in the subject",
    )
    log.add(
        "reason and meta",
        "alias-set: Home -> s:P",
        _decision(
            15,
            "alias-set",
            {"alias": "Home", "target": "s:P"},
            reason='It moved.\n\nSee the minutes; "Home" was wrong.',
            meta={"import.id": "7", "trace/x:1": "", "Z": "two\nlines"},
        ),
        about="keys of meta too are sorted by their bytes; a newline is \\n in the line",
    )
    log.add("empty meta", "alias-cleared: Home", _decision(16, "alias-cleared", {"alias": "Home"}, meta={}))
    log.add(
        "zones and emails",
        "alias-cleared: Home",
        _decision(17, "alias-cleared", {"alias": "Home"}),
        about="they carry no meaning",
        author=f"alice <alice@example.org> {_T} -0730",
        committer=f"node-a <any thing; at all, ü> {_T + 100} +9999",
    )
    log.add(
        "the same append time",
        "alias-cleared: Home",
        _decision(18, "alias-cleared", {"alias": "Home"}),
        committer=f"node-a <> {_T + 100} -0000",
    )
    log.add(
        "decided long before",
        "alias-cleared: Home",
        _decision(19, "alias-cleared", {"alias": "Home"}, at="1970-01-01T00:00:00.999999Z"),
        author="alice <> 0 +0000",
        committer=f"node-a <> {_T + 100} +0000",
        about="the author's time is `at`, rounded down; it may lie anywhere",
    )
    log.add(
        "decided after it was appended",
        "alias-cleared: Home",
        _decision(20, "alias-cleared", {"alias": "Home"}, at="9999-12-31T23:59:59.999999Z"),
        author="alice <> 253402300799 +0000",
        committer=f"node-a <> {_T + 100} +0000",
        about="the law has no clock: only the admission minds",
    )
    log.add(
        "signature",
        "alias-cleared: Home",
        _decision(21, "alias-cleared", {"alias": "Home"}),
        committer=f"node-a <> {_T + 100} +0000",
        headers=_SIGNATURE,
    )
    log.add(
        "signature of 16,384 bytes",
        "alias-cleared: Home",
        _decision(22, "alias-cleared", {"alias": "Home"}),
        committer=f"node-a <> {_T + 100} +0000",
        headers="gpgsig " + "x" * 993 + "\n" + (" " + "y" * 998 + "\n") * 15 + " " + "z" * 381 + "\n",
        about="counted with its header name, spaces and newlines",
    )
    for number, (alias, shown) in enumerate(
        (
            ("Home page", '"Home page"'),
            ('say "hi" \\o/', '"say \\"hi\\" \\\\o/"'),
            ("日本語 😀", '"日本語 😀"'),
            ("Cafe\u0301", "Cafe\u0301"),
            ("a" * 186, "a" * 182 + "…"),
            ("a" + "é" * 93, "a" + "é" * 90 + "…"),
            ("😀" * 100, "😀" * 45 + "…"),
        ),
        23,
    ):
        log.add(
            f"subject of {alias[:12]!r}" if len(alias) < 20 else f"subject cut, {len(alias.encode())} bytes",
            f"alias-cleared: {shown}",
            _decision(number, "alias-cleared", {"alias": alias}),
            committer=f"node-a <> {_T + 100} +0000",
        )
    log.add(
        "actor and appender in other scripts",
        "alias-cleared: Home",
        _decision(30, "alias-cleared", {"alias": "Home"}, actor="Ана 'Anna' (ops)"),
        author=f"Ана 'Anna' (ops) <> {_T} +0000",
        committer=f"узел-1 <> {_T + 100} +0000",
    )
    log.add(
        "actor of 200 bytes",
        "alias-cleared: Home",
        _decision(31, "alias-cleared", {"alias": "Home"}, actor="é" * 100),
        author=f"{'é' * 100} <> {_T} +0000",
        committer=f"node-a <> {_T + 100} +0000",
    )
    for space in ("Größe/1", "..", "CON", "x.lock", "%41", " ", "😀" * 20):
        Log(cases, space).add(
            f"space {space[:8]!r}",
            "alias-set: Home -> s:P",
            _decision(0, "alias-set", {"alias": "Home", "target": "s:P"}, space=space),
            about="80 bytes" if len(space) == 20 else "",
        )
    wide = Log(cases, width=64)
    wide.add(
        "SHA-256: alias-set",
        "alias-set: Home -> s:P",
        _decision(0, "alias-set", {"alias": "Home", "target": "s:P"}),
        about="in a repository of SHA-256 objects",
    )
    wide.add(
        "SHA-256: overlay-created",
        "overlay-created: o1 on s:P (15 bytes)",
        _decision(
            1,
            "overlay-created",
            {"base_rev": None, "body": _attachment(body.content), "overlay_id": "o1", "target": "s:P"},
        ),
        (body,),
    )
    wide.add(
        "SHA-256: signature",
        "alias-cleared: Home",
        _decision(2, "alias-cleared", {"alias": "Home"}),
        headers=_SIGNATURE.replace("gpgsig", "gpgsig-sha256"),
    )
    return cases


# -- what the law refuses --------------------------------------------------------------------------------------------


class _Refused:
    """Cases that are made from one lawful commit each, by changing something in its bytes."""

    def __init__(self, cases: list[dict[str, Any]], width: int = 40) -> None:
        self.cases = cases
        self.width = width
        spare: list[dict[str, Any]] = []
        log = Log(spare, width=width)
        log.add("parent", "alias-set: Home -> s:P", _decision(0, "alias-set", {"alias": "Home", "target": "s:P"}))
        self.parent = log.tip
        self.base = log.add(
            "base", "alias-set: Start -> s:P", _decision(1, "alias-set", {"alias": "Start", "target": "s:P"})
        ).decode()

    def add(
        self,
        code: str,
        name: str,
        old: str | None,
        new: str | bytes,
        *,
        parent: Any = "the base's",
        files: tuple[File, ...] = (),
        about: str = "",
        space: str = "garden",
    ) -> None:
        """The base with its one ``old`` (None: all of it) as ``new``."""
        if old is None:
            raw = new.encode() if isinstance(new, str) else new
        else:
            assert self.base.count(old) == 1, (name, old)
            before, after = self.base.encode().split(old.encode())
            raw = before + (new.encode() if isinstance(new, str) else new) + after
        up = self.parent if parent == "the base's" else parent
        self.cases.append(_case(f"{code}: {name}", space, raw, up, files, about, self.width) | {"code": code})

    def line(self, code: str, name: str, line: str | bytes, about: str = "") -> None:
        """The base with another JSON line."""
        self.add(code, name, self.base.split("\n\n")[2], line, about=about)

    def doc(self, code: str, name: str, about: str = "", **change: Any) -> None:
        """The base with another decision; ``None`` takes a field out."""
        payload = {"alias": "Start", "target": "s:P"}
        kind = change.pop("type", "alias-set")
        self.line(code, name, _line(_decision(1, kind, **({"payload": payload} | change))), about)

    def payload(self, name: str, kind: str, payload: Any, about: str = "") -> None:
        self.doc("schema", f"{kind}, {name}", about, type=kind, payload=payload)


def _bad_commits(refused: _Refused) -> None:
    def bad(name: str, old: str | None, new: str | bytes, **more: Any) -> None:
        refused.add("bad-commit", name, old, new, **more)

    base = refused.base
    assert refused.parent is not None
    parent = f"parent {refused.parent['oid']}\n"
    tree = base[:45]
    line = base.split("\n\n")[2]
    seq = "\n\nSeq: 1\n"

    bad("nothing at all", None, "")
    bad("no headers", None, base.partition("\n\n")[2])
    bad("headers alone", None, base.partition("\n\n")[0] + "\n")
    bad("no message", None, base.partition("\n\n")[0] + "\n\n")
    bad("no tree", tree + "\n", "")
    bad("the tree's name cut short", tree, tree[:-1])
    bad("the tree's name too long", tree, tree + "0")
    bad("the tree's name in upper case", tree, "tree " + tree[5:].upper())
    bad("the tree's name no hex", tree, "tree " + "g" * 40)
    bad("the tree's name a revision", tree, "tree " + "refs/heads/main^{tree}".rjust(40, "x"))
    bad("a tree name of SHA-256", tree, "tree " + "0" * 64)
    bad("two trees", tree, f"{tree}\n{tree}")
    bad("the parent's name cut short", parent, parent[:-2] + "\n")
    bad("the parent's name in upper case", parent, "parent " + parent[7:].upper())
    bad("the parent's name no hex", parent, "parent " + "g" * 40 + "\n")
    bad("the parent before the tree", f"{tree}\n{parent}", f"{parent}{tree}\n")
    bad("no author", f"author alice <> {_T} +0000\n", "")
    bad("no committer", f"committer node-a <> {_T + 2} +0000\n", "")
    bad("neither", f"author alice <> {_T} +0000\ncommitter node-a <> {_T + 2} +0000\n", "")
    bad("two authors", "author alice", f"author alice <> {_T} +0000\nauthor alice")
    bad(
        "the committer before the author",
        f"author alice <> {_T} +0000\ncommitter node-a <> {_T + 2} +0000\n",
        f"committer node-a <> {_T + 2} +0000\nauthor alice <> {_T} +0000\n",
    )
    for who, name, other in (("author", "alice", f"<> {_T} +"), ("committer", "node-a", f"<> {_T + 2} +")):
        bad(f"{who} without a name", f"{who} {name} ", f"{who} ")
        bad(f"{who} with an empty name", f"{who} {name} ", f"{who}  ")
        bad(f"{who} with two spaces before the email", f"{name} <", f"{name}  <")
        bad(f"{who} without a < before the email", f"{name} <>", f"{name}>")
        bad(f"{who} with two spaces before the name", f"{who} {name}", f"{who}  {name}")
        bad(f"{who} with crud before the name", f"{who} {name}", f"{who} .{name}")
        bad(f"{who} with crud behind the name", f"{who} {name}", f"{who} {name},")
        bad(f"{who} with a hyphen for a name", f"{who} {name}", f"{who} -")
        bad(f"{who} with a semicolon in the name", f"{who} {name}", f"{who} {name};x")
        bad(f"{who} with < in the name", f"{who} {name}", f"{who} {name}<x")
        bad(f"{who} with > in the name", f"{who} {name}", f"{who} {name}>x")
        bad(f"{who} with a control in the name", f"{who} {name}", f"{who} {name}\x07x")
        bad(f"{who} with a bidirectional control in the name", f"{who} {name}", f"{who} {name}\u202ex")
        bad(f"{who} with a name of 201 bytes", f"{who} {name}", f"{who} " + "n" * 201)
        bad(f"{who} with a name that is not UTF-8", f"{who} {name}", f"{who} ".encode() + b"\xff\xfe")
        bad(f"{who} without an email", f"{name} {other}", f"{name} {other[3:]}")
        bad(f"{who} with < in the email", f"{name} <>", f"{name} <a<b>")
        bad(f"{who} with > in the email", f"{name} <>", f"{name} <a>b>")
        bad(f"{who} with > and a space in the email", f"{name} <>", f"{name} <a> b>")
        bad(f"{who} without a space behind the email", f"{name} <> ", f"{name} <>")
        bad(f"{who} with two spaces behind the email", f"{name} <> ", f"{name} <>  ")
        bad(f"{who} with a tab behind the email", f"{name} <> ", f"{name} <>\t")
        bad(f"{who} without a time", f"{name} {other}0000", f"{name} <> +0000")
        bad(f"{who} before 1970", f"{name} <> ", f"{name} <> -")
        bad(f"{who} with a plus before the time", f"{name} <> ", f"{name} <> +")
        bad(f"{who} with a leading zero in the time", f"{name} <> ", f"{name} <> 0")
        bad(f"{who} with a fraction in the time", f"{name} {other}", f"{name} {other[:-2]}.5 +")
        bad(f"{who} with a digit not of ASCII in the time", f"{name} <> ", f"{name} <> ١")
        bad(f"{who} after the year 9999", f"{name} {other}", f"{name} <> 253402300800 +")
        bad(f"{who} ages after the year 9999", f"{name} {other}", f"{name} <> 99999999999999999999 +")
        bad(f"{who} without a zone", f"{name} {other}0000", f"{name} {other[:-2]}")
        bad(f"{who} with a zone of three digits", f"{name} {other}0000", f"{name} {other}000")
        bad(f"{who} with a zone of five digits", f"{name} {other}0000", f"{name} {other}00000")
        bad(f"{who} with a zone without a sign", f"{name} {other}0000", f"{name} {other[:-1]}0000")
        bad(f"{who} with a zone that is a word", f"{name} {other}0000", f"{name} {other[:-1]}UTC")
        bad(f"{who} with a colon in the zone", f"{name} {other}0000", f"{name} {other}00:00")
        bad(f"{who} with a space behind the zone", f"{name} {other}0000", f"{name} {other}0000 ")
        bad(f"{who} with a carriage return", f"{name} {other}0000", f"{name} {other}0000\r")
        bad(f"{who} with a NUL in the email", f"{name} <>", f"{name} <\0>")
    end = f"<> {_T + 2} +0000\n"
    bad("an encoding", end, f"{end}encoding ISO-8859-1\n")
    bad("a mergetag", end, f"{end}mergetag object {'0' * 40}\n type commit\n")
    bad("an unknown header", end, f"{end}note x\n")
    bad("an unknown header before the author", "author alice", "note x\nauthor alice")
    bad("a continuation line", end, f"{end} more\n")
    bad("a signature of the other object format", end, end + _SIGNATURE.replace("gpgsig", "gpgsig-sha256"))
    bad("two signatures", end, end + _SIGNATURE + _SIGNATURE)
    bad("a header behind the signature", end, f"{end}{_SIGNATURE}note x\n")
    bad("a header before the signature", end, f"{end}note x\n{_SIGNATURE}")
    bad("a signature without a space", end, f"{end}gpgsig\n")
    bad(
        "a signature of 16,385 bytes",
        end,
        end + "gpgsig " + "x" * 993 + "\n" + (" " + "y" * 998 + "\n") * 15 + " " + "z" * 382 + "\n",
    )
    bad("a NUL in the signature", end, f"{end}gpgsig a\0b\n")

    bad("no newline at the end", seq, seq[:-1])
    bad("two newlines at the end", seq, seq + "\n")
    bad("a blank line more before the subject", "\n\nalias-set: S", "\n\n\nalias-set: S")
    bad("a blank line more before the JSON", f"\n\n{line}", f"\n\n\n{line}")
    bad("a blank line more before the trailers", seq, "\n" + seq)
    bad("no blank line before the JSON", f"\n\n{line}", f"\n{line}")
    bad("no blank line before the trailers", seq, "\nSeq: 1\n")
    bad("a subject of two lines", "alias-set: Start", "alias-set:\nStart")
    bad("JSON on two lines", f"\n{line}\n", "\n" + line.replace(",", ",\n", 1) + "\n")
    bad("only a subject", f"\n\n{line}{seq}", "\n")
    bad("a subject and a blank line", f"\n\n{line}{seq}", "\n\n")
    bad("carriage returns", None, base.replace("\n", "\r\n"))
    bad("a paragraph behind the trailers", seq, seq + "\nSigned-off-by: alice\n")
    bad("a paragraph before the trailers", seq, "\n\nnote" + seq)
    bad("Seq in lower case", seq, "\n\nseq: 1\n")
    bad("no space behind the colon", seq, "\n\nSeq:1\n")
    bad("two spaces behind the colon", seq, "\n\nSeq:  1\n")
    bad("no number", seq, "\n\nSeq: \n")
    bad("a leading zero", seq, "\n\nSeq: 01\n")
    bad("a sign", seq, "\n\nSeq: +1\n")
    bad("a negative number", seq, "\n\nSeq: -1\n")
    bad("hex", seq, "\n\nSeq: 0x1\n")
    bad("a digit not of ASCII", seq, "\n\nSeq: ١\n")
    bad("a space behind the number", seq, "\n\nSeq: 1 \n")
    bad("a carriage return behind the number", seq, "\n\nSeq: 1\r\n")
    bad("a Seq of 16 digits", seq, "\n\nSeq: 1000000000000000\n")
    bad("a trailer that is not Seq", seq, "\n\nSigned-off-by: alice\n")
    bad("a trailer behind Seq", seq, "\n\nSeq: 1\nSigned-off-by: alice\n")
    bad("the reserved trailer Signature", seq, "\n\nSeq: 1\nSignature: x\n")
    bad("Seq twice", seq, "\n\nSeq: 1\nSeq: 1\n")
    bad("Lease before Seq", seq, "\n\nLease: -; term=0\nSeq: 1\n")
    bad("Lease without Seq", seq, "\n\nLease: -; term=1\n", about="an intent has no trailers at all")
    bad("Lease twice", seq, "\n\nSeq: 1\nLease: -; term=1\nLease: -; term=1\n")
    bad("no space behind Lease:", seq, "\n\nSeq: 1\nLease:-; term=1\n")
    bad("a trailer behind Lease", seq, "\n\nSeq: 1\nLease: -; term=0\nNote: x\n")
    bad("a Lease that is not UTF-8", seq, b"\n\nSeq: 1\nLease: \xff\n")


def _bad_lines(refused: _Refused) -> None:
    doc = _decision(1, "alias-set", {"alias": "Start", "target": "s:P"})
    line = _line(doc)
    refused.line("bad-json", "an empty line", "")
    refused.line("bad-json", "a word", "hello")
    refused.line("bad-json", "cut short", line[:-1])
    refused.line("bad-json", "behind it something more", line + "{}")
    refused.line("bad-json", "a key twice", line.replace('"v":1', '"v":1,"v":1'))
    refused.line("bad-json", "a key twice in the payload", line.replace('"target"', '"alias":"x","target"'))
    refused.line("bad-json", "not UTF-8", line.encode().replace(b"Start", b"St\xffrt"))
    refused.line("bad-json", "a lone surrogate", line.replace("Start", "St\\ud800rt"))
    refused.line("bad-json", "a fraction", line.replace('"v":1', '"v":1.0'))
    refused.line("bad-json", "an integer out of range", line.replace('"v":1', '"v":9007199254740992'))
    refused.line("bad-json", "a raw control", line.replace("Start", "St\trt"))
    refused.line("bad-json", "a byte order mark", "\ufeff" + line)
    refused.line("bad-json", "a key beyond ASCII", line.replace('"v":1', '"v":1,"é":1'))
    refused.line(
        "bad-json",
        "65 levels, counted from the decision itself",
        _line(_decision(1, "x-acme-tag", {"a": 0})).replace('"a":0', '"a":' + "[" * 63 + "]" * 63),
    )
    refused.line("not-canonical", "a space", line.replace('":', '": ', 1))
    refused.line("not-canonical", "a space behind", line + " ")
    refused.line("not-canonical", "a carriage return behind", line + "\r")
    refused.line("not-canonical", "keys out of order", _line({"v": 1})[:-1] + "," + line[1:].replace(',"v":1', ""))
    refused.line("not-canonical", "escapes that are not needed", line.replace("Start", "\\u0053tart"))
    refused.line("not-canonical", "an escaped solidus", line.replace("s:P", "s:\\/P"))
    refused.line(
        "not-canonical",
        "an extension's payload out of order",
        _line(_decision(1, "x-acme-tag", {"a": 1})).replace('{"a":1}', '{"b":1,"a":1}'),
    )


def _bad_schemas(refused: _Refused) -> None:
    page = {"alias": "Start", "target": "s:P"}
    body = _attachment(b"x")
    opened = {"base_rev": None, "body": body, "overlay_id": "o1", "target": "s:P"}
    for name, line in (("null", "null"), ("an array", "[]"), ("a string", '"x"'), ("an empty object", "{}")):
        refused.line("schema", name, line)
    for key in ("actor", "at", "id", "payload", "space", "type", "v"):
        refused.doc("schema", f"no {key}", "", **{key: None})
    refused.doc("schema", "a key more", note="x")
    refused.doc("schema", "actor empty", actor="")
    refused.doc("schema", "actor no text", actor=1)
    refused.doc("schema", "actor with a semicolon", actor="a;b")
    refused.doc("schema", "actor with crud", actor="alice.")
    refused.doc("schema", "actor a hyphen", actor="-")
    refused.doc("schema", "at without a fraction", at="2026-11-22T10:00:00Z")
    refused.doc("schema", "at in another zone", at="2026-11-22T10:00:00.000000+00:00")
    refused.doc("schema", "at on no day", at="2026-02-29T10:00:00.000000Z")
    refused.doc("schema", "at a number", at=_T)
    refused.doc("schema", "id in upper case", id=f"{_ID}00000000000A")
    refused.doc("schema", "id of version 4", id="01935c2f-7b00-4000-8000-000000000001")
    refused.doc("schema", "payload an array", payload=[])
    refused.doc("schema", "space empty", space="")
    refused.doc("schema", "space of 81 bytes", space="s" * 81)
    refused.doc("schema", "type no text", type=1)
    refused.doc("schema", "v true", v=True)
    refused.doc("schema", "v text", v="1")
    refused.doc("schema", "v 0", v=0)
    refused.doc("schema", "v 2", v=2, about="a reader says that it needs a later version")
    refused.doc("schema", "v 2 and much that version 1 does not know", v=2, type="page-moved", payload=[], more=1)
    refused.line(
        "schema",
        "reason null",
        _line(_decision(1, "alias-set", page)).replace('"space"', '"reason":null,"space"'),
    )
    refused.doc("schema", "reason empty", reason="")
    refused.doc("schema", "reason with a tab", reason="a\tb")
    refused.doc("schema", "reason with a carriage return", reason="a\r\nb")
    refused.doc("schema", "reason of 10,001 bytes", reason="r" * 10_001)
    refused.doc("schema", "meta an array", meta=[])
    refused.doc("schema", "meta of a number", meta={"a": 1})
    refused.doc("schema", "meta of an object", meta={"a": {}})
    refused.doc("schema", "meta with a space in its key", meta={"a b": "c"})
    refused.doc("schema", "meta with a newline in its key", meta={"a\n": "c"})
    refused.doc("schema", "meta with an empty key", meta={"": "c"})
    refused.doc("schema", "meta with a control", meta={"a": "\x07"})
    refused.doc("schema", "meta of 2,001 bytes", meta={"a": "m" * 2001})

    refused.payload("no alias", "alias-set", {"target": "s:P"})
    refused.payload("no target", "alias-set", {"alias": "Start"})
    refused.payload("alias empty", "alias-set", page | {"alias": ""})
    refused.payload("alias with a newline at its end", "alias-set", page | {"alias": "Start\n"})
    refused.payload("alias with a right-to-left override", "alias-set", page | {"alias": "St\u202ert"})
    refused.payload("alias of 401 bytes", "alias-set", page | {"alias": "a" * 401})
    refused.payload("alias of 402 bytes and 201 characters", "alias-set", page | {"alias": "é" * 201})
    refused.payload("target null", "alias-set", page | {"target": None})
    refused.payload("target of 2,001 bytes", "alias-set", page | {"target": "p" * 2001})
    refused.payload("a key more", "alias-set", page | {"note": "x"})
    refused.payload("a target", "alias-cleared", page)
    refused.payload("one member", "binding-made", {"members": ["s:P"]})
    refused.payload("a member twice", "binding-made", {"members": ["s:P", "s:Q", "s:P"]})
    refused.payload("a member empty", "binding-made", {"members": ["s:P", ""]})
    refused.payload("a member an array", "binding-made", {"members": ["s:P", []]})
    refused.payload("members an object", "binding-made", {"members": {"a": "b"}})
    refused.payload("members text", "binding-made", {"members": "ab"})
    refused.payload("no sources", "merge-decided", {"into": "s:P", "sources": []})
    refused.payload("a source twice", "merge-decided", {"into": "s:P", "sources": ["s:Q", "s:Q"]})
    refused.payload("no into", "merge-decided", {"sources": ["s:Q"]})
    refused.payload("into an array", "merge-decided", {"into": ["s:P"], "sources": ["s:Q"]})
    refused.payload("no fork", "fork-made", {"source": "s:P"})
    refused.payload("source_rev null", "fork-made", {"fork": "s:Q", "source": "s:P", "source_rev": None})
    refused.payload("no base_rev", "overlay-created", {k: v for k, v in opened.items() if k != "base_rev"})
    refused.payload("base_rev empty", "overlay-created", opened | {"base_rev": ""})
    refused.payload("base_rev a number", "overlay-created", opened | {"base_rev": 1})
    refused.payload("body text", "overlay-created", opened | {"body": "x"})
    refused.payload("body without bytes", "overlay-created", opened | {"body": {"sha256": body["sha256"]}})
    refused.payload("body of bytes true", "overlay-created", opened | {"body": body | {"bytes": True}})
    refused.payload("body of -1 bytes", "overlay-created", opened | {"body": body | {"bytes": -1}})
    refused.payload("body with upper-case hex", "overlay-created", opened | {"body": body | {"sha256": "A" * 64}})
    refused.payload("body with no hex", "overlay-created", opened | {"body": body | {"sha256": "h" * 64}})
    refused.payload("body with 63 digits", "overlay-created", opened | {"body": body | {"sha256": "a" * 63}})
    refused.payload("body with a newline", "overlay-created", opened | {"body": body | {"sha256": "a" * 63 + "\n"}})
    refused.payload("body with a key more", "overlay-created", opened | {"body": body | {"name": "x"}})
    refused.payload("a target", "overlay-revised", opened)
    refused.payload("outcome merged", "overlay-closed", {"outcome": "merged", "overlay_id": "o1"})
    refused.payload("outcome an array", "overlay-closed", {"outcome": ["applied"], "overlay_id": "o1"})
    refused.payload("no outcome", "overlay-closed", {"overlay_id": "o1"})
    refused.payload("result_rev null", "overlay-closed", {"outcome": "applied", "overlay_id": "o1", "result_rev": None})
    refused.payload("a commit for the id", "decision-revoked", {"decision": "0" * 40})
    refused.payload("a Seq for the id", "decision-revoked", {"decision": 7})
    lease = {"holder": "node-a", "ttl": 300}
    refused.payload("no holder", "lease-acquired", {"ttl": 300})
    refused.payload("no ttl", "lease-acquired", {"holder": "node-a"})
    refused.payload("ttl 0", "lease-acquired", lease | {"ttl": 0})
    refused.payload("ttl true", "lease-acquired", lease | {"ttl": True})
    refused.payload("ttl text", "lease-acquired", lease | {"ttl": "300"})
    refused.payload("ttl of more than a year", "lease-acquired", lease | {"ttl": 31_536_001})
    refused.payload("holder a hyphen", "lease-acquired", lease | {"holder": "-"})
    refused.payload("holder with a semicolon", "lease-acquired", lease | {"holder": "node;a"})
    refused.payload("holder of 201 bytes", "lease-acquired", lease | {"holder": "n" * 201})
    refused.payload("a token", "lease-acquired", lease | {"token": "5f0c"})
    refused.payload("no holder", "lease-released", {})
    refused.payload("a ttl", "lease-released", lease)
    refused.payload("no reason", "intent-refused", {"decision": f"{_ID}000000000000"})
    refused.payload("no decision", "intent-refused", {"reason": "too late"})
    refused.payload("reason empty", "intent-refused", {"decision": f"{_ID}000000000000", "reason": ""})
    refused.payload("a commit for the id", "intent-refused", {"decision": "0" * 40, "reason": "too late"})

    long = "x-" + "a" * 97 + "-b"
    for kind in ("", "alias", "Alias-set", "alias-set ", "x-acme", "x-Acme-tag", "x-acme-tag\n", "lease-renewed", long):
        refused.doc("unknown-type", f"{kind[:20]!r}", type=kind)


def _bad_places(refused: _Refused) -> None:
    base = refused.base
    assert refused.parent is not None
    parent = f"parent {refused.parent['oid']}\n"
    other = "parent " + "1" * 40 + "\n"
    refused.add("merge", "two parents", parent, parent + other)
    refused.add("merge", "the same parent twice", parent, parent + parent)
    refused.add("merge", "three parents", parent, parent + other + other)
    refused.add("not-fast-forward", "another parent", parent, other)
    refused.add("not-fast-forward", "no parent, where the log has a tip", parent, "")
    refused.add("not-fast-forward", "a parent, where there is no log yet", parent, parent, parent=None)
    refused.add(
        "not-fast-forward",
        "before what the line says",
        None,
        base.replace(parent, other).replace('"v":1', '"v":2'),
        about="the first rule that is broken gives the code",
    )

    refused.doc("wrong-space", "another space", space="orchard")
    refused.doc("wrong-space", "in another case", space="Garden")
    refused.doc("wrong-space", "the spelling of the ref", space="%67arden")
    refused.add("wrong-space", "another ref", "Seq: 1", "Seq: 1", space="orchard")

    seq = "\n\nSeq: 1\n"
    refused.add("seq", "an intent", seq, "\n", about="an intent has no trailers, and no place in a log")
    refused.add("seq", "the parent's own", seq, "\n\nSeq: 0\n")
    refused.add("seq", "one too many", seq, "\n\nSeq: 2\n")
    refused.add("seq", "far off", seq, "\n\nSeq: 999999999999999\n")
    refused.add("seq", "a first decision with Seq 1", parent, "", parent=None)

    refused.add("author", "another name", "author alice", "author bob")
    refused.add("author", "another case", "author alice", "author Alice")
    refused.add("author", "another time", f"author alice <> {_T}", f"author alice <> {_T + 1}")
    refused.doc("author", "rounded up", at="2026-11-22T10:00:01.000000Z")
    refused.doc("author", "rounded, not cut", at="2026-11-22T09:59:59.999999Z")
    refused.add(
        "author",
        "in another normal form",
        None,
        base.replace("author alice", "author Caf\u00e9").replace('"actor":"alice"', '"actor":"Cafe\u0301"'),
    )

    start = "\n\nalias-set: Start -> s:P\n"
    refused.add("subject", "another type", start, "\n\nalias-cleared: Start\n")
    refused.add("subject", "another page", start, "\n\nalias-set: Start -> s:Q\n")
    refused.add("subject", "empty", start, "\n\n\n")
    refused.add("subject", "a space behind", start, "\n\nalias-set: Start -> s:P \n")
    refused.add("subject", "a space before", start, "\n\n alias-set: Start -> s:P\n")
    refused.add("subject", "quoted without need", start, '\n\nalias-set: "Start" -> s:P\n')
    refused.add("subject", "not UTF-8", start, b"\n\nalias-set: Start -> s:P\xff\n")
    refused.add("subject", "a NUL", start, "\n\nalias-set: Start -> s:P\0\n")
    long = _line(_decision(1, "alias-cleared", {"alias": "a" * 300}))
    for name, subject in (
        ("not cut", "alias-cleared: " + "a" * 300),
        ("cut one too early", "alias-cleared: " + "a" * 181 + "…"),
        ("cut without the ellipsis", "alias-cleared: " + "a" * 185),
        ("cut with three dots", "alias-cleared: " + "a" * 182 + "..."),
    ):
        refused.add("subject", name, None, base.replace(start, f"\n\n{subject}\n").replace(base.split("\n\n")[2], long))

    refused.add(
        "time", "one second before the parent", f"node-a <> {_T + 2}", f"node-a <> {_T}", about="the parent: one later"
    )
    refused.add("time", "in 1970", f"node-a <> {_T + 2}", "node-a <> 0")


def _bad_trees(refused: _Refused) -> None:
    assert refused.parent is not None
    parent: str = refused.parent["oid"]
    content = b"A longer text.\n"

    def tree(name: str, files: tuple[File, ...], declared: bytes | None = content, about: str = "") -> None:
        if declared is None:
            doc = _decision(1, "alias-cleared", {"alias": "Home"})
            subject = "alias-cleared: Home"
        else:
            payload = {"base_rev": None, "body": _attachment(declared), "overlay_id": "o1", "target": "s:P"}
            doc = _decision(1, "overlay-created", payload)
            subject = f"overlay-created: o1 on s:P ({len(declared)} bytes)"
        raw = _raw(
            subject,
            _line(doc),
            seq="Seq: 1",
            tree=_tree(files, 40),
            parent=parent,
            committer=f"node-a <> {_T + 2} +0000",
        )
        refused.add("attachment", name, None, raw, files=files, about=about)

    tree("declared and not there", ())
    tree("there and not declared", (File(content),), None)
    tree("under another name", (File(content, "Body"),))
    tree("one file more", (File(content), File(b"", "note")))
    tree("one file more before it", (File(b"", "a"), File(content)))
    tree("twice", (File(content), File(content)))
    tree("executable", (File(content, mode="100755"),))
    tree("group-writable", (File(content, mode="100664"),), about="as old versions of git wrote it")
    tree("a symbolic link", (File(content, mode="120000"),))
    tree("a directory", (File(b"", mode="40000"),))
    tree("other content of the same length", (File(b"A shorter text\n"),))
    tree("one byte less", (File(content[:-1]),))
    tree("one byte more", (File(content + b"\n"),))
    tree("empty", (File(b""),))
    tree("not empty", (File(content),), b"")
    tree("several files that are not declared", (File(b"1", "README"), File(b"2", "src")), None)


def _refusals() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []
    refused = _Refused(cases)
    _bad_places(refused)
    _bad_commits(refused)
    _bad_lines(refused)
    _bad_schemas(refused)
    _bad_trees(refused)
    wide = _Refused(cases, 64)
    wide_end = f"<> {_T + 2} +0000\n"
    for code, name, old, new in (
        ("bad-commit", "SHA-256: a tree name of SHA-1", wide.base[:69], "tree " + _tree((), 40)),
        ("bad-commit", "SHA-256: a parent name of SHA-1", wide.base[70:142], "parent " + "1" * 40 + "\n"),
        ("bad-commit", "SHA-256: a signature of the other object format", wide_end, wide_end + _SIGNATURE),
        ("not-fast-forward", "SHA-256: another parent", wide.base[70:142], "parent " + "1" * 64 + "\n"),
    ):
        wide.add(code, name, old, new)
    return cases


def document(more: list[dict[str, Any]]) -> dict[str, Any]:
    """The cases of this file and ``more``."""
    cases = [*_lawful(), *_refusals(), *more]
    parents = {case["parent"]["oid"]: case["parent"]["commit"] for case in cases if case["parent"]}
    for case in cases:
        case["parent"] = case["parent"] and case["parent"]["oid"]
    return {
        "about": "docs/format.md, 'Commit' and 'The law'. Each case: may this commit follow that parent (null: it is "
        "the first) in the log of the space? accept with the decision, its seq and, where there is one, its lease; or "
        "the code, and for some cases the place that this implementation names with it. parents: the bytes of "
        "all parents, by object name. commit, parents and content are bytes: a string where they are UTF-8, else in "
        "base64. files: what the commit's tree holds; what is "
        "no file (40000) or has a mode of old (100664) is not measured.",
        "parents": parents,
        "cases": cases,
    }
