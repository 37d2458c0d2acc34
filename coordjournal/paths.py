"""Finds what a commit holds at a path, and tells what is not there from what is lost.

git itself answers ``missing`` to ``<commit>:<path>`` for both. Who takes a lost object for one that never was writes
over what it held.

The hook loads this where a type is not declared, which is rare: it may import little, but need not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .errors import GitFailed

# The content of an object of that kind by its name. Raises Lost.
Read = Callable[[str, str], bytes]

_FOLDER = "40000"


class Lost(GitFailed):
    """An object that something stored here is made of is missing or damaged. ``oid`` is its name."""

    def __init__(self, oid: str, message: str) -> None:
        super().__init__(message)
        self.oid = oid


class Found(NamedTuple):
    """An entry of a tree: its kind (``"blob"``, ``"tree"``) and object name."""

    kind: str
    oid: str


def entries(read: Read, commit: str) -> dict[str, Found]:
    """What the tree of ``commit`` holds, by name."""
    head = read(commit, "commit").partition(b"\n")[0]
    return listed(read, head.removeprefix(b"tree ").decode("ascii", "replace"))


def listed(read: Read, tree: str) -> dict[str, Found]:
    """What a tree holds, by name."""
    rest = read(tree, "tree")
    width = len(tree) // 2
    found = {}
    while rest:
        head, _, rest = rest.partition(b"\0")
        mode, _, name = head.partition(b" ")
        kind = "tree" if mode.decode("ascii", "replace") == _FOLDER else "blob"
        found[name.decode("utf-8", "replace")] = Found(kind, rest[:width].hex())
        rest = rest[width:]
    return found


def at(read: Read, commit: str, folder: str, name: str) -> bytes | None:
    """The file ``name`` of a folder of ``commit``, None where there is none."""
    place = entries(read, commit).get(folder)
    file = listed(read, place.oid).get(name) if place is not None and place.kind == "tree" else None
    return read(file.oid, "blob") if file is not None and file.kind == "blob" else None
