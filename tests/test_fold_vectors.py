"""The fold vectors: logs and states written by hand, for any implementation, and whether ours agrees."""

import json
from pathlib import Path

import model
import pytest

from coordjournal import canonical, text, timestamp
from coordjournal.accept import accept
from coordjournal.decision import Decision, Landed
from coordjournal.index import VOID_REASONS, Index
from coordjournal.state import CoordinationState, fold

FILES = sorted((Path(__file__).parent.parent / "schemas" / "vectors" / "fold").glob("*.json"))
KEYS = {"name", "about", "space", "log", "state"}
OPTIONAL = {"as_of", "without", "answers"}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def vector(request):
    found = json.loads(request.param.read_text(encoding="utf-8"))
    assert found["name"] == request.param.stem
    return found


def landed(vector):
    return [
        Landed(
            entry["seq"],
            entry["commit"],
            timestamp.seconds(entry["appended"]),
            entry["appender"],
            Decision.from_json(entry["decision"]),
            entry.get("lease"),
        )
        for entry in vector["log"]
    ]


def records(vector):
    return [(one.commit, one.appended, one.appender, one.decision.json(), one.lease) for one in landed(vector)]


def test_it_is_a_log(vector):
    assert set(vector) - OPTIONAL == KEYS
    latest = 0
    before = None
    for seq, entry in enumerate(vector["log"]):
        assert set(entry) - {"lease"} == {"seq", "commit", "appended", "appender", "decision"}
        assert entry["seq"] == seq
        assert len(entry["commit"]) == 40
        assert int(entry["commit"], 16)
        assert timestamp.seconds(entry["appended"]) >= latest
        latest = timestamp.seconds(entry["appended"])
        assert entry["appended"] == timestamp.text(latest)
        assert text.is_ident(entry["appender"])
        doc = entry["decision"]
        assert canonical.loads(canonical.dumps(doc)) == doc
        assert accept(doc)
        placed = (entry["appender"], latest, entry.get("lease"), doc)
        assert model.lease_code(before, placed) is None
        before = placed
        assert timestamp.seconds(doc["at"]) <= latest
        assert doc["space"] == vector["space"]


def test_the_state_is_the_expected_one(vector):
    state = fold(landed(vector), space=vector["space"])
    assert state.json() == vector["state"]
    assert list(state.json()) == list(vector["state"])
    assert list(state.aliases) == list(vector["state"]["aliases"])


def test_any_two_steps_give_the_same(vector):
    every = records(vector)
    for cut in range(len(every) + 1):
        index = Index(vector["space"])
        index.extend(every[:cut])
        early = CoordinationState(index)
        early.json()
        index.extend(every[cut:])
        assert CoordinationState(index).json() == vector["state"]
        assert early.seq == cut - 1


def test_the_naive_model_agrees(vector):
    log = [entry["decision"] for entry in vector["log"]]
    expected = {key: value for key, value in vector["state"].items() if key != "commit"}
    trailer = vector["log"][-1].get("lease") if log else None
    assert model.state(log, space=vector["space"], trailer=trailer) == expected


def test_other_views_are_the_expected_ones(vector):
    state = fold(landed(vector), space=vector["space"])
    for view in vector.get("as_of", []):
        assert state.as_of(view["seq"]).json() == view["state"]
    for view in vector.get("without", []):
        assert state.without(view["seqs"]).json() == view["state"]


def test_answers_are_the_expected_ones(vector):
    state = fold(landed(vector), space=vector["space"])
    answers = vector.get("answers", {})
    asked = {
        "resolve": state.resolve,
        "group": lambda page: list(state.group(page)),
        "canonical": state.canonical,
        "lineage": lambda page: list(state.lineage(page)),
        "as_of_time": lambda time: state.as_of_time(timestamp.seconds(time)).seq,
    }
    for question, expected in answers.items():
        assert {one: asked[question](one) for one in expected} == expected


def test_every_reason_to_be_void_has_a_vector():
    reasons = {
        void["reason"] for path in FILES for void in json.loads(path.read_text(encoding="utf-8"))["state"]["void"]
    }
    assert reasons == set(VOID_REASONS) - {"extension-failed"}  # that one is about a plug-in
