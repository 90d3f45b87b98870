"""Stacks that come to be unwound: which are the same, and what becomes of the maps that have them as keys."""

from __future__ import annotations

from struct import Struct

from cygnet.spec.values import UNWOUND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cygnet.session.state import State
    from cygnet.spec.values import VType

_HEAD = Struct("<QQQQQ")  # action, number, pid, where the copy begins, its bytes
_REGS_BYTES = 168
_COPY_AT = _HEAD.size + _REGS_BYTES


class Unwound:
    """Unwinds what comes, while the process is likely to be there still, and keeps only the addresses.

    A program numbers a stack by its contents, so that one way through a program can have several numbers. The kernel
    is told which one stands for all of them, and uses that one from then on.
    """

    __slots__ = ("_by_frames", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._by_frames: dict[tuple[int, tuple[int, ...], str], int] = {}

    def take(self, record: memoryview) -> None:
        _, number, pid, base, size = _HEAD.unpack_from(record)
        context = self._state.context
        registers = bytes(record[_HEAD.size : _COPY_AT])
        found = context.world.unwind(pid, registers, base, bytes(record[_COPY_AT : _COPY_AT + size]))
        context.unwound[_signed(number)] = found
        first = self._by_frames.setdefault((pid, tuple(found[0]), found[1]), number)
        if first != number:
            self._state.stores(UNWOUND).update(number.to_bytes(8, "little"), first.to_bytes(8, "little"))


def handler(state: State) -> Callable[[memoryview], None]:
    return Unwound(state).take


def _signed(number: int) -> int:
    """As a stack's number is decoded."""
    return number - (1 << 64) if number >> 63 else number


def places(vtype: VType | None, at: int = 0) -> list[tuple[int, int]]:
    """Where in a key the numbers of unwound stacks stand, in bytes, and how many addresses of each count."""
    if vtype is None:
        return []
    if vtype.kind == "ustack":
        return [(at, vtype.length)] if vtype.data == UNWOUND else []
    return [place for field in vtype.fields for place in places(field.type, at + field.offset)]


def merged(
    items: Iterable[tuple[bytes, bytes]], where: list[tuple[int, int]], stand_in: Callable[[int, int], int]
) -> Iterable[tuple[bytes, bytes]]:
    """The entries of an aggregate's map with one number for each stack; what belongs together is put side by side, as
    the values of several CPUs are."""
    out: dict[bytes, bytes] = {}
    for key, value in items:
        for at, limit in where:
            number = int.from_bytes(key[at : at + 8], "little", signed=True)
            key = key[:at] + stand_in(number, limit).to_bytes(8, "little", signed=True) + key[at + 8 :]
        out[key] = out[key] + value if key in out else value
    return out.items()
