"""The outbox of a clone: ``outbox list``, ``outbox show``, ``outbox retry``, ``outbox drop``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import CoordjournalError, DecisionNotFound
from .base import ENTRY, App, ListingGroup, json_option, pass_app
from .failure import described
from .output import note, put_content, put_json, safe

if TYPE_CHECKING:
    from ..outbox import Damaged, Entry, Outbox

_PATIENCE = 10.0  # seconds to wait for another command that sends the outbox just now

_STATES = {
    "waiting": "`coordjournal sync` sends it",
    "filed": "it waits on the server for the holder of the lease",
    "rejected": "`coordjournal outbox retry` sends it again, `coordjournal outbox drop` gives it up",
}


@click.group(cls=ListingGroup)
def outbox() -> None:
    """Look after what was appended here and has not landed.

    What is appended in a clone is stored in its outbox until it has landed. `list` may be left out.
    """


@outbox.command("list", examples=["coordjournal outbox list", "coordjournal -C wiki outbox list --json"])
@json_option
@pass_app
def list_entries(app: App) -> None:
    """List what has not landed, in the order in which it is sent.

    A line is a number, a state, the space, and what was decided. waiting: not sent yet, or nobody knows whether it
    arrived. filed: on the server, where it waits for the holder of the lease. rejected: it cannot be appended any
    more; the reason follows.
    """
    from . import render

    box = app.journal(extensions=False).outbox
    entries = box.entries() if box is not None else []
    damaged = box.damaged() if box is not None else []
    if app.json:
        put_json({"entries": [entry.json() for entry in entries], "damaged": [item.json() for item in damaged]})
        return
    paper = app.paper
    width = max((len(entry.name) for entry in entries), default=1)
    for entry in entries:
        render.entry_line(paper, entry, width)
        error = entry.error()
        if error is not None:
            paper.line(f"{'':>{width}}    {safe(str(error))}")
    for item in damaged:
        note(app.json, damage(item))
    if not entries:
        paper.line("nothing waits" if box is not None else "there is no outbox: the logs themselves are here")


@outbox.command("show", examples=["coordjournal outbox show 3", "coordjournal outbox show 3 --body > saved.md"])
@click.argument("number", metavar="NUMBER", type=ENTRY)
@click.option("--body", is_flag=True, help="Only the attachments `body`, byte for byte, one behind the other.")
@json_option
@pass_app
def show(app: App, number: str, body: bool) -> None:
    """Show what has not landed, in full."""
    _, entry = _named(app, number)
    if body:
        bodies = [intent.files["body"] for intent in entry.intents if "body" in intent.files]
        if not bodies:
            raise DecisionNotFound(f"the entry {number} has no attachment 'body'")
        put_content(b"".join(bodies), app.paper)
    elif app.json:
        put_json(entry.json())
    else:
        _show(app, entry)


@outbox.command("retry", examples=["coordjournal outbox retry 3"])
@click.argument("number", metavar="NUMBER", type=ENTRY)
@json_option
@pass_app
def retry(app: App, number: str) -> None:
    """Let what was rejected wait again, to be sent once more.

    For what was in its way and is no longer: a server that took no decisions, a precondition that holds by now.
    """
    box, entry = _named(app, number)
    with box.sending(entry.space, timeout=_PATIENCE):
        entry = _still(box, entry)
        if entry.state == "filed":
            raise CoordjournalError(f"the entry {number} is not rejected: {_STATES['filed']}")
        changed = entry.state == "rejected"
        if changed:
            entry = box.waiting(entry)
    if app.json:
        put_json({"changed": changed, "entry": entry.json()})
    else:
        app.paper.line(f"{number} waits{'' if changed else ' already'}: {_STATES['waiting']}")


@outbox.command("drop", examples=["coordjournal outbox drop 3", "coordjournal outbox drop 3 --yes"])
@click.argument("number", metavar="NUMBER", type=ENTRY)
@click.option("--yes", is_flag=True, help="Drop it, whatever is lost.")
@json_option
@pass_app
def drop(app: App, number: str, yes: bool) -> None:
    """Give up what has not landed.

    It is removed for good; without --yes, what would be lost is shown, and nothing is changed. What may have reached
    the server already may land all the same. A damaged entry is not removed: its file is set aside.
    """
    if (item := _damaged(app, number)) is not None:
        _set_aside(app, item, yes)
        return
    box, entry = _named(app, number)
    if not yes:
        if not app.json:
            _show(app, entry)
        raise CoordjournalError(f"nothing was dropped; --yes drops the entry {number}, attachments and all")
    with box.sending(entry.space, timeout=_PATIENCE):
        entry = _still(box, entry)
        box.done(entry)
    if app.json:
        put_json({"dropped": entry.json()})
        return
    app.paper.line(f"dropped {number}: {_words(entry)}")
    if entry.state == "filed":
        note(app.json, "it is on the server, and lands if the holder of the lease takes it")


def damage(item: Damaged) -> str:
    """What is wrong with a file in the outbox, and what to do about it."""
    told = f"{item.path} is damaged, and never sent: {item.reason}"
    return told if item.number is None else f"{told}; `coordjournal outbox drop {item.number} --yes` sets it aside"


def _damaged(app: App, number: str) -> Damaged | None:
    box = app.journal(extensions=False).outbox
    found = box.damaged() if box is not None else []
    return next((item for item in found if item.number is not None and str(item.number) == number), None)


def _set_aside(app: App, item: Damaged, yes: bool) -> None:
    if not yes:
        raise CoordjournalError(f"{item.path} is damaged: {item.reason}. Nothing was changed; --yes sets it aside")
    box = app.journal(extensions=False).outbox
    assert box is not None
    to = box.set_aside(item)
    if app.json:
        put_json({"set_aside": {**item.json(), "path": str(to)}})
        return
    app.paper.line(f"set aside {item.number}: {safe(str(to))}")
    note(app.json, "what it held was not sent from here: if it is not in the log, append it again")


def _named(app: App, number: str) -> tuple[Outbox, Entry]:
    """The entry of a number, and the outbox it is in. Raises DecisionNotFound, GitFailed."""
    box = app.journal(extensions=False).outbox
    if box is None:
        raise DecisionNotFound("there is no outbox: the logs themselves are here")
    entry = box.entry(number)
    if entry is None:
        raise DecisionNotFound(f"there is no entry {number!r} in the outbox")
    return box, entry


def _still(box: Outbox, entry: Entry) -> Entry:
    """The entry as it is now that nobody else sends it."""
    now = box.entry(entry.number)
    if now is None:
        raise DecisionNotFound(f"the entry {entry.name} has left the outbox meanwhile: it has landed, or was dropped")
    return now


def _words(entry: Entry) -> str:
    from . import render

    return ", ".join(f"{decision.id} {render.what(decision)}" for decision in entry.decisions)


def _show(app: App, entry: Entry) -> None:
    from . import render

    paper = app.paper
    render.entry_line(paper, entry)
    error = entry.error()
    if error is not None:
        facts = described(error)
        paper.line(f"  {paper.red(safe(str(facts['code'])))}: {safe(str(facts['message']))}")
    if entry.expect is not None:
        paper.line(f"  only if the last Seq is {entry.expect}")
    paper.line(f"  -> {_STATES[entry.state]}")
    for decision in entry.decisions:
        render.intent_in_full(paper, decision, [])
