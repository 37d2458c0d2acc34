"""The typed payloads that programs write, one class a decision type (docs/format.md, "Decision").

Apart from :mod:`coordjournal.decision`, because a class takes half a millisecond to make and no question needs one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from unicodedata import normalize

from .decision import Attachment, Json
from .value import Value


class Payload(Value):
    """The base of the typed payloads: ``type`` is the decision type, ``json()`` the payload as JSON."""

    __slots__: tuple[str, ...] = ()
    type: ClassVar[str]

    def json(self) -> dict[str, Json]:
        """The payload as a JSON object; absent optional fields are left out, ``null`` where the schema wants it."""
        out: dict[str, Json] = {}
        for name in self.__slots__:  # the fields of a dataclass with slots; fields() takes three times the time
            value = getattr(self, name)
            if name == "body":
                out["body"] = value.json() if isinstance(value, Attachment) else Attachment.of(_bytes(value)).json()
            elif value is not None or name == "base_rev":
                out[name] = list(value) if isinstance(value, tuple) else value
        return out

    def files(self) -> dict[str, bytes]:
        """The attachments to store beside the decision: name to content."""
        body = getattr(self, "body", None)
        return {} if body is None or isinstance(body, Attachment) else {"body": _bytes(body)}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AliasSet(Payload):
    """The name ``alias`` means the page ``target``. The alias is brought to Unicode's NFC."""

    type: ClassVar[str] = "alias-set"
    alias: str
    target: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "alias", normalize("NFC", self.alias))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AliasCleared(Payload):
    """The name ``alias`` means nothing any more. The alias is brought to Unicode's NFC."""

    type: ClassVar[str] = "alias-cleared"
    alias: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "alias", normalize("NFC", self.alias))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BindingMade(Payload):
    """``members``, two or more distinct pages, are one page."""

    type: ClassVar[str] = "binding-made"
    members: Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", _pages(self.members))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MergeDecided(Payload):
    """The pages ``sources`` are merged into the page ``into``."""

    type: ClassVar[str] = "merge-decided"
    sources: Sequence[str]
    into: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", _pages(self.sources))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ForkMade(Payload):
    """The page ``fork`` was forked from the page ``source`` (at its revision ``source_rev``)."""

    type: ClassVar[str] = "fork-made"
    source: str
    fork: str
    source_rev: str | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OverlayCreated(Payload):
    """A local edit ``body`` lies over the page ``target`` at its revision ``base_rev`` (None: a page yet unwritten)."""

    type: ClassVar[str] = "overlay-created"
    overlay_id: str
    target: str
    base_rev: str | None
    body: str | bytes | Attachment


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OverlayRevised(Payload):
    """The overlay has a new ``body``, now over the revision ``base_rev`` of its page."""

    type: ClassVar[str] = "overlay-revised"
    overlay_id: str
    base_rev: str | None
    body: str | bytes | Attachment


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OverlayClosed(Payload):
    """The overlay was ``applied`` (the page's new revision is ``result_rev``) or ``discarded``."""

    type: ClassVar[str] = "overlay-closed"
    overlay_id: str
    outcome: str
    result_rev: str | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DecisionRevoked(Payload):
    """The earlier decision of this space with the id ``decision`` is taken back."""

    type: ClassVar[str] = "decision-revoked"
    decision: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LeaseAcquired(Payload):
    """``holder`` has the lease of the space, and renews it as long as it appends: for ``ttl`` seconds from each of its
    append times on nobody else appends. :meth:`coordjournal.Space.lease` appends it."""

    type: ClassVar[str] = "lease-acquired"
    holder: str
    ttl: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LeaseReleased(Payload):
    """``holder`` gives the lease back."""

    type: ClassVar[str] = "lease-released"
    holder: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
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


def _pages(pages: Sequence[str]) -> tuple[str, ...]:
    if isinstance(pages, str):
        raise TypeError(f"expected a sequence of pages, not one text: {pages!r}")
    return tuple(pages)


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
