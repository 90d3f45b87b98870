"""Damaged ELF files: ElfError, and nothing else, and soon."""

from __future__ import annotations

import contextlib
import random
import struct
from pathlib import Path

import pytest

from cygnet.elf import Elf, lookup
from cygnet.errors import ElfError

QUESTIONS = (
    lambda e: e.sections,
    lambda e: e.segments,
    lambda e: [e.data(s) for s in e.sections],
    lambda e: list(e.symbols()),
    lambda e: e.symbol("thing"),
    lambda e: e.symbol("answer"),
    lambda e: e.functions("*t*"),
    lambda e: [e.addresses().find(a) for a in (0, 0x1150, 0x401150)],
    lambda e: e.build_id,
    lambda e: e.usdt(),
    lambda e: e.file_offset(0x1150),
    lambda e: e.address_at(0x1150),
    lookup.debug_link,
    lookup.debug_file,
)


def ask_everything(data: bytes) -> None:
    try:
        elf = Elf(data)
    except ElfError:
        return
    for question in QUESTIONS:
        with contextlib.suppress(ElfError):
            question(elf)


@pytest.fixture(scope="session")
def samples(built: Path) -> list[bytes]:
    return [
        (built / name).read_bytes()
        for name in ("stripped", "program", "i686-linux-gnu.o", "powerpc-linux-gnu.o", "s390x-linux-gnu.o")
    ]


@pytest.mark.parametrize("seed", range(60))
def test_truncated(samples: list[bytes], seed: int) -> None:
    chance = random.Random(seed)
    for data in samples:
        ask_everything(data[: chance.randrange(len(data))])
        ask_everything(data[: chance.randrange(80)])


@pytest.mark.parametrize("seed", range(120))
def test_damaged_headers(samples: list[bytes], seed: int) -> None:
    """In the file header, the section headers and the program headers: where numbers steer the reader."""
    chance = random.Random(seed)
    for sample in samples:
        data = bytearray(sample)
        elf = Elf(sample)
        places = [
            range(4, 64),
            range(elf._section_offset, len(data)),
            range(elf._segment_offset, elf._segment_offset + 600),
        ]
        for _ in range(chance.choice((1, 2, 6))):
            place = chance.choice(places)
            at = min(chance.choice(place), len(data) - 1)
            data[at] = chance.choice((0, 1, 127, 255, chance.randrange(256)))
        ask_everything(bytes(data))


def test_a_count_of_sections_larger_than_the_file(samples: list[bytes]) -> None:
    data = bytearray(samples[0])
    struct.pack_into("<H", data, 60, 0)  # e_shnum 0: the first header's size says how many
    offset = Elf(samples[0])._section_offset
    struct.pack_into("<Q", data, offset + 32, 1 << 60)
    with pytest.raises(ElfError, match="cut short") as caught:
        Elf(bytes(data)).sections  # noqa: B018
    assert caught.value.offset == offset
