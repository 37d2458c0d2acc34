"""Runs the command line: in this process for the many small questions, as a program where that is what is asked."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coordjournal
from coordjournal.cli import main

ROOT = Path(coordjournal.__file__).resolve().parents[1]


@dataclass(frozen=True)
class Result:
    """How a run ended and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one line of JSON that was printed."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON Lines that were printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        """The error that was told as JSON."""
        assert self.err.count("\n") == 1, self.err
        return json.loads(self.err)["error"]


def cj(*words: str | Path, cwd: str | Path = ".", stdin: bytes = b"", status: int | None = 0) -> Result:
    """Runs a command in this process; the test fails unless it ends with ``status`` (None: with any)."""
    out, err = io.BytesIO(), io.BytesIO()
    with chdir(cwd), _streams(stdin, out, err):
        ended = main([os.fspath(word) for word in words])
        sys.stdout.flush()
        sys.stderr.flush()
    result = Result(ended, out.getvalue().decode(), err.getvalue().decode())
    assert status in (None, ended), f"{words} ended with {ended}\n{result.out}{result.err}"
    return result


@contextmanager
def _streams(stdin: bytes, out: io.BytesIO, err: io.BytesIO) -> Iterator[None]:
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    sys.stdout = io.TextIOWrapper(out, "utf-8")
    sys.stderr = io.TextIOWrapper(err, "utf-8")
    try:
        yield
    finally:
        # Detached, or the buffers would be closed with the wrappers.
        sys.stdout.detach()
        sys.stderr.detach()
        sys.stdin, sys.stdout, sys.stderr = before


def environment(**more: str) -> dict[str, str]:
    """The environment in which the package of this checkout runs as a program."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def program(
    *words: str | Path, cwd: str | Path = ".", env: Mapping[str, str] | None = None, **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """Runs ``python -m coordjournal`` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "coordjournal", *map(os.fspath, words)],
        cwd=cwd,
        env=environment(**(env or {})),
        **{"capture_output": True, "check": False, **more},
    )
