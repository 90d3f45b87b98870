"""Instructions to bytes and back (RFC 9669, section 3)."""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cygnet.isa.insn import Insn

#     0        8    12   16              32                              64
#     | code   |dst |src | off           | imm                           |     little-endian
#     | code   |src |dst | off           | imm                           |     big-endian
_LITTLE = struct.Struct("<BBhi")
_BIG = struct.Struct(">BBhi")


def encode(insns: Iterable[tuple[int, int, int, int, int]], byteorder: str = "little") -> bytes:
    """The bytes of `insns`, 8 a slot; plain (code, dst, src, off, imm) tuples do as well as `Insn`.

    `off` and `imm` are signed. Raises FormatError for a number that does not fit its field.
    """
    insns = insns if isinstance(insns, (list, tuple)) else list(insns)
    try:
        if byteorder == "little":
            pack = _LITTLE.pack
            return b"".join(
                [pack(code, src << 4 | dst if dst < 16 else -1, off, imm) for code, dst, src, off, imm in insns]
            )
        pack = _BIG.pack
        return b"".join(
            [pack(code, dst << 4 | src if src < 16 else -1, off, imm) for code, dst, src, off, imm in insns]
        )
    except struct.error:
        raise _misfit(insns) from None


def _misfit(insns: Iterable[tuple[int, int, int, int, int]]) -> Exception:
    from cygnet.errors import FormatError

    for index, insn in enumerate(insns):
        try:
            _LITTLE.pack(insn[0], insn[2] << 4 | insn[1] if max(insn[1:3]) < 16 else -1, insn[3], insn[4])
        except struct.error as error:
            return FormatError(f"instruction {index} {tuple(insn)} does not fit its encoding: {error}", index * 8)
    raise AssertionError("every instruction fits")


def decode(data: bytes | bytearray | memoryview, byteorder: str = "little") -> list[Insn]:
    """The slots in `data`. Raises InsnDecodeError where it ends inside an instruction.

    Only the framing is checked: a slot with an unknown code, or with stray bits, comes back as it
    is; `opcodes.find` tells whether it means anything.
    """
    from cygnet.errors import InsnDecodeError
    from cygnet.isa.insn import Insn

    size = len(data)
    if size % 8:
        raise InsnDecodeError(f"{size} bytes are not a whole number of 8-byte instructions", size - size % 8)
    if byteorder == "little":
        insns = [Insn(code, regs & 15, regs >> 4, off, imm) for code, regs, off, imm in _LITTLE.iter_unpack(data)]
    else:
        insns = [Insn(code, regs >> 4, regs & 15, off, imm) for code, regs, off, imm in _BIG.iter_unpack(data)]
    _check_pairs(insns)
    return insns


def _check_pairs(insns: list[Insn]) -> None:
    """Each 64-bit load must be followed by its second slot, whose other fields are zero."""
    from cygnet.errors import InsnDecodeError

    index, count = 0, len(insns)
    while index < count:
        if insns[index].code != 0x18:
            index += 1
            continue
        if index + 1 == count:
            raise InsnDecodeError("the program ends inside a 64-bit load", index * 8)
        if insns[index + 1][:4] != (0, 0, 0, 0):
            raise InsnDecodeError("the second slot of a 64-bit load is not empty", index * 8 + 8)
        index += 2
