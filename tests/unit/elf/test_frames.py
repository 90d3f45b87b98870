"""Unwind tables: each rule against readelf's, and tables that lie."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from cygnet.elf.dwarf import framerules as f
from cygnet.elf.dwarf.expressions import evaluate
from cygnet.elf.dwarf.framerules import Row
from cygnet.elf.dwarf.frames import Frames
from cygnet.elf.reader import Elf
from cygnet.errors import ElfError

SOURCE = """
#include <alloca.h>
#define int __attribute__((noinline)) int
int other(char *);
int fixed(unsigned x) { char room[100]; return other(room) + x; }
int moving(unsigned x) { char *room = alloca(x); room[0] = 1; return other(room) + x; }
int many(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned g) {
    return other((char *)(long)a) * b + other((char *)(long)c) * d + other((char *)(long)e) * g;
}
int aligned(unsigned x) { __attribute__((aligned(64))) char room[256]; room[x] = 3; return other(room) + x; }
int other(char *p) { return p[0]; }
#undef int
int main(void) { return fixed(1) + moving(2) + many(1, 2, 3, 4, 5, 6) + aligned(7); }
"""
NAMES = {"rax": 0, "rdx": 1, "rcx": 2, "rbx": 3, "rsi": 4, "rdi": 5, "rbp": 6, "rsp": 7, "ra": 16}
NAMES |= {f"r{number}": number for number in range(8, 16)}
NUMBERS = {number: name for name, number in NAMES.items()}
KINDS: dict[int, Callable[[int], str]] = {
    f.UNDEFINED: lambda value: "u", f.SAME: lambda value: "s", f.OFFSET: lambda value: f"c{value:+d}",
    f.VALUE: lambda value: f"v{value:+d}", f.REGISTER: lambda value: f"r{value}", f.EXPRESSION: lambda value: "exp",
    f.VALUE_EXPRESSION: lambda value: "vexp",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    (folder / "x.c").write_text(SOURCE)
    for name, *options in (
        ("plain", "-O2"), ("slow", "-O0"), ("fixed", "-O2", "-no-pie"),
        ("debug_frame", "-O2", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-g"),
    ):  # fmt: skip
        subprocess.run(["gcc", "-fcf-protection=none", *options, "-o", name, "x.c"], cwd=folder, check=True)
    subprocess.run(["strip", "--strip-all", "--strip-section-headers", "plain", "-o", "bare"], cwd=folder, check=False)
    return folder


def shown(path: Path | str) -> list[tuple[int, dict[str, str]]]:
    """(address, rules by column) of each row that readelf prints for a function."""
    told = subprocess.run(["readelf", "-wFN", path], capture_output=True, text=True, check=True).stdout
    rows, columns, common, end = [], [], False, 0
    for line in told.splitlines():
        if " CIE" in line or " FDE " in line:
            common = " CIE" in line
            end = int(line.rpartition("..")[2], 16) if not common else 0
        elif line.lstrip().startswith("LOC"):
            columns = line.split()[1:]
        elif not common and re.match(r"[0-9a-f]{16} ", line):
            words = re.sub(r" \(\w+\)", "", line).split()
            if int(words[0], 16) < end:  # readelf shows one that begins where the function ends
                rows.append((int(words[0], 16), dict(zip(columns, words[1:], strict=False))))
    return rows


def text(row: Row) -> dict[str, str]:
    assert row.cfa[0] == f.EXPRESSION or isinstance(row.cfa[1], int)
    told = {"CFA": "exp" if row.cfa[0] == f.EXPRESSION else f"{NUMBERS[row.cfa[1]]}{row.cfa[2]:+d}"}
    for number, (kind, value) in row.rules.items():
        told[NUMBERS.get(number, str(number))] = KINDS[kind](value)
    return told


@pytest.mark.parametrize("name", ["plain", "slow", "fixed", "debug_frame", "/lib/x86_64-linux-gnu/libm.so.6"])
def test_every_row_is_as_readelf_says(folder: Path, name: str) -> None:
    path = folder / name
    rows = shown(path)
    assert len(rows) > 12
    with Elf.open(str(path)) as elf:
        frames = Frames(elf)
        for address, wanted in rows:
            row = frames.row(address)
            assert row is not None, hex(address)
            given = text(row)
            for column, rule in wanted.items():
                assert given.get(column, "u") == rule, (hex(address), column, wanted, given)


def test_the_row_holds_up_to_the_next(folder: Path) -> None:
    path = folder / "plain"
    listed = shown(path)
    with Elf.open(str(path)) as elf:
        frames = Frames(elf)
        for (address, _), (after, _) in pairwise(listed):
            row, last = frames.row(address), frames.row(after - 1)
            if address < after and last is not None:
                assert row is not None and text(row) == text(last)


def test_no_rules_between_and_outside(folder: Path) -> None:
    with Elf.open(str(folder / "plain")) as elf:
        frames = Frames(elf)
        assert frames.row(0) is None
        assert frames.row(1 << 40) is None


def test_no_tables_at_all(tmp_path: Path) -> None:
    (tmp_path / "x.s").write_text(".globl _start\n_start: ret\n")
    subprocess.run(["gcc", "-nostdlib", "-static", "-o", "x", "x.s"], cwd=tmp_path, check=True)
    with Elf.open(str(tmp_path / "x")) as elf:
        assert not Frames(elf).present


@pytest.mark.parametrize("seed", range(40))
def test_damaged_tables_are_errors(folder: Path, seed: int) -> None:
    """Whatever the bytes say, the answer is rules, none, or ElfError."""
    chance = random.Random(seed)
    whole = bytearray((folder / ("debug_frame" if seed % 4 == 0 else "plain")).read_bytes())
    rows = shown(folder / "plain")
    with Elf.open(str(folder / "plain")) as elf:
        places = [s for s in elf.sections if s.name in (".eh_frame", ".eh_frame_hdr")]
    for section in places:
        for _ in range(12):
            whole[chance.randrange(section.offset, section.offset + section.size)] = chance.randrange(256)
    try:
        frames = Frames(Elf(bytes(whole)))
    except ElfError:
        return
    for address, _ in rows:
        with suppress(ElfError):
            frames.row(address)


# ── expressions ──────────────────────────────────────────────────────────────────────────────────────────

PLT = bytes((0x77, 8, 0x80, 0, 0x3F, 0x1A, 0x3B, 0x2A, 0x33, 0x24, 0x22))  # what linkers write for .plt


@pytest.mark.parametrize(("ip", "wanted"), [(0x1000, 0x108), (0x100A, 0x108), (0x100B, 0x110), (0x100F, 0x110)])
def test_the_expression_of_a_plt(ip: int, wanted: int) -> None:
    assert evaluate(PLT, {7: 0x100, 16: ip}.__getitem__, lambda address, size: 0, []) == wanted


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (b"\x35", 5),
        (b"\x08\xff", 255),
        (b"\x09\xff", (1 << 64) - 1),
        (b"\x0a\x34\x12", 0x1234),
        (b"\x11\x7f\x1f", 1),
        (b"\x38\x33\x1c", 5),
        (b"\x09\xf9\x32\x1b", (1 << 64) - 3),  # -7 / 2, towards zero
        (b"\x37\x33\x1d", 1),
        (b"\x33\x34\x1e\x31\x21", 13),
        (b"\x31\x32\x33\x17\x1c", (1 << 64) - 1),  # rotated: 3 1 2
        (b"\x31\x32\x16\x1c", 1),
        (b"\x31\x32\x14\x22\x22", 4),
        (b"\x31\x28\x01\x00\x35\x36", 6),  # branches over a literal
        (b"\x2f\x01\x00\x35\x36", 6),
        (b"\x08\x10\x06", 0x1018),
        (b"\x08\x10\x94\x04", 0x1014),
        (b"\x92\x03\x02", 0x2002),
        (b"\x73\x7e", 0x1FFE),
        (b"\x31\x23\x10", 17),
        (b"\x96\x30\x20", (1 << 64) - 1),
    ],
)
def test_expressions(code: bytes, wanted: int) -> None:
    assert evaluate(code, {3: 0x2000}.__getitem__, lambda address, size: 0x1000 + address + size, []) == wanted


@pytest.mark.parametrize(
    "code", [b"", b"\x22", b"\x06", b"\x08", b"\xf0", b"\x2f\xfd\xff", b"\x31\x30\x1b", b"\x15\x09"]
)
def test_senseless_expressions_are_errors(code: bytes) -> None:
    with pytest.raises(ElfError):
        evaluate(code, lambda number: 0, lambda address, size: 0, [])
