"""Prints the versions of the servers that the tests run here, as docs/compatibility.md has them: ``python
tests/versions.py``."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

_PATH = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"
_ASKED = {
    "git (daemon, http-backend, git-shell)": ["git", "--version"],
    "OpenSSH": ["ssh", "-V"],
    "nginx": ["nginx", "-v"],
    "fcgiwrap": ["dpkg-query", "-W", "-f", "${Version}", "fcgiwrap"],
    "gitolite": ["dpkg-query", "-W", "-f", "${Version}", "gitolite3"],
}


def versions() -> dict[str, str]:
    """What runs here: name to version, or to "absent"."""
    debian = Path("/etc/debian_version")
    system = f"Debian {debian.read_text().strip()}" if debian.exists() else platform.platform()
    found = {"system": system, "Python": platform.python_version()}
    return {**found, **{name: _version(words) for name, words in _ASKED.items()}}


def _version(words: list[str]) -> str:
    program = shutil.which(words[0], path=_PATH)
    if program is None:
        return "absent"
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    match = re.search(r"[0-9]+\.[0-9][^\s,]*", done.stdout + done.stderr)
    return match[0] if match and done.returncode == 0 else "absent"


if __name__ == "__main__":
    for name, version in versions().items():
        print(f"{name} {version}")
