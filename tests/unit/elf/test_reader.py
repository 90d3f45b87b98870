"""Our reading of ELF files against readelf's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.unit.elf.conftest import TARGETS

from cygnet.elf import Elf
from cygnet.elf import numbers as n
from cygnet.errors import ElfError

FILES = ["program", "stripped", "program.debug", "fixed", *(f"{target}.o" for target in TARGETS)]


def readelf(path: Path, *options: str) -> str:
    command = ["readelf", "-W", *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", FILES)
def test_sections(built: Path, name: str) -> None:
    row = re.compile(r"\s+\[\s*(\d+)\]\s(\S*)\s+(?:[A-Z]\S*|<unknown>\S*)\s+([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) ")
    theirs = [
        (int(m[1]), m[2], int(m[3], 16), int(m[4], 16), int(m[5], 16))
        for m in map(row.match, readelf(built / name, "-S").splitlines())
        if m
    ]
    with Elf.open(str(built / name)) as elf:
        ours = [(s.index, s.name, s.address, s.offset, s.size) for s in elf.sections]
    assert ours[1:] == [t for t in theirs if t[0]] and len(ours) > 5


@pytest.mark.parametrize("name", FILES)
def test_symbols(built: Path, name: str) -> None:
    row = re.compile(r"\s*\d+: ([0-9a-f]+)\s+(\d+|0x[0-9a-f]+) (\w+)\s+(\w+)\s+\w+\s+(?:\[.*?\]\s+)?(\w+)\s(\S*)")
    theirs = sorted(
        (m[6].split("@")[0], int(m[1], 16), int(m[2], 0), m[4])
        for m in map(row.match, readelf(built / name, "-s").splitlines())
        if m and m[6] and m[3] != "SECTION"
    )
    binds = {n.STB_LOCAL: "LOCAL", n.STB_GLOBAL: "GLOBAL", n.STB_WEAK: "WEAK"}
    with Elf.open(str(built / name)) as elf:
        ours = sorted(
            (s.name.split("@")[0], s.value, s.size, binds[s.bind]) for s in elf.symbols() if s.type != n.STT_SECTION
        )
        for symbol in elf.symbols():
            found = [s.value for table in elf.tables() for s in table.named(symbol.name)]
            assert symbol.value in found
    assert ours == theirs and ours


@pytest.mark.parametrize("name", ["program", "fixed", "stripped"])
def test_segments(built: Path, name: str) -> None:
    row = re.compile(r"\s+LOAD\s+0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+) ")
    theirs = [
        tuple(int(x, 16) for x in m.groups()) for m in map(row.match, readelf(built / name, "-l").splitlines()) if m
    ]
    with Elf.open(str(built / name)) as elf:
        ours = [(s.offset, s.address, s.size, s.memory_size) for s in elf.segments if s.type == n.PT_LOAD]
    assert ours == theirs and ours


def test_headers_of_all_kinds(built: Path) -> None:
    kinds = {}
    for target in TARGETS:
        with Elf.open(str(built / f"{target}.o")) as elf:
            kinds[target.partition("-")[0]] = (elf.bits, elf.order, elf.machine)
            answer = elf.symbol("answer")
            assert answer is not None and answer.is_function and answer.size
            assert elf.addresses().find(answer.value + 1) is not None
    assert kinds["x86_64"] == (64, "<", n.EM_X86_64) and kinds["i686"] == (32, "<", n.EM_386)
    assert kinds["s390x"] == (64, ">", 22) and kinds["powerpc"] == (32, ">", 20) and kinds["bpf"] == (64, "<", n.EM_BPF)


def test_symbol_prefers_what_is_defined(built: Path) -> None:
    with Elf.open(str(built / "program")) as elf:
        thing = elf.symbol("thing")
        assert thing is not None and thing.name == "thing" and thing.value != elf.symbol("pread_thing").value  # type: ignore[union-attr]
        assert elf.symbol("hing") is None and elf.symbol("") is None and elf.symbol("a\0b") is None
        assert elf.symbol("shared_counter").size == 4  # type: ignore[union-attr]
        printf = elf.symbol("printf") or elf.symbol("printf@GLIBC_2.2.5")
        assert printf is None or not printf.is_defined


def test_functions_by_wildcard(built: Path) -> None:
    with Elf.open(str(built / "program")) as elf:
        assert [s.name for s in elf.functions("*thing")] == ["pread_thing", "thing"]
        assert [s.name for s in elf.functions("*ea*_th*g")] == ["pread_thing"]
        assert [s.name for s in elf.functions("?hin[g]")] == ["thing"]
        assert [s.name for s in elf.functions("main")] == ["main"]
        assert elf.functions("nothing*") == [] and "main" in [s.name for s in elf.functions()]


def test_addresses(built: Path) -> None:
    with Elf.open(str(built / "program")) as elf:
        index = elf.addresses()
        thing = elf.symbol("thing")
        assert thing is not None
        assert index.find(thing.value + 2) == ("thing", 2)  # and not _alias, which is the same function
        assert index.find(0) is None and index.find(1 << 40) is None
        offset = elf.file_offset(thing.value)
        assert elf.address_at(offset) == thing.value and elf.address_at(1 << 40) is None
        with pytest.raises(ElfError, match="no part"):
            elf.file_offset(1 << 40)
        code = elf.bytes_at(offset, thing.size)
    shown = subprocess.run(
        [
            "objdump",
            "-d",
            "--no-show-raw-insn",
            f"--start-address={thing.value}",
            f"--stop-address={thing.value + thing.size}",
            str(built / "program"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search("<(_alias|thing)>", shown)  # objdump prefers the other name
    assert code.endswith(b"\xc3") is shown.rstrip().endswith("ret")


def test_compressed_sections(built: Path) -> None:
    with Elf.open(str(built / "fixed")) as elf, Elf.open(str(built / "program")) as plain:
        packed, raw = elf.section(".debug_str"), plain.section(".debug_str")
        assert packed is not None and raw is not None and packed.flags & n.SHF_COMPRESSED
        assert b"pread_thing\0" in elf.data(packed) and b"pread_thing\0" in plain.data(raw)


def test_build_id_and_notes(built: Path) -> None:
    said = re.search(r"Build ID: (\w+)", readelf(built / "program", "-n"))
    assert said is not None
    for name in ("program", "stripped", "program.debug"):
        with Elf.open(str(built / name)) as elf:
            assert elf.build_id == said[1]
    with Elf.open(str(built / "bpf.o")) as elf:
        assert elf.build_id == ""


def test_usdt(built: Path) -> None:
    text = readelf(built / "program", "-n")
    said = re.search(
        r"Provider: (\w+)\s+Name: (\w+)\s+Location: 0x(\w+), Base: 0x(\w+), Semaphore: 0x(\w+)\s+Arguments: (\S+)", text
    )
    assert said is not None
    with Elf.open(str(built / "program")) as elf:
        (probe,) = elf.usdt()
        assert (probe.provider, probe.name, probe.arguments) == (said[1], said[2], said[6])
        assert (probe.address, probe.semaphore) == (int(said[3], 16), int(said[5], 16))
        assert elf.bytes_at(probe.offset, 1) == b"\x90" or elf.machine != n.EM_X86_64
        assert probe.semaphore_offset == elf.file_offset(elf.symbol("gate").value)  # type: ignore[union-attr]
    with Elf.open(str(built / "fixed")) as elf:
        assert len(elf.usdt()) == 1


def test_not_elf(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("#!/bin/sh\n")
    (tmp_path / "empty").touch()
    for name, words in (("text", "not an ELF"), ("empty", "is empty"), (".", "not a regular file")):
        with pytest.raises(ElfError, match=words):
            Elf.open(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        Elf.open(str(tmp_path / "none"))
