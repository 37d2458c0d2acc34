"""The git store: the only module of the library that touches git's objects and refs.

git itself reads (:mod:`coordjournal.gitread`); dulwich writes objects and moves refs, in this process and durably:
an object, the directory that names it, then the ref and its directory reach the disk before ``move`` returns.
dulwich is imported at the first write, for a program that only asks questions does not need it.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import gitread
from .admission import Settings
from .commit import EMPTY_TREE
from .errors import DecisionNotFound, GitFailed, NotAJournal
from .refs import SPACES, decode_space, encode_space

if TYPE_CHECKING:
    from dulwich.repo import Repo

_LOOSE_AT_MOST = 64  # objects of one write; more become one pack
_LOCK_SECONDS = 5.0
_TYPE_NUMBERS = {"commit": 1, "tree": 2, "blob": 3}


class GitStore:
    """The logs of a repository under one prefix of refs.

    Safe for any number of threads; a fork may use it too (it starts git processes of its own).
    """

    def __init__(self, git_dir: str | Path, prefix: str = SPACES) -> None:
        """Opens the repository ``git_dir``, whose logs are the refs below ``prefix``.

        Raises:
            NotAJournal: git does not accept it as a repository.
        """
        self.git_dir = str(git_dir)
        self.prefix = prefix
        self.env = gitread.environment(self.git_dir, os.environ)
        self._lock = threading.RLock()
        self._objects = gitread.Objects(self.env)
        self._pid = os.getpid()
        self._has_empty_tree = False
        self.hash_name = self._object_format()

    def close(self) -> None:
        """Ends the git process and closes the files that reading and writing hold open."""
        with self._lock:
            self._objects.close()
            if "_repo" in self.__dict__:
                self._repo.close()
                del self.__dict__["_repo"]

    @property
    def empty_tree(self) -> str:
        """The name of the empty tree in this repository's object format."""
        return EMPTY_TREE[64 if self.hash_name == "sha256" else 40]

    def tips(self) -> dict[str, str]:
        """The tip of every log: space to commit, in the order of the spaces' UTF-8 bytes."""
        found = {}
        for name, oid in self.refs(self.prefix):
            try:
                found[decode_space(name.removeprefix(self.prefix))] = oid
            except ValueError:
                continue  # not a log; `doctor` and `verify` name such refs
        return dict(sorted(found.items(), key=lambda item: item[0].encode()))

    def refs(self, prefix: str) -> list[tuple[str, str]]:
        """The refs below ``prefix``: name and object, sorted by name."""
        child = gitread.Child(["for-each-ref", "--format=%(objectname) %(refname)", prefix], self.env)
        lines = child.out.read().decode("utf-8", "surrogateescape").splitlines()
        if child.wait() != 0:
            raise child.failed()
        return [(line.partition(" ")[2], line.partition(" ")[0]) for line in lines]

    def tip(self, space: str) -> str | None:
        """The commit at the tip of the log of ``space``, None if there is no log."""
        return self.resolve(self.prefix + encode_space(space), "commit")

    def resolve(self, name: str, kind: str = "commit") -> str | None:
        """The object that ``name`` means, if it is of that kind."""
        answer = self.object(name, kind)
        return None if answer is None else answer[0]

    def object(self, name: str, kind: str) -> tuple[str, bytes] | None:
        """Name and content of the object that ``name`` means; None if it is missing or of another kind."""
        with self._lock:
            if self._pid != os.getpid():  # after a fork the process belongs to the parent
                self._objects = gitread.Objects(self.env)
                self._pid = os.getpid()
            return self._objects.read(name, kind)

    def commits(
        self, tip: str, base: str | None = None, *, oldest_first: bool = False, count: int | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Name and content of the commits from ``tip`` down to (without) ``base``, newest first unless told."""
        for oid, _, raw in gitread.commits(tip, base, self.env, oldest_first=oldest_first, count=count):
            yield oid, raw

    def file(self, commit: str, name: str) -> bytes:
        """The content of the attachment ``name`` of a commit. Raises DecisionNotFound if it has none."""
        found = self.object(f"{commit}:{name}", "blob")
        if found is None:
            raise DecisionNotFound(f"the commit {commit} has no attachment {name!r}")
        return found[1]

    def settings(self) -> Settings:
        """The settings in the repository's configuration. Raises GitFailed, or ValueError for a bad value."""
        return Settings.from_config(gitread.config(gitread.ask_config(self.env)))

    def name(self, kind: str, content: bytes) -> str:
        """The object name that git gives ``content``."""
        return object_name(self.hash_name, kind, content)

    def add(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """Writes objects, each a kind and its content, durably: loose if few, as one pack if many."""
        from dulwich.objects import ObjectID, ShaFile

        with self._lock:
            store = self._repo.object_store
            if not self._has_empty_tree:
                # git knows the empty tree without having it, but `git fsck --strict` misses it in a log that names it.
                if ObjectID(self.empty_tree.encode()) not in store:
                    objects = [("tree", b""), *objects]
                self._has_empty_tree = True
            shas = [ShaFile.from_raw_string(_TYPE_NUMBERS[kind], content) for kind, content in objects]
            try:
                if len(shas) > _LOOSE_AT_MOST:
                    store.add_objects([(sha, None) for sha in shas])
                    _sync_directory(os.path.join(store.path, "pack"))
                    return
                for sha, (kind, content) in zip(shas, objects, strict=True):
                    store.add_object(sha)
                    _sync_directory(os.path.join(store.path, self.name(kind, content)[:2]))
            except OSError as error:
                raise GitFailed(f"cannot write to {self.git_dir}: {error.strerror or error}") from error

    def move(self, space: str, old: str | None, new: str, why: str = "append") -> bool:
        """Moves the tip of the log from ``old`` (None: there is none yet) to ``new``, durably; False if it was not
        at ``old`` any more.

        Raises:
            GitFailed: the ref stays locked by somebody else, the disk is full.
        """
        return self.move_ref(self.prefix + encode_space(space), old, new, why)

    def move_ref(self, name: str, old: str | None, new: str, why: str) -> bool:
        """As :meth:`move`, for any ref."""
        from dulwich.file import FileLocked

        ref: Any = name.encode()
        zero = b"0" * len(new)
        until = time.monotonic() + _LOCK_SECONDS
        with self._lock:
            while True:
                try:
                    moved = self._repo.refs.set_if_equals(
                        ref,
                        (old.encode() if old else zero),  # type: ignore[arg-type]
                        new.encode(),  # type: ignore[arg-type]
                        committer=b"coordjournal <>",
                        message=f"coordjournal: {why}".encode(),
                    )
                    if moved:
                        _sync_directory(os.path.dirname(os.path.join(self._repo.controldir(), name)))
                    return moved
                except FileLocked:
                    if time.monotonic() > until:
                        raise GitFailed(
                            f"{name} has been locked for {_LOCK_SECONDS:.0f} s; if no git process runs in "
                            f"{self.git_dir}, remove {name}.lock there"
                        ) from None
                    time.sleep(0.005)
                except OSError as error:
                    raise GitFailed(f"cannot write to {self.git_dir}: {error.strerror or error}") from error

    @cached_property
    def _repo(self) -> Repo:
        from dulwich.repo import Repo

        repo = Repo(self.git_dir)
        repo.object_store.fsync_object_files = True
        weakref.finalize(self, repo.close)  # at exit at the latest: dulwich warns of packs left open
        return repo

    def _object_format(self) -> str:
        child = gitread.Child(["rev-parse", "--show-object-format"], self.env)
        answer = child.out.read().decode().strip()
        if child.wait() != 0 or answer not in ("sha1", "sha256"):
            raise NotAJournal(f"git does not accept {self.git_dir} as a repository")
        return answer


def object_name(hash_name: str, kind: str, content: bytes) -> str:
    """The name that git gives an object: the hash of its kind, length and content."""
    return hashlib.new(hash_name, f"{kind} {len(content)}\0".encode() + content).hexdigest()


def tree_of(files: Iterable[tuple[str, str]]) -> bytes:
    """The content of a tree of plain files, each a name and the name of its blob."""
    return b"".join(f"100644 {name}\0".encode() + bytes.fromhex(oid) for name, oid in sorted(files))


def _sync_directory(path: str) -> None:
    """Brings the names in a directory to the disk: after a power cut the file is there, and under its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
