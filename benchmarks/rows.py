"""The rows of the table: each builds its repositories in a folder of its own and returns what it measured."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from coordjournal import AliasSet, Journal, install

from . import logs
from .measure import Row, interleaved, row

# Each runs in a process of its own and prints its seconds, without those that Python takes to start and to end.
_FOLD = """
import sys, time
from coordjournal import Journal, Space
start = time.perf_counter()
state = Journal.open(sys.argv[1], extensions={}).space("garden").state()
state.aliases, state.groups
print(time.perf_counter() - start)
"""
_VERIFY = """
import sys, time
from coordjournal.store import GitStore
from coordjournal.verify import check
start = time.perf_counter()
store = GitStore(sys.argv[1])
check(store, "garden", store.tip("garden"))
print(time.perf_counter() - start)
"""


def start(place: Path, runs: int) -> list[Row]:
    """What it takes to start: whole processes that ask one question of a small log, and that import the library."""
    repository = place / "wiki.git"
    _chain(repository, 10)
    program = str(Path(sys.executable).with_name("coordjournal"))  # as pip installs it

    def process(*words: str) -> Callable[[int], None]:
        def step(_turn: int) -> None:
            subprocess.run(words, cwd=repository, stdout=subprocess.DEVNULL, check=True)

        return step

    questions = {"resolve": "name 1", "group": "shardA:Page", "why": "name 1"}
    steps = {verb: process(program, verb, logs.SPACE, thing) for verb, thing in questions.items()}
    for name in ("click", "dulwich.repo"):
        steps[name] = process(sys.executable, "-c", f"import {name}")
    steps["library"] = process(sys.executable, "-c", "from coordjournal import Journal, AliasSet")
    seconds = interleaved(steps, runs)
    return [
        *(row(f"`coordjournal {verb}`", "import click", seconds[verb], seconds["click"], 1.4) for verb in questions),
        row("import of Journal and AliasSet", "import dulwich.repo", seconds["library"], seconds["dulwich.repo"], 0.8),
    ]


def push_one(place: Path, runs: int) -> list[Row]:
    """A push of one decision: with the hook, without any, with an empty isolated Python."""
    servers = _servers(place)
    client = place / "client"
    chain = _chain(client, runs + 1)
    def push(server: Path) -> Callable[[int], None]:
        return lambda turn: _push(client, server, chain[turn])

    seconds = interleaved({name: push(server) for name, server in servers.items()}, runs)
    return [
        row("push of one decision with the hook", "without any hook", seconds["hook"], seconds["none"], 2.0),
        row("push of one decision with the hook", "with an empty python -IS", seconds["hook"], seconds["empty"], 1.2),
    ]


def push_many(place: Path, count: int, runs: int) -> list[Row]:
    """A push of ``count`` decisions at once, with the hook and without any."""
    servers = _servers(place)
    client = place / "client.git"
    _git("init", "--quiet", "--bare", str(client))
    logs.write(client, count, seed=1)

    def push(server: Path) -> Callable[[int], None]:
        def step(_turn: int) -> None:
            _push(client, server, logs.REF)
            _git(f"--git-dir={server}", "update-ref", "-d", logs.REF)

        return step

    del servers["empty"]
    seconds = interleaved({name: push(server) for name, server in servers.items()}, runs)
    name = f"push of {count:,} decisions with the hook"
    return [row(name, "without any hook", seconds["hook"], seconds["none"], 2.2)]


def read_many(place: Path, count: int, runs: int) -> list[Row]:
    """Cold fold and verify, each in a fresh process, against ``git rev-list --header`` of the same chain."""
    repository = place / "log.git"
    _git("init", "--quiet", "--bare", str(repository))
    logs.write(repository, count, seed=2)
    cache = repository / "coordjournal"

    def fold(_turn: int) -> float:
        shutil.rmtree(cache, ignore_errors=True)
        return _python(_FOLD, repository)

    def header(_turn: int) -> None:
        subprocess.run(
            ["git", f"--git-dir={repository}", "rev-list", "--header", logs.REF], stdout=subprocess.DEVNULL, check=True
        )

    seconds = interleaved(
        {"header": header, "fold": fold, "verify": lambda _turn: _python(_VERIFY, repository)}, runs
    )
    return [
        row(f"cold fold of {count:,} decisions", "git rev-list --header", seconds["fold"], seconds["header"], 3.0),
        row(f"verify of {count:,} decisions", "git rev-list --header", seconds["verify"], seconds["header"], None),
    ]


def _servers(place: Path) -> dict[str, Path]:
    """Three bare repositories with the same settings: with our hook, without one, with one that does nothing."""
    hook = place / "hook.git"
    install.init(str(hook), prefix=str(place / "prefix"))
    servers = {"hook": hook}
    for name in ("none", "empty"):
        servers[name] = place / f"{name}.git"
        shutil.copytree(hook, servers[name])
        (servers[name] / "hooks" / "pre-receive").unlink()
    interpreter = (hook / "hooks" / "pre-receive").read_text().partition("\n")[0]
    empty = servers["empty"] / "hooks" / "pre-receive"
    empty.write_text(interpreter + "\n")
    empty.chmod(0o755)
    return servers


def _chain(client: Path, count: int) -> list[str]:
    """A client whose log has ``count`` decisions, each to be pushed by itself; the commits."""
    _git("init", "--quiet", "--bare", str(client))
    with Journal.open(client) as journal:
        space = journal.space(logs.SPACE)
        return [space.append(AliasSet(f"name {i}", "shardA:Page"), actor="alice").commit for i in range(count)]


def _push(client: Path, server: Path, what: str) -> None:
    _git(f"--git-dir={client}", "push", "--quiet", str(server), f"{what}:{logs.REF}")


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


def _python(code: str, repository: Path) -> float:
    done = subprocess.run([sys.executable, "-c", code, str(repository)], check=True, stdout=subprocess.PIPE)
    return float(done.stdout)
