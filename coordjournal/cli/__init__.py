"""The command line, ``coordjournal`` and ``git coordjournal`` (docs/man/coordjournal.1).

A file holds a group of commands and is imported when one of them is asked for; what a command needs of the library it
imports when it runs. So an answer costs what the answer takes, and help costs next to nothing. git is started before
click is imported, which takes three times as long as git takes to answer.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..opening import Asked


def program() -> int:
    """Runs the command of ``sys.argv`` as a program of its own: ends the process, unless somebody watches it."""
    gc.set_threshold(100_000)  # of 700: what is imported is there to stay, and to look for garbage in it takes 2 ms
    status = main()
    _leave(status)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command (by default that of ``sys.argv``) and says with which status the program should exit."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _settle_streams()  # before a pipe to git could take the number of one
    asked = _asked(arguments)
    from .app import run

    return run(arguments, asked)


def _asked(arguments: Sequence[str]) -> Asked | None:
    """Asks git about the repository that is meant, if it can be seen at a glance that one is. Whoever opens it gets the
    answer, or the error, if it is the one that was meant."""
    from .commands import OPENING

    words = iter(arguments)
    directory = os.environ.get("GIT_DIR")
    for word in words:
        if word == "-C":
            directory = next(words, None)
        elif word.startswith("-C"):
            directory = word[2:]
        elif word in OPENING and "--help" not in arguments and "-h" not in arguments:
            from ..errors import NotAJournal
            from ..opening import Asked

            try:
                return Asked(directory or ".")
            except NotAJournal:
                return None
        else:
            return None
    return None


def _settle_streams() -> None:
    """A stream that was closed goes nowhere, before its number is taken by something else; and what the terminal's
    encoding cannot show is escaped, instead of ending the program half-way."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (for as long as the program runs)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _leave(status: int) -> None:
    """Ends the process without taking down the interpreter, which takes 5 ms and does nothing for anybody.

    What others have registered to be done at exit is done. The long way is taken where a thread is still at work, where
    a debugger or profiler watches, and where what was written cannot be brought out.
    """
    threading = sys.modules.get("threading")
    if sys.gettrace() or sys.getprofile() or (threading is not None and threading.active_count() > 1):
        return
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(status)
