"""A journal: the logs of a repository, on this machine, behind a remote, or in memory alone."""

from __future__ import annotations

import json
import os
import subprocess
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import descriptor, log
from .admission import Settings
from .appending import Sent
from .decision import Landed
from .errors import CoordjournalError, GitFailed, JournalRewound, NotAJournal
from .extensions import ExtensionFold, load_extensions
from .locking import Lock
from .memory import MemoryStore
from .outbox import Outbox
from .refs import META, encode_space
from .remote import Remote, environment
from .rescue import Rescue, prefix_aside, rescue
from .space import Space
from .store import GitStore
from .sync import Moved, meta_ref, sync
from .text import is_ident, is_space

if TYPE_CHECKING:
    from .schema import Extensions

Store = GitStore | MemoryStore


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that is new in a space."""

    space: str
    landed: Landed


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a reader of the feed has come: space to the commit of the last decision it has seen."""

    seen: Mapping[str, str] = field(default_factory=dict)

    def after(self, change: Change) -> Checkpoint:
        """The checkpoint once ``change`` is dealt with."""
        return Checkpoint({**self.seen, change.space: change.landed.commit})

    def dumps(self) -> str:
        """The checkpoint as text, to be kept wherever its reader keeps things."""
        return json.dumps(dict(self.seen), ensure_ascii=False, sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> Checkpoint:
        """The checkpoint of :meth:`dumps`. Raises ValueError for anything else."""
        seen = json.loads(text)
        if not isinstance(seen, dict) or not all(isinstance(commit, str) and commit for commit in seen.values()):
            raise ValueError("not a checkpoint")
        return cls(seen)


class Journal:
    """The logs of a repository. Use :meth:`open`, :meth:`clone` or :meth:`memory`; safe for any number of threads.

    Attributes:
        store: where objects and refs are.
        remote: where appends go to; None where the logs themselves are here.
        extensions: plug-ins by extension type.
        outbox: where appends of a clone are stored until they have landed; None where the logs themselves are here.
    """

    def __init__(
        self,
        store: Store,
        remote: Remote | None = None,
        *,
        spaces: Collection[str] | None = None,
        appender: str | None = None,
        extensions: Mapping[str, ExtensionFold] | None = None,
    ) -> None:
        self.store = store
        self.remote = remote
        self.extensions = load_extensions() if extensions is None else extensions
        self._wanted = None if spaces is None else frozenset(spaces)
        self._appender = appender
        self._spaces: dict[str, Space] = {}
        self._lock = Lock()
        self._settings: Settings | None = None
        self._settings_as_of: object = None
        self._judge: Extensions | None = None
        self._sequencing_denied: str | None = None  # the descriptor of a server that does not do what it says
        self._projections = "fold"
        self.outbox: Outbox | None = None
        if remote is not None and isinstance(store, GitStore):
            self.outbox = Outbox(Path(store.git_dir) / "coordjournal" / "outbox")

    # -- where a journal comes from ------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        appender: str | None = None,
        extensions: Mapping[str, ExtensionFold] | None = None,
    ) -> Journal:
        """The journal of a repository on this machine.

        A bare repository holds the logs themselves: appends go straight into it, under the same law as a push. In any
        other repository the logs are those of its remote (``coordjournal.remote``, ``origin`` by default): appends
        are pushed there, and :meth:`sync` fetches.

        Args:
            appender: who commits (an ident): by default ``coordjournal.appender`` of the git configuration, else
                git's ``user.name``, else ``coordjournal``.
            extensions: plug-ins by type; by default those installed under the entry point ``coordjournal.decisions``.

        Raises:
            NotAJournal: no repository that git accepts, or one without logs and without a remote.
        """
        git_dir, bare = _find(Path(path))
        config = _config(git_dir)
        name = config.get("coordjournal.remote", [""])[-1] or ("" if bare else "origin")
        chosen = appender or _default_appender(config)
        if not name:
            return cls(GitStore(git_dir), appender=chosen, extensions=extensions)
        if f"remote.{name}.url" not in config:
            raise NotAJournal(
                f"{path} has no remote {name!r} to append to: `coordjournal clone URL DIR` makes a clone, "
                "`coordjournal init DIR` a repository of its own"
            )
        return cls(
            GitStore(git_dir, f"refs/coordjournal/{name}/"),
            Remote(str(git_dir), name),
            spaces=config.get("coordjournal.space"),
            appender=chosen,
            extensions=extensions,
        )

    @classmethod
    def clone(
        cls,
        url: str,
        path: str | os.PathLike[str],
        *,
        spaces: Collection[str] | None = None,
        appender: str | None = None,
        extensions: Mapping[str, ExtensionFold] | None = None,
    ) -> Journal:
        """Clones the logs at ``url`` (anything git accepts) into a new repository ``path``; only those of ``spaces``
        if given, now and at every sync.

        Raises:
            ValueError: one of ``spaces`` is not a space id, or there is none in it.
            NotAJournal: ``path`` exists and is not empty.
            RemoteUnreachable, UnlawfulLog, UnsupportedVersion, GitFailed: and then nothing is left behind.
        """
        folder = Path(path)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise NotAJournal(f"{path} exists and is not empty")
        if spaces is not None and not spaces:
            raise ValueError("no space to clone; leave `spaces` out for all of them")
        only = [unicodedata.normalize("NFC", space) for space in spaces or ()]
        for space in only:
            encode_space(space)  # raises ValueError
        if ":" not in url and Path(url).exists():
            url = str(Path(url).resolve())
        tips, described = Remote("", url).tips()  # before anything is made: is anybody there?
        length = max(map(len, (*tips.values(), described or "")))
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        journal = None
        try:
            _git("init", "--quiet", f"--object-format={'sha256' if length == 64 else 'sha1'}", "--", str(folder))
            git_dir = folder / ".git"
            _git(f"--git-dir={git_dir}", "remote", "add", "--", "origin", url)
            _git(f"--git-dir={git_dir}", "config", "coordjournal.remote", "origin")
            for space in only:
                _git(f"--git-dir={git_dir}", "config", "--add", "coordjournal.space", space)
            journal = cls.open(folder, appender=appender, extensions=extensions)
            journal._sync(journal._wanted)
        except BaseException:
            if journal is not None:
                journal.close()
            _remove(folder, made)
            raise
        return journal

    @classmethod
    def memory(
        cls, *, appender: str = "coordjournal", extensions: Mapping[str, ExtensionFold] | None = None
    ) -> Journal:
        """A journal without a disk, under the same law: for your own tests."""
        return cls(MemoryStore(), appender=appender, extensions=extensions or {})

    def close(self) -> None:
        """Ends the git processes and closes the files that this journal holds open."""
        for space in list(self._spaces.values()):
            space.close()
        self.store.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- spaces --------------------------------------------------------------------------------------------------

    def spaces(self) -> list[str]:
        """The spaces that have a log here, in the order of their UTF-8 bytes."""
        return [space for space in self.store.tips() if self._wanted is None or space in self._wanted]

    def space(self, space: str) -> Space:
        """A space by its id, which need not have a log yet. An id without a log here is brought to Unicode's NFC.

        Raises:
            ValueError: not a space id.
        """
        with self._lock:
            if space in self._spaces:
                return self._spaces[space]
            if not space.isascii() and not (is_space(space) and self.store.tip(space)):
                space = unicodedata.normalize("NFC", space)
            if space not in self._spaces:
                self._spaces[space] = Space(self, space)
            return self._spaces[space]

    # -- news ----------------------------------------------------------------------------------------------------

    def sync(self) -> list[Change]:
        """Fetches what is new from the remote, checks it, and says what it is, space by space, each in its order. Then
        what waits in the outbox is sent (:meth:`send`, which tells what became of it).

        A journal without a remote has nothing to fetch. What this clone appended itself, and what another process
        fetched into it, is not news to a sync: :meth:`changes` with a checkpoint is the feed that leaves nothing out.

        Raises:
            RemoteUnreachable: git cannot read the remote.
            JournalRewound: the remote has rewound or lost a log; nothing was changed here.
            UnlawfulLog, UnsupportedVersion: the remote holds what breaks the law, or is of a later format; nothing
                was changed here.
            GitFailed: the clone cannot be written.
        """
        news = [change for move in self._sync(self._wanted) for change in self._between(move)]
        self.send()
        return news

    def send(self, timeout: float = 30.0) -> list[Sent]:
        """Sends what waits in the outbox, in order, and looks after what is in the inbox of the server.

        What became of each entry: an entry that cannot land now waits on, with those behind it; one that never can
        stays in the outbox as rejected, to be read and dropped.
        """
        if self.outbox is None:
            return []
        spaces = dict.fromkeys(entry.space for entry in self.outbox.entries())
        return [sent for space in spaces for sent in self.space(space).send(timeout)]

    def changes(self, after: Checkpoint | None = None) -> Iterator[Change]:
        """The feed: what is here and new since a checkpoint (None: everything), space by space, each in its order.

        ``checkpoint.after(change)`` is the checkpoint to keep once a change is dealt with.

        Raises:
            JournalRewound: a commit of the checkpoint is not in its log any more; :meth:`mended` is a way forward.
        """
        seen = after.seen if after else {}
        tips = self.store.tips()
        for space, commit in seen.items():
            if space not in tips and (self._wanted is None or space in self._wanted):
                raise JournalRewound(space, commit, None)
        for space, tip in tips.items():
            if self._wanted is not None and space not in self._wanted:
                continue
            if seen.get(space) != tip:
                yield from self._between(Moved(space, seen.get(space), tip))

    def rescue(
        self,
        spaces: Collection[str] | None = None,
        *,
        accept: bool = False,
        dry_run: bool = False,
        timeout: float = 30.0,
        progress: Callable[[str, int], None] | None = None,
        tell: Callable[[Rescue], None] | None = None,
    ) -> list[Rescue]:
        """The way forward from :class:`JournalRewound`: gives a remote that was lost, or restored from an old backup,
        what this clone has and it has not, space by space.

        Where the remote is merely behind, it gets the very commits. Where its log has gone on differently since, each
        decision that only this clone has is appended to it again, with its own actor, time, id and content, at a new
        place; then the log here becomes the remote's, and the old one is kept under a ref. As long as a decision could
        not be appended, the log here stays as it is, and rescuing again goes on from there: nothing lands twice.

        Args:
            spaces: only these; by default all that have a log here.
            accept: append nothing; take the log of the remote for the one here, whatever it has lost.
            dry_run: only say what would be done.
            timeout: how long to go on after lost races, in seconds.
            progress: called now and then with what is being done and how far it is.
            tell: called with what became of each space as soon as that is known.

        Raises:
            CoordjournalError: the logs themselves are here; or the server has no hooks yet.
            Refused: ``read-only``: the server takes no decisions.
            UnknownSpace: one of ``spaces`` has no log here.
            RemoteUnreachable, Contention, GitFailed: as an append. What was done so far stays.
        """
        return rescue(
            self,
            self.spaces() if spaces is None else spaces,
            accept=accept,
            dry_run=dry_run,
            timeout=timeout,
            progress=progress,
            tell=tell,
        )

    def checkpoint(self) -> Checkpoint:
        """The checkpoint of a reader that has seen all that is here."""
        return Checkpoint(self.store.tips())

    def mended(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint for a reader whose log went backwards: where the commit that it has seen is no longer in the
        log here, the last commit that both have, or nothing.

        The feed then goes on behind that commit. What a rescue appended again comes again, under the id that the reader
        knows and at another place; what was given up does not come, and is below ``refs/coordjournal-rescued/``.
        """
        tips = self.store.tips()
        shared = {
            space: self._shared(commit, tips[space]) for space, commit in checkpoint.seen.items() if space in tips
        }
        return Checkpoint({space: commit for space, commit in shared.items() if commit is not None})

    def _shared(self, commit: str, tip: str) -> str | None:
        """The last commit that is in the history of both; None also where ``commit`` is none that is here."""
        found = self.store.object(commit, "commit")
        return None if found is None or found[0] != commit else self.store.merge_base(commit, tip)

    def _between(self, move: Moved) -> Iterator[Change]:
        try:
            records = log.continuing(self._commits(move), move.old, move.space, move.new)
        except JournalRewound:
            known = move.old or "nothing"
            here = move.old is not None and self._shared(move.old, move.new) is not None
            both = log.seq_both_have(self.store, known, move.new) if here else None
            raise JournalRewound(move.space, known, move.new, both) from None
        raw = self.store.object(move.new, "commit")
        assert raw is not None  # it was just read
        first = log.seq_of(raw[1]) - len(records) + 1
        for seq, record in enumerate(records, first):
            yield Change(move.space, log.landed(seq, record))

    def _commits(self, move: Moved) -> Iterator[tuple[str, bytes]]:
        try:
            yield from self.store.commits(move.new, move.old)
        except GitFailed:
            if move.old is not None and self.store.object(move.old, "commit") is None:
                raise JournalRewound(move.space, move.old, move.new) from None
            raise

    # -- for the spaces ------------------------------------------------------------------------------------------

    @property
    def appender(self) -> str:
        """Who commits what this journal appends."""
        return self._appender or "coordjournal"

    def refresh(self, space: str) -> None:
        """Fetches what is new of one space, where there is a remote; errors are those of :meth:`sync`."""
        self._sync({space})

    def aside(self, space: str) -> Journal:
        """A journal of the same remote and of one space, which keeps what it fetches under refs of its own: a rescue
        appends through it while the log here stays what it was. It has no outbox."""
        assert self.remote is not None and isinstance(self.store, GitStore)
        store = GitStore(self.store.git_dir, prefix_aside(self.remote.name))
        beside = Journal(store, self.remote, spaces=[space], appender=self._appender, extensions={})
        beside._projections = "rescue"
        beside.outbox = None
        return beside

    def settings(self) -> Settings:
        """The limits to judge an append by: the repository's own, or those that the remote's descriptor tells."""
        with self._lock:
            as_of = self._configuration()
            if self._settings is None or as_of != self._settings_as_of:
                self._settings = self._read_settings()
                self._settings_as_of = as_of
            return self._settings

    def sequencing(self) -> bool:
        """Whether the server takes intents and gives them their places itself (``refs/append/``)."""
        return self.remote is not None and self.settings().sequencing and not self._is_denied()

    def forget_sequencing(self) -> None:
        """Notes that the server does not sequence, whatever its descriptor says: it may be a copy of another's."""
        assert self.remote is not None and isinstance(self.store, GitStore)
        self._sequencing_denied = self._descriptor()

    def _is_denied(self) -> bool:
        return self._sequencing_denied is not None and self._sequencing_denied == self._descriptor()

    def _descriptor(self) -> str | None:
        assert self.remote is not None and isinstance(self.store, GitStore)
        return self.store.resolve(meta_ref(self.store.prefix))

    def judge_extension(self, kind: str, payload: Any) -> None:
        """Judges the payload of an extension by its declared schema.

        Raises:
            Refused: ``undeclared-type`` or ``extension-schema``. In memory, and in a clone of a server that describes
                nothing, every payload passes: there is nobody here who could declare it.
        """
        if isinstance(self.store, MemoryStore):
            return
        from .schema import Extensions  # jsonschema takes 120 ms to import, and only extensions need it here

        ref = META if self.remote is None else meta_ref(self.store.prefix)
        with self._lock:
            if self._judge is None or kind not in self._judge.declared:  # it may have been declared since
                if self.remote is not None and descriptor.read(self.store, ref) is None:
                    return
                self._judge = Extensions(descriptor.declared(self.store, ref))
            self._judge.judge(kind, payload)

    def projection_path(self, space: str) -> str | None:
        """Where the projection of a space's log is kept; None in memory."""
        if isinstance(self.store, MemoryStore):
            return None
        return f"{self.store.git_dir}/coordjournal/{self._projections}/{encode_space(space)}.sqlite"

    def _sync(self, wanted: Collection[str] | None) -> Sequence[Moved]:
        if self.remote is None:
            return []
        assert isinstance(self.store, GitStore)
        with self._lock:
            moved = sync(self.store, self.remote, wanted)
            self._settings = None
            self._judge = None
            return moved

    def _configuration(self) -> object:
        """What differs once somebody has changed the configuration of the repository that holds the logs here (a file
        that it includes is not looked at again)."""
        if self.remote is not None or isinstance(self.store, MemoryStore):
            return None
        try:
            found = os.stat(Path(self.store.git_dir) / "config")
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read_settings(self) -> Settings:
        if self.remote is None or isinstance(self.store, MemoryStore):
            try:
                return self.store.settings()
            except ValueError as error:
                raise CoordjournalError(f"the repository's configuration: {error}") from None
        described = descriptor.read(self.store, meta_ref(self.store.prefix))
        return Settings() if described is None else descriptor.settings_of(described)


def _find(path: Path) -> tuple[Path, bool]:
    """The git directory of a repository (of the main one, for a linked work tree), and whether it is bare."""
    if not path.exists():
        raise NotAJournal(f"there is no {path}")
    done = _ask(path, "rev-parse", "--git-common-dir", "--is-bare-repository")
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise NotAJournal(f"{path} is no git repository that can be opened: {said}")
    git_dir, _, bare = done.stdout.rpartition("\n")[0].rpartition("\n")
    return Path(path, git_dir).resolve(), bare == "true"


def _config(git_dir: Path) -> dict[str, list[str]]:
    done = _ask(git_dir, "config", "--null", "--list")
    found: dict[str, list[str]] = {}
    for item in done.stdout.split("\0"):
        key, _, value = item.partition("\n")
        found.setdefault(key, []).append(value)
    return found


def _default_appender(config: Mapping[str, Sequence[str]]) -> str | None:
    for key in ("coordjournal.appender", "user.name"):
        name = config.get(key, [""])[-1]
        if is_ident(name):
            return name
    return None


def _ask(folder: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env=environment(),
            check=False,
        )
    except (FileNotFoundError, NotADirectoryError):
        raise NotAJournal(f"{folder} is no folder, or git is not installed") from None


def _git(*arguments: str) -> None:
    done = _ask(None, *arguments)
    if done.returncode:
        raise GitFailed(f"git {' '.join(arguments[:3])}: {' '.join(done.stderr.split())}")


def _remove(folder: Path, made: Sequence[Path]) -> None:
    """Removes what a clone that failed has put into ``folder``, and the folders that it made for it."""
    import shutil

    shutil.rmtree(folder / ".git", ignore_errors=True)
    for place in made:
        try:
            place.rmdir()
        except OSError:
            return
