"""What every test stands on: an environment of its own, a package prefix built once, and repositories with hooks."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from coordjournal import install

# A busy machine is no failure. Every run tries other examples; --hypothesis-profile=thorough tries many at once.
settings.register_profile("everyday", deadline=None, max_examples=50)
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
    os.environ.update({"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"})
    yield
    os.environ.clear()
    os.environ.update(before)


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
            shutil.copytree(_template, path, symlinks=True)
        return path

    return make
