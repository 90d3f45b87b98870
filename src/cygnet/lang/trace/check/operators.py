"""The checker: operators and conditions."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.check.base import CheckBase, flexible, type_is_int
from cygnet.lang.trace.check.places import placed
from cygnet.lang.trace.check.soft import together, value_of
from cygnet.lang.trace.records import is_char

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.lang.trace.types import Type
    from cygnet.source import Span

_COMPARE = frozenset(("==", "!=", "<", ">", "<=", ">="))
_U64 = (1 << 64) - 1
#: kinds besides numbers and pointers of which two values are equal or not
_EQUALS = frozenset(
    ("str", "mac", "inet", "usym", "ksym", "kstack", "ustack", "buf", "username", "cgroup", "timestamp", "gfp")
)


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
        return a << b
    return (a & _U64) >> b


def _is_literal(node: ast.Expr) -> bool:
    """Is a constant made of literals only, so that its own size decides its type? A cast has the type it names."""
    if isinstance(node, (ast.Binary, ast.Unary)):
        return bool(node.type == T.literal_int(node.const))
    return isinstance(node, (ast.IntLit, ast.Positional, ast.Ident))


def _says_signed(node: ast.Expr) -> bool:
    """Is a signed operand one by its own will? A literal is not, nor is the difference of two unsigned ones: with
    ``(nsecs - @start) / 1000`` nobody thinks of negative numbers, though `-` makes its result signed.
    """
    if isinstance(node, ast.Binary) and node.op == "-" and node.left.type is not None and node.right.type is not None:
        return any(side.type.signed and _says_signed(side) for side in (node.left, node.right))
    return not flexible(node)


class OperatorChecker(CheckBase):
    """What operators take and give."""

    def expr_Unary(self, node: ast.Unary) -> Type:
        op = node.op
        if op in ("++", "--"):
            return self._step(node)
        operand = node.operand
        type = placed(self, operand) if op == "*" else self.value(operand)
        if type.kind == "unknown":
            return type
        if op == "*":
            return self._dereference(node, type)
        if op == "!":
            self._no_pointer(type, operand)
            node.const = None if operand.const is None else not operand.const
            return T.BOOL
        if op == "~" and type.kind == "bool":
            self.error("The ~ operator can not be used on 'bool'", node.span, ["! is the opposite"])
        type = self._operand(type, operand)
        if type_is_int(operand.const):
            node.const = -operand.const if op == "-" else ~operand.const
            if node.const < -(1 << 63):
                self.error("This number does not fit 64 bits", node.span)
            if _is_literal(operand):
                return T.literal_int(node.const)
            node.const = node.const if type.signed else node.const & _U64
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
            if type.elem is None and type.extra is T.NUMBER:
                return T.UINT64
            if type.elem is None:
                self.error("Can not dereference a void pointer: cast it first", node.span)
                return T.UNKNOWN
            elem: Type = type.elem
            if elem.kind == "struct" and not elem.size:
                self.error(f"Unknown type: '{T.name(elem)}' is not defined", node.span)
                return T.UNKNOWN
            told = elem.kind == "ptr" and elem.space == T.KERNEL and type.space in (T.USER, T.NOSPACE)
            return elem._replace(space=type.space) if told or elem.kind == "struct" else elem
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
        if op in "/%" and b.const == 0 and not isinstance(b.const, bytes):
            self.error("Division by zero", span)
        if op in "/%" and self.final:
            if (x.signed and _says_signed(a)) or (y.signed and _says_signed(b)):
                self.warn(f"signed operands for '{op}' can lead to undefined behavior", span,
                          ["they are taken as unsigned: a negative value gives a huge result"])  # fmt: skip
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
        if node.op in ("<<", ">>") and b > 63:
            self.error(f"Shift overflow: a number has 64 bits, which {b} would shift out", node.op_span)
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
        if _is_literal(node.left) and _is_literal(node.right):
            return T.literal_int(result)
        assert node.left.type is not None and node.right.type is not None
        type = self.arithmetic(node.op, node.left.type, node.right.type, node.left, node.right, node.op_span)
        if not T.holds(type, result):
            node.const = result & _U64 if not type.signed else result - (1 << 64)
        return type

    def _logical(self, node: ast.Binary, left: Type, right: Type) -> Type:
        for type, side in ((left, node.left), (right, node.right)):
            if not self.is_condition(type, side):
                self.error(f"The {node.op} operator can not be used on expressions of type '{T.name(type)}'", side.span)
        a, b = node.left.const, node.right.const
        if a is not None and b is not None:
            node.const = bool(a and b) if node.op == "&&" else bool(a or b)
        return T.BOOL

    def _compare(self, node: ast.Binary, left: Type, right: Type) -> Type:
        a, b = node.left.const, node.right.const
        if isinstance(node.left, ast.TypeInfo) and isinstance(node.right, ast.TypeInfo) and node.op in ("==", "!="):
            from cygnet.lang.trace.check.addresses import same_type

            node.const = same_type(node.left, node.right) == (node.op == "==")
            return T.BOOL
        if a is not None and b is not None and isinstance(a, bytes) == isinstance(b, bytes):
            node.const = _COMPARISONS[node.op](a, b)
            return T.BOOL
        kinds = {left.kind, right.kind}
        if left.kind in T.NUMERIC | {"agg"} and right.kind in T.NUMERIC | {"agg"}:
            for type, side in ((left, node.left), (right, node.right)):
                self._operand(type, side)
            ordered = node.op not in ("==", "!=")  # args.pid == cpid is what everybody writes
            if self.final and ordered and left.kind == right.kind == "int" and left.signed != right.signed:
                signed = node.left if left.signed else node.right
                if not flexible(signed):
                    names = f"'{T.name(left)}' and '{T.name(right)}'"
                    told = f"comparison of integers of different signs: {names} can lead to undefined behavior"
                    self.warn(told, node.op_span)
            return T.BOOL
        if kinds <= {"ptr", "int", "bool", "enum"} or kinds <= {"ksym", "int", "ptr"}:
            if left.kind == right.kind == "ptr":
                self._warn_spaces(node, left, right)
            return T.BOOL
        equality = node.op in ("==", "!=")
        if left.kind == right.kind and equality:
            if left.kind in _EQUALS:
                return T.BOOL
            if left.kind == "array" and left.length == right.length and left.elem.size == right.elem.size:
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
            self._warn_spaces(node, left, right)
            return T.INT64
        hints = ["cast the pointer to uint64"] if {left.kind, right.kind} <= {"ptr", *T.NUMERIC} else []
        self.error(f"The {op} operator can not be used on '{T.name(left)}' and '{T.name(right)}'", node.op_span, hints)
        return T.UNKNOWN

    def _warn_spaces(self, node: ast.Binary, left: Type, right: Type) -> None:
        """Two pointers that meet should be of one kind and point into one memory."""
        spaces = {left.space or T.NOSPACE, right.space or T.NOSPACE} - {T.NOSPACE, T.CTX, T.DIRECT}
        if not self.final:
            return
        if spaces == {T.KERNEL, T.USER}:
            self.warn("the pointers belong to different address spaces: kernel and user", node.op_span,
                      ["kptr() and uptr() say where a pointer points"])  # fmt: skip
        elif left.elem is not None and right.elem is not None and T.name(left) != T.name(right):
            self.warn(
                f"comparison of pointers of different types: '{T.name(left)}' and '{T.name(right)}'", node.op_span
            )

    def warn_pointers(self, known: Type, given: Type, value: ast.Expr) -> None:
        """A name that held a pointer to another type. One whose type is not said (void, a number's address) fits all."""
        if known.elem is not None and given.elem is not None and T.name(known) != T.name(given):
            self.warn(
                f"the pointers are of different types: '{T.name(given)}' here, '{T.name(known)}' before", value.span
            )

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
        merged = together(node.then or node.cond, node.orelse, then_type, else_type)
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
        then_type = self.block(node.then, statement=statement)
        else_type = T.NONE if node.orelse is None else self._branch(node.orelse, statement)
        if statement:
            return T.NONE
        merged = together(node.then.value, value_of(node.orelse), then_type, else_type)
        if merged is None:
            self.error(f"The branches give different types: '{T.name(then_type)}' and '{T.name(else_type)}'", node.span)
            return T.UNKNOWN
        return merged

    def _branch(self, node: ast.Block | ast.IfExpr, statement: bool) -> Type:
        if isinstance(node, ast.IfExpr):
            node.type = self._if(node, statement=statement)
            return node.type  # type: ignore[no-any-return]
        return self.block(node, statement=statement)

    def expr_BlockExpr(self, node: ast.BlockExpr) -> Type:
        type: Type = self.block(node.block)
        last = node.block.value
        node.const = last.const if last is not None and not node.block.stmts else None  # { 5 } is 5
        return type

    def expr_Comptime(self, node: ast.Comptime) -> Type:
        type = self.value(node.operand)
        node.const = node.operand.const
        if node.const is None and type.kind != "unknown" and not isinstance(node.operand, ast.TypeInfo):
            self.error("Unable to evaluate at compile time", node.span)
        return type

    def expr_AddressOf(self, node: ast.AddressOf) -> Type:
        from cygnet.lang.trace.check.addresses import check_address

        return check_address(self.whole, node)


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}
