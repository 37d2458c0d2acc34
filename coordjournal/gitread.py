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
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from .commit import File

_NOWHERE = "/dev/null"
_AT_ONCE = 60  # questions put together: no more bytes than the smallest pipe takes while nobody reads it (4096)
_CHUNK = 1 << 16
_LIST = "receive.procreceiverefs"
_OUR_KEYS = r"^(coordjournal\..*|receive\.procreceiverefs)$"


def environment(git_dir: str, outer: "Mapping[str, str]", quarantine: bool = False) -> "dict[str, str]":
    """The environment for git children: nothing of the caller's steers what they read.

    Replace refs and grafts have no say, nor has any configuration outside the repository, and where a shallow clone is
    cut off a commit is missing, instead of being taken for the first of its log. With ``quarantine`` they
    read the objects that a running receive-pack holds back (git-receive-pack(1), "QUARANTINE ENVIRONMENT") and those of
    the repository, but not those of a directory that only the pusher's environment names.
    """
    env = {
        "PATH": outer.get("PATH", "/bin:/usr/bin"),
        "GIT_DIR": git_dir,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": _NOWHERE,
        "GIT_SHALLOW_FILE": "",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": _NOWHERE,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }
    held_back = _held_back(git_dir, outer) if quarantine else ""
    if held_back:
        env["GIT_OBJECT_DIRECTORY"] = held_back
        env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = _last(outer.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", ""))
    return env


def _held_back(git_dir: str, outer: "Mapping[str, str]") -> str:
    """The directory of the objects that receive-pack holds back, ``""`` if there is none."""
    if "GIT_QUARANTINE_PATH" in outer:
        return outer["GIT_QUARANTINE_PATH"]
    # GitLab's Gitaly runs hooks with a selection of git's variables, and this is all that it tells. git makes a
    # quarantine inside the repository's own objects; what is elsewhere only the pusher's environment named.
    named = outer.get("GIT_OBJECT_DIRECTORY", "")
    try:
        parent, objects = posix.stat(named.rpartition("/")[0]), posix.stat(f"{git_dir}/objects")
    except OSError:
        return ""
    return named if (parent.st_dev, parent.st_ino) == (objects.st_dev, objects.st_ino) else ""


def _last(paths: str) -> str:
    """The last of a list of object directories: git adds its own to the end of what it finds there.

    It separates them by ``:``, and puts one that holds a ``:`` in quotes, with a backslash before a quote inside.
    """
    if paths.endswith('"'):
        return paths[paths.rfind(':"') + 1 :]
    return paths.rpartition(":")[2]


def pipe() -> "tuple[int, int]":
    """The reading and the writing end of a new pipe. Raises GitFailed."""
    try:
        return posix.pipe()
    except OSError as error:  # too many files are open
        raise GitFailed(f"cannot start git: {error.strerror}") from None


class Process:
    """A git process between two file descriptors, which stay open here; -1: nothing to read, nobody to write to."""

    def __init__(self, arguments: "list[str]", env: "dict[str, str]", stdin: int, stdout: int) -> None:
        """Starts ``git`` with ``arguments``. Raises GitFailed."""
        self.arguments = arguments
        self._env = env
        self._status: int | None = None
        try:
            nowhere = posix.open(_NOWHERE, posix.O_RDWR)
        except OSError as error:  # too many files are open
            raise GitFailed(f"cannot start git: {error.strerror}") from None
        ends = (nowhere if stdin < 0 else stdin, nowhere if stdout < 0 else stdout, nowhere)
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
        return GitFailed(f"{what} failed; {lacking(self._env) or '`git fsck` may tell what is damaged'}")


class Child(Process):
    """A git process to talk to: ``out`` reads its standard output, ``send`` writes to its standard input."""

    def __init__(self, arguments: "list[str]", env: "dict[str, str]", stdin: "int | None" = None) -> None:
        """Starts ``git`` with ``arguments``; ``stdin`` is a file descriptor it takes over, None for a new pipe.

        Raises:
            GitFailed: git cannot be started.
        """
        self._input = -1
        if stdin is None:
            stdin, self._input = pipe()
        try:
            reader, writer = pipe()
        except GitFailed:
            posix.close(stdin)
            self._close_input()
            raise
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
        self.known: dict[tuple[str, int | None], tuple[File, ...]] = {}  # trees under a limit, measured

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
        self._idle().send(_line(name))
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

    def missing(self, oid: str) -> GitFailed:
        """The error to raise where an object that must be there is not."""
        why = lacking(self._env)
        return GitFailed(f"the object {oid} is missing{why and '; '}{why}")

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
        return self.measured([tree], most)[0]

    def measured(self, trees: "Sequence[str]", most: "int | None") -> "list[tuple[File, ...] | None]":
        """Each of ``trees`` as :meth:`files` measures it, with few questions to git; equal ones are measured once.

        Raises:
            GitFailed: a file in one of them is missing or damaged.
        """
        from .attachments import measure

        try:
            return measure(self, trees, most)
        except GitFailed:
            self.close()  # what else was asked would be answered to the next question
            raise

    def answers(self, names: "list[str]") -> "Iterator[tuple[str, tuple[str, str, int] | None]]":
        """Each name with what :meth:`ask` would say. Take each content, or leave it and what is left of the answers."""
        return _answers(self._idle(), names) if names else iter(())

    def checked(self, names: "list[str]") -> "Iterator[tuple[str, tuple[str, str, int] | None]]":
        """Each name with what :meth:`ask` would say, where no content is wanted.

        Another process tells: the one that gives the content of a packed object inflates it whole before it answers.
        """
        if names and self._sizes is None:
            self._sizes = Child(["cat-file", "--batch-check"], self._env)
        return _answers(self._sizes, names) if self._sizes is not None else iter(())

    def _idle(self) -> Child:
        """The process for contents, without a question that waits for its answer."""
        if self._child is None or self._asked:
            self.leave()
            self._child = Child(["cat-file", "--batch"], self._env)
        return self._child


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
    reader, writer = pipe()
    try:
        # Into a pipe git writes each line by itself, unless it is told otherwise: that is a microsecond a commit.
        lister = Process(walk, {**env, "GIT_FLUSH": "0"}, -1, writer)
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


def shown(tip: str, env: "dict[str, str]") -> "Generator[bytes, None, None]":
    """The commits from ``tip`` down to the root, along first parents, as ``git rev-list --header`` prints them: name,
    headers, and the message with each line indented by four spaces.

    That is one git instead of two, and half of its time. But it is no commit any more: git trims the ends of lines and
    drops blank ones. So it is for logs that the law has passed, whose messages have none of that.

    Raises:
        GitFailed: as :func:`commits`.
    """
    walk = ["rev-list", "--first-parent", "--header", "--encoding=UTF-8", tip]
    child = Child(walk, {**env, "GIT_FLUSH": "0"})
    try:
        rest = b""
        while piece := child.out.read(_CHUNK):
            parts = (rest + piece).split(b"\0")
            rest = parts.pop()
            yield from parts
        if child.wait() != 0 or rest:
            raise child.failed()
    finally:
        child.stop()


def ref(name: str, env: "dict[str, str]") -> "str | None":
    """The object that the ref of exactly this name holds, None if there is no such ref. Whether that object is here
    nobody asks: where it is lost there still is a ref.

    Wherever else git takes a name it also tries ``refs/heads/<name>`` and others (gitrevisions(7)), which are for
    anybody to push.

    Raises:
        GitFailed: git fails, or cannot read the file of the ref.
    """
    for _ in range(2):
        child = Child(["for-each-ref", "--format=%(objectname) %(refname)", name], env)
        answer = child.out.read().decode("utf-8", "surrogateescape")
        if child.wait() != 0:
            raise child.failed()
        for line in answer.split("\n"):
            oid, _, found = line.partition(" ")
            if found == name:
                return oid
        if not _is_file(f"{env['GIT_DIR']}/{name}"):
            break
    else:  # it has not just come into being: git cannot read it, and only warns of that
        raise GitFailed(
            f"git cannot read the file of {name} in {env['GIT_DIR']}: it is empty or holds rubbish; "
            'docs/operations.md, "A damaged repository", tells how to get it back'
        )
    return None


def _is_file(path: str) -> bool:
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o100000
    except OSError:
        return False


def ask_config(env: "dict[str, str]", keys: str = _OUR_KEYS) -> Child:
    """Starts git on the keys of the repository's own configuration that matter to coordjournal, for :func:`config`.

    What a pusher's own or the system's configuration says about coordjournal does not count.
    """
    return Child(["config", "--local", "--includes", "-z", "--get-regexp", keys], env)


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


def lacking(env: "dict[str, str]") -> str:
    """Why git lacks what should be there and what helps, where that is a shallow or a partial clone; else empty."""
    git_dir = env["GIT_DIR"]
    try:
        shallow = posix.stat(f"{git_dir}/shallow").st_size > 0
    except OSError:
        shallow = False
    child = Child(["config", "-z", "--get-regexp", r"^(core\.bare|coordjournal\.remote|remote\..*\.promisor)$"], env)
    found = dict(item.partition("\n")[::2] for item in child.out.read().decode("utf-8", "replace").split("\0"))
    child.wait()
    promisors = [key[7:-9] for key, value in found.items() if key.endswith(".promisor") and value != "false"]
    if not shallow and not promisors:
        return ""
    from shlex import quote

    name = found.get("coordjournal.remote") or (promisors or ["origin"])[0]
    words = ["git", "-C", git_dir.removesuffix("/.git"), "fetch"]
    words += (["--unshallow"] if shallow else []) + (["--refetch", "--no-filter"] if promisors else []) + [name]
    if "coordjournal.remote" in found or found.get("core.bare") != "true":  # a mirror fetches its logs without a word
        words.append(f"+refs/spaces/*:refs/coordjournal/{name}/*")
    kind = " and ".join((["shallow"] if shallow else []) + (["partial"] if promisors else []))
    return f"this is a {kind} clone, and what it lacks comes with `{' '.join(map(quote, words))}`"


def _line(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape") + b"\n"


def _answers(child: Child, names: "list[str]") -> "Iterator[tuple[str, tuple[str, str, int] | None]]":
    """Each object name with what ``cat-file`` says of it, asked many at a time: a round trip to git takes 20 to 50
    microseconds, most of them for waking the other process."""
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        child.send(b"".join(map(_line, some)))
        for name in some:
            yield name, _header(child)


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
