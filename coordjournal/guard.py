"""What the hooks of the server share: who judges a step, and how a refusal is told and logged.

This module is on the hook's hot path: it imports nothing heavy.
"""

import posix
import sys
import time

from .errors import CoordjournalError, GitFailed, Refused
from .gitread import Objects, ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .admission import JudgeExtension, Settings
    from .chain import Judge
    from .commit import Commit
    from .passing import Bounds

LOG = "coordjournal/refusals.jsonl"  # in the repository; one JSON object a refused ref
MOST_TOLD = 1000  # refused refs; there the judgement stops
_LOG_BYTES = 16 * 1024 * 1024  # beyond this the log is put aside once, so that refusals never fill the disk
_LONGEST = 1000  # characters of what is told and logged about one of them: a commit may hold names of any length
_LONGEST_WHO = 200  # characters of each thing that the environment says about the pusher
# What gitolite, web servers, sshd, GitLab, Gitea and GitHub say about who pushes.
_WHO = (
    *("GL_USER", "REMOTE_USER", "REMOTE_ADDR", "SSH_CONNECTION"),
    *("GL_USERNAME", "GITEA_PUSHER_NAME", "GITHUB_USER_LOGIN", "GITHUB_USER_IP"),
)
_NOT_LOGGED = "(the refusal log of the server could not be written)"
_SIGPIPE = 13
_NO_INTERPRETER = 8  # errno ENOEXEC
_SHELL = "/bin/sh"


def outer_environment() -> "dict[str, str]":
    """The environment as text; ``os.environ`` without importing ``os``."""
    encoding = sys.getfilesystemencoding()
    return {
        key.decode(encoding, "surrogateescape"): value.decode(encoding, "surrogateescape")
        for key, value in posix.environ.items()
    }


def step(space: str, now: int, settings: "Settings", objects: Objects, judge_extension: "JudgeExtension") -> "Judge":
    """The judge of one step of a log: the law, then the admission; it never reads what is too large."""
    from . import admission, law

    def judge(parent: "Commit | None", child: "Commit", size: int) -> None:
        if child.files is None:
            child.files = objects.files(child.tree, settings.attachment_bytes)
        admission.check_size(child, size, settings)
        doc = law.check(space, parent, child)
        admission.check(doc, parent, child, now, settings, judge_extension)

    return judge


def bounds(space: str, now: int, settings: "Settings") -> "Bounds":
    """The bounds within which :func:`step` has nothing against a plain step: those of the admission."""
    return space, now + settings.clock_skew, settings.clock_skew, settings.attachment_bytes


def extensions(env: "dict[str, str]", objects: Objects) -> "JudgeExtension":
    """The judge of the extension types that ``refs/meta/coordjournal`` declares."""
    declared: Any = None
    descriptor: str | None = None

    def judge_extension(kind: str, payload: "Any") -> None:
        import json

        from .refs import META
        from .schema import Extensions

        nonlocal declared, descriptor
        if declared is None:
            declared, descriptor = Extensions({}), ref(META, env)
        if descriptor is not None and kind not in declared.declared:
            try:
                found = objects.read(f"{descriptor}:schemas/{kind}.json", "blob")
                content = found[1] if found else _declared_though_lost(descriptor, kind, objects)
            except GitFailed as error:
                raise GitFailed(f"what {META} declares cannot be read: {error}") from None
            if content is not None:
                declared.declared[kind] = json.loads(content)
        declared.judge(kind, payload)

    return judge_extension


def _declared_though_lost(descriptor: str, kind: str, objects: Objects) -> "bytes | None":
    """The schema of ``kind`` once more, of which git knows nothing; None if there is none.

    Raises:
        GitFailed: an object of the descriptor is lost, so that nobody can tell.
    """
    from . import paths

    def read(oid: str, object_kind: str) -> bytes:
        found = objects.read(oid, object_kind)
        if found is None:
            raise paths.Lost(oid, f"it needs the {object_kind} {oid}, which is missing or damaged")
        return found[1]

    return paths.at(read, descriptor, "schemas", f"{kind}.json")


def refuse(refusals: "list[Refused]", git_dir: str, outer: "Mapping[str, str]", unseen: bool = False) -> None:
    """Tells the pusher about the refusals of one push, and logs them. ``unseen``: other refs were not looked at."""
    incident = posix.urandom(5).hex()
    for refusal in refusals:
        refusal.incident = incident
        refusal.ref, refusal.place, refusal.what = _cut(refusal.ref), _cut(refusal.place), _cut(refusal.what)
    logged = _log([_entry(refusal) for refusal in refusals], git_dir, outer)
    tell(explain(refusals, logged, unseen))


def explain(refusals: "list[Refused]", logged: bool, unseen: bool = False) -> str:
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
    if unseen:
        told.append(f"\n  {len(refusals)} refs are refused; the others were not looked at")
    if not logged:
        told.append(f"\n  {_NOT_LOGGED}")
    return "\n".join(told) + "\n"


def undecided(error: BaseException) -> None:
    """Tells and logs why a push could not be judged."""
    what = str(error) if isinstance(error, CoordjournalError) else f"{type(error).__name__}: {error}"
    what = ": ".join(map(_cut, [*getattr(error, "__notes__", ()), what]))
    incident = posix.urandom(5).hex()
    logged = False
    try:
        import traceback

        trace = "".join(traceback.format_exception(error))
        entry = {"incident": incident, "code": "undecided", "what": what, "trace": trace}
        logged = _log([entry], posix.getcwd(), outer_environment())
    except Exception:
        pass  # what is at hand is told
    try:
        from .text import printable

        what = printable(what)
    except Exception:
        what = ascii(what)
    tell(
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
    who = {"uid": os.getuid(), **{key: outer[key][:_LONGEST_WHO] for key in _WHO if key in outer}}
    data = "".join(json.dumps({"at": at, **entry, **who}) + "\n" for entry in entries).encode()
    path = f"{git_dir}/{LOG}"
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
        if os.path.exists(path) and os.stat(path).st_size + len(data) > _LOG_BYTES:
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


def start(command: "list[str]", stdin: int, stdout: int = 1) -> int:
    """Starts a hook of somebody else's as git would have; its process id. Raises OSError."""
    actions = [(posix.POSIX_SPAWN_DUP2, stdin, 0), (posix.POSIX_SPAWN_DUP2, stdout, 1)]
    while True:
        try:
            # Python ignores SIGPIPE, and a child would inherit that.
            return posix.posix_spawn(
                command[0], command, posix.environ, file_actions=actions, setsigdef=[_SIGPIPE]
            )
        except OSError as error:
            if error.errno != _NO_INTERPRETER or command[0] == _SHELL:
                raise
            command = [_SHELL, *command]


def tell(text: str) -> None:
    """Shows ``text`` to the pusher."""
    try:
        posix.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # the pusher is gone; the exit status is what counts
