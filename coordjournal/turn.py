"""A push's turn at a space: the lock of the space, and what stands in its refs while the lock is held.

A push that finds the space free takes its turn at once, and git lists the refs while Python still imports the rest of
the sequencer. One that has to wait imports first, so that nobody waits for that behind it.

This module is on the hook's hot path: it imports nothing heavy.
"""

import posix

from .errors import GitFailed
from .gitread import Child
from .refs import INTENTS, SPACES, encode_space
from .text import lines

LOCKS = "coordjournal/locks"
_LOCK_SECONDS = 120


class Turn:
    """The turn of this process at one space, until :meth:`end`, or until the process has gone."""

    def __init__(self, git_dir: str, env: "dict[str, str]", space: str) -> None:
        self._path = f"{git_dir}/{LOCKS}/{encode_space(space)}"
        self._env = env
        self._log = SPACES + encode_space(space)
        self._folder = f"{INTENTS}{encode_space(space)}/"
        self._lock = -1
        self._asked: Child | None = None
        self.is_new = False  #: whether the space had no log when its refs were read last

    def begin(self, wait: bool = True) -> None:
        """Takes the lock, unless it is held already; without ``wait`` only if it is free. Then git begins to list the
        refs, for :meth:`refs`.

        Raises:
            GitFailed: it cannot be had.
        """
        if self._lock < 0:
            self._lock = _locked(self._path, wait)
        if self._lock >= 0 and self._asked is None:
            self._asked = Child(
                ["for-each-ref", "--format=%(objectname) %(refname)", self._log, self._folder], self._env
            )

    def refs(self) -> "tuple[str | None, dict[str, tuple[str, str]]]":
        """The tip of the log, and the inbox in the order of arrival: the id of each intent, its ref and its commit.
        They are listed anew each time. Raises GitFailed.

        ``cat-file`` would also find a tip in refs/heads/refs/spaces/, where anybody may have had a branch.
        """
        self.begin()
        child, self._asked = self._asked, None
        assert child is not None
        tip = None
        waiting: dict[str, tuple[str, str]] = {}
        for line in lines(child.out.read().decode("utf-8", "surrogateescape")):
            oid, _, name = line.partition(" ")
            if name == self._log:
                tip = oid
            arrival, _, id = name[len(self._folder) :].partition("-")
            if name.startswith(self._folder) and arrival.isdigit():
                waiting.setdefault(id, (name, oid))
        if child.wait() != 0:
            raise child.failed()
        self.is_new = tip is None
        return tip, waiting

    def end(self, forget: bool = False) -> None:
        """Lets the next one have the space; with ``forget`` its lock goes, if it has no log: nothing has landed."""
        if self._asked is not None:
            self._asked.stop()
            self._asked = None
        if self._lock >= 0:
            if forget and self.is_new:
                try:
                    posix.unlink(self._path)
                except OSError:
                    pass  # an empty file more
            posix.close(self._lock)
            self._lock = -1


def _locked(path: str, wait: bool) -> int:
    """The descriptor of the lock, which goes with it, or with the process; -1 if somebody else has it."""
    while True:
        try:
            descriptor = _opened(path)
        except OSError as error:
            raise GitFailed(f"cannot lock {path}: {error.strerror}") from None
        if not _hold(descriptor, path, wait):
            return -1
        try:
            held, there = posix.fstat(descriptor), posix.stat(path)
            if (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino):
                return descriptor
        except OSError:
            pass
        posix.close(descriptor)  # whoever had it has removed it meanwhile


def _hold(descriptor: int, path: str, wait: bool) -> bool:
    """Locks a file; False if somebody else has it locked, and it is closed then, as it is after an error."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        if not wait:
            posix.close(descriptor)
            return False
    except BaseException:
        posix.close(descriptor)
        raise
    from _signal import SIGALRM, alarm, signal  # type: ignore[import-not-found]  # signal imports enum, 5 ms

    def late(*_: object) -> None:
        raise GitFailed(f"another push to this space has not ended for {_LOCK_SECONDS} s ({path} is its lock)")

    before = signal(SIGALRM, late)
    alarm(_LOCK_SECONDS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException:
        posix.close(descriptor)
        raise
    finally:
        alarm(0)
        signal(SIGALRM, before)
    return True


def _opened(path: str) -> int:
    """Opens a lock that everybody who may push can open: to read it is enough for a lock.

    What is made has the mode of the folder above from the first moment, whatever the umask of the account that pushes.
    """
    flags = posix.O_RDONLY | posix.O_CREAT | posix.O_CLOEXEC
    folder = path.rpartition("/")[0]
    above = folder.rpartition("/")[0]
    before = posix.umask(0)
    try:
        for made in (above, folder):
            try:
                posix.stat(made)
            except FileNotFoundError:
                mode = posix.stat(made.rpartition("/")[0]).st_mode & 0o7777
                try:
                    posix.mkdir(made, mode & 0o777)
                    posix.chmod(made, mode)
                except FileExistsError:
                    pass
        return posix.open(path, flags, posix.stat(folder).st_mode & 0o664)
    finally:
        posix.umask(before)
