"""Maps on the live kernel: every operation, type by type; bpftool is the witness."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
from pathlib import Path

import pytest

from cygnet.errors import KeyExists, KeyMissing, MapFull, NotSupported, SystemCallError
from cygnet.kernel import cpus, objects
from cygnet.kernel.maps import KernelMap
from cygnet.uapi import bpf

HASHES = {
    "hash": bpf.BPF_MAP_TYPE_HASH,
    "lru_hash": bpf.BPF_MAP_TYPE_LRU_HASH,
    "percpu_hash": bpf.BPF_MAP_TYPE_PERCPU_HASH,
    "lru_percpu_hash": bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH,
}
ARRAYS = {"array": bpf.BPF_MAP_TYPE_ARRAY, "percpu_array": bpf.BPF_MAP_TYPE_PERCPU_ARRAY}


def key(n: int) -> bytes:
    return struct.pack("=I", n)


def value_for(store: KernelMap, n: int) -> bytes:
    """A value of the map's size; of a per-CPU map, another number on each CPU."""
    count = store.value_bytes // 8
    return struct.pack(f"={count}Q", *range(n, n + count))


def bpftool(*words: str) -> object:
    run = subprocess.run(["bpftool", "-j", *words], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@pytest.mark.parametrize("kind", HASHES)
def test_hash_operations(kind: str) -> None:
    with KernelMap.create(HASHES[kind], 4, 8, 100, 0, "t") as m:
        assert m.lookup(key(1)) is None
        assert m.next_key() is None
        m.update(key(1), value_for(m, 10))
        assert m.lookup(key(1)) == value_for(m, 10)
        with pytest.raises(KeyExists):
            m.update(key(1), value_for(m, 11), bpf.BPF_NOEXIST)
        with pytest.raises(KeyMissing):
            m.update(key(2), value_for(m, 11), bpf.BPF_EXIST)
        m.update(key(1), value_for(m, 11), bpf.BPF_EXIST)
        assert dict(m.items()) == {key(1): value_for(m, 11)}
        assert m.delete(key(1)) is True
        assert m.delete(key(1)) is False
        assert list(m.items()) == []


@pytest.mark.parametrize("kind", HASHES | ARRAYS)
@pytest.mark.parametrize("count", [1, 1000])
def test_items_are_what_was_put(kind: str, count: int) -> None:
    with KernelMap.create((HASHES | ARRAYS)[kind], 4, 8, count * 2 if kind in HASHES else count) as m:
        expected = {key(n): value_for(m, n) for n in range(count)}
        assert m.update_batch(b"".join(expected), b"".join(expected.values())) == count
        found = dict(m.items())
        if kind.startswith("lru"):  # it may have thrown some out
            assert found.items() <= expected.items()
            assert len(found) > count // 2
        else:
            assert found == expected
            assert set(m.keys()) == set(expected)


def test_batch_token_goes_on_over_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    from cygnet.kernel import batch

    monkeypatch.setattr(batch, "_BATCH_BYTES", 1)  # 64 elements a call
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 5000) as m:
        for n in range(3000):
            m.update(key(n), value_for(m, n))
        count, keys, values = m.dump()
        assert count == 3000
        assert set(struct.unpack("=3000I", keys)) == set(range(3000))
        assert sorted(struct.unpack("=3000Q", values)) == list(range(3000))


def test_bucket_larger_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from cygnet.kernel import batch

    monkeypatch.setattr(batch, "min", lambda *_: 1, raising=False)  # one element a call: no bucket of two fits
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 64) as m:
        for n in range(64):
            m.update(key(n), value_for(m, n))
        assert dict(m.items()) == {key(n): value_for(m, n) for n in range(64)}


def test_dump_and_delete() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 100) as m:
        m.update_batch(key(1) + key(2), value_for(m, 1) + value_for(m, 2))
        count, keys, _ = m.dump(delete=True)
        assert count == 2
        assert {keys[:4], keys[4:]} == {key(1), key(2)}
        assert m.dump() == (0, b"", b"")


def test_delete_batch_and_clear() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 100) as m:
        m.update_batch(b"".join(map(key, range(10))), bytes(80))
        assert m.delete_batch(key(1) + key(2)) == 2
        with pytest.raises(KeyMissing):
            m.delete_batch(key(1))
        assert len(list(m.items())) == 8
        m.clear()
        assert list(m.items()) == []


def test_a_batch_that_stops_is_not_done_again() -> None:
    """EINVAL is the second key's here, and not the kernel's that knows no batches."""
    good, bad = bytes(5), b"\x09" + bytes(4)
    with KernelMap.create(bpf.BPF_MAP_TYPE_LPM_TRIE, 5, 1, 4, bpf.BPF_F_NO_PREALLOC) as m:
        m.update(good, b"a")
        with pytest.raises(SystemCallError) as refused:
            m.delete_batch(good + bad)
        assert refused.value.errno == errno.EINVAL
        assert m.lookup(good) is None


@pytest.mark.parametrize("kind", ARRAYS)
def test_clearing_an_array_sets_it_to_zero(kind: str) -> None:
    with KernelMap.create(ARRAYS[kind], 4, 8, 3) as m:
        m.update(key(1), value_for(m, 7))
        m.clear()
        assert [v for _, v in m.items()] == [bytes(m.value_bytes)] * 3


def test_map_without_batches_is_walked() -> None:
    """A stack trace map has none: the kernel says ENOTSUPP."""
    with KernelMap.create(bpf.BPF_MAP_TYPE_STACK_TRACE, 4, 64, 16) as m:
        assert list(m.items()) == []
    with KernelMap.create(bpf.BPF_MAP_TYPE_LPM_TRIE, 8, 8, 16, bpf.BPF_F_NO_PREALLOC) as m:
        m.update(struct.pack("=I4B", 8, 10, 0, 0, 0), bytes(8))
        assert list(m.items()) == [(struct.pack("=I4B", 8, 10, 0, 0, 0), bytes(8))]
        m.clear()
        assert list(m.items()) == []


def test_full_map() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 2) as m:
        m.update(key(1), bytes(8))
        m.update(key(2), bytes(8))
        with pytest.raises(MapFull, match="2 entries"):
            m.update(key(3), bytes(8))
    with KernelMap.create(bpf.BPF_MAP_TYPE_LPM_TRIE, 8, 8, 1, bpf.BPF_F_NO_PREALLOC) as m:
        m.update(struct.pack("=I4B", 8, 10, 0, 0, 0), bytes(8))
        with pytest.raises(MapFull):
            m.update(struct.pack("=I4B", 8, 11, 0, 0, 0), bytes(8))
    with KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 2) as m, pytest.raises(MapFull):
        m.update(key(2), bytes(8))


def test_percpu_values_one_by_one() -> None:
    count = len(cpus.possible())
    with KernelMap.create(bpf.BPF_MAP_TYPE_PERCPU_HASH, 4, 12, 10) as m:
        assert m.value_bytes == 16 * count
        values = [bytes([n]) * 12 for n in range(count)]
        m.update_percpu(key(1), values)
        assert m.lookup_percpu(key(1)) == values
        assert m.lookup_percpu(key(2)) is None


@pytest.mark.parametrize(("type", "order"), [(bpf.BPF_MAP_TYPE_QUEUE, [1, 2, 3]), (bpf.BPF_MAP_TYPE_STACK, [3, 2, 1])])
def test_queue_and_stack(type: int, order: list[int]) -> None:
    with KernelMap.create(type, 0, 4, 3) as m:
        for n in (1, 2, 3):
            m.push(key(n))
        with pytest.raises(MapFull):
            m.push(key(4))
        assert m.lookup(b"") == key(order[0])
        assert [m.pop() for _ in range(4)] == [*map(key, order), None]


def test_lookup_and_delete_of_a_hash() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10) as m:
        m.update(key(1), value_for(m, 5))
        assert m.lookup_and_delete(key(1)) == value_for(m, 5)
        assert m.lookup_and_delete(key(1)) is None


def test_wrong_sizes_are_ours_to_catch() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10, 0, "m") as m:
        with pytest.raises(ValueError, match="a key of map 'm' has 4 bytes, not 3"):
            m.lookup(b"abc")
        with pytest.raises(ValueError, match="a value of map 'm' has 8 bytes, not 1"):
            m.update(key(1), b"x")
        with pytest.raises(ValueError):
            m.update_batch(b"abc", b"")


def test_array_in_shared_memory() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 3, bpf.BPF_F_MMAPABLE) as m:
        memory = m.mmap()
        memory[8:16] = struct.pack("=Q", 77)
        assert m.lookup(key(1)) == struct.pack("=Q", 77)
        m.update(key(2), struct.pack("=Q", 99))
        assert memory[16:24] == struct.pack("=Q", 99)
        memory.close()


def test_frozen_map() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1) as m:
        m.freeze()
        with pytest.raises(SystemCallError):
            m.update(key(0), bytes(8))
        assert m.lookup(key(0)) == bytes(8)


def test_map_in_map() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1) as inner:
        outer = KernelMap.create(bpf.BPF_MAP_TYPE_HASH_OF_MAPS, 4, 4, 5, inner_map_fd=inner.fd)
        with outer:
            outer.update(key(1), struct.pack("=I", inner.fd))
            assert outer.lookup(key(1)) == struct.pack("=I", inner.id)


def test_info_is_what_bpftool_says() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_PERCPU_HASH, 12, 20, 33, bpf.BPF_F_NO_PREALLOC, "witness") as m:
        info = m.info()
        seen = bpftool("map", "show", "id", str(info.id))
        assert isinstance(seen, dict)
        assert (info.name, info.key_size, info.value_size, info.max_entries, info.flags) == (
            seen["name"],
            seen["bytes_key"],
            seen["bytes_value"],
            seen["max_entries"],
            seen["flags"],
        )
        assert seen["type"] == "percpu_hash"
        assert info.id in objects.ids("map")


def test_bpftool_reads_our_values() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10) as m:
        m.update(b"\1\2\3\4", b"abcdefgh")
        (row,) = bpftool("map", "dump", "id", str(m.id))  # type: ignore[misc]
        assert bytes(int(x, 16) for x in row["key"]) == b"\1\2\3\4"
        assert bytes(int(x, 16) for x in row["value"]) == b"abcdefgh"


def test_from_fd_and_from_id() -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10, 0, "again") as m:
        m.update(key(1), value_for(m, 5))
        for other in (KernelMap.from_id(m.id), KernelMap.from_fd(os.dup(m.fd))):
            with other:
                assert (other.name, other.value_size) == ("again", 8)
                assert other.lookup(key(1)) == value_for(m, 5)


def test_pin() -> None:
    path = Path(f"/sys/fs/bpf/cygnet-test-{os.getpid()}")
    if not os.path.ismount("/sys/fs/bpf"):
        raise NotSupported("pinning", "a bpf file system at /sys/fs/bpf")
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10) as m:
        m.pin(str(path))
        try:
            with KernelMap.from_pin(str(path)) as other:
                assert other.id == m.id
        finally:
            path.unlink()


def test_close_twice_and_many() -> None:
    m = KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10)
    m.close()
    m.close()
    assert m.fd == -1


def test_impossible_map() -> None:
    with pytest.raises(SystemCallError, match="cannot create map 'odd'"):
        KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 0, 8, 10, 0, "odd")
    with pytest.raises(NotSupported, match="map type 999"):
        try:
            KernelMap.create(999, 4, 8, 10)
        except NotSupported as error:
            assert error.feature == "map type 999"
            raise
