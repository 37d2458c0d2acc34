"""``lease serve`` as a process: what it appends and tells, what it survives, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support import cj, environment
from support import git, run

from coordjournal import GitFailed, HeldLease
from coordjournal.cli.base import App
from coordjournal.cli.serving import Server

SET = ["alias", "set", "garden"]


class Serving:
    """A `lease serve --json` that runs; what it writes is read as it comes."""

    def __init__(self, clone: Path, *words: str, as_json: bool = True) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "coordjournal", "-C", os.fspath(clone), "lease", "serve", "garden"),
                *("--poll", "0.02", *(["--json"] if as_json else []), *words),
            ],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def decision(self) -> Any:
        """The next decision that it tells."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def event(self, *expected: str) -> Any:
        """The next thing that happens beside, which must be one of those expected."""
        assert self.process.stderr is not None
        told = json.loads(self.process.stderr.readline())
        assert told["event"] in expected, told
        return told

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Sends a signal; the status, and what else was written."""
        self.process.send_signal(number)
        return self.rest()

    def rest(self) -> tuple[int, str, str]:
        """The status it ends with, and what it has written until then."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        out, err = self.process.stdout.read(), self.process.stderr.read()
        return self.process.wait(), out, err


@pytest.fixture
def clones(cloned, tmp_path):
    cloned(tmp_path, "one", "two", "three")
    return tmp_path / "one", tmp_path / "two", tmp_path / "three"


@pytest.fixture
def server(clones, tmp_path):
    return tmp_path / "journal.git"


@pytest.fixture
def serve() -> Iterator[Any]:
    """Starts programs, and leaves none behind."""
    started: list[Serving] = []

    def start(*words: Any, **more: Any) -> Serving:
        started.append(Serving(*words, **more))
        return started[-1]

    yield start
    for serving in started:
        if serving.process.poll() is None:
            serving.process.kill()
        with serving.process:  # waits, and closes the pipes
            pass


def kept(clone):
    return clone / ".git" / "coordjournal" / "leases" / "garden.json"


def status(repo):
    return cj("-C", repo, "lease", "status", "garden", "--json").json


def test_it_appends_what_others_send_until_it_is_told_to_end(clones, server, serve):
    one, two, _ = clones
    serving = serve(one, "--holder", "node-a", "--ttl", "200")
    acquired = serving.event("acquired")
    assert (acquired["space"], acquired["lease"]["holder"], acquired["lease"]["term"]) == ("garden", "node-a", 1)
    for seq, name in enumerate("ab", 2):
        [id] = cj("-C", two, *SET, name, "x", "--json", status=3).json["ids"]
        told = serving.decision()
        assert (told["event"], told["id"], told["seq"], told["actor"]) == ("landed", id, seq, "two")
        assert told["lease"].startswith("node-a/")
    cj("-C", two, "where", "garden", id, "--wait", "60")
    # Commands in the same repository go under the same lease.
    assert cj("-C", one, *SET, "c", "x", "--json").json["way"] == "lease"
    status_, out, err = serving.end()
    assert (status_, out, json.loads(err)["event"]) == (0, "", "released")
    assert (status(server)["state"], status(server)["seq"], kept(one).exists()) == ("released", 5, False)


def test_what_it_tells_people(clones, serve):
    one, two, _ = clones
    serving = serve(one, "--holder", "node-a", as_json=False)
    assert serving.process.stderr.readline().startswith(
        "coordjournal: garden: node-a holds the lease (term 1) since 20"
    )
    cj("-C", two, *SET, "a", "x", status=3)
    assert serving.process.stdout.readline() == "garden@2  two  alias-set: a -> x\n"
    assert serving.end(signal.SIGINT) == (0, "", "coordjournal: released the lease of garden\n")


def test_what_cannot_be_appended_is_let_go(clones, server, serve):
    one, two, _ = clones
    cj("-C", one, "lease", "acquire", "garden")
    [id] = cj("-C", two, *SET, "a", "x" * 1500, "--json", status=3).json["ids"]
    cj("-C", two, *SET, "b", "x", status=3)
    git(server, "config", "coordjournal.maxDecisionBytes", "1000")
    serving = serve(one)
    first, second = serving.decision(), serving.decision()
    assert (first["event"], first["type"], first["payload"]["decision"]) == ("let-go", "intent-refused", id)
    assert first["payload"]["reason"].startswith("too-large")
    assert (second["event"], second["payload"]["alias"]) == ("landed", "b")
    assert serving.end()[0] == 0
    assert cj("-C", two, "where", "garden", id, status=1).out.startswith("refused  too-large")


def test_started_again_after_a_crash_it_takes_up_its_lease(clones, server, serve):
    one, two, _ = clones
    serving = serve(one)
    serving.event("acquired")
    assert serving.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert (status(server)["state"], kept(one).exists()) == ("held", True)
    cj("-C", two, *SET, "a", "x", status=3)
    serving = serve(one, "--ttl", "400")
    assert serving.event("resumed")["lease"]["term"] == 1
    assert (serving.decision()["payload"]["alias"], status(server)["ttl"]) == ("a", 400)
    assert serving.end()[0] == 0


def test_one_process_of_a_repository_serves(clones, serve):
    one, two, _ = clones
    serving = serve(one)
    serving.event("acquired")
    result = cj("-C", one, "lease", "serve", "garden", status=1)
    assert "another process of this repository serves the inbox of 'garden'" in result.err
    assert "lease-held" in cj("-C", two, "lease", "serve", "garden", "--wait", "0", "--poll", "0.01", status=1).err
    assert serving.end()[0] == 0
    serving = serve(one, "--holder", "node-b")
    assert serving.event("acquired")["lease"]["term"] == 2
    assert serving.end(signal.SIGKILL)[0]
    error = cj("-C", one, "lease", "serve", "garden", "--holder", "node-c", "--json", status=1).error
    assert (error["code"], error["holder"]) == ("lease-held", "node-b")


def test_it_waits_for_the_lease(clones, serve):
    one, two, _ = clones
    cj("-C", two, "lease", "acquire", "garden")
    serving = serve(one)
    assert serving.event("waiting")["error"]["holder"] == "two"
    cj("-C", two, "lease", "release", "garden")
    assert serving.event("acquired")["lease"]["term"] == 2
    assert serving.end()[0] == 0


def test_told_to_end_while_it_waits(clones, serve):
    one, two, _ = clones
    cj("-C", two, "lease", "acquire", "garden")
    serving = serve(one)
    serving.event("waiting")
    assert serving.end() == (0, "", "")
    assert status(two)["ours"] is True


def lose(clones):
    """Another takes the lease over, and a third sends something that only its holder can append."""
    one, two, three = clones
    cj("-C", one, "lease", "release", "garden")
    cj("-C", two, "lease", "acquire", "garden")
    cj("-C", three, *SET, "a", "x", status=3)


def test_it_acquires_a_lease_again_that_it_lost(clones, serve):
    one, two, _ = clones
    serving = serve(one)
    serving.event("acquired")
    lose(clones)
    assert serving.event("lost")["error"]["code"] == "lease-lost"
    assert serving.event("waiting")["error"]["holder"] == "two"
    cj("-C", two, "lease", "release", "garden")
    assert serving.event("acquired")["lease"]["term"] == 3
    assert cj("-C", one, "resolve", "garden", "a").out == "x\n"
    assert serving.end()[0] == 0


def test_with_once_a_lost_lease_is_the_end(clones, serve):
    one, two, _ = clones
    serving = serve(one, "--once")
    serving.event("acquired")
    lose(clones)
    serving.event("lost")
    status_, out, err = serving.rest()
    assert (status_, out, json.loads(err)["error"]["code"]) == (1, "", "lease-lost")
    assert status(two)["ours"] is True


def test_it_survives_a_remote_that_is_away(clones, server, serve):
    one, two, _ = clones
    elsewhere = server.with_name("moved.git")
    server.rename(elsewhere)
    serving = serve(one)
    assert serving.event("trouble")["error"]["code"] == "remote-unreachable"
    elsewhere.rename(server)
    assert {serving.event("acquired", "recovered")["event"] for _ in "ab"} == {"acquired", "recovered"}
    server.rename(elsewhere)
    serving.event("trouble")
    elsewhere.rename(server)
    serving.event("recovered")
    cj("-C", two, *SET, "a", "x", status=3)
    assert serving.decision()["payload"]["alias"] == "a"
    server.rename(elsewhere)
    serving.event("trouble")
    status_, _, err = serving.end()
    assert (status_, json.loads(err)["event"]) == (0, "unreleased")
    elsewhere.rename(server)
    assert (status(one)["ours"], status(one)["state"]) == (True, "held")  # for the next start to take up


# -- one step at a time ------------------------------------------------------------------------------------------------


@pytest.fixture
def repo(tmp_path):
    """A bare repository of one's own, whose clock and the program's are one."""
    path = tmp_path / "wiki.git"
    run("git", "init", "--quiet", "--bare", path)
    return path


def test_it_renews_in_good_time(repo, monkeypatch):
    app = App()
    app.directory = str(repo)
    garden = app.journal().space("garden")
    server = Server(app, garden, "node-a", 300, 0.5, None, False)

    now = int(time.time())

    def steps(later):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now + later)
            server._step()
            return garden.state().seq, server._pause()

    assert steps(0) == (0, 0.5)
    assert steps(90) == (0, 0.5)
    assert steps(99.75) == (0, 0.25)
    assert steps(100) == (1, 0.5)
    assert garden.state().landed(1).decision.payload == {"holder": "node-a", "ttl": 300}
    assert steps(199) == (1, 0.5)
    app.close()


def test_what_trying_again_does_not_help_ends_it_and_gives_the_lease_back(repo, monkeypatch):
    def damaged(*_):
        raise GitFailed("an intent is damaged")

    monkeypatch.setattr(HeldLease, "served", damaged)
    result = cj("-C", repo, "lease", "serve", "garden", "--poll", "0", "--json", status=1)
    events = [json.loads(line) for line in result.err.splitlines()]
    assert [told.get("event") for told in events] == ["acquired", "trouble", "released", None]
    assert events[-1]["error"]["message"] == "an intent is damaged"
    assert (status(repo)["state"], status(repo)["ours"]) == ("released", False)


def test_a_signal_finds_the_program_as_it_was(repo, monkeypatch):
    """Where the program goes on after serving, as here, its signals mean again what they meant before."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def told_to_end(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    monkeypatch.setattr(HeldLease, "served", told_to_end)
    assert cj("-C", repo, "lease", "serve", "garden").err.endswith("\ncoordjournal: released the lease of garden\n")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
