"""Hardware counters: target {"event": PERF_COUNT_HW number, "count": n, "pid": -1, "type": PERF_TYPE_HARDWARE}."""

from __future__ import annotations

from cygnet.kernel import perf
from cygnet.kernel.cpus import online
from cygnet.kernel.links import Attachment, link_perf_events
from cygnet.uapi import perf as uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    attr = perf.event_attr(target.get("type", uapi.PERF_TYPE_HARDWARE), target["event"], period=target["count"])
    needs = "a machine whose performance counters are visible (virtual machines often hide them)"
    what = f"count hardware event {target['event']}"
    fds = perf.open_on_cpus(attr, target.get("pid", -1), online(), what, needs)
    return link_perf_events(prog_fd, fds, target.get("cookie", 0))
