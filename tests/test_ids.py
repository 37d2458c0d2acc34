"""The table of ids: whatever happens to its file and to the log, it answers as the log alone would."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pushing import Author, decision, new_id

from coordjournal import gitread, ids
from coordjournal.errors import GitFailed
from coordjournal.ids import Ids

Landed = tuple[str, str]  # id and commit


def env_of(author: Author) -> dict[str, str]:
    return gitread.environment(str(author.path), os.environ)


def landed(author: Author, count: int, before: list[Landed] | None = None, **changes: Any) -> list[Landed]:
    """Writes decisions onto a log; the longer log."""
    log = list(before or [])
    for _ in range(count):
        id = new_id()
        parent = log[-1][1] if log else None
        log.append((id, author.decision("garden", len(log), parent, document={"id": id, **changes})))
    return log


def check(table: Ids, log: list[Landed]) -> None:
    """The table answers as this log does."""
    first: dict[str, str] = {}
    for id, commit in log:
        first.setdefault(id, commit)
        assert table.holds(commit, id)
    for id, commit in first.items():
        assert table.find(id) == commit
    assert table.find(new_id()) is None
    assert not table.holds("1" * len(log[0][1]) if log else "1" * 40, log[0][0] if log else new_id())


@contextmanager
def reading() -> Iterator[list[str | None]]:
    """The bases from which git is asked for a log meanwhile; None for the beginning."""
    asked: list[str | None] = []
    real = gitread.commits

    def commits(tip: str, base: str | None, env: dict[str, str], **more: Any) -> Any:
        asked.append(base)
        return real(tip, base, env, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "commits", commits)
        yield asked


# ---------------------------------------------------------------------------------------------------- with real git


@pytest.fixture(scope="module", params=["sha1", "sha256"])
def author(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Author:
    return Author(tmp_path_factory.mktemp("ids") / "author.git", request.param)


@pytest.fixture(scope="module")
def log(author: Author) -> list[Landed]:
    """Seven decisions of different ids."""
    return landed(author, 7)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "coordjournal" / "ids" / "garden")


def opened(author: Author, path: str) -> Ids:
    return Ids(path, env_of(author), 64 if author.object_format == "sha256" else 40)


def test_no_log_yet(author: Author, path: str, log: list[Landed]) -> None:
    for _ in range(2):
        with opened(author, path) as table, reading() as asked:
            table.bring_to(None)
            assert table.find(log[0][0]) is None
            assert not table.holds(log[0][1], log[0][0])
            assert asked == []


def test_a_log_is_read_once_and_what_is_new_of_it_later(author: Author, path: str, log: list[Landed]) -> None:
    for end, bases in ((3, [None]), (3, []), (4, [log[2][1]]), (7, [log[3][1]]), (7, [])):
        with opened(author, path) as table, reading() as asked:
            table.bring_to(log[end - 1][1])
            check(table, log[:end])
            assert asked == bases


def test_what_was_added_is_not_read_again(author: Author, path: str, log: list[Landed]) -> None:
    with opened(author, path) as table:
        table.bring_to(None)
        table.add(log[:2], log[1][1])
        table.add(log[2:5], log[4][1])
        check(table, log[:5])
    with opened(author, path) as table, reading() as asked:
        table.bring_to(log[4][1])
        check(table, log[:5])
        assert asked == []


def test_nothing_that_is_no_id_is_found(author: Author, path: str, log: list[Landed]) -> None:
    with opened(author, path) as table:
        table.bring_to(log[-1][1])
        assert table.find("") is None
        assert table.find(log[0][0].upper().replace("-", "")) is None
        assert not table.holds(log[0][1], log[1][0])


def test_the_first_landing_of_a_repeated_id_wins(author: Author, path: str) -> None:
    log = landed(author, 3)
    log = landed(author, 2, log, id=log[1][0])
    log = landed(author, 1, log)
    log = landed(author, 2, log, id=log[4][0])
    repeated = [(id if n < 3 or n == 5 else log[1][0], commit) for n, (id, commit) in enumerate(log)]
    repeated[6:] = [(log[4][0], commit) for _, commit in log[6:]]
    for bring in ([8], [2, 8], [4, 8], [1, 5, 7, 8]):
        Path(path).unlink(missing_ok=True)
        for end in bring:
            with opened(author, path) as table:
                table.bring_to(log[end - 1][1])
        with opened(author, path) as table:
            table.bring_to(log[-1][1])
            check(table, repeated)


def test_a_repeated_id_that_is_added(author: Author, path: str, log: list[Landed]) -> None:
    with opened(author, path) as table:
        table.bring_to(log[2][1])
        twice = [(log[0][0], log[3][1]), (log[0][0], log[4][1])]
        table.add(twice, log[4][1])
        check(table, log[:3] + twice)


def test_what_let_an_intent_go_is_found_by_that(author: Author, path: str, log: list[Landed]) -> None:
    gone, refused = new_id(), log[1][0]
    pair = {"id": gone, "type": "intent-refused", "payload": {"decision": refused, "reason": "late"}}
    first = author.decision("garden", 7, log[-1][1], document=pair)
    again = author.decision("garden", 8, first, document={**pair, "id": new_id()})
    odd = again
    for payload in ({"decision": "x"}, {}, [], None):
        odd_id = new_id()
        odd = author.decision("garden", 9, odd, document={**pair, "id": odd_id, "payload": payload})
    for known in (7, 10):  # read from the log, and added
        Path(path).unlink(missing_ok=True)
        with opened(author, path) as table:
            table.bring_to(log[-1][1] if known == 7 else odd)
            if known == 7:
                table.add([(gone, first), (ids.refusal_key(refused), first)], first)
                table.bring_to(odd)
            assert table.find(ids.refusal_key(refused)) == first
            assert table.find(gone) == first
            assert table.find(odd_id) == odd
            assert table.find(refused) == log[1][1]
            assert table.find(ids.refusal_key(gone)) is None
            assert table.holds(first, gone)
            assert not table.holds(first, refused)


def test_a_log_that_went_back_is_read_anew(author: Author, path: str, log: list[Landed]) -> None:
    other = landed(author, 3, log[:4])
    for end in (log, other, log[:5], log[:2]):
        with opened(author, path) as table, reading() as asked:
            table.bring_to(end[-1][1])
            check(table, end)
            for id, commit in set(log + other) - set(end):
                assert table.find(id) is None
                assert not table.holds(commit, id)
            assert asked[-1] is None
    with opened(author, path) as table:
        table.bring_to(None)
        assert table.find(log[0][0]) is None


def test_a_tip_that_is_gone(author: Author, path: str, log: list[Landed]) -> None:
    lost = decision("garden", 3, log[2][1], tree="0" * len(log[0][1]))
    gone = sha1(lost).hexdigest().ljust(len(log[0][1]), "a")
    with opened(author, path) as table:
        table.bring_to(log[2][1])
        table.add([(new_id(), gone)], gone)
    with opened(author, path) as table:
        table.bring_to(log[-1][1])
        check(table, log)


def test_an_unlawful_log_is_no_obstacle(author: Author, path: str) -> None:
    """Logs may be older than the hook; whether they are lawful is for others to say."""
    oids: list[str] = []
    odd = [b"", b"x", b"x\n\nnot JSON\n", b"x\n\n[1]\n", b'x\n\n{"id":7}\n', b"x\n\n{}\n", b'x\n\n{"id":"A"}\n']
    for message in odd:
        parent = oids[-1] if oids else None
        oids.append(author.decision("garden", 0, parent, message=message))
    id = new_id()
    last = author.decision("garden", 0, oids[-1], document={"id": id})
    with opened(author, path) as table:
        table.bring_to(last)
        assert table.find(id) == last
        assert all(table.holds(oid, "A") and table.holds(oid, new_id()) for oid in oids)


def test_a_part_of_the_log_that_git_does_not_show_is_missed(author: Author, tmp_path: Path) -> None:
    log = landed(author, 4)
    shallow = tmp_path / "shallow"
    shallow.write_text(log[2][1] + "\n")
    env = {**env_of(author), "GIT_SHALLOW_FILE": str(shallow)}
    with Ids(str(tmp_path / "ids"), env, len(log[1][1])) as table, pytest.raises(GitFailed, match=log[1][1]):
        table.bring_to(log[-1][1])


def test_a_shallow_file_hides_nothing(author: Author, path: str) -> None:
    log = landed(author, 4)
    shallow = author.path / "shallow"
    shallow.write_text(log[2][1] + "\n")
    try:
        with opened(author, path) as table:
            table.bring_to(log[-1][1])
            assert table.find(log[0][0]) == log[0][1]
    finally:
        shallow.unlink()


def test_a_log_that_cannot_be_read(author: Author, path: str) -> None:
    with opened(author, path) as table, pytest.raises(GitFailed):
        table.bring_to("1" * len(author.blob(b"")))


def damaged(kind: str, file: Path, other: bytes) -> None:
    good = file.read_bytes()
    if kind == "copy":
        file.with_name("copy").write_bytes(good)
        file.with_name("copy").replace(file)
    elif kind == "folder":
        file.unlink()
        file.mkdir()
    else:
        changed = {
            "empty": b"",
            "foreign": b"SQLite format 3\0" * 1000,
            "header": good[:40],
            "short": good[:-1],
            "long": good + b"\0",
            "version": good.replace(b"ids 1", b"ids 2"),
            "of another object format": other,
        }[kind]
        file.write_bytes(changed)


@pytest.mark.parametrize(
    "kind", ["empty", "foreign", "header", "short", "long", "version", "of another object format", "copy", "folder"]
)
def test_a_file_that_cannot_be_believed_is_built_anew(
    author: Author, path: str, log: list[Landed], kind: str, tmp_path: Path
) -> None:
    with opened(author, path) as table:
        table.bring_to(log[4][1])
    strange = Ids(str(tmp_path / "other"), env_of(author), 40 if author.object_format == "sha256" else 64)
    strange.bring_to(None)
    strange.close()
    damaged(kind, Path(path), (tmp_path / "other").read_bytes())
    with opened(author, path) as table, reading() as asked:
        table.bring_to(log[-1][1])
        check(table, log)
        assert asked == [None]
    if kind != "folder":  # which stays in the way
        with opened(author, path) as table, reading() as asked:
            table.bring_to(log[-1][1])
            assert asked == []


def test_after_a_reboot_it_is_built_anew(
    author: Author, path: str, log: list[Landed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    monkeypatch.setattr(ids, "_BOOT", str(boot))
    starts = ["4c7e3a1e-60a4-4d58-9d0f-3c5a5e0c1d2e\n", "b3a8f6f2-20c5-4b44-8a9a-7d2f3a4b5c6d\n"]
    for start, bases in ((None, [None]), (None, []), (starts[0], [None]), (starts[0], []), (starts[1], [None])):
        if start is not None:
            boot.write_text(start)
        with opened(author, path) as table, reading() as asked:
            table.bring_to(log[-1][1])
            check(table, log)
            assert asked == bases


def test_where_no_file_can_be_written_the_log_answers(author: Author, log: list[Landed], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with opened(author, str(tmp_path / "file" / "ids" / "garden")) as table:
        table.bring_to(log[2][1])
        check(table, log[:3])
        table.bring_to(log[4][1])
        check(table, log[:5])
        table.add(log[5:], log[-1][1])
        check(table, log)


def test_a_disk_that_fills_up(author: Author, path: str, log: list[Landed], monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(author, path) as table:
        table.bring_to(log[2][1])
        real = os.pwrite
        written: list[int] = []

        def pwrite(file: int, data: bytes, place: int) -> int:
            if os.readlink(f"/proc/self/fd/{file}").startswith("/memfd"):
                return real(file, data, place)
            written.append(len(data))
            return 0

        monkeypatch.setattr(ids.posix, "pwrite", pwrite)
        table.add(log[3:5], log[4][1])
        check(table, log[:5])
        table.bring_to(log[-1][1])
        check(table, log)
        assert written
        monkeypatch.undo()
    assert not Path(path + ".new").exists()
    with opened(author, path) as table:
        table.bring_to(log[-1][1])
        check(table, log)


def test_the_folder_says_who_may_write(author: Author, tmp_path: Path) -> None:
    for group, folder_mode, file_mode in ((False, 0o700, 0o640), (True, 0o2770, 0o660)):
        top = tmp_path / str(group)
        top.mkdir()
        top.chmod(folder_mode)
        before = os.umask(0o077)
        try:
            with opened(author, str(top / "coordjournal" / "ids" / "garden")) as table:
                table.bring_to(None)
        finally:
            os.umask(before)
        folders = [top / "coordjournal", top / "coordjournal" / "ids"]
        assert [folder.stat().st_mode & 0o7777 for folder in folders] == [folder_mode] * 2
        assert (folders[1] / "garden").stat().st_mode & 0o7777 == (file_mode if group else file_mode & 0o700)


# --------------------------------------------------------------------------------------------------- without git


class Killed(BaseException):
    """The process ends here."""


class Logs:
    """Stands for a repository: commits by name, as git would stream them."""

    def __init__(self) -> None:
        self.raw: dict[str, bytes] = {}
        self.parents: dict[str, str | None] = {}
        self.read = 0

    def add(self, parent: str | None, id: str) -> str:
        first = f"parent {parent}\n" if parent else ""
        head = f"tree {'0' * 40}\n{first}author a <> {len(self.raw)} +0000"
        raw = f'{head}\n\ns\n\n{{"actor":"a","id":"{id}"}}\n\nSeq: 0\n'.encode()
        name = sha1(raw).hexdigest()
        self.raw[name] = raw
        self.parents[name] = parent
        return name

    def landed(self, before: list[Landed], numbers: Iterable[int]) -> list[Landed]:
        """The log with decisions of these ids more."""
        log = list(before)
        for id in map(some_id, numbers):
            log.append((id, self.add(log[-1][1] if log else None, id)))
        return log

    def commits(self, tip: str, base: str | None, env: dict[str, str]) -> Iterator[tuple[str, int, bytes]]:
        left_out = set()
        while base is not None:
            left_out.add(base)
            base = self.parents[base]
        at: str | None = tip
        while at is not None and at not in left_out:
            self.read += 1
            yield at, len(self.raw[at]), self.raw[at]
            at = self.parents[at]


def spread() -> list[str]:
    """20,000 random ids."""
    numbers = random.Random(7)
    return [
        str(UUID(int=numbers.getrandbits(128) & ~(0xF << 76) & ~(3 << 62) | 7 << 76 | 2 << 62)) for _ in range(20_000)
    ]


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(spread(), id="random"),
        pytest.param([str(UUID(int=0x7000_8000_0000_0000_0001 + (n << 80))) for n in range(20_000)], id="upper bits"),
        pytest.param([str(UUID(int=0x7000_8000_0000_0000_0000 + n)) for n in range(20_000)], id="lower bits"),
    ],
)
def test_what_it_costs_does_not_grow_with_the_log(
    chosen: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = Logs()
    log: list[Landed] = []
    for id in chosen:
        log.append((id, logs.add(log[-1][1] if log else None, id)))
    calls = {"pread": 0, "pwrite": 0}

    def counted(name: str) -> Any:
        real = getattr(os, name)

        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return real(*arguments)

        return call

    monkeypatch.setattr(ids, "commits", logs.commits)
    for name in calls:
        monkeypatch.setattr(ids.posix, name, counted(name))
    with Ids(str(tmp_path / "ids"), {}, 40) as table:
        table.bring_to(log[9_999][1])
        assert logs.read == 10_000
        for start in range(10_000, 20_000, 1_000):
            table.add(log[start : start + 1_000], log[start + 999][1])
        assert calls["pwrite"] < 1.1 * 20_000
        calls["pread"] = 0
        assert all(table.find(id) == commit for id, commit in log)
        assert calls["pread"] < 1.1 * 20_000
        assert logs.read == 10_000
    assert 2 * 20_000 * 64 < os.path.getsize(tmp_path / "ids") < 4 * 20_000 * 64


def some_id(number: int) -> str:
    """The id of that number: neighbours differ in the last bits, as those made in one millisecond do."""
    return str(UUID(int=0x0193_0000_0000_7000_8000_0000_0000_0000 + number))


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    logs = Logs()
    monkeypatch.setattr(ids, "commits", logs.commits)
    return logs


@contextmanager
def killed_at(write: int) -> Iterator[None]:
    """The process is killed when it comes to write for that time; what it would tidy up stays."""
    real, left = os.pwrite, iter(range(write))

    def pwrite(file: int, data: bytes, place: int) -> int:
        if next(left, None) is None:
            raise Killed
        return real(file, data, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids.posix, "pwrite", pwrite)
        patch.setattr(ids, "_unlink", lambda path: None)
        try:
            yield
        except Killed:
            pass


def tip(log: list[Landed]) -> str | None:
    return log[-1][1] if log else None


@pytest.mark.parametrize("catching_up", [False, True])
@pytest.mark.parametrize("start", [0, 4, 30])  # 30: the table must grow
def test_a_process_killed_at_any_write(logs: Logs, tmp_path: Path, start: int, catching_up: bool) -> None:
    old = logs.landed([], range(start))
    new = logs.landed(old, [*range(100, 105), 100])
    other = logs.landed(new[: start + 2], [200, 104, 201])
    path = str(tmp_path / "ids")
    for write in range(12):
        for log in (new, old, new[: start + 3], other):
            Path(path).unlink(missing_ok=True)
            with Ids(path, {}, 40) as table:
                table.bring_to(tip(old))
                with killed_at(write):
                    if catching_up:
                        table.bring_to(tip(new))
                    else:
                        table.add(new[start:], new[-1][1])
            for _ in range(2):
                with Ids(path, {}, 40) as table:
                    table.bring_to(tip(log))
                    check(table, log)
                    for id, commit in set(new + other) - set(log):
                        assert not table.holds(commit, id)
                        assert table.find(id) in {None, *(there for same, there in log if same == id)}
                    assert table._table is not None
                    assert table._table.entries == len(log)
                    assert not table._table.in_memory


def test_what_a_killed_process_left_beside_is_overwritten(logs: Logs, tmp_path: Path) -> None:
    log = logs.landed([], range(3))
    (tmp_path / "ids%new").write_text("half")
    with Ids(str(tmp_path / "ids"), {}, 40) as table:
        table.bring_to(tip(log))
        check(table, log)
    assert os.listdir(tmp_path) == ["ids"]


@pytest.mark.parametrize("growing", [False, True])
def test_any_flipped_bit_is_noticed(logs: Logs, tmp_path: Path, growing: bool) -> None:
    old = logs.landed([], range(25))
    new = logs.landed(old, range(100, 120))
    path = tmp_path / "ids"
    for at in [*range(256), *range(256, 256 + 64 * 64, 11)]:
        with Ids(str(path), {}, 40) as table:
            table.bring_to(tip(old))
        with path.open("r+b") as file:
            file.seek(at)
            flipped = file.read(1)[0] ^ 1 << at % 8
            file.seek(at)
            file.write(bytes([flipped]))
        with Ids(str(path), {}, 40) as table:
            table.bring_to(tip(old))
            if growing:
                table.add(new[25:], new[-1][1])
            check(table, new if growing else old)


def test_a_commit_left_out_is_missed(logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logs.landed([], range(5))

    def commits(*arguments: Any) -> Iterator[tuple[str, int, bytes]]:
        return (commit for commit in logs.commits(*arguments) if commit[0] != log[2][1])

    monkeypatch.setattr(ids, "commits", commits)
    with Ids(str(tmp_path / "ids"), {}, 40) as table, pytest.raises(GitFailed, match=log[2][1]):
        table.bring_to(tip(log))


def test_no_id_means_a_commit_by_its_name(logs: Logs, tmp_path: Path) -> None:
    log = logs.landed([], range(3))
    id = new_id()
    name = id.replace("-", "") + "0" * 8
    with Ids(str(tmp_path / "ids"), {}, 40) as table:
        table.bring_to(tip(log))
        table.add([(log[0][0], name)], name)
        assert table.holds(name, log[0][0])
        assert table.find(id) is None


class Model(RuleBasedStateMachine):
    """A log, a table of it, and all that may happen to either."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "ids", "garden")
        self.patch = pytest.MonkeyPatch()
        self.logs = Logs()
        self.patch.setattr(ids, "commits", self.logs.commits)
        self.patch.setattr(ids, "_BOOT", os.path.join(self.folder.name, "boot"))
        self.log: list[Landed] = []
        self.gone: list[Landed] = []
        self.table = Ids(self.path, {}, 40)
        self.current = False  # whether the table has seen the log as it is

    def teardown(self) -> None:
        if hasattr(self, "table"):
            self.table.close()
            self.patch.undo()
            self.folder.cleanup()

    def land(self, numbers: list[int]) -> list[Landed]:
        before = len(self.log)
        self.log = self.logs.landed(self.log, numbers)
        return self.log[before:]

    def bring(self) -> None:
        self.table.bring_to(tip(self.log))
        self.current = True

    numbers = st.lists(st.integers(0, 200), min_size=1, max_size=40)

    @rule(numbers=numbers)
    def append(self, numbers: list[int]) -> None:
        if not self.current:
            self.bring()
        new = self.land(numbers)
        self.table.add(new, new[-1][1])

    @rule(numbers=numbers)
    def landed_elsewhere(self, numbers: list[int]) -> None:
        self.land(numbers)
        self.current = False

    @rule(numbers=numbers, writes=st.integers(0, 30), found=st.booleans())
    def killed(self, numbers: list[int], writes: int, found: bool) -> None:
        """While it adds, or while it catches up."""
        if found:
            self.bring()
        new = self.land(numbers)
        with killed_at(writes):
            if found:
                self.table.add(new, new[-1][1])
            else:
                self.bring()
        self.reopen()

    @rule()
    def reopen(self) -> None:
        self.table.close()
        self.table = Ids(self.path, {}, 40)
        self.current = False

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        keep = data.draw(st.integers(0, len(self.log) - 1))
        self.gone += self.log[keep:]
        del self.log[keep:]
        self.current = False

    @precondition(lambda self: os.path.exists(self.path))
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        size = os.path.getsize(self.path)
        header = data.draw(st.booleans())
        at = data.draw(st.integers(0, (256 if header else size) - 1))
        with open(self.path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0] ^ 1 << data.draw(st.integers(0, 7))
            file.seek(at)
            file.write(bytes([byte]))
        if data.draw(st.booleans()):
            self.reopen()

    @rule()
    def reboot(self) -> None:
        with open(os.path.join(self.folder.name, "boot"), "w") as file:
            file.write(str(random.Random(len(self.logs.raw)).random()))
        self.reopen()

    @invariant()
    def answers_as_the_log_does(self) -> None:
        if not hasattr(self, "table"):
            return
        if not self.current:
            self.bring()
        first: dict[str, str] = {}
        for id, commit in self.log:
            first.setdefault(id, commit)
            assert self.table.holds(commit, id)
        for number in range(201):
            assert self.table.find(some_id(number)) == first.get(some_id(number))
        for id, commit in self.gone[-50:]:
            assert not self.table.holds(commit, id)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=20, stateful_step_count=12)
