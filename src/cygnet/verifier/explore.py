"""The main loop: follow a path instruction by instruction, branch by branch. Kernel: do_check."""

from __future__ import annotations

from cygnet.isa.consts import (
    BPF_ABS,
    BPF_ALU,
    BPF_ALU64,
    BPF_ATOMIC,
    BPF_CALL,
    BPF_DW,
    BPF_EXIT,
    BPF_IND,
    BPF_JA,
    BPF_JMP,
    BPF_JMP32,
    BPF_LDX,
    BPF_MEM,
    BPF_MEMSX,
    BPF_MODE_MASK,
    BPF_SIZE_MASK,
    BPF_ST,
    BPF_STX,
    BPF_X,
)
from cygnet.verifier import calls, helpers, jumps, memory, pointers, references, visited
from cygnet.verifier import reg as r
from cygnet.verifier.env import E2BIG, EINVAL, Env, Ins, push_history
from cygnet.verifier.reg import RegState, scalar, unknown
from cygnet.verifier.state import Reject, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from cygnet.verifier.stacklive import StackLive

_SKB: Final = frozenset(("socket_filter", "sched_cls", "sched_act"))
_SPIN_UNLOCK: Final[i64] = 94
_DEAD: Final[i64] = -1  # the path is at its end


def run(env: Env, start: State, insn: i64) -> None:
    """Follow all paths from `start`. Raises Reject with the instruction set."""
    env.cur = start
    start.branches = 1
    env.insn = insn
    env.prev = -1
    try:
        _loop(env)
    except Reject as reject:
        if reject.insn < 0:
            reject.insn = env.insn
        raise
    finally:
        env.pending = []


def _loop(env: Env) -> None:
    insns = env.insns
    count: i64 = len(insns)
    before: i64 = -1
    live: StackLive | None = env.stack_live
    while True:
        state = env.cur
        at = env.insn
        env.step = None
        env.prev = before
        if at < 0 or at >= count:
            raise Reject(f"invalid insn idx {at} insn_cnt {count}", 14)
        ins = insns[at]
        env.processed += 1
        if env.processed > env.budget:
            raise Reject(f"BPF program is too large. Processed {env.processed} insn", E2BIG)
        state.last_insn = before
        state.insn = at
        if ins.prune and visited.visited(env, at):
            if env.log is not None:
                env.log.pruned(env, before, at)
            after = _DEAD
        else:
            if ins.jmp_point:
                push_history(env, state, 0, None)
            if env.log is not None:
                env.log.insn(env, before, at)
            ins.seen = True
            before = at
            if live is not None:
                live.begin(state)
                after = _step(env, ins)
                live.end(at)
            else:
                after = _step(env, ins)
        if after != _DEAD:
            env.insn = after
            continue
        visited.path_ended(env, env.cur)
        if not env.pending:
            return
        branch = env.pending.pop()
        env.cur = branch.state
        env.insn = branch.insn
        before = branch.before
        if env.log is not None:
            env.log.branch(env, branch.log_mark)


def _step(env: Env, ins: Ins) -> i64:
    """Do one instruction; gives the next one, or _DEAD."""
    cls = ins.cls
    if cls == BPF_ALU64 or cls == BPF_ALU:
        pointers.alu(env, ins)
    elif cls == BPF_LDX:
        mode = ins.code & BPF_MODE_MASK
        memory.load(env, ins, False, mode == BPF_MEMSX)
    elif cls == BPF_JMP or cls == BPF_JMP32:
        return _jump(env, ins)
    elif cls == BPF_STX:
        if ins.code & BPF_MODE_MASK == BPF_ATOMIC:
            memory.atomic(env, ins)
        elif ins.code & BPF_MODE_MASK != BPF_MEM or ins.imm:
            raise Reject("BPF_STX uses reserved fields", EINVAL)
        else:
            memory.store(env, ins, False)
    elif cls == BPF_ST:
        if ins.code & BPF_MODE_MASK != BPF_MEM or ins.src:
            raise Reject("BPF_ST uses reserved fields", EINVAL)
        memory.store_immediate(env, ins)
    else:
        return _load_constant(env, ins)
    return env.insn + 1


def _jump(env: Env, ins: Ins) -> i64:
    env.jumps += 1
    op = ins.op
    if op == BPF_CALL:
        return _call(env, ins)
    if op == BPF_JA:
        far = ins.cls == BPF_JMP32
        if ins.code & BPF_X or ins.src or ins.dst or (ins.off if far else ins.imm):
            raise Reject("BPF_JA uses reserved fields", EINVAL)
        return env.insn + 1 + (ins.imm if far else ins.off)
    if op == BPF_EXIT:
        if ins.code & BPF_X or ins.imm or ins.src or ins.dst or ins.cls == BPF_JMP32:
            raise Reject("BPF_EXIT uses reserved fields", EINVAL)
        return calls.leave(env)
    return jumps.conditional(env, ins)


def _call(env: Env, ins: Ins) -> i64:
    src = ins.src
    if ins.code & BPF_X or (src != 2 and ins.off) or src > 2 or ins.dst or ins.cls == BPF_JMP32:
        raise Reject("BPF_CALL uses reserved fields", EINVAL)
    if env.cur.locks:
        from cygnet.verifier.locks import kfunc_allowed

        if (src == 0 and ins.imm != _SPIN_UNLOCK) or (src == 2 and not kfunc_allowed(ins)):
            raise Reject("function calls are not allowed while holding a lock", EINVAL)
    if src == 1:
        return calls.local(env, ins)
    if src == 2:
        from cygnet.verifier import kfuncs

        return kfuncs.call(env, ins)
    helpers.call(env, ins)
    return env.insn + 1


def _load_constant(env: Env, ins: Ins) -> i64:
    """BPF_LD: 64-bit constants and addresses, and the old packet loads."""
    mode = ins.code & BPF_MODE_MASK
    if mode == BPF_ABS or mode == BPF_IND:
        _packet_load(env, ins, mode == BPF_IND)
        return env.insn + 1
    if mode != 0:
        raise Reject("invalid BPF_LD mode", EINVAL)
    if ins.code & BPF_SIZE_MASK != BPF_DW:
        raise Reject("invalid BPF_LD_IMM insn", EINVAL)
    if ins.off:
        raise Reject("BPF_LD_IMM64 uses reserved fields", EINVAL)
    memory.destination(env, ins.dst)
    env.regs()[ins.dst] = _constant(env, ins)
    return env.insn + 2


def _constant(env: Env, ins: Ins) -> RegState:
    kind = ins.src
    if kind == 0:
        return scalar(ins.imm64)
    if kind == 3:
        env.trusting = True
        new = RegState(ins.var_type, 0)
        if ins.var_type & r.KIND == r.MEM:
            new.aux = ins.map_off
        else:
            new.btf, new.btf_id = ins.btf, ins.btf_id
        return new
    if kind == 4:
        number = env.find_sub(env.insn + ins.imm + 1)
        if not env.has_func_info:
            raise Reject("missing btf func_info", EINVAL)
        if env.subs[number].is_global:
            raise Reject("callback function not static", EINVAL)
        new = RegState(r.FUNC, 0)
        new.aux = number
        return new
    info = ins.map
    if info is None:
        raise Reject("kernel subsystem misconfigured verifier", EINVAL)
    if kind == 2 or kind == 6:
        if info.kind == "arena":
            return unknown()
        new = RegState(r.MAP_VALUE, 0)
        new.off = ins.map_off
    else:
        new = RegState(r.CONST_MAP, 0)
    new.map = info
    return new


def _packet_load(env: Env, ins: Ins, indirect: bool) -> None:
    """LD_ABS and LD_IND: the context is in r6, and they may end the program."""
    if env.prog_type not in _SKB:
        raise Reject("BPF_LD_[ABS|IND] instructions not allowed for this program type", EINVAL)
    if ins.dst or ins.off or ins.code & BPF_SIZE_MASK == BPF_DW or (not indirect and ins.src):
        raise Reject("BPF_LD_[ABS|IND] uses reserved fields", EINVAL)
    context = memory.source(env, 6)
    references.check_leaks(env, False, True, "BPF_LD_[ABS|IND]")
    if context.type != r.CTX:
        raise Reject("at the time of BPF_LD_ABS|IND R6 != pointer to skb", EINVAL)
    if indirect:
        memory.source(env, ins.src)
    memory.check_ptr_off(env, context, 6, False)
    regs = env.regs()
    calls.clear_caller_saved(regs)
    regs[0] = unknown()
