"""A word about long work, on a terminal only: after half a second, and gone when the work is done."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from .output import is_terminal, safe

_PATIENCE = 0.5  # seconds before the first word
_PERIOD = 0.2


class Progress:
    """``with Progress("verifying") as progress: progress.at(12_000)``; the count may be left out."""

    def __init__(self, label: str) -> None:
        self._label = safe(label)
        self._count: int | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        if is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb":
            self._thread = threading.Thread(target=self._tell, args=(sys.stderr,), daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._done.set()
            self._thread.join()

    def at(self, count: int, label: str | None = None) -> None:
        """How far the work is."""
        self._count = count
        if label is not None:
            self._label = safe(label)

    def _tell(self, stream: TextIO) -> None:
        begun = time.monotonic()
        told = False
        wait = _PATIENCE
        try:
            while not self._done.wait(wait):
                wait = _PERIOD
                count = "" if self._count is None else f" {self._count:,}"
                stream.write(f"\r\x1b[K{self._label} ...{count} ({time.monotonic() - begun:.0f} s)")
                stream.flush()
                told = True
            if told:
                stream.write("\r\x1b[K")
                stream.flush()
        except OSError:
            pass  # the terminal is gone; the work goes on
