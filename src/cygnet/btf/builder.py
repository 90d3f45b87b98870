"""BTF for our own programs: map keys and values, functions, and the source lines behind instructions.

A `Builder` numbers types as they are added and gives an equal type the id it already has. Structs may refer to
themselves through `reserve`. The bytes are what BPF_BTF_LOAD takes; `func_info` and `line_info` are what BPF_PROG_LOAD
takes beside them.
"""

from __future__ import annotations

import struct

from cygnet.btf import kinds as k
from cygnet.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FUNC_INFO_BYTES = 8
LINE_INFO_BYTES = 16
LINE_LIMIT, COLUMN_LIMIT = (1 << 22) - 1, (1 << 10) - 1  # line_col holds 22 and 10 bits

_INT_SPELLING = {1: "char", 2: "short int", 4: "int", 8: "long long int", 16: "__int128"}


class Builder:
    """Collects types and strings; every method that adds a type returns its id."""

    __slots__ = ("_bytes", "_ids", "_places", "_records", "_strings")

    def __init__(self) -> None:
        self._strings: dict[str, int] = {"": 0}
        self._bytes = bytearray(1)
        self._records: list[tuple[int, ...] | None] = []
        self._ids: dict[tuple[int, ...], int] = {}
        self._places: list[int] = []

    # -- strings and records

    def string(self, text: str) -> int:
        """The offset of a string in the string section."""
        offset = self._strings.get(text)
        if offset is None:
            encoded = text.encode("utf-8", "replace")
            if b"\0" in encoded:
                raise BtfError(f"a BTF string cannot hold a zero byte: {text!r}")
            offset = self._strings[text] = len(self._bytes)
            self._bytes += encoded + b"\0"
        return offset

    def _add(self, kind: int, name: str, word: int, vlen: int = 0, flag: bool = False, rest: Iterable[int] = ()) -> int:
        if vlen > 0xFFFF:
            raise BtfError(f"BTF type {name or '(anonymous)'} has too many elements: {vlen}")
        record = (self.string(name), flag << 31 | kind << 24 | vlen, word, *rest)
        found = self._ids.get(record)
        if found is None:
            self._records.append(record)
            found = self._ids[record] = len(self._records)
        return found

    def reserve(self) -> int:
        """An id for a type to be defined later by `struct(..., at=id)`, so that a pointer can name it now."""
        self._records.append(None)
        return len(self._records)

    # -- types

    def integer(self, size: int, signed: bool = False, name: str = "", encoding: int = 0) -> int:
        """An integer of `size` bytes. Without a name: the C spelling of its size and sign."""
        if size not in _INT_SPELLING:
            raise BtfError(f"there is no integer of {size} bytes")
        if not name:
            name = _INT_SPELLING[size]
            name = (
                name
                if signed and size > 1
                else ("signed " if signed else "unsigned ") + name.removesuffix(" int" * (size == 2))
            )
        encoding |= k.INT_SIGNED if signed else 0
        return self._add(k.INT, name, size, rest=(encoding << 24 | size * 8,))

    def char(self) -> int:
        """Plain ``char``, as kernels spell it: signed."""
        return self.integer(1, True, "char")

    def boolean(self) -> int:
        return self.integer(1, False, "_Bool", k.INT_BOOL)

    def floating(self, size: int, name: str) -> int:
        return self._add(k.FLOAT, name, size)

    def ptr(self, to: int = 0) -> int:
        return self._add(k.PTR, "", to)

    def const(self, of: int) -> int:
        return self._add(k.CONST, "", of)

    def volatile(self, of: int) -> int:
        return self._add(k.VOLATILE, "", of)

    def restrict(self, of: int) -> int:
        return self._add(k.RESTRICT, "", of)

    def type_tag(self, tag: str, of: int) -> int:
        return self._add(k.TYPE_TAG, tag, of)

    def decl_tag(self, tag: str, of: int, component: int = -1) -> int:
        return self._add(k.DECL_TAG, tag, of, rest=(component & 0xFFFFFFFF,))

    def typedef(self, name: str, of: int) -> int:
        return self._add(k.TYPEDEF, name, of)

    def fwd(self, name: str, union: bool = False) -> int:
        return self._add(k.FWD, name, 0, flag=union)

    def array(self, of: int, count: int) -> int:
        return self._add(k.ARRAY, "", 0, rest=(of, self.integer(4, False, "__ARRAY_SIZE_TYPE__"), count))

    def struct(
        self,
        name: str,
        size: int,
        members: Iterable[tuple[str, int, int] | tuple[str, int, int, int]],
        *,
        union: bool = False,
        at: int = 0,
    ) -> int:
        """A struct of `size` bytes. A member is (name, type id, bit offset) or, for a bitfield, (…, width in bits)."""
        full = [(*member, 0)[:4] for member in members]
        packed = any(member[3] for member in full)
        rest: list[int] = []
        for member in full:
            text, of, bit_offset, bits = member
            if packed and (bit_offset >> 24 or bits >> 8):
                raise BtfError(f"bitfield {text} lies too far from the start of {name}")
            rest += (self.string(text), of, bits << 24 | bit_offset)
        kind = k.UNION if union else k.STRUCT
        if not at:
            return self._add(kind, name, size, len(full), packed, rest)
        if self._records[at - 1] is not None:
            raise BtfError(f"BTF type {at} is defined already")
        self._records[at - 1] = (self.string(name), packed << 31 | kind << 24 | len(full), size, *rest)
        return at

    def enum(self, name: str, values: Sequence[tuple[str, int]], size: int = 4) -> int:
        """An enumeration: signed when a value is negative, 64 bits wide when `size` is 8."""
        signed = any(value < 0 for _, value in values)
        rest: list[int] = []
        for text, value in values:
            rest += (self.string(text), value & 0xFFFFFFFF)
            if size == 8:
                rest.append(value >> 32 & 0xFFFFFFFF)
        return self._add(k.ENUM64 if size == 8 else k.ENUM, name, size, len(values), signed, rest)

    def func_proto(self, returns: int, params: Iterable[tuple[str, int]] = ()) -> int:
        """A prototype of (name, type id) parameters; ("", 0) last makes it variadic."""
        rest = [word for name, of in params for word in (self.string(name), of)]
        return self._add(k.FUNC_PROTO, "", returns, len(rest) // 2, rest=rest)

    def func(self, name: str, proto: int, linkage: int = k.GLOBAL) -> int:
        return self._add(k.FUNC, name, proto, linkage)

    def var(self, name: str, of: int, linkage: int = k.GLOBAL) -> int:
        return self._add(k.VAR, name, of, rest=(linkage,))

    def datasec(self, name: str, size: int, variables: Iterable[tuple[int, int, int]]) -> int:
        """A data section of (VAR id, offset, size) in bytes."""
        rest = [word for variable in variables for word in variable]
        return self._add(k.DATASEC, name, size, len(rest) // 3, rest=rest)

    # -- bytes

    def __len__(self) -> int:
        """The number of types so far."""
        return len(self._records)

    def to_bytes(self) -> bytes:
        """The whole object, in this machine's byte order. Raises BtfError when a reserved type was not defined."""
        if None in self._records:
            raise BtfError(f"BTF type {self._records.index(None) + 1} was reserved and not defined")
        words = [word for record in self._records if record for word in record]
        types = struct.pack(f"={len(words)}I", *words)
        header = struct.pack("=HBBIIIII", k.MAGIC, 1, 0, k.HEADER_BYTES, 0, len(types), len(types), len(self._bytes))
        return header + types + bytes(self._bytes)


class ProgramInfo:
    """`func_info` and `line_info` of one program, for BPF_PROG_LOAD. Instruction offsets count 8-byte slots."""

    __slots__ = ("_builder", "_funcs", "_lines")

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._funcs: list[tuple[int, int]] = []
        self._lines: list[tuple[int, int, int, int]] = []

    def func(self, insn_off: int, type_id: int) -> None:
        """A function starts at `insn_off`; the first must be at 0, and each later one where a subprogram starts."""
        self._funcs.append((insn_off, type_id))

    def line(self, insn_off: int, file: str, text: str, line: int, column: int = 0) -> None:
        """From `insn_off` on, instructions stem from this line of source (1-based); each function's start needs one."""
        string = self._builder.string
        line_col = min(line, LINE_LIMIT) << 10 | min(column, COLUMN_LIMIT)
        self._lines.append((insn_off, string(file), string(text), line_col))

    def func_info(self) -> bytes:
        return b"".join(struct.pack("=II", *record) for record in sorted(self._funcs))

    def line_info(self) -> bytes:
        """Records in ascending order; of several at one instruction the last is kept, as the kernel allows one only."""
        last = {record[0]: record for record in self._lines}
        return b"".join(struct.pack("=IIII", *last[insn_off]) for insn_off in sorted(last))


def ext_section(func_info: dict[str, bytes], line_info: dict[str, bytes], builder: Builder) -> bytes:
    """The bytes of an ELF object's .BTF.ext section; both tables by name of the ELF section, offsets in bytes there."""
    funcs = _ext_table(func_info, FUNC_INFO_BYTES, builder)
    lines = _ext_table(line_info, LINE_INFO_BYTES, builder)
    header = struct.pack("=HBBIIIII", k.MAGIC, 1, 0, 24, 0, len(funcs), len(funcs), len(lines))
    return header + funcs + lines


def _ext_table(records: dict[str, bytes], record_bytes: int, builder: Builder) -> bytes:
    if not records:
        return b""
    parts = [struct.pack("=I", record_bytes)]
    for section, data in records.items():
        parts.append(struct.pack("=II", builder.string(section), len(data) // record_bytes) + data)
    return b"".join(parts)
