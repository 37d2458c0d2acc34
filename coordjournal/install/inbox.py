"""What waits in the inbox, as the administrator sees it: from the names of refs and the tips of the logs alone."""

from __future__ import annotations

from dataclasses import dataclass

from .. import commit, refs, trailer
from ..text import lines
from . import gitcli


@dataclass(frozen=True, slots=True)
class Inbox:
    """The intents that wait in one space.

    ``arrivals`` are the times they came, in microseconds since 1970, rising. ``holder`` is who holds the lease, ``""``
    if nobody does; it was over at ``until``, in seconds since 1970 (0 if nobody knows).
    """

    space: str
    arrivals: tuple[int, ...]
    holder: str
    until: int


def arrivals(git_dir: str) -> dict[str, list[int]]:
    """When the intents that wait came, in microseconds since 1970 and rising, for each space where some do.

    Raises:
        GitFailed: git cannot tell the refs.
    """
    listed = gitcli.ask(git_dir, "for-each-ref", "--format=%(refname)", refs.INTENTS.rstrip("/"))
    found: dict[str, list[int]] = {}
    for ref in lines(listed.decode("utf-8", "surrogateescape")):
        spelled, _, rest = ref[len(refs.INTENTS) :].partition("/")
        try:
            space, arrival = refs.decode_space(spelled), int(rest.partition("-")[0])
        except ValueError:
            continue  # none of the inbox; what looks at the names of all refs tells it
        found.setdefault(space, []).append(arrival)
    return {space: sorted(found[space]) for space in sorted(found)}


def inboxes(git_dir: str, now: float) -> list[Inbox]:
    """The inboxes of the repository ``git_dir`` that are not empty, as of ``now`` (seconds since 1970).

    Raises:
        GitFailed: git cannot tell the refs.
        Refused, ValueError: the tip of a log is no decision.
    """
    found = []
    for space, times in arrivals(git_dir).items():
        lease = _lease(git_dir, space)
        held = lease is not None and lease.in_force(int(now))
        holder, until = (lease.holder if held else "", lease.until) if lease is not None else ("", 0)
        found.append(Inbox(space, tuple(times), holder, until))
    return found


def unreadable(git_dir: str) -> list[tuple[str, str]]:
    """The refs of the inbox that name what is missing, damaged or no commit, each with the name of that object.

    Raises:
        GitFailed: git cannot tell the refs.
    """
    listed = gitcli.ask(git_dir, "for-each-ref", "--format=%(refname) %(objectname)", refs.INTENTS.rstrip("/"))
    named = [line.partition(" ")[::2] for line in lines(listed.decode("utf-8", "surrogateescape"))]
    words = (f"--git-dir={git_dir}", "cat-file", "commit")
    return [(ref, oid) for ref, oid in named if gitcli.run(*words, oid).returncode]


def _lease(git_dir: str, space: str) -> trailer.Lease | None:
    """What the tip of a log says about the lease."""
    header, _, raw = gitcli.ask(git_dir, "cat-file", "--batch", stdin=refs.space_ref(space).encode()).partition(b"\n")
    oid, _, rest = header.decode().partition(" ")
    if not rest.startswith("commit "):
        return None  # nothing has landed in this space yet
    return trailer.read(commit.parse(oid, raw[:-1]).lease)
