"""guard.py: what the hooks of the server share. That they use it well, test_receive.py and test_proc_receive.py see."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from pushing import write_program

from coordjournal import guard
from coordjournal.errors import GitFailed, Refused


def refusals(count: int) -> list[Refused]:
    return [Refused("seq", f"number {n}", "trailer Seq", ref=f"refs/spaces/{n}", commit="1" * 40) for n in range(count)]


def test_one_push_is_one_incident(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    guard.refuse(refusals(3), str(tmp_path), {"REMOTE_USER": "alice", "SECRET": "x"})
    told = capfd.readouterr().err
    entries = [json.loads(line) for line in (tmp_path / guard.LOG).read_text().splitlines()]
    assert [entry["ref"] for entry in entries] == ["refs/spaces/0", "refs/spaces/1", "refs/spaces/2"]
    assert {entry["incident"] for entry in entries} == set(re.findall(r"Incident (\w+)", told))
    assert {entry["REMOTE_USER"] for entry in entries} == {"alice"}
    assert "SECRET" not in (tmp_path / guard.LOG).read_text()


def test_incidents_differ(tmp_path: Path) -> None:
    for _ in range(2):
        guard.refuse(refusals(1), str(tmp_path), {})
    entries = [json.loads(line) for line in (tmp_path / guard.LOG).read_text().splitlines()]
    assert entries[0]["incident"] != entries[1]["incident"]


def test_what_cannot_be_logged_is_told_all_the_same(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "coordjournal").write_text("a file where the folder should be")
    guard.refuse(refusals(1), str(tmp_path), {})
    told = capfd.readouterr().err
    assert "number 0" in told and "could not be written" in told


def test_long_words_are_cut(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    guard.refuse([Refused("seq", "w" * 5000, "p" * 5000, ref="r", commit="1" * 40)], str(tmp_path), {})
    assert len(capfd.readouterr().err) < 2500
    assert len((tmp_path / guard.LOG).read_text()) < 2500


def test_undecided_tells_and_logs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = GitFailed("git said \x1b[2J")
    error.add_note("refs/spaces/garden")
    guard.undecided(error)
    guard.undecided(ZeroDivisionError("x"))
    told = capfd.readouterr().err
    assert "refs/spaces/garden: git said" in told and "\x1b" not in told
    assert "ZeroDivisionError: x" in told and "Traceback" not in told
    entries = [json.loads(line) for line in (tmp_path / guard.LOG).read_text().splitlines()]
    assert [entry["code"] for entry in entries] == ["undecided"] * 2
    assert "ZeroDivisionError" in entries[1]["trace"]


def test_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard error of a hook may be closed, or its reader gone."""

    def gone(*_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(guard.posix, "write", gone)
    guard.tell("x")


@pytest.mark.parametrize(
    "text, status", [("#!/bin/sh\nexit 3\n", 3), ("exit 4\n", 4), ("#!/bin/sh\nkill -TERM $$\n", -15)]
)
def test_a_hook_of_somebody_elses(tmp_path: Path, text: str, status: int) -> None:
    """As git runs it: by the shell if it names no interpreter."""
    hook = write_program(tmp_path / "hook", text)
    with open(os.devnull) as nowhere:
        pid = guard.start([str(hook)], nowhere.fileno())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status


def test_a_hook_dies_of_a_closed_pipe(tmp_path: Path) -> None:
    """Python ignores SIGPIPE; a shell that ignored it too would write on for ever."""
    hook = write_program(tmp_path / "hook", "#!/bin/sh\nyes\nexit 0\n")
    reader, writer = os.pipe()
    with open(os.devnull) as nowhere:
        pid = guard.start([str(hook)], nowhere.fileno(), writer)
    os.close(writer)
    os.read(reader, 10)
    os.close(reader)
    assert os.waitpid(pid, 0)[0] == pid


def test_a_hook_that_cannot_be_started(tmp_path: Path) -> None:
    with open(os.devnull) as nowhere:
        with pytest.raises(OSError):
            guard.start([str(tmp_path / "missing")], nowhere.fileno())
        with pytest.raises(OSError):
            guard.start([str(tmp_path)], nowhere.fileno())


def test_the_environment_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(guard.posix.environ, b"ODD", b"\xff")
    assert guard.outer_environment()["ODD"] == "\udcff"
