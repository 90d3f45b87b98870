"""Register allocation: a scan over the blocks in dominance order.

The code is in SSA form, so a value needs only a register that no value alive at its definition has;
going through blocks in reverse postorder, all of those already have theirs. What a value meets later
(calls, argument registers being filled) was gathered beforehand as the registers to avoid, so one that
lives across a call gets r6-r9 at once. Hints make copies vanish: a call's argument is made in its
argument register, a loop variable in the register of its block parameter.

A value keeps one register, or one 8-byte stack slot, for all its life: what the verifier learns from
comparing it stays true wherever it is used.
"""

from __future__ import annotations

from cygnet.codegen.liveness import DST_DIES, analyse
from cygnet.codegen.machine import A_DIES, ALU, B_DIES, CALL, FETCH, SETCC, VIRTUAL, MFunction
from cygnet.codegen.opcodes import COMMUTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.codegen.machine import MBlock

# r0 is free except around calls; r5 is the argument least often filled; r6-r9 cost a push in the prologue
_ORDER = (0, 5, 4, 3, 2, 1, 6, 7, 8, 9)
_ALL = 0x3FF


class Allocator:
    """One round: gives every virtual register a machine register, or says what to spill."""

    __slots__ = ("avoid", "function", "owner", "place", "spilled", "wanted", "weights")

    def __init__(self, function: MFunction, avoid: list[int]) -> None:
        self.function = function
        self.avoid = avoid
        #: register -> machine register
        self.place = [*range(VIRTUAL), *([-1] * (function.virtuals - VIRTUAL))]
        self.owner = [-1] * VIRTUAL
        self.wanted: dict[int, int] = {}  # block parameter -> where one of its arguments lies
        self.spilled: set[int] = set()
        self.weights: dict[int, int] | None = None

    def pick(self, reg: int, busy: int, second: int) -> int:
        """A machine register for `reg`: as hinted, else `second` (-1: none), else the first free one."""
        free = _ALL & ~(busy | self.avoid[reg])
        hint = self.function.hint.get(reg, -1)
        param = -1
        if hint >= VIRTUAL:
            param = hint
            hint = self.place[param]
            if hint < 0:
                hint = self.wanted.get(param, -1)
        if hint >= 0 and free >> hint & 1:
            machine = hint
        elif second >= 0 and free >> second & 1:
            machine = second
        elif free:
            for machine in _ORDER:
                if free >> machine & 1:
                    break
        else:
            machine = self._evict(reg, busy)
        if param >= 0 and hint < 0 and self.avoid[param] >> machine & 1:
            # The parameter, which is not placed yet, can not have it: one that both can have saves a copy. (A copy
            # also ties the two together in the verifier's eyes, and a loop whose counter is tied converges late.)
            both = free & ~self.avoid[param]
            machine = next((other for other in _ORDER if both >> other & 1), machine)
        if param >= 0 and param not in self.wanted:
            self.wanted[param] = machine
        self.place[reg] = machine
        self.owner[machine] = reg
        return machine

    def run(self) -> None:
        for block in self.function.blocks:
            self._block(block)

    def _block(self, block: MBlock) -> None:
        place, pick, owner = self.place, self.pick, self.owner
        busy = 0
        for reg in block.live_in:
            machine = place[reg]
            busy |= 1 << machine
            owner[machine] = reg
        for param in block.used_params:
            busy |= 1 << pick(param, busy, self.wanted.get(param, -1))
        for kind, code, dst, a, b, _, _, _, _, flags in block.insns:
            if kind == CALL:
                busy = busy & ~0x3F | (dst == 0)
                owner[0] = 0
                continue
            second = -1
            late = 0  # bits to free once the result has its register
            if flags & B_DIES:
                bit = 1 << place[b]
                if kind == SETCC or (kind == FETCH and a == b):
                    late = bit
                elif kind == FETCH or a == b or (kind == ALU and code in COMMUTES and not flags & A_DIES):
                    busy &= ~bit
                    second = place[b]
                else:
                    late = bit
            if flags & A_DIES:
                bit = 1 << place[a]
                if kind in (SETCC, FETCH):
                    late |= bit
                else:
                    busy &= ~bit
                    second = place[a]
            if dst >= VIRTUAL:
                bit = 1 << pick(dst, busy, second)
                if not flags & DST_DIES:
                    late &= ~bit
                    busy |= bit
            elif dst >= 0:
                owner[dst] = dst
                busy |= 1 << dst
            busy &= ~late

    # -- when there are too few registers ---------------------------------------------------------

    def _evict(self, reg: int, busy: int) -> int:
        """Choose the cheapest of `reg` and those in its way to live in memory; where `reg` goes this round."""
        if self.weights is None:
            self.weights = _weights(self.function)
        weights, taken, owner = self.weights, self.function.pinned | self.spilled, self.owner
        usable = [machine for machine in _ORDER if not self.avoid[reg] >> machine & 1]
        others = [m for m in usable if busy >> m & 1 and owner[m] >= VIRTUAL and owner[m] not in taken]
        where = min(others, key=lambda m: weights[owner[m]], default=usable[-1])
        if reg not in taken and (not others or weights[reg] <= weights[owner[where]]):
            self.spilled.add(reg)
        elif others:
            self.spilled.add(owner[where])
        elif not self.spilled:
            raise AssertionError("register allocation: nothing is left to spill")
        return where


def _weights(function: MFunction) -> dict[int, int]:
    """How much each register is used; a use in a loop counts eightfold."""
    weights: dict[int, int] = {}
    for block in function.blocks:
        cost = 8 ** min(block.depth, 6)
        term = block.term
        compared = [] if term is None else term[1:3]
        # a compared value that goes to memory may lose, on older kernels, what the comparison showed
        for reg in compared:
            weights[reg] = weights.get(reg, 0) + 3 * cost
        for reg in [arg for arg in block.args if arg.__class__ is int] + block.params:
            weights[reg] = weights.get(reg, 0) + cost
        for insn in block.insns:
            for reg in insn[2:5]:
                weights[reg] = weights.get(reg, 0) + cost
    return weights


def allocate(function: MFunction, stack_bytes: int) -> list[int]:
    """The machine register of every register; code for spills is added to `function`.

    `stack_bytes` are in use already; `function.stack_bytes` is the frame with spills.
    """
    function.stack_bytes = stack_bytes
    while True:
        allocator = Allocator(function, analyse(function))
        if max(function.blocks[0].live_in, default=0) >= VIRTUAL:
            raise AssertionError(f"function {function.name} uses a value that is not defined on every path to its use")
        allocator.run()
        if not allocator.spilled:
            return allocator.place
        from cygnet.codegen.spill import spill

        spill(function, allocator.spilled)
