"""What a shell completes."""

from __future__ import annotations

import os
import shutil
import sys

import pytest
from cli_support import ROOT, cj
from support import require, run

from coordjournal import AliasSet, Journal, OverlayCreated


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "wiki.git"
    run("git", "init", "--quiet", "--bare", path)
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        garden.append(AliasSet("Home", "a"), actor="alice")
        garden.append(AliasSet("Größe", "a"), actor="alice")
        garden.append(OverlayCreated("typo", "a", None, "text"), actor="alice")
        journal.space("großes").append(AliasSet("x", "a"), actor="alice")
    return path


@pytest.fixture
def complete(repo, monkeypatch):
    """Asks as the function of bash does; the last word is the one to complete."""

    def ask(*words, cwd=repo):
        monkeypatch.setenv("_COORDJOURNAL_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["coordjournal", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        result = cj(cwd=cwd)
        assert result.err == ""
        return [line.partition(",")[2] for line in result.out.splitlines() if line]

    return ask


def test_commands_and_options(complete):
    assert complete("re") == ["rescue", "revoke", "resolve"]
    assert complete("alias", "") == ["clear", "set"]
    assert "--dry-run" in complete("alias", "set", "--d")
    assert complete("why", "garden", "x", "--about", "can") == ["canonical"]
    assert complete("append", "garden", "overlay-") == ["overlay-created", "overlay-revised", "overlay-closed"]


def test_spaces(complete, repo, tmp_path):
    assert complete("log", "g") == ["garden", "großes"]
    assert complete("alias", "set", "") == ["garden", "großes"]
    assert complete("-C", str(repo), "state", "ga", cwd=tmp_path) == ["garden"]


def test_names_and_overlays(complete):
    assert complete("resolve", "garden", "") == ["Größe", "Home"]
    assert complete("alias", "clear", "garden", "H") == ["Home"]
    assert complete("overlay", "show", "garden", "") == ["typo"]


def test_the_inbox_and_the_outbox(complete, tmp_path, repo):
    assert complete("inbox", "") == ["list", "show", "garden", "großes"]
    assert complete("inbox", "g") == ["garden", "großes"]
    assert complete("inbox", "garden", "--j") == ["--json"]
    assert complete("inbox", "show", "ga") == ["garden"]
    assert complete("outbox", "") == ["drop", "list", "retry", "show"]
    assert complete("lease", "re") == ["release", "renew"]
    server = tmp_path / "server.git"
    run("git", "clone", "--quiet", "--bare", repo, server)
    with Journal.clone(str(server), tmp_path / "clone") as journal:
        assert journal.outbox is not None
        garden = journal.space("garden")
        for name in "ab":
            journal.outbox.add("garden", [garden.intent(AliasSet(name, "x"), actor="alice")])
    assert complete("outbox", "show", "", cwd=tmp_path / "clone") == ["1", "2"]
    assert complete("outbox", "drop", "2", cwd=tmp_path / "clone") == ["2"]


def test_names_only_where_it_is_cheap(complete, monkeypatch):
    from coordjournal.cli import base

    monkeypatch.setattr(base, "_CHEAP", 1)
    assert complete("resolve", "garden", "") == []
    assert complete("resolve", "großes", "") == ["x"]


def test_without_a_repository_there_is_nothing_and_no_error(complete, tmp_path):
    assert complete("log", "g", cwd=tmp_path) == []
    assert complete("resolve", "garden", "", cwd=tmp_path) == []
    assert complete("resolve", "nowhere", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts(shell, tmp_path):
    script = cj("completion", shell).out
    assert "_COORDJOURNAL_COMPLETE" in script
    (tmp_path / "script").write_text(script)
    if shutil.which(shell):  # zsh and fish are on few machines
        run(shell, "-n", tmp_path / "script")


def test_other_shells():
    assert "is not one of 'bash', 'zsh', 'fish'" in cj("completion", "tcsh", status=2).err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("coordjournal log g", "garden großes"),
        ("coordjournal alias cl", "clear"),
        ("git coordjournal log ga", "garden"),
        ("git -p coordjournal resolve garden ''", "Größe Home"),
    ],
)
def test_in_bash_itself(repo, tmp_path, words, expected):
    """With the words where bash, and git's own completion, put them."""
    require(shutil.which("bash"), "bash")
    script = tmp_path / "coordjournal"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from coordjournal.cli import program\nsys.exit(program())\n"
    )
    script.chmod(0o755)
    lines = [
        'eval "$(coordjournal completion bash)"',
        f"words=({words}) COMP_WORDS=({words})",
        "cword=$((${#words[@]} - 1)) COMP_CWORD=$cword cur=${words[cword]}",
        "_git_coordjournal" if words.startswith("git") else "_coordjournal_completion coordjournal",
        'echo "${COMPREPLY[*]}"',
    ]
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert run("bash", "-c", "\n".join(lines), cwd=repo, env={"PATH": path}).stdout == f"{expected}\n"
