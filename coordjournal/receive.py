"""The pre-receive hook: judges every ref of a push before git moves any (githooks(5), "pre-receive").

Reads the pushed objects in git's quarantine through ``git cat-file``, asks the law and the admission about every
commit between the old and the new tip, and refuses the push as a whole if anything breaks them, or if it cannot
decide. This is the hot path: it imports nothing that an accepted push of one decision does not need, and the judges
only once git is at work on the first questions.
"""

import posix
import sys
import time

from .errors import Refused
from .gitread import Objects, ask_config, config, environment, ref
from .guard import MOST_TOLD, bounds, extensions, outer_environment, refuse, start, step, undecided

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from typing import NoReturn

    from .admission import JudgeExtension, Settings
    from .chain import Judge
    from .commit import Commit


_MOST_APPENDS = 200  # spaces of one push to be sequenced: each takes a lock and a table, which are open files
_ENOUGH = 30  # seconds; a push that is refused by then is refused without a look at its other refs
_BELIEVED = 100  # steps back from a new tip before the hook makes sure that the log is where the push says


def main() -> "NoReturn":
    """Runs the hook and ends the process: status 0 lets the push in, 1 refuses it."""
    try:
        # git starts a hook in the repository; a server that calls it from elsewhere (GitHub's) says where it is.
        named = posix.environ.get(b"GIT_DIR", b"")
        if named.startswith(b"/"):
            posix.chdir(named)
        commands = sys.stdin.buffer.read()
        status = run(commands, posix.getcwd(), outer_environment())
        if status == 0:
            status = _hook_before(sys.argv[0] + ".before-coordjournal", commands)
    except BaseException as error:  # a guard that cannot decide refuses, whatever happened
        status = 1
        undecided(error)
    posix._exit(status)  # skips the interpreter's own tidying up: 1 to 2 ms


def run(commands: bytes, git_dir: str, outer: "Mapping[str, str]") -> int:
    """Judges the ``<old> SP <new> SP <ref> LF`` lines of a push; 0, or 1 after the refusals are told and logged."""
    env = environment(git_dir, outer, quarantine=True)
    refusals: list[Refused] = []
    unseen = False
    begun = time.monotonic()
    updates = _Updates(commands)
    with Objects(env) as objects:
        for refusal in judge(updates, env, objects, bool(outer.get("GIT_NAMESPACE"))):
            refusals.append(refusal)
            if len(refusals) == MOST_TOLD or time.monotonic() - begun > _ENOUGH:
                unseen = not updates.ends_with(refusal.ref)
                break
    if not refusals:
        _unlock(updates, git_dir)
        return 0
    refuse(refusals, git_dir, outer, unseen)
    return 1


def judge(
    updates: "Collection[tuple[str, str, str]] | _Updates",
    env: "dict[str, str]",
    objects: Objects,
    namespace: bool = False,
) -> "Iterator[Refused]":
    """The refusal of each ref of a push that cannot be let in.

    Args:
        updates: old tip, new tip and ref.
        namespace: the push goes to a git namespace (gitnamespaces(7)), where refs are others than they seem.

    Raises:
        Exception: it cannot be decided; a note on it (``__notes__``) names the ref.
    """
    asked = ask_config(env)
    if len(updates) == 1:
        for _, new, _ in updates:
            if _object(new):
                objects.ask_ahead(new)
    from . import admission  # while git looks up the configuration and the commit
    from .refs import APPEND

    settings = admission.Settings.from_config(config(asked))
    judge_extension = extensions(env, objects)
    now = int(time.time())
    appends = len({name for _, _, name in updates if name.startswith(APPEND)})
    alone = appends == len(updates) and appends <= _MOST_APPENDS
    judged: set[str] = set()
    for old, new, name in updates:
        try:
            if settings.sequencing and name.startswith(APPEND) and not namespace:
                if not alone:
                    raise _bad_ref(
                        f"it stands beside other refs, or twice, or is one of more than {_MOST_APPENDS}: git could not "
                        "move them together",
                        f"push to {APPEND}<space> by itself",
                    )
                _judge_append(name, new, now, settings, env, objects, judge_extension)
                continue
            space = _space_of(name, settings, namespace)
            if space is None:
                continue
            from . import chain

            admission.check_writable(settings)
            if not _object(new):
                raise _deleted(chain.tip(_object(old), objects))
            if name in judged:  # git moves neither, and a chain that is judged as often as it is named takes for ever
                raise _bad_ref("it stands twice in this push", "push it once")
            judged.add(name)
            judge_step = _believing(step(space, now, settings, objects, judge_extension), name, _object(old), env)
            within = bounds(space, now, settings)
            try:
                chain.judge(judge_step, _object(old), new, env, objects, settings.decision_bytes, within)
            except _Elsewhere as elsewhere:
                raise elsewhere.refusal from None
        except Refused as refusal:
            refusal.ref = name
            refusal.commit = refusal.commit or _object(new) or old
            yield refusal
        except Exception as error:
            error.add_note(name)
            raise


class _Elsewhere(Exception):
    """The log is not where the push says. No :class:`Refused`, for which the walk would look for an earlier one."""

    def __init__(self, name: str, said: "str | None", found: "str | None") -> None:
        super().__init__(name)
        self.refusal = Refused(
            "not-fast-forward",
            f"the push says that the log is at {said or 'no commit yet'}, and it is at {found or 'no commit yet'}",
            "ref",
            "fetch, and push again",
        )


def _believing(judge: "Judge", name: str, old: "str | None", env: "dict[str, str]") -> "Judge":
    """``judge``; but a chain of more than a few commits is judged from where the log ``name`` is and nowhere else.

    The old tip of a push is the pusher's word, of which git makes sure only when it moves the ref: a push of no object
    at all would have the hook judge a log of a million decisions once more. To ask takes a git process, 1.5 ms.
    """
    steps = 0

    def believing(parent: "Commit | None", child: "Commit", size: int) -> None:
        nonlocal steps
        steps += 1
        if steps == _BELIEVED:
            found = ref(name, env)
            if found != old:
                raise _Elsewhere(name, old, found)
        judge(parent, child, size)

    return believing


def _judge_append(
    name: str,
    new: str,
    now: int,
    settings: "Settings",
    env: "dict[str, str]",
    objects: Objects,
    judge_extension: "JudgeExtension",
) -> None:
    """Judges what is pushed to be sequenced, as far as it does not depend on its place; :mod:`coordjournal.sequence`
    does that once the push is let in. So what is refused leaves no object behind."""
    from . import admission, intents
    from .refs import APPEND, SPACES, decode_space

    if not _object(new):
        raise _bad_ref("nothing is stored there that could be deleted", "nothing to do")
    try:
        space = decode_space(name[len(APPEND) :])
    except ValueError:
        raise _misspelt() from None
    admission.check_writable(settings)
    arrived, _ = intents.read(space, new, objects, env, now, settings, judge_extension)
    if not arrived:
        tip = ref(SPACES + name[len(APPEND) :], env)
        if tip != new:  # else it has landed, and whoever pushes it again has not heard so
            from . import chain

            judge_step = step(space, now, settings, objects, judge_extension)
            within = bounds(space, now, settings)
            chain.judge(judge_step, tip, new, env, objects, settings.decision_bytes, within)


def _space_of(name: str, settings: "Settings", namespace: bool) -> "str | None":
    """The space of a log's ref; None for a ref that is none of our business. Raises Refused ``bad-ref``."""
    from .refs import APPEND, INTENTS, META, SPACES, decode_space

    if name.startswith(SPACES) and not namespace:
        try:
            return decode_space(name[len(SPACES) :])
        except ValueError:
            raise _misspelt() from None
    folded = name.casefold()  # on some file systems such a ref is the same file
    if folded.startswith("refs/namespaces/"):
        namespace = True
        folded = folded[folded.rfind("/refs/") + 1 :]
    ours = (SPACES, APPEND, INTENTS, META + "/")
    if any(f"/{prefix}" in f"{folded}/" for prefix in ours):
        # git takes the branch refs/heads/refs/spaces/x for what a push to refs/spaces/x means, while that is no ref yet
        raise _bad_ref("it would stand in the way of a log's ref of that name", "give it another name")
    if folded == "refs/meta" or f"{folded}/".startswith(ours):
        if namespace:
            raise _bad_ref("a git namespace holds no logs", "push to the repository itself, without GIT_NAMESPACE")
        if folded.startswith(APPEND) and settings.sequencing:
            raise _bad_ref(f"not the one spelling of {APPEND}<space>", "write it in lower case")
        if folded.startswith(APPEND):
            raise _bad_ref("this server does not sequence intents", f"push the stamped decision to {SPACES}<space>")
        if folded.startswith(SPACES):
            raise _bad_ref(f"not the one spelling of {SPACES}<space>", "write it in lower case")
        if f"{folded}/" == APPEND:
            raise _bad_ref("it names no space", f"push to {APPEND}<space>")
        raise _bad_ref("only the server itself moves this ref", f"decisions go to {SPACES}<space>")
    if settings.strict:
        raise _bad_ref(
            f"this repository holds logs ({SPACES}<space>) and nothing else",
            "an administrator can allow it: git config coordjournal.strict false",
        )
    return None


def _misspelt() -> Refused:
    return _bad_ref(
        "not the one spelling of a space id",
        "bytes outside [a-z0-9._-] are written %XX; `coordjournal spaces --ref SPACE` spells it",
    )


def _bad_ref(what: str, remedy: str) -> Refused:
    return Refused("bad-ref", what, "ref", remedy)


def _deleted(tip: "Commit | None") -> Refused:
    return Refused(
        "deleted",
        "a log is never deleted",
        "ref",
        "nothing to do; a decision is taken back with a decision-revoked",
        seq=tip.seq if tip else None,
    )


def _unlock(updates: "Iterable[tuple[str, str, str]]", git_dir: str) -> None:
    """Removes the locks of logs that git is about to move, where a git that was killed has left them: git never does,
    and every later push would fail. Only names that were judged to be a log's are paths to trust."""
    for _, _, name in updates:
        lock = f"{git_dir}/{name}.lock"
        if name.startswith("refs/spaces/") and posix.access(lock, posix.F_OK):
            from . import stale

            stale.remove([lock])


class _Updates:
    """The lines of a push: old tip, new tip and ref of each, parsed as they are asked for. There may be a million of
    them, which as texts would take 500 MB."""

    def __init__(self, commands: bytes) -> None:
        self._commands = commands

    def __len__(self) -> int:
        return self._commands.count(b"\n")

    def __iter__(self) -> "Iterator[tuple[str, str, str]]":
        start = 0
        while (end := self._commands.find(b"\n", start)) >= 0:
            old, new, name = self._commands[start:end].decode("utf-8", "surrogateescape").split(" ", 2)
            yield old, new, name
            start = end + 1

    def ends_with(self, name: str) -> bool:
        """Whether the last line is about this ref."""
        return self._commands.endswith(f" {name}\n".encode("utf-8", "surrogateescape"))


def _object(name: str) -> "str | None":
    """An object name of a command; None for the zeros that stand for no object."""
    return name if name.strip("0") else None


def _hook_before(path: str, commands: bytes) -> int:
    """Runs the hook that was here before coordjournal, as git would have; its exit status."""
    if not posix.access(path, posix.X_OK):
        return 0
    reader, writer = posix.pipe()
    pid = start([path], reader)
    posix.close(reader)
    try:
        while commands:
            commands = commands[posix.write(writer, commands) :]
    except BrokenPipeError:
        pass  # git too lets a hook leave its input unread
    posix.close(writer)
    return 1 if posix.waitpid(pid, 0)[1] else 0
