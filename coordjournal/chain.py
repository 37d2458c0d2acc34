"""Walks a log from one tip to another and hands each step, a parent and its child, to a judge.

The hook's judge is the law and the admission, ``verify``'s the law alone. A few commits are held at a time, however
long the chain. That each child follows its parent is for the judge to see, not for git to be believed: no commit-graph,
graft or shallow file can hide or add a step. Where a chain is long, :mod:`coordjournal.passing` passes the plain
steps, and the judge gets the others. This module is on the hook's hot path: it imports nothing heavy.
"""

from .commit import Commit, parse
from .errors import GitFailed, Refused, UnlawfulLog
from .gitread import Objects, commits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .passing import Bounds

    Judge = Callable[["Commit | None", Commit, int], None]
    Step = tuple[Commit | None, Commit, int]

_ONE_BY_ONE = 64  # commits; to ask for so many takes less time than to start the two processes of a stream
_WORTH = 1000  # commits: to load and compile the patterns of plain steps takes 18 ms, to pass one saves 14 us
_TOLD = 1000  # steps between one call of ``progress`` and the next


def judge(
    step: "Judge",
    old: "str | None",
    new: str,
    env: "dict[str, str]",
    objects: Objects,
    most: "int | None" = None,
    bounds: "Bounds | None" = None,
    progress: "Callable[[int], None] | None" = None,
) -> int:
    """Judges every step of a log that moves from ``old`` (None: it is new) to ``new``; how many there were.

    Args:
        step: called with the parent (None for a root), the child and its size in bytes; raises Refused. It fills in
            ``child.files``, and judges the size and that the child follows the parent.
        most: commits larger than this many bytes are not read; ``step`` gets an empty one of that size.
        bounds: ``step`` has nothing against the plain steps within them, and need not be called for those.
        progress: called with the number judged so far, now and then.

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
    judged = 0

    def count() -> None:
        nonlocal judged
        judged += 1
        if progress is not None and judged % _TOLD == 0:
            progress(judged)

    steps = _newest_first(new, size, old, env, objects, most, bounds, count)
    child = None
    try:
        for parent, child, size in steps:
            step(parent, child, size)
            count()
    except Refused as refusal:
        # Newest first is how git streams, and finds a break, but not the first one; the second walk stops there.
        try:
            _upwards(step, old, new, env, objects, most)
        except GitFailed:  # a commit is so malformed that git cannot walk across it: the break that was found stands
            refusal.commit = refusal.commit or (child.oid if child else new)
            raise refusal from None
        raise
    finally:
        steps.close()
    return judged


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
    oid: str,
    size: int,
    old: "str | None",
    env: "dict[str, str]",
    objects: Objects,
    most: "int | None",
    bounds: "Bounds | None",
    count: "Callable[[], None]",
) -> "Generator[Step, None, None]":
    """The steps that are for the judge: all from ``oid``, just asked for, down to ``old`` or to a root, but the plain
    ones, for which ``count`` is called."""
    child = _taken(oid, size, objects, most)
    for _ in range(_ONE_BY_ONE):
        if child.parent is None or child.parent == old:
            break
        _, parent_size = _asked(child.parent, objects)
        parent = _taken(child.parent, parent_size, objects, most)
        yield parent, child, size
        child, size = parent, parent_size
    if child.parent is not None and child.parent != old:
        stream = commits(child.parent, old, env, most=most)
        try:
            for number, (oid, parent_size, raw) in enumerate(stream, _ONE_BY_ONE):
                parent = _parsed(oid, parent_size, raw, most)
                yield parent, child, size
                child, size = parent, parent_size
                if bounds is not None and number == _WORTH:
                    from .passing import steps

                    child, size = yield from steps(stream, child, size, objects, bounds, count)
        finally:
            stream.close()
    yield tip(old, objects), child, size


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


def _taken(oid: str, size: int, objects: Objects, most: "int | None") -> Commit:
    """The commit just asked for."""
    if most is not None and size > most:
        objects.leave()
        return Commit.unread(oid)
    return _read(oid, objects.take(size))


def _parsed(oid: str, size: int, raw: bytes, most: "int | None") -> Commit:
    return Commit.unread(oid) if most is not None and size > most else _read(oid, raw)


def _read(oid: str, raw: bytes) -> Commit:
    try:
        return parse(oid, raw)
    except Refused as refusal:
        refusal.commit = oid
        raise


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
