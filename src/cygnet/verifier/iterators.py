"""Open-coded iterators and saved interrupt flags: objects on the stack that only kernel functions may touch.

An iterator's first slot (the highest address) has `ref`; `aux` is 1 while active and 2 when drained, `map_uid` how often
it went on. Kernel: process_iter_arg, process_iter_next_call, process_irq_flag.
"""

from __future__ import annotations

from cygnet.verifier import dynptrs, memory, references, stack, visited
from cygnet.verifier import reg as r
from cygnet.verifier.btfaccess import in_rcu
from cygnet.verifier.env import EACCES, EINVAL, Env
from cygnet.verifier.jumps import not_null
from cygnet.verifier.reg import NONE, RCU, UNTRUSTED, RegState, scalar
from cygnet.verifier.state import EVERY, IRQ, ITER, REF_IRQ, Ref, Reject, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.btf.types import BtfType

ACTIVE, DRAINED = 1, 2


def _kind_name(type: BtfType) -> str:
    return type.name.removeprefix("bpf_iter_")


def construct(env: Env, regno: int, type: BtfType, protected: bool) -> None:
    reg = env.regs()[regno]
    if reg.type != r.STACK:
        raise Reject(f"arg#{regno - 1} expected pointer to an iterator on stack", EINVAL)
    count = type.size // 8
    bad = Reject(f"expected uninitialized iter_{_kind_name(type)} as arg #{regno - 1}", EINVAL)
    try:
        spi = dynptrs.place(env, reg, "iter", count)
    except Reject as reject:
        raise Reject(f"{reject.message}\n{bad.message}", EINVAL) from None
    frame = env.frame_of(reg)
    if spi >= 0:
        for number in range(count):
            kinds = frame.stack[spi - number].kinds
            if any(kinds >> 8 * byte & 0xFF == ITER for byte in range(8)):
                raise bad
    for at in range(0, type.size, 8):
        memory.access(env, regno, at, 8, True, -1, False, False)
    spi = dynptrs.place(env, reg, "iter", count)
    ref = references.acquire(env, env.insn)
    for number in range(count):
        state = RegState(r.STACK, 0)
        if protected:
            state.type |= RCU if in_rcu(env) else UNTRUSTED
        state.ref = ref if number == 0 else 0
        state.btf, state.btf_id = type.btf, type.id
        state.aux = ACTIVE
        frame.stack[spi - number] = Slot(ITER * EVERY, state)
        if env.stack_live is not None:
            env.stack_live.write(frame.number, spi - number)


def check(env: Env, regno: int, type: BtfType, func: str) -> int:
    """The first slot of the iterator that the register points to. Raises Reject unless it was made."""
    reg = env.regs()[regno]
    if reg.type != r.STACK:
        raise Reject(f"arg#{regno - 1} expected pointer to an iterator on stack", EINVAL)
    count = type.size // 8
    bad = Reject(f"expected an initialized iter_{_kind_name(type)} as arg #{regno - 1}", EINVAL)
    try:
        spi = int(dynptrs.place(env, reg, "iter", count))
    except Reject as reject:
        raise Reject(f"{reject.message}\n{bad.message}", EINVAL) from None
    if spi < 0:
        raise bad
    frame = env.frame_of(reg)
    for number in range(count):
        slot = frame.stack[spi - number]
        if slot.kinds != ITER * EVERY:
            raise bad
        if slot.reg.type & UNTRUSTED:
            raise Reject(f"expected an RCU CS when using {func}", EACCES)
        if (slot.reg.ref != 0) != (number == 0) or slot.reg.btf_id != type.id:
            raise bad
        stack.note_read(env, frame, spi - number)
    return spi


def destroy(env: Env, reg: RegState, spi: int, type: BtfType) -> None:
    frame = env.frame_of(reg)
    references.release(env, frame.stack[spi].reg.ref)
    for number in range(type.size // 8):
        frame.stack[spi - number] = Slot(0, NONE)
        if env.stack_live is not None:
            env.stack_live.write(frame.number, spi - number)


def under_rcu(env: Env, frame: int, spi: int) -> bool:
    return spi >= 0 and bool(env.cur.frames[frame].stack[spi].reg.type & RCU)


def step(env: Env, number: int, spi: int) -> None:
    """Two paths: the iterator went on and gave something, or it is drained and gave null."""
    state = env.cur
    slot = state.frames[number].stack[spi]
    if slot.reg.aux == ACTIVE:
        before = visited.previous_entry(env, state.parent, env.insn) if state.parent is not None else None
        on = env.push(env.insn + 1, env.insn)
        new = slot.reg.copy()
        new.map_uid += 1
        on.frames[number].stack[spi] = Slot(slot.kinds, new)
        if before is not None:
            visited.widen(env, before, on)
        regs = on.frame().regs
        regs[0] = not_null(regs[0])
    new = slot.reg.copy()
    new.aux = DRAINED
    state.frames[number].stack[spi] = Slot(slot.kinds, new)
    state.frame().regs[0] = scalar(0)


# -- interrupt flags


def irq_flags(env: Env, regno: int, func: str) -> None:
    """The argument of bpf_local_irq_save, …restore and of the lock functions that do the same."""
    reg = env.regs()[regno]
    if reg.type != r.STACK:
        raise Reject(f"arg#{regno - 1} doesn't point to an irq flag on stack", EINVAL)
    resilient = func.startswith("bpf_res_")
    if func in ("bpf_local_irq_save", "bpf_res_spin_lock_irqsave"):
        _save(env, reg, regno, resilient)
    else:
        _restore(env, reg, regno, resilient)


def _save(env: Env, reg: RegState, regno: int, resilient: bool) -> None:
    spi = dynptrs.place(env, reg, "irq_flag", 1)
    frame = env.frame_of(reg)
    if spi >= 0 and any(frame.stack[spi].kinds >> 8 * byte & 0xFF == IRQ for byte in range(8)):
        raise Reject(f"expected uninitialized irq flag as arg#{regno - 1}", EINVAL)
    memory.access(env, regno, 0, 8, True, -1, False, False)
    spi = dynptrs.place(env, reg, "irq_flag", 1)
    id = references.acquire(env, env.insn, REF_IRQ)
    env.cur.irq_id = id
    state = RegState(r.STACK, 0)
    state.ref = id
    state.aux = 1 if resilient else 0
    frame.stack[spi] = Slot(IRQ * EVERY, state)


def _restore(env: Env, reg: RegState, regno: int, resilient: bool) -> None:
    spi = dynptrs.place(env, reg, "irq_flag", 1)
    frame = env.frame_of(reg)
    if spi < 0 or frame.stack[spi].kinds != IRQ * EVERY or not frame.stack[spi].reg.ref:
        raise Reject(f"expected an initialized irq flag as arg#{regno - 1}", EINVAL)
    slot = frame.stack[spi]
    if slot.reg.aux != (1 if resilient else 0):
        raise Reject("irq flag acquired by another class of kernel functions", EINVAL)
    if env.cur.irq_id != slot.reg.ref:
        raise Reject(
            f"cannot restore irq state out of order, expected id={env.cur.irq_id} acquired at insn_idx={_where(env)}",
            EACCES,
        )
    left = [ref for ref in env.cur.refs if not (ref.kind == REF_IRQ and ref.id == slot.reg.ref)]
    env.cur.refs = left
    env.cur.irq_id = _last_irq(left)
    frame.stack[spi] = Slot(0, NONE)


def _last_irq(refs: list[Ref]) -> int:
    ids = [int(ref.id) for ref in refs if ref.kind == REF_IRQ]
    return ids[-1] if ids else 0


def _where(env: Env) -> int:
    return next((int(ref.insn) for ref in env.cur.refs if ref.kind == REF_IRQ and ref.id == env.cur.irq_id), -1)
