"""What is read from a repository, read by git: objects, chains of commits, the configuration.

The hook and the store both read this way (git-cat-file(1), git-rev-list(1)): git knows every pack, alternate,
quarantine and object format, and a stream from it is faster than any reader in Python. git's own error text is not
shown; failures name the command.

This module is on the hook's hot path. It starts processes with ``posix_spawnp``, because importing ``subprocess`` costs
12 ms, and uses ``posix``, where ``os`` has its functions from, because importing ``os`` itself costs 2 ms.
"""

import posix
from io import BufferedReader, FileIO

from .errors import GitFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from .commit import File

_NOWHERE = "/dev/null"
_MOST_TREE = 4096  # bytes of a tree that can still be one of attachments
_MOST_FILES = 8
_CHUNK = 1 << 16
_LIST = "receive.procreceiverefs"
_OUR_KEYS = r"^(coordjournal\..*|receive\.procreceiverefs)$"


def environment(git_dir: str, outer: "Mapping[str, str]", quarantine: bool = False) -> "dict[str, str]":
    """The environment for git children: nothing of the caller's steers what they read.

    Replace refs and grafts have no say, nor has any configuration outside the repository. With ``quarantine`` they
    read the objects that a running receive-pack holds back (git-receive-pack(1), "QUARANTINE ENVIRONMENT") and those of
    the repository, but not those of a directory that only the pusher's environment names.
    """
    env = {
        "PATH": outer.get("PATH", "/bin:/usr/bin"),
        "GIT_DIR": git_dir,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": _NOWHERE,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": _NOWHERE,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }
    if quarantine and "GIT_QUARANTINE_PATH" in outer:
        env["GIT_OBJECT_DIRECTORY"] = outer["GIT_QUARANTINE_PATH"]
        env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = _last(outer.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", ""))
    return env


def _last(paths: str) -> str:
    """The last of a list of object directories: git adds its own to the end of what it finds there.

    It separates them by ``:``, and puts one that holds a ``:`` in quotes, with a backslash before a quote inside.
    """
    if paths.endswith('"'):
        return paths[paths.rfind(':"') + 1 :]
    return paths.rpartition(":")[2]


class Process:
    """A git process between two file descriptors, which stay open here (``stdin`` -1: nothing to read)."""

    def __init__(self, arguments: "list[str]", env: "dict[str, str]", stdin: int, stdout: int) -> None:
        """Starts ``git`` with ``arguments``. Raises GitFailed."""
        self.arguments = arguments
        self._status: int | None = None
        nowhere = posix.open(_NOWHERE, posix.O_RDWR)
        ends = (nowhere if stdin < 0 else stdin, stdout, nowhere)
        actions = [(posix.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(ends)]
        try:
            self._pid = posix.posix_spawnp("git", ["git", *arguments], env, file_actions=actions)
        except OSError as error:
            raise GitFailed(f"cannot start git: {error.strerror}") from None
        finally:
            posix.close(nowhere)

    def wait(self) -> int:
        """Waits for its end; the exit status, negative for a signal."""
        if self._status is None:
            try:
                self._status = posix.waitstatus_to_exitcode(posix.waitpid(self._pid, 0)[1])
            except ChildProcessError:  # another thread was faster; or the program ignores SIGCHLD, and nobody can tell
                self._status = -1 if self._status is None else self._status
        return self._status

    def stop(self) -> None:
        """Ends it, whatever it is doing."""
        if self._status is None:
            posix.kill(self._pid, 9)
            self.wait()

    def failed(self) -> GitFailed:
        """The error to raise when it did not do what it should."""
        what = f"`git {' '.join(self.arguments[:2])}`"
        if self._status is not None and self._status < 0:
            return GitFailed(f"{what} was killed by signal {-self._status}")
        return GitFailed(f"{what} failed; `git fsck` may tell what is damaged")


class Child(Process):
    """A git process to talk to: ``out`` reads its standard output, ``send`` writes to its standard input."""

    def __init__(self, arguments: "list[str]", env: "dict[str, str]", stdin: "int | None" = None) -> None:
        """Starts ``git`` with ``arguments``; ``stdin`` is a file descriptor it takes over, None for a new pipe.

        Raises:
            GitFailed: git cannot be started.
        """
        self._input = -1
        if stdin is None:
            stdin, self._input = posix.pipe()
        reader, writer = posix.pipe()
        try:
            super().__init__(arguments, env, stdin, writer)
        except GitFailed:
            posix.close(reader)
            self._close_input()
            raise
        finally:
            posix.close(stdin)
            posix.close(writer)
        self.out = BufferedReader(FileIO(reader), _CHUNK)

    def send(self, data: bytes) -> None:
        """Writes ``data`` to the process. Raises GitFailed if it has ended."""
        try:
            while data:
                data = data[posix.write(self._input, data) :]
        except BrokenPipeError:
            raise self.failed() from None

    def end_input(self) -> None:
        """Tells the process that no more comes."""
        self._close_input()

    def wait(self) -> int:
        """Closes both ends and waits; the exit status, negative for a signal."""
        self._close_input()
        self.out.close()
        return super().wait()

    def abandon(self) -> None:
        """Closes both ends without ending the process: after a fork it is the parent's."""
        self._close_input()
        self.out.raw.close()  # past the lock of the buffer, which a thread of the parent may have held
        self._status = 0

    def _close_input(self) -> None:
        if self._input >= 0:
            posix.close(self._input)
            self._input = -1


class Objects:
    """Single objects by name, from one ``git cat-file --batch`` that starts when it is first needed."""

    def __init__(self, env: "dict[str, str]") -> None:
        self._env = env
        self._child: Child | None = None
        self._asked = ""
        self._sizes: Child | None = None
        self._digests: dict[str, str] = {}  # of large files, so that one that many commits hold is read once

    def __enter__(self) -> "Objects":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes."""
        self.leave()
        if self._sizes is not None:
            self._sizes.stop()
            self._sizes = None

    def abandon(self) -> None:
        """Forgets the processes without ending them: after a fork they are the parent's."""
        for child in (self._child, self._sizes):
            if child is not None:
                child.abandon()
        self._child = self._sizes = None
        self._asked = ""

    def ask(self, name: str) -> "tuple[str, str, int] | None":
        """Object name, type and size of what ``name`` means, or None if there is no such object.

        The content must be taken with :meth:`take`, :meth:`digest` or :meth:`leave` before the next question.
        """
        if not name or "\n" in name:
            return None  # no name of anything
        if self._asked != name:
            self.ask_ahead(name)
        self._asked = ""
        assert self._child is not None
        return _header(self._child)

    def ask_ahead(self, name: str) -> None:
        """Starts git on the question that :meth:`ask` will put next, while the caller does something else."""
        if self._child is None or self._asked:
            self.leave()
            self._child = Child(["cat-file", "--batch"], self._env)
        self._child.send(_line(name))
        self._asked = name

    def take(self, size: int) -> bytes:
        """The content of the object just asked for."""
        assert self._child is not None
        return _content(self._child, size)

    def digest(self, size: int) -> str:
        """The SHA-256 of the content of the object just asked for, read in pieces."""
        import hashlib  # only attachments need it, and it costs 4 ms

        assert self._child is not None
        digest = hashlib.sha256()
        for piece in _pieces(self._child, size):
            digest.update(piece)
        self._child.out.read(1)
        return digest.hexdigest()

    def leave(self) -> None:
        """Leaves the content of the object just asked for unread."""
        if self._child is not None:
            self._child.stop()
            self._child = None
            self._asked = ""

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
        """The entries of a tree of attachments, measured; None if it is missing or no tree of a few files.

        The content of a file larger than ``most`` bytes is not read, by git neither: its ``sha256`` is None.

        Raises:
            GitFailed: a file in it is missing or damaged.
        """
        answer = self.read(tree, "tree", _MOST_TREE)
        if answer is None:
            return None
        entries = _entries(answer[1], len(tree) // 2)
        if len(entries) > _MOST_FILES:
            return None
        return tuple(self._measured(*entry, most) for entry in entries)

    def _measured(self, mode: str, name: str, oid: str, most: "int | None") -> "File":
        from .commit import File

        if mode not in ("100644", "100755", "120000"):
            return File(mode, name, oid, 0, None)
        # Asked of another process: the one that gives the content of a packed object inflates it whole beforehand.
        if self._sizes is None:
            self._sizes = Child(["cat-file", "--batch-check"], self._env)
        self._sizes.send(_line(oid))
        answer = _header(self._sizes)
        if answer is None:
            raise GitFailed(f"the object {oid} is missing")
        _, kind, size = answer
        if kind != "blob" or (most is not None and size > most):
            return File(mode, name, oid, size, None)
        sha256 = self._digests.get(oid)
        if sha256 is None:
            if self.ask(oid) is None:
                raise GitFailed(f"the object {oid} is missing")
            sha256 = self.digest(size)
            if size > _CHUNK:
                self._digests[oid] = sha256
        return File(mode, name, oid, size, sha256)


def commits(
    tip: str,
    base: "str | None",
    env: "dict[str, str]",
    *,
    most: "int | None" = None,
    oldest_first: bool = False,
    count: "int | None" = None,
) -> "Generator[tuple[str, int, bytes], None, None]":
    """The commits from ``tip`` down to (without) ``base``, or to the root, along first parents, as they are streamed.

    With ``count`` only that many of the newest.

    Yields object name, size in bytes, and content; the content is empty where the size is beyond ``most``. Newest
    first, because git then streams while it walks; ``oldest_first`` makes git list all object names first. Close it if
    you leave it early: two processes wait.

    Raises:
        GitFailed: git cannot walk the history, an object is missing.
    """
    walk = ["rev-list", "--first-parent"]
    walk += ["--reverse"] if oldest_first else []
    walk += [] if count is None else [f"--max-count={count}"]
    walk += [tip, f"^{base}"] if base else [tip]
    reader, writer = posix.pipe()
    try:
        lister = Process(walk, env, -1, writer)
    except GitFailed:
        posix.close(reader)
        raise
    finally:
        posix.close(writer)
    child = None
    try:
        child = Child(["cat-file", "--batch", "--buffer"], env, reader)
        while line := child.out.readline():
            name, is_commit, number = line.partition(b" commit ")  # _header() would cost a fold a tenth of its time
            if not is_commit:
                raise child.failed()
            size = int(number)
            if most is not None and size > most:
                for _piece in _pieces(child, size + 1):
                    pass
                yield name.decode(), size, b""
            else:
                yield name.decode(), size, _content(child, size)
        for process in (child, lister):
            if process.wait() != 0:
                raise process.failed()
    finally:
        if child is not None:
            child.stop()
        lister.stop()


def ref(name: str, env: "dict[str, str]") -> "str | None":
    """The object that the ref of exactly this name holds, None if there is no such ref.

    Wherever else git takes a name it also tries ``refs/heads/<name>`` and others (gitrevisions(7)), which are for
    anybody to push.
    """
    child = Child(["show-ref", "--verify", "--hash", name], env)
    answer = child.out.read().decode().strip()
    return answer if child.wait() == 0 and answer else None


def ask_config(env: "dict[str, str]") -> Child:
    """Starts git on the keys of the repository's own configuration that matter to coordjournal, for :func:`config`.

    What a pusher's own or the system's configuration says about coordjournal does not count.
    """
    return Child(["config", "--local", "--includes", "-z", "--get-regexp", _OUR_KEYS], env)


def config(asked: Child) -> "dict[str, str]":
    """The keys, in lower case, with the last value of each; a list, with a newline between its values, of
    ``receive.procReceiveRefs``, which may have many. Raises GitFailed."""
    raw = asked.out.read().decode("utf-8", "surrogateescape")
    if asked.wait() not in (0, 1):  # 1: no such keys
        raise asked.failed()
    found: dict[str, str] = {}
    for item in raw.split("\0")[:-1]:
        key, newline, value = item.partition("\n")
        if key == _LIST and key in found:
            value = found[key] + "\n" + value
        found[key] = value if newline else "true"
    return found


def _line(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape") + b"\n"


def _header(child: Child) -> "tuple[str, str, int] | None":
    """The answer line of ``cat-file``: name, type and size; None for a missing object."""
    line = child.out.readline()
    parts = line.split()
    if len(parts) == 3 and line.endswith(b"\n") and parts[2].isdigit():
        return parts[0].decode(), parts[1].decode(), int(parts[2])
    if line.endswith((b" missing\n", b" ambiguous\n")):
        return None
    raise child.failed()


def _content(child: Child, size: int) -> bytes:
    data = child.out.read(size + 1)  # a newline follows
    if len(data) != size + 1:
        raise child.failed()
    return data[:-1]


def _pieces(child: Child, size: int) -> "Iterator[bytes]":
    while size:
        piece = child.out.read(min(size, _CHUNK))
        if not piece:
            raise child.failed()
        yield piece
        size -= len(piece)


def _entries(tree: bytes, width: int) -> "list[tuple[str, str, str]]":
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
