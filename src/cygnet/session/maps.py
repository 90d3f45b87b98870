"""Maps of the language, read from the maps of the machine: merge, reduce over CPUs, sort.

`read` gives a list of (key, value) in the order in which a map is printed. A value is what its kind
decodes to (see `session.values`); an aggregate is an int (count, sum, min, max, avg), a `Stats`, or a
list of bucket counts (hist, lhist).
"""

from __future__ import annotations

from struct import unpack

from cygnet.session.values import decoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from cygnet.session.values import Decoder
    from cygnet.spec.mapviews import MapView
    from cygnet.spec.protocols import MapStore
    from cygnet.spec.values import VType

    Entry = tuple[Any, Any]
    Find = Callable[[str], MapStore]
    Reduce = Callable[[bytes], Any]

_U64 = (1 << 64) - 1
_SCALAR_KEY = bytes(4)


class Stats:
    """What stats() shows: how many values, their average and their sum."""

    __slots__ = ("average", "times", "total")

    def __init__(self, times: int, average: int, total: int) -> None:
        self.times = times
        self.average = average
        self.total = total


class Reader:
    """Reads one view.

    `stores` finds a machine map by name, `sizes` are their values' sizes in bytes on one CPU; `trailer`
    marks strings that were cut; `stand_in` gives one number for all unwound stacks that are the same up to a limit.
    """

    __slots__ = ("_keys", "_numbers", "_reduce", "_stand_in", "_stores", "_value", "_words", "view", "zeroed")

    def __init__(
        self,
        view: MapView,
        stores: Find,
        sizes: dict[str, int],
        trailer: str = "..",
        stand_in: Callable[[int, int], int] | None = None,
    ) -> None:
        self.view = view
        self._stand_in = stand_in
        self._numbers: list[list[tuple[int, int]]] | None = None
        self._words = sizes.get(view.stores[0].map, 0) // 8
        self._stores = stores
        self._keys = [decoder(store.key, trailer) if store.key is not None else None for store in view.stores]
        self._reduce: Reduce | None = None
        if view.agg and view.agg != "tseries":
            make = _REDUCERS.get(view.agg)
            if make is None:
                raise ValueError(f"{view.name}: maps of {view.agg}() cannot be read yet")
            self._reduce = make(view.signed)
        self._value: Decoder | None = None
        if not view.agg and view.value is not None:
            self._value = decoder(view.value, trailer)
        self.zeroed = False  # zero() makes a scalar count as written

    @property
    def scalar(self) -> bool:
        return self.view.key is None

    @property
    def histogram(self) -> bool:
        return self.view.agg in ("hist", "lhist")

    @property
    def series(self) -> bool:
        return self.view.agg == "tseries"

    # ── reading ──

    def read(self) -> list[Entry]:
        """Every (key, value) in the order of printing; a scalar that was written has the key None."""
        if self.scalar:
            value, written = self.read_scalar()
            return [(None, value)] if written else []
        if self.series:
            return order(self.view, self._series())
        entries = self._histograms() if self.histogram else self._entries()
        return order(self.view, entries)

    def read_scalar(self) -> tuple[Any, bool]:
        """(value, whether it was ever written)."""
        if self.series:
            found = self._series()
            return (found[0][1], True) if found else ([], self.zeroed)
        raw = self._stores(self.view.stores[0].map).lookup(_SCALAR_KEY)
        if raw is None:
            return None, False
        if self._reduce is None:
            return self._plain_scalar(raw)
        if self.histogram:
            counts = _column_sums(raw, self._words)
            return counts, self.zeroed or any(counts)
        return self._reduce(raw), self.zeroed or _times(raw, self.view.agg) > 0

    def _plain_scalar(self, raw: bytes) -> tuple[Any, bool]:
        assert self._value is not None
        written = int.from_bytes(raw[-8:], "little") != 0
        return self._value(raw, 0), written

    def _items(self, number: int) -> Iterable[tuple[bytes, bytes]]:
        """What lies in one of the view's maps; of an aggregate, keys that mean the same are one."""
        store = self.view.stores[number]
        items = self._stores(store.map).items()
        if self._stand_in is None or not self.view.agg:
            return items
        from cygnet.session.unwound import merged, places

        if self._numbers is None:
            self._numbers = [places(one.key) for one in self.view.stores]
        return merged(items, self._numbers[number], self._stand_in) if self._numbers[number] else items

    def _entries(self) -> list[Entry]:
        out: list[Entry] = []
        reduce, value = self._reduce, self._value
        for number, key in enumerate(self._keys):
            items = self._items(number)
            assert key is not None
            if reduce is not None:
                out += [(key(k, 0), reduce(v)) for k, v in items]
            elif value is not None:
                out += [(key(k, 0), value(v, 0)) for k, v in items]
        return out

    def _histograms(self) -> list[Entry]:
        """Keyed histograms: an entry a bucket, put together by the bytes of the key."""
        out: list[Entry] = []
        for number, key in enumerate(self._keys):
            assert key is not None
            grouped: dict[bytes, dict[int, int]] = {}
            for raw, value in self._items(number):
                buckets = grouped.setdefault(raw[:-8], {})
                buckets[int.from_bytes(raw[-8:], "little")] = sum(unpack(f"<{len(value) // 8}Q", value)) & _U64
            for raw, buckets in grouped.items():
                counts = [0] * (max(buckets) + 1)
                for bucket, count in buckets.items():
                    counts[bucket] = count
                out.append((key(raw, 0), counts))
        return out

    def _series(self) -> list[Entry]:
        """Time series: an entry an interval, put together by the bytes of the key."""
        from cygnet.session.tseries import merge

        out: list[Entry] = []
        for number, key in enumerate(self._keys):
            grouped: dict[bytes, list[bytes]] = {}
            for raw, value in self._items(number):
                grouped.setdefault(raw[:-8], []).append(value)
            for raw, values in grouped.items():
                points = merge(values, self.view.args, self.view.signed)
                if points or key is not None:
                    out.append((key(raw, 0) if key is not None else None, points))
        return out

    # ── changing ──

    def clear(self) -> None:
        """Remove every key; a scalar becomes one that was never written."""
        self.zeroed = False
        for store in self.view.stores:
            _clear(self._stores(store.map), scalar=self.scalar)

    def zero(self) -> None:
        """Set every value to zero and keep the keys."""
        if self.scalar and not self.read_scalar()[1]:
            return
        self.zeroed = True
        for store in self.view.stores:
            target = self._stores(store.map)
            for key, value in list(target.items()):
                zeros = bytes(len(value))
                if self.scalar and not self.view.agg:
                    zeros = zeros[:-8] + (1).to_bytes(8, "little")
                target.update(key, zeros)


def _clear(store: MapStore, scalar: bool) -> None:
    fast = getattr(store, "clear", None)
    if fast is not None:
        fast()
        return
    for key, value in list(store.items()):
        if scalar:
            store.update(key, bytes(len(value)))
        else:
            store.delete(key)


# ── aggregates: the values of all CPUs to one ──


def _words(raw: bytes) -> tuple[int, ...]:
    return unpack(f"<{len(raw) // 8}Q", raw[: len(raw) // 8 * 8])


def _signed(value: int) -> int:
    value &= _U64
    return value - (1 << 64) if value >> 63 else value


def _column_sums(raw: bytes, width: int) -> list[int]:
    words = _words(raw)
    if len(words) == width:
        return list(words)
    return [sum(words[at::width]) & _U64 for at in range(width)]


def _times(raw: bytes, agg: str) -> int:
    """How often an aggregate was added to."""
    words = _words(raw)
    return sum(words if agg == "count" else words[1::2])


def _count(signed: bool) -> Reduce:
    return lambda raw: sum(_words(raw)) & _U64


def _sum(signed: bool) -> Reduce:
    if signed:
        return lambda raw: _signed(sum(_words(raw)[::2]))
    return lambda raw: sum(_words(raw)[::2]) & _U64


def _extreme(choose: Callable[[Iterable[int]], int]) -> Callable[[bool], Reduce]:
    def make(signed: bool) -> Reduce:
        code = "q" if signed else "Q"

        def reduce(raw: bytes) -> int:
            pairs = unpack(f"<{f'{code}Q' * (len(raw) // 16)}", raw)
            known = [value for value, times in zip(pairs[::2], pairs[1::2]) if times]
            return choose(known) if known else 0

        return reduce

    return make


def divide(value: int, by: int) -> int:
    """C's integer division: truncated towards zero."""
    return value // by if value >= 0 else -(-value // by)


def _stats(signed: bool) -> Reduce:
    total_of = _sum(signed)

    def reduce(raw: bytes) -> Stats:
        total, times = total_of(raw), sum(_words(raw)[1::2]) & _U64
        return Stats(times, divide(total, times) if times else 0, total)

    return reduce


def _avg(signed: bool) -> Reduce:
    stats = _stats(signed)
    return lambda raw: stats(raw).average


_REDUCERS: dict[str, Callable[[bool], Reduce]] = {
    "count": _count,
    "sum": _sum,
    "min": _extreme(min),
    "max": _extreme(max),
    "avg": _avg,
    "stats": _stats,
    "hist": _count,
    "lhist": _count,
}


# ── order ──


def order(view: MapView, entries: list[Entry]) -> list[Entry]:
    """The order of printing: by value for numbers, by total for histograms, else by key; ties by key."""
    if len(entries) < 2:
        return entries
    rank = key_rank(view.key)
    if rank is not None:
        entries.sort(key=lambda entry: rank(entry[0]))
    by = _value_rank(view)
    if by is not None:
        entries.sort(key=lambda entry: by(entry[1]))
    return entries


def _value_rank(view: MapView) -> Callable[[Any], Any] | None:
    agg = view.agg
    if agg in ("count", "sum", "avg"):
        return lambda value: value
    if agg in ("min", "max"):
        return lambda value: value & _U64  # as unsigned: negative ones come last
    if agg == "stats":
        return lambda value: value.average
    if agg in ("hist", "lhist"):
        return sum
    return (lambda value: value) if view.value is not None and view.value.kind == "int" else None


def key_rank(vtype: VType | None) -> Callable[[Any], Any] | None:
    """How keys of a type compare: integers signed, strings by bytes, tuples part by part; None: not at all."""
    if vtype is None:
        return None
    kind = vtype.kind
    if kind == "int":
        half, full = 1 << 8 * vtype.size - 1, 1 << 8 * vtype.size
        return (lambda value: value) if vtype.signed else (lambda value: value - full if value >= half else value)
    if kind == "str":
        return lambda value: value.encode("utf-8", "surrogateescape")
    if kind == "tuple":
        parts = [(at, key_rank(field.type)) for at, field in enumerate(vtype.fields)]
        ranks = [(at, part) for at, part in parts if part is not None]
        return lambda value: tuple([part(value[at]) for at, part in ranks])
    return None


def top_of(entries: list[Entry], top: int) -> list[Entry]:
    """The largest `top` entries, still in ascending order; 0: all."""
    return entries[-top:] if top and len(entries) > top else entries
