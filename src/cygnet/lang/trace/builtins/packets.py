"""Builtins on packets: skboutput, which writes them to a pcap file.

The packet is copied from the socket buffer's linear part, by address: so any probe that has the pointer can do it,
not only those that the kernel gives typed arguments. What lies in fragments beyond the linear part is not captured;
the file says how long the packet was.
"""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin, literal_text
from cygnet.lang.trace.lower.operands import Mem
from cygnet.lang.trace.lower.unit import CONTROL, IDLE_WORD, LOST_WORD, RING
from cygnet.spec.actions import Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

_HEADER = 32  # action, time, length on the wire, bytes captured
_MOST = 7168  # bytes of a packet: four levels of scratch memory hold it


class SkbOutput(Builtin):
    """skboutput("file.pcap", skb, length, offset): 0, or a negative error number."""

    arity = (4, 4)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        literal_text(c, args[0], "skboutput()'s path")
        type = c.value(args[1])
        elem = type.elem if type.kind == "ptr" else None
        if type.kind != "unknown" and not (elem is not None and elem.kind == "struct" and elem.extra.name == "sk_buff"):
            c.error(f"skboutput() expects a pointer to a struct sk_buff, not '{T.name(type)}'", args[1].span)
        c.number(args[2], "skboutput()'s length")
        c.number(args[3], "skboutput()'s offset")
        if c.types.system("struct", "sk_buff") is None:
            c.error("skboutput() needs the kernel's BTF, which this system has not got", node.span)
        return T.INT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        b, c = g.b, g.const
        skb, length, offset = (g.scalar(arg) for arg in args[1:])
        known = args[2].const
        room = min(_MOST, known) if known.__class__ is int and known > 0 else _MOST
        action = Action("skboutput", 0, (), args[0].const.decode("utf-8", "surrogateescape"), room)
        number = g.unit.action(action)
        linear = b.binary("sub", self._member(g, skb, "len", 4), self._member(g, skb, "data_len", 4))
        left = g.select("sgt", linear, offset, lambda: b.binary("sub", linear, offset), lambda: c(0))
        wanted = g.select("ult", length, left, lambda: length, lambda: left)
        size = g._limited(wanted, room)
        slot = g.new_slot(_HEADER + room, "packet")
        b.store(slot, c(number), 8)
        b.store(slot, b.call("ktime_get_boot_ns"), 8, 8)
        b.store(slot, length, 8, 16)
        b.store(slot, size, 8, 24)
        g.fetch("probe_read_kernel", b.offset(slot, _HEADER), size, b.add(self._member(g, skb, "data", 8), offset))
        idle = b.load(b.map_value(CONTROL, 8 * IDLE_WORD), 8)
        flags = g._wakeup(idle)
        result = b.call("ringbuf_output", b.map(RING), slot, b.add(size, c(_HEADER)), flags)
        lost = lambda: b.atomic("add", b.map_value(CONTROL, 8 * LOST_WORD), c(1))  # noqa: E731
        g.choose("ne", result, c(0), lost)
        return result

    @staticmethod
    def _member(g: Lowerer, skb: Value, name: str, size: int) -> Value:
        record = g.types.system("struct", "sk_buff")
        member = record.extra.find(name)
        return g.read(Mem(skb, T.KERNEL, record, member.offset, root="sk_buff", path=name), size, False)


ROWS: dict[str, Builtin] = {"skboutput": SkbOutput("skboutput")}
