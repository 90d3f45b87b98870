"""Queues and stacks: values without keys (kernel/bpf/queue_stack_maps.c)."""

from __future__ import annotations

from collections import deque
from errno import E2BIG, EINVAL, ENOENT

from cygnet.maps.base import ACCESS, EXIST, MAX_VALUE, NOEXIST, NUMA, UserMap
from cygnet.maps.memory import fill, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class Queue(UserMap):
    """BPF_MAP_TYPE_QUEUE: first in, first out."""

    __slots__ = ("_values",)

    allowed_flags = NUMA | ACCESS
    NEXT: ClassVar[int] = 0  # which end of the values comes next

    def _check(self) -> int:
        if self.key_size or not (self.value_size and self.max_entries):
            return -EINVAL
        return -E2BIG if self.value_size > MAX_VALUE + 1 else 0

    def _build(self) -> None:
        self._values: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._values)

    def _push(self, value: bytes, flags: int) -> int:
        """BPF_EXIST makes room by dropping the oldest value."""
        if flags & NOEXIST or flags > EXIST:
            return -EINVAL
        if len(self._values) == self.max_entries:
            if not flags & EXIST:
                return -E2BIG
            self._values.popleft()
        self._values.append(value)
        return 0

    def _pop(self) -> bytes | int:
        if not self._values:
            return -ENOENT
        value = self._values[self.NEXT]
        del self._values[self.NEXT]
        return value

    def saved(self) -> tuple[int, bytes, bytes]:
        return len(self._values), b"", b"".join(self._values)

    # ── user space ──

    def _read(self, key: bytes) -> bytes | int:
        return self._values[self.NEXT] if self._values else -ENOENT

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        return self._push(value, flags)

    def _take(self, key: bytes) -> bytes | int:
        return self._pop()

    def _remove(self, key: bytes) -> int:
        return -EINVAL

    def _next(self, key: bytes | None) -> bytes | int:
        return -EINVAL

    # ── programs ──

    def push_ptr(self, value: int, flags: int) -> int:
        return self._push(read(value, self.value_size), flags)

    def pop_ptr(self, value: int) -> int:
        return self._give(self._pop(), value)

    def peek_ptr(self, value: int) -> int:
        return self._give(self._read(b""), value)

    def _give(self, found: bytes | int, address: int) -> int:
        if isinstance(found, int):
            fill(address, self.value_size)
            return found
        write(address, found)
        return 0


class Stack(Queue):
    """BPF_MAP_TYPE_STACK: last in, first out."""

    __slots__ = ()

    NEXT = -1
