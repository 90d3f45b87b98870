"""Variables of older scripts, which belonged to the whole probe and not to the block that first assigns them.

Today's rule (one block, one scope) refuses ``if (c) { $s = 1; } else { $s = 2; } print($s)``, which published scripts
are full of. In a script that begins with ``#!``, one that was kept and may be old, such a variable is declared for the
whole body, with a warning; it is zero where the block did not run. Elsewhere it is more likely a mistake, and stays
an error.
"""

from __future__ import annotations

from cygnet.errors import TraceTypeError
from cygnet.lang.trace import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.source import Span


def widen(program: ast.Program, names: set[str]) -> list[TraceTypeError]:
    """Declare those of the undefined `names` that the rule above makes visible; gives a warning for each."""
    if not program.span.source.text.startswith("#!"):
        return []
    warnings: list[TraceTypeError] = []
    for probe in program.probes:
        for name, span in _assigned(probe.body, names).items():
            probe.body.stmts.insert(0, ast.Let(span, ast.Var(span, name), None, None))
            warnings.append(
                TraceTypeError(
                    f"Variable {name} is first assigned in an inner block, and used after it",
                    span,
                    [f"declare it before the block: let {name};"],
                )
            )
    return warnings


def _assigned(body: ast.Block, names: set[str]) -> dict[str, Span]:
    """Which of `names` are assigned, and nowhere declared, in a body; where first."""
    found: dict[str, Span] = {}
    declared: set[str] = set()
    for node in ast.walk(body):
        if isinstance(node, (ast.Let, ast.ForRange, ast.ForMap)):
            declared.add(node.var.name)
        if isinstance(node, ast.Assign) and node.op == "=" and isinstance(node.target, ast.Var):
            name, span = node.target.name, node.target.span
            if name in names and (name not in found or span.start < found[name].start):
                found[name] = span
    return {name: span for name, span in found.items() if name not in declared}
