"""The outbox of a clone: intents that were handed over, stored durably before anything is sent.

One folder, ``coordjournal/outbox`` in the repository, and these rules:

- An entry is one file, ``<number>.entry``: the intents of one append, which land together, and what was asked of it.
  The numbers of a clone only rise, and are the order to send in.
- A file is written under another name, brought to the disk, renamed, and the folder brought to the disk too, before a
  method returns. So a crash leaves the old file or the new one, or none, never a part.
- Whoever changes the outbox holds the lock on ``counter``, where the last number given stands; so what is found under
  the name of a new file was left by a process that died, and goes. Readers take no lock.
- An entry leaves by :meth:`Outbox.done` alone. If a power cut undoes that, the entry is sent once more, which is
  harmless: its decisions keep their ids, and answer with where they landed.
- What does not check is never sent or changed, and stops nothing else: :meth:`Outbox.damaged` reports it, for what was
  handed over is missing somewhere. It stays until somebody has it set aside (:meth:`Outbox.set_aside`).
- The files have the permissions that the umask gives, as all else in a clone: whoever may read its log may know what is
  about to stand there, and accounts that share a clone have a umask for that.

The file of an entry: a line ``coordjournal outbox 1 `` and the SHA-256 of the next; a line of JSON, which holds the
state, and the SHA-256 of all that follows; the JSON line of each decision; the attachments, byte for byte and end to
end, in the order in which the JSON names them. A change of the state copies what follows; it is never held in memory.

This module knows no git and no law: it stores what it is given.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from . import canonical, timestamp
from .decision import Decision, Intent
from .errors import (
    Contention,
    CoordjournalError,
    GitFailed,
    IdConflict,
    PreconditionFailed,
    Refused,
    WouldBeVoid,
)
from .filelock import FileLock
from .refs import encode_space

State = Literal["waiting", "filed", "rejected"]

_MAGIC = b"coordjournal outbox "
_FORMAT = _MAGIC + b"1 "
_SUFFIX = ".entry"
_COUNTER = "counter"
_LOCKS = "locks"
_ASIDE = "set-aside"
_NEW = "new.tmp"
_CHUNK = 1 << 20  # bytes to copy at a time

_REFUSED_FIELDS = ("what", "place", "remedy", "ref", "commit", "seq", "incident")


@dataclass(frozen=True, slots=True)
class Entry:
    """What one append handed over, as it was when it was read.

    Attributes:
        number: its place in the order of the outbox.
        space: where it is to land.
        decisions: what is to land, in this order.
        expect, allow_void, same_at: as :meth:`coordjournal.space.Space.append_many` has them.
        added: when it was handed over, as a decision's ``at``.
        state: ``waiting``: not sent, or not known to have arrived. ``filed``: in the server's inbox. ``rejected``: it
            cannot be appended any more.
        commits: the commits of the intents in the server's inbox, where it is ``filed``.
        refusal: why it is ``rejected``, as JSON; :meth:`error` is the exception.
        path: its file.
    """

    number: int
    space: str
    decisions: tuple[Decision, ...]
    expect: int | None
    allow_void: bool
    same_at: bool
    added: str
    state: State
    commits: tuple[str, ...]
    refusal: Mapping[str, Any] | None
    path: Path = field(compare=False)

    @property
    def name(self) -> str:
        """The number as people type it."""
        return str(self.number)

    @property
    def intents(self) -> tuple[Intent, ...]:
        """The intents, byte for byte what was handed over. Reads them, attachments and all, each time it is asked.

        Raises:
            GitFailed: the entry has left the outbox, or its file is damaged or cannot be read.
        """
        try:
            with _open(self.path) as file:
                head = _head(file)
                lines, contents = _rest(file, head, keep=True)
            return tuple(Intent(_decision(line), files) for line, files in zip(lines, contents, strict=True))
        except FileNotFoundError:
            raise _gone(self.number) from None
        except (_Damaged, OSError) as error:
            raise _unreadable(self.path, error) from None

    def error(self) -> CoordjournalError | None:
        """The error that says why the entry is rejected, made anew; None in another state."""
        return None if self.refusal is None else _error(self.refusal)

    def json(self) -> dict[str, Any]:
        """The entry as a JSON object, without the content of attachments."""
        return {
            "number": self.number,
            "space": self.space,
            "state": self.state,
            "added": self.added,
            "expect": self.expect,
            "allow_void": self.allow_void,
            "same_at": self.same_at,
            "commits": list(self.commits),
            "error": None if self.refusal is None else dict(self.refusal),
            "decisions": [decision.json() for decision in self.decisions],
        }


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file in the outbox that is no entry any more, or never was one, and why. It stays where it is."""

    path: Path
    reason: str

    @property
    def number(self) -> int | None:
        """The number of the entry that it was, None if it never was one."""
        return _number(self.path.name)

    def json(self) -> dict[str, str]:
        """The file and the reason as a JSON object."""
        return {"path": str(self.path), "reason": self.reason}


class Outbox:
    """The outbox in a folder, which need not be there yet. Safe for any number of threads, forks and processes.

    Every method raises GitFailed where the folder cannot be read or, if it changes something, written to.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """``folder``: ``coordjournal/outbox`` of a repository, whose own folder must exist."""
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"<Outbox {self.folder}>"

    # -- reading -------------------------------------------------------------------------------------------------

    def entries(self, space: str | None = None) -> list[Entry]:
        """The entries, or those of one space, in the order in which they were handed over, whatever their state.

        Reads each file to its end, to check it, but keeps no attachment.
        """
        return self._scan(space)[0]

    def damaged(self) -> list[Damaged]:
        """What is in the folder and cannot be used, by name: damaged entries and files of somebody else."""
        return self._scan(None)[1]

    def entry(self, name: str | int) -> Entry | None:
        """The entry of a number, None if there is none. Raises GitFailed if its file is damaged."""
        text = str(name)
        if not (text.isascii() and text.isdigit()) or len(text) > 100:
            return None
        path = self._path(int(text))
        try:
            return _read(path, int(text))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (_Damaged, OSError) as error:
            raise _unreadable(path, error) from None

    def _scan(self, space: str | None) -> tuple[list[Entry], list[Damaged]]:
        entries: list[Entry] = []
        damaged: list[Damaged] = []
        numbers: list[int] = []
        for name in self._names():
            number = _number(name)
            if number is not None:
                numbers.append(number)
            elif name not in (_COUNTER, _LOCKS, _NEW, _ASIDE):
                damaged.append(Damaged(self.folder / name, "not a file of an outbox"))
        for number in sorted(numbers):
            path = self._path(number)
            try:
                entry = _read(path, number, space)
            except FileNotFoundError:
                continue  # it has left meanwhile
            except _Damaged as damage:
                damaged.append(Damaged(path, str(damage)))
            except OSError as error:
                damaged.append(Damaged(path, f"cannot be read: {error.strerror}"))
            else:
                if entry is not None:
                    entries.append(entry)
        return entries, sorted(damaged, key=lambda item: item.path.name)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise GitFailed(f"cannot read {self.folder}: {error.strerror}") from None

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:016}{_SUFFIX}"

    # -- changing ------------------------------------------------------------------------------------------------

    def add(
        self,
        space: str,
        intents: Sequence[Intent],
        *,
        expect: int | None = None,
        allow_void: bool = False,
        same_at: bool = True,
    ) -> Entry:
        """Stores what is to land together, behind all that was handed over before. When this returns it is durable.

        Raises:
            ValueError: ``space`` is not a space id, or there is no intent.
            Refused: ``bad-json``: a decision is outside the JSON model, so that it has no line.
            GitFailed: it cannot be stored; nothing of it stays.
        """
        encode_space(space)  # raises ValueError
        if not intents:
            raise ValueError("no intent to store")
        try:
            lines = [intent.decision.line() + b"\n" for intent in intents]
        except ValueError as error:
            raise Refused("bad-json", str(error)) from None
        contents = [content for intent in intents for content in intent.files.values()]
        digest = hashlib.sha256()
        for part in (*lines, *contents):
            digest.update(part)
        now = time.time_ns()
        head = {
            "space": space,
            "expect": expect,
            "allow_void": allow_void,
            "same_at": same_at,
            "added": timestamp.text(now // 1_000_000_000, now // 1000 % 1_000_000),
            "state": "waiting",
            "commits": [],
            "error": None,
            "files": [[[name, len(content)] for name, content in intent.files.items()] for intent in intents],
            "rest": digest.hexdigest(),
        }
        with self._changing() as counter:
            number = self._next(counter)
            path = self._path(number)
            try:
                self._write(path, head, (*lines, *contents))
            except BaseException:
                with suppress(OSError):  # nothing of it, also where the disk refused after the file had its name
                    os.unlink(path)
                raise
        return _entry(head, tuple(map(_decision, lines)), number, path)

    def filed(self, entry: Entry, commits: Sequence[str]) -> Entry:
        """Notes that the entry is in the server's inbox, as these commits. Gives it as it is now.

        Raises GitFailed if it has left the outbox or its file is damaged, as all that note a state.
        """
        return self._note(entry, "filed", commits, None)

    def waiting(self, entry: Entry) -> Entry:
        """Notes that the entry is to be sent (again). Gives it as it is now."""
        return self._note(entry, "waiting", (), None)

    def reject(self, entry: Entry, error: CoordjournalError) -> Entry:
        """Notes that the entry cannot be appended any more, and why. Gives it as it is now.

        Raises:
            TypeError: ``error`` is none that judges the intents themselves (Refused, PreconditionFailed, WouldBeVoid,
                IdConflict): another one may be over tomorrow, and must not end an entry.
        """
        return self._note(entry, "rejected", (), _refusal(error))

    def done(self, entry: Entry) -> None:
        """Removes an entry: it has landed, or its author lets it go. One that is not there any more is no error."""
        with self._changing():
            try:
                os.unlink(entry.path)
            except FileNotFoundError:
                return
            _sync_folder(self.folder)

    def set_aside(self, damaged: Damaged) -> Path:
        """Moves a damaged file out of the way, into the folder ``set-aside`` beside the entries; where it is now.

        Raises GitFailed also if it is not there any more, or something has the place.
        """
        with self._changing(), _failing(self.folder):
            folder = self.folder / _ASIDE
            with suppress(FileExistsError):
                os.mkdir(folder)
            to = folder / damaged.path.name
            if to.exists():  # numbers are given once; a name of somebody else's may come twice
                raise GitFailed(f"{to} is there already")
            os.rename(damaged.path, to)
            for changed in (folder, self.folder):
                _sync_folder(changed)
        return to

    def _note(self, entry: Entry, state: State, commits: Sequence[str], refusal: Mapping[str, Any] | None) -> Entry:
        with self._changing():
            try:
                with _open(entry.path) as file:
                    head = {**_head(file), "state": state, "commits": list(commits), "error": refusal}
                    self._write(entry.path, head, _checked(file, head["rest"]))
            except FileNotFoundError:
                raise _gone(entry.number) from None
            except _Damaged as damage:
                raise _unreadable(entry.path, damage) from None
        return _entry(head, entry.decisions, entry.number, entry.path)

    def _write(self, path: Path, head: Mapping[str, Any], rest: Sequence[bytes] | Iterator[bytes]) -> None:
        """Puts a file in its place, or leaves what was there."""
        line = json.dumps(head, separators=(",", ":")).encode() + b"\n"
        new = self.folder / _NEW
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            try:
                _write_all(descriptor, _FORMAT + _digest(line) + b"\n" + line)
                for part in rest:
                    _write_all(descriptor, part)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(new, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(new)
            raise
        _sync_folder(self.folder)

    def _next(self, counter: int) -> int:
        """A number that was never given. The names are asked too, in case the counter was lost or is an older one."""
        said = os.pread(counter, 100, 0).strip()
        last = int(said) if said.isdigit() else 0
        number = 1 + max([last, *filter(None, map(_number, self._names()))])
        os.ftruncate(counter, os.pwrite(counter, b"%016d\n" % number, 0))
        os.fsync(counter)
        return number

    # -- locks ---------------------------------------------------------------------------------------------------

    @contextmanager
    def sending(self, space: str, *, timeout: float | None = None) -> Iterator[None]:
        """Holds the right to send what waits for a space: one thread of one process of the clone has it at a time.

        It ends with the process that holds it, however that ends; a fork of that process does not have it. Not
        reentrant: who asks for it twice waits for itself.

        Args:
            timeout: how long to wait for it, in seconds; None: as long as it takes.

        Raises:
            ValueError: ``space`` is not a space id.
            Contention: another sender did not end in time.
        """
        path = self.folder / _LOCKS / encode_space(space)
        with _failing(self.folder):
            try:
                lock = FileLock(path, os.O_CREAT)
            except FileNotFoundError:
                self._make_folders()
                with suppress(FileExistsError):
                    os.mkdir(path.parent)
                lock = FileLock(path, os.O_CREAT)
        try:
            with _failing(self.folder):
                held = lock.take(timeout)
            if not held:
                raise Contention(f"{space}: another sender of this clone did not end within {timeout:g} s")
            yield
        finally:
            lock.end()

    @contextmanager
    def _changing(self) -> Iterator[int]:
        """Holds the outbox against everybody else who changes it; gives the descriptor of the counter."""
        path = self.folder / _COUNTER
        with _failing(self.folder):
            try:
                lock = FileLock(path)
            except FileNotFoundError:
                self._make_folders()
                lock = FileLock(path)
            try:
                lock.take(None)
                with suppress(FileNotFoundError):
                    os.unlink(self.folder / _NEW)  # of a process that was killed
                yield lock.descriptor
            finally:
                lock.end()

    def _make_folders(self) -> None:
        """Makes the folder, durably, and only then the counter: where that is, nothing is left to do."""
        for folder in (self.folder.parent, self.folder):
            with suppress(FileExistsError):
                os.mkdir(folder)
            _sync_folder(folder.parent)
        os.close(os.open(self.folder / _COUNTER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))


# -- files -----------------------------------------------------------------------------------------------------------


class _Damaged(Exception):
    """A file that does not check; the message says why."""


def _open(path: Path) -> BinaryIO:
    """The file of an entry. Raises _Damaged for what is no file (a pipe would be waited for), or OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _Damaged("not a file")
    return open(descriptor, "rb")


def _read(path: Path, number: int, space: str | None = None) -> Entry | None:
    """The entry in a file that checks; None if it is of another space than asked for. Raises _Damaged or OSError."""
    try:
        with _open(path) as file:
            head = _head(file)
            if space is not None and head["space"] != space:
                return None
            lines, _ = _rest(file, head, keep=False)
        return _entry(head, tuple(map(_decision, lines)), number, path)
    except (KeyError, TypeError, ValueError, RecursionError):  # it checks, so that somebody wrote it so
        raise _Damaged("it holds something else than an entry does") from None


def _head(file: BinaryIO) -> dict[str, Any]:
    """The JSON of an entry; leaves the file where the rest begins."""
    first = file.readline(len(_FORMAT) + 65)
    if not first.startswith(_FORMAT):
        raise _Damaged("of a later format" if first.startswith(_MAGIC) else "not an entry of an outbox")
    line = file.readline()
    if first != _FORMAT + _digest(line) + b"\n":
        raise _Damaged("its content does not match its checksum")
    head: dict[str, Any] = json.loads(line)
    return head


def _rest(file: BinaryIO, head: Mapping[str, Any], *, keep: bool) -> tuple[list[bytes], list[dict[str, bytes]]]:
    """The lines of the decisions, and the attachments of each, which are only checked unless they are to be kept."""
    digest = hashlib.sha256()
    lines = []
    for _ in head["files"]:
        lines.append(file.readline())
        digest.update(lines[-1])
    contents: list[dict[str, bytes]] = []
    if keep:
        for files in head["files"]:
            contents.append({name: file.read(length) for name, length in files})
            for content in contents[-1].values():
                digest.update(content)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != head["rest"]:
        raise _Damaged("its content does not match its checksum")
    return lines, contents


def _checked(file: BinaryIO, due: str) -> Iterator[bytes]:
    """What is left of a file. Raises _Damaged at its end if that is not what is due."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != due:
        raise _Damaged("its content does not match its checksum")


def _entry(head: Mapping[str, Any], decisions: tuple[Decision, ...], number: int, path: Path) -> Entry:
    return Entry(
        number,
        head["space"],
        decisions,
        head["expect"],
        head["allow_void"],
        head["same_at"],
        head["added"],
        head["state"],
        tuple(head["commits"]),
        head["error"],
        path,
    )


def _decision(line: bytes) -> Decision:
    return Decision.from_json(canonical.trusted(line.removesuffix(b"\n")))


def _number(name: str) -> int | None:
    """The number in the name of an entry's file, None if it is no such name."""
    digits = name.removesuffix(_SUFFIX)
    if digits == name or not digits.isascii() or not digits.isdigit() or f"{int(digits):016}" != digits:
        return None
    return int(digits)


def _digest(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest().encode()


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(path: Path) -> None:
    """Brings the names in a folder to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _failing(folder: Path) -> Iterator[None]:
    """Makes of an OSError what the library raises."""
    try:
        yield
    except OSError as error:
        raise GitFailed(f"cannot write to {folder}: {error.strerror or error}") from error


def _gone(number: int) -> GitFailed:
    return GitFailed(f"the entry {number} is not in the outbox any more")


def _unreadable(path: Path, error: Exception) -> GitFailed:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return GitFailed(f"{path}: {reason}; the file was left as it is")


# -- errors ----------------------------------------------------------------------------------------------------------


def _refusal(error: CoordjournalError) -> dict[str, Any]:
    """An error as JSON. Raises TypeError if it is none that ends an entry."""
    out: dict[str, Any] = {"code": error.code, "message": str(error)}
    if isinstance(error, Refused):
        return {**out, "kind": "refused", **{name: getattr(error, name) for name in _REFUSED_FIELDS}}
    if isinstance(error, WouldBeVoid):
        return {**out, "kind": error.code, "reason": error.reason}
    if isinstance(error, (PreconditionFailed, IdConflict)):
        return {**out, "kind": error.code}
    raise TypeError(f"{type(error).__name__} does not say that the intents cannot be appended any more") from error


def _error(refusal: Mapping[str, Any]) -> CoordjournalError:
    """The error of :func:`_refusal`; one of a kind that a later version wrote keeps its code and its message."""
    kind, message = refusal["kind"], refusal["message"]
    if kind == "refused":
        fields = {name: refusal[name] for name in _REFUSED_FIELDS}
        return Refused(refusal["code"], **fields)
    if kind == WouldBeVoid.code:
        return WouldBeVoid(refusal["reason"], message)
    if kind == PreconditionFailed.code:
        return PreconditionFailed(message)
    if kind == IdConflict.code:
        return IdConflict(message)
    error = CoordjournalError(message)
    error.code = refusal["code"]
    return error
