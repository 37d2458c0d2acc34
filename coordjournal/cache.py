"""A disposable cache of what was read from a log, so that a state costs only what is new since last time.

One file a space, appended to as the log grows: a line a step, each the SHA-256 of the line before and its own records,
a blank, and the JSON array of the records. What does not check is ignored from there on and overwritten by the next
step; whoever deletes the file loses nothing but time. The log stays the only truth.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from .index import Record

_FORMAT = b"coordjournal fold cache 2\n"


class FoldCache:
    """The cache of one space. ``count`` is how many records, from Seq 0 on, it holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._end = 0  # where the next step goes: behind the last line that checked
        self._last = b""

    def load(self) -> list[Record]:
        """The records that check, from Seq 0 on."""
        records: list[Record] = []
        self._end, self._last = 0, b""
        try:
            with self.path.open("rb") as file:
                if file.readline() != _FORMAT:
                    return []
                self._end = len(_FORMAT)
                for line in file:
                    digest, _, body = line.partition(b" ")
                    if not body.endswith(b"\n") or digest != _digest(self._last, body):
                        break
                    records += map(tuple, json.loads(body))
                    self._last = digest
                    self._end += len(line)
        except (OSError, ValueError):
            pass  # what was read so far has checked
        self.count = len(records)
        return records

    def extend(self, new: Sequence[Record], lines: Sequence[bytes]) -> bool:
        """Adds records, and the JSON lines of their decisions, behind those it holds; False where it cannot."""
        body = b"[%b]\n" % b",".join(map(_encoded, new, lines))
        digest = _digest(self._last, body)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # What stands behind our end is damage, or a step of another process: it can add its own again.
                file.truncate(self._end)
                line = (b"" if self._end else _FORMAT) + digest + b" " + body
                file.write(line)
        except OSError:
            return False
        self._end += len(line)
        self._last = digest
        self.count += len(new)
        return True

    def drop(self) -> None:
        """Forgets everything: the log does not contain what is cached."""
        self.count = self._end = 0
        self._last = b""
        try:
            self.path.unlink()
        except OSError:
            pass


def _encoded(record: Record, line: bytes) -> bytes:
    """The record as JSON; its decision is JSON already, and encoding it again would take as long as reading it did."""
    commit, appended, appender, _, lease = record
    return b'["%b",%d,%b,%b,%b]' % (commit.encode(), appended, _quoted(appender), line, _quoted(lease))


@lru_cache(maxsize=1024)
def _quoted(value: str | None) -> bytes:
    return json.dumps(value).encode()


def _digest(before: bytes, body: bytes) -> bytes:
    return hashlib.sha256(before + body).hexdigest().encode()
