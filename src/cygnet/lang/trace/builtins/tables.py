"""Builtins that give a number its name: strerror, signal_name, syscall_name."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type


class TableName(Builtin):
    """The number travels; its name is looked up when it is printed (an enumeration whose names are the table)."""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        c.number(args[0], f"{self.name}()'s argument")
        return T.Type("enum", 8, True, extra=_table(self.name))

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return g.scalar(args[0])


def _table(name: str) -> object:
    from cygnet.lang.trace.records import CEnum

    known = _tables.get(name)
    if known is None:
        if name == "strerror":
            from cygnet.facts.errnos import texts as rows
        elif name == "signal_name":
            from cygnet.facts.signals import texts as rows
        else:
            import os

            from cygnet.facts.syscalls import names

            rows = lambda: names(os.uname().machine)  # noqa: E731
        known = _tables[name] = CEnum(name, None, tuple(sorted(rows().items())))
    return known


_tables: dict[str, object] = {}

ROWS: dict[str, Builtin] = {name: TableName(name) for name in ("strerror", "signal_name", "syscall_name")}
