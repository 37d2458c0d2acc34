"""Logs for the tests of the fold: small ones by hypothesis over alphabets so small that everything collides."""

from hypothesis import strategies as st

SPACE = "garden"
# UTF-16 would sort the last two the other way round.
NAMES = ("A", "B", "\N{FULLWIDTH TILDE}", "\N{GRINNING FACE}")
PAGES = ("s:P", "s:Q", "t:R", "\N{FULLWIDTH TILDE}", "\N{GRINNING FACE}")
OVERLAYS = ("o1", "o2")
TAG = "x-acme-tag"  # has a plug-in in the tests
OTHER = "x-acme-other"  # has none
BODIES = tuple({"bytes": n, "sha256": f"{n:064x}"} for n in range(3))

# What lands in one log; few kinds in most, so that they meet.
_FAMILIES = (
    ("alias-set", "alias-set", "alias-cleared", "decision-revoked"),
    ("binding-made", "merge-decided", "decision-revoked"),
    ("fork-made", "fork-made", "decision-revoked"),
    ("overlay-created", "overlay-revised", "overlay-closed", "decision-revoked"),
    (TAG, OTHER, "lease-acquired", "decision-revoked"),
)
_FAMILIES = (*_FAMILIES, tuple(kind for family in _FAMILIES for kind in family))


def decision_id(number):
    return f"0193{number:04x}-0000-7000-8000-{number:012x}"


def decision(number, kind, **payload):
    """A decision with the id of that number, as JSON object."""
    return {
        "actor": "alice",
        "at": "2026-11-22T10:00:00.000000Z",
        "id": decision_id(number),
        "payload": payload,
        "space": SPACE,
        "type": kind,
        "v": 1,
    }


def records(log, first=0):
    """The records of a log; two decisions land in each second."""
    return [
        (f"{seq:08x}{'c' * 32}", 1000 + seq // 2, "server", doc, trailer(seq)) for seq, doc in enumerate(log, first)
    ]


def trailer(seq):
    """The lease trailer at a Seq. The fold asks no law: what the decisions say does not matter to it."""
    if seq < 2:
        return None
    return f"-; term={seq}" if seq % 3 else f"org/node/5f0c; term={seq}; ttl=300; until=2026-11-22T10:00:{seq % 60:02}Z"


def log_of(*decisions):
    """A log of (kind, payload) pairs; the id of each has the number of its Seq."""
    return [decision(seq, kind, **payload) for seq, (kind, payload) in enumerate(decisions)]


def revoke(number):
    return "decision-revoked", {"decision": decision_id(number)}


class Tags:
    """A plug-in: the pages in the order of their tags; a page that is tagged already is refused."""

    def initial(self):
        return []

    def apply(self, state, landed):
        return tag(state, landed.decision.json())


def tag(state, doc):
    """The same as a function, for the model."""
    page = doc["payload"]["page"]
    if page in state:
        raise ValueError(f"{page} is tagged")
    return [*state, page]


PLUGINS = {TAG: Tags()}
MODEL_PLUGINS = {TAG: ([], tag)}


@st.composite
def next_decisions(draw, seq, kinds=_FAMILIES[-1]):
    """A decision to land at ``seq`` of a log of these: now and then with an id used before; a revocation may name any
    earlier decision, itself, or one yet to come."""
    number = seq
    if seq and draw(st.integers(0, 7)) == 7:
        number = draw(st.integers(0, seq - 1))
    kind = draw(st.sampled_from(kinds))
    name, page, overlay_id = (draw(st.sampled_from(few)) for few in (NAMES, PAGES, OVERLAYS))
    body = draw(st.sampled_from(BODIES))
    rev = draw(st.sampled_from((None, "r1", "r2")))
    if kind == "alias-set":
        payload = {"alias": name, "target": page}
    elif kind == "alias-cleared":
        payload = {"alias": name}
    elif kind == "binding-made":
        payload = {"members": draw(st.lists(st.sampled_from(PAGES), min_size=2, max_size=3, unique=True))}
    elif kind == "merge-decided":
        sources = draw(st.lists(st.sampled_from(PAGES), min_size=1, max_size=2, unique=True))
        payload = {"sources": sources, "into": page}
    elif kind == "fork-made":
        payload = {"source": page, "fork": draw(st.sampled_from(PAGES)), **({"source_rev": rev} if rev else {})}
    elif kind == "overlay-created":
        payload = {"overlay_id": overlay_id, "target": page, "base_rev": rev, "body": body}
    elif kind == "overlay-revised":
        payload = {"overlay_id": overlay_id, "base_rev": rev, "body": body}
    elif kind == "overlay-closed":
        outcome = draw(st.sampled_from(("applied", "discarded")))
        payload = {"overlay_id": overlay_id, "outcome": outcome, **({"result_rev": rev} if rev else {})}
    elif kind == "decision-revoked":
        payload = {"decision": decision_id(draw(st.integers(0, seq + 1)))}
    elif kind == "lease-acquired":
        payload = {"holder": "alice", "ttl": 300}
    else:
        payload = {"page": page}
    return decision(number, kind, **payload)


@st.composite
def logs(draw, most=14):
    kinds = draw(st.sampled_from(_FAMILIES))
    return [draw(next_decisions(seq, kinds)) for seq in range(draw(st.integers(0, most)))]
