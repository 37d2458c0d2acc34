"""Plug-ins that fold extension types (``x-<vendor>-<name>``).

A package offers one by an entry point of the group ``coordjournal.decisions`` whose name is the type. Without a plug-in
a decision of such a type stays in the log, has no effect and is not void. A plug-in that fails never makes the fold
fail: its decision is void (``extension-failed``) and the state says what happened (``extension_errors``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .decision import Landed

GROUP = "coordjournal.decisions"


class ExtensionFold(Protocol):
    """How the decisions of one extension type fold into a state.

    Both must be pure: no clock, no files, no randomness, and ``apply`` must not change the state it is given, for
    earlier views still hold it. The state should be a JSON value, so that ``state --json`` can show it.
    """

    def initial(self) -> Any:
        """The state before the first decision."""

    def apply(self, state: Any, landed: Landed, /) -> Any:
        """The state after ``landed``. Raising anything says that ``landed`` is void.

        When the question is whether a decision *would* be void, ``landed`` is not in the log yet: its commit is ``""``.
        """


class BrokenPlugin:
    """Stands for a plug-in that cannot be loaded: all decisions of its type are void, with the reason."""

    def __init__(self, why: str) -> None:
        self.why = why

    def initial(self) -> Any:
        raise RuntimeError(self.why)

    def apply(self, state: Any, landed: Landed, /) -> Any:
        raise RuntimeError(self.why)


def load_extensions() -> Mapping[str, ExtensionFold]:
    """The plug-ins that are installed, by type.

    A class is called to make the plug-in. What cannot be loaded, and a type that two different plug-ins claim (either
    choice could be the wrong one), becomes a :class:`BrokenPlugin`. Names that are no extension type are ignored.
    """
    from importlib.metadata import entry_points  # 20 ms that only those who fold extensions pay

    found: dict[str, ExtensionFold] = {}
    sources: dict[str, str] = {}
    for entry in entry_points(group=GROUP):
        if not entry.name.startswith("x-") or sources.get(entry.name) == entry.value:
            continue
        if entry.name in sources:
            why = f"two plug-ins claim {entry.name}: {sources[entry.name]} and {entry.value}"
            found[entry.name] = BrokenPlugin(why)
            continue
        sources[entry.name] = entry.value
        try:
            plugin = entry.load()
            found[entry.name] = plugin() if isinstance(plugin, type) else plugin
        except Exception as error:
            found[entry.name] = BrokenPlugin(f"{entry.value} cannot be loaded: {type(error).__name__}: {error}")
    return found
