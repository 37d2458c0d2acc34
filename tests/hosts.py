"""Servers as people run them, each with one journal that Alice and Bob push to, and the way there for each of them.

What is the same on all of them is :class:`Host`; :data:`KINDS` are the ways to set one up. The primitives (sshd, git
daemon, ...) are in :mod:`servers`. All listen on the loopback interface and end with their ``with`` block.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from accounts import accounts, group_of
from authority import publish
from servers import HOST, SshLogin, exec_path, git_daemon, make_key, ssh_command, sshd
from support import git, require, run

from coordjournal import install
from coordjournal.install import interpreter
from coordjournal.install.sharing import Audience

PEOPLE = ("alice", "bob")
NOBODY = "coordjournal"  #: the committer where the server does not know who pushes


@dataclass(frozen=True)
class Host:
    """A server with a journal.

    ``path`` is the repository on the server's disk, ``url`` where each of the people finds it, ``committer`` what the
    sequencer writes there for each of them. ``sequencing`` is whether there is a sequencer, ``believed`` whether
    clients are told so, ``strict`` whether only logs are let in. ``names`` is how the refusal log calls those people
    that it knows: a key and its value.
    """

    path: Path
    url: Mapping[str, str]
    committer: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(PEOPLE, NOBODY))
    sequencing: bool = True
    believed: bool = True
    strict: bool = True
    names: Mapping[str, tuple[str, object]] = field(default_factory=dict)

    def git(self, *words: str) -> str:
        """What git says on the server, to the account that the repository belongs to."""
        owner = os.stat(self.path)
        who = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
        return git(self.path, *words, env={"HOME": "/"}, **who)

    def trusted(self) -> AbstractContextManager[None]:
        """Meanwhile this process reads the repository, whoever it belongs to."""
        return _set(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0=str(self.path))


@dataclass(frozen=True)
class Ground:
    """What the kinds are built from: a free folder that all accounts can reach, the package, a template repository."""

    place: Path
    prefix: str
    bare: Callable[..., Path]
    patch: pytest.MonkeyPatch


@contextmanager
def by_path(ground: Ground) -> Iterator[Host]:
    """No server at all: a folder that everybody reaches."""
    path = _ready(ground.bare("wiki.git"))
    yield Host(path, dict.fromkeys(PEOPLE, f"file://{path}"))


@contextmanager
def over_git_daemon(ground: Ground) -> Iterator[Host]:
    """``git daemon``: nobody is asked who they are."""
    path = _ready(ground.bare("wiki.git"))
    with git_daemon(path.parent) as url:
        yield Host(path, dict.fromkeys(PEOPLE, f"{url}/{path.name}"))


@contextmanager
def over_ssh(ground: Ground) -> Iterator[Host]:
    """OpenSSH, two accounts of one group that can do nothing but git there (git-shell), with different umasks."""
    shell = shutil.which("git-shell")
    require(shell, "git-shell")
    with accounts(ground.place, dict.fromkeys(PEOPLE, str(shell))) as people, ExitStack() as stack:
        path = ground.place / "wiki.git"
        path.mkdir()
        os.chown(path, 0, group_of(people["alice"]))
        path.chmod(0o2775)
        install.init(str(path), prefix=ground.prefix, shared="group")
        git(path, "config", "coordjournal.clockSkew", "1")
        publish(path)
        for found in (path, *path.rglob("*")):
            os.chown(found, -1, group_of(people["alice"]), follow_symlinks=False)
        logins = {}
        for (name, account), umask in zip(people.items(), (0o022, 0o077), strict=True):
            make_key(ground.place / f"{name}.key")
            trust = Path(account.pw_dir) / ".gitconfig"
            trust.write_text(f"[safe]\n\tdirectory = {path}\n")
            trust.chmod(0o644)
            shutil.copy(ground.place / f"{name}.key.pub", ground.place / f"{account.pw_name}.authorized")
            port = stack.enter_context(sshd(ground.place, ground.place / "%u.authorized", umask=umask))
            logins[name] = SshLogin(port, account.pw_name, ground.place / f"{name}.key")
        ground.patch.setenv("GIT_SSH_COMMAND", ssh_command(ground.place, logins))
        uids = {name: ("uid", account.pw_uid) for name, account in people.items()}
        yield Host(path, {name: f"ssh://{name}{path}" for name in PEOPLE}, names=uids)


@contextmanager
def over_ssh_to_one_account(ground: Ground) -> Iterator[Host]:
    """OpenSSH, one account for all. Each key may only push and fetch, and its line says whose it is."""
    require(shutil.which("git-shell"), "git-shell")
    with ExitStack() as stack:
        if os.geteuid() == 0:
            account = stack.enter_context(accounts(ground.place, {"git": "/bin/sh"}))["git"]
            path = ground.place / "wiki.git"
            run("git", "init", "--quiet", "--bare", "--template=", path)
            _install_for(account, path, ground.prefix)
        else:
            account = pwd.getpwuid(os.geteuid())
            require(os.path.basename(account.pw_shell) not in ("nologin", "false"), "an account with a shell")
            path = _ready(ground.bare("wiki.git"))
        lines = ""
        for name in PEOPLE:
            make_key(ground.place / f"{name}.key")
            forced = f'command="REMOTE_USER={name} exec git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"",restrict'
            lines += f"{forced} {(ground.place / f'{name}.key.pub').read_text()}"
        (ground.place / "authorized_keys").write_text(lines)
        port = stack.enter_context(sshd(ground.place, ground.place / "authorized_keys"))
        logins = {name: SshLogin(port, account.pw_name, ground.place / f"{name}.key") for name in PEOPLE}
        ground.patch.setenv("GIT_SSH_COMMAND", ssh_command(ground.place, logins))
        names = {name: ("REMOTE_USER", name) for name in PEOPLE}
        yield Host(path, {name: f"ssh://{name}{path}" for name in PEOPLE}, {name: name for name in PEOPLE}, names=names)


@contextmanager
def over_http(ground: Ground) -> Iterator[Host]:
    """``git http-backend`` behind nginx with fcgiwrap, which ask for a password."""
    path = _ready(ground.bare("wiki.git"))
    with nginx(ground.place, path.parent, {name: f"{name}'s secret" for name in PEOPLE}) as port:
        urls = {name: f"http://{name}:{name}%27s%20secret@{HOST}:{port}/git/{path.name}" for name in PEOPLE}
        yield Host(path, urls, {name: name for name in PEOPLE}, names={name: ("REMOTE_USER", name) for name in PEOPLE})


NGINX = """
daemon off;
pid {place}/nginx.pid;
error_log {place}/nginx.log;
{user}
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {place}/nginx-body;
    fastcgi_temp_path {place}/nginx-fastcgi;
    proxy_temp_path {place}/nginx-proxy;
    scgi_temp_path {place}/nginx-scgi;
    uwsgi_temp_path {place}/nginx-uwsgi;
    server {{
        listen {host}:{port};
        location ~ ^/git(/.*)$ {{
            auth_basic "journals";
            auth_basic_user_file {place}/htpasswd;
            client_max_body_size 0;
            fastcgi_read_timeout 300s;
            fastcgi_param SCRIPT_FILENAME {backend};
            fastcgi_param GIT_PROJECT_ROOT {base};
            fastcgi_param GIT_HTTP_EXPORT_ALL "";
            fastcgi_param GIT_PROTOCOL $http_git_protocol;
            fastcgi_param PATH_INFO $1;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param REMOTE_USER $remote_user;
            fastcgi_param REMOTE_ADDR $remote_addr;
            fastcgi_pass unix:{place}/fcgiwrap.socket;
        }}
    }}
}}
"""


@contextmanager
def nginx(place: Path, base: Path, passwords: Mapping[str, str]) -> Iterator[int]:
    """nginx with fcgiwrap and git http-backend for the repositories below ``base``; the port."""
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    programs = {name: shutil.which(name, path=path) for name in ("nginx", "fcgiwrap", "openssl")}
    backend = exec_path("git-http-backend")
    require(all(programs.values()) and backend, "nginx, fcgiwrap, openssl and git http-backend")
    hashed = {name: run("openssl", "passwd", "-apr1", word).stdout.strip() for name, word in passwords.items()}
    (place / "htpasswd").write_text("".join(f"{name}:{word}\n" for name, word in hashed.items()))
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind((HOST, 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX.format(place=place, base=base, host=HOST, port=port, user=user, backend=backend)
        (place / "nginx.conf").write_text(text)
        # The processes of fcgiwrap are as many requests as are served at once.
        wrap = [str(programs["fcgiwrap"]), "-c", "8", "-s", f"unix:{place}/fcgiwrap.socket"]
        stack.enter_context(_running(wrap, place))
        until((place / "fcgiwrap.socket").exists)
        # nginx takes over a socket that is bound already as it does from another nginx when it is upgraded, so that no
        # port is raced for.
        environment = {**os.environ, "NGINX": f"{listener.fileno()};"}
        words = [str(programs["nginx"]), "-p", str(place), "-c", str(place / "nginx.conf")]
        stack.enter_context(_running(words, place, env=environment, pass_fds=[listener.fileno()]))
        listener.close()
        yield port


GITOLITE = """
repo wiki
    -   refs/(spaces|intents)/closed(/|$)   =   bob
    -   VREF/NAME/body                      =   bob
    RW  refs/(spaces|intents)/              =   alice bob
    R                                       =   carol
"""


@contextmanager
def over_gitolite(ground: Ground) -> Iterator[Host]:
    """gitolite: one account, keys that it knows people by, and rules of its own. Bob has none for the space "closed",
    nor for attachments, and Carol may only read."""
    require(shutil.which("gitolite"), "gitolite3")
    keys = (*PEOPLE, "carol")
    with accounts(ground.place, {"git": "/bin/sh"}) as made:
        account = made["git"]
        home = Path(account.pw_dir)
        for name in keys:
            make_key(ground.place / f"{name}.key")
        shutil.copy(ground.place / "alice.key.pub", ground.place / "alice.pub")
        as_account(account, "gitolite", "setup", "-pk", ground.place / "alice.pub")
        keydir = home / ".gitolite" / "keydir"
        for name in keys:
            shutil.copy(ground.place / f"{name}.key.pub", keydir / f"{name}.pub")
        with (home / ".gitolite" / "conf" / "gitolite.conf").open("a") as file:
            file.write(GITOLITE)
        _give(home, account)
        as_account(account, "gitolite", "setup")
        path = home / "repositories" / "wiki.git"
        _install_for(account, path, ground.prefix)
        with sshd(ground.place, home / ".ssh" / "authorized_keys") as port:
            logins = {name: SshLogin(port, account.pw_name, ground.place / f"{name}.key") for name in keys}
            ground.patch.setenv("GIT_SSH_COMMAND", ssh_command(ground.place, logins))
            urls = {name: f"ssh://{name}/wiki" for name in keys}
            yield Host(path, urls, {name: name for name in PEOPLE}, names={name: ("GL_USER", name) for name in PEOPLE})


@contextmanager
def only_pre_receive(ground: Ground) -> Iterator[Host]:
    """A server on which no ``proc-receive`` can run, installed so."""
    path = _ready(ground.bare("wiki.git", sequencing=False))
    with git_daemon(path.parent) as url:
        yield Host(path, dict.fromkeys(PEOPLE, f"{url}/{path.name}"), sequencing=False, believed=False)


@contextmanager
def only_pre_receive_but_told_otherwise(ground: Ground) -> Iterator[Host]:
    """A server on which no ``proc-receive`` runs any more, whose descriptor still says that intents are sequenced."""
    path = _ready(ground.bare("wiki.git"))
    (path / "hooks" / "proc-receive").unlink()
    git(path, "config", "--unset-all", "receive.procReceiveRefs")
    with git_daemon(path.parent) as url:
        yield Host(path, dict.fromkeys(PEOPLE, f"{url}/{path.name}"), sequencing=False)


# What follows are stand-ins for hosting software that cannot be run here. They keep its conventions about hooks: which
# files run, in which folder, with which environment. docs/operations.md says where those are written down.

DELEGATING = """#!/bin/sh
# AUTO GENERATED BY THE STAND-IN FOR GITEA
input=$(cat)
name=$(basename "$0")
failed=0
for hook in "${GIT_DIR:-$(dirname "$0")/..}"/hooks/$name.d/*; do
  [ -x "$hook" ] && [ -f "$hook" ] || continue
  echo "$input" | "$hook" || failed=$?
done
exit $failed
"""

# Gitea's own judgement: who is pushing, and may they? Without its environment it refuses.
OWN = """#!/bin/sh
[ -n "$GITEA_PUSHER_NAME" ] || { echo "Rejecting changes as the environment is not set" >&2; exit 1; }
! grep -q refs/heads/protected || { echo "Not allowed to push to protected branch protected" >&2; exit 1; }
"""
OWN_PROC_RECEIVE = "#!/bin/sh\nexec gitea hook proc-receive\n"


def gitea_hooks(path: Path) -> None:
    """What Gitea and Forgejo write into each repository, when it is made and whenever the administrator has the hooks
    written anew."""
    for name, text in {
        "pre-receive": DELEGATING,
        "pre-receive.d/gitea": OWN,
        "post-receive": DELEGATING,
        "post-receive.d/gitea": "#!/bin/sh\ncat >/dev/null\n",
        "proc-receive": OWN_PROC_RECEIVE,
        "proc-receive.d/gitea": "",
    }.items():
        _program(path / "hooks" / name, text)


@contextmanager
def like_gitea(ground: Ground) -> Iterator[Host]:
    """As Gitea and Forgejo serve a repository: a hook of theirs runs all that is in a folder, their ``proc-receive``
    stays."""
    path = ground.place / "wiki.git"
    run("git", "init", "--quiet", "--bare", "--template=", path)
    gitea_hooks(path)
    install.install(str(path), prefix=ground.prefix)
    _ready(path)
    ground.patch.setenv("GITEA_PUSHER_NAME", "alice")  # what it sets for whoever pushes
    # Gitea has its configuration from a file of its own for all repositories.
    with git_daemon(path.parent, "receive.procReceiveRefs=refs/for") as url:
        urls = dict.fromkeys(PEOPLE, f"{url}/{path.name}")
        names = {"alice": ("GITEA_PUSHER_NAME", "alice")}
        yield Host(path, urls, sequencing=False, believed=False, strict=False, names=names)


# Gitaly runs the hooks of a repository with a selection of variables: GIT_QUARANTINE_PATH is not among them.
GITALY = """#!/bin/sh
input=$(cat)
repository=$(pwd)
for hook in custom_hooks/pre-receive custom_hooks/pre-receive.d/*; do
  case $hook in *~) continue;; esac
  [ -f "$hook" ] && [ -x "$hook" ] || continue
  echo "$input" | env -i HOME="$HOME" PATH="$PATH" GIT_DIR="$repository" \
    GIT_OBJECT_DIRECTORY="$GIT_OBJECT_DIRECTORY" \
    GIT_ALTERNATE_OBJECT_DIRECTORIES="$GIT_ALTERNATE_OBJECT_DIRECTORIES" \
    GL_ID=user-1 GL_USERNAME=alice GL_PROTOCOL=http GL_REPOSITORY=project-1 GL_PROJECT_PATH=group/wiki \
    "$repository/$hook" || exit 1
done
"""


@contextmanager
def like_gitlab(ground: Ground) -> Iterator[Host]:
    """As GitLab serves a repository: hooks of the repository itself do not run, those of ``custom_hooks`` do."""
    path, made = _with_the_hook_elsewhere(ground)
    _program(path / "custom_hooks" / "pre-receive.d" / "coordjournal", (made / "hooks" / "pre-receive").read_text())
    with _served_by(ground, path, GITALY) as host:
        yield dataclasses.replace(host, names={"alice": ("GL_USERNAME", "alice")})


GITHUB = """#!/bin/sh
repository=$(pwd)
cd /
exec env -i PATH="$PATH" GIT_DIR="$repository" \
  GIT_OBJECT_DIRECTORY="$GIT_OBJECT_DIRECTORY" GIT_QUARANTINE_PATH="$GIT_QUARANTINE_PATH" \
  GIT_ALTERNATE_OBJECT_DIRECTORIES="$GIT_ALTERNATE_OBJECT_DIRECTORIES" \
  GITHUB_USER_LOGIN=alice GITHUB_USER_IP=192.0.2.1 GITHUB_REPO_NAME=group/wiki \
  {hook}
"""


@contextmanager
def like_github(ground: Ground) -> Iterator[Host]:
    """As GitHub Enterprise Server serves a repository: the hook is in another repository, and runs with a selection of
    variables, of which GIT_DIR alone says where the repository is. (Not shown: that it runs in a chroot.)"""
    path, made = _with_the_hook_elsewhere(ground)
    with _served_by(ground, path, GITHUB.format(hook=made / "hooks" / "pre-receive")) as host:
        yield dataclasses.replace(host, names={"alice": ("GITHUB_USER_LOGIN", "alice")})


def _with_the_hook_elsewhere(ground: Ground) -> tuple[Path, Path]:
    """A repository without hooks, and a scratch repository from which the hook is taken. The descriptor is pushed from
    there too, before the hook is at work, for then nobody can."""
    path, made = ground.place / "wiki.git", ground.bare("scratch.git", sequencing=False)
    run("git", "init", "--quiet", "--bare", "--template=", path)
    _ready(made)
    git(made, "push", "--quiet", str(path), "refs/meta/coordjournal")
    git(path, "config", "coordjournal.clockSkew", "1")
    return path, made


@contextmanager
def _served_by(ground: Ground, path: Path, hook: str) -> Iterator[Host]:
    """Serves a repository with a hooks folder of the server's own."""
    _program(ground.place / "hooks" / "pre-receive", hook)
    with git_daemon(path.parent, f"core.hooksPath={ground.place / 'hooks'}") as url:
        urls = dict.fromkeys(PEOPLE, f"{url}/{path.name}")
        yield Host(path, urls, sequencing=False, believed=False, strict=False)


KINDS = {
    "path": by_path,
    "git daemon": over_git_daemon,
    "ssh, a group": over_ssh,
    "ssh, one account": over_ssh_to_one_account,
    "nginx": over_http,
    "gitolite": over_gitolite,
    "pre-receive": only_pre_receive,
    "pre-receive, told otherwise": only_pre_receive_but_told_otherwise,
    "like Gitea": like_gitea,
    "like GitLab": like_gitlab,
    "like GitHub": like_github,
}


def as_account(account: pwd.struct_passwd, *words: str | Path) -> str:
    """Runs a program as another account; what it prints."""
    env = {"PATH": os.environ["PATH"], "HOME": account.pw_dir, "USER": account.pw_name, "LC_ALL": "C"}
    done = subprocess.run(
        [os.fspath(word) for word in words],
        cwd=account.pw_dir,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=os.getgrouplist(account.pw_name, account.pw_gid),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def _set(**variables: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for key, value in variables.items():
            patch.setenv(key, value)
        yield


def _ready(path: Path) -> Path:
    """A journal that takes leases of a few seconds, and says so."""
    git(path, "config", "coordjournal.clockSkew", "1")
    publish(path)
    return path


def _install_for(account: pwd.struct_passwd, path: Path, prefix: str) -> None:
    """Installs into a repository that is an account's. The account may be unable to read this checkout; so root does
    it in its place, and gives the repository back."""
    _give(path, pwd.getpwuid(0))
    python = interpreter.choose(Audience(account.pw_uid)).path
    install.install(str(path), prefix=prefix, python=python, strict=True)
    _ready(path)
    _give(path, account)


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _give(path: Path, account: pwd.struct_passwd) -> None:
    for found in (path, *path.rglob("*")):
        os.chown(found, account.pw_uid, account.pw_gid, follow_symlinks=False)


@contextmanager
def _running(words: list[str], place: Path, **more: object) -> Iterator[None]:
    """A program that runs meanwhile; what it says is in ``place``/output."""
    streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with (place / "output").open("ab") as output:
        process = subprocess.Popen(words, cwd=place, stdout=output, process_group=0, **streams, **more)  # type: ignore[call-overload]
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # fcgiwrap leaves its children behind when it is only asked to end
        process.wait()


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits for something that happens by itself."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
