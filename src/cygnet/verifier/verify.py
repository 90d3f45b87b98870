"""verify(): one program, from its blueprint to a verdict."""

from __future__ import annotations

from cygnet.verifier import cfg, explore, program
from cygnet.verifier import reg as r
from cygnet.verifier.env import E2BIG, EACCES, EINVAL, MAX_INSNS, Env
from cygnet.verifier.reg import RegState
from cygnet.verifier.stacklive import StackLive
from cygnet.verifier.state import MAIN, MAX_STACK, Frame, Reject, State
from cygnet.verifier.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.errors import VerifierError
    from cygnet.verifier.program import ProgramSpec

_SILENT_LOG = 20_000  # instructions above which a refused program is not followed once more for its log


class Verdict:
    """What came out. `error` is a VerifierError with insn, reason, hints and log, or None; `warnings` are sentences.

    `stack_depth` is in bytes, of each function; `states` counts checkpoints; `log` is there when it was asked for.
    For a machine that would leave out its checks: `identity` says which program was accepted (spec.identity), by the
    rules of Linux `kernel`; `context_bytes` how long its context must be; `self_contained`, that it goes nowhere but to
    its stack, context, packet and maps. What reads kernel objects is safe in a kernel only.
    """

    __slots__ = (
        "accepted", "context_bytes", "error", "identity", "insns_processed", "kernel", "log", "self_contained",
        "stack_depth", "states", "warnings",
    )  # fmt: skip

    def __init__(self, error: VerifierError | None, env: Env, log: str = "") -> None:
        self.accepted = error is None
        self.error = error
        self.insns_processed: int = env.processed
        self.states: int = env.total_states
        self.stack_depth: tuple[int, ...] = tuple(sub.stack_depth for sub in env.subs)
        self.warnings: tuple[str, ...] = tuple(env.warnings)
        self.kernel: str = env.target.text
        self.identity = _identity(env) if self.accepted else ""
        self.context_bytes: int = env.context_bytes
        self.self_contained = not env.trusting
        self.log = log

    def __bool__(self) -> bool:
        return self.accepted

    def __repr__(self) -> str:
        if self.error is None:
            return f"<Verdict accepted, {self.insns_processed} instructions>"
        return f"<Verdict refused: {self.error.message}>"


def _identity(env: Env) -> str:
    from cygnet.facts.progtypes import attach_type
    from cygnet.spec.identity import identity

    spec = env.spec
    wanted = spec.expected_attach_type
    attach = attach_type(wanted.upper()) if isinstance(wanted, str) and wanted else int(wanted or 0)
    loads = {at: (ins.map.spec, ins.map_off) for at, ins in enumerate(env.insns) if ins.map is not None}
    return identity(env.type_number, attach, spec.flags, spec.insns, loads)


def verify(
    spec: ProgramSpec | Any,
    *,
    kernel: str = "6.18",
    budget: int | None = None,
    log_level: int = 0,
    kernel_btf: Any = None,
) -> Verdict:
    """Would that kernel accept the program, loaded by root?

    `spec` is a ProgramSpec (or one of an ObjectSpec); `budget` bounds the instructions that are followed, and is the
    kernel's million otherwise. Never raises for what is wrong with a program; UsageError for an unknown kernel,
    program type or attach type.
    """
    if not isinstance(spec, program.ProgramSpec):
        spec = program.from_object(spec)
    _check_words(spec, budget)
    target = Target(kernel)
    env, reject, log = _run(spec, target, budget, log_level, kernel_btf)
    if reject is None:
        return Verdict(None, env, log)
    if not log and env.processed <= _SILENT_LOG:
        _, _, log = _run(spec, target, budget, 1, env.kernel_btf)
    from cygnet.verifier.explain import explain

    error = explain(env, spec, reject, log)
    return Verdict(error, env, log)


def _check_words(spec: ProgramSpec, budget: int | None) -> None:
    """Numbers that the kernel's interface has no room for. Raises UsageError."""
    from cygnet.errors import UsageError

    if budget is not None and (not isinstance(budget, int) or budget < 1):
        raise UsageError(f"a budget is a number of instructions from 1 on, not {budget!r}")
    for name, value in (("flags", spec.flags), *program.map_words(spec)):
        if not isinstance(value, int) or not 0 <= value < 1 << 32:
            raise UsageError(f"{name} is a number of 32 bits, not {value!r}")


def _run(
    spec: ProgramSpec, target: Target, budget: int | None, log_level: int, kernel_btf: Any, recorder: Any = None
) -> tuple[Env, Reject | None, str]:
    env = Env([])
    env.target = target
    env.kernel_btf = kernel_btf
    if kernel_btf is not None:
        from cygnet.verifier.records import use_kernel

        use_kernel(kernel_btf)
    env.budget = min(MAX_INSNS, budget) if budget is not None else MAX_INSNS
    if log_level:
        from cygnet.verifier.log import Log

        env.log = Log(log_level)
    elif recorder is not None:
        env.log = recorder
    try:
        prepare(env, spec)
        follow(env)
        check_depth(env)
    except Reject as reject:
        text = "" if env.log is None else env.log.finish(env, reject)
        _warn(env)
        return env, reject, text
    _warn(env)
    return env, None, "" if env.log is None else env.log.finish(env, None)


def _warn(env: Env) -> None:
    if env.uninit_seen:
        env.warn("stack that was never written is read: Linux before 6.3 refuses that")
    if env.target.too_old:
        env.warn(f"the tables were judged by Linux 6.18: for {env.target.text} they say only what is not there yet")


# -- before following


def prepare(env: Env, spec: ProgramSpec) -> None:
    """From bytes to a program whose paths can be followed. Raises Reject."""
    _identify(env, spec)
    env.insns = program.decode(spec.insns)
    env.target.check_program_type(env.prog_type)
    env.target.check_insns(env.insns)
    _types(env, spec)
    cfg.find_functions(env)
    _kfuncs(env)
    cfg.check_functions(env)
    _functions(env, spec)
    program.resolve(env, spec)
    from cygnet.verifier import attach, maprules
    from cygnet.verifier.context import Context

    maprules.check_program(env)
    cfg.check_flow(env)
    attach.check(env)
    cfg.find_loops(env)
    cfg.find_live(env)
    env.context = Context(env)


def _identify(env: Env, spec: ProgramSpec) -> None:
    from cygnet.errors import UsageError
    from cygnet.facts.progtypes import attach_type, attach_type_name, program_type
    from cygnet.verifier import attachtypes

    try:
        kind = program_type(spec.type)
    except (KeyError, TypeError):
        raise UsageError(f"{spec.type!r} is no program type") from None
    if kind.id == 0:
        raise UsageError("a program must have a type")
    env.prog_type, env.type_number = kind.name, kind.id
    wanted = spec.expected_attach_type
    if isinstance(wanted, str) and wanted:
        try:
            attach_type(wanted.upper())
        except KeyError:
            raise UsageError(f"{wanted!r} is no attach type") from None
        wanted = wanted.upper().removeprefix("BPF_")
    elif wanted:
        number, wanted = wanted, attach_type_name(int(wanted)) or ""
        if not wanted:
            raise UsageError(f"{number} is no attach type")
    env.attach = attachtypes.settle(kind, wanted or "", spec.expected_attach_type)
    env.name = spec.name
    env.spec = spec
    env.gpl = compatible(spec.license)
    env.sleepable = bool(spec.flags & program.F_SLEEPABLE)
    env.strict_align = bool(spec.flags & program.F_STRICT_ALIGNMENT) and not spec.flags & program.F_ANY_ALIGNMENT
    env.test_states = bool(spec.flags & program.F_TEST_STATE_FREQ)
    env.test_invariants = bool(spec.flags & program.F_TEST_REG_INVARIANTS)
    env.uninit_stack = env.target.uninit_stack
    if spec.attach_to:
        if env.prog_type not in ("tracing", "lsm", "struct_ops", "ext"):
            raise Reject(f"programs of type {env.prog_type} have no attach_btf_id", EINVAL)
        from cygnet.verifier import attach

        env.attach_func = attach.find(env, spec.attach_to)


def compatible(license: str) -> bool:
    """May the program call GPL-only functions? Kernel: license_is_gpl_compatible."""
    return license in (
        "GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL",
    )  # fmt: skip


def _types(env: Env, spec: ProgramSpec) -> None:
    if spec.btf is not None:
        from cygnet.verifier.records import open_btf

        env.btf = open_btf(spec.btf)


def _kfuncs(env: Env) -> None:
    if any(ins.code == 0x85 and ins.src == 2 for ins in env.insns):
        from cygnet.verifier import kfuncs

        kfuncs.resolve(env)


def _functions(env: Env, spec: ProgramSpec) -> None:
    """Names and types of functions, when the program has them."""
    if spec.func_info or spec.functions:
        from cygnet.verifier import globals as global_functions

        global_functions.describe(env, spec)
        return
    for sub in env.subs[1:]:
        if sub.has_ld_abs:
            raise Reject("LD_ABS is not allowed in subprogs without BTF", EINVAL)
        if sub.has_tail_call:
            raise Reject("tail_call is not allowed in subprogs without BTF", EINVAL)


# -- following


def follow(env: Env) -> None:
    """The main program, then each global function that was called, by itself."""
    _follow_one(env, 0)
    again = True
    while again:
        again = False
        for number, sub in enumerate(env.subs):
            if number and sub.is_global and sub.called and not sub.args_checked:
                sub.args_checked = True
                again = True
                _follow_one(env, number)


def _follow_one(env: Env, number: int) -> None:
    state = State()
    frame = Frame(0, MAIN, number)
    frame.begin()
    state.frames.append(frame)
    state.sleepable = env.sleepable
    state.first_insn = env.subs[number].start
    env.explored = {}
    env.sccs = {}
    env.stack_live = StackLive(env)
    env.cur = state
    env.prev_jumps = env.jumps
    env.prev_processed = env.processed
    if number or env.prog_type == "ext":
        from cygnet.verifier import globals as global_functions

        global_functions.arguments(env, number, frame)
    else:
        frame.regs[1] = RegState(r.CTX, 0)
    if number and env.log is not None:
        env.log.lines.append(f"Validating {env.subs[number].name}() func#{number}...")
    explore.run(env, state, env.subs[number].start)
    if env.log is not None:
        env.log.done(env, number)


# -- after following: how much stack all functions take together


_ADAPTIVE = frozenset(("kprobe", "tracepoint", "perf_event", "raw_tracepoint"))
_PRIVATE_FROM = 64
_MAX_FRAMES = 8


def check_depth(env: Env) -> None:
    """Kernel: check_max_stack_depth."""
    private = env.prog_type in _ADAPTIVE and not any(sub.has_tail_call for sub in env.subs)
    private = private and env.target.at_least(6, 13)
    for number in range(len(env.subs) - 1, -1, -1):
        if number == 0 or env.subs[number].is_async:
            _check_depth_of(env, number, private and number == 0)


def _rounded(depth: int) -> int:
    return (depth + 15) // 16 * 16


def _check_depth_of(env: Env, number: int, private: bool) -> None:
    subs, insns = env.subs, env.insns
    calls: list[tuple[int, int]] = []  # (instruction to go on with, function)
    depth = 0
    at = subs[number].start
    entering = True
    while True:
        sub = subs[number]
        if entering:
            depth = _enter_depth(env, number, depth, len(calls), private)
            entering = False
        target = -1
        while at < sub.end:
            ins = insns[at]
            _check_throw(env, at, number, calls)
            if cfg.is_pseudo_call(ins) or cfg.is_pseudo_func(ins):
                target = env.sub_starts[at + ins.imm + 1]
                if not (subs[target].is_async and not cfg.is_pseudo_call(ins)):
                    break
                target = -1
            at += 1
        if target >= 0:
            calls.append((at + 1, number))
            number, at, entering = target, subs[target].start, True
            if not private:
                subs[number].priv_stack = -1
            if len(calls) >= _MAX_FRAMES:
                raise Reject(f"the call stack of {len(calls)} frames is too deep !", E2BIG, calls[-1][0] - 1)
            continue
        if not calls:
            return
        if sub.priv_stack != 1:
            depth -= _rounded(sub.stack_depth)
        at, number = calls.pop()


def _enter_depth(env: Env, number: int, depth: int, frames: int, private: bool) -> int:
    sub = env.subs[number]
    if number and sub.has_tail_call and depth >= 256:
        raise Reject(
            f"tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large", EACCES
        )
    own = _rounded(sub.stack_depth)
    if private and sub.priv_stack == 0 and own >= _PRIVATE_FROM:
        sub.priv_stack = 1
    if sub.priv_stack == 1:
        if own > MAX_STACK:
            raise Reject(f"stack size of subprog {number} is {own}. Too large", EACCES)
        return depth
    depth += own
    if depth > MAX_STACK:
        raise Reject(f"combined stack size of {frames + 1} calls is {depth}. Too large", EACCES, sub.start)
    return depth


def _check_throw(env: Env, at: int, number: int, calls: list[tuple[int, int]]) -> None:
    ins = env.insns[at]
    if ins.kfunc is None or ins.kfunc.name != "bpf_throw":
        return
    if env.subs[number].is_cb or any(env.subs[each].is_cb for _, each in calls):
        raise Reject(f"bpf_throw kfunc (insn {at}) cannot be called from callback subprog {number}", EINVAL, at)
