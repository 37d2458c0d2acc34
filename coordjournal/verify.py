"""Checks logs against the law alone, offline: whoever has the objects can, for ever, whatever the settings became."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import chain, law
from .commit import Commit
from .errors import GitFailed, Refused
from .gitread import Objects
from .refs import decode_space
from .store import GitStore
from .timestamp import LAST_SECOND


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one log: ``decisions`` were lawful; ``refusal`` is the first break, None if there is none."""

    ref: str
    space: str | None
    tip: str
    decisions: int
    refusal: Refused | None


def check(
    store: GitStore, space: str, tip: str, base: str | None = None, progress: Callable[[int], None] | None = None
) -> int:
    """Checks the log of ``space`` up to ``tip``, from behind ``base`` (itself lawful) or from its root.

    Returns how many decisions that were. ``progress`` is called with the number checked so far, now and then.

    Raises:
        Refused: the first break, with its commit and its place in the log as ``seq``, whatever Seq it claims.
        GitFailed: objects are missing or damaged.
    """
    with Objects(store.env) as objects:

        def step(parent: Commit | None, child: Commit, _size: int) -> None:
            if child.files is None:
                child.files = objects.files(child.tree, None)
            law.check(space, parent, child)

        bounds = (space, LAST_SECOND, LAST_SECOND, None)  # none but the law's
        return chain.judge(step, base, tip, store.env, objects, bounds=bounds, progress=progress)


def repository(
    store: GitStore, spaces: set[str] | None = None, progress: Callable[[str, int], None] | None = None
) -> Iterator[Verdict]:
    """Checks every log of a repository (or only those of ``spaces``), one verdict each.

    A ref that spells no space is a break too, and so is a log that cannot be read, with the code ``unreadable``: where
    objects are missing or damaged, or the ref itself is (``tip`` is ``""`` then), nothing can be said about the law.

    Raises:
        GitFailed: git cannot even list the logs.
    """
    broken = [(ref, "") for ref in store.unlisted()]
    for ref, tip in sorted([*broken, *store.refs(store.prefix)]):
        try:
            space = decode_space(ref.removeprefix(store.prefix))
        except ValueError as error:
            if spaces is None:
                yield Verdict(ref, None, tip, 0, Refused("bad-ref", str(error), ref=ref, commit=tip))
            continue
        if spaces is not None and space not in spaces:
            continue
        if not tip:
            yield Verdict(ref, space, tip, 0, Refused("unreadable", "git cannot read the file of this ref", ref=ref))
            continue
        try:
            told = None if progress is None else _about(progress, space)
            yield Verdict(ref, space, tip, check(store, space, tip, progress=told), None)
        except Refused as refusal:
            refusal.ref = ref
            yield Verdict(ref, space, tip, refusal.seq or 0, refusal)
        except GitFailed as error:
            yield Verdict(ref, space, tip, 0, Refused("unreadable", str(error), ref=ref, commit=tip))


def _about(progress: Callable[[str, int], None], space: str) -> Callable[[int], None]:
    return lambda count: progress(space, count)
