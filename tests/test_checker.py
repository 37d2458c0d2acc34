"""Many processes, many faults, one log: a run of the checker; and the checker's own rules, each of which can fail."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checker import history, log
from checker.history import Call, History
from checker.log import Entry, Lease
from checker.rules import RULES, Evidence, Kept, judge
from support import decide, git

from coordjournal import AliasSet, Journal

ROOT = Path(__file__).resolve().parents[1]
SPACE = "garden"
SECOND = 1_000_000_000


def test_nothing_is_lost_doubled_or_forked_whatever_is_killed(prefix: str, tmp_path: Path) -> None:
    """The seed differs from run to run; what it prints on failure names it, and where the history is."""
    plan = ["--appends", "400", "--seconds", "9", "--workers", "6", "--spaces", "2", "--ttl", "2", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.checker", "--prefix", prefix, *plan],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    counts = {what.strip(): int(count) for what, count in re.findall(r"^  (.+?) +(\d+)$", done.stdout, re.MULTILINE)}
    assert counts["decisions landed"] > 2, done.stdout
    assert any(what.startswith("killed worker") for what in counts), done.stdout
    assert any(what in counts for what in ("killed receive-pack", "killed pre-receive", "killed proc-receive"))


# -- a good history -------------------------------------------------------------------------------------------------


def uuid(number: int) -> str:
    return f"01a20000-0000-7000-8000-{number:012x}"


def commit(seq: int) -> str:
    return f"{seq:040x}"


def token(seq: int) -> str:
    return uuid(seq).replace("-", "")[-16:]


def entry(seq: int, appended: int, lease: Lease | None, kind: str = "alias-set", **payload: Any) -> Entry:
    """The decision of Seq ``seq``, whose id and commit are made of that number. Who holds the lease commits."""
    doc = {
        "actor": "w0",
        "at": "2026-11-22T10:00:00.000000Z",
        "id": uuid(seq),
        "payload": payload or {"alias": "Home", "target": f"s:{seq}"},
        "space": SPACE,
        "type": kind,
        "v": 1,
    }
    parents = (commit(seq - 1),) if seq else ()
    committer = lease.holder if lease and lease.holder else "coordjournal"
    return Entry(commit(seq), parents, committer, appended, doc, seq, lease)


def held(term: int, holder: str, acquired: int, until: int) -> Lease:
    return Lease(term, holder, token(acquired), 10, until)


def good() -> Evidence:
    """A run in which all is well: three terms, the first of which ran out, and the inbox in between."""
    entries = [
        entry(0, 100, None),
        entry(1, 101, None),
        entry(2, 102, held(1, "w1", 2, 112), "lease-acquired", holder="w1", ttl=10),
        entry(3, 103, held(1, "w1", 2, 113)),
        entry(4, 104, held(1, "w1", 2, 114), "intent-refused", decision=uuid(90), reason="not wanted"),
        entry(5, 114, Lease(1)),  # waited in the inbox; the sequencer landed it
        entry(6, 115, held(2, "w2", 6, 125), "lease-acquired", holder="w2", ttl=10),
        entry(7, 116, held(2, "w2", 6, 126)),
        entry(8, 116, held(2, "w2", 6, 126)),
        entry(9, 117, held(2, "w2", 6, 117), "lease-released", holder="w2"),
        entry(10, 118, Lease(2)),
        entry(11, 119, held(3, "w1", 11, 129), "lease-acquired", holder="w1", ttl=10),
        entry(12, 120, held(3, "w1", 11, 131)),
        entry(13, 120, replace(held(3, "w1", 11, 131), ttl=11), "lease-acquired", holder="w1", ttl=11),
    ]
    docs = [item.doc for item in entries]
    calls: list[Call] = []

    def call(op: str, begin: int, end: int | None, outcome: str | None, asked: dict[str, Any], **answered: Any) -> None:
        who = f"w{len(calls) % 3}"
        ends = None if end is None else end * SECOND
        calls.append(Call(who, 0, len(calls), op, SPACE, begin * SECOND, asked, ends, outcome, answered))

    def place(*seqs: int) -> list[tuple[str, int, str]]:
        return [(uuid(seq), seq, commit(seq)) for seq in seqs]

    call("append", 0, 1, "landed", {"docs": [docs[0]], "expect": -1}, places=place(0))
    call("append", 2, None, None, {"docs": [docs[1]]})  # killed; the next life asks again
    call("append", 3, 4, "landed", {"docs": [{**docs[1], "at": "2026-11-22T10:00:01.000000Z"}]}, places=place(1))
    call("read", 5, 6, "landed", {}, seq=1, commit=commit(1))
    call("lease", 6, 7, "landed", {"ttl": 10}, term=1, token=token(2))
    call("append", 7, 8, "landed", {"docs": [docs[3]], "token": token(2)}, places=place(3))
    refused = {**docs[3], "id": uuid(90)}
    call("append", 7, 9, "queued", {"docs": [refused]}, place="inbox")
    call("append", 8, 9, "queued", {"docs": [docs[5]]}, place="inbox")
    call("serve", 9, 10, "landed", {"term": 1, "token": token(2)}, places=place(4))
    call("check", 10, 10, "landed", {"term": 1, "token": token(2)})
    call("lease", 20, 21, "landed", {"ttl": 10}, term=2, token=token(6))
    call("send", 20, 22, "landed", {}, places=place(5))
    call("append", 22, 23, "landed", {"docs": [docs[7], docs[8]], "token": token(6)}, places=place(7, 8))
    call("check", 23, 23, "landed", {"term": 2, "token": token(6)})
    call("append", 24, 25, "refused", {"docs": [{**docs[3], "id": uuid(91)}], "expect": 3}, code="precondition-failed")
    call("forge", 24, 25, "refused", {"id": uuid(0)}, code="id-conflict")
    call("append", 26, 27, "landed", {"docs": [docs[10]], "when": ["Home", "s:8"]}, places=place(10))
    call("append", 26, 27, "queued", {"docs": [{**docs[3], "id": uuid(92)}]}, place="outbox")
    call("lease", 28, 29, "landed", {"ttl": 10}, term=3, token=token(11))
    call("append", 30, 31, "landed", {"docs": [docs[12]], "token": token(11)}, places=place(12))
    call("renew", 32, 33, "landed", {"term": 3, "token": token(11)}, places=place(13))
    outbox = [Kept("clone0", "rejected", (uuid(90),)), Kept("clone0", "rejected", (uuid(92),))]
    return Evidence({SPACE: entries}, calls, outbox, reports={"git fsck": ""})


def test_a_good_history_breaks_no_rule() -> None:
    assert judge(good()) == []


# -- and what is wrong with it if ... ---------------------------------------------------------------------------------


def change(seq: int, /, **fields: Any) -> Callable[[Evidence], None]:
    """Changes an entry of the log."""

    def mutate(evidence: Evidence) -> None:
        evidence.logs[SPACE][seq] = replace(evidence.logs[SPACE][seq], **fields)

    return mutate


def rewrite(number: int, **fields: Any) -> Callable[[Evidence], None]:
    """Changes a call; ``asked`` and ``answered`` are added to what is there."""

    def mutate(evidence: Evidence) -> None:
        call = evidence.calls[number]
        for name, value in fields.items():
            setattr(call, name, {**getattr(call, name), **value} if isinstance(value, dict) else value)

    return mutate


def lose(seq: int) -> Callable[[Evidence], None]:
    """Takes a decision out of the log, and numbers the rest anew, so that the log by itself is a good one."""

    def mutate(evidence: Evidence) -> None:
        entries = evidence.logs[SPACE]
        del entries[seq]
        for at in range(seq, len(entries)):
            parents = (entries[at - 1].commit,) if at else ()
            entries[at] = replace(entries[at], seq=at, parents=parents)

    return mutate


def double(evidence: Evidence) -> None:
    """A retry landed once more."""
    entries = evidence.logs[SPACE]
    last = entries[-1]
    entries.append(replace(last, doc=entries[1].doc, commit=commit(14), parents=(last.commit,), seq=14))


def swap(evidence: Evidence) -> None:
    """The second decision landed before the first, which had been acknowledged before it was begun."""
    entries = evidence.logs[SPACE]
    entries[0], entries[1] = replace(entries[0], doc=entries[1].doc), replace(entries[1], doc=entries[0].doc)
    evidence.calls[0].answered = {"places": [(uuid(0), 1, commit(1))]}
    evidence.calls[2].answered = {"places": [(uuid(1), 0, commit(0))]}


def late(evidence: Evidence) -> None:
    """The first decision was begun when the acquisition had been acknowledged, which comes after it."""
    evidence.calls[:] = [evidence.calls[4], replace(evidence.calls[0], begin=30 * SECOND, end=31 * SECOND)]


def stale(evidence: Evidence) -> None:
    """The holder of the first term comes back after its takeover."""
    entries = evidence.logs[SPACE]
    entries[8] = replace(entries[8], lease=held(1, "w1", 2, 126), committer="w1")


def add(call: Call) -> Callable[[Evidence], None]:
    return lambda evidence: evidence.calls.append(call)


def told(op: str, begin: float, end: float, outcome: str, asked: dict[str, Any], **answered: Any) -> Call:
    return Call("w9", 0, 99, op, SPACE, int(begin * SECOND), asked, int(end * SECOND), outcome, answered)


def put(name: str, value: Any) -> Callable[[Evidence], None]:
    return lambda evidence: setattr(evidence, name, value)


def doc(seq: int, **fields: Any) -> dict[str, Any]:
    return {**good().logs[SPACE][seq].doc, **fields}


BROKEN: list[tuple[str, str, Callable[[Evidence], None]]] = [
    ("chain", "a merge", change(4, parents=(commit(3), commit(1)))),
    ("chain", "a second root", change(4, parents=())),
    ("chain", "a Seq is left out", change(4, seq=5)),
    ("once", "a decision is there twice", double),
    ("times", "an append time falls", change(1, appended=99)),
    ("leases", "another holder", change(3, lease=held(1, "w2", 2, 113))),
    ("leases", "another token", change(3, lease=held(1, "w1", 6, 113))),
    ("leases", "another committer", change(3, committer="w2")),
    ("leases", "no lease while one is in force", change(3, lease=Lease(1))),
    ("leases", "a takeover before its end", change(3, lease=held(2, "w2", 3, 113), committer="w2", doc=doc(6))),
    ("leases", "a lease that ran out is held on to", change(5, lease=held(1, "w1", 2, 124), committer="w1")),
    ("leases", "a lease without an acquisition", change(10, lease=held(3, "w2", 10, 128))),
    ("leases", "an acquisition in another's name", change(6, lease=held(2, "w1", 6, 125))),
    ("terms", "a stale holder comes back", stale),
    ("terms", "a term is left out", change(10, lease=Lease(4))),
    ("terms", "a term has two holders", change(8, lease=held(2, "w3", 6, 126))),
    ("terms", "a term has two committers", change(8, committer="w3")),
    ("terms", "the term is forgotten", change(10, lease=None)),
    ("terms", "a token has two terms", change(6, lease=held(2, "w2", 2, 125))),
    ("let-go", "what was let go lands", change(10, doc=doc(10, id=uuid(90)))),
    ("acknowledged", "what was acknowledged is lost", lose(10)),
    ("acknowledged", "... and in the middle", lose(7)),
    ("acknowledged", "another place was told", rewrite(0, answered={"places": [(uuid(0), 1, commit(1))]})),
    ("acknowledged", "another commit was told", rewrite(0, answered={"places": [(uuid(0), 0, commit(77))]})),
    ("acknowledged", "a part was not acknowledged", rewrite(12, answered={"places": [(uuid(7), 7, commit(7))]})),
    ("acknowledged", "the inbox was told a place", rewrite(8, answered={"places": [(uuid(4), 3, commit(3))]})),
    ("content", "it landed as something else", change(0, doc=doc(0, payload={"alias": "Home", "target": "s:77"}))),
    ("content", "somebody else decided it", change(0, doc=doc(0, actor="mallory"))),
    ("real-time", "what came later is earlier", swap),
    ("real-time", "an acquisition is before what was acknowledged", rewrite(4, begin=50 * SECOND, end=51 * SECOND)),
    ("real-time", "a decision is before an acquisition that was acknowledged", late),
    ("reads", "an old log was read", rewrite(3, answered={"seq": 0, "commit": commit(0)})),
    ("reads", "another log was read", rewrite(3, answered={"commit": commit(77)})),
    ("reads", "a longer log was read", rewrite(3, answered={"seq": 14, "commit": commit(14)})),
    ("batches", "a batch came apart", rewrite(12, asked={"docs": [doc(7), doc(10)]})),
    ("batches", "a part of a batch is missing", rewrite(12, asked={"docs": [doc(7), doc(8, id=uuid(80))]})),
    ("batches", "a batch changed its order", rewrite(12, asked={"docs": [doc(8), doc(7)]})),
    ("preconditions", "it did not follow its Seq", rewrite(5, asked={"expect": 1})),
    ("preconditions", "it did not follow its value", rewrite(16, asked={"when": ["Home", "s:7"]})),
    ("preconditions", "there was a value", rewrite(0, asked={"when": ["Home", "s:1"]})),
    ("refused", "what was refused landed", rewrite(16, outcome="refused", answered={"code": "precondition-failed"})),
    ("refused", "what was rejected landed", lambda e: e.outboxes.append(Kept("clone0", "rejected", (uuid(5),)))),
    ("kept", "what was queued is lost", put("outboxes", [])),
    ("kept", "... from the inbox", lose(5)),
    ("retried", "a retry is refused", add(told("append", 30, 31, "refused", {"docs": [doc(0)]}, code="id-conflict"))),
    ("forged", "another decision under its id", rewrite(15, outcome="landed")),
    ("forged", "... waits", rewrite(15, outcome="queued")),
    ("holders", "it was not acquired", rewrite(4, answered={"token": token(6)})),
    ("holders", "another term was told", rewrite(4, answered={"term": 3})),
    ("holders", "two hold a term", add(told("lease", 6, 7, "landed", {}, term=1, token=token(2)))),
    ("under-lease", "it landed under another", rewrite(5, asked={"token": token(6)})),
    ("belief", "a term is believed in too long", rewrite(9, begin=22 * SECOND)),
    ("settled", "the outbox waits", lambda e: e.outboxes.append(Kept("clone0", "waiting", (uuid(5),)))),
    ("settled", "the outbox was filed", lambda e: e.outboxes.append(Kept("clone0", "filed", (uuid(5),)))),
    ("settled", "a lock stays", put("left", ["refs/spaces/garden.lock"])),
    ("unexpected", "a worker ended by an error", put("crashes", ["KeyError"])),
    ("judges", "git fsck complains", put("reports", {"git fsck": "missing tree"})),
]


@pytest.mark.parametrize("rule, what, mutate", BROKEN, ids=[f"{rule}: {what}" for rule, what, _ in BROKEN])
def test_each_rule_can_be_broken(rule: str, what: str, mutate: Callable[[Evidence], None]) -> None:
    evidence = copy.deepcopy(good())
    mutate(evidence)
    found = judge(evidence)
    assert rule in {violation.rule for violation in found}, found
    assert all(violation.events for violation in found)


def test_every_rule_is_tested() -> None:
    assert set(RULES) == {rule for rule, _, _ in BROKEN}


def test_belief_says_nothing_where_clocks_are_further_apart() -> None:
    evidence = good()
    rewrite(9, begin=22 * SECOND)(evidence)
    evidence.clocks_agree = False
    assert judge(evidence) == []


# -- what the rules stand on ------------------------------------------------------------------------------------------


def test_the_log_is_read_as_the_library_wrote_it(bare: Callable[..., Path]) -> None:
    server = bare()
    with Journal.open(server, appender="node-a", extensions={}) as journal:
        space = journal.space(SPACE)
        first = space.append(AliasSet("Home", "shardA:Index"), actor="alice")
        with space.lease("node-b/1", ttl=300) as lease:
            space.append(AliasSet("Haus", "shardA:Index"), actor="bob", reason="two\nlines")
            token = lease.token
    entries = log.read(server, f"refs/spaces/{SPACE}")
    assert [entry.doc["type"] for entry in entries] == ["alias-set", "lease-acquired", "alias-set", "lease-released"]
    assert (entries[0].commit, entries[0].doc, entries[0].lease) == (first.commit, first.decision.json(), None)
    assert [entry.seq for entry in entries] == [0, 1, 2, 3]
    assert [entry.parents for entry in entries[1:]] == [(entry.commit,) for entry in entries[:-1]]
    assert {entry.committer for entry in entries} == {"node-a"}
    for held in entries[1:3]:
        assert held.lease == Lease(1, "node-b/1", token, 300, held.appended + 300)
    assert entries[3].lease == Lease(1, "node-b/1", token, 300, entries[3].appended)
    assert judge(Evidence({SPACE: entries}, [])) == []


def test_a_forged_log_is_read_as_it_is(bare: Callable[..., Path]) -> None:
    """A decision that git itself put behind a log a second time, and a merge."""
    server = bare()
    first = decide(server)
    raw = git(server, "cat-file", "commit", first) + "\n"
    parent = f"parent {first}\nauthor"
    again = git(
        server,
        *("hash-object", "-t", "commit", "-w", "--stdin"),
        stdin=raw.replace("author", parent, 1).replace("Seq: 0", "Seq: 1").encode(),
    )
    other = decide(server, parent=first, seq=1)
    merge = git(server, "commit-tree", f"{first}^{{tree}}", "-p", again, "-p", other, "-m", "Merge")
    git(server, "update-ref", f"refs/spaces/{SPACE}", again)
    broken = {violation.rule for violation in judge(Evidence({SPACE: log.read(server, f"refs/spaces/{SPACE}")}, []))}
    assert broken == {"once"}
    git(server, "update-ref", f"refs/spaces/{SPACE}", merge)
    with pytest.raises(ValueError, match=f"{merge} is no decision commit"):
        log.read(server, f"refs/spaces/{SPACE}")


def test_a_history_survives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "w0.jsonl"
    noted = History(path, "w0", 0)
    first = noted.call("append", SPACE, docs=[{"id": uuid(1)}], expect=3)
    noted.answer(first, "landed", places=[(uuid(1), 4, commit(4))])
    noted.call("read", SPACE)
    again = History(path, "w0", 1)
    number = again.call("read", SPACE)
    again.note("done")
    again.answer(number, "unknown", code="remote-unreachable")
    landed, killed, failed = history.calls(history.events(path))
    assert (landed.ids, landed.places, landed.asked["expect"]) == ([uuid(1)], [(uuid(1), 4, commit(4))], 3)
    assert landed.end is not None and 0 < landed.begin <= landed.end
    assert (killed.outcome, killed.end, killed.life) == (None, None, 0)
    assert (failed.outcome, failed.answered["code"], failed.life) == ("unknown", "remote-unreachable", 1)
    assert "never answered" in str(killed) and uuid(1) in str(landed)
