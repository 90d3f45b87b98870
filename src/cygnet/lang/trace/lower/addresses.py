"""The lowerer: addresses of variables, maps and members, and other pointers that become plain numbers."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.lower.operands import Gen, Mem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace.lower.stmts import Lowerer


def as_integer(g: Lowerer, pointer: Value) -> Value:
    """A pointer as a number like any other, for the language's arithmetic and for variables.

    The verifier lets nothing but additions happen to a pointer, and does not let kinds of them meet. A negation
    makes it forget what it knew. Going through memory tells the frame that the slot's address is abroad.
    """
    if pointer.type == "stack":
        slot = g.new_slot(8, "address")
        g.b.store(slot, pointer, 8)
        pointer = g.b.load(slot, 8)
    return g.b.neg(g.b.neg(pointer))


def lower_address(g: Lowerer, node: ast.AddressOf) -> Value:
    operand = node.operand
    if isinstance(operand, ast.Var):
        info = g.variable(operand)
        if info in g.views:  # an element of a loop over a map: a copy of it
            return as_integer(g, g.in_memory(g.operand(operand), info.type))
        place = g.variable_place(info)
        assert place is not None
        return as_integer(g, g.b.offset(place.addr, place.offset))
    if isinstance(operand, ast.MapRef):
        return as_integer(g, g.b.map_value(g.unit.layout(operand.name).name))
    if isinstance(operand, ast.MapIndex):
        return _map_element(g, operand)
    return g.address(member_place(g, operand))


def _map_element(g: Lowerer, operand: ast.MapIndex) -> Value:
    """Where the value of a key lies; 0 when there is none."""
    layout = g.unit.layout(operand.map.name)
    result = object()

    def look(map: str, key: Value) -> None:
        found = g.b.call("map_lookup_elem", g.b.map(map), key)
        g.choose(
            "ne", found, g.const(0),
            lambda: g.b.write(result, as_integer(g, found)), lambda: g.b.write(result, g.const(0)),
        )  # fmt: skip

    g.with_key(layout, operand.keys, look)
    return g.b.read(result)


def member_place(g: Lowerer, node: ast.Expr) -> Mem:
    """The place of ``p->a.b[i]``, read or not."""
    if isinstance(node, ast.Field):
        mem = g._record_at(node.operand)
        record = mem.type.extra
        return g.member_mem(mem, record, record.find(node.name), node)
    if isinstance(node, ast.Index):
        type = node.operand.type
        if type.kind == "ptr":
            space = T.memory(type.space)
            base = Mem(g.scalar(node.operand), space, node.type)
        else:
            base = member_place(g, node.operand)
        offset = g.b.binary("mul", g.scalar(node.index), g.const(T.natural_size(node.type)))
        return Mem(g.b.add(g.address(base), offset), base.space, node.type)
    thing = g.operand(node)
    if isinstance(thing, Gen):
        return Mem(g.in_memory(thing, node.type), "bpf", node.type)
    return thing if isinstance(thing, Mem) else Mem(thing, node.type.space, node.type.elem)
