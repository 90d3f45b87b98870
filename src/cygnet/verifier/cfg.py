"""Before any path is followed: functions, jumps, unreachable code, where to look for known states, live registers, loops."""

from __future__ import annotations

from cygnet.isa.consts import (
    BPF_ABS,
    BPF_ALU,
    BPF_ALU64,
    BPF_ATOMIC,
    BPF_CALL,
    BPF_CMPXCHG,
    BPF_END,
    BPF_EXIT,
    BPF_FETCH,
    BPF_IND,
    BPF_JA,
    BPF_JCOND,
    BPF_JMP,
    BPF_JMP32,
    BPF_LD,
    BPF_LDX,
    BPF_LOAD_ACQ,
    BPF_MODE_MASK,
    BPF_MOV,
    BPF_NEG,
    BPF_ST,
    BPF_STORE_REL,
    BPF_STX,
    BPF_X,
    LD_IMM64,
)
from cygnet.verifier.bits import shl
from cygnet.verifier.env import E2BIG, EINVAL, Env, Ins, Subprog
from cygnet.verifier.precision import sync_callback
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

MAX_SUBPROGS: Final = 256
_TAIL_CALL: Final[i64] = 12
_CALLER_SAVED: Final[i64] = 0b111111

# how far the walk has come with an instruction
_DISCOVERED, _EXPLORED, _FALLTHROUGH, _BRANCH = 0x10, 0x20, 1, 2


def is_jump(ins: Ins) -> bool:
    return ins.cls == BPF_JMP or ins.cls == BPF_JMP32


def jump_distance(ins: Ins) -> i64:
    """How far a ja or a conditional jump goes."""
    if ins.code == BPF_JMP32 | BPF_JA:
        return ins.imm
    return ins.off


def is_pseudo_call(ins: Ins) -> bool:
    return ins.code == BPF_JMP | BPF_CALL and ins.src == 1


def is_pseudo_func(ins: Ins) -> bool:
    return ins.code == LD_IMM64 and ins.src == 4


# -- functions


def find_functions(env: Env) -> None:
    """Every target of a call or of a function's address begins a function. Kernel: add_subprog_and_kfunc."""
    starts = {0}
    count: i64 = len(env.insns)
    at: i64 = 0
    for ins in env.insns:
        if is_pseudo_call(ins) or is_pseudo_func(ins):
            target = at + ins.imm + 1
            if target < 0 or target >= count:
                raise Reject("call to invalid destination", EINVAL, at)
            starts.add(target)
            if len(starts) > MAX_SUBPROGS:
                raise Reject("too many subprograms", E2BIG, at)
        at += 1
    if env.exception_cb >= 0:
        starts.add(env.exception_cb)
    ordered = sorted(starts)
    env.subs = [Subprog(start) for start in ordered]
    env.sub_starts = {start: number for number, start in enumerate(ordered)}
    for number, sub in enumerate(env.subs):
        sub.end = ordered[number + 1] if number + 1 < len(ordered) else count


def check_functions(env: Env) -> None:
    """Jumps stay within their function, and no function runs into the next. Kernel: check_subprogs."""
    for sub in env.subs:
        at = sub.start
        while at < sub.end:
            ins = env.insns[at]
            if ins.code == BPF_JMP | BPF_CALL and ins.src == 0 and ins.imm == _TAIL_CALL:
                sub.has_tail_call = True
            if ins.cls == BPF_LD and ins.code & BPF_MODE_MASK in (BPF_ABS, BPF_IND):
                sub.has_ld_abs = True
            if is_jump(ins) and ins.op != BPF_EXIT and ins.op != BPF_CALL:
                target = at + jump_distance(ins) + 1
                if target < sub.start or target >= sub.end:
                    raise Reject(f"jump out of range from insn {at} to {target}", EINVAL, at)
            at += 1
        last = env.insns[sub.end - 1].code
        if last not in (BPF_JMP | BPF_EXIT, BPF_JMP32 | BPF_JA, BPF_JMP | BPF_JA):
            raise Reject("last insn is not an exit or jmp", EINVAL, sub.end - 1)


# -- the walk


class _Walk:
    def __init__(self, env: Env) -> None:
        self.env = env
        self.states: list[i64] = [0] * len(env.insns)
        self.stack: list[i64] = []

    def run(self, start: i64) -> None:
        if self.states[start]:
            return
        self.states[start] = _DISCOVERED
        self.stack.append(start)
        while self.stack:
            at = self.stack[len(self.stack) - 1]
            if not self.visit(at):
                self.states[at] = _EXPLORED
                self.stack.pop()

    def edge(self, at: i64, to: i64, kind: i64) -> bool:
        """True when there is more to explore first."""
        env = self.env
        if self.states[at] >= _DISCOVERED | kind:
            return False
        if to < 0 or to >= len(env.insns):
            raise Reject(f"jump out of range from insn {at} to {to}", EINVAL, at)
        if kind == _BRANCH:
            env.insns[to].prune = True
            env.insns[to].jmp_point = True
        if self.states[to] == 0:
            self.states[at] = _DISCOVERED | kind
            self.states[to] = _DISCOVERED
            self.stack.append(to)
            return True
        if self.states[to] == _EXPLORED:
            self.states[at] = _DISCOVERED | kind
        return False

    def visit(self, at: i64) -> bool:
        env = self.env
        ins = env.insns[at]
        if is_pseudo_func(ins):
            return self.function(at, 2, True)
        if not is_jump(ins):
            return self.edge(at, at + (2 if ins.code == LD_IMM64 else 1), _FALLTHROUGH)
        if ins.op == BPF_EXIT:
            return False
        if ins.op == BPF_CALL:
            return self.call(at, ins)
        if ins.op == BPF_JA:
            if ins.code & BPF_X:
                raise Reject(f"unknown opcode {ins.code:02x}", EINVAL, at)
            to = at + jump_distance(ins) + 1
            more = self.edge(at, to, _FALLTHROUGH)
            env.insns[to].prune = True
            env.insns[to].jmp_point = True
            return more
        ins.prune = True
        if ins.op == BPF_JCOND:
            ins.checkpoint = True
        return self.edge(at, at + 1, _FALLTHROUGH) or self.edge(at, at + ins.off + 1, _BRANCH)

    def call(self, at: i64, ins: Ins) -> bool:
        env = self.env
        sub = env.subs[env.sub_of(at)]
        if ins.src == 0:
            from cygnet.facts.helpers import CHANGES_PACKET, SLEEPS

            if ins.imm == 170:
                ins.prune = True
            if ins.imm in SLEEPS:
                sub.might_sleep = True
            if ins.imm in CHANGES_PACKET:
                sub.changes_packet = True
        elif ins.src == 2 and ins.kfunc is not None:
            from cygnet.verifier import kfuncs

            kfuncs.note(ins, sub)
        if sync_callback(ins):
            ins.calls_callback = True
            ins.checkpoint = True
            ins.prune = True
            ins.jmp_point = True
        return self.function(at, 1, ins.src == 1)

    def function(self, at: i64, size: i64, callee: bool) -> bool:
        env = self.env
        if self.edge(at, at + size, _FALLTHROUGH):
            return True
        if at + size < len(env.insns):
            env.insns[at + size].prune = True
            env.insns[at + size].jmp_point = True
        if not callee:
            return False
        env.insns[at].prune = True
        to = at + env.insns[at].imm + 1
        caller, called = env.subs[env.sub_of(at)], env.subs[env.sub_of(to)]
        caller.changes_packet = caller.changes_packet or called.changes_packet
        caller.might_sleep = caller.might_sleep or called.might_sleep
        return self.edge(at, to, _BRANCH)


def check_flow(env: Env) -> None:
    """Every instruction can be reached. Kernel: check_cfg."""
    walk = _Walk(env)
    walk.run(0)
    if env.exception_cb >= 0:
        walk.run(env.exception_cb)
    at: i64 = 0
    count: i64 = len(env.insns)
    while at < count:
        if walk.states[at] != _EXPLORED:
            raise Reject(f"unreachable insn {at}", EINVAL, at)
        if env.insns[at].code == LD_IMM64:
            if walk.states[at + 1] != 0:
                raise Reject(f"jump into the middle of ldimm64 insn {at}", EINVAL, at)
            at += 1
        at += 1


# -- which registers may still be read


def _use_def(ins: Ins) -> tuple[i64, i64]:
    """Bit sets of registers that the instruction reads, and writes."""
    dst, src = shl(1, ins.dst), shl(1, ins.src)
    cls = ins.cls
    mode = ins.code & BPF_MODE_MASK
    if cls == BPF_LD:
        if ins.code == LD_IMM64:
            return 0, dst
        return (1 << 6) | (src if mode == BPF_IND else 0), _CALLER_SAVED
    if cls == BPF_LDX:
        return src, dst
    if cls == BPF_ST:
        return dst, 0
    if cls == BPF_STX:
        if mode != BPF_ATOMIC or ins.imm == BPF_STORE_REL:
            return dst | src, 0
        if ins.imm == BPF_LOAD_ACQ:
            return src, dst
        if ins.imm == BPF_CMPXCHG:
            return dst | src | 1, 1
        return dst | src, src if ins.imm & BPF_FETCH else 0
    if cls == BPF_ALU or cls == BPF_ALU64:
        other = src if ins.code & BPF_X and ins.op != BPF_END else 0
        if ins.op == BPF_MOV:
            return other, dst
        if ins.op == BPF_NEG or ins.op == BPF_END:
            return dst, dst
        return dst | other, dst
    if ins.op == BPF_JA or ins.op == BPF_JCOND:
        return 0, 0
    if ins.op == BPF_EXIT:
        return 1, 0
    if ins.op == BPF_CALL:
        return _call_arguments(ins), _CALLER_SAVED
    return dst | (src if ins.code & BPF_X else 0), 0


def _call_arguments(ins: Ins) -> i64:
    if ins.src == 0:
        from cygnet.facts.helpers import helper

        try:
            row = helper(ins.imm)
        except KeyError:
            return 0b111110
        if row.variadic:
            return 0b111110
        return ((1 << len(row.args)) - 1) << 1
    if ins.src == 2 and ins.kfunc is not None:
        count: i64 = len(ins.kfunc.params)
        if count < 5:
            return (shl(1, count) - 1) << 1
    return 0b111110


def successors(env: Env, at: i64) -> tuple[i64, i64]:
    """The instructions that may follow within the function; -1 for none."""
    ins = env.insns[at]
    if is_jump(ins):
        if ins.op == BPF_EXIT:
            return -1, -1
        if ins.op == BPF_JA:
            return at + jump_distance(ins) + 1, -1
        if ins.op != BPF_CALL:
            return at + 1, at + ins.off + 1
    after = at + (2 if ins.code == LD_IMM64 else 1)
    return after, -1


def find_live(env: Env) -> None:
    """For each instruction the registers whose value may be read later on. Kernel: compute_live_registers."""
    insns = env.insns
    count: i64 = len(insns)
    uses: list[i64] = [0] * count
    defs: list[i64] = [0] * count
    at: i64 = 0
    for ins in insns:
        ins.live = 0
        uses[at], defs[at] = _use_def(ins)
        at += 1
    changed = True
    while changed:
        changed = False
        at = count - 1
        while at >= 0:
            ins = insns[at]
            if ins.code != 0:
                first, second = successors(env, at)
                out: i64 = 0
                if 0 <= first < count:
                    out = insns[first].live
                if 0 <= second < count:
                    out |= insns[second].live
                live = (out & ~defs[at]) | uses[at]
                if live != ins.live:
                    ins.live = live
                    changed = True
            at -= 1


def find_loops(env: Env) -> None:
    """Number the strongly connected components (Tarjan's algorithm, without recursion); 0 is no loop."""
    count: i64 = len(env.insns)
    number: list[i64] = [0] * count
    low: list[i64] = [0] * count
    on_stack: list[bool] = [False] * count
    component: list[i64] = []
    next_number: i64 = 1
    root: i64 = 0
    for sub in env.subs:
        root = sub.start
        while root < sub.end:
            if number[root] == 0 and env.insns[root].code != 0:
                next_number = _component(env, root, next_number, number, low, on_stack, component)
            root += 1


def _component(
    env: Env,
    root: i64,
    next_number: i64,
    number: list[i64],
    low: list[i64],
    on_stack: list[bool],
    component: list[i64],
) -> i64:
    work: list[i64] = [root]
    while work:
        at = work[len(work) - 1]
        if number[at] == 0:
            number[at] = low[at] = next_number
            next_number += 1
            component.append(at)
            on_stack[at] = True
        first, second = successors(env, at)
        deeper = False
        for to in (first, second):
            if to < 0:
                continue
            if number[to] == 0:
                work.append(to)
                deeper = True
                break
            if on_stack[to] and low[to] < low[at]:
                low[at] = low[to]
        if deeper:
            continue
        work.pop()
        if low[at] != number[at]:
            continue
        alone = component[len(component) - 1] == at
        looping = not alone or first == at or second == at or env.insns[at].calls_callback
        if looping:
            env.scc_count += 1
        while True:
            member = component.pop()
            on_stack[member] = False
            if looping:
                env.insns[member].scc = env.scc_count
            if member == at:
                break
    return next_number
