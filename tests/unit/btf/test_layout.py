"""Sizes, paths and tags."""

from __future__ import annotations

import struct

import pytest
from tests.unit.btf.samples import sample

from cygnet.btf import kinds as k
from cygnet.btf import layout
from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.errors import BtfError


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Btf(sample().to_bytes())


PATHS = [
    ("next", 0, "0:0"),
    ("name[3]", 11, "0:1:3"),
    ("whole", 24, "0:2:0:0"),
    ("low", 24, "0:2:0:1"),
    ("points[0].y", 36, "0:2:1:0:1"),
    ("grid[0][1].y", 52, "0:3:0:1:1"),
]


@pytest.mark.parametrize(("path", "offset", "access"), PATHS)
def test_member_path(btf: Btf, path: str, offset: int, access: str) -> None:
    node = btf.find("node", k.STRUCT)
    assert node is not None
    found = layout.member_path(node, path)
    assert (found.byte_offset, found.access) == (offset, access)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nothing", "STRUCT node has no member nothing"),
        ("next.next", "PTR .anonymous. has no member next"),
        ("name[16]", "outside of an array of 16"),
        ("low[0]", "INT int is not an array"),
        ("name[", "bad member path"),
        ("name[-1]", "bad member path"),
        ("", "bad member path"),
        ("grid..x", "bad member path"),
        ("a b", "bad member path"),
    ],
)
def test_bad_paths_say_what_is_wrong(btf: Btf, path: str, words: str) -> None:
    node = btf.find("node", k.STRUCT)
    assert node is not None
    with pytest.raises(BtfError, match=words):
        layout.member_path(node, path)


def test_bitfields_and_flattened_members(btf: Btf) -> None:
    flags, node = btf.find("flags"), btf.find("node", k.STRUCT)
    assert flags is not None and node is not None
    at = layout.member_path(flags, "c")
    assert (at.bit_offset, at.bitfield_size) == (8, 20)
    names = [m.steps[-1].name for m in layout.all_members(node)]
    assert names == ["next", "name", "whole", "low", "points", "grid"]
    assert [m.byte_offset for m in layout.all_members(node)] == [0, 8, 24, 24, 32, 40]


def test_sizes(btf: Btf) -> None:
    node = btf.find("node", k.STRUCT)
    assert node is not None
    sizes = {m.name: btf.size_of(m.type_id) for m in node.members}
    assert sizes == {"next": struct.calcsize("P"), "name": 16, "": 16, "grid": 16}
    assert layout.align_of(node) == 8 and layout.align_of(layout.member_path(node, "grid").type) == 4
    for bad in (btf.type(0), btf.find("walk"), btf.find("later")):
        assert bad is not None
        with pytest.raises(BtfError, match="has no size"):
            btf.size_of(bad)


def test_user_pointers(btf: Btf) -> None:
    walk = btf.find("walk", k.FUNC)
    assert walk is not None
    node, text = (btf.type(p.type_id) for p in walk.params)
    assert layout.is_user_ptr(text) and not layout.is_user_ptr(node)
    assert layout.pointer_tags(text) == ("user",) and layout.pointer_tags(btf.type(0)) == ()


def test_endless_aliases_end() -> None:
    b = Builder()
    first = len(b) + 1
    b.const(first + 1)
    b.typedef("round", first)
    btf = Btf(b.to_bytes())
    for question in (btf.resolve, btf.size_of, lambda t: layout.type_tags(btf.type(t))):
        with pytest.raises(BtfError):
            question(first)


def test_a_struct_that_holds_itself_ends() -> None:
    b = Builder()
    me = b.reserve()
    b.struct("me", 8, [("", me, 0)], at=me)
    btf = Btf(b.to_bytes())
    with pytest.raises(BtfError):
        layout.all_members(btf.type(me))
    with pytest.raises(BtfError):
        layout.member_path(btf.type(me), "x")
    with pytest.raises(BtfError):
        layout.align_of(btf.type(me))
