"""Types written as C."""

from __future__ import annotations

import pytest
from tests.unit.btf.samples import sample

from cygnet.btf import kinds as k
from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.btf.render import c_decl, c_definition, c_function, c_name
from cygnet.btf.spelling import find_c_type
from cygnet.errors import BtfError


def declared(make, name: str = "x") -> str:
    b = Builder()
    of = make(b, b.integer(4, True))
    return c_decl(Btf(b.to_bytes()).type(of), name)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda b, i: i, "int x"),
        (lambda b, i: b.ptr(0), "void *x"),
        (lambda b, i: b.ptr(b.ptr(i)), "int **x"),
        (lambda b, i: b.ptr(b.const(i)), "const int *x"),
        (lambda b, i: b.const(b.ptr(i)), "int * const x"),
        (lambda b, i: b.const(b.volatile(i)), "const volatile int x"),
        (lambda b, i: b.array(b.array(i, 3), 2), "int x[2][3]"),
        (lambda b, i: b.array(i, 0), "int x[]"),
        (lambda b, i: b.array(b.ptr(i), 4), "int *x[4]"),
        (lambda b, i: b.ptr(b.array(i, 4)), "int (*x)[4]"),
        (lambda b, i: b.ptr(b.func_proto(i, [("a", i), ("", 0)])), "int (*x)(int a, ...)"),
        (lambda b, i: b.ptr(b.func_proto(b.ptr(0), [("", i)])), "void *(*x)(int)"),
        (lambda b, i: b.array(b.ptr(b.func_proto(0)), 2), "void (*x[2])(void)"),
        (lambda b, i: b.ptr(b.type_tag("user", b.struct("s", 0, []))), "struct s *x"),
        (lambda b, i: b.fwd("u", union=True), "union u x"),
        (lambda b, i: b.enum("e", [("A", 0)]), "enum e x"),
        (lambda b, i: b.struct("", 0, []), "struct {...} x"),
    ],
)
def test_declarations(make, text: str) -> None:
    assert declared(make) == text


def test_a_cast_has_no_name() -> None:
    assert declared(lambda b, i: b.ptr(i), "") == "int *"
    assert declared(lambda b, i: b.array(i, 4), "") == "int[4]"


def test_definitions() -> None:
    btf = Btf(sample().to_bytes())
    text = {name: c_definition(btf.find(name)) for name in ("flags", "level")} | {
        "node": c_definition(btf.find("node", k.STRUCT))
    }
    assert text["flags"] == "struct flags {\n\tu8 a: 3;\n\tu8 b: 5;\n\tint c: 20;\n}"
    assert text["level"] == "enum level {\n\tLOW = -1,\n\tHIGH = 1,\n}"
    assert text["node"] == (
        "struct node {\n\tstruct node *next;\n\tchar name[16];\n\tstruct {\n\t\tunion {\n"
        "\t\t\tunsigned long long int whole;\n\t\t\tint low;\n\t\t};\n\t\tstruct point points[1];\n\t};\n"
        "\tpoint_t grid[1][2];\n}"
    )
    assert c_function(btf.find("print")) == "void print(char *text, ...)"
    for name in ("u8", ".data"):
        with pytest.raises(BtfError):
            c_definition(btf.find(name))
    with pytest.raises(BtfError):
        c_name(btf.find(".data"))


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("struct node", "node"),
        ("node", "node"),
        ("enum colour", "colour"),
        ("u8", "u8"),
        ("const int", "int"),
        ("signed", "int"),
        ("void", "void"),
        ("bool", "_Bool"),
        ("struct colour", None),
        ("unsigned long", None),
        ("", None),
    ],
)
def test_c_spellings(spelling: str, name: str | None) -> None:
    found = find_c_type(Btf(sample().to_bytes()), spelling)
    assert (found and found.name) == name
