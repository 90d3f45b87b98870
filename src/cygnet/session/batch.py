"""Many records at once to text.

`Formats` knows the compiled format of each action. A run of records that all print goes through one
struct unpack and one ``%``; that is several times faster than a loop over records. The ways, by what
the batch holds:

- one action: the template times n, values by a big Struct kept for blocks of 512 records;
- several of one layout without fixes: templates joined in order, one `iter_unpack`;
- several layouts without fixes: one Struct made for just this sequence;
- strings among them: each action's columns fixed together, its texts made together and put in order.
"""

from __future__ import annotations

from itertools import chain
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from cygnet.session.printf import Format

HEADER = 8  # bytes of the ring's own before a record
_BLOCK = 512  # records in a kept Struct
_SEPARATOR = b"\0\0\0"  # cannot come from a string, which ends at its first NUL


class _Slot:
    """A format in slots of one stride: the Struct of one record, and of a block of them."""

    __slots__ = ("_block", "code", "format", "one", "stride", "template")

    def __init__(self, format: Format, stride: int) -> None:
        self.format = format
        self.stride = stride
        self.code = format.padded(HEADER, stride)
        self.one = Struct("<" + self.code)
        self.template = format.template
        self._block: tuple[Struct, bytes] | None = None

    def block(self) -> tuple[Struct, bytes]:
        if self._block is None:
            self._block = Struct("<" + self.code * _BLOCK), self.template * _BLOCK
        return self._block


class Formats:
    """Formats by action number; `find` compiles one when its first record comes."""

    __slots__ = ("_find", "_plain", "_slots")

    def __init__(self, find: Callable[[int], Format | None]) -> None:
        self._find = find
        self._plain: dict[int, Format | None] = {}
        self._slots: dict[tuple[int, int], _Slot] = {}

    def get(self, action: int) -> Format | None:
        """The format of an action that prints, None for any other."""
        if action not in self._plain:
            self._plain[action] = self._find(action)
        return self._plain[action]

    def printable(self, actions: Iterable[int]) -> bool:
        return all(self.get(action) is not None for action in actions)

    def _slot(self, action: int, stride: int) -> _Slot:
        slot = self._slots.get((action, stride))
        if slot is None:
            format = self.get(action)
            assert format is not None
            slot = self._slots[action, stride] = _Slot(format, stride)
        return slot

    def text(self, view: memoryview, ids: Sequence[int], stride: int) -> bytes:
        """The text of records that all print. `ids` are their actions; record i lies at ``i * stride``."""
        kinds = set(ids)
        if len(kinds) == 1:
            return _same(self._slot(ids[0], stride), view, len(ids))
        out = []
        for at in range(0, len(ids), _BLOCK):
            part = ids[at : at + _BLOCK]
            out.append(self._mixed(view[at * stride : (at + len(part)) * stride], part, stride))
        return b"".join(out)

    def _mixed(self, view: memoryview, ids: Sequence[int], stride: int) -> bytes:
        slots = {action: self._slot(action, stride) for action in set(ids)}
        if any(slot.format.fixes for slot in slots.values()):
            return b"".join(self.texts(view, ids, stride))
        codes = {action: slot.code for action, slot in slots.items()}
        templates = {action: slot.template for action, slot in slots.items()}
        values: tuple[Any, ...]
        if len(set(codes.values())) == 1:
            values = tuple(chain.from_iterable(slots[ids[0]].one.iter_unpack(view)))
        else:
            values = Struct("<" + "".join(map(codes.__getitem__, ids))).unpack(view)
        text: bytes = b"".join(map(templates.__getitem__, ids)) % values
        return text

    def texts(self, view: memoryview, ids: Sequence[int], stride: int) -> list[bytes]:
        """As `text`, but one item a record."""
        made = {action: iter(self._of(action, view, ids, stride)) for action in set(ids)}
        return list(map(next, map(made.__getitem__, ids)))

    def _of(self, action: int, view: memoryview, ids: Sequence[int], stride: int) -> list[bytes]:
        """The texts of the records of one action among others."""
        slot = self._slot(action, stride)
        unpack = slot.one.unpack_from
        places = [at * stride for at, kind in enumerate(ids) if kind == action]
        rows: Any = [unpack(view, place) for place in places]
        template = slot.template
        values = _fixed(slot.format, list(chain.from_iterable(rows)))
        if b"\0" in template or b"c" in template:
            width = slot.format.columns
            return [template % tuple(values[at * width : (at + 1) * width]) for at in range(len(rows))]
        joined: bytes = (template + _SEPARATOR) * len(rows) % tuple(values)
        return joined.split(_SEPARATOR)[:-1]


def _same(slot: _Slot, view: memoryview, count: int) -> bytes:
    out, at = [], 0
    format, template = slot.format, slot.template
    if count >= _BLOCK:
        block, templates = slot.block()
        step = _BLOCK * slot.stride
        while count - at >= _BLOCK:
            values: Any = block.unpack_from(view, at * slot.stride)
            if format.fixes:
                values = tuple(_fixed(format, list(values)))
            out.append(templates % values)
            at += _BLOCK
        view = view[at // _BLOCK * step :]
    rest = list(chain.from_iterable(slot.one.iter_unpack(view)))
    out.append(template * (count - at) % tuple(_fixed(format, rest)))
    return b"".join(out)


def _fixed(format: Format, values: list[Any]) -> list[Any]:
    """Apply the fixes, a column at a time."""
    step = format.columns
    for column, fix in format.fixes:
        values[column::step] = map(fix, values[column::step])
    return values
