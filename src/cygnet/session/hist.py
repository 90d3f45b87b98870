"""Histograms: bucket bounds, labels and bars of hist() and lhist().

Bucket numbers are those of `spec.mapviews`. A row is (low, high, count): the values in [low, high); None
is an open end.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Row = tuple[int | None, int | None, int]
    Bounds = Callable[[int], tuple[int | None, int | None]]

_SUFFIXES = ("", "K", "M", "G", "T", "P", "E")
_WIDTH = 52


def log_bounds(bucket: int, k: int) -> tuple[int | None, int | None]:
    """The values of a bucket of hist(n, k)."""
    parts = 1 << k
    if bucket == 0:
        return None, 0
    if bucket <= parts:
        return bucket - 1, bucket
    power, part = divmod(bucket - 1 - parts, parts)
    return (parts + part) << power, (parts + part + 1) << power


def linear_bounds(bucket: int, low: int, high: int, step: int) -> tuple[int | None, int | None]:
    """The values of a bucket of lhist(n, low, high, step)."""
    if bucket == 0:
        return None, low
    start = low + (bucket - 1) * step
    if start >= high:
        return high, None
    return start, min(start + step, high)


def bounds(agg: str, args: Sequence[int | str]) -> Bounds:
    """Bucket number → bounds, for a view's `agg` and `args`."""
    if agg == "hist":
        k = int(args[0]) if args else 0
        return lambda bucket: log_bounds(bucket, k)
    low, high, step = (int(arg) for arg in args[:3])
    return lambda bucket: linear_bounds(bucket, low, high, step)


def rows(counts: Sequence[int], agg: str, args: Sequence[int | str], div: int = 1) -> list[Row]:
    """From the lowest to the highest bucket that is not empty, those between included.

    `div` divides the counts of hist(); lhist() ignores it.
    """
    used = [at for at, count in enumerate(counts) if count]
    if not used:
        return []
    find = bounds(agg, args)
    divisor = div if agg == "hist" and div > 1 else 1
    return [(*find(at), counts[at] // divisor) for at in range(used[0], used[-1] + 1)]


def text(table: Sequence[Row], agg: str, args: Sequence[int | str]) -> str:
    """The lines of a histogram, each with its newline."""
    top = max((row[2] for row in table), default=0) or 1
    return "".join([
        f"{label:<16}{count:>8} |{'@' * (_WIDTH * count // top):<{_WIDTH}}|\n"
        for label, (_, _, count) in zip(labels(table, agg, args), table)
    ])  # fmt: skip


def labels(table: Sequence[Row], agg: str, args: Sequence[int | str]) -> list[str]:
    """What stands before each row: ``[8, 16)``, ``[1]``, ``(..., 0)``."""
    k = int(args[0]) if args else 0
    name = _log_label(k) if agg == "hist" else _linear_label(int(args[2]))
    alone = max(2, 1 << k) if agg == "hist" else 0  # below it each number has a bucket of its own
    return [_header(low, high, name, low is not None and low < alone) for low, high, _ in table]


def _header(low: int | None, high: int | None, name: Callable[[int], str], single: bool) -> str:
    if low is None:
        return f"(..., {name(high or 0)})"
    if high is None:
        return f"[{name(low)}, ...)"
    if single and high == low + 1:
        return f"[{low}]"
    return f"[{name(low)}, {name(high)})"


def _log_label(k: int) -> Callable[[int], str]:
    def label(value: int) -> str:
        """Suffixes count powers of 1024 in a bucket's step, so a label is never rounded."""
        power = value.bit_length() - 1 - k
        if power < 10:
            return str(value)
        decade = min(power // 10, len(_SUFFIXES) - 1)
        return f"{value >> 10 * decade}{_SUFFIXES[decade]}"

    return label


def _linear_label(step: int) -> Callable[[int], str]:
    def label(value: int) -> str:
        if step % 1024 or not value:
            return str(value)
        if value % (1 << 20) == 0:
            return f"{value >> 20}M"
        return f"{value >> 10}K" if value % 1024 == 0 else str(value)

    return label
