"""What the builder writes, as bytes."""

from __future__ import annotations

import struct

import pytest

from cygnet.btf import kinds as k
from cygnet.btf.builder import Builder, ProgramInfo, ext_section
from cygnet.errors import BtfError


def test_equal_types_share_an_id() -> None:
    b = Builder()
    assert b.integer(4) == b.integer(4) != b.integer(4, True)
    assert b.ptr(1) == b.ptr(1) != b.ptr(2)
    assert b.struct("s", 4, [("a", 1, 0)]) == b.struct("s", 4, [("a", 1, 0)]) != b.struct("s", 4, [("b", 1, 0)])
    assert b.string("twice") == b.string("twice")


def test_bytes_of_an_integer() -> None:
    b = Builder()
    b.integer(8, name="u64")
    types = struct.pack("=4I", 1, k.INT << 24, 8, 64)
    assert b.to_bytes() == struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 16, 16, 5) + types + b"\0u64\0"


@pytest.mark.parametrize(
    "size, signed, name",
    [
        (1, False, "unsigned char"),
        (2, True, "short int"),
        (2, False, "unsigned short"),
        (4, False, "unsigned int"),
        (1, True, "signed char"),
    ],
)
def test_integers_have_c_names(size: int, signed: bool, name: str) -> None:
    b = Builder()
    b.integer(size, signed)
    assert name.encode() + b"\0" in b.to_bytes()


def test_mistakes() -> None:
    b = Builder()
    with pytest.raises(BtfError, match="3 bytes"):
        b.integer(3)
    with pytest.raises(BtfError, match="zero byte"):
        b.string("a\0b")
    with pytest.raises(BtfError, match="too many"):
        b.enum("e", [("A", n) for n in range(65536)])
    with pytest.raises(BtfError, match="too far"):
        b.struct("s", 1 << 22, [("a", 1, 1 << 24, 1)])
    later = b.reserve()
    with pytest.raises(BtfError, match="was reserved"):
        b.to_bytes()
    b.struct("s", 0, [], at=later)
    with pytest.raises(BtfError, match="defined already"):
        b.struct("s", 0, [], at=later)


def test_program_info() -> None:
    b = Builder()
    info = ProgramInfo(b)
    info.func(4, 2)
    info.func(0, 1)
    info.line(2, "prog", "x = 1", 7, 3)
    info.line(0, "prog", "first", 1)
    info.line(2, "prog", "y = 2", 8, 5000)
    assert info.func_info() == struct.pack("=4I", 0, 1, 4, 2)
    file, first, y = b.string("prog"), b.string("first"), b.string("y = 2")
    assert info.line_info() == struct.pack("=8I", 0, file, first, 1 << 10, 2, file, y, 8 << 10 | 1023)
    section = ext_section({"xdp": info.func_info()}, {"xdp": info.line_info()}, b)
    assert section[:24] == struct.pack("=HBBIIIII", k.MAGIC, 1, 0, 24, 0, 28, 28, 44)
    assert section[24:36] == struct.pack("=III", 8, b.string("xdp"), 2)
