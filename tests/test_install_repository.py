"""install/repository.py: what can be installed into, and what is refused with a sentence that helps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import decide, git, require, run, snapshot

from coordjournal import install
from coordjournal.install import InstallError, repository


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "plain.git")
    return tmp_path / "plain.git"


def test_what_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="no such folder") as caught:
        repository.opened(str(tmp_path / "none.git"))
    assert "coordjournal init" in caught.value.remedy
    with pytest.raises(InstallError, match="not a git repository"):
        repository.opened(str(tmp_path))


def test_a_folder_inside_another_repository_is_not_that_repository(tmp_path: Path, plain: Path) -> None:
    git(tmp_path, "init", "--quiet", "work")
    (tmp_path / "work" / "sub").mkdir()
    with pytest.raises(InstallError, match="not a git repository"):
        repository.opened(str(tmp_path / "work" / "sub"))
    with pytest.raises(InstallError, match="not a git repository"):
        repository.opened(str(plain / "refs"))


def test_a_repository_with_a_work_tree(tmp_path: Path, plain: Path) -> None:
    git(tmp_path, "init", "--quiet", "work")
    with pytest.raises(InstallError, match="has a work tree") as caught:
        repository.opened(str(tmp_path / "work"))
    assert "git clone --bare" in caught.value.remedy
    with pytest.raises(InstallError, match=r"core\.bare"):
        repository.opened(str(tmp_path / "work" / ".git"))
    git(plain, "config", "core.bare", "false")
    with pytest.raises(InstallError, match=r"core\.bare"):
        repository.opened(str(plain))


def test_a_link_and_a_cautious_user(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(plain)
    (tmp_path / "gitconfig").write_text("[safe]\n\tbareRepository = explicit\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    assert repository.opened(str(tmp_path / "link")).git_dir == str(plain)


def test_the_callers_git_variables_have_no_say(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert repository.opened(str(plain)).git_dir == str(plain)


def test_a_configuration_that_git_cannot_read(plain: Path) -> None:
    with (plain / "config").open("a") as file:
        file.write("[broken\n")
    with pytest.raises(InstallError, match=r"bad config"):
        repository.opened(str(plain))


def test_another_owner_is_explained_with_the_command(plain: Path) -> None:
    require(os.geteuid() == 0, "root, to give a repository away")
    os.chown(plain, 54_321, 54_321)
    with pytest.raises(InstallError, match="belongs to 54321, and git refuses to let root use") as caught:
        repository.opened(str(plain))
    assert f"git config --global --add safe.directory {plain}" in caught.value.remedy
    assert f"git config --system --add safe.directory {plain}" in caught.value.remedy
    assert "receive-pack" in caught.value.remedy
    assert "sudo -u 54321" in caught.value.remedy


def test_root_does_not_write_into_somebodys_own_repository(
    plain: Path, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(os.geteuid() == 0, "root, to give a repository away")
    os.chown(plain, 54_321, 54_321)
    (tmp_path / "gitconfig").write_text("[safe]\n\tdirectory = *\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    before = snapshot(plain)
    with pytest.raises(InstallError, match="is not shared: what root writes there, the owner could not change"):
        install.install(str(plain), prefix=prefix)
    assert snapshot(plain) == before


def test_without_permission(plain: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(plain / "refs") and real(path, mode))
    with pytest.raises(InstallError, match=f"may not write in {plain}/refs"):
        install.install(str(plain), prefix=prefix)


def test_where_no_program_runs(plain: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "runs_nothing", lambda path: True)
    with pytest.raises(InstallError, match="noexec"):
        install.install(str(plain), prefix=prefix)


def test_foreign_refs_are_refused_by_name(plain: Path, prefix: str) -> None:
    lawful = decide(plain)
    tree = git(plain, "hash-object", "-t", "tree", "-w", "--stdin")
    ordinary = git(plain, "commit-tree", "-m", "no decision", tree)
    tag = git(plain, "mktag", stdin=f"object {ordinary}\ntype commit\ntag t\ntagger a <a> 0 +0000\n\nx\n".encode())
    foreign = {
        "refs/spaces/Big": (lawful, "not the spelling of a space id"),
        "refs/spaces/a/b": (lawful, "not the spelling of a space id"),
        "refs/spaces/plain": (ordinary, "not a decision"),
        "refs/spaces/tag": (tag, "a tag, not a commit"),
        "refs/spaces/tree": (tree, "a tree, not a commit"),
        "refs/append/garden": (lawful, "nothing is ever stored"),
        "refs/intents/garden": (lawful, "not refs/intents/<space>/<arrival>-<decision id>"),
        "refs/intents/Big/1-x": (lawful, "not the spelling of a space id"),
        "refs/intents/garden/1/2": (lawful, "not refs/intents/<space>"),
        "refs/meta/coordjournal": (tree, "a tree, not a commit"),
    }
    for ref, (oid, why) in foreign.items():
        git(plain, "update-ref", ref, oid)
        found = repository.foreign_refs(str(plain))
        assert [name for name, _ in found] == [ref]
        assert why in found[0][1]
        git(plain, "update-ref", "-d", ref)
    git(plain, "update-ref", "refs/meta/coordjournal/x", lawful)
    assert repository.foreign_refs(str(plain))[0][0] == "refs/meta/coordjournal/x"

    git(plain, "update-ref", "refs/spaces/Big", lawful)
    before = snapshot(plain)
    with pytest.raises(InstallError, match="refs/spaces/Big: not the spelling of a space id") as caught:
        install.install(str(plain), prefix=prefix)
    assert "update-ref" in caught.value.remedy
    assert snapshot(plain) == before


def test_logs_and_everybody_elses_refs_are_not_foreign(plain: Path, prefix: str) -> None:
    first = decide(plain)
    second = decide(plain, parent=first, seq=1)
    for ref in ("refs/spaces/garden", "refs/spaces/a%2Fb", "refs/heads/main", "refs/meta/config", "refs/spacesuit/x"):
        git(plain, "update-ref", ref, second)
    assert repository.foreign_refs(str(plain)) == []
    report = install.install(str(plain), prefix=prefix, strict=True)
    assert any("refs/heads/main" in s.text for s in report.steps if s.kind == "note")


def test_many_foreign_refs_are_counted(plain: Path, prefix: str) -> None:
    lawful = decide(plain)
    updates = "".join(f"create refs/spaces/B{n} {lawful}\n" for n in range(30))
    git(plain, "update-ref", "--stdin", stdin=updates.encode())
    with pytest.raises(InstallError, match="and 10 more"):
        install.install(str(plain), prefix=prefix)


@pytest.mark.parametrize(
    ("path", "word"), [("/srv/x.git", "/srv/x.git"), ("/a b", "'/a b'"), ("it's", "'it'\\''s'"), ("$x", "'$x'")]
)
def test_commands_in_messages_can_be_pasted(path: str, word: str) -> None:
    assert repository.quoted(path) == word
    assert run("sh", "-c", f"printf %s {word}").stdout == path


def test_keys_are_folded_as_git_lists_them() -> None:
    assert repository.folded("gc.refs/Spaces/*.reflogExpire") == "gc.refs/Spaces/*.reflogexpire"
    assert repository.folded("Core.hooksPath") == "core.hookspath"
