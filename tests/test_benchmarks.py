"""The benchmarks: their arithmetic on known numbers, their logs, and all rows at a size that measures nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import git, require, run

from benchmarks import __main__ as command
from benchmarks import logs, measure, peak, profile
from benchmarks.machine import Unable
from benchmarks.measure import Row, figure, row
from benchmarks.parts import PARTS
from benchmarks.sizes import Sizes
from benchmarks.timing import interleaved
from coordjournal import Journal

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(sys.executable).with_name("coordjournal")
TINY = Sizes(
    *("tiny", 0, 1, 1, 0.0, 150, 20, 150, (150,)),
    *(20, 2, 1, 150, 20, 2, 5, False),
)

ROWS = 45  # of all parts, where one size of push is measured

@pytest.fixture
def kept_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


# ------------------------------------------------------------------------------------------------------ arithmetic


def test_a_ratio_is_that_of_the_medians_and_the_spread_that_of_the_rounds() -> None:
    found = row("a", "b", [1.0, 2.0, 3.0, 4.0, 100.0], [2.0, 2.0, 2.0, 2.0, 4.0], 1.5)
    assert (found.ours, found.yardstick, found.value, found.runs) == (3.0, 2.0, 1.5, 5)
    assert found.spread == (1.0, 2.0)  # of 0.5, 1, 1.5, 2 and 25
    assert found.met is True


@pytest.mark.parametrize(
    ("value", "target", "at_least", "met"),
    [(1.5, 1.5, False, True), (1.51, 1.5, False, False), (1.5, 1.5, True, True), (1.49, 1.5, True, False)],
)
def test_a_target_is_the_largest_or_the_smallest_that_will_do(
    value: float, target: float, at_least: bool, met: bool
) -> None:
    assert row("a", "b", [value], [1.0], target, at_least=at_least).met is met
    assert figure("a", [value], "MiB", target, at_least=at_least).met is met


def test_a_row_without_a_target_is_neither_met_nor_missed() -> None:
    assert row("a", "b", [3.0], [1.0]).met is None


@pytest.mark.parametrize(("ours", "yardstick"), [([], []), ([1.0], [1.0, 2.0])])
def test_nothing_is_made_of_nothing(ours: list[float], yardstick: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^a: "):
        row("a", "b", ours, yardstick)


def test_what_cannot_be_divided_is_told_as_unknown_and_not_as_met() -> None:
    """A difference of two times can come out at nothing, or less."""
    for at_least in (False, True):
        found = row("a", "b", [1.0, 1.0, 1.0], [0.0, -1.0, 2.0], 1.2, at_least=at_least)
        assert (found.json()["ratio"], found.met, found.spread) == (None, False, (0.5, 0.5))
        assert "| ? |" in measure.table([found]) and "**no**" in measure.table([found])


def test_the_middle_half_leaves_a_quarter_out_at_each_end() -> None:
    assert measure.middle_half([8, 1, 7, 2, 6, 3, 5, 4]) == (3, 6)
    assert measure.middle_half([5, 1, 9]) == (1, 9)
    assert measure.middle_half([4]) == (4, 4)


def test_rates_and_differences() -> None:
    assert measure.rates([0.5, 0.25]) == [2, 4]
    assert measure.differences([3.0, 5.0], [1.0, 6.0]) == [2.0, -1.0]


def test_the_table_says_yes_and_no_and_what_is_better() -> None:
    rows = [
        row("push", "none", [0.020, 0.030], [0.010, 0.010], 2.0),
        row("rate", "git", [2000.0], [100.0], 10, at_least=True, unit="a second"),
        figure("memory", [33.25], "MiB", 32),
        row("told", "only", [1.5], [1.0]),
    ]
    assert measure.table(rows).splitlines() == [
        "| row | ours | yardstick | ratio | middle half | rounds | target | met |",
        "|---|---|---|---|---|---|---|---|",
        "| push / none | 25.0 ms | 10.0 ms | 2.50 | 2.00 to 3.00 | 2 | <= 2 | **no** |",
        "| rate / git | 2,000 a second | 100 a second | 20.00 |  | 1 | >= 10 | yes |",
        "| memory | 33.2 MiB |  |  |  | 1 | <= 32 | **no** |",
        "| told / only | 1.50 s | 1.00 s | 1.50 |  | 1 |  |  |",
    ]


# ---------------------------------------------------------------------------------------------------------- rounds


def test_steps_take_turns_and_each_begins_a_round_once() -> None:
    seen: list[tuple[str, int]] = []

    def step(name: str, seconds: float | None) -> object:
        return lambda turn: (seen.append((name, turn)), seconds)[1]

    steps = {"a": step("a", 2.0), "b": step("b", None)}
    found = interleaved(steps, 2)  # type: ignore[arg-type]
    assert seen == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert found["a"] == [2.0, 2.0]  # what a step says counts, and not what the clock says
    assert len(found["b"]) == 2 and all(0 <= spent < 1 for spent in found["b"])


def test_a_budget_that_is_spent_ends_the_rounds_but_not_before_one_counts() -> None:
    turns: list[int] = []
    interleaved({"a": turns.append}, 5, budget=0)
    assert turns == [0, 1]
    turns.clear()
    interleaved({"a": turns.append}, 3, warm_up=False)
    assert turns == [1, 2, 3]


# ------------------------------------------------------------------------------------------------------------ logs


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> logs.Log:
    git_dir = tmp_path_factory.mktemp("log") / "log.git"
    run("git", "init", "--quiet", "--bare", git_dir)
    return logs.write(git_dir, logs.entries(3000))


def test_a_log_is_lawful_and_the_same_from_the_same_seed(log: logs.Log, tmp_path: Path) -> None:
    assert run(PROGRAM, "verify", log.git_dir).stdout == "lawful  garden: 3,000 decisions\n"
    run("git", "init", "--quiet", "--bare", tmp_path)
    assert logs.write(tmp_path, logs.entries(3000)).tip == log.tip
    run("git", "-C", log.git_dir, "fsck", "--strict")


def test_a_log_is_like_that_of_a_wiki(log: logs.Log) -> None:
    with Journal.open(log.git_dir, extensions={}) as journal:
        space = journal.space(logs.SPACE)
        kinds = Counter(landed.decision.type for landed in space.log())
        state = space.state()
    assert set(kinds) == {
        *("alias-set", "alias-cleared", "binding-made", "merge-decided", "fork-made", "decision-revoked"),
        *("overlay-created", "overlay-revised", "overlay-closed"),
    }
    assert 0.3 < kinds["alias-set"] / 3000 < 0.6
    sizes = sorted(map(len, state.groups))
    assert sizes[0] == 2 and sizes[len(sizes) // 2] < 6 and sizes[-1] > 30
    assert {"repeated-id", "unknown-overlay", "alias-not-set", "unknown-decision"} >= {v.reason for v in state.void}
    assert 5 < len(state.void) < 150
    assert 0.01 < sum(not name.isascii() for name in state.aliases) / len(state.aliases) < 0.1
    bodies = [(entry.body, entry.doc["payload"]["body"]["sha256"]) for entry in logs.entries(3000) if entry.body]
    assert len(bodies) == kinds["overlay-created"] + kinds["overlay-revised"] == len({sha for _, sha in bodies})
    assert min(len(body) for body, _ in bodies) > 100 and max(len(body) for body, _ in bodies) > 2000


def test_a_log_grows_and_intents_stand_beside_it(log: logs.Log, tmp_path: Path) -> None:
    run("git", "init", "--quiet", "--bare", tmp_path)
    grown = logs.Log(tmp_path)
    commits = grown.grow(logs.plain(3, 0, seed=2)) + grown.grow(logs.plain(2, 3, seed=2))
    assert git(tmp_path, "rev-list", "--reverse", logs.REF).split() == commits
    assert (grown.count, grown.tip) == (5, commits[-1])
    intents = logs.intents(tmp_path, logs.plain(2, 9, seed=3), commits[1])
    assert [git(tmp_path, "rev-parse", f"{one}^") for one in intents] == [commits[1]] * 2
    assert "Seq:" not in git(tmp_path, "cat-file", "commit", intents[0])
    [root] = logs.intents(tmp_path, logs.plain(1, 20, seed=3), "")
    assert "parent" not in git(tmp_path, "cat-file", "commit", root)
    assert run(PROGRAM, "verify", tmp_path).stdout == "lawful  garden: 5 decisions\n"


# ---------------------------------------------------------------------------------------------------------- memory


def test_the_peak_is_that_of_the_program_alone() -> None:
    """Neither of who started it, nor of what it starts, nor of what it has given back before its end."""
    ballast = bytearray(120 << 20)
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(110 << 20)'], check=True)\n"
    status, small = peak.run([sys.executable, "-c", code + "sys.exit(3)"])
    assert status == 3 and 4 << 20 < small < 60 << 20
    _, large = peak.run([sys.executable, "-c", "bytearray(70 << 20)"])
    assert 70 << 20 < large < 110 << 20
    assert len(ballast) == 120 << 20


def test_the_peak_of_a_program_that_is_killed_or_missing(tmp_path: Path) -> None:
    assert peak.run(["sh", "-c", "kill -9 $$"])[0] == -signal.SIGKILL
    with pytest.raises(FileNotFoundError):
        peak.run([tmp_path / "nothing"])


# --------------------------------------------------------------------------------------------------------- profile

OID = "0123456789abcdef0123456789abcdef01234567"
TRACE = f"""\
100.000000 set_robust_list(0x7f, 24) = 0
100.010000 execve("/usr/bin/git", ["git", "--git-dir=/tmp/x/client.git", "cat-file", "{OID}"], 0x7f /* 9 vars */) = 0
100.020000 --- SIGCHLD {{si_signo=SIGCHLD}} ---
100.030000 exit_group(0) = ?
100.035000 +++ exited with 0 +++
"""


def test_a_trace_tells_what_ran_how_long_and_how_many_calls() -> None:
    assert profile.parse(TRACE.splitlines()) == [profile.Process("git client.git cat-file COMMIT", 100.01, 100.035, 3)]
    assert profile.parse(TRACE.replace("= 0", "= -1").splitlines()) == []  # a fork that became nothing


def test_processes_are_matched_by_what_they_are() -> None:
    one, other = profile.Process("a", 5.0, 5.5, 1), profile.Process("b", 5.25, 5.75, 1)
    counted = [profile.Process("b", 1.0, 9.0, 70), profile.Process("a", 2.0, 3.0, 20)]
    assert profile.processes([one, other], counted).splitlines()[2:] == [
        "| `a` | 0.0 ms | 500.0 ms | 20 |",
        "| `b` | 250.0 ms | 500.0 ms | 70 |",
        "| 2 processes | | 750.0 ms | 90 |",
    ]


def test_imports_are_medians_of_runs() -> None:
    said = [
        f"remote: import time: self [us] | cumulative | imported package\n"
        f"remote: import time:      {law} |       9000 |   coordjournal.law        \n"
        "remote: import time:       250 |        250 | time\n"
        for law in (1000, 3000, 8000)
    ]
    assert profile.imports(said).splitlines()[2:] == [
        *("| `coordjournal.law` | 3.00 ms |", "| `time` | 0.25 ms |"),
        *("| the package, 1 modules | 3.00 ms |", "| all 2 modules | 3.25 ms |"),
    ]
    with pytest.raises(Unable, match="told no import times"):
        profile.imports(["remote: hello"])


def test_the_profile_of_a_push(kept_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    require(shutil.which("strace"), "strace")
    monkeypatch.setattr(command, "DEFAULT", TINY)
    done = CliRunner().invoke(command.main, ["profile"])
    assert done.exit_code == 0, done.output
    with_hook, without = (part.split("\n\n")[1].splitlines() for part in done.stdout.split("One push ")[1:3])
    assert sum("`git-receive-pack" in line for line in with_hook) == 1
    assert sum("pre-receive" in line for line in with_hook) == 1 and not any("pre-receive" in line for line in without)
    assert len(with_hook) > len(without) > 4 and not any("| ? |" in line for line in with_hook + without)
    assert "`coordjournal.receive`" in done.stdout


# ------------------------------------------------------------------------------------------------------ everything


def test_every_part_gives_its_rows_and_leaves_nothing(
    kept_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(command, "QUICK", TINY)
    done = CliRunner().invoke(command.main, ["--quick", "--json"])
    told = json.loads(done.stdout)
    assert (told["failed"], done.exit_code) == ({}, 0)
    assert set(told["machine"]) == {
        *("cores", "system", "python", "git", "dulwich", "sqlite", "coordjournal", "mode"),
    }
    for one in told["rows"]:
        assert set(one) == {
            *("name", "against", "ours", "yardstick", "unit", "ratio", "spread", "runs", "target", "at_least", "met"),
        }
        if one["yardstick"] is None or one["yardstick"] <= 0:  # a difference, which one round may lose in the noise
            assert one["ratio"] is None and (one["yardstick"] is None or one["name"].startswith("what the hook adds"))
        else:
            assert one["ratio"] == pytest.approx(one["ours"] / one["yardstick"])
        assert one["runs"] >= 1 and len(one["spread"]) == 2 and (one["met"] is None) == (one["target"] is None)
    names = [one["name"] for one in told["rows"]]
    assert len(names) == len({(one["name"], one["against"]) for one in told["rows"]})
    assert len(names) == ROWS
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_fails_is_told_and_the_others_are_measured(
    kept_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def good(_bench: object) -> list[Row]:
        return [figure("good", [1.0], "MiB")]

    def bad(_bench: object) -> list[Row]:
        raise Unable("no such thing here")

    monkeypatch.setattr(command, "PARTS", {"bad": bad, "good": good})
    done = CliRunner().invoke(command.main, ["--quick"])
    assert done.exit_code == 1
    assert "| good | 1 MiB |" in done.stdout
    assert done.stderr == "benchmarks: bad could not be measured: no such thing here\n"


def test_what_matches_no_part_is_a_usage_error() -> None:
    done = CliRunner().invoke(command.main, ["--only", "nothing"])
    assert done.exit_code == 2 and all(name in done.stderr for name in PARTS)
    listed = CliRunner().invoke(command.main, ["--only", "push-*", "--list"]).stdout
    assert [line.split()[0] for line in listed.splitlines()] == [name for name in PARTS if name.startswith("push-")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_nothing_is_left(number: signal.Signals, tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--full", "--only", "fold"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        while not list(tmp_path.glob("*/log-*")):  # it writes a log of a million
            assert running.poll() is None
        running.send_signal(number)
        assert running.wait(30) in (1, 128 + number)
    finally:
        running.kill()
        running.communicate()
    assert list(tmp_path.iterdir()) == []
