"""Traces or kills one process of many by strace(1): a shell script stands in the place of each program that git or the
hooks may start, and puts strace before the one that is meant.

A process is named by where it works, what it is, and how many of that kind came before it in this operation:
``server.update-ref.0``, ``client.push.0``, ``server.proc-receive.0``; ``client.python.0`` is the program itself.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The calls that change what is on the disk, or what another process is told, or bring it to the disk; and the last.
_CALLS = (
    *("open", "openat", "creat", "write", "writev", "pwrite64", "pwritev", "pwritev2", "copy_file_range", "sendfile"),
    *("splice", "truncate", "ftruncate", "fallocate", "rename", "renameat", "renameat2", "link", "linkat", "symlink"),
    *("symlinkat", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "chmod", "fchmod", "fchmodat", "utimensat"),
    *("fsync", "fdatasync", "sync_file_range", "exit_group"),
)
_OPENS = ("open", "openat")
_LINE = re.compile(r"(\w+)\((.*)")
_WRITES = re.compile(r"\bO_(WRONLY|RDWR|CREAT|TRUNC)\b")
_ELSEWHERE = re.compile(r'^[^"]*"/(dev|proc)/|^2<|^\d+</dev/')  # devices, and the standard error
_HOOKS = ("pre-receive", "proc-receive", "reference-transaction")
_SECONDS = 120

_SHIM = """#!/bin/sh
here={here}
name=${{0##*/}}
command=$name
real={real}
{git}
case $PWD:$name in {server}*|*:git-*-pack) side=server ;; *) side=client ;; esac
read -r wanted call count < "$here/plan"
case $wanted in -) exec "$real/$name" "$@" ;; esac
number=0
while ! mkdir "$here/seen/$side.$command.$number" 2>/dev/null; do number=$((number + 1)); done
this=$side.$command.$number
case $wanted in
  all) exec strace -D -y -s 0 -o "$here/traces/$this" -e trace={calls} "$real/$name" "$@" ;;
  "$this") exec strace -D -y -s 0 -o "$here/killed" -e "trace=$call" \\
    "--inject=$call:signal=SIGKILL:when=$count" "$real/$name" "$@" ;;
esac
exec "$real/$name" "$@"
"""
_GIT = """export GIT_EXEC_PATH="$here/bin"
if [ "$name" = git ]; then
  skip=
  for word; do
    if [ -n "$skip" ]; then skip=; continue; fi
    case $word in -c|-C) skip=1 ;; -*) ;; *) command=$word; break ;; esac
  done
fi"""


@dataclass(frozen=True, slots=True)
class Point:
    """The ``count``-th time that the process ``who`` makes the system call ``call``; ``what`` it is called with."""

    who: str
    call: str
    count: int
    what: str

    def __str__(self) -> str:
        return f"{self.who} at {self.call} {self.count}: {self.what}"


class Tracer:
    """Runs programs so that any process of theirs can be traced or killed. ``place`` is a folder of its own;
    ``env`` is added to the environment; without ``hooks`` those of the server are started as they are."""

    def __init__(self, place: Path, server: Path, env: Mapping[str, str], hooks: bool = True) -> None:
        self.place = place
        self.server = server
        self.hooks = hooks
        self._env = env
        self._bin = place / "bin"
        self._bin.mkdir(parents=True)
        exec_path = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
        for name in os.listdir(exec_path):
            if name not in ("git", "git-receive-pack", "git-upload-pack"):
                (self._bin / name).symlink_to(f"{exec_path}/{name}")
        for name in ("git", "git-receive-pack", "git-upload-pack"):
            self.shim(self._bin / name, exec_path, _GIT)
        # Whatever is left behind by who was killed is reaped, so that nothing goes on when the run is judged.
        (place / "reap.py").write_text(
            "import ctypes, os, sys\n"
            "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
            "child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)\n"
            "status = 0\n"
            "while True:\n"
            "    try:\n"
            "        pid, ended = os.wait()\n"
            "    except ChildProcessError:\n"
            "        os._exit(status)\n"
            "    if pid == child:\n"
            "        status = os.waitstatus_to_exitcode(ended) & 255\n"
        )

    def shim(self, path: Path, real: str, git: str = "") -> None:
        """Puts a script in ``path`` that starts the program of the same name in ``real``, by strace if it is meant."""
        text = _SHIM.format(
            here=shlex.quote(str(self.place)),
            real=shlex.quote(real),
            server=shlex.quote(str(self.server)),
            calls=",".join(f"?{call}" for call in _CALLS),
            git=git,
        )
        path.write_text(text)
        path.chmod(0o755)

    def trace(self, words: Sequence[str]) -> tuple[subprocess.CompletedProcess[str], list[Point]]:
        """Runs a program to its end; the points at which it writes, process by process."""
        done = self._run(words, "all")
        points: list[Point] = []
        for path in sorted((self.place / "traces").iterdir()):
            points += _points(path.name, path.read_text(errors="replace"))
        return done, points

    def kill(self, words: Sequence[str], point: Point) -> tuple[subprocess.CompletedProcess[str], bool]:
        """Runs a program and kills one process of it; whether the process came to that point."""
        done = self._run(words, f"{point.who} {point.call} {point.count}")
        try:
            return done, "+++ killed by SIGKILL +++" in (self.place / "killed").read_text(errors="replace")
        except FileNotFoundError:
            return done, False

    def _run(self, words: Sequence[str], plan: str) -> subprocess.CompletedProcess[str]:
        for name in ("seen", "traces"):
            shutil.rmtree(self.place / name, ignore_errors=True)
            (self.place / name).mkdir()
        (self.place / "killed").unlink(missing_ok=True)
        (self.place / "plan").write_text(f"{plan}\n")
        wanted, _, rest = plan.partition(" ")
        prefix: list[str] = []
        common = ["strace", "-D", "-y", "-s", "0"]
        if wanted == "all":
            prefix = [*common, "-o", str(self.place / "traces" / "client.python.0")]
            prefix += ["-e", "trace=" + ",".join(f"?{call}" for call in _CALLS)]
        elif wanted == "client.python.0":
            call, _, count = rest.partition(" ")
            prefix = [*common, "-o", str(self.place / "killed"), "-e", f"trace={call}"]
            prefix += [f"--inject={call}:signal=SIGKILL:when={count}"]
        reap = [sys.executable, "-ISB", str(self.place / "reap.py")]
        path = f"{self._bin}:{os.environ['PATH']}"
        env = {**os.environ, **self._env, "PATH": path, "GIT_EXEC_PATH": str(self._bin)}
        pipe = subprocess.PIPE
        with _hooks_replaced(self):
            process = subprocess.Popen(
                [*reap, *prefix, *words], env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
            )
            try:
                out, err = process.communicate(timeout=_SECONDS)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # all of them: any may hold the pipes open
                process.communicate()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextmanager
def _hooks_replaced(tracer: Tracer) -> Iterator[None]:
    """The server's hooks are started by a shim meanwhile; they themselves stand beside, in ``hooks.real``."""
    hooks, real = tracer.server / "hooks", tracer.server / "hooks.real"
    if not tracer.hooks or not any((hooks / name).exists() for name in _HOOKS):
        yield
        return
    hooks.rename(real)
    hooks.mkdir()
    for name in _HOOKS:
        if (real / name).exists():
            tracer.shim(hooks / name, str(real))
    try:
        yield
    finally:
        shutil.rmtree(hooks)
        real.rename(hooks)


def _points(who: str, trace: str) -> list[Point]:
    counts: Counter[str] = Counter()
    found = []
    for line in trace.splitlines():
        match = _LINE.match(line)
        if match is None or match[1] not in _CALLS:
            continue
        call, what = match[1], match[2]
        counts[call] += 1
        if _ELSEWHERE.match(what) or (call in _OPENS and not _WRITES.search(what)):
            continue
        found.append(Point(who, call, counts[call], what.rpartition(" = ")[0]))
    return found
