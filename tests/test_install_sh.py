"""install.sh: set-up from a fresh checkout, in one of any path, from any folder, and plain words where something lacks.

The checkout here is a small stand-in, whose build backend needs nothing from a package index: what is tested is the
script with a real virtual environment and a real pip.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest
from support import run

from coordjournal.install import gitcli

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "install.sh"

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

BACKEND = """
import zipfile

TAG = "coordjournal-1.dist-info"


def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "coordjournal-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for part in ("__init__", "cli"):
            wheel.write(f"coordjournal/{part}.py")
        about = ["Metadata-Version: 2.1", "Name: coordjournal", "Version: 1", "Provides-Extra: test"]
        wheel.writestr(f"{TAG}/METADATA", "\\n".join([*about, ""]))
        about = ["Wheel-Version: 1.0", "Generator: x", "Root-Is-Purelib: true", "Tag: py3-none-any"]
        wheel.writestr(f"{TAG}/WHEEL", "\\n".join([*about, ""]))
        wheel.writestr(f"{TAG}/entry_points.txt", "[console_scripts]\\ncoordjournal = coordjournal.cli:main\\n")
        wheel.writestr(f"{TAG}/RECORD", "")
    return name
"""

CLI = "import sys\n\n\ndef main():\n    print('cli', __file__, sys.argv[1:])\n"
DEMO = "import sys\n\nimport coordjournal\n\nprint(coordjournal.WORD, coordjournal.__file__, sys.argv[1:])\n"


def checkout(place: Path) -> Path:
    """A small stand-in for a checkout, with the real install.sh."""
    (place / "coordjournal").mkdir(parents=True)
    (place / "examples").mkdir()
    (place / "tests").mkdir()
    for name in ("hooks", "schemas"):
        (place / name).mkdir()
        (place / name / "file").write_text("x")
    shutil.copy(SCRIPT, place / "install.sh")
    (place / "pyproject.toml").write_text(PYPROJECT)
    (place / "backend.py").write_text(BACKEND)
    (place / "coordjournal" / "__init__.py").write_text("WORD = 'demo'\n")
    (place / "coordjournal" / "cli.py").write_text(CLI)
    (place / "examples" / "demo.py").write_text(DEMO)
    (place / "tests" / "test_x.py").write_text("import coordjournal\n\n\ndef test_x():\n    assert coordjournal\n")
    return place


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python whose virtual environments are made quickly, with links to a copy of one pip, which is compiled once,
    and also see what is installed here, so that pytest need not be fetched."""
    place = tmp_path_factory.mktemp("bin")
    (place / "pip").mkdir()
    spec = importlib.util.find_spec("pip")
    if spec and spec.origin:
        packages = Path(spec.origin).parents[1]
    else:
        run(sys.executable, "-m", "venv", place / "first")
        [packages] = (place / "first").glob("lib/python3*/site-packages")
    for found in (packages / "pip", *packages.glob("pip-*.dist-info")):
        shutil.copytree(found, place / "pip" / found.name)
    seen = [path for path in (*site.getsitepackages(), *sys.path) if path.endswith("site-packages")]
    (place / "seen.pth").write_text("".join(f"{path}\n" for path in dict.fromkeys(seen)))
    path = place / "python3"
    path.write_text(f"""#!/bin/sh
if [ "$1 $2" != "-m venv" ]; then
    exec '{sys.executable}' "$@"
fi
for venv; do :; done
'{sys.executable}' -m venv --without-pip "$venv" || exit
for packages in "$venv"/lib/python3*/site-packages; do
    cp '{place}/seen.pth' "$packages"
    [ "$3" = --without-pip ] || ln -s '{place}/pip/'* "$packages"
done
""")
    path.chmod(0o755)
    return path


def call(
    script: Path, *words: str, python: Path | None = None, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    environment = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, **env}
    if python is not None:
        environment["PYTHON"] = str(python)
    return run(script, *words, cwd=cwd, env=environment, check=False)


@pytest.fixture(scope="module")
def ready(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that was set up, at a path with a space and a quote."""
    place = checkout(tmp_path_factory.mktemp("a place") / "it's mine")
    done = call(place / "install.sh", python=python, cwd=Path("/"))
    assert done.returncode == 0, done.stderr
    assert f"coordjournal is set up in {place}/.venv" in done.stdout
    assert "./install.sh --demo" in done.stdout
    return place


def test_a_second_time_is_quick_and_runs_no_pip(ready: Path, python: Path, tmp_path: Path) -> None:
    log = tmp_path / "pip.log"
    done = call(ready / "install.sh", python=python, PIP_LOG=str(log))
    assert done.returncode == 0
    assert done.stderr == ""
    assert not log.exists()


def test_the_demo_runs_what_was_installed(ready: Path, python: Path, tmp_path: Path) -> None:
    for cwd in (tmp_path, ready):
        done = call(ready / "install.sh", "--demo", python=python, cwd=cwd)
        assert done.stdout.startswith(f"demo {ready}/.venv/lib/")
        assert done.stdout.endswith(" []\n")
    done = call(ready / "install.sh", "--demo", "keep me", python=python, cwd=tmp_path)
    assert done.stdout.endswith(" ['keep me']\n")
    assert call(ready / "install.sh", "--demo", "a", "b", python=python).returncode == 2


def test_a_repository_is_made_or_installed_into(ready: Path, python: Path, tmp_path: Path) -> None:
    (tmp_path / "empty dir").mkdir()
    (tmp_path / "full dir").mkdir()
    (tmp_path / "full dir" / "HEAD").write_text("")
    (tmp_path / "file").write_text("")
    for name, verb in [("new.git", "init"), ("empty dir", "init"), ("full dir", "install"), ("file", "install")]:
        done = call(ready / "install.sh", name, "--shared", "group", python=python, cwd=tmp_path)
        assert done.stdout.startswith(f"cli {ready}/.venv/lib/")
        assert done.stdout.endswith(f" {[verb, name, '--shared', 'group']}\n")


def test_the_test_suite_runs_on_all_cores_or_with_the_arguments_given(
    ready: Path, python: Path, tmp_path: Path
) -> None:
    done = call(ready / "install.sh", "--test", python=python, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout and " worker" in done.stdout
    assert "installing coordjournal" in done.stderr  # the extras were not there yet
    log = tmp_path / "pip.log"
    for words in (["--test", "--collect-only", "-q"], ["--demo"]):  # what --test set up serves the others too
        assert call(ready / "install.sh", *words, python=python, PIP_LOG=str(log)).returncode == 0
    assert not log.exists()
    failing = call(ready / "install.sh", "--test", "-k", "nothing_like_it", python=python)
    assert failing.returncode == 5  # pytest's own status comes through


def test_a_changed_source_is_installed_again_and_a_moved_checkout_works(python: Path, tmp_path: Path) -> None:
    place = checkout(tmp_path / "one")
    assert call(place / "install.sh", "--demo", python=python).stdout.startswith("demo ")
    (place / "coordjournal" / "__init__.py").write_text("WORD = 'changed'\n")
    assert call(place / "install.sh", "--demo", python=python).stdout.startswith("changed ")

    moved = place.rename(tmp_path / "two")
    done = call(moved / "install.sh", "x.git", python=python, cwd=tmp_path)
    assert done.stdout.startswith(f"cli {moved}/.venv/lib/")


def test_a_broken_environment_is_made_anew(ready: Path, python: Path) -> None:
    (ready / ".venv" / "bin" / "python").unlink()
    (ready / ".venv" / "bin" / "python").symlink_to("/gone/python3")
    done = call(ready / "install.sh", "--demo", python=python)
    assert done.stdout.startswith(f"demo {ready}/.venv/lib/"), done.stderr


def test_something_else_called_venv_is_left_alone(python: Path, tmp_path: Path) -> None:
    place = checkout(tmp_path / "x")
    (place / ".venv").mkdir()
    (place / ".venv" / "precious").write_text("mine")
    done = call(place / "install.sh", python=python)
    assert done.returncode == 1
    assert "is in the way" in done.stderr
    assert (place / ".venv" / "precious").read_text() == "mine"


def test_a_pip_that_fails_is_told_and_tried_again(python: Path, tmp_path: Path) -> None:
    place = checkout(tmp_path / "x")
    backend = (place / "backend.py").read_text()
    (place / "backend.py").write_text("raise RuntimeError('no backend today')\n")
    done = call(place / "install.sh", python=python)
    assert done.returncode == 1
    assert "no backend today" in done.stderr
    assert "pip could not install it" in done.stderr
    (place / "backend.py").write_text(backend)
    assert call(place / "install.sh", "--demo", python=python).stdout.startswith("demo ")


def test_the_callers_python_settings_have_no_say(ready: Path, python: Path) -> None:
    hostile = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PIP_TARGET": "/nowhere", "PIP_USER": "1"}
    done = call(ready / "install.sh", "--demo", python=python, **hostile)
    assert done.stdout.startswith("demo ")


# ------------------------------------------------------------------------------------------------- what can be lacking


def tools(place: Path, **stubs: str) -> str:
    """A PATH with the plain tools and git, without any Python, and with the given scripts."""
    place.mkdir(exist_ok=True)
    for name in ("sh", "dirname", "sed", "find", "cksum", "sort", "grep", "ls", "rm", "cat", "cp", "git"):
        found = shutil.which(name)
        assert found
        if name not in stubs:
            (place / name).symlink_to(found)
    for name, body in stubs.items():
        if body:
            (place / name).write_text(f"#!/bin/sh\n{body}\n")
            (place / name).chmod(0o755)
    return str(place)


def test_no_python(tmp_path: Path) -> None:
    done = call(checkout(tmp_path / "x") / "install.sh", PATH=tools(tmp_path / "bin"))
    assert done.returncode == 1
    assert "Python 3 is missing" in done.stderr
    assert "apt install python3" in done.stderr
    assert not (tmp_path / "x" / ".venv").exists()


def test_only_an_old_python(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", python3="exit 1")
    done = call(checkout(tmp_path / "x") / "install.sh", PATH=path)
    assert done.returncode == 1
    assert f"needs Python 3.11 or later; too old: {path}/python3." in done.stderr


def test_a_later_python_is_found_beside_an_old_one(python: Path, tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", python3="exit 1") + os.pathsep + "/usr/bin:/bin"
    (tmp_path / "bin" / "python3.12").symlink_to(python)
    done = call(checkout(tmp_path / "x") / "install.sh", "--demo", PATH=path)
    assert done.stdout.startswith("demo "), done.stderr
    assert "python3.12" in done.stderr


def test_a_python_that_was_named_and_will_not_do(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", old="exit 1")
    done = call(checkout(tmp_path / "x") / "install.sh", PATH=path, PYTHON=f"{path}/old")
    assert done.returncode == 1
    assert f"PYTHON is {path}/old, which is no Python 3.11" in done.stderr


def test_a_python_without_venv(tmp_path: Path) -> None:
    body = 'case "$*" in *version_info*) exit 0;; esac\nexit 1'
    path = tools(tmp_path / "bin", python3=body)
    done = call(checkout(tmp_path / "x") / "install.sh", PATH=path)
    assert done.returncode == 1
    assert f"cannot make virtual environments: {path}/python3" in done.stderr
    assert "apt install python3-venv" in done.stderr


def test_a_python_without_ensurepip_lends_its_pip(python: Path, tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(python)
    body = f"""case "$*" in
*ensurepip*) exit 1;;
"-m venv --without-pip "*) ;;
"-m venv "*) exit 1;;
esac
exec '{python}' "$@"
"""
    path = tools(tmp_path / "bin", python3=body) + os.pathsep + "/usr/bin:/bin"
    place = checkout(tmp_path / "x")
    for _ in range(2):  # the second time with another source, so that pip has to be lent again
        done = call(place / "install.sh", "--demo", PATH=path, PYTHON=str(tmp_path / "bin" / "python3"))
        assert done.stdout.startswith(f"demo {place}/.venv/lib/"), done.stderr
        with (place / "coordjournal" / "__init__.py").open("a") as file:
            file.write("\n")


def test_no_git(tmp_path: Path) -> None:
    done = call(checkout(tmp_path / "x") / "install.sh", PATH=tools(tmp_path / "bin", git=""))
    assert done.returncode == 1
    assert "git is missing" in done.stderr


@pytest.mark.parametrize(
    ("version", "good"),
    [("2.20.1", False), ("1.9", False), ("2.29.0", True), ("2.39.5 (Apple Git-154)", True), ("3.0.0", True)],
)
def test_the_version_of_git(version: str, good: bool, tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", git=f"echo 'git version {version}'")
    done = call(checkout(tmp_path / "x") / "install.sh", PATH=path)
    assert done.returncode == 1
    assert ("too old" in done.stderr) is not good
    assert ("Python 3 is missing" in done.stderr) is good  # the next thing it looks for


def test_the_script_and_the_package_ask_for_the_same_git() -> None:
    asked = re.findall(r"git (\d+)\.(\d+) or later", SCRIPT.read_text())
    assert {tuple(map(int, numbers)) for numbers in asked} == {gitcli.OLDEST_GIT}


# ------------------------------------------------------------------------------------------------------------ the rest


def test_help_does_nothing_else(tmp_path: Path) -> None:
    place = checkout(tmp_path / "x")
    for option in ("--help", "-h"):
        done = call(place / "install.sh", option)
        assert done.returncode == 0
        assert "--demo" in done.stdout
        assert done.stderr == ""
    assert not (place / ".venv").exists()


def test_an_unknown_option_is_a_usage_error(tmp_path: Path) -> None:
    done = call(checkout(tmp_path / "x") / "install.sh", "--frobnicate")
    assert done.returncode == 2
    assert "no such option: --frobnicate" in done.stderr
    assert "Usage" in done.stderr


def test_through_a_link_it_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(SCRIPT)
    done = call(tmp_path / "link")
    assert done.returncode == 1
    assert "no checkout of coordjournal" in done.stderr


def test_it_is_executable_and_for_any_posix_shell() -> None:
    assert os.access(SCRIPT, os.X_OK)
    assert SCRIPT.read_text().startswith("#!/bin/sh\n")
    run("sh", "-n", SCRIPT)
