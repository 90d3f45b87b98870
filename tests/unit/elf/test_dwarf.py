"""Debug information that lies: it is refused with an ElfError, and soon."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from cygnet.elf import Elf
from cygnet.elf.dwarf import Dwarf
from cygnet.elf.dwarf import numbers as n
from cygnet.elf.dwarf.lines import line_addresses
from cygnet.errors import ElfError, NotSupported
from cygnet.probes.dwarfargs import parameters

SOURCE = """
struct list { struct list *next; union { int a; double b; }; enum { X, Y } kind; char text[3][4]; unsigned bit : 3; };
typedef const struct list *list_t;
int __attribute__((noinline)) walk(list_t head, unsigned char stop, struct { int a, b; } *anonymous)
{
    while (head->next && head->a != stop) head = head->next;
    return head->kind + anonymous->a;
}
int main(void) { struct list one = {0}; struct { int a, b; } x = {1, 2}; return walk(&one, 1, (void *)&x); }
"""


@pytest.fixture(scope="module", params=["-gdwarf-5", "-gdwarf-4"])
def binary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise NotSupported("compiling a C program", "cc or clang")
    folder = tmp_path_factory.mktemp("dwarf")
    (folder / "list.c").write_text(SOURCE)
    subprocess.run([compiler, request.param, "-O1", "-w", "-o", "list", "list.c"], cwd=folder, check=True)
    return folder / "list"


def test_functions_parameters_and_lines(binary: Path) -> None:
    elf = Elf(binary.read_bytes())
    dwarf, symbol = Dwarf(elf), elf.symbol("walk")
    assert symbol is not None
    function = dwarf.function_at(symbol.value + 1)
    assert function is not None and function.name == "walk"
    assert [entry.name for entry in function.entries() if entry.tag == n.TAG_PARAMETER] == ["head", "stop", "anonymous"]
    args = parameters(dwarf, symbol.value, "x86_64")
    assert [(arg.name, arg.type) for arg in args][:2] == [("head", "list_t"), ("stop", "unsigned char")]
    assert parameters(dwarf, symbol.value + 1, "x86_64") == ()
    addresses, lines, files = line_addresses(dwarf, "list.c", 7)
    assert addresses and min(addresses) > symbol.value and {7} <= lines and len(files) == 1


def test_noise(binary: Path) -> None:
    data = binary.read_bytes()
    elf = Elf(data)
    symbol = elf.symbol("walk")
    assert symbol is not None
    places = [s for s in elf.sections if s.name.startswith(".debug_")]
    chance = random.Random(7)
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 3, 20))):
            section = chance.choice(places)
            damaged[section.offset + chance.randrange(section.size)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        dwarf = Dwarf(Elf(bytes(damaged)))
        parameters(dwarf, symbol.value, "x86_64")
        for call in (lambda d=dwarf: d.function_at(symbol.value), lambda d=dwarf: line_addresses(d, "list.c", 7)):
            try:
                call()
            except ElfError:
                pass
