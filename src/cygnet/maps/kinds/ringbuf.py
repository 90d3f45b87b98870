"""Ring buffers from programs to user space, and from user space to programs (kernel/bpf/ringbuf.c).

A record is {u32 length with the bits BUSY and DISCARD, u32 pages back to the ring, data}, padded to 8 bytes.
Positions, limits and wake-ups are the kernel's. What differs is that the data is not mapped twice: a
record that begins near the end simply goes on behind it, in room that is nobody else's.
"""

from __future__ import annotations

import struct
from errno import E2BIG, EAGAIN, EINVAL, ENODATA

from cygnet.maps import header
from cygnet.maps.base import NUMA, UserMap
from cygnet.maps.failures import map_failure
from cygnet.maps.memory import SPACE, Mapping, copy, load32, load64, read, store32, store64, view, write
from cygnet.uapi import bpf, bpf_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.maps.memory import Region

BUSY, DISCARD, HEADER = bpf.BPF_RINGBUF_BUSY_BIT, bpf.BPF_RINGBUF_DISCARD_BIT, bpf.BPF_RINGBUF_HDR_SZ
_LENGTH = DISCARD - 1
_CONTROL = 4096  # bytes before the data; machine code knows it
_MAX_RECORD = 0xFFFFFFFF // 4
_HEADER = struct.Struct("=II")
NO_WAKEUP, FORCE_WAKEUP = bpf_flags.BPF_RB_NO_WAKEUP, bpf_flags.BPF_RB_FORCE_WAKEUP


def _stride(length: int) -> int:
    return length + HEADER + 7 & ~7


class Batch:
    """Records that lie one after another, in place: valid until `RingBuf.consume(batch.end)`.

    The same as `cygnet.kernel.ringbuf.Batch`: with `stride`, all `count` records have `length` bytes and the data of
    record i begins at ``i * stride + 8`` of `view`; without, `records()` walks them.
    """

    __slots__ = ("_offsets", "count", "end", "length", "stride", "view")

    def __init__(self, view: memoryview, end: int, offsets: list[tuple[int, int]], stride: int) -> None:
        self.view = view
        self.end = end
        self.count = len(offsets)
        self.stride = stride
        self.length = offsets[0][1] if stride else 0
        self._offsets = offsets

    def records(self) -> list[tuple[int, int]]:
        """(offset of the data in `view`, length) of each record, in order."""
        return self._offsets


class _Ring(UserMap):
    """What both directions have in common."""

    __slots__ = ("_mapping", "_region", "data", "mask", "ring", "size")

    allowed_flags = NUMA

    def _check(self) -> int:
        size = self.max_entries
        if self.key_size or self.value_size or not size or size & size - 1 or size % 4096:
            return -EINVAL
        return 0

    def _build(self) -> None:
        self.size, self.mask = self.max_entries, self.max_entries - 1
        self._mapping = Mapping(_CONTROL + 2 * self.size)
        self.ring = self._mapping.address
        self.data = self.ring + _CONTROL
        store64(self.ring + header.MASK, self.mask)
        self._set(header.RING, self.ring)
        self._region = self._visible()

    def _visible(self) -> Region | None:
        return None

    def _demolish(self) -> None:
        if self._region is not None:
            self.host.memory.regions.remove(self._region)
        self._mapping.close()

    @property
    def consumer(self) -> int:
        return load64(self.ring + header.CONSUMER)

    @property
    def producer(self) -> int:
        return load64(self.ring + header.PRODUCER)

    def _at(self, position: int) -> int:
        return self.data + (position & self.mask)

    def available(self) -> int:
        """Bytes between the consumer and the producer, headers included."""
        return self.producer - self.consumer


class RingBuf(_Ring):
    """BPF_MAP_TYPE_RINGBUF. Its reader's side is that of `cygnet.kernel.ringbuf.RingBuffer`."""

    __slots__ = ("_records",)

    MACHINE_CODE = {"output": ("ringbuf_output",)}
    #: for machine code that is not checked: a record that it reserves is no region
    UNCHECKED_CODE = {"reserve": ("ringbuf_reserve",), "submit": ("ringbuf_submit",)}

    def _build(self) -> None:
        super()._build()
        self._records: dict[int, Region] = {}

    def _demolish(self) -> None:
        for region in self._records.values():
            self.host.memory.regions.remove(region)
        super()._demolish()

    # ── programs ──

    def _reserve(self, size: int) -> int:
        """The address of a record's data, marked BUSY, or 0."""
        stride = _stride(size)
        if size > _MAX_RECORD or stride > self.size:
            return 0
        pending, producer = load64(self.ring + header.PENDING), self.producer
        while pending < producer:
            length = load32(self._at(pending))
            if length & BUSY:
                break
            pending += _stride(length & _LENGTH)
        store64(self.ring + header.PENDING, pending)
        after = producer + stride
        if after - self.consumer > self.mask or after - pending > self.mask:
            return 0
        at = self._at(producer)
        _HEADER.pack_into(SPACE, at, size | BUSY, (at - self.ring) // _CONTROL)
        store64(self.ring + header.PRODUCER, after)
        return at + HEADER

    def _commit(self, record: int, flags: int, dropped: int) -> None:
        at = record - HEADER
        store32(at, (load32(at) ^ BUSY) | dropped)
        waits_here = self.consumer & self.mask == at - self.data
        if flags & FORCE_WAKEUP or (waits_here and not flags & NO_WAKEUP):
            store64(self.ring + header.WAKEUPS, load64(self.ring + header.WAKEUPS) + 1)

    def reserve_ptr(self, size: int, flags: int = 0) -> int:
        """bpf_ringbuf_reserve: room for a record, which the program may touch until it gives it away; 0 when full."""
        record = self._reserve(size) if not flags else 0
        if record and size:
            self._records[record] = self.host.memory.regions.add(record, size, name=f"record of {self.name}")
        return record

    def commit_ptr(self, record: int, flags: int = 0, *, discard: bool = False) -> None:
        """bpf_ringbuf_submit and bpf_ringbuf_discard."""
        region = self._records.pop(record, None)
        if region is not None:
            self.host.memory.regions.remove(region)
        self._commit(record, flags, DISCARD if discard else 0)

    def is_reserved(self, record: int) -> bool:
        """A record is open at this address: `reserve_ptr` gave it."""
        at = record - HEADER
        return self.data <= at < self.data + self.size and at % 8 == 0 and bool(load32(at) & BUSY)

    def output_ptr(self, data: int, size: int, flags: int = 0) -> int:
        """bpf_ringbuf_output: a record at once. 0, -EINVAL for unknown flags, -EAGAIN when full."""
        if flags & ~(NO_WAKEUP | FORCE_WAKEUP):
            return -EINVAL
        record = self._reserve(size)
        if not record:
            return -EAGAIN
        copy(record, data, size)
        self._commit(record, flags, 0)
        return 0

    def query(self, what: int) -> int:
        """bpf_ringbuf_query: bytes that are not read, the size, the consumer's or producer's position."""
        answers = (self.available(), self.size, self.consumer, self.producer)
        return answers[what] if what < len(answers) else 0

    @property
    def wakeups(self) -> int:
        """How often a reader would have been woken."""
        return load64(self.ring + header.WAKEUPS)

    def owner_of(self, record: int) -> int:
        """The ring's address, from a record's, as the kernel finds it; for machine code."""
        at = record - HEADER
        return at // _CONTROL * _CONTROL - load32(at + 4) * _CONTROL

    # ── user space ──

    def read_batch(self) -> Batch | None:
        """The records that are ready, up to the first that is being written or the end of the memory."""
        start = position = self.consumer
        producer = self.producer
        offsets: list[tuple[int, int]] = []
        while position < producer and (not offsets or position & self.mask > start & self.mask):
            word = load32(self._at(position))
            if word & BUSY:
                break
            length = word & _LENGTH
            if not word & DISCARD:
                offsets.append((position - start + HEADER, length))
            elif not offsets:
                start = position + _stride(length)
            position += _stride(length)
        if not offsets:
            self.consume(position)
            return None
        at = self._at(start)
        alike = len({length for _, length in offsets}) == 1
        stride = _stride(offsets[0][1])
        if not alike or position - start != stride * len(offsets):
            stride = 0  # lengths are mixed, or a dropped record lies between
        return Batch(view(at, position - start).toreadonly(), position, offsets, stride)

    def consume(self, end: int) -> None:
        """Give the room up to `end` (a batch's `end`) back to the programs."""
        store64(self.ring + header.CONSUMER, end)

    def drain(self) -> list[bytes]:
        """Every record that is ready, taken out."""
        records: list[bytes] = []
        while (batch := self.read_batch()) is not None:
            records += [bytes(batch.view[at : at + length]) for at, length in batch.records()]
            self.consume(batch.end)
        return records

    def wait(self, timeout_ms: int = -1) -> bool:
        """Whether there is something. Nobody writes while Python runs, so it does not wait."""
        return self.available() > 0


class UserRingBuf(_Ring):
    """BPF_MAP_TYPE_USER_RINGBUF: `submit` in user space, `sample` and `release_sample` for bpf_user_ringbuf_drain."""

    __slots__ = ()

    def _visible(self) -> Region:
        return self.host.memory.regions.add(self.data, 2 * self.size, writable=False, name=f"map {self.name}")

    def submit(self, sample: bytes, *, discard: bool = False) -> None:
        """Give programs a sample. MapFull when there is no room until they have read some."""
        stride = _stride(len(sample))
        producer = self.producer
        if stride > self.size - (producer - self.consumer):
            raise map_failure(E2BIG, f"submit {len(sample)} bytes to map {self.name!r}", self.size)
        at = self._at(producer)
        _HEADER.pack_into(SPACE, at, len(sample) | (DISCARD if discard else 0), 0)
        write(at + HEADER, sample)
        store64(self.ring + header.PRODUCER, producer + stride)

    def sample_ptr(self) -> tuple[int, int, int]:
        """(0, address, bytes) of the next sample; (-ENODATA, 0, 0) when there is none, -EAGAIN past a dropped one."""
        position = self.consumer
        if position >= self.producer:
            return -ENODATA, 0, 0
        at = self._at(position)
        word = load32(at)
        length = word & _LENGTH
        if _stride(length) > self.producer - position:
            return -EINVAL, 0, 0
        if word & DISCARD:
            self.release_sample(length)
            return -EAGAIN, 0, 0
        return (-ENODATA, 0, 0) if word & BUSY else (0, at + HEADER, length)

    def release_sample(self, length: int) -> None:
        """The sample of `length` bytes that `sample_ptr` gave is done with."""
        store64(self.ring + header.CONSUMER, self.consumer + _stride(length))

    def samples(self) -> list[bytes]:
        """Every sample that programs have not read yet; they stay."""
        found, position = [], self.consumer
        while position < self.producer:
            word = load32(self._at(position))
            if not word & DISCARD:
                found.append(read(self._at(position) + HEADER, word & _LENGTH))
            position += _stride(word & _LENGTH)
        return found
