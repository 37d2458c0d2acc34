"""The lease trailer: who alone may append, until when (docs/format.md, "Leases"). Pure; it reads no clock.

    Lease: node-a/5f0c; term=3; ttl=300; until=2026-11-22T10:05:00Z      from an acquisition on
    Lease: -; term=3                                                     after it, while nobody holds one

A lease is *in force* at a time before ``until``. Whoever releases it moves ``until`` to the very time of the release.
This module is on the hook's hot path: it imports nothing heavy.
"""

from .text import is_ident
from .timestamp import seconds, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_TTL = 31_536_000  # seconds: a year
_TOKEN = frozenset("0123456789abcdef")
_TOKEN_LENGTHS = range(4, 65)
_DIGITS = frozenset("0123456789")
_MOST_DIGITS = 15


class Lease:
    """What a trailer says. ``holder`` and ``token`` are ``""`` where nobody holds the lease; ``ttl`` is in seconds,
    ``until`` in seconds since 1970, both 0 then. ``term`` counts the acquisitions of the space from 1 on."""

    __slots__ = ("holder", "term", "token", "ttl", "until")

    def __init__(self, holder: str, token: str, term: int, ttl: int, until: int) -> None:
        self.holder = holder
        self.token = token
        self.term = term
        self.ttl = ttl
        self.until = until

    def in_force(self, time: int) -> bool:
        """Whether the lease excludes others at ``time``, in seconds since 1970."""
        return time < self.until

    def renewed(self, time: int, ttl: "int | None" = None) -> "Lease":
        """The lease as its holder's commit of ``time`` may carry it, with the latest end that it may have."""
        ttl = self.ttl if ttl is None else ttl
        return Lease(self.holder, self.token, self.term, ttl, time + ttl)

    def released(self, time: int) -> "Lease":
        """The lease as its holder's ``lease-released`` of ``time`` carries it."""
        return Lease(self.holder, self.token, self.term, self.ttl, time)

    def json(self) -> "dict[str, Any]":
        """The lease as state JSON shows it; null for what there is none of where nobody holds it."""
        until = text(self.until)[:19] + "Z" if self.holder else None
        return {
            "holder": self.holder or None,
            "term": self.term,
            "token": self.token or None,
            "ttl": self.ttl or None,
            "until": until,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lease) and self.json() == other.json()

    def __hash__(self) -> int:
        return hash((self.token, self.term, self.until))

    def __repr__(self) -> str:
        return f"<Lease {self}>"

    def __str__(self) -> str:
        """The trailer. Raises ValueError if it would end after the year 9999."""
        if not self.holder:
            return f"-; term={self.term}"
        until = text(self.until)[:19] + "Z"
        return f"{self.holder}/{self.token}; term={self.term}; ttl={self.ttl}; until={until}"


def read(trailer: "str | None") -> "Lease | None":
    """What the value of a ``Lease`` trailer says; None for none.

    Raises:
        ValueError: it is not the one spelling of a lease.
    """
    if trailer is None:
        return None
    name, *fields = trailer.split("; ")
    keys = ("term",) if name == "-" else ("term", "ttl", "until")
    if len(fields) != len(keys):
        raise ValueError("not '<holder>/<token>; term=<n>; ttl=<n>; until=<time>', nor '-; term=<n>'")
    values = []
    for key, field in zip(keys, fields, strict=True):
        found, equals, value = field.partition("=")
        if found != key or not equals:
            raise ValueError(f"expected {key}=, found {field!r}")
        values.append(value)
    term = _number(values[0])
    if name == "-":
        return Lease("", "", term, 0, 0)
    holder, _, token = name.rpartition("/")
    if not is_ident(holder):
        raise ValueError("the holder is no ident")
    if not is_token(token):
        raise ValueError("the token is not 4 to 64 characters of [0-9a-f]")
    ttl = _number(values[1])
    if ttl > MOST_TTL:
        raise ValueError(f"a ttl of {ttl} seconds; the longest is {MOST_TTL}")
    until = values[2]
    if not until.endswith("Z") or len(until) != 20:
        raise ValueError("until is not YYYY-MM-DDThh:mm:ssZ")
    return Lease(holder, token, term, ttl, seconds(until[:-1] + ".000000Z"))


def is_token(value: str) -> bool:
    """Whether ``value`` can be the token of an acquisition: 4 to 64 characters of ``[0-9a-f]``."""
    return len(value) in _TOKEN_LENGTHS and _TOKEN.issuperset(value)


def following(
    before: "Lease | None", doc: "dict[str, Any]", time: int, held: "Lease | None", token: str
) -> "str | None":
    """The trailer that the decision ``doc`` gets when it is appended at ``time``; None for none.

    Whether the law lets it in is for the law to say: this is how an appender writes what it is allowed to.

    Args:
        before: the lease of the commit before it.
        held: the lease that the appender holds, if it does.
        token: what names a new acquisition.

    Raises:
        ValueError: the lease would end after the year 9999.
    """
    kind = doc["type"]
    if held is not None and before is not None and before.token == held.token and before.in_force(time):
        if kind == "lease-released":
            return str(before.released(time))
        return str(before.renewed(time, doc["payload"]["ttl"] if kind == "lease-acquired" else None))
    if kind == "lease-acquired":
        payload = doc["payload"]
        term = before.term + 1 if before else 1
        return str(Lease(payload["holder"], token, term, payload["ttl"], time + payload["ttl"]))
    return None if before is None else str(Lease("", "", before.term, 0, 0))


def _number(value: str) -> int:
    if not value or not _DIGITS.issuperset(value) or value[0] == "0" or len(value) > _MOST_DIGITS:
        raise ValueError(f"{value!r} is not a number from 1 on in decimal, {_MOST_DIGITS} digits at most")
    return int(value)

