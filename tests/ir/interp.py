"""The oracle: a tiny interpreter of the IR, high operations included.

Memory is bytearrays; a pointer is (bytearray, offset). Maps are given as `Maps`. Only what the tests
use is here: helpers are Python functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cygnet.ir.build import COMPARE, FOLD
from cygnet.ir.core import Block, Function, Module, Value, signed64

Pointer = tuple[bytearray, int]
MASK = (1 << 64) - 1


class Maps:
    """Array and hash maps by name: key bytes → value."""

    def __init__(self, **maps: dict[bytes, bytearray]) -> None:
        self.maps = maps

    def lookup(self, name: str, key: bytes) -> Any:
        value = self.maps[name].get(key)
        return 0 if value is None else (value, 0)


class Interp:
    """Runs one module. `context` is the raw tracepoint's arguments."""

    def __init__(self, module: Module, context: bytes, maps: Maps, key_sizes: dict[str, int]) -> None:
        self.functions = {function.name: function for function in module.functions}
        self.context = bytearray(context)
        self.maps = maps
        self.key_sizes = key_sizes
        self.budget = 2_000_000

    def run(self, name: str, *args: Any) -> int:
        return Activation(self, self.functions[name], args).run()


class Activation:
    def __init__(self, interp: Interp, function: Function, args: tuple[Any, ...]) -> None:
        self.interp = interp
        self.function = function
        self.args = args
        self.values: dict[Value, Any] = {}
        self.block_params = {param for block in function.blocks for param in block.params}

    def run(self) -> int:
        block = self.function.blocks[0]
        while True:
            self.interp.budget -= 1
            assert self.interp.budget > 0, "the program does not end"
            for value in block.body:
                self.values[value] = self.value(value)
            term = block.term
            assert term is not None
            if term.op == "ret":
                return int(self.get(term.args[0])) & MASK
            block = self.next(term)

    def next(self, term: Value) -> Block:
        if term.op == "jump":
            target: Block = term.imm
            given = [self.get(arg) for arg in term.args]
            self.values.update(zip(target.params, given))
            return target
        if term.op == "may_goto":
            return term.imm[0]
        cond, then, other = term.imm
        a, b = (self.number(self.get(arg)) for arg in term.args)
        return then if COMPARE[cond](a, b) else other

    @staticmethod
    def number(value: Any) -> int:
        return 1 << 40 if isinstance(value, tuple) else signed64(value)

    def get(self, value: Value) -> Any:
        if value.op == "const":
            return value.imm
        if value.op in ("map", "func"):
            return value.imm
        if value.op == "map_value":
            name, offset = value.imm
            return (self.interp.maps.maps[name][bytes(4)], offset)
        return self.values[value]

    def value(self, value: Value) -> Any:
        handler: Callable[[Value], Any] | None = getattr(self, "op_" + value.op, None)
        if handler is not None:
            return handler(value)
        a, b = (self.get(arg) for arg in value.args)
        if value.op == "add" and isinstance(a, tuple):
            return (a[0], a[1] + signed64(b))
        return signed64(FOLD[value.op](a, b))

    def op_const(self, value: Value) -> int:
        return int(value.imm)

    def op_param(self, value: Value) -> Any:
        return self.args[value.imm]

    def op_ctx(self, value: Value) -> Pointer:
        return (self.interp.context, 0)

    def op_slot(self, value: Value) -> Pointer:
        return (bytearray(value.imm[0]), 0)

    op_map = op_func = op_map_value = lambda self, value: self.get(value)

    def op_neg(self, value: Value) -> int:
        return signed64(-self.get(value.args[0]))

    def op_zext(self, value: Value) -> int:
        return int(self.get(value.args[0])) & (1 << 8 * value.imm) - 1

    def op_sext(self, value: Value) -> int:
        bits = 8 * value.imm
        number = int(self.get(value.args[0])) & (1 << bits) - 1
        return number - (1 << bits) if number >> bits - 1 else number

    def op_bswap(self, value: Value) -> int:
        size = value.imm
        data = (int(self.get(value.args[0])) & (1 << 8 * size) - 1).to_bytes(size, "little")
        return signed64(int.from_bytes(data, "big"))

    def op_cmp(self, value: Value) -> int:
        a, b = (self.number(self.get(arg)) for arg in value.args)
        return int(COMPARE[value.imm](a, b))

    def read(self, pointer: Pointer, offset: int, size: int, signed: bool = False) -> int:
        data, at = pointer
        assert at + offset >= 0 and at + offset + size <= len(data), "read outside of memory"
        return int.from_bytes(data[at + offset : at + offset + size], "little", signed=signed)

    def write(self, pointer: Pointer, offset: int, size: int, number: int) -> None:
        data, at = pointer
        assert at + offset >= 0 and at + offset + size <= len(data), "write outside of memory"
        data[at + offset : at + offset + size] = (number & (1 << 8 * size) - 1).to_bytes(size, "little")

    def op_load(self, value: Value) -> int:
        size, signed, offset, _ = value.imm
        return signed64(self.read(self.get(value.args[0]), offset, size, signed))

    def op_store(self, value: Value) -> None:
        size, offset = value.imm
        self.write(self.get(value.args[0]), offset, size, self.get(value.args[1]))

    def op_atomic(self, value: Value) -> int:
        op, size, offset, _ = value.imm
        pointer, new = self.get(value.args[0]), self.get(value.args[1])
        old = self.read(pointer, offset, size)
        self.write(pointer, offset, size, new if op == "xchg" else FOLD[op](old, new))
        return signed64(old)

    def op_memzero(self, value: Value) -> None:
        size, offset = value.imm
        data, at = self.get(value.args[0])
        data[at + offset : at + offset + size] = bytes(size)

    def op_memcpy(self, value: Value) -> None:
        (to, a), (source, b) = (self.get(arg) for arg in value.args)
        to[a : a + value.imm] = source[b : b + value.imm]

    def op_memeq(self, value: Value) -> int:
        (x, a), (y, b) = (self.get(arg) for arg in value.args)
        return int(x[a : a + value.imm] == y[b : b + value.imm])

    def op_callsub(self, value: Value) -> int:
        return signed64(self.interp.run(value.imm, *[self.get(arg) for arg in value.args]))

    def op_call(self, value: Value) -> Any:
        return getattr(self, "help_" + value.imm)(*[self.get(arg) for arg in value.args])

    def help_map_lookup_elem(self, name: str, key: Pointer) -> Any:
        data, at = key
        return self.interp.maps.lookup(name, bytes(data[at : at + self.interp.key_sizes[name]]))

    def help_get_smp_processor_id(self) -> int:
        return 0

    def help_probe_read_kernel(self, to: Pointer, size: int, source: Pointer) -> int:
        to[0][to[1] : to[1] + size] = source[0][source[1] : source[1] + size]
        return 0

    def help_loop(self, count: int, function: str, context: Any, flags: int) -> int:
        for index in range(count):
            if self.interp.run(function, index, context) != 0:
                return index + 1
        return count

    def help_for_each_map_elem(self, name: str, function: str, context: Any, flags: int) -> int:
        done = 0
        for key, value in self.interp.maps.maps[name].items():
            done += 1
            if self.interp.run(function, name, (bytearray(key), 0), (value, 0), context) != 0:
                break
        return done
