"""Arithmetic on scalars: how bounds and known bits of a result follow from those of the operands.

Each function changes its first register, which the caller owns. The order in which bounds and bits are worked out, and
what is given up, are the kernel's (kernel/bpf/verifier.c, adjust_scalar_min_max_vals): a tighter answer would accept
programs that Linux refuses.
"""

from __future__ import annotations

from cygnet.isa.consts import (
    BPF_ADD,
    BPF_AND,
    BPF_ARSH,
    BPF_DIV,
    BPF_LSH,
    BPF_MOD,
    BPF_MUL,
    BPF_NEG,
    BPF_OR,
    BPF_RSH,
    BPF_SUB,
    BPF_XOR,
)
from cygnet.verifier.bits import (
    S32_MAX,
    S32_MIN,
    S64_MAX,
    S64_MIN,
    U32_MAX,
    U64_MAX,
    s32,
    shl,
    shr,
    ult,
    umax_of,
    umin_of,
    wrap,
)
from cygnet.verifier.reg import RegState, scalar
from cygnet.verifier.tnum import (
    tnum_add,
    tnum_and,
    tnum_arsh,
    tnum_bswap,
    tnum_cast,
    tnum_mul,
    tnum_or,
    tnum_range,
    tnum_sub,
    tnum_xor,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64


def compute(dst: RegState, src: RegState, op: i64, wide: bool) -> None:
    """dst = dst op src, as scalars of 64 bits (`wide`) or 32."""
    if not _computable(src, op, wide):
        dst.set_unknown()
        return
    if dst.mask == 0 and src.mask == 0 and _constants(dst, src, op, wide):
        return
    if op == BPF_ADD:
        _add32(dst, src)
        _add64(dst, src)
        dst.value, dst.mask = tnum_add(dst.value, dst.mask, src.value, src.mask)
    elif op == BPF_SUB:
        _sub32(dst, src)
        _sub64(dst, src)
        dst.value, dst.mask = tnum_sub(dst.value, dst.mask, src.value, src.mask)
    elif op == BPF_NEG:
        was = dst.copy()
        dst.set_const(0)
        _sub32(dst, was)
        _sub64(dst, was)
        dst.value, dst.mask = tnum_sub(0, 0, was.value, was.mask)
    elif op == BPF_AND:
        dst.value, dst.mask = tnum_and(dst.value, dst.mask, src.value, src.mask)
        _and32(dst, src)
        _and64(dst, src)
    elif op == BPF_OR:
        dst.value, dst.mask = tnum_or(dst.value, dst.mask, src.value, src.mask)
        _or32(dst, src)
        _or64(dst, src)
    elif op == BPF_XOR:
        dst.value, dst.mask = tnum_xor(dst.value, dst.mask, src.value, src.mask)
        _xor32(dst, src)
        _xor64(dst, src)
    elif op == BPF_MUL:
        dst.value, dst.mask = tnum_mul(dst.value, dst.mask, src.value, src.mask)
        _mul32(dst, src)
        _mul64(dst, src)
    elif op == BPF_LSH:
        if wide:
            _lsh64(dst, src.umin)
        else:
            _lsh32(dst, src.u32_min)
    elif op == BPF_RSH:
        if wide:
            _rsh64(dst, src.umin)
        else:
            _rsh32(dst, src.u32_min)
    elif wide:
        _arsh64(dst, src.umin)
    else:
        _arsh32(dst, src.u32_min)
    if not wide:
        dst.zext32()
    dst.sync()


def _constants(dst: RegState, src: RegState, op: i64, wide: bool) -> bool:
    """The sum of two constants is one, and what the long way comes to; False for the rarer operations."""
    a, b = dst.value, src.value
    if dst.umin != a or dst.umax != a or dst.smin != a or dst.smax != a or src.smin != b or src.smax != b:
        return False
    if op == BPF_ADD:
        a = wrap(a + b)
    elif op == BPF_SUB:
        a = wrap(a - b)
    elif op == BPF_LSH and wide:
        a = shl(a, b)
    elif op == BPF_RSH and wide:
        a = shr(a, b)
    else:
        return False
    dst.set_const(a if wide else a & U32_MAX)
    return True


def _computable(src: RegState, op: i64, wide: bool) -> bool:
    """Sums, products and bit operations always; shifts by a constant within the width; no quotients."""
    if op != BPF_LSH and op != BPF_RSH and op != BPF_ARSH:
        return op != BPF_DIV and op != BPF_MOD
    if wide:
        known = src.mask == 0 and src.smin == src.smax and src.umin == src.umax
        return known and 0 <= src.umax < 64
    known = (src.mask & U32_MAX) == 0 and src.s32_min == src.s32_max and src.u32_min == src.u32_max
    return known and 0 <= src.umax < 32


# -- sums


def add_overflows(a: i64, b: i64) -> bool:
    """Does a + b leave the signed 64-bit numbers?"""
    total = wrap(a + b)
    return ((a ^ total) & (b ^ total)) < 0


def sub_overflows(a: i64, b: i64) -> bool:
    difference = wrap(a - b)
    return ((a ^ b) & (a ^ difference)) < 0


def _add32(dst: RegState, src: RegState) -> None:
    low, high = dst.s32_min + src.s32_min, dst.s32_max + src.s32_max
    if low < S32_MIN or low > S32_MAX or high < S32_MIN or high > S32_MAX:
        low, high = S32_MIN, S32_MAX
    dst.s32_min, dst.s32_max = low, high
    low, high = dst.u32_min + src.u32_min, dst.u32_max + src.u32_max
    if low <= U32_MAX and high > U32_MAX:  # some overflow, and some do not
        low, high = 0, U32_MAX
    dst.u32_min, dst.u32_max = low & U32_MAX, high & U32_MAX


def _add64(dst: RegState, src: RegState) -> None:
    if add_overflows(dst.smin, src.smin) or add_overflows(dst.smax, src.smax):
        dst.smin, dst.smax = S64_MIN, S64_MAX
    else:
        dst.smin += src.smin
        dst.smax += src.smax
    low, high = wrap(dst.umin + src.umin), wrap(dst.umax + src.umax)
    if not ult(low, src.umin) and ult(high, src.umax):
        low, high = 0, U64_MAX
    dst.umin, dst.umax = low, high


def _sub32(dst: RegState, src: RegState) -> None:
    low, high = dst.s32_min - src.s32_max, dst.s32_max - src.s32_min
    if low < S32_MIN or low > S32_MAX or high < S32_MIN or high > S32_MAX:
        low, high = S32_MIN, S32_MAX
    dst.s32_min, dst.s32_max = low, high
    low, high = dst.u32_min - src.u32_max, dst.u32_max - src.u32_min
    if low < 0 and high >= 0:
        low, high = 0, U32_MAX
    dst.u32_min, dst.u32_max = low & U32_MAX, high & U32_MAX


def _sub64(dst: RegState, src: RegState) -> None:
    if sub_overflows(dst.smin, src.smax) or sub_overflows(dst.smax, src.smin):
        low, high = S64_MIN, S64_MAX
    else:
        low, high = dst.smin - src.smax, dst.smax - src.smin
    dst.smin, dst.smax = low, high
    low, high = wrap(dst.umin - src.umax), wrap(dst.umax - src.umin)
    if ult(dst.umin, src.umax) and not ult(dst.umax, src.umin):
        low, high = 0, U64_MAX
    dst.umin, dst.umax = low, high


# -- products


def _umul_high(a: i64, b: i64) -> i64:
    """The upper 64 bits of the unsigned product."""
    a_low, a_high = a & U32_MAX, shr(a, 32)
    b_low, b_high = b & U32_MAX, shr(b, 32)
    middle = wrap(a_high * b_low) + shr(wrap(a_low * b_low), 32)
    middle = wrap(middle)
    other = wrap(wrap(a_low * b_high) + (middle & U32_MAX))
    return wrap(wrap(a_high * b_high) + shr(middle, 32) + shr(other, 32))


def _smul_overflows(a: i64, b: i64) -> bool:
    if S32_MIN <= a <= S32_MAX and S32_MIN <= b <= S32_MAX:
        return False
    high = _umul_high(a, b)
    if a < 0:
        high = wrap(high - b)
    if b < 0:
        high = wrap(high - a)
    return high != (-1 if wrap(a * b) < 0 else 0)


def _mul32(dst: RegState, src: RegState) -> None:
    low, high = dst.u32_min, dst.u32_max
    if high and src.u32_max and src.u32_max > U32_MAX // high:
        low, high = 0, U32_MAX
    else:
        low, high = low * src.u32_min, high * src.u32_max
    dst.u32_min, dst.u32_max = low, high
    a, b, c, d = dst.s32_min, dst.s32_max, src.s32_min, src.s32_max
    least, most = _extremes(a * c, a * d, b * c, b * d)
    if least < S32_MIN or most > S32_MAX:
        least, most = S32_MIN, S32_MAX
    dst.s32_min, dst.s32_max = least, most


def _mul64(dst: RegState, src: RegState) -> None:
    if _umul_high(dst.umax, src.umax) != 0:
        dst.umin, dst.umax = 0, U64_MAX
    else:
        dst.umin, dst.umax = wrap(dst.umin * src.umin), wrap(dst.umax * src.umax)
    a, b, c, d = dst.smin, dst.smax, src.smin, src.smax
    if _smul_overflows(a, c) or _smul_overflows(a, d) or _smul_overflows(b, c) or _smul_overflows(b, d):
        dst.smin, dst.smax = S64_MIN, S64_MAX
    else:
        dst.smin, dst.smax = _extremes(a * c, a * d, b * c, b * d)


def _extremes(a: i64, b: i64, c: i64, d: i64) -> tuple[i64, i64]:
    least, most = a, a
    if b < least:
        least = b
    if b > most:
        most = b
    if c < least:
        least = c
    if c > most:
        most = c
    if d < least:
        least = d
    if d > most:
        most = d
    return least, most


# -- bit operations; the bits of the result are in place already


def _signs32(reg: RegState) -> None:
    low, high = s32(reg.u32_min), s32(reg.u32_max)
    if low > high:
        low, high = S32_MIN, S32_MAX
    reg.s32_min, reg.s32_max = low, high


def _signs64(reg: RegState) -> None:
    low, high = reg.umin, reg.umax
    if low > high:
        low, high = S64_MIN, S64_MAX
    reg.smin, reg.smax = low, high


def _known32(dst: RegState, src: RegState) -> bool:
    if (src.mask & U32_MAX) or (dst.mask & U32_MAX):
        return False
    dst.set_const32(dst.value)
    return True


def _known64(dst: RegState, src: RegState) -> bool:
    if src.mask or dst.mask:
        return False
    dst.id = 0
    dst.off = 0
    dst.set_const(dst.value)
    return True


def _and32(dst: RegState, src: RegState) -> None:
    if not _known32(dst, src):
        dst.u32_min = dst.value & U32_MAX
        if src.u32_max < dst.u32_max:
            dst.u32_max = src.u32_max
        _signs32(dst)


def _and64(dst: RegState, src: RegState) -> None:
    if not _known64(dst, src):
        dst.umin = dst.value
        dst.umax = umin_of(dst.umax, src.umax)
        _signs64(dst)
        dst.bounds_from_bits()


def _or32(dst: RegState, src: RegState) -> None:
    if not _known32(dst, src):
        if src.u32_min > dst.u32_min:
            dst.u32_min = src.u32_min
        dst.u32_max = (dst.value | dst.mask) & U32_MAX
        _signs32(dst)


def _or64(dst: RegState, src: RegState) -> None:
    if not _known64(dst, src):
        dst.umin = umax_of(dst.umin, src.umin)
        dst.umax = dst.value | dst.mask
        _signs64(dst)
        dst.bounds_from_bits()


def _xor32(dst: RegState, src: RegState) -> None:
    if not _known32(dst, src):
        dst.u32_min = dst.value & U32_MAX
        dst.u32_max = (dst.value | dst.mask) & U32_MAX
        _signs32(dst)


def _xor64(dst: RegState, src: RegState) -> None:
    if not _known64(dst, src):
        dst.umin = dst.value
        dst.umax = dst.value | dst.mask
        _signs64(dst)
        dst.bounds_from_bits()


# -- shifts by a constant


def _lsh32_bounds(dst: RegState, n: i64) -> None:
    dst.s32_min, dst.s32_max = S32_MIN, S32_MAX
    if n > 31 or dst.u32_max > shl(1, 31 - n):
        dst.u32_min, dst.u32_max = 0, U32_MAX
    else:
        dst.u32_min = (dst.u32_min << n) & U32_MAX
        dst.u32_max = (dst.u32_max << n) & U32_MAX


def _lsh32(dst: RegState, n: i64) -> None:
    value, mask = dst.value & U32_MAX, dst.mask & U32_MAX
    _lsh32_bounds(dst, n)
    dst.value, dst.mask = (value << n) & U32_MAX, (mask << n) & U32_MAX
    dst.unbound64()
    _update32(dst)


def _lsh64(dst: RegState, n: i64) -> None:
    if n == 32:  # the common way to extend the sign: << 32, s>> 32
        dst.smin, dst.smax = shl(dst.s32_min, 32), shl(dst.s32_max, 32)
    else:
        dst.smin, dst.smax = S64_MIN, S64_MAX
    if ult(shl(1, 63 - n), dst.umax):
        dst.umin, dst.umax = 0, U64_MAX
    else:
        dst.umin, dst.umax = shl(dst.umin, n), shl(dst.umax, n)
    _lsh32_bounds(dst, n)
    dst.value, dst.mask = shl(dst.value, n), shl(dst.mask, n)
    dst.bounds_from_bits()


def _rsh32(dst: RegState, n: i64) -> None:
    dst.s32_min, dst.s32_max = S32_MIN, S32_MAX
    dst.value, dst.mask = (dst.value & U32_MAX) >> n, (dst.mask & U32_MAX) >> n
    dst.u32_min >>= n
    dst.u32_max >>= n
    dst.unbound64()
    _update32(dst)


def _rsh64(dst: RegState, n: i64) -> None:
    dst.smin, dst.smax = S64_MIN, S64_MAX
    dst.value, dst.mask = shr(dst.value, n), shr(dst.mask, n)
    dst.umin, dst.umax = shr(dst.umin, n), shr(dst.umax, n)
    dst.unbound32()
    dst.bounds_from_bits()


def _arsh32(dst: RegState, n: i64) -> None:
    dst.s32_min >>= n
    dst.s32_max >>= n
    dst.value, dst.mask = tnum_arsh(dst.value, dst.mask, n, 32)
    dst.u32_min, dst.u32_max = 0, U32_MAX
    dst.unbound64()
    _update32(dst)


def _arsh64(dst: RegState, n: i64) -> None:
    dst.smin >>= n
    dst.smax >>= n
    dst.value, dst.mask = tnum_arsh(dst.value, dst.mask, n, 64)
    dst.umin, dst.umax = 0, U64_MAX
    dst.unbound32()
    dst.bounds_from_bits()


def _update32(dst: RegState) -> None:
    """32-bit bounds from the bits alone."""
    low, low_mask = s32(dst.value), s32(dst.mask)
    least, most = low | (low_mask & S32_MIN), low | (low_mask & S32_MAX)
    if least > dst.s32_min:
        dst.s32_min = least
    if most < dst.s32_max:
        dst.s32_max = most
    least, most = dst.value & U32_MAX, (dst.value | dst.mask) & U32_MAX
    if least > dst.u32_min:
        dst.u32_min = least
    if most < dst.u32_max:
        dst.u32_max = most


# -- widths


def truncate(reg: RegState, size: i64) -> None:
    """Cut to `size` bytes, 1, 2 or 4, zeros above."""
    reg.value, reg.mask = tnum_cast(reg.value, reg.mask, size)
    keep = shl(1, size * 8) - 1
    if (reg.umin & ~keep) == (reg.umax & ~keep):
        reg.umin &= keep
        reg.umax &= keep
    else:
        reg.umin, reg.umax = 0, keep
    reg.smin, reg.smax = reg.umin, reg.umax
    if size < 4:
        reg.unbound32()
    reg.sync()


def byte_order(reg: RegState, bits: i64, swap: bool) -> None:
    """bswap, be and le: the low `bits` bits, their bytes reversed when `swap`."""
    if swap or bits < 64:
        reg.id = 0
        reg.off = 0
    if swap:
        reg.value, reg.mask = tnum_bswap(reg.value, reg.mask, bits)
        reg.unbound()
    if bits < 64:
        truncate(reg, bits // 8)
    reg.sync()


def sign_extend_number(x: i64, size: i64) -> i64:
    """The low `size` bytes of x as a signed number."""
    if size >= 8:
        return x
    half = shl(1, size * 8 - 1)
    keep = half | (half - 1)
    return ((x & keep) ^ half) - half


def sign_extend(reg: RegState, size: i64) -> None:
    """Extend the sign of the low `size` bytes (1, 2 or 4) to 64 bits."""
    if reg.mask == 0:
        reg.set_const(sign_extend_number(reg.value, size))
        return
    bits = size * 8
    if shr(reg.smax, bits) == shr(reg.smin, bits):
        low, high = sign_extend_number(reg.smin, size), sign_extend_number(reg.smax, size)
        if low > high:
            low, high = high, low
        if (low >= 0) == (high >= 0):
            reg.smin, reg.smax, reg.umin, reg.umax = low, high, low, high
            reg.s32_min, reg.s32_max, reg.u32_min, reg.u32_max = s32(low), s32(high), low & U32_MAX, high & U32_MAX
            reg.value, reg.mask = tnum_range(low, high)
            return
    half = shl(1, bits - 1)
    reg.smin, reg.smax = -half, half - 1
    reg.s32_min, reg.s32_max = -half, half - 1
    reg.umin, reg.umax, reg.u32_min, reg.u32_max = 0, U64_MAX, 0, U32_MAX
    reg.value, reg.mask = 0, U64_MAX


def sign_extend32(reg: RegState, size: i64) -> None:
    """Extend the sign of the low `size` bytes (1 or 2) to 32 bits. `zext32` and `sync` must follow."""
    if (reg.mask & U32_MAX) == 0:
        low = sign_extend_number(reg.value, size)
        reg.value, reg.mask = low & U32_MAX, 0
        reg.s32_min, reg.s32_max, reg.u32_min, reg.u32_max = low, low, low & U32_MAX, low & U32_MAX
        return
    bits = size * 8
    if (reg.s32_max >> bits) == (reg.s32_min >> bits):
        low, high = sign_extend_number(reg.s32_min, size), sign_extend_number(reg.s32_max, size)
        if low > high:
            low, high = high, low
        if (low >= 0) == (high >= 0):
            reg.s32_min, reg.s32_max, reg.u32_min, reg.u32_max = low, high, low & U32_MAX, high & U32_MAX
            value, mask = tnum_range(low, high)
            reg.value, reg.mask = value & U32_MAX, mask & U32_MAX
            return
    half = shl(1, bits - 1)
    reg.s32_min, reg.s32_max, reg.u32_min, reg.u32_max = -half, half - 1, 0, U32_MAX
    reg.value, reg.mask = 0, U32_MAX


def constant(value: i64) -> RegState:
    return scalar(value)
