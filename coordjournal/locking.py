"""Locks that do not outlive the threads that hold them.

A fork has one thread only, but the locks as they were: one that another thread held would never be free there.
"""

from __future__ import annotations

import os
import weakref
from _thread import RLock  # what threading.RLock() makes; to import threading takes 1 ms
from collections.abc import Callable

_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A reentrant lock, for ``with``. In a fork it is free, unless the forking thread itself held it."""

    def __init__(self, start_over: Callable[[], None] | None = None) -> None:
        """``start_over``, a method, makes anew what the lock guards: a fork calls it if another thread was at work
        there."""
        self._lock = RLock()
        self._start_over = None if start_over is None else weakref.WeakMethod(start_over)
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _forked(self) -> None:
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = RLock()
            start_over = self._start_over and self._start_over()
            if start_over is not None:
                start_over()


def _forked() -> None:
    for lock in list(_locks):
        lock._forked()


os.register_at_fork(after_in_child=_forked)
