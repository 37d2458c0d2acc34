"""Every error coordjournal raises, under one base, each with a stable ``code``.

This module is on the hook's hot path: it imports nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .decision import Intent


class CoordjournalError(Exception):
    """The base of all errors. ``code`` is stable and meant for programs; ``str()`` is meant for people."""

    code = "error"


class Refused(CoordjournalError):
    """The law or the admission refuses a decision (design section 5; the codes are in docs/format.md).

    Attributes:
        code: one of the refusal codes, such as ``"seq"``.
        what: what was wrong, in words that name the expected and the found value.
        place: where it was wrong (``"payload.alias"``, ``"trailer Seq"``), or ``""``.
        remedy: what to do about it, or ``""``.
        ref, commit, seq: filled in by whoever knows them; ``seq`` is the place in the log, or ``None``.
        incident: the id of this refusal in the server's refusal log, if a server refused.
    """

    def __init__(
        self,
        code: str,
        what: str,
        place: str = "",
        remedy: str = "",
        *,
        ref: str = "",
        commit: str = "",
        seq: "int | None" = None,
        incident: str = "",
    ) -> None:
        super().__init__(code, what, place, remedy)
        self.code = code
        self.what = what
        self.place = place
        self.remedy = remedy
        self.ref = ref
        self.commit = commit
        self.seq = seq
        self.incident = incident

    def __str__(self) -> str:
        where = f" at {self.place}" if self.place else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{self.code}{where}: {self.what}{remedy}"


class NotAJournal(CoordjournalError):
    """The path is not a git repository that can hold a journal."""

    code = "not-a-journal"


class UnknownSpace(CoordjournalError):
    """The space has no log here."""

    code = "unknown-space"


class DecisionNotFound(CoordjournalError):
    """No decision, or more than one, answers to the name given."""

    code = "decision-not-found"


class UnsupportedVersion(CoordjournalError):
    """The log holds decisions of a later format version than this package reads."""

    code = "unsupported-version"


class UnlawfulLog(CoordjournalError):
    """A log breaks the law. ``refusal`` is the first break; nothing local was changed."""

    code = "unlawful-log"

    def __init__(self, refusal: Refused) -> None:
        at = f" Seq {refusal.seq}" if refusal.seq is not None else ""
        super().__init__(f"{refusal.ref}{at} commit {refusal.commit}: {refusal}")
        self.refusal = refusal


class JournalRewound(CoordjournalError):
    """A remote no longer has a decision that this clone has: it rewound, replaced or lost a log. Or the log here is no
    longer the one that an object in this process, or a checkpoint, has seen.

    Nothing local was changed. The way forward is :meth:`coordjournal.Journal.rescue`, and for a checkpoint
    :meth:`coordjournal.Journal.mended`.

    Attributes:
        space: which one.
        known: the commit that was seen. found: the tip as it is now, ``None`` where there is no such log any more.
        common: the last Seq that both logs have, -1 if they have nothing in common, ``None`` where that is not known.
    """

    code = "journal-rewound"

    def __init__(self, space: str, known: str, found: "str | None", common: "int | None" = None) -> None:
        now = f"is now at {found}, which does not contain it" if found else "has no log of this space any more"
        both = ""
        if found and common is not None:
            both = f" (the last that both have is Seq {common})" if common >= 0 else " (they have nothing in common)"
        super().__init__(
            f"the log of space {space!r} went backwards: this clone holds {known}, the remote {now}{both}; nothing was "
            "changed here. Ask the remote's administrator what happened; then, in this clone, `coordjournal rescue` "
            "brings back what the remote has lost, and `coordjournal rescue --accept` gives it up"
        )
        self.space = space
        self.known = known
        self.found = found
        self.common = common


class PreconditionFailed(CoordjournalError):
    """``expect`` or ``when`` did not hold, at the first try or when it was asked again after a lost race."""

    code = "precondition-failed"


class WouldBeVoid(CoordjournalError):
    """The decision would be lawful but without effect; ``allow_void=True`` insists. ``reason`` is the void code."""

    code = "would-be-void"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class IdConflict(CoordjournalError):
    """Another decision with the same id is in the log already."""

    code = "id-conflict"


class Contention(CoordjournalError):
    """The race for the tip was lost until the time ran out; nothing was appended. ``intents`` as for
    :class:`RemoteUnreachable`."""

    code = "contention"
    intents: "tuple[Intent, ...]" = ()


class RemoteUnreachable(CoordjournalError):
    """git could not talk to the remote; the message carries what git said.

    Attributes:
        intents: of an append, the intents that may not have landed: ``append_many(error.intents)`` tries again.
    """

    code = "remote-unreachable"
    intents: "tuple[Intent, ...]" = ()


class Queued(CoordjournalError):
    """The decision is stored but has no place in the log yet; it will get one, or be reported as refused.

    Attributes:
        place: ``"outbox"``: in this clone, the next append or sync sends it; ``"inbox"``: on the server, it waits
            for the holder of the lease.
        intents: what is stored; :meth:`coordjournal.Space.wait` waits for its place.
    """

    code = "queued"

    def __init__(self, place: str, intents: "tuple[Intent, ...]", why: str) -> None:
        what = intents[0].decision.id if len(intents) == 1 else f"{len(intents)} decisions"
        super().__init__(f"{what} in the {place}: {why}")
        self.place = place
        self.intents = intents


class LeaseHeld(CoordjournalError):
    """Somebody else holds the lease of the space: ``holder``, at least until ``until`` (seconds since 1970)."""

    code = "lease-held"

    def __init__(self, space: str, holder: str, until: int) -> None:
        super().__init__(f"{holder!r} holds the lease of {space!r}")
        self.holder = holder
        self.until = until


class LeaseLost(CoordjournalError):
    """The lease is gone, or so near its end that nothing may be written under it any more."""

    code = "lease-lost"


class GitFailed(CoordjournalError):
    """git itself failed: a damaged repository, a full disk, a missing program. ``intents`` as for
    :class:`RemoteUnreachable`, where it was an append that met this."""

    code = "git-failed"
    intents: "tuple[Intent, ...]" = ()
