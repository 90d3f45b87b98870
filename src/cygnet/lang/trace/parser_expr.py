"""Expressions. Operators wait on a stack and prefixes in a list, so that only brackets nest in Python's own stack."""

from __future__ import annotations

from cygnet.errors import TraceSyntaxError
from cygnet.lang.trace.ast import (
    AddressOf,
    Binary,
    Block,
    BlockExpr,
    BoolLit,
    Call,
    Cast,
    Comptime,
    Expr,
    Field,
    Ident,
    IfExpr,
    Index,
    IntLit,
    MapIndex,
    MapRef,
    OffsetOf,
    Positional,
    RecordExpr,
    SizeOf,
    StrLit,
    Ternary,
    TupleExpr,
    TupleIndex,
    TypeInfo,
    TypeName,
    Unary,
    Var,
)
from cygnet.lang.trace.literals import string_value
from cygnet.lang.trace.parser_base import LONG_RUN, MAX_CHAIN, MAX_DEPTH
from cygnet.lang.trace.parser_type import TypeParser
from cygnet.source import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

PRECEDENCE = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, ">": 7, "<=": 7, ">=": 7,
    "<<": 8, ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10,
}  # fmt: skip
_PREFIXES = frozenset(("-", "!", "~", "*", "&", "++", "--"))
_BALANCED_FROM = 64  # operands of a chain of && or ||; below, the tree leans left like any other
_EXPRESSION = "an expression"


class ExprParser(TypeParser):
    __slots__ = ("_primaries",)
    _primaries: dict[str, Callable[[], Expr]]

    def block(self, wanted: bool) -> Block:
        """``{ … }``; `StmtParser` gives it."""
        raise NotImplementedError

    def if_expr(self) -> IfExpr:
        raise NotImplementedError

    def prepare(self) -> None:
        self._primaries = {
            "IDENT": self.p_ident,
            "INT": self.p_int,
            "STR": self.p_str,
            "VAR": self.p_var,
            "MAP": self.p_map,
            "PARAM": self.p_param,
            "(": self.p_paren,
            "{": self.p_block,
            "if": self.if_expr,
            "true": self.p_bool,
            "false": self.p_bool,
            "sizeof": self.p_sizeof,
            "offsetof": self.p_offsetof,
            "typeinfo": self.p_typeinfo,
            "typeof": self.type_name,
            "comptime": self.p_comptime,
            "config": self.p_ident,
        }

    # ------------------------------------------------------------------------------------------- ternary and binary

    def expr(self) -> Expr:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.too_deep()
        result = self.binary()
        if self.kinds[self.at] == "?":
            result = self._ternary(result)
        self.depth -= 1
        return result

    type_expr = expr

    def _ternary(self, cond: Expr) -> Expr:
        """From ``?`` on. A chain ``a ? b : c ? d : e`` is read by a loop and put together from its end."""
        arms: list[tuple[Expr, Expr | None]] = []
        while self.kinds[self.at] == "?":
            self.at += 1
            then = None if self.kinds[self.at] == ":" else self.expr()
            self.take(":", "`:` of the conditional expression")
            arms.append((cond, then))
            cond = self.binary()
        self._check_run(len(arms))
        result = cond
        for cond, then in reversed(arms):
            result = Ternary(self.since(cond.span.start), cond, then, result)
        return result

    def binary(self) -> Expr:
        """Everything that binds tighter than ``?:``."""
        left = self.unary()
        kinds = self.kinds
        precedence = PRECEDENCE.get(kinds[self.at])
        if precedence is None:
            return left
        operands = [left]
        pending: list[tuple[int, int]] = []  # precedence and token index of the operators that wait
        count = 1
        while precedence is not None:
            while pending and pending[-1][0] >= precedence:
                self._reduce(operands, pending)
            pending.append((precedence, self.at))
            self.at += 1
            operands.append(self.unary())
            precedence = PRECEDENCE.get(kinds[self.at])
            count += 1
        while pending:
            self._reduce(operands, pending)
        if count > _BALANCED_FROM:
            return self._long(operands[0], count)
        return operands[0]

    def _reduce(self, operands: list[Expr], pending: list[tuple[int, int]]) -> None:
        at = pending.pop()[1]
        right = operands.pop()
        left = operands[-1]
        span = left.span.to(right.span)
        operands[-1] = Binary(span, self.kinds[at], left, right, self.span(at))

    def _check_run(self, length: int) -> None:
        """A run of prefixes, postfixes or arms, which makes the tree as much higher."""
        if length > LONG_RUN:
            self.steep = True
            if self.depth + length > MAX_DEPTH:
                self.too_deep()

    def _long(self, tree: Expr, count: int) -> Expr:
        """A chain of many operands: one of && or || becomes as shallow as can be, since generated scripts have such."""
        if count > MAX_CHAIN:
            raise TraceSyntaxError(f"an expression of more than {MAX_CHAIN} operands", tree.span)
        if not isinstance(tree, Binary) or tree.op not in ("&&", "||"):
            return tree
        op = tree.op
        operands: list[Expr] = []
        left: Expr = tree
        while isinstance(left, Binary) and left.op == op:
            operands.append(left.right)
            left = left.left
        operands.append(left)
        operands.reverse()
        while len(operands) > 1:
            pairs = [Binary(a.span.to(b.span), op, a, b) for a, b in zip(operands[::2], operands[1::2])]
            operands = pairs + operands[len(pairs) * 2 :]
        return operands[0]

    # ------------------------------------------------------------------------------------------- prefix and postfix

    def unary(self) -> Expr:
        kinds = self.kinds
        kind = kinds[self.at]
        if kind not in _PREFIXES and kind != "(":
            return self.postfix()
        prefixes: list[tuple[int, TypeName | None]] = []  # token index, and the type of a cast
        while True:
            at = self.at
            kind = kinds[at]
            if kind in _PREFIXES:
                self.at += 1
                prefixes.append((at, None))
            elif kind == "(" and self.cast_ahead():
                self.at += 1
                target = self.type_name()
                self.take(")")
                prefixes.append((at, target))
            else:
                break
            self._check_run(len(prefixes))
        result = self.postfix()
        for at, cast_to in reversed(prefixes):
            result = self._prefixed(at, cast_to, result)
        return result

    def _prefixed(self, at: int, target: TypeName | None, operand: Expr) -> Expr:
        span = Span(self.source, self.starts[at], operand.span.end)
        if target is not None:
            return Cast(span, target, operand)
        op = self.kinds[at]
        if op == "&":
            return AddressOf(span, operand)
        if op == "++" or op == "--":
            self.check_place(operand, f"`{op}`")
        return Unary(span, op, operand)

    def check_place(self, target: Expr, operator: str) -> None:
        """Only variables and maps can be written to."""
        if not isinstance(target, (Var, MapRef, MapIndex)):
            hints = (
                ("structs, arrays and tuples are read only",) if isinstance(target, (Field, Index, TupleIndex)) else ()
            )
            raise TraceSyntaxError(f"{operator} needs a variable, a map or a map element", target.span, hints)

    def postfix(self) -> Expr:
        kinds = self.kinds
        primary = self._primaries.get(kinds[self.at])
        if primary is None:
            self.fail_expression()
        result = primary()
        links = 0
        while True:
            kind = kinds[self.at]
            if kind == "." or kind == "->":
                result = self._member(result, kind)
            elif kind == "[":
                result = self._index(result)
            elif kind == "++" or kind == "--":
                self.check_place(result, f"`{kind}`")
                self.at += 1
                result = Unary(self.since(result.span.start), kind, result, True)
            else:
                return result
            links += 1
            if links > LONG_RUN:
                self._check_run(links)

    def _member(self, operand: Expr, kind: str) -> Expr:
        self.at += 1
        at = self.at
        if self.kinds[at] == "INT" and kind == ".":
            self.at += 1
            index = self.int_value(at)
            return TupleIndex(self.since(operand.span.start), operand, index)
        self.name("the name of a field" if kind == "->" else "the name of a field or the number of an element")
        return Field(self.since(operand.span.start), operand, self.word(at), self.span(at))

    def _index(self, operand: Expr) -> Expr:
        self.at += 1
        is_map = isinstance(operand, MapRef)
        keys = [self.expr()]
        while is_map and self.kinds[self.at] == ",":
            self.at += 1
            keys.append(self.expr())
        self.take("]", "`,` or `]`" if is_map else "`]`")
        span = self.since(operand.span.start)
        if isinstance(operand, MapRef):
            return MapIndex(span, operand, tuple(keys))
        return Index(span, operand, keys[0])

    # ---------------------------------------------------------------------------------------------------- primaries

    def fail_expression(self) -> NoReturn:
        kind = self.kinds[self.at]
        hints: tuple[str, ...] = ()
        if kind == "=" and self.at and self.kinds[self.at - 1] in ("=", "!", "<", ">"):
            hints = ("an operator such as == or <= is written without a blank inside",)
        elif kind == "+":
            hints = ("there is no unary +",)
        elif kind == "/":
            hints = ("a probe has one predicate: /a && b/",)
        elif kind == "END/":
            hints = ("a predicate is one expression between slashes: /pid == 123/",)
        self.fail(_EXPRESSION, hints)

    def p_ident(self) -> Expr:
        at = self.at
        self.at = at + 1
        if self.kinds[at + 1] != "(":
            return Ident(self.span(at), self.word(at))
        args = self.arguments()
        return Call(self.since(self.starts[at]), self.word(at), args, self.span(at))

    def arguments(self) -> tuple[Expr, ...]:
        """``(a, b)``, from the opening parenthesis on."""
        self.at += 1
        if self.kinds[self.at] == ")":
            self.at += 1
            return ()
        args = [self._argument()]
        while self.kinds[self.at] == ",":
            self.at += 1
            args.append(self._argument())
        self.take(")", "`,` or `)`", self._equals_hint())
        return tuple(args)

    def _argument(self) -> Expr:
        kind = self.kinds[self.at]
        if kind == "struct" or kind == "union" or kind == "enum":
            return self.type_name()
        if kind == "IDENT" and self.word(self.at) in ("const", "volatile"):
            return self.type_name()
        return self.expr()

    def _equals_hint(self) -> tuple[str, ...]:
        if self.kinds[self.at] == "=":
            return ("an assignment is a statement of its own; `==` compares",)
        return ()

    def p_int(self) -> Expr:
        at = self.at
        self.at = at + 1
        return IntLit(self.span(at), self.int_value(at), self.word(at))

    def p_str(self) -> Expr:
        at = self.at
        self.at = at + 1
        return StrLit(self.span(at), string_value(self.source, self.starts[at], self.ends[at]))

    def p_var(self) -> Expr:
        at = self.at
        self.at = at + 1
        return Var(self.span(at), self.word(at))

    def p_map(self) -> Expr:
        at = self.at
        self.at = at + 1
        return MapRef(self.span(at), self.word(at))

    def p_bool(self) -> Expr:
        at = self.at
        self.at = at + 1
        return BoolLit(self.span(at), self.kinds[at] == "true")

    def p_param(self) -> Expr:
        at = self.at
        self.at = at + 1
        digits = self.word(at)[1:]
        if digits == "#":
            return Positional(self.span(at), 0)
        if not digits.isdigit() or int(digits) == 0 or len(digits) > 9:
            hints = ("script parameters are $1, $2 … and their number is $#",)
            raise TraceSyntaxError(f"`${digits}` is not a parameter", self.span(at), hints)
        return Positional(self.span(at), int(digits))

    def p_paren(self) -> Expr:
        """A parenthesised expression, a tuple or a record."""
        at = self.at
        self.at = at + 1
        kinds = self.kinds
        if kinds[at + 1] == ")":
            self.at += 1
            return TupleExpr(self.since(self.starts[at]), ())
        if kinds[at + 1] == "IDENT" and kinds[at + 2] == "=":
            return self._record(at)
        inner = self.expr()
        if kinds[self.at] != ",":
            self.take(")", "`)`", self._equals_hint())
            # The span takes in the parentheses, so that a caret under a part of a longer expression looks right.
            inner.span = self.since(self.starts[at])
            return inner
        items = [inner]
        while kinds[self.at] == ",":
            self.at += 1
            if kinds[self.at] == ")":
                break
            items.append(self.expr())
        self.take(")", "`,` or `)`")
        return TupleExpr(self.since(self.starts[at]), tuple(items))

    def _record(self, at: int) -> Expr:
        names: list[str] = []
        values: list[Expr] = []
        while True:
            names.append(self.word(self.name("the name of a field")))
            self.take("=", "`=`", ("in a record either all fields have names or none has",))
            values.append(self.expr())
            if self.kinds[self.at] != ",":
                break
            self.at += 1
            if self.kinds[self.at] == ")":
                break
        self.take(")", "`,` or `)`")
        return RecordExpr(self.since(self.starts[at]), tuple(names), tuple(values))

    def p_block(self) -> Expr:
        block = self.block(True)
        return BlockExpr(block.span, block)

    def p_sizeof(self) -> Expr:
        start = self.starts[self.at]
        arg = self._parenthesised_type()
        return SizeOf(self.since(start), arg)

    def p_typeinfo(self) -> Expr:
        start = self.starts[self.at]
        arg = self._parenthesised_type()
        return TypeInfo(self.since(start), arg)

    def _parenthesised_type(self) -> Expr:
        self.at += 1
        self.take("(")
        self.deepen()
        arg = self.type_or_expr()
        self.depth -= 1
        self.take(")")
        return arg

    def p_offsetof(self) -> Expr:
        start = self.starts[self.at]
        self.at += 1
        self.take("(")
        self.deepen()
        arg = self.type_or_expr()
        self.depth -= 1
        self.take(",")
        path = [self.word(self.name("the name of a field"))]
        while self.kinds[self.at] == ".":
            self.at += 1
            path.append(self.word(self.name("the name of a field")))
        self.take(")", "`.` or `)`")
        return OffsetOf(self.since(start), arg, tuple(path))

    def p_comptime(self) -> Expr:
        """It takes in all that follows, as ``return`` does: ``comptime 1 + 2`` is ``comptime (1 + 2)``."""
        start = self.starts[self.at]
        self.at += 1
        operand = self.expr()
        return Comptime(self.since(start), operand)
