"""Blocks of a function, and the trees they make: what can be nested code, and what must be jumped to."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cygnet.vm.program import Program, Step

_COPIED_STEPS = 6  # a block that several lead to is written out for each when it is as short
_DEPTH = 24  # blocks nested deeper are jumped to


class Block:
    """Steps that run one after the other. `goes_to` are slots: of a condition first where it is true."""

    __slots__ = ("came_from", "goes_to", "start", "steps")

    def __init__(self, start: int, steps: list[Step]) -> None:
        self.start = start
        self.steps = steps
        self.goes_to: tuple[int, ...] = ()
        self.came_from: list[int] = []

    @property
    def last(self) -> Step:
        return self.steps[-1]


class Function:
    """The blocks of one function, in order; `heads` are those that code jumps to, the entry first."""

    def __init__(self, start: int, blocks: dict[int, Block]) -> None:
        self.start = start
        self.blocks = blocks
        self.loops = {to for block in blocks.values() for to in block.goes_to if to <= block.last.pc}
        self.heads = self._find_heads()

    @property
    def steps(self) -> int:
        return sum(len(block.steps) for block in self.blocks.values())

    def _find_heads(self) -> list[int]:
        heads = {self.start, *self.loops}
        for start, block in self.blocks.items():
            if len(block.came_from) > 1 and not self._is_copied(block):
                heads.add(start)
        while deep := self._too_deep(heads):
            heads.update(deep)
        return [self.start, *sorted(heads - {self.start})]

    def _is_copied(self, block: Block) -> bool:
        return len(block.steps) <= _COPIED_STEPS and block.last.row.form in ("exit", "goto")

    def _too_deep(self, heads: set[int]) -> set[int]:
        """Blocks that would be nested too deep below their heads."""
        deep: set[int] = set()
        for head in heads:
            todo = [(head, 0)]
            while todo:
                start, depth = todo.pop()
                for to in self.blocks[start].goes_to:
                    if to in heads or to in deep:
                        continue
                    if depth == _DEPTH:
                        deep.add(to)
                    else:
                        todo.append((to, depth + (len(self.blocks[start].goes_to) > 1)))
        return deep


def functions_of(program: Program) -> list[Function]:
    """Every function of a program, with its blocks."""
    starts = [*program.starts, len(program)]
    steps = list(program.steps.values())
    places = list(program.steps)
    bounds = pairwise([bisect_left(places, start) for start in starts])
    return [Function(start, _blocks(start, steps[low:high])) for start, (low, high) in zip(starts, bounds)]


def _blocks(start: int, steps: Sequence[Step]) -> dict[int, Block]:
    leaders = {start}
    for step in steps:
        if step.row.form in ("jump", "goto") and step.target is not None:
            leaders |= {step.target, step.next}
        elif step.row.form == "exit":
            leaders.add(step.next)
    blocks: dict[int, Block] = {}
    for step in steps:
        if step.pc in leaders:
            block = blocks[step.pc] = Block(step.pc, [])
        block.steps.append(step)
    for block in blocks.values():
        block.goes_to = _successors(block.last)
    for block in _reached(start, blocks):
        for to in block.goes_to:
            blocks[to].came_from.append(block.start)
    return blocks


def _successors(last: Step) -> tuple[int, ...]:
    form = last.row.form
    if form == "exit":
        return ()
    if form == "goto" and last.target is not None:
        return (last.target,)
    if form == "jump" and last.target is not None:
        return (last.target, last.next)
    return (last.next,)


def _reached(start: int, blocks: dict[int, Block]) -> list[Block]:
    seen, todo = {start}, [start]
    while todo:
        for to in blocks[todo.pop()].goes_to:
            if to not in seen:
                seen.add(to)
                todo.append(to)
    return [block for at, block in blocks.items() if at in seen]
