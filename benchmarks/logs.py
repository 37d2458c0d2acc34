"""Realistic logs from a seed, written by ``git fast-import``.

A log is a mix of all that a wiki decides: names with a long tail, some of them not ASCII; pages in groups, most of two
to five, a few of hundreds; overlays, each with a text of its own; forks; revocations; and, one in a hundred, what has
no effect. Without leases: from the first one on every commit would carry a trailer, and a log is read alike.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from coordjournal import timestamp
from coordjournal.commit import subject

SPACE = "garden"
REF = f"refs/spaces/{SPACE}"
START = 1_735_689_600  # 2025-01-01T00:00:00Z; each decision is a second after the one before
_CHUNK = 1 << 20

_WORDS = """
the a of in on page pages edit garden path river stone note draft source table list figure about between under over
old new long short see also compare from with without because while before after until Größe été ñandú página история
歴史 ページ
"""
_NAMES = ("{}", "{}", "Page {}", "Talk {}", "Help {}", "List of {}", "{} (garden)")
_NAMES_OF_THE_WORLD = ("Größe {}", "Été {}", "ページ {}", "История {}", "Ñandú {}", "صفحة {}", "🌱 {}")
_SHARDS = "ABCDEFGH"

# For what stands in these logs it writes canonical JSON, in half the time that coordjournal.canonical takes, which also
# looks at what it is given. `verify` would tell: tests/test_benchmarks.py asks it.
_dumps = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True)
class Entry:
    """A decision (its JSON object), the second in which it was decided, and the text beside it, if it has one."""

    doc: dict[str, Any]
    at: int
    body: bytes | None = None


def entries(count: int, seed: int = 1, space: str = SPACE) -> Iterator[Entry]:
    """The first ``count`` decisions of the log that ``seed`` stands for: the same ones on every machine."""
    rng = random.Random(seed)
    prose = " ".join(rng.choices(_WORDS.split(), k=20_000)).encode()
    made = _Made(rng, seed, prose)
    for seq in range(count):
        kind, payload, body = made.next(seq)
        id_ = identity(seq, seed)
        if seq > 100 and rng.random() < 0.0005:  # sent again under the id of another: void
            id_ = identity(rng.randrange(seq), seed)
        yield Entry(document(seq, kind, payload, id_, space, rng), START + seq, body)


def plain(count: int, first: int, seed: int, space: str = SPACE, what: str = "later") -> Iterator[Entry]:
    """Small decisions that could stand at the Seqs from ``first`` on: each sets a name of its own."""
    for seq in range(first, first + count):
        payload = {"alias": f"{what} {seq}", "target": f"shardA:Page-{seq % 997}"}
        yield entry(seq, "alias-set", payload, seed, space)


def entry(seq: int, kind: str, payload: dict[str, Any], seed: int, space: str = SPACE) -> Entry:
    """A decision that lands at ``seq``."""
    return Entry(document(seq, kind, payload, identity(seq, seed), space), START + seq)


def document(
    seq: int, kind: str, payload: dict[str, Any], id_: str, space: str = SPACE, rng: random.Random | None = None
) -> dict[str, Any]:
    """The JSON object of a decision that lands at ``seq``; with a reason or meta now and then, if ``rng`` is there."""
    number = 1 if rng is None else int(rng.paretovariate(1)) % 500
    doc = {
        "actor": f"actor-{number}" if number % 20 else f"Zoë-{number}",
        "at": _time(START + seq, 0 if rng is None else rng.randrange(1_000_000)),
        "id": id_,
        "payload": payload,
        "space": space,
        "type": kind,
        "v": 1,
    }
    if rng is not None:
        chance = rng.random()
        if chance < 0.2:
            doc["reason"] = f"because of discussion {rng.randrange(10_000)}"
        if chance > 0.9:
            doc["meta"] = {"import": f"shard-{number}", "request": f"r{rng.randrange(1 << 32):08x}"}
    return doc


def _time(second: int, microseconds: int) -> str:
    day, rest = divmod(second, 86400)
    return f"{_day(day)}{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}.{microseconds:06}Z"


@lru_cache(maxsize=4)
def _day(day: int) -> str:
    return timestamp.text(day * 86400)[:11]


def identity(seq: int, seed: int) -> str:
    """The id of the decision at ``seq``: a UUIDv7 whose random bits follow from the seed."""
    head = f"{(START + seq) * 1000:012x}"
    tail = f"{((seq + 1) * 0x9E3779B97F4A7C15F3 ^ seed * 0xD1B54A32D192ED0395) & (1 << 72) - 1:018x}"
    return f"{head[:8]}-{head[8:]}-7{tail[:3]}-8{tail[3:6]}-{tail[6:]}"


class _Made:
    """What was decided so far, as far as the next decision depends on it."""

    def __init__(self, rng: random.Random, seed: int, prose: bytes) -> None:
        self.rng = rng
        self.seed = seed
        self.prose = prose
        self.open: list[str] = []
        self.named: list[str] = ["Home"]

    def next(self, seq: int) -> tuple[str, dict[str, Any], bytes | None]:
        """Type, payload and text of the next decision."""
        chance = self.rng.random()
        if chance < 0.45:
            return "alias-set", {"alias": self._name(seq), "target": self._page(self._topic(seq))}, None
        if chance < 0.50:
            return "alias-cleared", {"alias": self.rng.choice(self.named[-200:])}, None
        if chance < 0.65:
            return "binding-made", {"members": self._pages(seq, 2 if chance < 0.62 else 3)}, None
        if chance < 0.73:
            into, *sources = self._pages(seq, 2 if chance < 0.72 else 4)
            return "merge-decided", {"into": into, "sources": sources}, None
        if chance < 0.79:
            source = self._page(self._topic(seq))
            return "fork-made", {"fork": f"{source}/fork-{seq}", "source": source, "source_rev": f"r{seq}"}, None
        if chance < 0.97:
            return self._overlay(seq, chance)
        target = self.rng.randrange(max(0, seq - 1000), seq) if seq and chance < 0.995 else seq + 1  # of nothing: void
        return "decision-revoked", {"decision": identity(target, self.seed)}, None

    def _overlay(self, seq: int, chance: float) -> tuple[str, dict[str, Any], bytes | None]:
        if chance < 0.86 or not self.open:
            body = self._text(seq)
            self.open.append(f"overlay-{seq}")
            page = self._page(self._topic(seq))
            payload = {"base_rev": f"r{seq // 3}", "body": _declared(body), "overlay_id": self.open[-1], "target": page}
            return "overlay-created", payload, body
        place = self.rng.randrange(max(0, len(self.open) - 50), len(self.open))
        if chance < 0.91:
            body = self._text(seq)
            return "overlay-revised", {"base_rev": None, "body": _declared(body), "overlay_id": self.open[place]}, body
        closed = self.open.pop(place) if chance < 0.968 else f"overlay-none-{seq}"  # nobody opened that one: void
        if chance < 0.94:
            return "overlay-closed", {"outcome": "applied", "overlay_id": closed, "result_rev": f"r{seq}"}, None
        return "overlay-closed", {"outcome": "discarded", "overlay_id": closed}, None

    def _name(self, seq: int) -> str:
        """A name: any of very many, early ones more often."""
        number = int(self.rng.random() ** 2 * (20 + seq))
        forms = _NAMES_OF_THE_WORLD if number % 20 == 7 else _NAMES  # five in a hundred
        self.named.append(forms[number % 7].format(number))
        if len(self.named) > 400:
            del self.named[:200]
        return self.named[-1]

    def _topic(self, seq: int) -> int:
        return int(self.rng.random() ** 1.5 * (10 + seq // 5))

    def _page(self, topic: int) -> str:
        return f"shard{_SHARDS[self.rng.randrange(8)]}:Topic-{topic}"

    def _pages(self, seq: int, count: int) -> list[str]:
        """Different pages of one topic, which become one page: two to five of most topics, and now and then of a topic
        that has hundreds."""
        if self.rng.random() < 0.08:
            topic = -1 - self.rng.randrange(1 + seq // 20_000)
            numbers = [0, *self.rng.sample(range(1, 300), count - 1)]
        else:
            topic = self._topic(seq)
            of_topic = 2 + topic % 4
            numbers = self.rng.sample(range(of_topic), min(count, of_topic))
        return [f"shard{_SHARDS[number % 8]}:Topic-{topic}" + f"/{number // 8}" * (number > 7) for number in numbers]

    def _text(self, seq: int) -> bytes:
        """Some hundred bytes to some thousand, different for each."""
        size = min(6_000, int(200 * self.rng.paretovariate(1.1)))
        start = self.rng.randrange(len(self.prose) - size)
        text = self.prose[start : start + size].decode(errors="ignore")
        return f"Overlay {seq}\n\n{text}\n".encode()


def _declared(body: bytes) -> dict[str, Any]:
    return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


# -- into a repository ---------------------------------------------------------------------------------------------


@dataclass
class Log:
    """A log in a repository, and where it goes on: ``count`` decisions, the last in the commit ``tip`` ("": none)."""

    git_dir: Path
    count: int = 0
    tip: str = ""
    ref: str = REF

    def grow(self, more: Iterable[Entry]) -> list[str]:
        """Appends decisions; their commits."""
        bases = chain([self.tip], repeat(""))  # only the first one has to be told what it follows
        stream = (
            _commit(one, self.ref, self.count + number, base, mark=number + 1)
            for number, (one, base) in enumerate(zip(more, bases, strict=False))
        )
        commits = _marked(self.git_dir, stream)
        self.count += len(commits)
        self.tip = commits[-1]
        return commits


def write(git_dir: Path, what: Iterable[Entry], ref: str = REF) -> Log:
    """Writes a log from its root; no more than one decision of it is held in memory."""
    count = 0

    def stream() -> Iterator[bytes]:
        nonlocal count
        for one in what:
            yield _commit(one, ref, count)
            count += 1

    _fast_import(git_dir, stream())
    words = ["git", f"--git-dir={git_dir}", "rev-parse", "--verify", ref]
    return Log(git_dir, count, subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip(), ref)


def intents(git_dir: Path, what: Iterable[Entry], base: str) -> list[str]:
    """Writes decisions without a place, each a commit of its own on ``base`` ("": a root); their commits."""
    ref = "refs/to-push"
    begin = b"reset %b\n\n" % ref.encode()  # what comes next is a root, unless it is told what it follows
    return _marked(git_dir, (begin + _commit(one, ref, None, base, number) for number, one in enumerate(what, 1)))


def spaces(git_dir: Path, count: int, seed: int = 3) -> None:
    """Writes ``count`` spaces with one decision each, their refs loose."""

    def stream() -> Iterator[bytes]:
        for number in range(count):
            space = f"space-{number:05d}"
            payload = {"alias": "Home", "target": f"shardA:Page-{number}"}
            yield _commit(entry(0, "alias-set", payload, seed + number, space), f"refs/spaces/{space}", 0)

    _fast_import(git_dir, stream())


def _commit(one: Entry, ref: str, seq: int | None, base: str = "", mark: int = 0) -> bytes:
    """A decision as ``git fast-import`` reads it. Without ``seq`` it is an intent; without ``base`` the commit follows
    what was written to ``ref`` before."""
    doc, at = one.doc, one.at
    trailers = "" if seq is None else f"\nSeq: {seq}\n"
    message = f"{subject(doc['type'], doc['payload'])}\n\n{_dumps(doc)}\n{trailers}".encode()
    return b"".join(
        (
            b"commit %b\n" % ref.encode(),
            b"mark :%d\n" % mark if mark else b"",
            f"author {doc['actor']} <> {at} +0000\ncommitter node <> {at} +0000\n".encode(),
            b"data %d\n%b\n" % (len(message), message),
            b"from %b\n" % base.encode() if base else b"",
            b"deleteall\n",
            b"" if one.body is None else b"M 100644 inline body\ndata %d\n%b\n" % (len(one.body), one.body),
        )
    )


def _marked(git_dir: Path, stream: Iterable[bytes]) -> list[str]:
    """Imports commits that have the marks 1, 2, ...; their object names in this order."""
    with tempfile.NamedTemporaryFile() as marks:
        _fast_import(git_dir, stream, f"--export-marks={marks.name}")
        lines = Path(marks.name).read_text().splitlines()
    names = dict(line.split(" ") for line in lines)
    return [names[f":{mark}"] for mark in range(1, len(lines) + 1)]


def _fast_import(git_dir: Path, stream: Iterable[bytes], *options: str) -> None:
    """Runs ``git fast-import``; in larger writes than the commits are, which is faster."""
    words = ["git", "-c", "core.fsync=none", f"--git-dir={git_dir}", "fast-import", "--quiet", "--force", *options]
    # Otherwise the C library gives memory back after nearly each commit, and fetches it again: 60 in 100 of the time.
    importer = subprocess.Popen(words, stdin=subprocess.PIPE, env={**os.environ, "MALLOC_TOP_PAD_": str(16 << 20)})
    assert importer.stdin is not None
    try:
        with importer.stdin as pipe:
            pending = bytearray()
            for part in stream:
                pending += part
                if len(pending) > _CHUNK:
                    pipe.write(pending)
                    pending.clear()
            pipe.write(pending)
    except BrokenPipeError:
        pass  # it has ended, and said why
    except BaseException:
        importer.kill()
        importer.wait()
        raise
    if importer.wait():
        raise RuntimeError("git fast-import failed")
