"""Whole maps as text."""

from __future__ import annotations

from cygnet.session.maps import Stats, divide, top_of
from cygnet.session.text import key_texter, texter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.session.maps import Entry, Reader
    from cygnet.session.text import Context


class MapText:
    """Prints one view: ``@m: v``, ``@m[k]: v``, histograms below their heading."""

    __slots__ = ("_context", "_key", "_value", "reader")

    def __init__(self, reader: Reader, context: Context) -> None:
        view = reader.view
        self.reader = reader
        self._context = context
        self._key: Callable[[Any], str] | None = key_texter(view.key, context) if view.key is not None else None
        self._value: Callable[[Any], str] = str
        if not view.agg and view.value is not None:
            self._value = texter(view.value, context)

    def text(self, top: int = 0, div: int = 0, at_exit: bool = False) -> str:
        """The lines of the map. At exit a scalar that was never written is left out; else it shows its zero."""
        reader = self.reader
        if reader.scalar and not at_exit:
            return self._entry((None, reader.read_scalar()[0]), div)
        return "".join([self._entry(entry, div) for entry in self._top(reader.read(), top)])

    def parts(self, entry: Entry) -> tuple[str, str]:
        """(name with key, value) of an entry that is no histogram; of one, only the name means something."""
        name = self.reader.view.name
        if self._key is not None:
            name = f"{name}[{self._key(entry[0])}]"
        return name, "" if self.reader.histogram else self._show(entry[1], 0)

    def _top(self, entries: list[Entry], top: int) -> list[Entry]:
        return entries if self.reader.series else top_of(entries, top)

    def _entry(self, entry: Entry, div: int) -> str:
        key, value = entry
        view = self.reader.view
        name = view.name if self._key is None else f"{view.name}[{self._key(key)}]"
        if self.reader.histogram:
            from cygnet.session import hist

            return f"{name}:\n{hist.text(hist.rows(value, view.agg, view.args, div), view.agg, view.args)}\n"
        if self.reader.series:
            from cygnet.session import tseries

            return f"{name}:\n{tseries.text(value, int(view.args[0]), self._context.world)}\n"
        return f"{name}: {self._show(value, div)}\n"

    def _show(self, value: Any, div: int) -> str:
        if type(value) is Stats:
            return stats_text(value, div)
        if div > 1 and (self.reader.view.agg or (type(value) is int and self._value is str)):
            value = divide(value, div)
        return self._value(value)


def stats_text(stats: Stats, div: int = 0) -> str:
    average = divide(stats.average, div) if div > 1 else stats.average
    return f"{{ .count = {stats.times}, .average = {average}, .total = {stats.total} }}"
