"""Stamps intents onto the tip of a log: the appender's half of a decision commit. Pure: it writes nothing.

Every stamped commit passes the same law and admission that the server's hook asks; where there are many,
:mod:`coordjournal.plain` passes the plain ones, as it does for the hook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from . import admission, canonical, law, trailer
from .admission import Settings
from .commit import Commit, File, build, subject, tree_of
from .decision import Attachment, Decision, Intent
from .errors import Refused
from .placing import Appender, place
from .timestamp import seconds
from .trailer import Lease

if TYPE_CHECKING:
    from .plain import Plain, Read

Name = Callable[[str, bytes], str]
#: The object name of a commit's tree, and its files.
Tree = tuple[str, tuple[File, ...]]
#: A decision at its place: its commit, itself as it stands there, and the bytes of the commit.
Step = tuple[Commit, Decision, bytes]

WORTH = 300  #: decisions that the law judges in the time that it takes to load and compile the patterns of plain ones


@dataclass(frozen=True, slots=True)
class Stamped:
    """Intents at their places. ``objects`` are all that is still to be written, each a kind and its content."""

    commits: Sequence[Commit]
    objects: Sequence[tuple[str, bytes]]


class Made:
    """Objects that are made while they are gone through, which they are once; how many they will be is known."""

    def __init__(self, count: int, objects: Iterator[tuple[str, bytes]]) -> None:
        self._count = count
        self._objects = objects

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return self._objects


def trees_of(
    intents: Sequence[Intent], name: Name, empty_tree: str
) -> tuple[list[Tree], list[tuple[str, bytes]]]:
    """The trees of intents, and the objects of their attachments, each of these once."""
    trees: list[Tree] = [(empty_tree, ())] * len(intents)
    objects: dict[str, tuple[str, bytes]] = {}
    for number, intent in enumerate(intents):
        if intent.files:
            tree, files, written = intent_tree(intent.files, name)
            trees[number] = tree, files
            for oid, item in zip((*(file.oid for file in files), tree), written, strict=True):
                objects.setdefault(oid, item)
    return trees, list(objects.values())


def stamping(
    space: str,
    intents: Sequence[Intent],
    trees: Sequence[Tree],
    parent: Commit | None,
    *,
    appender: str,
    now: int,
    name: Name,
    settings: Settings,
    judge_extension: Callable[[str, Any], None],
    held: Lease | None = None,
    many: bool = False,
) -> Iterator[Step]:
    """Puts ``intents`` onto ``parent`` (None: an empty log), one after the other, as it is gone through.

    Args:
        trees: those of the intents, in their order.
        now: the append time in seconds since 1970; a parent's later time is kept, so that no clock stops a space.
        held: the lease under which the appender appends, if it has one.
        name: the object name that git gives a kind and content.
        many: plain decisions need not be judged one by one; see :data:`WORTH`.

    Raises:
        Refused: by the law or the admission, with the Seq the decision would have had.
    """
    admission.check_writable(settings)
    by = Appender(appender, _admissible(now, parent, settings), name, settings, judge_extension, held)
    plainly = _Plainly(space, parent, len(trees[0][0]), by) if many else None
    for intent, (tree, files) in zip(intents, trees, strict=True):
        step = None if plainly is None else plainly.place(parent, intent.decision, tree, files)
        if step is None:
            step = _judged(space, parent, intent.decision, tree, files, by)
            if plainly is not None:
                plainly.went_on(step)
        parent = step[0]
        yield step


def _judged(
    space: str, parent: Commit | None, decision: Decision, tree: str, files: tuple[File, ...], by: Appender
) -> Step:
    """A decision at its place, by the law and the admission themselves."""
    try:
        try:
            line = decision.line()
        except ValueError as error:
            raise Refused("bad-json", str(error)) from None
        doc = law.decision(line)  # before the subject is rendered, which takes a decision of the schemas
        child, raw = place(space, parent, doc, subject(doc["type"], doc["payload"]), line, tree, files, by)
    except Refused as refusal:
        refusal.seq = parent.seq + 1 if parent and parent.seq is not None else 0
        raise
    if doc["type"] == "lease-acquired":
        by.held = trailer.read(child.lease)  # what follows is appended under it
    return child, Decision.from_json(doc), raw


class _Plainly:
    """Places plain decisions behind ``parent`` and one another, by the same rules, in a fifth of the time."""

    def __init__(self, space: str, parent: Commit | None, width: int, by: Appender) -> None:
        from . import plain

        self._plain = plain
        self._by = by
        self._read = _reader(space, width, by.settings.clock_skew)
        self._time = max(by.now, parent.appended) if parent else by.now  # no clock stops a space
        self._before: Plain | None = None
        self._knows = parent is None
        self._decided: dict[str, int] = {}  # what the second of a time is in seconds since 1970
        self._after: str | None = None  # a lease trailer, and the one that is due after it
        self._due: str | None = None
        if parent is not None and parent.lease is None and parent.seq is not None:
            self._before = parent.parent, parent.seq, parent.appended, None, None
            self._knows = True

    def went_on(self, step: Step) -> None:
        """Takes note of a step that was judged otherwise."""
        self._before = self._read(step[2])
        self._knows = self._before is not None

    def place(self, parent: Commit | None, decision: Decision, tree: str, files: tuple[File, ...]) -> Step | None:
        """The decision at its place; None for what is not plain."""
        if not self._knows or decision.type.startswith("lease-"):
            return None
        by = self._by
        try:
            doc = decision.json()
            line = canonical.dumps(doc)
            second = decision.at[:19]
            authored = self._decided.get(second)
            if authored is None:
                authored = self._decided[second] = seconds(decision.at)
            shown = subject(decision.type, decision.payload)
            seq, oid, lease = 0, None, None
            if parent is not None:
                seq, oid = parent.seq + 1, parent.oid  # type: ignore[operator]  # a tip has a Seq; else the law finds out
                lease = parent.lease and self._trailer(parent.lease, doc)
            raw = build(tree, oid, decision.actor, authored, by.who, self._time, shown, line, seq, lease=lease)
        except Exception:
            return None  # whatever it is, the law finds out
        read = self._read(raw)
        if read is None or not self._plain.follows(oid, self._before, read) or len(raw) > by.settings.decision_bytes:
            return None
        body = read[4]
        if files if body is None else not self._holds(files, body):
            return None
        child = Commit()
        child.oid = by.name("commit", raw)
        child.tree = tree
        child.parent = oid
        child.actor = decision.actor
        child.authored = authored
        child.appender = by.who
        child.appended = self._time
        child.subject = shown.encode()
        child.line = line
        child.seq = seq
        child.lease = lease
        child.files = files
        self._before = read
        if tuple in map(type, doc["payload"].values()):  # an array in JSON
            decision = Decision.from_json(canonical.trusted(line))
        return child, decision, raw

    def _trailer(self, before: str, doc: dict[str, Any]) -> str | None:
        """The trailer after ``before``: that of all decisions of a batch, but for those about the lease itself."""
        if before != self._after:
            self._due = trailer.following(trailer.read(before), doc, self._time, self._by.held, "")
            self._after = before
        return self._due

    def _holds(self, files: tuple[File, ...], body: tuple[str, int, str]) -> bool:
        return self._plain.holds(files, body) and files[0].size <= self._by.settings.attachment_bytes


@lru_cache(maxsize=64)
def _reader(space: str, width: int, skew: int) -> Read:
    """What recognises plain decisions, with the patterns that it has compiled. That they are stamped too late it need
    not see: an appender stamps the present, or its parent's time."""
    from . import plain

    return plain.reader(space, width, skew=skew)


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
    objects = [("blob", contents[file.name]) for file in files]
    return name("tree", content), files, [*objects, ("tree", content)]


def _file(file: str, content: bytes, name: Callable[[str, bytes], str]) -> File:
    measured = Attachment.of(content)
    return File("100644", file, name("blob", content), measured.bytes, measured.sha256)
