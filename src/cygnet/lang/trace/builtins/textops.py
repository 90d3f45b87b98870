"""Builtins that make strings: str_concat; and debugf, which writes to the kernel's trace."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin
from cygnet.lang.trace.builtins.output import check_format
from cygnet.lang.trace.builtins.text import check_text, place_text
from cygnet.lang.trace.lower.operands import Mem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

_LONGEST = 1024  # bytes of a concatenation, the NUL included
_DEBUG_ARGUMENTS = 3  # bpf_trace_printk takes no more
_DEBUG_LETTERS = frozenset("duxps")


class StrConcat(Builtin):
    """str_concat(a, b): one string after the other, at most 1,023 characters."""

    arity = (2, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        sizes = []
        for arg in args:
            type = check_text(c, arg, self.name)
            sizes.append(type.size if type.kind == "str" else type.length or c.config["max_strlen"])
        a, b = args[0].const, args[1].const
        if isinstance(a, bytes) and isinstance(b, bytes):
            node.const = (a + b)[: _LONGEST - 1]
            return T.string(len(node.const) + 1)
        return T.string(min(_LONGEST, sum(sizes) - 1))

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        b = g.b
        first, first_size = place_text(g, args[0])
        second, second_size = place_text(g, args[1])
        power = 1 << max(3, (first_size - 1).bit_length())
        both = g.new_slot(power + second_size + 7, "both")
        used = b.call("probe_read_kernel_str", both, g.const(first_size), first)
        # The number of bytes, NUL included; a failure (there is none here) would be negative. The mask is for the
        # verifier: it changes nothing, as `power` is above every length.
        length = g.select("sgt", used, g.const(0), lambda: b.add(used, g.const(-1)), lambda: g.const(0))
        end = b.add(both, b.binary("and", length, g.const(power - 1)))
        b.call("probe_read_kernel_str", end, g.const(second_size), second)
        return Mem(both, "bpf", node.type)


class Debugf(Builtin):
    """debugf(format, …): a line in the kernel's trace (/sys/kernel/tracing/trace_pipe), at most three arguments."""

    arity = (1, 1 + _DEBUG_ARGUMENTS)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        check_format(c, node, args, "debugf")
        if isinstance(args[0].const, bytes):
            self._check_letters(c, node, args)
        kept = getattr(c.instance.target, "keeps_trace", None)
        if kept is not None and not kept():
            hints = ["switch it on: echo 1 > /sys/kernel/tracing/tracing_on", "printf() needs no such switch"]
            c.warn_once(
                "debugf() writes to the kernel's trace, which is switched off: its lines are lost", node.span, hints
            )
        return T.NONE

    @staticmethod
    def _check_letters(c: Checker, node: ast.Expr, args: Args) -> None:
        from cygnet.spec.formats import parse

        specs = [spec for _, spec in parse(args[0].const.decode("utf-8", "replace")) if spec is not None]
        for spec, arg in zip(specs, args[1:]):
            kind = arg.type.kind
            if spec.letter not in _DEBUG_LETTERS:
                what = f"debugf: %{spec.letter} can not be printed by the kernel"
                c.error(what, args[0].span, ["%d %u %x %p and %s"])
            elif spec.letter == "s" and kind not in ("str", "array", "unknown"):
                c.error(f"debugf: %s expects a string, not '{T.name(arg.type)}'", arg.span)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        text: bytes = args[0].const
        slot = g.new_slot(len(text) + 8 & ~7, "format")
        g.store_bytes(text, T.string(len(text) + 1), slot, 0, True)
        values: list[Value] = []
        for arg in args[1:]:
            if arg.type.kind in T.SCALARS:
                values.append(g.scalar(arg))
            else:
                values.append(place_text(g, arg)[0])
        return g.b.call("trace_printk", slot, g.const(len(text) + 1), *values)


ROWS: dict[str, Builtin] = {"str_concat": StrConcat("str_concat"), "debugf": Debugf("debugf")}
