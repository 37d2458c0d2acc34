"""Decision commits. The bytes that the law allows and refuses are in schemas/vectors/ (test_vectors.py)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordjournal import commit
from coordjournal.canonical import dumps
from coordjournal.errors import Refused
from coordjournal.text import FORBIDDEN, PAGE_BYTES, is_ident, is_label, is_page
from coordjournal.timestamp import LAST_SECOND

AUTHOR = b"author alice <> 1795341600 +0000\n"
LINE = b'{"a":1}'
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="".join(FORBIDDEN)), min_size=1)
idents = texts.filter(is_ident)
names = st.sampled_from([40, 64]).flatmap(
    lambda width: st.tuples(*[st.text("0123456789abcdef", min_size=width, max_size=width)] * 3)
)


def example(**change: Any) -> bytes:
    parts: dict[str, Any] = {
        "tree": commit.EMPTY_TREE[40],
        "parent": "1" * 40,
        "actor": "alice",
        "authored": 1795341600,
    }
    parts |= {"appender": "node-a", "appended": 1795341601, "subject": "s", "line": LINE, "seq": 1}
    return commit.build(**(parts | change))


def refused(raw: bytes, oid: str = "0" * 40) -> Refused:
    with pytest.raises(Refused) as caught:
        commit.parse(oid, raw)
    return caught.value


@given(
    names,
    st.booleans(),
    idents,
    idents,
    st.integers(0, LAST_SECOND),
    st.integers(0, LAST_SECOND),
    texts,
    st.dictionaries(st.sampled_from("abc"), texts),
    st.none() | st.integers(0, 10**15 - 1),
    st.sampled_from(["", "a@b", "x y"]),
    st.none() | texts,
)
def test_parse_is_the_inverse_of_build(
    oids: tuple[str, str, str],
    root: bool,
    actor: str,
    appender: str,
    authored: int,
    appended: int,
    subject: str,
    value: dict[str, str],
    seq: int | None,
    email: str,
    lease: str | None,
) -> None:
    oid, tree, parent = oids
    line = dumps(value)
    up = None if root else parent
    raw = commit.build(tree, up, actor, authored, appender, appended, subject, line, seq, email, lease)
    found = commit.parse(oid, raw)
    assert found.oid == oid
    assert found.tree == tree
    assert found.parent == (None if root else parent)
    assert (found.actor, found.authored, found.appender, found.appended) == (actor, authored, appender, appended)
    trailers = (seq, None if seq is None else lease)  # an intent has none
    assert (found.subject, found.line, (found.seq, found.lease)) == (subject.encode(), line, trailers)
    assert found.files is None


def test_the_empty_tree_holds_no_files() -> None:
    assert commit.parse("0" * 40, example()).files == ()
    assert commit.parse("0" * 40, example(tree="2" * 40)).files is None
    wide = example(tree=commit.EMPTY_TREE[64], parent=None)
    assert commit.parse("0" * 64, wide).files == ()


@settings(max_examples=100)
@given(st.data())
def test_any_change_of_bytes_parses_or_is_refused(data: st.DataObject) -> None:
    raw = bytearray(example(subject="alias-set: é -> b"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"\n", b"\n\n", b" <", b"> "])
        )
    try:
        found = commit.parse("0" * 40, bytes(raw))
    except Refused as refusal:
        assert refusal.code in ("bad-commit", "merge")
        return
    assert is_ident(found.actor)
    assert is_ident(found.appender)
    assert 0 <= found.authored <= LAST_SECOND
    assert found.seq is None or 0 <= found.seq < 10**15
    again = commit.build(
        found.tree, found.parent, found.actor, found.authored, found.appender, found.appended, "", found.line, found.seq
    )
    ends = b"\n\n" + found.subject + again[again.index(b"\n\n") + 2 :]
    if found.lease is not None:
        ends += f"Lease: {found.lease}\n".encode()
    assert bytes(raw).endswith(ends)  # whatever parses has one message that says it


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused(raw: bytes) -> None:
    for content in (raw, AUTHOR + raw, example() + raw, example()[:90] + raw):
        try:
            commit.parse("0" * 40, content)
        except Refused as refusal:
            assert refusal.code in ("bad-commit", "merge")


def test_any_lease_trailer_is_read_and_left_to_the_law() -> None:
    found = commit.parse("0" * 40, example() + "Lease: node-a/5f0c; term=3 é\n".encode())
    assert (found.seq, found.lease) == (1, "node-a/5f0c; term=3 é")


def test_refusals_name_the_header() -> None:
    raw = example()
    assert refused(raw.replace(b"author alice", b"author alice.")).place == "header author"
    assert refused(raw.replace(b"1795341601", b"0795341601")).place == "header committer"
    assert "<seconds>" in refused(raw.replace(b"1795341601", b"0795341601")).what
    assert "9999" in refused(raw.replace(b"1795341601", b"999999999999")).what
    assert "'encoding'" in refused(raw.replace(b"\n\n", b"\nencoding latin-1\n\n", 1)).what
    assert refused(raw.replace(b"\nparent", b"\nparent " + b"2" * 40 + b"\nparent")).code == "merge"
    assert refused(raw.replace(b"Seq: 1", b"Seq: x")).place == "trailers"


payloads = st.one_of(
    st.tuples(
        st.just("alias-set"), st.fixed_dictionaries({"alias": texts.filter(is_label), "target": texts.filter(is_page)})
    ),
    st.tuples(st.just("alias-cleared"), st.fixed_dictionaries({"alias": texts.filter(is_label)})),
    st.tuples(
        st.just("binding-made"),
        st.fixed_dictionaries({"members": st.lists(texts.filter(is_page), min_size=2, max_size=50, unique=True)}),
    ),
    st.tuples(
        st.just("merge-decided"),
        st.fixed_dictionaries(
            {"into": texts.filter(is_page), "sources": st.lists(texts.filter(is_page), min_size=1, max_size=50)}
        ),
    ),
    st.tuples(
        st.just("fork-made"),
        st.fixed_dictionaries({"source": texts, "fork": texts}, optional={"source_rev": texts}),
    ),
    st.tuples(
        st.just("lease-acquired"),
        st.fixed_dictionaries({"holder": texts.filter(is_ident), "ttl": st.integers(1, 31_536_000)}),
    ),
    st.tuples(st.just("lease-released"), st.fixed_dictionaries({"holder": texts.filter(is_ident)})),
    st.tuples(
        st.just("intent-refused"),
        st.fixed_dictionaries({"decision": texts, "reason": st.lists(texts, min_size=1, max_size=3).map("\n".join)}),
    ),
    st.tuples(
        st.just("overlay-created"),
        st.fixed_dictionaries(
            {
                "overlay_id": texts,
                "target": texts,
                "base_rev": st.none() | texts,
                "body": st.fixed_dictionaries({"bytes": st.integers(0, 2**53 - 1)}),
            }
        ),
    ),
    st.tuples(
        st.just("overlay-closed"),
        st.fixed_dictionaries(
            {"overlay_id": texts, "outcome": st.sampled_from(["applied", "discarded"])}, optional={"result_rev": texts}
        ),
    ),
    st.tuples(
        st.just("x-acme-tag"),
        st.dictionaries(
            st.text(alphabet=st.characters(max_codepoint=0x7F)),
            st.text(alphabet=st.characters(exclude_categories=["Cs"])),
        ),
    ),
)


@given(payloads)
def test_a_subject_is_one_line_of_at_most_200_bytes(decided: tuple[str, dict[str, Any]]) -> None:
    kind, payload = decided
    subject = commit.subject(kind, payload)
    assert subject.startswith(f"{kind}: ")
    assert FORBIDDEN.isdisjoint(subject)
    assert len(subject.encode()) <= 200


@given(texts.filter(is_label), texts.filter(is_label))
def test_two_names_show_as_two_subjects_unless_cut(one: str, other: str) -> None:
    if one != other:
        subjects = [commit.subject("alias-cleared", {"alias": name}) for name in (one, other)]
        assert subjects[0] != subjects[1] or subjects[0].endswith("…")


def test_the_longest_payload_costs_its_length_and_no_more() -> None:
    members = [f"{number}:{'p' * (PAGE_BYTES - 20)}" for number in range(1000)]
    assert len(commit.subject("binding-made", {"members": members}).encode()) == 200


def test_an_unread_commit_is_no_decision() -> None:
    found = commit.Commit.unread("3" * 40)
    assert (found.oid, found.parent, found.seq, found.files, found.appended) == ("3" * 40, None, None, (), 0)
