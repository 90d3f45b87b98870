"""The lowerer: members, elements, arguments, tuples and records."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.lower.events import EventLowerer
from cygnet.lang.trace.lower.operands import Gen, Mem
from cygnet.spec.relocs import TP_FIELD, RelocTemplate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.ir.core import Value
    from cygnet.lang.trace.check.names import VarInfo
    from cygnet.lang.trace.types import Type
    from cygnet.probes.model import Arg


class AccessLowerer(EventLowerer):
    """What lies within a value."""

    variable: Callable[[ast.Var], VarInfo]

    def low_Field(self, node: ast.Field) -> Value | Mem | Gen:
        operand = node.operand
        if isinstance(operand, ast.Ident) and operand.name == "args":
            return self.argument(node)
        type = operand.type
        if type.kind == "record":
            base = Mem(self.place(operand, type), "bpf", type)
            index = type.names.index(node.name)
            part = Mem(base.addr, "bpf", type.fields[index], T.offsets(type)[index])
            return self.load_typed(part, part.type, stored=True)
        mem = self._record_at(operand)
        record = mem.type.extra
        member = record.find(node.name)
        assert member is not None
        return self._member(mem, record, member, node)

    def _record_at(self, operand: ast.Expr) -> Mem:
        """The struct that an expression is, or points to through any number of levels."""
        thing = self.operand(operand)
        type = operand.type
        if isinstance(thing, Mem) and type.kind == "struct":
            return thing
        if isinstance(thing, Gen):
            return Mem(self.in_memory(thing, type), "bpf", type)
        address = thing if not isinstance(thing, Mem) else self.address(thing)
        while type.kind == "ptr" and type.elem is not None and type.elem.kind == "ptr":
            address = self.read(Mem(address, type.space, type.elem), 8, False)
            type = type.elem
        assert type.elem is not None
        return Mem(address, T.memory(type.space, direct=True), type.elem)

    def _member(self, mem: Mem, record: Any, member: Any, node: ast.Field) -> Value | Mem | Gen:
        place = self.member_mem(mem, record, member, node)
        return self.read_member(place, member) if node.type.kind in T.SCALARS else place

    def member_mem(self, mem: Mem, record: Any, member: Any, node: ast.Field) -> Mem:
        """Where a member of the record at `mem` lies."""
        offset = mem.offset + member.offset
        place = Mem(
            mem.addr, mem.space, node.type, offset, unended=node.type.kind == "str" and member.type.extra != "text"
        )
        if mem.space not in ("bpf", "ctx") and record.system:
            if mem.root:
                place.root, place.path = mem.root, f"{mem.path}.{node.name}"
            elif record.name and not mem.offset:
                place.root, place.path = record.name, node.name
        self._bound_text(place)
        return place

    def _bound_text(self, place: Mem) -> None:
        """Text in C's layout in memory of ours ends where its array does: it is not to be copied by words."""
        if place.space == "bpf" and place.type.kind == "str":
            place.limit = self.const(place.type.size)

    def argument(self, node: ast.Field) -> Value | Mem | Gen:
        """``args.NAME`` of a tracepoint's record, a raw tracepoint's arguments or registers."""
        arg = self.instance.argument(node.name)
        assert arg is not None
        return self.argument_value(arg, node.type)

    def argument_value(self, arg: Arg, type: Type) -> Value | Mem | Gen:
        context = self.instance.match.context
        if context == "raw":
            return self._raw_argument(arg, type)
        if context == "regs":
            return self._register_argument(arg, type)
        if context != "record":
            raise AssertionError(f"arguments in a {context} context")
        if arg.data_loc:
            address = self._located(arg)
            return Mem(address, "kernel", type) if type.kind == "str" else address
        if type.kind in T.SCALARS:
            return self.remember(("arg", arg.name), lambda: self._record_field(arg, type))
        return Mem(self.field_address(arg), "kernel", type)

    def _record_field(self, arg: Arg, type: Type) -> Value:
        value = self.b.load(self.ctx(), arg.size, arg.offset, signed=type.signed, reloc=arg.reloc())
        if type.size < arg.size:  # a system call's int lies in 8 bytes, of which 4 count
            value = self.b.sext(value, type.size) if type.signed else self.b.zext(value, type.size)
        return value

    def field_address(self, arg: Arg) -> Value:
        template = RelocTemplate(TP_FIELD, arg.event, "imm", (arg.name, arg.size, arg.signed, arg.offset))
        return self.b.add(self.ctx(), self.b.reloc(template))

    def _located(self, arg: Arg) -> Value:
        """The address of a field whose record says where it lies (offset | length << 16)."""
        word = self.b.load(self.ctx(), 4, arg.offset, reloc=arg.reloc())
        offset = self.b.binary("and", word, self.const(0xFFFF))
        base = self.ctx()
        if arg.rel_loc:
            base = self.b.offset(self.field_address(arg), 4)
        return self.b.add(base, offset)

    def _raw_argument(self, arg: Arg, type: Type) -> Value | Mem | Gen:
        if self.instance.match.kind in ("fentry", "fexit"):
            return self._function_argument(arg.index, type)
        value = self.remember(("raw", arg.index), lambda: self.b.load(self.ctx(), 8, 8 * arg.index))
        if type.kind in T.SCALARS:
            return self._narrowed(value, type)
        return Mem(value, "kernel", type)

    def _register_argument(self, arg: Arg, type: Type) -> Value | Mem:
        """A parameter that comes in one register, or a struct in two."""

        def word(offset: int) -> Value:
            return self.remember(("reg", offset), lambda: self.b.load(self.ctx(), 8, offset))

        if type.kind in T.SCALARS:
            return self._narrowed(word(arg.offset), type)
        slot = self.new_slot(T.storage(type), "args")
        for at, offset in zip(range(0, T.storage(type), 8), (arg.offset, arg.index)):
            self.b.store(slot, word(offset), 8, at)
        return Mem(slot, "bpf", type)

    def _function_argument(self, index: int, type: Type) -> Value | Mem:
        """Word `index` of a function's arguments, or all words of a struct.

        The helper gives a plain number, where a load would give a pointer that the verifier keeps apart from numbers.
        """

        def word(at: int) -> Value:
            slot = self.new_slot(8, "arg")
            self.b.call("get_func_arg", self.ctx(), self.const(at), slot)
            return self.b.load(slot, 8)

        def narrow() -> Value:
            if type.kind != "ptr":
                value = self.b.load(self.ctx(), 8, 8 * index)
                return self._narrowed(value, type)
            return word(index)

        if type.kind in T.SCALARS:
            return self.remember(("raw", index), narrow)
        slot = self.new_slot(T.storage(type), "args")
        for at in range(0, T.storage(type), 8):
            self.b.store(slot, word(index + at // 8), 8, at)
        return Mem(slot, "bpf", type)

    def _narrowed(self, value: Value, type: Type) -> Value:
        if type.size >= 8:
            return value
        return self.b.sext(value, type.size) if type.signed else self.b.zext(value, type.size)

    def returned(self, type: Type) -> Value | Mem:
        """What the function of a fexit probe returns."""

        def make() -> Value:
            slot = self.new_slot(8, "retval")
            self.b.call("get_func_ret", self.ctx(), slot)
            return self.b.load(slot, 8)

        value = self.remember("retval", make)
        if type.kind in T.SCALARS:
            return self._narrowed(value, type)
        slot = self.new_slot(T.storage(type), "retval")
        self.b.store(slot, value, 8)
        return Mem(slot, "bpf", type)

    def low_TupleIndex(self, node: ast.TupleIndex) -> Value | Mem | Gen:
        return self._tuple_item(node.operand, node.index)

    def _tuple_item(self, operand: ast.Expr, index: int) -> Value | Mem | Gen:
        if isinstance(operand, ast.Var):
            info = self.variable(operand)
            if info in self.views:
                return self.views[info][index]
        if isinstance(operand, ast.TupleExpr):
            return self.operand(operand.items[index])
        type = operand.type
        thing = self.operand(operand)
        if isinstance(thing, Gen):
            thing = Mem(self.in_memory(thing, type), "bpf", type)
        assert isinstance(thing, Mem)
        given = thing.type
        part = Mem(thing.addr, thing.space, given.fields[index], thing.offset + T.offsets(given)[index],
                   padded=thing.padded)  # fmt: skip
        return self.load_typed(part, part.type, stored=True)

    def low_Index(self, node: ast.Index) -> Value | Mem | Gen:
        operand, type = node.operand, node.operand.type
        if type.kind == "tuple":
            return self._tuple_item(operand, node.index.const)
        if type.kind == "str":
            place = Mem(self.place(operand, type), "bpf", type)
            return self._element(place, T.INT8, type.size, node)
        if type.kind == "ptr":
            address = self.scalar(operand)
            space = T.memory(type.space, direct=True)
            return self._element(Mem(address, space, type), node.type, 0, node)
        thing = self.operand(operand)
        if isinstance(thing, Gen):
            thing = Mem(self.in_memory(thing, type), "bpf", type)
        assert isinstance(thing, Mem)
        return self._element(thing, node.type, type.length, node)

    def _element(self, mem: Mem, elem: Type, length: int, node: ast.Index) -> Value | Mem | Gen:
        """Element `node.index` of an array at `mem`; out of bounds is 0 and a warning."""
        declared = node.operand.type.elem
        size = T.natural_size(declared if declared is not None else elem)
        const = node.index.const
        if const is not None:
            place = Mem(mem.addr, mem.space, elem, mem.offset + size * int(const))
            if mem.root:
                place.root, place.path = mem.root, f"{mem.path}[{int(const)}]"
            self._bound_text(place)
            return self.load_typed(place, elem, stored=False)
        index = self.scalar(node.index)

        def address() -> Value:
            return self.b.add(self.address(mem), self.b.binary("mul", index, self.const(size)))

        def read() -> Value:
            value = self.load_typed(Mem(address(), mem.space, elem), elem, stored=False)
            assert not isinstance(value, (Mem, Gen))
            return value

        def outside() -> Value:
            self.runtime_error(f"Array access out of bounds. Tried to access an element of an array of {length}. "
                               "0 is being used as the result.", node.span)  # fmt: skip
            return self.const(0)

        if not length:
            return self.load_typed(Mem(address(), mem.space, elem), elem, stored=False)
        if elem.kind in T.SCALARS:
            return self.select("ult", index, self.const(length), read, outside)
        if mem.space != "bpf":  # nothing lies at address 0: what is read there is zeros
            return Mem(self.select("ult", index, self.const(length), address, outside), mem.space, elem)

        def store(pointer: Value, offset: int, wanted: Type, pad: bool) -> None:
            def inside() -> None:
                place = Mem(address(), "bpf", elem)
                self._bound_text(place)
                self.put(place, wanted, pointer, offset, pad)

            def zeros() -> None:
                outside()
                self.b.memzero(pointer, T.storage(wanted), offset)

            self.choose("ult", index, self.const(length), inside, zeros)

        return Gen(elem, store, once=True)

    def low_TupleExpr(self, node: ast.TupleExpr) -> Gen:
        return Gen(node.type, lambda p, o, t, pad: self._store_items(node.items, t, p, o, pad), once=True)

    def _store_items(self, items: Any, type: Type, pointer: Value, offset: int, pad: bool) -> None:
        for item, at, field in zip(items, T.offsets(type), type.fields):
            self.store(item, field, pointer, offset + at, pad)

    def low_RecordExpr(self, node: ast.RecordExpr) -> Gen:
        def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
            places = dict(zip(type.names, zip(T.offsets(type), type.fields)))
            for name, value in zip(node.names, node.values):  # as written: they may print
                at, field = places[name]
                self.store(value, field, pointer, offset + at, pad)

        return Gen(node.type, store, once=True)
