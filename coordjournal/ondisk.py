"""Brings the names of what git has written to the disk.

git brings an object or a ref to the disk before it gives it its name (``core.fsync``), and never the folder that the
name stands in. So a power cut could take back a push that was answered: nothing would be half done, but what somebody
was told had landed would be gone. Whoever answers asks for this first.

This module is on the hook's hot path: it imports nothing heavy.
"""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FEW = 4  # files in a folder of objects that may be new itself
_WITHOUT = (13, 2, 20, 22)  # EACCES, ENOENT, ENOTDIR, EINVAL: packed meanwhile; not ours; a file system that cannot


def sync(git_dir: str, objects: "Iterable[str]", refs: "Mapping[str, bool]") -> None:
    """Brings to the disk under which names ``objects``, loose or packed, and ``refs`` stand.

    Args:
        refs: name to whether it is new, so that the folders above it may be too.

    Raises:
        OSError: the disk fails.
    """
    folders: dict[str, None] = {}
    top = f"{git_dir}/objects"
    for oid in objects:
        folders[f"{top}/{oid[:2]}" if posix.access(f"{top}/{oid[:2]}/{oid[2:]}", posix.F_OK) else f"{top}/pack"] = None
    for folder in list(folders):
        if _few(folder):
            folders[top] = None
    for name, new in refs.items():
        folder = f"{git_dir}/{name}".rpartition("/")[0]
        folders[folder] = None
        while new and folder != git_dir:
            folder = folder.rpartition("/")[0]
            folders[folder] = None
    for folder in folders:
        _sync(folder)


def _few(folder: str) -> bool:
    try:
        return len(posix.listdir(folder)) <= _FEW
    except OSError:
        return False


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
