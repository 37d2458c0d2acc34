"""Walks a log from one tip to another and hands each step, a parent and its child, to a judge.

The hook's judge is the law and the admission, ``verify``'s the law alone. A few commits are held at a time, however
long the chain. That each child follows its parent is for the judge to see, not for git to be believed: no commit-graph,
graft or shallow file can hide or add a step. Where a chain is long, :mod:`coordjournal.plain` passes the plain steps,
and the judge gets the others. This module is on the hook's hot path: it imports nothing heavy.
"""

from .commit import Commit, parse
from .errors import GitFailed, Refused, UnlawfulLog
from .gitread import Objects, commits
from .timestamp import LAST_SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from .plain import Body

    Judge = Callable[["Commit | None", Commit, int], None]
    Step = tuple[Commit | None, Commit, int]
    Read = tuple[str, int, bytes]

_ONE_BY_ONE = 64  # commits; to ask for so many takes less time than to start the two processes of a stream
_WORTH = 500  # commits that the law judges in the time that it takes to load and compile the patterns of plain steps
_TOLD = 1000  # steps between one call of ``progress`` and the next
_WAITING = 120  # steps whose attachments are measured together: 20 microseconds less for each than one by one


class Bounds:
    """Within what a step may be passed as a plain one, without the judge.

    It is lawful in ``space``, appended at ``latest`` at the latest, in seconds since 1970, decided no more than
    ``skew`` seconds after that, and its attachment takes no more than ``attachment_bytes`` (None: any size). The law
    alone has the first of these bounds only.
    """

    __slots__ = ("attachment_bytes", "latest", "skew", "space")

    def __init__(
        self, space: str, latest: int = LAST_SECOND, skew: int = LAST_SECOND, attachment_bytes: "int | None" = None
    ) -> None:
        self.space = space
        self.latest = latest
        self.skew = skew
        self.attachment_bytes = attachment_bytes


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
    walk = _Walk(old, env, objects, most, bounds, progress)
    steps = walk.steps(new, size)
    try:
        for parent, child, size in steps:
            step(parent, child, size)
    except Refused:
        # Newest first is how git streams, and finds a break, but not the first one; the second walk stops there.
        _upwards(step, old, new, env, objects, most)
        raise
    finally:
        steps.close()
    return walk.judged


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


class _Walk:
    """The steps from one tip to another, newest first, which is how git streams; ``judged`` counts them."""

    def __init__(
        self,
        old: "str | None",
        env: "dict[str, str]",
        objects: Objects,
        most: "int | None",
        bounds: "Bounds | None",
        progress: "Callable[[int], None] | None",
    ) -> None:
        self.judged = 0
        self._old = old
        self._env = env
        self._objects = objects
        self._most = most
        self._bounds = bounds
        self._progress = progress

    def steps(self, oid: str, size: int) -> "Generator[Step, None, None]":
        """The steps from the commit ``oid``, just asked for, that are for the judge: all but the plain ones."""
        child = self._taken(oid, size)
        for _ in range(_ONE_BY_ONE):
            if child.parent is None or child.parent == self._old:
                break
            _, parent_size = _asked(child.parent, self._objects)
            parent = self._taken(child.parent, parent_size)
            yield parent, child, size
            self._count()
            child, size = parent, parent_size
        else:
            child, size = yield from self._streamed(child, size)
        yield tip(self._old, self._objects), child, size
        self._count()

    def _streamed(self, child: Commit, size: int) -> "Generator[Step, None, tuple[Commit, int]]":
        """The steps behind ``child``; it returns the last commit."""
        if child.parent is None or child.parent == self._old:
            return child, size
        stream = commits(child.parent, self._old, self._env, most=self._most)
        try:
            for oid, parent_size, raw in stream:
                parent = _parsed(oid, parent_size, raw, self._most)
                yield parent, child, size
                self._count()
                child, size = parent, parent_size
                if self.judged == _WORTH and self._bounds is not None:
                    return (yield from self._passed(stream, child, size, self._bounds))
        finally:
            stream.close()
        return child, size

    def _passed(
        self, stream: "Iterator[Read]", child: Commit, size: int, bounds: Bounds
    ) -> "Generator[Step, None, tuple[Commit, int]]":
        """The steps behind ``child`` but for the plain ones; it returns the last commit."""
        from .plain import follows, reader

        read = reader(bounds.space, len(child.oid), bounds.latest, bounds.skew)
        largest = bounds.attachment_bytes
        parsed: Commit | None = child
        oid, raw, after = child.oid, b"", None
        waiting: list[tuple[str, str, Body]] = []
        for parent_oid, parent_size, parent_raw in stream:
            before = read(parent_raw)
            if before is not None and after is not None and follows(parent_oid, before, after):
                body = after[4]
                if body is None:
                    self._count()
                else:
                    waiting.append((parent_oid, oid, body))
                    if len(waiting) == _WAITING:
                        yield from self._measured(waiting, largest)
                        waiting.clear()
                parsed = None
            else:
                parent = _parsed(parent_oid, parent_size, parent_raw, self._most)
                yield parent, parsed or parse(oid, raw), size
                self._count()
                parsed = parent
            oid, size, raw, after = parent_oid, parent_size, parent_raw, before
        yield from self._measured(waiting, largest)
        return parsed or parse(oid, raw), size

    def _measured(self, waiting: "list[tuple[str, str, Body]]", largest: "int | None") -> "Generator[Step, None, None]":
        """Those steps, each a parent and a child that declares an attachment, whose tree is not what it declares."""
        from .plain import holds

        trees = self._objects.measured([body[0] for _, _, body in waiting], largest)
        for (parent, child, body), files in zip(waiting, trees, strict=True):
            if not holds(files, body):
                _, parent_size = _asked(parent, self._objects)
                before = self._taken(parent, parent_size)
                _, size = _asked(child, self._objects)
                yield before, self._taken(child, size), size
            self._count()

    def _taken(self, oid: str, size: int) -> Commit:
        """The commit just asked for."""
        if self._most is not None and size > self._most:
            self._objects.leave()
            return Commit.unread(oid)
        return parse(oid, self._objects.take(size))

    def _count(self) -> None:
        self.judged += 1
        if self._progress is not None and self.judged % _TOLD == 0:
            self._progress(self.judged)


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
        raise GitFailed(f"the object {oid} is missing")
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
