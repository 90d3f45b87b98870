"""The lowerer: calls of user functions, and returning from them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Block, Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.functions import InlineCall
    from cygnet.lang.trace.lower.operands import Gen, Mem
    from cygnet.lang.trace.lower.stmts import Lowerer


class Activation:
    """A function whose body is being lowered: where `return` goes, and in which callback that is."""

    __slots__ = ("depth", "node", "out")

    def __init__(self, node: InlineCall, out: Block, depth: int) -> None:
        self.node = node
        self.out = out
        self.depth = depth


def lower_call(g: Lowerer, node: InlineCall) -> Value | Mem | Gen:
    for param, arg in zip(node.params, node.args):
        g._assign_variable(param.var, arg)
    info = g.instance.variables.get(id(node.result))
    if info is not None:
        g.clear_variable(info)
    out = g.b.new_block()
    g.active.append(Activation(node, out, g.depth))
    exits, g.exits = g.exits, [*g.exits, (None, None)]
    g.memo.append({})
    g.block(node.body)
    g.memo.pop()
    g.exits = exits
    g.active.pop()
    if not g.b.ended:
        g.b.jump(out)
    g.b.open(out)  # where nothing leads there, every path ended the probe
    if info is None:
        return g.const(0)
    place = g.variable_place(info)
    return g.b.read(info) if place is None else g.load_typed(place, info.type, stored=True)


def lower_return(g: Lowerer, value: ast.Expr | None) -> None:
    """Leave the function that is being lowered, from a loop's callback too."""
    active = g.active[-1]
    if value is not None:
        g._assign_variable(active.node.result, value)
    if g.depth == active.depth:
        g.b.jump(active.out)
    else:
        g.leave_callback()
