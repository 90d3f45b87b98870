"""check() finds each kind of broken function, and nothing in good ones."""

from __future__ import annotations

import pytest

from cygnet.ir.check import CORE, check
from cygnet.ir.text import parse_function

GOOD = """
b0:
  v0:ctx = ctx
  v1 = load v0 size=8 signed=False offset=0 reloc=None
  v2:stack = slot size=8 align=8 name=''
  br eq v1, 0, b1, b2
b1:
  jump b3(v1)
b2:
  jump b3(5)
b3(v3):
  ret v3
"""

BROKEN = {
    "has no terminator": GOOD.replace("  ret v3\n", ""),
    "jump in the middle": None,
    "gives 0 arguments to 1 parameters": GOOD.replace("jump b3(5)", "jump b3"),
    "which has parameters": GOOD.replace("br eq v1, 0, b1, b2", "br eq v1, 0, b3, b2"),
    "goes to the entry block": GOOD.replace("jump b3(5)", "jump b0"),
    "add has 1 arguments instead of 2": GOOD.replace("b1:\n", "b1:\n  v9 = add v1\n"),
    "has more than 5 arguments": GOOD.replace("b1:\n", "b1:\n  v9 = call 1, 2, 3, 4, 5, 6 ='x'\n"),
    "store through v1, which is i64": GOOD.replace("b1:\n", "b1:\n  store v1, 5 size=8 offset=0\n"),
    "mul on v2, which is stack": GOOD.replace("b1:\n", "b1:\n  v9 = mul v2, v1\n"),
    "load of 3 bytes": GOOD.replace("load v0 size=8", "load v0 size=3"),
    "gives stack to v3, which is i64": GOOD.replace("jump b3(v1)", "jump b3(v2)"),
    "returns ctx": GOOD.replace("ret v3", "ret v0"),
    "b3: ret uses v3, which does not come before it": GOOD.replace("b1:\n", "b1:\n  v9 = neg v1\n").replace(
        "t v3", "t v9"
    ),
    "load uses v2, which does not come before it": GOOD.replace("load v0", "load v2"),
}


def parse(body: str, kind: str = "main()"):  # type: ignore[no-untyped-def]
    return parse_function(f"func main {kind} {{{body}}}\n")


def test_good() -> None:
    assert check(parse(GOOD)) == []
    assert check(parse(GOOD), CORE) == []


@pytest.mark.parametrize("message", BROKEN)
def test_broken(message: str) -> None:
    body = BROKEN[message]
    function = parse(GOOD if body is None else body)
    if body is None:
        block = function.blocks[1]
        block.body.append(block.term)
    found = check(function)
    assert any(message in sentence for sentence in found), found


def test_core_form_has_no_memory_operations() -> None:
    function = parse(GOOD.replace("b1:\n", "b1:\n  memzero v2 size=8 offset=0\n"))
    assert check(function) == []
    assert check(function, CORE) == ["memzero is not a core operation"]


def test_checking_leaves_predecessors_alone() -> None:
    function = parse(GOOD)
    before = [list(block.preds) for block in function.blocks]
    check(function)
    assert [block.preds for block in function.blocks] == before


@pytest.mark.parametrize("pointer", ["kernel", "map_value?", "mem"])
def test_pointers_of_one_kind_may_merge(pointer: str) -> None:
    body = GOOD.replace("(v3)", f"(v3:{pointer})").replace("ret v3", "ret 0").replace("b3(5)", "b3(v4)")
    body = body.replace("v2:stack = slot size=8 align=8 name=''", f"v4:{pointer} = call 1 ='x'").replace("(v1)", "(v4)")
    assert check(parse(body)) == []
