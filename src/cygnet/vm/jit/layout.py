"""Where the blocks of a program lie: distances of jumps, alignment of loops, and the stubs after the code."""

from __future__ import annotations

import struct
from itertools import accumulate
from operator import add, sub
from typing import NamedTuple

from cygnet.vm.jit import state
from cygnet.vm.jit.encoding import R9, imm32, mem, nops, pack32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.jit.checks import Site

# what ends a block, beside the condition codes 0 to 15: a jump, a call, nothing, and nothing that goes on
ALWAYS, CALL, FALL, STOP = -1, -2, -3, -4
STUB = 15  # mov r10d, number (6) · call [r9 + routine] (4) · jmp back (5)
STUB_RETURN = 10
_SHORT = 96  # jumps over less are made with 8 bits; the rest of the range is for what alignment adds
_ALIGN = 32
_NEAR = {**dict.fromkeys(range(16), 6), ALWAYS: 5, CALL: 5, FALL: 0, STOP: 0}
_LEAST = {**dict.fromkeys(range(16), 2), ALWAYS: 2, CALL: 5, FALL: 0, STOP: 0}
# by kind of branch and distance
_SHORT_JUMPS = {
    branch: {distance: bytes((op, distance & 0xFF)) for distance in range(-128, 128)}
    for branch, op in [(ALWAYS, 0xEB), *((condition, 0x70 | condition) for condition in range(16))]
}
_ROUTINES = {name: mem(b"\xff", 2, R9, state.OFFSETS[name]) for name in ("check", "check_wide", "fault")}
_put32 = struct.Struct("<i").pack_into


class Compiled:
    """Machine code that may lie anywhere.

    entries    offset of each function's code by its slot; `lengths` how many slots it has
    sites      what each stub is for, in their order from `stubs` on
    calls      offset after a call to Python → slot of the instruction
    """

    __slots__ = ("calls", "code", "entries", "lengths", "sites", "stubs")

    def __init__(
        self, code: bytes, entries: dict[int, int], stubs: int, sites: list[Site], calls: dict[int, int]
    ) -> None:
        self.code = code
        self.entries = entries
        self.stubs = stubs
        self.sites = sites
        self.calls = calls
        self.lengths: dict[int, int] = {}

    def pc_of(self, offset: int) -> int:
        """The slot of the instruction whose check, or call, returns to `offset`."""
        if offset >= self.stubs:
            return self.sites[(offset - STUB_RETURN - self.stubs) // STUB].pc
        return self.calls.get(offset, 0)


class Blocks(NamedTuple):
    """A program's blocks in order: code, how each ends, the block it branches to, code after the branch."""

    bodies: list[bytes]
    branches: list[int]
    targets: list[int]
    tails: list[bytes]

    def join(self, loops: set[int]) -> tuple[bytearray, list[int]]:
        """The code, and where each block begins. `loops` are jumped back to: they begin at multiples of 32 where that
        costs nothing inside another loop."""
        aligned = sorted(index for index in loops if self._is_worth(index))
        sizes = list(map(add, map(len, self.bodies), map(len, self.tails)))
        long = list(map(_NEAR.__getitem__, self.branches))
        at = list(accumulate(map(add, sizes, long), initial=0))  # what is near now stays near
        reach = map(sub, map(at.__getitem__, self.targets), at)
        short = [
            least if -_SHORT < far - size < _SHORT else near
            for far, size, least, near in zip(reach, sizes, map(_LEAST.__getitem__, self.branches), long)
        ]
        try:
            return self._write(sizes, short, aligned)
        except KeyError:  # alignment moved a target out of reach
            return self._write(sizes, long, aligned)

    def _is_worth(self, index: int) -> bool:
        """Padding runs where the block before goes on into this one; then only a loop of one block is worth it."""
        if index == 0 or self.branches[index - 1] in (ALWAYS, STOP):
            return True
        ends = zip(self.targets[index : index + 2], self.branches[index : index + 2])
        return any(target == index and branch >= 0 for target, branch in ends)

    def _write(self, sizes: list[int], lengths: list[int], aligned: list[int]) -> tuple[bytearray, list[int]]:
        """KeyError when a distance does not fit a short jump."""
        tight = list(accumulate(map(add, sizes, lengths), initial=0))
        parts: list[bytes] = [b""] * (3 * len(self.bodies))
        parts[0::3], parts[2::3] = self.bodies, self.tails
        at: list[int] = []
        padded = 0
        for index in aligned:
            at += [place + padded for place in tight[len(at) : index]]
            padding = -(tight[index] + padded) % _ALIGN
            parts[3 * index] = nops(padding) + self.bodies[index]
            padded += padding
        at += [place + padded for place in tight[len(at) :]]
        after = map(add, map(add, at, map(len, self.bodies)), lengths)
        distances = map(sub, map(at.__getitem__, self.targets), after)
        parts[1::3] = [
            _SHORT_JUMPS[branch][distance] if length == 2 else _near_jump(branch, distance) if length else b""
            for branch, length, distance in zip(self.branches, lengths, distances)
        ]
        return bytearray().join(parts), at


def _near_jump(branch: int, distance: int) -> bytes:
    if branch >= 0:
        return bytes((0x0F, 0x80 | branch)) + pack32(distance)
    return (b"\xe9" if branch == ALWAYS else b"\xe8") + pack32(distance)


def add_stubs(code: bytearray, at: list[int], sites: list[Site], landings: list[tuple[int, int]]) -> None:
    """One for each site, and the distance of the jump to it; those of wide checks, which never fault, last."""
    wide, stub = [], len(code)
    stubs: list[bytes] = []
    for site in sites:
        if site.slow >= 0:
            wide.append(site)
            continue
        place = at[site.block] + site.at
        _put32(code, place - 4, stub - place)
        stubs.append(_stub_head(site.routine, site.number) + pack32(place - stub - STUB))
        stub += STUB
    for site in wide:
        place = at[site.block] + site.at
        _put32(code, place - 4, stub - place)
        block, offset = landings[site.slow]
        head = _stub_head(site.routine, site.number)[:-1]
        failed = stub + len(head) + 6
        stubs.append(head + b"\x0f\x82" + pack32(at[block] + offset - failed) + b"\xe9" + pack32(place - failed - 5))
        stub = failed + 5
    code += b"".join(stubs)


_heads: dict[tuple[str, int], bytes] = {}


def _stub_head(routine: str, number: int) -> bytes:
    """mov r10d, number; call [r9 + routine]; and the opcode of the jump back"""
    found = _heads.get((routine, number))
    if found is None:
        found = _heads[routine, number] = b"\x41\xba" + imm32(number) + _ROUTINES[routine] + b"\xe9"
    return found
