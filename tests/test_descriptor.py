"""The descriptor: what a server tells its clients, and the schemas it declares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import git, run

from coordjournal import CoordjournalError, GitFailed, descriptor, gitread
from coordjournal.admission import Settings
from coordjournal.refs import META
from coordjournal.store import GitStore

SCHEMA = {"type": "object", "properties": {"page": {"type": "string"}}, "required": ["page"]}


@pytest.fixture(params=["sha1", "sha256"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    run("git", "init", "--quiet", "--bare", f"--object-format={request.param}", tmp_path / "x.git")
    return tmp_path / "x.git"


@pytest.fixture
def store(path: Path) -> Iterator[GitStore]:
    with closing(GitStore(path)) as store:
        yield store


def test_where_there_is_none(store: GitStore) -> None:
    assert descriptor.read(store) is None
    assert descriptor.declared(store) == {}


def test_it_tells_the_settings(path: Path, store: GitStore) -> None:
    git(path, "config", "coordjournal.maxDecisionBytes", "1k")
    git(path, "config", "coordjournal.readOnly", "true")
    git(path, "config", "coordjournal.primary", "ssh://host/x.git")
    assert descriptor.publish(store)
    described = descriptor.read(store)
    assert described == json.loads(git(path, "show", f"{META}:{descriptor.FILE}"))
    assert described == {
        "clock_skew": 60,
        "format": 1,
        "lease_max_ttl": 3600,
        "limits": {"attachment_bytes": 16 * 1024 * 1024, "decision_bytes": 1024},
        "primary": "ssh://host/x.git",
        "read_only": True,
        "sequencing": False,
    }
    told = descriptor.settings_of(described)
    ours = store.settings()
    for name in Settings.__slots__:
        if name != "strict":  # whatever else the server takes is none of a client's business
            assert getattr(told, name) == getattr(ours, name), name
    git(path, "fsck", "--strict")


def test_it_offers_the_sequencer_where_git_hands_intents_to_it(path: Path, store: GitStore) -> None:
    for value, offered in [
        ("refs/for", False),
        ("refs/append/", False),
        ("refs/append", True),
        ("refs/other", True),
    ]:
        git(path, "config", "--add", "receive.procReceiveRefs", value)
        descriptor.publish(store)
        described = descriptor.read(store)
        assert described is not None
        assert (described["sequencing"], descriptor.settings_of(described).sequencing) == (offered, offered)


def test_it_stops_offering_the_sequencer_and_nothing_else(path: Path, store: GitStore) -> None:
    assert not descriptor.stop_sequencing(store)
    assert store.resolve(META) is None
    git(path, "config", "--add", "receive.procReceiveRefs", "refs/append")
    descriptor.declare(store, "x-acme-tag", SCHEMA)
    before = descriptor.read(store)
    assert before is not None
    assert before["sequencing"] is True
    git(path, "config", "coordjournal.clockSkew", "soon")  # what cannot be read is in nobody's way here
    assert descriptor.stop_sequencing(store)
    assert descriptor.read(store) == {**before, "sequencing": False}
    assert descriptor.declared(store) == {"x-acme-tag": SCHEMA}
    assert not descriptor.stop_sequencing(store)
    assert git(path, "rev-list", "--count", META) == "2"
    git(path, "fsck", "--strict")


def test_it_is_written_only_when_something_changed(path: Path, store: GitStore) -> None:
    assert descriptor.publish(store)
    assert not descriptor.publish(store)
    git(path, "config", "coordjournal.clockSkew", "30")
    assert descriptor.publish(store)
    assert git(path, "rev-list", "--count", META) == "2"


def test_schemas_are_declared_for_good(path: Path, store: GitStore) -> None:
    assert descriptor.declare(store, "x-acme-tag", SCHEMA)
    assert not descriptor.declare(store, "x-acme-tag", SCHEMA)
    with pytest.raises(CoordjournalError, match="never changes"):
        descriptor.declare(store, "x-acme-tag", {**SCHEMA, "required": []})
    for kind in ("x-acme-a", "x-acme-tagger", "x-zoo-z"):
        assert descriptor.declare(store, kind, {"type": "object"})
    git(path, "config", "coordjournal.clockSkew", "30")
    assert descriptor.publish(store)
    assert descriptor.declared(store) == {
        "x-acme-a": {"type": "object"},
        "x-acme-tag": SCHEMA,
        "x-acme-tagger": {"type": "object"},
        "x-zoo-z": {"type": "object"},
    }
    assert git(path, "show", f"{META}:schemas/x-acme-tag.json") == json.dumps(
        SCHEMA, sort_keys=True, separators=(",", ":")
    )
    git(path, "fsck", "--strict")


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        ("alias-set", SCHEMA),
        ("x-acme", SCHEMA),
        ("x-acme-tag/../../x", SCHEMA),
        ("x-acme-tag", {"type": 7}),
        ("x-acme-tag", {"$ref": "https://example.org/schema"}),
        ("x-acme-tag", {"const": 0.5}),
        ("x-acme-tag", []),
    ],
)
def test_what_cannot_be_declared(store: GitStore, kind: str, schema: Any) -> None:
    with pytest.raises(CoordjournalError):
        descriptor.declare(store, kind, schema)
    assert store.resolve(META) is None


def test_two_administrators_at_once(store: GitStore, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor.publish(store)
    ref = gitread.ref

    def overtaken(name: str, env: dict[str, str]) -> str | None:
        found = ref(name, env)
        monkeypatch.undo()
        descriptor.declare(store, "x-acme-first", {})
        return found

    monkeypatch.setattr(gitread, "ref", overtaken)
    with pytest.raises(GitFailed, match="run the command again"):
        descriptor.declare(store, "x-acme-second", {})
    assert list(descriptor.declared(store)) == ["x-acme-first"]
    assert descriptor.declare(store, "x-acme-second", {})
    assert list(descriptor.declared(store)) == ["x-acme-first", "x-acme-second"]


def published(path: Path, **files: bytes) -> None:
    """Puts a descriptor of any content into place, with plain git."""
    entries = b""
    for name, content in files.items():
        blob = git(path, "hash-object", "-w", "--stdin", stdin=content)
        entries += f"100644 blob {blob}\t{name.replace('_', '.')}\n".encode()
    tree = git(path, "mktree", stdin=entries)
    if "schemas" in files:
        tree = git(path, "mktree", stdin=f"040000 tree {tree}\tschemas\n".encode())
    git(path, "update-ref", META, git(path, "commit-tree", "-m", "by hand", tree))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"format":2}', b"\xff", b"null", pytest.param(b"[" * 100_000, id="too deep")],
)
def test_what_cannot_be_read_is_an_error_of_our_own(path: Path, store: GitStore, content: bytes) -> None:
    published(path, coordjournal_json=content)
    with pytest.raises(CoordjournalError, match=META):
        descriptor.read(store)


def test_a_schema_that_cannot_be_read_is_an_error_of_our_own(path: Path, store: GitStore) -> None:
    published(path, schemas=b"")
    assert descriptor.declared(store) == {}
    blob = git(path, "hash-object", "-w", "--stdin", stdin=b"{")
    tree = git(path, "mktree", stdin=f"100644 blob {blob}\tx-acme-tag.json\n".encode())
    tree = git(path, "mktree", stdin=f"040000 tree {tree}\tschemas\n".encode())
    git(path, "update-ref", META, git(path, "commit-tree", "-m", "by hand", tree))
    with pytest.raises(CoordjournalError, match="not readable"):
        descriptor.declared(store)


@pytest.mark.parametrize(
    "described",
    [
        {"format": 1},
        {"format": 1, "limits": {}},
        {**descriptor.describe(Settings()), "limits": None},
        {**descriptor.describe(Settings()), "clock_skew": "soon"},
    ],
)
def test_settings_that_are_none(described: dict[str, Any]) -> None:
    with pytest.raises(CoordjournalError, match="not readable"):
        descriptor.settings_of(described)


@pytest.mark.parametrize("number", ["1e999", "Infinity", "NaN", "1" + "0" * 4000, "1" + "0" * 5000, "1e308", "-1"])
def test_numbers_that_are_none(path: Path, store: GitStore, number: str) -> None:
    described = json.dumps(descriptor.describe(Settings())).replace('"clock_skew": 60', f'"clock_skew": {number}')
    assert number in described
    published(path, coordjournal_json=described.encode())
    with pytest.raises(CoordjournalError, match="readable") as caught:
        descriptor.settings_of(descriptor.read(store) or {})
    assert len(str(caught.value)) < 300


def test_where_to_append_instead_is_shown_as_one_short_line() -> None:
    described = descriptor.describe(Settings())
    told = descriptor.settings_of({**described, "primary": "\x1b[31m\n" + "A" * 3_000_000})
    assert told.primary.startswith("\\u{1b}[31m\\u{a}AAA")
    assert len(told.primary) < 1100
    assert descriptor.settings_of({**described, "primary": "ssh://host/x.git"}).primary == "ssh://host/x.git"


def test_a_file_beyond_all_bounds_is_not_read(path: Path, store: GitStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor, "MOST", 1000)
    published(path, coordjournal_json=json.dumps(descriptor.describe(Settings())).encode() + b" " * 2000)
    with pytest.raises(CoordjournalError, match="at most 1000 are read") as caught:
        descriptor.read(store)
    assert not isinstance(caught.value, descriptor.Lost)
    with pytest.raises(CoordjournalError, match="clients read no more"):
        descriptor.declare(store, "x-acme-tag", {"description": "long" * 300})


# -- what is lost is not what never was --------------------------------------------------------------------------------

OTHER = {"type": "array"}
PARTS = {
    "commit": META,
    "tree": f"{META}^{{tree}}",
    "settings": f"{META}:{descriptor.FILE}",
    "schemas": f"{META}:schemas",
    "schema": f"{META}:schemas/x-acme-tag.json",
}


def lost(path: Path, part: str, how: str = "gone") -> str:
    """Loses an object of the descriptor, which comes with the name that it had."""
    oid = git(path, "rev-parse", PARTS[part])
    file = path / "objects" / oid[:2] / oid[2:]
    file.chmod(0o644)
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "rubbish": b"\0" * 20}[how])
    return oid


@pytest.mark.parametrize("how", ["gone", "empty", "rubbish"])
@pytest.mark.parametrize("part", PARTS)
def test_what_is_lost_is_not_taken_for_what_never_was(path: Path, store: GitStore, part: str, how: str) -> None:
    descriptor.declare(store, "x-acme-tag", SCHEMA)
    git(path, "config", "coordjournal.clockSkew", "30")
    oid = lost(path, part, how)
    before = gitread.ref(META, store.env)
    if part != "settings":
        with pytest.raises(descriptor.Lost, match=oid):
            descriptor.declared(store)
    if part not in ("schemas", "schema"):
        with pytest.raises(descriptor.Lost, match=oid):
            descriptor.read(store)
    with pytest.raises(GitFailed, match=f"{META} needs the .* {oid}, which is missing or damaged"):
        descriptor.publish(store)
    for kind in ("x-acme-tag", "x-acme-new"):
        with pytest.raises(GitFailed, match=oid):
            descriptor.declare(store, kind, OTHER)
    assert gitread.ref(META, store.env) == before


def test_a_ref_whose_file_is_rubbish_is_not_taken_for_none(path: Path, store: GitStore) -> None:
    descriptor.declare(store, "x-acme-tag", SCHEMA)
    (path / META).write_bytes(b"")
    for ask in (descriptor.read, descriptor.declared, descriptor.publish):
        with pytest.raises(GitFailed, match=f"cannot read the file of {META}"):
            ask(store)
