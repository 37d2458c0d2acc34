"""``rescue``: what it tells, of what a server has lost and got back."""

from __future__ import annotations

import shutil

import pytest
from authority import configure
from cli_support import cj, program
from support import git

from coordjournal import AliasSet, Intent, IntentRefused, Journal, OverlayCreated


def fill(path, *payloads, space="garden", appender="server"):
    with Journal.open(path, appender=appender) as server:
        return [server.space(space).append(payload, actor="alice") for payload in payloads]


@pytest.fixture
def server(bare):
    path = bare()
    fill(path, AliasSet("Home", "a"))
    return path


@pytest.fixture
def clone(server, tmp_path):
    """A clone of a server that was restored from an old backup since."""
    shutil.copytree(server, tmp_path / "backup.git", symlinks=True)
    fill(server, AliasSet("Größe", "b"), OverlayCreated("o", "s:p", None, "body"))
    fill(server, AliasSet("x", "y"), space="Obst/1")
    cj("clone", server, tmp_path / "c")
    shutil.rmtree(server)
    shutil.copytree(tmp_path / "backup.git", server, symlinks=True)
    return tmp_path / "c"


def test_sync_tells_the_way_forward(clone, server):
    git(server, "update-ref", "refs/spaces/Obst", "refs/spaces/garden")  # nothing of its kind helps
    result = cj("-C", clone, "sync", status=1)
    assert "`coordjournal rescue` brings back what the remote has lost" in result.err
    error = cj("-C", clone, "sync", "--json", status=1).error
    assert (error["code"], error["space"], error["found"], error["common"]) == ("journal-rewound", "Obst/1", None, -1)


def test_a_server_that_is_behind(clone, server):
    before = git(clone, "for-each-ref")
    assert cj("-C", clone, "rescue", "--dry-run").out.splitlines() == [
        "Obst/1: the server would get 1 decision as it was, Seq 0; it had no log any more",
        "garden: the server would get 2 decisions as they were, Seq 1 to 2; it was at Seq 0",
    ]
    out = cj("-C", clone, "rescue", "garden").out
    assert out == "garden: the server got 2 decisions as they were, Seq 1 to 2; it was at Seq 0\n"
    [fruit, garden] = cj("-C", clone, "rescue", "--json").lines
    assert (fruit["outcome"], fruit["common"], fruit["pushed"], fruit["theirs"]) == ("pushed", -1, 1, None)
    assert (garden["outcome"], garden["fates"], garden["error"]) == ("same", [], None)
    assert cj("-C", clone, "rescue", "garden").out == "garden: the server has what is here, up to Seq 2\n"
    assert git(clone, "for-each-ref") == before
    fill(server, AliasSet("more", "c"))
    assert cj("-C", clone, "rescue", "garden").out.splitlines() == [
        "garden: the server has all that is here, up to Seq 2, and more",
        "  -> `coordjournal sync` fetches it",
    ]


def test_a_server_whose_log_went_on(clone, server):
    tip = git(clone, "rev-parse", "refs/coordjournal/origin/garden")
    kept = f"refs/coordjournal-rescued/origin/garden/2-{tip[:12]}"
    fill(server, AliasSet("other", "z"))
    assert cj("-C", clone, "rescue", "garden", "--dry-run").out.splitlines() == [
        "garden: the server had lost 2 decisions after Seq 0",
        "  garden@1  would be appended again  alias-set: Größe -> b",
        "  garden@2  would be appended again  overlay-created: o on s:p (4 bytes)",
        f"  the log as it was here would be kept as {kept}",
    ]
    out = cj("-C", clone, "rescue", "garden").out.splitlines()
    assert out == [
        "garden: the server had lost 2 decisions after Seq 0",
        "  garden@1  appended again as garden@2  alias-set: Größe -> b",
        "  garden@2  appended again as garden@3  overlay-created: o on s:p (4 bytes)",
        f"  the log as it was here is kept as {kept}",
    ]
    assert git(clone, "rev-parse", kept) == tip
    assert cj("-C", clone, "rescue").out.splitlines()[1] == "garden: the server has what is here, up to Seq 3"
    assert cj("-C", clone, "sync").out == "nothing is new\n"


def test_what_cannot_be_appended_is_told(clone, server):
    """A conflict, and a decision that is without effect where it lands now."""
    with Journal.open(clone) as journal:
        [lost] = list(journal.space("garden").log(since=1, until=1))
    with Journal.open(server) as journal:
        room = journal.space("garden")
        room.append(AliasSet("Größe", "another"), actor="eve", id=lost.decision.id)
        room.append(OverlayCreated("o", "s:q", None, "another"), actor="eve")
    result = cj("-C", clone, "rescue", "garden", status=1)
    assert result.out.splitlines()[1:4] == [
        "  garden@1  not appended: another decision has the id by now (garden@1)  alias-set: Größe -> b",
        "  garden@2  appended again as garden@3  overlay-created: o on s:p (4 bytes)",
        "    without effect there: it opens an overlay under an overlay_id that was used before",
    ]


def test_who_accepts_has_nothing_to_put_right(clone, server):
    with Journal.open(clone) as journal:
        [lost] = list(journal.space("garden").log(since=1, until=1))
    with Journal.open(server) as journal:
        journal.space("garden").append(AliasSet("Größe", "another"), actor="eve", id=lost.decision.id)
    states = [fate["state"] for fate in cj("-C", clone, "rescue", "garden", "--accept", "--json").json["fates"]]
    assert states == ["conflict", "given-up"]


def test_what_waits_is_told(clone, server):
    with Journal.open(server, appender="node-a") as journal, journal.space("garden").lease("node-a", renew=False):
        lines = cj("-C", clone, "rescue", "garden", status=3).out.splitlines()
        assert lines[1] == "  garden@1  not landed yet  alias-set: Größe -> b"
        assert "its holder lands it" in lines[2]
        last = "  -> the log here is as it was; rescue it again once that is settled, or --accept the server's"
        assert lines[-1] == last
        told = cj("-C", clone, "rescue", "garden", "--json", status=3).json
        assert (told["outcome"], [fate["state"] for fate in told["fates"]]) == ("unfinished", ["waiting"] * 2)
        id = told["fates"][0]["id"]
        journal.space("garden").append(IntentRefused(id, "not today"), actor="node-a")
        out = cj("-C", clone, "rescue", "garden", status=3).out.splitlines()
        assert out[1:3] == ["  garden@1  not appended: it was let go  alias-set: Größe -> b", "    not today"]
    assert cj("-C", clone, "rescue", "garden").out.splitlines()[3] == (
        "  garden@2  appended again as garden@4  overlay-created: o on s:p (4 bytes)"
    )


def test_what_is_refused_is_gone_on_without_by_an_explicit_word(clone, server):
    fill(server, AliasSet("other", "z"))
    [lost, behind] = [fate["id"] for fate in cj("-C", clone, "rescue", "garden", "--dry-run", "--json").json["fates"]]
    configure(server, maxDecisionBytes=300)
    dry = cj("-C", clone, "rescue", "garden", "--dry-run", status=1).out
    out = cj("-C", clone, "rescue", "garden", status=1).out
    assert dry == out
    lines = out.splitlines()
    assert lines[1] == "  garden@1  refused  alias-set: Größe -> b"
    assert lines[2].startswith("    too-large")
    assert lines[3] == "  garden@2  not landed yet  overlay-created: o on s:p (4 bytes)"
    assert lines[4].startswith(f"    behind garden@1 ({lost}), which has not landed: too-large")
    assert lines[5] == (
        "  -> the log here is as it was; rescue it again once that is settled, --skip-refused goes on without what is "
        "refused, or --accept the server's"
    )
    told = cj("-C", clone, "rescue", "garden", "--skip-refused", "--dry-run").out
    assert "  garden@1  would be given up  alias-set: Größe -> b" in told.splitlines()
    [rescued] = cj("-C", clone, "rescue", "garden", "--skip-refused", "--json").lines
    assert (rescued["outcome"], [fate["state"] for fate in rescued["fates"]]) == ("joined", ["given-up"] * 2)
    assert [fate["id"] for fate in rescued["fates"]] == [lost, behind]
    configure(server, maxDecisionBytes=65536)
    for word in ("--skip-refused", "--late"):
        assert "goes with neither" in cj("-C", clone, "rescue", "--accept", word, status=2).err


def test_what_comes_behind_a_later_one_is_appended_by_an_explicit_word(clone, server):
    with Journal.open(clone) as journal:
        [lost] = list(journal.space("garden").log(since=2))
    with Journal.open(server, appender="author") as journal:
        files = {"body": b"body"}
        journal.space("garden").append_many([Intent(lost.decision, files)])
    lines = cj("-C", clone, "rescue", "garden", status=1).out.splitlines()
    assert lines[1:3] == [
        "  garden@1  refused  alias-set: Größe -> b",
        f"    garden@2 ({lost.decision.id}) is in the server's log already, as Seq 1: this one, which was before it, "
        "would come behind it now. `coordjournal rescue --late` appends it all the same, `coordjournal rescue "
        "--skip-refused` gives it up",
    ]
    lines = cj("-C", clone, "rescue", "garden", "--late").out.splitlines()
    assert lines[1:3] == [
        "  garden@1  appended again as garden@2  alias-set: Größe -> b",
        "  garden@2  there again already as garden@1  overlay-created: o on s:p (4 bytes)",
    ]


def test_a_rehearsal_sees_the_lease_and_accepting_sees_the_inbox(clone, server):
    with Journal.open(server, appender="node-a") as journal, journal.space("garden").lease("node-a", renew=False):
        dry = cj("-C", clone, "rescue", "garden", "--dry-run", status=3).out
        assert dry == cj("-C", clone, "rescue", "garden", status=3).out
        lines = cj("-C", clone, "rescue", "garden", "--accept").out.splitlines()
        assert lines[1:3] == [
            "  garden@1  not landed yet  alias-set: Größe -> b",
            "    it waits in the server's inbox, and may land from there",
        ]
    cj("-C", clone, "rescue", "Obst/1")
    cj("-C", clone, "alias", "set", "garden", "other", "z", "--actor", "alice")
    assert "alias-set: Größe -> b" in cj("-C", clone, "log", "garden").out


def test_giving_up(clone, server):
    fill(server, *(AliasSet(f"n{number}", "z") for number in range(3)))
    before = git(clone, "for-each-ref")
    dry = cj("-C", clone, "rescue", "--accept", "--dry-run").out
    assert git(clone, "for-each-ref") == before
    out = cj("-C", clone, "rescue", "--accept").out
    assert dry == out.replace(" given up ", " would be given up ").replace(" is kept as", " would be kept as")
    lines = out.splitlines()
    assert lines[:2] == [
        "Obst/1: the server had lost 1 decision, with the whole log",
        "  Obst/1@0  given up  alias-set: x -> y",
    ]
    assert "  garden@1  given up  alias-set: Größe -> b" in lines
    assert [row["space"] for row in cj("-C", clone, "spaces", "--json").json["spaces"]] == ["garden"]
    assert cj("-C", clone, "sync").out == "nothing is new\n"


def test_a_long_list_is_cut(server, tmp_path):
    clone = tmp_path / "c"
    with Journal.open(server) as journal:
        room = journal.space("garden")
        room.append_many([room.intent(AliasSet(f"n{number}", "z"), actor="bob") for number in range(30)])
    cj("clone", server, clone)
    git(server, "update-ref", "refs/spaces/garden", git(server, "rev-parse", "refs/spaces/garden~30"))
    lines = cj("-C", clone, "rescue", "--accept").out.splitlines()
    assert lines[0] == "garden: the server had lost 30 decisions after Seq 0"
    assert len(lines) == 1 + 20 + 1 + 1
    assert lines[21] == "  ... 10 more given up"


def test_what_is_in_the_way(clone, server, tmp_path):
    configure(server, readOnly="true", primary="ssh://elsewhere/wiki.git")
    result = cj("-C", clone, "rescue", status=1)
    assert result.err.startswith("coordjournal: read-only: this repository takes no decisions")
    assert "append at ssh://elsewhere/wiki.git" in result.err
    assert "run `coordjournal rescue` in a clone" in cj("-C", server, "rescue", status=1).err
    assert cj("-C", clone, "rescue", "nowhere", status=1).err.startswith("coordjournal: unknown-space: ")
    git(server, "update-ref", "-d", "refs/meta/coordjournal")
    assert "Run `coordjournal install REPO` on the server" in cj("-C", clone, "rescue", status=1).err
    server.rename(tmp_path / "moved.git")
    assert cj("-C", clone, "rescue", status=4).err.startswith("coordjournal: remote-unreachable: ")


def test_what_was_done_before_an_error_is_told(clone, server):
    """One space has a log that breaks the law; the other is rescued."""
    git(server, "config", "user.email", "x@example.org")
    tip = git(server, "rev-parse", "refs/spaces/garden")
    odd = git(server, "commit-tree", "-m", "odd", "-p", tip, f"{tip}^{{tree}}")
    git(server, "update-ref", "refs/spaces/garden", odd)
    done = program("-C", clone, "rescue", env={"LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (1, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "Obst/1: the server got 1 decision as it was, Seq 0; it had no log any more"
    assert lines[1] == "garden: not rescued; the last that both have is Seq 0"
    assert lines[2].startswith("  unlawful-log: bad-commit")
    [_, garden] = cj("-C", clone, "rescue", "--json", status=1).lines
    assert (garden["outcome"], garden["error"]["refusal"]["code"]) == ("unfinished", "bad-commit")
