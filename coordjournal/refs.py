"""Space ids and the refs they live in: one spelling an id (docs/format.md, "Refs").

This module is on the hook's hot path: it imports nothing but the text classes.
"""

from .text import is_space

SPACES = "refs/spaces/"
APPEND = "refs/append/"
INTENTS = "refs/intents/"
META = "refs/meta/coordjournal"

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")
_DOT = ord(".")


def encode_space(space: str) -> str:
    """The one spelling of ``space`` inside a ref.

    Every UTF-8 byte outside ``[a-z0-9._-]`` becomes ``%XX``, and so does every ``.`` that is first, last, follows
    another ``.``, or begins a final ``.lock``: git allows none of those (git-check-ref-format(1)), and no two spaces
    collide on a file system that folds case.

    Raises:
        ValueError: ``space`` is not a space id.
    """
    if not is_space(space):
        raise ValueError(f"not a space id: {space!r} (1 to 80 bytes of text without control characters)")
    raw = space.encode()
    out = []
    for i, byte in enumerate(raw):
        plain = byte in _PLAIN
        if byte == _DOT:
            plain = 0 < i < len(raw) - 1 and raw[i - 1] != _DOT and raw[i:] != b".lock"
        out.append(chr(byte) if plain else f"%{byte:02X}")
    return "".join(out)


def decode_space(name: str) -> str:
    """The space id that ``name`` spells.

    Raises:
        ValueError: ``name`` is not the one spelling of a space id.
    """
    head, *rest = name.split("%")
    try:
        raw = bytearray(head, "utf-8", "surrogateescape")
        for part in rest:
            raw.append(int(part[:2], 16))
            raw += part[2:].encode("utf-8", "surrogateescape")
        space = raw.decode()
        if encode_space(space) == name:
            return space
    except ValueError:
        pass
    raise ValueError(f"not the spelling of a space id: {name!r}")


def space_ref(space: str) -> str:
    """The ref of the log of ``space``. Raises ValueError as :func:`encode_space` does."""
    return SPACES + encode_space(space)
