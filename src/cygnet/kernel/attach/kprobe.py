"""Kernel functions: target {"function": name, "offset": 0, "ret": bool} or {"address": …}."""

from __future__ import annotations

from cygnet.kernel import perf
from cygnet.kernel.links import Attachment, link_perf_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    source, ret_bit = perf.probe_source("kprobe")
    function, offset = target.get("function", ""), target.get("offset", 0)
    address = 0 if function else target["address"]
    attr = perf.event_attr(
        source,
        target.get("ret", False) << ret_bit,
        config1=perf.text_address(function) if function else 0,
        config2=offset if function else address,
    )
    what = f"attach to {function or hex(address)}{f'+{offset}' if offset else ''}"
    try:
        event_fd = perf.open_event(attr, -1, 0, what)
    except OSError as error:
        raise _explained(error, function, what) from error
    return Attachment([link_perf_event(prog_fd, event_fd, target.get("cookie", 0))])


def _explained(error: OSError, function: str, what: str) -> Exception:
    import errno as _errno

    from cygnet.errors import ProbeError

    if error.errno == _errno.ENOENT and function:
        return ProbeError(f"cannot {what}: the kernel has no such function, or it was inlined")
    if error.errno in (_errno.EINVAL, _errno.EADDRNOTAVAIL, _errno.EILSEQ):
        return ProbeError(f"cannot {what}: the kernel allows no probe there")
    return error
