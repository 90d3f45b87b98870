"""Where each type record starts: an index that grows only as far as it is asked.

The type section is a chain of records of differing lengths, so a type id says nothing about its place until
the records before it were walked. A record's length follows from its `info` word alone, and few distinct words
occur: `_Lengths` decodes each once. A kernel's 126,000 records take about 20 ms, and most questions end
in the first few thousand of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice

from cygnet.btf.kinds import ELEMENT_WORDS, ENUM64, FIXED_WORDS, RESERVED_INFO_BITS, kind_name
from cygnet.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 2048


class _Lengths(dict[int, int]):
    """`info` word → length of its record in words."""

    def __missing__(self, info: int) -> int:
        length = self[info] = record_words(info)
        return length


def record_words(info: int) -> int:
    """The length in words of a record with this `info`; BtfError (without a place) when there is no such kind."""
    kind = info >> 24 & 31
    if not 0 < kind <= ENUM64 or info & RESERVED_INFO_BITS:
        raise BtfError(f"bad BTF info word {info:#010x} (kind {kind_name(kind)})")
    return 3 + FIXED_WORDS.get(kind, 0) + ELEMENT_WORDS.get(kind, 0) * (info & 0xFFFF)


def _walk(words: memoryview, place: int) -> Iterator[int]:
    lengths = _Lengths()
    position, end = 0, len(words)
    try:
        while position < end:
            yield position
            position += lengths[words[position + 1]]
    except IndexError:
        raise BtfError("a BTF type record is cut short", place + 4 * position) from None
    except BtfError as error:
        raise BtfError(str(error), place + 4 * position) from None
    if position != end:
        raise BtfError("the last BTF type record is cut short", place + 4 * end)


class OffsetIndex:
    """Positions (in words of the type section) of the records, in the order of their ids.

    `place` is the byte offset of the section, for messages. `known` are positions that a cache remembered: all of them.
    """

    __slots__ = ("_error", "_positions", "_walk", "complete")

    def __init__(self, words: memoryview, place: int, known: memoryview | None = None) -> None:
        # A list, though an array would be smaller: importing `array` loads `collections`, which costs 3 ms.
        self._positions: list[int] | memoryview = [] if known is None else known
        self._walk = _walk(words, place)
        self._error: BtfError | None = None
        self.complete = known is not None

    def _grow(self, count: int) -> None:
        if self._error is not None:
            raise self._error
        positions = self._positions
        assert isinstance(positions, list)
        wanted = len(positions) + count
        try:
            positions.extend(islice(self._walk, count))
        except BtfError as error:
            self._error = error
            raise
        self.complete = len(positions) < wanted

    def position(self, number: int) -> int:
        """Where the record of that number (from 0) starts; IndexError when there are fewer."""
        missing = number + 1 - len(self._positions)
        if missing > 0 and not self.complete:
            self._grow(max(missing, _CHUNK))
        return self._positions[number]

    def number_at(self, position: int) -> int:
        """The number of the record that starts at `position`, or -1 when none does."""
        self._reach(position)
        number = bisect_left(self._positions, position)
        return number if number < len(self._positions) and self._positions[number] == position else -1

    def number_around(self, position: int) -> int:
        """The number of the record that holds the word at `position`."""
        self._reach(position)
        return bisect_right(self._positions, position) - 1

    def _reach(self, position: int) -> None:
        while not self.complete and (not self._positions or self._positions[-1] <= position):
            self._grow(_CHUNK)

    def all(self) -> list[int] | memoryview:
        """Every position: walks what is left."""
        while not self.complete:
            self._grow(1 << 20)
        return self._positions
