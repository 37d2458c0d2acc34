"""The repository to install into: is it one, may we, who shares it, and what is in it already."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from .. import refs
from ..admission import Settings
from ..errors import GitFailed
from ..sharing import Sharing
from ..text import lines
from . import gitcli
from .error import InstallError
from .sharing import Audience, account, audience, parse

_LISTS = ("receive.procreceiverefs",)  # what the hook reads all values of
_GITLAB = {"@hashed", "@cluster", "@snippets", "@groups"}  # folders that its storages begin with
_INBOX = re.compile(r"[0-9]{16}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # <arrival>-<decision id>
_SEQ = re.compile(rb"\nSeq: (0|[1-9][0-9]*)(\nLease: [^\n]+)?\n?\Z")


@dataclass(frozen=True, slots=True)
class Repository:
    """A bare repository that git lets this account work in.

    ``git_dir`` is its real path, ``audience`` are the accounts that run its hooks. ``config`` maps the keys of its own
    configuration (section and name in lower case) to all their values, those of included files too; ``outer`` those of
    this machine's and this account's configuration.
    """

    git_dir: str
    sharing: Sharing
    audience: Audience
    config: dict[str, list[str]]
    outer: dict[str, list[str]]

    def value(self, key: str) -> str | None:
        """The value that counts for ``key`` (the last one), or None."""
        values = self.values(key)
        return values[-1] if values else None

    def values(self, key: str) -> list[str]:
        """All values that its own configuration has for ``key``, in order."""
        return self.config.get(folded(key), [])


def opened(path: str) -> Repository:
    """The bare repository at ``path``.

    Raises:
        InstallError: there is none, it has a work tree, or git refuses it because it belongs to somebody else.
        GitFailed: there is no git.
    """
    if not os.path.isdir(path):
        raise InstallError(
            f"{path}: no such folder", f"A new repository is made with: coordjournal init {quoted(path)}"
        )
    real = os.path.realpath(path)
    if os.path.lexists(os.path.join(real, ".git")):
        raise InstallError(
            f"{path} has a work tree; a journal lives in a bare repository, which nobody works in",
            f"Make a new one with `coordjournal init`, or a bare copy with `git clone --bare {quoted(path)} NEW.git`.",
        )
    # The safe.bareRepository of a cautious user is about repositories stumbled upon; this one is named.
    asked = gitcli.run(
        *("-c", "safe.bareRepository=all", "rev-parse", "--is-bare-repository", "--absolute-git-dir"), cwd=real
    )
    if asked.returncode:
        if b"dubious ownership" in asked.stderr or b"unsafe repository" in asked.stderr:
            raise _not_ours(real)
        if not os.path.isfile(os.path.join(real, "HEAD")):
            raise _no_repository(path)
        raise InstallError(f"git cannot use {path}: {gitcli.said(asked)}")
    bare, _, git_dir = asked.stdout.decode("utf-8", "surrogateescape").rstrip("\n").partition("\n")
    if os.path.realpath(git_dir) != real:  # git looked upwards and found another one
        raise _no_repository(path)
    if bare != "true":
        raise InstallError(
            f"{path} is not a bare repository (its core.bare is not true)",
            f"If nobody works in it: git --git-dir={quoted(real)} config core.bare true",
        )
    config, outer = _config(real)
    values = config.get("core.sharedrepository")
    shared = parse(values[-1] if values else None)
    return Repository(real, shared, audience(real, shared), config, outer)


def check_writable(repository: Repository) -> None:
    """Refuse where this account could install a part only, or leave files that lock the owner out.

    Raises:
        InstallError: it may not write there.
    """
    git_dir = repository.git_dir
    for path in (git_dir, os.path.join(git_dir, "refs"), os.path.join(git_dir, "objects")):
        if not os.access(path, os.W_OK | os.X_OK):
            raise InstallError(f"{account(os.geteuid())} may not write in {path}", _as_the_owner(git_dir))
    if runs_nothing(git_dir):
        raise InstallError(
            f"{git_dir} is on a file system that runs no programs (mounted noexec), so git could not run its hooks",
            "Move the repository, or mount the file system without noexec.",
        )
    if os.geteuid() != repository.audience.uid and not repository.sharing.group:
        raise InstallError(
            f"{git_dir} belongs to {account(repository.audience.uid)} and is not shared: "
            f"what {account(os.geteuid())} writes there, the owner could not change",
            _as_the_owner(git_dir),
        )


def check_host(repository: Repository) -> None:
    """Refuse where hooks in the repository would never run, and yet seem to guard it.

    Raises:
        InstallError: it is in GitLab's storage, whose Gitaly runs hooks from elsewhere.
    """
    if not _GITLAB.isdisjoint(repository.git_dir.split(os.sep)):
        raise InstallError(
            f"{repository.git_dir} is one of GitLab's repositories, and GitLab runs none of the hooks in them",
            'docs/operations.md, "GitLab self-managed", tells how to give it this one with `gitaly hooks set`.',
        )


def check_refs(repository: Repository) -> None:
    """Refuse a repository whose refs under the journal's names are not a journal's.

    Raises:
        InstallError: naming them.
    """
    foreign = foreign_refs(repository.git_dir)
    if foreign:
        told = "\n".join(f"  {ref}: {why}" for ref, why in foreign[:20])
        more = f"\n  and {len(foreign) - 20} more" if len(foreign) > 20 else ""
        strays = [ref for ref, _ in foreign if is_stray(ref)]
        remedies = [stray_remedy(repository.git_dir, strays[0])] if strays else []
        if len(strays) < len(foreign):
            remedies.append(
                f"Move them elsewhere (git -C {quoted(repository.git_dir)} update-ref NEW OLD; ... update-ref -d OLD), "
                "or make a repository of its own with `coordjournal init`."
            )
        raise InstallError(
            f"{repository.git_dir} has refs under names that coordjournal needs, and they are no "
            f"journal:\n{told}{more}",
            "\n".join(remedies),
        )


def is_stray(ref: str) -> bool:
    """Whether ``ref`` is what a push to ``refs/append/`` leaves behind on a server that does not sequence."""
    return ref.startswith(refs.APPEND)


def stray_remedy(git_dir: str, ref: str) -> str:
    """What to do about the stray ``ref``."""
    command = f"git -C {quoted(git_dir)}"
    return (
        "Intents under refs/append/ were pushed before there was a hook to sequence them; they are in no log. Look at "
        f"them ({command} log {quoted(ref)}), append anew what is still wanted, and remove each: "
        f"{command} update-ref -d {quoted(ref)}"
    )


def check_settings(repository: Repository) -> Settings:
    """What the hook will read of the repository's configuration.

    Raises:
        InstallError: it could not, and would refuse every push.
    """
    try:
        config = repository.config.items()
        return Settings.from_config({key: ("\n".join(v) if key in _LISTS else v[-1]) for key, v in config})
    except ValueError as error:
        raise InstallError(
            f"the configuration of {repository.git_dir} is not what the hook can read: {error}",
            f"Correct it: git -C {quoted(repository.git_dir)} config --edit",
        ) from error


def foreign_refs(git_dir: str) -> list[tuple[str, str]]:
    """The refs under the journal's names that cannot be a journal's, each with the reason.

    Looks at every name, and of the logs at the tip alone: ``coordjournal verify`` reads whole logs.
    """
    listed = gitcli.ask(
        git_dir,
        "for-each-ref",
        "--format=%(objectname) %(objecttype) %(refname)",
        *(name.rstrip("/") for name in (refs.SPACES, refs.APPEND, refs.INTENTS, refs.META)),
    )
    found = []
    logs: list[tuple[str, str]] = []
    for line in lines(listed.decode("utf-8", "surrogateescape")):
        oid, kind, ref = line.split(" ", 2)
        why = _misplaced(ref, kind)
        if why:
            found.append((ref, why))
        elif ref.startswith(refs.SPACES):
            logs.append((oid, ref))
    asked = "".join(f"{oid}\n" for oid, _ in logs).encode()
    answers = gitcli.ask(git_dir, "cat-file", "--batch", stdin=asked) if logs else b""
    for _, ref in logs:
        header, _, answers = answers.partition(b"\n")
        size = int(header.split()[2])
        if not _SEQ.search(answers[:size]):
            found.append((ref, "its tip is a commit, but not a decision (no Seq line at its end)"))
        answers = answers[size + 1 :]
    return found


def _misplaced(ref: str, kind: str) -> str:
    """Why a ref of this name and object type is no journal's, or ``""``."""
    if ref.startswith(refs.SPACES):
        try:
            refs.decode_space(ref[len(refs.SPACES) :])
        except ValueError:
            return "not the spelling of a space id"
    elif ref.startswith(refs.APPEND):
        return "nothing is ever stored under this name"
    elif ref.startswith(refs.INTENTS):
        spelled, _, rest = ref[len(refs.INTENTS) :].partition("/")
        try:
            refs.decode_space(spelled)
        except ValueError:
            return "not the spelling of a space id"
        if not _INBOX.fullmatch(rest):
            return "not refs/intents/<space>/<arrival>-<decision id>"
    elif ref + "/" in (refs.SPACES, refs.APPEND, refs.INTENTS):
        return f"it stands in the way of {ref}/..."
    elif ref != refs.META:
        return f"only {refs.META} itself is the descriptor"
    return "" if kind == "commit" else f"a {kind}, not a commit"


def _config(git_dir: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    try:
        listed = gitcli.ask(git_dir, "config", "--show-scope", "--list", "-z")
    except GitFailed as error:
        raise InstallError(f"the configuration of {git_dir} cannot be read: {error}") from error
    own: dict[str, list[str]] = {}
    outer: dict[str, list[str]] = {}
    words = listed.decode("utf-8", "surrogateescape").split("\0")
    for scope, item in zip(words[::2], words[1::2], strict=False):
        key, newline, value = item.partition("\n")
        found = own if scope in ("local", "worktree") else outer
        found.setdefault(key, []).append(value if newline else "true")
    return own, outer


def runs_nothing(path: str) -> bool:
    """Whether the file system of ``path`` is mounted so that no program on it runs."""
    return bool(os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0))  # macOS has no such constant


def folded(key: str) -> str:
    """A configuration key as git lists it: section and name in lower case, the part between them as it is."""
    section, _, rest = key.partition(".")
    middle, dot, name = rest.rpartition(".")
    return f"{section.lower()}.{middle}{dot}{name.lower()}"


def quoted(path: str) -> str:
    """``path`` as a word of a shell."""
    return path if re.fullmatch(r"[\w./@%+=:,~-]+", path) else "'" + path.replace("'", "'\\''") + "'"


def _no_repository(path: str) -> InstallError:
    return InstallError(
        f"{path} is not a git repository", f"A new one is made with: coordjournal init {quoted(path + '.git')}"
    )


def _not_ours(real: str) -> InstallError:
    """git's safe.directory rule stopped us: say what it is, for whom it matters, and the command."""
    me = account(os.geteuid())
    owner = account(os.stat(real).st_uid)
    command = f"git config --global --add safe.directory {quoted(real)}"
    return InstallError(
        f"{real} belongs to {owner}, and git refuses to let {me} use a repository of another account",
        f"Either run this as its owner: sudo -u {owner} coordjournal ... {quoted(real)}\n"
        f"or, if accounts share it (core.sharedRepository), let git trust it: {command}\n"
        f"Every account but {owner} that pushes by path or over ssh under its own name needs that setting too, since "
        "git receive-pack asks the same (git 2.39.4, 2.45.1 and later); once for all accounts, as root: "
        f"git config --system --add safe.directory {quoted(real)}",
    )


def _as_the_owner(git_dir: str) -> str:
    owner = account(os.stat(git_dir).st_uid)
    return f"Run this as its owner: sudo -u {owner} coordjournal ... {quoted(git_dir)}"
