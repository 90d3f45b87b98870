"""Call frame information: where a function's caller is found, from .eh_frame or .debug_frame.

The format is DWARF 5's section 6.4, with the Linux Standard Base's changes for .eh_frame and its sorted
table .eh_frame_hdr (LSB Core 5.0, 10.6), by which one function's record is found without reading the others.
"""

from __future__ import annotations

from bisect import bisect_right
from struct import unpack_from

from cygnet.elf import numbers as n
from cygnet.elf.dwarf.cursor import Cursor, cstring, guarded
from cygnet.elf.dwarf.framerules import Common, Machine, number
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.elf.dwarf.framerules import Row
    from cygnet.elf.reader import Elf

_ABSENT = 0xFF  # DW_EH_PE_omit
_INDIRECT = 0x80
_MOST_ROWS = 1 << 16  # answers that are kept


class _Section:
    """Bytes at an address: .eh_frame, or .debug_frame (`eh` False)."""

    __slots__ = ("_commons", "_fdes", "address", "bits", "data", "eh", "header", "little")

    def __init__(self, data: bytes | memoryview, address: int, eh: bool, elf: Elf, header: int) -> None:
        self.data = data
        self.address = address
        self.eh = eh
        self.bits = elf.bits
        self.little = elf.order == "<"
        self.header = header  # the address of .eh_frame_hdr, which some pointers are relative to
        self._commons: dict[int, Common] = {}
        self._fdes: tuple[list[int], list[tuple[int, int]]] | None = None

    def pointer(self, cursor: Cursor, encoding: int) -> int:
        """A pointer as the LSB encodes it. Indirect ones (of personality routines) are not followed."""
        if encoding == _ABSENT:
            return 0
        here = self.address + cursor.at
        value = number(cursor, encoding & 15, self.bits // 8)
        base = encoding & 0x70
        if base == 0x10:
            value += here
        elif base == 0x30:
            value += self.header
        elif base not in (0, 0x50):
            raise ElfError(f"pointers of unwind tables are encoded in a way (number {encoding:#x}) that is not known")
        return value & (1 << self.bits) - 1

    def common(self, at: int) -> Common:
        known = self._commons.get(at)
        if known is None:
            known = self._commons[at] = self._read_common(at)
        return known

    def _read_common(self, at: int) -> Common:
        cursor = Cursor(self.data, at, self.little)
        length, width = cursor.initial_length()
        end = cursor.at + length
        mark = cursor.uint(width if not self.eh else 4)
        if mark != (0 if self.eh else (1 << 8 * width) - 1):
            raise ElfError("unwind tables name a common part that is none", at)
        made = Common()
        version, text = cursor.uint(1), cstring(self.data, cursor.at)
        cursor.at += len(text) + 1
        if version not in (1, 3, 4):
            raise ElfError(f"unwind tables of version {version} are not known", at)
        if version == 4:
            cursor.take(2)  # sizes of addresses and of segment selectors
        made.code_align, made.data_align = cursor.uleb(), cursor.sleb()
        made.column = cursor.uint(1) if version == 1 else cursor.uleb()
        if text[:1] == b"z":
            self._read_extra(cursor, made, text)
        elif text:
            raise ElfError(f"unwind tables have an extension {text.decode('ascii', 'replace')} that is not known", at)
        made.initial = bytes(self.data[cursor.at : end])
        return made

    def _read_extra(self, cursor: Cursor, made: Common, text: bytes) -> None:
        made.has_extra = True
        end = cursor.uleb()
        end += cursor.at
        for letter in text[1:].decode("ascii", "replace"):
            if letter == "R":
                made.encoding = cursor.uint(1)
            elif letter == "P":
                self.pointer(cursor, cursor.uint(1) & ~_INDIRECT)
            elif letter == "L":
                cursor.uint(1)
            elif letter == "S":
                made.signal = True
            else:
                break  # the length says where the rest ends
        cursor.at = end

    def record(self, at: int) -> tuple[Common, int, int, bytes] | None:
        """(common part, first address, length, instructions) of an FDE; None for a CIE."""
        cursor = Cursor(self.data, at, self.little)
        length, width = cursor.initial_length()
        end, here = cursor.at + length, cursor.at
        mark = cursor.uint(4 if self.eh else width)
        if self.eh:
            if not mark:
                return None
            common = self.common(here - mark)
        elif mark == (1 << 8 * width) - 1:
            return None
        else:
            common = self.common(mark)
        start = self.pointer(cursor, common.encoding)
        size = number(cursor, common.encoding & 7, self.bits // 8)  # a length: never relative, never signed
        if common.has_extra:
            cursor.at += cursor.uleb()
        return common, start, size, bytes(self.data[cursor.at : end])

    def scan(self) -> tuple[list[int], list[tuple[int, int]]]:
        """(first addresses in order, (end, place) of each) of all records: for tables without an index."""
        if self._fdes is None:
            rows, at = [], 0
            while at + 4 <= len(self.data):
                cursor = Cursor(self.data, at, self.little)
                length = cursor.initial_length()[0]
                if not length:
                    if self.eh:
                        break
                    at = cursor.at
                    continue
                found = self.record(at)
                if found is not None and found[2]:
                    rows.append((found[1], found[1] + found[2], at))
                at = cursor.at + length
            rows.sort()
            self._fdes = [row[0] for row in rows], [row[1:] for row in rows]
        return self._fdes


class Frames:
    """The unwind tables of one file. `row(address)` is for the file's own addresses, as symbols give them."""

    __slots__ = ("_index", "_rows", "_sections")

    def __init__(self, elf: Elf) -> None:
        self._rows: dict[int, Row | None] = {}
        self._index: tuple[list[int], list[int]] | None = None
        self._sections: list[_Section] = []
        header = next((s for s in elf.segments if s.type == n.PT_GNU_EH_FRAME), None)
        if header is not None:
            self._open_indexed(elf, header.address)
        if not self._sections:
            self._open_named(elf, ".eh_frame", True)
        self._open_named(elf, ".debug_frame", False)

    def _open_named(self, elf: Elf, name: str, eh: bool) -> None:
        section = elf.section(name)
        if section is not None and section.type != n.SHT_NOBITS and section.size:
            self._sections.append(_Section(elf.view(section), section.address, eh, elf, 0))

    def _open_indexed(self, elf: Elf, header: int) -> None:
        """By .eh_frame_hdr, which is in the file's segments even where its sections were stripped."""
        whole, bias = _loaded(elf, header)
        cursor = Cursor(whole, header - bias, elf.order == "<")
        version, *encodings = cursor.take(4)
        if version != 1 or encodings[0] == _ABSENT:
            return
        read = _Section(whole, bias, True, elf, header)
        frame = read.pointer(cursor, encodings[0])
        whole, bias = _loaded(elf, frame)
        self._sections.append(_Section(whole[frame - bias :], frame, True, elf, header))
        if encodings[1] == _ABSENT or encodings[2] != 0x3B:  # relative to the header, signed, 4 bytes
            return
        count = read.pointer(cursor, encodings[1])
        rows = unpack_from(f"{elf.order}{2 * count}i", cursor.take(8 * count))
        places = [header + at - frame for at in rows[1::2]]
        self._index = [header + start for start in rows[::2]], places

    @property
    def present(self) -> bool:
        return bool(self._sections)

    @guarded
    def row(self, address: int) -> Row | None:
        """The rules at an address; None where no table has any. Raises ElfError for damaged tables."""
        try:
            return self._rows[address]
        except KeyError:
            if len(self._rows) >= _MOST_ROWS:
                self._rows.clear()
            found = self._rows[address] = self._find(address)
            return found

    def _find(self, address: int) -> Row | None:
        for which, section in enumerate(self._sections):
            at = self._indexed(address) if not which and self._index is not None else _scanned(section, address)
            if at is None:
                continue
            record = section.record(at)
            if record is not None and record[1] <= address < record[1] + record[2]:
                return Machine(section.little, section.bits // 8, *record).run(address)
        return None

    def _indexed(self, address: int) -> int | None:
        assert self._index is not None
        starts, places = self._index
        at = bisect_right(starts, address) - 1
        return places[at] if at >= 0 else None


def _loaded(elf: Elf, address: int) -> tuple[memoryview, int]:
    """The loaded part that holds an address, and where it begins."""
    for segment in elf.segments:
        if segment.type == n.PT_LOAD and segment.address <= address < segment.address + segment.size:
            return memoryview(elf._data)[segment.offset : segment.offset + segment.size], segment.address
    raise ElfError(f"unwind tables at {address:#x} are in no loaded part")


def _scanned(section: _Section, address: int) -> int | None:
    starts, rest = section.scan()
    at = bisect_right(starts, address) - 1
    return rest[at][1] if at >= 0 and address < rest[at][0] else None
