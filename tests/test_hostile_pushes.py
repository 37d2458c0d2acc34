"""Hostile pushes into a repository with the hook: mutated commits and streams, and one test for each way that a push
could make the hook work for ever or without bounds. What is refused and why is tested in test_receive.py."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hostile import pushes
from pushing import ROOT, ZERO, attached, decision, make_prefix, spoken

from coordjournal import receive
from coordjournal.gitread import Objects, environment

PEAK = (
    "import posix, resource\nend = posix._exit\n"
    "def measured(status):\n"
    '    said = open("/proc/self/status").read()\n'
    '    peak = next(line.split()[1] for line in said.split("\\n") if line.startswith("VmHWM:"))\n'
    "    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]\n"
    "    spent = sum(one.ru_utime + one.ru_stime for one in used)\n"
    '    open("peak", "w").write(f"{peak} {used[1].ru_maxrss} {spent}")\n'
    "    end(status)\n"
    "posix._exit = measured\n"
)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prefix(tmp_path_factory.mktemp("prefix"))


@pytest.fixture(scope="module")
def field(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> pushes.Field:
    """For pushes that change nothing, which is looked at after each."""
    return pushes.Field(tmp_path_factory.mktemp("field"), prefix, logs=40)


@pytest.fixture
def fresh(prefix: Path, tmp_path: Path) -> pushes.Field:
    """For tests that land something, or change the hook."""
    return pushes.Field(tmp_path, prefix, logs=30)


def measured(field: pushes.Field) -> Iterator[tuple[int, int, float]]:
    """What the hook of the last push took: its own memory and that of its largest git in kB, and processor seconds."""
    own, largest, spent = (field.server.path / "peak").read_text().split()
    (field.server.path / "peak").unlink()
    field.before = field.held()
    yield int(own), int(largest), float(spent)


# -- mutations -------------------------------------------------------------------------------------------------------


def test_mutated_commits_are_refused_with_the_oracles_code(field: pushes.Field) -> None:
    met: Counter[str] = Counter()
    pushes.batch(field, Random(time.time_ns()), 40, met)
    assert met.total() == 40


def test_mutated_intents_are_refused_with_the_oracles_code(prefix: Path, tmp_path: Path) -> None:
    sequencing = pushes.Field(tmp_path, prefix, 1, sequencing=True)
    assert pushes.intents(sequencing, Random(time.time_ns()), 50).total() >= 25


def test_mutated_streams(fresh: pushes.Field) -> None:
    rng = Random(time.time_ns())
    met = Counter(pushes.stream(fresh, rng) for _ in range(25))
    assert met.total() == 25
    good = fresh.author.decision("garden", 2, fresh.garden[1])
    assert fresh.author.push(fresh.server, f"{good}:refs/spaces/garden").landed  # the server is none the worse


STREAMS: dict[str, list[bytes]] = {
    "a command cut short": [b"%(old)s %(bad)s"],
    "an object name that is none": [b"%(old)s zzzz refs/spaces/n0"],
    "a length that is none": [b"raw:zzzz%(old)s"],
    "a length beyond the end": [b"raw:fff0%(old)s %(bad)s refs/spaces/n0"],
    "a packet of one byte": [b"raw:0001"],
    "a push certificate": [
        b"push-cert\0report-status",
        b"certificate version 0.1",
        b"pusher x",
        b"",
        b"%(old)s %(bad)s refs/spaces/n0",
    ],
    "shallow": [b"shallow %(bad)s", b"%(old)s %(bad)s refs/spaces/n0"],
    "shallow at what is there": [b"shallow %(old)s", b"%(old)s %(bad)s refs/spaces/n0\0report-status"],
    "a ref outside refs/": [b"%(zero)s %(bad)s HEAD"],
    "a ref that escapes": [b"%(zero)s %(bad)s refs/spaces/../../../hooks/post-receive"],
    "a ref into the files of git": [b"%(zero)s %(bad)s refs/../config"],
    "a ref that ends with .lock": [b"%(zero)s %(bad)s refs/spaces/x.lock"],
    "a ref with NUL": [b"%(zero)s %(bad)s refs/spaces/n0\0refs/heads/x"],
    "the same command a hundred times": [b"%(old)s %(bad)s refs/spaces/n0"] * 100,
    "a deletion beside": [b"%(old)s %(zero)s refs/spaces/n1", b"%(old)s %(bad)s refs/spaces/n0"],
    "options that steer": [
        b"%(old)s %(bad)s refs/spaces/n0\0report-status push-options",
        b"raw:00000012coordjournal=0",
    ],
}


@pytest.mark.parametrize("what", STREAMS)
def test_what_no_client_sends(field: pushes.Field, what: str) -> None:
    bad = field.author.decision("n0", 9, field.garden[1])
    names = {b"old": field.garden[1].encode(), b"bad": bad.encode(), b"zero": ZERO["sha1"].encode()}
    raw = b""
    for line in STREAMS[what]:
        for key, value in names.items():
            line = line.replace(b"%%(%b)s" % key, value)
        raw += line.removeprefix(b"raw:") if line.startswith(b"raw:") else b"%04x%b" % (len(line) + 4, line)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["git", "receive-pack", str(field.server.path)],
        input=raw + b"0000" + field.author.pack(bad),
        capture_output=True,
        timeout=60,
        check=False,
    )
    field.looked_at(pushes.Pushed(1, "", done.stderr), used)


def test_a_pack_whose_bases_are_missing(field: pushes.Field) -> None:
    other = field.author.decision("n0", 2, field.garden[1], document={"reason": "so " * 999})
    bad = field.author.decision("n0", 9, field.garden[1], document={"reason": "so " * 999})
    thin = field.author.git("pack-objects", "--stdout", "--revs", "--thin", "-q", content=f"{bad}\n^{other}\n".encode())
    for pack in (thin, thin[:-20], b"PACK" + b"\xff" * 100, b"", thin * 2):
        field.refused([(field.garden[1], bad, "refs/spaces/n0")], pack)


def test_an_object_that_says_it_is_larger_than_it_is(field: pushes.Field) -> None:
    """A pack with a commit of 4 GB that holds ten bytes, and one with a length that does not end."""
    for length in (b"\x9f\xff\xff\xff\x7f", b"\x9f" + b"\xff" * 20 + b"\x7f"):
        body = b"PACK" + (2).to_bytes(4) + (1).to_bytes(4) + length + zlib.compress(b"tree x\n...")
        pack = body + hashlib.sha1(body).digest()
        field.refused([(field.garden[1], "1" * 40, "refs/spaces/n0")], pack)


# -- the same chain, and what is there already -----------------------------------------------------------------------


def test_the_same_chain_as_two_spaces(fresh: pushes.Field) -> None:
    fresh.server.git("update-ref", "-d", "refs/spaces/n1")
    fresh.before = fresh.held()
    chain = fresh.author.chain("one", 3)
    commands = [(ZERO["sha1"], chain[2], f"refs/spaces/{space}") for space in ("one", "two", "n1")]
    pack = fresh.author.pack(*chain)
    pushed = fresh.refused(commands, pack)
    assert {one.ref: (one.code, one.seq) for one in pushed.told} == {
        "refs/spaces/two": ("wrong-space", 0),
        "refs/spaces/n1": ("wrong-space", 0),
    }
    assert spoken(fresh.server, commands[:1], pack).landed
    fresh.before = fresh.held()
    pushed = fresh.refused(commands[1:], fresh.author.pack())  # no object is sent: the server has them all
    assert [one.code for one in pushed.told] == ["wrong-space"] * 2


MALFORMED: dict[str, bytes] = {
    "no tree": b"kree ",
    "a tree in upper case": b"TREE",
    "a parent cut short": b"parent 17203c\n",
    "a parent of sixty-four digits": b"parent " + b"1" * 64 + b"\n",
    "a parent without a line end": b"parent",
}


@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize("below", [0, 2])
def test_a_commit_that_git_cannot_read_is_refused_with_its_code(field: pushes.Field, what: str, below: int) -> None:
    """Git says so itself, asks the hook all the same, and then cannot walk the chain for it."""
    piece = MALFORMED[what]
    raw = decision("n0", 2, field.garden[1])
    if piece.lower() in (b"kree ", b"tree"):
        raw = piece + raw[len(piece) :]
    else:
        start = raw.index(b"parent ")
        raw = raw[:start] + piece + raw[raw.index(b"author") :]
    bad = field.author.object("commit", raw)
    chain = [bad]
    for seq in range(below):
        chain.append(field.author.decision("n0", 3 + seq, chain[-1]))
    pushed = field.refused([(field.garden[1], chain[-1], "refs/spaces/n0")], field.author.pack(*chain))
    [told] = pushed.told
    assert (told.code, told.commit) == ("bad-commit", bad)


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_log_named_many_times_is_judged_once(field: pushes.Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain and a thousand commands with its ref: git would move none of them, but asks the hook about each."""
    chain = field.author.chain("long", 30)
    commands = [(ZERO["sha1"], chain[-1], "refs/spaces/long")] * 1200
    pushed = field.refused(commands, field.author.pack(*chain))
    assert {one.code for one in pushed.told} == {"bad-ref"}
    assert "twice" in pushed.told[0].what
    walks = []
    monkeypatch.setattr("coordjournal.chain.judge", lambda *_, **__: walks.append(1))
    env = environment(str(field.server.path), {})
    with Objects(env) as objects:
        found = list(receive.judge(commands[:50], env, objects))
    assert len(walks) == 1 and len(found) == 49


def test_a_long_log_is_judged_from_where_it_is(fresh: pushes.Field) -> None:
    """Who says that the log were empty, and sends nothing, would have the hook judge all of it."""
    chain = fresh.author.chain("long", 400)
    pack = fresh.author.pack(*chain)
    assert spoken(fresh.server, [(ZERO["sha1"], chain[-1], "refs/spaces/long")], pack).landed
    fresh.before = fresh.held()
    for old in (ZERO["sha1"], chain[5]):
        pushed = fresh.refused([(old, chain[-1], "refs/spaces/long")], fresh.author.pack())
        [told] = pushed.told
        assert (told.code, told.place) == ("not-fast-forward", "ref")
        assert chain[-1] in told.what and ("no commit yet" if set(old) == {"0"} else old) in told.what
    more = [fresh.author.decision("long", 400, chain[-1])]
    for seq in range(401, 520):
        more.append(fresh.author.decision("long", seq, more[-1]))
    assert spoken(fresh.server, [(chain[-1], more[-1], "refs/spaces/long")], fresh.author.pack(*more)).landed


def test_a_refused_push_is_not_looked_at_for_ever(fresh: pushes.Field) -> None:
    """Each ref of a push can bring another walk of the same long chain; once it is refused that has an end."""
    fresh.server.before("pre-receive", "from coordjournal import receive\nreceive._ENOUGH = 0\n")
    bad = fresh.author.decision("n0", 9, fresh.garden[1])
    commands = [(fresh.garden[1], bad, f"refs/spaces/n{number}") for number in range(30)]
    pushed = fresh.refused(commands, fresh.author.pack(bad))
    assert len(pushed.told) == 1 and "1 refs are refused; the others were not looked at" in pushed.said
    pushed = fresh.refused(commands[:1], fresh.author.pack(bad))
    assert len(pushed.told) == 1 and "not looked at" not in pushed.said


# -- memory ----------------------------------------------------------------------------------------------------------


def test_a_push_of_very_many_refs_takes_little_memory(fresh: pushes.Field) -> None:
    """The hook alone, as git would run it: 200,000 refs, of which it refuses a thousand and looks at no more."""
    count = 200_000
    lines = "".join(f"{ZERO['sha1']} {'1' * 40} refs/spaces/N{number}\n" for number in range(count)).encode()
    fresh.server.before("pre-receive", PEAK)
    done = subprocess.run(
        [str(fresh.server.hook)],
        input=lines,
        cwd=fresh.server.path,
        env={"PATH": "/usr/bin:/bin", "GIT_DIR": "."},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1 and b"1000 refs are refused; the others were not looked at" in done.stderr
    for own, _, _ in measured(fresh):
        assert own < 4 * len(lines) // 1024 + 30_000, own  # the lines themselves, and what reading them takes


@pytest.mark.parametrize("kind", ["commit", "body"])
def test_what_is_large_only_when_unpacked(fresh: pushes.Field, kind: str) -> None:
    """64 MB of zeros, 64 kB in the pack: behind a decision that is right, and as its attachment."""
    zeros = bytes(64 << 20)
    place = "commit"
    if kind == "body":
        body = fresh.author.blob(zeros)
        tree = fresh.author.tree(("100644", "body", body))
        declared = {"overlay_id": "o", "base_rev": None, "body": attached(zeros)}
        how = {"kind": "overlay-revised", "payload": declared, "subject": f"overlay-revised: o ({len(zeros)} bytes)"}
        raw = decision("n0", 2, fresh.garden[1], tree=tree, **how)
        objects, place = [body, tree], "tree body"
    else:
        raw = decision("n0", 2, fresh.garden[1]) + zeros
        objects = []
    bad = fresh.author.object("commit", raw)
    fresh.server.before("pre-receive", PEAK)
    pack = fresh.author.pack(bad, *objects)
    assert len(pack) < 300_000
    pushed = spoken(fresh.server, [(fresh.garden[1], bad, "refs/spaces/n0")], pack)
    assert [(one.code, one.place) for one in pushed.told] == [("too-large", place)], pushed.said
    for own, git, spent in measured(fresh):
        assert own < 40_000 and git < 200_000 and spent < 10, (own, git, spent)
    assert fresh.server.tip("refs/spaces/n0") == fresh.garden[1] and not fresh.server.has(bad)


def test_a_ref_as_long_as_git_takes_it_is_cut(fresh: pushes.Field) -> None:
    ref = "refs/spaces/" + "\udcff\x1b" * 30_000
    pushed = fresh.refused([(ZERO["sha1"], fresh.garden[1], ref)] * 20, fresh.author.pack(fresh.garden[1]))
    assert pushed.said.count("bad-ref") >= 20
    said = pushed.raw.partition(b"unpack ")[0]
    assert len(said) < 20 * 12_000
    entries = fresh.server.refusals()
    assert len(entries) == 20 and {len(entry["ref"]) for entry in entries} == {1003}


# -- the program -----------------------------------------------------------------------------------------------------


def test_the_command_tries_what_it_says(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile", "--inputs", "200", "--seed", "3", "--pushes", "10", "--refs", "1500"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "200 inputs of the seeds 3 to 3" in done.stdout and "none of them wrong" in done.stdout
    assert " pushed of seed 3" in done.stdout and "1,500 refs in one push: refused" in done.stdout
