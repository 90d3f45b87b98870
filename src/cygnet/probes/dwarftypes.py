"""C types out of DWARF, put into the words of BTF, which the compiler knows already."""

from __future__ import annotations

from cygnet.btf.builder import Builder
from cygnet.elf.dwarf import numbers as n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.elf.dwarf.info import Entry

#: with more types than this a pointer to another one becomes a pointer to void
_MOST = 20_000
_RECORDS = frozenset((n.TAG_STRUCT, n.TAG_CLASS, n.TAG_UNION))
_POINTERS = frozenset((n.TAG_POINTER, n.TAG_REFERENCE, n.TAG_RVALUE_REFERENCE))
_DEEPEST = 200


class Converter:
    """Collects types; `type` gives the BTF id of a DWARF one (0: void)."""

    __slots__ = ("_depth", "_known", "builder")

    def __init__(self) -> None:
        self.builder = Builder()
        self._known: dict[int, int] = {}
        self._depth = 0

    def type(self, entry: Entry | None) -> int:
        if entry is None or self._depth > _DEEPEST:
            return 0
        if entry.offset not in self._known:
            self._depth += 1
            try:
                self._known[entry.offset] = self._convert(entry)
            finally:
                self._depth -= 1
        return self._known[entry.offset]

    def _convert(self, entry: Entry) -> int:
        tag, builder = entry.tag, self.builder
        if tag in _POINTERS:
            return builder.ptr(self._pointee(entry))
        if tag in _RECORDS:
            return self._record(entry)
        row = _CONVERT.get(tag)
        return 0 if row is None else int(row(self, entry))

    def _pointee(self, entry: Entry) -> int:
        """Records that point to each other in circles are numbered before their members are read."""
        return 0 if len(self._known) > _MOST else self.type(entry.type())

    def _base(self, entry: Entry) -> int:
        size, encoding = entry.get(n.AT_BYTE_SIZE, 0), entry.get(n.AT_ENCODING, 0)
        if encoding == n.ATE_FLOAT or size not in (1, 2, 4, 8, 16):
            return self.builder.floating(size, entry.name) if size in (2, 4, 8, 12, 16) else 0
        if encoding == n.ATE_BOOLEAN:
            return self.builder.boolean()
        if entry.name == "char":
            return self.builder.char()
        return self.builder.integer(size, encoding in (n.ATE_SIGNED, n.ATE_SIGNED_CHAR), entry.name)

    def _typedef(self, entry: Entry) -> int:
        return self.builder.typedef(entry.name, self.type(entry.type()))

    def _qualified(self, entry: Entry) -> int:
        return self.type(entry.type())  # const and the like change nothing here

    def _enum(self, entry: Entry) -> int:
        values = [
            (each.name, int(each.get(n.AT_CONST_VALUE, 0))) for each in entry.entries() if each.tag == n.TAG_ENUMERATOR
        ]
        return self.builder.enum(entry.name, values, entry.get(n.AT_BYTE_SIZE, 4))

    def _array(self, entry: Entry) -> int:
        counts = [_count(each) for each in entry.entries() if each.tag in (n.TAG_SUBRANGE, n.TAG_ENUM)]
        element = self.type(entry.type())
        for count in reversed(counts):
            element = self.builder.array(element, count)
        return element

    def _record(self, entry: Entry) -> int:
        definition = entry
        if entry.get(n.AT_DECLARATION):
            return self.builder.fwd(entry.name, entry.tag == n.TAG_UNION)
        at = self._known[entry.offset] = self.builder.reserve()
        members = [member for each in definition.entries() if (member := self._member(each)) is not None]
        size = entry.get(n.AT_BYTE_SIZE, 0)
        members = [member for member in members if member[1]]
        return self.builder.struct(entry.name, size, members, union=entry.tag == n.TAG_UNION, at=at)

    def _member(self, entry: Entry) -> tuple[str, int, int, int] | None:
        """(name, type, bit offset, bits of a bitfield); a base class is a member without a name."""
        if entry.tag not in (n.TAG_MEMBER, n.TAG_INHERITANCE):
            return None
        place = entry.get(n.AT_MEMBER_LOCATION, 0)
        bits = entry.get(n.AT_BIT_SIZE, 0)
        if not isinstance(place, int) or not isinstance(bits, int):  # computed at run time: virtual bases
            return None
        offset = entry.get(n.AT_DATA_BIT_OFFSET)
        type = entry.type()
        if offset is None:
            offset = 8 * place
            if bits and n.AT_BIT_OFFSET in entry.values:  # DWARF 3 counts from the high end of the storage
                storage = entry.get(n.AT_BYTE_SIZE) or size_of(type)
                offset += 8 * storage - entry.get(n.AT_BIT_OFFSET) - bits
        return ("" if entry.tag == n.TAG_INHERITANCE else entry.name), self.type(type), offset, bits


_CONVERT: dict[int, Any] = {
    n.TAG_BASE: Converter._base,
    n.TAG_TYPEDEF: Converter._typedef,
    n.TAG_CONST: Converter._qualified,
    n.TAG_VOLATILE: Converter._qualified,
    n.TAG_RESTRICT: Converter._qualified,
    n.TAG_ATOMIC: Converter._qualified,
    n.TAG_ENUM: Converter._enum,
    n.TAG_ARRAY: Converter._array,
}


def _count(entry: Entry) -> int:
    count, upper = entry.get(n.AT_COUNT), entry.get(n.AT_UPPER_BOUND)
    if isinstance(count, int):
        return count
    return upper + 1 if isinstance(upper, int) and 0 <= upper < 1 << 31 else 0


def plain(entry: Entry | None) -> Entry | None:
    """A type without typedefs and qualifiers."""
    for _ in range(_DEEPEST):
        if entry is None or entry.tag not in (n.TAG_TYPEDEF, n.TAG_CONST, n.TAG_VOLATILE, n.TAG_RESTRICT, n.TAG_ATOMIC):
            break
        entry = entry.type()
    return entry


def size_of(entry: Entry | None) -> int:
    """Bytes of a type's value."""
    entry = plain(entry)
    if entry is None:
        return 0
    if entry.tag in _POINTERS:
        return int(entry.get(n.AT_BYTE_SIZE, entry.unit.address_bytes))
    if entry.tag == n.TAG_ARRAY:
        total = size_of(entry.type())
        for each in entry.entries():
            total *= _count(each) if each.tag == n.TAG_SUBRANGE else 1
        return total
    return int(entry.get(n.AT_BYTE_SIZE, 0))
