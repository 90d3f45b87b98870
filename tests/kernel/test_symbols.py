"""Kernel symbols of the running kernel, against its own list read in the plain way."""

from __future__ import annotations

import random

import pytest

from cygnet.errors import NotSupported
from cygnet.session.symbols import KernelSymbols


@pytest.fixture(scope="module")
def rows() -> list[tuple[int, str, str]]:
    with open("/proc/kallsyms") as file:
        fields = [line.split() for line in file]
    rows = [(int(f[0], 16), f[2], f[3].strip("[]") if len(f) > 3 else "") for f in fields]
    if not any(row[0] for row in rows):
        raise NotSupported("kernel symbol addresses", "CAP_SYSLOG or kernel.kptr_restrict=0")
    return rows


def test_symbols_of_the_kernel_proper(rows: list[tuple[int, str, str]]) -> None:
    core = [row for row in rows if not row[2] and row[0] >= 1 << 63]
    assert [row[0] for row in core] == sorted(row[0] for row in core)  # what the search relies on
    first: dict[int, str] = {}
    for address, name, _ in core:
        first.setdefault(address, name)
    symbols = KernelSymbols()
    for address, _, _ in random.Random(1).sample(core[:-1], 3000):
        if address != core[-1][0]:
            assert symbols.ksym(address) == (first[address], 0, "")
    places: dict[str, int] = {}
    for address, name, _ in rows:
        places.setdefault(name, address)
    for _, name, _ in random.Random(2).sample(rows, 100):
        assert symbols.address(name) == places[name]
    assert symbols.address("no_such_symbol_anywhere") is None
    symbols.close()
