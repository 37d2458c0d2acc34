"""Talks to the remote of a clone through git itself, so that credential helpers, ssh settings and proxies work as the
user has them (git-ls-remote(1), git-fetch(1), git-push(1)).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from . import stale
from .errors import CoordjournalError, GitFailed, Refused, RemoteUnreachable
from .refs import APPEND, INTENTS, META, SPACES, decode_space, encode_space
from .text import printable

# What steers git to a repository: its own list (local_repo_env in environment.c) but for the configuration on it.
_LOCAL = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_QUARANTINE_PATH",
        "GIT_NAMESPACE",
        "GIT_COMMON_DIR",
        "GIT_PREFIX",
        "GIT_SHALLOW_FILE",
        "GIT_GRAFT_FILE",
        "GIT_REPLACE_REF_BASE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INTERNAL_SUPER_PREFIX",
    }
)
_RACE = re.compile(
    r"stale info|fetch first|non-fast-forward|needs force|failed to update ref|cannot lock ref|incorrect old value"
    r"|reference already exists|already exists|atomic push failed|failed to lock"
)
_WENT = re.compile(r"^[ *+=-]\t[^:]*:(?P<to>\S+)\t")
_HERE = re.compile(r"cannot lock ref|update local ref|insufficient permission|No space left|Read-only file system")
_TOLD = re.compile(r"^remote: {3}(?P<ref>\S+) commit (?P<commit>[0-9a-f]+) Seq (?P<seq>-|\d+)\s*$")
_WHY = re.compile(r"^remote: {3}(?P<code>[a-z-]+)(?: at (?P<place>.*?))?: (?P<what>.*?)\s*$")
_PASSWORD = re.compile(r"(?<!:):(?!//)[^/@]*@")  # in a URL; git does not repeat it either
_REMEDY = re.compile(r"^remote: {3}-> (?P<remedy>.*?)\s*$")
_UNDECIDED = "coordjournal cannot judge this push"  # what the hook says that did not die
_INCIDENT = re.compile(r"^remote: coordjournal refused this push.*Incident (?P<incident>[0-9a-f]+)")


def environment() -> dict[str, str]:
    """The environment for a git of the user's own: with what they have set about transport, but in plain English, and
    without what the caller's environment may say about some repository."""
    return {**{key: value for key, value in os.environ.items() if key not in _LOCAL}, "LC_ALL": "C", "LANGUAGE": ""}


class NotSequencing(CoordjournalError):
    """The server does not know ``refs/append/``."""

    code = "not-sequencing"


@dataclass(frozen=True, slots=True)
class Remote:
    """The remote ``name`` of the repository ``git_dir``."""

    git_dir: str
    name: str

    def tips(self) -> tuple[dict[str, str], str | None]:
        """The tip of every log there, and the descriptor's commit if it has one.

        Raises:
            RemoteUnreachable: with what git said.
        """
        done = self._run("ls-remote", "--refs", "--", self.name, SPACES + "*", META)
        if done.returncode:
            raise RemoteUnreachable(f"cannot read {_PASSWORD.sub('@', self.name, 1)}: {_said(done)}")
        tips: dict[str, str] = {}
        descriptor = None
        for line in done.stdout.splitlines():
            oid, _, ref = line.partition("\t")
            if ref == META:
                descriptor = oid
            elif ref.startswith(SPACES):
                try:
                    tips[decode_space(ref.removeprefix(SPACES))] = oid
                except ValueError:
                    continue  # no log, whatever it is
        return tips, descriptor

    def fetch(self, refs: Mapping[str, str]) -> None:
        """Fetches refs of the remote into refs of the clone, moving them wherever they were.

        Raises:
            RemoteUnreachable: with what git said.
            GitFailed: the clone cannot be written.
        """
        specs = "".join(f"+{there}:{here}\n" for there, here in refs.items())
        stale.remove([f"{self.git_dir}/{here}.lock" for here in refs.values()])
        done = self._run(
            *("-c", "fetch.prune=false", "-c", "remote." + self.name + ".prune=false", "-c", "gc.auto=0"),
            # The law judges every byte of what comes, and says what is wrong where; git's check would be in its way.
            *("-c", "fetch.fsckObjects=false", "-c", "fetch.writeCommitGraph=false"),
            *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap="),
            *("--stdin", "--", self.name),
            stdin=specs,
        )
        if done.returncode:
            here = any(_HERE.search(line) for line in done.stderr.splitlines() if not line.startswith("remote:"))
            raise (GitFailed if here else RemoteUnreachable)(f"cannot fetch from {self.name}: {_said(done)}")

    def push(self, space: str, old: str | None, new: str) -> bool:
        """Moves the log of ``space`` there from ``old`` (None: there is none) to ``new``; False if it is not at
        ``old`` any more.

        Raises:
            Refused: coordjournal's hook there refused it.
            RemoteUnreachable: the connection failed, before or after the push got through.
            GitFailed: the server declined for another reason.
        """
        ref = SPACES + encode_space(space)
        done = self._run(
            *("push", "--porcelain", "--quiet", "--no-follow-tags", "--recurse-submodules=no"),
            *(f"--force-with-lease={ref}:{old or ''}", "--", self.name, f"{new}:{ref}"),
        )
        if done.returncode == 0:
            return True
        if _is_race(_status(done)):
            return False
        raise self._declined(done)

    def submit(self, space: str, new: str) -> list[str]:
        """Hands the commit ``new``, the last of a chain of intents or of stamped commits, to the sequencer there; the
        refs that it really went to.

        Raises:
            Refused: coordjournal's hooks there refused it.
            NotSequencing: coordjournal's hook there said so; or the server knows nothing of ``refs/append/`` and stored
                it there, from where it was removed again, and so was what a client that died has left there.
            RemoteUnreachable: the connection failed or the sequencer died, before or after the push got through.
            GitFailed: the server declined for another reason.
        """
        ref = APPEND + encode_space(space)
        done = self._run(
            *("push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no", "--", self.name, f"{new}:{ref}")
        )
        if done.returncode:
            error = self._declined(done)
            if isinstance(error, Refused) and error.code == "bad-ref":  # of a ref that is spelt as it should be
                raise NotSequencing(f"{self.name} does not sequence, though its descriptor says so: {error}")
            status = _status(done)
            if "hidden ref" in status:
                raise NotSequencing(f"{self.name} hides refs/append, though its descriptor says that it sequences")
            if isinstance(error, GitFailed) and _is_race(status):  # with what is stored there
                self._run("push", "--porcelain", "--quiet", "--", self.name, f":{ref}")
                raise NotSequencing(f"{self.name} does not sequence, though its descriptor says so")
            raise error
        found = [match["to"] for match in map(_WENT.match, done.stdout.splitlines()) if match]
        if ref in found:
            self._run("push", "--porcelain", "--quiet", f"--force-with-lease={ref}:{new}", "--", self.name, f":{ref}")
            raise NotSequencing(f"{self.name} does not sequence, though its descriptor says so")
        return found

    def waiting(self, space: str) -> dict[str, str]:
        """The inbox of ``space`` there, in the order of arrival: ref to commit. Raises RemoteUnreachable."""
        done = self._run("ls-remote", "--refs", "--", self.name, f"{INTENTS}{encode_space(space)}/*")
        if done.returncode:
            raise RemoteUnreachable(f"cannot read {self.name}: {_said(done)}")
        found = (line.partition("\t") for line in done.stdout.splitlines())
        return dict(sorted((ref, oid) for oid, _, ref in found))

    def _declined(self, done: subprocess.CompletedProcess[str]) -> CoordjournalError:
        """The error of a push that failed."""
        status = _status(done)
        died = "proc-receive hook" in status and _UNDECIDED not in done.stderr
        died = died or "died of signal" in done.stderr  # a hook that was killed
        if status.startswith("[remote failure]") or died:  # no word of what became of it
            return RemoteUnreachable(f"cannot push to {self.name}: {_said(done)}")
        refusal = next(iter(refusals(done.stderr)), None)
        if refusal is not None:
            return refusal
        return GitFailed(f"{self.name} declined the push: {printable(status)}. {_said(done)}")

    def _run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", f"--git-dir={self.git_dir}", *arguments],
                input=stdin,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=environment(),
                check=False,
            )
        except FileNotFoundError:
            raise GitFailed("git is not installed, or not in PATH") from None


def _status(done: subprocess.CompletedProcess[str]) -> str:
    """What git says of the first ref that was not pushed."""
    lines = [line.rpartition("\t")[2] for line in done.stdout.splitlines() if line.startswith("!\t")]
    return lines[0] if lines else "[remote failure]"


def _is_race(status: str) -> bool:
    return "hook declined" not in status and _RACE.search(status) is not None


def refusals(said: str) -> Iterable[Refused]:
    """The refusals that the hook told, out of what git printed of them (:func:`coordjournal.guard.explain`)."""
    incident = ""
    found: Refused | None = None
    ref = commit = seq = ""
    for line in said.splitlines():
        if match := _INCIDENT.match(line):
            incident = match["incident"]
        elif match := _TOLD.match(line):
            ref, commit, seq = match["ref"], match["commit"], match["seq"]
        elif ref and (match := _WHY.match(line)):
            if found is not None:
                yield found
            found = Refused(
                match["code"],
                match["what"],
                match["place"] or "",
                ref=ref,
                commit=commit,
                seq=None if seq == "-" else int(seq),
                incident=incident,
            )
            ref = ""
        elif found is not None and (match := _REMEDY.match(line)):
            found.remedy = match["remedy"]
    if found is not None:
        yield found


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """What git printed, on one line and safe to show: it may quote the other side."""
    lines: Sequence[str] = [printable(line.strip()) for line in done.stderr.splitlines()]
    return "; ".join(line for line in lines if line) or f"git ended with status {done.returncode}"
