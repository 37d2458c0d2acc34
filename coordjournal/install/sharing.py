"""Who else works in a repository, and whether they can reach a path."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from .. import sharing
from ..sharing import Sharing
from .error import InstallError


def parse(value: str | None) -> Sharing:
    """The meaning of a ``core.sharedRepository``; None stands for one that is not set.

    Raises:
        InstallError: git would not understand it either.
    """
    try:
        return sharing.parse(value)
    except ValueError as error:
        raise InstallError(str(error), "Set it to umask, group, all, or an octal mode such as 0660.") from None


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
