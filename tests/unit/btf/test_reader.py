"""Types of built BTF, read back."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tests.unit.btf.samples import sample

from cygnet.btf import kinds as k
from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.errors import BtfError


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Btf(sample().to_bytes())


def named(btf: Btf, name: str, kind: int | None = None):
    found = btf.find(name, kind)
    assert found is not None
    return found


def test_every_record_is_reached_by_id_and_by_name(btf: Btf) -> None:
    types = list(btf.types())
    assert len(types) == btf.type_count == len(sample())
    for number, of in enumerate(types, 1):
        assert btf.type(number) is of and of.id == number
        if of.name:
            assert (
                of in Btf(sample().to_bytes()).find_all(of.name, of.kind)
                or named(btf, of.name, of.kind).name == of.name
            )


def test_find_asks_for_the_kind(btf: Btf) -> None:
    assert named(btf, "node", k.STRUCT).kind == k.STRUCT
    assert btf.find("node", k.UNION) is None  # a parameter has that name too
    assert btf.find("x") is None and btf.find("") is None and btf.find("a\0b") is None
    assert btf.find("oint", k.STRUCT) is None


def test_find_reads_the_tail_of_a_shared_string() -> None:
    b = Builder()
    b.struct("whole_name", 0, [])
    data = bytearray(b.to_bytes())
    (name,) = struct.unpack_from("=I", data, 24)
    struct.pack_into("=I", data, 24, name + 6)
    assert Btf(bytes(data)).find("name", k.STRUCT) is not None


def test_find_reads_one_tail_among_very_many() -> None:
    """Each string of a large object that ends so might be shared; one pass looks for all of them."""
    b = Builder()
    for number in range(100):
        b.struct(f"s{number}_x", 0, [])
        b.enum(f"e{number}", [(f"v{number}_x", number)])
    data = bytearray(b.to_bytes())
    btf = Btf(bytes(data))
    assert btf.find("x", k.STRUCT) is None and btf.find("x") is None and btf.find_enumerator("x") is None
    wanted = btf.find("s70_x", k.STRUCT)
    owner, _ = btf.find_enumerator("v80_x") or pytest.fail("not found")
    assert wanted is not None
    for position, skipped in ((wanted._position, 4), (owner._position + 3, 4)):
        (name,) = struct.unpack_from("=I", data, 24 + 4 * position)
        struct.pack_into("=I", data, 24 + 4 * position, name + skipped)
    btf = Btf(bytes(data))
    found = btf.find("x", k.STRUCT)
    assert found is not None and found.id == wanted.id and btf.find("x", k.UNION) is None
    assert btf.find_enumerator("x") == (btf.type(owner.id), 80)


def test_struct_members(btf: Btf) -> None:
    flags = named(btf, "flags", k.STRUCT)
    assert [(m.name, m.bit_offset, m.bitfield_size) for m in flags.members] == [("a", 0, 3), ("b", 3, 5), ("c", 8, 20)]
    assert flags.size == 4 and flags.kind_flag
    assert [m.byte_offset for m in named(btf, "point").members] == [0, 4]


def test_enumerators_are_signed_and_wide(btf: Btf) -> None:
    assert named(btf, "colour").enumerators == (("RED", 0), ("GREEN", 1))
    assert named(btf, "level").enumerators == (("LOW", -1), ("HIGH", 1))
    assert named(btf, "wide").enumerators == (("BIG", 1 << 40), ("MINUS", -2))
    owner, value = btf.find_enumerator("MINUS") or pytest.fail("not found")
    assert (owner.name, value) == ("wide", -2)
    assert btf.find_enumerator("x") is None and btf.find_enumerator("none") is None


def test_functions_and_variables(btf: Btf) -> None:
    assert [f.name for f in btf.functions()] == ["walk", "print"]
    walk, printer = btf.functions()
    assert [p.name for p in walk.params] == ["node", "text"] and not walk.is_variadic and printer.is_variadic
    assert (walk.linkage, printer.linkage, named(btf, "counter").linkage) == (k.GLOBAL, k.STATIC, k.GLOBAL)
    (held,) = named(btf, ".data").variables
    assert (btf.type(held.type_id).name, held.offset, held.size) == ("counter", 0, 8)
    tag = named(btf, "guarded", k.DECL_TAG)
    assert tag.component == 1 and tag.type.name == "node"


def test_integers(btf: Btf) -> None:
    char, boolean = named(btf, "char"), named(btf, "_Bool")
    assert char.is_char and char.is_signed and not boolean.is_signed and boolean.is_bool
    assert (boolean.bits, boolean.int_offset, boolean.size) == (8, 0, 1)


def test_wrong_questions_name_the_type(btf: Btf) -> None:
    with pytest.raises(BtfError, match="STRUCT node has no enumerators"):
        named(btf, "node", k.STRUCT).enumerators  # noqa: B018
    with pytest.raises(BtfError, match="there is no BTF type 100000"):
        btf.type(100000)
    with pytest.raises(BtfError):
        btf.type(-1)
    assert btf.type(0).name == "void"


def test_the_other_byte_order() -> None:
    data = sample().to_bytes()
    magic, version, flags, *rest = struct.unpack_from("<HBBIIIII", data)
    types = struct.unpack_from(f"<{rest[2] // 4}I", data, 24)
    other = struct.pack(">HBBIIIII", magic, version, flags, *rest) + struct.pack(f">{len(types)}I", *types)
    other += data[24 + rest[2] :]
    ours, theirs = Btf(data), Btf(other)
    assert [repr(t) for t in theirs.types()] == [repr(t) for t in ours.types()]
    assert repr(named(theirs, "node", k.STRUCT).members) == repr(named(ours, "node", k.STRUCT).members)


def split_btf(base: Btf, base_bytes: bytes) -> Btf:
    """A module's BTF by hand: a struct named by the base's string ``point``, and one of its own name."""
    strings = b"mine\0"
    shift = len(base_bytes) - base._string_start
    own = shift
    shared = base_bytes.index(b"\0point\0", base._string_start) + 1 - base._string_start
    point = base.find("point", k.STRUCT)
    assert point is not None
    types = struct.pack("=3I3I", own, 1 << 31 | k.STRUCT << 24 | 1, 8, shared, point.id, 0)
    types += struct.pack("=3I", own, k.TYPEDEF << 24, base.type_count + 1)
    types += struct.pack("=3I", shared, k.TYPEDEF << 24, base.type_count + 2)
    header = struct.pack("=HBBIIIII", k.MAGIC, 1, 0, 24, 0, len(types), len(types), len(strings))
    return Btf(header + types + strings, base)


def test_split_btf_goes_on_where_its_base_ends() -> None:
    data = sample().to_bytes()
    base = Btf(data)
    module = split_btf(base, data)
    mine, alias = module.find("mine", k.STRUCT), module.find("point", k.TYPEDEF)
    assert mine is not None and alias is not None
    assert mine.id == base.type_count + 1 and alias.id == base.type_count + 3
    assert [m.name for m in mine.members] == ["point"]
    assert module.resolve(alias) is mine and module.size_of(alias.id) == 8
    assert module.type(1) is base.type(1)
    assert module.find("node", k.STRUCT) is base.find("node", k.STRUCT)
    assert [t.kind for t in module.find_all("point")] == [k.STRUCT, k.TYPEDEF]
    assert module.find_enumerator("GREEN") is not None
    assert len(list(module.types())) == 3 and list(module.functions()) == []


def test_files_that_cannot_be_mapped_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.16, BTF in sysfs could not be mapped."""
    path = tmp_path / "btf"
    path.write_bytes(sample().to_bytes())
    assert named(Btf.load(str(path)), "node", k.STRUCT).size == 64

    def refuse(*_: object, **__: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr("mmap.mmap", refuse)
    assert named(Btf.load(str(path)), "node", k.STRUCT).size == 64
    with pytest.raises(FileNotFoundError):
        Btf.module("no_such_module", Btf(sample().to_bytes()))
