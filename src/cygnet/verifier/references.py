"""What a program owns and must give back, and what becomes void when it does; id bookkeeping over whole states."""

from __future__ import annotations

from cygnet.verifier import reg as r
from cygnet.verifier.env import EINVAL, Env
from cygnet.verifier.reg import RegState, unknown
from cygnet.verifier.state import REF_PTR, Ref, Reject, Slot, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64


def acquire(env: Env, insn: i64, kind: i64 = REF_PTR, target: object = None) -> i64:
    id = env.new_id()
    env.cur.refs = [*env.cur.refs, Ref(kind, id, insn, target)]
    return id


def forget(state: State, id: i64) -> bool:
    """Drop a reference from the books; False when there is none of that id."""
    left = [ref for ref in state.refs if ref.id != id or ref.kind != REF_PTR]
    if len(left) == len(state.refs):
        return False
    state.refs = left
    return True


def invalidate(reg: RegState) -> RegState:
    """What a register holds whose object is gone: a number nobody should use."""
    return unknown()


def release(env: Env, id: i64) -> bool:
    """Give back: every copy of the pointer is void. False when it is not owned."""
    if not forget(env.cur, id):
        return False
    for frame in env.cur.frames:
        at: i64 = 0
        for reg in frame.regs:
            if reg.ref == id:
                frame.regs[at] = invalidate(reg)
            at += 1
        at = 0
        for slot in frame.stack:
            if slot.holds_register() and slot.reg.ref == id:
                frame.stack[at] = Slot(slot.kinds, invalidate(slot.reg))
            at += 1
    return True


def clear_packet_pointers(env: Env) -> None:
    """The packet may have moved."""
    for frame in env.cur.frames:
        at: i64 = 0
        for reg in frame.regs:
            if _of_packet(reg):
                frame.regs[at] = unknown()
            at += 1
        at = 0
        for slot in frame.stack:
            if slot.holds_register() and _of_packet(slot.reg):
                frame.stack[at] = Slot(slot.kinds, unknown())
            at += 1


def _of_packet(reg: RegState) -> bool:
    if reg.type == r.PKT or reg.type == r.PKT_META or reg.type == r.PKT_END:
        return True
    slice_of = r.DYN_SKB | r.DYN_XDP | r.DYN_SKB_META
    return (reg.type & r.KIND) == r.MEM and (reg.type & slice_of) != 0


def check_leaks(env: Env, exception: bool, with_locks: bool, what: str) -> None:
    """Nothing may be owned or held at the end, nor at a tail call or a throw. Kernel: check_resource_leak."""
    state = env.cur
    if with_locks and state.locks:
        raise Reject(f"{what} cannot be used inside bpf_spin_lock-ed region", EINVAL)
    try:
        check_references(env, exception)
    except Reject as reject:
        raise Reject(f"{reject.message}\n{what} would lead to reference leak", EINVAL) from None
    if not with_locks:
        return
    if state.irq_id:
        raise Reject(f"{what} cannot be used inside bpf_local_irq_save-ed region", EINVAL)
    if state.rcu_locks:
        raise Reject(f"{what} cannot be used inside bpf_rcu_read_lock-ed region", EINVAL)
    if state.preempt_locks:
        raise Reject(f"{what} cannot be used inside bpf_preempt_disable-ed region", EINVAL)


def check_references(env: Env, exception: bool) -> None:
    state = env.cur
    if not exception and len(state.frames) > 1:
        return
    for ref in state.refs:
        if ref.kind == REF_PTR and ref.insn >= 0:
            raise Reject(f"Unreleased reference id={ref.id} alloc_insn={ref.insn}", EINVAL)
