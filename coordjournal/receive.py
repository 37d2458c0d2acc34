"""The pre-receive hook: judges every ref of a push before git moves any (githooks(5), "pre-receive").

Reads the pushed objects in git's quarantine through ``git cat-file``, asks the law and the admission about every
commit between the old and the new tip, and refuses the push as a whole if anything breaks them, or if it cannot
decide. This is the hot path: it imports nothing that an accepted push of one decision does not need, and the judges
only once git is at work on the first questions.
"""

import posix
import sys
import time

from .errors import CoordjournalError, Refused
from .gitread import Objects, ask_config, config, environment, ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, NoReturn

    from .admission import JudgeExtension, Settings
    from .chain import Judge
    from .commit import Commit

LOG = "coordjournal/refusals.jsonl"  # in the repository; one JSON object a refused ref
_LOG_BYTES = 16 * 1024 * 1024  # beyond this the log is put aside once, so that refusals never fill the disk
_MOST_TOLD = 1000  # refused refs; there the judgement stops
_LONGEST = 1000  # characters of what is told and logged about one of them: a commit may hold names of any length
_WHO = ("GL_USER", "REMOTE_USER", "REMOTE_ADDR", "SSH_CONNECTION")
_NO_INTERPRETER = 8  # errno ENOEXEC
_SIGPIPE = 13


def main() -> "NoReturn":
    """Runs the hook and ends the process: status 0 lets the push in, 1 refuses it."""
    try:
        commands = sys.stdin.buffer.read()
        status = run(commands, posix.getcwd(), _environment())
        if status == 0:
            status = _hook_before(sys.argv[0] + ".before-coordjournal", commands)
    except BaseException as error:  # a guard that cannot decide refuses, whatever happened
        status = 1
        _undecided(error)
    posix._exit(status)  # skips the interpreter's own tidying up: 1 to 2 ms


def run(commands: bytes, git_dir: str, outer: "Mapping[str, str]") -> int:
    """Judges the ``<old> SP <new> SP <ref> LF`` lines of a push; 0, or 1 after the refusals are told and logged."""
    env = environment(git_dir, outer, quarantine=True)
    refusals: list[Refused] = []
    with Objects(env) as objects:
        for refusal in judge(_parsed(commands), env, objects, bool(outer.get("GIT_NAMESPACE"))):
            refusals.append(refusal)
            if len(refusals) == _MOST_TOLD:
                break
    if not refusals:
        return 0
    incident = posix.urandom(5).hex()
    for refusal in refusals:
        refusal.incident = incident
    logged = _log([_entry(refusal) for refusal in refusals], git_dir, outer)
    _tell(explain(refusals, logged))
    return 1


def judge(
    updates: "list[tuple[str, str, str]]", env: "dict[str, str]", objects: Objects, namespace: bool = False
) -> "Iterator[Refused]":
    """The refusal of each ref of a push that cannot be let in.

    Args:
        updates: old tip, new tip and ref.
        namespace: the push goes to a git namespace (gitnamespaces(7)), where refs are others than they seem.

    Raises:
        Exception: it cannot be decided; a note on it (``__notes__``) names the ref.
    """
    asked = ask_config(env)
    if len(updates) == 1 and _object(updates[0][1]):
        objects.ask_ahead(updates[0][1])
    from . import admission, chain  # while git looks up the configuration and the commit

    settings = admission.Settings.from_config(config(asked))
    judge_extension = _extensions(env, objects)
    now = int(time.time())
    for old, new, name in updates:
        try:
            space = _space_of(name, settings.strict, namespace)
            if space is None:
                continue
            admission.check_writable(settings)
            if not _object(new):
                raise _deleted(chain.tip(_object(old), objects))
            step = _step(space, now, settings, objects, judge_extension)
            chain.judge(step, _object(old), new, env, objects, settings.decision_bytes)
        except Refused as refusal:
            refusal.ref = name
            refusal.commit = refusal.commit or _object(new) or old
            refusal.place, refusal.what = _cut(refusal.place), _cut(refusal.what)
            yield refusal
        except Exception as error:
            error.add_note(name)
            raise


def _step(space: str, now: int, settings: "Settings", objects: Objects, judge_extension: "JudgeExtension") -> "Judge":
    """The judge of one step of a log: the law, then the admission; it never reads what is too large."""
    from . import admission, law

    def step(parent: "Commit | None", child: "Commit", size: int) -> None:
        if child.files is None:
            child.files = objects.files(child.tree, settings.attachment_bytes)
        admission.check_size(child, size, settings)
        doc = law.check(space, parent, child)
        admission.check(doc, parent, child, now, settings, judge_extension)

    return step


def _extensions(env: "dict[str, str]", objects: Objects) -> "JudgeExtension":
    """The judge of the extension types that ``refs/meta/coordjournal`` declares."""
    extensions: Any = None
    descriptor: str | None = None

    def judge_extension(kind: str, payload: "Any") -> None:
        import json

        from .refs import META
        from .schema import Extensions

        nonlocal extensions, descriptor
        if extensions is None:
            extensions, descriptor = Extensions({}), ref(META, env)
        if descriptor is not None and kind not in extensions.declared:
            found = objects.read(f"{descriptor}:schemas/{kind}.json", "blob")
            if found is not None:
                extensions.declared[kind] = json.loads(found[1])
        extensions.judge(kind, payload)

    return judge_extension


def _space_of(name: str, strict: bool, namespace: bool) -> "str | None":
    """The space of a log's ref; None for a ref that is none of our business. Raises Refused ``bad-ref``."""
    from .refs import APPEND, INTENTS, META, SPACES, decode_space

    if name.startswith(SPACES) and not namespace:
        try:
            return decode_space(name[len(SPACES) :])
        except ValueError:
            raise _bad_ref(
                "not the one spelling of a space id",
                "bytes outside [a-z0-9._-] are written %XX; `coordjournal spaces --ref SPACE` spells it",
            ) from None
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
        if folded.startswith(APPEND):
            raise _bad_ref("this server does not sequence intents", f"push the stamped decision to {SPACES}<space>")
        if folded.startswith(SPACES):
            raise _bad_ref(f"not the one spelling of {SPACES}<space>", "write it in lower case")
        raise _bad_ref("only the server itself moves this ref", f"decisions go to {SPACES}<space>")
    if strict:
        raise _bad_ref(
            f"this repository holds logs ({SPACES}<space>) and nothing else",
            "an administrator can allow it: git config coordjournal.strict false",
        )
    return None


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


def _parsed(commands: bytes) -> "list[tuple[str, str, str]]":
    updates = []
    for line in commands.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        old, new, name = line.split(" ", 2)
        updates.append((old, new, name))
    return updates


def _object(name: str) -> "str | None":
    """An object name of a command; None for the zeros that stand for no object."""
    return name if name.strip("0") else None


def _environment() -> "dict[str, str]":
    """The environment as text; ``os.environ`` without importing ``os``."""
    encoding = sys.getfilesystemencoding()
    return {
        key.decode(encoding, "surrogateescape"): value.decode(encoding, "surrogateescape")
        for key, value in posix.environ.items()
    }


def explain(refusals: "list[Refused]", logged: bool) -> str:
    """What the pusher reads: which refs, commits and places, what was wrong, what to do."""
    from .text import printable

    first = refusals[0]
    told = [f"coordjournal refused this push; nothing was changed. Incident {first.incident}"]
    for refusal in refusals:
        seq = "-" if refusal.seq is None else refusal.seq
        told.append(f"\n  {printable(refusal.ref)} commit {refusal.commit} Seq {seq}")
        place = f" at {printable(refusal.place)}" if refusal.place else ""
        told.append(f"  {refusal.code}{place}: {printable(refusal.what)}")
        if refusal.remedy:
            told.append(f"  -> {printable(refusal.remedy)}")
    if len(refusals) == _MOST_TOLD:
        told.append(f"\n  {_MOST_TOLD} refs are refused; the others were not looked at")
    if not logged:
        told.append(f"\n  {_NOT_LOGGED}")
    return "\n".join(told) + "\n"


_NOT_LOGGED = "(the refusal log of the server could not be written)"


def _undecided(error: BaseException) -> None:
    """Tells and logs why a push could not be judged."""
    what = str(error) if isinstance(error, CoordjournalError) else f"{type(error).__name__}: {error}"
    what = ": ".join([*getattr(error, "__notes__", ()), what])
    incident = posix.urandom(5).hex()
    logged = False
    try:
        import traceback

        trace = "".join(traceback.format_exception(error))
        entry = {"incident": incident, "code": "undecided", "what": what, "trace": trace}
        logged = _log([entry], posix.getcwd(), _environment())
    except Exception:
        pass  # what is at hand is told
    try:
        from .text import printable

        what = printable(what)
    except Exception:
        what = ascii(what)
    _tell(
        f"coordjournal cannot judge this push, so it is refused; nothing was changed. Incident {incident}\n\n  {what}\n"
        + ("" if logged else f"  {_NOT_LOGGED}\n")
        + "\nTell the administrator of the repository: `coordjournal doctor` says what is wrong.\n"
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _entry(refusal: Refused) -> "dict[str, Any]":
    fields = ("incident", "ref", "commit", "seq", "code", "place", "what")
    return {field: getattr(refusal, field) for field in fields}


def _log(entries: "list[dict[str, Any]]", git_dir: str, outer: "Mapping[str, str]") -> bool:
    """Appends to the server's refusal log; whether that worked."""
    import json
    import os

    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    who = {"uid": os.getuid(), **{key: outer[key] for key in _WHO if key in outer}}
    data = "".join(json.dumps({"at": at, **entry, **who}) + "\n" for entry in entries).encode()
    path = f"{git_dir}/{LOG}"
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
        if os.path.exists(path) and os.stat(path).st_size > _LOG_BYTES:
            os.replace(path, path + ".1")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            if os.fstat(descriptor).st_size == 0 and os.stat(folder).st_mode & 0o020:
                os.fchmod(descriptor, 0o660)  # a repository shared by a group: the next pusher logs here too
            return os.write(descriptor, data) == len(data)
        finally:
            os.close(descriptor)
    except OSError:
        return False


def _hook_before(path: str, commands: bytes) -> int:
    """Runs the hook that was here before coordjournal, as git would have; its exit status."""
    if not posix.access(path, posix.X_OK):
        return 0
    reader, writer = posix.pipe()
    try:
        pid = _start([path], reader)
    except OSError as error:
        if error.errno != _NO_INTERPRETER:
            raise
        pid = _start(["/bin/sh", path], reader)
    posix.close(reader)
    try:
        while commands:
            commands = commands[posix.write(writer, commands) :]
    except BrokenPipeError:
        pass  # git too lets a hook leave its input unread
    posix.close(writer)
    return 1 if posix.waitpid(pid, 0)[1] else 0


def _start(command: "list[str]", stdin: int) -> int:
    # Python ignores SIGPIPE, and a child would inherit that.
    actions = [(posix.POSIX_SPAWN_DUP2, stdin, 0)]
    return posix.posix_spawn(command[0], command, posix.environ, file_actions=actions, setsigdef=[_SIGPIPE])


def _tell(text: str) -> None:
    try:
        posix.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # the pusher is gone; the exit status is what counts
