"""Notes of an ELF file: the build id, and the tracing points that programs define with ``<sys/sdt.h>``."""

from __future__ import annotations

import struct

from cygnet.elf import numbers as n
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.elf.reader import Elf


class Note:
    __slots__ = ("kind", "name", "offset", "value")

    def __init__(self, name: bytes, kind: int, value: bytes, offset: int) -> None:
        self.name = name
        self.kind = kind
        self.value = value
        self.offset = offset

    def __repr__(self) -> str:
        return f"<Note {self.name.decode('ascii', 'replace')} {self.kind}, {len(self.value)} bytes>"


class Usdt:
    """A statically defined tracing point.

    `address` is where the probe stands, as symbols give addresses, `offset` the same in the file. `semaphore` is the
    address of the counter that turns the point on (0: it is always on), `semaphore_offset` its place in the file.
    `arguments` is the assembler's text, one ``size@operand`` for each.
    """

    __slots__ = ("address", "arguments", "name", "offset", "provider", "semaphore", "semaphore_offset")

    def __init__(self, provider: str, name: str, arguments: str, address: int, semaphore: int) -> None:
        self.provider = provider
        self.name = name
        self.arguments = arguments
        self.address = address
        self.semaphore = semaphore
        self.offset = 0
        self.semaphore_offset = 0

    def __repr__(self) -> str:
        return f"<Usdt {self.provider}:{self.name} at {self.address:#x} {self.arguments!r}>"


def notes(elf: Elf) -> Iterator[Note]:
    """All notes: those of sections, or of segments where the sections were stripped."""
    places = [(s.offset, s.size, s.align) for s in elf.sections if s.type == n.SHT_NOTE]
    if not places:
        places = [(s.offset, s.size, 4) for s in elf.segments if s.type == n.PT_NOTE]
    for offset, size, align in places:
        yield from parse_notes(elf.bytes_at(offset, size), elf.order, 8 if align == 8 else 4, offset)


def parse_notes(data: bytes, order: str, align: int = 4, place: int = 0) -> Iterator[Note]:
    """The notes in a note section's bytes; `place` is its offset in the file, for messages."""
    header = struct.Struct(order + "III")
    at, mask = 0, align - 1
    while at + header.size <= len(data):
        name_size, size, kind = header.unpack_from(data, at)
        name = at + header.size
        value = (name + name_size + mask) & ~mask
        if value + size > len(data):
            raise ElfError("an ELF note is cut short", place + at)
        yield Note(data[name : name + name_size].rstrip(b"\0"), kind, data[value : value + size], place + at)
        at = (value + size + mask) & ~mask


def usdt_probes(elf: Elf) -> list[Usdt]:
    section = elf.section(".note.stapsdt")
    if section is None:
        return []
    base = elf.section(".stapsdt.base")
    found = []
    for note in parse_notes(elf.data(section), elf.order, 4, section.offset):
        if note.name == b"stapsdt" and note.kind == n.NT_STAPSDT:
            found.append(_usdt(elf, note, None if base is None else base.address))
    return found


def _usdt(elf: Elf, note: Note, base: int | None) -> Usdt:
    layout = struct.Struct(elf.order + ("QQQ" if elf.bits == 64 else "III"))
    texts = note.value[layout.size :].split(b"\0")
    if len(note.value) < layout.size or len(texts) < 4:
        raise ElfError("a stapsdt note is cut short", note.offset)
    address, linked_base, semaphore = layout.unpack_from(note.value)
    moved = 0 if base is None or not linked_base else base - linked_base  # prelink moved the sections, not the notes
    provider, name, arguments = (text.decode("utf-8", "replace") for text in texts[:3])
    probe = Usdt(provider, name, arguments, address + moved, semaphore + moved if semaphore else 0)
    probe.offset = elf.file_offset(probe.address)
    if probe.semaphore:
        probe.semaphore_offset = elf.file_offset(probe.semaphore)
    return probe
