"""Shared bare repositories with the same settings: with the hooks, without any, and with hooks to compare with."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from coordjournal import install

from .bench import Bench, git
from .logs import REF

_EMPTY = """\
{interpreter}
import sys

sys.stdin.buffer.read()
sys.exit(0)
"""
_WATCHED = """\
{interpreter}
import sys

sys.path.insert(0, {root!r})
sys.argv[1:] = [{out!r}, {hook!r}]
from benchmarks.peak import main

main()
"""


def with_hooks(bench: Bench, name: str, *, sequencing: bool | None = None) -> Path:
    """A new repository as ``coordjournal init`` makes it."""
    path = bench.place / name
    install.init(str(path), prefix=bench.prefix, sequencing=sequencing)
    return path


def without_hooks(server: Path, name: str) -> Path:
    """A copy of a server with all its settings, and without its hooks."""
    copy = server.with_name(name)
    shutil.copytree(server, copy, symlinks=True)
    for hook in ("pre-receive", "proc-receive"):
        (copy / "hooks" / hook).unlink(missing_ok=True)
    return copy


def with_empty_hook(server: Path, name: str) -> Path:
    """A copy of a server whose hook is an isolated Python that reads what is pushed, and nothing else."""
    copy = without_hooks(server, name)
    _hook(copy, _EMPTY.format(interpreter=interpreter(server)))
    return copy


def watched(server: Path, name: str, out: Path) -> Path:
    """A copy of a server whose hook runs in another one that adds its peak memory, in bytes, to the file ``out``."""
    copy = server.with_name(name)
    shutil.copytree(server, copy, symlinks=True)
    hook = copy / "hooks" / "pre-receive"
    real = hook.rename(copy / "hooks" / "pre-receive.real")
    root = str(Path(__file__).resolve().parents[1])
    _hook(copy, _WATCHED.format(interpreter=f"#!{sys.executable}", root=root, out=str(out), hook=str(real)))
    return copy


def interpreter(server: Path) -> str:
    """The first line of the hook: the interpreter and its flags."""
    return (server / "hooks" / "pre-receive").read_text().partition("\n")[0]


def push(client: Path, server: Path, what: str, ref: str = REF) -> None:
    """Pushes a commit by path."""
    git(f"--git-dir={client}", "push", "--quiet", str(server), f"{what}:{ref}")


def _hook(server: Path, text: str) -> None:
    hook = server / "hooks" / "pre-receive"
    hook.unlink(missing_ok=True)
    hook.write_text(text)
    hook.chmod(0o755)
