"""From the first two bytes of an instruction (opcode and registers) to what emits it; and pseudo instructions."""

from __future__ import annotations

from cygnet.isa.opcodes import variants
from cygnet.vm.jit.encoding import lea, rr
from cygnet.vm.jit.x86_64 import COLUMN, REGISTERS, Unfit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.isa.opcodes import Opcode
    from cygnet.vm.jit.x86_64 import Emit

# Pseudo instructions, by what their imm is: the code itself; nothing; a 64-bit number for dst; the sum
# of src and imm for dst; a 32-bit left rotation of dst.
CODE, NOTHING, WIDE, SUM, ROTATE = 1 << 16, 2 << 16, 3 << 16, 4 << 16, 5 << 16


class Emitters(dict[int, "Emit"]):
    """Filled as instructions turn up. `Unfit` for what no program may contain."""

    def __missing__(self, key: int) -> Emit:
        dst, src = key >> 8 & 15, key >> 12 & 15
        if dst > 10 or src > 10:
            raise Unfit
        emit = self[key] = _PSEUDO[key >> 16](dst, src) if key >> 16 else _emitter(key & 0xFF, dst, src)
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


def _code(dst: int, src: int) -> Emit:
    return lambda off, imm: imm  # type: ignore[return-value]


def _nothing(dst: int, src: int) -> Emit:
    return lambda off, imm: b""


def _wide(dst: int, src: int) -> Emit:
    from cygnet.isa.opcodes import by_name

    if dst == 10:
        raise Unfit
    return COLUMN["lddw"](by_name("lddw"), dst, src)


def _sum(dst: int, src: int) -> Emit:
    return lambda off, imm: lea(REGISTERS[dst], REGISTERS[src], imm)


def _rotate(dst: int, src: int) -> Emit:
    head = rr(b"\xc1", 0, REGISTERS[dst], wide=False)
    return lambda off, imm: head + bytes((imm,))


_PSEUDO = {CODE >> 16: _code, NOTHING >> 16: _nothing, WIDE >> 16: _wide, SUM >> 16: _sum, ROTATE >> 16: _rotate}
EMITTERS = Emitters()
