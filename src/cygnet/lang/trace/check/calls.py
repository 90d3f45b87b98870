"""The checker: calls of user functions, which see nothing of the variables around the call."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.check.names import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.functions import InlineCall
    from cygnet.lang.trace.types import Type


def check_call(c: Checker, node: InlineCall) -> Type:
    """The arguments are looked at where the call stands, the body in a scope of its own."""
    given = [c.value(arg) for arg in node.args]
    outer = (c.scope, c.loops, c.function)
    c.scope, c.loops, c.function = Scope(None), 0, node
    declared = [c.declare(param.var) for param in node.params]  # typeof() may name those that follow
    for info, param, arg, type in zip(declared, node.params, node.args, given):
        c.declare_type(info, param.target)
        if type.kind == "agg":
            type = T.as_int(type)
        c._give(info, type, arg)
    result = _declare_result(c, node)
    c.block(node.body)
    c.scope, c.loops, c.function = outer
    return result


def _declare_result(c: Checker, node: InlineCall) -> Type:
    target = node.target
    if target is None or (target.base == "void" and not target.pointers):
        return T.NONE
    info = c.declare(node.result)
    c.declare_type(info, target)
    return info.type


def check_return(c: Checker, node: ast.Return) -> None:
    """``return e`` within a function."""
    function = c.function
    assert function is not None
    info = c.scope.find(function.result.name)
    if info is None:
        if node.value is not None:
            c.value(node.value)
            c.error(f"function {function.name} returns nothing", node.value.span,
                    [f"fn {function.name}(…) : type {{ … }} gives it a result"])  # fmt: skip
        return
    if node.value is None:
        if isinstance(function.fn, ast.Probe):
            return
        c.error(f"function {function.name} must return a value", node.span)
        return
    type = c.value(node.value)
    c._touch(info, function.result)
    c._give(info, T.as_int(type) if type.kind == "agg" else type, node.value)
