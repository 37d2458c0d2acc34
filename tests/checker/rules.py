"""What must be true of a log and of what the workers were told. Each rule is plain enough to be believed by reading it.

A rule looks at the evidence of a run and gives what breaks it, with the events that show it. No rule asks the package.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .history import Call
from .log import Entry, Lease

#: Answers that say for good that a decision has not landed and will not, unless it is handed over again.
FOR_GOOD = ("precondition-failed", "would-be-void", "id-conflict", "intent-refused")


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry of a clone's outbox: its state, and the ids of its decisions."""

    clone: str
    state: str
    ids: tuple[str, ...]


@dataclass(slots=True)
class Evidence:
    """All that is left of a run.

    Attributes:
        logs: space to its log, the oldest first.
        calls: what the workers asked and were answered.
        outboxes: what the outboxes of the clones hold at the end.
        left: what should not be there at the end: refs of the inbox, ``.lock`` files, workers that did not end.
        crashes: what the workers did not expect.
        reports: what other judges said of the server's repository, "" if nothing.
        clocks_agree: whether any two clocks differed by the skew at most.
    """

    logs: dict[str, list[Entry]]
    calls: list[Call]
    outboxes: list[Kept] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    reports: dict[str, str] = field(default_factory=dict)
    clocks_agree: bool = True

    def landed(self) -> dict[str, tuple[str, Entry]]:
        """Where each decision first stands: id to space and entry."""
        found: dict[str, tuple[str, Entry]] = {}
        for space, log in self.logs.items():
            for entry in log:
                found.setdefault(entry.id, (space, entry))
        return found

    def handed_over(self) -> dict[str, list[Call]]:
        """The calls that handed over each decision, in their order; of a lease acquired, the call that did so."""
        found: dict[str, list[Call]] = defaultdict(list)
        by_token: dict[str | None, str] = {}
        for log in self.logs.values():
            for entry in log:
                if entry.lease is not None and entry.doc["type"] == "lease-acquired":
                    by_token.setdefault(entry.lease.token, entry.id)  # what comes later under it is a renewal
        for call in sorted(self.calls, key=lambda call: call.begin):
            for id in call.ids if call.op == "append" else ():
                found[id].append(call)
            if call.op == "lease" and call.answered.get("token") in by_token:
                found[by_token[call.answered["token"]]].append(call)
        return found


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken, how, and by what."""

    rule: str
    what: str
    events: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"{self.rule}: {self.what}", *self.events])


Found = Iterator[tuple[str, Sequence[object]]]


def judge(evidence: Evidence) -> list[Violation]:
    """Everything that breaks a rule."""
    return [
        Violation(name, what, tuple(map(str, events)))
        for name, rule in RULES.items()
        for what, events in rule(evidence)
    ]


# -- the log by itself ---------------------------------------------------------------------------------------------


def _chain(evidence: Evidence) -> Found:
    """Each decision follows the one before, and the Seqs count from 0."""
    for log in evidence.logs.values():
        parents: tuple[str, ...] = ()
        for due, entry in enumerate(log):
            if entry.seq != due or entry.parents != parents:
                yield f"due is Seq {due} behind {parents}", [entry]
            parents = (entry.commit,)


def _once(evidence: Evidence) -> Found:
    """No decision is in the log twice."""
    seen: dict[str, Entry] = {}
    for log in evidence.logs.values():
        for entry in log:
            if entry.id in seen:
                yield f"{entry.id} is there twice", [seen[entry.id], entry]
            seen.setdefault(entry.id, entry)


def _times(evidence: Evidence) -> Found:
    """Append times never fall."""
    for log in evidence.logs.values():
        for before, entry in pairwise(log):
            if entry.appended < before.appended:
                yield "the append time falls", [before, entry]


def _leases(evidence: Evidence) -> Found:
    """While a lease is in force only its holder appends; when it has ended nobody ever does so under it again."""
    for log in evidence.logs.values():
        before: Lease | None = None
        committer = ""
        for entry in log:
            lease = entry.lease
            if before is not None and entry.appended < before.until:
                same = lease is not None and (before.term, before.holder, before.token) == (
                    *(lease.term, lease.holder),
                    lease.token,
                )
                if not same or entry.committer != committer:
                    yield f"{before} of {committer} is in force", [entry]
            elif entry.doc["type"] == "lease-acquired":
                due = 1 if before is None else before.term + 1
                if lease is None or lease.term != due or lease.holder != entry.doc["payload"]["holder"]:
                    yield f"an acquisition of term {due} is due", [entry]
            elif lease != (None if before is None else Lease(before.term)):
                yield f"nobody holds the lease after {before}", [entry]
            before, committer = lease, entry.committer


def _terms(evidence: Evidence) -> Found:
    """A term has one holder, one token and one committer, and is never come back to; a token has one term."""
    for log in evidence.logs.values():
        holders: dict[int, tuple[object, ...]] = {}
        tokens: dict[str, int] = {}
        last = 0
        for entry in log:
            lease = entry.lease
            if lease is None:
                if last:
                    yield "the term is lost", [entry]
                continue
            if not last <= lease.term <= last + 1:
                yield f"term {lease.term} follows term {last}", [entry]
            last = lease.term
            if lease.token is None:
                holders[lease.term] = ()  # it has ended
                continue
            who = (lease.holder, lease.token, entry.committer)
            if holders.setdefault(lease.term, who) != who:
                yield f"term {lease.term} is of {holders[lease.term] or 'nobody any more'}, not of {who}", [entry]
            if tokens.setdefault(lease.token, lease.term) != lease.term:
                yield f"the token of term {tokens[lease.token]} comes back", [entry]


def _let_go(evidence: Evidence) -> Found:
    """What was let go on the record is not in the log."""
    for log in evidence.logs.values():
        there = {entry.id: entry for entry in log}
        for entry in log:
            if entry.doc["type"] == "intent-refused" and entry.doc["payload"]["decision"] in there:
                yield "a decision was let go, and landed", [entry, there[entry.doc["payload"]["decision"]]]


# -- what was answered ---------------------------------------------------------------------------------------------


def _acknowledged(evidence: Evidence) -> Found:
    """What was acknowledged is in the log, once, where that was said."""
    for call in evidence.calls:
        log = evidence.logs.get(call.space, [])
        for id, seq, commit in call.places:
            if not 0 <= seq < len(log) or (log[seq].id, log[seq].commit) != (id, commit):
                yield f"{id} is not at Seq {seq}", [call, log[seq] if 0 <= seq < len(log) else "the log ends before"]
        if call.op == "append" and call.outcome == "landed" and [id for id, _, _ in call.places] != call.ids:
            yield "not all that was handed over was acknowledged", [call]


def _content(evidence: Evidence) -> Found:
    """What has landed is what was handed over, but for the time, which a retry may let differ."""
    landed = evidence.landed()
    for call in evidence.calls:
        for doc in call.asked.get("docs", ()):
            found = landed.get(doc["id"])
            if call.op == "append" and found and {**found[1].doc, "at": ""} != {**doc, "at": ""}:
                yield "it landed as something else", [call, found[1]]


def _real_time(evidence: Evidence) -> Found:
    """What was handed over after something else had been acknowledged comes after it."""
    told: dict[str, Call] = {}
    for call in sorted(evidence.calls, key=lambda call: call.end or 0):
        for id, _, _ in call.places:
            told.setdefault(id, call)
    handed_over = evidence.handed_over()
    for id, calls in handed_over.items():
        if calls[0].op == "lease":
            told.setdefault(id, calls[0])
    for log in evidence.logs.values():
        earliest: Call | None = None  # acknowledged, of what comes later in the log
        for entry in reversed(log):
            first = handed_over[entry.id][0] if entry.id in handed_over else None
            if first and earliest and earliest.end is not None and earliest.end < first.begin:
                yield f"{entry.id} is before what was acknowledged before it was begun", [entry, earliest, first]
            answer = told.get(entry.id)
            if answer and answer.end and (not earliest or not earliest.end or answer.end < earliest.end):
                earliest = answer


def _reads(evidence: Evidence) -> Found:
    """Who asks the server sees all that was acknowledged before, and sees the log as it is."""
    events = [(call.begin, 1, call) for call in evidence.calls if call.op == "read" and call.outcome == "landed"]
    events += [(call.end, 0, call) for call in evidence.calls if call.places and call.end is not None]
    known: dict[str, tuple[int, Call]] = {}
    for _, is_read, call in sorted(events, key=lambda event: event[:2]):
        if is_read:
            seq, commit = call.answered["seq"], call.answered["commit"]
            log = evidence.logs.get(call.space, [])
            if seq >= 0 and (seq >= len(log) or log[seq].commit != commit):
                yield "what was read is not in the log", [call]
            if call.space in known and seq < known[call.space][0]:
                yield "what was acknowledged was not seen", [known[call.space][1], call]
        else:
            last = max(seq for _, seq, _ in call.places)
            if call.space not in known or last > known[call.space][0]:
                known[call.space] = (last, call)


def _batches(evidence: Evidence) -> Found:
    """What was handed over together is in the log together, in its order; what went through the inbox, in its order."""
    landed = evidence.landed()
    handed_over = evidence.handed_over()
    for call in evidence.calls:
        if call.op != "append" or len(call.ids) < 2:
            continue
        seqs = [landed[id][1].seq for id in call.ids if id in landed]
        if seqs != sorted(seqs):
            yield "a batch changed its order", [call, seqs]
        if any(other.outcome != "landed" for id in call.ids for other in handed_over[id]):
            continue  # it may have gone through the inbox, where each stands for itself
        if len(seqs) != len(call.ids) or seqs[-1] - seqs[0] != len(seqs) - 1:
            yield "a batch came apart", [call, seqs]


def _preconditions(evidence: Evidence) -> Found:
    """What was to follow a Seq, or a value of an alias, follows it."""
    landed = evidence.landed()
    asked: dict[str, tuple[str, str | None, Call]] = {}
    for call in evidence.calls:
        if call.op != "append" or not call.ids or call.ids[0] not in landed:
            continue
        first = landed[call.ids[0]][1]
        expect, when = call.asked.get("expect"), call.asked.get("when")
        if expect is not None and first.seq != expect + 1:
            yield f"it was to follow Seq {expect}", [call, first]
        if when is not None:
            asked[first.id] = (when[0], when[1], call)
    for log in evidence.logs.values():
        aliases: dict[str, str] = {}
        for entry in log:
            if entry.id in asked:
                name, value, call = asked[entry.id]
                if aliases.get(name) != value:
                    yield f"{name} was to be {value!r} before, and is {aliases.get(name)!r}", [call, entry]
            if entry.doc["type"] == "alias-set":
                aliases[entry.doc["payload"]["alias"]] = entry.doc["payload"]["target"]


def _refused(evidence: Evidence) -> Found:
    """What was refused for good is not in the log, where nothing else was ever said of it."""
    landed = evidence.landed()
    for id, calls in evidence.handed_over().items():
        if id in landed and all(call.outcome == "refused" and call.answered["code"] in FOR_GOOD for call in calls):
            yield f"{id} was refused, and landed", [*calls, landed[id][1]]
    for kept in evidence.outboxes:
        # Of a batch that went through the inbox one may have been let go; then the entry stays, and says so.
        if kept.state == "rejected" and all(id in landed for id in kept.ids):
            yield "it was rejected, and landed", [kept, *(landed[id][1] for id in kept.ids)]


def _kept(evidence: Evidence) -> Found:
    """What was queued has landed, or was let go on the record, or lies rejected in an outbox."""
    settled = set(evidence.landed())
    settled.update(
        entry.doc["payload"]["decision"]
        for log in evidence.logs.values()
        for entry in log
        if entry.doc["type"] == "intent-refused"
    )
    settled.update(id for kept in evidence.outboxes if kept.state == "rejected" for id in kept.ids)
    for call in evidence.calls:
        lost = [id for id in call.ids if id not in settled]
        if call.op == "append" and call.outcome == "queued" and lost:
            yield f"lost: {', '.join(lost)}", [call]


def _retried(evidence: Evidence) -> Found:
    """The same decision under the same id again is no conflict."""
    landed = evidence.landed()
    handed_over = evidence.handed_over()
    for call in evidence.calls:
        if call.op != "append" or call.answered.get("code") != "id-conflict":
            continue
        for doc in call.asked["docs"]:
            others = [other for earlier in handed_over[doc["id"]] for other in earlier.asked["docs"]]
            others += [landed[doc["id"]][1].doc] if doc["id"] in landed else []
            if any(other["id"] == doc["id"] and {**other, "at": ""} != {**doc, "at": ""} for other in others):
                break
        else:
            yield "nobody handed over anything else under its id", [call, *handed_over[call.ids[0]]]


def _forged(evidence: Evidence) -> Found:
    """Other bytes under the id of a decision that has landed are never taken in."""
    for call in evidence.calls:
        if call.op == "forge" and call.outcome in ("landed", "queued"):
            yield "another decision was taken in under an id that was taken", [call]


# -- leases as they were told --------------------------------------------------------------------------------------


def _holders(evidence: Evidence) -> Found:
    """Whoever was told to hold a lease acquired it in the log, and nobody else was told so."""
    told: dict[tuple[str, int], Call] = {}
    for call in evidence.calls:
        if call.op != "lease" or call.outcome != "landed":
            continue
        term, token = call.answered["term"], call.answered["token"]
        acquired = [
            entry
            for entry in evidence.logs.get(call.space, [])
            if entry.doc["type"] == "lease-acquired" and entry.lease and entry.lease.token == token
        ]
        if not acquired or acquired[0].lease is None or acquired[0].lease.term != term:
            yield f"term {term} of {token} was not acquired so", [call, *acquired]
        other = told.setdefault((call.space, term), call)
        if other is not call:
            yield f"two were told to hold term {term}", [other, call]


def _under_lease(evidence: Evidence) -> Found:
    """What was appended under a lease carries its token."""
    landed = evidence.landed()
    for id, calls in evidence.handed_over().items():
        token = calls[0].asked.get("token")
        if len(calls) == 1 and calls[0].outcome == "landed" and token and id in landed:
            entry = landed[id][1]
            if entry.lease is None or entry.lease.token != token:
                yield f"it was appended under the lease {token}", [calls[0], entry]


def _belief(evidence: Evidence) -> Found:
    """Nobody believes to hold a lease once another has been told to hold the next one."""
    if not evidence.clocks_agree:
        return
    taken: Mapping[str, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        if call.op == "lease" and call.outcome == "landed" and call.end is not None:
            taken[call.space].append(call)
    for call in evidence.calls:
        if call.op != "check" or call.outcome != "landed":
            continue
        for other in taken[call.space]:
            if other.answered["term"] > call.asked["term"] and other.end is not None and other.end < call.begin:
                yield f"term {call.asked['term']} was believed in", [other, call]
                break


# -- what is left --------------------------------------------------------------------------------------------------


def _settled(evidence: Evidence) -> Found:
    """Nothing waits anywhere, and nothing is left behind."""
    for kept in evidence.outboxes:
        if kept.state != "rejected":
            yield "an outbox still holds something", [kept]
    for left in evidence.left:
        yield "something was left behind", [left]


def _unexpected(evidence: Evidence) -> Found:
    """No worker met with an error that is not one of the package's own."""
    for crash in evidence.crashes:
        yield "a worker ended by an error", [crash]


def _judges(evidence: Evidence) -> Found:
    """``coordjournal verify`` and ``git fsck --strict`` have nothing to say."""
    for name, said in evidence.reports.items():
        if said:
            yield f"{name} complains", [said]


RULES: dict[str, Callable[[Evidence], Found]] = {
    "chain": _chain,
    "once": _once,
    "times": _times,
    "leases": _leases,
    "terms": _terms,
    "let-go": _let_go,
    "acknowledged": _acknowledged,
    "content": _content,
    "real-time": _real_time,
    "reads": _reads,
    "batches": _batches,
    "preconditions": _preconditions,
    "refused": _refused,
    "kept": _kept,
    "retried": _retried,
    "forged": _forged,
    "holders": _holders,
    "under-lease": _under_lease,
    "belief": _belief,
    "settled": _settled,
    "unexpected": _unexpected,
    "judges": _judges,
}
