"""The builder: the only way to make values. It folds and shares as it builds, and makes SSA form of
mutable variables as the program text is walked (Braun et al., "Simple and Efficient Construction of
Static Single Assignment Form", 2013)."""

from __future__ import annotations

from cygnet.ir.core import FARTHEST, HELPER_RESULT, I64, NONE, OPS, SWAPPED, Block, Function, Value, signed64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cygnet.source import Span

_U = (1 << 64) - 1


def _sdiv(a: int, b: int) -> int:
    return a if not b else (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1)


#: constant folding as the instruction set defines it (RFC 9669, 4.1): division by zero gives 0, modulo the dividend
FOLD: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "udiv": lambda a, b: (a & _U) // (b & _U) if b else 0,
    "umod": lambda a, b: (a & _U) % (b & _U) if b else a,
    "sdiv": lambda a, b: _sdiv(a, b) if b else 0,
    "smod": lambda a, b: a - _sdiv(a, b) * b if b else a,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << (b & 63),
    "shr": lambda a, b: (a & _U) >> (b & 63),
    "sar": lambda a, b: a >> (b & 63),
}

COMPARE: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "ult": lambda a, b: (a & _U) < (b & _U),
    "ule": lambda a, b: (a & _U) <= (b & _U),
    "ugt": lambda a, b: (a & _U) > (b & _U),
    "uge": lambda a, b: (a & _U) >= (b & _U),
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
    "sgt": lambda a, b: a > b,
    "sge": lambda a, b: a >= b,
    "set": lambda a, b: a & b != 0,
    "clear": lambda a, b: a & b == 0,
}

_COMMUTES = frozenset(("add", "mul", "and", "or", "xor"))
_RIGHT_IDENTITY = {"add": 0, "sub": 0, "or": 0, "xor": 0, "shl": 0, "shr": 0, "sar": 0, "mul": 1, "udiv": 1, "and": -1}


class Builder:
    """Appends values to `block` of one function. `span` is stamped on what is made."""

    __slots__ = ("_defs", "_incomplete", "_shared", "block", "function", "span")

    def __init__(self, function: Function) -> None:
        self.function = function
        self.span: Span | None = function.span
        self._defs: dict[Block, dict[object, Value]] = {}
        self._incomplete: dict[Block, list[tuple[object, Value]]] = {}
        self._shared: dict[tuple[Any, ...], Value] = {}
        self.block = self.new_block("entry")
        self.start(self.block)
        self.seal(self.block)

    # -- blocks ---------------------------------------------------------------------------------

    def new_block(self, name: str = "") -> Block:
        """A block that is not yet placed in the function: `start` does that."""
        return Block(name)

    def start(self, block: Block) -> None:
        """Place `block` next in the function and append to it from now on."""
        self.function.blocks.append(block)
        self.block = block
        self._shared = {}

    def seal(self, block: Block) -> None:
        """Say that every predecessor of `block` is known."""
        block.sealed = True
        for variable, param in self._incomplete.pop(block, ()):
            self._feed(block, variable, param)

    def open(self, block: Block) -> None:
        """`start` and `seal`."""
        self.start(block)
        self.seal(block)

    @property
    def ended(self) -> bool:
        return self.block.term is not None

    # -- values ---------------------------------------------------------------------------------

    def _emit(self, op: str, args: tuple[Value, ...], imm: Any, type: str) -> Value:
        value = Value(op, args, imm, type, self.span)
        self.block.body.append(value)
        return value

    def _pure(self, op: str, args: tuple[Value, ...], imm: Any, type: str) -> Value:
        key = (op, imm, args)
        value = self._shared.get(key)
        if value is None:
            value = self._shared[key] = self._emit(op, args, imm, type)
        return value

    def const(self, number: int) -> Value:
        return self._pure("const", (), signed64(number), I64)

    def ctx(self) -> Value:
        return self._pure("ctx", (), None, "ctx")

    def param(self, index: int) -> Value:
        """Parameter `index` of a callback or subprogram."""
        return self._pure("param", (), index, self.function.param_types[index])

    def slot(self, size: int, align: int = 8, name: str = "") -> Value:
        """A new memory object of `size` bytes, uninitialised."""
        return self._emit("slot", (), (size, align, name), "stack")

    def map(self, name: str) -> Value:
        return self._pure("map", (), name, "map")

    def map_value(self, name: str, offset: int = 0) -> Value:
        """The address of byte `offset` in the only value of an array map."""
        return self._pure("map_value", (), (name, offset), "map_value")

    def func(self, name: str) -> Value:
        return self._pure("func", (), name, "func")

    def reloc(self, template: Any) -> Value:
        return self._pure("reloc", (), template, I64)

    def binary(self, op: str, a: Value, b: Value) -> Value:
        if a.op == "const":
            if b.op == "const":
                return self.const(FOLD[op](a.imm, b.imm))
            if op in _COMMUTES:
                a, b = b, a
        if b.op == "const":
            if _RIGHT_IDENTITY.get(op) == b.imm:
                return a
            if b.imm == 0 and op in ("mul", "and"):
                return b
            if op == "add" and a.op == "add" and a.args[1].op == "const":
                return self.binary("add", a.args[0], self.const(a.args[1].imm + b.imm))
        return self._pure(op, (a, b), None, a.type if a.type != I64 else b.type if op == "add" else I64)

    def add(self, a: Value, b: Value) -> Value:
        return self.binary("add", a, b)

    def offset(self, pointer: Value, bytes: int) -> Value:
        return self.binary("add", pointer, self.const(bytes)) if bytes else pointer

    def neg(self, a: Value) -> Value:
        return self.const(-a.imm) if a.op == "const" else self._pure("neg", (a,), None, I64)

    def zext(self, a: Value, size: int) -> Value:
        if size >= 8:
            return a
        if a.op == "const":
            return self.const(a.imm & ((1 << 8 * size) - 1))
        if (
            (a.op == "load" and not a.imm[1] and a.imm[0] <= size)
            or (a.op == "zext" and a.imm <= size)
            or a.op == "cmp"
        ):
            return a
        return self._pure("zext", (a,), size, I64)

    def sext(self, a: Value, size: int) -> Value:
        if size >= 8:
            return a
        if a.op == "const":
            bits = 8 * size
            number = a.imm & ((1 << bits) - 1)
            return self.const(number - (1 << bits) if number >> (bits - 1) else number)
        if (a.op == "load" and (a.imm[0] < size or (a.imm[1] and a.imm[0] == size))) or a.op == "cmp":
            return a
        return self._pure("sext", (a,), size, I64)

    def bswap(self, a: Value, size: int) -> Value:
        if a.op == "const":
            return self.const(int.from_bytes((a.imm & ((1 << 8 * size) - 1)).to_bytes(size, "little"), "big"))
        return self._pure("bswap", (a,), size, I64)

    def cmp(self, cond: str, a: Value, b: Value) -> Value:
        if a.op == "const":
            if b.op == "const":
                return self.const(int(COMPARE[cond](a.imm, b.imm)))
            a, b, cond = b, a, SWAPPED[cond]
        return self._pure("cmp", (a, b), cond, I64)

    # -- memory and calls -------------------------------------------------------------------------

    def load(self, pointer: Value, size: int, offset: int = 0, *, signed: bool = False, reloc: Any = None) -> Value:
        """`size` bytes at `pointer` + `offset`, extended to 64 bits."""
        if offset > FARTHEST:
            pointer, offset = self.offset(pointer, offset), 0
        return self._emit("load", (pointer,), (size, signed, offset, reloc), I64)

    def load_pointer(self, pointer: Value, offset: int, type: str, reloc: Any = None) -> Value:
        """A pointer the verifier knows, such as a BTF-typed argument in the context."""
        return self._emit("load", (pointer,), (8, False, offset, reloc), type)

    def store(self, pointer: Value, value: Value, size: int, offset: int = 0) -> None:
        if offset > FARTHEST:
            pointer, offset = self.offset(pointer, offset), 0
        self._emit("store", (pointer, value), (size, offset), NONE)

    def atomic(
        self, op: str, pointer: Value, value: Value, size: int = 8, offset: int = 0, *, fetch: bool = False
    ) -> Value:
        if offset > FARTHEST:
            pointer, offset = self.offset(pointer, offset), 0
        return self._emit("atomic", (pointer, value), (op, size, offset, fetch), I64 if fetch else NONE)

    def call(self, helper: str, *args: Value) -> Value:
        return self._emit("call", args, helper, HELPER_RESULT.get(helper, I64))

    def kfunc(self, name: str, *args: Value, type: str = I64) -> Value:
        return self._emit("kfunc", args, name, type)

    def callsub(self, name: str, *args: Value) -> Value:
        return self._emit("callsub", args, name, I64)

    def memzero(self, pointer: Value, size: int, offset: int = 0) -> None:
        if size:
            self._emit("memzero", (pointer,), (size, offset), NONE)

    def memcpy(self, to: Value, source: Value, size: int) -> None:
        if size:
            self._emit("memcpy", (to, source), size, NONE)

    def memeq(self, a: Value, b: Value, size: int) -> Value:
        return self._emit("memeq", (a, b), size, I64)

    # -- control flow -----------------------------------------------------------------------------

    def _end(self, op: str, args: tuple[Value, ...], imm: Any, targets: Sequence[Block]) -> None:
        self.block.term = Value(op, args, imm, NONE, self.span)
        for target in targets:
            target.preds.append(self.block)

    def jump(self, target: Block) -> None:
        """End the block here; block parameters are filled in by the builder."""
        self._end("jump", (), target, (target,))

    def br(self, cond: str, a: Value, b: Value, then: Block, other: Block) -> None:
        """Go to `then` when `a cond b`, else to `other`. A decided condition becomes a jump."""
        if a.op == "const":
            if b.op == "const":
                self.jump(then if COMPARE[cond](a.imm, b.imm) else other)
                return
            a, b, cond = b, a, SWAPPED[cond]
        self._end("br", (a, b), (cond, self._edge(then), self._edge(other)), ())

    def branch(self, condition: Value, then: Block, other: Block) -> None:
        """Go to `then` when the value is not 0. A comparison is branched on directly."""
        if condition.op == "cmp":
            self.br(condition.imm, condition.args[0], condition.args[1], then, other)
        else:
            self.br("ne", condition, self.const(0), then, other)

    def may_goto(self, body: Block, out: Block) -> None:
        self._end("may_goto", (), (self._edge(body), self._edge(out)), ())

    def _edge(self, target: Block) -> Block:
        """A block of its own for one edge, so that block parameters have a place to be set.

        Empty ones are threaded away by the code generator.
        """
        edge = Block()
        edge.sealed = True
        edge.preds.append(self.block)
        edge.term = Value("jump", (), target, NONE, self.span)
        target.preds.append(edge)
        self.function.blocks.append(edge)
        return edge

    def ret(self, value: Value) -> None:
        self._end("ret", (value,), None, ())

    # -- mutable variables ------------------------------------------------------------------------

    def write(self, variable: object, value: Value) -> None:
        self._defs.setdefault(self.block, {})[variable] = value

    def read(self, variable: object) -> Value:
        """The value that `variable` has here, on every path."""
        return self._read(self.block, variable)

    def _read(self, block: Block, variable: object) -> Value:
        known = self._defs.get(block)
        if known is not None and variable in known:
            return known[variable]
        if not block.sealed:
            value = self._new_param(block)
            self._incomplete.setdefault(block, []).append((variable, value))
        elif len(block.preds) == 1:
            value = self._read(block.preds[0], variable)
        elif not block.preds:
            if block is self.function.blocks[0]:
                raise AssertionError(f"variable {variable!r} read before it is written")
            value = Value("const", (), 0, I64, None)  # nothing leads here
        else:
            value = self._new_param(block)
            self._defs.setdefault(block, {})[variable] = value
            self._feed(block, variable, value)
        self._defs.setdefault(block, {})[variable] = value
        return value

    @staticmethod
    def _new_param(block: Block) -> Value:
        param = Value("param", (), len(block.params), I64, None)
        block.params.append(param)
        return param

    def _feed(self, block: Block, variable: object, param: Value) -> None:
        for pred in block.preds:
            value = self._read(pred, variable)
            term = pred.term
            assert term is not None and term.op == "jump"
            term.args = (*term.args, value)
            if value.type != I64:
                param.type = value.type


__all__ = ["COMPARE", "FOLD", "OPS", "Builder"]
