"""JSON output: one object a line, with the separators that consumers of the peer's output know.

Pairs of an object are joined by ``", "`` and ``": "``, items of a list by ``","``. A number that a double
cannot hold exactly is a string; enums and pointers are numbers; buffers are lists of numbers.
"""

from __future__ import annotations

from cygnet.session import hist
from cygnet.session.maps import Stats, divide, top_of
from cygnet.session.text import key_texter, texter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from cygnet.session.hist import Row
    from cygnet.session.maps import Entry, Reader
    from cygnet.session.text import Context
    from cygnet.session.tseries import Points
    from cygnet.spec.protocols import World
    from cygnet.spec.values import VType

    Show = Callable[[Any], str]

_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", 10: "\\n", 13: "\\r", 9: "\\t"}
_ESCAPES.update({code: f"\\u{code:04x}" for code in range(32) if code not in _ESCAPES})
# Bytes that are no UTF-8 came in as lone surrogates; JSON text must be UTF-8, so they are named.
_ESCAPES.update({0xDC00 + byte: f"\\u00{byte:02x}" for byte in range(128, 256)})


def string(text: str) -> str:
    """A JSON string. Bytes that were not UTF-8 become ``\\u00xx``."""
    return '"' + text.translate(_ESCAPES) + '"'


def number(value: int) -> str:
    """A number, or a string when a double cannot hold it exactly."""
    return str(value) if int(float(value)) == value else f'"{value}"'


def members(pairs: Iterable[tuple[str, str]]) -> str:
    """An object of (name, JSON) pairs."""
    return "{" + ", ".join([f"{string(name)}: {value}" for name, value in pairs]) + "}"


def items(values: Iterable[str]) -> str:
    return "[" + ",".join(values) + "]"


def message(kind: str, data: str) -> str:
    """A whole line, with `data` already JSON."""
    return f'{{"type": "{kind}", "data": {data}}}\n'


def flat(kind: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A line without a data member."""
    return members([("type", string(kind)), *pairs]) + "\n"


# ── values ──


def shower(vtype: VType, context: Context) -> Show:
    """A function from a decoded value to JSON."""
    make = _MAKERS.get(vtype.kind)
    if make is not None:
        return make(vtype, context)
    show = texter(vtype, context)
    return lambda value: string(show(value))


def _number(vtype: VType, context: Context) -> Show:
    return number


def _bool(vtype: VType, context: Context) -> Show:
    return lambda value: "true" if value else "false"


def _none(vtype: VType, context: Context) -> Show:
    return lambda value: "null"


def _bytes(vtype: VType, context: Context) -> Show:
    return lambda value: items(map(str, value))


def _tuple(vtype: VType, context: Context) -> Show:
    parts = [shower(field.type, context) for field in vtype.fields]
    return lambda value: items([part(item) for part, item in zip(parts, value)])


def _record(vtype: VType, context: Context) -> Show:
    parts = [(field.name, shower(field.type, context)) for field in vtype.fields]
    return lambda value: members([(name, part(value[name])) for name, part in parts])


def _array(vtype: VType, context: Context) -> Show:
    if vtype.elem is None:
        raise ValueError("an array type without elements")
    part = shower(vtype.elem, context)
    return lambda value: items(map(part, value))


_MAKERS: dict[str, Callable[[VType, Context], Show]] = {
    "int": _number, "enum": _number, "ptr": _number, "gfp": _number, "bool": _bool, "none": _none,
    "buf": _bytes, "tuple": _tuple, "record": _record, "struct": _record, "array": _array,
}  # fmt: skip


# ── maps ──


class MapJson:
    """Prints one view as a line of type map, stats or hist."""

    __slots__ = ("_context", "_key", "_value", "reader")

    def __init__(self, reader: Reader, context: Context) -> None:
        view = reader.view
        self.reader = reader
        self._context = context
        self._key: Callable[[Any], str] | None = key_texter(view.key, context) if view.key is not None else None
        self._value: Show = number
        if not view.agg and view.value is not None:
            self._value = shower(view.value, context)

    def text(self, top: int = 0, div: int = 0, at_exit: bool = False) -> str:
        """The line; empty for a keyed map without keys, and at exit for a scalar that was never written."""
        view, reader = self.reader.view, self.reader
        if self._key is None:
            value, written = reader.read_scalar()
            if at_exit and not written:
                return ""
            return message(self._type(), members([(view.name, self._show(value, div))]))
        entries = reader.read() if reader.series else top_of(reader.read(), top)
        if not entries:
            return ""
        pairs = members([self._entry(entry, div) for entry in entries])
        return message(self._type(), members([(view.name, pairs)]))

    def _type(self) -> str:
        if self.reader.histogram:
            return "hist"
        if self.reader.series:
            return "tseries"
        return "stats" if self.reader.view.agg in ("avg", "stats") else "map"

    def _entry(self, entry: Entry, div: int) -> tuple[str, str]:
        """The key as text without any blank, even in strings, and the value."""
        assert self._key is not None
        return self._key(entry[0]).replace(" ", ""), self._show(entry[1], div)

    def _show(self, value: Any, div: int) -> str:
        view = self.reader.view
        if self.reader.series:
            return tseries(value, self._context.world)
        if self.reader.histogram:
            return histogram(hist.rows(value, view.agg, view.args, div))
        if type(value) is Stats:
            average = divide(value.average, div) if div > 1 else value.average
            pairs = [("count", value.times), ("average", average), ("total", value.total)]
            return members([(name, number(part)) for name, part in pairs])
        if div > 1 and (view.agg or (view.value is not None and view.value.kind == "int")):
            value = divide(value, div)
        return self._value(value)


def histogram(table: Sequence[Row]) -> str:
    """A list of closed intervals; an open end is left out."""
    out = []
    for low, high, count in table:
        pairs = [("min", number(low))] if low is not None else []
        if high is not None:
            pairs.append(("max", number(high - 1)))
        out.append(members([*pairs, ("count", number(count))]))
    return items(out)


def tseries(series: Points, world: World) -> str:
    """Rows without blanks; intervals without data are left out."""
    from cygnet.session.tseries import utc

    return items(
        f'{{"interval_start":"{utc(world.wall_ns("tai", start))}","value":{number(value)}}}'
        for start, value in series
        if value is not None
    )
