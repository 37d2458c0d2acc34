"""The hook files of a repository: ours in, what was there before aside, and back again.

A hook that was there before is renamed to ``<name>.before-coordjournal``, itself and not a copy, so that it comes back
with every byte and mode; our hook runs it after its own judgement. Ours is known by its second line. A file of ours
that somebody edited is never dropped: it is kept as ``<name>.coordjournal-edited``.

Where the hook that was there runs all hooks of a folder ``<name>.d`` (Gitea's and Forgejo's do), it stays, and ours
goes into that folder: under another name it would not find its folder, and such software writes it anew now and then.

Not so ``proc-receive``: git runs one, and that one answers for the refs it was given, so two of them cannot share a
push. One that is not ours stays where it is, and ours is not installed beside it (:mod:`.sequencing`). Where there is
none, ``reference-transaction`` takes over its part of bringing things to the disk.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Literal

from .. import resources
from . import files
from .error import InstallError
from .interpreter import SHEBANG_BYTES
from .report import Step, changed, kept, note
from .repository import Repository, quoted

NAMES = ("pre-receive", "proc-receive", "reference-transaction")
SYNC = "reference-transaction"  #: brings ordinary pushes to the disk, where there is no sequencer to do so
ALONE = frozenset({"proc-receive"})  #: those that cannot run another one after them
BEFORE = ".before-coordjournal"
EDITED = ".coordjournal-edited"

_IN_FOLDER = "coordjournal"  # our name among other hooks

Kind = Literal["absent", "ours", "foreign"]


def wanted(sequenced: bool) -> tuple[str, ...]:
    """The hooks of a repository in which intents are ``sequenced``, or are not. Ordinary pushes are brought to the disk
    where they are the way to append: it costs each of them two processes (docs/decisions/0031)."""
    return tuple(name for name in NAMES if name != (SYNC if sequenced else "proc-receive"))


def folder(repository: Repository) -> str:
    """Where git looks for the hooks of ``repository`` (it need not exist).

    Raises:
        InstallError: outside the repository, where hooks serve other repositories too.
    """
    named = repository.value("core.hooksPath")
    origin = "its own configuration"
    if named is None:
        # A hooks path in the configuration of the machine or of this account would hide what we install, and
        # setting one here would hide theirs.
        outer = repository.outer.get("core.hookspath")
        named = outer[-1] if outer else None
        origin = "the configuration of this machine or account (git config --show-origin core.hooksPath)"
    path = "hooks" if named is None else os.path.expanduser(named)
    real = os.path.realpath(os.path.join(repository.git_dir, path))
    if os.path.commonpath([real, repository.git_dir]) != repository.git_dir or real == repository.git_dir:
        if named is None:
            raise InstallError(
                f"the hooks of {repository.git_dir} are a link to {real}, which other repositories may share",
                "Give this repository a hooks folder of its own (with links to the hooks it shall keep).",
            )
        raise InstallError(
            f"core.hooksPath is {named!r} in {origin}: git would look for hooks in {real}, outside the repository",
            "Hooks there serve other repositories too. Give this one its own, and link there what it shall keep: "
            f"git -C {quoted(repository.git_dir)} config core.hooksPath hooks",
        )
    return real


def place(where: str, name: str) -> str:
    """Where our hook ``name`` is, or goes."""
    path = os.path.join(where, name)
    if name not in ALONE and (_runs_folder(path, path) or _runs_folder(path, path + BEFORE)):
        return os.path.join(f"{path}.d", _IN_FOLDER)
    return path


def runner(path: str) -> str:
    """The hook that runs ours at ``path``, ``""`` if git itself does."""
    folder, name = os.path.split(path)
    return folder.removesuffix(".d") if name == _IN_FOLDER else ""


def render(name: str, python: str, prefix: str) -> bytes:
    """The content of the hook ``name`` that runs with the interpreter ``python`` from ``prefix``.

    Raises:
        InstallError: no kernel could run it.
        ResourceMissing: the package has no such hook.
    """
    with open(os.path.join(resources.hooks(), name), "rb") as file:
        template = file.read()
    content = template.replace(b"@PYTHON@", os.fsencode(python)).replace(b"@PREFIX@", os.fsencode(prefix))
    first = content.partition(b"\n")[0]
    if len(first) > SHEBANG_BYTES:
        raise InstallError(
            f"the first line of the hook would be {len(first)} bytes long, and systems read only {SHEBANG_BYTES} of it",
            "Name an interpreter with a shorter path: --python /usr/bin/python3.X",
        )
    return content


def kind(path: str, name: str) -> Kind:
    """Whose hook stands at ``path``.

    Raises:
        InstallError: something that is no hook, or a link to a hook of ours elsewhere.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return "absent"
    if stat.S_ISLNK(found.st_mode):
        if os.path.isfile(path) and _has_marker(path, name):
            raise InstallError(
                f"{path} is a link to coordjournal's hook of another repository ({os.readlink(path)})",
                f"Remove the link: rm {quoted(path)}",
            )
        return "foreign"
    if not stat.S_ISREG(found.st_mode):
        raise InstallError(f"{path} is neither a file nor a link", "Move it out of the hooks folder.")
    return "ours" if _has_marker(path, name) else "foreign"


def check(where: str) -> None:
    """Refuse a hooks folder that cannot be installed into without losing something.

    Raises:
        InstallError: saying what stands in the way.
    """
    for name in NAMES:
        path = place(where, name)
        foreign = kind(path, name) == "foreign" and name not in ALONE
        if foreign and runner(path):
            raise InstallError(f"{path} is not coordjournal's", "Move it out of the folder, or give it another name.")
        if foreign and os.path.lexists(path + BEFORE) and not _same(path, path + BEFORE):
            raise InstallError(
                f"{path} is not coordjournal's, and {name}{BEFORE} is there too: only one of them can be kept running",
                f"Keep one: let it be {path}, and move the other out of the folder.",
            )
    if os.path.isdir(where) and not os.access(where, os.W_OK | os.X_OK):
        raise InstallError(f"{where} may not be written by this account", "Run this as the repository's owner.")


def put(where: str, name: str, content: bytes, mode: int, rendered: str | None) -> list[Step]:
    """Install the hook ``name`` with ``content``; ``rendered`` is the SHA-256 of the one we installed last.

    Raises:
        OSError, InstallError: as :func:`check` would have said.
    """
    path = place(where, name)
    if runner(path):
        return _put_into_folder(where, name, path, content, mode, rendered)
    return _put(path, name, content, mode, rendered)


def _put_into_folder(where: str, name: str, path: str, content: bytes, mode: int, rendered: str | None) -> list[Step]:
    """Install among the hooks of a folder. One that an earlier version moved aside gets its name back."""
    steps = _put(path, name, content, mode, rendered)
    if steps[-1].kind == "changed":
        steps[-1] = changed(f"{steps[-1].text}, which {runner(path)} runs")
    alone = os.path.join(where, name)
    if kind(alone, name) == "ours":
        steps += _take_out(alone, name, rendered)
    return steps


def _put(path: str, name: str, content: bytes, mode: int, rendered: str | None) -> list[Step]:
    whose = kind(path, name)
    steps = []
    if whose == "ours":
        before = _read(path)
        if before == content and stat.S_IMODE(os.stat(path).st_mode) == mode:
            return [kept(f"the hook {path}")]
        if before != content and _edited(before, rendered):
            steps.append(_put_aside(path, name))
    elif whose == "foreign" and name in ALONE:
        raise InstallError(f"{path} is not coordjournal's, and git runs only one", "Run the same command again.")
    elif whose == "foreign":
        steps += _move_aside(path, name)
    files.write_atomically(path, content, mode)
    return [*steps, changed(f"wrote the hook {path}")]


def check_removal(where: str) -> None:
    """Refuse where removing ours could not bring back what was before.

    Raises:
        InstallError: a third hook stands in the place of ours, or something that is no hook.
    """
    for name in NAMES:
        path = place(where, name)
        foreign = kind(path, name) == "foreign" and name not in ALONE
        if foreign and os.path.lexists(path + BEFORE) and not _same(path, path + BEFORE):
            raise InstallError(
                f"{path} is not coordjournal's any more, and the hook from before is still at {name}{BEFORE}",
                f"Decide which one shall be {path}, move the other out of the folder, and uninstall again.",
            )


def take_out(where: str, name: str, rendered: str | None) -> list[Step]:
    """Remove our hook ``name`` and bring back the one from before. Raises OSError, InstallError."""
    path = place(where, name)
    alone = os.path.join(where, name)
    if not runner(path):
        return _take_out(path, name, rendered)
    if kind(alone, name) == "ours":  # an earlier version's
        return _take_out(alone, name, rendered) + (_take_out(path, name, rendered) if os.path.lexists(path) else [])
    return _take_out(path, name, rendered)


def _take_out(path: str, name: str, rendered: str | None) -> list[Step]:
    whose = kind(path, name)
    steps = []
    if whose == "ours" and _edited(_read(path), rendered):
        steps.append(_put_aside(path, name))
    if os.path.lexists(path + BEFORE) and name not in ALONE:
        os.replace(path + BEFORE, path)
        if os.path.lexists(path + BEFORE):  # rename(2) leaves two links to one file alone
            os.unlink(path + BEFORE)
        steps.append(changed(f"brought back the hook from before: {path}"))
    elif whose == "ours":
        os.unlink(path)
        steps.append(changed(f"removed the hook {path}"))
    elif whose == "foreign":
        steps.append(note(f"{path} is not coordjournal's and was left alone"))
    else:
        return [kept(f"there was no hook {path}")]
    files.sync_folder(os.path.dirname(path))
    return steps


def digest(content: bytes) -> str:
    """What a rendered hook is remembered by."""
    return hashlib.sha256(content).hexdigest()


def _move_aside(path: str, name: str) -> list[Step]:
    """Give the foreign hook its new name too; the caller then replaces the old one, so that there is always a hook."""
    before = path + BEFORE
    if not os.path.lexists(before):  # else an installer was interrupted between the two steps
        try:
            os.link(path, before, follow_symlinks=False)
        except OSError:  # no hard links here, or not for this account
            os.rename(path, before)
    steps = [changed(f"moved the hook that was there to {before}; ours runs it after its own judgement")]
    if not os.access(before, os.X_OK):
        steps.append(note(f"{before} is not executable (or a link to nothing): git did not run it before, nor do we"))
    elif _looks_at_its_name(before):
        steps.append(note(f"{before} looks at its own name or place; check that it still finds what it needs"))
    return steps


def _put_aside(path: str, name: str) -> Step:
    aside = path + EDITED
    number = 1
    while os.path.lexists(aside):
        number += 1
        aside = f"{path}{EDITED}-{number}"
    content, mode = _read(path), stat.S_IMODE(os.stat(path).st_mode)
    files.write_atomically(aside, content, mode & ~0o111)
    return note(f"somebody had edited {path}; the edited file is kept as {aside}")


def _edited(content: bytes, rendered: str | None) -> bool:
    return digest(content) != rendered


def _has_marker(path: str, name: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(4096)
    return f"\n# coordjournal {name} hook.".encode() in head


def _runs_folder(path: str, hook: str) -> bool:
    """Whether ``hook``, which stands at ``path`` or stood there, is somebody else's that runs what is in
    ``path``.d."""
    if not os.path.isdir(f"{path}.d") or not os.path.isfile(hook) or _has_marker(hook, os.path.basename(path)):
        return False
    head = _head(hook)
    return head.startswith(b"#!") and (b".d/" in head or b"run-parts" in head)


def _looks_at_its_name(path: str) -> bool:
    head = _head(path)
    words = (b"$0", b"${0", b"BASH_SOURCE", b"argv[0]", b"__file__")
    return head.startswith(b"#!") and any(word in head for word in words)


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(65536)


def _same(one: str, other: str) -> bool:
    a, b = os.lstat(one), os.lstat(other)
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
