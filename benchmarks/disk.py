"""What a decision weighs once git has packed it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from coordjournal import AliasSet, Journal

from . import logs
from .bench import Bench, git
from .measure import Row, row


def packed(bench: Bench) -> list[Row]:
    """Bytes a small decision after ``git gc``, against its JSON, and against an event store with a blob an event."""
    count = bench.sizes.on_disk
    ours, blobs = bench.bare("ours.git"), bench.bare("blobs.git")
    with Journal.open(ours, extensions={}) as journal:
        space = journal.space(logs.SPACE)
        landed = space.append_many(
            [
                space.intent(AliasSet(f"name {i}", f"shardA:Page-{i % 5003}"), actor=f"actor-{i % 50}")
                for i in range(count)
            ]
        )
        lines = [one.decision.line() for one in landed]
    _as_blobs(blobs, lines)
    weights = [_packed_size(repository) / count for repository in (ours, blobs)]
    line = sum(map(len, lines)) / count
    name = f"bytes on disk of one small decision of {count:,}, after git gc"
    return [
        row(name, "one blob a decision", [weights[0]], [weights[1]], unit="bytes"),
        row(name, "its JSON alone, as it is", [weights[0]], [line], unit="bytes"),
    ]


def _as_blobs(repository: Path, lines: list[bytes]) -> None:
    """The same decisions in the usual layout: the JSON in a blob of the commit's tree."""
    importer = subprocess.Popen(["git", f"--git-dir={repository}", "fast-import", "--quiet"], stdin=subprocess.PIPE)
    assert importer.stdin is not None
    with importer.stdin as pipe:
        for seq, line in enumerate(lines):
            at = logs.START + seq
            pipe.write(
                b"commit %b\nauthor actor-%d <> %d +0000\ncommitter node <> %d +0000\ndata 9\nalias-set\n"
                % (logs.REF.encode(), seq % 50, at, at)
            )
            pipe.write(b"deleteall\nM 100644 inline decision.json\ndata %d\n%b\n" % (len(line), line))
    if importer.wait():
        raise RuntimeError("git fast-import failed")


def _packed_size(repository: Path) -> int:
    git(f"--git-dir={repository}", "gc", "--quiet", "--prune=now")
    return sum(path.stat().st_size for path in (repository / "objects" / "pack").iterdir())
