"""The sequencer, by real pushes of plain git: who gets which place, exactly once, whoever else is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pushing import (
    EMPTY_TREE,
    Author,
    Landed,
    Pushed,
    Server,
    acquisition,
    attached,
    lease_text,
    letting_go,
    run_git,
    spoken,
    stamp,
    write_program,
)
from servers import git_daemon, http_server

from coordjournal import intents, verify
from coordjournal.store import GitStore

APPEND = "refs/append/garden"
GARDEN = "refs/spaces/garden"
NOBODY = "coordjournal"
ZERO = "0" * 40


@pytest.fixture(scope="session")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return Author(tmp_path_factory.mktemp("author") / "author.git")


@pytest.fixture
def server(prefix: str, tmp_path: Path) -> Server:
    """A server that sequences and has no log yet."""
    return Server(tmp_path / "server.git", Path(prefix), sequencing=True)


def landed(server: Server, author: Author, *refspecs: str, **how: Any) -> Pushed:
    pushed = author.push(server, *refspecs, **how)
    assert pushed.landed, pushed.said
    assert not [ref for ref in server.refs() if ref.startswith("refs/append")]
    return pushed


def refused(server: Server, author: Author, *refspecs: str, **how: Any) -> list[tuple[str, str, str]]:
    """Ref, commit and code of what is refused: told and logged alike, with a remedy, and nothing has moved."""
    refs, known = server.refs(), len(server.refusals())
    pushed = author.push(server, *refspecs, **how)
    assert pushed.status == 1, pushed.said
    assert server.refs() == refs
    told = [(one.ref, one.commit, one.code) for one in pushed.told]
    assert told, pushed.said
    assert told == [(entry["ref"], entry["commit"], entry["code"]) for entry in server.refusals()[known:]]
    for one in pushed.told:
        assert one.what and one.remedy
        assert pushed.incident in {entry["incident"] for entry in server.refusals()[known:]}
    return told


def fetch(server: Server, author: Author) -> None:
    author.git("fetch", "-q", str(server.path), GARDEN)


def ids(server: Server, space: str = "garden") -> list[str]:
    return [one.id for one in server.log(space)]


def check(server: Server) -> None:
    """The repository is whole, and its logs are lawful."""
    server.git("fsck", "--strict", "--no-dangling", "--no-progress")
    assert server.locks() == []
    with closing(GitStore(server.path)) as store:
        assert [verdict for verdict in verify.repository(store) if verdict.refusal] == []


def acquired(server: Server, author: Author, holder: str = "node-a", ttl: int = 300, **how: Any) -> Landed:
    """The lease of ``garden``, acquired by an intent; its holder is a pusher whom the server knows by the name."""
    how = {"server_environment": {"REMOTE_USER": holder}, **how}
    landed(server, author, f"{author.intent(**acquisition(holder, ttl))}:{APPEND}", **how)
    fetch(server, author)
    return server.log()[-1]


def held(author: Author, after: Landed, *lines: bytes | str | None, at: int | None = None, **changes: Any) -> list[str]:
    """Stamps decisions onto the commit ``after`` as the holder of its lease does: a line each, None for a new one."""
    assert after.lease
    name, term, ttl, _ = after.lease.split("; ")
    at = max(int(time.time()), after.appended) if at is None else at
    trailer = lease_text(name, int(term[5:]), int(ttl[4:]), at + int(ttl[4:]))
    parent, commits = after.commit, []
    for number, line in enumerate(lines, after.seq + 1):
        stamped = {"appender": after.committer, "appended": at, "trailers": stamp(number, trailer)}
        parent = author.decision("garden", number, parent, line=line, **stamped, **changes)
        commits.append(parent)
    return commits


def line_of(author: Author, commit: str) -> bytes:
    return author.git("cat-file", "commit", commit).split(b"\n\n")[2].rstrip(b"\n")


CLOCK = """import time
_time, _time_ns = time.time, time.time_ns
with open("clock") as file:
    _ahead = int(file.read())
time.time = lambda: _time() + _ahead
time.time_ns = lambda: _time_ns() + _ahead * 10**9
"""


def set_clock(server: Server, ahead: int) -> None:
    """Lets the hooks believe that it is so many seconds later."""
    path = server.path / "clock"
    if not path.exists():
        for hook in ("pre-receive", "proc-receive"):
            server.before(hook, CLOCK)
    path.write_text(str(ahead))


# ------------------------------------------------------------------------------------------- what lands, and how


def test_an_intent_lands_where_the_log_is(server: Server, author: Author) -> None:
    first = author.intent()
    pushed = landed(server, author, f"{first}:{APPEND}")
    [one] = server.log()
    assert one.line.encode() == line_of(author, first)
    assert (one.seq, one.parent, one.author, one.committer, one.lease) == (0, None, "alice", NOBODY, None)
    assert f"garden {one.id} landed as {one.commit}" in pushed.said
    assert "[new reference]" in pushed.said and f"-> {GARDEN}" in pushed.said
    check(server)


def test_a_chain_lands_in_its_order(server: Server, author: Author) -> None:
    chain = author.intents(12)
    pushed = landed(server, author, f"{chain[-1]}:{APPEND}")
    log = server.log()
    assert [one.id for one in log] == [author.id(oid) for oid in chain]
    assert [one.seq for one in log] == list(range(12))
    assert pushed.said.count(" landed as ") == 10 and "... and 2 more" in pushed.said
    fetch(server, author)
    more = author.intents(2, base=log[-1].commit)
    pushed = landed(server, author, f"{more[-1]}:{APPEND}")
    assert f"{log[-1].commit[:7]}..{server.log()[-1].commit[:7]}" in pushed.said
    check(server)


def test_any_commit_of_the_log_is_a_base_and_so_is_none(server: Server, author: Author) -> None:
    for base in (None, None, 0, 1, 2):
        log = server.log()
        if log:
            fetch(server, author)
        intents = author.intents(2, base=None if base is None else log[base].commit)
        landed(server, author, f"{intents[-1]}:{APPEND}")
        assert ids(server) == [one.id for one in log] + [author.id(oid) for oid in intents]


def test_a_base_that_is_not_in_the_log(server: Server, author: Author) -> None:
    elsewhere = author.chain("garden", 2)
    intent = author.intent(base=elsewhere[1])
    assert refused(server, author, f"{intent}:{APPEND}") == [(APPEND, intent, "not-fast-forward")]
    landed(server, author, f"{elsewhere[0]}:{GARDEN}")
    assert refused(server, author, f"{intent}:{APPEND}") == [(APPEND, intent, "not-fast-forward")]
    landed(server, author, f"{elsewhere[1]}:{GARDEN}")
    landed(server, author, f"{intent}:{APPEND}")


def test_what_is_refused_leaves_nothing_for_a_space_that_has_no_log(server: Server, author: Author) -> None:
    [base] = author.chain("garden", 1)
    landed(server, author, f"{base}:{GARDEN}")
    told = refused(server, author, *(f"{author.intent(name, base=base)}:refs/append/{name}" for name in "abc"))
    assert [code for _, _, code in told] == ["not-fast-forward"] * 3
    for folder in ("locks", "ids"):
        there = server.path / "coordjournal" / folder
        assert not there.exists() or set(os.listdir(there)) <= {"garden"}
    landed(server, author, f"{author.intent('a')}:refs/append/a")


def test_a_base_whose_id_is_a_repeated_one(server: Server, author: Author) -> None:
    """The law lets a decision stand in a log twice; both commits are in it."""
    first = author.decision("garden", 0)
    again = author.decision("garden", 1, first, line=line_of(author, first))
    landed(server, author, f"{again}:{GARDEN}")
    landed(server, author, f"{author.intent(base=again)}:{APPEND}")
    landed(server, author, f"{author.intent(base=again)}:{APPEND}")
    assert len(server.log()) == 4


def test_a_base_larger_than_what_lands_today(server: Server, author: Author) -> None:
    """A limit that was lowered does not condemn the log, nor what is based on it."""
    base = author.decision("garden", 0, document={"reason": "r" * 5000})
    landed(server, author, f"{base}:{GARDEN}")
    server.set("coordjournal.maxDecisionBytes", 1000)
    landed(server, author, f"{author.intent(base=base)}:{APPEND}")
    landed(server, author, f"{author.intent(base=base)}:{APPEND}")
    large = author.intent(document={"reason": "r" * 5000})
    assert refused(server, author, f"{large}:{APPEND}") == [(APPEND, large, "too-large")]
    above = author.intent(base=large)
    assert refused(server, author, f"{above}:{APPEND}") == [(APPEND, large, "too-large")]
    assert len(server.log()) == 3
    assert not server.has(large)


def test_an_attachment_comes_along(server: Server, author: Author) -> None:
    body = b"# Garten\n"
    created = {"overlay_id": "o-1", "target": "a:1", "base_rev": None, "body": attached(body)}
    subject = f"overlay-created: o-1 on a:1 ({len(body)} bytes)"
    tree = author.tree(("100644", "body", author.blob(body)))
    intent = author.intent(kind="overlay-created", payload=created, subject=subject, tree=tree)
    landed(server, author, f"{intent}:{APPEND}")
    assert server.git("cat-file", "blob", f"{GARDEN}:body") == body
    check(server)


def test_a_signature_stays_behind(server: Server, author: Author) -> None:
    """It was of other bytes than those that land."""
    signature = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n AAAA\n -----END PGP SIGNATURE-----\n"
    landed(server, author, f"{author.intent(headers=signature)}:{APPEND}")
    assert b"gpgsig" not in server.git("cat-file", "commit", GARDEN)


def test_sha256(prefix: str, tmp_path: Path) -> None:
    server = Server(tmp_path / "server.git", Path(prefix), "sha256", sequencing=True)
    author = Author(tmp_path / "author.git", "sha256")
    chain = author.intents(2)
    landed(server, author, f"{chain[-1]}:{APPEND}")
    fetch(server, author)
    landed(server, author, f"{author.intent(base=server.log()[0].commit)}:{APPEND}")
    pushed = landed(server, author, f"{chain[-1]}:{APPEND}")
    assert pushed.said.count("landed before as") == 2
    assert [len(one.commit) for one in server.log()] == [64] * 3
    acquired(server, author)
    landed(server, author, f"{author.intent()}:{APPEND}")
    [waiting] = server.inbox().values()
    commit = held(author, server.log()[-1], line_of(author, waiting), tree=EMPTY_TREE["sha256"])[-1]
    landed(server, author, f"{commit}:{APPEND}")
    assert server.inbox() == {}
    check(server)


def test_several_spaces_at_once(server: Server, author: Author) -> None:
    """All of them land or none; and all refs move in one transaction."""
    spaces = ["a", "b", "Größe/1"]
    refs = ["refs/append/a", "refs/append/b", "refs/append/%47r%C3%B6%C3%9Fe%2F1"]
    write_program(
        server.path / "hooks" / "reference-transaction",
        '#!/bin/sh\ntest "$1" = committed && { cat; echo; } >> transactions\nexit 0\n',
    )
    intents = [author.intent(space) for space in spaces]
    pushed = landed(server, author, *(f"{oid}:{ref}" for oid, ref in zip(intents, refs, strict=True)))
    assert [len(server.log(space)) for space in spaces] == [1, 1, 1]
    assert pushed.said.count("[new reference]") == 3
    [transaction] = (server.path / "transactions").read_text().split("\n\n")[:-1]
    assert sorted(line.split()[2] for line in transaction.split("\n")) == sorted(server.refs())
    bad = author.intent("b", base=author.decision("b", 0))
    more = [author.intent("a"), bad, author.intent("Größe/1")]
    told = refused(server, author, *(f"{oid}:{ref}" for oid, ref in zip(more, refs, strict=True)))
    assert told == [("refs/append/b", bad, "not-fast-forward")]
    check(server)


def test_some_refused_of_many_each_say_so(server: Server, author: Author) -> None:
    bad = [author.intent(space, base=author.decision(space, 0)) for space in ("a", "b")]
    good = author.intent("c")
    specs = [f"{bad[0]}:refs/append/a", f"{bad[1]}:refs/append/b", f"{good}:refs/append/c"]
    done = run_git(author.path, ["push", "--porcelain", str(server.path), *specs])
    flags = {line.split("\t")[1].partition(":")[2]: line for line in done.stdout.decode().splitlines() if "\t" in line}
    assert "[remote rejected] (not-fast-forward)" in flags["refs/append/a"]
    assert "[remote rejected] (not-fast-forward)" in flags["refs/append/b"]
    assert "[remote rejected] (refused with refs/append/a, refs/append/b)" in flags["refs/append/c"]
    assert done.returncode == 1 and server.refs() == {}
    assert [entry["ref"] for entry in server.refusals()] == ["refs/append/a", "refs/append/b"]


def test_beside_logs_that_only_grow_through_it(server: Server, author: Author) -> None:
    """docs/format.md: a server may hide its very many logs from pushers."""
    server.set("receive.hideRefs", "refs/spaces")
    landed(server, author, f"{author.intent()}:{APPEND}")
    landed(server, author, f"{author.intent()}:{APPEND}")
    assert not author.push(server, f"{author.decision('other', 0)}:refs/spaces/other").landed
    assert set(server.refs()) == {GARDEN}


def test_a_branch_that_looks_like_the_log_is_not_it(server: Server, author: Author) -> None:
    """git takes refs/heads/refs/spaces/garden for refs/spaces/garden where there is none."""
    other = author.chain("garden", 2)
    author.git("update-ref", "refs/heads/x", other[1])
    server.git("fetch", "-q", str(author.path), "refs/heads/x:refs/heads/refs/spaces/garden")
    landed(server, author, f"{author.intent()}:{APPEND}")
    assert [one.seq for one in server.log()] == [0]


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_every_protocol_version(server: Server, author: Author, version: str) -> None:
    server.set("protocol.version", version)
    how = {"environment": {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.version"}}
    how["environment"]["GIT_CONFIG_VALUE_0"] = version
    landed(server, author, f"{author.intent()}:{APPEND}", **how)
    landed(server, author, f"{author.intent()}:{APPEND}", **how)
    assert len(server.log()) == 2


def test_over_git_daemon_and_http(server: Server, author: Author) -> None:
    with git_daemon(server.path.parent) as url:
        done = run_git(author.path, ["push", f"{url}/server.git", f"{author.intent()}:{APPEND}"])
        assert done.returncode == 0 and f"-> {GARDEN}".encode() in done.stderr
    with http_server(server.path.parent) as http:
        intent = author.intent()
        http.lose_replies = 2  # of the first one git itself thinks that the connection was too old
        done = run_git(author.path, ["push", f"{http.url}/server.git", f"{intent}:{APPEND}"])
        assert done.returncode != 0, done
        done = run_git(author.path, ["push", f"{http.url}/server.git", f"{intent}:{APPEND}"])
        assert done.returncode == 0 and b"landed before as" in done.stderr
    assert [(one.seq, one.committer) for one in server.log()] == [(0, NOBODY), (1, "somebody")]


@pytest.mark.parametrize(
    "who, committer",
    [
        ({"GL_USER": "bob", "REMOTE_USER": "eve"}, "bob"),
        ({"REMOTE_USER": "eve"}, "eve"),
        ({"REMOTE_USER": "Eve Ömer"}, "Eve Ömer"),
        ({"GL_USER": "a <b>", "REMOTE_USER": "eve"}, "eve"),
        ({"GL_USER": ""}, NOBODY),
    ],
)
def test_the_committer_is_the_pusher(
    server: Server, author: Author, who: Mapping[str, str], committer: str
) -> None:
    landed(server, author, f"{author.intent()}:{APPEND}", server_environment=who)
    assert [one.committer for one in server.log()] == [committer]


# ----------------------------------------------------------------------------------------------- what does not land


def test_only_where_it_is_offered(server: Server, author: Author) -> None:
    server.git("config", "--unset", "receive.procReceiveRefs")
    intent = author.intent()
    assert refused(server, author, f"{intent}:{APPEND}") == [(APPEND, intent, "bad-ref")]
    assert not server.has(intent)


def test_a_hook_that_is_missing(server: Server, author: Author) -> None:
    (server.path / "hooks" / "proc-receive").unlink()
    assert not author.push(server, f"{author.intent()}:{APPEND}").landed
    assert server.refs() == {}


def test_nothing_is_deleted_there(server: Server, author: Author) -> None:
    landed(server, author, f"{author.intent()}:{APPEND}")
    assert refused(server, author, f":{APPEND}") == [(APPEND, ZERO, "bad-ref")]


@pytest.mark.parametrize("options", [[], ["--atomic"]])
def test_not_together_with_other_refs(server: Server, author: Author, options: list[str]) -> None:
    intent, other = author.intent(), author.decision("other", 0)
    for ref in ("refs/spaces/other", "refs/heads/main"):
        told = refused(server, author, f"{intent}:{APPEND}", f"{other}:{ref}", options=options)
        assert told == [(APPEND, intent, "bad-ref")]
    assert not server.has(intent) and not server.has(other)


SPELLINGS = ["Garden", "%67arden", "garden/x", "gärden", "garden%2e"]


def test_other_spellings(server: Server, author: Author) -> None:
    intent = author.intent()
    refs = [f"refs/append/{name}" for name in SPELLINGS] + ["refs/append", "refs/Append/garden", "refs/APPEND"]
    for ref in refs:
        told = refused(server, author, f"{intent}:{ref}")
        assert [(ref, code) for ref, _, code in told] == [(ref, "bad-ref")]
    assert not server.has(intent)
    pushed = author.push(server, f"{intent}:refs/Append/garden")
    assert "does not sequence" not in pushed.said


def test_nobody_pushes_to_the_inbox(server: Server, author: Author) -> None:
    intent = author.intent()
    name = f"refs/intents/garden/{1:016}-{author.id(intent)}"
    assert refused(server, author, f"{intent}:{name}") == [(name, intent, "bad-ref")]
    acquired(server, author)
    landed(server, author, f"{intent}:{APPEND}")
    [waiting] = server.inbox()
    name = f"refs/intents/garden/{waiting}"
    assert refused(server, author, f":{name}") == [(name, intent, "bad-ref")]


def test_a_namespace_holds_no_logs(server: Server, author: Author) -> None:
    intent = author.intent()
    told = refused(server, author, f"{intent}:{APPEND}", server_environment={"GIT_NAMESPACE": "foo"})
    assert told == [(APPEND, intent, "bad-ref")]


def test_read_only(server: Server, author: Author) -> None:
    server.set("coordjournal.readOnly", "true")
    intent = author.intent()
    pushed = author.push(server, f"{intent}:{APPEND}")
    assert [one.code for one in pushed.told] == ["read-only"]
    assert server.refs() == {} and not server.has(intent)


UNLAWFUL: list[tuple[str, dict[str, Any]]] = [
    ("bad-json", {"line": "{"}),
    ("not-canonical", {"line": '{ "v":1}'}),
    ("schema", {"payload": {"alias": "Home"}}),
    ("unknown-type", {"kind": "alias", "subject": "alias: x"}),
    ("wrong-space", {"document": {"space": "other"}}),
    ("subject", {"subject": "alias-set: something else"}),
    ("author", {"author": "author bob <> 5 +0000"}),
    ("attachment", {"tree": "?"}),
    ("bad-commit", {"message": b"alias-set: x\n"}),
    ("bad-commit", {"trailers": b"\nSeq: 07\n"}),
    ("clock", {"decided": int(time.time()) + 1_000_000}),
    ("too-large", {"document": {"reason": "r" * 9000}}),
    ("undeclared-type", {"kind": "x-acme-tag", "payload": {}, "subject": "x-acme-tag: {}"}),
    ("lease", {"kind": "lease-released", "payload": {"holder": "node-a"}, "subject": "lease-released: node-a"}),
    ("lease", letting_go("01935c2f-7b00-7000-8000-000000000001", "why")),
    ("lease", acquisition("node-a", 119)),
    ("lease", acquisition("node-a", 3601)),
]


@pytest.mark.parametrize("code, changes", UNLAWFUL, ids=[f"{i}-{code}" for i, (code, _) in enumerate(UNLAWFUL)])
def test_refused_before_anything_is_stored(server: Server, author: Author, code: str, changes: dict[str, Any]) -> None:
    """Also in the middle of a chain; the intent itself is named."""
    server.set("coordjournal.maxDecisionBytes", 8000)
    if changes.get("tree"):
        changes = {"tree": author.tree(("100644", "body", author.blob(b"x")))}
    bad = author.intent(base=author.intent(), **changes)
    assert refused(server, author, f"{author.intent(base=bad)}:{APPEND}") == [(APPEND, bad, code)]
    assert not server.has(bad)


def test_what_is_no_commit(server: Server, author: Author) -> None:
    blob = author.blob(b"x")
    assert refused(server, author, f"{blob}:{APPEND}") == [(APPEND, blob, "not-a-commit")]
    tag = author.object("tag", f"object {author.intent()}\ntype commit\ntag x\ntagger x <> 1 +0000\n\nx\n".encode())
    assert refused(server, author, f"{tag}:{APPEND}") == [(APPEND, tag, "not-a-commit")]


def test_a_merge_of_intents(server: Server, author: Author) -> None:
    one, two = author.intent(), author.intent()
    raw = author.git("cat-file", "commit", author.intent(base=one))
    merge = author.object("commit", raw.replace(f"parent {one}\n".encode(), f"parent {one}\nparent {two}\n".encode()))
    assert refused(server, author, f"{merge}:{APPEND}") == [(APPEND, merge, "merge")]


def test_too_large_with_its_stamp_alone(server: Server, author: Author) -> None:
    """An intent of just the limit fits, its commit in the log would not: that is seen only by the sequencer."""
    intent = author.intent()
    size = int(author.git("cat-file", "-s", intent))
    server.set("coordjournal.maxDecisionBytes", size)
    assert refused(server, author, f"{intent}:{APPEND}") == [(APPEND, intent, "too-large")]
    server.set("coordjournal.maxDecisionBytes", size + 100)
    landed(server, author, f"{intent}:{APPEND}")


def test_a_client_that_names_a_ref_twice(server: Server, author: Author) -> None:
    """git's own client does not; of two intents neither may be lost in silence."""
    first, second = author.intent(), author.intent()
    pack = author.pack(first, second, EMPTY_TREE["sha1"])
    pushed = spoken(server, [(ZERO, first, APPEND), (ZERO, second, APPEND)], pack)
    assert not pushed.landed
    assert server.refs() == {}


def test_a_client_that_lies_about_the_old_commit(server: Server, author: Author) -> None:
    intent = author.intent()
    pushed = spoken(server, [(intent, author.intent(base=intent), APPEND)], author.pack(intent, EMPTY_TREE["sha1"]))
    assert not pushed.landed and server.refs() == {}  # its object is missing
    other = author.intent()
    assert spoken(server, [(other, intent, APPEND)], author.pack(intent, EMPTY_TREE["sha1"])).landed
    assert ids(server) == [author.id(intent)]


def test_a_log_that_is_none_is_left_alone(server: Server, author: Author) -> None:
    server.git("hash-object", "-t", "tree", "-w", "--stdin")
    ident = ["-c", "user.name=x", "-c", "user.email=x"]
    server.git("update-ref", GARDEN, server.git(*ident, "commit-tree", EMPTY_TREE["sha1"], "-m", "x").decode().strip())
    refs = server.refs()
    pushed = author.push(server, f"{author.intent()}:{APPEND}")
    assert not pushed.landed and "cannot judge" in pushed.said
    assert server.refs() == refs


# ----------------------------------------------------------------------------------------------------- exactly once


def test_the_same_intent_again(server: Server, author: Author, tmp_path: Path) -> None:
    intent = author.intent()
    first = landed(server, author, f"{intent}:{APPEND}")
    log = server.log()
    assert "landed as" in first.said
    fetch(server, author)
    somebody = Author(tmp_path / "somebody.git")
    somebody.git("fetch", "-q", str(author.path), f"{intent}:refs/heads/x")
    somebody.git("fetch", "-q", str(server.path), GARDEN)
    for later in (False, True):
        if later:
            landed(server, author, f"{author.intents(3)[-1]}:{APPEND}")
            log = server.log()
            fetch(server, author)
        for client, commit in (
            (author, intent),
            (author, author.rebased(intent, log[-1].commit)),
            (somebody, somebody.rebased(intent, log[0].commit)),
        ):
            pushed = landed(server, client, f"{commit}:{APPEND}")
            assert f"garden {log[0].id} landed before as {log[0].commit}" in pushed.said
            assert f"-> {GARDEN}" in pushed.said
            assert server.tip(GARDEN) == log[-1].commit
    assert server.log() == log
    check(server)


def test_a_landing_that_no_sequencer_made(server: Server, author: Author) -> None:
    """A decision that was stamped by its author is the same decision."""
    intent = author.intent()
    stamped = author.decision("garden", 0, line=line_of(author, intent))
    landed(server, author, f"{stamped}:{GARDEN}")
    pushed = landed(server, author, f"{intent}:{APPEND}")
    assert f"landed before as {stamped}" in pushed.said
    assert len(server.log()) == 1


def test_the_first_landing_answers(server: Server, author: Author) -> None:
    first = author.decision("garden", 0)
    again = author.decision("garden", 1, first, line=line_of(author, first))
    landed(server, author, f"{again}:{GARDEN}")
    pushed = landed(server, author, f"{author.intent(line=line_of(author, first))}:{APPEND}")
    assert f"landed before as {first}" in pushed.said


def test_some_of_them_have_landed(server: Server, author: Author) -> None:
    chain = author.intents(4)
    landed(server, author, f"{chain[1]}:{APPEND}")
    landed(server, author, f"{author.intent()}:{APPEND}")
    pushed = landed(server, author, f"{chain[3]}:{APPEND}")
    assert (pushed.said.count("landed before as"), pushed.said.count("landed as")) == (2, 2)
    assert [ids(server)[i] for i in (0, 1, 3, 4)] == [author.id(oid) for oid in chain]
    pushed = landed(server, author, f"{chain[2]}:{APPEND}")
    assert pushed.said.count("landed before as") == 3
    assert len(server.log()) == 5


def test_twice_in_one_push(server: Server, author: Author) -> None:
    first = author.intent()
    again = author.intent(base=author.intent(base=first), line=line_of(author, first))
    landed(server, author, f"{again}:{APPEND}")
    assert len(server.log()) == 2
    assert ids(server)[0] == author.id(first)


def test_another_decision_of_the_same_id(server: Server, author: Author) -> None:
    first = author.intent()
    other = author.intent(document={"id": author.id(first), "reason": "another one"})
    both = author.intent(base=first, document={"id": author.id(first), "reason": "another one"})
    assert refused(server, author, f"{both}:{APPEND}") == [(APPEND, both, "id-conflict")]
    landed(server, author, f"{first}:{APPEND}")
    assert refused(server, author, f"{other}:{APPEND}") == [(APPEND, other, "id-conflict")]
    assert refused(server, author, f"{both}:{APPEND}") == [(APPEND, both, "id-conflict")]
    elsewhere = author.intent("other", document={"id": author.id(first)})
    landed(server, author, f"{elsewhere}:refs/append/other")  # another space, another log
    acquired(server, author)
    waiting = author.intent()
    landed(server, author, f"{waiting}:{APPEND}")
    other = author.intent(document={"id": author.id(waiting), "reason": "another one"})
    assert refused(server, author, f"{other}:{APPEND}") == [(APPEND, other, "id-conflict")]
    assert len(server.inbox()) == 1


def test_an_index_that_is_lost_or_damaged(server: Server, author: Author) -> None:
    chain = author.intents(3)
    landed(server, author, f"{chain[-1]}:{APPEND}")
    [table] = (server.path / "coordjournal" / "ids").iterdir()
    for damage in (None, b"", b"x" * 5000):
        table.unlink() if damage is None else table.write_bytes(damage)
        pushed = landed(server, author, f"{chain[-1]}:{APPEND}")
        assert pushed.said.count("landed before as") == 3
    assert len(server.log()) == 3


# ------------------------------------------------------------------------------------------------------------ leases


def test_a_lease_by_an_intent(server: Server, author: Author) -> None:
    landed(server, author, f"{author.intent()}:{APPEND}")
    one = acquired(server, author, "teams/node-a")
    token = one.id.replace("-", "")[-16:]
    assert one.lease == lease_text(f"teams/node-a/{token}", 1, 300, one.appended + 300)
    assert (one.seq, one.committer) == (1, "teams/node-a")
    check(server)


def test_a_lease_that_somebody_else_holds(server: Server, author: Author) -> None:
    acquired(server, author)
    for holder in ("node-a", "node-b"):  # even of that name: it may be another process
        intent = author.intent(**acquisition(holder))
        assert refused(server, author, f"{intent}:{APPEND}") == [(APPEND, intent, "lease-held")]
    behind = author.intent(base=author.intent(), **acquisition("node-b"))
    assert refused(server, author, f"{behind}:{APPEND}") == [(APPEND, behind, "lease-held")]
    assert server.inbox() == {}


def test_the_acquisition_that_landed_is_answered_again(server: Server, author: Author) -> None:
    intent = author.intent(**acquisition("node-a"))
    landed(server, author, f"{intent}:{APPEND}")
    pushed = landed(server, author, f"{intent}:{APPEND}")
    assert "landed before as" in pushed.said


def test_what_follows_an_acquisition_is_for_its_holder(server: Server, author: Author) -> None:
    lease = author.intent(base=author.intent(), **acquisition("node-a"))
    after = author.intent(base=lease)
    assert refused(server, author, f"{after}:{APPEND}") == [(APPEND, lease, "lease")]
    landed(server, author, f"{lease}:{APPEND}")
    assert [one.lease is not None for one in server.log()] == [False, True]


def test_intents_wait_for_the_holder(server: Server, author: Author) -> None:
    lease = acquired(server, author)
    intents = author.intents(3)
    pushed = landed(server, author, f"{intents[-1]}:{APPEND}")
    single = author.intent()
    landed(server, author, f"{single}:{APPEND}")
    inbox = server.inbox()
    assert list(inbox.values()) == [*intents, single]
    assert [name.partition("-")[2] for name in inbox] == [author.id(oid) for oid in inbox.values()]
    assert all(len(name.partition("-")[0]) == 16 for name in inbox)
    arrivals = [int(name.partition("-")[0]) for name in inbox]
    assert arrivals == sorted(set(arrivals)) and abs(arrivals[0] - time.time_ns() // 1000) < 60 * 10**6
    assert server.log() == [lease]
    assert pushed.said.count("waits for 'node-a', who holds the lease, as refs/intents/garden/") == 3
    assert pushed.said.count("[new reference]") == 3
    check(server)


def test_an_intent_waits_once(server: Server, author: Author) -> None:
    acquired(server, author)
    chain = author.intents(2)
    landed(server, author, f"{chain[0]}:{APPEND}")
    inbox = server.inbox()
    fetch(server, author)
    for again in (chain[0], author.rebased(chain[0], server.log()[-1].commit)):
        pushed = landed(server, author, f"{again}:{APPEND}")
        assert next(iter(inbox)) in pushed.said
        assert server.inbox() == inbox
    landed(server, author, f"{chain[1]}:{APPEND}")
    assert list(server.inbox().values()) == chain


def test_arrivals_rise_whatever_the_clock_does(server: Server, author: Author) -> None:
    acquired(server, author)
    waiting = [author.intent() for _ in range(3)]
    for intent, ahead in zip(waiting, (30, 0, -3), strict=True):
        set_clock(server, ahead)
        landed(server, author, f"{intent}:{APPEND}")
    assert list(server.inbox().values()) == waiting


def test_the_holder_lands_them(server: Server, author: Author) -> None:
    """The log and the inbox move in one transaction."""
    lease = acquired(server, author)
    waiting = [author.intent() for _ in range(3)]
    for intent in waiting:
        landed(server, author, f"{intent}:{APPEND}")
    write_program(
        server.path / "hooks" / "reference-transaction",
        '#!/bin/sh\ntest "$1" = committed && { cat; echo; } >> transactions\nexit 0\n',
    )
    fetch(server, author)
    own = held(author, lease, line_of(author, waiting[0]), None, line_of(author, waiting[2]))
    pushed = landed(server, author, f"{own[-1]}:{APPEND}")
    assert f"{lease.commit[:7]}..{own[-1][:7]}" in pushed.said
    assert list(server.inbox().values()) == [waiting[1]]
    [transaction] = (server.path / "transactions").read_text().split("\n\n")[:-1]
    assert len(transaction.split("\n")) == 3
    assert [one.commit for one in server.log()] == [lease.commit, *own]
    pushed = landed(server, author, f"{own[-1]}:{APPEND}")  # the answer was lost, perhaps
    assert server.log()[-1].commit == own[-1]
    pushed = landed(server, author, f"{waiting[0]}:{APPEND}")
    assert f"landed before as {own[0]}" in pushed.said
    assert list(server.inbox().values()) == [waiting[1]]
    check(server)


def test_nobody_lands_another_decision_under_an_id_that_waits(server: Server, author: Author) -> None:
    """Its author would take that for the landing, and the intent would have left the inbox."""
    lease = acquired(server, author)
    intent = author.intent()
    landed(server, author, f"{intent}:{APPEND}")
    fetch(server, author)
    other = line_of(author, intent).replace(b'"actor":"alice"', b'"actor":"carol"')
    [stamped] = held(author, lease, other, actor="carol")
    assert refused(server, author, f"{stamped}:{APPEND}") == [(APPEND, stamped, "id-conflict")]
    assert list(server.inbox().values()) == [intent]


def test_the_holder_lets_one_go(server: Server, author: Author) -> None:
    lease = acquired(server, author)
    intent, other = author.intent(), author.intent()
    for one in (intent, other):
        landed(server, author, f"{one}:{APPEND}")
    gone = held(author, lease, None, **letting_go(author.id(intent), "no such page"))
    landed(server, author, f"{gone[-1]}:{APPEND}")
    assert list(server.inbox().values()) == [other]
    check(server)


@pytest.mark.parametrize("ref", [APPEND, GARDEN])
def test_what_was_let_go_stays_so(server: Server, author: Author, ref: str) -> None:
    """Whoever pushes it again reads why, whichever way the refusal came and whoever holds the lease by now."""
    lease = acquired(server, author)
    intent = author.intent()
    gone = held(author, lease, None, **letting_go(author.id(intent), "no such page"))
    landed(server, author, f"{gone[-1]}:{ref}")
    for ahead in (0, 400):
        set_clock(server, ahead)
        for commit in (intent, author.rebased(intent, lease.commit)):
            pushed = author.push(server, f"{commit}:{APPEND}")
            assert [(one.commit, one.code) for one in pushed.told] == [(commit, "intent-refused")]
            assert "no such page" in pushed.said and gone[-1] in pushed.said
        [table] = (server.path / "coordjournal" / "ids").iterdir()
        table.unlink()
        assert refused(server, author, f"{intent}:{APPEND}") == [(APPEND, intent, "intent-refused")]
    assert server.inbox() == {}
    behind = author.intent(base=intent)
    assert refused(server, author, f"{behind}:{APPEND}") == [(APPEND, intent, "intent-refused")]


def test_what_landed_after_all(server: Server, author: Author) -> None:
    """The holder may think again: what is in the log is in the log."""
    lease = acquired(server, author)
    intent = author.intent()
    gone = held(author, lease, None, **letting_go(author.id(intent), "no such page"))
    landed(server, author, f"{gone[-1]}:{APPEND}")
    own = held(author, server.log()[-1], line_of(author, intent))
    landed(server, author, f"{own[-1]}:{APPEND}")
    assert f"landed before as {own[-1]}" in landed(server, author, f"{intent}:{APPEND}").said


def test_an_intent_that_waits_for_a_clock(server: Server, author: Author) -> None:
    """The server's clock went back by more than the skew: the intent's time will come, so it is not let go."""
    acquired(server, author, "node-a", 120)
    ahead = author.intent(decided=int(time.time()) + 195)
    set_clock(server, 140)
    acquired(server, author, "node-b", 200)
    landed(server, author, f"{ahead}:{APPEND}")
    release = server.log()[-1]
    name = str(release.lease).partition(";")[0]
    end = author.decision(
        "garden", 2, release.commit, appender="node-b", appended=release.appended,
        kind="lease-released", payload={"holder": "node-b"}, subject="lease-released: node-b",
        trailers=stamp(2, lease_text(name, 2, 200, release.appended)),
    )
    landed(server, author, f"{end}:{APPEND}")
    set_clock(server, 100)
    landed(server, author, f"{author.intent()}:{APPEND}")
    assert list(server.inbox().values()) == [ahead]
    set_clock(server, 150)
    landed(server, author, f"{author.intent()}:{APPEND}")
    assert server.inbox() == {} and author.id(ahead) in ids(server)
    check(server)


def test_the_holder_pushes_past_the_sequencer(server: Server, author: Author) -> None:
    """What landed by an ordinary push leaves the inbox with the next push through the sequencer."""
    lease = acquired(server, author)
    intents = [author.intent() for _ in range(2)]
    for one in intents:
        landed(server, author, f"{one}:{APPEND}")
    own = held(author, lease, line_of(author, intents[0]))
    landed(server, author, f"{own[-1]}:{GARDEN}")
    assert len(server.inbox()) == 2
    pushed = landed(server, author, f"{intents[0]}:{APPEND}")
    assert f"landed before as {own[0]}" in pushed.said
    own = held(author, server.log()[-1], None)
    landed(server, author, f"{own[-1]}:{APPEND}")
    assert list(server.inbox().values()) == [intents[1]]
    set_clock(server, 400)
    landed(server, author, f"{author.intent()}:{APPEND}")
    assert server.inbox() == {}
    assert len(server.log()) == 5
    check(server)


def test_a_stale_holder(server: Server, author: Author) -> None:
    lease = acquired(server, author, "node-a", 120)
    stale = held(author, lease, None)
    set_clock(server, 130)
    new = acquired(server, author, "node-b", 3000)
    assert new.lease and new.lease.startswith("node-b/") and "; term=2; " in new.lease
    fetch(server, author)
    assert refused(server, author, f"{stale[-1]}:{APPEND}") == [(APPEND, stale[-1], "not-fast-forward")]
    for at in (new.appended, new.appended + 200):
        on_top = author.decision(
            "garden", 2, new.commit, appender="node-a", appended=at,
            trailers=stamp(2, lease_text(str(lease.lease).partition(";")[0], 1, 120, at + 120)),
        )
        [(_, _, code)] = refused(server, author, f"{on_top}:{APPEND}")
        assert code in ("lease-held", "clock")
    check(server)


def test_a_lease_that_has_ended(server: Server, author: Author) -> None:
    """The first push through the sequencer lands what waits, in the order of arrival, before its own."""
    lease = acquired(server, author, "node-a", 120)
    waiting = [author.intent() for _ in range(3)]
    for intent in waiting:
        landed(server, author, f"{intent}:{APPEND}")
    set_clock(server, 90)
    last = author.intent()
    landed(server, author, f"{last}:{APPEND}")
    assert len(server.inbox()) == 4
    set_clock(server, 121)
    own = author.intent()
    landed(server, author, f"{own}:{APPEND}")
    assert server.inbox() == {}
    log = server.log()
    assert [one.id for one in log] == [lease.id, *(author.id(oid) for oid in (*waiting, last, own))]
    assert {one.lease for one in log[1:]} == {"-; term=1"}
    pushed = landed(server, author, f"{waiting[1]}:{APPEND}")
    assert f"landed before as {log[2].commit}" in pushed.said
    check(server)


def test_what_is_pushed_again_after_the_end_lands_once(server: Server, author: Author) -> None:
    acquired(server, author, "node-a", 120)
    waiting = author.intents(2)
    landed(server, author, f"{waiting[-1]}:{APPEND}")
    set_clock(server, 130)
    pushed = landed(server, author, f"{author.intent(base=waiting[-1])}:{APPEND}")
    assert pushed.said.count("landed as") == 3
    assert len(server.log()) == 4 and server.inbox() == {}


def test_the_next_holder_finds_what_waited_in_the_log(server: Server, author: Author) -> None:
    acquired(server, author, "node-a", 120)
    waiting = author.intent()
    landed(server, author, f"{waiting}:{APPEND}")
    set_clock(server, 130)
    lease = acquired(server, author, "node-b", 300)
    assert [one.id for one in server.log()][1:] == [author.id(waiting), lease.id]
    assert lease.lease and "term=2" in lease.lease
    check(server)


def test_a_released_lease(server: Server, author: Author) -> None:
    lease = acquired(server, author)
    landed(server, author, f"{author.intent()}:{APPEND}")
    name = str(lease.lease).partition(";")[0]
    end = author.decision(
        "garden", 1, lease.commit, appender="node-a", appended=lease.appended,
        kind="lease-released", payload={"holder": "node-a"}, subject="lease-released: node-a",
        trailers=stamp(1, lease_text(name, 1, 300, lease.appended)),
    )
    landed(server, author, f"{end}:{APPEND}")
    assert len(server.inbox()) == 1
    landed(server, author, f"{author.intent()}:{APPEND}")
    assert server.inbox() == {} and [one.lease for one in server.log()][2:] == ["-; term=1"] * 2
    check(server)


def test_what_can_no_longer_land_is_let_go(server: Server, author: Author) -> None:
    """On the record, and it does not hold up the others."""
    acquired(server, author, "node-a", 120)
    large, small = author.intent(document={"reason": "r" * 5000}), author.intent()
    for intent in (large, small):
        landed(server, author, f"{intent}:{APPEND}")
    server.set("coordjournal.maxDecisionBytes", 4000)
    set_clock(server, 130)
    own = author.intent()
    landed(server, author, f"{own}:{APPEND}")
    _, gone, *others = server.log()
    assert [one.id for one in others] == [author.id(small), author.id(own)]
    doc = json.loads(gone.line)
    assert (doc["type"], doc["actor"], gone.committer) == ("intent-refused", NOBODY, NOBODY)
    assert doc["payload"]["decision"] == author.id(large)
    assert "too-large" in doc["payload"]["reason"]
    assert server.inbox() == {}
    server.set("coordjournal.maxDecisionBytes", 8000)
    assert refused(server, author, f"{large}:{APPEND}") == [(APPEND, large, "intent-refused")]
    check(server)


def test_where_not_even_letting_go_fits_the_intent_waits_on(server: Server, author: Author) -> None:
    acquired(server, author, "node-a", 120)
    long = author.intent(document={"reason": "r" * 1000})
    landed(server, author, f"{long}:{APPEND}")
    server.set("coordjournal.maxDecisionBytes", 500)
    set_clock(server, 130)
    own = author.intent(payload={"alias": "H", "target": "t"}, subject="alias-set: H -> t")
    landed(server, author, f"{own}:{APPEND}")
    assert list(server.inbox().values()) == [long]
    assert ids(server)[-1] == author.id(own)
    server.set("coordjournal.maxDecisionBytes", 5000)
    landed(server, author, f"{author.intent()}:{APPEND}")
    assert server.inbox() == {} and author.id(long) in ids(server)
    check(server)


def test_who_pushes_what_can_no_longer_land_is_told(server: Server, author: Author) -> None:
    """It fits as an intent, and does not with its stamp: nobody may read that it has landed."""
    acquired(server, author, "node-a", 120)
    intent = author.intent(document={"reason": "r" * 1000})
    size = int(author.git("cat-file", "-s", intent))
    landed(server, author, f"{intent}:{APPEND}")
    server.set("coordjournal.maxDecisionBytes", size)
    set_clock(server, 130)
    assert refused(server, author, f"{intent}:{APPEND}") == [(APPEND, intent, "too-large")]


def test_stamped_by_whoever_won_the_race(server: Server, author: Author) -> None:
    """Without a lease anybody may stamp."""
    chain = author.chain("garden", 3)
    landed(server, author, f"{chain[1]}:{APPEND}")
    pushed = landed(server, author, f"{chain[2]}:{APPEND}")
    assert f"{chain[1][:7]}..{chain[2][:7]}" in pushed.said
    late = author.decision("garden", 2, chain[1])
    assert refused(server, author, f"{late}:{APPEND}") == [(APPEND, late, "not-fast-forward")]
    assert not server.has(late)
    assert refused(server, author, f"{chain[0]}:{APPEND}") == [(APPEND, chain[0], "not-fast-forward")]
    assert server.tip(GARDEN) == chain[2]


def test_stamped_on_intents(server: Server, author: Author) -> None:
    stamped = author.decision("garden", 1, author.intent())
    [(ref, _, code)] = refused(server, author, f"{stamped}:{APPEND}")
    assert (ref, code) == (APPEND, "seq")


# ------------------------------------------------------------------------------------------------ beside each other


WRITER = """
import subprocess, sys
place, server, mode, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
sys.path.insert(0, sys.argv[5])
from pathlib import Path
from pushing import Author, run_git
author = Author(Path(place))
for number in range(count):
    intent = author.intent(document={"id": f"01935c2f-7b00-7000-9000-{int(sys.argv[6]):04x}{number:08x}"})
    while True:
        if mode == "append":
            done = run_git(author.path, ["push", server, f"{intent}:refs/append/garden"])
            assert done.returncode == 0, done.stderr.decode()
            print(author.id(intent))
            break
        author.git("fetch", "-q", server, "+refs/spaces/*:refs/spaces/*")
        log = author.git("rev-list", "--all").split()
        raw = author.git("cat-file", "commit", intent).partition(b"\\n\\n")[2].split(b"\\n\\n")[1].rstrip(b"\\n")
        tip = author.git("for-each-ref", "--format=%(objectname)", "refs/spaces/garden").decode().strip() or None
        behind = author.git("log", "-1", "--format=%ct", tip) if tip else b"0"
        commit = author.decision("garden", len(log), tip, line=raw, appended=max(int(behind), START))
        done = run_git(author.path, ["push", server, f"{commit}:refs/spaces/garden"])
        if done.returncode == 0:
            print(author.id(intent))
            break
"""


def test_ordinary_pushes_and_sequenced_ones_at_once(server: Server, tmp_path: Path) -> None:
    """Sequenced pushes never fail; each decision that was acknowledged is in the log exactly once."""
    program = WRITER.replace("START", str(int(time.time())))
    modes, here = ["append", "append", "append", "plain"], Path(__file__).parent
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, tmp_path / f"{number}.git", server.path, mode, "5", here, str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, mode in enumerate(modes)
    ]
    acknowledged = [writer.communicate(timeout=60)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4
    log = ids(server)
    assert sorted(log) == sorted(id for some in acknowledged for id in some)
    assert len(log) == 20
    for some in acknowledged:
        assert [id for id in log if id in some] == some
    check(server)


def test_a_race_that_is_lost_is_tried_again(server: Server, author: Author) -> None:
    """An ordinary push lands between the plan and the transaction."""
    first = author.decision("garden", 0)
    write_program(
        server.path / "hooks" / "update",
        "#!/bin/sh\ntest -e once && exit 0\ntouch once\n"
        f"cd {author.path} && env -i PATH=\"$PATH\" git push -q {server.path} {first}:{GARDEN}\n",
    )
    intent = author.intent()
    landed(server, author, f"{intent}:{APPEND}")
    assert [(one.seq, one.id) for one in server.log()] == [(0, author.id(first)), (1, author.id(intent))]


def test_a_race_that_no_longer_lets_it_in(server: Server, author: Author) -> None:
    """Another process has appended the same id meanwhile, with other content."""
    intent = author.intent()
    other = author.decision("garden", 0, document={"id": author.id(intent), "reason": "mine"})
    write_program(
        server.path / "hooks" / "update",
        "#!/bin/sh\ntest -e once && exit 0\ntouch once\n"
        f"cd {author.path} && env -i PATH=\"$PATH\" git push -q {server.path} {other}:{GARDEN}\n",
    )
    pushed = author.push(server, f"{intent}:{APPEND}")
    assert [one.code for one in pushed.told] == ["id-conflict"]
    assert server.tip(GARDEN) == other


def test_a_ref_that_is_locked_for_a_moment_is_waited_for(server: Server, author: Author) -> None:
    """An ordinary push holds the lock of its ref as long as hooks/reference-transaction takes, say."""
    landed(server, author, f"{author.intent()}:{APPEND}")
    lock = server.path / f"{GARDEN}.lock"
    lock.touch()
    intent = author.intent()
    write_program(server.path / "hooks" / "update", "#!/bin/sh\necho $1 >> asked\n")
    holder = subprocess.Popen(["sh", "-c", f"sleep 0.4; rm {lock}"])
    landed(server, author, f"{intent}:{APPEND}")
    assert holder.wait() == 0
    assert (server.path / "asked").read_text().split() == [GARDEN]
    assert ids(server)[-1] == author.id(intent)


def test_pushes_to_one_space_wait_for_each_other(server: Server, author: Author) -> None:
    """While somebody has the lock of the space, nothing lands; and then it does."""
    import fcntl

    landed(server, author, f"{author.intent()}:{APPEND}")
    intent = author.intent()
    with open(server.path / "coordjournal" / "locks" / "garden") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        push = subprocess.Popen(
            ["git", "-C", str(author.path), "push", "-q", str(server.path), f"{intent}:{APPEND}"],
            stderr=subprocess.DEVNULL,
        )
        landed(server, author, f"{author.intent('other')}:refs/append/other")
        assert push.poll() is None
        assert len(server.log()) == 1
    assert push.wait() == 0
    assert ids(server)[-1] == author.id(intent)


def test_a_lock_that_nobody_gives_back(server: Server, author: Author) -> None:
    import fcntl

    landed(server, author, f"{author.intent()}:{APPEND}")
    server.before("proc-receive", "from coordjournal import turn\nturn._LOCK_SECONDS = 1\n")
    with open(server.path / "coordjournal" / "locks" / "garden") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pushed = author.push(server, f"{author.intent()}:{APPEND}")
    assert not pushed.landed and "locks/garden is its lock" in pushed.said
    assert len(server.log()) == 1


# ------------------------------------------------------------------------------------------------------------ the disk


def test_a_stale_lock_is_removed_and_a_young_one_is_not(server: Server, author: Author) -> None:
    """A git that was killed leaves them, and what it was writing into packed-refs."""
    server.before("proc-receive", "from coordjournal import sequence\nsequence._WAIT = '50'\n")
    acquired(server, author, "node-a", 120)
    landed(server, author, f"{author.intent()}:{APPEND}")
    server.git("pack-refs", "--all")
    set_clock(server, 130)
    refs = server.refs()
    [name] = server.inbox()
    locks = [f"{GARDEN}.lock", f"refs/intents/garden/{name}.lock", "packed-refs.lock", "packed-refs.new"]
    locks = [server.path / lock for lock in locks]
    intent = author.intent()
    for lock in locks:
        lock.parent.mkdir(exist_ok=True)
        lock.touch()
        os.utime(lock, (time.time() + 120, time.time() + 120))  # ten seconds ago, as the hook sees it
        pushed = author.push(server, f"{intent}:{APPEND}")
        assert not pushed.landed and "less than a minute ago" in pushed.said, pushed.said
        assert server.refs() == refs and lock.exists()
        os.utime(lock, (time.time() + 60, time.time() + 60))
    landed(server, author, f"{intent}:{APPEND}")
    assert server.inbox() == {} and not any(lock.exists() for lock in locks)
    check(server)


def test_a_hook_of_the_refs_that_declines(server: Server, author: Author) -> None:
    write_program(server.path / "hooks" / "reference-transaction", '#!/bin/sh\ntest "$1" != prepared\n')
    pushed = author.push(server, f"{author.intent()}:{APPEND}")
    assert not pushed.landed and "reference-transaction" in pushed.said
    assert server.refs() == {} and server.locks() == []


def test_everybody_who_may_push_can_lock(server: Server, author: Author) -> None:
    """A repository shared by a group: the next pusher is another account."""
    server.path.chmod(0o2775)
    old = os.umask(0o077)
    try:
        landed(server, author, f"{author.intent()}:{APPEND}")
    finally:
        os.umask(old)
    for folder in ("coordjournal", "coordjournal/locks", "coordjournal/ids"):
        assert (server.path / folder).stat().st_mode & 0o2770 == 0o2770
    assert (server.path / "coordjournal/locks/garden").stat().st_mode & 0o040
    assert (server.path / "coordjournal/ids/garden").stat().st_mode & 0o060


def test_objects_that_cannot_be_written(server: Server, author: Author) -> None:
    landed(server, author, f"{author.intent()}:{APPEND}")
    tip = server.tip(GARDEN)
    program = "from coordjournal import packing\ndef write(*_):\n    raise packing.GitFailed('the disk is full')\n"
    server.before("proc-receive", program + "packing.write = write\n")
    pushed = author.push(server, f"{author.intent()}:{APPEND}")
    assert not pushed.landed and "the disk is full" in pushed.said
    assert server.tip(GARDEN) == tip
    assert [entry["code"] for entry in server.refusals()] == ["undecided"]


def test_packed_refs_and_objects(server: Server, author: Author) -> None:
    lease = acquired(server, author)
    for _ in range(2):
        landed(server, author, f"{author.intent()}:{APPEND}")
    server.git("gc", "--quiet", "--prune=now")
    first, second = server.inbox().values()
    fetch(server, author)
    own = held(author, lease, line_of(author, first))
    landed(server, author, f"{own[-1]}:{APPEND}")
    assert list(server.inbox().values()) == [second]
    server.git("gc", "--quiet", "--prune=now")
    landed(server, author, f"{author.intent()}:{APPEND}")
    assert len(server.inbox()) == 2
    check(server)


def test_many_at_once_land_as_a_pack(server: Server, author: Author) -> None:
    chain = author.intents(40)
    landed(server, author, f"{chain[-1]}:{APPEND}")
    assert ids(server) == [author.id(oid) for oid in chain]
    check(server)


def test_more_than_a_hook_can_hold_is_refused(server: Server, author: Author) -> None:
    """A pack of a megabyte may hold gigabytes of decisions."""
    assert intents._MOST_BYTES == 64 * 1024 * 1024
    server.before("pre-receive", "from coordjournal import intents\nintents._MOST_BYTES = 50 * 1024\n")
    assert landed(server, author, f"{author.intents(5, document={'reason': 'x' * 9000})[-1]}:{APPEND}")
    chain = author.intents(6, document={"reason": "x" * 9000})
    assert refused(server, author, f"{chain[-1]}:{APPEND}") == [(APPEND, chain[-1], "too-large")]


def test_a_push_to_very_many_spaces(server: Server, author: Author) -> None:
    """Each takes open files on the server; a plain sentence is better than running out of them."""
    intent = author.intent()
    pushed = author.push(server, *(f"{intent}:refs/append/s{number}" for number in range(201)))
    assert {one.code for one in pushed.told} == {"bad-ref"}
    assert "more than 200" in pushed.said


def test_two_spaces_whose_names_differ_by_an_ending(server: Server, author: Author) -> None:
    """The tables of their ids are files of different names, also while one of them is made anew."""
    for space in ("x", "x.new", "x"):
        landed(server, author, f"{author.intents(40, space)[-1]}:refs/append/{space}")
    assert len(server.log("x")) == 80
    assert sorted(path.name for path in (server.path / "coordjournal" / "ids").iterdir()) == ["x", "x.new"]
