"""The git store: the only module of the library that touches git's objects and refs.

git itself reads (:mod:`coordjournal.gitread`). An append writes its objects and moves its ref in this process
(:mod:`coordjournal.loose`); what is rarer, git does: many objects (:mod:`coordjournal.packing`), refs that are new or
packed. Either way it is durable: an object, the directory that names it, then the ref and its directory reach the disk
before ``move`` returns. What only writing takes is imported at the first write.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from . import gitread, loose, packing, stale
from .commit import EMPTY_TREE
from .errors import DecisionNotFound, GitFailed, NotAJournal
from .kept import Kept
from .locking import Lock
from .refs import SPACES, decode_space, encode_space
from .text import printable

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from .admission import Settings
    from .sharing import Sharing

T = TypeVar("T")

_LOOSE_AT_MOST = 8  # objects of one write; more become one pack
_SMALL = 1 << 16  # bytes that are written while a ref is locked, which nobody should wait for
_LOCK_SECONDS = 5.0
_TIP = "%(objectname) %(objecttype) %(refname)"
_EXTENSIONS = ("objectformat", "worktreeconfig", "relativeworktrees")  # of git's repositories, that writing knows
_WRITING_KEYS = r"^(core\.(sharedrepository|logallrefupdates)|extensions\..*)$"
# git's own settings of a repository may be laxer, and a decision that was appended is on the disk. git 2.36 knows them;
# the packs of an older one are synced, and its refs are by us.
_DURABLY = {
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.fsync",
    "GIT_CONFIG_VALUE_0": "objects,derived-metadata,reference",
    "GIT_CONFIG_KEY_1": "core.fsyncMethod",
    "GIT_CONFIG_VALUE_1": "fsync",
}


class _Files(NamedTuple):
    """How the files of a repository are written: below ``top``, the git directory that linked work trees share."""

    top: str
    sharing: Sharing
    logged: bool  # whether every ref has a reflog


class GitStore:
    """The logs of a repository under one prefix of refs.

    Safe for any number of threads; a fork may use it too (it starts git processes of its own).
    """

    def __init__(self, git_dir: str | Path, prefix: str = SPACES, hash_name: str | None = None) -> None:
        """Opens the repository ``git_dir``, whose logs are the refs below ``prefix``.

        ``hash_name`` is its object format, where git has just said it; None asks git.

        Raises:
            NotAJournal: git does not accept it as a repository.
        """
        self.git_dir = str(git_dir)
        self.prefix = prefix
        self.env = gitread.environment(self.git_dir, os.environ)
        self._lock = Lock(self._start_over)
        self._seen: set[str] = set()  # refs that are known to exist
        self._at: dict[str, str] = {}  # where a ref was when it was last known to be at a commit
        self._has_empty_tree = False
        self._synced: set[str] = set()  # folders whose own names are on the disk
        self._known_files: tuple[object, _Files] | None = None
        self._packed_as_of: tuple[int, ...] | None = None  # the packed-refs that the reading git may have read
        self._ahead: tuple[str, gitread.Child] | None = None  # a ref, and the git that looks for it
        self.hash_name = hash_name or self._object_format()
        self._start()

    def close(self) -> None:
        """Ends the git process that reading holds open."""
        with self._lock:
            self._stop_ahead()
            self._reader().close()

    @property
    def empty_tree(self) -> str:
        """The name of the empty tree in this repository's object format."""

        return EMPTY_TREE[64 if self.hash_name == "sha256" else 40]

    def tips(self) -> dict[str, str]:
        """The tip of every log: space to commit, in the order of the spaces' UTF-8 bytes.

        Raises:
            GitFailed: git cannot read the file of one of the refs: nobody may take its log for one that is not here.
        """
        files = self._ref_files()
        listed = self.refs(self.prefix)
        for ref in self._unread(files, listed):
            raise self._unreadable(ref)
        found = {}
        for name, oid in listed:
            try:
                found[decode_space(name.removeprefix(self.prefix))] = oid
            except ValueError:
                continue  # not a log; `doctor` and `verify` name such refs
        return dict(sorted(found.items(), key=lambda item: item[0].encode()))

    def refs(self, prefix: str) -> list[tuple[str, str]]:
        """The refs below ``prefix``: name and object, sorted by name."""
        return [(name, oid) for name, oid, _ in _listed(self._list(prefix, "%(objectname) - %(refname)"))]

    def ask_ahead(self, space: str) -> None:
        """Starts git on the first :meth:`tip` that will be asked, that of ``space``; it is what the tip is now."""
        name = self.prefix + encode_space(space)
        with self._lock:
            self._stop_ahead()
            self._ahead = name, self._list(name, _TIP)

    def _list(self, prefix: str, form: str) -> gitread.Child:
        return gitread.Child(["for-each-ref", f"--format={form}", prefix], self.env)

    def _take_ahead(self, name: str) -> gitread.Child | None:
        """The git that looks for the ref ``name`` already, if there is one, which there is but once."""
        with self._lock:
            if self._ahead is None or self._ahead[0] != name or self._pid != os.getpid():
                return None
            child = self._ahead[1]
            self._ahead = None
            return child

    def _is_asked(self, name: str) -> bool:
        return self._ahead is not None and self._ahead[0] == name

    def _stop_ahead(self) -> None:
        if self._ahead is not None:
            (self._ahead[1].stop if self._pid == os.getpid() else self._ahead[1].abandon)()
            self._ahead = None

    def unlisted(self) -> list[str]:
        """The refs of logs whose files git cannot read: a power cut may leave one empty, and git then lists all others
        as if there were no such log."""
        files = self._ref_files()
        return self._unread(files, self.refs(self.prefix))

    def _ref_files(self) -> list[str]:
        """The refs that have files of their own. Ask before git is: a ref may move from its own to another."""
        try:
            names = os.listdir(os.path.join(self.git_dir, self.prefix))
        except FileNotFoundError:
            return []
        return [self.prefix + name for name in names if not name.endswith(".lock")]

    def _unread(self, files: list[str], listed: list[tuple[str, str]]) -> list[str]:
        names = {name for name, _ in listed}
        return sorted(ref for ref in files if ref not in names and self._is_rubbish(ref))

    def _is_rubbish(self, ref: str) -> bool:
        """Whether the file of a ref is there and holds none: it may be a folder, and be removed or made just now."""
        path = f"{self.git_dir}/{ref}"
        return os.path.isfile(path) and loose.read(path) is None

    def _unreadable(self, ref: str) -> GitFailed:
        """The error to raise for a ref whose file git cannot read, with what helps."""
        what = f"git cannot read the file of {ref}, empty or rubbish as it is, so that its log seems not to be here"
        if self.prefix == SPACES:
            return GitFailed(f'{what}; docs/operations.md, "A damaged repository", tells how to get it back')
        from shlex import quote

        remove = f"rm {quote(f'{self.git_dir}/{ref}')}"
        tip = self._last_logged(ref)
        if tip is None:
            return GitFailed(f"{what}. `{remove}`, then `coordjournal sync` fetches it from the remote")
        again = f"git -C {quote(self.git_dir)} update-ref --create-reflog {quote(ref)} {tip}"
        return GitFailed(f"{what}. Its reflog has the last commit: `{remove} && {again}` brings it back")

    def _last_logged(self, ref: str) -> str | None:
        """The last commit in the reflog of a ref that is here."""
        try:
            with open(f"{self.git_dir}/logs/{ref}", "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _SMALL))
                lines = file.read().split(b"\n")
        except OSError:
            return None
        for words in (line.split(b" ", 2) for line in reversed(lines)):
            oid = words[1].decode("latin-1") if len(words) == 3 else ""
            if len(oid) == len(self.empty_tree) and self.resolve(oid) == oid:
                return oid
        return None

    def tip(self, space: str) -> str | None:
        """The commit at the tip of the log of ``space``, None if there is no log.

        Raises:
            GitFailed: the ref names what is missing or no commit, or git cannot read its file.
        """
        name = self.prefix + encode_space(space)
        here = loose.read(f"{self.git_dir}/{name}")
        if here is not None and here == self._at.get(name):
            return here  # where nothing has moved: a tenth of the time that git takes to answer
        if (here is not None or name in self._seen) and not self._is_asked(name):
            tip = self.resolve(here) if here else self.resolve_ref(name)
            if tip is not None:
                self._at[name] = tip
                return tip
        # Where there is no such ref, git takes the name for a branch refs/heads/<name>, or for a description that
        # ends in -g<commit>. Nobody but a rescue deletes a log, so that to have seen the ref once is enough.
        try:
            found = _listed(self._take_ahead(name) or self._list(name, _TIP))
            exact, kind = next(((oid, kind) for ref, oid, kind in found if ref == name), (None, ""))
        except GitFailed:  # an object is missing there: that of this ref, or of one below it
            exact = dict(self.refs(name)).get(name)
            kind = "commit" if exact is not None and self.resolve(exact) else "missing"
        if exact is None:
            if self._is_rubbish(name):  # git only warns of it
                raise self._unreadable(name)
            return None
        if kind != "commit":
            raise GitFailed(f"{name} names {exact}, which is missing or no commit; `git fsck` may tell what is damaged")
        self._seen.add(name)
        return exact

    def resolve(self, name: str, kind: str = "commit") -> str | None:
        """The object that ``name`` means, if it is of that kind."""
        answer = self.object(name, kind)
        return None if answer is None else answer[0]

    def resolve_ref(self, name: str) -> str | None:
        """The commit that a ref of this name, or of one that git takes it for, is at now.

        A git that goes on for long keeps ``packed-refs`` as it was where a later one has the inode, the size and the
        second of the one that it has read (2.39), as happens where refs are packed often. So a new one is asked.
        """
        as_of = version(f"{self.git_dir}/packed-refs")
        with self._lock:
            if as_of != self._packed_as_of:
                self._reader().close()
                self._packed_as_of = as_of
            return self.resolve(name)

    def object(self, name: str, kind: str, most: int | None = None) -> tuple[str, bytes] | None:
        """Name and content of the object that ``name`` means; None if it is missing, of another kind, or larger than
        ``most`` bytes, which are not read then.

        Raises:
            GitFailed: git cannot read it.
        """
        with self._lock:
            objects = self._reader()
            try:
                return objects.read(name, kind, most)
            except GitFailed:
                objects.close()  # somebody may have killed the process: ask another once
                return objects.read(name, kind, most)
            except BaseException:
                objects.close()  # interrupted: what is left of this answer must not be taken for the next one
                raise

    def size(self, oid: str, kind: str) -> int | None:
        """The size of an object in bytes; None if it is missing, damaged or of another kind."""
        with self._lock:
            objects = self._reader()
            try:
                answers = dict(objects.checked([oid]))
            except BaseException:
                objects.close()
                raise
        answer = answers[oid]
        return answer[2] if answer is not None and answer[1] == kind else None

    def commits(
        self, tip: str, base: str | None = None, *, oldest_first: bool = False, count: int | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Name and content of the commits from ``tip`` down to (without) ``base``, newest first unless told."""
        for oid, _, raw in gitread.commits(tip, base, self.env, oldest_first=oldest_first, count=count):
            yield oid, raw

    def shown(self, tip: str) -> Iterator[bytes]:
        """The commits from ``tip`` down to the root as ``git rev-list --header`` prints them."""
        return gitread.shown(tip, self.env)

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
        from .admission import Settings

        return Settings.from_config(gitread.config(gitread.ask_config(self.env)))

    def name(self, kind: str, content: bytes) -> str:
        """The object name that git gives ``content``."""
        return object_name(self.hash_name, kind, content)

    def add(self, objects: packing.Objects, kept: Kept | None = None) -> None:
        """Writes objects, each a kind and its content, durably: loose if few, as one pack if many.

        ``objects`` is gone through once, after ``len()``, and may be made meanwhile; what that raises stops it, and
        then nothing is left of a pack. ``kept`` has the pack until a ref names what is in it.

        Raises:
            NotAJournal: the repository is of a kind that only git can write to.
            GitFailed: the disk is full, there is a lack of permission.
        """
        files = self._files()
        if not self._has_empty_tree:
            # git knows the empty tree without having it, but `git fsck --strict` misses it in a log that names it.
            self._write_loose([("tree", b"")], files)
            self._has_empty_tree = True
        if len(objects) > _LOOSE_AT_MOST:
            packing.write(objects, {**self.env, **_DURABLY}, len(self.empty_tree), kept=kept)
            for folder in ("objects/pack", "objects"):
                self._patiently(partial(loose.sync, f"{files.top}/{folder}"))
        else:
            self._write_loose(objects, files)

    def _write_loose(self, objects: Iterable[tuple[str, bytes]], files: _Files) -> None:
        named = [(self.name(kind, content), kind, content) for kind, content in objects]
        self._patiently(lambda: loose.write(f"{files.top}/objects", named, files.sharing, self._synced))

    def move(self, space: str, old: str | None, new: str, why: str = "append") -> bool:
        """Moves the tip of the log from ``old`` (None: there is none yet) to ``new``, durably; False if it was not
        at ``old`` any more.

        Raises:
            GitFailed: the ref stays locked by somebody else, the disk is full.
        """
        return self.move_ref(self.prefix + encode_space(space), old, new, why)

    def append(self, space: str, old: str | None, new: str, objects: packing.Objects) -> bool:
        """:meth:`add` and :meth:`move` in one. Few objects are written while the ref is locked already: none where it
        was not at ``old`` any more, and the disk is waited for less."""
        name = self.prefix + encode_space(space)
        if len(objects) > _LOOSE_AT_MOST or sum(len(content) for _, content in objects) > _SMALL:
            with Kept() as kept:
                self.add(objects, kept)
                return self.move_ref(name, old, new, "append")
        return self.move_ref(name, old, new, "append", objects)

    def move_ref(
        self, name: str, old: str | None, new: str, why: str, objects: packing.Objects = ()
    ) -> bool:
        """As :meth:`move`, for any ref. ``objects`` are written before it moves."""
        note = f"coordjournal <coordjournal> {int(time.time())} +0000\tcoordjournal: {why}"
        with self._lock:
            files = self._files()
            path, log = f"{files.top}/{name}", f"{files.top}/logs/{name}"
            first = (lambda: self.add(objects)) if objects else None
            with _signals_held():
                moved = self._patiently(
                    lambda: loose.move(path, old, new, (log, note), files.logged, files.sharing, first)
                )
            if moved is None:
                if objects:
                    self.add(objects)
                moved = self._patiently(lambda: self._moved_by_git(name, old, new, why, files))
            if moved:
                self._at[name] = new
                self._patiently(lambda: self._sync_names(os.path.dirname(path), files.top))
            return moved

    def _sync_names(self, folder: str, top: str) -> None:
        """Brings the names of the folders around a ref to the disk: git makes them, and leaves that to the system."""
        with suppress(FileNotFoundError):  # the ref was packed meanwhile, and git removes what is empty then
            while folder not in self._synced and folder != top:
                loose.sync(os.path.dirname(folder))
                self._synced.add(folder)
                folder = os.path.dirname(folder)

    def _moved_by_git(self, name: str, old: str | None, new: str, why: str, files: _Files) -> bool:
        """What :func:`loose.move` leaves to git: a ref that is new, packed or symbolic, the first line of a reflog."""
        done = self._update_ref(["-m", f"coordjournal: {why}", name, new, old or "0" * len(new)], _DURABLY)
        if done.returncode == 0:
            from pathlib import Path

            path = f"{files.top}/{name}"
            self._synced.difference_update(map(str, Path(path).parents))  # git may have made them
            with suppress(FileNotFoundError):
                loose.sync(path)  # which an older git does not
                loose.sync(os.path.dirname(path))
            return True
        if dict(self.refs(name)).get(name) != old:
            return False
        lock, locked, _ = done.stderr.partition("Unable to create '")[2].partition("': File exists")
        if locked:
            raise loose.Locked(lock)
        raise self._cannot_move(done.stderr)

    def update_refs(self, lines: Sequence[str], why: str) -> None:
        """One transaction of ``git update-ref --stdin``: all of it or nothing. Raises GitFailed."""
        if not lines:
            return
        # Without "start" git would commit what it has when its input ends, also because we were killed.
        stale.remove([f"{self.git_dir}/{name}.lock" for name in ("packed-refs", *(line.split()[1] for line in lines))])
        script = "".join(f"{line}\n" for line in ("start", *lines, "prepare", "commit"))
        # That git does not lock one file, as the others do: it waits by itself for all of them.
        waits = f"={_LOCK_SECONDS * 1000:.0f}"
        patience = ["-c", "core.filesRefLockTimeout" + waits, "-c", "core.packedRefsTimeout" + waits]
        done = self._update_ref(["-m", f"coordjournal: {why}", "--create-reflog", "--stdin"], {}, script, patience)
        if done.returncode:
            raise self._cannot_move(done.stderr)
        self._seen.difference_update(line.split()[1] for line in lines if line.startswith("delete "))

    def _update_ref(
        self, arguments: Sequence[str], settings: Mapping[str, str], script: str = "", options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        import subprocess

        who = {"GIT_COMMITTER_NAME": "coordjournal", "GIT_COMMITTER_EMAIL": "coordjournal"}
        return subprocess.run(
            ["git", *options, "update-ref", *arguments],
            input=script,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            # There, because git takes a relative core.hooksPath from where it is started, and runs what it finds.
            cwd=self.git_dir,
            env={**self.env, **settings, **who, "GIT_DIR": os.path.abspath(self.git_dir)},
            check=False,
        )

    def _cannot_move(self, said: str) -> GitFailed:
        return GitFailed(f"cannot move the refs of {self.git_dir}: {' '.join(printable(said).split())}")

    def _patiently(self, write: Callable[[], T]) -> T:
        """Does what needs a lock file; while another process holds that, waits a little and tries again."""
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                return write()
            except loose.Locked as locked:
                if stale.remove([locked.path]):
                    continue
                if time.monotonic() > until:
                    raise GitFailed(
                        f"another process has been writing to {self.git_dir} for {_LOCK_SECONDS:g} s; if none runs "
                        f"there, remove {locked.path}"
                    ) from None
                time.sleep(0.005)
            except OSError as error:
                raise GitFailed(f"cannot write to {self.git_dir}: {error.strerror or error}") from error

    def _files(self) -> _Files:
        """How files are written, by the configuration as it is now.

        Raises:
            NotAJournal: the repository is of a kind that only git can write to.
        """
        as_of = version(f"{self.git_dir}/config")  # None in a linked work tree
        if self._known_files is None or self._known_files[0] != as_of:
            self._known_files = as_of, self._read_files()
        return self._known_files[1]

    def _read_files(self) -> _Files:
        from . import sharing

        where = gitread.Child(["rev-parse", "--git-common-dir"], self.env)
        config = gitread.config(gitread.ask_config(self.env, _WRITING_KEYS))
        top = where.out.read().decode("utf-8", "surrogateescape").removesuffix("\n")
        if where.wait() != 0:
            raise where.failed()
        for key, value in config.items():
            extension = key.removeprefix("extensions.")
            if extension != key and extension not in _EXTENSIONS and (extension, value) != ("refstorage", "files"):
                raise NotAJournal(
                    f"{self.git_dir} can be read but not written to: its configuration names the extension {extension} "
                    f"({printable(value)}), which is for git alone to know; a git push from a clone can"
                )
        try:
            shared = sharing.parse(config.get("core.sharedrepository"))
        except ValueError as error:
            raise NotAJournal(f"{self.git_dir}: {error}") from None
        return _Files(os.path.abspath(top), shared, config.get("core.logallrefupdates", "").lower() == "always")

    def _start_over(self) -> None:
        """In a fork, when a thread of the parent was reading or writing: leaves all that to the parent."""
        self._reader()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._objects = gitread.Objects(self.env)
        weakref.finalize(self, _end, self._objects, self._pid)  # for whoever forgets close()

    def _reader(self) -> gitread.Objects:
        """The process to ask; in a fork a new one, for the other is the parent's."""
        if self._pid != os.getpid():
            self._stop_ahead()
            self._objects.abandon()
            self._start()
        return self._objects

    def _object_format(self) -> str:
        child = gitread.Child(["rev-parse", "--show-object-format"], self.env)
        answer = child.out.read().decode().strip()
        if child.wait() != 0 or answer not in ("sha1", "sha256"):
            raise NotAJournal(f"git does not accept {self.git_dir} as a repository")
        return answer


def version(path: str) -> tuple[int, ...] | None:
    """What changes with every change of a file, and with every other file in its place; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def object_name(hash_name: str, kind: str, content: bytes) -> str:
    """The name that git gives an object: the hash of its kind, length and content."""
    import hashlib

    hasher = hashlib.sha1 if hash_name == "sha1" else hashlib.sha256  # hashlib.new() takes twice the time
    return hasher(f"{kind} {len(content)}\0".encode() + content).hexdigest()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Lets a signal that ends the process wait until a ref is moved: Python would leave git's lock file behind."""
    import signal

    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _listed(child: gitread.Child) -> list[tuple[str, str, str]]:
    """What for-each-ref found, in lines of :data:`_TIP`: name, object, kind. Raises GitFailed."""
    lines = child.out.read().decode("utf-8", "surrogateescape").split("\n")  # other refs' names may hold U+2028
    if child.wait() != 0:
        raise child.failed()
    return [(name, oid, kind) for oid, kind, name in (line.split(" ", 2) for line in lines[:-1])]


def _end(objects: gitread.Objects, pid: int) -> None:
    if pid == os.getpid():
        objects.close()
    else:
        objects.abandon()
