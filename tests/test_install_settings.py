"""install/settings.py: what an append-only repository needs from git, and giving back what was set before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import git, run

from coordjournal import install
from coordjournal.install import InstallError, settings
from coordjournal.install.repository import opened

Bare = Callable[..., Path]

KEYS = [setting.key for setting in settings.NEEDED]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "plain.git")
    return tmp_path / "plain.git"


def value(setting: settings.Setting, repository: Path) -> str:
    """What a setting is in a repository."""
    return str(repository / "hooks") if setting.key == "core.hooksPath" else setting.value


def test_git_sees_every_setting(bare: Bare) -> None:
    repository = bare()
    for setting in settings.NEEDED:
        assert git(repository, "config", "--local", "--includes", "--get", setting.key) == value(setting, repository)
    assert git(repository, "config", "--get", "coordjournal.strict") == "true"
    assert settings.missing(opened(str(repository))) == []


def test_git_keeps_reflogs_of_the_logs_for_ever(bare: Bare) -> None:
    repository = bare()
    git(repository, "config", "coordjournal.strict", "false")
    tree = git(repository, "hash-object", "-t", "tree", "-w", "--stdin")
    commit = git(repository, "commit-tree", "-m", "x", tree)
    for ref in ("refs/spaces/x", "refs/heads/x"):
        git(repository, "update-ref", ref, commit, env={"GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z"})
        assert git(repository, "reflog", "show", ref)
    git(repository, "reflog", "expire", "--all")
    assert git(repository, "reflog", "show", "refs/spaces/x")
    assert not git(repository, "reflog", "show", "refs/heads/x")


def test_uninstall_restores_exactly_what_was(plain: Path, prefix: str) -> None:
    git(plain, "config", "receive.fsckObjects", "false")
    git(plain, "config", "core.logAllRefUpdates", "false")
    git(plain, "config", "--add", "core.fsync", "none")
    git(plain, "config", "--add", "core.fsync", "pack")
    git(plain, "config", "gc.pruneExpire", "now")
    git(plain, "config", "user.name", "somebody")
    before = (plain / "config").read_text()
    report = install.install(str(plain), prefix=prefix)
    assert any("set core.fsync = " in s.text and "(was none, pack)" in s.text for s in report.steps)
    assert settings.missing(opened(str(plain))) == []
    install.uninstall(str(plain))

    def sorted_pairs(text: str) -> list[str]:
        (plain / "probe").write_text(text)
        return sorted(run("git", "config", "--file", plain / "probe", "--list").stdout.splitlines())

    assert sorted_pairs((plain / "config").read_text()) == sorted_pairs(before)
    assert git(plain, "config", "--get-all", "core.fsync").splitlines() == ["none", "pack"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("receive.fsckObjects", "yes"),
        ("core.fsync", "all"),
        ("core.fsync", "reference,objects,derived-metadata,index"),
        ("core.fsyncMethod", "batch"),
        ("gc.pruneExpire", "never"),
        ("gc.pruneExpire", "3.months.ago"),
        ("gc.refs/spaces/*.reflogExpire", "false"),
        ("receive.shallowUpdate", "no"),
    ],
)
def test_what_will_do_as_well_is_left_alone(key: str, value: str, plain: Path, prefix: str) -> None:
    git(plain, "config", key, value)
    report = install.install(str(plain), prefix=prefix)
    assert git(plain, "config", key) == value
    assert not [step for step in report.steps if f"set {key} " in step.text]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("receive.fsckObjects", "false"),
        ("core.fsync", "none"),
        ("core.fsync", "committed,-loose-object"),
        ("core.fsyncMethod", "writeout-only"),
        ("core.logAllRefUpdates", "true"),
        ("gc.pruneExpire", "now"),
        ("gc.pruneExpire", "1.hour.ago"),
        ("gc.pruneExpire", "no time at all"),
        ("gc.refs/spaces/*.reflogExpire", "90.days.ago"),
        ("receive.shallowUpdate", "true"),
    ],
)
def test_what_will_not_do_is_set(key: str, value: str, bare: Bare) -> None:
    repository = bare()
    git(repository, "config", key, value)
    assert [setting.key for setting in settings.missing(opened(str(repository)))] == [key]
    assert install.install(str(repository)).changed
    assert settings.missing(opened(str(repository))) == []


def test_what_was_changed_since_is_left_alone_by_uninstall(bare: Bare) -> None:
    repository = bare()
    git(repository, "config", "gc.pruneExpire", "never")
    report = install.uninstall(str(repository))
    assert any("gc.pruneExpire was changed since to never and was left alone" in s.text for s in report.steps)
    assert git(repository, "config", "gc.pruneExpire") == "never"


def test_after_several_installs_uninstall_still_knows_the_first_state(plain: Path, prefix: str) -> None:
    git(plain, "config", "receive.fsckObjects", "false")
    install.install(str(plain), prefix=prefix)
    install.install(str(plain), strict=True)
    install.install(str(plain), strict=False)
    git(plain, "config", "core.logAllRefUpdates", "false")  # the administrator's own doing in between
    install.install(str(plain))
    assert git(plain, "config", "core.logAllRefUpdates") == "always"
    install.uninstall(str(plain))
    assert git(plain, "config", "receive.fsckObjects") == "false"
    assert git(plain, "config", "core.logAllRefUpdates") == "false"
    left = run("git", "-C", plain, "config", "--get-regexp", "coordjournal", check=False)
    assert left.stdout == ""


def test_settings_hold_against_the_configuration_of_who_pushes(
    bare: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = bare()
    careless = "[core]\n\tfsync = none\n\thooksPath = /x\n[receive]\n\tfsckObjects = false\n[gc]\n\tpruneExpire = now\n"
    (tmp_path / "gitconfig").write_text(careless)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    for setting in settings.NEEDED:
        assert git(repository, "config", "--get", setting.key) == value(setting, repository)


def test_an_included_file_that_has_the_last_word_is_told(plain: Path, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "site").write_text("[receive]\n\tfsckObjects = false\n")
    install.install(str(plain), prefix=prefix)
    with (plain / "config").open("a") as file:
        file.write(f"[include]\n\tpath = {tmp_path / 'site'}\n")
    with pytest.raises(InstallError, match=r"receive.fsckObjects stays 'false'.*includes") as caught:
        install.install(str(plain), prefix=prefix)
    assert "--show-origin --get-all receive.fsckObjects" in caught.value.remedy


def test_a_setting_that_the_hook_could_not_read_is_told(plain: Path, prefix: str) -> None:
    git(plain, "config", "coordjournal.maxDecisionBytes", "lots")
    with pytest.raises(InstallError, match=r"not what the hook can read.*maxdecisionbytes"):
        install.install(str(plain), prefix=prefix)


def test_strict_is_set_only_when_asked(plain: Path, prefix: str) -> None:
    install.install(str(plain), prefix=prefix)
    assert run("git", "-C", plain, "config", "coordjournal.strict", check=False).returncode == 1
    install.install(str(plain), strict=True)
    assert git(plain, "config", "coordjournal.strict") == "true"
    install.install(str(plain))
    assert git(plain, "config", "coordjournal.strict") == "true"


def test_every_setting_says_why() -> None:
    assert len(set(KEYS)) == len(KEYS)
    for setting in settings.NEEDED:
        assert setting.why
        assert setting.accepts(setting.value)
