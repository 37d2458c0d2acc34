"""The root command: which commands there are, and how a run begins and ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from .. import __version__
from ..errors import CoordjournalError
from ..text import printable
from . import failure
from .base import App, Group

COMPLETE_VARIABLE = "_COORDJOURNAL_COMPLETE"  # click's protocol between the shell's function and the program

#: Section of the help to its commands: name to module and attribute.
COMMANDS = {
    "Server": {
        "init": "server:init",
        "install": "server:install",
        "upgrade": "server:upgrade",
        "uninstall": "server:uninstall",
        "doctor": "server:doctor",
        "verify": "judge:verify",
        "check": "judge:check",
        "schema": "schemas:schema",
        "rescue": "rescue:rescue",
    },
    "Write": {
        "append": "append:append",
        "alias": "pages:alias",
        "bind": "pages:bind",
        "merge": "pages:merge",
        "fork": "pages:fork",
        "overlay": "overlays:overlay",
        "revoke": "revoke:revoke",
        "undo": "revoke:undo",
        "lease": "lease:lease",
        "outbox": "outbox:outbox",
        "import": "transfers:import_log",
    },
    "Read": {
        "clone": "copies:clone",
        "sync": "copies:sync",
        "spaces": "copies:spaces",
        "log": "logs:log",
        "show": "logs:show",
        "where": "where:where",
        "inbox": "inbox:inbox",
        "state": "questions:state",
        "resolve": "questions:resolve",
        "group": "questions:group",
        "canonical": "questions:canonical",
        "lineage": "questions:lineage",
        "why": "questions:why",
        "diff": "questions:diff",
        "lint": "questions:lint",
        "export": "transfers:export",
    },
    "Shell": {"completion": "completion:completion"},
}
_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())  # its help is the answer; since click 8.2
_HOMES = {name: home for section in COMMANDS.values() for name, home in section.items()}


class _Root(Group):
    """Imports the module of a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        home = _HOMES.get(cmd_name)
        if home is None:
            return None
        module, _, attribute = home.partition(":")
        command = getattr(import_module(f".{module}", __package__), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = formatter.width - 6 - max(map(len, _HOMES))
        for section, names in COMMANDS.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                assert command is not None
                rows.append((name, command.get_short_help_str(width)))
            with formatter.section(section):
                formatter.write_dl(rows)


def _use_directory(ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        ctx.ensure_object(App).directory = value
    return value


@click.group(
    cls=_Root,
    epilog="Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 queued, 4 remote unreachable. "
    "`git coordjournal` is the same program; `git coordjournal --help` shows the manual.",
)
@click.option(
    "-C",
    "directory",
    metavar="DIR",
    expose_value=False,
    callback=_use_directory,
    type=click.Path(),
    help="The repository; by default that of the current directory.",
)
@click.version_option(__version__, "--version", prog_name="coordjournal", message="%(prog)s %(version)s")
def root() -> None:
    """Durable, auditable decisions in an ordinary git remote.

    Names, bindings, merges, forks and overlays of a wiki that is spread over many stores are kept as an append-only
    log in git, one for each space. Hooks refuse whatever would break a log; anyone who has fetched it can ask what
    follows from it, as of any time, and why.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives the exit status. Nothing but a defect of the program itself escapes as exception."""
    program = os.path.basename(sys.argv[0])
    program = "git coordjournal" if program == "git-coordjournal" else "coordjournal"
    _settle_streams()
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(root, {"obj": App()}, program, COMPLETE_VARIABLE, instruction)
    app = App()
    try:
        status = _run(app, program, list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _drop_output()
        return failure.BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        return failure.INTERRUPTED
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output()  # it was the output that failed
        failure.tell(error, app.json)
        return failure.REFUSED
    finally:
        app.close()


def _run(app: App, program: str, arguments: list[str]) -> int:
    try:
        with root.make_context(program, arguments, obj=app) as ctx:
            root.invoke(ctx)
        return failure.DONE
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except click.ClickException as error:
        if isinstance(error, _NO_ARGUMENTS):
            error.show()
        else:
            _show(error)
        return error.exit_code
    except CoordjournalError as error:
        sys.stdout.flush()
        failure.tell(error, app.json)
        return failure.status_of(error)


def _show(error: click.ClickException) -> None:
    """Wrong usage: how it is used, and what was wrong."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"`{error.ctx.command_path} --help` says more.\n", err=True)
    message = "\n".join(printable(line) for line in error.format_message().split("\n"))
    click.echo(f"coordjournal: usage: {message}", err=True)


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


def _drop_output() -> None:
    """Nobody reads on, or the disk is full: what is still in the buffer goes nowhere, without a word at exit."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass
