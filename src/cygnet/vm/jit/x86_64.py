"""The x86-64 column of the opcode table: for each row, a maker of machine code.

`COLUMN[name](row, dst, src)` takes BPF register numbers and gives a function (off, imm) → bytes, which raises
`Unfit` for fields that the row fixes otherwise. A program's emission looks the function up by an
instruction's first two bytes, so each pair of opcode and registers is worked out once.

Registers are the kernel's: r0 rax, r1 rdi, r2 rsi, r3 rdx, r4 rcx, r5 r8, r6 rbx, r7 r13, r8 r14, r9 r15,
r10 rbp. Ours: r9 the state (see `state`), r12 the budget, r10 and r11 scratch.
"""

from __future__ import annotations

from cygnet.vm.jit.encoding import (
    I8,
    R8,
    R10,
    R11,
    R13,
    R14,
    R15,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RSI,
    alu_imm,
    imm32,
    is8,
    load_imm64,
    mem,
    mem_head,
    mov,
    pack16,
    pack32,
    pop,
    push,
    rr,
    vex_shift,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.isa.opcodes import Opcode

    Emit = Callable[[int, int], bytes]
    Maker = Callable[[Opcode, int, int], Emit]

REGISTERS = (RAX, RDI, RSI, RDX, RCX, R8, RBX, R13, R14, R15, RBP)
CALLEE_SAVED = (6, 7, 8, 9)
COLUMN: dict[str, Maker] = {}


class Unfit(Exception):
    """The instruction is not one that can be emitted; the careful decoder says why."""


def _maker(*names: str) -> Callable[[Maker], Maker]:
    def enter(maker: Maker) -> Maker:
        COLUMN.update((name, maker) for name in names)
        return maker

    return enter


def _both(*stems: str) -> tuple[str, ...]:
    return tuple(f"{stem}{bits}" for stem in stems for bits in (64, 32))


def _forms(kind: str, *stems: str) -> tuple[str, ...]:
    return tuple(f"{name}_{kind}" for name in _both(*stems))


def fixed_code(row: Opcode, code: bytes) -> Emit:
    """An instruction without numbers: always the same bytes."""
    _, _, want_off, want_imm = row.fixed

    def emit(off: int, imm: int) -> bytes:
        if off != want_off or imm != want_imm:
            raise Unfit
        return code

    return emit


# ── arithmetic ───────────────────────────────────────────────────────────────────────────────────────────

_BY_REGISTER = {"add": b"\x01", "or": b"\x09", "and": b"\x21", "sub": b"\x29", "xor": b"\x31", "mov": b"\x89"}
_EXTENSIONS = {"add": 0, "or": 1, "and": 4, "sub": 5, "xor": 6}
_SHIFTS = {"lsh": 4, "rsh": 5, "arsh": 7}
_VEX = {"lsh": 1, "arsh": 2, "rsh": 3}


def _stem(row: Opcode) -> str:
    return row.name[: row.name.index(str(row.bits))]


@_maker(*_forms("reg", "add", "or", "and", "sub", "xor", "mov"))
def _simple_reg(row: Opcode, dst: int, src: int) -> Emit:
    return fixed_code(row, rr(_BY_REGISTER[_stem(row)], REGISTERS[src], REGISTERS[dst], wide=row.bits == 64))


@_maker(*_forms("imm", "add", "or", "and", "sub", "xor"))
def _simple_imm(row: Opcode, dst: int, src: int) -> Emit:
    ext, reg, wide = _EXTENSIONS[_stem(row)], REGISTERS[dst], row.bits == 64
    short, long = rr(b"\x83", ext, reg, wide=wide), rr(b"\x81", ext, reg, wide=wide)
    if ext == 4 and wide:  # a positive mask clears the upper half in any case
        narrow_short, narrow_long = rr(b"\x83", ext, reg, wide=False), rr(b"\x81", ext, reg, wide=False)

        def emit_and(off: int, imm: int) -> bytes:
            if off:
                raise Unfit
            if imm >= 0:
                return narrow_short + I8[imm] if imm < 128 else narrow_long + pack32(imm)
            return short + I8[imm] if imm >= -128 else long + pack32(imm)

        return emit_and

    def emit(off: int, imm: int) -> bytes:
        if off:
            raise Unfit
        return short + I8[imm] if -128 <= imm < 128 else long + pack32(imm)

    return emit


@_maker(*_forms("imm", "mov"))
def _mov_imm(row: Opcode, dst: int, src: int) -> Emit:
    reg, wide = REGISTERS[dst], row.bits == 64
    zero = rr(b"\x31", reg, reg, wide=False)
    head = (b"\x41" if reg > 7 else b"") + bytes((0xB8 | reg & 7,))
    signed = rr(b"\xc7", 0, reg) if wide else head

    def emit(off: int, imm: int) -> bytes:
        if off:
            raise Unfit
        if imm > 0:
            return head + pack32(imm)
        return signed + pack32(imm) if imm else zero

    return emit


@_maker(*_forms("reg", "mul"))
def _mul_reg(row: Opcode, dst: int, src: int) -> Emit:
    return fixed_code(row, rr(b"\x0f\xaf", REGISTERS[dst], REGISTERS[src], wide=row.bits == 64))


@_maker(*_forms("imm", "mul"))
def _mul_imm(row: Opcode, dst: int, src: int) -> Emit:
    reg, wide = REGISTERS[dst], row.bits == 64
    short, long = rr(b"\x6b", reg, reg, wide=wide), rr(b"\x69", reg, reg, wide=wide)

    def emit(off: int, imm: int) -> bytes:
        if off:
            raise Unfit
        return short + I8[imm] if -128 <= imm < 128 else long + pack32(imm)

    return emit


@_maker(*_forms("imm", "lsh", "rsh", "arsh"))
def _shift_imm(row: Opcode, dst: int, src: int) -> Emit:
    reg, wide = REGISTERS[dst], row.bits == 64
    head = rr(b"\xc1", _SHIFTS[_stem(row)], reg, wide=wide)
    nothing = b"" if wide else rr(b"\x89", reg, reg, wide=False)

    def emit(off: int, imm: int) -> bytes:
        if off:
            raise Unfit
        count = imm & row.bits - 1
        return head + I8[count] if count else nothing

    return emit


_use_bmi2 = True


def use_bmi2(yes: bool) -> None:
    """Whether shifts by a register may be BMI2's three-operand ones."""
    global _use_bmi2
    _use_bmi2 = yes


def has_bmi2() -> bool:
    return _use_bmi2


@_maker(*_forms("reg", "lsh", "rsh", "arsh"))
def _shift_reg(row: Opcode, dst: int, src: int) -> Emit:
    reg, count, wide = REGISTERS[dst], REGISTERS[src], row.bits == 64
    if _use_bmi2:
        return fixed_code(row, vex_shift(_VEX[_stem(row)], reg, reg, count, wide))
    return fixed_code(row, _shift_by_cl(_SHIFTS[_stem(row)], reg, count, wide))


def _shift_by_cl(ext: int, reg: int, count: int, wide: bool) -> bytes:
    """The count must be in cl. What is shifted may be rcx itself."""
    if count == RCX:
        if reg != RCX:
            return rr(b"\xd3", ext, reg, wide=wide)
        return mov(R11, reg) + rr(b"\xd3", ext, R11, wide=wide) + mov(reg, R11)
    if reg == RCX:
        return mov(R11, RCX) + mov(RCX, count) + rr(b"\xd3", ext, R11, wide=wide) + mov(RCX, R11)
    return mov(R11, RCX) + mov(RCX, count) + rr(b"\xd3", ext, reg, wide=wide) + mov(RCX, R11)


@_maker("neg64", "neg32")
def _neg(row: Opcode, dst: int, src: int) -> Emit:
    return fixed_code(row, rr(b"\xf7", 3, REGISTERS[dst], wide=row.bits == 64))


@_maker("movsx8_64", "movsx16_64", "movsx32_64", "movsx8_32", "movsx16_32")
def _movsx(row: Opcode, dst: int, src: int) -> Emit:
    width = row.fixed[2] or 0
    op = {8: b"\x0f\xbe", 16: b"\x0f\xbf", 32: b"\x63"}[width]
    return fixed_code(row, rr(op, REGISTERS[dst], REGISTERS[src], wide=row.bits == 64, byte=width == 8))


@_maker("le16", "le32", "le64", "be16", "be32", "be64", "bswap16", "bswap32", "bswap64")
def _byte_order(row: Opcode, dst: int, src: int) -> Emit:
    reg, width = REGISTERS[dst], row.fixed[3] or 0
    return fixed_code(row, _cut(reg, width) if row.name.startswith("le") else _swap(reg, width))


def _cut(reg: int, width: int) -> bytes:
    if width == 64:
        return b""
    return rr(b"\x0f\xb7", reg, reg, wide=False) if width == 16 else rr(b"\x89", reg, reg, wide=False)


def _swap(reg: int, width: int) -> bytes:
    if width == 16:
        return b"\x66" + rr(b"\xc1", 0, reg, wide=False) + b"\x08" + _cut(reg, 16)
    return (bytes((0x40 | (width == 64) << 3 | reg >> 3,)) if width == 64 or reg > 7 else b"") + bytes(
        (0x0F, 0xC8 | reg & 7)
    )


# ── division ─────────────────────────────────────────────────────────────────────────────────────────────


@_maker(*_forms("reg", "div", "mod", "sdiv", "smod"), *_forms("imm", "div", "mod", "sdiv", "smod"))
def _divide(row: Opcode, dst: int, src: int) -> Emit:
    stem, wide, want_off = _stem(row), row.bits == 64, row.fixed[2]
    modulo, signed = stem.endswith("mod"), stem.startswith("s")
    reg = REGISTERS[dst]
    if row.name.endswith("reg"):
        divisor = REGISTERS[src]
        if divisor in (RAX, RDX):
            return fixed_code(row, mov(R11, divisor) + _guarded(reg, R11, wide, modulo, signed))
        return fixed_code(row, _guarded(reg, divisor, wide, modulo, signed))

    def emit(off: int, imm: int) -> bytes:
        if off != want_off:
            raise Unfit
        if imm == 0:
            return _divided_by_zero(reg, wide, modulo)
        if not signed and imm > 0 and imm & imm - 1 == 0:
            return _power_of_two(reg, imm, wide, modulo)
        divide = _guarded if imm == -1 else _division
        return load_imm64(R11, imm) + divide(reg, R11, wide, modulo, signed)

    return emit


def _divided_by_zero(reg: int, wide: bool, modulo: bool) -> bytes:
    if modulo:
        return b"" if wide else rr(b"\x89", reg, reg, wide=False)
    return rr(b"\x31", reg, reg, wide=False)


def _power_of_two(reg: int, imm: int, wide: bool, modulo: bool) -> bytes:
    if modulo:
        return alu_imm(4, reg, imm - 1, wide=False)
    if imm == 1:
        return b"" if wide else rr(b"\x89", reg, reg, wide=False)
    return rr(b"\xc1", 5, reg, wide=wide) + I8[imm.bit_length() - 1]


def _division(reg: int, divisor: int, wide: bool, modulo: bool, signed: bool) -> bytes:
    """Divide by the register `divisor`, which is neither rax nor rdx. The processor divides rdx:rax; what these
    hold is kept in r10 and r11, or on the stack when r11 is the divisor."""
    before = mov(R10, RDX) if reg != RDX else b""
    after = mov(RDX, R10) if reg != RDX else b""
    if reg != RAX:
        before += push(RAX) if divisor == R11 else mov(R11, RAX)
        before += rr(b"\x89", reg, RAX, wide=wide)
        after = (pop(RAX) if divisor == R11 else mov(RAX, R11)) + after
    extend = (b"\x48\x99" if wide else b"\x99") if signed else rr(b"\x31", RDX, RDX, wide=False)
    result = RDX if modulo else RAX
    take = rr(b"\x89", result, reg, wide=wide) if result != reg else b""
    return before + extend + rr(b"\xf7", 7 if signed else 6, divisor, wide=wide) + take + after


def _guarded(reg: int, divisor: int, wide: bool, modulo: bool, signed: bool) -> bytes:
    """A division with BPF's results where the processor traps: by 0, and the least number by -1."""
    divide = _division(reg, divisor, wide, modulo, signed)
    code = rr(b"\x85", divisor, divisor, wide=wide)
    by_zero = _divided_by_zero(reg, wide, modulo)
    if signed:
        by_minus_one = rr(b"\x31", reg, reg, wide=False) if modulo else rr(b"\xf7", 3, reg, wide=wide)
        divide += b"\xeb" + I8[len(by_minus_one)]
        divide = alu_imm(7, divisor, -1, wide=wide) + b"\x74" + I8[len(divide)] + divide + by_minus_one
    if not by_zero:
        return code + b"\x74" + I8[len(divide)] + divide
    by_zero = by_zero + b"\xeb" + I8[len(divide)]
    return code + b"\x75" + I8[len(by_zero)] + by_zero + divide


def remainder(to: int, dividend: int, divisor: int, lost: int, wide: bool) -> bytes:
    """to = dividend % divisor, of BPF registers; the dividend itself by 0. Of `lost`, bit 0 says that r0 need not be
    kept, bit 1 that r3 need not."""
    result, value, by = REGISTERS[to], REGISTERS[dividend], REGISTERS[divisor]
    code = b""
    if by in (RAX, RDX):
        code, by = mov(R11, by), R11
    before, after = b"", b""
    if result != RDX and not lost & 2:
        before, after = mov(R10, RDX), mov(RDX, R10)
    if result != RAX and not lost & 1:
        before += push(RAX) if by == R11 else mov(R11, RAX)
        after = (pop(RAX) if by == R11 else mov(RAX, R11)) + after
    before += rr(b"\x89", value, RAX, wide=wide) if value != RAX else b""
    take = rr(b"\x89", RDX, result, wide=wide) if result != RDX else b""
    divide = before + rr(b"\x31", RDX, RDX, wide=False) + rr(b"\xf7", 6, by, wide=wide) + take + after
    by_zero = rr(b"\x89", value, result, wide=wide) if value != result or not wide else b""
    by_zero += b"\xeb" + I8[len(divide)]
    return code + rr(b"\x85", by, by, wide=wide) + b"\x75" + I8[len(by_zero)] + by_zero + divide


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────

_LOADS = {8: b"\x0f\xb6", 16: b"\x0f\xb7", 32: b"\x8b", 64: b"\x8b"}
_SIGNED_LOADS = {8: b"\x0f\xbe", 16: b"\x0f\xbf", 32: b"\x63"}


def _at(row: Opcode, head: tuple[bytes, bytes], after: bytes = b"") -> Emit:
    """A memory form whose offset is the only number."""
    short, long = head
    want = row.fixed[3]
    if after:

        def emit_more(off: int, imm: int) -> bytes:
            if imm != want:
                raise Unfit
            return (short + I8[off] if -128 <= off < 128 else long + pack32(off)) + after

        return emit_more

    def emit(off: int, imm: int) -> bytes:
        if imm != want:
            raise Unfit
        return short + I8[off] if -128 <= off < 128 else long + pack32(off)

    return emit


@_maker("ldxb", "ldxh", "ldxw", "ldxdw", "load_acq8", "load_acq16", "load_acq32", "load_acq64")
def _load(row: Opcode, dst: int, src: int) -> Emit:
    return _at(row, mem_head(_LOADS[row.bits], REGISTERS[dst], REGISTERS[src], wide=row.bits == 64))


@_maker("ldxsb", "ldxsh", "ldxsw")
def _load_signed(row: Opcode, dst: int, src: int) -> Emit:
    return _at(row, mem_head(_SIGNED_LOADS[row.bits], REGISTERS[dst], REGISTERS[src], wide=True))


@_maker("stxb", "stxh", "stxw", "stxdw", "store_rel8", "store_rel16", "store_rel32", "store_rel64")
def _store_reg(row: Opcode, dst: int, src: int) -> Emit:
    bits = row.bits
    op, prefix = (b"\x88" if bits == 8 else b"\x89"), (b"\x66" if bits == 16 else b"")
    head = mem_head(op, REGISTERS[src], REGISTERS[dst], wide=bits == 64, byte=bits == 8, prefix=prefix)
    return _at(row, head)


@_maker("stb", "sth", "stw", "stdw")
def _store_imm(row: Opcode, dst: int, src: int) -> Emit:
    bits = row.bits
    op, prefix = (b"\xc6" if bits == 8 else b"\xc7"), (b"\x66" if bits == 16 else b"")
    short, long = mem_head(op, 0, REGISTERS[dst], wide=bits == 64, prefix=prefix)

    def emit(off: int, imm: int) -> bytes:
        value = I8[imm & 0xFF] if bits == 8 else pack16(imm & 0xFFFF) if bits == 16 else pack32(imm)
        return (short + I8[off] if is8(off) else long + pack32(off)) + value

    return emit


_LOCKED = {"add": b"\x01", "or": b"\x09", "and": b"\x21", "xor": b"\x31"}


@_maker(*(f"atomic{bits}_{op}" for bits in (32, 64) for op in _LOCKED))
def _atomic(row: Opcode, dst: int, src: int) -> Emit:
    op = _LOCKED[row.name.split("_")[1]]
    return _at(row, mem_head(op, REGISTERS[src], REGISTERS[dst], wide=row.bits == 64, prefix=b"\xf0"))


@_maker("atomic32_fetch_add", "atomic64_fetch_add")
def _fetch_add(row: Opcode, dst: int, src: int) -> Emit:
    return _at(row, mem_head(b"\x0f\xc1", REGISTERS[src], REGISTERS[dst], wide=row.bits == 64, prefix=b"\xf0"))


@_maker("atomic32_xchg", "atomic64_xchg")
def _xchg(row: Opcode, dst: int, src: int) -> Emit:
    return _at(row, mem_head(b"\x87", REGISTERS[src], REGISTERS[dst], wide=row.bits == 64))


@_maker("atomic32_cmpxchg", "atomic64_cmpxchg")
def _cmpxchg(row: Opcode, dst: int, src: int) -> Emit:
    """eax keeps its upper half when the exchange is made, where BPF clears it."""
    head = mem_head(b"\x0f\xb1", REGISTERS[src], REGISTERS[dst], wide=row.bits == 64, prefix=b"\xf0")
    return _at(row, head, b"" if row.bits == 64 else rr(b"\x89", RAX, RAX, wide=False))


@_maker(*(f"atomic{bits}_fetch_{op}" for bits in (32, 64) for op in ("and", "or", "xor")))
def _fetch_logic(row: Opcode, dst: int, src: int) -> Emit:
    """A loop of compare and exchange: rax is what was there, r10 what shall be; r11 keeps our rax."""
    wide, op = row.bits == 64, _LOCKED[row.name.rsplit("_", 1)[1]]
    base, operand = (R11 if REGISTERS[dst] == RAX else REGISTERS[dst]), REGISTERS[src]
    second = R11 if operand == RAX else operand
    want = row.fixed[3]

    def emit(off: int, imm: int) -> bytes:
        if imm != want:
            raise Unfit
        again = rr(b"\x89", RAX, R10) + rr(op, second, R10, wide=wide)
        again += mem(b"\x0f\xb1", R10, base, off, wide=wide, prefix=b"\xf0")
        again += b"\x75" + I8[256 - len(again) - 2]
        after = rr(b"\x89", RAX, operand, wide=wide) + (mov(RAX, R11) if operand != RAX else b"")
        return mov(R11, RAX) + mem(b"\x8b", RAX, base, off, wide=wide) + again + after

    return emit


@_maker("lddw")
def _lddw(row: Opcode, dst: int, src: int) -> Emit:
    """Here imm is the whole 64-bit number."""
    reg = REGISTERS[dst]
    zero = rr(b"\x31", reg, reg, wide=False)
    return lambda off, imm: load_imm64(reg, imm) if imm else zero


# ── conditions: what sets the flags, and the condition code of the jump ──────────────────────────────────

CONDITIONS = {
    "jeq": 0x4, "jne": 0x5, "jset": 0x5, "jgt": 0x7, "jge": 0x3, "jlt": 0x2, "jle": 0x6,
    "jsgt": 0xF, "jsge": 0xD, "jslt": 0xC, "jsle": 0xE,
}  # fmt: skip


@_maker(*_forms("reg", *CONDITIONS))
def _compare_reg(row: Opcode, dst: int, src: int) -> Emit:
    op = b"\x85" if row.name.startswith("jset") else b"\x39"
    code = rr(op, REGISTERS[src], REGISTERS[dst], wide=row.bits == 64)

    def emit(off: int, imm: int) -> bytes:
        if imm:
            raise Unfit
        return code

    return emit


@_maker(*_forms("imm", *CONDITIONS))
def _compare_imm(row: Opcode, dst: int, src: int) -> Emit:
    reg, wide = REGISTERS[dst], row.bits == 64
    if row.name.startswith("jset"):
        test, narrow = rr(b"\xf7", 0, reg, wide=wide), rr(b"\xf7", 0, reg, wide=False)
        return lambda off, imm: (test if imm < 0 else narrow) + pack32(imm)
    itself = rr(b"\x85", reg, reg, wide=wide)
    short, long = rr(b"\x83", 7, reg, wide=wide), rr(b"\x81", 7, reg, wide=wide)

    def emit(off: int, imm: int) -> bytes:
        if imm == 0:
            return itself
        return short + I8[imm] if -128 <= imm < 128 else long + imm32(imm)

    return emit
