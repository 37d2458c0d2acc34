"""What reaches the terminal: colours only where they belong, and no text from outside that could steer it."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

from ..text import printable

_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}


class Paper:
    """A stream to write on for people. Its colours are plain text unless the stream is a terminal that wants them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.terminal = is_terminal(stream)
        self._colours = self.terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def line(self, text: str = "") -> None:
        """Writes a line. Whatever came from outside must have gone through :func:`safe` or :func:`name`."""
        self._stream.write(text + "\n")

    def paint(self, colour: str, text: str) -> str:
        """``text`` in a colour of ``_CODES``."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self._colours and text else text

    def bold(self, text: str) -> str:
        return self.paint("bold", text)

    def dim(self, text: str) -> str:
        return self.paint("dim", text)

    def red(self, text: str) -> str:
        return self.paint("red", text)

    def green(self, text: str) -> str:
        return self.paint("green", text)

    def yellow(self, text: str) -> str:
        return self.paint("yellow", text)

    def cyan(self, text: str) -> str:
        return self.paint("cyan", text)


def safe(text: str) -> str:
    """Text from outside (a log, a remote, a file, an argument), made safe to show on one line."""
    return printable(text)


def name(text: str) -> str:
    """A name or a page from outside, safe to show, and in quotes where a space or a quote would blur where it ends."""
    if not text or " " in text or '"' in text or "\\" in text:
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return printable(text)


def word(text: str) -> str:
    """Text from outside as one word of a shell's command line, safe to show."""
    from shlex import quote

    return printable(quote(text))


def put_json(value: Any, stream: TextIO | None = None) -> None:
    """Writes a JSON value on one line. All but ASCII is escaped, so that it survives any locale and no terminal is
    steered by it. What a plug-in has for its state need not be JSON: then it is shown as text."""
    import json

    (stream or sys.stdout).write(json.dumps(value, default=str) + "\n")


def put_content(raw: bytes, paper: Paper) -> None:
    """Writes the content of an attachment: byte for byte into a file or a pipe, but safe to show on a terminal."""
    if not paper.terminal and hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        return
    for line in raw.decode("utf-8", "backslashreplace").expandtabs().removesuffix("\n").split("\n"):
        paper.line(safe(line))


def note(as_json: bool, message: str) -> None:
    """Something that people should know about what they asked for, on standard error."""
    if not as_json:
        paper = Paper(sys.stderr)
        paper.line(f"{paper.yellow('coordjournal:')} note: {safe(message)}")


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal; a closed one is not."""
    try:
        return stream.isatty()
    except ValueError:
        return False
