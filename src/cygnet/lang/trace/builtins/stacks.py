"""Builtins for stacks and symbols."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin, literal_text, needs_context
from cygnet.lang.trace.lower.operands import Gen
from cygnet.spec.values import UNWOUND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type
    from cygnet.probes.model import Match

_MODES = ("bpftrace", "perf", "raw", "build_id")
_DEFAULT, _MOST = 127, 1024
_NO_BUILD_ID = {
    "kstack": "the kernel's stacks have none",
    "dw_ustack": "the files are needed to unwind it, and so are known",
}


class Stack(Builtin):
    """kstack([mode][, limit]) and ustack: the id of a stack that the kernel keeps in a map."""

    bare = True
    arity = (0, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        mode, limit = c.config["stack_mode"], _DEFAULT
        asked = None
        for arg in args:
            if arg is args[0] and isinstance(arg, ast.Ident) and arg.name in _MODES:
                mode = asked = arg.name
                continue
            if arg is not args[0] and not asked:
                c.error(f"{self.name}([mode][, limit]): the mode stands first, then a literal limit", args[0].span,
                        ["the modes are " + ", ".join(_MODES)])  # fmt: skip
                break
            c.value(arg)
            if arg.const.__class__ is not int:
                c.error(f"{self.name}() takes a mode ({', '.join(_MODES)}) and a literal limit", arg.span)
                continue
            limit = arg.const
        if not 1 <= limit <= _MOST:
            c.error(f"{self.name}([int limit]): limit must be between 1 and {_MOST}, not {limit}", node.span)
            limit = _DEFAULT
        if mode == "build_id" and self.name in _NO_BUILD_ID:
            if asked:
                c.error(f"{self.name}() has no mode build_id: {_NO_BUILD_ID[self.name]}", node.span)
            else:
                c.warn(f"{self.name} has no mode build_id: raw is used", node.span)
            mode = "raw"
        needs_context(c, node, self.name)
        size = 8 if self.name == "kstack" else 16
        return T.Type("kstack" if self.name == "kstack" else "ustack", size, extra=(mode, limit))

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        from cygnet.lang.trace.builtins.task import thread_group
        from cygnet.lang.trace.lower.stacks import take_stack

        stack = take_stack(g, node.type)
        if self.name == "kstack":
            return stack
        pid = thread_group(g)

        def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
            g.b.store(pointer, stack, 8, offset)
            g.b.store(pointer, pid, 8, offset + 8)

        return Gen(node.type, store)


class Unwound(Stack):
    """dw_ustack([mode][, limit]): the user stack by the unwind tables of the binaries, which need no frame pointers."""

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        from cygnet.lang.trace.builtins.probe import machine

        mode = c.config["unstable_dw_ustack"]
        if mode == "error":
            c.error("dw_ustack() is unstable", node.span, ["config = { unstable_dw_ustack = enable } allows it"])
        elif mode == "warn":
            hint = "config = { unstable_dw_ustack = enable }"
            c.warn_once("dw_ustack() is unstable: it may change", node.span, [hint])
        if machine(c.instance.target) != "x86_64":
            c.error("dw_ustack() is for x86-64 only", node.span, ["ustack follows frame pointers"])
        has = getattr(c.instance.target, "has", None)
        if has is not None and not has("may_goto"):
            c.error("dw_ustack() needs Linux 6.9 (may_goto): its loops are too long for an older verifier", node.span)
        for name in ("task_struct", "mm_struct"):
            if c.types.system("struct", name) is None:
                c.error("dw_ustack() needs the kernel's BTF, which this system has not got", node.span)
                break
        return super().check(c, node, args)._replace(size=16, names=(UNWOUND,))

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        from cygnet.lang.trace.builtins.task import thread_group
        from cygnet.lang.trace.lower.unwinding import take_snapshot

        number, pid = take_snapshot(g), thread_group(g)

        def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
            g.b.store(pointer, number, 8, offset)
            g.b.store(pointer, pid, 8, offset + 8)

        return Gen(node.type, store)


class KSym(Builtin):
    """ksym(address): the kernel symbol's name, looked up when it is printed."""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        if type.kind not in ("int", "ptr", "unknown"):
            c.error(f"ksym() expects an integer or pointer argument, not '{T.name(type)}'", args[0].span)
        return T.KSYM

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return g.scalar(args[0])


class USym(Builtin):
    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        if type.kind not in ("int", "ptr", "unknown"):
            c.error(f"usym() expects an integer or pointer argument, not '{T.name(type)}'", args[0].span)
        return T.USYM

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        from cygnet.lang.trace.builtins.task import thread_group

        address, pid = g.scalar(args[0]), thread_group(g)

        def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
            g.b.store(pointer, address, 8, offset)
            g.b.store(pointer, pid, 8, offset + 8)

        return Gen(T.USYM, store)


class KAddr(Builtin):
    """kaddr("symbol"): its address, filled in when the program is loaded."""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        name = literal_text(c, args[0], "kaddr()'s argument")
        if name is not None and not c.has_ksym(name):
            c.error(f"Failed to resolve kernel symbol: {name}", node.span)
        return T.UINT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        from cygnet.spec.relocs import KSYM, RelocTemplate

        return g.b.reloc(RelocTemplate(KSYM, args[0].const.decode(), "imm64"))


class UAddr(Builtin):
    """uaddr("symbol"): the address of a symbol of the probed binary, where the process has it loaded."""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        name = literal_text(c, args[0], "uaddr()'s argument")
        match = c.instance.match
        if match.kind != "uprobe":
            c.error("uaddr() can only be used with u(ret)probes and usdt probes", node.span)
            return T.UINT64
        if name is None:
            return T.UINT64
        found = _symbol(match, name)
        if found is None:
            c.error(f"Could not resolve symbol: {match.targets[0]['path']}:{name}", args[0].span)
            return T.UINT64
        size = found[1] if found[1] in (1, 2, 4, 8) else 8
        return T.pointer(T.INTS[size, False], T.USER)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        match = g.instance.match
        found = _symbol(match, args[0].const.decode())
        probed = _symbol(match, "", match.targets[0]["offset"])
        assert found is not None and probed is not None
        # the probed address as loaded, less where it lies in the file's own addresses: the load bias
        here = g.b.call("get_func_ip", g.ctx())
        return g.b.add(here, g.const(found[0] - probed[0]))


def _symbol(match: Match, name: str, offset: int | None = None) -> tuple[int, int] | None:
    """(the file's own address, size) of a symbol, or of a file offset."""
    from cygnet.probes.symbols import Symbols

    symbols = Symbols(match.targets[0]["path"])
    if offset is None:
        return symbols.variable(name)
    address = symbols.address_at(offset)
    return None if address is None else (address, 0)


ROWS: dict[str, Builtin] = {
    "kstack": Stack("kstack"),
    "ustack": Stack("ustack"),
    "dw_ustack": Unwound("dw_ustack"),
    "ksym": KSym("ksym"),
    "usym": USym("usym"),
    "kaddr": KAddr("kaddr"),
    "uaddr": UAddr("uaddr"),
}
