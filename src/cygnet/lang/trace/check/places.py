"""The checker: numbers that are addresses of a known memory, cast from a pointer or given to a system call."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace.check.base import CheckBase
    from cygnet.lang.trace.check.names import MapInfo, VarInfo
    from cygnet.lang.trace.types import Type

_MOVES = frozenset("+-&|")


def number_space(c: CheckBase, node: ast.Expr) -> str:
    """The memory that a number points into; empty when that is the probe's own."""
    if isinstance(node, ast.Cast):
        inner = node.operand
        return T.memory(inner.type.space) if inner.type.kind == "ptr" else number_space(c, inner)
    if isinstance(node, ast.Binary):
        return (number_space(c, node.left) or number_space(c, node.right)) if node.op in _MOVES else ""
    if isinstance(node, ast.Var):
        info = c.scope.find(node.name)
        return info.place if info is not None else ""
    if isinstance(node, (ast.MapRef, ast.MapIndex)):
        return c.map_info(node if isinstance(node, ast.MapRef) else node.map).place
    return _of_member(c, node) if isinstance(node, ast.Field) else ""


def _of_member(c: CheckBase, node: ast.Field) -> str:
    operand = node.operand
    if isinstance(operand, ast.Ident) and operand.name == "args":
        arg = c.instance.argument(node.name) if c.instance else None
        return T.USER if arg is not None and arg.event.startswith("syscalls:") else ""
    kind = operand.type.kind
    return T.memory(operand.type.space) if kind in ("ptr", "struct") else ""


def note_place(c: CheckBase, info: VarInfo | MapInfo, value: ast.Expr | None) -> None:
    """A name is given a number: it points where that one does, or anywhere when its values do not agree."""
    found = number_space(c, value) if value is not None else ""
    if found and found != info.place and info.place != T.NOSPACE:
        info.place = T.NOSPACE if info.place else found
        c.changed = True


def placed(c: CheckBase, node: ast.Expr) -> Type:
    """The type of an expression that is read as an address: of a number whose memory is known, a pointer."""
    type: Type = c.value(node)
    space = number_space(c, node) if type.kind == "int" and node.const is None else ""
    if space:
        type = node.type = T.pointer(None, space)._replace(extra=T.NUMBER)
    return type
