"""The lowerer: expressions."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.check.base import flexible
from cygnet.lang.trace.lower.access import AccessLowerer
from cygnet.lang.trace.lower.operands import Gen, Mem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.ir.core import Block, Value
    from cygnet.lang.trace.check.names import VarInfo
    from cygnet.lang.trace.types import Type

_ALU = {"+": "add", "-": "sub", "*": "mul", "/": "udiv", "%": "umod", "&": "and", "|": "or", "^": "xor",
        "<<": "shl", ">>": "shr"}  # fmt: skip
_SIGNED = {"==": "eq", "!=": "ne", "<": "slt", "<=": "sle", ">": "sgt", ">=": "sge"}
_UNSIGNED = {"==": "eq", "!=": "ne", "<": "ult", "<=": "ule", ">": "ugt", ">=": "uge"}


class ExprLowerer(AccessLowerer):
    expr_table: dict[type, Callable[[Any], Value | Mem | Gen]]
    read_map: Callable[[ast.MapRef | ast.MapIndex], Value | Mem | Gen]
    write_map: Callable[..., None]
    block: Callable[[ast.Block], None]
    statement_expr: Callable[[ast.Expr], None]

    def operand(self, node: ast.Expr) -> Value | Mem | Gen:
        if node.const is not None:
            const = node.const
            if isinstance(const, bytes):
                return Gen(node.type, lambda p, o, t, pad: self.store_bytes(const, t, p, o, pad))
            return self.const(int(const))
        outer = self.b.span
        self.b.span = node.span
        result = self.expr_table[node.__class__](node)
        self.b.span = outer
        return result

    # -- names ------------------------------------------------------------------------------------

    def low_Ident(self, node: ast.Ident) -> Value | Mem | Gen:
        from cygnet.lang.trace.builtins import find

        if node.name == "args":
            return self._all_arguments(node)
        row = find(node.name)
        assert row is not None
        result: Value | Mem | Gen = row.lower(self.whole, node, ())
        return result

    def _all_arguments(self, node: ast.Ident) -> Gen:
        def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
            for name, at, field in zip(type.names, T.offsets(type), type.fields):
                part = ast.Field(node.span, node, name)
                part.type = field
                self.put(self.argument(part), field, pointer, offset + at, pad)

        return Gen(node.type, store)

    def variable(self, node: ast.Var) -> VarInfo:
        return self.instance.variables[id(node)]

    def variable_place(self, info: VarInfo) -> Mem | None:
        """Where a variable lies when it lives in memory; None for one in a register."""
        if info in self.captured:
            large, offset = self.captured[info]
            base = self.large if large else self.frame
            assert base is not None
            return Mem(base, "bpf", info.type, offset)
        if info.type.kind in T.SCALARS and not info.addressed:
            return None
        slot = self.slots.get(info)
        if slot is None:
            slot = self.slots[info] = self.new_slot(max(8, T.storage(info.type)), info.name)
        return Mem(slot, "bpf", info.type)

    def low_Var(self, node: ast.Var) -> Value | Mem | Gen:
        info = self.variable(node)
        if info in self.views:
            return self._view(info)
        place = self.variable_place(info)
        if place is None:
            return self.b.read(info)
        return self.load_typed(place, info.type, stored=True)

    def _view(self, info: VarInfo) -> Gen:
        parts = self.views[info]

        def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
            for part, at, field in zip(parts, T.offsets(type), type.fields):
                self.put(part, field, pointer, offset + at, pad)

        return Gen(info.type, store)

    def low_MapRef(self, node: ast.MapRef) -> Value | Mem | Gen:
        return self.read_map(node)

    def low_MapIndex(self, node: ast.MapIndex) -> Value | Mem | Gen:
        return self.read_map(node)

    # -- operators --------------------------------------------------------------------------------

    def low_Unary(self, node: ast.Unary) -> Value | Mem | Gen:
        op, operand = node.op, node.operand
        if op in ("++", "--"):
            return self.step(node, wanted=True)
        if op == "!":
            return self.b.cmp("eq", self.scalar(operand), self.const(0))
        if op == "-":
            return self.b.neg(self.scalar(operand))
        if op == "~":
            return self.b.binary("xor", self.scalar(operand), self.const(-1))
        address = self.scalar(operand)
        pointer = operand.type.kind == "ptr"
        space = T.memory(operand.type.space, direct=True) if pointer else self.instance.match.space
        mem = Mem(address, space, node.type)
        return self.load_typed(mem, node.type, stored=False) if node.type.kind in T.SCALARS else mem

    def step(self, node: ast.Unary, *, wanted: bool) -> Value:
        """``++`` and ``--``: the old or the new value."""
        target: Any = node.operand
        width = target.type.elem.size if target.type.kind == "ptr" and target.type.elem else 1
        amount = width if node.op == "++" else -width
        if not isinstance(target, ast.Var) and not wanted and self.map_add(target, self.const(amount)):
            return self.const(0)
        old = self.scalar(target)
        new = self.b.add(old, self.const(amount))
        self.assign_value(target, new, node.type)
        return old if node.postfix else new

    map_add: Callable[[ast.MapRef | ast.MapIndex, Value], bool]

    def assign_value(self, target: ast.Var | ast.MapRef | ast.MapIndex, value: Value, type: Type) -> None:
        """Give a scalar to a variable or map."""
        if not isinstance(target, ast.Var):
            self.write_map(target, value, type)
            return
        info = self.variable(target)
        value = self.convert(value, type, info.type)
        place = self.variable_place(info)
        if place is None:
            self.b.write(info, value)
        else:
            self.b.store(place.addr, value, 8, place.offset)

    def low_Binary(self, node: ast.Binary) -> Value:
        op = node.op
        if op in _SIGNED or op in ("&&", "||"):
            return self._as_bool(node)
        left, right = node.left, node.right
        if left.type.kind == "ptr" or right.type.kind == "ptr":
            return self._pointer_arithmetic(node)
        return self.arithmetic(op, self.scalar(left), self.scalar(right), node)

    def arithmetic(self, op: str, a: Value, b: Value, node: ast.Expr | ast.Assign) -> Value:
        """Integer arithmetic in 64 bits. Division by zero gives 1 and a warning; of a shift's count, six bits are used."""
        if op in "/%" and (b.op != "const" or not b.imm):
            return self._divide(_ALU[op], a, b, node)
        return self.b.binary(_ALU[op], a, b)

    def _divide(self, op: str, a: Value, b: Value, node: ast.Expr | ast.Assign) -> Value:
        def zero() -> Value:
            self.runtime_error("Divide or modulo by 0 detected. This can lead to unexpected results. 1 is being "
                               "used as the result.", node.span)  # fmt: skip
            return self.const(1)

        return self.select("ne", b, self.const(0), lambda: self.b.binary(op, a, b), zero)

    def _pointer_arithmetic(self, node: ast.Binary) -> Value:
        left, right, op = node.left, node.right, node.op
        a, b = self.scalar(left), self.scalar(right)
        if left.type.kind == "ptr" and right.type.kind == "ptr":
            if op == "-":
                size = (left.type.elem.size if left.type.elem else 1) or 1
                distance = self.b.binary("sub", a, b)
                if size & (size - 1) == 0:  # signed division needs a kernel of 6.6 or later
                    return self.b.binary("sar", distance, self.const(size.bit_length() - 1))
                return self.b.binary("sdiv", distance, self.const(size))
            return self.arithmetic(op, a, b, node)
        if op not in "+-":
            return self.arithmetic(op, a, b, node)
        pointer, number, type = (a, b, left.type) if left.type.kind == "ptr" else (b, a, right.type)
        size = type.elem.size if type.elem else 1
        number = self.b.binary("mul", number, self.const(size or 1))
        return self.b.binary(_ALU[op], pointer, number)

    def _as_bool(self, node: ast.Expr) -> Value:
        """0 or 1 from a condition."""
        if isinstance(node, ast.Binary) and node.op in _SIGNED:
            simple = self._simple_compare(node)
            if simple is not None:
                return self.b.cmp(*simple)
        result = object()
        b = self.b
        yes, no, join = b.new_block(), b.new_block(), b.new_block()
        self.condition(node, yes, no)
        self.arm(yes, join, lambda: self.b.write(result, self.const(1)))
        self.arm(no, join, lambda: self.b.write(result, self.const(0)))
        b.open(join)
        return b.read(result)

    def _simple_compare(self, node: ast.Binary) -> tuple[str, Value, Value] | None:
        """(condition, a, b) when both sides are numbers."""
        left, right = node.left, node.right
        numbers = T.SCALARS | {"agg"}
        if left.type.kind not in numbers or right.type.kind not in numbers:
            return None
        a, b = self.scalar(left), self.scalar(right)
        return (_SIGNED if self._compare_signed(left, right) else _UNSIGNED)[node.op], a, b

    @staticmethod
    def _compare_signed(left: ast.Expr, right: ast.Expr) -> bool:
        """Signed when a side is; a literal that is not negative takes the other's sign."""
        signs = []
        for side in (left, right):
            type = side.type
            if type.kind == "agg":
                signs.append(T.as_int(type).signed)
            elif not flexible(side):
                signs.append(type.kind in ("int", "enum") and type.signed)
        return any(signs)

    def condition(self, node: ast.Expr, yes: Block, no: Block) -> None:
        """Go to `yes` or `no` by the truth of an expression."""
        b = self.b
        if node.const is not None:
            b.jump(yes if node.const else no)
            return
        outer, b.span = b.span, node.span
        if isinstance(node, ast.Unary) and node.op == "!":
            self.condition(node.operand, no, yes)
        elif isinstance(node, ast.Binary) and node.op in ("&&", "||"):
            middle = b.new_block()
            if node.op == "&&":
                self.condition(node.left, middle, no)
            else:
                self.condition(node.left, yes, middle)
            if middle.preds:
                b.open(middle)
                self.memo.append({})
                self.condition(node.right, yes, no)
                self.memo.pop()
        elif isinstance(node, ast.Binary) and node.op in _SIGNED:
            self._compare(node, yes, no)
        elif node.type.kind == "str":
            raise AssertionError("a string is no condition")
        else:
            b.br("ne", self.scalar(node), self.const(0), yes, no)
        self.b.span = outer

    def _compare(self, node: ast.Binary, yes: Block, no: Block) -> None:
        simple = self._simple_compare(node)
        if simple is not None:
            self.b.br(*simple, yes, no)
            return
        if node.op == "!=":
            yes, no = no, yes
        equal = self.equal(node.left, node.right)
        self.b.br("ne", equal, self.const(0), yes, no)

    def equal(self, left: ast.Expr, right: ast.Expr) -> Value:
        """1 when two aggregates are equal."""
        kind = left.type.kind
        if kind == "str" or right.type.kind == "str":
            from cygnet.lang.trace.lower.strings import equal_strings

            return equal_strings(self, left, right)
        merged = T.promote(left.type, right.type) or left.type
        if kind in ("tuple", "record", "buf"):
            size = T.storage(merged)
            return self.b.memeq(self.place(left, merged, True), self.place(right, merged, True), size)
        if kind == "array":
            exact = T.natural_size(merged)
            return self.b.memeq(self.place(left, left.type), self.place(right, right.type), exact)
        size = T.storage(merged)
        return self.b.memeq(self.place(left, merged, True), self.place(right, merged, True), size)

    def low_Ternary(self, node: ast.Ternary) -> Value | Mem | Gen:
        type = node.type
        if type.kind in T.SCALARS:
            return self._scalar_ternary(node)

        def store(pointer: Value, offset: int, wanted: Type, pad: bool) -> None:
            then = node.then if node.then is not None else node.cond
            self._branch(
                node.cond,
                lambda: self.store(then, wanted, pointer, offset, pad),
                lambda: self.store(node.orelse, wanted, pointer, offset, pad),
            )

        return Gen(type, store, once=True)

    def _scalar_ternary(self, node: ast.Ternary) -> Value:
        result = object()
        then = node.then
        if then is None:
            value = self.scalar(node.cond)
            return self.select("ne", value, self.const(0), lambda: value, lambda: self.scalar(node.orelse))
        self._branch(
            node.cond,
            lambda: self.b.write(result, self.convert(self.scalar(then), then.type, node.type)),
            lambda: self.b.write(result, self.convert(self.scalar(node.orelse), node.orelse.type, node.type)),
        )
        return self.b.read(result)

    def _branch(self, cond: ast.Expr, then: Callable[[], Any], other: Callable[[], Any] | None) -> None:
        """``if (cond) then() else other()``"""
        b = self.b
        if cond.const is not None:
            taken = then if cond.const else other
            if taken is not None:
                taken()
            return
        yes, join = b.new_block(), b.new_block()
        no = join if other is None else b.new_block()
        self.condition(cond, yes, no)
        self.arm(yes, join, then)
        if other is not None:
            self.arm(no, join, other)
        if join.preds:
            self.b.open(join)

    def low_IfExpr(self, node: ast.IfExpr) -> Value | Mem | Gen:
        type = node.type
        if type.kind in T.SCALARS:
            result = object()
            self._if_into(node, lambda value: self.b.write(result, self.convert(self.scalar(value), value.type, type)))
            return self.b.read(result)

        def store(pointer: Value, offset: int, wanted: Type, pad: bool) -> None:
            self._if_into(node, lambda value: self.store(value, wanted, pointer, offset, pad))

        return Gen(type, store, once=True)

    def _if_into(self, node: ast.IfExpr, use: Callable[[ast.Expr], None]) -> None:
        def run(part: ast.Block | ast.IfExpr) -> None:
            if isinstance(part, ast.IfExpr):
                self._if_into(part, use)
                return
            self.block(part)
            if part.value is not None and not self.b.ended:
                use(part.value)

        orelse = node.orelse
        self._branch(node.cond, lambda: run(node.then), None if orelse is None else lambda: run(orelse))

    def low_BlockExpr(self, node: ast.BlockExpr) -> Value | Mem | Gen:
        self.block(node.block)
        assert node.block.value is not None
        result = self.operand(node.block.value)
        if isinstance(result, (Mem, Gen)):
            return Mem(self.in_memory(result, node.type), "bpf", node.type)
        return result

    def low_AddressOf(self, node: ast.AddressOf) -> Value:
        from cygnet.lang.trace.lower.addresses import lower_address

        return lower_address(self, node)  # type: ignore[arg-type]

    def low_TypeInfo(self, node: ast.TypeInfo) -> Gen:
        from cygnet.lang.trace.check.addresses import btf_id, names_of

        texts = names_of(node.arg.type)

        def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
            number, *places = T.offsets(type)
            self.b.store(pointer, self.const(btf_id(node.arg.type)), 8, offset + number)
            for text, at, field in zip(texts, places, type.fields[1:]):
                self.store_bytes(text.encode(), field, pointer, offset + at, pad)

        return Gen(node.type, store)

    def low_Comptime(self, node: ast.Comptime) -> Value | Mem | Gen:
        return self.operand(node.operand)

    # -- casts and calls --------------------------------------------------------------------------

    def low_Cast(self, node: ast.Cast) -> Value | Mem | Gen:
        target, given = node.type, node.operand.type
        if target.kind == "array":
            return self._cast_array(node)
        if given.kind in ("array", "struct", "str") and target.kind == "ptr":
            thing = self.operand(node.operand)
            assert isinstance(thing, Mem)
            return self.address(thing)
        if target.kind == "bool" and given.kind == "str":
            place = self.place(node.operand, given)
            return self.b.cmp("ne", self.b.load(place, 1), self.const(0))
        if target.kind not in T.SCALARS:
            return self.operand(node.operand)
        value = self.scalar(node.operand)
        if target.kind == "bool":
            return self.b.cmp("ne", value, self.const(0))
        if target.kind in ("int", "enum") and target.size < 8:
            return self.b.sext(value, target.size) if target.signed else self.b.zext(value, target.size)
        return value

    def _cast_array(self, node: ast.Cast) -> Mem | Gen:
        given = node.operand.type
        if given.kind == "array":
            thing = self.operand(node.operand)
            if isinstance(thing, Mem):
                return Mem(thing.addr, thing.space, node.type, thing.offset, root=thing.root, path=thing.path)
            return Mem(self.in_memory(thing, given), "bpf", node.type)
        slot = self.new_slot(max(8, T.storage(node.type)))
        if isinstance(node.operand.const, bytes):
            self.store_bytes(node.operand.const, T.string(T.natural_size(node.type)), slot, 0, True)
        else:
            self.b.store(slot, self.scalar(node.operand), 8)
        return Mem(slot, "bpf", node.type)

    def low_Call(self, node: ast.Call) -> Value | Mem | Gen:
        from cygnet.lang.trace.builtins import find

        row = find(node.name)
        assert row is not None
        result: Value | Mem | Gen = row.lower(self.whole, node, node.args)
        return result
