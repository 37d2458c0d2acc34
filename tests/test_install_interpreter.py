"""install/interpreter.py: which Python runs the hooks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support import run

from coordjournal.install import InstallError, interpreter
from coordjournal.install.sharing import Audience

ME = Audience(os.geteuid())


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_by_default_it_is_a_real_python_outside_any_virtual_environment() -> None:
    found = interpreter.choose(ME)
    assert os.path.isabs(found.path)
    assert found.tag == interpreter.TAG
    program = "import sys; print(sys.prefix == sys.base_prefix)"
    assert run(found.path, "-c", program).stdout.strip() == "True"


def test_a_virtual_environments_python_gives_way_to_the_one_it_was_made_from(tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    found = interpreter.choose(ME, str(tmp_path / "venv" / "bin" / "python"))
    assert not found.path.startswith(str(tmp_path))
    assert os.path.realpath(found.path) == os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]


def test_a_wanted_one_is_taken_as_it_is_named(tmp_path: Path) -> None:
    base = interpreter.choose(ME).path
    link = tmp_path / "python-for-hooks"
    link.symlink_to(base)
    assert interpreter.choose(ME, str(link)).path in (str(link), os.path.realpath(base))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("exit 3", "does not run as a Python"),
        ("echo hello", "does not run as a Python"),
        ("""echo '[".pypy311-pp73.so", "3.11.9", "/usr/bin/pypy3", "/usr/lib/os.py"]'""", "would not load"),
    ],
)
def test_what_is_no_fitting_python_is_refused(body: str, why: str, tmp_path: Path) -> None:
    path = script(tmp_path / "python", body)
    with pytest.raises(InstallError, match=why) as caught:
        interpreter.choose(ME, str(path))
    assert caught.value.remedy


def test_one_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="does not run as a Python"):
        interpreter.choose(ME, str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("folder", "why"), [("with space", "white space"), ("größe", "outside ASCII"), ("x" * 120, "too long")]
)
def test_a_path_that_no_first_line_can_hold_is_refused(folder: str, why: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    path = script(tmp_path / folder / "python", f'exec "{interpreter.choose(ME).path}" "$@"')
    # Named by a script of its own: a link would be led back to the real one.
    path.write_text(f'#!/bin/sh\necho \'["{interpreter.TAG}", "3.11.0", "{path}", "/bin/sh"]\'\n', encoding="utf-8")
    with pytest.raises(InstallError, match=why):
        interpreter.choose(ME, str(path))


def test_one_that_others_cannot_reach_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    hidden = script(closed / "python", f'exec "{interpreter.choose(ME).path}" "$@"')
    closed.chmod(0o700)
    good = "/usr/bin/python-of-the-system"
    answers = {str(hidden): str(hidden), good: good}
    monkeypatch.setattr(interpreter, "_candidates", lambda: iter(answers))
    monkeypatch.setattr(
        interpreter,
        "describe",
        lambda path: interpreter.Interpreter(answers[path], interpreter.TAG, "3.11.0", "/bin/sh"),
    )
    real = interpreter.obstacle
    monkeypatch.setattr(
        interpreter, "obstacle", lambda path, to, execute=False: "" if path == good else real(path, to, execute=execute)
    )
    everyone = Audience(os.geteuid(), everyone=True)
    assert interpreter.choose(everyone).path == good
    monkeypatch.setattr(interpreter, "_candidates", lambda: iter([str(hidden)]))
    with pytest.raises(InstallError, match="no Python can run the hooks") as caught:
        interpreter.choose(everyone)
    assert "other accounts may not enter" in caught.value.what
    assert "--python" in caught.value.remedy
