"""Perf events: open one, or one on each CPU; where probes of every kind begin."""

from __future__ import annotations

import errno as _errno
import os

from cygnet.kernel import sys
from cygnet.uapi import layouts, perf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Descriptors below this number need no thought about limits. At the limit itself it would be too late to
# think: not even a module can be imported then.
_room = [200]
_SIZE = len(sys.pack(layouts.PERF_EVENT_ATTR))
SOURCES = "/sys/bus/event_source/devices"


def event_attr(
    type: int, config: int, *, config1: int = 0, config2: int = 0, period: int = 0, frequency: int = 0, bits: int = 0
) -> bytearray:
    """A struct perf_event_attr. `period` counts events (ns for clocks) between two samples; `frequency` in Hz.

    `bits` is made of ``1 << layouts.PERF_EVENT_ATTR_BIT_…``.
    """
    if frequency:
        bits |= 1 << layouts.PERF_EVENT_ATTR_BIT_FREQ
    return sys.pack(
        layouts.PERF_EVENT_ATTR,
        type=type,
        size=_SIZE,
        config=config,
        sample_period=frequency or period,
        bits=bits,
        bp_addr=config1,  # the same eight bytes: config1 and config2 are named bp_addr and bp_len there
        bp_len=config2,
    )


def open_event(attr: bytearray, pid: int, cpu: int, what: str, needs: str = "") -> int:
    """perf_event_open(2) for `what` ("attach to …"): a file descriptor.

    Raises ProbeError for a dead pid, NotSupported for a missing event source or counter.
    """
    fd = try_open(attr, pid, cpu)
    if fd >= 0:
        return fd
    if fd == -_errno.ESRCH:
        from cygnet.errors import ProbeError

        raise ProbeError(f"cannot {what}: there is no process {pid}")
    if fd in (-_errno.ENOENT, -_errno.ENODEV, -_errno.EOPNOTSUPP) and needs:
        from cygnet.errors import NotSupported

        raise NotSupported(f"to {what}", needs, call="perf_event_open", errno=-fd)
    raise sys.failure(-fd, what, "perf_event_open", caps=("perfmon",))


def open_on_cpus(attr: bytearray, pid: int, cpus: Iterable[int], what: str, needs: str = "") -> list[int]:
    """The event on each CPU; one that went offline meanwhile is left out. All or nothing otherwise."""
    fds: list[int] = []
    try:
        for cpu in cpus:
            fd = try_open(attr, pid, cpu)
            if fd == -_errno.ENODEV and fds:
                continue
            fds.append(fd if fd >= 0 else open_event(attr, pid, cpu, what, needs))
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return fds


def try_open(attr: bytearray, pid: int, cpu: int) -> int:
    """perf_event_open(2): a file descriptor, or the negative errno."""
    fd = sys.perf_event_open(attr, pid, cpu)
    if fd >= _room[0]:
        from cygnet.kernel.rlimit import raise_nofile

        _room[0] = raise_nofile(4096) - 100
    return fd


# ── event sources of the kernel's own ────────────────────────────────────────────────────────────────────

_source_cache: dict[str, tuple[int, int] | None] = {}


def probe_source(name: str) -> tuple[int, int]:
    """(perf type, bit of config that asks for the return) of the ``uprobe`` or ``kprobe`` source."""
    if name not in _source_cache:
        try:
            number = int(_text(f"{name}/type"))
            bit = int(_text(f"{name}/format/retprobe").partition(":")[2])
            _source_cache[name] = (number, bit)
        except OSError:
            _source_cache[name] = None
    found = _source_cache[name]
    if found is None:
        from cygnet.errors import NotSupported

        raise NotSupported(f"{name}s", f"a kernel with CONFIG_{name.upper()}S=y", call="perf_event_open")
    return found


def _text(path: str) -> str:
    with open(f"{SOURCES}/{path}") as file:
        return file.read().strip()


_texts: dict[str, bytearray] = {}


def text_address(text: str) -> int:
    """Where a NUL-ended copy of a path or function name lies, for an attr; kept, as many probes share one."""
    if text not in _texts:
        _texts[text] = bytearray(os.fsencode(text) + b"\0")
    return sys.address(_texts[text])


def tracepoint_attr(event_id: int) -> bytearray:
    """An event that counts hits: programs run at each, and some tracepoints (irq_work's) refuse to be sampled."""
    return event_attr(perf.PERF_TYPE_TRACEPOINT, event_id)
