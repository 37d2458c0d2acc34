"""Puts one decision at its place: the appender's half of a decision commit, judged like one that is pushed.

The library stamps its appends with it, the sequencer those of others. Pure, and on the hook's hot path: it imports
nothing heavy.
"""

from . import admission, law, trailer
from .commit import Commit, build, parse
from .errors import Refused
from .timestamp import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .admission import JudgeExtension, Settings
    from .commit import File
    from .trailer import Lease


class Appender:
    """Who stamps, when, and by what rules.

    ``now`` is the time of stamping in seconds since 1970; ``name`` gives the object name of a kind and content;
    ``held`` is the lease that the appender holds, None for none.
    """

    __slots__ = ("held", "judge_extension", "name", "now", "settings", "who")

    def __init__(
        self,
        who: str,
        now: int,
        name: "Callable[[str, bytes], str]",
        settings: "Settings",
        judge_extension: "JudgeExtension",
        held: "Lease | None" = None,
    ) -> None:
        self.who = who
        self.now = now
        self.name = name
        self.settings = settings
        self.judge_extension = judge_extension
        self.held = held


def place(
    space: str,
    parent: "Commit | None",
    doc: "dict[str, Any]",
    subject: str,
    line: bytes,
    tree: str,
    files: "tuple[File, ...]",
    by: Appender,
) -> "tuple[Commit, bytes]":
    """The commit that puts the decision ``doc``, whose JSON line is ``line``, behind ``parent``, and its bytes.

    The append time is the parent's if that is later than now, so that no clock stops a space.

    Raises:
        Refused: by the law or the admission.
    """
    time = max(by.now, parent.appended) if parent else by.now
    try:
        before = trailer.read(parent.lease) if parent else None
        lease = trailer.following(before, doc, time, by.held, token_of(doc["id"]))
        raw = build(
            tree,
            parent.oid if parent else None,
            doc["actor"],
            seconds(doc["at"]),
            by.who,
            time,
            subject,
            line,
            parent.seq + 1 if parent and parent.seq is not None else 0,
            lease=lease,
        )
    except ValueError as error:
        raise Refused("lease", str(error), "trailer Lease") from None
    child = parse(by.name("commit", raw), raw)
    child.files = files
    admission.check_size(child, len(raw), by.settings)
    law.check(space, parent, child)
    admission.check(doc, parent, child, by.now, by.settings, by.judge_extension)
    return child, raw


def token_of(id: str) -> str:
    """The token of the acquisition whose decision has this id: as fresh as the id, and known to whoever made it."""
    return id.replace("-", "")[-16:]
