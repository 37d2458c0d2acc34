"""The difference of two states."""

import json

from fold_logs import BODIES, PLUGINS, SPACE, decision_id, log_of, logs, records, revoke
from hypothesis import given
from hypothesis import strategies as st

from coordjournal.difference import diff
from coordjournal.index import Index
from coordjournal.state import CoordinationState

NOTHING = {
    "aliases": {},
    "groups": {"gained": [], "lost": []},
    "canonicals": {"gained": [], "lost": []},
    "overlays": {"opened": [], "revised": [], "closed": [], "gone": []},
    "forks": {"gained": [], "lost": []},
    "void": {"gained": [], "lost": []},
    "revoked": {"gained": [], "lost": []},
    "extensions": {},
    "lease": None,
}


def state_of(*decisions):
    index = Index(SPACE, PLUGINS)
    index.extend((*record[:4], None) for record in records(log_of(*decisions)))
    return CoordinationState(index)


def overlay(kind, overlay_id, **more):
    payload = {"overlay_id": overlay_id, **more}
    if kind != "closed":
        payload |= {"base_rev": None, "body": BODIES[0]}
    return f"overlay-{kind}", payload


def test_a_state_and_itself():
    state = state_of(("alias-set", {"alias": "A", "target": "p"}))
    assert not diff(state, state)
    assert diff(state, state).json() == NOTHING


def test_a_decision_that_changes_nothing_is_not_seen():
    again = ("alias-set", {"alias": "A", "target": "p"})
    state = state_of(again, again)
    assert not diff(state.as_of(0), state)


def test_aliases():
    state = state_of(
        ("alias-set", {"alias": "kept", "target": "p"}),
        ("alias-set", {"alias": "moved", "target": "p"}),
        ("alias-set", {"alias": "cleared", "target": "p"}),
        ("alias-set", {"alias": "moved", "target": "q"}),
        ("alias-cleared", {"alias": "cleared"}),
        ("alias-set", {"alias": "new", "target": "r"}),
    )
    found = diff(state.as_of(2), state)
    assert found.aliases == {"cleared": ("p", None), "moved": ("p", "q"), "new": (None, "r")}
    assert found.json() == {**NOTHING, "aliases": {"cleared": ["p", None], "moved": ["p", "q"], "new": [None, "r"]}}


def test_groups_and_canonicals():
    state = state_of(
        ("binding-made", {"members": ["a", "b"]}),
        ("merge-decided", {"sources": ["x"], "into": "y"}),
        ("merge-decided", {"sources": ["b"], "into": "c"}),
        revoke(1),
    )
    assert diff(state.as_of(1), state).json() == {
        **NOTHING,
        "groups": {"gained": [["a", "b", "c"]], "lost": [["a", "b"], ["x", "y"]]},
        "canonicals": {"gained": ["c"], "lost": ["y"]},
        "revoked": {"gained": [1], "lost": []},
    }


def test_overlays():
    state = state_of(
        overlay("created", "still", target="p"),
        overlay("created", "revised", target="p"),
        overlay("created", "closed", target="p"),
        overlay("created", "gone", target="p"),
        overlay("created", "reopened", target="p"),
        overlay("closed", "reopened", outcome="applied"),
        overlay("revised", "revised"),
        overlay("closed", "closed", outcome="discarded"),
        revoke(3),
        revoke(5),
        overlay("created", "opened", target="p"),
        overlay("created", "brief", target="p"),
        overlay("closed", "brief", outcome="applied"),
    )
    found = diff(state.as_of(5), state)
    assert [one.overlay_id for one in found.overlays_opened] == ["reopened", "opened"]
    assert [(one.overlay_id, one.revised) for one in found.overlays_revised] == [("revised", 6)]
    assert [(one.overlay_id, one.outcome) for one in found.overlays_closed] == [
        ("closed", "discarded"),
        ("brief", "applied"),
    ]
    assert [one.overlay_id for one in found.overlays_gone] == ["gone"]
    assert found.json()["overlays"]["gone"] == [state.as_of(5).overlay("gone").json()]


def test_an_overlay_closed_otherwise():
    state = state_of(
        overlay("created", "o", target="p"),
        overlay("closed", "o", outcome="applied"),
        revoke(1),
        overlay("closed", "o", outcome="discarded"),
    )
    assert [one.outcome for one in diff(state.as_of(1), state).overlays_closed] == ["discarded"]


def test_forks_void_and_extensions():
    state = state_of(
        ("fork-made", {"source": "a", "fork": "b"}),
        ("x-acme-tag", {"page": "p"}),
        ("x-acme-tag", {"page": "p"}),
        revoke(0),
        ("fork-made", {"source": "a", "fork": "c"}),
        revoke(2),
        ("x-acme-tag", {"page": "q"}),
        ("alias-cleared", {"alias": "A"}),
    )
    assert diff(state.as_of(2), state).json() == {
        **NOTHING,
        "forks": {
            "gained": [{"source": "a", "fork": "c", "source_rev": None, "seq": 4}],
            "lost": [{"source": "a", "fork": "b", "source_rev": None, "seq": 0}],
        },
        "void": {
            "gained": [{"seq": 7, "id": decision_id(7), "reason": "alias-not-set"}],
            "lost": [{"seq": 2, "id": decision_id(2), "reason": "extension-failed"}],
        },
        "revoked": {"gained": [0, 2], "lost": []},
        "extensions": {"x-acme-tag": [["p"], ["p", "q"]]},
        "lease": None,
    }


@given(logs(), st.integers(-1, 13), st.sets(st.integers(0, 13), max_size=3))
def test_any_two_views(log, seq, left_out):
    """Nothing is different exactly where the two say the same, and backwards is the same the other way round."""
    index = Index(SPACE, PLUGINS)
    index.extend(records(log))
    after = CoordinationState(index)
    before = after.without(at for at in left_out if at < len(log)).as_of(min(seq, len(log) - 1))
    there, back = diff(before, after), diff(after, before)
    answers = [one.json() | {"seq": None, "commit": None} for one in (before, after)]
    for answer in answers:
        lease = answer["lease"]
        answer["lease"] = lease and lease["holder"] and [lease[key] for key in ("holder", "token", "term")]
    assert bool(there) == bool(back) == (answers[0] != answers[1])
    assert (there.json() == NOTHING) == (not there)
    assert back.aliases == {name: (new, old) for name, (old, new) in there.aliases.items()}
    assert (back.groups_gained, back.groups_lost) == (there.groups_lost, there.groups_gained)
    assert (back.canonicals_gained, back.void_lost) == (there.canonicals_lost, there.void_gained)
    names = dict(before.aliases) | {name: new for name, (_, new) in there.aliases.items()}
    assert {name: target for name, target in names.items() if target is not None} == after.aliases
    json.dumps(there.json())


def test_who_holds_the_lease():
    leases = [None, "node-a/5f0c; term=1; ttl=300; until=2026-11-22T10:05:00Z", "-; term=1"]
    leases.insert(2, leases[1].replace("10:05", "10:06"))
    log = records(log_of(*[("alias-set", {"alias": "A", "target": "s:P"})] * len(leases)))
    index = Index(SPACE, PLUGINS)
    index.extend((*record[:4], lease) for record, lease in zip(log, leases, strict=True))
    state = CoordinationState(index)
    acquired = diff(state.as_of(0), state.as_of(1)).json()["lease"]
    assert acquired == [None, {"holder": "node-a", "term": 1, "token": "5f0c", "ttl": 300, "until": leases[1][-20:]}]
    assert not diff(state.as_of(1), state.as_of(2))
    over = diff(state.as_of(2), state).lease
    assert over is not None
    assert [str(lease) for lease in over] == leases[2:]
