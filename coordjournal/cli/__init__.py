"""The command line, ``coordjournal`` and ``git coordjournal`` (docs/man/coordjournal.1).

A file holds a group of commands and is imported when one of them is asked for; what a command needs of the library it
imports when it runs. So an answer costs what the answer takes, and help costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command (by default that of ``sys.argv``) and says with which status the program should exit."""
    from .app import run

    return run(arguments)
