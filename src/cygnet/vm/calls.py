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
    from cygnet.vm.jit.direct import Direct
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
        host.closing.append(self._close)

    def fit(self, size: int) -> None:
        """Make it exactly so large; what is there is lost."""
        if self.block is None or size > self.block.capacity:
            if self.block is not None:
                self._host.memory.free(self.block)
            self.block = self._host.memory.block(max(size, 256), "context")
        self.block.resize(size)
        self.size, self.address = size, self.block.address if size else 0
        self.view = SPACE[self.block.address : self.block.address + size]

    def free(self) -> None:
        """Give the memory back."""
        if self.block is not None:
            self._host.memory.free(self.block)
        self._host.closing.remove(self._close)
        self._close()

    def _close(self) -> None:
        """The machine ends: whoever holds the view must not write to it any more."""
        self.view.release()
        self.block, self.size = None, -1


class Nested:
    """A run inside of another, which a helper in Python begins: the stack is given back as it was."""

    __slots__ = ("_kept", "_view")

    def __init__(self, host: Host) -> None:
        self._view = host.stack.view if host._callback is not None and not host.closed else memoryview(b"")
        self._kept = bytes(self._view)

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        if self._kept:
            self._view[:] = self._kept


def runner(engine: Engine, program: Program) -> Callable[[int, int], int]:
    """A function of r1 and r2 that runs the program, and must not be called while it runs."""
    from cygnet.vm.jit.engine import Jit

    if isinstance(engine, Jit):
        return engine.runner(program)
    return lambda r1, r2: engine.run(program, r1, r2)


def prepared(engine: Engine, program: Program) -> Prepared:
    """A function of the context that runs the program: what can be done once is done now."""
    run, host, room = runner(engine, program), engine.host, Room(engine.host)
    size, address, view = -1, 0, room.view

    def call(context: bytes | bytearray | memoryview) -> int:
        nonlocal size, address, view
        if host._callback is not None:  # a run inside of another must not share the memory of its context
            return _run_apart(engine, program, context)
        if len(context) != size:
            program.need_context(len(context))
            room.fit(len(context))
            size, address, view = room.size, room.address, room.view
            if direct is not None:
                direct.place(size, address, address, size)
        view[:] = context
        return run(address, size)

    direct = direct_of(engine, program, call)
    return call if direct is None else direct.function()


def direct_of(engine: Engine, program: Program, slow: Prepared) -> Direct | None:
    """What calls the program without Python in between, where that can be done; `slow` is the way through Python."""
    from cygnet.vm.jit.direct import Direct, is_possible
    from cygnet.vm.jit.engine import Jit
    from cygnet.vm.jit.natives import is_plain

    if not isinstance(engine, Jit) or not is_possible() or not is_plain(program):
        return None
    made = Direct(engine, engine.unit(program), slow)
    engine.host.closing.append(made.stop)
    return made


def _run_apart(engine: Engine, program: Program, context: bytes | bytearray | memoryview) -> int:
    """With memory of its own."""
    memory = engine.host.memory
    program.need_context(len(context))
    block = memory.block(len(context), "context")
    block.view[:] = context
    try:
        with Nested(engine.host):
            return engine.run(program, block.address if len(context) else 0, len(context))
    finally:
        memory.free(block)


def run_batch(engine: Engine, program: Program, contexts: bytes | bytearray | memoryview, size: int) -> Sequence[int]:
    """Run the program for each context of `size` bytes in `contexts`; the results, in order.

    With machine code the loop is machine code too. A fault ends it: RuntimeFault, whose `run` is the number of the
    context. What programs write into their contexts is lost.
    """
    from cygnet.vm.jit.engine import Jit

    if size <= 0 or len(contexts) % size:
        raise ValueError(f"{len(contexts)} bytes are not a whole number of contexts of {size} bytes")
    program.need_context(size)
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
