"""What a kernel cannot be asked about: LRU's choice, rings' readers, storage, special fields, lifetimes."""

import struct

import pytest

from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.errors import KeyMissing, MapFull, NotSupported, SystemCallError
from cygnet.maps.fields import SpecialField, special_fields
from cygnet.maps.host import MapHost
from cygnet.maps.kinds.jhash import jhash
from cygnet.maps.making import create
from cygnet.maps.memory import load32, read, store32, write
from cygnet.uapi import bpf


def u32(n: int) -> bytes:
    return struct.pack("=I", n)


def first_bytes(store) -> list[int]:
    return sorted(key[0] for key, _ in store.items())


def lookup(host, store, key: bytes) -> int:
    block = host.memory.block(len(key))
    block.view[:] = key
    try:
        return store.lookup_ptr(block.address, host.cpu)
    finally:
        block.close()


def test_lru_spares_what_was_used(host) -> None:
    lru = create(host, bpf.BPF_MAP_TYPE_LRU_HASH, 4, 4, 4)
    for n in range(4):
        lru.update(u32(n), u32(n))
    assert lookup(host, lru, u32(0)) and lookup(host, lru, u32(2))
    lru.update(u32(4), u32(4))
    lru.update(u32(5), u32(5))
    assert first_bytes(lru) == [0, 2, 4, 5]
    for n in range(100, 300):
        lru.update(u32(n), u32(n))
        assert lru.lookup(u32(n)) == u32(n) and lru.count == 4


def test_lru_shares_of_cpus(host) -> None:
    lru = create(host, bpf.BPF_MAP_TYPE_LRU_HASH, 4, 4, 3, bpf.BPF_F_NO_COMMON_LRU)
    assert lru.max_entries == 4  # as many for each CPU
    for n in range(2):
        lru.update(u32(n), u32(n))
    host.cpu = 1
    for n in range(10, 20):
        lru.update(u32(n), u32(n))
    assert first_bytes(lru) == [0, 1, 18, 19]
    assert lru.delete(u32(0))
    host.cpu = 0
    lru.update(u32(50), u32(0))
    assert first_bytes(lru) == [1, 18, 19, 50]


def test_many_keys(host) -> None:
    store = create(host, bpf.BPF_MAP_TYPE_HASH, 4, 4, 1 << 30, bpf.BPF_F_NO_PREALLOC)
    keys = [u32(n * 0x10001) for n in range(5000)]
    store.update_batch(b"".join(keys), b"".join(keys))
    assert store.count == 5000 and all(store.lookup(key) == key for key in keys)
    assert sorted(dict(store.items())) == sorted(keys)
    assert store.next_key() is not None


def test_a_batch_goes_on_where_it_stopped(host) -> None:
    store = create(host, bpf.BPF_MAP_TYPE_HASH, 4, 4, 64)
    for n in range(10):
        store.update(u32(n), u32(n))
    found, token = store.lookup_batch(None, 4)
    while token is not None:
        more, token = store.lookup_batch(token, 4)
        found += more
    assert sorted(found) == [(u32(n), u32(n)) for n in range(10)]
    taken, _ = store.lookup_batch(None, 3, delete=True)
    assert len(taken) == 3 and store.count == 7


def test_programs_touch_values_and_nothing_else(host) -> None:
    store = create(host, bpf.BPF_MAP_TYPE_HASH, 4, 12, 4)
    store.update(u32(1), bytes(12))
    at = lookup(host, store, u32(1))
    regions = host.memory.regions
    assert regions.find(at, 12, True) and not regions.find(at, 13) and not regions.find(at - 1, 1)
    assert not regions.find(store.handle, 8)
    constant = create(host, bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1, bpf.BPF_F_RDONLY_PROG)
    at = lookup(host, constant, u32(0))
    assert regions.find(at, 8) and not regions.find(at, 8, True)
    before = len(regions)
    store.close()
    constant.close()
    assert len(regions) == before - 2


def test_records_are_read_in_place(host) -> None:
    ring = create(host, bpf.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096)
    regions = host.memory.regions
    for text in (b"12345678", b"abcdefgh"):
        record = ring.reserve_ptr(8)
        assert regions.find(record, 8, True) and not regions.find(record, 9, True)
        write(record, text)
        ring.commit_ptr(record)
        assert not regions.find(record, 1)
    batch = ring.read_batch()
    assert (batch.count, batch.stride, batch.length) == (2, 16, 8)
    assert bytes(batch.view[8:16]) == b"12345678"
    ring.consume(batch.end)
    assert ring.read_batch() is None and ring.wakeups == 1
    held, dropped, last = (ring.reserve_ptr(n) for n in (3, 5, 7))
    ring.commit_ptr(dropped, discard=True)
    ring.commit_ptr(last)
    assert ring.read_batch() is None and ring.is_reserved(held)
    ring.commit_ptr(held)
    assert [len(r) for r in ring.drain()] == [3, 7]


def test_records_around_the_end(host) -> None:
    ring = create(host, bpf.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096)
    data = host.memory.block(1000)
    for n in range(50):
        data.view[:] = bytes([n]) * 1000
        assert ring.output_ptr(data.address, 1000) == 0
        assert ring.drain() == [bytes([n]) * 1000]
    assert ring.available() == 0


def test_a_user_ring(host) -> None:
    ring = create(host, bpf.BPF_MAP_TYPE_USER_RINGBUF, 0, 0, 4096)
    ring.submit(b"one")
    ring.submit(b"gone", discard=True)
    assert ring.samples() == [b"one"]
    error, at, size = ring.sample_ptr()
    assert (error, read(at, size)) == (0, b"one") and host.memory.regions.find(at, size)
    assert not host.memory.regions.find(at, size, True)
    ring.release_sample(size)
    assert ring.sample_ptr()[0] == -11
    assert ring.sample_ptr()[0] == -61
    with pytest.raises(MapFull):
        ring.submit(bytes(5000))


def test_stacks_have_numbers(host) -> None:
    stacks = create(host, bpf.BPF_MAP_TYPE_STACK_TRACE, 4, 32, 4)
    one = struct.pack("=2Q", 1, 2)
    number = stacks.stackid(one)
    assert 0 <= number < 4 and stacks.stackid(one) == number
    assert stacks.lookup(u32(number)) == one + bytes(16)
    other = next(f for n in range(100) if jhash(f := struct.pack("=Q", n)) & 3 == number)
    assert stacks.stackid(other) == -17
    assert stacks.stackid(other, 1 << 10) == number
    assert stacks.lookup(u32(number)) == other + bytes(24)
    assert stacks.lookup_and_delete(u32(number)) == other + bytes(24)
    assert stacks.lookup(u32(number)) is None


def test_storage_of_owners(host) -> None:
    task, store = host.add("task", "pid 1"), create(host, bpf.BPF_MAP_TYPE_TASK_STORAGE, 4, 8, 0, 1)
    assert store.storage_ptr(task, 0, 0) == 0
    at = store.storage_ptr(task, 0, 1)
    store32(at, 5)
    assert store.storage_ptr(task, 0, 0) == at
    assert store.lookup(u32(task)) == b"\5" + bytes(7)
    assert store.owners() == [task]
    assert store.delete_of(task) == 0 and store.delete_of(task) == -2
    with pytest.raises(SystemCallError):
        store.lookup(u32(9999))


def test_storage_of_attached_cgroups(host) -> None:
    store = create(host, bpf.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, 16, 4, 0)
    key = struct.pack("=QII", 77, 2, 0)
    with pytest.raises(KeyMissing):
        store.update(key, bytes(16))
    store32(store.local_ptr(77, 2, 1), 9)
    assert store.lookup_percpu(key) == [bytes(4), u32(9)]
    assert list(store.keys()) == [key]
    store.detach(77, 2)
    assert store.lookup(key) is None


def locked_value():
    types = Builder()
    word = types.integer(4, False, "u32")
    lock = types.struct("bpf_spin_lock", 4, [("val", word, 0)])
    timer = types.struct("bpf_timer", 16, [("__opaque", types.array(types.integer(8, False, "u64"), 2), 0)])
    number = types.struct("value", 32, [("n", word, 0), ("lock", lock, 32), ("timer", timer, 64), ("m", word, 192)])
    return Btf(types.to_bytes()).type(number)


def test_locks_and_timers_are_not_copied(host) -> None:
    fields = special_fields(locked_value())
    assert fields == (SpecialField("spin_lock", 4, 4), SpecialField("timer", 8, 16))
    gone = []
    host.release = lambda store, address: gone.append(address)
    for kind in (bpf.BPF_MAP_TYPE_ARRAY, bpf.BPF_MAP_TYPE_HASH):
        store = create(host, kind, 4, 32, 2, fields=fields)
        assert store.lock_at == 4 and store.field_at("timer") == 8
        assert set(store.machine_code()) == {"lookup"}
        store.update(u32(0), b"\xff" * 32)
        assert store.lookup(u32(0)) == b"\xff" * 4 + bytes(20) + b"\xff" * 8
        at = lookup(host, store, u32(0))
        assert load32(at + 4) == 0
        store32(at + 4, 1)
        store.update(u32(0), b"\xee" * 32, bpf.BPF_F_LOCK)
        assert load32(at + 4) == 1 and read(at, 4) == b"\xee" * 4
        with pytest.raises(NotSupported):
            store.freeze()
        gone.clear()
        if kind == bpf.BPF_MAP_TYPE_HASH:
            store.delete(u32(0))
            assert gone == [at]


def test_each_element_for_a_callback(host) -> None:
    for kind, size in ((bpf.BPF_MAP_TYPE_HASH, 5), (bpf.BPF_MAP_TYPE_PERCPU_HASH, 4), (bpf.BPF_MAP_TYPE_ARRAY, 4)):
        store = create(host, kind, size, 4, 3)
        for n in range(3):
            store.update(n.to_bytes(size, "little"), u32(n).ljust(8, b"\0") * 2 if store.percpu else u32(n))
        assert store.each_is_possible()
        seen = [(read(key, size)[0], load32(value)) for key, value in store.each_ptr(1)]
        assert sorted(seen) == [(0, 0), (1, 1), (2, 2)]
    assert not create(host, bpf.BPF_MAP_TYPE_QUEUE, 0, 4, 3).each_is_possible()


def test_inner_maps_live_as_long_as_the_outer(host) -> None:
    inner = create(host, bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 1)
    outer = create(host, bpf.BPF_MAP_TYPE_HASH_OF_MAPS, 4, 4, 2, inner=inner)
    outer.set_map(u32(5), inner)
    inner.close()
    assert not inner.closed and host.map_at(lookup(host, outer, u32(5))) is inner
    outer.delete(u32(5))
    assert inner.closed and host.map_at(inner.handle) is None


def test_a_closed_host_leaves_nothing() -> None:
    host = MapHost(cpus=1)
    create(host, bpf.BPF_MAP_TYPE_HASH, 4, 4, 4)
    create(host, bpf.BPF_MAP_TYPE_LPM_TRIE, 8, 4, 4, 1)
    host.close()
    host.close()
    assert not host.maps and not host.things
