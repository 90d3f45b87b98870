"""Bloom filters: was this value pushed? Surely not, or perhaps (kernel/bpf/bloom_filter.c).

The hash functions are the kernel's with a seed of 0, so a filter answers as one of the kernel's does that was made
with BPF_F_ZERO_SEED, false positives included.
"""

from __future__ import annotations

from errno import EINVAL, ENOENT, EOPNOTSUPP

from cygnet.maps.base import ACCESS, NUMA, UserMap
from cygnet.maps.kinds.jhash import jhash
from cygnet.maps.memory import Mapping, load8, read, store8
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HASHES = 5  # when map_extra does not say
_MOST_BITS = 1 << 31


class BloomFilter(UserMap):
    """BPF_MAP_TYPE_BLOOM_FILTER. The low four bits of `map_extra` are how many hash functions; 0 means five."""

    __slots__ = ("_bits", "_hashes", "_mask")

    allowed_flags = NUMA | ACCESS | bpf.BPF_F_ZERO_SEED

    def _check(self) -> int:
        if self.key_size or not (self.value_size and self.max_entries) or self.map_extra & ~15:
            return -EINVAL
        return 0

    def _build(self) -> None:
        self._hashes = self.map_extra & 15 or _HASHES
        # entries * hashes / ln 2, with 7/5 for 1 / ln 2; what does not fit 32 bits is the largest filter
        product = self.max_entries * self._hashes
        wanted = product // 5 * 7 if product < 1 << 32 else 1 << 32
        bits = max(64, 1 << (wanted - 1).bit_length()) if wanted <= _MOST_BITS else 1 << 32
        self._mask = bits - 1
        self._bits = Mapping(bits // 8)

    def _demolish(self) -> None:
        self._bits.close()

    def _places(self, value: bytes) -> Iterator[int]:
        return (jhash(value, index) & self._mask for index in range(self._hashes))

    def _push(self, value: bytes, flags: int) -> int:
        if flags:
            return -EINVAL
        for place in self._places(value):
            at = self._bits.address + (place >> 3)
            store8(at, load8(at) | 1 << (place & 7))
        return 0

    def has(self, value: bytes) -> bool:
        """False: it was never pushed; True: it may have been. Raises ValueError for a value of another size."""
        self._check_value(value)
        bits = self._bits.address
        return all(load8(bits + (place >> 3)) >> (place & 7) & 1 for place in self._places(value))

    # ── user space ──

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        return self._push(value, flags)

    def _read(self, key: bytes) -> bytes | int:
        return -EINVAL  # bpf(2) takes the value that is asked for in the buffer of the answer: `has`

    def _remove(self, key: bytes) -> int:
        return -EOPNOTSUPP

    def _next(self, key: bytes | None) -> bytes | int:
        return -EOPNOTSUPP

    # ── programs ──

    def push_ptr(self, value: int, flags: int) -> int:
        return self._push(read(value, self.value_size), flags)

    def peek_ptr(self, value: int) -> int:
        """0 when the value at the address may have been pushed, else -ENOENT."""
        return 0 if self.has(read(value, self.value_size)) else -ENOENT
