"""The main job of coordjournal, played with real pushes: run by ``./install.sh --demo [DIR]``.

Makes a shared bare repository with hooks and two clones, appends one decision of each type (most
with the library, one with nothing but git), has pushes refused, and asks the second clone what follows from it all.
Exits with 1 if anything that should land is refused, or the other way round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
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

    heading("And anyone reads the log with git alone")
    shell(["git", "-C", str(wiki), "log", "--oneline", "refs/spaces/garden"], "git log --oneline refs/spaces/garden")
    shell([*COORDJOURNAL, "verify", str(wiki)], "coordjournal verify wiki.git")
    shell([*COORDJOURNAL, "doctor", str(wiki)], "coordjournal doctor wiki.git")
    print(f"\n{BOLD}Everything is in {place}{END}")


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
    seq: int,
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
        parents[0],
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


def shell(command: list[str], shown: str) -> None:
    """Runs a command and shows it with what it prints; it must succeed."""
    print(f"  $ {shown}", flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(indented(done.stdout + done.stderr), flush=True)
    if done.returncode:
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
