"""Export and import: the same log again, or a line number."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import git, run

from coordjournal import (
    AliasCleared,
    AliasSet,
    BindingMade,
    Contention,
    Journal,
    OverlayCreated,
    OverlayRevised,
    Refused,
    UnknownSpace,
    canonical,
    commit,
    timestamp,
)
from coordjournal.transfer import BadImport, export, land, plan

IDS = [f"01930000-0000-7000-8000-{number:012x}" for number in range(10)]
AT = "2026-11-22T10:00:00.000000Z"


def dumped(journal, space="garden", **limits):
    return [json.dumps(line).encode() + b"\n" for line in export(journal, space, **limits)]


def brought(journal, lines, space="garden", **more):
    planned = plan(journal, space, lines, **more)
    land(journal, space, planned)
    return planned


@pytest.fixture(scope="module")
def source():
    journal = Journal.memory(appender="server")
    garden = journal.space("garden")
    garden.append(AliasSet("Home", "a"), actor="alice", at=AT, reason="why\nso", meta={"k": "v\u00e9"})
    garden.append(OverlayCreated("o", "a", None, "text\nof \u1e9e\x1b\n"), actor="bob")
    garden.append(OverlayRevised("o", "r2", b"\xff\x00\n"), actor="bob")
    garden.append(AliasCleared("Nobody"), actor="\u1e9eob", allow_void=True)
    garden.append(BindingMade(["a", "b"]), actor="alice")
    return journal


@pytest.fixture(scope="module")
def lines(source):
    return dumped(source)


def changed(lines, number, **change):
    """The export with keys of one line changed (None: left out)."""
    doc = json.loads(lines[number]) | change
    line = json.dumps({key: value for key, value in doc.items() if value is not None}).encode()
    return [*lines[:number], line, *lines[number + 1 :]]


def test_a_line_says_all_there_is(source, lines):
    landed = source.space("garden").state().landed(1)
    assert json.loads(lines[1]) == {**landed.json(), "attachments": {"body": {"text": "text\nof \u1e9e\x1b\n"}}}
    assert json.loads(lines[2])["attachments"] == {"body": {"base64": "/wAK"}}
    assert all(line.isascii() for line in lines)


def test_the_same_log_comes_out_where_it_was_brought(source, lines):
    target = Journal.memory()
    planned = brought(target, lines)
    assert (planned.before.seq, len(planned.records), planned.known) == (-1, 5, 0)
    assert dumped(target) == lines
    assert target.space("garden").state().json() == source.space("garden").state().json()
    assert planned.after().json() == source.space("garden").state().json()


def test_bringing_it_twice_changes_nothing(lines):
    target = Journal.memory()
    brought(target, lines)
    tip = target.store.tip("garden")
    planned = brought(target, lines)
    assert (planned.known, planned.records, planned.tip) == (5, [], None)
    assert target.store.tip("garden") == tip


def test_a_part_is_continued_by_the_whole_and_by_the_rest(source, lines):
    for more in (lines, lines[2:], dumped(source, since=2)):
        target = Journal.memory()
        brought(target, lines[:2])
        brought(target, more)
        assert dumped(target) == lines


def test_limits_of_an_export(source, lines):
    assert dumped(source, since=1, until=2) == lines[1:3]
    assert dumped(source, since=9) == []
    with pytest.raises(UnknownSpace):
        dumped(source, "nowhere")


def test_nothing_is_written_unless_it_is_to_land(lines):
    target = Journal.memory()
    planned = plan(target, "garden", lines, write=False)
    assert planned.after().seq == 4
    assert target.spaces() == []
    assert target.store._content == {}


def test_progress_is_told(lines):
    target = Journal.memory()
    garden = target.space("garden")
    garden.append_many([garden.intent(AliasSet("Home", str(n)), actor="alice") for n in range(1001)])
    told = []
    plan(Journal.memory(), "garden", dumped(target), progress=told.append)
    assert told == [1000]


def refused(lines, target=None, space="garden"):
    target = target or Journal.memory()
    before = target.store.tips()
    with pytest.raises(BadImport) as caught:
        brought(target, lines, space)
    assert target.store.tips() == before
    return caught.value


@pytest.mark.parametrize(
    ("edit", "line", "words"),
    [
        (lambda lines: [], 1, "nothing in it"),
        (lambda lines: [lines[0], lines[2]], 2, "out of order: expected Seq 1, found Seq 2"),
        (lambda lines: [lines[0], lines[2], lines[1]], 2, "out of order"),
        (lambda lines: [lines[1], *lines[2:]], 1, "begins with Seq 1, but the log here is empty"),
        (lambda lines: [*lines[:3], lines[1]], 4, "repeats line 2"),
        (lambda lines: [lines[0], lines[0]], 2, "repeats line 1"),
        (lambda lines: changed(lines, 1, space="orchard"), 2, "a decision of space 'orchard', not of 'garden'"),
        (lambda lines: [lines[0], lines[1][:-20]], 2, "not JSON"),
        (lambda lines: [lines[0], b"\n"], 2, "not JSON"),
        (lambda lines: [lines[0], b"\xff\n"], 2, "not JSON"),
        (lambda lines: [lines[0], b"[]\n"], 2, "not a JSON object"),
        (lambda lines: [lines[0], b"[" * 100_000], 2, "not JSON"),
        (lambda lines: [lines[0].replace(b'"v": 1', b'"v": 1, "v": 1')], 1, "stands twice"),
        (lambda lines: [lines[0].replace(b'"seq": 0', b'"seq": 0.0')], 1, "not a plain integer"),
        (lambda lines: changed(lines, 0, appender=None, commit=None), 1, "appender, commit missing"),
        (lambda lines: changed(lines, 0, more="x"), 1, "'more' does not belong there"),
        (lambda lines: changed(lines, 0, seq=True), 1, "seq is not a number"),
        (lambda lines: changed(lines, 0, seq=-1), 1, "seq is not a number"),
        (lambda lines: changed(lines, 0, commit="ABC"), 1, "not the name of a commit"),
        (lambda lines: changed(lines, 0, appender=3), 1, "appender is not text"),
        (lambda lines: changed(lines, 0, appender="\ud800"), 1, "damaged"),
        (lambda lines: changed(lines, 0, appended="2026"), 1, "not a time"),
        (lambda lines: changed(lines, 0, actor="mallory"), 1, "not the commit that it says it is"),
        (lambda lines: changed(lines, 0, actor="mal\nlory"), 1, "schema at actor"),
        (lambda lines: changed(lines, 0, reason="other"), 1, "not the commit that it says it is"),
        (lambda lines: changed(lines, 0, payload={"alias": "Home"}), 1, "schema at payload"),
        (lambda lines: changed(lines, 0, commit="0" * 40), 1, "not the commit that it says it is"),
        (lambda lines: changed(lines, 1, attachments=None), 2, "not the commit that it says it is"),
        (lambda lines: changed(lines, 1, attachments=[]), 2, "attachments is not an object"),
        (lambda lines: changed(lines, 1, attachments={"body": {"text": "other"}}), 2, "not the commit"),
        (lambda lines: changed(lines, 1, attachments={"body": {"text": "\ud800"}}), 2, "not Unicode"),
        (lambda lines: changed(lines, 1, attachments={"body": {"base64": "?"}}), 2, "not base64"),
        (lambda lines: changed(lines, 1, attachments={"body": {"text": "", "more": ""}}), 2, "neither text nor base64"),
        (lambda lines: changed(lines, 0, git={"author_email": 1}), 1, "git is not an object"),
        (lambda lines: changed(lines, 0, git=[]), 1, "git is not an object"),
        (lambda lines: changed(lines, 0, git={"author_email": "alice@example.org"}), 1, "not the commit"),
    ],
)
def test_what_is_not_as_it_was_exported_is_refused_by_its_line(lines, edit, line, words):
    error = refused(edit(lines))
    assert error.line == line
    assert words in str(error)
    assert str(error).startswith(f"line {line}: ")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_changed_is_refused_or_changed_nothing(lines, data):
    number = data.draw(st.integers(0, len(lines) - 1))
    place = data.draw(st.integers(0, len(lines[number]) - 1))
    byte = data.draw(st.integers(0, 255))
    broken = lines[number][:place] + bytes([byte]) + lines[number][place + 1 :]
    target = Journal.memory()
    try:
        brought(target, [*lines[:number], *broken.splitlines(keepends=True), *lines[number + 1 :]])
    except BadImport as error:
        assert error.line in range(number + 1, len(lines) + 1)
        assert target.spaces() == []
    else:
        assert dumped(target) == lines  # white space, or another escape of the same character


def test_another_log_of_the_same_space_is_refused(lines):
    target = Journal.memory()
    target.space("garden").append(AliasSet("Home", "a"), actor="alice")
    error = refused(lines, target)
    assert (error.line, "garden@0 is another commit here" in str(error)) == (1, True)
    assert "what comes before it was" in str(refused(lines[1:], target))


def test_the_limits_of_the_target_hold(lines, monkeypatch):
    target = Journal.memory()
    monkeypatch.setattr(target.store, "settings", lambda: _limits(attachment_bytes=3))
    error = refused(lines, target)
    assert (error.line, error.refusal.code) == (2, "too-large")
    target = Journal.memory()
    monkeypatch.setattr(target.store, "settings", lambda: _limits(read_only=True))
    with pytest.raises(Refused, match="read-only"):
        brought(target, lines)


def _limits(**limits):
    from coordjournal.admission import Settings

    return Settings(**limits)


def test_somebody_was_faster(lines):
    target = Journal.memory()
    planned = plan(target, "garden", lines)
    target.space("garden").append(AliasSet("Home", "b"), actor="bob")
    with pytest.raises(Contention):
        land(target, "garden", planned)
    assert target.space("garden").last_seq() == 0


def test_a_repeated_id_is_brought_as_it_was(tmp_path):
    """Such a log is lawful (the second decision is void), and an import is no judge of that."""
    repo = _plain(tmp_path / "s.git", [("a", {}), ("b", {"id": IDS[0]})])
    lines = dumped(Journal.open(repo))
    target = Journal.memory()
    brought(target, lines)
    assert [void.reason for void in target.space("garden").state().void] == ["repeated-id"]
    assert dumped(target) == lines


@pytest.mark.parametrize("sequencing", [True, False])
def test_a_clone_brings_it_to_a_server_the_way_it_appends(bare, tmp_path, lines, sequencing):
    path = bare(sequencing=sequencing)
    if sequencing:  # all that is pushed goes through refs/append then
        git(path, "config", "receive.hideRefs", "refs/spaces")
    with Journal.clone(str(path), tmp_path / "clone") as clone:
        brought(clone, lines[:2])
        assert dumped(clone) == lines[:2]
        planned = plan(clone, "garden", lines)
        with Journal.open(path) as server:
            assert dumped(server) == lines[:2]
            garden = server.space("garden")
            garden.append(AliasSet("other", "s:p"), actor="eve")
        with pytest.raises(Contention):
            land(clone, "garden", planned)
    with Journal.clone(str(path), tmp_path / "other") as clone:
        assert clone.space("garden").last_seq() == 2


# -- with git: what other programs put into a commit ------------------------------------------------------------------


def _plain(repo, targets, object_format="sha1"):
    """A log made with nothing but git: for each decision its target, and what is special about it."""
    run("git", "init", "--quiet", "--bare", f"--object-format={object_format}", repo)
    parent = None
    for seq, (target, more) in enumerate(targets):
        kind, payload = more.get("decision", ("alias-set", {"alias": "Home", "target": target}))
        doc = {"actor": "alice", "at": AT, "id": more.get("id", IDS[seq]), "payload": payload}
        doc |= {"space": "garden", "type": kind, "v": 1}
        second = timestamp.seconds(AT)
        tree = commit.EMPTY_TREE[40 if object_format == "sha1" else 64]
        raw = commit.build(
            tree, parent, "alice", second, "host", second + seq, commit.subject(kind, payload),
            canonical.dumps(doc), seq, lease=more.get("lease"),
        )  # fmt: skip
        header, _, message = raw.partition(b"\n\n")
        lines = header.split(b"\n")
        lines[-2] = lines[-2].replace(b"<> ", b"<" + more.get("author_email", b"") + b"> ")
        lines[-1] = lines[-1].replace(b"<> ", b"<" + more.get("committer_email", b"") + b"> ")
        lines[-1] = lines[-1].replace(b"+0000", more.get("committer_zone", b"+0000"))
        lines += more.get("signature", [])
        parent = git(
            repo, "hash-object", "-t", "commit", "-w", "--stdin", "--literally",
            stdin=b"\n".join(lines) + b"\n\n" + message,
        )  # fmt: skip
    run("git", "-C", repo, "hash-object", "-t", "tree", "-w", "--stdin")
    git(repo, "update-ref", "refs/spaces/garden", parent)
    return repo


SIGNED = [
    ("a", {"author_email": b"alice@example.org", "committer_email": b"\xe9@host", "committer_zone": b"-0730"}),
    ("b", {"signature": [b"gpgsig -----BEGIN", b" more", b" ", b" -----END"]}),
    ("c", {"author_email": b"x"}),
]


def test_emails_zones_and_signatures_come_along(tmp_path):
    source = Journal.open(_plain(tmp_path / "s.git", SIGNED))
    lines = dumped(source)
    assert json.loads(lines[0])["git"] == {
        "author_email": "alice@example.org",
        "committer_email": "\udce9@host",
        "committer_zone": "-0730",
    }
    run("git", "init", "--quiet", "--bare", tmp_path / "t.git")
    target = Journal.open(tmp_path / "t.git")
    brought(target, lines)
    assert target.store.tips() == source.store.tips()
    assert dumped(target) == lines
    git(tmp_path / "t.git", "fsck", "--strict")


LEASED = [
    ("a", {}),
    (
        "",
        {
            "decision": ("lease-acquired", {"holder": "org/node ß", "ttl": 300}),
            "lease": "org/node ß/5f0c; term=1; ttl=300; until=2026-11-22T10:05:01Z",
        },
    ),
    ("b", {"lease": "org/node ß/5f0c; term=1; ttl=300; until=2026-11-22T10:05:02Z"}),
    (
        "",
        {
            "decision": ("lease-released", {"holder": "org/node ß"}),
            "lease": "org/node ß/5f0c; term=1; ttl=300; until=2026-11-22T10:00:03Z",
        },
    ),
    ("c", {"lease": "-; term=1"}),
]


@pytest.mark.parametrize("ours", ["sha1", "sha256"])
def test_leases_come_along_byte_for_byte(tmp_path, ours):
    source = Journal.open(_plain(tmp_path / "s.git", LEASED))
    lines = dumped(source)
    assert [json.loads(line).get("lease") for line in lines] == [more.get("lease") for _, more in LEASED]
    assert "lease" not in json.loads(lines[0])
    run("git", "init", "--quiet", "--bare", f"--object-format={ours}", tmp_path / "t.git")
    target = Journal.open(tmp_path / "t.git")
    for part in (lines[:3], lines) if ours == "sha1" else (lines,):
        planned = brought(target, part)
        last = LEASED[len(part) - 1][1]["lease"]
        assert str(planned.after().lease) == str(target.space("garden").state().lease) == last
    assert (target.store.tips() == source.store.tips()) == (ours == "sha1")
    for seq, (_, more) in enumerate(LEASED):
        shown = git(tmp_path / "t.git", "cat-file", "-p", f"refs/spaces/garden~{len(LEASED) - 1 - seq}")
        assert shown.endswith(f"Seq: {seq}" + (f"\nLease: {more['lease']}" if "lease" in more else ""))


def test_a_lease_that_was_changed_or_does_not_follow_is_refused(tmp_path):
    lines = dumped(Journal.open(_plain(tmp_path / "s.git", LEASED)))
    for change in (
        {"lease": None},
        {"lease": "-; term=1"},
        {"lease": LEASED[2][1]["lease"] + "\n"},
        {"lease": "\ud800"},
    ):
        assert refused(changed(lines, 1, **change)).line == 2
    assert "lease is not text" in str(refused(changed(lines, 1, lease=3)))
    unlawful = _plain(tmp_path / "u.git", [LEASED[0], (LEASED[2][0], LEASED[2][1])])
    error = refused(dumped(Journal.open(unlawful)))
    assert (error.line, error.refusal.code, error.refusal.place) == (2, "lease", "trailer Lease")


@pytest.mark.parametrize(("theirs", "ours"), [("sha1", "sha256"), ("sha256", "sha1"), ("sha256", "sha256")])
def test_between_object_formats_all_but_names_and_signatures_stays(tmp_path, theirs, ours):
    targets = SIGNED if theirs == "sha1" else [SIGNED[0], SIGNED[2]]
    source = Journal.open(_plain(tmp_path / "s.git", targets, theirs))
    source.space("garden").append(OverlayCreated("o", "a", None, "text"), actor="bob")
    lines = dumped(source)
    run("git", "init", "--quiet", "--bare", f"--object-format={ours}", tmp_path / "t.git")
    target = Journal.open(tmp_path / "t.git")
    brought(target, lines)

    def bare(lines):
        docs = [json.loads(line) for line in lines]
        for doc in docs:
            del doc["commit"]
            doc.get("git", {}).pop("signature", None)
        return [{key: value for key, value in doc.items() if value} for doc in docs]

    assert bare(dumped(target)) == bare(lines)
    assert (dumped(target) == lines) == (theirs == ours)
    assert brought(target, lines).known == len(lines)
    if theirs != ours:
        assert "export it from Seq 0 on" in str(refused(lines[1:], target))


def test_a_header_cannot_be_smuggled_in(tmp_path):
    """A line whose commit is named rightly, but whose email brings another message along."""
    source = Journal.open(_plain(tmp_path / "s.git", [("a", {})]))
    (line,) = dumped(source)
    doc = json.loads(line)
    doc["git"] = {"signature": "gpgsig x\n\nalias-set: other\n\n{}\n\nSeq: 0"}
    from coordjournal import transfer
    from coordjournal.store import object_name

    decision = canonical.dumps({key: doc[key] for key in ("actor", "at", "id", "payload", "space", "type", "v")})
    doc["commit"] = object_name("sha1", "commit", transfer._raw(doc, decision, {}, None, "sha1", signed=True))
    assert refused([json.dumps(doc).encode()]).line == 1


def test_many_objects_are_written_before_all_lines_are_read(tmp_path, monkeypatch):
    """Memory stays bounded, and what is written shows nowhere until the ref moves."""
    from coordjournal import transfer

    monkeypatch.setattr(transfer, "_FLUSH_OBJECTS", 2)
    source = Journal.open(_plain(tmp_path / "s.git", SIGNED))
    lines = dumped(source)
    run("git", "init", "--quiet", "--bare", tmp_path / "t.git")
    target = Journal.open(tmp_path / "t.git")
    assert refused([*lines, b"damaged"], target).line == 4
    assert len(os.listdir(Path(tmp_path / "t.git/objects"))) > 2
    brought(target, lines)
    assert dumped(target) == lines
