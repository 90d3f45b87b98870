"""A relocatable ELF object in the making: sections, symbols and relocations, 64 bits, little-endian."""

from __future__ import annotations

import struct

from cygnet.elf import numbers as n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from cygnet.named import NamedTuple

_HEADER = "<16sHHIQQQIHHHHHH"
_HEADER_BYTES = struct.calcsize(_HEADER)
_IDENT = n.MAGIC + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little-endian, version 1
_ALIGN = 8


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    data: bytes
    align: int
    link: int = 0
    info: int = 0
    entry: int = 0


class _Symbol(NamedTuple):
    name: str
    section: int
    value: int
    size: int
    kind: int
    binding: int


class Relocatable:
    """Collects what an object holds; `to_bytes` lays it out. Sections and symbols are named by their numbers."""

    __slots__ = ("_machine", "_relocs", "_sections", "_symbols")

    def __init__(self, machine: int) -> None:
        self._machine = machine
        self._sections = [_Section("", n.SHT_NULL, 0, b"", 0)]
        self._symbols: list[_Symbol] = []
        self._relocs: dict[int, list[tuple[int, int, int]]] = {}

    def section(self, name: str, data: bytes, flags: int = 0, kind: int = n.SHT_PROGBITS, align: int = _ALIGN) -> int:
        """A section with `data` (of SHT_NOBITS too, where only its length counts). Its index."""
        self._sections.append(_Section(name, kind, flags, data, align))
        return len(self._sections) - 1

    def symbol(
        self,
        name: str,
        section: int,
        value: int = 0,
        size: int = 0,
        kind: int = n.STT_NOTYPE,
        binding: int = n.STB_LOCAL,
    ) -> int:
        """A symbol at byte `value` of a section. A number for `reloc`."""
        self._symbols.append(_Symbol(name, section, value, size, kind, binding))
        return len(self._symbols) - 1

    def reloc(self, section: int, offset: int, symbol: int, kind: int) -> None:
        """A relocation without an addend, of the bytes at `offset` of a section."""
        self._relocs.setdefault(section, []).append((offset, symbol, kind))

    def to_bytes(self) -> bytes:
        """The whole file."""
        sections = list(self._sections)
        strings = _Strings()
        order = sorted(range(len(self._symbols)), key=lambda number: self._symbols[number].binding != n.STB_LOCAL)
        places = {number: place for place, number in enumerate(order, 1)}
        table = [bytes(24)]
        for number in order:
            one = self._symbols[number]
            info = one.binding << 4 | one.kind
            table.append(struct.pack("<IBBHQQ", strings.add(one.name), info, 0, one.section, one.value, one.size))
        first_global = 1 + sum(symbol.binding == n.STB_LOCAL for symbol in self._symbols)
        symtab = len(sections)
        sections.append(_Section(".symtab", n.SHT_SYMTAB, 0, b"".join(table), _ALIGN, symtab + 1, first_global, 24))
        sections.append(_Section(".strtab", n.SHT_STRTAB, 0, bytes(strings.data), 1))
        for section, rows in sorted(self._relocs.items()):
            data = b"".join(struct.pack("<QQ", at, places[symbol] << 32 | kind) for at, symbol, kind in sorted(rows))
            name = ".rel" + self._sections[section].name
            sections.append(_Section(name, n.SHT_REL, 0, data, _ALIGN, symtab, section, 16))
        return self._laid_out(sections)

    def _laid_out(self, sections: list[_Section]) -> bytes:
        names = _Strings()
        for section in sections:
            names.add(section.name)
        names.add(".shstrtab")
        sections.append(_Section(".shstrtab", n.SHT_STRTAB, 0, bytes(names.data), 1))
        body = bytearray(_HEADER_BYTES)
        headers = []
        for section in sections:
            body += bytes(-len(body) % max(1, section.align))
            at = len(body) if section.kind else 0
            headers.append(
                struct.pack(
                    "<IIQQQQIIQQ", names.add(section.name), section.kind, section.flags, 0, at, len(section.data),
                    section.link, section.info, section.align, section.entry,
                )
            )  # fmt: skip
            if section.kind != n.SHT_NOBITS:
                body += section.data
        body += bytes(-len(body) % _ALIGN)
        struct.pack_into(
            _HEADER, body, 0, _IDENT, n.ET_REL, self._machine, 1, 0, 0, len(body), 0, _HEADER_BYTES, 0, 0, 64,
            len(sections), len(sections) - 1,
        )  # fmt: skip
        return bytes(body) + b"".join(headers)


class _Strings:
    """A string table, each text once."""

    __slots__ = ("_places", "data")

    def __init__(self) -> None:
        self.data = bytearray(1)
        self._places = {"": 0}

    def add(self, text: str) -> int:
        place = self._places.get(text)
        if place is None:
            place = self._places[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return place
