"""The checker: ``&$x``, ``&@m[k]``, ``&p->field``, and typeinfo()."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace.check.exprs import ExprChecker
    from cygnet.lang.trace.types import Type


def check_address(c: ExprChecker, node: ast.AddressOf) -> Type:
    """A kernel pointer to a variable or a map's value; null when the key is missing."""
    operand = node.operand
    if isinstance(operand, ast.Var):
        type = c.value(operand)
        info = c.scope.find(operand.name)
        if info is not None and not info.addressed:
            info.addressed = c.changed = True
        return T.UNKNOWN if type.kind == "unknown" else T.pointer(type, T.KERNEL)._replace(extra=T.NAMED)
    if isinstance(operand, (ast.MapRef, ast.MapIndex)):
        type = c.value(operand)
        if type.kind == "agg":
            c.error(f"The address of '{T.name(type)}' can not be taken: each CPU has its own", node.span)
            return T.UNKNOWN
        return T.UNKNOWN if type.kind == "unknown" else T.pointer(type, T.KERNEL)._replace(extra=T.NAMED)
    if isinstance(operand, (ast.Field, ast.Index)):
        return _check_member(c, node, operand)
    c.value(operand)
    c.error("The & operator takes a variable, a map or a member", node.span)
    return T.UNKNOWN


def _check_member(c: ExprChecker, node: ast.AddressOf, operand: ast.Field | ast.Index) -> Type:
    """The address of something that lies in memory already."""
    type = c.value(operand)
    base: ast.Expr = operand
    while isinstance(base, (ast.Field, ast.Index)):
        if base.operand.type.kind == "ptr":
            if type.kind == "unknown":
                return T.UNKNOWN
            return T.pointer(type, base.operand.type.space)
        base = base.operand
    if type.kind != "unknown":
        c.error("The & operator takes a member only of what a pointer points to", node.span)
    return T.UNKNOWN


def member_space(node: ast.Expr) -> str | None:
    """The address space of the memory that a member ``p->a.b[i]`` lies in; None for what is no member of a pointee."""
    while isinstance(node, (ast.Field, ast.Index)):
        node = node.operand
        if node.type.kind == "ptr":
            break
    type: Type = node.type
    return type.space if type.kind in ("ptr", "struct") else None


#: names of typeinfo()'s parts, with those that earlier versions had
PARTS = {"btf_id": 0, "base_type": 1, "full_type": 2, "base_ty": 1, "full_ty": 2}


def check_typeinfo(c: ExprChecker, node: ast.TypeInfo) -> Type:
    """(BTF id, base name, full name) of a type, known at compile time."""
    if c.config["unstable_typeinfo"] == "error":
        c.error("typeinfo() is unstable", node.span, ["config = { unstable_typeinfo = enable } allows it"])
    elif c.config["unstable_typeinfo"] == "warn":
        c.warn_once("typeinfo() is unstable: it may change", node.span)
    c.refuse_assignments(node.arg, "typeinfo")
    type = c._type_or_expr(node.arg)
    node.arg.type = type
    if type.kind == "unknown":
        return T.UNKNOWN
    fields = [T.UINT64, *(T.string(len(text) + 1) for text in names_of(type))]
    return T.Type("record", sum(map(T.storage, fields)), fields=tuple(fields), names=tuple(PARTS)[:3])


_BASES = {"str": "string", "buf": "buffer", "ptr": "pointer", "struct": "record", "mac": "mac_address"}


def names_of(type: Type) -> tuple[str, str]:
    """A type's base name and its whole name."""
    base = type.extra.keyword if type.kind == "struct" else _BASES.get(type.kind, type.kind)
    return base, T.name(type)


def same_type(a: ast.TypeInfo, b: ast.TypeInfo) -> bool:
    """Are all parts of two type informations equal?"""
    x, y = a.arg.type, b.arg.type
    if x is None or y is None:
        return False
    return names_of(x) == names_of(y) and btf_id(x) == btf_id(y)


def part_of(node: ast.TypeInfo, index: int) -> int | bytes:
    """One part as a constant."""
    if index:
        return names_of(node.arg.type)[index - 1].encode()
    return btf_id(node.arg.type)


def btf_id(type: Type) -> int:
    """The id of a type in the kernel's BTF; 0 for one that is not there."""
    found = getattr(type.extra, "btf_type", None)
    return int(found.id) if found is not None and hasattr(found, "id") else 0
