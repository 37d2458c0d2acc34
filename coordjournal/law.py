"""The law of format 1: whether a decision commit may follow another in the log of a space.

Pure and constant: no clock, no settings, no git. The cost of a step does not grow with the log, and by induction a
chain is lawful if each of its steps is, so that anyone can check a whole log, offline, for ever. What depends on a
server's clock and limits is the admission's (:mod:`coordjournal.admission`).

    link        child.parent is the parent                                      not-fast-forward
    decision    the line is canonical JSON ...                                  bad-json not-canonical
                ... of the schemas                                              schema unknown-type
    place       the decision's space is the ref's, Seq is the parent's plus 1   wrong-space seq
    stamps      author, subject and tree say what the decision says             author subject attachment
    order       the append time is not before the parent's                      time
    lease       nobody appends while another holds the lease                    lease-held
                ... the trailer follows from the parent's and the decision      lease

What comes before all of it, the bytes of the commit itself, is :mod:`coordjournal.commit`'s: merge, bad-commit.

This module is on the hook's hot path; only a refusal imports jsonschema.
"""

from . import trailer
from .accept import accept
from .canonical import loads_fast
from .commit import EMPTY_TREE, Commit, subject
from .errors import Refused
from .timestamp import LAST_SECOND, seconds, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LEASE_TYPES = ("lease-acquired", "lease-released")


def check(space: str, parent: "Commit | None", child: Commit) -> "dict[str, Any]":
    """The decision of ``child``, as its JSON object, if ``child`` may follow ``parent`` in the log of ``space``.

    Args:
        space: the space id that the ref spells.
        parent: the decision commit before it, itself lawful; None if ``child`` is to be the first.
        child: the commit to judge, with ``files`` as measured.

    Raises:
        Refused: with the code of the first rule that is broken, in the order of the table above.
    """
    if child.parent != (parent.oid if parent else None):
        raise _not_a_child(parent, child)
    doc = decision(child.line)
    _check_space(space, doc)
    due = parent.seq + 1 if parent and parent.seq is not None else 0
    if child.seq != due:
        found = "no Seq trailer (it is an intent)" if child.seq is None else f"Seq {child.seq}"
        raise Refused("seq", f"the commit has {found}, due is Seq {due}", "trailer Seq", "stamp it anew onto the tip")
    _check_stamps(child, doc)
    if parent and child.appended < parent.appended:
        raise Refused(
            "time",
            f"the append time {text(child.appended)} is before the parent's {text(parent.appended)}",
            "header committer",
            "stamp the later of the present time and the parent's",
        )
    kind = doc["type"]
    if child.lease is not None or (parent and parent.lease is not None) or kind in _LEASE_TYPES:
        _check_lease(parent, child, kind, doc["payload"])
    return doc


def intent(space: str, child: Commit) -> "dict[str, Any]":
    """The decision of the intent ``child``, as its JSON object, if it could have a place in the log of ``space``.

    That is the law as far as it does not depend on the place: decision, space, author, subject and attachments.

    Raises:
        Refused: as :func:`check`; ``seq`` for a commit with trailers, which has a place already.
    """
    doc = decision(child.line)
    _check_space(space, doc)
    if child.seq is not None:
        raise Refused("seq", f"the commit has Seq {child.seq}, an intent has none", "trailer Seq", "leave trailers out")
    _check_stamps(child, doc)
    return doc


def decision(line: bytes) -> "dict[str, Any]":
    """The decision of a JSON line as far as its bytes alone can tell.

    Raises:
        Refused: ``bad-json``, ``not-canonical``, ``schema`` or ``unknown-type``.
    """
    doc = loads_fast(line)
    if doc is not None and accept(doc):
        found: dict[str, Any] = doc
        return found
    from . import schema

    return schema.judge(line)


def attachments(doc: "dict[str, Any]") -> "dict[str, dict[str, Any]]":
    """The attachments that a decision declares: name to ``{"bytes", "sha256"}``."""
    body = doc["payload"].get("body") if doc["type"] in ("overlay-created", "overlay-revised") else None
    return {} if body is None else {"body": body}


def _check_space(space: str, doc: "dict[str, Any]") -> None:
    if doc["space"] != space:
        raise Refused(
            "wrong-space",
            f"the decision is of space {doc['space']!r}, the ref of space {space!r}",
            "space",
            "push it to its own space; another space needs a decision of its own",
        )


def _check_stamps(child: Commit, doc: "dict[str, Any]") -> None:
    """Whether author, subject and tree say what the decision says."""
    if child.actor != doc["actor"] or child.authored != seconds(doc["at"]):
        raise Refused(
            "author",
            f"the author is {child.actor!r} at {text(child.authored)}, the decision's actor {doc['actor']!r} at "
            f"{doc['at']}",
            "header author",
            "set GIT_AUTHOR_NAME to the actor and GIT_AUTHOR_DATE to `at`, rounded down to the second",
        )
    due_subject = subject(doc["type"], doc["payload"])
    if child.subject != due_subject.encode():
        raise Refused("subject", "the subject does not say what was decided", "subject", f"it is: {due_subject}")
    _check_tree(child, doc)


def _check_tree(child: Commit, doc: "dict[str, Any]") -> None:
    declared = attachments(doc)
    if not declared and child.tree == EMPTY_TREE[len(child.oid)]:
        return
    remedy = "the tree holds exactly the declared attachments as plain files (mode 100644)"
    if child.files is None or [file.name for file in child.files] != sorted(declared):
        found = "something else" if child.files is None else ", ".join(repr(f.name) for f in child.files) or "nothing"
        raise Refused(
            "attachment", f"the tree holds {found}, declared is {', '.join(declared) or 'nothing'}", "tree", remedy
        )
    for file in child.files:
        due = declared[file.name]
        place = f"tree {file.name}"
        if file.mode != "100644":
            raise Refused("attachment", f"the mode is {file.mode}", place, remedy)
        if file.size != due["bytes"]:
            raise Refused("attachment", f"{file.size} bytes, declared are {due['bytes']}", place, remedy)
        if file.sha256 != due["sha256"]:
            raise Refused("attachment", f"its SHA-256 is {file.sha256}, declared is {due['sha256']}", place, remedy)


def _check_lease(parent: "Commit | None", child: Commit, kind: str, payload: "dict[str, Any]") -> None:
    """The law of leases (docs/format.md, "Leases"): by induction a term has one holder, and nobody else's commits."""
    try:
        before = trailer.read(parent.lease) if parent else None
    except ValueError as error:  # a walk that begins at the tip comes to the child first
        raise _bad_lease(f"the parent's does not follow from the law: {error}") from None
    time = child.appended
    try:
        lease = trailer.read(child.lease)
        unreadable = ""
    except ValueError as error:
        lease, unreadable = None, str(error)
    if before is not None and before.in_force(time):
        assert parent is not None
        if child.appender == parent.appender and unreadable:
            raise _bad_lease(unreadable)
        if child.appender != parent.appender or lease is None or _name(lease) != _name(before):
            raise Refused(
                "lease-held",
                f"{before.holder!r} holds the lease of this space until {text(before.until)}, appending as "
                f"{parent.appender!r} under {before}",
                "header committer" if lease and _name(lease) == _name(before) else "trailer Lease",
                "wait until it has ended; a server that sequences takes intents meanwhile: push them to refs/append",
            )
        fault = _fault_while_in_force(before, lease, time, kind, payload)
    else:
        fault = unreadable or _fault_while_free(before, lease, time, kind, payload)
    if fault:
        raise _bad_lease(fault)


def _bad_lease(fault: str) -> Refused:
    return Refused("lease", fault, "trailer Lease", "stamp it anew, as docs/format.md says under Leases")


def _name(lease: "trailer.Lease") -> "tuple[str, str]":
    return lease.holder, lease.token


def _fault_while_in_force(
    before: "trailer.Lease", lease: "trailer.Lease", time: int, kind: str, payload: "dict[str, Any]"
) -> str:
    if lease.term != before.term:
        return f"the term is {before.term} as long as this lease is in force"
    if kind in ("lease-acquired", "lease-released") and payload["holder"] != before.holder:
        return f"the holder of this lease is {before.holder!r}, not {payload['holder']!r}"
    if kind == "lease-acquired":
        return _fault_of_terms(lease, time, payload["ttl"])
    if lease.ttl != before.ttl:
        return f"the ttl is {before.ttl}; a lease-acquired changes it"
    if kind == "lease-released":
        return "" if lease.until == time else f"a release ends the lease at its own append time, {text(time)}"
    if not before.until <= lease.until <= time + before.ttl:
        return f"until is from {text(before.until)}, where it was, to {_shown(time + before.ttl)}, append time + ttl"
    return ""


def _fault_while_free(
    before: "trailer.Lease | None", lease: "trailer.Lease | None", time: int, kind: str, payload: "dict[str, Any]"
) -> str:
    if kind == "lease-released":
        return "no lease is in force that could be released"
    if kind != "lease-acquired":
        due = None if before is None else f"-; term={before.term}"
        if (None if lease is None else str(lease)) == due:
            return ""
        return f"while nobody holds the lease it is {due!r}" if due else "no lease was ever acquired here: none is due"
    term = before.term + 1 if before else 1
    if lease is None or lease.holder != payload["holder"]:
        return f"an acquisition carries the lease that it makes, held by {payload['holder']!r}"
    if lease.term != term:
        return f"the term of the next acquisition is {term}"
    if before is not None and lease.token == before.token:
        return "the token is that of the acquisition before; each has one of its own"
    return _fault_of_terms(lease, time, payload["ttl"])


def _fault_of_terms(lease: "trailer.Lease", time: int, ttl: int) -> str:
    if lease.ttl != ttl:
        return f"the ttl is that of the decision, {ttl}"
    return "" if lease.until == time + ttl else f"until is append time + ttl, {_shown(time + ttl)}"


def _shown(time: int) -> str:
    return text(time) if time <= LAST_SECOND else "after the year 9999, and no lease lasts so long"


def _not_a_child(parent: "Commit | None", child: Commit) -> Refused:
    if parent is None:
        what = f"the first decision of a log has no parent, this has {child.parent}"
    elif child.parent is None:
        what = f"this starts another log, while {parent.oid} is the tip"
    else:
        what = f"its parent is {child.parent}, not the tip {parent.oid}"
    return Refused(
        "not-fast-forward", what, "header parent", "fetch, stamp the decision anew onto the tip, and push again"
    )
