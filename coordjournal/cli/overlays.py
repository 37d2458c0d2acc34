"""Overlays: local edits over a page."""

from __future__ import annotations

import click

from .base import OVERLAY, SPACE, App, Group, View, json_option, pass_app, read_file, state_of, view_options
from .output import put_content, put_json
from .writing import How, decide, writing_options


def _body(file: str | None, text: str | None) -> bytes:
    if file is not None and text is None:
        return read_file(file)
    if text is not None and file is None:
        return text.encode("utf-8", "surrogateescape")
    raise click.UsageError("Give the text of the overlay: FILE, - for standard input, or --text.")


@click.group(cls=Group)
def overlay() -> None:
    """Keep local edits over pages."""


@overlay.command(
    "create",
    examples=[
        "coordjournal overlay create garden typo-1 shardA:Index page.md --base-rev r17",
        "coordjournal overlay create garden note-1 shardA:Index --text 'See also shardB:Home.'",
    ],
)
@click.argument("space", type=SPACE)
@click.argument("overlay_id", metavar="OVERLAY")
@click.argument("target", metavar="PAGE")
@click.argument("file", required=False)
@click.option("--text", help="The text itself, in place of FILE.")
@click.option("--base-rev", metavar="REV", help="The revision of PAGE it lies over; without it, a page yet unwritten.")
@writing_options
@pass_app
def create(
    app: App,
    space: str,
    overlay_id: str,
    target: str,
    file: str | None,
    text: str | None,
    base_rev: str | None,
    how: How,
) -> None:
    """Lay a text over PAGE, under an id of your choice that is used once.

    FILE is - for standard input.
    """
    from ..payload import OverlayCreated

    payload = OverlayCreated(overlay_id, target, base_rev, _body(file, text))
    decide(app, app.journal().space(space), payload, how)


@overlay.command("revise", examples=["coordjournal overlay revise garden typo-1 page.md --base-rev r18"])
@click.argument("space", type=SPACE)
@click.argument("overlay_id", metavar="OVERLAY", type=OVERLAY)
@click.argument("file", required=False)
@click.option("--text", help="The text itself, in place of FILE.")
@click.option("--base-rev", metavar="REV", help="The revision of the page it now lies over; by default the one it has.")
@writing_options
@pass_app
def revise(
    app: App, space: str, overlay_id: str, file: str | None, text: str | None, base_rev: str | None, how: How
) -> None:
    """Give an open overlay a new text.

    FILE is - for standard input.
    """
    from ..payload import OverlayRevised

    body = _body(file, text)
    room = app.journal().space(space)
    if base_rev is None:
        standing = room.state().overlay(overlay_id)
        base_rev = None if standing is None else standing.base_rev
    decide(app, room, OverlayRevised(overlay_id, base_rev, body), how)


@overlay.command(
    "close",
    examples=[
        "coordjournal overlay close garden typo-1 --applied --result-rev r18",
        "coordjournal overlay close garden note-1 --discarded -m 'out of date'",
    ],
)
@click.argument("space", type=SPACE)
@click.argument("overlay_id", metavar="OVERLAY", type=OVERLAY)
@click.option("--applied", "outcome", flag_value="applied", help="The page has it now.")
@click.option("--discarded", "outcome", flag_value="discarded", help="It is given up.")
@click.option("--result-rev", metavar="REV", help="The revision of the page that has it.")
@writing_options
@pass_app
def close(app: App, space: str, overlay_id: str, outcome: str | None, result_rev: str | None, how: How) -> None:
    """Close an overlay for good."""
    from ..payload import OverlayClosed

    if outcome is None:
        raise click.UsageError("Say --applied or --discarded.")
    decide(app, app.journal().space(space), OverlayClosed(overlay_id, outcome, result_rev), how)


@overlay.command("list", examples=["coordjournal overlay list garden", "coordjournal overlay list garden --all --json"])
@click.argument("space", type=SPACE)
@click.option("--all", "everything", is_flag=True, help="Closed ones too.")
@view_options
@json_option
@pass_app
def list_overlays(app: App, space: str, everything: bool, view: View) -> None:
    """List the open overlays of a space."""
    from . import render

    state = state_of(app.journal(extensions=False).space(space), view)
    found = sorted((*state.overlays, *(state.closed_overlays if everything else ())), key=lambda item: item.opened)
    if app.json:
        put_json({"space": space, "seq": state.seq, "overlays": [item.json() for item in found]})
        return
    for item in found:
        app.paper.line(render.overlay_words(item))


@overlay.command(
    "show",
    examples=["coordjournal overlay show garden typo-1", "coordjournal overlay show garden typo-1 --body > page.md"],
)
@click.argument("space", type=SPACE)
@click.argument("overlay_id", metavar="OVERLAY", type=OVERLAY)
@click.option("--body", "body_only", is_flag=True, help="Only its text, byte for byte.")
@view_options
@json_option
@pass_app
def show(app: App, space: str, overlay_id: str, body_only: bool, view: View) -> None:
    """Show an overlay, open or closed, and its text."""
    from ..errors import CoordjournalError
    from ..transfer import content
    from . import render

    room = app.journal(extensions=False).space(space)
    state = state_of(room, view)
    found = state.overlay(overlay_id)
    commit = state.body_commit(overlay_id)
    if found is None or commit is None:
        raise CoordjournalError(f"nobody opened an overlay {overlay_id!r} in {space}@{state.seq}")
    body = room.body(commit)
    if app.json:
        put_json({"space": space, "seq": state.seq, **found.json(), "commit": commit, "content": content(body)})
        return
    if not body_only:
        app.paper.line(app.paper.bold(render.overlay_words(found)))
        app.paper.line()
    put_content(body, app.paper)
