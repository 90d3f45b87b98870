"""Tree → text → tree is the identity, for trees that hypothesis makes up."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(Path(__file__).parent))
import trees

from cygnet.lang.trace import ast
from cygnet.lang.trace.parser import parse, parse_expression
from cygnet.lang.trace.printer import to_text
from cygnet.source import Source

quiet = settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))


@quiet
@given(trees.expressions)
def test_expressions(tree: ast.Expr) -> None:
    text = to_text(tree)
    again = parse_expression(Source("made", text))
    assert ast.same(tree, again), f"{text}\n{tree!r}\n{again!r}"


@quiet
@given(trees.programs)
def test_programs(tree: ast.Program) -> None:
    text = to_text(tree)
    again = parse(Source("made", text))
    assert ast.same(tree, again), f"{text}\n{tree!r}\n{again!r}"
    assert to_text(again) == text
