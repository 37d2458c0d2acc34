"""Brings a clone up to date with its remote, or leaves it as it was.

What the remote has is fetched under ``refs/coordjournal-incoming/`` first. Only when every log there goes on from what
the clone holds, and the law has passed every new decision, do the clone's own refs move, all in one transaction. So a
remote that rewinds, loses or forges a log changes nothing here: it is an error that the reader sees.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import gitread, log, verify
from .errors import GitFailed, JournalRewound, Refused, UnlawfulLog
from .filelock import FileLock
from .refs import META, SPACES, encode_space
from .remote import Remote
from .store import GitStore, version

INCOMING = "refs/coordjournal-incoming/"
_SPACES = INCOMING + "spaces/"
_META = INCOMING + "meta"


@dataclass(frozen=True, slots=True)
class Moved:
    """A log that a sync moved: from the commit ``old`` (None: it is new here) to ``new``."""

    space: str
    old: str | None
    new: str


def meta_ref(prefix: str) -> str:
    """Where a repository whose logs are below ``prefix`` (``refs/coordjournal/origin/``) keeps the descriptor of its
    remote (``refs/coordjournal-meta/origin``)."""
    _, family, remote = prefix.removesuffix("/").split("/", 2)
    return f"refs/{family}-meta/{remote}"


def sync(store: GitStore, remote: Remote, wanted: Collection[str] | None = None) -> list[Moved]:
    """Fetches what is new of all logs (or of those ``wanted``) and says which moved.

    Raises:
        RemoteUnreachable: git cannot read the remote.
        JournalRewound: the remote has rewound or lost a log that this clone holds.
        UnlawfulLog: a new decision there breaks the law.
        UnsupportedVersion: a new decision there is of a later format.
        GitFailed: the clone cannot be written.
    """
    with alone(store, "sync.lock"):
        while True:
            try:
                moved = _attempt(store, remote, wanted)
            finally:
                with suppress(GitFailed):  # what has moved has moved; the next sync removes it
                    _forget(store)
            if moved is not None:
                return moved


def read_back(store: GitStore, remote: Remote, space: str, new: str) -> bool:
    """Brings one log up to the commit ``new``, to which the remote has just moved it: one conversation, at a cost that
    does not depend on how many spaces there are. False if that is not all there is to do, so that :func:`sync` must.

    Raises:
        RemoteUnreachable: git cannot read the remote.
        UnsupportedVersion: a new decision there is of a later format.
        GitFailed: the clone cannot be written.
    """
    with alone(store, "sync.lock"):
        old = store.tip(space)
        if old == new:
            return True
        packs = f"{store.git_dir}/objects/pack"
        before = version(packs)
        with _explained(store):
            remote.fetch_objects(space)
        if store.resolve(new) is None or version(packs) != before:
            return False  # git may take for rubbish what has come as a pack, and no ref names yet
        try:
            _checked(store, space, old, new)
        except (JournalRewound, UnlawfulLog):
            return False  # it may be behind what another process has fetched meanwhile; sync tells
        return store.move(space, old, new, "sync")


def _attempt(store: GitStore, remote: Remote, wanted: Collection[str] | None) -> list[Moved] | None:
    """One sync; None if an append moved a log here while it ran, so that the transaction could not be made."""
    here = store.tips()  # first: a log that an append makes while the remote is asked is not one that the remote lost
    there, descriptor = remote.tips()
    for space, tip in here.items():
        if space not in there and (wanted is None or space in wanted):
            raise JournalRewound(space, tip, None, -1)
    new = [
        space for space, tip in there.items() if here.get(space) != tip and (wanted is None or space in wanted)
    ]
    refs = {SPACES + encode_space(space): _SPACES + encode_space(space) for space in new}
    if descriptor is not None and descriptor != store.resolve_ref(meta_ref(store.prefix)):
        refs[META] = _META
    if not refs:
        return []
    with _explained(store):
        remote.fetch(refs)
    incoming = dict(store.refs(INCOMING))
    moved = [_checked(store, space, here.get(space), incoming[_SPACES + encode_space(space)]) for space in new]
    moved = [move for move in moved if move.old != move.new]
    try:
        _move(store, moved, incoming.get(_META))
    except GitFailed:
        now = store.tips()
        if any(now.get(move.space) != move.old for move in moved):
            return None
        raise
    return moved


@contextmanager
def _explained(store: GitStore) -> Iterator[None]:
    """Says what helps where a ref of ours is in git's way: it fetches nothing while it cannot read one of them."""
    try:
        yield
    except GitFailed:
        store.tips()
        gitread.ref(meta_ref(store.prefix), store.env)
        raise


def _checked(store: GitStore, space: str, old: str | None, new: str) -> Moved:
    """The move of one log, once the law has passed every step of it."""
    if new != old:
        try:
            judge(store, space, new, old)
        except UnlawfulLog as error:
            if old is not None and error.refusal.code == "not-fast-forward":
                raise JournalRewound(space, old, new, log.seq_both_have(store, old, new)) from None
            raise
    return Moved(space, old, new)


def judge(
    store: GitStore, space: str, new: str, base: str | None, progress: Callable[[int], None] | None = None
) -> None:
    """Asks the law about what was fetched of a log, from behind ``base`` (None: from its root) to ``new``.

    Raises:
        UnlawfulLog: it breaks the law there. UnsupportedVersion: it is of a later format.
    """
    try:
        verify.check(store, space, new, base, progress)
    except Refused as refusal:
        refusal.ref = SPACES + encode_space(space)
        found = store.object(refusal.commit, "commit") if refusal.place == "v" else None
        if found is not None:
            with suppress(UnlawfulLog):
                log.record(*found)  # raises UnsupportedVersion if it is only too new for us
        raise UnlawfulLog(refusal) from None


def _move(store: GitStore, moved: list[Moved], descriptor: str | None) -> None:
    lines = [
        f"update {store.prefix}{encode_space(move.space)} {move.new} {move.old or '0' * len(move.new)}"
        for move in moved
    ]
    if descriptor is not None:
        lines.append(f"update {meta_ref(store.prefix)} {descriptor}")
    store.update_refs(lines, "sync")


def _forget(store: GitStore) -> None:
    """Removes what was fetched for the check, also what a sync that was killed left behind."""
    store.update_refs([f"delete {name}" for name, _ in store.refs(INCOMING)], "sync")


@contextmanager
def alone(store: GitStore, name: str) -> Iterator[None]:
    """One sync a clone, say: the others wait for the lock ``name``. It goes with the process that holds it."""
    folder = Path(store.git_dir) / "coordjournal"
    try:
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / name, os.O_CREAT)  # which no fork has: it would wait for itself for ever
    except OSError as error:
        raise GitFailed(f"cannot write to {store.git_dir}: {error.strerror}") from None
    try:
        lock.take(None)
        yield
    finally:
        lock.end()
