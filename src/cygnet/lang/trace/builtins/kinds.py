"""Builtins that ask about types, assert at compile time, take options, and act on tasks."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin, literal, literal_text, needs_unsafe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

    Field = tuple[Type, Callable[[Any, int], None]]


class Space(Builtin):
    """kptr(p) and uptr(p): the same pointer, in the kernel's or the user's memory."""

    arity = (1, 1)

    def __init__(self, name: str, space: str) -> None:
        super().__init__(name)
        self.space = space

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        if type.kind == "ptr":
            return type._replace(space=self.space)
        if type.kind in ("int", "unknown"):
            return T.pointer(None, self.space)._replace(extra=T.NUMBER)
        c.error(f"{self.name}() expects a pointer, not '{T.name(type)}'", args[0].span)
        return type

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return g.scalar(args[0])


class Is(Builtin):
    """is_str(e) and its like: answered when the program is compiled."""

    arity = (1, 1)

    def __init__(self, name: str, test: Callable[[Type, ast.Expr], bool]) -> None:
        super().__init__(name)
        self.test = test

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        node.const = bool(self.test(type, args[0]))
        return T.BOOL


class IsScalar(Builtin):
    """is_scalar(@m): is a map used without keys?"""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if not isinstance(args[0], ast.MapRef):
            c.error("is_scalar() expects a map to be provided", args[0].span)
            return T.BOOL
        args[0].type = T.UNKNOWN
        node.const = c.map_info(args[0]).keyed is False
        return T.BOOL


class StaticAssert(Builtin):
    """static_assert(condition[, message]): an error unless the condition is known to hold."""

    arity = (1, 2)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        condition = literal(c, args[0], "static_assert()'s condition")
        message = literal_text(c, args[1], "static_assert()'s message") if len(args) > 1 else None
        if condition is not None and not condition and c.final:
            c.error(message or "static_assert failed", node.span)
        node.const = 0
        return T.NONE


class Fail(Builtin):
    """fail(format, literals): an error of the author's own, unless a dead compile-time branch holds it."""

    arity = (1, 1000)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        text = literal_text(c, args[0], "fail()'s format") or ""
        values = [literal(c, arg, "fail()'s arguments") for arg in args[1:]]
        from cygnet.spec.formats import parse

        shown = iter([v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values])
        c.error("".join(part + (next(shown, "") if spec else "") for part, spec in parse(text)), node.span)
        return T.NONE


class Assert(Builtin):
    """assert(condition, message): reports and exits with status 1 when it does not hold."""

    arity = (1, 2)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        c.condition(args[0])
        if len(args) > 1:
            if isinstance(args[1], ast.StrLit):
                literal_text(c, args[1], "assert()'s message")  # of any length
            elif c.value(args[1]).kind not in ("str", "int", "bool", "unknown"):
                c.error("assert()'s message must be a string", args[1].span)
        return T.NONE

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        b = g.b
        bad, good = b.new_block(), b.new_block()
        g.condition(args[0], good, bad)
        if bad.preds:
            b.open(bad)
            fields, text = self._message(g, args)
            g.emit("errorf", fields, text=text, span=node.span)
            field = (T.INT64, lambda record, at: g.b.store(record, g.const(1), 8, at))
            g.emit("exit", [field], control=True)
            g.finish()
        if good.preds:
            b.open(good)
        return g.const(0)

    @staticmethod
    def _message(g: Lowerer, args: Args) -> tuple[Sequence[Field], str]:
        """The fields and the format of what is reported."""
        if len(args) == 1:
            return (), "assert failed"
        if not isinstance(args[1].const, bytes):
            return (g.field(args[1]),), "assert failed: %s"
        text = args[1].const.decode("utf-8", "surrogateescape").replace("%", "%%")  # a message is no format
        return (), f"assert failed: {text}" if text else "assert failed"


class AssertText(Builtin):
    """assert_str(e): an error unless `e` is a string, or an array of or a pointer to int8."""

    arity = (1, 1)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        elem = type.elem if type.kind in ("array", "ptr") else None
        if type.kind not in ("array", "ptr", "str", "unknown"):
            c.error("string-like values must be either strings, arrays or pointers", node.span)
        elif type.kind in ("array", "ptr") and elem != T.INT8:
            c.error(f"string-like values hold int8, not '{T.name(elem or T.NONE)}'", node.span)
        node.const = 0
        return T.NONE


class TextLength(Builtin):
    """default_str_length(): how many bytes a string holds whose length is not known."""

    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        node.const = c.config["max_strlen"]
        return T.UINT64


class GetOpt(Builtin):
    """getopt(name[, default[, description]]): a named parameter of the script."""

    arity = (1, 3)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        name = literal_text(c, args[0], "getopt()'s name")
        default = literal(c, args[1], "getopt()'s default") if len(args) > 1 else False
        text = literal_text(c, args[2], "getopt()'s description") if len(args) > 2 else ""
        if name is None or default is None:
            return T.UNKNOWN
        known = c.params.used.get(name)
        if known is not None and known[0] != default:
            c.error(f"getopt: the default of '{name}' differs from an earlier one", node.span)
        c.params.used[name] = (default, text or (known[1] if known else ""))
        node.const = self._value(c, node, name, default)
        if isinstance(node.const, bytes):
            return T.string(max(c.config["max_strlen"], len(node.const) + 1))
        if isinstance(node.const, bool):
            return T.BOOL
        return T.INT64 if default < 0 or node.const < 0 else T.UINT64

    @staticmethod
    def _value(c: Checker, node: ast.Expr, name: str, default: object) -> bytes | bool | int:
        from cygnet.lang.trace.config import _TRUE
        from cygnet.lang.trace.instances import parse_number

        given: str | None = c.params.named.get(name)
        if given is None:
            return default  # type: ignore[return-value]
        if isinstance(default, bool):
            if given.lower() in ("", *_TRUE):
                return bool(_TRUE.get(given.lower(), True))
            c.error(f"Invalid value for boolean argument '{name}': {given}", node.span)
            return default
        if isinstance(default, int):
            number = parse_number(given)
            if number is None:
                c.error(f"Invalid value for integer argument '{name}': {given}", node.span)
                return default
            if not -(1 << 63) <= number < 1 << 64:
                c.error(f"Value for argument '{name}' is out of range: {given}", node.span)
                return default
            return number
        if name in c.params.bare:
            c.error(f"Argument '{name}' wants a text: --{name}=…", node.span)
        return given.encode("utf-8", "surrogateescape")


class Signal(Builtin):
    """signal(number or name): sent to the current process at once. signal_thread: to the thread."""

    arity = (1, 1)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        needs_unsafe(c, node, self.name)
        if c.instance.match.probetype == "interval":
            c.error(
                f"{self.name}() can not be used with 'interval' probes: any process may be the current one", node.span
            )
        c.value(args[0])
        const = args[0].const
        if isinstance(const, bytes):
            if signal_number(const.decode("latin-1")) is None:
                c.error(f"{const.decode('latin-1')} is not a valid signal", args[0].span)
        elif const.__class__ is int and not 1 <= const <= 64:
            c.error(f"{const} is not a valid signal, allowed range: [1,64]", args[0].span)
        elif args[0].type.kind not in (*T.NUMERIC, "unknown"):
            c.error(f"{self.name}() takes a number or a name", args[0].span)
        return T.NONE

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        const = args[0].const
        number = g.const(signal_number(const.decode()) or 0) if isinstance(const, bytes) else g.scalar(args[0])
        return g.b.call("send_signal" if self.name == "signal" else "send_signal_thread", number)


def signal_number(name: str) -> int | None:
    """SIGUSR1 or USR1, any case."""
    import signal

    full = name.upper() if name.upper().startswith("SIG") else "SIG" + name.upper()
    found = getattr(signal, full, None)
    return int(found) if isinstance(found, signal.Signals) else None


class CgroupId(Builtin):
    """cgroupid("/path"): the id of a cgroup directory, found when the program is compiled."""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        path = literal_text(c, args[0], "cgroupid()'s path")
        if path is not None:
            import os

            try:
                node.const = os.stat(path).st_ino
            except OSError as error:
                c.error(f"cgroupid(): {path}: {error.strerror}", args[0].span)
        return T.UINT64


class CgroupPath(Builtin):
    arity = (1, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        c.number(args[0], "cgroup_path()'s id")
        pattern = literal_text(c, args[1], "cgroup_path()'s filter") if len(args) > 1 else ""
        return T.Type("cgroup", 8, extra=pattern or "")

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return g.scalar(args[0])


class Unwatch(Builtin):
    """unwatch(address): its watchpoints are taken away, when user space comes to it."""

    arity = (1, 1)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        if type.kind not in ("ptr", "int", "unknown"):
            c.error(f"unwatch() expects an address, not '{T.name(type)}'", args[0].span)
        return T.NONE

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        address = g.scalar(args[0])
        g.emit("unwatch", [(T.UINT64, lambda record, at: g.b.store(record, address, 8, at))])
        return g.const(0)


ROWS: dict[str, Builtin] = {
    "kptr": Space("kptr", T.KERNEL),
    "uptr": Space("uptr", T.USER),
    "is_str": Is("is_str", lambda t, n: t.kind == "str"),
    "is_ptr": Is("is_ptr", lambda t, n: t.kind == "ptr"),
    "is_array": Is("is_array", lambda t, n: t.kind == "array"),
    "is_integer": Is("is_integer", lambda t, n: t.kind == "int"),
    "is_unsigned_integer": Is("is_unsigned_integer", lambda t, n: t.kind == "int" and not t.signed),
    "is_literal": Is("is_literal", lambda t, n: n.const is not None),
    "is_scalar": IsScalar("is_scalar"),
    "static_assert": StaticAssert("static_assert"),
    "assert": Assert("assert"),
    "assert_str": AssertText("assert_str"),
    "default_str_length": TextLength("default_str_length"),
    "fail": Fail("fail"),
    "getopt": GetOpt("getopt"),
    "unwatch": Unwatch("unwatch"),
    "signal": Signal("signal"),
    "signal_thread": Signal("signal_thread"),
    "cgroupid": CgroupId("cgroupid"),
    "cgroup_path": CgroupPath("cgroup_path"),
}
