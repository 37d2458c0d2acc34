"""Reads the inbox of a space: the intents that wait on the server for the holder of the lease."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import canonical, gitread, timestamp
from .commit import parse
from .decision import Decision, Intent
from .errors import CoordjournalError, GitFailed
from .memory import MemoryStore
from .refs import INTENTS, encode_space
from .remote import Remote
from .store import GitStore

_ARRIVAL_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Waiting:
    """An intent in the inbox. ``arrival`` is when the server filed it, in microseconds since 1970; later ones have
    greater ones. ``ref`` and ``commit`` are where it is."""

    id: str
    arrival: int
    ref: str
    commit: str

    def json(self) -> dict[str, Any]:
        """The intent's place as a JSON object, its arrival as a time."""
        arrived = timestamp.text(self.arrival // 1_000_000, self.arrival % 1_000_000)
        return {"id": self.id, "arrived": arrived, "ref": self.ref, "commit": self.commit}


def read(store: GitStore | MemoryStore, remote: Remote | None, space: str) -> list[Waiting]:
    """What waits, in the order of arrival.

    Raises:
        RemoteUnreachable: the remote cannot be asked.
        GitFailed: this repository cannot be read.
    """
    if isinstance(store, MemoryStore):
        return []
    folder = f"{INTENTS}{encode_space(space)}/"
    refs = dict(store.refs(folder)) if remote is None else remote.waiting(space)
    found = []
    for ref, commit in sorted(refs.items()):
        arrival, _, id = ref.removeprefix(folder).partition("-")
        if len(arrival) == _ARRIVAL_DIGITS and arrival.isdecimal():
            found.append(Waiting(id, int(arrival), ref, commit))
    return found


def contents(store: GitStore | MemoryStore, remote: Remote | None, waiting: list[Waiting]) -> list[Intent]:
    """The intents themselves, fetched from the remote as far as they are not here yet.

    Raises:
        RemoteUnreachable: the remote cannot be asked.
        GitFailed: one of them has left the inbox meanwhile, or is damaged.
    """
    assert isinstance(store, GitStore)
    if remote is not None:
        kept = _kept(remote)
        missing = {item.ref: kept + item.ref.removeprefix(INTENTS) for item in waiting if not _has(store, item.commit)}
        if missing:
            try:
                remote.fetch(missing)
            finally:
                store.update_refs([f"delete {ref}" for ref, _ in store.refs(kept)], "read")  # objects stay for weeks
    return [_intent(store, item) for item in waiting]


def _kept(remote: Remote) -> str:
    return f"refs/coordjournal-inbox/{remote.name}/"


def _has(store: GitStore, commit: str) -> bool:
    return store.object(commit, "commit") is not None


def _intent(store: GitStore, item: Waiting) -> Intent:
    found = store.object(item.commit, "commit")
    if found is None:
        raise GitFailed(f"the intent {item.commit} has left the inbox")
    try:
        commit = parse(*found)
        files = {}
        if commit.files is None:
            with gitread.Objects(store.env) as objects:
                measured = objects.files(commit.tree, None)
            files = {file.name: store.file(item.commit, file.name) for file in measured or ()}
        return Intent(Decision.from_json(canonical.trusted(commit.line)), files)
    except (CoordjournalError, ValueError, KeyError, TypeError) as error:
        raise GitFailed(f"the intent {item.commit} cannot be read: {error}") from None
