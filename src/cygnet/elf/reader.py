"""An ELF file, mapped: header, sections and segments are read when they are asked for."""

from __future__ import annotations

import os
import struct

from cygnet.elf import numbers as n
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator
    from types import TracebackType

    from cygnet.elf.notes import Note, Usdt
    from cygnet.elf.symbols import AddressIndex, Symbol, SymbolTable

    Buffer = bytes | mmap.mmap


class Section:
    """A section header. `offset` and `size` are in bytes of the file, `address` is where it is mapped."""

    __slots__ = ("address", "align", "entry_size", "flags", "index", "info", "link", "name", "offset", "size", "type")

    def __init__(self, index: int, name: str, fields: tuple[int, ...]) -> None:
        self.index = index
        self.name = name
        _, self.type, self.flags, self.address, self.offset, self.size, self.link, self.info, *rest = fields
        self.align, self.entry_size = rest

    def __repr__(self) -> str:
        return f"<Section {self.index} {self.name} {self.size} bytes>"


class Segment:
    """A program header. `size` is what the file holds, `memory_size` what is mapped."""

    __slots__ = ("address", "flags", "memory_size", "offset", "size", "type")

    def __init__(self, kind: int, flags: int, offset: int, address: int, size: int, memory_size: int) -> None:
        self.type = kind
        self.flags = flags
        self.offset = offset
        self.address = address
        self.size = size
        self.memory_size = memory_size

    def __repr__(self) -> str:
        return f"<Segment type {self.type} at {self.address:#x}, {self.size} bytes>"


class Elf:
    """An ELF object of 32 or 64 bits and either byte order.

    `Elf.open(path)` maps the file and reads only the pages it needs. Malformed data raises ElfError, with the byte
    offset where that is known, at once or when the bad part is reached.
    """

    __slots__ = (
        "_data",
        "_names_index",
        "_section_count",
        "_section_offset",
        "_section_size",
        "_sections",
        "_segment_count",
        "_segment_offset",
        "_segment_size",
        "_segments",
        "_tables",
        "bits",
        "entry",
        "flags",
        "machine",
        "order",
        "path",
        "type",
    )

    def __init__(self, data: Buffer, path: str = "") -> None:
        self._data = data
        self.path = path
        self._sections: tuple[Section, ...] | None = None
        self._segments: tuple[Segment, ...] | None = None
        self._tables: dict[str, SymbolTable | None] = {}
        self._read_header()

    @classmethod
    def open(cls, path: str) -> Elf:
        """Map a file. Raises OSError when it cannot be opened, ElfError when it is not an ELF file."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if status.st_mode & 0o170000 != 0o100000:
                raise ElfError(f"{path} is not a regular file")
            if not status.st_size:
                raise ElfError(f"{path} is empty")
            import mmap

            data = mmap.mmap(fd, status.st_size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        try:
            return cls(data, path)
        except ElfError:
            data.close()
            raise

    # -- the header

    def _read_header(self) -> None:
        ident = self._data[:16]
        if ident[:4] != n.MAGIC or len(ident) < 16:
            raise ElfError(f"{self.path or 'this'} is not an ELF file", 0)
        if ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise ElfError(f"ELF class {ident[4]} or byte order {ident[5]} is unknown", 4)
        self.bits = 32 * ident[4]
        self.order = "<" if ident[5] == 1 else ">"
        fields = self._unpack("HHIQQQIHHHHHH" if self.bits == 64 else "HHIIIIIHHHHHH", 16)
        self.type, self.machine, _, self.entry, self._segment_offset, self._section_offset, self.flags = fields[:7]
        _, self._segment_size, self._segment_count = fields[7:10]
        self._section_size, self._section_count, self._names_index = fields[10:]

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + layout, self._data, offset)
        except (struct.error, OverflowError):
            raise ElfError(f"{self.path or 'the ELF file'} is cut short", offset) from None

    def bytes_at(self, offset: int, size: int) -> bytes:
        """A piece of the file. Raises ElfError when it does not lie in it."""
        if offset < 0 or size < 0 or offset + size > len(self._data):
            raise ElfError(f"{self.path or 'the ELF file'} is cut short: {size} bytes wanted", offset)
        return self._data[offset : offset + size]

    # -- sections

    @property
    def sections(self) -> tuple[Section, ...]:
        if self._sections is None:
            self._sections = self._read_sections()
        return self._sections

    def _section_fields(self) -> Iterator[tuple[int, ...]]:
        layout = struct.Struct(self.order + ("IIQQQQIIQQ" if self.bits == 64 else "IIIIIIIIII"))
        offset, size = self._section_offset, self._section_size
        if not offset:
            return
        if size < layout.size:
            raise ElfError(f"ELF section headers of {size} bytes are too small", offset)
        count = self._section_count
        if not count:  # 65,280 or more: the first header's size says how many (gABI, "Extended section header")
            count = layout.unpack_from(self.bytes_at(offset, layout.size))[5]
        table = self.bytes_at(offset, count * size)
        for at in range(0, count * size, size):
            yield layout.unpack_from(table, at)

    def _read_sections(self) -> tuple[Section, ...]:
        headers = list(self._section_fields())
        if not headers:
            return ()
        index = headers[0][6] if self._names_index == n.SHN_XINDEX else self._names_index
        if index >= len(headers):
            raise ElfError(f"there is no ELF section {index} for section names", self._section_offset)
        names = self.bytes_at(headers[index][4], headers[index][5]) if index else b""
        return tuple(Section(number, _text(names, fields[0]), fields) for number, fields in enumerate(headers))

    def section(self, name: str) -> Section | None:
        """The first section of that name."""
        for section in self.sections:
            if section.name == name:
                return section
        return None

    def data(self, section: Section) -> bytes:
        """What a section holds, decompressed; empty for one without bytes in the file (.bss)."""
        if section.type == n.SHT_NOBITS:
            return b""
        raw = self.bytes_at(section.offset, section.size)
        return self._decompress(section, raw) if section.flags & n.SHF_COMPRESSED else raw

    def view(self, section: Section) -> bytes | memoryview:
        """What a section holds, as `data`, but not copied out of the file unless it is compressed."""
        if section.flags & n.SHF_COMPRESSED or section.type == n.SHT_NOBITS:
            return self.data(section)
        if section.offset < 0 or section.offset + section.size > len(self._data):
            raise ElfError(f"{self.path or 'the ELF file'} is cut short: {section.size} bytes wanted", section.offset)
        return memoryview(self._data)[section.offset : section.offset + section.size]

    def _decompress(self, section: Section, raw: bytes) -> bytes:
        kind, size, start = self._unpack_compression(section)
        if kind != n.ELFCOMPRESS_ZLIB:
            raise ElfError(
                f"section {section.name} is compressed in a way (number {kind}) that is not known", section.offset
            )
        import zlib

        try:
            return zlib.decompressobj().decompress(raw[start:], size or 1)
        except zlib.error as error:
            raise ElfError(f"section {section.name} does not decompress: {error}", section.offset) from None

    def _unpack_compression(self, section: Section) -> tuple[int, int, int]:
        if self.bits == 64:
            kind, _, size, _ = self._unpack("IIQQ", section.offset)
            return kind, size, 24
        kind, size, _ = self._unpack("III", section.offset)
        return kind, size, 12

    # -- segments

    @property
    def segments(self) -> tuple[Segment, ...]:
        if self._segments is None:
            self._segments = tuple(self._read_segments())
        return self._segments

    def _read_segments(self) -> Iterator[Segment]:
        layout = struct.Struct(self.order + ("IIQQQQQQ" if self.bits == 64 else "IIIIIIII"))
        offset, size, count = self._segment_offset, self._segment_size, self._segment_count
        if not offset or not count:
            return
        if size < layout.size:
            raise ElfError(f"ELF program headers of {size} bytes are too small", offset)
        if count == n.PN_XNUM and self.sections:
            count = self.sections[0].info
        table = self.bytes_at(offset, count * size)
        for at in range(0, count * size, size):
            fields = layout.unpack_from(table, at)
            if self.bits == 64:
                kind, flags, place, address, _, held, mapped, _ = fields
            else:
                kind, place, address, _, held, mapped, flags, _ = fields
            yield Segment(kind, flags, place, address, held, mapped)

    def file_offset(self, address: int) -> int:
        """Where in the file the byte lies that is mapped at `address` (as symbols give it): what a uprobe wants.

        Raises ElfError when no loaded segment holds it. In a relocatable object: a section's own addresses.
        """
        for segment in self.segments:
            if segment.type == n.PT_LOAD and segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        raise ElfError(f"address {address:#x} is in no part of {self.path or 'the file'} that is loaded")

    def address_at(self, offset: int) -> int | None:
        """The address at which the byte at a file offset is mapped, in executable parts first; None when it is not."""
        found = None
        for segment in self.segments:
            if segment.type == n.PT_LOAD and segment.offset <= offset < segment.offset + segment.size:
                found = offset - segment.offset + segment.address
                if segment.flags & n.PF_X:
                    break
        return found

    def is_executable(self, address: int) -> bool:
        """Whether an address is in a loaded part that may be executed."""
        loaded = [one for one in self.segments if one.type == n.PT_LOAD and one.flags & n.PF_X]
        return any(one.address <= address < one.address + one.size for one in loaded)

    # -- symbols: see `cygnet.elf.symbols`

    def table(self, name: str) -> SymbolTable | None:
        """The symbol table of that section: ``.symtab`` or ``.dynsym``."""
        if name not in self._tables:
            from cygnet.elf.symbols import open_table

            self._tables[name] = open_table(self, name)
        return self._tables[name]

    def tables(self) -> Iterator[SymbolTable]:
        for name in (".symtab", ".dynsym"):
            if (table := self.table(name)) is not None:
                yield table

    def symbols(self) -> Iterator[Symbol]:
        """Every named symbol of .symtab, then of .dynsym (where many come again)."""
        for table in self.tables():
            yield from table

    def symbol(self, name: str) -> Symbol | None:
        """The symbol of that name, a defined one when there is one; functions before all else."""
        best = None
        for table in self.tables():
            for symbol in table.named(name):
                if symbol.is_defined and symbol.is_function:
                    return symbol
                if best is None or (symbol.is_defined and not best.is_defined):
                    best = symbol
        return best

    def functions(self, pattern: str = "*") -> list[Symbol]:
        """The functions defined here whose names match (``*``: any characters), each name once, sorted by name."""
        from cygnet.elf.symbols import matching_functions

        return matching_functions(self, pattern)

    def addresses(self) -> AddressIndex:
        """An index from addresses to functions, made anew: keep it."""
        from cygnet.elf.symbols import AddressIndex

        return AddressIndex(self)

    # -- notes: see `cygnet.elf.notes`

    def notes(self) -> Iterator[Note]:
        from cygnet.elf.notes import notes

        return notes(self)

    @property
    def build_id(self) -> str:
        """The GNU build id in hexadecimal; empty when there is none."""
        for note in self.notes():
            if note.kind == n.NT_GNU_BUILD_ID and note.name == b"GNU":
                return note.value.hex()
        return ""

    def usdt(self) -> list[Usdt]:
        """The statically defined tracing points (``.note.stapsdt``), in the order of the file."""
        from cygnet.elf.notes import usdt_probes

        return usdt_probes(self)

    # -- an end

    def close(self) -> None:
        """Unmap the file; without it, the map goes with the object."""
        self._tables.clear()
        if not isinstance(self._data, bytes):
            try:
                self._data.close()
            except BufferError:  # a view is still in use: it goes with its last user
                pass

    def __enter__(self) -> Elf:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _text(names: bytes, offset: int) -> str:
    end = names.find(b"\0", offset)
    return names[offset : end if end >= 0 else len(names)].decode("utf-8", "replace")
