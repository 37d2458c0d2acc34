"""Where and with what is measured: the facts that bear on speed, the programs, and an environment of our own."""

from __future__ import annotations

import filecmp
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import coordjournal


class Unable(Exception):
    """What should be measured cannot be: the message says why and what to do."""


def facts() -> dict[str, str | int | None]:
    """What was measured on and with: no name of anything."""
    git = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "git": git.removeprefix("git version "),
        "dulwich": version("dulwich"),
        "sqlite": sqlite3.sqlite_version,
        "coordjournal": coordjournal.__version__,
    }


def environment(home: Path) -> dict[str, str]:
    """The caller's environment without what it says about git and about how Python runs, and with a configuration of
    git of our own in the folder ``home``: no collection of garbage starts in the middle of what is measured."""
    config = home / "gitconfig"
    config.write_text(
        "[user]\n\tname = bench\n\temail = bench@example.org\n"
        "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[receive]\n\tautogc = false\n[init]\n\tdefaultBranch = main\n"
    )
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("GIT_", "COORDJOURNAL_"))
        and (not key.startswith("PYTHON") or key in ("PYTHONPATH", "PYTHONHOME"))
    }
    return {**kept, "GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def program(environ: Mapping[str, str] = os.environ) -> Path:
    """The installed ``coordjournal``, as users start it.

    Raises:
        Unable: it is not installed, or it is another one than is imported here.
    """
    found = Path(sysconfig.get_path("scripts")) / "coordjournal"
    if not found.exists():
        on_path = shutil.which("coordjournal", path=environ.get("PATH"))
        if on_path is None:
            raise Unable(f"coordjournal is not installed for {sys.executable}: ./install.sh, or pip install .")
        found = Path(on_path)
    check_installed()
    return found


def check_installed() -> None:
    """Raises Unable where the processes that are measured would run another package than this process does."""
    words = [sys.executable, "-c", "import coordjournal; print(coordjournal.__path__[0])"]
    done = subprocess.run(words, cwd="/", capture_output=True, text=True)
    if done.returncode:
        raise Unable(f"coordjournal is not installed for {sys.executable}: ./install.sh, or pip install .")
    here, there = Path(coordjournal.__path__[0]), Path(done.stdout.rstrip("\n"))
    names = [str(path.relative_to(here)) for path in here.rglob("*.py")]
    _, differ, missing = filecmp.cmpfiles(here, there, names, shallow=False)
    if differ or missing:
        raise Unable(
            f"{there} is another coordjournal than {here} ({sorted(differ + missing)[0]} differs): install this one "
            "(./install.sh, or pip install .), so that all that is measured is the same"
        )


def interpreter_of(script: Path) -> list[str]:
    """The interpreter of a script with its flags, as its first line says; this Python where that is not one's path."""
    first = script.read_bytes().partition(b"\n")[0].decode("utf-8", "replace")
    words = first.removeprefix("#!").split()
    if first.startswith("#!") and "python" in Path(words[0]).name:
        return words
    return [sys.executable]
