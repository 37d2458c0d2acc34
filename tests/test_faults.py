"""Kills: a sample of what ``python -m tests.faults`` does at every point, and the harness itself.

The sample of an operation: points at which something gets its name, loses it, or is brought to the disk in a
repository, from each of its processes in turn.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.kills import Broken, Counts, Killing
from faults.operations import OPERATIONS
from faults.tracing import Point
from support import git, require

_MARKED = ("rename", "renameat2", "link", "unlink", "mkdir", "fsync", "fdatasync")
# Operation to how many of its points; what one takes, a second about, is nearly all in starting processes.
_SAMPLED = dict.fromkeys(set(OPERATIONS) - {"upgrade", "serve"}, 1)
_SAMPLED |= {"embedded": 2, "sequenced": 3, "swap": 2, "rescue-fork": 2}


@pytest.fixture(autouse=True)
def _strace() -> None:
    require(shutil.which("strace"), "strace")


def sample(points: list[Point], count: int) -> list[Point]:
    """So many of the points: those that matter most, from each process in turn."""
    by_process: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        if point.call in _MARKED or ".lock" in point.what:
            by_process[point.who].append(point)
    queues = sorted(by_process.values(), key=len, reverse=True)
    for queue in queues:
        queue.sort(key=lambda point: (".lock" not in point.what, point.call != "rename"))
    found: list[Point] = []
    while len(found) < count and any(queues):
        for queue in queues:
            if queue:
                found.append(queue.pop(len(queue) // 2 if len(found) % 2 else 0))
    return found[:count]


@pytest.mark.parametrize("name", sorted(_SAMPLED))
def test_a_kill_loses_nothing_and_the_next_command_works(name: str, prefix: str, tmp_path: Path) -> None:
    killing = Killing(OPERATIONS[name], tmp_path / name, prefix)
    counts = Counts()
    for point in sample(killing.points(), _SAMPLED[name] + 3):  # one now and then is not reached again
        if counts.points.total() < _SAMPLED[name]:
            killing.kill([point], counts)
    assert counts.faults == []
    assert counts.points.total() == _SAMPLED[name]


def test_every_process_of_a_push_is_enumerated(prefix: str, tmp_path: Path) -> None:
    points = Killing(OPERATIONS["sequenced"], tmp_path / "sequenced", prefix).points()
    processes = {point.who for point in points}
    assert {f"server.{name}.0" for name in ("pre-receive", "proc-receive", "unpack-objects", "update-ref")} < processes
    assert {"client.python.0", "client.push.0", "server.git-receive-pack.0"} < processes
    moved = [point for point in points if point.call == "rename" and "refs/spaces/garden.lock" in point.what]
    assert [point.who for point in moved] == ["server.update-ref.0"]
    assert len(points) > 150


@pytest.fixture
def broken(prefix: str, tmp_path: Path) -> Killing:
    return Killing(OPERATIONS["embedded"], tmp_path / "embedded", prefix)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: git(path, "update-ref", "refs/spaces/garden", "refs/spaces/garden~1"), "acknowledged"),
        (lambda path: git(path, "pack-refs", "--all") and None, ""),
    ],
    ids=["a decision that is gone", "nothing"],
)
def test_the_harness_sees_what_is_lost(broken: Killing, damage: Callable[[Path], object], told: str) -> None:
    broken._again()
    done, _ = broken._tracer.trace(broken._words)
    damage(broken._run / "server.git")
    if told:
        with pytest.raises(Broken, match=told):
            broken._judge(done.stdout)
    else:
        broken._judge(done.stdout)


def test_the_table_of_faults_names_tests_that_exist() -> None:
    """``file.py::name``, ``…::name`` for test_faults_machine.py, ``::name`` for the file before; a name may be cut."""
    tests = Path(__file__).parent
    text = (tests.parent / "docs" / "reliability.md").read_text().partition("### Every fault")[2]
    named = re.findall(r"`(test_\w+\.py|…)?(?:::(test_\w+?)(…)?)?`", text)
    file, count = "", 0
    for where, name, cut in named:
        if not where and not name:
            continue
        file = "test_faults_machine.py" if where == "…" else where or file
        source = (tests / file).read_text()
        if name:
            assert f"def {name}{'' if cut else '('}" in source, f"{file} has no {name}"
            count += 1
    assert count > 20
