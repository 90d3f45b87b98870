"""The builtin `config`: a record of the settings in force, known when the program is compiled."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin
from cygnet.lang.trace.lower.operands import Gen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.config import Config
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type


def setting(config: Config, name: str) -> bool | int | bytes:
    """One setting as a constant."""
    value: bool | int | str = config[name]
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def _type(value: bool | int | bytes) -> Type:
    if isinstance(value, bytes):
        return T.string(len(value) + 1)
    return T.BOOL if isinstance(value, bool) else T.UINT64


class Settings(Builtin):
    """config.max_strlen and its like."""

    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        names = tuple(sorted(c.config.values))
        fields = tuple(_type(setting(c.config, name)) for name in names)
        return T.Type("record", sum(map(T.storage, fields)), fields=fields, names=names)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
            for name, at, field in zip(type.names, T.offsets(type), type.fields):
                value = setting(g.unit.config, name)
                if isinstance(value, bytes):
                    g.store_bytes(value, field, pointer, offset + at, pad)
                else:
                    g.b.store(pointer, g.const(int(value)), 8, offset + at)

        return Gen(node.type, store)


ROWS: dict[str, Builtin] = {"config": Settings("config")}
