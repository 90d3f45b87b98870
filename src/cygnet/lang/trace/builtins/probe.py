"""Builtins about the probe: its name, arguments, registers and return value."""

from __future__ import annotations

from cygnet.facts import registers
from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin, literal_text, needs_context
from cygnet.lang.trace.lower.operands import Gen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.ir.core import Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.core import Core
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

def machine(target: Any) -> str:
    """The architecture that is traced, as in uname."""
    return str(getattr(target, "machine", "x86_64"))


def register(g: Core, offset: int) -> Value:
    return g.remember(("reg", offset), lambda: g.b.load(g.ctx(), 8, offset))


class Argument(Builtin):
    """arg0 …: a raw tracepoint's arguments, or the registers that carry a function's; sarg0 …: the stack's."""

    bare = True

    def __init__(self, name: str, number: int, *, stack: bool) -> None:
        super().__init__(name)
        self.number = number
        self.stack = stack

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        match = c.instance.match
        if not needs_context(c, node, self.name):
            return T.UINT64
        if self.stack:
            if match.context != "regs":
                c.error(f"The {self.name} builtin can only be used with uprobes", node.span)
        elif match.context == "raw":
            if self.number > 11:
                c.error(f"{self.name}: a raw tracepoint has at most 12 arguments", node.span)
        elif match.context != "regs" or match.probetype in ("uretprobe", "kretprobe"):
            c.error(f"The {self.name} builtin can not be used with '{match.probetype}' probes", node.span)
        elif registers.argument_offset(machine(c.instance.target), self.number) is None:
            c.error(f"{self.name}: a function has not so many arguments in registers", node.span)
        return T.UINT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        if g.instance.match.context == "raw":
            return g.remember(("raw", self.number), lambda: g.b.load(g.ctx(), 8, 8 * self.number))
        arch = machine(g.instance.target)
        if not self.stack:
            return register(g, registers.argument_offset(arch, self.number) or 0)
        slot = g.new_slot(8)
        # above the return address
        address = g.b.offset(register(g, registers.special_offset(arch, "sp")), 8 * (self.number + 1))
        g.b.call("probe_read_user", slot, g.const(8), address)
        return g.b.load(slot, 8)


class Retval(Builtin):
    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if c.instance.match.probetype != "uretprobe":
            c.error(f"The retval builtin can not be used with '{c.instance.match.probetype}' probes", node.span)
        needs_context(c, node, "retval")
        return T.UINT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return register(g, registers.special_offset(machine(g.instance.target), "result"))


class Reg(Builtin):
    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        name = literal_text(c, args[0], "reg()'s argument")
        if c.instance.match.context not in ("regs", "perf"):
            c.error(f"reg() can not be used with '{c.instance.match.probetype}' probes", node.span)
        elif name is not None and name not in registers.offsets(machine(c.instance.target)):
            arch = machine(c.instance.target)
            known = " ".join(registers.offsets(arch))
            c.error(f"'{name}' is not a valid register on this architecture ({arch})", args[0].span, ["one of " + known])
        needs_context(c, node, "reg()")
        return T.UINT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return register(g, registers.offsets(machine(g.instance.target))[args[0].const.decode()])


class Probe(Builtin):
    """The probe's name: a string constant."""

    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        match = c.instance.match
        text = match.probe if self.name == "probe" else match.probetype
        if self.name == "probe" and c.instance.probe.name:
            text = c.instance.probe.name
        node.const = text.encode()
        return T.string(len(node.const) + 1)


class Func(Builtin):
    """The function that is traced, printed by name."""

    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        match = c.instance.match
        if match.context != "regs":
            c.error(f"The func builtin can not be used with '{match.probetype}' probes", node.span)
        needs_context(c, node, "func")
        return T.USYM

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        from cygnet.lang.trace.builtins.task import pid_tgid

        if g.instance.match.probetype == "uretprobe":
            address = g.b.call("get_func_ip", g.ctx())
        else:
            address = g.remember("func_ip", lambda: g.b.call("get_func_ip", g.ctx()))
        ids = pid_tgid(g)

        def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
            g.b.store(pointer, address, 8, offset)
            g.b.store(pointer, g.b.binary("shr", ids, g.const(32)), 8, offset + 8)

        return Gen(T.USYM, store)


class UserMode(Builtin):
    """1 when the sample interrupted user space: the two low bits of the code segment (x86)."""

    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if c.instance.match.context != "perf":
            c.error(f"The usermode builtin can not be used with '{c.instance.match.probetype}' probes", node.span)
        needs_context(c, node, "usermode")
        return T.UINT8

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        privilege = g.b.binary("and", register(g, registers.offsets(machine(g.instance.target))["cs"]), g.const(3))
        return g.b.cmp("eq", privilege, g.const(3))


ROWS: dict[str, Builtin] = {
    "probe": Probe("probe"),
    "probetype": Probe("probetype"),
    "func": Func("func"),
    "retval": Retval("retval"),
    "reg": Reg("reg"),
    "usermode": UserMode("usermode"),
}
