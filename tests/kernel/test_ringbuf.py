"""The ring buffer on the live kernel: order, wrap-around, records in writing, lost ones, waking up."""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Callable, Iterator

import pytest

from cygnet.kernel import progs
from cygnet.kernel.maps import KernelMap
from cygnet.kernel.ringbuf import RingBuffer
from cygnet.uapi import bpf

Asm = Callable[[str], bytes]
SIZE = 1 << 16
PATIENCE_MS = 600_000  # for what must come, however slow the machine

# A raw tracepoint program: its context is (what to do, a number). It writes the number, 8 or 24 bytes.
OUTPUT = """
    r6 = *(u64 *)(r1 +0)
    r7 = *(u64 *)(r1 +8)
    *(u64 *)(r10 -24) = r7
    *(u64 *)(r10 -16) = r7
    *(u64 *)(r10 -8) = r7
    r1 = map[fd:{fd}]
    r2 = r10
    r2 += -24
    r3 = 8
    r4 = 0
    if r6 != 1 goto +1
    r3 = 24
    call bpf_ringbuf_output
    exit
"""
# Reserves; drops the record when asked to, else submits it.
RESERVE = """
    r6 = *(u64 *)(r1 +0)
    r7 = *(u64 *)(r1 +8)
    r1 = map[fd:{fd}]
    r2 = 8
    r3 = 0
    call bpf_ringbuf_reserve
    if r0 == 0 goto +8
    *(u64 *)(r0 +0) = r7
    r1 = r0
    r2 = 0
    if r6 == 2 goto +2
    call bpf_ringbuf_submit
    goto +1
    call bpf_ringbuf_discard
    r0 = 0
    exit
"""
SHORT, LONG, DROPPED = 0, 1, 2


class Ring:
    def __init__(self, asm: Asm) -> None:
        self.map = KernelMap.create(bpf.BPF_MAP_TYPE_RINGBUF, 0, 0, SIZE, 0, "ring")
        texts = {"output": OUTPUT, "reserve": RESERVE}
        self.programs = {
            name: progs.load(asm(text.format(fd=self.map.fd)), bpf.BPF_PROG_TYPE_RAW_TRACEPOINT)
            for name, text in texts.items()
        }
        self.reader = RingBuffer(self.map.fd, SIZE)

    def put(self, number: int, what: int = SHORT, program: str = "output") -> int:
        """0, or the negative errno of the helper."""
        retval = self.programs[program].test_run(ctx_in=struct.pack("=QQ", what, number)).retval
        return retval - (1 << 32) if retval >> 31 else retval

    def take(self) -> list[bytes]:
        found = []
        while batch := self.reader.read_batch():
            found += [bytes(batch.view[at : at + length]) for at, length in batch.records()]
            end = batch.end
            del batch
            self.reader.consume(end)
        return found

    def close(self) -> None:
        self.reader.close()
        for program in self.programs.values():
            program.close()
        self.map.close()


@pytest.fixture
def ring(asm: Asm) -> Iterator[Ring]:
    ring = Ring(asm)
    yield ring
    ring.close()


def number(n: int, times: int = 1) -> bytes:
    return struct.pack("=Q", n) * times


def test_alike_records_unpack_at_once(ring: Ring) -> None:
    for n in range(500):
        assert ring.put(n) == 0
    batch = ring.reader.read_batch()
    assert batch is not None
    assert (batch.count, batch.stride, batch.length) == (500, 16, 8)
    assert struct.unpack("=" + "8xQ" * batch.count, batch.view) == tuple(range(500))
    ring.reader.consume(batch.end)
    assert ring.reader.read_batch() is None


def test_order_of_mixed_records(ring: Ring) -> None:
    kinds = [n * 7 % 3 == 0 for n in range(300)]
    for n, long in enumerate(kinds):
        ring.put(n, LONG if long else SHORT)
    assert ring.take() == [number(n, 3 if long else 1) for n, long in enumerate(kinds)]


def test_many_times_around(ring: Ring) -> None:
    """Ten times the buffer's size, read in between: nothing lost, nothing twice."""
    expected = found = 0
    for _ in range(40):
        for _ in range(SIZE // 4 // 32):
            assert ring.put(expected, LONG) == 0
            expected += 1
        for data in ring.take():
            assert data == number(found, 3)
            found += 1
    assert found == expected > SIZE * 9 // 32


def test_full_ring_refuses_and_recovers(ring: Ring) -> None:
    results = [ring.put(n) for n in range(SIZE // 16 + 10)]
    room = results.count(0)
    assert results == [0] * room + [-11] * (len(results) - room)
    assert ring.take() == [number(n) for n in range(room)]
    assert ring.put(7) == 0
    assert ring.take() == [number(7)]


def test_dropped_records_are_not_seen(ring: Ring) -> None:
    for n in range(20):
        ring.put(n, DROPPED if n % 3 == 0 else SHORT, "reserve")
    assert ring.take() == [number(n) for n in range(20) if n % 3]


def test_poll_tells_when_there_is_something(ring: Ring) -> None:
    with select.epoll() as epoll:
        epoll.register(ring.reader.fileno(), select.EPOLLIN)
        assert epoll.poll(0) == []
        ring.put(1)
        assert epoll.poll(1) == [(ring.reader.fileno(), select.EPOLLIN)]
        assert ring.take() == [number(1)]
        assert epoll.poll(0) == []
    assert ring.reader.wait(0) is False


def test_reader_wakes_while_it_sleeps(ring: Ring) -> None:
    """A child puts a record after a while; the parent sleeps in wait() until then."""
    child = os.fork()
    if child == 0:
        try:
            select.select([], [], [], 0.05)
            ring.put(5)
        finally:
            os._exit(0)
    try:
        assert ring.reader.wait(PATIENCE_MS)
        assert ring.take() == [number(5)]
    finally:
        os.waitpid(child, 0)


def test_reader_and_writers_at_once(ring: Ring) -> None:
    """Two writers on their own, one reader: every record arrives once, each writer's in order, or is refused."""
    counts = 3000
    children = []
    for writer in (1, 2):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for n in range(counts):
                    while ring.put(writer << 32 | n, LONG if n % 5 == 0 else SHORT):
                        select.select([], [], [], 0.001)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    found: dict[int, list[int]] = {1: [], 2: []}
    while sum(map(len, found.values())) < 2 * counts and ring.reader.wait(PATIENCE_MS):
        for data in ring.take():
            (value,) = struct.unpack_from("=Q", data)
            assert data == number(value, 3 if (value & 0xFFFFFFFF) % 5 == 0 else 1)
            found[value >> 32].append(value & 0xFFFFFFFF)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert found == {1: list(range(counts)), 2: list(range(counts))}
