"""User functions: target {"path": …, "offset": in the file, "ret": bool, "pid": -1 or pid, "ref_ctr_offset": 0}.

With a pid the program runs in that process only; without, in all, those started later included.
"""

from __future__ import annotations

import errno as _errno
import os

from cygnet.errors import ProbeError
from cygnet.kernel import perf
from cygnet.kernel.links import Attachment, attach_event
from cygnet.kernel.sys import ENOTSUPP
from cygnet.uapi import perf as uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    path, offset = target["path"], target["offset"]
    pid = target.get("pid", -1)
    attr = uprobe_attr(path, offset, target.get("ret", False), target.get("ref_ctr_offset", 0))
    what = f"attach to {path}+{offset:#x}"
    try:
        event_fd = perf.open_event(attr, pid, 0 if pid == -1 else -1, what)
    except OSError as error:
        raise explained(path, what, error.errno or 0) or error from error
    return attach_event(prog_fd, event_fd, target.get("cookie", 0))


def uprobe_attr(path: str, offset: int, ret: bool, ref_ctr_offset: int = 0) -> bytearray:
    """The attr of a uprobe. `ref_ctr_offset`: where the file keeps a USDT probe's reference counter, or 0."""
    source, ret_bit = perf.probe_source("uprobe")
    config = ref_ctr_offset << uapi.PERF_UPROBE_REF_CTR_OFFSET_SHIFT | ret << ret_bit
    return perf.event_attr(source, config, config1=perf.text_address(path), config2=offset)


def explained(path: str, what: str, errno: int) -> ProbeError | None:
    """What is wrong with the file or with the place in it, when that is why."""
    if not os.path.exists(path):
        return ProbeError(f"cannot {what}: there is no such file")
    if not os.path.isfile(path):
        return ProbeError(f"cannot {what}: it is not a regular file")
    if errno == _errno.EINVAL:
        return ProbeError(f"cannot {what}: the file has no such place")
    if errno in (ENOTSUPP, _errno.EILSEQ, _errno.EOPNOTSUPP):
        return ProbeError(f"cannot {what}: the kernel allows no probe on that instruction")
    return None
