"""Scratch memory: slots that do not fit the stack, in the value of a per-CPU array map.

The map's one entry is looked up once, at the function's entry. A program that can be preempted by
another run of itself on the same CPU cannot own it: there the value holds several levels, each with a
busy word that is claimed with an exchange and given back before every exit. When none is free the
program returns 0 and one event is counted as lost. A level::

    u64 busy    u64 number    scratch bytes

The claimed level's number is written to the level and read back, so that to the verifier it is just a
small number: otherwise it would walk the rest of the program once for each level.

The value of a per-CPU map cannot be larger than 32 KiB. Who needs more claims an entry of a pool, one value that all
CPUs and all programs of that size share, laid out like levels. A CPU looks at four entries, others than its neighbour.
"""

from __future__ import annotations

from cygnet.errors import SourceError
from cygnet.ir.core import I64, NONE, Block, Function, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: runs of one program that may be under way on one CPU at the same time, if that much memory is to be had
LEVELS = 4
HEADER_BYTES = 16
#: the largest value of a per-CPU map (PCPU_MIN_UNIT_SIZE, include/linux/percpu.h)
_VALUE_BYTES = 32768
#: entries of a pool; fewer where they would take more than so many bytes; the largest entry
_POOL, _POOL_BYTES, _LARGEST = 64, 8 << 20, 4 << 20


class _Writer:
    """Appends values to a block; scratch code is too regular to need the builder."""

    __slots__ = ("block", "blocks", "span")

    def __init__(self, span: Any) -> None:
        self.span = span
        self.blocks: list[Block] = []
        self.place(Block("scratch"))

    def place(self, block: Block) -> None:
        self.block = block
        self.blocks.append(block)

    def make(self, op: str, args: tuple[Value, ...] = (), imm: Any = None, type: str = I64) -> Value:
        value = Value(op, args, imm, type, self.span)
        self.block.body.append(value)
        return value

    def const(self, number: int) -> Value:
        return Value("const", (), number, I64, self.span)

    def end(self, op: str, args: tuple[Value, ...], imm: Any) -> None:
        self.block.term = Value(op, args, imm, NONE, self.span)


def enter_scratch(
    function: Function, size: int, start: int, scratch_map: str, key: int, lost: tuple[str, int] | None
) -> tuple[int, Value, int, Value]:
    """Put the code that finds `size` bytes of scratch memory before the entry of `function`.

    They lie from byte `start` of the map's value on. Returned: how many bytes of the value are taken,
    the pointer from which the scratch bytes are reached, their offset from it, and the slot (4 bytes,
    to be placed on the stack) of the map's key.
    """
    writer = _Writer(function.span)
    entry = function.blocks[0]
    slot = writer.make("slot", (), (4, 4, "scratch_key"), "stack")
    writer.make("store", (slot, writer.const(key)), (4, 0), NONE)
    value = writer.make("call", (writer.make("map", (), scratch_map, "map"), slot), "map_lookup_elem", "map_value?")
    fail = Block("no_scratch")
    fail.term = Value("ret", (writer.const(0),), None, NONE, function.span)
    found = Block("scratch_found")
    writer.end("br", (value, writer.const(0)), ("ne", found, fail))
    writer.place(found)
    taken, base = size, value
    if function.preemptible:
        stride = HEADER_BYTES + size
        levels = max(1, min(LEVELS, (_VALUE_BYTES - start) // stride))
        taken = levels * stride
        base = _claim(writer, value, start, stride, levels, fail, lost)
        _release(function, base, start)
        start += HEADER_BYTES
    if start + size > _VALUE_BYTES:
        raise _too_much(function, start + size, _VALUE_BYTES)
    writer.end("jump", (), entry)
    function.blocks = [*writer.blocks, fail, *function.blocks]
    return taken, base, start, slot


def enter_pool(
    function: Function, size: int, scratch_map: str, pools: dict[str, int], lost: tuple[str, int] | None
) -> tuple[Value, int]:
    """As `enter_scratch`, where `size` bytes are too many for that: the pointer, and the bytes' offset from it.

    `pools` gets the map, an array of one value, and how many bytes that value has.
    """
    stride = 1 << (HEADER_BYTES + size - 1).bit_length()
    if stride > _LARGEST:
        raise _too_much(function, size, _LARGEST - HEADER_BYTES)
    entries = max(2 * LEVELS, min(_POOL, _POOL_BYTES // stride))
    name = f"{scratch_map}_{stride >> 10}k"
    pools[name] = entries * stride
    writer = _Writer(function.span)
    entry = function.blocks[0]
    fail = Block("no_scratch")
    fail.term = Value("ret", (writer.const(0),), None, NONE, function.span)
    base = _claim_entry(writer, name, stride, entries, fail, lost)
    _release(function, base, 0)
    writer.end("jump", (), entry)
    function.blocks = [*writer.blocks, fail, *function.blocks]
    return base, HEADER_BYTES


def _claim_entry(
    writer: _Writer, name: str, stride: int, entries: int, fail: Block, lost: tuple[str, int] | None
) -> Value:
    """Claim an entry of a pool; a pointer to its busy word."""
    common = Block("scratch_entry")
    number = Value("param", (), 0, I64, None)
    common.params = [number]
    pool = writer.make("map_value", (), (name, 0), "map_value")
    cpu = writer.make("call", (), "get_smp_processor_id")
    for level in range(LEVELS):
        moved = writer.make("add", (cpu, writer.const(level * (entries // LEVELS))))
        index = writer.make("and", (moved, writer.const(entries - 1)))
        at = writer.make("add", (pool, writer.make("mul", (index, writer.const(stride)))), None, "map_value")
        old = writer.make("atomic", (at, writer.const(1)), ("xchg", 8, 0, True))
        claimed, busy = Block(f"claimed{level}"), Block(f"busy{level}")
        writer.end("br", (old, writer.const(0)), ("eq", claimed, busy))
        writer.place(claimed)
        writer.make("store", (at, index), (8, 8), NONE)
        writer.end("jump", (writer.make("load", (at,), (8, False, 8, None)),), common)
        writer.place(busy)
    _count_lost(writer, lost)
    writer.end("jump", (), fail)
    writer.place(common)
    sure = Block("scratch_sure")
    writer.end("br", (number, writer.const(entries - 1)), ("ule", sure, fail))
    writer.place(sure)
    return writer.make("add", (pool, writer.make("mul", (number, writer.const(stride)))), None, "map_value")


def _count_lost(writer: _Writer, lost: tuple[str, int] | None) -> None:
    if lost is not None:
        word = writer.make("map_value", (), lost, "map_value")
        writer.make("atomic", (word, writer.const(1)), ("add", 8, 0, False), NONE)


def fits_value(function: Function, size: int, start: int) -> bool:
    """Is there room for `size` bytes in a per-CPU value of which `start` bytes are taken?"""
    return start + size + (HEADER_BYTES if function.preemptible else 0) <= _VALUE_BYTES


def _too_much(function: Function, size: int, room: int) -> SourceError:
    """The error, at what takes the most."""
    slots = [value for block in function.blocks for value in block.body if value.op == "slot"]
    largest = max(slots, key=lambda slot: slot.imm[0], default=None)
    return SourceError(
        f"{function.name} needs {size} bytes of scratch memory; there are {room}",
        function.span if largest is None else largest.span,
        ["shorten its strings and arrays (max_strlen), or the number of them that are kept at a time"],
    )


def _claim(
    writer: _Writer, value: Value, start: int, stride: int, levels: int, fail: Block, lost: tuple[str, int] | None
) -> Value:
    """Claim a level; a pointer from which its busy word is `start` bytes away."""
    common = Block("scratch_level")
    number = Value("param", (), 0, I64, None)
    common.params = [number]
    for level in range(levels):
        at = start + level * stride
        old = writer.make("atomic", (value, writer.const(1)), ("xchg", 8, at, True))
        claimed, busy = Block(f"claimed{level}"), Block(f"busy{level}")
        writer.end("br", (old, writer.const(0)), ("eq", claimed, busy))
        writer.place(claimed)
        writer.make("store", (value, writer.const(level)), (8, at + 8), NONE)
        writer.end("jump", (writer.make("load", (value,), (8, False, at + 8, None)),), common)
        writer.place(busy)
    _count_lost(writer, lost)
    writer.end("jump", (), fail)
    writer.place(common)
    sure = Block("scratch_sure")
    writer.end("br", (number, writer.const(levels - 1)), ("ule", sure, fail))
    writer.place(sure)
    offset = writer.make("mul", (number, writer.const(stride)))
    return writer.make("add", (value, offset), None, "map_value")


def _release(function: Function, base: Value, start: int) -> None:
    """Give the level back before every exit. A plain store: whoever claims it next is on this CPU."""
    for block in function.blocks:
        term = block.term
        assert term is not None
        if term.op == "ret":
            zero = Value("const", (), 0, I64, term.span)
            block.body.append(Value("store", (base, zero), (8, start), NONE, term.span))


def leave_scratch(function: Function, entry: Block, base: Value) -> None:
    """Undo `enter_scratch` or `enter_pool`, which gave `base`; `entry` was the first block before it."""
    function.blocks = function.blocks[function.blocks.index(entry) :]
    for block in function.blocks:
        last = block.body[-1] if block.body else None
        if block.term is not None and block.term.op == "ret" and last is not None and last.op == "store":
            if last.args[0] is base:
                block.body.pop()
