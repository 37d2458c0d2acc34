"""What docs/format.md says of a decision, for the programs of this folder that are written in Python.

They know nothing of coordjournal. A program reads requests from its input, a line each, of words between tabs:

    fetch DIR URL                                     every log, into a bare repository DIR, made where there is none
    read DIR SPACE                                    a line a decision, oldest first, see ``row``
    build DIR SPACE HOW ACTOR KIND NAME PAGE [FILE]   a commit on the log as it was last fetched, see ``written``
    push DIR URL COMMIT REF [force]

and answers with what it has to say, and a last line ``= done`` or ``= failed``.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Answer = Callable[..., None]


def written(
    space: str, how: str, actor: str, kind: str, name: str, page: str, seq: int, content: bytes | None
) -> tuple[str, int]:
    """The message of a decision commit, and the second of its ``at``.

    Args:
        how: ``stamped`` for a lawful commit, ``intent`` for one without a place, or the code of the law that it breaks:
            ``seq``, ``subject``, ``attachment``.
        content: what the attachment of an ``overlay-created`` declares.
    """
    now = time.time_ns() // 1000
    second = now // 1_000_000
    if kind == "alias-set":
        payload: dict[str, object] = {"alias": name, "target": page}
        rest = f"{quoted(name)} -> {quoted(page)}"
    else:
        assert content is not None
        sha256 = hashlib.sha256(content + b"?" * (how == "attachment")).hexdigest()
        payload = {"base_rev": None, "body": {"bytes": len(content), "sha256": sha256}, "overlay_id": name}
        payload["target"] = page
        rest = f"{quoted(name)} on {quoted(page)} ({len(content)} bytes)"
    document = {
        "actor": actor,
        "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{now % 1_000_000:06}Z",
        "id": uuid7(now // 1000),
        "payload": payload,
        "space": space,
        "type": kind,
        "v": 1,
    }
    line = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    subject = f"{kind}: {rest}" + "!" * (how == "subject")
    trailer = "" if how == "intent" else f"\nSeq: {seq + (how == 'seq')}\n"
    return f"{subject}\n\n{line}\n{trailer}", second


def quoted(text: str) -> str:
    """A string as subjects have it (section 8)."""
    if not set(text) & set(' "\\'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def uuid7(milliseconds: int) -> str:
    """A new id (section 3)."""
    digits = f"{milliseconds:012x}7{os.urandom(2).hex()[1:]}{8 + os.urandom(1)[0] % 4:x}{os.urandom(8).hex()[1:]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def spelled(space: str) -> str:
    """A space as refs have it (section 4)."""
    raw = space.encode()
    plain = b"abcdefghijklmnopqrstuvwxyz0123456789_-."
    odd = {0, len(raw) - 1} | {i for i in range(1, len(raw)) if raw[i - 1] == 0x2E}
    odd |= {len(raw) - 5} if raw.endswith(b".lock") else set()
    return "".join(
        chr(byte) if byte in plain and not (byte == 0x2E and i in odd) else f"%{byte:02X}" for i, byte in enumerate(raw)
    )


def seq_of(message: str) -> int:
    """The Seq of a commit by its message: the first trailer (section 7)."""
    return int(message.split("\n\n")[2].partition("\n")[0].removeprefix("Seq: "))


def row(commit: str, appender: str, message: str, body: bytes | None) -> str:
    """A decision as ``read`` tells it: Seq, commit, actor, appender, subject, line, SHA-256 of the body or ``-``."""
    subject, line, _ = message.split("\n\n")
    document = json.loads(line)
    digest = "-" if body is None else hashlib.sha256(body).hexdigest()
    return "\t".join((str(seq_of(message)), commit, document["actor"], appender, subject, line, digest))


def content_of(files: Sequence[str]) -> bytes | None:
    """The content of the file that a request may name."""
    return Path(files[0]).read_bytes() if files else None


def serve(client: object) -> None:
    """Answers requests, each by the method of its name, until there is no more input."""
    sys.stdin.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    for request in sys.stdin:
        verb, *words = request.rstrip("\n").split("\t")
        try:
            getattr(client, verb)(*words)
            print("= done", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}\n= failed", flush=True)
