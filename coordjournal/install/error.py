"""The one error of this package."""

from __future__ import annotations

from ..errors import CoordjournalError


class InstallError(CoordjournalError):
    """Installing, checking or removing cannot be done safely; the message says why and what helps.

    Attributes:
        what: what is wrong.
        remedy: what to do about it, where it can a command, or ``""``.
    """

    code = "install"

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n{self.remedy}" if self.remedy else self.what
