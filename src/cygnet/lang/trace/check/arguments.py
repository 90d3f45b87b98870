"""The checker: ``args`` as a whole."""

from __future__ import annotations

from cygnet.lang.trace import types as T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.check.exprs import ExprChecker
    from cygnet.lang.trace.types import Type


def all_arguments(c: ExprChecker, node: ast.Ident) -> Type:
    """A record of the probe's arguments."""
    instance = c.instance
    match = instance.match
    if c.depth:
        c.error("args can not be read inside a loop over a map", node.span, ["read it into a variable before"])
        return T.UNKNOWN
    names = instance.argument_names()
    if match.context == "record":
        fields_of_its_own = [name for name in names if not name.startswith("__")] or names
        c.error(f"args can not be used as a whole in '{match.probetype}' probes", node.span,
                [f"its fields can: args.{fields_of_its_own[0]}"] if names else [])  # fmt: skip
        return T.UNKNOWN
    if not names:
        c.error(f"args is not available in {match.probe}", node.span)
        return T.UNKNOWN
    fields: list[Type] = []
    known: list[str] = []
    for name in names:
        arg = instance.argument(name)
        assert arg is not None
        type = instance.argument_type(arg, c.types)
        if type.kind not in ("none", "float", "unknown"):
            fields.append(type)
            known.append(name)
    return T.Type("record", sum(map(T.storage, fields)), fields=tuple(fields), names=tuple(known))
