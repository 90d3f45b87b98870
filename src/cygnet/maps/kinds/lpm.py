"""Longest-prefix-match tries. A key is a u32 prefix length and the data, most significant byte first.

Prefixes are kept as numbers in a dictionary and in the order that the kernel's walk gives them: deeper ones first, then
by their bits (trie_get_next_key, kernel/bpf/lpm_trie.c). Values lie in native memory.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, insort
from errno import EEXIST, EINVAL, ENOENT, ENOSPC

from cygnet.maps.base import ACCESS, EXIST, MAX_VALUE, NOEXIST, NUMA, UserMap
from cygnet.maps.memory import Arena, read
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

_LENGTH = struct.Struct("=I")
_MAX_DATA = 256  # bytes, LPM_DATA_SIZE_MAX


class _Node:
    """A prefix: its key as it was given, and where its value is."""

    __slots__ = ("address", "key")

    def __init__(self, key: bytes, address: int) -> None:
        self.key = key
        self.address = address


_Prefix = tuple[int, int]  # (length in bits, those bits)


class LpmTrie(UserMap):
    """BPF_MAP_TYPE_LPM_TRIE."""

    __slots__ = ("_arena", "_bits", "_keys", "_lengths", "_nodes", "_order", "_prefixes")

    allowed_flags = NUMA | ACCESS | bpf.BPF_F_NO_PREALLOC

    def _check(self) -> int:
        data = self.key_size - 4
        if not (self.flags & bpf.BPF_F_NO_PREALLOC and self.max_entries and 1 <= data <= _MAX_DATA):
            return -EINVAL
        return -EINVAL if not 1 <= self.value_size <= MAX_VALUE - _MAX_DATA - 64 else 0

    def _build(self) -> None:
        self._bits = 8 * (self.key_size - 4)
        self._arena: Arena = self.host.memory.arena(
            f"map {self.name}", item=self.value_size, writable=self.program_may_write
        )
        self._keys: Arena = self.host.memory.arena(f"keys of {self.name}", item=self.key_size, writable=False)
        self._nodes: dict[_Prefix, _Node] = {}
        self._lengths: list[int] = []  # how many prefixes of each length there are
        self._lengths.extend([0] * (self._bits + 1))
        self._order: list[tuple[int, int]] = []  # (last address covered, -length): the walk's order
        self._prefixes: dict[tuple[int, int], _Prefix] = {}

    def _demolish(self) -> None:
        self.host.memory.free(self._arena)
        self.host.memory.free(self._keys)

    def _prefix(self, key: bytes) -> _Prefix | None:
        """The prefix that a key names; None when it is longer than the data."""
        length: int = _LENGTH.unpack_from(key)[0]
        if length > self._bits:
            return None
        return length, int.from_bytes(key[4:], "big") >> self._bits - length

    def _place_of(self, prefix: _Prefix) -> tuple[int, int]:
        length, bits = prefix
        rest = self._bits - length
        return (bits << rest) | (1 << rest) - 1, -length

    def _match(self, key: bytes) -> _Node | None:
        """The longest prefix of a key."""
        prefix = self._prefix(key)
        if prefix is None:
            return None
        length, bits = prefix
        for shorter in range(length, -1, -1):
            if self._lengths[shorter]:
                found = self._nodes.get((shorter, bits >> length - shorter))
                if found is not None:
                    return found
        return None

    # ── user space ──

    def _read(self, key: bytes) -> bytes | int:
        node = self._match(key)
        return -ENOENT if node is None else self._get(node.address)

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        address, error = self._place(key, flags)
        if not error:
            self._put(address, value)
        return error

    def _place(self, key: bytes, flags: int) -> tuple[int, int]:
        prefix = self._prefix(key)
        if flags > EXIST or prefix is None:
            return 0, -EINVAL
        node = self._nodes.get(prefix)
        if node is None:
            if flags == EXIST:
                return 0, -ENOENT
            if len(self._nodes) >= self.max_entries:
                return 0, -ENOSPC
            self._nodes[prefix] = node = _Node(key, 0)
            place = self._place_of(prefix)
            insort(self._order, place)
            self._prefixes[place] = prefix
            self._lengths[prefix[0]] += 1
        elif flags == NOEXIST:
            return 0, -EEXIST
        else:
            self._release(node.address)
            self._arena.free(node.address)
        address = self._arena.alloc()  # another one: a value that was replaced stays readable
        node.key, node.address = key, address
        return address, 0

    def _remove(self, key: bytes) -> int:
        prefix = self._prefix(key)
        if prefix is None:
            return -EINVAL
        node = self._nodes.pop(prefix, None)
        if node is None:
            return -ENOENT
        place = self._place_of(prefix)
        del self._order[bisect_left(self._order, place)], self._prefixes[place]
        self._lengths[prefix[0]] -= 1
        self._release(node.address)
        self._arena.free(node.address)
        return 0

    def _next(self, key: bytes | None) -> bytes | int:
        at = 0
        prefix = self._prefix(key) if key is not None else None
        if prefix in self._nodes:
            at = bisect_left(self._order, self._place_of(prefix)) + 1
        if at >= len(self._order):
            return -ENOENT
        return self._nodes[self._prefixes[self._order[at]]].key

    # ── programs ──

    def lookup_ptr(self, key: int, cpu: int) -> int:
        node = self._match(read(key, self.key_size))
        return 0 if node is None else node.address

    def update_ptr(self, key: int, value: int, flags: int, cpu: int) -> int:
        address, error = self._place(read(key, self.key_size), flags)
        if not error:
            self._put_from(address, value)
        return error

    def delete_ptr(self, key: int, cpu: int = 0) -> int:
        return self._remove(read(key, self.key_size))
