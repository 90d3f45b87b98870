"""What is known of one register: its kind, and the numbers it may hold.

A RegState is never changed once other code can see it: states share them, and whoever changes one works on a copy.
For a scalar the number is all; for a pointer `off` is the constant part of its distance from what it points to, and the
number is the unknown part. Signed and unsigned 64-bit bounds are bit patterns (see `bits`), 32-bit ones plain numbers.
"""

from __future__ import annotations

from cygnet.verifier.bits import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX, s32, ule, ult
from cygnet.verifier.tnum import tnum_intersect, tnum_range, tnum_step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mypy_extensions import i64

# Kinds: the low 8 bits of `type`
NOT_INIT: Final[i64] = 0
SCALAR: Final[i64] = 1
CTX: Final[i64] = 2
CONST_MAP: Final[i64] = 3
MAP_VALUE: Final[i64] = 4
MAP_KEY: Final[i64] = 5
STACK: Final[i64] = 6
PKT_META: Final[i64] = 7
PKT: Final[i64] = 8
PKT_END: Final[i64] = 9
FLOW_KEYS: Final[i64] = 10
SOCKET: Final[i64] = 11
SOCK_COMMON: Final[i64] = 12
TCP_SOCK: Final[i64] = 13
TP_BUFFER: Final[i64] = 14
XDP_SOCK: Final[i64] = 15
BTF: Final[i64] = 16
MEM: Final[i64] = 17
ARENA: Final[i64] = 18
BUF: Final[i64] = 19
FUNC: Final[i64] = 20
DYNPTR: Final[i64] = 21
KIND: Final[i64] = 0xFF

# Flags: the bits above
MAYBE_NULL: Final[i64] = 1 << 8
RDONLY: Final[i64] = 1 << 9
RINGBUF: Final[i64] = 1 << 10
USER: Final[i64] = 1 << 11
PERCPU: Final[i64] = 1 << 12
UNTRUSTED: Final[i64] = 1 << 13
ALLOC: Final[i64] = 1 << 14
TRUSTED: Final[i64] = 1 << 15
RCU: Final[i64] = 1 << 16
NON_OWN_REF: Final[i64] = 1 << 17
DYN_LOCAL: Final[i64] = 1 << 18
DYN_RINGBUF: Final[i64] = 1 << 19
DYN_SKB: Final[i64] = 1 << 20
DYN_XDP: Final[i64] = 1 << 21
DYN_SKB_META: Final[i64] = 1 << 22
DYN_ANY: Final[i64] = DYN_LOCAL | DYN_RINGBUF | DYN_SKB | DYN_XDP | DYN_SKB_META

# `id` of a scalar that is another one plus the constant `off`
ADD_CONST64: Final[i64] = 1 << 31
ADD_CONST32: Final[i64] = 1 << 30  # in 32 bits, zeros above
ADD_CONST: Final[i64] = ADD_CONST64 | ADD_CONST32

KIND_NAMES = (
    "?", "scalar", "ctx", "map_ptr", "map_value", "map_key", "fp", "pkt_meta", "pkt", "pkt_end", "flow_keys", "sock",
    "sock_common", "tcp_sock", "tp_buffer", "xdp_sock", "ptr_", "mem", "arena", "buf", "func", "dynptr_ptr",
)  # fmt: skip


class RegState:
    """`aux` is by kind: bytes checked of a packet, size of a memory, number of a subprogram, type of a dynptr,
    state of an iterator. `frame` is that of a stack pointer, `map` a MapInfo, `btf` the Btf that `btf_id` counts in."""

    __slots__ = (
        "aux", "btf", "btf_id", "frame", "id", "map", "map_uid", "mask", "off", "ref", "s32_max", "s32_min", "smax",
        "smin", "type", "u32_max", "u32_min", "umax", "umin", "value",
    )  # fmt: skip

    def __init__(self, type: i64, value: i64) -> None:
        """A register whose number is the constant `value`."""
        self.type: i64 = type
        self.off: i64 = 0
        self.value: i64 = value
        self.mask: i64 = 0
        self.smin: i64 = value
        self.smax: i64 = value
        self.umin: i64 = value
        self.umax: i64 = value
        low = value & U32_MAX
        self.u32_min: i64 = low
        self.u32_max: i64 = low
        low = (low ^ 0x80000000) - 0x80000000
        self.s32_min: i64 = low
        self.s32_max: i64 = low
        self.id: i64 = 0
        self.ref: i64 = 0
        self.frame: i64 = 0
        self.aux: i64 = 0
        self.map_uid: i64 = 0
        self.btf_id: i64 = 0
        self.map: Any = None
        self.btf: Any = None

    def copy(self) -> RegState:
        new = RegState(self.type, 0)
        new.off = self.off
        new.value = self.value
        new.mask = self.mask
        new.smin = self.smin
        new.smax = self.smax
        new.umin = self.umin
        new.umax = self.umax
        new.s32_min = self.s32_min
        new.s32_max = self.s32_max
        new.u32_min = self.u32_min
        new.u32_max = self.u32_max
        new.id = self.id
        new.ref = self.ref
        new.frame = self.frame
        new.aux = self.aux
        new.map_uid = self.map_uid
        new.btf_id = self.btf_id
        new.map = self.map
        new.btf = self.btf
        return new

    # -- what it is

    def is_const(self) -> bool:
        """Is its number a constant?"""
        return self.mask == 0

    def is_const32(self) -> bool:
        return (self.mask & U32_MAX) == 0

    def is_pointer(self) -> bool:
        return self.type != SCALAR and self.type != NOT_INIT

    def is_packet(self) -> bool:
        return self.type == PKT or self.type == PKT_META

    # -- making it something

    def set_const(self, value: i64) -> None:
        """The number alone; id and the rest stay."""
        self.value = value
        self.mask = 0
        self.smin = self.smax = self.umin = self.umax = value
        low = value & U32_MAX
        self.u32_min = self.u32_max = low
        low = (low ^ 0x80000000) - 0x80000000
        self.s32_min = self.s32_max = low

    def set_const32(self, value: i64) -> None:
        low = value & U32_MAX
        self.value = (self.value & ~U32_MAX) | low
        self.mask &= ~U32_MAX
        self.u32_min = self.u32_max = low
        low = (low ^ 0x80000000) - 0x80000000
        self.s32_min = self.s32_max = low

    def unbound64(self) -> None:
        self.smin = S64_MIN
        self.smax = S64_MAX
        self.umin = 0
        self.umax = U64_MAX

    def unbound32(self) -> None:
        self.s32_min = S32_MIN
        self.s32_max = S32_MAX
        self.u32_min = 0
        self.u32_max = U32_MAX

    def unbound(self) -> None:
        self.smin = S64_MIN
        self.smax = S64_MAX
        self.umin = 0
        self.umax = U64_MAX
        self.s32_min = S32_MIN
        self.s32_max = S32_MAX
        self.u32_min = 0
        self.u32_max = U32_MAX

    def set_unknown(self) -> None:
        """Any number; nothing else is left."""
        self.type = SCALAR
        self.off = 0
        self.id = 0
        self.ref = 0
        self.frame = 0
        self.aux = 0
        self.map_uid = 0
        self.btf_id = 0
        self.map = None
        self.btf = None
        self.value = 0
        self.mask = U64_MAX
        self.unbound()

    # -- drawing conclusions

    def sync(self) -> None:
        """Let bits, signed and unsigned, 64 and 32 bits learn from each other.

        The kernel's order, without what would teach nothing: `deduce` is done three times there, and once it changed
        nothing it will not the next time; nor will `bounds_from_bits`, as long as bounds and bits are as it left them.
        """
        if self.mask == 0 and self.umin == self.value and self.umax == self.value and self.smin == self.smax:
            if self.smin == self.value:
                self.set_const(self.value)
                return
        if self.mask == U64_MAX and self.is_unbound():
            return
        self.bounds_from_bits()
        value, mask = self.value, self.mask
        learnt = False
        if not self.is_small():
            learnt = self.deduce()
            if learnt and self.deduce():
                self.deduce()
        self.bits_from_bounds()
        if learnt or self.value != value or self.mask != mask:
            self.bounds_from_bits()

    def is_unbound(self) -> bool:
        return (
            self.umax == U64_MAX
            and self.umin == 0
            and self.smin == S64_MIN
            and self.smax == S64_MAX
            and self.u32_min == 0
            and self.u32_max == U32_MAX
            and self.s32_min == S32_MIN
            and self.s32_max == S32_MAX
        )

    def is_small(self) -> bool:
        """Below 2**31, and all four ranges say the same: they have nothing to learn from each other."""
        low, high = self.umin, self.umax
        return (
            0 <= low <= high
            and self.u32_max == high
            and self.s32_max == high
            and self.smax == high
            and self.smin == low
            and self.u32_min == low
            and self.s32_min == low
        )

    def bounds_from_bits(self) -> None:
        value, mask = self.value, self.mask
        low, low_mask = s32(value), s32(mask)
        least = low | (low_mask & S32_MIN)
        most = low | (low_mask & S32_MAX)
        if least > self.s32_min:
            self.s32_min = least
        if most < self.s32_max:
            self.s32_max = most
        least = value & U32_MAX
        most = (value | mask) & U32_MAX
        if least > self.u32_min:
            self.u32_min = least
        if most < self.u32_max:
            self.u32_max = most
        least = value | (mask & S64_MIN)
        most = value | (mask & S64_MAX)
        if least > self.smin:
            self.smin = least
        if most < self.smax:
            self.smax = most
        if ult(self.umin, value):
            self.umin = value
        most = value | mask
        if ult(most, self.umax):
            self.umax = most
        if STEP_BOUNDS:
            self.single_value()

    def single_value(self) -> None:
        """The bits and the unsigned range may have one number in common."""
        value, mask = self.value, self.mask
        inside = (self.umin & ~mask) == value
        if inside and (self.umax & ~mask) == value and ult(self.umin, self.umax):
            return  # both ends
        after = tnum_step(value, mask, self.umin)
        top = value | mask
        if inside:
            if ult(self.umax, after):
                self.set_const(self.umin)
        elif after == top:
            self.set_const(top)
        elif ule(after, self.umax) and ult(self.umax, tnum_step(value, mask, after)):
            self.set_const(after)

    def deduce(self) -> bool:
        """One round; True when a bound changed."""
        umin, umax, smin, smax = self.umin, self.umax, self.smin, self.smax
        u32_min, u32_max, s32_min, s32_max = self.u32_min, self.u32_max, self.s32_min, self.s32_max
        self.deduce32()
        self.deduce64()
        self.deduce_mixed()
        return (
            self.umin != umin
            or self.umax != umax
            or self.smin != smin
            or self.smax != smax
            or self.u32_min != u32_min
            or self.u32_max != u32_max
            or self.s32_min != s32_min
            or self.s32_max != s32_max
        )

    def deduce32(self) -> None:
        umin, umax, smin, smax = self.umin, self.umax, self.smin, self.smax
        up, up_max = umin & ~U32_MAX, umax & ~U32_MAX
        if up == up_max:
            self.narrow_u32(umin & U32_MAX, umax & U32_MAX)
            if s32(umin) <= s32(umax):
                self.narrow_s32(s32(umin), s32(umax))
        elif ((up >> 32) + 1) & U32_MAX == (up_max >> 32) & U32_MAX and s32(umin) < 0 and s32(umax) >= 0:
            self.narrow_s32(s32(umin), s32(umax))
        up, up_max = smin & ~U32_MAX, smax & ~U32_MAX
        if up == up_max:
            if (smin & U32_MAX) <= (smax & U32_MAX):
                self.narrow_u32(smin & U32_MAX, smax & U32_MAX)
            if s32(smin) <= s32(smax):
                self.narrow_s32(s32(smin), s32(smax))
        elif ((up >> 32) + 1) & U32_MAX == (up_max >> 32) & U32_MAX and s32(smin) < 0 and s32(smax) >= 0:
            self.narrow_s32(s32(smin), s32(smax))
        low, high = s32(self.u32_min), s32(self.u32_max)
        if low <= high:
            self.narrow_s32(low, high)
        low, high = self.s32_min & U32_MAX, self.s32_max & U32_MAX
        if low <= high:
            self.narrow_u32(low, high)
        elif CROSSING32:
            # the signed range is two pieces of the unsigned one; the other range may overlap with one only
            if self.u32_max < low:
                self.s32_min = s32(self.u32_min)
                if high < self.u32_max:
                    self.u32_max = high
            elif high < self.u32_min:
                self.s32_max = s32(self.u32_max)
                if low > self.u32_min:
                    self.u32_min = low

    def narrow_u32(self, low: i64, high: i64) -> None:
        if low > self.u32_min:
            self.u32_min = low
        if high < self.u32_max:
            self.u32_max = high

    def narrow_s32(self, low: i64, high: i64) -> None:
        if low > self.s32_min:
            self.s32_min = low
        if high < self.s32_max:
            self.s32_max = high

    def deduce64(self) -> None:
        if self.umin <= self.umax:  # as signed numbers: the unsigned range has one sign
            if self.umin > self.smin:
                self.smin = self.umin
            if self.umax < self.smax:
                self.smax = self.umax
        smin, smax = self.smin, self.smax
        if ule(smin, smax):
            if ult(self.umin, smin):
                self.umin = smin
            if ult(smax, self.umax):
                self.umax = smax
        elif ult(self.umax, smin):
            self.smin = self.umin
            if ult(smax, self.umax):
                self.umax = smax
        elif ult(smax, self.umin):
            self.smax = self.umax
            if ult(self.umin, smin):
                self.umin = smin

    def deduce_mixed(self) -> None:
        low, high = self.u32_min, self.u32_max
        least = (self.umin & ~U32_MAX) | low
        most = (self.umax & ~U32_MAX) | high
        if ult(self.umin, least):
            self.umin = least
        if ult(most, self.umax):
            self.umax = most
        least = (self.smin & ~U32_MAX) | low
        most = (self.smax & ~U32_MAX) | high
        if least > self.smin:
            self.smin = least
        if most < self.smax:
            self.smax = most
        if self.s32_min >= 0 and self.smin >= S32_MIN and self.smax <= S32_MAX:
            # the upper half repeats the sign, and the sign is known
            self.smin = self.umin = self.s32_min
            self.smax = self.umax = self.s32_max
            value, mask = tnum_range(self.smin, self.smax)
            self.value, self.mask = tnum_intersect(self.value, self.mask, value, mask)

    def bits_from_bounds(self) -> None:
        value, mask = tnum_range(self.umin, self.umax)
        value, mask = tnum_intersect(self.value, self.mask, value, mask)
        low, low_mask = tnum_range(self.u32_min, self.u32_max)
        low, low_mask = tnum_intersect(value & U32_MAX, mask & U32_MAX, low, low_mask)
        self.value = (value & ~U32_MAX) | low
        self.mask = (mask & ~U32_MAX) | low_mask

    def violated(self) -> bool:
        """Do the bounds contradict each other? Then the path cannot happen; the kernel forgets the bounds."""
        if ult(self.umax, self.umin) or self.smin > self.smax:
            return True
        if self.u32_min > self.u32_max or self.s32_min > self.s32_max:
            return True
        if self.mask == 0:
            v = self.value
            if self.umin != v or self.umax != v or self.smin != v or self.smax != v:
                return True
        if (self.mask & U32_MAX) == 0:
            v = self.value & U32_MAX
            if self.u32_min != v or self.u32_max != v:
                return True
            v = s32(v)
            if self.s32_min != v or self.s32_max != v:
                return True
        return False

    def zext32(self) -> None:
        """The upper half becomes zero: what a 32-bit operation does to its result. `sync` must follow."""
        self.value &= U32_MAX
        self.mask &= U32_MAX
        self.umin, self.umax = self.u32_min, self.u32_max
        if self.s32_min >= 0:
            self.smin, self.smax = self.s32_min, self.s32_max
        else:
            self.smin, self.smax = 0, U32_MAX


# Refinements that not every 6.18.y has.
STEP_BOUNDS: Final = True
CROSSING32: Final = True


def unknown() -> RegState:
    reg = RegState(SCALAR, 0)
    reg.mask = U64_MAX
    reg.unbound()
    return reg


def scalar(value: i64) -> RegState:
    return RegState(SCALAR, value)


def pointer(type: i64) -> RegState:
    """A pointer to the beginning of something."""
    return RegState(type, 0)


def base(type: i64) -> i64:
    return type & KIND


NONE: Final = RegState(NOT_INIT, 0)
