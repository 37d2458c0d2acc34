"""Intents as they are pushed: a chain of commits without trailers, from the newest down to what its author last saw.

Both hooks read them with this module: pre-receive to refuse what can have no place in the log, proc-receive to give
them theirs. It is on the hook's hot path and imports nothing heavy.
"""

from . import admission, law
from .commit import Commit, parse
from .errors import GitFailed, Refused
from .gitread import Child, ref
from .refs import space_ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .admission import JudgeExtension, Settings
    from .gitread import Objects

_MOST = 100_000  # intents of one push to one space; they are held in memory
_MOST_BYTES = 64 * 1024 * 1024  # and so many bytes of their decisions


class Intent:
    """An intent that was judged: its ``commit``, with the files measured, and the decision ``doc`` of its line."""

    __slots__ = ("commit", "doc", "id")

    def __init__(self, commit: Commit, doc: "dict[str, Any]") -> None:
        self.commit = commit
        self.doc = doc
        self.id: str = doc["id"]


def read(
    space: str,
    new: str,
    objects: "Objects",
    env: "dict[str, str]",
    now: int,
    settings: "Settings",
    judge_extension: "JudgeExtension",
) -> "tuple[list[Intent], Commit | None]":
    """The intents of the chain that ends with the object ``new``, oldest first, each one judged, and their base.

    The base is the decision commit behind the first of them, None where that is a root. Without any intent ``new``
    itself is the base: a commit that somebody has stamped already.

    Raises:
        Refused: an intent can have no place in the log of ``space``; with its commit.
        GitFailed: an object is missing.
    """
    chain: list[Commit] = []
    oid: str | None = new
    base = None
    held = 0
    while oid is not None:
        try:
            commit = _commit(oid, objects, settings)
        except Refused as refusal:
            # What lies behind the intents is perhaps a decision that landed under a higher limit than today's.
            if not chain or refusal.code != "too-large" or not _in_log(oid, space, env):
                raise
            commit = _commit(oid, objects, settings, of_any_size=True)
        if commit.seq is not None:
            base = commit
            break
        chain.append(commit)
        held += len(commit.line)
        if len(chain) > _MOST or held > _MOST_BYTES:
            raise Refused(
                "too-large",
                f"more than {_MOST} intents or {_MOST_BYTES} bytes of them in one push",
                "ref",
                "push them in several parts",
            )
        oid = commit.parent
    return [judged(space, commit, objects, now, settings, judge_extension) for commit in reversed(chain)], base


def judged(
    space: str,
    commit: Commit,
    objects: "Objects",
    now: int,
    settings: "Settings",
    judge_extension: "JudgeExtension",
) -> Intent:
    """The intent of a commit, if it can have a place in the log. Raises Refused, with the commit."""
    try:
        if commit.files is None:
            commit.files = objects.files(commit.tree, settings.attachment_bytes)
        admission.check_size(commit, 0, settings)
        doc = law.intent(space, commit)
        admission.check_intent(doc, now, settings, judge_extension)
        return Intent(commit, doc)
    except Refused as refusal:
        refusal.commit = commit.oid
        raise


def _in_log(oid: str, space: str, env: "dict[str, str]") -> bool:
    tip = ref(space_ref(space), env)
    return tip is not None and Child(["merge-base", "--is-ancestor", oid, tip], env).wait() == 0


def _commit(oid: str, objects: "Objects", settings: "Settings", of_any_size: bool = False) -> Commit:
    answer = objects.ask(oid)
    if answer is None:
        raise GitFailed(f"the object {oid} is missing")
    _, kind, size = answer
    try:
        if kind != "commit":
            objects.leave()
            raise Refused("not-a-commit", f"a {kind}, not a commit", "object", "push the commit of the intent itself")
        if size > settings.decision_bytes and not of_any_size:
            objects.leave()
            raise admission.too_large_decision(size, settings)
        return parse(oid, objects.take(size))
    except Refused as refusal:
        refusal.commit = oid
        raise
