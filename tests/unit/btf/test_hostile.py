"""Damaged BTF: BtfError, and nothing else, and soon."""

from __future__ import annotations

import random
import struct

import pytest
from tests.unit.btf.samples import sample

from cygnet.btf import kinds as k
from cygnet.btf import layout
from cygnet.btf.reader import Btf
from cygnet.btf.render import c_decl, c_definition
from cygnet.errors import BtfError

QUESTIONS = (
    lambda t: t.name,
    lambda t: t.id,
    lambda t: t.type,
    lambda t: t.size,
    lambda t: t.members,
    lambda t: t.params,
    lambda t: t.enumerators,
    lambda t: t.variables,
    lambda t: (t.encoding, t.bits),
    lambda t: (t.linkage, t.component),
    lambda t: (t.nelems, t.index_type_id),
    lambda t: t.is_variadic,
    lambda t: c_decl(t, "x", expand=True),
    c_definition,
    layout.resolve,
    layout.size_of,
    layout.align_of,
    layout.all_members,
    layout.is_user_ptr,
    lambda t: layout.member_path(t, "grid[0][1].y"),
)


def ask_everything(data: bytes) -> int:
    """Every question about every type; the number of those that were answered."""
    answered = 0
    try:
        btf = Btf(data)
        for name in ("node", "u8", "GREEN", "nothing"):
            btf.find(name)
            btf.find_enumerator(name)
        types = list(btf.types())
    except BtfError:
        return 0
    for of in types:
        for question in QUESTIONS:
            try:
                question(of)
                answered += 1
            except BtfError:
                pass
    return answered


def test_the_whole_answers() -> None:
    assert ask_everything(sample().to_bytes()) > 100


@pytest.mark.parametrize("cut", range(0, 900, 7))
def test_truncated(cut: int) -> None:
    ask_everything(sample().to_bytes()[:cut])


@pytest.mark.parametrize("seed", range(250))
def test_random_damage(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(sample().to_bytes())
    for _ in range(chance.choice((1, 1, 2, 5, 40))):
        data[chance.randrange(len(data))] = chance.choice((0, 1, 4, 255, chance.randrange(256)))
    ask_everything(bytes(data))


@pytest.mark.parametrize("seed", range(100))
def test_random_words(seed: int) -> None:
    """Type words of other places: ids and infos that fit, in the wrong records."""
    chance = random.Random(seed)
    data = bytearray(sample().to_bytes())
    words = (len(data) - 24) // 4 // 2
    for _ in range(chance.choice((1, 2, 8))):
        source, target = chance.randrange(words), chance.randrange(words)
        data[24 + 4 * target : 28 + 4 * target] = data[24 + 4 * source : 28 + 4 * source]
    ask_everything(bytes(data))


HEADERS = [
    (b"", "cut short"),
    (bytes(24), "magic"),
    (struct.pack("=HBBIIIII", k.MAGIC, 2, 0, 24, 0, 0, 0, 1) + b"\0", "version 2"),
    (struct.pack("=HBBIIIII", k.MAGIC, 1, 0, 4, 0, 0, 0, 1) + b"\0", "header length"),
    (struct.pack("=HBBIIIII", k.MAGIC, 1, 0, 24, 0, 40, 0, 1) + b"\0", "type section"),
    (struct.pack("=HBBIIIII", k.MAGIC, 1, 0, 24, 0, 0, 0, 9) + b"\0", "string section"),
    (struct.pack("=HBBIIIII", k.MAGIC, 1, 0, 24, 0, 0, 0, 0), "no string section"),
    (struct.pack("=HBBIIIII", k.MAGIC, 1, 0, 24, 0, 0, 0, 2) + b"\0x", "zero byte"),
]


@pytest.mark.parametrize(("data", "words"), HEADERS)
def test_bad_headers_say_where(data: bytes, words: str) -> None:
    with pytest.raises(BtfError, match=words) as caught:
        Btf(data)
    assert caught.value.offset is not None


def test_a_record_cut_short_says_where() -> None:
    types = struct.pack("=3I", 0, k.STRUCT << 24 | 3, 8)
    data = struct.pack("=HBBIIIII", k.MAGIC, 1, 0, 24, 0, len(types), len(types), 1) + types + b"\0"
    with pytest.raises(BtfError, match="cut short") as caught:
        Btf(data).type(1)
    assert caught.value.offset in (24, 36)
    bad = struct.pack("=HBBIIIII", k.MAGIC, 1, 0, 24, 0, 12, 12, 1) + struct.pack("=3I", 0, 31 << 24, 0) + b"\0"
    with pytest.raises(BtfError, match="UNKNOWN") as caught:
        Btf(bad).type(1)
    assert caught.value.offset == 24
