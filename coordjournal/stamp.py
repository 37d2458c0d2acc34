"""Stamps intents onto the tip of a log: the appender's half of a decision commit. Pure: it writes nothing.

Every stamped commit passes the same law and admission that the server's hook asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import admission, law
from .admission import Settings
from .commit import Commit, File, build, parse, subject, tree_of
from .decision import Attachment, Intent
from .errors import Refused
from .timestamp import seconds


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
) -> Stamped:
    """Puts ``intents`` onto ``parent`` (None: an empty log), one after the other.

    Args:
        now: the append time in seconds since 1970; a parent's later time is kept, so that no clock stops a space.
        name: the object name that git gives a kind and content.

    Raises:
        Refused: by the law or the admission, with the Seq the decision would have had.
    """
    admission.check_writable(settings)
    commits: list[Commit] = []
    docs: list[dict[str, Any]] = []
    objects: list[tuple[str, bytes]] = []
    for intent in intents:
        seq = parent.seq + 1 if parent and parent.seq is not None else 0
        decision = intent.decision
        try:
            line = decision.line()
        except ValueError as error:
            raise Refused("bad-json", str(error), seq=seq) from None
        try:
            doc = law.decision(line)  # before the subject is rendered, which takes a decision of the schemas
            tree = empty_tree
            files: list[File] = []
            if intent.files:
                files = [_file(file, content, name) for file, content in sorted(intent.files.items())]
                objects += [("blob", content) for content in intent.files.values()]
                tree_content = tree_of((file.name, file.oid) for file in files)
                objects.append(("tree", tree_content))
                tree = name("tree", tree_content)
            raw = build(
                tree,
                parent.oid if parent else None,
                decision.actor,
                seconds(decision.at),
                appender,
                max(now, parent.appended) if parent else now,
                subject(decision.type, doc["payload"]),
                line,
                seq,
            )
            child = parse(name("commit", raw), raw)
            child.files = tuple(files)
            admission.check_size(child, len(raw), settings)
            law.check(space, parent, child)
            admission.check(doc, parent, child, now, settings, judge_extension)
        except Refused as refusal:
            refusal.seq = seq
            raise
        objects.append(("commit", raw))
        commits.append(child)
        docs.append(doc)
        parent = child
    return Stamped(commits, docs, objects)


def _file(file: str, content: bytes, name: Callable[[str, bytes], str]) -> File:
    measured = Attachment.of(content)
    return File("100644", file, name("blob", content), measured.bytes, measured.sha256)
