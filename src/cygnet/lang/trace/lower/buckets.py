"""The lowerer: one key of a keyed histogram or of a series is many entries, one a bucket or interval."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.lower.unit import buckets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.ir.core import Block, Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.lower.unit import Layout


def is_divided(layout: Layout) -> bool:
    """Does the map keep several entries for one key (or for none)?"""
    return layout.bucketed or (layout.agg is not None and layout.agg.kind == "tseries")


def delete_all(g: Lowerer, layout: Layout, keys: tuple[ast.Expr, ...]) -> Value:
    """Remove every entry of a key; 1 when there was any."""
    result = object()
    g.b.write(result, g.const(0))

    def remove(map: str, key: Value, next_: Block, out: Block) -> None:
        status = g.b.call("map_delete_elem", g.b.map(map), key)
        yes = g.b.new_block()
        g.b.br("eq", status, g.const(0), yes, next_)
        g.b.open(yes)
        g.b.write(result, g.const(1))
        g.b.jump(next_)

    _each(g, layout, keys, remove)
    return g.b.read(result)


def has_any(g: Lowerer, layout: Layout, keys: tuple[ast.Expr, ...]) -> Value:
    """1 when a key has an entry."""
    result = object()
    g.b.write(result, g.const(0))

    def look(map: str, key: Value, next_: Block, out: Block) -> None:
        found = g.b.call("map_lookup_elem", g.b.map(map), key)
        yes = g.b.new_block()
        g.b.br("ne", found, g.const(0), yes, next_)
        g.b.open(yes)
        g.b.write(result, g.const(1))
        g.b.jump(out)

    _each(g, layout, keys, look)
    return g.b.read(result)


def _each(
    g: Lowerer, layout: Layout, keys: tuple[ast.Expr, ...], body: Callable[[str, Value, Block, Block], None]
) -> None:
    """`body(map, key, go on, leave)` for each entry that the key may have; it ends its blocks."""
    agg = layout.agg
    assert agg is not None
    count = agg.args[1] if agg.kind == "tseries" else buckets(agg)
    if layout.key is None:
        _loop(g, layout.name, g.new_slot(8, "place"), 0, count, body)
        return
    widths = {name: max(8, T.storage(key)) for name, key in layout.stores if key is not None}
    g.with_key(layout, keys, lambda map, key: _loop(g, map, key, widths[map], count, body), g.const(0))


def _loop(
    g: Lowerer, map: str, key: Value, at: int, count: int, body: Callable[[str, Value, Block, Block], None]
) -> None:
    """Count through the last word of a key."""
    b = g.b
    number = object()
    b.write(number, g.opaque_zero())
    head, test, inside, next_, out = (b.new_block() for _ in range(5))
    b.jump(head)
    b.start(head)
    g.memo.append({})
    b.may_goto(test, out)
    b.open(test)
    b.br("ult", b.read(number), g.const(count), inside, out)
    b.open(inside)
    b.store(key, b.read(number), 8, at)
    body(map, key, next_, out)
    b.open(next_)
    b.write(number, b.add(b.read(number), g.const(1)))
    b.jump(head)
    g.memo.pop()
    b.seal(head)
    b.open(out)
