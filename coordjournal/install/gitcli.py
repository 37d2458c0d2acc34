"""Running git for the administrator: in a clean environment, in plain English, never asking anything."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from ..errors import GitFailed

OLDEST_GIT = (2, 29)  #: the first with everything the hooks ask of it
DURABLE_GIT = (2, 36)  #: the first that knows core.fsync

# What the caller's shell may have said about *where git's own files are*; everything else named GIT_... could point
# git at another repository or other objects than the one named.
_KEPT = frozenset({"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"})


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a git that does only what it is told."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in _KEPT}
    environment |= {"LC_ALL": "C", "LANGUAGE": "", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}
    return environment | dict(extra or {})


def run(
    *arguments: str,
    cwd: str | None = None,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``git`` with ``arguments`` and hand back how it ended.

    Raises:
        GitFailed: there is no git, or it took longer than ``timeout`` seconds.
    """
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            input=stdin,
            capture_output=True,
            env=clean_environment(environment),
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        if cwd is not None and not os.path.isdir(cwd):
            raise GitFailed(f"no such folder: {cwd}") from error
        raise GitFailed("git is not installed, or not in PATH") from error
    except subprocess.TimeoutExpired as error:
        raise GitFailed(f"git {arguments[0]} did not end within {timeout:.0f} seconds") from error


def ask(git_dir: str, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> bytes:
    """What ``git`` says of the repository ``git_dir``.

    Raises:
        GitFailed: with what git said on standard error.
    """
    done = run(f"--git-dir={git_dir}", *arguments, cwd=git_dir, stdin=stdin, environment=environment)
    if done.returncode:
        raise GitFailed(f"git {' '.join(arguments[:2])} failed in {git_dir}: {said(done)}")
    return done.stdout


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What git said on standard error, as text."""
    return done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"


def version() -> tuple[int, ...]:
    """The version of git, such as ``(2, 39, 5)``. Raises GitFailed."""
    text = run("version").stdout.decode(errors="replace")
    numbers = []
    for part in text.removeprefix("git version ").split()[:1]:
        for number in part.split("."):
            if not number.isdigit():
                break
            numbers.append(int(number))
    if not numbers:
        raise GitFailed(f"git tells no version: {text.strip()!r}")
    return tuple(numbers)
