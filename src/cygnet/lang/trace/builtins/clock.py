"""Builtins about time: nsecs, elapsed, strftime."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin, Simple, literal_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.core import Core
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

_CLOCKS = {"monotonic": "ktime_get_ns", "boot": "ktime_get_boot_ns", "tai": "ktime_get_tai_ns"}


def boot_ns(g: Core) -> Value:
    return g.b.call("ktime_get_boot_ns")


class Nsecs(Builtin):
    """Nanoseconds since boot, or of another clock: monotonic, boot, tai, sw_tai."""

    bare = True
    arity = (0, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        mode = _mode(args)
        if mode not in _CLOCKS and mode != "sw_tai":
            c.error(f"Invalid timestamp mode: {mode}", args[0].span, ["monotonic, boot, tai or sw_tai"])
        return T.UINT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        mode = _mode(args)
        if mode == "sw_tai":
            return g.b.add(g.b.call("ktime_get_ns"), g.session("tai_offset_ns"))
        return g.b.call(_CLOCKS[mode])


def _mode(args: Args) -> str:
    return str(getattr(args[0], "name", "?")) if args else "boot"


class Strftime(Builtin):
    """A time of day, made into text when it is printed."""

    arity = (2, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        text = literal_text(c, args[0], "strftime()'s format")
        c.number(args[1], "strftime()'s time")
        clock = "boot"
        for inner in ast.walk(args[1]):
            clock = self._clock(c, inner) or clock
        if clock == "monotonic":
            c.error("strftime() can not use a monotonic timestamp", node.span, ["use nsecs or nsecs(tai)"])
        return T.Type("timestamp", 8, extra=(text or "", "tai" if clock == "sw_tai" else clock))

    @staticmethod
    def _clock(c: Checker, node: ast.Node) -> str:
        """The clock that a part of the time comes from; empty when it does not say."""
        if isinstance(node, ast.Call) and node.name == "nsecs" and node.args:
            return _mode(node.args)
        if isinstance(node, ast.Var):
            info = c.scope.find(node.name)
            return info.clock if info is not None else ""
        return c.map_info(node).clock if isinstance(node, ast.MapRef) else ""

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return g.b.add(g.scalar(args[1]), g.const(1))  # 0 is a time that was never set


ROWS: dict[str, Builtin] = {
    "nsecs": Nsecs("nsecs"),
    "elapsed": Simple("elapsed", T.UINT64, lambda g: g.b.binary("sub", boot_ns(g), g.session("start_ns"))),
    "jiffies": Simple("jiffies", T.UINT64, lambda g: g.b.call("jiffies64")),
    "strftime": Strftime("strftime"),
}
