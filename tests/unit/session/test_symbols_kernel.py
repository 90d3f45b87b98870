"""Kernel symbols out of a list like /proc/kallsyms."""

from __future__ import annotations

from pathlib import Path

import pytest

from cygnet.session.symbols import kernel as kernel_module
from cygnet.session.symbols.kernel import KernelSymbols

BASE = 0xFFFFFFFF81000000


def listing(modules: bool = True, count: int = 20_000) -> str:
    lines = ["0000000000001000 A fixed_percpu_data"]
    lines += [f"{BASE + 16 * i:016x} T f{i}" for i in range(count)]
    lines.insert(3, f"{BASE + 16:016x} t alias_of_f1")
    if modules:
        lines += [
            "ffffffffc0300000 t late\t[second]",
            "ffffffffc0200000 t early\t[first]",
            "ffffffffc0200040 T early_too\t[first]",
            "ffffffffc0400000 t bpf_prog_1\t[bpf]",
        ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "kallsyms").write_text(listing())
    return str(tmp_path / "kallsyms")


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (BASE, ("f0", 0, "")),
        (BASE + 15, ("f0", 15, "")),
        (BASE + 17, ("f1", 1, "")),  # the first of two names
        (BASE + 16 * 12_345 + 3, ("f12345", 3, "")),
        (BASE + 16 * 19_998 + 3, ("f19998", 3, "")),
        (BASE + 16 * 19_999 + 3, None),  # the last symbol has no end
        (BASE - 1, None),
        (0x1004, None),
        (5, None),
        (0xFFFFFFFFC0200041, ("early_too", 1, "first")),
        (0xFFFFFFFFC0200004, ("early", 4, "first")),
        (0xFFFFFFFFC0300004, ("late", 4, "second")),
        (0xFFFFFFFFC01FFFFF, None),
        (0xFFFFFFFFC0700000, None),
    ],
)
def test_addresses(path: str, address: int, found: tuple[str, int, str] | None) -> None:
    symbols = KernelSymbols(path)
    assert symbols.ksym(address) == found
    assert symbols.ksym(address) == found
    symbols.load()
    assert symbols.ksym(address) == found


def test_only_what_is_needed_is_read(path: str) -> None:
    symbols = KernelSymbols(path)
    assert symbols.ksym(BASE + 100) is not None and symbols.address("f3") == BASE + 48
    assert not symbols._at_end
    assert symbols.address("early_too") == 0xFFFFFFFFC0200040 and symbols._at_end
    symbols.close()


def test_names(path: str) -> None:
    symbols = KernelSymbols(path)
    assert symbols.address("f19999") == BASE + 16 * 19_999
    assert symbols.address("late") == 0xFFFFFFFFC0300000
    for name in ("f", "ate", "", "second", "f1 ", "nothing", "T f1"):
        assert symbols.address(name) is None
    assert len(list(symbols.names())) == 20_006


def test_every_cut_between_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that a piece ends in are read whole all the same."""
    path = tmp_path / "kallsyms"
    path.write_text(listing(count=40))
    for size in range(20, 130):
        monkeypatch.setattr(kernel_module, "_PIECE", size)
        symbols = KernelSymbols(str(path))
        assert symbols.ksym(BASE + 16 * 7 + 2) == ("f7", 2, "")
        assert symbols.address("f38") == BASE + 16 * 38
        assert symbols.ksym(0xFFFFFFFFC0200041) == ("early_too", 1, "first")
        symbols.close()


def test_hidden_addresses_and_no_list(tmp_path: Path) -> None:
    path = tmp_path / "kallsyms"
    path.write_text("0000000000000000 T f0\n0000000000000000 t m\t[first]\n")
    for symbols in (KernelSymbols(str(path)), KernelSymbols(str(tmp_path / "none"))):
        assert symbols.ksym(BASE) is None and symbols.address("f0") is None and symbols.address("m") is None


def test_a_program_loaded_later_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kallsyms"
    path.write_text(listing(count=10))
    now = [100.0]
    monkeypatch.setattr(kernel_module, "monotonic", lambda: now[0])
    symbols = KernelSymbols(str(path))
    assert symbols.ksym(0xFFFFFFFFC0401004) == ("bpf_prog_1", 0x1004, "bpf")
    path.write_text(listing(count=10) + "ffffffffc0401000 t bpf_prog_2\t[bpf]\n")
    assert symbols.ksym(0xFFFFFFFFC0401008) == ("bpf_prog_1", 0x1008, "bpf")
    now[0] += 2
    assert symbols.ksym(0xFFFFFFFFC040100C) == ("bpf_prog_2", 12, "bpf")
