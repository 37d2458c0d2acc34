"""Who else works in a repository, which modes that needs, and whether they can reach a path.

git's own rules: ``core.sharedRepository`` in git-config(1), and ``calc_shared_perm`` in git's path.c.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from .error import InstallError


@dataclass(frozen=True, slots=True)
class Sharing:
    """What ``core.sharedRepository`` says: ``bits`` to add to a mode, or, with ``exact``, to have instead of it."""

    bits: int = 0
    exact: bool = False

    @property
    def group(self) -> bool:
        """Whether the repository's group may write."""
        return bool(self.bits & stat.S_IWGRP)

    @property
    def everyone(self) -> bool:
        """Whether every account may read."""
        return bool(self.bits & stat.S_IROTH)

    @property
    def shared(self) -> bool:
        """Whether the setting says anything but "whatever the umask is"."""
        return self.exact or bool(self.bits)

    def file(self, mode: int) -> int:
        """The mode a file has that would have ``mode`` in a repository of one's own."""
        bits = self.bits if mode & stat.S_IWUSR else self.bits & ~0o222
        if mode & stat.S_IXUSR:
            bits |= (bits & 0o444) >> 2
        return mode & ~0o777 | bits if self.exact else mode | bits

    def folder(self) -> int:
        """The mode a folder has: who may read may enter, and what is made in it stays with the group."""
        mode = self.file(0o755)
        mode |= (mode & 0o444) >> 2
        return mode | stat.S_ISGID if self.shared else mode


def parse(value: str | None) -> Sharing:
    """The meaning of a ``core.sharedRepository``; None stands for one that is not set.

    Raises:
        InstallError: git would not understand it either.
    """
    word = "" if value is None else value.lower()
    if value is None or word in ("umask", "false", "no", "off", "0", ""):
        return Sharing()
    if word in ("group", "true", "yes", "on", "1"):
        return Sharing(0o660)
    if word in ("all", "world", "everybody", "2"):
        return Sharing(0o664)
    try:
        bits = int(word, 8)
    except ValueError:
        bits = 0
    if bits & 0o600 != 0o600:
        raise InstallError(
            f"core.sharedRepository is {value!r}, which git does not understand",
            "Set it to umask, group, all, or an octal mode such as 0660.",
        )
    return Sharing(bits & 0o666, exact=True)


@dataclass(frozen=True, slots=True)
class Audience:
    """The accounts that run a repository's hooks: its owner, perhaps a group, perhaps everyone."""

    uid: int
    gid: int | None = None
    everyone: bool = False


def audience(git_dir: str, sharing: Sharing) -> Audience:
    """Who runs the hooks of the repository ``git_dir``."""
    found = os.stat(git_dir)
    return Audience(found.st_uid, found.st_gid if sharing.group else None, sharing.everyone)


def obstacle(path: str, to: Audience, *, execute: bool = False) -> str:
    """Why somebody of the audience cannot read (or ``execute``) what stands at ``path``, or ``""``.

    Looks at the permission bits of every folder on the way, through symbolic links, and of the last file or folder.
    (Access control lists are not looked at.)
    """
    try:
        steps = list(_way(path))
    except OSError as error:
        return f"{path} cannot be reached: {error.strerror}"
    for step, found in steps:
        last = (step, found) == steps[-1]
        folder = stat.S_ISDIR(found.st_mode)
        need = (4 if last else 0) | (1 if folder or (execute and last) else 0)
        who = _locked_out(found, need, to)
        if who:
            return f"{who} may not {'enter' if folder else 'execute' if execute else 'read'} {step} ({_mode(found)})"
    return ""


def _way(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every folder that is entered on the way to ``path``, and its last file, symbolic links followed."""
    done = "/"
    todo = [part for part in os.path.abspath(path).split("/") if part]
    links = 0
    yield done, os.stat(done)
    while todo:
        part = todo.pop(0)
        if part == "..":
            done = os.path.dirname(done)
            continue
        step = os.path.join(done, part)
        found = os.lstat(step)
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > 40:
                raise OSError(40, "too many symbolic links")
            target = os.readlink(step)
            done = "/" if target.startswith("/") else done
            todo = [p for p in target.split("/") if p not in ("", ".")] + todo
            continue
        done = step
        yield done, found


def _locked_out(found: os.stat_result, need: int, to: Audience) -> str:
    """Which part of the audience lacks the permission bits ``need`` (4 read, 1 enter or execute), or ``""``."""
    mode = found.st_mode
    if to.uid == 0:
        mine = 7 if stat.S_ISDIR(mode) or mode & 0o111 else 6
    elif found.st_uid == to.uid:
        mine = mode >> 6
    elif found.st_gid in _groups(to.uid):
        mine = mode >> 3
    else:
        mine = mode
    if mine & need != need:
        return f"the account {account(to.uid)}"
    if to.gid is not None and (mode >> 3 if found.st_gid == to.gid else mode) & need != need:
        return f"the group {group(to.gid)}"
    if to.everyone and mode & need != need:
        return "other accounts"
    return ""


def _mode(found: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(found.st_mode):04o}, {account(found.st_uid)}:{group(found.st_gid)}"


def _groups(uid: int) -> list[int]:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return []
    return os.getgrouplist(entry.pw_name, entry.pw_gid)


def account(uid: int) -> str:
    """The name of an account, or its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group(gid: int) -> str:
    """The name of a group, or its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def members(gid: int) -> list[str]:
    """The accounts of a group, as far as this machine knows them: those it lists and those whose own group it is."""
    try:
        named = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        named = set()
    return sorted(named | {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid})
