"""Tracepoints: target {"subsys": …, "event": …, "cookie": 0}.

A perf event on one CPU is enough: the program hangs on the tracepoint itself and runs on every CPU, for
every process (kernel/trace/trace_event_perf.c).
"""

from __future__ import annotations

from cygnet.kernel import perf, tracefs
from cygnet.kernel.links import Attachment, attach_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    subsys, event = target["subsys"], target["event"]
    number = target.get("id") or tracefs.event_id(subsys, event)
    attr = perf.tracepoint_attr(number)
    what = f"attach to tracepoint {subsys}:{event}"
    event_fd = perf.open_event(attr, -1, 0, what)
    return attach_event(prog_fd, event_fd, target.get("cookie", 0))
