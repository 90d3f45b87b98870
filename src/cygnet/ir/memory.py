"""Expansion of memzero, memcpy and memeq into loads, stores, branches and helper calls."""

from __future__ import annotations

from cygnet.ir.core import FARTHEST, I64, NONE, OPS, Block, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.ir.core import Function

#: up to here memory is copied word by word, beyond it by a helper
COPY_BYTES = 512
#: up to here memory is cleared or compared without a loop
UNROLL_BYTES = 1024
_STEP = 64  # bytes cleared in one turn of a loop


def pieces(size: int, *phases: int) -> Iterator[tuple[int, int]]:
    """(offset, size) of accesses that cover `size` bytes, each aligned from every one of `phases`.

    A phase is where a piece of memory begins, counted from an 8-byte boundary.
    """
    at = 0
    while at < size:
        width = 8
        while at + width > size or any((phase + at) % width for phase in phases):
            width //= 2
        yield at, width
        at += width


def phase(pointer: Value) -> int:
    """Constant offsets that were added to a pointer; what they were added to counts as aligned."""
    total = 0
    while pointer.op == "add":
        total += pointer.args[1].imm if pointer.args[1].op == "const" else 0
        pointer = pointer.args[0]
    return total & 7


class Expander:
    """Rewrites a function's blocks; comparisons and loops split them."""

    __slots__ = ("_loop_parts", "block", "blocks", "function", "split")

    def __init__(self, function: Function) -> None:
        self.function = function
        self.blocks: list[Block] = []
        self.block = function.blocks[0]
        self.split = False
        self._loop_parts: tuple[Block, Value, int, Block] | None = None

    def run(self) -> bool:
        """Whether there are new blocks."""
        for block in self.function.blocks:
            body, term = block.body, block.term
            self._place(block)
            block.body = []
            for value in body:
                expand = _EXPAND.get(value.op)
                if expand is None:
                    self.block.body.append(value)
                else:
                    expand(self, value)
            self.block.term = term
        self.function.blocks = self.blocks
        return self.split

    def _place(self, block: Block) -> None:
        self.blocks.append(block)
        self.block = block

    def _make(self, like: Value, op: str, args: tuple[Value, ...], imm: object, type: str = I64) -> Value:
        value = Value(op, args, imm, type, like.span)
        self.block.body.append(value)
        return value

    def _near(self, like: Value, pointer: Value, at: int) -> tuple[Value, int]:
        """The same place at an offset that an instruction can hold."""
        if at <= FARTHEST:
            return pointer, at
        return self._make(like, "add", (pointer, _const(like, at)), None, pointer.type), 0

    def _load(self, like: Value, pointer: Value, at: int, size: int) -> Value:
        pointer, at = self._near(like, pointer, at)
        return self._make(like, "load", (pointer,), (size, False, at, None))

    def _store(self, like: Value, pointer: Value, value: Value, at: int, size: int) -> None:
        pointer, at = self._near(like, pointer, at)
        self._make(like, "store", (pointer, value), (size, at), NONE)

    def _end(self, like: Value, op: str, args: tuple[Value, ...], imm: object) -> None:
        self.block.term = Value(op, args, imm, NONE, like.span)
        self.split = True

    def zero(self, value: Value) -> None:
        size, offset = value.imm
        pointer = value.args[0]
        nothing = _const(value, 0)
        whole = size - size % _STEP if size > UNROLL_BYTES else 0
        if whole:
            index = self._loop(value, whole, _STEP)
            at = self._make(value, "add", (pointer, index), None, pointer.type)
            for turn in range(0, _STEP, 8):
                self._store(value, at, nothing, offset + turn, 8)
            self._next(value)
        offset += whole
        for at_byte, width in pieces(size - whole, phase(pointer) + offset):
            self._store(value, pointer, nothing, offset + at_byte, width)

    def copy(self, value: Value) -> None:
        to, source = value.args
        size = value.imm
        if size > COPY_BYTES:
            # any kernel address will do as a source, and the destination is checked as a whole
            self._make(value, "call", (to, _const(value, size), source), "probe_read_kernel")
            return
        for at, width in pieces(size, phase(to), phase(source)):
            self._store(value, to, self._load(value, source, at, width), at, width)

    def equal(self, value: Value) -> None:
        a, b = value.args
        size = value.imm
        differ, done = Block("differ"), Block("compared")
        result = Value("param", (), 0, I64, None)
        done.params = [result]
        whole = size - size % 8 if size > UNROLL_BYTES else 0
        if whole:
            index = self._loop(value, whole, 8)
            x = self._load(value, self._make(value, "add", (a, index), None, a.type), 0, 8)
            y = self._load(value, self._make(value, "add", (b, index), None, b.type), 0, 8)
            self._same(value, x, y, differ)
            self._next(value)
        for at, width in pieces(size - whole, phase(a), phase(b)):
            at += whole
            self._same(value, self._load(value, a, at, width), self._load(value, b, at, width), differ)
        self._end(value, "jump", (_const(value, 1),), done)
        self._place(differ)
        self._end(value, "jump", (_const(value, 0),), done)
        self._place(done)
        _become(value, result, done)

    def _same(self, like: Value, x: Value, y: Value, differ: Block) -> None:
        on = Block()
        self._end(like, "br", (x, y), ("eq", on, differ))
        self._place(on)

    def _loop(self, like: Value, bytes: int, step: int) -> Value:
        """Open a loop over [0, bytes); its counter. `_next` closes it."""
        head, body, out = Block("memory"), Block(), Block()
        index = Value("param", (), 0, I64, None)
        head.params = [index]
        self._end(like, "jump", (_const(like, 0),), head)
        self._place(head)
        self._end(like, "br", (index, _const(like, bytes)), ("ult", body, out))
        self._place(body)
        self._loop_parts = (head, index, step, out)
        return index

    def _next(self, like: Value) -> None:
        assert self._loop_parts is not None
        head, index, step, out = self._loop_parts
        self._end(like, "jump", (self._make(like, "add", (index, _const(like, step)), None),), head)
        self._place(out)


def _const(like: Value, number: int) -> Value:
    return Value("const", (), number, I64, like.span)


def _become(value: Value, result: Value, block: Block) -> None:
    """`value` keeps its identity, so that its users need no change: it takes the parameter's place."""
    value.op, value.args, value.imm = "param", (), 0
    block.params[block.params.index(result)] = value


_EXPAND = {"memzero": Expander.zero, "memcpy": Expander.copy, "memeq": Expander.equal}
assert set(_EXPAND) == {name for name, row in OPS.items() if row.level == "high"}


def expand(function: Function) -> bool:
    """Expand every memory operation of `function`; whether that made blocks."""
    return Expander(function).run()
