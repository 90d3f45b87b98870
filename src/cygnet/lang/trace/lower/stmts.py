"""The lowerer: statements, loops and whole programs."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.lower.maps import MapLowerer
from cygnet.lang.trace.lower.operands import Gen, Mem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from cygnet.ir.core import Block, Module, Value
    from cygnet.lang.trace.check.names import VarInfo
    from cygnet.lang.trace.functions import InlineCall
    from cygnet.lang.trace.instances import Instance
    from cygnet.lang.trace.lower.calls import Activation
    from cygnet.lang.trace.lower.unit import Layout, Unit
    from cygnet.source import Span

_GO_ON, _STOP = 0, 1  # what a callback tells the kernel's loop
#: the frame begins with that word and a pointer to what is too large for it
_FRAME_HEADER, _FRAME_BYTES, _SMALL = 16, 160, 32
_FEW = 4
_SURE = 1024  # rounds that the kernel's budget for loops surely allows, and a loop of so many in another
_BRANCHES = (ast.If, ast.IfExpr, ast.Ternary, ast.Break, ast.Continue, ast.While, ast.ForRange, ast.ForMap)
_RETURNED, _BROKE, _LEFT = 1, 2, 3  # what the first word of the frame tells about a callback that stopped


def _sure(node: ast.ForRange) -> bool:
    """Whether a loop is short enough never to be cut."""
    start, stop = (getattr(bound, "const", None) for bound in (node.start, node.stop))
    return isinstance(start, int) and isinstance(stop, int) and stop - start <= _SURE


class Lowerer(MapLowerer):
    """Lowers one instance to a module."""

    def __init__(self, unit: Unit, instance: Instance, name: str) -> None:
        super().__init__(unit, instance, name)
        self.whole = self
        self.expr_table = ast.handlers(self, "low_")
        self.stmt_table = ast.handlers(self, "stmt_")
        self._callbacks = 0
        self.counted: list[VarInfo] = []  # what the loop that is being lowered counts in the shared frame
        self.active: list[Activation] = []  # user functions whose bodies are being lowered
        self.types: Any = None
        self.only_pid = False

    def module(self) -> Module:
        from cygnet.ir.core import Module

        probe = self.instance.probe
        self._make_frame()
        if self.only_pid:
            self._check_pid()
        if self.instance.match.kind == "iter":
            self._skip_end()
        if probe.predicate is not None:
            b = self.b
            yes, no = b.new_block(), b.new_block()
            self.condition(probe.predicate, yes, no)
            if no.preds:
                b.open(no)
                b.ret(self.const(0))
            if yes.preds:
                b.open(yes)
        if not self.b.ended:
            self.block(probe.body)
        if not self.b.ended:
            self.b.ret(self.const(0))
        return Module(self.functions)

    def _check_pid(self) -> None:
        """End at once in every process but the one that is watched (-p)."""
        from cygnet.lang.trace.builtins.task import thread_group

        b = self.b
        ours, others = b.new_block(), b.new_block()
        b.br("eq", thread_group(self), self.session("target_pid"), ours, others)
        b.open(others)
        b.ret(self.const(0))
        b.open(ours)

    def _skip_end(self) -> None:
        """An iterator runs its program once more when it has come to its end, with no object."""
        from cygnet.probes.iterator import context

        name = context(self.instance.match.parsed.target)
        record = self.types.find("struct", name).extra
        members = [m for m in record.flat().values() if m.type.kind == "ptr" and m.name != "meta"]
        if members:
            first = min(members, key=lambda member: member.offset)
            place = Mem(self.ctx(), T.KERNEL, first.type, first.offset, root=name, path=first.name)
            b = self.b
            more, end = b.new_block(), b.new_block()
            b.br("ne", self.read(place, 8, False), self.const(0), more, end)
            b.open(end)
            b.ret(self.const(0))
            b.open(more)

    def _make_frame(self) -> None:
        """Memory for variables that loop bodies share with the code around them."""
        small, large = _FRAME_HEADER, 0
        for info in self.instance.variables.values():
            if not info.captured or info in self.captured:
                continue
            size = max(8, T.storage(info.type))
            if size > _SMALL or small + size > _FRAME_BYTES:
                self.captured[info] = (True, large)
                large += size
            else:
                self.captured[info] = (False, small)
                small += size
        if not any(isinstance(node, ast.ForMap) for node in ast.walk(self.instance.probe.body)):
            return
        self.frame = self.new_slot(small, "frame")
        self.b.memzero(self.frame, small)
        if large:
            self.large = self.new_slot(large, "shared")
            self.b.memzero(self.large, large)
            self.b.store(self.frame, self.large, 8, 8)

    # -- statements -------------------------------------------------------------------------------

    def block(self, block: ast.Block) -> None:
        """Lower a block's statements; what follows the end of the program is dropped."""
        for stmt in block.stmts:
            if self.b.ended:
                break
            self.b.span = stmt.span
            self.stmt_table[stmt.__class__](stmt)

    def stmt_Block(self, node: ast.Block) -> None:
        self.block(node)

    def stmt_ExprStmt(self, node: ast.ExprStmt) -> None:
        self.statement_expr(node.expr)

    def statement_expr(self, node: ast.Expr) -> None:
        """An expression whose value nobody wants."""
        self.b.span = node.span
        if isinstance(node, ast.Unary) and node.op in ("++", "--"):
            self.step(node, wanted=False)
        elif isinstance(node, ast.Ternary):
            then = node.then if node.then is not None else node.cond
            self._branch(node.cond, lambda: self.statement_expr(then), lambda: self.statement_expr(node.orelse))
        elif isinstance(node, ast.IfExpr):
            self._if_statement(node)
        elif isinstance(node, ast.BlockExpr):
            self.block(node.block)
            if node.block.value is not None and not self.b.ended:
                self.statement_expr(node.block.value)
        elif node.const is None:
            self.discarded = node
            thing = self.operand(node)
            if isinstance(thing, Gen) and thing.once and node.type.kind not in ("none", "never"):
                self.in_memory(thing, node.type)

    def _if_statement(self, node: ast.IfExpr) -> None:
        def run(part: ast.Block | ast.IfExpr) -> None:
            if isinstance(part, ast.IfExpr):
                self._if_statement(part)
                return
            self.block(part)
            if part.value is not None and not self.b.ended:
                self.statement_expr(part.value)

        orelse = node.orelse
        self._branch(node.cond, lambda: run(node.then), None if orelse is None else lambda: run(orelse))

    def stmt_Discard(self, node: ast.Discard) -> None:
        if node.value.const is None:
            thing = self.operand(node.value)
            if isinstance(thing, Gen) and thing.once:
                self.in_memory(thing, node.value.type)

    def stmt_Assign(self, node: ast.Assign) -> None:
        target = node.target
        if node.op != "=":
            self._compound(node)
        elif isinstance(target, ast.Var):
            self._assign_variable(target, node.value)
        else:
            assert isinstance(target, (ast.MapRef, ast.MapIndex))
            self.assign_map(target, node.value)

    def _assign_variable(self, target: ast.Var, value: ast.Expr) -> None:
        info = self.variable(target)
        if info.type.kind in T.SCALARS:
            self.assign_value(target, self.scalar(value), value.type)
            return
        place = self.variable_place(info)
        assert place is not None
        thing = None if isinstance(value.const, bytes) else self.operand(value)
        if isinstance(thing, Mem) and thing.addr is place.addr and thing.offset == place.offset:
            return  # $x = $x
        if thing is None:
            self.store(value, info.type, place.addr, place.offset)
            return
        if isinstance(thing, Gen) and thing.once:  # it may read the variable while it is written
            thing = Mem(self.in_memory(thing, info.type), "bpf", info.type)
        self.put(thing, info.type, place.addr, place.offset, False)

    def _compound(self, node: ast.Assign) -> None:
        target, op = node.target, node.op[:-1]
        assert isinstance(target, (ast.Var, ast.MapRef, ast.MapIndex))
        amount = self.scalar(node.value)
        if target.type.kind == "ptr" and target.type.elem is not None:
            amount = self.b.binary("mul", amount, self.const(target.type.elem.size or 1))
        if not isinstance(target, ast.Var) and op in "+-":
            if self.map_add(target, amount if op == "+" else self.b.neg(amount)):
                return
        old = self.scalar(target)
        signed = target.type.signed or op == "-" or node.value.type.signed
        result = T.INT64 if signed else T.UINT64
        new = self.arithmetic(op, old, amount, node)
        self.assign_value(target, new, target.type if target.type.kind == "ptr" else result)

    def stmt_Let(self, node: ast.Let) -> None:
        info = self.variable(node.var)
        if node.value is not None:
            self._assign_variable(node.var, node.value)
            return
        self.clear_variable(info)

    def clear_variable(self, info: VarInfo) -> None:
        place = self.variable_place(info)
        if place is None:
            self.b.write(info, self.const(0))
        else:
            self.b.memzero(place.addr, max(8, T.storage(info.type)), place.offset)

    def stmt_If(self, node: ast.If) -> None:
        orelse = node.orelse
        other = None if orelse is None else lambda: self.stmt_table[orelse.__class__](orelse)
        self._branch(node.cond, lambda: self.block(node.then), other)

    def stmt_While(self, node: ast.While) -> None:
        b = self.b
        changed = self._hide_variables(node)
        head, test, body, next_, out = (b.new_block() for _ in range(5))
        cut = b.new_block() if self._can_be_cut() else out
        b.jump(head)
        b.start(head)
        self.memo.append({})
        b.may_goto(test, cut)
        b.open(test)
        self.condition(node.cond, body, out)
        if body.preds:
            b.open(body)
            self.exits.append((out, next_))
            self.block(node.body)
            self.exits.pop()
            if not self.b.ended:
                b.jump(next_)
            if next_.preds:
                b.open(next_)
                self._forget(changed)
                b.jump(head)
        self.memo.pop()
        b.seal(head)
        self._tell_cut(cut, out, node.cond.span)
        b.open(out)

    def _can_be_cut(self) -> bool:
        """Whether the kernel ends loops: an older one follows them, and would find nothing that leads to a cut."""
        from cygnet.errors import SystemCallError

        has = getattr(self.instance.target, "has", None)
        try:
            return has is not None and bool(has("may_goto"))
        except SystemCallError:  # not for us to ask
            return False

    def _tell_cut(self, cut: Block, out: Block, span: Span) -> None:
        """The kernel's budget for loops is spent, so that this one ended before its condition said so."""
        if cut is out:
            return
        self.b.open(cut)
        limit = "a quarter of a second (before Linux 6.15: 8 million rounds)"
        self.runtime_error(f"The loop was cut: the kernel allows the loops of a probe {limit}", span)
        self.b.jump(out)

    def _forget(self, variables: Iterable[object]) -> None:
        """Make numbers unknown to the verifier at the end of a round.

        A loop is verified when a round begins in a state that an earlier one covers. What the last round
        shows of a number (its range, or that it is another one plus 1) only makes more states."""
        for variable in variables:
            mixed = self.b.binary("xor", self.b.read(variable), self.const(1))
            self.b.write(variable, self.b.binary("xor", mixed, self.const(1)))

    def _hide_variables(self, node: ast.While | ast.Unroll | ast.ForRange) -> list[VarInfo]:
        """Make the numbers that a loop changes unknown to the verifier; gives those that live in registers."""
        changed: list[VarInfo] = []
        inside = {id(inner.span) for inner in ast.walk(node) if isinstance(inner, ast.Var)}
        for inner in ast.walk(node):
            target = inner.target if isinstance(inner, ast.Assign) else None
            if isinstance(inner, ast.Unary) and inner.op in ("++", "--"):
                target = inner.operand
            info = self.instance.variables.get(id(target)) if isinstance(target, ast.Var) else None
            if info is not None and info not in changed and id(info.span) not in inside:
                if self.variable_place(info) is None and info.type.kind in T.SCALARS:
                    changed.append(info)
                    self.b.write(info, self.b.add(self.b.read(info), self.opaque_zero()))
        return changed

    def stmt_Unroll(self, node: ast.Unroll) -> None:
        b = self.b
        out = b.new_block()
        branches = any(isinstance(inner, _BRANCHES) for inner in ast.walk(node.body))
        for _ in range(node.count.const):
            if b.ended:
                break
            if branches and node.count.const > _FEW:
                self._hide_variables(node)  # else the verifier follows each number of rounds taken so or so
            after = b.new_block()
            self.memo.append({})
            self.exits.append((out, after))
            self.block(node.body)
            self.exits.pop()
            self.memo.pop()
            if not b.ended:
                b.jump(after)
            if after.preds:
                b.open(after)
        if not b.ended:
            b.jump(out)
        if out.preds:
            b.open(out)

    def stmt_ForRange(self, node: ast.ForRange) -> None:
        b = self.b
        info = self.variable(node.var)
        start, stop = self.scalar(node.start), self.scalar(node.stop)
        counter = object()
        b.write(counter, self.b.add(start, self.opaque_zero()))
        changed = self._hide_variables(node)
        head, test, body, next_, out = (b.new_block() for _ in range(5))
        short = _sure(node) and len(self.exits) < 2
        cut = out if short or not self._can_be_cut() else b.new_block()
        b.jump(head)
        b.start(head)
        self.memo.append({})
        b.may_goto(test, cut)
        b.open(test)
        b.br("slt" if info.type.signed else "ult", b.read(counter), stop, body, out)
        if body.preds:
            b.open(body)
            self.assign_value(node.var, b.read(counter), info.type)
            self.exits.append((out, next_))
            self.block(node.body)
            self.exits.pop()
            if not b.ended:
                b.jump(next_)
            if next_.preds:
                b.open(next_)
                b.write(counter, b.add(b.read(counter), self.const(1)))
                self._forget([counter, *changed])
                b.jump(head)
        self.memo.pop()
        b.seal(head)
        self._tell_cut(cut, out, node.var.span)
        b.open(out)

    def stmt_Break(self, node: ast.Break) -> None:
        self._leave(0)

    def stmt_Continue(self, node: ast.Continue) -> None:
        self._leave(1)

    def _leave(self, which: int) -> None:
        target = self.exits[-1][which]
        if target is not None:
            self.b.jump(target)
            return
        if which == 0:
            assert self.frame is not None
            self.b.store(self.frame, self.const(_BROKE), 8)
        else:
            self._blur(self.counted)
        self.b.ret(self.const(_STOP if which == 0 else _GO_ON))

    def low_InlineCall(self, node: InlineCall) -> Value | Mem | Gen:
        from cygnet.lang.trace.lower.calls import lower_call

        return lower_call(self, node)

    def leave_callback(self) -> None:
        """Leave a user function from inside a loop over a map."""
        assert self.frame is not None
        self.b.store(self.frame, self.const(_LEFT), 8)
        self.b.ret(self.const(_STOP))

    def stmt_Return(self, node: ast.Return) -> None:
        if self.active:
            from cygnet.lang.trace.lower.calls import lower_return

            lower_return(self, node.value)
            return
        if node.value is not None and self.instance.match.kind in ("test", "bench"):
            self.b.ret(self.b.zext(self.scalar(node.value), 4))
            return
        if node.value is not None:
            self.statement_expr(node.value)
        self.finish()

    def finish(self) -> None:
        """End the probe here, from inside a loop's callback too."""
        if not self.depth:
            self.b.ret(self.const(0))
            return
        assert self.frame is not None
        self.b.store(self.frame, self.const(_RETURNED), 8)
        self.b.ret(self.const(_STOP))

    # -- loops over maps --------------------------------------------------------------------------

    def stmt_ForMap(self, node: ast.ForMap) -> None:
        """The kernel calls the body for each element (bpf_for_each_map_elem)."""
        layout = self.unit.layout(node.map.name)
        b = self.b
        after = b.new_block()
        self._blur(self._counted(node))
        for map, key in layout.stores:
            assert self.frame is not None and key is not None
            name = self._callback(node, layout, map, key)
            b.call("for_each_map_elem", b.map(map), b.func(name), self.frame, self.const(0))
            go_on, ended, returned, broke = (b.new_block() for _ in range(4))
            word = b.load(self.frame, 8)
            b.br("eq", word, self.const(0), go_on, ended)
            b.open(ended)
            b.br("eq", word, self.const(_RETURNED), returned, broke)
            b.open(returned)
            b.ret(self.const(_STOP if self.depth else 0))
            b.open(broke)
            if self.active:
                self._left(word)
            b.store(self.frame, self.const(0), 8)
            b.jump(after)
            b.open(go_on)
        b.jump(after)
        b.open(after)

    def _counted(self, node: ast.ForMap) -> list[VarInfo]:
        """Numbers of the shared frame that a loop's body changes."""
        found: list[VarInfo] = []
        for inner in ast.walk(node.body):
            target = inner.target if isinstance(inner, ast.Assign) else None
            if isinstance(inner, ast.Unary) and inner.op in ("++", "--"):
                target = inner.operand
            info = self.instance.variables.get(id(target)) if isinstance(target, ast.Var) else None
            if info is not None and info not in found and info.type.kind in T.NUMERIC:
                if not self.captured.get(info, (True, 0))[0]:
                    found.append(info)
        return found

    def _blur(self, variables: list[VarInfo]) -> None:
        """Make numbers unknown to the verifier between the rounds of a callback, which it follows until a round begins
        as an earlier one did: a counter that it knows would make each of them a new one, for minutes."""
        for info in variables:
            place = self.variable_place(info)
            assert place is not None
            known = self.b.load(place.addr, 8, place.offset)
            self.b.store(place.addr, self.b.add(known, self.opaque_zero()), 8, place.offset)

    def _left(self, word: Value) -> None:
        """After a loop: the function around it may have been left."""
        b, active = self.b, self.active[-1]
        left, broke = b.new_block(), b.new_block()
        b.br("eq", word, self.const(_LEFT), left, broke)
        b.open(left)
        if active.depth == self.depth:
            b.store(self.frame, self.const(0), 8)  # type: ignore[arg-type]
            b.jump(active.out)
        else:
            b.ret(self.const(_STOP))
        b.open(broke)

    def _callback(self, node: ast.ForMap, layout: Layout, map: str, key_type: T.Type) -> str:
        """The loop's body as a function of (map, key, value, frame)."""
        self._callbacks += 1
        name = f"{self.name}_loop{self._callbacks}"
        saved = (self.b, self.frame, self.large, self.memo, self.slots, self.exits, self.depth, self.counted)
        main_first = list(self.functions)
        self.b = self._function(name, "callback", ("map", "map_value", "map_value", "stack"))
        self.memo, self.slots, self.exits, self.depth = [{}], {}, [(None, None)], self.depth + 1
        self.b.span = node.span
        self.counted = self._counted(node)
        self.frame = self.b.param(3)
        if self.large is not None:
            self.large = self.b.load_pointer(self.frame, 8, "map_value")
        key = Mem(self.b.param(1), "bpf", key_type, padded=True)
        info = self.variable(node.var)
        self.views[info] = (self.load_typed(key, key_type, stored=True), self._loop_value(layout, map, key))
        if info in self.captured:  # a loop inside uses it: it is copied to where that one finds it
            element, place = self._view(info), self.variable_place(info)
            assert place is not None
            element.store(place.addr, place.offset, info.type, False)
            del self.views[info]
        self.block(node.body)
        if not self.b.ended:
            self._blur(self.counted)
            self.b.ret(self.const(_GO_ON))
        self.b, self.frame, self.large, self.memo, self.slots, self.exits, self.depth, self.counted = saved
        assert self.functions[: len(main_first)] == main_first
        return name

    def count_entries(self, node: ast.MapRef) -> Value:
        """How many entries a map has: the kernel counts what it passes to an empty callback."""
        layout = self.unit.layout(node.name)
        total = self.const(0)
        for map, _ in layout.stores:
            self._callbacks += 1
            name = f"{self.name}_count{self._callbacks}"
            callback = self._function(name, "callback", ("map", "map_value", "map_value", "stack"))
            callback.ret(callback.const(_GO_ON))
            slot = self.new_slot(8)
            self.b.store(slot, self.const(0), 8)
            count = self.b.call("for_each_map_elem", self.b.map(map), self.b.func(name), slot, self.const(0))
            total = self.b.add(total, count)
        return total

    def _loop_value(self, layout: Layout, map: str, key: Mem) -> Value | Mem | Gen:
        if layout.agg is not None:
            return self.sum_cpus(layout, map, key.addr)
        value = Mem(self.b.param(2), "bpf", layout.info.value)
        return self.load_typed(value, value.type, stored=True)
