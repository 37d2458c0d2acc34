"""Kills what serves the run's repository, and what asks it, at random moments.

Which processes those are is read from /proc: whatever works in the server's repository belongs to a push or a fetch of
this very run, for nobody else knows of it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from .history import History

_POLL = 0.01


def serving(server: Path) -> Iterator[tuple[int, str]]:
    """The processes that work in the repository, and what each is: ``receive-pack``, the name of a hook, or a git
    command that one of them has started."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{name}/cwd") != str(server):
                continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().decode("utf-8", "replace").split("\0")
        except OSError:
            continue  # it has ended meanwhile
        for hook in ("pre-receive", "proc-receive"):
            if any(word.endswith(f"hooks/{hook}") for word in words):
                yield int(name), hook
                break
        else:
            if "receive-pack" in words or words[0] == "git-receive-pack":
                yield int(name), "receive-pack"
            elif words[0].endswith("git") and len(words) > 1 and not words[1].startswith("-"):
                yield int(name), words[1]


def asking(worker: int, server: Path) -> list[int]:
    """The git processes of a worker that are not at work in the server's repository."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
    found = []
    for process in parents:
        above = parents.get(process)
        while above and above != worker:
            above = parents.get(above)
        if above == worker:
            try:
                if os.readlink(f"/proc/{process}/cwd") != str(server):
                    found.append(process)
            except OSError:
                continue
    return found


def send(processes: list[int], number: int) -> None:
    """Sends a signal to processes that may have ended meanwhile."""
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def kill_servers(server: Path, notes: Path, seed: int, every: float, sequencing: bool) -> None:
    """Kills one of the processes that serve the repository every so many seconds on average, for ever.

    Without a sequencer nobody removes a lock of git's that stays, so that only hooks are killed there: they hold none.
    """
    rng = random.Random(f"{seed} chaos")
    noted = History(notes, "chaos", 0)
    while True:
        time.sleep(rng.expovariate(1 / every))
        due = rng.choices(("receive-pack", "pre-receive", "proc-receive", "git"), (3, 2, 4, 3))[0]
        due = due if sequencing else "pre-receive"
        until = time.monotonic() + 2
        while time.monotonic() < until:
            found = [(process, what) for process, what in serving(server) if due in (what, "git")]
            if found:
                time.sleep(rng.expovariate(1 / 0.01))  # not always at its beginning
                process, what = rng.choice(found)
                send([process], signal.SIGKILL)
                noted.note("killed", what=what)
                break
            time.sleep(_POLL)
