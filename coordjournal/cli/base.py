"""What every command stands on: the program's own state, arguments that know what they are, options in common."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import DecisionNotFound, UnknownSpace
from ..text import is_space
from .output import Paper

if TYPE_CHECKING:
    from datetime import datetime

    from click.shell_completion import CompletionItem

    from ..journal import Journal
    from ..opening import Asked
    from ..space import Space
    from ..state import CoordinationState

    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # generic since click 8.4

_F = TypeVar("_F", bound=Callable[..., Any])

_CHEAP = 5_000  # a log of so many decisions is folded for the sake of a completion
_TIME = r"(?s)\d{4}-\d\d-\d\d([T ].*)?"


class App:
    """One run of the program.

    Attributes:
        directory: where the repository is (``-C``).
        json: whether answers, and refusals, are JSON.
        paper: standard output, for people.
    """

    def __init__(self, asked: Asked | None = None) -> None:
        """``asked``: what git has been asked already, about the repository that seems to be meant."""
        self.directory = os.environ.get("GIT_DIR") or "."
        self.json = False
        self.paper = Paper(sys.stdout)
        self._asked = asked
        self._journals: list[Journal] = []

    def journal(self, path: str | None = None, *, extensions: bool = True) -> Journal:
        """The journal of a repository (None: the one this run is about).

        Args:
            extensions: False where no plug-in can have a say, which saves looking for them.
        """
        return self._open(path or self.directory, extensions, None)

    def space(self, space: str, *, extensions: bool = True) -> Space:
        """A space of this run's journal, for a command whose first question is what state it is in."""
        return self._open(self.directory, extensions, space).space(space)

    def _open(self, path: str, extensions: bool, space: str | None) -> Journal:
        from ..journal import Journal

        asked, self._asked = self._asked, None
        if asked is not None and asked.path != path:
            asked.stop()
            asked = None
        journal = Journal._open(path if asked is None else asked, None, None if extensions else {}, space)
        self._journals.append(journal)
        return journal

    def close(self) -> None:
        """Ends the git processes of the journals that were opened."""
        if self._asked is not None:
            self._asked.stop()
            self._asked = None
        while self._journals:
            self._journals.pop().close()


pass_app = click.make_pass_decorator(App)


class Command(click.Command):
    """A command whose help ends with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class Group(click.Group):
    """A command with commands of its own."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)


class ListingGroup(Group):
    """A group whose command ``list`` is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = args[0] in (*self.commands, *ctx.help_option_names) if args else ctx.resilient_parsing
        return super().parse_args(ctx, args if named else ["list", *args])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        arguments = (param for param in self.commands["list"].params if isinstance(param, click.Argument))
        found = (item for param in arguments for item in param.shell_complete(ctx, incomplete))
        return [*super().shell_complete(ctx, incomplete), *found]


# -- arguments -------------------------------------------------------------------------------------------------------


def _nfc(text: str) -> str:
    if text.isascii():
        return text
    from unicodedata import normalize

    return normalize("NFC", text)


class SpaceType(_Type):
    """A space id, brought to NFC; completes to the spaces that are here."""

    name = "space"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        space = _nfc(value)
        if not is_space(space):
            self.fail(f"{value!r} is not a space id: 1 to 80 bytes of text without control characters", param, ctx)
        return space

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _items(incomplete, lambda app: app.journal(extensions=False).spaces(), ctx)


class AliasType(_Type):
    """A name, brought to NFC; completes to the names that are set, where the log is short."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return _nfc(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _items(incomplete, lambda app: list(_cheap_state(app, ctx).aliases), ctx)


class OverlayType(_Type):
    """An overlay's id; completes to the open ones, where the log is short."""

    name = "overlay"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _items(incomplete, lambda app: [o.overlay_id for o in _cheap_state(app, ctx).overlays], ctx)


class KindType(_Type):
    """A decision type; completes to the built-in ones."""

    name = "type"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from ..payload import BUILT_IN

        return [CompletionItem(kind) for kind in BUILT_IN if kind.startswith(incomplete)]


class PlaceType(_Type):
    """A place in a log: a Seq, ``garden@42``, an id, a commit, or a time (UTC unless it says otherwise)."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | datetime:
        import re

        if not isinstance(value, str) or not re.fullmatch(_TIME, value):
            return value  # type: ignore[no-any-return]  # a str or a datetime
        from datetime import UTC, datetime

        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time; write 2026-11-22 or 2026-11-22T10:00:00Z", param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


class Number(_Type):
    """An integer of at least ``least``."""

    name = "number"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            number = self.least - 1
        if number < self.least:
            self.fail(f"{value!r} is not a number of {self.least} or more", param, ctx)
        return number


class Seconds(_Type):
    """A time span in seconds, 0 or more; it may have a fraction."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from math import isfinite

        try:
            span = float(value)
        except ValueError:
            span = -1.0
        if not (isfinite(span) and span >= 0):
            self.fail(f"{value!r} is not a number of seconds, 0 or more", param, ctx)
        return span


class EntryType(_Type):
    """The number of an entry of the outbox; completes to those that are there."""

    name = "entry"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        def numbers(app: App) -> list[str]:
            outbox = app.journal(extensions=False).outbox
            return [entry.name for entry in outbox.entries()] if outbox else []

        return _items(incomplete, numbers, ctx)


SPACE = SpaceType()
ALIAS = AliasType()
OVERLAY = OverlayType()
KIND = KindType()
PLACE = PlaceType()
SECONDS = Seconds()
ENTRY = EntryType()


def _items(incomplete: str, names: Callable[[App], list[str]], ctx: click.Context) -> list[CompletionItem]:
    """The names that begin so. A completion has nothing to say about errors."""
    from click.shell_completion import CompletionItem

    app = App()
    app.directory = ctx.ensure_object(App).directory
    try:
        return [CompletionItem(found) for found in names(app) if found.startswith(incomplete)]
    except Exception:
        return []
    finally:
        app.close()


def _cheap_state(app: App, ctx: click.Context) -> CoordinationState:
    space = app.journal(extensions=False).space(ctx.params["space"])
    if space.last_seq() > _CHEAP:
        raise LookupError("not cheap")
    return space.state()


# -- options ---------------------------------------------------------------------------------------------------------


def _note_json(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    ctx.ensure_object(App).json = value
    return value


def json_option(command: _F, words: str = "Answer in JSON, for programs.") -> _F:
    """``--json``: the command looks at ``app.json``."""
    return click.option("--json", is_flag=True, expose_value=False, callback=_note_json, help=words)(command)


class View:
    """Which state of a space is asked: the values of ``--at``, ``--without`` and ``--at-least``."""

    __slots__ = ("at", "at_least", "without")

    def __init__(
        self, at: str | datetime | None = None, without: tuple[str, ...] = (), at_least: int | None = None
    ) -> None:
        self.at = at
        self.without = without
        self.at_least = at_least


def view_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command ``--at``, ``--without`` and ``--at-least``; it gets them as ``view``."""

    @functools.wraps(command)
    def with_view(
        *args: Any, at: str | datetime | None, without: tuple[str, ...], at_least: int | None, **kwargs: Any
    ) -> Any:
        return command(*args, view=View(at, without, at_least), **kwargs)

    wrapped: Callable[..., Any] = with_view
    for option in (
        click.option(
            "--at-least",
            type=Number(0),
            metavar="SEQ",
            help="Fetch until this Seq is here (30 s at most).",
        ),
        click.option(
            "--without",
            multiple=True,
            metavar="DECISION",
            help="As if this decision were revoked; may be given several times.",
        ),
        click.option(
            "--at", type=PLACE, metavar="PLACE", help="As of a Seq, a decision, a commit or a time, instead of now."
        ),
    ):
        wrapped = option(wrapped)
    return wrapped


_NOW = View()


def state_of(space: Space, view: View = _NOW) -> CoordinationState:
    """The state of a space that has a log.

    Raises:
        UnknownSpace: it has none here.
    """
    from .progress import Progress

    with Progress(f"reading {space.id}"):
        try:
            state = space.state(view.at, without=view.without, at_least=view.at_least)
        except DecisionNotFound:
            if view.at_least is None and space.last_seq() < 0:
                raise UnknownSpace(f"the space {space.id!r} has no log here") from None
            raise
    if state.seq < 0 and view.at_least is None and space.last_seq() < 0:
        raise UnknownSpace(f"the space {space.id!r} has no log here")
    return state


def named_decision(app: App, words: Sequence[str]) -> tuple[Space, str]:
    """The space and the decision that ``[SPACE] DECISION`` means.

    ``garden@42`` names its space; without a space, an id, a commit or the beginning of one is looked for in all
    spaces, and a Seq is clear where there is but one space.

    Raises:
        click.UsageError: neither one nor two words, or a Seq of no certain space.
        DecisionNotFound: nothing, or more than one decision, is named so.
    """
    from ..errors import DecisionNotFound

    if not 1 <= len(words) <= 2:
        raise click.UsageError("Name one decision: SPACE 42, garden@42, or the beginning of an id or a commit.")
    journal = app.journal()
    decision = words[-1]
    if len(words) == 2:
        return journal.space(SPACE.convert(words[0], None, None)), decision
    space, at, seq = decision.rpartition("@")
    if at and seq.isascii() and seq.isdecimal():
        return journal.space(SPACE.convert(space, None, None)), decision
    spaces = journal.spaces()
    if len(spaces) == 1:
        return journal.space(spaces[0]), decision
    found = []
    for each in spaces:
        try:
            landed = journal.space(each).state().find(decision)
        except DecisionNotFound:
            continue
        if str(landed.seq) == decision:  # the beginning of a commit or an id may be all digits too
            raise click.UsageError(f"There are {len(spaces)} spaces here; say of which one: SPACE@{decision}")
        found.append(each)
    if len(found) == 1:
        return journal.space(found[0]), decision
    if found:
        raise DecisionNotFound(f"{decision!r} names decisions of several spaces: {', '.join(map(repr, found[:5]))}")
    raise DecisionNotFound(f"no decision of any space here answers to {decision!r}")


def parsed_json(text: str, what: str) -> Any:
    """The value of JSON that a person wrote; a key that stands twice is an error.

    Raises:
        click.BadParameter: ``what`` is no JSON.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice in one object")
        return found

    import json

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{what} is not JSON: {error}") from None


def read_file(path: str) -> bytes:
    """The content of a file, of standard input for ``-``.

    Raises:
        click.BadParameter: it cannot be read.
    """
    try:
        if path == "-":
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise click.BadParameter(f"cannot read {path!r}: {error.strerror}") from None


def read_text(path: str) -> str:
    """As :func:`read_file`, for UTF-8."""
    try:
        return read_file(path).decode()
    except UnicodeDecodeError:
        raise click.BadParameter(f"{path!r} is not UTF-8") from None
