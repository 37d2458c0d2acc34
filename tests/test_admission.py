"""The admission: what can be judged only when a commit arrives. Its clock has vectors too (admission.json)."""

from __future__ import annotations

from typing import Any

import pytest

from coordjournal import admission
from coordjournal.admission import Settings
from coordjournal.commit import Commit, File
from coordjournal.errors import Refused

NOW = 1795341600  # 2026-11-22T10:00:00Z
DOC = {"at": "2026-11-22T10:00:00.000000Z", "type": "alias-set", "payload": {}}


def commit(appended: int = NOW, files: tuple[File, ...] = (), lease: str | None = None) -> Commit:
    made = Commit.unread("c" * 40)
    made.appended = appended
    made.lease = lease
    made.files = files
    return made


def no_extension(kind: str, payload: Any) -> None:
    raise AssertionError("only an extension is judged by a declared schema")


def refused(*asked: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        asked[0](*asked[1:])
    return caught.value


def test_defaults_need_no_configuration() -> None:
    settings = Settings.from_config({})
    assert settings.strict is False
    assert settings.decision_bytes == 65_536
    assert settings.attachment_bytes == 16 * 1024 * 1024
    assert settings.clock_skew == 60
    assert settings.lease_max_ttl == 3600
    assert settings.read_only is False
    assert settings.primary == ""
    assert settings.sequencing is False


def test_settings_are_read_as_git_writes_them() -> None:
    settings = Settings.from_config(
        {
            "coordjournal.strict": "YES",
            "coordjournal.maxdecisionbytes": "8k",
            "coordjournal.maxattachmentbytes": "2M",
            "coordjournal.clockskew": "0",
            "coordjournal.leasemaxttl": "60",
            "coordjournal.readonly": "on",
            "coordjournal.primary": "https://example.org/wiki.git",
            "receive.procreceiverefs": "refs/for\nrefs/append",
        }
    )
    assert settings.sequencing
    for other in ("refs/for", "refs/append/garden", "refs/appendix", ""):
        assert not Settings.from_config({"receive.procreceiverefs": other}).sequencing
    assert settings.strict
    assert settings.decision_bytes == 8192
    assert settings.attachment_bytes == 2 * 1024 * 1024
    assert settings.clock_skew == 0
    assert settings.lease_max_ttl == 60
    assert settings.read_only
    assert settings.primary == "https://example.org/wiki.git"
    assert Settings.from_config({"coordjournal.maxattachmentbytes": "1G"}).attachment_bytes == 1024**3


@pytest.mark.parametrize(
    ("value", "due"),
    [("true", True), ("1", True), ("On", True), ("false", False), ("no", False), ("0", False), ("", False)],
)
def test_booleans_are_gits(value: str, due: bool) -> None:
    """An empty value is false to git (git-config(1), "Values"); a key without a value is given as true."""
    assert Settings.from_config({"coordjournal.readonly": value}).read_only is due


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("coordjournal.strict", "maybe"),
        ("coordjournal.readonly", "2"),
        ("coordjournal.clockskew", "-1"),
        ("coordjournal.clockskew", "1.5"),
        ("coordjournal.clockskew", "60s"),
        ("coordjournal.clockskew", "k"),
        ("coordjournal.maxdecisionbytes", "٣"),
        ("coordjournal.maxdecisionbytes", "0x10"),
    ],
)
def test_a_guard_does_not_guess(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=key):
        Settings.from_config({key: value})


def test_read_only() -> None:
    admission.check_writable(Settings())
    refusal = refused(admission.check_writable, Settings(read_only=True))
    assert refusal.code == "read-only"
    assert "administrator" in refusal.remedy
    refusal = refused(admission.check_writable, Settings(read_only=True, primary="ssh://git@example.org/wiki.git"))
    assert "ssh://git@example.org/wiki.git" in refusal.remedy


def test_sizes() -> None:
    settings = Settings(decision_bytes=100, attachment_bytes=10)
    body = File("100644", "body", "0" * 40, 10, "0" * 64)
    admission.check_size(commit(files=(body,)), 100, settings)
    refusal = refused(admission.check_size, commit(), 101, settings)
    assert refusal.code == "too-large"
    assert "101 bytes, the limit is 100" in refusal.what
    body.size = 11
    refusal = refused(admission.check_size, commit(files=(body,)), 100, settings)
    assert (refusal.code, refusal.place) == ("too-large", "tree body")
    assert "11 bytes, the limit is 10" in refusal.what


def test_a_tree_that_nobody_measured_is_left_to_the_law() -> None:
    unmeasured = commit()
    unmeasured.files = None
    admission.check_size(unmeasured, 1, Settings())


def test_clock() -> None:
    settings = Settings(clock_skew=60)
    admission.check(DOC, None, commit(NOW + 60), NOW, settings, no_extension)
    refusal = refused(admission.check, DOC, None, commit(NOW + 61), NOW, settings, no_extension)
    assert (refusal.code, refusal.place) == ("clock", "header committer")
    assert "2026-11-22T10:01:01" in refusal.what


def test_a_clock_that_once_ran_ahead_never_bricks_a_space() -> None:
    ahead = NOW + 10**6
    admission.check(DOC, commit(ahead), commit(ahead), NOW, Settings(), no_extension)
    refusal = refused(admission.check, DOC, commit(ahead), commit(ahead + 1), NOW, Settings(), no_extension)
    assert refusal.code == "clock"


def test_decided_after_it_was_appended() -> None:
    doc = DOC | {"at": "2026-11-22T10:01:00.999999Z"}
    admission.check(doc, None, commit(), NOW, Settings(), no_extension)
    refusal = refused(
        admission.check, DOC | {"at": "2026-11-22T10:01:01.000000Z"}, None, commit(), NOW, Settings(), no_extension
    )
    assert (refusal.code, refusal.place) == ("clock", "at")


HELD = "node-a/5f0c; term=1; ttl=300; until=2026-11-22T10:00:00Z"  # until NOW


def test_what_ends_a_lease_waits_for_the_servers_clock() -> None:
    """Without the skew that everybody else is allowed: a holder within it then knows that its lease has ended."""
    parent = commit(NOW - 300, lease=HELD)
    for at, now in ((NOW, NOW), (NOW, NOW + 9), (NOW + 9, NOW + 9)):
        admission.check(DOC, parent, commit(at), now, Settings(), no_extension)
    for at, now in ((NOW, NOW - 1), (NOW, NOW - 60), (NOW + 1, NOW)):
        refusal = refused(admission.check, DOC, parent, commit(at), now, Settings(), no_extension)
        assert (refusal.code, refusal.place) == ("clock", "header committer")
        assert "the lease of 'node-a'" in refusal.what
    admission.check(DOC, parent, commit(NOW - 1), NOW - 61, Settings(), no_extension)  # it is in force


def test_a_lease_that_was_given_back_is_waited_for_by_nobody() -> None:
    for lease in (HELD, "-; term=1", None):
        admission.check(DOC, commit(NOW, lease=lease), commit(NOW + 60), NOW, Settings(), no_extension)
        refusal = refused(
            admission.check, DOC, commit(NOW, lease=lease), commit(NOW + 61), NOW, Settings(), no_extension
        )
        assert refusal.code == "clock"


def test_a_lease_is_long_enough_for_the_clocks_and_no_longer_than_allowed() -> None:
    settings = Settings(clock_skew=30, lease_max_ttl=90)
    for ttl, lawful in ((59, False), (60, True), (90, True), (91, False)):
        doc = DOC | {"type": "lease-acquired", "payload": {"holder": "node-a", "ttl": ttl}}
        if lawful:
            admission.check(doc, None, commit(), NOW, settings, no_extension)
            admission.check_intent(doc, NOW, settings, no_extension)
            continue
        for refusal in (
            refused(admission.check, doc, None, commit(), NOW, settings, no_extension),
            refused(admission.check_intent, doc, NOW, settings, no_extension),
        ):
            assert (refusal.code, refusal.place) == ("lease", "payload.ttl")
            assert "from 60 s, twice the clock skew, to 90 s" in refusal.what


def test_the_order_of_the_rules() -> None:
    """The append time, the end of a lease, the ttl, the decision's time."""
    doc = DOC | {"type": "lease-acquired", "payload": {"ttl": 1}, "at": "2027-01-01T00:00:00.000000Z"}
    held = commit(NOW - 300, lease=HELD)
    steps = [
        (held, NOW + 61, doc, "more than 60 s after the server's"),
        (held, NOW + 60, doc, "what follows the lease"),
        (held, NOW, doc, "a ttl of 1 s"),
        (held, NOW, doc | {"payload": {"ttl": 300}}, "after it was appended"),
    ]
    for parent, at, asked, words in steps:
        assert words in refused(admission.check, asked, parent, commit(at), NOW, Settings(), no_extension).what


def test_an_intent_is_judged_by_the_time_it_arrives() -> None:
    admission.check_intent(DOC | {"at": "2026-11-22T10:01:00.999999Z"}, NOW, Settings(), no_extension)
    late = DOC | {"at": "2026-11-22T10:01:01.000000Z"}
    refusal = refused(admission.check_intent, late, NOW, Settings(), no_extension)
    assert (refusal.code, refusal.place) == ("clock", "at")
    for kind in ("lease-released", "intent-refused"):
        refusal = refused(admission.check_intent, late | {"type": kind}, NOW, Settings(), no_extension)
        assert (refusal.code, refusal.place) == ("lease", "type")
        assert "the holder of the lease stamps it itself" in refusal.what
    asked = []
    doc = DOC | {"type": "x-acme-tag", "payload": {"page": "s:P"}}
    admission.check_intent(doc, NOW, Settings(), lambda kind, payload: asked.append((kind, payload)))
    assert asked == [("x-acme-tag", {"page": "s:P"})]


def test_an_extension_is_judged_by_whoever_knows_its_schema() -> None:
    asked = []
    doc = DOC | {"type": "x-acme-tag", "payload": {"page": "s:P"}}
    admission.check(doc, None, commit(), NOW, Settings(), lambda kind, payload: asked.append((kind, payload)))
    assert asked == [("x-acme-tag", {"page": "s:P"})]

    def undeclared(kind: str, payload: Any) -> None:
        raise Refused("undeclared-type", "no such")

    assert refused(admission.check, doc, None, commit(), NOW, Settings(), undeclared).code == "undeclared-type"


def test_the_clock_is_asked_before_the_extension() -> None:
    doc = DOC | {"type": "x-acme-tag"}
    refusal = refused(admission.check, doc, None, commit(NOW + 100), NOW, Settings(), no_extension)
    assert refusal.code == "clock"
