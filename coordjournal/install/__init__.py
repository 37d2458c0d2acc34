"""Hooks in, hooks out, and the doctor: what an administrator does to the bare repository on the server.

These functions print nothing: they return what they did, or raise :class:`InstallError` with a sentence that helps.
Everything else in this package is its own affair.
"""

from .actions import init, install, uninstall, upgrade
from .checkup import Finding, doctor
from .error import InstallError
from .prefix import default as default_prefix
from .report import Report, Step

__all__ = [
    "Finding",
    "InstallError",
    "Report",
    "Step",
    "default_prefix",
    "doctor",
    "init",
    "install",
    "uninstall",
    "upgrade",
]
