"""Block order: reverse postorder, predecessors, and what cannot be reached."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Block, Function, Value


def reverse_postorder(entry: Block) -> list[Block]:
    """The blocks that can be reached, each before what it dominates; loops stay in one piece.

    The first target of a branch comes right after it where possible.
    """
    done: list[Block] = []
    seen = {entry}
    stack = [(entry, list(entry.successors()))]
    while stack:
        block, targets = stack[-1]
        while targets:
            target = targets.pop()
            if target not in seen:
                seen.add(target)
                stack.append((target, list(target.successors())))
                break
        else:
            done.append(block)
            stack.pop()
    done.reverse()
    return done


def arrange(function: Function) -> None:
    """Put the blocks in reverse postorder, drop the unreachable ones and recompute `preds`."""
    blocks = function.blocks = reverse_postorder(function.blocks[0])
    for block in blocks:
        block.preds = []
    for block in blocks:
        for target in block.successors():
            target.preds.append(block)


def dominators(function: Function) -> dict[Block, Block]:
    """Immediate dominators of arranged blocks (Cooper, Harvey and Kennedy); the entry's is itself."""
    blocks = function.blocks
    at = {block: index for index, block in enumerate(blocks)}
    idom: list[int] = [0] + [-1] * (len(blocks) - 1)
    changed = True
    while changed:
        changed = False
        for index in range(1, len(blocks)):
            new = -1
            for pred in blocks[index].preds:
                other = at[pred]
                if idom[other] < 0:
                    continue
                new = other if new < 0 else _meet(idom, new, other)
            if idom[index] != new:
                idom[index] = new
                changed = True
    return {block: blocks[idom[index]] for block, index in at.items()}


def _meet(idom: list[int], a: int, b: int) -> int:
    while a != b:
        while a > b:
            a = idom[a]
        while b > a:
            b = idom[b]
    return a


def replace_uses(function: Function, new: dict[Value, Value]) -> None:
    """Exchange values in all arguments; a replacement may itself be replaced."""
    if not new:
        return
    get = new.get

    def final(value: Value) -> Value:
        while (other := get(value)) is not None:
            value = other
        return value

    for block in function.blocks:
        for value in block.body:
            for arg in value.args:
                if arg in new:
                    value.args = tuple([final(arg) for arg in value.args])
                    break
        term = block.term
        if term is not None:
            for arg in term.args:
                if arg in new:
                    term.args = tuple([final(arg) for arg in term.args])
                    break
