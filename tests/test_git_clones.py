"""Clones that plain git made, with less in them than ``coordjournal clone`` fetches: shallow, partial, of a single
branch, mirrors. Every command works there as in a whole clone, or says which command brings what is missing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_support import Result, cj
from support import git, run

from coordjournal import (
    AliasSet,
    BindingMade,
    ForkMade,
    Journal,
    MergeDecided,
    OverlayCreated,
    OverlayRevised,
    Refused,
    install,
)

Make = Callable[..., Path]

LOGS = "+refs/spaces/*:refs/coordjournal/origin/*"
WHOLE = {  # what the logs need is whole after a sync
    "depth": "clone --depth=1 URL c",
    "blobless": "clone --filter=blob:none URL c",
    "treeless": "clone --filter=tree:0 URL c",
    "single branch": "clone --single-branch --no-tags URL c",
}
CUT = {  # the logs themselves are cut off, or lack their attachments
    "shallow": (f"clone URL c; -C c fetch --depth=2 origin {LOGS}", {"shallow"}),
    "blobless logs": (f"clone --filter=blob:none -c remote.origin.fetch={LOGS} URL c", {"partial"}),
    "treeless logs": (f"clone --filter=tree:0 -c remote.origin.fetch={LOGS} URL c", {"partial"}),
    "both": (f"clone --filter=blob:none URL c; -C c fetch --depth=2 origin {LOGS}", {"shallow", "partial"}),
}
LACKS = r"this is a (shallow|partial|shallow and partial) clone, and what it lacks comes with `(.*?)`"
MIRRORS = {
    "mirror": "clone --mirror URL c",
    "shallow mirror": "clone --mirror --depth=2 --no-single-branch URL c",
    "blobless mirror": "clone --mirror --filter=blob:none URL c",
    "treeless mirror": "clone --mirror --filter=tree:0 URL c",
}
READING = """
spaces --json
log garden --json
log garden -n 1 --json
show garden 3 --json
show garden@0
state garden --json
state garden --at 2 --json
state garden --without 0
resolve garden a0
group garden s:P
canonical garden s:P
lineage garden s:F
why garden a0
diff garden 0 5
lint garden
export garden
where garden ID
inbox garden
overlay list garden
overlay show garden o1
lease status garden
verify . --json
verify . garden
check TIP
check FIRST
schema list
""".strip().splitlines()
WRITING = """
append garden alias-set {"alias":"A","target":"s:A"}
alias set garden B s:B --expect LAST
alias clear garden a0
bind garden s:A s:B
merge garden s:C --into s:A
fork garden s:G s:A
overlay create garden o2 s:A --text text
overlay revise garden o1 --text text
overlay close garden o1 --discarded
revoke garden 1
undo garden --anyone
lease acquire garden --ttl 200
lease release garden
sync
outbox
""".strip().splitlines()


@pytest.fixture(scope="module")
def filled(_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server with a log of all sorts of decisions, and a branch beside it, of which plain git makes clones."""
    path = tmp_path_factory.mktemp("filled") / "wiki.git"
    shutil.copytree(_template, path, symlinks=True)
    for key, value in {"coordjournal.strict": "false", "uploadpack.allowFilter": "true"}.items():
        git(path, "config", key, value)
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        decisions = [AliasSet("a0", "s:P"), AliasSet("a1", "s:P"), BindingMade(["s:P", "s:Q"])]
        decisions += [OverlayCreated("o1", "s:P", None, "one\n"), OverlayRevised("o1", "r2", "two\n")]
        decisions += [MergeDecided(["s:R"], "s:P"), ForkMade("s:P", "s:F"), AliasSet("a0", "s:F")]
        garden.append_many([garden.intent(decision, actor="Zoë") for decision in decisions])
    work = path.parent / "work"
    run("git", "clone", "--quiet", path, work)
    for number in range(3):
        (work / "page").write_text(str(number))
        git(work, "add", "page")
        git(work, "commit", "--quiet", "--message=a page")
    git(work, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    git(path, "symbolic-ref", "HEAD", "refs/heads/main")
    return path


@pytest.fixture(scope="module")
def answers(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What a whole clone answers to the reading commands."""
    place = tmp_path_factory.mktemp("whole") / "c"
    Journal.clone(str(filled), place).close()
    return {command: ask(command, place) for command in READING}


@pytest.fixture
def server(filled: Path, tmp_path: Path) -> Path:
    shutil.copytree(filled, tmp_path / "wiki.git", symlinks=True)
    return tmp_path / "wiki.git"


def made(commands: str, server: Path) -> Path:
    """Makes the clone ``c`` beside its server."""
    for command in commands.replace("URL", server.as_uri()).split("; "):
        run("git", *command.split(" "), cwd=server.parent)
    return server.parent / "c"


def ask(command: str, place: Path) -> Result:
    """Asks; a command that is not understood fails the test."""
    words = command.split(" ")
    if any(word.isupper() and len(word) > 1 for word in words):
        logs = git(place, "for-each-ref", "--format=%(objectname)", "refs/spaces", "refs/coordjournal/origin")
        url = git(place, "config", "remote.origin.url").removeprefix("file://")
        first = git(url, "rev-list", "--max-parents=0", "refs/spaces/garden")
        named = {"TIP": logs, "FIRST": first, "ID": re.findall('"id":"(.*?)"', git(url, "log", "-1", first))[0]}
        named["LAST"] = git(place, "log", "-1", "--format=%(trailers:key=Seq,valueonly)", logs).strip()
        words = [named.get(word, word) for word in words]
    result = cj("-C", place, *(str(place) if word == "." else word for word in words), status=None)
    assert result.status in (0, 1), (command, result.err)
    return result


def asked(commands: list[str], place: Path) -> Iterator[tuple[str, Result]]:
    for command in commands:
        yield command, ask(command, place)


def same(command: str, found: Result, expected: Result) -> bool:
    """Whether two answers are the same, but for where the logs are kept."""
    def plain(text: str) -> str:
        return re.sub(r"refs/(coordjournal/origin|spaces)/", "", text)

    return (found.status, plain(found.out)) == (expected.status, plain(expected.out))


@pytest.mark.parametrize("kind", WHOLE)
def test_what_git_left_out_of_its_own_branches_a_sync_fetches_for_the_logs(
    kind: str, server: Path, answers: dict[str, Result]
) -> None:
    place = made(WHOLE[kind], server)
    assert "8 new" in cj("-C", place, "sync").out
    for command, found in asked(READING, place):
        assert same(command, found, answers[command]), (command, found)
    for command, found in asked(WRITING, place):
        assert (found.status, found.err) == (0, ""), (command, found)
    assert cj("verify", server, "--json").json["spaces"][0]["decisions"] == 8 + 13
    with Journal.open(place) as journal:
        assert journal.space("garden").state().json() == Journal.open(server).space("garden").state().json()
    assert ("depth" in kind) == (place / ".git" / "shallow").exists()  # it is what it was


@pytest.mark.parametrize("kind", CUT)
def test_a_log_that_is_not_whole_is_not_taken_for_one(kind: str, server: Path, answers: dict[str, Result]) -> None:
    commands, lacks = CUT[kind]
    place = made(commands, server)
    told = {}
    for command, found in asked([*READING, *WRITING], place):
        said = re.search(LACKS, found.out + found.err)
        if said:
            assert found.status == 1, command
            assert set(said[1].split(" and ")) == lacks
            told[command] = said[2]
        else:
            assert found.status == 0 or command in WRITING, (command, found)
            assert "fsck" not in found.err, (command, found)
            assert "rewound" not in found.err, (command, found)
            if command in READING:
                assert same(command, found, answers[command]), (command, found)
    [remedy] = set(told.values())
    written = cj("verify", server, "--json").json["spaces"][0]["decisions"] - 8
    run("sh", "-c", remedy, cwd=server.parent)
    assert cj("verify", place, "--json").json["spaces"][0]["decisions"] == 8 + written
    for command, found in asked([*(told if not written else ()), "sync", "alias set garden N s:N"], place):
        assert (found.status, found.err) == (0, ""), (command, found)
        assert command not in answers or same(command, found, answers[command]), (command, found)


@pytest.mark.parametrize("kind", MIRRORS)
def test_a_mirror_is_read_and_never_appended_to(kind: str, server: Path, answers: dict[str, Result]) -> None:
    place = made(MIRRORS[kind], server)
    refs = git(place, "for-each-ref")
    url = server.as_uri()
    told = {}
    for command, found in asked(READING, place):
        said = re.search(LACKS, found.out + found.err)
        assert said or same(command, found, answers[command]), (command, found)
        if said:
            told[command] = said[2]
    assert bool(told) == (kind != "mirror")
    for remedy in set(told.values()):
        run("sh", "-c", remedy)
    for command, found in asked(list(told), place):
        assert same(command, found, answers[command]), (command, found)
    with Journal.open(server) as journal:
        journal.space("garden").append(AliasSet("later", "s:P"), actor="alice")
    (server.parent / "garden.jsonl").write_text(cj("-C", server, "export", "garden").out)
    for command, found in asked([*WRITING[:-3], f"import garden {server.parent}/garden.jsonl"], place):
        assert found.status == 1, (command, found)
        assert "read-only" in found.err, (command, found)
        assert f"`coordjournal clone {url} DIR`" in found.err, (command, found)
    (server.parent / "schema.json").write_text("{}")
    told = cj("-C", place, "schema", "declare", "x-acme-tag", server.parent / "schema.json", status=1)
    assert f"this is a mirror of {url}, and schemas are declared on the server" in told.err
    with Journal.open(place) as journal, pytest.raises(Refused) as refused:
        journal.space("garden").append(AliasSet("x", "s:X"), actor="alice")
    assert refused.value.code == "read-only"
    assert "git remote update" in cj("-C", place, "sync").out
    assert git(place, "for-each-ref") == refs
    git(place, "remote", "update")
    with Journal.open(place) as journal:
        assert journal.space("garden").state().resolve("later") == "s:P"


def test_a_shallow_mirror_is_no_place_to_clone_from(server: Path, tmp_path: Path) -> None:
    place = made(MIRRORS["shallow mirror"], server)
    told = cj("clone", place.as_uri(), tmp_path / "d", status=1)
    assert told.err.startswith("coordjournal: git-failed: ")
    assert "`git fetch --unshallow`" in told.err
    assert not (tmp_path / "d").exists()
    git(place, "fetch", "--unshallow")
    cj("clone", place.as_uri(), tmp_path / "d")


def test_a_mirror_that_got_hooks_is_a_server(server: Path, prefix: str) -> None:
    place = made(MIRRORS["mirror"], server)
    install.install(str(place), prefix=prefix)
    with Journal.open(place) as journal:
        assert journal.space("garden").append(AliasSet("x", "s:X"), actor="alice").seq == 8


def test_a_bare_clone_is_a_repository_of_its_own_without_the_logs(server: Path) -> None:
    place = made("clone --bare URL c", server)
    assert "no space has a log here yet" in cj("-C", place, "spaces").out
    with Journal.open(place) as journal:
        assert journal.space("garden").append(AliasSet("x", "s:X"), actor="alice").seq == 0
