"""Which repository a journal is about, and what git's configuration says there.

Two git processes answer that beside each other. What is imported between :class:`Asked` and :meth:`Asked.answer` is
imported while they run: the command line asks before it imports click, :meth:`coordjournal.Journal.open` before it
imports the fold, and neither waits for git then.
"""

from __future__ import annotations

import os

from .errors import GitFailed, NotAJournal
from .gitread import Child
from .refs import SPACES
from .text import is_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What steers git to a repository: its own list (local_repo_env in environment.c) but for the configuration on it.
_LOCAL = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_QUARANTINE_PATH",
        "GIT_NAMESPACE",
        "GIT_COMMON_DIR",
        "GIT_PREFIX",
        "GIT_SHALLOW_FILE",
        "GIT_GRAFT_FILE",
        "GIT_REPLACE_REF_BASE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INTERNAL_SUPER_PREFIX",
    }
)
_WHERE = ("rev-parse", "--git-common-dir", "--is-bare-repository", "--show-object-format")


def environment() -> dict[str, str]:
    """The environment for a git of the user's own: with what they have set about transport, but in plain English, and
    without what the caller's environment may say about some repository."""
    return {**{key: value for key, value in os.environ.items() if key not in _LOCAL}, "LC_ALL": "C", "LANGUAGE": ""}


class Found:
    """A repository that may hold a journal.

    Attributes:
        git_dir: its git directory; of the main one, for a linked work tree.
        hash_name: its object format, ``sha1`` or ``sha256``.
        remote: the name of the remote whose logs it has; ``""`` where the logs themselves are here.
        spaces: the only ones of the remote that are wanted; None for all.
        appender: who commits, by the configuration; None if it says nothing of use.
        mirror_of: the URL from which the next fetch overwrites the logs here; empty if there is none.
    """

    def __init__(self, git_dir: str, hash_name: str, bare: bool, config: Mapping[str, Sequence[str]]) -> None:
        self.git_dir = git_dir
        self.hash_name = hash_name
        self.remote = config.get("coordjournal.remote", [""])[-1] or ("" if bare else "origin")
        self.has_remote = f"remote.{self.remote}.url" in config
        self.spaces = config.get("coordjournal.space")
        names = (config.get(key, [""])[-1] for key in ("coordjournal.appender", "user.name"))
        self.appender = next((name for name in names if is_ident(name)), None)
        self.mirror_of = "" if self.remote else _mirrored(git_dir, config)

    @property
    def prefix(self) -> str:
        """Below what the refs of its logs are."""
        return f"refs/coordjournal/{self.remote}/" if self.remote else SPACES


class Asked:
    """Two git processes at work, for one :meth:`answer`, or to be stopped."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Asks git about the repository at ``path``.

        Raises:
            NotAJournal: there is no such folder, or no git to ask.
        """
        self.path = os.fspath(path) or "."
        if not os.path.isdir(self.path):
            raise NotAJournal(f"{self.path} is no folder" if os.path.exists(self.path) else f"there is no {self.path}")
        env = environment()
        self._children: list[Child] = []
        try:
            for question in (_WHERE, ("config", "--null", "--list")):
                self._children.append(Child(["-C", self.path, *question], env))
        except GitFailed:
            self.stop()
            raise NotAJournal("git is not installed, or not in PATH") from None

    def answer(self) -> Found:
        """What git found.

        Raises:
            NotAJournal: no repository that git accepts, or one without logs and without a remote.
        """
        where, listed = self._children
        try:
            said, items = _text(where.out.read()), _text(listed.out.read())
        except BaseException:  # interrupted
            self.stop()
            raise
        listed.wait()
        if where.wait() != 0:
            said = _asked_again(self.path)
        config: dict[str, list[str]] = {}
        for item in items.split("\0"):
            key, _, value = item.partition("\n")
            config.setdefault(key, []).append(value)
        place, bare, hash_name = said.removesuffix("\n").rsplit("\n", 2)  # a path may hold newlines
        if hash_name not in ("sha1", "sha256"):
            raise NotAJournal(f"{self.path} has objects of a format that is not known here: {hash_name}")
        found = Found(os.path.realpath(os.path.join(self.path, place)), hash_name, bare == "true", config)
        if found.remote and not found.has_remote:
            raise NotAJournal(
                f"{self.path} has no remote {found.remote!r} to append to: `coordjournal clone URL DIR` makes a clone, "
                "`coordjournal init DIR` a repository of its own"
            )
        return found

    def stop(self) -> None:
        """Ends the processes: nobody wants to know any more."""
        for child in self._children:
            child.stop()


def overwrites_logs(refspec: str) -> bool:
    """Whether a fetch by this refspec moves logs that are kept as on a server, as every fetch into a mirror does."""
    to = refspec.partition(":")[2]
    return to.startswith(SPACES) or (to.endswith("*") and SPACES.startswith(to[:-1]))


def _mirrored(git_dir: str, config: Mapping[str, Sequence[str]]) -> str:
    """The URL of the remote whose refspec overwrites the logs of this bare repository; empty if there is none, or if
    hooks were installed here, which make the logs this repository's own (a mirror that became the server)."""
    for key, values in config.items():
        if key.startswith("remote.") and key.endswith(".fetch") and any(map(overwrites_logs, values)):
            if os.path.exists(os.path.join(git_dir, "coordjournal", "installed.json")):
                return ""
            return config.get(key.removesuffix("fetch") + "url", [""])[-1]
    return ""


def _asked_again(path: str) -> str:
    """The answer of :data:`_WHERE` where it failed once. Nobody listened to git's words then, for two pipes cannot be
    read safely without ``subprocess``, which takes 4 ms to import.

    Raises:
        NotAJournal: with what git says.
    """
    import subprocess

    done = subprocess.run(
        ["git", "-C", path, *_WHERE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=environment(),
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise NotAJournal(f"{path} is no git repository that can be opened: {said}")
    return done.stdout


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
