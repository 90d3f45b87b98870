"""Sampling by the CPU clock: target {"unit": "hz" or "ns", "value": n, "cpus": "all" or "one", "pid": -1}."""

from __future__ import annotations

from cygnet.kernel import perf
from cygnet.kernel.cpus import online
from cygnet.kernel.links import Attachment, link_perf_events
from cygnet.uapi import perf as uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    unit, value = target["unit"], target["value"]
    attr = perf.event_attr(
        uapi.PERF_TYPE_SOFTWARE,
        uapi.PERF_COUNT_SW_CPU_CLOCK,
        frequency=value if unit == "hz" else 0,
        period=value if unit == "ns" else 0,
    )
    cpus = online()
    if target.get("cpus", "all") == "one":
        cpus = cpus[:1]
    fds = perf.open_on_cpus(attr, target.get("pid", -1), cpus, f"sample every {value} ns" if unit == "ns" else
                            f"sample at {value} Hz")  # fmt: skip
    return link_perf_events(prog_fd, fds, target.get("cookie", 0))
