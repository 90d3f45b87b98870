"""Is a state covered by one that was explored before? Then the path need not be followed again. Kernel: states_equal."""

from __future__ import annotations

from cygnet.verifier import reg as r
from cygnet.verifier.bits import ule
from cygnet.verifier.env import Env
from cygnet.verifier.reg import ADD_CONST, NOT_INIT, SCALAR, RegState, unknown
from cygnet.verifier.state import (
    ALL_MISC,
    DYN,
    INVALID,
    IRQ,
    ITER,
    MISC,
    SPILL,
    ZERO,
    Frame,
    Slot,
    State,
)
from cygnet.verifier.tnum import tnum_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

# How exact: what was never used may differ (old state is finished); ranges must lie within; all the same
NOT_EXACT: Final[i64] = 0
EXACT: Final[i64] = 1
RANGE_WITHIN: Final[i64] = 2


class IdMap:
    """Which id of the current state plays the role of which id of the old one."""

    __slots__ = ("made", "news", "olds")

    def __init__(self) -> None:
        self.olds: list[i64] = []
        self.news: list[i64] = []
        self.made: i64 = 1 << 40

    def same(self, old: i64, new: i64) -> bool:
        if (old == 0) != (new == 0):
            return False
        if old == 0:
            return True
        at: i64 = 0
        count: i64 = len(self.olds)
        while at < count:
            if self.olds[at] == old:
                return self.news[at] == new
            if self.news[at] == new:
                return False
            at += 1
        if count >= 600:
            return False
        self.olds.append(old)
        self.news.append(new)
        return True

    def same_scalar(self, old: i64, new: i64) -> bool:
        """A scalar without id is linked with no other, like one with an id of its own."""
        if old == 0:
            self.made += 1
            old = self.made
        if new == 0:
            self.made += 1
            new = self.made
        return self.same(old, new)


def range_within(old: RegState, cur: RegState) -> bool:
    return (
        ule(old.umin, cur.umin)
        and ule(cur.umax, old.umax)
        and old.smin <= cur.smin
        and old.smax >= cur.smax
        and old.u32_min <= cur.u32_min
        and old.u32_max >= cur.u32_max
        and old.s32_min <= cur.s32_min
        and old.s32_max >= cur.s32_max
    )


def same_numbers(a: RegState, b: RegState) -> bool:
    return (
        a.value == b.value
        and a.mask == b.mask
        and a.smin == b.smin
        and a.smax == b.smax
        and a.umin == b.umin
        and a.umax == b.umax
        and a.s32_min == b.s32_min
        and a.s32_max == b.s32_max
        and a.u32_min == b.u32_min
        and a.u32_max == b.u32_max
    )


def same_object(a: RegState, b: RegState) -> bool:
    """The fixed part: kind, distance, what it points to."""
    return (
        a.type == b.type
        and a.off == b.off
        and a.aux == b.aux
        and a.map is b.map
        and a.map_uid == b.map_uid
        and a.btf is b.btf
        and a.btf_id == b.btf_id
    )


def _exact(old: RegState, cur: RegState, ids: IdMap) -> bool:
    return same_object(old, cur) and same_numbers(old, cur) and ids.same(old.id, cur.id) and ids.same(old.ref, cur.ref)


def covers(old: RegState, cur: RegState, precise: bool, ids: IdMap, exact: i64) -> bool:
    """Whatever was safe with `old` is safe with `cur`."""
    if old is cur and old.id == 0 and old.ref == 0 and exact != EXACT:
        if old.type == SCALAR:
            return True
    if exact == EXACT:
        if old.type == r.STACK and old.frame != cur.frame:
            return False
        return _exact(old, cur, ids)
    if old.type == NOT_INIT:
        if exact == NOT_EXACT or cur.type == NOT_INIT:
            return True
    if old.type != cur.type:
        return False
    kind = old.type & r.KIND
    if kind == SCALAR:
        if not precise and exact == NOT_EXACT:
            return True
        if (old.id & ADD_CONST) != (cur.id & ADD_CONST):
            return False
        if old.id & ADD_CONST and old.off != cur.off:
            return False
        return (
            range_within(old, cur)
            and tnum_in(old.value, old.mask, cur.value, cur.mask)
            and ids.same_scalar(old.id, cur.id)
        )
    if kind == r.MAP_VALUE or kind == r.MEM or kind == r.MAP_KEY or kind == r.BUF or kind == r.TP_BUFFER:
        return (
            same_object(old, cur)
            and range_within(old, cur)
            and tnum_in(old.value, old.mask, cur.value, cur.mask)
            and ids.same(old.id, cur.id)
            and ids.same(old.ref, cur.ref)
        )
    if kind == r.PKT or kind == r.PKT_META:
        if old.aux > cur.aux or old.off != cur.off or not ids.same(old.id, cur.id):
            return False
        if (old.aux < 0 or cur.aux < 0) and old.aux != cur.aux:
            return False  # at or beyond the end is more than a range
        return range_within(old, cur) and tnum_in(old.value, old.mask, cur.value, cur.mask)
    if kind == r.STACK:
        return _exact(old, cur, ids) and old.frame == cur.frame
    if kind == r.ARENA:
        return True
    return _exact(old, cur, ids)


_UNKNOWN: Final = unknown()


def _as_scalar(env: Env, slot: Slot) -> RegState | None:
    """What an eight-byte load from here gives, when it is a scalar."""
    if slot.holds_scalar64():
        return slot.reg
    kinds = slot.kinds
    if kinds == ALL_MISC:
        return _UNKNOWN
    at: i64 = 0
    while at < 8:
        kind = (kinds >> (at * 8)) & 0xFF
        if kind != MISC and not (kind == INVALID and env.uninit_stack):
            return None
        at += 1
    return _UNKNOWN


def _stack_covers(env: Env, old: Frame, cur: Frame, ids: IdMap, exact: i64) -> bool:
    spi: i64 = 0
    have: i64 = len(cur.stack)
    for old_slot in old.stack:
        precise = bool((old.precise_slots >> spi) & 1)
        cur_slot: Slot | None = cur.stack[spi] if spi < have else None
        spi += 1
        if cur_slot is old_slot and exact == NOT_EXACT and old_slot.kinds == 0:
            continue
        if not _slot_covers(env, old_slot, cur_slot, precise, ids, exact):
            return False
    return True


def _slot_covers(env: Env, old: Slot, cur: Slot | None, precise: bool, ids: IdMap, exact: i64) -> bool:
    if exact == EXACT and (cur is None or cur.kinds != old.kinds):
        return False
    old_kinds = old.kinds
    if old_kinds == 0:
        return True
    if cur is not None:
        old_reg = _as_scalar(env, old)
        if old_reg is not None and (old_kinds >> 56) == SPILL:
            cur_reg = _as_scalar(env, cur)
            if cur_reg is not None:
                return covers(old_reg, cur_reg, precise, ids, exact)
        elif old_reg is not None and not env.uninit_stack:
            cur_reg = _as_scalar(env, cur)
            if cur_reg is not None:
                return covers(old_reg, cur_reg, precise, ids, exact)
    at: i64 = 0
    while at < 8:
        kind = (old_kinds >> (at * 8)) & 0xFF
        at += 1
        if kind == INVALID or (env.uninit_stack and kind == MISC):
            continue
        if cur is None:
            return False
        now = (cur.kinds >> ((at - 1) * 8)) & 0xFF
        if kind == MISC and now == ZERO:
            continue
        if kind != now:
            return False
        if at == 8 and not _same_special(kind, old, cur, precise, ids, exact):
            return False
    return True


def _same_special(kind: i64, old: Slot, cur: Slot, precise: bool, ids: IdMap, exact: i64) -> bool:
    a, b = old.reg, cur.reg
    if kind == SPILL:
        return covers(a, b, precise, ids, exact)
    if kind == DYN:
        return a.aux == b.aux and a.map_uid == b.map_uid and ids.same(a.ref, b.ref)
    if kind == ITER:
        return a.btf is b.btf and a.btf_id == b.btf_id and a.aux == b.aux and ids.same(a.ref, b.ref)
    if kind == IRQ:
        return ids.same(a.ref, b.ref) and a.aux == b.aux
    return True


def frame_insn(state: State, number: i64) -> i64:
    """Where frame `number` is: the outer ones are at their calls."""
    if number == len(state.frames) - 1:
        return state.insn
    return state.frames[number + 1].callsite


def same_callsites(a: State, b: State) -> bool:
    if len(a.frames) != len(b.frames):
        return False
    at: i64 = 0
    for frame in a.frames:
        if frame.callsite != b.frames[at].callsite:
            return False
        at += 1
    return True


def _refs_cover(old: State, cur: State, ids: IdMap) -> bool:
    if len(old.refs) != len(cur.refs) or old.preempt_locks != cur.preempt_locks:
        return False
    if old.locks != cur.locks or old.rcu_locks != cur.rcu_locks:
        return False
    if not ids.same(old.irq_id, cur.irq_id) or not ids.same(old.lock_id, cur.lock_id):
        return False
    if old.lock_target is not cur.lock_target:
        return False
    at: i64 = 0
    for ref in old.refs:
        other = cur.refs[at]
        at += 1
        if not ids.same(ref.id, other.id) or ref.kind != other.kind or ref.target is not other.target:
            return False
    return True


def states_equal(env: Env, old: State, cur: State, exact: i64) -> bool:
    count: i64 = len(old.frames)
    if count != len(cur.frames) or old.sleepable != cur.sleepable:
        return False
    ids = IdMap()
    if not _refs_cover(old, cur, ids):
        return False
    number: i64 = 0
    while number < count:
        a, b = old.frames[number], cur.frames[number]
        if a.callsite != b.callsite:
            return False
        live = env.insns[frame_insn(old, number)].live
        if a.callback_depth > b.callback_depth:
            return False
        at: i64 = 0
        while at < 10:
            if (live >> at) & 1:
                if not covers(a.regs[at], b.regs[at], bool((a.precise >> at) & 1), ids, exact):
                    return False
            at += 1
        if not _stack_covers(env, a, b, ids, exact):
            return False
        number += 1
    return True
