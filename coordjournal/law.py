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
    lease       no lease trailer, since this format has no lease types yet      lease

What comes before all of it, the bytes of the commit itself, is :mod:`coordjournal.commit`'s: merge, bad-commit.

This module is on the hook's hot path; only a refusal imports jsonschema.
"""

from .accept import accept
from .canonical import loads_fast
from .commit import EMPTY_TREE, Commit, subject
from .errors import Refused
from .timestamp import seconds, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
    if doc["space"] != space:
        raise Refused(
            "wrong-space",
            f"the decision is of space {doc['space']!r}, the ref of space {space!r}",
            "space",
            "push it to its own space; another space needs a decision of its own",
        )
    due = parent.seq + 1 if parent and parent.seq is not None else 0
    if child.seq != due:
        found = "no Seq trailer (it is an intent)" if child.seq is None else f"Seq {child.seq}"
        raise Refused("seq", f"the commit has {found}, due is Seq {due}", "trailer Seq", "stamp it anew onto the tip")
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
    if parent and child.appended < parent.appended:
        raise Refused(
            "time",
            f"the append time {text(child.appended)} is before the parent's {text(parent.appended)}",
            "header committer",
            "stamp the later of the present time and the parent's",
        )
    if child.lease is not None:
        raise Refused("lease", "no lease was ever acquired in this log", "trailer Lease", "leave the trailer out")
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
