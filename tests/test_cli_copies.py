"""``clone`` and ``sync``: from a server into a clone, and what a server that went wrong does not do to it."""

from __future__ import annotations

import pytest
from cli_support import cj
from support import git

from coordjournal import AliasSet, Journal


@pytest.fixture
def server(bare):
    path = bare()
    with Journal.open(path, appender="server") as journal:
        journal.space("garden").append(AliasSet("Home", "a"), actor="alice", reason="why")
        journal.space("Obst/1").append(AliasSet("Apfel", "x"), actor="bob")
    return path


def append(server, *names, space="garden"):
    with Journal.open(server, appender="server") as journal:
        room = journal.space(space)
        room.append_many([room.intent(AliasSet(name, "x"), actor="bob") for name in names])


def test_clone_lists_what_came(server, tmp_path):
    out = cj("clone", server, "here", cwd=tmp_path).out.splitlines()
    assert out[0] == "cloned into here"
    assert [line.split("Z  ")[1] for line in out[1:]] == ["Obst/1", "garden"]
    told = cj("clone", server, tmp_path / "there", "--json").json
    assert (told["directory"], told["url"]) == (str(tmp_path / "there"), str(server))
    assert [(row["space"], row["seq"]) for row in told["spaces"]] == [("Obst/1", 0), ("garden", 0)]
    assert cj("-C", tmp_path / "there", "resolve", "garden", "Home").out == "a\n"


def test_clone_of_some_spaces_stays_with_them(server, tmp_path):
    cj("clone", server, tmp_path / "c", "--space", "garden")
    append(server, "b", space="Obst/1")
    assert cj("-C", tmp_path / "c", "sync").out == "nothing is new\n"
    assert [row["space"] for row in cj("-C", tmp_path / "c", "spaces", "--json").json["spaces"]] == ["garden"]


def test_a_clone_that_is_told_later_which_spaces_it_wants(server, tmp_path):
    cj("clone", server, tmp_path / "c")
    git(tmp_path / "c", "config", "coordjournal.space", "garden")
    assert [row["space"] for row in cj("-C", tmp_path / "c", "spaces", "--json").json["spaces"]] == ["garden"]


def test_clone_from_nowhere_leaves_nothing_behind(tmp_path):
    result = cj("clone", tmp_path / "nowhere.git", tmp_path / "c", status=4)
    assert result.err.startswith("coordjournal: remote-unreachable: ")
    assert not (tmp_path / "c").exists()
    error = cj("clone", tmp_path / "nowhere.git", tmp_path / "c", "--json", status=4).error
    assert error["code"] == "remote-unreachable"


def test_clone_into_what_is_there(server, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "file").touch()
    assert "exists and is not empty" in cj("clone", server, tmp_path / "c", status=1).err


def test_an_option_is_no_url(tmp_path):
    marker = tmp_path / "ran"
    assert "is no URL" in cj("clone", "--", f"--upload-pack=touch {marker}", tmp_path / "c", status=2).err
    assert not marker.exists()


def test_sync_tells_the_news(server, tmp_path):
    clone = tmp_path / "c"
    cj("clone", server, clone)
    assert cj("-C", clone, "sync").out == "nothing is new\n"
    assert cj("-C", clone, "sync", "--json").out == ""
    append(server, "Start")
    out = cj("-C", clone, "sync").out.splitlines()
    assert out[0] == "garden: 1 new, Seq 1"
    assert out[1].endswith("Z  bob  alias-set: Start -> x")
    append(server, *[f"n{number}" for number in range(30)])
    append(server, "b", space="Obst/1")
    out = cj("-C", clone, "sync").out
    assert out.startswith("Obst/1: 1 new, Seq 1\n")
    assert "\ngarden: 30 new, Seq 2 to 31\n  ... the last 20 of them:\n  12  " in out
    assert out.count("alias-set") == 21


def test_sync_for_programs(server, tmp_path):
    clone = tmp_path / "c"
    cj("clone", server, clone)
    append(server, "Start", "End")
    assert [(line["space"], line["seq"]) for line in cj("-C", clone, "sync", "--json").lines] == [
        ("garden", 1),
        ("garden", 2),
    ]


def test_where_the_logs_are_there_is_nothing_to_fetch(server):
    assert cj("-C", server, "sync").out == "nothing to fetch: the logs themselves are here\n"


def test_reading_waits_for_what_another_node_has_seen(server, tmp_path):
    clone = tmp_path / "c"
    cj("clone", server, clone)
    append(server, "Start")
    assert cj("-C", clone, "resolve", "garden", "Start", status=1).out == ""
    assert cj("-C", clone, "resolve", "garden", "Start", "--at-least", "1").out == "x\n"


def test_a_server_that_rewound_changes_nothing_here(server, tmp_path):
    clone = tmp_path / "c"
    append(server, "Start")
    cj("clone", server, clone)
    before = git(clone, "for-each-ref")
    git(server, "update-ref", "refs/spaces/garden", git(server, "rev-parse", "refs/spaces/garden~1"))
    result = cj("-C", clone, "sync", status=1)
    assert result.err.startswith("coordjournal: journal-rewound: the log of space 'garden' went backwards")
    error = cj("-C", clone, "sync", "--json", status=1).error
    assert (error["code"], error["space"], len(error["known"])) == ("journal-rewound", "garden", 40)
    assert git(clone, "for-each-ref") == before


def test_a_server_that_holds_what_breaks_the_law(server, tmp_path):
    clone = tmp_path / "c"
    cj("clone", server, clone)
    git(server, "config", "user.email", "x@example.org")
    tip = git(server, "rev-parse", "refs/spaces/garden")
    odd = git(server, "commit-tree", "-m", "odd", "-p", tip, f"{tip}^{{tree}}")
    git(server, "update-ref", "refs/spaces/garden", odd)
    result = cj("-C", clone, "sync", status=1)
    assert result.err.startswith("coordjournal: unlawful-log: bad-commit: ")
    assert f"refs/spaces/garden, commit {odd}" in result.err
    error = cj("-C", clone, "sync", "--json", status=1).error
    assert (error["refusal"]["code"], error["refusal"]["commit"]) == ("bad-commit", odd)


def test_sync_without_a_server(server, tmp_path):
    cj("clone", server, tmp_path / "c")
    server.rename(tmp_path / "moved.git")
    assert cj("-C", tmp_path / "c", "sync", status=4).err.startswith("coordjournal: remote-unreachable: ")
