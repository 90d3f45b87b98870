"""Calls from Python: a prepared program, and many runs over an array of contexts.

A context is bytes, copied to native memory that the program may read and write: r1 is its address, r2 its length.
"""

from __future__ import annotations

from typing import Protocol

from cygnet.errors import RuntimeFault
from cygnet.maps.memory import SPACE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cygnet.maps.memory import Block
    from cygnet.vm.host import Host
    from cygnet.vm.jit.engine import Jit
    from cygnet.vm.program import Program

    Prepared = Callable[[bytes | bytearray | memoryview], int]


class Engine(Protocol):
    """What runs programs in a host."""

    host: Host

    def run(self, program: Program, r1: int = 0, r2: int = 0) -> int: ...


class Room:
    """Native memory for one context after another."""

    __slots__ = ("_host", "address", "block", "size", "view")

    def __init__(self, host: Host) -> None:
        self._host = host
        self.block: Block | None = None
        self.address = self.size = 0
        self.view = memoryview(b"")

    def fit(self, size: int) -> None:
        """Make it exactly so large; what is there is lost."""
        if self.block is None or size > self.block.capacity:
            if self.block is not None:
                self._host.memory.free(self.block)
            self.block = self._host.memory.block(max(size, 256), "context")
        self.block.resize(size)
        self.size, self.address = size, self.block.address if size else 0
        self.view = SPACE[self.block.address : self.block.address + size]


def prepared(engine: Engine, program: Program) -> Prepared:
    """A function of the context that runs the program: what can be done once is done now."""
    from cygnet.vm.jit.engine import Jit

    if isinstance(engine, Jit):
        return _prepared_code(engine, program)
    room, run = Room(engine.host), engine.run

    def call(context: bytes | bytearray | memoryview) -> int:
        if len(context) != room.size or not room.block:
            room.fit(len(context))
        room.view[:] = context
        return run(program, room.address, room.size)

    return call


def _prepared_code(jit: Jit, program: Program) -> Prepared:
    from cygnet.vm.jit.engine import CONTEXT, LENGTH, RESULT

    unit, host, room, words = jit.unit(program), jit.host, Room(jit.host), jit.words
    enter, callback = unit.prepared, jit.call_back
    room.fit(0)
    size, address, view = 0, 0, room.view

    def call(context: bytes | bytearray | memoryview) -> int:
        nonlocal size, address, view
        if len(context) != size:
            room.fit(len(context))
            size, address, view = room.size, room.address, room.view
        view[:] = context
        if host.settled is not jit:
            jit.settle()
        host.context, host._callback = address, callback
        words[CONTEXT], words[LENGTH] = address, size
        if status := enter():
            jit.fail(status)
        return words[RESULT]

    return call


def run_batch(engine: Engine, program: Program, contexts: bytes | bytearray | memoryview, size: int) -> Sequence[int]:
    """Run the program for each context of `size` bytes in `contexts`; the results, in order.

    With machine code the loop is machine code too. A fault ends it: RuntimeFault, whose `run` is the number of the
    context. What programs write into their contexts is lost.
    """
    from cygnet.vm.jit.engine import Jit

    if size <= 0 or len(contexts) % size:
        raise ValueError(f"{len(contexts)} bytes are not a whole number of contexts of {size} bytes")
    data, memory = bytes(contexts), engine.host.memory
    room = memory.block(size, "context")
    try:
        if isinstance(engine, Jit):
            return engine.batch(program, data, size, room.address)
        return [_run_one(engine, program, data, number, room) for number in range(len(data) // size)]
    finally:
        memory.free(room)


def _run_one(engine: Engine, program: Program, data: bytes, number: int, room: Block) -> int:
    room.view[:] = data[number * room.size : (number + 1) * room.size]
    try:
        return engine.run(program, room.address, room.size)
    except RuntimeFault as fault:
        fault.run = number
        raise
