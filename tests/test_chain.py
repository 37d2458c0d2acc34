"""Walking a log: every step is judged once, in the right order, and the first break is named."""

import os
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pushing import Author, decision
from test_receive import imported

from coordjournal import chain, law, passing
from coordjournal.commit import Commit, File
from coordjournal.errors import GitFailed, Refused, UnlawfulLog
from coordjournal.gitread import Objects, environment
from coordjournal.timestamp import LAST_SECOND

Step = tuple[str | None, str]
LAWFUL = ("garden", LAST_SECOND, LAST_SECOND, None)


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return Author(tmp_path_factory.mktemp("chain") / "author.git")


@pytest.fixture(scope="module")
def log(author: Author) -> list[str]:
    """A log that is longer than what is walked one by one."""
    author.git("fast-import", "--quiet", content=imported("garden", 150).encode())
    return author.git("rev-list", "--reverse", "refs/import/garden").decode().split()


@pytest.fixture
def objects(author: Author) -> Iterator[Objects]:
    with Objects(env_of(author)) as found:
        yield found


def env_of(author: Author) -> dict[str, str]:
    return environment(str(author.path), os.environ)


def judged(author: Author, objects: Objects, old: str | None, new: str, most: int | None = None) -> list[Step]:
    """Judges by the law; the steps that were asked about."""
    steps: list[Step] = []

    def step(parent: Commit | None, child: Commit, size: int) -> None:
        steps.append((parent.oid if parent else None, child.oid))
        if most is not None and size > most:
            raise Refused("too-large", f"{size} bytes")
        law.check("garden", parent, child)

    assert chain.judge(step, old, new, env_of(author), objects, most) == len(steps)
    return steps


def passed(author: Author, objects: Objects, old: str | None, new: str, most: int | None = None) -> int:
    """How many steps there were, and fewer to be judged, because plain ones are passed."""

    def step(parent: Commit | None, child: Commit, size: int) -> None:
        if most is not None and size > most:
            raise Refused("too-large", f"{size} bytes")
        if child.files is None:
            child.files = objects.files(child.tree, None)
        law.check("garden", parent, child)

    return chain.judge(step, old, new, env_of(author), objects, most, LAWFUL)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain steps are passed soon, so that short logs tell."""
    monkeypatch.setattr(chain, "_WORTH", 70)
    monkeypatch.setattr(passing, "_TOGETHER", 3)


def refusal(author: Author, objects: Objects, old: str | None, new: str, most: int | None = None) -> Refused:
    """The refusal, the same whether plain steps are passed or not."""
    with pytest.raises(Refused) as caught:
        judged(author, objects, old, new, most)
    with pytest.raises(Refused) as again:
        passed(author, objects, old, new, most)
    assert vars(again.value) == vars(caught.value)
    return caught.value


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 66, 150])
@pytest.mark.parametrize("start", [0, 1, 70])
def test_every_step_is_judged_once(
    author: Author, objects: Objects, log: list[str], length: int, start: int
) -> None:
    new = log[min(start + length, len(log)) - 1]
    old = log[start - 1] if start else None
    expected = [*([None] if old is None else [old]), *log[start : start + length]]
    assert judged(author, objects, old, new) == list(pairwise(expected))[::-1]
    assert passed(author, objects, old, new) == len(expected) - 1
    assert objects.read(new, "commit") is not None  # ready for the next question


def continued(author: Author, log: list[str], *broken: int, count: int = 100) -> list[str]:
    """``count`` decisions after the first ten of the log; those of ``broken`` have a subject that is not theirs."""
    oids = log[:10]
    stream = [f"reset refs/import/continued\nfrom {oids[-1]}\n"]
    for seq in range(10, 10 + count):
        raw = decision("garden", seq, subject="no" if seq in broken else "alias-set: Home -> shardA:Index").decode()
        headers, _, message = raw.partition("\n\n")
        lines = "\n".join(headers.split("\n")[1:])
        stream.append(f"commit refs/import/continued\n{lines}\ndata {len(message.encode())}\n{message}")
    author.git("fast-import", "--quiet", "--force", content="".join(stream).encode())
    return author.git("rev-list", "--reverse", "refs/import/continued").decode().split()


@pytest.mark.parametrize(
    "broken", [(10,), (11, 12), (60, 100), (10, 109), (109,), (45, 46), (44,), tuple(range(10, 110))]
)
def test_the_first_of_all_breaks_is_named(
    author: Author, objects: Objects, log: list[str], broken: tuple[int, ...]
) -> None:
    oids = continued(author, log, *broken)
    found = refusal(author, objects, oids[9], oids[-1])
    assert (found.code, found.commit, found.seq) == ("subject", oids[broken[0]], broken[0])
    found = refusal(author, objects, None, oids[-1])
    assert (found.code, found.commit, found.seq) == ("subject", oids[broken[0]], broken[0])


# ------------------------------------------------------------------------------------------------ plain steps


def test_most_steps_of_a_long_chain_need_no_judge(author: Author, objects: Objects, log: list[str]) -> None:
    judged: list[int | None] = []

    def step(parent: Commit | None, child: Commit, size: int) -> None:
        judged.append(child.seq)

    told: list[int] = []
    bounds = LAWFUL
    assert chain.judge(step, None, log[-1], env_of(author), objects, bounds=bounds, progress=told.append) == 150
    # the last one has no parent in the stream, and the one before the first that is plain waits for the law's word
    assert judged == [*range(149, 77, -1), 0]
    for bounds in (("orchard", LAST_SECOND, LAST_SECOND, None), ("garden", 0, LAST_SECOND, None)):
        judged.clear()
        assert chain.judge(step, None, log[-1], env_of(author), objects, bounds=bounds) == 150
        assert judged == [*range(149, -1, -1)]


@pytest.fixture(scope="module")
def mixed(author: Author) -> list[str]:
    """A log in which plain steps and others take turns, some with attachments: plain from 140 down."""
    raws: list[bytes] = []
    oids: list[str] = []
    for seq in range(220):
        change: dict[str, Any] = {"tree": author.tree()}
        if seq % 5 == 0:
            change = attached(author, b"text %d" % (seq // 10))
        elif seq % 7 == 0:
            change["document"] = {"meta": {"import": "7"}}
        raws.append(decision("garden", seq, oids[-1] if oids else None, **change))
        oids.append(author.object("commit", raws[-1]))
    return oids


def attached(author: Author, content: bytes, **tree: str) -> dict[str, Any]:
    """What a decision with an attachment is made of; ``tree`` changes name or mode of the file."""
    blob = author.blob(content)
    entry = ({"mode": "100644", "name": "body"} | tree)
    return {
        "tree": author.tree((entry["mode"], entry["name"], blob)),
        "kind": "overlay-revised",
        "payload": {
            "base_rev": None,
            "body": {"bytes": len(content), "sha256": sha256(content).hexdigest()},
            "overlay_id": "o",
        },
        "subject": f"overlay-revised: o ({len(content)} bytes)",
    }


def test_plain_steps_and_others_take_turns(author: Author, objects: Objects, mixed: list[str]) -> None:
    assert passed(author, objects, None, mixed[-1]) == 220
    assert passed(author, objects, mixed[10], mixed[-1]) == 209
    assert objects.read(mixed[0], "commit") is not None  # ready for the next question


@pytest.mark.parametrize(
    "change",
    [
        {"tree": {"mode": "100755"}},
        {"tree": {"name": "bodi"}},
        {"content": b"texts"},
        {"content": b"text!"},
        {"seq": 9},
        {"appended": 5},
        {"subject": "alias-set: Home -> s:P"},
        {"actor": "alice "},
        {"headers": b"encoding latin-1\n"},
        {"trailers": b"\nSeq: 49\nLease: -; term=1\n"},
        {"trailers": b"\nSeq: 49\nLease: nonsense\n"},
    ],
)
def test_a_break_among_plain_steps_is_named(
    author: Author, objects: Objects, mixed: list[str], change: dict[str, Any]
) -> None:
    """What follows is plain, and so would the broken one be but for the break."""
    parts: dict[str, Any] = {}
    if change.keys() & {"tree", "content"}:
        parts = attached(author, b"text.", **change.get("tree", {}))
        if "content" in change:
            parts["tree"] = author.tree(("100644", "body", author.blob(change["content"])))
    else:
        parts = {key: value for key, value in change.items() if key != "seq"}
    oids = mixed[:49]  # the last one is plain too
    oids.append(author.object("commit", decision("garden", change.get("seq", 49), oids[-1], **parts)))
    trailer = change.get("trailers", b"").partition(b"\nLease: ")[2]
    for seq in range(50, 150):
        lease = b"\nSeq: %d\n" % seq + (b"Lease: " + trailer if trailer else b"")
        oids.append(author.object("commit", decision("garden", seq, oids[-1], trailers=lease)))
    found = refusal_of(author, objects, oids[-1])
    assert (found.commit, found.seq) == (oids[49], 49)


def refusal_of(author: Author, objects: Objects, new: str) -> Refused:
    with pytest.raises(Refused) as caught:
        passed(author, objects, None, new)
    return caught.value


def test_a_missing_attachment_among_plain_steps(author: Author, objects: Objects, mixed: list[str]) -> None:
    parts = attached(author, b"text.") | {"tree": author.tree(("100644", "body", "4" * 40))}
    oids = [author.decision("garden", 49, mixed[48], **parts)]
    for seq in range(50, 150):
        oids.append(author.decision("garden", seq, oids[-1]))
    with pytest.raises(GitFailed, match="4444"):
        passed(author, objects, None, oids[-1])
    assert objects.read(mixed[0], "commit") is not None  # ready for the next question


def test_an_attachment_beyond_the_limit_is_for_the_judge(author: Author, objects: Objects, mixed: list[str]) -> None:
    judged: list[tuple[int | None, tuple[File, ...] | None]] = []

    def step(parent: Commit | None, child: Commit, size: int) -> None:
        judged.append((child.seq, child.files))

    large = author.decision("garden", 49, mixed[48], **attached(author, b"12345678"))
    oids = [large]
    for seq in range(50, 150):
        oids.append(author.decision("garden", seq, oids[-1]))
    for most in (8, 7):
        judged.clear()
        bounds = ("garden", LAST_SECOND, LAST_SECOND, most)
        chain.judge(step, mixed[30], oids[-1], env_of(author), objects, bounds=bounds)
        assert ((49, None) in judged) == (most == 7)


def test_a_malformed_lease_behind_the_tip_is_a_refusal(author: Author, objects: Objects, log: list[str]) -> None:
    """The walk comes to the child first, and must not stumble over what its parent says."""
    bad = author.decision("garden", 5, log[4], trailers=b"\nSeq: 5\nLease: nonsense\n")
    child = author.decision("garden", 6, bad, trailers=b"\nSeq: 6\nLease: nonsense\n")
    found = refusal(author, objects, log[4], child)
    assert (found.code, found.commit, found.seq) == ("lease", bad, 5)


def test_a_rewind_names_where_the_commit_is(author: Author, objects: Objects, log: list[str]) -> None:
    for at in (0, 1, 50, 100, 148):
        found = refusal(author, objects, log[149], log[at])
        assert (found.code, found.commit, found.seq, found.place) == ("not-fast-forward", log[at], at, "ref")
        assert log[149] in found.what
    assert refusal(author, objects, log[9], log[9]).code == "not-fast-forward"


def test_another_history_is_no_continuation(author: Author, objects: Objects, log: list[str]) -> None:
    other = continued(author, log)
    found = refusal(author, objects, log[-1], other[-1])
    assert (found.code, found.commit, found.seq) == ("not-fast-forward", other[10], 150)
    root = author.chain("garden", 1)[0]
    assert refusal(author, objects, log[-1], root).code == "not-fast-forward"
    assert refusal(author, objects, log[0], root).code == "not-fast-forward"


def test_what_is_no_commit(author: Author, objects: Objects, log: list[str]) -> None:
    found = refusal(author, objects, log[4], author.tree())
    assert (found.code, found.commit, found.seq) == ("not-a-commit", author.tree(), 5)
    with pytest.raises(GitFailed, match="1111"):
        judged(author, objects, None, "1" * 40)


def test_an_old_tip_that_nothing_can_follow(author: Author, objects: Objects, log: list[str]) -> None:
    with pytest.raises(GitFailed, match="2222"):
        judged(author, objects, "2" * 40, author.decision("garden", 1, "2" * 40))
    with pytest.raises(GitFailed, match="no commit"):
        judged(author, objects, author.tree(), log[0])
    foreign = author.git("commit-tree", author.tree(), "-m", "hello").decode().strip()
    with pytest.raises(UnlawfulLog, match=foreign):
        judged(author, objects, foreign, author.decision("garden", 1, foreign))
    assert chain.tip(None, objects) is None


def test_a_missing_parent_is_no_root(author: Author, objects: Objects) -> None:
    lost = author.decision("garden", 1, "3" * 40)
    with pytest.raises(GitFailed, match="3333"):
        judged(author, objects, None, lost)
    with pytest.raises(GitFailed):
        judged(author, objects, None, author.decision("garden", 2, lost))


def test_too_large_commits_are_named_and_not_read(author: Author, objects: Objects, log: list[str]) -> None:
    large = author.decision("garden", 5, log[4], document={"reason": "x" * 5000})
    after: list[str] = [large]
    for seq in range(6, 8):
        after.append(author.decision("garden", seq, after[-1]))
    for tip in after:
        found = refusal(author, objects, log[2], tip, most=1000)
        assert (found.code, found.commit, found.seq) == ("too-large", large, 5)
    # a child that takes the unread one for a root
    child = author.decision("garden", 0, large)
    assert refusal(author, objects, log[4], child, most=1000).commit == large


def test_a_too_large_commit_deep_in_a_stream(author: Author, objects: Objects, log: list[str]) -> None:
    large = author.decision("garden", 5, log[4], document={"reason": "x" * 5000})
    stream = [f"reset refs/import/deep\nfrom {large}\n"]
    for seq in range(100):  # the first takes the unread one for nothing
        raw = decision("garden", seq).decode()
        headers, _, message = raw.partition("\n\n")
        lines = "\n".join(headers.split("\n")[1:])
        stream.append(f"commit refs/import/deep\n{lines}\ndata {len(message)}\n{message}")
    author.git("fast-import", "--quiet", "--force", content="".join(stream).encode())
    tip = author.git("rev-parse", "refs/import/deep").decode().strip()
    found = refusal(author, objects, log[2], tip, most=1000)
    assert (found.code, found.commit, found.seq) == ("too-large", large, 5)


def test_an_empty_commit_object(author: Author, objects: Objects) -> None:
    empty = author.object("commit", b"")
    with pytest.raises((Refused, GitFailed)):
        judged(author, objects, None, empty)
    with pytest.raises((Refused, GitFailed)):
        judged(author, objects, None, author.decision("garden", 1, empty))


def test_neither_grafts_nor_shallow_files_nor_commit_graphs_are_believed(log: list[str], tmp_path: Path) -> None:
    author = Author(tmp_path / "author.git")
    short = author.chain("garden", 3)
    other = author.decision("garden", 1, short[0])
    moved = author.decision("garden", 2, other)
    (author.path / "info").mkdir()
    (author.path / "info" / "grafts").write_text(f"{moved} {short[1]}\n")
    with Objects(env_of(author)) as objects:
        assert refusal(author, objects, short[1], moved).commit == other
        (author.path / "shallow").write_text(f"{moved}\n")
        assert refusal(author, objects, short[1], moved).code == "not-fast-forward"
        assert refusal(author, objects, None, author.decision("garden", 3, moved, subject="no")).code in (
            "not-fast-forward",
            "subject",
        )
    (author.path / "shallow").unlink()
    author.git("update-ref", "refs/heads/x", short[2])
    author.git("commit-graph", "write", "--reachable")
    with Objects(env_of(author)) as objects:
        assert len(judged(author, objects, None, short[2])) == 3


def test_a_refusal_keeps_no_process(author: Author, objects: Objects, log: list[str]) -> None:
    oids = continued(author, log, 30)  # found in the stream, while git still has more to say
    before = len(os.listdir("/proc/self/fd"))
    kept = [refusal(author, objects, oids[9], oids[-1]) for _ in range(5)]
    assert len(kept) == 5
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # those of ``objects``
