"""ptrace(2), as far as a child is held at its exec and followed through its first system calls."""

from __future__ import annotations

import ctypes
import sys

# include/uapi/linux/ptrace.h
_CONT, _DETACH, _SYSCALL, _SEIZE, _INTERRUPT, _SYSCALL_INFO = 7, 17, 24, 0x4206, 0x4207, 0x420E
_OPTION_SYSCALL, _OPTION_EXEC = 0x01, 0x10
_INFO_BYTES = 96
EVENT_EXEC, EVENT_STOP = 4, 128  # what is above the low 16 bits of a status
SYSCALL_STOP = 5 | 0x80  # the stop signal at a system call: SIGTRAP with a mark


def _ptrace(request: int, pid: int, size: int, data: int) -> int:
    call = ctypes.CDLL(None).ptrace
    call.restype = ctypes.c_long
    call.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    return int(call(request, pid, size, data))


def seize(pid: int) -> bool:
    """Have a process stop at its next exec, without a signal; False where the system forbids that."""
    return _ptrace(_SEIZE, pid, 0, _OPTION_EXEC | _OPTION_SYSCALL) == 0


def resume(pid: int, signal: int = 0, to_syscall: bool = False) -> None:
    """Let a stopped process run on, with a signal; `to_syscall`: until it enters or leaves the next system call."""
    _ptrace(_SYSCALL if to_syscall else _CONT, pid, 0, signal)


def interrupt(pid: int) -> None:
    """Have a seized process stop where it is (EVENT_STOP)."""
    _ptrace(_INTERRUPT, pid, 0, 0)


def detach(pid: int) -> None:
    """Let a stopped process run on, and watch it no more."""
    _ptrace(_DETACH, pid, 0, 0)


def instruction_pointer(pid: int) -> int:
    """Of a process that stopped at a system call (PTRACE_GET_SYSCALL_INFO, Linux 5.3); 0 when it cannot be had."""
    buffer = ctypes.create_string_buffer(_INFO_BYTES)
    if _ptrace(_SYSCALL_INFO, pid, _INFO_BYTES, ctypes.addressof(buffer)) < 16:
        return 0
    return int.from_bytes(buffer.raw[8:16], sys.byteorder)
