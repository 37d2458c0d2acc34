"""install/actions.py: init, install, upgrade and uninstall as an administrator meets them."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import decide, git, push, run, snapshot

import coordjournal
from coordjournal import install
from coordjournal.errors import GitFailed
from coordjournal.install import InstallError, actions, interpreter
from coordjournal.install import prefix as prefixes
from coordjournal.refs import META

Bare = Callable[..., Path]


@pytest.fixture
def client(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "client.git")
    return tmp_path / "client.git"


def other_package(version: str = coordjournal.__version__, mark: str = "x") -> prefixes.Package:
    package = prefixes.running_package()
    files = {**package.files, "coordjournal/mark.py": f"MARK = {mark!r}\n".encode()}
    return dataclasses.replace(package, version=version, digest=mark.encode().hex().ljust(64, "0"), files=files)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_init_makes_a_repository_that_guards_its_logs(object_format: str, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "größe.git"
    report = install.init(str(path), prefix=prefix, object_format=object_format)
    assert report.git_dir == str(path)
    assert report.changed
    assert git(path, "rev-parse", "--show-object-format") == object_format
    assert git(path, "config", "coordjournal.strict") == "true"
    assert git(path, "rev-parse", "--verify", "refs/meta/coordjournal")
    git(tmp_path, "init", "--quiet", "--bare", f"--object-format={object_format}", "client.git")
    client = tmp_path / "client.git"
    first = decide(client)
    assert push(client, path, f"{first}:refs/spaces/garden").returncode == 0
    assert "deleted" in push(client, path, ":refs/spaces/garden").stderr
    assert "bad-ref" in push(client, path, f"{first}:refs/heads/main").stderr
    assert git(path, "fsck", "--strict") == ""


def test_init_ignores_templates(prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "template" / "hooks").mkdir(parents=True)
    (tmp_path / "template" / "hooks" / "post-receive").write_text("#!/bin/sh\n")
    (tmp_path / "gitconfig").write_text(f"[init]\n\ttemplateDir = {tmp_path / 'template'}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    install.init(str(tmp_path / "x.git"), prefix=prefix)
    assert sorted(os.listdir(tmp_path / "x.git" / "hooks")) == ["pre-receive", "proc-receive"]


def test_init_takes_an_empty_folder_and_nothing_else(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "empty.git").mkdir()
    install.init(str(tmp_path / "empty.git"), prefix=prefix)
    with pytest.raises(InstallError, match="exists already") as caught:
        install.init(str(tmp_path / "empty.git"), prefix=prefix)
    assert "coordjournal install" in caught.value.remedy
    (tmp_path / "file").write_text("")
    with pytest.raises(InstallError, match="exists already"):
        install.init(str(tmp_path / "file"), prefix=prefix)


def test_init_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty.git").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    before = snapshot(tmp_path)
    for name in ("a/b/new.git", "empty.git"):
        with pytest.raises(InstallError, match="holds other things"):
            install.init(str(tmp_path / name), prefix=str(tmp_path / "taken"))
        assert snapshot(tmp_path) == before
    with pytest.raises(GitFailed, match="unknown hash algorithm"):
        install.init(str(tmp_path / "new.git"), object_format="md5")
    assert snapshot(tmp_path) == before


def test_install_keeps_what_the_repository_holds(tmp_path: Path, prefix: str) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "old.git")
    old = tmp_path / "old.git"
    tree = git(old, "hash-object", "-t", "tree", "-w", "--stdin")
    git(old, "update-ref", "refs/heads/main", git(old, "commit-tree", "-m", "x", tree))
    before = git(old, "for-each-ref")
    install.install(str(old), prefix=prefix)
    kept = [line for line in git(old, "for-each-ref").splitlines() if "refs/meta/" not in line]
    assert kept == before.splitlines()
    # Without strict, other refs are none of its business.
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(old), str(clone))
    git(clone, "commit", "--quiet", "--allow-empty", "-m", "y")
    assert push(clone, old, "HEAD:main").returncode == 0


def test_the_report_and_the_record_say_what_was_done(bare: Bare, prefix: str) -> None:
    repository = bare()
    report = install.install(str(repository))
    assert (report.git_dir, report.prefix, report.version) == (str(repository), prefix, coordjournal.__version__)
    assert {step.kind for step in report.steps} == {"kept"}
    record = json.loads((repository / "coordjournal" / "installed.json").read_text())
    assert record["prefix"] == prefix
    assert record["python"] == report.python
    assert set(record["hooks"]) == {"pre-receive", "proc-receive"}
    assert record["values"] == [{"key": "receive.procReceiveRefs", "value": "refs/append", "was": False, "now": True}]
    assert (repository / "hooks" / "pre-receive").read_text().startswith(f"#!{report.python} -I")


def test_a_damaged_record_is_told_and_nothing_changed(bare: Bare) -> None:
    repository = bare()
    path = repository / "coordjournal" / "installed.json"
    for text, why in [
        *((text, "cannot be read") for text in ("{", "[]", "[" * 100_000)),
        ('{"format": 3}', "later coordjournal"),
    ]:
        path.write_text(text)
        before = snapshot(repository)
        for act in (install.install, install.uninstall, install.upgrade):
            with pytest.raises(InstallError, match=why):
                act(str(repository))
        assert snapshot(repository) == before


def test_uninstall_removes_all_but_the_refs_and_the_refusal_log(bare: Bare, client: Path, tmp_path: Path) -> None:
    repository = bare()
    assert push(client, repository, f"{decide(client)}:refs/spaces/garden").returncode == 0
    refs, meta = git(repository, "for-each-ref"), git(repository, "rev-parse", META)
    report = install.uninstall(str(repository))
    assert report.changed
    assert not (repository / "coordjournal").exists()
    # The descriptor goes on by one: it must not offer any longer what is taken out.
    assert git(repository, "rev-parse", f"{META}^") == meta
    assert git(repository, "for-each-ref").replace(git(repository, "rev-parse", META), meta) == refs
    assert not any(key.startswith("coordjournal") for key in git(repository, "config", "--list", "--local").split())
    with pytest.raises(InstallError, match="is not installed"):
        install.uninstall(str(repository))
    install.install(str(repository), prefix=report.prefix)
    assert push(client, repository, ":refs/spaces/garden").returncode == 1
    report = install.uninstall(str(repository))
    assert os.listdir(repository / "coordjournal") == ["refusals.jsonl"]
    assert any("refusal log" in step.text for step in report.steps)


def test_without_its_record_the_hook_can_still_be_removed(bare: Bare) -> None:
    repository = bare()
    shutil.rmtree(repository / "coordjournal")
    install.uninstall(str(repository))
    assert "pre-receive" not in os.listdir(repository / "hooks")


def test_an_interrupted_install_is_finished_or_undone(tmp_path: Path, prefix: str) -> None:
    for point in ("put", "apply"):
        git(tmp_path, "init", "--quiet", "--bare", f"{point}.git")
        path = tmp_path / f"{point}.git"
        before = snapshot(path)
        for after in (install.install, install.uninstall):
            with pytest.MonkeyPatch.context() as patch:
                module = actions.hooks if point == "put" else actions.settings

                def fail(*_: object) -> None:
                    raise OSError(28, "No space left on device", "somewhere")

                patch.setattr(module, point, fail)
                with pytest.raises(InstallError, match="No space left on device") as caught:
                    install.install(str(path), prefix=prefix)
                assert "run the same command again" in caught.value.remedy
            after(str(path))
            if after is install.install:
                assert not install.install(str(path)).changed
                install.uninstall(str(path))
            now = snapshot(path)
            assert {n: v for n, v in now.items() if not n.startswith(("objects", "refs", "logs"))} == {
                n: v for n, v in before.items() if not n.startswith(("objects", "refs", "logs"))
            }


def test_upgrade_of_a_repository(bare: Bare, tmp_path: Path, client: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "prefix"
    repository = tmp_path / "x.git"
    install.init(str(repository), prefix=str(place))
    first = os.readlink(place / "current")
    assert not install.upgrade(str(repository)).changed

    second = other_package("0.2.0", "second")
    monkeypatch.setattr(prefixes, "running_package", lambda: second)
    template = prefixes.resources.hooks()
    (tmp_path / "hooks").mkdir()
    for name in actions.hooks.NAMES:
        newer = (Path(template) / name).read_text() + "# a later template\n"
        (tmp_path / "hooks" / name).write_text(newer)
    monkeypatch.setattr(actions.hooks.resources, "hooks", lambda: str(tmp_path / "hooks"))
    report = install.upgrade(str(repository))
    assert report.version == "0.2.0"
    assert os.readlink(place / "current") == f"versions/{second.name}"
    assert os.readlink(place / "previous") == first
    for name in actions.hooks.wanted(sequenced=True):
        assert (repository / "hooks" / name).read_text().endswith("# a later template\n")
    assert not list((repository / "hooks").glob("*edited*"))
    assert push(client, repository, f"{decide(client)}:refs/spaces/garden").returncode == 0

    third = other_package("0.3.0", "third")
    monkeypatch.setattr(prefixes, "running_package", lambda: third)
    report = install.upgrade(str(repository))
    assert any("removed the old version" in step.text for step in report.steps)
    assert sorted(os.listdir(place / "versions")) == sorted([second.name, third.name])
    assert push(client, repository, ":refs/spaces/garden").returncode == 1


def test_upgrade_of_a_prefix_serves_every_repository(
    tmp_path: Path, client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "prefix"
    for name in ("x.git", "y.git"):
        install.init(str(tmp_path / name), prefix=str(place))
    package = other_package("0.2.0", "second")
    package.files["coordjournal/receive.py"] = (
        b"import os\ndef main():\n    os.write(2, b'the second version')\n    os._exit(1)\n"
    )
    monkeypatch.setattr(prefixes, "running_package", lambda: package)
    report = install.upgrade(prefix=str(place))
    assert (report.git_dir, report.version, report.changed) == ("", "0.2.0", True)
    for name in ("x.git", "y.git"):
        done = push(client, tmp_path / name, f"{decide(client)}:refs/spaces/garden")
        assert "the second version" in done.stderr
    assert not install.upgrade(prefix=str(place)).changed


def test_upgrade_of_what_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="there is no coordjournal in"):
        install.upgrade(prefix=str(tmp_path / "none"))
    git(tmp_path, "init", "--quiet", "--bare", "plain.git")
    with pytest.raises(InstallError, match="not installed") as caught:
        install.upgrade(str(tmp_path / "plain.git"))
    assert "coordjournal install" in caught.value.remedy


def test_an_older_version_never_replaces_a_later_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "prefix"
    later = other_package("9.10.0", "later")
    with monkeypatch.context() as patch:
        patch.setattr(prefixes, "running_package", lambda: later)
        install.init(str(tmp_path / "x.git"), prefix=str(place))
    before = snapshot(tmp_path)
    for act in (
        lambda: install.install(str(tmp_path / "x.git")),
        lambda: install.upgrade(str(tmp_path / "x.git")),
        lambda: install.upgrade(prefix=str(place)),
    ):
        with pytest.raises(InstallError, match=r"holds coordjournal 9\.10\.0, this is the older"):
            act()
    assert snapshot(tmp_path) == before


def test_a_prefix_serves_one_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "prefix"
    install.init(str(tmp_path / "x.git"), prefix=str(place))
    chosen = interpreter.choose(prefixes_audience())
    elsewhere = dataclasses.replace(chosen, tag=".cpython-399-other.so")
    monkeypatch.setattr(actions.interpreter, "choose", lambda to, wanted=None: elsewhere)
    with pytest.raises(InstallError, match="would break them") as caught:
        install.init(str(tmp_path / "y.git"), prefix=str(place))
    assert "--prefix" in caught.value.remedy
    manifest = place / "current" / "manifest.json"
    gone = {**json.loads(manifest.read_text()), "python": "/gone/python3.9"}
    manifest.write_text(json.dumps(gone))
    install.init(str(tmp_path / "z.git"), prefix=str(place))  # nobody runs with the old one any more


def prefixes_audience() -> actions.Audience:
    return actions.Audience(os.geteuid())


def test_a_python_that_is_gone_is_replaced_on_the_next_install(bare: Bare) -> None:
    repository = bare()
    record = repository / "coordjournal" / "installed.json"
    python = json.loads(record.read_text())["python"]
    record.write_text(record.read_text().replace(python, "/gone/python3.9"))
    assert install.install(str(repository)).python == python


def test_a_folder_that_holds_other_things_is_no_prefix(tmp_path: Path, prefix: str) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "x.git")
    with pytest.raises(InstallError, match="holds other things") as caught:
        install.install(str(tmp_path / "x.git"), prefix=str(tmp_path))
    assert f"--prefix {tmp_path}/coordjournal" in caught.value.remedy


def test_a_prefix_with_a_space_in_its_path_works(tmp_path: Path, client: Path) -> None:
    repository = tmp_path / "my wiki.git"
    install.init(str(repository), prefix=str(tmp_path / "my prefix"))
    assert push(client, repository, f"{decide(client)}:refs/spaces/garden").returncode == 0
    assert push(client, repository, ":refs/spaces/garden").returncode == 1


def test_a_moved_repository_still_judges(bare: Bare, client: Path, tmp_path: Path) -> None:
    repository = bare()
    (tmp_path / "elsewhere").mkdir()
    moved = repository.rename(tmp_path / "elsewhere" / "moved.git")
    assert push(client, moved, f"{decide(client)}:refs/spaces/garden").returncode == 0
    assert "deleted" in push(client, moved, ":refs/spaces/garden").stderr


def test_a_deleted_checkout_breaks_nothing(tmp_path: Path, client: Path) -> None:
    source = Path(coordjournal.__file__).parents[1]
    checkout = tmp_path / "checkout"
    for name in ("coordjournal", "hooks", "schemas"):
        where = source / name if (source / name).is_dir() else source / "coordjournal" / name
        shutil.copytree(where, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from coordjournal import install\n"
        "assert install.__file__.startswith(sys.argv[1])\n"
        "install.init(sys.argv[2], prefix=sys.argv[3])"
    )
    repository = tmp_path / "x.git"
    run(sys.executable, "-c", program, checkout, repository, tmp_path / "prefix", cwd="/")
    shutil.rmtree(checkout)
    assert push(client, repository, f"{decide(client)}:refs/spaces/garden").returncode == 0
    assert "deleted" in push(client, repository, ":refs/spaces/garden").stderr


def test_a_missing_package_refuses_and_says_whom_to_tell(tmp_path: Path, client: Path) -> None:
    repository = tmp_path / "x.git"
    install.init(str(repository), prefix=str(tmp_path / "prefix"))
    shutil.rmtree(tmp_path / "prefix")
    done = push(client, repository, f"{decide(client)}:refs/spaces/garden")
    assert done.returncode == 1
    assert "coordjournal doctor" in done.stderr
    assert git(repository, "for-each-ref", "refs/spaces") == ""


def test_two_installers_at_once(tmp_path: Path, prefix: str) -> None:
    import threading

    git(tmp_path, "init", "--quiet", "--bare", "x.git")
    hook = tmp_path / "x.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    reports: list[install.Report] = []
    barrier = threading.Barrier(3)

    def work() -> None:
        barrier.wait()
        reports.append(install.install(str(tmp_path / "x.git"), prefix=prefix))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.changed for report in reports) == [False, False, True]
    assert (hook.parent / "pre-receive.before-coordjournal").read_text() == "#!/bin/sh\n"


def test_an_error_is_one_of_the_packages_own() -> None:
    error = InstallError("what", "remedy")
    assert isinstance(error, coordjournal.CoordjournalError)
    assert (error.code, str(error), str(InstallError("what"))) == ("install", "what\nremedy", "what")
