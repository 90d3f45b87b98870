"""The tracing language's syntax tree: one plain class a construct, each with its span.

Every class lists in `fields` what it holds of the program, in the order of its constructor; spans, spellings and what
later passes note (`Expr.type`, `Expr.const`) are not among them. `same` compares by `fields`, `children` and `walk`
follow them.
A name keeps its sigil (``$x``, ``@m``), as it is printed. Sequences of statements are lists, all others tuples.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, ClassVar

    from cygnet.source import Span


class Node:
    __slots__ = ("span",)
    fields: ClassVar[tuple[str, ...]] = ()
    span: Span

    def __repr__(self) -> str:
        inside = ", ".join(repr(getattr(self, name)) for name in self.fields)
        return f"{type(self).__name__}({inside})"


class Expr(Node):
    """`type` and `const` belong to the semantic analysis; the parser leaves both None."""

    __slots__ = ("const", "type")
    type: Any
    const: Any


class Stmt(Node):
    __slots__ = ()


# ------------------------------------------------------------------------------------------------------------ literals


class IntLit(Expr):
    """A number from 0 to 2**64-1; durations are nanoseconds. `text` is how it was written ("" for a made one)."""

    __slots__ = ("text", "value")
    fields = ("value",)

    def __init__(self, span: Span, value: int, text: str = "") -> None:
        self.span = span
        self.type = self.const = None
        self.value = value
        self.text = text


class StrLit(Expr):
    """A string, escapes decoded. A byte that is not UTF-8 is a surrogate, as in Python's "surrogateescape"."""

    __slots__ = ("value",)
    fields = ("value",)

    def __init__(self, span: Span, value: str) -> None:
        self.span = span
        self.type = self.const = None
        self.value = value

    @property
    def bytes(self) -> bytes:
        """What the program holds, without the final NUL."""
        return self.value.encode("utf-8", "surrogateescape")


class BoolLit(Expr):
    __slots__ = ("value",)
    fields = ("value",)

    def __init__(self, span: Span, value: bool) -> None:
        self.span = span
        self.type = self.const = None
        self.value = value


# --------------------------------------------------------------------------------------------------------------- names


class Ident(Expr):
    """A bare name: builtin, enum constant, `#define`, macro parameter, macro call without parentheses, or a type."""

    __slots__ = ("name",)
    fields = ("name",)

    def __init__(self, span: Span, name: str) -> None:
        self.span = span
        self.type = self.const = None
        self.name = name


class Var(Expr):
    """A scratch variable; `name` includes the ``$``."""

    __slots__ = ("name",)
    fields = ("name",)

    def __init__(self, span: Span, name: str) -> None:
        self.span = span
        self.type = self.const = None
        self.name = name


class MapRef(Expr):
    """A whole map, or a scalar map's value; `name` includes the ``@``."""

    __slots__ = ("name",)
    fields = ("name",)

    def __init__(self, span: Span, name: str) -> None:
        self.span = span
        self.type = self.const = None
        self.name = name


class MapIndex(Expr):
    """``@m[k1, k2]``. ``@m[(k1, k2)]`` has the same meaning and one key, a `TupleExpr`."""

    __slots__ = ("keys", "map")
    fields = ("map", "keys")

    def __init__(self, span: Span, map: MapRef, keys: tuple[Expr, ...]) -> None:
        self.span = span
        self.type = self.const = None
        self.map = map
        self.keys = keys


class Positional(Expr):
    """``$1`` (`number` 1 …), or ``$#`` (`number` 0), the count of them."""

    __slots__ = ("number",)
    fields = ("number",)

    def __init__(self, span: Span, number: int) -> None:
        self.span = span
        self.type = self.const = None
        self.number = number


class TypeName(Expr):
    """A type as written: in type positions, and as an argument of a call such as ``container_of(p, struct s, m)``.

    `keyword` is struct, union, enum or ""; `base` the name ("uint8", "unsigned int", "string"); `pointers` the number
    of stars; `dims` what stands in brackets, outermost first, None for ``[]`` (``string[16]`` has dims (16,)); `of` is
    the operand of ``typeof(…)``, and then `base` is "".
    """

    __slots__ = ("base", "dims", "keyword", "of", "pointers")
    fields = ("keyword", "base", "pointers", "dims", "of")

    def __init__(
        self,
        span: Span,
        keyword: str,
        base: str,
        pointers: int = 0,
        dims: tuple[int | None, ...] = (),
        of: Expr | None = None,
    ) -> None:
        self.span = span
        self.type = self.const = None
        self.keyword = keyword
        self.base = base
        self.pointers = pointers
        self.dims = dims
        self.of = of


# ----------------------------------------------------------------------------------------------------------- operators


class Unary(Expr):
    """`op` is ``- ! ~ * ++ --``; `postfix` only for the last two. ``&`` is `AddressOf`."""

    __slots__ = ("op", "operand", "postfix")
    fields = ("op", "operand", "postfix")

    def __init__(self, span: Span, op: str, operand: Expr, postfix: bool = False) -> None:
        self.span = span
        self.type = self.const = None
        self.op = op
        self.operand = operand
        self.postfix = postfix


class AddressOf(Expr):
    __slots__ = ("operand",)
    fields = ("operand",)

    def __init__(self, span: Span, operand: Expr) -> None:
        self.span = span
        self.type = self.const = None
        self.operand = operand


class Binary(Expr):
    """`op_span` is the operator's own place. A chain leans left; a very long one of ``&&`` or ``||`` is balanced."""

    __slots__ = ("left", "op", "op_span", "right")
    fields = ("op", "left", "right")

    def __init__(self, span: Span, op: str, left: Expr, right: Expr, op_span: Span | None = None) -> None:
        self.span = span
        self.type = self.const = None
        self.op = op
        self.left = left
        self.right = right
        self.op_span = op_span or span


class Ternary(Expr):
    """`then` is None in ``a ?: b``, where `a` is evaluated once."""

    __slots__ = ("cond", "orelse", "then")
    fields = ("cond", "then", "orelse")

    def __init__(self, span: Span, cond: Expr, then: Expr | None, orelse: Expr) -> None:
        self.span = span
        self.type = self.const = None
        self.cond = cond
        self.then = then
        self.orelse = orelse


class Field(Expr):
    """``e.name`` and ``e->name``, which mean the same."""

    __slots__ = ("name", "name_span", "operand")
    fields = ("operand", "name")

    def __init__(self, span: Span, operand: Expr, name: str, name_span: Span | None = None) -> None:
        self.span = span
        self.type = self.const = None
        self.operand = operand
        self.name = name
        self.name_span = name_span or span


class TupleIndex(Expr):
    """``e.0``"""

    __slots__ = ("index", "operand")
    fields = ("operand", "index")

    def __init__(self, span: Span, operand: Expr, index: int) -> None:
        self.span = span
        self.type = self.const = None
        self.operand = operand
        self.index = index


class Index(Expr):
    """``e[i]`` of anything but a map's name."""

    __slots__ = ("index", "operand")
    fields = ("operand", "index")

    def __init__(self, span: Span, operand: Expr, index: Expr) -> None:
        self.span = span
        self.type = self.const = None
        self.operand = operand
        self.index = index


class Cast(Expr):
    __slots__ = ("operand", "target")
    fields = ("target", "operand")

    def __init__(self, span: Span, target: TypeName, operand: Expr) -> None:
        self.span = span
        self.type = self.const = None
        self.target = target
        self.operand = operand


class Call(Expr):
    """``name(args)``: builtin, macro or fn. ``pid()`` is one, ``pid`` an `Ident`. An argument may be a `TypeName`."""

    __slots__ = ("args", "name", "name_span")
    fields = ("name", "args")

    def __init__(self, span: Span, name: str, args: tuple[Expr, ...], name_span: Span | None = None) -> None:
        self.span = span
        self.type = self.const = None
        self.name = name
        self.args = args
        self.name_span = name_span or span


class SizeOf(Expr):
    """`arg` is a `TypeName` when it can only be a type; a bare name is an `Ident`, and may still name a type."""

    __slots__ = ("arg",)
    fields = ("arg",)

    def __init__(self, span: Span, arg: Expr) -> None:
        self.span = span
        self.type = self.const = None
        self.arg = arg


class OffsetOf(Expr):
    """``offsetof(arg, a.b)``: `arg` as in `SizeOf`, `path` is ("a", "b")."""

    __slots__ = ("arg", "path")
    fields = ("arg", "path")

    def __init__(self, span: Span, arg: Expr, path: tuple[str, ...]) -> None:
        self.span = span
        self.type = self.const = None
        self.arg = arg
        self.path = path


class TypeInfo(Expr):
    """``typeinfo(arg)``: `arg` as in `SizeOf`."""

    __slots__ = ("arg",)
    fields = ("arg",)

    def __init__(self, span: Span, arg: Expr) -> None:
        self.span = span
        self.type = self.const = None
        self.arg = arg


class TupleExpr(Expr):
    """``(1, "x")``, ``(1,)``, ``()``"""

    __slots__ = ("items",)
    fields = ("items",)

    def __init__(self, span: Span, items: tuple[Expr, ...]) -> None:
        self.span = span
        self.type = self.const = None
        self.items = items


class RecordExpr(Expr):
    """``(a = 1, b = "x")``; `names` and `values` run side by side."""

    __slots__ = ("names", "values")
    fields = ("names", "values")

    def __init__(self, span: Span, names: tuple[str, ...], values: tuple[Expr, ...]) -> None:
        self.span = span
        self.type = self.const = None
        self.names = names
        self.values = values


class IfExpr(Expr):
    """An `if` whose value is used. `orelse` is a Block, an IfExpr for ``else if``, or None."""

    __slots__ = ("cond", "orelse", "then")
    fields = ("cond", "then", "orelse")

    def __init__(self, span: Span, cond: Expr, then: Block, orelse: Block | IfExpr | None) -> None:
        self.span = span
        self.type = self.const = None
        self.cond = cond
        self.then = then
        self.orelse = orelse


class BlockExpr(Expr):
    __slots__ = ("block",)
    fields = ("block",)

    def __init__(self, span: Span, block: Block) -> None:
        self.span = span
        self.type = self.const = None
        self.block = block


class Comptime(Expr):
    __slots__ = ("operand",)
    fields = ("operand",)

    def __init__(self, span: Span, operand: Expr) -> None:
        self.span = span
        self.type = self.const = None
        self.operand = operand


# ---------------------------------------------------------------------------------------------------------- statements


class Block(Stmt):
    """``{ … }``, a scope. It is a statement by itself, too.

    `value` is set only where a value is wanted (`BlockExpr`, the branches of `IfExpr`, a macro's body) and the last
    thing is an expression without ``;``. Elsewhere (probe, loop, fn, `If`) a last expression is an `ExprStmt` too.
    """

    __slots__ = ("stmts", "value")
    fields = ("stmts", "value")

    def __init__(self, span: Span, stmts: list[Stmt], value: Expr | None = None) -> None:
        self.span = span
        self.stmts = stmts
        self.value = value


class ExprStmt(Stmt):
    __slots__ = ("expr",)
    fields = ("expr",)

    def __init__(self, span: Span, expr: Expr) -> None:
        self.span = span
        self.expr = expr


class Assign(Stmt):
    """`op` is ``=`` or a compound such as ``+=``; `target` is a Var, MapRef or MapIndex."""

    __slots__ = ("op", "target", "value")
    fields = ("target", "op", "value")

    def __init__(self, span: Span, target: Expr, op: str, value: Expr) -> None:
        self.span = span
        self.target = target
        self.op = op
        self.value = value


class Discard(Stmt):
    """``_ = e``"""

    __slots__ = ("value",)
    fields = ("value",)

    def __init__(self, span: Span, value: Expr) -> None:
        self.span = span
        self.value = value


class Let(Stmt):
    """``let $x: T = e``, where the type, the value or both may be left out."""

    __slots__ = ("target", "value", "var")
    fields = ("var", "target", "value")

    def __init__(self, span: Span, var: Var, target: TypeName | None, value: Expr | None) -> None:
        self.span = span
        self.var = var
        self.target = target
        self.value = value


class If(Stmt):
    """`orelse` is a Block, an If for ``else if``, or None. A long chain of them nests as deep as it is long."""

    __slots__ = ("cond", "orelse", "then")
    fields = ("cond", "then", "orelse")

    def __init__(self, span: Span, cond: Expr, then: Block, orelse: Block | If | None) -> None:
        self.span = span
        self.cond = cond
        self.then = then
        self.orelse = orelse


class While(Stmt):
    __slots__ = ("body", "cond")
    fields = ("cond", "body")

    def __init__(self, span: Span, cond: Expr, body: Block) -> None:
        self.span = span
        self.cond = cond
        self.body = body


class Unroll(Stmt):
    __slots__ = ("body", "count")
    fields = ("count", "body")

    def __init__(self, span: Span, count: Expr, body: Block) -> None:
        self.span = span
        self.count = count
        self.body = body


class ForMap(Stmt):
    """``for ($kv : @m) { … }``"""

    __slots__ = ("body", "map", "var")
    fields = ("var", "map", "body")

    def __init__(self, span: Span, var: Var, map: MapRef, body: Block) -> None:
        self.span = span
        self.var = var
        self.map = map
        self.body = body


class ForRange(Stmt):
    """``for ($i : start..stop) { … }``, half open."""

    __slots__ = ("body", "start", "stop", "var")
    fields = ("var", "start", "stop", "body")

    def __init__(self, span: Span, var: Var, start: Expr, stop: Expr, body: Block) -> None:
        self.span = span
        self.var = var
        self.start = start
        self.stop = stop
        self.body = body


class Return(Stmt):
    __slots__ = ("value",)
    fields = ("value",)

    def __init__(self, span: Span, value: Expr | None) -> None:
        self.span = span
        self.value = value


class Break(Stmt):
    __slots__ = ()

    def __init__(self, span: Span) -> None:
        self.span = span


class Continue(Stmt):
    __slots__ = ()

    def __init__(self, span: Span) -> None:
        self.span = span


class Import(Stmt):
    """``import "path"``: at the top level, and as a statement."""

    __slots__ = ("path",)
    fields = ("path",)

    def __init__(self, span: Span, path: str) -> None:
        self.span = span
        self.path = path


# --------------------------------------------------------------------------------------------------------- definitions


class CDirective(Node):
    """A preprocessor line kept as text: ``#include``, ``#ifdef`` …; its continuation lines are part of it."""

    __slots__ = ("text",)
    fields = ("text",)

    def __init__(self, span: Span, text: str) -> None:
        self.span = span
        self.text = text


class CDefine(Node):
    """``#define NAME body``; `params` is None for an object-like one. `body` is text; `parse_expression` reads it."""

    __slots__ = ("body", "body_span", "name", "params")
    fields = ("name", "params", "body")

    def __init__(
        self, span: Span, name: str, params: tuple[str, ...] | None, body: str, body_span: Span | None = None
    ) -> None:
        self.span = span
        self.name = name
        self.params = params
        self.body = body
        self.body_span = body_span or span


class CType(Node):
    """The text of a ``struct``, ``union``, ``enum`` or ``typedef``, with its final ``;``. `name` may be ""."""

    __slots__ = ("keyword", "name", "text")
    fields = ("keyword", "name", "text")

    def __init__(self, span: Span, keyword: str, name: str, text: str) -> None:
        self.span = span
        self.keyword = keyword
        self.name = name
        self.text = text


class ConfigEntry(Node):
    """``key = value``; `value` is an IntLit, StrLit, BoolLit or, for a bare word, an Ident."""

    __slots__ = ("key", "value")
    fields = ("key", "value")

    def __init__(self, span: Span, key: str, value: Expr) -> None:
        self.span = span
        self.key = key
        self.value = value


class Config(Node):
    __slots__ = ("entries",)
    fields = ("entries",)

    def __init__(self, span: Span, entries: tuple[ConfigEntry, ...]) -> None:
        self.span = span
        self.entries = entries


class MapDecl(Node):
    """``let @m = hash(100);``: `kind` is the word before the parenthesis."""

    __slots__ = ("args", "kind", "map")
    fields = ("map", "kind", "args")

    def __init__(self, span: Span, map: MapRef, kind: str, args: tuple[Expr, ...]) -> None:
        self.span = span
        self.map = map
        self.kind = kind
        self.args = args


class Macro(Node):
    """`params` are Var (by reference), MapRef (a map) or Ident (an expression, evaluated at each use).

    `body.value` is the macro's value.
    """

    __slots__ = ("body", "name", "params")
    fields = ("name", "params", "body")

    def __init__(self, span: Span, name: str, params: tuple[Expr, ...], body: Block) -> None:
        self.span = span
        self.name = name
        self.params = params
        self.body = body


class Param(Node):
    """A parameter of a fn: ``$name: type``."""

    __slots__ = ("target", "var")
    fields = ("var", "target")

    def __init__(self, span: Span, var: Var, target: TypeName) -> None:
        self.span = span
        self.var = var
        self.target = target


class Fn(Node):
    __slots__ = ("body", "name", "params", "result")
    fields = ("name", "params", "result", "body")

    def __init__(self, span: Span, name: str, params: tuple[Param, ...], result: TypeName | None, body: Block) -> None:
        self.span = span
        self.name = name
        self.params = params
        self.result = result
        self.body = body


class AttachPart(Node):
    """One of the parts that colons divide: texts (quotes taken off) and, for each ``$1`` outside quotes, its number.

    `quoted` tells that a quotation mark was there: such a part is never a word like ``hz``; its colons do not divide.
    """

    __slots__ = ("pieces", "quoted")
    fields = ("pieces", "quoted")

    def __init__(self, span: Span, pieces: tuple[str | int, ...], quoted: bool = False) -> None:
        self.span = span
        self.pieces = pieces
        self.quoted = quoted

    @property
    def text(self) -> str:
        """The part with parameters as ``$1``."""
        return "".join(piece if isinstance(piece, str) else f"${piece}" for piece in self.pieces)

    def fill(self, parameters: list[str] | tuple[str, ...]) -> str:
        """The part with the script's parameters filled in; one not given is "0", as in an expression."""
        return "".join(
            piece if isinstance(piece, str) else parameters[piece - 1] if piece <= len(parameters) else "0"
            for piece in self.pieces
        )


class AttachPoint(Node):
    """``kprobe:vfs_read``: `parts[0]` is the provider as written, `text` the whole as written (not compared)."""

    __slots__ = ("parts", "text")
    fields = ("parts",)

    def __init__(self, span: Span, parts: tuple[AttachPart, ...], text: str) -> None:
        self.span = span
        self.parts = parts
        self.text = text

    @property
    def provider(self) -> str:
        return self.parts[0].text


class Probe(Node):
    """`name` is None unless written ``name = kprobe:f { … }``."""

    __slots__ = ("attach_points", "body", "name", "predicate")
    fields = ("name", "attach_points", "predicate", "body")

    def __init__(
        self, span: Span, name: str | None, attach_points: tuple[AttachPoint, ...], predicate: Expr | None, body: Block
    ) -> None:
        self.span = span
        self.name = name
        self.attach_points = attach_points
        self.predicate = predicate
        self.body = body


class Program(Node):
    """A whole text. `items` holds map declarations, macros, fns and probes in the order of the text."""

    __slots__ = ("c_defs", "config", "imports", "items", "shebang")
    fields = ("shebang", "c_defs", "config", "imports", "items")

    def __init__(
        self,
        span: Span,
        shebang: str,
        c_defs: list[CDirective | CDefine | CType],
        config: Config | None,
        imports: list[Import],
        items: list[MapDecl | Macro | Fn | Probe],
    ) -> None:
        self.span = span
        self.shebang = shebang
        self.c_defs = c_defs
        self.config = config
        self.imports = imports
        self.items = items

    @property
    def probes(self) -> list[Probe]:
        return [item for item in self.items if isinstance(item, Probe)]

    @property
    def macros(self) -> list[Macro]:
        return [item for item in self.items if isinstance(item, Macro)]

    @property
    def fns(self) -> list[Fn]:
        return [item for item in self.items if isinstance(item, Fn)]

    @property
    def map_decls(self) -> list[MapDecl]:
        return [item for item in self.items if isinstance(item, MapDecl)]


# --------------------------------------------------------------------------------------------------------------- tools


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below, in the order of the text."""
    for name in node.fields:
        value = getattr(node, name)
        if isinstance(value, Node):
            yield value
        elif value.__class__ is tuple or value.__class__ is list:
            for item in value:
                if isinstance(item, Node):
                    yield item


def walk(node: Node) -> Iterator[Node]:
    """`node` and all below it, parents first; not recursive."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        below = list(children(node))
        below.reverse()
        stack += below


def same(left: object, right: object) -> bool:
    """Do two trees say the same? Spans, spellings and notes of later passes do not count; not recursive."""
    stack = [(left, right)]
    while stack:
        a, b = stack.pop()
        if isinstance(a, Node):
            if type(a) is not type(b):
                return False
            stack += [(getattr(a, name), getattr(b, name)) for name in a.fields]
        elif isinstance(a, (list, tuple)):
            if not isinstance(b, (list, tuple)) or len(a) != len(b):
                return False
            stack += zip(a, b)
        elif type(a) is not type(b) or a != b:
            return False
    return True


def handlers(owner: object, prefix: str) -> dict[type[Node], Callable[..., Any]]:
    """A dispatch table by class, of the methods of `owner` named `prefix` + class name (``visit_Binary``).

    Make it once an object: ``self.table = handlers(self, "visit_")``, then ``self.table[type(node)](node)``.
    """
    table: dict[type[Node], Callable[..., Any]] = {}
    pending: list[type[Node]] = [Node]
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        method = getattr(owner, prefix + cls.__name__, None)
        if method is not None:
            table[cls] = method
    return table
