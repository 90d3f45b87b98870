"""Software events, counted by the kernel: target {"event": PERF_COUNT_SW number, "count": n, "pid": -1}."""

from __future__ import annotations

from cygnet.kernel import perf
from cygnet.kernel.cpus import online
from cygnet.kernel.links import Attachment, link_perf_events
from cygnet.uapi import perf as uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    attr = perf.event_attr(uapi.PERF_TYPE_SOFTWARE, target["event"], period=target["count"])
    what = f"count software event {target['event']}"
    fds = perf.open_on_cpus(attr, target.get("pid", -1), online(), what)
    return link_perf_events(prog_fd, fds, target.get("cookie", 0))
