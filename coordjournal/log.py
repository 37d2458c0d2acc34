"""The bytes of the commits of a lawful log, read as what the fold and programs want: records, landed decisions.

The law has judged every commit before it came into a log, so that nothing is judged here again; what cannot be read
all the same is reported as a break of the law at its commit.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from .canonical import trusted
from .decision import FORMAT, Decision, Landed
from .errors import GitFailed, JournalRewound, Refused, UnlawfulLog, UnsupportedVersion
from .index import Record


def record(oid: str, raw: bytes) -> Record:
    """The record of a decision commit, without its Seq.

    Raises:
        UnlawfulLog: these are not the bytes of a decision commit.
        UnsupportedVersion: the decision is of a later format.
    """
    try:
        header, _, message = raw.partition(b"\n\n")
        at = header.index(b"\ncommitter ") + 11
        name, _, rest = header[at:].partition(b" <")
        seconds = rest[rest.index(b"> ") + 2 :].partition(b" ")[0]
        doc = trusted(message.split(b"\n\n", 2)[1])
        if doc["v"] != FORMAT:
            if doc["v"] < FORMAT:
                raise ValueError(f"of a format {doc['v']}, which never was")
            raise UnsupportedVersion(
                f"the commit {oid} holds a decision of format {doc['v']}; this coordjournal reads format {FORMAT}"
            )
        return oid, int(seconds), name.decode(), doc, lease_of(message)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        refusal = Refused("bad-commit", f"not a decision commit ({error})", commit=oid)
        raise UnlawfulLog(refusal) from None


def seq_of(raw: bytes) -> int:
    """The Seq that a decision commit carries. Raises ValueError if it carries none."""
    at = raw.rindex(b"\n\nSeq: ") + 7
    return int(raw[at : raw.index(b"\n", at)])


def lease_of(message: bytes) -> str | None:
    """The value of the ``Lease`` trailer of a commit message, None if it has none."""
    at = message.rfind(b"\nLease: ")
    return None if at < 0 or at < message.rfind(b"\nSeq: ") else message[at + 8 : -1].decode()


def landed(seq: int, read: Record) -> Landed:
    """The decision of a record at its place."""
    commit, appended, appender, doc, lease = read
    return Landed(seq, commit, appended, appender, Decision.from_json(doc), lease)


def continuing(commits: Iterable[tuple[str, bytes]], base: str | None, space: str, tip: str) -> list[Record]:
    """The records of commits that come newest first and must go on from ``base``, oldest first.

    Raises:
        JournalRewound: they do not go on from ``base``.
    """
    records: list[Record] = []
    root = b""
    for oid, raw in commits:
        records.append(record(oid, raw))
        root = raw
    if not records or parent_of(root) != base:
        raise JournalRewound(space, base or "nothing", tip)
    records.reverse()
    return records


class _Store(Protocol):
    def object(self, name: str, kind: str) -> tuple[str, bytes] | None: ...

    def merge_base(self, one: str, other: str) -> str | None: ...


def seq_both_have(store: _Store, one: str, other: str) -> int | None:
    """The last Seq that two logs of a space have in common, by their tips; -1 where they have not even the first one,
    None where that cannot be told, for commits are missing here or are no decisions."""
    try:
        shared = store.merge_base(one, other)
        found = None if shared is None else store.object(shared, "commit")
        return -1 if found is None else seq_of(found[1])
    except (GitFailed, ValueError):
        return None


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Reading a long log makes objects by the million and no garbage; looking for some doubles the time it takes."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parent_of(raw: bytes) -> str | None:
    """The first parent of a commit, None for a root."""
    second = raw.split(b"\n", 2)[1]
    return second[7:].decode() if second.startswith(b"parent ") else None


def numbered(commits: Iterable[tuple[str, bytes]], first: int) -> Iterator[Landed]:
    """The decisions of commits that come oldest first, the first of which has the Seq ``first``."""
    for seq, (oid, raw) in enumerate(commits, first):
        yield landed(seq, record(oid, raw))
