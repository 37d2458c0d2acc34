"""The process of an operation: does what ``asked.json`` in the folder of the run says, and prints what it was told.

    landed <id> <commit>      as soon as the library has said so: from then on it must be there for ever
    queued <id>               the library keeps it
    done                      the operation has ended
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from coordjournal import AliasSet, Intent, Journal, Queued, install, transfer
from coordjournal import rescue as rescues
from coordjournal.space import Space


def tell(*words: str) -> None:
    """A line, whole, at once."""
    os.write(1, (" ".join(words) + "\n").encode())


def intents(space: Space, asked: dict[str, Any]) -> list[Intent]:
    """What is to be appended: the same bytes each time."""
    return [
        space.intent(AliasSet(f"name {id[-4:]}", "shardA:Index"), actor="alice", id=id, at=asked["at"])
        for id in asked["ids"]
    ]


def append(journal: Journal, asked: dict[str, Any]) -> None:
    space = journal.space("garden")
    try:
        landed = space.append_many(intents(space, asked), expect=asked["expect"])
    except Queued as queued:
        for intent in queued.intents:
            tell("queued", intent.decision.id)
    else:
        for one in landed:
            tell("landed", one.decision.id, one.commit)


def lease(journal: Journal, asked: dict[str, Any]) -> None:
    space = journal.space("garden")
    with space.lease("node-a", ttl=asked["ttl"], renew=False):
        for one in space.append_many(intents(space, asked)):
            tell("landed", one.decision.id, one.commit)


def send(journal: Journal, asked: dict[str, Any]) -> None:
    for sent in journal.send():
        for one in sent.landed:
            tell("landed", one.decision.id, one.commit)


def sync(journal: Journal, asked: dict[str, Any]) -> None:
    journal.sync()


def serve(journal: Journal, asked: dict[str, Any]) -> None:
    """Somebody else appends under a lease, and its holder takes it from the inbox."""
    space = journal.space("garden")
    with space.lease("node-a", ttl=asked["ttl"], renew=False) as lease:
        with Journal.open(Path(asked["other"]), extensions={}) as other:
            append(other, asked)
        for one in lease.serve_once():
            tell("landed", one.decision.id, one.commit)


def brought(journal: Journal, asked: dict[str, Any]) -> transfer.Plan:
    """An import that has landed."""
    planned = transfer.plan(journal, "garden", asked["lines"].encode().splitlines())
    transfer.land(journal, "garden", planned)
    return planned


def bring(journal: Journal, asked: dict[str, Any]) -> None:
    for commit, *_, decision, _ in brought(journal, asked).records:
        tell("landed", decision["id"], commit)


def rescue(journal: Journal, asked: dict[str, Any]) -> None:
    rescues._PUSH = 2  # so that a short log takes several pushes, as a long one does
    for rescued in journal.rescue():
        tell("rescued", rescued.outcome)


def fold(journal: Journal, asked: dict[str, Any]) -> None:
    tell("seq", str(journal.space("garden").state().seq))


VERBS = {
    **{"append": append, "lease": lease, "send": send, "serve": serve, "bring": bring},
    **{"sync": sync, "rescue": rescue, "fold": fold},
}


def main(place: Path) -> None:
    """``place`` is the folder of the run."""
    asked = json.loads((place / "asked.json").read_text())
    verb, where = asked["verb"], place / asked["where"]
    if verb == "install":
        install.install(str(where), prefix=asked["prefix"])
    elif verb == "upgrade":
        install.upgrade(str(where))
    else:
        with Journal.open(where, extensions={}) as journal:
            VERBS[verb](journal, asked)
    tell("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
