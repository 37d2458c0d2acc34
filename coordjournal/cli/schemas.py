"""Extension types: ``schema declare``, ``schema list``, ``schema show``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CoordjournalError
from .base import KIND, App, Group, json_option, parsed_json, pass_app, read_text
from .output import put_json, safe
from .writing import dry_run_option

if TYPE_CHECKING:
    from ..journal import Journal

_NO_TYPES = ("envelope", "text")  # files among the schemas that describe no payload


@click.group(cls=Group)
def schema() -> None:
    """Declare the payloads of extension types, and look at schemas."""


@schema.command("declare", examples=["coordjournal -C /srv/git/wiki.git schema declare x-acme-tag tag.schema.json"])
@click.argument("kind", metavar="TYPE")
@click.argument("file")
@dry_run_option
@json_option
@pass_app
def declare(app: App, kind: str, file: str, dry_run: bool) -> None:
    """Declare the JSON Schema of an extension type.

    TYPE is x-<vendor>-<name>, FILE holds the schema of its payload (- is standard input). On the server only: in the
    bare repository itself. A declared schema never changes, because decisions that have landed answer to it; a new
    schema is a new type.
    """
    from .. import canonical, descriptor
    from ..schema import check_declaration
    from ..store import GitStore

    document = parsed_json(read_text(file), repr(file))
    journal = app.journal(extensions=False)
    if journal.remote is not None or journal.mirror_of or not isinstance(journal.store, GitStore):
        this = f"a mirror of {journal.mirror_of}" if journal.mirror_of else "a clone"
        raise CoordjournalError(
            f"this is {this}, and schemas are declared on the server, in the bare repository itself"
        )
    if dry_run:
        check_declaration(kind, document)
        standing = descriptor.declared(journal.store).get(kind)
        if standing is not None and canonical.dumps(standing) != canonical.dumps(document):
            raise CoordjournalError(f"another schema is declared for {kind!r}, and a declared schema never changes")
        changed = standing is None
    else:
        changed = descriptor.declare(journal.store, kind, document)
    if app.json:
        put_json({"dry_run": dry_run, "type": kind, "changed": changed})
    elif not changed:
        app.paper.line(f"{safe(kind)} is declared already, with the same schema")
    else:
        app.paper.line(f"{'would declare' if dry_run else 'declared'} {safe(kind)}")


@schema.command("list", examples=["coordjournal schema list"])
@json_option
@pass_app
def list_schemas(app: App) -> None:
    """List the types that can be appended here.

    The built-in ones, and those that the server declares.
    """
    built_in = sorted(_built_in())
    declared = sorted(_declared(app.journal(extensions=False)))
    if app.json:
        put_json({"built_in": built_in, "declared": declared})
        return
    for kind in built_in:
        app.paper.line(f"{kind}  {app.paper.dim('built in')}")
    for kind in declared:
        app.paper.line(safe(kind))


@schema.command("show", examples=["coordjournal schema show alias-set", "coordjournal schema show x-acme-tag"])
@click.argument("kind", metavar="TYPE", type=KIND)
@json_option
@pass_app
def show(app: App, kind: str) -> None:
    """Print the JSON Schema of the payload of TYPE."""
    path = _built_in().get(kind)
    if path is not None:
        document = json.loads(path.read_text("utf-8"))
    else:
        document = _declared(app.journal(extensions=False)).get(kind)
    if document is None:
        raise CoordjournalError(f"the type {kind!r} is neither built in nor declared here")
    if app.json:
        put_json(document)
        return
    for line in json.dumps(document, ensure_ascii=False, indent=2).split("\n"):
        app.paper.line(safe(line))


def _built_in() -> dict[str, Path]:
    from .. import resources

    return {file.stem: file for file in Path(resources.schemas()).glob("*.json") if file.stem not in _NO_TYPES}


def _declared(journal: Journal) -> dict[str, Any]:
    from .. import descriptor
    from ..refs import META
    from ..store import GitStore
    from ..sync import meta_ref

    assert isinstance(journal.store, GitStore)  # a repository was opened
    return descriptor.declared(journal.store, META if journal.remote is None else meta_ref(journal.store.prefix))
