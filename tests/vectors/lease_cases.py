"""The law of leases (docs/format.md, "Leases"), beside commit_cases.py. Every trailer is written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .commit_cases import _ID, _T, Log, _case, _decision, _line, _object_name, _raw, _tree, trailers

_SPACE = "leased"
_EMPTY = _tree((), 40)

_Doc = tuple[str, dict[str, Any]]  # the subject and the decision


def _doc(number: int, kind: str, shown: str, payload: dict[str, Any], **more: Any) -> _Doc:
    return f"{kind}: {shown}", _decision(number, kind, payload, **({"space": _SPACE} | more))


def _append(number: int, **more: Any) -> _Doc:
    return _doc(number, "alias-cleared", "Home", {"alias": "Home"}, **more)


def _acquire(number: int, holder: str = "node-a", ttl: int = 300, **more: Any) -> _Doc:
    return _doc(number, "lease-acquired", f"{holder} for {ttl} s", {"holder": holder, "ttl": ttl}, **more)


def _release(number: int, holder: str = "node-a") -> _Doc:
    return _doc(number, "lease-released", holder, {"holder": holder})


def _let_go(number: int) -> _Doc:
    payload = {"decision": f"{_ID}0000000000ff", "reason": "the name\nis taken"}
    return _doc(number, "intent-refused", f"{_ID}0000000000ff (the name is taken)", payload)


def _committer(who: str, seconds: int) -> str:
    return f"{who} <> {seconds} +0000"


# -- what the law lets in --------------------------------------------------------------------------------------------


def _lawful() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []
    log = Log(cases, _SPACE)
    number = 0

    def add(
        name: str, make: Callable[[int], _Doc], at: int, lease: str | None, who: str = "node-a", about: str = ""
    ) -> None:
        """``at`` is in seconds after 10:00:00."""
        nonlocal number
        subject, doc = make(number)
        log.add(f"lease: {name}", subject, doc, (), about, lease, committer=_committer(who, _T + at))
        number += 1

    def until(end: str, ttl: int, term: int = 1, name: str = "node-a/5f0c") -> str:
        return f"{name}; term={term}; ttl={ttl}; until=2026-11-22T{end}Z"

    def acquiring(holder: str, ttl: int) -> Callable[[int], _Doc]:
        return lambda number: _acquire(number, holder, ttl)

    add("before the first acquisition", _append, 0, None, about="there is no trailer then")
    add("the first acquisition", _acquire, 10, until("10:05:10", 300))
    add("an append that leaves the end where it was", _append, 20, until("10:05:10", 300), about="the earliest end")
    add("an append that renews", _append, 30, until("10:05:30", 300), about="the latest end: append time + ttl")
    add("an append that renews a little", _append, 60, until("10:05:45", 300), about="any end between the two")
    add("in the same second", _append, 60, until("10:06:00", 300))
    add(
        "a renewal with a shorter ttl",
        acquiring("node-a", 60),
        120,
        until("10:03:00", 60),
        about="the end comes nearer",
    )
    add("a renewal with a longer ttl", acquiring("node-a", 600), 130, until("10:12:10", 600))
    add("somebody else's decision", lambda number: _append(number, actor="bob"), 140, until("10:12:10", 600))
    cases[-1] = _another_author(log, cases[-1], "bob")
    add("an intent let go", _let_go, 140, until("10:12:20", 600))
    add("the last second", _append, 739, until("10:22:19", 600), about="10:12:19: in force until 10:12:20")
    add("released", _release, 740, until("10:12:20", 600), about="until is the append time itself")
    add(
        "after the release",
        _append,
        740,
        "-; term=1",
        "node-b",
        about="in the same second; anybody, with the last term",
    )
    add("after the release again", _append, 750, "-; term=1", "node-c")
    add(
        "the next acquisition",
        acquiring("node-b", 60),
        780,
        until("10:14:00", 60, 2, "node-b/5f0c"),
        "node-b",
        "a token that is not that of the parent's trailer, which has none",
    )
    add(
        "taken over where it ends",
        acquiring("org/node-c", 1),
        840,
        until("10:14:01", 1, 3, "org/node-c/" + "f" * 64),
        "node-c",
        "at `until` the lease is over; the token is what follows the last solidus",
    )
    add(
        "taken again by the same holder",
        acquiring("org/node-c", 31_536_000),
        841,
        "org/node-c/0000; term=4; ttl=31536000; until=2027-11-22T10:14:01Z",
        "node-c",
        "another term, another token",
    )
    add(
        "released in the second of the acquisition",
        lambda number: _release(number, "org/node-c"),
        841,
        "org/node-c/0000; term=4; ttl=31536000; until=2026-11-22T10:14:01Z",
        "node-c",
    )
    add(
        "acquired in the second of the release",
        acquiring("node-d", 10),
        841,
        until("10:14:11", 10, 5, "node-d/abcdef01"),
        "hub",
        "the committer need not be the holder; it is who goes on",
    )
    add("under the name that acquired", _append, 842, until("10:14:12", 10, 5, "node-d/abcdef01"), "hub")
    add("after the lease has ended", _append, 852, "-; term=5", "node-a", "10:14:12: anybody, at `until` or later")
    add(
        "a holder in another script",
        acquiring("узел-1", 300),
        900,
        until("10:20:00", 300, 6, "узел-1/00ff"),
        "node-a",
    )
    add(
        "to the end of the year 9999",
        acquiring("node-a", 1),
        253_402_300_798 - _T,
        "node-a/5f0c; term=7; ttl=1; until=9999-12-31T23:59:59Z",
    )
    add("in the last second of the year 9999", _append, 253_402_300_799 - _T, "-; term=7")

    for width in (40, 64):
        subject, doc = _acquire(0)
        Log(cases, _SPACE if width == 64 else "leased at once", width).add(
            f"lease: the first decision of a log, {'SHA-1' if width == 40 else 'SHA-256'}",
            subject,
            doc | ({"space": "leased at once"} if width == 40 else {}),
            lease="node-a/5f0c; term=1; ttl=300; until=2026-11-22T10:05:00Z",
            committer=_committer("node-a", _T),
        )
    return cases


def _another_author(log: Log, case: dict[str, Any], actor: str) -> dict[str, Any]:
    """The case, which is the tip of the log, by the author that its decision has."""
    raw = case["commit"].replace(b"author alice ", f"author {actor} ".encode())
    log.tip = {"oid": _object_name("commit", raw, log.width), "commit": raw}
    return case | log.tip


# -- what the law refuses --------------------------------------------------------------------------------------------

_HELD = "node-a/5f0c; term=1; ttl=300; until=2026-11-22T10:05:10Z"


class _After:
    """Refused steps onto one parent."""

    def __init__(self, cases: list[dict[str, Any]], log: Log) -> None:
        self.cases = cases
        self.parent = log.tip
        self.seq = log.seq

    def add(
        self, code: str, place: str, name: str, made: _Doc, at: int, lease: str | None, who: str = "node-a"
    ) -> None:
        subject, doc = made
        raw = _raw(
            subject,
            _line(doc),
            seq=trailers(self.seq, lease),
            tree=_EMPTY,
            parent=self.parent["oid"] if self.parent else None,
            committer=_committer(who, _T + at),
        )
        case = _case(f"{code}: {name}", _SPACE, raw, self.parent)
        self.cases.append(case | {"code": code, "place": place})

    def lease(self, name: str, made: _Doc, at: int, lease: str | None, who: str = "node-a") -> None:
        self.add("lease", "trailer Lease", name, made, at, lease, who)


def _logs() -> dict[str, Log]:
    """A log in each situation; node-a took the lease at 10:00:10, for five minutes."""
    logs = {}
    for situation, steps in (
        ("never", 1),
        ("held", 2),
        ("released", 3),
        ("free", 4),
    ):
        log = Log([], _SPACE)
        for (subject, doc), at, lease in (
            (_append(0), 0, None),
            (_acquire(1), 10, _HELD),
            (_release(2), 20, _HELD.replace("10:05:10", "10:00:20")),
            (_append(3), 20, "-; term=1"),
        )[:steps]:
            log.add("", subject, doc, lease=lease, committer=_committer("node-a", _T + at))
        logs[situation] = log
    return logs


def _refusals() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []
    logs = _logs()
    _never_held(_After(cases, logs["never"]))
    _spellings(_After(cases, logs["never"]))
    _held(_After(cases, logs["held"]))
    _ended(_After(cases, logs["held"]))
    _free(_After(cases, logs["released"]), _After(cases, logs["free"]))
    return cases


def _never_held(after: _After) -> None:
    made = "node-a/5f0c; term=1; ttl=300; until=2026-11-22T10:05:20Z"
    after.lease("a free trailer where no lease ever was", _append(1), 20, "-; term=1")
    after.lease("a held trailer where no lease ever was", _append(1), 20, made)
    after.lease("an empty trailer", _append(1), 20, "")
    after.lease("a release where no lease ever was", _release(1), 20, None)
    after.lease("a release with a trailer where no lease ever was", _release(1), 20, made.replace("10:05", "10:00"))
    after.lease("an acquisition without a trailer", _acquire(1), 20, None)
    after.lease("an acquisition with the trailer of nobody", _acquire(1), 20, "-; term=1")
    after.lease("an acquisition for another holder", _acquire(1, "node-b"), 20, made)
    after.lease("an acquisition with another ttl", _acquire(1, "node-a", 299), 20, made)
    after.lease("an acquisition that writes another ttl", _acquire(1), 20, made.replace("300", "299"))
    after.lease("an acquisition that ends a second early", _acquire(1), 20, made.replace("05:20", "05:19"))
    after.lease("an acquisition that ends a second late", _acquire(1), 20, made.replace("05:20", "05:21"))
    after.lease("a first acquisition of term 2", _acquire(1), 20, made.replace("term=1", "term=2"))
    after.lease(
        "an acquisition that would end after the year 9999",
        _acquire(1),
        253_402_300_500 - _T,
        made.replace("2026-11-22T10:05:20", "9999-12-31T23:59:59"),
    )
    after.lease(
        "a year of five digits",
        _acquire(1),
        253_402_300_500 - _T,
        made.replace("2026-11-22T10:05:20", "10000-01-01T00:00:00"),
    )


def _spellings(after: _After) -> None:
    good = "node-a/5f0c; term=1; ttl=300; until=2026-11-22T10:05:20Z"
    for name, old, new in (
        ("no space behind a semicolon", "; term", ";term"),
        ("two spaces behind a semicolon", "; term", ";  term"),
        ("a space before a semicolon", "; term", " ; term"),
        ("a comma for a semicolon", "; term", ", term"),
        ("a space before the holder", "node-a", " node-a"),
        ("a space behind the end", "20Z", "20Z "),
        ("a semicolon behind the end", "20Z", "20Z;"),
        ("a field more", "20Z", "20Z; note=x"),
        ("no term", "; term=1", ""),
        ("no ttl", "; ttl=300", ""),
        ("no until", "; until=2026-11-22T10:05:20Z", ""),
        ("the fields in another order", "term=1; ttl=300", "ttl=300; term=1"),
        ("a field in upper case", "term", "Term"),
        ("a space at an equals sign", "term=", "term= "),
        ("no equals sign", "term=", "term:"),
        ("term without a number", "term=1", "term="),
        ("term with a leading zero", "term=1", "term=01"),
        ("term with a sign", "term=1", "term=+1"),
        ("term 0", "term=1", "term=0"),
        ("term of 16 digits", "term=1", "term=1000000000000000"),
        ("term with a digit not of ASCII", "term=1", "term=\u0661"),
        ("ttl with a leading zero", "ttl=300", "ttl=0300"),
        ("ttl 0", "ttl=300", "ttl=0"),
        ("ttl of more than a year", "ttl=300", "ttl=31536001"),
        ("ttl with a unit", "ttl=300", "ttl=300s"),
        ("until in another zone", "20Z", "20+00:00"),
        ("until without a zone", "20Z", "20"),
        ("until with a small z", "20Z", "20z"),
        ("until with a small t", "T10", "t10"),
        ("until with a fraction", "20Z", "20.000000Z"),
        ("until on no day", "11-22T", "11-31T"),
        ("until in second 80", "05:20", "04:80"),
        ("until before 1970", "2026", "1969"),
        ("until in seconds since 1970", "2026-11-22T10:05:20Z", "1795341920"),
        ("no token", "node-a/5f0c", "node-a"),
        ("an empty token", "/5f0c", "/"),
        ("a token of three characters", "/5f0c", "/5f0"),
        ("a token of 65 characters", "/5f0c", "/" + "5" * 65),
        ("a token in upper case", "/5f0c", "/5F0C"),
        ("a token that is no hex", "/5f0c", "/5f0g"),
        ("a token with a solidus behind it", "/5f0c", "/5f0c/"),
        ("no holder", "node-a/", "/"),
        ("no holder and no solidus", "node-a/5f0c", "5f0c"),
        ("a holder that is a hyphen", "node-a/", "-/"),
        ("a holder with crud", "node-a/", "node-a./"),
        ("a holder with a semicolon", "node-a/", "node;a/"),
        ("a holder with a semicolon and a space", "node-a/", "node; a/"),
        ("a holder with a control", "node-a/", "node\x07a/"),
        ("a holder of 201 bytes", "node-a/", "n" * 201 + "/"),
        ("a carriage return", "20Z", "20Z\r"),
    ):
        assert good.count(old) == 1, name
        after.lease(f"spelled with {name}", _acquire(1), 20, good.replace(old, new))


def _held(after: _After) -> None:
    renewed = _HELD.replace("05:10", "05:20")
    who, trailer = "header committer", "trailer Lease"

    def held(place: str, name: str, made: _Doc, lease: str | None, committer: str = "node-b", at: int = 20) -> None:
        after.add("lease-held", place, name, made, at, lease, committer)

    held(who, "another committer under the holder's trailer", _append(2), renewed)
    held(who, "the committer in another case", _append(2), renewed, "Node-a")
    held(who, "another committer renews", _acquire(2), renewed)
    held(who, "another committer releases", _release(2), _HELD.replace("05:10", "00:20"))
    held(trailer, "another committer without a trailer", _append(2), None)
    held(trailer, "another committer as if nobody held it", _append(2), "-; term=1")
    held(trailer, "another committer with no lawful spelling", _append(2), "-; term=01")
    taken = "node-b/00ff; term=2; ttl=300; until=2026-11-22T10:05:20Z"
    held(trailer, "another committer takes it over", _acquire(2, "node-b"), taken)
    last = taken.replace("05:20", "10:09")
    held(trailer, "another committer takes it over in the last second", _acquire(2, "node-b"), last, "node-b", 309)
    held(trailer, "another committer as if it had ended, in the last second", _append(2), "-; term=1", "node-b", 309)
    held(trailer, "the same committer without a trailer", _append(2), None, "node-a")
    held(trailer, "the same committer as if nobody held it", _append(2), "-; term=1", "node-a")
    held(trailer, "another token", _append(2), renewed.replace("5f0c", "5f0d"), "node-a")
    held(trailer, "a longer token", _append(2), renewed.replace("5f0c", "5f0c0"), "node-a")
    held(trailer, "another holder", _append(2), renewed.replace("node-a", "node-A"), "node-a")
    again = renewed.replace("5f0c; term=1", "00ff; term=2")
    held(trailer, "acquired anew by the same committer", _acquire(2), again, "node-a")
    held(
        trailer,
        "released under another token",
        _release(2),
        _HELD.replace("05:10", "00:20").replace("5f", "6f"),
        "node-a",
    )

    after.lease("the holder with no lawful spelling", _append(2), 20, renewed + " ")
    after.lease("in force, another term", _append(2), 20, renewed.replace("term=1", "term=2"))
    after.lease("in force, another ttl", _append(2), 20, renewed.replace("300", "301"))
    after.lease("in force, the end brought nearer by an append", _append(2), 20, _HELD.replace("05:10", "05:09"))
    after.lease("in force, the end later than append time + ttl", _append(2), 20, _HELD.replace("05:10", "05:21"))
    after.lease("in force, ended by what is no release", _append(2), 20, _HELD.replace("05:10", "00:20"))
    after.lease("in force, ended by an intent-refused", _let_go(2), 20, _HELD.replace("05:10", "00:20"))
    after.lease("a renewal for another holder", _acquire(2, "node-b"), 20, renewed)
    after.lease("a renewal with the old ttl", _acquire(2, ttl=600), 20, renewed)
    after.lease("a renewal with the new ttl and the old end", _acquire(2, ttl=600), 20, _HELD.replace("300", "600"))
    after.lease("a renewal with the old ttl and the new end", _acquire(2, ttl=600), 20, _HELD.replace("05:10", "10:20"))
    after.lease("a renewal that leaves the end where it was", _acquire(2), 20, _HELD)
    after.lease("a renewal that ends too late", _acquire(2), 20, _HELD.replace("05:10", "05:21"))
    after.lease("a renewal of another term", _acquire(2), 20, renewed.replace("term=1", "term=2"))
    after.lease("a release for another holder", _release(2, "node-b"), 20, _HELD.replace("05:10", "00:20"))
    after.lease("a release that leaves the end where it was", _release(2), 20, _HELD)
    after.lease("a release that renews", _release(2), 20, renewed)
    after.lease("a release that ends a second before it", _release(2), 20, _HELD.replace("05:10", "00:19"))
    after.lease("a release with another ttl", _release(2), 20, _HELD.replace("05:10", "00:20").replace("300", "1"))
    after.lease("a release of another term", _release(2), 20, _HELD.replace("05:10", "00:20").replace("m=1", "m=2"))
    after.add("time", who, "before what the trailer says", _append(2), 9, "-; term=1", "node-b")
    after.add("seq", "trailer Seq", "an intent under a lease", _append(2), 20, None, "node-b")
    raw = after.cases[-1]["commit"].replace(b"\nSeq: 2\n", b"")
    after.cases[-1] |= {"commit": raw, "oid": _object_name("commit", raw, 40)}


def _ended(after: _After) -> None:
    """The parent's lease ends at 10:05:10: 310 seconds after 10:00:00."""
    after.lease("ended, the holder goes on and renews", _append(2), 310, _HELD.replace("05:10", "10:10"))
    after.lease("ended, the holder goes on", _append(2), 310, _HELD)
    after.lease("ended, the holder renews", _acquire(2), 310, _HELD.replace("05:10", "10:10"))
    after.lease("ended, the holder releases", _release(2), 310, _HELD)
    after.lease("ended, a release without a lease", _release(2), 310, "-; term=1")
    after.lease("ended, no trailer", _append(2), 310, None, "node-b")
    after.lease("ended, a term too many", _append(2), 310, "-; term=2", "node-b")
    after.lease("ended, term 0", _append(2), 310, "-; term=0", "node-b")
    after.lease("ended, a leading zero", _append(2), 310, "-; term=01", "node-b")
    after.lease("ended, nobody with a ttl", _append(2), 310, "-; term=1; ttl=300", "node-b")
    after.lease("ended, nobody without a term", _append(2), 310, "-", "node-b")
    after.lease("ended, nobody with a token", _append(2), 310, "-/5f0c; term=1", "node-b")
    taken = "node-b/00ff; term=2; ttl=300; until=2026-11-22T10:10:10Z"
    after.lease("ended, somebody else's trailer without an acquisition", _append(2), 310, taken, "node-b")
    after.lease("taken over in the same term", _acquire(2, "node-b"), 310, taken.replace("m=2", "m=1"), "node-b")
    after.lease("taken over two terms later", _acquire(2, "node-b"), 310, taken.replace("m=2", "m=3"), "node-b")
    after.lease("taken over with the old token", _acquire(2, "node-b"), 310, taken.replace("00ff", "5f0c"), "node-b")
    after.lease("taken again with the old token", _acquire(2), 310, taken.replace("node-b/00ff", "node-a/5f0c"))
    after.lease("taken over and not spelled", _acquire(2, "node-b"), 310, taken.replace("10:10Z", "10:10"), "node-b")


def _free(released: _After, free: _After) -> None:
    """10:00:20: the lease was released in this second; and then somebody has appended."""
    gone = _HELD.replace("05:10", "00:20")
    released.lease("released, the holder goes on", _append(3), 20, gone)
    released.lease("released, the holder goes on and renews", _append(3), 20, _HELD.replace("05:10", "05:20"))
    released.lease("released twice", _release(3), 20, gone)
    released.lease("released, no trailer", _append(3), 20, None)
    released.lease("released and taken again with the old token", _acquire(3), 20, gone.replace("m=1", "m=2"))
    free.lease("free, no trailer", _append(4), 20, None)
    free.lease("free, another term", _append(4), 20, "-; term=2")
    free.lease("free, the last holder goes on", _append(4), 20, _HELD.replace("05:10", "05:20"))
    free.lease("free, a release", _release(4), 20, "-; term=1")
    free.lease("free, a release of the last lease", _release(4), 20, gone)
    free.lease("free, acquired in the last term", _acquire(4), 20, _HELD.replace("05:10", "05:20"))
    free.lease("free, acquired without a trailer", _acquire(4), 20, None)
    free.lease("free, acquired and left free", _acquire(4), 20, "-; term=1")


def cases() -> list[dict[str, Any]]:
    return [*_lawful(), *_refusals()]
