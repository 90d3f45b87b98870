"""Bytes that look like a record of the wanted name, and are none."""

from __future__ import annotations

from cygnet.btf import kinds as k
from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf


def test_an_enumerator_whose_value_looks_like_a_typedef() -> None:
    b = Builder()
    b.enum("bits", [("twin", k.TYPEDEF << 24), ("next", k.INT << 24), ("last", k.FLOAT << 24)])
    b.enum("end", [("twin", k.TYPEDEF << 24)])
    assert Btf(b.to_bytes()).find("twin", k.TYPEDEF) is None
    alias = b.typedef("twin", b.integer(4))
    found = Btf(b.to_bytes()).find("twin", k.TYPEDEF)
    assert found is not None and found.id == alias


def test_an_enumerator_of_64_bits_that_looks_like_a_typedef_of_void() -> None:
    b = Builder()
    b.enum("bits", [("twin", k.TYPEDEF << 24), ("next", k.FLOAT << 24)], size=8)
    assert Btf(b.to_bytes()).find("twin", k.TYPEDEF) is None


def test_a_bitfield_whose_type_id_equals_the_names_offset() -> None:
    """Member words (name, type id, width<<24 | offset): the last two read as (name, info) of a struct."""
    b = Builder()
    wanted = b.string("w")
    while len(b) < wanted - 1:
        b.ptr(len(b))
    field = b.integer(4)
    assert field == wanted
    b.struct("holder", 8, [("one", field, 0, k.STRUCT), ("two", field, k.STRUCT, k.STRUCT)])
    assert Btf(b.to_bytes()).find("w", k.STRUCT) is None
    real = b.struct("w", 0, [])
    found = Btf(b.to_bytes()).find("w", k.STRUCT)
    assert found is not None and found.id == real


def test_a_whole_index_gives_the_same_answers() -> None:
    b = Builder()
    for n in range(300):
        b.struct(f"s{n}", 4, [(f"s{n + 1}", b.integer(4, True), 0, 4)])
        b.enum(f"e{n}", [(f"s{n}", n << 24)])
    fresh, walked = Btf(b.to_bytes()), Btf(b.to_bytes())
    assert walked.type_count == len(b)
    for n in range(301):
        first, second = fresh.find(f"s{n}", k.STRUCT), walked.find(f"s{n}", k.STRUCT)
        assert (first and first.id) == (second and second.id), n
