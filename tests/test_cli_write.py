"""The commands that append: what lands, what they say was and is now, and what they refuse."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from cli_support import cj
from support import git, run

from coordjournal import AliasSet, Journal, timestamp

ID = "01930000-0000-7000-8000-000000000001"
AT = "2026-11-22T10:00:00.000000Z"


@pytest.fixture
def repo(tmp_path):
    """A bare repository of one's own; its administrator is called Ada."""
    path = tmp_path / "wiki.git"
    run("git", "init", "--quiet", "--bare", path)
    git(path, "config", "user.name", "Ada")
    return path


def tips(repo):
    with Journal.open(repo) as journal:
        return journal.store.tips()


def state(repo, space="garden"):
    return cj("-C", repo, "state", space, "--json").json


def last(repo, space="garden"):
    return cj("-C", repo, "log", space, "-n", "1", "--json").json


# -- every verb --------------------------------------------------------------------------------------------------------


def body(text):
    return {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}


SET = ["alias", "set", "garden", "Home", "a"]
OPEN = ["overlay", "create", "garden", "o", "p", "--text", "t"]
VERBS = [
    ([], SET, "alias-set", {"alias": "Home", "target": "a"}),
    ([SET], ["alias", "clear", "garden", "Home"], "alias-cleared", {"alias": "Home"}),
    ([], ["bind", "garden", "a", "b", "c"], "binding-made", {"members": ["a", "b", "c"]}),
    ([], ["merge", "garden", "a", "b", "--into", "c"], "merge-decided", {"sources": ["a", "b"], "into": "c"}),
    ([], ["fork", "garden", "a", "b"], "fork-made", {"source": "a", "fork": "b"}),
    (
        [],
        ["fork", "garden", "a", "b", "--source-rev", "r"],
        "fork-made",
        {"source": "a", "fork": "b", "source_rev": "r"},
    ),
    (
        [],
        [*OPEN, "--base-rev", "r"],
        "overlay-created",
        {"overlay_id": "o", "target": "p", "base_rev": "r", "body": body("t")},
    ),
    (
        [OPEN],
        ["overlay", "revise", "garden", "o", "--text", "u", "--base-rev", "s"],
        "overlay-revised",
        {"overlay_id": "o", "base_rev": "s", "body": body("u")},
    ),
    (
        [OPEN],
        ["overlay", "close", "garden", "o", "--discarded"],
        "overlay-closed",
        {"overlay_id": "o", "outcome": "discarded"},
    ),
    (
        [OPEN],
        ["overlay", "close", "garden", "o", "--applied", "--result-rev", "s"],
        "overlay-closed",
        {"overlay_id": "o", "outcome": "applied", "result_rev": "s"},
    ),
    (
        [],
        ["append", "garden", "alias-set", '{"target": "a", "alias": "Home"}'],
        "alias-set",
        {"alias": "Home", "target": "a"},
    ),
]


@pytest.mark.parametrize(("before", "words", "kind", "payload"), VERBS, ids=lambda value: str(value)[:40])
def test_a_verb_appends_its_decision(repo, before, words, kind, payload):
    for step in before:
        cj("-C", repo, *step)
    preview = cj("-C", repo, *words, "--dry-run", "--json").json
    assert (preview["dry_run"], preview["landed"]["commit"], len(tips(repo))) == (True, None, len(before))
    told = cj("-C", repo, *words, "-m", "because", "--actor", "bob", "--json").json
    landed = last(repo)
    assert told["landed"] == landed
    assert (landed["type"], landed["payload"], landed["seq"]) == (kind, payload, len(before))
    assert (landed["actor"], landed["reason"], landed["appender"]) == ("bob", "because", "Ada")
    assert set(told) == {"dry_run", "known", "way", "landed", "changes"}
    assert (preview["way"], told["way"]) == ("embedded", "embedded")
    assert (told["dry_run"], told["known"], told["changes"]) == (False, False, preview["changes"])


def test_what_was_and_what_is_now(repo):
    first = cj("-C", repo, "alias", "set", "garden", "Home", "a").out
    commit = last(repo)["commit"][:12]
    assert first == f"garden@0  alias-set: Home -> a  {commit}\n+ alias Home -> a\n"
    second = cj("-C", repo, "alias", "set", "garden", "Home", "b").out
    assert second.endswith("\n- alias Home -> a\n+ alias Home -> b\n")
    same = cj("-C", repo, "alias", "set", "garden", "Home", "b").out
    assert same.endswith("\n  nothing changes in the state\n")


def test_a_rehearsal_changes_nothing(repo):
    cj("-C", repo, "alias", "set", "garden", "Home", "a")
    before = tips(repo)
    objects = sorted((repo / "objects").rglob("*"))
    out = cj("-C", repo, "alias", "set", "garden", "Home", "b", "--dry-run").out
    assert out == "would append garden@1  alias-set: Home -> b\n- alias Home -> a\n+ alias Home -> b\n"
    assert (tips(repo), sorted((repo / "objects").rglob("*"))) == (before, objects)
    assert cj("-C", repo, "alias", "clear", "garden", "Nope", "--dry-run", status=1).err.startswith(
        "coordjournal: would-be-void: "
    )


def test_many_changes_are_cut_for_people_only(repo):
    cj("-C", repo, "bind", "garden", "a", "b")
    with Journal.open(repo) as journal:
        garden = journal.space("garden")
        garden.append_many([garden.intent(AliasSet(f"p{n:02}", "x"), actor="bob") for n in range(30)])
    out = cj("-C", repo, "diff", "garden", "0").out
    assert out.count("\n+ alias") == 20
    assert "... and 10 more lines of this kind" in out
    assert len(cj("-C", repo, "diff", "garden", "0", "--json").json["changes"]["aliases"]) == 30


# -- options in common -------------------------------------------------------------------------------------------------


def test_the_actor_is_gits_user_name_by_default(repo, monkeypatch):
    cj("-C", repo, "alias", "set", "garden", "Home", "a")
    assert last(repo)["actor"] == "Ada"
    git(repo, "config", "--unset", "user.name")
    cj("-C", repo, "alias", "set", "garden", "Home", "b")
    assert last(repo)["actor"] == "Test"  # of the user's own configuration
    monkeypatch.setenv("HOME", str(repo))
    result = cj("-C", repo, "alias", "set", "garden", "Home", "c", status=2)
    assert "Who decides this? Say --actor NAME, or set git's user.name." in result.err


@pytest.mark.parametrize("actor", ["", " a", "a.", "<a>", "-", "a\x1bb", "x" * 201])
def test_what_cannot_be_an_actor(repo, actor):
    result = cj("-C", repo, "alias", "set", "garden", "Home", "a", "--actor", actor, status=2)
    assert "cannot be an actor" in result.err
    assert "\x1b" not in result.err


def test_expect(repo):
    cj("-C", repo, "alias", "set", "garden", "Home", "a", "--expect", "-1")
    result = cj("-C", repo, "alias", "set", "garden", "Home", "b", "--expect", "-1", status=1)
    assert result.err == (
        "coordjournal: precondition-failed: expected garden to be at Seq -1, it is at 0\n"
        "  -> see what landed meanwhile: coordjournal log SPACE\n"
    )
    cj("-C", repo, "alias", "set", "garden", "Home", "b", "--expect", "0")
    assert (
        "not a number of -1 or more"
        in cj("-C", repo, "alias", "set", "garden", "Home", "b", "--expect", "-2", status=2).err
    )


def test_what_would_be_void_wants_insistence(repo):
    result = cj("-C", repo, "alias", "clear", "garden", "Home", status=1)
    assert "would-be-void: it would have no effect: it clears a name that was not set" in result.err
    assert "-> --allow-void appends it all the same" in result.err
    assert tips(repo) == {}
    error = cj("-C", repo, "alias", "clear", "garden", "Home", "--json", status=1).error
    assert (error["code"], error["reason"]) == ("would-be-void", "alias-not-set")
    cj("-C", repo, "alias", "clear", "garden", "Home", "--allow-void")
    assert state(repo)["void"][0]["reason"] == "alias-not-set"


def test_labels_are_brought_to_nfc_and_pages_are_not(repo):
    cj("-C", repo, "alias", "set", "Gru\u0308n", "Gru\u0308n", "Gru\u0308n")
    assert state(repo, "Gr\u00fcn")["aliases"] == {"Gr\u00fcn": "Gru\u0308n"}


def test_an_argument_may_begin_with_a_hyphen(repo):
    cj("-C", repo, "alias", "set", "--", "garden", "-Home", "--x")
    assert state(repo)["aliases"] == {"-Home": "--x"}


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_the_law_refuses_with_place_and_remedy(repo):
    result = cj("-C", repo, "append", "garden", "alias-set", '{"alias": "Home"}', status=1)
    assert result.err.startswith("coordjournal: schema: ")
    assert "at payload, Seq 0" in result.err
    assert "-> see schemas/alias-set.json" in result.err
    error = cj("-C", repo, "append", "garden", "alias-set", '{"alias": "Home"}', "--json", status=1).error
    assert set(error) == {"code", "message", "remedy", "place", "ref", "commit", "seq", "incident"}
    assert (error["code"], error["place"], error["seq"]) == ("schema", "payload", 0)
    assert tips(repo) == {}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["append", "garden", "nonsense", "{}"], "unknown-type"),
        (["append", "garden", "x-acme-tag", "{}"], "undeclared-type"),
        (["append", "garden", "alias-set", '{"alias": "a", "target": 1.5}'], "bad-json"),
        (["append", "garden", "alias-set", '{"alias": "a", "target": "b"}', "--id", "x"], "schema"),
        (["alias", "set", "garden", "a\nb", "c"], "schema"),
        (["alias", "set", "garden", "a", "b", "-m", ""], "schema"),
        (["bind", "garden", "a", "a"], "schema"),
        (["overlay", "create", "garden", "o", "p", "--text", "x" * 17_000_000], "too-large"),
        (["append", "garden", "alias-set", '{"alias": "a", "target": "b"}', "--file", "body=/dev/null"], "schema"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_codes_of_refusals(repo, words, code):
    result = cj("-C", repo, *words, status=1)
    assert result.err.startswith(f"coordjournal: {code}: "), result.err
    assert tips(repo) == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["append", "garden", "alias-set", "{"], "the payload is not JSON"),
        (["append", "garden", "alias-set", "[" * 100_000], "the payload is not JSON"),
        (["append", "garden", "alias-set", '{"a": 1, "a": 2}'], "a key stands twice"),
        (["append", "garden", "alias-set", "[]"], "A payload is a JSON object."),
        (["append", "garden", "alias-set", "@/nowhere"], "cannot read '/nowhere': No such file"),
        (["append", "garden", "alias-set", "-", "--file", "body=-"], "Standard input can be read once only."),
        (["append", "garden", "alias-set", "{}", "--file", "body"], "--file takes NAME=VALUE, not 'body'."),
        (["append", "garden", "alias-set", "{}", "--meta", "=x"], "--meta takes NAME=VALUE, not '=x'."),
        (["append", "garden", "alias-set", "{}", "--decided-at", "now"], "'now' is not a time"),
        (["bind", "garden", "a"], "A binding takes two pages or more."),
        (["merge", "garden", "a"], "Missing option '--into'"),
        (["overlay", "create", "garden", "o", "p"], "Give the text of the overlay"),
        (["overlay", "create", "garden", "o", "p", "file", "--text", "t"], "Give the text of the overlay"),
        (["overlay", "close", "garden", "o"], "Say --applied or --discarded."),
        (["alias", "set", "garden", "Home"], "Missing argument 'PAGE'"),
        (["alias", "nonsense"], "No such command 'nonsense'"),
        (["alias", "set", "a\x1bb", "c", "d"], "is not a space id"),
        (["nonsense"], "No such command 'nonsense'"),
        (["--nonsense"], "No such option"),
        (["log", "garden", "--since", "1", "-n", "1"], "choose one"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_wrong_usage(repo, words, told):
    result = cj("-C", repo, *words, status=2)
    assert told in result.err
    assert result.out == ""
    assert "Usage: coordjournal" in result.err
    assert tips(repo) == {}


def test_there_is_no_repository(tmp_path):
    result = cj("-C", tmp_path / "nowhere", "alias", "set", "garden", "Home", "a", status=1)
    assert result.err.startswith("coordjournal: not-a-journal: there is no ")
    run("git", "init", "--quiet", tmp_path / "plain")
    result = cj("alias", "set", "garden", "Home", "a", cwd=tmp_path / "plain", status=1)
    assert "has no remote 'origin' to append to" in result.err


# -- append ------------------------------------------------------------------------------------------------------------


def test_the_same_decision_lands_once(repo):
    words = ["append", "garden", "alias-set", '{"alias": "Home", "target": "a"}', "--id", ID]
    first = cj("-C", repo, *words, "--json").json
    cj("-C", repo, "alias", "set", "garden", "Home", "b")
    again = cj("-C", repo, *words, "--json").json
    assert (first["known"], again["known"], again["landed"]) == (False, True, first["landed"])
    assert again["changes"] == first["changes"]
    assert cj("-C", repo, *words).out.startswith("garden@0 is there already  alias-set: Home -> a")
    rehearsed = cj("-C", repo, *words, "--dry-run", "--json").json
    assert (rehearsed["known"], rehearsed["landed"]) == (True, first["landed"])
    assert last(repo)["seq"] == 1
    other = ["append", "garden", "alias-set", '{"alias": "Home", "target": "c"}', "--id", ID]
    assert "id-conflict" in cj("-C", repo, *other, status=1).err
    assert "id-conflict" in cj("-C", repo, *other, "--dry-run", status=1).err


def test_a_payload_from_a_file_or_standard_input(repo, tmp_path):
    (tmp_path / "p.json").write_text('{"alias": "Größe", "target": "a"}\n', "utf-8")
    cj("-C", repo, "append", "garden", "alias-set", "@p.json", cwd=tmp_path)
    assert last(repo)["payload"]["alias"] == "Größe"
    cj("-C", repo, "append", "garden", "alias-set", "-", stdin=b'{"alias": "b", "target": "c"}')
    assert last(repo)["payload"]["alias"] == "b"
    assert "is not UTF-8" in cj("-C", repo, "append", "garden", "alias-set", "-", stdin=b"\xff", status=2).err


def test_attachments(repo, tmp_path):
    (tmp_path / "page.md").write_bytes(b"text\xff\n")
    payload = '{"overlay_id": "o", "target": "p", "base_rev": null}'
    cj("-C", repo, "append", "garden", "overlay-created", payload, "--file", "body=page.md", cwd=tmp_path)
    assert last(repo)["payload"]["body"] == {"bytes": 6, "sha256": hashlib.sha256(b"text\xff\n").hexdigest()}
    with Journal.open(repo) as journal:
        assert journal.space("garden").body(last(repo)["commit"]) == b"text\xff\n"
    payload = '{"overlay_id": "o", "base_rev": null, "body": {"bytes": 7, "sha256": "%s"}}' % ("0" * 64)
    words = ["append", "garden", "overlay-revised", payload, "--file", "body=-"]
    assert "attachment: 5 bytes, declared are 7" in cj("-C", repo, *words, stdin=b"other", status=1).err


def test_meta_and_time(repo):
    words = ["append", "garden", "alias-set", '{"alias": "a", "target": "b"}']
    cj("-C", repo, *words, "--meta", "ticket=7=8", "--meta", "by=hand", "--decided-at", "2020-11-01T10:00:00.000001Z")
    landed = last(repo)
    assert (landed["meta"], landed["at"]) == ({"ticket": "7=8", "by": "hand"}, "2020-11-01T10:00:00.000001Z")
    future = timestamp.text(int(time.time()) + 3600)
    assert "coordjournal: clock: " in cj("-C", repo, *words, "--decided-at", future, status=1).err


# -- overlays ----------------------------------------------------------------------------------------------------------


def test_a_text_from_a_file_or_standard_input(repo, tmp_path):
    (tmp_path / "page.md").write_bytes(b"one\n")
    cj("-C", repo, "overlay", "create", "garden", "o", "p", "page.md", "--base-rev", "r1", cwd=tmp_path)
    cj("-C", repo, "overlay", "revise", "garden", "o", "-", stdin=b"two\n")
    shown = cj("-C", repo, "overlay", "show", "garden", "o", "--json").json
    assert (shown["content"], shown["base_rev"]) == ({"text": "two\n"}, "r1")  # the revision stays unless it is said
    assert cj("-C", repo, "overlay", "show", "garden", "o", "--body").out == "two\n"
    assert "cannot read 'gone'" in cj("-C", repo, "overlay", "revise", "garden", "o", "gone", status=2).err


# -- taking back -------------------------------------------------------------------------------------------------------


def test_revoke_names_a_decision_in_any_way(repo):
    for page in "abcd":
        cj("-C", repo, "alias", "set", "garden", page, "x")
    landed = cj("-C", repo, "log", "garden", "--json").lines
    cj("-C", repo, "revoke", "garden@0")
    cj("-C", repo, "revoke", "garden", "1")
    cj("-C", repo, "revoke", landed[2]["commit"][:12])
    out = cj("-C", repo, "revoke", landed[3]["id"], "-m", "all of them").out
    assert state(repo)["aliases"] == {}
    assert out.startswith(f"garden@7  decision-revoked: {landed[3]['id']} (Seq 3)  ")
    assert out.endswith("\n- alias d -> x\n+ revoked: Seq 3\n")


def test_revoking_again_is_noted(repo):
    cj("-C", repo, "alias", "set", "garden", "a", "x")
    cj("-C", repo, "revoke", "garden@0")
    assert cj("-C", repo, "revoke", "garden@0").err == "coordjournal: note: garden@0 is revoked already\n"
    assert cj("-C", repo, "revoke", "garden@0", "--json").err == ""


def test_a_revocation_can_be_revoked(repo):
    cj("-C", repo, "alias", "set", "garden", "a", "x")
    cj("-C", repo, "revoke", "garden@0")
    assert cj("-C", repo, "revoke", "garden@1", "--dry-run").out.endswith(
        "\n+ alias a -> x\n- revoked: Seq 0\n+ revoked: Seq 1\n"
    )


def test_undo_walks_back_through_ones_own_decisions(repo):
    cj("-C", repo, "alias", "set", "garden", "a", "x", "--actor", "bob")
    cj("-C", repo, "alias", "set", "garden", "b", "x")
    cj("-C", repo, "alias", "set", "garden", "c", "x", "--actor", "bob")
    cj("-C", repo, "alias", "clear", "garden", "nope", "--actor", "bob", "--allow-void")
    assert "- alias c -> x" in cj("-C", repo, "undo", "garden", "--actor", "bob", "--dry-run").out
    cj("-C", repo, "undo", "garden", "--actor", "bob")
    assert state(repo)["revoked"] == [2]
    cj("-C", repo, "undo", "garden", "--actor", "bob")
    assert state(repo)["revoked"] == [0, 2]
    result = cj("-C", repo, "undo", "garden", "--actor", "bob", status=1)
    assert "has no decision of 'bob' that is in effect and could be undone" in result.err
    cj("-C", repo, "undo", "garden", "--actor", "bob", "--anyone")
    assert (state(repo)["revoked"], last(repo)["actor"]) == ([0, 1, 2], "bob")
    assert "has no decision that is in effect" in cj("-C", repo, "undo", "garden", "--anyone", status=1).err
    assert "unknown-space" in cj("-C", repo, "undo", "nowhere", status=1).err


# -- against a server --------------------------------------------------------------------------------------------------


def test_a_clone_appends_on_the_server_and_says_what_the_server_refuses(bare, tmp_path):
    server = bare()
    clone = tmp_path / "clone"
    cj("clone", server, clone)
    cj("alias", "set", "garden", "Home", "a", "--actor", "alice", cwd=clone)
    assert cj("-C", server, "resolve", "garden", "Home").out == "a\n"
    git(server, "config", "coordjournal.readOnly", "true")
    result = cj("-C", clone, "alias", "set", "garden", "Home", "b", status=1)
    assert result.err.startswith("coordjournal: read-only: this repository takes no decisions\n")
    assert "refs/append/garden, " in result.err
    assert ", incident " in result.err
    error = cj("-C", clone, "alias", "set", "garden", "Home", "b", "--json", status=1).error
    assert (error["code"], error["ref"], len(error["incident"])) == ("read-only", "refs/append/garden", 10)
    server.rename(tmp_path / "moved.git")
    result = cj("-C", clone, "alias", "set", "garden", "Home", "b", status=3)
    assert result.out.startswith("waits in the outbox  alias-set: Home -> b\n")
    result = cj("-C", clone, "alias", "set", "garden", "Home", "b", "--no-queue", status=4)
    assert result.err.startswith("coordjournal: remote-unreachable: ")
    assert cj("-C", clone, "resolve", "garden", "Home").out == "a\n"  # the clone still answers


def test_two_clones_race_and_the_slower_one_still_lands(bare, tmp_path):
    server = bare()
    cj("clone", server, tmp_path / "one")
    cj("clone", server, tmp_path / "two")
    cj("-C", tmp_path / "one", "alias", "set", "garden", "a", "x")
    told = cj("-C", tmp_path / "two", "alias", "set", "garden", "b", "x", "--json").json
    assert (told["landed"]["seq"], told["changes"]["aliases"]) == (1, {"b": [None, "x"]})
    assert (
        "precondition-failed"
        in cj("-C", tmp_path / "one", "alias", "set", "garden", "c", "x", "--expect", "0", status=1).err
    )


def test_a_clone_says_which_way_a_decision_took(bare, tmp_path):
    clone = tmp_path / "clone"
    cj("clone", bare(), clone)
    words = ["-C", clone, "alias", "set", "garden", "Home"]
    assert cj(*words, "a", "--dry-run").out.startswith(
        "would append garden@0  alias-set: Home -> a  by the sequencer\n"
    )
    assert cj(*words, "a").out.splitlines()[0].endswith("  by the sequencer")
    assert cj(*words, "b", "--expect", "0").out.splitlines()[0].endswith("  by compare-and-swap")
    assert cj(*words, "c", "--json").json["way"] == "sequencer"
    assert cj(*words, "d", "--expect", "2", "--json").json["way"] == "compare-and-swap"
    assert cj("-C", clone, "undo", "garden", "--actor", "Test", "--json").json["way"] == "compare-and-swap"
    again = [*words[:2], "append", "garden", "alias-set", '{"alias": "a", "target": "b"}', "--id", ID, "--json"]
    assert [(told["known"], told["way"]) for told in (cj(*again).json, cj(*again).json)] == [
        (False, "sequencer"),
        (True, None),
    ]


# -- what is rare ------------------------------------------------------------------------------------------------------


def test_an_id_that_stands_in_several_spaces(repo):
    for space in ("garden", "orchard"):
        cj("-C", repo, "append", space, "alias-set", '{"alias": "a", "target": "b"}', "--id", ID)
    assert "names decisions of several spaces: 'garden', 'orchard'" in cj("-C", repo, "show", ID, status=1).err
    assert cj("-C", repo, "show", "orchard", ID[:12], "--json").json["space"] == "orchard"


def test_a_revocation_of_nothing(repo):
    payload = f'{{"decision": "{ID}"}}'
    result = cj("-C", repo, "append", "garden", "decision-revoked", payload, "--allow-void")
    assert result.out.startswith(f"garden@0  decision-revoked: {ID}  ")
    assert result.out.endswith("\n+ void: Seq 0 (unknown-decision)\n")


class Tags:
    """A plug-in whose state is no JSON, and holds what must not reach a terminal."""

    def initial(self):
        return None

    def apply(self, state, landed):
        return {"evil": "\u202e", "tags": Path(landed.decision.payload["tag"])}


def test_the_state_of_a_plug_in(repo, monkeypatch):
    monkeypatch.setattr("coordjournal.extensions.load_extensions", lambda: {"x-acme-tag": Tags()})
    cj("-C", repo, "schema", "declare", "x-acme-tag", "-", stdin=b"{}")
    assert cj("-C", repo, "schema", "list").out.endswith("\nx-acme-tag\n")
    cj("-C", repo, "append", "garden", "x-acme-tag", '{"tag": "a"}')
    out = cj("-C", repo, "append", "garden", "x-acme-tag", '{"tag": "b"}').out
    assert out.endswith(
        '\n- x-acme-tag: {"evil": "\\u{202e}", "tags": "a"}\n+ x-acme-tag: {"evil": "\\u{202e}", "tags": "b"}\n'
    )
    assert '\nExtensions\n  x-acme-tag: {"evil": "\\u{202e}", "tags": "b"}\n' in cj("-C", repo, "state", "garden").out
    assert state(repo)["extensions"] == {"x-acme-tag": {"evil": "\u202e", "tags": "b"}}
