"""The language's types: what they are, how two of them meet, and how a value lies in memory.

Scalars are 64 bits wide wherever they are stored in a map, a key or an event: a narrow integer is
extended when it is stored, so that one width serves comparing, hashing and decoding.
"""

from __future__ import annotations

from cygnet.spec.values import UNWOUND, VType
from cygnet.spec.values import Field as VField

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from cygnet.named import NamedTuple

#: The address spaces a pointer may be in. ``none`` where the probe has none: a generic read serves.
KERNEL, USER, NOSPACE, BPF, CTX = "kernel", "user", "none", "bpf", "ctx"
#: behind `ctx` of a sample: the verifier lets its fields be loaded, and what lies there is laid out otherwise
DIRECT = "direct"


#: in `extra` of a pointer to nothing known: a number that kptr() or uptr() placed, read like a number
NUMBER = "number"
#: `extra` of the address of a variable or a map's value, whose type may still widen
NAMED = "named"


class Type(NamedTuple):
    """`kind` and what else it uses::

    int     size signed            bool                       enum    size signed extra: CEnum
            extra: the value of a literal, while types are looked for
    str     size (NUL included)    buf     size (bytes)       none
            extra CUT: text that fills it was cut, and is shown so
    ptr     elem (None: void) space                           array   elem length
    struct  size extra: CRecord    tuple   fields             record  fields names
    ksym    usym    mac    inet    username    gfp            func (a ksym or usym by probe)
    kstack, ustack  extra: (mode, limit)                      timestamp extra: (format, clock)
            names UNWOUND: unwound in user space (dw_ustack)
    cgroup  extra: filter          agg     extra: Agg         args    extra: the probe's arguments
    """

    kind: str
    size: int = 8
    signed: bool = False
    elem: Any = None
    length: int = 0
    fields: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()
    space: str = ""
    extra: Any = None


class Agg(NamedTuple):
    """What an aggregation keeps. `args`: see spec.mapviews.MapView."""

    kind: str
    signed: bool = True
    args: tuple[Any, ...] = ()


INT8, INT16, INT32, INT64 = (Type("int", size, True) for size in (1, 2, 4, 8))
UINT8, UINT16, UINT32, UINT64 = (Type("int", size, False) for size in (1, 2, 4, 8))
BOOL = Type("bool", 1)
NONE = Type("none", 0)
UNKNOWN = Type("unknown", 0)
KSYM = Type("ksym", 8)
USYM = Type("usym", 16)
MAC = Type("mac", 6)
INET = Type("inet", 20)
USERNAME = Type("username", 8)
GFP = Type("gfp", 8)
VOID_PTR = Type("ptr", 8, space=NOSPACE)

INTS = {(t.size, t.signed): t for t in (INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64)}

#: kinds that are one number in a register
_PROMOTED_WHOLE = frozenset(("struct", "array", "ptr", "enum"))  # as an array's elements
SCALARS = frozenset(("int", "bool", "enum", "ptr", "ksym", "username", "gfp", "timestamp", "cgroup", "kstack"))
#: kinds that conditions, comparisons and arithmetic take
NUMERIC = frozenset(("int", "bool", "enum"))
#: aggregations that become a number when they are read
CASTABLE = frozenset(("count", "sum", "min", "max", "avg"))


#: mark of a string with one byte more than max_strlen: text that reaches into it was cut
CUT = "cut"


def string(capacity: int) -> Type:
    return Type("str", max(1, capacity))


def read_string(max_strlen: int) -> Type:
    """What str() without a length gives. Below 1024 there is a hidden byte, which shows that text was cut."""
    return Type("str", max_strlen + 1, extra=CUT) if max_strlen < 1024 else string(max_strlen)


def pointer(elem: Type | None, space: str) -> Type:
    return Type("ptr", 8, elem=elem, space=space)


def tuple_of(*fields: Type) -> Type:
    return Type("tuple", sum(map(storage, fields)), fields=fields)


def record_of(names: tuple[str, ...], fields: tuple[Type, ...]) -> Type:
    return Type("record", sum(map(storage, fields)), fields=fields, names=names)


def literal_int(number: int) -> Type:
    """The smallest signed type that holds a literal; above the int64 maximum it is uint64."""
    if number > 0x7FFFFFFFFFFFFFFF:
        return UINT64
    for type in (INT8, INT16, INT32):
        half = 1 << (type.size * 8 - 1)
        if -half <= number < half:
            return type
    return INT64


def unsigned_literal(number: int) -> Type:
    """The smallest unsigned type that holds a literal."""
    return next((t for t in (UINT8, UINT16, UINT32) if number < 1 << t.size * 8), UINT64)


def undecided(type: Type) -> bool:
    """Is there a part in it of which nothing is known?"""
    return type is UNKNOWN or any(undecided(field) for field in type.fields)


def holds(type: Type, number: int) -> bool:
    """Does an integer type hold this number?"""
    bits = type.size * 8
    return -(1 << (bits - 1)) <= number < (1 << (bits - 1)) if type.signed else 0 <= number < (1 << bits)


def promote_int(a: Type, b: Type) -> Type:
    """The type that holds both: same sign, the wider; else the signed one if it is strictly wider, else
    the signed one of twice the unsigned width; uint64 with a signed one is int64. A literal, whose value is `extra`,
    may be signed or not."""
    if a.extra is not None or b.extra is not None:
        return _promote_literal(a, b)
    if a.signed == b.signed:
        return a if a.size >= b.size else b
    signed, unsigned = (a, b) if a.signed else (b, a)
    if signed.size > unsigned.size:
        return INTS[signed.size, True]
    return INTS[min(8, unsigned.size * 2), True]


def _promote_literal(a: Type, b: Type) -> Type:
    if a.extra is None:
        a, b = b, a
    if b.extra is not None:
        return a if a.extra >= b.extra else b
    return promote_int(literal_int(a.extra) if b.signed else unsigned_literal(a.extra), b)


def harden(type: Type) -> Type:
    """A type without marks of literals."""
    if type.kind == "int":
        return type if type.extra is None else literal_int(type.extra)
    if type.kind in ("tuple", "record"):
        return type._replace(fields=tuple(map(harden, type.fields)))
    return type


def as_int(type: Type) -> Type:
    """An integer type for anything that is a number."""
    if type.kind == "int":
        return type
    if type.kind == "bool":
        return UINT8
    if type.kind == "enum":
        return INTS.get((type.size, type.signed), UINT32)
    if type.kind == "agg":
        return INT64 if type.extra.signed and type.extra.kind != "count" else UINT64
    return UINT64


def promote(a: Type, b: Type) -> Type | None:
    """The type of a name that has been given values of both types, or None when they do not go together."""
    if a == b or b is UNKNOWN:
        return a
    if a is UNKNOWN:
        return b
    ka, kb = a.kind, b.kind
    if ka == kb:
        if ka == "int":
            return promote_int(a, b)
        if ka in ("str", "buf"):
            return a if a.size > b.size or (a.size == b.size and a.extra) else b
        if ka == "ptr":
            if a.elem == b.elem or b.elem is None:
                return a._replace(space=a.space if a.space == b.space else NOSPACE)
            if a.extra is b.extra is NAMED and promote(a.elem, b.elem) == b.elem:
                return b
            return b if a.elem is None else a
        if ka in ("tuple", "record"):
            return _promote_fields(a, b)
        if ka in ("enum", "timestamp", "cgroup", "inet"):
            return a
        if ka == "struct" and a.extra.name == b.extra.name:
            return a
        if ka == "array" and a.length == b.length:  # wherever they lie
            whole = a.elem.kind in _PROMOTED_WHOLE and promote(a.elem, b.elem) is not None
            return a if whole or a.elem == b.elem else None
        return None
    pair = {ka, kb}
    if pair <= NUMERIC:
        return promote_int(as_int(a), as_int(b))
    return None


def longer(given: Type, declared: Type) -> bool:
    """Is there text in a value that the declared type, which `promote` has taken it for, has no room for?"""
    if given.kind == declared.kind == "str":
        return given.size > declared.size
    if given.kind in ("tuple", "record") and given.kind == declared.kind:
        order = declared.names if given.kind == "record" else ()
        fields = [given.fields[given.names.index(name)] for name in order] if order else given.fields
        return any(map(longer, fields, declared.fields))
    return False


def _promote_fields(a: Type, b: Type) -> Type | None:
    if a.kind == "record":
        if set(a.names) != set(b.names):
            return None
        other = [b.fields[b.names.index(name)] for name in a.names]
    else:
        if len(a.fields) != len(b.fields):
            return None
        other = list(b.fields)
    fields = [promote(x, y) for x, y in zip(a.fields, other)]
    if None in fields:
        return None
    return a._replace(fields=tuple(fields), size=sum(storage(f) for f in fields if f))


def storage(type: Type) -> int:
    """Bytes that a value takes in a map, a key or an event: a multiple of 8."""
    kind = type.kind
    if kind in SCALARS:
        return 8
    if kind in ("tuple", "record"):
        return sum(map(storage, type.fields))
    if kind == "buf":
        return (type.size + 4 + 7) & ~7
    if kind == "array":
        return (_natural(type) + 7) & ~7
    if kind in ("usym", "ustack"):
        return 16
    if kind == "inet":
        return 24
    if kind == "none":
        return 0
    return (type.size + 7) & ~7


def _natural(type: Type) -> int:
    """Bytes in C's layout."""
    return _natural(type.elem) * type.length if type.kind == "array" else type.size


def natural_size(type: Type) -> int:
    """What ``sizeof`` says."""
    if type.kind == "array":
        return _natural(type)
    if type.kind in ("tuple", "record"):
        at, align = 0, 1
        for field in type.fields:
            a = _alignment(field)
            at = -(-at // a) * a + natural_size(field)
            align = max(align, a)
        return -(-at // align) * align
    return type.size


def _alignment(type: Type) -> int:
    if type.kind in ("tuple", "record"):
        return max(map(_alignment, type.fields), default=1)
    if type.kind in ("str", "buf", "mac"):
        return 1
    if type.kind == "array":
        return _alignment(type.elem)
    if type.kind == "struct":
        return _struct_alignment(type)
    return min(8, type.size) or 1


def _struct_alignment(type: Type) -> int:
    """The widest of its members'; less when it is packed."""
    result = max((_alignment(member.type) for member in type.extra.members()), default=1)
    return result & -result if type.size % result == 0 else type.size & -type.size or 1


def memory(space: str, *, direct: bool = False) -> str:
    """The memory that a pointer of `space` points into, for reading; `direct` where single fields are read."""
    if space == DIRECT:
        return "ctx" if direct else KERNEL
    return KERNEL if space == CTX else space


def offsets(type: Type) -> list[int]:
    """Where each field of a tuple or record lies."""
    at, result = 0, []
    for field in type.fields:
        result.append(at)
        at += storage(field)
    return result


def shorten(type: Type, capacity: int) -> Type:
    """The same type with every string cut to `capacity` bytes: the layout of the map for short keys."""
    if type.kind == "str":
        return string(capacity) if type.size > capacity else type
    if type.kind in ("tuple", "record"):
        fields = tuple(shorten(field, capacity) for field in type.fields)
        return type._replace(fields=fields, size=sum(map(storage, fields)))
    return type


def strings_beyond(type: Type, capacity: int) -> bool:
    """Is there a string longer than `capacity` bytes in it?"""
    if type.kind == "str":
        return type.size > capacity
    return any(strings_beyond(field, capacity) for field in type.fields) if type.fields else False


def name(type: Type) -> str:
    """How the type is written in a message."""
    kind = type.kind
    if kind == "int":
        return f"{'' if type.signed else 'u'}int{type.size * 8}"
    if kind == "str":
        return f"string[{type.size}]"
    if kind == "buf":
        return f"buffer[{type.size}]"
    if kind == "ptr":
        return f"{name(type.elem) if type.elem else 'void'} *"
    if kind == "array":
        return f"{name(type.elem)}[{type.length}]"
    if kind in ("struct", "enum"):
        return f"{type.extra.keyword} {type.extra.name}"
    if kind == "tuple":
        return f"({','.join(map(name, type.fields))}{',' if len(type.fields) == 1 else ''})"
    if kind == "record":
        return f"({','.join(f'{n}={name(t)}' for n, t in zip(type.names, type.fields))})"
    if kind == "agg":
        return f"{type.extra.kind}_t"
    return {"ksym": "ksym_t", "usym": "usym_t", "mac": "mac_address", "kstack": "kstack", "none": "void"}.get(
        kind, kind
    )


# -- as data for user space ---------------------------------------------------------------------------


def vtype(type: Type) -> VType:
    """The value type of a stored value, as user space reads it."""
    result: VType = _VTYPES[type.kind](type)
    return result


def _v_fields(type: Type) -> VType:
    names = type.names or ("",) * len(type.fields)
    fields = tuple(VField(at, n, vtype(f)) for at, n, f in zip(offsets(type), names, type.fields))
    return VType(type.kind, storage(type), fields=fields)


def _v_struct(type: Type) -> VType:
    fields = []
    for member in type.extra.flat().values():  # anonymous members are seen from the outside
        inner = c_vtype(member.type)
        if inner is not None:
            fields.append(VField(member.offset, member.name, inner, member.shift, member.bits))
    return VType("struct", type.size, fields=tuple(fields))


def c_vtype(type: Type) -> VType | None:
    """The value type of something in C's layout: narrow integers stay narrow."""
    if type.kind in ("int", "bool"):
        return VType(type.kind, type.size, type.signed)
    if type.kind == "enum":
        return VType("enum", type.size, type.signed, names=type.extra.pairs())
    if type.kind == "float":
        return VType("none", type.size)
    if type.kind == "array":
        if type.elem.kind == "int" and type.elem.size == 1 and type.elem.signed:
            return VType("str", type.length, text="whole" if type.extra == "text" else "")
        return _v_array(type)
    if type.kind in ("struct", "str", "ptr", "mac"):
        return vtype(type)
    return None


def _v_array(type: Type) -> VType | None:
    """An array that stands by itself: one of int8 is numbers, while as a member it is text."""
    elem = c_vtype(type.elem)
    return VType("array", _natural(type), elem=elem, length=type.length) if elem else None


def _v_stack(type: Type) -> VType:
    mode, limit = type.extra
    return VType(type.kind, storage(type), text=mode, length=limit, data=stack_map(type))


def stack_map(type: Type) -> str:
    """The name of the machine map that keeps stacks of this kind; UNWOUND for those that no map keeps."""
    if type.names:
        return UNWOUND
    mode, limit = type.extra
    return f"build_ids_{limit}" if mode == "build_id" else f"stacks_{limit}"


_VTYPES: dict[str, Any] = {
    "int": lambda t: VType("int", 8, t.signed),
    "bool": lambda t: VType("bool", 1),
    "enum": lambda t: VType("enum", 8, t.signed, names=t.extra.pairs()),
    "ptr": lambda t: VType("ptr", 8),
    "str": lambda t: VType("str", t.size - (t.extra == CUT)),
    "buf": lambda t: VType("buf", 4 + t.size),
    "tuple": _v_fields,
    "record": _v_fields,
    "array": _v_array,
    "struct": _v_struct,
    "ksym": lambda t: VType("ksym", 8),
    "usym": lambda t: VType("usym", 16),
    "mac": lambda t: VType("mac", 6),
    "inet": lambda t: VType("inet", 20),
    "username": lambda t: VType("username", 8),
    "gfp": lambda t: VType("gfp", 8),
    "kstack": _v_stack,
    "ustack": _v_stack,
    "timestamp": lambda t: VType("timestamp", 8, text=t.extra[0], data=t.extra[1]),
    "cgroup": lambda t: VType("cgroup", 8, text=t.extra),
    "none": lambda t: VType("none", 0),
    "agg": lambda t: VType("int", 8, t.extra.signed and t.extra.kind != "count"),
}
