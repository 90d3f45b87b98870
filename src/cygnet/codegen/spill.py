"""Spilling: registers that did not fit live in 8-byte stack slots; each use loads, each definition stores."""

from __future__ import annotations

from cygnet.codegen import opcodes as op
from cygnet.codegen.machine import CALL, DEF, FP, LOAD, MOV, STORE, MFunction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.codegen.machine import Insn, MBlock


def spill(function: MFunction, spilled: set[int]) -> None:
    """Rewrite `function` so that the registers `spilled` are in memory; the frame grows by their slots."""
    Spiller(function, spilled).run()


class Spiller:
    __slots__ = ("function", "out", "places")

    def __init__(self, function: MFunction, spilled: set[int]) -> None:
        self.function = function
        self.places = _share_slots(function, spilled)  # register -> offset from r10
        self.out: list[Insn] = []

    def run(self) -> None:
        blocks = self.function.blocks
        targets = [list(block.params) for block in blocks]
        for block in blocks:
            self.out = []
            for insn in block.insns:
                self._insn(insn)
            term = block.term
            if term is not None:
                self._uses(term, (1, 2), term[6])
                if block.args:
                    self._edge(block, targets[term[4]])
            block.insns = self.out
        for block in blocks:
            block.params = [param for param in block.params if param not in self.places]

    def _fresh(self) -> int:
        reg = self.function.virtuals
        self.function.virtuals = reg + 1
        self.function.pinned.add(reg)
        return reg

    def _load(self, dst: int, offset: int, span: Any) -> None:
        self.out.append([LOAD, op.LOAD[8], dst, FP, -1, offset, 0, None, span, 0])

    def _store(self, reg: int, offset: int, span: Any) -> None:
        self.out.append([STORE, op.STORE[8], -1, FP, reg, offset, 0, None, span, 0])

    def _uses(self, insn: Insn, at: tuple[int, ...], span: Any) -> None:
        """Load the spilled operands at these positions of an instruction or terminator."""
        loaded: dict[int, int] = {}
        for position in at:
            reg = insn[position]
            offset = self.places.get(reg)
            if offset is None:
                continue
            if reg not in loaded:
                loaded[reg] = self._fresh()
                self._load(loaded[reg], offset, span)
            insn[position] = loaded[reg]

    def _insn(self, insn: Insn) -> None:
        kind, _, dst, a, *_ = insn
        if kind == CALL:
            self.out.append(insn)
            return
        span = insn[8]
        if kind == MOV:
            source, target = self.places.get(a), self.places.get(dst)
            if source is not None and target is None:
                self._load(dst, source, span)
                return
            if target is not None and source is None:
                self._store(a, target, span)
                return
        self._uses(insn, (3, 4), span)
        self.out.append(insn)
        offset = self.places.get(dst)
        if offset is not None:
            insn[2] = self._fresh()
            hint = self.function.hint.get(dst)
            if hint is not None:
                self.function.hint[insn[2]] = hint
            self._store(insn[2], offset, span)

    # -- block parameters ---------------------------------------------------------------------------

    def _edge(self, block: MBlock, params: list[int]) -> None:
        """Arguments for parameters in memory are stored at the end of the block; those from memory
        for parameters in registers are loaded when the moves are made."""
        places = self.places
        assert block.term is not None
        span = block.term[6]
        sources = [places.get(arg) if arg.__class__ is int else None for arg in block.args]
        sources = [arg[1] if arg.__class__ is tuple and arg[0] == "mem" else at for arg, at in zip(block.args, sources)]
        written = {places[p] for p, at in zip(params, sources) if p in places and places[p] != at}
        for number, at in enumerate(sources):
            if at in written:  # it would be overwritten before it is read
                safe = _new_slot(self.function)
                self._copy(at, safe, span)
                sources[number] = safe
        kept = []
        for arg, param, at in zip(block.args, params, sources):
            target = places.get(param)
            if target is None:
                kept.append(arg if at is None else ("mem", at))
            elif at is not None:
                if at != target:
                    self._copy(at, target, span)
            elif arg.__class__ is int:
                self._store(arg, target, span)
            else:
                self._number(arg[1], target, span)
        block.args = kept

    def _copy(self, source: int, target: int, span: Any) -> None:
        reg = self._fresh()
        self._load(reg, source, span)
        self._store(reg, target, span)

    def _number(self, number: int, target: int, span: Any) -> None:
        if number <= 0x7FFFFFFF:
            self.out.append([STORE, op.STORE_K[8], -1, FP, -1, target, number, None, span, 0])
            return
        reg = self._fresh()
        self.out.append([DEF, op.MOV32_K, reg, -1, -1, 0, number - (1 << 32), None, span, 0])
        self._store(reg, target, span)


def _new_slot(function: MFunction) -> int:
    function.stack_bytes += 8
    return -function.stack_bytes


def _share_slots(function: MFunction, spilled: set[int]) -> dict[int, int]:
    """A slot for each; two share one when their stretches of the code do not overlap."""
    spans = _stretches(function, spilled)
    places: dict[int, int] = {}
    free_at: list[tuple[int, int]] = []  # (last position of the present tenant, offset)
    for reg in sorted(spilled, key=lambda reg: spans[reg]):
        start, end = spans[reg]
        for number, (last, offset) in enumerate(free_at):
            if last < start:
                free_at[number] = (end, offset)
                break
        else:
            offset = _new_slot(function)
            free_at.append((end, offset))
        places[reg] = offset
    return places


def _stretches(function: MFunction, spilled: set[int]) -> dict[int, tuple[int, int]]:
    first: dict[int, int] = {}
    last: dict[int, int] = {}

    def touch(reg: int, position: int) -> None:
        if reg in spilled:
            first[reg] = min(first.get(reg, position), position)
            last[reg] = max(last.get(reg, position), position)

    blocks = function.blocks
    position = 0
    for block in blocks:
        start = position
        for reg in block.live_in & spilled:
            touch(reg, position)
        for reg in block.params:
            touch(reg, position)
        for insn in block.insns:
            position += 1
            if insn[0] != CALL:
                for reg in insn[2:5]:
                    touch(reg, position)
        position += 1
        term = block.term
        if term is not None:
            for reg in (*term[1:3], *(arg for arg in block.args if arg.__class__ is int)):
                touch(reg, position)
            for target in block.successors():
                for reg in blocks[target].live_in & spilled:
                    touch(reg, position)
                for reg in blocks[target].params:
                    touch(reg, position)
        for reg in block.extra_live & spilled:
            touch(reg, start)
            touch(reg, position)
        position += 1
    return {reg: (first.get(reg, 0), last.get(reg, 0)) for reg in spilled}
