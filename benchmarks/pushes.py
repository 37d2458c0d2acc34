"""What a push costs: of one decision, into long logs, beside many spaces, of many decisions, and of an intent."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from . import logs, servers
from .bench import Bench, git
from .logs import Log
from .measure import Row, differences, figure, row
from .timing import Step

_APPEND = f"refs/append/{logs.SPACE}"
_PLAIN = "without any hook"


def one(bench: Bench) -> list[Row]:
    """A push of one decision: with the hook, without any, and with an empty isolated Python."""
    hook = servers.with_hooks(bench, "hook.git")
    places = {
        "hook": hook,
        "none": servers.without_hooks(hook, "none.git"),
        "empty": servers.with_empty_hook(hook, "empty.git"),
    }
    client = bench.bare("client.git")
    chain = _chain(bench, client)
    seconds = bench.rounds({name: _push_next(client, place, chain) for name, place in places.items()})
    name = "push of one decision with the hook"
    return [
        row(name, _PLAIN, seconds["hook"], seconds["none"], 2.0),
        row(name, "with an empty Python hook (-IS)", seconds["hook"], seconds["empty"], 1.2),
    ]


def into_long_log(bench: Bench) -> list[Row]:
    """A push of one decision into a long log and into a short one."""
    steps: dict[str, Step] = {}
    long, short = bench.sizes.long_log, 10
    for length in (long, short):
        hook = servers.with_hooks(bench, f"hook{length}.git")
        none = servers.without_hooks(hook, f"none{length}.git")
        client = bench.bare(f"client{length}.git")
        chain = bench.copy(length, client).grow(logs.plain(bench.sizes.rounds + 1, length, seed=5))
        for name, place in (("hook", hook), ("none", none)):
            bench.copy(length, place)
            steps[f"{name} {length}"] = _push_next(client, place, chain)
    seconds = bench.rounds(steps)
    rows = []
    for words, key, target in (("with the hook", "hook", 1.1), ("without any hook", "none", None)):
        name, against = f"push of one decision {words}, log of {long:,}", f"log of {short:,}"
        rows.append(row(name, against, seconds[f"{key} {long}"], seconds[f"{key} {short}"], target))
    return rows


def beside_many_spaces(bench: Bench) -> list[Row]:
    """A push of one decision where there are many other spaces: loose refs, packed ones, and hidden ones."""
    client = bench.bare("client.git")
    chain = _chain(bench, client)
    intents = logs.intents(client, logs.plain(bench.sizes.rounds + 1, 1, seed=6, what="intended"), chain[0])
    many, few = bench.sizes.many_spaces, 10
    loose = {count: _crowded(bench, client, chain[0], count) for count in (many, few)}
    packed = {count: _changed(places, "packed", "pack-refs", "--all") for count, places in loose.items()}
    hide = ("config", "receive.hideRefs", "refs/spaces")
    hidden = {count: _changed(places, "hidden", *hide) for count, places in packed.items()}
    for _, none in hidden.values():  # nobody is there to be asked what becomes of such a ref: git stores it
        git(f"--git-dir={none}", "config", "--unset-all", "receive.procReceiveRefs")
    rows = []
    for words, group in (("loose refs", loose), ("packed refs", packed), ("hidden, through refs/append", hidden)):
        bench.note(words)
        through = _APPEND if group is hidden else logs.REF
        steps: dict[str, Step] = {}
        for count, (hook, none) in group.items():
            steps[f"hook {count}"] = _push_next(client, hook, intents if group is hidden else chain[1:], through)
            steps[f"none {count}"] = _push_next(client, none, chain[1:], through)
        seconds = bench.rounds(steps)
        added = {c: differences(seconds[f"hook {c}"], seconds[f"none {c}"]) for c in group}
        name, against = f"{many:,} other spaces ({words})", f"{few} other spaces"
        for told, key in (("with the hook", "hook"), ("without any hook", "none")):
            ours, yardstick = seconds[f"{key} {many}"], seconds[f"{key} {few}"]
            rows.append(row(f"push of one decision {told}, {name}", against, ours, yardstick))
        rows.append(row(f"what the hook adds to such a push, {name}", against, added[many], added[few], 1.2))
    return rows


def of_many(bench: Bench) -> list[Row]:
    """A push of many decisions at once, each time into an empty repository; and the memory of the hook."""
    hook = servers.with_hooks(bench, "hook.git")
    none = servers.without_hooks(hook, "none.git")
    rows = []
    for count in bench.sizes.pushes:
        client = bench.bare(f"client{count}.git")
        bench.copy(count, client)
        seconds = bench.rounds(
            {name: _push_all(client, place) for name, place in (("hook", hook), ("none", none))}, long=True
        )
        out = bench.place / f"peaks{count}"
        _push_all(client, servers.watched(hook, f"watched{count}.git", out))(0)
        peaks = [int(line) / (1 << 20) for line in out.read_text().splitlines()]
        rows += [
            row(f"push of {count:,} decisions with the hook", _PLAIN, seconds["hook"], seconds["none"], 2.2),
            figure(f"peak memory of the hook's Python, push of {count:,}", peaks, "MiB", 32),
        ]
    return rows


def of_an_intent(bench: Bench) -> list[Row]:
    """A push of one intent, to which the sequencer gives its place, and of one decision where nobody looks at it."""
    hook = servers.with_hooks(bench, "hook.git", sequencing=True)
    none = servers.without_hooks(hook, "none.git")
    client = bench.bare("client.git")
    chain = _chain(bench, client)
    for place in (hook, none):
        servers.push(client, place, chain[0])
    intents = logs.intents(client, logs.plain(bench.sizes.rounds + 1, 1, seed=6, what="intended"), chain[0])
    seconds = bench.rounds(
        {"hook": _push_next(client, hook, intents, _APPEND), "none": _push_next(client, none, chain[1:])}
    )
    name = "push of one intent through the sequencer"
    return [row(name, "push of one decision without any hook", seconds["hook"], seconds["none"], 2.6)]


def _chain(bench: Bench, client: Path) -> list[str]:
    """A log of small decisions in a client, each to be pushed by itself, one for each round, and one before."""
    return Log(client).grow(logs.plain(bench.sizes.rounds + 2, 0, seed=4))


def _push_next(client: Path, server: Path, chain: list[str], ref: str = logs.REF) -> Step:
    return lambda turn: servers.push(client, server, chain[turn], ref)


def _push_all(client: Path, empty: Path) -> Callable[[int], float]:
    def step(_turn: int) -> float:
        server = empty.with_name(f"filled-{empty.name}")
        shutil.copytree(empty, server, symlinks=True)
        start = time.perf_counter()
        servers.push(client, server, logs.REF)
        spent = time.perf_counter() - start
        shutil.rmtree(server)
        return spent

    return step


def _crowded(bench: Bench, client: Path, first: str, count: int) -> tuple[Path, Path]:
    """A server with so many other spaces and the first decision of ours, and the same one without hooks."""
    hook = servers.with_hooks(bench, f"hook{count}.git", sequencing=True)
    bench.note(f"making {count:,} spaces")
    logs.spaces(hook, count)
    servers.push(client, hook, first)
    return hook, servers.without_hooks(hook, f"none{count}.git")


def _changed(places: tuple[Path, Path], name: str, *words: str) -> tuple[Path, Path]:
    """Copies of servers, in which a git command was run."""
    hook, none = (place.with_name(f"{name}-{place.name}") for place in places)
    for place, copy in zip(places, (hook, none), strict=True):
        shutil.copytree(place, copy, symlinks=True)
        git(f"--git-dir={copy}", *words)
    return hook, none
