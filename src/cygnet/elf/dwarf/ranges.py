"""Address ranges: .debug_ranges (to DWARF 4), .debug_rnglists (5), and .debug_aranges, which finds a unit."""

from __future__ import annotations

from cygnet.elf.dwarf import numbers as n
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.elf.dwarf.cursor import Cursor
    from cygnet.elf.dwarf.info import Dwarf, Unit


def read(unit: Unit, at: int | tuple[int]) -> Iterator[tuple[int, int]]:
    """The ranges at an offset, or at an index of the unit's list of offsets."""
    base = unit._root.get(n.AT_LOW_PC, 0) if unit._root is not None else 0
    if unit.version < 5:
        return _old(unit, int(at if isinstance(at, int) else at[0]), base)
    if isinstance(at, tuple):
        cursor = unit.dwarf.cursor(".debug_rnglists", unit.rnglists_base + at[0] * unit.offset_bytes)
        at = unit.rnglists_base + cursor.uint(unit.offset_bytes)
    return _new(unit, unit.dwarf.cursor(".debug_rnglists", at), base)


def _old(unit: Unit, at: int, base: int) -> Iterator[tuple[int, int]]:
    cursor, size = unit.dwarf.cursor(".debug_ranges", at), unit.address_bytes
    highest = (1 << 8 * size) - 1
    while True:
        start, end = cursor.uint(size), cursor.uint(size)
        if start == highest:
            base = end
        elif not start and not end:
            return
        else:
            yield base + start, base + end


def _new(unit: Unit, cursor: Cursor, base: int) -> Iterator[tuple[int, int]]:
    """DWARF 5, section 7.25."""
    size = unit.address_bytes
    while kind := cursor.uint(1):
        if kind == 1:  # base_addressx
            base = unit.address_at(cursor.uleb())
        elif kind == 2:  # startx_endx
            yield unit.address_at(cursor.uleb()), unit.address_at(cursor.uleb())
        elif kind == 3:  # startx_length
            start = unit.address_at(cursor.uleb())
            yield start, start + cursor.uleb()
        elif kind == 4:  # offset_pair
            start = cursor.uleb()
            yield base + start, base + cursor.uleb()
        elif kind == 5:  # base_address
            base = cursor.uint(size)
        elif kind == 6:  # start_end
            yield cursor.uint(size), cursor.uint(size)
        elif kind == 7:  # start_length
            start = cursor.uint(size)
            yield start, start + cursor.uleb()
        else:
            raise ElfError(f"an address range has a kind {kind}, which is unknown", cursor.at)


def unit_offset(dwarf: Dwarf, address: int) -> int | None:
    """The unit that .debug_aranges names for an address; None when it names none (some compilers write no table)."""
    for low, high, unit in all_units(dwarf):
        if low <= address < high:
            return unit
    return None


def all_units(dwarf: Dwarf) -> Iterator[tuple[int, int, int]]:
    """(start, end, offset of the unit) of each range in .debug_aranges."""
    cursor, size = dwarf.cursor(".debug_aranges", 0), len(dwarf.section(".debug_aranges"))
    while cursor.at < size:
        start = cursor.at
        length, offset_bytes = cursor.initial_length()
        end = cursor.at + length
        cursor.at += 2
        unit = cursor.uint(offset_bytes)
        address_bytes = cursor.uint(1)
        cursor.at += 1
        cursor.at += -(cursor.at - start) % (2 * address_bytes)  # pairs are aligned to their own size
        while cursor.at + 2 * address_bytes <= end:
            low, count = cursor.uint(address_bytes), cursor.uint(address_bytes)
            yield low, low + count, unit
        cursor.at = end
