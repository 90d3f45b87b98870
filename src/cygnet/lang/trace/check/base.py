"""The checker: what all its parts share."""

from __future__ import annotations

from cygnet.lang.trace import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.check.names import MapInfo, Scope, VarInfo
    from cygnet.lang.trace.config import Config
    from cygnet.lang.trace.instances import Instance
    from cygnet.lang.trace.records import CTypes
    from cygnet.lang.trace.types import Type
    from cygnet.source import Span


class CheckBase:
    """State of the analysis, and what the parts ask of each other."""

    AGGREGATES = frozenset(("count", "sum", "min", "max", "avg", "stats", "hist", "lhist", "tseries"))

    @classmethod
    def gives_aggregate(cls, node: ast.Expr) -> bool:
        """Is it a call of count() and the like, or a block that ends in one?"""
        while isinstance(node, ast.BlockExpr) and node.block.value is not None:
            node = node.block.value
        return isinstance(node, ast.Call) and node.name in cls.AGGREGATES

    types: CTypes
    config: Config
    params: Any
    instance: Instance
    scope: Scope
    maps: dict[str, MapInfo]
    depth: int
    loops: int
    final: bool
    guess: bool
    expr_table: dict[type, Callable[..., Type]]
    error: Callable[..., None]
    warn: Callable[..., None]
    warn_once: Callable[..., None]
    map_info: Callable[[ast.MapRef], MapInfo]
    use_map: Callable[..., MapInfo]
    map_key: Callable[[MapInfo, ast.MapIndex], None]
    block: Callable[..., Type]
    grow_variable: Callable[[VarInfo, Type, Span], None]
    grow_value: Callable[[MapInfo, Type, Span], None]
    _touch: Callable[[VarInfo, ast.Var], None]
    changed: bool
    undefined: set[str]  # variables that were read where they are not visible
    own_names: list[str]  # the program's functions and macros
    whole: Checker  # this object, as the builtins know it
    expr: Callable[..., Type]
    value: Callable[[ast.Expr], Type]
    number: Callable[[ast.Expr, str], Type]
    condition: Callable[[ast.Expr], None]
    is_condition: Callable[[Type, ast.Expr], bool]
    resolve_type: Callable[[ast.TypeName], Type]


def type_is_int(const: object) -> bool:
    """Is a constant an integer (and no bool)?"""
    return const.__class__ is int


def flexible(node: ast.Expr) -> bool:
    """A literal that is not negative (or a sum of such) may be signed or not, as its neighbour wants."""
    return node.const.__class__ is int and node.const >= 0 and _of_literals(node)


def _of_literals(node: ast.Expr) -> bool:
    """Is a constant made of literals only? A cast, sizeof or an enumeration constant has a type of its own."""
    while True:
        if isinstance(node, (ast.IntLit, ast.Positional, ast.Ident)):
            return node.type is None or node.type.kind == "int"
        if isinstance(node, ast.Binary):
            if not _of_literals(node.right):
                return False
            node = node.left
        elif isinstance(node, ast.Unary):
            node = node.operand
        elif isinstance(node, ast.BlockExpr) and node.block.value is not None:
            node = node.block.value
        else:
            return False


def arity_text(least: int, most: int) -> str:
    """How many arguments a function takes, in words."""
    if least == most:
        return f"requires {least or 'no'} argument{'' if least == 1 else 's'}"
    if most > 100:
        return f"requires at least {least} argument{'' if least == 1 else 's'}"
    return f"requires {least} to {most} arguments"
