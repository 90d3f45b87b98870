"""The installed bpftrace's parser is an independent witness: its tree of an expression must be ours."""

from __future__ import annotations

import random
import shutil
import subprocess

from cygnet.errors import NotSupported
from cygnet.lang.trace import ast
from cygnet.lang.trace.parser import parse
from cygnet.source import Source

BINARY = ["||", "&&", "|", "^", "&", "==", "!=", "<", ">", "<=", ">=", "<<", ">>", "+", "-", "*", "/", "%"]
LEAVES = ["1", "0x20", "1e3", "$v", "@m", "@k[1]", '@k[$v, "s"]', "pid", "nsecs", "$t.1", "$p->f", "$p.f.g", "$q[2]"]
PREFIXES = ["!", "~", "*", "-", "(uint8)", "(struct s *)", "(int64)"]


def expression(rnd: random.Random, depth: int) -> str:
    """An expression as people write it: with few parentheses, so that precedence has to do the work."""
    roll = rnd.random()
    if depth == 0 or roll < 0.15:
        return rnd.choice(LEAVES)
    if roll < 0.65:
        return f"{expression(rnd, depth - 1)} {rnd.choice(BINARY)} {expression(rnd, depth - 1)}"
    if roll < 0.78:
        # 0.17 folds a minus before a number, so that one stands before variables only
        return rnd.choice(PREFIXES) + rnd.choice(["$v", "$w", "@m", "pid"])
    if roll < 0.86:
        return f"({expression(rnd, depth - 1)})"
    if roll < 0.93:
        return f"str({expression(rnd, depth - 1)}, {rnd.choice(LEAVES)})"
    return f"{expression(rnd, depth - 1)} ? {expression(rnd, depth - 1)} : {expression(rnd, depth - 1)}"


def shown(node: ast.Node, level: int = 1) -> list[str]:
    """A tree as bpftrace -d writes it, for what it knows."""
    return [" " * level + line for line in _shown(node)]


def _below(*nodes: ast.Node) -> list[str]:
    return [line for node in nodes for line in shown(node)]


def _shown(node: ast.Node) -> list[str]:
    match node:
        case ast.IntLit():
            return [f"int: {node.value}"]
        case ast.StrLit():
            return [f"string: {node.value}"]
        case ast.Var():
            return [f"variable: {node.name}"]
        case ast.Ident():
            return [f"builtin: {node.name}"]
        case ast.MapRef():
            return [f"map: {node.name}"]
        case ast.MapIndex():
            return [f"map: {node.map.name}", *_below(*node.keys)]
        case ast.Binary():
            return [node.op, *_below(node.left, node.right)]
        case ast.Unary():
            return ["dereference" if node.op == "*" else node.op, *_below(node.operand)]
        case ast.Ternary():
            assert node.then is not None
            return ["?:", *_below(node.cond, node.then, node.orelse)]
        case ast.Cast():
            name = f"{node.target.keyword} {node.target.base}".lstrip() + "*" * node.target.pointers
            return [f"({name})", *_below(node.operand)]
        case ast.Field():
            if node.span.source.text[node.operand.span.end] == "-":  # it writes p->f as (*p).f
                return [".", " dereference", *(" " + line for line in _below(node.operand)), f" {node.name}"]
            return [".", *_below(node.operand), f" {node.name}"]
        case ast.TupleIndex():
            return [".", *_below(node.operand), f" {node.index}"]
        case ast.Index():
            return ["[]", *_below(node.operand, node.index)]
        case ast.Call():
            return [f"call: {node.name}", *_below(*node.args)]
    raise AssertionError(node)


def their_statements(program: str) -> list[list[str]]:
    """The lines under each `=` of the first probe."""
    if shutil.which("bpftrace") is None:
        raise NotSupported("comparing with bpftrace", "an installed bpftrace")
    run = subprocess.run(["bpftrace", "-d", "-e", program], capture_output=True, text=True, check=False)
    _, found, rest = run.stdout.partition("AST after: parser\n")
    if not found:
        if "root" in run.stderr:
            raise NotSupported("comparing with bpftrace", "root")
        raise AssertionError(run.stderr[-2000:])
    statements: list[list[str]] = []
    for line in rest.partition("AST after")[0].splitlines():
        text = line.partition(" ::")[0].rstrip()
        if text == "  =":
            statements.append([])
        elif statements and text.startswith("   "):
            statements[-1].append(text[3:])
    return statements


def test_expressions_like_theirs() -> None:
    rnd = random.Random(1)
    texts = [expression(rnd, 4) for _ in range(300)]
    program = "BEGIN {\n" + "".join(f"$x = {text};\n" for text in texts) + "}"
    ours = parse(Source("p", program)).probes[0].body.stmts
    theirs = their_statements(program)
    assert len(theirs) == len(ours) == len(texts)
    for text, stmt, lines in zip(texts, ours, theirs):
        assert isinstance(stmt, ast.Assign)
        assert ["variable: $x", *_shown(stmt.value)] == lines, text
