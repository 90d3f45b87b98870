"""Objects that we write, read back by readelf and by our own reader."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cygnet.elf import numbers as n
from cygnet.elf.reader import Elf
from cygnet.elf.writer import Relocatable


def an_object() -> bytes:
    made = Relocatable(n.EM_BPF)
    code = made.section("xdp", bytes(range(24)), n.SHF_ALLOC | n.SHF_EXECINSTR)
    data = made.section(".data.odd", b"abc", n.SHF_ALLOC | n.SHF_WRITE, align=1)
    last = made.symbol("drop", code, 8, 16, n.STT_FUNC, n.STB_GLOBAL)
    made.symbol("", data, kind=n.STT_SECTION)
    odd = made.symbol("odd", data, 1, 2, n.STT_OBJECT, n.STB_GLOBAL)
    made.reloc(code, 8, odd, 1)
    made.reloc(code, 0, last, 10)
    return made.to_bytes()


def readelf(path: Path, *options: str) -> list[list[str]]:
    run = subprocess.run(["readelf", "-W", *options, path], capture_output=True, text=True, check=True)
    assert not run.stderr
    return [line.split() for line in run.stdout.splitlines()]


def test_readelf_sees_sections_symbols_and_relocations(tmp_path: Path) -> None:
    path = tmp_path / "made.o"
    path.write_bytes(an_object())
    assert ["Machine:", "Linux", "BPF"] in readelf(path, "-h")
    sections = {words[1]: words for line in readelf(path, "-S") if (words := [*" ".join(line).replace("[ ", "[").split()])
                and words[0].startswith("[") and len(words) > 6}  # fmt: skip
    assert sections["xdp"][5] == "000018" and "AX" in sections["xdp"]
    assert sections[".data.odd"][5] == "000003" and "WA" in sections[".data.odd"]
    symbols = {line[-1]: line[1:7] for line in readelf(path, "-s") if len(line) == 8}
    assert symbols["drop"][:4] == ["0000000000000008", "16", "FUNC", "GLOBAL"]
    assert symbols["odd"][:4] == ["0000000000000001", "2", "OBJECT", "GLOBAL"]
    rows = [line for line in readelf(path, "-r") if len(line) == 5 and line[0].startswith("0000")]
    assert [(int(row[0], 16), int(row[1], 16) & 0xFFFFFFFF, row[4]) for row in rows] == [(0, 10, "drop"), (8, 1, "odd")]


def test_our_reader_gives_back_what_was_put_in(tmp_path: Path) -> None:
    path = tmp_path / "made.o"
    path.write_bytes(an_object())
    with Elf.open(str(path)) as elf:
        contents = {
            section.name: bytes(elf.data(section)) for section in elf.sections if section.type == n.SHT_PROGBITS
        }
    assert contents == {"xdp": bytes(range(24)), ".data.odd": b"abc"}
