"""guard.py: what the hooks of the server share. That they use it well, test_receive.py and test_proc_receive.py see."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from pathlib import Path

import pytest
from pushing import Author, write_program

from coordjournal import chain, guard
from coordjournal.admission import Settings
from coordjournal.commit import Commit
from coordjournal.errors import GitFailed, Refused
from coordjournal.gitread import Objects, environment


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


# ------------------------------------------------------------------------------------------------------- long chains


@pytest.mark.parametrize("code", ["clock at header", "clock at at", "too-large", None])
def test_plain_steps_are_passed_within_the_bounds_of_the_admission_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str | None
) -> None:
    """Deep in a chain, where plain steps are passed, is what the law allows and the admission does not."""
    monkeypatch.setattr(chain, "_WORTH", 70)
    now = int(time.time())
    author = Author(tmp_path / "author.git")
    body = b"123456789" if code == "too-large" else b"12345678"
    payload = {
        "overlay_id": "o",
        "base_rev": None,
        "body": {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()},
    }
    overlay = {
        "tree": author.tree(("100644", "body", author.blob(body))),
        "kind": "overlay-revised",
        "payload": payload,
        "subject": f"overlay-revised: o ({len(body)} bytes)",
    }
    oids: list[str] = []
    for seq in range(120):
        # All from the tenth on are appended at the same time, so that only that one is ahead of its parent.
        appended = now - 1000 if seq < 10 else now + (61 if code == "clock at header" else 60)
        decided = appended + (61 if code == "clock at at" else 60) if seq == 10 else appended
        more = overlay if seq == 10 else {}
        parent = oids[-1] if oids else None
        oids.append(author.decision("garden", seq, parent, decided=decided, appended=appended, **more))
    settings = Settings(clock_skew=60, attachment_bytes=8)
    env = environment(str(author.path), os.environ)
    bounds = guard.bounds("garden", now, settings)
    with Objects(env) as objects:
        judge = guard.step("garden", now, settings, objects, guard.extensions(env, objects))
        judged: list[int | None] = []

        def step(parent: Commit | None, child: Commit, size: int) -> None:
            judged.append(child.seq)
            judge(parent, child, size)

        if code is None:
            assert chain.judge(step, None, oids[-1], env, objects, settings.decision_bytes, bounds) == 120
            assert 10 not in judged
        else:
            with pytest.raises(Refused) as caught:
                chain.judge(step, None, oids[-1], env, objects, settings.decision_bytes, bounds)
            refusal = caught.value
            assert (refusal.code, refusal.commit, refusal.seq) == (code.partition(" ")[0], oids[10], 10)
            assert refusal.place.startswith(code.partition(" at ")[2])
