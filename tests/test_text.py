"""The classes of text. The values of docs/format.md are in schemas/vectors/text.json (test_vectors.py)."""

from __future__ import annotations

import subprocess
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support import git, run

from coordjournal import text

NEUTRAL = {0x61C, 0x200E, 0x200F}  # the three bidirectional marks, whose class is a letter's


def test_forbidden_is_what_unicode_says() -> None:
    """Controls, separators of lines and paragraphs, and the bidirectional controls: no more, no less."""
    embeddings = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    due = {
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in ("Cc", "Zl", "Zp")
        or unicodedata.bidirectional(chr(code)) in embeddings
        or code in NEUTRAL
    }
    assert due == text.FORBIDDEN


def test_nothing_but_strings_is_text() -> None:
    class Text(str):
        pass

    for value in (None, 0, 1, True, 1.5, b"a", ["a"], {"a": 1}, ("a",), object(), Text("a")):
        for test in (text.is_ident, text.is_label, text.is_space, text.is_page, text.is_reason):
            assert not test(value)


def test_lone_surrogates_are_no_text() -> None:
    for value in ("\ud800", "a\udfffb", "\ude00\ud83d", "\ud800" * 10_000):
        for test in (text.is_ident, text.is_label, text.is_space, text.is_page, text.is_reason):
            assert not test(value)


@given(st.text(max_size=90))
def test_every_space_is_a_label_and_every_label_a_page(value: str) -> None:
    assert not text.is_space(value) or text.is_label(value)
    assert not text.is_label(value) or text.is_page(value)
    assert not text.is_page(value) or text.is_reason(value)
    assert not text.is_ident(value) or text.is_label(value)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=100), st.integers(1, 300))
def test_the_limit_is_in_bytes(value: str, most: int) -> None:
    clean = text.FORBIDDEN.isdisjoint(value)
    assert text.is_text(value, most) == (clean and 1 <= len(value.encode()) <= most)


def test_git_keeps_idents_as_they_are(tmp_path: Path) -> None:
    """What the class is for: git, asked to commit with that name, writes those bytes."""
    run("git", "init", "-q", "--bare", tmp_path)
    tree = git(tmp_path, "hash-object", "-t", "tree", "-w", "--stdin")
    names = [
        "alice",
        "Ана 'Anna' (ops)",
        "a.b:c,d\"e\\f'g",
        "--",
        "é" * 100,
        "日本 語",
        "\u00a0x\u3000",
        "@",
        "#1",
        "(x)",
    ]
    for name in names:
        assert text.is_ident(name)
        env = {"GIT_AUTHOR_NAME": name, "GIT_COMMITTER_NAME": name}
        oid = git(tmp_path, "commit-tree", tree, "-m", "x", env=env)
        raw = subprocess.run(["git", "-C", tmp_path, "cat-file", "commit", oid], capture_output=True, check=True).stdout
        assert f"\nauthor {name} <".encode() in raw
    for name in (" a", "a.", "a<b", "a\nb", "'a'"):
        assert not text.is_ident(name)
        oid = git(tmp_path, "commit-tree", tree, "-m", "x", env={"GIT_AUTHOR_NAME": name})
        raw = subprocess.run(["git", "-C", tmp_path, "cat-file", "commit", oid], capture_output=True, check=True).stdout
        assert f"\nauthor {name} <".encode() not in raw


def test_printable_shows_what_could_steer_a_terminal() -> None:
    assert text.printable("alias-set: Größe -> 日本") == "alias-set: Größe -> 日本"
    assert text.printable("a\x1b[31mb\nc\x9b\u202ed") == "a\\u{1b}[31mb\\u{a}c\\u{9b}\\u{202e}d"
    assert text.printable("\udcff") == "\\u{dcff}"


@given(st.text(alphabet=st.characters()))
def test_printable_leaves_nothing_that_steers(value: str) -> None:
    shown = text.printable(value)
    assert text.FORBIDDEN.isdisjoint(shown)
    shown.encode()  # no surrogate is left
    assert shown == value or not text.FORBIDDEN.isdisjoint(value) or any("\ud800" <= c <= "\udfff" for c in value)
