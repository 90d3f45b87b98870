"""The lowerer: tseries(). A series is a ring of intervals; each CPU keeps its own copy of each.

An entry is (epoch, value, weight): the interval's number since the clock's beginning, what was kept of it, and how
often it was added to, or, where the last value counts, when that was. An entry of another epoch is begun anew.
"""

from __future__ import annotations

from cygnet.lang.trace import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.lower.unit import Layout
    from cygnet.lang.trace.types import Agg

_NOEXIST = 1
_BETTER = {("min", True): "slt", ("min", False): "ult", ("max", True): "sgt", ("max", False): "ugt"}


def add_to_series(g: Lowerer, layout: Layout, target: ast.MapRef | ast.MapIndex, agg: Agg, number: Value) -> None:
    b = g.b
    interval, count, how = agg.args
    now = _now(g)
    epoch = b.binary("udiv", now, g.const(interval))
    place = b.binary("umod", epoch, g.const(count))
    weight = now if how == "last" else g.const(1)

    def use(map: str, key: Value) -> None:
        found = g.b.call("map_lookup_elem", g.b.map(map), key)

        def insert() -> None:
            first = g.new_slot(24, "first")
            _write(g, first, epoch, number, weight)
            result = g.b.call("map_update_elem", g.b.map(map), key, first, g.const(_NOEXIST))
            g.choose("ne", result, g.const(0), again)

        def again() -> None:
            now_there = g.b.call("map_lookup_elem", g.b.map(map), key)
            g.choose(
                "ne", now_there, g.const(0), lambda: _add(g, agg, now_there, epoch, number, weight),
                lambda: g._count_drop(layout),
            )  # fmt: skip

        g.choose("ne", found, g.const(0), lambda: _add(g, agg, found, epoch, number, weight), insert)

    if isinstance(target, ast.MapIndex):
        g.with_key(layout, target.keys, use, place)
        return
    slot = g.new_slot(8, "place")
    b.store(slot, place, 8)
    use(layout.name, slot)


def _now(g: Lowerer) -> Value:
    """The time of an event; a test may say it (Config.clock_map)."""
    told = g.unit.layouts.get(g.unit.config.clock_map)
    if told is None or told.info.keyed or told.info.value.kind != "int":
        return g.b.call("ktime_get_tai_ns")
    place = ast.MapRef(told.info.span, told.info.name)
    place.type = told.info.value
    return g.scalar(place)


def _write(g: Lowerer, entry: Value, epoch: Value, number: Value, weight: Value) -> None:
    g.b.store(entry, epoch, 8)
    g.b.store(entry, number, 8, 8)
    g.b.store(entry, weight, 8, 16)


def _add(g: Lowerer, agg: Agg, entry: Value, epoch: Value, number: Value, weight: Value) -> None:
    """One more value for this CPU's copy of an interval."""
    b = g.b
    same = lambda: _combine(g, agg, entry, number, weight)  # noqa: E731
    g.choose("eq", b.load(entry, 8), epoch, same, lambda: _write(g, entry, epoch, number, weight))


def _combine(g: Lowerer, agg: Agg, entry: Value, number: Value, weight: Value) -> None:
    b, how = g.b, agg.args[2]
    if how == "last":
        b.store(entry, number, 8, 8)
        b.store(entry, weight, 8, 16)
        return
    if how in ("sum", "avg"):
        b.store(entry, b.add(b.load(entry, 8, 8), number), 8, 8)
    else:
        better = _BETTER[how, agg.signed]
        g.choose(better, number, b.load(entry, 8, 8), lambda: b.store(entry, number, 8, 8))
    b.store(entry, b.add(b.load(entry, 8, 16), weight), 8, 16)
