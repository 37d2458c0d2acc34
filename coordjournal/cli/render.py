"""Decisions, states and differences in words, for people."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .. import timestamp
from ..commit import subject
from ..errors import DecisionNotFound
from ..index import VOID_REASONS
from ..trailer import Lease, read
from .output import Paper, name, safe

if TYPE_CHECKING:
    from ..decision import Decision, Landed
    from ..difference import StateDiff
    from ..inbox import Waiting
    from ..outbox import Entry
    from ..state import CoordinationState, Overlay

_MOST = 20  # items of one kind that a difference lists

SeqOf = Callable[[str], int | None]  # the Seq of a decision id, None if it is not known


def when(second: int) -> str:
    """A git time, as people read it."""
    return timestamp.text(second)[:19].replace("T", " ") + "Z"


def at(decision: Decision) -> str:
    """When it was decided, to the second."""
    return decision.at[:19].replace("T", " ") + "Z"


def short(commit: str) -> str:
    """A commit as people name it."""
    return commit[:12]


def what(decision: Decision, seq_of: SeqOf | None = None) -> str:
    """What was decided: the subject of its commit; and of a revocation, where what it revokes is, if that is known."""
    words = safe(subject(decision.type, decision.payload))
    if decision.type == "decision-revoked" and seq_of is not None:
        seq = seq_of(decision.payload["decision"])
        return words if seq is None else f"{words} (Seq {seq})"
    return words


def seq_in(state: CoordinationState) -> SeqOf:
    """The Seq of a decision of a state by its id."""

    def seq_of(decision_id: str) -> int | None:
        try:
            return state.find(decision_id).seq
        except DecisionNotFound:
            return None

    return seq_of


def log_line(paper: Paper, landed: Landed, width: int = 0, seq_of: SeqOf | None = None) -> None:
    """A decision in one line, and its reason below it."""
    decision = landed.decision
    seq = paper.yellow(f"{landed.seq:>{width}}")
    paper.line(f"{seq}  {paper.dim(at(decision))}  {paper.cyan(safe(decision.actor))}  {what(decision, seq_of)}")
    for line in (decision.reason or "").split("\n"):
        if line:
            paper.line(f"{'':>{width}}    {safe(line)}")


def decision_in_full(paper: Paper, landed: Landed, state: CoordinationState) -> None:
    """Everything about a decision, and what became of it."""
    decision = landed.decision
    paper.line(f"{paper.yellow(f'{safe(decision.space)}@{landed.seq}')}  {what(decision, seq_in(state))}")
    rows = [
        ("id", decision.id),
        ("commit", landed.commit),
        ("actor", f"{paper.cyan(safe(decision.actor))}  decided at {decision.at}"),
        ("appender", f"{safe(landed.appender)}  appended at {timestamp.text(landed.appended)}"),
    ]
    rows += [] if landed.lease is None else [("lease", safe(landed.lease))]
    rows += [*_said(decision), ("status", status_words(paper, landed.seq, state))]
    _print_rows(paper, rows)


def _said(decision: Decision) -> list[tuple[str, str]]:
    rows = [("reason", safe(line)) for line in (decision.reason or "").split("\n") if line]
    rows += [("meta", f"{safe(key)} = {safe(value)}") for key, value in sorted((decision.meta or {}).items())]
    return [*rows, ("payload", safe(_json(decision.payload, sort_keys=True)))]


def _print_rows(paper: Paper, rows: Sequence[tuple[str, str]]) -> None:
    told = ""
    for label, text in rows:
        paper.line(f"  {paper.dim(f'{label if label != told else str():9}')} {text}")
        told = label


def intent_in_full(paper: Paper, decision: Decision, more: Sequence[tuple[str, str]]) -> None:
    """Everything about a decision that has no place yet; ``more`` are rows that are known of it beside."""
    paper.line(f"{paper.yellow(safe(decision.space))}  {what(decision)}")
    rows = [("id", decision.id), *more, ("actor", f"{paper.cyan(safe(decision.actor))}  decided at {decision.at}")]
    _print_rows(paper, rows + _said(decision))


def entry_line(paper: Paper, entry: Entry, width: int = 0, state: str = "") -> None:
    """An entry of the outbox in one line; ``state`` is what has become of it, if not what it was."""
    state = state or entry.state
    colours = {"waiting": paper.yellow, "filed": paper.cyan, "rejected": paper.red, "landed": paper.green}
    first, *others = entry.decisions
    more = f" and {len(others)} more" if others else ""
    number = paper.yellow(f"{entry.name:>{width}}")
    paper.line(f"{number}  {colours[state](f'{state:8}')}  {safe(entry.space)}  {what(first)}{more}")


def arrival(item: Waiting) -> str:
    """When an intent came into the inbox."""
    return when(item.arrival // 1_000_000)


def status_of(seq: int, state: CoordinationState) -> dict[str, Any]:
    """What became of a decision: ``effective``, ``revoked`` (by which Seq) or ``void`` (why)."""
    if state.is_revoked(seq):
        by = state.revoked_by(seq)
        return {"status": "revoked", "revoked_by": None if by is None else by.seq, "void": None}
    reason = state.void_reason(seq)
    return {"status": "void" if reason else "effective", "revoked_by": None, "void": reason}


def status_words(paper: Paper, seq: int, state: CoordinationState) -> str:
    found = status_of(seq, state)
    if found["status"] == "revoked":
        by = found["revoked_by"]
        return paper.red("revoked") + (f" by {safe(state.space or '')}@{by}" if by is not None else "")
    if found["void"]:
        return f"{paper.red('void')} ({found['void']}): {VOID_REASONS[found['void']]}"
    return paper.green("effective")


def lease_facts(state: CoordinationState, now: int) -> dict[str, Any]:
    """The lease of a space as JSON, as of ``now`` (seconds since 1970): ``state`` is ``none`` (never was one),
    ``held``, ``released``, or ``expired``; of one that was not released, ``left`` is how many seconds are left."""
    lease = state.lease
    facts: dict[str, Any] = dict.fromkeys(("state", "holder", "term", "ttl", "since", "until", "left"))
    facts["state"] = "none"
    if lease is None:
        return facts
    facts["state"] = "expired"
    # The terms of a log never go down, and within one those who hold it come first.
    first = bisect_left(range(state.seq), lease.term, key=lambda seq: _lease_at(state, seq)[0])
    free = bisect_left(range(first, state.seq + 1), True, key=lambda seq: not _lease_at(state, seq)[1]) + first
    since = None
    if free > first:
        since = state.landed(first).appended
        last = state.landed(free - 1)
        held = read(last.lease)
        assert held is not None
        if not lease.holder:
            lease = held  # the last one there was: since it ended, nobody's lease covers the commits
        if last.appended == held.until:
            facts["state"] = "released"
    told = lease.json()
    facts |= {key: told[key] for key in ("holder", "term", "ttl", "until")}
    facts["since"] = None if since is None else timestamp.text(since)[:19] + "Z"
    if facts["state"] != "released" and lease.in_force(max(now, state.appended or 0)):
        facts |= {"state": "held", "left": max(0, lease.until - now)}
    return facts


def _lease_at(state: CoordinationState, seq: int) -> tuple[int, str]:
    """Term and holder at a Seq: 0 before the first lease, no name while nobody holds it."""
    lease = read(state.landed(seq).lease)
    return (0, "") if lease is None else (lease.term, lease.holder)


def lease_words(facts: dict[str, Any]) -> str:
    """What :func:`lease_facts` says, in words."""
    if facts["state"] == "none":
        return "nobody holds the lease, and nobody ever did"
    term = f"term {facts['term']}"
    since, until = (str(facts[key]).replace("T", " ") for key in ("since", "until"))
    if facts["state"] == "held":
        return f"{safe(facts['holder'])} holds the lease ({term}) since {since}, until {until}: {facts['left']} s left"
    ended = "was released" if facts["state"] == "released" else "ended"
    return f"nobody holds the lease; that of {safe(facts['holder'])} ({term}) {ended} at {until}"


def overlay_words(overlay: Overlay) -> str:
    """An overlay in one line."""
    base = "" if overlay.base_rev is None else f" @ {name(overlay.base_rev)}"
    revised = f", revised at Seq {overlay.revised}" if overlay.revised != overlay.opened else ""
    words = (
        f"{name(overlay.overlay_id)} on {name(overlay.target)}{base}, {overlay.body.bytes} bytes, "
        f"opened at Seq {overlay.opened}{revised}"
    )
    if overlay.closed is not None:
        result = f" as {name(overlay.result_rev)}" if overlay.result_rev is not None else ""
        words += f", {safe(overlay.outcome or 'closed')}{result} at Seq {overlay.closed}"
    return words


def state_in_full(paper: Paper, state: CoordinationState) -> None:
    """A state, section by section; what is empty is left out."""
    head = f"{safe(state.space or '')}@{state.seq}" if state.seq >= 0 else safe(state.space or "")
    if state.commit is None or state.appended is None:
        paper.line(f"{paper.yellow(head)}  before the first decision")
        return
    paper.line(f"{paper.yellow(head)}  {paper.dim(f'{when(state.appended)}  {short(state.commit)}')}")
    if state.lease is not None:
        paper.line(f"lease: {_lease_line(state.lease)}")
    canonicals = set(state.canonicals)
    sections: list[tuple[str, Sequence[str]]] = [
        ("Aliases", [f"{name(alias)} -> {name(target)}" for alias, target in state.aliases.items()]),
        ("Groups", [group_words(paper, group, canonicals) for group in state.groups]),
        ("Open overlays", [overlay_words(overlay) for overlay in state.overlays]),
        ("Closed overlays", [overlay_words(overlay) for overlay in state.closed_overlays]),
        ("Forks", [_fork(edge.source, edge.source_rev, edge.fork, edge.seq) for edge in state.forks]),
        ("Without effect", [f"Seq {void.seq}: {VOID_REASONS[void.reason]} ({void.reason})" for void in state.void]),
        ("Revoked", [", ".join(f"Seq {seq}" for seq in state.revoked)] if state.revoked else []),
        (
            "Extensions",
            [
                f"{safe(kind)}: {safe(_json(held, default=str))}"
                for kind, held in state.extensions.items()
            ],
        ),
    ]
    empty = True
    for title, items in sections:
        if items:
            empty = False
            count = f" ({len(items)})" if title not in ("Revoked", "Extensions") else ""
            paper.line(f"\n{paper.bold(title)}{count}")
            for item in items:
                paper.line(f"  {item}")
    if empty:
        paper.line("\nNothing is in force.")


def _lease_line(lease: Lease) -> str:
    """A lease as the tip of a log tells it."""
    if not lease.holder:
        return f"nobody's since term {lease.term}"
    over = "" if lease.in_force(int(time.time())) else ", which is over"
    return f"{safe(lease.holder)}'s in term {lease.term}, until {when(lease.until)}{over}"


def group_words(paper: Paper, group: Sequence[str], canonicals: set[str]) -> str:
    """The pages of a group; the one that the others were merged into is marked."""
    pages = [f"{paper.bold(name(page))} (canonical)" if page in canonicals else name(page) for page in group]
    return " = ".join(pages)


def changes(paper: Paper, before: CoordinationState, difference: StateDiff) -> None:
    """A difference as lines that were (``-``) and that are (``+``), like a patch."""
    if not difference:
        paper.line("  nothing changes in the state")
        return
    for lines in _changes(before, difference):
        shown = list(lines)
        for sign, text in shown[:_MOST]:
            paper.line(paper.red(f"- {text}") if sign == "-" else paper.green(f"+ {text}"))
        if len(shown) > _MOST:
            paper.line(paper.dim(f"  ... and {len(shown) - _MOST} more lines of this kind (--json shows all)"))


def _changes(before: CoordinationState, difference: StateDiff) -> Iterator[Iterable[tuple[str, str]]]:
    aliases = []
    for alias, (old, new) in difference.aliases.items():
        if old is not None:
            aliases.append(("-", f"alias {name(alias)} -> {name(old)}"))
        if new is not None:
            aliases.append(("+", f"alias {name(alias)} -> {name(new)}"))
    yield aliases
    yield [("-", f"group {' = '.join(map(name, group))}") for group in difference.groups_lost]
    yield [("+", f"group {' = '.join(map(name, group))}") for group in difference.groups_gained]
    yield [("-", f"canonical {name(page)}") for page in difference.canonicals_lost]
    yield [("+", f"canonical {name(page)}") for page in difference.canonicals_gained]
    overlays = []
    for overlay in (*difference.overlays_opened, *difference.overlays_revised, *difference.overlays_closed):
        old_overlay = before.overlay(overlay.overlay_id)
        if old_overlay is not None:
            overlays.append(("-", _overlay_line(old_overlay)))
        overlays.append(("+", _overlay_line(overlay)))
    overlays += [("-", _overlay_line(overlay)) for overlay in difference.overlays_gone]
    yield overlays
    for sign, edges in (("-", difference.forks_lost), ("+", difference.forks_gained)):
        yield [(sign, "fork " + _fork(edge.source, edge.source_rev, edge.fork, edge.seq)) for edge in edges]
    for sign, seqs in (("-", difference.revoked_lost), ("+", difference.revoked_gained)):
        yield [(sign, f"revoked: Seq {seq}") for seq in seqs]
    for sign, voids in (("-", difference.void_lost), ("+", difference.void_gained)):
        yield [(sign, f"void: Seq {void.seq} ({void.reason})") for void in voids]
    extensions = []
    for kind, (old_state, new_state) in difference.extensions.items():
        for sign, held in (("-", old_state), ("+", new_state)):
            if held is not None:
                extensions.append((sign, f"{safe(kind)}: {safe(_json(held, default=str))}"))
    yield extensions
    leases = [(sign, lease) for sign, lease in zip("-+", difference.lease or (), strict=False) if lease]
    yield [(sign, f"lease {name(lease.holder)} (term {lease.term})") for sign, lease in leases if lease.holder]


def _overlay_line(overlay: Overlay) -> str:
    return f"{'overlay' if overlay.closed is None else 'closed overlay'} {overlay_words(overlay)}"


def _fork(source: str, revision: str | None, fork: str, seq: int) -> str:
    at_revision = "" if revision is None else f" @ {name(revision)}"
    return f"{name(source)}{at_revision} -> {name(fork)}  (Seq {seq})"


def _json(value: Any, **how: Any) -> str:
    from json import dumps  # which most answers do without

    return dumps(value, ensure_ascii=False, **how)
