"""Functions of the program that helpers and kfuncs call: what they are handed, and what they may return."""

from __future__ import annotations

from cygnet.verifier import calls, maprules
from cygnet.verifier import reg as r
from cygnet.verifier.env import EINVAL, ENOTSUPP, Env, Ins, MapInfo
from cygnet.verifier.reg import RegState, unknown
from cygnet.verifier.state import MAIN, Frame, Reject, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_extensions import i64

    from cygnet.verifier.args import Call

    Setup = Callable[[Env, Frame, Frame, Call], None]


def push(env: Env, ins: Ins, meta: Call, setup: Setup) -> None:
    """Leave for later a path that goes through the callback and comes back to the call; this one goes on after it."""
    number = meta.subprog
    sub = env.subs[number]
    sub.is_cb = True
    caller = env.cur.frame()
    if setup is timer or setup is work or setup is task_work:
        _push_async(env, number, meta, setup, setup is not timer)
        return
    state = env.push(sub.start, env.insn)
    callee = calls.enter(env, state, number, env.insn)
    outer = state.frames[len(state.frames) - 2]
    setup(env, outer, callee, meta)
    callee.in_callback = True
    state.callback_unroll += 1
    outer.callback_depth += 1
    caller.callback_depth = 0


def _push_async(env: Env, number: i64, meta: Call, setup: Setup, sleepable: bool) -> None:
    """A callback that runs some other time: a path of its own, with a fresh stack."""
    from cygnet.verifier.env import E2BIG, MAX_PENDING, Pending

    sub = env.subs[number]
    sub.is_async = True
    state = State()
    state.sleepable = sleepable
    state.branches = 1
    frame = Frame(0, MAIN, number)
    frame.begin()
    state.frames.append(frame)
    caller = env.cur.frame()
    frame.async_entry = caller.async_entry + 1
    setup(env, caller, frame, meta)
    mark: i64 = 0 if env.log is None else env.log.mark()
    state.first_insn = sub.start
    env.pending.append(Pending(state, sub.start, env.insn, mark))
    if len(env.pending) > MAX_PENDING:
        raise Reject(f"The sequence of {len(env.pending)} jumps is too complex.", E2BIG)


def _returns(callee: Frame, low: i64, high: i64) -> None:
    callee.ret_set = True
    callee.ret_low = low
    callee.ret_high = high


def _of_map(kind: i64, info: MapInfo | None, uid: i64) -> RegState:
    new = RegState(kind, 0)
    new.map = info
    new.map_uid = uid
    return new


def map_element(env: Env, caller: Frame, callee: Frame, meta: Call) -> None:
    """bpf_for_each_map_elem: map, key, value, context."""
    info = meta.map
    if info is None or not maprules.walkable(info):
        raise Reject("callback function not allowed for map", ENOTSUPP)
    callee.regs[1] = _of_map(r.CONST_MAP, info, meta.map_uid)
    callee.regs[2] = _of_map(r.MAP_KEY, info, meta.map_uid)
    callee.regs[3] = _of_map(r.MAP_VALUE, info, meta.map_uid)
    callee.regs[4] = caller.regs[3]
    _returns(callee, 0, 1)


def loop(env: Env, caller: Frame, callee: Frame, meta: Call) -> None:
    """bpf_loop: index, context."""
    callee.regs[1] = unknown()
    callee.regs[2] = caller.regs[3]
    _returns(callee, 0, 1)


def find_vma(env: Env, caller: Frame, callee: Frame, meta: Call) -> None:
    """bpf_find_vma: task, its memory area, context."""
    from cygnet.verifier.kerneltypes import struct_id

    callee.regs[1] = caller.regs[1]
    area = RegState(r.BTF, 0)
    area.btf, area.btf_id = struct_id(env, "vm_area_struct")
    callee.regs[2] = area
    callee.regs[3] = caller.regs[4]
    _returns(callee, 0, 1)


def drain(env: Env, caller: Frame, callee: Frame, meta: Call) -> None:
    """bpf_user_ringbuf_drain: a dynptr of the sample, context."""
    sample = RegState(r.DYNPTR, 0)
    sample.aux = 1
    sample.map_uid = 1
    sample.id = env.new_id()
    callee.regs[1] = sample
    callee.regs[2] = caller.regs[3]
    _returns(callee, 0, 1)


def timer(env: Env, caller: Frame, callee: Frame, meta: Call) -> None:
    """bpf_timer_set_callback: map, key, value; runs later, by itself."""
    _async_map(callee, meta)
    _returns(callee, 0, 0)


def work(env: Env, caller: Frame, callee: Frame, meta: Call) -> None:
    """bpf_wq_set_callback: the same, and it may sleep."""
    timer(env, caller, callee, meta)


def task_work(env: Env, caller: Frame, callee: Frame, meta: Call) -> None:
    """bpf_task_work_schedule: the same, and the result does not matter."""
    _async_map(callee, meta)
    _returns(callee, -0x80000000, 0x7FFFFFFF)


def _async_map(callee: Frame, meta: Call) -> None:
    if meta.map is None:
        raise Reject("no map to set a callback for", EINVAL)
    callee.regs[1] = _of_map(r.CONST_MAP, meta.map, meta.map_uid)
    callee.regs[2] = _of_map(r.MAP_KEY, meta.map, meta.map_uid)
    callee.regs[3] = _of_map(r.MAP_VALUE, meta.map, meta.map_uid)
    callee.in_async_callback = True
