"""Keys and values of maps as Python objects: by a struct format, or by their BTF type."""

from __future__ import annotations

import struct
from collections import namedtuple
from typing import Any, Protocol

from cygnet.btf import kinds
from cygnet.btf.layout import resolve, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.btf.types import BtfType


class Codec(Protocol):
    """`size` bytes to a Python value and back. `pack` raises ValueError or TypeError for what does not fit."""

    @property
    def size(self) -> int: ...
    def pack(self, value: Any) -> bytes: ...
    def unpack(self, data: bytes) -> Any: ...


class Raw:
    """Bytes as they are."""

    def __init__(self, size: int) -> None:
        self.size = size

    def pack(self, value: Any) -> bytes:
        data = bytes(value)
        if len(data) != self.size:
            raise ValueError(f"{self.size} bytes are wanted, not {len(data)}")
        return data

    def unpack(self, data: bytes) -> bytes:
        return data


class Format:
    """A format of the struct module, native order and no padding unless it says otherwise.

    One item is itself, several are a tuple.
    """

    def __init__(self, text: str) -> None:
        self._struct = struct.Struct(text if text[:1] in "=<>!@" else "=" + text)
        self.size = self._struct.size
        self._single = len(self._struct.unpack(bytes(self.size))) == 1

    def pack(self, value: Any) -> bytes:
        try:
            return self._struct.pack(value) if self._single else self._struct.pack(*value)
        except struct.error as error:
            raise ValueError(f"{value!r} does not fit the format {self._struct.format}: {error}") from None

    def unpack(self, data: bytes) -> Any:
        values = self._struct.unpack(data)
        return values[0] if self._single else values


class Number:
    """An integer or a floating-point number of a BTF type; an enumeration's may be given by name."""

    def __init__(self, size: int, letter: str, names: dict[str, int] | None = None, boolean: bool = False) -> None:
        self.size = size
        self._letter = letter
        self._names = names or {}
        self._boolean = boolean

    def pack(self, value: Any) -> bytes:
        if isinstance(value, str):
            if value not in self._names:
                raise ValueError(f"{value!r} is none of {', '.join(self._names) or 'the numbers that fit'}")
            value = self._names[value]
        if self._letter in "fd":
            return struct.pack(f"={self._letter}", value)
        try:
            return int(value).to_bytes(self.size, "little", signed=self._letter == "i")
        except OverflowError:
            raise ValueError(f"{value} does not fit {self.size} bytes") from None

    def unpack(self, data: bytes) -> Any:
        if self._letter in "fd":
            return struct.unpack(f"={self._letter}", data)[0]
        value = int.from_bytes(data, "little", signed=self._letter == "i")
        return bool(value) if self._boolean else value


class Text:
    """An array of char: bytes, without the zeros that fill it up. A str is taken as UTF-8."""

    def __init__(self, size: int) -> None:
        self.size = size

    def pack(self, value: Any) -> bytes:
        data = value.encode() if isinstance(value, str) else bytes(value)
        if len(data) > self.size:
            raise ValueError(f"{len(data)} bytes do not fit {self.size}")
        return data.ljust(self.size, b"\0")

    def unpack(self, data: bytes) -> bytes:
        return data.rstrip(b"\0")


class Sequence:
    """An array: a tuple of as many elements."""

    def __init__(self, element: Codec, count: int) -> None:
        self._element, self._count = element, count
        self.size = element.size * count

    def pack(self, value: Any) -> bytes:
        values = tuple(value)
        if len(values) != self._count:
            raise ValueError(f"{self._count} elements are wanted, not {len(values)}")
        return b"".join(map(self._element.pack, values))

    def unpack(self, data: bytes) -> tuple[Any, ...]:
        step = self._element.size
        return tuple(self._element.unpack(data[at : at + step]) for at in range(0, self.size, step))


class _Field:
    """A member of a struct: its codec and byte, or for a bitfield its bits."""

    __slots__ = ("bit", "bits", "codec", "signed")

    def __init__(self, codec: Codec, bit: int, bits: int, signed: bool) -> None:
        self.codec, self.bit, self.bits, self.signed = codec, bit, bits, signed


class Record:
    """A struct: a named tuple of its members; a mapping or any sequence is taken too. Padding is zero."""

    def __init__(self, of: BtfType) -> None:
        self.size = of.size
        members = of.members
        names = [m.name or f"anonymous{m.index}" for m in members]
        self._tuple: Any = namedtuple(of.name or "struct", names, rename=True)  # type: ignore[misc]
        self._fields = [self._field(of, m) for m in members]

    @staticmethod
    def _field(of: BtfType, member: Any) -> _Field:
        member_type = of.btf.type(member.type_id)
        behind = resolve(member_type)
        signed = behind.kind == kinds.INT and bool(behind.encoding & kinds.INT_SIGNED)
        return _Field(of_type(member_type), member.bit_offset, member.bitfield_size, signed)

    def pack(self, value: Any) -> bytes:
        values = tuple(value[name] for name in self._tuple._fields) if isinstance(value, dict) else tuple(value)
        if len(values) != len(self._fields):
            raise ValueError(f"{len(self._fields)} fields are wanted, not {len(values)}")
        data = bytearray(self.size)
        for field, item in zip(self._fields, values):
            if field.bits:
                word = int.from_bytes(data, "little")
                word |= (int(item) & (1 << field.bits) - 1) << field.bit
                data[:] = word.to_bytes(self.size, "little")
            else:
                at = field.bit >> 3
                data[at : at + field.codec.size] = field.codec.pack(item)
        return bytes(data)

    def unpack(self, data: bytes) -> Any:
        return self._tuple._make(self._unpack_field(data, field) for field in self._fields)

    @staticmethod
    def _unpack_field(data: bytes, field: _Field) -> Any:
        if not field.bits:
            return field.codec.unpack(data[field.bit >> 3 : (field.bit >> 3) + field.codec.size])
        value = int.from_bytes(data, "little") >> field.bit & (1 << field.bits) - 1
        return value - (1 << field.bits) if field.signed and value >> field.bits - 1 else value


def of_type(of: BtfType) -> Codec:
    """The codec of a BTF type. Unions, and what has no better reading, are bytes."""
    behind = resolve(of)
    kind = behind.kind
    if kind == kinds.INT:
        signed = bool(behind.encoding & kinds.INT_SIGNED)
        return Number(behind.size, "i" if signed else "u", boolean=bool(behind.encoding & kinds.INT_BOOL))
    if kind in kinds.ENUMS:
        return Number(behind.size, "i" if behind.kind_flag else "u", dict(behind.enumerators))
    if kind == kinds.FLOAT and behind.size in (4, 8):
        return Number(behind.size, "f" if behind.size == 4 else "d")
    if kind == kinds.PTR:
        return Number(8, "u")
    if kind == kinds.ARRAY:
        return _of_array(behind)
    return Record(behind) if kind == kinds.STRUCT else Raw(size_of(behind))


def _of_array(of: BtfType) -> Codec:
    element = resolve(of.type)
    is_char = element.kind == kinds.INT and element.size == 1
    if is_char and (element.encoding & kinds.INT_CHAR or element.name == "char"):
        return Text(of.nelems)
    return Sequence(of_type(of.type), of.nelems)


def codec(what: str | BtfType | Codec | None, size: int) -> Codec:
    """A codec for `size` bytes: from a struct format, a BTF type, a codec itself; None is bytes as they are.

    Raises ValueError when it is for another size.
    """
    if what is None:
        return Raw(size)
    made: Codec
    if isinstance(what, str):
        made = Format(what)
    else:
        made = what if hasattr(what, "pack") else of_type(what)  # type: ignore[assignment]
    if made.size != size:
        raise ValueError(f"the type has {made.size} bytes, the map {size}")
    return made
