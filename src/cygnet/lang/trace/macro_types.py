"""Types and members' names as arguments of macros: ``size(typeof(struct s))``, ``place(typeof(struct s), a.b)``."""

from __future__ import annotations

from cygnet.lang.trace.ast import Field, Ident, Index, IntLit, OffsetOf, TypeName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cygnet.lang.trace.ast import Expr, Node


def filled_type(node: Node, args: Mapping[str, Expr]) -> TypeName | None:
    """The type that a parameter in a type's place stands for: ``t *``, ``t[2]``, ``struct t``; None for all else.

    A parameter ``file`` does not touch ``struct file``, unless its argument is a type.
    """
    if isinstance(node, TypeName):
        arg = args.get(node.base)
        if arg is None:
            return None
        if not node.keyword:
            return TypeName(node.span, "", "", node.pointers, node.dims, arg)
        name = _plain_name(arg) if isinstance(arg, TypeName) else ""
        return TypeName(node.span, node.keyword, name, node.pointers, node.dims) if name else None
    dims: list[int | None] = []
    below: Node = node
    while isinstance(below, Index) and isinstance(below.index, IntLit):
        dims.insert(0, below.index.value)
        below = below.operand
    arg = args.get(below.name) if dims and isinstance(below, Ident) else None
    return TypeName(node.span, "", "", 0, tuple(dims), arg) if isinstance(arg, TypeName) else None


def _plain_name(arg: TypeName) -> str:
    """``typeof(NAME)``: the name, without struct, stars or brackets."""
    inner = arg.of
    if arg.pointers or arg.dims or arg.keyword:
        return ""
    if isinstance(inner, TypeName):
        return _plain_name(inner)
    return inner.name if isinstance(inner, Ident) else arg.base


def filled_path(node: OffsetOf, args: Mapping[str, Expr]) -> tuple[str, ...] | None:
    """The path of ``offsetof(t, f)`` whose `f` is a parameter; None when its argument is not made of names."""
    arg = args.get(node.path[0])
    if arg is None:
        return node.path
    names: list[str] = []
    while isinstance(arg, Field):
        names.insert(0, arg.name)
        arg = arg.operand
    return (arg.name, *names, *node.path[1:]) if isinstance(arg, Ident) else None
