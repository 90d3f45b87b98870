"""One BTF type, read from its record when asked."""

from __future__ import annotations

from cygnet.btf import kinds as k
from cygnet.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.btf.reader import Btf


class Member:
    """A field of a struct or union. `bitfield_size` is in bits, 0 for a field that is none."""

    __slots__ = ("bit_offset", "bitfield_size", "index", "name", "type_id")

    def __init__(self, name: str, type_id: int, bit_offset: int, bitfield_size: int, index: int) -> None:
        self.name = name
        self.type_id = type_id
        self.bit_offset = bit_offset
        self.bitfield_size = bitfield_size
        self.index = index

    @property
    def byte_offset(self) -> int:
        return self.bit_offset >> 3

    def __repr__(self) -> str:
        bits = f":{self.bitfield_size}" if self.bitfield_size else ""
        return f"Member({self.name!r}{bits}, type {self.type_id}, bit {self.bit_offset})"


class Param:
    """A parameter of a function prototype; the last one of a variadic function has type id 0 and no name."""

    __slots__ = ("name", "type_id")

    def __init__(self, name: str, type_id: int) -> None:
        self.name = name
        self.type_id = type_id

    def __repr__(self) -> str:
        return f"Param({self.name!r}, type {self.type_id})"


class SecInfo:
    """A variable of a data section: its VAR's id, its place and size in bytes."""

    __slots__ = ("offset", "size", "type_id")

    def __init__(self, type_id: int, offset: int, size: int) -> None:
        self.type_id = type_id
        self.offset = offset
        self.size = size

    def __repr__(self) -> str:
        return f"SecInfo(type {self.type_id}, offset {self.offset}, size {self.size})"


class BtfType:
    """A type of a `Btf`. Two of the same Btf and place are the same object.

    `kind` is one of the numbers in `cygnet.btf.kinds`. Attributes that a kind has not got raise BtfError.
    """

    __slots__ = ("_elements", "_id", "_name", "_position", "btf", "info", "kind", "word")

    def __init__(self, btf: Btf, position: int, info: int, word: int, type_id: int = -1) -> None:
        self.btf = btf
        self.info = info
        self.kind = info >> 24 & 31
        self.word = word  # `size` or `type`, by kind
        self._position = position  # in words of the type section; -1 for void
        self._id = type_id
        self._name: str | None = None
        self._elements: object = None

    @property
    def id(self) -> int:
        """The type id. Asking for it walks the index up to this type, when it was found by name."""
        if self._id < 0:
            self._id = self.btf._id_at(self._position)
        return self._id

    @property
    def name(self) -> str:
        """The name; empty for an anonymous type, ``void`` for type 0."""
        if self._name is None:
            self._name = "void" if self.kind == k.VOID else self.btf.string(self.btf._word(self._position))
        return self._name

    @property
    def offset(self) -> int:
        """The record's byte offset in the BTF data."""
        return self.btf._byte_offset(self._position)

    @property
    def vlen(self) -> int:
        return self.info & 0xFFFF

    @property
    def kind_flag(self) -> bool:
        """struct, union: members may be bitfields; enum: signed; fwd: a union; tags: an attribute."""
        return self.info >> 31 == 1

    @property
    def type_id(self) -> int:
        """The type this one refers to: pointee, aliased type, element, return type, prototype."""
        if self.kind == k.ARRAY:
            return self._word_at(3)
        if self.kind in k.SIZED or self.kind in (k.VOID, k.FWD):
            raise self._no("type")
        return self.word

    @property
    def type(self) -> BtfType:
        return self.btf.type(self.type_id)

    @property
    def size(self) -> int:
        """Bytes, as the record itself states; `Btf.size_of` answers for every kind."""
        if self.kind not in k.SIZED:
            raise self._no("size")
        return self.word

    # -- integers and enumerations

    @property
    def encoding(self) -> int:
        """Of an int: `INT_SIGNED | INT_CHAR | INT_BOOL`."""
        return self._only(k.INT, "encoding", 3) >> 24 & 15

    @property
    def bits(self) -> int:
        """Of an int: how many of its bits count."""
        return self._only(k.INT, "bits", 3) & 0xFF

    @property
    def int_offset(self) -> int:
        """Of an int: the first bit that counts (0 everywhere but in old compilers' bitfields)."""
        return self._only(k.INT, "offset", 3) >> 16 & 0xFF

    @property
    def is_signed(self) -> bool:
        """Whether an int or an enumeration is signed; False for all else."""
        if self.kind == k.INT:
            return bool(self.encoding & k.INT_SIGNED)
        return self.kind in k.ENUMS and self.kind_flag

    @property
    def is_bool(self) -> bool:
        return self.kind == k.INT and bool(self.encoding & k.INT_BOOL)

    @property
    def is_char(self) -> bool:
        """An int of one byte that holds a character: flagged so, or named `char`, as compilers leave the flag out."""
        if self.kind != k.INT or self.word != 1:
            return False
        return bool(self.encoding & k.INT_CHAR) or self.name in ("char", "unsigned char", "signed char")

    @property
    def enumerators(self) -> tuple[tuple[str, int], ...]:
        """(name, value) in the order of declaration."""
        if self.kind not in k.ENUMS:
            raise self._no("enumerators")
        if self._elements is None:
            self._elements = self._read_enumerators()
        return self._elements  # type: ignore[return-value]

    def _read_enumerators(self) -> tuple[tuple[str, int], ...]:
        string = self.btf.string
        signed = self.kind_flag
        if self.kind == k.ENUM:
            words = self._words(2)
            pairs = zip(words[::2], words[1::2], strict=True)
            return tuple((string(name), _signed(value, 32) if signed else value) for name, value in pairs)
        words = self._words(3)
        triples = zip(words[::3], words[1::3], words[2::3], strict=True)
        return tuple(
            (string(n), _signed(high << 32 | low, 64) if signed else high << 32 | low) for n, low, high in triples
        )

    # -- structs, arrays, functions

    @property
    def members(self) -> tuple[Member, ...]:
        """The fields of a struct or union, anonymous ones with an empty name."""
        if self.kind not in k.COMPOSITES:
            raise self._no("members")
        if self._elements is None:
            self._elements = self._read_members()
        return self._elements  # type: ignore[return-value]

    def _read_members(self) -> tuple[Member, ...]:
        string, words, packed = self.btf.string, self._words(3), self.kind_flag
        members = []
        for index in range(self.vlen):
            name, type_id, offset = words[3 * index : 3 * index + 3]
            bits = offset >> 24 if packed else 0
            members.append(Member(string(name), type_id, offset & 0xFFFFFF if packed else offset, bits, index))
        return tuple(members)

    @property
    def nelems(self) -> int:
        """The number of elements of an array."""
        return self._only(k.ARRAY, "elements", 5)

    @property
    def index_type_id(self) -> int:
        return self._only(k.ARRAY, "index type", 4)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters of a prototype, or of a function's prototype."""
        if self.kind == k.FUNC and self.type.kind == k.FUNC_PROTO:
            return self.type.params
        if self.kind != k.FUNC_PROTO:
            raise self._no("parameters")
        if self._elements is None:
            words, string = self._words(2), self.btf.string
            pairs = zip(words[::2], words[1::2], strict=True)
            self._elements = tuple(Param(string(name), type_id) for name, type_id in pairs)
        return self._elements  # type: ignore[return-value]

    @property
    def is_variadic(self) -> bool:
        params = self.params
        return bool(params) and params[-1].type_id == 0 and not params[-1].name

    @property
    def linkage(self) -> int:
        """Of a function or variable: STATIC, GLOBAL or EXTERN."""
        return self.vlen if self.kind == k.FUNC else self._only(k.VAR, "linkage", 3)

    @property
    def component(self) -> int:
        """Of a decl tag: the member or parameter that it is about, or -1 for the whole type."""
        return _signed(self._only(k.DECL_TAG, "component", 3), 32)

    @property
    def variables(self) -> tuple[SecInfo, ...]:
        """What a data section holds."""
        if self.kind != k.DATASEC:
            raise self._no("variables")
        if self._elements is None:
            words = self._words(3)
            self._elements = tuple(SecInfo(*words[at : at + 3]) for at in range(0, len(words), 3))
        return self._elements  # type: ignore[return-value]

    # -- the record

    def _words(self, per_element: int) -> list[int]:
        return self.btf._words(self._position + 3, per_element * self.vlen)

    def _word_at(self, index: int) -> int:
        return self.btf._word(self._position + index)

    def _only(self, kind: int, what: str, index: int) -> int:
        if self.kind != kind:
            raise self._no(what)
        return self._word_at(index)

    def _no(self, what: str) -> BtfError:
        return BtfError(f"BTF type {self.describe()} has no {what}", self.offset)

    def describe(self) -> str:
        """How messages speak of it: ``STRUCT task_struct``."""
        return f"{k.kind_name(self.kind)} {self.name or '(anonymous)'}"

    def __repr__(self) -> str:
        return f"<BtfType {self.describe()}>"


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
