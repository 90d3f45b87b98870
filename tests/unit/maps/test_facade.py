"""Maps as mappings: types of keys and values, per-CPU lists, errors."""

import pytest

from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.errors import KeyExists, KeyMissing, MapFull, SystemCallError
from cygnet.maps.codecs import codec, of_type
from cygnet.maps.facade import Map
from cygnet.maps.making import create
from cygnet.uapi import bpf


def hash_map(host, key=4, value=8, entries=4, kind=bpf.BPF_MAP_TYPE_HASH):
    return create(host, kind, key, value, entries, 0, "counts")


def test_a_mapping(host) -> None:
    m = Map(hash_map(host), "I", "q")
    m[1] = -5
    m[1] += 2
    m[2] = 7
    assert m[1] == -3 and 2 in m and 3 not in m and len(m) == 2
    assert dict(m.items()) == {1: -3, 2: 7} == dict(m)
    assert sorted(m.values()) == [-3, 7] and (2, 7) in m.items()
    assert m.setdefault(3, 9) == 9 and m.get(4) is None
    assert m.pop(3) == 9 and m.pop(3, "none") == "none"
    del m[2]
    with pytest.raises(KeyError):
        del m[2]
    with pytest.raises(KeyMissing, match="no key 2"):
        m[2]
    with pytest.raises(KeyMissing):
        m.pop(2)
    m.clear()
    assert not m


def test_flags_have_names(host) -> None:
    m = Map(hash_map(host, entries=1), "I", "Q")
    m.insert(1, 1)
    with pytest.raises(KeyExists):
        m.insert(1, 2)
    m.replace(1, 3)
    with pytest.raises(KeyMissing):
        m.replace(2, 3)
    with pytest.raises(MapFull, match="1 entries"):
        m[2] = 1


def test_batches(host) -> None:
    m = Map(hash_map(host, entries=10), "I", "Q")
    assert m.update_batch({n: n * n for n in range(5)}) == 5
    assert m.update_batch([(7, 1)]) == 1
    assert m.delete_batch([0, 1]) == 2
    with pytest.raises(KeyMissing):
        m.delete_batch([2, 0, 3])
    assert m.take_all() == {3: 9, 4: 16, 7: 1}
    assert len(m) == 0


def test_values_of_each_cpu(host) -> None:
    m = Map(hash_map(host, value=5, kind=bpf.BPF_MAP_TYPE_PERCPU_HASH), "I", "IB")
    m[1] = [(1, 2), (3, 4)]
    assert m[1] == [(1, 2), (3, 4)]
    with pytest.raises(ValueError, match="2 CPUs"):
        m[1] = [(1, 2)]


def test_queues(host) -> None:
    m = Map(create(host, bpf.BPF_MAP_TYPE_QUEUE, 0, 8, 2), value="Q")
    m.push(1)
    m.push(2)
    assert m.peek() == 1
    with pytest.raises(MapFull):
        m.push(3)
    m.push(3, bpf.BPF_EXIST)
    assert [m.take(), m.take()] == [2, 3]
    with pytest.raises(KeyMissing, match="empty"):
        m.take()


def test_arrays_cannot_lose_keys(host) -> None:
    m = Map(create(host, bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 3), "I", "f")
    m[2] = 1.5
    assert list(m) == [0, 1, 2] and m[2] == 1.5
    with pytest.raises(SystemCallError):
        del m[0]
    with pytest.raises(KeyError):
        m[3]
    m.clear()
    assert list(m.values()) == [0, 0, 0]


def test_bytes_without_types(host) -> None:
    m = Map(hash_map(host))
    m[b"abcd"] = b"12345678"
    assert m[b"abcd"] == b"12345678"
    with pytest.raises(ValueError, match="4 bytes are wanted, not 3"):
        m[b"abc"]


def test_formats_must_fit(host) -> None:
    with pytest.raises(ValueError, match="the type has 8 bytes, the map 4"):
        Map(hash_map(host), "Q", "Q")
    m = Map(hash_map(host), "HH", "Q")
    m[1, 2] = 3
    assert list(m) == [(1, 2)]
    with pytest.raises(ValueError):
        m[1, 70000]


def test_btf_types(host) -> None:
    types = Builder()
    u32 = types.integer(4, False, "u32")
    s16 = types.integer(2, True, "short")
    char = types.char()
    number = types.struct("event", 16, [
        ("pid", u32, 0), ("comm", types.array(char, 6), 32), ("pair", types.array(s16, 2), 80),
    ])  # fmt: skip
    of = Btf(types.to_bytes()).type(number)
    event = of_type(of)
    packed = event.pack({"pid": 7, "comm": "cat", "pair": (-1, 300)})
    assert packed == b"\x07\0\0\0cat\0\0\0\xff\xff\x2c\x01\0\0"
    value = event.unpack(packed)
    assert value == (7, b"cat", (-1, 300)) and value.comm == b"cat"
    assert event.pack(value) == packed
    m = Map(hash_map(host, value=16), "I", of)
    m[1] = (1, b"dog", (0, 0))
    assert m[1].comm == b"dog"
    with pytest.raises(ValueError):
        m[1] = (1, b"too long a name", (0, 0))
    with pytest.raises(ValueError):
        codec(of, 15)


def test_bit_fields_enumerations_and_nesting() -> None:
    types = Builder()
    u32, byte = types.integer(4, False, "u32"), types.integer(1, False, "u8")
    colour = types.enum("colour", [("RED", 1), ("BLUE", 5)])
    inner = types.struct("inner", 4, [("low", u32, 0, 3), ("high", u32, 3, 7)])
    union = types.struct("either", 4, [("a", u32, 0), ("b", byte, 0)], union=True)
    whole = types.struct("whole", 24, [
        ("colour", colour, 0), ("inner", inner, 32), ("either", union, 64), ("ok", types.boolean(), 96),
        ("where", types.ptr(), 128),
    ])  # fmt: skip
    made = of_type(Btf(types.to_bytes()).type(whole))
    value = made.unpack(made.pack(("BLUE", (5, 100), b"abcd", True, 1 << 60)))
    assert value == (5, (5, 100), b"abcd", True, 1 << 60) and value.inner.high == 100
    with pytest.raises(ValueError, match="RED, BLUE"):
        made.pack(("GREEN", (0, 0), bytes(4), False, 0))
    with pytest.raises(ValueError, match="5 fields"):
        made.pack((1, 2))
