"""What has no place in the log yet: ``inbox``, ``outbox``, ``where``, and what ``sync`` sends."""

from __future__ import annotations

import json

import pytest
from cli_support import cj
from support import git

from coordjournal import Journal

SET = ["alias", "set", "garden"]
ID = "01930000-0000-7000-8000-000000000001"


@pytest.fixture
def clones(cloned, tmp_path):
    """Two clones of the server, of one and of two."""
    cloned(tmp_path, "one", "two")
    return tmp_path / "one", tmp_path / "two"


@pytest.fixture
def server(clones, tmp_path):
    return tmp_path / "journal.git"


@pytest.fixture
def offline(server):
    """Takes the server away, and brings it back."""
    elsewhere = server.with_name("moved.git")

    def switch():
        if server.exists():
            server.rename(elsewhere)
        else:
            elsewhere.rename(server)

    return switch


def entries(clone):
    return cj("-C", clone, "outbox", "--json").json["entries"]


def queued(clone, *words):
    """The id of a decision that is queued, and where."""
    told = cj("-C", clone, *words, "--json", status=3).json
    [id] = told["ids"]
    return id, told["place"]


# -- the outbox --------------------------------------------------------------------------------------------------------


def test_what_is_decided_offline_waits_and_is_sent_by_sync(clones, offline):
    one, _ = clones
    offline()
    result = cj("-C", one, *SET, "Start", "y", "-m", "why", status=3)
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[0] == "waits in the outbox  alias-set: Start -> y"
    assert " in the outbox: cannot " in lines[1]
    assert lines[2:] == [
        "  -> `coordjournal sync` sends it, and so does the next command that appends to this space",
        f"  -> `coordjournal where garden {lines[1].split()[0]}` tells where it is",
    ]
    id, place = queued(one, *SET, "End", "z")
    assert place == "outbox"
    assert cj("-C", one, "outbox").out == (
        "1  waiting   garden  alias-set: Start -> y\n2  waiting   garden  alias-set: End -> z\n"
    )
    shown = cj("-C", one, "outbox", "show", "1").out
    assert shown.startswith(
        "1  waiting   garden  alias-set: Start -> y\n  -> `coordjournal sync` sends it\ngarden  alias-set: Start -> y\n"
    )
    assert "\n  reason    why\n" in shown
    assert cj("-C", one, "outbox", "show", "2", "--json").json == entries(one)[1]
    where = cj("-C", one, "where", "garden", id, status=3)
    assert where.out == "queued  in the outbox of this clone: `coordjournal sync` sends it\n"
    assert "this is what is known here" in where.err
    assert "remote-unreachable" in cj("-C", one, "sync", status=4).err
    offline()
    out = cj("-C", one, "sync").out.splitlines()
    assert [line for line in out if not line.startswith(" ")] == [
        "1  landed    garden  alias-set: Start -> y",
        "2  landed    garden  alias-set: End -> z",
    ]
    assert [line.split()[0] for line in out if line.startswith(" ")] == ["garden@1", "garden@2"]
    assert entries(one) == []
    assert cj("-C", one, "where", "garden", id).out.startswith("landed  garden@2  alias-set: End -> z  ")
    assert cj("-C", one, "sync").out == "nothing is new\n"


def test_sync_for_programs_tells_news_and_what_was_sent(clones, offline):
    one, two = clones
    offline()
    id, _ = queued(one, *SET, "Start", "y")
    offline()
    cj("-C", two, *SET, "a", "b")
    news, sent = cj("-C", one, "sync", "--json").lines
    assert (news["seq"], news["payload"]["alias"]) == (1, "a")
    assert set(sent) == {"outbox", "space", "state", "ids", "landed", "error"}
    assert (sent["outbox"], sent["space"], sent["state"], sent["ids"], sent["error"]) == (
        *(1, "garden", "landed"),
        *([id], None),
    )
    assert [landed["seq"] for landed in sent["landed"]] == [2]


def test_the_next_command_sends_what_waits_before_its_own(clones, offline):
    one, _ = clones
    offline()
    queued(one, *SET, "Start", "y")
    offline()
    assert cj("-C", one, *SET, "End", "z", "--json").json["landed"]["seq"] == 2


def test_no_queue(clones, offline):
    one, _ = clones
    offline()
    error = cj("-C", one, *SET, "Start", "y", "--no-queue", "--json", status=4).error
    assert (error["code"], len(error["ids"])) == ("remote-unreachable", 1)
    assert entries(one) == []


def test_what_cannot_land_any_more_is_kept_until_it_is_given_up(clones, offline):
    one, two = clones
    offline()
    id, _ = queued(one, *SET, "Start", "y", "--expect", "0")
    offline()
    cj("-C", two, *SET, "a", "b")
    out = cj("-C", one, "sync", status=1).out.splitlines()
    assert out[-2:] == [
        "1  rejected  garden  alias-set: Start -> y",
        "    expected garden to be at Seq 0, it is at 1",
    ]
    assert cj("-C", one, "sync").out == "nothing is new\n"  # it was told once, and stays
    assert cj("-C", one, "outbox", "list").out == (
        "1  rejected  garden  alias-set: Start -> y\n     expected garden to be at Seq 0, it is at 1\n"
    )
    shown = cj("-C", one, "outbox", "show", "1").out
    assert "\n  precondition-failed: expected garden to be at Seq 0, it is at 1\n" in shown
    assert "\n  only if the last Seq is 0\n" in shown
    where = cj("-C", one, "where", "garden", id, status=1).out
    assert where == "refused  expected garden to be at Seq 0, it is at 1; it is kept in the outbox\n"

    assert cj("-C", one, "outbox", "retry", "1", "--json").json["entry"]["state"] == "waiting"
    assert cj("-C", one, "outbox", "retry", "1").out == "1 waits already: `coordjournal sync` sends it\n"
    assert cj("-C", one, "sync", "--json", status=1).json["error"]["code"] == "precondition-failed"

    result = cj("-C", one, "outbox", "drop", "1", status=1)
    assert result.out == shown
    assert "nothing was dropped; --yes drops the entry 1" in result.err
    assert cj("-C", one, "outbox", "drop", "1", "--json", status=1).out == ""
    assert len(entries(one)) == 1
    assert cj("-C", one, "outbox", "drop", "1", "--yes").out == f"dropped 1: {id} alias-set: Start -> y\n"
    assert entries(one) == []
    assert cj("-C", one, "where", "garden", id, status=1).out.startswith("unknown  ")


def test_a_retry_lands_once_nothing_is_in_its_way(clones, offline):
    one, two = clones
    offline()
    queued(one, *SET, "Start", "y")
    queued(one, "alias", "clear", "garden", "Home")
    offline()
    cj("-C", two, "alias", "clear", "garden", "Home")
    landed, rejected = cj("-C", one, "sync", "--json", status=1).lines[-2:]
    assert (landed["state"], rejected["state"], rejected["error"]["code"]) == ("landed", "rejected", "would-be-void")
    cj("-C", two, *SET, "Home", "z")
    assert cj("-C", one, "outbox", "retry", "2").out == "2 waits: `coordjournal sync` sends it\n"
    assert cj("-C", one, "sync", "--json").lines[-1]["state"] == "landed"
    assert cj("-C", two, "resolve", "garden", "Home", "--at-least", "4", status=1).out == ""


def test_a_command_tells_what_it_could_not_send_of_what_waited(clones, offline):
    one, two = clones
    offline()
    queued(one, *SET, "Start", "y", "--expect", "0")
    offline()
    cj("-C", two, *SET, "a", "b")
    result = cj("-C", one, *SET, "End", "z")
    assert result.err == (
        "coordjournal: note: what waited in the outbox as 1 was rejected: expected garden to be at Seq 0, it is at 1\n"
    )


def test_a_text_that_was_rejected_is_not_lost(clones, offline):
    one, two = clones
    offline()
    queued(one, "overlay", "create", "garden", "o", "p", "--text", "mine\n")
    offline()
    cj("-C", two, "overlay", "create", "garden", "o", "q", "--text", "theirs\n")
    cj("-C", one, "sync", status=1)
    assert cj("-C", one, "outbox", "show", "1", "--body").out == "mine\n"
    offline()
    queued(one, *SET, "a", "b")
    assert "has no attachment 'body'" in cj("-C", one, "outbox", "show", "2", "--body", status=1).err


def test_what_is_damaged_is_told_and_stops_nothing(clones, offline):
    one, _ = clones
    offline()
    for name in "ab":
        queued(one, *SET, name, "x")
    path = one / ".git" / "coordjournal" / "outbox" / f"{1:016}.entry"
    path.write_bytes(path.read_bytes()[:-3])
    result = cj("-C", one, "outbox")
    assert result.out == "2  waiting   garden  alias-set: b -> x\n"
    assert result.err.startswith(f"coordjournal: note: {path} is damaged, and never sent: ")
    told = cj("-C", one, "outbox", "--json").json
    assert ([entry["number"] for entry in told["entries"]], told["damaged"][0]["path"]) == ([2], str(path))
    for words in (["show", "1"], ["retry", "1"]):
        assert "coordjournal: git-failed: " in cj("-C", one, "outbox", *words, status=1).err
    assert "--yes sets it aside" in cj("-C", one, "outbox", "drop", "1", status=1).err
    offline()
    assert "2  landed  " in cj("-C", one, "sync").out


def test_entries_that_are_not_there(clones, server):
    one, _ = clones
    assert cj("-C", one, "outbox").out == "nothing waits\n"
    for number in ("1", "x", "-", "\x1b"):
        result = cj("-C", one, "outbox", "show", number, status=1)
        assert "there is no entry" in result.err
        assert "\x1b" not in result.err
    assert cj("-C", server, "outbox").out == "there is no outbox: the logs themselves are here\n"
    assert cj("-C", server, "outbox", "--json").json == {"entries": [], "damaged": []}
    assert "there is no outbox" in cj("-C", server, "outbox", "drop", "1", "--yes", status=1).err


def test_an_entry_that_has_left_while_somebody_else_sent_it(clones, offline, monkeypatch):
    one, _ = clones
    offline()
    queued(one, *SET, "a", "b")
    with Journal.open(one) as journal:
        outbox = journal.outbox
        assert outbox is not None
        with outbox.sending("garden"):
            monkeypatch.setattr("coordjournal.cli.outbox._PATIENCE", 0.01)
            assert "contention" in cj("-C", one, "outbox", "drop", "1", "--yes", status=1).err
        kind = type(outbox)
        sending = kind.sending

        def sent_meanwhile(box, space, **more):
            [entry] = box.entries()
            box.done(entry)
            return sending(box, space, **more)

        monkeypatch.setattr(kind, "sending", sent_meanwhile)
        assert "has left the outbox meanwhile" in cj("-C", one, "outbox", "drop", "1", "--yes", status=1).err


# -- the inbox ---------------------------------------------------------------------------------------------------------


def test_what_waits_for_the_holder_of_the_lease(clones, server):
    one, two = clones
    cj("-C", one, "lease", "acquire", "garden", "--holder", "node-a")
    id, place = queued(two, *SET, "Start", "y", "-m", "two\nlines")
    assert place == "inbox"
    other, _ = queued(two, "overlay", "create", "garden", "o", "p", "--text", "text\n")
    result = cj("-C", two, *SET, "End", "z", status=3).out.splitlines()
    assert result[0] == "waits in the inbox  alias-set: End -> z"
    assert result[-1].startswith("  -> `coordjournal where garden ")

    for repository in (one, two, server):
        first, second, third = cj("-C", repository, "inbox", "garden").out.splitlines()
        assert first.split("  ")[1:] == [id, "two", "alias-set: Start -> y"]
        assert (second.split("  ")[1], third.endswith("  two  alias-set: End -> z")) == (other, True)
        waiting = cj("-C", repository, "inbox", "list", "garden", "--json").json["waiting"]
        assert [item["id"] for item in waiting][:2] == [id, other]
        assert waiting[0]["arrived"][:19].replace("T", " ") + "Z" == first.split("  ")[0]
        assert (waiting[0]["decision"]["reason"], waiting[0]["fault"]) == ("two\nlines", None)
        shown = cj("-C", repository, "inbox", "show", "garden", id).out
        assert shown.startswith("garden  alias-set: Start -> y\n")
        for line in (f"id        {id}", "reason    two", "          lines", f"arrived   {first.split('  ')[0]}"):
            assert f"\n  {line}\n" in shown
        assert cj("-C", repository, "inbox", "show", "garden", id, "--json").json == waiting[0]
        assert cj("-C", repository, "inbox", "show", "garden", other, "--body").out == "text\n"
        assert "has no attachment 'body'" in cj("-C", repository, "inbox", "show", "garden", id, "--body", status=1).err
    assert [entry["state"] for entry in entries(two)] == ["filed"] * 3
    sent = cj("-C", two, "sync", "--json", status=3).lines
    assert [line["state"] for line in sent if "outbox" in line] == ["filed"] * 3
    assert "    it waits on the server for the holder of the lease\n" in cj("-C", two, "sync", status=3).out
    assert "is not rejected" in cj("-C", two, "outbox", "retry", "1", status=1).err
    number = entries(two)[2]["number"]
    assert "it is on the server" in cj("-C", two, "outbox", "drop", str(number), "--yes").err
    assert cj("-C", two, "where", "garden", id[:30], status=3).out.startswith("queued  in the inbox of the server: ")

    cj("-C", one, "lease", "release", "garden")
    landed = cj("-C", two, "where", "garden", id, "--wait", "60", "--json").json
    assert (landed["id"], landed["state"], landed["reason"]) == (id, "landed", None)
    assert cj("-C", server, "inbox", "garden").out == "nothing waits\n"


def test_names_in_the_inbox(clones, server):
    one, two = clones
    cj("-C", one, "lease", "acquire", "garden")
    payload = json.dumps({"alias": "a", "target": "b"})
    for number in (1, 2):
        queued(two, "append", "garden", "alias-set", payload, "--id", f"{ID[:-1]}{number}")
    shown = cj("-C", server, "inbox", "show", "garden", ID, "--json").json
    assert shown["id"] == ID
    assert "more than one intent" in cj("-C", server, "inbox", "show", "garden", ID[:-1], status=1).err
    for name in ("", "019", "02930000", "\x1b"):
        result = cj("-C", server, "inbox", "show", "garden", name, status=1)
        assert "no intent in the inbox of 'garden' answers to" in result.err
    assert cj("-C", server, "inbox", "orchard").out == "nothing waits\n"
    assert "Missing argument 'SPACE'" in cj("-C", server, "inbox", status=2).err


def test_an_intent_that_is_damaged(clones, server):
    one, two = clones
    cj("-C", one, "lease", "acquire", "garden")
    id, _ = queued(two, *SET, "a", "b")
    blob = git(server, "hash-object", "-w", "-t", "commit", "--literally", "--stdin", stdin=b"tree none\n\nx")
    ref = f"refs/intents/garden/{1:016}-{ID}"
    git(server, "update-ref", ref, git(server, "rev-parse", "refs/spaces/garden"))
    (server / ref).write_text(f"{blob}\n")
    bad, good = cj("-C", server, "inbox", "garden").out.splitlines()
    assert bad.startswith(f"1970-01-01 00:00:00Z  {ID}  the intent {blob} cannot be read: ")
    assert good.endswith("  two  alias-set: a -> b")
    bad, good = cj("-C", server, "inbox", "garden", "--json").json["waiting"]
    assert (bad["decision"], good["id"], good["fault"]) == (None, id, None)
    assert "cannot be read" in bad["fault"]
    assert "git-failed" in cj("-C", server, "inbox", "show", "garden", ID, status=1).err


# -- where -------------------------------------------------------------------------------------------------------------


def test_where_of_what_was_never_sent(clones):
    one, _ = clones
    for words in ([ID], [ID[:12]], ["x"], [ID, "--wait", "0"]):
        told = cj("-C", one, "where", "garden", *words, "--json", status=1).json
        assert (told["state"], told["id"]) == ("unknown", words[0])
    assert cj("-C", one, "where", "garden", ID, status=1).out == (
        "unknown  it has not landed, and waits neither here nor on the server\n"
    )


def test_where_of_what_landed_elsewhere(clones):
    one, two = clones
    id = cj("-C", two, *SET, "a", "b", "--json").json["landed"]["id"]
    told = cj("-C", one, "where", "garden", id[:-1], "--json").json
    assert (told["space"], told["id"], told["state"], told["seq"]) == ("garden", id, "landed", 1)


def test_waiting_in_vain(clones):
    one, two = clones
    cj("-C", one, "lease", "acquire", "garden")
    id, _ = queued(two, *SET, "a", "b")
    told = cj("-C", two, "where", "garden", id, "--wait", "0", "--json", status=3).json
    assert (told["state"], told["place"]) == ("queued", "inbox")


def test_waiting_sends_what_waits_here(clones, offline):
    one, _ = clones
    offline()
    id, _ = queued(one, *SET, "a", "b")
    assert "remote-unreachable" in cj("-C", one, "where", "garden", id, "--wait", "9", status=4).err
    offline()
    assert cj("-C", one, "where", "garden", id, "--wait", "9").out.startswith("landed  garden@1  ")
    assert entries(one) == []


def test_where_the_server_does_not_sequence(bare, tmp_path):
    """Without a sequencer there is no inbox: what another's lease keeps out waits in the outbox."""
    server = bare("plain.git", sequencing=False)
    for name in ("one", "two"):
        cj("clone", server, tmp_path / name)
    one, two = tmp_path / "one", tmp_path / "two"
    assert cj("-C", one, *SET, "a", "b", "--json").json["way"] == "compare-and-swap"
    cj("-C", one, "lease", "acquire", "garden", "--holder", "node-a")
    assert cj("-C", one, *SET, "c", "d", "--json").json["way"] == "lease"
    id, place = queued(two, *SET, "e", "f")
    assert place == "outbox"
    assert cj("-C", two, *SET, "e", "f", "--dry-run", "--json", status=3).json["place"] == "outbox"
    sent = cj("-C", two, "sync", "--json", status=3).lines[-1]
    assert (sent["state"], sent["error"]["code"]) == ("waiting", "lease-held")
    assert "    lease-held at trailer Lease: 'node-a' holds the lease" in cj("-C", two, "sync", status=3).out
    cj("-C", one, "lease", "release", "garden")
    assert cj("-C", two, "sync", "--json").lines[-1]["state"] == "landed"
    assert cj("-C", two, "where", "garden", id).out.startswith("landed  ")


def test_what_waits_lands_under_the_lease_that_is_held_by_then(clones, offline):
    one, two = clones
    offline()
    queued(one, *SET, "a", "b")
    offline()
    cj("-C", one, "lease", "acquire", "garden", "--holder", "node-a")
    cj("-C", two, "sync")
    [sent] = [line for line in cj("-C", one, "sync", "--json").lines if "outbox" in line]
    assert sent["landed"][0]["lease"].startswith("node-a/")
