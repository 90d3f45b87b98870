"""A process of ours held for a moment right after its exec, so that what it has mapped can be looked at.

ptrace's PTRACE_SEIZE with the option TRACEEXEC: no signal is sent, and once let go the process is not traced any more.
"""

from __future__ import annotations

import ctypes
import os

_CONT, _DETACH, _SEIZE = 7, 17, 0x4206  # include/uapi/linux/ptrace.h
_OPTION_EXEC, _EVENT_EXEC = 0x10, 4


def _ptrace(request: int, pid: int, data: int) -> bool:
    call = ctypes.CDLL(None).ptrace
    call.restype = ctypes.c_long
    call.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    return bool(call(request, pid, None, data) == 0)


def seize(pid: int) -> bool:
    """Have a child stop at its next exec; False where the system forbids that."""
    return _ptrace(_SEIZE, pid, _OPTION_EXEC)


def wait(pid: int) -> int | None:
    """Wait until a seized child has stopped at its exec; its status when it ended before."""
    while True:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return status
        event = status >> 16
        if event == _EVENT_EXEC:
            return None
        _ptrace(_CONT, pid, 0 if event else os.WSTOPSIG(status))  # a signal on its way: it may have it


def release(pid: int) -> None:
    """Let the child go, and watch it no more."""
    _ptrace(_DETACH, pid, 0)
