"""What is read from the bytes of a commit, and what those bytes must be for it."""

from __future__ import annotations

import gc

import pytest

from coordjournal import JournalRewound, UnlawfulLog, UnsupportedVersion, canonical, log
from coordjournal.commit import EMPTY_TREE, build, subject

DOC = {
    "actor": "alice",
    "at": "2026-11-22T10:00:00.000000Z",
    "id": "0193f0a0-0000-7000-8000-000000000000",
    "payload": {"alias": "Größe", "target": "s:P"},
    "space": "garden",
    "type": "alias-set",
    "v": 1,
}
LINE = canonical.dumps(DOC)


LEASE = "node ß/5f0c; term=3; ttl=300; until=2026-11-22T10:05:00Z"


def raw(
    seq: int = 0, parent: str | None = None, appender: str = "node ß", line: bytes = LINE, lease: str | None = None
) -> bytes:
    head = subject("alias-set", {"alias": "Größe", "target": "s:P"})
    return build(EMPTY_TREE[40], parent, "alice", 1_700_000_000, appender, 1_700_000_007, head, line, seq, lease=lease)


def chain(count: int) -> list[tuple[str, bytes]]:
    """Name and content of commits, oldest first."""
    return [(f"{n:040x}", raw(n, f"{n - 1:040x}" if n else None)) for n in range(count)]


def test_a_record_is_what_the_fold_needs() -> None:
    assert log.record("1" * 40, raw()) == ("1" * 40, 1_700_000_007, "node ß", DOC, None)
    assert log.record("1" * 40, raw(lease=LEASE)) == ("1" * 40, 1_700_000_007, "node ß", DOC, LEASE)


def test_nothing_but_a_trailer_is_taken_for_one() -> None:
    """A reason that speaks of leases stands on one line; a subject may begin with anything."""
    for lease in (None, "-; term=3"):
        line = canonical.dumps({**DOC, "reason": "x\nLease: -; term=1\n\nSeq: 7\n"})
        commit = raw(8, line=line, lease=lease).replace(b"alias-set: ", b"Lease: ", 1)
        assert log.record("1" * 40, commit)[4] == lease
        assert log.seq_of(commit) == 8


def test_a_signature_is_passed_over() -> None:
    signature = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n committer x <> 1 +0000\n -----END PGP SIGNATURE-----\n"
    head, _, message = raw(7).partition(b"\n\n")
    signed = head + b"\n" + signature[:-1] + b"\n\n" + message
    assert log.record("1" * 40, signed) == log.record("1" * 40, raw(7))
    assert log.seq_of(signed) == 7


def test_an_email_says_nothing() -> None:
    odd = raw().replace(b"node \xc3\x9f <> ", b"node \xc3\x9f <a b@c> ")
    assert log.record("1" * 40, odd)[1:3] == (1_700_000_007, "node ß")


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"tree x\n\nhello\n",
        raw().replace(b"committer", b"comitter"),
        raw().replace(b"1700000007", b"soon"),
        raw().replace(b"1700000007 +0000", b""),
        raw().replace(b"node \xc3\x9f", b"node \xff"),
        raw(line=b"{}"),
        raw(line=b"[1]"),
        raw(line=LINE.replace(b'"v":1', b'"v":0')),
        raw(line=LINE.replace(b'"v":1', b'"v":"2"')),
        raw(line=b"nonsense"),
        raw(line=b'{"v":'),
        raw(line=b"\xff"),
        raw().partition(b"\n\n")[0] + b"\n\nsubject\n",
    ],
)
def test_what_is_no_decision_commit_is_a_break_at_that_commit(bad: bytes) -> None:
    with pytest.raises(UnlawfulLog) as error:
        log.record("1" * 40, bad)
    assert (error.value.refusal.code, error.value.refusal.commit) == ("bad-commit", "1" * 40)


def test_a_later_format_is_said_to_be_one() -> None:
    with pytest.raises(UnsupportedVersion, match=f"{'1' * 40}.*format 2.*reads format 1"):
        log.record("1" * 40, raw(line=LINE.replace(b'"v":1', b'"v":2')))


def test_seq_and_parent() -> None:
    commit = raw(41, "3" * 40)
    assert log.seq_of(commit) == 41
    assert log.parent_of(commit) == "3" * 40
    assert log.parent_of(raw()) is None
    with pytest.raises(ValueError):
        log.seq_of(b"tree x\n\nno seq\n")


def test_a_landed_decision_is_its_record_at_its_place() -> None:
    landed = log.landed(7, log.record("1" * 40, raw(7)))
    assert (landed.seq, landed.commit, landed.appended, landed.appender) == (7, "1" * 40, 1_700_000_007, "node ß")
    assert landed.decision.json() == DOC
    assert landed.lease is None
    assert log.landed(7, log.record("1" * 40, raw(7, lease=LEASE))).lease == LEASE
    assert [item.seq for item in log.numbered(chain(4), 3)] == [3, 4, 5, 6]


@pytest.mark.parametrize("base", [-1, 0, 2])
def test_a_log_goes_on_from_its_base(base: int) -> None:
    commits = chain(5)
    name = commits[base][0] if base >= 0 else None
    records = log.continuing(reversed(commits[base + 1 :]), name, "garden", commits[-1][0])
    assert [record[0] for record in records] == [oid for oid, _ in commits[base + 1 :]]


@pytest.mark.parametrize(
    ("commits", "base"),
    [([], None), ([], "1" * 40), (chain(2), "1" * 40), (chain(3)[1:], None), (chain(3)[2:], f"{0:040x}")],
)
def test_a_log_that_does_not_go_on_from_its_base_went_backwards(
    commits: list[tuple[str, bytes]], base: str | None
) -> None:
    with pytest.raises(JournalRewound) as error:
        log.continuing(reversed(commits), base, "garden", "2" * 40)
    assert (error.value.space, error.value.found) == ("garden", "2" * 40)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_comes_back_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(ZeroDivisionError), log.garbage_collection_paused():
            assert not gc.isenabled()
            _ = 1 // 0
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
