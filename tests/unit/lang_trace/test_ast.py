from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace.parser import parse, parse_expression
from cygnet.source import Source


def tree(text: str) -> ast.Expr:
    return parse_expression(Source("x", text))


def test_same_looks_at_meaning_only() -> None:
    assert ast.same(tree("1000 + $x"), tree("(1e3+$x)"))
    assert ast.same(tree("a->b"), tree("a.b"))
    assert not ast.same(tree("1 + $x"), tree("1 - $x"))
    assert not ast.same(tree("1"), tree("true"))
    assert not ast.same(tree("f(1)"), tree("f(1, 2)"))
    assert not ast.same(tree("f(1)"), tree("g(1)"))


def test_walk_goes_from_left_to_right() -> None:
    names = [node.name for node in ast.walk(tree("a + f(b, c[d]) * e")) if isinstance(node, ast.Ident)]
    assert names == ["a", "b", "c", "d", "e"]


def test_handlers() -> None:
    class Visitor:
        def visit_Var(self, node: ast.Var) -> str:
            return node.name

        def visit_IntLit(self, node: ast.IntLit) -> str:
            return str(node.value)

    table = ast.handlers(Visitor(), "visit_")
    assert set(table) == {ast.Var, ast.IntLit}
    assert table[ast.Var](tree("$x")) == "$x"


def test_constructors_take_the_fields_in_order() -> None:
    """`fields` is what tools rebuild nodes by."""

    def classes(cls: type[ast.Node]) -> list[type[ast.Node]]:
        return [cls, *(below for sub in cls.__subclasses__() for below in classes(sub))]

    for cls in classes(ast.Node):
        if "__init__" in vars(cls) and cls.__module__ == ast.__name__:  # later passes have nodes of their own
            names = cls.__init__.__code__.co_varnames[: cls.__init__.__code__.co_argcount]
            assert names[:2] == ("self", "span")
            assert names[2 : 2 + len(cls.fields)] == cls.fields, cls


def test_long_chains_of_logic_are_shallow() -> None:
    text = " || ".join(f"pid == {i}" for i in range(1000))
    chain = tree(text)
    depth, node = 0, chain
    while isinstance(node, ast.Binary) and node.op == "||":
        depth, node = depth + 1, node.left
    assert depth <= 10
    numbers = [node.value for node in ast.walk(chain) if isinstance(node, ast.IntLit)]
    assert numbers == list(range(1000))


def test_program_parts() -> None:
    program = parse(Source("p", "let @a = hash(1); macro m() { 1 } fn f() { } BEGIN { } END { }"))
    counts = [len(part) for part in (program.map_decls, program.macros, program.fns, program.probes)]
    assert counts == [1, 1, 1, 2]


def test_spans_of_parts() -> None:
    text = "kprobe:f { $x = args.foo + bar(1); }"
    (probe,) = parse(Source("p", text)).probes
    (assign,) = probe.body.stmts
    assert isinstance(assign, ast.Assign)
    binary = assign.value
    assert isinstance(binary, ast.Binary)
    assert isinstance(binary.left, ast.Field)
    assert isinstance(binary.right, ast.Call)
    spans = [assign.span, binary.span, binary.op_span, binary.left.name_span, binary.right.name_span]
    assert [text[span.start : span.end] for span in spans] == [
        "$x = args.foo + bar(1)", "args.foo + bar(1)", "+", "foo", "bar",
    ]  # fmt: skip
