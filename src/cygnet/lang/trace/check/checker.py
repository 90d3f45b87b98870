"""The checker: statements, scopes and maps. Run again until no name's type changes."""

from __future__ import annotations

from cygnet.errors import SourceErrors, TraceTypeError
from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.check.exprs import ExprChecker
from cygnet.lang.trace.check.names import MapInfo, Scope, VarInfo, address_key
from cygnet.lang.trace.check.places import note_place
from cygnet.lang.trace.check.soft import settled, shape, together, warn_sign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cygnet.lang.trace.config import Config
    from cygnet.lang.trace.functions import InlineCall
    from cygnet.lang.trace.instances import Instance
    from cygnet.lang.trace.records import CTypes
    from cygnet.lang.trace.types import Type
    from cygnet.source import Span

MAP_KINDS = frozenset(("hash", "lruhash", "percpuhash", "percpulruhash"))
_LENGTHENED, _LONGEST_MADE = 5, 1024  # growths, before a string gets all that str_concat() makes
_ROUNDS = 12  # a name's type can only grow a few times: int8 … int64, string sizes


class Checker(ExprChecker):
    """Analyses the instances of a program: each is a probe's body with one kind of context."""

    def __init__(
        self, program: ast.Program, instances: Sequence[Instance], types: CTypes, config: Config, params: Any
    ) -> None:
        self.whole = self
        self.program = program
        self.instances = instances
        self.types = types
        self.config = config
        self.params = params
        self.maps: dict[str, MapInfo] = {}
        self.errors: list[TraceTypeError] = []
        self.undefined = set()
        self.warnings: list[TraceTypeError] = []
        self.unsafe = False
        self.own_names = []
        self.function: InlineCall | None = None  # the user function whose body is being looked at
        self.stack_lengths = False  # does the program ask how long stacks are that it keeps?
        self.changed = False
        self.final = False
        self.guess = False
        self.depth = 0
        self.loops = 0
        self._grown: tuple[str, Span] | None = None  # the name whose type changed last, and where
        self._variables: dict[tuple[int, int], VarInfo] = {}
        self._lengthened: dict[VarInfo | MapInfo, int] = {}  # how often a string's capacity has grown
        self._seen: set[tuple[str, int]] = set()
        self.instance: Instance = instances[0] if instances else None  # type: ignore[assignment]
        self.scope = Scope(None)
        self.expr_table = ast.handlers(self, "expr_")
        self.stmt_table = ast.handlers(self, "stmt_")

    def run(self) -> None:
        """Find every type. Raises SourceErrors with all that is wrong."""
        for round in range(_ROUNDS):
            self.changed = False
            self.errors, self.warnings, self._seen = [], [], set()
            for info in self.maps.values():
                info.decl = None
            for decl in self.program.map_decls:
                self._declare_map(decl)
            for instance in self.instances:
                self.check_instance(instance)
            if not self.changed:
                if self.final:
                    break
                # Once more: what is unknown (@x = @x + 1 alone) is a number; what stays unknown is an error.
                self.guess = self.final = True
            elif round == _ROUNDS - 2:
                self.final = True
        for info in self.maps.values():
            self._check_map(info)
            self._check_settled(info)
        if self.changed and self._grown is not None and not self.errors:
            self._endless(*self._grown)
        if self.errors:
            raise SourceErrors(sorted(self.errors, key=lambda e: e.span.start if e.span else 0))

    def check_instance(self, instance: Instance) -> None:
        """Analyse one probe body; the notes on its nodes then hold for this instance."""
        self.instance = instance
        self.scope = Scope(None)
        self.depth = self.loops = 0
        probe = instance.probe
        if probe.predicate is not None:
            self.condition(probe.predicate)
        self.block(probe.body)
        if self.final:
            for info in set(instance.variables.values()):
                if info.let and not info.written:
                    self.warn(f"Variable {info.name} is never assigned", info.span)

    def has_ksym(self, name: str) -> bool:
        """Does the system have a kernel symbol? Where that cannot be asked, the loader will tell."""
        ask = getattr(self.instance.target, "has_ksym", None)
        return True if ask is None else bool(ask(name))

    # -- reporting --------------------------------------------------------------------------------

    def error(self, message: str, span: Span, hints: Sequence[str] = ()) -> None:
        if (message, span.start) not in self._seen:
            self._seen.add((message, span.start))
            self.errors.append(TraceTypeError(message, span, hints))

    def warn(self, message: str, span: Span, hints: Sequence[str] = ()) -> None:
        if (message, span.start) not in self._seen:
            self._seen.add((message, span.start))
            self.warnings.append(TraceTypeError(message, span, hints))

    def warn_once(self, message: str, span: Span, hints: Sequence[str] = ()) -> None:
        """A warning that is given only for the first place."""
        if not any(warning.message == message for warning in self.warnings):
            self.warn(message, span, hints)

    # -- names ------------------------------------------------------------------------------------

    def declare(self, node: ast.Var, *, loop: bool = False) -> VarInfo:
        """A new variable of this scope; the same one in every round."""
        key = (self.instance.index, id(node))
        info = self._variables.get(key)
        if info is None:
            info = self._variables[key] = VarInfo(node.name, node.span, self.depth)
        if loop and self.scope.find(node.name) is not None:
            self.error(f"The loop's variable {node.name} was already declared in an outer scope", node.span,
                       ["give it a name of its own"])  # fmt: skip
        elif node.name in self.scope.names or (not loop and self.scope.find(node.name) is not None):
            self.error(f"Variable {node.name} was already declared. Variable shadowing is not allowed.", node.span)
        info.written = False  # in this round
        self.scope.names[node.name] = info
        self.instance.variables[id(node)] = info
        return info

    def grow_variable(self, info: VarInfo, type: Type, span: Span, value: ast.Expr | None = None) -> None:
        """`info` is given `value`, of `type`."""
        info.written = True
        if info.fixed:
            if self.fits(info.type, type, span, info.name) and info.type.kind == type.kind == "int":
                self._warn_narrowing(info.type, type, span)
            return
        merged = self.merge(info, type, value)
        if merged is None:
            self.error(
                f"Type mismatch for {info.name}: trying to assign value of type '{T.name(type)}' when variable "
                f"already has a type '{T.name(info.type)}'",
                span,
            )
        elif merged != info.type:
            info.type = merged
            self._grow(info.name, span)
        warn_sign(self, info.type, type, info.name, span)

    def _warn_narrowing(self, declared: Type, given: Type, span: Span) -> None:
        wider = T.promote_int(declared, given)
        if self.final and wider != declared:
            self.warn(f"a value of type '{T.name(given)}' may not fit '{T.name(declared)}'", span)

    def fits(self, declared: Type, given: Type, span: Span, what: str) -> bool:
        """Is a value of type `given` acceptable where `declared` is fixed?"""
        merged = T.promote(declared, given)
        if merged is None or T.longer(given, declared):
            self.error(
                f"Type mismatch for {what}: trying to assign value of type '{T.name(given)}' when it was declared as "
                f"'{T.name(declared)}'",
                span,
            )
            return False
        return True

    def map_info(self, node: ast.MapRef) -> MapInfo:
        info = self.maps.get(node.name)
        if info is None:
            info = self.maps[node.name] = MapInfo(node.name, node.span)
        return info

    def use_map(self, node: ast.MapRef, keyed: bool) -> MapInfo:
        """Note that a map is used with or without a key."""
        info = self.map_info(node)
        if info.keyed is None:
            info.keyed = keyed
            info.span = node.span
            self.changed = True
        elif info.keyed != keyed:
            if keyed:
                self.error(f"{node.name} used as a map with an explicit key (non-scalar map), previously used without "
                           "an explicit key (scalar map)", node.span)  # fmt: skip
            else:
                self.error(f"{node.name} used as a map without an explicit key (scalar map), previously used with an "
                           "explicit key (non-scalar map)", node.span)  # fmt: skip
        return info

    def grow_key(self, info: MapInfo, type: Type, span: Span) -> None:
        if type.kind in ("args", "agg", "none", "float", "never") or (type.kind == "ptr" and type.space == T.CTX):
            self.error(f"'{T.name(type)}' cannot be used as a map key", span)
            return
        merged = T.promote(settled(info.key, info.key_shape), type) or address_key(info.key, T.harden(type))
        if merged is None:
            self.error(
                f"Argument mismatch for {info.name}: trying to access with arguments: '{T.name(type)}' when map expects "
                f"arguments: '{T.name(info.key)}'",
                span,
                [f"its keys have that type since {info.key_span}"] if info.key_span is not span else [],
            )
            return
        info.key_shape = merged
        warn_sign(self, info.key, type, f"{info.name}'s key", span)
        if T.harden(merged) != info.key:
            info.key = T.harden(merged)
            info.key_span = span
            self._grow(info.name, span)

    def _grow(self, name: str, span: Span) -> None:
        self.changed = True
        self._grown = name, span

    def merge(self, info: VarInfo | MapInfo, type: Type, value: ast.Expr | None) -> Type | None:
        """The type of a name that is given one more value; literals take the sign of what else it is given."""
        known = info.type if isinstance(info, VarInfo) else info.value
        if self.final and known.kind == type.kind == "ptr" and value is not None:
            self.warn_pointers(known, type, value)
        if type.kind == "int" and known.kind in ("int", "unknown"):
            note_place(self, info, value)
        merged = T.promote(settled(known, info.shape), shape(value, type))
        if merged is None:
            return None
        info.shape = merged
        merged = T.harden(merged)
        return self._settled(info, merged) if type.kind == known.kind == "str" else merged

    def _settled(self, info: VarInfo | MapInfo, merged: Type | None) -> Type | None:
        """A string that is made of itself ($s = str_concat($s, …)) grows each time: after a few, to all it may have."""
        known = info.type if isinstance(info, VarInfo) else info.value
        if merged is None or merged == known:
            return merged
        times = self._lengthened[info] = self._lengthened.get(info, 0) + 1
        return merged if times < _LENGTHENED else T.string(max(merged.size, _LONGEST_MADE))

    def grow_value(self, info: MapInfo, type: Type, span: Span, value: ast.Expr | None = None) -> None:
        """A plain value is assigned to a map."""
        info.written = True
        if info.agg is not None:
            self.error(
                f"Map value '{info.agg.kind}_t' cannot be assigned from '{T.name(type)}': "
                f"{info.name} is an aggregation",
                span,
                ["use clear() or delete() to reset it"],
            )
            return
        if type.kind in ("none", "args", "never", "float"):
            self.error(f"'{T.name(type)}' cannot be stored in a map", span)
            return
        merged = self.merge(info, type, value)
        if merged is None:
            self.error(
                f"Type mismatch for {info.name}: trying to assign value of type '{T.name(type)}' when map already has a "
                f"type '{T.name(info.value)}'",
                span,
                [f"it has that type since {info.value_span}"] if info.value_span is not span else [],
            )
        elif merged != info.value:
            info.value = merged
            info.value_span = span
            self._grow(info.name, span)
        warn_sign(self, info.value, type, info.name, span)

    def grow_aggregate(self, info: MapInfo, agg: T.Agg, span: Span, soft: bool = False) -> None:
        """``@m = count()`` and its like; `soft`: of a literal, whose sign is that of the others."""
        info.written = True
        if info.value is not T.UNKNOWN:
            self.error(
                f"Type mismatch for {info.name}: trying to assign value of type '{agg.kind}_t' when map already has a "
                f"type '{T.name(info.value)}'",
                span,
            )
            return
        old = info.agg
        if old is None:
            info.agg, info.agg_span, info.agg_soft, self.changed = agg, span, soft, True
            return
        if old.kind != agg.kind:
            self.error(
                f"Type mismatch for {info.name}: trying to assign value of type '{agg.kind}_t' when map already has a "
                f"type '{old.kind}_t'",
                span,
            )
        elif old.args != agg.args:
            self.error(f"Different {agg.kind} parameters for {info.name}: {agg.args} here, {old.args} before", span)
        elif not soft and agg.signed != old.signed and (agg.signed or info.agg_soft):
            info.agg, self.changed = agg, True
        info.agg_soft &= soft

    def _declare_map(self, decl: ast.MapDecl) -> None:
        info = self.map_info(decl.map)
        if info.decl is not None:
            self.error(f"{decl.map.name} is declared twice", decl.span)
            return
        info.decl = decl
        if decl.kind not in MAP_KINDS:
            from cygnet.lang.trace.suggest import did_you_mean

            guess = did_you_mean(decl.kind, MAP_KINDS)
            hint = f"did you mean {guess}?" if guess else "one of " + " ".join(sorted(MAP_KINDS))
            self.error(f"Unknown map kind: {decl.kind}", decl.span, [hint])
        for arg in decl.args:
            self.value(arg)
        size = decl.args[0].const if len(decl.args) == 1 else None
        if type(size) is not int or not 1 <= size < 1 << 32:
            self.error(f"{decl.kind}() takes how many entries the map may have, a literal number", decl.span)

    def _check_settled(self, info: MapInfo) -> None:
        """No type fits a map of tuples that hold the map's own values, for instance."""
        key = bool(info.keyed) and T.undecided(info.key)
        if info.written and not self.errors and (key or (info.agg is None and T.undecided(info.value))):
            self._endless(info.name, info.key_span if key else info.value_span)

    def _endless(self, name: str, span: Span) -> None:
        self.error(f"The type of {name} can not be found: it depends on itself", span)

    def _check_map(self, info: MapInfo) -> None:
        if not info.written and info.read_span is not None:
            from cygnet.lang.trace.suggest import did_you_mean

            guess = did_you_mean(info.name, [other.name for other in self.maps.values() if other.written])
            self.error(f"Undefined map: {info.name}", info.read_span, [f"did you mean {guess}?"] if guess else [])
        decl = info.decl
        if decl is None:
            return
        if info.keyed is None:
            self.warn(f"Unused map: {info.name}", decl.span)
        elif info.agg is not None and decl.kind in ("hash", "lruhash"):
            self.error(
                f"{info.name} is declared as {decl.kind}, which does not hold {info.agg.kind}()",
                info.agg_span,
                [f"declare it as percpu{decl.kind}, or leave the declaration out"],
            )
        elif info.agg is None and decl.kind.startswith("percpu"):
            self.error(
                f"{info.name} is declared as {decl.kind}, which holds only aggregations such as count()",
                info.value_span,
                [f"declare it as {decl.kind.removeprefix('percpu')}"],
            )

    # -- statements -------------------------------------------------------------------------------

    def block(
        self, block: ast.Block, *, statement: bool = False, last: Callable[[ast.Expr], Type] | None = None
    ) -> Type:
        """Check a block; its type is that of its value, which a `statement` does not use, and `last` checks."""
        outer = self.scope
        self.scope = Scope(outer)
        ended = False
        for stmt in block.stmts:
            if ended and self.final:
                self.warn("Unreachable code", stmt.span)
            self.stmt_table[type(stmt)](stmt)
            ended = isinstance(stmt, (ast.Return, ast.Break, ast.Continue)) or (
                isinstance(stmt, ast.ExprStmt) and stmt.expr.type is not None and stmt.expr.type.kind == "never"
            )
        result = T.NONE
        if block.value is not None:
            result = last(block.value) if last is not None else self.expr(block.value, statement=statement)
        self.scope = outer
        return result

    def stmt_Block(self, node: ast.Block) -> None:
        self.block(node)

    def stmt_ExprStmt(self, node: ast.ExprStmt) -> None:
        type = self.expr(node.expr, statement=True)
        if type.kind not in ("none", "unknown", "never") and self._is_wasted(node.expr):
            self.warn("Return value discarded.", node.expr.span, ["write `_ = …` to say that it is meant"])

    @staticmethod
    def _is_wasted(node: ast.Expr) -> bool:
        """Has the statement no effect but its value?"""
        if isinstance(node, ast.Call):
            return node.name not in ("delete", "find", "skboutput", "write_user")
        return isinstance(node, (ast.Binary, ast.IntLit, ast.StrLit, ast.Var, ast.MapIndex, ast.Ident, ast.Field))

    def stmt_Discard(self, node: ast.Discard) -> None:
        self.expr(node.value)

    def stmt_Assign(self, node: ast.Assign) -> None:
        target = node.target
        if node.op != "=":
            self.expr(target)
            self._compound(node)
        elif isinstance(target, ast.Var):
            type = self._plain(node.value)
            info = self.scope.find(target.name)
            if info is None:
                info = self.declare(target)
            self._touch(info, target)
            self._give(info, type, node.value)
            if isinstance(node.value, ast.Call) and node.value.name == "nsecs":
                info.clock = clock_of(node.value)
            target.type = info.type
        elif isinstance(target, (ast.MapRef, ast.MapIndex)):
            self._assign_map(target, node.value)
        else:
            self.error("Only variables and maps can be assigned to", target.span)

    def _plain(self, node: ast.Expr) -> Type:
        """The type a variable takes from an expression: of an aggregation, the number of the moment."""
        type = self.value(node)
        if type.kind != "agg":
            return type
        if type.extra.kind in T.CASTABLE:
            return T.as_int(type)
        self.error(f"Map value '{T.name(type)}' can not be assigned to a variable: it can only be printed", node.span)
        return T.UNKNOWN

    def _compound(self, node: ast.Assign) -> None:
        target = node.target
        if not isinstance(target, (ast.Var, ast.MapRef, ast.MapIndex)):
            self.error("Only variables and maps can be assigned to", target.span)
            return
        right = self.value(node.value)
        left = target.type
        op = node.op[:-1]
        if left.kind == "ptr" and op in "+-" and right.kind in T.NUMERIC:
            result = left
        else:
            result = self.arithmetic(op, left, right, target, node.value, node.span)
        if isinstance(target, ast.Var):
            info = self.scope.find(target.name)
            if info is not None:
                self.grow_variable(info, result, node.span)
        else:
            ref = target if isinstance(target, ast.MapRef) else target.map
            self.grow_value(self.map_info(ref), result, node.span)

    def _touch(self, info: VarInfo, node: ast.Var) -> None:
        """`node` names this variable here."""
        self.instance.variables[id(node)] = info
        if self.depth > info.depth and not info.captured:
            info.captured = True
            self.changed = True

    def _assign_map(self, target: ast.MapRef | ast.MapIndex, value: ast.Expr) -> None:
        info = self.target_map(target)
        if self.gives_aggregate(value):
            from cygnet.lang.trace.check.aggregates import assign_aggregate

            assign_aggregate(self, info, value)
            return
        type = self.value(value)
        if type.kind == "agg" and info.agg is None:
            if type.extra.kind not in T.CASTABLE or (info.value.kind != "int" and (self.final or self.guess)):
                from cygnet.lang.trace.check.aggregates import aggregate_copied

                aggregate_copied(self, info, type, value)
                return
            if info.value.kind != "int":
                return  # a later assignment may still say that it is a map of integers
            type = T.as_int(type)
        self.grow_value(info, type, value.span, value)
        if isinstance(value, ast.Call) and value.name == "nsecs":
            info.clock = clock_of(value)
        target.type = info.value

    def target_map(self, target: ast.MapRef | ast.MapIndex) -> MapInfo:
        """The map behind an assignment's left side; its key is checked."""
        if isinstance(target, ast.MapRef):
            return self.use_map(target, keyed=False)
        info = self.use_map(target.map, keyed=True)
        self.map_key(info, target)
        return info

    def map_key(self, info: MapInfo, node: ast.MapIndex) -> None:
        types = [self.key_part(key) for key in node.keys]
        self.grow_key(info, types[0] if len(types) == 1 else T.tuple_of(*types), node.span)

    def key_part(self, node: ast.Expr) -> Type:
        """A key's type, with literals marked."""
        type = self.value(node)
        if type.kind == "agg" and type.extra.kind in T.CASTABLE:
            return T.as_int(type)
        return shape(node, type)

    def stmt_Let(self, node: ast.Let) -> None:
        type = self._plain(node.value) if node.value is not None else None
        info = self.declare(node.var)
        info.let = node.value is None
        if node.target is not None:
            self.declare_type(info, node.target)
        if type is not None:
            assert node.value is not None
            self._give(info, type, node.value)

    def _give(self, info: VarInfo, given: Type, value: ast.Expr) -> None:
        """A variable is assigned an expression: a literal must fit a declared type, the rest is converted."""
        const = value.const
        if info.fixed and info.type.kind == "int" and type(const) is int:
            info.written = True
            if not T.holds(info.type, const):
                self.error(f"Type mismatch: {const} does not fit '{T.name(info.type)}'", value.span)
        else:
            self.grow_variable(info, given, value.span, value)

    def stmt_If(self, node: ast.If) -> None:
        self.condition(node.cond)
        dead = None
        if isinstance(node.cond, ast.Comptime):  # the dead branch is not checked
            dead = node.then if not node.cond.const else node.orelse
        if node.then is not dead:
            self.block(node.then)
        if node.orelse is not None and node.orelse is not dead:
            self.stmt_table[type(node.orelse)](node.orelse)

    def stmt_While(self, node: ast.While) -> None:
        self.warn("while loops are deprecated", node.span, ["for ($i : 0..10) loops over a range"])
        self.condition(node.cond)
        self.loops += 1
        self.block(node.body)
        self.loops -= 1
        if getattr(node.cond, "const", None) and not any(map(_leaves, ast.walk(node.body))):
            self.warn("this loop never ends by itself: the kernel cuts it after a quarter of a second", node.cond.span)

    def stmt_Unroll(self, node: ast.Unroll) -> None:
        self.value(node.count)
        count = node.count.const
        if type(count) is not int:
            self.error("unroll() takes a literal number", node.count.span)
        elif not 1 <= count <= 100:
            limit = "minimum value is 1" if count < 1 else "maximum value is 100"
            self.error(f"unroll {limit}", node.span._replace(end=node.count.span.end))
        self.loops += 1
        self.block(node.body)
        self.loops -= 1

    def stmt_ForMap(self, node: ast.ForMap) -> None:
        info = self.map_info(node.map)
        info.read_span = info.read_span or node.map.span
        self.use_map(node.map, keyed=True)
        if info.agg is not None and info.agg.kind not in T.CASTABLE:
            self.error(f"Loop expression does not support type: {info.agg.kind}_t", node.map.span)
            return
        value = T.as_int(T.Type("agg", extra=info.agg)) if info.agg is not None else info.value
        outer, self.scope = self.scope, Scope(self.scope)
        self.depth += 1
        self.loops += 1
        var = self.declare(node.var, loop=True)
        self.grow_variable(var, T.tuple_of(info.key, value), node.var.span)
        self.block(node.body)
        self.loops -= 1
        self.depth -= 1
        self.scope = outer

    def stmt_ForRange(self, node: ast.ForRange) -> None:
        start, stop = self.number(node.start, "a loop bound"), self.number(node.stop, "a loop bound")
        outer, self.scope = self.scope, Scope(self.scope)
        self.loops += 1
        var = self.declare(node.var, loop=True)
        type = together(node.start, node.stop, T.as_int(start), T.as_int(stop))
        self.grow_variable(var, type or T.INT64, node.var.span)
        self.block(node.body)
        self.loops -= 1
        self.scope = outer

    def expr_InlineCall(self, node: InlineCall) -> Type:
        from cygnet.lang.trace.check import calls

        return calls.check_call(self, node)

    def stmt_Return(self, node: ast.Return) -> None:
        if self.function is not None:
            from cygnet.lang.trace.check import calls

            calls.check_return(self, node)
        elif node.value is not None:
            self.number(node.value, "what a probe returns")

    def stmt_Break(self, node: ast.Break) -> None:
        if not self.loops:
            self.error("break used outside of a loop", node.span)

    def stmt_Continue(self, node: ast.Continue) -> None:
        if not self.loops:
            self.error("continue used outside of a loop", node.span)


def _leaves(node: ast.Node) -> bool:
    """Whether a statement in a loop may end it."""
    return isinstance(node, (ast.Break, ast.Return)) or (isinstance(node, ast.Call) and node.name == "exit")


def clock_of(call: ast.Call) -> str:
    """The clock that ``nsecs(mode)`` reads; strftime() wants to know it."""
    return str(getattr(call.args[0], "name", "")) if call.args else "boot"
