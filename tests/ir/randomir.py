"""Random IR programs: arithmetic, branches, loops, memory and calls over inputs from the context."""

from __future__ import annotations

import random

from cygnet.ir.build import Builder
from cygnet.ir.core import Function, Module, Value

#: bytes of the map value that programs write their results to
OUT_BYTES = 512
ARGS = 8
BINARY = ("add", "sub", "mul", "udiv", "umod", "and", "or", "xor", "shl", "shr", "sar")
CONDITIONS = ("eq", "ne", "ult", "ule", "ugt", "uge", "slt", "sle", "sgt", "sge", "set", "clear")
CONSTANTS = (0, 1, 2, 3, 7, 8, 10, 63, 64, 255, 256, 4096, 65535, -1, -2, -128, 2**31 - 1, -(2**31), 2**31, 2**32 - 1,
             2**32, 2**63 - 1, -(2**63), 0x123456789ABCDEF)  # fmt: skip


class Shape:
    """How large a program is."""

    def __init__(
        self, statements: int = 12, depth: int = 2, variables: int = 4, calls: bool = True, large: bool = False
    ) -> None:
        self.statements = statements
        self.depth = depth
        self.variables = variables
        self.calls = calls
        self.large = large  # large slots, callbacks, functions, preemptible programs


class Generator:
    """Writes one main function that ends by storing all its variables in the map `out`."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.random = random.Random(seed)
        self.shape = shape
        self.functions: list[Function] = []
        self._begin(Function("main", preemptible=shape.large and self.random.random() < 0.5))

    def _begin(self, function: Function) -> None:
        self.function = function
        self.functions.append(function)
        self.b = Builder(function)
        self.slots: list[tuple[Value, int]] = []
        self.loops = 0

    def module(self) -> Module:
        b = self.b
        for number in range(self.shape.variables):
            b.write(number, self.argument() if self.random.random() < 0.7 else b.const(self.constant()))
        for _ in range(self.random.randrange(3)):
            self.new_slot()
        self.statements(self.shape.statements, self.shape.depth)
        out = b.map_value("out")
        for number in range(self.shape.variables):
            b.store(out, b.read(number), 8, 8 * number)
        b.ret(b.read(0))
        return Module(self.functions)

    def new_slot(self) -> None:
        size = self.random.choice((8, 16, 24, 40) if not self.shape.large else (8, 100, 200, 300))
        slot = self.b.slot(size)
        self.b.memzero(slot, size)
        self.slots.append((slot, size))

    def constant(self) -> int:
        return self.random.choice(CONSTANTS) if self.random.random() < 0.7 else self.random.getrandbits(64) - 2**63

    def argument(self) -> Value:
        b = self.b
        if self.function.kind != "main":
            return b.load(b.param(1), 8, 8 * self.variable())
        return b.load(b.ctx(), 8, 8 * self.random.randrange(ARGS))

    def variable(self) -> int:
        return self.random.randrange(self.shape.variables)

    def expression(self, depth: int) -> Value:
        b, pick = self.b, self.random.random()
        if depth == 0 or pick < 0.15:
            if pick < 0.04:
                return b.const(self.constant())
            return self.argument() if pick < 0.06 else b.read(self.variable())
        a = self.expression(depth - 1)
        if pick < 0.30:
            return b.cmp(self.random.choice(CONDITIONS), a, self.right(depth))
        if pick < 0.36:
            return b.zext(a, self.random.choice((1, 2, 4)))
        if pick < 0.42:
            return b.sext(a, self.random.choice((1, 2, 4)))
        if pick < 0.45:
            return b.bswap(a, self.random.choice((2, 4, 8)))
        if pick < 0.48:
            return b.neg(a)
        if pick < 0.56 and self.slots:
            return self.load()
        return self.arithmetic(a, depth)

    def arithmetic(self, a: Value, depth: int) -> Value:
        op = self.random.choice(BINARY)
        right = self.right(depth)
        if op in ("shl", "shr", "sar") and right.op != "const":
            right = self.b.binary("and", right, self.b.const(63))
        return self.b.binary(op, a, right)

    def right(self, depth: int) -> Value:
        return self.b.const(self.constant()) if self.random.random() < 0.4 else self.expression(depth - 1)

    def place(self) -> tuple[Value, int, int]:
        slot, size = self.random.choice(self.slots)
        width = self.random.choice((1, 2, 4, 8))
        return slot, width, width * self.random.randrange(size // width)

    def load(self) -> Value:
        slot, width, offset = self.place()
        return self.b.load(slot, width, offset, signed=self.random.random() < 0.3)

    def statements(self, count: int, depth: int) -> None:
        for _ in range(count):
            self.statement(depth)

    def statement(self, depth: int) -> None:
        pick = self.random.random()
        if pick < 0.45:
            self.b.write(self.variable(), self.expression(3))
        elif pick < 0.62 and depth:
            self.branch(depth)
        elif pick < 0.72 and depth and self.loops < 3:
            self.loop(depth)
        elif pick < 0.82 and self.slots:
            slot, width, offset = self.place()
            self.b.store(slot, self.expression(2), width, offset)
        elif pick < 0.88 and self.shape.calls:
            cpu = self.b.call("get_smp_processor_id")
            zero = self.b.binary("shr", cpu, self.b.const(63))
            self.b.write(self.variable(), self.b.add(zero, self.b.read(self.variable())))
        elif pick < 0.94 and self.shape.calls:
            self.lookup(depth)
        elif pick < 0.97 and self.shape.large and depth:
            self.callback(depth)
        elif len(self.slots) > 1:
            self.memory()

    def callback(self, depth: int) -> None:
        """bpf_loop over a function of its own; the variables go to it and come back in a slot."""
        b, count = self.b, self.shape.variables
        shared = b.slot(8 * count, name="shared")
        self.save(shared)
        name = f"each{len(self.functions)}"
        self.inside(Function(name, "callback", ("i64", "stack")), depth - 1)
        self.b.call("loop", self.b.const(self.random.randrange(1, 4)), self.b.func(name), shared, self.b.const(0))
        self.restore(shared)

    def inside(self, function: Function, depth: int) -> None:
        """Write another function, then go on with this one."""
        before = self.function, self.b, self.slots, self.loops
        self._begin(function)
        shared = self.b.param(1)
        self.restore(shared)
        self.b.write(0, self.b.add(self.b.read(0), self.b.param(0)))
        for _ in range(self.random.randrange(2)):
            self.new_slot()
        self.statements(3, min(depth, 1))
        self.save(shared)
        self.b.ret(self.b.const(0))
        self.function, self.b, self.slots, self.loops = before

    def save(self, shared: Value) -> None:
        for number in range(self.shape.variables):
            self.b.store(shared, self.b.read(number), 8, 8 * number)

    def restore(self, shared: Value) -> None:
        for number in range(self.shape.variables):
            self.b.write(number, self.b.load(shared, 8, 8 * number))

    def memory(self) -> None:
        b = self.b
        (x, size_x), (y, size_y) = self.random.sample(self.slots, 2)
        size = self.random.randrange(1, min(size_x, size_y) + 1)
        pick = self.random.random()
        if pick < 0.4:
            b.memcpy(x, y, size)
        elif pick < 0.8:
            b.write(self.variable(), b.memeq(x, y, size))
        else:
            offset = self.random.randrange(size)
            b.memzero(x, size - offset, offset)

    def lookup(self, depth: int) -> None:
        """Look up an entry that may be missing; when it is there add to it."""
        b = self.b
        key = b.slot(8, name="key")
        b.store(key, b.binary("and", b.read(self.variable()), b.const(7)), 8)
        value = b.call("map_lookup_elem", b.map("hash"), key)
        found, missing, after = b.new_block("found"), b.new_block("missing"), b.new_block("after")
        b.br("ne", value, b.const(0), found, missing)
        b.open(found)
        old = b.load(value, 8)
        b.store(value, b.add(old, b.read(self.variable())), 8)
        b.write(self.variable(), old)
        if self.random.random() < 0.5:
            b.write(self.variable(), b.atomic("add", value, self.expression(1), 8, 8, fetch=True))
        else:
            b.atomic(self.random.choice(("or", "xor", "add", "and")), value, self.expression(1), 8, 8)
        b.jump(after)
        b.open(missing)
        if depth:
            self.statements(1, depth - 1)
        b.jump(after)
        b.open(after)

    def condition(self) -> tuple[str, Value, Value]:
        return self.random.choice(CONDITIONS), self.expression(1), self.right(2)

    def branch(self, depth: int) -> None:
        b = self.b
        then, other, after = b.new_block("then"), b.new_block("else"), b.new_block("after")
        if self.random.random() < 0.3:
            b.branch(self.expression(2), then, other)
        else:
            b.br(*self.condition(), then, other)
        for block in (then, other):
            b.open(block)
            self.statements(self.random.randrange(3), depth - 1)
            b.jump(after)
        b.open(after)

    def loop(self, depth: int) -> None:
        """At most five turns, with a way out in the middle."""
        b, counter = self.b, ("i", len(self.function.blocks))
        self.loops += 1
        head, body, more, out = b.new_block("head"), b.new_block("body"), b.new_block("more"), b.new_block("out")
        b.write(counter, b.const(0))
        b.jump(head)
        b.start(head)
        b.br("ult", b.read(counter), b.const(self.random.randrange(1, 6)), body, out)
        b.open(body)
        self.statements(self.random.randrange(1, 4), depth - 1)
        if self.random.random() < 0.5:
            b.br(*self.condition(), more, out)
        else:
            b.jump(more)
        b.open(more)
        b.write(self.variable(), b.add(b.read(self.variable()), b.read(counter)))
        b.write(counter, b.add(b.read(counter), b.const(1)))
        b.jump(head)
        b.seal(head)
        b.open(out)


def random_module(seed: int, shape: Shape | None = None) -> Module:
    return Generator(seed, shape or Shape()).module()
