"""x86-64 instructions as bytes: the few forms that the column and the run-time routines need.

Registers are the processor's numbers. Intel's manual, volume 2, chapter 2: a prefix, REX (0100WRXB),
the opcode, ModRM (mod·reg·rm), perhaps SIB, a displacement, an immediate.
"""

from __future__ import annotations

import struct

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)

pack32 = struct.Struct("<i").pack
pack64 = struct.Struct("<Q").pack
pack16 = struct.Struct("<H").pack
# a signed byte by its value: negative ones come from the end
I8 = [bytes((value,)) for value in range(256)]


def imm32(value: int) -> bytes:
    """The low 32 bits of a number, signed or not."""
    return pack32((value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000)


def is8(value: int) -> bool:
    return -128 <= value <= 127


def _rex(reg: int, rm: int, wide: bool, byte: bool, index: int = 0) -> bytes:
    rex = 0x40 | wide << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | rm >> 3
    low_bytes = byte and (4 <= reg <= 7 or 4 <= rm <= 7)  # spl … dil exist only with a REX prefix
    return bytes((rex,)) if rex != 0x40 or low_bytes else b""


def rr(op: bytes, reg: int, rm: int, *, wide: bool = True, byte: bool = False, prefix: bytes = b"") -> bytes:
    """`op` with two registers; `reg` may be an opcode extension (then pass byte only for 8-bit forms)."""
    return prefix + _rex(reg, rm, wide, byte) + op + bytes((0xC0 | (reg & 7) << 3 | rm & 7,))


def mem_head(
    op: bytes, reg: int, base: int, *, wide: bool = False, byte: bool = False, prefix: bytes = b""
) -> tuple[bytes, bytes]:
    """What goes before an 8-bit displacement, and before a 32-bit one."""
    rex = prefix + (_rex(reg, base, wide, False) or (b"\x40" if byte and 4 <= reg <= 7 else b"")) + op
    sib = b"\x24" if base & 7 == RSP else b""
    field = (reg & 7) << 3 | base & 7
    return rex + bytes((0x40 | field,)) + sib, rex + bytes((0x80 | field,)) + sib


def mem(
    op: bytes, reg: int, base: int, disp: int, *, wide: bool = False, byte: bool = False, prefix: bytes = b""
) -> bytes:
    """`op` with a register (or extension) and memory at [base + disp]."""
    short, long = mem_head(op, reg, base, wide=wide, byte=byte, prefix=prefix)
    return short + I8[disp] if is8(disp) else long + pack32(disp)


def mov(dst: int, src: int) -> bytes:
    return rr(b"\x89", src, dst)


def load_imm64(dst: int, value: int) -> bytes:
    """The shortest move of a constant; flags are kept."""
    value &= 0xFFFFFFFFFFFFFFFF
    if value < 1 << 32:
        return (b"\x41" if dst > 7 else b"") + bytes((0xB8 | dst & 7,)) + imm32(value)
    if value >= (1 << 64) - (1 << 31):
        return rr(b"\xc7", 0, dst) + imm32(value)
    return bytes((0x48 | dst >> 3, 0xB8 | dst & 7)) + pack64(value)


def push(reg: int) -> bytes:
    return (b"\x41" if reg > 7 else b"") + bytes((0x50 | reg & 7,))


def pop(reg: int) -> bytes:
    return (b"\x41" if reg > 7 else b"") + bytes((0x58 | reg & 7,))


def alu_imm(ext: int, dst: int, value: int, *, wide: bool = True) -> bytes:
    """add 0, or 1, adc 2, sbb 3, and 4, sub 5, xor 6, cmp 7 with a constant."""
    if is8(value):
        return rr(b"\x83", ext, dst, wide=wide) + I8[value]
    return rr(b"\x81", ext, dst, wide=wide) + imm32(value)


def lea(dst: int, base: int, disp: int, *, wide: bool = True) -> bytes:
    return mem(b"\x8d", dst, base, disp, wide=wide)


def lea2(dst: int, base: int, index: int, *, wide: bool = True) -> bytes:
    """dst = base + index; the index may not be rsp, and rbp or r13 as base costs a displacement."""
    if base & 7 == RBP and index & 7 != RBP and index != RSP:
        base, index = index, base
    short = b"\0" if base & 7 == RBP else b""
    mod = 0x44 if short else 0x04
    return (
        _rex(dst, base, wide, False, index) + bytes((0x8D, mod | (dst & 7) << 3, (index & 7) << 3 | base & 7)) + short
    )


def rotate_into(dst: int, value: int, wide: bool) -> bytes:
    """rorx: dst = value turned right; the count follows (BMI2)."""
    second = (0x80 if dst < 8 else 0) | 0x40 | (0x20 if value < 8 else 0) | 3
    return bytes((0xC4, second, wide << 7 | 0x7B, 0xF0, 0xC0 | (dst & 7) << 3 | value & 7))


def vex_shift(pp: int, dst: int, value: int, count: int, wide: bool) -> bytes:
    """shlx (pp 1), sarx (2), shrx (3): dst = value shifted by count (BMI2)."""
    second = (0x80 if dst < 8 else 0) | 0x40 | (0x20 if value < 8 else 0) | 2
    third = wide << 7 | (~count & 15) << 3 | pp
    return bytes((0xC4, second, third, 0xF7, 0xC0 | (dst & 7) << 3 | value & 7))


NOPS = (
    b"",
    b"\x90",
    b"\x66\x90",
    b"\x0f\x1f\x00",
    b"\x0f\x1f\x40\x00",
    b"\x0f\x1f\x44\x00\x00",
    b"\x66\x0f\x1f\x44\x00\x00",
    b"\x0f\x1f\x80\x00\x00\x00\x00",
    b"\x0f\x1f\x84\x00\x00\x00\x00\x00",
    b"\x66\x0f\x1f\x84\x00\x00\x00\x00\x00",
)


def nops(count: int) -> bytes:
    return NOPS[9] * (count // 9) + NOPS[count % 9]
