"""Liveness: which registers are live into each block, where a value dies, and what it must avoid.

One backward pass; with loops a second one, after what lives into a loop's header has been spread
over the whole loop (enough for reducible graphs, and the front ends make no others).
"""

from __future__ import annotations

from cygnet.codegen.machine import A_DIES, B_DIES, CALL, VIRTUAL, MFunction, natural_loops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.codegen.machine import MBlock

#: the result of an instruction is never used
DST_DIES = 4
_CALL_CLOBBERS = 0x3F  # r0-r5


def analyse(function: MFunction) -> list[int]:
    """Fill in `live_in` and the death flags; for each register, a mask of machine registers to avoid."""
    blocks = function.blocks
    loops = function.loops = natural_loops([block.successors() for block in blocks])
    for block in blocks:
        block.extra_live = set()
        block.live_in = set()
        block.used_params = []
        block.depth = 0
    avoid = _pass(function)
    if not loops:
        return avoid
    for header, members in loops:
        through = blocks[header].live_in | blocks[header].extra_live
        through.difference_update(blocks[header].params)
        for member in members:
            blocks[member].extra_live |= through
            blocks[member].depth += 1
    return _pass(function)


def _pass(function: MFunction) -> list[int]:
    avoid = [0] * function.virtuals
    blocks = function.blocks
    for index in range(len(blocks) - 1, -1, -1):
        block = blocks[index]
        live = _live_out(block, blocks)
        _walk(block, live, avoid)
        block.live_in = live
    return avoid


def _live_out(block: MBlock, blocks: list[MBlock]) -> set[int]:
    live = set(block.extra_live)
    term = block.term
    if term is None:
        return live
    for target in block.successors():
        live |= blocks[target].live_in
    if term[0] == 0:
        for arg in block.args:
            if arg.__class__ is int:
                live.add(arg)
        return live
    flags = 0
    _, a, b = term[:3]
    if b >= 0 and b not in live:
        flags = B_DIES
        live.add(b)
    if a >= 0 and a not in live:
        flags |= A_DIES
        live.add(a)
    term[7] = flags
    return live


def _walk(block: MBlock, live: set[int], avoid: list[int]) -> None:
    add = live.add
    for insn in reversed(block.insns):
        kind, _, dst, a, b, *_ = insn
        if kind == CALL:
            live.discard(dst)
            for reg in live:
                avoid[reg] |= _CALL_CLOBBERS
            live.update(range(1, a + 1))
            continue
        flags = 0
        if dst >= 0:
            if dst in live:
                live.remove(dst)
            else:
                flags = DST_DIES
            if dst < VIRTUAL:
                bit = 1 << dst
                for reg in live:
                    avoid[reg] |= bit
        if b >= 0 and b not in live:
            flags |= B_DIES
            add(b)
        if a >= 0 and a != 10 and a not in live:
            flags |= A_DIES
            add(a)
        insn[9] = flags
    if block.params:
        block.used_params = [param for param in block.params if param in live]
        live.difference_update(block.params)
