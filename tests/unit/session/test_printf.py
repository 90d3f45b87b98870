"""printf, judged by the C library's snprintf."""

from __future__ import annotations

import ctypes
import struct

import pytest
from fakes import I64, U8, U64, World, string

from cygnet.session.batch import Formats
from cygnet.session.printf import compile_format, parse
from cygnet.session.text import Context
from cygnet.spec.values import VType

LIBC = ctypes.CDLL(None)
CTX = Context(World())
NUMBERS = (0, 1, -1, 5, 255, -7, 65, 0x1FFFFFFFF, -(1 << 63), (1 << 63) - 1, 0xDEADBEEF)


def c(form: str, value: int) -> bytes:
    out = ctypes.create_string_buffer(200)
    LIBC.snprintf(out, 200, form.encode(), ctypes.c_longlong(value))
    return out.value


def ours(form: str, *args: tuple[object, VType]) -> bytes:
    record, fields = struct.pack("<Q", 0), []
    for value, vtype in args:
        fields.append((len(record), vtype))
        if isinstance(value, int):
            value = (value & (1 << 8 * vtype.size) - 1).to_bytes(vtype.size, "little")
        assert isinstance(value, bytes)
        record += value.ljust(-(-max(vtype.size, 1) // 8) * 8, b"\0")
    return compile_format(form, fields, CTX).one(record)


@pytest.mark.parametrize("flags", ["", "-", "+", " ", "0", "#", "-+", "+0", "-0", "#0", " 0", "-#"])
@pytest.mark.parametrize("width", ["", "5", "24"])
@pytest.mark.parametrize("precision", ["", ".3", ".0"])
def test_integers_as_in_c(flags: str, width: str, precision: str) -> None:
    for length in ("", "hh", "h", "l", "ll", "j", "z", "t"):
        for letter in "diuoxX":
            form = f"%{flags}{width}{precision}{length}{letter}|"
            for number in NUMBERS:
                assert ours(form, (number, I64)) == c(form, number), (form, number)


@pytest.mark.parametrize("form", ["%c|", "%5c|", "%-5c|"])
def test_characters_as_in_c(form: str) -> None:
    assert ours(form, (65, I64)) == c(form, 65)
    assert ours(form, (0x141, U64)) == c(form, 0x141)


@pytest.mark.parametrize(
    ("form", "args", "text"),
    [
        ("%d", [(0xFF, VType("int", 1, True))], b"-1"),
        ("%u", [(0xFF, VType("int", 1, True))], b"4294967295"),
        ("%lu", [(0xFF, VType("int", 1, True))], b"18446744073709551615"),
        ("%d", [(0xFF, U8)], b"255"),
        ("%lx", [(0x80, VType("int", 1, True))], b"ffffffffffffff80"),
        ("%p %p %6p|", [(0, U64), (255, U64), (255, U64)], b"0 0xff   0xff|"),
        ("%s %d", [(1, VType("bool", 1)), (1, VType("bool", 1))], b"true 1"),
        ("%s|%5s|%-5s|", [(7, I64), (7, I64), (7, I64)], b"7|    7|7    |"),
        ("%s %d", [(2, VType("enum", 4, names=((2, "TWO"),))), (2, VType("enum", 4))], b"TWO 2"),
        ("%s", [(3, VType("enum", 4, names=((2, "TWO"),)))], b"3"),
        ("%-6s|%6s|", [(b"ab\0zz", string(8)), (b"cd\0", string(8))], b"ab    |    cd|"),
        ("%.1s", [(b"abc\0", string(8))], b"abc"),
        ("%s", [(b"abcdefgh", string(8))], b"abcdefgh.."),
        ("%5s|", [("é\0".encode(), string(8))], "   é|".encode()),
        ("%s", [(b"\xff\xfe\0", string(8))], b"\xff\xfe"),
        ("%r", [(struct.pack("<I", 4) + b"ab\x01\\", VType("buf", 20))], b"ab\\x01\\"),
        ("%rx", [(struct.pack("<I", 3) + b"ab\n", VType("buf", 20))], b"\\x61\\x62\\x0a"),
        ("%rh", [(struct.pack("<I", 2) + b"ab", VType("buf", 20))], b"61 62"),
        ("%s", [(0x1010, VType("ksym", 8))], b"vfs_read"),
        ("%s", [(0x10, VType("ksym", 8))], b"0x10"),
        ("%s", [(struct.pack("<QI", 0x410, 7), VType("usym", 16))], b"main"),
        ("%s", [(0x10, VType("ptr", 8))], b"0x10"),
        ("%gr", [(0xCC0, U64)], b"GFP_KERNEL"),
        ("%gr", [(0x1000005, U64)], b"GFP_DMA|GFP_DMA32|__GFP_NO_OBJ_EXT"),
        ("%gr", [(0xCC0 | 1 << 13, U64)], b"GFP_KERNEL|__GFP_NOWARN"),
        ("100%%", [], b"100%"),
        ("%%%d%%", [(4, I64)], b"%4%"),
        ("%q %5", [], b"%q %5"),
    ],
)
def test_what_c_does_not_know(form: str, args: list[tuple[object, VType]], text: bytes) -> None:
    assert ours(form, *args) == text


def test_parse_joins_percents_to_literals() -> None:
    assert [literal for literal, _ in parse("a%%b%dc")] == ["a%b", "c"]


def test_too_few_arguments() -> None:
    with pytest.raises(ValueError, match="more conversions"):
        ours("%d %d", (1, I64))


def layout(*pieces: bytes, size: int) -> bytes:
    return b"".join(pieces).ljust(size, b"\0")


INTS = [(8, I64), (16, I64)]
FORMATS = [
    compile_format("a %d %d\n", INTS, CTX),
    compile_format("b %ld %x\n", INTS, CTX),
    compile_format("c %d %-8s|\n", [(8, I64), (16, string(16))], CTX),
    compile_format("none\n", [], CTX),
    compile_format("%c%d", INTS, CTX),
    compile_format("z\0%s%d", [(8, string(8)), (16, I64)], CTX),
]


@pytest.mark.parametrize("kinds", [[0], [1], [2], [3], [0, 1], [0, 0, 1], [0, 2], [2, 3, 4], [0, 1, 2, 3, 4, 5], [5]])
@pytest.mark.parametrize("count", [1, 7, 512, 1500])
def test_a_batch_is_its_records_one_by_one(kinds: list[int], count: int) -> None:
    ids = [kinds[i * 7 % len(kinds)] for i in range(count)]
    stride = 40
    records = [
        layout(struct.pack("<IIQqq", 32, 0, kind, i * 3, i + 0x4141) + b"\0garbage", size=stride)
        for i, kind in enumerate(ids)
    ]
    view = memoryview(b"".join(records))
    formats = Formats(lambda kind: FORMATS[kind])
    expected = [FORMATS[kind].one(record[8:]) for kind, record in zip(ids, records)]
    assert formats.text(view, ids, stride) == b"".join(expected)
    assert formats.texts(view, ids, stride) == expected
