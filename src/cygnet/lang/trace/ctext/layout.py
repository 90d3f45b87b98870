"""Declared types before they are whole: names that may be defined later, pointers, arrays; sizes and alignments."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.records import CMember, CRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cygnet.lang.trace.ctext.tokens import Token
    from cygnet.lang.trace.types import Type

    Node = "Done | Named | Pointer | Array"


class Done:
    """A type that is known already."""

    __slots__ = ("align", "type")

    def __init__(self, type: Type, align: int = 0) -> None:
        self.type = type
        self.align = align


class Named:
    """``struct x``, or the name of a typedef: looked up when it is needed."""

    __slots__ = ("base", "keyword", "token")

    def __init__(self, keyword: str, base: str, token: Token) -> None:
        self.keyword = keyword
        self.base = base
        self.token = token


class Pointer:
    """`to` is None for void and for functions."""

    __slots__ = ("to", "user")

    def __init__(self, to: Done | Named | Pointer | Array | None, user: bool = False) -> None:
        self.to = to
        self.user = user


class Array:
    __slots__ = ("length", "of")

    def __init__(self, of: Done | Named | Pointer | Array, length: int) -> None:
        self.of = of
        self.length = length


class Member:
    """A member as declared. `bits` is -1 for one that is no bit-field."""

    __slots__ = ("align", "bits", "name", "node", "packed", "token")

    def __init__(self, name: str, node: Done | Named | Pointer | Array, bits: int, token: Token) -> None:
        self.name = name
        self.node = node
        self.bits = bits
        self.token = token
        self.align = 0
        self.packed = False


class TextRecord(CRecord):
    """A record of the program's text. Its members get their types when they are asked for: they may point at records
    that are defined further down."""

    __slots__ = ("_members", "align", "placed", "to_type")

    def __init__(self, keyword: str, name: str, to_type: Callable[[Done | Named | Pointer | Array], Type]) -> None:
        super().__init__(keyword, name, 0, False)
        self.align = 1
        self.placed: list[tuple[Member, int, int]] = []  # with its offset in bytes and, of a bit-field, its first bit
        self.to_type = to_type
        self._members: tuple[CMember, ...] | None = None

    def members(self) -> Sequence[CMember]:
        if self._members is None:
            self._members = tuple(self._member(*one) for one in self.placed if one[0].name or one[0].bits < 0)
        return self._members

    def _member(self, member: Member, offset: int, bit: int) -> CMember:
        type = self.to_type(member.node)
        if member.bits < 0:
            return CMember(member.name, type, offset)
        size = type.size
        first = offset * 8 + bit
        at = first // (8 * size) * size
        shift = first - 8 * at
        if shift + member.bits > 8 * size:  # packed: it lies across the units of its type
            at, shift = first // 8, first % 8
            while shift + member.bits > 8 * size and size < 8:
                size *= 2
        if type.kind == "int" and size != type.size:
            type = T.INTS[size, type.signed]
        return CMember(member.name, type, at, shift, member.bits)


def place(
    record: TextRecord,
    members: Sequence[Member],
    measure: Callable[[Done | Named | Pointer | Array, Token], tuple[int, int]],
    *,
    packed: bool,
    align: int,
) -> None:
    """Lay the members out by the System V ABI: alignment of types, bit-fields within units of their type."""
    union = record.keyword == "union"
    bit, widest, end = 0, max(1, align), 0  # `bit`: where the next member may begin
    for member in members:
        size, natural = measure(member.node, member.token)
        unit = 1 if packed or member.packed else natural
        if member.align:
            unit = max(unit, member.align)
        if union:
            bit = 0
        if member.bits < 0:
            bit = -(-bit // (8 * unit)) * 8 * unit
            record.placed.append((member, bit // 8, 0))
            bit += 8 * size
            widest = max(widest, unit)
        else:
            bit = _place_bits(record, member, bit, size, unit, packed=packed or member.packed)
            if member.name:
                widest = max(widest, unit)
        end = max(end, bit)
    record.align = widest
    record.size = -(-((end + 7) // 8) // widest) * widest


def _place_bits(record: TextRecord, member: Member, bit: int, size: int, unit: int, *, packed: bool) -> int:
    """One bit-field; gives where the next one may begin. A width of 0 ends the unit."""
    whole = 8 * size
    if member.bits == 0:
        return -(-bit // whole) * whole
    if not packed and bit // whole != (bit + member.bits - 1) // whole:
        bit = -(-bit // whole) * whole
    if member.align:
        bit = -(-bit // (8 * unit)) * 8 * unit
    record.placed.append((member, bit // 8, bit % 8))
    return bit + member.bits
