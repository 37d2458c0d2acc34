"""Brings the names of what git has written to the disk.

git brings an object or a ref to the disk before it gives it its name (``core.fsync``), and never the folder that the
name stands in. So a power cut could take back a push that was answered: nothing would be half done, but what somebody
was told had landed would be gone. Whoever answers asks for this first.

This module is on the hook's hot path: it imports nothing heavy.
"""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_NEW = 4  # names in a folder that may be new itself
_WITHOUT = (13, 2, 20, 22)  # EACCES, ENOENT, ENOTDIR, EINVAL: packed meanwhile; not ours; a file system that cannot


def sync(git_dir: str, objects: "Iterable[str]", refs: "Iterable[str]") -> None:
    """Brings to the disk under which names the ``objects``, loose or packed, and the ``refs`` stand.

    Raises:
        OSError: the disk fails.
    """
    folders: dict[str, None] = {}
    for oid in objects:
        folder = f"{git_dir}/objects/{oid[:2]}"
        if folder not in folders:
            folders[folder if posix.access(f"{folder}/{oid[2:]}", posix.F_OK) else f"{git_dir}/objects/pack"] = None
    for name in refs:
        folders[f"{git_dir}/{name}".rpartition("/")[0]] = None
    for folder in folders:
        _sync(folder)
        try:
            new = len(posix.listdir(folder)) <= _NEW
        except OSError:
            continue
        while new:  # the folder's own name may have to be brought there too
            folder = folder.rpartition("/")[0]
            _sync(folder)
            new = folder.startswith(f"{git_dir}/") and len(posix.listdir(folder)) <= _NEW


def _sync(folder: str) -> None:
    try:
        descriptor = posix.open(folder, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as error:
        if error.errno in _WITHOUT:
            return
        raise
    try:
        posix.fsync(descriptor)
    except OSError as error:
        if error.errno not in _WITHOUT:
            raise
    finally:
        posix.close(descriptor)
