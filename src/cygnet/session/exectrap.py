"""A command of ours held after its exec until its libraries are in place, so that what it has mapped can be looked at.

No signal is sent, and once let go the process is not traced any more. From exec on the dynamic linker's system calls
are followed; the first one that is made from elsewhere says that its work is done.
"""

from __future__ import annotations

import os
from time import monotonic

from cygnet.kernel import ptrace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_S = 0.1  # how long the dynamic linker may take; then what is mapped by then has to do


def follow(pid: int, look: Callable[[], None]) -> int | None:
    """Call `look` when a seized child has executed its command and once more when its libraries are in place; then let
    it go. Gives its status when it ended meanwhile."""
    status = _stop(pid, False)
    if not os.WIFSTOPPED(status):
        return status
    look()
    linker = _linker(pid)
    if linker:
        until = monotonic() + _PATIENCE_S
        ptrace.resume(pid, to_syscall=True)
        status = _stop(pid, True, until)
        while os.WIFSTOPPED(status) and status >> 16 != ptrace.EVENT_STOP and ptrace.instruction_pointer(pid) in linker:
            ptrace.resume(pid, to_syscall=True)
            status = _stop(pid, True, until)
        if not os.WIFSTOPPED(status):
            return status
        look()
    ptrace.detach(pid)
    return None


def _stop(pid: int, to_syscall: bool, until: float = 0.0) -> int:
    """The status of the child's next stop that is of interest here, or of its end. Signals on their way it gets.

    At `until` (by the monotonic clock; 0: never) it is stopped where it is.
    """
    waits = until > 0
    while True:
        found, status = os.waitpid(pid, os.WNOHANG if waits else 0)
        if not found:
            if monotonic() > until:
                ptrace.interrupt(pid)
                waits = False  # it stops or ends now
            else:
                os.sched_yield()
            continue
        event, number = status >> 16, os.WSTOPSIG(status)
        if (
            not os.WIFSTOPPED(status)
            or event in (ptrace.EVENT_EXEC, ptrace.EVENT_STOP)
            or number == ptrace.SYSCALL_STOP
        ):
            return status
        ptrace.resume(pid, 0 if event else number, to_syscall)


def _linker(pid: int) -> range:
    """The addresses of the dynamic linker's code, empty for a program that needs none, right after exec."""
    from cygnet.session.symbols.maps import ProcessMaps, read_maps

    try:
        own = os.stat(f"/proc/{pid}/exe").st_ino
    except OSError:
        return range(0)
    for mapping in ProcessMaps(read_maps(pid) or b"").mappings:
        if mapping.inode not in (0, own):
            return range(mapping.start, mapping.end)
    return range(0)
