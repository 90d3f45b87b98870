"""The lowerer: user stacks that user space unwinds by their tables (dw_ustack).

The kernel follows frame pointers only. Here a program copies the registers and the newest part of the stack, and
makes a number of what matters in them: what could be an address of code or of the stack, for a caller is found by
nothing else. A number that is new is sent along with the copy; user space unwinds it, and where it finds a stack that
it knows by another number, it says so in a map, so that programs use that one from then on.

What could be one: an address of the program's own code, or a high one (libraries, stacks, mappings) that is not on the
heap. So counters and most pointers to data make no new numbers. Code that a JIT put below 32 TiB is not told apart.

A record::

    u64 action    u64 number    u64 pid    u64 where the copy begins    u64 its bytes    struct pt_regs    the copy
"""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.lower.operands import Mem
from cygnet.lang.trace.lower.strings import scan
from cygnet.lang.trace.lower.unit import CONTROL, IDLE_WORD, LOST_WORD, RING
from cygnet.spec.actions import Action
from cygnet.spec.values import UNWOUND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Block, Value
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

_REGS_AT, _REGS_BYTES = 40, 168
_COPY_AT = _REGS_AT + _REGS_BYTES
_SP_AT = _REGS_AT + 19 * 8
_PIECE = 512  # read at once; a piece that begins at a multiple of it lies in one page
_PIECES = 24
COPY_BYTES = _PIECE * _PIECES
# An odd number with its bits well spread (2^64 / golden ratio): a step of multiplicative hashing.
_SPREAD = 0x9E3779B97F4A7C15
# Where x86-64 has what is mapped: from a third of the 47 bits on, with the oldest layout (mmap_base).
_LOWEST, _HIGHEST = 1 << 45, 1 << 47
# Registers, as words of struct pt_regs, by which callers are found: r15 r14 r13 r12 bp bx, r10, ip, sp.
_FINDERS = (0, 1, 2, 3, 4, 5, 7, 16, 19)
_ANY = 0


def take_snapshot(g: Lowerer) -> Value:
    """The number of the user stack, taken once on each path; 0 where there is none."""
    return g.remember("dw_ustack", lambda: _take(g))


def _take(g: Lowerer) -> Value:
    from cygnet.lang.trace.builtins.task import thread_group

    b = g.b
    fields = tuple((at, T.vtype(T.UINT64)) for at in (8, 16, 24, 32))
    number = g.unit.action(Action("unwind", _COPY_AT + COPY_BYTES, fields))
    g.unit.unwinds = True
    pid = thread_group(g)
    record = g.new_slot(_COPY_AT + COPY_BYTES, "stack_copy")
    registers = b.call("task_pt_regs", b.call("get_current_task_btf"))
    b.call("probe_read_kernel", b.offset(record, _REGS_AT), g.const(_REGS_BYTES), registers)
    base = b.binary("and", b.load(record, 8, _SP_AT), g.const(-_PIECE))
    size = _copy(g, b.offset(record, _COPY_AT), base)
    for at, value in ((0, g.const(number)), (16, pid), (24, base), (32, size)):
        b.store(record, value, 8, at)

    def known() -> Value:
        name = _name(g, record, size, pid)
        b = g.b
        b.store(record, name, 8, 8)
        found = b.call("map_lookup_elem", b.map(UNWOUND), b.offset(record, 8))
        return g.select("ne", found, g.const(0), lambda: g.b.load(found, 8), lambda: _send(g, record, size, name))

    return g.select("eq", size, g.const(0), lambda: g.const(0), known)


def _copy(g: Lowerer, to: Value, base: Value) -> Value:
    """Read the stack from `base` on, as far as it is there; gives how many bytes."""
    size = object()
    g.b.write(size, g.const(0))

    def step(index: Value, out: Block) -> None:
        b = g.b
        at = b.binary("mul", index, b.const(_PIECE))
        failed = b.call("probe_read_user", b.add(to, at), b.const(_PIECE), b.add(base, at))
        more = b.new_block()
        b.br("ne", failed, b.const(0), out, more)
        b.open(more)
        b.write(size, b.add(at, b.const(_PIECE)))

    scan(g, _PIECES, step)
    return g.b.read(size)


def _name(g: Lowerer, record: Value, size: Value, pid: Value) -> Value:
    """A number for what could be an address, and where it stands."""
    name = object()
    g.b.write(name, g.b.binary("mul", pid, g.const(_SPREAD)))
    code, code_size, heap, heap_size = _memory(g)
    for place in _FINDERS:
        _mix(g, name, g.b.load(record, 8, _REGS_AT + 8 * place), g.const(place))
    words = g.b.binary("shr", size, g.const(3))

    def step(index: Value, out: Block) -> None:
        b = g.b
        inside, high, low, counts, next_ = (b.new_block() for _ in range(5))
        b.br("ult", index, words, inside, out)
        b.open(inside)
        word = b.load(b.add(record, b.binary("shl", index, b.const(3))), 8, _COPY_AT)
        b.br("ult", b.binary("sub", word, b.const(_LOWEST)), b.const(_HIGHEST - _LOWEST), high, low)
        b.open(high)
        b.br("ult", b.binary("sub", word, heap), heap_size, next_, counts)
        b.open(low)
        b.br("ult", b.binary("sub", word, code), code_size, counts, next_)
        b.open(counts)
        _mix(g, name, word, index)
        b.jump(next_)
        b.open(next_)

    scan(g, COPY_BYTES // 8, step)
    found = g.b.read(name)
    return g.select("eq", found, g.const(0), lambda: g.const(1), lambda: found)


def _mix(g: Lowerer, name: object, word: Value, place: Value) -> None:
    b = g.b
    placed = b.add(word, b.binary("shl", place, b.const(48)))
    mixed = b.binary("mul", b.binary("xor", b.read(name), placed), b.const(_SPREAD))
    b.write(name, b.binary("xor", mixed, b.binary("shr", mixed, b.const(32))))


def _memory(g: Lowerer) -> tuple[Value, Value, Value, Value]:
    """Where the process has its program's code and its heap, each with its size."""
    task, mm = g.types.system("struct", "task_struct"), g.types.system("struct", "mm_struct")
    assert task is not None and mm is not None

    def member(address: Value, record: Type, root: str, name: str) -> Value:
        return g.read(Mem(address, T.KERNEL, record, record.extra.find(name).offset, root=root, path=name), 8, False)

    from cygnet.lang.trace.builtins.task import current_task

    its = member(current_task(g), task, "task_struct", "mm")
    code, code_end, heap, heap_end = (
        member(its, mm, "mm_struct", name) for name in ("start_code", "end_code", "start_brk", "brk")
    )
    return code, g.b.binary("sub", code_end, code), heap, g.b.binary("sub", heap_end, heap)


def _send(g: Lowerer, record: Value, size: Value, name: Value) -> Value:
    """Send the copy; once it is on its way, its number is known."""
    b = g.b
    idle = b.load(b.map_value(CONTROL, 8 * IDLE_WORD), 8)
    send, unfit = b.new_block(), b.new_block()
    b.br("ule", size, g.const(COPY_BYTES), send, unfit)  # for the verifier
    b.open(send)
    length = b.add(size, g.const(_COPY_AT))
    flags = b.add(idle, g.const(1))  # as EventLowerer._wakeup
    failed = b.call("ringbuf_output", b.map(RING), record, length, flags)

    def sent() -> None:
        g.b.call("map_update_elem", g.b.map(UNWOUND), g.b.offset(record, 8), g.b.offset(record, 8), g.const(_ANY))

    def lost() -> None:
        g.b.atomic("add", g.b.map_value(CONTROL, 8 * LOST_WORD), g.const(1))

    g.choose("eq", failed, g.const(0), sent, lost)
    g.b.jump(unfit)
    g.b.open(unfit)
    return name
