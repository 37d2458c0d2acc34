"""Walks a log from one tip to another and hands each step, a parent and its child, to a judge.

The hook's judge is the law and the admission, ``verify``'s the law alone. Two commits are held at a time, however long
the chain. That each child follows its parent is for the judge to see, not for git to be believed: no commit-graph,
graft or shallow file can hide or add a step. This module is on the hook's hot path: it imports nothing heavy.
"""

from .commit import Commit, parse
from .errors import GitFailed, Refused, UnlawfulLog
from .gitread import Objects, commits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Judge = Callable[["Commit | None", Commit, int], None]

_ONE_BY_ONE = 64  # commits; to ask for so many takes less time than to start the two processes of a stream


def judge(
    step: "Judge",
    old: "str | None",
    new: str,
    env: "dict[str, str]",
    objects: Objects,
    most: "int | None" = None,
) -> None:
    """Judges every step of a log that moves from ``old`` (None: it is new) to ``new``.

    Args:
        step: called with the parent (None for a root), the child and its size in bytes; raises Refused. It fills in
            ``child.files``, and judges the size and that the child follows the parent.
        most: commits larger than this many bytes are not read; ``step`` gets an empty one of that size.

    Raises:
        Refused: at the first step that breaks, or because ``new`` does not continue ``old``; with the commit, and its
            place in the log as ``seq``, whatever Seq the commit itself claims.
        UnlawfulLog: ``old`` is no decision commit.
        GitFailed: an object is missing, git cannot read the repository.
    """
    kind, size = _asked(new, objects)
    if kind != "commit":
        objects.leave()
        refusal = Refused("not-a-commit", f"a {kind}, not a commit", "object", "push the decision commit itself")
        raise _placed(refusal, new, _next(tip(old, objects)))
    walk = _newest_first(new, size, old, env, objects, most)
    try:
        child, size = next(walk)
        for parent, parent_size in walk:
            step(parent, child, size)
            child, size = parent, parent_size
        step(tip(old, objects), child, size)
    except Refused:
        # Newest first is how git streams, and finds a break, but not the first one; the second walk stops there.
        _upwards(step, old, new, env, objects, most)
        raise
    finally:
        walk.close()


def tip(oid: "str | None", objects: Objects) -> "Commit | None":
    """The decision commit at the tip of a log, which the law let in when it came; None for no log.

    Raises:
        UnlawfulLog: it is no decision commit, so that nothing can follow it.
        GitFailed: it is missing.
    """
    if oid is None:
        return None
    answer = objects.read(oid, "commit")
    if answer is None:
        raise GitFailed(f"the old tip {oid} is missing, or no commit")
    try:
        return parse(oid, answer[1])
    except Refused as refusal:
        refusal.commit = oid
        raise UnlawfulLog(refusal) from None


def _newest_first(
    oid: str, size: int, old: "str | None", env: "dict[str, str]", objects: Objects, most: "int | None"
) -> "Generator[tuple[Commit, int], None, None]":
    """The commits from ``oid``, just asked for, down to (without) ``old``, or to a root."""
    for _ in range(_ONE_BY_ONE):
        if most is not None and size > most:
            objects.leave()
            commit = Commit.unread(oid)
        else:
            commit = parse(oid, objects.take(size))
        yield commit, size
        if commit.parent is None or commit.parent == old:
            return
        oid = commit.parent
        _, size = _asked(oid, objects)
    objects.leave()
    stream = commits(oid, old, env, most=most)
    try:
        for oid, size, raw in stream:
            yield _parsed(oid, size, raw, most), size
    finally:
        stream.close()


def _upwards(
    step: "Judge", old: "str | None", new: str, env: "dict[str, str]", objects: Objects, most: "int | None"
) -> None:
    parent = before = tip(old, objects)
    stream = commits(new, old, env, most=most, oldest_first=True)
    try:
        for oid, size, raw in stream:
            try:
                child = _parsed(oid, size, raw, most)
                step(parent, child, size)
            except Refused as refusal:
                raise _placed(refusal, oid, _next(parent)) from None
            parent = child
    finally:
        stream.close()  # a refusal is kept, and would keep the processes of the stream
    if parent is before:
        raise _rewind(old, tip(new, objects))


def _asked(oid: str, objects: Objects) -> "tuple[str, int]":
    """Kind and size of an object, whose content is to be taken or left."""
    answer = objects.ask(oid)
    if answer is None:
        raise objects.missing(oid)
    return answer[1], answer[2]


def _parsed(oid: str, size: int, raw: bytes, most: "int | None") -> Commit:
    return Commit.unread(oid) if most is not None and size > most else parse(oid, raw)


def _next(parent: "Commit | None") -> int:
    """The place in the log after ``parent``."""
    return 0 if parent is None or parent.seq is None else parent.seq + 1


def _placed(refusal: Refused, commit: str, seq: "int | None") -> Refused:
    refusal.commit = commit
    refusal.seq = seq
    return refusal


def _rewind(old: "str | None", behind: "Commit | None") -> Refused:
    refusal = Refused(
        "not-fast-forward",
        f"the log is at {old} already, and this commit is behind it: a log never goes back",
        "ref",
        "fetch; a decision is taken back with a decision-revoked",
    )
    return _placed(refusal, behind.oid, behind.seq) if behind else refusal
