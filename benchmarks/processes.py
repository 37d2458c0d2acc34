"""What it costs to begin: to import the package, and to start the program."""

from __future__ import annotations

import subprocess

from coordjournal import AliasSet, Journal

from . import logs, machine
from .bench import Bench, python, quietly
from .measure import Row, row
from .timing import Step


def imports(bench: Bench) -> list[Row]:
    """Importing the package in a fresh process, against importing dulwich."""
    yardstick = "import dulwich.repo"
    targets = {"import coordjournal": None, "from coordjournal import Journal, AliasSet": 0.8}
    seconds = bench.rounds({code: _running(code) for code in (*targets, yardstick)})
    return [row(code, yardstick, seconds[code], seconds[yardstick], target) for code, target in targets.items()]


def program(bench: Bench) -> list[Row]:
    """``coordjournal resolve`` as users start it, against importing click in its interpreter with its flags."""
    found = machine.program()
    repository = bench.bare("log.git")
    with Journal.open(repository, extensions={}) as journal:
        journal.space(logs.SPACE).append(AliasSet("Home", "shardA:Page"), actor="alice")
    interpreter = machine.interpreter_of(found)
    if subprocess.run([*interpreter, "-c", "import click"], capture_output=True).returncode:
        interpreter = interpreter[:1]  # its flags leave out where click is
    seconds = bench.rounds(
        {
            "resolve": lambda _turn: quietly(found, "-C", repository, "resolve", logs.SPACE, "Home"),
            "click": lambda _turn: quietly(*interpreter, "-c", "import click"),
        }
    )
    shown = " ".join(["python", *interpreter[1:]])
    yardstick = f"{shown} -c 'import click'"
    return [row("coordjournal resolve, a small log", yardstick, seconds["resolve"], seconds["click"], 1.4)]


def _running(code: str) -> Step:
    return lambda _turn: quietly(*python(code))
