"""Calls of the program's own functions, callbacks, and the way back. Kernel: check_func_call, prepare_func_exit."""

from __future__ import annotations

from cygnet.verifier import precision, references, visited
from cygnet.verifier import reg as r
from cygnet.verifier.env import E2BIG, EACCES, EFAULT, EINVAL, Env, Ins
from cygnet.verifier.reg import NONE, SCALAR, RegState, unknown
from cygnet.verifier.state import MAX_FRAMES, Frame, Reject, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64


def enter(env: Env, state: State, sub: i64, callsite: i64) -> Frame:
    """A new innermost frame."""
    number: i64 = len(state.frames)
    if number >= MAX_FRAMES:
        raise Reject(f"the call stack of {number + 1} frames is too deep", E2BIG)
    frame = Frame(number, callsite, sub)
    frame.begin()
    state.frames.append(frame)
    return frame


def local(env: Env, ins: Ins) -> i64:
    """A call of a function of the program; gives where the path goes on."""
    number = env.find_sub(env.insn + ins.imm + 1)
    if number < 0:
        raise Reject("no function begins at the call's target", EFAULT)
    sub = env.subs[number]
    caller = env.cur.frame()
    if sub.is_global:
        return _global(env, number)
    callee = enter(env, env.cur, number, env.insn)
    at: i64 = 1
    while at <= 5:
        callee.regs[at] = caller.regs[at]
        at += 1
    clear_caller_saved(caller.regs)
    return sub.start


def clear_caller_saved(regs: list[RegState]) -> None:
    at: i64 = 0
    while at <= 5:
        regs[at] = NONE
        at += 1


def _global(env: Env, number: i64) -> i64:
    """A global function is checked on its own; here only the arguments are."""
    from cygnet.verifier import globals as global_functions

    sub = env.subs[number]
    state = env.cur
    if state.locks:
        raise Reject("global function calls are not allowed while holding a lock,\nuse static function instead", EINVAL)
    if sub.might_sleep and (state.rcu_locks or state.preempt_locks or state.irq_id or not state.sleepable):
        raise Reject(
            "global functions that may sleep are not allowed in non-sleepable context,\n"
            "i.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context",
            EINVAL,
        )
    try:
        global_functions.check_arguments(env, sub)
    except Reject as reject:
        text = f"{reject.message}\nCaller passes invalid args into func#{number} ('{sub.name}')"
        raise Reject(text, reject.errno) from None
    if sub.changes_packet:
        references.clear_packet_pointers(env)
    sub.called = True
    regs = state.frame().regs
    clear_caller_saved(regs)
    regs[0] = unknown()
    return env.insn + 1


def leave(env: Env) -> i64:
    """BPF_EXIT; gives where the path goes on, or -1 when it is at its end."""
    state = env.cur
    outermost = len(state.frames) == 1
    references.check_leaks(env, False, outermost, "BPF_EXIT instruction in main prog")
    if outermost:
        from cygnet.verifier import returns

        returns.check(env)
        return -1
    callee = state.frame()
    r0 = callee.regs[0]
    if r0.type == r.STACK:
        raise Reject("cannot return stack pointer to the caller", EINVAL)
    if not callee.in_callback:
        state.frames.pop()
        state.frame().regs[0] = r0
        return callee.callsite + 1
    if r0.type != SCALAR:
        raise Reject("R0 not a scalar value", EACCES)
    precision.mark(env, 0)
    if callee.ret_set and not (callee.ret_low <= r0.smin and r0.smax <= callee.ret_high):
        from cygnet.verifier import returns

        raise Reject(returns.scalar_text(r0, callee.ret_low, callee.ret_high, "At callback return", "R0"), EINVAL)
    state.frames.pop()
    before = visited.previous_entry(env, state, callee.callsite)
    if before is not None:
        visited.widen(env, before, state)
    return callee.callsite
