"""Python expressions for the semantics column of the opcode table, with its functions written out.

A call costs more than the arithmetic in it, so `sx32(x)` becomes `(((x) & 0xffffffff ^ 0x80000000) -
0x80000000)`; what is left (divisions, byte swaps) comes from `NAMESPACE`.
"""

from __future__ import annotations

import re

from cygnet.isa.semantics import NAMESPACE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.isa.opcodes import Opcode

__all__ = ["MASKS", "NAMESPACE", "expression"]

MASKS = {bits: (1 << bits) - 1 for bits in (8, 16, 32, 64)}
_SIGNED = re.compile(r"sx(8|16|32|64)\(([\w\[\]]+|\([\w\[\]]+ & \w+\))\)")
_COMPARE = re.compile(r"sx(32|64)\((.+?)\) (<=|>=|<|>) sx\1\((.+)\)$")


def expression(row: Opcode, dst: str = "", src: str = "", memory: str = "", r0: str = "") -> str:
    """The value of the row's semantics. Operands are 64-bit unsigned expressions (names or numbers), which are
    cut to the row's width here; `memory` is as wide as the row already."""
    text = row.semantics
    cut = row.bits < 64 and row.form in ("alu", "jump", "atomic", "fetch", "cmpxchg")
    d, s = (_cut(operand, row.bits) if cut else operand for operand in (dst, src))
    text = text.format(d=d, s=s, m=memory, r0=r0)
    compare = _COMPARE.match(text) if row.form == "jump" else None
    if compare:
        sign = hex(1 << int(compare[1]) - 1)
        return f"{_flip(compare[2], sign)} {compare[3]} {_flip(compare[4], sign)}"
    return _SIGNED.sub(_written_out, text)


def _cut(operand: str, bits: int) -> str:
    if operand.isdigit():
        return str(int(operand) & MASKS[bits])
    return f"({operand} & {MASKS[bits]:#x})" if operand else ""


def _flip(operand: str, sign: str) -> str:
    """Two's complement order is unsigned order with the sign bit turned over."""
    return str(int(operand) ^ int(sign, 16)) if operand.isdigit() else f"({operand} ^ {sign})"


def _written_out(match: re.Match[str]) -> str:
    bits, operand = int(match[1]), match[2]
    sign = 1 << bits - 1
    if operand.isdigit():
        return str(((int(operand) & MASKS[bits]) ^ sign) - sign)
    cut = operand if bits == 64 else f"({operand} & {MASKS[bits]:#x})"
    return f"(({cut} ^ {sign:#x}) - {sign:#x})"
