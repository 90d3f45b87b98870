"""Ring buffers and stack numbers of the user-space machine against the kernel's, and one facade over both back ends."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest
from tests.kernel.maptwins import Twins, new_host

from cygnet.errors import KeyMissing
from cygnet.kernel import progs
from cygnet.kernel.maps import KernelMap
from cygnet.kernel.ringbuf import RingBuffer
from cygnet.maps.facade import Map
from cygnet.maps.making import create
from cygnet.uapi import bpf

Asm = Callable[[str], bytes]
RAW = bpf.BPF_PROG_TYPE_RAW_TRACEPOINT

OUTPUT = """
    r6 = map[fd:{desk}][0]+0x0
    r1 = map[fd:{ring}]
    r2 = r6
    r2 += 64
    r3 = *(u64 *)(r6 +0)
    r3 &= 1023
    r4 = *(u64 *)(r6 +8)
    call bpf_ringbuf_output
    *(u64 *)(r6 +16) = r0
""" + "".join(
    f"""
    r1 = map[fd:{{ring}}]
    r2 = {what}
    call bpf_ringbuf_query
    *(u64 *)(r6 +{24 + 8 * what}) = r0
"""
    for what in range(5)
)
END = "r0 = 0\nexit\n"


def drain(reader: RingBuffer) -> list[bytes]:
    records: list[bytes] = []
    while (batch := reader.read_batch()) is not None:
        records += [bytes(batch.view[at : at + length]) for at, length in batch.records()]
        batch.view.release()
        reader.consume(batch.end)
    return records


def test_rings_fill_and_empty_alike(asm: Asm) -> None:
    chance = random.Random(11)
    with (
        new_host() as host,
        Twins(host, "ringbuf", 0, 0, 4096) as twins,
        KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 64 + 1024, 1) as desk,
        progs.load(asm((OUTPUT + END).format(desk=desk.fd, ring=twins.kernel.fd)), RAW) as program,
        RingBuffer(twins.kernel.fd, 4096) as reader,
    ):
        data, ours = host.memory.block(1024), twins.user
        for _ in range(400):
            size, flags = chance.choice((0, 1, 8, 9, 100, 500, 1016, 1023)), chance.choice((0, 0, 1, 2, 3, 4))
            content = chance.randbytes(1024)
            desk.update(bytes(4), struct.pack("=QQ48x", size, flags) + content)
            program.test_run()
            seen = struct.unpack_from("=q5Q", desk.lookup(bytes(4)) or b"", 16)
            data.view[:] = content
            result = ours.output_ptr(data.address, size, flags)
            assert (result, *map(ours.query, range(5))) == seen
            if chance.random() < 0.15:
                assert ours.drain() == drain(reader)


STACK = """
    r6 = map[fd:{desk}][0]+0x0
    r2 = map[fd:{stacks}]
    r3 = *(u64 *)(r6 +0)
    call bpf_get_stackid
    *(u64 *)(r6 +8) = r0
"""


@pytest.mark.parametrize("entries", [1, 64, 1000])
def test_stacks_get_the_same_numbers(asm: Asm, entries: int) -> None:
    with (
        new_host() as host,
        Twins(host, "stack_trace", 4, 127 * 8, entries) as twins,
        KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 16, 1) as desk,
        progs.load(asm((STACK + END).format(desk=desk.fd, stacks=twins.kernel.fd)), RAW) as program,
    ):
        for flags in (0, 1, 2, 1 << 9, 1 << 10, 3 << 9):
            desk.update(bytes(4), struct.pack("=QQ", flags | 1 << 10, 0))
            program.test_run()
            (number,) = struct.unpack_from("=q", desk.lookup(bytes(4)) or b"", 8)
            if number < 0:
                assert (entries, number) == (1, -12)  # no bucket is left to put another stack into
                assert twins.user.stackid(bytes(range(8)), flags & 3 << 9 | 1 << 10) == number
                continue
            value = twins.kernel.lookup(struct.pack("=I", number)) or b""
            frames = value[: value.find(bytes(8)) + 7 & ~7]
            assert twins.user.stackid(frames, flags & 3 << 9 | 1 << 10) == number
            assert twins.user.lookup(struct.pack("=I", number)) == value


@pytest.mark.parametrize("kind", [bpf.BPF_MAP_TYPE_HASH, bpf.BPF_MAP_TYPE_PERCPU_HASH])
def test_one_mapping_over_both(kind: int) -> None:
    with new_host() as host, KernelMap.create(kind, 4, 12, 8, 0, "both") as kernel:
        maps = [Map(kernel, "I", "IQ"), Map(create(host, kind, 4, 12, 8, 0, "both"), "I", "IQ")]
        results = []
        for m in maps:
            value = [(n, n * n) for n in range(host.cpus)] if m.percpu else (3, 9)
            m[1] = value
            m.update_batch(dict.fromkeys(range(2, 6), value))
            m.delete_batch([2, 3])
            with pytest.raises(KeyMissing):
                m[2]
            results.append((dict(m.items()), sorted(m), len(m), m.pop(1), m.take_all(), len(m), 4 in m))
        assert results[0] == results[1]
