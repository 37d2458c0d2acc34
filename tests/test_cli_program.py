"""The program as a process: how it is started, which repository it means, what it loads, how it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from cli_support import ROOT, cj, environment, program
from support import git, run

from coordjournal import AliasSet, Journal, OverlayCreated

PROGRAM = (sys.executable, "-m", "coordjournal")


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "wiki.git"
    run("git", "init", "--quiet", "--bare", path)
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        garden.append(AliasSet("Home", "a"), actor="alice")
        garden.append(OverlayCreated("o", "a", None, b"\xff\n"), actor="alice")
        garden.append_many([garden.intent(AliasSet("N", str(n) * 200), actor="alice") for n in range(600)])
    return path


@pytest.fixture
def path_with_git_coordjournal(tmp_path, monkeypatch):
    """A PATH on which the program stands under both its names, as pip installs it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("coordjournal", "git-coordjournal"):
        script = folder / name
        script.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from coordjournal.cli import program\nsys.exit(program())\n"
        )
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_python_runs_the_package(repo):
    done = program("-C", repo, "resolve", "garden", "Home")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\n", b"")
    assert program("-C", repo, "resolve", "garden", "Nobody").returncode == 1
    assert program("nonsense").returncode == 2
    assert program("clone", repo.parent / "nowhere", repo.parent / "x").returncode == 4


def test_git_runs_it_too(repo, path_with_git_coordjournal, tmp_path):
    assert git(repo, "coordjournal", "resolve", "garden", "Home") == "a"
    assert run("git", f"--git-dir={repo}", "coordjournal", "resolve", "garden", "Home", cwd=tmp_path).stdout == "a\n"
    assert run("coordjournal", "-C", repo, "resolve", "garden", "Home", cwd=tmp_path).stdout == "a\n"
    said = run("git", "-C", repo, "coordjournal", "nonsense", check=False)
    assert said.returncode == 2
    assert "Usage: git coordjournal [OPTIONS]" in said.stderr


def test_the_repository_is_that_of_the_current_folder_or_named(repo, tmp_path, monkeypatch):
    assert cj("resolve", "garden", "Home", cwd=repo).out == "a\n"
    assert cj("resolve", "garden", "Home", cwd=repo / "objects").out == "a\n"
    assert cj("-C", repo, "resolve", "garden", "Home", cwd=tmp_path).out == "a\n"
    assert "not-a-journal" in cj("resolve", "garden", "Home", cwd=tmp_path, status=1).err
    monkeypatch.setenv("GIT_DIR", str(repo))
    assert cj("resolve", "garden", "Home", cwd=tmp_path).out == "a\n"
    assert "not-a-journal" in cj("-C", tmp_path, "resolve", "garden", "Home", cwd=repo, status=1).err


def test_a_clone_answers_from_any_folder_in_it(repo, tmp_path):
    cj("clone", repo, tmp_path / "c")
    (tmp_path / "c" / "deep").mkdir()
    assert cj("resolve", "garden", "Home", cwd=tmp_path / "c" / "deep").out == "a\n"
    assert cj("alias", "set", "garden", "Home", "b", "--dry-run", cwd=tmp_path / "c" / "deep").status == 0


@pytest.mark.parametrize(
    "words",
    [["resolve", "garden", "Home"], ["log", "garden"], ["why", "garden", "Home"]],
    ids=lambda words: words[0],
)
def test_a_question_loads_no_more_than_it_needs(repo, words):
    code = (
        "import sys; from coordjournal.cli import main; assert main(sys.argv[1:]) == 0\n"
        "print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "-C", repo, *words], env=environment(), capture_output=True, check=True
    )
    loaded = set(done.stderr.decode().split())
    assert not loaded & {"dulwich", "jsonschema", "referencing", "coordjournal.install", "coordjournal.transfer"}
    commands = {name for name in loaded if name.startswith("coordjournal.cli.")}
    assert not commands & {f"coordjournal.cli.{name}" for name in ("server", "pages", "overlays", "transfers", "judge")}


def test_help_loads_no_library(repo):
    code = (
        "import sys; from coordjournal.cli import main; assert main(['--help']) == 0\n"
        "print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=True)
    loaded = set(done.stderr.decode().split())
    assert not loaded & {"dulwich", "jsonschema", "coordjournal.journal", "coordjournal.state", "coordjournal.install"}


# -- how it ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["log", "garden"], ["export", "garden"]])
def test_nobody_reads_to_the_end(repo, words):
    process = subprocess.Popen(
        [*PROGRAM, "-C", repo, *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_nobody_reads_at_all(repo):
    """The answer fits the buffer, so that only its last flush finds out."""
    reader, writer = os.pipe()
    os.close(reader)
    done = program("-C", repo, "resolve", "garden", "Home", stdout=writer, stderr=subprocess.PIPE, capture_output=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_closed_streams(repo):
    run("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *PROGRAM, "-C", repo, "log", "garden", env=environment())
    done = run("sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "-C", repo, "show", "x", env=environment(), check=False)
    assert (done.returncode, done.stderr[:34]) == (1, "coordjournal: decision-not-found: ")


def test_a_question_asked_with_closed_streams_is_answered(repo):
    """The pipes to git, which is started first of all, must not become the standard streams."""
    words = ["sh", *PROGRAM, "-C", repo, "resolve", "garden", "Home"]
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        assert run("sh", "-c", f'exec "$@" {closed}', *words, env=environment()).stdout == "a\n"


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("atexit.register(print, 'at exit')", b"a\nat exit\n"),
        ("threading.Thread(target=lambda: (threading.main_thread().join(), print('later'))).start()", b"a\nlater\n"),
        ("sys.setprofile(lambda *_: None); atexit.register(print, 'watched')", b"a\nback\nwatched\n"),
    ],
    ids=["registered", "a thread", "a profiler"],
)
def test_nothing_is_lost_at_the_end(repo, before, said):
    code = (
        f"import atexit, os, sys, threading\n{before}\nfrom coordjournal.cli import program\n"
        "program()\n"
        "if sys.getprofile(): print('back')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "-C", repo, "resolve", "garden", "Home"],
        env=environment(),
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (said, b"")


def test_a_full_disk_is_told(repo):
    with open("/dev/full", "wb") as full:
        done = program("-C", repo, "log", "garden", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (done.returncode, done.stderr) == (1, b"coordjournal: io: No space left on device\n")


def test_an_interruption_is_quiet(repo, tmp_path):
    """While it reads from a pipe that nobody writes to."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [*PROGRAM, "-C", repo, "append", "garden", "alias-set", f"@{pipe}"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    writer = -1
    while writer < 0:
        assert process.poll() is None
        with suppress(OSError):  # until it has opened the pipe for reading
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    out = None
    while out is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):  # Python misses one that comes just before it reads: press it again
            out, err = process.communicate(timeout=10)
    os.close(writer)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_text_that_the_locale_cannot_show(repo, tmp_path):
    cj("alias", "set", "garden", "Gr\u00fcn \u1e9e", "x", cwd=repo)
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1"}
    done = program("-C", repo, "log", "garden", "-n", "1", env=env)
    assert done.returncode == 0
    assert b"Gr\xfcn \\u1e9e" in done.stdout
    done = program("-C", repo, "log", "garden", "-n", "1", "--json", env=env)
    assert b'"Gr\\u00fcn \\u1e9e"' in done.stdout


def test_content_is_byte_for_byte_in_a_pipe(repo):
    assert program("-C", repo, "overlay", "show", "garden", "o", "--body").stdout == b"\xff\n"
    assert program("-C", repo, "overlay", "show", "garden", "o").stdout.endswith(b"\n\n\xff\n")
