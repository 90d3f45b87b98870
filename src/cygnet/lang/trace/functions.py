"""User functions: each call is given a copy of the function's body, with variables of its own.

A function that is put in place of its call costs the kernel no call, may use all that a probe may, and needs no
types but those that are written. It cannot call itself.
"""

from __future__ import annotations

from cygnet.errors import SourceErrors, TraceTypeError
from cygnet.lang.trace import ast
from cygnet.lang.trace.macros import MAX_NODES, _Copier, _TooMuch
from cygnet.lang.trace.parser_base import MAX_HEIGHT, height

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace.ast import Block, Call, Expr, Fn, Node, Probe, Program, TypeName, Var
    from cygnet.source import Span


class InlineCall(ast.Expr):
    """A call of a user function, with a copy of its body. `result` is the variable that holds what it returns."""

    __slots__ = ("args", "body", "fn", "params", "result", "target")
    fields = ("args", "params", "body")

    def __init__(
        self,
        span: Span,
        fn: Fn | Probe,
        args: tuple[Expr, ...],
        params: tuple[ast.Param, ...],
        result: Var,
        target: TypeName | None,
        body: Block,
    ) -> None:
        self.span = span
        self.type = self.const = None
        self.fn = fn
        self.args = args
        self.params = params
        self.result = result
        self.target = target
        self.body = body

    @property
    def name(self) -> str:
        return self.fn.name or ""


def body_as_function(probe: Probe) -> None:
    """Make a probe's body that of a function whose result the probe returns: 0 where it does not say another."""
    span = probe.body.span
    target = ast.TypeName(span, "", "int64")
    call = InlineCall(span, probe, (), (), ast.Var(span, "$return value"), target, probe.body)
    probe.body = ast.Block(span, [ast.Return(span, call)])


def inline(program: Program) -> None:
    """Put bodies in place of all calls, and take the functions out. Raises SourceErrors."""
    inliner = _Inliner(program)
    inliner.run()
    if inliner.errors:
        raise SourceErrors(inliner.errors)


class _Inliner:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.errors: list[TraceTypeError] = []
        self.fns: dict[str, Fn] = {}
        self.active: list[str] = []
        self.made = 0
        self.sizes: dict[str, int] = {}
        for fn in program.fns:
            self._define(fn)

    def _define(self, fn: Fn) -> None:
        from cygnet.lang.trace.builtins import find

        if find(fn.name) is not None:
            self._fail(fn.span, f"function {fn.name}: there is a builtin of that name")
        elif fn.name in self.fns:
            self._fail(fn.span, f"function {fn.name} is defined twice")
        names = [param.var.name for param in fn.params]
        for param in fn.params:
            if names.count(param.var.name) > 1:
                self._fail(param.span, f"function {fn.name} has two parameters {param.var.name}")
                break
        self.fns.setdefault(fn.name, fn)

    def _fail(self, span: Span, message: str, *hints: str) -> None:
        self.errors.append(TraceTypeError(message, span, hints))

    def run(self) -> None:
        for fn in self.fns.values():  # what is wrong in one is told even when nothing calls it
            void = fn.result is None or (fn.result.base == "void" and not fn.result.pointers)
            if not void and not returns(fn.body):
                self._fail(fn.span, f"not every path of function {fn.name} returns a value")
            for node in ast.walk(fn.body):
                if isinstance(node, ast.Return) and void and node.value is not None:
                    self._fail(node.value.span, f"function {fn.name} returns nothing",
                               f"fn {fn.name}(…) : type {{ … }} gives it a result")  # fmt: skip
                elif isinstance(node, ast.Return) and not void and node.value is None:
                    self._fail(node.span, f"function {fn.name} must return a value")
        if self.errors:
            return
        for item in self.program.items:
            if isinstance(item, ast.Fn):
                continue
            if self._size(item, ()) > MAX_NODES:
                self._fail(item.span, f"its functions expand to more than {MAX_NODES:,} nodes")
                continue
            try:
                self._rewrite(item)
            except _TooMuch:
                self._fail(item.span, f"its functions expand to more than {MAX_NODES:,} nodes")
            except RecursionError:
                self._fail(item.span, "its functions are nested too deep")
            else:
                if self.made and height(item) > MAX_HEIGHT:
                    self._fail(item.span, "nested too deep after functions are put in")
        self._check_uncalled()
        self.program.items = [item for item in self.program.items if not isinstance(item, ast.Fn)]

    def _size(self, item: Node, active: tuple[str, ...]) -> int:
        """How many nodes there will be; a function that calls itself is told of elsewhere."""
        total = 0
        for node in ast.walk(item):
            total += 1
            if isinstance(node, ast.Call) and node.name in self.fns and node.name not in active:
                known = self.sizes.get(node.name)
                if known is None:
                    known = self.sizes[node.name] = self._size(self.fns[node.name].body, (*active, node.name))
                total += known
        return total

    def _check_uncalled(self) -> None:
        """A call of itself is told also where nothing calls the function."""
        for name, fn in self.fns.items():
            if not self.errors:
                self.active = [name]
                self._rewrite(_Copier({}, {}, self, None).copy(fn.body))  # type: ignore[arg-type]
        self.active = []

    def _rewrite(self, top: Node) -> None:
        """Replace calls below `top`; not recursive but for the bodies that are put in."""
        pending: list[Node] = [top]
        while pending:
            node = pending.pop()
            for name in node.fields:
                value = getattr(node, name)
                if isinstance(value, ast.Node):
                    value = self._one(value)
                    setattr(node, name, value)
                    if not isinstance(value, InlineCall):  # what was put in has been looked through
                        pending.append(value)
                elif value.__class__ is tuple or value.__class__ is list:
                    new = [self._one(item) if isinstance(item, ast.Node) else item for item in value]
                    setattr(node, name, value.__class__(new))
                    pending += [i for i in new if isinstance(i, ast.Node) and not isinstance(i, InlineCall)]

    def _one(self, node: Node) -> Node:
        if not isinstance(node, ast.Call) or node.name not in self.fns:
            return node
        fn = self.fns[node.name]
        if len(node.args) != len(fn.params):
            self._fail(node.span, f"function {fn.name} takes {len(fn.params)} arguments, not {len(node.args)}")
            return node
        if fn.name in self.active:
            self._fail(node.name_span, f"function {fn.name} calls itself", "put in place of their calls, they can not")
            return node
        return self._call(node, fn)

    def _call(self, node: Call, fn: Fn) -> InlineCall:
        copier = _Copier({}, {}, self, None)  # type: ignore[arg-type]
        body = copier.copy(fn.body)
        params = tuple([copier.copy(param) for param in fn.params])
        self.active.append(fn.name)
        self._rewrite(body)
        self.active.pop()
        result = ast.Var(node.span, "$return value")
        args = []
        for given in node.args:
            arg = self._one(given)
            if not isinstance(arg, InlineCall):
                self._rewrite(arg)
            args.append(arg)
        return InlineCall(node.span, fn, tuple(args), params, result, fn.result, body)  # type: ignore[arg-type]


def returns(block: Block) -> bool:
    """Does every path through a block return?"""
    return any(_ends(stmt) for stmt in block.stmts)


def _ends(stmt: Node | None) -> bool:
    if isinstance(stmt, ast.Return):
        return True
    if isinstance(stmt, ast.ExprStmt):
        return _ends(stmt.expr)
    if isinstance(stmt, (ast.If, ast.IfExpr)):
        return _ends(stmt.then) and _ends(stmt.orelse)
    if isinstance(stmt, ast.Block):
        return returns(stmt)
    if isinstance(stmt, ast.BlockExpr):
        return returns(stmt.block)
    return isinstance(stmt, ast.Call) and stmt.name == "exit"
