"""64-bit numbers as bit patterns: one signed 64-bit int stands for the signed and the unsigned number.

Compiled by mypyc the type is a native i64, whose arithmetic wraps; a Python int does not, so every sum, difference,
product and left shift goes through `wrap`. Unsigned numbers are compared by flipping the sign bit of both.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

S64_MIN: Final[i64] = -0x7FFFFFFFFFFFFFFF - 1
S64_MAX: Final[i64] = 0x7FFFFFFFFFFFFFFF
U64_MAX: Final[i64] = -1
S32_MIN: Final[i64] = -0x80000000
S32_MAX: Final[i64] = 0x7FFFFFFF
U32_MAX: Final[i64] = 0xFFFFFFFF


def wrap(x: i64) -> i64:
    """The low 64 bits of `x` as a pattern. The seam between Python's ints and machine words."""
    if S64_MIN <= x <= S64_MAX:
        return x
    return (x & S64_MAX) | S64_MIN if (x >> 63) & 1 else x & S64_MAX


def ult(a: i64, b: i64) -> bool:
    return (a ^ S64_MIN) < (b ^ S64_MIN)


def ule(a: i64, b: i64) -> bool:
    return (a ^ S64_MIN) <= (b ^ S64_MIN)


def umin_of(a: i64, b: i64) -> i64:
    return a if (a ^ S64_MIN) < (b ^ S64_MIN) else b


def umax_of(a: i64, b: i64) -> i64:
    return b if (a ^ S64_MIN) < (b ^ S64_MIN) else a


def shl(a: i64, n: i64) -> i64:
    """`a` shifted left by n in 0..63. Literals must be shifted by this too: mypyc would shift them as C's 32-bit int."""
    if n == 0:
        return a
    # cut first, so that a Python int never grows beyond 64 bits
    return ((a & (S64_MAX >> n)) << n) | (S64_MIN if (a >> (63 - n)) & 1 else 0)


def shr(a: i64, n: i64) -> i64:
    """`a` shifted right by n in 0..63, zeros coming in."""
    if n == 0:
        return a
    return (a >> n) & (S64_MAX >> (n - 1))


def s32(x: i64) -> i64:
    """The low 32 bits as a signed number."""
    return ((x & U32_MAX) ^ 0x80000000) - 0x80000000


def fls64(x: i64) -> i64:
    """1 + the number of the highest bit that is set; 0 for 0."""
    if x < 0:
        return 64
    n: i64 = 0
    if x >= 0x100000000:
        n += 32
        x >>= 32
    if x >= 0x10000:
        n += 16
        x >>= 16
    if x >= 0x100:
        n += 8
        x >>= 8
    if x >= 0x10:
        n += 4
        x >>= 4
    if x >= 4:
        n += 2
        x >>= 2
    if x >= 2:
        return n + 2
    return n + x


def unsigned(x: i64) -> int:
    """The pattern as the number from 0 to 2**64 - 1, for printing."""
    number: int = x
    return number if number >= 0 else number + (1 << 64)
