"""Known states: when a path may stop because it was followed before, and when it goes round for ever.

Kernel: is_state_visited and what it calls. Where to add a state, how long to keep it, and when to give up on it are the
kernel's heuristics: they decide whether a large program stays within the limits.
"""

from __future__ import annotations

from cygnet.isa.consts import BPF_JCOND
from cygnet.verifier import precision
from cygnet.verifier.bits import shl
from cygnet.verifier.env import EINVAL, Env, push_history
from cygnet.verifier.equal import (
    EXACT,
    NOT_EXACT,
    RANGE_WITHIN,
    frame_insn,
    same_callsites,
    same_numbers,
    same_object,
    states_equal,
)
from cygnet.verifier.reg import NONE, SCALAR, RegState, unknown
from cygnet.verifier.state import EMPTY, ITER, Frame, Reject, Slot, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

_MAX_BACKEDGE_ROUNDS: Final = 64


class Visit:
    """A stay in a loop, by calling chain: the state that entered it, and paths that were cut at a state of the loop
    which had not come to its end, so that marks made there later must be brought to them."""

    __slots__ = ("backedges", "entry")

    def __init__(self) -> None:
        self.entry: State | None = None
        self.backedges: list[tuple[State, State]] = []  # the state found, and the path's own


def _bucket(state: State, insn: i64) -> i64:
    return insn ^ shl(state.frame().callsite & 0xFFFFFFFF, 21)


def _is_may_goto(env: Env, insn: i64) -> bool:
    ins = env.insns[insn]
    return ins.op == BPF_JCOND and ins.cls == 5


def _is_iter_next(env: Env, insn: i64) -> bool:
    ins = env.insns[insn]
    return ins.kfunc is not None and ins.kfunc.is_iter_next


def visited(env: Env, insn: i64) -> bool:
    """True when the path ends here, known to be safe."""
    cur = env.cur
    ins = env.insns[insn]
    force = env.test_states or ins.checkpoint or len(cur.history) > 40
    add = force
    if env.jumps - env.prev_jumps >= 2 and env.processed - env.prev_processed >= 8:
        add = True
    key = _bucket(cur, insn)
    states = env.explored.get(key)
    if states is None:
        if not add:
            return False
        states = env.explored[key] = []
    else:
        _clean_finished(env, states, cur, insn)
    dropped: list[State] = []
    at = len(states) - 1
    while at >= 0:  # the newest first
        old = states[at]
        at -= 1
        if old.insn != insn:
            continue
        loop = False
        hit = False
        if old.branches:
            hit, loop, skip = _unfinished(env, old, cur, insn)
            if not hit:
                if not skip:
                    _check_endless(env, old, cur, insn)
                if not force and env.jumps - env.prev_jumps < 20 and env.processed - env.prev_processed < 100:
                    add = False
        else:
            loop = _incomplete(env, old)
            hit = states_equal(env, old, cur, RANGE_WITHIN if loop else NOT_EXACT)
        if hit:
            old.hits += 1
            if ins.jmp_point:
                push_history(env, cur, 0, None)
            propagate(env, old, cur)
            if loop:
                copy = cur.copy()
                copy.insn = insn
                _add_backedge(env, old, copy)
            _forget(states, dropped)
            return True
        if add:
            old.misses += 1
        keep: i64 = 64 if ins.checkpoint and old.branches > 0 else 3
        if old.misses > old.hits * keep + keep:
            dropped.append(old)
    _forget(states, dropped)
    if add:
        _remember(env, states, insn)
    return False


def _forget(states: list[State], dropped: list[State]) -> None:
    for old in dropped:
        states.remove(old)


def _unfinished(env: Env, old: State, cur: State, insn: i64) -> tuple[bool, bool, bool]:
    """Of a state on the current path: (found, in a loop, do not look for an endless one)."""
    frame = old.frame()
    if frame.in_async_callback and frame.async_entry != cur.frame().async_entry:
        return False, False, True
    if _is_iter_next(env, insn):
        if states_equal(env, old, cur, RANGE_WITHIN):
            reg = cur.frame().regs[1]
            top = -(reg.off + reg.value) - 1
            slots = env.frame_of(reg).stack
            if 0 <= top // 8 < len(slots) and slots[top // 8].reg.aux == 1:
                return True, True, True
        return False, False, True
    if _is_may_goto(env, insn):
        if old.may_goto_depth != cur.may_goto_depth and states_equal(env, old, cur, RANGE_WITHIN):
            return True, True, True
    if env.insns[insn].calls_callback:
        if states_equal(env, old, cur, RANGE_WITHIN):
            return True, True, True
        return False, False, True
    return False, False, False


def _maybe_looping(old: State, cur: State) -> bool:
    """A cheap look: the registers of the innermost frame are as they were."""
    if len(old.frames) != len(cur.frames):
        return False
    a, b = old.frame(), cur.frame()
    at: i64 = 0
    while at < 11:
        x, y = a.regs[at], b.regs[at]
        if x is not y and not (same_object(x, y) and x.id == y.id and x.ref == y.ref and same_numbers(x, y)):
            return False
        at += 1
    return True


def _check_endless(env: Env, old: State, cur: State, insn: i64) -> None:
    if not _maybe_looping(old, cur):
        return
    if old.may_goto_depth != cur.may_goto_depth or old.callback_unroll != cur.callback_unroll:
        return
    if not states_equal(env, old, cur, EXACT) or _iterators_differ(old, cur):
        return
    raise Reject(f"infinite loop detected at insn {insn}", EINVAL)


def _iterators_differ(old: State, cur: State) -> bool:
    """Has an active iterator gone on since?"""
    number: i64 = 0
    for frame in old.frames:
        others = cur.frames[number].stack
        number += 1
        at: i64 = 0
        for slot in frame.stack:
            if slot.kinds & 0xFF == ITER and slot.reg.aux == 1 and at < len(others):
                if others[at].kinds & 0xFF == ITER and others[at].reg.map_uid != slot.reg.map_uid:
                    return True
            at += 1
    return False


def _remember(env: Env, states: list[State], insn: i64) -> None:
    cur = env.cur
    env.total_states += 1
    env.prev_jumps = env.jumps
    env.prev_processed = env.processed
    for frame in cur.frames:
        frame.precise = 0
        frame.precise_slots = 0
    new = cur.copy()
    new.insn = insn
    new.branches = 1
    new.first_insn = cur.first_insn
    states.append(new)
    _enter_loop(env, new)
    cur.parent = new
    cur.first_insn = insn
    cur.dfs_depth = new.dfs_depth + 1
    cur.history = []
    env.step = None


# -- at the end of a path


def path_ended(env: Env, state: State) -> None:
    """One path less from each checkpoint back to the last one where another is open. Kernel: update_branch_counts."""
    at: State | None = state
    while at is not None:
        at.branches -= 1
        if at.branches > 0:
            return
        _leave_loop(env, at)
        at = at.parent


# -- loops


def _chain(env: Env, state: State) -> tuple[int, ...] | None:
    """The calls that lead into a loop, and the loop; None outside of loops."""
    if not env.scc_count:
        return None
    calls: list[int] = []
    last = len(state.frames) - 1
    number: i64 = 0
    while number <= last:
        insn = frame_insn(state, number)
        scc = env.insns[insn].scc
        if scc:
            return (*calls, -scc)
        calls.append(insn)
        number += 1
    return None


def _enter_loop(env: Env, state: State) -> None:
    chain = _chain(env, state)
    if chain is None:
        return
    visit = env.sccs.get(chain)
    if visit is None:
        visit = env.sccs[chain] = Visit()
    if visit.entry is None:
        visit.entry = state


def _leave_loop(env: Env, state: State) -> None:
    chain = _chain(env, state)
    if chain is None:
        return
    visit = env.sccs.get(chain)
    if visit is None or visit.entry is not state:
        return
    visit.entry = None
    rounds = 0
    changed = bool(visit.backedges)
    while changed:
        changed = False
        rounds += 1
        for old, cur in visit.backedges:
            if rounds > _MAX_BACKEDGE_ROUNDS:
                precision._mark_all(cur)
            elif propagate(env, old, cur):
                changed = True
        if rounds > _MAX_BACKEDGE_ROUNDS:
            break
    visit.backedges = []


def _add_backedge(env: Env, old: State, cur: State) -> None:
    chain = _chain(env, old)
    if chain is None:
        precision._mark_all(cur)
        return
    visit = env.sccs.get(chain)
    if visit is None:
        visit = env.sccs[chain] = Visit()
    visit.backedges.append((old, cur))
    env.any_backedge = True


def _incomplete(env: Env, state: State) -> bool:
    """May marks still come to this state?"""
    if not env.any_backedge:
        return False
    chain = _chain(env, state)
    if chain is None:
        return False
    visit = env.sccs.get(chain)
    return visit is not None and len(visit.backedges) > 0


def propagate(env: Env, old: State, cur: State) -> bool:
    """What mattered after the old state matters on the current path too; True when a mark is new."""
    wanted = precision.Wanted(len(old.frames) - 1)
    some = False
    number: i64 = 0
    for frame in old.frames:
        regs: i64 = 0
        at: i64 = 0
        while at < 10:
            if (frame.precise >> at) & 1 and frame.regs[at].type == SCALAR:
                regs |= shl(1, at)
            at += 1
        slots: i64 = 0
        at = 0
        if frame.precise_slots:
            for slot in frame.stack:
                if (frame.precise_slots >> at) & 1 and slot.holds_scalar():
                    slots |= shl(1, at)
                at += 1
        wanted.regs[number] = regs
        wanted.slots[number] = slots
        some = some or regs != 0 or slots != 0
        number += 1
    return some and precision.walk(env, cur, wanted, cur.insn)


# -- cleaning: what can no longer be read need not be the same


def _clean_finished(env: Env, states: list[State], cur: State, insn: i64) -> None:
    for state in states:
        if state.branches or state.cleaned or state.insn != insn or not same_callsites(state, cur):
            continue
        if _incomplete(env, state):
            continue
        _clean(env, state)


def _clean(env: Env, state: State) -> None:
    state.cleaned = True
    number: i64 = 0
    for frame in state.frames:
        insn = frame_insn(state, number)
        live = env.insns[insn].live
        at: i64 = 0
        while at < 10:
            if not (live >> at) & 1:
                frame.regs[at] = NONE
            at += 1
        if env.stack_live is not None:
            _clean_stack(env, state, frame)
        number += 1


def _clean_stack(env: Env, state: State, frame: Frame) -> None:
    alive: i64 = env.stack_live.alive(state, frame.number)
    at: i64 = 0
    for slot in frame.stack:
        if not (alive >> at) & 1 and slot.kinds:
            frame.stack[at] = EMPTY
        at += 1


# -- widening


def previous_entry(env: Env, state: State, insn: i64) -> State | None:
    """The nearest state on this path that was at the same place."""
    states = env.explored.get(_bucket(state, insn))
    if states is None:
        return None
    at = len(states) - 1
    while at >= 0:
        old = states[at]
        at -= 1
        if old.insn == insn and old.branches and same_callsites(old, state) and old.dfs_depth < state.dfs_depth:
            return old
    return None


def widen(env: Env, old: State, cur: State) -> None:
    """Forget scalars that changed since and whose value did not matter, so that rounds of a loop look the same."""
    number: i64 = len(old.frames) - 1
    while number >= 0:
        a, b = old.frames[number], cur.frames[number]
        at: i64 = 0
        while at < 10:
            new = _widened(a.regs[at], b.regs[at], bool(((a.precise | b.precise) >> at) & 1))
            if new is not None:
                b.regs[at] = new
            at += 1
        at = 0
        precise = a.precise_slots | b.precise_slots
        for slot in a.stack:
            if at >= len(b.stack):
                break
            other = b.stack[at]
            if slot.holds_register() and other.holds_register():
                new = _widened(slot.reg, other.reg, bool((precise >> at) & 1))
                if new is not None:
                    b.stack[at] = Slot(other.kinds, new)
            at += 1
        number -= 1


def _widened(old: RegState, cur: RegState, precise: bool) -> RegState | None:
    if old.type != SCALAR or cur.type != SCALAR or precise or old is cur:
        return None
    if old.off == cur.off and same_numbers(old, cur):
        return None
    return unknown()
