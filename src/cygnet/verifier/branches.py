"""Comparisons of scalars: which way a jump goes, and what each way teaches about both operands."""

from __future__ import annotations

from cygnet.isa.consts import (
    BPF_JEQ,
    BPF_JGE,
    BPF_JGT,
    BPF_JLE,
    BPF_JLT,
    BPF_JNE,
    BPF_JSET,
    BPF_JSGE,
    BPF_JSGT,
    BPF_JSLE,
    BPF_JSLT,
)
from cygnet.verifier.bits import U32_MAX, s32, ule, ult, umax_of, umin_of, wrap
from cygnet.verifier.reg import RegState
from cygnet.verifier.tnum import tnum_intersect, tnum_overlap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

_NOT_SET: Final[i64] = 0x48  # the opposite of jset, which has no opcode of its own


def flip(op: i64) -> i64:
    """a op b is b flip(op) a."""
    if op == BPF_JGE:
        return BPF_JLE
    if op == BPF_JGT:
        return BPF_JLT
    if op == BPF_JLE:
        return BPF_JGE
    if op == BPF_JLT:
        return BPF_JGT
    if op == BPF_JSGE:
        return BPF_JSLE
    if op == BPF_JSGT:
        return BPF_JSLT
    if op == BPF_JSLE:
        return BPF_JSGE
    if op == BPF_JSLT:
        return BPF_JSGT
    return op


def negate(op: i64) -> i64:
    """a op b is false exactly when a negate(op) b is true."""
    if op == BPF_JEQ:
        return BPF_JNE
    if op == BPF_JNE:
        return BPF_JEQ
    if op == BPF_JSET:
        return _NOT_SET
    if op == BPF_JGE:
        return BPF_JLT
    if op == BPF_JGT:
        return BPF_JLE
    if op == BPF_JLE:
        return BPF_JGT
    if op == BPF_JLT:
        return BPF_JGE
    if op == BPF_JSGE:
        return BPF_JSLT
    if op == BPF_JSGT:
        return BPF_JSLE
    if op == BPF_JSLE:
        return BPF_JSGT
    return BPF_JSGE


def taken(a: RegState, b: RegState, op: i64, narrow: bool) -> i64:
    """1 when the jump is always taken, 0 when never, -1 when it may be; `narrow` compares 32 bits."""
    if op == BPF_JEQ:
        return _equal(a, b, narrow)
    if op == BPF_JNE:
        known = _equal(a, b, narrow)
        return known if known < 0 else 1 - known
    if op == BPF_JSET:
        return _any_set(a, b, narrow)
    if op in (BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE):
        if narrow:
            return _ordered(op, a.s32_min, a.s32_max, b.s32_min, b.s32_max)
        return _ordered(op, a.smin, a.smax, b.smin, b.smax)
    if narrow:
        return _ordered(op, a.u32_min, a.u32_max, b.u32_min, b.u32_max)
    low: i64 = -0x7FFFFFFFFFFFFFFF - 1
    return _ordered(op, a.umin ^ low, a.umax ^ low, b.umin ^ low, b.umax ^ low)


def _ordered(op: i64, a_min: i64, a_max: i64, b_min: i64, b_max: i64) -> i64:
    if op == BPF_JGT or op == BPF_JSGT:
        return 1 if a_min > b_max else 0 if a_max <= b_min else -1
    if op == BPF_JGE or op == BPF_JSGE:
        return 1 if a_min >= b_max else 0 if a_max < b_min else -1
    if op == BPF_JLT or op == BPF_JSLT:
        return 1 if a_max < b_min else 0 if a_min >= b_max else -1
    return 1 if a_max <= b_min else 0 if a_min > b_max else -1


def _equal(a: RegState, b: RegState, narrow: bool) -> i64:
    if narrow:
        av, am, bv, bm = a.value & U32_MAX, a.mask & U32_MAX, b.value & U32_MAX, b.mask & U32_MAX
    else:
        av, am, bv, bm = a.value, a.mask, b.value, b.mask
    if am == 0 and bm == 0:
        return 1 if av == bv else 0
    if not tnum_overlap(av, am, bv, bm):
        return 0
    if not narrow:
        if ult(b.umax, a.umin) or ult(a.umax, b.umin) or a.smin > b.smax or a.smax < b.smin:
            return 0
    if a.u32_min > b.u32_max or a.u32_max < b.u32_min or a.s32_min > b.s32_max or a.s32_max < b.s32_min:
        return 0
    return -1


def _any_set(a: RegState, b: RegState, narrow: bool) -> i64:
    keep: i64 = U32_MAX if narrow else -1
    if b.mask & keep:
        a, b = b, a
    if b.mask & keep:
        return -1
    bits = b.value & keep
    if ~a.mask & a.value & bits:
        return 1
    if not (a.mask | a.value) & bits:
        return 0
    return -1


def refine(a: RegState, b: RegState, op: i64, narrow: bool) -> None:
    """Change both to what they are when a op b is true. Both are the caller's own."""
    if op in (BPF_JGE, BPF_JGT, BPF_JSGE, BPF_JSGT):
        op = flip(op)
        a, b = b, a
    if op == BPF_JEQ:
        _same32(a, b) if narrow else _same64(a, b)
    elif op == BPF_JLE or op == BPF_JLT:
        _less32(a, b, op == BPF_JLT) if narrow else _less64(a, b, op == BPF_JLT)
    elif op == BPF_JSLE or op == BPF_JSLT:
        _sless32(a, b, op == BPF_JSLT) if narrow else _sless64(a, b, op == BPF_JSLT)
    else:
        keep: i64 = U32_MAX if narrow else -1
        if b.mask & keep:
            a, b = b, a
        if b.mask & keep:
            pass
        elif op == BPF_JNE:
            _differ32(a, b.value & U32_MAX) if narrow else _differ64(a, b.value)
        elif op == BPF_JSET:
            bits = b.value & keep
            if bits and not bits & wrap(bits - 1):  # one bit: it is set; of several one does not know which
                a.value |= bits
                a.mask &= ~bits
        else:
            bits = b.value & keep
            a.unbound()
            a.value &= ~bits
            a.mask &= ~bits
    a.sync()
    b.sync()


def _same32(a: RegState, b: RegState) -> None:
    low, high = max(a.u32_min, b.u32_min), min(a.u32_max, b.u32_max)
    a.u32_min, a.u32_max, b.u32_min, b.u32_max = low, high, low, high
    low, high = max(a.s32_min, b.s32_min), min(a.s32_max, b.s32_max)
    a.s32_min, a.s32_max, b.s32_min, b.s32_max = low, high, low, high
    v, m = tnum_intersect(a.value & U32_MAX, a.mask & U32_MAX, b.value & U32_MAX, b.mask & U32_MAX)
    a.value, a.mask = (a.value & ~U32_MAX) | v, (a.mask & ~U32_MAX) | m
    b.value, b.mask = (b.value & ~U32_MAX) | v, (b.mask & ~U32_MAX) | m


def _same64(a: RegState, b: RegState) -> None:
    low, high = umax_of(a.umin, b.umin), umin_of(a.umax, b.umax)
    a.umin, a.umax, b.umin, b.umax = low, high, low, high
    low, high = max(a.smin, b.smin), min(a.smax, b.smax)
    a.smin, a.smax, b.smin, b.smax = low, high, low, high
    v, m = tnum_intersect(a.value, a.mask, b.value, b.mask)
    a.value, a.mask, b.value, b.mask = v, m, v, m


def _differ32(a: RegState, value: i64) -> None:
    if a.u32_min == value:
        a.u32_min = (a.u32_min + 1) & U32_MAX
    if a.u32_max == value:
        a.u32_max = (a.u32_max - 1) & U32_MAX
    value = s32(value)
    if a.s32_min == value:
        a.s32_min = s32(a.s32_min + 1)
    if a.s32_max == value:
        a.s32_max = s32(a.s32_max - 1)


def _differ64(a: RegState, value: i64) -> None:
    if a.umin == value:
        a.umin = wrap(a.umin + 1)
    if a.umax == value:
        a.umax = wrap(a.umax - 1)
    if a.smin == value:
        a.smin = wrap(a.smin + 1)
    if a.smax == value:
        a.smax = wrap(a.smax - 1)


def _less32(a: RegState, b: RegState, strict: bool) -> None:
    step: i64 = 1 if strict else 0
    high, low = min(a.u32_max, b.u32_max - step), max(a.u32_min + step, b.u32_min)
    a.u32_max, b.u32_min = high, low


def _less64(a: RegState, b: RegState, strict: bool) -> None:
    step: i64 = 1 if strict else 0
    high, low = umin_of(a.umax, wrap(b.umax - step)), umax_of(wrap(a.umin + step), b.umin)
    a.umax, b.umin = high, low


def _sless32(a: RegState, b: RegState, strict: bool) -> None:
    step: i64 = 1 if strict else 0
    high, low = min(a.s32_max, b.s32_max - step), max(a.s32_min + step, b.s32_min)
    a.s32_max, b.s32_min = high, low


def _sless64(a: RegState, b: RegState, strict: bool) -> None:
    step: i64 = 1 if strict else 0
    high, low = min(a.smax, wrap(b.smax - step)), max(wrap(a.smin + step), b.smin)
    a.smax, b.smin = high, low


__all__ = ["flip", "negate", "refine", "taken", "ule"]
