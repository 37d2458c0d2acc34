"""Extension types from end to end: declared on a server, refused when they are not, folded by an installed plug-in."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import coordjournal
from coordjournal import Journal, Refused, WouldBeVoid, descriptor
from coordjournal.store import GitStore

KIND = "x-acme-tag"
SCHEMA = {
    "type": "object",
    "properties": {"page": {"type": "string"}, "tag": {"type": "string"}},
    "required": ["page"],
    "additionalProperties": False,
}
ROOT = str(Path(coordjournal.__file__).parent.parent)

PLUGIN = """
class Tags:
    def initial(self):
        return {}

    def apply(self, state, landed):
        page, tag = landed.decision.payload["page"], landed.decision.payload.get("tag")
        if tag is None and page not in state:
            raise LookupError(f"{page} has no tag")
        return {**state, page: tag}

class Broken:
    def __init__(self):
        raise RuntimeError("no plug-in today")
"""


def declare(path: Path, kind: str = KIND) -> None:
    store = GitStore(path)
    descriptor.declare(store, kind, SCHEMA)
    store.close()


@pytest.fixture
def path(bare: Callable[..., Path]) -> Path:
    return bare()


@pytest.fixture(params=["embedded", "clone"])
def journal(request: pytest.FixtureRequest, path: Path, tmp_path: Path) -> Iterator[Journal]:
    clone = request.param == "clone"
    with Journal.clone(f"file://{path}", tmp_path / "clone") if clone else Journal.open(path) as journal:
        yield journal


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a package installed that offers plug-ins by entry points."""
    place = tmp_path / "site"
    info = place / "acme_tags-1.0.dist-info"
    info.mkdir(parents=True)
    (place / "acme_tags.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tags\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[coordjournal.decisions]\n{KIND} = acme_tags:Tags\nx-acme-broken = acme_tags:Broken\n"
        "x-acme-gone = acme_tags:Gone\nalias-set = acme_tags:Tags\n"
    )
    monkeypatch.syspath_prepend(str(place))
    importlib.invalidate_caches()
    return place


def test_an_undeclared_type_is_refused_until_it_is_declared(journal: Journal, path: Path) -> None:
    garden = journal.space("garden")
    with pytest.raises(Refused) as refused:
        garden.append(KIND, {"page": "s:P"}, actor="alice")
    assert (refused.value.code, refused.value.place) == ("undeclared-type", "type")
    declare(path)
    assert garden.append(KIND, {"page": "s:P", "tag": "old"}, actor="alice").seq == 0  # nobody had to sync for it
    for wrong in ({}, {"page": 7}, {"page": "s:P", "more": 1}):
        with pytest.raises(Refused) as refused:
            garden.append(KIND, wrong, actor="alice")
        assert refused.value.code == "extension-schema"
    assert garden.last_seq() == 0


def test_the_hook_is_the_one_that_counts(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(path)
    monkeypatch.setattr(Journal, "judge_extension", lambda *_: None)  # a client that knows nothing
    with Journal.clone(f"file://{path}", tmp_path / "clone") as clone:
        garden = clone.space("garden")
        with pytest.raises(Refused) as refused:
            garden.append("x-acme-other", {"page": "s:P"}, actor="alice")
        assert (refused.value.code, refused.value.incident != "") == ("undeclared-type", True)
        with pytest.raises(Refused) as refused:
            garden.append(KIND, {"page": 7}, actor="alice")
        found = refused.value.code, refused.value.place, refused.value.seq  # an intent has no place yet
        assert found == ("extension-schema", "payload.page", None)
        assert garden.append(KIND, {"page": "s:P"}, actor="alice").seq == 0


def test_where_nobody_declares_anything_every_payload_passes() -> None:
    garden = Journal.memory().space("garden")
    assert garden.append(KIND, {"anything": [1, None]}, actor="alice").seq == 0
    assert garden.state().extensions == {}
    assert garden.state().void == ()


def test_an_installed_plug_in_folds_its_type(installed: Path, journal: Journal, path: Path) -> None:
    declare(path)
    declare(path, "x-acme-broken")
    garden = journal.space("garden")
    first = garden.append(KIND, {"page": "s:P", "tag": "old"}, actor="alice")
    garden.append(KIND, {"page": "s:Q", "tag": "new"}, actor="alice")
    assert garden.state().extensions[KIND] == {"s:P": "old", "s:Q": "new"}
    assert garden.state(at=first.seq).extensions[KIND] == {"s:P": "old"}
    assert garden.state(without=[first.seq]).extensions[KIND] == {"s:Q": "new"}
    with pytest.raises(WouldBeVoid) as error:
        garden.append(KIND, {"page": "s:R"}, actor="alice")
    assert error.value.reason == "extension-failed"
    landed = garden.append(KIND, {"page": "s:R"}, actor="alice", allow_void=True)
    state = garden.state()
    assert [(void.seq, void.reason) for void in state.void] == [(landed.seq, "extension-failed")]
    assert "s:R has no tag" in state.extension_errors[landed.seq]
    assert state.json()["extensions"] == {KIND: {"s:P": "old", "s:Q": "new"}}
    garden.append("x-acme-broken", {"page": "s:P"}, actor="alice", allow_void=True)
    assert "no plug-in today" in garden.state().extension_errors[3]
    assert sorted(journal.extensions) == ["x-acme-broken", "x-acme-gone", KIND]


def test_another_process_finds_it_too(installed: Path, path: Path) -> None:
    declare(path)
    with Journal.open(path) as journal:
        journal.space("garden").append(KIND, {"page": "s:P", "tag": "old"}, actor="alice")
    script = (
        "import sys\n"
        "sys.path[:0] = sys.argv[2:]\n"
        "from coordjournal import Journal\n"
        "with Journal.open(sys.argv[1]) as journal:\n"
        "    print(journal.space('garden').state().json()['extensions'])\n"
    )
    for places, expected in (([str(installed), ROOT], {KIND: {"s:P": "old"}}), ([ROOT], {})):
        said = subprocess.run(
            [sys.executable, "-I", "-c", script, str(path), *places], capture_output=True, text=True, check=True
        ).stdout
        assert said == f"{expected}\n"


def test_plug_ins_can_be_given_instead(installed: Path, path: Path) -> None:
    class Count:
        def initial(self) -> int:
            return 0

        def apply(self, state: int, landed: object, /) -> int:
            return state + 1

    declare(path)
    with Journal.open(path, extensions={KIND: Count()}) as journal:
        garden = journal.space("garden")
        garden.append(KIND, {"page": "s:P"}, actor="alice")
        garden.append(KIND, {"page": "s:P"}, actor="alice")
        assert garden.state().extensions == {KIND: 2}
