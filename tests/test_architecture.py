"""How the modules hang together: imports point one way, and the hook's path stays light."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import run

from coordjournal import AliasSet, Journal

PACKAGE = Path(__file__).resolve().parents[1] / "coordjournal"

# A module may import from the layers above its own, never from its own or one below.
LAYERS: list[set[str]] = [
    {"errors", "filelock", "kept", "locking", "ondisk", "sharing", "stale", "text", "timestamp", "value"},
    {"canonical", "refs", "resources", "trailer"},
    {"commit", "decision"},
    {"accept", "payload"},
    {"schema"},
    {"law", "admission", "plain"},
    {"attachments", "placing"},
    {"gitread"},
    {"packing", "passing", "paths"},
    {"chain", "loose"},
    {"extensions"},
    {"index"},
    {"state"},
    {"difference", "lint", "log", "outbox"},
    {"opening", "store"},
    {"descriptor", "memory", "remote", "stamp", "verify"},
    {"inbox", "projection", "sync"},
    {"appending"},
    {"feed", "lease", "whereabouts"},
    {"space"},
    {"rescue"},
    {"journal"},
    {"transfer"},
    {"guard", "ids", "intents", "turn"},
    {"sequence"},
    {"receive", "proc_receive"},
    {"install"},
    {"cli"},
    {"__main__"},
]
LAYER = {module: number for number, layer in enumerate(LAYERS) for module in layer}

# What an accepted push of one decision loads.
HOT = ["errors", "text", "refs", "timestamp", "canonical", "commit", "accept", "law", "admission"]
HOT += ["trailer", "gitread", "chain", "guard", "receive"]
LIGHT = {"_json", "io", "posix", "sys", "time"}
HEAVY = {"re", "json", "typing", "subprocess", "dataclasses", "hashlib", "enum", "functools", "collections", "datetime"}
HEAVY |= {"jsonschema", "click"}

# The judges are pure: they see no clock, no file, no process.
PURE = ["errors", "text", "refs", "timestamp", "canonical", "commit", "accept", "trailer", "law", "admission"]
PURE += ["placing", "index", "plain"]


def sources() -> dict[str, ast.Module]:
    """Module name (``install.hooks``) to its syntax tree."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts)] = ast.parse(path.read_text("utf-8"))
    return found


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """What a module imports when it runs: ``.x`` for a module of the package, else the name of a foreign one."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            inside = module.split(".")[: -node.level]
            if node.module:
                yield "." + ".".join([*inside, node.module])
            else:
                yield from ("." + ".".join([*inside, alias.name]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
        else:
            yield from imports(module, node)


SOURCES = sources()


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {"__init__"}))
def test_imports_point_one_way(module: str) -> None:
    """``coordjournal/__init__`` stands outside: it names everything and loads it when it is asked for."""
    here = module.split(".")[0]
    assert here in LAYER, f"say in LAYERS where {here} belongs"
    for name in imports(module, SOURCES[module]):
        there = name.lstrip(".").split(".")[0]
        if name.startswith(".") and there not in ("__version__", here):
            assert LAYER[there] < LAYER[here], f"{module} imports {there}"


@pytest.mark.parametrize("package", ["install", "cli"])
def test_packages_have_no_circles_inside(package: str) -> None:
    edges = {
        module: {name[1:] for name in imports(module, tree) if name.startswith(f".{package}.")}
        for module, tree in SOURCES.items()
        if module.split(".")[0] == package and not module.endswith("__init__")
    }
    while edges:
        free = {module for module, needs in edges.items() if not needs & set(edges)}
        assert free, f"these import each other: {sorted(edges)}"
        edges = {module: needs for module, needs in edges.items() if module not in free}


def test_nobody_imports_the_package_by_its_absolute_name() -> None:
    for module, tree in SOURCES.items():
        assert not [name for name in imports(module, tree) if name.split(".")[0] == "coordjournal"], module


@pytest.mark.parametrize("module", PURE)
def test_the_judges_and_the_fold_are_pure(module: str) -> None:
    foreign = {name for name in imports(module, SOURCES[module]) if not name.startswith(".")}
    allowed = {"__future__", "_json", "json", "bisect", "collections.abc", "itertools", "operator", "re", "typing"}
    assert foreign <= allowed


def test_only_these_touch_git_objects_and_refs() -> None:
    """The library through its store, the sequencer through git."""
    users = {
        (name[1:], module)
        for module, tree in SOURCES.items()
        for name in imports(module, tree)
        if name in (".loose", ".packing") and module != "loose"
    }
    assert users == {("loose", "store"), ("packing", "store"), ("packing", "sequence")}


def test_only_the_schemas_need_jsonschema_and_only_the_command_line_click() -> None:
    users = {
        (name.split(".")[0], module)
        for module, tree in SOURCES.items()
        for name in imports(module, tree)
        if name.split(".")[0] in ("jsonschema", "referencing", "click")
    }
    assert {module for name, module in users if name != "click"} == {"schema"}
    assert all(module.startswith("cli") for name, module in users if name == "click")


@pytest.mark.parametrize("module", HOT)
def test_the_hot_path_imports_little_at_the_start(module: str) -> None:
    top = ast.Module(
        [node for node in SOURCES[module].body if not isinstance(node, ast.FunctionDef | ast.ClassDef)], []
    )
    foreign = {name for name in imports(module, top) if not name.startswith(".")}
    assert foreign <= LIGHT


def test_the_hot_path_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        f"for module in {HOT!r}:\n"
        "    __import__('coordjournal.' + module)\n"
        "print(*sys.modules)\n"
    )
    loaded = run(sys.executable, "-IS", "-c", program, str(PACKAGE.parent)).stdout.split()
    assert not HEAVY & {name.split(".")[0] for name in loaded}
    ours = {name.removeprefix("coordjournal.") for name in loaded if name.startswith("coordjournal.")}
    assert ours == set(HOT)


def test_the_package_itself_loads_nothing() -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import coordjournal; print(*sys.modules)"
    loaded = run(sys.executable, "-IS", "-c", program, str(PACKAGE.parent)).stdout.split()
    assert [name for name in loaded if name.startswith("coordjournal")] == ["coordjournal"]
    assert not HEAVY & set(loaded)


# -- what a question costs -------------------------------------------------------------------------------------------

# What writing, fetching and judging need, and no question does.
FOR_OTHERS = ["admission", "appending", "chain", "descriptor", "feed", "inbox", "law", "lease", "memory", "outbox"]
FOR_OTHERS += ["paths", "payload", "remote", "schema", "stamp", "sync", "verify", "whereabouts"]
NOT_FOR_A_QUESTION = {f"coordjournal.{name}" for name in FOR_OTHERS}
NOT_FOR_A_QUESTION |= {"dulwich", "jsonschema", "referencing", "subprocess", "signal", "selectors", "random", "shlex"}
NOT_FOR_A_QUESTION |= {"importlib.metadata", "tempfile", "shutil", "logging", "click.shell_completion"}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a log that is long enough to be cached, and is cached."""
    path = tmp_path_factory.mktemp("asked") / "wiki.git"
    run("git", "init", "--quiet", "--bare", path)
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        names = ["Name", *(f"Name {number}" for number in range(299))]
        garden.append_many([garden.intent(AliasSet(name, "s:P"), actor="alice") for name in names])
    with Journal.open(path) as journal:
        assert journal.space("garden").state().resolve("Name") == "s:P"
    return path


def loaded_by(code: str, *arguments: str | Path) -> set[str]:
    """The modules that a fresh Python has loaded once it has run ``code``."""
    program = f"{code}\nimport sys; print(*sys.modules, sep='\\n', file=sys.stderr)"
    done = run(sys.executable, "-c", program, *arguments, env={"PYTHONPATH": str(PACKAGE.parent)})
    return set(done.stderr.split())


@pytest.fixture(scope="module")
def clicks_own() -> set[str]:
    """What click loads itself, for which nothing here can be blamed."""
    return loaded_by("import click")


@pytest.mark.parametrize("words", ["resolve garden Name", "group garden s:P", "why garden Name"])
def test_a_question_loads_nothing_that_it_does_not_need(asked: Path, clicks_own: set[str], words: str) -> None:
    code = "import sys; from coordjournal.cli import main; assert main(sys.argv[1:]) == 0"
    loaded = loaded_by(code, "-C", asked, *words.split())
    assert {"click", "coordjournal.state", "coordjournal.cli.questions"} <= loaded
    assert not loaded & (NOT_FOR_A_QUESTION - clicks_own)


def test_a_question_takes_little_memory(asked: Path) -> None:
    code = (
        "import sys; from coordjournal.cli import main; assert main(sys.argv[1:]) == 0\n"
        "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    words = ("-c", code, "-C", asked, "resolve", "garden", "Name")
    said = run(sys.executable, *words, env={"PYTHONPATH": str(PACKAGE.parent)}).stdout.split()
    assert said[0] == "s:P" and 4_000 < int(said[1]) < 32_000  # kB


def test_a_program_that_imports_the_library_loads_nothing_that_it_may_not_need() -> None:
    loaded = loaded_by("from coordjournal import Journal, AliasSet")
    needless = NOT_FOR_A_QUESTION - {"coordjournal.payload"} | {"click", "datetime", "hashlib", "json", "pathlib"}
    assert "coordjournal.payload" in loaded
    assert not loaded & (needless | {"threading", "sqlite3"})


@pytest.mark.parametrize("how", ["-C DIR", "-CDIR", "GIT_DIR", "the last of two -C", "the current directory"])
def test_a_question_starts_three_gits(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Where the repository is, its configuration, the tip: in the command line the first two before click is there."""
    real = shutil.which("git")
    wrapper = tmp_path / "git"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/started\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    places: dict[str, tuple[str | Path, ...]] = {
        "-C DIR": ("-C", asked),
        "-CDIR": (f"-C{asked}",),
        "the last of two -C": ("-C", tmp_path, "-C", asked),
    }
    if how == "GIT_DIR":
        monkeypatch.setenv("GIT_DIR", str(asked))
    words = ("-m", "coordjournal", *places.get(how, ()), "resolve", "garden", "Name")
    cwd = asked if how == "the current directory" else tmp_path
    answer = run(sys.executable, *words, env={"PYTHONPATH": str(PACKAGE.parent)}, cwd=cwd)
    assert answer.stdout == "s:P\n"
    started = [line.split()[:3] for line in (tmp_path / "started").read_text().splitlines()]
    assert sorted(words[2] if words[0] == "-C" else words[0] for words in started) == [
        "config",
        "for-each-ref",
        "rev-parse",
    ]
