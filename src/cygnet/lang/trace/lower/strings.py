"""The lowerer: comparing strings."""

from __future__ import annotations

from cygnet.lang.trace import types as T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.ir.core import Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.lower.core import Core
    from cygnet.lang.trace.types import Type


def text_type(type: Type) -> Type:
    """The string that an array of characters is."""
    return type if type.kind == "str" else T.string(T.natural_size(type))


def equal_strings(g: Core, left: ast.Expr, right: ast.Expr) -> Value:
    """1 when two strings are equal up to their ends."""
    if isinstance(left.const, bytes):
        left, right = right, left
    if isinstance(right.const, bytes):
        return equal_literal(g, left, right.const)
    a, b = text_type(left.type), text_type(right.type)
    return compare(g, g.place(left, a), g.place(right, b), min(a.size, b.size), "equal")


def equal_literal(g: Core, node: ast.Expr, text: bytes, count: int | None = None) -> Value:
    """Is the string `text`, or, with `count`, are its first `count` bytes those of `text`?"""
    type = text_type(node.type)
    if count is None:
        wanted = text + b"\0"
    else:
        wanted = (text + b"\0")[:count]
    if len(wanted) > type.size:
        return g.const(0)
    place = g.place(node, T.string(min(type.size, max(8, len(wanted) + 1))))
    return equal_bytes(g, place, wanted)


def equal_bytes(g: Core, pointer: Value, wanted: bytes) -> Value:
    """1 when the bytes at `pointer` are `wanted`: compared a word at a time."""
    b = g.b
    differs: Value | None = None
    at = 0
    while at < len(wanted):
        size = 8
        while size > len(wanted) - at:
            size >>= 1
        word = int.from_bytes(wanted[at : at + size], "little")
        part = b.binary("xor", b.load(pointer, size, at), b.const(word))
        differs = part if differs is None else b.binary("or", differs, part)
        at += size
    return b.const(1) if differs is None else b.cmp("eq", differs, b.const(0))


def compare(g: Core, left: Value, right: Value, size: int, want: str) -> Value:
    """Walk two strings of at most `size` bytes. `want`: ``equal`` gives 1 or 0, ``order`` the difference of
    the first bytes that differ."""
    b = g.b
    index, result = object(), object()
    b.write(index, b.const(0))
    b.write(result, b.const(1 if want == "equal" else 0))
    head, test, body, same, next_, out, differ = (b.new_block() for _ in range(7))
    b.jump(head)
    b.start(head)
    b.may_goto(test, out)
    b.open(test)
    b.br("ult", b.read(index), b.const(size), body, out)
    b.open(body)
    x = b.load(b.add(left, b.read(index)), 1)
    y = b.load(b.add(right, b.read(index)), 1)
    b.br("ne", x, y, differ, same)
    b.open(same)
    b.br("eq", x, b.const(0), out, next_)
    b.open(next_)
    b.write(index, b.add(b.read(index), b.const(1)))
    b.jump(head)
    b.seal(head)
    b.open(differ)
    b.write(result, b.const(0) if want == "equal" else b.binary("sub", x, y))
    b.jump(out)
    b.open(out)
    return b.read(result)


def search(
    g: Core, pointer: Value, size: int, found: Callable[[Value], Value], missing: Value
) -> Value:
    """Walk a string; at each byte `found(address)` tells whether it is the place. The index, or `missing`."""
    b = g.b
    index, result = object(), object()
    b.write(index, b.const(0))
    b.write(result, missing)
    head, test, body, check, next_, hit, out = (b.new_block() for _ in range(7))
    b.jump(head)
    b.start(head)
    b.may_goto(test, out)
    b.open(test)
    b.br("ult", b.read(index), b.const(size), body, out)
    b.open(body)
    address = b.add(pointer, b.read(index))
    b.branch(found(address), hit, check)
    b.open(check)
    b.br("eq", b.load(b.add(pointer, b.read(index)), 1), b.const(0), out, next_)
    b.open(next_)
    b.write(index, b.add(b.read(index), b.const(1)))
    b.jump(head)
    b.seal(head)
    b.open(hit)
    b.write(result, b.read(index))
    b.jump(out)
    b.open(out)
    return b.read(result)
