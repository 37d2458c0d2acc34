"""The projection of a log: its index in an SQLite file, so that a question costs the same at any length of the log.

A projection is a cache. It stands for the first decisions of a log, up to a commit that it names; whoever deletes the
file loses nothing but time. It answers what a :class:`coordjournal.index.Index` would (tests hold the two equal) from
the few rows a question is about, and what it does not hold, the decisions themselves, it reads from git by the names
of their commits.

    blocks        1,024 decisions or fewer each: their ids, types, append times and commits, side by side
    aliases ...   a table for each kind of event: name, Seq, and what a question needs of the payload
    meta          the version of this layout, the space, how many decisions, the commit of the last

Rows are only ever added, and every question says up to which Seq it asks, so that nobody is disturbed by a writer.

- It is *built* from the newest commit down, for so git streams while it walks, and by the one git that walks anyway.
  What depends on older decisions (is the id a repeated one? what does a revocation name?) is settled at the end. Tables
  are heaps until they are full, and get their indexes then. The file is built under another name, synced, and renamed.
- It is *extended* by what an index in memory has gathered, in one transaction.
- Who writes holds the lock beside the file, and makes sure that the file is still the one it has opened. So no file is
  ever replaced under a writer, whose journal would then be taken for one of the new file.
- Who has written notes in the lock the size and the time of change that the file has then. A file that has others was
  written by somebody else, or by a writer that was killed, and is not believed.
- Where the file cannot be made, is damaged or gone, a projection in memory takes its place.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain, pairwise
from json import dumps, loads
from typing import Any, Protocol

from . import log
from .canonical import trusted
from .decision import FORMAT
from .errors import GitFailed, Refused, UnlawfulLog
from .index import NOT_REVOCABLE, AliasEvent, Fork, Index, OverlayEvent, Record, Tie, pages_of
from .locking import Lock

_LAYOUT = 1
_BLOCK = 1024  # decisions
_ID = 16  # bytes
_TIMEOUT = 30.0  # seconds that a reader waits for a writer, whose transactions take milliseconds

# A type is a byte in a block: its place in here. Extensions share the last one; which it is, the commit says.
_KINDS = (
    *("alias-set", "alias-cleared", "binding-made", "merge-decided", "fork-made", "overlay-created"),
    *("overlay-revised", "overlay-closed", "decision-revoked", "lease-acquired", "lease-released", "intent-refused"),
)
_CODES = {kind: code for code, kind in enumerate(_KINDS)}
_EXTENSION = 255
_HEX = frozenset("0123456789abcdef")
_NOT_OF_THE_SCHEMAS = (AttributeError, LookupError, TypeError, ValueError)

_TABLES = """
CREATE TABLE meta (layout, space, count, tip);
CREATE TABLE blocks (first INTEGER PRIMARY KEY, low, high, since, ids, kinds, times, commits);
CREATE TABLE aliases (name, seq, target);
CREATE TABLE pages (page, seq);
CREATE TABLE ties (seq, pages, merged);
CREATE TABLE overlays (overlay_id, seq, kind, payload);
CREATE TABLE forks (fork, seq, source, source_rev);
CREATE TABLE revocations (target, seq);
CREATE TABLE refusals (id, seq);
CREATE TABLE voids (seq, reason);
CREATE TABLE extensions (kind, seq);
"""
_INDEXES = (
    "CREATE INDEX blocks_by_id ON blocks (high, low)",
    "CREATE INDEX blocks_by_time ON blocks (since)",
    "CREATE INDEX aliases_by_name ON aliases (name, seq)",
    "CREATE INDEX pages_by_page ON pages (page, seq)",
    "CREATE INDEX ties_by_seq ON ties (seq)",
    "CREATE INDEX overlays_by_id ON overlays (overlay_id, seq)",
    "CREATE INDEX forks_by_fork ON forks (fork, seq)",
    "CREATE INDEX revocations_by_target ON revocations (target, seq)",
    "CREATE INDEX refusals_by_id ON refusals (id, seq)",
    "CREATE INDEX voids_by_seq ON voids (seq)",
    "CREATE INDEX extensions_by_kind ON extensions (kind, seq)",
)
#: The tables of events, each with the number of its columns.
_COLUMNS = {
    **{"aliases": 3, "pages": 2, "ties": 3, "overlays": 4, "forks": 4},
    **{"revocations": 2, "refusals": 2, "voids": 2, "extensions": 2},
}
_AT_ONCE = 100  # rows
_ADD_BLOCK = "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Commits(Protocol):
    """Where the commits of a log are read: a store."""

    def object(self, name: str, kind: str) -> tuple[str, bytes] | None: ...

    def commits(self, tip: str) -> Iterator[tuple[str, bytes]]: ...

    def shown(self, tip: str) -> Iterator[bytes]: ...


class Projection:
    """The projection of one log: see :class:`coordjournal.index.Lookups` for the questions.

    Attributes:
        count: how many decisions, from Seq 0 on, it holds.
        tip: the commit of the last of them.
    """

    count: int
    tip: str

    def __init__(self, path: str | None, space: str, store: Commits) -> None:
        """See :meth:`open` and :meth:`build`."""
        self._path = path
        self._space = space
        self._store = store
        self._lock = Lock()
        self._pid = os.getpid()
        self._inode: int | None = None  # None: it is in memory
        self._connection: sqlite3.Connection | None = None
        self._abandoned: list[sqlite3.Connection] = []

    @classmethod
    def open(cls, path: str, space: str, store: Commits) -> Projection | None:
        """The projection in the file ``path``; None if there is none that can be used."""
        self = cls(path, space, store)
        try:
            self._open_file()
            layout, about, self.count, self.tip = self._connected().execute("SELECT * FROM meta").fetchone()
            if (layout, about) == (_LAYOUT, space):
                return self
        except (OSError, sqlite3.Error, TypeError, ValueError):
            pass
        self.close()
        return None

    @classmethod
    def build(cls, path: str | None, space: str, store: Commits, tip: str) -> Projection:
        """The projection of the log of ``space`` up to ``tip``, made anew in the file ``path``; in memory where that
        cannot be written, or is None. If another process has just made one, that.

        Raises:
            UnlawfulLog, UnsupportedVersion, GitFailed: the log cannot be read.
        """
        self = cls(path, space, store)
        self.tip = tip
        if path is None:
            self._build_in_memory()
            return self
        with _writing(path, wait=True) as alone:
            if alone:
                made = cls.open(path, space, store)
                if made is not None:
                    return made
            if not alone or not self._build_file(path):
                self._build_in_memory()
        return self

    def close(self) -> None:
        """Closes the file. Whoever asks again opens it anew."""
        with self._lock:
            if self._inode is not None and self._connection is not None and self._pid == os.getpid():
                self._connection.close()
                self._connection = None

    def drop(self) -> None:
        """Removes the file: its log is not the one that is here. What was handed out goes on to answer."""
        if self._path is None or self._inode is None:
            return
        with _writing(self._path, wait=True) as alone:
            if alone and self._is_in_place():
                _unlink(f"{self._path}-journal", self._path)

    # -- writing -------------------------------------------------------------------------------------------------

    def extend(self, index: Index) -> bool:
        """Adds what ``index``, whose base this is, holds in memory; False where the file cannot be written, or another
        process was faster."""
        with self._lock, _writing(self._path if self._inode is not None else None) as alone:
            if not alone or not self._is_in_place():
                return False
            if self._inode is not None and not _is_as_written(str(self._path)):
                return False
            tip = index.commit(len(index) - 1)
            try:
                connection = self._connected()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    if connection.execute("SELECT count, tip FROM meta").fetchone() != (index.start, self.tip):
                        return False
                    _add(connection, index)
                    connection.execute("UPDATE meta SET count = ?, tip = ?", (len(index), tip))
                    connection.execute("COMMIT")
                    if self._inode is not None:
                        _note(str(self._path))
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
            except (OSError, sqlite3.Error):
                return False
            self.count, self.tip = len(index), tip
            return True

    def _is_in_place(self) -> bool:
        """Whether the file is still the one that was opened."""
        if self._inode is None or self._path is None:
            return True
        try:
            return os.stat(self._path).st_ino == self._inode
        except OSError:
            return False

    def _build_file(self, path: str) -> bool:
        """Builds the file; False where it cannot be written. Who calls holds the lock."""
        new = f"{path}.new"
        try:
            _unlink(new)
            with closing(sqlite3.connect(new, isolation_level=None)) as connection:
                self._build(connection)
            _sync(new)
            _unlink(f"{path}-journal")  # of the file that is replaced
            os.replace(new, path)
            _note(path)
            self._open_file()
            return True
        except (OSError, sqlite3.Error):
            return False
        finally:
            _unlink(new)

    def _build_in_memory(self) -> None:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._build(connection)
        self._inode, self._connection, self._pid = None, connection, os.getpid()

    def _open_file(self) -> None:
        assert self._path is not None
        self._inode = os.stat(self._path).st_ino
        if not _is_as_written(self._path):
            raise OSError("changed by somebody else")
        self._connection = sqlite3.connect(
            self._path, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        self._pid = os.getpid()
        if not self._is_in_place():
            raise OSError("replaced while it was opened")

    def _build(self, connection: sqlite3.Connection) -> None:
        # A file that nobody has seen yet needs no journal, and is synced when it is whole.
        connection.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384; {_TABLES} BEGIN;"
        )
        try:
            self.count = _fill(connection, self._store.shown(self.tip), self.tip)
        except (*_NOT_OF_THE_SCHEMAS, sqlite3.ProgrammingError, sqlite3.InterfaceError) as error:
            for oid, raw in self._store.commits(self.tip):
                log.record(oid, raw)  # says at which commit, and whether it is only too new for us
            refusal = Refused("schema", f"not the decisions of a lawful log ({error!r})", commit=self.tip)
            raise UnlawfulLog(refusal) from None
        connection.execute("INSERT INTO meta VALUES (?, ?, ?, ?)", (_LAYOUT, self._space, self.count, self.tip))
        for statement in (*_INDEXES, "COMMIT"):
            connection.execute(statement)

    # -- reading -------------------------------------------------------------------------------------------------

    def _rows(self, sql: str, *values: object) -> list[Any]:
        with self._lock:
            try:
                return self._connected().execute(sql, values).fetchall()
            except UnicodeEncodeError:
                return []  # no text at all, so that no decision names it
            except (OSError, sqlite3.Error) as error:
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_BUSY) not in (
                    sqlite3.SQLITE_BUSY,
                    sqlite3.SQLITE_NOMEM,
                    sqlite3.SQLITE_CANTOPEN,
                ):
                    self.drop()
            self._build_in_memory()  # up to the same commit: what was handed out gets the same answers
            return self._connected().execute(sql, values).fetchall()

    def _connected(self) -> sqlite3.Connection:
        """The connection; in a fork, or after :meth:`close`, a new one (a connection is not for two processes)."""
        if self._connection is None or self._pid != os.getpid():
            if self._connection is not None:
                self._abandoned.append(self._connection)  # the parent's; nobody closes it here
            if self._inode is None or not self._is_in_place():
                raise OSError("the projection is not where it was")
            self._open_file()
        assert self._connection is not None
        return self._connection

    def __len__(self) -> int:
        return self.count

    def record(self, seq: int) -> Record:
        oid = self.commit(seq)
        found = self._store.object(oid, "commit")
        if found is None:
            raise GitFailed(f"the commit {oid} is missing; `git fsck` may tell what is damaged")
        return log.record(oid, found[1])

    def commit(self, seq: int) -> str:
        width = len(self.tip) // 2
        first, commits = self._block(seq, "commits")
        name: bytes = commits[(seq - first) * width : (seq - first + 1) * width]
        return name.hex()

    def appended(self, seq: int) -> int:
        first, times = self._block(seq, "times")
        return _times(times)[seq - first]

    def kind(self, seq: int) -> str:
        first, kinds = self._block(seq, "kinds")
        code = kinds[seq - first]
        if code != _EXTENSION:
            return _KINDS[code]
        kind: str = self.record(seq)[3]["type"]
        return kind

    def first(self, id: str) -> int | None:
        raw = _raw_id(id)
        if raw is None:
            return None
        for first in self._blocks_with(raw, raw):
            [(ids,)] = self._rows("SELECT ids FROM blocks WHERE first = ?", first)
            at = _find(ids, raw)
            if at >= 0:
                return int(first) + at
        return None

    def refusal(self, id: str) -> int | None:
        rows = self._rows("SELECT seq FROM refusals WHERE id = ? ORDER BY seq LIMIT 1", id)
        return rows[0][0] if rows else None

    def starting_with(self, prefix: str, last: int) -> set[int]:
        found: set[int] = set()
        digits = prefix.replace("-", "")
        if not digits or not _HEX.issuperset(digits):
            return found
        low, high = (bytes.fromhex(digits[:32].ljust(32, fill)) for fill in "0f")
        for first in self._blocks_with(low, high):
            [(ids,)] = self._rows("SELECT ids FROM blocks WHERE first = ?", first)
            for at in _beginning_with(ids, _ID, digits):
                id = _text_id(ids[at * _ID : at * _ID + _ID])
                seq = self.first(id) if id.startswith(prefix) else None  # with its hyphens, and where it stands first
                if seq is not None:
                    found.add(seq)
        if prefix == digits:
            found |= self._commits_beginning_with(prefix, last)
        return {seq for seq in found if seq <= last}

    def _commits_beginning_with(self, prefix: str, last: int) -> set[int]:
        if len(prefix) == len(self.tip):  # a whole name: the commit itself says where it would be
            found = self._store.object(prefix, "commit")
            try:
                seq = -1 if found is None else log.seq_of(found[1])
            except ValueError:
                return set()
            return {seq} if 0 <= seq < self.count and self.commit(seq) == prefix else set()
        seqs: set[int] = set()
        for (first,) in self._rows("SELECT first FROM blocks WHERE first <= ?", last):
            [(commits,)] = self._rows("SELECT commits FROM blocks WHERE first = ?", first)
            seqs.update(first + at for at in _beginning_with(commits, len(self.tip) // 2, prefix))
        return seqs

    def seq_at_time(self, seconds: int, last: int) -> int:
        rows = self._rows(
            "SELECT first FROM blocks WHERE since <= ? AND first <= ? ORDER BY since DESC, first DESC LIMIT 1",
            *(seconds, last),
        )
        if not rows:
            return -1
        [(first, times)] = self._rows("SELECT first, times FROM blocks WHERE first = ?", rows[0][0])
        return min(last, int(first) + bisect_right(_times(times), seconds) - 1)

    def static_void(self, seq: int) -> str | None:
        rows = self._rows("SELECT reason FROM voids WHERE seq = ?", seq)
        return rows[0][0] if rows else None

    def static_voids(self, last: int) -> list[tuple[int, str]]:
        return self._rows("SELECT seq, reason FROM voids WHERE seq <= ? ORDER BY seq", last)

    def revocations_of(self, seq: int, last: int) -> list[int]:
        rows = self._rows("SELECT seq FROM revocations WHERE target = ? AND seq <= ? ORDER BY seq", seq, last)
        return [by for (by,) in rows]

    def revocations(self, last: int) -> list[tuple[int, int]]:
        return self._rows("SELECT seq, target FROM revocations WHERE seq <= ? ORDER BY seq", last)

    def alias_events(self, name: str, last: int) -> Iterator[AliasEvent]:
        # Page by page: a name that was set 10,000 times has one answer, and most have it in the first row.
        sql = "SELECT seq, target FROM aliases WHERE name = ? AND seq <= ? ORDER BY seq DESC LIMIT ?"
        most = 4
        while rows := self._rows(sql, name, last, most):
            yield from rows
            if len(rows) < most:
                return
            last = rows[-1][0] - 1
            most = min(4 * most, 1024)

    def all_alias_events(self, last: int) -> list[tuple[str, int, str | None]]:
        return self._rows("SELECT name, seq, target FROM aliases WHERE seq <= ? ORDER BY seq", last)

    def ties(self, page: str, last: int) -> Iterator[Tie]:
        sql = "SELECT seq, ties.pages, merged FROM pages JOIN ties USING (seq) WHERE page = ? AND seq <= ? ORDER BY seq"
        return ((seq, loads(pages), bool(merged)) for seq, pages, merged in self._rows(sql, page, last))

    def all_ties(self, last: int) -> Iterator[Tie]:
        rows = self._rows("SELECT seq, pages, merged FROM ties WHERE seq <= ? ORDER BY seq", last)
        return ((seq, loads(pages), bool(merged)) for seq, pages, merged in rows)

    def overlay_events(self, overlay_id: str, last: int) -> Iterator[OverlayEvent]:
        sql = "SELECT seq, kind, payload FROM overlays WHERE overlay_id = ? AND seq <= ? ORDER BY seq"
        return ((seq, kind, loads(payload)) for seq, kind, payload in self._rows(sql, overlay_id, last))

    def all_overlay_events(self, last: int) -> Iterator[tuple[str, OverlayEvent]]:
        rows = self._rows("SELECT overlay_id, seq, kind, payload FROM overlays WHERE seq <= ? ORDER BY seq", last)
        return ((overlay_id, (seq, kind, loads(payload))) for overlay_id, seq, kind, payload in rows)

    def forks_of(self, page: str, last: int) -> list[Fork]:
        sql = "SELECT seq, fork, source, source_rev FROM forks WHERE fork = ? AND seq <= ? ORDER BY seq"
        return self._rows(sql, page, last)

    def forks(self, last: int) -> list[Fork]:
        return self._rows("SELECT seq, fork, source, source_rev FROM forks WHERE seq <= ? ORDER BY seq", last)

    def of_type(self, kind: str, last: int) -> list[int]:
        rows = self._rows("SELECT seq FROM extensions WHERE kind = ? AND seq <= ? ORDER BY seq", kind, last)
        return [seq for (seq,) in rows]

    def _blocks_with(self, low: bytes, high: bytes) -> list[int]:
        """The blocks that may hold an id from ``low`` to ``high``, by their first Seqs.

        Ids are times, so that those are few; of ids in no order they are all, and to look through one takes
        microseconds.
        """
        # By its index: for an order of their own SQLite would go through the blocks themselves, a page or more each.
        rows = self._rows("SELECT first FROM blocks INDEXED BY blocks_by_id WHERE high >= ? AND low <= ?", low, high)
        return sorted(first for (first,) in rows)

    def _block(self, seq: int, column: str) -> tuple[int, bytes]:
        """The first Seq of the block that holds ``seq``, and one of its columns."""
        sql = f"SELECT first, {column} FROM blocks WHERE first <= ? ORDER BY first DESC LIMIT 1"
        [(first, content)] = self._rows(sql, seq)
        return first, content


# -- how it is filled ------------------------------------------------------------------------------------------------


def _fill(connection: sqlite3.Connection, commits: Iterator[bytes], tip: str) -> int:
    """Fills the empty tables with a log whose commits come newest first, as ``git rev-list --header`` prints them (the
    law has passed them, so that the rest of the message is not needed); how many decisions that were.

    Raises:
        UnlawfulLog: the log does not begin with a root at Seq 0.
        AttributeError, LookupError, TypeError, ValueError: a commit is no decision commit of this format.
    """
    width = len(tip)
    seq: int | None = None
    shown = b""
    prefixes = array("Q")  # the first half of each id, to find those that stand twice
    pending: dict[str, list[int]] = {}  # what is revoked, by the revocations met so far
    found: dict[str, tuple[int, str]] = {}  # of those: Seq and type of the first decision with that id, so far
    rows = _Rows()
    block = _Block()
    for shown in commits:  # one at a time: to do each step for many at once is slower, for they leave the cache
        seq = _seq_of(shown) if seq is None else seq - 1
        line = shown.index(b"\n    {") + 5
        doc = trusted(shown[line : shown.index(b"\n", line)])
        if doc["v"] != FORMAT:
            raise ValueError("of another format")
        time = shown.index(b"> ", shown.index(b"\ncommitter ")) + 2
        id, kind, payload = doc["id"], doc["type"], doc["payload"]
        block.take(shown[:width].decode(), id, kind, int(shown[time : shown.index(b" ", time)]))
        if id in pending:
            found[id] = seq, kind
        if kind == "decision-revoked":
            pending.setdefault(payload["decision"], []).append(seq)
        else:
            rows.take(seq, kind, payload)
        if seq % _BLOCK == 0:
            prefixes.extend(_prefixes(block.write(connection, seq, -1)))
            rows.write(connection)
    if seq != 0 or shown.split(b"\n", 3)[2].startswith(b"parent "):
        raise UnlawfulLog(Refused("seq", f"the log begins at Seq {seq}, and not with a root at 0", commit=tip))
    repeated = _repeated(connection, prefixes)
    if repeated:  # each table is gone through once, for none has an index yet
        connection.execute("CREATE TEMP TABLE repeated (seq INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO repeated VALUES (?)", ((seq,) for seq in repeated))
        for table in _COLUMNS:
            connection.execute(f"DELETE FROM {table} WHERE seq IN (SELECT seq FROM repeated)")
        connection.execute("DROP TABLE repeated")
    rows.rows["voids"] += [(seq, "repeated-id") for seq in repeated]
    for id, revocations in pending.items():
        for by in revocations:
            if by not in repeated:
                rows.take_revocation(by, *found.get(id, (None, "")))
    rows.write(connection)
    return len(prefixes)


def _seq_of(shown: bytes) -> int:
    at = shown.rindex(b"\n    Seq: ") + 10
    return int(shown[at : shown.index(b"\n", at)])


class _Block:
    """A block in the making."""

    def __init__(self) -> None:
        self.commits: list[str] = []
        self.ids: list[str] = []
        self.kinds: list[str] = []
        self.times: list[int] = []

    def take(self, commit: str, id: str, kind: str, appended: int) -> None:
        self.commits.append(commit)
        self.ids.append(id)
        self.kinds.append(kind)
        self.times.append(appended)

    def write(self, connection: sqlite3.Connection, first: int, step: int) -> bytes:
        """Writes the block, whose first Seq is ``first``, and empties it. What it took came with rising Seqs (``step``
        1) or with falling ones (-1). The ids as they stand in it; raises ValueError if one is none."""
        ids = bytes.fromhex("".join(self.ids[::step]).replace("-", ""))
        if len(ids) != len(self.ids) * _ID:
            raise ValueError("an id that is none")
        low, high = (bytes.fromhex(id.replace("-", "")) for id in (min(self.ids), max(self.ids)))
        kinds = bytes([_CODES.get(kind, _EXTENSION) for kind in self.kinds[::step]])
        commits = bytes.fromhex("".join(self.commits[::step]))
        times = self.times[::step]
        connection.execute(_ADD_BLOCK, (first, low, high, times[0], ids, kinds, _packed(times), commits))
        for column in (self.commits, self.ids, self.kinds, self.times):
            column.clear()
        return ids


class _Rows:
    """Rows of the event tables, gathered so that many are written at once."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in _COLUMNS}
        self._aliases = self.rows["aliases"]

    def take(self, seq: int, kind: str, payload: dict[str, Any]) -> None:
        """Takes a decision that is no revocation."""
        if kind == "alias-set":
            self._aliases.append((payload["alias"], seq, payload["target"]))
        elif kind == "alias-cleared":
            self._aliases.append((payload["alias"], seq, None))
        elif kind == "binding-made" or kind == "merge-decided":
            pages = pages_of(payload)
            self.rows["ties"].append((seq, _json(pages), kind == "merge-decided"))
            self.rows["pages"] += [(page, seq) for page in dict.fromkeys(pages)]
        elif kind == "fork-made":
            self.rows["forks"].append((payload["fork"], seq, payload["source"], payload.get("source_rev")))
        elif kind.startswith("overlay-"):
            self.rows["overlays"].append((payload["overlay_id"], seq, kind, _json(payload)))
        elif kind == "intent-refused":
            self.rows["refusals"].append((payload["decision"], seq))
        elif kind.startswith("x-"):
            self.rows["extensions"].append((kind, seq))

    def take_revocation(self, seq: int, target: int | None, kind: str) -> None:
        """Takes a revocation of what has its first occurrence at ``target``, and that type."""
        if target is None or target >= seq:
            self.rows["voids"].append((seq, "unknown-decision"))
        elif kind in NOT_REVOCABLE:
            self.rows["voids"].append((seq, "not-revocable"))
        else:
            self.rows["revocations"].append((target, seq))

    def write(self, connection: sqlite3.Connection) -> None:
        """Writes what was gathered."""
        for table, rows in self.rows.items():
            one = f"({', '.join('?' * _COLUMNS[table])})"
            # Many rows a statement: 0.35 microseconds a row instead of 0.7.
            whole = len(rows) - len(rows) % _AT_ONCE
            statement = f"INSERT INTO {table} VALUES {', '.join([one] * _AT_ONCE)}"
            for at in range(0, whole, _AT_ONCE):
                connection.execute(statement, list(chain.from_iterable(rows[at : at + _AT_ONCE])))
            connection.executemany(f"INSERT INTO {table} VALUES {one}", rows[whole:])
            rows.clear()


def _add(connection: sqlite3.Connection, index: Index) -> None:
    """Adds what ``index`` holds beyond its base."""
    rows = _Rows()
    block = _Block()
    first = index.start
    for seq, (commit, appended, _, doc, _), void, target in index.added():
        block.take(commit, doc["id"], doc["type"], appended)
        if void is not None:
            rows.rows["voids"].append((seq, void))
        elif target is not None:
            rows.rows["revocations"].append((target, seq))
        else:
            rows.take(seq, doc["type"], doc["payload"])
        if len(block.ids) == _BLOCK or seq + 1 == len(index):
            block.write(connection, first, 1)
            first = seq + 1
    rows.write(connection)


def _repeated(connection: sqlite3.Connection, prefixes: array[int]) -> set[int]:
    """The Seqs of those decisions whose id stood before. ``prefixes`` are the first 8 bytes of each id."""
    twice = {one for one, next_ in pairwise(sorted(prefixes)) if one == next_}
    if not twice:
        return set()
    first: dict[bytes, int] = {}
    repeated: set[int] = set()
    for start, ids in connection.execute("SELECT first, ids FROM blocks ORDER BY first"):
        for at, prefix in enumerate(_prefixes(ids)):
            if prefix in twice and first.setdefault(ids[at * _ID : at * _ID + _ID], start + at) != start + at:
                repeated.add(start + at)
    return repeated


# -- bytes -----------------------------------------------------------------------------------------------------------


def _json(value: object) -> str:
    return dumps(value, ensure_ascii=False, separators=(",", ":"))


def _packed(times: Iterable[int]) -> bytes:
    packed = array("q", times)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _times(packed: bytes) -> array[int]:
    times = array("q", packed)
    if sys.byteorder == "big":
        times.byteswap()
    return times


def _prefixes(ids: bytes) -> array[int]:
    """The first 8 bytes of each id as a number. Ids are times: read so, they are nearly in order, and soon sorted."""
    halves = array("Q", ids)
    if sys.byteorder == "little":
        halves.byteswap()
    return halves[::2]


def _raw_id(id: str) -> bytes | None:
    """The bytes of an id; None for a text that is none."""
    digits = id.replace("-", "")
    if len(digits) != 2 * _ID or not _HEX.issuperset(digits):
        return None
    raw = bytes.fromhex(digits)
    return raw if _text_id(raw) == id else None


def _text_id(raw: bytes) -> str:
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _find(ids: bytes, raw: bytes) -> int:
    """The place of an id in a block of them; -1 if it is not there."""
    at = ids.find(raw)
    while at % _ID and at >= 0:
        at = ids.find(raw, at + 1)
    return at // _ID if at >= 0 else -1


def _beginning_with(names: bytes, width: int, digits: str) -> Iterator[int]:
    """The places of the names, ``width`` bytes each, that begin with these hex digits."""
    if not _HEX.issuperset(digits):
        return
    whole = bytes.fromhex(digits[: len(digits) // 2 * 2])
    at = names.find(whole)
    while 0 <= at < len(names):
        if at % width == 0 and names[at : at + width].hex().startswith(digits):
            yield at // width
        at = names.find(whole, at + 1)


# -- files -----------------------------------------------------------------------------------------------------------


@contextmanager
def _writing(path: str | None, wait: bool = False) -> Iterator[bool]:
    """Holds the right to write the file ``path`` (None: it is in memory, and nobody else's), or says that it cannot be
    had: another process has it and we do not ``wait``, or the lock cannot be made."""
    if path is None:
        yield True
        return
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _note(path: str) -> None:
    """Notes that the file is as it must be. Who calls holds the lock."""
    with open(f"{path}.lock", "w", encoding="ascii") as file:
        file.write(_written(path))


def _is_as_written(path: str) -> bool:
    """Whether the file is as its last writer has noted. In the moment before that is noted it is not, too."""
    with open(f"{path}.lock", encoding="ascii", errors="replace") as file:
        return file.read() == _written(path)


def _written(path: str) -> str:
    about = os.stat(path)
    return f"{about.st_size} {about.st_mtime_ns}\n"


def _unlink(*paths: str) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
