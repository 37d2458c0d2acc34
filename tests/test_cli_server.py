"""The administrator's commands: that they reach the installer and tell what it did. What it does is tested there."""

from __future__ import annotations

import json

from cli_support import cj
from support import git, run

from coordjournal import AliasSet, Journal


def test_from_nothing_to_a_guarded_repository_and_back(prefix, tmp_path):
    repo = tmp_path / "wiki.git"
    out = cj("init", repo, "--prefix", prefix).out
    assert out.startswith(f"+ made the bare repository {repo}\n")
    assert f"+ wrote the hook {repo}/hooks/pre-receive\n" in out
    assert f"+ wrote the hook {repo}/hooks/proc-receive\n" in out
    again = cj("install", repo)
    assert again.out.endswith("\nnothing was changed\n")
    assert "+ " not in again.out
    told = cj("upgrade", repo, "--json").json
    assert set(told) == {"git_dir", "prefix", "python", "version", "changed", "steps"}
    assert (told["git_dir"], told["prefix"], told["changed"]) == (str(repo), prefix, False)
    assert {step["kind"] for step in told["steps"]} <= {"changed", "kept", "note"}
    assert "! the package stays in" in cj("uninstall", repo).out
    assert not (repo / "hooks" / "pre-receive").exists()
    result = cj("uninstall", repo, status=1)
    assert result.err == f"coordjournal: install: coordjournal is not installed in {repo}\n"


def test_options_of_init_and_install(prefix, tmp_path):
    repo = tmp_path / "wiki.git"
    cj("init", repo, "--prefix", prefix, "--object-format", "sha256", "--shared", "group", "--no-strict", "--json")
    assert git(repo, "rev-parse", "--show-object-format") == "sha256"
    assert git(repo, "config", "core.sharedRepository") in ("1", "group")
    assert git(repo, "config", "coordjournal.strict") == "false"
    cj("install", repo, "--strict")
    assert git(repo, "config", "coordjournal.strict") == "true"
    cj("install", repo)
    assert git(repo, "config", "coordjournal.strict") == "true"
    cj("install", repo, "--no-strict")
    assert git(repo, "config", "coordjournal.strict") == "false"
    result = cj("install", repo, "--python", "/nowhere/python", "--json", status=1)
    assert (result.error["code"], result.out) == ("install", "")
    assert result.error["message"]


def test_whether_intents_are_sequenced_is_an_option(prefix, tmp_path):
    repo = tmp_path / "wiki.git"
    hook = repo / "hooks" / "proc-receive"
    cj("init", repo, "--prefix", prefix, "--no-sequencing")
    assert not hook.exists()
    cj("install", repo)
    assert not hook.exists()
    assert "+ added refs/append to receive.procReceiveRefs\n" in cj("install", repo, "--sequencing").out
    assert hook.exists()
    cj("install", repo)
    assert hook.exists()
    assert "+ removed refs/append from receive.procReceiveRefs\n" in cj("install", repo, "--no-sequencing").out
    assert not hook.exists()
    hook.write_text("#!/bin/sh\n")
    result = cj("install", repo, "--sequencing", status=1)
    assert "is not coordjournal's" in result.err
    assert "If nobody needs it, move it out of the folder" in result.err


def test_upgrade_of_a_prefix(prefix):
    assert "nothing was changed" in cj("upgrade", "--prefix", prefix).out
    assert "there is no coordjournal in" in cj("upgrade", "--prefix", prefix + "-none", status=1).err


def test_what_cannot_be_done_safely_is_told_with_its_remedy(tmp_path):
    run("git", "init", "--quiet", tmp_path / "plain")
    result = cj("install", tmp_path / "plain", status=1)
    first, *more = result.err.splitlines()
    assert first.startswith("coordjournal: install: ")
    assert more
    assert all(line.startswith("  ") for line in more)


def test_doctor(bare):
    repo = bare()
    out = cj("doctor", repo, "--no-probe").out
    assert "ok       hooks: " in out
    assert "probe" not in out
    assert "probe: in a scratch repository with the same hooks a rewind is refused" in cj("-C", repo, "doctor").out
    (repo / "hooks" / "pre-receive").chmod(0o644)
    result = cj("doctor", repo, "--no-probe", status=1)
    assert "\nerror    hooks: " in result.out
    assert "\n         -> " in result.out
    told = cj("doctor", repo, "--no-probe", "--json", status=1).json
    assert told["ok"] is False
    assert {"check", "level", "what", "remedy"} == set(told["findings"][0])


# -- schemas -----------------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"page": {"type": "string"}}, "required": ["page"]}


def test_an_extension_type_from_its_declaration_to_its_decision(bare, tmp_path):
    server = bare()
    (tmp_path / "tag.json").write_text(json.dumps(SCHEMA))
    cj("clone", server, tmp_path / "clone")
    append = ["-C", tmp_path / "clone", "append", "garden", "x-acme-tag"]
    assert "undeclared-type" in cj(*append, '{"page": "a"}', status=1).err

    declare = ["-C", server, "schema", "declare", "x-acme-tag"]
    assert cj(*declare, "tag.json", "--dry-run", cwd=tmp_path).out == "would declare x-acme-tag\n"
    assert cj("-C", server, "schema", "list", "--json").json["declared"] == []
    assert cj(*declare, "tag.json", cwd=tmp_path).out == "declared x-acme-tag\n"
    again = cj(*declare, "-", "--json", stdin=json.dumps(SCHEMA).encode())
    assert again.json == {"dry_run": False, "type": "x-acme-tag", "changed": False}
    assert "declared already, with the same schema" in cj(*declare, "tag.json", "--dry-run", cwd=tmp_path).out

    cj("-C", tmp_path / "clone", "sync")
    assert cj("-C", tmp_path / "clone", "schema", "list", "--json").json["declared"] == ["x-acme-tag"]
    assert cj("-C", tmp_path / "clone", "schema", "show", "x-acme-tag", "--json").json == SCHEMA
    assert "extension-schema" in cj(*append, '{"page": 3}', status=1).err
    assert cj(*append, '{"page": "a"}').out.startswith('garden@0  x-acme-tag: {"page":"a"}  ')
    assert cj("verify", server).out == "lawful  garden: 1 decision\n"


def test_what_cannot_be_declared(bare, tmp_path):
    server = bare()
    declare = ["-C", server, "schema", "declare"]
    cj(*declare, "x-acme-tag", "-", stdin=b"{}")
    for dry in ([], ["--dry-run"]):
        result = cj(*declare, "x-acme-tag", "-", *dry, stdin=b'{"type": "object"}', status=1)
        assert "a declared schema never changes" in result.err
        assert "is not x-<vendor>-<name>" in cj(*declare, "tag", "-", *dry, stdin=b"{}", status=1).err
        assert "not a JSON Schema" in cj(*declare, "x-a-b", "-", *dry, stdin=b'{"type": 3}', status=1).err
    assert "is not JSON" in cj(*declare, "x-a-b", "-", stdin=b"{", status=2).err
    cj("clone", server, tmp_path / "clone")
    result = cj("-C", tmp_path / "clone", "schema", "declare", "x-a-b", "-", stdin=b"{}", status=1)
    assert "this is a clone, and schemas are declared on the server" in result.err


def test_the_built_in_schemas(tmp_path):
    repo = tmp_path / "wiki.git"
    run("git", "init", "--quiet", "--bare", repo)
    listed = cj("-C", repo, "schema", "list").out
    assert "alias-set  built in\n" in listed
    assert "envelope" not in listed
    assert json.loads(cj("schema", "show", "alias-set", cwd=tmp_path).out)["required"] == ["alias", "target"]
    assert "neither built in nor declared here" in cj("-C", repo, "schema", "show", "../x", status=1).err


# -- whole logs --------------------------------------------------------------------------------------------------------


def test_a_log_moves_to_another_server(bare, tmp_path):
    one, other = bare("one.git"), bare("other.git")
    with Journal.open(one, appender="server") as journal:
        garden = journal.space("garden")
        for page in "abc":
            garden.append(AliasSet("Home", page), actor="alice")
    exported = cj("-C", one, "export", "garden").out
    (tmp_path / "garden.jsonl").write_text(exported)
    cj("clone", other, tmp_path / "clone")

    rehearsed = cj("-C", tmp_path / "clone", "import", "garden", "garden.jsonl", "--dry-run", cwd=tmp_path).out
    assert rehearsed == "would import 3 decisions: garden@0 to garden@2\n+ alias Home -> c\n"
    assert git(other, "for-each-ref", "refs/spaces") == ""
    told = cj("-C", tmp_path / "clone", "import", "garden", "-", "--json", stdin=exported.encode()).json
    assert told == {
        "dry_run": False,
        "space": "garden",
        "imported": 3,
        "known": 0,
        "before": -1,
        "after": 2,
        "commit": git(one, "rev-parse", "refs/spaces/garden"),
        "changes": told["changes"],
    }
    assert told["changes"]["aliases"] == {"Home": [None, "c"]}
    assert git(other, "rev-parse", "refs/spaces/garden") == told["commit"]
    assert cj("-C", other, "export", "garden").out == exported
    again = cj("-C", tmp_path / "clone", "import", "garden", "garden.jsonl", cwd=tmp_path).out
    assert again == "all 3 decisions are there already: garden@2\n"

    cj("-C", one, "alias", "set", "garden", "Home", "d")
    rest = cj("-C", one, "export", "garden", "--since", "3").out
    assert cj("-C", other, "import", "garden", "-", stdin=rest.encode()).out.startswith(
        "imported 1 decisions: garden@3"
    )
    # The clone does not have it yet, but what it imports is compared with what the server has.
    whole = cj("-C", one, "export", "garden").out
    again = cj("-C", tmp_path / "clone", "import", "garden", "-", stdin=whole.encode()).out
    assert again == "all 4 decisions are there already: garden@3\n"


def test_a_file_that_cannot_be_imported(bare, tmp_path):
    repo = bare()
    result = cj("-C", repo, "import", "garden", "-", stdin=b"{}\n", status=1)
    assert result.err.startswith("coordjournal: bad-import: line 1: damaged: ")
    error = cj("-C", repo, "import", "garden", "-", "--json", stdin=b"{}\n", status=1).error
    assert (error["code"], error["line"]) == ("bad-import", 1)
    assert "Cannot read 'gone'" in cj("-C", repo, "import", "garden", "gone", status=2).err
    assert "Is a directory" in cj("-C", repo, "import", "garden", tmp_path, status=2).err


def test_the_law_refuses_a_line_with_its_remedy(bare):
    one, other = bare("one.git"), bare("other.git")
    with Journal.open(one, appender="server") as journal:
        journal.space("garden").append(AliasSet("Home", "a"), actor="alice")
    exported = cj("-C", one, "export", "garden").out.encode()
    git(other, "config", "coordjournal.maxDecisionBytes", "100")
    result = cj("-C", other, "import", "garden", "-", stdin=exported, status=1)
    assert result.err.startswith("coordjournal: bad-import: line 1: too-large at commit: a decision commit of ")
    assert "-> keep large text in an attachment" in result.err
    error = cj("-C", other, "import", "garden", "-", "--json", stdin=exported, status=1).error
    assert (error["refusal"]["code"], error["refusal"]["place"]) == ("too-large", "commit")
    git(other, "config", "coordjournal.readOnly", "true")
    assert cj("-C", other, "import", "garden", "-", "--json", stdin=exported, status=1).error["code"] == "read-only"
