"""A journal: the logs of a repository, on this machine, behind a remote, or in memory alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import CoordjournalError, GitFailed, JournalRewound, NotAJournal
from .locking import Lock
from .opening import Asked, environment
from .refs import META, encode_space
from .store import GitStore, version
from .text import is_space

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from .admission import Settings
    from .appending import Sent
    from .extensions import ExtensionFold
    from .feed import Change, Checkpoint
    from .memory import MemoryStore
    from .outbox import Outbox
    from .remote import Remote
    from .rescue import Rescue
    from .schema import Extensions
    from .space import Space
    from .sync import Moved

    Store = GitStore | MemoryStore


class Journal:
    """The logs of a repository. Use :meth:`open`, :meth:`clone` or :meth:`memory`; safe for any number of threads.

    Attributes:
        store: where objects and refs are.
        mirror_of: the URL from which the next fetch overwrites the logs here, so that nothing is appended here; empty
            where there is none.
    """

    def __init__(
        self,
        store: Store,
        remote: Remote | str | None = None,
        *,
        spaces: Collection[str] | None = None,
        appender: str | None = None,
        extensions: Mapping[str, ExtensionFold] | None = None,
        mirror_of: str = "",
    ) -> None:
        """``remote`` is where appends go to, or the name that it has in the configuration of ``store``."""
        self.store = store
        self.mirror_of = mirror_of
        self._remote = remote
        self._outbox: Outbox | None = None
        self._extensions = extensions
        self._wanted = None if spaces is None else frozenset(spaces)
        self._appender = appender
        self._spaces: dict[str, Space] = {}
        self._lock = Lock()
        self._settings: Settings | None = None
        self._settings_as_of: object = None
        self._judge: Extensions | None = None
        self._sequencing_denied: str | None = None  # the descriptor of a server that does not do what it says
        self._projections = "fold"
        self._keeps_outbox = True

    # What follows is made when it is first asked for: a program that only reads needs neither, and importing them, and
    # looking for plug-ins, would be half of what it takes to start.

    @property
    def remote(self) -> Remote | None:
        """Where appends go to; None where the logs themselves are here."""
        if isinstance(self._remote, str):
            from .remote import Remote

            assert isinstance(self.store, GitStore)
            self._remote = Remote(self.store.git_dir, self._remote)
        return self._remote

    @property
    def outbox(self) -> Outbox | None:
        """Where appends of a clone are stored until they have landed; None where the logs themselves are here."""
        if self._outbox is None and self._keeps_outbox and self._remote and isinstance(self.store, GitStore):
            from .outbox import Outbox

            self._outbox = Outbox(os.path.join(self.store.git_dir, "coordjournal", "outbox"))
        return self._outbox

    @property
    def extensions(self) -> Mapping[str, ExtensionFold]:
        """Plug-ins by extension type."""
        if self._extensions is None:
            from .extensions import load_extensions

            with self._lock:
                self._extensions = load_extensions() if self._extensions is None else self._extensions
        return self._extensions

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
        are pushed there, and :meth:`sync` fetches. A mirror (``git clone --mirror``) is only read.

        Args:
            appender: who commits (an ident): by default ``coordjournal.appender`` of the git configuration, else
                git's ``user.name``, else ``coordjournal``.
            extensions: plug-ins by type; by default those installed under the entry point ``coordjournal.decisions``.

        Raises:
            NotAJournal: no repository that git accepts, or one without logs and without a remote.
        """
        return cls._open(path, appender, extensions)

    @classmethod
    def _open(
        cls,
        asked: str | os.PathLike[str] | Asked,
        appender: str | None,
        extensions: Mapping[str, ExtensionFold] | None,
        first: str | None = None,
    ) -> Journal:
        """As :meth:`open`, of what git may have been asked about already.

        ``first`` is the space whose state will be asked for at once.
        """
        # What every journal needs is imported while git is at work, on the first question or on the second.
        if not isinstance(asked, Asked):
            asked = Asked(asked)
            from . import space
        found = asked.answer()
        store = GitStore(found.git_dir, found.prefix, found.hash_name)
        if first is not None:
            store.ask_ahead(first)
        from . import space  # noqa: F401
        return cls(
            store,
            found.remote or None,
            spaces=found.spaces if found.remote else None,
            appender=appender or found.appender,
            extensions=extensions,
            mirror_of=found.mirror_of,
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
        from pathlib import Path
        from unicodedata import normalize

        from .remote import Remote

        folder = Path(path)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise NotAJournal(f"{path} exists and is not empty")
        if spaces is not None and not spaces:
            raise ValueError("no space to clone; leave `spaces` out for all of them")
        only = [normalize("NFC", space) for space in spaces or ()]
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
        from .memory import MemoryStore

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
        from .space import Space

        with self._lock:
            if space in self._spaces:
                return self._spaces[space]
            if not space.isascii() and not (is_space(space) and self.store.tip(space)):
                from unicodedata import normalize

                space = normalize("NFC", space)
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
        news = [change for move in self._sync(self._wanted) for change in self._between(move.space, move.old, move.new)]
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
                yield from self._between(space, seen.get(space), tip)

    def rescue(
        self,
        spaces: Collection[str] | None = None,
        *,
        accept: bool = False,
        skip_refused: bool = False,
        late: bool = False,
        dry_run: bool = False,
        timeout: float = 30.0,
        progress: Callable[[str, int], None] | None = None,
        tell: Callable[[Rescue], None] | None = None,
    ) -> list[Rescue]:
        """The way forward from :class:`JournalRewound`: gives a remote that was lost, or restored from an old backup,
        what this clone has and it has not, space by space.

        Where the remote is merely behind, it gets the very commits. Where its log has gone on differently since, each
        decision that only this clone has is appended to it again, with its own actor, time, id and content, at a new
        place; then the log here becomes the remote's, and the old one is kept under a ref. They keep their order: as
        long as one cannot be appended, nothing behind it is, and the log here stays as it is; rescuing again goes on
        from there, and nothing lands twice.

        Args:
            spaces: only these; by default all that have a log here.
            accept: append nothing; take the log of the remote for the one here, whatever it has lost.
            skip_refused: give up each decision that is refused, and append what is behind it.
            late: append also what is not at the remote while a later one of this log is, behind that one; otherwise it
                is refused.
            dry_run: only say what would be done, as far as the log and the descriptor of the remote tell.
            timeout: how long to go on after lost races, in seconds.
            progress: called now and then with what is being done and how far it is.
            tell: called with what became of each space as soon as that is known.

        Raises:
            CoordjournalError: the logs themselves are here; or the server has no hooks yet.
            ValueError: ``accept`` together with ``skip_refused`` or ``late``.
            Refused: ``read-only``: the server takes no decisions.
            UnknownSpace: one of ``spaces`` has no log here.
            RemoteUnreachable, Contention, GitFailed: as an append. What was done so far stays. GitFailed also if this
                is a shallow clone, with the command that completes it.
        """
        from .rescue import rescue

        return rescue(
            self,
            self.spaces() if spaces is None else spaces,
            accept=accept,
            skip_refused=skip_refused,
            late=late,
            dry_run=dry_run,
            timeout=timeout,
            progress=progress,
            tell=tell,
        )

    def checkpoint(self) -> Checkpoint:
        """The checkpoint of a reader that has seen all that is here."""
        from .feed import Checkpoint

        return Checkpoint(self.store.tips())

    def mended(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint for a reader whose log went backwards: where the commit that it has seen is no longer in the
        log here, the last commit that both have, or nothing.

        The feed then goes on behind that commit. What a rescue appended again comes again, under the id that the reader
        knows and at another place; what was given up does not come, and is below ``refs/coordjournal-rescued/``.
        """
        from .feed import Checkpoint

        tips = self.store.tips()
        shared = {
            space: self._shared(commit, tips[space]) for space, commit in checkpoint.seen.items() if space in tips
        }
        return Checkpoint({space: commit for space, commit in shared.items() if commit is not None})

    def _shared(self, commit: str, tip: str) -> str | None:
        """The last commit that is in the history of both; None also where ``commit`` is none that is here."""
        found = self.store.object(commit, "commit")
        return None if found is None or found[0] != commit else self.store.merge_base(commit, tip)

    def _between(self, space: str, old: str | None, new: str) -> Iterator[Change]:
        from . import log
        from .feed import Change

        try:
            records = log.continuing(self._commits(space, old, new), old, space, new)
        except JournalRewound:
            here = old is not None and self._shared(old, new) is not None
            both = log.seq_both_have(self.store, old or "", new) if here else None
            raise JournalRewound(space, old or "nothing", new, both) from None
        raw = self.store.object(new, "commit")
        assert raw is not None  # it was just read
        first = log.seq_of(raw[1]) - len(records) + 1
        for seq, record in enumerate(records, first):
            yield Change(space, log.landed(seq, record))

    def _commits(self, space: str, old: str | None, new: str) -> Iterator[tuple[str, bytes]]:
        try:
            yield from self.store.commits(new, old)
        except GitFailed:
            if old is not None and self.store.object(old, "commit") is None:
                raise JournalRewound(space, old, new) from None
            raise

    # -- for the spaces ------------------------------------------------------------------------------------------

    @property
    def appender(self) -> str:
        """Who commits what this journal appends."""
        return self._appender or "coordjournal"

    def refresh(self, space: str) -> None:
        """Fetches what is new of one space, where there is a remote; errors are those of :meth:`sync`."""
        self._sync({space})

    def read_back(self, space: str, landed: str) -> None:
        """As :meth:`refresh`, and cheaper, where the remote has just said that it moved that log to ``landed``."""
        from .sync import read_back

        assert self.remote is not None and isinstance(self.store, GitStore)
        with self._lock:
            if not read_back(self.store, self.remote, space, landed):
                self._sync({space})

    def aside(self, space: str) -> Journal:
        """A journal of the same remote and of one space, which keeps what it fetches under refs of its own: a rescue
        appends through it while the log here stays what it was. It has no outbox."""
        from .rescue import prefix_aside

        assert self.remote is not None and isinstance(self.store, GitStore)
        store = GitStore(self.store.git_dir, prefix_aside(self.remote.name))
        beside = Journal(store, self.remote, spaces=[space], appender=self._appender, extensions={})
        beside._projections = "rescue"
        beside._keeps_outbox = False
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
        return self._remote is not None and self.settings().sequencing and not self._is_denied()

    def forget_sequencing(self) -> None:
        """Notes that the server does not sequence, whatever its descriptor says: it may be a copy of another's."""
        assert self.remote is not None and isinstance(self.store, GitStore)
        self._sequencing_denied = self._descriptor()

    def _is_denied(self) -> bool:
        return self._sequencing_denied is not None and self._sequencing_denied == self._descriptor()

    def _descriptor(self) -> str | None:
        from .sync import meta_ref

        assert self.remote is not None and isinstance(self.store, GitStore)
        return self.store.resolve_ref(meta_ref(self.store.prefix))

    def judge_extension(self, kind: str, payload: Any) -> None:
        """Judges the payload of an extension by its declared schema.

        Raises:
            Refused: ``undeclared-type`` or ``extension-schema``. In memory, and in a clone of a server that describes
                nothing, every payload passes: there is nobody here who could declare it.
        """
        if not isinstance(self.store, GitStore):
            return
        from . import descriptor
        from .schema import Extensions  # jsonschema takes 120 ms to import, and only extensions need it here
        from .sync import meta_ref

        ref = META if self.remote is None else meta_ref(self.store.prefix)
        with self._lock:
            if self._judge is None or kind not in self._judge.declared:  # it may have been declared since
                if self.remote is not None and descriptor.read(self.store, ref) is None:
                    return
                self._judge = Extensions(descriptor.declared(self.store, ref))
            self._judge.judge(kind, payload)

    def projection_path(self, space: str) -> str | None:
        """Where the projection of a space's log is kept; None in memory."""
        if not isinstance(self.store, GitStore):
            return None
        return f"{self.store.git_dir}/coordjournal/{self._projections}/{encode_space(space)}.sqlite"

    def _sync(self, wanted: Collection[str] | None) -> Sequence[Moved]:
        if self.remote is None:
            return []
        from .sync import sync

        assert isinstance(self.store, GitStore)
        with self._lock:
            moved = sync(self.store, self.remote, wanted)
            self._settings = None
            self._judge = None
            return moved

    def _configuration(self) -> object:
        """What differs once somebody has changed the configuration of the repository that holds the logs here (a file
        that it includes is not looked at again)."""
        if self._remote is not None or not isinstance(self.store, GitStore):
            return None
        return version(f"{self.store.git_dir}/config")

    def _read_settings(self) -> Settings:
        if self.remote is None or not isinstance(self.store, GitStore):
            try:
                settings = self.store.settings()
            except ValueError as error:
                raise CoordjournalError(f"the repository's configuration: {error}") from None
            if self.mirror_of:
                settings.read_only = True
                settings.primary = (
                    f"{self.mirror_of}, for a fetch from there overwrites the logs of this mirror: "
                    f"`coordjournal clone {self.mirror_of} DIR` makes a clone to append in"
                )
            return settings
        from . import descriptor
        from .admission import Settings
        from .sync import meta_ref

        described = descriptor.read(self.store, meta_ref(self.store.prefix))
        return Settings() if described is None else descriptor.settings_of(described)


def _git(*arguments: str) -> None:
    import subprocess

    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env=environment(),
            check=False,
        )
    except FileNotFoundError:
        raise GitFailed("git is not installed, or not in PATH") from None
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
