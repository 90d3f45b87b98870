"""The checker: literals, which take the sign of what they meet in a name, a key, a tuple or a choice."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.check.base import flexible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.types import Type
    from cygnet.source import Span


def shape(node: ast.Expr | None, type: Type) -> Type:
    """The type of an expression, with its literals marked: ``extra`` of an integer is the literal's value."""
    if type.kind == "int":
        if node is not None and flexible(node):
            return T.literal_int(node.const)._replace(extra=node.const)
    elif type.kind not in ("tuple", "record"):
        return type
    if isinstance(node, ast.TupleExpr):
        return type._replace(fields=tuple(map(shape, node.items, type.fields)))
    if isinstance(node, ast.RecordExpr):
        return type._replace(fields=tuple(map(shape, node.values, type.fields)))
    if isinstance(node, ast.Ternary):
        then = node.cond if node.then is None else node.then
        return _either(then, node.orelse, type)
    if isinstance(node, ast.IfExpr) and node.orelse is not None:
        return _either(value_of(node.then), value_of(node.orelse), type)
    if isinstance(node, ast.BlockExpr):
        return shape(node.block.value, type)
    return type


def value_of(branch: ast.Block | ast.IfExpr | None) -> ast.Expr | None:
    """What a branch gives."""
    return branch.value if isinstance(branch, ast.Block) else branch


def _either(a: ast.Expr | None, b: ast.Expr | None, type: Type) -> Type:
    if a is None or b is None or a.type is None or b.type is None:
        return type
    return T.promote(shape(a, a.type), shape(b, b.type)) or type


def settled(known: Type, marked: Type) -> Type:
    """A name's type with its literals marked, as far as that is still the type it has."""
    return marked if T.harden(marked) == known else known


def warn_sign(c: Checker, known: Type, given: Type, name: str, span: Span) -> None:
    """A name of 64 bits that other values made signed is given one that is not."""
    if c.final and known == T.INT64 and given == T.UINT64:
        c.warn(f"a value of type 'uint64' is kept in {name} as 'int64', for there are signed ones", span)


def together(a: ast.Expr | None, b: ast.Expr | None, x: Type, y: Type) -> Type | None:
    """The type of a choice between two expressions, of the types x and y; None when they do not go together."""
    merged = T.promote(shape(a, x), shape(b, y))
    return None if merged is None else T.harden(merged)
