"""Which Python runs the hooks: named by its absolute path, outside any virtual environment, runnable by all who push.

A version manager's shim or ``env`` would cost up to 70 ms a push and depend on PATH; a virtual environment may be
deleted. The version must be the installing Python's, for the package's compiled extensions fit no other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES

from . import gitcli
from .error import InstallError
from .sharing import Audience, obstacle

FLAGS = "-IS"
SHEBANG_BYTES = 127  # all that kernels before Linux 5.1 read of a first line
TAG = EXTENSION_SUFFIXES[0]  #: how the running Python names compiled extensions: implementation, version, machine

_ASK = (
    "import sys, os, json, importlib.machinery as m;"
    "print(json.dumps([m.EXTENSION_SUFFIXES[0], '%d.%d.%d' % sys.version_info[:3],"
    " sys._base_executable or sys.executable, os.__file__]))"
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: its absolute ``path``, the ``tag`` of its compiled extensions, its ``version``, and the path of a file
    of its standard library (``library``)."""

    path: str
    tag: str
    version: str
    library: str


def choose(to: Audience, wanted: str | None = None) -> Interpreter:
    """The Python for the hooks of a repository with the audience ``to``: the ``wanted`` one, or the best there is.

    Raises:
        InstallError: none will do; the message says why of each one tried.
    """
    if wanted is not None:
        found = _real(describe(os.path.abspath(os.path.expanduser(wanted))))
        fault = _unfit(found, to)
        if fault:
            raise InstallError(f"{found.path} cannot run the hooks: {fault}", _remedy())
        return found
    faults = []
    for path in _candidates():
        try:
            found = _real(describe(path))
            fault = _unfit(found, to)
        except InstallError as error:
            fault = error.what
        if not fault:
            return found
        faults.append(f"  {path}: {fault}")
    raise InstallError("no Python can run the hooks:\n" + "\n".join(faults), _remedy())


def _candidates() -> Iterator[str]:
    """The Python that runs this, without its virtual environment; then the places where systems put theirs."""
    base: str = getattr(sys, "_base_executable", None) or sys.executable
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = [os.path.realpath(base)]
    places += [os.path.join(folder, name) for folder in ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")]
    seen: set[str] = set()
    for place in places:
        real = os.path.realpath(place)
        if os.path.exists(place) and real not in seen:
            seen.add(real)
            yield place


def describe(path: str) -> Interpreter:
    """What the Python at ``path`` says of itself. Raises InstallError."""
    try:
        done = subprocess.run(
            [path, FLAGS + "B", "-c", _ASK],
            capture_output=True,
            env=gitcli.clean_environment(),
            timeout=60,
            check=True,
        )
        tag, version, base, library = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InstallError(f"{path} does not run as a Python: {error}", _remedy()) from error
    # A virtual environment's python names the one it was made from as its base; that one outlives it.
    in_venv = os.path.realpath(base) != os.path.realpath(path) or os.path.exists(_pyvenv(path))
    return Interpreter(os.path.realpath(base) if in_venv else path, tag, version, library)


def _pyvenv(path: str) -> str:
    return os.path.join(os.path.dirname(os.path.dirname(path)), "pyvenv.cfg")


def _real(found: Interpreter) -> Interpreter:
    """Refuse another Python than the package's extensions were built for; hand ``found`` back."""
    if found.tag != TAG:
        raise InstallError(
            f"{found.path} is Python {found.version} ({found.tag}), but coordjournal runs in {TAG}: "
            "the package's compiled extensions would not load",
            f"Run coordjournal with {found.path} (a virtual environment made by it), or name another --python.",
        )
    return found


def _unfit(found: Interpreter, to: Audience) -> str:
    """Why ``found`` cannot run hooks for the audience, or ``""``."""
    return _unlike_a_shebang(found.path) or obstacle(found.path, to, execute=True) or obstacle(found.library, to)


def _unlike_a_shebang(path: str) -> str:
    if not path.isascii() or not path.isprintable() or " " in path:
        return "its path holds white space or characters outside ASCII"
    if len(f"#!{path} {FLAGS}") > SHEBANG_BYTES:
        return f"its path is too long for a first line of {SHEBANG_BYTES} bytes"
    return ""


def _remedy() -> str:
    return (
        f"Install a system-wide Python {sys.version_info.major}.{sys.version_info.minor}, "
        "or name one that every account that pushes can run: --python /usr/bin/python3.X"
    )
