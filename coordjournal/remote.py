"""Talks to the remote of a clone through git itself, so that credential helpers, ssh settings and proxies work as the
user has them (git-ls-remote(1), git-fetch(1), git-push(1)).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from . import stale
from .errors import CoordjournalError, GitFailed, Refused, RemoteUnreachable
from .opening import environment
from .refs import APPEND, INTENTS, META, SPACES, decode_space, encode_space
from .text import cut, lines, printable

_RACE = re.compile(
    r"stale info|fetch first|non-fast-forward|needs force|failed to update ref|cannot lock ref|incorrect old value"
    r"|reference already exists|already exists|atomic push failed|failed to lock"
)
_WENT = re.compile(r"^[ *+=-]\t[^:]*:(?P<to>\S+)\t(?:[0-9a-f]+\.\.(?P<new>[0-9a-f]+))?")
_LACKS = re.compile(r"unpacker error|missing necessary objects")  # what stands on a commit that the server has not
_HERE = re.compile(  # what went wrong in the clone, whatever the remote did
    r"cannot lock ref|update local ref|insufficient permission|No space left|Read-only file system|Disk quota exceeded"
    r"|couldn't (write|close|set) '|unable to write (loose object )?file|unable to create temporary file"
    r"|bad object refs/(coordjournal|heads|remotes|tags)|unresolved delta"
)
# A git that prunes, here or there, removes the folders of loose objects that it sees empty, and one that has just found
# or made such a folder gives up (2.39). Nothing has happened then, and it does not happen time after time.
_PRUNED = re.compile(r"unable to create temporary file: No such file|unable to migrate objects to permanent storage")
_TRIES = 5
_DAMAGED = re.compile(r"is corrupt|is empty|corrupt loose object|does not match index|non-monotonic index|is too small")
_SHALLOW = re.compile(r"^warning: rejected \S+ because shallow roots", re.MULTILINE)
_TOLD = re.compile(r"^remote: {3}(?P<ref>\S+) commit (?P<commit>[0-9a-f]+) Seq (?P<seq>-|[0-9]{1,18})\s*$")
_WHY = re.compile(r"^remote: {3}(?P<code>[a-z-]+)(?: at (?P<place>.*?))?: (?P<what>.*?)\s*$")
_MEND = 'This clone is damaged: docs/operations.md, "A damaged repository", tells how it gets back what it lost'
_MOST_SAID = 4000  # characters that are quoted of what git, and through it a server, has said
_PASSWORD = re.compile(r"(?<!:):(?!//)[^/@]*@")  # in a URL; git does not repeat it either
_REMEDY = re.compile(r"^remote: {3}-> (?P<remedy>.*?)\s*$")
_UNDECIDED = "coordjournal cannot judge this push"  # what the hook says that did not die
_INCIDENT = re.compile(r"^remote: coordjournal refused this push.*Incident (?P<incident>[0-9a-f]+)")


class NotSequencing(CoordjournalError):
    """The server does not know ``refs/append/``."""

    code = "not-sequencing"


@dataclass(frozen=True, slots=True)
class Went:
    """A ref that a push really moved there, and the commit that it moved to where git tells it: not of a new ref."""

    ref: str
    commit: str | None


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
        for line in lines(done.stdout):
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
            GitFailed: the clone cannot be written, or the remote is a shallow clone.
        """
        stale.remove([f"{self.git_dir}/{here}.lock" for here in refs.values()])
        self._fetch(f"+{there}:{here}\n" for there, here in refs.items())

    def fetch_objects(self, space: str) -> None:
        """Fetches what the log of ``space`` there holds, and moves no ref of the clone. Raises as :meth:`fetch` does,
        also where there is no such log."""
        self._fetch([f"{SPACES}{encode_space(space)}\n"])

    def _fetch(self, specs: Iterable[str]) -> None:
        done = self._run(
            *("-c", "fetch.prune=false", "-c", "remote." + self.name + ".prune=false"),
            *("-c", "gc.auto=0", "-c", "maintenance.auto=false"),  # the second saves the process that asks the first
            # The law judges every byte of what comes, and says what is wrong where; git's check would be in its way.
            *("-c", "fetch.fsckObjects=false", "-c", "fetch.writeCommitGraph=false"),
            # A log is only whole with its trees and attachments: the filter of a partial clone is for the rest.
            *("fetch", "--quiet", "--no-filter", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"),
            *("--refmap=", "--stdin", "--", self.name),
            stdin="".join(specs),
        )
        if done.returncode:
            what = f"cannot fetch from {self.name}: {_said(done)}"
            own = [line for line in lines(done.stderr) if not line.startswith("remote:")]
            if self._is_damaged(own):
                raise GitFailed(f"{what}. {_MEND}")
            raise (GitFailed if any(map(_HERE.search, own)) else RemoteUnreachable)(what)
        if _SHALLOW.search(done.stderr):  # which git takes for no failure
            raise GitFailed(
                f"{self.name} is a shallow clone, whose logs have no beginning; `git fetch --unshallow` there brings it"
            )

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
        error = self._declined(done)
        if isinstance(error, Refused) and (error.code, error.place) == ("not-fast-forward", "ref"):
            return False  # the hook has seen it before git did: git told this client that the log is at ``old``
        raise error

    def submit(self, space: str, new: str, first: str | None = None) -> list[Went]:
        """Hands the commit ``new``, the last of a chain of intents or of stamped commits, to the sequencer there; where
        it really went.

        Args:
            first: the first commit of that chain, if what it stands on is in the log there: nothing behind it is sent.

        Raises:
            Refused: coordjournal's hooks there refused it.
            NotSequencing: coordjournal's hook there said so; or the server knows nothing of ``refs/append/`` and stored
                it there, from where it was removed again, and so was what a client that died has left there.
            RemoteUnreachable: the connection failed or the sequencer died, before or after the push got through.
            GitFailed: the server declined for another reason.
        """
        ref = APPEND + encode_space(space)
        with _nothing_behind(first) as environment:
            done = self._run(
                *("-c", f"core.abbrev={len(new)}", "-c", "advice.graftFileDeprecated=false"),
                *("push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no"),
                *("--", self.name, f"{new}:{ref}"),
                also=environment,
            )
        if done.returncode:
            if first is not None and _LACKS.search(_status(done)):  # it may have gone back: its hook will say so
                return self.submit(space, new)
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
        found = [Went(match["to"], match["new"]) for match in map(_WENT.match, lines(done.stdout)) if match]
        if any(went.ref == ref for went in found):
            self._run("push", "--porcelain", "--quiet", f"--force-with-lease={ref}:{new}", "--", self.name, f":{ref}")
            raise NotSequencing(f"{self.name} does not sequence, though its descriptor says so")
        return found

    def waiting(self, space: str) -> dict[str, str]:
        """The inbox of ``space`` there, in the order of arrival: ref to commit. Raises RemoteUnreachable."""
        done = self._run("ls-remote", "--refs", "--", self.name, f"{INTENTS}{encode_space(space)}/*")
        if done.returncode:
            raise RemoteUnreachable(f"cannot read {self.name}: {_said(done)}")
        found = (line.partition("\t") for line in lines(done.stdout))
        return dict(sorted((ref, oid) for oid, _, ref in found))

    def _declined(self, done: subprocess.CompletedProcess[str]) -> CoordjournalError:
        """The error of a push that failed."""
        status = _status(done)
        if self._is_damaged([line for line in lines(done.stderr) if not line.startswith("remote:")]):
            return GitFailed(f"cannot push to {self.name}: {_said(done)}. {_MEND}")
        died = "proc-receive hook" in status and _UNDECIDED not in done.stderr
        died = died or "died of signal" in done.stderr  # a hook that was killed
        if status.startswith("[remote failure]") or died:  # no word of what became of it
            return RemoteUnreachable(f"cannot push to {self.name}: {_said(done)}")
        refusal = next(iter(refusals(done.stderr)), None)
        if refusal is not None:
            return refusal
        return GitFailed(f"{self.name} declined the push: {printable(cut(status))}. {_said(done)}")

    def _is_damaged(self, lines: Iterable[str]) -> bool:
        """Whether git says that a file of the clone is damaged. What a server says of its own may come by the same way
        (the standard error of ssh), but not with the path of this clone."""
        return any(_DAMAGED.search(line) and f"{self.git_dir}/objects/" in line for line in lines)

    def _run(
        self, *arguments: str, stdin: str = "", also: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        for left in reversed(range(_TRIES)):
            try:
                done = subprocess.run(
                    ["git", f"--git-dir={self.git_dir}", *arguments],
                    input=stdin,
                    capture_output=True,
                    encoding="utf-8",
                    errors="replace",
                    env={**environment(), **(also or {})},
                    check=False,
                )
            except FileNotFoundError:
                raise GitFailed("git is not installed, or not in PATH") from None
            if not left or done.returncode == 0 or not _PRUNED.search(done.stderr + done.stdout):
                break
        return done


@contextmanager
def _nothing_behind(first: str | None) -> Iterator[dict[str, str]]:
    """What to add to the environment of a ``git push`` so that it sends nothing that is behind the commit ``first``.

    A push takes for known to the server only what the refs there name and this clone has. In a space where others
    append too that is nothing most of the time, and git would send the whole log each time. So it is told, for this one
    push, that ``first`` is a root (``GIT_GRAFT_FILE``, git(1)): it walks no further; what it sends is ``first`` as it
    is, with its parent. A git that knows no grafts sends more, that is all.
    """
    from tempfile import NamedTemporaryFile  # which only writers need

    environment: dict[str, str] = {}
    with ExitStack() as stack:
        if first is not None:
            with suppress(OSError):  # no place for it: git sends more
                file = stack.enter_context(NamedTemporaryFile(prefix="coordjournal-"))
                file.write(first.encode() + b"\n")
                file.flush()
                environment["GIT_GRAFT_FILE"] = file.name
        yield environment


def _status(done: subprocess.CompletedProcess[str]) -> str:
    """What git says of the first ref that was not pushed."""
    found = [line.rpartition("\t")[2] for line in lines(done.stdout) if line.startswith("!\t")]
    return found[0] if found else "[remote failure]"


def _is_race(status: str) -> bool:
    return "hook declined" not in status and _RACE.search(status) is not None


def refusals(said: str) -> Iterable[Refused]:
    """The refusals that the hook told, out of what git printed of them (:func:`coordjournal.guard.explain`)."""
    incident = ""
    found: Refused | None = None
    ref = commit = seq = ""
    for line in lines(said):
        if match := _INCIDENT.match(line):
            incident = cut(match["incident"], 100)
        elif match := _TOLD.match(line):
            ref, commit, seq = cut(match["ref"]), cut(match["commit"]), match["seq"]
        elif ref and (match := _WHY.match(line)):
            if found is not None:
                yield found
            found = Refused(
                cut(match["code"]),
                cut(match["what"]),
                cut(match["place"] or ""),
                ref=ref,
                commit=commit,
                seq=None if seq == "-" else int(seq),
                incident=incident,
            )
            ref = ""
        elif found is not None and (match := _REMEDY.match(line)):
            found.remedy = cut(match["remedy"])
    if found is not None:
        yield found


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """What git printed, on one line and safe to show: it may quote the other side."""
    told = done.stderr
    if len(told) > _MOST_SAID:  # a server may say any amount; git's own last word comes at the end
        told = f"{told[: _MOST_SAID // 2]}\n...\n{told[-_MOST_SAID // 2 :]}"
    found = [printable(line.strip()) for line in lines(told)]
    return "; ".join(line for line in found if line) or f"git ended with status {done.returncode}"
