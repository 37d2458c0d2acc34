"""Hostile input against the judges, in this process: a few thousand of the million that ``python -m tests.hostile``
tries, the oracle itself, and what once took a judge too long."""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hostile import inputs, judges, oracle, parsers
from hypothesis import given, settings
from hypothesis import strategies as st

from coordjournal import canonical, guard, schema
from coordjournal.errors import Refused


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_mutations_of_what_is_valid(seed: int) -> None:
    judges.run(60, seed)


def test_the_mutations_of_a_fixed_seed_meet_every_verdict() -> None:
    """The input reaches everything: were it all refused at the first header, the rest would stay untried."""
    found, slowest = judges.run(3500, 1)
    met = {verdict.removeprefix("commit: ") for verdict in found if verdict.startswith("commit: ")}
    ref_only = {"deleted", "not-a-commit", "bad-ref", "read-only", "extension-schema"}
    rare = {"merge"}
    assert met >= oracle.CODES - ref_only - rare | {"yes", "plain"}, sorted(met)
    assert {"intent: yes", "intent: lease", "intent: seq", "intent: bad-commit"} <= set(found)
    assert {"line: yes", "line: not-canonical", "trailer: yes", "ref: log", "tree: yes", "updates: read"} <= set(found)
    assert slowest < judges.MOST_SECONDS


@given(st.sampled_from(sorted(set(judges.CHECKS) - {"commit", "intent"})), st.binary(max_size=300))
def test_any_bytes(kind: str, data: bytes) -> None:
    judges.CHECKS[kind](data)


def test_what_atheris_starts_from(tmp_path: Path) -> None:
    assert parsers.write_corpus(tmp_path) > 700
    for path in sorted(tmp_path.iterdir())[::9]:
        parsers.one(path.read_bytes())


# -- an oracle that cannot fail would show nothing -------------------------------------------------------------------


def test_the_oracle_knows_the_vectors() -> None:
    page = json.loads((inputs.VECTORS / "commits.json").read_text("utf-8"))
    yes = 0
    for case in page["cases"]:
        width = 40 if case["object_format"] == "sha1" else 64
        parent = case["parent"]
        files = (
            None if case["files"] is None else [(f["mode"], f["name"], f["size"], f["sha256"]) for f in case["files"]]
        )
        try:
            before = None if parent is None else oracle.Read(inputs.content(page["parents"][parent]), width)
            oracle.law(case["space"], before, parent, inputs.content(case["commit"]), files, width)
        except oracle.Fault as fault:
            assert fault.code == case["code"], case["name"]
        else:
            assert "accept" in case, case["name"]
            yes += 1
    assert yes > 60


@pytest.mark.parametrize(
    ("what", "break_it"),
    [
        ("plain", lambda patch: patch.setattr("coordjournal.plain.follows", lambda *_: True)),
        ("law", lambda patch: patch.setattr("coordjournal.law._check_space", lambda *_: None)),
        ("commit", lambda patch: patch.setattr("coordjournal.commit._check_signature", lambda *_: None)),
        ("canonical", lambda patch: patch.setattr("coordjournal.canonical.outside_model", lambda _: "")),
        ("text", lambda patch: patch.setattr("coordjournal.text.printable", str)),
        ("accept", lambda patch: patch.setattr("coordjournal.law.accept", lambda _: True)),
        ("lease", lambda patch: patch.setattr("coordjournal.law._check_lease", lambda *_: None)),
        ("refs", lambda patch: patch.setattr("coordjournal.refs.encode_space", lambda space: space)),
    ],
)
def test_a_judge_that_is_wrong_is_found(what: str, break_it: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    with pytest.raises(judges.Wrong):
        for seed in range(40):
            judges.run(250, seed)


def test_an_input_that_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(_: bytes) -> str:
        while True:
            pass

    monkeypatch.setattr(judges, "MOST_SECONDS", 0.05)
    monkeypatch.setitem(judges.CHECKS, "line", endless)
    with pytest.raises(judges.Wrong, match="takes more than"):
        judges.run(200, 1)


# -- bounded time ----------------------------------------------------------------------------------------------------


def line_of(payload: Any, kind: str = "binding-made", **more: Any) -> bytes:
    doc = {"actor": "alice", "at": "2026-11-22T10:00:00.000000Z", "id": inputs.ID + "0", "payload": payload}
    return canonical.dumps({**doc, "space": "garden", "type": kind, "v": 1, **more})


@pytest.mark.parametrize(
    "payload",
    [
        {"members": [*range(9_000), "a"]},
        {"members": [{"a": number} for number in range(5_000)]},
        {"members": [[], *[""] * 15_000]},
        {"members": [None, *(f"{number}\x7f" for number in range(5_000))]},
        {f"k{number}": number for number in range(5_000)},
    ],
    ids=["mixed", "objects", "equal", "controls", "keys"],
)
def test_an_array_is_judged_in_one_pass(payload: dict[str, Any]) -> None:
    """As large as a commit may be; jsonschema's own ``uniqueItems`` took 24 seconds for the first two of these."""
    line = line_of(payload)
    assert 30_000 < len(line) < 65_536
    begun = time.process_time()
    with pytest.raises(Refused) as refused:
        schema.judge(line)
    assert refused.value.code == "schema"
    assert time.process_time() - begun < 6


def test_items_are_the_same_as_json_says() -> None:
    declared = schema.Extensions({"x-a-b": {"properties": {"a": {"uniqueItems": True}}}})
    for items in (
        [1, True],
        [0, False],
        ["a", "A"],
        [[], {}],
        [{"a": 1}, {"a": True}],
        ["1", 1],
        [None],
        "aa",
        {"a": 1},
    ):
        declared.judge("x-a-b", {"a": items})
    for items in ([1, 1], [True, "a", True], [{"a": 1, "b": 2}, {"b": 2, "a": 1}], [[1], 2, [1]]):
        with pytest.raises(Refused, match="the same item stands twice"):
            declared.judge("x-a-b", {"a": items})


# -- what is told and logged -----------------------------------------------------------------------------------------


def test_what_one_push_adds_to_the_log_has_an_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Fields as long as a pusher likes, in the characters that take most room where they are escaped."""
    long = "\U000e0041" * 60_000
    refusals = [Refused("seq", long, long, ref=f"refs/{long}", commit="1" * 40) for _ in range(100)]
    guard.refuse(refusals, str(tmp_path), {"REMOTE_USER": long, "SSH_CONNECTION": long})
    assert (tmp_path / guard.LOG).stat().st_size < 100 * 45_000
    assert len(capfd.readouterr().err) < 100 * 4_000


def test_the_log_is_put_aside_before_it_is_too_large(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / guard.LOG
    log.parent.mkdir()
    for _ in range(5):
        with log.open("ab") as file:
            file.truncate(guard._LOG_BYTES - 100)
        guard.refuse([Refused("seq", "w", "p", ref="r", commit="1" * 40)], str(tmp_path), {})
        assert 100 < log.stat().st_size < 1000
        assert log.with_name(log.name + ".1").stat().st_size == guard._LOG_BYTES - 100
    capfd.readouterr()


def test_what_cannot_be_judged_is_told_briefly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    error = ValueError("\x1b[2J" * 30_000)
    error.add_note("refs/" + "\x9b" * 60_000)
    guard.undecided(error)
    said = capfd.readouterr().err
    assert judges.harmless(said) and len(said) < 20_000


def test_the_tests_that_the_document_names_exist() -> None:
    """Under "Attacks" in docs/reliability.md: every ``file::test``, and each ``test`` that follows in the same line."""
    root = Path(__file__).resolve().parents[1]
    text = (root / "docs" / "reliability.md").read_text("utf-8")
    named = 0
    for line in text.partition("\n## Attacks\n")[2].partition("\n## ")[0].splitlines():
        file = ""
        for word in line.split("`")[1::2]:
            path, _, test = word.rpartition("::")
            file = path or file
            if not test.startswith("test_"):
                continue
            assert file, word
            found = (root / file).read_text("utf-8")
            assert f"def {test}(" in found or (test.endswith("*") and f"def {test[:-1]}" in found), word
            named += 1
    assert named > 50


def test_both_object_formats_are_tried() -> None:
    tried = [inputs.a_commit(Random(seed)) for seed in range(200)]
    assert {len(step.read().tree) for step in tried if judges.check_commit(step) in ("yes", "plain")} == {40, 64}


def test_every_mutation_follows_from_its_seed() -> None:
    for kind, _, make in inputs.KINDS:
        assert [make(Random(7)) for _ in range(3)] == [make(Random(7)) for _ in range(3)], kind
