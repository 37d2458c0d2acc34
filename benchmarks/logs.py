"""Realistic logs from a seed, written by ``git fast-import``: all types, a long tail of names, merged groups."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from coordjournal import canonical, timestamp
from coordjournal.commit import subject

START = 1_767_225_600  # 2026-01-01T00:00:00Z, a second a decision
SPACE = "garden"
REF = f"refs/spaces/{SPACE}"


def decisions(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """The first ``count`` decisions of the log that ``seed`` stands for."""
    rng = random.Random(seed)
    ids: list[str] = []
    open_overlays: list[str] = []
    for seq in range(count):
        kind, payload = _choose(rng, seq, ids, open_overlays)
        second = START + seq
        identity = f"{second * 1000:012x}"
        tail = f"{rng.getrandbits(72):018x}"
        id_ = f"{identity[:8]}-{identity[8:]}-7{tail[:3]}-8{tail[3:6]}-{tail[6:]}"
        ids.append(id_)
        doc = {
            "actor": f"actor-{int(rng.paretovariate(1)) % 500}",
            "at": timestamp.text(second, rng.randrange(1_000_000)),
            "id": id_,
            "payload": payload,
            "space": SPACE,
            "type": kind,
            "v": 1,
        }
        if rng.random() < 0.2:
            doc["reason"] = f"because of discussion {rng.randrange(10_000)}"
        yield doc


def _choose(
    rng: random.Random, seq: int, ids: list[str], overlays: list[str]
) -> tuple[str, dict[str, Any]]:
    page = f"shard{rng.choice('ABCD')}:Page-{int(rng.paretovariate(0.6))}"
    other = f"shard{rng.choice('EFGH')}:Page-{int(rng.paretovariate(0.6))}"
    at = rng.random()
    if at < 0.55:
        return "alias-set", {"alias": f"name {int(rng.paretovariate(0.5))}", "target": page}
    if at < 0.60:
        return "alias-cleared", {"alias": f"name {int(rng.paretovariate(0.5))}"}
    if at < 0.75:
        return "binding-made", {"members": [page, other]}
    if at < 0.82:
        return "merge-decided", {"into": page, "sources": [other]}
    if at < 0.90:
        return "fork-made", {"fork": f"{page}-fork-{seq}", "source": page}
    if at < 0.97 or not overlays:
        if overlays and at < 0.94:
            return "overlay-closed", {"outcome": "applied", "overlay_id": overlays.pop()}
        overlays.append(f"overlay-{seq}")
        body = {"bytes": 5, "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
        return "overlay-created", {"base_rev": None, "body": body, "overlay_id": overlays[-1], "target": page}
    return "decision-revoked", {"decision": rng.choice(ids)}


def write(git_dir: Path, count: int, seed: int, ref: str = REF) -> None:
    """Writes the log into a repository, from its root."""
    importer = subprocess.Popen(
        ["git", f"--git-dir={git_dir}", "fast-import", "--quiet", "--force"], stdin=subprocess.PIPE
    )
    assert importer.stdin is not None
    _stream(importer.stdin, count, seed, ref)
    importer.stdin.close()
    if importer.wait():
        raise RuntimeError("git fast-import failed")


def _stream(out: IO[bytes], count: int, seed: int, ref: str) -> None:
    out.write(b"blob\nmark :1\ndata 5\nhello\n")
    for seq, doc in enumerate(decisions(count, seed)):
        at = timestamp.seconds(doc["at"])
        message = subject(doc["type"], doc["payload"]).encode() + b"\n\n" + canonical.dumps(doc)
        message += f"\n\nSeq: {seq}\n".encode()
        out.write(
            f"commit {ref}\nauthor {doc['actor']} <> {at} +0000\ncommitter node <> {at} +0000\n"
            f"data {len(message)}\n".encode()
        )
        out.write(message + b"\n")
        out.write(b"deleteall\n")
        if "body" in doc["payload"]:
            out.write(b"M 100644 :1 body\n")
