"""What ``core.sharedRepository`` says about the modes of files and folders, by git's own rules: git-config(1), and
``calc_shared_perm`` in git's path.c."""

from __future__ import annotations

import stat
from dataclasses import dataclass


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

    def folder(self, mode: int = 0o755) -> int:
        """The mode a folder has: who may read may enter, and what is made in it stays with the group."""
        mode = self.file(mode)
        mode |= (mode & 0o444) >> 2
        return mode | stat.S_ISGID if self.shared and mode & 0o060 else mode


def parse(value: str | None) -> Sharing:
    """The meaning of a ``core.sharedRepository``; None stands for one that is not set.

    Raises:
        ValueError: git would not understand it either.
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
        raise ValueError(f"core.sharedRepository is {value!r}, which git does not understand")
    return Sharing(bits & 0o666, exact=True)
