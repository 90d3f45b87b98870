"""Perf event arrays: records and counters of each CPU, for whoever opened it."""

from __future__ import annotations

import struct
from collections import deque
from errno import E2BIG, EBADF, EINVAL, ENOENT, EOPNOTSUPP

from cygnet.maps.base import ACCESS, NUMA, UserMap
from cygnet.maps.failures import ENOTSUPP
from cygnet.maps.kinds.array import check_index_key, next_index
from cygnet.maps.memory import read
from cygnet.uapi import bpf, bpf_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_U32 = struct.Struct("=I")
_RECORDS = 1 << 16


class PerfEvent:
    """What one index of the array leads to: a buffer of records, and a counter that programs may read.

    `records` are bytes; past `limit` of them, new ones are only counted, in `lost`. `cpu` is the CPU it belongs
    to, -1 for any.
    """

    __slots__ = ("counter", "cpu", "enabled_ns", "limit", "lost", "records", "running_ns")

    def __init__(self, cpu: int = -1, limit: int = _RECORDS) -> None:
        self.cpu = cpu
        self.limit = limit
        self.records: deque[bytes] = deque()
        self.lost = 0
        self.counter = self.enabled_ns = self.running_ns = 0

    def output(self, data: bytes) -> int:
        if len(self.records) >= self.limit:
            self.lost += 1
            return -28  # ENOSPC, as perf_output_begin when the ring is full
        self.records.append(data)
        return 0

    def drain(self) -> list[bytes]:
        records = list(self.records)
        self.records.clear()
        return records


class PerfEventArray(UserMap):
    """BPF_MAP_TYPE_PERF_EVENT_ARRAY. A value is the descriptor of a perf event (`MapHost.add("perf_event", …)`)."""

    __slots__ = ("_events",)

    allowed_flags = NUMA | ACCESS | bpf.BPF_F_PRESERVE_ELEMS

    def _check(self) -> int:
        if self.value_size != 4 or self.flags & (bpf.BPF_F_RDONLY_PROG | bpf.BPF_F_WRONLY_PROG):
            return -EINVAL
        return check_index_key(self.key_size, self.value_size, self.max_entries)

    def _build(self) -> None:
        self._events: dict[int, PerfEvent] = {}

    def open(self, cpu: int, limit: int = _RECORDS) -> PerfEvent:
        """Make a buffer for the records of a CPU and enter it."""
        event = PerfEvent(cpu, limit)
        self.update(_U32.pack(cpu), _U32.pack(self.host.add("perf_event", event)))
        return event

    def event(self, index: int) -> PerfEvent | None:
        return self._events.get(index)

    # ── user space ──

    def _read(self, key: bytes) -> bytes | int:
        return -ENOTSUPP

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        index = _U32.unpack(key)[0]
        if flags:
            return -EINVAL
        if index >= self.max_entries:
            return -E2BIG
        thing: Any = self.host.thing(_U32.unpack(value)[0], "perf_event", EBADF)
        if isinstance(thing, int):
            return thing
        self._events[index] = thing.what
        return 0

    def _remove(self, key: bytes) -> int:
        index = _U32.unpack(key)[0]
        if index >= self.max_entries:
            return -E2BIG
        return 0 if self._events.pop(index, None) else -ENOENT

    def _next(self, key: bytes | None) -> bytes | int:
        return next_index(key, self.max_entries)

    # ── programs ──

    def _at(self, flags: int, cpu: int) -> PerfEvent | int:
        index = flags & bpf_flags.BPF_F_INDEX_MASK
        if index == bpf_flags.BPF_F_CURRENT_CPU:
            index = cpu
        if index >= self.max_entries:
            return -E2BIG
        return self._events.get(index, -ENOENT)

    def output_ptr(self, data: int, size: int, flags: int, cpu: int) -> int:
        """bpf_perf_event_output, without what some contexts append (`output`)."""
        if flags & ~bpf_flags.BPF_F_INDEX_MASK:
            return -EINVAL
        return self.output(read(data, size), flags, cpu)

    def output(self, data: bytes, flags: int, cpu: int) -> int:
        """A record for the event that the low half of `flags` names; -EOPNOTSUPP for another CPU's."""
        event = self._at(flags, cpu)
        if isinstance(event, int):
            return event
        if event.cpu not in (-1, cpu):
            return -EOPNOTSUPP
        return event.output(data)

    def counter(self, flags: int, cpu: int) -> tuple[int, int, int] | int:
        """(counter, ns enabled, ns running) for bpf_perf_event_read and …_read_value, or a negative errno."""
        if flags & ~bpf_flags.BPF_F_INDEX_MASK:
            return -EINVAL
        event = self._at(flags, cpu)
        return event if isinstance(event, int) else (event.counter, event.enabled_ns, event.running_ns)
