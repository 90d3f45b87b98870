"""The lowerer: pointers whose type the verifier knows, for helpers that take no others.

Such a pointer comes straight from the context: an argument of a function that is traced, or what an iterator has come
to. Its members can be followed by plain loads.
"""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.spec.relocs import CORE, RelocTemplate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.ir.core import Value
    from cygnet.lang.trace.lower.stmts import Lowerer


def is_typed(node: ast.Expr) -> bool:
    """Can `with_typed` make it: ``args.x``, ``ctx.x``, members of what they point to, their addresses?"""
    if isinstance(node, ast.AddressOf):
        return isinstance(node.operand, ast.Field) and is_typed(node.operand)
    if isinstance(node, ast.Ident):
        return node.name in ("args", "ctx")
    return isinstance(node, ast.Field) and is_typed(node.operand)


def with_typed(g: Lowerer, node: ast.Expr, use: Callable[[Value], object]) -> None:
    """`use` the pointer, or the address of a struct that is a member; nothing is done where it is null."""
    if isinstance(node, ast.AddressOf):
        node = node.operand
    assert isinstance(node, ast.Field)
    steps: list[ast.Field] = []
    while not isinstance(node, ast.Ident):
        assert isinstance(node, ast.Field)
        steps.insert(0, node)
        node = node.operand
    if node.name == "args":
        arg = g.instance.argument(steps[0].name)
        assert arg is not None
        use(_follow(g, g.b.load_pointer(g.ctx(), 8 * arg.index, "kernel"), steps[1:]))
        return
    first = _member(g, g.ctx(), steps[0])  # an iterator's objects may be missing, and the verifier knows it
    g.choose("ne", first, g.const(0), lambda: use(_follow(g, first, steps[1:])))


def _follow(g: Lowerer, pointer: Value, steps: list[ast.Field]) -> Value:
    for step in steps:
        pointer = _member(g, pointer, step)
    return pointer


def _member(g: Lowerer, pointer: Value, step: ast.Field) -> Value:
    """A member that is a pointer, or the address of one that is a struct."""
    type = step.operand.type
    record = type.elem.extra if type.kind == "ptr" else type.extra
    member = record.find(step.name)
    template = ("offset", step.name, member.offset)
    if member.type.kind == "ptr":
        reloc = RelocTemplate(CORE, record.name, "off", template) if record.name else None
        return g.b.load_pointer(pointer, member.offset, "kernel", reloc)
    assert member.type.kind == "struct", T.name(member.type)
    if not record.name:
        return g.b.offset(pointer, member.offset)
    return g.b.add(pointer, g.b.reloc(RelocTemplate(CORE, record.name, "imm", template)))
