"""Variables of older scripts, which belonged to the whole probe and not to the block that first assigns them.

Today's rule (one block, one scope) refuses ``if (c) { $s = 1; } else { $s = 2; } print($s)``, which published scripts
are full of. What they mean is clear, so such a variable is declared before the ``if``, with a warning. In a script
that begins with ``#!`` (one that was kept, and may be old) the same holds for a variable assigned in any inner block,
which is zero where that block did not run; elsewhere that is more likely a mistake, and stays an error.
"""

from __future__ import annotations

from cygnet.errors import TraceTypeError
from cygnet.lang.trace import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.source import Span


def widen(program: ast.Program, names: set[str]) -> list[TraceTypeError]:
    """Declare those of the undefined `names` that the rule above makes visible; gives a warning for each."""
    warnings: list[TraceTypeError] = []
    old = program.span.source.text.startswith("#!")
    for probe in program.probes:
        if old:
            _declare(probe.body, 0, _assigned(probe.body, names), warnings)
        else:
            _widen_block(probe.body, set(), names, warnings)
    return warnings


def _widen_block(block: ast.Block, known: set[str], names: set[str], warnings: list[TraceTypeError]) -> None:
    known = set(known)
    at = 0
    while at < len(block.stmts):
        stmt = block.stmts[at]
        if isinstance(stmt, ast.If):
            arms = [_assigned(arm, names - known) for arm in _arms(stmt)]
            often = {name: span for arm in arms for name, span in arm.items() if sum(name in a for a in arms) > 1}
            at += _declare(block, at, often, warnings)
            known |= often.keys()
        for inner in _blocks(stmt):
            _widen_block(inner, known, names, warnings)
        name = _names(stmt)
        if name:
            known.add(name)
        at += 1


def _declare(block: ast.Block, at: int, found: dict[str, Span], warnings: list[TraceTypeError]) -> int:
    """Put ``let`` before the statement at a place; gives how many."""
    for name, span in found.items():
        block.stmts.insert(at, ast.Let(span, ast.Var(span, name), None, None))
        hint = f"declare it before the block: let {name};"
        warnings.append(TraceTypeError(f"Variable {name} is first assigned in an inner block, and used after it", span,
                                       [hint]))  # fmt: skip
    return len(found)


def _assigned(node: ast.Node, names: set[str]) -> dict[str, Span]:
    """Which of `names` are assigned, and not declared, below a node; where first."""
    found: dict[str, Span] = {}
    declared: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, (ast.Let, ast.ForRange, ast.ForMap)):
            declared.add(inner.var.name)
        if isinstance(inner, ast.Assign) and inner.op == "=" and isinstance(inner.target, ast.Var):
            name = inner.target.name
            if name in names and (name not in found or inner.span.start < found[name].start):
                found[name] = inner.target.span
    return {name: span for name, span in found.items() if name not in declared}


def _names(stmt: ast.Stmt) -> str:
    """The variable that a statement declares in its block."""
    if isinstance(stmt, ast.Let):
        return stmt.var.name
    if isinstance(stmt, ast.Assign) and isinstance(stmt.target, ast.Var):
        return stmt.target.name
    return ""


def _arms(stmt: ast.If) -> Iterator[ast.Block]:
    part: ast.Block | ast.If | None = stmt
    while isinstance(part, ast.If):
        yield part.then
        part = part.orelse
    if part is not None:
        yield part


def _blocks(stmt: ast.Stmt) -> list[ast.Block]:
    if isinstance(stmt, ast.If):
        return list(_arms(stmt))
    return [child for child in (stmt, *ast.children(stmt)) if isinstance(child, ast.Block)]
