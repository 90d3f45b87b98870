"""C types as the language sees them: structs, unions and enums of BTF (or of the program's own text)."""

from __future__ import annotations

from cygnet.lang.trace import types as T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NamedTuple

    from cygnet.btf import Btf
    from cygnet.btf.types import BtfType
    from cygnet.lang.trace.types import Type
else:
    from cygnet.named import NamedTuple


class CMember(NamedTuple):
    """A member at byte `offset`; a bit-field takes `bits` bits from bit `shift` of its storage."""

    name: str
    type: Type
    offset: int
    shift: int = 0
    bits: int = 0


class CRecord:
    """A struct or union. `system`: its layout belongs to the running kernel, so offsets are relocated."""

    __slots__ = ("_flat", "keyword", "name", "size", "system")

    def __init__(self, keyword: str, name: str, size: int, system: bool) -> None:
        self.keyword = keyword
        self.name = name
        self.size = size
        self.system = system
        self._flat: dict[str, CMember] | None = None

    def members(self) -> Sequence[CMember]:
        """The members in order, anonymous structs and unions kept whole."""
        raise NotImplementedError

    def find(self, name: str) -> CMember | None:
        """A member by name; those of anonymous members are seen from here."""
        return self.flat().get(name)

    def flat(self) -> dict[str, CMember]:
        if self._flat is None:
            flat: dict[str, CMember] = {}
            for member in self.members():
                if member.name:
                    flat.setdefault(member.name, member)
                elif member.type.kind == "struct":
                    for name, inner in member.type.extra.flat().items():
                        flat.setdefault(name, inner._replace(offset=inner.offset + member.offset))
            self._flat = flat
        return self._flat

    def type(self, space: str) -> Type:
        return T.Type("struct", self.size, extra=self, space=space)


class OpaqueRecord(CRecord):
    """A record that nobody defines: only its name is known."""

    __slots__ = ()

    def __init__(self, keyword: str, name: str) -> None:
        super().__init__(keyword, name, 0, False)

    def members(self) -> Sequence[CMember]:
        return ()


class CEnum:
    __slots__ = ("_pairs", "btf_type", "keyword", "name")

    def __init__(self, name: str, btf_type: BtfType | None, pairs: tuple[tuple[int, str], ...] | None = None) -> None:
        self.keyword = "enum"
        self.name = name
        self.btf_type = btf_type
        self._pairs = pairs

    def pairs(self) -> tuple[tuple[int, str], ...]:
        """(value, name), in order."""
        if self._pairs is None:
            assert self.btf_type is not None
            self._pairs = tuple((value, name) for name, value in self.btf_type.enumerators)
        return self._pairs


class BtfRecord(CRecord):
    """A record of a BTF, its members read when asked for."""

    __slots__ = ("_one", "btf_type", "types")

    def __init__(self, types: CTypes, btf_type: BtfType) -> None:
        from cygnet.btf import kinds

        keyword = "union" if btf_type.kind == kinds.UNION else "struct"
        super().__init__(keyword, btf_type.name, btf_type.size, btf_type.btf is types.btf)
        self.types = types
        self.btf_type = btf_type
        self._one: dict[str, CMember | None] = {}

    def members(self) -> Sequence[CMember]:
        return [self._member(member) for member in self.btf_type.members]

    def _member(self, member: Any) -> CMember:
        type = self.types.from_btf(self.btf_type.btf.type(member.type_id), T.KERNEL)
        bits = member.bitfield_size
        if not bits:
            return CMember(member.name, type, member.bit_offset >> 3)
        size = type.size or 4
        start = member.bit_offset // (8 * size) * size
        return CMember(member.name, type, start, member.bit_offset - 8 * start, bits)

    def find(self, name: str) -> CMember | None:
        """As `flat`, but converts only what lies on the way: a task_struct has hundreds of members."""
        if self._flat is not None:
            return self._flat.get(name)
        if name in self._one:
            return self._one[name]
        found: CMember | None = None
        for member in self.btf_type.members:
            if member.name == name:
                found = self._member(member)
                break
            if not member.name:
                whole = self._member(member)
                inner = whole.type.extra.find(name) if whole.type.kind == "struct" else None
                if inner is not None:
                    found = inner._replace(offset=inner.offset + whole.offset)
                    break
        self._one[name] = found
        return found


#: C's own names, for casts and declarations
_BASIC = {
    "char": T.INT8, "signed char": T.INT8, "unsigned char": T.UINT8, "short": T.INT16, "short int": T.INT16,
    "unsigned short": T.UINT16, "unsigned short int": T.UINT16, "int": T.INT32, "signed int": T.INT32,
    "signed": T.INT32, "unsigned": T.UINT32, "unsigned int": T.UINT32, "long": T.INT64, "long int": T.INT64,
    "unsigned long": T.UINT64, "unsigned long int": T.UINT64, "long long": T.INT64, "long long int": T.INT64,
    "unsigned long long": T.UINT64, "unsigned long long int": T.UINT64, "size_t": T.UINT64, "ssize_t": T.INT64,
    "uintptr_t": T.UINT64, "intptr_t": T.INT64, "off_t": T.INT64, "pid_t": T.INT32, "uid_t": T.UINT32,
    "gid_t": T.UINT32, "bool": T.BOOL, "_Bool": T.BOOL, "void": T.NONE,
    "int8": T.INT8, "int16": T.INT16, "int32": T.INT32, "int64": T.INT64,
    "uint8": T.UINT8, "uint16": T.UINT16, "uint32": T.UINT32, "uint64": T.UINT64,
    "int8_t": T.INT8, "int16_t": T.INT16, "int32_t": T.INT32, "int64_t": T.INT64,
    "uint8_t": T.UINT8, "uint16_t": T.UINT16, "uint32_t": T.UINT32, "uint64_t": T.UINT64,
    "s8": T.INT8, "s16": T.INT16, "s32": T.INT32, "s64": T.INT64,
    "u8": T.UINT8, "u16": T.UINT16, "u32": T.UINT32, "u64": T.UINT64,
    "__s8": T.INT8, "__s16": T.INT16, "__s32": T.INT32, "__s64": T.INT64,
    "__u8": T.UINT8, "__u16": T.UINT16, "__u32": T.UINT32, "__u64": T.UINT64,
    "__be16": T.UINT16, "__be32": T.UINT32, "__be64": T.UINT64,
}  # fmt: skip


#: types of the language that are no C types
WRITTEN = frozenset(("string", "buffer", "inet", "mac_address", "macaddr_t", "ksym_t", "usym_t", "username"))


class CTypes:
    """Finds C types by name: the program's own first, then the system's BTF. Caches what it has made."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._btf: Any = False  # not asked for yet
        self._by_position: dict[tuple[int, int, str], Type] = {}
        self._opaque: dict[str, Type] = {}
        self._records: dict[tuple[int, int], CRecord] = {}
        self.declared: set[str] = set()  # names of structures in C text, whoever defines them
        self.own: dict[str, Type] = {}  # "struct x", "enum y", "typedef_name"
        self._enumerators: dict[str, tuple[int, Type] | None] = {}

    @property
    def btf(self) -> Btf | None:
        if self._btf is False:
            from cygnet.errors import NotSupported

            try:
                self._btf = self._target.btf()
            except NotSupported:  # the program's own definitions must do
                self._btf = None
        known: Btf | None = self._btf
        return known

    def similar(self, keyword: str, base: str) -> str | None:
        """A type whose name is nearly `base`, for a hint."""
        from cygnet.lang.trace.suggest import did_you_mean

        names = {name.rpartition(" ")[2] for name in self.own}
        if not keyword:
            names |= _BASIC.keys() | WRITTEN
        if self.btf is not None and len(base) > 2:
            names.update(self.btf.names_starting(base[:2]))
        letters = sorted(base)
        for _ in range(8):  # of names that are equally near, those with the same letters first
            guess = did_you_mean(base, sorted(names, key=lambda name: (sorted(name) != letters, name)))
            if guess is None or guess in WRITTEN or self.find(keyword, guess) is not None:
                return guess
            names.discard(guess)
        return None

    def is_declared(self, name: str) -> bool:
        """Is a structure's name known in C text or in the kernel, though not what it holds? Nobody knows without BTF."""
        from cygnet.btf import kinds

        return name in self.declared or self.btf is None or self.btf.find(name, kinds.FWD) is not None

    def opaque(self, keyword: str, name: str) -> Type:
        """The type for a name that nobody defines: a pointer to it may still be carried about."""
        known = self._opaque.get(name)
        if known is None:
            known = self._opaque[name] = OpaqueRecord(keyword, name).type(T.NOSPACE)
        return known

    def find(self, keyword: str, base: str) -> Type | None:
        """A type by name, without pointers: ``("struct", "sock")``, ``("", "u32")``."""
        if not keyword and base in _BASIC:
            return _BASIC[base]
        own = self.own.get(f"{keyword} {base}".strip())
        if own is None and not keyword:
            own = self.own.get(f"struct {base}") or self.own.get(f"union {base}")
        if own is not None:
            return own
        if not keyword and " " in base:
            words = sorted(base.split())
            return next((t for n, t in _BASIC.items() if sorted(n.split()) == words), None)
        return self.system(keyword, base)

    def system(self, keyword: str, base: str) -> Type | None:
        """As `find`, whatever the program defines: the kernel's own."""
        btf = self.btf
        if btf is None:
            return None
        from cygnet.btf import kinds

        wanted = {
            "struct": (kinds.STRUCT,), "union": (kinds.UNION,), "enum": (kinds.ENUM, kinds.ENUM64),
            "": (kinds.TYPEDEF, kinds.STRUCT, kinds.UNION, kinds.ENUM, kinds.ENUM64, kinds.INT),
        }[keyword]  # fmt: skip
        for kind in wanted:
            found = btf.find(base, kind)
            if found is not None:
                return self.from_btf(found, T.KERNEL)
        return None

    def enumerator(self, name: str) -> tuple[int, Type] | None:
        """The value and type of an enumeration constant."""
        if name not in self._enumerators:
            found: tuple[int, Type] | None = None
            for type in self.own.values():
                if type.kind == "enum":
                    found = next(((v, type) for v, n in type.extra.pairs() if n == name), found)
            if found is None and self.btf is not None:
                hit = self.btf.find_enumerator(name)
                if hit is not None:
                    found = (hit[1], self.from_btf(hit[0], T.KERNEL))
            self._enumerators[name] = found
        return self._enumerators[name]

    def from_btf(self, btf_type: BtfType, space: str) -> Type:
        """The language's type for a BTF type. `space` is where pointers in it point, unless tagged as user's."""
        key = (id(btf_type.btf), btf_type.offset, space)
        known = self._by_position.get(key)
        if known is None:
            known = self._by_position[key] = self._convert(btf_type, space)
        return known

    def _convert(self, t: BtfType, space: str) -> Type:
        from cygnet.btf import kinds as k

        kind = t.kind
        if kind in (k.TYPEDEF, k.CONST, k.VOLATILE, k.RESTRICT, k.TYPE_TAG):
            return self.from_btf(t.type, space)
        if kind == k.INT:
            if t.is_bool:
                return T.BOOL
            signed = t.is_signed or t.name == "char"  # compilers leave the sign of plain char out
            return T.INTS.get((t.size, signed), T.UINT64)
        if kind in (k.ENUM, k.ENUM64):
            return T.Type("enum", t.size, t.is_signed, extra=CEnum(t.name, t))
        if kind == k.PTR:
            return self._pointer(t, space)
        if kind in (k.STRUCT, k.UNION):
            return self.record(t).type(space)
        if kind == k.ARRAY:
            elem = self.from_btf(t.type, space)
            return T.Type("array", elem.size * t.nelems, elem=elem, length=t.nelems)
        if kind == k.FLOAT:
            return T.Type("float", t.size)
        return T.NONE

    def _pointer(self, t: BtfType, space: str) -> Type:
        """Pointers to records name them lazily: kernel types point at each other in circles."""
        from cygnet.btf import kinds as k

        inner, tagged = t.type, space
        while inner.kind in (k.TYPEDEF, k.CONST, k.VOLATILE, k.RESTRICT, k.TYPE_TAG):
            if inner.kind == k.TYPE_TAG and inner.name == "user":
                tagged = T.USER
            inner = inner.type
        if inner.kind in (k.VOID, k.FUNC_PROTO, k.FWD):
            return T.pointer(None, tagged)
        return T.pointer(self.from_btf(inner, tagged), tagged)

    def record(self, t: BtfType) -> CRecord:
        key = (id(t.btf), t.offset)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = BtfRecord(self, t)
        return record


def is_char(type: Type | None) -> bool:
    """A C character: strings are arrays of it and pointers to it."""
    return type is not None and type.kind == "int" and type.size == 1


def member_value_type(type: Type) -> Type:
    """What a member reads as: an array of char is a string, but for one whose end its struct does not know."""
    if type.kind == "array" and type.length and is_char(type.elem) and type.elem.signed:
        return T.string(type.length + (type.extra == "text"))  # the program's own array may be full, without a NUL
    return type
