"""The checker: expressions. Each gets a type, and a constant where it has one."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.records import is_char, member_value_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cygnet.lang.trace.check.names import MapInfo, Scope, VarInfo
    from cygnet.lang.trace.config import Config
    from cygnet.lang.trace.instances import Instance
    from cygnet.lang.trace.records import CTypes
    from cygnet.lang.trace.types import Agg, Type
    from cygnet.source import Span

_COMPARE = frozenset(("==", "!=", "<", ">", "<=", ">="))
_U64 = (1 << 64) - 1


def _fold(op: str, a: int, b: int) -> int:
    if op == "+":
        return a + b
    if op == "-":
        return a - b
    if op == "*":
        return a * b
    if op in "/%":
        quotient = abs(a) // abs(b)
        if (a < 0) != (b < 0):
            quotient = -quotient
        return quotient if op == "/" else a - quotient * b
    if op == "&":
        return a & b
    if op == "|":
        return a | b
    if op == "^":
        return a ^ b
    if op == "<<":
        return a << b if b < 64 else 0
    return (a & _U64) >> b if b < 64 else 0


class ExprChecker:
    """The half of the checker that looks at expressions."""

    AGGREGATES = frozenset(("count", "sum", "min", "max", "avg", "stats", "hist", "lhist", "tseries"))

    types: CTypes
    config: Config
    params: Any
    instance: Instance
    scope: Scope
    maps: dict[str, MapInfo]
    depth: int
    loops: int
    final: bool
    guess: bool
    expr_table: dict[type, Callable[..., Type]]
    error: Callable[..., None]
    warn: Callable[..., None]
    map_info: Callable[[ast.MapRef], MapInfo]
    use_map: Callable[..., MapInfo]
    map_key: Callable[[MapInfo, ast.MapIndex], None]
    block: Callable[..., Type]
    grow_variable: Callable[[VarInfo, Type, Span], None]
    grow_value: Callable[[MapInfo, Type, Span], None]
    _touch: Callable[[VarInfo, ast.Var], None]

    # -- entry points -----------------------------------------------------------------------------

    def expr(self, node: ast.Expr, *, statement: bool = False) -> Type:
        """The type of an expression; `statement`: its value is not used."""
        if statement and isinstance(node, (ast.Call, ast.Ternary, ast.IfExpr, ast.BlockExpr, ast.Ident)):
            type = self._statement(node)
        else:
            type = self.expr_table[node.__class__](node)
        node.type = type
        return type

    def value(self, node: ast.Expr) -> Type:
        """The type of an expression that must have a value."""
        type = self.expr(node)
        if type.kind in ("none", "never"):
            self.error("This has no value", node.span)
            return T.UNKNOWN
        return type

    def number(self, node: ast.Expr, what: str) -> Type:
        """An integer, bool or enum, or an aggregation that becomes one."""
        type = self.value(node)
        if type.kind == "agg" and type.extra.kind in T.CASTABLE:
            return T.as_int(type)
        if type.kind not in T.NUMERIC and type.kind != "unknown":
            self.error(f"{what} must be an integer, not '{T.name(type)}'", node.span)
            return T.INT64
        return type

    def condition(self, node: ast.Expr) -> None:
        type = self.value(node)
        if type.kind in T.NUMERIC or type.kind in ("ptr", "unknown"):
            return
        if type.kind == "agg" and type.extra.kind in T.CASTABLE:
            return
        self.error(f"Invalid condition: '{T.name(type)}' is not an integer, a bool or a pointer", node.span)

    def _statement(self, node: ast.Expr) -> Type:
        if isinstance(node, ast.Call):
            if node.name in self.AGGREGATES:
                return self._stray_aggregate(node)
            return self.call(node, statement=True)
        if isinstance(node, ast.Ternary):
            self.condition(node.cond)
            for arm in (node.then, node.orelse):
                if arm is not None:
                    self.expr(arm, statement=True)
            return T.NONE
        if isinstance(node, ast.IfExpr):
            return self._if(node, statement=True)
        return self.expr_table[node.__class__](node)

    def _stray_aggregate(self, node: ast.Call) -> Type:
        self.error(f"{node.name}() must be assigned directly to a map", node.span, [f"@x = {node.name}(…)"])
        return T.UNKNOWN

    # -- literals and names -----------------------------------------------------------------------

    def expr_IntLit(self, node: ast.IntLit) -> Type:
        node.const = node.value
        return T.literal_int(node.value)

    def expr_StrLit(self, node: ast.StrLit) -> Type:
        node.const = node.bytes
        if len(node.const) + 1 > max(self.config["max_strlen"], 1):
            self.error(
                f"String is too long ({len(node.const)} bytes): max_strlen is {self.config['max_strlen']}", node.span
            )
        return T.string(len(node.const) + 1)

    def expr_BoolLit(self, node: ast.BoolLit) -> Type:
        node.const = node.value
        return T.BOOL

    def expr_Positional(self, node: ast.Positional) -> Type:
        value = self.params.value(node.number)
        if value is None:
            self.warn(f"Positional parameter ${node.number} is not given: 0 is used", node.span)
            value = 0
        node.const = value
        return T.literal_int(value) if type(value) is int else T.string(len(value) + 1)

    def expr_Ident(self, node: ast.Ident) -> Type:
        name = node.name
        if name == "args":
            return T.Type("args", 0)
        from cygnet.lang.trace.builtins import find

        row = find(name)
        if row is not None and row.bare:
            return row.check(self, node, ())
        known = self.types.enumerator(name)
        if known is None:
            from cygnet.lang.trace.constants import constant

            number = constant(name)
            known = None if number is None else (number, T.literal_int(number))
        if known is not None:
            node.const = known[0]
            return known[1]
        self._unknown_name(node, row is not None)
        return T.UNKNOWN

    def _unknown_name(self, node: ast.Ident, needs_call: bool) -> None:
        if needs_call:
            self.error(f"{node.name} is a function: it is called as {node.name}(…)", node.span)
            return
        from cygnet.lang.trace.builtins import names
        from cygnet.lang.trace.suggest import did_you_mean

        guess = did_you_mean(node.name, names())
        self.error(f"Unknown identifier: '{node.name}'", node.span, [f"did you mean {guess}?"] if guess else [])

    def expr_Var(self, node: ast.Var) -> Type:
        info = self.scope.find(node.name)
        if info is None:
            from cygnet.lang.trace.suggest import did_you_mean

            guess = did_you_mean(node.name, self.scope.all_names())
            self.error(
                f"Undefined or undeclared variable: {node.name}", node.span, [f"did you mean {guess}?"] if guess else []
            )
            return T.UNKNOWN
        self._touch(info, node)
        info.read = True
        if info.let and not info.written and self.final:
            self.warn(f"Variable {info.name} is read before it is assigned", node.span)
        if info.type is T.UNKNOWN and self.final:
            self.error(f"Variable {node.name} has no type: nothing is assigned to it", node.span)
        return info.type

    def map_type(self, info: MapInfo, node: ast.Expr) -> Type:
        if info.read_span is None:
            info.read_span = node.span
        if info.agg is not None:
            return T.Type("agg", 8, extra=info.agg)
        return info.value

    def expr_MapRef(self, node: ast.MapRef) -> Type:
        info = self.use_map(node, keyed=False)
        return self.map_type(info, node)

    def expr_MapIndex(self, node: ast.MapIndex) -> Type:
        info = self.use_map(node.map, keyed=True)
        self.map_key(info, node)
        return self.map_type(info, node)

    # -- operators --------------------------------------------------------------------------------

    def expr_Unary(self, node: ast.Unary) -> Type:
        op = node.op
        if op in ("++", "--"):
            return self._step(node)
        operand = node.operand
        type = self.value(operand)
        if type.kind == "unknown":
            return type
        if op == "*":
            return self._dereference(node, type)
        if op == "!":
            self._no_pointer(type, operand)
            node.const = None if operand.const is None else not operand.const
            return T.BOOL
        type = self._operand(type, operand)
        if type_is_int(operand.const):
            node.const = -operand.const if op == "-" else ~operand.const
            if node.const < -(1 << 63):
                self.error("This number does not fit 64 bits", node.span)
            return T.literal_int(node.const)
        return T.INT64 if type.signed else T.UINT64

    def _no_pointer(self, type: Type, node: ast.Expr) -> None:
        if type.kind not in T.NUMERIC and not (type.kind == "agg" and type.extra.kind in T.CASTABLE):
            self.error(f"The ! operator can not be used on '{T.name(type)}'", node.span, ["compare with 0"])

    def _step(self, node: ast.Unary) -> Type:
        target = node.operand
        if not isinstance(target, (ast.Var, ast.MapRef, ast.MapIndex)):
            self.error(f"The {node.op} operator must be applied to a map or variable", node.span)
            return T.UNKNOWN
        type = self.expr(target)
        result = type
        if type.kind == "agg":
            self.error(f"The {node.op} operator can not be used on an aggregation", node.span)
            return T.INT64
        if type.kind != "ptr":
            if type.kind not in T.NUMERIC and type.kind != "unknown":
                self.error(f"The {node.op} operator can not be used on '{T.name(type)}'", node.span)
                return T.INT64
            signed = node.op == "--" or type.kind == "unknown" or type.signed
            result = T.INT64 if signed else T.UINT64
        if isinstance(target, ast.Var):
            info = self.scope.find(target.name)
            if info is not None and not info.fixed:
                self.grow_variable(info, result, node.span)
        else:
            ref = target if isinstance(target, ast.MapRef) else target.map
            self.grow_value(self.map_info(ref), result, node.span)
        return result

    def _dereference(self, node: ast.Unary, type: Type) -> Type:
        if type.kind == "ptr":
            if type.elem is None:
                self.error("Can not dereference a void pointer: cast it first", node.span)
                return T.UNKNOWN
            elem: Type = type.elem
            if elem.kind == "struct" and not elem.size:
                self.error(f"Unknown type: '{T.name(elem)}' is not defined", node.span)
                return T.UNKNOWN
            return elem._replace(space=type.space) if elem.kind == "struct" else elem
        if type.kind == "int":
            return T.UINT64
        self.error(f"Can not dereference '{T.name(type)}'", node.span)
        return T.UNKNOWN

    def _operand(self, type: Type, node: ast.Expr) -> Type:
        """The integer type of an operand of arithmetic."""
        if type.kind == "agg" and type.extra.kind not in T.CASTABLE:
            self.error(f"'{T.name(type)}' can only be printed", node.span)
            return T.INT64
        if type.kind in T.NUMERIC or type.kind == "agg":
            return T.as_int(type)
        if type.kind != "unknown":
            self.error(f"Arithmetic is not possible with '{T.name(type)}'", node.span)
        return T.INT64

    def expr_Binary(self, node: ast.Binary) -> Type:
        left, right = self.value(node.left), self.value(node.right)
        op = node.op
        if op in ("&&", "||"):
            return self._logical(node, left, right)
        if left.kind == "unknown" or right.kind == "unknown":
            if self.guess and op not in _COMPARE:
                return T.INT64
            return T.BOOL if op in _COMPARE else T.UNKNOWN
        if op in _COMPARE:
            return self._compare(node, left, right)
        if left.kind == "ptr" or right.kind == "ptr":
            return self._pointer_arithmetic(node, left, right)
        if op == "+" and isinstance(node.left.const, bytes) and isinstance(node.right.const, bytes):
            node.const = node.left.const + node.right.const
            return T.string(len(node.const) + 1)
        if op == "+" and left.kind == "str" and type_is_int(node.right.const) and isinstance(node.left.const, bytes):
            node.const = node.left.const[node.right.const :]  # str($1 + k) skips k characters
            return T.string(len(node.const) + 1)
        if type_is_int(node.left.const) and type_is_int(node.right.const):
            return self._fold_literals(node)
        return self.arithmetic(op, left, right, node.left, node.right, node.op_span)

    def arithmetic(self, op: str, left: Type, right: Type, a: ast.Expr, b: ast.Expr, span: Span) -> Type:
        """The type of integer arithmetic; reports what can not be."""
        x, y = self._operand(left, a), self._operand(right, b)
        if op in "/%" and b.const == 0 and type_is_int(b.const):
            self.error("Division by zero", span)
        if op in "/%" and self.final:
            if (x.signed and not flexible(a)) or (y.signed and not flexible(b)):
                self.warn(f"unsigned operands are used for '{op}': a negative value gives a huge result", span)
        if op == "-":
            return T.INT64
        if op in ("<<", ">>"):
            return T.INT64 if x.signed and not (flexible(a) and not y.signed) else T.UINT64
        signed = (x.signed and not flexible(a)) or (y.signed and not flexible(b)) or (flexible(a) and flexible(b))
        return T.INT64 if signed else T.UINT64

    def _fold_literals(self, node: ast.Binary) -> Type:
        a, b = node.left.const, node.right.const
        if node.op in "/%" and b == 0:
            self.error("Division by zero", node.op_span)
            return T.INT64
        if node.op in ("<<", ">>") and b < 0:
            self.error("Shift by a negative number", node.op_span)
            return T.INT64
        result = _fold(node.op, int(a), int(b))
        if node.op == "<<":
            result &= _U64
            if a < 0:
                result -= 1 << 64
        if not -(1 << 63) <= result <= _U64:
            self.error("The result does not fit 64 bits", node.span)
            return T.INT64
        node.const = result
        return T.literal_int(result)

    def _logical(self, node: ast.Binary, left: Type, right: Type) -> Type:
        for type, side in ((left, node.left), (right, node.right)):
            ok = type.kind in T.NUMERIC or type.kind in ("ptr", "unknown")
            if not ok and not (type.kind == "agg" and type.extra.kind in T.CASTABLE):
                self.error(f"The {node.op} operator can not be used on expressions of type '{T.name(type)}'", side.span)
        a, b = node.left.const, node.right.const
        if a is not None and b is not None:
            node.const = bool(a and b) if node.op == "&&" else bool(a or b)
        return T.BOOL

    def _compare(self, node: ast.Binary, left: Type, right: Type) -> Type:
        a, b = node.left.const, node.right.const
        if a is not None and b is not None and isinstance(a, bytes) == isinstance(b, bytes):
            node.const = _COMPARISONS[node.op](a, b)
            return T.BOOL
        kinds = {left.kind, right.kind}
        if left.kind in T.NUMERIC | {"agg"} and right.kind in T.NUMERIC | {"agg"}:
            for type, side in ((left, node.left), (right, node.right)):
                self._operand(type, side)
            if self.final and left.kind == right.kind == "int" and left.signed != right.signed:
                signed = node.left if left.signed else node.right
                if not flexible(signed):
                    self.warn(f"comparison of integers of different signs: '{T.name(left)}' and '{T.name(right)}'",
                              node.op_span)  # fmt: skip
            return T.BOOL
        if kinds <= {"ptr", "int", "bool", "enum"} or kinds <= {"ksym", "int", "ptr"}:
            return T.BOOL
        equality = node.op in ("==", "!=")
        if left.kind == right.kind and equality:
            if left.kind in ("str", "mac", "inet", "usym", "ksym", "kstack", "ustack", "buf"):
                return T.BOOL
            if left.kind == "array" and left.length == right.length:
                return T.BOOL
            if left.kind in ("tuple", "record") and T.promote(left, right) is not None:
                return T.BOOL
        if kinds == {"str", "array"} and equality:
            array = left if left.kind == "array" else right
            if is_char(array.elem):
                return T.BOOL
        self.error(f"Type mismatch for '{node.op}': comparing '{T.name(left)}' with '{T.name(right)}'", node.op_span)
        return T.BOOL

    def _pointer_arithmetic(self, node: ast.Binary, left: Type, right: Type) -> Type:
        op = node.op
        if left.kind == "ptr" and op in "+-" and self._integral(right):
            return left
        if right.kind == "ptr" and op == "+" and self._integral(left):
            return right
        if left.kind == right.kind == "ptr" and op == "-":
            return T.INT64
        if op in ("&", "|", "^", ">>", "<<", "%", "/", "*"):
            if left.kind in ("ptr", *T.NUMERIC) and right.kind in ("ptr", *T.NUMERIC):
                return T.UINT64
        self.error(f"The {op} operator can not be used on '{T.name(left)}' and '{T.name(right)}'", node.op_span)
        return T.UNKNOWN

    @staticmethod
    def _integral(type: Type) -> bool:
        return type.kind in T.NUMERIC or (type.kind == "agg" and type.extra.kind in T.CASTABLE)

    def expr_Ternary(self, node: ast.Ternary) -> Type:
        self.condition(node.cond)
        then_type = self.expr(node.then) if node.then is not None else node.cond.type
        else_type = self.expr(node.orelse)
        if then_type.kind == "agg":
            then_type = T.as_int(then_type)
        if else_type.kind == "agg":
            else_type = T.as_int(else_type)
        if node.cond.const is not None and node.then is not None:
            taken = node.then if node.cond.const else node.orelse
            node.const = taken.const
        if "never" in (then_type.kind, else_type.kind):
            return else_type if then_type.kind == "never" else then_type
        merged = T.promote(then_type, else_type)
        if merged is None:
            self.error(
                f"Ternary operator must return the same type: have '{T.name(then_type)}' and '{T.name(else_type)}'",
                node.span,
            )
            return T.UNKNOWN
        return merged

    def expr_IfExpr(self, node: ast.IfExpr) -> Type:
        return self._if(node, statement=False)

    def _if(self, node: ast.IfExpr, *, statement: bool) -> Type:
        self.condition(node.cond)
        node.const = None
        if isinstance(node.cond, ast.Comptime):
            taken = node.then if node.cond.const else node.orelse
            return T.NONE if taken is None else self._branch(taken, statement)
        then_type = self.block(node.then)
        else_type = T.NONE if node.orelse is None else self._branch(node.orelse, statement)
        if statement:
            return T.NONE
        merged = T.promote(then_type, else_type)
        if merged is None:
            self.error(f"The branches give different types: '{T.name(then_type)}' and '{T.name(else_type)}'", node.span)
            return T.UNKNOWN
        return merged

    def _branch(self, node: ast.Block | ast.IfExpr, statement: bool) -> Type:
        if isinstance(node, ast.IfExpr):
            node.type = self._if(node, statement=statement)
            return node.type  # type: ignore[no-any-return]
        return self.block(node)

    def expr_BlockExpr(self, node: ast.BlockExpr) -> Type:
        return self.block(node.block)

    def expr_Comptime(self, node: ast.Comptime) -> Type:
        type = self.value(node.operand)
        node.const = node.operand.const
        if node.const is None and type.kind != "unknown":
            self.error("Unable to evaluate at compile time", node.span)
        return type

    def expr_AddressOf(self, node: ast.AddressOf) -> Type:
        from cygnet.lang.trace.check.addresses import check_address

        return check_address(self, node)

    # -- members and elements ---------------------------------------------------------------------

    def expr_Field(self, node: ast.Field) -> Type:
        operand = node.operand
        if isinstance(operand, ast.Ident) and operand.name == "args":
            return self.argument(node)
        type = self.value(operand)
        if type.kind == "unknown":
            return type
        if isinstance(operand, ast.TypeInfo):
            return self._typeinfo_part(node, operand, node.name)
        if type.kind == "record":
            if node.name not in type.names:
                self._no_member(node, T.name(type), type.names)
                return T.UNKNOWN
            if isinstance(operand, ast.Ident) and operand.name == "config":
                from cygnet.lang.trace.builtins.settings import setting

                node.const = setting(self.config, node.name)
            result: Type = type.fields[type.names.index(node.name)]
            return result
        while type.kind == "ptr" and type.elem is not None and type.elem.kind == "ptr":
            type = type.elem
        space = type.space
        if type.kind == "ptr" and type.elem is not None:
            type = type.elem
        if type.kind != "struct":
            self.error(f"Can not access field '{node.name}' on expression of type '{T.name(type)}'", node.span)
            return T.UNKNOWN
        member = type.extra.find(node.name)
        if member is None:
            if not type.extra.size and not type.extra.flat():
                self.error(f"Unknown type: '{T.name(type)}' is not defined, so its fields are not known", node.span)
            else:
                self._no_member(node, T.name(type), list(type.extra.flat()))
            return T.UNKNOWN
        return self.member_type(member.type, space)

    def member_type(self, type: Type, space: str) -> Type:
        """A member's type, with the address space it was reached through."""
        result = member_value_type(type)
        if result.kind == "ptr" and result.space == T.KERNEL and space and space != T.KERNEL:
            return result._replace(space=space)
        return result._replace(space=space) if result.kind in ("struct", "array") else result

    def _no_member(self, node: ast.Field, owner: str, names: Sequence[str]) -> None:
        from cygnet.lang.trace.suggest import did_you_mean

        guess = did_you_mean(node.name, names)
        self.error(
            f"{owner} does not contain a field named '{node.name}'",
            node.name_span,
            [f"did you mean {guess}?"] if guess else [],
        )

    def argument(self, node: ast.Field) -> Type:
        """``args.NAME``"""
        if self.depth:
            self.error("args can not be read inside a loop over a map", node.span, ["read it into a variable before"])
            return T.UNKNOWN
        arg = self.instance.argument(node.name)
        if arg is None:
            names = self.instance.argument_names()
            if not names:
                self.error(f"args is not available in {self.instance.match.probe}", node.operand.span)
            else:
                self._no_member(node, f"The probe {self.instance.match.probe}", names)
            return T.UNKNOWN
        return self.instance.argument_type(arg, self.types)

    def _typeinfo_part(self, node: ast.Field | ast.TupleIndex, operand: ast.TypeInfo, name: str | int) -> Type:
        from cygnet.lang.trace.check.addresses import PARTS, part_of

        index = name if isinstance(name, int) else PARTS.get(name, -1)
        if not 0 <= index < 3:
            self.error(f"typeinfo() has no part '{name}'", node.span, ["btf_id, base_type and full_type"])
            return T.UNKNOWN
        node.const = part_of(operand, index)
        result: Type = operand.type.fields[index]
        return result

    def expr_TupleIndex(self, node: ast.TupleIndex) -> Type:
        type = self.value(node.operand)
        if isinstance(node.operand, ast.TypeInfo) and type.kind == "record":
            return self._typeinfo_part(node, node.operand, node.index)
        return self._tuple_item(type, node.index, node)

    def _tuple_item(self, type: Type, index: int, node: ast.Expr) -> Type:
        if type.kind == "unknown":
            return type
        if type.kind != "tuple":
            self.error(f"Can not access index {index} on expression of type '{T.name(type)}'", node.span)
            return T.UNKNOWN
        if not 0 <= index < len(type.fields):
            self.error(f"Invalid tuple index: {index}. Found {len(type.fields)} elements in tuple.", node.span)
            return T.UNKNOWN
        result: Type = type.fields[index]
        return result

    def expr_Index(self, node: ast.Index) -> Type:
        type, index = self.value(node.operand), self.value(node.index)
        const = node.index.const
        if type.kind == "unknown" or index.kind == "unknown":
            return T.UNKNOWN
        if type.kind == "tuple":
            if not type_is_int(const):
                self.error("A tuple is indexed by a literal", node.index.span)
                return T.UNKNOWN
            return self._tuple_item(type, const, node)
        if index.kind not in T.NUMERIC:
            self.error(f"The array index operator [] needs an integer, not '{T.name(index)}'", node.index.span)
            return T.UNKNOWN
        if index.signed and const is None and type.kind == "array" and self.final:
            self.warn(f"The index is signed ('{T.name(index)}'): a negative one is out of bounds", node.index.span)
        length = type.length if type.kind == "array" else type.size if type.kind == "str" else None
        if length is not None and type_is_int(const) and not 0 <= const < length:
            self.error(f"the index {const} is out of bounds for array of size {length}", node.index.span)
            return T.UNKNOWN
        if type.kind == "str":
            return T.INT8
        if type.kind in ("array", "ptr") and type.elem is not None:
            return self.member_type(type.elem, type.space)
        if type.kind == "args":
            return T.UNKNOWN
        self.error(f"The array index operator [] can not be used on '{T.name(type)}'", node.span)
        return T.UNKNOWN

    def expr_TupleExpr(self, node: ast.TupleExpr) -> Type:
        return T.tuple_of(*map(self._item, node.items))

    def _item(self, node: ast.Expr) -> Type:
        type = self.value(node)
        if type.kind == "agg":
            self.error(f"'{T.name(type)}' must be cast to an integer here, such as (int64)@m", node.span)
            return T.INT64
        return type

    def expr_RecordExpr(self, node: ast.RecordExpr) -> Type:
        fields = tuple(map(self._item, node.values))
        if len(set(node.names)) != len(node.names):
            self.error("A record's fields must have different names", node.span)
        return T.Type("record", sum(map(T.storage, fields)), fields=fields, names=node.names)

    # -- types ------------------------------------------------------------------------------------

    def resolve_type(self, node: ast.TypeName) -> Type:
        """The type that is written; reports one that does not exist."""
        type = self._base_type(node)
        if type is None:
            self._unknown_type(node)
            return T.UNKNOWN
        space = self.instance.match.space if self.instance else T.KERNEL
        for _ in range(node.pointers):
            type = T.pointer(None if type is T.NONE else type, space)
        if node.base in ("string", "inet", "buffer") and not node.pointers:
            return type
        for dim in reversed(node.dims):
            type = T.Type("array", type.size * (dim or 0), elem=type, length=dim or 0)
        return type

    def _base_type(self, node: ast.TypeName) -> Type | None:
        if node.of is not None:
            return self.expr(node.of)
        base = node.base
        if not node.keyword:
            dim = node.dims[0] if node.dims else None
            special = {
                "string": T.string(dim or self.config["max_strlen"]),
                "buffer": T.Type("buf", dim or 64),
                "inet": T.INET, "mac_address": T.MAC, "ksym_t": T.KSYM, "usym_t": T.USYM, "username": T.USERNAME,
            }.get(base)  # fmt: skip
            if special is not None:
                return special
        found = self.types.find(node.keyword, base)
        if found is None and node.pointers and node.keyword:
            return self.types.opaque(node.keyword, base)
        return found

    def _unknown_type(self, node: ast.TypeName) -> None:
        name = f"{node.keyword} {node.base}".strip()
        hints = [] if self.types.btf is not None else ["this kernel has no BTF: define the type in the program"]
        self.error(f"Unknown type: '{name}'", node.span, hints)

    def expr_TypeName(self, node: ast.TypeName) -> Type:
        return self.resolve_type(node)

    def expr_SizeOf(self, node: ast.SizeOf) -> Type:
        type = self._type_or_expr(node.arg)
        if type.kind != "unknown":
            node.const = T.natural_size(type)
        return T.UINT64

    def _type_or_expr(self, arg: ast.Expr) -> Type:
        if isinstance(arg, ast.TypeName):
            return self.resolve_type(arg)
        if isinstance(arg, ast.Ident):
            from cygnet.lang.trace.builtins import find

            if find(arg.name) is None and arg.name != "args":
                made = ast.TypeName(arg.span, "", arg.name)
                if self._base_type(made) is not None:
                    return self.resolve_type(made)
        return self.value(arg)

    def expr_OffsetOf(self, node: ast.OffsetOf) -> Type:
        type = self._type_or_expr(node.arg)
        offset = 0
        for name in node.path:
            if type.kind == "ptr" and type.elem is not None:
                type = type.elem
            if type.kind != "struct":
                if type.kind != "unknown":
                    self.error(f"'{T.name(type)}' is not a c_struct type.", node.span)
                return T.UINT64
            member = type.extra.find(name)
            if member is None:
                self.error(f"{T.name(type)} does not contain a field named '{name}'", node.span)
                return T.UINT64
            offset += member.offset
            type = member.type
        node.const = offset
        return T.UINT64

    def expr_TypeInfo(self, node: ast.TypeInfo) -> Type:
        from cygnet.lang.trace.check.addresses import check_typeinfo

        return check_typeinfo(self, node)

    def expr_Cast(self, node: ast.Cast) -> Type:
        operand = self.value(node.operand)
        target = self.resolve_type(node.target)
        if self.final and node.operand.const is None and target._replace(space="") == operand._replace(space=""):
            self.warn(f"Cast from '{T.name(operand)}' to '{T.name(target)}' changes nothing", node.span)
        if operand.kind == "unknown" or target.kind == "unknown":
            return target
        if target.kind in T.NUMERIC:
            return self._cast_number(node, target, operand)
        if target.kind == "ptr":
            space = operand.space if operand.kind == "ptr" else target.space
            if operand.kind not in ("ptr", "int", "bool", "enum", "array", "struct", "agg", "ksym"):
                self.error(f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}'", node.span)
            return target._replace(space=space)
        if target.kind == "array" and (operand.kind in ("int", "array") or isinstance(node.operand.const, bytes)):
            return self._cast_array(node, target, operand)
        if target.kind == operand.kind or (target.kind == "str" and operand.kind == "str"):
            return target
        if target.kind in ("ksym", "username") and operand.kind in ("int", "ptr"):
            return target
        self.error(f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}'", node.span)
        return target

    def _cast_number(self, node: ast.Cast, target: Type, operand: Type) -> Type:
        allowed = ("int", "bool", "enum", "ptr", "agg", "array", "ksym", "timestamp", "str", "username", "cgroup")
        if operand.kind not in allowed or (operand.kind == "str" and target.kind != "bool"):
            self.error(f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}'", node.span)
            return target
        if operand.kind == "agg" and operand.extra.kind not in T.CASTABLE:
            self.error(f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}'", node.span)
        if operand.kind == "array" and T.natural_size(operand) != target.size:
            self.error(
                f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}': the sizes differ "
                f"({T.natural_size(operand)} and {target.size} bytes)",
                node.span,
            )
        const = node.operand.const
        if target.kind == "enum" and type_is_int(const) and not any(v == const for v, _ in target.extra.pairs()):
            self.error(f"Enum: {target.extra.name} doesn't contain a variant value of {const}", node.span)
        if const is not None and not isinstance(const, bytes):
            if target.kind == "bool":
                node.const = bool(const)
            else:
                wrapped = int(const) & ((1 << target.size * 8) - 1)
                sign = target.signed and wrapped >> (target.size * 8 - 1)
                node.const = wrapped - (1 << target.size * 8) if sign else wrapped
        return target

    def _cast_array(self, node: ast.Cast, target: Type, operand: Type) -> Type:
        size = T.natural_size(operand)
        elem = target.elem.size
        if not target.length and elem:
            target = target._replace(length=size // elem, size=size)
        if T.natural_size(target) != size:
            self.error(
                f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}': the sizes differ ({size} and "
                f"{T.natural_size(target)} bytes)",
                node.span,
            )
        return target

    # -- calls ------------------------------------------------------------------------------------

    def expr_Call(self, node: ast.Call) -> Type:
        if node.name in self.AGGREGATES:
            return self._stray_aggregate(node)
        return self.call(node, statement=False)

    def call(self, node: ast.Call, *, statement: bool) -> Type:
        from cygnet.lang.trace.builtins import find, names

        row = find(node.name)
        if row is None:
            fn = next((fn for fn in self.instance.program.fns if fn.name == node.name), None)
            if fn is not None:
                self.error("User functions (fn) are not yet compiled", node.name_span, ["a macro may serve"])
                return T.UNKNOWN
            from cygnet.lang.trace.suggest import did_you_mean

            guess = did_you_mean(node.name, [*names(), *self.AGGREGATES])
            self.error(f"Unknown function: '{node.name}'", node.name_span, [f"did you mean {guess}?"] if guess else [])
            return T.UNKNOWN
        least, most = row.arity
        if not least <= len(node.args) <= most:
            self.error(f"{node.name}() {_arity_text(least, most)} ({len(node.args)} provided)", node.span)
            return T.UNKNOWN
        if row.statement_only and not statement:
            self.error(f"{node.name}() should not be used in an expression: it gives no value", node.span)
        return row.check(self, node, node.args)

    def aggregate(self, node: ast.Call) -> Agg:
        """The aggregation that a call makes; its arguments are checked."""
        from cygnet.lang.trace.check.aggregates import check_aggregate

        return check_aggregate(self, node)


def type_is_int(const: object) -> bool:
    return const.__class__ is int


def flexible(node: ast.Expr) -> bool:
    """A literal that is not negative may be signed or not, as its neighbour wants."""
    return node.const.__class__ is int and node.const >= 0


def _arity_text(least: int, most: int) -> str:
    if least == most:
        return f"requires {least or 'no'} argument{'' if least == 1 else 's'}"
    if most > 100:
        return f"requires at least {least} argument{'' if least == 1 else 's'}"
    return f"requires {least} to {most} arguments"


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}
