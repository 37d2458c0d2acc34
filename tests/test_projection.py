"""The projection: on every question, as of every Seq, it is the index in memory; and nothing that happens to its file
makes an answer wrong or ends a program."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fold_logs import NAMES, OVERLAYS, PAGES, PLUGINS, SPACE, decision_id, log_of, logs, records, revoke
from hypothesis import given
from hypothesis import strategies as st
from support import git, run

import coordjournal
from coordjournal import AliasSet, Journal, projection, space
from coordjournal.commit import EMPTY_TREE, build
from coordjournal.errors import JournalRewound, UnlawfulLog, UnsupportedVersion
from coordjournal.index import Index
from coordjournal.projection import Projection
from coordjournal.state import CoordinationState
from coordjournal.store import GitStore

ROOT = str(Path(coordjournal.__file__).parent.parent)
TREE = EMPTY_TREE[40]


class Commits:
    """A store of nothing but the commits of one log, whose names are those of its records."""

    def __init__(self, log: list[dict[str, Any]]) -> None:
        from coordjournal import canonical

        self.log = [
            (oid, build(TREE, None, "alice", 0, who, at, "s", canonical.dumps(doc), seq, lease=lease))
            for seq, (oid, at, who, doc, lease) in enumerate(records(log))
        ]
        for place in range(1, len(self.log)):
            oid, raw = self.log[place]
            parent = f"parent {self.log[place - 1][0]}\n".encode()
            self.log[place] = oid, raw.replace(b"\nauthor", b"\n" + parent + b"author", 1)

    def object(self, name: str, kind: str) -> tuple[str, bytes] | None:
        return next(((oid, raw) for oid, raw in self.log if oid == name), None)

    def commits(self, tip: str) -> Iterator[tuple[str, bytes]]:
        place = [oid for oid, _ in self.log].index(tip)
        return reversed(self.log[: place + 1])

    def shown(self, tip: str) -> Iterator[bytes]:
        """As git prints them; ``test_gitread`` holds that to git."""
        for oid, raw in self.commits(tip):
            head, _, message = raw.partition(b"\n\n")
            yield oid.encode() + b"\n" + head + b"\n\n" + b"".join(b"    %b\n" % line for line in message.splitlines())


def pure(log: list[dict[str, Any]]) -> CoordinationState:
    index = Index(SPACE, PLUGINS)
    index.extend(records(log))
    return CoordinationState(index)


def projected(log: list[dict[str, Any]], built: int, extended: int, path: str | None = None) -> CoordinationState:
    """The state of a log, of which the first decisions were built into a projection, the next were added to it, and
    the rest are in memory."""
    store = Commits(log)
    base = Projection.build(path, SPACE, store, store.log[built - 1][0])
    assert len(base) == built
    more = Index(SPACE, PLUGINS, base)
    more.extend(records(log[built:extended], built))
    if extended > built:
        assert base.extend(more)
    index = Index(SPACE, PLUGINS, base)
    index.extend(records(log[extended:], extended))
    return CoordinationState(index)


def answers(state: CoordinationState) -> Any:
    """What a state answers to every question there is."""
    told: dict[str, Any] = {"json": state.json(), "errors": dict(state.extension_errors)}
    for name in (*NAMES, "never:named", "\udc80"):
        told[f"alias {name}"] = state.resolve(name), state.why_alias(name)
    for page in (*PAGES, "never:named"):
        told[f"page {page}"] = state.group(page), state.canonical(page), state.lineage(page)
        told[f"why {page}"] = state.why_group(page), state.why_canonical(page), state.why_lineage(page)
    for overlay_id in OVERLAYS:
        told[f"overlay {overlay_id}"] = state.overlay(overlay_id), state.why_overlay(overlay_id)
        told[f"body {overlay_id}"] = state.body_commit(overlay_id)
    for seq in range(state.seq + 1):
        told[f"seq {seq}"] = state.landed(seq), state.void_reason(seq), state.revoked_by(seq), state.is_effective(seq)
    for number in range(state.seq + 3):
        id = decision_id(number)
        told[f"id {number}"] = state.find_id(id), state.refusal_of(id)
    for prefix in ("0193", "0193000", "0193-", "01930001-0", "0000", "00000002", "00000003" + "c" * 32, "zzzz"):
        told[f"prefix {prefix}"] = state._starting_with(prefix)
    told["times"] = [state.as_of_time(1000 + second).seq for second in range(-1, state.seq + 2)]
    told["about"] = state.seq, state.commit, state.appended, state.space
    return told


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    """So that small logs have several blocks, and the first of them is cut where the log is not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "_BLOCK", 4)
        yield


@given(logs(), st.data())
def test_it_answers_what_the_index_in_memory_answers(log: list[dict[str, Any]], data: st.DataObject) -> None:
    if not log:
        return
    built = data.draw(st.integers(1, len(log)))
    extended = data.draw(st.integers(built, len(log)))
    one, other = projected(log, built, extended), pure(log)
    assert answers(one) == answers(other)
    for seq in range(-1, len(log)):
        assert answers(one.as_of(seq)) == answers(other.as_of(seq)), seq
    without = data.draw(st.sets(st.integers(0, len(log) - 1), max_size=3))
    assert answers(one.without(without)) == answers(other.without(without))
    at = data.draw(st.integers(-1, len(log) - 1))
    future = records(log[: len(log) // 2], at + 1)
    assert answers(one.as_of(at).after(future)) == answers(other.as_of(at).after(future))


@given(logs())
def test_a_file_holds_what_memory_holds(tmp_path_factory: pytest.TempPathFactory, log: list[dict[str, Any]]) -> None:
    if len(log) < 2:
        return
    path = str(tmp_path_factory.mktemp("fold") / "deep" / "garden.sqlite")
    told = answers(projected(log, len(log) // 2, len(log) - 1, path))
    assert told == answers(pure(log))
    found = Projection.open(path, SPACE, Commits(log))
    assert found is not None
    assert (len(found), found.tip) == (len(log) - 1, records(log)[len(log) - 2][0])
    assert answers(CoordinationState(Index(SPACE, PLUGINS, found))) == answers(pure(log[:-1]))
    found.close()
    assert Projection.open(path, "elsewhere", Commits(log)) is None


def test_ids_in_no_order_are_found_and_long_chains_need_no_recursion() -> None:
    shuffled = log_of(*[("x-acme-other", {})] * 40)
    shuffled = [shuffled[number * 17 % 40] for number in range(40)]
    state = projected([*shuffled, shuffled[3]], 41, 41)
    for seq, doc in enumerate(shuffled):
        landed = state.find_id(doc["id"])
        assert landed is not None and landed.seq == seq
    assert [(void.seq, void.reason) for void in state.void] == [(40, "repeated-id")]
    length = 3000
    chain = log_of(("alias-set", {"alias": "A", "target": "p"}), *(revoke(number) for number in range(length)))
    state = projected(chain, length // 2, length)
    assert state.resolve("A") == "p"  # an even number of revocations
    assert state.as_of(length - 1).resolve("A") is None


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda raw: raw.replace(b'"v":1', b'"v":2'), UnsupportedVersion),
        (lambda raw: raw.replace(b"Seq: 2", b"Seq: 7"), UnlawfulLog),
        (lambda raw: raw.replace(b"Seq: 2", b"Sequel"), UnlawfulLog),
        (lambda raw: raw.replace(b'"payload"', b'"pay"'), UnlawfulLog),
        (lambda raw: raw.replace(b'"alias":"A"', b'"alias":["A"]'), UnlawfulLog),
        (lambda raw: raw.replace(b'"id":"0193', b'"id":"x193'), UnlawfulLog),
        (lambda raw: raw.replace(b'"id":"0193', b'"id":"'), UnlawfulLog),
        (lambda raw: raw.replace(b"{", b"["), UnlawfulLog),
    ],
)
def test_what_is_no_log_is_said_to_be_none(damage: Any, error: type[Exception], tmp_path: Path) -> None:
    store = Commits(log_of(*[("alias-set", {"alias": "A", "target": "p"})] * 3))
    store.log[2] = store.log[2][0], damage(store.log[2][1])
    for path in (None, str(tmp_path / "garden.sqlite")):
        with pytest.raises(error):
            Projection.build(path, SPACE, store, store.log[2][0])
    assert os.listdir(tmp_path) in ([], ["garden.sqlite.lock"])


# -- the projection of a space ---------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with twelve decisions in two spaces each, whose projections are written four at a time."""
    monkeypatch.setattr(space, "_PROJECTED", 4)
    run("git", "init", "--quiet", "--bare", tmp_path / "server.git")
    with Journal.open(tmp_path / "server.git") as journal:
        for name in ("garden", "other"):
            room = journal.space(name)
            room.append_many([room.intent(AliasSet(f"ß{n}", f"{name}:{n}"), actor="alice") for n in range(12)])
    return tmp_path / "server.git"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits that were read by walking a log."""
    read: list[str] = []
    walk = GitStore.commits

    def counting(self: GitStore, *arguments: Any, **more: Any) -> Iterator[tuple[str, bytes]]:
        for oid, raw in walk(self, *arguments, **more):
            read.append(oid)
            yield oid, raw

    show = GitStore.shown

    def showing(self: GitStore, tip: str) -> Iterator[bytes]:
        for shown in show(self, tip):
            read.append(shown[:40].decode())
            yield shown

    monkeypatch.setattr(GitStore, "commits", counting)
    monkeypatch.setattr(GitStore, "shown", showing)
    return read


def file_of(path: Path, name: str = "garden") -> Path:
    return path / "coordjournal" / "fold" / f"{name}.sqlite"


def answer(path: Path, name: str = "garden") -> dict[str, Any]:
    with Journal.open(path) as journal:
        return journal.space(name).state().json()


def append(path: Path, count: int = 1) -> None:
    with Journal.open(path) as journal:
        for number in range(count):
            journal.space("garden").append(AliasSet("new", f"s:{number}"), actor="bob")


def test_what_was_read_once_is_not_read_again(path: Path, reads: list[str]) -> None:
    first = answer(path)
    assert len(reads) == 4 + 12  # the newest, to see whether the log is a short one; then all
    reads.clear()
    assert answer(path) == first
    assert reads == []
    append(path)
    assert reads == []  # an append needs the state too
    assert answer(path)["seq"] == 12
    assert len(reads) == 1  # fewer than a step are not worth a write
    append(path, 3)
    answer(path)
    reads.clear()
    assert answer(path)["seq"] == 15
    assert reads == []


def test_a_long_lived_process_reads_only_what_is_new(path: Path, reads: list[str]) -> None:
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        garden.state()
        reads.clear()
        for _ in range(5):
            garden.append(AliasSet("new", "s:P"), actor="alice")
        garden.state()
        assert reads == []
        with Journal.open(path) as other:
            other.space("garden").append(AliasSet("new", "s:Q"), actor="bob")
        reads.clear()
        garden.state()
        assert len(reads) == 1


def test_a_log_that_grows_beyond_a_step_gets_a_projection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_PROJECTED", 4)
    monkeypatch.setattr(space, "_PART", 3)
    path = tmp_path / "new.git"
    run("git", "init", "--quiet", "--bare", path)
    with Journal.open(path) as journal, Journal.open(path) as reader:
        for number in range(11):
            journal.space("garden").append(AliasSet(f"{number}", "s:P"), actor="bob")
            assert file_of(path).exists() is (number >= 4)
        assert len(reader.space("garden").state().aliases) == 11
    with sqlite3.connect(file_of(path)) as connection:
        assert connection.execute("SELECT count FROM meta").fetchone() == (8,)  # the last three are in memory
    connection.close()


def test_a_projection_that_another_has_just_made_holds_no_reader_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_PROJECTED", 4)
    path = tmp_path / "new.git"
    run("git", "init", "--quiet", "--bare", path)
    with Journal.open(path) as slow, Journal.open(path) as fast:
        for number in range(3):
            slow.space("garden").append(AliasSet(f"{number}", "s:P"), actor="alice")
        for number in range(3, 6):
            fast.space("garden").append(AliasSet(f"{number}", "s:P"), actor="bob")
        assert file_of(path).exists()  # of fewer decisions than the slow one reads at once now
        assert slow.space("garden").state().seq == 5
        assert len(slow.space("garden").state().aliases) == 6
        assert slow.space("garden").append(AliasSet("6", "s:P"), actor="alice").seq == 6


def test_the_longest_name_of_a_space_has_a_projection(path: Path) -> None:
    """80 bytes become 240 in the name of a file, and SQLite puts -journal behind it."""
    for name in ("\N{LATIN SMALL LETTER SHARP S}" * 40, "../x", "Gr\N{LATIN SMALL LETTER O WITH DIAERESIS}\u00dfe/1"):
        with Journal.open(path) as journal:
            room = journal.space(name)
            for _ in range(2):
                room.append_many([room.intent(AliasSet(f"{n}", "s:P"), actor="alice") for n in range(9)])
                assert len(room.state().aliases) == 9
    assert len(list((path / "coordjournal" / "fold").glob("*.sqlite"))) == 3


def test_without_its_file_a_state_is_the_same(path: Path) -> None:
    with Journal.open(path) as journal:
        state = journal.space("garden").state()
        first = state.as_of(11).json()
        file_of(path).unlink()
        assert journal.space("garden").state().json() == first
        append(path, 9)
        assert journal.space("garden").state().as_of(11).json() == first
        assert state.why_alias("ß3")[0].seq == 3  # what was handed out goes on to answer
    assert answer(path)["seq"] == 20


DAMAGES = {
    "empty": lambda raw: b"",
    "not a database": lambda raw: b"nothing of the kind" * 1000,
    "cut short": lambda raw: raw[: len(raw) // 2],
    "one page": lambda raw: raw[:4096],
    "zeros inside": lambda raw: raw[:4096] + bytes(len(raw) - 4096),
    "noise inside": lambda raw: raw[:4096] + b"\xa5\x5a" * (len(raw) // 2 - 2048),
    "a letter of a text": lambda raw: raw.replace(b"garden:1", b"garden:2"),
    "a letter of a key": lambda raw: raw.replace("ß1".encode(), "ß7".encode()),
    "another layout": lambda raw: raw.replace(b"aliases", b"sesaila"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_anew(path: Path, damage: str) -> None:
    first = answer(path)
    good = file_of(path).read_bytes()
    with Journal.open(path) as journal:
        state = journal.space("garden").state()
        file_of(path).write_bytes(DAMAGES[damage](good))  # under the feet of a process
        journal.space("garden").close()
        assert state.json() == first
    for _ in range(2):
        file_of(path).write_bytes(DAMAGES[damage](good))
        assert answer(path) == first
        append(path)
        first = answer(path)
    append(path, 5)
    assert answer(path)["seq"] == first["seq"] + 5
    assert Projection.open(str(file_of(path)), "garden", GitStore(path)) is not None


def test_what_somebody_else_has_written_into_the_file_is_not_extended(path: Path) -> None:
    first = answer(path)
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        garden.state()
        good = file_of(path).read_bytes()
        file_of(path).write_bytes(good.replace(b"garden:1", b"garden:2"))
        for number in range(9):
            garden.append(AliasSet("new", f"s:{number}"), actor="bob")
    found = answer(path)
    assert (found["seq"], found["aliases"]) == (20, {**first["aliases"], "new": "s:8"})


def test_a_copy_that_keeps_its_times_is_used(path: Path, tmp_path: Path, reads: list[str]) -> None:
    """As of a backup; of another copy it is made anew once."""
    first = answer(path)
    for copy, due in ((shutil.copy2, 0), (shutil.copy, 4 + 12)):
        shutil.copytree(path, tmp_path / "copy.git", copy_function=copy)
        reads.clear()
        assert answer(tmp_path / "copy.git") == first
        assert len(reads) == due
        reads.clear()
        assert answer(tmp_path / "copy.git") == first
        assert reads == []
        shutil.rmtree(tmp_path / "copy.git")


def test_the_projection_of_another_log_is_ignored(path: Path) -> None:
    first, other = answer(path), answer(path, "other")
    ours, theirs = file_of(path).read_bytes(), file_of(path, "other").read_bytes()
    file_of(path).write_bytes(theirs)
    file_of(path, "other").write_bytes(ours)
    for _ in range(2):
        assert answer(path) == first
        assert answer(path, "other") == other


def test_a_projection_that_is_ahead_of_the_log_is_ignored(path: Path) -> None:
    answer(path)
    git(path, "update-ref", "refs/spaces/garden", git(path, "rev-parse", "refs/spaces/garden~5"))
    assert answer(path)["seq"] == 6
    append(path, 7)  # another history of the same length
    found = answer(path)
    assert (found["seq"], found["aliases"]["new"]) == (13, "s:6")
    file_of(path).unlink()
    assert answer(path) == found


def test_a_rewind_under_an_open_journal_is_an_error(path: Path) -> None:
    with Journal.open(path) as journal:
        state = journal.space("garden").state()
        git(path, "update-ref", "refs/spaces/garden", git(path, "rev-parse", "refs/spaces/garden~5"))
        for _ in range(2):
            with pytest.raises(JournalRewound):
                journal.space("garden").state()
        assert state.resolve("ß11") == "garden:11"


def test_a_projection_whose_commits_are_gone_is_ignored(path: Path, tmp_path: Path) -> None:
    answer(path)
    run("git", "init", "--quiet", "--bare", tmp_path / "new.git")
    git(path, "push", "--quiet", str(tmp_path / "new.git"), "refs/spaces/other:refs/spaces/garden")
    file_of(tmp_path / "new.git").parent.mkdir(parents=True)
    file_of(tmp_path / "new.git").write_bytes(file_of(path).read_bytes())
    with Journal.open(tmp_path / "new.git") as journal:
        assert journal.space("garden").state().resolve("ß1") == "other:1"


@pytest.mark.parametrize("where", ["the folder", "the lock", "the file"])
def test_where_nothing_can_be_written_it_is_in_memory(path: Path, where: str) -> None:
    if where == "the folder":
        (path / "coordjournal").write_text("in the way")
    else:
        answer(path)
        if where == "the lock":
            file_of(path).with_name("garden.sqlite.lock").unlink()
            file_of(path).with_name("garden.sqlite.lock").mkdir()
        else:
            file_of(path).unlink()
            file_of(path).mkdir()
    first = answer(path)
    assert answer(path) == first
    with Journal.open(path) as journal:
        garden = journal.space("garden")
        for _ in range(9):
            garden.append(AliasSet("new", "s:P"), actor="bob")
            assert garden.state().seq == garden.last_seq()
        assert garden.state().resolve("ß1") == "garden:1"


def test_a_writer_that_is_busy_is_not_waited_for(path: Path) -> None:
    answer(path)
    with projection._writing(str(file_of(path))) as alone:
        assert alone
        append(path, 9)
        assert answer(path)["seq"] == 20


def test_a_fork_asks_for_itself(path: Path) -> None:
    with Journal.open(path) as journal:
        state = journal.space("garden").state()
        assert state.resolve("ß1") == "garden:1"
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                file_of(path).unlink()
                told = state.resolve("ß2"), journal.space("garden").state().resolve("ß3"), state.resolve("ß4")
                os.write(write, repr(told).encode())
            finally:
                os._exit(0)
        os.close(write)
        with open(read, "rb") as pipe:
            assert pipe.read() == b"('garden:2', 'garden:3', 'garden:4')"
        os.waitpid(pid, 0)
        assert state.resolve("ß5") == "garden:5"


def test_a_writer_that_is_killed_leaves_a_file_that_can_be_used(path: Path) -> None:
    """Killed in the middle of a transaction, when the journal is hot; and in the middle of a build."""
    answer(path)
    append(path, 5)
    script = (
        "import os, signal, sys\n"
        "from coordjournal import Journal, projection, space\n"
        "space._PROJECTED, projection._BLOCK = 1, 4\n"
        "write = projection._Rows.write\n"
        "def killed(self, connection):\n"
        "    connection.execute('PRAGMA cache_size = 1')\n"  # so that pages are written before the end
        "    write(self, connection)\n"
        "    connection.execute('UPDATE meta SET count = 99')\n"
        "    connection.execute('UPDATE aliases SET target = ?', ('nowhere' * 1000,))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "projection._Rows.write = killed\n"
        "Journal.open(sys.argv[1]).space('garden').state()\n"
    )
    for _ in range(2):
        done = run(sys.executable, "-c", script, path, cwd=ROOT, check=False)
        assert done.returncode == -9, done.stderr
        assert file_of(path).with_name("garden.sqlite-journal").exists() is file_of(path).exists()
        assert answer(path)["seq"] == 16
        file_of(path).unlink()
        append(path, 0)
    assert answer(path)["seq"] == 16


def test_processes_that_share_a_projection_agree(path: Path) -> None:
    script = (
        "import sys\n"
        "from coordjournal import AliasSet, Journal, space\n"
        "space._PROJECTED = 2\n"
        "for number in range(4):\n"
        "    with Journal.open(sys.argv[1]) as journal:\n"
        "        garden = journal.space('garden')\n"
        "        garden.append(AliasSet('own', 's:P'), actor=sys.argv[2])\n"
        "        assert garden.state().aliases['ß11'] == 'garden:11'\n"
    )
    words = [sys.executable, "-c", script, str(path)]
    workers = [subprocess.Popen([*words, f"p{n}"], cwd=ROOT, stderr=subprocess.PIPE, text=True) for n in range(3)]
    for worker in workers:
        _, said = worker.communicate()
        assert worker.returncode == 0, said
    found = answer(path)
    assert found["seq"] == 23
    assert found["void"] == []
    file_of(path).unlink()
    assert answer(path) == found


def test_a_question_about_one_thing_goes_through_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, tuple[object, ...]] = {}
    rows = Projection._rows

    def noting(self: Projection, sql: str, *values: object) -> list[Any]:
        asked[sql] = values
        return rows(self, sql, *values)

    log = log_of(
        *[("alias-set", {"alias": "A", "target": "p"})] * 20,
        ("merge-decided", {"sources": ["p"], "into": "q"}),
        ("fork-made", {"source": "p", "fork": "q"}),
        ("overlay-created", {"overlay_id": "o", "target": "p", "base_rev": None, "body": {"bytes": 0, "sha256": "0"}}),
        revoke(20),
        ("intent-refused", {"decision": decision_id(99), "reason": "no"}),
    )
    state = projected(log, 20, len(log))
    monkeypatch.setattr(Projection, "_rows", noting)
    for ask in (state.resolve, state.why_alias, state.group, state.why_group, state.canonical, state.why_canonical):
        ask("A"), ask("q")
    for ask in (state.lineage, state.why_lineage, state.overlay, state.why_overlay, state.body_commit):
        ask("q"), ask("o")
    assert state.find_id(decision_id(7)) == state.find("7") == state.find(records(log)[7][0])
    assert (state.refusal_of(decision_id(99)), state.void_reason(20)) == ("no", None)
    assert state.as_of_time(1003).seq == 7
    base = state._index._base
    assert isinstance(base, Projection) and len(asked) > 10
    for sql, values in asked.items():
        plan = [row[3] for row in base._connected().execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert all(step.startswith("SEARCH") for step in plan), (sql, plan)


def test_ids_that_stand_twice_by_the_thousand_cost_one_walk_through_each_table() -> None:
    log = log_of(*[("alias-set", {"alias": "A", "target": "p"})] * 60)
    store = Commits(log + log)
    asked: list[str] = []
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(projection._TABLES)
        connection.set_trace_callback(asked.append)
        assert projection._fill(connection, store.shown(store.log[-1][0]), store.log[-1][0]) == 120
        assert connection.execute("SELECT count(*), max(seq) FROM aliases").fetchone() == (60, 59)
    assert sum(sql.startswith("DELETE") for sql in asked) == len(projection._COLUMNS)
