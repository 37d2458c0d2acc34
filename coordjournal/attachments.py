"""Measures trees of attachments: which files a tree holds, of how many bytes, with which SHA-256.

Many trees are measured together. Git is asked for all trees, then for the sizes of all files, then for the contents of
those that are within the limit: three questions for each, but a round trip only for every sixty of them. Memory is
bounded: contents are hashed in pieces, and only so many trees are remembered. This module is on the hook's hot path,
where a push has attachments: it imports nothing heavy.
"""

from .commit import File
from .errors import GitFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .gitread import Objects

    Entry = tuple[str, str, str]  # mode, name, object name

_MOST_TREE = 4096  # bytes of a tree that can still be one of attachments
_MOST_FILES = 8
_FILE_MODES = ("100644", "100755", "120000")
_MOST_KNOWN = 10_000  # trees that are not measured again: 5 MB


def measure(objects: "Objects", trees: "Sequence[str]", most: "int | None") -> "list[tuple[File, ...] | None]":
    """The entries of each of ``trees``, measured; None for one that is missing or no tree of a few files.

    The content of a file larger than ``most`` bytes is not read, by git neither: its ``sha256`` is None.

    Raises:
        GitFailed: a file is missing or damaged; what else ``objects`` was asked is left unanswered.
    """
    known = objects.known
    found = {tree: known.get((tree, most)) for tree in trees}
    listed = _listed(objects, [tree for tree, files in found.items() if files is None])
    blobs = {oid for entries in listed.values() for mode, _, oid in entries if mode in _FILE_MODES}
    sizes: dict[str, int] = {}
    within = []
    for oid, answer in objects.checked(list(blobs)):
        if answer is None:
            raise objects.missing(oid)
        _, kind, sizes[oid] = answer
        if kind == "blob" and (most is None or sizes[oid] <= most):
            within.append(oid)
    digests: dict[str, str] = {}
    for oid, answer in objects.answers(within):
        if answer is None:
            raise objects.missing(oid)
        digests[oid] = objects.digest(answer[2])
    if len(known) + len(listed) > _MOST_KNOWN:
        known.clear()
    for tree, entries in listed.items():
        found[tree] = known[tree, most] = tuple(_file(entry, sizes, digests) for entry in entries)
    return [found[tree] for tree in trees]


def _file(entry: "Entry", sizes: "dict[str, int]", digests: "dict[str, str]") -> File:
    mode, name, oid = entry
    if mode not in _FILE_MODES:
        return File(mode, name, oid, 0, None)
    return File(mode, name, oid, sizes[oid], digests.get(oid))


def _listed(objects: "Objects", trees: "list[str]") -> "dict[str, list[Entry]]":
    """The entries of those among ``trees`` that are trees of a few files."""
    found: dict[str, list[Entry]] = {}
    while trees:
        for number, (tree, answer) in enumerate(objects.answers(trees)):
            if answer is None:
                continue
            _, kind, size = answer
            if kind != "tree" or size > _MOST_TREE:
                objects.leave()
                trees = trees[number + 1 :]
                break
            entries = _entries(objects.take(size), len(tree) // 2)
            if len(entries) <= _MOST_FILES:
                found[tree] = entries
        else:
            break
    return found


def _entries(tree: bytes, width: int) -> "list[Entry]":
    """The mode, name and object name of each entry of a tree. Raises GitFailed if it is none."""
    entries = []
    while tree:
        head, _, tree = tree.partition(b"\0")
        mode, _, name = head.partition(b" ")
        oid, tree = tree[:width], tree[width:]
        if len(oid) != width:
            raise GitFailed("a tree is damaged; `git fsck` may tell which")
        entries.append((mode.decode("ascii", "replace"), name.decode("utf-8", "replace"), oid.hex()))
    return entries
