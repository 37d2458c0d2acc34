"""Writes the test vectors in schemas/vectors/: ``python -m tests.vectors.make`` in the checkout, after a change.

The vectors judge the package, so nothing here imports it. Bytes are put together by plain string work, object names are
hashed here, and what must be said of a case (its code, its subject, its ref, its value) is stated by hand in the
``*_cases.py`` files beside this one.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from . import admission_cases, canonical_cases, commit_cases, lease_cases, ref_cases, subject_cases, text_cases

OUT = Path(__file__).resolve().parents[2] / "schemas" / "vectors"


def render() -> dict[str, str]:
    """The files: name to content."""
    return {
        "admission.json": _page(admission_cases.document()),
        "canonical.json": _page(canonical_cases.document()),
        "commits.json": _page(commit_cases.document(lease_cases.cases())),
        "refs.json": _page(ref_cases.document()),
        "subjects.json": _page(subject_cases.document()),
        "text.json": _page(text_cases.document()),
    }


def _page(document: Any) -> str:
    """JSON for people too: what a terminal or an editor would not show as it is stands as an escape."""
    text = json.dumps(document, indent=1, ensure_ascii=False, default=_bytes)
    return re.sub(r"[^\n -~]", lambda char: char[0] if char[0].isprintable() else _escape(char[0]), text) + "\n"


def _escape(char: str) -> str:
    return json.dumps(char)[1:-1]


def _bytes(content: object) -> Any:
    """Bytes stand as a string where they are UTF-8, else as ``{"base64": ...}``."""
    assert isinstance(content, bytes)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (OUT / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
