"""The ring buffer's reader over memory of our own, laid out as the kernel lays it out."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

import pytest

from cygnet.kernel.ringbuf import BUSY, DISCARD, RingBuffer

SIZE = 4096
PAGE = mmap.PAGESIZE


class Writer:
    """The kernel's side. The data's two mappings are two copies here, written both."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self.position = 0

    def write(self, data: bytes, flags: int = 0) -> None:
        record = struct.pack("=II", len(data) | flags, 7) + data
        record += bytes(-len(record) % 8)
        for i, byte in enumerate(record):
            at = (self.position + i) % SIZE
            for copy in (0, SIZE):
                os.pwrite(self.fd, bytes([byte]), 2 * PAGE + copy + at)
        self.position += len(record)
        os.pwrite(self.fd, struct.pack("=Q", self.position), PAGE)

    def start_at(self, position: int) -> None:
        self.position = position
        for page in (0, PAGE):
            os.pwrite(self.fd, struct.pack("=Q", position), page)


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer()
    yield writer
    os.close(writer.fd)


@pytest.fixture
def ring(writer: Writer) -> Iterator[RingBuffer]:
    with RingBuffer(writer.fd, SIZE) as ring:
        yield ring


def data_of(ring: RingBuffer) -> list[bytes]:
    """Read everything that is ready, as a user of the class does."""
    found = []
    while batch := ring.read_batch():
        found += [bytes(batch.view[at : at + length]) for at, length in batch.records()]
        assert batch.count == len(list(batch.records()))
        end = batch.end
        del batch
        ring.consume(end)
    return found


def test_empty(ring: RingBuffer) -> None:
    assert ring.read_batch() is None
    assert ring.available() == 0


def test_alike_records_are_one_batch(ring: RingBuffer, writer: Writer) -> None:
    for i in range(10):
        writer.write(struct.pack("=QI", i, i * i))
    batch = ring.read_batch()
    assert batch is not None
    assert (batch.count, batch.length, batch.stride) == (10, 12, 24)
    flat = struct.unpack("=" + "8xQI4x" * batch.count, batch.view)
    assert flat == tuple(x for i in range(10) for x in (i, i * i))
    ring.consume(batch.end)
    assert ring.available() == 0


def test_mixed_records_come_in_order(ring: RingBuffer, writer: Writer) -> None:
    texts = [b"a" * (1 + i * 7 % 20) for i in range(20)]
    for text in texts:
        writer.write(text)
    assert data_of(ring) == texts


def test_run_of_alike_records_then_others(ring: RingBuffer, writer: Writer) -> None:
    texts = [b"12345678"] * 5 + [b"x"] + [b"12345678"] * 3
    for text in texts:
        writer.write(text)
    batch = ring.read_batch()
    assert batch is not None
    assert (batch.count, batch.stride) == (5, 16)
    assert data_of(ring) == texts


def test_data_that_looks_like_a_header_is_not_one(ring: RingBuffer, writer: Writer) -> None:
    """A long record whose inside holds the first one's header word at every stride."""
    short = struct.pack("=Q", 0)
    fake = struct.pack("=II", len(short), 7) * 6
    for text in (short, short, fake, short):
        writer.write(text)
    assert data_of(ring) == [short, short, fake, short]


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("length", [8, 13])
def test_stops_at_a_record_being_written(ring: RingBuffer, writer: Writer, before: int, length: int) -> None:
    for _ in range(before):
        writer.write(b"ready---")
    writer.write(b"?" * length, BUSY)
    writer.write(b"ready---")
    assert data_of(ring) == [b"ready---"] * before
    assert ring.available() > 0
    assert ring.read_batch() is None


def test_mixed_batch_stops_at_a_record_being_written(ring: RingBuffer, writer: Writer) -> None:
    for text, flags in ((b"one", 0), (b"twotwotwo", 0), (b"busy", BUSY), (b"three", 0)):
        writer.write(text, flags)
    assert data_of(ring) == [b"one", b"twotwotwo"]


@pytest.mark.parametrize("where", [0, 1, 2, 3])
def test_dropped_records_are_skipped(ring: RingBuffer, writer: Writer, where: int) -> None:
    for i in range(4):
        writer.write(b"%d" % i * 8, DISCARD if i == where else 0)
    assert data_of(ring) == [b"%d" % i * 8 for i in range(4) if i != where]


def test_only_dropped_records(ring: RingBuffer, writer: Writer) -> None:
    writer.write(b"gone", DISCARD)
    assert ring.read_batch() is None
    assert ring.available() == 0


@pytest.mark.parametrize("length", [1, 8, 24, 100])
def test_batches_across_the_end(ring: RingBuffer, writer: Writer, length: int) -> None:
    writer.start_at(3 * SIZE - 40)
    texts = [bytes([i]) * length for i in range(20)]
    for text in texts:
        writer.write(text)
    assert data_of(ring) == texts


def test_positions_past_32_bits(ring: RingBuffer, writer: Writer) -> None:
    writer.start_at((1 << 40) - 16)
    for text in (b"before", b"after"):
        writer.write(text)
    assert data_of(ring) == [b"before", b"after"]


def test_limit_of_a_batch(writer: Writer) -> None:
    for i in range(10):
        writer.write(struct.pack("=Q", i))
    with RingBuffer(writer.fd, SIZE, limit=64) as ring:
        batch = ring.read_batch()
        assert batch is not None
        assert batch.count == 4
        del batch
        assert data_of(ring) == [struct.pack("=Q", i) for i in range(10)]


def test_record_larger_than_the_limit(writer: Writer) -> None:
    writer.write(b"x" * 500)
    writer.write(b"y")
    with RingBuffer(writer.fd, SIZE, limit=64) as ring:
        assert data_of(ring) == [b"x" * 500, b"y"]
