"""Symbol tables: by name without reading all names, by wildcard, by address.

A name is searched in the string table's bytes; linkers share tails (`read` inside of `pread`), so every place where it
ends a string is a candidate, and one pass over the table's name offsets finds the symbols that use one.
"""

from __future__ import annotations

import struct
import sys
from bisect import bisect_right
from itertools import accumulate

from cygnet.elf import numbers as n
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator

    from cygnet.elf.reader import Elf

_NATIVE = "<" if sys.byteorder == "little" else ">"
_CHUNK = 1 << 16  # symbols a turn, so that a huge table is never whole in memory
_FUNCTIONS = frozenset((n.STT_FUNC, n.STT_GNU_IFUNC))
_LONGEST_CHAIN = 64
_TABLE_SHIFT = 31  # an index row: which table, and the symbol's number there
_ROW_MASK = (1 << _TABLE_SHIFT) - 1
_WIDE = 24  # bytes of a symbol in a 64-bit file
_TYPE = 15 << 32  # in its first 8 bytes
_FUNCTION_HEADS = frozenset((n.STT_FUNC << 32, n.STT_GNU_IFUNC << 32))
_LARGEST_END = (1 << 64) - 1


class Symbol:
    """A symbol: `value` is an address (a section's offset in relocatable objects), `size` in bytes."""

    __slots__ = ("bind", "name", "section", "size", "type", "value", "visibility")

    def __init__(self, name: str, value: int, size: int, info: int, other: int, section: int) -> None:
        self.name = name
        self.value = value
        self.size = size
        self.type = info & 15
        self.bind = info >> 4
        self.visibility = other & 3
        self.section = section

    @property
    def is_function(self) -> bool:
        return self.type in _FUNCTIONS

    @property
    def is_defined(self) -> bool:
        return self.section != n.SHN_UNDEF

    def __repr__(self) -> str:
        return f"<Symbol {self.name} at {self.value:#x}, {self.size} bytes>"


class SymbolTable:
    """A table of symbols and its strings, as they lie in the file."""

    __slots__ = ("_data", "_elf", "_layout", "_offset", "_string_end", "_string_start", "count", "name")

    def __init__(self, elf: Elf, name: str, offset: int, count: int, string_start: int, string_end: int) -> None:
        self._elf = elf
        self._data = elf._data
        self.name = name
        self._layout = struct.Struct(elf.order + ("IBBHQQ" if elf.bits == 64 else "IIIBBH"))
        self._offset = offset
        self.count = count
        self._string_start = string_start
        self._string_end = string_end

    def rows(self) -> Iterator[tuple[int, ...]]:
        """The raw records: (name, info, other, section, value, size), whatever the class of the file."""
        wide = self._elf.bits == 64
        size = self._layout.size
        for first in range(0, self.count, _CHUNK):
            start = self._offset + first * size
            piece = self._data[start : self._offset + min(first + _CHUNK, self.count) * size]
            if wide:
                yield from self._layout.iter_unpack(piece)
            else:
                for name, value, held, info, other, section in self._layout.iter_unpack(piece):
                    yield name, info, other, section, value, held

    def row(self, index: int) -> tuple[int, ...]:
        """One record of `rows`."""
        fields = self._layout.unpack_from(self._data, self._offset + index * self._layout.size)
        if self._elf.bits == 64:
            return fields
        name, value, size, info, other, section = fields
        return name, info, other, section, value, size

    def string(self, offset: int) -> str:
        start = self._string_start + offset
        if start >= self._string_end:
            raise ElfError(f"symbol name offset {offset} lies outside of the string table", self._string_end)
        end = self._data.find(b"\0", start, self._string_end)
        return self._data[start : end if end >= 0 else self._string_end].decode("utf-8", "replace")

    def functions_by_row(self, first: int) -> tuple[list[int], array[int]]:
        """(address << 32 | row of each defined function that has a name, the size of every symbol by its row); `first`
        is added to the rows."""
        from array import array

        keys: list[int] = []
        sizes = array("Q")
        if self._elf.bits == 64 and self._elf.order == _NATIVE == "<":
            for at in range(0, self.count, _CHUNK):
                start = self._offset + at * _WIDE
                words = memoryview(self._data[start : self._offset + min(at + _CHUNK, self.count) * _WIDE]).cast("Q")
                sizes.frombytes(words[2::3].tobytes())
                # The first word is the name's offset, then, from bit 32 on, info, other and section.
                keys += [
                    value << 32 | row
                    for row, (head, value) in enumerate(zip(words[::3].tolist(), words[1::3].tolist()), first + at)
                    if head & _TYPE in _FUNCTION_HEADS and head >> 48 and head & 0xFFFFFFFF
                ]
            return keys, sizes
        for row, (name, info, _, section, value, size) in enumerate(self.rows(), first):
            sizes.append(size)
            if info & 15 in _FUNCTIONS and section and name:
                keys.append(value << 32 | row)
        return keys, sizes

    def __iter__(self) -> Iterator[Symbol]:
        """The symbols that have a name."""
        for name, info, other, section, value, size in self.rows():
            if name:
                yield Symbol(self.string(name), value, size, info, other, section)

    def named(self, name: str) -> Iterator[Symbol]:
        """The symbols of exactly that name."""
        wanted = frozenset(self._name_offsets(name.encode()))
        if not wanted:
            return
        for first in range(0, self.count, _CHUNK):
            for index, offset in enumerate(self._name_column(first), first):
                if offset in wanted:
                    _, info, other, section, value, size = self.row(index)
                    yield Symbol(name, value, size, info, other, section)

    def _name_offsets(self, name: bytes) -> Iterator[int]:
        if not name or b"\0" in name:
            return
        find, start, end = self._data.find, self._string_start, self._string_end
        at = find(name + b"\0", start, end)
        while at >= 0:
            yield at - start
            at = find(name + b"\0", at + 1, end)

    def _name_column(self, first: int) -> list[int]:
        size = self._layout.size
        last = min(first + _CHUNK, self.count)
        piece = self._data[self._offset + first * size : self._offset + last * size]
        if self._elf.order == _NATIVE:
            return memoryview(piece).cast("I")[:: size // 4].tolist()
        return [row[0] for row in self._layout.iter_unpack(piece)]


def open_table(elf: Elf, name: str) -> SymbolTable | None:
    """The table in the section of that name, or None. Raises ElfError when it does not lie in the file."""
    section = elf.section(name)
    if section is None or section.type not in (n.SHT_SYMTAB, n.SHT_DYNSYM):
        return None
    record = 24 if elf.bits == 64 else 16
    if section.entry_size not in (0, record):
        raise ElfError(f"symbols of {section.entry_size} bytes in {name}", section.offset)
    if section.link >= len(elf.sections):
        raise ElfError(f"{name} has no string table", section.offset)
    strings, held = elf.sections[section.link], len(elf._data)
    for part in (section, strings):
        if part.type == n.SHT_NOBITS or part.offset + part.size > held:
            raise ElfError(f"section {part.name} does not lie in the file", part.offset)
    return SymbolTable(elf, name, section.offset, section.size // record, strings.offset, strings.offset + strings.size)


def matching_functions(elf: Elf, pattern: str) -> list[Symbol]:
    """Defined functions whose names match, each name once."""
    matches = Matcher(pattern)
    found: dict[str, Symbol] = {}
    for table in elf.tables():
        string = table.string
        for name, info, other, section, value, size in table.rows():
            if info & 15 in _FUNCTIONS and section and name:
                text = string(name)
                if text not in found and matches(text):
                    found[text] = Symbol(text, value, size, info, other, section)
    return [found[name] for name in sorted(found)]


class Matcher:
    """Whether a whole name matches a pattern of ``*``; other wildcards (``?``, ``[``) as the shell knows them."""

    __slots__ = ("_first", "_fnmatch", "_last", "_middle", "_whole")

    def __init__(self, pattern: str) -> None:
        self._fnmatch = None
        self._whole = pattern
        if "?" in pattern or "[" in pattern:
            import fnmatch

            self._fnmatch = fnmatch.fnmatchcase
        self._first, *self._middle = pattern.split("*")
        self._last = self._middle.pop() if self._middle else None

    def __call__(self, name: str) -> bool:
        if self._fnmatch is not None:
            return self._fnmatch(name, self._whole)
        if self._last is None:
            return name == self._whole
        at, end = len(self._first), len(name) - len(self._last)
        if end < at or not name.startswith(self._first) or not name.endswith(self._last):
            return False
        for piece in self._middle:
            at = name.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True


class AddressIndex:
    """Functions by address, in two flat arrays: the rest stays in the file until it is asked for.

    Of several at one address, one with a size wins, then the name with the fewest leading underscores, then a global
    one. A symbol without a size reaches to the next symbol, or to the end of what is loaded with it.
    """

    __slots__ = ("_reach", "_rows", "_starts", "_tables")

    def __init__(self, elf: Elf) -> None:
        from array import array

        self._tables = list(elf.tables())
        if len(self._tables) == 2 and self._tables[0].count >= self._tables[1].count:
            self._tables.pop()  # a whole .symtab has all that .dynsym has
        keys: list[int] = []  # address and row in one number: sorts fast, and takes a third of a tuple's room
        sizes: list[array[int]] = []
        for number, table in enumerate(self._tables):
            found, held = table.functions_by_row(number << _TABLE_SHIFT)
            keys += found
            sizes.append(held)
        keys.sort()
        self._starts = array("Q", [key >> 32 for key in keys])
        self._rows = array("I", [key & 0xFFFFFFFF for key in keys])
        if len(sizes) == 1:
            spans = list(map(sizes[0].__getitem__, self._rows))
        else:
            spans = [sizes[row >> _TABLE_SHIFT][row & _ROW_MASK] for row in self._rows]
        ends = [start + size for start, size in zip(self._starts, spans)]
        self._end_the_sizeless(
            ends, spans, [(s.address, s.address + s.size) for s in elf.segments if s.type == n.PT_LOAD]
        )
        self._reach = array("Q", accumulate(ends, max))

    def _end_the_sizeless(self, ends: list[int], spans: list[int], loaded: list[tuple[int, int]]) -> None:
        """A symbol without a size ends at the next one, or with the segment; none ends behind all addresses."""
        starts, at = self._starts, -1
        for _ in range(spans.count(0)):
            at = spans.index(0, at + 1)
            start = starts[at]
            above = bisect_right(starts, start, at)
            limit = next((end for first, end in loaded if first <= start < end), start + 1)
            ends[at] = min(starts[above], limit) if above < len(starts) else limit
        if ends and max(ends) > _LARGEST_END:
            ends[:] = [min(end, _LARGEST_END) for end in ends]

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, address: int) -> tuple[str, int] | None:
        """The function that holds an address, and the distance from its start; None when none does."""
        starts = self._starts
        index = bisect_right(starts, address) - 1
        best: tuple[tuple[int, int, int, int], str] | None = None
        last, top = max(index - _LONGEST_CHAIN, -1), starts[index] if index >= 0 else 0
        while index > last and address < self._reach[index]:  # a shorter function may lie inside of a longer one
            start = starts[index]
            if best is not None and start != starts[index + 1]:
                break
            ranked = self._ranked(self._rows[index], address - start, start == top)
            if ranked is not None and (best is None or ranked[0] > best[0]):
                best, found = ranked, address - start
            index -= 1
        return None if best is None else (best[1], found)

    def _ranked(self, place: int, distance: int, nearest: bool) -> tuple[tuple[int, int, int, int], str] | None:
        table = self._tables[place >> _TABLE_SHIFT]
        name, info, _, _, _, size = table.row(place & _ROW_MASK)
        if distance >= size and (size or not nearest):
            return None
        text = table.string(name)
        underscores = len(text) - len(text.lstrip("_"))
        return (int(size != 0), -underscores, int(info >> 4 == n.STB_GLOBAL), size), text
