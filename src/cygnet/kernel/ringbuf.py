"""Ring buffer consumer: the kernel's memory is read in place, many records at once.

What lies in the memory (kernel/bpf/ringbuf.c): a page with the consumer's position, a page with the
producer's, then the data, mapped twice in a row so that no record is ever cut::

    | consumer pos u64 … | producer pos u64 … | data, size bytes | the same data again |

    record:  u32 length · bit 31 BUSY (being written) · bit 30 DISCARD (dropped by its writer)
             u32 page offset (the kernel's own)
             data, padded so that the next record begins at a multiple of 8

Memory order. The kernel publishes a position and a header with store-release; a reader wants
load-acquire, which Python cannot spell. On x86-64 (total store order) every plain load is one, and an
aligned 8-byte access through `memoryview.cast("Q")` is one load or store. On other machines a lock is
taken and released after such a load, which is a fence.
"""

from __future__ import annotations

import mmap
import os
from sys import byteorder as _ORDER

from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

HEADER_BYTES = bpf.BPF_RINGBUF_HDR_SZ
BUSY = bpf.BPF_RINGBUF_BUSY_BIT
DISCARD = bpf.BPF_RINGBUF_DISCARD_BIT
_LENGTH_MASK = DISCARD - 1


class Batch:
    """Records that lie one after another, in place: valid until `RingBuffer.consume(batch.end)`.

    `view` begins at the first record's header. When `stride` is not 0, all `count` records have `length`
    bytes of data, and record i's data begins at ``i * stride + 8``: one struct call can unpack them all
    (`len(view) == count * stride`). Otherwise the lengths are mixed, and `records()` walks them.
    """

    __slots__ = ("_offsets", "count", "end", "length", "stride", "view")

    def __init__(
        self, view: memoryview, end: int, count: int, length: int, stride: int, offsets: list[tuple[int, int]]
    ) -> None:
        self.view = view
        self.end = end
        self.count = count
        self.length = length
        self.stride = stride
        self._offsets = offsets

    def records(self) -> Iterator[tuple[int, int]] | list[tuple[int, int]]:
        """(offset of the data in `view`, length) of each record, in order."""
        if not self.stride:
            return self._offsets
        length, stride = self.length, self.stride
        return ((at, length) for at in range(HEADER_BYTES, HEADER_BYTES + self.count * stride, stride))


class RingBuffer:
    """The reading end of a BPF_MAP_TYPE_RINGBUF map. There must be only one for a map.

    `fileno()` is for epoll: readable when there are records. It stays readable while the first one is
    being written.
    """

    __slots__ = ("_consumer", "_consumer_map", "_data_map", "_fence", "_limit", "_mask", "_producer", "_words", "data",
                 "fd", "size")  # fmt: skip

    def __init__(self, map_fd: int, size: int, limit: int = 1 << 20) -> None:
        """`size` is the map's max_entries: bytes, a power of two. `limit`: bytes in one batch at most, so that
        the writers get room back before everything is read.
        """
        page = mmap.PAGESIZE
        self.fd = map_fd
        self.size = size
        self._limit = max(limit, HEADER_BYTES)
        self._mask = size - 1
        try:
            self._consumer_map = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            self._data_map = mmap.mmap(map_fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        except OSError as error:
            from cygnet.kernel.sys import failure

            raise failure(error.errno or 0, "map a ring buffer's memory", "mmap") from error
        self._consumer = memoryview(self._consumer_map).cast("Q")
        self._producer = memoryview(self._data_map)[:page].cast("Q")
        self.data = memoryview(self._data_map)[page:]
        self._words = self.data.cast("I")
        self._fence = _fence()

    def fileno(self) -> int:
        return self.fd

    def available(self) -> int:
        """Bytes between the consumer and the producer, headers included."""
        return self._producer[0] - self._consumer[0]

    def read_batch(self) -> Batch | None:
        """The records that are ready, up to the first that is being written; None when there are none.

        As many as are alike come as one batch with a stride. When the second record already differs from
        the first, all that is ready comes as a mixed batch. Dropped records are skipped.
        """
        position = self._consumer[0]
        available = self._producer[0] - position
        if self._fence:
            self._fence()
        words, mask = self._words, self._mask
        while available > 0:
            first = words[(position & mask) >> 2]
            if first & BUSY:
                return None
            length = first & _LENGTH_MASK
            stride = length + (HEADER_BYTES + 7) & ~7
            if not first & DISCARD:
                return self._ready(position, min(available, max(self._limit, stride)), first, length, stride)
            position += stride
            available -= stride
            self._consumer[0] = position
        return None

    def _ready(self, position: int, available: int, header: int, length: int, stride: int) -> Batch:
        """A batch that begins with a finished record. A record begins where the one before ends, so if the
        words one stride apart all equal the first header, they are headers.
        """
        count = available // stride
        at = position & self._mask
        # One reading decides: a writer may finish its record between two of them.
        seen = self._words[at >> 2 : at + count * stride >> 2 : stride >> 2].tobytes()
        if count > 1 and seen != header.to_bytes(4, _ORDER) * count:
            alike = next(i for i, word in enumerate(memoryview(seen).cast("I")) if word != header)
            if alike == 1:
                return self._mixed(position, available)
            count = alike
        if self._fence:
            self._fence()
        size = count * stride
        return Batch(self.data[at : at + size], position + size, count, length, stride, [])

    def _mixed(self, position: int, available: int) -> Batch:
        words, at = self._words, position & self._mask
        offset, offsets = 0, []
        while offset < available:
            header = words[at + offset >> 2]
            length = header & _LENGTH_MASK
            if header & BUSY:
                break
            if not header & DISCARD:
                offsets.append((offset + HEADER_BYTES, length))
            offset += length + (HEADER_BYTES + 7) & ~7
        if self._fence:
            self._fence()
        return Batch(self.data[at : at + offset], position + offset, len(offsets), 0, 0, offsets)

    def consume(self, end: int) -> None:
        """Give the room up to `end` (a batch's `end`) back to the writers; its view must not be used any more."""
        self._consumer[0] = end

    def wait(self, timeout_ms: int = -1) -> bool:
        """Wait until there is something, at most `timeout_ms` (-1: for ever). False when the time is over."""
        import select

        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(timeout_ms))

    def close(self) -> None:
        """Unmap the memory; views of batches must be gone. The map itself stays open."""
        for view in (self._consumer, self._producer, self._words, self.data):
            view.release()
        self._consumer_map.close()
        self._data_map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _LockFence:
    """A fence by an uncontended lock: acquiring is an acquire barrier, releasing a release barrier."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        import _thread

        self._lock = _thread.allocate_lock()

    def __call__(self) -> None:
        self._lock.acquire()
        self._lock.release()


def _fence() -> _LockFence | None:
    return None if os.uname().machine in ("x86_64", "i686") else _LockFence()
