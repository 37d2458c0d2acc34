"""Reads a log with plain git and takes it apart by itself: nothing here knows the package.

What it cannot take apart is a ValueError; what it means is for the rules to say.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_PERSON = re.compile(r"(?P<name>.*) <[^<>]*> (?P<time>\d+) [+-]\d{4}")
_HELD = re.compile(
    r"(?P<holder>.+)/(?P<token>[0-9a-f]{4,64}); term=(?P<term>\d+); ttl=(?P<ttl>\d+); "
    r"until=(?P<until>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"
)
_FREE = re.compile(r"-; term=(?P<term>\d+)")


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease trailer; ``holder`` and ``token`` are None while nobody holds it. ``until`` in seconds since 1970."""

    term: int
    holder: str | None = None
    token: str | None = None
    ttl: int = 0
    until: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A commit of a log. ``appended`` is its append time in seconds since 1970, ``doc`` its decision."""

    commit: str
    parents: tuple[str, ...]
    committer: str
    appended: int
    doc: dict[str, Any]
    seq: int
    lease: Lease | None = None

    @property
    def id(self) -> str:
        """The id of the decision."""
        return str(self.doc["id"])

    def __str__(self) -> str:
        return f"Seq {self.seq} {self.commit[:10]} {self.doc['type']} {self.id} at {self.appended} {self.lease or ''}"


def git(git_dir: Path, *words: str, stdin: bytes = b"") -> bytes:
    """What git prints about a repository. Raises CalledProcessError."""
    done = subprocess.run(["git", f"--git-dir={git_dir}", *words], input=stdin, stdout=subprocess.PIPE, check=True)
    return done.stdout


def read(git_dir: Path, ref: str) -> list[Entry]:
    """Every commit that the ref reaches, in the order that git gives them, the oldest first. Raises ValueError."""
    names = git(git_dir, "rev-list", "--topo-order", "--reverse", ref)
    stream = git(git_dir, "cat-file", "--batch", stdin=names)
    found = []
    at = 0
    for name in names.decode().split():
        end = stream.index(b"\n", at)
        oid, kind, size = stream[at:end].decode().split()
        if (oid, kind) != (name, "commit"):
            raise ValueError(f"{name} is no commit")
        found.append(_entry(oid, stream[end + 1 : end + 1 + int(size)].decode()))
        at = end + 2 + int(size)
    return found


def _entry(oid: str, raw: str) -> Entry:
    head, _, message = raw.partition("\n\n")
    parents = tuple(line[7:] for line in head.split("\n") if line.startswith("parent "))
    committer = next(line[10:] for line in head.split("\n") if line.startswith("committer "))
    person = _PERSON.fullmatch(committer)
    parts = message.split("\n\n")
    if person is None or len(parts) != 3 or not parts[2].endswith("\n"):
        raise ValueError(f"{oid} is no decision commit")
    trailers = dict(line.split(": ", 1) for line in parts[2].removesuffix("\n").split("\n"))
    lease = trailers.pop("Lease", None)
    seq = trailers.pop("Seq")
    if trailers:
        raise ValueError(f"{oid} has the trailers {', '.join(trailers)}")
    doc = json.loads(parts[1])
    return Entry(
        oid, parents, person["name"], int(person["time"]), doc, int(seq), None if lease is None else _lease(lease)
    )


def _lease(text: str) -> Lease:
    if match := _FREE.fullmatch(text):
        return Lease(int(match["term"]))
    match = _HELD.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no lease trailer")
    until = datetime.strptime(match["until"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return Lease(int(match["term"]), match["holder"], match["token"], int(match["ttl"]), int(until.timestamp()))
