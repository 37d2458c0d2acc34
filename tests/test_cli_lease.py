"""``lease acquire``, ``renew``, ``release``, ``status``: a lease that outlives the commands, and what is told of it."""

from __future__ import annotations

import json
import stat
import time
from types import SimpleNamespace

import pytest
from cli_support import cj
from support import git, run

from coordjournal import Journal
from coordjournal.cli import held

SET = ["alias", "set", "garden"]


@pytest.fixture
def repo(tmp_path):
    """A bare repository of one's own, whose clock and the program's are one."""
    path = tmp_path / "wiki.git"
    run("git", "init", "--quiet", "--bare", path)
    git(path, "config", "user.name", "Ada")
    return path


@pytest.fixture
def clones(cloned, tmp_path):
    """Two clones of a server that sequences."""
    cloned(tmp_path, "one", "two")
    return tmp_path / "one", tmp_path / "two"


@pytest.fixture
def later(monkeypatch):
    """Lets time pass."""

    def pass_by(seconds):
        clock = time.time
        monkeypatch.setattr(time, "time", lambda: clock() + seconds)

    return pass_by


DEEP = pytest.param("[" * 100_000, id="too deep")


def kept(repo, space="garden"):
    folder = repo if repo.suffix == ".git" else repo / ".git"
    return folder / "coordjournal" / "leases" / f"{space}.json"


def status(repo):
    return cj("-C", repo, "lease", "status", "garden", "--json").json


def trailers(repo):
    return [line.get("lease") for line in cj("-C", repo, "log", "garden", "--json").lines]


def test_nobody_has_a_lease_at_first(repo):
    assert cj("-C", repo, "lease", "status", "garden").out == "garden: nobody holds the lease, and nobody ever did\n"
    cj("-C", repo, *SET, "Home", "x")
    assert status(repo) == {
        **{"space": "garden", "seq": 0, "state": "none", "holder": None, "term": None, "ttl": None},
        **{"since": None, "until": None, "left": None, "ours": False, "waiting": 0},
    }
    for words in (["renew"], ["release"]):
        error = cj("-C", repo, "lease", *words, "garden", "--json", status=1).error
        assert (error["code"], error["message"]) == (
            "lease-lost",
            "this repository does not hold the lease of 'garden'",
        )


def test_a_lease_goes_on_when_the_command_has_ended(clones):
    one, two = clones
    out = cj("-C", one, "lease", "acquire", "garden", "--holder", "node-a", "--ttl", "200").out
    assert out.startswith("garden: node-a holds the lease (term 1) since 20")
    assert out.endswith(" s left\n  this repository holds it: what is appended here lands under it\n")
    assert stat.S_IMODE(kept(one).stat().st_mode) == 0o600

    told = cj("-C", one, *SET, "Home", "y").out.splitlines()[0]
    assert told.endswith("  under the lease of node-a")
    told = cj("-C", one, *SET, "Home", "z", "--expect", "2", "--json").json
    assert (told["way"], told["landed"]["lease"][:7]) == ("lease", "node-a/")
    assert cj("-C", one, *SET, "Home", "a", "--dry-run").out.splitlines()[0].endswith("  under the lease of node-a")

    queued = cj("-C", two, *SET, "Start", "x", "--json", status=3).json
    assert (queued["state"], queued["place"], len(queued["ids"])) == ("queued", "inbox", 1)
    mine, theirs = status(one), status(two)
    assert (mine["state"], mine["holder"], mine["term"], mine["ttl"]) == ("held", "node-a", 1, 200)
    assert (mine["ours"], theirs["ours"], mine["waiting"]) == (True, False, 1)
    assert 0 < mine["left"] <= 200
    assert "  1 intent waits in the inbox\n" in cj("-C", two, "lease", "status", "garden").out

    out = cj("-C", one, "lease", "release", "garden").out
    assert out.startswith("garden: nobody holds the lease; that of node-a (term 1) was released at 20")
    assert not kept(one).exists()
    cj("-C", two, "sync")  # the server lands what waits
    assert cj("-C", two, "resolve", "garden", "Start").out == "x\n"
    after = status(two)
    assert (after["state"], after["holder"], after["left"]) == ("released", "node-a", None)
    assert (after["since"], after["waiting"]) == (mine["since"], 0)
    assert trailers(two)[-1] == "-; term=1"
    assert cj("-C", one, *SET, "Home", "y", "--json").json["way"] == "sequencer"


def test_others_are_told_who_holds_it(clones):
    one, two = clones
    cj("-C", one, "lease", "acquire", "garden", "--holder", "node-a")
    result = cj("-C", two, "lease", "acquire", "garden", status=1)
    assert result.err.startswith("coordjournal: lease-held: 'node-a' holds the lease of 'garden'\n")
    error = cj("-C", two, "lease", "acquire", "garden", "--json", status=1).error
    assert (error["code"], error["holder"]) == ("lease-held", "node-a")
    assert error["until"][:19] == status(two)["until"][:19]
    assert not kept(two).exists()
    rehearsed = cj("-C", two, *SET, "a", "b", "--dry-run", status=3).out
    assert rehearsed.startswith("would wait in the inbox  alias-set: a -> b\n  'node-a' holds the lease")
    rehearsed = cj("-C", two, *SET, "a", "b", "--dry-run", "--expect", "1", "--json", status=3).json
    assert (rehearsed["dry_run"], rehearsed["place"]) == (True, "outbox")
    words = ["--dry-run", "--expect", "1", "--no-queue", "--json"]
    assert cj("-C", two, *SET, "a", "b", *words, status=1).error["code"] == "lease-held"
    assert cj("-C", two, "outbox", "list", "--json").json["entries"] == []


def test_acquiring_again_renews(repo):
    cj("-C", repo, "lease", "acquire", "garden", "--ttl", "200")
    assert status(repo)["holder"] == "Ada"
    cj("-C", repo, "lease", "acquire", "garden")
    assert (status(repo)["term"], status(repo)["ttl"], status(repo)["seq"]) == (1, 200, 1)
    cj("-C", repo, "lease", "renew", "garden", "--ttl", "400")
    told = cj("-C", repo, "lease", "acquire", "garden", "--holder", "Ada", "--ttl", "300", "--json").json
    assert (told["term"], told["ttl"], told["seq"], told["ours"]) == (1, 300, 3, True)
    error = cj("-C", repo, "lease", "acquire", "garden", "--holder", "Bob", "--json", status=1).error
    assert (error["code"], error["holder"]) == ("lease-held", "Ada")


def test_waiting_until_it_is_released(clones, monkeypatch):
    one, two = clones
    cj("-C", one, "lease", "acquire", "garden", "--holder", "node-a")
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            cj("-C", one, "lease", "release", "garden")

    monkeypatch.setattr("coordjournal.cli.lease.time", SimpleNamespace(**{**vars(time), "sleep": sleep}))
    told = cj("-C", two, "lease", "acquire", "garden", "--wait", "1000", "--json").json
    assert (told["holder"], told["term"], len(pauses)) == ("two", 2, 2)


def test_waiting_in_vain(clones):
    one, two = clones
    cj("-C", one, "lease", "acquire", "garden", "--holder", "node-a")
    assert "lease-held" in cj("-C", two, "lease", "acquire", "garden", "--wait", "0.01", status=1).err
    assert status(two)["seq"] == 1


def test_a_lease_whose_time_has_run_out_is_forgotten(repo, later):
    cj("-C", repo, "lease", "acquire", "garden", "--ttl", "200")
    later(300)
    assert (status(repo)["state"], status(repo)["ours"], status(repo)["left"]) == ("expired", False, None)
    assert "that of Ada (term 1) ended at 20" in cj("-C", repo, "lease", "status", "garden").out
    result = cj("-C", repo, *SET, "Home", "x")
    assert result.err == (
        "coordjournal: note: the lease of 'garden' has ended, or another has taken it over; "
        "this repository holds it no longer\n"
    )
    assert not kept(repo).exists()
    assert trailers(repo)[-1] == "-; term=1"
    assert (status(repo)["state"], status(repo)["holder"]) == ("expired", "Ada")
    cj("-C", repo, "lease", "acquire", "garden")
    assert status(repo)["term"] == 2


@pytest.mark.parametrize("words", [["lease", "renew", "garden"], [*SET, "Home", "x"]], ids=["renew", "append"])
def test_nothing_is_written_in_the_last_skew(repo, later, words):
    cj("-C", repo, "lease", "acquire", "garden", "--ttl", "200")
    later(150)
    result = cj("-C", repo, *words, status=1)
    assert "the lease of 'garden' is gone: it was not renewed in time; this repository holds it no longer" in result.err
    assert (kept(repo).exists(), status(repo)["state"], status(repo)["seq"]) == (False, "held", 0)


def test_releasing_what_is_over_only_forgets_it(repo, later):
    cj("-C", repo, "lease", "acquire", "garden", "--ttl", "200")
    later(300)
    result = cj("-C", repo, "lease", "release", "garden")
    assert "ended at" in result.out
    assert "holds it no longer" in result.err
    assert (kept(repo).exists(), status(repo)["seq"]) == (False, 0)
    assert "does not hold" in cj("-C", repo, "lease", "release", "garden", status=1).err


def test_a_lease_that_is_lost_while_a_command_runs(clones, monkeypatch):
    one, two = clones
    cj("-C", one, "lease", "acquire", "garden")
    resume = held.resume

    def then_lost(app, space):
        """Somebody with the same name of the lease releases it, as soon as it is taken up."""
        monkeypatch.setattr(held, "resume", resume)
        found = resume(app, space)
        kept(two).parent.mkdir(parents=True)
        kept(two).write_bytes(kept(one).read_bytes())
        cj("-C", two, "lease", "release", "garden")
        return found

    monkeypatch.setattr(held, "resume", then_lost)
    result = cj("-C", one, *SET, "Home", "y", status=1)
    assert result.err.startswith("coordjournal: lease-lost: the lease of 'garden' is gone: ")
    assert "-> `coordjournal lease acquire SPACE`" in result.err
    assert not kept(one).exists()
    assert cj("-C", one, *SET, "Home", "y", "--json").json["way"] == "sequencer"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"space": "orchard", "token": "1234", "appender": "a"}', DEEP])
def test_what_is_kept_and_no_lease(repo, content):
    cj("-C", repo, *SET, "Home", "x")
    kept(repo).parent.mkdir(parents=True)
    kept(repo).write_text(content)
    assert status(repo)["ours"] is False
    result = cj("-C", repo, *SET, "Home", "y")
    assert "note: what is kept as the lease of garden cannot be used: " in result.err
    assert not kept(repo).exists()


def test_a_lease_that_cannot_be_kept_is_given_back(repo, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(held, "keep", full)
    result = cj("-C", repo, "lease", "acquire", "garden", status=1)
    assert result.err == "coordjournal: io: No space left on device\n"
    assert status(repo)["state"] == "released"


@pytest.mark.parametrize("holder", ["", " a", "-", "a;b", "<a>", "a\x1bb"])
def test_what_cannot_be_a_holder(repo, holder):
    result = cj("-C", repo, "lease", "acquire", "garden", "--holder", holder, status=2)
    assert "cannot be a holder" in result.err
    assert "\x1b" not in result.err


def test_what_the_server_does_not_grant(clones):
    one, _ = clones
    for ttl in ("60", "86400"):
        error = cj("-C", one, "lease", "acquire", "garden", "--ttl", ttl, "--json", status=1).error
        assert (error["code"], error["place"]) == ("lease", "payload.ttl")
    for option in ("--ttl", "--wait"):
        for value in ("-1", "x", "nan"):
            assert "is not a number" in cj("-C", one, "lease", "acquire", "garden", option, value, status=2).err
    assert not kept(one).exists()


def test_leases_are_not_appended_like_other_decisions(repo):
    for kind in ("lease-acquired", "lease-released"):
        result = cj("-C", repo, "append", "garden", kind, '{"holder": "a", "ttl": 300}', status=2)
        assert "`coordjournal lease` acquires and releases leases" in result.err


def test_an_intent_is_let_go_by_hand(clones):
    one, two = clones
    cj("-C", one, "lease", "acquire", "garden", "--holder", "node-a")
    [id] = cj("-C", two, *SET, "Start", "x", "--json", status=3).json["ids"]
    payload = json.dumps({"decision": id, "reason": "no"})
    cj("-C", one, "append", "garden", "intent-refused", payload)
    assert cj("-C", two, "where", "garden", id, status=1).out == "refused  no\n"
    assert cj("-C", two, "inbox", "list", "garden").out == "nothing waits\n"


def test_where_the_remote_cannot_be_reached(clones, tmp_path):
    one, _ = clones
    cj("-C", one, "lease", "acquire", "garden")
    (tmp_path / "journal.git").rename(tmp_path / "moved.git")
    for words in (["status"], ["renew"], ["release"], ["acquire"]):
        assert "remote-unreachable" in cj("-C", one, "lease", *words, "garden", status=4).err
    assert "remote-unreachable" in cj("-C", one, *SET, "Home", "y", status=4).err
    assert kept(one).exists()
    assert cj("-C", one, "state", "garden").out.splitlines()[1].startswith("lease: one's in term 1, until 20")
    (tmp_path / "moved.git").rename(tmp_path / "journal.git")
    cj("-C", one, "lease", "release", "garden")
    assert not kept(one).exists()


def test_state_and_show_tell_the_lease(repo, later):
    cj("-C", repo, *SET, "Home", "x")
    assert "lease" not in cj("-C", repo, "state", "garden").out
    assert "lease" not in cj("-C", repo, "show", "garden@0").out
    cj("-C", repo, "lease", "acquire", "garden", "--holder", "a\u00df b")
    assert cj("-C", repo, "state", "garden").out.splitlines()[1].startswith("lease: a\u00df b's in term 1, until 20")
    [shown] = [line for line in cj("-C", repo, "show", "garden@1").out.splitlines() if line.startswith("  lease ")]
    assert shown.startswith("  lease     a\u00df b/")
    assert cj("-C", repo, "show", "garden@1", "--json").json["lease"] == shown.removeprefix("  lease     ")
    later(1000)
    assert cj("-C", repo, "state", "garden").out.splitlines()[1].endswith("Z, which is over")
    cj("-C", repo, *SET, "Home", "y")
    assert cj("-C", repo, "state", "garden").out.splitlines()[1] == "lease: nobody's since term 1"
    with Journal.open(repo) as journal:
        assert cj("-C", repo, "state", "garden", "--json").json == journal.space("garden").state().json()
