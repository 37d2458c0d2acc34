"""The lease that a repository holds from one command to the next.

``lease acquire`` ends, and the lease goes on: ``coordjournal/leases/<space>.json`` in the repository keeps it, for its
owner alone. Every command that appends in this repository does so under it as long as it is in force, and forgets it
when it is over. What is kept is only a name: whether the lease is in force is for the log to say.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CoordjournalError, LeaseHeld, LeaseLost, Refused
from ..refs import encode_space
from ..store import GitStore
from ..text import is_ident
from .base import App
from .output import note

if TYPE_CHECKING:
    from ..lease import HeldLease
    from ..space import Space


def keep(space: Space, held: HeldLease) -> None:
    """Keeps a lease for the commands to come. Raises OSError."""
    path = _path(space)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        new.unlink()  # of a process of the same number that was killed
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(held.dumps() + "\n")
    os.replace(new, path)


def kept(space: Space) -> str | None:
    """The lease that this repository keeps, as text; None if it keeps none, or one of another account."""
    try:
        return _path(space).read_text("utf-8", "replace")
    except (FileNotFoundError, PermissionError):
        return None


def is_kept(space: Space, token: str) -> bool:
    """Whether the lease of this token is the one that this repository keeps."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        return bool(json.loads(kept(space) or "")["token"] == token)
    return False


def forget(space: Space) -> None:
    """Keeps it no longer."""
    with suppress(OSError):
        _path(space).unlink()


def resume(app: App, space: Space) -> HeldLease | None:
    """Takes up the lease that this repository keeps, so that ``space`` appends under it. One that is over is
    forgotten, and that is told.

    Raises:
        RemoteUnreachable: the remote cannot be asked whether it is over.
    """
    saved = kept(space)
    if saved is None:
        return None
    try:
        held = space.resume(saved)
        try:
            held.check()
            return held
        except LeaseLost:
            held.release()  # there is nothing to give back; the space only stops to append under it
            raise
    except ValueError as error:
        why = f"what is kept as the lease of {space.id} cannot be used: {error}"
    except LeaseLost as lost:
        why = str(lost)
    forget(space)
    note(app.json, f"{why}; this repository holds it no longer")
    return None


@contextmanager
def under(app: App, space: Space) -> Iterator[HeldLease | None]:
    """What appends in here does so under the lease that this repository keeps, if it does; which is forgotten if it
    turns out to be over."""
    held = resume(app, space)
    try:
        yield held
    except LeaseLost:
        if held is not None:
            forget(space)
        raise


def holder_of(space: Space, given: str | None) -> str:
    """Who is to hold the lease. Raises click.UsageError if the name cannot be a holder."""
    named = space.journal.appender if given is None else given
    if not is_ident(named):
        raise click.UsageError(f"{named!r} cannot be a holder: a name as --actor takes it.")
    return named


def check_holder(space: Space, held: HeldLease, holder: str | None) -> None:
    """Raises LeaseHeld if this repository holds the lease under another name than asked for."""
    if holder not in (None, held.holder):
        raise LeaseHeld(space.id, held.holder, held.until)


class Candidate:
    """Who wants the lease of a space.

    Attributes:
        error: why the last attempt has not got it.
    """

    def __init__(self, space: Space, holder: str, ttl: int) -> None:
        self._space = space
        self._holder = holder
        self._ttl = ttl
        self.error: CoordjournalError | None = None

    def attempt(self) -> HeldLease | None:
        """Acquires the lease, and keeps it for the commands to come; None while somebody else holds it.

        Raises:
            OSError: it cannot be kept, and was released again.
            Refused, RemoteUnreachable, Contention, GitFailed: as :meth:`coordjournal.Space.lease`.
        """
        if isinstance(self.error, LeaseHeld):  # looking costs the server less than refusing
            self._space.journal.refresh(self._space.id)
            lease = self._space.state().lease
            if lease is not None and lease.in_force(int(time.time())):
                self.error = LeaseHeld(self._space.id, lease.holder, lease.until)
                return None
        try:
            held = self._space.lease(self._holder, ttl=self._ttl, renew=False)
        except LeaseHeld as error:
            self.error = error
            return None
        except Refused as refusal:
            if refusal.code != "clock":  # by the clock of the server it is not over yet
                raise
            self.error = refusal
            return None
        try:
            keep(self._space, held)
        except OSError:
            held.release()
            raise
        self.error = None
        return held


@contextmanager
def alone(space: Space) -> Iterator[None]:
    """Holds the right to serve the inbox of a space in this repository, as long as the process lives.

    Raises:
        CoordjournalError: another process has it.
    """
    path = _path(space).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CoordjournalError(f"another process of this repository serves the inbox of {space.id!r}") from None
        yield


def _path(space: Space) -> Path:
    assert isinstance(space.journal.store, GitStore)  # a repository was opened
    return Path(space.journal.store.git_dir) / "coordjournal" / "leases" / f"{encode_space(space.id)}.json"
