"""Maps: merging, order, top and div, histograms."""

from __future__ import annotations

import json as reference
from typing import Any

import pytest
from fakes import I32, I64, U32, U64, MapView, Store, Store_, VType, World, string, tuple_of, words

from cygnet.session import hist, tseries
from cygnet.session.json import MapJson
from cygnet.session.json import tseries as tseries_json
from cygnet.session.maps import Reader
from cygnet.session.maptext import MapText
from cygnet.session.text import Context

CTX = Context(World())
CPUS = 2


def view(agg: str = "", key: VType | None = None, value: VType | None = I64, **more: Any) -> MapView:
    return MapView("@m", (Store("m", key),), key, value, agg, **more)


def printed(one: MapView, items: dict[bytes, bytes], top: int = 0, div: int = 0, at_exit: bool = False) -> str:
    return MapText(reader(one, items), CTX).text(top, div, at_exit)


def as_json(one: MapView, items: dict[bytes, bytes], top: int = 0, div: int = 0, at_exit: bool = False) -> str:
    return MapJson(reader(one, items), CTX).text(top, div, at_exit)


def reader(one: MapView, items: dict[bytes, bytes]) -> Reader:
    store = Store_(items)
    size = len(next(iter(items.values()), b"")) // (CPUS if one.agg else 1)
    return Reader(one, lambda name: store, {"m": size})


def key(n: int) -> bytes:
    return n.to_bytes(4, "little")


SCALAR = bytes(4)


@pytest.mark.parametrize(
    ("one", "raw", "text"),
    [
        (view(), words(-4, 1), "@m: -4\n"),
        (view("count"), words(2, 3), "@m: 5\n"),
        (view("sum"), words(-2, 1, -3, 1), "@m: -5\n"),
        (view("sum", signed=False), words(1 << 63, 1, 1 << 62, 1), f"@m: {3 << 62}\n"),
        (view("min"), words(-3, 1, 9, 1), "@m: -3\n"),
        (view("min"), words(0, 0, 9, 2), "@m: 9\n"),
        (view("max"), words(-3, 1, 0, 0), "@m: -3\n"),
        (view("max", signed=False), words(-3, 1, 9, 1), f"@m: {(1 << 64) - 3}\n"),
        (view("avg"), words(-7, 1, 0, 1), "@m: -3\n"),
        (view("stats"), words(5, 1, 6, 1), "@m: { .count = 2, .average = 5, .total = 11 }\n"),
    ],
)
def test_scalars(one: MapView, raw: bytes, text: str) -> None:
    assert printed(one, {SCALAR: raw}) == text
    assert printed(one, {SCALAR: raw}, at_exit=True) == text


@pytest.mark.parametrize("agg", ["", "count", "sum", "min", "avg", "stats", "hist"])
def test_a_scalar_never_written_is_left_out_at_exit_only(agg: str) -> None:
    one = view(agg, args=(0,))
    raw = {SCALAR: bytes(16 * CPUS)}
    assert printed(one, raw, at_exit=True) == ""
    assert as_json(one, raw, at_exit=True) == ""
    assert printed(one, raw).startswith("@m: ") or agg == "hist"
    assert printed(view("hist", args=(0,)), raw) == "@m:\n\n"


def test_zero_keeps_and_clear_removes() -> None:
    one = reader(view("count"), {SCALAR: words(1, 2)})
    one.zero()
    assert MapText(one, CTX).text(at_exit=True) == "@m: 0\n"
    one.clear()
    assert MapText(one, CTX).text(at_exit=True) == ""
    one.zero()
    assert MapText(one, CTX).text(at_exit=True) == "", "zero of an unwritten scalar writes nothing"
    plain = reader(view(), {SCALAR: words(9, 1)})
    plain.zero()
    assert MapText(plain, CTX).text(at_exit=True) == "@m: 0\n"
    plain.clear()
    assert MapText(plain, CTX).text(at_exit=True) == ""
    keyed = reader(view("count", I32), {key(1): words(1, 2)})
    keyed.zero()
    assert MapText(keyed, CTX).text() == "@m[1]: 0\n"
    keyed.clear()
    assert MapText(keyed, CTX).text() == ""


def test_order_by_value_and_top_and_div() -> None:
    items = {key(3): words(10), key(1): words(30), key(2): words(-20)}
    one = view("", I32)
    assert printed(one, items) == "@m[2]: -20\n@m[3]: 10\n@m[1]: 30\n"
    assert printed(one, items, top=2) == "@m[3]: 10\n@m[1]: 30\n"
    assert printed(one, items, div=7) == "@m[2]: -2\n@m[3]: 1\n@m[1]: 4\n"


def test_min_is_ordered_as_unsigned() -> None:
    items = {key(n): words(v, 1, 0, 0) for n, v in ((1, -3), (2, 5), (3, -7))}
    assert printed(view("min", I32), items) == "@m[2]: 5\n@m[3]: -7\n@m[1]: -3\n"


def test_others_by_key() -> None:
    kind = tuple_of(I32, string(4))
    raw = {key(5) + b"b\0\0\0": b"x\0", key(-1 & 0xFFFFFFFF) + b"z\0\0\0": b"y\0", key(5) + b"a\0\0\0": b"z\0"}
    one = view("", kind, string(2))
    assert printed(one, raw) == "@m[-1, z]: y\n@m[5, a]: z\n@m[5, b]: x\n"
    assert as_json(one, raw) == '{"type": "map", "data": {"@m": {"-1,z": "y", "5,a": "z", "5,b": "x"}}}\n'


def test_unsigned_keys_are_ordered_as_signed() -> None:
    items = {key(1): b"a\0", key(0xFFFFFFFF): b"b\0"}
    assert printed(view("", U32, string(2)), items) == "@m[4294967295]: b\n@m[1]: a\n"


def test_two_stores_are_one_map() -> None:
    stores = {"short": Store_({b"ab\0\0": words(1, 0)}), "long": Store_({b"abcdefg\0": words(5, 0)})}
    one = MapView("@m", (Store("short", string(4)), Store("long", string(8))), string(8), U64, "count")
    assert MapText(Reader(one, lambda name: stores[name], {}), CTX).text() == "@m[ab]: 1\n@m[abcdefg]: 5\n"


def test_stats_maps() -> None:
    items = {key(1): words(20, 2, 0, 0), key(2): words(2, 1, 0, 0)}
    assert printed(view("stats", I32), items) == (
        "@m[2]: { .count = 1, .average = 2, .total = 2 }\n@m[1]: { .count = 2, .average = 10, .total = 20 }\n"
    )
    assert as_json(view("stats", I32), items) == (
        '{"type": "stats", "data": {"@m": {"2": {"count": 1, "average": 2, "total": 2}, '
        '"1": {"count": 2, "average": 10, "total": 20}}}}\n'
    )
    assert as_json(view("avg", I32), items, div=2) == '{"type": "stats", "data": {"@m": {"2": 1, "1": 5}}}\n'


def test_a_keyed_map_without_keys() -> None:
    assert printed(view("", I32), {}) == ""
    assert as_json(view("", I32), {}) == ""


# ── histograms ──


@pytest.mark.parametrize("k", range(6))
def test_buckets_of_hist_follow_their_definition(k: int) -> None:
    def number(value: int) -> int:  # spec.mapviews, word for word
        if value < 0:
            return 0
        if value < 2**k:
            return 1 + value
        p = value.bit_length() - 1
        return 1 + 2**k + (p - k) * 2**k + ((value >> (p - k)) - 2**k)

    values = [-1, *range(300), 1023, 1024, 1 << 40, (1 << 40) - 1, (1 << 63) - 1, (1 << 64) - 1]
    for value in values:
        low, high = hist.log_bounds(number(value), k)
        assert (low is None or low <= value) and (high is None or value < high)
    last = None
    for bucket in range(1, 40):
        low, high = hist.log_bounds(bucket, k)
        assert last is None or low == last
        last = high


LINE = " |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|\n"
EMPTY = " |                                                    |\n"


def test_hist_text() -> None:
    counts = [1, 0, 0, 2]
    assert hist.text(hist.rows(counts, "hist", (0,)), "hist", (0,)) == (
        f"(..., 0)               1 |{'@' * 26:<52}|\n"
        f"[0]                    0{EMPTY}[1]                    0{EMPTY}[2, 4)                 2{LINE}"
    )


@pytest.mark.parametrize(
    ("bucket", "k", "label"),
    [(11, 0, "[512, 1K)"), (12, 0, "[1K, 2K)"), (22, 0, "[1M, 2M)"), (65, 0, "[8E, 16E)"), (4, 2, "[3]"),
     (5, 2, "[4, 5)"), (9, 2, "[8, 10)"), (45, 2, "[4K, 5K)")],
)  # fmt: skip
def test_hist_labels(bucket: int, k: int, label: str) -> None:
    counts = [0] * bucket + [1]
    assert hist.text(hist.rows(counts, "hist", (k,)), "hist", (k,)).startswith(label + " ")


@pytest.mark.parametrize(
    ("args", "bucket", "label"),
    [
        ((0, 10, 3), 0, "(..., 0)"),
        ((0, 10, 3), 2, "[3, 6)"),
        ((0, 10, 3), 4, "[9, 10)"),
        ((0, 10, 3), 5, "[10, ...)"),
        ((5, 10, 1), 1, "[5, 6)"),
        ((1024, 10240, 1024), 2, "[2K, 3K)"),
        ((0, 2097152, 524288), 3, "[1M, 1536K)"),
        ((0, 10000, 1000), 2, "[1000, 2000)"),
        ((0, 2097152, 1048576), 3, "[2M, ...)"),
    ],
)
def test_lhist_labels(args: tuple[int, ...], bucket: int, label: str) -> None:
    counts = [0] * bucket + [1]
    assert hist.text(hist.rows(counts, "lhist", args), "lhist", args).startswith(label + " ")


def test_scalar_hist_adds_up_the_cpus() -> None:
    one = view("hist", args=(0,))
    raw = {SCALAR: words(0, 0, 0, 1, 0) + words(0, 0, 0, 1, 2)}
    assert printed(one, raw) == f"@m:\n[2, 4)                 2{LINE}[4, 8)                 2{LINE}\n"
    line = as_json(one, raw)
    assert line == (
        '{"type": "hist", "data": {"@m": [{"min": 2, "max": 3, "count": 2},{"min": 4, "max": 7, "count": 2}]}}\n'
    )
    reference.loads(line)


def test_keyed_hist_is_put_together_by_key_and_ordered_by_total() -> None:
    def item(k: int, bucket: int, *counts: int) -> tuple[bytes, bytes]:
        return words(k, bucket), words(*counts)

    items = dict([item(1, 2, 5, 1), item(1, 4, 0, 1), item(2, 0, 1, 0)])
    one = view("hist", VType("int", 8, True), args=(0,))
    text = printed(one, items)
    assert text.startswith("@m[2]:\n(..., 0) ") and "\n\n@m[1]:\n[1] " in text and text.endswith("|\n\n")
    assert as_json(one, items, top=1) == (
        '{"type": "hist", "data": {"@m": {"1": [{"min": 1, "max": 1, "count": 6},'
        '{"min": 2, "max": 3, "count": 0},{"min": 4, "max": 7, "count": 1}]}}}\n'
    )
    assert as_json(one, dict([item(3, 0, 2, 2)]), div=2) == (
        '{"type": "hist", "data": {"@m": {"3": [{"max": -1, "count": 2}]}}}\n'
    )


def test_a_zeroed_hist_prints_its_name() -> None:
    one = reader(view("hist", args=(0,)), {SCALAR: words(1, 0) + words(0, 0)})
    one.zero()
    assert MapText(one, CTX).text(at_exit=True) == "@m:\n\n"
    assert MapJson(one, CTX).text(at_exit=True) == '{"type": "hist", "data": {"@m": []}}\n'


# ── time series ──


def test_tseries() -> None:
    points = tseries.points({10: 0, 12: 5}, 13, 100_000_000, 10)
    assert [value for _, value in points] == [0, None, 5, None]
    lines = tseries.text(points, 100_000_000, World()).split("\n")
    assert lines[0] == " " * 13 + "0" + " " * 51 + "5"
    assert lines[1] == "hh:mm:ss.ms  |" + "_" * 51 + "|"
    assert lines[2][8:] == ".000 *" + " " * 51 + "| 0"
    assert lines[3][8:] == ".100 |" + " " * 51 + "| -"
    assert lines[4][8:] == ".200 |" + " " * 51 + "* 5"
    assert lines[6] == " " * 13 + "v" + "_" * 51 + "v"
    assert lines[7] == lines[0] and lines[8] == ""
    assert tseries_json(points, World()) == (
        '[{"interval_start":"1970-01-01T00:00:01.000000000","value":0},'
        '{"interval_start":"1970-01-01T00:00:01.200000000","value":5}]'
    )


def test_tseries_edges() -> None:
    assert tseries.text([], 1_000_000_000, World()) == "<no data>\n"
    same = tseries.text([(0, 4)], 1_000_000_000, World()).split("\n")
    assert same[0].split() == ["3", "5"] and same[2].endswith("| 4") and same[2].index("*") == 9 + 26
    assert "|.|" not in tseries.text([(0, -4), (1000, 4)], 1000, World())
    assert "hh:mm:ss.μs" in tseries.text([(0, -4), (1000, 4)], 1000, World())
    assert "." in tseries.text([(0, -4), (10**9, 4)], 10**9, World()).split("\n")[2][9:]
