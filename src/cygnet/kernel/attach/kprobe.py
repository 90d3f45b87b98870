"""Kernel functions: target {"function": name, "module": "", "offset": 0, "ret": bool} or {"address": …}.

A function of a module, and a name that several functions share, is attached by address: by all of its addresses.
"""

from __future__ import annotations

import errno as _errno

from cygnet.kernel import perf
from cygnet.kernel.links import Attachment, attach_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    function, module, offset = target.get("function", ""), target.get("module", ""), target.get("offset", 0)
    if not function:
        return _at_addresses(prog_fd, target, [target["address"]])
    if module:
        return _at_addresses(prog_fd, target, _addresses(function, module, offset))
    event = _open(target, perf.text_address(function), offset)
    if event == -_errno.EADDRNOTAVAIL:  # several functions have this name
        return _at_addresses(prog_fd, target, _addresses(function, "", offset))
    return attach_event(prog_fd, _checked(event, target), target.get("cookie", 0))


def _at_addresses(prog_fd: int, target: dict[str, Any], addresses: list[int]) -> Attachment:
    """One attachment of all of them, or none."""
    whole = Attachment([])
    if not addresses:
        _checked(-_errno.ENOENT, target)
    try:
        for address in addresses:
            one = attach_event(prog_fd, _checked(_open(target, 0, address), target), target.get("cookie", 0))
            whole.fds += one.fds
            whole.events += one.events
    except BaseException:
        whole.close()
        raise
    return whole


def _open(target: dict[str, Any], name: int, number: int) -> int:
    """The event: by the address of a name and an offset, or (without a name) by an address in the kernel."""
    source, ret_bit = perf.probe_source("kprobe")
    attr = perf.event_attr(source, target.get("ret", False) << ret_bit, config1=name, config2=number)
    return perf.try_open(attr, -1, 0)


def _addresses(function: str, module: str, offset: int) -> list[int]:
    from cygnet.kernel.ksyms import addresses

    return [address + offset for address in addresses(function, module)]


def _checked(event: int, target: dict[str, Any]) -> int:
    """The event's descriptor, or an error that says what is wrong with the place."""
    if event >= 0:
        return event
    from cygnet.errors import ProbeError
    from cygnet.kernel.sys import failure

    name, offset = target.get("function", "") or hex(target.get("address", 0)), target.get("offset", 0)
    module = target.get("module", "")
    what = f"attach to {module}{':' * bool(module)}{name}{f'+{offset}' if offset else ''}"
    if event == -_errno.ENOENT:
        from cygnet.kernel.ksyms import copies

        row = "kretprobe" if target.get("ret", False) else "kprobe"
        hint = "the compiler made {0} of it, whose arguments may differ: write {1}:{0}"
        hints = [hint.format(copy, row) for copy in copies(name)[:1]]
        raise ProbeError(f"cannot {what}: the kernel has no such function, or it was inlined", None, hints)
    if event in (-_errno.EINVAL, -_errno.EADDRNOTAVAIL, -_errno.EILSEQ):
        raise ProbeError(f"cannot {what}: the kernel allows no probe there")
    raise failure(-event, what, "perf_event_open", caps=("perfmon",))
