"""The assembly of hot map operations against the same operations in Python: random sequences, equal answers."""

from __future__ import annotations

import random
import struct

import pytest
from tests.unit.maps.conftest import AsProgram, Machine

from cygnet.maps import header
from cygnet.maps.making import create
from cygnet.maps.memory import load64
from cygnet.uapi import bpf

KINDS = ("hash", "percpu_hash", "lru_hash", "lru_percpu_hash")


def pair(
    machine: Machine, name: str, key: int, value: int, entries: int, flags: int = 0
) -> tuple[AsProgram, AsProgram]:
    number = getattr(bpf, f"BPF_MAP_TYPE_{name.upper()}")
    made = [create(machine.maps, number, key, value, entries, flags, name) for _ in range(2)]
    return AsProgram(machine, made[0], True), AsProgram(machine, made[1], False)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("key_size", [1, 3, 4, 5, 8, 11, 12, 15, 16, 20, 33])
@pytest.mark.parametrize("value_size", [1, 4, 8, 13])
def test_hashes(machine, name, key_size, value_size) -> None:
    chance = random.Random(key_size * 100 + value_size)
    entries = 13
    one, two = pair(machine, name, key_size, value_size, entries)
    # Keys that differ in one byte, anywhere; as many as fit for LRU maps, so that the same ones go.
    base = chance.randbytes(key_size)
    keys = list({bytes(b ^ (i == n % key_size) * (1 + n // key_size) for i, b in enumerate(base)) for n in range(18)})
    for _ in range(300):
        machine.maps.cpu = chance.randrange(2)
        key, what = chance.choice(keys), chance.randrange(10)
        if what < 5:
            value, flags = chance.randbytes(value_size), chance.choice((0, 0, 0, 1, 2, 3, 4, 1 << 40))
            assert one.update(key, value, flags) == two.update(key, value, flags)
        elif what < 8:
            assert one.lookup(key) == two.lookup(key)
        else:
            assert one.delete(key) == two.delete(key)
        assert load64(one.store.handle + header.COUNT) == load64(two.store.handle + header.COUNT)
    assert sorted(one.store.items()) == sorted(two.store.items())
    walked = list(one.store.keys())
    assert sorted(walked) == sorted(two.store.keys())
    # What one way leaves behind the other goes on with.
    for key in walked:
        assert one.store.lookup(key) == two.store.lookup(key)
        assert one.store.delete(key)
    assert one.store.dump()[0] == 0


@pytest.mark.parametrize("name", ["array", "percpu_array"])
@pytest.mark.parametrize("value_size", [1, 4, 8, 13, 32])
def test_arrays(machine, name, value_size) -> None:
    chance = random.Random(value_size)
    one, two = pair(machine, name, 4, value_size, 5)
    for _ in range(200):
        machine.maps.cpu = chance.randrange(2)
        key = struct.pack("=I", chance.choice((0, 1, 2, 3, 4, 5, 0xFFFFFFFF)))
        if chance.random() < 0.5:
            value, flags = chance.randbytes(value_size), chance.choice((0, 0, 0, 1, 2, 3, 1 << 33))
            assert one.update(key, value, flags) == two.update(key, value, flags)
        assert one.lookup(key) == two.lookup(key)
    assert list(one.store.items()) == list(two.store.items())


def test_a_replaced_value_stays_readable(machine) -> None:
    """As in the kernel: the old value is there until the next replacement takes its place."""
    for way in pair(machine, "hash", 8, 8, 4):
        key = bytes(8)
        way.update(key, b"first   ", 0)
        address = way.store.lookup_ptr(way._key.address, 0)
        way.update(key, b"second  ", 0)
        assert struct.pack("=Q", load64(address)) == b"first   "
        assert way.lookup(key) == b"second  "


def test_rings(machine) -> None:
    chance = random.Random(5)
    one, two = (create(machine.maps, bpf.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, "ring") for _ in range(2))
    data = machine.host.memory.block(5000, "data")
    output = one.MACHINE_CODE["output"]
    reserve, submit = one.UNCHECKED_CODE["reserve"], one.UNCHECKED_CODE["submit"]
    for _ in range(600):
        what, size = chance.randrange(8), chance.choice((0, 1, 7, 8, 9, 100, 1000, 4080, 4088, 4089, 5000))
        flags = chance.choice((0, 0, 1, 2, 3, 4))
        if what < 5:
            data.view[:size] = chance.randbytes(size)
            ours = machine.call(output, one.handle, data.address, size, flags)
            assert ours == two.output_ptr(data.address, size, flags)
        elif what < 7:
            ours, theirs = machine.call(reserve, one.handle, size, 0), two.reserve_ptr(size, 0)
            assert (ours == 0) == (theirs == 0)
            if ours:
                assert two.is_reserved(theirs) and one.is_reserved(ours)
                assert one.owner_of(ours) == one.ring
                machine.call(submit, ours, flags & 3)
                two.commit_ptr(theirs, flags & 3)
        else:
            records = one.drain()
            assert [len(r) for r in records] == [len(r) for r in two.drain()]
        assert [one.query(n) for n in range(5)] == [two.query(n) for n in range(5)]
        assert one.wakeups == two.wakeups


@pytest.mark.parametrize("size", [2**32 - 1, 2**30, 2**63])
def test_a_ring_has_no_room_for_too_much(machine, size) -> None:
    ring = create(machine.maps, bpf.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, "ring")
    assert machine.call(ring.UNCHECKED_CODE["reserve"], ring.handle, size, 0) == 0 == ring.reserve_ptr(size)
    assert machine.call(ring.MACHINE_CODE["output"], ring.handle, 0, size, 0) == -11
