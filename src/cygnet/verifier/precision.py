"""Which scalars mattered: when a value decides something, walk the path backwards and mark what it came from.

A scalar in a checkpoint that was never marked may be anything when another path arrives there, which is what makes
pruning work. The walk follows the history of the path, instruction by instruction, through checkpoints and frames.
"""

from __future__ import annotations

from cygnet.isa.consts import (
    BPF_ABS,
    BPF_ALU,
    BPF_ALU64,
    BPF_ATOMIC,
    BPF_CALL,
    BPF_CMPXCHG,
    BPF_END,
    BPF_EXIT,
    BPF_FETCH,
    BPF_IND,
    BPF_JMP,
    BPF_JMP32,
    BPF_LD,
    BPF_LDX,
    BPF_LOAD_ACQ,
    BPF_MODE_MASK,
    BPF_MOV,
    BPF_NEG,
    BPF_ST,
    BPF_STORE_REL,
    BPF_STX,
    BPF_X,
)
from cygnet.verifier.bits import shl
from cygnet.verifier.env import EFAULT, Env, Ins
from cygnet.verifier.reg import SCALAR
from cygnet.verifier.state import DST_STACK, MAIN, SRC_STACK, STACK_ACCESS, Reject, State, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

_ARGS: Final[i64] = 0b111110  # r1 to r5
_SYNC_CALLBACKS: Final = (164, 180, 181, 209)  # for_each_map_elem, find_vma, loop, user_ringbuf_drain
_TAIL_CALL: Final[i64] = 12


class _GiveUp(Exception):
    """The walk cannot be exact here: everything is marked."""


class Wanted:
    """Registers and slots, by frame, whose sources are being looked for."""

    __slots__ = ("frame", "regs", "slots")

    def __init__(self, frame: i64) -> None:
        self.frame: i64 = frame
        self.regs: list[i64] = [0] * 9
        self.slots: list[i64] = [0] * 9

    def empty(self) -> bool:
        at: i64 = 0
        while at <= self.frame:
            if self.regs[at] or self.slots[at]:
                return False
            at += 1
        return True

    def has(self, reg: i64) -> bool:
        return bool((self.regs[self.frame] >> reg) & 1)

    def add(self, reg: i64) -> None:
        self.regs[self.frame] |= shl(1, reg)

    def drop(self, reg: i64) -> None:
        self.regs[self.frame] &= ~shl(1, reg)

    def enter(self) -> None:
        if self.frame >= 7:
            raise _GiveUp
        self.frame += 1
        self.regs[self.frame] = 0
        self.slots[self.frame] = 0

    def leave(self) -> None:
        if self.frame == 0:
            raise _GiveUp
        self.frame -= 1


def mark(env: Env, reg: i64) -> None:
    """The exact value of a register of the current frame matters here."""
    state = env.cur
    frame = state.frame()
    if frame.regs[reg].type != SCALAR:
        return
    wanted = Wanted(len(state.frames) - 1)
    wanted.add(reg)
    walk(env, state, wanted, env.insn)


def walk(env: Env, start: State, wanted: Wanted, at: i64) -> bool:
    """Mark the sources of what is wanted in the checkpoints before; True when a mark is new.

    `at` is the instruction that the state is at; it has not been passed yet.
    """
    insns = env.insns
    state = start
    changed = False
    first = True
    following: i64 = -1
    while True:
        history = state.history
        left: i64 = len(history)
        if wanted.empty():
            return changed
        if at < 0:
            return _entry(env, state, wanted) or changed
        regs = wanted.regs[wanted.frame]
        while True:
            step: Step | None = history[left - 1] if left else None
            if step is not None and step.at != at:
                step = None
            if first:
                first = False
            else:
                touches = insns[at].touches
                if step is not None or touches < 0 or touches & regs:
                    try:
                        _back(env, at, following, step, wanted)
                    except _GiveUp:
                        return _mark_all(start) or changed
                    if wanted.empty():
                        return changed
                    regs = wanted.regs[wanted.frame]
            following = at
            # the instruction before: by the history, else the one above
            if at == state.first_insn and (left == 0 or (left == 1 and step is not None)):
                break  # the last step of all is the jump from the parent's part of the path
            if step is not None:
                at = step.before
                left -= 1
            else:
                at -= 1
            if at < 0:
                break
        following = state.first_insn
        parent = state.parent
        if parent is None:
            break
        state = parent
        changed = _apply(state, wanted) or changed
        at = state.last_insn
    if not wanted.empty():
        changed = _mark_all(start) or changed
    return changed


def _entry(env: Env, state: State, wanted: Wanted) -> bool:
    """At the beginning of a global function: its arguments are what they are."""
    frame = state.frames[0]
    if len(state.frames) != 1 or frame.subprog == 0 or frame.callsite != MAIN or wanted.slots[0]:
        return _mark_all(state)
    marks = wanted.regs[0]
    changed = False
    reg: i64 = 1
    while reg <= 5:
        if (marks >> reg) & 1 and frame.regs[reg].type == SCALAR and not (frame.precise >> reg) & 1:
            frame.precise |= shl(1, reg)
            changed = True
        reg += 1
    wanted.regs[0] = 0
    return changed


def _apply(state: State, wanted: Wanted) -> bool:
    """Mark a checkpoint; what is marked there already, or is no scalar, needs no more looking for."""
    changed = False
    number: i64 = wanted.frame
    while number >= 0:
        frame = state.frames[number]
        new: i64 = 0
        regs = wanted.regs[number]
        reg: i64 = 0
        while reg < 10 and regs:
            if (regs >> reg) & 1:
                if frame.regs[reg].type == SCALAR and not (frame.precise >> reg) & 1:
                    new |= shl(1, reg)
            reg += 1
        wanted.regs[number] = new
        if new:
            frame.precise |= new
            changed = True
        new = 0
        slots = wanted.slots[number]
        if slots:
            spi: i64 = 0
            count: i64 = len(frame.stack)
            while spi < count:
                if (slots >> spi) & 1 and frame.stack[spi].holds_scalar() and not (frame.precise_slots >> spi) & 1:
                    new |= shl(1, spi)
                spi += 1
            wanted.slots[number] = new
            if new:
                frame.precise_slots |= new
                changed = True
        number -= 1
    return changed


def _mark_all(start: State) -> bool:
    """The big hammer: every scalar of every checkpoint on this path."""
    changed = False
    state = start.parent
    while state is not None:
        for frame in state.frames:
            reg: i64 = 0
            while reg < 10:
                if frame.regs[reg].type == SCALAR and not (frame.precise >> reg) & 1:
                    frame.precise |= shl(1, reg)
                    changed = True
                reg += 1
            spi: i64 = 0
            for slot in frame.stack:
                if slot.holds_scalar() and not (frame.precise_slots >> spi) & 1:
                    frame.precise_slots |= shl(1, spi)
                    changed = True
                spi += 1
        state = state.parent
    return changed


def _sync_links(step: Step | None, wanted: Wanted) -> None:
    """When one of the registers that learnt together is wanted, all are."""
    if step is None or step.links is None:
        return
    some = False
    for link in step.links:
        number, is_slot, index = link & 7, (link >> 3) & 1, link >> 4
        mask = wanted.slots[number] if is_slot else wanted.regs[number]
        if (mask >> index) & 1:
            some = True
            break
    if some:
        for link in step.links:
            number, is_slot, index = link & 7, (link >> 3) & 1, link >> 4
            if is_slot:
                wanted.slots[number] |= shl(1, index)
            else:
                wanted.regs[number] |= shl(1, index)


def sync_callback(ins: Ins) -> bool:
    """Does this call a function of the program, from within a helper or kfunc, before it returns?"""
    if ins.code != BPF_JMP | BPF_CALL:
        return False
    if ins.src == 0:
        return ins.imm in _SYNC_CALLBACKS
    return ins.kfunc is not None and ins.calls_callback


def _back(env: Env, at: i64, following: i64, step: Step | None, wanted: Wanted) -> None:
    """What is wanted before instruction `at`, given what is wanted after it."""
    ins = env.insns[at]
    if ins.code == 0:
        return
    _sync_links(step, wanted)
    cls = ins.cls
    if cls == BPF_ALU or cls == BPF_ALU64:
        if not wanted.has(ins.dst):
            return
        if ins.op == BPF_END or ins.op == BPF_NEG:
            return
        if ins.op == BPF_MOV:
            wanted.drop(ins.dst)
        if ins.code & BPF_X and ins.src != 10:
            wanted.add(ins.src)
    elif cls == BPF_LDX or (cls == BPF_STX and ins.code & BPF_MODE_MASK == BPF_ATOMIC and ins.imm == BPF_LOAD_ACQ):
        if not wanted.has(ins.dst):
            return
        wanted.drop(ins.dst)
        if step is None or not step.flags & STACK_ACCESS:
            return
        wanted.slots[step.flags & 7] |= shl(1, (step.flags >> 3) & 63)
    elif cls == BPF_STX or cls == BPF_ST:
        _back_store(ins, step, wanted)
        if cls == BPF_STX and ins.code & BPF_MODE_MASK == BPF_ATOMIC:
            pass
    elif cls == BPF_JMP or cls == BPF_JMP32:
        if _back_jump(env, ins, at, following, step, wanted):
            return
    elif cls == BPF_LD:
        if not wanted.has(ins.dst):
            return
        wanted.drop(ins.dst)
        mode = ins.code & BPF_MODE_MASK
        if mode == BPF_IND or mode == BPF_ABS:
            raise _GiveUp
    _sync_links(step, wanted)


def _back_store(ins: Ins, step: Step | None, wanted: Wanted) -> None:
    atomic = ins.cls == BPF_STX and ins.code & BPF_MODE_MASK == BPF_ATOMIC and ins.imm != BPF_STORE_REL
    loaded: i64 = -1
    if atomic and ins.imm & BPF_FETCH:
        loaded = 0 if ins.imm == BPF_CMPXCHG else ins.src
    wants_loaded = loaded >= 0 and wanted.has(loaded)
    if wants_loaded:
        wanted.drop(loaded)
    elif wanted.has(ins.dst):
        # a store through what is wanted as a scalar: pointers were subtracted somewhere
        raise _GiveUp
    if step is None or not step.flags & STACK_ACCESS:
        return
    number, spi = step.flags & 7, (step.flags >> 3) & 63
    if wants_loaded:
        wanted.slots[number] |= shl(1, spi)
        return
    if not (wanted.slots[number] >> spi) & 1:
        return
    wanted.slots[number] &= ~shl(1, spi)
    if ins.cls == BPF_STX:
        wanted.add(ins.src)


def _back_jump(env: Env, ins: Ins, at: i64, following: i64, step: Step | None, wanted: Wanted) -> bool:
    """True when nothing more is to be done for this instruction."""
    if ins.op == BPF_CALL and ins.cls == BPF_JMP:
        if ins.src == 1:
            return _back_into_call(env, ins, at, wanted)
        if sync_callback(ins) and at != following - 1:
            # out of a callback, whose arguments come from the helper
            if wanted.regs[wanted.frame] & ~_ARGS or wanted.slots[wanted.frame]:
                raise _GiveUp
            wanted.regs[wanted.frame] = 0
            wanted.leave()
            return True
        if ins.src == 2 and ins.imm == 0:
            raise _GiveUp
        wanted.drop(0)
        if wanted.regs[wanted.frame] & _ARGS:
            raise _GiveUp
        if ins.src == 0 and ins.imm == _TAIL_CALL and following - at != 1:
            wanted.enter()
        return False
    if ins.op == BPF_EXIT and ins.cls == BPF_JMP:
        if following >= 0 and env.insns[following].calls_callback:
            wanted.regs[wanted.frame] &= ~_ARGS
        if wanted.regs[wanted.frame] & _ARGS:
            raise _GiveUp
        call = env.insns[following - 1] if following >= 1 else None
        result = call is not None and call.code == BPF_JMP | BPF_CALL and call.src == 1 and wanted.has(0)
        wanted.drop(0)
        wanted.enter()
        if result:
            wanted.add(0)
        return True
    if ins.op != 0 and ins.op != 0xE0 and ins.code & BPF_X:
        if not wanted.has(ins.dst) and not wanted.has(ins.src):
            return True
        flags: i64 = 0 if step is None else step.flags
        if not flags & SRC_STACK:
            wanted.add(ins.src)
        if not flags & DST_STACK:
            wanted.add(ins.dst)
    return False


def _back_into_call(env: Env, ins: Ins, at: i64, wanted: Wanted) -> bool:
    """A call of a function, coming from its first instruction (or from after it, when it is a global one)."""
    number = env.find_sub(at + ins.imm + 1)
    if number < 0:
        raise Reject("no function at a call's target", EFAULT)
    if env.subs[number].is_global:
        if wanted.regs[wanted.frame] & _ARGS:
            raise _GiveUp
        wanted.drop(0)
        return True
    marks = wanted.regs[wanted.frame]
    if marks & ~_ARGS or wanted.slots[wanted.frame]:
        raise _GiveUp
    wanted.regs[wanted.frame] = 0
    wanted.leave()
    wanted.regs[wanted.frame] |= marks
    return True
