"""Macros and object-like ``#define`` constants are put in place of their names.

A call becomes the macro's body: a block whose value is the last expression, its own variables renamed so that none of
the caller's can be meant. A bare parameter stands for the argument's expression and is evaluated at each use; ``$p``
and ``@p`` stand for the caller's variable and map themselves. What is copied keeps its span in the definition, and an
argument its span in the call.
"""

from __future__ import annotations

from cygnet.errors import SourceError, SourceErrors, TraceTypeError
from cygnet.lang.trace import ast
from cygnet.lang.trace.ast import Call, Expr, ExprStmt, Ident, Macro, MapRef, Node, Program, Var
from cygnet.lang.trace.macro_rules import check_macro, kind_of, signature
from cygnet.lang.trace.macro_types import filled_path, filled_type
from cygnet.lang.trace.parser_base import MAX_HEIGHT, height
from cygnet.source import expanded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeVar

    from cygnet.source import Span

    N = TypeVar("N", bound=Node)

MAX_NODES = 200_000  # made by expansion; macros that use a parameter twice and call each other grow by powers of two
_KIND_NAMES = {"$": "a variable", "@": "a map", "": "an expression"}


def expand(program: Program, library: Iterable[Macro] = ()) -> Program:
    """Expand all macros and constants of `program`, in place, and return it.

    `library` holds macros defined elsewhere (imports, our own), which the program's replace by signature. Raises
    SourceErrors with a TraceTypeError for each macro that breaks a rule and each call that fits none.
    """
    expander = _Expander(program, library)
    expander.run()
    if expander.errors:
        raise SourceErrors(expander.errors)
    return program


class _TooMuch(Exception):
    """The expansion grows without end."""


class _Expander:
    def __init__(self, program: Program, library: Iterable[Macro]) -> None:
        self.program = program
        self.errors: list[SourceError] = []
        self.macros: dict[str, dict[str, Macro]] = {}  # name → signature → macro
        self.defines = _defines(program)
        self.constants: dict[str, Expr | None] = {}  # defines as expressions, when first used
        self.names = {node.name for node in ast.walk(program) if isinstance(node, Var)}
        self.active: list[str] = []  # the macros and constants within which we are
        self.made = 0
        self.calls = 0
        for macro in library:
            self.macros.setdefault(macro.name, {})[signature(macro)] = macro
        own: set[tuple[str, str]] = set()
        for macro in program.macros:
            self.errors += check_macro(macro, (macro.name, signature(macro)) in own)
            own.add((macro.name, signature(macro)))
            self.macros.setdefault(macro.name, {})[signature(macro)] = macro

    def run(self) -> None:
        if self.errors:
            return
        self.program.items = [item for item in self.program.items if not isinstance(item, Macro)]
        for item in self.program.items:
            before = self.made
            try:
                self.rewrite(item)
            except _TooMuch:
                self.fail(item.span, f"its macros expand to more than {MAX_NODES:,} nodes")
                return
            except RecursionError:
                self.fail(item.span, "its macros are nested too deep")
                return
            if self.made > before and height(item) > MAX_HEIGHT:
                self.fail(item.span, "nested too deep after the expansion of macros")

    def fail(self, span: Span, message: str, *hints: str) -> None:
        self.errors.append(TraceTypeError(message, span, hints))

    # -------------------------------------------------------------------------------------------- walking the program

    def rewrite(self, node: Node) -> Node:
        """The node to stand in the place of `node`, all below it done."""
        if isinstance(node, Call) and node.name in self.macros:
            node.args = self._all(node.args)
            return self._call(node, node.name_span, node.name, node.args)
        if isinstance(node, Ident):
            return self._ident(node)
        if isinstance(node, ast.Binary):
            return self._chain(node)
        if isinstance(node, (ast.If, ast.IfExpr)):
            return self._arms(node)
        for name in node.fields:
            value = getattr(node, name)
            if isinstance(value, Node):
                setattr(node, name, self.rewrite(value))
            elif value.__class__ is tuple:
                setattr(node, name, self._all(value))
            elif value.__class__ is list:
                value[:] = [
                    self._statement(item) if isinstance(item, ExprStmt) else self.rewrite(item) for item in value
                ]
        return node

    def _all(self, items: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple([self.rewrite(item) if isinstance(item, Node) else item for item in items])  # type: ignore[misc]

    def _chain(self, node: ast.Binary) -> Node:
        """The left spine by a loop, as it may be thousands of nodes long."""
        left = node
        while True:
            left.right = self.rewrite(left.right)  # type: ignore[assignment]
            if not isinstance(left.left, ast.Binary):
                break
            left = left.left
        left.left = self.rewrite(left.left)  # type: ignore[assignment]
        return node

    def _arms(self, node: ast.If | ast.IfExpr) -> Node:
        arm = node
        while True:
            arm.cond = self.rewrite(arm.cond)  # type: ignore[assignment]
            self.rewrite(arm.then)
            if not isinstance(arm.orelse, (ast.If, ast.IfExpr)):
                break
            arm = arm.orelse
        if arm.orelse is not None:
            self.rewrite(arm.orelse)
        return node

    def _statement(self, node: ExprStmt) -> Node:
        """A call that is a statement becomes a block that is one."""
        expr = self.rewrite(node.expr)
        if expr is not node.expr and isinstance(expr, ast.BlockExpr):
            block = expr.block
            if block.value is not None:
                block.stmts.append(ExprStmt(block.value.span, block.value))
                block.value = None
            return block
        node.expr = expr  # type: ignore[assignment]
        return node

    # -------------------------------------------------------------------------------------------------------- names

    def _ident(self, node: Ident) -> Node:
        name = node.name
        if name in self.macros and "()" in self.macros[name]:
            return self._call(node, node.span, name, ())
        if name not in self.defines or f"#{name}" in self.active:
            return node
        if name not in self.constants:
            self.constants[name] = self._constant(name)
        constant = self.constants[name]
        return node if constant is None else _Copier({}, {}, self, node.span).copy(constant)

    def _constant(self, name: str) -> Expr | None:
        """The text of a define as an expression; None when it is none, such as an attribute."""
        from cygnet.lang.trace.parser import parse_expression

        define = self.defines[name]
        if not define.body:
            return None
        try:
            value = parse_expression(define.body_span.source, define.body_span)
        except SourceErrors:
            return None
        self.active.append(f"#{name}")
        result = self.rewrite(value)
        self.active.pop()
        return result if isinstance(result, Expr) else None

    # -------------------------------------------------------------------------------------------------------- calls

    def _call(self, node: Expr, name_span: Span, name: str, args: tuple[Expr, ...]) -> Expr:
        macro = self._fitting(node, name_span, name, args)
        if macro is None:
            return node
        mark = f"{name}{signature(macro)}"
        if mark in self.active:
            chain = " → ".join([*self.active[self.active.index(mark) :], mark])
            self.fail(name_span, f"macro `{name}` calls itself", f"expanded: {chain}")
            return node
        self.calls += 1
        body = _Copier(_bindings(macro, args), self._renamed(macro), self, None, node.span).copy(macro.body)
        body.span = node.span
        self.active.append(mark)
        self.rewrite(body)
        self.active.pop()
        if body.value is not None and not body.stmts:
            return body.value
        return ast.BlockExpr(node.span, body)

    def _fitting(self, node: Expr, name_span: Span, name: str, args: tuple[Expr, ...]) -> Macro | None:
        """The macro of that name for these arguments; the one with most ``$`` and ``@`` parameters, if several fit."""
        overloads = [macro for macro in self.macros[name].values() if len(macro.params) == len(args)]
        if not overloads:
            if not _is_builtin(name):
                counts = " or ".join(sorted({str(len(macro.params)) for macro in self.macros[name].values()}))
                self.fail(name_span, f"macro `{name}` takes {counts} arguments, not {len(args)}")
            return None
        fits = [macro for macro in overloads if all(map(_fits, macro.params, args))]
        if fits:
            return max(fits, key=lambda macro: sum(1 for param in macro.params if kind_of(param)))
        for param, arg in zip(overloads[0].params, args):
            if not _fits(param, arg):
                what = _KIND_NAMES[kind_of(param)]
                self.fail(arg.span, f"parameter `{_name(param)}` of macro `{name}` takes {what}")
                break
        return None

    def _renamed(self, macro: Macro) -> dict[str, str]:
        """A new name for each variable of the macro's own."""
        params = {_name(param) for param in macro.params}
        renamed: dict[str, str] = {}
        for node in ast.walk(macro.body):
            if isinstance(node, Var) and node.name not in params and node.name not in renamed:
                renamed[node.name] = self._unused(f"$__{macro.name}{self.calls}_{node.name[1:]}")
        return renamed

    def _unused(self, name: str) -> str:
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name


class _Copier:
    """Copies a tree with parameters filled in and variables renamed; `span`, if given, becomes that of every node,
    and `via` is the call by which what is no argument comes into the program."""

    def __init__(
        self, args: Mapping[str, Expr], renamed: Mapping[str, str], owner: _Expander, span: Span | None,
        via: Span | None = None,
    ) -> None:  # fmt: skip
        self.args = args
        self.renamed = renamed
        self.owner = owner
        self.span = span
        self.via = via

    def copy(self, node: N) -> N:
        """The copy of a whole tree, by a stack of nodes whose children are still the old ones: chains may be long."""
        top, is_arg = self._one(node, False)
        pending = [(top, is_arg)]
        while pending:
            parent, is_arg = pending.pop()
            for name in parent.fields:
                value = getattr(parent, name)
                if isinstance(value, Node):
                    pending.append(self._one(value, is_arg))
                    setattr(parent, name, pending[-1][0])
                elif value.__class__ is tuple or value.__class__ is list:
                    setattr(parent, name, value.__class__([self._item(item, is_arg, pending) for item in value]))
        return top  # type: ignore[return-value]

    def _item(self, item: object, is_arg: bool, pending: list[tuple[Node, bool]]) -> object:
        if not isinstance(item, Node):
            return item
        pending.append(self._one(item, is_arg))
        return pending[-1][0]

    def _one(self, node: Node, is_arg: bool) -> tuple[Node, bool]:
        """A copy of one node, and whether it is of an argument, in which the macro's names mean nothing."""
        if not is_arg:
            if isinstance(node, (Ident, Var, MapRef)) and node.name in self.args:
                return self._shallow(self.args[node.name]), True
            if self.args and isinstance(node, (ast.TypeName, ast.Index)):
                type = filled_type(node, self.args)
                if type is not None:
                    return type, True
        new = self._shallow(node)
        if not is_arg:
            if self.via is not None:
                new.span = expanded(new.span, self.via)
            if isinstance(new, Var):
                new.name = self.renamed.get(new.name, new.name)
            elif isinstance(new, ast.OffsetOf):
                self._fill_path(new)
        return new, is_arg

    def _fill_path(self, node: ast.OffsetOf) -> None:
        path = filled_path(node, self.args)
        if path is None:
            span = self.args[node.path[0]].span
            self.owner.fail(span, "offsetof() takes the name of a field here", "write it as `a` or `a.b.c`")
        else:
            node.path = path

    def _shallow(self, node: Node) -> Node:
        self.owner.made += 1
        if self.owner.made > MAX_NODES:
            raise _TooMuch
        new: Node = node.__class__.__new__(node.__class__)
        for slot in _slots(node.__class__):
            setattr(new, slot, getattr(node, slot, None))
        if self.span is not None:
            new.span = self.span
        return new


_slot_names: dict[type[Node], tuple[str, ...]] = {}


def _slots(cls: type[Node]) -> tuple[str, ...]:
    if cls not in _slot_names:
        _slot_names[cls] = tuple(name for base in cls.__mro__ for name in getattr(base, "__slots__", ()))
    return _slot_names[cls]


def _defines(program: Program) -> dict[str, ast.CDefine]:
    """The constants that are in force at the end of the C text."""
    found: dict[str, ast.CDefine] = {}
    for item in program.c_defs:
        if isinstance(item, ast.CDefine):
            found.pop(item.name, None)
            if item.params is None:
                found[item.name] = item
        elif isinstance(item, ast.CDirective):
            words = item.text.lstrip("# \t").split()
            if len(words) > 1 and words[0] == "undef":
                found.pop(words[1], None)
    return found


def _name(param: Expr) -> str:
    assert isinstance(param, (Var, MapRef, Ident))
    return param.name


def _bindings(macro: Macro, args: tuple[Expr, ...]) -> dict[str, Expr]:
    return {_name(param): arg for param, arg in zip(macro.params, args)}


def _fits(param: Expr, arg: Expr) -> bool:
    kind = kind_of(param)
    return not kind or isinstance(arg, Var if kind == "$" else MapRef)


def _is_builtin(name: str) -> bool:
    from cygnet.lang.trace.builtins import find

    return find(name) is not None
