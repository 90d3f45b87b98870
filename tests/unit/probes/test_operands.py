"""Operands of static probes, as compilers write them into notes."""

from __future__ import annotations

import pytest

from cygnet.facts.registers import offsets
from cygnet.probes.operands import Operand, parse

AT = offsets("x86_64")


def symbol(name: str) -> int | None:
    return {"counter": 0x2000, "table": -16}.get(name)


@pytest.mark.parametrize(
    ("text", "operand"),
    [
        ("-4@%eax", Operand("register", 4, True, AT["ax"])),
        ("8@%rdi", Operand("register", 8, False, AT["di"])),
        ("1@%ah", Operand("register", 1, False, AT["ax"], shift=8)),
        ("-2@%r10w", Operand("register", 2, True, AT["r10"])),
        ("1@%sil", Operand("register", 1, False, AT["si"])),
        ("-4@$-7", Operand("const", 4, True, -7)),
        ("4@$-7", Operand("const", 4, False, 0xFFFFFFF9)),
        ("-1@$255", Operand("const", 1, True, -1)),
        ("8@$0x10", Operand("const", 8, False, 16)),
        ("8@(%rsp)", Operand("memory", 8, False, 0, AT["sp"])),
        ("-4@-20(%rbp)", Operand("memory", 4, True, -20, AT["bp"])),
        ("4@8(%rax,%rbx,4)", Operand("memory", 4, False, 8, AT["ax"], AT["bx"], 4)),
        ("8@(%rax,%rbx)", Operand("memory", 8, False, 0, AT["ax"], AT["bx"], 1)),
        ("8@0(,%rcx,8)", Operand("memory", 8, False, 0, -1, AT["cx"], 8)),
        ("8@counter(%rip)", Operand("memory", 8, False, 0x2000, AT["ip"])),
        ("4@table+4(%rip)", Operand("memory", 4, False, -12, AT["ip"])),
        ("2@counter", Operand("memory", 2, False, 0x2000, AT["ip"])),
        ("%rdx", Operand("register", 8, False, AT["dx"])),
    ],
)
def test_each_form(text: str, operand: Operand) -> None:
    (found,) = parse(text, symbol)
    assert found._replace(text="") == operand


@pytest.mark.parametrize(
    "text", ["8@%xmm0", "8f@%xmm0", "3@%eax", "8@", "x@%rax", "8@unknown(%rip)", "8@(%rax", "8@$x", "8@(%rax,%rbx,4,5)"]
)
def test_what_cannot_be_read(text: str) -> None:
    (found,) = parse(text, symbol)
    assert (found.kind == "unknown" and found.text == text.partition("@")[2]) or found.text == text


def test_several() -> None:
    assert [each.kind for each in parse("-4@%edi 8@$1  8@(%rax)")] == ["register", "const", "memory"]
    assert parse("") == ()
