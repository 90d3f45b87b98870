"""LRU hash maps: a new key takes the place of one that no program used lately.

Which one goes is approximate here as in the kernel, though by a simpler rule, the clock: a hand goes around the
entries; one that was used since the hand last passed is spared once, the next that was not goes.
Only programs' lookups and updates count as use (htab_lru_map_lookup_elem_sys, kernel/bpf/hashtab.c).
With BPF_F_NO_COMMON_LRU each CPU has entries and a hand of its own.
"""

from __future__ import annotations

from errno import EINVAL

from cygnet.maps import header
from cygnet.maps.base import ACCESS, ANY, EXIST, NUMA
from cygnet.maps.failures import ENOTSUPP
from cygnet.maps.kinds.hash import Hash, PercpuHash, divide
from cygnet.maps.memory import Mapping, load64, read, store64
from cygnet.uapi import bpf

_KEY_AT = 8
_USED_AT = -8
_FLAGS = ACCESS | bpf.BPF_F_NO_COMMON_LRU | bpf.BPF_F_NO_PREALLOC | bpf.BPF_F_ZERO_SEED


class _Lru(Hash):
    """What both kinds have in common."""

    __slots__ = ()

    LRU = True

    def _check(self) -> int:
        if self.flags & bpf.BPF_F_NO_PREALLOC:
            return -ENOTSUPP
        if self.flags & bpf.BPF_F_NO_COMMON_LRU:
            if self.flags & NUMA:
                return -EINVAL
            # as many for each CPU (htab_map_alloc, kernel/bpf/hashtab.c)
            self.max_entries = -(-self.max_entries // self.cpus) * self.cpus
        return super()._check()

    def _claim(self, cpu: int) -> int:
        entry = super()._claim(cpu)
        if entry:
            store64(entry + _USED_AT, 0)
            return entry
        self._evict(self.shares[cpu % len(self.shares)])
        return super()._claim(cpu)

    def _evict(self, share: int) -> None:
        first, end = load64(share + header.FIRST), load64(share + header.END)
        entry = load64(share + header.HAND)
        while load64(entry + _USED_AT):
            store64(entry + _USED_AT, 0)
            entry = self._after(entry, first, end)
        store64(share + header.HAND, self._after(entry, first, end))
        self._unlink(*self._find(read(entry + _KEY_AT, self.key_size)))

    def _after(self, entry: int, first: int, end: int) -> int:
        return first if entry + self._stride == end else entry + self._stride

    def _touch(self, key: int) -> int:
        """A program uses the entry of the key at an address."""
        entry = self._find(read(key, self.key_size))[0]
        if entry:
            store64(entry + _USED_AT, 1)
        return entry

    def lookup_ptr(self, key: int, cpu: int) -> int:
        entry = self._touch(key)
        return self._value_of(entry, cpu) if entry else 0

    def update_ptr(self, key: int, value: int, flags: int, cpu: int) -> int:
        if flags in (ANY, EXIST):
            self._touch(key)
        return super().update_ptr(key, value, flags, cpu)

    def _replace(self, entry: int, link: int) -> int:
        """In place: the spare entry would belong to no CPU's share."""
        self._release(entry + self._value_at)
        self._clean(entry + self._value_at)
        return entry

    def machine_code(self) -> dict[str, tuple[str, ...]]:
        code = super().machine_code()
        return code if len(self.shares) == 1 else {"lookup": code["lookup"]}

    # ── shares ──

    def _build(self) -> None:
        super()._build()
        if self.flags & bpf.BPF_F_NO_COMMON_LRU:
            self._share_words = Mapping(header.SIZE * self.cpus)
            self.shares = [self._share_words.address + header.SIZE * cpu for cpu in range(self.cpus)]
            each = self.max_entries // self.cpus * self._stride
            for cpu, share in enumerate(self.shares):
                divide(share, self._first + cpu * each, self._first + (cpu + 1) * each)
            self._set(header.SHARES, self._share_words.address)
            self._set(header.SHARE_STRIDE, header.SIZE)

    def _share_of(self, entry: int) -> int:
        each = self.max_entries // len(self.shares) * self._stride
        return self.shares[(entry - self._first) // each]

    def _demolish(self) -> None:
        super()._demolish()
        if self.flags & bpf.BPF_F_NO_COMMON_LRU:
            self._share_words.close()


class LruHash(_Lru):
    """BPF_MAP_TYPE_LRU_HASH."""

    __slots__ = ()

    allowed_flags = NUMA | _FLAGS
    MACHINE_CODE = {
        "lookup": ("hash_find", "lru_value"),
        "update": ("hash_seek", "lru_in_place", "hash_insert", "lru_claim", "copy_key", "copy_value"),
        "delete": ("hash_seek", "hash_delete"),
    }


class LruPercpuHash(_Lru, PercpuHash):
    """BPF_MAP_TYPE_LRU_PERCPU_HASH."""

    __slots__ = ()

    allowed_flags = _FLAGS
    MACHINE_CODE = {"lookup": ("hash_find", "lru_percpu_value")}
