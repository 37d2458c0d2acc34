"""The test vectors of the format: this implementation agrees with each, and git accepts what they call lawful."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import decide, git, push, run
from vectors import make

from coordjournal import accept, admission, canonical, commit, gitread, law, receive, refs, schema, text, timestamp
from coordjournal.errors import Refused
from coordjournal.index import VOID_REASONS

FOLDER = Path(__file__).resolve().parents[1] / "schemas" / "vectors"


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


COMMITS = read("commits.json")
LAWFUL = [case for case in COMMITS["cases"] if "accept" in case]


def raw(content: Any) -> bytes:
    return content.encode() if isinstance(content, str) else base64.b64decode(content["base64"])


def spelled(case: dict[str, Any], key: str = "value") -> str:
    """A value, or the repetition that stands for it."""
    repeat = "repeat" if key == "value" and "repeat" in case else f"{key}_repeat"
    return str(case[repeat] * case["times"] if repeat in case else case[key])


def test_the_files_are_what_the_cases_say() -> None:
    for name, content in make.render().items():
        assert (FOLDER / name).read_text("utf-8") == content, f"{name} is stale: python -m tests.vectors.make"


# -- text, refs, JSON, subjects, the admission -----------------------------------------------------------------------


def test_text() -> None:
    classes = {
        "ident": text.is_ident,
        "label": text.is_label,
        "page": text.is_page,
        "reason": text.is_reason,
        "space": text.is_space,
    }
    for case in read("text.json")["texts"]:
        value = spelled(case)
        assert [name for name, test in classes.items() if test(value)] == case["classes"], case


def test_text_by_the_schemas() -> None:
    for case in read("text.json")["texts"]:
        value = spelled(case)
        allowed = [
            name
            for name in ("ident", "label", "page", "reason", "space")
            if schema._validator(f"text#/$defs/{name}").is_valid(value)
        ]
        assert allowed == case["classes"], case


def test_meta() -> None:
    by_schema = schema._validator("text#/$defs/meta")
    for case in read("text.json")["meta"]:
        of_value = "value" in case or "value_repeat" in case
        meta = {"k": spelled(case)} if of_value else {spelled(case, "key"): "v"}
        assert accept._is_meta(meta) == case["valid"], case
        if all(map(str.isascii, meta)):  # a key beyond ASCII is no JSON of the model: no schema ever sees it
            assert by_schema.is_valid(meta) == case["valid"], case


def test_times() -> None:
    by_schema = schema._validator("text#/$defs/at")
    for case in read("text.json")["times"]:
        valid = case["seconds"] is not None
        assert accept.is_at(case["at"]) == valid == by_schema.is_valid(case["at"]), case
        if valid:
            assert timestamp.seconds(case["at"]) == case["seconds"]


def test_ids_and_types() -> None:
    page = read("text.json")
    for case in page["ids"]:
        assert accept.is_id(case["id"]) == case["valid"], case
        assert schema._validator("text#/$defs/id").is_valid(case["id"]) == case["valid"], case
    for case in page["types"]:
        assert accept.is_extension_type(case["type"]) == case["extension"], case
        assert schema._validator("text#/$defs/extension-type").is_valid(case["type"]) == case["extension"], case


def test_refs() -> None:
    page = read("refs.json")
    for case in page["spaces"]:
        assert refs.encode_space(case["space"]) == case["ref"]
        assert refs.decode_space(case["ref"]) == case["space"]
    for case in page["not_spaces"]:
        with pytest.raises(ValueError, match="not a space id"):
            refs.encode_space(case["space"])
    for case in page["not_spellings"]:
        with pytest.raises(ValueError, match="not the spelling"):
            refs.decode_space(case["ref"])


@pytest.mark.parametrize("strict", [True, False])
def test_refs_that_a_push_may_name(strict: bool, bare: Callable[..., Path], tmp_path: Path) -> None:
    cases = read("refs.json")["refs"]
    verdicts = {case["ref"]: case["strict" if strict else "otherwise"] for case in cases}
    server = bare()
    git(server, "config", "coordjournal.strict", str(strict).lower())
    client = tmp_path / "client"
    run("git", "init", "-q", client)
    updates = [f"+{decide(client, (verdict or {}).get('space', 'x'))}:{ref}" for ref, verdict in verdicts.items()]
    told = push(client, server, *updates).stderr
    found = dict(re.findall(r"(refs/\S+) commit .* Seq \S+\s*\nremote: +([a-z-]+)", told))
    assert found == {ref: verdict["code"] for ref, verdict in verdicts.items() if verdict and "code" in verdict}
    assert git(server, "for-each-ref", "refs/spaces") == ""  # nothing moves if anything is refused


@pytest.mark.parametrize("case", read("refs.json")["sequenced"], ids=lambda case: case["ref"])
def test_refs_that_a_push_may_name_where_intents_are_sequenced(case: dict[str, Any], tmp_path: Path) -> None:
    run("git", "init", "-q", "--bare", tmp_path)
    git(tmp_path, "config", "receive.procReceiveRefs", "refs/append")
    space = case["met"].get("append") or case["met"].get("space", "x")
    pushed = decide(tmp_path, space)
    env = gitread.environment(str(tmp_path), os.environ)
    with gitread.Objects(env) as objects:
        refusals = list(receive.judge([("0" * 40, pushed, case["ref"])], env, objects))
        assert [refusal.code for refusal in refusals] == ([case["met"]["code"]] if "code" in case["met"] else [])
        if "append" in case["met"]:
            for updates in (
                [(pushed, "0" * 40, case["ref"])],
                [("0" * 40, pushed, case["ref"]), ("0" * 40, pushed, "refs/heads/x")],
            ):
                assert [refusal.code for refusal in receive.judge(updates, env, objects)] == ["bad-ref"]


def test_refs_of_intents_that_wait(tmp_path: Path) -> None:
    cases = read("refs.json")["intents"]
    run("git", "init", "-q", "--bare", tmp_path)
    blob = git(tmp_path, "hash-object", "-w", "--stdin")
    for case in cases:
        assert case["ref"] == f"{refs.INTENTS}{refs.encode_space(case['space'])}/{case['arrival']:016}-{case['id']}"
        assert accept.is_id(case["id"])
        git(tmp_path, "update-ref", case["ref"], blob)
    listed = git(tmp_path, "for-each-ref", "--format=%(refname)", "refs/intents/garden/").split("\n")
    assert listed == [case["ref"] for case in cases if case["space"] == "garden"]  # git's order is that of arrival


def test_git_takes_every_ref(tmp_path: Path) -> None:
    names = [refs.SPACES + case["ref"] for case in read("refs.json")["spaces"]]
    assert run("git", "init", "-q", "--bare", tmp_path).returncode == 0
    blob = git(tmp_path, "hash-object", "-w", "--stdin")
    git(tmp_path, "update-ref", "--stdin", stdin="".join(f"create {name} {blob}\n" for name in names).encode())
    assert git(tmp_path, "for-each-ref", "--format=%(refname)").split("\n") == sorted(names)


def _json_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = read("canonical.json")["cases"]
    for case in cases:
        repeated = case.get("repeated")
        case["raw"] = raw(case["json"]) if repeated is None else "".join(part * n for part, n in repeated).encode()
    return cases


@pytest.mark.parametrize("case", _json_cases(), ids=lambda case: case["about"])
def test_canonical_json(case: dict[str, Any]) -> None:
    if "code" in case:
        with pytest.raises(Refused) as caught:
            canonical.loads(case["raw"])
        assert caught.value.code == case["code"]
        assert len(str(caught.value)) < 500
        return
    value = canonical.loads(case["raw"])
    assert canonical.dumps(value) == case["raw"]
    assert canonical.loads_fast(case["raw"]) == value
    if "value" in case:
        assert repr(value) == repr(case["value"])  # repr tells true from 1


def test_canonical_json_as_the_hook_reads_it() -> None:
    """Without the module json, where _json raises SystemError for what is malformed."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from coordjournal.canonical import loads_fast, outside_model\n"
        "for line in sys.stdin:\n"
        "    value = loads_fast(bytes.fromhex(line))\n"
        "    print(value is not None and not outside_model(value))\n"
        "assert 'json' not in sys.modules\n"
    )
    cases = [case for case in _json_cases() if case["raw"] != b"null"]
    lines = "".join(case["raw"].hex() + "\n" for case in cases).encode()
    told = run(sys.executable, "-IS", "-c", program, str(FOLDER.parents[1]), stdin=lines).stdout.split()
    assert [answer == "True" for answer in told] == ["code" not in case for case in cases]


def test_subjects() -> None:
    for case in read("subjects.json")["cases"]:
        subject = commit.subject(case["type"], case["payload"])
        assert subject == case["subject"]
        assert len(subject.encode()) <= 200


def test_admission() -> None:
    for case in read("admission.json")["cases"]:
        child = commit.Commit.unread("c" * 40)
        child.appended = case["appended"]
        parent = None
        if case["parent_appended"] is not None:
            parent = commit.Commit.unread("b" * 40)
            parent.appended = case["parent_appended"]
            parent.lease = case["parent_lease"]
        doc = {"at": case["at"], "type": "alias-set"}
        settings = admission.Settings(clock_skew=case["clock_skew"])
        assert _code(admission.check, doc, parent, child, case["now"], settings) == case["code"], case["about"]
    assert {case["code"] for case in read("admission.json")["cases"]} == {None, "clock"}


def test_admission_of_leases() -> None:
    child = commit.Commit.unread("c" * 40)
    child.appended = 1795341600
    for case in read("admission.json")["ttls"]:
        settings = admission.Settings(clock_skew=case["clock_skew"], lease_max_ttl=case["lease_max_ttl"])
        doc = {"at": "2026-11-22T10:00:00.000000Z", "type": "lease-acquired", "payload": {"ttl": case["ttl"]}}
        assert _code(admission.check, doc, None, child, child.appended, settings) == case["code"], case


def test_admission_of_intents() -> None:
    for case in read("admission.json")["intents"]:
        settings = admission.Settings(clock_skew=case["clock_skew"], lease_max_ttl=case["lease_max_ttl"])
        doc = {"at": case["at"], "type": case["type"], "payload": {"ttl": case.get("ttl")}}
        assert _code(admission.check_intent, doc, case["now"], settings) == case["code"], case["about"]


def _code(check: Callable[..., None], *asked: Any) -> str | None:
    try:
        check(*asked, lambda kind, payload: None)
    except Refused as refusal:
        return refusal.code
    return None


# -- commits ---------------------------------------------------------------------------------------------------------


def judge(case: dict[str, Any]) -> dict[str, Any]:
    parent = case["parent"] and commit.parse(case["parent"], raw(COMMITS["parents"][case["parent"]]))
    child = commit.parse(case["oid"], raw(case["commit"]))
    if child.files is None:
        child.files = tuple(
            commit.File(file["mode"], file["name"], file["oid"], file["size"], file["sha256"]) for file in case["files"]
        )
    doc = law.check(case["space"], parent, child)
    lease = {} if child.lease is None else {"lease": child.lease}
    return {"accept": True, "seq": child.seq, "decision": doc, **lease}


@pytest.mark.parametrize("case", COMMITS["cases"], ids=lambda case: case["name"])
def test_commits(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for fast in (True, False):
        if not fast:
            monkeypatch.setattr(law, "accept", lambda doc: False)  # the schemas alone judge
        if "accept" in case:
            found = judge(case)
            due = {key: case[key] for key in ("accept", "seq", "decision", "lease") if key in case}
            assert canonical.dumps(found) == canonical.dumps(due)
        else:
            with pytest.raises(Refused) as caught:
                judge(case)
            assert caught.value.code == case["code"]
            assert caught.value.place == case.get("place", caught.value.place)
            assert caught.value.what
            assert len(str(caught.value)) < 1000


def test_every_code_of_the_law_has_cases() -> None:
    codes = [case["code"] for case in COMMITS["cases"] if "code" in case]
    few = {code: codes.count(code) for code in codes}
    assert min(few.values()) >= 2
    assert few["bad-commit"] > 100
    assert few["lease"] > 90
    assert few["lease-held"] > 15
    assert set(few) == {
        "attachment",
        "author",
        "bad-commit",
        "bad-json",
        "lease",
        "lease-held",
        "merge",
        "not-canonical",
        "not-fast-forward",
        "schema",
        "seq",
        "subject",
        "time",
        "unknown-type",
        "wrong-space",
    }
    assert {case["decision"]["type"] for case in LAWFUL} >= accept.BUILT_IN
    assert len({case["name"] for case in COMMITS["cases"]}) == len(COMMITS["cases"])


def test_the_document_shows_real_bytes_and_names_every_code() -> None:
    document = (FOLDER.parents[1] / "docs" / "format.md").read_text("utf-8")
    shown = re.findall(r"^```\n(.*?)^```$", document, re.DOTALL | re.MULTILINE)
    lawful = {case["commit"]: case["oid"] for case in LAWFUL if isinstance(case["commit"], str)}
    assert len(shown) == 2
    for example in shown:
        assert f"`{lawful[example]}`" in document
    for word in {case["code"] for case in COMMITS["cases"] if "code" in case} | set(VOID_REASONS) | accept.BUILT_IN:
        assert f"`{word}`" in document
    for case in read("refs.json")["spaces"]:
        if f"| `{case['space']}` |" in document:
            assert f"| `{case['space']}` | `refs/spaces/{case['ref']}` |" in document


def test_intents_are_commits_without_a_place() -> None:
    for case in COMMITS["cases"]:
        if case["name"] == "seq: an intent":
            intent = commit.parse(case["oid"], raw(case["commit"]))
            assert intent.seq is None
            assert law.intent("garden", intent)["type"] == "alias-set"
            break
    else:
        pytest.fail("no such case")


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_git_names_and_likes_the_lawful_ones(object_format: str, tmp_path: Path) -> None:
    run("git", "init", "-q", "--bare", f"--object-format={object_format}", tmp_path)
    _write(tmp_path, "tree", b"")
    tips = {}
    for case in LAWFUL:
        if case["object_format"] != object_format:
            continue
        if case["files"]:
            _write_tree(tmp_path, case["files"])
        assert _write(tmp_path, "commit", raw(case["commit"])) == case["oid"]
        tips[refs.space_ref(case["space"])] = case["oid"]
    git(tmp_path, "update-ref", "--stdin", stdin="".join(f"create {ref} {tips[ref]}\n" for ref in tips).encode())
    checked = run("git", "-C", tmp_path, "fsck", "--strict", "--no-progress")
    assert (checked.stdout + checked.stderr).splitlines() == ["notice: HEAD points to an unborn branch (main)"]
    logged = git(tmp_path, "log", "--reverse", "--format=%s", refs.space_ref("garden")).split("\n")
    garden = [case for case in LAWFUL if case["object_format"] == object_format and case["space"] == "garden"]
    assert logged == [raw(case["commit"]).decode().split("\n\n")[1] for case in garden]


def test_git_reads_the_same_from_every_tree(tmp_path: Path) -> None:
    run("git", "init", "-q", "--bare", tmp_path)
    with gitread.Objects(gitread.environment(str(tmp_path), os.environ)) as objects:
        for case in COMMITS["cases"]:
            if case["files"] and case["object_format"] == "sha1":
                tree = _write_tree(tmp_path, case["files"])
                assert raw(case["commit"]).startswith(f"tree {tree}\n".encode())
                measured = objects.files(tree, None)
                assert measured is not None
                found = [{key: getattr(file, key) for key in file.__slots__} for file in measured]
                assert found == [{key: file[key] for key in commit.File.__slots__} for file in case["files"]]


def _write(repository: Path, kind: str, content: bytes) -> str:
    literally = ["--literally"] if kind == "tree" else []  # some of the trees are none that git would write
    return git(repository, "hash-object", "-t", kind, "-w", *literally, "--stdin", stdin=content)


def _write_tree(repository: Path, files: list[dict[str, Any]]) -> str:
    for file in files:
        assert _write(repository, "tree" if file["mode"] == "40000" else "blob", raw(file["content"])) == file["oid"]
    entries = (f"{file['mode']} {file['name']}\0".encode() + bytes.fromhex(file["oid"]) for file in files)
    return _write(repository, "tree", b"".join(entries))
