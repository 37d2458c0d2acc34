"""Unix accounts of the tests' own, made for a while and removed again.

Their names hold the process id of who made them, so that test processes that run at once do not share any, and so
that those of one that was killed can be told and removed by the next.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import require, run

_OURS = re.compile(r"cj([0-9]+)[a-z]+")


@contextmanager
def accounts(place: Path, shells: dict[str, str]) -> Iterator[dict[str, pwd.struct_passwd]]:
    """One account for each name of ``shells``, with that login shell and a home below ``place``, all of one group."""
    require(os.geteuid() == 0, "root, to make accounts")
    require(shutil.which("useradd", path=_path()) and shutil.which("groupadd", path=_path()), "useradd")
    own = {name: f"cj{os.getpid()}{name}" for name in shells}
    group = f"cj{os.getpid()}group"
    try:
        with _locked():
            _remove_those_of_the_dead()
            _sbin("groupadd", group)
            for name, account in own.items():
                # A password of "*" fits nothing; with "!", useradd's own, sshd would take the account for locked.
                words = ["--create-home", "--home-dir", str(place / name), "--skel", "/nonexistent"]
                _sbin("useradd", "-p", "*", "-G", group, "-s", shells[name], "-K", "HOME_MODE=0700", *words, account)
        yield {name: pwd.getpwnam(account) for name, account in own.items()}
    finally:
        with _locked():
            for account in own.values():
                _sbin("userdel", "--force", account, check=False)
            _sbin("groupdel", group, check=False)


def group_of(account: pwd.struct_passwd) -> int:
    """The group that the accounts made together share."""
    return grp.getgrnam(re.sub(r"[a-z]+$", "group", account.pw_name)).gr_gid


@contextmanager
def _locked() -> Iterator[None]:
    folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _remove_those_of_the_dead() -> None:
    made = [("userdel", account.pw_name) for account in pwd.getpwall()]
    made += [("groupdel", group.gr_name) for group in grp.getgrall()]
    for remove, name in made:
        match = _OURS.fullmatch(name)
        if match and not os.path.exists(f"/proc/{match[1]}"):
            _sbin(remove, name, check=False)


def _sbin(*words: str, check: bool = True) -> None:
    run(*words, env={"PATH": _path()}, check=check)


def _path() -> str:
    return os.environ["PATH"] + os.pathsep + "/usr/sbin:/sbin"
