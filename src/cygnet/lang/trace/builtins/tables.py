"""Builtins that give a number its text: strerror, signal_name, syscall_name."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin
from cygnet.lang.trace.lower.operands import Mem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cygnet.lang.trace import ast
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

_SLOT = 64  # bytes of a text; longer ones are cut
_UNKNOWN = {"strerror": "Unknown error", "signal_name": "N/A", "syscall_name": "Unknown syscall"}


class TextTable(Builtin):
    """A text from a map of texts that is filled when the program is loaded; its last one is for unknown numbers."""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        c.number(args[0], f"{self.name}()'s argument")
        const = args[0].const
        if const.__class__ is int:
            node.const = _text(_table(self.name).get(const, _UNKNOWN[self.name])).rstrip(b"\0")
        return T.string(_SLOT)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        table = _table(self.name)
        count = max(table) + 1
        name = "texts_" + self.name
        if name not in g.unit.tables:
            texts = [table.get(number, _UNKNOWN[self.name]) for number in range(count + 1)]
            g.unit.tables[name] = b"".join(map(_text, texts))
        number = g.scalar(args[0])
        index = g.select("ult", number, g.const(count), lambda: number, lambda: g.const(count))
        offset = g.b.binary("mul", index, g.const(_SLOT))
        return Mem(g.b.add(g.b.map_value(name), offset), "bpf", node.type, padded=True)


def _text(text: str) -> bytes:
    return text.encode()[: _SLOT - 1].ljust(_SLOT, b"\0")


def _table(name: str) -> Mapping[int, str]:
    if name == "strerror":
        from cygnet.facts.errnos import texts

        return texts()
    if name == "signal_name":
        from cygnet.facts.signals import texts

        return texts()
    import os

    from cygnet.facts.syscalls import names

    return names(os.uname().machine)


ROWS: dict[str, Builtin] = {name: TextTable(name) for name in _UNKNOWN}
