"""Statements and blocks; after an error the parse goes on with the next statement."""

from __future__ import annotations

from cygnet.errors import TraceSyntaxError
from cygnet.lang.trace.ast import (
    Assign,
    Block,
    BlockExpr,
    Break,
    Continue,
    Discard,
    Expr,
    ExprStmt,
    ForMap,
    ForRange,
    Ident,
    If,
    IfExpr,
    Import,
    Let,
    MapRef,
    Return,
    Stmt,
    Unroll,
    Var,
    While,
)
from cygnet.lang.trace.literals import string_value
from cygnet.lang.trace.parser_base import MAX_DEPTH
from cygnet.lang.trace.parser_expr import ExprParser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ASSIGNMENTS = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="))
_WITH_BLOCK = frozenset(("if", "while", "for", "unroll"))  # statements that end with the } of a block
_FOR_HINT = ("loops are `for ($i : 0..10) { … }` over numbers and `for ($kv : @map) { … }` over a map",)
_WORD_HINTS = {
    "elif": "write `else if`",
    "elsif": "write `else if`",
    "do": "there is `while (…) { … }` only",
    "switch": "write `if … else if …`",
    "foreach": _FOR_HINT[0],
    "var": "a variable is declared by `let $x`, or by its first assignment",
}


class StmtParser(ExprParser):
    __slots__ = ("_statements",)
    _statements: dict[str, Callable[[bool], Stmt | Expr]]

    def prepare(self) -> None:
        super().prepare()
        self._statements = {
            "if": self.s_if,
            "{": self.s_block,
            "while": self.s_while,
            "for": self.s_for,
            "unroll": self.s_unroll,
            "let": self.s_let,
            "return": self.s_return,
            "break": self.s_jump,
            "continue": self.s_jump,
            "import": self.s_import,
        }

    # ------------------------------------------------------------------------------------------------------- blocks

    def block(self, wanted: bool) -> Block:
        """``{ … }``. If its value is `wanted`, a last expression without ``;`` is that, not a statement."""
        start = self.starts[self.take("{", "`{`")]
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.too_deep()
        depth = self.depth
        kinds = self.kinds
        stmts: list[Stmt] = []
        value: Expr | None = None
        while True:
            kind = kinds[self.at]
            if kind == ";":
                self.at += 1
            elif kind == "}":
                self.at += 1
                break
            elif kind == "END":
                self.fail("`}`", self._opened_hint(start))
            else:
                first = self.at
                try:
                    stmt = self._statements.get(kind, self.s_expr)(wanted)
                    if isinstance(stmt, Stmt):
                        stmts.append(stmt)
                    elif kinds[self.at] == "}":
                        value = stmt
                    else:
                        stmts.append(ExprStmt(stmt.span, stmt))
                    self._end_statement(first)
                except TraceSyntaxError as error:
                    self.note(error)
                    self.depth = depth
                    self._recover(kind not in _WITH_BLOCK)
        self.depth -= 1
        return Block(self.since(start), stmts, value)

    def _opened_hint(self, start: int) -> tuple[str, ...]:
        line, column = self.source.line_col(start)
        return (f"the block that begins at line {line}, column {column} is not closed",)

    def _end_statement(self, first: int) -> None:
        """Over the ``;``, which may be left out before and after ``}``."""
        kind = self.kinds[self.at]
        if kind == ";":
            self.at += 1
        elif kind != "}" and self.kinds[self.at - 1] != "}":
            self._fail_end(kind, first)

    def _fail_end(self, kind: str, first: int) -> None:
        """`first` is the statement's first token."""
        if self.kinds[first] == "IDENT" and self.word(first) in _WORD_HINTS:
            hint = _WORD_HINTS[self.word(first)]
        elif kind == ":":
            hint = "is this a probe, and a `}` missing before it?"
        elif kind in _ASSIGNMENTS:
            hint = "only a variable, a map or a map element can be assigned to"
        elif kind in ("IDENT", "VAR", "MAP") or kind in self._statements:
            hint = "statements are divided by `;`"
        else:
            hint = ""
        self.fail("`;` or `}`", (hint,) if hint else ())

    def _recover(self, semicolon_ends: bool) -> None:
        """Skip to the start of the next statement, or to the ``}`` of the block."""
        kinds = self.kinds
        level = 0
        while True:
            kind = kinds[self.at]
            if kind == "END":
                return
            if kind == "{":
                level += 1
            elif kind == "}":
                if level == 0:
                    return
                level -= 1
                if level == 0 and kinds[self.at + 1] != "else":
                    self.at += 1
                    return
            elif kind == ";" and level == 0 and semicolon_ends:
                self.at += 1
                return
            self.at += 1

    # -------------------------------------------------------------------------------------- expressions, assignment

    def s_expr(self, wanted: bool) -> Stmt | Expr:
        at = self.at
        kinds = self.kinds
        start = self.starts[at]
        if kinds[at] == "else":
            self.fail("a statement", ("`else` follows the `}` of an `if`",))
        target = self.expr()
        op = kinds[self.at]
        if op not in _ASSIGNMENTS:
            return target if wanted else ExprStmt(target.span, target)
        self.at += 1
        if isinstance(target, Ident) and target.name == "_" and op == "=":
            value = self.expr()
            return Discard(self.since(start), value)
        self.check_place(target, f"`{op}`")
        value = self.expr()
        return Assign(self.since(start), target, op, value)

    def s_let(self, wanted: bool) -> Stmt:
        start = self.starts[self.at]
        self.at += 1
        if self.kinds[self.at] == "MAP":
            self.fail("a variable", ("a map is declared outside of all probes",))
        at = self.take("VAR", "a variable")
        target = value = None
        if self.kinds[self.at] == ":":
            self.at += 1
            target = self.type_name()
        if self.kinds[self.at] == "=":
            self.at += 1
            value = self.expr()
        return Let(self.since(start), Var(self.span(at), self.word(at)), target, value)

    def s_return(self, wanted: bool) -> Stmt:
        start = self.starts[self.at]
        self.at += 1
        value = None if self.kinds[self.at] in (";", "}") else self.expr()
        return Return(self.since(start), value)

    def s_jump(self, wanted: bool) -> Stmt:
        at = self.at
        self.at = at + 1
        return Break(self.span(at)) if self.kinds[at] == "break" else Continue(self.span(at))

    def s_import(self, wanted: bool) -> Import:
        start = self.starts[self.at]
        self.at += 1
        at = self.take("STR", "a path in quotation marks")
        return Import(self.since(start), string_value(self.source, self.starts[at], self.ends[at]))

    # --------------------------------------------------------------------------------------------- blocks and loops

    def s_block(self, wanted: bool) -> Stmt | Expr:
        block = self.block(wanted)
        if wanted and block.value is not None and self.kinds[self.at] == "}":
            return BlockExpr(block.span, block)
        return _as_statements(block)

    def s_while(self, wanted: bool) -> Stmt:
        start = self.starts[self.at]
        self.at += 1
        cond = self._condition()
        body = self.block(False)
        return While(self.since(start), cond, body)

    def s_unroll(self, wanted: bool) -> Stmt:
        start = self.starts[self.at]
        self.at += 1
        count = self._condition()
        body = self.block(False)
        return Unroll(self.since(start), count, body)

    def _condition(self) -> Expr:
        """Of if, while, unroll: the parentheses may be left out."""
        cond = self.expr()
        if self.kinds[self.at] != "{":
            hints: tuple[str, ...] = ()
            if self.kinds[self.at] in _ASSIGNMENTS:
                hints = ("`==` compares; an assignment is a statement of its own",)
            self.fail("`{`", hints)
        return cond

    def s_for(self, wanted: bool) -> Stmt:
        start = self.starts[self.at]
        self.at += 1
        closing = self.kinds[self.at] == "("
        self.at += closing
        at = self.take("VAR", "a variable", _FOR_HINT)
        self.take(":", "`:`", _FOR_HINT)
        var = Var(self.span(at), self.word(at))
        first = self.binary()
        stop = None
        if self.kinds[self.at] == "..":
            self.at += 1
            stop = self.binary()
        elif not isinstance(first, MapRef):
            self.fail("`..` and the end of the range", _FOR_HINT)
        if closing:
            self.take(")")
        body = self.block(False)
        if isinstance(first, MapRef) and stop is None:
            return ForMap(self.since(start), var, first, body)
        assert stop is not None
        return ForRange(self.since(start), var, first, stop, body)

    # ----------------------------------------------------------------------------------------------------------- if

    def s_if(self, wanted: bool) -> Stmt | Expr:
        arms, orelse, starts = self._if_chain(wanted)
        if wanted and self.kinds[self.at] == "}" and _has_values(arms, orelse):
            return self._build_expr(arms, orelse, starts)
        for _, block in arms:
            _as_statements(block)
        result: Block | If | None = _as_statements(orelse) if orelse else None
        for (cond, then), start in zip(reversed(arms), reversed(starts)):
            result = If(self.since(start), cond, then, result)
        assert result is not None
        return result

    def if_expr(self) -> IfExpr:
        """An `if` in the midst of an expression."""
        at = self.at
        arms, orelse, starts = self._if_chain(True)
        if orelse is None:
            raise TraceSyntaxError("an `if` without `else` has no value", self.span(at))
        return self._build_expr(arms, orelse, starts)

    def _build_expr(self, arms: list[tuple[Expr, Block]], orelse: Block | None, starts: list[int]) -> IfExpr:
        result: Block | IfExpr | None = orelse
        for (cond, then), start in zip(reversed(arms), reversed(starts)):
            result = IfExpr(self.since(start), cond, then, result)
        assert isinstance(result, IfExpr)
        return result

    def _if_chain(self, wanted: bool) -> tuple[list[tuple[Expr, Block]], Block | None, list[int]]:
        """``if … else if … else``: conditions with their blocks, the last block, and where each `if` begins."""
        arms: list[tuple[Expr, Block]] = []
        starts: list[int] = []
        kinds = self.kinds
        while True:
            starts.append(self.starts[self.at])
            self.at += 1
            cond = self._condition()
            arms.append((cond, self.block(wanted)))
            if kinds[self.at] != "else":
                return arms, None, starts
            self.at += 1
            if kinds[self.at] != "if":
                break
        return arms, self.block(wanted), starts


def _has_values(arms: list[tuple[Expr, Block]], orelse: Block | None) -> bool:
    return orelse is not None and orelse.value is not None and all(block.value is not None for _, block in arms)


def _as_statements(block: Block) -> Block:
    """Make the value of a block, and of those at its end, a statement: nothing takes it."""
    outer = block
    while block.value is not None:
        value = block.value
        block.value = None
        if isinstance(value, BlockExpr):
            block.stmts.append(value.block)
            block = value.block
        elif isinstance(value, IfExpr):
            block.stmts.append(_if_statement(value))
        else:
            block.stmts.append(ExprStmt(value.span, value))
    return outer


def _if_statement(value: IfExpr) -> If:
    chain = [value]
    while isinstance(chain[-1].orelse, IfExpr):
        chain.append(chain[-1].orelse)
    last = chain[-1].orelse
    result: Block | If | None = _as_statements(last) if isinstance(last, Block) else None
    for part in reversed(chain):
        result = If(part.span, part.cond, _as_statements(part.then), result)
    assert isinstance(result, If)
    return result
