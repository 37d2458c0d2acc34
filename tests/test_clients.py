"""Clients that did not come from here: git by hand, dulwich, libgit2, isomorphic-git and JGit, over smart HTTP.

Each program of the folder ``clients`` builds decision commits by docs/format.md and its own library alone, pushes them,
and reads what others have appended; ``clients/decisions.py`` says how it is asked. The story is the same for all.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_support import cj
from pushing import Pushed, space_ref
from servers import http_server
from support import git, require, run

from coordjournal import AliasSet, Journal, OverlayCreated

HERE = Path(__file__).parent / "clients"
JARS = Path("/usr/share/java")  # where Debian puts them
JGIT = ("org.eclipse.jgit", "slf4j-api", "slf4j-nop", "jsch")
JGIT_PROGRAM = (*JGIT, "org.eclipse.jgit.pgm", "org.eclipse.jgit.lfs", "org.eclipse.jgit.archive")
JGIT_PROGRAM += ("org.eclipse.jgit.http.apache", "org.eclipse.jgit.ui", "args4j", "httpclient", "httpcore")
JGIT_PROGRAM += ("commons-logging", "commons-compress", "javaewah")

ACTOR = "Ærø Grün"
SPACE = "Größe/1"
REF = space_ref(SPACE)

Bare = Callable[..., Path]


def with_git() -> list[str]:
    require(shutil.which("sha256sum") and shutil.which("od"), "coreutils")
    return ["sh", str(HERE / "with_git.sh")]


def with_dulwich() -> list[str]:
    return [sys.executable, str(HERE / "with_dulwich.py")]


def with_pygit2() -> list[str]:
    require(importlib.util.find_spec("pygit2"), "pygit2")
    return [sys.executable, str(HERE / "with_pygit2.py")]


def with_isomorphic_git() -> list[str]:
    require(shutil.which("node") and shutil.which("npm"), "node and npm")
    with open(HERE / "package.json") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be installing it just now
        if not (HERE / "node_modules" / "isomorphic-git").exists():
            done = run("npm", "ci", "--no-audit", "--no-fund", "--prefix", HERE, check=False)
            require(done.returncode == 0, f"what npm could not install: {done.stderr}")
    return ["node", str(HERE / "with_isomorphic_git.mjs")]


def with_jgit() -> list[str]:
    return [*java(*JGIT), str(HERE / "WithJGit.java")]


def java(*jars: str) -> list[str]:
    """How Java is started with these of Debian's jars."""
    require(shutil.which("java") and all((JARS / f"{jar}.jar").exists() for jar in jars), "Java and JGit")
    # The quick compiler, one thread for garbage: these programs run for a second.
    options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    return ["java", *options, "-cp", os.pathsep.join(f"{JARS / jar}.jar" for jar in jars)]


CLIENTS = {
    "git": with_git,
    "dulwich": with_dulwich,
    "pygit2": with_pygit2,
    "isomorphic-git": with_isomorphic_git,
    "jgit": with_jgit,
}


@dataclass(frozen=True)
class Answer:
    """What a client said to a request, and whether it did it."""

    done: bool
    said: str

    @property
    def pushed(self) -> Pushed:
        """It as the answer to a push."""
        lines = (re.sub("^remote: ?", "", line).rstrip() + "\n" for line in self.said.split("\n"))
        return Pushed(int(not self.done), "".join(lines), self.said.encode())


class Client:
    """A running program; ``name`` is what it calls itself as a committer."""

    def __init__(self, name: str, words: list[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
        )

    def ask(self, *words: str | Path) -> Answer:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\t".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        said = []
        for line in self._process.stdout:
            if line in ("= done\n", "= failed\n"):
                return Answer(line == "= done\n", "".join(said).rstrip("\n"))
            said.append(line)
        pytest.fail("the client died: " + "".join(said))

    def do(self, *words: str | Path) -> str:
        """As :meth:`ask`; the test fails unless it was done."""
        answer = self.ask(*words)
        assert answer.done, answer.said
        return answer.said

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def started() -> Iterator[Callable[[str], Client]]:
    """The client of a name: one process for all tests, for some take a second to start."""
    running: dict[str, Client] = {}

    def start(name: str) -> Client:
        if name not in running:
            running[name] = Client(name, CLIENTS[name]())
        return running[name]

    yield start
    for client in running.values():
        client.close()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, started: Callable[[str], Client]) -> Client:
    return started(request.param)


@dataclass(frozen=True)
class Server:
    """A repository with both hooks, where a client finds it, and room for clones."""

    path: Path
    url: str
    room: Path

    def log(self, space: str = SPACE) -> list[list[str]]:
        """The log as ``read`` tells it, by the library."""
        with Journal.open(self.path) as journal:
            rows = []
            for landed in journal.space(space).log():
                raw = git(self.path, "cat-file", "commit", landed.commit).split("\n\n")
                place = [str(landed.seq), landed.commit, landed.decision.actor, landed.appender]
                body = "-"
                if "body" in landed.decision.payload:
                    body = hashlib.sha256(journal.space(space).body(landed)).hexdigest()
                rows.append([*place, raw[1], raw[2].rstrip("\n"), body])
            return rows

    def refs(self) -> str:
        return git(self.path, "for-each-ref", "--format=%(refname) %(objectname)")


@pytest.fixture
def server(bare: Bare, tmp_path: Path) -> Iterator[Server]:
    path = bare()
    with http_server(tmp_path) as running:
        yield Server(path, f"{running.url}/{path.name}", tmp_path)


def read(client: Client, place: Path, space: str = SPACE) -> list[list[str]]:
    return [line.split("\t") for line in client.do("read", place, space).split("\n")]


def test_it_reads_what_others_appended_and_appends(client: Client, server: Server) -> None:
    with Journal.open(server.path, appender="Büro") as journal:
        journal.space(SPACE).append(AliasSet('Zoë "Z" \\ x', "shardÄ:Straße"), actor="Zoë Ünal", reason="Grund\n2")
        journal.space(SPACE).append(OverlayCreated("o 1", "s:P", None, "Übung\n" * 1000), actor="Zoë Ünal")
    place, text = server.room / "c", server.room / "text"
    text.write_text("Längerer Text.\n" * 100)
    client.do("fetch", place, server.url)
    assert read(client, place) == server.log()

    payload = ("alias-set", "Höhe 2", "s:Straße")
    for seq, words in enumerate([payload, ("overlay-created", "ö-2", "s:Weg 3", text)], 2):
        commit = client.do("build", place, SPACE, "stamped", ACTOR, *map(str, words))
        client.do("push", place, server.url, commit, REF)
        client.do("fetch", place, server.url)
        assert server.log()[-1][:4] == [str(seq), commit, ACTOR, client.name]
    assert read(client, place) == server.log()
    with Journal.open(server.path) as journal:
        state = journal.space(SPACE).state()
        assert state.resolve("Höhe 2") == "s:Straße"
        assert state.overlay("ö-2").body.sha256 == hashlib.sha256(text.read_bytes()).hexdigest()
    assert cj("verify", server.path, "--json").json["lawful"]


def test_it_begins_a_log(client: Client, server: Server) -> None:
    place = server.room / "c"
    client.do("fetch", place, server.url)
    commit = client.do("build", place, SPACE, "stamped", ACTOR, "alias-set", "Home", "s:P")
    client.do("push", place, server.url, commit, REF)
    assert [row[:2] for row in server.log()] == [["0", commit]]


@pytest.mark.parametrize("code", ["seq", "subject", "attachment"])
def test_a_wrong_commit_is_refused_in_readable_words(client: Client, server: Server, code: str) -> None:
    with Journal.open(server.path) as journal:
        journal.space(SPACE).append(AliasSet("Home", "s:P"), actor="Zoë")
    before = server.refs()
    place, text = server.room / "c", server.room / "text"
    text.write_text("text")
    client.do("fetch", place, server.url)
    commit = client.do("build", place, SPACE, code, ACTOR, "overlay-created", "o1", "s:Straße", text)
    answer = client.ask("push", place, server.url, commit, REF)
    assert not answer.done
    [told] = answer.pushed.told
    assert (told.ref, told.commit, told.seq, told.code) == (REF, commit, 1, code)
    assert told.what
    page = "s:Stra??e" if client.name == "dulwich" else "s:Straße"  # dulwich shows ASCII alone
    assert told.remedy == f"it is: overlay-created: o1 on {page} (4 bytes)" or (told.remedy and code != "subject")
    assert answer.pushed.incident in (server.path / "coordjournal" / "refusals.jsonl").read_text()
    assert server.refs() == before


def test_two_that_append_at_once(client: Client, server: Server) -> None:
    first, second = server.room / "first", server.room / "second"
    for place in (first, second):
        client.do("fetch", place, server.url)
    commits = [
        client.do("build", place, SPACE, "stamped", ACTOR, "alias-set", place.name, "s:P") for place in (first, second)
    ]
    client.do("push", first, server.url, commits[0], REF)
    late = client.ask("push", second, server.url, commits[1], REF)
    assert not late.done
    assert re.search("fast.?forward|fetch first|not present locally", late.said, re.IGNORECASE), late.said
    forced = client.ask("push", second, server.url, commits[1], REF, "force")
    assert not forced.done
    assert [told.code for told in forced.pushed.told] == ["not-fast-forward"]
    assert [row[1] for row in server.log()] == commits[:1]

    client.do("fetch", second, server.url)
    anew = client.do("build", second, SPACE, "stamped", ACTOR, "alias-set", "second", "s:P")
    client.do("push", second, server.url, anew, REF)
    assert [row[1] for row in server.log()] == [commits[0], anew]


def test_all_of_them_at_once(server: Server, started: Callable[[str], Client]) -> None:
    """Each goes on until its decision has a place, and so does the library; all are in the log, once."""

    def append(client: Client) -> None:
        place = server.room / client.name
        for _ in range(30):
            client.do("fetch", place, server.url)
            commit = client.do("build", place, SPACE, "stamped", ACTOR, "alias-set", client.name, "s:P")
            if client.ask("push", place, server.url, commit, REF).done:
                return
        pytest.fail(f"{client.name} lost thirty times")

    clients = [started(name) for name in CLIENTS]
    with Journal.clone(server.url, server.room / "clone") as journal, ThreadPoolExecutor() as pool:
        done = [pool.submit(append, client) for client in clients]
        journal.space(SPACE).append(AliasSet("coordjournal", "s:P"), actor=ACTOR)
        for future in done:
            future.result()
    with Journal.open(server.path) as journal:
        state = journal.space(SPACE).state()
        assert (state.seq, set(state.aliases)) == (len(CLIENTS), {"coordjournal", *CLIENTS})
    assert cj("verify", server.path, "--json").json["lawful"]


# A client that asks for report-status-v2 learns which ref has moved; the others only that theirs was taken.
REPORTED = {
    "git": rf"-> {REF}",
    "dulwich": r"reported: \{'refs/append/\S+': None\}",
    "pygit2": r"reported: refs/append/\S+ None",
    "isomorphic-git": r'reported: \{"refs/append/\S+":\{"ok":true,"error":""\}\}',
    "jgit": r"reported: refs/append/\S+ OK null",
}


def test_an_intent_is_given_its_place_by_the_server(client: Client, server: Server) -> None:
    with Journal.open(server.path) as journal:
        journal.space(SPACE).append(AliasSet("Home", "s:P"), actor="Zoë")
    place, text = server.room / "c", server.room / "text"
    text.write_text("text")
    append = REF.replace("spaces", "append")
    client.do("fetch", place, server.url)
    intent = client.do("build", place, SPACE, "intent", ACTOR, "overlay-created", "o1", "s:P", text)
    for words in ("landed as", "landed before as"):
        said = client.do("push", place, server.url, intent, append)
        found = re.search(rf"\S+ [0-9a-f-]{{36}} {words} ([0-9a-f]{{40}})", said)
        assert found, said
        assert found[1] == server.log()[-1][1]
        assert re.search(REPORTED[client.name], said), said
    assert [row[2:4] for row in server.log()][1:] == [[ACTOR, "somebody"]]  # the server's name for who pushed
    assert "refs/append" not in server.refs()
    kept = git(place, "for-each-ref", "refs/remotes/origin/refs")
    assert bool(kept) == (client.name == "isomorphic-git")
    client.do("fetch", place, server.url)
    assert read(client, place) == server.log()

    elsewhere = client.ask("push", place, server.url, intent, "refs/append/orchard")
    assert not elsewhere.done
    [told] = elsewhere.pushed.told
    assert (told.ref, told.commit, told.seq, told.code) == ("refs/append/orchard", intent, None, "wrong-space")


def test_isomorphic_git_fetches_only_where_there_is_a_head(
    server: Server, started: Callable[[str], Client], tmp_path: Path
) -> None:
    """A repository of logs alone has no branch that HEAD could name; ``withHead`` in the client helps it."""
    client = started("isomorphic-git")
    with Journal.open(server.path) as journal:
        landed = journal.space(SPACE).append(AliasSet("Home", "s:P"), actor="Zoë")
    assert "Could not find HEAD" in client.ask("fetch", server.room / "c", server.url, "plainly").said
    git(server.path, "update-ref", "refs/heads/main", landed.commit)
    client.do("fetch", server.room / "d", server.url, "plainly")
    assert read(client, server.room / "d") == server.log()


def test_libgit2_writes_no_empty_email() -> None:
    with_pygit2()
    import pygit2

    with pytest.raises(ValueError, match="empty name or email"):
        pygit2.Signature("alice", "", 0, 0)


def test_the_commands_of_the_format_build_the_commit_that_it_shows(tmp_path: Path) -> None:
    text = (HERE.parents[1] / "docs" / "format.md").read_text("utf-8")
    [commands] = re.findall(r"```sh\n(.*?git commit-tree.*?)```", text, re.DOTALL)
    [shown] = re.findall(r"first decision of the vectors, whose object name is `(.{40})`", text)
    run("git", "init", "--quiet", "--bare", tmp_path)
    assert run("sh", "-ec", commands, cwd=tmp_path).stdout.strip() == shown


def test_the_command_line_of_jgit_pushes_what_git_built(server: Server) -> None:
    """It cannot build a decision commit: ``jgit commit`` takes no time for the author and no tree but the index's."""
    words = [*java(*JGIT_PROGRAM), "org.eclipse.jgit.pgm.Main"]
    hand = Client("git", with_git())
    place = server.room / "c"
    hand.do("fetch", place, server.url)
    commits = [hand.do("build", place, SPACE, how, ACTOR, "alias-set", "Home", "s:P") for how in ("seq", "stamped")]
    hand.close()
    refused = run(*words, "--git-dir", place, "push", "origin", f"{commits[0]}:{REF}")
    assert re.search(rf"remote rejected\S* {commits[0]}", refused.stdout)
    assert re.search(r"seq at trailer Seq: the commit has Seq 1, due is Seq 0", refused.stderr)
    run(*words, "--git-dir", place, "push", "origin", f"{commits[1]}:{REF}")
    run(*words, "--git-dir", place, "fetch", "origin")
    assert [row[1] for row in server.log()] == commits[1:]
    told = run(*words, "--git-dir", place, "log", REF.replace("refs/spaces", "refs/remotes/origin/spaces")).stdout
    assert server.log()[0][5] in told
