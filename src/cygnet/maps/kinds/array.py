"""Arrays, shared or one for each CPU: values side by side in native memory, 8-byte aligned, never deleted."""

from __future__ import annotations

import struct
import weakref
from errno import E2BIG, EACCES, EEXIST, EINVAL, ENOENT, EPERM

from cygnet.maps import header
from cygnet.maps.base import ACCESS, EXIST, LOCK, MAX_PERCPU_VALUE, NOEXIST, NUMA, UserMap, check_update_flags, round8
from cygnet.maps.failures import ENOTSUPP
from cygnet.maps.memory import PAGE, Mapping, load32, view
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY = struct.Struct("=I")
_MAX_VALUE = (1 << 31) - 1


def check_index_key(key_size: int, value_size: int, max_entries: int) -> int:
    """What every map whose keys are indexes wants (array_map_alloc_check, kernel/bpf/arraymap.c)."""
    if key_size != 4 or not value_size or not max_entries:
        return -EINVAL
    return -E2BIG if value_size > _MAX_VALUE else 0


def next_index(key: bytes | None, max_entries: int) -> bytes | int:
    """The index after `key`; an unknown one starts over (array_map_get_next_key)."""
    index = _KEY.unpack(key)[0] if key is not None else max_entries
    if index >= max_entries:
        return _KEY.pack(0)
    return -ENOENT if index == max_entries - 1 else _KEY.pack(index + 1)


class Array(UserMap):
    """BPF_MAP_TYPE_ARRAY."""

    __slots__ = ("_cpu_stride", "_mapping", "_region", "_stride", "data")

    allowed_flags = NUMA | ACCESS | bpf.BPF_F_MMAPABLE | bpf.BPF_F_INNER_MAP
    MACHINE_CODE = {"lookup": ("array_lookup",), "update": ("array_place", "copy_value")}

    def _check(self) -> int:
        return check_index_key(self.key_size, self.value_size, self.max_entries)

    def _build(self) -> None:
        self._stride = round8(self.value_size)
        size = self._stride * self.max_entries
        copies = self.cpus if self.percpu else 1
        self._cpu_stride = size if self.percpu else 0
        self._mapping = Mapping(size * copies)
        self.data = self._mapping.address
        self._region = self.host.memory.regions.add(
            self.data, size * copies, writable=self.program_may_write, name=f"map {self.name}",
            item=self.value_size, stride=self._stride,
        )  # fmt: skip
        self._set(header.DATA, self.data)
        self._set(header.STRIDE, self._stride)
        self._set(header.CPU_STRIDE, self._cpu_stride)

    def _demolish(self) -> None:
        self.host.memory.regions.remove(self._region)
        for index in range(self.max_entries if self.fields else 0):
            self._release(self.data + index * self._stride)
        self._mapping.close()

    def address(self, index: int) -> int:
        """Where the value of an index lies; of a per-CPU array, CPU 0's. Direct loads of a value begin here."""
        return self.data + index * self._stride

    # ── user space ──

    def _read(self, key: bytes) -> bytes | int:
        index = _KEY.unpack(key)[0]
        return -ENOENT if index >= self.max_entries else self._get(self.address(index))

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        index = _KEY.unpack(key)[0]
        error = self._check_update(index, flags)
        if not error:
            self._put(self.address(index), value)
            self._release(self.address(index))
        return error

    def _check_update(self, index: int, flags: int) -> int:
        error = check_update_flags(flags, True)
        if error:
            return error
        if index >= self.max_entries:
            return -E2BIG
        if flags & NOEXIST:
            return -EEXIST
        return -EINVAL if flags & LOCK and self.lock_at is None else 0

    def _remove(self, key: bytes) -> int:
        return -EINVAL

    def _next(self, key: bytes | None) -> bytes | int:
        return next_index(key, self.max_entries)

    def dump(self, delete: bool = False) -> tuple[int, bytes, bytes]:
        self._may("read", write=False, read=True)
        if delete:
            self._fail(ENOTSUPP, "take from")
        count = self.max_entries
        keys = struct.pack(f"={count}I", *range(count))
        if self.percpu or self.fields or self._stride != self.value_size:
            values = b"".join(self._value(index) for index in range(count))
        else:
            values = bytes(view(self.data, count * self._stride))
        return count, keys, values

    def _value(self, index: int) -> bytes:
        return self._get(self.address(index))

    def clear(self) -> None:
        zero = bytes(self.value_bytes)
        for index in range(self.max_entries):
            self.update(_KEY.pack(index), zero)

    def mmap(self, writable: bool = True) -> memoryview:
        """The memory of the values, 8-byte aligned, in whole pages.

        A writable one must be released before the map can be frozen; a frozen map gives only read-only ones.
        """
        error = self._mmap_error(writable)
        if error:
            self._fail(error, "map the memory of")
        size = -(-self._stride * self.max_entries // PAGE) * PAGE
        memory = view(self.data, size)
        if not writable:
            return memory.toreadonly()
        self.writable_mappings += 1
        weakref.finalize(memory, self._unmapped)
        return memory

    def _mmap_error(self, writable: bool) -> int:
        """array_map_mmap and bpf_map_mmap (kernel/bpf), and what mmap(2) asks of a descriptor that only reads or writes."""
        if self.percpu:
            return ENOTSUPP
        if self.flags & bpf.BPF_F_WRONLY or (writable and self.flags & bpf.BPF_F_RDONLY):
            return EACCES
        if not self.flags & bpf.BPF_F_MMAPABLE or self.flags & bpf.BPF_F_RDONLY:
            return EINVAL
        if writable and self.frozen:
            return EPERM
        return EACCES if writable and self.flags & bpf.BPF_F_RDONLY_PROG else 0

    def _unmapped(self) -> None:
        self.writable_mappings -= 1

    # ── programs ──

    def lookup_ptr(self, key: int, cpu: int) -> int:
        index = load32(key)
        return 0 if index >= self.max_entries else self.data + index * self._stride + cpu * self._cpu_stride

    def update_ptr(self, key: int, value: int, flags: int, cpu: int) -> int:
        index = load32(key)
        error = self._check_update(index, flags)
        if not error:
            at = self.data + index * self._stride + cpu * self._cpu_stride
            self._put_from(at, value)
            self._release(at)
        return error

    def delete_ptr(self, key: int, cpu: int = 0) -> int:
        return -EINVAL

    def each_ptr(self, cpu: int) -> Iterator[tuple[int, int]]:
        key = Mapping(4)
        try:
            for index in range(self.max_entries):
                _KEY.pack_into(view(key.address, 4), 0, index)
                yield key.address, self.data + index * self._stride + cpu * self._cpu_stride
        finally:
            key.close()


class PercpuArray(Array):
    """BPF_MAP_TYPE_PERCPU_ARRAY."""

    __slots__ = ()

    PERCPU = True
    allowed_flags = ACCESS
    MACHINE_CODE = {"lookup": ("percpu_array_lookup",), "update": ("array_place", "copy_value")}

    def _check(self) -> int:
        error = super()._check()
        return error or (-E2BIG if round8(self.value_size) > MAX_PERCPU_VALUE else 0)

    def _read(self, key: bytes) -> bytes | int:
        index = _KEY.unpack(key)[0]
        return -ENOENT if index >= self.max_entries else self._value(index)

    def _value(self, index: int) -> bytes:
        return self._gather(self.address(index), self._cpu_stride)

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        index = _KEY.unpack(key)[0]
        if flags > EXIST:
            return -EINVAL
        if index >= self.max_entries:
            return -E2BIG
        if flags == NOEXIST:
            return -EEXIST
        self._scatter(self.address(index), self._cpu_stride, value)
        return 0
