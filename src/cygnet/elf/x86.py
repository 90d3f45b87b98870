"""Lengths of x86-64 instructions: enough to know where in a function instructions begin.

Intel SDM volume 2, chapter 2 and the opcode maps of appendix A; AMD's XOP from its manual, volume 6.
"""

from __future__ import annotations

_PREFIXES = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3))
_LONGEST = 15

# What follows an opcode: N nothing, M a ModRM byte, I a byte, W 2 bytes, Z 4 (2 with prefix 66), V as Z but 8 with
# REX.W, J 4 bytes of distance, A an address, E 2 bytes and 1; lower case: ModRM first; f: a byte or, g: Z, where the
# ModRM byte says so; ?: no instruction; others are escapes.
_ONE = (
    "MMMMIZ??MMMMIZ?2" "MMMMIZ??MMMMIZ??" "MMMMIZ??MMMMIZ??" "MMMMIZ??MMMMIZ??"
    "????????????????" "NNNNNNNNNNNNNNNN" "???M????ZzIiNNNN" "IIIIIIIIIIIIIIII"
    "iz?iMMMMMMMMMMMx" "NNNNNNNNNN?NNNNN" "AAAANNNNIZNNNNNN" "IIIIIIIIVVVVVVVV"
    "iiWN45izENWNNI?N" "MMMM???NMMMMMMMM" "IIIIIIIIJJ?INNNN" "?N??NNfgNNNNNNMM"
)  # fmt: skip
_TWO = (
    "MMMM?NNNNN?N?MNi" "MMMMMMMMMMMMMMMM" "MMMMMMMMMMMMMMMM" "NNNNNN?N3?7?????"
    "MMMMMMMMMMMMMMMM" "MMMMMMMMMMMMMMMM" "MMMMMMMMMMMMMMMM" "iiiiMMMNsMMMMMMM"
    "JJJJJJJJJJJJJJJJ" "MMMMMMMMMMMMMMMM" "NNNMiMMMNNNMiMMM" "MMMMMMMMMMiMMMMM"
    "MMiMiiiMNNNNNNNN" "MMMMMMMMMMMMMMMM" "MMMMMMMMMMMMMMMM" "MMMMMMMMMMMMMMMM"
)  # fmt: skip


def length(code: bytes | memoryview, at: int = 0) -> int:
    """How many bytes the instruction at `at` has; 0 when it is none that is known, or is cut short."""
    try:
        end = _end(code, at)
    except IndexError:
        return 0
    return end - at if end and end <= len(code) and end - at <= _LONGEST else 0


def _end(code: bytes | memoryview, at: int) -> int:
    start, narrow, short, wide = at, False, False, False
    while code[at] in _PREFIXES:
        narrow |= code[at] == 0x66
        short |= code[at] == 0x67
        at += 1
        if at - start >= _LONGEST:
            return 0
    repeat = 0xF2 in bytes(code[start:at])
    if code[at] & 0xF0 == 0x40:  # REX
        wide = bool(code[at] & 8)
        at += 1
    op = code[at]
    kind = "e" if op == 0x62 else _ONE[op]
    at += 1
    if kind == "2":
        kind, at = _TWO[code[at]], at + 1
        if kind == "3":
            kind, at = "M", at + 1
        elif kind == "7":
            kind, at = "i", at + 1
        elif kind == "s":  # vmread, or AMD's extrq and insertq with two bytes more
            return _modrm(code, at) + (2 if narrow or repeat else 0)
    elif kind in "e45x":
        return _vector(code, at, kind)
    return _operands(code, at, kind, narrow, short, wide)


def _operands(code: bytes | memoryview, at: int, kind: str, narrow: bool, short: bool, wide: bool) -> int:
    size = 2 if narrow and not wide else 4
    if kind == "?":
        return 0
    if kind in "fg":
        immediate = code[at] & 0x30 == 0
        at = _modrm(code, at)
        return at if not immediate else at + (1 if kind == "f" else size)
    if kind in "Miz":
        at = _modrm(code, at)
    plain = kind.upper()
    if plain == "V" and wide:
        return at + 8
    if plain == "A":
        return at + (4 if short else 8)
    return at + {"N": 0, "M": 0, "I": 1, "W": 2, "E": 3, "J": 4}.get(plain, size)


def _modrm(code: bytes | memoryview, at: int) -> int:
    """Where the ModRM byte, what follows it and its displacement end."""
    byte = code[at]
    at += 1
    mod, low = byte >> 6, byte & 7
    if mod == 3:
        return at
    if low == 4:
        base = code[at] & 7
        at += 1
        if mod == 0 and base == 5:
            return at + 4
    elif mod == 0 and low == 5:
        return at + 4
    return at + (0, 1, 4)[mod]


def _vector(code: bytes | memoryview, at: int, kind: str) -> int:
    """VEX (C4, C5), EVEX (62) and XOP (8F), which is POP where no map can be meant."""
    if kind == "x" and code[at] & 0x1F < 8:
        return _modrm(code, at)
    if kind == "5":
        table, at = 1, at + 1
    elif kind == "e":
        table, at = code[at] & 7, at + 3
    else:
        table, at = code[at] & 0x1F, at + 2
    op = code[at]
    at += 1
    if table == 1 and op == 0x77 and kind != "e":
        return at
    if table not in (1, 2, 3, 5, 6, 8, 9, 10):
        return 0
    more = {3: 1, 8: 1, 10: 4}.get(table, 0)
    if table == 1:
        more = int(0x70 <= op <= 0x73 or op in (0xC2, 0xC4, 0xC5, 0xC6))
    return _modrm(code, at) + more


def neighbours(code: bytes | memoryview, offset: int) -> tuple[int, int] | None:
    """(begin, end) of the instruction that holds the byte at `offset`, in code that begins with one; None when an
    instruction before it is not known."""
    at = 0
    while at <= offset:
        step = length(code, at)
        if not step:
            return None
        if at + step > offset:
            return at, at + step
        at += step
    return None
