"""Addresses to source lines and inlined functions: what addr2line says of programs compiled here."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from cygnet.elf import Elf
from cygnet.elf.dwarf import Dwarf
from cygnet.elf.dwarf.places import Places
from cygnet.errors import NotSupported

HEADER = """
static inline __attribute__((always_inline)) int twice(int x) { volatile int y = x; return y + y; }
"""
SOURCE = """
#include <stdio.h>
#include "twice.h"
static inline __attribute__((always_inline)) int inner(int x)
{
    if (x > 3)
        return puts("more") + x;
    return x * 7;
}
static inline __attribute__((always_inline)) int middle(int x)
{
    {
        int sum = x;
        for (int i = 0; i < x; i++)
            sum += inner(i);
        return sum + twice(x);
    }
}
__attribute__((noinline)) int outer(int x) { return middle(x) + inner(x + 1); }
"""
MAIN = """
#include "twice.h"
int outer(int x);
struct pair { struct { int deep; } a, b; union { int i; char c[4]; } either; };
__attribute__((noinline)) int other(struct pair *pair) { return twice(pair->a.deep) + outer(pair->either.i); }
int main(int argc, char **argv) { struct pair pair = {{argc}, {2}, {3}}; return other(&pair) + twice(argc); }
"""
CASES = [
    ("gcc", "-gdwarf-5", "addr2line"), ("gcc", "-gdwarf-4", "addr2line"), ("gcc", "-gdwarf-3", "addr2line"),
    ("gcc", "-gdwarf-5 -ffunction-sections -Wl,--gc-sections", "addr2line"), ("gcc", "-g -gz=zlib", "addr2line"),
    ("gcc", "-g -flto", "llvm-symbolizer"), ("clang", "-gdwarf-4", "addr2line"),
    ("clang", "-gdwarf-5", "llvm-symbolizer"),  # binutils before 2.41 lose its lists of ranges
    ("clang", "-gdwarf-5 -gmlt", "llvm-symbolizer"),
]  # fmt: skip


def compiled(folder: Path, compiler: str, options: str) -> Path:
    if shutil.which(compiler) is None:
        raise NotSupported("compiling a C program", compiler)
    (folder / "include").mkdir()
    for name, text in (("include/twice.h", HEADER), ("one.c", SOURCE), ("two.c", MAIN)):
        (folder / name).write_text(text)
    command = [compiler, "-O2", "-Iinclude", *options.split(), "-o", "program", "one.c", "two.c"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "program"


def witness(tool: str, path: Path, addresses: list[int]) -> dict[int, list[tuple[str, str]]]:
    if shutil.which(tool) is None:
        raise NotSupported("comparing with another reader", tool)
    extra = ["--output-style=GNU", "--no-demangle"] if tool != "addr2line" else []
    told = subprocess.run(
        [tool, *extra, "-a", "-i", "-f", "-e", path], input="\n".join(map(hex, addresses)), capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip
    found: dict[int, list[str]] = {}
    lines: list[str] = []
    for line in filter(None, told.split("\n")):
        if line.startswith("0x"):
            lines = found[int(line, 16)] = []
        else:
            lines.append(line.partition(" (discriminator")[0])
    return {at: list(zip(rows[::2], map(known, rows[1::2]), strict=True)) for at, rows in found.items()}


def known(place: str) -> str:
    return "" if place.startswith("??") or place.endswith((":?", ":0")) else place


@pytest.mark.parametrize(("compiler", "options", "tool"), CASES)
def test_as_other_readers(compiler: str, options: str, tool: str, tmp_path: Path) -> None:
    path = compiled(tmp_path, compiler, options)
    elf = Elf.open(str(path))
    places = Places(Dwarf(elf))
    code: list[int] = []
    for name in ("outer", "other", "main"):
        symbol = elf.symbol(name)
        if symbol is not None:  # LTO may take one away
            code += range(symbol.value, symbol.value + symbol.size)
    told = witness(tool, path, code)
    for address in code:
        found = [(name, f"{file}:{line}" if file and line else "") for name, file, line in places.find(address)]
        assert found == told[address], hex(address)
    names = {tuple(name for name, _ in rows) for rows in told.values()}
    assert any(chain[:2] == ("inner", "middle") for chain in names)
    assert places.find(1) == places.find(1 << 63) == []


def test_a_file_without(tmp_path: Path) -> None:
    path = compiled(tmp_path, "gcc", "-g0")
    elf = Elf.open(str(path))
    assert Places(Dwarf(elf)).find(elf.entry) == []


@pytest.mark.parametrize("options", ["-gdwarf-5", "-gdwarf-4"])
def test_damage_is_silence(options: str, tmp_path: Path) -> None:
    path = compiled(tmp_path, "gcc", options)
    data = path.read_bytes()
    elf = Elf(data)
    symbol = elf.symbol("outer")
    assert symbol is not None
    wanted = range(symbol.value, symbol.value + symbol.size, 7)
    parts = [section for section in elf.sections if section.name.startswith(".debug_") and section.size]
    whole = [Places(Dwarf(elf)).find(address) for address in wanted]
    rng, same = random.Random(7), 0
    for _ in range(120):
        damaged = bytearray(data)
        section = rng.choice(parts)
        for _ in range(rng.choice((1, 3, 40))):
            damaged[section.offset + rng.randrange(section.size)] = rng.choice(
                (0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256))
            )
        places = Places(Dwarf(Elf(bytes(damaged))))
        same += [places.find(address) for address in wanted] == whole
    assert 0 < same < 120


def test_sections_cut_short(tmp_path: Path) -> None:
    path = compiled(tmp_path, "gcc", "-gdwarf-5")
    elf = Elf(path.read_bytes())
    symbol = elf.symbol("outer")
    assert symbol is not None
    for section in elf.sections:
        if section.name.startswith(".debug_"):
            for size in range(0, section.size, max(1, section.size // 25)):
                dwarf = Dwarf(elf)
                dwarf._sections[section.name] = elf.data(section)[:size]
                found = Places(dwarf).find(symbol.value + 9)
                assert all(len(place) == 3 for place in found)
