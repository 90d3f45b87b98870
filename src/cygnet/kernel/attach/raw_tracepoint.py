"""Raw tracepoints: target {"event": name, "cookie": 0, "typed": False}. The program sees the arguments as u64 words;
a typed one, of the type tracing, knows its event and their types since its loading."""

from __future__ import annotations

import errno as _errno

from cygnet.kernel import sys
from cygnet.kernel.links import Attachment
from cygnet.uapi import bpf, layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    event = "" if target.get("typed") else target["event"]
    return Attachment([open_raw(prog_fd, event, target.get("cookie", 0))])


def open_raw(prog_fd: int, event: str, cookie: int = 0) -> int:
    """BPF_RAW_TRACEPOINT_OPEN. Tracing programs know their tracepoint already: they give no name."""
    name = bytearray(event.encode() + b"\0") if event else bytearray()
    attr = sys.pack(layouts.ATTR_RAW_TRACEPOINT, name=sys.address(name), prog_fd=prog_fd, cookie=cookie)
    if not cookie:  # the cookie came with 6.10; before, its bytes had to be absent or zero
        attr = attr[:16]
    fd = sys.bpf_try(bpf.BPF_RAW_TRACEPOINT_OPEN, attr)
    if fd >= 0:
        return fd
    what = f"attach to raw tracepoint {event}" if event else "attach a tracing program"
    if fd == -_errno.ENOENT:
        from cygnet.errors import ProbeError

        raise ProbeError(f"there is no raw tracepoint {event}")
    raise sys.failure(-fd, what, "bpf", caps=("bpf", "perfmon"))
