"""Map views: how the language's maps lie in the maps of the machine."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from cygnet.spec.values import VType
else:
    from cygnet.named import NamedTuple


class Store(NamedTuple):
    """One machine map that holds entries of a view. `key` is None for a scalar."""

    map: str
    key: VType | None


class MapView(NamedTuple):
    """A map of the language, such as ``@reads``.

    `agg` is empty for a plain value, or count sum min max avg stats hist lhist tseries. What lies in
    a value (u64 words unless said otherwise; aggregates are per CPU, one copy for each possible CPU)::

        plain scalar     the value, padded to 8, then one u64: written (0 or 1)
        plain keyed      the value
        count            n                      (a scalar: written when n > 0, or after zero())
        sum              total, n               n: how often it was added to
        min, max         value, n               n = 0: this CPU has none
        avg, stats       total, n
        hist, lhist      scalar: one word a bucket. Keyed: the key is followed, at the next multiple
                         of 8, by a u64 bucket number, and the value is one count
        tseries          epoch, value, weight. The key is the interval's place in its ring (u64), behind
                         the key where there is one. epoch: the interval's number, its start in TAI by
                         interval_ns; weight 0: no data. how last: weight is the time, the latest counts

    An entry may be in either of several `stores` with different key widths (short strings, long
    strings), never in two; a key's fields say how to read it in each.
    `args`: hist (k,), lhist (min, max, step), tseries (interval_ns, count, how).
    Bucket numbers of hist: 0 negative; 1 + v for 0 <= v < 2**k; then 2**k buckets for each power:
    for v with highest set bit p >= k: 1 + 2**k + (p - k) * 2**k + ((v >> (p - k)) - 2**k).
    With k = 0: 0 negative, 1 zero, 2 + p for the power p. lhist: 0 below min, then one a step, last >= max.
    """

    name: str
    stores: tuple[Store, ...]
    key: VType | None
    value: VType | None
    agg: str = ""
    args: tuple[int | str, ...] = ()
    signed: bool = True
