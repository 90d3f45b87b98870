"""Tracked numbers: what is known of each bit. A pair (value, mask): a mask bit is 1 where the bit is unknown.

The operations are those of the kernel's kernel/bpf/tnum.c (and the paper by Vishwanathan and others, CGO 2022):
sound, and as precise as the kernel's, since a verdict depends on it. Pairs are bit patterns of `bits`.
"""

from __future__ import annotations

from cygnet.verifier.bits import S64_MAX, S64_MIN, U32_MAX, U64_MAX, fls64, shl, shr, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64


def tnum_range(low: i64, high: i64) -> tuple[i64, i64]:
    """The best that can be said of an unsigned number between `low` and `high`."""
    chi = low ^ high
    bits = fls64(chi)
    if bits > 63:
        return 0, U64_MAX
    delta = shl(1, bits) - 1 if bits < 63 else S64_MAX
    return low & ~delta, delta


def tnum_add(av: i64, am: i64, bv: i64, bm: i64) -> tuple[i64, i64]:
    sm = wrap(am + bm)
    sv = wrap(av + bv)
    sigma = wrap(sm + sv)
    mu = (sigma ^ sv) | am | bm
    return sv & ~mu, mu


def tnum_sub(av: i64, am: i64, bv: i64, bm: i64) -> tuple[i64, i64]:
    dv = wrap(av - bv)
    alpha = wrap(dv + am)
    beta = wrap(dv - bm)
    mu = (alpha ^ beta) | am | bm
    return dv & ~mu, mu


def tnum_and(av: i64, am: i64, bv: i64, bm: i64) -> tuple[i64, i64]:
    alpha = av | am
    beta = bv | bm
    v = av & bv
    return v, alpha & beta & ~v


def tnum_or(av: i64, am: i64, bv: i64, bm: i64) -> tuple[i64, i64]:
    v = av | bv
    mu = am | bm
    return v, mu & ~v


def tnum_xor(av: i64, am: i64, bv: i64, bm: i64) -> tuple[i64, i64]:
    v = av ^ bv
    mu = am | bm
    return v & ~mu, mu


def tnum_union(av: i64, am: i64, bv: i64, bm: i64) -> tuple[i64, i64]:
    """Either of the two."""
    v = av & bv
    mu = (av ^ bv) | am | bm
    return v & ~mu, mu


def tnum_intersect(av: i64, am: i64, bv: i64, bm: i64) -> tuple[i64, i64]:
    """What both say. Where they contradict each other the result means nothing."""
    v = av | bv
    mu = am & bm
    return v & ~mu, mu


def tnum_overlap(av: i64, am: i64, bv: i64, bm: i64) -> bool:
    """May both be the same number?"""
    mu = ~am & ~bm
    return (av & mu) == (bv & mu)


def tnum_in(av: i64, am: i64, bv: i64, bm: i64) -> bool:
    """Is everything that b may be something that a may be?"""
    if bm & ~am:
        return False
    return av == (bv & ~am)


def tnum_mul(av: i64, am: i64, bv: i64, bm: i64) -> tuple[i64, i64]:
    """Long multiplication, bit by bit of a: an unknown bit gives either nothing or b."""
    acc_v: i64 = 0
    acc_m: i64 = 0
    while av or am:
        if av & 1:
            acc_v, acc_m = tnum_add(acc_v, acc_m, bv, bm)
        elif am & 1:
            also_v, also_m = tnum_add(acc_v, acc_m, bv, bm)
            acc_v, acc_m = tnum_union(acc_v, acc_m, also_v, also_m)
        av = shr(av, 1)
        am = shr(am, 1)
        bv = shl(bv, 1)
        bm = shl(bm, 1)
    return acc_v, acc_m


def tnum_arsh(v: i64, m: i64, shift: i64, bits: i64) -> tuple[i64, i64]:
    """Arithmetic shift right of a number of 32 or 64 bits."""
    if bits == 32:
        value = ((v & U32_MAX) ^ 0x80000000) - 0x80000000
        mask = ((m & U32_MAX) ^ 0x80000000) - 0x80000000
        return (value >> shift) & U32_MAX, (mask >> shift) & U32_MAX
    return v >> shift, m >> shift


def tnum_aligned(v: i64, m: i64, size: i64) -> bool:
    """Is it a multiple of `size`, a power of two?"""
    return not ((v | m) & (size - 1))


def tnum_cast(v: i64, m: i64, size: i64) -> tuple[i64, i64]:
    """Cut to `size` bytes."""
    if size >= 8:
        return v, m
    keep = (shl(1, size * 8)) - 1
    return v & keep, m & keep


def tnum_bswap(v: i64, m: i64, bits: i64) -> tuple[i64, i64]:
    return swap_bytes(v, bits), swap_bytes(m, bits)


def swap_bytes(x: i64, bits: i64) -> i64:
    out: i64 = 0
    at: i64 = 0
    while at < bits:
        out |= shl(shr(x, at) & 0xFF, bits - 8 - at)
        at += 8
    return out


def tnum_step(v: i64, m: i64, z: i64) -> i64:
    """The smallest number above `z`, unsigned, that the tnum allows; the greatest it allows when there is none."""
    top = v | m
    if (z ^ S64_MIN) >= (top ^ S64_MIN):
        return top
    if (z ^ S64_MIN) < (v ^ S64_MIN):
        return v
    differ = (z & ~m) ^ v
    if differ == 0:
        return v | _next_in(z & m, m)
    # The highest known bit where z leaves the tnum decides: what z has above it is kept or counted up.
    low = _below(differ)
    if v & low & ~shr(low, 1):
        return v | (z & m & ~low)
    return v | _next_in((z | low) & m, m)


def _below(x: i64) -> i64:
    """All bits up to and with the highest bit of x."""
    n = fls64(x)
    return U64_MAX if n >= 64 else shl(1, n) - 1 if n else 0


def _next_in(x: i64, m: i64) -> i64:
    """The next greater number made of bits of m, from x which is one."""
    return wrap((x | ~m) + 1) & m
