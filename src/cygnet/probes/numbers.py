"""Numbers and durations in attach points, spelt as everywhere in the language."""

from __future__ import annotations

#: unit → its length in nanoseconds; as a suffix of a number every one of them is allowed
NS = {
    "ns": 1,
    "us": 1000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}


def number(text: str) -> int | None:
    """``99``, ``0x10``, ``017``, ``1_000`` or ``1e6``; None when the text is not a number."""
    digits = text.replace("_", "")
    if not digits.isascii() or not digits or not digits[0].isdigit() or text.endswith("_"):
        return None
    head, e, exponent = digits.partition("e")
    if e and head.isdigit() and exponent.isdigit() and len(exponent) < 3:
        return int(head) * int("1" + "0" * int(exponent))
    try:
        if digits[0] == "0" and digits.isdigit():
            return int(digits, 8)
        return int(digits, 0)
    except ValueError:
        return None


def duration_ns(text: str) -> int | None:
    """``5ms`` in nanoseconds; a bare number counts nanoseconds. None when it is neither."""
    unit = text.lstrip("0123456789_")
    value = number(text[: len(text) - len(unit)])
    if not unit or value is None:
        return number(text)
    scale = NS.get(unit)
    return number(text) if scale is None else value * scale
