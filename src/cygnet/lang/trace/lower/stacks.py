"""The lowerer: stacks. The kernel keeps them in maps of their own, and a value is the number of one.

How many frames a stack has is counted when it is taken, in programs that ask for it (`Unit.stack_lengths`): a map
of stacks cannot be read by programs.
"""

from __future__ import annotations

from cygnet.spec.values import MORE
from cygnet.uapi.bpf_flags import BPF_F_FAST_STACK_CMP, BPF_F_USER_STACK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

_ANY = 0
EFAULT, EEXIST = 14, 17


def take_stack(g: Lowerer, type: Type) -> Value:
    """The number of the current stack, taken once on each path."""
    name = g.unit.stack_map(type)
    return g.remember((type.kind, name), lambda: _take(g, type, name))


def _take(g: Lowerer, type: Type, name: str) -> Value:
    flags = BPF_F_FAST_STACK_CMP | (BPF_F_USER_STACK if type.kind == "ustack" else 0)
    first = g.b.call("get_stackid", g.ctx(), g.b.map(name), g.const(flags))
    number = g.select("eq", first, g.const(-EEXIST), lambda: _take_second(g, name, flags), lambda: first)
    if g.unit.warnings:
        _tell_failure(g, number)
    if g.unit.stack_lengths:
        key, value = g.new_slot(8, "stack"), g.new_slot(8, "frames")
        g.b.store(key, number, 8)
        g.b.store(value, count_frames(g, type), 8)
        g.b.call("map_update_elem", g.b.map(g.unit.stack_length_map(type)), key, value, g.const(_ANY))
    return number


def _take_second(g: Lowerer, name: str, flags: int) -> Value:
    """Another stack has the same place in the map: there is a second map for such, whose numbers have a mark."""
    number = g.b.call("get_stackid", g.ctx(), g.b.map(name + MORE), g.const(flags))
    marked = lambda: g.b.binary("or", number, g.const(1 << 32))  # noqa: E731
    return g.select("slt", number, g.const(0), lambda: number, marked)


def _tell_failure(g: Lowerer, number: Value) -> None:
    """A stack that could not be kept is a warning; that there is none (EFAULT: a kernel thread's) is not."""
    failed = lambda: g.choose("ne", number, g.const(-EFAULT), lambda: g.report("get_stackid", number))  # noqa: E731
    g.choose("slt", number, g.const(0), failed)


def count_frames(g: Lowerer, type: Type) -> Value:
    """How many frames the current stack has."""

    def count() -> Value:
        limit = type.extra[1]
        room = g.new_slot(8 * limit, "frames")
        flags = BPF_F_USER_STACK if type.kind == "ustack" else 0
        taken = g.b.call("get_stack", g.ctx(), room, g.const(8 * limit), g.const(flags))
        return g.select("sgt", taken, g.const(0), lambda: g.b.binary("shr", taken, g.const(3)), lambda: g.const(0))

    return g.remember(("frames", type.kind, type.extra[1]), count)


def stored_frames(g: Lowerer, type: Type, number: Value) -> Value:
    """How many frames a stack had when it was taken."""
    key = g.new_slot(8, "stack")
    g.b.store(key, number, 8)
    found = g.b.call("map_lookup_elem", g.b.map(g.unit.stack_length_map(type)), key)
    return g.select("ne", found, g.const(0), lambda: g.b.load(found, 8), lambda: g.const(0))
