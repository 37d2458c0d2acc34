"""What a decision is, and where it landed; the typed payloads that programs write are in :mod:`coordjournal.payload`.

Only what programs use lives here; the hook judges the plain JSON object and never imports this module.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import canonical, timestamp
from .value import Value

if TYPE_CHECKING:
    from datetime import datetime

FORMAT = 1

Json = Any  #: a value of the canonical JSON model


_Bytes = bytes  # Attachment has a field of that name


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Attachment(Value):
    """A large text beside the decision: its length in bytes and the SHA-256 of them in lower-case hex."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, content: _Bytes) -> Attachment:
        """The attachment that declares ``content``."""
        import hashlib

        return cls(len(content), hashlib.sha256(content).hexdigest())

    def json(self) -> dict[str, Json]:
        """The attachment as a payload declares it."""
        return {"bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Decision(Value):
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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Landed(Value):
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
    from datetime import UTC, datetime

    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return timestamp.text(since.days * 86400 + since.seconds, since.microseconds)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Intent(Value):
    """A decision that has no place in a log yet, with the content of its attachments (name to bytes)."""

    decision: Decision
    files: Mapping[str, bytes] = field(default_factory=dict)
