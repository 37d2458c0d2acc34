"""The server's descriptor: what ``refs/meta/coordjournal`` tells clients (docs/format.md, "Descriptor").

A commit whose tree holds ``coordjournal.json`` and ``schemas/<type>.json`` for each extension type. Only commands on
the server write it; the hook refuses every push to it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from shlex import quote
from typing import Any

from . import canonical, gitread, paths
from .admission import Settings
from .errors import CoordjournalError, GitFailed
from .paths import Lost as Lost
from .refs import META
from .store import GitStore
from .text import cut, printable

FILE = "coordjournal.json"
MOST = 8 * 1024 * 1024  # bytes of one file of a descriptor: whose server says more says nothing
_IDENT = "coordjournal <>"
_GREATEST = 2**63 - 1  # of git's own numbers


def describe(settings: Settings) -> dict[str, Any]:
    """The content of ``coordjournal.json`` for these settings."""
    return {
        "clock_skew": settings.clock_skew,
        "format": 1,
        "lease_max_ttl": settings.lease_max_ttl,
        "limits": {"attachment_bytes": settings.attachment_bytes, "decision_bytes": settings.decision_bytes},
        "primary": settings.primary or None,
        "read_only": settings.read_only,
        "sequencing": settings.sequencing,
    }


def read(store: GitStore, ref: str = META) -> dict[str, Any] | None:
    """What the descriptor at ``ref`` says, None if there is none.

    Raises:
        Lost: an object of it is missing or damaged.
        CoordjournalError: it cannot be read.
    """
    return _read(store, gitread.ref(ref, store.env), ref)


def _read(store: GitStore, commit: str | None, ref: str = META) -> dict[str, Any] | None:
    if commit is None:
        return None
    reading = _reading(store, ref)
    found = paths.entries(reading, commit).get(FILE)
    if found is None or found.kind != "blob":
        return None
    try:
        described = json.loads(reading(found.oid, "blob"))
    except (ValueError, RecursionError) as error:
        raise CoordjournalError(f"the server's descriptor {META} holds no readable {FILE}: {error}") from None
    if not isinstance(described, dict) or described.get("format") != 1:
        raise CoordjournalError(f"the descriptor {META} is of another format; this coordjournal knows format 1")
    return described


def settings_of(described: Mapping[str, Any]) -> Settings:
    """The settings that a server describes, as far as a client can judge by them."""
    try:
        return Settings(
            decision_bytes=_number(described["limits"]["decision_bytes"]),
            attachment_bytes=_number(described["limits"]["attachment_bytes"]),
            clock_skew=_number(described["clock_skew"]),
            lease_max_ttl=_number(described["lease_max_ttl"]),
            read_only=bool(described["read_only"]),
            primary=printable(cut(str(described["primary"] or ""))),
            sequencing=bool(described["sequencing"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:  # the last: of an infinite number
        raise CoordjournalError(f"the server's descriptor is not readable: {cut(repr(error))}") from None


def _number(value: Any) -> int:
    number = int(value)
    if not 0 <= number <= _GREATEST:
        raise ValueError("a number is out of range")
    return number


def declared(store: GitStore, ref: str = META) -> dict[str, Any]:
    """The extension schemas declared at ``ref``: type to JSON Schema.

    Raises:
        Lost: an object of it is missing or damaged.
        CoordjournalError: one is no JSON.
    """
    found = _schemas(store, gitread.ref(ref, store.env), ref)
    try:
        return {kind: json.loads(content) for kind, content in found.items()}
    except (ValueError, RecursionError) as error:
        raise CoordjournalError(f"{ref} holds a schema that is not readable: {error}") from None


def declare(store: GitStore, kind: str, document: Any) -> bool:
    """Declares the schema of an extension type on this server; False if the very same is declared already.

    Raises:
        CoordjournalError: no valid type or schema, or another schema is declared for the type: a declared schema
            never changes, for old decisions answer to it.
        Lost: an object of the descriptor is missing or damaged, so that nobody knows what is declared.
    """
    from .schema import check_declaration  # jsonschema takes 120 ms to import, and only this needs it

    check_declaration(kind, document)
    content = canonical.dumps(document) + b"\n"
    if len(content) > MOST:
        raise CoordjournalError(f"the schema has {len(content)} bytes, and clients read no more than {MOST}")
    old = gitread.ref(META, store.env)
    _check_whole(store, old)
    schemas = _schemas(store, old)
    known = schemas.get(kind)
    if known == content:
        return False
    if known is not None:
        raise CoordjournalError(
            f"another schema is declared for {kind!r}, and a declared schema never changes; use a new type name"
        )
    _write(store, old, describe(store.settings()), {**schemas, kind: content}, f"declare {kind}")
    return True


def publish(store: GitStore) -> bool:
    """Brings the descriptor in line with the repository's settings; False if it was so already.

    Raises:
        Lost: an object of the descriptor is missing or damaged: what it declares would not be in the next one.
    """
    old = gitread.ref(META, store.env)
    schemas = _schemas(store, old)
    described = describe(store.settings())
    if _read(store, old) == described:
        return False
    _write(store, old, described, schemas, "publish the settings")
    return True


def stop_sequencing(store: GitStore) -> bool:
    """Tells clients that intents are not sequenced any more, and changes nothing else; False if it says so already.

    It comes before the sequencer is taken away: a client that pushed to ``refs/append`` on a server without any hook
    would leave a stray ref there.
    """
    old = gitread.ref(META, store.env)
    described = _read(store, old)
    if described is None or not described.get("sequencing"):
        return False
    _write(store, old, {**described, "sequencing": False}, _schemas(store, old), "sequence no more")
    return True


def _check_whole(store: GitStore, commit: str | None) -> None:
    """Raises Lost if an object is lost that ``commit``, which the next one goes on from, is read from."""
    if commit is not None:
        reading = _reading(store, META)
        for found in paths.entries(reading, commit).values():
            reading(found.oid, found.kind)


def _schemas(store: GitStore, commit: str | None, ref: str = META) -> dict[str, bytes]:
    if commit is None:
        return {}
    reading = _reading(store, ref)
    folder = paths.entries(reading, commit).get("schemas")
    if folder is None or folder.kind != "tree":
        return {}
    return {
        name.removesuffix(".json"): reading(file.oid, "blob")
        for name, file in paths.listed(reading, folder.oid).items()
        if file.kind == "blob" and name.endswith(".json")
    }


def _reading(store: GitStore, ref: str) -> paths.Read:
    def reading(oid: str, kind: str) -> bytes:
        try:
            found = store.object(oid, kind, MOST)
        except GitFailed:
            store.object(store.empty_tree, "tree")  # which git always has: it raises where git itself is at fault
            found = None
        if found is None:
            size = store.size(oid, kind)
            if size is not None and size > MOST:
                raise CoordjournalError(f"the descriptor {ref} holds {size} bytes in {oid}; at most {MOST} are read")
            raise Lost(oid, _lost(store, ref, oid, kind))
        return found[1]

    return reading


def _lost(store: GitStore, ref: str, oid: str, kind: str) -> str:
    """What is wrong where the object ``oid`` of the descriptor cannot be read, and what helps."""
    what = f"the descriptor {ref} needs the {kind} {oid}, which is missing or damaged"
    lacking = gitread.lacking(store.env)
    if lacking:
        return f"{what}; {lacking}"
    if ref == META:
        return (
            f"{what}. Each clone that has synced has it: `coordjournal doctor` prints the command that brings it back "
            '(docs/operations.md, "A damaged repository")'
        )
    again = f"git -C {quote(store.git_dir)} update-ref -d {quote(ref)}"
    return f"{what}. `{again}`, and the next `coordjournal sync` fetches it again{_put_aside(store, oid)}"


def _put_aside(store: GitStore, oid: str) -> str:
    path = loose_file(store, oid)
    return f"; before, `rm -f {quote(path)}`" if path else ""


def loose_file(store: GitStore, oid: str) -> str:
    """The file that holds the object damaged, which has to go before git takes another copy of it; or ``""``."""
    path = f"{store.git_dir}/objects/{oid[:2]}/{oid[2:]}"
    return path if os.path.exists(path) else ""


def _write(
    store: GitStore, old: str | None, described: Mapping[str, Any], schemas: Mapping[str, bytes], why: str
) -> None:
    """Moves the descriptor on from the commit ``old``, which it was all read from."""
    objects: list[tuple[str, bytes]] = []

    def add(kind: str, content: bytes) -> bytes:
        objects.append((kind, content))
        return bytes.fromhex(store.name(kind, content))

    tree = f"100644 {FILE}\0".encode() + add("blob", canonical.dumps(dict(described)) + b"\n")
    if schemas:
        entries = [
            f"100644 {kind}.json\0".encode() + add("blob", content)
            for kind, content in sorted(schemas.items(), key=lambda item: f"{item[0]}.json")
        ]
        tree += b"40000 schemas\0" + add("tree", b"".join(entries))
    now = int(time.time())
    parent = f"parent {old}\n" if old else ""
    stamp = f"{_IDENT} {now} +0000"
    commit = f"tree {add('tree', tree).hex()}\n{parent}author {stamp}\ncommitter {stamp}\n\n{why}\n"
    new = add("commit", commit.encode()).hex()
    store.add(objects)
    if not store.move_ref(META, old, new, why):
        raise GitFailed(f"somebody else changed {META} at the same time; run the command again")
