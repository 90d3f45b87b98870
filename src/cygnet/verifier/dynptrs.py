"""Dynptrs: on the stack, two slots that only helpers and kfuncs write; or a constant one that a callback is handed.

A slot's register has `aux` the type (1 local, 2 ring buffer, 3 skb, 4 xdp, 5 skb metadata), `map_uid` 1 in the first slot
(the higher address), `id` of its own, and `ref` when it must be given back. Kernel: process_dynptr_func.
"""

from __future__ import annotations

from cygnet.verifier import memory, references, stack
from cygnet.verifier import reg as r
from cygnet.verifier.env import EINVAL, Env
from cygnet.verifier.reg import NONE, RegState
from cygnet.verifier.state import DYN, EVERY, Frame, Reject, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from cygnet.verifier.args import Call

LOCAL: Final[i64] = 1
RINGBUF: Final[i64] = 2
SKB: Final[i64] = 3
XDP: Final[i64] = 4
SKB_META: Final[i64] = 5
NAMES: Final = ("", "local", "ringbuf", "skb", "xdp", "skb_meta")
_RANGE: Final[i64] = -2


def place(env: Env, reg: RegState, what: str, slots: i64) -> i64:
    """The first slot of an object of that many slots; -2 where the stack does not reach yet. Raises Reject."""
    if reg.mask:
        raise Reject(f"{what} has to be at a constant offset", EINVAL)
    off = reg.off + reg.value
    if off % 8:
        raise Reject(f"cannot pass in {what} at an offset={off}", EINVAL)
    spi = (-off - 1) // 8
    if spi + 1 < slots:
        raise Reject(f"cannot pass in {what} at an offset={off}", EINVAL)
    if spi - slots + 1 < 0 or spi >= len(env.frame_of(reg).stack):
        return _RANGE
    return spi


def _slot(env: Env, reg: RegState) -> Slot | None:
    """The first slot of an initialised dynptr on the stack."""
    spi = place(env, reg, "dynptr", 2)
    if spi < 0:
        return None
    frame = env.frame_of(reg)
    first, second = frame.stack[spi], frame.stack[spi - 1]
    if first.kinds != DYN * EVERY or second.kinds != DYN * EVERY or first.reg.map_uid != 1:
        return None
    return first


def state_of(env: Env, reg: RegState) -> RegState | None:
    if reg.type == r.DYNPTR:
        return reg
    slot = _slot(env, reg)
    return None if slot is None else slot.reg


def type_of(env: Env, reg: RegState) -> i64:
    state = state_of(env, reg)
    return 0 if state is None else state.aux


def id_of(env: Env, reg: RegState) -> i64:
    state = state_of(env, reg)
    return 0 if state is None else state.id


def reference(env: Env, reg: RegState) -> i64:
    """The reference that the dynptr stands for; 0 for none."""
    if reg.type == r.DYNPTR:
        return reg.ref
    spi = place(env, reg, "dynptr", 2)
    if spi < 0:
        return 0
    return env.frame_of(reg).stack[spi].reg.ref


def check_initialised(env: Env, regno: i64, wanted: i64, mutates: bool) -> None:
    reg = env.regs()[regno]
    if reg.type != r.STACK and reg.type != r.DYNPTR:
        raise Reject(f"arg#{regno - 1} expected pointer to stack or const struct bpf_dynptr", EINVAL)
    if reg.type == r.DYNPTR and mutates:
        raise Reject("cannot pass pointer to const bpf_dynptr, the helper mutates it", EINVAL)
    text = f"Expected an initialized dynptr as arg #{regno - 1}"
    try:
        state = state_of(env, reg)
    except Reject as reject:
        raise Reject(f"{reject.message}\n{text}", EINVAL) from None
    if state is None:
        raise Reject(text, EINVAL)
    if wanted and state.aux != wanted:
        raise Reject(f"Expected a dynptr of type {NAMES[wanted]} as arg #{regno - 1}", EINVAL)
    if reg.type == r.STACK:
        spi = place(env, reg, "dynptr", 2)
        stack.note_read(env, env.frame_of(reg), spi)
        stack.note_read(env, env.frame_of(reg), spi - 1)


def construct(env: Env, regno: i64, kind: i64, clone_ref: i64) -> None:
    """Make a dynptr on the stack. Kernel: mark_stack_slots_dynptr."""
    reg = env.regs()[regno]
    if reg.type == r.DYNPTR:
        raise Reject("Dynptr has to be an uninitialized dynptr", EINVAL)
    if reg.type != r.STACK:
        raise Reject(f"arg#{regno - 1} expected pointer to stack or const struct bpf_dynptr", EINVAL)
    try:
        place(env, reg, "dynptr", 2)
    except Reject as reject:
        raise Reject(f"{reject.message}\nDynptr has to be an uninitialized dynptr", EINVAL) from None
    at: i64 = 0
    while at < 16:
        memory.access(env, regno, at, 8, True, -1, False, False)
        at += 8
    spi = place(env, reg, "dynptr", 2)
    frame = env.frame_of(reg)
    stack.destroy_dynptr(env, frame, spi)
    stack.destroy_dynptr(env, frame, spi - 1)
    id = env.new_id()
    ref: i64 = 0
    if kind == RINGBUF:
        ref = clone_ref if clone_ref else references.acquire(env, env.insn)
    for which in (spi, spi - 1):
        state = RegState(r.DYNPTR, 0)
        state.aux = kind
        state.id = id
        state.ref = ref
        state.map_uid = 1 if which == spi else 0
        frame.stack[which] = Slot(DYN * EVERY, state)
        if env.stack_live is not None:
            env.stack_live.write(frame.number, which)


def helper_argument(env: Env, helper: i64, regno: i64, fresh: bool, call: Call) -> None:
    """The dynptr argument of a helper."""
    if fresh:
        construct(env, regno, RINGBUF if helper == 198 else LOCAL, 0)
        return
    releases = helper in (199, 200)
    check_initialised(env, regno, RINGBUF if releases else 0, releases)


def release(env: Env, reg: RegState) -> None:
    """Give back: the dynptr, its clones and all memory got from them. Kernel: unmark_stack_slots_dynptr."""
    spi = place(env, reg, "dynptr", 2)
    frame = env.frame_of(reg)
    state = frame.stack[spi].reg
    if state.aux != RINGBUF:
        _invalidate(env, frame, spi)
        return
    ref = state.ref
    references.release(env, ref)
    for each in env.cur.frames:
        at: i64 = 0
        for slot in each.stack:
            if slot.kinds == DYN * EVERY and slot.reg.ref == ref and slot.reg.map_uid == 1:
                _invalidate(env, each, at)
            at += 1


def _invalidate(env: Env, frame: Frame, spi: i64) -> None:
    stack.drop_slices(env, frame.stack[spi].reg.id)
    frame.stack[spi] = Slot(0, NONE)
    frame.stack[spi - 1] = Slot(0, NONE)
