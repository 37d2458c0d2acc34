"""Loose objects and loose refs, written in this process, durably, by the rules that git itself keeps.

    an object   is whole under its name, or not there: written as ``tmp_obj_...``, brought to the disk, then renamed
    a ref       is moved by whoever made ``<ref>.lock`` (O_EXCL): compared, brought to the disk, noted in the reflog
                where there is one, then renamed
    a folder    that got a name is brought to the disk too, so that after a power cut the file is there under its name
    a mode      is what ``core.sharedRepository`` makes of it

So whoever is killed at any moment leaves behind no more than a temporary object, which `git gc` removes, or a lock,
which :mod:`coordjournal.stale` does. What is rarer than an append is left to git: a ref that is new, packed or
symbolic, the first line of a reflog, many objects at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from .packing import deflated

if TYPE_CHECKING:
    from .sharing import Sharing

_HEX = frozenset("0123456789abcdef")
_TIMES = 100  # that a git which prunes may be faster: it removes a folder as often as it sees it empty
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Locked(Exception):
    """Another process holds, or has left behind, the lock ``path``."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def write(objects_dir: str, objects: Iterable[tuple[str, str, bytes]], sharing: Sharing, known: set[str]) -> None:
    """Writes objects, each a name, a kind and a content, in their order; they are on the disk when it returns.

    One that is there already is written again: so it is new enough for a `git gc` that prunes, and durable and whole
    whoever wrote it first.

    Args:
        known: folders whose own names are on the disk, as far as is known; grows.

    Raises:
        OSError: the disk is full, a folder is not to be written to.
    """
    folders: dict[str, None] = {}
    for oid, kind, content in objects:
        folder = f"{objects_dir}/{oid[:2]}"
        data = deflated(b"%b %d\0%b" % (kind.encode(), len(content), content))
        for left in reversed(range(_TIMES)):
            try:
                _write_object(folder, oid[2:], data, sharing)
                break
            except FileNotFoundError:  # it is the first in its folder, or a git that prunes was faster
                if not left:
                    raise
                known.discard(folder)
                _make_folder(folder, sharing)
        folders[folder] = None
    for folder in folders:
        with suppress(FileNotFoundError):  # all of it was packed meanwhile
            sync(folder)
    if not known.issuperset(folders):
        # Also one that was there: whoever made it may have been killed before it was on the disk, and git never asks.
        there = [f"{objects_dir}/{name}" for name in os.listdir(objects_dir)]
        sync(objects_dir)
        known.update(there)


def read(path: str) -> str | None:
    """The object that a loose ref names; None where there is none, or nothing but an object name: git can tell more."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            raw = os.read(file, 256)
        finally:
            os.close(file)
    except OSError:
        return None
    name = raw[:-1].decode("latin-1")
    return name if len(name) in (40, 64) and raw.endswith(b"\n") and _HEX.issuperset(name) else None


def move(
    path: str,
    old: str | None,
    new: str,
    reflog: tuple[str, str],
    logged: bool,
    sharing: Sharing,
    first: Callable[[], None] | None = None,
) -> bool | None:
    """Moves a loose ref from ``old`` to ``new``; False if it is not at ``old``, None if only git can tell or do it.

    Args:
        path: the file of the ref.
        reflog: the file of its reflog, and the line to add to it, which begins after the two object names.
        logged: whether a reflog is to be begun where there is none.
        first: brings to the disk what has to be there before the ref moves; called once that is sure to happen here.

    Raises:
        Locked: another process moves it, or was killed while it did.
        OSError: as :func:`write`.
    """
    lock = path + ".lock"
    try:
        file = os.open(lock, _NEW, 0o666)
    except FileExistsError:
        raise Locked(lock) from None
    except (FileNotFoundError, NotADirectoryError):
        return None  # its folder is missing: it is new, or packed
    try:
        now = read(path)
        if now is None:
            return None
        if now != old:
            return False
        _write(file, new.encode() + b"\n")
        _share(file, sharing)
        if first is not None:
            _begin_to_sync(file)
            first()
        os.fsync(file)
        if not _is_ours(lock, file):
            raise Locked(lock)
        if not _note(reflog[0], f"{old} {new} {reflog[1]}\n".encode(), logged):
            return None
        os.rename(lock, path)
        lock = ""
    finally:
        if lock and _is_ours(lock, file):
            with suppress(FileNotFoundError):
                os.unlink(lock)
        os.close(file)
    with suppress(FileNotFoundError):  # it was packed meanwhile
        sync(os.path.dirname(path))
    return True


def _is_ours(lock: str, file: int) -> bool:
    """Whether the lock is still the one that was made. Whoever stood still for a minute had it taken for one that was
    left behind, and somebody else may have one now."""
    try:
        return os.path.samestat(os.stat(lock), os.fstat(file))
    except FileNotFoundError:
        return False


def _begin_to_sync(file: int) -> None:
    """Makes the system begin to write a file. What ``first`` waits for then brings this to the disk too, and the fsync
    that follows takes 70 us for 150 (Linux, ext4)."""
    if sys.platform == "linux":  # where this advice starts the writing; elsewhere it might drop what was not written
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def sync(path: str) -> None:
    """Brings a file to the disk, or the names in a folder."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _note(path: str, line: bytes, logged: bool) -> bool:
    """Adds a line to a reflog; False if there is none, and there is to be one."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return not logged
    except IsADirectoryError:
        return False  # git removes it if it is empty
    try:
        _write(file, line)
    finally:
        os.close(file)
    return True


def _write_object(folder: str, name: str, data: bytes, sharing: Sharing) -> None:
    temporary = f"{folder}/tmp_obj_{os.urandom(6).hex()}"
    file = os.open(temporary, _NEW, 0o444)
    try:
        try:
            _write(file, data)
            _share(file, sharing)
            os.fsync(file)
        finally:
            os.close(file)
        os.rename(temporary, f"{folder}/{name}")
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _make_folder(path: str, sharing: Sharing) -> None:
    with suppress(FileExistsError, FileNotFoundError):  # another has made it, or removed it again
        os.mkdir(path)
        if sharing.shared:
            os.chmod(path, sharing.folder(os.stat(path).st_mode & 0o7777))


def _share(file: int, sharing: Sharing) -> None:
    if sharing.shared:
        os.fchmod(file, sharing.file(os.fstat(file).st_mode & 0o7777))


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
