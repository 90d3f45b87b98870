"""The lowerer's ground floor: blocks, memory, reading from address spaces, writing values."""

from __future__ import annotations

from cygnet.ir.build import Builder
from cygnet.ir.core import Function
from cygnet.lang.trace import types as T
from cygnet.lang.trace.lower.operands import Gen, Mem
from cygnet.lang.trace.lower.unit import CONTROL, ZERO_WORD
from cygnet.spec.relocs import CORE, OPAQUE, SESSION, RelocTemplate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.ir.core import Block, Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.check.names import VarInfo
    from cygnet.lang.trace.instances import Instance
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.lower.unit import Unit
    from cygnet.lang.trace.types import Type

READ = {"kernel": "probe_read_kernel", "user": "probe_read_user", "none": "probe_read", "ctx": "probe_read_kernel"}
READ_STR = {
    "kernel": "probe_read_kernel_str", "user": "probe_read_user_str", "none": "probe_read_str",
    "ctx": "probe_read_kernel_str", "bpf": "probe_read_kernel_str",
}  # fmt: skip
_COPY_LIMIT = 64  # longer strings are copied by a helper, which stops at their end


class Core:
    """State of one program while it is lowered, and what every kind of expression needs."""

    unit: Unit
    instance: Instance
    b: Builder
    whole: Lowerer  # this object, as the builtins know it
    operand: Callable[[ast.Expr], Value | Mem | Gen]
    report: Callable[[str, Value], None]

    def __init__(self, unit: Unit, instance: Instance, name: str) -> None:
        self.unit = unit
        self.instance = instance
        self.name = name
        self.functions: list[Function] = []
        self.memo: list[dict[Any, Any]] = [{}]
        self.slots: dict[VarInfo, Value] = {}  # variables that live in memory, by function
        self.views: dict[VarInfo, tuple[Value | Mem | Gen, ...]] = {}  # loop variables over maps
        self.captured: dict[VarInfo, tuple[bool, int]] = {}  # (in `large`, offset) of what callbacks share
        self.large: Value | None = None
        self.frame: Value | None = None  # captured variables, and first a word: the probe has returned
        self.depth = 0
        self.discarded: ast.Expr | None = None  # the expression of a statement: nobody wants its value
        self.exits: list[tuple[Block | None, Block | None]] = []  # (break, continue) targets
        self.b = self._function(name, "main", ())

    def _function(self, name: str, kind: str, params: tuple[str, ...]) -> Builder:
        function = Function(
            name, kind, params, preemptible=self.instance.match.preemptible, span=self.instance.probe.span
        )
        self.functions.append(function)
        return Builder(function)

    # -- common values ----------------------------------------------------------------------------

    def const(self, number: int) -> Value:
        return self.b.const(number)

    def remember(self, key: Any, make: Callable[[], Value]) -> Value:
        """A value that is the same all through the program: made once on each path."""
        for known in reversed(self.memo):
            if key in known:
                return known[key]  # type: ignore[no-any-return]
        value = self.memo[-1][key] = make()
        return value

    def session(self, name: str) -> Value:
        """A number that the session gives when it loads the program."""
        return self.b.reloc(RelocTemplate(SESSION, name, "imm64"))

    def opaque_zero(self) -> Value:
        """A 0 that the verifier cannot see through. A counter that it knows would be followed round by round,
        up to its limit of a million instructions; one that it does not know leaves the loop to may_goto."""
        return self.b.load(self.b.map_value(CONTROL, 8 * ZERO_WORD), 8, reloc=RelocTemplate(OPAQUE, "", "insn"))

    def ctx(self) -> Value:
        assert not self.depth, "the context cannot be reached inside a callback"
        return self.b.ctx()

    def new_slot(self, size: int, name: str = "") -> Value:
        return self.b.slot((size + 7) & ~7, 8, name)

    # -- control flow -----------------------------------------------------------------------------

    def arm(self, block: Block, join: Block, body: Callable[[], Any]) -> None:
        """Lower `body` in `block`, then go on to `join` unless the body ended the program."""
        self.b.open(block)
        self.memo.append({})
        body()
        self.memo.pop()
        if not self.b.ended:
            self.b.jump(join)

    def choose(
        self, cond: str, a: Value, b: Value, then: Callable[[], Any], other: Callable[[], Any] | None = None
    ) -> None:
        """``if (a cond b) then() else other()``"""
        builder = self.b
        yes, join = builder.new_block(), builder.new_block()
        no = join if other is None else builder.new_block()
        builder.br(cond, a, b, yes, no)
        self.arm(yes, join, then)
        if other is not None:
            self.arm(no, join, other)
        if join.preds:
            self.b.open(join)

    def select(self, cond: str, a: Value, b: Value, then: Callable[[], Value], other: Callable[[], Value]) -> Value:
        """``a cond b ? then() : other()`` for scalars."""
        result = object()
        self.choose(cond, a, b, lambda: self.b.write(result, then()), lambda: self.b.write(result, other()))
        return self.b.read(result)

    # -- reading memory ---------------------------------------------------------------------------

    def address(self, mem: Mem) -> Value:
        """Where a place is, as one value, its offset relocated when it belongs to the system."""
        if mem.root:
            template = RelocTemplate(CORE, mem.root, "imm", ("offset", mem.path, mem.offset))
            return self.b.add(mem.addr, self.b.reloc(template))
        return self.b.offset(mem.addr, mem.offset)

    def read(self, mem: Mem, size: int, signed: bool, reloc: Any = None) -> Value:
        """A number of `size` bytes."""
        if mem.space == "ctx" and size < 8 and reloc is None:  # the verifier lets whole words be loaded
            word = self.b.load(mem.addr, 8, mem.offset & -8)
            word = self.b.binary("shr", word, self.const(8 * (mem.offset & 7))) if mem.offset & 7 else word
            return self.b.sext(word, size) if signed else self.b.zext(word, size)
        if mem.space in ("bpf", "ctx"):
            return self.b.load(mem.addr, size, mem.offset, signed=signed, reloc=reloc)
        slot = self.new_slot(8, "read")
        self.fetch(READ[mem.space], slot, self.const(size), self.address(mem))
        return self.b.load(slot, size, signed=signed)

    def read_member(self, mem: Mem, member: Any) -> Value:
        """A scalar member, bit-fields shifted out."""
        type = member.type
        value = self.read(mem, type.size or 8, type.signed and not member.bits)
        if not member.bits:
            return value
        value = self.b.binary("shr", value, self.const(member.shift))
        value = self.b.binary("and", value, self.const((1 << member.bits) - 1))
        # What has fewer bits than its type is never negative, as in the language's own printing of a record.
        return self.b.sext(value, type.size) if type.signed and member.bits >= 8 * type.size else value

    def fetch(self, helper: str, *args: Value) -> Value:
        """Call a helper that reads memory. Its failure leaves zeros; with -k it is told."""
        result = self.b.call(helper, *args)
        if self.unit.warnings > 1:
            self.report(helper, result)
        return result

    def load_typed(self, mem: Mem, type: Type, *, stored: bool) -> Value | Mem | Gen:
        """What lies at a place: a scalar is read now, an aggregate stays where it is.

        `stored`: in our own layout, where scalars take 8 bytes; else in C's."""
        if type.kind in T.SCALARS:
            size = 8 if stored else type.size
            return self.read(mem, size, type.signed if not stored else False)
        return mem

    # -- writing values ---------------------------------------------------------------------------

    def scalar(self, node: ast.Expr) -> Value:
        """The value of an expression that is a number."""
        if node.const is not None and not isinstance(node.const, bytes):
            return self.const(int(node.const))
        result = self.operand(node)
        if isinstance(result, (Mem, Gen)):
            return self.as_number(result, node.type)
        return result

    def as_number(self, thing: Mem | Gen, type: Type) -> Value:
        """An array or other aggregate of up to 8 bytes as a number, in the machine's byte order."""
        place = self.in_memory(thing, type)
        return self.b.load(place, 8 if type.size >= 8 else type.size, 0)

    def convert(self, value: Value, given: Type, wanted: Type) -> Value:
        """A scalar made to fit the type of the name it is assigned to."""
        if wanted.kind == "bool" and given.kind != "bool":
            return self.b.cmp("ne", value, self.const(0))
        if wanted.kind in ("int", "enum") and wanted.size < 8 and given.kind in ("int", "enum", "ptr"):
            if given.size > wanted.size or given.signed != wanted.signed:
                return self.b.sext(value, wanted.size) if wanted.signed else self.b.zext(value, wanted.size)
        return value

    def store(self, node: ast.Expr, type: Type, pointer: Value, offset: int = 0, pad: bool = False) -> None:
        """Write an expression's value, as `type`, to memory of ours."""
        if type.kind in T.SCALARS and node.type.kind != "str":
            self.b.store(pointer, self.convert(self.scalar(node), node.type, type), 8, offset)
        elif isinstance(node.const, bytes) and type.kind == "str":
            self.store_bytes(node.const, type, pointer, offset, pad)
        else:
            self.put(self.operand(node), type, pointer, offset, pad)

    def put(self, thing: Value | Mem | Gen, type: Type, pointer: Value, offset: int, pad: bool) -> None:
        """Write an operand, as `type`, to memory of ours."""
        if isinstance(thing, Gen):
            thing.store(pointer, offset, type, pad)
        elif not isinstance(thing, Mem):
            self.b.store(pointer, thing, 8, offset)
        elif type.kind == "str":
            self.put_string(thing, type, pointer, offset, pad)
        elif type.kind in ("tuple", "record") and thing.type != type:
            self._put_fields(thing, type, pointer, offset, pad)
        elif type.kind in T.SCALARS:
            value = self.load_typed(thing, thing.type, stored=thing.space == "bpf")
            self.put(value, type, pointer, offset, pad)
        else:
            self.copy(thing, type, pointer, offset, pad)

    def copy(self, mem: Mem, type: Type, pointer: Value, offset: int, pad: bool) -> None:
        """Copy an aggregate that keeps its layout."""
        size = T.storage(type)
        to = self.b.offset(pointer, offset)
        if mem.space == "bpf":
            self.b.memcpy(to, self.b.offset(mem.addr, mem.offset), size)
            return
        if mem.space == "ctx":
            for at in range(0, size, 8):
                self.b.store(to, self.b.load(mem.addr, 8, mem.offset + at), 8, at)
            return
        exact = size if type.kind in ("tuple", "record") else T.natural_size(type)
        if exact < size:
            self.b.memzero(pointer, 8, offset + size - 8)
        if exact:
            self.fetch(READ[mem.space], to, self.const(exact), self.address(mem))

    def _put_fields(self, mem: Mem, type: Type, pointer: Value, offset: int, pad: bool) -> None:
        """Copy a tuple or record field by field, each to its wider place."""
        given = mem.type
        order = list(range(len(type.fields)))
        if type.kind == "record":
            order = [given.names.index(name) for name in type.names]
        starts = T.offsets(given)
        for index, at, field in zip(order, T.offsets(type), type.fields):
            part = Mem(mem.addr, mem.space, given.fields[index], mem.offset + starts[index], padded=mem.padded)
            self.put(self.load_typed(part, part.type, stored=True), field, pointer, offset + at, pad)

    def put_string(self, mem: Mem, type: Type, pointer: Value, offset: int, pad: bool) -> Value | None:
        """Copy a string. Returns how many bytes a helper wrote, its NUL included, when one did."""
        capacity = mem.type.size if mem.type.kind == "str" else T.natural_size(mem.type)
        room = T.storage(type)
        if mem.space == "bpf" and mem.limit is None and capacity <= _COPY_LIMIT and (mem.padded or not pad):
            size = min((capacity + 7) & ~7, room)
            self.b.memcpy(self.b.offset(pointer, offset), self.b.offset(mem.addr, mem.offset), size)
            if pad and size < room:
                self.b.memzero(pointer, room - size, offset + size)
            return None
        if pad:
            self.b.memzero(pointer, room, offset)
        size_value = self.const(min(type.size, capacity))
        if mem.limit is not None:
            size_value = self._limited(mem.limit, min(type.size, capacity))
        took = self.fetch(READ_STR[mem.space], self.b.offset(pointer, offset), size_value, self.address(mem))
        if mem.unended and capacity <= type.size:
            self._put_last(mem, capacity, self.b.offset(pointer, offset), took)
        return took

    def _put_last(self, mem: Mem, capacity: int, to: Value, took: Value) -> None:
        """Copy the last byte of an array that is full: the helper, which wrote `took` bytes, put its NUL there."""

        def copy() -> None:
            last, at = self.const(1), self.b.offset(self.address(mem), capacity - 1)
            self.fetch(READ.get(mem.space, "probe_read_kernel"), self.b.offset(to, capacity - 1), last, at)

        self.choose("eq", took, self.const(capacity), copy)

    def _limited(self, limit: Value, capacity: int) -> Value:
        """`limit`, but no more than `capacity`."""
        if limit.op == "const":
            return self.const(min(max(limit.imm, 0), capacity))
        top = self.const(capacity)
        return self.select("ugt", limit, top, lambda: top, lambda: limit)

    def store_bytes(self, data: bytes, type: Type, pointer: Value, offset: int, pad: bool) -> None:
        """Write a literal string and its NUL; `pad` writes zeros up to the end."""
        end = T.storage(type) if pad else min(T.storage(type), (len(data) + 8) & ~7)
        data = data[: max(0, type.size - 1)].ljust(end, b"\0")
        used = (len(data.rstrip(b"\0")) + 8) & ~7
        for at in range(0, min(used, end), 8):
            word = int.from_bytes(data[at : at + 8], "little", signed=True)
            self.b.store(pointer, self.const(word), 8, offset + at)
        if used < end:
            self.b.memzero(pointer, end - used, offset + used)

    def in_memory(self, thing: Value | Mem | Gen, type: Type, pad: bool = False) -> Value:
        """A pointer to the value in memory of ours, in the layout of `type`."""
        if isinstance(thing, Mem) and thing.space == "bpf" and thing.type == type and (thing.padded or not pad):
            if thing.limit is None:
                return self.b.offset(thing.addr, thing.offset)
        slot = self.new_slot(max(8, T.storage(type)), "value")
        self.put(thing, type, slot, 0, pad)
        return slot

    def place(self, node: ast.Expr, type: Type, pad: bool = False) -> Value:
        """A pointer to an expression's value in memory of ours."""
        if isinstance(node.const, bytes):
            slot = self.new_slot(T.storage(type), "text")
            self.store_bytes(node.const, type, slot, 0, pad)
            return slot
        if type.kind in T.SCALARS:
            slot = self.new_slot(8)
            self.store(node, type, slot, 0, pad)
            return slot
        return self.in_memory(self.operand(node), type, pad)
