"""Whether intents that are pushed to ``refs/append/`` are sequenced here: what it takes, what speaks against it.

Three things make it so, and they come and go in an order in which no client is ever told of what is not there: the
hook ``proc-receive``, the value ``refs/append`` of git's ``receive.procReceiveRefs``, and the word in the descriptor.
Turning it on goes in that order, turning it off in the reverse one. The setting is the switch: pre-receive and the
descriptor go by it.
"""

from __future__ import annotations

import os

from .. import refs
from . import gitcli, hooks, settings
from .error import InstallError
from .report import Step, note
from .repository import Repository, folded, quoted

HOOK = "proc-receive"
KEY = "receive.procReceiveRefs"
VALUE = "refs/append"
LOCKS, IDS = FOLDERS = ("locks", "ids")  #: what the hook makes in our folder when it needs it, and could make again
_NEEDS_GIT = (2, 29)  # the first that runs proc-receive


def is_on(repository: Repository) -> bool:
    """Whether git hands what is pushed to ``refs/append/`` to the hook."""
    return VALUE in repository.values(KEY)


def obstacle(where: str) -> InstallError | None:
    """Why intents cannot be sequenced with the hooks of the folder ``where``; None if they can.

    Raises:
        InstallError: what stands in the place of the hook is none.
        GitFailed: there is no git.
    """
    path = os.path.join(where, HOOK)
    if hooks.kind(path, HOOK) == "foreign":
        return InstallError(
            f"{path} is not coordjournal's, and git runs only one such hook: intents cannot be sequenced here",
            f"If nobody needs it, move it out of the folder ({quoted(path)}) and install again.",
        )
    version = gitcli.version()
    if version < _NEEDS_GIT:
        told = ".".join(map(str, version))
        return InstallError(f"git {told} has no {HOOK} hook: intents cannot be sequenced", "Install git 2.29 or later.")
    return None


def changes(repository: Repository, on: bool) -> list[settings.Value]:
    """What is to be changed in git's settings."""
    return settings.value_changes(repository, KEY, VALUE, on)


def leftover() -> settings.Value:
    """What uninstalling takes back where there is no record of it: no hook serves ``refs/append`` any more."""
    return settings.Value(KEY, VALUE, False, True)


def routed_logs(repository: Repository) -> list[str]:
    """The values of the setting that hand pushes of logs to the hook, too."""
    return [value for value in _values(repository) if _covers_logs(value)]


def remarks(repository: Repository, where: str) -> list[Step]:
    """What the administrator should know about the setting's other values."""
    logs = routed_logs(repository)
    others = [value for value in _values(repository) if value != VALUE and value not in logs]
    found = [note(logs_told(logs))] if logs else []
    if others and hooks.kind(os.path.join(where, HOOK), HOOK) != "foreign":
        told = f"{KEY} has the value {', '.join(others)} too, which no hook here serves: git refuses pushes there"
        found.append(note(told))
    return found


def logs_told(values: list[str]) -> str:
    """What it means that ``values`` of the setting cover the logs."""
    return (
        f"{KEY} has the value {', '.join(values)}, so that git hands pushes to {refs.SPACES} to a proc-receive hook "
        "instead of moving the logs itself"
    )


def _values(repository: Repository) -> list[str]:
    """All values that git goes by: those of the machine's and this account's configuration too."""
    return repository.outer.get(folded(KEY), []) + repository.values(KEY)


def _covers_logs(value: str) -> bool:
    """Whether a value of the setting covers pushes that make or move a log (git-config(1))."""
    flags, colon, prefix = value.partition(":")
    if not colon:
        flags, prefix = "adm", value
    prefix = prefix.rstrip("/") + "/"
    if "!" in flags:
        covered = not refs.SPACES.startswith(prefix)
    else:
        covered = refs.SPACES.startswith(prefix) or prefix.startswith(refs.SPACES)
    return covered and not {"a", "m"}.isdisjoint(flags)
