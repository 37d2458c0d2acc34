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
    """Removes those of the files ``locks`` that were left behind; whether there was one."""
    done = False
    for path in locks:
        try:
            if time.time() - posix.stat(path).st_mtime > SECONDS:
                posix.unlink(path)
                done = True
        except OSError:
            continue  # not there, or not ours to remove
    return done
