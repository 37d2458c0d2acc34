"""The pre-receive hook: judges every ref of a push before git moves any (githooks(5), "pre-receive").

Reads the pushed objects in git's quarantine through ``git cat-file``, asks the law and the admission about every
commit between the old and the new tip, and refuses the push as a whole if anything breaks them, or if it cannot
decide. This is the hot path: it imports nothing that an accepted push of one decision does not need.
"""

import os
import sys
import time

from . import admission, chain, law
from .commit import Commit
from .errors import Refused
from .gitread import Objects, ask_config, config, environment
from .refs import APPEND, INTENTS, META, SPACES, decode_space
from .text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, NoReturn

LOG = "coordjournal/refusals.jsonl"  # in the repository; one JSON object a refused ref
_LOG_BYTES = 16 * 1024 * 1024  # beyond this the log is put aside once, so that refusals never fill the disk
_TOLD_WHOLE = 20
_TOLD = 1000
_RESERVED = (SPACES, APPEND, INTENTS, META + "/")


def main() -> "NoReturn":
    """Runs the hook and ends the process: status 0 lets the push in, 1 refuses it."""
    try:
        commands = sys.stdin.buffer.read()
        status = run(commands, os.getcwd(), os.environ)
        if status == 0:
            status = _hook_before(sys.argv[0] + ".before-coordjournal", commands)
    except BaseException as error:  # a guard that cannot decide refuses, whatever happened
        _tell(
            f"coordjournal cannot judge this push ({type(error).__name__}: {printable(str(error))}), so it is refused; "
            "nothing was changed.\nTell the administrator of the repository: `coordjournal doctor` says what is wrong.\n"
        )
        status = 1
    os._exit(status)  # skips the interpreter's own tidying up: 1 to 2 ms


def run(commands: bytes, git_dir: str, outer: "os._Environ[str]") -> int:
    """Judges the ``<old> SP <new> SP <ref> LF`` lines of a push; 0, or 1 after the refusals are told and logged."""
    env = environment(git_dir, outer, quarantine=True)
    with Objects(env) as objects:
        refusals = list(judge(_parsed(commands), env, objects))
    if not refusals:
        return 0
    incident = os.urandom(5).hex()
    for refusal in refusals:
        refusal.incident = incident
    logged = _log(refusals, git_dir, outer)
    _tell(explain(refusals, logged))
    return 1


def judge(updates: "list[tuple[str, str, str]]", env: "dict[str, str]", objects: Objects) -> "Iterable[Refused]":
    """The refusal of each ref of a push that cannot be let in. ``updates`` are old tip, new tip and ref."""
    asked = ask_config(env)
    if len(updates) == 1 and updates[0][1].strip("0"):
        objects.ask_ahead(updates[0][1])  # git looks the commit up while the other process reads the configuration
    settings = admission.Settings.from_config(config(asked))
    now = int(time.time())
    for old, new, ref in updates:
        try:
            space = _space_of(ref, settings.strict)
            if space is None:
                continue
            admission.check_writable(settings)
            if not new.strip("0"):
                raise Refused("deleted", "a log is never deleted", "", "nothing; a decision can be revoked instead")
            step = _Step(space, now, settings, objects)
            chain.judge(step, old if old.strip("0") else None, new, env, objects, settings.decision_bytes)
        except Refused as refusal:
            refusal.ref = ref
            refusal.commit = refusal.commit or (new if new.strip("0") else old)
            yield refusal


class _Step:
    """Judges one step of a log: the law, then the admission, and never reads what is too large."""

    def __init__(self, space: str, now: int, settings: admission.Settings, objects: Objects) -> None:
        self.space = space
        self.now = now
        self.settings = settings
        self.objects = objects
        self._extensions: Any = None

    def __call__(self, parent: "Commit | None", child: Commit, size: int) -> None:
        try:
            if child.files is None:
                child.files = self.objects.files(child.tree, self.settings.attachment_bytes)
            admission.check_size(child, size, self.settings)
            doc = law.check(self.space, parent, child)
            admission.check(doc, parent, child, self.now, self.settings, self._judge_extension)
        except Refused as refusal:
            refusal.commit = child.oid
            refusal.seq = child.seq
            raise

    def _judge_extension(self, kind: str, payload: "Any") -> None:
        if self._extensions is None:
            from .schema import Extensions

            self._extensions = Extensions({})
        if kind not in self._extensions.declared:
            import json

            found = self.objects.read(f"{META}:schemas/{kind}.json", "blob")
            if found is not None:
                self._extensions.declared[kind] = json.loads(found[1])
        self._extensions.judge(kind, payload)


def _space_of(ref: str, strict: bool) -> "str | None":
    """The space of a log's ref; None for a ref that is none of our business. Raises Refused ``bad-ref``."""
    if ref.startswith(SPACES):
        try:
            return decode_space(ref[len(SPACES) :])
        except ValueError:
            raise Refused(
                "bad-ref",
                "not the one spelling of a space id",
                "",
                "bytes outside [a-z0-9._-] are written %XX; `coordjournal spaces --ref SPACE` spells it",
            ) from None
    if ref.startswith(APPEND):
        raise Refused("bad-ref", "this server does not sequence intents", "", f"push the stamped decision to {SPACES}")
    if ref == META or ref.startswith(_RESERVED) or ref + "/" in (*_RESERVED, "refs/meta/"):
        raise Refused("bad-ref", "only the server itself moves this ref", "", "")
    if strict:
        raise Refused(
            "bad-ref",
            f"this repository holds logs ({SPACES}<space>) and nothing else",
            "",
            "an administrator can allow it: git config coordjournal.strict false",
        )
    return None


def _parsed(commands: bytes) -> "list[tuple[str, str, str]]":
    updates = []
    for line in commands.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        old, new, ref = line.split(" ", 2)
        updates.append((old, new, ref))
    return updates


def explain(refusals: "list[Refused]", logged: bool) -> str:
    """What the pusher reads: which refs, commits and places, what was wrong, what to do."""
    first = refusals[0]
    told = [f"coordjournal refused this push; nothing was changed. Incident {first.incident}"]
    for number, refusal in enumerate(refusals[:_TOLD]):
        seq = "-" if refusal.seq is None else refusal.seq
        told.append(f"\n  {printable(refusal.ref)} commit {refusal.commit} Seq {seq}")
        place = f" at {printable(refusal.place)}" if refusal.place else ""
        told.append(f"  {refusal.code}{place}: {printable(refusal.what)}")
        if refusal.remedy and number < _TOLD_WHOLE:
            told.append(f"  -> {printable(refusal.remedy)}")
    if len(refusals) > _TOLD:
        told.append(f"\n  and {len(refusals) - _TOLD} refs more")
    if not logged:
        told.append("\n  (the refusal log of the server could not be written)")
    return "\n".join(told) + "\n"


def _log(refusals: "list[Refused]", git_dir: str, outer: "os._Environ[str]") -> bool:
    """Appends the refusals to the server's refusal log; whether that worked."""
    import json

    who = {key: outer[key] for key in ("GL_USER", "REMOTE_USER", "REMOTE_ADDR", "SSH_CONNECTION") if key in outer}
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    lines = "".join(
        json.dumps(
            {
                "at": at,
                "incident": r.incident,
                "ref": r.ref,
                "commit": r.commit,
                "seq": r.seq,
                "code": r.code,
                "place": r.place,
                "what": r.what,
                "uid": os.getuid(),
                **who,
            }
        )
        + "\n"
        for r in refusals[:_TOLD]
    )
    path = f"{git_dir}/{LOG}"
    try:
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        if os.path.exists(path) and os.stat(path).st_size > _LOG_BYTES:
            os.replace(path, path + ".1")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            if os.fstat(descriptor).st_size == 0 and os.stat(folder).st_mode & 0o020:
                os.fchmod(descriptor, 0o660)  # a repository shared by a group: the next pusher logs here too
            os.write(descriptor, lines.encode())
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def _hook_before(path: str, commands: bytes) -> int:
    """Runs the hook that was here before coordjournal, as git would have; its exit status."""
    if not os.access(path, os.X_OK):
        return 0
    reader, writer = os.pipe()
    pid = os.posix_spawn(path, [path], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, reader, 0)])
    os.close(reader)
    try:
        while commands:
            commands = commands[os.write(writer, commands) :]
    except BrokenPipeError:
        pass  # git too lets a hook leave its input unread
    os.close(writer)
    return 1 if os.waitpid(pid, 0)[1] else 0


def _tell(text: str) -> None:
    try:
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # the pusher is gone; the exit status is what counts

