"""Writing files so that others see the old or the new content, never a part, whatever the umask is."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def beside(path: str) -> str:
    """A fresh hidden name in the folder of ``path``, for what is to be renamed onto it."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{secrets.token_hex(6)}.tmp")


def write_atomically(path: str, content: bytes, mode: int) -> None:
    """Replace ``path`` by a file of ``content`` with exactly ``mode``, durably. Raises OSError."""
    temporary = beside(path)
    try:
        write_new(temporary, content, mode, sync=True)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))


def write_new(path: str, content: bytes, mode: int, *, sync: bool) -> None:
    """Create ``path``, which must not exist, with exactly ``mode``. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        if sync:
            os.fsync(file.fileno())


def link_atomically(path: str, target: str) -> None:
    """Make ``path`` a symbolic link to ``target``, replacing a link that is there. Raises OSError."""
    temporary = beside(path)
    os.symlink(target, temporary)
    try:
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))


def make_folders(path: str, mode: int = 0o755) -> None:
    """Create the folder ``path`` and what is missing above it, each new one with exactly ``mode``. Raises OSError."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:  # somebody else was quicker; a file of that name fails below
            continue
        os.chmod(folder, mode)


def sync_folder(path: str) -> None:
    """Make the renames inside the folder ``path`` durable, where its file system can."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some network file systems refuse to sync a folder; the rename is done all the same
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold the folder ``folder`` against another installer. Locking the folder itself leaves no lock file behind."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # file systems that cannot lock (some NFS) serve one administrator at a time
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
