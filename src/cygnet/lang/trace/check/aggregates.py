"""The checker: count(), sum(), hist() and the other aggregations, and what they take."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.check.base import arity_text, flexible, type_is_int
from cygnet.lang.trace.types import Agg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.check.exprs import ExprChecker

_ARITY = {
    "count": (0, 0), "sum": (1, 1), "min": (1, 1), "max": (1, 1), "avg": (1, 1), "stats": (1, 1), "hist": (1, 2),
    "lhist": (4, 4), "tseries": (3, 4),
}  # fmt: skip


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
    literals = [_literal(c, kind, arg) for arg in node.args[1:] if kind != "tseries" or arg is not node.args[-1]]
    if None in literals:
        return Agg(kind, type.signed)
    numbers = tuple(n for n in literals if n is not None)
    if kind == "hist":
        k = numbers[0] if numbers else 0
        if not 0 <= k <= 5:
            c.error(f"hist: bits {k} must be 0..5", node.span)
            k = 0
        return Agg(kind, type.signed, (k,))
    if kind == "lhist":
        _check_linear(c, node, *numbers)
        return Agg(kind, type.signed, numbers)
    c.error("tseries() is not yet compiled", node.span)
    return Agg(kind, type.signed, numbers)


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
