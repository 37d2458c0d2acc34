"""Mutated commits, trees and streams pushed into a repository with the hook, and what a push may cost the server.

Of every push: git or the hook refuses it, the hook with the oracle's code for each ref that reaches it; no ref, object
or lock is there that was not there before; what the pusher reads is harmless; time and memory are bounded.
"""

import os
import resource
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from pushing import (
    EMPTY_TREE,
    ZERO,
    Author,
    Pushed,
    Server,
    attached,
    decision,
    make_prefix,
    run_git,
    spoken,
    stamp,
)

from . import inputs, judges, oracle

BATCH = 100
MOST_SECONDS = 60.0  # of the processor for one push of a batch
MOST_MEMORY = 400  # MB, of the largest process


class Field:
    """A server that holds a log of two decisions under many names, and an author who knows them."""

    def __init__(self, place: Path, prefix: Path | None = None, logs: int = BATCH, sequencing: bool = False) -> None:
        self.prefix = prefix or make_prefix(place / "prefix")
        self.server = Server(place / "server.git", self.prefix, sequencing=sequencing)
        self.server.set("coordjournal.strict", "true")
        self.author = Author(place / "author.git")
        self.garden = self.author.chain("garden", 2)
        assert self.author.push(self.server, f"{self.garden[1]}:refs/spaces/garden").landed
        self.parent = self.author.git("cat-file", "commit", self.garden[1])
        self.body = self.author.blob(b"the body\n")
        self.tree = self.author.tree(("100644", "body", self.body))
        names = "".join(f"create refs/spaces/n{number} {self.garden[1]}\n" for number in range(logs))
        self.server.git("update-ref", "--stdin", content=names.encode())
        self.known = {self.tree, EMPTY_TREE["sha1"], *self.garden}
        self.before = self.held()

    def held(self) -> tuple[dict[str, str], list[str], list[str]]:
        """Refs, files of objects and locks of the server."""
        files = sorted(str(path) for path in (self.server.path / "objects").rglob("*"))
        return self.server.refs(), files, self.server.locks()

    def step(self, number: int, rng: Random) -> inputs.Step:
        """A lawful commit for the log ``n<number>``."""
        space = f"n{number}"
        how: dict[str, Any] = {}
        files: tuple[dict[str, Any], ...] = ()
        match rng.randrange(4):
            case 0:
                body = attached(b"the body\n")
                how = {"kind": "overlay-revised", "payload": {"overlay_id": "o", "base_rev": None, "body": body}}
                how |= {"subject": "overlay-revised: o (9 bytes)", "tree": self.tree}
                files = ({"mode": "100644", "name": "body", "oid": self.body, "size": 9, "sha256": body["sha256"]},)
            case 1:
                how = {
                    "kind": "binding-made",
                    "payload": {"members": ["a", "b b"]},
                    "subject": 'binding-made: a = "b b"',
                }
            case 2:
                how = {"trailers": stamp(2, "-; term=1")}  # not lawful as it stands: there was no lease
        return inputs.Step(space, self.garden[1], self.parent, decision(space, 2, self.garden[1], **how), files)

    def is_whole(self, raw: bytes) -> bool:
        """Whether the server has every object that the commit names, as far as it names any. Git finds out otherwise,
        and the hook, which it asks all the same, cannot tell such a commit from a damaged repository."""
        try:
            read = oracle.Read(raw)
        except oracle.Fault:
            names = [line[7:47] for line in raw.split(b"\n") if line.startswith(b"parent ")]
            return all(len(name.strip(b"0123456789abcdef")) or name.decode() in self.known for name in names)
        return (read.parent is None or read.parent in self.known) and read.tree in self.known

    def refused(self, commands: Iterable[tuple[str, str, str]], pack: bytes) -> Pushed:
        """Pushes what is to be refused, and looks at what it did."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        pushed = spoken(self.server, commands, pack)
        return self.looked_at(pushed, used)

    def looked_at(self, pushed: Pushed, used: resource.struct_rusage) -> Pushed:
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        assert not pushed.landed, pushed.said
        assert self.held() == self.before, pushed.said
        assert judges.harmless(pushed.raw.decode("utf-8", "surrogateescape").partition("unpack ")[0]), pushed.raw
        assert spent < MOST_SECONDS, spent
        assert now.ru_maxrss < MOST_MEMORY * 1024, now.ru_maxrss
        return pushed

    def verdict(self, step: inputs.Step) -> str:
        """The oracle's."""
        assert step.parent is not None
        parent = oracle.Read(step.parent)
        try:
            if len(step.raw) > 65_536:
                raise oracle.Fault("too-large")
            child, doc = oracle.law(step.space, parent, step.parent_oid, step.raw, inputs.measured(step))
            oracle.admission(parent, child, doc, int(time.time()))
        except oracle.Fault as fault:
            return fault.code
        return "yes"


def campaign(count: int, seed: int, prefix: Path | None = None) -> str:
    """Pushes ``count`` mutated commits, a fifth as many intents, a tenth as many streams. What they met, in words."""
    rng = Random(seed)
    met: Counter[str] = Counter()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        field = Field(Path(place), prefix, min(count, BATCH))
        for at in range(0, count, BATCH):
            batch(field, rng, min(BATCH, count - at), met)
        for _ in range(count // 10):
            met[stream(field, rng)] += 1
        (Path(place) / "sequencing").mkdir()
        sequencing = Field(Path(place) / "sequencing", field.prefix, 1, sequencing=True)
        for at in range(0, count // 5, BATCH):
            met.update(intents(sequencing, rng, min(BATCH, count // 5 - at)))
        rss = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    said = "".join(f"{times:>9,}  {what}\n" for what, times in sorted(met.items()))
    took = time.monotonic() - begun
    return f"{said}{met.total():>9,} pushed of seed {seed} in {took:.0f} s, nothing changed; {rss} MB at most"


def batch(field: Field, rng: Random, count: int, met: Counter[str]) -> None:
    """A push of the mutated commits; those of which objects are missing go by themselves."""
    whole: list[tuple[inputs.Step, str]] = []
    others: list[tuple[inputs.Step, str]] = []
    for number in range(count):
        step = field.step(number, rng)
        if number:
            raw = (
                inputs.shaken(rng, step.raw, (step.raw,))
                if rng.randrange(3)
                else inputs.dressed(rng, _lawful(step)).raw
            )
            step = replace(step, raw=raw)
        else:
            step = replace(step, raw=step.raw.replace(b"Seq: 2", b"Seq: 7"))  # whatever else: the push is refused
        oid = field.author.object("commit", step.raw)
        (whole if field.is_whole(step.raw) else others).append((step, oid))
    attached_to = [field.tree, field.body, EMPTY_TREE["sha1"]]
    due = {f"refs/spaces/{step.space}": field.verdict(step) for step, _ in whole}
    commands = [(field.garden[1], oid, f"refs/spaces/{step.space}") for step, oid in whole]
    pushed = field.refused(commands, field.author.pack(*{oid for _, oid in whole}, *attached_to))
    codes = {one.ref: one.code for one in pushed.told}
    for ref, code in due.items():
        found = codes.get(ref, "yes")
        assert found == code or "clock" in (found, code), (
            ref,
            found,
            code,
            [s.raw for s, _ in whole if ref.endswith(s.space)],
        )
        met[f"commit: {found}"] += 1
    for step, oid in others:
        pack = field.author.pack(oid, *attached_to)
        field.refused([(field.garden[1], oid, f"refs/spaces/{step.space}")], pack)
        met["commit: refused, objects are missing"] += 1


def intents(field: Field, rng: Random, count: int) -> Counter[str]:
    """One push of mutated intents to be sequenced, each to a space of its own, to a server that sequences."""
    now = int(time.time())
    due: dict[str, str] = {}
    commands = []
    for number in range(count):
        space = f"i{number}"
        raw = decision(space, None)
        step = inputs.Step(space, None, None, raw, ())
        if number == 0:
            raw = decision("elsewhere", None)  # whatever else: the push is refused
        elif rng.randrange(3):
            raw = inputs.shaken(rng, raw, (raw,))
        else:
            raw = inputs.dressed(rng, step).raw
        if b"\nSeq: " in raw or b"\nparent " in raw or not raw.startswith(f"tree {EMPTY_TREE['sha1']}\n".encode()):
            continue  # a stamped commit, or one of which objects are missing: that is for :func:`batch`
        try:
            if len(raw) > 65_536:
                raise oracle.Fault("too-large")
            oracle.intent(space, raw, None, now)
            code = "yes"
        except oracle.Fault as fault:
            code = fault.code
        due[f"refs/append/{space}"] = code
        commands.append((ZERO["sha1"], field.author.object("commit", raw), f"refs/append/{space}"))
    pushed = field.refused(commands, field.author.pack(*{oid for _, oid, _ in commands}, EMPTY_TREE["sha1"]))
    codes = {one.ref: one.code for one in pushed.told}
    assert {ref: codes.get(ref, "yes") for ref in due} == due
    return Counter(f"intent: {code}" for code in due.values())


def _lawful(step: inputs.Step) -> inputs.Step:
    return replace(step, raw=step.raw.replace(b"\nLease: -; term=1\n", b"\n"))


def stream(field: Field, rng: Random) -> str:
    """What git's client sends, changed here and there: pkt-lines, commands, capabilities, the pack."""
    bad = field.author.decision("n0", 9, field.garden[1])
    pack = field.author.pack(bad)
    capabilities = rng.choice(
        [b"report-status", b"report-status side-band-64k", b"atomic push-options report-status-v2"]
    )
    line = f"{field.garden[1]} {bad} refs/spaces/n0".encode() + b"\0" + capabilities
    other = f"{ZERO['sha1']} {bad} ".encode() + inputs.a_ref(rng)[:1000]
    shallow = b"shallow " + rng.choice((bad, field.garden[1], "1" * 40)).encode()
    lines = rng.sample([line, other, shallow, b"push-cert\0" + capabilities, line], k=rng.randrange(1, 5))
    raw = b"".join(b"%04x%b" % (len(item) + 4, item) for item in lines) + b"0000"
    raw += b"000bx=y\n0000" if rng.randrange(4) == 0 else b""
    raw = raw + pack if rng.randrange(3) == 0 else inputs.shaken(rng, raw + pack, (raw,))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["git", "receive-pack", str(field.server.path)],
        input=raw,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        timeout=120,
        check=False,
    )
    pushed = Pushed(1, done.stderr.decode("utf-8", "replace"), done.stderr)
    field.looked_at(replace(pushed, raw=b""), used)  # git's own words may quote what it was sent
    return "stream: " + ("refused by the hook" if b"coordjournal" in done.stderr + done.stdout else "refused by git")


def many_refs(count: int, prefix: Path | None = None) -> str:
    """One push that names ``count`` refs which no strict repository takes."""
    with tempfile.TemporaryDirectory() as place:
        field = Field(Path(place), prefix, 0)
        new = field.garden[1]
        commands = ((ZERO["sha1"], new, f"refs/heads/{number}") for number in range(count))
        begun = time.monotonic()
        pushed = spoken(field.server, commands, field.author.pack(new))
        took = time.monotonic() - begun
        rss = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        assert not pushed.landed and field.held() == field.before
        assert len(pushed.told) == 1000, pushed.said[:1000]
        assert run_git(field.server.path, ["for-each-ref"]).returncode == 0
    return f"{count:,} refs in one push: refused in {took:.0f} s, {rss} MB at most"
