"""A command of ours held after its exec until its libraries are in place, so that what it has mapped can be looked at.

ptrace's PTRACE_SEIZE: no signal is sent, and once let go the process is not traced any more. From exec on the dynamic
linker's system calls are followed; the first one that is made from elsewhere says that its work is done.
"""

from __future__ import annotations

import ctypes
import os
import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# include/uapi/linux/ptrace.h
_CONT, _DETACH, _SYSCALL, _SEIZE, _INTERRUPT, _SYSCALL_INFO = 7, 17, 24, 0x4206, 0x4207, 0x420E
_OPTION_SYSCALL, _OPTION_EXEC, _EVENT_EXEC, _EVENT_STOP = 0x01, 0x10, 4, 128
_SYSCALL_STOP = 5 | 0x80  # SIGTRAP with the mark of _OPTION_SYSCALL
_PATIENCE_S = 0.1  # how long the dynamic linker may take; then what is mapped by then has to do


def _ptrace(request: int, pid: int, data: object, size: int = 0) -> int:
    call = ctypes.CDLL(None).ptrace
    call.restype = ctypes.c_long
    call.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    return int(call(request, pid, size, data))


def seize(pid: int) -> bool:
    """Have a child stop at its next exec; False where the system forbids that."""
    return _ptrace(_SEIZE, pid, _OPTION_EXEC | _OPTION_SYSCALL) == 0


def follow(pid: int, look: Callable[[], None]) -> int | None:
    """Call `look` when a seized child has executed its command and once more when its libraries are in place; then let
    it go. Gives its status when it ended meanwhile."""
    status = _stop(pid, _CONT, None)
    if not os.WIFSTOPPED(status):
        return status
    look()
    linker = _linker(pid)
    if linker:
        until = monotonic() + _PATIENCE_S
        _ptrace(_SYSCALL, pid, 0)
        status = _stop(pid, _SYSCALL, until)
        while os.WIFSTOPPED(status) and status >> 16 != _EVENT_STOP and _place(pid) in linker:
            _ptrace(_SYSCALL, pid, 0)
            status = _stop(pid, _SYSCALL, until)
        if not os.WIFSTOPPED(status):
            return status
        look()
    _ptrace(_DETACH, pid, 0)
    return None


def _stop(pid: int, request: int, until: float | None) -> int:
    """The status of the child's next stop that is of interest here, or of its end.

    At `until` (by the monotonic clock) it is stopped where it is. Signals on their way it gets.
    """
    asked = until is None
    while True:
        found, status = os.waitpid(pid, os.WNOHANG if until is not None else 0)
        if not found:
            if not asked and until is not None and monotonic() > until:
                asked = True
                _ptrace(_INTERRUPT, pid, 0)
            os.sched_yield()
            continue
        event, number = status >> 16, os.WSTOPSIG(status)
        if not os.WIFSTOPPED(status) or event in (_EVENT_EXEC, _EVENT_STOP) or number == _SYSCALL_STOP:
            return status
        _ptrace(request, pid, 0 if event else number)


def _place(pid: int) -> int:
    """Where a child that stopped at a system call makes it."""
    buffer = ctypes.create_string_buffer(96)
    if _ptrace(_SYSCALL_INFO, pid, ctypes.addressof(buffer), len(buffer)) < 16:
        return 0
    return int.from_bytes(buffer.raw[8:16], sys.byteorder)


def _linker(pid: int) -> range:
    """The addresses of the dynamic linker's code, empty for a program that needs none, right after exec."""
    from cygnet.session.symbols.maps import ProcessMaps, read_maps

    own = os.stat(f"/proc/{pid}/exe").st_ino
    for mapping in ProcessMaps(read_maps(pid) or b"").mappings:
        if mapping.inode not in (0, own):
            return range(mapping.start, mapping.end)
    return range(0)
