"""Maps of the user-space machine against the kernel's, type by type: what is refused, with which error."""

from __future__ import annotations

import itertools
import os
import random
import socket
import struct
from collections.abc import Iterator

import pytest
from tests.kernel.maptwins import Twins, kernel_map, kernel_peek, new_host, outcome, u32

from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.facts.maptypes import map_types
from cygnet.kernel.cpus import possible
from cygnet.kernel.rlimit import kernel_version
from cygnet.maps.fields import special_fields
from cygnet.maps.host import MapHost
from cygnet.maps.kinds.events import PerfEvent
from cygnet.maps.making import create
from cygnet.uapi import bpf

PAGE = 4096
ROWS = [row for row in map_types() if row.vm != "kernel_only"]
SIZES = {"hash": (8, 12, 4), "percpu_hash": (8, 12, 4), "lru_hash": (8, 12, 64), "lru_percpu_hash": (5, 12, 64)}
# Descriptors in values are two worlds: these have tests of their own.
WITH_DESCRIPTORS = {"prog_array", "perf_event_array", "array_of_maps", "hash_of_maps", "xskmap", "sockmap", "sockhash",
                    "sk_storage", "task_storage", "inode_storage", "cgrp_storage"}  # fmt: skip


@pytest.fixture
def host() -> Iterator[MapHost]:
    with new_host() as made:
        yield made


def plain_sizes(name: str, key: str, value: str, entries: str) -> tuple[int, int, int]:
    if name in SIZES:
        return SIZES[name]
    k = {"none": 0, "any": 4, "u32": 4, "lpm": 8, "id": 4, "cgroup": 16}[key]
    v = {"none": 0, "any": 8, "u32": 4, "dev": 8, "cpu": 8, "stack": 64, "sock": 8}[value]
    return k, v, {"any": 4, "zero": 0, "pages": PAGE}[entries]


FLAGS = (0, 1, 2, 4, 8, 0x10, 0x18, 0x20, 0x40, 0x80, 0x100, 0x180, 0x200, 0x400, 0x800, 0x1000, 3, 1 << 20)


@pytest.mark.parametrize("row", [r for r in ROWS if not r.name.endswith("_of_maps")], ids=lambda r: r.name)
def test_creation(row, host) -> None:
    """Each size and each flag around what is right, one at a time."""
    key, value, entries = plain_sizes(row.name, row.key, row.value, row.entries)
    flags = 1 if "no_prealloc" in row.flags else 0
    cases = [(k, value, entries, flags) for k in (0, 1, 3, 4, 5, 7, 8, 12, 16, 260, 261, 512, 513)]
    cases += [(key, v, entries, flags) for v in (0, 1, 2, 4, 6, 7, 8, 12, 16, 24, 32, 1016, 1024, 32760, 40000)]
    cases += [(key, value, e, flags) for e in (0, 1, 2, 3, PAGE, PAGE + 1, 3 * PAGE, 4 * PAGE)]
    cases += [(key, value, entries, f | flags) for f in FLAGS] + [(key, value, entries, 0)]
    wrong = []
    for case in cases:
        if "btf" in row.flags and not case[1]:
            continue  # BTF of no bytes is refused on other grounds
        theirs = outcome(lambda case=case: kernel_map(row, *case).close())
        ours = outcome(lambda case=case: create(host, row.id, *case).close())
        if theirs != ours and not (row.name == "cpumap" and entries != case[2]):  # NR_CPUS is the kernel's own
            wrong.append((case, theirs, ours))
    assert not wrong


@pytest.mark.parametrize("row", [r for r in ROWS if r.name not in WITH_DESCRIPTORS], ids=lambda r: r.name)
def test_every_operation_answers_alike(row, host) -> None:
    """Random operations with few keys, right and wrong flags, and all commands, whether the type has them or not."""
    key, value, entries = plain_sizes(row.name, row.key, row.value, row.entries)
    chance = random.Random(row.id)
    with Twins(host, row.name, key, value, entries) as twins:
        keys = keys_of(row.name, row.key, key)
        values = values_of(row.value, twins.user.value_bytes, chance)
        for _ in range(400):
            step(twins, chance, keys, values)


def keys_of(name: str, rule: str, size: int) -> list[bytes]:
    if rule == "none":
        return [b""]
    if rule == "lpm":
        data = (b"\0\0\0\0", b"\x0a\0\0\0", b"\x0a\x01\0\0", b"\x0a\x01\x02\x03", b"\x80\0\0\0", b"\xff\xff\xff\xff")
        return [u32(n) + d for n, d in itertools.product((0, 1, 8, 9, 16, 31, 32, 33), data)]
    if rule == "cgroup":
        return [struct.pack("=QII", 1 << 60, 0, 0)]
    numbers = range(6) if rule == "any" else (0, 1, 2, 3, 4, 5, 0xFFFFFFFF)
    if name.startswith("lru"):
        numbers = range(3)
    return [n.to_bytes(max(size, 4), "little")[:size] for n in numbers]


def values_of(rule: str, size: int, chance: random.Random) -> list[bytes]:
    if rule == "dev":
        return [struct.pack("=Ii", i, p) for i, p in ((0, 0), (1, 0), (1, -1), (0, 5), (1, 1000), (0, -1))]
    if rule == "cpu":
        return [struct.pack("=Ii", q, p) for q, p in ((0, 0), (64, 0), (64, -1), (16385, 0), (64, 1000))]
    return [padded(chance.randbytes(size), size) for _ in range(6)]


def padded(value: bytes, size: int) -> bytes:
    """Per-CPU values of 12 bytes: their padding is not kept, so it must be zero to be compared."""
    if size % 16 == 0 and size == 16 * len(possible()):
        return b"".join(value[at : at + 12] + bytes(4) for at in range(0, size, 16))
    return value


def step(twins: Twins, chance: random.Random, keys: list[bytes], values: list[bytes]) -> None:
    key, value = chance.choice(keys), chance.choice(values)
    what = chance.randrange(12)
    if what < 5:
        twins.same("update", key, value, chance.choice((0, 0, 0, 1, 2, 3, 4, 5, 8, 1 << 40)))
    elif what < 7:
        twins.same("delete", key)
    elif what < 8:
        if twins.row.name != "stack_trace" or kernel_version() >= (6, 18):  # 6.12 has not got it there
            twins.same("lookup_and_delete", key)
    elif what < 10:
        if twins.row.name != "bloom_filter":
            twins.same("lookup", key)
    elif twins.row.key == "any":
        twins.same("next_key", None) if twins.user.count == 0 else twins.same_contents()
    else:
        twins.same("next_key", None if what == 10 or not key else key)


def locked_types(fields: str) -> tuple[bytes, int, int]:
    """A value of 32 bytes with a lock, a timer, or both."""
    types = Builder()
    key = types.integer(4, False, "u32")
    lock = types.struct("bpf_spin_lock", 4, [("val", key, 0)])
    members = [("n", key, 0)]
    if "lock" in fields:
        members.append(("lock", lock, 32))
    if "timer" in fields:
        words = types.array(types.integer(8, False, "u64"), 2)
        members.append(("timer", types.struct("bpf_timer", 16, [("__opaque", words, 0)]), 64))
    members.append(("m", types.array(key, 2), 192))
    value = types.struct("value", 32, members)
    return types.to_bytes(), key, value


HOLDERS = [(name, fields) for name in ("array", "hash") for fields in ("lock", "timer", "lock timer")]


@pytest.mark.parametrize("name", ["array", "hash", "lru_hash", "percpu_array", "percpu_hash", "lru_percpu_hash"])
@pytest.mark.parametrize("fields", ["lock", "timer", "lock timer"])
@pytest.mark.parametrize("flags", [0, bpf.BPF_F_RDONLY_PROG])
def test_which_maps_hold_locks_and_timers(name, fields, flags, host) -> None:
    row = next(r for r in ROWS if r.name == name)
    data, key_type, value_type = locked_types(fields)
    found = special_fields(Btf(data).type(value_type))
    theirs = outcome(lambda: kernel_map(row, 4, 32, 4, flags, types=(data, key_type, value_type)).close())
    assert outcome(lambda: create(host, row.id, 4, 32, 4, flags, fields=found).close()) == theirs


@pytest.mark.parametrize(("name", "fields"), [*HOLDERS, ("lru_hash", "timer")])
def test_values_with_locks_and_timers(name, fields, host) -> None:
    chance = random.Random(name)
    with Twins(host, name, 4, 32, 64 if name == "lru_hash" else 3, types=locked_types(fields)) as twins:
        for _ in range(150):
            k, v = u32(chance.randrange(4)), chance.randbytes(32)
            what = chance.randrange(6)
            if what < 3:
                twins.same("update", k, v, chance.choice((0, 0, 1, 2, 4, 4, 5, 6, 7, 8)))
            elif what == 3:
                twins.same("delete", k)
            elif what == 4:
                twins.same("lookup_and_delete", k)
            else:
                twins.same("lookup", k)
            twins.same_contents()
        twins.same("freeze")


def test_an_array_of_locks_takes_no_lock_flag(host) -> None:
    with Twins(host, "array", 4, 8, 2) as twins:
        twins.same("update", u32(0), bytes(8), bpf.BPF_F_LOCK)


@pytest.mark.parametrize("name", ["array", "hash", "lpm_trie", "queue", "percpu_array", "bloom_filter"])
@pytest.mark.parametrize("flags", [bpf.BPF_F_RDONLY, bpf.BPF_F_WRONLY, bpf.BPF_F_RDONLY_PROG, bpf.BPF_F_WRONLY_PROG])
def test_access_flags(name, flags, host) -> None:
    row = next(r for r in ROWS if r.name == name)
    key, value, entries = plain_sizes(row.name, row.key, row.value, row.entries)
    with Twins(host, name, key, value, entries, flags | (1 if name == "lpm_trie" else 0)) as twins:
        content = bytes(twins.user.value_bytes)
        k = bytes(key)
        twins.same("update", k, content)
        if name != "bloom_filter":
            twins.same("lookup", k)
        twins.same("delete", k)
        twins.same("next_key")
        twins.same("lookup_and_delete", k)
        twins.same("freeze")
        twins.same("update", k, content)


@pytest.mark.parametrize("name", ["array", "hash", "percpu_hash", "queue", "lru_hash", "devmap"])
def test_a_frozen_map(name, host) -> None:
    row = next(r for r in ROWS if r.name == name)
    key, value, entries = plain_sizes(row.name, row.key, row.value, row.entries)
    with Twins(host, name, key, value, entries) as twins:
        k, v = bytes(key), struct.pack("=II", 1, 0) if name == "devmap" else bytes(twins.user.value_bytes)
        for method, arguments in (("update", (k, v)), ("freeze", ()), ("freeze", ()), ("update", (k, v)),
                                  ("delete", (k,)), ("lookup", (k,)), ("lookup_and_delete", (k,))):  # fmt: skip
            twins.same(method, *arguments)


def test_mmap_keeps_a_map_from_freezing(host) -> None:
    with Twins(host, "array", 4, 12, 3, bpf.BPF_F_MMAPABLE) as twins:
        theirs, ours = twins.kernel.mmap(), twins.user.mmap()
        assert len(theirs) == len(ours)
        theirs[16:28] = ours[16:28] = bytes(range(12))
        twins.same("lookup", u32(1))
        twins.same("update", u32(2), bytes(range(50, 62)))
        assert theirs[:] == bytes(ours)
        twins.same("freeze")
        theirs.close()
        del ours
        twins.same("freeze")
        assert outcome(lambda: twins.kernel.mmap().close())[0] == outcome(lambda: twins.user.mmap())[0]
        theirs, ours = twins.kernel.mmap(False), twins.user.mmap(False)
        assert theirs[:] == bytes(ours)
        theirs.close()


@pytest.mark.parametrize(("size", "hashes"), [(8, 0), (5, 3), (40, 15), (1, 1), (12, 2), (13, 2), (24, 7)])
def test_a_bloom_filter_is_wrong_about_the_same_values(size, hashes, host) -> None:
    chance = random.Random(size)
    with Twins(host, "bloom_filter", 0, size, 20, bpf.BPF_F_ZERO_SEED, hashes) as twins:
        for _ in range(20):
            twins.same("push", chance.randbytes(size))
        asked = [chance.randbytes(size) for _ in range(300)]
        ours = [twins.user.has(value) for value in asked]
        assert ours == [kernel_peek(twins.kernel, value) for value in asked]
        assert size == 1 or not all(ours)


def test_a_trie_walks_in_the_kernels_order(host) -> None:
    chance = random.Random(7)
    with Twins(host, "lpm_trie", 6, 8, 64) as twins:
        for _ in range(60):
            key = u32(chance.randrange(17)) + chance.choice((b"\0", b"\x0f", b"\xf0", b"\xaa")) + chance.randbytes(1)
            twins.same("update", key, chance.randbytes(8))
            twins.same("next_key", key)
            assert list(twins.kernel.keys()) == list(twins.user.keys())
        for key in list(twins.user.keys())[::3]:
            twins.same("delete", key)
            assert list(twins.kernel.keys()) == list(twins.user.keys())
            twins.same("lookup", u32(16) + key[4:])


def test_batches(host) -> None:
    keys, values = b"".join(map(u32, range(6))), bytes(range(48))
    for name, flags in (("hash", 0), ("array", 0), ("lpm_trie", 1)):
        key = 5 if name == "lpm_trie" else 4
        batch = b"".join(u32(8) + bytes((n,)) for n in range(6)) if key == 5 else keys
        with Twins(host, name, key, 8, 4, flags) as twins:
            twins.same("update_batch", batch[: 3 * key], values[:24])
            twins.same_contents()
            twins.same("update_batch", batch, values)
            twins.same_contents()
            twins.same("delete_batch", batch[: 2 * key])
            twins.same("delete_batch", batch)
            twins.same_contents()
            twins.same("update_batch", batch[: 2 * key], values[:16], bpf.BPF_NOEXIST)
            twins.same("clear")
            twins.same_contents()


# ── values that are descriptors ──


def test_socket_maps(host) -> None:
    for name, key in (("sockmap", 4), ("sockhash", 6)):
        keys = [n.to_bytes(key, "little") for n in (0, 1, 2, 3, 4)]
        with Twins(host, name, key, 8, 3) as twins, udp() as one, udp() as two, open("/dev/null") as file:
            real = {"one": one.fileno(), "two": two.fileno(), "file": file.fileno(), "none": 9999}
            simulated = {"one": host.add("socket", one), "two": host.add("socket", two),
                         "file": host.add("program", file), "none": 9999}  # fmt: skip
            chance = random.Random(key)
            for _ in range(200):
                k, which, flags = chance.choice(keys), chance.choice(list(real)), chance.choice((0, 0, 0, 1, 2, 3, 4))
                if chance.random() < 0.6:
                    twins.both(
                        lambda m, k=k, d=real[which], f=flags: m.update(k, struct.pack("=Q", d), f),
                        lambda m, k=k, d=simulated[which], f=flags: m.update(k, struct.pack("=Q", d), f),
                    )
                elif chance.random() < 0.5:
                    twins.same("delete", k)
                elif key == 4:
                    twins.same("next_key", k)
                for k in keys:
                    twins.both(lambda m, k=k: m.lookup(k) is None, lambda m, k=k: m.lookup(k) is None)


def udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.connect(made.getsockname())
    return made


def test_a_sockmap_without_room_for_cookies(host) -> None:
    with Twins(host, "sockmap", 4, 4, 3) as twins:
        twins.same("lookup", u32(0))
        twins.same("next_key")


def test_socket_storage(host) -> None:
    with Twins(host, "sk_storage", 4, 8, 0) as twins, udp() as one, open("/dev/null") as file:
        pairs = [(one.fileno(), host.add("socket", one)), (file.fileno(), host.add("inode", 0)), (9999, 9999)]
        storage_alike(twins, pairs)


def test_task_and_cgroup_storage(host) -> None:
    pidfd = os.pidfd_open(os.getpid())
    try:
        with Twins(host, "task_storage", 4, 12, 0) as twins:
            storage_alike(twins, [(pidfd, host.add("task", os.getpid())), (9999, 9999)])
    finally:
        os.close(pidfd)
    with open("/dev/null") as file, Twins(host, "inode_storage", 4, 12, 0) as twins:
        try:
            storage_alike(twins, [(file.fileno(), host.add("inode", 1)), (9999, 9999)])
        except AssertionError as error:
            if "524" not in str(error) and "NotSupported" not in str(error):
                raise


def storage_alike(twins: Twins, pairs: list[tuple[int, int]]) -> None:
    chance = random.Random(3)
    for _ in range(100):
        real, ours = chance.choice(pairs)
        value, flags = chance.randbytes(twins.user.value_size), chance.choice((0, 0, 1, 2, 3, 4, 8))
        what = chance.randrange(4)
        if what < 2:
            twins.both(
                lambda m, r=real, v=value, f=flags: m.update(u32(r), v, f),
                lambda m, o=ours, v=value, f=flags: m.update(u32(o), v, f),
            )
        elif what == 2:
            twins.both(lambda m, r=real: m.delete(u32(r)), lambda m, o=ours: m.delete(u32(o)))
        else:
            twins.both(lambda m, r=real: m.lookup(u32(r)), lambda m, o=ours: m.lookup(u32(o)))


@pytest.mark.parametrize("name", ["array_of_maps", "hash_of_maps"])
def test_maps_of_maps(name, host) -> None:
    with Twins(host, "array", 4, 8, 2) as inner, Twins(host, name, 4, 4, 3, inner=inner) as outer:
        others = [Twins(host, "array", 4, 8, 2), Twins(host, "array", 4, 8, 3), Twins(host, "hash", 4, 8, 2)]
        try:
            chance = random.Random(1)
            for _ in range(150):
                key, other, flags = (
                    u32(chance.randrange(5)),
                    chance.choice([inner, *others]),
                    chance.choice((0, 0, 0, 1, 2, 4)),
                )
                what = chance.randrange(5)
                if what < 3:
                    outer.both(
                        lambda m, k=key, o=other, f=flags: m.update(k, u32(o.kernel.fd), f),
                        lambda m, k=key, o=other, f=flags: m.update(k, u32(o.user.id), f),
                    )
                elif what == 3:
                    outer.same("delete", key)
                else:
                    outer.both(lambda m, k=key: m.lookup(k) is None, lambda m, k=key: m.lookup(k) is None)
            outer.same("update", u32(0), u32(9999))
            with open("/dev/null") as file:
                program = host.add("program", None)
                outer.both(lambda m: m.update(u32(0), u32(file.fileno())), lambda m: m.update(u32(0), u32(program)))
        finally:
            for other in others:
                other.close()


def test_arrays_of_programs_and_events(host) -> None:
    for name in ("prog_array", "perf_event_array", "xskmap"):
        with Twins(host, name, 4, 4, 3) as twins, udp() as one, open("/dev/null") as file:
            pairs = [(one.fileno(), host.add("socket", one)), (file.fileno(), host.add("inode", 1)), (9999, 9999)]
            for real, ours in pairs[1 if name != "xskmap" else 0 :]:
                for index, flags in ((0, 0), (3, 0), (0, 1), (0, 2), (0, 3)):
                    twins.both(
                        lambda m, r=real, i=index, f=flags: m.update(u32(i), u32(r), f),
                        lambda m, o=ours, i=index, f=flags: m.update(u32(i), u32(o), f),
                    )
            for index in (0, 2, 3):
                twins.same("delete", u32(index))
                twins.same("lookup", u32(index))
                twins.same("next_key", u32(index))


def test_perf_events_can_be_entered(host) -> None:
    with new_host() as made:
        array = create(made, bpf.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 2)
        array.update(u32(1), u32(made.add("perf_event", PerfEvent())))
        assert array.event(1) is not None and array.event(0) is None
