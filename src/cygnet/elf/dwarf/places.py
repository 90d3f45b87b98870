"""From an address to the source: the functions that were inlined there, the function itself, and their lines."""

from __future__ import annotations

from bisect import bisect_right

from cygnet.elf.dwarf import numbers as n
from cygnet.elf.dwarf.cursor import guarded
from cygnet.elf.dwarf.functions import Functions
from cygnet.elf.dwarf.linetable import LineTable
from cygnet.elf.dwarf.ranges import all_units
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.elf.dwarf.info import Dwarf, Entry, Unit

    Place = tuple[str, str, int]  # name (as the linker has it; may be empty), path (may be empty), line (0: unknown)
    Span = tuple[int, int, int]  # start, end, offset of the unit


class Places:
    """`find(address)` for one file. Where its units lie is read once; of a unit nothing before an address is in it.

    What is damaged counts as missing: no question raises anything.
    """

    __slots__ = ("_dwarf", "_named", "_others", "_units")

    def __init__(self, dwarf: Dwarf) -> None:
        self._dwarf = dwarf
        self._named: _Spans | None = None
        self._others: _Spans | None = None
        self._units: dict[int, _UnitPlaces | None] = {}

    def find(self, address: int) -> list[Place]:
        """What was inlined at an address, the innermost first, and last the function itself; empty: not known."""
        try:
            unit = self._unit(address)
            return [] if unit is None else unit.find(address)
        except ElfError:
            return []

    def _unit(self, address: int) -> _UnitPlaces | None:
        """The unit that .debug_aranges names, or else one that says itself that the address is its own."""
        if self._named is None:
            self._named = _Spans(_named(self._dwarf))
        offset = self._named.find(address)
        if offset is None:
            if self._others is None:
                self._others = _Spans(_unnamed(self._dwarf, self._named.units()))
            offset = self._others.find(address)
        if offset is None:
            return None
        if offset not in self._units:
            self._units[offset] = None  # should it fail
            self._units[offset] = _open_unit(self._dwarf, offset)
        return self._units[offset]


class _Spans:
    """Ranges of addresses that do not overlap, sorted."""

    __slots__ = ("_spans", "_starts")

    def __init__(self, spans: list[Span]) -> None:
        self._spans = sorted(spans)
        self._starts = [span[0] for span in self._spans]

    def find(self, address: int) -> int | None:
        at = bisect_right(self._starts, address) - 1
        return self._spans[at][2] if at >= 0 and address < self._spans[at][1] else None

    def units(self) -> set[int]:
        return {span[2] for span in self._spans}


class _UnitPlaces:
    """One unit: its functions, and its lines."""

    __slots__ = ("_functions", "_lines", "_names")

    def __init__(self, functions: Functions | None, lines: LineTable | None) -> None:
        self._functions = functions
        self._lines = lines
        self._names: dict[int, str] = {}

    @guarded
    def find(self, address: int) -> list[Place]:
        path, line = self._lines.find(address) or ("", 0) if self._lines is not None else ("", 0)
        found: list[Place] = []
        for entry in self._functions.chain(address) if self._functions is not None else ():
            found.append((self._name(entry), path, line))
            path, line = self._call(entry)
        return found or ([("", path, line)] if line else [])

    def _call(self, entry: Entry) -> tuple[str, int]:
        """Where an inlined function was called from."""
        line = int(entry.get(n.AT_CALL_LINE, 0))
        path = self._lines.path(int(entry.get(n.AT_CALL_FILE, 0))) if self._lines is not None and line else ""
        return path, line if path else 0

    def _name(self, entry: Entry) -> str:
        key = int(entry.get(n.AT_ABSTRACT_ORIGIN, entry.offset))
        name = self._names.get(key)
        if name is None:
            linkage = entry.whole(n.AT_LINKAGE_NAME) or entry.whole(n.AT_MIPS_LINKAGE_NAME)
            name = self._names[key] = str(linkage or entry.name)
        return name


@guarded
def _open_unit(dwarf: Dwarf, offset: int) -> _UnitPlaces:
    unit = dwarf.unit(offset)
    return _UnitPlaces(_functions(unit), _lines(dwarf, unit))


def _functions(unit: Unit) -> Functions | None:
    try:
        return _make_functions(unit)
    except ElfError:  # lines may still be whole
        return None


@guarded
def _make_functions(unit: Unit) -> Functions:
    return Functions(unit)


def _lines(dwarf: Dwarf, unit: Unit) -> LineTable | None:
    root = unit.root()
    start = root.get(n.AT_STMT_LIST)
    return None if start is None else _make_lines(dwarf, start, str(root.get(n.AT_COMP_DIR, "")))


def _make_lines(dwarf: Dwarf, start: int, folder: str) -> LineTable | None:
    try:
        return _table(dwarf, start, folder)
    except ElfError:  # the names of what was inlined may still be whole
        return None


@guarded
def _table(dwarf: Dwarf, start: int, folder: str) -> LineTable:
    return LineTable(dwarf, start, folder)


def _named(dwarf: Dwarf) -> list[Span]:
    """What .debug_aranges says, as far as it can be read."""
    found: list[Span] = []
    try:
        _collect(found, dwarf)
    except ElfError:
        pass
    return found


@guarded
def _collect(found: list[Span], dwarf: Dwarf) -> None:
    for low, high, unit in all_units(dwarf):
        if low and low < high:
            found.append((low, high, unit))


def _unnamed(dwarf: Dwarf, named: set[int]) -> list[Span]:
    """The ranges of those units that .debug_aranges leaves out (some compilers write no such table)."""
    found: list[Span] = []
    try:
        _collect_rest(found, dwarf, named)
    except ElfError:
        pass
    return found


@guarded
def _collect_rest(found: list[Span], dwarf: Dwarf, named: set[int]) -> None:
    for unit in dwarf.units():
        if unit.offset not in named:
            found += [(low, high, unit.offset) for low, high in unit.root().ranges() if low and low < high]
