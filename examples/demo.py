"""The main job of coordjournal, played with real pushes: run by ``./install.sh --demo [DIR]``.

Makes a shared bare repository with hooks and two clones, appends one decision of each type (most
with the library, one with nothing but git), has pushes refused, and asks the second clone what follows from it all.
Then two nodes share the space over git://: one holds the lease, the other forwards its decisions, and appends offline.
Exits with 1 if anything that should land is refused, or the other way round.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from coordjournal import (
    AliasSet,
    BindingMade,
    Decision,
    DecisionRevoked,
    ForkMade,
    Journal,
    MergeDecided,
    OverlayClosed,
    OverlayCreated,
    OverlayRevised,
)
from coordjournal.commit import build, subject
from coordjournal.decision import at_text, new_id
from coordjournal.timestamp import seconds

BOLD, DIM, RED, END = ("\033[1m", "\033[2m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("", "", "", "")
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
COORDJOURNAL = [sys.executable, "-m", "coordjournal"]
QUEUED = 3  # the exit status of what is stored and has not landed yet


def main(place: Path) -> None:
    """Plays everything in the empty folder ``place``."""
    wiki, alice, bob = place / "wiki.git", place / "alice", place / "bob"

    heading("A shared bare repository, with hooks")
    shell([*COORDJOURNAL, "init", str(wiki), "--prefix", str(place / "prefix")], "coordjournal init wiki.git")

    heading("Two clones of different people")
    for person, clone in (("alice", alice), ("bob", bob)):
        shell([*COORDJOURNAL, "clone", str(wiki), str(clone)], f"coordjournal clone wiki.git {person}")
        git(clone, "config", "user.name", person)
        git(clone, "config", "user.email", f"{person}@example.org")

    heading("The library appends, each decision with one push")
    journal = Journal.open(alice)
    garden = journal.space("garden")
    revoked = None
    for payload, reason in (
        (AliasSet("Home", "shardA:Index"), "the front page"),
        (BindingMade(["shardA:Index", "shardB:Home"]), "the same page in both shards"),
        (MergeDecided(["shardB:Start"], "shardA:Index"), None),
        (ForkMade("shardA:Index", "shardB:Index-draft", "r17"), None),
        (OverlayCreated("o-1", "shardA:Index", "r17", "Hello, *garden*.\n"), "a local greeting"),
        (OverlayRevised("o-1", "r18", "Hello again, *garden*.\n"), None),
        (OverlayClosed("o-1", "applied", "r19"), "the shard took it over"),
        (AliasSet("Old home", "shardC:Gone"), "a slip"),
    ):
        landed = garden.append(payload, actor="alice", reason=reason)
        print(f"  garden@{landed.seq}  {subject(landed.decision.type, landed.decision.payload)}")
        revoked = landed
    assert revoked is not None
    landed = garden.append(DecisionRevoked(revoked.decision.id), actor="alice", reason="that page never existed")
    print(f"  garden@{landed.seq}  decision-revoked: {revoked.decision.id}")

    heading("An extension type: its schema is declared on the server first")
    schema = place / "x-acme-tag.json"
    schema.write_text(
        json.dumps({"type": "object", "required": ["page", "tag"], "properties": {"page": {"type": "string"}}})
    )
    shell(
        [*COORDJOURNAL, "-C", str(wiki), "schema", "declare", "x-acme-tag", str(schema)],
        "coordjournal -C wiki.git schema declare x-acme-tag x-acme-tag.json",
    )
    journal.sync()
    landed = garden.append("x-acme-tag", {"page": "shardA:Index", "tag": "welcome"}, actor="alice")
    print(f"  garden@{landed.seq}  x-acme-tag")

    heading("Nothing but git: bob clears an alias by hand")
    what = "refs/spaces/garden:refs/heads/garden"
    shell(["git", "-C", str(bob), "fetch", "--quiet", "origin", what], f"git fetch --quiet origin {what}")
    tip = git(bob, "rev-parse", "garden")
    seq = int(git(bob, "log", "-1", "--format=%(trailers:key=Seq,valueonly)", "garden")) + 1
    decision = decision_of("alias-cleared", {"alias": "Home"}, "bob").json()
    message = place / "message"
    message.write_text(message_of(decision, seq))
    print(DIM + indented(message.read_text()) + END)
    when = f"{seconds(decision['at'])} +0000"
    commit = git(bob, "commit-tree", EMPTY_TREE, "-p", tip, "-F", str(message), env={"GIT_AUTHOR_DATE": when})
    print(f"  $ git commit-tree {EMPTY_TREE[:7]} -p {tip[:7]} -F message\n  {commit}")
    pushed(bob, f"{commit}:refs/spaces/garden")

    heading("What breaks the log is refused, and says why")
    tip, seq = commit, seq + 1
    again = git(bob, "rev-parse", f"{tip}~2")
    refused(bob, "a rewind", f"+{again}:refs/spaces/garden")
    refused(bob, "a deletion", ":refs/spaces/garden")
    alias = {"alias": "Home", "target": "shardB:Home"}
    good = decision_of("alias-set", alias, "bob")
    merge = write(bob, good.json(), seq, [tip, again])
    refused(bob, "a merge commit", f"{merge}:refs/spaces/garden")
    broken = write(bob, good.json(), seq, [tip], line=good.line()[:-2])
    refused(bob, "bad JSON", f"{broken}:refs/spaces/garden")
    wrong = decision_of("alias-set", {"alias": "Home", "page": "shardB:Home"}, "bob").json()
    broken = write(bob, wrong, seq, [tip], headline="alias-set: Home -> shardB:Home")
    refused(bob, "a schema error", f"{broken}:refs/spaces/garden")
    refused(bob, "a wrong Seq", f"{write(bob, good.json(), seq + 5, [tip])}:refs/spaces/garden")
    refused(bob, "a wrong space", f"{write(bob, good.json(), seq, [tip])}:refs/spaces/orchard")

    heading("The second clone fetches and folds")
    shell([*COORDJOURNAL, "-C", str(bob), "sync"], "coordjournal sync")
    shell([*COORDJOURNAL, "-C", str(bob), "state", "garden"], "coordjournal state garden")
    for question in ("why garden shardB:Start", "resolve garden Home --at 3", "overlay show garden o-1 --body"):
        shell([*COORDJOURNAL, "-C", str(bob), *question.split()], f"coordjournal {question}")

    two_nodes(place, wiki)

    heading("And anyone reads the log with git alone")
    shell(["git", "-C", str(wiki), "log", "--oneline", "refs/spaces/garden"], "git log --oneline refs/spaces/garden")
    shell([*COORDJOURNAL, "verify", str(wiki)], "coordjournal verify wiki.git")
    shell([*COORDJOURNAL, "doctor", str(wiki)], "coordjournal doctor wiki.git")
    print(f"\n{BOLD}Everything is in {place}{END}")


def two_nodes(place: Path, wiki: Path) -> None:
    """Two nodes that share nothing but a remote, over ``git://``: one holds the lease, the other forwards."""
    heading("Plain git appends an intent, and the server gives it its place")
    node = place / "node-b"
    shell([*COORDJOURNAL, "clone", str(wiki), str(node)], "coordjournal clone wiki.git node-b")
    git(node, "config", "user.name", "node-b")
    git(node, "config", "user.email", "node-b@example.org")
    intent = decision_of("alias-set", {"alias": "Home", "target": "shardA:Index"}, "bob")
    commit = write(node, intent.json(), None, [])
    update = f"{commit}:refs/append/garden"
    shell(["git", "-C", str(node), "push", "origin", update], f"git push origin {commit[:7]}...:refs/append/garden")

    with git_daemon(place) as url:
        heading(f"Two nodes, over {url}: node-a holds the lease and serves, node-b forwards")
        for name in ("node-a", "node-b"):
            if not (place / name).exists():
                shell([*COORDJOURNAL, "clone", f"{url}/wiki.git", str(place / name)], f"coordjournal clone URL {name}")
        git(node, "remote", "set-url", "origin", f"{url}/wiki.git")
        serve = [*COORDJOURNAL, "-C", str(place / "node-a"), "lease", "serve", "garden", "--holder", "node-a"]
        print("  $ coordjournal -C node-a lease serve garden --holder node-a &", flush=True)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([*serve, "--poll", "0.1"], **pipes) as held:
            try:
                until(lambda: "node-a" in status(node), "node-a did not get the lease")
                shell([*COORDJOURNAL, "-C", str(node), "lease", "status", "garden"], "coordjournal lease status garden")
                words = ["alias", "set", "garden", "Start", "shardA:Index"]
                shown = f"coordjournal -C node-b {' '.join(words)}"
                shell([*COORDJOURNAL, "-C", str(node), *words], shown, QUEUED)
                [waited] = waiting_ids(node)
                shell(
                    [*COORDJOURNAL, "-C", str(node), "where", "garden", waited, "--wait", "30"],
                    f"coordjournal -C node-b where garden {waited[:13]}... --wait 30",
                )
            finally:
                held.terminate()
            print(indented(held.communicate(timeout=30)[0]), flush=True)
        print("  node-a was told to stop (SIGTERM) and has released the lease:", flush=True)
        shell([*COORDJOURNAL, "-C", str(node), "sync"], "coordjournal -C node-b sync")
        shell([*COORDJOURNAL, "-C", str(node), "lease", "status", "garden"], "coordjournal lease status garden")

    heading("Offline: what is decided now waits in the outbox, and lands at the next sync")
    git(node, "remote", "set-url", "origin", f"{url}/nowhere.git")
    words = ["alias", "set", "garden", "Later", "shardB:Home"]
    shell([*COORDJOURNAL, "-C", str(node), *words], f"coordjournal -C node-b {' '.join(words)}", QUEUED)
    git(node, "remote", "set-url", "origin", str(wiki))
    shell([*COORDJOURNAL, "-C", str(node), "sync"], "coordjournal -C node-b sync")


@contextmanager
def git_daemon(base: Path) -> Iterator[str]:
    """A git daemon for the repositories below ``base``; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["git", "daemon", "--listen=127.0.0.1", f"--port={port}", f"--base-path={base}", "--export-all"]
    with subprocess.Popen([*words, "--reuseaddr", "--enable=receive-pack"], stderr=subprocess.DEVNULL) as daemon:
        try:
            until(lambda: answers(port), "git daemon did not start")
            yield f"git://127.0.0.1:{port}"
        finally:
            daemon.terminate()


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def until(done: Callable[[], bool], otherwise: str) -> None:
    """Waits for something that takes a moment."""
    end = time.monotonic() + 30
    while not done():
        if time.monotonic() > end:
            sys.exit(f"the demo failed: {otherwise}")
        time.sleep(0.05)


def status(clone: Path) -> str:
    """What a clone knows of the lease, once it has asked."""
    subprocess.run([*COORDJOURNAL, "-C", clone, "sync"], capture_output=True, check=False)
    done = subprocess.run(
        [*COORDJOURNAL, "-C", clone, "lease", "status", "garden"], capture_output=True, text=True, check=False
    )
    return done.stdout


def waiting_ids(clone: Path) -> list[str]:
    """The ids of the decisions in the outbox of a clone."""
    command = [*COORDJOURNAL, "-C", clone, "outbox", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [decision["id"] for entry in json.loads(done.stdout)["entries"] for decision in entry["decisions"]]


def decision_of(kind: str, payload: dict[str, str], actor: str) -> Decision:
    """A decision of the space garden, made now."""
    return Decision(new_id(), "garden", kind, payload, actor, at_text(None))


def message_of(decision: dict[str, object], seq: int) -> str:
    """The message of a decision commit, as docs/format.md draws it."""
    payload = decision["payload"]
    assert isinstance(payload, dict)
    line = json.dumps(decision, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{subject(str(decision['type']), payload)}\n\n{line}\n\nSeq: {seq}\n"


def write(
    clone: Path,
    decision: dict[str, object],
    seq: int | None,
    parents: list[str],
    line: bytes | None = None,
    headline: str | None = None,
) -> str:
    """A commit that may break the law on purpose, written with ``git hash-object``."""
    payload = decision["payload"]
    assert isinstance(payload, dict)
    at = seconds(decision["at"])
    raw = build(
        EMPTY_TREE,
        parents[0] if parents else None,
        str(decision["actor"]),
        at,
        "bob",
        at,
        headline or subject(str(decision["type"]), payload),
        line or json.dumps(decision, sort_keys=True, separators=(",", ":")).encode(),
        seq,
    )
    for parent in parents[1:]:
        raw = raw.replace(b"\nauthor ", f"\nparent {parent}\nauthor ".encode(), 1)
    done = subprocess.run(
        ["git", "-C", clone, "hash-object", "-t", "commit", "-w", "--stdin"], input=raw, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def heading(text: str) -> None:
    """Begins a scene."""
    print(f"\n{BOLD}== {text}{END}")


def indented(text: str) -> str:
    """``text`` with two blanks before each line."""
    return "\n".join("  " + line.rstrip() for line in text.splitlines())


def shell(command: list[str], shown: str, status: int = 0) -> None:
    """Runs a command and shows it with what it prints; it must end with ``status``."""
    print(f"  $ {shown}", flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(indented(done.stdout + done.stderr), flush=True)
    if done.returncode != status:
        sys.exit(f"the demo failed: {shown} ended with {done.returncode}")


def git(clone: Path, *words: str, env: dict[str, str] | None = None) -> str:
    """What git says, which must succeed."""
    done = subprocess.run(
        ["git", "-C", clone, *words], capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )
    if done.returncode:
        sys.exit(f"the demo failed: git {' '.join(words)}: {done.stderr}")
    return done.stdout.strip()


def pushed(clone: Path, update: str) -> None:
    """A push that must land."""
    shell(["git", "-C", str(clone), "push", "origin", update], f"git push origin {update[:7]}...:refs/spaces/garden")


def refused(clone: Path, what: str, update: str) -> None:
    """A push that must be refused, with what the pusher reads."""
    shown = update if update.startswith(":") else update.partition(":")[0][:8] + "...:" + update.partition(":")[2]
    print(f"\n  {RED}{what}{END}\n  $ git push origin {shown}", flush=True)
    done = subprocess.run(["git", "-C", clone, "push", "origin", update], capture_output=True, text=True, check=False)
    print(indented(done.stderr), flush=True)
    if done.returncode == 0 or "coordjournal refused this push" not in done.stderr:
        sys.exit(f"the demo failed: {what} was not refused")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1]).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            sys.exit(f"{folder} is not empty")
        main(folder)
    else:
        main(Path(tempfile.mkdtemp(prefix="coordjournal-demo-")))
