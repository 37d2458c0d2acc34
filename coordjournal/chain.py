"""Walks a log from one tip to another and hands each step, a parent and its child, to a judge.

The hook's judge is the law and the admission, ``verify``'s the law alone. Two commits are held at a time, however long
the chain. This module is on the hook's hot path: it imports nothing heavy.
"""

from .commit import Commit, parse
from .errors import GitFailed, Refused
from .gitread import Objects, commits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Judge = Callable[["Commit | None", Commit, int], None]


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
            ``child.files``, and judges the size.
        most: commits larger than this many bytes are not read; ``step`` gets an empty one of that size.

    Raises:
        Refused: at the first step that breaks, or because ``new`` does not continue ``old``.
        GitFailed: an object is missing, git cannot read the repository.
    """
    answer = objects.ask(new)
    if answer is None:
        raise GitFailed(f"the object {new} is missing")
    if answer[1] != "commit":
        objects.leave()
        raise Refused("not-a-commit", f"a {answer[1]}, not a commit", "", "push the decision commit itself")
    size = answer[2]
    if most is not None and size > most:
        objects.leave()
    else:
        child = _parsed(new, objects.take(size))
        if child.parent == old:  # the usual push: one decision, and no walk
            step(_tip(old, objects), child, size)
            return
    try:
        _downwards(step, commits(new, old, env, most=most), old, objects)
    except Refused:
        # Newest first is how git streams, and finds a break, but not the first one; the second walk stops there.
        _upwards(step, commits(new, old, env, most=most, oldest_first=True), old, objects)
        raise


def _downwards(
    step: "Judge", walk: "Iterable[tuple[str, int, bytes]]", old: "str | None", objects: Objects
) -> None:
    child: Commit | None = None
    child_size = 0
    for oid, size, raw in walk:
        parent = _parsed(oid, raw)
        if child is not None:
            step(parent, child, child_size)
        child, child_size = parent, size
    if child is None:
        raise _rewind(old)
    step(_tip(old, objects), child, child_size)


def _upwards(step: "Judge", walk: "Iterable[tuple[str, int, bytes]]", old: "str | None", objects: Objects) -> None:
    parent = tip = _tip(old, objects)
    for oid, size, raw in walk:
        child = _parsed(oid, raw)
        step(parent, child, size)
        parent = child
    if parent is tip:
        raise _rewind(old)


def _parsed(oid: str, raw: bytes) -> Commit:
    if not raw:
        return Commit.unread(oid)
    try:
        return parse(oid, raw)
    except Refused as refusal:
        refusal.commit = oid
        raise


def _tip(old: "str | None", objects: Objects) -> "Commit | None":
    """The decision at the tip of a log, which the law let in when it came."""
    if old is None:
        return None
    answer = objects.read(old, "commit")
    if answer is None:
        raise GitFailed(f"the old tip {old} is no commit")
    return parse(old, answer[1])


def _rewind(old: "str | None") -> Refused:
    return Refused(
        "not-fast-forward",
        f"the log is at {old} already, and this commit is behind it: a log never goes back",
        "",
        "fetch; a decision is taken back with a decision-revoked",
    )
