"""Where packets are sent: interfaces, CPUs, AF_XDP sockets and sockets, by index or key.

Nothing is sent here: `target` tells the helpers that record a verdict where it would have gone.
"""

from __future__ import annotations

import struct
from errno import E2BIG, EEXIST, EINVAL, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOTSOCK, EOPNOTSUPP, EOVERFLOW

from cygnet.maps.base import EXIST, NOEXIST, NUMA, UserMap
from cygnet.maps.kinds.array import next_index
from cygnet.maps.memory import Arena, read, write
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
_RW = bpf.BPF_F_RDONLY | bpf.BPF_F_WRONLY
_MAX_QUEUE = 16384  # packets, cpu_map_update_elem (kernel/bpf/cpumap.c)
_MAX_CPUS = 8192  # the largest NR_CPUS that kernels for x86-64 are built with
_MAX_SOCK_KEY = 512  # MAX_BPF_STACK


def _program_error(map_: UserMap, descriptor: int, errno: int) -> int:
    """A program that handles what was sent: 0 or less is none; -`errno` for what is no program."""
    if descriptor <= 0:
        return 0
    return -errno if isinstance(map_.host.thing(descriptor, "program", EINVAL), int) else 0


class _Targets(UserMap):
    """Values {number, program} in native memory, which programs may read. Keys are 4 bytes."""

    __slots__ = ("_arena", "_targets")

    allowed_flags = NUMA | _RW
    BY_INDEX: ClassVar[bool] = True

    def _check(self) -> int:
        if self.key_size != 4 or self.value_size not in (4, 8) or not self.max_entries:
            return -EINVAL
        return 0

    def _build(self) -> None:
        self._arena: Arena = self.host.memory.arena(f"map {self.name}", item=self.value_size, writable=False)
        self._targets: dict[int, int] = {}  # key → address

    def _demolish(self) -> None:
        self.host.memory.free(self._arena)

    def target(self, key: int) -> tuple[int, int] | None:
        """(number of the interface or length of the CPU's queue, program or 0) that a key leads to, or None."""
        address = self._targets.get(key)
        if address is None:
            return None
        number, program = struct.unpack("=II", read(address, self.value_size).ljust(8, b"\0"))
        return number, program

    def _read(self, key: bytes) -> bytes | int:
        address = self._targets.get(_U32.unpack(key)[0])
        return -ENOENT if address is None else self._get(address)

    def _enter(self, key: int, value: bytes) -> None:
        self._drop(key)
        address = self._targets[key] = self._arena.alloc()
        write(address, value)

    def _drop(self, key: int) -> bool:
        address = self._targets.pop(key, 0)
        if address:
            self._arena.free(address)
        return bool(address)

    def _remove(self, key: bytes) -> int:
        index = _U32.unpack(key)[0]
        if index >= self.max_entries:
            return -EINVAL
        self._drop(index)
        return 0

    def _next(self, key: bytes | None) -> bytes | int:
        return next_index(key, self.max_entries)

    def lookup_ptr(self, key: int, cpu: int) -> int:
        return self._targets.get(_U32.unpack(read(key, 4))[0], 0)


class DevMap(_Targets):
    """BPF_MAP_TYPE_DEVMAP: a value is {u32 interface, program}. Any interface number above 0 is taken for one."""

    __slots__ = ()

    def _check(self) -> int:
        error = super()._check()
        if not error:
            self.flags |= bpf.BPF_F_RDONLY_PROG  # dev_map_init_map: programs only read it
        return error

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        index = _U32.unpack(key)[0]
        interface, program = struct.unpack("=Ii", value.ljust(8, b"\0"))
        if flags > EXIST:
            return -EINVAL
        if index >= self.max_entries:
            return -E2BIG
        if flags == NOEXIST:
            return -EEXIST
        if not interface:
            if program > 0:
                return -EINVAL
            self._drop(index)
            return 0
        error = _program_error(self, program, EINVAL)
        if not error:
            self._enter(index, value if program > 0 else value[:4].ljust(self.value_size, b"\0"))
        return error


class DevMapHash(DevMap):
    """BPF_MAP_TYPE_DEVMAP_HASH: the same by any u32."""

    __slots__ = ()

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        index = _U32.unpack(key)[0]
        interface, program = struct.unpack("=Ii", value.ljust(8, b"\0"))
        if flags > EXIST or not interface:
            return -EINVAL
        if index in self._targets and flags == NOEXIST:
            return -EEXIST
        error = _program_error(self, program, EINVAL)
        if error:
            return error
        if index not in self._targets and len(self._targets) >= self.max_entries:
            return -E2BIG
        self._enter(index, value if program > 0 else value[:4].ljust(self.value_size, b"\0"))
        return 0

    def _remove(self, key: bytes) -> int:
        return 0 if self._drop(_U32.unpack(key)[0]) else -ENOENT

    def _next(self, key: bytes | None) -> bytes | int:
        """In the kernel's order: by the low bits, the newest first (dev_map_hash_get_next_key)."""
        mask = (1 << (self.max_entries - 1).bit_length()) - 1
        keys = list(self._targets)
        keys.reverse()
        keys.sort(key=lambda index: index & mask)
        index = _U32.unpack(key)[0] if key is not None else None
        at = keys.index(index) + 1 if index in self._targets else 0
        return _U32.pack(keys[at]) if at < len(keys) else -ENOENT


class CpuMap(_Targets):
    """BPF_MAP_TYPE_CPUMAP: a value is {u32 length of the queue, program}; a length of 0 deletes."""

    __slots__ = ()

    allowed_flags = NUMA

    def _check(self) -> int:
        error = super()._check()
        return error or (-E2BIG if self.max_entries > _MAX_CPUS else 0)

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        index = _U32.unpack(key)[0]
        length, program = struct.unpack("=Ii", value.ljust(8, b"\0"))
        if flags > EXIST:
            return -EINVAL
        if index >= self.max_entries:
            return -E2BIG
        if flags == NOEXIST:
            return -EEXIST
        if length > _MAX_QUEUE:
            return -EOVERFLOW
        if index >= self.cpus:
            return -ENODEV
        if not length:
            self._drop(index)
            return 0
        error = _program_error(self, program, ENOMEM)
        if not error:
            self._enter(index, value if program > 0 else value[:4].ljust(self.value_size, b"\0"))
        return error


class XskMap(UserMap):
    """BPF_MAP_TYPE_XSKMAP: a value is the descriptor of an AF_XDP socket (`MapHost.add("xsk", …)`)."""

    __slots__ = ("_sockets",)

    allowed_flags = NUMA | _RW

    def _check(self) -> int:
        return -EINVAL if self.key_size != 4 or self.value_size != 4 or not self.max_entries else 0

    def _build(self) -> None:
        self._sockets: dict[int, int] = {}

    def target(self, key: int) -> int | None:
        """The descriptor at an index, or None."""
        return self._sockets.get(key)

    def _read(self, key: bytes) -> bytes | int:
        return -EOPNOTSUPP

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        index, descriptor = _U32.unpack(key)[0], _U32.unpack(value)[0]
        if flags > EXIST:
            return -EINVAL
        if index >= self.max_entries:
            return -E2BIG
        thing = self.host.thing(descriptor, "xsk", ENOTSOCK)
        if isinstance(thing, int):
            is_socket = descriptor in self.host.things and self.host.things[descriptor].kind == "socket"
            return -EOPNOTSUPP if is_socket else thing
        old = self._sockets.get(index)
        if old == descriptor:
            return 0
        if old is not None and flags == NOEXIST:
            return -EEXIST
        if old is None and flags == EXIST:
            return -ENOENT
        self._sockets[index] = descriptor
        return 0

    def _remove(self, key: bytes) -> int:
        index = _U32.unpack(key)[0]
        if index >= self.max_entries:
            return -EINVAL
        self._sockets.pop(index, None)
        return 0

    def _next(self, key: bytes | None) -> bytes | int:
        return next_index(key, self.max_entries)

    def lookup_ptr(self, key: int, cpu: int) -> int:
        """bpf_map_lookup_elem gives a bpf_xdp_sock: helpers make one from `target`."""
        return 0


class SockMap(UserMap):
    """BPF_MAP_TYPE_SOCKMAP: a value is a socket's descriptor, and reads as its cookie where values have 8 bytes."""

    __slots__ = ("_sockets",)

    allowed_flags = NUMA | _RW

    def _check(self) -> int:
        if self.key_size != 4 or self.value_size not in (4, 8) or not self.max_entries:
            return -EINVAL
        return 0

    def _build(self) -> None:
        self._sockets: dict[bytes, int] = {}

    def target(self, key: bytes) -> int | None:
        """The descriptor of the socket of a key, or None."""
        return self._sockets.get(key)

    def _read(self, key: bytes) -> bytes | int:
        if self.value_size != 8:
            return -ENOSPC
        found = self._sockets.get(key)
        return -ENOENT if found is None else _U64.pack(found)

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        descriptor = int.from_bytes(value, "little")
        if descriptor > 0xFFFFFFFF >> 1:
            return -EINVAL
        thing = self.host.thing(descriptor, "socket", ENOTSOCK)
        if isinstance(thing, int):
            return thing
        return self.set_socket(key, descriptor, flags)

    def set_socket(self, key: bytes, descriptor: int, flags: int = 0) -> int:
        """bpf_sock_map_update and bpf_sock_hash_update: enter the socket a program has."""
        if flags > EXIST:
            return -EINVAL
        error = self._out_of_range(key)
        if error:
            return error
        if key in self._sockets:
            if flags == NOEXIST:
                return -EEXIST
        elif flags == EXIST:
            return -ENOENT
        elif len(self._sockets) >= self.max_entries:
            return -E2BIG
        self._sockets[key] = descriptor
        return 0

    def _out_of_range(self, key: bytes) -> int:
        return -E2BIG if _U32.unpack(key)[0] >= self.max_entries else 0

    def _remove(self, key: bytes) -> int:
        return 0 if self._sockets.pop(key, None) else -EINVAL

    def _next(self, key: bytes | None) -> bytes | int:
        return next_index(key, self.max_entries)

    def lookup_ptr(self, key: int, cpu: int) -> int:
        """bpf_map_lookup_elem gives a bpf_sock: helpers make one from `target`."""
        return 0

    def delete_ptr(self, key: int, cpu: int = 0) -> int:
        return self._remove(read(key, self.key_size))


class SockHash(SockMap):
    """BPF_MAP_TYPE_SOCKHASH: the same by any key."""

    __slots__ = ()

    def _check(self) -> int:
        if self.value_size not in (4, 8) or not (self.max_entries and self.key_size):
            return -EINVAL
        return -E2BIG if self.key_size > _MAX_SOCK_KEY else 0

    def _out_of_range(self, key: bytes) -> int:
        return 0

    def _remove(self, key: bytes) -> int:
        return 0 if self._sockets.pop(key, None) else -ENOENT

    def _next(self, key: bytes | None) -> bytes | int:
        keys = list(self._sockets)
        at = keys.index(key) + 1 if key in self._sockets and key is not None else 0
        return keys[at] if at < len(keys) else -ENOENT
