"""Short ways to write functions in tests."""

from __future__ import annotations

from collections.abc import Callable

from cygnet.ir.build import Builder
from cygnet.ir.core import Function, Module, Value


def main(body: Callable[[Builder], Value | None], *others: Function, preemptible: bool = False) -> Module:
    """A module whose main function is written by `body`, which gives the value to return (None: 0)."""
    function = Function("main", preemptible=preemptible)
    builder = Builder(function)
    result = body(builder)
    if not builder.ended:
        builder.ret(builder.const(0) if result is None else result)
    return Module([function, *others])


def function(name: str, kind: str, params: tuple[str, ...], body: Callable[[Builder], Value | None]) -> Function:
    made = Function(name, kind, params)
    builder = Builder(made)
    result = body(builder)
    if not builder.ended:
        builder.ret(builder.const(0) if result is None else result)
    return made


def counted(b: Builder, bound: Value, body: Callable[[Value], None]) -> None:
    """for i in 0 .. bound (unsigned, exclusive): body(i)"""
    counter = object()
    head, inside, out = b.new_block("head"), b.new_block("body"), b.new_block("out")
    b.write(counter, b.const(0))
    b.jump(head)
    b.start(head)
    b.br("ult", b.read(counter), bound, inside, out)
    b.open(inside)
    body(b.read(counter))
    b.write(counter, b.add(b.read(counter), b.const(1)))
    b.jump(head)
    b.seal(head)
    b.open(out)


def when(b: Builder, cond: str, x: Value, y: Value, body: Callable[[], None]) -> None:
    then, after = b.new_block("then"), b.new_block("after")
    b.br(cond, x, y, then, after)
    b.open(then)
    body()
    if not b.ended:
        b.jump(after)
    b.open(after)
