"""The lease of a space: ``lease acquire``, ``renew``, ``release``, ``status``, ``serve``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from ..errors import LeaseLost
from .base import SECONDS, SPACE, App, Group, Number, json_option, pass_app
from .output import put_json, safe
from .progress import Progress

if TYPE_CHECKING:
    from ..space import Space

_TTL = 300  # seconds
_LOOK = 1.0  # seconds between two looks at a lease that somebody else holds

_holder_option = click.option(
    "--holder", metavar="NAME", help="Who holds it; by default who commits what is appended here."
)


@click.group(cls=Group)
def lease() -> None:
    """Be the only one who appends to a space, for a while."""


@lease.command(
    "acquire",
    examples=["coordjournal lease acquire garden", "coordjournal lease acquire garden --ttl 900 --wait 60"],
)
@click.argument("space", type=SPACE)
@_holder_option
@click.option(
    "--ttl",
    type=Number(1),
    metavar="SECONDS",
    help=f"How long it lasts after the last append under it; {_TTL} by default.",
)
@click.option(
    "--wait",
    type=SECONDS,
    metavar="SECONDS",
    default=0.0,
    help="How long to wait while somebody else holds it; not at all by default.",
)
@json_option
@pass_app
def acquire(app: App, space: str, holder: str | None, ttl: int | None, wait: float) -> None:
    """Acquire the lease of a space, or renew it.

    This repository keeps it: from now on the commands that append here append under it, and each renews it. All others
    have to wait until it is released, or its time has run out.
    """
    from . import held as leases

    room = app.journal().space(space)
    name = leases.holder_of(room, holder)
    with Progress(f"acquiring the lease of {space}"), leases.under(app, room) as held:
        if held is not None:
            leases.check_holder(room, held, holder)
            held.renew(ttl)
        else:
            candidate = leases.Candidate(room, name, ttl or _TTL)
            give_up = time.monotonic() + wait
            while (held := candidate.attempt()) is None:
                left = give_up - time.monotonic()
                if left <= 0:
                    assert candidate.error is not None
                    raise candidate.error
                time.sleep(min(_LOOK, left))
    _tell(app, room)


@lease.command("renew", examples=["coordjournal lease renew garden", "coordjournal lease renew garden --ttl 900"])
@click.argument("space", type=SPACE)
@click.option("--ttl", type=Number(1), metavar="SECONDS", help="How long it lasts from now on; by default as before.")
@json_option
@pass_app
def renew(app: App, space: str, ttl: int | None) -> None:
    """Renew the lease that this repository holds.

    Every command that appends does so too.
    """
    from . import held as leases

    room = app.journal().space(space)
    with Progress(f"renewing the lease of {space}"), leases.under(app, room) as held:
        if held is None:
            raise LeaseLost(f"this repository does not hold the lease of {space!r}")
        held.renew(ttl)
    _tell(app, room)


@lease.command("release", examples=["coordjournal lease release garden"])
@click.argument("space", type=SPACE)
@json_option
@pass_app
def release(app: App, space: str) -> None:
    """Give back the lease that this repository holds.

    Whoever waits for it need not wait for its end then. One that is over already is only forgotten here.
    """
    from . import held as leases

    room = app.journal().space(space)
    if leases.kept(room) is None:
        raise LeaseLost(f"this repository does not hold the lease of {space!r}")
    with Progress(f"releasing the lease of {space}"):
        held = leases.resume(app, room)
        if held is not None:
            held.release()
            leases.forget(room)
    _tell(app, room)


@lease.command("status", examples=["coordjournal lease status garden", "coordjournal lease status garden --json"])
@click.argument("space", type=SPACE)
@json_option
@pass_app
def status(app: App, space: str) -> None:
    """Print who holds the lease of a space, and what waits for them.

    The server is asked; `coordjournal state` shows the lease as far as this repository knows it.
    """
    room = app.journal(extensions=False).space(space)
    with Progress("fetching"):
        room.journal.refresh(space)
        waiting = len(room.inbox())
    _tell(app, room, waiting)


@lease.command(
    "serve",
    examples=["coordjournal lease serve garden --holder node-a", "coordjournal -C wiki lease serve garden --json"],
)
@click.argument("space", type=SPACE)
@_holder_option
@click.option(
    "--ttl",
    type=Number(1),
    metavar="SECONDS",
    default=_TTL,
    show_default=True,
    help="How long it lasts if this program is no longer there to renew it.",
)
@click.option(
    "--poll",
    type=SECONDS,
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    help="How long to wait between two looks at an empty inbox.",
)
@click.option(
    "--wait",
    type=SECONDS,
    metavar="SECONDS",
    help="How long to wait while somebody else holds it; for ever by default.",
)
@click.option("--once", is_flag=True, help="When the lease is lost, end with status 1 instead of acquiring it again.")
@json_option
@pass_app
def serve(app: App, space: str, holder: str | None, ttl: int, poll: float, wait: float | None, once: bool) -> None:
    """Hold the lease of a space and append what others send.

    Until it is told to stop by SIGTERM or SIGINT, which releases the lease: made to be run by systemd or its like. A
    line is a decision that has landed, or the `intent-refused` that let one go; what else happens is told on standard
    error. A remote that cannot be reached is tried again. Started again after a crash, it takes up its lease.

    Other commands in the same repository append under the same lease meanwhile.
    """
    from . import held as leases
    from .serving import Server

    room = app.journal().space(space)
    with leases.alone(room):
        Server(app, room, holder, ttl, poll, wait, once).run()


def _tell(app: App, space: Space, waiting: int | None = None) -> None:
    """What is known of the lease of a space: standing, holder, term, times; whether it is ours; what waits."""
    from . import held, render

    state = space.state()
    facts = render.lease_facts(state, int(time.time()))
    facts["ours"] = facts["state"] == "held" and state.lease is not None and held.is_kept(space, state.lease.token)
    if waiting is not None:
        facts["waiting"] = waiting
    if app.json:
        put_json({"space": space.id, "seq": state.seq, **facts})
        return
    paper = app.paper
    paper.line(f"{paper.yellow(safe(space.id))}: {render.lease_words(facts)}")
    if facts["ours"]:
        paper.line("  this repository holds it: what is appended here lands under it")
    if waiting:
        paper.line(f"  {waiting} {'intent waits' if waiting == 1 else 'intents wait'} in the inbox")
