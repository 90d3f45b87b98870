"""The lowerer: events. A record is built in the ring itself, and sent when it is whole."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.lower.core import Core
from cygnet.lang.trace.lower.operands import Gen, Mem
from cygnet.lang.trace.lower.unit import ACTION_WORDS, CONTROL, IDLE_WORD, LOST_WORD, PENDING_WORD, RING
from cygnet.spec.actions import Action
from cygnet.uapi.bpf_flags import BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cygnet.ir.core import Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.types import Type
    from cygnet.source import Span


class EventLowerer(Core):
    def where(self, span: Span) -> tuple[str, int, int, int]:
        line, col = span.source.line_col(span.start)
        end_line, end = span.source.line_col(max(span.start, span.end - 1))
        return span.source.name, line, col, end + 1 if end_line == line else col + 1

    def _place(self, span: Span) -> tuple[tuple[str, int, int, int], str]:
        where = self.where(span)
        return where, span.source.line_text(where[1])

    def emit(
        self,
        kind: str,
        fields: Sequence[tuple[Type, Callable[[Value, int], None]]] = (),
        *,
        text: str = "",
        data: object = None,
        span: Span | None = None,
        lost: Callable[[], None] | None = None,
        control: bool = False,
    ) -> None:
        """Send one record: `fields` are types, each with what writes it at (record, offset)."""
        at, layout = 8, []
        for type, _ in fields:
            layout.append((at, T.vtype(type)))
            at += T.storage(type)
        where = self.where(span) if span is not None else ("", 0, 0, 0)
        line = span.source.line_text(where[1]) if span is not None else ""
        calls = tuple([self._place(call) for call in span.expansions()]) if span is not None else ()
        action = Action(kind, at, tuple(layout), text, data, where, line, expansions=calls)
        number = self.unit.action(action, control=control)
        b = self.b
        size = b._emit("const", (), at, "i64")
        self.unit.patches.append((size, number))
        record = b.call("ringbuf_reserve", b.map(RING), size, self.const(0))

        def fill() -> None:
            idle = b.load(b.map_value(CONTROL, 8 * IDLE_WORD), 8)
            b.store(record, self.const(number), 8, 0)
            for (at, _), (_, write) in zip(layout, fields):
                write(record, at)
            flags = self._wakeup(idle)
            self.b.call("ringbuf_submit", record, flags)

        def full() -> None:
            bit = self.unit.actions[number].pending
            if bit >= 0:
                b.atomic("add", b.map_value(CONTROL, 8 * (ACTION_WORDS + bit)), self.const(1))
                b.atomic("add", b.map_value(CONTROL, 8 * PENDING_WORD), self.const(1))
            else:
                b.atomic("add", b.map_value(CONTROL, 8 * LOST_WORD), self.const(1))
            if lost is not None:
                lost()

        self.choose("ne", record, self.const(0), fill, full)

    def _wakeup(self, idle: Value) -> Value:
        """NO_WAKEUP (1) for a busy reader, FORCE_WAKEUP (2) for one that sleeps: 1 + idle."""
        assert (BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP) == (1, 2)
        return self.b.add(idle, self.const(1))

    def field(self, node: ast.Expr) -> tuple[Type, Callable[[Value, int], None]]:
        """A field that holds an expression. Numbers are evaluated now, the rest when the record is open."""
        type = node.type
        if type.kind == "agg":
            type = T.as_int(type)
        if type.kind in T.SCALARS and not (isinstance(node.const, bytes)):
            value = self.scalar(node)
            return type, lambda record, at: self.b.store(record, value, 8, at)
        if isinstance(node.const, bytes):
            return type, lambda record, at: self.store(node, type, record, at)
        thing = self.operand(node)
        if isinstance(thing, Gen) and thing.once:
            place = self.in_memory(thing, type)
            thing = Mem(place, "bpf", type)
        return type, lambda record, at: self.put(thing, type, record, at, False)

    def runtime_error(self, message: str, span: Span) -> None:
        if self.unit.warnings:
            self.emit("runtime_error", text=message, span=span)

    def report(self, helper: str, result: Value, least: int = 0) -> None:
        """Tell of a helper whose result is below `least`: a warning with its place, and the code."""
        span = self.b.span
        code = (T.INT64, lambda record, at: self.b.store(record, result, 8, at))
        self.choose("slt", result, self.const(least), lambda: self.emit("helper_error", [code], text=helper, span=span))
