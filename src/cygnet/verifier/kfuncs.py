"""Calls of kernel functions by BTF id: who may call, and the sections that calls enter and leave. Kernel: check_kfunc_call."""

from __future__ import annotations

from cygnet.verifier import callbacks, calls, graphs, iterators, kfuncargs, kfuncresults, references
from cygnet.verifier.btfaccess import in_rcu
from cygnet.verifier.env import EACCES, EFAULT, EINVAL, Env, Ins, Subprog
from cygnet.verifier.kfuncmeta import Kfunc, Meta
from cygnet.verifier.reg import MAYBE_NULL, RCU, UNTRUSTED, RegState, unknown
from cygnet.verifier.state import Reject, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_MAX_KFUNCS: Final = 256
_MAX_ERRNO: Final = 4095
_PACKET_CHANGERS: Final = frozenset(("bpf_xdp_pull_data",))
_DEVICE_BOUND: Final = frozenset(f"bpf_xdp_metadata_rx_{what}" for what in ("timestamp", "hash", "vlan_tag"))
_CALLBACK: Final = {"bpf_rbtree_add_impl"}


# -- before the paths are followed


def resolve(env: Env) -> None:
    """Find the functions that are called. Kernel: add_kfunc_call."""
    from cygnet.btf.kinds import FUNC
    from cygnet.errors import BtfError
    from cygnet.verifier.kerneltypes import kernel

    btf = kernel(env)
    made: dict[int, Kfunc] = {}
    for at, ins in enumerate(env.insns):
        if ins.code != 0x85 or ins.src != 2 or ins.imm == 0:
            continue
        if not env.gpl:
            raise Reject("cannot call kernel function from non-GPL compatible program", EINVAL, at)
        if ins.off:
            why = "negative offset disallowed for kernel function call" if ins.off < 0 else ""
            raise Reject(why or "failed to find BTF for kernel function", EINVAL, at)
        if ins.imm not in made:
            try:
                func = btf.type(ins.imm)
            except BtfError:
                func = None
            if func is None or func.kind != FUNC:
                raise Reject(f"kernel btf_id {ins.imm} is not a function", EINVAL, at)
            made[ins.imm] = Kfunc(func.name, ins.imm, func.type)
            if len(made) > _MAX_KFUNCS:
                raise Reject("too many different kernel function calls", 7, at)
        ins.kfunc = made[ins.imm]
        if ins.kfunc.name in _DEVICE_BOUND:
            raise Reject("metadata kfuncs require device-bound program", EINVAL, at)
        if ins.kfunc.name in _CALLBACK:
            ins.calls_callback = True


def note(ins: Ins, sub: Subprog) -> None:
    """What the control flow must know of a call."""
    kfunc: Kfunc = ins.kfunc
    if kfunc.is_iter_next:
        ins.prune = True
        ins.checkpoint = True
    if "S" in kfunc.flags:
        sub.might_sleep = True
    if kfunc.name in _PACKET_CHANGERS:
        sub.changes_packet = True
    if kfunc.name == "bpf_wq_set_callback_impl" or kfunc.name.startswith("bpf_task_work_schedule"):
        ins.prune = True


# -- a call


def call(env: Env, ins: Ins) -> int:
    """Gives where the path goes on."""
    if ins.imm == 0 or ins.kfunc is None:
        return int(env.insn) + 1
    kfunc: Kfunc = ins.kfunc
    if (kfunc.programs is not None and env.prog_type not in kfunc.programs) or not _fits_attach(env, kfunc.name):
        raise Reject(f"calling kernel function {kfunc.name} is not allowed", EACCES)
    if kfunc.name == "__bpf_trap":
        raise Reject("unexpected __bpf_trap() due to uninitialized variable?", EFAULT)
    if kfunc.name in ("bpf_res_spin_lock", "bpf_res_spin_lock_irqsave"):
        _fork_failure(env)
    if "S" in kfunc.flags and not env.cur.sleepable:
        raise Reject(f"program must be sleepable to call sleepable kfunc {kfunc.name}", EACCES)
    meta = Meta(kfunc)
    kfuncargs.arguments(env, meta)
    _call_back(env, ins, meta)
    _regions(env, kfunc)
    _give(env, meta)
    if kfunc.name == "bpf_throw":
        return _throw(env)
    result = kfuncresults.result(env, meta)
    regs = env.regs()
    calls.clear_caller_saved(regs)
    if result is not None:
        regs[0] = result
    if kfunc.name in _PACKET_CHANGERS:
        references.clear_packet_pointers(env)
    if kfunc.is_iter_next:
        iterators.step(env, int(meta.iter_frame), int(meta.iter_spi))
    return int(env.insn) + 1


def _fits_attach(env: Env, name: str) -> bool:
    """Some are for programs that are attached in one way only (the filters of the kernel's registrations)."""
    if name in ("bpf_session_is_return", "bpf_session_cookie"):
        return env.attach in ("TRACE_KPROBE_SESSION", "TRACE_UPROBE_SESSION")
    if name == "bpf_sock_destroy":
        return env.attach == "TRACE_ITER"
    return True


def _fork_failure(env: Env) -> None:
    """A resilient lock may not be got: then the result is an error."""
    other = env.push(env.insn + 1, env.insn)
    regs = other.frame().regs
    calls.clear_caller_saved(regs)
    error = unknown()
    error.s32_min, error.s32_max, error.smin, error.smax = -_MAX_ERRNO, -1, -_MAX_ERRNO, -1
    error.sync()
    regs[0] = error


def _throw(env: Env) -> int:
    from cygnet.verifier import returns

    references.check_leaks(env, True, True, "bpf_throw")
    if env.exception_cb < 0:
        regs = env.regs()
        saved = regs[0]
        regs[0] = regs[1]
        try:
            if len(env.cur.frames) == 1:
                returns.check(env)
        finally:
            regs[0] = saved
    return -1


def _call_back(env: Env, ins: Ins, meta: Meta) -> None:
    name = meta.kfunc.name
    if name == "bpf_rbtree_add_impl":
        callbacks.push(env, ins, meta, graphs.less_callback)
    elif name == "bpf_wq_set_callback_impl":
        callbacks.push(env, ins, meta, callbacks.work)
    elif name.startswith("bpf_task_work_schedule"):
        callbacks.push(env, ins, meta, callbacks.task_work)


def _regions(env: Env, kfunc: Kfunc) -> None:
    """RCU, preemption and interrupts: sections that are entered and left."""
    state, name = env.cur, kfunc.name
    sleeps = "S" in kfunc.flags
    if state.rcu_locks:
        if name == "bpf_rcu_read_lock":
            raise Reject(f"nested rcu read lock (kernel function {name})", EINVAL)
        elif name == "bpf_rcu_read_unlock":
            state.rcu_locks = 0
            _leave_rcu(env)
        elif sleeps:
            raise Reject(f"kernel func {name} is sleepable within rcu_read_lock region", EACCES)
    elif name == "bpf_rcu_read_lock":
        state.rcu_locks = 1
    elif name == "bpf_rcu_read_unlock":
        raise Reject(f"unmatched rcu read unlock (kernel function {name})", EINVAL)
    if state.preempt_locks:
        if name == "bpf_preempt_disable":
            state.preempt_locks += 1
        elif name == "bpf_preempt_enable":
            state.preempt_locks -= 1
        elif sleeps:
            raise Reject(f"kernel func {name} is sleepable within non-preemptible region", EACCES)
    elif name == "bpf_preempt_disable":
        state.preempt_locks = 1
    elif name == "bpf_preempt_enable":
        raise Reject(f"unmatched attempt to enable preemption (kernel function {name})", EINVAL)
    if state.irq_id and sleeps:
        raise Reject(f"kernel func {name} is sleepable within IRQ-disabled region", EACCES)
    if "P" in kfunc.flags and not in_rcu(env):
        raise Reject(f"kernel func {name} requires RCU critical section protection", EACCES)


def _leave_rcu(env: Env) -> None:
    """Pointers that RCU protected are not to be trusted any more."""
    for frame in env.cur.frames:
        for at, reg in enumerate(frame.regs):
            if reg.type & RCU:
                frame.regs[at] = _distrusted(reg)
        for at, slot in enumerate(frame.stack):
            if slot.kinds and slot.reg.type & RCU:
                frame.stack[at] = Slot(slot.kinds, _distrusted(slot.reg))


def _distrusted(reg: RegState) -> RegState:
    new = reg.copy()
    new.type = new.type & ~(RCU | MAYBE_NULL) | UNTRUSTED
    return new


def _give(env: Env, meta: Meta) -> None:
    kfunc = meta.kfunc
    regs = env.regs()
    if meta.release:
        if not references.release(env, regs[meta.release].ref):
            raise Reject(f"kfunc {kfunc.name}#{kfunc.id} reference has not been acquired before", EINVAL)
    if kfunc.name in graphs.PUSHES:
        graphs.hang(env, regs[2].ref)
