"""tseries(): the rows of a time series and their graph."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cygnet.spec.protocols import World

    Points = Sequence[tuple[int, int | None]]

_WIDTH = 53  # of the graph, frame included
_LEFT = 21  # of it, for the least value in the header
_SECOND = 1_000_000_000
#: (nanoseconds, name, digits of a fraction)
_UNITS = ((_SECOND, "", 0), (1_000_000, "ms", 3), (1000, "μs", 6), (1, "ns", 9))


def points(values: Mapping[int, int], last_epoch: int, interval_ns: int, count: int) -> Points:
    """(start in ns, value or None) of each interval from the first with a value to `last_epoch`.

    `values` by epoch (start // interval); at most `count` intervals back from `last_epoch`.
    """
    first = last_epoch - count + 1
    known = [epoch for epoch in values if epoch >= first]
    if not known:
        return []
    return [(epoch * interval_ns, values.get(epoch)) for epoch in range(min(known), last_epoch + 1)]


def merge(entries: Sequence[bytes], args: tuple[int | str, ...], signed: bool) -> Points:
    """The points of one series from its entries, each with the copies of all CPUs (see spec.mapviews)."""
    from struct import unpack

    interval, count, how = int(args[0]), int(args[1]), str(args[2])
    found: dict[int, list[tuple[int, int]]] = {}
    code = "QqQ" if signed else "QQQ"
    for raw in entries:
        words = unpack(f"<{code * (len(raw) // 24)}", raw)
        for epoch, value, weight in zip(words[::3], words[1::3], words[2::3]):
            if weight:
                found.setdefault(epoch, []).append((value, weight))
    if not found:
        return []
    choose = _CHOICES[how]
    return points({epoch: choose(copies) for epoch, copies in found.items()}, max(found), interval, count)


def _average(copies: Sequence[tuple[int, int]]) -> int:
    total, times = sum([value for value, _ in copies]), sum([weight for _, weight in copies])
    return total // times if total >= 0 else -(-total // times)


_CHOICES: dict[str, Callable[[Sequence[tuple[int, int]]], int]] = {
    "last": lambda copies: max(copies, key=lambda copy: copy[1])[0],
    "sum": lambda copies: sum([value for value, _ in copies]),
    "min": lambda copies: min([value for value, _ in copies]),
    "max": lambda copies: max([value for value, _ in copies]),
    "avg": _average,
}


def text(series: Points, interval_ns: int, world: World) -> str:
    """The graph: a header, a line an interval, a footer; times are local."""
    if not series:
        return "<no data>\n"
    known = [value for _, value in series if value is not None]
    low, high = min(known), max(known)
    if low == high:
        low, high = low - 1, high + 1
    _, unit, digits = next(row for row in _UNITS if interval_ns >= row[0])
    title = "hh:mm:ss" + (f".{unit}" if unit else "")
    size = len("hh:mm:ss") + (1 + digits if digits else 0)
    ends = f"{'':{size + 1}}{low:<{_LEFT}}{high:>{_WIDTH - _LEFT}}\n"
    zero = int(_WIDTH * -low / (high - low)) if low < 0 < high else 0
    lines = [ends, f"{title:<{size + 1}}|{'_' * (_WIDTH - 2)}|\n"]
    lines += [_line(start, value, low, high, zero, digits, world) for start, value in series]
    lines += [f"{'':{size}} v{'_' * (_WIDTH - 2)}v\n", ends]
    return "".join(lines)


def _line(start: int, value: int | None, low: int, high: int, zero: int, digits: int, world: World) -> str:
    row = ["|", *" " * (_WIDTH - 2), "|"]
    if zero:
        row[min(zero, _WIDTH - 1)] = "."
    shown = "-"
    if value is not None:
        row[max(0, min(_WIDTH - 1, int((_WIDTH - 1) * (value - low) / (high - low))))] = "*"
        shown = str(value)
    return f"{_time(world.wall_ns('tai', start), digits)} {''.join(row)} {shown}\n"


def _time(wall_ns: int, digits: int) -> str:
    from time import localtime, strftime

    seconds, fraction = divmod(wall_ns, _SECOND)
    clock = strftime("%H:%M:%S", localtime(seconds))
    return clock + (f".{fraction // 10 ** (9 - digits):0{digits}}" if digits else "")


def utc(wall_ns: int) -> str:
    """A time as JSON has it: UTC, ISO 8601, nine decimals."""
    from time import gmtime, strftime

    seconds, fraction = divmod(wall_ns, _SECOND)
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds)) + f".{fraction:09}"
