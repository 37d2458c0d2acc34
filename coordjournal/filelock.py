"""Locks on files, which hold between threads and between processes, and which a fork does not take along.

A fork has a copy of the descriptor, and through it the lock, which would outlive its holder; and a fork that asked for
the lock by another descriptor would wait for itself.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

_LONGEST_PAUSE = 0.05  # seconds between two looks at a lock


class FileLock:
    """A lock on a file, each on a descriptor of its own, so that it also holds between threads."""

    def __init__(self, path: Path, more: int = 0) -> None:
        """Opens the file, with ``more`` flags. Raises OSError."""
        with _opening:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | more, 0o666)
            _open_locks.add(self)

    def take(self, timeout: float | None) -> bool:
        """Waits for the lock, ``timeout`` seconds at most; False if it is not free until then. Raises OSError."""
        if timeout is None:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            return True
        until = time.monotonic() + timeout
        pause = 0.001
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0:
                    return False
            time.sleep(min(left, pause))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def end(self) -> None:
        """Gives the lock back. In a fork of the process that took it, it is gone already."""
        with _opening:
            if self in _open_locks:
                _open_locks.remove(self)
                # Closing is not enough: a program that is just being started may still have the descriptor.
                with suppress(OSError):
                    fcntl.flock(self.descriptor, fcntl.LOCK_UN)
                with suppress(OSError):
                    os.close(self.descriptor)


_open_locks: set[FileLock] = set()
_opening = threading.RLock()  # no fork while a descriptor is open that _open_locks does not name


def _forked() -> None:
    for lock in _open_locks:
        os.close(lock.descriptor)  # the lock stays with the parent, also if the parent dies first
    _open_locks.clear()
    _opening.release()


os.register_at_fork(before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_forked)
