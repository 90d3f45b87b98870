"""Where the blocks of a program lie: distances of jumps, alignment of loops, and the stubs after the code."""

from __future__ import annotations

import struct
from itertools import accumulate
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
_SHORT_JUMP, _LONG_JUMP, _CONDITIONAL = struct.Struct("<Bb"), struct.Struct("<Bi"), struct.Struct("<BBi")
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
        aligned = {index for index in loops if self._is_worth(index)}
        sizes = [len(body) + len(tail) for body, tail in zip(self.bodies, self.tails)]
        long = [_NEAR[branch] for branch in self.branches]
        at = list(accumulate((size + near for size, near in zip(sizes, long)), initial=0))  # what is near stays near
        short = [
            2 if -_SHORT < at[target] - at[index] - size < _SHORT and branch > CALL else near
            for index, (size, near, branch, target) in enumerate(zip(sizes, long, self.branches, self.targets))
        ]
        at = _positions(sizes, short, aligned)
        try:
            return self._write(at, short), at
        except struct.error:  # alignment moved a target out of reach
            at = _positions(sizes, long, aligned)
            return self._write(at, long), at

    def _is_worth(self, index: int) -> bool:
        """Padding runs where the block before goes on into this one; then only a loop of one block is worth it."""
        if index == 0 or self.branches[index - 1] in (ALWAYS, STOP):
            return True
        ends = zip(self.targets[index : index + 2], self.branches[index : index + 2])
        return any(target == index and branch >= 0 for target, branch in ends)

    def _write(self, at: list[int], lengths: list[int]) -> bytearray:
        code = bytearray()
        for place, length, (body, branch, target, tail) in zip(at, lengths, zip(*self)):
            if len(code) < place:
                code += nops(place - len(code))
            code += body
            if length:
                distance = at[target] - len(code) - length
                if length == 2:
                    code += _SHORT_JUMP.pack(0xEB if branch == ALWAYS else 0x70 | branch, distance)
                elif branch >= 0:
                    code += _CONDITIONAL.pack(0x0F, 0x80 | branch, distance)
                else:
                    code += _LONG_JUMP.pack(0xE9 if branch == ALWAYS else 0xE8, distance)
            code += tail
        return code


def _positions(sizes: list[int], branches: list[int], aligned: set[int]) -> list[int]:
    """Where each block begins, and after them where the code ends."""
    at, places = 0, []
    for index, (size, branch) in enumerate(zip(sizes, branches)):
        if index in aligned:
            at = at + _ALIGN - 1 & -_ALIGN
        places.append(at)
        at += size + branch
    places.append(at)
    return places


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
