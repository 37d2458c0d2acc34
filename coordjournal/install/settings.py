"""What an append-only repository needs from git itself, and giving back what was set before.

Each setting stands in the repository's own configuration, even where git's default is the same: the configuration of
an account that pushes (``~/.gitconfig``) would have its say otherwise.

``core.hooksPath`` is the one that cannot be written down plainly. git takes a relative path from wherever it is
started, or from the root of a work tree, and would run what somebody has put there. With an absolute one a repository
that is moved would have no hooks, and nothing would say so. So a file that is included only while the repository is in
its place (``includeIf.gitdir``, git-config(1)) has the absolute path; elsewhere git's default holds, the folder
``hooks`` of the repository.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from . import files, gitcli
from .error import InstallError
from .report import Step, changed, note
from .repository import Repository, folded, opened, quoted

_DAY = 86_400
_HOOKS_PATH = "core.hooksPath"
_HOOKS = "hooks"  # the folder that git looks into by default
INCLUDED = "coordjournal/hooks.gitconfig"  #: has core.hooksPath, in its place alone


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of git's configuration, the ``value`` it gets, ``why``, and which other values will do (``accepts``)."""

    key: str
    value: str
    why: str
    accepts: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Change:
    """The setting ``key`` was ``was`` (each of its values; none: not set) and becomes ``now``."""

    key: str
    was: tuple[str, ...]
    now: str


@dataclass(frozen=True, slots=True)
class Value:
    """One ``value`` of the setting ``key``, which may have many: whether it ``was`` there, and whether it will be."""

    key: str
    value: str
    was: bool
    now: bool


def _is(*values: str) -> Callable[[str], bool]:
    return lambda found: found.lower() in values


def _hardens_all(found: str) -> bool:
    return {"objects", "derived-metadata", "reference"} <= set(found.split(",")) or found == "all"


def _keeps_a_day(found: str) -> bool:
    asked = gitcli.run("-c", f"coordjournal.asked={found}", "config", "--type=expiry-date", "coordjournal.asked")
    return asked.returncode == 0 and int(asked.stdout) <= time.time() - _DAY


def _never(found: str) -> bool:
    asked = gitcli.run("-c", f"coordjournal.asked={found}", "config", "--type=expiry-date", "coordjournal.asked")
    return asked.returncode == 0 and int(asked.stdout) == 0


_TRUE = _is("true", "yes", "on", "1")
_FALSE = _is("false", "no", "off", "0", "")

NEEDED = (
    Setting(
        _HOOKS_PATH,
        "the absolute path of the folder",
        "the hooks of this repository run, and no others, whatever core.hooksPath the account that pushes has set",
        # A path of the repository's own is followed; hooks.folder() refuses one outside.
        lambda found: os.path.normpath(found) != _HOOKS,
    ),
    Setting("receive.fsckObjects", "true", "git checks the form of every object that is pushed", _TRUE),
    Setting("receive.shallowUpdate", "false", "nobody pushes a log without its beginning", _FALSE),
    Setting(
        "core.fsync",
        "objects,derived-metadata,reference",
        "a decision that was accepted is on the disk (git 2.36 and later)",
        _hardens_all,
    ),
    Setting("core.fsyncMethod", "fsync", "on the disk means on the disk, on every system", _is("fsync", "batch")),
    Setting("core.logAllRefUpdates", "always", "the reflogs of the logs tell who moved them and when", _is("always")),
    *(
        Setting(f"gc.{pattern}.{key}", "never", "git gc forgets nothing of it", _never)
        for pattern in ("refs/spaces/*", "refs/meta/*")
        for key in ("reflogExpire", "reflogExpireUnreachable")
    ),
    Setting(
        "gc.pruneExpire",
        "2.weeks.ago",
        "git gc leaves objects alone that are on their way into a log",
        _keeps_a_day,
    ),
)


def missing(repository: Repository) -> list[Setting]:
    """The settings that ``repository`` needs and does not have."""
    found = []
    for setting in NEEDED:
        value = repository.value(setting.key)
        if value is None or not setting.accepts(value):
            found.append(setting)
    return found


def changes(repository: Repository, extra: Iterable[tuple[str, str]] = ()) -> list[Change]:
    """What to set in ``repository``: what is missing, and the keys of ``extra`` that have another value.

    Raises:
        InstallError: the hooks cannot be named there.
        GitFailed: the configuration cannot be read.
    """
    wanted = [
        (_include(repository), INCLUDED) if setting.key == _HOOKS_PATH else (setting.key, setting.value)
        for setting in missing(repository)
    ]
    wanted += [(key, value) for key, value in extra if repository.value(key) != value]
    own = _own_values(repository)
    return [Change(key, tuple(own.get(folded(key), ())), value) for key, value in wanted]


def apply(repository: Repository, planned: Sequence[Change]) -> list[Step]:
    """Make the changes, and look whether they have their effect.

    Raises:
        InstallError: an included file sets a key to something else.
        GitFailed: git cannot write the configuration.
    """
    for change in planned:
        if change.now == INCLUDED:
            _write_included(repository)
        gitcli.ask(repository.git_dir, "config", "--local", "--replace-all", change.key, change.now)
    if planned:
        after = opened(repository.git_dir)
        for change in planned:
            if after.value(change.key) != change.now:
                raise InstallError(
                    f"{change.key} stays {after.value(change.key)!r}: a file that the repository's configuration "
                    "includes sets it",
                    f"Find it with: git -C {quoted(repository.git_dir)} config --show-origin --get-all {change.key}",
                )
    return [
        changed(f"set {change.key} = {change.now}" + (f" (was {', '.join(change.was)})" if change.was else ""))
        for change in planned
    ]


def restore(repository: Repository, made: Iterable[Change]) -> list[Step]:
    """Give each changed key its former values back, unless somebody has changed it since.

    Raises:
        GitFailed: git cannot write the configuration.
    """
    steps = []
    own = _own_values(repository)
    for change in made:
        found = tuple(own.get(folded(change.key), ()))
        if found == change.was:
            continue
        if found != (change.now,):
            steps.append(note(f"{change.key} was changed since to {', '.join(found) or 'nothing'} and was left alone"))
            continue
        gitcli.ask(repository.git_dir, "config", "--local", "--unset-all", change.key)
        for value in change.was:
            gitcli.ask(repository.git_dir, "config", "--local", "--add", change.key, value)
        steps.append(changed(f"set {change.key} back to {', '.join(change.was) or 'nothing'}"))
    return steps


def relative_hooks(repository: Repository) -> list[Value]:
    """What is to go of an administrator's own ``core.hooksPath`` that names the usual folder by a relative path."""
    found = _own_values(repository).get(folded(_HOOKS_PATH), ())
    return [Value(_HOOKS_PATH, value, True, False) for value in found if os.path.normpath(value) == _HOOKS]


def _include(repository: Repository) -> str:
    """The key that includes a file as long as ``repository`` is where it is now.

    Raises:
        InstallError: git could not name the place.
    """
    if "\n" in repository.git_dir:
        raise InstallError(
            f"{repository.git_dir!r} holds the end of a line, and git's configuration can name no such folder",
            "Move the repository to another path.",
        )
    place = re.sub(r"[*?\[\\]", r"\\\g<0>", repository.git_dir)
    return f"includeIf.gitdir:{place}.path"


def _write_included(repository: Repository) -> None:
    """Not by git: if it were killed its lock would stay, and be in the way of the next installation."""
    path = os.path.join(repository.git_dir, _HOOKS)
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\t", "\\t")):
        path = path.replace(plain, escaped)
    content = f'[core]\n\thooksPath = "{path}"\n'.encode("utf-8", "surrogateescape")
    files.write_atomically(os.path.join(repository.git_dir, INCLUDED), content, repository.sharing.file(0o644))


def hidden(git_dir: str, service: Literal["receive", "uploadpack"], ref: str) -> bool:
    """Whether git hides ``ref`` from those who push (``receive``) or fetch (git-config(1), transfer.hideRefs).

    Raises:
        GitFailed: there is no git.
    """
    asked = gitcli.run(
        *(f"--git-dir={git_dir}", "config", "-z", "--get-regexp", rf"^(transfer|{service})\.hiderefs$"), cwd=git_dir
    )
    values = [item.partition("\n")[2] for item in asked.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]]
    for value in reversed(values):  # the last one that fits counts
        name = value.removeprefix("!").removeprefix("^").rstrip("/")
        if f"{ref}/".startswith(f"{name}/"):
            return not value.startswith("!")
    return False


def value_changes(repository: Repository, key: str, value: str, wanted: bool) -> list[Value]:
    """What to do so that ``value`` is, or with ``wanted`` false is not, among the values of ``key``."""
    found = value in repository.values(key)
    return [] if found == wanted else [Value(key, value, found, wanted)]


def apply_values(repository: Repository, planned: Iterable[Value]) -> list[Step]:
    """Add or remove single values; the others of the same keys stay.

    Raises:
        InstallError: an included file sets what is to be removed.
        GitFailed: git cannot write the configuration.
    """
    steps = []
    for change in planned:
        _set_value(repository, change.key, change.value, change.now)
        if change.now != (change.value in opened(repository.git_dir).values(change.key)):
            raise InstallError(
                f"{change.key} still has the value {change.value}: a file that the repository's configuration includes "
                "sets it",
                f"Find it with: git -C {quoted(repository.git_dir)} config --show-origin --get-all {change.key}",
            )
        steps.append(changed(_told(change.key, change.value, change.now)))
    return steps


def restore_values(repository: Repository, made: Iterable[Value]) -> list[Step]:
    """Add the values that we removed, and remove those that we added; what is so already stays.

    Raises:
        GitFailed: git cannot write the configuration.
    """
    steps = []
    own = _own_values(repository)
    for change in made:
        if (change.value in own.get(folded(change.key), ())) != change.was:
            _set_value(repository, change.key, change.value, change.was)
            steps.append(changed(_told(change.key, change.value, change.was)))
    return steps


def _set_value(repository: Repository, key: str, value: str, wanted: bool) -> None:
    if wanted:
        gitcli.ask(repository.git_dir, "config", "--local", "--add", key, value)
    elif value in _own_values(repository).get(folded(key), ()):
        # git before 2.30 has no --fixed-value.
        gitcli.ask(repository.git_dir, "config", "--local", "--unset-all", key, f"^{re.escape(value)}$")


def _told(key: str, value: str, wanted: bool) -> str:
    return f"added {value} to {key}" if wanted else f"removed {value} from {key}"


def _own_values(repository: Repository) -> dict[str, list[str]]:
    """What stands in the repository's configuration file itself, without what it includes."""
    listed = gitcli.ask(
        repository.git_dir, "config", "--file", f"{repository.git_dir}/config", "--no-includes", "--list", "-z"
    )
    found: dict[str, list[str]] = {}
    for item in listed.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        key, newline, value = item.partition("\n")
        found.setdefault(key, []).append(value if newline else "true")
    return found
