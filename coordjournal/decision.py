"""What a decision is: the typed payloads programs write, the decision itself, and where it landed.

Only what programs use lives here; the hook judges the plain JSON object and never imports this module.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, ClassVar
from unicodedata import normalize

from . import canonical, timestamp

FORMAT = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Json = Any  #: a value of the canonical JSON model


_Bytes = bytes  # Attachment has a field of that name


@dataclass(frozen=True, slots=True)
class Attachment:
    """A large text beside the decision: its length in bytes and the SHA-256 of them in lower-case hex."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, content: _Bytes) -> Attachment:
        """The attachment that declares ``content``."""
        return cls(len(content), hashlib.sha256(content).hexdigest())

    def json(self) -> dict[str, Json]:
        """The attachment as a payload declares it."""
        return {"bytes": self.bytes, "sha256": self.sha256}


class Payload:
    """The base of the typed payloads: ``type`` is the decision type, ``json()`` the payload as JSON."""

    __slots__ = ()
    type: ClassVar[str]

    def json(self) -> dict[str, Json]:
        """The payload as a JSON object; absent optional fields are left out, ``null`` where the schema wants it."""
        out: dict[str, Json] = {}
        for f in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, f.name)
            if f.name == "body":
                out["body"] = value.json() if isinstance(value, Attachment) else Attachment.of(_bytes(value)).json()
            elif value is not None or f.name == "base_rev":
                out[f.name] = list(value) if isinstance(value, tuple) else value
        return out

    def files(self) -> dict[str, bytes]:
        """The attachments to store beside the decision: name to content."""
        body = getattr(self, "body", None)
        return {} if body is None or isinstance(body, Attachment) else {"body": _bytes(body)}


@dataclass(frozen=True, slots=True)
class AliasSet(Payload):
    """The name ``alias`` means the page ``target``. The alias is brought to Unicode's NFC."""

    type: ClassVar[str] = "alias-set"
    alias: str
    target: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "alias", normalize("NFC", self.alias))


@dataclass(frozen=True, slots=True)
class AliasCleared(Payload):
    """The name ``alias`` means nothing any more. The alias is brought to Unicode's NFC."""

    type: ClassVar[str] = "alias-cleared"
    alias: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "alias", normalize("NFC", self.alias))


@dataclass(frozen=True, slots=True)
class BindingMade(Payload):
    """``members``, two or more distinct pages, are one page."""

    type: ClassVar[str] = "binding-made"
    members: Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", _pages(self.members))


@dataclass(frozen=True, slots=True)
class MergeDecided(Payload):
    """The pages ``sources`` are merged into the page ``into``."""

    type: ClassVar[str] = "merge-decided"
    sources: Sequence[str]
    into: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", _pages(self.sources))


@dataclass(frozen=True, slots=True)
class ForkMade(Payload):
    """The page ``fork`` was forked from the page ``source`` (at its revision ``source_rev``)."""

    type: ClassVar[str] = "fork-made"
    source: str
    fork: str
    source_rev: str | None = None


@dataclass(frozen=True, slots=True)
class OverlayCreated(Payload):
    """A local edit ``body`` lies over the page ``target`` at its revision ``base_rev`` (None: a page yet unwritten)."""

    type: ClassVar[str] = "overlay-created"
    overlay_id: str
    target: str
    base_rev: str | None
    body: str | bytes | Attachment


@dataclass(frozen=True, slots=True)
class OverlayRevised(Payload):
    """The overlay has a new ``body``, now over the revision ``base_rev`` of its page."""

    type: ClassVar[str] = "overlay-revised"
    overlay_id: str
    base_rev: str | None
    body: str | bytes | Attachment


@dataclass(frozen=True, slots=True)
class OverlayClosed(Payload):
    """The overlay was ``applied`` (the page's new revision is ``result_rev``) or ``discarded``."""

    type: ClassVar[str] = "overlay-closed"
    overlay_id: str
    outcome: str
    result_rev: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionRevoked(Payload):
    """The earlier decision of this space with the id ``decision`` is taken back."""

    type: ClassVar[str] = "decision-revoked"
    decision: str


@dataclass(frozen=True, slots=True)
class LeaseAcquired(Payload):
    """``holder`` has the lease of the space, and renews it as long as it appends: for ``ttl`` seconds from each of its
    append times on nobody else appends. :meth:`coordjournal.Space.lease` appends it."""

    type: ClassVar[str] = "lease-acquired"
    holder: str
    ttl: int


@dataclass(frozen=True, slots=True)
class LeaseReleased(Payload):
    """``holder`` gives the lease back."""

    type: ClassVar[str] = "lease-released"
    holder: str


@dataclass(frozen=True, slots=True)
class IntentRefused(Payload):
    """The intent with the id ``decision``, which waited in the inbox, is let go because of ``reason``."""

    type: ClassVar[str] = "intent-refused"
    decision: str
    reason: str


BUILT_IN: dict[str, type[Payload]] = {
    payload.type: payload
    for payload in (
        AliasSet,
        AliasCleared,
        BindingMade,
        MergeDecided,
        ForkMade,
        OverlayCreated,
        OverlayRevised,
        OverlayClosed,
        DecisionRevoked,
        LeaseAcquired,
        LeaseReleased,
        IntentRefused,
    )
}


@dataclass(frozen=True, slots=True)
class Decision:
    """One event: ``actor`` decided ``type`` and ``payload`` at ``at``, in ``space``, because of ``reason``.

    ``id`` is a UUIDv7 in lower-case hex with hyphens; ``at`` is UTC with six digits of fraction. The payload and meta
    objects are to be read, never changed.
    """

    id: str
    space: str
    type: str
    payload: Mapping[str, Json]
    actor: str
    at: str
    reason: str | None = None
    meta: Mapping[str, str] | None = field(default=None)

    def json(self) -> dict[str, Json]:
        """The decision as the JSON object that stands in its commit."""
        out: dict[str, Json] = {
            "actor": self.actor,
            "at": self.at,
            "id": self.id,
            "payload": dict(self.payload),
            "space": self.space,
            "type": self.type,
            "v": FORMAT,
        }
        if self.reason is not None:
            out["reason"] = self.reason
        if self.meta is not None:
            out["meta"] = dict(self.meta)
        return out

    def line(self) -> bytes:
        """The canonical JSON line, without a newline. Raises ValueError outside the JSON model."""
        return canonical.dumps(self.json())

    @classmethod
    def from_json(cls, doc: Mapping[str, Json]) -> Decision:
        """The decision of a JSON object that the law has passed."""
        return cls(
            id=doc["id"],
            space=doc["space"],
            type=doc["type"],
            payload=doc["payload"],
            actor=doc["actor"],
            at=doc["at"],
            reason=doc.get("reason"),
            meta=doc.get("meta"),
        )


@dataclass(frozen=True, slots=True)
class Landed:
    """A decision at its place: ``seq`` in its space, in the commit ``commit``, put there by ``appender`` at
    ``appended`` (whole seconds since 1970), under the lease that the trailer ``lease`` tells."""

    seq: int
    commit: str
    appended: int
    appender: str
    decision: Decision
    lease: str | None = None

    def record(self) -> tuple[str, int, str, dict[str, Json], str | None]:
        """What an index keeps of it (:data:`coordjournal.index.Record`)."""
        return self.commit, self.appended, self.appender, self.decision.json(), self.lease

    def json(self) -> dict[str, Json]:
        """The decision's JSON object with its ``seq``, ``commit``, ``appended`` (a time), ``appender``, and ``lease``
        if its commit has such a trailer."""
        placed = {
            **self.decision.json(),
            "seq": self.seq,
            "commit": self.commit,
            "appended": timestamp.text(self.appended),
            "appender": self.appender,
        }
        return placed if self.lease is None else {**placed, "lease": self.lease}


def new_id(
    clock: Callable[[], int] = time.time_ns, entropy: Callable[[int], bytes] = os.urandom
) -> str:
    """A new UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds since 1970, the rest random."""
    raw = bytearray((clock() // 1_000_000 & (1 << 48) - 1).to_bytes(6, "big") + entropy(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def at_text(at: datetime | str | None, clock: Callable[[], int] = time.time_ns) -> str:
    """The ``at`` of a decision: now, or what was given, as UTC text with six digits of fraction.

    Raises:
        ValueError: a naive datetime, a time outside 1970 to 9999, or text of another form.
    """
    if at is None:
        nanoseconds = clock()
        return timestamp.text(nanoseconds // 1_000_000_000, nanoseconds // 1000 % 1_000_000)
    if isinstance(at, str):
        timestamp.seconds(at)
        return at
    if at.tzinfo is None:
        raise ValueError("the time has no zone; say datetime.now(UTC)")
    since = at - _EPOCH
    return timestamp.text(since.days * 86400 + since.seconds, since.microseconds)


def _pages(pages: Sequence[str]) -> tuple[str, ...]:
    if isinstance(pages, str):
        raise TypeError(f"expected a sequence of pages, not one text: {pages!r}")
    return tuple(pages)


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


@dataclass(frozen=True, slots=True)
class Intent:
    """A decision that has no place in a log yet, with the content of its attachments (name to bytes)."""

    decision: Decision
    files: Mapping[str, bytes] = field(default_factory=dict)
