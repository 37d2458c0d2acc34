"""Hostile input: what is valid, taken from the test vectors, and mutations of it. Everything follows from a seed."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from . import oracle

VECTORS = oracle.SCHEMAS / "vectors"
LARGEST = 70_000  # bytes of one input: a little more than what the hook reads of a commit
ID = "01935c2f-7b00-7000-8000-00000000000"
AT = 1_795_341_600

# Pieces that mean something to git, to JSON, to a terminal, to a file system or to somebody's eyes.
PIECES: list[bytes] = [
    *(
        b"\0 \n \r \r\n \n\n \n\n\n \t \x1b[2J \x1b]0;x\x07 \x7f \xff \xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80".split(
            b" "
        )
    ),
    b" ",
    b"",
    b"\xef\xbb\xbf",
    b"\xc2\x9b31m",
    "\u202e".encode(),
    "\u2028".encode(),
    "\u200b".encode(),
    "e\u0301".encode(),
    "\u0430lice".encode(),  # looks like alice
    "\U000e0041".encode(),
    *rb'" \ \" \u0000 \ud800 \ud83d\ude00 \u0041 \/ {} [] {}{} , : null true NaN -Infinity'.split(b" "),
    *b"1.0 1e2 -0 01".split(b" "),
    b"9007199254740992",
    b"9" * 400,
    b"1" * 5000,
    b"[" * 70 + b"]" * 70,
    b"[" * 30_000,
    b'{"a":' * 2000,
    b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n",
    b"parent 17203c2758619d699b26f5f103ac0f1a6ca85cd1\n",
    b"parent \n",
    b"author alice <> 1795341600 +0000\n",
    b"committer node-a <> 253402300799 +0000\n",
    b"encoding ISO-8859-1\n",
    b"gpgsig x\n",
    b"gpgsig x\n y\n",
    b"gpgsig-sha256 x\n",
    b"mergetag object\n x\n",
    b"HG:extra x\n",
    b"Seq: 0\n",
    b"\nSeq: 1\n",
    b"Seq: 99999999999999999999\n",
    b"Lease: -; term=1\n",
    b"Lease: node-a/5f0c; term=1; ttl=300; until=2026-11-22T10:05:00Z\n",
    b"Signature: x\n",
    b"Signed-off-by: x <x>\n",
    b"remote: ok\n",
    b"0000",
    b"../../../etc/passwd",
    b"refs/spaces/x",
    b"$(reboot)",
    b"%s%n",
    b"<",
    b">",
    b" <> ",
]

TEXTS: list[str] = [
    *[
        "a",
        "Home",
        "shardA:Index",
        "é",
        "é",
        "ﬁ",
        "а",
        "Ａ",
        "İ",
        "ß",
        "😀",
        "\U000e0041",
        "\ufeff",
        "\u200b",
        "\u202e",
        "\u2028",
        "\x1b[2J",
        "\x9b2J",
        "\x7f",
    ],
    *[
        ".",
        "..",
        ".lock",
        "a.lock",
        "-",
        "--",
        "~",
        "^",
        ":",
        "?",
        "*",
        "[",
        "@{",
        "\\",
        "/",
        "//",
        "../..",
        "CON",
        "x;y",
        "<x>",
        "x>",
        "'x",
        '"x',
        "x,",
        "remote:",
    ],
    "",
    " ",
    " a",
    "a b",
    "a\nb",
    "a\r\nb",
    "a\0b",
    "\n",
    *("x" * n for n in (80, 81, 200, 201, 400, 401, 2000, 2001, 10_001)),
    *("é" * n for n in (40, 41, 100, 101, 200, 201, 1000, 1001)),
    "😀" * 60,
    "9007199254740993",
    ID + "1",
    ID.replace("-7", "-4", 1) + "1",
    "2026-11-22T10:00:00.000000Z",
    "2026-02-29T10:00:00.000000Z",
    "1969-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-11-22T10:00:60.000000Z",
    "x-acme-tag",
    "x-Acme-tag",
    "alias-moved",
    "discarded",
    "null",
]
SCALARS: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    300,
    31_536_001,
    2**53 - 1,
    -(2**53) + 1,
    2**53,
    10**30,
    1.0,
    1e300,
]


@dataclass(frozen=True)
class Step:
    """A commit that is to follow another in the log of a space. ``files`` are those of its tree, None for no tree;
    ``width`` the hex digits of an object's name: 40 or 64."""

    space: str
    parent_oid: str | None
    parent: bytes | None
    raw: bytes
    files: tuple[dict[str, Any], ...] | None
    width: int = 40

    def read(self) -> oracle.Read:
        return oracle.Read(self.raw, self.width)

    def parent_read(self) -> oracle.Read | None:
        return None if self.parent is None else oracle.Read(self.parent, self.width)


def content(of: Any) -> bytes:
    return of.encode() if isinstance(of, str) else base64.b64decode(of["base64"])


@cache
def _read(name: str) -> Any:
    return json.loads((VECTORS / name).read_text("utf-8"))


@cache
def steps() -> tuple[Step, ...]:
    """The commits of the vectors, lawful and not."""
    page = _read("commits.json")
    parents = {oid: content(raw) for oid, raw in page["parents"].items()}
    return tuple(
        Step(
            case["space"],
            case["parent"],
            None if case["parent"] is None else parents[case["parent"]],
            content(case["commit"]),
            None if case["files"] is None else tuple(case["files"]),
            40 if case["object_format"] == "sha1" else 64,
        )
        for case in page["cases"]
        if len(content(case["commit"])) < LARGEST
    )


@cache
def lawful() -> tuple[Step, ...]:
    """Those that the oracle's law lets in, and a third of them once more as in a repository of SHA-256."""
    found = [step for step in steps() if _is_lawful(step)]
    twins = [_twin(step) for step in found[::3] if step.width == 40]
    return (*found, *filter(_is_lawful, twins))  # a signature at its limit is too long under its longer name


def _twin(step: Step) -> Step:
    """The step with the names of another object format: made-up ones, but for that of the empty tree."""

    def renamed(oid: str) -> str:
        return oracle.EMPTY[64] if oid == oracle.EMPTY[40] else hashlib.sha256(oid.encode()).hexdigest()

    def twin(raw: bytes) -> bytes:
        head, blank, rest = raw.partition(b"\n\n")
        head = re.sub(rb"(?m)^(tree|parent) (.{40})$", lambda m: m[1] + b" " + renamed(m[2].decode()).encode(), head)
        return head.replace(b"\ngpgsig ", b"\ngpgsig-sha256 ") + blank + rest

    oid, parent = step.parent_oid, step.parent
    return replace(
        step,
        parent_oid=oid and renamed(oid),
        parent=parent and twin(parent),
        raw=twin(step.raw),
        width=64,
    )


def _is_lawful(step: Step) -> bool:
    try:
        oracle.law(step.space, step.parent_read(), step.parent_oid, step.raw, measured(step), step.width)
    except oracle.Fault:
        return False
    return True


def measured(step: Step) -> Any:
    if step.files is None:
        return None
    return [(file["mode"], file["name"], file["size"], file["sha256"]) for file in step.files]


@cache
def lines() -> tuple[bytes, ...]:
    """Lines of JSON: those of the vectors, and those of their commits."""
    found = [content(case["json"]) for case in _read("canonical.json")["cases"] if "json" in case]
    return (*found, *(step.raw.split(b"\n\n")[2] for step in lawful()))


@cache
def trailers() -> tuple[bytes, ...]:
    found = {step.read().lease for step in lawful()} - {None}
    return tuple(sorted(lease.encode() for lease in found if lease is not None))


@cache
def refs() -> tuple[bytes, ...]:
    page = _read("refs.json")
    found = [f"refs/spaces/{case['ref']}" for case in page["spaces"]]
    for key in ("not_spellings", "refs", "sequenced", "intents"):
        found += [ref if ref.startswith("refs/") else f"refs/spaces/{ref}" for ref in (c["ref"] for c in page[key])]
    return tuple(ref.encode("utf-8", "surrogatepass") for ref in found)


# -- mutations of bytes ------------------------------------------------------------------------------------------------


def shaken(rng: Random, raw: bytes, others: tuple[bytes, ...]) -> bytes:
    """A few places of ``raw`` changed: bytes, pieces, spans left out, doubled or moved, and spans of others."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        a = rng.randrange(len(raw) + 1)
        b = min(len(raw), a + rng.choice((0, 1, 1, 2, 5, 40, 400)))
        match rng.randrange(9):
            case 0:
                raw = raw[:a] + bytes([rng.randrange(256)]) + raw[a + 1 :]
            case 1 | 2:
                raw = raw[:a] + rng.choice(PIECES) + raw[b:]
            case 3:
                raw = raw[:a] + raw[b:]
            case 4:
                raw = raw[:b] + raw[a:b] * rng.choice((1, 1, 2, 50)) + raw[b:]
            case 5:
                at = rng.randrange(len(raw) + 1)
                raw = raw[:at] + raw[a:b] + raw[at:]
            case 6:
                other = rng.choice(others)
                at = rng.randrange(len(other) + 1)
                raw = raw[:a] + other[at : at + rng.choice((1, 5, 40, 400))] + raw[b:]
            case 7:
                kept = raw.split(b"\n")
                rng.shuffle(kept) if rng.randrange(3) == 0 else kept.insert(rng.randrange(len(kept)), rng.choice(kept))
                raw = b"\n".join(kept)
            case 8 if a < len(raw):
                raw = raw[:a] + bytes([raw[a] ^ 1 << rng.randrange(8)]) + raw[a + 1 :]
    return raw[:LARGEST]


# -- mutations that know what a commit is ------------------------------------------------------------------------------


def dressed(rng: Random, step: Step) -> Step:
    """The commit with another decision or other stamps, right in everything else as far as that can be: most faults
    would otherwise hide behind an earlier one."""
    read = step.read()
    doc = json.loads(read.json)
    actor, authored, subject = read.actor.encode(), str(read.authored).encode(), b""
    appender, appended, seq, lease = read.appender.encode(), read.appended, read.seq, read.lease
    email, zone, headers, tail, parent, line = b"", b"+0000", b"", b"", step.parent_oid, b""
    space, files = step.space, step.files
    match rng.randrange(15):
        case 0 | 1 | 2 | 3:
            doc = altered(rng, doc)
        case 4:
            doc["at"] = rng.choice([_at(rng, read.appended), *TEXTS])
        case 5:
            appended = rng.choice([0, read.appended - 1, read.appended + 60, read.appended + 9999, oracle.LAST_SECOND])
            appended = rng.choice([appended, oracle.LAST_SECOND + 1, -1])
        case 6:
            zone = rng.choice([b"-1200", b"+9999", b"+0530", b"UTC", b"+00000", b"+000", b"-0000", "+٠٠٠٠".encode()])
            email = rng.choice([b"", b"a@b", b"\x1b[2J", b"\xff", b"<", b">", b"\0", b"x" * 5000])
        case 7:
            name = rng.choice(TEXTS)
            doc["actor"] = name
            appender = rng.choice([appender, name.encode()])
        case 8:
            seq = rng.choice([None, 0, 1, (seq or 0) + 1, 10**15 - 1, 10**15])
        case 9:
            lease = rng.choice([None, "-; term=1", "-; term=01", *(trailer.decode() for trailer in trailers())])
            lease = lease and shaken(rng, lease.encode(), trailers()).decode("utf-8", "replace").replace("\n", " ")
        case 10:
            headers = rng.choice(PIECES[-26:]) * rng.choice([1, 1, 2, 2000])
        case 11:
            tail = rng.choice(PIECES)
        case 12:
            space = rng.choice([text for text in TEXTS if oracle.is_space(text)])
            doc["space"] = rng.choice([space, space, doc["space"]])
        case 13:
            parent = rng.choice([None, "1" * step.width, "1" * (104 - step.width), step.parent_oid])
        case 14:
            files = _measured_otherwise(rng, files or ())
    try:
        line = line or oracle.canonical(doc).encode("utf-8", "surrogatepass")
    except (TypeError, KeyError, AttributeError):
        line = json.dumps(doc, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
    try:
        subject = oracle.subject(oracle.decision(line))
        actor, authored = doc["actor"].encode(), str(oracle.seconds(doc["at"])).encode()
    except oracle.Fault:
        subject = read.subject
    if rng.randrange(20) == 0:
        subject = rng.choice(
            [subject + b".", subject[:-1], read.subject, b"", subject.upper(), shaken(rng, subject, lines())]
        )
    if rng.randrange(40) == 0:
        actor, authored = rng.choice(
            [(b"mallory", authored), (actor, b"0"), (actor, b"253402300799"), (actor, b"0" + authored)]
        )
    raw = b"tree %b\n" % read.tree.encode() + (b"parent %b\n" % parent.encode() if parent else b"")
    raw += b"author %b <%b> %b %b\n" % (actor, email, authored, zone)
    raw += b"committer %b <%b> %d %b\n" % (appender, email, appended, zone) + headers
    raw += b"\n%b\n\n%b\n" % (subject, line)
    raw += b"" if seq is None else b"\nSeq: %d\n" % seq + (b"" if lease is None else b"Lease: %b\n" % lease.encode())
    return replace(step, space=space, raw=(raw + tail)[:LARGEST], files=files)


def _measured_otherwise(rng: Random, files: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...] | None:
    """Other files in the tree than are declared."""
    usual = {"mode": "100644", "name": "body", "oid": "3" * 40, "size": 3, "sha256": "0" * 64}
    if not files or rng.randrange(3) == 0:
        return rng.choice([None, (), (usual,), (*files, usual), (*files, *files), files[:-1]])
    key = rng.choice(["mode", "name", "size", "sha256"])
    values = {"mode": ["100755", "120000", "160000", "40000"], "name": TEXTS, "size": [0, 1, 2**40], "sha256": [None]}
    return ({**files[0], key: rng.choice(values[key])}, *files[1:])


def _at(rng: Random, second: int) -> str:
    second = rng.choice(
        [second - 100, second + 60, second + 61, 0, oracle.LAST_SECOND, rng.randrange(oracle.LAST_SECOND)]
    )
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=min(second, oracle.LAST_SECOND))
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f".{rng.choice(('000000', '999999', '0'))}Z"


def altered(rng: Random, doc: Any) -> Any:
    """``doc`` with something else at some place, a place more or a place less."""
    places = list(_places(doc))
    path = rng.choice(places)
    value = _value(rng, 3)
    match rng.randrange(5):
        case 0 if path:
            return _without(doc, path)
        case 1 if path and isinstance(path[-1], str):
            return _put(
                doc, (*path[:-1], rng.choice([*TEXTS, "alias", "v", "body", "reason", "meta", "source_rev"])), value
            )
        case 2:
            return _put(doc, ("reason",), rng.choice(TEXTS))
        case _:
            return _put(doc, path, value) if path else doc


def _value(rng: Random, depth: int) -> Any:
    match rng.randrange(12):
        case 0 if depth:
            return [_value(rng, depth - 1) for _ in range(rng.randrange(4))]
        case 1 if depth:
            return {rng.choice(TEXTS): _value(rng, depth - 1) for _ in range(rng.randrange(3))}
        case 2:
            return ["a", *rng.choices(TEXTS, k=rng.choice((1, 2, 30)))]
        case 3 if depth:
            deep: Any = 1
            for _ in range(rng.choice((60, 61, 62, 63, 64, 65, 200))):
                deep = [deep] if rng.randrange(2) else {"a": deep}
            return deep
        case 4:
            return rng.choice(SCALARS)
        case _:
            return rng.choice(TEXTS)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Any:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*path, key))


def _put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = _put(value[path[0]] if len(path) > 1 else None, path[1:], new)
    return copied


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    copied = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1:
        del copied[path[0]]
    else:
        copied[path[0]] = _without(value[path[0]], path[1:])
    return copied


# -- one input of each kind --------------------------------------------------------------------------------------------


def a_commit(rng: Random) -> Step:
    step = rng.choice(lawful())
    if rng.randrange(3):
        return dressed(rng, step)
    others = steps()
    raw = shaken(rng, step.raw, (rng.choice(others).raw,))
    return replace(step, raw=raw)


def an_intent(rng: Random) -> Step:
    """A commit without its trailers, mostly; its stamps carry no meaning then."""
    step = a_commit(rng)
    head, found, _ = step.raw.rpartition(b"\n\nSeq: ")
    return replace(step, raw=head + b"\n") if found and rng.randrange(8) else step


def a_line(rng: Random) -> bytes:
    line = rng.choice(lines())
    return shaken(rng, line, (rng.choice(lines()),))


def a_trailer(rng: Random) -> bytes:
    return shaken(rng, rng.choice(trailers()), trailers())[:5000]


def a_ref(rng: Random) -> bytes:
    ref = rng.choice(refs())
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(ref) + 1)
        piece = rng.choice([b"%", b"%2F", b"%2f", b"%00", b"/", b".", b"..", b".lock", b"A", *PIECES[:30]])
        ref = ref[:at] + piece + ref[at + rng.randrange(2) :]
    return rng.choice([ref, ref, ref, b"refs/heads/" + ref, ref.replace(b"spaces", b"append"), ref.swapcase()])


def a_tree(rng: Random) -> bytes:
    modes = (
        b"100644",
        b"100755",
        b"120000",
        b"40000",
        b"160000",
        b"0100644",
        b"100664",
        b"",
        b"-1",
        b"100644 ",
        b"9" * 50,
    )
    names = (b"body", b"", b".git", b"..", b"a/b", b"body ", b"\xff", b"\x1b[2J", b"BODY", b".GIT", b"x" * 3000)
    entries = [
        rng.choice((modes[0], rng.choice(modes)))
        + b" "
        + rng.choice((names[0], rng.choice(names)))
        + b"\0"
        + rng.randbytes(20)
        for _ in range(rng.choice((0, 1, 1, 2, 3, 9, 40)))
    ]
    raw = b"".join(entries)
    return raw if rng.randrange(2) or not raw else shaken(rng, raw, (raw,))


def a_conversation(rng: Random) -> bytes:
    """pkt-lines, as git would send them to proc-receive, and not."""
    out = b""
    for _ in range(rng.choice((0, 1, 2, 5, 200))):
        payload = rng.choice(
            [
                b"version=1\0push-options atomic\n",
                b"%b %b %b\n" % (b"0" * 40, rng.choice((b"1", b"0", b"g")) * 40, a_ref(rng)),
                rng.choice(PIECES),
            ]
        )
        out += rng.choice(
            [b"%04x" % (len(payload[:65_516]) + 4), b"0000", b"0001", b"fff0", b"-001", b" 12 ", b"zzzz", b"00"]
        )
        out += payload[:65_516]
    return out + rng.choice([b"0000", b"0000", b"", b"00"])


def updates(rng: Random) -> bytes:
    """What git writes to pre-receive, and not."""
    found = b""
    for _ in range(rng.choice((0, 1, 2, 20))):
        found += b"%b %b %b\n" % (b"0" * 40, rng.choice((b"1" * 40, b"0" * 40, b"x")), a_ref(rng))
    return found if rng.randrange(2) else shaken(rng, found, (found,))


KINDS: tuple[tuple[str, int, Callable[[Random], Any]], ...] = (
    ("commit", 50, a_commit),
    ("intent", 10, an_intent),
    ("line", 14, a_line),
    ("ref", 10, a_ref),
    ("trailer", 6, a_trailer),
    ("tree", 4, a_tree),
    ("conversation", 3, a_conversation),
    ("updates", 3, updates),
)
