"""Syntax tree to text. Reading the text again gives the same tree (`ast.same`).

Parentheses stand only where the tree needs them, one statement a line, two blanks a level.
"""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace.ast import (
    AttachPart,
    Binary,
    Block,
    BlockExpr,
    CDefine,
    CDirective,
    CType,
    Expr,
    Fn,
    Ident,
    If,
    IfExpr,
    Node,
    Probe,
    Program,
    Stmt,
    TypeName,
)
from cygnet.lang.trace.literals import quote
from cygnet.lang.trace.parser_expr import PRECEDENCE
from cygnet.lang.trace.parser_type import TYPE_WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# How tightly an expression binds: PRECEDENCE for binary operators, these for the others.
_ANY, _BINARY, _PREFIX, _POSTFIX = 0, 1, 11, 12
_LOOSE = (ast.Ternary, ast.Comptime, BlockExpr, IfExpr)
_UNSAFE = frozenset(',{}; \t\n\r\f\v"')


def to_text(node: Node) -> str:
    """The text of any node; of a program, with a newline at its end."""
    return Printer().text(node)


class Printer:
    __slots__ = ("_exprs", "_indent", "_others", "_stmts")

    def __init__(self) -> None:
        self._indent = ""
        self._exprs: dict[type[Node], Callable[..., str]] = ast.handlers(self, "e_")
        self._stmts: dict[type[Node], Callable[..., str]] = ast.handlers(self, "s_")
        self._others: dict[type[Node], Callable[..., str]] = ast.handlers(self, "n_")

    def text(self, node: Node) -> str:
        if isinstance(node, Expr):
            return self.expr(node)
        return (self._stmts.get(type(node)) or self._others[type(node)])(node)

    # ----------------------------------------------------------------------------------------------- expressions

    def expr(self, node: Expr, tightness: int = _ANY) -> str:
        """`node` as an operand of something that binds as tightly as that."""
        text = self._exprs[type(node)](node)
        return f"({text})" if _tightness(node) < tightness else text

    def _list(self, nodes: tuple[Expr, ...]) -> str:
        return ", ".join(map(self.expr, nodes))

    def e_IntLit(self, node: ast.IntLit) -> str:
        return node.text or str(node.value)

    def e_StrLit(self, node: ast.StrLit) -> str:
        return quote(node.value)

    def e_BoolLit(self, node: ast.BoolLit) -> str:
        return "true" if node.value else "false"

    def e_Ident(self, node: Ident) -> str:
        return node.name

    def e_Var(self, node: ast.Var) -> str:
        return node.name

    def e_MapRef(self, node: ast.MapRef) -> str:
        return node.name

    def e_MapIndex(self, node: ast.MapIndex) -> str:
        return f"{node.map.name}[{self._list(node.keys)}]"

    def e_Positional(self, node: ast.Positional) -> str:
        return f"${node.number}" if node.number else "$#"

    def e_TypeName(self, node: TypeName) -> str:
        base = f"typeof({self.expr(node.of)})" if node.of else f"{node.keyword} {node.base}".lstrip()
        stars = " " + "*" * node.pointers if node.pointers else ""
        return base + stars + "".join(f"[{'' if dim is None else dim}]" for dim in node.dims)

    def e_Unary(self, node: ast.Unary) -> str:
        if node.postfix:
            return self.expr(node.operand, _POSTFIX) + node.op
        return self._prefixed(node.op, node.operand)

    def e_AddressOf(self, node: ast.AddressOf) -> str:
        return self._prefixed("&", node.operand)

    def _prefixed(self, op: str, operand: Expr) -> str:
        text = self.expr(operand, _PREFIX)
        return f"{op} {text}" if text[0] == op[-1] else op + text

    def e_Binary(self, node: Binary) -> str:
        """The left spine by a loop: a chain may be thousands long."""
        tail: list[str] = []
        left: Expr = node
        need = 0
        while isinstance(left, Binary) and PRECEDENCE[left.op] >= need:
            need = PRECEDENCE[left.op]
            tail.append(f" {left.op} {self.expr(left.right, need + 1)}")
            left = left.left
        tail.append(self.expr(left, need))
        tail.reverse()
        return "".join(tail)

    def e_Ternary(self, node: ast.Ternary) -> str:
        cond = self.expr(node.cond, _BINARY)
        orelse = self.expr(node.orelse)
        return f"{cond} ?: {orelse}" if node.then is None else f"{cond} ? {self.expr(node.then)} : {orelse}"

    def e_Field(self, node: ast.Field) -> str:
        return f"{self.expr(node.operand, _POSTFIX)}.{node.name}"

    def e_TupleIndex(self, node: ast.TupleIndex) -> str:
        return f"{self.expr(node.operand, _POSTFIX)}.{node.index}"

    def e_Index(self, node: ast.Index) -> str:
        return f"{self.expr(node.operand, _POSTFIX)}[{self.expr(node.index)}]"

    def e_Cast(self, node: ast.Cast) -> str:
        text = self.expr(node.operand, _PREFIX)
        # After the bare name of a type these would be taken for a binary operator.
        if text[0] in "-&*+" and not _surely_type(node.target):
            text = f"({text})"
        return f"({self.e_TypeName(node.target)}){text}"

    def e_Call(self, node: ast.Call) -> str:
        return f"{node.name}({self._list(node.args)})"

    def e_SizeOf(self, node: ast.SizeOf) -> str:
        return f"sizeof({self.expr(node.arg)})"

    def e_OffsetOf(self, node: ast.OffsetOf) -> str:
        return f"offsetof({self.expr(node.arg)}, {'.'.join(node.path)})"

    def e_TypeInfo(self, node: ast.TypeInfo) -> str:
        return f"typeinfo({self.expr(node.arg)})"

    def e_TupleExpr(self, node: ast.TupleExpr) -> str:
        return f"({self._list(node.items)}{',' if len(node.items) == 1 else ''})"

    def e_RecordExpr(self, node: ast.RecordExpr) -> str:
        fields = (f"{name} = {self.expr(value)}" for name, value in zip(node.names, node.values))
        return f"({', '.join(fields)})"

    def e_IfExpr(self, node: IfExpr) -> str:
        return self._if(node)

    def e_BlockExpr(self, node: BlockExpr) -> str:
        return self.s_Block(node.block)

    def e_Comptime(self, node: ast.Comptime) -> str:
        return f"comptime {self.expr(node.operand)}"

    # ------------------------------------------------------------------------------------------------ statements

    def stmt(self, node: Stmt) -> str:
        return self._stmts[type(node)](node)

    def s_Block(self, node: Block) -> str:
        if not node.stmts and node.value is None:
            return "{ }"
        outer = self._indent
        self._indent = inner = outer + "  "
        lines = ["{"]
        for stmt in node.stmts:
            lines.append(inner + self.stmt(stmt))
        if node.value is not None:
            lines.append(inner + self._block_value(node.value))
        self._indent = outer
        lines.append(outer + "}")
        return "\n".join(lines)

    def _block_value(self, value: Expr) -> str:
        """Parenthesised where it would be read as a statement."""
        text = self.expr(value)
        return f"({text})" if isinstance(value, (IfExpr, BlockExpr)) and not _has_value(value) else text

    def s_ExprStmt(self, node: ast.ExprStmt) -> str:
        text = self.expr(node.expr)
        return f"({text});" if isinstance(node.expr, (IfExpr, BlockExpr)) else f"{text};"

    def s_Assign(self, node: ast.Assign) -> str:
        return f"{self.expr(node.target)} {node.op} {self.expr(node.value)};"

    def s_Discard(self, node: ast.Discard) -> str:
        return f"_ = {self.expr(node.value)};"

    def s_Let(self, node: ast.Let) -> str:
        target = f": {self.e_TypeName(node.target)}" if node.target else ""
        value = f" = {self.expr(node.value)}" if node.value else ""
        return f"let {node.var.name}{target}{value};"

    def s_If(self, node: If) -> str:
        return self._if(node)

    def _if(self, node: If | IfExpr) -> str:
        parts: list[str] = []
        rest: If | IfExpr | Block | None = node
        while isinstance(rest, (If, IfExpr)):
            parts.append(f"if ({self.expr(rest.cond)}) {self.s_Block(rest.then)}")
            rest = rest.orelse
        if rest is not None:
            parts.append(self.s_Block(rest))
        return " else ".join(parts)

    def s_While(self, node: ast.While) -> str:
        return f"while ({self.expr(node.cond)}) {self.s_Block(node.body)}"

    def s_Unroll(self, node: ast.Unroll) -> str:
        return f"unroll ({self.expr(node.count)}) {self.s_Block(node.body)}"

    def s_ForMap(self, node: ast.ForMap) -> str:
        return f"for ({node.var.name} : {node.map.name}) {self.s_Block(node.body)}"

    def s_ForRange(self, node: ast.ForRange) -> str:
        start, stop = self.expr(node.start, _BINARY), self.expr(node.stop, _BINARY)
        return f"for ({node.var.name} : {start}..{stop}) {self.s_Block(node.body)}"

    def s_Return(self, node: ast.Return) -> str:
        return f"return {self.expr(node.value)};" if node.value else "return;"

    def s_Break(self, node: ast.Break) -> str:
        return "break;"

    def s_Continue(self, node: ast.Continue) -> str:
        return "continue;"

    def s_Import(self, node: ast.Import) -> str:
        return f"import {quote(node.path)};"

    # ----------------------------------------------------------------------------------------------- definitions

    def n_CDirective(self, node: CDirective) -> str:
        return node.text

    def n_CDefine(self, node: CDefine) -> str:
        params = "" if node.params is None else f"({', '.join(node.params)})"
        return f"#define {node.name}{params} {node.body}".rstrip()

    def n_CType(self, node: CType) -> str:
        return node.text

    def n_Config(self, node: ast.Config) -> str:
        lines = [f"  {self.n_ConfigEntry(entry)}\n" for entry in node.entries]
        return f"config = {{\n{''.join(lines)}}}"

    def n_ConfigEntry(self, node: ast.ConfigEntry) -> str:
        return f"{node.key} = {self.expr(node.value)};"

    def n_MapDecl(self, node: ast.MapDecl) -> str:
        return f"let {node.map.name} = {node.kind}({self._list(node.args)});"

    def n_Macro(self, node: ast.Macro) -> str:
        return f"macro {node.name}({self._list(node.params)}) {self.s_Block(node.body)}"

    def n_Param(self, node: ast.Param) -> str:
        return f"{node.var.name}: {self.e_TypeName(node.target)}"

    def n_Fn(self, node: Fn) -> str:
        params = ", ".join(map(self.n_Param, node.params))
        result = f" : {self.e_TypeName(node.result)}" if node.result else ""
        return f"fn {node.name}({params}){result} {self.s_Block(node.body)}"

    def n_AttachPart(self, node: AttachPart) -> str:
        out: list[str] = []
        for piece in node.pieces:
            if not isinstance(piece, str):
                out.append(f"${piece}")
            elif node.quoted or not _UNSAFE.isdisjoint(piece):
                escaped = piece.replace("\\", "\\\\").replace('"', '\\"')
                out.append(f'"{escaped}"')
            else:
                out.append(piece)
        if node.quoted and not any(isinstance(piece, str) for piece in node.pieces):
            out.append('""')
        return "".join(out)

    def n_AttachPoint(self, node: ast.AttachPoint) -> str:
        return ":".join(map(self.n_AttachPart, node.parts))

    def n_Probe(self, node: Probe) -> str:
        name = f"{node.name} = " if node.name else ""
        points = ", ".join(map(self.n_AttachPoint, node.attach_points))
        predicate = f" /{self.expr(node.predicate)}/" if node.predicate else ""
        predicate = predicate.replace("/*", "/ *", 1) if predicate.startswith(" /*") else predicate  # no comment
        return f"{name}{points}{predicate} {self.s_Block(node.body)}"

    def n_Program(self, node: Program) -> str:
        head = [node.shebang] if node.shebang else []
        head += map(self.text, node.c_defs)
        groups = ["\n".join(head)] if head else []
        if node.config:
            groups.append(self.n_Config(node.config))
        if node.imports:
            groups.append("\n".join(map(self.s_Import, node.imports)))
        groups += map(self.text, node.items)
        return "\n\n".join(groups) + "\n" if groups else ""


def _tightness(node: Expr) -> int:
    if isinstance(node, Binary):
        return PRECEDENCE[node.op]
    if isinstance(node, _LOOSE):
        return _ANY
    if isinstance(node, (ast.AddressOf, ast.Cast)) or (isinstance(node, ast.Unary) and not node.postfix):
        return _PREFIX
    return _POSTFIX


def _surely_type(node: TypeName) -> bool:
    """Is the type recognised as one in ``(type)-1``?"""
    base = node.base
    return bool(
        node.keyword or node.of or node.pointers or None in node.dims
    ) or base.split(" ")[0] in TYPE_WORDS or base.endswith("_t")  # fmt: skip


def _has_value(value: Expr) -> bool:
    """Would the parser see by itself that this `if` or block at the end of a block is its value?"""
    if isinstance(value, BlockExpr):
        return value.block.value is not None
    while isinstance(value, IfExpr):
        if value.then.value is None:
            return False
        if isinstance(value.orelse, Block):
            return value.orelse.value is not None
        assert value.orelse is not None
        value = value.orelse
    return False
