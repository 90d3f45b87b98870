"""A point of one path: registers and stacks of the active functions, what they own, and how it was reached."""

from __future__ import annotations

from cygnet.verifier.bits import shl
from cygnet.verifier.reg import NONE, NOT_INIT, SCALAR, STACK, RegState, pointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

# What a byte of the stack holds
INVALID: Final[i64] = 0  # never written
SPILL: Final[i64] = 1  # part of a register
MISC: Final[i64] = 2  # some data
ZERO: Final[i64] = 3
DYN: Final[i64] = 4  # part of a dynptr
ITER: Final[i64] = 5  # part of an iterator
IRQ: Final[i64] = 6  # saved interrupt flags
EVERY: Final[i64] = 0x0101010101010101
ALL_MISC: Final[i64] = MISC * EVERY
ALL_ZERO: Final[i64] = ZERO * EVERY
ALL_SPILL: Final[i64] = SPILL * EVERY

MAX_FRAMES: Final[i64] = 8
MAX_STACK: Final[i64] = 512

# `callsite` of the outermost frame
MAIN: Final[i64] = -1

# What a reference is to
REF_PTR: Final[i64] = 2
REF_IRQ: Final[i64] = 4
REF_LOCK: Final[i64] = 8
REF_RES_LOCK: Final[i64] = 16
REF_RES_LOCK_IRQ: Final[i64] = 32
REF_ANY_LOCK: Final[i64] = REF_LOCK | REF_RES_LOCK | REF_RES_LOCK_IRQ

# Flags of a step of the history: a stack access (frame | slot << 3), and jumps that compare stack pointers
STACK_ACCESS: Final[i64] = 1 << 9
DST_STACK: Final[i64] = 1 << 10
SRC_STACK: Final[i64] = 1 << 11


class Reject(Exception):
    """The program is refused: the kernel's own words, the errno, and the instruction."""

    def __init__(self, message: str, errno: int = 22, insn: int = -1) -> None:
        super().__init__(message)
        self.message = message
        self.errno = errno
        self.insn = insn


class Slot:
    """Eight bytes of stack, never changed once made. `kinds` has a byte for each byte, the highest address first;
    `reg` is the spilled register, or what describes the dynptr, iterator or flags."""

    __slots__ = ("kinds", "reg")

    def __init__(self, kinds: i64, reg: RegState) -> None:
        self.kinds: i64 = kinds
        self.reg: RegState = reg

    def kind(self, byte: i64) -> i64:
        return (self.kinds >> (byte * 8)) & 0xFF

    def holds_register(self) -> bool:
        return (self.kinds >> 56) == SPILL

    def holds_scalar(self) -> bool:
        return (self.kinds >> 56) == SPILL and self.reg.type == SCALAR

    def holds_scalar64(self) -> bool:
        return (self.kinds & 0xFF) == SPILL and (self.kinds >> 56) == SPILL and self.reg.type == SCALAR


EMPTY: Final = Slot(0, NONE)
MISC_SLOT: Final = Slot(ALL_MISC, NONE)


def with_kind(kinds: i64, byte: i64, kind: i64) -> i64:
    at = byte * 8
    return (kinds & ~shl(0xFF, at)) | (kind << at)


class Ref:
    """Something the program must give back. Never changed once made."""

    __slots__ = ("id", "insn", "kind", "target")

    def __init__(self, kind: i64, id: i64, insn: i64, target: object) -> None:
        self.kind: i64 = kind
        self.id: i64 = id
        self.insn: i64 = insn
        self.target = target


class Step:
    """An entry of the history: instruction `at` came after `before`; `links` are registers that learnt together."""

    __slots__ = ("at", "before", "flags", "links")

    def __init__(self, at: i64, before: i64, flags: i64, links: list[i64] | None) -> None:
        self.at: i64 = at
        self.before: i64 = before
        self.flags: i64 = flags
        self.links: list[i64] | None = links


class Frame:
    """An active function. `precise` and `precise_slots` are bit sets: scalars whose exact value mattered later on."""

    __slots__ = (
        "async_entry", "callback_depth", "callsite", "in_async_callback", "in_callback", "in_exception_callback",
        "number", "precise", "precise_slots", "regs", "ret_high", "ret_low", "ret_set", "stack", "subprog",
    )  # fmt: skip

    def __init__(self, number: i64, callsite: i64, subprog: i64) -> None:
        self.number: i64 = number
        self.callsite: i64 = callsite
        self.subprog: i64 = subprog
        self.regs: list[RegState] = [NONE] * 11
        self.stack: list[Slot] = []
        self.precise: i64 = 0
        self.precise_slots: i64 = 0
        self.callback_depth: i64 = 0
        self.async_entry: i64 = 0
        self.in_callback = False
        self.in_async_callback = False
        self.in_exception_callback = False
        self.ret_set = False  # a callback's result must lie in [ret_low, ret_high]
        self.ret_low: i64 = 0
        self.ret_high: i64 = 0

    def begin(self) -> None:
        fp = pointer(STACK)
        fp.frame = self.number
        self.regs[10] = fp

    def copy(self) -> Frame:
        new = Frame(self.number, self.callsite, self.subprog)
        new.regs = self.regs.copy()
        new.stack = self.stack.copy()
        new.precise = self.precise
        new.precise_slots = self.precise_slots
        new.callback_depth = self.callback_depth
        new.async_entry = self.async_entry
        new.in_callback = self.in_callback
        new.in_async_callback = self.in_async_callback
        new.in_exception_callback = self.in_exception_callback
        new.ret_set = self.ret_set
        new.ret_low = self.ret_low
        new.ret_high = self.ret_high
        return new

    def grow(self, size: i64) -> None:
        """Let the stack have at least `size` bytes."""
        need = (size + 7) // 8
        while len(self.stack) < need:
            self.stack.append(EMPTY)


class State:
    """`branches` counts paths that began here and are not at their end yet; `parent` is the checkpoint before."""

    __slots__ = (
        "acquired",
        "branches",
        "callback_unroll",
        "cleaned",
        "dfs_depth",
        "first_insn",
        "frames",
        "history",
        "hits",
        "insn",
        "irq_id",
        "last_insn",
        "lock_id",
        "lock_target",
        "locks",
        "may_goto_depth",
        "misses",
        "parent",
        "preempt_locks",
        "rcu_locks",
        "refs",
        "sleepable",
    )  # fmt: skip

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.refs: list[Ref] = []
        self.locks: i64 = 0
        self.lock_id: i64 = 0
        self.lock_target: object = None
        self.preempt_locks: i64 = 0
        self.irq_id: i64 = 0
        self.rcu_locks: i64 = 0
        self.sleepable = False
        self.parent: State | None = None
        self.branches: i64 = 0
        self.insn: i64 = 0
        self.first_insn: i64 = 0
        self.last_insn: i64 = 0
        self.history: list[Step] = []
        self.dfs_depth: i64 = 0
        self.may_goto_depth: i64 = 0
        self.callback_unroll: i64 = 0
        self.hits: i64 = 0
        self.misses: i64 = 0
        self.cleaned = False

    def copy(self) -> State:
        new = State()
        new.frames = [frame.copy() for frame in self.frames]
        new.refs = self.refs  # replaced, never changed
        new.locks = self.locks
        new.lock_id = self.lock_id
        new.lock_target = self.lock_target
        new.preempt_locks = self.preempt_locks
        new.irq_id = self.irq_id
        new.rcu_locks = self.rcu_locks
        new.sleepable = self.sleepable
        new.parent = self.parent
        new.branches = self.branches
        new.insn = self.insn
        new.first_insn = self.first_insn
        new.last_insn = self.last_insn
        new.history = self.history.copy()
        new.dfs_depth = self.dfs_depth
        new.may_goto_depth = self.may_goto_depth
        new.callback_unroll = self.callback_unroll
        return new

    def frame(self) -> Frame:
        return self.frames[len(self.frames) - 1]

    def find_ref(self, id: i64) -> Ref | None:
        for ref in self.refs:
            if ref.id == id:
                return ref
        return None


def same_type(a: RegState, b: RegState) -> bool:
    return a.type == b.type and a.type != NOT_INIT
