"""What one verification works with: the program's instructions, functions and maps, limits, counters, open branches."""

from __future__ import annotations

from cygnet.isa.consts import (
    BPF_CALL,
    BPF_CLASS_MASK,
    BPF_EXIT,
    BPF_JMP,
    BPF_JMP32,
    BPF_OP_MASK,
    BPF_SIZE_MASK,
    BPF_STX,
    BPF_X,
)
from cygnet.verifier.bits import shl
from cygnet.verifier.reg import RegState
from cygnet.verifier.state import Frame, Reject, State, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mypy_extensions import i64

MAX_INSNS: Final[i64] = 1_000_000
MAX_PENDING: Final[i64] = 8192
EINVAL: Final[i64] = 22
EACCES: Final[i64] = 13
EPERM: Final[i64] = 1
E2BIG: Final[i64] = 7
EFAULT: Final[i64] = 14
ENOTSUPP: Final[i64] = 524

_BYTES: Final[list[i64]] = [4, 2, 1, 8]


class Ins:
    """One slot of the program, and what the verifier keeps beside it."""

    __slots__ = (
        "btf", "btf_id", "calls_callback", "checkpoint", "cls", "code", "dst", "fastcall", "imm", "imm64", "jmp_point",
        "kfunc", "live", "loads", "map", "map_off", "off", "op", "prune", "ptr_type", "scc", "seen", "size", "src",
        "storage_alloc", "touches", "var_type",
    )  # fmt: skip

    def __init__(self, code: i64, dst: i64, src: i64, off: i64, imm: i64) -> None:
        self.code: i64 = code
        self.dst: i64 = dst
        self.src: i64 = src
        self.off: i64 = off
        self.imm: i64 = imm
        self.imm64: i64 = imm
        self.cls: i64 = code & BPF_CLASS_MASK
        self.op: i64 = code & BPF_OP_MASK
        self.size: i64 = _BYTES[(code & BPF_SIZE_MASK) >> 3]
        self.map: MapInfo | None = None
        self.map_off: i64 = 0
        self.btf: Any = None
        self.btf_id: i64 = 0
        self.var_type: i64 = 0
        self.kfunc: Any = None
        self.prune = False
        self.jmp_point = False
        self.checkpoint = False
        self.calls_callback = False
        self.seen = False
        self.live: i64 = 0x3FF
        self.scc: i64 = 0
        self.ptr_type: i64 = -1
        self.storage_alloc = False
        self.fastcall: i64 = 0
        self.loads = False
        self.touches: i64 = _touches(code, dst, src)


def _touches(code: i64, dst: i64, src: i64) -> i64:
    """The registers that an instruction must touch to be of interest to a walk that looks for where they came from; -1
    when it always is."""
    cls = code & BPF_CLASS_MASK
    op = code & BPF_OP_MASK
    if cls == BPF_STX:
        return 1 | shl(1, dst) | shl(1, src)
    if cls != BPF_JMP and cls != BPF_JMP32:
        return shl(1, dst) if code else 0
    if op == BPF_CALL or op == BPF_EXIT:
        return -1
    return shl(1, dst) | shl(1, src) if code & BPF_X else 0


class Special:
    """A field with a meaning of its own in a map value or an allocated object: a lock, a timer, a kernel pointer."""

    __slots__ = ("btf", "btf_id", "kind", "node_offset", "off", "percpu", "size")

    def __init__(self, kind: str, off: i64, size: i64) -> None:
        self.kind = kind
        self.off: i64 = off
        self.size: i64 = size
        self.btf: Any = None
        self.btf_id: i64 = 0
        self.node_offset: i64 = 0
        self.percpu = False


class MapInfo:
    """A map as the verifier sees it. `kind` is the type's name (facts.maptypes)."""

    __slots__ = (
        "btf", "data", "entries", "flags", "frozen", "inner", "key_size", "kind", "name", "number", "spec", "specials",
        "value_id", "value_size",
    )  # fmt: skip

    def __init__(self, name: str, kind: str, number: i64, key_size: i64, value_size: i64, entries: i64) -> None:
        self.name = name
        self.kind = kind
        self.number: i64 = number
        self.key_size: i64 = key_size
        self.value_size: i64 = value_size
        self.entries: i64 = entries
        self.flags: i64 = 0
        self.inner: MapInfo | None = None
        self.specials: list[Special] = []
        self.frozen = False
        self.data: bytes | None = None
        self.btf: Any = None
        self.value_id: i64 = 0
        self.spec: Any = None

    def special(self, kind: str) -> Special | None:
        for field in self.specials:
            if field.kind == kind:
                return field
        return None


class Subprog:
    """A function: instructions [start, end)."""

    __slots__ = (
        "args", "args_checked", "called", "changes_packet", "end", "has_ld_abs", "has_tail_call", "is_async", "is_cb",
        "is_exception_cb", "is_global", "might_sleep", "name", "priv_stack", "returns_void", "stack_depth", "start",
    )  # fmt: skip

    def __init__(self, start: i64) -> None:
        self.start: i64 = start
        self.end: i64 = 0
        self.name = ""
        self.stack_depth: i64 = 0
        self.has_tail_call = False
        self.has_ld_abs = False
        self.is_cb = False
        self.is_async = False
        self.is_exception_cb = False
        self.is_global = False
        self.called = False
        self.changes_packet = False
        self.might_sleep = False
        self.returns_void = False
        self.priv_stack: i64 = 0
        self.args: Any = None
        self.args_checked = False


class Pending:
    """A branch to follow later."""

    __slots__ = ("before", "insn", "log_mark", "state")

    def __init__(self, state: State, insn: i64, before: i64, log_mark: i64) -> None:
        self.state = state
        self.insn: i64 = insn
        self.before: i64 = before
        self.log_mark: i64 = log_mark


class Env:
    """All of one verification. `cur` is the path being followed, `insn` where it is."""

    def __init__(self, insns: list[Ins]) -> None:
        self.insns: list[Ins] = insns
        self.subs: list[Subprog] = []
        self.sub_starts: dict[int, int] = {}
        self.maps: list[MapInfo] = []
        # the program
        self.prog_type = ""
        self.type_number: i64 = 0
        self.attach = ""
        self.gpl = True
        self.sleepable = False
        self.strict_align = False
        self.test_states = False
        self.test_invariants = False
        self.has_frags = False
        self.name = ""
        self.spec: Any = None
        self.target: Any = None  # a kernels.Target
        self.btf: Any = None  # the program's own
        self.kernel_btf: Any = None  # found when it is first needed
        self.attach_func: Any = None  # what it is attached to, a contexts.AttachPoint
        self.context: Any = None  # rules of the context, a context.Context
        self.arena: MapInfo | None = None
        self.uninit_stack = True
        self.uninit_seen = False
        self.touched: i64 = 0  # stack slots that the instruction wrote or read, for the log
        # progress
        self.cur: State = State()
        self.insn: i64 = 0
        self.prev: i64 = 0
        self.step: Step | None = None
        self.pending: list[Pending] = []
        self.explored: dict[int, list[State]] = {}
        self.id_gen: i64 = 0
        self.processed: i64 = 0
        self.jumps: i64 = 0
        self.prev_processed: i64 = 0
        self.prev_jumps: i64 = 0
        self.total_states: i64 = 0
        self.budget: i64 = MAX_INSNS
        self.exception_cb: i64 = -1
        self.has_func_info = False
        self.rbtree_callback = False
        self.sub_cur: i64 = 0
        self.sccs: dict[object, Any] = {}
        self.scc_count: i64 = 0
        self.any_backedge = False
        self.changes_packet = False
        self.seen_exception = False
        self.seen_direct_write = False
        self.max_stack = 0
        self.stack_live: Any = None
        self.log: Any = None  # a log.Log, or None when nobody reads it
        self.path: Any = None  # a list of the instructions passed, for the explainer
        self.warnings: list[str] = []
        self.context_bytes: i64 = 0  # how far into its context the program looks
        self.trusting = False  # a bound or an address was taken on trust that only the kernel can vouch for

    def new_id(self) -> i64:
        self.id_gen += 1
        return self.id_gen

    def regs(self) -> list[RegState]:
        return self.cur.frame().regs

    def frame_of(self, reg: RegState) -> Frame:
        """The frame a stack pointer points into."""
        return self.cur.frames[reg.frame]

    def find_sub(self, insn: i64) -> i64:
        """The number of the function that begins at `insn`, or -1."""
        number: int = self.sub_starts.get(insn, -1)
        return number

    def sub_of(self, insn: i64) -> i64:
        """The number of the function that `insn` belongs to."""
        low: i64 = 0
        high: i64 = len(self.subs)
        while high - low > 1:
            middle = (low + high) // 2
            if self.subs[middle].start <= insn:
                low = middle
            else:
                high = middle
        return low

    def push(self, insn: i64, before: i64) -> State:
        """Remember the current state as a branch that goes on at `insn`."""
        state = self.cur.copy()
        mark: i64 = 0
        if self.log is not None:
            mark = self.log.mark()
        self.pending.append(Pending(state, insn, before, mark))
        if len(self.pending) > MAX_PENDING:
            raise Reject(f"The sequence of {len(self.pending)} jumps is too complex.", E2BIG)
        if state.parent is not None:
            state.parent.branches += 1
        return state

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def push_history(env: Env, state: State, flags: i64, links: list[i64] | None) -> None:
    """Note a jump, a stack access or registers that learnt together, for backtracking."""
    step = env.step
    if step is not None:  # this instruction has an entry: entries are shared, so make another
        last = len(state.history) - 1
        new = Step(step.at, step.before, step.flags | flags, links if links is not None else step.links)
        state.history[last] = new
        env.step = new
        return
    new = Step(env.insn, env.prev, flags, links)
    state.history.append(new)
    env.step = new
