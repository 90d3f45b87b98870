"""Stack traces: a program gives a stack and gets its number; user space reads the addresses by number."""

from __future__ import annotations

import struct
from errno import E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM

from cygnet.maps.base import NUMA, UserMap
from cygnet.maps.kinds.jhash import jhash
from cygnet.uapi import bpf, bpf_flags

_U32 = struct.Struct("=I")
_MAX_DEPTH = 127  # sysctl_perf_event_max_stack, as the kernel comes
_BUILD_ID = 32  # bytes of struct bpf_stack_build_id


class StackTrace(UserMap):
    """BPF_MAP_TYPE_STACK_TRACE. `stackid` is what bpf_get_stackid gives for frames already known."""

    __slots__ = ("_buckets", "_stacks")

    allowed_flags = NUMA | bpf.BPF_F_RDONLY | bpf.BPF_F_WRONLY | bpf.BPF_F_STACK_BUILD_ID

    def _check(self) -> int:
        frame = _BUILD_ID if self.flags & bpf.BPF_F_STACK_BUILD_ID else 8
        if self.key_size != 4 or not self.max_entries or self.value_size < 8 or self.value_size % frame:
            return -EINVAL
        if self.value_size // frame > _MAX_DEPTH:
            return -EINVAL
        return -E2BIG if self.max_entries > 1 << 31 else 0

    def _build(self) -> None:
        self._buckets = 1 << (self.max_entries - 1).bit_length()
        self._stacks: dict[int, tuple[int, bytes]] = {}  # number → (hash, frames)

    @property
    def depth(self) -> int:
        """How many frames a stack may have."""
        return self.value_size // (_BUILD_ID if self.flags & bpf.BPF_F_STACK_BUILD_ID else 8)

    def stackid(self, frames: bytes, flags: int = 0) -> int:
        """The number of a stack (its addresses as u64s, innermost first); -EEXIST when another has it.

        BPF_F_REUSE_STACKID lets the new one take the place, BPF_F_FAST_STACK_CMP compares hashes only.
        """
        frames = frames[: self.value_size]
        hashed = jhash(frames)
        number = hashed & self._buckets - 1
        old = self._stacks.get(number)
        alike = old is not None and old[0] == hashed
        if alike and (flags & bpf_flags.BPF_F_FAST_STACK_CMP or old == (hashed, frames)):
            return number
        if old is not None and not flags & bpf_flags.BPF_F_REUSE_STACKID:
            return -EEXIST
        if len(self._stacks) >= self.max_entries:
            return -ENOMEM  # as in the kernel, which takes a new bucket before it gives the old one back
        self._stacks[number] = hashed, frames
        return number

    def _read(self, key: bytes) -> bytes | int:
        found = self._stacks.get(_U32.unpack(key)[0])
        return -ENOENT if found is None else found[1].ljust(self.value_size, b"\0")

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        return -EINVAL

    def _remove(self, key: bytes) -> int:
        number = _U32.unpack(key)[0]
        if number >= self._buckets:
            return -E2BIG
        return 0 if self._stacks.pop(number, None) else -ENOENT

    def _take(self, key: bytes) -> bytes | int:
        found = self._read(key)
        self._stacks.pop(_U32.unpack(key)[0], None)
        return found

    def _next(self, key: bytes | None) -> bytes | int:
        number = _U32.unpack(key)[0] if key is not None else -1
        after = number if number in self._stacks else -1
        following = min((n for n in self._stacks if n > after), default=None)
        return -ENOENT if following is None else _U32.pack(following)

    def delete_ptr(self, key: int, cpu: int = 0) -> int:
        from cygnet.maps.memory import read

        return self._remove(read(key, 4))
