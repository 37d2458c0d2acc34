"""How a command ends when it cannot do what it was asked: the words, the JSON, the exit status."""

from __future__ import annotations

import sys
from typing import Any

from .. import timestamp
from ..errors import CoordjournalError, LeaseHeld, Queued, Refused, RemoteUnreachable, UnlawfulLog
from .output import Paper, put_json, safe

DONE = 0
REFUSED = 1  # refused, unlawful, not found, failed
USAGE = 2
QUEUED = 3  # stored in the outbox or the inbox, and not landed yet
UNREACHABLE = 4
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
BROKEN_PIPE = 141  # 128 + SIGPIPE: what git itself ends with when nobody reads on

_REMEDIES = {
    "would-be-void": "--allow-void appends it all the same",
    "precondition-failed": "see what landed meanwhile: coordjournal log SPACE",
    "unknown-space": "`coordjournal spaces` lists those that are here, `coordjournal sync` fetches what is new",
    "contention": "run the command again",
    "remote-unreachable": "run the command again when the remote answers",
    "lease-held": "`coordjournal lease status SPACE` tells who holds it and how long",
    "lease-lost": "`coordjournal lease acquire SPACE` acquires it (again)",
}


def status_of(error: Exception) -> int:
    """The exit status for an error."""
    if isinstance(error, Queued):
        return QUEUED
    return UNREACHABLE if isinstance(error, RemoteUnreachable) else REFUSED


def tell(error: Exception, as_json: bool) -> None:
    """Says on standard error what went wrong: as text, or as one JSON object on one line."""
    if as_json:
        put_json({"error": described(error)}, sys.stderr)
        return
    paper = Paper(sys.stderr)
    facts = described(error)
    first, *more = str(facts["message"]).split("\n")
    paper.line(f"{paper.red('coordjournal:')} {facts['code']}: {safe(first)}")
    for line in more:
        paper.line(f"  {safe(line)}")
    where = _where(facts.get("refusal", facts))
    if where:
        paper.line(f"  {where}")
    if facts["remedy"]:
        for line in str(facts["remedy"]).split("\n"):
            paper.line(f"  -> {safe(line)}")


def described(error: Exception) -> dict[str, Any]:
    """The error as JSON: always ``code``, ``message`` and ``remedy``; more where the error knows more."""
    if isinstance(error, OSError) and not isinstance(error, CoordjournalError):
        where = f"{error.filename}: " if error.filename else ""
        return {"code": "io", "message": f"{where}{error.strerror or error}", "remedy": ""}
    code = getattr(error, "code", "error")
    facts: dict[str, Any] = {
        "code": code,
        "message": getattr(error, "what", "") or str(error),
        "remedy": getattr(error, "remedy", "") or _REMEDIES.get(code, ""),
    }
    if isinstance(error, Refused):
        facts |= _place(error)
    for key in ("line", "space", "known", "found", "common", "reason"):
        if hasattr(error, key):
            facts[key] = getattr(error, key)
    if isinstance(error, LeaseHeld):
        facts |= {"holder": error.holder, "until": timestamp.text(error.until)}
    if isinstance(error, (Queued, RemoteUnreachable)) and error.intents:
        facts["ids"] = [intent.decision.id for intent in error.intents]
    refusal = getattr(error, "refusal", None)
    if isinstance(refusal, Refused):
        if isinstance(error, UnlawfulLog):
            facts["message"] = f"{refusal.code}: {refusal.what}"
        facts["refusal"] = {"code": refusal.code, "message": refusal.what, "remedy": refusal.remedy, **_place(refusal)}
        facts["remedy"] = facts["remedy"] or refusal.remedy
    if "line" in facts:
        facts["message"] = f"line {facts['line']}: {facts['message']}"
    return facts


def _place(refusal: Refused) -> dict[str, Any]:
    return {
        "place": refusal.place,
        "ref": refusal.ref,
        "commit": refusal.commit,
        "seq": refusal.seq,
        "incident": refusal.incident,
    }


def _where(facts: dict[str, Any]) -> str:
    """Where it is wrong, as far as that is known: place, ref, commit, Seq, and the server's incident."""
    parts = []
    if facts.get("place"):
        parts.append(f"at {safe(facts['place'])}")
    if facts.get("ref"):
        parts.append(safe(facts["ref"]))
    if facts.get("commit"):
        parts.append(f"commit {safe(facts['commit'])}")
    if facts.get("seq") is not None and "incident" in facts:
        parts.append(f"Seq {facts['seq']}")
    if facts.get("incident"):
        parts.append(f"incident {safe(facts['incident'])}")
    return ", ".join(parts)
