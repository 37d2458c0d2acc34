"""The commands that read: what they print for people, what for programs, and how they end."""

from __future__ import annotations

import json
import time

import pytest
from cli_support import cj
from support import git, run

from coordjournal import (
    AliasSet,
    BindingMade,
    DecisionRevoked,
    ForkMade,
    Journal,
    MergeDecided,
    OverlayClosed,
    OverlayCreated,
    OverlayRevised,
    timestamp,
)

LANDED = {"actor", "at", "id", "payload", "space", "type", "v", "seq", "commit", "appended", "appender"}


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A bare repository with two logs, read by all tests here and written by none."""
    path = tmp_path_factory.mktemp("read") / "wiki.git"
    run("git", "init", "--quiet", "--bare", path)
    with Journal.open(path, appender="server") as journal:
        garden = journal.space("garden")
        first = garden.append(AliasSet("Home", "shardA:Index"), actor="alice", reason="the start\nof it")
        garden.append(AliasSet("Home", "shard B:Home"), actor="bob", meta={"ticket": "7"})
        garden.append(BindingMade(["a", "b"]), actor="alice")
        garden.append(MergeDecided(["a", "c"], "b"), actor="alice")
        garden.append(ForkMade("b", "q", "r1"), actor="carol")
        garden.append(OverlayCreated("o1", "b", "r1", "first\ntext\n"), actor="alice")
        garden.append(OverlayRevised("o1", "r2", b"second\xff\n"), actor="bob")
        garden.append(OverlayCreated("o2", "a", None, "gone"), actor="bob")
        garden.append(OverlayClosed("o2", "discarded"), actor="bob")
        garden.append(AliasSet("Gr\u00fc\u00dfe", "shardA:Index"), actor="alice")
        garden.append(DecisionRevoked(first.decision.id), actor="alice")
        garden.append(OverlayClosed("o9", "discarded"), actor="bob", allow_void=True)
        orchard = journal.space("Obst/1")
        orchard.append(AliasSet("Apfel", "x"), actor="alice")
    return path


def read(repo, *words, **more):
    return cj("-C", repo, *words, **more)


def seqs(result):
    return [line["seq"] for line in result.lines]


# -- log and show ------------------------------------------------------------------------------------------------------


def test_log_for_people(repo):
    out = read(repo, "log", "garden").out.splitlines()
    assert out[0].endswith("Z  alice  alias-set: Home -> shardA:Index")
    assert out[0].startswith(" 0  20")
    assert out[1:3] == ["      the start", "      of it"]
    assert 'bob  alias-set: Home -> "shard B:Home"' in out[3]
    assert out[-2].endswith("(Seq 0)")


def test_log_for_programs(repo):
    lines = read(repo, "log", "garden", "--json").lines
    assert [line["seq"] for line in lines] == list(range(12))
    assert set(lines[0]) == LANDED | {"reason"}
    assert lines[1]["meta"] == {"ticket": "7"}
    assert lines[0]["commit"] == git(repo, "rev-list", "--reverse", "refs/spaces/garden").split()[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--since", "10"], [10, 11]),
        (["--until", "1"], [0, 1]),
        (["--since", "3", "--until", "4"], [3, 4]),
        (["-n", "2"], [10, 11]),
        (["--last", "99"], list(range(12))),
        (["-n", "2", "--until", "5"], [4, 5]),
        (["--type", "binding-made", "--type", "fork-made"], [2, 4]),
        (["--actor", "carol"], [4]),
        (["--actor", "alice", "--type", "alias-set"], [0, 9]),
        (["--since", "99"], []),
    ],
)
def test_parts_of_a_log(repo, options, expected):
    assert seqs(read(repo, "log", "garden", "--json", *options)) == expected


@pytest.mark.parametrize("name", ["3", "garden@3", "id", "short id", "commit", "short commit"])
def test_names_of_a_decision(repo, name):
    landed = read(repo, "log", "garden", "--json").lines[3]
    words = {
        "3": ["garden", "3"],
        "garden@3": ["garden@3"],
        "id": [landed["id"]],
        "short id": ["garden", landed["id"]],
        "commit": [landed["commit"]],
        "short commit": [landed["commit"][:12]],
    }[name]
    shown = read(repo, "show", *words, "--json").json
    assert {key: value for key, value in shown.items() if key in landed} == landed
    assert (shown["status"], shown["revoked_by"], shown["void"]) == ("effective", None, None)


def test_the_beginning_of_a_commit_may_be_all_digits(repo, tmp_path):
    """One commit in three hundred has a short name of twelve digits, and is no Seq of an uncertain space."""
    path = tmp_path / "digits.git"
    run("git", "init", "--quiet", "--bare", path)
    with Journal.open(path) as journal:
        journal.space("orchard").append(AliasSet("Apfel", "x"), actor="alice")
        for number in range(1000):
            landed = journal.space("garden").append(AliasSet("Home", f"p{number}"), actor="alice")
            if landed.commit[:4].isdecimal() and landed.commit[0] != "0":
                break
        taken = [commit for commit in git(path, "rev-list", "--all").split() if commit.startswith(landed.commit[:4])]
    assert taken == [landed.commit]
    assert read(path, "show", landed.commit[:4], "--json").json["seq"] == landed.seq


def test_what_became_of_a_decision(repo):
    assert read(repo, "show", "garden@0", "--json").json["revoked_by"] == 10
    assert "status    revoked by garden@10" in read(repo, "show", "garden@0").out
    void = read(repo, "show", "garden@11", "--json").json
    assert (void["status"], void["void"]) == ("void", "unknown-overlay")
    assert "void (unknown-overlay): it is about an overlay that nobody opened" in read(repo, "show", "garden@11").out


def test_a_decision_in_full(repo):
    out = read(repo, "show", "garden", "0").out
    for words in (
        "garden@0  alias-set: Home",
        "  actor     alice  decided at 20",
        "  appender  server  appended at 20",
    ):
        assert words in out
    assert "  reason    the start\n            of it\n" in out
    assert '  payload   {"alias": "Home", "target": "shardA:Index"}\n' in out
    assert "  meta      ticket = 7\n" in read(repo, "show", "garden", "1").out


def test_the_attachment_of_a_decision(repo):
    assert read(repo, "show", "garden@5", "--body").out == "first\ntext\n"
    assert "no attachment" in read(repo, "show", "garden@4", "--body", status=1).err


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["garden@99"], 1, "decision-not-found"),
        (["nowhere@1"], 1, "unknown-space"),
        (["garden", "ffffffffffff"], 1, "decision-not-found"),
        (["ffffffffffff"], 1, "no decision of any space"),
        (["4"], 2, "There are 2 spaces here; say of which one: SPACE@4"),
        (["42"], 1, "no decision of any space"),
        (["garden", "1", "2"], 2, "Name one decision"),
        ([], 2, "Missing argument"),
    ],
)
def test_decisions_that_cannot_be_named_so(repo, words, status, told):
    result = read(repo, "show", *words, status=status)
    assert told in result.err
    assert result.out == ""


# -- state -------------------------------------------------------------------------------------------------------------


def test_state_for_people(repo):
    head, *rest = read(repo, "state", "garden").out.split("\n", 1)
    assert head.startswith("garden@11  20")
    assert rest[0] == (
        "\nAliases (2)\n"
        "  Gr\u00fc\u00dfe -> shardA:Index\n"
        '  Home -> "shard B:Home"\n'
        "\nGroups (1)\n  a = b (canonical) = c\n"
        "\nOpen overlays (1)\n  o1 on b @ r2, 8 bytes, opened at Seq 5, revised at Seq 6\n"
        "\nClosed overlays (1)\n  o2 on a, 4 bytes, opened at Seq 7, discarded at Seq 8\n"
        "\nForks (1)\n  b @ r1 -> q  (Seq 4)\n"
        "\nWithout effect (1)\n  Seq 11: it is about an overlay that nobody opened (unknown-overlay)\n"
        "\nRevoked\n  Seq 0\n"
    )


def test_state_for_programs(repo):
    state = read(repo, "state", "garden", "--json").json
    with Journal.open(repo) as journal:
        assert state == journal.space("garden").state().json()
    assert (state["seq"], state["aliases"]["Home"], state["groups"]) == (11, "shard B:Home", [["a", "b", "c"]])


def test_the_state_as_of_a_place(repo):
    landed = read(repo, "log", "garden", "--json").lines
    for place in ("2", "garden@2", landed[2]["id"], landed[2]["commit"][:10]):
        assert read(repo, "state", "garden", "--at", place, "--json").json["seq"] == 2
    tomorrow = timestamp.text(int(time.time()) + 86_400)
    for place, seq in (
        ("-1", -1),
        ("2020-01-01", -1),
        ("2020-01-01T10:00", -1),
        ("2020-01-01 10:00+02:00", -1),
        (tomorrow, 11),
        (landed[11]["appended"], 11),
        (landed[0]["appended"][:19] + "+05:00", -1),
    ):
        assert read(repo, "state", "garden", "--at", place, "--json").json["seq"] == seq
    assert "before the first decision" in read(repo, "state", "garden", "--at", "-1").out
    assert "is not a time" in read(repo, "state", "garden", "--at", "2026-99-99", status=2).err
    assert "decision-not-found" in read(repo, "state", "garden", "--at", "77", status=1).err


def test_the_state_without_decisions(repo):
    state = read(repo, "state", "garden", "--without", "1", "--without", "garden@10", "--json").json
    assert (state["aliases"]["Home"], state["revoked"]) == ("shardA:Index", [1, 10])


def test_the_state_with_at_least_a_seq(repo):
    assert read(repo, "state", "garden", "--at-least", "11", "--json").json["seq"] == 11
    assert "is not a number of 0 or more" in read(repo, "state", "garden", "--at-least", "x", status=2).err


# -- questions ---------------------------------------------------------------------------------------------------------


def test_resolve(repo):
    assert read(repo, "resolve", "garden", "Home").out == "shard B:Home\n"
    assert read(repo, "resolve", "garden", "Home", "--at", "0").out == "shardA:Index\n"
    answer = read(repo, "resolve", "garden", "Home", "--json").json
    assert set(answer) == {"space", "seq", "commit", "alias", "target"}
    assert (answer["space"], answer["seq"], answer["target"]) == ("garden", 11, "shard B:Home")


def test_a_name_that_means_nothing(repo):
    result = read(repo, "resolve", "garden", "Nobody", status=1)
    assert (result.out, result.err) == ("", "coordjournal: nothing: 'Nobody' means nothing in garden@11\n")
    result = read(repo, "resolve", "garden", "Nobody", "--json", status=1)
    assert (result.json["target"], result.err) == (None, "")


def test_labels_are_brought_to_nfc(repo):
    decomposed = "Gru\u0308\u00dfe"
    assert read(repo, "resolve", "garden", decomposed).out == "shardA:Index\n"
    assert read(repo, "why", "garden", decomposed).out.startswith("Gr\u00fc\u00dfe means shardA:Index\n")


def test_group_and_canonical(repo):
    assert read(repo, "group", "garden", "c").out == "a\nb\nc\n"
    assert read(repo, "group", "garden", "alone").out == "alone\n"
    answer = read(repo, "group", "garden", "c", "--json").json
    assert (answer["page"], answer["group"], answer["canonical"]) == ("c", ["a", "b", "c"], "b")
    assert read(repo, "canonical", "garden", "c").out == "b\n"
    assert "no merge is in force about 'alone'" in read(repo, "canonical", "garden", "alone", status=1).err
    assert read(repo, "canonical", "garden", "alone", "--json", status=1).json["canonical"] is None


def test_lineage(repo):
    assert read(repo, "lineage", "garden", "q").out == "b\n"
    assert read(repo, "lineage", "garden", "b").out == ""
    assert read(repo, "lineage", "garden", "q", "--json").json["lineage"] == ["b"]


def test_why_tells_all_there_is_about_a_thing(repo):
    out = read(repo, "why", "garden", "b").out
    assert out.startswith("one page: a = b = c\n  2  20")
    assert "\n\nthe canonical page of b: b\n  3  20" in out
    out = read(repo, "why", "garden", "Home").out
    assert out.startswith('Home means "shard B:Home"\n')
    answers = read(repo, "why", "garden", "a", "--json").json
    assert set(answers) == {"space", "seq", "commit", "thing", "answers"}
    assert [(a["about"], a["answer"], [d["seq"] for d in a["decisions"]]) for a in answers["answers"]] == [
        ("group", ["a", "b", "c"], [2, 3]),
        ("canonical", "b", [2, 3]),
    ]


@pytest.mark.parametrize(
    ("thing", "about", "answer", "why"),
    [
        ("Home", "alias", "shard B:Home", [1]),
        ("c", "group", ["a", "b", "c"], [2, 3]),
        ("b", "canonical", "b", [3]),
        ("q", "lineage", ["b"], [4]),
    ],
)
def test_why_about_one_answer(repo, thing, about, answer, why):
    (told,) = read(repo, "why", "garden", thing, "--about", about, "--json").json["answers"]
    assert (told["answer"], [landed["seq"] for landed in told["decisions"]]) == (answer, why)


def test_why_about_an_overlay_and_as_of(repo):
    (told,) = read(repo, "why", "garden", "o1", "--json").json["answers"]
    assert (told["about"], told["answer"]["base_rev"], len(told["decisions"])) == ("overlay", "r2", 2)
    assert "overlay o1 on b @ r2" in read(repo, "why", "garden", "o1").out
    assert "Home means shardA:Index" in read(repo, "why", "garden", "Home", "--at", "0").out


def test_why_about_nothing(repo):
    assert "nothing was decided about 'zzz' in garden@11" in read(repo, "why", "garden", "zzz", status=1).err
    assert read(repo, "why", "garden", "zzz", "--json", status=1).json["answers"] == []


def test_diff(repo):
    assert read(repo, "diff", "garden", "2", "4").out == (
        "garden@2 -> garden@4\n- group a = b\n+ group a = b = c\n+ canonical b\n+ fork b @ r1 -> q  (Seq 4)\n"
    )
    assert read(repo, "diff", "garden", "4", "2").out.splitlines()[1:] == [
        "- group a = b = c",
        "+ group a = b",
        "- canonical b",
        "- fork b @ r1 -> q  (Seq 4)",
    ]
    assert '- alias Home -> shardA:Index\n+ alias Home -> "shard B:Home"\n' in read(repo, "diff", "garden", "0").out
    told = read(repo, "diff", "garden", "--json", "--", "-1", "0").json
    assert (told["before"], told["after"], told["changes"]["aliases"]) == (-1, 0, {"Home": [None, "shardA:Index"]})
    assert "nothing changes in the state" in read(repo, "diff", "garden", "11", "11").out


def test_diff_of_overlays_extensions_and_what_counts(repo):
    out = read(repo, "diff", "garden", "4", "11").out
    assert "+ overlay o1 on b @ r2, 8 bytes, opened at Seq 5, revised at Seq 6\n" in out
    assert "+ closed overlay o2 on a, 4 bytes" in out
    assert "+ revoked: Seq 0\n+ void: Seq 11 (unknown-overlay)\n" in out
    assert (
        "- overlay o1 on b @ r1, 11 bytes, opened at Seq 5\n+ overlay o1" in read(repo, "diff", "garden", "5", "6").out
    )
    assert "- overlay o1" in read(repo, "diff", "garden", "6", "4").out


def test_lint(repo, tmp_path):
    assert read(repo, "lint", "garden").out == "nothing to look at\n"
    assert read(repo, "lint", "garden", "--json").json == {"space": "garden", "seq": 11, "findings": []}
    run("git", "init", "--quiet", "--bare", tmp_path / "odd.git")
    with Journal.open(tmp_path / "odd.git") as journal:
        journal.space("garden").append(AliasSet("Home", "Home"), actor="alice")
    odd = read(tmp_path / "odd.git", "lint", "garden")
    assert odd.out == "alias-loop: names in a circle: 'Home' -> 'Home'  (Seq 0)\n"
    (finding,) = read(tmp_path / "odd.git", "lint", "garden", "--json", "--exit-code", status=1).json["findings"]
    assert set(finding) == {"kind", "names", "seqs", "message"}
    read(repo, "lint", "garden", "--days", "0")


# -- overlays ----------------------------------------------------------------------------------------------------------


def test_overlays_are_listed(repo):
    assert read(repo, "overlay", "list", "garden").out.splitlines() == [
        "o1 on b @ r2, 8 bytes, opened at Seq 5, revised at Seq 6"
    ]
    assert [line.split()[0] for line in read(repo, "overlay", "list", "garden", "--all").out.splitlines()] == [
        "o1",
        "o2",
    ]
    told = read(repo, "overlay", "list", "garden", "--json", "--at", "5").json
    assert [(item["overlay_id"], item["base_rev"]) for item in told["overlays"]] == [("o1", "r1")]


def test_an_overlay_is_shown_with_its_text(repo):
    with Journal.open(repo) as journal:
        body = journal.space("garden").body(journal.space("garden").state().landed(6))
    assert read(repo, "overlay", "show", "garden", "o1", "--at", "5").out == (
        "o1 on b @ r1, 11 bytes, opened at Seq 5\n\nfirst\ntext\n"
    )
    shown = read(repo, "overlay", "show", "garden", "o1", "--json").json
    assert (shown["content"], shown["revised"]) == ({"base64": "c2Vjb25k/wo="}, 6)
    assert body == b"second\xff\n"
    assert read(repo, "overlay", "show", "garden", "o2", "--json").json["content"] == {"text": "gone"}
    assert "nobody opened an overlay 'o9'" in read(repo, "overlay", "show", "garden", "o9", status=1).err


# -- spaces ------------------------------------------------------------------------------------------------------------


def test_spaces(repo):
    rows = read(repo, "spaces", "--json").json["spaces"]
    assert [(row["space"], row["ref"], row["seq"]) for row in rows] == [
        ("Obst/1", "refs/spaces/%4Fbst%2F1", 0),
        ("garden", "refs/spaces/garden", 11),
    ]
    out = read(repo, "spaces").out.splitlines()
    assert (out[0].startswith(" 0  20"), out[0].endswith("Z  Obst/1"), out[1].endswith("Z  garden")) == (True,) * 3


def test_the_spelling_of_a_ref_needs_no_repository(tmp_path):
    assert cj("spaces", "--ref", "Gro\u0308\u00dfe/1", cwd=tmp_path).out == "refs/spaces/%47r%C3%B6%C3%9Fe%2F1\n"
    assert cj("spaces", "--ref", "a", "--json", cwd=tmp_path).json == {"space": "a", "ref": "refs/spaces/a"}
    assert "is not a space id" in cj("spaces", "--ref", "a\nb", cwd=tmp_path, status=2).err


def test_a_ref_that_is_no_log_does_not_hide_the_others(repo, tmp_path):
    run("cp", "-r", repo, tmp_path / "x.git")
    tree = git(tmp_path / "x.git", "write-tree")
    git(tmp_path / "x.git", "update-ref", "refs/spaces/odd", git(tmp_path / "x.git", "commit-tree", "-m", "odd", tree))
    rows = read(tmp_path / "x.git", "spaces", "--json").json["spaces"]
    assert [(row["space"], row["seq"]) for row in rows] == [("Obst/1", 0), ("garden", 11), ("odd", None)]
    assert " ?  no log" in read(tmp_path / "x.git", "spaces").out


def test_an_empty_repository(tmp_path):
    run("git", "init", "--quiet", "--bare", tmp_path / "e.git")
    assert read(tmp_path / "e.git", "spaces").out == "no space has a log here yet\n"


# -- what all of them do -----------------------------------------------------------------------------------------------

QUESTIONS = [
    ["log", "{}"],
    ["state", "{}"],
    ["resolve", "{}", "x"],
    ["group", "{}", "x"],
    ["canonical", "{}", "x"],
    ["lineage", "{}", "x"],
    ["why", "{}", "x"],
    ["diff", "{}", "0"],
    ["lint", "{}"],
    ["export", "{}"],
    ["overlay", "list", "{}"],
    ["overlay", "show", "{}", "x"],
    ["show", "{}", "0"],
]


@pytest.mark.parametrize("words", QUESTIONS, ids=lambda words: words[0])
def test_a_space_without_a_log(repo, words):
    result = read(repo, *[word.format("nowhere") for word in words], status=1)
    assert result.out == ""
    assert result.err.startswith("coordjournal: unknown-space: the space 'nowhere' has no log here\n  -> ")
    error = read(repo, *[word.format("nowhere") for word in words], "--json", status=1).error
    assert (error["code"], error["message"]) == ("unknown-space", "the space 'nowhere' has no log here")


@pytest.mark.parametrize("words", QUESTIONS, ids=lambda words: words[0])
def test_what_is_no_space(repo, words):
    result = read(repo, *[word.format("a\x1bb") for word in words], status=2)
    assert "is not a space id" in result.err
    assert "\x1b" not in result.err


@pytest.mark.parametrize("words", QUESTIONS, ids=lambda words: words[0])
def test_json_is_ascii(repo, words):
    result = read(repo, *[word.format("garden") for word in words], "--json", status=None)
    assert result.out.isascii()
    assert all(json.loads(line) is not None for line in result.out.splitlines())
