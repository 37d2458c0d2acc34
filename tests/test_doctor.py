"""install/checkup.py and install/probe.py: everything that can be wrong is found, and nothing is changed by looking."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import decide, git, push, require, run, snapshot

from coordjournal import install, timestamp
from coordjournal.install import Finding, actions, checkup, gitcli, probe, sharing

Bare = Callable[..., Path]

CARELESS = """#!/bin/sh
# coordjournal pre-receive hook. Or so it says.
exit 0
"""


@pytest.fixture
def client(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "client.git")
    return tmp_path / "client.git"


def wrong(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


def two_decisions(client: Path, server: Path, space: str = "garden") -> tuple[str, str]:
    first = decide(client, space)
    second = decide(client, space, first, 1)
    assert push(client, server, f"{second}:refs/spaces/{space}").returncode == 0
    return first, second


def test_a_fresh_repository_is_well(bare: Bare) -> None:
    findings = install.doctor(str(bare()))
    assert wrong(findings) == []
    assert {finding.check for finding in findings} == {
        *("git", "repository", "installed", "hooks", "interpreter", "package", "settings", "sequencing", "refs"),
        *("inbox", "sharing", "leftovers", "objects", "descriptor", "disk", "probe"),
    }


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_the_probe_leaves_no_trace_but_the_refusal_log(
    object_format: str, bare: Bare, client: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet", "--bare", f"--object-format={object_format}", "c.git")
    repository = bare(object_format=object_format)
    two_decisions(tmp_path / "c.git", repository)
    two_decisions(tmp_path / "c.git", repository, "orchard")
    before = snapshot(repository)
    findings = install.doctor(str(repository))
    assert wrong(findings) == []
    assert sum(finding.check == "probe" for finding in findings) == 6
    after = snapshot(repository)
    assert after.keys() - before.keys() <= {"coordjournal/refusals.jsonl"}
    assert {name: after[name] for name in before} == before


def test_without_a_guard_the_probe_tells_and_does_no_damage(bare: Bare, client: Path) -> None:
    repository = bare()
    two_decisions(client, repository)
    (repository / "hooks" / "pre-receive").write_text(CARELESS)
    before = snapshot(repository)
    findings = [f for f in install.doctor(str(repository)) if f.check == "probe"]
    assert [(f.level, f.what.partition(";")[0]) for f in findings] == [
        ("ok", "in a scratch repository with the same hooks a lawful log is let in"),
        ("ok", "in a scratch repository with the same hooks an intent is appended"),
        ("error", "in a scratch repository with the same hooks it is not so that a rewind is refused"),
        ("error", "in a scratch repository with the same hooks it is not so that a deletion is refused"),
        ("error", "in this repository it is not so that a rewind of refs/spaces/garden is refused"),
        ("error", "in this repository it is not so that a deletion of refs/spaces/garden is refused"),
    ]
    assert snapshot(repository) == before


@pytest.mark.parametrize("way", ["not executable", "missing"])
def test_a_hook_that_git_does_not_run_is_found_by_the_probe_too(way: str, bare: Bare, client: Path) -> None:
    repository = bare()
    two_decisions(client, repository)
    hook = repository / "hooks" / "pre-receive"
    if way == "missing":
        hook.unlink()
    else:
        hook.chmod(0o644)
    before = snapshot(repository)
    levels = [f.level for f in install.doctor(str(repository)) if f.check == "probe"]
    assert levels == ["ok", "ok", "error", "error", "error", "error"]
    assert snapshot(repository) == before


def test_a_log_of_one_decision_is_probed_by_a_deletion(bare: Bare, client: Path) -> None:
    repository = bare()
    assert push(client, repository, f"{decide(client)}:refs/spaces/garden").returncode == 0
    findings = [f for f in install.doctor(str(repository)) if "in this repository" in f.what]
    assert [f.level for f in findings] == ["ok"]


def test_a_closed_repository_is_probed_all_the_same(bare: Bare, client: Path) -> None:
    repository = bare()
    two_decisions(client, repository)
    git(repository, "config", "coordjournal.readOnly", "true")
    install.install(str(repository))
    assert wrong(install.doctor(str(repository))) == []


def test_hidden_logs_are_probed_all_the_same(bare: Bare, client: Path) -> None:
    repository = bare()
    two_decisions(client, repository)
    git(repository, "config", "receive.hideRefs", "refs/spaces")
    before = git(repository, "for-each-ref")
    findings = install.doctor(str(repository))
    assert wrong(findings) == []
    assert sum(f.check == "probe" for f in findings) == 6
    assert git(repository, "for-each-ref") == before


def test_without_atomic_pushes_nothing_is_sent(bare: Bare, client: Path) -> None:
    repository = bare()
    two_decisions(client, repository)
    git(repository, "config", "receive.advertiseAtomic", "false")
    (repository / "hooks" / "pre-receive").write_text(CARELESS)
    before = snapshot(repository)
    findings = [f for f in install.doctor(str(repository)) if "in this repository" in f.what]
    assert [f.level for f in findings] == ["warning", "warning"]
    assert snapshot(repository) == before


def test_the_hook_from_before_is_no_part_of_the_probe(bare: Bare, client: Path, tmp_path: Path, prefix: str) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "x.git")
    repository = tmp_path / "x.git"
    hook = repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/mailed'\n")
    hook.chmod(0o755)
    install.install(str(repository), prefix=prefix)
    findings = install.doctor(str(repository))
    assert wrong(findings) == []
    assert any("pre-receive.before-coordjournal, runs after ours" in f.what for f in findings)
    assert not (tmp_path / "mailed").exists()


def damage_package(repository: Path) -> None:
    (private_prefix(repository) / "current" / "lib" / "coordjournal" / "law.py").write_text("def check(*_): pass\n")


def private_prefix(repository: Path) -> Path:
    """Give the repository a prefix of its own, which may be damaged."""
    place = repository.parent / "own-prefix"
    install.install(str(repository), prefix=str(place))
    return place


def edit(repository: Path, name: str, text: str) -> None:
    path = repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def age(path: Path, seconds: float = 7300) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    os.utime(path, (time.time() - seconds,) * 2)


def old_folder(path: Path) -> None:
    path.mkdir(parents=True)
    long_ago = time.time() - 7300
    os.utime(path, (long_ago, long_ago))


def said_last(repository: Path, hooks_path: str) -> None:
    with (repository / "config").open("a") as file:
        file.write(f"[core]\n\thooksPath = {hooks_path}\n")


CASES: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "hook missing": (lambda r: (r / "hooks/pre-receive").unlink(), "hooks", "error", "is missing"),
    "hook foreign": (lambda r: edit(r, "hooks/pre-receive", "#!/bin/sh\n"), "hooks", "error", "not coordjournal's"),
    "hook edited": (
        lambda r: edit(r, "hooks/pre-receive", (r / "hooks/pre-receive").read_text() + "#\n"),
        "hooks",
        "warning",
        "was changed since it was installed",
    ),
    "hook not executable": (lambda r: (r / "hooks/pre-receive").chmod(0o644), "hooks", "error", "not executable"),
    "sequencer missing": (lambda r: (r / "hooks/proc-receive").unlink(), "sequencing", "error", "which is missing"),
    "sequencer foreign": (
        lambda r: edit(r, "hooks/proc-receive", "#!/bin/sh\n"),
        "sequencing",
        "error",
        "which is not coordjournal's: none can be appended",
    ),
    "sequencer edited": (
        lambda r: edit(r, "hooks/proc-receive", (r / "hooks/proc-receive").read_text() + "#\n"),
        "hooks",
        "warning",
        "proc-receive was changed since",
    ),
    "sequencer not executable": (
        lambda r: (r / "hooks/proc-receive").chmod(0o644),
        "hooks",
        "error",
        "proc-receive is not executable",
    ),
    "sequencer not asked": (
        lambda r: git(r, "config", "--unset", "receive.procReceiveRefs"),
        "sequencing",
        "warning",
        "every intent is refused",
    ),
    "sequencer neither there nor asked": (
        lambda r: ((r / "hooks/proc-receive").unlink(), git(r, "config", "--unset", "receive.procReceiveRefs")),
        "sequencing",
        "warning",
        "though nothing speaks against it",
    ),
    "sequencer gets the logs": (
        lambda r: git(r, "config", "--add", "receive.procReceiveRefs", "refs"),
        "sequencing",
        "error",
        "the value refs, so that git hands pushes to refs/spaces/",
    ),
    "descriptor promises what is not there": (
        lambda r: git(r, "config", "--unset", "receive.procReceiveRefs"),
        "descriptor",
        "warning",
        "as they are now",
    ),
    "descriptor hidden": (
        lambda r: git(r, "config", "transfer.hideRefs", "refs/meta"),
        "settings",
        "warning",
        "clients learn neither the limits",
    ),
    "inbox hidden": (
        lambda r: git(r, "config", "uploadpack.hideRefs", "refs/intents"),
        "settings",
        "warning",
        "see no intent that waits",
    ),
    "logs hidden": (
        lambda r: git(r, "config", "uploadpack.hideRefs", "refs/spaces"),
        "settings",
        "warning",
        "clients fetch no log",
    ),
    "intents hidden": (
        lambda r: git(r, "config", "receive.hideRefs", "refs/append"),
        "settings",
        "error",
        "git refuses every intent",
    ),
    "stray intent": (
        lambda r: git(r, "update-ref", "refs/append/garden", decide(r)),
        "refs",
        "error",
        "refs/append/garden is no journal's",
    ),
    "hooks path": (lambda r: said_last(r, "/etc"), "hooks", "error", "outside the repository"),
    "hooks path within": (lambda r: said_last(r, "other"), "hooks", "error", "is missing"),
    "record gone": (
        lambda r: (r / "coordjournal/installed.json").unlink(),
        "installed",
        "error",
        "not installed here",
    ),
    "record damaged": (lambda r: edit(r, "coordjournal/installed.json", "{"), "installed", "error", "cannot be read"),
    "interpreter gone": (
        lambda r: edit(r, "hooks/pre-receive", "#!/gone/python -IS\n# coordjournal pre-receive hook.\n"),
        "interpreter",
        "error",
        "/gone/python, which runs",
    ),
    "no interpreter": (
        lambda r: edit(r, "hooks/pre-receive", "#!python\n# coordjournal pre-receive hook.\n"),
        "interpreter",
        "error",
        "names no interpreter",
    ),
    "package damaged": (damage_package, "package", "error", "lib/coordjournal/law.py was changed"),
    "package gone": (
        lambda r: (private_prefix(r) / "current").unlink(),
        "package",
        "error",
        "every push is refused",
    ),
    "package exchangeable": (
        lambda r: private_prefix(r).chmod(0o777),
        "package",
        "warning",
        "can exchange the code that pushes run",
    ),
    "setting missing": (
        lambda r: git(r, "config", "--unset", "receive.fsckObjects"),
        "settings",
        "warning",
        "receive.fsckObjects is not set; with true, git checks",
    ),
    "setting changed": (
        lambda r: git(r, "config", "core.fsync", "none"),
        "settings",
        "warning",
        "core.fsync is 'none'; with objects",
    ),
    "setting unreadable": (
        lambda r: git(r, "config", "coordjournal.clockSkew", "soon"),
        "settings",
        "error",
        "clockskew",
    ),
    "prefix setting": (
        lambda r: git(r, "config", "coordjournal.prefix", "/other"),
        "settings",
        "warning",
        "not where the hooks find",
    ),
    "mirror": (
        lambda r: git(r, "remote", "add", "--mirror=fetch", "old", "/srv/git/old.git"),
        "settings",
        "warning",
        "remote.old.fetch is a mirror's: the next fetch overwrites",
    ),
    "foreign ref": (
        lambda r: git(r, "update-ref", "refs/spaces/Big", decide(r)),
        "refs",
        "error",
        "refs/spaces/Big is no journal's",
    ),
    "old ref lock": (lambda r: age(r / "refs/spaces/x.lock"), "leftovers", "warning", "blocks every later change"),
    "ref lock of the future": (
        lambda r: age(r / "refs/spaces/x.lock", -3600),
        "leftovers",
        "warning",
        "at a time that is yet to come",
    ),
    "old packed-refs lock": (lambda r: age(r / "packed-refs.lock"), "leftovers", "warning", "packed-refs.lock"),
    "old quarantine": (
        lambda r: old_folder(r / "objects/tmp_objdir-incoming-abc"),
        "leftovers",
        "warning",
        "takes room",
    ),
    "old probe": (lambda r: old_folder(r / "coordjournal/probe-abc"), "leftovers", "warning", "probe-abc"),
    "alternates": (lambda r: edit(r, "objects/info/alternates", f"{r}/objects\n"), "objects", "warning", "borrows"),
    "grafts": (lambda r: edit(r, "info/grafts", "# x\n"), "objects", "warning", "another history"),
    "shallow": (lambda r: edit(r, "shallow", decide(r) + "\n"), "objects", "warning", "cuts the history off"),
    "replaced": (
        lambda r: git(r, "update-ref", f"refs/replace/{decide(r)}", decide(r, target="x")),
        "objects",
        "warning",
        "another object",
    ),
    "descriptor late": (
        lambda r: git(r, "config", "coordjournal.clockSkew", "5"),
        "descriptor",
        "warning",
        "as they are now",
    ),
    "descriptor gone": (
        lambda r: git(r, "update-ref", "-d", "refs/meta/coordjournal"),
        "descriptor",
        "warning",
        "does not tell clients",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_found(name: str, bare: Bare) -> None:
    act, check, level, what = CASES[name]
    repository = bare()
    act(repository)
    before = snapshot(repository)
    found = [f for f in install.doctor(str(repository), probe=False) if f.check == check and what in f.what]
    assert [f.level for f in found] == [level]
    assert snapshot(repository) == before
    if level == "warning":
        assert found[0].remedy


@pytest.mark.parametrize(
    "name",
    ["hook missing", "setting changed", "descriptor late", "record gone", "hook edited"]
    + [name for name in CASES if name.startswith("sequencer") and name != "sequencer gets the logs"],
)
def test_installing_again_is_the_cure_that_the_remedy_promises(name: str, bare: Bare, prefix: str) -> None:
    repository = bare()
    CASES[name][0](repository)
    found = wrong(install.doctor(str(repository), probe=False))
    assert "chmod 755" in found[0].remedy or any(f"coordjournal install {repository}" == f.remedy for f in found)
    install.install(str(repository), prefix=prefix)
    assert wrong(install.doctor(str(repository))) == []


def test_the_ref_of_a_log_that_git_cannot_read(bare: Bare, client: Path) -> None:
    repository = bare()
    two_decisions(client, repository)
    two_decisions(client, repository, "orchard")
    (repository / "refs" / "spaces" / "garden").write_bytes(b"")
    [finding] = wrong(install.doctor(str(repository), probe=False))
    assert (finding.check, finding.level) == ("refs", "error")
    assert finding.what == "git cannot read the file of refs/spaces/garden, so that its log seems not to be there"
    assert "A damaged repository" in finding.remedy


def test_an_intent_that_must_be_refused_is_probed_too(bare: Bare) -> None:
    repository = bare()
    install.install(str(repository), sequencing=False)
    findings = install.doctor(str(repository))
    assert wrong(findings) == []
    assert "intents are not sequenced here (--sequencing turns it on)" in [f.what for f in findings]
    assert any("an intent is refused, for nothing is sequenced here" in f.what for f in findings if f.check == "probe")
    # A server that would let it in, and leave a stray ref.
    (repository / "hooks" / "pre-receive").write_text(CARELESS)
    probed = [f for f in wrong(install.doctor(str(repository))) if "an intent is refused" in f.what]
    assert [f.level for f in probed] == ["error"]
    assert "may leave a stray ref" in probed[0].remedy


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_a_sequencer_that_does_not_work_is_found_by_the_probe(object_format: str, bare: Bare) -> None:
    repository = bare(object_format=object_format)
    hook = repository / "hooks" / "proc-receive"
    hook.write_text(hook.read_text().replace("main()", "sys.exit(0)"))
    before = snapshot(repository)
    probed = [f for f in wrong(install.doctor(str(repository))) if f.check == "probe"]
    assert ["an intent is appended" in f.what for f in probed] == [True]
    assert "no intent can be appended" in probed[0].remedy
    assert snapshot(repository) == before


# -- the inbox -------------------------------------------------------------------------------------------------------


def leased(repository: Path, until: float, space: str = "garden") -> None:
    """A log whose tip says that somebody holds the lease, or held it, until then."""
    raw = git(repository, "cat-file", "commit", decide(repository, space)) + "\n"
    raw += f"Lease: node-a/5f0c; term=1; ttl=300; until={timestamp.text(int(until))[:19]}Z\n"
    tip = git(repository, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw.encode())
    git(repository, "update-ref", f"refs/spaces/{space}", tip)


def waits(repository: Path, since: float, number: int = 1, space: str = "garden") -> None:
    """An intent in the inbox."""
    name = f"{int(since * 1_000_000):016}-01935c2f-7b00-7000-8000-{number:012x}"
    git(repository, "update-ref", f"refs/intents/{space}/{name}", decide(repository, space, seq=None))


def inbox(repository: Path) -> list[tuple[str, str]]:
    return [(f.level, f.what) for f in install.doctor(str(repository), probe=False) if f.check == "inbox"]


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_what_waits_in_the_inbox(object_format: str, bare: Bare) -> None:
    repository = bare(object_format=object_format)
    now = time.time()
    assert inbox(repository) == [("ok", "no intent waits")]
    waits(repository, now - 7205)
    waits(repository, now - 100, 2)
    leased(repository, now + 300)
    told = "garden: 2 waiting, the first for 120 minutes"
    assert inbox(repository) == [("ok", f"{told}; node-a holds the lease")]
    leased(repository, now - 30)
    assert inbox(repository) == [("ok", f"{told}; the lease has just ended")]
    leased(repository, now - 90)
    assert inbox(repository) == [("warning", f"{told}, and nobody holds the lease")]
    git(repository, "update-ref", "-d", "refs/spaces/garden")
    assert inbox(repository) == [("warning", f"{told}, and nobody holds the lease")]
    waits(repository, now, space="orchard")
    assert inbox(repository)[1] == ("ok", "orchard: 1 waiting, the first for 0 minutes")
    found = wrong(install.doctor(str(repository), probe=False))
    assert "coordjournal lease acquire garden" in found[0].remedy


def test_young_locks_are_work_in_progress(bare: Bare) -> None:
    repository = bare()
    (repository / "packed-refs.lock").write_text("")
    assert wrong(install.doctor(str(repository), probe=False)) == []


def test_what_is_no_repository_is_one_finding(tmp_path: Path) -> None:
    findings = wrong(install.doctor(str(tmp_path)))
    assert [(f.check, f.level) for f in findings] == [("repository", "error")]
    assert "not a git repository" in findings[0].what


def test_a_repository_of_another_owner_is_explained(bare: Bare) -> None:
    require(os.geteuid() == 0, "root, to give a repository away")
    repository = bare()
    os.chown(repository, 54_321, 54_321)
    findings = wrong(install.doctor(str(repository)))
    assert [f.check for f in findings] == ["repository"]
    assert "safe.directory" in findings[0].remedy


def test_another_version_of_the_package_is_told(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = bare()
    real = actions.prefixes.running_package()
    other = type(real)("9.9.9", "f" * 64, real.files)
    monkeypatch.setattr(actions.prefixes, "running_package", lambda: other)
    found = wrong(install.doctor(str(repository), probe=False))
    assert [(f.check, f.level) for f in found] == [("package", "warning")]
    assert "9.9.9-ffffffffffff" in found[0].what
    assert "coordjournal upgrade" in found[0].remedy


def test_a_template_of_another_version_is_told(bare: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = bare()
    (tmp_path / "hooks").mkdir()
    for name in checkup.hooks.NAMES:
        (tmp_path / "hooks" / name).write_text(f"# coordjournal {name} hook. Later.\n")
    monkeypatch.setattr(checkup.hooks.resources, "hooks", lambda: str(tmp_path / "hooks"))
    found = [f for f in wrong(install.doctor(str(repository), probe=False)) if f.check == "hooks"]
    assert ["of another version" in f.what for f in found] == [True, True]


@pytest.mark.parametrize(
    ("version", "level"), [((2, 20, 1), "error"), ((2, 34, 1), "warning"), ((2, 36), "ok"), ((3, 0), "ok")]
)
def test_the_version_of_git(version: tuple[int, ...], level: str, bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gitcli, "version", lambda: version)
    found = install.doctor(str(bare()), probe=False)
    assert found[0].check == "git"
    assert found[0].level == level


@pytest.mark.parametrize(
    ("free", "inodes", "level"),
    [(10**7, 10**6, "error"), (10**8, 10**6, "warning"), (10**10, 100, "warning"), (10**10, 10**6, "ok")],
)
def test_room_on_the_disk(free: int, inodes: int, level: str, bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = bare()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_files=10**7, f_favail=inodes, f_flag=0))
    assert [f.level for f in install.doctor(str(repository), probe=False) if f.check == "disk"] == [level]


def test_a_file_system_that_runs_nothing(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "runs_nothing", lambda path: True)
    found = [f for f in wrong(install.doctor(str(bare()), probe=False)) if f.check == "hooks"]
    assert "noexec" in found[0].what


def test_a_question_that_cannot_be_answered_is_a_finding(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> list[Finding]:
        raise PermissionError(13, "Permission denied", "/x")

    monkeypatch.setattr(checkup, "_QUESTIONS", (("disk", broken),))
    found = wrong(install.doctor(str(bare()), probe=False))
    assert [(f.check, f.level) for f in found] == [("disk", "error")]
    assert "cannot be examined" in found[0].what


@pytest.fixture
def shared(bare: Bare) -> Path:
    return bare("shared.git", shared="group")


def test_a_shared_repository_is_well(shared: Path) -> None:
    findings = install.doctor(str(shared))
    assert [f for f in wrong(findings) if f.check not in ("safe.directory", "package", "interpreter", "hooks")] == []
    group = sharing.group(shared.stat().st_gid)
    assert any(f"shared with the group {group}" in f.what for f in findings)


@pytest.mark.parametrize(
    ("path", "mode", "told"),
    [
        ("refs/spaces", 0o2755, "not writable by its group"),
        ("objects/pack", 0o775, "no setgid bit"),
        ("coordjournal", 0o755, "not writable by its group"),
        ("config", 0o600, "not readable by the group"),
        ("coordjournal/locks", 0o2755, "not writable by its group"),
        ("coordjournal/ids", 0o775, "no setgid bit"),
        ("coordjournal/locks/garden", 0o600, "not readable by the group (mode 0600)"),
        ("coordjournal/ids/garden", 0o644, "not writable by the group (mode 0644)"),
    ],
)
def test_modes_that_lock_the_group_out(path: str, mode: int, told: str, shared: Path) -> None:
    if path.endswith("/garden"):
        edit(shared, path, "")
    if not (shared / path).exists():
        (shared / path).mkdir()
    (shared / path).chmod(mode)
    found = [f for f in wrong(install.doctor(str(shared), probe=False)) if f.check == "sharing"]
    assert any(f"{shared / path} " in f.what and told in f.what for f in found)
    assert "chmod g+rwxs" in found[-1].remedy


def test_a_wrong_group_and_its_cure(shared: Path) -> None:
    require(os.geteuid() == 0, "root, to change groups")
    os.chown(shared / "refs", -1, 54_321)
    (shared / "objects").chmod(0o755)
    for path in ("coordjournal/locks/garden", "coordjournal/ids/garden"):
        edit(shared, path, "")
        (shared / path).chmod(0o600)
        (shared / path).parent.chmod(0o700)
    found = [f for f in wrong(install.doctor(str(shared), probe=False)) if f.check == "sharing"]
    assert any("belongs to the group 54321" in f.what for f in found)
    run("sh", "-c", found[-1].remedy)
    assert [f for f in wrong(install.doctor(str(shared), probe=False)) if f.check == "sharing"] == []
    assert stat.S_IMODE((shared / "objects").stat().st_mode) == 0o2775


def test_a_folder_open_to_a_group_without_the_setting(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = bare()
    repository.chmod(0o775)
    monkeypatch.setattr(sharing, "members", lambda gid: [sharing.account(os.geteuid()), "ada"])
    found = [f for f in wrong(install.doctor(str(repository), probe=False)) if f.check == "sharing"]
    assert "core.sharedRepository is not set" in found[0].what


def account(name: str, uid: int, home: Path) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, 54_400, "", str(home), "/bin/sh"))


def test_the_accounts_that_git_does_not_trust_are_named(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = {name: tmp_path / name for name in ("ada", "bob", "cyd")}
    monkeypatch.setattr(sharing, "members", lambda gid: [sharing.account(os.geteuid()), *homes])
    monkeypatch.setattr(
        os.path, "expanduser", lambda path: str(homes[path[1:]]) if path[1:] in homes else path.replace("~", "/root")
    )
    for home in homes.values():
        home.mkdir()
    (homes["ada"] / ".gitconfig").write_text(f"[safe]\n\tdirectory = {shared}\n")
    (homes["bob"] / ".gitconfig").write_text(f"[safe]\n\tdirectory = {shared}\n\tdirectory =\n")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "system"))

    def found() -> list[Finding]:
        return [f for f in install.doctor(str(shared), probe=False) if f.check == "safe.directory"]

    assert [f.level for f in found()] == ["warning"]
    assert "pushes of bob, cyd:" in found()[0].what
    assert f"git config --system --add safe.directory {shared}" in found()[0].remedy
    (homes["bob"] / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    (homes["cyd"] / ".config" / "git").mkdir(parents=True)
    (homes["cyd"] / ".config" / "git" / "config").write_text(f"[safe]\n\tdirectory = {shared.parent}/*\n")
    assert [f.level for f in found()] == ["ok"]
    shutil.rmtree(homes["cyd"])
    (tmp_path / "system").write_text(f"[safe]\n\tdirectory = {shared}\n")
    assert "every account of this machine" in found()[0].what


def test_members_of_a_group_are_those_listed_and_those_whose_own_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("wiki", "x", gid, ["bob"])))
    monkeypatch.setattr(pwd, "getpwall", lambda: [account("ada", 1, tmp_path)])
    assert sharing.members(54_400) == ["ada", "bob"]
    assert sharing.members(54_401) == ["bob"]


def test_the_impossible_refs_are_impossible_without_any_hook(tmp_path: Path, client: Path) -> None:
    """The ground the real probe stands on: git itself fails the whole push, whatever else is in it."""
    git(tmp_path, "init", "--quiet", "--bare", "bare.git")
    server = tmp_path / "bare.git"
    first, second = two_decisions(client, server)
    before = git(server, "for-each-ref")
    for update in (f"+{first}:refs/spaces/garden", ":refs/spaces/garden"):
        done = push(client, server, "--atomic", update, *(f"{second}:{ref}" for ref in probe._IMPOSSIBLE))
        assert done.returncode == 1
        assert "atomic transaction failed" in done.stderr
        assert git(server, "for-each-ref") == before


def test_names_of_refs_that_hold_other_ends_of_lines(bare: Bare, client: Path) -> None:
    """Python's splitlines() takes U+2028 and others for the end of a line; in a ref's name they are nothing special."""
    server = bare()
    _, tip = two_decisions(client, server)
    odd = [f"refs/spaces/a\u2028{'f' * 40}", "refs/intents/garden/1-\u2028x", f"refs/heads/a\u2028{tip}"]
    lines = sorted(f"{tip} {name}" for name in [*odd, "refs/spaces/garden"])
    git(server, "update-ref", "-d", "refs/spaces/garden")
    with open(server / "packed-refs", "a") as file:
        file.writelines(f"{line}\n" for line in lines)
    findings = install.doctor(str(server))
    assert not [finding for finding in findings if "cannot be examined" in finding.what]
    named = [finding.what for finding in wrong(findings) if finding.check == "refs"]
    assert len(named) == 2 and all(any(what.startswith(name) for what in named) for name in odd[:2])
