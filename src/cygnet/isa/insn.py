"""One eBPF instruction as a tuple, and the two-slot 64-bit load."""

from __future__ import annotations

from cygnet.isa.consts import LD_IMM64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from cygnet.named import NamedTuple


class Insn(NamedTuple):
    """One 8-byte slot. `off` is a signed 16-bit, `imm` a signed 32-bit number.

    The 64-bit immediate load is two of these: the second has code 0 and the upper half in `imm`
    (RFC 9669, section 5.4).
    """

    code: int
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0


def signed32(value: int) -> int:
    """The low 32 bits of `value` as a signed number, which is how `imm` is held."""
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def ld_imm64(dst: int, value: int, src: int = 0) -> tuple[Insn, Insn]:
    """Both slots that load the 64-bit `value`; `src` is one of the BPF_PSEUDO_ kinds."""
    return Insn(LD_IMM64, dst, src, 0, signed32(value)), Insn(0, 0, 0, 0, signed32(value >> 32))


def imm64(first: Insn, second: Insn) -> int:
    """The unsigned 64-bit number that the two slots hold."""
    return (first.imm & 0xFFFFFFFF) | (second.imm & 0xFFFFFFFF) << 32
