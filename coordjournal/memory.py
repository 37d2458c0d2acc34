"""A store without a disk, for the tests of those who use the library: the same law, the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .admission import Settings
from .commit import EMPTY_TREE, parse
from .errors import DecisionNotFound
from .locking import Lock
from .store import object_name

if TYPE_CHECKING:
    from .kept import Kept
    from .packing import Objects


class MemoryStore:
    """Logs in a dictionary, with the interface of :class:`coordjournal.store.GitStore`."""

    hash_name = "sha1"
    empty_tree = EMPTY_TREE[40]

    def __init__(self) -> None:
        self._content: dict[str, tuple[str, bytes]] = {}
        self._tips: dict[str, str] = {}
        self._lock = Lock()

    def close(self) -> None:
        """Nothing to close."""

    def tips(self) -> dict[str, str]:
        """The tip of every log: space to commit."""
        return dict(sorted(self._tips.items(), key=lambda item: item[0].encode()))

    def tip(self, space: str) -> str | None:
        """The commit at the tip of the log of ``space``."""
        return self._tips.get(space)

    def object(self, name: str, kind: str) -> tuple[str, bytes] | None:
        """Name and content of an object."""
        found = self._content.get(name)
        return (name, found[1]) if found and found[0] == kind else None

    def commits(
        self, tip: str, base: str | None = None, *, oldest_first: bool = False, count: int | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Name and content of the commits from ``tip`` down to (without) ``base``, newest first unless told."""
        walked: list[tuple[str, bytes]] = []
        at: str | None = tip
        while at is not None and at != base and len(walked) != count:
            raw = self._content[at][1]
            walked.append((at, raw))
            at = parse(at, raw).parent
        yield from reversed(walked) if oldest_first else walked

    def merge_base(self, one: str, other: str) -> str | None:
        """The last commit that is in the history of both; None if there is none. Raises KeyError for a commit that is
        missing."""
        mine = {oid for oid, _ in self.commits(one)}
        return next((oid for oid, _ in self.commits(other) if oid in mine), None)

    def file(self, commit: str, name: str) -> bytes:
        """The content of the attachment ``name`` of a commit. Raises DecisionNotFound if it has none."""
        found = self.object(commit, "commit")
        tree = b"" if found is None else self._content[parse(commit, found[1]).tree][1]
        head, _, oid = tree.partition(b"\0")
        if head.decode() != f"100644 {name}":
            raise DecisionNotFound(f"the commit {commit} has no attachment {name!r}")
        return self._content[oid.hex()][1]

    def settings(self) -> Settings:
        """The default settings."""
        return Settings()

    def name(self, kind: str, content: bytes) -> str:
        """The object name that git gives ``content``."""
        return object_name("sha1", kind, content)

    def add(self, objects: Objects, kept: Kept | None = None) -> None:
        """Keeps objects, each a kind and its content."""
        for kind, content in [("tree", b""), *objects]:
            self._content[self.name(kind, content)] = (kind, content)

    def append(self, space: str, old: str | None, new: str, objects: Objects) -> bool:
        """:meth:`add` and :meth:`move` in one."""
        self.add(objects)
        return self.move(space, old, new)

    def move(self, space: str, old: str | None, new: str, why: str = "append") -> bool:
        """Moves the tip of the log from ``old`` to ``new``; False if it was not at ``old`` any more."""
        with self._lock:
            if self._tips.get(space) != old:
                return False
            self._tips[space] = new
            return True
