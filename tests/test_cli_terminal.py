"""On a terminal: colours, progress, and nothing raw from outside."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest
from cli_support import cj, environment
from support import run

from coordjournal import AliasSet, Journal, OverlayCreated
from coordjournal.cli.output import name, safe
from coordjournal.cli.progress import Progress
from coordjournal.text import FORBIDDEN

ESCAPE = "\x1b"
COLOUR = re.compile("\x1b\\[[0-9;]*m")
EVIL = "\x1b[31mred\x1b]0;title\x07\u202eevil\u2066\x9b"


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    path = tmp_path_factory.mktemp("terminal") / "wiki.git"
    run("git", "init", "--quiet", "--bare", path)
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        garden.append(AliasSet("Home", "a"), actor="alice", reason="two\nlines")
        garden.append(AliasSet("Home", "b"), actor="alice")
        garden.append(OverlayCreated("o", "a", None, f"first\t{EVIL}\n{EVIL}\xff\n".encode()), actor="alice")
        garden.append(OverlayCreated("binary", "a", None, b"\xff\x1b[31m"), actor="alice")
    return path


class Terminal:
    """A program with a terminal for all three streams."""

    def __init__(self, *words, **env):
        self.screen, far_end = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            env={**environment(), "TERM": "xterm", **env},
            stdin=far_end,
            stdout=far_end,
            stderr=far_end,
        )
        os.close(far_end)
        self.shown = b""

    def read(self):
        """Reads a piece of what is shown; whether there was more."""
        try:
            piece = os.read(self.screen, 4096)
        except OSError:  # how Linux says that the program has closed its end
            piece = b""
        self.shown += piece
        return piece != b""

    def finish(self):
        """The exit status, and all that was shown."""
        while self.read():
            pass
        os.close(self.screen)
        return self._process.wait(), self.shown.decode().replace("\r\n", "\n")


def on_a_terminal(*words, **env):
    return Terminal("-m", "coordjournal", *words, **env).finish()


def test_colours_on_a_terminal_only(repo):
    status, shown = on_a_terminal("-C", repo, "log", "garden")
    assert status == 0
    assert f"{ESCAPE}[33m0{ESCAPE}[0m  {ESCAPE}[2m" in shown
    assert COLOUR.sub("", shown) == cj("-C", repo, "log", "garden").out
    assert ESCAPE not in cj("-C", repo, "log", "garden").out


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_where_they_are_not_wanted(repo, env):
    status, shown = on_a_terminal("-C", repo, "log", "garden", **env)
    assert (status, shown) == (0, cj("-C", repo, "log", "garden").out)


def test_an_empty_no_color_says_nothing(repo):
    assert COLOUR.search(on_a_terminal("-C", repo, "log", "garden", NO_COLOR="")[1])


@pytest.mark.parametrize(
    "words",
    [
        ["log", "garden", "--json"],
        ["overlay", "show", "garden", "o", "--json"],
        ["resolve", "garden", "Nobody", "--json"],
    ],
    ids=lambda words: " ".join(words),
)
def test_json_on_a_terminal_is_plain_and_ascii(repo, words):
    _, shown = on_a_terminal("-C", repo, *words)
    assert ESCAPE not in shown
    assert shown.isascii()
    assert shown == cj("-C", repo, *words, status=None).out


def unsafe(shown):
    """The characters that could steer a terminal, but for line ends and the colours that are ours."""
    return (set(COLOUR.sub("", shown)) & FORBIDDEN) - {"\n"}


@pytest.mark.parametrize("options", [[], ["--body"]])
def test_an_attachment_never_reaches_a_terminal_raw(repo, options):
    status, shown = on_a_terminal("-C", repo, "overlay", "show", "garden", "o", *options)
    assert status == 0
    assert not unsafe(shown)
    assert "first   \\u{1b}[31mred\\u{1b}]0;title\\u{7}\\u{202e}evil\\u{2066}\\u{9b}\n" in shown
    assert on_a_terminal("-C", repo, "overlay", "show", "garden", "binary", "--body") == (0, "\\xff\\u{1b}[31m\n")
    status, shown = on_a_terminal("-C", repo, "show", "garden@2", "--body")
    assert (status, unsafe(shown)) == (0, set())


def test_arguments_that_are_evil_come_back_harmless(repo, tmp_path):
    for words, status in (
        (["resolve", "garden", EVIL], 1),
        (["why", "garden", EVIL], 1),
        (["group", "garden", EVIL], 0),
        (["resolve", EVIL, "x"], 2),
        (["show", "garden", EVIL], 1),
        (["show", f"{EVIL}@1"], 2),
        (["state", "garden", "--at", EVIL], 1),
        (["append", "garden", EVIL, "{}"], 1),
        (["append", "garden", "alias-set", f'{{"{EVIL}": 1}}'], 2),
        (["append", "garden", "alias-set", f"@{EVIL}"], 2),
        (["alias", "set", "garden", EVIL, EVIL], 1),
        (["alias", "set", "garden", "a", "b", "--actor", EVIL], 2),
        (["alias", "set", "garden", "a", "b", "-m", EVIL], 1),
        (["overlay", "show", "garden", EVIL], 1),
        (["check", EVIL], 1),
        (["verify", EVIL], 1),
        (["schema", "show", EVIL], 1),
        (["clone", EVIL, tmp_path / "c"], 4),
        (["clone", repo, tmp_path / "d", "--space", EVIL], 2),
        (["import", "garden", EVIL], 2),
        (["init", tmp_path / EVIL, "--object-format", EVIL], 2),
        (["lease", "acquire", "garden", "--holder", EVIL], 2),
        (["lease", "status", EVIL], 2),
        (["where", "garden", EVIL], 1),
        (["inbox", "show", "garden", EVIL], 1),
        (["inbox", EVIL], 2),
        (["outbox", "show", EVIL], 1),
        ([f"x{EVIL}"], 2),
        ([f"--{EVIL}"], 2),
        (["log", "garden", "--since", EVIL], 2),
    ):
        result = cj("-C", repo, *words, status=None)
        assert result.status == status, (words, result)
        assert not unsafe(result.out + result.err), words
        result = cj("-C", repo, *words, "--json", status=None)
        assert not unsafe(result.out + result.err), words


def test_a_log_that_is_evil_prints_harmless(tmp_path):
    """Extension payloads and imports may hold any character; hooks or not, a reader must not be steered."""
    repo = tmp_path / "wiki.git"
    run("git", "init", "--quiet", "--bare", repo)
    cj("-C", repo, "schema", "declare", "x-a-b", "-", stdin=b"{}")
    cj("-C", repo, "append", "garden", "x-a-b", '{"a": "\\u001b[31m\\u202e\\u009b"}')
    for words in (["log", "garden"], ["show", "garden@0"], ["state", "garden"], ["spaces"], ["why", "garden", "x"]):
        result = cj("-C", repo, *words, status=None)
        assert not unsafe(result.out + result.err), words
    assert "\\u001b[31m\\u{202e}\\u{9b}" in cj("-C", repo, "log", "garden").out  # JSON has escaped the first
    bad = b'{"actor": "\\u001b[31m"}\n'
    assert not unsafe(cj("-C", repo, "import", "garden", "-", stdin=bad, status=1).err)


def test_an_error_on_a_terminal_is_red_and_one_in_a_pipe_is_not(repo):
    status, shown = on_a_terminal("-C", repo, "resolve", "garden", "Nobody")
    assert (status, shown) == (1, f"{ESCAPE}[31mcoordjournal:{ESCAPE}[0m nothing: 'Nobody' means nothing in garden@3\n")
    assert ESCAPE not in cj("-C", repo, "resolve", "garden", "Nobody", status=1).err


def test_names_are_shown_so_that_it_is_clear_where_they_end():
    assert (name("a"), name("a b"), name('a"b'), name("a\\b"), name("")) == ("a", '"a b"', '"a\\"b"', '"a\\\\b"', '""')
    assert safe("a\nb\udc80") == "a\\u{a}b\\u{dc80}"


# -- progress ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def work(tmp_path):
    """Makes a program that works until it is given a line."""

    def make(patience):
        script = tmp_path / "work.py"
        script.write_text(
            "import sys\n"
            "from coordjournal.cli import progress\n"
            f"progress._PATIENCE, progress._PERIOD = {patience}, 0.01\n"
            "with progress.Progress('counting \\x1b[31m') as told:\n"
            "    told.at(1234)\n"
            "    sys.stdin.readline()\n"
            "print('done')\n"
        )
        return script

    return make


def test_long_work_is_told_on_a_terminal_and_wiped_away(work):
    terminal = Terminal(work(0.01))
    while b"1,234" not in terminal.shown:
        assert terminal.read()
    os.write(terminal.screen, b"\n")
    status, shown = terminal.finish()
    assert status == 0
    assert "\r\x1b[Kcounting \\u{1b}[31m ... 1,234 (0 s)" in shown
    assert shown.endswith("\r\x1b[Kdone\n")


@pytest.mark.parametrize(("patience", "env"), [(100, {}), (0, {"TERM": "dumb"})])
def test_no_word_about_short_work_or_on_a_dumb_terminal(work, patience, env):
    terminal = Terminal(work(patience), **env)
    os.write(terminal.screen, b"\n")
    assert terminal.finish() == (0, "\ndone\n")  # the first line end is the echo of what was typed


def test_no_progress_without_a_terminal(work):
    done = run(sys.executable, work(0), env=environment(), stdin=b"\n")
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_progress_may_change_its_label():
    with Progress("one") as progress:
        progress.at(3, "two \x1b")
        assert (progress._label, progress._count) == ("two \\u{1b}", 3)
