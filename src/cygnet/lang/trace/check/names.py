"""What the analysis knows of a name: variables and maps."""

from __future__ import annotations

from cygnet.lang.trace import types as T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.lang.trace import ast
    from cygnet.lang.trace.types import Agg, Type
    from cygnet.source import Span


class VarInfo:
    """A scratch variable of one scope. `fixed`: its type was declared. `depth`: how many callbacks (loop
    bodies that the kernel calls) enclose it; `captured`: a deeper one uses it, so it lives in memory;
    `addressed`: so does one whose address is taken. `clock`: of the time that it holds, where one was asked for;
    `place`: the memory that it points into, of a number that was a pointer."""

    __slots__ = ("addressed", "captured", "clock", "depth", "fixed", "let", "name", "place", "read", "shape", "span",
                 "type", "written")  # fmt: skip

    def __init__(self, name: str, span: Span, depth: int) -> None:
        self.name = name
        self.span = span
        self.depth = depth
        self.type: Type = T.UNKNOWN
        self.fixed = False
        self.let = False  # declared without a value
        self.shape: Type = T.UNKNOWN  # `type`, with literals marked
        self.captured = False
        self.clock = ""
        self.place = ""
        self.addressed = False
        self.read = False
        self.written = False


class MapInfo:
    """A map of the program. `keyed` is None until a use shows it; `key` and `value` grow with their uses."""

    __slots__ = (
        "agg", "agg_soft", "agg_span", "clock", "decl", "key", "key_shape", "key_span", "keyed", "name", "place",
        "read_span", "shape", "span", "value", "value_span", "written",
    )  # fmt: skip

    def __init__(self, name: str, span: Span) -> None:
        self.name = name
        self.span = span
        self.keyed: bool | None = None
        self.key: Type = T.UNKNOWN
        self.key_span = span
        self.value: Type = T.UNKNOWN
        self.value_span = span
        self.shape: Type = T.UNKNOWN  # `value`, with literals marked
        self.key_shape: Type = T.UNKNOWN
        self.agg: Agg | None = None
        self.agg_soft = False  # it is given literals only
        self.agg_span = span
        self.decl: ast.MapDecl | None = None
        self.written = False
        self.read_span: Span | None = None
        self.clock = ""
        self.place = ""


class Scope:
    """The variables of one block, inside those of the blocks around it."""

    __slots__ = ("names", "outer")

    def __init__(self, outer: Scope | None) -> None:
        self.outer = outer
        self.names: dict[str, VarInfo] = {}

    def find(self, name: str) -> VarInfo | None:
        scope: Any = self
        while scope is not None:
            if name in scope.names:
                found: VarInfo = scope.names[name]
                return found
            scope = scope.outer
        return None

    def all_names(self) -> list[str]:
        scope: Scope | None = self
        names: list[str] = []
        while scope is not None:
            names += scope.names
            scope = scope.outer
        return names


def address_key(known: Type, given: Type) -> Type | None:
    """The type of keys that are addresses, some as pointers and some as numbers of 64 bits; None for other pairs.

    An address is a number in `arg0` and `retval` and has a type in a tracepoint's `args`: scripts that follow one
    object through both use the two as one key.
    """
    if {known.kind, given.kind} == {"int", "ptr"} and known.size == given.size:
        return known if known.kind == "ptr" else given
    if known.kind == given.kind == "tuple" and len(known.fields) == len(given.fields):
        fields = [T.promote(a, b) or address_key(a, b) for a, b in zip(known.fields, given.fields)]
        return None if None in fields else T.tuple_of(*[field for field in fields if field])
    return None
