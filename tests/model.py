"""The fold once more, in the dumbest way: an oracle for the tests that shares no code with the package.

Every question is answered from the whole log and by the words of the rule, however slow that is. ``log`` is a list of
decisions as JSON objects, the place in the list is the Seq; ``without`` are the Seqs that count as revoked.
At its end is the law of leases, by the words of docs/format.md, for the tests of the law.
"""

import re
from datetime import UTC, datetime

OVERLAY_TYPES = ("overlay-created", "overlay-revised", "overlay-closed")
NOT_REVOCABLE = ("lease-acquired", "lease-released", "intent-refused")


def is_repeat(log, seq):
    return any(earlier["id"] == log[seq]["id"] for earlier in log[:seq])


def named_by(log, seq):
    """The Seq that the revocation at ``seq`` names, or why it names none."""
    for earlier in range(seq):
        if log[earlier]["id"] == log[seq]["payload"]["decision"]:
            return "not-revocable" if log[earlier]["type"] in NOT_REVOCABLE else earlier
    return "unknown-decision"


def is_revoked(log, seq, without=()):
    """Does a later effective revocation name it?"""
    if is_repeat(log, seq) or log[seq]["type"] in NOT_REVOCABLE:
        return False
    if seq in without:
        return True
    return any(
        log[later]["type"] == "decision-revoked"
        and not is_repeat(log, later)
        and named_by(log, later) == seq
        and not is_revoked(log, later, without)
        for later in range(seq + 1, len(log))
    )


def counting(log, without=(), types=()):
    """The Seqs of those types that are neither repeats nor revoked."""
    return [
        seq
        for seq in range(len(log))
        if log[seq]["type"] in types and not is_repeat(log, seq) and not is_revoked(log, seq, without)
    ]


def aliases(log, without=()):
    names = {}
    for seq in counting(log, without, ("alias-set", "alias-cleared")):
        payload = log[seq]["payload"]
        if log[seq]["type"] == "alias-set":
            names[payload["alias"]] = payload["target"]
        else:
            names.pop(payload["alias"], None)
    return names


def group_and_merges(log, page, without=()):
    """Add whatever touches the group until nothing does any more."""
    group, merges = {page}, set()
    edges = counting(log, without, ("binding-made", "merge-decided"))
    for _ in edges:  # as often as the longest chain could need
        for seq in edges:
            payload = log[seq]["payload"]
            pages = set(payload.get("members", [])) | set(payload.get("sources", []))
            if "into" in payload:
                pages.add(payload["into"])
            if pages & group:
                group |= pages
                if "into" in payload:
                    merges.add(seq)
    return group, merges


def group(log, page, without=()):
    return sorted(group_and_merges(log, page, without)[0], key=str.encode)


def canonical(log, page, without=()):
    merges = group_and_merges(log, page, without)[1]
    return log[max(merges)]["payload"]["into"] if merges else None


def pages(log):
    found = set()
    for decision in log:
        payload = decision["payload"]
        if decision["type"] in ("binding-made", "merge-decided"):
            found |= set(payload.get("members", [])) | set(payload.get("sources", []))
            found |= {payload["into"]} if "into" in payload else set()
    return found


def overlays(log, without=()):
    """All that were ever opened, as JSON, and the reasons of the void ones."""
    known, void = {}, {}
    for seq in counting(log, without, OVERLAY_TYPES):
        kind, payload = log[seq]["type"], log[seq]["payload"]
        overlay = known.get(payload["overlay_id"])
        if kind == "overlay-created" and overlay is not None:
            void[seq] = "overlay-exists"
        elif kind == "overlay-created":
            known[payload["overlay_id"]] = {**payload, "opened": seq, "revised": seq}
        elif overlay is None:
            void[seq] = "unknown-overlay"
        elif "closed" in overlay:
            void[seq] = "overlay-closed"
        elif kind == "overlay-revised":
            overlay.update(base_rev=payload["base_rev"], body=payload["body"], revised=seq)
        else:
            overlay.update(outcome=payload["outcome"], result_rev=payload.get("result_rev"), closed=seq)
    return sorted(known.values(), key=lambda overlay: overlay["opened"]), void


def forks(log, without=()):
    edges = []
    for seq in counting(log, without, ("fork-made",)):
        payload = log[seq]["payload"]
        edges.append(
            {
                "source": payload["source"],
                "fork": payload["fork"],
                "source_rev": payload.get("source_rev"),
                "seq": seq,
            }
        )
    return edges


def lineage(log, page, without=()):
    edges = forks(log, without)
    found = [page]
    at = 0
    while at < len(found):
        for edge in edges:
            if edge["fork"] == found[at] and edge["source"] not in found:
                found.append(edge["source"])
        at += 1
    return found[1:]


def extensions(log, without=(), plugins=None):
    """``plugins``: type to (initial state, function of state and decision). The states, and the Seqs that failed."""
    states, failed = {}, []
    for kind, (initial, step) in (plugins or {}).items():
        states[kind] = initial
        for seq in counting(log, without, (kind,)):
            try:
                states[kind] = step(states[kind], log[seq])
            except ValueError:
                failed.append(seq)
    return states, failed


def void(log, without=(), plugins=None):
    reasons = dict(overlays(log, without)[1])
    for seq in extensions(log, without, plugins)[1]:
        reasons[seq] = "extension-failed"
    for seq, decision in enumerate(log):
        if is_repeat(log, seq):
            reasons[seq] = "repeated-id"
        elif is_revoked(log, seq, without):
            continue
        elif decision["type"] == "decision-revoked" and isinstance(named_by(log, seq), str):
            reasons[seq] = named_by(log, seq)
        elif decision["type"] == "alias-cleared":
            # Was it set just before? What is revoked later does not count before either, so ask the whole log.
            gone = {other for other in range(len(log)) if is_revoked(log, other, without)}
            names = {}
            for earlier in range(seq):
                if earlier in gone or is_repeat(log, earlier):
                    continue
                if log[earlier]["type"] == "alias-set":
                    names[log[earlier]["payload"]["alias"]] = True
                if log[earlier]["type"] == "alias-cleared":
                    names[log[earlier]["payload"]["alias"]] = False
            if not names.get(decision["payload"]["alias"]):
                reasons[seq] = "alias-not-set"
    return [{"seq": seq, "id": log[seq]["id"], "reason": reasons[seq]} for seq in sorted(reasons)]


def state(log, without=(), plugins=None, space="garden", trailer=None):
    """The object of ``state --json``, but for ``commit``; ``trailer`` is that of the last commit."""
    groups = {tuple(group(log, page, without)) for page in pages(log)}
    found = {canonical(log, page, without) for page in pages(log)} - {None}
    every = overlays(log, without)[0]
    return {
        "space": space,
        "seq": len(log) - 1,
        "aliases": aliases(log, without),
        "groups": [list(g) for g in sorted(groups, key=lambda g: [p.encode() for p in g]) if len(g) > 1],
        "canonicals": sorted(found, key=str.encode),
        "overlays": [overlay for overlay in every if "closed" not in overlay],
        "closed_overlays": [overlay for overlay in every if "closed" in overlay],
        "forks": forks(log, without),
        "lease": lease(trailer),
        "void": void(log, without, plugins),
        "revoked": [seq for seq in range(len(log)) if is_revoked(log, seq, without)],
        "extensions": extensions(log, without, plugins)[0],
    }


def would_be_void(log, decision, plugins=None):
    """Append it and look."""
    reasons = {entry["seq"]: entry["reason"] for entry in void([*log, decision], (), plugins)}
    return reasons.get(len(log))


# -- leases ----------------------------------------------------------------------------------------------------------

_NUMBER = "([1-9][0-9]{0,14})"
_HELD = re.compile(rf"(.*)/([0-9a-f]{{4,64}}); term={_NUMBER}; ttl={_NUMBER}; until=([0-9TZ:-]{{20}})")
_NOBODY = re.compile(rf"-; term={_NUMBER}")


def lease(trailer):
    """What a trailer says, as in state JSON, None for none. Raises ValueError if it is not the one spelling."""
    if trailer is None:
        return None
    nobody = _NOBODY.fullmatch(trailer)
    if nobody:
        return {"holder": None, "term": int(nobody[1]), "token": None, "ttl": None, "until": None}
    held = _HELD.fullmatch(trailer)
    if not held or not is_ident(held[1]) or int(held[4]) > 365 * 86400:
        raise ValueError(trailer)
    until = datetime.strptime(held[5], "%Y-%m-%dT%H:%M:%SZ")
    if until.year < 1970 or until.isoformat() + "Z" != held[5]:
        raise ValueError(trailer)
    return {"holder": held[1], "term": int(held[3]), "token": held[2], "ttl": int(held[4]), "until": held[5]}


def is_ident(name):
    return (
        1 <= len(name.encode()) <= 200
        and not re.search("[<>;\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", name)
        and not set(" .,:;<>\"\\'") & {name[0], name[-1]}
        and name != "-"
    )


def end(lease):
    """The end of a lease in seconds since 1970; None for one that nobody holds."""
    if lease is None or lease["until"] is None:
        return None
    return int(datetime.strptime(lease["until"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


def lease_code(parent, child):
    """The code by which the law of leases refuses ``child`` behind ``parent`` (None: it is the first), or None.

    Both are ``(committer, append time, trailer, decision)``.
    """
    committer, time, trailer, decision = child
    kind, payload = decision["type"], decision["payload"]
    before = lease(parent[2]) if parent else None
    in_force = end(before) is not None and time < end(before)
    if in_force and committer != parent[0]:
        return "lease-held"
    try:
        after = lease(trailer)
    except ValueError:
        return "lease"
    if in_force:
        if after is None or (after["holder"], after["token"]) != (before["holder"], before["token"]):
            return "lease-held"
        if kind == "lease-acquired":
            due, ends = {**before, "ttl": payload["ttl"]}, [time + payload["ttl"]]
        elif kind == "lease-released":
            due, ends = before, [time]
        else:
            due, ends = before, range(end(before), time + before["ttl"] + 1)
        named = payload["holder"] if kind in ("lease-acquired", "lease-released") else before["holder"]
        rest = {**after, "until": None} == {**due, "until": None}
        return None if named == before["holder"] and rest and end(after) in ends else "lease"
    if kind == "lease-acquired":
        term = 1 if before is None else before["term"] + 1
        lawful = (
            after is not None
            and (after["holder"], after["term"], after["ttl"]) == (payload["holder"], term, payload["ttl"])
            and end(after) == time + payload["ttl"]
            and (before is None or after["token"] != before["token"])
        )
    elif kind == "lease-released":
        lawful = False
    else:
        lawful = trailer == (None if before is None else f"-; term={before['term']}")
    return None if lawful else "lease"
