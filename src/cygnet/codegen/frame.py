"""The stack frame: where each slot lies. Slots that are never in use together share their bytes.

A slot is in use from its first to its last mention, stretched over every loop that mentions it and
does not define it. A slot whose address is stored somewhere, or goes through a block parameter, is in
use throughout. What does not fit goes to scratch memory (`scratch`), the largest first; only what is
handed to a callback must stay (helpers take nothing but stack as a callback's context).
"""

from __future__ import annotations

from cygnet.codegen.machine import natural_loops
from cygnet.errors import CygnetError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Function, Value

#: below this, frames are not worth packing
_SMALL = 256
#: what the key of the scratch map takes
_KEY_BYTES = 8


class Frame:
    """`offsets` from r10 for slots on the stack; `scratch` has the others, with offsets from `base`."""

    __slots__ = ("base", "offsets", "scratch", "scratch_bytes", "stack_bytes")

    def __init__(self) -> None:
        self.offsets: dict[Value, int] = {}
        self.scratch: dict[Value, int] = {}
        self.base: Value | None = None
        self.stack_bytes = 0
        self.scratch_bytes = 0


def _up(size: int) -> int:
    return size + 7 & ~7


def layout(function: Function, limit: int) -> Frame:
    """Place the slots in at most `limit` bytes of stack. Where `scratch` is not empty, there is room for its key."""
    frame = Frame()
    slots = [value for block in function.blocks for value in block.body if value.op == "slot"]
    total = sum([_up(slot.imm[0]) for slot in slots])
    if total <= min(_SMALL, limit):
        at = 0
        for slot in slots:
            at += _up(slot.imm[0])
            frame.offsets[slot] = -at
        frame.stack_bytes = total
        return frame
    uses = _Uses(function)
    stretches = uses.stretches()
    on_stack = sorted([slot for slot in slots if slot in stretches], key=lambda slot: -slot.imm[0])
    outside: list[Value] = []
    while True:
        places, frame.stack_bytes = _pack(on_stack, stretches)
        if frame.stack_bytes <= limit - (_KEY_BYTES if outside else 0):
            break
        largest = next((slot for slot in on_stack if slot not in uses.bound), None)
        if largest is None:
            raise CygnetError(f"{function.name} needs {frame.stack_bytes} bytes of stack; {limit} are left")
        on_stack.remove(largest)
        outside.append(largest)
    frame.offsets = {slot: -(places[slot] + _up(slot.imm[0])) for slot in on_stack}
    frame.scratch, frame.scratch_bytes = _pack(outside, stretches)
    return frame


def _pack(slots: list[Value], stretches: dict[Value, tuple[int, int]]) -> tuple[dict[Value, int], int]:
    """The lowest place for each slot that no slot in use at the same time has.

    Slots with the same bytes are never in use together, so that a look-up tells which of them is in the way:
    a long program has thousands of slots, and few places.
    """
    from bisect import bisect_left, insort

    places: dict[Value, int] = {}
    taken: dict[tuple[int, int], list[tuple[int, int]]] = {}  # start, end → first and last uses, in order
    order: list[tuple[int, int]] = []
    top = 0
    for slot in slots:
        first, last = stretches[slot]
        size = _up(slot.imm[0])
        at = 0
        for start, end in order:
            before = bisect_left(taken[start, end], (last + 1,))
            if before and taken[start, end][before - 1][1] >= first:
                if start >= at + size:
                    break
                at = max(at, end)
        places[slot] = at
        if (at, at + size) not in taken:
            taken[at, at + size] = []
            insort(order, (at, at + size))
        insort(taken[at, at + size], (first, last))
        top = max(top, at + size)
    return places, top


class _Uses:
    """Where each slot is mentioned, defined, and how."""

    __slots__ = ("bound", "bounds", "escaped", "function", "mentions", "roots", "where")

    def __init__(self, function: Function) -> None:
        self.function = function
        self.roots: dict[Value, Value] = {}  # a pointer into a slot → the slot
        self.where: dict[Value, int] = {}  # slot → block that defines it
        self.mentions: dict[Value, list[tuple[int, int]]] = {}  # slot → (position, block)
        self.escaped: set[Value] = set()
        self.bound: set[Value] = set()  # slots that cannot leave the stack
        self.bounds: list[tuple[int, int]] = []  # first and last position of each block
        self._scan()

    def _scan(self) -> None:
        position = 0
        roots, mentions = self.roots, self.mentions
        for index, block in enumerate(self.function.blocks):
            begin = position
            for value in block.body:
                position += 1
                name = value.op
                if name == "slot":
                    roots[value] = value
                    self.where[value] = index
                    continue
                for arg in value.args:
                    root = roots.get(arg)
                    if root is not None:
                        mentions.setdefault(root, []).append((position, index))
                        if name == "add" or name == "sub":
                            roots[value] = root
                if name == "store" or name == "atomic":
                    self._mark(value.args[1:], self.escaped)
                elif name == "call" and any(arg.op == "func" for arg in value.args):
                    self._mark(value.args, self.bound)
            position += 1
            assert block.term is not None
            self._mark(block.term.args, self.escaped)
            for arg in block.term.args:
                if arg in roots:
                    mentions.setdefault(roots[arg], []).append((position, index))
            self.bounds.append((begin, position))
            position += 1

    def _mark(self, values: tuple[Value, ...], marked: set[Value]) -> None:
        for value in values:
            root = self.roots.get(value)
            if root is not None:
                marked.add(root)

    def stretches(self) -> dict[Value, tuple[int, int]]:
        """The positions between which each slot that is mentioned at all is in use."""
        blocks, bounds = self.function.blocks, self.bounds
        at = {block: index for index, block in enumerate(blocks)}
        loops = natural_loops([tuple([at[target] for target in block.successors()]) for block in blocks])
        result = {}
        for slot, mentions in self.mentions.items():
            first, last = mentions[0][0], mentions[-1][0]
            if slot in self.escaped:
                first, last = 0, bounds[-1][1]
            for _, members in loops:
                if self.where[slot] not in members and any(block in members for _, block in mentions):
                    first = min(first, min(bounds[member][0] for member in members))
                    last = max(last, max(bounds[member][1] for member in members))
            result[slot] = (first, last)
        return result
