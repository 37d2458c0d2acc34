"""install/prefix.py: complete, unchanging versions of the package behind one atomic link."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import sys
from pathlib import Path

import pytest
from support import run, snapshot

from coordjournal import __version__
from coordjournal.install import InstallError, interpreter
from coordjournal.install import prefix as prefixes
from coordjournal.install.sharing import Audience


@pytest.fixture(scope="module")
def python() -> interpreter.Interpreter:
    return interpreter.choose(Audience(os.geteuid()))


@pytest.fixture(scope="module")
def package() -> prefixes.Package:
    return prefixes.running_package()


def other(package: prefixes.Package, text: str) -> prefixes.Package:
    """Another package: the same with a file more."""
    files = {**package.files, "coordjournal/more.py": f"MORE = {text!r}\n".encode()}
    return dataclasses.replace(package, digest=text.encode().hex().ljust(64, "0"), files=files)


def put(place: Path, package: prefixes.Package, python: interpreter.Interpreter) -> bool:
    with prefixes.held(str(place)):
        built = prefixes.build(str(place), package, python)
        prefixes.switch(str(place), package.name)
    return built


def test_the_package_is_all_that_a_hook_needs(package: prefixes.Package) -> None:
    names = set(package.files)
    for needed in (
        "coordjournal/receive.py",
        "coordjournal/hooks/pre-receive",
        "coordjournal/schemas/envelope.json",
        "jsonschema/__init__.py",
        "attr/__init__.py",
        "referencing/__init__.py",
        "rpds/__init__.py",
    ):
        assert needed in names
    assert package.version == __version__
    assert package.name == f"{__version__}-{package.digest[:12]}"
    assert not [n for n in names if n.endswith(".pyc") or "/tests/" in n or n.startswith((".", "/", "click"))]
    # Nothing that tells when or from where something was installed: the digest is of content.
    assert not [n for n in names if n.endswith(("RECORD", "INSTALLER", "direct_url.json"))]
    assert [n for n in names if n.startswith("jsonschema-") and "METADATA" in n]


def test_the_digest_is_of_the_content(package: prefixes.Package, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prefixes.running_package().digest == package.digest
    real = prefixes._read
    monkeypatch.setattr(prefixes, "_read", lambda path: real(path) + (b"#" if path.endswith("/law.py") else b""))
    assert prefixes.running_package().digest != package.digest


def test_a_missing_dependency_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefixes, "ROOT_DEPENDENCIES", ("surely-not-installed",))
    with pytest.raises(InstallError, match=r"surely-not-installed.*not installed beside"):
        prefixes.running_package()


def test_a_dependency_without_a_list_of_files_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefixes.metadata.Distribution, "files", property(lambda self: None))
    with pytest.raises(InstallError, match="cannot tell which files"):
        prefixes.running_package()


def test_everything_is_readable_by_all_whatever_the_umask(
    package: prefixes.Package, python: interpreter.Interpreter, tmp_path: Path
) -> None:
    place = tmp_path / "new" / "prefix"
    umask = os.umask(0o077)
    try:
        assert put(place, package, python)
    finally:
        os.umask(umask)
    for folder in (tmp_path / "new", place, place / "versions"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    for path, (mode, _) in snapshot(place).items():
        if stat.S_ISDIR(mode):
            assert stat.S_IMODE(mode) == 0o755, path
        elif stat.S_ISREG(mode):
            assert stat.S_IMODE(mode) == 0o644, path


def test_a_second_time_changes_nothing(
    package: prefixes.Package, python: interpreter.Interpreter, tmp_path: Path
) -> None:
    assert put(tmp_path, package, python)
    before = snapshot(tmp_path)
    assert not put(tmp_path, package, python)
    assert snapshot(tmp_path) == before
    assert os.readlink(tmp_path / "current") == f"versions/{package.name}"
    standing = prefixes.current(str(tmp_path))
    assert standing is not None
    assert (standing.version, standing.tag, standing.python) == (__version__, python.tag, python.path)
    assert prefixes.faults(standing.path) == []


def test_a_hook_loads_only_compiled_files_and_writes_none(prefix: str, python: interpreter.Interpreter) -> None:
    before = snapshot(prefix)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import coordjournal.receive, jsonschema\n"
        "for name, m in list(sys.modules.items()):\n"
        "    spec = getattr(m, '__spec__', None)\n"
        "    if spec and spec.cached and spec.origin.startswith(sys.argv[1]) and spec.origin.endswith('.py'):\n"
        "        print(name, spec.cached, spec.loader.get_code(name).co_filename)"
    )
    library = os.path.join(os.path.realpath(os.path.join(prefix, "current")), "lib")
    done = run(python.path, "-IS", "-v", "-c", program, library)
    modules = [line.split() for line in done.stdout.splitlines()]
    assert {"coordjournal.receive", "jsonschema"} <= {name for name, _, _ in modules}
    for name, cached, filename in modules:
        assert f"{cached} matches" in done.stderr, name  # python -v says so of a compiled file it took
        assert filename.startswith(library), name  # and a traceback names the file that is there
    assert "wrote" not in done.stderr
    assert snapshot(prefix) == before


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda lib: (lib / "coordjournal" / "law.py").write_text("x"), "lib/coordjournal/law.py was changed"),
        (lambda lib: (lib / "coordjournal" / "law.py").unlink(), "lib/coordjournal/law.py is missing"),
        (lambda lib: (lib / "coordjournal" / "extra.py").write_text("x"), "lib/coordjournal/extra.py was added"),
        (lambda lib: (lib / "coordjournal" / "law.py").chmod(0o600), "law.py is not readable by every account"),
        (
            lambda lib: next((lib / "coordjournal" / "__pycache__").glob("law.*")).write_bytes(b"x"),
            "lib/coordjournal/__pycache__/law.",
        ),
        (lambda lib: (lib.parent / "manifest.json").write_text("{"), "manifest.json cannot be read"),
    ],
)
def test_damage_is_seen_and_mended(
    damage: object, told: str, package: prefixes.Package, python: interpreter.Interpreter, tmp_path: Path
) -> None:
    small = dataclasses.replace(
        package, files={n: d for n, d in package.files.items() if n in ("coordjournal/law.py", "coordjournal/text.py")}
    )
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(prefixes, "try_out", lambda python, library: None)
    try:
        put(tmp_path, small, python)
        version = tmp_path / "versions" / small.name
        damage(version / "lib")  # type: ignore[operator]
        assert any(told in fault for fault in prefixes.faults(str(version))), prefixes.faults(str(version))
        assert put(tmp_path, small, python)
        assert prefixes.faults(str(version)) == []
        with prefixes.held(str(tmp_path)):
            prefixes.prune(str(tmp_path))
        assert os.listdir(tmp_path / "versions") == [small.name]
    finally:
        monkeypatch.undo()


def test_a_package_that_does_not_run_never_gets_its_name(
    package: prefixes.Package, python: interpreter.Interpreter, tmp_path: Path
) -> None:
    put(tmp_path, package, python)
    before = snapshot(tmp_path)
    broken = other(package, "broken")
    broken.files["coordjournal/receive.py"] = b"import surely_not_there\n"
    with pytest.raises(InstallError, match=r"cannot import the package as a hook would.*surely_not_there"):
        put(tmp_path, broken, python)
    unreadable = other(package, "unreadable")
    unreadable.files["coordjournal/receive.py"] = b"def (:\n"
    with pytest.raises(InstallError, match="cannot compile the package"):
        put(tmp_path, unreadable, python)
    assert snapshot(tmp_path) == before


def test_old_versions_go_but_the_current_and_the_previous_one(
    package: prefixes.Package, python: interpreter.Interpreter, tmp_path: Path
) -> None:
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(prefixes, "try_out", lambda python, library: None)
    versions = []
    try:
        for text in ("one", "two", "three"):
            version = dataclasses.replace(other(package, text), files={"coordjournal/more.py": text.encode()})
            version.files["coordjournal/more.py"] = b"MORE = 1\n"
            put(tmp_path, version, python)
            versions.append(version.name)
    finally:
        monkeypatch.undo()
    assert os.readlink(tmp_path / "current") == f"versions/{versions[2]}"
    assert os.readlink(tmp_path / "previous") == f"versions/{versions[1]}"
    (tmp_path / "versions" / ".interrupted.tmp").mkdir()
    with prefixes.held(str(tmp_path)):
        assert prefixes.prune(str(tmp_path)) == [".interrupted.tmp", versions[0]]
        assert prefixes.prune(str(tmp_path)) == []
    assert sorted(os.listdir(tmp_path / "versions")) == sorted(versions[1:])


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InstallError, match="cannot be written under") as caught,
        prefixes.held(str(tmp_path / "file" / "prefix")),
    ):
        pass
    assert "--prefix" in caught.value.remedy


@pytest.mark.parametrize("path", ['/srv/"x', "/srv/it's", "/srv/a\nb", "/srv/back\\slash"])
def test_a_prefix_that_no_hook_can_name_is_refused(path: str) -> None:
    with pytest.raises(InstallError, match="no hook can name"):
        prefixes.checked(path)


def test_the_default_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert prefixes.default() == "/usr/local/lib/coordjournal"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ada")
    assert prefixes.default() == "/home/ada/.local/share/coordjournal"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert prefixes.default() == "/home/ada/.local/share/coordjournal"
    monkeypatch.setenv("XDG_DATA_HOME", "/data/ada")
    assert prefixes.default() == "/data/ada/coordjournal"
    assert prefixes.checked("~/x") == "/home/ada/x"


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', "{"])
def test_a_prefix_without_a_usable_version_has_no_current_one(text: str, tmp_path: Path) -> None:
    assert prefixes.current(str(tmp_path)) is None
    (tmp_path / "versions" / "x").mkdir(parents=True)
    (tmp_path / "versions" / "x" / "manifest.json").write_text(text)
    (tmp_path / "current").symlink_to("versions/x")
    assert prefixes.current(str(tmp_path)) is None


def test_the_manifest_lists_every_file(prefix: str) -> None:
    version = Path(prefix, "current")
    listed = json.loads((version / "manifest.json").read_text())["files"]
    present = {path for path, (mode, _) in snapshot(version / "lib").items() if stat.S_ISREG(mode)}
    assert set(listed) == present
    assert any(name.endswith(f".{sys.implementation.cache_tag}.pyc") for name in listed)
