"""Installing where other software runs hooks of its own: Gitea's and Forgejo's folders of hooks, gitolite's links."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hosts import OWN, OWN_PROC_RECEIVE, gitea_hooks
from support import decide, git, push, run, snapshot

from coordjournal import install
from coordjournal.install import hooks

DROPPED = Path("hooks", "pre-receive.d", "coordjournal")


@pytest.fixture
def forge(tmp_path: Path) -> Path:
    """A bare repository as Gitea makes them."""
    path = tmp_path / "forge.git"
    run("git", "init", "--quiet", "--bare", "--template=", path)
    gitea_hooks(path)
    return path


@pytest.fixture
def client(tmp_path: Path) -> Path:
    run("git", "init", "--quiet", "--bare", tmp_path / "client.git")
    return tmp_path / "client.git"


def guarded(forge: Path, client: Path) -> None:
    """Both judge: the software whose repository it is, and ours."""
    first = decide(client)
    if not git(forge, "for-each-ref", "refs/spaces"):
        assert push(client, forge, f"{first}:refs/spaces/garden", env=PUSHER).returncode == 0
    rewound = push(client, forge, f"+{decide(client, target='s:Other')}:refs/spaces/garden", env=PUSHER)
    assert "not-fast-forward" in rewound.stderr
    protected = push(client, forge, f"{first}:refs/heads/protected", env=PUSHER)
    assert "remote: Not allowed to push to protected branch protected" in protected.stderr
    stranger = push(client, forge, f"{first}:refs/heads/free")
    assert "remote: Rejecting changes as the environment is not set" in stranger.stderr
    assert push(client, forge, f"{first}:refs/heads/free", env=PUSHER).returncode == 0


PUSHER = {"GITEA_PUSHER_NAME": "alice"}


def test_a_hook_that_runs_a_folder_of_hooks_stays_and_ours_goes_into_the_folder(
    forge: Path, client: Path, prefix: str
) -> None:
    before = snapshot(forge / "hooks")
    report = install.install(str(forge), prefix=prefix)
    after = snapshot(forge / "hooks")
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"pre-receive.d/coordjournal", "reference-transaction"}
    guarded(forge, client)
    told = "\n".join(step.text for step in report.steps)
    assert f"wrote the hook {forge / DROPPED}, which {forge / 'hooks' / 'pre-receive'} runs" in told
    assert "intents cannot be sequenced here" in told
    assert [step.kind for step in install.install(str(forge), prefix=prefix).steps if step.kind == "changed"] == []


def test_what_such_software_writes_anew_leaves_ours_at_work(forge: Path, client: Path, prefix: str) -> None:
    install.install(str(forge), prefix=prefix)
    for name in ("pre-receive", "pre-receive.d/gitea"):
        (forge / "hooks" / name).unlink()
    gitea_hooks(forge)
    guarded(forge, client)


def test_the_doctor_knows_it_and_proves_that_the_folder_is_run(forge: Path, client: Path, prefix: str) -> None:
    install.install(str(forge), prefix=prefix)
    guarded(forge, client)
    findings = install.doctor(str(forge))
    assert [finding for finding in findings if finding.level != "ok"] == []
    assert any(finding.what == f"{forge / DROPPED} is in place" for finding in findings)

    # A hook that only looks as if it ran the folder.
    (forge / "hooks" / "pre-receive").write_text("#!/bin/sh\n# pre-receive.d/*\n")
    errors = [finding.what for finding in install.doctor(str(forge)) if finding.level == "error"]
    assert len(errors) == 4
    for what in ("a rewind", "a deletion", "an intent"):
        assert sum(f"not so that {what} is refused" in error for error in errors) == 1, errors
    assert "a deletion of refs/spaces/garden" in errors[-1]


def test_the_doctor_says_when_it_is_gone_from_the_folder(forge: Path, prefix: str) -> None:
    install.install(str(forge), prefix=prefix)
    (forge / DROPPED).unlink()
    errors = [finding.what for finding in install.doctor(str(forge), probe=False) if finding.level == "error"]
    assert errors == [f"{forge / DROPPED} is missing: nothing guards the logs"]
    install.install(str(forge), prefix=prefix)
    assert (forge / DROPPED).exists()


def test_uninstalling_leaves_the_folder_as_it_was(forge: Path, prefix: str) -> None:
    before = snapshot(forge / "hooks")
    install.install(str(forge), prefix=prefix)
    install.uninstall(str(forge))
    assert snapshot(forge / "hooks") == before


def test_one_that_was_moved_aside_by_an_earlier_version_comes_back(forge: Path, client: Path, prefix: str) -> None:
    before = snapshot(forge / "hooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooks, "_runs_folder", lambda *_: False)  # as it was
        install.install(str(forge), prefix=prefix)
    assert (forge / "hooks" / "pre-receive.before-coordjournal").exists()
    # Under that name it finds no folder, and what it should judge goes in.
    assert push(client, forge, f"{decide(client)}:refs/heads/protected").returncode == 0
    git(forge, "update-ref", "-d", "refs/heads/protected")

    install.install(str(forge), prefix=prefix)
    after = snapshot(forge / "hooks")
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"pre-receive.d/coordjournal", "reference-transaction"}
    guarded(forge, client)
    install.uninstall(str(forge))
    assert snapshot(forge / "hooks") == before


def test_one_that_was_moved_aside_comes_back_when_uninstalled_too(forge: Path, prefix: str) -> None:
    before = snapshot(forge / "hooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooks, "_runs_folder", lambda *_: False)
        install.install(str(forge), prefix=prefix)
    install.uninstall(str(forge))
    assert snapshot(forge / "hooks") == before


def test_the_proc_receive_hook_of_such_software_stays(forge: Path, prefix: str) -> None:
    install.install(str(forge), prefix=prefix)
    assert (forge / "hooks" / "proc-receive").read_text() == OWN_PROC_RECEIVE
    with pytest.raises(install.InstallError, match="git runs only one"):
        install.install(str(forge), prefix=prefix, sequencing=True)


def test_a_folder_that_no_hook_runs_means_nothing(bare: Callable[..., Path], prefix: str, client: Path) -> None:
    path = bare()
    (path / "hooks" / "pre-receive.d").mkdir()
    (path / "hooks" / "pre-receive.d" / "gitea").write_text(OWN)
    install.install(str(path), prefix=prefix)
    assert hooks.kind(str(path / "hooks" / "pre-receive"), "pre-receive") == "ours"
    assert not (path / DROPPED).exists()


def test_a_repository_of_gitlab_is_not_installed_into(tmp_path: Path, prefix: str) -> None:
    """Hooks in it would look well to the doctor, whose pushes are git's, and guard nothing."""
    path = tmp_path / "@hashed" / "4b" / "22" / "4b22.git"
    run("git", "init", "--quiet", "--bare", "--template=", path)
    before = snapshot(path)
    with pytest.raises(install.InstallError, match="GitLab runs none of the hooks") as refused:
        install.install(str(path), prefix=prefix)
    assert "gitaly hooks set" in refused.value.remedy
    assert snapshot(path) == before


def test_a_link_that_replaces_ours_is_found(bare: Callable[..., Path], prefix: str, tmp_path: Path) -> None:
    """gitolite links each hook of hooks/common into every repository, over what is there."""
    path = bare()
    common = tmp_path / "common-pre-receive"
    common.write_text("#!/bin/sh\n")
    common.chmod(0o755)
    (path / "hooks" / "pre-receive").unlink()
    (path / "hooks" / "pre-receive").symlink_to(common)
    errors = [finding for finding in install.doctor(str(path), probe=False) if finding.level == "error"]
    assert [error.what for error in errors] == [
        f"{path / 'hooks' / 'pre-receive'} is not coordjournal's: nothing guards the logs"
    ]
    install.install(str(path), prefix=prefix)
    assert os.readlink(path / "hooks" / "pre-receive.before-coordjournal") == str(common)
    assert shutil.which("pre-receive", path=path / "hooks")


def test_a_pusher_cannot_send_the_hook_elsewhere(bare: Callable[..., Path], client: Path, tmp_path: Path) -> None:
    """Who pushes over a shell names variables as they like; git's own receive-pack sets these anew for the hook."""
    path, other = bare(), bare("other.git")
    tip = decide(client)
    assert push(client, path, f"{tip}:refs/spaces/garden").returncode == 0
    for variables in (f"GIT_DIR={other}", f"GIT_OBJECT_DIRECTORY={other / 'objects'}"):
        for update in (f"+{decide(client, target='s:Other')}:refs/spaces/garden", ":refs/spaces/garden"):
            words = [f"--receive-pack=env {variables} git-receive-pack", str(path), update]
            done = run("git", "-C", client, "push", *words, check=False)
            assert done.returncode == 1
            assert re.search("coordjournal (refused|cannot judge) this push", done.stderr)
    assert git(path, "rev-parse", "refs/spaces/garden") == tip
