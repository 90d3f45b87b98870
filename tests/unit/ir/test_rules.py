"""Rewrite rules: what each does to a small function, and that none changes the meaning of random ones."""

from __future__ import annotations

import pytest
from tests.ir.randomir import Shape, random_module
from tests.unit.ir.test_text import outcome

from cygnet.ir.check import CORE, check
from cygnet.ir.memory import pieces
from cygnet.ir.rules import legalise, simplify
from cygnet.ir.text import parse_function, print_function

HEAD = "b0:\n  v0:ctx = ctx\n  v1 = load v0 size=4 signed=False offset=0 reloc=None\n"


def after(body: str) -> list[str]:
    """The lines of the simplified function, without head and tail."""
    function = parse_function(f"func main main() {{\n{body}}}\n")
    assert check(function) == []
    simplify(function)
    assert check(function) == []
    return [line.strip() for line in print_function(function).splitlines()[1:-1]]


@pytest.mark.parametrize(
    "value,result",
    [
        ("udiv v1, 8", "shr v1, 3"),
        ("umod v1, 8", "and v1, 7"),
        ("mul v1, 16", "shl v1, 4"),
        ("mul 16, v1", "shl v1, 4"),
        ("add 7, v1", "add v1, 7"),
        ("umod v1, -9223372036854775808", "and v1, 9223372036854775807"),
        ("udiv v1, 7", "udiv v1, 7"),
        ("shl v1, 66", "shl v1, 2"),
        ("sub 3, v1", "sub 3, v1"),
    ],
)
def test_strength_and_order(value: str, result: str) -> None:
    assert f"v2 = {result}" in after(f"{HEAD}  v2 = {value}\n  ret v2\n")


@pytest.mark.parametrize(
    "value,result",
    [
        ("udiv v1, 0", "0"),
        ("umod v1, 0", "v1"),
        ("smod v1, 0", "v1"),
        ("udiv v1, 1", "v1"),
        ("mul v1, 0", "0"),
        ("shr v1, 64", "v1"),
        ("zext v1 =4", "v1"),
        ("zext v1 =8", "v1"),
        ("udiv -1, 2", "9223372036854775807"),
        ("cmp 5, 3 ='ugt'", "1"),
        ("sext 255 =1", "-1"),
        ("neg 5", "-5"),
    ],
)
def test_decided_values(value: str, result: str) -> None:
    assert after(f"{HEAD}  v2 = {value}\n  ret v2\n")[-1] == f"ret {result}"


def test_a_comparison_of_a_comparison() -> None:
    lines = after(f"{HEAD}  v2 = cmp v1, 5 ='ult'\n  v3 = cmp v2, 0 ='eq'\n  ret v3\n")
    assert "v3 = cmp v1, 5 ='uge'" in lines


def test_a_branch_on_a_comparison_compares() -> None:
    tail = "b1:\n  ret 1\nb2:\n  ret 2\n"
    lines = after(f"{HEAD}  v2 = cmp v1, 5 ='ult'\n  br eq v2, 0, b1, b2\n{tail}")
    assert "br uge v1, 5, b1, b2" in lines


def test_a_decided_branch_drops_its_other_side() -> None:
    lines = after(f"{HEAD}  br ugt 5, 3, b1, b2\nb1:\n  ret 1\nb2:\n  ret 2\n")
    assert lines[-1] == "ret 1"
    assert sum(line.endswith(":") for line in lines) == 1


def test_parameters_that_never_vary_go() -> None:
    body = f"""{HEAD}  jump b1(v1, 7, 0)
b1(v2, v3, v4):
  br ult v4, 10, b2, b3
b2:
  v5 = add v4, 1
  jump b1(v2, 7, v5)
b3:
  v6 = add v2, v3
  ret v6
"""
    lines = after(body)
    assert "b1(v2):" in lines
    assert "v4 = add v1, 7" in lines


def test_loop_variables_that_nobody_reads_go() -> None:
    body = f"""{HEAD}  jump b1(0, v1)
b1(v2, v3):
  br ult v2, 10, b2, b3
b2:
  v5 = add v2, 1
  v6 = mul v3, 3
  jump b1(v5, v6)
b3:
  ret 0
"""
    lines = after(body)
    assert "b1(v0):" in lines
    assert not any("mul" in line or "load" in line for line in lines)


def test_and_built_as_a_value_becomes_branches() -> None:
    body = f"""{HEAD}  br ugt v1, 5, b1, b2
b1:
  v2 = cmp v1, 9 ='ult'
  jump b3(v2)
b2:
  jump b3(0)
b3(v3):
  br ne v3, 0, b4, b5
b4:
  ret 1
b5:
  ret 2
"""
    lines = after(body)
    assert not any("(0)" in line for line in lines)


def test_an_endless_loop_of_decided_jumps_ends() -> None:
    body = f"""{HEAD}  jump b1(v1)
b1(v2):
  br ne v2, 0, b2, b3
b2:
  jump b1(1)
b3:
  ret 0
"""
    assert "ret 0" in after(body)


def test_empty_blocks_are_skipped_and_lone_ones_joined() -> None:
    body = f"""{HEAD}  br ult v1, 5, b1, b2
b1:
  jump b3
b2:
  jump b4
b3:
  v2 = mul v1, 3
  jump b5
b5:
  jump b6(v2)
b4:
  jump b6(1)
b6(v3):
  ret v3
"""
    lines = after(body)
    assert [line for line in lines if line.endswith(":")] == ["b0:", "b1:", "b2:", "b3(v3):"]


def test_a_circle_of_empty_blocks_ends() -> None:
    after(f"{HEAD}  br ult v1, 5, b1, b2\nb1:\n  jump b2\nb2:\n  jump b3\nb3:\n  jump b2\n")


@pytest.mark.parametrize("seed", range(60))
def test_rules_keep_the_meaning(seed: int) -> None:
    module = random_module(seed, Shape(10, 2, 5))
    want = outcome(module, seed)
    simplify(module.functions[0])
    assert check(module.functions[0]) == []
    assert outcome(module, seed) == want
    legalise(module.functions[0])
    assert check(module.functions[0], CORE) == []
    assert outcome(module, seed) == want


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 15, 16, 31, 64])
def test_pieces_cover_exactly_and_are_aligned(size: int, at: int) -> None:
    position = 0
    for start, width in pieces(size, at):
        assert start == position and (start + at) % width == 0
        position += width
    assert position == size
