"""What a user reads who made a mistake: place, words and hint; and that one mistake hides no other."""

from __future__ import annotations

import pytest

from cygnet.errors import SourceErrors, TraceSyntaxError
from cygnet.lang.trace.diagnostics import render
from cygnet.lang.trace.parser import MAX_CHARACTERS, parse, parse_expression
from cygnet.source import Source, Span


def errors(text: str) -> list[str]:
    with pytest.raises(SourceErrors) as caught:
        parse(Source("stdin", text))
    assert all(isinstance(error, TraceSyntaxError) for error in caught.value.errors)
    return [f"{str(error.span)[6:]} {error.message}" for error in caught.value.errors]


def hints(text: str) -> str:
    with pytest.raises(SourceErrors) as caught:
        parse(Source("stdin", text))
    return " ".join(hint for error in caught.value.errors for hint in error.hints)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BEGIN { $x = 1 + ; }", ["1:18-19 unexpected `;`, expected an expression"]),
        ("BEGIN { $x = 1 2; }", ["1:16-17 unexpected `2`, expected `;` or `}`"]),
        ("BEGIN { f(1; }", ["1:12-13 unexpected `;`, expected `,` or `)`"]),
        ("BEGIN { @a[1; }", ["1:13-14 unexpected `;`, expected `,` or `]`"]),
        ("BEGIN { $a[1; }", ["1:13-14 unexpected `;`, expected `]`"]),
        ("BEGIN { 1 = 2; }", ["1:9-10 `=` needs a variable, a map or a map element"]),
        ("BEGIN { f()++; }", ["1:9-12 `++` needs a variable, a map or a map element"]),
        ("BEGIN { $x = $0; }", ["1:14-16 `$0` is not a parameter"]),
        ("BEGIN { $x = 08; }", ["1:14-16 `08` is not a number: a leading 0 means octal"]),
        ("BEGIN { $x = if (1) { 2 }; }", ["1:14-16 an `if` without `else` has no value"]),
        ("BEGIN { printf(\"a); }", ["1:16-22 unterminated string"]),
        ("BEGIN { /* a", ["1:9-11 unterminated comment"]),
        ("BEGIN { f(); ", ["1:12-13 unexpected end of the text, expected `}`"]),
        ("BEGIN { if (1) { }", ["1:18-19 unexpected end of the text, expected `}`"]),
        ("BEGIN", ["1:5-6 unexpected end of the text, expected `{`"]),
        ("BEGIN { } }", ["1:11-12 unexpected `}`, expected a probe"]),
        ("{ }", ["1:1-2 unexpected `{`, expected a probe"]),
        ("kprobe f { }", ["1:8-9 unexpected `f`, expected `,`, `{` or `/`"]),
        ("BEGIN /1 { }", ["1:10-11 unexpected `{`, expected `/` and the probe's block"]),
        ("BEGIN / / { }", ["1:9-10 unexpected end of the predicate, expected an expression"]),
        ("BEGIN /a = 1/ { }", ["1:10-11 unexpected `=`, expected `/` and the probe's block"]),
        ("let $x = 1; BEGIN { }", ["1:5-7 unexpected `$x`, expected a map"]),
        ("let @x = hash(1) BEGIN { }", ["1:16-17 expected `;`"]),
        ("fn f($a) { }", ["1:8-9 unexpected `)`, expected `:` and the parameter's type"]),
        ("macro m { }", ["1:9-10 unexpected `{`, expected `(`"]),
        ("config = { a = ; } BEGIN { }", ["1:16-17 unexpected `;`, expected a number, a word or a string"]),
        ("struct x { int a; BEGIN { }", ["1:10-11 this `{` is never closed"]),
        ("#define 1 2\nBEGIN { }", ["1:1-12 expected a name after `#define`"]),
        ("BEGIN { } struct x { int a; };", ["1:11-31 C text after the head of the script"]),
        ("BEGIN { } import \"x\";", ["1:11-21 `import` after the head of the script"]),
        ("config = { } config = { } BEGIN { }", ["1:14-26 a second `config` block"]),
        ("BEGIN { a\0b }", ["1:10-11 the script holds a NUL character: is it a binary file?"]),
        ("BEGIN { \x07 }", ["1:9-10 unexpected character U+0007"]),
        ("kprobe:f\x07 { }", ["1:9-10 unexpected character U+0007"]),
        ("BEGIN { (a = 1, 2); }", ["1:17-18 unexpected `2`, expected the name of a field"]),
        ("BEGIN { break 1; }", ["1:15-16 unexpected `1`, expected `;` or `}`"]),
        ("BEGIN { for ($i : 1) { } }", ["1:20-21 unexpected `)`, expected `..` and the end of the range"]),
        ("BEGIN { $x = $y.; }", ["1:17-18 unexpected `;`, expected the name of a field or the number of an element"]),
        ("BEGIN { sizeof 1; }", ["1:16-17 unexpected `1`, expected `(`"]),
        ("BEGIN { let @a = 1; }", ["1:13-15 unexpected `@a`, expected a variable"]),
        ("BEGIN { $x = (struct) 1; }", ["1:15-21 unexpected `struct`, expected an expression"]),
        ("BEGIN { else { } }", ["1:9-13 unexpected `else`, expected a statement"]),
    ],
)  # fmt: skip
def test_one_error(text: str, expected: list[str]) -> None:
    assert errors(text) == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("BEGIN { $a = ; $b = ); f(,); }", 3),
        ("BEGIN { if (a == ) { $x = ; } $y = ; }", 2),
        ("BEGIN { while (1) { $x = ; } $y = ; }", 2),
        ("BEGIN { $x = ; } END { $y = ; }", 2),
        ("BEGIN /1 { } END { $x = ; }", 2),
        ("BEGIN /+/ { $y = ; } END { $x = ; }", 3),
        ("kprobe f { $x = ; } END { $y = ; }", 3),
        ("fn f($a) { } macro m( { } BEGIN { $x = ; }", 3),
        ("config = { a } import 1; BEGIN { $x = ; }", 3),
        ("BEGIN { for (i = 0; i < 3; i++) { f(; } $x = ; }", 2),
    ],
)
def test_several_errors(text: str, count: int) -> None:
    assert len(errors(text)) == count


def test_not_too_many() -> None:
    assert len(errors("BEGIN {" + "$x = ;" * 1000 + "}")) == 20


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("BEGIN { if ($x = 1) { } }", "`==` compares"),
        ("BEGIN { if $x = 1 { } }", "`==` compares"),
        ("BEGIN { elif (1) { } }", "else if"),
        ("BEGIN { for (i = 0; i < 1; i++) { } }", "for ($i : 0..10)"),
        ("BEGIN { print('a'); }", "double quotation marks"),
        ("BEGIN { print(“a”); }", "plain quotation marks"),
        ("BEGIN { $x\u00a0= 1; }", "no-break space"),
        ("BEGIN { f() g(); }", "divided by `;`"),
        ("BEGIN { $x.y = 1; }", "read only"),
        ("BEGIN { @x = @y = 1; }", "assigned to"),
        ("BEGIN { $x = +1; }", "no unary +"),
        ("BEGIN { $x = 1 = = 2; }", ""),
        ("BEGIN { if (1) { f(); \nkprobe:f { }", "`}` missing"),
        ("BEGIN /a/ /b/ { }", "/a && b/"),
        ("BEGIN { print(\"\\d\"); }", "\\xnn"),
    ],
)  # fmt: skip
def test_hints(text: str, hint: str) -> None:
    assert hint in hints(text)


def test_an_unclosed_block_tells_where_it_begins() -> None:
    assert "line 2, column 10" in hints("BEGIN {\n  if (1) {\n\n")


# ---------------------------------------------------------------------------------------------------------- robustness

DEEP = {
    "parentheses": ("(", "1", ")"),
    "tuples": ("(", "1", ",)"),
    "records": ("(a=", "1", ")"),
    "not": ("!", "1", ""),
    "minus": ("- ", "1", ""),
    "casts": ("(uint8)", "1", ""),
    "calls": ("f(", "1", ")"),
    "maps": ("@[", "1", "]"),
    "blocks": ("{", "1", "}"),
    "ifs": ("if 1 {", "1", "} else {2}"),
    "comptime": ("comptime ", "1", ""),
    "sizeof": ("sizeof(", "1", ")"),
    "typeof": ("sizeof(typeof(", "x", "))"),
    "fields": ("", "$x", ".a"),
    "indices": ("", "$x", "[0]"),
    "ternaries": ("1 ? ", "2", " : 3"),
    "other ternaries": ("", "1", " ? 2 : 3"),
    "all levels": ("1||1&&1|1^1&1==1<1<<1+1*(", "1", ")"),
}


@pytest.mark.parametrize("name", DEEP)
def test_depth_is_limited(name: str) -> None:
    before, middle, after = DEEP[name]
    assert parse_expression(Source("deep", before * 15 + middle + after * 15))
    for depth in (1000, 20_000):
        with pytest.raises(SourceErrors, match="deep"):
            parse_expression(Source("deep", before * depth + middle + after * depth))


@pytest.mark.parametrize("opening", ["(", "{", "[", "f(", "if (", "!", "@[", "sizeof("])
def test_unclosed_depth(opening: str) -> None:
    assert errors("BEGIN { $x = " + opening * 5000)


def test_nested_statements_are_limited() -> None:
    assert parse(Source("s", "BEGIN {" + "if (1) {" * 60 + "}" * 60 + "}"))
    assert errors("BEGIN {" + "if (1) {" * 600 + "}" * 600 + "}")[0].endswith("nested more than 100 levels deep")


def test_a_script_that_is_too_long() -> None:
    assert "the most that is read" in errors(" " * (MAX_CHARACTERS + 1))[0]


def test_error_of_a_lone_expression() -> None:
    source = Source("x", "#define A 1 +\n")
    with pytest.raises(SourceErrors) as caught:
        parse_expression(source, Span(source, 10, 13))
    assert str(caught.value.span) == "x:1:13-14"


def test_rendering_all_of_them() -> None:
    with pytest.raises(SourceErrors) as caught:
        parse(Source("stdin", "BEGIN { $x = ; }\nEND { 'a'; }"))
    assert render(caught.value) == "\n".join(
        [
            "stdin:1:14-15: ERROR: syntax: unexpected `;`, expected an expression",
            "BEGIN { $x = ; }",
            "             ~",
            "stdin:2:7-8: ERROR: syntax: unexpected character `'`",
            "END { 'a'; }",
            "      ~",
            'HINT: a string stands in double quotation marks: "…"',
        ]
    )
