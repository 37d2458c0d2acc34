"""What every test stands on: an environment of its own, a package prefix built once, and repositories with hooks."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from support import copied, run

from coordjournal import AliasSet, Journal, install
from coordjournal.install import interpreter
from coordjournal.install import prefix as prefixes

# A busy machine is no failure. Every run tries other examples; --hypothesis-profile=thorough tries many at once.
settings.register_profile("everyday", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("everyday")


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home folder of the tests' own, no system-wide git configuration, and nothing the caller said about git."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n"
    )
    before = dict(os.environ)
    for key in list(os.environ):
        if key.startswith(("GIT_", "XDG_", "COORDJOURNAL_")) and key != "COORDJOURNAL_NO_SKIP":
            del os.environ[key]
    os.environ.pop("NO_COLOR", None)
    for key in ("no_proxy", "NO_PROXY"):  # the servers of the tests are here, whatever is beyond a proxy
        os.environ[key] = ",".join(filter(None, (os.environ.get(key), "127.0.0.1")))
    os.environ.update({"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"})
    # A shell ignores it for what it starts in the background, and so would every program that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(0o022)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module", autouse=True)
def _remembered(request: pytest.FixtureRequest, _known: dict[Any, Any]) -> Iterator[None]:
    """Installing asks the same Python, copies the same package and compiles it again and again. Here each answer that
    was good is remembered for as long as what was asked about is the same, but not where just these are tested."""
    if request.module.__name__ in ("test_install_prefix", "test_install_interpreter"):
        yield
        return
    real_package, real_describe = prefixes.running_package, interpreter.describe
    real_compile, real_try_out = prefixes._compile, prefixes.try_out

    def running_package() -> prefixes.Package:
        if "package" not in _known:
            _known["package"] = real_package()
        package: prefixes.Package = _known["package"]
        return dataclasses.replace(package, files=dict(package.files))

    def describe(path: str) -> interpreter.Interpreter:
        try:
            stat = os.stat(path)
        except OSError:
            return real_describe(path)
        key = (path, os.path.realpath(path), stat.st_ino, stat.st_mtime_ns, os.path.exists(interpreter._pyvenv(path)))
        if key not in _known:
            _known[key] = real_describe(path)
        found: interpreter.Interpreter = _known[key]
        return found

    def compile_once(python: interpreter.Interpreter, library: str, final: str) -> None:
        sources = {("compiled", python.path, *one): one[0] for one in _content(library) if one[0].endswith(".py")}
        with tempfile.TemporaryDirectory() as place:
            for key, name in sources.items():
                if key not in _known:
                    (Path(place) / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(Path(library) / name, Path(place) / name)
            if os.listdir(place):
                real_compile(python, place, final)
            for key, name in sources.items():
                if key not in _known:
                    [compiled] = (Path(place) / name).parent.glob(f"__pycache__/{Path(name).stem}.*.pyc")
                    _known[key] = (compiled.name, compiled.read_bytes())
                file, content = _known[key]
                (Path(library) / name).parent.joinpath("__pycache__").mkdir(exist_ok=True)
                (Path(library) / name).parent.joinpath("__pycache__", file).write_bytes(content)

    def try_out(python: interpreter.Interpreter, library: str) -> None:
        key = ("tried", python.path, _content(library))
        if key not in _known:
            real_try_out(python, library)
            _known[key] = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "running_package", running_package)
        patch.setattr(interpreter, "describe", describe)
        patch.setattr(prefixes, "_compile", compile_once)
        patch.setattr(prefixes, "try_out", try_out)
        yield


@pytest.fixture(scope="session")
def _known() -> dict[Any, Any]:
    return {}


def _content(folder: str) -> tuple[tuple[str, int], ...]:
    """Every file below a folder with a sum of its content."""
    paths = prefixes._walk(folder, caches=True)
    return tuple((os.path.relpath(path, folder), zlib.crc32(prefixes._read(path))) for path in paths)


@pytest.fixture(scope="session")
def open_place() -> Iterator[Path]:
    """A folder that every account can reach; pytest's own are private to the account that runs it."""
    place = Path(tempfile.mkdtemp(prefix="coordjournal-tests-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def prefix(_template: Path) -> str:
    """A prefix that holds the running package."""
    return str(_template.parent / "prefix")


@pytest.fixture(scope="session")
def _template(_own_environment: None, open_place: Path) -> Path:
    install.init(str(open_place / "template.git"), prefix=str(open_place / "prefix"))
    return open_place / "template.git"


@pytest.fixture
def bare(_template: Path, prefix: str, tmp_path: Path) -> Callable[..., Path]:
    """Makes bare repositories with hooks: ``bare()``, ``bare("other.git")``, ``bare("x.git", object_format="sha256")``.

    Plain ones are copies of one that was installed, which takes a few milliseconds; options are those of ``init``.
    """

    def make(name: str = "journal.git", **options: object) -> Path:
        path = tmp_path / name
        if options:
            install.init(str(path), prefix=prefix, **options)  # type: ignore[arg-type]
        else:
            copied(_template, path)
        return path

    return make


@pytest.fixture(scope="session")
def cloned(_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Makes copies of a server with clones: ``cloned(place, "one", "two")`` is ``place/journal.git``, in which one
    alias is set, and clones of it, whose users have their names. Each set is made once; copies take milliseconds."""
    made: dict[tuple[str, ...], Path] = {}

    def make(place: Path, *names: str) -> None:
        if names not in made:
            first = tmp_path_factory.mktemp("cloned")
            copied(_template, first / "journal.git")
            with Journal.open(first / "journal.git") as server:
                server.space("garden").append(AliasSet("Home", "x"), actor="Test")
            for name in names:
                Journal.clone(str(first / "journal.git"), first / name).close()
                run("git", "-C", first / name, "config", "user.name", name)
            made[names] = first
        for name in ("journal.git", *names):
            copied(made[names] / name, place / name, beside=True)

    return make
