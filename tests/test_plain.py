"""The recogniser of plain steps: it says yes to most of a log, and never where the law says no."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from coordjournal import plain
from coordjournal.commit import File

VECTORS = Path(__file__).resolve().parents[1] / "schemas" / "vectors"


def content(of: Any) -> bytes:
    return of.encode() if isinstance(of, str) else base64.b64decode(of["base64"])


def test_no_vector_is_plain_that_the_law_refuses() -> None:
    page = json.loads((VECTORS / "commits.json").read_text("utf-8"))
    parents = {oid: content(raw) for oid, raw in page["parents"].items()}
    yes = 0
    for case in page["cases"]:
        read = plain.reader(case["space"], len(case["oid"]))
        after = read(content(case["commit"]))
        before = None if case["parent"] is None else read(parents[case["parent"]])
        if after is None or (case["parent"] and not before) or not plain.follows(case["parent"], before, after):
            continue
        body = after[-1]
        if body is not None:
            measured = [File(f["mode"], f["name"], f["oid"], f["size"], f["sha256"]) for f in case["files"]]
            if not plain.holds(measured, body):
                continue
        assert "accept" in case, case["name"]
        yes += 1
    assert yes >= 35
