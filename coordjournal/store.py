"""The git store: the only module of the library that touches git's objects and refs.

git itself reads (:mod:`coordjournal.gitread`); dulwich writes objects and moves refs, in this process and durably:
an object, the directory that names it, then the ref and its directory reach the disk before ``move`` returns.
dulwich is imported at the first write, for a program that only asks questions does not need it.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from . import gitread, stale
from .admission import Settings
from .commit import EMPTY_TREE
from .errors import DecisionNotFound, GitFailed, NotAJournal
from .locking import Lock
from .refs import SPACES, decode_space, encode_space
from .text import printable

if TYPE_CHECKING:
    from dulwich.repo import Repo

T = TypeVar("T")

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
        self._lock = Lock(self._start_over)
        self._seen: set[str] = set()  # refs that are known to exist
        self._has_empty_tree = False
        self.hash_name = self._object_format()
        self._start()

    def close(self) -> None:
        """Ends the git process and closes the files that reading and writing hold open."""
        with self._lock:
            self._reader().close()
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
        """The commit at the tip of the log of ``space``, None if there is no log.

        Raises:
            GitFailed: the ref names what is missing or no commit.
        """
        name = self.prefix + encode_space(space)
        tip = self.resolve(name)
        if tip is not None and name in self._seen:
            return tip
        # Where there is no such ref, git takes the name for a branch refs/heads/<name>, or for a description that
        # ends in -g<commit>. Nobody but a rescue deletes a log, so that to have seen the ref once is enough.
        exact = dict(self.refs(name)).get(name)
        if exact is None:
            return None
        self._seen.add(name)
        tip = self.resolve(exact)
        if tip is None:
            raise GitFailed(f"{name} names {exact}, which is missing or no commit; `git fsck` may tell what is damaged")
        return tip

    def resolve(self, name: str, kind: str = "commit") -> str | None:
        """The object that ``name`` means, if it is of that kind."""
        answer = self.object(name, kind)
        return None if answer is None else answer[0]

    def object(self, name: str, kind: str) -> tuple[str, bytes] | None:
        """Name and content of the object that ``name`` means; None if it is missing or of another kind.

        Raises:
            GitFailed: git cannot read it.
        """
        with self._lock:
            objects = self._reader()
            try:
                return objects.read(name, kind)
            except GitFailed:
                objects.close()  # somebody may have killed the process: ask another once
                return objects.read(name, kind)
            except BaseException:
                objects.close()  # interrupted: what is left of this answer must not be taken for the next one
                raise

    def commits(
        self, tip: str, base: str | None = None, *, oldest_first: bool = False, count: int | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Name and content of the commits from ``tip`` down to (without) ``base``, newest first unless told."""
        for oid, _, raw in gitread.commits(tip, base, self.env, oldest_first=oldest_first, count=count):
            yield oid, raw

    def merge_base(self, one: str, other: str) -> str | None:
        """The last commit that is in the history of both; None if there is none.

        Raises:
            GitFailed: one of them, or of what comes before them, is missing.
        """
        child = gitread.Child(["merge-base", one, other], self.env)
        answer = child.out.read().decode().strip()
        if child.wait() not in (0, 1):
            raise child.failed()
        return answer or None

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
            repo = self._repo
            store = repo.object_store
            # git knows the empty tree without having it, but `git fsck --strict` misses it in a log that names it.
            if not self._has_empty_tree and ObjectID(self.empty_tree.encode()) not in store:
                objects = [("tree", b""), *objects]
            shas = [
                ShaFile.from_raw_string(_TYPE_NUMBERS[kind], content, object_format=repo.object_format)
                for kind, content in objects
            ]
            if len(shas) > _LOOSE_AT_MOST:
                self._patiently(lambda: store.add_objects([(sha, None) for sha in shas]))
                _sync_directory(os.path.join(store.path, "pack"))
            else:
                for sha, (kind, content) in zip(shas, objects, strict=True):
                    self._patiently(partial(store.add_object, sha))
                    _sync_directory(os.path.join(store.path, self.name(kind, content)[:2]))
            self._has_empty_tree = True

    def move(self, space: str, old: str | None, new: str, why: str = "append") -> bool:
        """Moves the tip of the log from ``old`` (None: there is none yet) to ``new``, durably; False if it was not
        at ``old`` any more.

        Raises:
            GitFailed: the ref stays locked by somebody else, the disk is full.
        """
        return self.move_ref(self.prefix + encode_space(space), old, new, why)

    def move_ref(self, name: str, old: str | None, new: str, why: str) -> bool:
        """As :meth:`move`, for any ref."""
        from dulwich.protocol import ZERO_SHA  # of 40 digits in a repository of SHA-256 too

        ref: Any = name.encode()
        with self._lock:
            repo = self._repo
            path = os.path.join(repo.commondir(), name)

            def swap() -> bool:
                self._make_folder(os.path.dirname(path))
                moved = repo.refs.set_if_equals(
                    ref,
                    (old.encode() if old else ZERO_SHA),  # type: ignore[arg-type]
                    new.encode(),  # type: ignore[arg-type]
                    committer=b"coordjournal <>",
                    message=f"coordjournal: {why}".encode(),
                )
                if moved:
                    self._share(path)
                    _sync_directory(os.path.dirname(path))
                return moved

            with _signals_held():
                return self._patiently(swap)

    def update_refs(self, lines: Sequence[str], why: str) -> None:
        """One transaction of ``git update-ref --stdin``: all of it or nothing. Raises GitFailed."""
        if not lines:
            return
        # Without "start" git would commit what it has when its input ends, also because we were killed.
        stale.remove([f"{self.git_dir}/{name}.lock" for name in ("packed-refs", *(line.split()[1] for line in lines))])
        done = subprocess.run(
            ["git", "update-ref", "-m", f"coordjournal: {why}", "--create-reflog", "--stdin"],
            input="".join(f"{line}\n" for line in ("start", *lines, "prepare", "commit")),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env={**self.env, "GIT_COMMITTER_NAME": "coordjournal", "GIT_COMMITTER_EMAIL": "coordjournal"},
            check=False,
        )
        if done.returncode:
            raise GitFailed(f"cannot move the refs of {self.git_dir}: {' '.join(printable(done.stderr).split())}")
        self._seen.difference_update(line.split()[1] for line in lines if line.startswith("delete "))

    def _patiently(self, write: Callable[[], T]) -> T:
        """Does what needs a lock file; while another process holds that, waits a little and tries again."""
        from dulwich.file import FileLocked

        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                return write()
            except FileLocked as locked:
                if stale.remove([os.fsdecode(locked.lockfilename)]):
                    continue
                if time.monotonic() > until:
                    raise GitFailed(
                        f"another process has been writing to {self.git_dir} for {_LOCK_SECONDS:g} s; if none runs "
                        f"there, remove {os.fsdecode(locked.lockfilename)}"
                    ) from None
                time.sleep(0.005)
            except OSError as error:
                raise GitFailed(f"cannot write to {self.git_dir}: {error.strerror or error}") from error

    def _make_folder(self, path: str) -> None:
        if not os.path.isdir(path):
            self._make_folder(os.path.dirname(path))
            try:
                os.mkdir(path)
            except FileExistsError:
                return
            self._share(path)

    def _share(self, path: str) -> None:
        """Gives a ref, or a folder of refs, the permissions that core.sharedRepository asks for: dulwich gives them to
        objects and reflogs only."""
        from dulwich.file import adjust_shared_perm

        adjust_shared_perm(path, self._repo.object_store.shared_perm)

    def _start_over(self) -> None:
        """In a fork, when a thread of the parent was reading or writing: leaves all that to the parent."""
        self.__dict__.pop("_repo", None)
        self._reader()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._objects = gitread.Objects(self.env)
        weakref.finalize(self, _end, self._objects, self._pid)  # for whoever forgets close()

    def _reader(self) -> gitread.Objects:
        """The process to ask; in a fork a new one, for the other is the parent's."""
        if self._pid != os.getpid():
            self._objects.abandon()
            self._start()
        return self._objects

    @cached_property
    def _repo(self) -> Repo:
        from dulwich.repo import Repo, UnsupportedExtension, UnsupportedVersion

        try:
            repo = Repo(self.git_dir)
        except (UnsupportedExtension, UnsupportedVersion) as error:
            raise NotAJournal(
                f"{self.git_dir} can be read but not written to: dulwich does not know the extension or version "
                f"{error} that its configuration names; a git push from a clone can"
            ) from None
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


@contextmanager
def _signals_held() -> Iterator[None]:
    """Lets a signal that ends the process wait until a ref is moved: Python would leave git's lock file behind."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _end(objects: gitread.Objects, pid: int) -> None:
    if pid == os.getpid():
        objects.close()
    else:
        objects.abandon()


def _sync_directory(path: str) -> None:
    """Brings the names in a directory to the disk: after a power cut the file is there, and under its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
