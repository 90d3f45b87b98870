"""Arithmetic on pointers, and register moves. Kernel: adjust_ptr_min_max_vals, check_alu_op."""

from __future__ import annotations

from cygnet.isa.consts import (
    BPF_ADD,
    BPF_ALU64,
    BPF_AND,
    BPF_ARSH,
    BPF_DIV,
    BPF_END,
    BPF_LSH,
    BPF_MOD,
    BPF_MOV,
    BPF_NEG,
    BPF_OR,
    BPF_RSH,
    BPF_SUB,
    BPF_X,
    BPF_XOR,
)
from cygnet.verifier import memory, precision, scalars
from cygnet.verifier import reg as r
from cygnet.verifier.bits import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX, fls64, s32, shl, ult, wrap
from cygnet.verifier.env import EACCES, EINVAL, Env, Ins
from cygnet.verifier.reg import ADD_CONST, ADD_CONST32, ADD_CONST64, MAYBE_NULL, SCALAR, RegState, scalar, unknown
from cygnet.verifier.regtext import type_text
from cygnet.verifier.stack import MAX_VAR_OFF, assign_id
from cygnet.verifier.state import Reject
from cygnet.verifier.tnum import tnum_add, tnum_sub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

_SYMBOLS: Final[dict[int, str]] = {
    0x00: "+=", 0x10: "-=", 0x20: "*=", 0x30: "/=", 0x40: "|=", 0x50: "&=", 0x60: "<<=", 0x70: ">>=", 0x80: "neg",
    0x90: "%=", 0xA0: "^=", 0xB0: "=", 0xC0: "s>>=", 0xD0: "endian",
}  # fmt: skip

_MOVABLE: Final = frozenset(
    (r.CTX, r.MAP_VALUE, r.MAP_KEY, r.STACK, r.PKT_META, r.PKT, r.TP_BUFFER, r.BTF, r.MEM, r.BUF, r.FUNC, r.DYNPTR)
)


def alu(env: Env, ins: Ins) -> None:
    op = ins.op
    if op == BPF_MOV:
        _move(env, ins)
    elif op == BPF_END or op == BPF_NEG:
        _unary(env, ins)
    elif op > BPF_END:
        raise Reject(f"invalid BPF_ALU opcode {op:x}", EINVAL)
    else:
        _binary(env, ins)


def _unary(env: Env, ins: Ins) -> None:
    if ins.op == BPF_NEG:
        if ins.code & BPF_X or ins.src or ins.off or ins.imm:
            raise Reject("BPF_NEG uses reserved fields", EINVAL)
    elif ins.src or ins.off or ins.imm not in (16, 32, 64) or (ins.cls == BPF_ALU64 and ins.code & BPF_X):
        raise Reject("BPF_END uses reserved fields", EINVAL)
    reg = memory.source(env, ins.dst)
    memory.destination(env, ins.dst)
    if reg.type != SCALAR:
        env.regs()[ins.dst] = unknown()
        return
    new = reg.copy()
    if ins.op == BPF_NEG:
        scalars.compute(new, new.copy(), BPF_NEG, ins.cls == BPF_ALU64)
        new.id = 0
        new.off = 0
    else:
        scalars.byte_order(new, ins.imm, ins.cls == BPF_ALU64 or ins.code & BPF_X != 0)
    env.regs()[ins.dst] = _sane(env, new, "alu")


def _sane(env: Env, reg: RegState, what: str) -> RegState:
    """Bounds that contradict each other mean that this cannot happen; the kernel then forgets them."""
    if reg.violated():
        if env.test_invariants:
            raise Reject(f"REG INVARIANTS VIOLATION ({what})", 14)
        reg.unbound()
    return reg


def _move(env: Env, ins: Ins) -> None:
    wide = ins.cls == BPF_ALU64
    regs = env.regs()
    if ins.code & BPF_X:
        bad = ins.off not in (0, 8, 16, 32) if wide else ins.off not in (0, 8, 16)
        if wide and ins.off == 1:
            if ins.imm != 1 and ins.imm != 1 << 16:
                raise Reject("addr_space_cast insn can only convert between address space 1 and 0", EINVAL)
            if env.arena is None:
                raise Reject("addr_space_cast insn can only be used in a program that has an associated arena", EINVAL)
        elif bad or ins.imm:
            raise Reject("BPF_MOV uses reserved fields", EINVAL)
        memory.source(env, ins.src)
        memory.destination(env, ins.dst)
        if wide:
            _move64(env, ins, regs)
        else:
            _move32(env, ins, regs)
        return
    if ins.src or ins.off:
        raise Reject("BPF_MOV uses reserved fields", EINVAL)
    memory.destination(env, ins.dst)
    regs[ins.dst] = scalar(ins.imm if wide else ins.imm & U32_MAX)


def _move64(env: Env, ins: Ins, regs: list[RegState]) -> None:
    src = regs[ins.src]
    if ins.imm:  # addr_space_cast
        new = unknown()
        if ins.imm == 1:
            new = RegState(r.ARENA, 0)
            new.mask = U64_MAX
            new.unbound()
        regs[ins.dst] = new
    elif ins.off == 0:
        src = assign_id(env, src)
        regs[ins.src] = src
        regs[ins.dst] = src
    elif src.type == SCALAR:
        fits = ult(src.umax, shl(1, ins.off - 1))
        if fits:
            src = assign_id(env, src)
            regs[ins.src] = src
        new = src.copy()
        if not fits:
            new.id = 0
            new.off = 0
        scalars.sign_extend(new, ins.off >> 3)
        regs[ins.dst] = new
    else:
        regs[ins.dst] = unknown()


def _move32(env: Env, ins: Ins, regs: list[RegState]) -> None:
    src = regs[ins.src]
    if src.type != SCALAR:
        new = unknown()
    elif ins.off == 0:
        fits = fls64(src.umax) <= 32
        if fits:
            src = assign_id(env, src)
            regs[ins.src] = src
        new = src.copy()
        if not fits:
            new.id = 0
            new.off = 0
    else:
        fits = ult(src.umax, shl(1, ins.off - 1))
        if fits:
            src = assign_id(env, src)
            regs[ins.src] = src
        new = src.copy()
        if not fits:
            new.id = 0
            new.off = 0
        scalars.sign_extend32(new, ins.off >> 3)
    new.zext32()
    new.sync()
    regs[ins.dst] = new


def _binary(env: Env, ins: Ins) -> None:
    op = ins.op
    quotient = op == BPF_DIV or op == BPF_MOD
    by_reg = ins.code & BPF_X != 0
    if (ins.imm if by_reg else ins.src) or ins.off not in (0, 1) or (ins.off == 1 and not quotient):
        raise Reject("BPF_ALU uses reserved fields", EINVAL)
    if by_reg:
        memory.source(env, ins.src)
    memory.source(env, ins.dst)
    if not by_reg:
        if quotient and ins.imm == 0:
            raise Reject("div by zero", EINVAL)
        if op == BPF_LSH or op == BPF_RSH or op == BPF_ARSH:
            width: i64 = 64 if ins.cls == BPF_ALU64 else 32
            if ins.imm < 0 or ins.imm >= width:
                raise Reject(f"invalid shift {ins.imm}", EINVAL)
    memory.destination(env, ins.dst)
    regs = env.regs()
    dst = regs[ins.dst]
    src = regs[ins.src] if by_reg else scalar(ins.imm)
    if dst.type == r.ARENA or src.type == r.ARENA:
        if dst.type != r.ARENA:
            regs[ins.dst] = src
        return
    wide = ins.cls == BPF_ALU64
    if dst.type != SCALAR:
        if src.type != SCALAR:
            if op != BPF_SUB:
                raise Reject(f"R{ins.dst} pointer {_SYMBOLS[op]} pointer prohibited", EACCES)
            regs[ins.dst] = unknown()
            return
        if by_reg:
            precision.mark(env, ins.src)
        _pointer(env, ins, dst, src, wide, False)
        return
    if src.type != SCALAR:
        precision.mark(env, ins.dst)
        _pointer(env, ins, src, dst, wide, True)
        return
    if (op == BPF_AND or op == BPF_OR) and src.mask == 0:
        dst = _split(env, ins, dst)
    new = dst.copy()
    scalars.compute(new, src, op, wide)
    _link(ins, dst, new, src, op, wide)
    regs[ins.dst] = _sane(env, new, "alu")


def _split(env: Env, ins: Ins, dst: RegState) -> RegState:
    """A scalar that is either 0 or -1, and so a mask: both are followed. Kernel: maybe_fork_scalars."""
    wide = dst.smin == -1 and dst.smax == 0
    if not wide and not (dst.s32_min == -1 and dst.s32_max == 0):
        return dst
    zero, ones = dst.copy(), dst.copy()
    if wide:
        zero.id = zero.off = ones.id = ones.off = 0
        zero.set_const(0)
        ones.set_const(-1)
    else:
        zero.set_const32(0)
        ones.set_const32(U32_MAX)
    other = env.push(env.insn, env.insn)
    other.frame().regs[ins.dst] = zero
    return ones


def _link(ins: Ins, before: RegState, new: RegState, src: RegState, op: i64, wide: bool) -> None:
    """A copy of a scalar plus or minus a constant still learns when that scalar does."""
    off: i64 = 0
    linked = (op == BPF_ADD or op == BPF_SUB) and new.id != 0 and not new.id & ADD_CONST
    if linked:
        if wide:
            linked = src.mask == 0 and S32_MIN <= src.value <= S32_MAX
            off = src.value
        else:
            linked = src.mask & U32_MAX == 0 and 0 <= before.umax <= U32_MAX  # its upper half was zero already
            off = s32(src.value)
    if linked and op == BPF_SUB:
        linked = off != S32_MIN
        off = -off
    if linked and ins.code & BPF_X and ins.src == ins.dst:
        linked = False
    if not linked:
        new.id = 0
        new.off = 0
        return
    new.id |= ADD_CONST64 if wide else ADD_CONST32
    new.off = off


def _check_sane(reg: RegState, type: i64) -> None:
    name = type_text(type)
    if reg.mask == 0 and (reg.value >= MAX_VAR_OFF or reg.value <= -MAX_VAR_OFF):
        raise Reject(f"math between {name} pointer and {reg.value} is not allowed", EINVAL)
    if reg.off >= MAX_VAR_OFF or reg.off <= -MAX_VAR_OFF:
        raise Reject(f"{name} pointer offset {reg.off} is not allowed", EINVAL)
    if reg.smin == S64_MIN:
        raise Reject(f"math between {name} pointer and register with unbounded min value is not allowed", EINVAL)
    if reg.smin >= MAX_VAR_OFF or reg.smin <= -MAX_VAR_OFF:
        raise Reject(f"value {reg.smin} makes {name} pointer be out of bounds", EINVAL)


def _pointer(env: Env, ins: Ins, ptr: RegState, off: RegState, wide: bool, reversed: bool) -> None:
    """dst = ptr op off; `reversed` when the scalar was the destination."""
    regs = env.regs()
    known = off.mask == 0
    if (known and (off.smin != off.smax or off.umin != off.umax)) or off.smin > off.smax or ult(off.umax, off.umin):
        regs[ins.dst] = unknown()
        return
    op = ins.op
    if not wide:
        if op == BPF_SUB:
            regs[ins.dst] = unknown()
            return
        raise Reject(f"R{ins.dst} 32-bit pointer arithmetic prohibited", EACCES)
    name = type_text(ptr.type)
    if ptr.type & MAYBE_NULL:
        raise Reject(f"R{ins.dst} pointer arithmetic on {name} prohibited, null-check it first", EACCES)
    kind = ptr.type & r.KIND
    if kind == r.MEM and ptr.type & r.UNTRUSTED:
        regs[ins.dst] = ptr
        return
    if kind not in _MOVABLE:
        nothing = known and off.smin == 0 and op == BPF_ADD and kind in (r.CONST_MAP, r.FLOW_KEYS)
        if not nothing and not (kind == r.FLOW_KEYS and known):
            raise Reject(f"R{ins.dst} pointer arithmetic on {name} prohibited", EACCES)
    _check_sane(off, ptr.type)
    _check_sane(ptr, ptr.type)
    new = ptr.copy()
    new.unbound32()
    if op == BPF_ADD:
        _add(env, new, ptr, off, known)
    elif op == BPF_SUB:
        if reversed:
            raise Reject(f"R{ins.dst} tried to subtract pointer from scalar", EACCES)
        if ptr.type == r.STACK:
            raise Reject(f"R{ins.dst} subtraction from stack pointer prohibited", EACCES)
        _subtract(env, new, ptr, off, known)
    elif op in (BPF_AND, BPF_OR, BPF_XOR):
        raise Reject(f"R{ins.dst} bitwise operator {_SYMBOLS[op]} on pointer prohibited", EACCES)
    else:
        raise Reject(f"R{ins.dst} pointer arithmetic with {_SYMBOLS[op]} operator prohibited", EACCES)
    _check_sane(new, ptr.type)
    new.sync()
    regs[ins.dst] = _sane(env, new, "alu")


def _add(env: Env, new: RegState, ptr: RegState, off: RegState, known: bool) -> None:
    if known and S32_MIN <= ptr.off + off.smin <= S32_MAX:
        new.off = ptr.off + off.smin
        return
    if scalars.add_overflows(ptr.smin, off.smin) or scalars.add_overflows(ptr.smax, off.smax):
        new.smin, new.smax = S64_MIN, S64_MAX
    else:
        new.smin, new.smax = ptr.smin + off.smin, ptr.smax + off.smax
    low, high = wrap(ptr.umin + off.umin), wrap(ptr.umax + off.umax)
    if ult(low, ptr.umin) or ult(high, ptr.umax):
        low, high = 0, U64_MAX
    new.umin, new.umax = low, high
    new.value, new.mask = tnum_add(ptr.value, ptr.mask, off.value, off.mask)
    if ptr.is_packet():
        new.id = env.new_id()
        new.aux = 0


def _subtract(env: Env, new: RegState, ptr: RegState, off: RegState, known: bool) -> None:
    if known and S32_MIN <= ptr.off - off.smin <= S32_MAX:
        new.off = ptr.off - off.smin
        return
    if scalars.sub_overflows(ptr.smin, off.smax) or scalars.sub_overflows(ptr.smax, off.smin):
        new.smin, new.smax = S64_MIN, S64_MAX
    else:
        new.smin, new.smax = ptr.smin - off.smax, ptr.smax - off.smin
    if ult(ptr.umin, off.umax):
        new.umin, new.umax = 0, U64_MAX
    else:
        new.umin, new.umax = wrap(ptr.umin - off.umax), wrap(ptr.umax - off.umin)
    new.value, new.mask = tnum_sub(ptr.value, ptr.mask, off.value, off.mask)
    if ptr.is_packet():
        new.id = env.new_id()
        if off.smin < 0:
            new.aux = 0
