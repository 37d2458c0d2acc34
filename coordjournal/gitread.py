"""What is read from a repository, read by git: objects, chains of commits, the configuration.

The hook and the store both read this way (git-cat-file(1), git-rev-list(1)): git knows every pack, alternate, quarantine and object format, and a stream
from it is faster than any reader in Python. Processes are started with ``os.posix_spawnp``, because importing
``subprocess`` costs the hook 12 ms. git's own error text is not shown; failures name the command.
"""

import os

from .commit import File
from .errors import GitFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import BufferedReader

# The variables in which receive-pack tells its hooks where the pushed objects wait (git-receive-pack(1), "QUARANTINE").
_QUARANTINE = ("GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
_MOST_TREE = 4096  # bytes of a tree that can still be one of attachments
_CHUNK = 1 << 16


def environment(git_dir: str, outer: "Mapping[str, str]", quarantine: bool = False) -> "dict[str, str]":
    """The environment for git children: nothing of the caller's steers what they read.

    Replace refs and grafts have no say, nor has any configuration outside the repository. ``quarantine`` keeps the
    variables of a running receive-pack.
    """
    env = {
        "PATH": outer.get("PATH", os.defpath),
        "GIT_DIR": git_dir,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }
    if quarantine:
        env.update((key, outer[key]) for key in _QUARANTINE if key in outer)
    return env


class Child:
    """A git process: ``out`` reads its standard output, ``send`` writes to its standard input."""

    def __init__(self, arguments: "list[str]", env: "dict[str, str]", stdin: "int | None" = None) -> None:
        """Starts ``git`` with ``arguments``; ``stdin`` is a file descriptor it takes over, None for a new pipe."""
        self.arguments = arguments
        self._status: int | None = None
        self._input = -1
        if stdin is None:
            stdin, self._input = os.pipe()
        reader, writer = os.pipe()
        quiet = os.open(os.devnull, os.O_WRONLY)
        try:
            actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, writer, 1)]
            actions.append((os.POSIX_SPAWN_DUP2, quiet, 2))
            self._pid = os.posix_spawnp("git", ["git", *arguments], env, file_actions=actions)
        except OSError as error:
            os.close(reader)
            raise GitFailed(f"cannot start git: {error.strerror}") from None
        finally:
            os.close(stdin)
            os.close(writer)
            os.close(quiet)
        self.out: BufferedReader = open(reader, "rb", _CHUNK)  # noqa: SIM115 (closed by close())

    def send(self, data: bytes) -> None:
        """Writes ``data`` to the process. Raises GitFailed if it has ended."""
        try:
            while data:
                data = data[os.write(self._input, data) :]
        except BrokenPipeError:
            raise self.failed() from None

    def wait(self) -> int:
        """Closes the input and waits; the exit status, negative for a signal."""
        if self._status is None:
            if self._input >= 0:
                os.close(self._input)
                self._input = -1
            self.out.close()
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._status

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        if self._status is None:
            os.kill(self._pid, 9)
            self.wait()

    def failed(self) -> GitFailed:
        """The error to raise when the process did not do what it should."""
        return GitFailed(f"`git {' '.join(self.arguments[:2])}` failed; `git fsck` may tell what is damaged")


class Objects:
    """Single objects by name, from one ``git cat-file --batch`` that starts when it is first needed."""

    def __init__(self, env: "dict[str, str]") -> None:
        self._env = env
        self._child: Child | None = None
        self._asked = ""

    def __enter__(self) -> "Objects":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process."""
        if self._child is not None:
            self._child.stop()
            self._child = None
            self._asked = ""

    def ask(self, name: str) -> "tuple[str, str, int] | None":
        """Object name, type and size of what ``name`` means, or None if there is no such object.

        The content must be taken with :meth:`take`, :meth:`digest` or :meth:`leave` before the next question.
        """
        if "\n" in name:
            return None
        if self._asked != name:
            self.ask_ahead(name)
        self._asked = ""
        assert self._child is not None
        return _header(self._child)

    def ask_ahead(self, name: str) -> None:
        """Starts git on the question that :meth:`ask` will put next, while the caller does something else."""
        if self._child is None or self._asked:
            self.close()
            self._child = Child(["cat-file", "--batch"], self._env)
        self._child.send(name.encode("utf-8", "surrogateescape") + b"\n")
        self._asked = name

    def take(self, size: int) -> bytes:
        """The content of the object just asked for."""
        assert self._child is not None
        data = self._child.out.read(size + 1)
        if len(data) != size + 1:
            raise self._child.failed()
        return data[:-1]

    def digest(self, size: int) -> str:
        """The SHA-256 of the content of the object just asked for, read in pieces."""
        import hashlib  # only attachments need it, and it costs 4 ms

        assert self._child is not None
        digest = hashlib.sha256()
        left = size
        while left:
            piece = self._child.out.read(min(left, _CHUNK))
            if not piece:
                raise self._child.failed()
            digest.update(piece)
            left -= len(piece)
        self._child.out.read(1)
        return digest.hexdigest()

    def leave(self) -> None:
        """Leaves the content of the object just asked for unread."""
        self.close()

    def read(self, name: str, kind: str, most: "int | None" = None) -> "tuple[str, bytes] | None":
        """Object name and content of what ``name`` means; None if it is missing, no ``kind``, or beyond ``most``."""
        answer = self.ask(name)
        if answer is None:
            return None
        oid, found, size = answer
        if found != kind or (most is not None and size > most):
            self.leave()
            return None
        return oid, self.take(size)

    def files(self, tree: str, most: "int | None") -> "tuple[File, ...] | None":
        """The entries of a tree of attachments, measured; None if it is no small tree.

        The content of a file larger than ``most`` bytes is not read: its ``sha256`` is None.

        Raises:
            GitFailed: the tree, or a file in it, is missing.
        """
        answer = self.read(tree, "tree", _MOST_TREE)
        if answer is None:
            return None
        raw = answer[1]
        width = len(tree) // 2
        files = []
        at = 0
        while at < len(raw):
            end = raw.index(b"\0", at)
            mode, _, name = raw[at:end].partition(b" ")
            oid = raw[end + 1 : end + 1 + width].hex()
            at = end + 1 + width
            files.append(self._measured(mode.decode("ascii", "replace"), name.decode("utf-8", "replace"), oid, most))
        return tuple(files)

    def _measured(self, mode: str, name: str, oid: str, most: "int | None") -> File:
        if mode not in ("100644", "100755", "120000"):
            return File(mode, name, oid, 0, None)
        answer = self.ask(oid)
        if answer is None:
            raise GitFailed(f"the object {oid} is missing")
        size = answer[2]
        if answer[1] != "blob" or (most is not None and size > most):
            self.leave()
            return File(mode, name, oid, size, None)
        return File(mode, name, oid, size, self.digest(size))


def commits(
    tip: str,
    base: "str | None",
    env: "dict[str, str]",
    *,
    most: "int | None" = None,
    oldest_first: bool = False,
    count: "int | None" = None,
) -> "Iterator[tuple[str, int, bytes]]":
    """The commits from ``tip`` down to (without) ``base``, or to the root, along first parents, as they are streamed.

    With ``count`` only that many of the newest.

    Yields object name, size in bytes, and content; the content is empty where the size is beyond ``most``. Newest
    first, because git then streams while it walks; ``oldest_first`` makes git list all object names first.

    Raises:
        GitFailed: git cannot walk the history, an object is missing.
    """
    walk = ["rev-list", "--first-parent"]
    walk += ["--reverse"] if oldest_first else []
    walk += [] if count is None else [f"--max-count={count}"]
    walk += [tip, f"^{base}"] if base else [tip]
    reader, writer = os.pipe()
    try:
        lister = _piped(walk, env, writer)
    except BaseException:
        os.close(reader)
        raise
    try:
        child = Child(["cat-file", "--batch", "--buffer"], env, reader)
        try:
            while True:
                answer = _header(child, may_end=True)
                if answer is None:
                    break
                oid, _, size = answer
                if most is not None and size > most:
                    _skip(child, size + 1)
                    yield oid, size, b""
                    continue
                data = child.out.read(size + 1)
                if len(data) != size + 1:
                    raise child.failed()
                yield oid, size, data[:-1]
            if child.wait() != 0:
                raise child.failed()
        finally:
            child.stop()
        if os.waitstatus_to_exitcode(os.waitpid(lister, 0)[1]) != 0:
            lister = 0
            raise GitFailed("`git rev-list` failed; `git fsck` may tell what is damaged")
        lister = 0
    finally:
        if lister:
            os.kill(lister, 9)
            os.waitpid(lister, 0)


def _piped(arguments: "list[str]", env: "dict[str, str]", writer: int) -> int:
    """Starts git with its output into ``writer``, which it takes over; the process id."""
    quiet = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, quiet, 0), (os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, quiet, 2)]
    try:
        return os.posix_spawnp("git", ["git", *arguments], env, file_actions=actions)
    except OSError as error:
        raise GitFailed(f"cannot start git: {error.strerror}") from None
    finally:
        os.close(quiet)
        os.close(writer)


def _header(child: Child, may_end: bool = False) -> "tuple[str, str, int] | None":
    """The answer line of ``cat-file --batch``: name, type and size; None for a missing object (or the end)."""
    line = child.out.readline()
    if not line and may_end:
        return None
    parts = line.split()
    if len(parts) == 3 and line.endswith(b"\n") and parts[2].isdigit():
        return parts[0].decode(), parts[1].decode(), int(parts[2])
    if line.endswith((b" missing\n", b" ambiguous\n")) and not may_end:
        return None
    raise child.failed()


def _skip(child: Child, count: int) -> None:
    while count:
        piece = child.out.read(min(count, _CHUNK))
        if not piece:
            raise child.failed()
        count -= len(piece)


def ask_config(env: "dict[str, str]") -> Child:
    """Starts git on the ``coordjournal.*`` keys of the repository's own configuration, for :func:`config`.

    What a pusher's own or the system's configuration says about coordjournal does not count.
    """
    return Child(["config", "--local", "--includes", "-z", "--get-regexp", r"^coordjournal\."], env)


def config(asked: Child) -> "dict[str, str]":
    """The keys, in lower case, with the last value of each. Raises GitFailed."""
    raw = asked.out.read().decode("utf-8", "surrogateescape")
    if asked.wait() not in (0, 1):  # 1: no such keys
        raise asked.failed()
    found = {}
    for item in raw.split("\0")[:-1]:
        key, newline, value = item.partition("\n")
        found[key] = value if newline else "true"
    return found
