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


def commit(appended: int = NOW, files: tuple[File, ...] = ()) -> Commit:
    made = Commit.unread("c" * 40)
    made.appended = appended
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
        }
    )
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
