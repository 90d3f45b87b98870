"""Machine instructions before they are bytes: what isel makes, regalloc fills in, and emit writes.

An instruction is a list, because a list is the cheapest thing to make and to change::

    [kind, code, dst, a, b, off, imm, extra, span, flags]

Registers are ints: 0-10 are the machine's, larger ones are virtual, -1 is none. `code` is the whole
opcode. What a kind means::

    MOV     dst = a                                    gone when both are one register
    LOAD    dst = code(a + off)                        loads, and one-source arithmetic (w = w, imm)
    ALU     dst = a code (b or imm)                    two-address: becomes mov dst, a; dst code= b
    STORE   *(a + off) = b or imm                      also atomics that give nothing back
    DEF     dst = imm                                  mov, or the two-slot load; off = its pseudo source
    CALL    r0 = imm(r1 ... r`a`)                      off = pseudo source, b = -1
    SETCC   dst = 1 if a code (b or imm) else 0        three instructions
    FETCH   dst = old *(a + off), which takes b        atomics with fetch
    EXIT    return r0

`extra` is a RelocTemplate, or the name of a function of the module (str). `flags`: A_DIES, B_DIES.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Insn: TypeAlias = "list[Any]"

MOV, LOAD, ALU, STORE, DEF, CALL, SETCC, FETCH, EXIT = range(9)
KIND_NAMES = ("mov", "load", "alu", "store", "def", "call", "setcc", "fetch", "exit")

KIND, CODE, DST, A, B, OFF, IMM, EXTRA, SPAN, FLAGS = range(10)
A_DIES, B_DIES = 1, 2

FP = 10
#: the first virtual register
VIRTUAL = 11


class MBlock:
    """Instructions of one block, in order.

    A `term` is None (the block ends in EXIT), or a list [code, a, b, imm, then, other, span, flags]:
    code 0 is a jump to `then`, with `args` for its `params`; other codes go to `then` when the
    condition holds; MAY_GOTO goes to `other` when the budget is spent.
    """

    __slots__ = ("args", "depth", "extra_live", "index", "insns", "live_in", "name", "params", "term", "used_params")

    def __init__(self, index: int, name: str) -> None:
        self.index = index
        self.name = name
        self.params: list[int] = []
        self.used_params: list[int] = []
        self.insns: list[Insn] = []
        self.args: list[Any] = []  # a register, or ("imm", number) for a constant
        self.term: list[Any] | None = None
        self.live_in: set[int] = set()
        self.extra_live: set[int] = set()
        self.depth = 0

    def successors(self) -> tuple[int, ...]:
        term = self.term
        if term is None:
            return ()
        return (term[4],) if term[0] == 0 else (term[4], term[5])


class MFunction:
    """A function after selection. `hint`: virtual register → a machine register or a block parameter it
    would like to share. `pinned`: registers that must not be spilled again.."""

    __slots__ = ("blocks", "hint", "kind", "loops", "name", "pinned", "span", "stack_bytes", "virtuals")

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.blocks: list[MBlock] = []
        self.hint: dict[int, int] = {}
        self.pinned: set[int] = set()
        self.virtuals = VIRTUAL
        self.stack_bytes = 0
        self.span: Any = None
        self.loops: list[tuple[int, set[int]]] = []


def natural_loops(successors: list[tuple[int, ...]]) -> list[tuple[int, set[int]]]:
    """(header, blocks) of each loop of a graph in reverse postorder, outer loops first."""
    latches: dict[int, list[int]] = {}
    for at, targets in enumerate(successors):
        for target in targets:
            if target <= at:
                latches.setdefault(target, []).append(at)
    if not latches:
        return []
    preds: list[list[int]] = [[] for _ in successors]
    for at, targets in enumerate(successors):
        for target in targets:
            preds[target].append(at)
    loops = []
    for header in sorted(latches):
        blocks = {header}
        todo = latches[header]
        while todo:
            block = todo.pop()
            if block not in blocks:
                blocks.add(block)
                todo.extend(preds[block])
        loops.append((header, blocks))
    return loops
