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
    from cygnet.probes.operands import Operand as OperandOfUsdt

#: under this name fexit's arguments hold what the function returns
RETVAL = "$retval"


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
                c.error(f"The {self.name} builtin can only be used with kprobes and uprobes", node.span)
        elif match.context == "raw" and match.kind == "raw_tracepoint":
            if self.number > 11:
                c.error(f"{self.name}: a raw tracepoint has at most 12 arguments", node.span)
        elif match.kind == "usdt":
            return self._check_usdt(c, node)
        elif match.context != "regs" or match.probetype in ("uretprobe", "kretprobe"):
            c.error(f"The {self.name} builtin can not be used with '{match.provider.name}' probes", node.span)
        elif registers.argument_offset(machine(c.instance.target), self.number) is None:
            c.error(f"{self.name}: a function has not so many arguments in registers", node.span)
        return T.UINT64

    def _check_usdt(self, c: Checker, node: ast.Expr) -> Type:
        """Of the size and sign that the probe's note says, made wide."""
        match = c.instance.match
        if self.number >= len(match.operands):
            count = len(match.operands)
            c.error(f"{self.name}: {match.probe} has {count} argument{'s' * (count != 1)}", node.span)
        elif machine(c.instance.target) != "x86_64":
            c.error(f"{self.name}: arguments of usdt probes can only be read on x86-64", node.span)
        elif match.operands[self.number].kind == "unknown":
            c.error(f"{self.name}: {match.operands[self.number].text} cannot be read", node.span)
        return T.INT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        if g.instance.match.kind == "usdt" and not self.stack:
            return g.remember(("usdt", self.number), lambda: _usdt(g, g.instance.match.operands[self.number]))
        if g.instance.match.context == "raw":
            return g.remember(("raw", self.number), lambda: g.b.load(g.ctx(), 8, 8 * self.number))
        arch = machine(g.instance.target)
        if not self.stack:
            return register(g, registers.argument_offset(arch, self.number) or 0)
        slot = g.new_slot(8)
        # above the return address
        address = g.b.offset(register(g, registers.special_offset(arch, "sp")), 8 * (self.number + 1))
        read = "probe_read_user" if g.instance.match.space == T.USER else "probe_read_kernel"
        g.b.call(read, slot, g.const(8), address)
        return g.b.load(slot, 8)


def _usdt(g: Lowerer, place: OperandOfUsdt) -> Value:
    """The value of an operand."""
    if place.kind == "const":
        return g.const(place.value)
    if place.kind == "register":
        value = register(g, place.value)
        value = g.b.binary("shr", value, g.const(place.shift)) if place.shift else value
        if place.size == 8:
            return value
        return g.b.sext(value, place.size) if place.signed else g.b.zext(value, place.size)
    address = register(g, place.base) if place.base >= 0 else g.const(0)
    if place.other >= 0:
        address = g.b.add(address, g.b.binary("mul", register(g, place.other), g.const(place.scale)))
    slot = g.new_slot(8)
    g.b.call("probe_read_user", slot, g.const(place.size), g.b.offset(address, place.value))
    return g.b.load(slot, place.size, signed=place.signed)


class Retval(Builtin):
    """What a function returns: a number, but for fexit, where BTF tells the type."""

    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        from cygnet.lang.trace.records import member_value_type

        match = c.instance.match
        if not needs_context(c, node, "retval"):
            return T.UINT64
        if match.kind == "fexit":
            if match.targets[0].get("bpf"):
                return T.UINT64
            arg = c.instance.argument(RETVAL)
            if arg is None:
                c.error(f"retval: {match.func} returns nothing", node.span)
                return T.UINT64
            return member_value_type(c.instance.argument_type(arg, c.types))
        if match.probetype not in ("uretprobe", "kretprobe"):
            c.error(f"The retval builtin can not be used with '{match.provider.name}' probes", node.span)
        return T.UINT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        if g.instance.match.kind == "fexit":
            return g.returned(node.type)
        return register(g, registers.special_offset(machine(g.instance.target), "result"))


class Reg(Builtin):
    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        name = literal_text(c, args[0], "reg()'s argument")
        if c.instance.match.context not in ("regs", "perf"):
            c.error(f"reg() can not be used with '{c.instance.match.provider.name}' probes", node.span)
        elif name is not None and name not in registers.offsets(machine(c.instance.target)):
            arch = machine(c.instance.target)
            known = " ".join(registers.offsets(arch))
            c.error(
                f"'{name}' is not a valid register on this architecture ({arch})", args[0].span, ["one of " + known]
            )
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
        if match.kind not in ("kprobe", "kretprobe", "uprobe", "usdt", "fentry", "fexit"):
            c.error(f"The func builtin can not be used with '{match.provider.name}' probes", node.span)
        needs_context(c, node, "func")
        return T.KSYM if match.space == T.KERNEL else T.USYM

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        from cygnet.lang.trace.builtins.task import pid_tgid

        match = g.instance.match
        inside = match.kind == "kprobe" and (match.parsed.offset or match.parsed.address >= 0)
        if match.kind == "usdt" or inside:
            # not the start of a function, which is all that the helper knows
            address = register(g, registers.special_offset(machine(g.instance.target), "pc"))
        elif match.space == T.KERNEL:
            address = g.remember("func_ip", lambda: g.b.call("get_func_ip", g.ctx()))
        elif g.instance.match.probetype == "uretprobe":
            address = g.b.call("get_func_ip", g.ctx())
        else:
            address = g.remember("func_ip", lambda: g.b.call("get_func_ip", g.ctx()))
        if match.space == T.KERNEL:
            return address
        ids = pid_tgid(g)

        def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
            g.b.store(pointer, address, 8, offset)
            g.b.store(pointer, g.b.binary("shr", ids, g.const(32)), 8, offset + 8)

        return Gen(T.USYM, store)


#: the probes that the tracer fires itself, from user space
_OWN = ("special", "self", "test", "bench")

#: what the context is where it is no iterator's, and how a pointer to it is read
_CONTEXTS = {"regs": ("pt_regs", T.KERNEL), "perf": ("bpf_perf_event_data", T.DIRECT)}


class Ctx(Builtin):
    """The program's context: what an iterator has come to, a function's registers, a sample."""

    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        from cygnet.probes.iterator import context

        match = c.instance.match
        needs_context(c, node, "ctx")
        if match.context in _CONTEXTS:
            name, space = _CONTEXTS[match.context]
            return T.pointer(c.types.find("struct", name), space)
        if match.kind != "iter":
            hints = ["use args, whose members are the event's fields"] if match.probetype == "tracepoint" else []
            c.error(f"The ctx builtin can not be used with '{match.provider.name}' probes", node.span, hints)
            return T.UNKNOWN
        return T.pointer(c.types.find("struct", context(match.parsed.target)), T.KERNEL)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return g.ctx()


class UserMode(Builtin):
    """1 when user space was interrupted: the two low bits of the code segment (x86). What has no registers runs in
    the kernel, but for the tracer's own probes."""

    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        match = c.instance.match
        if match.context == "perf":
            needs_context(c, node, "usermode")
        else:
            node.const = int(match.space == T.USER or match.probetype in _OWN)
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
    "ctx": Ctx("ctx"),
}
