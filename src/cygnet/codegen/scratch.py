"""Scratch memory: slots that do not fit the stack, in the value of a per-CPU array map.

The map's one entry is looked up once, at the function's entry. A program that can be preempted by
another run of itself on the same CPU cannot own it: there the value holds several levels, each with a
busy word that is claimed with an exchange and given back before every exit. When none is free the
program returns 0 and one event is counted as lost. A level::

    u64 busy    u64 number    scratch bytes

The claimed level's number is written to the level and read back, so that to the verifier it is just a
small number: otherwise it would walk the rest of the program once for each level.
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
        raise _too_much(function, start + size)
    writer.end("jump", (), entry)
    function.blocks = [*writer.blocks, fail, *function.blocks]
    return taken, base, start, slot


def _too_much(function: Function, size: int) -> SourceError:
    """The error, at what takes the most."""
    slots = [value for block in function.blocks for value in block.body if value.op == "slot"]
    largest = max(slots, key=lambda slot: slot.imm[0], default=None)
    return SourceError(
        f"{function.name} needs {size} bytes of scratch memory; there are {_VALUE_BYTES}",
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
    if lost is not None:
        word = writer.make("map_value", (), lost, "map_value")
        writer.make("atomic", (word, writer.const(1)), ("add", 8, 0, False), NONE)
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


def leave_scratch(function: Function, entry: Block) -> None:
    """Undo `enter_scratch`; `entry` was the first block before it."""
    function.blocks = function.blocks[function.blocks.index(entry) :]
    if function.preemptible:
        for block in function.blocks:
            if block.term is not None and block.term.op == "ret":
                block.body.pop()
