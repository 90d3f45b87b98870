"""Spin locks: one is taken and given back, and in between only a few functions are called. Kernel: process_spin_lock."""

from __future__ import annotations

from cygnet.verifier import reg as r
from cygnet.verifier.env import EINVAL, Env, Ins, MapInfo
from cygnet.verifier.reg import RegState
from cygnet.verifier.state import (
    REF_ANY_LOCK,
    REF_LOCK,
    REF_RES_LOCK,
    REF_RES_LOCK_IRQ,
    Ref,
    Reject,
    Slot,
    State,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mypy_extensions import i64

_WHILE_LOCKED: Final = frozenset(
    "bpf_list_push_front_impl bpf_list_push_back_impl bpf_list_pop_front bpf_list_pop_back bpf_list_front bpf_list_back"
    " bpf_rbtree_add_impl bpf_rbtree_first bpf_rbtree_remove bpf_rbtree_root bpf_rbtree_left bpf_rbtree_right"
    " bpf_refcount_acquire_impl bpf_iter_num_new bpf_iter_num_next bpf_iter_num_destroy bpf_res_spin_lock"
    " bpf_res_spin_unlock bpf_res_spin_lock_irqsave bpf_res_spin_unlock_irqrestore bpf_arena_alloc_pages"
    " bpf_arena_free_pages bpf_arena_reserve_pages".split()
)


def kfunc_allowed(ins: Ins) -> bool:
    """May this kernel function be called while a lock is held?"""
    return ins.kfunc is not None and ins.kfunc.name in _WHILE_LOCKED


def helper(env: Env, reg: RegState, regno: i64, take: bool) -> None:
    """bpf_spin_lock and bpf_spin_unlock."""
    if env.cur.frame().in_callback and env.rbtree_callback:
        raise Reject("can't spin_{lock,unlock} in rbtree cb", 13)
    change(env, reg, regno, take, REF_LOCK)


def change(env: Env, reg: RegState, regno: i64, take: bool, kind: i64) -> None:
    resilient = kind != REF_LOCK
    word = "bpf_res_spin" if resilient else "bpf_spin"
    if reg.mask:
        raise Reject(f"R{regno} doesn't have constant offset. {word}_lock has to be at the constant offset", EINVAL)
    target, off = _field(reg, word, "res_spin_lock" if resilient else "spin_lock")
    if off != reg.value + reg.off:
        raise Reject(f"off {reg.value + reg.off} doesn't point to 'struct {word}_lock' that is at {off}", EINVAL)
    state = env.cur
    if take:
        _take(env, state, reg, kind, target)
        return
    if not state.locks:
        raise Reject(f"{word}_unlock without taking a lock", EINVAL)
    if find(state, kind, reg.id, target) is None:
        raise Reject(f"{word}_unlock of different lock", EINVAL)
    if reg.id != state.lock_id or target is not state.lock_target:
        raise Reject(f"{word}_unlock cannot be out of order", EINVAL)
    _give(state, kind, reg.id, target)
    drop_non_owning(env)


def _field(reg: RegState, word: str, kind: str) -> tuple[Any, i64]:
    """What the lock belongs to, and where in it the lock is."""
    if reg.type & r.KIND == r.MAP_VALUE:
        info: MapInfo = reg.map
        if info.btf is None and not info.specials:
            raise Reject(f"map '{info.name}' has to have BTF in order to use {word}_lock", EINVAL)
        field = info.special(kind)
        if field is None:
            raise Reject(f"map '{info.name}' has no valid {word}_lock", EINVAL)
        return info, field.off
    from cygnet.verifier.records import fields_of

    for each in fields_of(reg.btf, reg.btf_id):
        if each.kind == kind:
            return reg.btf, each.off
    raise Reject(f"local 'kptr' has no valid {word}_lock", EINVAL)


def find(state: State, kinds: i64, id: i64, target: Any) -> Ref | None:
    for ref in state.refs:
        if ref.kind & kinds and ref.id == id and ref.target is target:
            return ref
    return None


def _take(env: Env, state: State, reg: RegState, kind: i64, target: Any) -> None:
    if state.locks:
        if kind == REF_LOCK:
            if any(ref.kind & REF_LOCK for ref in state.refs):
                raise Reject("Locking two bpf_spin_locks are not allowed", EINVAL)
        elif find(state, REF_RES_LOCK | REF_RES_LOCK_IRQ, reg.id, target) is not None:
            raise Reject("Acquiring the same lock again, AA deadlock detected", EINVAL)
    state.refs = [*state.refs, Ref(kind, reg.id, env.insn, target)]
    state.locks += 1
    state.lock_id = reg.id
    state.lock_target = target


def _give(state: State, kind: i64, id: i64, target: Any) -> None:
    left = list(state.refs)
    at = len(left) - 1
    while at >= 0:
        ref = left[at]
        if ref.kind & kind and ref.id == id and ref.target is target:
            del left[at]
            break
        at -= 1
    state.refs = left
    state.locks -= 1
    state.lock_id = 0
    state.lock_target = None
    for ref in left:
        if ref.kind & REF_ANY_LOCK:
            state.lock_id = ref.id
            state.lock_target = ref.target


def drop_non_owning(env: Env) -> None:
    """References into lists and trees are good only while their lock is held."""
    from cygnet.verifier.references import invalidate

    for frame in env.cur.frames:
        at: i64 = 0
        for reg in frame.regs:
            if reg.type & r.NON_OWN_REF:
                frame.regs[at] = invalidate(reg)
            at += 1
        at = 0
        for slot in frame.stack:
            if slot.holds_register() and slot.reg.type & r.NON_OWN_REF:
                frame.stack[at] = Slot(slot.kinds, invalidate(slot.reg))
            at += 1
