"""What a builtin is, and what many of them share."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cygnet.ir.core import Value
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.operands import Gen, Mem
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

    Args = Sequence[ast.Expr]
    Operand = Value | Mem | Gen


class Builtin:
    """One row. `arity`: least and most arguments. `bare`: may be written without parentheses.

    `statement_only`: gives no value. `check` finds the type and reports what is wrong; `lower` makes the
    code for a call that has passed it.
    """

    arity: tuple[int, int] = (0, 0)
    bare = False
    statement_only = False

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        raise NotImplementedError(self.name)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        raise NotImplementedError(self.name)


class Simple(Builtin):
    """A value without arguments, of one type, made by a function of the lowerer."""

    bare = True

    def __init__(self, name: str, type: Type, make: Callable[[Lowerer], Any]) -> None:
        super().__init__(name)
        self.type = type
        self.make = make

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        return self.type

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        result: Operand = self.make(g)
        return result


def literal(c: Checker, node: ast.Expr, what: str) -> Any:
    """The constant an argument must be; None (and an error) when it is none."""
    c.value(node)
    if node.const is None:
        c.error(f"{what} must be a literal", node.span)
    return node.const


def literal_text(c: Checker, node: ast.Expr, what: str) -> str | None:
    """The text an argument must be. It is used here and in user space, so max_strlen does not bound it."""
    if isinstance(node, ast.StrLit):
        node.const, node.type = node.bytes, T.string(len(node.bytes) + 1)
        return node.bytes.decode("utf-8", "surrogateescape")
    const = literal(c, node, what)
    if const is None:
        return None
    if not isinstance(const, bytes):
        c.error(f"{what} must be a string literal", node.span)
        return None
    return const.decode("utf-8", "surrogateescape")


def needs_context(c: Checker, node: ast.Expr, name: str) -> bool:
    """Report a use inside a loop over a map, which the kernel runs without the probe's context."""
    if c.depth:
        c.error(f"{name} can not be used inside a loop over a map", node.span, ["read it into a variable before"])
        return False
    return True


def needs_unsafe(c: Checker, node: ast.Expr, name: str) -> None:
    if not c.unsafe:
        c.error(f"{name}() is an unsafe function being used in safe mode", node.span, ["use --unsafe to allow it"])
