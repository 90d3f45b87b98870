"""What a macro's definition may hold."""

from __future__ import annotations

from cygnet.errors import SourceError, TraceTypeError
from cygnet.lang.trace import ast
from cygnet.lang.trace.ast import Call, Expr, Ident, Macro, MapRef, Node, Var
from cygnet.lang.trace.parser_type import TYPE_WORDS
from cygnet.lang.trace.records import WRITTEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOPS = (ast.While, ast.Unroll, ast.ForMap, ast.ForRange)
_JUMPS = {ast.Return: "return", ast.Break: "break", ast.Continue: "continue"}


def kind_of(param: Expr) -> str:
    """``$``, ``@`` or "" for an expression."""
    return "$" if isinstance(param, Var) else "@" if isinstance(param, MapRef) else ""


def signature(macro: Macro) -> str:
    """Number and kinds of the parameters: ``($,@,e)``. No two macros of one name have the same."""
    return "(" + ",".join(kind_of(param) or "e" for param in macro.params) + ")"


def check_macro(macro: Macro, is_second: bool) -> list[SourceError]:
    """Everything that is wrong with a definition; `is_second`: there is one of this name and signature before it."""
    errors: list[SourceError] = []
    if is_second:
        message = f"a second macro `{macro.name}` with the same parameters"
        errors.append(
            TraceTypeError(message, macro.span, ("macros of one name differ in number or kind of parameters",))
        )
    names: set[str] = set()
    for param in macro.params:
        assert isinstance(param, (Var, MapRef, Ident))
        if param.name in names:
            errors.append(TraceTypeError(f"a second parameter `{param.name}`", param.span))
        names.add(param.name)
        if isinstance(param, Ident) and is_reserved(param.name):
            errors.append(TraceTypeError(f"`{param.name}` is the name of a builtin or a type", param.span))
    errors += _check_body(macro, names)
    return errors


def is_reserved(name: str) -> bool:
    """The name of a builtin value or a type."""
    from cygnet.lang.trace.builtins import find

    builtin = find(name)
    return name == "args" or name in TYPE_WORDS or name in WRITTEN or (builtin is not None and builtin.bare)


def _check_body(macro: Macro, params: set[str]) -> Iterator[SourceError]:
    for node, in_loop in _walk(macro.body):
        if isinstance(node, MapRef) and node.name not in params:
            hints = (f"make it a parameter: macro {macro.name}(…, {node.name})",)
            yield TraceTypeError(f"macro `{macro.name}` uses {node.name}, which was not passed to it", node.span, hints)
        elif type(node) in _JUMPS and not (in_loop and not isinstance(node, ast.Return)):
            word = _JUMPS[type(node)]
            yield TraceTypeError(f"`{word}` in macro `{macro.name}`", node.span, ("a macro is left at its end only",))
        elif isinstance(node, Call) and node.name == "exit":
            yield TraceTypeError(f"`exit` in macro `{macro.name}`", node.span, ("a macro is left at its end only",))
        elif isinstance(node, (ast.Let, ast.ForMap, ast.ForRange)) and node.var.name in params:
            yield TraceTypeError(f"{node.var.name} is a parameter of macro `{macro.name}`", node.var.span)


def _walk(top: Node) -> Iterator[tuple[Node, bool]]:
    """All nodes in the text's order, each with whether it is in a loop of the macro's own."""
    pending = [(top, False)]
    while pending:
        node, in_loop = pending.pop()
        yield node, in_loop
        in_loop = in_loop or isinstance(node, _LOOPS)
        pending += [(child, in_loop) for child in reversed(list(ast.children(node)))]
