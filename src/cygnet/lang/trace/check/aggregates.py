"""The checker: count(), sum(), hist() and the other aggregations, and what they take."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.check.base import arity_text, flexible, type_is_int
from cygnet.lang.trace.types import Agg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.check.exprs import ExprChecker
    from cygnet.lang.trace.check.names import MapInfo
    from cygnet.lang.trace.types import Type

_ARITY = {
    "count": (0, 0), "sum": (1, 1), "min": (1, 1), "max": (1, 1), "avg": (1, 1), "stats": (1, 1), "hist": (1, 2),
    "lhist": (4, 4), "tseries": (3, 4),
}  # fmt: skip


_SERIES = ("avg", "max", "min", "sum")
_MOST_INTERVALS = 1_000_000


def check_aggregate(c: ExprChecker, node: ast.Call) -> Agg:
    kind = node.name
    least, most = _ARITY[kind]
    if not least <= len(node.args) <= most:
        c.error(f"{kind}() {arity_text(least, most)} ({len(node.args)} provided)", node.span)
        return Agg(kind)
    if kind == "count":
        return Agg(kind, False)
    type = T.as_int(c.number(node.args[0], f"{kind}()'s argument"))
    signed = type.signed and not flexible(node.args[0]) if type.kind == "int" else type.signed
    if kind in ("sum", "min", "max", "avg", "stats"):
        return Agg(kind, type.signed if flexible(node.args[0]) else signed)
    if kind == "tseries":
        return _check_series(c, node, type.signed)
    literals = [_literal(c, kind, arg) for arg in node.args[1:]]
    if None in literals:
        return Agg(kind, type.signed)
    numbers = tuple(n for n in literals if n is not None)
    if kind == "hist":
        k = numbers[0] if numbers else 0
        if not 0 <= k <= 5:
            c.error(f"hist: bits {k} must be 0..5", node.span)
            k = 0
        return Agg(kind, type.signed, (k,))
    _check_linear(c, node, *numbers)
    return Agg(kind, type.signed, numbers)


def _check_series(c: ExprChecker, node: ast.Call, signed: bool) -> Agg:
    """tseries(n, interval, count[, how])"""
    mode = c.config["unstable_tseries"]
    if mode == "error":
        c.error("tseries() is unstable", node.span, ["config = { unstable_tseries = enable } allows it"])
    elif mode == "warn":
        c.warn_once("tseries() is unstable: it may change", node.span, ["config = { unstable_tseries = enable }"])
    interval, count = (_literal(c, "tseries", arg) for arg in node.args[1:3])
    how = "last"
    if len(node.args) > 3:
        c.value(node.args[3])
        const = node.args[3].const
        how = const.decode("utf-8", "replace") if isinstance(const, bytes) else ""
        if how not in _SERIES:
            c.error('tseries() keeps "avg", "max", "min" or "sum" of an interval', node.args[3].span)
            how = "last"
    if interval is None or count is None:
        return Agg("tseries", signed, (1, 1, how))
    if interval < 1:
        c.error(f"tseries()'s interval must be at least 1 ns, not {interval}", node.args[1].span)
    if not 1 <= count <= _MOST_INTERVALS:
        c.error(f"tseries() keeps 1 to {_MOST_INTERVALS:,} intervals, not {count}", node.args[2].span)
    return Agg("tseries", signed, (max(1, interval), max(1, count), how))


def assign_aggregate(c: Checker, info: MapInfo, value: ast.Expr) -> Type:
    """``@m = count()``; a block may come before it."""
    if isinstance(value, ast.BlockExpr):
        value.type = c.block(value.block, last=lambda last: assign_aggregate(c, info, last))
    else:
        assert isinstance(value, ast.Call)
        agg = c.aggregate(value)
        c.grow_aggregate(info, agg, value.span, bool(value.args) and flexible(value.args[0]))
        value.type = T.Type("agg", 8, extra=info.agg)
    return value.type  # type: ignore[no-any-return]


def aggregate_copied(c: Checker, info: MapInfo, type: Type, value: ast.Expr) -> None:
    """Report ``@b = @a`` of an aggregation."""
    info.written = True
    hints = ["cast it to an integer, such as (int64)@m, to store the value of the moment"]
    message = f"Map value '{T.name(type)}' cannot be assigned from one map to another"
    c.error(message, value.span, hints if type.extra.kind in T.CASTABLE else [])


def _literal(c: ExprChecker, kind: str, arg: ast.Expr) -> int | None:
    c.value(arg)
    if not type_is_int(arg.const):
        c.error(f"{kind}() takes literal numbers for its parameters", arg.span)
        return None
    number: int = arg.const
    return number


def _check_linear(c: ExprChecker, node: ast.Call, low: int, high: int, step: int) -> None:
    if low < 0:
        c.error(f"lhist() min must be non-negative (provided min {low})", node.span)
    elif high <= low:
        c.error(f"lhist() max must be greater than min (provided min {low} and max {high})", node.span)
    elif step < 1:
        c.error(f"lhist() step must be >= 1 ({step} provided)", node.span)
    elif step > high - low:
        c.error(f"lhist() step is too large (provided {step} for a range of {high - low})", node.span)
    elif (high - low) // step > 1000:
        c.error(f"lhist() too many buckets, must be <= 1000 (would need {(high - low) // step})", node.span)
