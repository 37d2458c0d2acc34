"""``verify`` and ``check``: the law, asked about what is there and about what is to come."""

from __future__ import annotations

import pytest
from cli_support import cj
from support import decide, git, push, run

from coordjournal import AliasSet, Journal, OverlayCreated


@pytest.fixture
def server(bare):
    path = bare()
    with Journal.open(path, appender="server") as journal:
        garden = journal.space("garden")
        garden.append(AliasSet("Home", "a"), actor="alice")
        garden.append(OverlayCreated("o", "a", None, "text"), actor="alice")
        journal.space("Obst/1").append(AliasSet("Apfel", "x"), actor="bob")
    return path


@pytest.fixture
def clone(server, tmp_path):
    cj("clone", server, tmp_path / "clone")
    return tmp_path / "clone"


def tip(repo, ref="refs/coordjournal/origin/garden"):
    return git(repo, "rev-parse", ref)


# -- verify ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["server", "clone"])
def test_a_lawful_repository(server, clone, where):
    repo = server if where == "server" else clone
    assert cj("verify", repo).out == "lawful  Obst/1: 1 decision\nlawful  garden: 2 decisions\n"
    assert cj("verify", repo, "garden").out == "lawful  garden: 2 decisions\n"
    told = cj("verify", repo, "--json").json
    assert (told["lawful"], len(told["spaces"])) == (True, 2)
    prefix = "refs/spaces" if where == "server" else "refs/coordjournal/origin"
    assert told["spaces"][1] == {
        "ref": f"{prefix}/garden",
        "space": "garden",
        "tip": tip(repo, f"{prefix}/garden"),
        "lawful": True,
        "decisions": 2,
        "break": None,
    }


def test_the_first_break_of_each_log(server):
    old = tip(server, "refs/spaces/garden")
    # decide() goes on from its parent as it is told; the Seq is wrong, and so is what follows.
    wrong = decide(server, parent=old, seq=7)
    git(server, "update-ref", "refs/spaces/garden", decide(server, parent=wrong, seq=9))
    git(server, "update-ref", "refs/spaces/UPPER", old)
    result = cj("verify", server, status=1)
    lines = result.out.splitlines()
    assert lines[0] == "lawful  Obst/1: 1 decision"
    assert lines[1].startswith(f"broken  refs/spaces/UPPER: refs/spaces/UPPER commit {old}: bad-ref: ")
    assert lines[2] == (
        f"broken  garden: refs/spaces/garden Seq 2 commit {wrong}: seq at trailer Seq: "
        "the commit has Seq 7, due is Seq 2"
    )
    told = cj("verify", server, "garden", "--json", status=1).json
    assert (told["lawful"], told["spaces"][0]["break"]["code"], told["spaces"][0]["space"]) == (False, "seq", "garden")
    assert set(told["spaces"][0]["break"]) == {"code", "message", "place", "remedy", "ref", "commit", "seq"}


def test_nothing_to_verify(server, tmp_path):
    assert "unknown-space" in cj("verify", server, "nowhere", status=1).err
    assert "not-a-journal" in cj("verify", tmp_path / "nowhere", status=1).err
    run("git", "init", "--quiet", "--bare", tmp_path / "e.git")
    assert cj("verify", tmp_path / "e.git").out == "there is no log here\n"
    assert cj("verify", tmp_path / "e.git", "--json").json == {"lawful": True, "spaces": []}


def test_a_repository_that_lacks_objects_cannot_be_verified(server):
    oid = git(server, "rev-parse", "refs/spaces/garden~1")
    found = server / "objects" / oid[:2] / oid[2:]
    found.unlink()
    out = cj("verify", server, status=1).out
    assert f"unreadable: the object {oid} is missing" in out


# -- check -------------------------------------------------------------------------------------------------------------


def test_a_commit_that_can_land(server, clone):
    oid = decide(clone, parent=tip(clone), seq=2)
    out = cj("-C", clone, "check", oid).out
    assert out == f"ok  garden@2 can land\n    git push origin {oid}:refs/spaces/garden\n"
    assert cj("-C", clone, "check", oid[:10], "--json").json == {
        "ok": True,
        "commit": oid,
        "space": "garden",
        "ref": "refs/spaces/garden",
        "seq": 2,
        "landed": False,
        "judged": 1,
    }
    assert push(clone, server, f"{oid}:refs/spaces/garden").returncode == 0  # and so it does


def test_a_chain_that_can_land(clone):
    first = decide(clone, parent=tip(clone), seq=2)
    second = decide(clone, parent=first, seq=3)
    assert cj("-C", clone, "check", second).out.startswith("ok  garden@3 can land with 1 before it\n")


def test_a_new_space(clone):
    oid = decide(clone, space="Neu/1")
    assert "git push origin" in (out := cj("-C", clone, "check", oid).out)
    assert out.endswith(f"{oid}:refs/spaces/%4Eeu%2F1\n")


def test_a_commit_that_has_landed(server, clone):
    for repo, name in ((clone, "refs/coordjournal/origin/garden~1"), (server, "refs/spaces/garden~1")):
        assert cj("-C", repo, "check", name).out == "ok  garden@0 is lawful, and in the log already\n"
    assert cj("-C", clone, "check", tip(clone), "--json").json["landed"] is True


def test_check_refuses_as_the_hook_does(server, clone):
    broken = decide(clone, parent=tip(clone), seq=7)
    result = cj("-C", clone, "check", broken, status=1)
    assert result.err == (
        "coordjournal: seq: the commit has Seq 7, due is Seq 2\n"
        f"  at trailer Seq, refs/spaces/garden, commit {broken}, Seq 2\n"
        "  -> stamp it anew onto the tip\n"
    )
    said = push(clone, server, f"{broken}:refs/spaces/garden").stderr
    assert "seq at trailer Seq: the commit has Seq 7, due is Seq 2" in said
    error = cj("-C", clone, "check", broken, "--json", status=1).error
    assert (error["code"], error["commit"], error["seq"], error["ref"]) == ("seq", broken, 2, "refs/spaces/garden")


def test_the_first_break_of_a_chain_is_told(clone):
    first = decide(clone, parent=tip(clone), seq=7)
    error = cj("-C", clone, "check", decide(clone, parent=first, seq=8), "--json", status=1).error
    assert (error["code"], error["commit"]) == ("seq", first)


@pytest.mark.parametrize(
    ("made", "options", "code"),
    [
        (lambda clone: decide(clone, parent=git(clone, "rev-parse", f"{tip(clone)}~1"), seq=1), [], "not-fast-forward"),
        (lambda clone: decide(clone, seq=0), [], "not-fast-forward"),
        (lambda clone: decide(clone, space="orchard"), ["--space", "garden"], "not-fast-forward"),
        (lambda clone: decide(clone, parent=tip(clone), seq=2, space="orchard"), ["--space", "garden"], "wrong-space"),
        (lambda clone: decide(clone, parent=tip(clone), seq=2, target="x" * 70_000), [], "schema"),
        (lambda clone: git(clone, "commit-tree", "-m", "odd", f"{tip(clone)}^{{tree}}"), [], "bad-commit"),
        (
            lambda clone: git(clone, "commit-tree", "-m", "x", f"{tip(clone)}^{{tree}}"),
            ["--space", "new"],
            "bad-commit",
        ),
    ],
)
def test_codes(clone, made, options, code):
    oid = made(clone)
    error = cj("-C", clone, "check", oid, *options, "--json", status=1).error
    assert (error["code"], error["commit"]) == (code, oid)


def test_the_limits_that_the_server_told(server, clone):
    oid = decide(clone, parent=tip(clone), seq=2)
    git(server, "config", "coordjournal.maxDecisionBytes", "100")
    cj("install", server)  # publishes the settings
    cj("-C", clone, "check", oid)
    cj("-C", clone, "sync")
    error = cj("-C", clone, "check", oid, "--json", status=1).error
    assert (error["code"], error["commit"]) == ("too-large", oid)
    cj("-C", clone, "check", tip(clone))  # no setting condemns what has landed


def test_a_closed_repository(server):
    git(server, "config", "coordjournal.readOnly", "true")
    oid = decide(server, parent=tip(server, "refs/spaces/garden"), seq=2)
    assert cj("-C", server, "check", oid, "--json", status=1).error["code"] == "read-only"


def test_without_a_log_the_whole_history_is_judged(server, tmp_path):
    """Somebody who works with plain git alone."""
    run("git", "clone", "--quiet", server, tmp_path / "plain")
    git(tmp_path / "plain", "fetch", "--quiet", "origin", "refs/spaces/garden")
    oid = decide(tmp_path / "plain", parent=tip(server, "refs/spaces/garden"), seq=2)
    assert cj("-C", tmp_path / "plain", "check", oid).out.startswith("ok  garden@2 can land with 2 before it\n")


def test_what_is_no_commit(clone):
    blob = git(clone, "hash-object", "-w", "--stdin", stdin=b"x")
    for name in (blob, "nonsense", "a\nb", ""):
        result = cj("-C", clone, "check", name, status=1)
        assert "is no commit of this repository" in result.err
