"""The checker: expressions. Each gets a type, and a constant where it has one."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.check.access import AccessChecker
from cygnet.lang.trace.check.base import arity_text
from cygnet.lang.trace.check.casts import CastChecker
from cygnet.lang.trace.check.operators import OperatorChecker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace.check.names import MapInfo
    from cygnet.lang.trace.types import Agg, Type


class ExprChecker(OperatorChecker, AccessChecker, CastChecker):
    """The half of the checker that looks at expressions."""

    # -- entry points -----------------------------------------------------------------------------

    def expr(self, node: ast.Expr, *, statement: bool = False) -> Type:
        """The type of an expression; `statement`: its value is not used."""
        if statement and isinstance(node, (ast.Call, ast.Ternary, ast.IfExpr, ast.BlockExpr, ast.Ident)):
            type = self._statement(node)
        else:
            type = self.expr_table[node.__class__](node)
        node.type = type
        return type

    def value(self, node: ast.Expr) -> Type:
        """The type of an expression that must have a value."""
        type = self.expr(node)
        if type.kind in ("none", "never"):
            told = isinstance(node, ast.BlockExpr) and type.kind == "none"
            hints = (
                ["the value of a block, or of a macro, is its last expression, without `;` after it"] if told else []
            )
            self.error("This has no value", node.span, hints)
            return T.UNKNOWN
        if type.kind == "float":
            self.error("Floating-point numbers are not supported", node.span, ["print() of the whole struct is"])
            return T.UNKNOWN
        return type

    def number(self, node: ast.Expr, what: str) -> Type:
        """An integer, bool or enum, or an aggregation that becomes one."""
        type = self.value(node)
        if type.kind == "agg" and type.extra.kind in T.CASTABLE:
            return T.as_int(type)
        if type.kind not in T.NUMERIC and type.kind != "unknown":
            self.error(f"{what} must be an integer, not '{T.name(type)}'", node.span)
            return T.INT64
        return type

    def condition(self, node: ast.Expr) -> None:
        type = self.value(node)
        if self.is_condition(type, node):
            return
        self.error(f"Invalid condition: '{T.name(type)}' is not an integer, a bool or a pointer", node.span)

    def is_condition(self, type: Type, node: ast.Expr) -> bool:
        """Is a value true or false? Text is when it is known before the program runs: ``if (str($1))``."""
        if type.kind in T.NUMERIC or type.kind in ("ptr", "unknown") or isinstance(node.const, bytes):
            return True
        return bool(type.kind == "agg" and type.extra.kind in T.CASTABLE)

    def _statement(self, node: ast.Expr) -> Type:
        if isinstance(node, ast.Call):
            if node.name in self.AGGREGATES:
                return self._stray_aggregate(node)
            return self.call(node, statement=True)
        if isinstance(node, ast.Ternary):
            return self._ternary_statement(node)
        if isinstance(node, ast.IfExpr):
            return self._if(node, statement=True)
        if isinstance(node, ast.BlockExpr):
            return self.block(node.block, statement=True)
        return self.expr_table[node.__class__](node)

    def _ternary_statement(self, node: ast.Ternary) -> Type:
        self.condition(node.cond)
        kinds = {self.expr(arm, statement=True).kind for arm in (node.then, node.orelse) if arm is not None}
        if not kinds.isdisjoint(("none", "never")) and kinds - {"none", "never", "unknown"}:
            self.error("Ternary operator must return the same type: one side has no value", node.span)
        return T.NONE

    def _stray_aggregate(self, node: ast.Call) -> Type:
        self.error(f"{node.name}() must be assigned directly to a map", node.span, [f"@x = {node.name}(…)"])
        return T.UNKNOWN

    # -- literals and names -----------------------------------------------------------------------

    def expr_IntLit(self, node: ast.IntLit) -> Type:
        node.const = node.value
        return T.literal_int(node.value)

    def expr_StrLit(self, node: ast.StrLit) -> Type:
        node.const = node.bytes
        if len(node.const) + 1 > max(self.config["max_strlen"], 1):
            self.error(
                f"String is too long ({len(node.const)} bytes): max_strlen is {self.config['max_strlen']}", node.span
            )
        return T.string(len(node.const) + 1)

    def expr_BoolLit(self, node: ast.BoolLit) -> Type:
        node.const = node.value
        return T.BOOL

    def expr_Positional(self, node: ast.Positional) -> Type:
        value = self.params.value(node.number)
        if value is None:
            self.warn(f"Positional parameter ${node.number} is not given: 0 is used", node.span)
            value = 0
        node.const = value
        return T.literal_int(value) if type(value) is int else T.string(len(value) + 1)

    def expr_Ident(self, node: ast.Ident) -> Type:
        name = node.name
        if name == "args":
            return self._all_arguments(node)
        from cygnet.lang.trace.builtins import find

        row = find(name)
        if row is not None and row.bare:
            return row.check(self.whole, node, ())
        known = self.types.enumerator(name) or self._header_constant(name)
        if known is not None:
            node.const = known[0]
            return known[1]._replace(size=8) if known[1].kind == "enum" else known[1]
        self._unknown_name(node, row is not None)
        return T.UNKNOWN

    def _header_constant(self, name: str) -> tuple[int, Type] | None:
        """What headers define by ``#define``, which BTF does not know."""
        from cygnet.lang.trace.constants import constant, of_machine

        number = constant(name)
        if number is None and name.startswith(("__NR_", "SYS_")):
            from cygnet.lang.trace.builtins.probe import machine

            number = of_machine(name, machine(self.instance.target))
        if number is None and name.startswith("REQ_"):  # a flag's bit is an enumerator
            bit = self.types.enumerator("__" + name)
            number = None if bit is None else 1 << bit[0]
        return None if number is None else (number, T.literal_int(number))

    def _all_arguments(self, node: ast.Ident) -> Type:
        """``args`` as a value: a record of them. A tracepoint's fields lie in its context, and are not one."""
        from cygnet.lang.trace.check.arguments import all_arguments

        return all_arguments(self, node)

    def _unknown_name(self, node: ast.Ident, needs_call: bool) -> None:
        if needs_call:
            self.error(f"{node.name} is a function: it is called as {node.name}(…)", node.span)
            return
        from cygnet.lang.trace.builtins import names
        from cygnet.lang.trace.suggest import did_you_mean

        guess = did_you_mean(node.name, names())
        self.error(f"Unknown identifier: '{node.name}'", node.span, [f"did you mean {guess}?"] if guess else [])

    def expr_Var(self, node: ast.Var) -> Type:
        info = self.scope.find(node.name)
        if info is None:
            from cygnet.lang.trace.suggest import did_you_mean

            guess = did_you_mean(node.name, self.scope.all_names())
            self.undefined.add(node.name)
            self.error(
                f"Undefined or undeclared variable: {node.name}", node.span, [f"did you mean {guess}?"] if guess else []
            )
            return T.UNKNOWN
        self._touch(info, node)
        info.read = True
        if info.let and not info.written and self.final:
            self.warn(f"Variable {info.name} is read before it is assigned", node.span)
        if info.type is T.UNKNOWN and self.final and not self.whole.errors:
            self.error(f"Variable {node.name} has no type: nothing is assigned to it", node.span)
        return info.type

    def map_type(self, info: MapInfo, node: ast.Expr) -> Type:
        if info.read_span is None:
            info.read_span = node.span
        if info.agg is not None:
            return T.Type("agg", 8, extra=info.agg)
        return info.value

    def expr_MapRef(self, node: ast.MapRef) -> Type:
        info = self.use_map(node, keyed=False)
        return self.map_type(info, node)

    def expr_MapIndex(self, node: ast.MapIndex) -> Type:
        info = self.use_map(node.map, keyed=True)
        self.map_key(info, node)
        return self.map_type(info, node)

    # -- calls ------------------------------------------------------------------------------------

    def expr_Call(self, node: ast.Call) -> Type:
        if node.name in self.AGGREGATES:
            return self._stray_aggregate(node)
        return self.call(node, statement=False)

    def call(self, node: ast.Call, *, statement: bool) -> Type:
        from cygnet.lang.trace.builtins import find, names

        row = find(node.name)
        if row is None:
            from cygnet.lang.trace.suggest import did_you_mean

            guess = did_you_mean(node.name, [*self.own_names, *names(), *self.AGGREGATES])
            self.error(f"Unknown function: '{node.name}'", node.name_span, [f"did you mean {guess}?"] if guess else [])
            return T.UNKNOWN
        least, most = row.arity
        if not least <= len(node.args) <= most:
            self.error(f"{node.name}() {arity_text(least, most)} ({len(node.args)} provided)", node.span)
            return T.UNKNOWN
        if row.statement_only and not statement:
            self.error(f"{node.name}() should not be used in an expression: it gives no value", node.span)
            return T.UNKNOWN
        return row.check(self.whole, node, node.args)

    def aggregate(self, node: ast.Call) -> Agg:
        """The aggregation that a call makes; its arguments are checked."""
        from cygnet.lang.trace.check.aggregates import check_aggregate

        return check_aggregate(self, node)
