"""Stamps intents onto the tip of a log: the appender's half of a decision commit. Pure: it writes nothing.

Every stamped commit passes the same law and admission that the server's hook asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import admission, law, trailer
from .admission import Settings
from .commit import Commit, File, subject, tree_of
from .decision import Attachment, Intent
from .errors import Refused
from .placing import Appender, place
from .trailer import Lease


@dataclass(frozen=True, slots=True)
class Stamped:
    """Intents at their places. ``objects`` are all there is to write, each a kind and its content."""

    commits: Sequence[Commit]
    docs: Sequence[dict[str, Any]]
    objects: Sequence[tuple[str, bytes]]


def stamp(
    space: str,
    intents: Sequence[Intent],
    parent: Commit | None,
    *,
    appender: str,
    now: int,
    name: Callable[[str, bytes], str],
    empty_tree: str,
    settings: Settings,
    judge_extension: Callable[[str, Any], None],
    held: Lease | None = None,
) -> Stamped:
    """Puts ``intents`` onto ``parent`` (None: an empty log), one after the other.

    Args:
        now: the append time in seconds since 1970; a parent's later time is kept, so that no clock stops a space.
        held: the lease under which the appender appends, if it has one.
        name: the object name that git gives a kind and content.

    Raises:
        Refused: by the law or the admission, with the Seq the decision would have had.
    """
    admission.check_writable(settings)
    by = Appender(appender, _admissible(now, parent, settings), name, settings, judge_extension, held)
    commits: list[Commit] = []
    docs: list[dict[str, Any]] = []
    objects: list[tuple[str, bytes]] = []
    files: tuple[File, ...]
    for intent in intents:
        seq = parent.seq + 1 if parent and parent.seq is not None else 0
        decision = intent.decision
        try:
            line = decision.line()
        except ValueError as error:
            raise Refused("bad-json", str(error), seq=seq) from None
        try:
            doc = law.decision(line)  # before the subject is rendered, which takes a decision of the schemas
            tree, files = empty_tree, ()
            if intent.files:
                tree, files, written = intent_tree(intent.files, name)
                objects += written
            child, raw = place(space, parent, doc, subject(decision.type, doc["payload"]), line, tree, files, by)
        except Refused as refusal:
            refusal.seq = seq
            raise
        if doc["type"] == "lease-acquired":
            by.held = trailer.read(child.lease)  # what follows is appended under it
        objects.append(("commit", raw))
        commits.append(child)
        docs.append(doc)
        parent = child
    return Stamped(commits, docs, objects)


def _admissible(now: int, parent: Commit | None, settings: Settings) -> int:
    """The time to stamp at: now, but for what follows a lease that ran out, which no server admits before its own
    clock has passed that time. A clock within the skew is then early enough."""
    lease = trailer.read(parent.lease) if parent else None
    if parent is None or lease is None or lease.until <= parent.appended or lease.in_force(now):
        return now
    return max(lease.until, now - settings.clock_skew)


def intent_tree(
    contents: Mapping[str, bytes], name: Callable[[str, bytes], str]
) -> tuple[str, tuple[File, ...], list[tuple[str, bytes]]]:
    """The tree of attachments: its object name, its files, and the objects to write."""
    files = tuple(_file(file, content, name) for file, content in sorted(contents.items()))
    content = tree_of((file.name, file.oid) for file in files)
    objects = [("blob", blob) for blob in contents.values()]
    return name("tree", content), files, [*objects, ("tree", content)]


def _file(file: str, content: bytes, name: Callable[[str, bytes], str]) -> File:
    measured = Attachment.of(content)
    return File("100644", file, name("blob", content), measured.bytes, measured.sha256)
