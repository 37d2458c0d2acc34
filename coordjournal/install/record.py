"""What was installed into a repository, in the repository: ``coordjournal/installed.json``.

It is written before the first change, so that uninstall finds its way back from an interrupted install too.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field

from . import files
from .error import InstallError
from .repository import Repository
from .settings import Change, Value

FOLDER = "coordjournal"
_FORMAT = 2
_FORMATS = (1, _FORMAT)  # 1 is from before there was a sequencer


@dataclass(frozen=True, slots=True)
class Record:
    """``hooks`` maps each hook we rendered to its SHA-256. ``made`` are the settings that were changed, ``values`` the
    values that were added to others or removed from them. ``sequencing`` is whether the administrator lets it be on,
    where it is possible."""

    version: str
    prefix: str
    python: str
    hooks: dict[str, str] = field(default_factory=dict)
    made: tuple[Change, ...] = ()
    values: tuple[Value, ...] = ()
    sequencing: bool = True


def path(repository: Repository) -> str:
    """The file of the record of ``repository``."""
    return os.path.join(repository.git_dir, FOLDER, "installed.json")


def load(repository: Repository) -> Record | None:
    """What is installed in ``repository``, or None.

    Raises:
        InstallError: the record is damaged.
    """
    try:
        with open(path(repository), encoding="utf-8") as file:
            found = json.load(file)
        if found["format"] not in _FORMATS:
            raise InstallError(
                f"{path(repository)} was written by a later coordjournal", "Use that version, or a later one."
            )
        return Record(
            str(found["version"]),
            str(found["prefix"]),
            str(found["python"]),
            {str(name): str(sha) for name, sha in found["hooks"].items()},
            tuple(Change(c["key"], tuple(c["was"]), c["now"]) for c in found["settings"]),
            tuple(Value(v["key"], v["value"], bool(v["was"]), bool(v["now"])) for v in found.get("values", ())),
            bool(found.get("sequencing", True)),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InstallError(
            f"{path(repository)} cannot be read: {error}",
            "Bring it back from a backup, or remove it: what settings were before is then forgotten.",
        ) from error


def save(repository: Repository, record: Record) -> None:
    """Write the record. Raises OSError."""
    content = {
        "format": _FORMAT,
        "version": record.version,
        "prefix": record.prefix,
        "python": record.python,
        "hooks": record.hooks,
        "settings": [{"key": c.key, "was": list(c.was), "now": c.now} for c in record.made],
        "values": [{"key": v.key, "value": v.value, "was": v.was, "now": v.now} for v in record.values],
        "sequencing": record.sequencing,
    }
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    files.write_atomically(path(repository), text.encode(), repository.sharing.file(0o644))


def merged(before: tuple[Change, ...], now: list[Change]) -> tuple[Change, ...]:
    """The settings to remember after another install: what they were before the first one that we made.

    A key that the administrator set to something else in between goes back to that.
    """
    found = {change.key: change for change in before}
    for change in now:
        first = found.get(change.key)
        if first is not None and change.was == (first.now,):
            found[change.key] = Change(change.key, first.was, change.now)
        else:
            found[change.key] = change
    return tuple(found.values())


def merged_values(before: tuple[Value, ...], now: list[Value]) -> tuple[Value, ...]:
    """The single values to remember after another install: those that are not as they were before the first one."""
    found = {(value.key, value.value): value for value in before}
    for value in now:
        name = (value.key, value.value)
        was = found[name].was if name in found else value.was
        found[name] = Value(value.key, value.value, was, value.now)
    return tuple(value for value in found.values() if value.was != value.now)
