"""Attachments: a program at its place, held by file descriptors, gone when they are closed.

`attach(kind, prog_fd, target)` hands over to attach/KIND.py; the target is plain data (spec.LinkSpec).
"""

from __future__ import annotations

import errno as _errno
import os

from cygnet.kernel import sys
from cygnet.uapi import bpf, layouts, perf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

# Kinds that share a file: the target or the program's type tells them apart.
_MODULES = {"tp_btf": "tracing", "fentry": "tracing", "fexit": "tracing", "fmod_ret": "tracing", "kretprobe": "kprobe",
            "uretprobe": "uprobe", "usdt": "uprobe", "interval": "perf_sample", "profile": "perf_sample"}  # fmt: skip


class Attachment:
    """One program at one place or several. `close()` detaches; so does the end of the process, kill -9 included.

    `fds` hold the program at its place. `events` are perf events without which it stays detached: closing
    one takes the kernel longer than all the rest, and can be left until results are shown.
    """

    __slots__ = ("events", "fds")

    def __init__(self, fds: list[int], events: list[int] | None = None) -> None:
        self.fds = fds
        self.events = events or []

    def detach(self) -> None:
        """End it: the program runs no more, on no CPU, when this returns. What costs time is left to `close`."""
        fds, self.fds = self.fds, []
        for fd in fds:
            os.close(fd)

    def close(self) -> None:
        """Detach and give everything back. May be called twice. The kernel waits for a grace period for most kinds,
        some ms, and for the event of a tracepoint, kprobe or uprobe for two more."""
        self.detach()
        events, self.events = self.events, []
        for fd in events:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def attach(kind: str, prog_fd: int, target: dict[str, Any]) -> Attachment:
    """Attach a loaded program.

    Raises ProbeError (no such place), NotSupported (this kernel has no such kind), PermissionDenied.
    """
    from cygnet import lazy

    module = lazy.module("cygnet.kernel.attach." + _MODULES.get(kind, kind))
    result: Attachment = module.attach(prog_fd, target)
    return result


# ── links on perf events ─────────────────────────────────────────────────────────────────────────────────

_link_works: list[bool] = []  # empty: not tried yet


def attach_event(prog_fd: int, event_fd: int, cookie: int = 0) -> Attachment:
    """An attachment of a program to a perf event whose closing is slow: the event is kept apart from the link."""
    kept = os.dup(event_fd)
    try:
        link = link_perf_event(prog_fd, event_fd, cookie)
    except BaseException:
        os.close(kept)
        raise
    if link != event_fd:
        return Attachment([link], [kept])
    os.close(kept)  # without links the event holds the program
    return Attachment([link])


def link_perf_event(prog_fd: int, event_fd: int, cookie: int = 0) -> int:
    """Put a program on a perf event, and give the descriptor that now owns both.

    With a BPF link (Linux 5.15) the link holds the event, so the event's own descriptor is closed: one
    descriptor a probe. An older kernel has the ioctl, where the event's descriptor owns the program.
    """
    try:
        if _link_works and not _link_works[0]:
            sys.ioctl(event_fd, perf.PERF_EVENT_IOC_SET_BPF, prog_fd)
            return event_fd
        attr = sys.pack(
            layouts.ATTR_LINK_CREATE, prog_fd=prog_fd, target_fd=event_fd, attach_type=bpf.BPF_PERF_EVENT
        ) + cookie.to_bytes(8, "little")
        link = sys.bpf_try(bpf.BPF_LINK_CREATE, attr)
        if link >= 0:
            os.close(event_fd)
            return link
        if link == -_errno.EINVAL and not _link_works and not cookie:
            sys.ioctl(event_fd, perf.PERF_EVENT_IOC_SET_BPF, prog_fd)
            _link_works.append(False)
            return event_fd
    except OSError as error:
        os.close(event_fd)
        raise sys.failure(error.errno or 0, "attach a program to a perf event", "ioctl", caps=("perfmon",)) from error
    os.close(event_fd)
    raise sys.failure(-link, "attach a program to a perf event", "bpf", caps=("bpf", "perfmon"))


def link_perf_events(prog_fd: int, event_fds: Sequence[int], cookie: int = 0) -> Attachment:
    """One attachment of a program to several perf events; when one fails, all are closed."""
    owned: list[int] = []
    rest = list(event_fds)
    try:
        while rest:
            owned.append(link_perf_event(prog_fd, rest.pop(0), cookie))
    except BaseException:
        for fd in owned + rest:
            os.close(fd)
        raise
    return Attachment(owned)


def link_create(
    prog_fd: int, attach_type: int, tail: bytes | bytearray = b"", target_fd: int = 0, flags: int = 0
) -> int:
    """BPF_LINK_CREATE: a descriptor, or the negative errno."""
    attr = sys.pack(
        layouts.ATTR_LINK_CREATE, prog_fd=prog_fd, target_fd=target_fd, attach_type=attach_type, flags=flags
    )
    return sys.bpf_try(bpf.BPF_LINK_CREATE, attr + tail)
