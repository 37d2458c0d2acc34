"""A repository that several accounts share: real pushes by a second account, by path and as over ssh."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import decide, git, require, snapshot

from coordjournal import install
from coordjournal.install import InstallError, gitcli, interpreter, sharing
from coordjournal.install.sharing import Audience

GROUP, ADA, BOB, EVE = 54_400, 54_401, 54_402, 54_403


@dataclass(frozen=True)
class Wiki:
    """A group's repository that belongs to Ada, a client with decisions, and a home folder for each account."""

    place: Path
    server: Path
    client: Path

    def home(self, uid: int) -> Path:
        return self.place / f"home-{uid}"

    def as_account(self, uid: int, *words: str | Path, group: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program as another account, a member of the group or not."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home(uid)),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C",
        }
        done = subprocess.run(
            [os.fspath(word) for word in words],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            user=uid,
            group=uid,
            extra_groups=[GROUP] if group else [],
            umask=0o077,
        )
        out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def push(self, uid: int, *updates: str, ssh: bool = False) -> subprocess.CompletedProcess[str]:
        """Push as an account. With ``ssh`` through a stand-in for ssh that runs the command as sshd would, in a shell
        of that account on this machine."""
        options = []
        url = str(self.server)
        if ssh:
            # git calls it as: ssh [-o ...] host 'git-receive-pack '\''/path'\'''
            stand_in = self.place / "ssh"
            stand_in.write_text('#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n')
            stand_in.chmod(0o755)
            options = ["-c", f"core.sshCommand={shlex.quote(str(stand_in))}", "-c", "ssh.variant=simple"]
            url = f"wiki.example.org:{self.server}"
        return self.as_account(uid, "git", f"--git-dir={self.client}", *options, "push", "--quiet", url, *updates)

    def trust(self, uid: int) -> None:
        """What the installer tells Bob to do."""
        done = self.as_account(uid, "git", "config", "--global", "--add", "safe.directory", self.server)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def wiki(open_place: Path, prefix: str, tmp_path: Path) -> Iterator[Wiki]:
    require(os.geteuid() == 0, "root, to work as two accounts")
    try:
        interpreter.choose(Audience(ADA, GROUP))
    except InstallError as error:
        require(False, f"a Python that every account can run: {error.what}")
    place = open_place / tmp_path.name
    place.mkdir()
    place.chmod(0o755)
    wiki = Wiki(place, place / "wiki.git", place / "client.git")
    for uid in (ADA, BOB, EVE):
        wiki.home(uid).mkdir(mode=0o700)
        os.chown(wiki.home(uid), uid, uid)
    # As an administrator would: a folder of the group's, so that what is made in it is the group's too.
    wiki.server.mkdir()
    os.chown(wiki.server, 0, GROUP)
    wiki.server.chmod(0o2775)
    install.init(str(wiki.server), prefix=prefix, shared="group")
    for where, folders, names in os.walk(wiki.server):
        for path in (where, *(os.path.join(where, name) for name in (*folders, *names))):
            os.lchown(path, ADA, -1)
    git(place, "init", "--quiet", "--bare", "client.git")
    yield wiki


def test_two_accounts_append_to_one_log(wiki: Wiki) -> None:
    wiki.trust(BOB)
    tip = None
    # Each push writes objects into folders that the other account may have made, and moves a ref the other one made.
    for seq in range(12):
        tip = decide(wiki.client, parent=tip, seq=seq)
        who, ssh = (ADA, BOB)[seq % 2], seq % 4 > 1
        done = wiki.push(who, f"{tip}:refs/spaces/garden", ssh=ssh)
        assert done.returncode == 0, (seq, who, done.stderr)
    assert git(wiki.server, "rev-parse", "refs/spaces/garden", env=_trusting(wiki)) == tip
    first = git(wiki.client, "rev-list", "--max-parents=0", str(tip))
    for who in (BOB, ADA):
        refused = wiki.push(who, f"+{first}:refs/spaces/garden", ssh=who == BOB)
        assert refused.returncode == 1
        assert "not-fast-forward" in refused.stderr
        assert "could not be written" not in refused.stderr
    log = wiki.server / "coordjournal" / "refusals.jsonl"
    assert [json.loads(line)["uid"] for line in log.read_text().splitlines()] == [BOB, ADA]


def test_two_accounts_have_their_intents_sequenced(wiki: Wiki, monkeypatch: pytest.MonkeyPatch) -> None:
    wiki.trust(BOB)
    # Whoever comes first makes the locks and the index, and the other one goes on with them.
    for number in range(4):
        who = (ADA, BOB)[number % 2]
        done = wiki.push(who, f"{decide(wiki.client, seq=None)}:refs/append/garden", ssh=number > 1)
        assert done.returncode == 0, (number, who, done.stderr)
    shown = git(wiki.server, "show", "--no-patch", "--format=%B", "refs/spaces/garden", env=_trusting(wiki))
    assert shown.endswith("\nSeq: 3")
    assert sorted(os.listdir(wiki.server / "coordjournal" / "ids")) == ["garden"]
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(wiki.home(BOB) / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(wiki.home(BOB) / ".gitconfig"))
    assert [finding for finding in install.doctor(str(wiki.server), probe=False) if finding.level != "ok"] == []


def test_git_refuses_who_does_not_trust_the_owner_and_the_installer_said_so(wiki: Wiki, prefix: str) -> None:
    require(gitcli.version() >= (2, 39, 4), "a git receive-pack that asks for the owner")
    first = decide(wiki.client)
    refused = wiki.push(BOB, f"{first}:refs/spaces/garden")
    assert refused.returncode != 0
    assert "dubious ownership" in refused.stderr
    wiki.trust(BOB)
    assert wiki.push(BOB, f"{first}:refs/spaces/garden").returncode == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(wiki.home(BOB) / ".gitconfig"))
        report = install.install(str(wiki.server), prefix=prefix)
    told = [step.text for step in report.steps if step.kind == "note"]
    assert any(f"git config --system --add safe.directory {wiki.server}" in text for text in told)


def test_who_is_not_in_the_group_cannot_push(wiki: Wiki) -> None:
    wiki.trust(EVE)
    first = decide(wiki.client)
    done = wiki.as_account(
        EVE, "git", f"--git-dir={wiki.client}", "push", wiki.server, f"{first}:refs/spaces/x", group=False
    )
    assert done.returncode != 0
    assert git(wiki.server, "for-each-ref", "refs/spaces", env=_trusting(wiki)) == ""


def test_an_account_cannot_change_the_package_it_runs(wiki: Wiki, prefix: str) -> None:
    wiki.trust(BOB)
    before = snapshot(prefix)
    assert wiki.push(BOB, f"{decide(wiki.client)}:refs/spaces/garden").returncode == 0
    assert snapshot(prefix) == before
    for path, (mode, _) in before.items():
        if not stat.S_ISLNK(mode):
            assert not mode & 0o022, path


def test_the_hooks_run_by_an_interpreter_that_all_can_reach(wiki: Wiki) -> None:
    first_line = (wiki.server / "hooks" / "pre-receive").read_text().splitlines()[0]
    python = first_line.removeprefix("#!").split()[0]
    assert wiki.as_account(BOB, python, "-IS", "-c", "print(1)").stdout == "1\n"
    assert sharing.obstacle(python, Audience(BOB, GROUP, everyone=True), execute=True) == ""


def test_the_doctor_finds_a_shared_repository_well(wiki: Wiki, monkeypatch: pytest.MonkeyPatch) -> None:
    wiki.trust(BOB)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(wiki.home(BOB) / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(wiki.home(BOB) / ".gitconfig"))
    assert wiki.push(BOB, f"{decide(wiki.client)}:refs/spaces/garden").returncode == 0
    findings = install.doctor(str(wiki.server))
    assert [finding for finding in findings if finding.level != "ok"] == []


def test_a_prefix_that_the_group_cannot_reach_is_refused_before_anything_changes(wiki: Wiki, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o700)
    before = snapshot(wiki.server)
    with pytest.MonkeyPatch.context() as patch:
        wiki.trust(BOB)
        patch.setenv("GIT_CONFIG_GLOBAL", str(wiki.home(BOB) / ".gitconfig"))
        with pytest.raises(InstallError, match=r"could not read the package: the .* may not enter") as caught:
            install.install(str(wiki.server), prefix=str(closed / "prefix"))
    assert "--prefix /usr/local/lib/coordjournal" in caught.value.remedy
    assert os.listdir(closed) == []
    assert snapshot(wiki.server) == before


def test_an_interpreter_that_the_group_cannot_reach_is_refused(wiki: Wiki, tmp_path: Path, prefix: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    python = closed / "python"
    python.write_text(f'#!/bin/sh\nexec {interpreter.choose(Audience(ADA, GROUP)).path} "$@"\n')
    python.chmod(0o755)
    closed.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        wiki.trust(BOB)
        patch.setenv("GIT_CONFIG_GLOBAL", str(wiki.home(BOB) / ".gitconfig"))
        patch.setattr(interpreter, "describe", lambda path: interpreter.Interpreter(path, interpreter.TAG, "3", path))
        with pytest.raises(InstallError, match=r"cannot run the hooks: the .* may not enter"):
            install.install(str(wiki.server), prefix=prefix, python=str(python))


def _trusting(wiki: Wiki) -> dict[str, str]:
    """Let root read what belongs to Ada."""
    path = wiki.place / "root.gitconfig"
    path.write_text(f"[safe]\n\tdirectory = {wiki.server}\n")
    return {"GIT_CONFIG_GLOBAL": str(path)}
