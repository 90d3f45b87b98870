"""The entries of .debug_info: units, abbreviations, attributes, and the function at an address."""

from __future__ import annotations

from cygnet.elf.dwarf import numbers as n
from cygnet.elf.dwarf.cursor import Cursor, cstring, guarded
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cygnet.elf import Elf
    from cygnet.elf.dwarf.cursor import Buffer

    # tag, whether it has children, (attribute, form, implicit constant) …
    Abbrev = tuple[int, bool, tuple[tuple[int, int, int], ...]]

_DEEPEST = 64  # entries that refer to one another may do so in a circle


class Entry:
    """One entry. `values` are its attributes: numbers, texts, bytes; references are offsets in the section."""

    __slots__ = ("children", "next", "offset", "tag", "unit", "values")

    def __init__(self, unit: Unit, offset: int, tag: int, children: bool, values: dict[int, Any], next: int) -> None:
        self.unit = unit
        self.offset = offset
        self.tag = tag
        self.children = children
        self.values = values
        self.next = next

    def get(self, attribute: int, default: Any = None) -> Any:
        return self.values.get(attribute, default)

    def whole(self, attribute: int) -> Any:
        """An attribute, of this entry or of the one that it completes (a declaration, or what was inlined)."""
        entry: Entry | None = self
        for _ in range(_DEEPEST):
            if entry is None or attribute in entry.values:
                break
            entry = entry.origin()
        return None if entry is None else entry.get(attribute)

    def origin(self) -> Entry | None:
        offset = self.values.get(n.AT_ABSTRACT_ORIGIN, self.values.get(n.AT_SPECIFICATION))
        return None if offset is None else self.unit.other(offset)

    @property
    def name(self) -> str:
        return self.whole(n.AT_NAME) or ""

    def type(self) -> Entry | None:
        """The entry of its type; None stands for void."""
        offset = self.whole(n.AT_TYPE)
        return None if offset is None else self.unit.other(offset)

    def entries(self) -> Iterator[Entry]:
        """The entries directly below this one."""
        if not self.children:
            return
        at = self.next
        while True:
            entry = self.unit.entry_at(at)
            if entry is None:
                return
            yield entry
            at = entry.end()

    def end(self) -> int:
        """Where the entry after this one and all below it begins."""
        if not self.children:
            return self.next
        sibling: int | None = self.values.get(n.AT_SIBLING)
        if sibling is not None and sibling > self.offset:
            return sibling
        at, depth = self.next, 1
        while depth:
            inner = self.unit.entry_at(at, quick=True)
            if inner is None:
                depth -= 1
                at += 1
            elif inner.children and (sibling := inner.values.get(n.AT_SIBLING)) is not None and sibling > at:
                at = sibling
            else:
                depth += inner.children
                at = inner.next
        return at

    def ranges(self) -> list[tuple[int, int]]:
        """The addresses [start, end) that it covers."""
        low = self.get(n.AT_LOW_PC)
        high = self.get(n.AT_HIGH_PC)
        if low is not None and high is not None:
            return [(low, high if self.unit.high_is_address(self.offset) else low + high)]
        at = self.get(n.AT_RANGES)
        if at is None:
            return []
        from cygnet.elf.dwarf.ranges import read

        return list(read(self.unit, at))


class Unit:
    """A compilation unit."""

    __slots__ = ("_abbrevs", "_high_address", "_root", "addr_base", "address_bytes", "dwarf", "end", "first",
                 "identity", "offset", "offset_bytes", "rnglists_base", "str_offsets_base", "version")  # fmt: skip

    def __init__(self, dwarf: Dwarf, offset: int) -> None:
        self.dwarf = dwarf
        self.offset = offset
        cursor = dwarf.cursor(".debug_info", offset)
        length, self.offset_bytes = cursor.initial_length()
        self.end = cursor.at + length
        self.version = cursor.uint(2)
        self.identity = 0
        if not 2 <= self.version <= 5:
            raise ElfError(f"DWARF version {self.version} is unknown", offset)
        kind = cursor.uint(1) if self.version >= 5 else 1
        if self.version >= 5:
            self.address_bytes = cursor.uint(1)
            abbrevs = cursor.uint(self.offset_bytes)
            if kind in (4, 5):  # a skeleton, and the unit that belongs to it
                self.identity = cursor.uint(8)
            elif kind in (2, 6):  # a type's: its signature, and where it is
                cursor.at += 8 + self.offset_bytes
        else:
            abbrevs = cursor.uint(self.offset_bytes)
            self.address_bytes = cursor.uint(1)
        self.first = cursor.at
        self.addr_base, self.rnglists_base = dwarf.addr_base, 12  # behind the headers of these sections
        self.str_offsets_base = 8
        self._abbrevs = dwarf.abbrevs(abbrevs)
        self._high_address: dict[int, bool] = {}
        self._root: Entry | None = None

    def root(self) -> Entry:
        """The unit's own entry."""
        if self._root is None:
            entry = self.entry_at(self.first)
            if entry is None:
                raise ElfError("a unit of debug information is empty", self.offset)
            self._root = entry
            self.addr_base = entry.get(n.AT_ADDR_BASE, self.addr_base)
            self.str_offsets_base = entry.get(n.AT_STR_OFFSETS_BASE, self.str_offsets_base)
            self.rnglists_base = entry.get(n.AT_RNGLISTS_BASE, self.rnglists_base)
            if any(attribute in entry.values for attribute in (n.AT_STR_OFFSETS_BASE, n.AT_ADDR_BASE)):
                self._root = self.entry_at(self.first)  # names and addresses in it may hang on these bases
        assert self._root is not None
        return self._root

    def other(self, offset: int) -> Entry | None:
        """The entry that one of this unit refers to: nearly always another one of it."""
        return self.entry_at(offset) if self.first <= offset < self.end else self.dwarf.entry(offset)

    def high_is_address(self, offset: int) -> bool:
        return self._high_address.get(offset, False)

    def entry_at(self, at: int, quick: bool = False) -> Entry | None:
        """The entry at an offset of .debug_info; None for the mark that ends a list. `quick`: only what is needed to
        go past it."""
        if at >= self.end:
            return None
        cursor = self.dwarf.cursor(".debug_info", at)
        code = cursor.uleb()
        if not code:
            return None
        tag, children, fields = self.abbrev(code, at)
        values: dict[int, Any] = {}
        for attribute, form, constant in fields:
            if quick and attribute != n.AT_SIBLING:
                self._value(cursor, form, constant, skip=True)
                continue
            values[attribute] = self._value(cursor, form, constant)
            if attribute == n.AT_HIGH_PC:
                self._high_address[at] = form in (n.FORM_ADDR, n.FORM_ADDRX) or n.FORM_ADDRX1 <= form <= n.FORM_ADDRX4
        return Entry(self, at, tag, children, values, cursor.at)

    def abbrev(self, code: int, at: int) -> Abbrev:
        """The abbreviation of that code; `at` is where it is used, for the message when there is none."""
        try:
            return self._abbrevs[code]
        except KeyError:
            raise ElfError(f"debug information uses abbreviation {code}, which does not exist", at) from None

    def _value(self, cursor: Cursor, form: int, constant: int, skip: bool = False) -> Any:
        size = _SIZES.get(form)
        if size is not None:
            number = cursor.uint(size)
            return number + self.offset if form in _UNIT_REFS else self._indexed(form, number, skip)
        row = _FORMS.get(form)
        if row is None:
            raise ElfError(f"debug information has a form {form:#x}, which is unknown", cursor.at)
        return row(self, cursor, constant, skip)

    def _indexed(self, form: int, number: int, skip: bool) -> Any:
        """A number that may be an index of a text or of an address."""
        if skip or form not in _INDEX_FORMS:
            return number
        return self.text_at(number) if form in _TEXT_INDEXES else self.address_at(number)

    def text_at(self, index: int) -> str:
        cursor = self.dwarf.cursor(".debug_str_offsets", self.str_offsets_base + index * self.offset_bytes)
        return self.dwarf.text(".debug_str", cursor.uint(self.offset_bytes))

    def address_at(self, index: int) -> int:
        return self.dwarf.cursor(".debug_addr", self.addr_base + index * self.address_bytes).uint(self.address_bytes)


# ── forms ────────────────────────────────────────────────────────────────────────────────────────────────

_SIZES = {
    n.FORM_DATA1: 1, n.FORM_DATA2: 2, n.FORM_DATA4: 4, n.FORM_DATA8: 8, n.FORM_FLAG: 1, n.FORM_REF1: 1,
    n.FORM_REF2: 2, n.FORM_REF4: 4, n.FORM_REF8: 8, n.FORM_REF_SIG8: 8, n.FORM_REF_SUP4: 4, n.FORM_REF_SUP8: 8,
    n.FORM_STRX1: 1, n.FORM_STRX2: 2, n.FORM_STRX3: 3, n.FORM_STRX4: 4,
    n.FORM_ADDRX1: 1, n.FORM_ADDRX2: 2, n.FORM_ADDRX3: 3, n.FORM_ADDRX4: 4,
}  # fmt: skip
_UNIT_REFS = frozenset((n.FORM_REF1, n.FORM_REF2, n.FORM_REF4, n.FORM_REF8))
_OFFSETS = frozenset((n.FORM_SEC_OFFSET, n.FORM_STRP, n.FORM_LINE_STRP, n.FORM_STRP_SUP))
_TEXT_INDEXES = frozenset((n.FORM_STRX, n.FORM_STRX1, n.FORM_STRX2, n.FORM_STRX3, n.FORM_STRX4))
_INDEX_FORMS = _TEXT_INDEXES | {n.FORM_ADDRX, n.FORM_ADDRX1, n.FORM_ADDRX2, n.FORM_ADDRX3, n.FORM_ADDRX4}


def fixed_size(unit: Unit, abbrev: Abbrev) -> int | None:
    """How many bytes the values of each entry of that abbreviation take; None when they differ."""
    size = 0
    for _, form, _ in abbrev[2]:
        if form in _SIZES:
            size += _SIZES[form]
        elif form in _OFFSETS:
            size += unit.offset_bytes
        elif form == n.FORM_ADDR:
            size += unit.address_bytes
        elif form not in (n.FORM_FLAG_PRESENT, n.FORM_IMPLICIT_CONST):
            return None
    return size


def _block(unit: Unit, cursor: Cursor, size: int) -> bytes:
    return bytes(cursor.take(size))


def _text(section: str) -> Any:
    def read(unit: Unit, cursor: Cursor, constant: int, skip: bool) -> Any:
        offset = cursor.uint(unit.offset_bytes)
        return offset if skip else unit.dwarf.text(section, offset)

    return read


def _index(form: int) -> Any:
    return lambda unit, cursor, constant, skip: unit._indexed(form, cursor.uleb(), skip)


def _indirect(unit: Unit, cursor: Cursor, constant: int, skip: bool) -> Any:
    return unit._value(cursor, cursor.uleb(), 0, skip)


_FORMS: dict[int, Any] = {
    n.FORM_ADDR: lambda unit, cursor, constant, skip: cursor.uint(unit.address_bytes),
    n.FORM_BLOCK1: lambda unit, cursor, constant, skip: _block(unit, cursor, cursor.uint(1)),
    n.FORM_BLOCK2: lambda unit, cursor, constant, skip: _block(unit, cursor, cursor.uint(2)),
    n.FORM_BLOCK4: lambda unit, cursor, constant, skip: _block(unit, cursor, cursor.uint(4)),
    n.FORM_BLOCK: lambda unit, cursor, constant, skip: _block(unit, cursor, cursor.uleb()),
    n.FORM_EXPRLOC: lambda unit, cursor, constant, skip: _block(unit, cursor, cursor.uleb()),
    n.FORM_DATA16: lambda unit, cursor, constant, skip: _block(unit, cursor, 16),
    n.FORM_STRING: lambda unit, cursor, constant, skip: cursor.string(),
    n.FORM_SDATA: lambda unit, cursor, constant, skip: cursor.sleb(),
    n.FORM_UDATA: lambda unit, cursor, constant, skip: cursor.uleb(),
    n.FORM_REF_UDATA: lambda unit, cursor, constant, skip: cursor.uleb() + unit.offset,
    n.FORM_REF_ADDR: lambda unit, cursor, constant, skip: cursor.uint(
        unit.offset_bytes if unit.version > 2 else unit.address_bytes
    ),
    n.FORM_SEC_OFFSET: lambda unit, cursor, constant, skip: cursor.uint(unit.offset_bytes),
    n.FORM_STRP_SUP: lambda unit, cursor, constant, skip: cursor.uint(unit.offset_bytes),
    n.FORM_FLAG_PRESENT: lambda unit, cursor, constant, skip: 1,
    n.FORM_IMPLICIT_CONST: lambda unit, cursor, constant, skip: constant,
    n.FORM_STRP: _text(".debug_str"),
    n.FORM_LINE_STRP: _text(".debug_line_str"),
    n.FORM_STRX: _index(n.FORM_STRX),
    n.FORM_ADDRX: _index(n.FORM_ADDRX),
    n.FORM_LOCLISTX: lambda unit, cursor, constant, skip: cursor.uleb(),
    n.FORM_RNGLISTX: lambda unit, cursor, constant, skip: (cursor.uleb(),),  # an index, where an offset is a number
    n.FORM_INDIRECT: _indirect,
}


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────


class Dwarf:
    """The debug information of an ELF file, which must stay open as long as this is used."""

    __slots__ = ("_abbrevs", "_little", "_sections", "_units", "elf")
    addr_base: int = 8  # behind the header of .debug_addr

    def __init__(self, elf: Elf) -> None:
        self.elf = elf
        self._little = elf.order == "<"
        self._sections: dict[str, Buffer] = {}
        self._abbrevs: dict[int, dict[int, Abbrev]] = {}
        self._units: dict[int, Unit] = {}

    @property
    def present(self) -> bool:
        return len(self.section(".debug_info")) > 0

    def section(self, name: str) -> Buffer:
        """A section's bytes, empty when there is none: a view, unless it is compressed."""
        if name not in self._sections:
            section = self.elf.section(name)
            self._sections[name] = b"" if section is None else self.elf.view(section)
        return self._sections[name]

    def cursor(self, section: str, at: int) -> Cursor:
        return Cursor(self.section(section), at, self._little)

    def text(self, section: str, at: int) -> str:
        return cstring(self.section(section), at).decode("utf-8", "replace")

    def abbrevs(self, offset: int) -> dict[int, Abbrev]:
        if offset not in self._abbrevs:
            self._abbrevs[offset] = _Abbrevs(self.cursor(".debug_abbrev", offset))
        return self._abbrevs[offset]

    def units(self) -> Iterator[Unit]:
        """Every unit, in order."""
        at, size = 0, len(self.section(".debug_info"))
        while at < size:
            unit = self.unit(at)
            yield unit
            at = unit.end

    def unit(self, offset: int) -> Unit:
        if offset not in self._units:
            self._units[offset] = Unit(self, offset)
            self._units[offset].root()
        return self._units[offset]

    def entry(self, offset: int) -> Entry | None:
        """The entry at an offset of .debug_info, whichever unit it is in."""
        for unit in self._units.values():
            if unit.first <= offset < unit.end:
                return unit.entry_at(offset)
        for unit in self.units():
            if unit.first <= offset < unit.end:
                return unit.entry_at(offset)
        return None

    def unit_of(self, address: int) -> Unit | None:
        """The unit whose code an address is in."""
        from cygnet.elf.dwarf.ranges import unit_offset

        offset = unit_offset(self, address)
        if offset is not None:
            return self.unit(offset)
        for unit in self.units():
            if any(start <= address < end for start, end in unit.root().ranges()):
                return unit
        return None

    def whole_unit_of(self, address: int) -> Unit | None:
        """As `unit_of`; of one that the compiler left in a file of its own, the unit there."""
        unit = self.unit_of(address)
        if unit is None or n.AT_DWO_NAME not in unit.root().values:
            return unit
        from cygnet.elf.dwarf.split import whole_unit

        return whole_unit(unit) or unit

    @guarded
    def function_at(self, address: int) -> Entry | None:
        """The function (not an inlined one) that covers an address."""
        unit = self.whole_unit_of(address)
        return None if unit is None else _function(unit.root(), address)


def _function(parent: Entry, address: int) -> Entry | None:
    for entry in parent.entries():
        if entry.tag == n.TAG_SUBPROGRAM:
            if any(start <= address < end for start, end in entry.ranges()):
                return entry
        elif entry.tag in (n.TAG_NAMESPACE, n.TAG_CLASS, n.TAG_STRUCT):
            found = _function(entry, address)
            if found is not None:
                return found
    return None


class _Abbrevs(dict[int, "Abbrev"]):
    """A unit's abbreviations, by code: read on when one is asked for that was not met yet. KeyError: there is none."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: Cursor) -> None:
        self._cursor: Cursor | None = cursor

    def __missing__(self, wanted: int) -> Abbrev:
        while self._cursor is not None:
            code = self._cursor.uleb()
            if not code:
                self._cursor = None
                break
            found = self[code] = _abbrev(self._cursor)
            if code == wanted:
                return found
        raise KeyError(wanted)


def _abbrev(cursor: Cursor) -> Abbrev:
    tag, children = cursor.uleb(), cursor.uint(1) != 0
    fields: list[tuple[int, int, int]] = []
    while True:
        attribute, form = cursor.uleb(), cursor.uleb()
        constant = cursor.sleb() if form == n.FORM_IMPLICIT_CONST else 0
        if not attribute and not form:
            return tag, children, tuple(fields)
        fields.append((attribute, form, constant))
