"""Corners of maps against the kernel's: batches and freezing of every type, inner maps, long prefixes, memory maps."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from tests.kernel.maptwins import NO_PREALLOC, Twins, kernel_map, new_host, outcome, u32
from tests.kernel.stage import cgroup_of_our_own
from tests.kernel.test_maps_same import (
    ROWS,
    WITH_DESCRIPTORS,
    keys_of,
    locked_types,
    plain_sizes,
    storage_alike,
    values_of,
)

from cygnet.facts.maptypes import MapType, map_type
from cygnet.kernel.maps import KernelMap
from cygnet.maps.host import MapHost
from cygnet.maps.making import create
from cygnet.uapi import bpf

PLAIN = [row for row in ROWS if row.name not in WITH_DESCRIPTORS]
KEYED = [row for row in PLAIN if row.key != "none" and row.key != "cgroup"]


@pytest.fixture
def host() -> Iterator[MapHost]:
    with new_host() as made:
        yield made


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("row", KEYED, ids=lambda row: row.name)
def test_batches_of_every_type(row: MapType, host: MapHost) -> None:
    """Up to more keys than there is room for, keys twice, wrong keys, wrong flags."""
    key, value, entries = plain_sizes(row.name, row.key, row.value, row.entries)
    chance = random.Random(row.name)
    with Twins(host, row.name, key, value, entries) as twins:
        keys, values = keys_of(row.name, row.key, key), values_of(row.value, twins.user.value_bytes, chance)
        for _ in range(60):
            some = [chance.choice(keys) for _ in range(chance.choice((0, 1, 2, 3, 6)))]
            flags = chance.choice((0, 0, 0, 1, 2, 3, 4, 8))
            if chance.random() < 0.6:
                twins.same("update_batch", b"".join(some), b"".join(chance.choice(values) for _ in some), flags)
            else:
                twins.same("delete_batch", b"".join(some))
            twins.same_contents()
        twins.same("clear")
        twins.same_contents()


@pytest.mark.parametrize("name", ["array", "hash"])
def test_batches_of_locked_values(name: str, host: MapHost) -> None:
    chance = random.Random(name)
    with Twins(host, name, 4, 32, 3, types=locked_types("lock")) as twins:
        for _ in range(60):
            some = [u32(chance.randrange(4)) for _ in range(chance.choice((1, 2, 3)))]
            values = b"".join(chance.randbytes(32) for _ in some)
            twins.same("update_batch", b"".join(some), values, chance.choice((0, 4, 5, 6, 8)))
            twins.same_contents()


# ── freezing, and what user space may ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_freezing_every_type(row: MapType, host: MapHost) -> None:
    key, value, entries = plain_sizes(row.name, row.key, row.value, row.entries)
    inner = Twins(host, "array", 4, 8, 1) if row.name.endswith("_of_maps") else None
    try:
        with Twins(host, row.name, key, 4 if inner else value, entries, inner=inner) as twins:
            content = bytes(twins.user.value_bytes)
            twins.same("freeze")
            twins.same("update", bytes(key), content)
            twins.same("delete", bytes(key))
            twins.same("lookup_and_delete", bytes(key))
            if key:
                twins.same("update_batch", bytes(key), content)
                twins.same("delete_batch", bytes(key))
            twins.same("freeze")
    finally:
        if inner is not None:
            inner.close()


_ACCESS = (bpf.BPF_F_RDONLY, bpf.BPF_F_WRONLY)


@pytest.mark.parametrize("row", PLAIN, ids=lambda row: row.name)
@pytest.mark.parametrize("flags", _ACCESS, ids=["rdonly", "wronly"])
def test_access_of_user_space_to_every_type(row: MapType, flags: int, host: MapHost) -> None:
    key, value, entries = plain_sizes(row.name, row.key, row.value, row.entries)
    flags |= NO_PREALLOC if "no_prealloc" in row.flags else 0
    theirs = outcome(lambda: kernel_map(row, key, value, entries, flags).close())
    ours = outcome(lambda: create(host, row.id, key, value, entries, flags).close())
    assert theirs == ours
    if theirs[0] != "gives":
        return
    with Twins(host, row.name, key, value, entries, flags) as twins:
        content = bytes(twins.user.value_bytes)
        twins.same("update", bytes(key), content)
        if row.name != "bloom_filter":
            twins.same("lookup", bytes(key))
        twins.same("next_key")
        twins.same("lookup_and_delete", bytes(key))
        twins.same("delete", bytes(key))
        twins.same("freeze")


# ── maps of maps ─────────────────────────────────────────────────────────────────────────────────────────

#: type, key size, value size, entries, flags
_INNER = [
    ("array", 4, 8, 2, 0), ("array", 4, 8, 3, 0), ("array", 4, 4, 2, 0), ("array", 4, 8, 2, bpf.BPF_F_RDONLY_PROG),
    ("array", 4, 8, 2, bpf.BPF_F_INNER_MAP), ("array", 4, 8, 5, bpf.BPF_F_INNER_MAP),
    ("array", 4, 8, 2, bpf.BPF_F_MMAPABLE),
    ("percpu_array", 4, 8, 2, 0), ("hash", 4, 8, 2, 0),
    ("hash", 4, 8, 9, 0), ("hash", 8, 8, 2, 0), ("hash", 4, 8, 2, NO_PREALLOC),
    ("lru_hash", 4, 8, 8, 0), ("lpm_trie", 8, 8, 2, NO_PREALLOC), ("queue", 0, 8, 2, 0), ("queue", 0, 8, 3, 0),
    ("ringbuf", 0, 0, 4096, 0), ("ringbuf", 0, 0, 8192, 0), ("bloom_filter", 0, 8, 4, 0), ("devmap", 4, 4, 2, 0),
    ("sockmap", 4, 8, 2, 0), ("prog_array", 4, 4, 2, 0), ("perf_event_array", 4, 4, 2, 0), ("stack_trace", 4, 64, 2, 0),
]  # fmt: skip


def _twins(host: MapHost, shape: tuple[str, int, int, int, int]) -> Twins:
    name, key, value, entries, flags = shape
    return Twins(host, name, key, value, entries, flags)


@pytest.mark.parametrize("outer", ["array_of_maps", "hash_of_maps"])
@pytest.mark.parametrize("template", _INNER, ids=str)
def test_inner_maps_that_fit(outer: str, template: tuple[str, int, int, int, int], host: MapHost) -> None:
    """Which maps can be templates, and which maps a template lets in."""
    row, made = map_type(outer), [_twins(host, shape) for shape in _INNER]
    try:
        inner = made[_INNER.index(template)]
        theirs = outcome(lambda: kernel_map(row, 4, 4, 2, 0, inner.kernel).close())
        assert outcome(lambda: create(host, row.id, 4, 4, 2, 0, inner=inner.user).close()) == theirs
        if theirs[0] != "gives":
            return
        with Twins(host, outer, 4, 4, 2, 0, inner=inner) as twins:
            for other in made:
                twins.both(
                    lambda m, o=other: m.update(u32(0), u32(o.kernel.fd)),
                    lambda m, o=other: m.update(u32(0), u32(o.user.id)),
                )
            twins.same("update", u32(0), u32(1 << 20))
    finally:
        for one in made:
            one.close()


def test_maps_of_maps_of_maps(host: MapHost) -> None:
    row = map_type("array_of_maps")
    with Twins(host, "array", 4, 8, 1) as inner, Twins(host, "array_of_maps", 4, 4, 1, inner=inner) as middle:
        theirs = outcome(lambda: kernel_map(row, 4, 4, 1, 0, middle.kernel).close())
        assert outcome(lambda: create(host, row.id, 4, 4, 1, inner=middle.user).close()) == theirs


def test_templates_with_locks(host: MapHost) -> None:
    with (
        Twins(host, "array", 4, 32, 1, types=locked_types("lock")) as locked,
        Twins(host, "array", 4, 32, 1, types=locked_types("lock")) as same,
        Twins(host, "array", 4, 32, 1) as plain,
        Twins(host, "array", 4, 32, 1, types=locked_types("timer")) as timed,
    ):
        for template in (locked, plain):
            with Twins(host, "hash_of_maps", 4, 4, 2, inner=template) as outer:
                for other in (locked, same, plain, timed):
                    outer.both(
                        lambda m, o=other: m.update(u32(0), u32(o.kernel.fd)),
                        lambda m, o=other: m.update(u32(0), u32(o.user.id)),
                    )


# ── tries ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("data", [1, 16, 31, 256])
def test_prefixes_of_long_keys(data: int, host: MapHost) -> None:
    chance = random.Random(data)
    base = chance.randbytes(data)
    with Twins(host, "lpm_trie", 4 + data, 4, 40) as twins:
        for _ in range(150):
            bits = chance.choice((0, 1, 7, 8, 9, 8 * data - 1, 8 * data, 8 * data + 1, chance.randrange(8 * data + 1)))
            flip = chance.randrange(8 * data)
            key = bytearray(base)
            key[flip // 8] ^= 0x80 >> flip % 8
            full = u32(bits) + bytes(chance.choice((key, base)))
            what = chance.randrange(5)
            if what < 2:
                twins.same("update", full, chance.randbytes(4), chance.choice((0, 0, 1, 2)))
            else:
                twins.same(("lookup", "delete", "next_key")[what - 2], full)
        assert list(twins.kernel.keys()) == list(twins.user.keys())


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "value", "flags"),
    [("array", 8, 0), ("array", 8, bpf.BPF_F_MMAPABLE), ("array", 5, bpf.BPF_F_MMAPABLE), ("hash", 8, 0), ("percpu_array", 8, 0),
     ("array", 8, bpf.BPF_F_MMAPABLE | bpf.BPF_F_RDONLY), ("array", 8, bpf.BPF_F_MMAPABLE | bpf.BPF_F_WRONLY),
     ("array", 8, bpf.BPF_F_MMAPABLE | bpf.BPF_F_RDONLY_PROG)],
)  # fmt: skip
@pytest.mark.parametrize("writable", [True, False])
def test_memory_maps(name: str, value: int, flags: int, writable: bool, host: MapHost) -> None:
    def length(store: object) -> int:
        made = store.mmap(writable)  # type: ignore[attr-defined]
        size = len(made)
        if isinstance(store, KernelMap):
            made.close()
        return size

    with Twins(host, name, 4, value, 600, flags) as twins:
        twins.both(length, length)


# ── storage ──────────────────────────────────────────────────────────────────────────────────────────────


def test_cgroup_storage(host: MapHost) -> None:
    with cgroup_of_our_own("maps") as path, open("/dev/null") as file, Twins(host, "cgrp_storage", 4, 12, 0) as twins:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            pairs = [(fd, host.add("cgroup", 1)), (file.fileno(), host.add("inode", 1)), (9999, 9999)]
            storage_alike(twins, pairs)
        finally:
            os.close(fd)


@pytest.mark.parametrize("name", ["sk_storage", "task_storage", "cgrp_storage", "inode_storage"])
def test_storage_has_no_order(name: str, host: MapHost) -> None:
    """No next key, nothing to take out, no batches."""
    with Twins(host, name, 4, 8, 0) as twins:
        twins.same("next_key")
        twins.same("next_key", u32(0))
        twins.same("lookup_and_delete", u32(0))
        twins.same("freeze")


# ── queues ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["queue", "stack"])
@pytest.mark.parametrize("entries", [1, 2, 7])
def test_full_queues(name: str, entries: int, host: MapHost) -> None:
    chance = random.Random(entries)
    with Twins(host, name, 0, 8, entries) as twins:
        for _ in range(120):
            what = chance.randrange(5)
            if what < 3:
                twins.same(
                    "update",
                    b"",
                    chance.randbytes(8),
                    chance.choice((0, bpf.BPF_EXIST, bpf.BPF_EXIST, bpf.BPF_NOEXIST, 4)),
                )
            else:
                twins.same(("lookup", "lookup_and_delete")[what - 3], b"")
