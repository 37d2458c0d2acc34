"""Packs whose objects no ref names yet.

`git repack -a -d` takes them for rubbish, unless the pack has a ``.keep`` beside it (git-repack(1)), such as `git
receive-pack` makes for what is pushed. This module is on the hook's hot path: it imports nothing heavy.
"""

import posix
import time

REASON = "coordjournal"  #: what a ``.keep`` says whose it is
_DAY = 86_400  # seconds; no append, and no import, takes so long


class Kept:
    """Packs that no git removes until they are released: once a ref has moved to what is in them, or none will."""

    def __init__(self) -> None:
        self._paths: list[str] = []

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

    def add(self, path: str) -> None:
        """Takes over a ``.keep``, and removes those in its folder that were left behind by who was killed."""
        self._paths.append(path)
        folder = path.rpartition("/")[0]
        for name in posix.listdir(folder):
            if name.endswith(".keep"):
                _remove_left(f"{folder}/{name}")

    def release(self) -> None:
        """Removes them."""
        while self._paths:
            try:
                posix.unlink(self._paths.pop())
            except OSError:
                pass  # another will, in a day


def _remove_left(path: str) -> None:
    """Removes a ``.keep`` that coordjournal made more than a day ago."""
    try:
        if time.time() - posix.stat(path).st_mtime < _DAY:
            return
        file = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            ours = posix.read(file, 100) == f"{REASON}\n".encode()
        finally:
            posix.close(file)
        if ours:
            posix.unlink(path)
    except OSError:
        pass  # it has gone, or is not ours to remove
