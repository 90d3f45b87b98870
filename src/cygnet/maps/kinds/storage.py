"""Storage that hangs on a socket, a task, an inode or a cgroup, and goes with it.

In user space a key is the owner's descriptor (`MapHost.add("socket", …)`); a program names the owner, and its
helper finds the descriptor. The older cgroup storage has the cgroup's id as its key, and is there from when a
program is attached to the cgroup.
"""

from __future__ import annotations

import struct
from errno import E2BIG, EBADF, EEXIST, EINVAL, ENOENT, ENOTSOCK

from cygnet.maps import header
from cygnet.maps.base import ACCESS, EXIST, LOCK, MAX_PERCPU_VALUE, NOEXIST, NUMA, UserMap, check_update_flags, round8
from cygnet.maps.memory import Arena
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

_U32 = struct.Struct("=I")
_MAX_STORAGE = 0xFFFF - 128  # bytes: BPF_LOCAL_STORAGE_MAX_VALUE_SIZE, less what the kernel puts before


class _Storage(UserMap):
    """One value for an owner."""

    __slots__ = ("_arena", "_values")

    allowed_flags = bpf.BPF_F_NO_PREALLOC | bpf.BPF_F_CLONE
    OWNER: ClassVar[str] = ""
    WRONG_OWNER: ClassVar[int] = EBADF

    def _check(self) -> int:
        if not self.flags & bpf.BPF_F_NO_PREALLOC or self.max_entries or self.key_size != 4 or not self.value_size:
            return -EINVAL
        return -E2BIG if self.value_size > _MAX_STORAGE else 0

    def _build(self) -> None:
        self._arena: Arena = self.host.memory.arena(f"map {self.name}", item=self.value_size)
        self._values: dict[int, int] = {}  # owner → address

    def _demolish(self) -> None:
        self.host.memory.free(self._arena)

    def forget(self, owner: int) -> None:
        """The owner is gone, and its value with it."""
        address = self._values.pop(owner, 0)
        if address:
            self._release(address)
            self._arena.free(address)

    def owners(self) -> list[int]:
        return list(self._values)

    # ── user space ──

    def _owner(self, key: bytes) -> int:
        number: int = _U32.unpack(key)[0]
        thing = self.host.thing(number, self.OWNER, self.WRONG_OWNER)
        return thing if isinstance(thing, int) else number

    def _read(self, key: bytes) -> bytes | int:
        owner = self._owner(key)
        if owner < 0:
            return owner
        address = self._values.get(owner)
        return -ENOENT if address is None else self._get(address)

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        owner = self._owner(key)
        if owner < 0:
            return owner
        error = self._check_place(owner, flags)
        if not error:
            self._put(self._place(owner, flags), value)
        return error

    def _check_place(self, owner: int, flags: int) -> int:
        error = check_update_flags(flags, self.lock_at is not None)
        if error:
            return error
        if owner in self._values:
            return -EEXIST if flags & ~LOCK == NOEXIST else 0
        return -ENOENT if flags & ~LOCK == EXIST else 0

    def _place(self, owner: int, flags: int) -> int:
        """Where a new value goes: a replaced one stays readable, but for a locked update, which is in place."""
        if owner in self._values and flags & LOCK:
            return self._values[owner]
        self.forget(owner)
        address = self._values[owner] = self._arena.alloc()
        return address

    def _remove(self, key: bytes) -> int:
        owner = self._owner(key)
        return owner if owner < 0 else self.delete_of(owner)

    # ── programs ──

    def storage_ptr(self, owner: int, value: int, flags: int) -> int:
        """bpf_*_storage_get: the address of an owner's value; made with BPF_LOCAL_STORAGE_GET_F_CREATE; else 0.

        `value` is the address of what a new one begins with, 0 for zeros.
        """
        if flags & ~1:
            return 0
        address = self._values.get(owner, 0)
        if not address and flags:
            address = self._place(owner, 0)
            if value:
                self._put_from(address, value)
        return address

    def delete_of(self, owner: int) -> int:
        """bpf_*_storage_delete: 0, or -ENOENT."""
        if owner not in self._values:
            return -ENOENT
        self.forget(owner)
        return 0


class SocketStorage(_Storage):
    """BPF_MAP_TYPE_SK_STORAGE."""

    __slots__ = ()
    OWNER = "socket"
    WRONG_OWNER = ENOTSOCK


class TaskStorage(_Storage):
    """BPF_MAP_TYPE_TASK_STORAGE."""

    __slots__ = ()
    OWNER = "task"


class InodeStorage(_Storage):
    """BPF_MAP_TYPE_INODE_STORAGE."""

    __slots__ = ()
    OWNER = "inode"


class CgroupStorage(_Storage):
    """BPF_MAP_TYPE_CGRP_STORAGE."""

    __slots__ = ()
    OWNER = "cgroup"


class AttachedCgroupStorage(UserMap):
    """BPF_MAP_TYPE_CGROUP_STORAGE: a value for a cgroup that a program is attached to (`attach`).

    A key is {u64 cgroup id, u32 attach type}, or the id alone.
    """

    __slots__ = ("_arena", "_stride", "_values")

    allowed_flags = NUMA | ACCESS

    def _check(self) -> int:
        if self.key_size not in (8, 16) or not self.value_size or self.max_entries:
            return -EINVAL
        limit = MAX_PERCPU_VALUE if self.percpu else _MAX_STORAGE
        return -E2BIG if self.value_size > limit else 0

    def _build(self) -> None:
        self._stride = round8(self.value_size) if self.percpu else 0
        size = self._stride * self.cpus if self.percpu else self.value_size
        self._arena: Arena = self.host.memory.arena(f"map {self.name}", item=size, writable=self.program_may_write)
        self._values: dict[bytes, int] = {}
        self._set(header.CPU_STRIDE, self._stride)

    def _demolish(self) -> None:
        self.host.memory.free(self._arena)

    def _key(self, key: bytes) -> bytes:
        return key[:12]  # the rest is padding

    def attach(self, cgroup_id: int, attach_type: int = 0) -> int:
        """A program that uses the map is attached to a cgroup: its value is there from now on; the address."""
        key = struct.pack("=QI", cgroup_id, attach_type)[: min(self.key_size, 12)]
        if key not in self._values:
            self._values[key] = self._arena.alloc()
        return self._values[key]

    def detach(self, cgroup_id: int, attach_type: int = 0) -> None:
        address = self._values.pop(struct.pack("=QI", cgroup_id, attach_type)[: min(self.key_size, 12)], 0)
        if address:
            self._arena.free(address)

    def local_ptr(self, cgroup_id: int, attach_type: int, cpu: int) -> int:
        """bpf_get_local_storage for the program that runs: never 0."""
        return self.attach(cgroup_id, attach_type) + cpu * self._stride

    def _read(self, key: bytes) -> bytes | int:
        address = self._values.get(self._key(key))
        if address is None:
            return -ENOENT
        return self._gather(address, self._stride) if self.percpu else self._get(address)

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        if flags & ~(EXIST if self.percpu else EXIST | LOCK):
            return -EINVAL
        address = self._values.get(self._key(key))
        if address is None:
            return -ENOENT
        if self.percpu:
            self._scatter(address, self._stride, value)
        else:
            self._put(address, value)
        return 0

    def _remove(self, key: bytes) -> int:
        return -EINVAL

    def _next(self, key: bytes | None) -> bytes | int:
        keys = list(self._values)
        at = 0
        if key is not None:
            if self._key(key) not in self._values:
                return -ENOENT
            at = keys.index(self._key(key)) + 1
        return keys[at].ljust(self.key_size, b"\0") if at < len(keys) else -ENOENT


class PercpuCgroupStorage(AttachedCgroupStorage):
    """BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE."""

    __slots__ = ()
    PERCPU = True
