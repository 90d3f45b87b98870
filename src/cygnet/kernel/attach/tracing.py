"""BTF-typed tracing programs (tp_btf, fentry, fexit, fmod_ret): the target is in the program since its loading.

target {"name": for messages, "attach_type": BPF_TRACE_… (0: raw tracepoint), "cookie": 0}
"""

from __future__ import annotations

import errno as _errno

from cygnet.kernel import sys
from cygnet.kernel.attach.raw_tracepoint import open_raw
from cygnet.kernel.links import Attachment, link_create
from cygnet.uapi import bpf, layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    attach_type = target.get("attach_type", 0) or bpf.BPF_TRACE_RAW_TP
    cookie = target.get("cookie", 0)
    tail = sys.pack(layouts.LINK_CREATE_TRACING, cookie=cookie)
    fd = link_create(prog_fd, attach_type, tail)
    if fd == -_errno.EINVAL and not cookie:  # links of these kinds came with 5.20; before, this call did it
        return Attachment([open_raw(prog_fd, "")])
    if fd >= 0:
        return Attachment([fd])
    name = target.get("name", "")
    if fd in (-sys.ENOTSUPP, -_errno.EOPNOTSUPP, -_errno.EPERM, -_errno.ENOSYS):
        from cygnet.kernel.denied import has_capability

        if has_capability("perfmon"):
            from cygnet.errors import NotSupported

            raise NotSupported(
                f"attaching to the function {name}", "a kernel with trampolines for functions", call="bpf", errno=-fd
            )
    raise sys.failure(-fd, f"attach to {name}", "bpf", caps=("bpf", "perfmon"))
