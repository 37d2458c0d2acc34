"""Holds the package's judges against the oracle, one input after the other, in this process.

Of every input: nothing but a refusal with a code of the format's list comes out, the code is the oracle's, what
:mod:`coordjournal.plain` passes the oracle passes too, what a pusher would read of it has no control character and an
end, and it took a bounded time by the processor's clock, which a busy machine does not stretch.
"""

import io
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import model

from coordjournal import (
    admission,
    attachments,
    canonical,
    commit,
    guard,
    law,
    plain,
    proc_receive,
    receive,
    trailer,
)
from coordjournal import refs as spellings
from coordjournal.errors import GitFailed, Refused

from . import inputs, oracle

MOST_SECONDS = 5.0  # of the processor for one input
_SETTINGS = admission.Settings()


class Wrong(AssertionError):
    """The package and the oracle disagree, or it took too long: with the input."""


def run(count: int, seed: int) -> tuple[Counter[str], float]:
    """Tries ``count`` inputs. How often each kind met each verdict, and the seconds that the slowest took.

    Raises:
        Wrong: at the first input that shows a fault.
    """
    rng = Random(seed)
    kinds = [kind for kind, weight, _ in inputs.KINDS for _ in range(weight)]
    make = {kind: function for kind, _, function in inputs.KINDS}
    found: Counter[str] = Counter()
    slowest = 0.0
    with watchdog():
        for number in range(count):
            kind = rng.choice(kinds)
            one = make[kind](rng)
            begun = time.process_time()
            try:
                found[f"{kind}: {CHECKS[kind](one)}"] += 1
            except Exception as error:
                raise Wrong(f"input {number} of seed {seed}: {kind} {one!r:.2000}: {error!r}") from error
            slowest = max(slowest, time.process_time() - begun)
            signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    return found, slowest


@contextmanager
def watchdog() -> Iterator[None]:
    """Raises Wrong inside an input that takes longer than MOST_SECONDS."""

    def bark(*_: object) -> None:
        raise Wrong(f"an input takes more than {MOST_SECONDS} s")

    before = signal.signal(signal.SIGPROF, bark)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def told(refusal: Refused, ref: str = "refs/spaces/garden") -> str:
    """The code of a refusal, if it is one of the list and what a pusher reads of it is harmless."""
    assert refusal.code in oracle.CODES, refusal.code
    refusal.ref = ref
    refusal.commit = "1" * 40
    refusal.ref, refusal.place, refusal.what = map(guard._cut, (refusal.ref, refusal.place, refusal.what))
    said = guard.explain([refusal], logged=True)
    assert harmless(said), said
    assert said.count("\n") == 4 + bool(refusal.remedy), said
    assert len(said) < 45_000, len(said)  # three fields of a thousand characters, each of them escaped at worst
    return refusal.code


def harmless(said: str) -> bool:
    """Whether a text holds no character that steers a terminal or ends a line, but for its own newlines."""
    return not any(c != "\n" and (oracle.is_no_text(c) or "\ud800" <= c <= "\udfff") for c in said)


# -- commits -----------------------------------------------------------------------------------------------------------


def check_commit(step: inputs.Step) -> str:
    """The verdict of law and admission, if it is the oracle's."""
    parent = step.parent_read()
    now = 0
    try:
        found = step.read()
        now = max(0, found.appended - hash_of(step.raw) % 70)  # within the skew, and now and then beyond it
    except oracle.Fault:
        pass
    due = "yes"
    try:
        if len(step.raw) > _SETTINGS.decision_bytes:
            raise oracle.Fault("too-large")
        child, doc = oracle.law(step.space, parent, step.parent_oid, step.raw, inputs.measured(step), step.width)
        oracle.admission(parent, child, doc, now)
    except oracle.Fault as fault:
        due = fault.code
    verdict = judged(step, now)
    assert verdict == due, f"the package says {verdict}, the oracle {due}"
    if is_plain(step, now):
        assert due in ("yes", "too-large"), f"plain, and the oracle says {due}"
        return "plain"
    return verdict


def check_intent(step: inputs.Step) -> str:
    """The verdict on what is pushed to be sequenced, if it is the oracle's."""
    now = inputs.AT + hash_of(step.raw) % 200 - 100
    due = "yes"
    try:
        oracle.intent(step.space, step.raw, inputs.measured(step), now, step.width)
    except oracle.Fault as fault:
        due = fault.code
    verdict = "yes"
    try:
        child = commit.parse("2" * step.width, step.raw)
        if child.files is None:
            child.files = _files(step)
        admission.check_size(child, 0, _SETTINGS)
        admission.check_intent(law.intent(step.space, child), now, _SETTINGS, _undeclared)
    except Refused as refusal:
        verdict = told(refusal)
    assert verdict == due, f"the package says {verdict}, the oracle {due}"
    return verdict


def hash_of(raw: bytes) -> int:
    """A number that follows from the bytes, in every run."""
    return sum(raw[::7])


def judged(step: inputs.Step, now: int) -> str:
    """What the hook would say of a step: the law and the admission, in the hook's order."""
    parent = None if step.parent is None or step.parent_oid is None else commit.parse(step.parent_oid, step.parent)
    try:
        if len(step.raw) > _SETTINGS.decision_bytes:
            child = commit.Commit.unread("2" * step.width)
        else:
            child = commit.parse("2" * step.width, step.raw)
        if child.files is None:
            child.files = _files(step)
        admission.check_size(child, len(step.raw), _SETTINGS)
        doc = law.check(step.space, parent, child)
        admission.check(doc, parent, child, now, _SETTINGS, _undeclared)
    except Refused as refusal:
        return told(refusal)
    return "yes"


def _files(step: inputs.Step) -> tuple[commit.File, ...] | None:
    if step.files is None:
        return None
    return tuple(commit.File(f["mode"], f["name"], f["oid"], f["size"], f["sha256"]) for f in step.files)


def _undeclared(kind: str, payload: Any) -> None:
    raise Refused("undeclared-type", f"no schema of the type {kind!r}", "type", "declare it")


def is_plain(step: inputs.Step, now: int) -> bool:
    """Whether the recogniser would pass the step without asking the law."""
    read = plain.reader(step.space, step.width, now + _SETTINGS.clock_skew, _SETTINGS.clock_skew)
    after = read(step.raw)
    if after is None:
        return False
    before = None
    if step.parent is not None:
        before = plain.reader(step.space, step.width)(step.parent)
        if before is None:
            return False
    if not plain.follows(step.parent_oid, before, after):
        return False
    return after[4] is None or plain.holds(_files(step), after[4])


# -- the parsers -------------------------------------------------------------------------------------------------------


def check_line(line: bytes) -> str:
    """Both readers of JSON, and the judgement of a decision by its line."""
    due: Any
    try:
        value, due = oracle.read_json(line), "yes"
    except oracle.Fault as fault:
        value, due = None, fault.code
    try:
        found, verdict = canonical.loads(line), "yes"
    except Refused as refusal:
        found, verdict = None, told(refusal)
    assert verdict == due, f"the package says {verdict}, the oracle {due}"
    assert repr(found) == repr(value)  # which tells 1 from True
    fast = canonical.loads_fast(line)
    assert fast is None or due == "yes" or canonical.outside_model(fast)
    assert due != "yes" or value is None or repr(fast) == repr(value)
    try:
        oracle.decision(line)
    except oracle.Fault as fault:
        due = fault.code
    try:
        law.decision(line)
    except Refused as refusal:
        verdict = told(refusal)
    assert verdict == due, f"the package says {verdict}, the oracle {due}"
    return verdict


def check_trailer(raw: bytes) -> str:
    value = raw.decode("utf-8", "replace")
    try:
        due = model.lease(value)
    except ValueError:
        due = ...
    try:
        found = trailer.read(value)
    except ValueError:
        assert due is ..., value
        return "no"
    assert found is not None and found.json() == due, value
    assert str(found) == value
    return "yes"


def check_ref(raw: bytes) -> str:
    """Who may push to a ref, and which log it is."""
    name = raw.decode("utf-8", "surrogateescape")
    space = oracle.space_of(raw.removeprefix(b"refs/spaces/")) if raw.startswith(b"refs/spaces/") else None
    try:
        decoded = spellings.decode_space(name.removeprefix("refs/spaces/"))
    except ValueError:
        decoded = None
    if raw.startswith(b"refs/spaces/"):
        assert decoded == space
    verdicts = []
    for strict in (True, False):
        for sequencing in (True, False):
            settings = admission.Settings(strict=strict, sequencing=sequencing)
            try:
                found = receive._space_of(name, settings, False)
            except Refused as refusal:
                found = told(refusal, name)
                assert found == "bad-ref" and space is None
                verdicts.append(found)
                continue
            assert found == space
            assert space is not None or not (strict or oracle.is_reserved(raw))
            verdicts.append("other" if found is None else "log")
    return verdicts[-1]


def check_tree(raw: bytes) -> str:
    check_tree_of(raw, 32)
    return check_tree_of(raw, 20)


def check_tree_of(raw: bytes, width: int) -> str:
    """``width`` is that of an object's name, in bytes."""
    due: list[tuple[bytes, bytes, bytes]] | None = []
    at = 0
    while due is not None and at < len(raw):
        end = raw.find(b"\0", at)
        head, oid = (raw[at:], b"") if end < 0 else (raw[at:end], raw[end + 1 : end + 1 + width])
        mode, _, name = head.partition(b" ")
        due = [*due, (mode, name, oid)] if len(oid) == width else None
        at = end + 1 + width
    try:
        entries = attachments._entries(raw, width)
    except GitFailed:
        assert due is None
        return "damaged"
    assert due is not None
    assert [(mode, name, oid) for mode, name, oid in entries] == [
        (mode.decode("ascii", "replace"), name.decode("utf-8", "replace"), oid.hex()) for mode, name, oid in due
    ]
    body = {"bytes": 1, "sha256": "0" * 64}
    files = tuple(commit.File(mode, name, oid, 1, "0" * 64) for mode, name, oid in entries)
    child = commit.Commit.unread("2" * 2 * width)
    child.tree, child.files = "3" * 2 * width, files
    doc = {"type": "overlay-revised", "payload": {"body": body}}
    try:
        law._check_tree(child, doc)
    except Refused as refusal:
        assert [(mode, name) for mode, name, _ in due] != [(b"100644", b"body")]
        return told(refusal)
    assert [(mode, name) for mode, name, _ in due] == [(b"100644", b"body")]
    return "yes"


def check_conversation(raw: bytes) -> str:
    git = io.BytesIO(raw)
    try:
        lines = proc_receive._lines(git)
    except ValueError:
        return "broken off"
    assert sum(map(len, lines)) <= len(raw)
    return "read"


def check_updates(raw: bytes) -> str:
    parsed = receive._Updates(raw)
    try:
        found = list(parsed)
    except ValueError:
        assert any(line.count(b" ") < 2 for line in raw.split(b"\n")[:-1])
        return "no commands"
    assert len(found) == len(parsed)
    text_of = "".join(f"{old} {new} {name}\n" for old, new, name in found)
    assert raw.startswith(text_of.encode("utf-8", "surrogateescape"))
    assert not found or not raw.endswith(b"\n") or parsed.ends_with(found[-1][2])
    return "read"


CHECKS: dict[str, Any] = {
    "commit": check_commit,
    "intent": check_intent,
    "line": check_line,
    "trailer": check_trailer,
    "ref": check_ref,
    "tree": check_tree,
    "conversation": check_conversation,
    "updates": check_updates,
}
