"""Locks of git's (``<file>.lock``) that were left behind by a process that was killed.

git, and an embedded append, hold one for milliseconds. Whoever is killed meanwhile leaves it behind, and it would stop
everybody who wants to write that file, for ever. This module is on the path of the hooks: it imports nothing heavy.
"""

import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SECONDS = 60  # so old is no lock that somebody still holds


def remove(locks: "Iterable[str]") -> bool:
    """Removes those of the files ``locks`` that were left behind; whether there was one.

    One whose time is ahead, because the clock was set back since, counts from now on.
    """
    done = False
    for path in locks:
        try:
            age = time.time() - posix.stat(path).st_mtime
            if age < -1:
                posix.utime(path)
            elif age > SECONDS and _remove(path):
                done = True
        except OSError:
            continue  # not there, or not ours to remove
    return done


def _remove(path: str) -> bool:
    """Removes a lock that was too old a moment ago, if it still is. Who removes it holds it by flock: of two that have
    seen the same one, the slower would otherwise remove what somebody has made in its place. Raises OSError."""
    import fcntl

    file = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held, there = posix.fstat(file), posix.stat(path)
        if (held.st_dev, held.st_ino) != (there.st_dev, there.st_ino) or time.time() - there.st_mtime <= SECONDS:
            return False
        posix.unlink(path)
        return True
    finally:
        posix.close(file)
