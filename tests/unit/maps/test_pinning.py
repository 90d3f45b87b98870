"""Pins: one map while its host lives, its elements afterwards."""

import pytest

from cygnet.errors import FormatError, KeyExists, KeyMissing, PermissionDenied
from cygnet.maps.host import MapHost
from cygnet.maps.kinds.fds import ProgArray
from cygnet.maps.making import create
from cygnet.maps.pinning import open_pin, sync, unpin
from cygnet.uapi import bpf


def test_the_same_map_while_the_host_lives(host, tmp_path) -> None:
    path = str(tmp_path / "m")
    first = create(host, bpf.BPF_MAP_TYPE_HASH, 4, 4, 4, 0, "m")
    first.pin(path)
    with pytest.raises(KeyExists):
        first.pin(path)
    second = open_pin(host, path)
    assert second is first
    second.update(b"aaaa", b"bbbb")
    first.close()
    second.close()
    assert not first.closed and open_pin(host, path).lookup(b"aaaa") == b"bbbb"
    first.close()
    unpin(host, path)
    assert first.closed
    with pytest.raises(KeyMissing):
        open_pin(host, path)
    with pytest.raises(KeyMissing):
        unpin(host, path)


SHAPES = [("hash", 5, 3, 4, 0), ("array", 4, 8, 3, 0), ("percpu_array", 4, 12, 2, 0), ("percpu_hash", 4, 8, 2, 0),
          ("lru_hash", 4, 8, 2, 0), ("lpm_trie", 5, 8, 4, 1)]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s[0])
def test_elements_outlive_the_host(shape, tmp_path) -> None:
    name, key, value, entries, flags = shape
    path = str(tmp_path / "m")
    with MapHost(cpus=2) as host:
        made = create(host, getattr(bpf, f"BPF_MAP_TYPE_{name.upper()}"), key, value, entries, flags, "kept")
        made.pin(path)
        one = b"\1\0\0\0" + bytes(key - 4)
        made.update(
            one, made.split_percpu(bytes(made.value_bytes)) and bytes([7] * value).ljust(made.value_bytes, b"\0")
        )
        before = sorted(made.items())
    for cpus in (2, 2):
        with MapHost(cpus=cpus) as host:
            again = open_pin(host, path)
            assert (again.name, again.key_size, again.value_size, again.max_entries) == ("kept", key, value, entries)
            assert sorted(again.items()) == before
    with MapHost(cpus=3) as host:
        again = open_pin(host, path)
        assert {k: v[: len(before[0][1])] for k, v in again.items()} == dict(before)


def test_queues_and_frozen_maps(tmp_path) -> None:
    with MapHost(cpus=1) as host:
        queue = create(host, bpf.BPF_MAP_TYPE_STACK, 0, 2, 4)
        for value in (b"aa", b"bb", b"cc"):
            queue.push(value)
        queue.pin(str(tmp_path / "q"))
        array = create(host, bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 1)
        array.update(bytes(4), b"xyzw")
        array.freeze()
        array.pin(str(tmp_path / "a"))
        programs = create(host, bpf.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2)
        programs.update(bytes(4), host.add("program", "p").to_bytes(4, "little"))
        programs.pin(str(tmp_path / "p"))
        sync(host)
    with MapHost(cpus=1) as host:
        queue = open_pin(host, str(tmp_path / "q"))
        assert [queue.pop() for _ in range(4)] == [b"cc", b"bb", b"aa", None]
        array = open_pin(host, str(tmp_path / "a"))
        assert array.lookup(bytes(4)) == b"xyzw"
        with pytest.raises(PermissionDenied):
            array.update(bytes(4), b"0000")
        programs = open_pin(host, str(tmp_path / "p"))
        assert isinstance(programs, ProgArray) and programs.program(0) is None


@pytest.mark.parametrize("damage", [b"", b"CYGNMAP1", b"something else", b"CYGNMAP1\x02\0\0\0{}" + bytes(8)])
def test_files_that_are_no_maps(damage, host, tmp_path) -> None:
    path = tmp_path / "m"
    path.write_bytes(damage)
    with pytest.raises(FormatError, match="holds no map"):
        open_pin(host, str(path))


def test_a_file_cut_short(tmp_path) -> None:
    path = tmp_path / "m"
    with MapHost(cpus=1) as host:
        made = create(host, bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 3)
        made.pin(str(path))
    path.write_bytes(path.read_bytes()[:-1])
    with MapHost(cpus=1) as host:
        with pytest.raises(FormatError):
            open_pin(host, str(path))
        assert not host.maps
