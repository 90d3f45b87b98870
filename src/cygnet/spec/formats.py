"""printf formats: how their text is read. The compiler checks them, the session prints by them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from cygnet.named import NamedTuple


#: length modifier -> bytes that count; without one, 32 bits are printed
LENGTHS = {"": 4, "hh": 1, "h": 2, "l": 8, "ll": 8, "j": 8, "z": 8, "t": 8, "L": 8}
LETTERS = frozenset(("d", "i", "u", "o", "x", "X", "c", "p", "s", "r", "rx", "rh", "gr", "%"))


class Spec(NamedTuple):
    """One conversion: flags of ``-+ #0``, width, precision (-1: none), length modifier, letter(s)."""

    flags: str
    width: int
    precision: int
    length: str
    letter: str


def parse(text: str) -> list[tuple[str, Spec | None]]:
    """The literal texts of a format, each with the conversion that follows it (the last with None)."""
    out: list[tuple[str, Spec | None]] = []
    literal, at = "", 0
    while True:
        found = text.find("%", at)
        if found < 0:
            out.append((literal + text[at:], None))
            return out
        literal += text[at:found]
        spec, at = _spec(text, found)
        if spec is None:
            literal += text[found:at]
        elif spec.letter == "%":
            literal += "%"
        else:
            out.append((literal, spec))
            literal = ""


def _spec(text: str, start: int) -> tuple[Spec | None, int]:
    """The conversion at `start` and where it ends; None when it is no conversion, but plain text."""
    at = _run(text, start + 1, "-+ #0")
    flags = text[start + 1 : at]
    width_at, at = at, _run(text, at, "0123456789*")
    width = _number(text[width_at:at], 0)
    precision = -1
    if text[at : at + 1] == ".":
        dot, at = at + 1, _run(text, at + 1, "0123456789*")
        precision = _number(text[dot:at], 0)
    length_at, at = at, _run(text, at, "hlLjzt")
    letter = text[at : at + 2] if text[at : at + 2] in ("rx", "rh", "gr") else text[at : at + 1]
    length = text[length_at:at]
    if letter not in LETTERS or length not in LENGTHS:
        return None, max(at, start + 1)
    return Spec(flags, width, precision, length, letter), at + len(letter)


def _run(text: str, at: int, chars: str) -> int:
    while at < len(text) and text[at] in chars:
        at += 1
    return at


def _number(text: str, default: int) -> int:
    return int(text) if text.isdigit() else default
