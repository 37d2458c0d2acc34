"""What is killed: each operation with the repositories that it works in, made anew for each kill from one template.

A run has one folder, always under the same name, for the clones know the server by it::

    server.git    the shared repository, with hooks
    alice         a clone, whose process is killed
    bob           a clone that goes on afterwards
    asked.json    what alice's process is to do
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import coordjournal
from coordjournal import AliasSet, Journal, Queued, descriptor, install, timestamp, transfer

SPACE = "garden"
OLD_VERSION = "0.0.1"
_BATCH = 12  # objects enough for a pack
_BROUGHT = 5  # decisions of an import that are not there yet
_LOST = 3  # decisions that a rescue brings back
_PROJECTED = 300  # decisions enough for a projection


@dataclass(frozen=True, slots=True)
class Operation:
    """``make`` fills the folder of a run, with the package in a prefix, and says what is asked of the worker.

    ``appends``: whoever asks for its decisions again gets each of them once; ``serves`` its server judges pushes before
    it is installed.
    """

    name: str
    what: str
    make: Callable[[Path, str], dict[str, Any]]
    appends: bool = True
    serves: bool = True


def template(operation: Operation, place: Path, prefix: str) -> None:
    """Makes the template of an operation in ``place``, which stands for the folder of every run of it."""
    place.mkdir()
    asked = operation.make(place, prefix)
    asked.setdefault("expect", None)
    asked.setdefault("ids", [])
    asked["at"] = timestamp.text(int(Path(place).stat().st_mtime) - 1)
    (place / "asked.json").write_text(json.dumps(asked))


def ids(count: int) -> list[str]:
    """New ids of decisions, in an order that is theirs."""
    first = uuid4().int & ~(0xF << 76) & ~0xFFFF | 7 << 76
    return [str(UUID(int=first + number)) for number in range(count)]


def _server(place: Path, prefix: str, decisions: int = 3, sequencing: bool = True) -> Path:
    path = place / "server.git"
    install.init(str(path), prefix=prefix, sequencing=sequencing)
    _grow(path, decisions)
    return path


def _grow(path: Path, decisions: int) -> None:
    with Journal.open(path, extensions={}) as journal:
        space = journal.space(SPACE)
        made = [space.intent(AliasSet(f"before {n}", "shardA:Index"), actor="bob") for n in range(decisions)]
        space.append_many(made)


def _clones(place: Path) -> None:
    for name in ("alice", "bob"):
        Journal.clone(str(place / "server.git"), place / name, extensions={}).close()


# -- the operations --------------------------------------------------------------------------------------------------


def _embedded(place: Path, prefix: str) -> dict[str, Any]:
    _server(place, prefix)
    return {"verb": "append", "where": "server.git", "ids": ids(1)}


def _embedded_first(place: Path, prefix: str) -> dict[str, Any]:
    install.init(str(place / "server.git"), prefix=prefix)
    return {"verb": "append", "where": "server.git", "ids": ids(1)}


def _embedded_many(place: Path, prefix: str) -> dict[str, Any]:
    _server(place, prefix)
    return {"verb": "append", "where": "server.git", "ids": ids(80)}


def _sequenced(place: Path, prefix: str) -> dict[str, Any]:
    _server(place, prefix)
    _clones(place)
    return {"verb": "append", "where": "alice", "ids": ids(1)}


def _swap(place: Path, prefix: str) -> dict[str, Any]:
    _server(place, prefix, sequencing=False)
    _clones(place)
    return {"verb": "append", "where": "alice", "ids": ids(1)}


def _batch(place: Path, prefix: str) -> dict[str, Any]:
    _server(place, prefix)
    _clones(place)
    return {"verb": "append", "where": "alice", "ids": ids(_BATCH), "expect": 2}


def _lease(place: Path, prefix: str) -> dict[str, Any]:
    _hasty(_server(place, prefix))
    _clones(place)
    return {"verb": "lease", "where": "alice", "ids": ids(1), "ttl": 5}


def _serve(place: Path, prefix: str) -> dict[str, Any]:
    _hasty(_server(place, prefix))
    _clones(place)
    return {"verb": "serve", "where": "alice", "ids": ids(1), "ttl": 5, "other": str(place / "bob")}


def _hasty(path: Path) -> None:
    """So that a lease that nobody holds any more is soon over."""
    subprocess.run(["git", "-C", str(path), "config", "coordjournal.clockSkew", "1"], check=True)
    with Journal.open(path) as journal:
        descriptor.publish(journal.store)  # type: ignore[arg-type]


def _outbox(place: Path, prefix: str) -> dict[str, Any]:
    path = _server(place, prefix)
    _clones(place)
    asked = {"verb": "send", "where": "alice", "ids": ids(2), "at": ""}
    path.rename(place / "away")
    with Journal.open(place / "alice", extensions={}) as journal:
        space = journal.space(SPACE)
        for id in asked["ids"]:
            try:
                space.append(AliasSet(f"name {id[-4:]}", "shardA:Index"), actor="alice", id=id)
            except Queued:
                continue
    (place / "away").rename(path)
    return asked


def _bring(place: Path, prefix: str) -> dict[str, Any]:
    path = _server(place, prefix)
    _clones(place)
    shutil.copytree(path, place / "longer.git", symlinks=True)
    _grow(place / "longer.git", _BROUGHT)
    with Journal.open(place / "longer.git", extensions={}) as journal:
        lines = list(transfer.export(journal, SPACE))
    shutil.rmtree(place / "longer.git")
    asked = {"verb": "bring", "where": "alice", "ids": [line["id"] for line in lines[-_BROUGHT:]]}
    return asked | {"lines": "\n".join(map(json.dumps, lines))}


def _rescue(place: Path, prefix: str) -> dict[str, Any]:
    """A server that was restored from a backup, and a clone that has more."""
    path = _server(place, prefix)
    _clones(place)
    shutil.copytree(path, place / "backup.git", symlinks=True)
    _grow(path, _LOST)
    with Journal.open(place / "alice", extensions={}) as alice:
        alice.sync()
        lost = [landed.decision.id for landed in alice.space(SPACE).log(-_LOST)]
    shutil.rmtree(path)
    (place / "backup.git").rename(path)
    return {"verb": "rescue", "where": "alice", "ids": lost}


def _rescue_fork(place: Path, prefix: str) -> dict[str, Any]:
    """... and that has gone on since."""
    asked = _rescue(place, prefix)
    _grow(place / "server.git", 2)
    return asked


def _sync(place: Path, prefix: str) -> dict[str, Any]:
    path = _server(place, prefix)
    _clones(place)
    _grow(path, 20)
    return {"verb": "sync", "where": "alice"}


def _build(place: Path, prefix: str) -> dict[str, Any]:
    _server(place, prefix, _PROJECTED)
    shutil.rmtree(place / "server.git" / "coordjournal" / "fold", ignore_errors=True)
    return {"verb": "fold", "where": "server.git"}


def _extend(place: Path, prefix: str) -> dict[str, Any]:
    path = _server(place, prefix, _PROJECTED)
    with Journal.open(path, extensions={}) as journal:
        journal.space(SPACE).state()
    folder = path / "coordjournal" / "fold"
    assert list(folder.glob("*.sqlite")), "there is no projection"
    shutil.copytree(folder, place / "kept")
    _grow(path, _PROJECTED)
    shutil.rmtree(folder)
    (place / "kept").rename(folder)
    return {"verb": "fold", "where": "server.git"}


def _install(place: Path, prefix: str) -> dict[str, Any]:
    subprocess.run(["git", "init", "-q", "--bare", str(place / "server.git")], check=True)
    return {"verb": "install", "where": "server.git", "prefix": prefix}


def _upgrade(place: Path, prefix: str) -> dict[str, Any]:
    """A repository with the hooks, and a prefix of its own with the package, of another version."""
    older = older_package(place / "older")
    code = "import sys; from coordjournal import install; install.init(sys.argv[1], prefix=sys.argv[2])"
    subprocess.run(
        [sys.executable, "-c", code, place / "server.git", place / "prefix"],
        env={**os.environ, "PYTHONPATH": str(older)},
        cwd=older,
        check=True,
        capture_output=True,
    )
    _grow(place / "server.git", 3)
    _clones(place)
    return {"verb": "upgrade", "where": "server.git"}


def older_package(place: Path) -> Path:
    """A copy of the package under another version number; the folder to import it from."""
    source = Path(coordjournal.__file__).parent
    place.mkdir()
    shutil.copytree(source, place / "coordjournal", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("hooks", "schemas"):
        if not (place / "coordjournal" / name).exists():
            shutil.copytree(source.parent / name, place / name)
    init = place / "coordjournal" / "__init__.py"
    init.write_text(init.read_text().replace(f'"{coordjournal.__version__}"', f'"{OLD_VERSION}"'))
    return place


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("embedded", "an embedded append", _embedded),
        Operation("embedded-first", "the first append to a space", _embedded_first),
        Operation("embedded-many", "an embedded append of 80 decisions", _embedded_many),
        Operation("sequenced", "an append through the sequencer", _sequenced),
        Operation("swap", "a push by compare-and-swap, to a server that does not sequence", _swap),
        Operation("batch", f"{_BATCH} stamped decisions at once", _batch),
        Operation("lease", "a lease acquired, used and released", _lease),
        Operation("serve", "a decision of somebody else, taken from the inbox under a lease", _serve),
        Operation("import", f"an import of {_BROUGHT} decisions into a clone", _bring),
        Operation("rescue", f"a server that is {_LOST} decisions behind, rescued", _rescue, appends=False),
        Operation("rescue-fork", f"a server that lacks {_LOST} and has 2 others, rescued", _rescue_fork, appends=False),
        Operation("outbox", "two entries of the outbox sent", _outbox),
        Operation("sync", "a sync of 20 decisions", _sync, appends=False),
        Operation("build", f"a projection of {_PROJECTED} decisions built", _build, appends=False),
        Operation("extend", f"a projection extended by {_PROJECTED} decisions", _extend, appends=False),
        Operation("install", "the hooks installed", _install, appends=False, serves=False),
        Operation("upgrade", "the hooks and the package upgraded", _upgrade, appends=False),
    )
}
