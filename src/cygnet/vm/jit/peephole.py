"""Neighbours that one machine instruction does: sums into a third register, rotations, remainders, narrowing.

Candidates are found in the string of a program's opcodes by regular expressions, at the speed of C; each is
looked at closely, and its instructions are replaced by pseudo instructions. None may be jumped into.
"""

from __future__ import annotations

import re

from cygnet.vm.jit.emitters import (
    NOTHING,
    REMAINDER,
    REMAINDER64,
    ROTATE,
    ROTATE64,
    ROTATED,
    ROTATED64,
    SUM,
    SUM2,
    SUM2_32,
    SUM32,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Items = list[tuple[int, int, Any]]

_GONE = (NOTHING, 0, 0)
_LOOK_AHEAD = 24

# opcodes: bf bc mov · 07 04 add, 17 14 sub with a number · 0f 0c add · 67 64 lsh · 77 74 rsh · c7 arsh · 4f 4c or.
# What all begin with comes first, so that the search skips at once what cannot match.
_SHAPES = re.compile(
    rb"[\x67\xbf\xbc](?:"
    rb"(?<=\x67)(?P<narrow>[\x77\xc7])"
    rb"|(?<=\xbf)(?:(?P<sums>\x0f\x07)|(?P<sum>[\x07\x17\x0f])|(?P<remainder>\x3f\x2f\xbf?\x1f)"
    rb"|(?P<rotated>\x77\xbf\x67\x4f|\x67\xbf\x77\x4f)|(?P<rotate>\x67\x77\x4f|\x77\x67\x4f))"
    rb"|(?<=\xbc)(?:(?P<sum32>[\x04\x14\x0c])|(?P<remainder32>\x3c\x2c\xbc?\x1c)"
    rb"|(?P<rotated32>\x74\xbc\x64\x4c|\x64\xbc\x74\x4c)|(?P<rotate32>\x64\x74\x4c|\x74\x64\x4c))"
    rb")",
    re.DOTALL,
)


def improve(items: Items, code: bytes, leaders: Iterable[int]) -> None:
    """Replace what can be replaced, in place; `code` are the instructions as bytes."""
    codes = code[::8]
    entered = bytearray(len(codes) + 1)
    for pc in leaders:
        entered[pc] = 1
    uses: Uses | None = None
    for match in _SHAPES.finditer(codes):
        at, last = match.start(), match.end() - 1
        if entered.find(1, at + 1, last + 1) >= 0:
            continue
        name = match.lastgroup or ""
        if name[0] == "r":
            uses = uses or Uses(codes, code[1::8])
            _ROTATIONS[name](items, at, uses)
        else:
            _REPLACE[name](items, at)


class Uses:
    """For each instruction, the register that it reads first, reads second, sets without reading; f0 for none.
    `unclear` is 1 for an instruction that ends a block, or does more than that."""

    def __init__(self, codes: bytes, pairs: bytes) -> None:
        low, high = pairs.translate(_LOW), pairs.translate(_HIGH)
        self.reads_dst = either(codes.translate(_READS_DST), low)
        self.reads_src = either(codes.translate(_READS_SRC), high)
        self.sets = either(codes.translate(_SETS), low)
        self.unclear = codes.translate(_UNCLEAR)

    def dies(self, at: int, reg: int) -> bool:
        """Whether `reg` is set before it is read from slot `at` on, as far as this block shows."""
        end = at + _LOOK_AHEAD
        found = self.sets.find(reg, at, end)
        if found < 0:
            return False
        return (
            self.reads_dst.find(reg, at, found) < 0
            and self.reads_src.find(reg, at, found + 1) < 0
            and self.unclear.find(1, at, found) < 0
        )


def _tables() -> Iterator[bytes]:
    """READS_DST, READS_SRC, SETS, UNCLEAR by opcode."""
    kinds = []
    for code in range(256):
        kind, by_register = code & 7, bool(code & 8)
        arithmetic, moves = kind in (4, 7), code & 0xF0 == 0xB0
        load, store = kind == 1, kind in (2, 3) and code & 0xE0 == 0x60
        clear = arithmetic or load or store
        kinds.append((
            (arithmetic and not moves) or store,
            (arithmetic and by_register) or load or (store and kind == 3),
            (arithmetic and moves) or load,
            not clear,
        ))  # fmt: skip
    for column in range(3):
        yield bytes(0 if kind[column] else 0xF0 for kind in kinds)
    yield bytes(kind[3] for kind in kinds)


_READS_DST, _READS_SRC, _SETS, _UNCLEAR = _tables()
_LOW, _HIGH = bytes(c & 15 for c in range(256)), bytes(c >> 4 for c in range(256))


def either(first: bytes, second: bytes) -> bytes:
    """The bits of both, byte by byte."""
    return (int.from_bytes(first, "little") | int.from_bytes(second, "little")).to_bytes(len(first), "little")


def _registers(key: int) -> tuple[int, int]:
    return key >> 8 & 15, key >> 12


def _narrow(items: Items, at: int) -> bool:
    """Up and down by 32: the low half, with zeros or with its sign."""
    (first, off, up), (second, more_off, down) = items[at : at + 2]
    if up != 32 or down != 32 or off or more_off or first >> 8 != second >> 8 or first >> 12:
        return False
    dst = first >> 8 & 15
    mov, width = (0xBC, 0) if second & 0xFF == 0x77 else (0xBF, 32)
    items[at : at + 2] = [(mov | dst << 8 | dst << 12, width, 0), _GONE]
    return True


def _sum(items: Items, at: int) -> bool:
    """A copy and an addition to it."""
    (first, off, zero), (second, more_off, imm) = items[at : at + 2]
    dst, src = _registers(first)
    other, addend = _registers(second)
    if off or zero or more_off or other != dst or dst == 10:
        return False
    wide = first & 0xFF == 0xBF
    if second & 8:
        if imm or addend == dst:
            return False
        items[at : at + 2] = [((SUM2 if wide else SUM2_32) | dst << 8 | src << 12 | addend, 0, 0), _GONE]
        return True
    if second & 0x10:
        imm = -imm
    if addend or not -0x80000000 <= imm < 0x80000000:
        return False
    items[at : at + 2] = [((SUM if wide else SUM32) | dst << 8 | src << 12, 0, imm), _GONE]
    return True


def _sums(items: Items, at: int) -> bool:
    """A copy, and the addition of a register and a number to it: what comes latest is added last."""
    (first, off, zero), (second, more_off, zero2), (third, last_off, imm) = items[at : at + 3]
    dst, src = _registers(first)
    other, addend = _registers(second)
    if off or zero or more_off or zero2 or last_off or dst == 10 or other != dst or _registers(third) != (dst, 0):
        return _sum(items, at)
    if dst in (src, addend):
        return _sum(items, at)
    early, late = (src, addend) if not at or _registers(items[at - 1][0])[0] != src else (addend, src)
    items[at : at + 3] = [(SUM | dst << 8 | early << 12, 0, imm), (0x0F | dst << 8 | late << 12, 0, 0), _GONE]
    return True


def _rotated(items: Items, at: int, uses: Uses) -> bool:
    """t = s; t shifted one way; d = s; d shifted the other; d |= t."""
    copy, shift, copy2, shift2, join = items[at : at + 5]
    (t, s), (d, s2) = _registers(copy[0]), _registers(copy2[0])
    if s != s2 or len({t, s, d}) < 3 or 10 in (t, s, d) or copy[1:] != (0, 0) or copy2[1:] != (0, 0):
        return False
    bits = 32 if copy[0] & 0xFF == 0xBC else 64
    if not _turns(shift, shift2, t, d, bits) or join[1:] != (0, 0) or _registers(join[0]) != (d, t):
        return False
    left = shift if shift[0] & 0xF0 == 0x60 else shift2
    kept = [copy, shift] if not uses.dies(at + 5, t) else [_GONE, _GONE]
    key = ROTATED if bits == 32 else ROTATED64
    items[at : at + 5] = [*kept, _GONE, _GONE, (key | d << 8 | s << 12, 0, bits - left[2])]
    return True


def _rotate(items: Items, at: int, uses: Uses) -> bool:
    """t = d; t shifted one way; d shifted the other; then either |= the other."""
    copy, shift, shift2, join = items[at : at + 4]
    t, d = _registers(copy[0])
    bits = 32 if copy[0] & 0xFF == 0xBC else 64
    if t == d or 10 in (t, d) or copy[1:] != (0, 0) or join[1:] != (0, 0) or not _turns(shift, shift2, t, d, bits):
        return False
    if _registers(join[0]) != (d, t):
        return False
    left = shift if shift[0] & 0xF0 == 0x60 else shift2
    kept = [copy, shift] if not uses.dies(at + 4, t) else [_GONE, _GONE]
    items[at : at + 4] = [*kept, _GONE, ((ROTATE if bits == 32 else ROTATE64) | d << 8, 0, left[2])]
    return True


def _remainder(items: Items, at: int, uses: Uses) -> bool:
    """q = n; q /= d; q *= d; r = n; r -= q, or n -= q: a compiler's n % d."""
    copy, divide, multiply, minus = items[at : at + 4]
    q, n = _registers(copy[0])
    d = divide[0] >> 12
    size = 4
    r = n
    if minus[0] & 0xF0 == 0xB0:
        size, r, same = 5, *_registers(minus[0])
        minus = items[at + 4]
        if same != n or r == n:
            return False
    wide = copy[0] & 7 == 7
    plain = all(item[1] == item[2] == 0 for item in items[at : at + size])
    if not plain or q in (n, d, r) or 10 in (q, n, d, r) or divide[0] & 0xF00 != q << 8:
        return False
    if _registers(multiply[0]) != (q, d) or _registers(minus[0]) != (r, q) or d == n:
        return False
    after = at + size
    # r0 and r3, which the processor divides in, need not be kept when they are set before they are read
    lost = uses.dies(after, 0) | uses.dies(after, 3) << 1
    key = (REMAINDER64 if wide else REMAINDER) | r << 8 | n << 12 | d
    items[at:after] = [_GONE] * (size - 1) + [(key, 0, lost)]
    if not uses.dies(after, q):  # q is what goes evenly: n less the remainder
        items[at], items[after - 2], items[after - 1] = copy, (key, 0, lost), (minus[0] & 0xFF | q << 8 | r << 12, 0, 0)
    return True


def _turns(first: tuple[int, int, Any], second: tuple[int, int, Any], t: int, d: int, bits: int) -> bool:
    """Whether the two shifts, of t and of d, put a register's halves together again, turned."""
    right = first[0] & 0xFF00 == t << 8 and second[0] & 0xFF00 == d << 8 and not (first[1] or second[1])
    return bool(right and first[2] > 0 and second[2] > 0 and first[2] + second[2] == bits)


_REPLACE: dict[str, Callable[[Items, int], bool]] = {"narrow": _narrow, "sum": _sum, "sum32": _sum, "sums": _sums}
_ROTATIONS: dict[str, Callable[[Items, int, Uses], bool]] = {
    "rotated": _rotated,
    "rotated32": _rotated,
    "rotate": _rotate,
    "rotate32": _rotate,
    "remainder": _remainder,
    "remainder32": _remainder,
}
