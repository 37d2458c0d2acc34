"""The recogniser of plain steps: it says yes to most of a log, and never where the law or the admission says no."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from support import run
from test_accept import DECISIONS, HOSTILE, decided, line_of, places, put, without

from coordjournal import admission, law, plain, text, timestamp
from coordjournal.commit import EMPTY_TREE, Commit, File, build, parse, subject
from coordjournal.errors import Refused

VECTORS = Path(__file__).resolve().parents[1] / "schemas" / "vectors"
PARENT = "1" * 40
EMPTY = EMPTY_TREE[40]
TREE = "2" * 40
AT = 1_795_341_600  # that of the decisions of test_accept
BODY = hashlib.sha256(b"12 bytes are").hexdigest()
FILES = (File("100644", "body", "3" * 40, 12, BODY),)
KINDS = [doc["type"] for doc in DECISIONS if doc["type"].encode() in plain._PAYLOADS]


def commit_of(doc: Any, **change: Any) -> bytes:
    """The commit of a decision, lawful as far as ``doc`` is, but for what is changed."""
    payload = doc["payload"]
    parts: dict[str, Any] = {
        "tree": TREE if "body" in payload else EMPTY,
        "parent": PARENT,
        "actor": doc["actor"],
        "authored": AT,
        "appender": "node-a",
        "appended": AT + 9,
        "line": line_of(doc),
        "seq": 7,
    } | change
    if "subject" not in parts:
        parts["subject"] = subject(doc["type"], payload)
    return build(**parts)


def plainly(kind: str, **more: Any) -> dict[str, Any]:
    """A decision of that type as nearly all are: no ``meta``, no reason."""
    doc: dict[str, Any] = next(doc for doc in DECISIONS if doc["type"] == kind)
    doc = {key: value for key, value in doc.items() if key not in ("meta", "reason")}
    if "body" in doc["payload"]:
        doc = put(doc, ("payload", "body", "sha256"), BODY)
    return doc | more


def oid_of(raw: bytes, width: int = 40) -> str:
    return hashlib.new("sha1" if width == 40 else "sha256", b"commit %d\0" % len(raw) + raw).hexdigest()


def parent_of(found: plain.Plain, oid: str) -> Commit | None:
    """The parent that whoever follows would have to have."""
    if found[0] is None:
        return None
    parent = Commit.unread(found[0])
    parent.oid, parent.seq, parent.appended, parent.appender = found[0], found[1] - 1, 0, "node-a"
    if found[3] is not None:
        front, appender, ttl, until = found[3]
        parent.appended = min(found[2], until - 1) if ttl else found[2]
        parent.lease = front.decode() + (f"; until={timestamp.text(until)[:19]}Z" if ttl else "")
        parent.appender = appender.decode()
    return parent


def judged(
    space: str, parent: Commit | None, raw: bytes, files: tuple[File, ...], now: int = AT + 9, skew: int = 60
) -> tuple[Commit, dict[str, Any]]:
    """The commit and its decision, by the law and the admission. Raises Refused."""
    child = parse(oid_of(raw), raw)
    if child.files is None:
        child.files = files
    doc = law.check(space, parent, child)

    def extension(kind: str, payload: Any) -> None:
        raise Refused("undeclared-type", kind)

    admission.check(doc, parent, child, now, admission.Settings(clock_skew=skew), extension)
    return child, doc


def holds(read: Callable[[bytes], plain.Plain | None], raw: bytes, space: str = "garden") -> bool:
    """Whether the commit is plain; fails if the law or the admission has anything against it, or reads it otherwise."""
    found = read(raw)
    if found is None:
        return False
    body = found[4]
    files = () if body is None else (File("100644", "body", "3" * 40, body[1], body[2]),)
    lease = found[3]
    if lease is not None and lease[2] and not found[2] < lease[3] <= found[2] + lease[2]:
        return True  # no parent lets that follow, see test_what_follows
    try:
        child, doc = judged(space, parent_of(found, "x"), raw, files)
    except Refused as refusal:
        raise AssertionError(f"{raw!r} is plain: {refusal}") from None
    assert (child.parent, child.seq, child.appended) == found[:3]
    assert (child.tree == EMPTY) == (body is None)
    assert law.attachments(doc) == ({} if body is None else {"body": {"bytes": body[1], "sha256": body[2]}})
    assert body is None or body[0] == child.tree
    return True


@pytest.fixture(scope="module")
def read() -> Callable[[bytes], plain.Plain | None]:
    return plain.reader("garden", 40, AT + 69, 60)


def content(of: Any) -> bytes:
    return of.encode() if isinstance(of, str) else base64.b64decode(of["base64"])


def test_no_vector_is_plain_that_the_law_refuses() -> None:
    page = json.loads((VECTORS / "commits.json").read_text("utf-8"))
    parents = {oid: content(raw) for oid, raw in page["parents"].items()}
    yes = 0
    for case in page["cases"]:
        read = plain.reader(case["space"], len(case["oid"]))
        after = read(content(case["commit"]))
        before = None if case["parent"] is None else read(parents[case["parent"]])
        if after is None or (case["parent"] and not before) or not plain.follows(case["parent"], before, after):
            continue
        body = after[4]
        if body is not None:
            measured = [File(f["mode"], f["name"], f["oid"], f["size"], f["sha256"]) for f in case["files"]]
            if not plain.holds(measured, body):
                continue
        assert "accept" in case, case["name"]
        yes += 1
    assert yes >= 35


@pytest.mark.parametrize("kind", KINDS)
def test_a_decision_of_each_type_is_plain(kind: str, read: Callable[[bytes], plain.Plain | None]) -> None:
    doc = plainly(kind)
    assert holds(read, commit_of(doc))
    assert holds(read, commit_of(doc | {"reason": 'It is "so",\nand C:\\so.'}))
    assert holds(read, commit_of(doc, lease="-; term=3"))
    assert not holds(read, commit_of(doc | {"meta": {}}))
    meta = commit_of(doc | {"meta": {"a": "ß:,", "b": ""}})
    assert holds(read, meta)
    for other in (b'"b":"","a":"\xc3\x9f:,"', b'"a":"\xc3\x9f:,","a":""', b'"a":"","b":"\x01"', b'"a":"","b":1'):
        assert not holds(read, meta.replace(b'"a":"\xc3\x9f:,","b":""', other))
    assert not holds(read, commit_of(doc)[:-1] + b"\0")
    for path in places(doc["payload"]):
        if path and path[-1] in ("source_rev", "result_rev"):
            assert holds(read, commit_of(without(doc, ("payload", *path))))
        if path and path[-1] == "base_rev":
            assert holds(read, commit_of(put(doc, ("payload", *path), None)))
            assert holds(read, commit_of(put(doc, ("payload", *path), "r 9")))


def test_the_types_that_are_never_plain(read: Callable[[bytes], plain.Plain | None]) -> None:
    for doc in DECISIONS:
        if doc["type"] not in KINDS:
            doc = {key: value for key, value in doc.items() if key != "meta"}
            assert not holds(read, commit_of(doc))
    assert {doc["type"] for doc in DECISIONS} - set(KINDS) == {
        "lease-acquired",
        "lease-released",
        "intent-refused",
        "x-acme-tag",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_anything_in_any_place(kind: str, read: Callable[[bytes], plain.Plain | None]) -> None:
    """Every hostile value in every place of the payload and of the envelope, under the subject that fits it best."""
    doc = plainly(kind, reason="so", meta={"k": "v", "k.2": ""})
    yes = 0
    for path in places(doc):
        if not path:
            continue
        for value in HOSTILE:
            changed = put(doc, path, value)
            yes += holds(read, _dressed(changed, doc))
        if holds(read, _dressed(without(doc, path), doc)):
            assert path[-1] in ("reason", "meta", "k", "k.2", "source_rev", "result_rev", 0, 1)
        if isinstance(path[-1], str):
            for key in ("", "x", "actor", "alias", "body", "result_rev", "source_rev", "zz"):
                holds(read, _dressed(put(doc, (*path[:-1], key), "a"), doc))
    assert yes > 20


def _dressed(doc: Any, otherwise: dict[str, Any]) -> bytes:
    """The commit of a document that may be none: header and subject are its own as far as it has any."""
    change: dict[str, Any] = {}
    try:
        change["subject"] = subject(doc["type"], doc["payload"])
        change["subject"].encode()
    except (KeyError, TypeError, AttributeError, ValueError):
        change["subject"] = subject(otherwise["type"], otherwise["payload"])
    if isinstance(doc.get("actor"), str) and not set("\ud800\udfff") & set(doc["actor"]):
        change["actor"] = doc["actor"]
    with suppress(ValueError):
        change["authored"] = timestamp.seconds(doc.get("at"))
    return commit_of(otherwise, line=line_of(doc), **change)


@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_counts(kind: str, read: Callable[[bytes], plain.Plain | None]) -> None:
    """One byte after the other left out, doubled, or replaced by what means something somewhere."""
    doc = plainly(kind, actor="Éva ü", reason='a "b"\nc')
    raw = commit_of(doc, email="e@x", lease="-; term=3")
    assert holds(read, raw)
    yes = 0
    for at in range(len(raw)):
        yes += holds(read, raw[:at] + raw[at + 1 :])
        yes += holds(read, raw[:at] + raw[at : at + 1] + raw[at:])
        for byte in b'\0\n "\\,-0:<\x7f\x80\xc2':
            if byte != raw[at]:
                yes += holds(read, raw[:at] + bytes([byte]) + raw[at + 1 :])
    assert 20 < yes < len(raw) * 2  # an email, a zone, a reason, the tail of an id


ODD = ["a", "b", "s:P", "é 😀", '"', "\\", "a\nb", "\x7f", "\x85", "\u2028", "-", "a;", "<", "\ud800", "x" * 99]
texts = st.lists(st.sampled_from(ODD), min_size=1, max_size=3).map("".join) | st.text(min_size=1, max_size=3)


def mostly(good: list[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One of ``good``, now and then something odd: much in a commit has to be right before the rest is looked at."""
    usual = st.sampled_from(good)
    return st.integers(0, 12).flatmap(lambda n: usual if n else odd)


pages = mostly(["a", "b", "s:P", "r 9", "é" * 1000, "a" * 2000], texts | st.just("a" * 2001) | st.just("é" * 1001))
labels = mostly(["a", "é", "a b", "a" * 400, "é" * 200], texts | st.just("a" * 401) | st.just("é" * 201))
names = mostly(["alice", "Jörg M.x", "a" * 200, "é" * 100], texts | st.just("a" * 201))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("target", "into", "source", "fork", "source_rev", "result_rev"), pages),
    **dict.fromkeys(("alias", "overlay_id"), labels),
    **dict.fromkeys(("members", "sources"), st.lists(pages, min_size=2, max_size=3) | st.lists(pages, max_size=1)),
    "base_rev": pages | st.none(),
    "body": st.fixed_dictionaries(
        {"bytes": mostly([0, 12, 10**14], st.sampled_from([10**15, -1, 2**53])), "sha256": mostly([BODY], st.just("A"))}
    ),
    "outcome": mostly(["applied", "discarded"], st.just("lost")),
    "decision": mostly(["01935c2f-7b00-7000-8000-000000000001"], st.just("01935c2f-7b00-4000-8000-000000000001")),
}
PAYLOADS = {kind: st.fixed_dictionaries({key: FIELDS[key] for key in plainly(kind)["payload"]}) for kind in KINDS}


@settings(max_examples=150)
@given(st.data())
def test_what_is_plain_is_lawful(data: st.DataObject) -> None:
    """Documents shaped as the schemas want them, in commits that are nearly right."""
    kind = data.draw(st.sampled_from(KINDS))
    at = AT + data.draw(mostly([-100, 0, 60], st.just(70)))
    doc = plainly(kind, payload=data.draw(PAYLOADS[kind]), actor=data.draw(names), at=timestamp.text(at, 7))
    doc["space"] = space = data.draw(mostly(["garden", "é", "a b"], st.sampled_from(['a"b', "x" * 81])))
    reason = data.draw(mostly([None, "so", 'it "is"\n\\', "r" * 10_000], texts | st.just("r" * 10_001)))
    change = {
        "authored": at + data.draw(mostly([0], st.just(1))),
        "appended": AT + data.draw(mostly([0, 69], st.sampled_from([-100, 70]))),
        "appender": data.draw(names),
        "email": data.draw(mostly(["", "a@b", "é"], st.sampled_from(["\x01", "<", "\x85"]))),
        "lease": data.draw(mostly([None, "-; term=1"], st.sampled_from(["-; term=01", "n/5f0c; term=1; ttl=9"]))),
        "seq": data.draw(mostly([7, 10**15 - 2], st.sampled_from([0, 10**15]))),
    }
    try:
        raw = commit_of(doc if reason is None else doc | {"reason": reason}, **change)
    except UnicodeEncodeError:
        return
    found = holds(plain.reader(space, 40, AT + 69, 60), raw, space)
    event("plain" if found else "not plain")


@settings(max_examples=120)
@given(st.sampled_from(KINDS), st.data())
def test_pieces_of_a_commit_out_of_place(kind: str, data: st.DataObject) -> None:
    """Pieces left out, doubled and moved; and a few bytes at once."""
    raw = commit_of(plainly(kind, reason="so it is"), email="e@x")
    for _ in range(data.draw(st.integers(1, 2))):
        a, b = sorted((data.draw(st.integers(0, len(raw))), data.draw(st.integers(0, len(raw)))))
        to = data.draw(st.integers(0, len(raw)))
        pieces = [raw[a:b], b"", b"\n", b'"', b'","a":"', b"\xc2\x85"]
        piece = data.draw(st.sampled_from(pieces) | st.binary(max_size=3))
        raw = data.draw(st.sampled_from([raw[:to] + piece + raw[to:], raw[:a] + piece + raw[b:]]))
    holds(plain.reader("garden", 40, AT + 69, 60), raw)


HELD = "n/5f0c; term=1; ttl=30; until=2026-11-22T10:00:20Z"


def leases() -> st.SearchStrategy[str | None]:
    held = st.builds(
        "{}; term={}; ttl={}; until={}Z".format,
        st.sampled_from(["n/5f0c", "é/5f0c"]),
        st.integers(1, 2),
        st.sampled_from([20, 30]),
        st.integers(-25, 60).map(lambda after: timestamp.text(AT + after)[:19]),
    )
    return st.none() | st.sampled_from(["-; term=1", "-; term=2"]) | held


@settings(max_examples=200)
@given(
    st.sampled_from([6, 6, 6, 5, 7]),
    st.integers(-25, 25),
    st.integers(0, 25),
    st.sampled_from(["node-a"] * 4 + ["node-b"]),
    leases(),
    leases() | st.just("the same") | st.integers(-5, 40),
    st.sampled_from([0, 20, 60]),
)
@example(6, 0, 5, "node-a", HELD, 35, 60)  # renewed for as long as it may be
@example(6, 0, 5, "node-a", HELD, 36, 60)
@example(6, 0, 5, "node-a", HELD, 20, 60)  # left as it was
@example(6, 0, 5, "node-a", HELD, 19, 60)
@example(6, 0, 5, "node-b", HELD, 35, 60)
@example(6, 0, 19, "node-a", HELD, 20, 60)
@example(6, 0, 20, "node-a", HELD, 50, 60)  # it has ended
def test_what_follows(
    seq: int, before: int, later: int, appender: str, lease: str | None, then: "str | int | None", now: int
) -> None:
    """Two plain commits that may follow each other: the law and the admission say so too."""
    doc = plainly("alias-set")
    if then == "the same":
        then = lease
    elif isinstance(then, int):  # a renewal to that time
        then = lease and lease.partition("; until=")[0] + f"; until={timestamp.text(AT + before + then)[:19]}Z"
    raw = commit_of(doc, seq=seq, appended=AT + before, lease=lease)
    parent = parse(oid_of(raw), raw)
    child = commit_of(
        doc, parent=parent.oid, appended=AT + before + later, appender=appender, lease=then
    )
    read = plain.reader("garden", 40, AT + now, 60)
    one, other = read(raw), read(child)
    follows = one is not None and other is not None and plain.follows(parent.oid, one, other)
    try:
        judged("garden", parent, child, (), AT + now - 60)
        lawful = True
    except Refused:
        lawful = False
    assert lawful or not follows
    ended = lease is not None and "ttl" in lease and "ttl" not in str(then)
    if lawful and before + later <= now and not ended:
        assert follows  # the other way round too, but for what ends a lease


def test_a_root() -> None:
    read = plain.reader("garden", 40)
    doc = plainly("alias-set")
    lawful = read(commit_of(doc, parent=None, seq=0))
    assert lawful and plain.follows(None, None, lawful)
    for change in ({"seq": 1, "parent": None}, {"seq": 0, "parent": None, "lease": "-; term=1"}, {"seq": 0}):
        found = read(commit_of(doc, **change))
        assert found and not plain.follows(None, None, found)
        assert not plain.follows(PARENT, lawful, lawful)


@pytest.mark.parametrize(
    "files",
    [
        None,
        (),
        FILES * 2,
        (File("100755", "body", "3" * 40, 12, BODY),),
        (File("100644", "Body", "3" * 40, 12, BODY),),
        (File("100644", "body", "3" * 40, 13, BODY),),
        (File("100644", "body", "3" * 40, 12, None),),
    ],
)
def test_a_tree_that_is_not_as_declared(files: tuple[File, ...] | None) -> None:
    assert plain.holds(FILES, (TREE, 12, BODY))
    assert not plain.holds(files, (TREE, 12, BODY))
    assert not plain.holds(FILES, (TREE, 12, BODY[:-1] + "0"))


def test_the_bounds_of_the_admission() -> None:
    doc = plainly("alias-set")
    raw = commit_of(doc, appended=AT)
    assert plain.reader("garden", 40, AT, 0)(raw)
    assert not plain.reader("garden", 40, AT - 1, 0)(raw)
    ahead = commit_of(doc, appended=AT - 60)
    assert plain.reader("garden", 40, AT, 60)(ahead)
    assert not plain.reader("garden", 40, AT, 59)(ahead)
    assert plain.reader("garden", 40)(commit_of(doc, appended=0))
    assert not plain.reader("orchard", 40)(raw)
    assert not plain.reader("garden", 64)(raw)


def test_no_space_that_is_none_has_plain_steps() -> None:
    space = "x" * 81
    assert not plain.reader(space, 40)(commit_of(plainly("alias-set", space=space)))


def test_days_are_remembered_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_MOST_DAYS", 3)
    read = plain.reader("garden", 40)
    for day in [*range(8), 2, 7]:
        at = AT + day * 86_400
        doc = plainly("alias-set", at=timestamp.text(at))
        assert read(commit_of(doc, authored=at, appended=at))
        assert not read(commit_of(doc, authored=at + 1, appended=at + 1))


def test_texts_beyond_ascii() -> None:
    """The pattern of what is no text forbids what the table does, and nothing more."""
    read = plain.reader("garden", 40)
    beyond = [chr(c) for c in [*range(0x80, 0x3000), 0xFEFF, 0xFFFD, 0x1F600, 0x10FFFF]]
    for c in beyond:
        assert (read(commit_of(plainly("alias-cleared", payload={"alias": f"a{c}"}))) is None) == (c in text.FORBIDDEN)


def log(count: int, seed: int) -> Iterator[bytes]:
    """What wikis decide: mostly aliases, many of them with spaces, some in other scripts; a few odd ones."""
    rng = random.Random(seed)
    words = ["Home", "Main page", "index", "Große Straße", "目次", "Начало", "Café", "faq", "To do", "R&D"]
    weights = {"alias-set": 55, "alias-cleared": 5, "binding-made": 15, "merge-decided": 7, "fork-made": 8}
    weights |= {"overlay-created": 4, "overlay-revised": 1, "overlay-closed": 2, "decision-revoked": 2, "x-acme-tag": 1}
    for seq in range(count):
        kind = rng.choices(list(weights), list(weights.values()))[0]
        name, page, other = (f"{rng.choice(words)} {rng.randrange(99)}" for _ in range(3))
        doc = decided(kind, dict(next(doc for doc in DECISIONS if doc["type"] == kind)["payload"]))
        for key, value in (("alias", name), ("target", page), ("members", [page, "s:" + other]), ("source", page)):
            if key in doc["payload"]:
                doc["payload"][key] = value
        doc["actor"] = rng.choice(["alice", "Jörg Müller", "bot-7"])
        if rng.random() < 0.8:
            del doc["meta"]
        doc["reason"] = rng.choice(["moved", f'see "{page}"', f"in {other}:\nit is better", "wegen der Übersicht"])
        if rng.random() < 0.8:
            del doc["reason"]
        yield commit_of(doc, seq=seq + 1)


def test_most_of_a_log_is_plain(read: Callable[[bytes], plain.Plain | None]) -> None:
    commits = list(log(2000, 7))
    assert sum(holds(read, raw) for raw in commits) >= 0.95 * len(commits)


def test_a_repository_of_sha256() -> None:
    doc = plainly("alias-set")
    raw = commit_of(doc, parent="1" * 64, tree=EMPTY_TREE[64])
    found = plain.reader("garden", 64)(raw)
    assert found and found[0] == "1" * 64
    assert plain.reader("garden", 40)(raw) is None
    assert plain.reader("garden", 64)(commit_of(doc, parent="1" * 64)) is None
    assert plain.reader("garden", 64)(commit_of(doc, tree=EMPTY_TREE[64])) is None


def test_a_hostile_commit_takes_no_long_time(read: Callable[[bytes], plain.Plain | None]) -> None:
    """No pattern goes back and forth: each of these, as long as a commit may be, is left after about one pass."""
    long = "a" * 60_000
    doc = plainly("alias-set")
    members = [f"a{n}" for n in range(9_000)]
    hostile = [
        commit_of(doc, email=long + "\t"),
        commit_of(doc, appender="a" + " " * 60_000 + "a"),
        commit_of(doc, subject=long),
        commit_of(doc | {"reason": '\\"' * 15_000 + "\t"}),
        commit_of(doc | {"reason": long + "\t"}),
        commit_of(plainly("binding-made", payload={"members": [*members, "\t"]})),
        commit_of(doc, lease="a" * 60_000),
    ]
    start = time.process_time()
    assert [read(raw) for raw in hostile] == [None] * len(hostile)
    assert time.process_time() - start < 1


def test_only_long_chains_load_it() -> None:
    """``re`` costs as much as judging two hundred commits; test_architecture.py lists what a single push loads."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import coordjournal.chain; print('re' in sys.modules)"
    assert run(sys.executable, "-IS", "-c", program, str(VECTORS.parents[1])).stdout == "False\n"
