"""The admission: what can be judged only when a commit arrives, by the server's clock, limits and declared schemas.

A log that was admitted stays lawful whatever the settings become later, so ``verify`` never asks this module. It is
pure all the same: the time and the settings are arguments. It is on the hook's hot path and imports nothing heavy.
"""

from . import trailer
from .commit import Commit
from .errors import Refused
from .timestamp import seconds, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    JudgeExtension = Callable[[str, Any], None]

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0", "")  # git takes an empty value for false


class Settings:
    """The settings of a repository, from its git configuration (docs/operations.md, "Settings").

    Sizes are in bytes, times in seconds. ``primary`` is where to append instead while ``read_only`` holds;
    ``sequencing`` whether git hands what is pushed to ``refs/append`` to the proc-receive hook.
    """

    __slots__ = (
        "attachment_bytes",
        "clock_skew",
        "decision_bytes",
        "lease_max_ttl",
        "primary",
        "read_only",
        "sequencing",
        "strict",
    )

    def __init__(
        self,
        *,
        strict: bool = False,
        decision_bytes: int = 65_536,
        attachment_bytes: int = 16 * 1024 * 1024,
        clock_skew: int = 60,
        lease_max_ttl: int = 3600,
        read_only: bool = False,
        primary: str = "",
        sequencing: bool = False,
    ) -> None:
        self.strict = strict
        self.decision_bytes = decision_bytes
        self.attachment_bytes = attachment_bytes
        self.clock_skew = clock_skew
        self.lease_max_ttl = lease_max_ttl
        self.read_only = read_only
        self.primary = primary
        self.sequencing = sequencing

    @classmethod
    def from_config(cls, config: "Mapping[str, str]") -> "Settings":
        """The settings of a git configuration as :func:`coordjournal.gitread.config` reads it.

        Raises:
            ValueError: a value is not a boolean or a number as git writes them; a guard must not guess.
        """
        return cls(
            strict=_boolean(config, "coordjournal.strict"),
            decision_bytes=_number(config, "coordjournal.maxdecisionbytes", 65_536),
            attachment_bytes=_number(config, "coordjournal.maxattachmentbytes", 16 * 1024 * 1024),
            clock_skew=_number(config, "coordjournal.clockskew", 60),
            lease_max_ttl=_number(config, "coordjournal.leasemaxttl", 3600),
            read_only=_boolean(config, "coordjournal.readonly"),
            primary=config.get("coordjournal.primary", ""),
            sequencing="refs/append" in config.get("receive.procreceiverefs", "").split("\n"),
        )


def check_writable(settings: Settings) -> None:
    """Raises Refused ``read-only`` if the repository is a replica or closed."""
    if settings.read_only:
        where = f"append at {settings.primary}" if settings.primary else "ask its administrator where to append"
        raise Refused("read-only", "this repository takes no decisions", "repository", where)


def check_size(child: Commit, decision_bytes: int, settings: Settings) -> None:
    """Whether a commit of ``decision_bytes`` bytes and its attachments are within the limits, by their sizes alone.

    Raises:
        Refused: ``too-large``.
    """
    if decision_bytes > settings.decision_bytes:
        raise too_large_decision(decision_bytes, settings)
    for file in child.files or ():
        if file.size > settings.attachment_bytes:
            raise Refused(
                "too-large",
                f"an attachment of {file.size} bytes, the limit is {settings.attachment_bytes}",
                f"tree {file.name}",
                "keep large material in the page's own store and decide about its revision",
            )


def too_large_decision(decision_bytes: int, settings: Settings) -> Refused:
    """The refusal of a commit that is not read at all because of its size."""
    return Refused(
        "too-large",
        f"a decision commit of {decision_bytes} bytes, the limit is {settings.decision_bytes}",
        "commit",
        "keep large text in an attachment",
    )


def check(
    doc: "dict[str, Any]",
    parent: "Commit | None",
    child: Commit,
    now: int,
    settings: Settings,
    judge_extension: "JudgeExtension",
) -> None:
    """Whether the lawful decision ``doc`` of ``child`` may land at ``now`` (seconds since 1970).

    Args:
        judge_extension: called with type and payload of an extension; raises Refused ``undeclared-type`` or
            ``extension-schema``.

    Raises:
        Refused: ``clock``, ``lease``, ``undeclared-type`` or ``extension-schema``.
    """
    latest = now + settings.clock_skew
    if child.appended > latest and (parent is None or child.appended > parent.appended):
        raise Refused(
            "clock",
            f"the append time {text(child.appended)} is more than {settings.clock_skew} s after the server's "
            f"{text(now)}",
            "header committer",
            "set the appender's clock",
        )
    if parent is not None and parent.lease is not None and child.appended > now:
        _check_takeover(parent, child, now)
    if doc["type"] == "lease-acquired":
        _check_ttl(doc["payload"]["ttl"], settings)
    _check_decided(doc, child.appended, settings)
    if doc["type"].startswith("x-"):
        judge_extension(doc["type"], doc["payload"])


def check_intent(
    doc: "dict[str, Any]", now: int, settings: Settings, judge_extension: "JudgeExtension"
) -> None:
    """Whether an intent with the decision ``doc`` may be taken in at ``now``; the server will stamp it itself.

    Raises:
        Refused: ``clock``, ``lease``, ``undeclared-type`` or ``extension-schema``; ``lease`` also for a type that only
            the holder of the lease appends itself.
    """
    if doc["type"] in ("lease-released", "intent-refused"):
        raise Refused(
            "lease",
            f"a {doc['type']} is no intent: the holder of the lease stamps it itself",
            "type",
            "`coordjournal lease` does so",
        )
    if doc["type"] == "lease-acquired":
        _check_ttl(doc["payload"]["ttl"], settings)
    _check_decided(doc, now, settings)
    if doc["type"].startswith("x-"):
        judge_extension(doc["type"], doc["payload"])


def _check_decided(doc: "dict[str, Any]", appended: int, settings: Settings) -> None:
    if seconds(doc["at"]) > appended + settings.clock_skew:
        raise Refused(
            "clock",
            f"decided at {doc['at']}, more than {settings.clock_skew} s after it was appended at {text(appended)}",
            "at",
            "set the actor's clock",
        )


def _check_takeover(parent: Commit, child: Commit, now: int) -> None:
    """What ends an expired lease must come when this clock too has passed its end: a holder whose clock is within the
    skew then knows that it has ended. One that was released is over by its holder's own word."""
    lease = trailer.read(parent.lease)
    if lease is not None and lease.until > parent.appended and not lease.in_force(child.appended):
        raise Refused(
            "clock",
            f"the append time {text(child.appended)} is after the server's {text(now)}, and what follows the lease of "
            f"{lease.holder!r} must not run ahead of it",
            "header committer",
            "wait until the server's clock has passed that time, or set the appender's clock",
        )


def _check_ttl(ttl: int, settings: Settings) -> None:
    least = 2 * settings.clock_skew
    if not least <= ttl <= settings.lease_max_ttl:
        raise Refused(
            "lease",
            f"a ttl of {ttl} s; here it is from {least} s, twice the clock skew, to {settings.lease_max_ttl} s",
            "payload.ttl",
            "ask for a lease of such a length",
        )


def _boolean(config: "Mapping[str, str]", key: str) -> bool:
    value = config.get(key, "false").lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError(f"{key} is {value!r}, not a boolean")


def _number(config: "Mapping[str, str]", key: str, default: int) -> int:
    value = config.get(key, "")
    if not value:
        return default
    factor = {"k": 1024, "m": 1024**2, "g": 1024**3}.get(value[-1].lower(), 1)
    digits = value if factor == 1 else value[:-1]
    if not digits.isascii() or not digits.isdigit():
        raise ValueError(f"{key} is {value!r}, not a number of 0 or more")
    return int(digits) * factor
