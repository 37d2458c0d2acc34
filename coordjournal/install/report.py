"""What an installer did, for the command line to tell and for programs to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was ``changed``, was right already (``kept``), or is to be known (``note``)."""

    kind: Literal["changed", "kept", "note"]
    text: str


def changed(text: str) -> Step:
    """A step that changed something."""
    return Step("changed", text)


def kept(text: str) -> Step:
    """A step that found everything as it should be."""
    return Step("kept", text)


def note(text: str) -> Step:
    """Something the administrator should know or do."""
    return Step("note", text)


@dataclass(frozen=True, slots=True)
class Report:
    """What was done to the repository ``git_dir`` (``""``: to a prefix alone) with the package in ``prefix``."""

    git_dir: str
    prefix: str
    python: str
    version: str
    steps: tuple[Step, ...]

    @property
    def changed(self) -> bool:
        """Whether anything is different from before."""
        return any(step.kind == "changed" for step in self.steps)
