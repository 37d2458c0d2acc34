"""docs/operations.md: the commands of the page are taken from it and run as they stand.

Those of "From nothing to a served journal" run on a copy of this machine's file system that is thrown away (an
overlay), with processes and a loopback interface of its own. So they may make accounts, write into /etc and listen on
ports 22 and 443, and nothing of it is left. COORDJOURNAL_FRESH_ROOT names another root file system to start from, such
as one that debootstrap made; by default it is this machine's, where .ci/run has installed the packages already. There
is no systemd in such a copy: ``systemctl`` is a stand-in that starts what the units say. Those about backups, replicas
and repair run where the test is, with other folders than the page names.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import git, require, run

from coordjournal import AliasSet, Journal, JournalRewound, Refused

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "operations.md"
FROM = os.environ.get("COORDJOURNAL_FRESH_ROOT", "/")  # asked before the tests have an environment of their own
SECTION = "## From nothing to a served journal\n"
_BLOCK = re.compile(r"<!-- run: (?P<who>[a-z, ]+) -->\n```sh\n(?P<commands>.*?)^```$", re.DOTALL | re.MULTILINE)

# The outer half, in namespaces of its own: the copy, and what a machine has before it has anything.
COPY = """
mount -t tmpfs copy "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" copy "$1/root"
root=$1/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs run "$root/run"
mount -t tmpfs tmp "$root/tmp"
chmod 1777 "$root/tmp"
mkdir "$root/tmp/checkout"
# Services start where their loopback interface is, below, and not as packages are installed.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
echo "127.0.0.1 localhost server.example.org" >"$root/tmp/hosts"
cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || :
mount --bind "$3" "$root/tmp/checkout"
chroot "$root" /bin/bash -euo pipefail /tmp/checkout/network
cp "$root/tmp/hosts" "$root/etc/hosts"
exec unshare --net chroot "$root" /bin/bash -euo pipefail /tmp/checkout/served
"""

# Starts what a unit's service says, as far as these units say it.
SYSTEMCTL = r"""#!/bin/bash
value() { sed -n "s/^$1=//p" "/etc/systemd/system/$unit.service"; }
case "$*" in
daemon-reload) ;;
"reload nginx") nginx -s reload ;;
"enable --now "*)
    unit=${*: -1}
    install -d -o "$(value User)" -g "$(value Group)" "/run/$(value RuntimeDirectory)"
    umask "$(value UMask)"
    exec </dev/null >/dev/null 2>&1
    setpriv --reuid "$(value User)" --regid "$(value Group)" --clear-groups $(value ExecStart) &
    for _ in {1..100}; do [ ! -S "/run/$(value RuntimeDirectory)/socket" ] || exit 0; sleep 0.02; done
    exit 1 ;;
*) exit 64 ;;
esac
"""

BOOTED = """
ip link set lo up 2>/dev/null || python3 -c '
import fcntl, socket, struct
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x49))'
install -m 755 /tmp/checkout/systemctl /usr/local/bin/systemctl
install -d /run/sshd
/usr/sbin/sshd
nginx
useradd --create-home --shell /bin/bash alice
useradd --create-home --shell /bin/bash bob
useradd --create-home --shell /bin/bash carol
cd /tmp
"""

HANDED_OVER = {  # what people send each other between two blocks
    "for name in alice bob": "cp /home/alice/.ssh/id_ed25519.pub alice.pub; cp /home/bob/.ssh/id_ed25519.pub bob.pub",
    "git config --global http.": "install -o carol carol.password /etc/ssl/certs/git.pem /home/carol/",
}

PROVED = r"""
echo "== committers"
runuser -l git -c 'git -C /srv/git/wiki.git log --reverse --format=%cn,%s refs/spaces/garden'
echo "== a rewind, a shell, a stranger"
as() { runuser -l "$1" -c "$2" 2>&1 || echo "status $?"; }
as alice 'git -C wiki push origin +refs/coordjournal/origin/garden:refs/spaces/garden'
as bob 'ssh git@server.example.org id'
as carol 'ssh -o BatchMode=yes -o StrictHostKeyChecking=no git@server.example.org id'
as carol 'git ls-remote https://carol:wrong@server.example.org/git/wiki.git'
grep -o '"REMOTE_USER": "alice"' /srv/git/wiki.git/coordjournal/refusals.jsonl
echo "== done"
"""


def blocks(text: str) -> list[tuple[list[str], str]]:
    """The blocks of a page that are to be run: by whom, and the commands."""
    return [(match["who"].split(", "), match["commands"]) for match in _BLOCK.finditer(text)]


def test_every_block_of_the_section_is_run() -> None:
    page = PAGE.read_text()
    section = page[page.index(SECTION) :].split("\n## ", 1)[0]
    assert section.count("```sh") == len(blocks(section)) > 8
    assert all(who == ["care"] or who[0] == "care" for who, _ in blocks(page.replace(section, "")))


def test_from_nothing_to_a_served_journal(tmp_path: Path) -> None:
    apart = ["unshare", "--mount", "--pid", "--net", "--fork", "true"]
    able = os.geteuid() == 0 and shutil.which("unshare") and run(*apart, check=False).returncode == 0
    require(able, "root that may make namespaces, for a copy of the file system")
    require(shutil.which("apt-get"), "Debian")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "coordjournal", "hooks", "schemas", "docs"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)  # type: ignore[operator]
    network, served = ["cd /tmp/checkout", "set -x"], [BOOTED, "set -x"]
    for who, commands in blocks(PAGE.read_text()):
        if who[0] == "care":
            continue
        for first, handing in HANDED_OVER.items():
            if first in commands:
                served.append(handing)
        for person in who:
            if person == "network":
                continue
            if person == "root":
                (network if "network" in who else served).append(commands)
            else:
                served.append(f"runuser -l {person} <<'EOF_OF_THIS'\nset -eux\n{commands}EOF_OF_THIS\n")
    (checkout / "network").write_text("\n".join(network))
    (checkout / "served").write_text("\n".join([*served, PROVED]))
    (checkout / "systemctl").write_text(SYSTEMCTL)
    place = tmp_path / "copy"
    place.mkdir()
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-euc", COPY, "copy"]
    words += [str(place), FROM, str(checkout)]
    environment = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "http", "HTTP"))}
    environment |= {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    environment |= {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for line in (
        "alice,alias-set: Home-alice -> shardA:Index",
        "bob,alias-set: Home-bob -> shardA:Index",
        "carol,alias-set: Home-carol -> shardA:Index",
        "lawful  garden: 3 decisions",
        "remote:   not-fast-forward at ref: ",
        "== done",
    ):
        assert line in done.stdout, said
    assert "fatal: unrecognized command 'id'" in done.stdout, said
    assert "Permission denied" in done.stdout, said
    assert "Authentication failed for 'https://server.example.org/git/wiki.git/'" in done.stdout, said


class Care:
    """The blocks of the page about a journal that runs, one after the other, in folders of the test's."""

    def __init__(self, place: Path, prefix: str) -> None:
        self.place = place
        self.blocks = [(who[1:], commands) for who, commands in blocks(PAGE.read_text()) if who[0] == "care"]
        for name in ("srv", "backups", "tmp", "home"):
            (place / name).mkdir()
        # The default prefix is the machine's.
        self.prelude = (
            "set -euo pipefail\ncoordjournal() {\n"
            f'    case $1 in init | install) set -- "$@" --prefix {shlex.quote(prefix)} ;; esac\n'
            f'    {shlex.quote(sys.executable)} -m coordjournal "$@"\n}}\n'
        )

    def run(self, first: str, where: list[str] | None = None, cwd: Path | None = None, **env: str) -> Any:
        """Runs the next block, which has the word ``first`` in it."""
        told, commands = self.blocks[0]
        assert first in commands, commands
        assert told == (where or []), told
        return self.again(commands, cwd, **env)

    def again(self, commands: str, cwd: Path | None = None, **env: str) -> Any:
        for name, here in {
            "ssh://git@server.example.org/srv/git": f"file://{self.place}/srv",
            "/srv/git": f"{self.place}/srv",
            "/var/backups": f"{self.place}/backups",
            "/var/tmp": f"{self.place}/tmp",
        }.items():
            commands = commands.replace(name, here)
        env = {"HOME": str(self.place / "home"), "PYTHONPATH": str(ROOT), **env}
        return run("bash", "-c", self.prelude + commands, cwd=cwd or self.place, env=env, check=False)

    def next(self, first: str, where: list[str] | None = None, cwd: Path | None = None, **env: str) -> str:
        """Runs the next block, which must go well, and goes on to the one behind it; what it prints."""
        done = self.run(first, where, cwd, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        self.blocks.pop(0)
        return done.stdout


@pytest.fixture
def care(tmp_path: Path, prefix: str, bare: Callable[..., Path]) -> Care:
    """A journal with three decisions of the garden and a clone of it, where the page thinks that they are."""
    care = Care(tmp_path, prefix)
    shutil.copy(Path(os.environ["HOME"], ".gitconfig"), tmp_path / "home" / ".gitconfig")
    bare().rename(tmp_path / "srv" / "wiki.git")
    git(tmp_path / "srv" / "wiki.git", "config", "coordjournal.maxDecisionBytes", "32k")
    with Journal.clone(f"file://{tmp_path}/srv/wiki.git", tmp_path / "home" / "wiki") as clone:
        for number in range(3):
            clone.space("garden").append(AliasSet(f"a{number}", "s:P"), actor="alice")
    return care


def test_backups_replicas_moves_and_repairs(care: Care) -> None:
    srv, clone = care.place / "srv", care.place / "home" / "wiki"
    server, backup, restored = srv / "wiki.git", care.place / "backups" / "wiki", srv / "restored.git"
    garden = "refs/spaces/garden"

    care.next("clone ssh:")
    fetch = care.blocks[0][1]
    care.next("coordjournal -C /var/backups/wiki sync")
    kept = "refs/coordjournal/origin/garden"
    saved = git(backup, "rev-parse", kept)
    assert saved == git(server, "rev-parse", garden)
    git(server, "update-ref", garden, f"{saved}~1")  # the server goes backwards, its backup does not
    assert care.again(fetch).returncode != 0
    assert git(backup, "rev-parse", kept) == saved
    git(server, "update-ref", garden, saved)

    with Journal.open(clone) as journal:
        for number in range(2):
            journal.space("garden").append(AliasSet(f"b{number}", "s:P"), actor="alice")
    tip = git(server, "rev-parse", garden)
    assert "lawful  garden: 3 decisions" in care.next("init /srv/git/restored.git")
    assert git(restored, "config", "coordjournal.maxDecisionBytes") == "32k"
    assert git(restored, "config", "coordjournal.prefix") == git(server, "config", "coordjournal.prefix")
    git(clone, "remote", "set-url", "origin", f"file://{restored}")
    with Journal.open(clone) as journal, pytest.raises(JournalRewound):
        journal.sync()
    assert "the server got" in care.next("coordjournal rescue", ["in a clone"], clone)
    assert git(restored, "rev-parse", garden) == tip
    with Journal.open(clone) as journal:
        assert journal.space("garden").append(AliasSet("c", "s:P"), actor="alice").seq == 5
    git(clone, "remote", "set-url", "origin", f"file://{server}")
    git(server, "fetch", "--quiet", str(restored), f"{garden}:{garden}")

    care.next("init /srv/git/replica.git")
    follow = care.blocks[0][1]
    care.next("sync &&")
    replica = srv / "replica.git"
    tip = git(server, "rev-parse", garden)
    git(server, "update-ref", garden, f"{tip}~1")
    assert care.again(follow).returncode != 0
    assert git(replica, "rev-parse", garden) == tip
    git(server, "update-ref", garden, tip)
    assert git(replica, "rev-parse", garden) == git(server, "rev-parse", garden)
    with Journal.clone(f"file://{replica}", care.place / "reader") as reader:
        assert reader.space("garden").state().resolve("c") == "s:P"
        with pytest.raises(Refused, match="read-only") as refused:
            reader.space("garden").append(AliasSet("d", "s:P"), actor="bob", queue=False)
        assert f"file://{server}" in f"{refused.value.what} {refused.value.remedy}"
        git(care.place / "reader", "remote", "set-url", "origin", f"file://{server}")
        assert reader.space("garden").append(AliasSet("d", "s:P"), actor="bob").seq == 6

    care.next("new.example.org")
    with Journal.open(clone) as journal:
        journal.sync()
        with pytest.raises(Refused, match="read-only") as refused:
            journal.space("garden").append(AliasSet("e", "s:P"), actor="alice", queue=False)
        assert "ssh://git@new.example.org" in f"{refused.value.what} {refused.value.remedy}"
    for key in ("readOnly", "primary"):
        git(server, "config", "--unset", f"coordjournal.{key}")

    tip, damaged = git(server, "rev-parse", garden), git(server, "rev-parse", f"{garden}~1")
    path = server / "objects" / damaged[:2] / damaged[2:]
    path.unlink()  # it may be a link, or not ours to write
    path.write_bytes(b"rubbish")
    assert "unreadable" in care.again("coordjournal verify /srv/git/wiki.git").stdout
    assert "lawful  garden: 7 decisions" in care.next("unpack-objects", ["damage one"], DAMAGED=damaged)
    git(server, "fsck", "--strict")

    (server / garden).write_bytes(b"")
    assert f"broken  garden: {garden}" in care.again("coordjournal verify /srv/git/wiki.git").stdout
    found = care.again("coordjournal doctor /srv/git/wiki.git").stdout
    assert f"git cannot read the file of {garden}" in found
    assert "lawful  garden: 7 decisions" in care.next("update-ref", ["damage two"])
    assert git(server, "rev-parse", garden) == tip

    told = "refs/meta/coordjournal:coordjournal.json"
    damaged = git(server, "rev-parse", told)
    path = server / "objects" / damaged[:2] / damaged[2:]
    path.unlink()
    path.write_bytes(b"rubbish")
    assert f"needs the object {damaged}" in care.again("coordjournal doctor /srv/git/wiki.git").stdout
    assert f"needs the object {damaged}" not in care.next("coordjournal-meta", ["damage three"], DAMAGED=damaged)
    assert '"format":1' in git(server, "show", told)
    assert care.blocks == []
