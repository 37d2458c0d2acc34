"""intents.py: a chain of intents, from its newest commit down to what its author last saw."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pushing import EMPTY_TREE, Author, attached

from coordjournal import gitread, intents
from coordjournal.admission import Settings
from coordjournal.commit import Commit
from coordjournal.errors import GitFailed, Refused
from coordjournal.gitread import Objects


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return Author(tmp_path_factory.mktemp("author") / "author.git")


@pytest.fixture(scope="module")
def objects(author: Author) -> Iterator[Objects]:
    with Objects(gitread.environment(str(author.path), {})) as opened:
        yield opened


def no_extensions(kind: str, payload: Any) -> None:
    raise Refused("undeclared-type", f"{kind} is not declared")


def read(
    author: Author, objects: Objects, new: str, space: str = "garden", **settings: int
) -> tuple[list[intents.Intent], Commit | None]:
    env = gitread.environment(str(author.path), {})
    return intents.read(space, new, objects, env, int(time.time()), Settings(**settings), no_extensions)  # type: ignore[arg-type]


def refusal(author: Author, objects: Objects, new: str, **settings: int) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        read(author, objects, new, **settings)
    return caught.value.code, caught.value.commit


def test_a_chain_without_a_base(author: Author, objects: Objects) -> None:
    chain = author.intents(4)
    found, base = read(author, objects, chain[-1])
    assert [intent.commit.oid for intent in found] == chain
    assert [intent.id for intent in found] == [intent.doc["id"] for intent in found] == [author.id(c) for c in chain]
    assert base is None
    assert len(read(author, objects, chain[0])[0]) == 1


def test_a_chain_on_a_decision(author: Author, objects: Objects) -> None:
    log = author.chain("garden", 2)
    chain = author.intents(2, base=log[1])
    found, base = read(author, objects, chain[-1])
    assert [intent.commit.oid for intent in found] == chain
    assert base is not None and (base.oid, base.seq) == (log[1], 1)


def test_no_intent_at_all(author: Author, objects: Objects) -> None:
    """What is stamped is for the law to judge at its place, whatever it is."""
    stamped = author.decision("other", 7, subject="any")
    found, base = read(author, objects, stamped)
    assert found == [] and base is not None and base.oid == stamped


def test_attachments_are_measured(author: Author, objects: Objects) -> None:
    body = b"text\n"
    payload = {"overlay_id": "o", "target": "a:1", "base_rev": None, "body": attached(body)}
    tree = author.tree(("100644", "body", author.blob(body)))
    subject = "overlay-created: o on a:1 (5 bytes)"
    intent = author.intent(kind="overlay-created", payload=payload, subject=subject, tree=tree)
    [found], _ = read(author, objects, intent)
    assert found.commit.files is not None and [file.size for file in found.commit.files] == [5]
    assert refusal(author, objects, intent, attachment_bytes=4) == ("too-large", intent)


def test_the_first_that_breaks_is_named(author: Author, objects: Objects) -> None:
    bad = author.intent(base=author.intent(), subject="x")
    worse = author.intent(base=author.intent(base=bad), document={"space": "other"})
    assert refusal(author, objects, worse) == ("subject", bad)


def test_limits(author: Author, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = author.intents(3)
    monkeypatch.setattr(intents, "_MOST", 3)
    assert len(read(author, objects, chain[-1])[0]) == 3
    more = author.intent(base=chain[-1])
    assert refusal(author, objects, more)[0] == "too-large"
    large = author.intent(document={"reason": "r" * 900})
    above = author.intent(base=large)
    assert refusal(author, objects, large, decision_bytes=800) == ("too-large", large)
    assert refusal(author, objects, above, decision_bytes=800) == ("too-large", large)


def test_a_large_base_is_one_if_it_is_in_the_log(author: Author, objects: Objects) -> None:
    base = author.decision("large", 0, document={"reason": "r" * 900})
    intent = author.intent("large", base=base)
    env = gitread.environment(str(author.path), {})
    settings = Settings(decision_bytes=800)
    with pytest.raises(Refused) as caught:
        intents.read("large", intent, objects, env, int(time.time()), settings, no_extensions)
    assert (caught.value.code, caught.value.commit) == ("too-large", base)
    author.git("update-ref", "refs/spaces/large", base)
    [found], below = intents.read("large", intent, objects, env, int(time.time()), settings, no_extensions)
    assert found.commit.oid == intent and below is not None and below.oid == base
    assert read(author, objects, base, "large")[0] == []
    with pytest.raises(Refused):
        intents.read("large", base, objects, env, int(time.time()), settings, no_extensions)


@pytest.mark.parametrize("kind", ["blob", "tree", "tag"])
def test_no_commit(author: Author, objects: Objects, kind: str) -> None:
    content = {"blob": b"x", "tree": b"", "tag": b"object %s\ntype tree\ntag x\ntagger x <> 1 +0000\n\nx\n"}[kind]
    oid = author.object(kind, content.replace(b"%s", EMPTY_TREE["sha1"].encode()))
    assert refusal(author, objects, oid) == ("not-a-commit", oid)


def test_a_missing_object_cannot_be_judged(author: Author, objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(GitFailed):
        read(author, objects, "1" * 40)
    with pytest.raises(GitFailed):
        read(author, objects, author.intent(base="1" * 40))
