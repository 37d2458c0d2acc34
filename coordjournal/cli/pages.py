"""Names and pages: ``alias``, ``bind``, ``merge``, ``fork``."""

from __future__ import annotations

import click

from .base import ALIAS, SPACE, App, Command, Group, pass_app
from .writing import How, decide, writing_options


@click.group(cls=Group)
def alias() -> None:
    """Say which page a name means."""


@alias.command("set", examples=["coordjournal alias set garden Home shardA:Index -m 'the new start page'"])
@click.argument("space", type=SPACE)
@click.argument("name", type=ALIAS)
@click.argument("target", metavar="PAGE")
@writing_options
@pass_app
def alias_set(app: App, space: str, name: str, target: str, how: How) -> None:
    """Let NAME mean PAGE."""
    from ..payload import AliasSet

    decide(app, app.journal().space(space), AliasSet(name, target), how)


@alias.command("clear", examples=["coordjournal alias clear garden OldHome"])
@click.argument("space", type=SPACE)
@click.argument("name", type=ALIAS)
@writing_options
@pass_app
def alias_clear(app: App, space: str, name: str, how: How) -> None:
    """Let NAME mean nothing any more."""
    from ..payload import AliasCleared

    decide(app, app.journal().space(space), AliasCleared(name), how)


@click.command(cls=Command, examples=["coordjournal bind garden shardA:Index shardB:Home"])
@click.argument("space", type=SPACE)
@click.argument("pages", metavar="PAGE PAGE...", nargs=-1, required=True)
@writing_options
@pass_app
def bind(app: App, space: str, pages: tuple[str, ...], how: How) -> None:
    """Say that two or more pages are one page."""
    from ..payload import BindingMade

    if len(pages) < 2:
        raise click.UsageError("A binding takes two pages or more.")
    decide(app, app.journal().space(space), BindingMade(pages), how)


@click.command(cls=Command, examples=["coordjournal merge garden shardB:Home shardC:Start --into shardA:Index"])
@click.argument("space", type=SPACE)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option("--into", required=True, metavar="PAGE", help="The page they are merged into.")
@writing_options
@pass_app
def merge(app: App, space: str, sources: tuple[str, ...], into: str, how: How) -> None:
    """Decide that pages are merged into one."""
    from ..payload import MergeDecided

    decide(app, app.journal().space(space), MergeDecided(sources, into), how)


@click.command(cls=Command, examples=["coordjournal fork garden shardA:Index shardB:Index --source-rev r17"])
@click.argument("space", type=SPACE)
@click.argument("source")
@click.argument("fork", metavar="FORK")
@click.option("--source-rev", metavar="REV", help="The revision of SOURCE that it was forked at.")
@writing_options
@pass_app
def fork(app: App, space: str, source: str, fork: str, source_rev: str | None, how: How) -> None:
    """Record that the page FORK was forked from the page SOURCE."""
    from ..payload import ForkMade

    decide(app, app.journal().space(space), ForkMade(source, fork, source_rev), how)
