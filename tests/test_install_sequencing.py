"""install/sequencing.py: the sequencer in and out beside whatever else is there; clients are never told too much."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support import decide, git, push, run, snapshot

from coordjournal import descriptor, install
from coordjournal.install import InstallError, actions, gitcli, hooks, sequencing, settings
from coordjournal.install.repository import opened
from coordjournal.refs import META

Bare = Callable[..., Path]

KEY = "receive.procReceiveRefs"
FOREIGN = "#!/bin/sh\n# somebody else's\nexit 1\n"


@pytest.fixture
def client(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "client.git")
    return tmp_path / "client.git"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A bare repository without any hooks folder."""
    git(tmp_path, "init", "--quiet", "--bare", "--template=", "plain.git")
    return tmp_path / "plain.git"


def values(repository: Path) -> list[str]:
    return run("git", "-C", repository, "config", "--local", "--get-all", KEY, check=False).stdout.split()


def promised(repository: Path) -> bool | None:
    """What the descriptor tells clients."""
    shown = run("git", "-C", repository, "show", f"{META}:{descriptor.FILE}", check=False)
    return json.loads(shown.stdout)["sequencing"] if shown.returncode == 0 else None


def told(report: install.Report, kind: str = "note") -> str:
    return "\n".join(step.text for step in report.steps if step.kind == kind)


def state(repository: Path) -> tuple[bool, bool, bool | None]:
    """Whether the hook is there, whether git hands intents to it, what clients are told."""
    return (repository / "hooks" / "proc-receive").exists(), "refs/append" in values(repository), promised(repository)


ON, OFF = (True, True, True), (False, False, False)


def lands(client: Path, server: Path) -> bool:
    """Whether an intent that is pushed is appended; if not, that it leaves nothing behind."""
    tip = run("git", "-C", server, "rev-parse", "--quiet", "--verify", "refs/spaces/garden", check=False).stdout.strip()
    done = push(client, server, f"{decide(client, seq=None)}:refs/append/garden")
    assert git(server, "for-each-ref", "refs/append", "refs/intents") == ""
    now = run("git", "-C", server, "rev-parse", "--quiet", "--verify", "refs/spaces/garden", check=False).stdout.strip()
    assert (now != tip) == (done.returncode == 0)
    if done.returncode:
        assert "refs/append/garden" in done.stderr
    return done.returncode == 0


def test_every_new_repository_sequences(bare: Bare, prefix: str, client: Path, tmp_path: Path) -> None:
    report = install.init(str(tmp_path / "new.git"), prefix=prefix)
    assert f"added refs/append to {KEY}" in told(report, "changed")
    for repository in (tmp_path / "new.git", bare()):
        assert state(repository) == ON
        assert stat.S_IMODE((repository / "hooks" / "proc-receive").stat().st_mode) == 0o755
        assert lands(client, repository)
        assert lands(client, repository)
        assert git(repository, "show", "--no-patch", "--format=%B", "refs/spaces/garden").endswith("\nSeq: 1")


def test_none_where_it_is_not_wanted(prefix: str, client: Path, tmp_path: Path) -> None:
    repository = tmp_path / "new.git"
    install.init(str(repository), prefix=prefix, sequencing=False)
    assert state(repository) == OFF
    assert not lands(client, repository)
    assert push(client, repository, f"{decide(client)}:refs/spaces/garden").returncode == 0


def test_the_choice_is_remembered(bare: Bare, client: Path) -> None:
    repository = bare()
    report = install.install(str(repository), sequencing=False)
    assert state(repository) == OFF
    order = [step.text for step in report.steps if step.kind == "changed"]
    assert [text.split()[0] for text in order] == ["told", "removed", "removed", "wrote"]
    assert "refs/meta/coordjournal" in order[0]
    assert KEY in order[1]
    assert "proc-receive" in order[2]
    for act in (install.install, install.upgrade):
        report = act(str(repository))
        assert not report.changed
        assert "no sequencing of intents, as was chosen" in told(report, "kept")
        assert state(repository) == OFF
    report = install.install(str(repository), sequencing=True)
    assert state(repository) == ON
    assert "published" in [step for step in report.steps if step.kind == "changed"][-1].text
    assert lands(client, repository)
    assert not install.install(str(repository)).changed


def test_what_was_taken_out_by_hand_is_put_back(bare: Bare) -> None:
    repository = bare()
    git(repository, "config", "--unset", KEY)
    assert install.install(str(repository)).changed
    assert state(repository) == ON
    (repository / "hooks" / "proc-receive").unlink()
    assert install.install(str(repository)).changed
    assert state(repository) == ON


def test_an_installation_from_before_gains_it(bare: Bare, client: Path) -> None:
    repository = bare()
    install.install(str(repository), sequencing=False)
    path = repository / "coordjournal" / "installed.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in record.items() if k not in ("sequencing", "values")} | {"format": 1}))
    assert install.upgrade(str(repository)).changed
    assert state(repository) == ON
    assert lands(client, repository)
    install.uninstall(str(repository))
    assert values(repository) == []
    assert os.listdir(repository / "hooks") == []


def test_uninstall_leaves_nothing_of_it_and_tells_clients(bare: Bare, client: Path) -> None:
    repository = bare()
    assert lands(client, repository)
    push(client, repository, ":refs/append/garden")  # refused, which leaves an entry in the refusal log
    for name in ("locks", "ids"):
        (repository / "coordjournal" / name).mkdir(exist_ok=True)
        (repository / "coordjournal" / name / "garden").write_text("x")
    install.uninstall(str(repository))
    assert state(repository) == OFF
    assert os.listdir(repository / "coordjournal") == ["refusals.jsonl"]
    assert os.listdir(repository / "hooks") == []
    git(repository, "fsck", "--strict")


def test_uninstall_does_not_make_a_descriptor(bare: Bare) -> None:
    repository = bare()
    git(repository, "update-ref", "-d", META)
    install.uninstall(str(repository))
    assert promised(repository) is None


def test_uninstall_goes_past_a_descriptor_that_cannot_be_read(bare: Bare) -> None:
    repository = bare()
    git(repository, "update-ref", META, decide(repository))
    install.uninstall(str(repository))
    assert os.listdir(repository / "hooks") == []


def test_without_its_record_it_can_still_be_removed(bare: Bare) -> None:
    repository = bare()
    (repository / "coordjournal" / "installed.json").unlink()
    install.uninstall(str(repository))
    assert state(repository) == OFF


# -- where there is none, ordinary pushes are brought to the disk ------------------------------------------------------


def test_the_hook_that_syncs_stands_where_nothing_is_sequenced(prefix: str, tmp_path: Path) -> None:
    repository = tmp_path / "new.git"
    install.init(str(repository), prefix=prefix, sequencing=False)
    path = repository / "hooks" / hooks.SYNC
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert not [finding for finding in install.doctor(str(repository), probe=False) if finding.level != "ok"]
    install.install(str(repository), sequencing=True)
    assert sorted(os.listdir(repository / "hooks")) == ["pre-receive", "proc-receive"]
    install.install(str(repository), sequencing=False)
    assert sorted(os.listdir(repository / "hooks")) == ["pre-receive", hooks.SYNC]
    path.unlink()
    [found] = [finding for finding in install.doctor(str(repository), probe=False) if finding.level != "ok"]
    assert (found.check, found.level) == ("hooks", "warning")
    assert "power failure" in found.what and "coordjournal install" in found.remedy
    assert install.install(str(repository)).changed
    install.uninstall(str(repository))
    assert os.listdir(repository / "hooks") == []


def test_the_hook_of_others_sees_each_transaction_after_it(plain: Path, prefix: str, client: Path) -> None:
    path = plain / "hooks" / hooks.SYNC
    path.parent.mkdir()
    path.write_text('#!/bin/sh\n{ echo "$1"; cat; } >>seen.txt\n[ "$1" != prepared ] || [ ! -e closed ]\n')
    path.chmod(0o755)
    before = snapshot(plain / "hooks")
    report = install.install(str(plain), prefix=prefix, sequencing=False)
    assert f"moved the hook that was there to {path}.before-coordjournal" in told(report, "changed")
    (plain / "seen.txt").unlink()  # the descriptor moved
    tip = decide(client)
    assert push(client, plain, f"{tip}:refs/spaces/garden").returncode == 0
    line = f"{'0' * 40} {tip} refs/spaces/garden\n"
    assert (plain / "seen.txt").read_text() == f"prepared\n{line}committed\n{line}"
    (plain / "closed").touch()
    done = push(client, plain, f"{decide(client, parent=tip, seq=1)}:refs/spaces/garden")
    assert done.returncode and "hook" in done.stderr
    assert git(plain, "rev-parse", "refs/spaces/garden") == tip
    (plain / "closed").unlink()
    install.uninstall(str(plain))
    assert snapshot(plain / "hooks") == before


def test_a_hook_of_others_is_left_alone_where_intents_are_sequenced(plain: Path, prefix: str) -> None:
    path = plain / "hooks" / hooks.SYNC
    path.parent.mkdir()
    path.write_text(FOREIGN.replace("exit 1", "exit 0"))
    path.chmod(0o755)
    before = snapshot(plain / "hooks")
    install.install(str(plain), prefix=prefix)
    assert {**snapshot(plain / "hooks"), **before} == snapshot(plain / "hooks")
    assert hooks.SYNC not in "".join(step.text for step in install.uninstall(str(plain)).steps)
    assert snapshot(plain / "hooks") == before


# -- beside a hook of others -------------------------------------------------------------------------------------------


def foreign(repository: Path, mode: int = 0o755) -> Path:
    path = repository / "hooks" / "proc-receive"
    path.parent.mkdir(exist_ok=True)
    path.write_text(FOREIGN)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o755, 0o644])
def test_a_hook_of_others_means_no_sequencing(mode: int, plain: Path, prefix: str, client: Path) -> None:
    path = foreign(plain, mode)
    git(plain, "config", "--add", KEY, "refs/for")
    before = snapshot(plain / "hooks")
    report = install.install(str(plain), prefix=prefix)
    assert f"{path} is not coordjournal's, and git runs only one such hook" in told(report)
    assert "refs/spaces/" in told(report)
    assert "no hook here serves" not in told(report)  # theirs does
    assert promised(plain) is False
    assert values(plain) == ["refs/for"]
    assert not lands(client, plain)
    assert push(client, plain, f"{decide(client)}:refs/spaces/garden").returncode == 0
    assert not install.install(str(plain)).changed
    with pytest.raises(InstallError, match="git runs only one such hook") as caught:
        install.install(str(plain), sequencing=True)
    assert str(path) in caught.value.remedy
    install.uninstall(str(plain))
    assert snapshot(plain / "hooks") == before
    assert values(plain) == ["refs/for"]


def test_asking_for_it_beside_a_hook_of_others_changes_nothing(plain: Path, prefix: str, tmp_path: Path) -> None:
    foreign(plain)
    before = snapshot(plain)
    with pytest.raises(InstallError, match="cannot be sequenced here"):
        install.install(str(plain), prefix=prefix, sequencing=True)
    assert snapshot(plain) == before


def test_a_hook_of_others_that_comes_and_goes(bare: Bare, client: Path) -> None:
    repository = bare()
    path = foreign(repository)
    assert install.install(str(repository)).changed
    assert (values(repository), promised(repository)) == ([], False)
    assert path.read_text() == FOREIGN
    assert not lands(client, repository)
    path.unlink()
    assert install.install(str(repository)).changed
    assert state(repository) == ON
    assert lands(client, repository)


def test_put_never_replaces_a_hook_of_others(plain: Path) -> None:
    path = foreign(plain)
    with pytest.raises(InstallError, match="git runs only one"):
        hooks.put(str(plain / "hooks"), "proc-receive", b"ours", 0o755, None)
    assert path.read_text() == FOREIGN
    assert os.listdir(plain / "hooks") == ["proc-receive"]


def test_a_folder_in_the_place_of_the_hook_is_refused(plain: Path, prefix: str) -> None:
    (plain / "hooks" / "proc-receive").mkdir(parents=True)
    with pytest.raises(InstallError, match="neither a file nor a link"):
        install.install(str(plain), prefix=prefix)


def test_an_edited_hook_is_kept_as_a_copy(bare: Bare) -> None:
    repository = bare()
    path = repository / "hooks" / "proc-receive"
    original = path.read_bytes()
    path.write_bytes(original + b"# mine\n")
    report = install.install(str(repository))
    assert "the edited file is kept" in told(report)
    assert path.read_bytes() == original
    assert Path(f"{path}.coordjournal-edited").read_bytes() == original + b"# mine\n"


def test_a_git_that_cannot(plain: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gitcli, "version", lambda: (2, 28, 1))
    report = install.install(str(plain), prefix=prefix)
    assert "git 2.28.1 has no proc-receive hook" in told(report)
    assert state(plain) == OFF


# -- git's setting, which has many values ------------------------------------------------------------------------------


def test_other_values_stay_as_they_are(plain: Path, prefix: str) -> None:
    for value in ("refs/for", "ad:refs/review", "refs/append/"):
        git(plain, "config", "--add", KEY, value)
    before = (plain / "config").read_text()
    report = install.install(str(plain), prefix=prefix)
    assert values(plain) == ["refs/for", "ad:refs/review", "refs/append/", "refs/append"]
    assert "has the value refs/for, ad:refs/review, refs/append/ too, which no hook here serves" in told(report)
    install.install(str(plain), sequencing=False)
    assert values(plain) == ["refs/for", "ad:refs/review", "refs/append/"]
    install.install(str(plain), sequencing=True)
    install.uninstall(str(plain))
    assert values(plain) == ["refs/for", "ad:refs/review", "refs/append/"]
    assert sorted((plain / "config").read_text().splitlines()) == sorted(before.splitlines())


def test_the_value_that_was_there_before_comes_back(plain: Path, prefix: str) -> None:
    git(plain, "config", "--add", KEY, "refs/append")
    install.install(str(plain), prefix=prefix)
    assert values(plain) == ["refs/append"]
    install.install(str(plain), sequencing=False)
    assert values(plain) == []
    install.uninstall(str(plain))
    assert values(plain) == ["refs/append"]


def test_a_value_that_an_included_file_sets_cannot_be_removed(bare: Bare, tmp_path: Path) -> None:
    repository = bare()
    (tmp_path / "site").write_text("[receive]\n\tprocReceiveRefs = refs/append\n")
    with (repository / "config").open("a") as file:
        file.write(f"[include]\n\tpath = {tmp_path / 'site'}\n")
    assert not install.install(str(repository)).changed
    with pytest.raises(InstallError, match="still has the value refs/append") as caught:
        install.install(str(repository), sequencing=False)
    assert f"--show-origin --get-all {KEY}" in caught.value.remedy
    assert promised(repository) is False


@pytest.mark.parametrize(
    "value",
    [
        *("refs/spaces", "refs", "refs/", "refs/spaces/x", "a:refs/spaces", "m:refs/spaces", "d:refs/spaces"),
        *("refs/for", "refs/space", "am!:refs/heads", "!:refs/heads", "a!:refs/spaces", "", "x:refs/spaces"),
    ],
)
def test_which_values_take_the_logs_along_too(value: str, plain: Path, client: Path, prefix: str) -> None:
    """Against git itself, which finds no hook for what it would hand over."""
    git(plain, "config", "--add", KEY, value)
    first = decide(client, "x")
    second = decide(client, "x", first, 1)
    made = push(client, plain, f"{first}:refs/spaces/x")
    git(plain, "update-ref", "refs/spaces/x", first)
    moved = push(client, plain, f"{second}:refs/spaces/x")
    handed = [done for done in (made, moved) if "fail to run proc-receive hook" in done.stderr]
    assert bool(handed) == bool(sequencing.routed_logs(opened(str(plain))))
    report = install.install(str(plain), prefix=prefix)
    assert bool(handed) == ("git hands pushes to refs/spaces/ to a proc-receive hook" in told(report))


def test_the_value_of_the_machine_counts_among_the_others(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gitconfig").write_text("[receive]\n\tprocReceiveRefs = refs/append\n\tprocReceiveRefs = refs/spaces\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    repository = opened(str(plain))
    assert sequencing.routed_logs(repository) == ["refs/spaces"]
    assert not sequencing.is_on(repository)  # it is for the repository to say


@pytest.mark.parametrize(
    ("config", "ref"),
    [
        ("uploadpack.hideRefs=refs/meta", "refs/meta/coordjournal"),
        ("uploadpack.hideRefs=refs/meta/", "refs/meta/coordjournal"),
        ("transfer.hideRefs=^refs/meta/coordjournal", "refs/meta/coordjournal"),
        ("uploadpack.hideRefs=refs/met", "refs/meta/coordjournal"),
        ("receive.hideRefs=refs/meta", "refs/meta/coordjournal"),
        ("transfer.hideRefs=refs uploadpack.hideRefs=!refs/meta", "refs/meta/coordjournal"),
        ("uploadpack.hideRefs=!refs/meta transfer.hideRefs=refs", "refs/meta/coordjournal"),
        ("uploadpack.hideRefs=refs/meta uploadpack.hideRefs=!refs/meta/x", "refs/meta/coordjournal"),
    ],
)
def test_what_is_hidden_is_what_git_hides(config: str, ref: str, plain: Path) -> None:
    git(plain, "update-ref", ref, decide(plain))
    for word in config.split():
        key, _, value = word.partition("=")
        section, _, name = key.partition(".")
        with (plain / "config").open("a") as file:  # in this order, whatever sections are there
            file.write(f"[{section}]\n\t{name} = {value}\n")
    assert settings.hidden(str(plain), "uploadpack", ref) == (ref not in git(plain, "ls-remote", "."))


# -- interrupted, and what is in the way -------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", ["on", "off", "uninstall"])
def test_clients_are_never_told_of_a_sequencer_that_is_not_there(
    turn: str, plain: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted before each step that changes something, the promise holds; a second run finishes."""
    path = str(plain)
    install.install(path, prefix=prefix, sequencing=turn != "on")

    def act() -> None:
        if turn == "uninstall":
            install.uninstall(path)
        else:
            install.install(path, sequencing=turn == "on")

    class Interrupted(Exception):
        pass

    steps = {
        (module, name): getattr(module, name)
        for module, name in (
            (actions.hooks, "put"),
            (actions.hooks, "take_out"),
            (actions.settings, "apply_values"),
            (actions.settings, "restore_values"),
            (actions.descriptor, "publish"),
            (actions.descriptor, "stop_sequencing"),
        )
    }
    for number in range(1, 20):
        left = number

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def step(*arguments: object) -> object:
                nonlocal left
                left -= 1
                if not left:
                    raise Interrupted
                return real(*arguments)

            return step

        with monkeypatch.context() as patch:
            for (module, name), real in steps.items():
                patch.setattr(module, name, counted(real))
            try:
                act()
            except Interrupted:
                hook, handed, promise = state(plain)
                assert not promise or (hook and handed), number
                continue
        break
    assert number > 3
    assert state(plain) == (ON if turn == "on" else OFF)


def test_intents_from_before_are_told_with_the_way_out(plain: Path, prefix: str, client: Path) -> None:
    stray = decide(client, seq=None)
    assert push(client, plain, f"{stray}:refs/append/garden").returncode == 0  # there is no hook yet
    before = snapshot(plain)
    with pytest.raises(InstallError, match="refs/append/garden: nothing is ever stored under this name") as caught:
        install.install(str(plain), prefix=prefix)
    assert snapshot(plain) == before
    assert "Move them elsewhere" not in caught.value.remedy
    run("sh", "-c", caught.value.remedy.rpartition("remove each: ")[2])
    install.install(str(plain), prefix=prefix)
    assert state(plain) == ON


def test_both_kinds_of_misplaced_refs_are_told_at_once(plain: Path) -> None:
    commit = decide(plain)
    for ref in ("refs/append/garden", "refs/spaces/Big", "refs/intents/garden/1-x"):
        git(plain, "update-ref", ref, commit)
    with pytest.raises(InstallError, match="not the spelling of a space id") as caught:
        install.install(str(plain))
    assert "not refs/intents/<space>/<arrival>-<decision id>" in caught.value.what
    assert "update-ref -d refs/append/garden" in caught.value.remedy
    assert "Move them elsewhere" in caught.value.remedy


def test_waiting_intents_are_told_when_it_is_turned_off(bare: Bare) -> None:
    repository = bare()
    name = "refs/intents/garden/1790000000000000-01935c2f-7b00-7000-8000-000000000001"
    git(repository, "update-ref", name, decide(repository, seq=None))
    report = install.install(str(repository), sequencing=False)
    assert "intents in the inbox (refs/intents/): 1; they stay" in told(report)


def test_a_hook_that_does_not_find_the_package_refuses(bare: Bare, client: Path) -> None:
    repository = bare()
    path = repository / "hooks" / "proc-receive"
    path.write_text(path.read_text().replace("/current", "/gone"))
    done = push(client, repository, f"{decide(client, seq=None)}:refs/append/garden")
    assert done.returncode == 1
    assert "coordjournal is not where its hook expects it" in done.stderr
    assert "`coordjournal doctor` says what is wrong" in done.stderr
    assert git(repository, "for-each-ref", "refs/append", "refs/spaces", "refs/intents") == ""
