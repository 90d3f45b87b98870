"""Many kernel functions in one link (Linux 5.18): target {"functions": [names], "ret": bool, "cookies": […]}.

The program must have been loaded with expected_attach_type BPF_TRACE_KPROBE_MULTI.
"""

from __future__ import annotations

import errno as _errno
import struct

from cygnet.kernel import sys
from cygnet.kernel.links import Attachment, link_create
from cygnet.uapi import bpf, layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    functions, cookies = target["functions"], target.get("cookies") or []
    names = [bytearray(name.encode() + b"\0") for name in functions]
    table = bytearray(struct.pack(f"={len(names)}Q", *map(sys.address, names)))
    values = bytearray(struct.pack(f"={len(cookies)}Q", *cookies))
    tail = sys.pack(
        layouts.LINK_CREATE_KPROBE_MULTI,
        flags=bpf.BPF_F_KPROBE_MULTI_RETURN if target.get("ret") else 0,
        cnt=len(names),
        syms=sys.address(table),
        cookies=sys.address(values),
    )
    fd = link_create(prog_fd, bpf.BPF_TRACE_KPROBE_MULTI, tail)
    if fd >= 0:
        return Attachment([fd])
    what = f"attach to {len(names)} kernel functions"
    if fd in (-_errno.ESRCH, -_errno.ENOENT):
        from cygnet.errors import ProbeError

        raise ProbeError(f"cannot {what}: the kernel has not got one of them")
    if fd == -_errno.EINVAL:
        from cygnet.errors import NotSupported

        raise NotSupported(f"to {what}", "a kernel with CONFIG_FPROBE=y, 5.18 or newer", call="bpf", errno=-fd)
    raise sys.failure(-fd, what, "bpf", "a kernel with CONFIG_FPROBE=y", caps=("bpf", "perfmon"))
