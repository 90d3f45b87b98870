"""Values of numbers and strings, from their spelling."""

from __future__ import annotations

from cygnet.errors import TraceSyntaxError
from cygnet.source import Source, Span

UINT64_MAX = (1 << 64) - 1
_C_SUFFIXES = frozenset(("", "u", "l", "ul", "lu", "ll", "ull", "llu"))
_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", '"': b'"', "\\": b"\\"}
_OCTAL = frozenset("01234567")
_HEX = frozenset("0123456789abcdefABCDEF")


def int_value(text: str) -> int:
    """The value of an integer literal: decimal, octal, hex, ``1e6``, ``1_000``, C suffixes, durations (in ns).

    Raises ValueError with a sentence for the user.
    """
    if text.isdigit() and text[0] != "0":
        return _fitting(int(text), text)
    digits = text.replace("_", "")
    if digits[:2] in ("0x", "0X"):
        return _fitting(_hex(digits, text), text)
    end = 0
    while end < len(digits) and digits[end] in "0123456789":
        end += 1
    number, suffix = digits[:end], digits[end:]
    if suffix[:1] in ("e", "E") and suffix[1:2].isdigit():
        return _fitting(_scientific(number, suffix, text), text)
    if suffix.lower() in _C_SUFFIXES:
        if number[0] == "0" and len(number) > 1:
            return _fitting(_octal(number, text), text)
        return _fitting(int(number), text)
    if suffix in _NS:
        return _fitting(int(number) * _NS[suffix], text)
    raise ValueError(f"`{text}` is not a number: unknown suffix `{suffix}`")


def _fitting(value: int, text: str) -> int:
    if value > UINT64_MAX:
        raise ValueError(f"the number `{text}` does not fit in 64 bits")
    return value


def _hex(digits: str, text: str) -> int:
    end = 2
    while end < len(digits) and digits[end] in _HEX:
        end += 1
    if end == 2 or digits[end:].lower() not in _C_SUFFIXES:
        raise ValueError(f"`{text}` is not a hexadecimal number")
    return int(digits[2:end], 16)


def _octal(number: str, text: str) -> int:
    if not _OCTAL.issuperset(number):
        raise ValueError(f"`{text}` is not a number: a leading 0 means octal")
    return int(number, 8)


def _scientific(number: str, suffix: str, text: str) -> int:
    end = 1
    while end < len(suffix) and suffix[end] in "0123456789":
        end += 1
    exponent, rest = int(suffix[1:end][:4]), suffix[end:]
    if rest.lower() not in _C_SUFFIXES:
        raise ValueError(f"`{text}` is not a number: unknown suffix `{rest}`")
    if len(number) != 1 or number == "0":
        raise ValueError(f"`{text}`: the digit before the exponent must be a single one from 1 to 9")
    return int(number) * int(10 ** min(exponent, 30))


def string_value(source: Source, start: int, end: int) -> str:
    """The value of the string literal at [start, end), marks included; bytes that are not UTF-8 become surrogates.

    Raises TraceSyntaxError, with the escape's own span.
    """
    body = source.text[start + 1 : end - 1]
    if "\\" not in body:
        return body
    out: list[bytes] = []
    i = 0
    while True:
        back = body.find("\\", i)
        if back < 0:
            out.append(body[i:].encode("utf-8", "surrogateescape"))
            return b"".join(out).decode("utf-8", "surrogateescape")
        out.append(body[i:back].encode("utf-8", "surrogateescape"))
        value, i = _escape(body, back)
        if not value:
            where = Span(source, start + 1 + back, start + 1 + i)
            hints = ("known are \\n \\t \\r \\\" \\\\, octal \\0nn and hexadecimal \\xnn",)  # fmt: skip
            raise TraceSyntaxError(f"unknown escape sequence `{body[back:i]}`", where, hints)
        out.append(value)


def _escape(body: str, back: int) -> tuple[bytes, int]:
    """The escape at `back` (b"" when unknown), and where it ends."""
    char = body[back + 1]
    if char in _ESCAPES:
        return _ESCAPES[char], back + 2
    if char == "x":
        end = back + 2
        while end < back + 4 and body[end : end + 1] in _HEX:
            end += 1
        return (bytes((int(body[back + 2 : end], 16),)) if end > back + 2 else b""), end
    end = back + 1
    while end < back + 4 and body[end : end + 1] in _OCTAL:
        end += 1
    if end == back + 1:
        return b"", back + 2
    value = int(body[back + 1 : end], 8)
    return (bytes((value,)) if value < 256 else b""), end


def quote(value: str) -> str:
    """A string literal of this value; the inverse of `string_value`."""
    out: list[str] = []
    for char in value:
        if char in '"\\':
            out.append("\\" + char)
        elif char in "\n\t\r":
            out.append({"\n": "\\n", "\t": "\\t", "\r": "\\r"}[char])
        elif "\udc80" <= char <= "\udcff":
            out.append(f"\\x{ord(char) - 0xDC00:02x}")
        elif char < " " or char == "\x7f":
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'
