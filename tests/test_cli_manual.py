"""Help and the manual: everything there is is told, and nothing else."""

from __future__ import annotations

import re
import shutil

import click
import pytest
from cli_support import ROOT, cj
from support import require, run

import coordjournal
from coordjournal.cli.app import COMMANDS, root

MAN = ROOT / "docs" / "man"


def walk(command, words=()):
    """All commands below one, each with its words."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, (*words, name))
    else:
        yield words, command


LEAVES = dict(walk(root))
GROUPS = sorted({words[:-1] for words in LEAVES if len(words) > 1})


def options(command):
    return [option for option in command.params if isinstance(option, click.Option)]


def plain(roff):
    """The text of a manual page without its marks."""
    roff = re.sub(r"\\f[A-Z]", "", roff).replace("\\-", "-").replace("\\&", "").replace('"', "")
    return re.sub(r"[ \n]+", " ", re.sub(r"(?m)^\.[A-Za-z]+ ?", "", roff))


@pytest.fixture(scope="module")
def page():
    return (MAN / "coordjournal.1").read_text("utf-8")


def test_all_commands_of_the_design_are_there():
    assert {" ".join(words) for words in LEAVES} == {
        *("init", "install", "upgrade", "uninstall", "doctor", "verify", "check", "rescue"),
        *("schema declare", "schema list", "schema show"),
        *("append", "alias set", "alias clear", "bind", "merge", "fork", "revoke", "undo", "import"),
        *("overlay create", "overlay revise", "overlay close", "overlay list", "overlay show"),
        *("lease acquire", "lease renew", "lease release", "lease status", "lease serve"),
        *("outbox list", "outbox show", "outbox retry", "outbox drop", "inbox list", "inbox show", "where"),
        *("clone", "sync", "spaces", "log", "show", "state", "resolve", "group", "canonical", "lineage"),
        *("why", "diff", "lint", "export", "completion"),
    }


READING = {*COMMANDS["Read"], "verify", "check", "doctor", "overlay list", "overlay show", "schema list", "schema show"}
WRITING = {
    *COMMANDS["Write"],
    *("alias set", "alias clear", "overlay create", "overlay revise", "overlay close", "schema declare"),
}


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_answers_in_json_and_every_writing_one_can_be_rehearsed(words):
    names = {name for option in options(LEAVES[words]) for name in option.opts}
    if " ".join(words) != "completion":
        assert "--json" in names
    if " ".join(words) in WRITING - READING:
        assert "--dry-run" in names
    if " ".join(words) in WRITING - READING - {"import", "schema declare"}:
        assert {"--actor", "--reason", "-m", "--expect", "--allow-void"} <= names


@pytest.mark.parametrize("words", [*LEAVES, *GROUPS, ()], ids=" ".join)
def test_help_of_every_command(words):
    out = cj(*words, "--help").out
    assert out.startswith(f"Usage: coordjournal {' '.join(words)}".rstrip())
    assert out == cj(*words, "-h").out
    assert max(map(len, out.splitlines())) <= 100
    if words in LEAVES:
        assert "\nExamples:\n  coordjournal" in out or "\nExamples:\n  eval" in out
        for option in options(LEAVES[words]):
            assert option.help, option.name


def test_the_overview_has_every_command_with_a_whole_sentence():
    out = cj("--help").out
    for section, names in COMMANDS.items():
        assert f"\n{section}:\n" in out
        for name in names:
            assert re.search(rf"(?m)^  {name} +[A-Z].*\.$", out), name
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.", "", out)


def test_examples_are_commands_that_exist():
    for command in LEAVES.values():
        for example in command.examples:
            for found in re.finditer(r"coordjournal (?:-C \S+ )?([a-z]+)(?: ([a-z]+))?", example):
                assert (found[1],) in LEAVES or (found[1], found[2]) in LEAVES, example


def test_the_version():
    assert cj("--version").out == f"coordjournal {coordjournal.__version__}\n"


def test_nothing_asked():
    result = cj(status=None)
    assert "Usage: coordjournal" in result.out + result.err


# -- the manual --------------------------------------------------------------------------------------------------------


def test_the_manual_has_every_command_and_option(page):
    sections = re.split(r"(?m)^\.S[SH] ", page)
    text = plain(page)
    for words, command in LEAVES.items():
        heading = f"coordjournal {' '.join(words)}"
        mine = [section for section in sections if plain(section).startswith(heading)]
        assert len(mine) == 1, heading
        for option in options(command):
            for name in (*option.opts, *option.secondary_opts):
                assert re.search(rf"(?<![-\w]){name}(?![-\w])", text), f"{heading} {name}"
                # What several commands share is told once, for all of them.
                shared = sum(option.name == other.name for one in LEAVES.values() for other in options(one)) > 1
                assert shared or name in plain(mine[0]), f"{heading} {name}"
    for name in (name for option in options(root) for name in (*option.opts, *option.secondary_opts)):
        assert name in text


def test_the_manual_has_nothing_that_is_not_there(page):
    text = plain(page)
    known = {"--help", *(name for option in options(root) for name in option.opts)}
    for command in LEAVES.values():
        known |= {name for option in options(command) for name in (*option.opts, *option.secondary_opts)}
    assert set(re.findall(r"(?<![-\w])--[a-z][-a-z]*", text)) <= known
    for found in re.finditer(r"(?m)^\.SS coordjournal ([a-z]+)(?: ([a-z]+))?", page):
        assert (found[1],) in LEAVES or (found[1], found[2]) in LEAVES, found[0]


def test_the_manual_tells_how_a_run_ends(page):
    for status in ("0", "1", "2", "3", "4", "130", "141"):
        assert f"\n.B {status}\n" in page


def test_the_manual_is_of_this_version(page):
    assert f'"coordjournal {coordjournal.__version__}"' in page.splitlines()[1]


def test_the_manual_renders_without_a_warning():
    require(shutil.which("groff"), "groff")
    done = run("groff", "-man", "-ww", "-Tutf8", "-P-c", MAN / "coordjournal.1")
    assert done.stderr == ""
    assert "durable, auditable decisions" in done.stdout


def test_git_coordjournal_has_a_manual_too(tmp_path):
    """`git coordjournal --help` is `man git-coordjournal`."""
    require(shutil.which("man"), "man")
    (tmp_path / "man1").mkdir()
    for page in MAN.iterdir():
        shutil.copy(page, tmp_path / "man1")
    done = run("man", "-M", tmp_path, "git-coordjournal", env={"MANPAGER": "cat", "MAN_KEEP_FORMATTING": ""})
    assert "COORDJOURNAL(1)" in done.stdout
    assert "durable, auditable decisions" in done.stdout
