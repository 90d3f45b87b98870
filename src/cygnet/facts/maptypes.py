"""Map types: what keys and values they take, what can be done with them, and who implements them.

Rules are Linux 6.18's: what BPF_MAP_CREATE accepts (a test creates each one and tries), and which
commands a map answers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Key rules:    any · none (0 bytes) · u32 (4) · lpm (4-byte prefix length and 1 to 256 bytes) · id
#               (of what the storage hangs on: 4-byte fd or pid) · cgroup (8-byte id, or with attach type)
# Value rules:  any · none · u32 (4: an fd, or nothing to see) · u32or8 (4 or 8) · dev and cpu (4, or 8 with
#               a program) · stack (a multiple of 8, or of 32 for build ids) · sock (4, or 8 for cookies) ·
#               struct (described by BTF)
# Entries:      any (at least 1) · zero · pages (a power of two of pages, in bytes)
# Operations:   l lookup · u update · d delete · n next key · b batch · p push, pop and peek from user space ·
#               i lookup and delete at once · m mmap
# Flags:        percpu · btf (key and value types are required) · no_prealloc (that flag is required)

# fmt: off
# number, name, key, value, entries, operations, flags, since, class in cygnet.maps.kinds or kernel_only
_MAP_TYPES: Final = (
    (1, "hash", "any", "any", "any", "ludnbi", "", "3.19", "hash.Hash"),
    (2, "array", "u32", "any", "any", "lunbm", "", "3.19", "array.Array"),
    (3, "prog_array", "u32", "u32", "any", "ludn", "", "4.2", "fds.ProgArray"),
    (4, "perf_event_array", "u32", "u32", "any", "udn", "", "4.3", "events.PerfEventArray"),
    (5, "percpu_hash", "any", "any", "any", "ludnbi", "percpu", "4.6", "hash.PercpuHash"),
    (6, "percpu_array", "u32", "any", "any", "lunb", "percpu", "4.6", "array.PercpuArray"),
    (7, "stack_trace", "u32", "stack", "any", "ldni", "", "4.6", "stacks.StackTrace"),
    (8, "cgroup_array", "u32", "u32", "any", "udn", "", "4.8", "kernel_only"),
    (9, "lru_hash", "any", "any", "any", "ludnbi", "", "4.10", "lru.LruHash"),
    (10, "lru_percpu_hash", "any", "any", "any", "ludnbi", "percpu", "4.10", "lru.LruPercpuHash"),
    (11, "lpm_trie", "lpm", "any", "any", "ludnb", "no_prealloc", "4.11", "lpm.LpmTrie"),
    (12, "array_of_maps", "u32", "u32", "any", "ludnb", "", "4.12", "fds.ArrayOfMaps"),
    (13, "hash_of_maps", "any", "u32", "any", "ludnb", "", "4.12", "fds.HashOfMaps"),
    (14, "devmap", "u32", "dev", "any", "ludn", "", "4.14", "redirect.DevMap"),
    (15, "sockmap", "u32", "sock", "any", "ludn", "", "4.14", "redirect.SockMap"),
    (16, "cpumap", "u32", "cpu", "any", "ludn", "", "4.15", "redirect.CpuMap"),
    (17, "xskmap", "u32", "u32", "any", "udn", "", "4.18", "redirect.XskMap"),
    (18, "sockhash", "any", "sock", "any", "ludn", "", "4.18", "redirect.SockHash"),
    (19, "cgroup_storage", "cgroup", "any", "zero", "lun", "", "4.19", "storage.AttachedCgroupStorage"),
    (20, "reuseport_sockarray", "u32", "u32or8", "any", "ludn", "", "4.19", "kernel_only"),
    (21, "percpu_cgroup_storage", "cgroup", "any", "zero", "lun", "percpu", "4.20", "storage.PercpuCgroupStorage"),
    (22, "queue", "none", "any", "any", "pi", "", "4.20", "queue.Queue"),
    (23, "stack", "none", "any", "any", "pi", "", "4.20", "queue.Stack"),
    (24, "sk_storage", "id", "any", "zero", "lud", "btf no_prealloc", "5.2", "storage.SocketStorage"),
    (25, "devmap_hash", "u32", "dev", "any", "ludn", "", "5.4", "redirect.DevMapHash"),
    (26, "struct_ops", "u32", "struct", "any", "lud", "btf", "5.6", "kernel_only"),
    (27, "ringbuf", "none", "none", "pages", "m", "", "5.8", "ringbuf.RingBuf"),
    (28, "inode_storage", "id", "any", "zero", "lud", "btf no_prealloc", "5.10", "storage.InodeStorage"),
    (29, "task_storage", "id", "any", "zero", "lud", "btf no_prealloc", "5.11", "storage.TaskStorage"),
    (30, "bloom_filter", "none", "any", "any", "p", "", "5.16", "bloom.BloomFilter"),
    (31, "user_ringbuf", "none", "none", "pages", "m", "", "6.1", "ringbuf.UserRingBuf"),
    (32, "cgrp_storage", "id", "any", "zero", "lud", "btf no_prealloc", "6.2", "storage.CgroupStorage"),
    (33, "arena", "none", "none", "any", "m", "", "6.9", "kernel_only"),
)
# fmt: on


class MapType:
    """One row.

    `operations` are letters (see the table's head); `vm` names the class that implements the type in
    user space, is ``kernel_only``, or None while there is none yet.
    """

    __slots__ = ("entries", "flags", "id", "key", "name", "operations", "since", "value", "vm")

    def __init__(self, row: tuple[int, str, str, str, str, str, str, str, str]) -> None:
        self.id, self.name, self.key, self.value, self.entries, operations, flags, self.since, vm = row
        self.operations = frozenset(operations)
        self.flags = frozenset(flags.split())
        self.vm: str | None = vm or None

    def __repr__(self) -> str:
        return f"<MapType {self.name} {self.id}>"

    @property
    def percpu(self) -> bool:
        """Each CPU has a value of its own."""
        return "percpu" in self.flags


_made: dict[str, MapType] = {}


def map_type(which: int | str) -> MapType:
    """A row by number, or by name in either case, with or without BPF_MAP_TYPE_. Raises KeyError."""
    if not _made:
        _made.update((row[1], MapType(row)) for row in _MAP_TYPES)
    if isinstance(which, str):
        return _made[which.removeprefix("BPF_MAP_TYPE_").lower()]
    if not 1 <= which <= len(_MAP_TYPES):
        raise KeyError(which)
    return _made[_MAP_TYPES[which - 1][1]]


def map_types() -> list[MapType]:
    return [map_type(row[0]) for row in _MAP_TYPES]
