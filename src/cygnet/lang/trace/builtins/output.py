"""Builtins that print: performed in user space, in order, from what the probe sent."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin, literal, literal_text, needs_unsafe
from cygnet.lang.trace.check.base import type_is_int
from cygnet.lang.trace.lower.operands import Mem
from cygnet.lang.trace.lower.unit import CONTROL, EXIT_WORD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.ir.core import Value
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

_MAX_ARGS = 127
_NUMBERS = frozenset(("int", "bool", "enum", "ptr"))
_OTHER_LETTERS = frozenset("eEfFgGaAn")  # C's conversions of what the language does not have
_JOIN_STRINGS, _JOIN_BYTES = 16, 1024


def check_format(c: Checker, node: ast.Expr, args: Args, name: str) -> None:
    """A format and its arguments: as many as it takes, each of a kind that its conversion prints."""
    text = literal_text(c, args[0], f"{name}()'s format")
    types = [c.value(arg) for arg in args[1:]]
    if text is None:
        return
    from cygnet.spec.formats import parse

    specs = [spec for _, spec in parse(text) if spec is not None]
    bad, refused = _no_conversion(text)
    hint = [f"'{bad}' is no conversion: d i u o x X c s p, r rx rh for buffers, gr"] if bad else []
    if refused or (bad and name == "debugf"):  # whose format the kernel reads: it takes no such
        c.error(f"{name}: unknown conversion '{bad}'", args[0].span, hint)
        return
    if len(specs) != len(types):
        few = "Not enough" if len(specs) > len(types) else "Too many"
        text = f"{name}: {few} arguments for format string ({len(types)} supplied, {len(specs)} expected)"
        c.error(text, node.span, hint if len(specs) < len(types) else [])
        return
    if len(types) > _MAX_ARGS:
        c.error(f"{name} can not have more than {_MAX_ARGS} arguments", node.span)
    for spec, type, arg in zip(specs, types, args[1:]):
        _check_argument(c, name, spec.letter, type, arg)


def _no_conversion(text: str) -> tuple[str, bool]:
    """A ``%…`` that is no conversion, and whether it is one of C's that there is no value for.

    Any other is plain text, as it is in C libraries (``5%)``, ``HIT%\\n``): published scripts have such.
    """
    from cygnet.spec.formats import parse

    first = ""
    for part, _ in parse(text.replace("%%", "")):
        at = part.find("%")
        while at >= 0:
            letter = part[at + 1 :].lstrip("-+ #0123456789.*hlLjzt")[:1]
            shown = "%" + letter if letter.isprintable() else "%"
            if shown[1:] in _OTHER_LETTERS:
                return shown, True
            first = first or shown
            at = part.find("%", at + 1)
    return first, False


def _check_argument(c: Checker, name: str, letter: str, type: Type, arg: ast.Expr) -> None:
    kind = type.kind
    if kind == "unknown":
        return
    if kind == "agg":
        c.error(
            f"{name}: %{letter} expects a value, not '{T.name(type)}'", arg.span,
            ["cast it to an integer, such as (int64)@m, or use print()"],
        )  # fmt: skip
        return
    if letter == "s":
        return
    if letter in ("r", "rx", "rh"):
        if kind != "buf":
            c.error(f"{name}: %{letter} specifier expects a value of type buffer ({T.name(type)} supplied)", arg.span,
                    ["buf() makes one"])  # fmt: skip
        return
    if letter == "gr":
        ok = kind in T.NUMERIC
    else:
        ok = kind in _NUMBERS
    if not ok:
        c.error(f"{name}: %{letter} specifier expects a value of type integer ('{T.name(type)}' supplied)", arg.span,
                ["%s prints it"])  # fmt: skip


class Printf(Builtin):
    """printf and its like: a record of the arguments, formatted when it is read."""

    arity = (1, 1 + 1000)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if self.name == "system":
            needs_unsafe(c, node, "system")
        check_format(c, node, args, self.name)
        if c.instance.match.kind == "iter" and self.name == "printf":
            from cygnet.lang.trace.builtins import seq

            if seq.is_pinned(c.instance) and isinstance(node, ast.Call):
                seq.check(c, node, args)
        return T.NONE

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        if g.instance.match.kind == "iter" and self.name == "printf":
            from cygnet.lang.trace.builtins import seq

            if seq.is_pinned(g.instance):
                return seq.lower(g, args)
        fields = [g.field(arg) for arg in args[1:]]
        text = args[0].const.decode("utf-8", "surrogateescape")
        span = node.span if self.name in ("errorf", "warnf") else None
        g.emit(self.name, fields, text=text, span=span)
        return g.const(0)


class Print(Builtin):
    """print(@map[, top[, div]]) reads the map later; print(value) sends the value."""

    arity = (1, 3)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        first = args[0]
        if isinstance(first, ast.MapRef):
            info = c.map_info(first)
            info.read_span = info.read_span or first.span
            first.type = T.NONE
            if c.loops and c.final:
                c.warn("print of a whole map in a loop: it is read when user space comes to it, each time", node.span)
            for arg in args[1:]:
                const = literal(c, arg, "print()'s top and div")
                if const is not None and (not type_is_int(const) or const < 0):
                    c.error("print()'s top and div must be numbers that are not negative", arg.span)
            return T.NONE
        if len(args) > 1:
            c.error("print() takes top and div only with a whole map", args[1].span)
        type = c.value(first)
        if type.kind == "agg" and type.extra.kind not in (*T.CASTABLE, "stats"):
            c.error(f"print() can not print a single '{T.name(type)}'", first.span, ["print the whole map"])
        return T.NONE

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        first = args[0]
        if isinstance(first, ast.MapRef):
            if first.name not in g.unit.layouts:  # never written: an earlier error says so
                return g.const(0)
            top, div = ([int(arg.const) for arg in args[1:]] + [0, 0])[:2]
            g.emit("print_map", text=first.name, data=(top, div), control=True)
        elif first.type.kind == "agg" and first.type.extra.kind == "stats":
            g.emit("print_value", [self._stats(g, first)])
        else:
            g.emit("print_value", [g.field(first)])
        return g.const(0)

    @staticmethod
    def _stats(g: Lowerer, node: ast.Expr) -> tuple[Type, Callable[[Value, int], None]]:
        """One stats() as a record of its three numbers."""
        count, total = g.read_stats(node)
        signed = T.INTS[8, node.type.extra.signed]
        average = g.average(total, count, signed.signed)
        type = T.record_of(("count", "average", "total"), (T.UINT64, signed, signed))

        def write(record: Value, at: int) -> None:
            for offset, number in enumerate((count, average, total)):
                g.b.store(record, number, 8, at + 8 * offset)

        return type, write


class WholeMap(Builtin):
    """clear(@m) and zero(@m)."""

    arity = (1, 1)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if not isinstance(args[0], ast.MapRef):
            c.value(args[0])
            c.error(f"{self.name}() expects a map to be provided", args[0].span)
            return T.NONE
        info = c.map_info(args[0])
        info.read_span = info.read_span or args[0].span
        return T.NONE

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        g.emit(self.name, text=args[0].name, control=True)  # type: ignore[attr-defined]
        return g.const(0)


class Time(Builtin):
    """time(format): the time when the event is read."""

    arity = (0, 1)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if args:
            literal_text(c, args[0], "time()'s format")
        return T.NONE

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        g.emit("time", text=args[0].const.decode() if args else "%H:%M:%S\n")
        return g.const(0)


class Exit(Builtin):
    """exit([status]): asked for here, done when user space reaches the event; the probe ends at once."""

    arity = (0, 1)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if args:
            c.number(args[0], "exit()'s status")
        return T.Type("never", 0)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        status = g.scalar(args[0]) if args else g.const(0)

        def full() -> None:
            word = g.b.binary("shl", g.b.binary("and", status, g.const(255)), g.const(8))
            g.b.store(g.b.map_value(CONTROL, 8 * EXIT_WORD), g.b.add(word, g.const(1)), 8)

        field = (T.INT64, lambda record, at: g.b.store(record, status, 8, at))
        g.emit("exit", [field], lost=full, control=True)
        g.finish()
        return status


class Join(Builtin):
    """join(char *argv[], separator): the strings of an array that ends with a null pointer."""

    arity = (1, 2)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        if len(args) > 1:
            literal_text(c, args[1], "join()'s separator")
        if type.kind not in ("ptr", "int", "unknown"):
            c.error(f"join() takes an array of strings (char **), not '{T.name(type)}'", args[0].span)
        return T.NONE

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        type = args[0].type
        space = type.space if type.kind == "ptr" else g.instance.match.space
        array = g.scalar(args[0])
        separator = args[1].const.decode() if len(args) > 1 else " "
        element = T.string(_JOIN_BYTES)
        block = T.Type("array", _JOIN_STRINGS * _JOIN_BYTES, elem=element, length=_JOIN_STRINGS)

        def write(record: Value, at: int) -> None:
            for index in range(_JOIN_STRINGS):  # an empty one ends the list
                g.b.store(record, g.const(0), 1, at + index * _JOIN_BYTES)
            self._strings(g, array, space, record, at)

        g.emit("join", [(block, write)], text=separator, data=(_JOIN_STRINGS, _JOIN_BYTES))
        return g.const(0)

    def _strings(self, g: Lowerer, array: Value, space: str, record: Value, at: int) -> None:
        out = g.b.new_block()
        for index in range(_JOIN_STRINGS):
            pointer = g.read(Mem(array, space, T.UINT64, 8 * index), 8, False)
            more = g.b.new_block()
            g.b.br("eq", pointer, g.const(0), out, more)
            g.b.open(more)
            text = Mem(pointer, space, T.string(_JOIN_BYTES))
            g.put_string(text, text.type, record, at + index * _JOIN_BYTES, False)
        g.b.jump(out)
        g.b.open(out)


ROWS: dict[str, Builtin] = {
    **{name: Printf(name) for name in ("printf", "errorf", "warnf", "cat", "system")},
    "print": Print("print"),
    "clear": WholeMap("clear"),
    "zero": WholeMap("zero"),
    "time": Time("time"),
    "exit": Exit("exit"),
    "join": Join("join"),
}
