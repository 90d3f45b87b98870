"""From the first two bytes of an instruction (opcode and registers) to what emits it; and pseudo instructions."""

from __future__ import annotations

from cygnet.isa.opcodes import by_name, variants
from cygnet.vm.jit.encoding import lea, lea2, rotate_into, rr
from cygnet.vm.jit.x86_64 import COLUMN, REGISTERS, Unfit, has_bmi2, remainder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.isa.opcodes import Opcode
    from cygnet.vm.jit.x86_64 import Emit

    Maker = Callable[[int, int, int], Emit]

# Pseudo instructions. What their imm is: the code itself; nothing; a 64-bit number for dst; what is added to
# src for dst (SUM2 adds the register in the lowest bits instead); how far left dst is turned; how far right
# src is turned for dst; of a remainder (dst = src % the register in the lowest bits), see `remainder`.
CODE, NOTHING, WIDE, SUM, SUM32, SUM2, SUM2_32, ROTATE, ROTATE64, ROTATED, ROTATED64, REMAINDER, REMAINDER64 = (
    n << 16 for n in range(1, 14)
)


class Emitters(dict[int, "Emit"]):
    """Filled as instructions turn up. `Unfit` for what no program may contain."""

    def __missing__(self, key: int) -> Emit:
        dst, src = key >> 8 & 15, key >> 12 & 15
        if dst > 10 or src > 10:
            raise Unfit
        emit = self[key] = _PSEUDO[key & ~0xFFFF](dst, src, key & 15) if key >> 16 else _emitter(key & 0xFF, dst, src)
        return emit


def _emitter(code: int, dst: int, src: int) -> Emit:
    rows = [row for row in variants(code) if _takes(row, dst, src)]
    if not rows:
        raise Unfit
    if len(rows) == 1:
        return COLUMN[rows[0].name](rows[0], dst, src)
    field = 2 if len({row.fixed[2] for row in rows}) > 1 else 3
    made = {row.fixed[field]: COLUMN[row.name](row, dst, src) for row in rows}
    return _by_off(made) if field == 2 else _by_imm(made)


def _takes(row: Opcode, dst: int, src: int) -> bool:
    want_dst, want_src = row.fixed[:2]
    if want_dst not in (None, dst) or want_src not in (None, src) or row.name not in COLUMN:
        return False
    return not ((row.writes == "dst" and dst == 10) or (row.writes == "src" and src == 10))


def _by_off(made: dict[int | None, Emit]) -> Emit:
    def emit(off: int, imm: int) -> bytes:
        chosen = made.get(off)
        if chosen is None:
            raise Unfit
        return chosen(off, imm)

    return emit


def _by_imm(made: dict[int | None, Emit]) -> Emit:
    def emit(off: int, imm: int) -> bytes:
        chosen = made.get(imm)
        if chosen is None:
            raise Unfit
        return chosen(off, imm)

    return emit


# ── pseudo instructions ──────────────────────────────────────────────────────────────────────────────────


def _code(dst: int, src: int, third: int) -> Emit:
    return lambda off, imm: imm  # type: ignore[return-value]


def _nothing(dst: int, src: int, third: int) -> Emit:
    return lambda off, imm: b""


def _wide(dst: int, src: int, third: int) -> Emit:
    if dst == 10:
        raise Unfit
    return COLUMN["lddw"](by_name("lddw"), dst, src)


def _sum(dst: int, src: int, third: int) -> Emit:
    return lambda off, imm: lea(REGISTERS[dst], REGISTERS[src], imm)


def _sum32(dst: int, src: int, third: int) -> Emit:
    return lambda off, imm: lea(REGISTERS[dst], REGISTERS[src], imm, wide=False)


def _sum2(dst: int, src: int, third: int) -> Emit:
    code = lea2(REGISTERS[dst], REGISTERS[src], REGISTERS[third])
    return lambda off, imm: code


def _sum2_32(dst: int, src: int, third: int) -> Emit:
    code = lea2(REGISTERS[dst], REGISTERS[src], REGISTERS[third], wide=False)
    return lambda off, imm: code


def _rotate(wide: bool) -> Maker:
    def make(dst: int, src: int, third: int) -> Emit:
        head = rr(b"\xc1", 0, REGISTERS[dst], wide=wide)
        return lambda off, imm: head + bytes((imm,))

    return make


def _rotated(wide: bool) -> Maker:
    def make(dst: int, src: int, third: int) -> Emit:
        to, value = REGISTERS[dst], REGISTERS[src]
        head = rotate_into(to, value, wide) if has_bmi2() else None
        if head is not None:
            return lambda off, imm: head + bytes((imm,))
        copy = rr(b"\x89", value, to, wide=wide) + rr(b"\xc1", 1, to, wide=wide)
        return lambda off, imm: copy + bytes((imm,))

    return make


def _remainder(wide: bool) -> Maker:
    def make(dst: int, src: int, third: int) -> Emit:
        return lambda off, imm: remainder(dst, src, third, imm, wide)

    return make


_PSEUDO: dict[int, Maker] = {
    CODE: _code,
    NOTHING: _nothing,
    WIDE: _wide,
    SUM: _sum,
    SUM32: _sum32,
    SUM2: _sum2,
    SUM2_32: _sum2_32,
    ROTATE: _rotate(False),
    ROTATE64: _rotate(True),
    ROTATED: _rotated(False),
    ROTATED64: _rotated(True),
    REMAINDER: _remainder(False),
    REMAINDER64: _remainder(True),
}
EMITTERS = Emitters()
_MOST_CODES = 1 << 16


class Codes(dict[tuple[int, int, "Any"], bytes]):
    """The code of whole instructions, (first two bytes, off, imm), since programs say the same things again and again.
    `ends` are the opcodes that end blocks otherwise than by a condition: nothing is emitted for them here."""

    def __init__(self, ends: frozenset[int]) -> None:
        super().__init__()
        self._ends = ends

    def __missing__(self, item: tuple[int, int, Any]) -> bytes:
        key, off, imm = item
        if len(self) >= _MOST_CODES:
            self.clear()
        code = self[item] = b"" if key < 0x10000 and key & 0xFF in self._ends else EMITTERS[key](off, imm)
        return code
