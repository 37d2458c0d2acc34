"""Finding the repository: what two gits say, asked early and answered late."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support import git, run

from coordjournal.errors import NotAJournal
from coordjournal.opening import Asked


def children() -> set[int]:
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for path in lists for pid in path.read_text().split()}


def init(path: Path, *how: str) -> Path:
    run("git", "init", "--quiet", *how, path)
    return path


def test_a_bare_repository_holds_the_logs_itself(tmp_path: Path) -> None:
    found = Asked(init(tmp_path / "wiki.git", "--bare", "--object-format=sha256")).answer()
    assert (found.git_dir, found.hash_name) == (str(tmp_path / "wiki.git"), "sha256")
    assert (found.remote, found.prefix, found.spaces) == ("", "refs/spaces/", None)


def test_any_other_has_the_logs_of_a_remote(tmp_path: Path) -> None:
    path = init(tmp_path / "work")
    with pytest.raises(NotAJournal, match="no remote 'origin'"):
        Asked(path).answer()
    git(path, "remote", "add", "origin", "x")
    git(path, "remote", "add", "up", "x")
    assert Asked(path).answer().prefix == "refs/coordjournal/origin/"
    git(path, "config", "coordjournal.remote", "up")
    git(path, "config", "--add", "coordjournal.space", "garden")
    git(path, "config", "--add", "coordjournal.space", "pond\nor sea")
    git(path, "config", "coordjournal.appender", "two\nlines")
    git(path, "config", "user.name", "node a")
    found = Asked(path / ".git").answer()
    assert (found.remote, found.prefix, found.hash_name) == ("up", "refs/coordjournal/up/", "sha1")
    assert (found.spaces, found.appender) == (["garden", "pond\nor sea"], "node a")


def test_a_linked_work_tree_has_the_git_directory_of_the_main_one(tmp_path: Path) -> None:
    path = init(tmp_path / "work")
    git(path, "remote", "add", "origin", "x")
    git(path, "commit", "--quiet", "--allow-empty", "-m", "start")
    git(path, "worktree", "add", "--quiet", "../linked")
    (tmp_path / "linked" / "deep").mkdir()
    assert Asked(tmp_path / "linked" / "deep").answer().git_dir == str(path / ".git")


def test_a_path_may_hold_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = init(tmp_path / "a\nfalse\nb c.git", "--bare")
    assert Asked(path).answer().git_dir == str(path)
    monkeypatch.chdir(path)
    assert Asked("").answer().git_dir == str(path)
    odd = init(tmp_path / os.fsdecode(b"\xff"), "--bare")
    assert Asked(odd).answer().git_dir == str(odd)


def test_it_is_answered_for_the_time_of_asking_and_leaves_no_process(tmp_path: Path) -> None:
    before = children()
    asked = Asked(init(tmp_path / "wiki.git", "--bare"))
    assert len(children() - before) == 2
    asked.answer()
    assert children() == before
    asked = Asked(tmp_path / "wiki.git")
    asked.stop()
    asked.stop()
    assert children() == before


def test_without_git_that_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotAJournal, match="git is not installed"):
        Asked(tmp_path)
    assert children() == before


def test_a_git_that_failed_is_asked_for_its_words_and_may_have_an_answer_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = init(tmp_path / "wiki.git", "--bare")
    wrapper = tmp_path / "git"
    real = shutil.which("git")
    once = f'case "$*" in *rev-parse*) mkdir {tmp_path}/failed 2>/dev/null && exit 1;; esac'
    wrapper.write_text(f'#!/bin/sh\n{once}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert Asked(path).answer().git_dir == str(path)
    assert (tmp_path / "failed").is_dir()
    shutil.rmtree(path)
    path.mkdir()
    with pytest.raises(NotAJournal, match=r"no git repository that can be opened: fatal: .*not a git repository"):
        Asked(path).answer()
