"""Types as C text: declarations, and whole definitions of structs, unions and enumerations."""

from __future__ import annotations

from cygnet.btf import kinds as k
from cygnet.btf.types import BtfType
from cygnet.errors import BtfError

_KEYWORDS = {k.STRUCT: "struct", k.UNION: "union", k.ENUM: "enum", k.ENUM64: "enum"}
_QUALIFIERS = {k.CONST: "const", k.VOLATILE: "volatile", k.RESTRICT: "restrict"}
_DEEPEST = 64


def c_decl(of: BtfType, name: str = "", *, expand: bool = False, indent: int = 0) -> str:
    """`of` as C declares a variable of that name (or as a cast, without one): ``int (*fn)(struct file *)``.

    An anonymous struct reads ``struct {...}``, or is written out when `expand` is set.
    """
    return _decl(of, name, expand, indent, _DEEPEST)


def _decl(of: BtfType, inner: str, expand: bool, indent: int, depth: int) -> str:
    if not depth:
        raise BtfError("BTF types nested without an end", of.offset)
    kind = of.kind
    if kind == k.PTR:
        return _pointer(of, inner, expand, indent, depth)
    if kind == k.ARRAY:
        return _decl(of.type, f"{inner}[{of.nelems or ''}]", expand, indent, depth - 1)
    if kind == k.FUNC_PROTO:
        return _decl(of.type, f"{inner}({c_params(of)})", expand, indent, depth - 1)
    if kind == k.FUNC:
        return _decl(of.type, of.name, expand, indent, depth - 1)
    if kind == k.VAR:
        return _decl(of.type, of.name, expand, indent, depth - 1)
    if kind in _QUALIFIERS:
        return _qualified(of, inner, expand, indent, depth)
    if kind == k.TYPE_TAG:
        return _decl(of.type, inner, expand, indent, depth - 1)
    return _join(c_name(of, expand=expand, indent=indent), inner)


def _join(base: str, inner: str) -> str:
    return f"{base} {inner}" if inner and not inner.startswith("[") else base + inner


def _pointer(of: BtfType, inner: str, expand: bool, indent: int, depth: int) -> str:
    target = of.type
    while target.kind == k.TYPE_TAG and depth:
        target, depth = target.type, depth - 1
    if target.kind in (k.ARRAY, k.FUNC_PROTO):
        return _decl(target, f"(*{inner})", expand, indent, depth - 1)
    return _decl(target, "*" + inner, expand, indent, depth - 1)


def _qualified(of: BtfType, inner: str, expand: bool, indent: int, depth: int) -> str:
    words = []
    while of.kind in k.MODIFIERS and depth:
        if of.kind in _QUALIFIERS:
            words.append(_QUALIFIERS[of.kind])
        of, depth = of.type, depth - 1
    qualifiers = " ".join(words)
    if of.kind == k.PTR:  # a pointer that is const itself: the word stands after the star
        return _decl(of, f" {qualifiers} {inner}".rstrip(), expand, indent, depth - 1)
    return f"{qualifiers} {_decl(of, inner, expand, indent, depth - 1)}"  # of a const array, the elements are const


def c_params(of: BtfType) -> str:
    """The parameter list of a prototype, without parentheses."""
    btf = of.btf
    texts = ["..." if not p.type_id and not p.name else c_decl(btf.type(p.type_id), p.name) for p in of.params]
    return ", ".join(texts) or "void"


def c_name(of: BtfType, *, expand: bool = False, indent: int = 0) -> str:
    """The name of a type that needs no declarator: ``struct file``, ``u32``, ``unsigned int``."""
    kind = of.kind
    if kind in _KEYWORDS:
        if of.name:
            return f"{_KEYWORDS[kind]} {of.name}"
        return c_definition(of, indent) if expand else _KEYWORDS[kind] + " {...}"
    if kind == k.FWD:
        return f"{'union' if of.kind_flag else 'struct'} {of.name}"
    if kind in (k.DATASEC, k.DECL_TAG):
        raise BtfError(f"BTF type {of.describe()} is not a C type", of.offset)
    return of.name


def c_definition(of: BtfType, indent: int = 0) -> str:
    """A struct, union or enumeration written out with its members, anonymous ones in place; no semicolon after it."""
    return "\n".join(_definition(of, indent, _DEEPEST))


def _definition(of: BtfType, indent: int, depth: int) -> list[str]:
    head = f"{_KEYWORDS.get(of.kind, '')} {of.name}".strip()
    if of.kind not in _KEYWORDS or not depth:
        raise BtfError(f"BTF type {of.describe()} has no definition in C", of.offset)
    tabs = "\t" * (indent + 1)
    if of.kind in k.ENUMS:
        body = [f"{tabs}{name} = {value}," for name, value in of.enumerators]
    else:
        body = [f"{tabs}{_member(of, index, indent + 1)};" for index in range(of.vlen)]
    if not body:
        return [head + " {}"]
    return [head + " {", *body, "\t" * indent + "}"]


def _member(of: BtfType, index: int, indent: int) -> str:
    member = of.members[index]
    if indent > _DEEPEST:
        raise BtfError("BTF types nested without an end", of.offset)
    text = c_decl(of.btf.type(member.type_id), member.name, expand=True, indent=indent)
    return f"{text}: {member.bitfield_size}" if member.bitfield_size else text


def c_function(of: BtfType) -> str:
    """A function's declaration: ``ssize_t vfs_read(struct file *file, ...)``."""
    return c_decl(of)
