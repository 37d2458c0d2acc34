"""The package prefix: copies of coordjournal that the hooks import, each complete, behind one atomic link.

    PREFIX/versions/<version>-<digest>/lib/...        coordjournal and what the hook needs to explain a refusal
    PREFIX/versions/<version>-<digest>/manifest.json  what was copied, so that doctor sees a later change
    PREFIX/current -> versions/<version>-<digest>     what hooks start from
    PREFIX/previous -> versions/...                   what hooks that were running at the last switch still read

A version is never changed once it has its name: it is built beside and renamed. The digest is of the content, so
another content has another name. Everything is readable by every account, whatever the umask is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata

from .. import __version__, resources
from . import files, gitcli
from .error import InstallError
from .interpreter import FLAGS, Interpreter

MANIFEST = "manifest.json"
ROOT_DEPENDENCIES = ("jsonschema",)  # explains refusals; all else the hook imports is coordjournal and Python's own

_LEFT_OUT = frozenset({"__pycache__", "tests", "benchmarks"})
_OF_METADATA = re.compile(r"[^/]+\.dist-info/(METADATA|(licenses/)?[^/]*(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)")


@dataclass(frozen=True, slots=True)
class Package:
    """What is to be copied: ``files`` maps a path below ``lib/`` to its content; ``digest`` is of all of them."""

    version: str
    digest: str
    files: dict[str, bytes]

    @property
    def name(self) -> str:
        """The name of its folder under ``versions/``."""
        return f"{self.version}-{self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class Installed:
    """A version that stands in a prefix."""

    path: str
    name: str
    version: str
    tag: str
    python: str


def default() -> str:
    """Where the prefix is unless another is named: system-wide for root, else in the user's data folder."""
    if os.geteuid() == 0:
        return "/usr/local/lib/coordjournal"
    data = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):  # as the XDG Base Directory Specification wants relative ones treated
        data = os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "coordjournal")


def checked(path: str) -> str:
    """``path`` as an absolute path that can stand in a hook.

    Raises:
        InstallError: it cannot.
    """
    absolute = os.path.abspath(os.path.expanduser(path))
    if not absolute.isprintable() or not {'"', "'", "\\"}.isdisjoint(absolute):
        raise InstallError(
            f"the prefix {absolute!r} holds quotes, backslashes or control characters, which no hook can name",
            "Choose another with --prefix.",
        )
    return absolute


def running_package() -> Package:
    """The package that runs this, with its resources and what the hook needs of its dependencies.

    Raises:
        InstallError: a dependency is missing, or nobody can tell which files it consists of.
    """
    sources = dict(_own_files())
    for distribution in _distributions():
        sources |= _distribution_files(distribution)
    content = {name: _read(path) for name, path in sorted(sources.items())}
    total = hashlib.sha256()
    for name, data in content.items():
        total.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return Package(__version__, total.hexdigest(), content)


@contextmanager
def held(prefix: str) -> Iterator[None]:
    """Make the folder ``prefix`` if it is missing, and hold it against another installer. Raises InstallError."""
    try:
        files.make_folders(os.path.join(prefix, "versions"))
    except OSError as error:
        raise _unwritable(prefix, error) from error
    with files.locked(prefix):
        yield


def build(prefix: str, package: Package, python: Interpreter) -> bool:
    """Make sure that ``prefix`` holds ``package``, compiled for ``python``; whether it had to be built.

    The caller holds the prefix (:func:`held`).

    Raises:
        InstallError: the prefix cannot be written, or the package does not run there.
    """
    final = os.path.join(prefix, "versions", package.name)
    if os.path.isdir(final) and not faults(final):
        return False
    temporary = files.beside(final)
    try:
        os.mkdir(temporary)
        os.chmod(temporary, 0o755)
        library = os.path.join(temporary, "lib")
        _copy(package, library)
        _compile(python, library, os.path.join(final, "lib"))
        try_out(python, library)
        _write_manifest(package, python, temporary)
        _settle(temporary)
        if os.path.lexists(final):  # damaged, as faults() said above
            os.replace(final, files.beside(final))
        os.rename(temporary, final)
        files.sync_folder(os.path.dirname(final))
    except OSError as error:
        raise _unwritable(prefix, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def switch(prefix: str, name: str) -> bool:
    """Point ``PREFIX/current`` at the version ``name`` in one step; whether it pointed elsewhere before."""
    link = os.path.join(prefix, "current")
    before = os.readlink(link) if os.path.islink(link) else None
    target = os.path.join("versions", name)
    if before == target:
        return False
    try:
        if before is not None:
            files.link_atomically(os.path.join(prefix, "previous"), before)
        files.link_atomically(link, target)
    except OSError as error:
        raise _unwritable(prefix, error) from error
    return True


def prune(prefix: str) -> list[str]:
    """Remove the versions that neither ``current`` nor ``previous`` names, and what interrupted builds left behind.

    The caller holds the prefix (:func:`held`), so no build is under way. Returns their names.
    """
    versions = os.path.join(prefix, "versions")
    keep = set()
    for link in ("current", "previous"):
        with suppress(OSError):
            keep.add(os.path.basename(os.readlink(os.path.join(prefix, link))))
    removed = []
    for name in sorted(os.listdir(versions)):
        if name not in keep:
            shutil.rmtree(os.path.join(versions, name), ignore_errors=True)
            removed.append(name)
    return removed


def current(prefix: str) -> Installed | None:
    """The version that ``PREFIX/current`` names, or None where there is none that can be read."""
    path = os.path.join(prefix, "current")
    try:
        name = os.path.basename(os.readlink(path))
        with open(os.path.join(path, MANIFEST), encoding="utf-8") as file:
            manifest = json.load(file)
        return Installed(
            os.path.join(prefix, "versions", name), name, manifest["version"], manifest["tag"], manifest["python"]
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def faults(version_folder: str) -> list[str]:
    """What is not as it was when the version was built: files missing, changed, added or unreadable for others."""
    try:
        with open(os.path.join(version_folder, MANIFEST), encoding="utf-8") as file:
            expected: dict[str, str] = json.load(file)["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return [f"{MANIFEST} cannot be read: {error}"]
    found = []
    library = os.path.join(version_folder, "lib")
    present: set[str] = set()
    for path in _walk(library, caches=True):
        name = os.path.relpath(path, library)
        present.add(name)
        if name not in expected:
            found.append(f"lib/{name} was added")
            continue
        try:
            mode = os.stat(path).st_mode
            same = hashlib.sha256(_read(path)).hexdigest() == expected[name]
        except OSError as error:
            found.append(f"lib/{name} cannot be read: {error.strerror}")
            continue
        if not same:
            found.append(f"lib/{name} was changed")
        elif mode & 0o044 != 0o044:
            found.append(f"lib/{name} is not readable by every account (mode {stat.S_IMODE(mode):04o})")
    found += [f"lib/{name} is missing" for name in sorted(expected.keys() - present)]
    return found


def try_out(python: Interpreter, library: str) -> None:
    """Start ``python`` as a hook starts it and import what a hook imports.

    Raises:
        InstallError: it does not run.
    """
    program = (
        "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1]);"
        "import coordjournal.receive, coordjournal.proc_receive, coordjournal.sequence;"
        "import jsonschema; jsonschema.Draft202012Validator({}).validate(0)"
    )
    try:
        done = subprocess.run(
            [python.path, FLAGS, "-c", program, library],
            capture_output=True,
            env=gitcli.clean_environment(),
            cwd="/",
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InstallError(f"{python.path} does not run: {error}", "Name another interpreter with --python.") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise InstallError(
            f"{python.path} cannot import the package as a hook would: {last[0]}",
            "Install coordjournal again from a complete checkout or wheel, or name another interpreter with --python.",
        )


def _own_files() -> Iterator[tuple[str, str]]:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    top = os.path.basename(package)
    for path in _walk(package):
        name = os.path.relpath(path, package)
        if not name.startswith(("hooks/", "schemas/")):
            yield f"{top}/{name}", path
    for folder in (resources.hooks(), resources.schemas()):
        for path in _walk(folder):
            yield f"{top}/{os.path.basename(folder)}/{os.path.relpath(path, folder)}", path


def _walk(folder: str, *, caches: bool = False) -> Iterator[str]:
    """Every file below ``folder`` that is not hidden; without Python's ``caches`` unless they are asked for."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and (caches or n != "__pycache__"))
        yield from (os.path.join(where, name) for name in sorted(names) if not name.startswith("."))


def _distributions() -> list[metadata.Distribution]:
    """The dependencies the hook needs, with their own.

    A requirement under a marker (``; python_version < "3.13"``) is taken if it is installed: what a marker rules out
    is rarely there, and copying it in vain costs nothing.
    """
    found: dict[str, metadata.Distribution] = {}
    todo = [(name, True) for name in ROOT_DEPENDENCIES]
    while todo:
        name, needed = todo.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            found[key] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if needed:
                raise InstallError(
                    f"{name}, which the hook needs to explain refusals, is not installed beside coordjournal",
                    "Install coordjournal with pip, which brings it along.",
                ) from None
            continue
        for requirement in found[key].requires or ():
            spec, _, marker = requirement.partition(";")
            match = re.match(r"[A-Za-z0-9._-]+", spec.strip())
            if match and "extra" not in marker:
                todo.append((match[0], not marker))
    return [found[key] for key in sorted(found)]


def _distribution_files(distribution: metadata.Distribution) -> dict[str, str]:
    found = {}
    for entry in distribution.files or ():
        name = entry.as_posix()
        parts = name.split("/")
        if name.startswith(("..", "/")) or name.endswith(".pyc") or not _LEFT_OUT.isdisjoint(parts):
            continue
        if ".dist-info" in parts[0] and not _OF_METADATA.fullmatch(name):
            continue  # the rest tells how and when it was installed, and the digest is of content
        found[name] = str(distribution.locate_file(entry))
    if not any(name.endswith(".py") for name in found):
        raise InstallError(
            f"cannot tell which files {distribution.metadata['Name']} consists of: it was not installed by pip",
            "Install coordjournal with pip into a virtual environment of its own and run it from there.",
        )
    return found


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _unwritable(prefix: str, error: OSError) -> InstallError:
    where = f" ({error.filename})" if error.filename else ""
    return InstallError(
        f"the package cannot be written under {prefix}: {error.strerror or error}{where}",
        "Run this as an account that may write there, or name another place with --prefix.",
    )


def _copy(package: Package, library: str) -> None:
    for name, data in package.files.items():
        target = os.path.join(library, name)
        files.make_folders(os.path.dirname(target))
        files.write_new(target, data, 0o644, sync=False)


def _compile(python: Interpreter, library: str, final: str) -> None:
    """Compile everything for good: unchecked, so that a hook neither compares times nor ever writes."""
    try:
        subprocess.run(
            [
                *(python.path, FLAGS, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
                *("-s", library, "-p", final, library),
            ],
            capture_output=True,
            env=gitcli.clean_environment(),
            check=True,
            timeout=300,
        )
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stdout", None) or b""
        raise InstallError(
            f"{python.path} cannot compile the package: {output.decode(errors='replace').strip() or error}",
            "Name another interpreter with --python.",
        ) from error


def _write_manifest(package: Package, python: Interpreter, folder: str) -> None:
    library = os.path.join(folder, "lib")
    sums = {}
    for path in _walk(library, caches=True):
        sums[os.path.relpath(path, library)] = hashlib.sha256(_read(path)).hexdigest()
    manifest = {
        "version": package.version,
        "digest": package.digest,
        "tag": python.tag,
        "python": python.path,
        "files": sums,
    }
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    files.write_new(os.path.join(folder, MANIFEST), text.encode(), 0o644, sync=False)


def _settle(folder: str) -> None:
    """Give everything its mode and bring it to the disk before it gets its name."""
    for where, folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            os.chmod(path, 0o644)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        for name in folders:
            os.chmod(os.path.join(where, name), 0o755)
        files.sync_folder(where)
