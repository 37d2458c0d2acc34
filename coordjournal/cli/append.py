"""``append``: any decision, its payload as JSON."""

from __future__ import annotations

import click

from .base import KIND, SPACE, App, Command, parsed_json, pass_app, read_file, read_text
from .writing import How, decide, writing_options


def _pair(text: str, what: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"{what} takes NAME=VALUE, not {text!r}.")
    return key, value


@click.command(
    cls=Command,
    examples=[
        """coordjournal append garden alias-set '{"alias": "Home", "target": "shardA:Index"}'""",
        "coordjournal append garden binding-made @binding.json -m 'same text'",
        """generate | coordjournal append garden x-acme-tag - --id "$ID" """.rstrip(),
        "coordjournal append garden overlay-created @overlay.json --file body=page.md",
    ],
)
@click.argument("space", type=SPACE)
@click.argument("kind", metavar="TYPE", type=KIND)
@click.argument("payload", metavar="JSON")
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="NAME=PATH",
    help="Attach a file (- is standard input); its length and digest go into the payload if they are not there.",
)
@click.option("--id", "decision_id", metavar="UUID", help="A UUIDv7 of your own, which makes trying again safe.")
@click.option(
    "--decided-at", metavar="TIME", help="When it was decided, as 2026-11-22T10:00:00.000000Z; now by default."
)
@click.option("--meta", multiple=True, metavar="KEY=TEXT", help="A further string; may be given several times.")
@writing_options
@pass_app
def append(
    app: App,
    space: str,
    kind: str,
    payload: str,
    files: tuple[str, ...],
    decision_id: str | None,
    decided_at: str | None,
    meta: tuple[str, ...],
    how: How,
) -> None:
    """Append a decision of any type.

    JSON is the payload itself, @FILE or - for standard input. The same decision under the same --id lands once,
    however often it is sent.
    """
    from ..decision import Attachment, at_text

    if kind in ("lease-acquired", "lease-released"):
        raise click.UsageError("`coordjournal lease` acquires and releases leases: it keeps what their holder needs.")
    attached = [_pair(text, "--file") for text in files]
    if [payload, *(path for _, path in attached)].count("-") > 1:
        raise click.UsageError("Standard input can be read once only.")
    if payload == "-":
        value = parsed_json(read_text("-"), "standard input")
    elif payload.startswith("@"):
        value = parsed_json(read_text(payload[1:]), repr(payload[1:]))
    else:
        value = parsed_json(payload, "the payload")
    if not isinstance(value, dict):
        raise click.UsageError("A payload is a JSON object.")
    contents = {name: read_file(path) for name, path in attached}
    for name, content in contents.items():
        value.setdefault(name, Attachment.of(content).json())
    try:
        at = None if decided_at is None else at_text(decided_at)
    except ValueError:
        raise click.UsageError(f"{decided_at!r} is not a time as 2026-11-22T10:00:00.000000Z.") from None
    decide(
        app,
        app.journal().space(space),
        kind,
        how,
        payload=value,
        files=contents or None,
        id=decision_id,
        at=at,
        meta=dict(_pair(text, "--meta") for text in meta) or None,
    )
