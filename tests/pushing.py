"""Helpers for tests that push with plain git.

Nothing here is built with coordjournal: the commits are written down byte by byte as docs/format.md draws them and
pushed by git itself, so that what the hook says is checked from outside.
"""

import compileall
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
EMPTY_TREE = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
ZERO = {"sha1": "0" * 40, "sha256": "0" * 64}
LOG = "coordjournal/refusals.jsonl"

# What an installed prefix holds: the package, and what jsonschema needs to explain a refusal.
_LIBRARIES = ("jsonschema", "jsonschema_specifications", "referencing", "rpds", "attrs", "attr", "typing_extensions")

_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "nobody",
    "GIT_AUTHOR_EMAIL": "",
    "GIT_COMMITTER_NAME": "nobody",
    "GIT_COMMITTER_EMAIL": "",
    "LC_ALL": "C",
}


def git(
    repository: Path, *arguments: str, content: bytes = b"", environment: Mapping[str, str] | None = None
) -> bytes:
    """What git prints; fails the test if git fails."""
    done = run_git(repository, arguments, content, environment)
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
    return done.stdout


def run_git(
    repository: Path, arguments: Iterable[str], content: bytes = b"", environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Runs git in a repository, without any configuration but the repository's."""
    return subprocess.run(
        ["git", "-C", os.fspath(repository), *arguments],
        input=content,
        capture_output=True,
        env={**_ENVIRONMENT, **(environment or {})},
        check=False,
    )


def make_prefix(path: Path) -> Path:
    """An installed prefix: the package of this checkout and its libraries, compiled, behind ``current``."""
    lib = path / "versions" / "test" / "lib"
    lib.mkdir(parents=True)
    (path / "current").symlink_to("versions/test")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "coordjournal", lib / "coordjournal", ignore=ignore)
    shutil.copytree(ROOT / "schemas", lib / "coordjournal" / "schemas")
    compileall.compile_dir(lib / "coordjournal", quiet=1, maxlevels=0)
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            (lib / (name if origin.name == "__init__.py" else origin.name)).symlink_to(
                origin.parent if origin.name == "__init__.py" else origin
            )
    return path


def interpreter() -> str:
    """The interpreter that an installed hook names: no virtual environment's."""
    return getattr(sys, "_base_executable", None) or sys.executable


def render_hook(prefix: Path, python: str | None = None, name: str = "pre-receive") -> str:
    """The text of a hook, ``hooks/pre-receive`` unless told otherwise, as it is installed."""
    template = (ROOT / "hooks" / name).read_text("utf-8")
    return template.replace("@PYTHON@", python or interpreter()).replace("@PREFIX@", str(prefix))


def write_program(path: Path, text: str) -> Path:
    """An executable file."""
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return path


class Server:
    """A bare repository with the hook; with ``sequencing`` also with the one that takes intents."""

    def __init__(self, path: Path, prefix: Path, object_format: str = "sha1", sequencing: bool = False) -> None:
        self.path = path
        self.object_format = object_format
        git(path.parent, "init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(path))
        (path / "hooks").mkdir()
        self.hook = write_program(path / "hooks" / "pre-receive", render_hook(prefix))
        if sequencing:
            write_program(path / "hooks" / "proc-receive", render_hook(prefix, name="proc-receive"))
            self.set("receive.procReceiveRefs", "refs/append")

    def git(self, *arguments: str, content: bytes = b"") -> bytes:
        return git(self.path, *arguments, content=content)

    def set(self, key: str, value: object) -> None:
        """A setting of the repository's configuration."""
        self.git("config", key, str(value))

    def refs(self) -> dict[str, str]:
        """Every ref and its object."""
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)").decode("utf-8", "surrogateescape")
        return {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in lines.splitlines()}

    def tip(self, ref: str) -> str | None:
        return self.refs().get(ref)

    def has(self, oid: str) -> bool:
        return run_git(self.path, ["cat-file", "-e", oid]).returncode == 0

    def refusals(self) -> list[dict[str, Any]]:
        """The entries of the refusal log."""
        path = self.path / LOG
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def log(self, space: str = "garden") -> list["Landed"]:
        """The decisions of a log, the first one first, taken apart without coordjournal."""
        listed = run_git(self.path, ["rev-list", "--reverse", space_ref(space)])
        if listed.returncode:
            return []
        batch = self.git("cat-file", "--batch", content=listed.stdout)
        found = []
        for oid in listed.stdout.decode().split():
            head, _, batch = batch.partition(b"\n")
            size = int(head.split()[2])
            found.append(_landed(oid, batch[:size].decode()))
            batch = batch[size + 1 :]
        return found

    def inbox(self, space: str = "garden") -> dict[str, str]:
        """The refs of the inbox of a space in their order, without what all have in common, and their commits."""
        folder = space_ref(space).replace("refs/spaces/", "refs/intents/") + "/"
        return {name.removeprefix(folder): oid for name, oid in sorted(self.refs().items()) if name.startswith(folder)}

    def locks(self) -> list[str]:
        """The lock files of git that are there."""
        return [str(path.relative_to(self.path)) for path in self.path.rglob("*.lock")]

    def before(self, hook: str, program: str) -> None:
        """Lets a hook run a piece of Python first."""
        path = self.path / "hooks" / hook
        head, main, _ = path.read_text("utf-8").rpartition("\nmain()\n")
        write_program(path, f"{head}\n{program}{main}")

    def copy(self, path: Path) -> "Server":
        """The same repository at another place."""
        shutil.copytree(self.path, path, symlinks=True)
        copied = object.__new__(Server)
        copied.path, copied.object_format = path, self.object_format
        copied.hook = path / "hooks" / "pre-receive"
        return copied


@dataclass(frozen=True)
class Landed:
    """A decision commit of a log. ``lease`` is None where it has no such trailer."""

    commit: str
    parent: str | None
    seq: int
    id: str
    line: str
    author: str
    committer: str
    appended: int
    lease: str | None


def _landed(oid: str, raw: str) -> Landed:
    head, _, message = raw.partition("\n\n")
    _, line, trailers = message.split("\n\n")
    headers = dict(text.split(" ", 1) for text in head.split("\n"))
    fields = dict(text.split(": ", 1) for text in trailers.rstrip("\n").split("\n"))
    return Landed(
        oid,
        headers.get("parent"),
        int(fields["Seq"]),
        json.loads(line)["id"],
        line,
        headers["author"].partition(" <")[0],
        headers["committer"].partition(" <")[0],
        int(headers["committer"].split()[-2]),
        fields.get("Lease"),
    )


@dataclass(frozen=True)
class Told:
    """A refused ref as the pusher reads it. ``seq`` is None where the hook wrote ``-``."""

    ref: str
    commit: str
    seq: int | None
    code: str
    place: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Pushed:
    """What became of a push: git's exit status and all that the pusher read, without git's ``remote: `` prefix.

    ``out`` is what git printed on its standard output."""

    status: int
    said: str
    raw: bytes
    out: str = ""

    @property
    def landed(self) -> bool:
        return self.status == 0

    @property
    def incident(self) -> str:
        found = re.search(r"Incident (\S+)", self.said)
        return found[1] if found else ""

    @property
    def told(self) -> list[Told]:
        """The refused refs, parsed."""
        found = re.finditer(
            r"^  (?P<ref>\S.*) commit (?P<commit>[0-9a-f]+) Seq (?P<seq>\d+|-)\n"
            r"  (?P<code>[a-z-]+)(?: at (?P<place>.*?))?: (?P<what>.*)\n"
            r"(?:  -> (?P<remedy>.*)\n)?",
            self.said,
            re.MULTILINE,
        )
        return [
            Told(
                m["ref"],
                m["commit"],
                None if m["seq"] == "-" else int(m["seq"]),
                m["code"],
                m["place"] or "",
                m["what"],
                m["remedy"] or "",
            )
            for m in found
        ]


class Author:
    """A repository that writes decision commits and pushes them."""

    def __init__(self, path: Path, object_format: str = "sha1") -> None:
        self.path = path
        self.object_format = object_format
        git(path.parent, "init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(path))
        self.object("tree", b"")

    def git(self, *arguments: str, content: bytes = b"") -> bytes:
        return git(self.path, *arguments, content=content)

    def object(self, kind: str, content: bytes) -> str:
        """Writes any object, well-formed or not, as git keeps a loose one: a process for each would take long."""
        raw = f"{kind} {len(content)}\0".encode() + content
        oid = hashlib.new(self.object_format, raw).hexdigest()
        path = self.path / "objects" / oid[:2] / oid[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            unfinished = path.with_name(f"tmp_obj_{os.getpid()}_{threading.get_ident()}")
            unfinished.write_bytes(zlib.compress(raw))
            unfinished.rename(path)
        return oid

    def blob(self, content: bytes) -> str:
        return self.object("blob", content)

    def tree(self, *entries: tuple[str, str, str]) -> str:
        """A tree of (mode, name, object) in just this order, well-formed or not."""
        raw = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(oid) for mode, name, oid in entries)
        return self.object("tree", raw)

    def decision(self, space: str, seq: int | None, parent: str | None = None, **changes: Any) -> str:
        """Writes a decision commit; ``changes`` are those of :func:`decision`."""
        raw = decision(space, seq, parent, **{"tree": EMPTY_TREE[self.object_format], **changes})
        return self.object("commit", raw)

    def intent(self, space: str = "garden", base: str | None = None, **changes: Any) -> str:
        """Writes an intent: a decision commit without trailers."""
        return self.decision(space, None, base, **changes)

    def intents(self, count: int, space: str = "garden", base: str | None = None, **changes: Any) -> list[str]:
        """Writes a chain of intents, oldest first."""
        oids: list[str] = []
        for _ in range(count):
            oids.append(self.intent(space, oids[-1] if oids else base, **changes))
        return oids

    def rebased(self, intent: str, base: str | None) -> str:
        """Writes the same intent onto another base."""
        lines = self.git("cat-file", "commit", intent).split(b"\n")
        lines = [line for i, line in enumerate(lines) if i != 1 or not line.startswith(b"parent ")]
        return self.object("commit", b"\n".join(lines[:1] + ([f"parent {base}".encode()] if base else []) + lines[1:]))

    def id(self, commit: str) -> str:
        """The id of the decision in a commit."""
        found: str = json.loads(self.git("cat-file", "commit", commit).split(b"\n\n")[2])["id"]
        return found

    def chain(self, space: str, count: int, **changes: Any) -> list[str]:
        """Writes the first ``count`` decisions of a log; their names in the order of Seq."""
        oids: list[str] = []
        for seq in range(count):
            oids.append(self.decision(space, seq, oids[-1] if oids else None, **changes))
        return oids

    def push(
        self,
        server: Server,
        *refspecs: str,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        server_environment: Mapping[str, str] | None = None,
    ) -> Pushed:
        """Pushes refspecs with git. ``server_environment`` is what a pusher by path can give to the server's git."""
        if server_environment:
            variables = " ".join(f"{key}='{value}'" for key, value in server_environment.items())
            options = [*options, f"--receive-pack=env {variables} git-receive-pack"]
        done = run_git(
            self.path, ["push", *options, str(server.path), *refspecs], environment=environment
        )
        lines = done.stderr.decode("utf-8", "backslashreplace").splitlines()
        said = "\n".join(line.removeprefix("remote: ").removeprefix("remote:").rstrip() for line in lines)
        return Pushed(done.returncode, said, done.stderr, done.stdout.decode("utf-8", "backslashreplace"))

    def pack(self, *oids: str) -> bytes:
        """A pack of just these objects, whatever they refer to."""
        return self.git("pack-objects", "--stdout", "-q", content="".join(f"{oid}\n" for oid in oids).encode())


def spoken(
    server: Server,
    commands: Iterable[tuple[str, str, str]],
    pack: bytes,
    environment: Mapping[str, str] | None = None,
) -> Pushed:
    """Speaks to ``git receive-pack`` as no git client does: (old, new, ref) as they are, and a pack of any content."""
    capabilities = f"\0report-status object-format={server.object_format}"
    lines = []
    for old, new, ref in commands:
        line = f"{old} {new} {ref}{capabilities}".encode("utf-8", "surrogateescape")
        lines.append(b"%04x" % (len(line) + 4) + line)
        capabilities = ""
    done = subprocess.run(
        ["git", "receive-pack", str(server.path)],
        input=b"".join([*lines, b"0000", pack]),
        capture_output=True,
        env={**_ENVIRONMENT, **(environment or {})},
        check=False,
    )
    report = done.stdout[done.stdout.rindex(b"unpack ") - 4 :] if b"unpack " in done.stdout else b""
    failed = done.returncode != 0 or b"unpack ok" not in report or b"ng " in report
    said = done.stderr + report
    return Pushed(int(failed), said.decode("utf-8", "backslashreplace"), said)


def space_ref(space: str) -> str:
    """The ref of a log, spelled from docs/format.md alone."""
    raw = space.encode()
    spelled = ""
    for i, byte in enumerate(raw):
        plain = chr(byte) in "abcdefghijklmnopqrstuvwxyz0123456789_-" or (
            byte == 0x2E and 0 < i < len(raw) - 1 and raw[i - 1] != 0x2E and raw[i:] != b".lock"
        )
        spelled += chr(byte) if plain else f"%{byte:02X}"
    return f"refs/spaces/{spelled}"


_ids = iter(range(1, 1 << 40))


def new_id() -> str:
    """A UUIDv7 that no other decision of this test run has."""
    return f"01935c2f-7b00-7000-8000-{next(_ids):012x}"


def at_text(second: int, fraction: str = "000000") -> str:
    """The time ``second`` since 1970 as an ``at``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{fraction}Z"


def json_line(document: Any) -> str:
    """The JSON of a decision whose strings need no care: sorted, compact, not escaped."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def acquisition(holder: str, ttl: int = 300) -> dict[str, Any]:
    """The ``changes`` that make a decision a lease-acquired."""
    payload = {"holder": holder, "ttl": ttl}
    return {"kind": "lease-acquired", "payload": payload, "subject": f"lease-acquired: {holder} for {ttl} s"}


def letting_go(id: str, reason: str) -> dict[str, Any]:
    """The ``changes`` that make a decision an intent-refused."""
    payload = {"decision": id, "reason": reason}
    return {"kind": "intent-refused", "payload": payload, "subject": f"intent-refused: {id} ({reason})"}


def stamp(seq: int, lease: str) -> bytes:
    """The trailers of a commit that carries a lease."""
    return f"\nSeq: {seq}\nLease: {lease}\n".encode()


def lease_text(name: str, term: int, ttl: int, until: int) -> str:
    """A lease as its trailer says it; ``name`` is holder and token."""
    return f"{name}; term={term}; ttl={ttl}; until={at_text(until)[:19]}Z"


def attached(content: bytes) -> dict[str, Any]:
    """The declaration of an attachment."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def decision(
    space: str,
    seq: int | None,
    parent: str | None = None,
    *,
    tree: str = EMPTY_TREE["sha1"],
    kind: str = "alias-set",
    payload: Mapping[str, Any] | None = None,
    subject: str = "alias-set: Home -> shardA:Index",
    actor: str = "alice",
    appender: str = "node-a",
    decided: int | None = None,
    appended: int | None = None,
    document: Mapping[str, Any] | None = None,
    line: str | bytes | None = None,
    author: str | None = None,
    committer: str | None = None,
    headers: bytes = b"",
    trailers: bytes | None = None,
    message: bytes | None = None,
) -> bytes:
    """The bytes of a decision commit, lawful unless told otherwise.

    Args:
        decided, appended: seconds since 1970; a little ago by default.
        document: keys that replace those of the decision's JSON object; a value ``...`` takes one out.
        line, author, committer, trailers, message: replace these parts of the commit as they are.
        headers: lines after the committer.
    """
    decided = _started if decided is None else decided
    appended = decided if appended is None else appended
    doc = {
        "actor": actor,
        "at": at_text(decided),
        "id": new_id(),
        "payload": {"alias": "Home", "target": "shardA:Index"} if payload is None else payload,
        "space": space,
        "type": kind,
        "v": 1,
        **(document or {}),
    }
    doc = {key: value for key, value in doc.items() if value is not ...}
    if line is None:
        line = json_line(doc)
    raw_line = line if isinstance(line, bytes) else line.encode()
    if trailers is None:
        trailers = b"" if seq is None else f"\nSeq: {seq}\n".encode()
    if message is None:
        message = f"{subject}\n\n".encode() + raw_line + b"\n" + trailers
    lines = [f"tree {tree}"]
    lines += [f"parent {parent}"] if parent else []
    lines.append(author if author is not None else f"author {actor} <> {decided} +0000")
    lines.append(committer if committer is not None else f"committer {appender} <> {appended} +0000")
    return "".join(f"{text}\n" for text in lines).encode("utf-8", "surrogateescape") + headers + b"\n" + message


_started = int(time.time()) - 5
