"""What every part gets: a folder, how much to measure, logs that are made once, and somebody to tell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import logs, peak
from .logs import Log
from .machine import Unable
from .sizes import Sizes
from .timing import Step, interleaved


@dataclass
class Bench:
    """One run.

    Attributes:
        top: a folder for what parts share. place: a folder of the part alone, removed when it ends.
        note: told now and then what is being done, in a few words.
    """

    top: Path
    place: Path
    sizes: Sizes
    note: Callable[[str], None]
    _logs: dict[int, Log] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """Where the hooks of this run find the package."""
        return str(self.top / "prefix")

    def log(self, count: int) -> Log:
        """The realistic log of so many decisions, in a bare repository that nobody writes to; made once a run."""
        if count not in self._logs:
            self.note(f"writing a log of {count:,}")
            git_dir = self.top / f"log-{count}.git"
            git("init", "--quiet", "--bare", str(git_dir))
            self._logs[count] = logs.write(git_dir, logs.entries(count))
        return self._logs[count]

    def copy(self, count: int, into: Path) -> Log:
        """That log in the repository ``into``; the packs are the same files."""
        log = self.log(count)
        for file in (log.git_dir / "objects" / "pack").iterdir():
            os.link(file, into / "objects" / "pack" / file.name)
        for file in (log.git_dir / "objects").glob("??/*"):  # of a log so short that git packs nothing
            (into / "objects" / file.parent.name).mkdir(exist_ok=True)
            shutil.copy(file, into / "objects" / file.parent.name)
        git(f"--git-dir={into}", "update-ref", log.ref, log.tip)
        return Log(into, log.count, log.tip, log.ref)

    def bare(self, name: str) -> Path:
        """A new bare repository without anything of coordjournal's."""
        git("init", "--quiet", "--bare", str(self.place / name))
        return self.place / name

    def rounds(
        self, steps: Mapping[str, Step], *, long: bool = False, warm_up: bool = True, most: int = 1000
    ) -> dict[str, list[float]]:
        """Measures steps in turn: as often as the sizes say for what takes milliseconds or (``long``) seconds, and no
        more than ``most`` times."""
        runs = min(most, self.sizes.long_rounds if long else self.sizes.rounds)
        warm_up = warm_up and self.sizes.warm_up
        return interleaved(steps, runs, budget=self.sizes.budget, warm_up=warm_up, note=self.note)


def git(*words: str, **how: Any) -> str:
    """Runs git; what it says. Raises Unable with git's own words where it fails."""
    return run("git", *words, **how)


def run(*words: str | Path, errors_too: bool = False, **how: Any) -> str:
    """Runs a program; what it says on its standard output (with ``errors_too``: and then on its standard error).
    Raises Unable where it fails."""
    done: subprocess.CompletedProcess[str] = subprocess.run(words, capture_output=True, text=True, **how)
    if done.returncode:
        raise failed(words, done.returncode, done.stderr)
    return done.stdout + done.stderr * errors_too


def quietly(*words: str | Path) -> None:
    """Runs what is measured, away from the checkout; its output is thrown away. Raises Unable where it fails."""
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/")
    if done.returncode:
        raise failed(words, done.returncode, done.stderr)


def peak_of(*words: str | Path) -> float:
    """The peak memory of a program by itself, in MiB. Raises Unable where it fails."""
    status, size = peak.run(words, stdout=subprocess.DEVNULL, cwd="/")
    if status:
        raise failed(words, status, "")
    return size / (1 << 20)


def failed(words: Sequence[str | Path], status: int, said: str) -> Unable:
    """The error of a program that failed."""
    shown = " ".join(str(word) if "\n" not in str(word) else "..." for word in words)
    return Unable(f"{shown} ended with {status}\n{said}".rstrip())


def python(code: str, *arguments: str | Path) -> list[str | Path]:
    """The words that run a piece of Python with the installed package, as a program of a user would."""
    return [sys.executable, "-c", code, *arguments]
