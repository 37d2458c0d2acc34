"""Writes objects through git itself: as a pack (gitformat-pack(5)) that git takes in as it takes in a push.

So git's own settings say how durable the objects are (``core.fsync``), who may read them (``core.sharedRepository``)
and how they are named (the object format). A few become loose objects, many become one pack.

This module is on the hook's hot path: of hash functions it imports only the one it needs, in C, and ``hashlib``, which
costs 4 ms, only in a Python that was built without those.
"""

import posix
import time
import zlib

from .errors import GitFailed
from .gitread import Process, pipe
from .kept import REASON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Protocol

    from .kept import Kept

    class Objects(Protocol):
        """Objects, each a kind and a content."""

        def __len__(self) -> int: ...
        def __iter__(self) -> Iterator[tuple[str, bytes]]: ...


# Objects of one write; more become a pack. git draws this line at 100 (receive.unpackLimit), but under core.fsync each
# loose object costs an fsync and a pack two in all: 8 objects take 14 ms loose and 8 ms packed, 100 take 82 and 12 ms.
_LOOSE_AT_MOST = 8
# How often git is asked to write them. One that prunes removes the folders of loose objects that it sees empty, and a
# git that has just made one, or found it, gives up (2.39); it does not happen to the same one time after time.
_TRIES = 5
_KINDS = {"commit": 1, "tree": 2, "blob": 3}
_CHUNK = 1 << 16  # bytes; what a pipe holds
_UNFINISHED = ("tmp_obj_", "tmp_pack_", "tmp_idx_", "tmp_rev_")  # what git calls files until they are whole
_TICK = 0.01  # seconds that the time of a file may lag behind the clock
_SMALL = 4096  # bytes, 2^12; few decision commits are larger


def name(kind: str, content: bytes, oid_length: int) -> str:
    """The name that git gives an object, in ``oid_length`` hex digits (40: SHA-1, 64: SHA-256)."""
    digest = _hasher(oid_length)(f"{kind} {len(content)}\0".encode())
    digest.update(content)
    found: str = digest.hexdigest()
    return found


def deflated(content: bytes) -> bytes:
    """``content`` as zlib packs it, for an object of either kind, in a pack or loose."""
    if len(content) > _SMALL:
        return zlib.compress(content)  # at git's own level for packs; level 1 makes a text a tenth larger
    # What is small becomes as small at level 1 with a window of its own size, in a third of the time (7 us for 23 us
    # a commit): for so little memory the heap has room, and the usual 256 KiB come from the system, page by page.
    packer = zlib.compressobj(1, zlib.DEFLATED, 12, 5)
    return packer.compress(content) + packer.flush()


def pack(objects: "Objects", oid_length: int) -> bytes:
    """A pack of these objects, each whole, in their order."""
    return b"".join(_pieces(objects, oid_length))


class Unpacking:
    """A git that waits for a few objects. To start it ahead takes its start, 1 ms, out of the way of :func:`write`."""

    def __init__(self, env: "dict[str, str]") -> None:
        """``env`` as for :func:`write`. Raises GitFailed."""
        self.process, self.writer = _started(["unpack-objects", "-q"], env, -1)

    def stop(self) -> None:
        """Ends it, where nothing is to be written after all."""
        posix.close(self.writer)
        self.process.stop()


def write(
    objects: "Objects",
    env: "dict[str, str]",
    oid_length: int,
    begun: "Unpacking | None" = None,
    kept: "Kept | None" = None,
) -> None:
    """Writes objects into a repository; those that it has already stay as they are.

    Args:
        objects: kind (``commit``, ``tree`` or ``blob``) and content of each. They are gone through after ``len()``, and
            may be made meanwhile: 64 KiB of them are held at a time. Where git fails, a few are gone through again.
        env: of :func:`gitread.environment`, for a bare repository.
        oid_length: hex digits of an object name in that repository.
        begun: a git that waits for them already; it is of use if they are few, and ended in any case.
        kept: has the pack that many become, until no git can take it for rubbish any more.

    Raises:
        GitFailed: they cannot be written (a full disk, a lack of permission).
    """
    started = time.time() - _TICK
    count = len(objects)
    few = 0 < count <= _LOOSE_AT_MOST
    if begun is not None and not few:
        begun.stop()
    if few:
        _write_loose(objects, env, oid_length, begun, started)
    elif count:
        _write_pack(objects, env, oid_length, kept, started)


def _write_loose(
    objects: "Objects", env: "dict[str, str]", oid_length: int, begun: "Unpacking | None", started: float
) -> None:
    for left in reversed(range(_TRIES)):
        begun = begun or Unpacking(env)
        try:
            _feed(begun.process, begun.writer, _pieces(objects, oid_length))
            return
        except BaseException as error:
            folders = [name for name in _listed(env["GIT_DIR"] + "/objects") if len(name) == 2]
            _sweep(env["GIT_DIR"] + "/objects", folders, started)
            if not left or not isinstance(error, GitFailed):
                raise
        begun = None


def _write_pack(
    objects: "Objects", env: "dict[str, str]", oid_length: int, kept: "Kept | None", started: float
) -> None:
    keep = [] if kept is None else [f"--keep={REASON}"]
    reader, writer = pipe()
    try:
        try:
            _feed(*_started(["index-pack", "--stdin", *keep], env, writer), _pieces(objects, oid_length))
        finally:
            posix.close(writer)
        kind, _, pack = posix.read(reader, 1000).decode().strip().partition("\t")
    except BaseException:
        _sweep(env["GIT_DIR"] + "/objects", ["pack"], started)
        raise
    finally:
        posix.close(reader)
    if kept is not None and kind == "keep":  # otherwise somebody else keeps the very same pack
        kept.add(f"{env['GIT_DIR']}/objects/pack/pack-{pack}.keep")


def _started(arguments: "list[str]", env: "dict[str, str]", stdout: int) -> "tuple[Process, int]":
    """A git that writes to ``stdout`` (-1: to nobody), and the pipe that it reads from. Raises GitFailed."""
    reader, writer = pipe()
    try:
        return Process(arguments, env, reader, stdout), writer
    except GitFailed:
        posix.close(writer)
        raise
    finally:
        posix.close(reader)


def _feed(process: Process, writer: int, pieces: "Iterable[bytes]") -> None:
    """Gives git what ``pieces`` give, and waits for its end. Raises GitFailed."""
    try:
        try:
            for piece in pieces:
                _send(writer, piece)
        finally:
            posix.close(writer)
    except BaseException:
        process.stop()
        raise
    if process.wait() != 0:
        raise process.failed()


def _send(writer: int, piece: bytes) -> None:
    left = memoryview(piece)
    try:
        while left:
            left = left[posix.write(writer, left) :]
    except BrokenPipeError:
        pass  # git has given up; its status will say so


def _sweep(objects: str, folders: "list[str]", since: float) -> None:
    """Removes the files that git leaves half-written where it failed (git 2.39); on a full disk they take the rest.

    One of another process of this account that writes there at this very moment may be among them. That one then fails
    as well; a quarantine as of a push would be exact, and cost every write a millisecond.
    """
    for folder in folders:
        for file in _listed(f"{objects}/{folder}"):
            if file.startswith(_UNFINISHED):
                path = f"{objects}/{folder}/{file}"
                try:
                    status = posix.stat(path)
                    if status.st_mtime >= since and status.st_uid == posix.geteuid():
                        posix.unlink(path)
                except OSError:
                    pass  # git gc removes it in two weeks


def _listed(folder: str) -> "list[str]":
    try:
        return posix.listdir(folder)
    except OSError:
        return []


def _pieces(objects: "Objects", oid_length: int) -> "Iterator[bytes]":
    """The bytes of a pack, in pieces of at least 64 KiB but the last."""
    digest = _hasher(oid_length)()
    piece = bytearray(b"PACK\0\0\0\2" + len(objects).to_bytes(4))
    for kind, content in objects:
        piece += _head(_KINDS[kind], len(content))
        piece += deflated(content)
        if len(piece) >= _CHUNK:
            digest.update(piece)
            yield bytes(piece)
            piece.clear()
    digest.update(piece)
    yield bytes(piece) + digest.digest()


def _head(number: int, size: int) -> bytes:
    """Kind and size of an object: four bits of the size beside the kind, then seven a byte, lowest first."""
    head = bytearray((number << 4 | size & 15,))
    size >>= 4
    while size:
        head[-1] |= 128
        head.append(size & 127)
        size >>= 7
    return bytes(head)


def _hasher(oid_length: int) -> "Callable[..., Any]":
    """The hash function of object names of that length."""
    found = _hashers.get(oid_length)
    if found is None:
        function, modules = ("sha1", ["_sha1"]) if oid_length == 40 else ("sha256", ["_sha256", "_sha2"])
        for module in (*modules, "hashlib"):  # _sha256 went into _sha2 with Python 3.12
            try:
                found = _hashers[oid_length] = getattr(__import__(module), function)
                break
            except ImportError:
                pass
    assert found is not None
    return found


_hashers: "dict[int, Callable[..., Any]]" = {}
