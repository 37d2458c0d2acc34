"""Helpers that several test modules use."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from coordjournal import canonical, commit, timestamp

NO_SKIP = "COORDJOURNAL_NO_SKIP"


def require(condition: object, reason: str) -> None:
    """Skip the test unless ``condition``; with COORDJOURNAL_NO_SKIP=1 (continuous integration) fail it instead."""
    if condition:
        return
    if os.environ.get(NO_SKIP) == "1":
        pytest.fail(f"needs {reason}, and {NO_SKIP} is set")
    pytest.skip(f"needs {reason}")


def run(
    *words: str | Path,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    check: bool = True,
    **more: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a program; its output is text. ``env`` is added to the environment. Fails the test unless it ends well."""
    done = subprocess.run(
        [os.fspath(word) for word in words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        check=False,
        **more,
    )
    out, err = (raw.decode("utf-8", "replace") for raw in (done.stdout, done.stderr))
    if check and done.returncode:
        pytest.fail(f"{' '.join(map(str, words))} ended with {done.returncode}\n{out}{err}")
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def git(git_dir: str | Path, *words: str, **more: Any) -> str:
    """What git says of a repository, without the last newline."""
    return run("git", "-C", git_dir, *words, **more).stdout.rstrip("\n")


def copied(repository: Path, path: Path, *, beside: bool = False) -> Path:
    """A copy of a repository in ``path``, as if it (and with ``beside`` what is beside it) had been made there."""
    shutil.copytree(repository, path, symlinks=True)
    for name in ("config", ".git/config", "coordjournal/hooks.gitconfig"):
        if (path / name).is_file():
            text = (path / name).read_text().replace(str(repository), str(path))
            (path / name).write_text(text.replace(str(repository.parent), str(path.parent)) if beside else text)
    return path


def push(client: str | Path, server: str | Path, *updates: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Push to a repository by its path; never fails the test by itself."""
    return run("git", "-C", client, "push", "--quiet", server, *updates, check=False, **more)


def decide(
    git_dir: str | Path, space: str = "garden", parent: str | None = None, seq: int = 0, target: str = "shardA:Index"
) -> str:
    """Write a lawful decision commit into a repository with nothing but git; its object name."""
    now = int(time.time())
    payload = {"alias": "Home", "target": target}
    doc = {
        "actor": "alice",
        "at": timestamp.text(now),
        "id": str(UUID(int=uuid4().int & ~(0xF << 76) | 7 << 76)),
        "payload": payload,
        "space": space,
        "type": "alias-set",
        "v": 1,
    }
    tree = git(git_dir, "hash-object", "-t", "tree", "-w", "--stdin")
    raw = commit.build(
        tree, parent, "alice", now, "alice", now, commit.subject("alias-set", payload), canonical.dumps(doc), seq
    )
    return git(git_dir, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw)


def together(*works: Callable[[], object]) -> None:
    """Does things at once, each in a thread of its own, and raises what one of them raised."""
    failed: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def snapshot(top: str | Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a folder: relative path to mode and content (or the target of a link)."""
    found = {}
    for where, folders, names in os.walk(top):
        for name in (*folders, *names):
            path = os.path.join(where, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                content = os.fsencode(os.readlink(path))
            elif stat.S_ISREG(mode):
                content = Path(path).read_bytes()
            else:
                content = b""
            found[os.path.relpath(path, top)] = (mode, content)
    return found
