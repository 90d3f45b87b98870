"""The lowerer: where a watchpoint is set that is named by a function's argument.

A program at the function's entry tells user space the address, which sets the debug registers. So that nothing is
missed, the process is stopped there until that is done; asyncwatchpoint lets it run on.
"""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.instances import Instance
from cygnet.lang.trace.lower.stmts import Lowerer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Module
    from cygnet.lang.trace.lower.unit import Unit
    from cygnet.probes.model import Match

_SIGCONT, _SIGSTOP = 18, 19  # x86-64 and AArch64 (asm-generic/signal.h)


def setter(unit: Unit, instance: Instance, match: Match, program: str, index: int) -> tuple[Instance, Module]:
    """What is to run at the function's entry: for `match`, whose accesses `program` handles."""
    from cygnet.ir.core import Module
    from cygnet.lang.trace.builtins.probe import Argument
    from cygnet.lang.trace.builtins.task import thread_group

    place, watch = match.place, match.watch
    assert place is not None
    one = Instance(index, instance.program, instance.probe, [place], instance.target)
    g = Lowerer(unit, one, f"set_{program}"[:15])
    span = instance.probe.span
    name = f"arg{watch['argument']}"
    address = g.b.zext(Argument(name, watch["argument"], stack=False).lower(g, ast.Ident(span, name), ()), 8)  # type: ignore[arg-type]
    pid = thread_group(g)
    if watch["stop"]:
        g.b.call("send_signal", g.const(_SIGSTOP))
    data = (program, watch["len"], watch["mode"], watch["stop"], match.probe)
    fields = [
        (T.UINT64, lambda record, at: g.b.store(record, address, 8, at)),
        (T.UINT64, lambda record, at: g.b.store(record, pid, 8, at)),
    ]
    g.emit("watch", fields, data=data, lost=lambda: _go_on(g) if watch["stop"] else None)
    g.b.ret(g.const(0))
    return one, Module(g.functions)


def _go_on(g: Lowerer) -> None:
    g.b.call("send_signal", g.const(_SIGCONT))
