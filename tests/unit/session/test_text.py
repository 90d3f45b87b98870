"""Values as text and as JSON."""

from __future__ import annotations

import json as reference
import struct
from typing import Any

import pytest
from fakes import I32, I64, U8, U32, U64, Store_, VType, World, string, tuple_of, words

from cygnet.session import json
from cygnet.session.clock import strftime
from cygnet.session.text import Context, key_texter, texter
from cygnet.session.values import decode, record_decoder
from cygnet.spec.values import Field

STACKS = {(1).to_bytes(4, "little"): words(0x1010, 0x1020, 0x9999, 0, 0x1)}
BUILD = struct.pack("<i20sQ", 1, bytes(range(20)), 0x1234) + struct.pack("<i20sQ", 2, bytes(20), 0x99) + bytes(32)
CTX = Context(World(), lambda name: (Store_({**STACKS, (2).to_bytes(4, "little"): BUILD}), 4))
POINT = VType("struct", 8, fields=(Field(0, "x", I32), Field(4, "y", I32)))
BITS = VType("struct", 4, fields=(Field(0, "a", U32, 0, 3), Field(0, "b", U32, 3, 5)))
USER = struct.pack("<qI", 1, 7) + bytes(4)

CASES: list[tuple[VType, bytes, str, str]] = [
    (I64, words(-5), "-5", "-5"),
    (U64, words(-1), "18446744073709551615", '"18446744073709551615"'),
    (U64, words(1 << 60), str(1 << 60), str(1 << 60)),
    (I64, words((1 << 53) + 1), "9007199254740993", '"9007199254740993"'),
    (VType("bool", 1), b"\1", "true", "true"),
    (VType("ptr", 8), words(0), "0x0", "0"),
    (VType("ptr", 8), words(0x32), "0x32", "50"),
    (VType("enum", 4, names=((333, "FOO"),)), struct.pack("<I", 333), "FOO", "333"),
    (VType("enum", 4, names=((0xFFFFFFFF, "ERR"),), signed=True), struct.pack("<i", -1), "ERR", "-1"),
    (string(8), b'a"\\\n\x01\0..', 'a"\\\n\x01', '"a\\"\\\\\\n\\u0001"'),
    (string(4), b"abcd", "abcd..", '"abcd.."'),
    (VType("buf", 8), struct.pack("<I", 3) + b"a\n\xffz", "a\\x0a\\xff", "[97,10,255]"),
    (tuple_of(U8, string(7)), b"\1b\0\0\0\0\0\0", "(1, b)", '[1,"b"]'),
    (tuple_of(U8), b"\5\0\0\0\0\0\0\0", "(5,)", "[5]"),
    (tuple_of(), b"", "()", "[]"),
    (POINT, struct.pack("<ii", 2, -3), "{ .x = 2, .y = -3 }", '{"x": 2, "y": -3}'),
    (BITS, struct.pack("<I", 0b10110_101), "{ .a = 5, .b = 22 }", '{"a": 5, "b": 22}'),
    (VType("struct", 0), b"", "{}", "{}"),
    (VType("array", 3, elem=U8, length=3), b"\1\2\3", "[1,2,3]", "[1,2,3]"),
    (VType("array", 16, elem=POINT, length=2), struct.pack("<4i", 1, 2, 3, 4),
     "[{ .x = 1, .y = 2 },{ .x = 3, .y = 4 }]", '[{"x": 1, "y": 2},{"x": 3, "y": 4}]'),
    (VType("ksym", 8), words(0x1234), "vfs_read", '"vfs_read"'),
    (VType("usym", 16), struct.pack("<QI", 0x1234, 7), "0x1234", '"0x1234"'),
    (VType("inet", 20), struct.pack("<I4B", 2, 127, 0, 0, 1) + bytes(12), "127.0.0.1", '"127.0.0.1"'),
    (VType("inet", 20), struct.pack("<I", 10) + bytes(15) + b"\1", "::1", '"::1"'),
    (VType("mac", 6), bytes.fromhex("02abcdef0010"), "02:AB:CD:EF:00:10", '"02:AB:CD:EF:00:10"'),
    (VType("username", 8), words(0), "root", '"root"'),
    (VType("username", 8), words(4242), "", '""'),
    (VType("cgroup", 8, text="u*"), words(5), "unified:/5u*", '"unified:/5u*"'),
    (VType("timestamp", 8, text="%S.%f", data="boot"), words(1_000_002_001), "01.000002", '"01.000002"'),
    (VType("timestamp", 8, text="%S.%k", data="boot"), words(1), "00.000000000", '"00.000000000"'),
    (VType("timestamp", 8, text="%S", data="boot"), words(0), "(?)", '"(?)"'),
    (VType("none", 0), b"", "null", "null"),
    (VType("gfp", 8), words(0x820), "GFP_ATOMIC", "2080"),
    (VType("kstack", 8, data="s"), words(1), "\n        vfs_read+16\n        vfs_read+32\n        0x9999\n", ""),
    (VType("kstack", 8, data="s", length=1), words(1), "\n        vfs_read+16\n", ""),
    (VType("kstack", 8, data="s", text="raw"), words(1), "\n1010\n1020\n9999\n", ""),
    (VType("kstack", 8, data="s", text="perf"), words(1),
     "\n\t1010 vfs_read+16\n\t1020 vfs_read+32\n\t9999 0x9999\n", ""),
    (VType("kstack", 8, data="s"), words(-14), "\n", '"\\n"'),
    (VType("ustack", 16, data="s"), USER, "\n        0x1010\n        0x1020\n        0x9999\n", ""),
    (VType("ustack", 16, data="s", text="perf", length=1), USER, "\n\t1010 0x1010 ([unknown])\n", ""),
    (VType("ustack", 16, data="s", text="build_id"), struct.pack("<qI", 2, 7) + bytes(4),
     f"\n{bytes(range(20)).hex()} 0x1234\n0x99\n", ""),
]  # fmt: skip


@pytest.mark.parametrize(("vtype", "raw", "text", "as_json"), CASES)
def test_a_value(vtype: VType, raw: bytes, text: str, as_json: str) -> None:
    value = decode(vtype, b"\xee" * 3 + raw, 3)
    assert texter(vtype, CTX)(value) == text
    shown = json.shower(vtype, CTX)(value)
    if as_json:
        assert shown == as_json
    reference.loads(shown)


@pytest.mark.parametrize(
    ("vtype", "value", "text"),
    [
        (tuple_of(U8, U8), (1, 2), "1, 2"),
        (tuple_of(U8, tuple_of(U8, U8)), (1, (2, 3)), "1, (2, 3)"),
        (POINT, {"x": 1, "y": 2}, "{ .x = 1, .y = 2 }"),
        (string(8), "(a)", "(a)"),
    ],
)
def test_a_key_loses_only_a_tuples_parentheses(vtype: VType, value: Any, text: str) -> None:
    assert key_texter(vtype, CTX)(value) == text


def test_bytes_that_are_no_utf8_survive() -> None:
    text = decode(string(4), b"\xffa\0\0")
    assert text.encode("utf-8", "surrogateescape") == b"\xffa"
    assert json.string(text) == '"\\u00ffa"'
    assert reference.loads(json.string("é\x7f")) == "é\x7f"


@pytest.mark.parametrize("fields", [((8, I64), (20, U32)), ((8, string(4)), (16, U64)), ((16, U8), (8, I64))])
def test_record_decoder(fields: tuple[tuple[int, VType], ...]) -> None:
    raw = bytes(range(40))
    assert record_decoder(fields)(raw, 2) == tuple(decode(vtype, raw, 2 + at) for at, vtype in fields)


def test_fractions_of_a_second() -> None:
    assert strftime("%f %l %k %% %", 1_234_567_891) == "234567 234 234567891 % %"
