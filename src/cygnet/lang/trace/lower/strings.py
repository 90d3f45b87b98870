"""The lowerer: comparing strings."""

from __future__ import annotations

from cygnet.lang.trace import types as T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.ir.core import Block, Value
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
        wanted = text + b"\0" * (len(text) != type.size)  # an array of characters may be full, without a NUL
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


def scan(g: Core, size: int, step: Callable[[Value, Block], None]) -> None:
    """``step(index, out)`` for each index below `size`; it may jump to `out`, and falls through to go on."""
    b = g.b
    index = object()
    b.write(index, g.opaque_zero())
    head, test, body, out = (b.new_block() for _ in range(4))
    b.jump(head)
    b.start(head)
    b.may_goto(test, out)
    b.open(test)
    b.br("ult", b.read(index), b.const(size), body, out)
    b.open(body)
    g.memo.append({})
    step(b.read(index), out)
    g.memo.pop()
    b.write(index, b.add(b.read(index), b.const(1)))
    b.jump(head)
    b.seal(head)
    b.open(out)


def compare(g: Core, left: Value, right: Value, size: int, want: str) -> Value:
    """Walk two strings of at most `size` bytes. `want`: ``equal`` gives 1 or 0, ``order`` the difference of
    the first bytes that differ."""
    b = g.b
    result = object()
    b.write(result, b.const(1 if want == "equal" else 0))

    def step(index: Value, out: Block) -> None:
        differ, same, next_ = b.new_block(), b.new_block(), b.new_block()
        x = b.load(b.add(left, index), 1)
        y = b.load(b.add(right, index), 1)
        b.br("ne", x, y, differ, same)
        b.open(differ)
        b.write(result, b.const(0) if want == "equal" else b.binary("sub", x, y))
        b.jump(out)
        b.open(same)
        b.br("eq", x, b.const(0), out, next_)
        b.open(next_)

    scan(g, size, step)
    return b.read(result)


def search(g: Core, pointer: Value, size: int, found: Callable[[Value, Block, Block], None], missing: Value) -> Value:
    """Walk a string; at each index ``found(index, yes, no)`` goes to `yes` when it is the place. It, or `missing`."""
    b = g.b
    result = object()
    b.write(result, missing)

    def step(index: Value, out: Block) -> None:
        hit, check, next_ = b.new_block(), b.new_block(), b.new_block()
        found(index, hit, check)
        b.open(hit)
        b.write(result, index)
        b.jump(out)
        b.open(check)
        b.br("eq", b.load(b.add(pointer, index), 1), b.const(0), out, next_)
        b.open(next_)

    scan(g, size, step)
    return b.read(result)


def find_literal(g: Core, pointer: Value, size: int, needle: bytes) -> Value:
    """Where `needle` first lies in a string, or -1. Byte by byte: the stack is only read aligned."""
    if len(needle) > size:
        return g.const(-1)

    def here(index: Value, yes: Block, no: Block) -> None:
        b = g.b
        address = b.add(pointer, index)
        for at, byte in enumerate(needle):
            next_ = yes if at == len(needle) - 1 else b.new_block()
            b.br("eq", b.load(address, 1, at), b.const(byte), next_, no)
            if next_ is not yes:
                b.open(next_)

    return search(g, pointer, size - len(needle) + 1, here, g.const(-1))


def find_any(g: Core, pointer: Value, size: int, needle: Value, needle_size: int) -> Value:
    """The same for a needle that is only known at run time: at each place, compare until it ends."""

    def here(index: Value, yes: Block, no: Block) -> None:
        b = g.b

        def step(at: Value, out: Block) -> None:
            inside, check, next_ = b.new_block(), b.new_block(), b.new_block()
            wanted = b.load(b.add(needle, at), 1)
            b.br("eq", wanted, b.const(0), yes, check)
            b.open(check)
            position = b.add(index, at)
            b.br("ult", position, b.const(size), inside, no)
            b.open(inside)
            b.br("eq", b.load(b.add(pointer, position), 1), wanted, next_, no)
            b.open(next_)

        scan(g, needle_size, step)
        b.jump(yes)  # the needle fills its whole capacity

    return search(g, pointer, size, here, g.const(-1))
