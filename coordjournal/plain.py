"""Plain steps: a recogniser of the commits that most of a log consists of, in a quarter of the time of the law.

It only ever says yes, and only where the law and the admission would: whatever it passes over goes to them, so that
they stay the definition, and every refusal is theirs. tests/test_plain.py holds it to that.

    plain       a decision of a built-in type, not of the lease's own, unsigned, whose texts need no escape in JSON (but
                for the reason); ASCII or not; under the lease of its parent or none
    not plain   everything else: a few commits in a hundred of a usual log

For such texts canonical JSON has exactly one spelling, so that one regular expression over the bytes of the commit
settles header, idents, canonical JSON, schema and trailers at once. Its groups are what remains to be compared.
Lengths need no second look: the limits of the texts are counted in bytes, and so does a pattern of bytes.

The module is pure. It imports ``re`` (7 ms) and compiles a pattern for each type that it meets (1 ms): whoever judges
fewer than a thousand commits does better without it, and it is on no path of a single decision.

    read = reader("garden", 40)
    one, other = read(raw), read(raw_of_child)
    if one is not None and other is not None and follows(oid, one, other): ...   # given that the first one is lawful
"""

import re

from .commit import EMPTY_TREE, cut
from .text import FORBIDDEN, IDENT_BYTES, LABEL_BYTES, META_VALUE_BYTES, PAGE_BYTES, REASON_BYTES, is_space
from .timestamp import LAST_SECOND, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .commit import File

    #: A lease trailer: all of it but its end; the appender; ttl and end in seconds, both 0 where nobody holds one.
    Trailer = tuple[bytes, bytes, int, int]
    #: The tree that has to hold exactly one plain file, ``body``, of so many bytes and this SHA-256.
    Body = tuple[str, int, str]
    #: Parent (None for a root), Seq, append time in seconds, lease trailer, attachment (None: the tree is empty).
    Plain = tuple[str | None, int, int, Trailer | None, Body | None]
    Read = Callable[[bytes], Plain | None]
    _Match = Callable[[bytes], re.Match[bytes] | None]
    _Render = Callable[..., bytes | None]

_MOST_DAYS = 4096  # remembered
_MINUTES = {b"%02d:%02d" % (n // 60, n % 60): n * 60 for n in range(1440)}
_SECONDS = {b"%02d" % n: n for n in range(60)}
_WITH_BODY = (b"overlay-created", b"overlay-revised")

# -- patterns ------------------------------------------------------------------------------------------------------
# Bytes from 0x80 on are let through here, and looked at as text afterwards if there are any.

_TEXT = rb'[^\x00-\x1f"\\\x7f]'
_LABEL = rb"%b{1,%d}" % (_TEXT, LABEL_BYTES)
_PAGE = rb"%b{1,%d}" % (_TEXT, PAGE_BYTES)
_PAGES = rb'%b(?:","%b)*' % (_PAGE, _PAGE)
# The one place where escapes are let through: they have one spelling too, and no subject shows a reason.
_REASON = rb'(?!")%b*(?:\\[n"\\]%b*)*' % (_TEXT, _TEXT)
_END = rb"[^\x00-\x20.,:;<>\"\\'\x7f]"  # of an ident, either end
_IDENT = rb'(?!- <)%b(?:[^\x00-\x1f"\\;<>\x7f]{0,%d}%b)?' % (_END, IDENT_BYTES - 2, _END)
_HEX = rb"[0-9a-f]"
_ID = rb"%b{8}-%b{4}-7%b{3}-[89ab]%b{3}-%b{12}" % (_HEX, _HEX, _HEX, _HEX, _HEX)
_NUMBER = rb"[1-9][0-9]{0,14}"
_TIME = rb"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}):([0-9]{2})"

# Eleven digits are before the year 9999.
_PERSON = rb"(" + _IDENT + rb") <[^\x00-\x1f<>\x7f]*> (0|[1-9][0-9]{0,10}) [+-][0-9]{4}\n"
_HEADER = rb"tree (%b{%%d})\n(?:parent (%b{%%d})\n)?author %bcommitter %b\n" % (_HEX, _HEX, _PERSON, _PERSON)
_ITEM = rb'"[A-Za-z0-9._:/-]{1,100}":"%b{0,%d}"' % (_TEXT, META_VALUE_BYTES)
_META = rb'(?:"meta":\{(%b(?:,%b)*)\},)?' % (_ITEM, _ITEM)
_ENVELOPE = rb'\{"actor":"\3","at":"' + _TIME + rb'\.[0-9]{6}Z","id":"' + _ID + rb'",' + _META + rb'"payload":'
_FRONT = _HEADER + rb"([^\n]*)\n\n" + _ENVELOPE
_REST = rb',(?:"reason":"(' + _REASON + rb')",)?"space":"(' + _TEXT + rb'+)","type":"%b","v":1\}\n\n'
_FREE = rb"(-; term=" + _NUMBER + rb")"
_HELD = rb"([^\x00-\x1f;\x7f]+; term=" + _NUMBER + rb"; ttl=(" + _NUMBER + rb")); until=" + _TIME + rb"Z"
_BACK = _REST + rb"Seq: (0|" + _NUMBER + rb")\n(?:Lease: (?:" + _FREE + rb"|" + _HELD + rb")\n)?"

_KEYS = re.compile(rb'"([^"]*)":"[^"]*"').findall  # of a meta object that has matched

# What is no text although its bytes are no ASCII controls; ASCII ones the patterns exclude, but for line ends.
_NO_TEXT = re.compile("[" + "".join(map(re.escape, sorted(c for c in FORBIDDEN if not c.isascii()))) + "]").search


# -- subjects ------------------------------------------------------------------------------------------------------


def _quoted(field: bytes) -> bytes:
    return b'"%b"' % field if 0x20 in field else field


def _at(revision: "bytes | None") -> bytes:
    return b"" if revision is None else b" @ " + _quoted(revision)


def _distinct(raw: bytes) -> "list[bytes] | None":
    """The pages of a JSON array without its brackets and outer quotes; None if one stands twice."""
    pages = raw.split(b'","')
    return pages if len(set(pages)) == len(pages) else None


def _alias_set(alias: bytes, target: bytes) -> bytes:
    return b"alias-set: %b -> %b" % (_quoted(alias), _quoted(target))


def _alias_cleared(alias: bytes) -> bytes:
    return b"alias-cleared: " + _quoted(alias)


def _binding_made(members: bytes) -> "bytes | None":
    pages = _distinct(members)
    return None if pages is None else b"binding-made: " + b" = ".join(map(_quoted, pages))


def _merge_decided(into: bytes, sources: bytes) -> "bytes | None":
    pages = _distinct(sources)
    return None if pages is None else b"merge-decided: %b -> %b" % (b" + ".join(map(_quoted, pages)), _quoted(into))


def _fork_made(fork: bytes, source: bytes, source_rev: "bytes | None") -> bytes:
    return b"fork-made: %b%b -> %b" % (_quoted(source), _at(source_rev), _quoted(fork))


def _overlay_created(
    base_rev: "bytes | None", size: bytes, _sha256: bytes, overlay_id: bytes, target: bytes
) -> bytes:
    return b"overlay-created: %b on %b%b (%b bytes)" % (_quoted(overlay_id), _quoted(target), _at(base_rev), size)


def _overlay_revised(base_rev: "bytes | None", size: bytes, _sha256: bytes, overlay_id: bytes) -> bytes:
    return b"overlay-revised: %b%b (%b bytes)" % (_quoted(overlay_id), _at(base_rev), size)


def _overlay_closed(outcome: bytes, overlay_id: bytes, result_rev: "bytes | None") -> bytes:
    return b"overlay-closed: %b %b%b" % (_quoted(overlay_id), outcome, _at(result_rev))


def _decision_revoked(decision: bytes) -> bytes:
    return b"decision-revoked: " + decision


# The payload of each type, one group for each argument of the function that renders the subject.
_BODY = rb'"body":\{"bytes":(0|' + _NUMBER + rb'),"sha256":"(' + _HEX + rb'{64})"\}'
_BASE_REV = rb'"base_rev":(?:null|"(' + _PAGE + rb')"),'
_PAYLOADS: "dict[bytes, tuple[bytes, Callable[..., bytes | None]]]" = {
    b"alias-set": (rb'\{"alias":"(' + _LABEL + rb')","target":"(' + _PAGE + rb')"\}', _alias_set),
    b"alias-cleared": (rb'\{"alias":"(' + _LABEL + rb')"\}', _alias_cleared),
    b"binding-made": (rb'\{"members":\["(' + _PAGE + rb'","' + _PAGES + rb')"\]\}', _binding_made),
    b"merge-decided": (rb'\{"into":"(' + _PAGE + rb')","sources":\["(' + _PAGES + rb')"\]\}', _merge_decided),
    b"fork-made": (
        rb'\{"fork":"(' + _PAGE + rb')","source":"(' + _PAGE + rb')"(?:,"source_rev":"(' + _PAGE + rb')")?\}',
        _fork_made,
    ),
    b"overlay-created": (
        rb"\{" + _BASE_REV + _BODY + rb',"overlay_id":"(' + _LABEL + rb')","target":"(' + _PAGE + rb')"\}',
        _overlay_created,
    ),
    b"overlay-revised": (rb"\{" + _BASE_REV + _BODY + rb',"overlay_id":"(' + _LABEL + rb')"\}', _overlay_revised),
    b"overlay-closed": (
        rb'\{"outcome":"(applied|discarded)","overlay_id":"(' + _LABEL + rb')"(?:,"result_rev":"(' + _PAGE + rb')")?\}',
        _overlay_closed,
    ),
    b"decision-revoked": (rb'\{"decision":"(' + _ID + rb')"\}', _decision_revoked),
}


# -- the recogniser ------------------------------------------------------------------------------------------------


def reader(space: str, width: int, latest: int = LAST_SECOND, skew: int = LAST_SECOND) -> "Read":
    """The function that takes the bytes of a commit and returns what of it remains to be compared.

    It returns None for what is not plain. Otherwise the commit is what the law and the admission ask of it by itself,
    but for the sizes: the commit's, and the attachment's, which is to be measured. Whether it follows another,
    :func:`follows` tells. It keeps what it has compiled, so make one for many commits.

    Args:
        space: the space id that the ref spells.
        width: the length of an object name, 40 or 64.
        latest: what was appended later, in seconds since 1970, is not plain; for the admission its time plus the skew.
        skew: nor is what was decided more than so many seconds after it was appended.
    """
    if not is_space(space):
        return lambda raw: None
    own = space.encode()
    empty = EMPTY_TREE[width].encode()
    kinds: dict[bytes, tuple[_Match, _Render]] = {}
    days: dict[bytes, int] = {}

    def time(day: bytes, minute: bytes, second: bytes) -> int:
        """Seconds since 1970; -1 for a time that does not exist."""
        try:
            # A day stands for many decisions, a minute and a second for one of few texts: a third of timestamp.seconds
            return days[day] + _MINUTES[minute] + _SECONDS[second]
        except KeyError:
            if minute not in _MINUTES or second not in _SECONDS:
                return -1
        try:
            found = seconds(f"{day.decode()}T00:00:00.000000Z")
        except ValueError:
            return -1
        if len(days) == _MOST_DAYS:
            days.clear()
        days[day] = found
        return found + _MINUTES[minute] + _SECONDS[second]

    def read(raw: bytes) -> "Plain | None":
        start = raw.find(b"\n\n") + 2
        kind = raw[start : raw.find(b": ", start)]
        compiled = kinds.get(kind)
        if compiled is None:
            if kind not in _PAYLOADS:
                return None
            compiled = kinds[kind] = _compiled(kind, width)
        match, render = compiled
        found = match(raw)
        if found is None:
            return None
        groups = found.groups()
        tree, parent, _actor, authored, appender, appended, subject, day, minute, second, meta = groups[:11]
        payload = groups[11:-9]
        reason, in_space, seq, free, held, ttl, until_day, until_minute, until_second = groups[-9:]
        if not raw.isascii() and not _is_text(raw):
            return None
        if meta is not None and not _rises(_KEYS(meta)):
            return None
        due = render(*payload)
        if due is None or subject != cut(due):
            return None
        decided = int(authored)
        stamped = int(appended)
        if (
            time(day, minute, second) != decided
            or decided > stamped + skew
            or stamped > latest
            or in_space != own
            or (reason is not None and len(reason) > REASON_BYTES)  # its escapes count too: then the law looks
        ):
            return None
        lease = body = None
        if free is not None:
            lease = (free, appender, 0, 0)
        elif held is not None:
            until = time(until_day, until_minute, until_second)
            if until < 0:
                return None
            lease = (held, appender, int(ttl), until)
        if kind in _WITH_BODY:
            body = (tree.decode(), int(payload[1]), payload[2].decode())
        elif tree != empty:
            return None
        return None if parent is None else parent.decode(), int(seq), stamped, lease, body

    return read


def follows(oid: "str | None", before: "Plain | None", after: "Plain") -> bool:
    """Whether the law lets ``after`` follow the lawful commit ``oid``, which was read as ``before``; both None: a root.

    False means that the law has to say. The lease is one that nobody holds, or that of the parent, still in force.
    """
    parent, seq, time, lease, _ = after
    if before is None:
        return parent is None and oid is None and seq == 0 and lease is None
    _, seq_before, time_before, lease_before, _ = before
    if parent != oid or seq != seq_before + 1 or time < time_before:
        return False
    if lease is None or lease_before is None:
        return lease is lease_before
    trailer, appender, ttl, until = lease
    trailer_before, appender_before, _, until_before = lease_before
    if trailer != trailer_before:
        return False
    return ttl == 0 or (appender == appender_before and time < until_before <= until <= time + ttl)


def holds(files: "Sequence[File] | None", body: "Body") -> bool:
    """Whether a tree, measured, is what was declared."""
    if files is None or len(files) != 1:
        return False
    file = files[0]
    return (file.mode, file.name, file.size, file.sha256) == ("100644", "body", body[1], body[2])


def _rises(keys: "list[bytes]") -> bool:
    """Whether no key stands twice, and all in their order."""
    return keys == sorted(set(keys))


def _is_text(raw: bytes) -> bool:
    try:
        return _NO_TEXT(raw.decode()) is None
    except UnicodeDecodeError:
        return False


def _compiled(kind: bytes, width: int) -> "tuple[_Match, _Render]":
    payload, render = _PAYLOADS[kind]
    return re.compile(_FRONT % (width, width) + payload + _BACK % kind).fullmatch, render
