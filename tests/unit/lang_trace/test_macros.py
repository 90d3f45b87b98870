from __future__ import annotations

import pytest

from cygnet.errors import SourceErrors, TraceTypeError
from cygnet.lang.trace.macros import expand
from cygnet.lang.trace.parser import parse
from cygnet.lang.trace.printer import to_text
from cygnet.source import Source


def expanded(text: str) -> str:
    """The first probe's body, on one line."""
    program = expand(parse(Source("m", text)))
    assert not program.macros
    return " ".join(to_text(program.probes[0].body)[1:-1].split())


def errors(text: str) -> list[str]:
    with pytest.raises(SourceErrors) as caught:
        expand(parse(Source("m", text)))
    assert all(isinstance(error, TraceTypeError) for error in caught.value.errors)
    return [error.message for error in caught.value.errors]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("macro two() { 2 } BEGIN { print(two); print(two()); }", "print(2); print(2);"),
        ("macro twice(e) { e * 2 } BEGIN { $x = twice($x + 1); }", "$x = ($x + 1) * 2;"),
        ("macro inc($p) { $p += 1; $p } BEGIN { $a = inc($b); }", "$a = { $b += 1; $b };"),
        ("macro inc($p) { $p += 1; $p } BEGIN { inc($b); }", "{ $b += 1; $b; }"),
        ("macro put(@m, k) { @m[k] = 1; } BEGIN { put(@a, pid); }", "{ @a[pid] = 1; }"),
        ("macro each(@m) { for ($kv : @m) { print($kv); } } BEGIN { each(@a); }",
         "{ for ($__each1_kv : @a) { print($__each1_kv); } }"),
        ("BEGIN { print(f(1)); } macro f(x) { g(x) + 1 } macro g(x) { x * 3 }", "print(1 * 3 + 1);"),
        ("macro f(x) { x + 1 } BEGIN { print(f(f(f(1)))); }", "print(1 + 1 + 1 + 1);"),
        ("macro f(x) { 1 } macro f($x) { 2 } macro f(@x) { 3 } macro f(x, y) { 4 }"
         " BEGIN { print((f(0), f($a), f(@a), f(0, 0))); }", "print((1, 2, 3, 4));"),
        ("macro f(x) { x.g[0] } BEGIN { print(f($a)); }", "print($a.g[0]);"),
        ("macro as(T, e) { (T)e } BEGIN { $x = as(typeof(struct s *), 1); }", "$x = (typeof(typeof(struct s *)))1;"),
        ("macro size(T) { sizeof(T) } BEGIN { $x = size($y); }", "$x = sizeof($y);"),
        ("macro len(a, b) { a } BEGIN { len(@m); }", "len(@m);"),
        ("macro f(x) { if (x) { 1 } else { 2 } } BEGIN { $y = f(pid); }", "$y = if (pid) { 1 } else { 2 };"),
        ("macro f() { while (1) { break; } } BEGIN { f(); }", "{ while (1) { break; } }"),
    ],
)  # fmt: skip
def test_expansion(text: str, result: str) -> None:
    assert expanded(text) == result


def test_hygiene() -> None:
    """The macro's $t is not the caller's, even when the caller took the very name that it would be given."""
    text = "macro swap($a, $b) { let $t = $a; $a = $b; $b = $t; } BEGIN { $t = 1; $__swap1_t = 2; swap($t, $x); }"
    assert expanded(text).endswith("{ let $__swap1_t_ = $t; $t = $x; $x = $__swap1_t_; }")


def test_an_argument_is_not_captured() -> None:
    """`y` in the argument is the caller's name, not the parameter of the macro it goes into."""
    text = "macro outer(y) { inner(y + 1) } macro inner(x) { $y = x; $y } BEGIN { $y = 1; print(outer($y)); }"
    assert expanded(text) == "$y = 1; print({ $__inner2_y = $y + 1; $__inner2_y });"
    assert expanded("macro f(a, b) { a + b } BEGIN { print(f(b, a)); }") == "print(b + a);"


def test_spans() -> None:
    """What was copied points into the definition, an argument into the call."""
    text = "macro f(x) { x + 1 } BEGIN { print(f($y)); }"
    (probe,) = expand(parse(Source("m", text))).probes
    value = probe.body.stmts[0].expr.args[0]  # type: ignore[attr-defined]
    assert str(value.left.span) == "m:1:38-40"
    assert str(value.right.span) == "m:1:18-19"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("macro f(x) { f(x) } BEGIN { f(1); }", ["macro `f` calls itself"]),
        ("macro f(x) { g(x) } macro g(x) { f(x) } BEGIN { f(1); }", ["macro `f` calls itself"]),
        ("macro f(x) { x } BEGIN { f(); f(1, 2); }", ["macro `f` takes 1 arguments, not 0",
                                                      "macro `f` takes 1 arguments, not 2"]),
        ("macro f($x) { $x } BEGIN { f(1); f(@a); }", ["parameter `$x` of macro `f` takes a variable"] * 2),
        ("macro f(@x) { @x } BEGIN { f(1); f($a); f(@a[1]); }", ["parameter `@x` of macro `f` takes a map"] * 3),
        ("macro f() { @a } BEGIN { f(); }", ["macro `f` uses @a, which was not passed to it"]),
        ("macro f(x) { 1 } macro f(y) { 2 } BEGIN { }", ["a second macro `f` with the same parameters"]),
        ("macro f(x, x) { 1 } BEGIN { }", ["a second parameter `x`"]),
        ("macro f(pid) { 1 } BEGIN { }", ["`pid` is the name of a builtin or a type"]),
        ("macro f(uint8) { 1 } BEGIN { }", ["`uint8` is the name of a builtin or a type"]),
        ("macro f($x) { let $x = 1; } BEGIN { }", ["$x is a parameter of macro `f`"]),
        ("macro f() { return; } BEGIN { }", ["`return` in macro `f`"]),
        ("macro f() { break; } BEGIN { }", ["`break` in macro `f`"]),
        ("macro f() { while (1) { return } } BEGIN { }", ["`return` in macro `f`"]),
        ("macro f() { exit(); } BEGIN { }", ["`exit` in macro `f`"]),
    ],
)  # fmt: skip
def test_rules(text: str, messages: list[str]) -> None:
    assert errors(text) == messages


def test_growth_is_limited() -> None:
    doubling = "".join(f"macro m{i}(x) {{ m{i + 1}(x) + m{i + 1}(x) }}" for i in range(40))
    assert "expand to more than" in errors(doubling + "macro m40(x) { x } BEGIN { print(m0(1)); }")[0]
    chain = "".join(f"macro m{i}(x) {{ m{i + 1}(x) + 1 }}" for i in range(900))
    assert "deep" in errors(chain + "macro m900(x) { x } BEGIN { print(m0(1)); }")[0]


def test_long_chains() -> None:
    assert expanded("macro f(x) { x } BEGIN { $x = " + "1 + " * 3000 + "f(2); }").endswith("1 + 2;")
    assert expanded("macro f(x) { " + "x + " * 3000 + "x } BEGIN { $x = f(2); }").endswith("2 + 2;")


@pytest.mark.parametrize(
    ("head", "body", "result"),
    [
        ("#define A 5", "print(A);", "print(5);"),
        ("#define A 1 + 2", "print(A * 3);", "print((1 + 2) * 3);"),
        ("#define A B\n#define B 7", "print(A);", "print(7);"),
        ("#define A B\n#define B A", "print(A);", "print(A);"),
        ("#define A A", "print(A);", "print(A);"),
        ("#define A 1\n#define A 2", "print(A);", "print(2);"),
        ("#define A 1\n#undef A", "print(A);", "print(A);"),
        ("#define A", "print(A);", "print(A);"),
        ("#define A(x) x", "print(A);", "print(A);"),
        ("#define A __attribute__((b)) int", "print(A);", "print(A);"),
        ("#define A 1 // one\n#define B /* two */ 2", "print(A + B);", "print(1 + 2);"),
        ("#define A 1 + \\\n 2", "print(A);", "print(1 + 2);"),
        ('#define F "%d\\n"', "printf(F, 1);", 'printf("%d\\n", 1);'),
        ("#define A 3", "$x = $y.A; @A = A; unroll (A) { }", "$x = $y.A; @A = 3; unroll (3) { }"),
    ],
)
def test_constants(head: str, body: str, result: str) -> None:
    assert expanded(f"{head}\nBEGIN {{ {body} }}") == result


def test_a_constant_in_a_macro() -> None:
    assert expanded("#define N 4\nmacro f(x) { x * N } BEGIN { print(f(N)); }") == "print(4 * 4);"


def test_library_macros_are_replaced_by_signature() -> None:
    library = parse(Source("lib", "macro f(x) { 1 } macro f(x, y) { 2 } macro g() { f(0) }")).macros
    program = parse(Source("m", "macro f(x) { 3 } BEGIN { print((f(0), f(0, 0))); }"))
    (probe,) = expand(program, library).probes
    assert "print((3, 2));" in to_text(probe)
