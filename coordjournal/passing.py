"""Passes the plain steps of a long chain, so that the judge gets the others only (docs/decisions/0021-plain-steps.md).

Only long chains load this module and the patterns of :mod:`coordjournal.plain`.
"""

from .commit import Commit, parse
from .errors import GitFailed
from .plain import follows, holds, reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from .gitread import Objects
    from .plain import Body

    #: Within what a step may be passed: it is lawful in this space, appended at this time at the latest, in seconds
    #: since 1970, decided no more than so many seconds after that, and its attachment takes no more than so many bytes.
    Bounds = tuple[str, int, int, int | None]
    Step = tuple[Commit | None, Commit, int]

_TOGETHER = 120  # steps whose attachments are measured together


def steps(
    stream: "Iterator[tuple[str, int, bytes]]",
    last: Commit,
    size: int,
    objects: "Objects",
    bounds: "Bounds",
    count: "Callable[[], None]",
) -> "Generator[Step, None, tuple[Commit, int]]":
    """The steps behind ``last``, of ``size`` bytes, that are not plain; it returns the last commit, and its size.

    Args:
        stream: name, size and content of the commits behind ``last``, newest first; the content of one that is too
            large to be read is missing.
        count: called for each step that is passed.
    """
    space, latest, skew, largest = bounds
    read = reader(space, len(last.oid), latest, skew)
    child: Commit | None = last  # parsed, if it had to be
    oid, raw, after = last.oid, b"", None
    waiting: list[tuple[str, str, Body]] = []
    for parent_oid, parent_size, parent_raw in stream:
        before = read(parent_raw)
        if before is not None and after is not None and follows(parent_oid, before, after):
            body = after[4]
            if body is None:
                count()
            else:
                waiting.append((parent_oid, oid, body))
                if len(waiting) == _TOGETHER:
                    yield from _otherwise(waiting, objects, largest, count)
                    waiting.clear()
            child = None
        else:
            parent = parse(parent_oid, parent_raw) if len(parent_raw) == parent_size else Commit.unread(parent_oid)
            yield parent, child or parse(oid, raw), size
            child = parent
        oid, size, raw, after = parent_oid, parent_size, parent_raw, before
    yield from _otherwise(waiting, objects, largest, count)
    return child or parse(oid, raw), size


def _otherwise(
    waiting: "list[tuple[str, str, Body]]", objects: "Objects", largest: "int | None", count: "Callable[[], None]"
) -> "Generator[Step, None, None]":
    """Of steps that are plain but for the attachment, each a parent, a child and what it declares, those whose tree
    holds something else."""
    trees = objects.measured([body[0] for _, _, body in waiting], largest)
    for (parent, child, body), files in zip(waiting, trees, strict=True):
        if holds(files, body):
            count()
        else:
            before, _ = _again(parent, objects)
            yield before, *_again(child, objects)


def _again(oid: str, objects: "Objects") -> "tuple[Commit, int]":
    """A plain commit, and its size."""
    found = objects.read(oid, "commit")
    if found is None:
        raise GitFailed(f"the object {oid} is missing")
    return parse(oid, found[1]), len(found[1])
