"""The pre-receive hook, by real pushes: every refusal code, and what a pusher might try to get around it."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pushing import (
    EMPTY_TREE,
    LOG,
    ZERO,
    Author,
    Pushed,
    Server,
    Told,
    at_text,
    attached,
    decision,
    git,
    interpreter,
    json_line,
    make_prefix,
    new_id,
    render_hook,
    space_ref,
    spoken,
    write_program,
)

from coordjournal.errors import Refused
from coordjournal.guard import explain
from coordjournal.text import printable

GARDEN = "refs/spaces/garden"
SAFE = set(range(0x20, 0x7F)) | set(range(0x80, 0x100)) | {0x0A}


@pytest.fixture(scope="session")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prefix(tmp_path_factory.mktemp("prefix"))


@pytest.fixture(scope="session")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return Author(tmp_path_factory.mktemp("author") / "author.git")


@pytest.fixture(scope="session")
def garden(author: Author) -> list[str]:
    """A log of three decisions."""
    return author.chain("garden", 3)


@pytest.fixture(scope="session")
def template(
    author: Author, garden: list[str], prefix: Path, tmp_path_factory: pytest.TempPathFactory
) -> Server:
    server = Server(tmp_path_factory.mktemp("server") / "server.git", prefix)
    assert author.push(server, f"{garden[1]}:{GARDEN}").landed
    return server


@pytest.fixture
def server(template: Server, tmp_path: Path) -> Server:
    """A server that holds the first two decisions of the log of ``garden``."""
    shutil.copytree(template.path, tmp_path / "server.git")
    copied = object.__new__(Server)
    copied.path = tmp_path / "server.git"
    copied.object_format = template.object_format
    copied.hook = copied.path / "hooks" / "pre-receive"
    return copied


def nothing_moved(server: Server, push: Callable[[], Pushed]) -> Pushed:
    """Pushes what is to be refused. Nothing on the server may move."""
    before = server.refs()
    pushed = push()
    assert not pushed.landed, pushed.said
    assert server.refs() == before
    for line in pushed.raw.replace(b"\r", b"\n").split(b"\n"):
        if line.startswith(b"remote:"):
            assert set(line) <= SAFE, line
            assert not any(0x80 <= ord(c) < 0xA0 for c in line.decode("utf-8", "replace")), line
    return pushed


def refused(server: Server, author: Author, *refspecs: str, placed: bool = True, **how: Any) -> list[Told]:
    """Pushes what is to be refused: the pusher reads what and where, and the refusal log says the same."""
    known = len(server.refusals())
    pushed = nothing_moved(server, lambda: author.push(server, *refspecs, **how))
    told = pushed.told
    assert told, pushed.said
    assert "nothing was changed" in pushed.said
    logged = server.refusals()[known:]
    assert pushed.incident
    assert {entry["incident"] for entry in logged} == {pushed.incident}
    assert [(t.ref, t.commit, t.seq, t.code, t.place, t.what) for t in told] == [
        (printable(e["ref"]), e["commit"], e["seq"], e["code"], printable(e["place"]), printable(e["what"]))
        for e in logged
    ]
    for one in told:
        assert one.commit and one.what and one.remedy and (one.place or not placed), pushed.said
    return told


def refused_as(
    server: Server, author: Author, commit: str, code: str, place: str, seq: int | None = 2, **how: Any
) -> Told:
    """Pushes one commit to ``garden`` that is to be refused with this code at this place and Seq."""
    [told] = refused(server, author, f"+{commit}:{GARDEN}", **how)
    assert (told.ref, told.commit, told.seq, told.code, told.place) == (GARDEN, commit, seq, code, place), told
    return told


def landed(server: Server, author: Author, commit: str, ref: str = GARDEN, **how: Any) -> None:
    pushed = author.push(server, f"{commit}:{ref}", **how)
    assert pushed.landed, pushed.said
    assert server.tip(ref) == commit


# ---------------------------------------------------------------------------------------------- what is let in


def test_a_decision_lands_and_another_on_it(server: Server, author: Author, garden: list[str]) -> None:
    landed(server, author, garden[2])
    landed(server, author, author.decision("garden", 3, garden[2]))
    assert server.refusals() == []


LAWFUL: dict[str, tuple[str, dict[str, Any]]] = {
    "alias-set": ("Home -> shardA:Index", {"alias": "Home", "target": "shardA:Index"}),
    "alias-cleared": ('"Old Home"', {"alias": "Old Home"}),
    "binding-made": ("a:1 = b:2 = c:3", {"members": ["a:1", "b:2", "c:3"]}),
    "merge-decided": ("a:1 + b:2 -> c:3", {"sources": ["a:1", "b:2"], "into": "c:3"}),
    "fork-made": ("a:1 @ r7 -> b:2", {"source": "a:1", "fork": "b:2", "source_rev": "r7"}),
    "overlay-closed": ("o-1 applied @ r8", {"overlay_id": "o-1", "outcome": "applied", "result_rev": "r8"}),
    "decision-revoked": (
        "01935c2f-7b00-7000-8000-000000000001",
        {"decision": "01935c2f-7b00-7000-8000-000000000001"},
    ),
}


def test_every_type_lands(server: Server, author: Author, garden: list[str]) -> None:
    signature = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n AAAA\n -----END PGP SIGNATURE-----\n"
    tip, seq = garden[1], 2
    for kind, (shown, payload) in LAWFUL.items():
        subject = f"{kind}: {shown}"
        tip = author.decision("garden", seq, tip, kind=kind, payload=payload, subject=subject, headers=signature)
        seq += 1
    body = b"# Garten\n\nSch\xc3\xb6n.\n"
    tree = author.tree(("100644", "body", author.blob(body)))
    created = {"overlay_id": "o-1", "target": "a:1", "base_rev": None, "body": attached(body)}
    shown = f"overlay-created: o-1 on a:1 ({len(body)} bytes)"
    tip = author.decision("garden", seq, tip, kind="overlay-created", payload=created, subject=shown, tree=tree)
    revised = {"overlay_id": "o-1", "base_rev": "r2", "body": attached(body)}
    shown = f"overlay-revised: o-1 @ r2 ({len(body)} bytes)"
    tip = author.decision("garden", seq + 1, tip, kind="overlay-revised", payload=revised, subject=shown, tree=tree)
    landed(server, author, tip)
    assert server.git("cat-file", "blob", f"{GARDEN}:body") == body


SPACES = ["Größe/1", "a/b", "a", "..", "a...b", "CON", "con", "x.lock", "%41", "A", "ß", "\N{ROCKET}" * 20]


def test_odd_spaces_stand_beside_each_other(server: Server, author: Author) -> None:
    roots = {space: author.decision(space, 0) for space in SPACES}
    pushed = author.push(server, *(f"{oid}:{space_ref(space)}" for space, oid in roots.items()))
    assert pushed.landed, pushed.said
    for space, root in roots.items():
        landed(server, author, author.decision(space, 1, root), space_ref(space))
    assert len(server.refs()) == len(SPACES) + 1


def test_a_space_takes_only_its_own_decisions(server: Server, author: Author) -> None:
    [told] = refused(server, author, f"{author.decision('a', 0)}:{space_ref('A')}")
    assert (told.ref, told.code, told.place, told.seq) == ("refs/spaces/%41", "wrong-space", "space", 0)


def test_a_repository_of_sha256(prefix: Path, tmp_path: Path) -> None:
    server, author = Server(tmp_path / "server.git", prefix, "sha256"), Author(tmp_path / "author.git", "sha256")
    chain = author.chain("garden", 3)
    landed(server, author, chain[0])
    landed(server, author, chain[2])
    body = b"text"
    payload = {"overlay_id": "o", "base_rev": None, "body": attached(body)}
    tree = author.tree(("100644", "body", author.blob(body)))
    how = {"kind": "overlay-revised", "payload": payload, "subject": "overlay-revised: o (4 bytes)"}
    tip = author.decision("garden", 3, chain[2], tree=tree, **how)
    landed(server, author, tip)
    signed = author.decision("garden", 4, tip, headers=b"gpgsig-sha256 -----BEGIN\n x\n")
    landed(server, author, signed)
    refused_as(server, author, author.decision("garden", 4, signed), "seq", "trailer Seq", 5)
    wrong = author.decision("garden", 5, signed, headers=b"gpgsig -----BEGIN\n x\n")
    refused_as(server, author, wrong, "bad-commit", "header", 5)
    refused_as(server, author, author.decision("garden", 5, signed, **how), "attachment", "tree", 5)
    refused_as(server, author, chain[0], "not-fast-forward", "ref", 0)
    [told] = refused(server, author, f":{GARDEN}")
    assert told.code == "deleted" and told.commit == signed


# ------------------------------------------------------------------------------------ the log only goes forward


def test_not_fast_forward_rewind(server: Server, author: Author, garden: list[str]) -> None:
    told = refused_as(server, author, garden[0], "not-fast-forward", "ref", 0)
    assert garden[1] in told.what and "decision-revoked" in told.remedy


def test_not_fast_forward_replaced_history(server: Server, author: Author, garden: list[str]) -> None:
    other = author.decision("garden", 1, garden[0])
    told = refused_as(server, author, other, "not-fast-forward", "header parent", 2)
    assert garden[1] in told.what
    longer = author.decision("garden", 2, other)
    [told] = refused(server, author, f"+{longer}:{GARDEN}")
    assert (told.code, told.commit, told.seq) == ("not-fast-forward", other, 2)


def test_not_fast_forward_unrelated_root(server: Server, author: Author) -> None:
    refused_as(server, author, author.decision("garden", 0), "not-fast-forward", "header parent", 2)
    refused_as(server, author, author.decision("garden", 2), "not-fast-forward", "header parent", 2)


def test_not_fast_forward_a_new_log_has_a_root(server: Server, author: Author) -> None:
    inner = author.chain("inner", 3)
    landed(server, author, inner[0], "refs/spaces/inner")
    continued = author.decision("other", 0, inner[0])
    [told] = refused(server, author, f"{continued}:refs/spaces/other")
    assert (told.code, told.commit, told.seq) == ("wrong-space", inner[0], 0)  # its first commit is the first break


def test_deleted(server: Server, author: Author, garden: list[str]) -> None:
    [told] = refused(server, author, f":{GARDEN}")
    assert (told.ref, told.commit, told.seq, told.code, told.place) == (GARDEN, garden[1], 1, "deleted", "ref")
    server.set("receive.denyDeletes", "false")
    server.set("coordjournal.strict", "false")
    assert [t.code for t in refused(server, author, f":{GARDEN}", options=["--force"])] == ["deleted"]


def test_merge(server: Server, author: Author, garden: list[str]) -> None:
    other = author.decision("garden", 1, garden[0])
    raw = decision("garden", 2, garden[1]).replace(b"\nauthor", f"\nparent {other}\nauthor".encode(), 1)
    refused_as(server, author, author.object("commit", raw), "merge", "header parent")


def test_not_a_commit(server: Server, author: Author, garden: list[str]) -> None:
    tag = f"object {garden[2]}\ntype commit\ntag t\ntagger a <> 1 +0000\n\nt\n".encode()
    for kind, oid in (
        ("tag", author.object("tag", tag)),
        ("blob", author.blob(b"text")),
        ("tree", author.tree(("100644", "body", author.blob(b"text")))),
    ):
        told = refused_as(server, author, oid, "not-a-commit", "object", 2)
        assert kind in told.what
        [told] = refused(server, author, f"{oid}:refs/spaces/new")
        assert (told.code, told.seq) == ("not-a-commit", 0)


# ------------------------------------------------------------------------- commits that break the law or the admission

NOW = int(time.time())
BODY = b"the body\n"
OVERLAY: dict[str, Any] = {
    "kind": "overlay-revised",
    "payload": {"overlay_id": "o", "base_rev": None, "body": attached(BODY)},
    "subject": f"overlay-revised: o ({len(BODY)} bytes)",
}
CLOSED = {"kind": "overlay-closed", "payload": {"overlay_id": "o", "outcome": "x"}}
LINE = json_line(
    {
        "actor": "alice",
        "at": at_text(NOW - 5),
        "id": new_id(),
        "payload": {"alias": "Home", "target": "shardA:Index"},
        "space": "garden",
        "type": "alias-set",
        "v": 1,
    }
)
SUBJECT = b"alias-set: Home -> shardA:Index"
JSON = LINE.encode()
AS_LINE: dict[str, Any] = {"decided": NOW - 5}

BROKEN: list[tuple[str, str, str, dict[str, Any]]] = [
    # headers
    ("bad-commit", "header", "encoding", {"headers": b"encoding ISO-8859-1\n"}),
    ("bad-commit", "header", "unknown header", {"headers": b"mood happy\n"}),
    ("bad-commit", "header", "header after the signature", {"headers": b"gpgsig x\n y\nmood happy\n"}),
    ("bad-commit", "header", "two signatures", {"headers": b"gpgsig x\n y\ngpgsig x\n y\n"}),
    ("bad-commit", "header", "signature of the other format", {"headers": b"gpgsig-sha256 x\n y\n"}),
    ("bad-commit", "header", "mergetag", {"headers": b"mergetag object " + b"1" * 40 + b"\n type commit\n"}),
    ("bad-commit", "header gpgsig", "huge signature", {"headers": b"gpgsig x\n" + b" yyyyyyyyyyyyyyy\n" * 1100}),
    ("bad-commit", "header", "NUL", {"author": f"author alice <a\0b> {NOW - 5} +0000"}),
    ("bad-commit", "header author", "no ident", {"author": f"author .alice <> {NOW - 5} +0000"}),
    ("bad-commit", "header author", "no UTF-8", {"author": f"author al\udcffice <> {NOW - 5} +0000"}),
    ("bad-commit", "header author", "empty name", {"author": f"author  <> {NOW - 5} +0000"}),
    ("bad-commit", "header author", "no email", {"author": f"author alice {NOW - 5} +0000"}),
    ("bad-commit", "header author", "an escape", {"author": f"author al\x1b[2Jice <> {NOW - 5} +0000"}),
    ("bad-commit", "header author", "zone", {"author": f"author alice <> {NOW - 5} UTC"}),
    ("bad-commit", "header author", "fraction", {"author": f"author alice <> {NOW - 5}.5 +0000"}),
    ("bad-commit", "header author", "leading zero", {"author": f"author alice <> 0{NOW - 5} +0000"}),
    ("bad-commit", "header author", "before 1970", {"author": "author alice <> -5 +0000"}),
    ("bad-commit", "header committer", "after 9999", {"committer": "committer node-a <> 253402300800 +0000"}),
    ("bad-commit", "header committer", "spaces", {"committer": f"committer node-a  <>  {NOW} +0000"}),
    ("bad-commit", "header committer", "no opening bracket", {"committer": f"committer node-a> {NOW} +0000"}),
    ("bad-commit", "header committer", "swapped", {"committer": f"author node-a <> {NOW} +0000"}),
    # message
    ("bad-commit", "message", "no message", {"message": b""}),
    ("bad-commit", "message", "only a subject", {"message": SUBJECT + b"\n"}),
    ("bad-commit", "message", "subject of two lines", {"message": SUBJECT + b"\nx\n\n" + JSON + b"\n\nSeq: 2\n"}),
    ("bad-commit", "message", "no last newline", {"trailers": b"\nSeq: 2"}),
    ("bad-commit", "message", "two last newlines", {"trailers": b"\nSeq: 2\n\n"}),
    ("bad-commit", "message", "no blank line", {"trailers": b"Seq: 2\n"}),
    ("bad-commit", "message", "two blank lines", {"message": SUBJECT + b"\n\n\n" + JSON + b"\n\nSeq: 2\n"}),
    ("bad-commit", "message", "JSON on two lines", {"line": LINE.replace(",", ",\n", 1)}),
    ("bad-commit", "trailers", "carriage returns", {"trailers": b"\nSeq: 2\r\n"}),
    ("bad-commit", "trailers", "leading zero of Seq", {"trailers": b"\nSeq: 02\n"}),
    ("bad-commit", "trailers", "lower case", {"trailers": b"\nseq: 2\n"}),
    ("bad-commit", "trailers", "negative Seq", {"trailers": b"\nSeq: -2\n"}),
    ("bad-commit", "trailers", "endless Seq", {"trailers": b"\nSeq: " + b"2" * 30 + b"\n"}),
    ("bad-commit", "trailers", "Signed-off-by", {"trailers": b"\nSeq: 2\nSigned-off-by: a\n"}),
    ("bad-commit", "trailers", "two leases", {"trailers": b"\nSeq: 2\nLease: -\nLease: -\n"}),
    ("bad-commit", "trailers", "lease of no UTF-8", {"trailers": b"\nSeq: 2\nLease: \xff\n"}),
    # the line
    ("bad-json", "character 0", "no JSON", {"line": "alias Home"}),
    ("bad-json", "byte 10", "no UTF-8", {"line": b'{"actor":"\xff"}'}),
    ("bad-json", "", "a key twice", {"line": LINE.replace('"v":1', '"v":1,"v":1')}),
    ("bad-json", "", "a fraction", {"line": LINE.replace('"v":1', '"v":1.0')}),
    ("bad-json", "", "NaN", {"line": LINE.replace('"v":1', '"v":NaN')}),
    ("bad-json", "", "a lone surrogate", {"line": LINE.replace("Home", "\\ud800")}),
    ("bad-json", "", "an integer too far out", {"line": LINE.replace('"v":1', '"v":9007199254740992')}),
    ("bad-json", "", "too deep", {"line": LINE.replace('"v":1', '"v":' + "[" * 500 + "]" * 500)}),
    ("bad-json", "", "far too deep", {"line": "[" * 30000}),
    ("not-canonical", "character 1", "white space", {"line": LINE.replace("{", "{ ", 1)}),
    ("not-canonical", "character 2", "order", {"line": '{"v":1,' + LINE[1:].replace(',"v":1', ""), **AS_LINE}),
    ("not-canonical", "character", "an escape too much", {"line": LINE.replace("Home", "\\u0048ome"), **AS_LINE}),
    ("schema", "the decision", "missing", {"document": {"actor": ...}}),
    ("schema", "the decision", "a list", {"line": "[]"}),
    ("schema", "the decision", "unknown field", {"document": {"mood": "happy"}}),
    ("schema", "id", "no UUIDv7", {"document": {"id": "01935c2f-7b00-4000-8000-000000000001"}}),
    ("schema", "at", "no fraction", {"document": {"at": "2026-11-22T10:00:00Z"}}),
    ("schema", "v", "a later version", {"document": {"v": 2}}),
    ("schema", "payload", "unknown field", {"payload": {"alias": "a", "target": "b", "x": 1}}),
    ("schema", "payload.alias", "an escape", {"payload": {"alias": "\x1b[2J", "target": "b"}}),
    ("schema", "payload.alias", "a C1 control", {"payload": {"alias": "\x9b2J", "target": "b"}}),
    ("schema", "payload.alias", "a bidirectional control", {"payload": {"alias": "a\u202eb", "target": "b"}}),
    ("schema", "payload.alias", "too long", {"payload": {"alias": "ß" * 201, "target": "b"}}),
    ("schema", "payload", "no object", {"payload": [], "document": {"payload": 7}}),
    ("schema", "payload.members", "one member", {"kind": "binding-made", "payload": {"members": ["a"]}}),
    ("schema", "payload.outcome", "no outcome", CLOSED),
    ("unknown-type", "type", "unknown", {"kind": "alias-moved"}),
    ("unknown-type", "type", "no vendor", {"kind": "x-tag"}),
    ("unknown-type", "type", "upper case", {"kind": "x-Acme-tag"}),
    ("unknown-type", "type", "an escape", {"kind": "\u009b31m"}),
    # the place
    ("wrong-space", "space", "another space", {"document": {"space": "meadow"}}),
    ("wrong-space", "space", "a space with an escape spelled", {"document": {"space": "Garden"}}),
    ("seq", "trailer Seq", "too high", {"trailers": b"\nSeq: 3\n"}),
    ("seq", "trailer Seq", "too low", {"trailers": b"\nSeq: 1\n"}),
    ("seq", "trailer Seq", "an intent", {"trailers": b""}),
    # the stamps
    ("author", "header author", "another actor", {"author": f"author bob <> {NOW - 5} +0000", **AS_LINE}),
    ("author", "header author", "another time", {"author": f"author alice <> {NOW - 6} +0000", **AS_LINE}),
    ("subject", "subject", "another", {"subject": "alias-set: Home -> shardA:Other"}),
    ("subject", "subject", "an escape", {"subject": "\x1b[2Jalias-set: Home -> shardA:Index"}),
    ("subject", "subject", "empty", {"subject": ""}),
    ("attachment", "tree", "missing", OVERLAY),
    ("time", "header committer", "before the parent", {"decided": NOW - 1000, "appended": NOW - 1000}),
    ("lease", "trailer Lease", "before there are leases", {"trailers": b"\nSeq: 2\nLease: -; term=1\n"}),
    # the admission
    ("clock", "header committer", "appended in the future", {"decided": NOW, "appended": NOW + 1_000_000}),
    ("clock", "at", "decided after it was appended", {"decided": NOW + 500, "appended": NOW}),
    ("undeclared-type", "type", "undeclared", {"kind": "x-acme-tag", "subject": None}),
]


@pytest.fixture(scope="module")
def told_of_broken(
    template: Server, author: Author, garden: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[Told]:
    """What a pusher is told of all the broken commits, pushed at once, each onto a log of its own."""
    server = template.copy(tmp_path_factory.mktemp("broken") / "server.git")
    refs = [f"refs/spaces/broken-{number}" for number in range(len(BROKEN))]
    server.git("update-ref", "--stdin", content="".join(f"create {ref} {garden[1]}\n" for ref in refs).encode())
    commits = []
    for number, (_, _, _, changes) in enumerate(BROKEN):
        if changes.get("kind", "").startswith("x-acme"):
            changes = {**changes, "subject": 'x-acme-tag: {"alias":"Home","target":"shardA:Index"}'}
        commits.append(author.decision(f"broken-{number}", 2, garden[1], **changes))
    told = {one.ref: one for one in refused(server, author, *map(":".join, zip(commits, refs, strict=True)))}
    assert [(told[ref].commit, told[ref].seq) for ref in refs] == [(commit, 2) for commit in commits]
    return [told[ref] for ref in refs]


@pytest.mark.parametrize("number", range(len(BROKEN)), ids=[f"{code}: {what}" for code, _, what, _ in BROKEN])
def test_refused(number: int, told_of_broken: list[Told]) -> None:
    code, place, _, _ = BROKEN[number]
    assert told_of_broken[number].code == code
    assert told_of_broken[number].place.startswith(place)


@pytest.mark.parametrize("code", ["bad-commit", "bad-json", "schema", "wrong-space", "subject", "clock"])
def test_refused_alone(server: Server, author: Author, garden: list[str], code: str) -> None:
    """One of each kind in a push of its own, onto the log that the server knows by pushes."""
    place, changes = next((place, changes) for known, place, _, changes in BROKEN if known == code)
    commit = author.decision("garden", 2, garden[1], **changes)
    refused_as(server, author, commit, code, place)


def test_the_seq_told_is_the_place_in_the_log(server: Server, author: Author, garden: list[str]) -> None:
    told = refused_as(server, author, author.decision("garden", 77, garden[1]), "seq", "trailer Seq", 2)
    assert "Seq 77" in told.what and "Seq 2" in told.what


# ------------------------------------------------------------------------------------------------- attachments


def overlay(author: Author, garden: list[str], tree: str, **changes: Any) -> str:
    return author.decision("garden", 2, garden[1], **{**OVERLAY, "tree": tree, **changes})


def test_attachments_that_are_not_what_is_declared(server: Server, author: Author, garden: list[str]) -> None:
    body, other = author.blob(BODY), author.blob(b"not it!!\n")
    folder = author.tree(("100644", "body", body))
    deep = folder
    for _ in range(100):
        deep = author.tree(("40000", "body", deep))
    wrong: list[tuple[str, list[tuple[str, str, str]]]] = [
        ("tree body", [("100755", "body", body)]),
        ("tree body", [("120000", "body", body)]),  # a symbolic link
        ("tree body", [("160000", "body", garden[0])]),  # a submodule
        ("tree body", [("40000", "body", folder)]),
        ("tree body", [("40000", "body", deep)]),
        ("tree body", [("100664", "body", body)]),
        ("tree body", [("0100644", "body", body)]),  # a mode that git reads as 100644
        ("tree body", [("100644", "body", other)]),
        ("tree body", [("100644", "body", author.blob(BODY + b"."))]),
        ("tree body", [("100644", "body", author.blob(b""))]),
        ("tree", [("100644", "Body", body)]),
        ("tree", [("100644", "b\x1b[2Jody", body)]),
        ("tree", [("100644", "body", body), ("100644", "body", body)]),
        ("tree", [("100644", "body", body), ("100644", "more", body)]),
        ("tree", [("100644", "aaaa", body), ("100644", "body", body)]),
        ("tree", [("100644", f"{number:03}", body) for number in range(100)]),
        ("tree", [("100644", f"{number:03}", body) for number in range(1000)]),
    ]
    refs = [f"refs/spaces/wrong-{number}" for number in range(len(wrong))]
    server.git("update-ref", "--stdin", content="".join(f"create {ref} {garden[1]}\n" for ref in refs).encode())
    pushed = [
        author.decision(f"wrong-{number}", 2, garden[1], **{**OVERLAY, "tree": author.tree(*entries)})
        for number, (_, entries) in enumerate(wrong)
    ]
    told = {one.ref: one for one in refused(server, author, *map(":".join, zip(pushed, refs, strict=True)))}
    assert [(told[ref].commit, told[ref].seq, told[ref].code, told[ref].place) for ref in refs] == [
        (commit, 2, "attachment", place) for commit, (place, _) in zip(pushed, wrong, strict=True)
    ]
    undeclared = author.decision("garden", 2, garden[1], tree=folder)
    assert "'body'" in refused_as(server, author, undeclared, "attachment", "tree").what
    declared = {**OVERLAY["payload"], "body": {**attached(BODY), "sha256": "0" * 64}}
    refused_as(server, author, overlay(author, garden, folder, payload=declared), "attachment", "tree body")


def test_an_attachment_of_1_mb_lands(server: Server, author: Author, garden: list[str]) -> None:
    content = os.urandom(1 << 20)
    tree = author.tree(("100644", "body", author.blob(content)))
    payload = {**OVERLAY["payload"], "body": attached(content)}
    commit = overlay(author, garden, tree, payload=payload, subject="overlay-revised: o (1048576 bytes)")
    landed(server, author, commit)
    assert server.git("cat-file", "blob", f"{GARDEN}:body") == content


def test_too_large_attachment(server: Server, author: Author, garden: list[str]) -> None:
    commit = overlay(author, garden, author.tree(("100644", "body", author.blob(BODY))))
    server.set("coordjournal.maxAttachmentBytes", len(BODY) - 1)
    told = refused_as(server, author, commit, "too-large", "tree body")
    assert str(len(BODY)) in told.what and str(len(BODY) - 1) in told.what
    server.set("coordjournal.maxAttachmentBytes", len(BODY))
    landed(server, author, commit)


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_an_attachment_over_the_limit_is_not_read(
    server: Server, author: Author, garden: list[str], packed: bool
) -> None:
    """The content on the server cannot be read to its end, and nobody notices, for nobody reads it."""
    content = os.urandom(3 << 20)
    blob = author.blob(content)
    tree = author.tree(("100644", "body", blob))
    carrier = author.git("commit-tree", tree, "-m", "not a decision").decode().strip()
    server.set("receive.unpackLimit", 1 if packed else 100)
    landed(server, author, carrier, "refs/heads/carrier")
    [file] = server.path.glob("objects/pack/*.pack") if packed else [server.path / "objects" / blob[:2] / blob[2:]]
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(bytes(100_000))

    subject = f"overlay-revised: o ({len(content)} bytes)"
    payload = {**OVERLAY["payload"], "body": attached(content)}
    commit = overlay(author, garden, tree, payload=payload, subject=subject)
    commands, pack = [(garden[1], commit, GARDEN)], author.pack(commit)
    server.set("coordjournal.maxAttachmentBytes", len(content) - 1)
    pushed = nothing_moved(server, lambda: spoken(server, commands, pack))
    assert [(t.code, t.place) for t in pushed.told] == [("too-large", "tree body")], pushed.said
    server.set("coordjournal.maxAttachmentBytes", len(content))
    pushed = nothing_moved(server, lambda: spoken(server, commands, pack))
    assert not pushed.told and "cannot judge" in pushed.said  # within the limit it is read, and found damaged


def test_too_large_commit(server: Server, author: Author, garden: list[str]) -> None:
    reason = {"reason": "because " * 500}
    raw = decision("garden", 2, garden[1], document=reason)
    commit = author.object("commit", raw)
    server.set("coordjournal.maxDecisionBytes", len(raw) - 1)
    told = refused_as(server, author, commit, "too-large", "commit", 2)
    assert str(len(raw)) in told.what
    child = author.decision("garden", 3, commit)
    [told] = refused(server, author, f"{child}:{GARDEN}")
    assert (told.code, told.commit, told.seq) == ("too-large", commit, 2)
    server.set("coordjournal.maxDecisionBytes", len(raw))
    landed(server, author, child)


# --------------------------------------------------------------------------------------------------- the clock


def test_a_clock_that_ran_ahead_never_bricks_the_space(server: Server, author: Author, garden: list[str]) -> None:
    ahead = NOW + 100_000
    server.set("coordjournal.clockSkew", 1_000_000)
    tip = author.decision("garden", 2, garden[1], appended=ahead)
    landed(server, author, tip)
    server.set("coordjournal.clockSkew", 60)
    later = author.decision("garden", 3, tip, appended=ahead + 1)
    refused_as(server, author, later, "clock", "header committer", 3)
    honest = author.decision("garden", 3, tip, decided=NOW, appended=NOW)
    refused_as(server, author, honest, "time", "header committer", 3)
    landed(server, author, author.decision("garden", 3, tip, decided=NOW, appended=ahead))


def test_a_clock_within_the_skew_is_let_in(server: Server, author: Author, garden: list[str]) -> None:
    now = int(time.time())
    landed(server, author, author.decision("garden", 2, garden[1], decided=now + 75, appended=now + 30))


# ------------------------------------------------------------------------------------------------ extension types


def declare(server: Server, **schemas: Any) -> None:
    """Writes refs/meta/coordjournal on the server, as its administrator does."""
    entries = ""
    for name, schema in schemas.items():
        text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
        oid = server.git("hash-object", "-w", "--stdin", content=text).decode().strip()
        entries += f"100644 blob {oid}\t{name.replace('_', '-')}.json\n"
    tree = server.git("mktree", content=entries.encode()).decode().strip()
    top = server.git("mktree", content=f"040000 tree {tree}\tschemas\n".encode()).decode().strip()
    commit = server.git("commit-tree", top, "-m", "declare").decode().strip()
    server.git("update-ref", "refs/meta/coordjournal", commit)


def extension(author: Author, garden: list[str], payload: dict[str, Any], kind: str = "x-acme-tag") -> str:
    subject = f"{kind}: {json_line(payload)}"
    return author.decision("garden", 2, garden[1], kind=kind, payload=payload, subject=subject)


def test_extension_schema(server: Server, author: Author, garden: list[str]) -> None:
    declare(server, x_acme_tag={"type": "object", "required": ["page"], "properties": {"page": {"type": "string"}}})
    wrong = extension(author, garden, {"page": 7})
    told = refused_as(server, author, wrong, "extension-schema", "payload.page")
    assert "7" in told.what
    other = extension(author, garden, {"page": "a"}, "x-acme-label")
    refused_as(server, author, other, "undeclared-type", "type")
    landed(server, author, extension(author, garden, {"page": "a"}))


def test_a_branch_does_not_declare_extension_types(server: Server, author: Author, garden: list[str]) -> None:
    """``refs/meta/coordjournal`` is that ref alone, not ``refs/heads/refs/meta/coordjournal`` when it is missing."""
    schemas = author.tree(("100644", "x-acme-tag.json", author.blob(b"{}")))
    fake = author.git("commit-tree", author.tree(("40000", "schemas", schemas)), "-m", "x").decode().strip()
    landed(server, author, fake, "refs/heads/x")
    for place in ("heads/refs", "tags/refs", "refs", "remotes/refs"):  # no push makes these, an administrator might
        server.git("update-ref", f"refs/{place}/meta/coordjournal", fake)
    refused_as(server, author, extension(author, garden, {"page": "a"}), "undeclared-type", "type")


# ---------------------------------------------------------------------------------------------------- the refs

ALWAYS_BAD = [
    "refs/spaces",
    "refs/spaces/Garden",
    "refs/spaces/%67arden",
    "refs/spaces/%c3%9f",
    "refs/spaces/ß",
    "refs/spaces/a%",
    "refs/spaces/a%2",
    "refs/spaces/a%+1",
    "refs/spaces/%FF",
    "refs/spaces/%07",
    "refs/spaces/\udcff",
    "refs/spaces/\x9b31m",
    "refs/spaces/a b".replace(" ", "%20") + "/c",
    "refs/spaces/garden2/deeper",
    "refs/spaces/" + "a" * 81,
    "refs/Spaces/garden",
    "refs/SPACES/garden",
    "refs/\u017fpaces/garden",  # a file system that folds case knows no difference to refs/spaces
    "refs/append/garden",
    "refs/append",
    "refs/Append/garden",
    "refs/intents/garden/00000001-01935c2f-7b00-7000-8000-000000000001",
    "refs/intents",
    "refs/meta",
    "refs/meta/coordjournal",
    "refs/meta/coordjournal/deeper",
    "refs/META/coordjournal",
    "refs/Meta",
    # git takes these for what a push to refs/spaces/garden means while there is no such ref
    "refs/heads/refs/spaces/garden",
    "refs/tags/refs/append/garden",
    "refs/remotes/x/refs/intents/garden",
    "refs/heads/refs/meta/coordjournal",
]
BAD_IF_STRICT = [
    "refs/heads/main",
    "refs/tags/v1",
    "refs/notes/commits",
    "refs/space/garden",
    "refs/spaces2/garden",
    "refs/meta/other",
    "refs/replace/" + "1" * 40,
]


@pytest.mark.parametrize("strict", [False, True])
def test_bad_ref(server: Server, author: Author, strict: bool) -> None:
    commit = author.decision("other", 0)
    server.set("coordjournal.strict", strict)
    bad = ALWAYS_BAD + (BAD_IF_STRICT if strict else [])
    for some in (bad[:15], bad[15:30], bad[30:]):
        told = refused(server, author, *(f"{commit}:{ref}" for ref in some)) if some else []
        assert {t.ref for t in told} == set(map(printable, some))
        assert {(t.commit, t.seq, t.code, t.place) for t in told} <= {(commit, None, "bad-ref", "ref")}
    if not strict:
        pushed = author.push(server, *(f"{commit}:{ref}" for ref in BAD_IF_STRICT))
        assert pushed.landed, pushed.said


def test_a_strict_repository_keeps_the_refs_it_has(server: Server, author: Author) -> None:
    landed(server, author, author.decision("other", 0), "refs/heads/main")
    server.set("coordjournal.strict", "true")
    [told] = refused(server, author, ":refs/heads/main")
    assert told.code == "bad-ref" and "coordjournal.strict" in told.remedy


def test_other_refs_are_none_of_its_business(server: Server, author: Author) -> None:
    root = author.git("commit-tree", EMPTY_TREE["sha1"], "-m", "any").decode().strip()
    landed(server, author, root, "refs/heads/main")
    other = author.git("commit-tree", EMPTY_TREE["sha1"], "-m", "other").decode().strip()
    pushed = author.push(server, f"+{other}:refs/heads/main", f"{author.blob(b'x')}:refs/tags/x")
    assert pushed.landed, pushed.said
    assert author.push(server, ":refs/heads/main").landed


def test_git_namespaces_hold_no_logs(server: Server, author: Author, garden: list[str]) -> None:
    """Below a namespace ``refs/spaces/garden`` is another ref than the one that the hook knows."""
    how: dict[str, Any] = {"server_environment": {"GIT_NAMESPACE": "foo"}}
    [told] = refused(server, author, f"{garden[2]}:{GARDEN}", **how)
    assert (told.code, told.place) == ("bad-ref", "ref") and "namespace" in told.what
    [told] = refused(server, author, f"{garden[2]}:refs/namespaces/foo/{GARDEN}")
    assert (told.code, told.place) == ("bad-ref", "ref") and "namespace" in told.what
    branch = author.push(server, f"{garden[2]}:refs/heads/main", **how)
    assert branch.landed, branch.said
    server.set("coordjournal.strict", "true")
    [told] = refused(server, author, f"{garden[2]}:refs/heads/other", **how)
    assert told.code == "bad-ref"


def test_read_only(server: Server, author: Author, garden: list[str]) -> None:
    server.set("coordjournal.readOnly", "true")
    [told] = refused(server, author, f"{garden[2]}:{GARDEN}", placed=False)
    assert (told.ref, told.commit, told.code) == (GARDEN, garden[2], "read-only")
    server.set("coordjournal.primary", "ssh://primary.example/wiki\x1b[2J.git")
    [told] = refused(server, author, f"{garden[2]}:{GARDEN}", placed=False)
    assert "ssh://primary.example/wiki" in told.remedy
    assert [t.code for t in refused(server, author, f":{GARDEN}", placed=False)] == ["read-only"]


# --------------------------------------------------------------------------------------- pushes of several refs


def test_one_bad_ref_holds_back_the_good_ones(server: Server, author: Author, garden: list[str]) -> None:
    bad = author.decision("garden", 9, garden[1])
    good = author.decision("good", 0)
    told = refused(server, author, f"{good}:refs/spaces/good", f"{bad}:{GARDEN}", f"{good}:refs/heads/good")
    assert [(t.ref, t.code) for t in told] == [(GARDEN, "seq")]
    assert not server.has(good)


def test_each_refused_ref_is_named(server: Server, author: Author, garden: list[str]) -> None:
    told = refused(
        server,
        author,
        f"{author.decision('garden', 9, garden[1])}:{GARDEN}",
        f"{author.decision('b', 0)}:refs/spaces/a",
        f"{author.decision('good', 0)}:refs/spaces/good",
        f"{author.decision('c', 0, subject='x')}:refs/spaces/c",
        f"{author.blob(b'x')}:refs/spaces/d",
    )
    assert {(t.ref, t.code) for t in told} == {
        (GARDEN, "seq"),
        ("refs/spaces/a", "wrong-space"),
        ("refs/spaces/c", "subject"),
        ("refs/spaces/d", "not-a-commit"),
    }


def test_after_a_thousand_refused_refs_the_others_are_not_looked_at(server: Server, author: Author) -> None:
    root = author.decision("other", 0)
    pushed = nothing_moved(server, lambda: author.push(server, *(f"{root}:refs/spaces/S{n}" for n in range(1100))))
    assert len(pushed.told) == len(server.refusals()) == 1000
    assert "not looked at" in pushed.said


def test_what_is_told_is_never_endless(server: Server, author: Author, garden: list[str]) -> None:
    long = author.decision("garden", 2, garden[1], headers=b"x" * 50_000 + b" y\n")
    told = refused_as(server, author, long, "bad-commit", "header")
    assert len(told.what) < 1100


def test_hundreds_of_refused_chains_leave_no_process_behind(server: Server, author: Author) -> None:
    """Each refused chain is walked twice by git processes; they and their files must be gone before the next."""
    count = 300
    stream = ""
    for number in range(count):
        stream += imported(f"s{number}", 2, first=number * 2 + 1, wrong=1)
    author.git("fast-import", "--quiet", "--force", content=stream.encode())
    limit = f"#!/bin/sh\nulimit -n 64\nexec {server.path}/hooks/judge\n"
    server.hook.rename(server.path / "hooks" / "judge")
    write_program(server.hook, limit)
    pushed = nothing_moved(server, lambda: author.push(server, "refs/import/s*:refs/spaces/s*"))
    assert [t.code for t in pushed.told] == ["seq"] * count


# --------------------------------------------------------------------------------------------- the first break


def test_the_first_break_of_a_chain_is_named(server: Server, author: Author, garden: list[str]) -> None:
    breaks: list[tuple[str, dict[str, Any]]] = [
        ("subject", {"subject": "no"}),
        ("bad-commit", {"headers": b"mood happy\n"}),
        ("schema", {"document": {"v": 3}}),
        ("merge", {"parents": 2}),
        ("too-large", {"document": {"meta": {str(key): "x" * 2000 for key in range(40)}}}),
        ("attachment", OVERLAY),
    ]
    expected = {}
    for number, (first, how) in enumerate(breaks):
        for last, last_how in (breaks[number - 1], breaks[number - 2]):
            space = f"{first}-{last}"
            server.git("update-ref", space_ref(space), garden[1])
            tip = author.decision(space, 2, garden[1])
            named = tip = _broken(author, space, 3, tip, how)
            tip = author.decision(space, 4, tip)
            tip = _broken(author, space, 5, tip, last_how)
            expected[space_ref(space)] = (tip, first, named)
    told = refused(server, author, *(f"{tip}:{ref}" for ref, (tip, _, _) in expected.items()))
    assert {one.ref: (one.code, one.commit, one.seq) for one in told} == {
        ref: (first, named, 3) for ref, (_, first, named) in expected.items()
    }


def _broken(author: Author, space: str, seq: int, parent: str, how: dict[str, Any]) -> str:
    if "parents" in how:
        raw = decision(space, seq, parent).replace(b"\nauthor", f"\nparent {parent}\nauthor".encode(), 1)
        return author.object("commit", raw)
    return author.decision(space, seq, parent, **how)


@pytest.mark.parametrize("length", [2, 30, 2500])  # the last one is long enough for plain steps to be passed
def test_a_long_chain_lands_and_its_break_is_found(prefix: Path, tmp_path: Path, length: int) -> None:
    server, author = Server(tmp_path / "server.git", prefix), Author(tmp_path / "author.git")
    author.git("fast-import", "--quiet", content=imported("long", length).encode())
    author.git("fast-import", "--quiet", content=imported("bad", length, wrong=length // 2).encode())
    [told] = refused(server, author, "refs/import/bad:refs/spaces/bad")
    assert (told.code, told.seq) == ("seq", length // 2)
    assert author.push(server, "refs/import/long:refs/spaces/long").landed
    tip = author.git("rev-parse", "refs/import/long").decode().strip()
    first = author.git("rev-list", "--max-parents=0", tip).decode().strip()
    [told] = refused(server, author, f"+{first}:refs/spaces/long")
    assert (told.code, told.seq, told.place) == ("not-fast-forward", 0, "ref")


def imported(
    space: str, count: int, *, first: int = 1, wrong: int | None = None, attached_every: int | None = None
) -> str:
    """A stream for git fast-import: ``count`` decisions at ``refs/import/<space>``, marked from ``first`` on.

    The one at Seq ``wrong`` says another Seq. Every ``attached_every``-th one has an attachment of its own, of 4 kB.
    """
    lines = []
    for seq in range(count):
        change: dict[str, Any] = {}
        body = ""
        if attached_every and seq % attached_every == 0:
            body = f"{seq:08}" * 500
            payload = {"overlay_id": "o", "base_rev": None, "body": attached(body.encode())}
            change = {"kind": "overlay-revised", "payload": payload, "subject": "overlay-revised: o (4000 bytes)"}
        raw = decision(space, seq + 5 if seq == wrong else seq, **change).decode()
        headers, _, message = raw.partition("\n\n")
        _, author, committer = headers.split("\n")
        lines.append(f"commit refs/import/{space}\nmark :{first + seq}\n{author}\n{committer}\n")
        lines.append(f"data {len(message.encode())}\n{message}")
        if seq:
            lines.append(f"from :{first + seq - 1}\n")
        if attached_every:
            lines.append("deleteall\n")
        if body:
            lines.append(f"M 100644 inline body\ndata {len(body)}\n{body}\n")
    return "".join(lines)


def test_commits_that_are_on_the_server_already_are_judged_all_the_same(
    server: Server, author: Author, garden: list[str]
) -> None:
    bad = author.decision("garden", 2, garden[1], subject="no")
    child = author.decision("garden", 3, bad)
    landed(server, author, child, "refs/heads/any")
    [told] = refused(server, author, f"{child}:{GARDEN}")
    assert (told.code, told.commit, told.seq) == ("subject", bad, 2)
    assert author.push(server, ":refs/heads/any").landed
    assert server.has(bad)
    refused_as(server, author, bad, "subject", "subject")
    landed(server, author, garden[2], "refs/heads/good")
    landed(server, author, garden[2])


# ------------------------------------------------------------------------------------------------------ memory

PEAK = """
import os, posix
end = posix._exit
def measured(status):
    # The peak since this program began; getrusage() would begin with that of the git that started it.
    with open("/proc/self/status") as told, open(os.environ["GIT_DIR"] + "/peak", "w") as file:
        file.write(next(line.split()[1] for line in told if line.startswith("VmHWM:")))
    end(status)
posix._exit = measured
main()
"""


def test_memory_does_not_grow_with_the_push(prefix: Path, tmp_path: Path) -> None:
    author = Author(tmp_path / "author.git")
    peaks = []
    for count in (2_000, 10_000):
        server = Server(tmp_path / f"{count}.git", prefix)
        write_program(server.hook, render_hook(prefix).removesuffix("main()\n") + PEAK)
        stream = imported(f"s{count}", count, attached_every=20)
        author.git("fast-import", "--quiet", content=stream.encode())
        pushed = author.push(server, f"refs/import/s{count}:refs/spaces/s{count}")
        assert pushed.landed, pushed.said
        peaks.append(int((server.path / "peak").read_text()))
    # kilobytes; 10,000 commits are 4,000 of them, their attachments another 2,000
    assert peaks[1] < peaks[0] + 2048 and peaks[1] < 32 * 1024, peaks


# ------------------------------------------------------------------------------- a hook that cannot decide refuses


def undecided(server: Server, author: Author, commit: str, *words: str, logged: bool = True) -> Pushed:
    known = len(server.refusals())
    pushed = nothing_moved(server, lambda: author.push(server, f"{commit}:{GARDEN}"))
    assert not pushed.told
    for word in ("nothing was changed", "coordjournal doctor", *words):
        assert word in pushed.said, pushed.said
    if logged:
        [entry] = server.refusals()[known:]
        assert entry["incident"] == pushed.incident
        assert entry["code"] == "undecided"
    return pushed


def test_package_missing(server: Server, author: Author, garden: list[str], tmp_path: Path) -> None:
    write_program(server.hook, render_hook(tmp_path / "nowhere"))
    undecided(server, author, garden[2], "not where its hook expects it", logged=False)


def test_interpreter_missing(server: Server, author: Author, garden: list[str], prefix: Path) -> None:
    write_program(server.hook, render_hook(prefix, "/nowhere/python3"))
    nothing_moved(server, lambda: author.push(server, f"{garden[2]}:{GARDEN}"))


def test_git_not_found(server: Server, author: Author, garden: list[str]) -> None:
    server.hook.rename(server.path / "hooks" / "judge")
    write_program(server.hook, f"#!/bin/sh\nPATH=/nowhere exec {server.path}/hooks/judge\n")
    undecided(server, author, garden[2], "cannot start git")


@pytest.mark.parametrize("setting", ["strict = perhaps", "clockSkew = soon", "maxDecisionBytes = -1"])
def test_settings_that_make_no_sense(server: Server, author: Author, garden: list[str], setting: str) -> None:
    with (server.path / "config").open("a") as file:
        file.write(f"[coordjournal]\n\t{setting}\n")
    undecided(server, author, garden[2], setting.split(" = ")[0].lower())


def test_a_schema_that_is_no_json(server: Server, author: Author, garden: list[str]) -> None:
    declare(server, x_acme_tag=b"{")
    undecided(server, author, extension(author, garden, {"page": "a"}), f"{GARDEN}: JSONDecodeError")


def test_an_old_tip_that_is_no_decision(server: Server, author: Author) -> None:
    """What an administrator put there before the hook came is not the pusher's fault, and the message says so."""
    tip = server.git("commit-tree", EMPTY_TREE["sha1"], "-m", "hello").decode().strip()
    server.git("update-ref", GARDEN, tip)
    author.git("fetch", "--quiet", str(server.path), GARDEN)
    undecided(server, author, author.decision("garden", 2, tip), f"{GARDEN}: ", tip, "bad-commit")


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_old_tip(server: Server, author: Author, garden: list[str], damage: bytes | None) -> None:
    file = server.path / "objects" / garden[1][:2] / garden[1][2:]
    file.unlink()
    if damage is not None:
        file.write_bytes(damage)
    before = server.git("rev-parse", GARDEN)
    assert not author.push(server, f"{garden[2]}:{GARDEN}").landed
    assert not author.push(server, f"+{author.decision('garden', 0)}:{GARDEN}").landed
    assert server.git("rev-parse", GARDEN) == before


def test_a_crash(author: Author, garden: list[str], server: Server, prefix: Path, tmp_path: Path) -> None:
    shutil.copytree(prefix, tmp_path / "prefix", symlinks=True)
    law = tmp_path / "prefix" / "current" / "lib" / "coordjournal" / "law.py"
    law.write_text(law.read_text() + "\n\ndef check(*_):\n    raise RuntimeError('\\x1b[2Jboom')\n")
    write_program(server.hook, render_hook(tmp_path / "prefix"))
    undecided(server, author, garden[2], "RuntimeError", "boom")
    [entry] = server.refusals()
    assert "law.py" in entry["trace"]


def test_a_refusal_log_that_cannot_be_written(server: Server, author: Author, garden: list[str]) -> None:
    bad = author.decision("garden", 9, garden[1])
    (server.path / "coordjournal").write_text("in the way")
    pushed = nothing_moved(server, lambda: author.push(server, f"{bad}:{GARDEN}"))
    assert [t.code for t in pushed.told] == ["seq"]
    assert "refusal log of the server could not be written" in pushed.said
    (server.path / "coordjournal").unlink()
    (server.path / "coordjournal").mkdir()
    (server.path / LOG).symlink_to("/dev/full")
    pushed = nothing_moved(server, lambda: author.push(server, f"{bad}:{GARDEN}"))
    assert [t.code for t in pushed.told] == ["seq"]
    assert "refusal log of the server could not be written" in pushed.said


def test_a_refusal_log_that_is_cut_short(server: Server, author: Author, garden: list[str]) -> None:
    """The disk is full after the first kilobyte."""
    server.hook.rename(server.path / "hooks" / "judge")
    write_program(server.hook, f"#!/bin/sh\nulimit -f 1\nexec {server.path}/hooks/judge\n")
    pushed = nothing_moved(server, lambda: author.push(server, *(f"{garden[2]}:refs/spaces/S{n}" for n in range(9))))
    assert len(pushed.told) == 9
    assert "refusal log of the server could not be written" in pushed.said


def test_the_refusal_log_is_put_aside_when_it_is_full(server: Server, author: Author, garden: list[str]) -> None:
    log = server.path / LOG
    log.parent.mkdir()
    with log.open("w") as file:
        file.truncate(17 << 20)
    refused_as_new = author.decision("garden", 9, garden[1])
    pushed = nothing_moved(server, lambda: author.push(server, f"{refused_as_new}:{GARDEN}"))
    assert [entry["incident"] for entry in server.refusals()] == [pushed.incident]
    assert (server.path / (LOG + ".1")).stat().st_size == 17 << 20


# ----------------------------------------------------------------------------- the hook that was here before


@pytest.fixture
def before(server: Server) -> Path:
    return server.path / "hooks" / "pre-receive.before-coordjournal"


def test_the_previous_hook_runs_with_the_same_input_and_environment(
    server: Server, author: Author, garden: list[str], before: Path
) -> None:
    seen = 'cat > input\necho "$PWD $0 $GIT_DIR $GIT_PUSH_OPTION_0 $GIT_QUARANTINE_PATH" > seen\ngit cat-file -t "$1"'
    write_program(before, f'#!/bin/sh\nset -- {garden[2]}\n{seen} > kind\necho "\x1b[1mwelcome\x1b[0m" >&2\n')
    server.set("receive.advertisePushOptions", "true")
    landed(server, author, garden[2], options=["--push-option=hello"])
    assert (server.path / "input").read_text() == f"{garden[1]} {garden[2]} {GARDEN}\n"
    assert (server.path / "kind").read_text() == "commit\n"
    folder, _, git_dir, option, quarantine = (server.path / "seen").read_text().split()
    assert (folder, git_dir, option) == (str(server.path), ".", "hello")
    assert Path(quarantine).parent == server.path / "objects"


def test_the_previous_hook_refuses(server: Server, author: Author, garden: list[str], before: Path) -> None:
    write_program(before, "#!/bin/sh\necho no tea today >&2\nexit 3\n")
    pushed = nothing_moved(server, lambda: author.push(server, f"{garden[2]}:{GARDEN}"))
    assert "no tea today" in pushed.said
    write_program(before, "#!/bin/sh\nkill -KILL $$\n")
    nothing_moved(server, lambda: author.push(server, f"{garden[2]}:{GARDEN}"))
    write_program(before, "#!/bin/sh\nkill -PIPE $$\nexit 0\n")  # Python ignores that signal, git's hooks do not
    nothing_moved(server, lambda: author.push(server, f"{garden[2]}:{GARDEN}"))
    before.write_text("#!/nowhere/sh\n")
    nothing_moved(server, lambda: author.push(server, f"{garden[2]}:{GARDEN}"))


def test_the_previous_hook_is_not_asked_about_what_is_refused(
    server: Server, author: Author, garden: list[str], before: Path
) -> None:
    write_program(before, "#!/bin/sh\ntouch asked\n")
    refused_as(server, author, author.decision("garden", 9, garden[1]), "seq", "trailer Seq")
    assert not (server.path / "asked").exists()


def test_the_previous_hook_may_leave_its_input_unread(server: Server, author: Author, before: Path) -> None:
    write_program(before, "#!/bin/sh\nexec 0<&-\nexit 0\n")
    root = author.decision("other", 0)
    pushed = author.push(server, *(f"{root}:refs/heads/branch-{'x' * 150}-{n}" for n in range(600)))
    assert pushed.landed, pushed.said


def test_a_previous_hook_that_git_would_ignore_is_ignored(
    server: Server, author: Author, garden: list[str], before: Path
) -> None:
    before.write_text("#!/bin/sh\nexit 1\n")
    before.chmod(0o644)
    landed(server, author, garden[2])


def test_a_previous_hook_without_a_first_line_runs_as_git_runs_it(
    server: Server, author: Author, garden: list[str], before: Path
) -> None:
    write_program(before, "cat > input\n")
    landed(server, author, garden[2])
    assert (server.path / "input").read_text() == f"{garden[1]} {garden[2]} {GARDEN}\n"
    write_program(before, "exit 1\n")
    nothing_moved(server, lambda: author.push(server, f"{author.decision('garden', 3, garden[2])}:{GARDEN}"))


# ------------------------------------------------------------------------------------ nothing of the pusher's steers


def hostile(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Environments that a pusher by path may have, each tried by itself."""
    settings = "[coordjournal]\n\tstrict = false\n\tclockSkew = 999999999\n\treadOnly = true\n"
    (tmp_path / "config").write_text(settings)
    (tmp_path / "xdg" / "git").mkdir(parents=True)
    (tmp_path / "xdg" / "git" / "config").write_text(settings)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text(settings)
    modules = tmp_path / "modules"
    modules.mkdir()
    for name in ("coordjournal", "os", "sitecustomize", "usercustomize", "jsonschema", "json"):
        (modules / f"{name}.py").write_text("import posix\nposix._exit(0)\n")
    (tmp_path / "startup.py").write_text("import os\nos._exit(0)\n")
    yield {"GIT_CONFIG_GLOBAL": str(tmp_path / "config")}
    yield {"GIT_CONFIG_SYSTEM": str(tmp_path / "config"), "GIT_CONFIG_NOSYSTEM": "0"}
    yield {"GIT_CONFIG": str(tmp_path / "config")}
    yield {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    counted = {"GIT_CONFIG_KEY_0": "coordjournal.readonly", "GIT_CONFIG_VALUE_0": "true"}
    counted |= {"GIT_CONFIG_KEY_1": "coordjournal.strict", "GIT_CONFIG_VALUE_1": "false"}
    yield {"GIT_CONFIG_COUNT": "2", **counted}
    yield {"PYTHONPATH": str(modules)}
    yield {"PYTHONHOME": str(modules)}
    yield {"PYTHONSTARTUP": str(tmp_path / "startup.py"), "PYTHONINSPECT": "1"}
    yield {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "error", "PYTHONUTF8": "0"}
    yield {"LC_ALL": "C", "LANG": "xx_XX", "TMPDIR": "/nowhere", "TZ": "Pacific/Kiritimati"}
    trace = str(tmp_path / "trace")
    yield {"GIT_TRACE": trace, "GIT_TRACE_SETUP": trace, "GIT_PAGER": "false", "GIT_EDITOR": "false"}


def test_the_pushers_environment_does_not_steer(
    server: Server, author: Author, garden: list[str], tmp_path: Path
) -> None:
    server.set("coordjournal.strict", "true")
    tip, seq = garden[1], 2
    for variables in hostile(tmp_path):
        how: dict[str, Any] = {"server_environment": variables}
        bad = {
            GARDEN: author.decision("garden", seq + 5, tip),
            "refs/spaces/future": author.decision("future", 0, appended=NOW + 1_000_000),
            "refs/spaces/schema": author.decision("schema", 0, document={"v": 2}),
            "refs/heads/main": tip,
        }
        told = refused(server, author, *(f"{oid}:{ref}" for ref, oid in bad.items()), **how)
        assert {t.ref: t.code for t in told} == dict(zip(bad, ("seq", "clock", "schema", "bad-ref"), strict=True))
        tip, seq = author.decision("garden", seq, tip), seq + 1
        landed(server, author, tip, **how)


def test_replace_refs_do_not_steer(server: Server, author: Author, garden: list[str]) -> None:
    bad = author.decision("garden", 9, garden[1])
    landed(server, author, garden[2], f"refs/replace/{bad}")
    assert server.git("cat-file", "commit", bad) == server.git("cat-file", "commit", garden[2])
    refused_as(server, author, bad, "seq", "trailer Seq")
    landed(server, author, garden[2], f"refs/other/{bad}")
    refused_as(server, author, bad, "seq", "trailer Seq", server_environment={"GIT_REPLACE_REF_BASE": "refs/other/"})


def test_grafts_do_not_steer(server: Server, author: Author, garden: list[str], tmp_path: Path) -> None:
    other = author.decision("garden", 1, garden[0])
    moved = author.decision("garden", 2, other)
    (tmp_path / "grafts").write_text(f"{moved} {garden[1]}\n")
    variables = {"GIT_GRAFT_FILE": str(tmp_path / "grafts")}
    [told] = refused(server, author, f"+{moved}:{GARDEN}", server_environment=variables)
    assert (told.code, told.commit) == ("not-fast-forward", other)
    (server.path / "info").mkdir(exist_ok=True)
    shutil.copy(tmp_path / "grafts", server.path / "info" / "grafts")
    [told] = refused(server, author, f"+{moved}:{GARDEN}")
    assert (told.code, told.commit) == ("not-fast-forward", other)
    landed(server, author, garden[2])


def test_objects_that_only_the_pusher_has_do_not_count(
    server: Server, author: Author, garden: list[str], tmp_path: Path
) -> None:
    """A pusher by path can lend the server's git an object directory; a log must not depend on it."""
    content = os.urandom(100)
    tree = author.tree(("100644", "body", author.blob(content)))
    payload = {**OVERLAY["payload"], "body": attached(content)}
    commit = overlay(author, garden, tree, payload=payload, subject="overlay-revised: o (100 bytes)")
    for lent in (author.path / "objects", tmp_path / 'a:b"c' / "objects"):
        if not lent.exists():
            shutil.copytree(author.path / "objects", lent)
        quoted = '"' + str(lent).replace('"', '\\"') + '"' if ":" in str(lent) else str(lent)
        before = server.refs()
        environment = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted}
        done = spoken(server, [(garden[1], commit, GARDEN)], author.pack(commit), environment)
        assert not done.landed and server.refs() == before, done.said
    landed(server, author, commit)


def test_a_server_whose_path_git_must_quote(author: Author, garden: list[str], prefix: Path, tmp_path: Path) -> None:
    folder = tmp_path / 'a:b "c"'
    folder.mkdir()
    server = Server(folder / "server.git", prefix)
    landed(server, author, garden[0])
    landed(server, author, garden[2])
    [told] = refused(server, author, f"+{garden[0]}:{GARDEN}")
    assert told.code == "not-fast-forward"


def test_alternates_of_the_server_count(author: Author, garden: list[str], server: Server, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    shutil.move(server.path / "objects", pool)
    (server.path / "objects" / "info").mkdir(parents=True)
    (server.path / "objects" / "pack").mkdir()
    (server.path / "objects" / "info" / "alternates").write_text(f"{pool}\n")
    landed(server, author, garden[2])
    refused_as(server, author, author.decision("garden", 9, garden[2]), "seq", "trailer Seq", 3)


# -------------------------------------------------------------------------------- clients that are no git client


def test_lies_about_the_old_tip(server: Server, author: Author, garden: list[str]) -> None:
    """The hook believes the old tip that the client names; git then finds that it is not so."""
    sibling = author.decision("garden", 1, garden[0])
    for old, new in (
        (ZERO["sha1"], garden[0]),
        (garden[0], sibling),
        (garden[2], author.decision("garden", 3, garden[2])),
        ("1" * 40, sibling),
        (garden[1], garden[1]),
        (garden[0], garden[0]),
    ):
        pack = author.pack(*(oid for oid in (old, new, sibling) if set(oid) != {"0"} and set(oid) != {"1"}))
        nothing_moved(server, partial(spoken, server, [(old, new, GARDEN)], pack))


def test_the_same_ref_twice(server: Server, author: Author, garden: list[str]) -> None:
    bad = author.decision("garden", 9, garden[2])
    pack = author.pack(garden[2], bad)
    nothing_moved(server, lambda: spoken(server, [(garden[1], garden[2], GARDEN), (garden[2], bad, GARDEN)], pack))
    steps = [(garden[1], garden[2], GARDEN), (garden[2], ZERO["sha1"], GARDEN)]
    nothing_moved(server, lambda: spoken(server, steps, pack))


def test_a_line_break_in_a_ref_hides_nothing(server: Server, author: Author, garden: list[str]) -> None:
    bad = author.decision("garden", 9, garden[1])
    pack = author.pack(garden[2], bad)
    hidden = f"refs/heads/x\n{garden[1]} {garden[2]} {GARDEN}"
    nothing_moved(server, lambda: spoken(server, [(ZERO["sha1"], bad, hidden), (garden[1], bad, GARDEN)], pack))
    nothing_moved(server, lambda: spoken(server, [(garden[1], bad, f"{GARDEN}\n")], pack))


def test_a_commit_whose_parent_is_missing(server: Server, author: Author, garden: list[str]) -> None:
    lost = author.decision("garden", 2, garden[1])
    child = author.decision("garden", 3, lost)
    nothing_moved(server, lambda: spoken(server, [(garden[1], child, GARDEN)], author.pack(child)))
    nothing_moved(server, lambda: spoken(server, [(garden[1], lost, GARDEN)], author.pack(child)))
    nothing_moved(server, lambda: spoken(server, [(ZERO["sha1"], child, "refs/spaces/new")], author.pack(child)))


@pytest.mark.parametrize("allowed", ["false", "true"])
def test_a_shallow_push(server: Server, author: Author, garden: list[str], allowed: str, tmp_path: Path) -> None:
    chain = author.chain("shallow", 3)
    author.git("update-ref", "refs/heads/shallow", chain[2])
    git(tmp_path, "clone", "--quiet", "--bare", "--depth=1", "-b", "shallow", f"file://{author.path}", "clone.git")
    clone = object.__new__(Author)
    clone.path, clone.object_format = tmp_path / "clone.git", "sha1"
    server.set("receive.shallowUpdate", allowed)
    nothing_moved(server, lambda: clone.push(server, f"{chain[2]}:refs/spaces/shallow"))
    (server.path / "shallow").unlink(missing_ok=True)
    if allowed == "true":
        landed(server, author, chain[1], "refs/spaces/shallow")
        pushed = clone.push(server, f"+{chain[2]}:refs/spaces/shallow")  # now the server has what the clone has not
        assert pushed.landed, pushed.said


def test_a_shallow_server_keeps_judging(server: Server, author: Author, garden: list[str]) -> None:
    (server.path / "shallow").write_text(f"{garden[1]}\n")
    landed(server, author, garden[2])
    (server.path / "shallow").write_text(f"{garden[1]}\n{garden[2]}\n")
    [told] = refused(server, author, f"+{garden[0]}:{GARDEN}")
    assert told.code == "not-fast-forward"
    chain = author.chain("cut", 2)
    (server.path / "shallow").write_text(f"{chain[1]}\n")
    landed(server, author, chain[1], "refs/spaces/cut")  # the whole log is there, whatever that file says


def test_an_empty_commit_object(server: Server, author: Author, garden: list[str]) -> None:
    empty = author.object("commit", b"")
    nothing_moved(server, lambda: spoken(server, [(garden[1], empty, GARDEN)], author.pack(empty)))


def test_two_pushes_at_once(server: Server, author: Author, garden: list[str]) -> None:
    """While the first push waits in a hook after its judgement, a second one lands: git refuses the first."""
    first, second = author.decision("garden", 2, garden[1]), author.decision("garden", 2, garden[1])
    other = (
        "#!/bin/sh\n"
        "test -e once && exit 0\n"
        "touch once\n"
        f"cd {author.path} && env -i PATH=\"$PATH\" git push -q {server.path} {second}:{GARDEN}\n"
    )
    write_program(server.path / "hooks" / "pre-receive.before-coordjournal", other)
    pushed = author.push(server, f"{first}:{GARDEN}")
    assert not pushed.landed
    assert server.tip(GARDEN) == second


def test_a_hook_without_input(server: Server) -> None:
    """Not from git, then: no updates are none to refuse, but input that is no updates or no file at all is."""
    for shell, status in (("< /dev/null", 0), ("<&-", 1), ("<<< x", 1)):
        done = subprocess.run(["bash", "-c", f"hooks/pre-receive {shell}"], cwd=server.path, capture_output=True)
        assert done.returncode == status, (shell, done.stderr)
        assert (b"cannot judge" in done.stderr) == bool(status)


def test_nothing_raw_is_explained() -> None:
    """Whoever words a refusal may forget it; what is told never does."""
    raw = "\x1b[2J\x9b2J\n\u202e\u2028\udcff"
    text = explain([Refused("seq", raw, raw, raw, ref=raw, commit="1" * 40)], logged=True)
    assert [line for line in text.split("\n") if not line.isprintable()] == []
    assert text.count("\n") == 5


def test_the_log_says_who(server: Server, author: Author, garden: list[str]) -> None:
    bad = author.decision("garden", 9, garden[1])
    refused_as(server, author, bad, "seq", "trailer Seq", server_environment={"REMOTE_USER": "alice", "GL_USER": "bob"})
    [entry] = server.refusals()
    assert (entry["REMOTE_USER"], entry["GL_USER"], entry["uid"]) == ("alice", "bob", os.getuid())
    assert entry["at"].startswith(time.strftime("%Y-"))


# --------------------------------------------------------------------------------------------- the hot path


def test_an_accepted_push_imports_nothing_heavy(
    server: Server, author: Author, garden: list[str], prefix: Path
) -> None:
    """Each of these costs more than the judgement itself."""
    listing = (
        "\nimport posix, sys\nend = posix._exit\n"
        "def listed(status):\n"
        '    open("modules", "w").write("\\n".join(sys.modules))\n'
        "    end(status)\n"
        "posix._exit = listed\nmain()\n"
    )
    write_program(server.hook, render_hook(prefix).removesuffix("main()\n") + listing)
    landed(server, author, garden[2])
    modules = set((server.path / "modules").read_text().split())
    heavy = {"re", "json", "subprocess", "typing", "hashlib", "dataclasses", "enum", "functools", "collections"}
    heavy |= {"contextlib", "datetime", "pathlib", "signal", "select", "threading", "dulwich", "jsonschema", "click"}
    assert not modules & heavy
    ours = {name for name in modules if name.startswith("coordjournal")}
    assert not ours & {"coordjournal.schema", "coordjournal.index", "coordjournal.store", "coordjournal.decision"}


def test_a_connection_that_is_gone_changes_nothing(server: Server, garden: list[str], author: Author) -> None:
    """The hook's words have nobody to read them: its status still refuses."""
    bad = author.decision("garden", 9, garden[1])
    author.git("update-ref", "refs/heads/bad", bad)
    git(server.path, "fetch", "--quiet", str(author.path), "refs/heads/bad")
    ours, theirs = socket.socketpair()
    theirs.close()
    done = subprocess.run(
        [interpreter(), "-IS", str(server.hook)],
        input=f"{garden[1]} {bad} {GARDEN}\n".encode(),
        stderr=ours.fileno(),
        cwd=server.path,
        env={"PATH": os.environ["PATH"], "GIT_DIR": "."},
        check=False,
    )
    ours.close()
    assert done.returncode == 1
