"""The server's descriptor: what ``refs/meta/coordjournal`` tells clients (docs/format.md, "Descriptor").

A commit whose tree holds ``coordjournal.json`` and ``schemas/<type>.json`` for each extension type. Only commands on
the server write it; the hook refuses every push to it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from . import canonical, gitread
from .admission import Settings
from .errors import CoordjournalError, GitFailed
from .refs import META
from .store import GitStore

FILE = "coordjournal.json"
_IDENT = "coordjournal <>"


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
    """What the descriptor at ``ref`` says, None if there is none. Raises CoordjournalError if it cannot be read."""
    return _read(store, gitread.ref(ref, store.env))


def _read(store: GitStore, commit: str | None) -> dict[str, Any] | None:
    found = None if commit is None else store.object(f"{commit}:{FILE}", "blob")
    if found is None:
        return None
    try:
        described = json.loads(found[1])
    except (ValueError, RecursionError) as error:
        raise CoordjournalError(f"the server's descriptor {META} holds no readable {FILE}: {error}") from None
    if not isinstance(described, dict) or described.get("format") != 1:
        raise CoordjournalError(f"the descriptor {META} is of another format; this coordjournal knows format 1")
    return described


def settings_of(described: Mapping[str, Any]) -> Settings:
    """The settings that a server describes, as far as a client can judge by them."""
    try:
        return Settings(
            decision_bytes=int(described["limits"]["decision_bytes"]),
            attachment_bytes=int(described["limits"]["attachment_bytes"]),
            clock_skew=int(described["clock_skew"]),
            lease_max_ttl=int(described["lease_max_ttl"]),
            read_only=bool(described["read_only"]),
            primary=str(described["primary"] or ""),
            sequencing=bool(described["sequencing"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CoordjournalError(f"the server's descriptor is not readable: {error!r}") from None


def declared(store: GitStore, ref: str = META) -> dict[str, Any]:
    """The extension schemas declared at ``ref``: type to JSON Schema. Raises CoordjournalError if one is no JSON."""
    try:
        return {kind: json.loads(content) for kind, content in _schemas(store, gitread.ref(ref, store.env)).items()}
    except (ValueError, RecursionError) as error:
        raise CoordjournalError(f"{ref} holds a schema that is not readable: {error}") from None


def declare(store: GitStore, kind: str, document: Any) -> bool:
    """Declares the schema of an extension type on this server; False if the very same is declared already.

    Raises:
        CoordjournalError: no valid type or schema, or another schema is declared for the type: a declared schema
            never changes, for old decisions answer to it.
    """
    from .schema import check_declaration  # jsonschema takes 120 ms to import, and only this needs it

    check_declaration(kind, document)
    content = canonical.dumps(document) + b"\n"
    old = gitread.ref(META, store.env)
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
    """Brings the descriptor in line with the repository's settings; False if it was so already."""
    old = gitread.ref(META, store.env)
    described = describe(store.settings())
    if _read(store, old) == described:
        return False
    _write(store, old, described, _schemas(store, old), "publish the settings")
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


def _schemas(store: GitStore, commit: str | None) -> dict[str, bytes]:
    tree = None if commit is None else store.object(f"{commit}:schemas", "tree")
    found = {}
    for name in _names(tree[1], len(tree[0]) // 2) if tree else ():
        blob = store.object(f"{commit}:schemas/{name}", "blob")
        if blob and name.endswith(".json"):
            found[name.removesuffix(".json")] = blob[1]
    return found


def _names(tree: bytes, width: int) -> list[str]:
    names = []
    while tree:
        head, _, tree = tree.partition(b"\0")
        names.append(head.partition(b" ")[2].decode("utf-8", "replace"))
        tree = tree[width:]
    return names


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
