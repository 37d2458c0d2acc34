"""Where one push spends its time: ``python -m benchmarks profile``.

The times of the processes come from a run in which strace stops them only where they begin and end; the counts of
system calls from another one, in which it stops them at each call and so makes them several times as slow.
"""

from __future__ import annotations

import re
import shutil
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import logs, machine, measure, servers
from .bench import Bench, git, run
from .logs import Log
from .machine import Unable
from .timing import Step, interleaved

_TOLD = 5  # pushes whose imports are timed
_NAMED = 12  # imported modules that have a line of their own
_EXECVE = re.compile(r'^(?P<at>[\d.]+) execve\("[^"]*", \[(?P<words>.*?)\](?:\.\.\.)?, .* = 0$')
_IMPORT = re.compile(r"import time: +(?P<self>\d+) \| +\d+ \| *(?P<name>\S+)\s*$")


@dataclass(frozen=True)
class Process:
    """A program that ran: what was typed, when it began and ended (seconds), and how many system calls it made."""

    words: str
    begun: float
    ended: float
    calls: int


def report(bench: Bench) -> str:
    """The tables, as Markdown. Raises Unable without strace."""
    if shutil.which("strace") is None:
        raise Unable("the profile needs strace (Debian, Ubuntu: apt install strace)")
    hook = servers.with_hooks(bench, "hook.git")
    none = servers.without_hooks(hook, "none.git")
    told = _telling(hook)
    client = bench.place / "client.git"
    git("init", "--quiet", "--bare", str(client))
    timed = bench.sizes.rounds
    chain = Log(client).grow(logs.plain(timed + 3, 0, seed=4))

    def push(server: Path) -> Step:
        return lambda turn: servers.push(client, server, chain[turn])

    seconds = interleaved({"hook": push(hook), "none": push(none)}, timed, note=bench.note)
    parts = [f"Measured on: {measure.about(machine.facts())}."]
    for server, key, words in ((hook, "hook", "with the hook"), (none, "none", "without any hook")):
        begun = trace(bench, client, server, chain[timed + 1], light=True)
        counted = trace(bench, client, server, chain[timed + 2], light=False)
        wall = measure.shown(statistics.median(seconds[key]), "s")
        parts += [f"### One push {words}: {wall} (median of {timed}, not traced)", processes(begun, counted)]
    said = [
        run("git", f"--git-dir={client}", "push", str(told), f"{commit}:{logs.REF}", errors_too=True)
        for commit in chain[:_TOLD]
    ]
    parts += [f"### What Python imports in the hook of one push (medians of {len(said)})", imports(said)]
    return "\n\n".join(parts)


def trace(bench: Bench, client: Path, server: Path, commit: str, *, light: bool) -> list[Process]:
    """The processes of one push, in the order in which they began."""
    place = bench.place / "trace"
    place.mkdir()
    what = ["--seccomp-bpf", "-f", "-e", "trace=execve,exit_group"] if light else ["-f"]
    words = ["strace", *what, "-ff", "-ttt", "-s", "4096", "-o", str(place / "of")]
    run(*words, "git", f"--git-dir={client}", "push", "--quiet", str(server), f"{commit}:{logs.REF}")
    found = [process for path in place.iterdir() for process in parse(path.read_text(errors="replace").splitlines())]
    shutil.rmtree(place)
    return sorted(found, key=lambda process: process.begun)


def parse(lines: Iterable[str]) -> list[Process]:
    """The program whose trace by strace (-ttt) this is: none if it never became another one than its parent."""
    words, begun, ended, calls = "", 0.0, 0.0, 0
    for line in lines:
        at, _, rest = line.partition(" ")
        ended = float(at)
        calls += not rest.startswith(("+++", "---"))
        match = _EXECVE.match(line)
        if match:
            words = _shortened(match["words"])
            begun = begun or float(match["at"])
    return [Process(words, begun, ended, calls)] if words else []


def processes(begun: list[Process], counted: list[Process]) -> str:
    """A table of processes: their times by one trace, their system calls by another."""
    calls: dict[str, list[int]] = {}
    for process in counted:
        calls.setdefault(process.words, []).append(process.calls)
    lines = ["| process | begins at | takes | system calls |", "|---|---|---|---|"]
    start = begun[0].begun
    for process in begun:
        known = calls.get(process.words)
        lines.append(
            f"| `{process.words}` | {1000 * (process.begun - start):.1f} ms "
            f"| {1000 * (process.ended - process.begun):.1f} ms | {known.pop(0) if known else '?'} |"
        )
    total = sum(process.calls for process in counted)
    end = max(process.ended for process in begun)
    lines.append(f"| {len(begun)} processes | | {1000 * (end - start):.1f} ms | {total} |")
    return "\n".join(lines)


def imports(said: Sequence[str]) -> str:
    """A table of what Python said with ``-X importtime`` in several runs: what each module costs by itself, the dearest
    first."""
    told: dict[str, list[int]] = {}
    for line in "\n".join(said).splitlines():
        match = _IMPORT.search(line)
        if match:
            told.setdefault(match["name"], []).append(int(match["self"]))
    if not told:
        raise Unable(f"Python told no import times:\n{said[0]}")
    own = Counter({name: statistics.median(values) for name, values in told.items()})
    ours = sum(value for name, value in own.items() if name.split(".")[0] == "coordjournal")
    lines = ["| module | by itself |", "|---|---|"]
    lines += [f"| `{name}` | {value / 1000:.2f} ms |" for name, value in own.most_common(_NAMED)]
    lines.append(f"| the package, {sum(n.startswith('coordjournal') for n in own)} modules | {ours / 1000:.2f} ms |")
    lines.append(f"| all {len(own)} modules | {own.total() / 1000:.2f} ms |")
    return "\n".join(lines)


def _telling(hook: Path) -> Path:
    """A copy of a server whose hook tells what it imports."""
    copy = hook.with_name("told.git")
    shutil.copytree(hook, copy, symlinks=True)
    file = copy / "hooks" / "pre-receive"
    first, _, rest = file.read_text().partition("\n")
    interpreter, *flags = first.split(" ")
    # A first line has room for one argument.
    file.write_text(f"{interpreter} -{''.join(flag.lstrip('-') for flag in flags)}Ximporttime\n{rest}")
    return copy


def _shortened(words: str) -> str:
    """A command line for a table: without the folders of this run, and without what differs between two pushes."""
    shown = " ".join(word.strip('"') for word in words.split(", "))
    shown = re.sub(r"\b[0-9a-f]{40,64}\b", "COMMIT", shown)
    return re.sub(r"\S*/([^/\s]+)", r"\1", shown.replace("'", "")).replace("|", "\\|")[:100]
