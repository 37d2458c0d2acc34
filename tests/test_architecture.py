"""How the modules hang together: imports point one way, and the hook's path stays light."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import run

PACKAGE = Path(__file__).resolve().parents[1] / "coordjournal"

# A module may import from the layers above its own, never from its own or one below.
LAYERS: list[set[str]] = [
    {"errors", "locking", "stale", "text", "timestamp"},
    {"canonical", "refs", "resources", "trailer"},
    {"commit", "decision"},
    {"accept"},
    {"schema"},
    {"law", "admission"},
    {"gitread", "placing"},
    {"chain"},
    {"extensions"},
    {"index"},
    {"state"},
    {"difference", "lint", "log", "outbox"},
    {"store"},
    {"descriptor", "memory", "remote", "stamp", "verify"},
    {"inbox", "projection", "sync"},
    {"appending"},
    {"lease"},
    {"space"},
    {"rescue"},
    {"journal"},
    {"transfer"},
    {"guard", "ids", "intents", "packing"},
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
HEAVY |= {"dulwich", "jsonschema", "click"}

# The judges are pure: they see no clock, no file, no process.
PURE = ["errors", "text", "refs", "timestamp", "canonical", "commit", "accept", "trailer", "law", "admission"]
PURE += ["placing", "index"]


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
    assert foreign <= {"__future__", "_json", "json", "bisect", "collections.abc", "itertools", "operator", "typing"}


def test_only_these_touch_git_objects_and_refs() -> None:
    users = {module for module, tree in SOURCES.items() for name in imports(module, tree) if name.startswith("dulwich")}
    assert users == {"store"}


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
