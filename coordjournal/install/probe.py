"""Proving with real pushes that the hook judges: in a scratch repository, and harmlessly in the real one.

The scratch repository has the same hook files and reads the same configuration. There a lawful log must go in, and a
rewind and a deletion must be refused; an intent must be appended, or refused where intents are not sequenced.

In the real repository a rewind and a deletion of a real log are pushed too, for only that shows that git runs the hook
*there*. Such a push must not do damage where the hook does not run. So each is one ``--atomic`` push that also makes
two refs of which one is a folder of the other (``refs/spaces/%doctor`` and ``refs/spaces/%doctor/probe``): no ref store
of git can hold both, so git itself fails the whole transaction after the hooks, in every version and under every
setting. Who refused, the hook or git, is told by the hook's own words. Where the server offers no atomic pushes
(``receive.advertiseAtomic``) git's client sends nothing at all. All that remains is an entry in the refusal log.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .. import commit as commits
from ..canonical import dumps
from ..errors import GitFailed
from ..text import lines
from ..timestamp import text
from . import gitcli, hooks, sequencing
from .record import FOLDER
from .repository import Repository

_SPACE = "doctor"
_REF = "refs/spaces/doctor"
_INTENTS = "refs/append/doctor"
_IMPOSSIBLE = ("refs/spaces/%doctor", "refs/spaces/%doctor/probe")
_SECONDS = 60.0
_ACTOR = "coordjournal doctor"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A push that was tried: ``what``, whether it went as it must (None: it could not be tried), what git said, and
    what it means if it went otherwise."""

    what: str
    good: bool | None
    said: str = ""
    meaning: str = "nothing guards the logs"


def scratch(repository: Repository, where: str) -> list[Attempt]:
    """Push into a scratch repository that has the hooks of the folder ``where`` and the settings of ``repository``.

    Raises:
        OSError, GitFailed: it cannot be made.
    """
    with _workplace(repository) as place:
        object_format = gitcli.ask(repository.git_dir, "rev-parse", "--show-object-format").decode().strip()
        server, client = os.path.join(place, "server.git"), os.path.join(place, "client.git")
        for path in (server, client):
            _must(gitcli.run("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", path))
        for name in hooks.NAMES:
            path = hooks.place(where, name)
            if os.path.lexists(path) and hooks.kind(path, name) == "ours":
                for copied in filter(None, (path, hooks.runner(path))):
                    copy = os.path.join(server, "hooks", os.path.relpath(copied, where))
                    os.makedirs(os.path.dirname(copy), exist_ok=True)
                    shutil.copy2(copied, copy)
        with open(os.path.join(server, "config"), "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(_configuration(repository))
        first = _decision(client, None, 0)
        second = _decision(client, first, 1)
        intent = _decision(client, second, None)
        let_in = _scratch_push("a lawful log is let in", client, server, f"{second}:{_REF}", second)
        appended = _intent_push(client, server, intent, second, sequencing.is_on(repository))
        tip = _tip(server)
        return [
            let_in,
            appended,
            _scratch_push("a rewind is refused", client, server, f"+{first}:{_REF}", tip, "not-fast-forward"),
            _scratch_push("a deletion is refused", client, server, f":{_REF}", tip, "deleted"),
        ]


def real(repository: Repository) -> list[Attempt]:
    """Push a rewind and a deletion of a log of ``repository`` itself, in a way that cannot do damage.

    Returns nothing where there is no log yet.

    Raises:
        GitFailed: git cannot tell the logs.
    """
    form = "--format=%(objectname) %(parent) %(refname)"
    listed = gitcli.ask(repository.git_dir, "for-each-ref", form, "refs/spaces/").decode("utf-8", "surrogateescape")
    logs = [tuple(line.split(" ", 2)) for line in lines(listed)]
    if not logs:
        return []
    tip, parent, ref = next((log for log in logs if log[1]), logs[0])
    attempts = []
    if parent:
        attempts.append(
            _real_push(f"a rewind of {ref} is refused", repository, tip, f"+{parent}:{ref}", "not-fast-forward")
        )
    attempts.append(_real_push(f"a deletion of {ref} is refused", repository, tip, f":{ref}", "deleted"))
    return attempts


def _scratch_push(what: str, client: str, server: str, update: str, tip: str, code: str = "") -> Attempt:
    done = gitcli.run(f"--git-dir={client}", *_push(server), update, timeout=_SECONDS)
    said = gitcli.said(done)
    now = _tip(server)
    if code:
        return Attempt(what, done.returncode != 0 and now == tip and _refused(said, code), said)
    return Attempt(what, done.returncode == 0 and now == tip, said)


def _tip(server: str) -> str:
    """The tip of the scratch repository's log, ``""`` if there is none."""
    return gitcli.run(f"--git-dir={server}", "rev-parse", "--verify", "--quiet", _REF).stdout.decode().strip()


def _intent_push(client: str, server: str, intent: str, tip: str, sequenced: bool) -> Attempt:
    """Push an intent to the scratch repository, whose log ends at ``tip``, Seq 1."""
    done = gitcli.run(f"--git-dir={client}", *_push(server), f"{intent}:{_INTENTS}", timeout=_SECONDS)
    said = gitcli.said(done)
    if not sequenced:
        what = "an intent is refused, for nothing is sequenced here"
        good = done.returncode != 0 and _refused(said, "bad-ref")
        return Attempt(what, good, said, "a push to refs/append/ may leave a stray ref there")
    shown = gitcli.run(f"--git-dir={server}", "show", "--no-patch", "--format=%P%n%B", _REF).stdout
    line = gitcli.run(f"--git-dir={client}", "show", "--no-patch", "--format=%B", intent).stdout.split(b"\n")[2]
    good = done.returncode == 0 and shown.startswith(tip.encode()) and line in shown and b"\nSeq: 2\n" in shown
    return Attempt("an intent is appended", good, said, "no intent can be appended")


def _real_push(what: str, repository: Repository, tip: str, update: str, code: str) -> Attempt:
    done = gitcli.run(
        f"--git-dir={repository.git_dir}",
        *_push(repository.git_dir, "--atomic"),
        update,
        *(f"{tip}:{ref}" for ref in _IMPOSSIBLE),
        timeout=_SECONDS,
    )
    said = gitcli.said(done)
    # A ref that the repository hides (receive.hideRefs) git itself lets nobody push to.
    if _refused(said, code) or _refused(said, "read-only") or "deny updating a hidden ref" in said:
        return Attempt(what, True, said)
    if "pre-receive hook declined" in said or "atomic transaction failed" in said:
        return Attempt(what, False, said)
    return Attempt(what, None, said)  # it never came to the hook: no atomic pushes, no permission, no room


def _push(server: str, *options: str) -> list[str]:
    settings = ("push.gpgSign=false", "push.followTags=false", "push.pushOption=", "push.recurseSubmodules=no")
    return [*(word for s in settings for word in ("-c", s)), "push", "--no-verify", *options, server]


def _refused(said: str, code: str) -> bool:
    """Whether the hook's own words (coordjournal.guard.explain) say so."""
    return re.search(rf"^remote: +{code}[: ]", said, re.MULTILINE) is not None


def _decision(client: str, parent: str | None, seq: int | None) -> str:
    """Write a lawful decision into ``client``, an intent if it has no ``seq``; its object name."""
    now = int(time.time())
    stamp = now * 1000 << 80 | 7 << 76 | uuid.uuid4().int & (1 << 76) - 1
    payload = {"alias": "doctor", "target": f"doctor:{'intent' if seq is None else seq}"}
    doc = {
        "actor": _ACTOR,
        "at": text(now),
        "id": str(uuid.UUID(int=stamp & ~(3 << 62) | 2 << 62)),
        "payload": payload,
        "space": _SPACE,
        "type": "alias-set",
        "v": 1,
    }
    tree = _stored(client, "tree", b"")
    subject = commits.subject("alias-set", payload)
    return _stored(client, "commit", commits.build(tree, parent, _ACTOR, now, _ACTOR, now, subject, dumps(doc), seq))


def _stored(client: str, kind: str, content: bytes) -> str:
    return gitcli.ask(client, "hash-object", "-t", kind, "-w", "--stdin", stdin=content).decode().strip()


def _configuration(repository: Repository) -> str:
    """The scratch repository's settings: those of the real one by inclusion, but for what would change the question."""
    path = os.path.join(repository.git_dir, "config").replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'[include]\n\tpath = "{path}"\n'
        "[core]\n\tbare = true\n\thooksPath = hooks\n"
        "[coordjournal]\n\treadOnly = false\n"
        "[receive]\n\tautogc = false\n\thideRefs = !refs/spaces\n\thideRefs = !refs/append\n"
    )


@contextmanager
def _workplace(repository: Repository) -> Iterator[str]:
    """A folder for the scratch repository: on the real one's file system, where hooks run or do not run alike."""
    folder = os.path.join(repository.git_dir, FOLDER)
    inside = os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)
    place = tempfile.mkdtemp(prefix="probe-", dir=folder if inside else None)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _must(done: subprocess.CompletedProcess[bytes]) -> None:
    if done.returncode:
        raise GitFailed(f"git cannot make a scratch repository: {gitcli.said(done)}")
