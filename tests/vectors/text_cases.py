"""Which values belong to which class of text (docs/format.md, "Text", "Times and ids")."""

from __future__ import annotations

from typing import Any

IDENT = ["ident"]
NAMES = ["label", "page", "reason", "space"]  # what holds for the classes without special ends
EVERY = [*IDENT, *NAMES]

E_ACUTE, EURO, EMOJI = "\u00e9", "\u20ac", "\U0001f600"  # two, three and four bytes in UTF-8


def _case(value: str, classes: list[str], about: str = "", times: int = 1) -> dict[str, Any]:
    case: dict[str, Any] = {"about": about} if about else {}
    case |= {"value": value} if times == 1 else {"repeat": value, "times": times}
    return case | {"classes": sorted(classes)}


def _texts() -> list[dict[str, Any]]:
    cases = [
        _case("", [], "the empty string is in no class"),
        _case("alice", EVERY),
        _case("A", EVERY),
        _case("Größe", EVERY),
        _case("日本語", EVERY),
        _case(EMOJI, EVERY),
        _case("👩‍👩‍👧", EVERY, "zero-width joiners are text"),
        _case("Cafe\u0301", EVERY, "nothing is normalised: this and the next are two values"),
        _case("Caf\u00e9", EVERY),
        _case("\ufeff", EVERY, "U+FEFF is text"),
        _case("\u200b", EVERY, "zero-width space"),
        _case("\u00a0", EVERY, "no-break space is no space"),
        _case("\u3000x\u3000", EVERY, "nor is the ideographic space"),
        _case("\ue000", EVERY, "private use"),
        _case("\U0010ffff", EVERY, "a noncharacter is a Unicode scalar value"),
        _case("\u0378", EVERY, "unassigned in Unicode 15: classes do not change with Unicode"),
        _case("a b", EVERY),
        _case("a%b/c:d", EVERY),
        _case("node-a/5f0c", EVERY),
        _case("..", NAMES),
        _case("a.b", EVERY),
        _case("--", EVERY),
        _case("-", NAMES, "an ident is not a hyphen: it stands for nobody in a lease trailer"),
        _case("-a-", EVERY),
        _case("a;b", NAMES, "; ends the holder in a lease trailer"),
    ]
    cases += [_case(f"{char}a", NAMES, "crud before an ident") for char in " .,:;<>\"\\'"]
    cases += [_case(f"a{char}", NAMES, "crud after an ident") for char in " .,:;<>\"\\'"]
    cases += [_case(f"a{char}b", EVERY) for char in " .,:\"\\'"]
    cases += [_case(f"a{char}b", NAMES, "git drops it from a name") for char in "<>"]
    for code in (0x00, 0x01, 0x08, 0x09, 0x0B, 0x0D, 0x1B, 0x1F, 0x7F, 0x80, 0x85, 0x9B, 0x9F):
        cases.append(_case(f"a{chr(code)}b", [], f"U+{code:04X} is a control"))
    cases.append(_case("a\nb", ["reason"], "a reason may have newlines"))
    cases.append(_case("\n", ["reason"]))
    cases.append(_case("a\r\nb", [], "but no carriage return"))
    for code in (0x2028, 0x2029):
        cases.append(_case(f"a{chr(code)}b", [], f"U+{code:04X} separates lines or paragraphs"))
    for code in (0x061C, 0x200E, 0x200F, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069):
        cases.append(_case(f"a{chr(code)}b", [], f"U+{code:04X} is a bidirectional control"))
    for code in (0x20, 0x7E, 0xA0, 0xAD, 0x061B, 0x061D, 0x200D, 0x2010, 0x2027, 0x202F, 0x2065, 0x206A):
        cases.append(_case(f"a{chr(code)}b", EVERY, f"U+{code:04X} is text"))
    for limit, classes in (
        (80, EVERY),
        (200, [*IDENT, "label", "page", "reason"]),
        (400, ["label", "page", "reason"]),
        (2000, ["page", "reason"]),
        (10_000, ["reason"]),
    ):
        fewer = [one for one in classes if one != {80: "space", 200: "ident", 400: "label", 2000: "page"}.get(limit)]
        above = fewer if limit < 10_000 else []
        cases.append(_case("a", classes, f"{limit} bytes", limit))
        cases.append(_case("a", above, f"{limit + 1} bytes", limit + 1))
        cases.append(_case(E_ACUTE, classes, f"{limit} bytes", limit // 2))
        cases.append(_case(E_ACUTE, above, f"{limit + 2} bytes", limit // 2 + 1))
        cases.append(_case(EMOJI, classes, f"{limit} bytes", limit // 4))
        cases.append(_case(EMOJI, above, f"{limit + 4} bytes", limit // 4 + 1))
    cases.append(_case(EURO, [*IDENT, "label", "page", "reason"], "81 bytes", 27))
    return cases


def _meta() -> list[dict[str, Any]]:
    keys = [
        ("a", True, ""),
        ("Import.id_7:x/y-z", True, ""),
        ("-", True, ""),
        ("", False, ""),
        ("a b", False, ""),
        ("a\n", False, ""),
        ("é", False, ""),
        ("a+b", False, ""),
    ]
    values = [
        ("", True, "a meta value may be empty"),
        ("a\nb", True, ""),
        ("a\tb", False, ""),
        ("\u202e", False, ""),
        ("Größe", True, ""),
    ]
    cases: list[dict[str, Any]] = [{"key": key, "valid": valid} | _about(about) for key, valid, about in keys]
    cases += [{"key_repeat": "k", "times": times, "valid": times <= 100} for times in (100, 101)]
    cases += [{"value": value, "valid": valid} | _about(about) for value, valid, about in values]
    cases += [{"value_repeat": E_ACUTE, "times": times, "valid": times <= 1000} for times in (1000, 1001)]
    return cases


def _about(about: str) -> dict[str, Any]:
    return {"about": about} if about else {}


def _times() -> list[dict[str, Any]]:
    valid = [
        ("1970-01-01T00:00:00.000000Z", 0),
        ("1970-01-01T00:00:00.999999Z", 0),
        ("1999-12-31T23:59:59.999999Z", 946684799),
        ("2000-02-29T00:00:00.000000Z", 951782400),
        ("2026-11-22T10:00:00.000000Z", 1795341600),
        ("2100-02-28T23:59:59.000000Z", 4107542399),
        ("2100-03-01T00:00:00.000000Z", 4107542400),
        ("9999-12-31T23:59:59.999999Z", 253402300799),
    ]
    invalid = [
        ("", ""),
        ("2026-11-22", ""),
        ("2026-11-22T10:00:00Z", "no fraction"),
        ("2026-11-22T10:00:00.000Z", "three digits of fraction"),
        ("2026-11-22T10:00:00.0000000Z", "seven digits"),
        ("2026-11-22T10:00:00.000000", "no Z"),
        ("2026-11-22T10:00:00.000000z", ""),
        ("2026-11-22t10:00:00.000000Z", ""),
        ("2026-11-22 10:00:00.000000Z", ""),
        ("2026-11-22T10:00:00,000000Z", ""),
        ("2026-11-22T10:00:00.000000+00:00", ""),
        ("2026-11-22T10:00:00.000000Z\n", ""),
        (" 2026-11-22T10:00:00.000000Z", ""),
        ("+026-11-22T10:00:00.000000Z", ""),
        ("2026-1 -22T10:00:00.000000Z", ""),
        ("2026-11-22T10:00:00.00000٠Z", "a digit, but not of ASCII"),
        ("1969-12-31T23:59:59.999999Z", "before 1970"),
        ("0000-01-01T00:00:00.000000Z", ""),
        ("10000-01-01T00:00:00.000000Z", ""),
        ("2026-00-22T10:00:00.000000Z", ""),
        ("2026-13-22T10:00:00.000000Z", ""),
        ("2026-11-00T10:00:00.000000Z", ""),
        ("2026-11-31T10:00:00.000000Z", ""),
        ("2026-02-29T10:00:00.000000Z", "no leap year"),
        ("2100-02-29T10:00:00.000000Z", "no leap year"),
        ("2026-11-22T24:00:00.000000Z", ""),
        ("2026-11-22T10:60:00.000000Z", ""),
        ("2016-12-31T23:59:60.000000Z", "leap seconds have no name here"),
    ]
    cases: list[dict[str, Any]] = [{"at": at, "seconds": seconds} for at, seconds in valid]
    return cases + [{"at": at, "seconds": None} | _about(about) for at, about in invalid]


def _ids() -> list[dict[str, Any]]:
    valid = [
        "01935c2f-7b00-7000-8000-000000000000",
        "01935c2f-7b00-7fff-bfff-ffffffffffff",
        "00000000-0000-7000-9000-000000000000",
        "ffffffff-ffff-7fff-afff-ffffffffffff",
    ]
    invalid = [
        ("", ""),
        ("01935C2F-7B00-7000-8000-000000000000", "upper case"),
        ("01935c2f7b007000800000000000000000000", ""),
        ("01935c2f-7b00-4000-8000-000000000000", "version 4"),
        ("01935c2f-7b00-7000-7000-000000000000", "not of the variant of RFC 9562"),
        ("01935c2f-7b00-7000-c000-000000000000", "not of the variant of RFC 9562"),
        ("01935c2f-7b00-7000-8000-00000000000", "a digit is missing"),
        ("01935c2f-7b00-7000-8000-0000000000000", "a digit too many"),
        ("01935c2f-7b00-7000-8000-00000000000g", ""),
        ("h1935c2f-7b00-7000-8000-000000000000", ""),
        ("01935c2f-7b0-07000-8000-000000000000", ""),
        ("01935c2f-7b00-7000-8000-00000000-000", "a hyphen for a digit"),
        ("{01935c2f-7b00-7000-8000-00000000000}", ""),
        ("01935c2f-7b00-7000-8000-000000000000\n", ""),
        ("01935c2f-7b00-7000-8000-00000000000\n", ""),
        ("01935c2f-7b00-7000-8000-00000000000٠", ""),
    ]
    cases: list[dict[str, Any]] = [{"id": one, "valid": True} for one in valid]
    return cases + [{"id": one, "valid": False} | _about(about) for one, about in invalid]


def _types() -> list[dict[str, Any]]:
    valid = ["x-acme-tag", "x-a-b", "x-1-2", "x-acme-page-tag-2", "x-" + "a" * 96 + "-b"]
    invalid = [
        "",
        "x",
        "x-",
        "x-acme",
        "x-acme-",
        "x--tag",
        "x-acme--tag",
        "-x-acme-tag",
        "X-acme-tag",
        "x-Acme-tag",
        "x-acme-tag\n",
        "x-acme-tag ",
        "x-acme_tag-a",
        "x-acme-täg",
        "x-acme-t٠",
        "y-acme-tag",
        "alias-set",
        "x-" + "a" * 97 + "-b",
    ]
    return [{"type": one, "extension": True} for one in valid] + [{"type": one, "extension": False} for one in invalid]


def document() -> dict[str, Any]:
    return {
        "about": "docs/format.md, 'Text' and 'Times and ids'. texts: a value, or a string to repeat so many times, and "
        "all the classes that it is in. times: the seconds since 1970, or null where it is no time.",
        "texts": _texts(),
        "meta": _meta(),
        "times": _times(),
        "ids": _ids(),
        "types": _types(),
    }
