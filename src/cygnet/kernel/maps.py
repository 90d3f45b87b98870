"""Kernel maps as bytes: create, lookup, update, delete, iterate, batches, per-CPU values, mmap.

A map keeps its own buffers for keys and values, so that an operation costs one system call and no
allocation; for that reason one KernelMap must not be used by two threads at once.
"""

from __future__ import annotations

import errno as _errno
import os
import struct

from cygnet.kernel import foreign, sys
from cygnet.uapi import bpf, layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator, Sequence
    from typing import Self

    from cygnet.errors import CygnetError
    from cygnet.kernel.objects import MapInfo
    from cygnet.spec.objects import MapSpec

PERCPU_TYPES = frozenset(
    (
        bpf.BPF_MAP_TYPE_PERCPU_HASH,
        bpf.BPF_MAP_TYPE_PERCPU_ARRAY,
        bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH,
        bpf.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
    )
)

_ELEM_FORMAT = layouts.ATTR_MAP_ELEM[0]
_ELEM_SIZE = struct.calcsize(_ELEM_FORMAT)
_KEY_ONLY_SIZE = 16  # map_fd and key: BPF_MAP_DELETE_ELEM wants the rest to be zero or absent
_LOOKUP, _UPDATE, _DELETE = bpf.BPF_MAP_LOOKUP_ELEM, bpf.BPF_MAP_UPDATE_ELEM, bpf.BPF_MAP_DELETE_ELEM
_ENOENT = -_errno.ENOENT


class KernelMap:
    """A map that lives in the kernel, owned by a file descriptor.

    A per-CPU map's value is the values of all possible CPUs joined, each padded to 8 bytes;
    `lookup_percpu` gives them one by one. `value_bytes` is the size of what one lookup gives.
    """

    __slots__ = ("_attr", "_attr_address", "_key", "_value", "fd", "flags", "key_size", "max_entries", "name", "type",
                 "value_bytes", "value_size")  # fmt: skip

    def __init__(
        self, fd: int, type: int, key_size: int, value_size: int, max_entries: int, flags: int = 0, name: str = ""
    ) -> None:
        self.fd = fd
        self.type = type
        self.key_size = key_size
        self.value_size = value_size
        self.max_entries = max_entries
        self.flags = flags
        self.name = name
        self.value_bytes = value_size
        if type in PERCPU_TYPES:
            from cygnet.kernel.cpus import possible

            self.value_bytes = (value_size + 7 & ~7) * len(possible())
        self._key = foreign.buffer(max(key_size, 1))
        self._value = foreign.buffer(max(self.value_bytes, 1))
        self._attr = bytearray(
            struct.pack(
                _ELEM_FORMAT,
                fd,
                foreign.addressof(self._key) if key_size else 0,
                foreign.addressof(self._value),
                0,
            )
        )
        self._attr_address = sys.address(self._attr)

    # ── making and finding ──

    @classmethod
    def create(
        cls,
        type: int,
        key_size: int,
        value_size: int,
        max_entries: int,
        flags: int = 0,
        name: str = "",
        *,
        btf_fd: int = 0,
        btf_key_type_id: int = 0,
        btf_value_type_id: int = 0,
        inner_map_fd: int = 0,
        map_extra: int = 0,
    ) -> Self:
        """BPF_MAP_CREATE. Sizes in bytes; `name` is cut to 15 characters and to what the kernel allows in it."""
        attr = sys.pack(
            layouts.ATTR_MAP_CREATE,
            map_type=type,
            key_size=key_size,
            value_size=value_size,
            max_entries=max_entries,
            map_flags=flags,
            map_name=object_name(name),
            btf_fd=btf_fd,
            btf_key_type_id=btf_key_type_id,
            btf_value_type_id=btf_value_type_id,
            inner_map_fd=inner_map_fd,
            map_extra=map_extra,
        )
        fd = sys.bpf_try(bpf.BPF_MAP_CREATE, attr)
        if fd == -_errno.EPERM:
            from cygnet.kernel.rlimit import raise_memlock

            if raise_memlock():
                fd = sys.bpf_try(bpf.BPF_MAP_CREATE, attr)
        if fd < 0:
            raise _create_failure(-fd, type, key_size, value_size, max_entries, name)
        return cls(fd, type, key_size, value_size, max_entries, flags, name)

    @classmethod
    def from_spec(cls, spec: MapSpec) -> Self:
        """The map that a spec describes, without its data. A map of maps is made after its inner map, which goes again."""
        shape = spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags, spec.name
        if spec.inner is not None:
            with cls.from_spec(spec.inner) as inner:
                return cls.create(*shape, inner_map_fd=inner.fd)
        if not spec.btf:
            return cls.create(*shape)
        from cygnet.kernel.btfload import KernelBtf, type_of_size

        key = type_of_size(spec.btf, spec.key_size)
        with KernelBtf.load(spec.btf) as types:
            return cls.create(
                *shape, btf_fd=types.fd, btf_key_type_id=key, btf_value_type_id=spec.value_type_id
            )  # fmt: skip

    @classmethod
    def from_fd(cls, fd: int) -> Self:
        """Take over a descriptor: closing the map closes it."""
        from cygnet.kernel.objects import map_info

        info = map_info(fd)
        return cls(fd, info.type, info.key_size, info.value_size, info.max_entries, info.flags, info.name)

    @classmethod
    def from_id(cls, map_id: int) -> Self:
        from cygnet.kernel.objects import open_id

        return cls.from_fd(open_id("map", map_id))

    @classmethod
    def from_pin(cls, path: str) -> Self:
        from cygnet.kernel.objects import open_pin

        return cls.from_fd(open_pin(path))

    # ── one element ──

    def _set_key(self, key: bytes) -> None:
        if len(key) != self.key_size:
            raise ValueError(f"a key of map {self.name!r} has {self.key_size} bytes, not {len(key)}")
        self._key.raw = key

    def lookup(self, key: bytes) -> bytes | None:
        """The value's bytes, or None when there is no such key."""
        self._set_key(key)
        result = sys.bpf_raw(_LOOKUP, self._attr_address, _ELEM_SIZE)
        if result < 0:
            if result == _ENOENT:
                return None
            raise self._failure(-result, "look up a key in")
        value: bytes = self._value.raw
        return value[: self.value_bytes]

    def lookup_percpu(self, key: bytes) -> list[bytes] | None:
        """The value on each possible CPU, in the order of cpus.possible(), or None."""
        value = self.lookup(key)
        return None if value is None else self.split_percpu(value)

    def split_percpu(self, value: bytes) -> list[bytes]:
        """The parts of a per-CPU value, without their padding."""
        stride = self.value_size + 7 & ~7
        return [value[at : at + self.value_size] for at in range(0, len(value), stride)]

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Set a value. KeyExists with BPF_NOEXIST, KeyMissing with BPF_EXIST, MapFull when there is no room."""
        self._set_key(key)
        if len(value) != self.value_bytes:
            raise ValueError(f"a value of map {self.name!r} has {self.value_bytes} bytes, not {len(value)}")
        self._value.raw = value
        struct.pack_into("=Q", self._attr, _ELEM_SIZE - 8, flags)
        result = sys.bpf_raw(_UPDATE, self._attr_address, _ELEM_SIZE)
        struct.pack_into("=Q", self._attr, _ELEM_SIZE - 8, 0)
        if result < 0:
            raise self._failure(-result, "update")

    def update_percpu(self, key: bytes, values: Sequence[bytes], flags: int = 0) -> None:
        """Set the value of each possible CPU."""
        self.update(key, b"".join(v.ljust(self.value_size + 7 & ~7, b"\0") for v in values), flags)

    def delete(self, key: bytes) -> bool:
        """Delete a key; False when it was not there."""
        self._set_key(key)
        result = sys.bpf_raw(_DELETE, self._attr_address, _KEY_ONLY_SIZE)
        if result < 0 and result != _ENOENT:
            raise self._failure(-result, "delete from")
        return result >= 0

    def lookup_and_delete(self, key: bytes = b"") -> bytes | None:
        """Take a value out. Queues and stacks have no key."""
        self._set_key(key)
        result = sys.bpf_raw(bpf.BPF_MAP_LOOKUP_AND_DELETE_ELEM, self._attr_address, _ELEM_SIZE)
        if result < 0 and result != _ENOENT:
            raise self._failure(-result, "take from")
        return self._value.raw[: self.value_bytes] if result >= 0 else None

    def push(self, value: bytes) -> None:
        """Put a value into a queue, a stack or a bloom filter."""
        self.update(b"", value)

    def pop(self) -> bytes | None:
        """Take the next value of a queue or a stack; None when it is empty."""
        return self.lookup_and_delete()

    # ── all elements ──

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """The key after `key`, or the first one; None at the end. An unknown key starts over."""
        out = foreign.buffer(self.key_size)
        address = 0
        if key is not None:
            self._set_key(key)
            address = foreign.addressof(self._key)
        attr = sys.pack(layouts.ATTR_MAP_ELEM, map_fd=self.fd, key=address, value=foreign.addressof(out))
        result = sys.bpf_try(bpf.BPF_MAP_GET_NEXT_KEY, attr)
        if result < 0 and result != _ENOENT:
            raise self._failure(-result, "iterate over")
        return out.raw if result >= 0 else None

    def keys(self) -> Iterator[bytes]:
        """Every key. Keys deleted meanwhile make the kernel start over: each key is given once all the same."""
        seen: set[bytes] = set()
        key = self.next_key()
        while key is not None and key not in seen:
            seen.add(key)
            yield key
            key = self.next_key(key)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value), in batches where the map type has them. Not a snapshot: the map may change."""
        count, keys, values = self.dump()
        k, v = self.key_size, self.value_bytes
        return ((keys[i * k : i * k + k], values[i * v : i * v + v]) for i in range(count))

    def dump(self, delete: bool = False) -> tuple[int, bytes, bytes]:
        """(count, all keys joined, all values joined), read in as few system calls as possible.

        With `delete`, what was read is removed in the same step (hash maps only), so that an update
        between reading and removing is not lost.
        """
        from cygnet.kernel.batch import dump

        return dump(self, delete)

    def update_batch(self, keys: bytes, values: bytes, flags: int = 0) -> int:
        """Set many values; gives how many."""
        from cygnet.kernel.batch import write

        return write(self, bpf.BPF_MAP_UPDATE_BATCH, keys, values, flags)

    def delete_batch(self, keys: bytes) -> int:
        """Delete many keys; gives how many. A missing key is KeyMissing, after those before it are gone."""
        from cygnet.kernel.batch import write

        return write(self, bpf.BPF_MAP_DELETE_BATCH, keys, b"", 0)

    def clear(self) -> None:
        """Delete every key; arrays are set to zero."""
        from cygnet.kernel.batch import clear

        clear(self)

    # ── the rest ──

    def freeze(self) -> None:
        """Let no system call write to it any more; programs still may."""
        attr = sys.pack(layouts.ATTR_MAP_ELEM, map_fd=self.fd)
        sys.bpf(bpf.BPF_MAP_FREEZE, attr, f"freeze map {self.name!r}")

    def mmap(self, writable: bool = True) -> mmap.mmap:
        """The values of an array made with BPF_F_MMAPABLE, as memory shared with the programs."""
        import mmap

        length = (self.value_size + 7 & ~7) * self.max_entries
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        try:
            return mmap.mmap(self.fd, -(-length // mmap.PAGESIZE) * mmap.PAGESIZE, mmap.MAP_SHARED, prot)
        except OSError as error:
            raise sys.failure(error.errno or 0, f"map the memory of map {self.name!r}", "mmap") from error

    def info(self) -> MapInfo:
        from cygnet.kernel.objects import map_info

        return map_info(self.fd)

    @property
    def id(self) -> int:
        return self.info().id

    def pin(self, path: str) -> None:
        from cygnet.kernel.objects import pin

        pin(self.fd, path)

    def close(self) -> None:
        """Give the descriptor back; the map goes with its last user. May be called twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<KernelMap {self.name!r} fd={self.fd} type={self.type} {self.key_size}:{self.value_size}>"

    def _failure(self, errno: int, verb: str) -> CygnetError:
        return map_failure(errno, f"{verb} map {self.name!r}", self)


def map_failure(errno: int, what: str, store: KernelMap) -> CygnetError:
    """MapError's children for the errnos that speak of keys and room; otherwise sys.failure()."""
    from cygnet import errors

    if errno == _errno.ENOENT:
        return errors.KeyMissing(f"cannot {what}: no such key")
    if errno == _errno.EEXIST:
        return errors.KeyExists(f"cannot {what}: the key exists")
    if errno in (_errno.E2BIG, _errno.ENOSPC):
        return errors.MapFull(f"cannot {what}: it is full ({store.max_entries} entries)")
    return sys.failure(errno, what, "bpf")


def _create_failure(errno: int, type: int, key_size: int, value_size: int, max_entries: int, name: str) -> CygnetError:
    shown = f"@{name[3:]}" if name.startswith("at_") else repr(name)  # as the tracing language calls it
    what = (
        f"create map {shown} (type {type}, key of {key_size} bytes, value of {value_size} bytes, {max_entries} entries)"
    )
    if errno == _errno.EINVAL:
        from cygnet.kernel.features import has_map_type

        if not has_map_type(type):
            from cygnet.errors import NotSupported

            return NotSupported(f"map type {type}", "a newer kernel", call="bpf", errno=errno)
    error = sys.failure(errno, what, "bpf")
    if errno in (_errno.ENOMEM, _errno.E2BIG) and max_entries > 1:
        error.hints = (*error.hints, "fewer entries need less memory: config max_map_keys, or `let @m = hash(N);`")
    return error


def object_name(name: str) -> bytes:
    """A name as the kernel takes it: at most 15 of letters, digits, `_` and `.` (kernel/bpf/syscall.c)."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name)[:15].encode()
