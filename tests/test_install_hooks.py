"""install/hooks.py: our hooks in, what was there before aside and back, for every odd state of the folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support import decide, git, push, run, snapshot

from coordjournal import AliasSet, Journal, install
from coordjournal.install import InstallError, hooks, settings

Bare = Callable[..., Path]

SCRIPT = """#!/bin/sh
# the hook from before
cat > seen.txt
exit ${VERDICT:-0}
"""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A bare repository without any hooks folder."""
    git(tmp_path, "init", "--quiet", "--bare", "--template=", "plain.git")
    return tmp_path / "plain.git"


@pytest.fixture
def client(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "client.git")
    return tmp_path / "client.git"


def hook(repository: Path, body: str = SCRIPT, mode: int = 0o755) -> Path:
    path = repository / "hooks" / "pre-receive"
    path.parent.mkdir(exist_ok=True)
    path.write_text(body)
    path.chmod(mode)
    return path


def told(report: install.Report) -> str:
    return "\n".join(step.text for step in report.steps)


def test_into_a_repository_without_a_hooks_folder(plain: Path, prefix: str, client: Path) -> None:
    install.install(str(plain), prefix=prefix)
    path = plain / "hooks" / "pre-receive"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert hooks.kind(str(path), "pre-receive") == "ours"
    first = decide(client)
    second = decide(client, parent=first, seq=1)
    assert push(client, plain, f"{second}:refs/spaces/garden").returncode == 0
    refused = push(client, plain, f"+{first}:refs/spaces/garden")
    assert refused.returncode == 1
    assert "not-fast-forward" in refused.stderr
    assert git(plain, "rev-parse", "refs/spaces/garden") == second
    report = install.uninstall(str(plain))
    assert report.changed
    assert not path.exists()


def test_a_hook_from_before_keeps_running_and_comes_back(plain: Path, prefix: str, client: Path) -> None:
    path = hook(plain, mode=0o751)
    inode = path.stat().st_ino
    report = install.install(str(plain), prefix=prefix)
    assert "pre-receive.before-coordjournal; ours runs it after" in told(report)
    first = decide(client)
    assert push(client, plain, f"{first}:refs/spaces/garden").returncode == 0
    zeros = "0" * 40
    assert (plain / "seen.txt").read_text() == f"{zeros} {first} refs/spaces/garden\n"
    (plain / "seen.txt").unlink()

    second = decide(client, parent=first, seq=1)
    declined = push(client, plain, f"{second}:refs/spaces/garden", env={"VERDICT": "1"})
    assert declined.returncode == 1
    assert git(plain, "rev-parse", "refs/spaces/garden") == first
    (plain / "seen.txt").unlink()
    assert push(client, plain, ":refs/spaces/garden").returncode == 1
    assert not (plain / "seen.txt").exists()  # what we refuse it never sees

    install.uninstall(str(plain))
    assert path.read_text() == SCRIPT
    assert stat.S_IMODE(path.stat().st_mode) == 0o751
    assert path.stat().st_ino == inode
    assert not os.path.lexists(f"{path}.before-coordjournal")


def test_a_linked_hook_stays_a_link_and_still_runs(plain: Path, prefix: str, client: Path) -> None:
    (plain / "hooks").mkdir()
    target = plain / "hooks" / "site-policy"
    target.write_text(SCRIPT)
    target.chmod(0o755)
    path = plain / "hooks" / "pre-receive"
    path.symlink_to("site-policy")
    install.install(str(plain), prefix=prefix)
    assert not path.is_symlink()
    assert target.read_text() == SCRIPT
    first = decide(client)
    assert push(client, plain, f"{first}:refs/spaces/garden").returncode == 0
    assert first in (plain / "seen.txt").read_text()
    install.uninstall(str(plain))
    assert os.readlink(path) == "site-policy"


@pytest.mark.parametrize("dangling", [False, True])
def test_one_that_git_did_not_run_does_not_run_now_either(
    dangling: bool, plain: Path, prefix: str, client: Path
) -> None:
    if dangling:
        (plain / "hooks").mkdir()
        (plain / "hooks" / "pre-receive").symlink_to("nowhere")
    else:
        hook(plain, "#!/bin/sh\nexit 1\n", 0o644)
    before = snapshot(plain / "hooks")
    report = install.install(str(plain), prefix=prefix)
    assert "git did not run it before, nor do we" in told(report)
    assert push(client, plain, f"{decide(client)}:refs/spaces/garden").returncode == 0
    install.uninstall(str(plain))
    assert snapshot(plain / "hooks") == before


def test_one_that_looks_at_its_own_name_is_pointed_out(plain: Path, prefix: str) -> None:
    hook(plain, "#!/bin/sh\nfor h in hooks/$(basename $0).d/*; do $h; done\n")
    assert "looks at its own name" in told(install.install(str(plain), prefix=prefix))


def test_a_second_time_changes_nothing(plain: Path, prefix: str) -> None:
    hook(plain)
    install.install(str(plain), prefix=prefix)
    before = snapshot(plain)
    times = {path: os.lstat(plain / path).st_mtime_ns for path in before}
    report = install.install(str(plain), prefix=prefix)
    assert not report.changed
    assert snapshot(plain) == before
    assert {path: os.lstat(plain / path).st_mtime_ns for path in before} == times


def test_two_foreign_hooks_are_one_too_many(plain: Path, prefix: str) -> None:
    path = hook(plain)
    (plain / "hooks" / "pre-receive.before-coordjournal").write_text("another")
    before = snapshot(plain)
    with pytest.raises(InstallError, match="only one of them can be kept running") as caught:
        install.install(str(plain), prefix=prefix)
    assert str(path) in caught.value.remedy
    assert snapshot(plain) == before


def test_an_install_interrupted_between_its_two_steps_is_finished(plain: Path, prefix: str) -> None:
    path = hook(plain)
    os.link(path, f"{path}.before-coordjournal")
    install.install(str(plain), prefix=prefix)
    assert hooks.kind(str(path), "pre-receive") == "ours"
    install.uninstall(str(plain))
    assert path.read_text() == SCRIPT
    os.link(path, f"{path}.before-coordjournal")  # the same for uninstall, with nothing of ours any more
    install.install(str(plain), prefix=prefix)
    path.unlink()
    os.link(f"{path}.before-coordjournal", path)
    install.uninstall(str(plain))
    assert path.read_text() == SCRIPT
    assert os.listdir(plain / "hooks") == ["pre-receive"]


def test_without_hard_links_the_hook_is_renamed(plain: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hook(plain)

    def no_link(*_: object, **__: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", no_link)
    install.install(str(plain), prefix=prefix)
    assert (plain / "hooks" / "pre-receive.before-coordjournal").read_text() == SCRIPT
    install.uninstall(str(plain))
    assert path.read_text() == SCRIPT


def test_our_hook_deleted_by_somebody_is_written_again(bare: Bare) -> None:
    repository = bare()
    before = snapshot(repository)
    (repository / "hooks" / "pre-receive").unlink()
    assert install.install(str(repository)).changed
    assert snapshot(repository) == before


def test_uninstall_brings_the_old_hook_back_even_if_ours_is_gone(plain: Path, prefix: str) -> None:
    path = hook(plain)
    install.install(str(plain), prefix=prefix)
    path.unlink()
    install.uninstall(str(plain))
    assert path.read_text() == SCRIPT


@pytest.mark.parametrize("act", [install.install, install.uninstall])
def test_an_edited_hook_is_kept_as_a_copy(act: Callable[[str], install.Report], bare: Bare) -> None:
    repository = bare()
    path = repository / "hooks" / "pre-receive"
    original = path.read_bytes()
    for number in ("", "-2"):
        edited = original + f"# mine {number}\n".encode()
        path.write_bytes(edited)
        report = act(str(repository))
        aside = Path(f"{path}.coordjournal-edited{number}")
        assert f"the edited file is kept as {aside}" in told(report)
        assert aside.read_bytes() == edited
        assert not aside.stat().st_mode & 0o111  # git would not run it even under a hook's name
        install.install(str(repository), prefix=report.prefix)
        assert path.read_bytes() == original


def test_a_changed_mode_is_set_right(bare: Bare) -> None:
    repository = bare()
    path = repository / "hooks" / "pre-receive"
    path.chmod(0o644)
    assert install.install(str(repository)).changed
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_uninstall_leaves_a_hook_alone_that_replaced_ours(bare: Bare) -> None:
    repository = bare()
    path = hook(repository)
    assert "was left alone" in told(install.uninstall(str(repository)))
    assert path.read_text() == SCRIPT


def test_uninstall_refuses_when_a_third_hook_stands_there(plain: Path, prefix: str) -> None:
    path = hook(plain)
    install.install(str(plain), prefix=prefix)
    path.write_text("#!/bin/sh\n# a third\n")
    before = snapshot(plain)
    with pytest.raises(InstallError, match="not coordjournal's any more"):
        install.uninstall(str(plain))
    assert snapshot(plain) == before


def test_a_link_to_our_hook_elsewhere_is_refused(bare: Bare, plain: Path, prefix: str) -> None:
    (plain / "hooks").mkdir()
    (plain / "hooks" / "pre-receive").symlink_to(bare() / "hooks" / "pre-receive")
    with pytest.raises(InstallError, match="link to coordjournal's hook of another repository"):
        install.install(str(plain), prefix=prefix)


def test_a_folder_in_the_place_of_a_hook_is_refused(plain: Path, prefix: str) -> None:
    (plain / "hooks" / "pre-receive").mkdir(parents=True)
    with pytest.raises(InstallError, match="neither a file nor a link"):
        install.install(str(plain), prefix=prefix)


@pytest.mark.parametrize("absolute", [False, True])
def test_a_hooks_path_inside_is_followed(absolute: bool, plain: Path, prefix: str, client: Path) -> None:
    named = str(plain / "custom" / "hooks") if absolute else "custom/hooks"
    git(plain, "config", "core.hooksPath", named)
    install.install(str(plain), prefix=prefix)
    assert (plain / "custom" / "hooks" / "pre-receive").exists()
    assert not (plain / "hooks").exists()
    first = decide(client)
    assert push(client, plain, f"{first}:refs/spaces/garden").returncode == 0
    assert push(client, plain, ":refs/spaces/garden").returncode == 1
    install.uninstall(str(plain))
    assert git(plain, "config", "core.hooksPath") == named
    assert os.listdir(plain / "custom" / "hooks") == []


@pytest.mark.parametrize("named", ["/dev/null", "../hooks", ".", "~/hooks"])
def test_a_hooks_path_outside_is_refused(named: str, plain: Path, prefix: str) -> None:
    git(plain, "config", "core.hooksPath", named)
    before = snapshot(plain)
    with pytest.raises(InstallError, match="outside the repository") as caught:
        install.install(str(plain), prefix=prefix)
    assert "config core.hooksPath hooks" in caught.value.remedy
    assert snapshot(plain) == before


def test_a_linked_hooks_folder_outside_is_refused(plain: Path, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "shared-hooks").mkdir()
    (plain / "hooks").symlink_to(tmp_path / "shared-hooks")
    with pytest.raises(InstallError, match="which other repositories may share"):
        install.install(str(plain), prefix=prefix)
    assert os.listdir(tmp_path / "shared-hooks") == []


def test_a_hooks_path_of_the_machine_is_not_overridden(
    plain: Path, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gitconfig").write_text("[core]\n\thooksPath = /etc/site/hooks\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    with pytest.raises(InstallError, match="configuration of this machine or account"):
        install.install(str(plain), prefix=prefix)


def test_no_hook_is_run_from_where_git_is_started(plain: Path, prefix: str, client: Path, tmp_path: Path) -> None:
    """Nor one that somebody has pushed, from the root of a work tree."""
    git(plain, "config", "core.hooksPath", "hooks")  # as an administrator might, and earlier versions did
    install.install(str(plain), prefix=prefix, strict=False)
    ran = tmp_path / "ran"
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc"):
        path = tmp_path / "here" / "hooks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {name} >>{ran}\nexit 1\n")
        path.chmod(0o755)
    first = decide(client)
    assert push(client, plain, f"{first}:refs/spaces/garden").returncode == 0
    here = tmp_path / "here"
    run("git", f"--git-dir={plain}", "update-ref", "refs/heads/main", first, cwd=here)
    run("git", f"--git-dir={plain}", f"--work-tree={here}", "checkout", "--quiet", "-f", "main", cwd=here)
    run("git", f"--git-dir={plain}", "pack-refs", "--all", cwd=here)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        with Journal.open(plain) as journal:
            journal.space("garden").append(AliasSet("Home", "s:p"), actor="alice")
            journal.space("new").append(AliasSet("Home", "s:p"), actor="alice")
        install.install(str(plain), sequencing=False)
        install.uninstall(str(plain))
    assert not ran.exists()
    assert git(plain, "config", "--get-all", "core.hooksPath") == "hooks"  # as it was before


@pytest.mark.parametrize("name", ["moved.git", 'we [i]rd \\*?~".git', "tab\t.git"])
def test_a_repository_that_is_moved_keeps_its_hooks(
    name: str, prefix: str, client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gitconfig").write_text("[core]\n\thooksPath = /nowhere\n")
    mine = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    first = tmp_path / f"not-{name}"
    moved = tmp_path / name
    install.init(str(first), prefix=prefix)
    tip = decide(client)
    assert push(client, first, f"{tip}:refs/spaces/garden", env=mine).returncode == 0
    assert push(client, first, ":refs/spaces/garden", env=mine).returncode == 1
    first.rename(moved)
    assert push(client, moved, ":refs/spaces/garden").returncode == 1
    found = [finding for finding in install.doctor(str(moved), probe=False) if finding.level != "ok"]
    assert [(finding.check, "core.hooksPath is not set" in finding.what) for finding in found] == [("settings", True)]
    assert install.install(str(moved)).changed
    assert push(client, moved, ":refs/spaces/garden", env=mine).returncode == 1
    install.uninstall(str(moved))
    assert run("git", "-C", moved, "config", "--get-regexp", "hookspath|includeif", check=False).stdout == ""
    assert not (moved / settings.INCLUDED).exists()


def test_a_path_of_two_lines_is_refused(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="the end of a line"):
        install.init(str(tmp_path / "two\nlines.git"), prefix=prefix)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_installation_leaves_is_not_in_the_way(bare: Bare) -> None:
    """As by ``python -m tests.faults --only install``: git's lock of the file that has the path of the hooks."""
    repository = bare()
    (repository / settings.INCLUDED).unlink()
    (repository / f"{settings.INCLUDED}.lock").touch()
    assert install.install(str(repository)).changed
    assert (repository / settings.INCLUDED).exists()


def test_a_hooks_path_of_who_pushes_does_not_hide_the_hook(bare: Bare, client: Path, tmp_path: Path) -> None:
    repository = bare()
    (tmp_path / "gitconfig").write_text("[core]\n\thooksPath = /nowhere\n")
    mine = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    first = decide(client)
    assert push(client, repository, f"{first}:refs/spaces/garden", env=mine).returncode == 0
    refused = push(client, repository, ":refs/spaces/garden", env=mine)
    assert "deleted" in refused.stderr
    assert git(repository, "rev-parse", "refs/spaces/garden") == first


def test_a_hook_that_no_kernel_could_start_is_not_written(prefix: str) -> None:
    with pytest.raises(InstallError, match="first line of the hook would be"):
        hooks.render("pre-receive", "/" + "x" * 130, prefix)


def test_the_hook_survives_the_environment_of_who_pushes(bare: Bare, client: Path) -> None:
    repository = bare()
    first = decide(client)
    hostile = {
        "PYTHONPATH": "/nowhere",
        "PYTHONHOME": "/nowhere",
        "PYTHONSTARTUP": "/nowhere",
        "PATH": "/usr/bin:/bin",
        "HOME": "/nowhere",
        "LANG": "C",
        "LC_ALL": "C",
    }
    assert push(client, repository, f"{first}:refs/spaces/garden", env=hostile).returncode == 0
    done = run(
        "git", f"--git-dir={client}", "push", repository, ":refs/spaces/garden", cwd="/", env=hostile, check=False
    )
    assert "deleted" in done.stderr
