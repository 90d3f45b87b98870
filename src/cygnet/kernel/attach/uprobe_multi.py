"""Many user functions of one file in one link (Linux 6.6): target {"path", "offsets", "ret", "pid", …}.

`ref_ctr_offsets` and `cookies` are lists as long as `offsets`, or absent. The program must have been
loaded with expected_attach_type BPF_TRACE_UPROBE_MULTI.
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
    path, offsets = target["path"], target["offsets"]
    name = bytearray(path.encode() + b"\0")
    arrays = [_u64s(target.get(key)) for key in ("offsets", "ref_ctr_offsets", "cookies")]
    pid = target.get("pid", -1)
    tail = sys.pack(
        layouts.LINK_CREATE_UPROBE_MULTI,
        path=sys.address(name),
        offsets=sys.address(arrays[0]),
        ref_ctr_offsets=sys.address(arrays[1]),
        cookies=sys.address(arrays[2]),
        cnt=len(offsets),
        flags=bpf.BPF_F_UPROBE_MULTI_RETURN if target.get("ret") else 0,
        pid=max(pid, 0),
    )
    fd = link_create(prog_fd, bpf.BPF_TRACE_UPROBE_MULTI, tail)
    if fd >= 0:
        return Attachment([fd])
    raise _failure(-fd, path, offsets, pid)


def _u64s(numbers: list[int] | None) -> bytearray:
    return bytearray(struct.pack(f"={len(numbers)}Q", *numbers)) if numbers else bytearray()


def _failure(errno: int, path: str, offsets: list[int], pid: int) -> Exception:
    from cygnet.errors import ProbeError
    from cygnet.kernel.attach.uprobe import explained

    what = f"attach to {path}+{offsets[0]:#x}" if len(offsets) == 1 else f"attach to {len(offsets)} places in {path}"
    plain = explained(path, what, errno)
    if plain is not None:
        return plain
    if errno == _errno.ESRCH:
        return ProbeError(f"cannot {what}: there is no process {pid}")
    if errno in (_errno.ENOENT, _errno.EBADF):
        return ProbeError(f"cannot {what}: it is not a file that can be read")
    return sys.failure(errno, what, "bpf", "Linux 6.6", caps=("bpf", "perfmon"))
