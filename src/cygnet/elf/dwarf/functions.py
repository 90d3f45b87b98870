"""The functions of one unit by address, and what was inlined into them."""

from __future__ import annotations

from bisect import bisect_right

from cygnet.elf.dwarf import numbers as n
from cygnet.elf.dwarf.info import fixed_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.elf.dwarf.info import Entry, Unit

    Ranges = list[tuple[int, int]]

_FUNCTIONS_BELOW = frozenset(
    (n.TAG_COMPILE_UNIT, n.TAG_NAMESPACE, n.TAG_CLASS, n.TAG_STRUCT, n.TAG_UNION, n.TAG_MODULE)
)
_CODE_BELOW = frozenset((n.TAG_LEXICAL_BLOCK, n.TAG_INLINED, n.TAG_TRY_BLOCK, n.TAG_CATCH_BLOCK))
_MOST_INLINED = 1 << 16  # of one function
_DEEPEST = 256  # a chain deeper than that is a lie


class Functions:
    """`chain(address)`. The unit is walked once, over all that is not a function; a function when it is asked for.

    A function within a function (GNU C, Pascal, Ada) is taken for its outer one.
    """

    __slots__ = ("_inlined", "_spans", "_starts", "_unit")

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._spans = sorted(_spans(unit))
        self._starts = [span[0] for span in self._spans]
        self._inlined: dict[int, list[tuple[Ranges, _Inlined]]] = {}

    def chain(self, address: int) -> list[Entry]:
        """The function that covers an address, last, and before it what was inlined there, the innermost first."""
        at = bisect_right(self._starts, address) - 1
        if at < 0 or address >= self._spans[at][1]:
            return []
        offset = self._spans[at][2]
        function = self._unit.entry_at(offset)
        if function is None:
            return []
        if offset not in self._inlined:
            self._inlined[offset] = _inlined(function)
        chain: list[Entry] = []
        for ranges, inner in reversed(self._inlined[offset]):  # the inner stand behind the outer
            if any(start <= address < end for start, end in ranges):
                place: _Inlined | None = inner
                while place is not None and len(chain) < _DEEPEST:
                    chain.append(place.entry)
                    place = place.outer
                break
        return [*chain, function]


def _spans(unit: Unit) -> list[tuple[int, int, int]]:
    """(start, end, offset of its entry) of each piece of each function."""
    found: list[tuple[int, int, int]] = []
    at, depth, end = unit.first, 0, unit.end
    skip = _Skip(unit)
    while at < end:
        code, tag, children, after = skip.head(at)
        if not code:
            at, depth = after, depth - 1
            if depth <= 0:
                break
        elif tag == n.TAG_SUBPROGRAM:
            entry = unit.entry_at(at)
            assert entry is not None
            found += [(low, high, at) for low, high in entry.ranges() if low and low < high]
            at = skip.beyond(at)
        elif not children:
            at = skip.past(at, code, after)
            if not depth:
                break
        elif tag in _FUNCTIONS_BELOW:
            at, depth = skip.past(at, code, after), depth + 1
        else:
            at = skip.beyond(at)
    return found


class _Inlined:
    """An inlined function and the one it is inlined into, None for the function itself.

    That one counts whatever its own ranges say: some compilers leave out of them what is inlined further in.
    """

    __slots__ = ("entry", "outer")

    def __init__(self, entry: Entry, outer: _Inlined | None) -> None:
        self.entry = entry
        self.outer = outer


def _inlined(function: Entry) -> list[tuple[Ranges, _Inlined]]:
    """What was inlined into a function, the outer before the inner."""
    unit = function.unit
    found: list[tuple[Ranges, _Inlined]] = []
    skip = _Skip(unit)
    outer: list[_Inlined | None] = [None] if function.children else []
    at, end = function.next, unit.end
    while outer and at < end and len(found) < _MOST_INLINED:
        code, tag, children, after = skip.head(at)
        if not code:
            at = after
            outer.pop()
        elif tag == n.TAG_INLINED:
            entry = unit.entry_at(at)
            assert entry is not None
            inner = _Inlined(entry, outer[-1])
            found.append((entry.ranges(), inner))
            at = entry.next
            outer += [inner] * children
        elif not children:
            at = skip.past(at, code, after)
        elif tag in _CODE_BELOW:
            at = skip.past(at, code, after)
            outer.append(outer[-1])
        else:
            at = skip.beyond(at)
    return found


class _Skip:
    """Goes past entries that nobody wants to read: in one step where an abbreviation's entries have all one size."""

    __slots__ = ("_data", "_sizes", "_unit")

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._data = unit.dwarf.section(".debug_info")
        self._sizes: dict[int, int | None] = {}

    def head(self, at: int) -> tuple[int, int, bool, int]:
        """(code, tag, whether it has children, where its values begin); code 0 for the mark that ends a list."""
        code = self._data[at]
        after = at + 1
        if code >= 0x80:
            cursor = self._unit.dwarf.cursor(".debug_info", at)
            code, after = cursor.uleb(), cursor.at
        if not code:
            return 0, 0, False, after
        tag, children, _ = self._unit.abbrev(code, at)
        return code, tag, children, after

    def past(self, at: int, code: int, after: int) -> int:
        try:
            size = self._sizes[code]
        except KeyError:
            size = self._sizes[code] = fixed_size(self._unit, self._unit.abbrev(code, at))
        if size is not None:
            return after + size
        entry = self._unit.entry_at(at, quick=True)
        assert entry is not None
        return entry.next

    def beyond(self, at: int) -> int:
        """Where the entry after this one and all below it begins."""
        depth, end = 0, self._unit.end
        while at < end:
            code, _, children, after = self.head(at)
            if not code:
                at, depth = after, depth - 1
            elif children and self._has_sibling(code, at):
                entry = self._unit.entry_at(at, quick=True)
                assert entry is not None
                sibling = int(entry.get(n.AT_SIBLING))
                at, depth = (sibling, depth) if sibling > at else (entry.next, depth + 1)
            else:
                at, depth = self.past(at, code, after), depth + children
            if depth <= 0:
                break
        return at

    def _has_sibling(self, code: int, at: int) -> bool:
        fields = self._unit.abbrev(code, at)[2]
        return bool(fields) and any(field[0] == n.AT_SIBLING for field in fields)
