"""Debug registers: target {"address": …, "len": 1 2 4 or 8, "mode": of r w x, "pid": -1}.

With a pid it is set for each thread that the process has; without, on every CPU, for an address of the kernel.
"""

from __future__ import annotations

import errno as _errno
import os

from cygnet.kernel import perf, sys
from cygnet.kernel.cpus import online
from cygnet.kernel.links import Attachment, link_perf_events
from cygnet.uapi import layouts
from cygnet.uapi import perf as uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# include/uapi/linux/hw_breakpoint.h
_BITS = {"r": 1, "w": 2, "x": 4}


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    pid, what = target.get("pid", -1), f"watch {target['len']} bytes at {target['address']:#x}"
    attr = breakpoint_attr(target["address"], target["len"], target["mode"])
    try:
        fds = perf.open_on_cpus(attr, -1, online(), what) if pid == -1 else _on_threads(attr, pid, what)
    except OSError as error:
        raise _explained(what, target, error.errno or 0) or error from error
    return link_perf_events(prog_fd, fds, target.get("cookie", 0))


def breakpoint_attr(address: int, length: int, mode: str) -> bytearray:
    """Every access is an event."""
    size = len(sys.pack(layouts.PERF_EVENT_ATTR))
    return sys.pack(layouts.PERF_EVENT_ATTR, type=uapi.PERF_TYPE_BREAKPOINT, size=size, sample_period=1,
                    bp_type=sum(_BITS[letter] for letter in mode), bp_addr=address, bp_len=length)  # fmt: skip


def _on_threads(attr: bytearray, pid: int, what: str) -> list[int]:
    """The event in each thread; one that ended meanwhile is left out."""
    from cygnet.errors import ProbeError

    try:
        threads = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        threads = []
    fds: list[int] = []
    try:
        for thread in threads:
            fd = perf.try_open(attr, thread, -1)
            if fd != -_errno.ESRCH:
                fds.append(fd if fd >= 0 else perf.open_event(attr, thread, -1, what))
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    if not fds:
        raise ProbeError(f"cannot {what}: there is no process {pid}")
    return fds


def _explained(what: str, target: dict[str, Any], errno: int) -> Exception | None:
    from cygnet.errors import NotSupported, ProbeError

    if errno == _errno.ENOSPC:
        return ProbeError(f"cannot {what}: all debug registers are in use (x86-64 has four)")
    if errno == _errno.EINVAL:
        why = "it must be a multiple of the length" if target["address"] % target["len"] else (
            f"the processor has no mode {target['mode']} for that length")  # fmt: skip
        return ProbeError(f"cannot {what}: {why}", None, ("x86-64 has the modes w, rw, and x with a length of 8",))
    if errno in (_errno.ENOENT, _errno.ENODEV, _errno.EOPNOTSUPP):
        needs = "a machine with hardware breakpoints (CONFIG_HAVE_HW_BREAKPOINT=y)"
        return NotSupported("a watchpoint", needs, call="perf_event_open", errno=errno)
    return None
