"""A power cut: what is on the disk, and in which order, before somebody is told that it is there.

Seen from outside, by strace over every process of an append: whoever writes, and however, a file is brought to the disk
before it gets the name under which it counts, and the folder with that name before the answer.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.operations import OPERATIONS, template
from support import require, run

import coordjournal

_WORKER = Path(__file__).parent / "faults" / "worker.py"
_CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_AT = re.compile(r'(?:AT_FDCWD(?:<([^>]*)>)?, )?"([^"]*)"')
_CALLS = "fsync,fdatasync,rename,renameat,renameat2,link,linkat,write,writev"


@dataclass
class Seen:
    """What was written below a repository: how each name came about, and what was synced, by the number of the call."""

    named: list[tuple[int, str, str]]
    synced: list[tuple[int, str]]
    answered: int

    def synced_between(self, path: str, first: int, last: int) -> bool:
        """Whether a file or a folder was brought to the disk between two calls."""
        return any(path == what and first < at < last for at, what in self.synced)


def watch(place: Path, answer: str) -> tuple[Seen, str]:
    """Traces the operation in ``place``; ``answer`` is in what the process that answers writes last."""
    trace = place / "trace"
    words = ["strace", "-f", "-y", "-s", "400", "-e", "trace=" + ",".join(f"?{c}" for c in _CALLS.split(","))]
    root = str(Path(coordjournal.__file__).parent.parent)
    done = run(*words, "-o", trace, sys.executable, "-B", _WORKER, place, env={"PYTHONPATH": root})
    top = str(place / "server.git")
    seen = Seen([], [], -1)
    begun: dict[str, str] = {}
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        match = _CALL.match(line)
        if match is None:
            continue
        pid, call, rest = match[1], match[2], match[3]
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest
            continue
        rest = begun.pop(pid, "") + rest
        if "sync" in call:
            if found := re.search(r"<([^>]*)>", rest):
                seen.synced.append((number, os.path.normpath(found[1])))
        elif call in ("write", "writev"):
            if answer in rest:
                seen.answered = number
        elif rest.endswith("= 0"):
            old, new = (os.path.normpath(os.path.join(m[1] or top, m[2])) for m in list(_AT.finditer(rest))[:2])
            if new.startswith(top):
                seen.named.append((number, old, new))
    return seen, done.stdout


def landed(told: str) -> str:
    """The commit of the last decision that the worker was told of."""
    [*_, last] = [line.split()[2] for line in told.splitlines() if line.startswith("landed")]
    return last


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("embedded", '"landed '),
        ("embedded-many", '"landed '),
        ("sequenced", "ok refs/append/garden"),
        ("batch", "ok refs/append/garden"),
        ("swap", "ok refs/spaces/garden"),
    ],
)
def test_an_append_is_on_the_disk_before_it_is_answered(name: str, answer: str, prefix: str, tmp_path: Path) -> None:
    require(shutil.which("strace"), "strace")
    place = tmp_path / "run"
    template(OPERATIONS[name], place, prefix)
    seen, told = watch(place, answer)
    server = place / "server.git"
    commit = landed(told)
    ref = str(server / "refs" / "spaces" / "garden")
    assert seen.answered > 0
    [(moved, _, _)] = [item for item in seen.named if item[2] == ref]
    assert moved < seen.answered
    # Every object and ref of the log was brought to the disk before its name, whoever wrote it.
    whole: set[str] = set()
    objects = 0
    for number, old, new in seen.named:
        if seen.synced_between(old, -1, number) or old in whole:
            whole.add(new)
        if number > seen.answered or ("/objects/" not in new and new != ref):
            continue
        assert new in whole, f"{new} was not brought to the disk before it got its name"
        objects += new != ref
        if new != ref and "/tmp_objdir" not in new:
            assert number < moved, f"{new} came after the ref"
    assert objects
    # And so were the folders that hold the names.
    loose = str(server / "objects" / commit[:2] / commit[2:])
    packs = [item for item in seen.named if item[2].endswith(".pack") and "/tmp_objdir" not in item[2]]
    at, _, there = next((item for item in seen.named if item[2] == loose), packs[-1] if packs else (0, "", ""))
    assert there
    assert seen.synced_between(os.path.dirname(there), at, seen.answered), "the folder of the object"
    assert seen.synced_between(os.path.dirname(ref), moved, seen.answered), "the folder of the ref"


@pytest.mark.parametrize("name", ["build", "extend"])
def test_a_projection_is_on_the_disk_before_it_is_used(name: str, prefix: str, tmp_path: Path) -> None:
    """Losing one costs time and nothing else, so that its folder is left to the system."""
    require(shutil.which("strace"), "strace")
    place = tmp_path / "run"
    template(OPERATIONS[name], place, prefix)
    seen, _ = watch(place, '"seq ')
    file = str(place / "server.git" / "coordjournal" / "fold" / "garden.sqlite")
    if name == "build":
        [(moved, old, _)] = [item for item in seen.named if item[2] == file]
        assert old == f"{file}.new"
        assert seen.synced_between(old, -1, moved)
    else:  # SQLite's own order: the journal, then the file
        journal = [at for at, path in seen.synced if path == f"{file}-journal"]
        assert journal and any(at > journal[0] for at, path in seen.synced if path == file)
