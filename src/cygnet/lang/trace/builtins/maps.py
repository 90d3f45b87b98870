"""Builtins on maps that act at once, in the kernel: delete, has_key, find, len."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.check.names import MapInfo
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

ENOENT = 2


def _split(args: Args) -> tuple[ast.MapRef | None, tuple[ast.Expr, ...]]:
    """The map and the key, of ``f(@m, k)`` and of the older ``f(@m[k])``."""
    first = args[0]
    if isinstance(first, ast.MapIndex) and len(args) == 1:
        return first.map, first.keys
    if isinstance(first, ast.MapRef):
        rest = tuple(args[1:2])
        if rest and isinstance(rest[0], ast.TupleExpr):
            return first, rest[0].items
        return first, rest
    return None, ()


def _check_key(c: Checker, name: str, args: Args) -> tuple[ast.MapRef | None, tuple[ast.Expr, ...]]:
    target, keys = _split(args)
    if target is None:
        c.value(args[0])
        c.error(f"{name}() expects a map to be provided", args[0].span)
        return None, ()
    info = _use(c, name, target, bool(keys))
    info.read_span = info.read_span or target.span
    if keys:
        types = [c.key_part(key) for key in keys]
        c.grow_key(info, types[0] if len(types) == 1 else T.tuple_of(*types), args[-1].span)
    return target, keys


def _use(c: Checker, name: str, target: ast.MapRef, keyed: bool) -> MapInfo:
    """Note that a function uses a map with or without a key."""
    info = c.map_info(target)
    if info.keyed is None or info.keyed == keyed:
        return c.use_map(target, keyed=keyed)
    wanted = "with explicit keys (non-scalar map)" if keyed else "without explicit keys (scalar map)"
    c.error(f"call to {name}() expects a map {wanted}", target.span)
    return info


class Delete(Builtin):
    """delete(@m, k): true when there was something to delete. delete(@scalar), delete(@m[k])."""

    arity = (1, 1000)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        first = args[0]
        scalar = isinstance(first, ast.MapRef) and c.map_info(first).keyed is False
        for group in self._groups(args, scalar):
            if len(group) > 2:
                c.error("delete() takes a map and one key", group[2].span, ["several parts are one tuple: (a, b)"])
            _check_key(c, "delete", group)
        return T.BOOL

    @staticmethod
    def _groups(args: Args, scalar: bool) -> list[Args]:
        """delete(@a[1], @b[2]), delete(@scalar, @b[2]): the several things of older scripts."""
        several = len(args) > 1 and (scalar or isinstance(args[0], ast.MapIndex))
        if several and all(isinstance(arg, (ast.MapIndex, ast.MapRef)) for arg in args):
            return [(arg,) for arg in args]
        return [args]

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        result: Value = g.const(0)
        first = args[0]
        scalar = isinstance(first, ast.MapRef) and not g.unit.layout(first.name).info.keyed
        for group in self._groups(args, scalar):
            target, keys = _split(group)
            assert target is not None
            result = g.delete_key(target, keys)
            if g.discarded is node and keys:
                self._warn(g, node, result)
        return result

    @staticmethod
    def _warn(g: Lowerer, node: ast.Expr, deleted: Value) -> None:
        """Nobody asks whether there was something to delete, so the user is told when there was not."""
        code = (T.INT64, lambda record, at: g.b.store(record, g.const(-ENOENT), 8, at))
        g.choose(
            "eq", deleted, g.const(0), lambda: g.emit("helper_error", [code], text="map_delete_elem", span=node.span)
        )


class HasKey(Builtin):
    """has_key(@m, k); has_key(@m[k])."""

    arity = (1, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        _check_key(c, "has_key", args)
        return T.BOOL

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        target, keys = _split(args)
        assert target is not None
        return g.has_key(target, keys)


class Find(Builtin):
    """find(@m, k, $v): true, and $v set, when the key is there."""

    arity = (3, 3)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        target, _ = _check_key(c, "find", args[:2])
        variable = args[2]
        if not isinstance(variable, ast.Var):
            c.value(variable)
            c.error("find()'s third argument is a variable", variable.span)
            return T.BOOL
        if target is not None:
            info = c.map_info(target)
            type = T.as_int(T.Type("agg", extra=info.agg)) if info.agg else info.value
            known = c.scope.find(variable.name)
            if known is None:
                known = c.declare(variable)
            c._touch(known, variable)
            if type is not T.UNKNOWN:
                c.grow_variable(known, type, variable.span)
        return T.BOOL

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        target, keys = _split(args[:2])
        variable = args[2]
        assert target is not None and isinstance(variable, ast.Var)
        there = g.has_key(target, keys)
        read = ast.MapIndex(node.span, target, keys)
        layout = g.unit.layout(target.name)
        read.type = T.Type("agg", extra=layout.agg) if layout.agg else layout.info.value
        info = g.variable(variable)
        if info.span is variable.span:  # find() is what declares it
            g.clear_variable(info)
        g.choose("ne", there, g.const(0), lambda: g._assign_variable(variable, read))
        return there


class Len(Builtin):
    """len(@m): how many entries; len of a stack: its frames."""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        first = args[0]
        if isinstance(first, ast.MapRef):
            info = c.map_info(first)
            info.read_span = info.read_span or first.span
            if info.keyed is None:
                return T.INT64
            if info.keyed or info.value.kind not in ("kstack", "ustack"):
                _use(c, "len", first, True)
                first.type = None
                return T.INT64
        type = c.value(first)
        if type.names and type.kind == "ustack":
            c.error(
                "len() of dw_ustack is not known in the kernel: the stack is unwound when it is printed", first.span
            )
        elif type.kind in ("kstack", "ustack"):
            if not _taken_here(first):
                c.stack_lengths = True
        elif type.kind != "unknown":
            c.error(f"len() expects a map or a stack to be provided, not '{T.name(type)}'", first.span)
        return T.INT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        first = args[0]
        if isinstance(first, ast.MapRef) and first.type is None:
            return g.count_entries(first)
        from cygnet.lang.trace.lower.stacks import count_frames, stored_frames

        if _taken_here(first):
            return count_frames(g, first.type)
        number = g.b.load(g.place(first, first.type), 8)
        return stored_frames(g, first.type, number)


def _taken_here(node: ast.Expr) -> bool:
    """Is it the probe's own stack, not one that was kept?"""
    return isinstance(node, (ast.Ident, ast.Call)) and node.name in ("kstack", "ustack")


ROWS: dict[str, Builtin] = {"delete": Delete("delete"), "has_key": HasKey("has_key"), "find": Find("find"),
                            "len": Len("len")}  # fmt: skip
