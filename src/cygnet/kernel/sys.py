"""Raw system calls: bpf(2), perf_event_open(2), ioctl(2), and what their errors mean.

`bpf()` raises; `bpf_raw()` gives a negative errno, for calls whose failure is an answer (no such key).
"""

from __future__ import annotations

import errno as _errno
import os
import struct

from cygnet.kernel import foreign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.errors import SystemCallError

Layout = tuple[str, tuple[str, ...]]
"""A row of uapi.layouts: a `struct` format and its fields' names."""

ENOTSUPP = 524  # include/linux/errno.h: the kernel's own, that leaks out of bpf(2); strerror() has no text for it

# From the system call tables arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
_NUMBERS = {
    "x86_64": (321, 298),
    "aarch64": (280, 241),
    "riscv64": (280, 241),
    "s390x": (351, 331),
    "ppc64le": (361, 319),
}


def _numbers() -> tuple[int, int]:
    machine = os.uname().machine
    if machine not in _NUMBERS:
        from cygnet.errors import NotSupported

        raise NotSupported(f"bpf(2) on {machine}", "its system call numbers in kernel/sys.py")
    return _NUMBERS[machine]


_BPF, _PERF = _numbers()
_bpf = foreign.system_call(foreign.Long, foreign.Pointer, foreign.Long)
_perf = foreign.system_call(foreign.Pointer, foreign.Long, foreign.Long, foreign.Long, foreign.ULong)
_get_errno = foreign.errno
_at = foreign.Char.from_buffer

# ── buffers ──────────────────────────────────────────────────────────────────────────────────────────────


def address(buffer: bytearray | memoryview) -> int:
    """Where a writable buffer lies in memory; it must outlive the use of the number, and not be resized."""
    return foreign.addressof(_at(buffer)) if len(buffer) else 0


_zeros: dict[str, list[Any]] = {}


def pack(layout: Layout, **values: Any) -> bytearray:
    """The bytes of a layout; fields not given are zero. An unknown field is a KeyError."""
    fmt, names = layout
    row = _zeros.get(fmt)
    if row is None:
        row = _zeros[fmt] = list(struct.unpack(fmt, bytes(struct.calcsize(fmt))))
    row = row.copy()
    for name, value in values.items():
        try:
            row[names.index(name)] = value
        except ValueError:
            raise KeyError(f"no field {name} in this layout") from None
    return bytearray(struct.pack(fmt, *row))


def unpack(layout: Layout, data: bytes | bytearray) -> dict[str, Any]:
    """A layout's fields by name."""
    return dict(zip(layout[1], struct.unpack_from(layout[0], data)))


# ── calls ────────────────────────────────────────────────────────────────────────────────────────────────


def bpf_raw(cmd: int, attr_address: int, size: int) -> int:
    """bpf(2) on an attr that lies at an address: its result, or the negative errno."""
    result: int = _bpf(_BPF, cmd, attr_address, size)
    return result if result >= 0 else -_get_errno()


def bpf_try(cmd: int, attr: bytearray) -> int:
    """bpf(2): its result, or the negative errno. The kernel may write into `attr`."""
    return bpf_raw(cmd, foreign.addressof(_at(attr)), len(attr))


def bpf(cmd: int, attr: bytearray, what: str = "") -> int:
    """bpf(2). Raises SystemCallError: "cannot `what`: …", or one of its subclasses."""
    result = bpf_try(cmd, attr)
    if result < 0:
        raise failure(-result, what or f"make bpf command {cmd}", "bpf")
    return result


def perf_event_open(attr: bytearray, pid: int, cpu: int, group_fd: int = -1, flags: int = 8) -> int:
    """perf_event_open(2): a file descriptor (close-on-exec by default), or the negative errno."""
    result: int = _perf(_PERF, foreign.addressof(_at(attr)), pid, cpu, group_fd, flags)
    return result if result >= 0 else -_get_errno()


def ioctl(fd: int, request: int, argument: int = 0) -> int:
    """ioctl(2) with an integer argument. Raises OSError."""
    from fcntl import ioctl as fcntl_ioctl

    return fcntl_ioctl(fd, request, argument)


_MEMBARRIER = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "s390x": 356, "ppc64le": 365}
_MEMBARRIER_CMD_GLOBAL = 1


def wait_for_programs() -> None:
    """Wait until every program that runs now, on any CPU, has ended: membarrier(2) waits for a grace period of RCU,
    and all but sleepable programs run inside of one."""
    call = foreign.system_call(foreign.Long, foreign.Long, foreign.Long)
    call(_MEMBARRIER[os.uname().machine], _MEMBARRIER_CMD_GLOBAL, 0, 0)


def close(fd: int) -> None:
    """Close a file descriptor that is ours; closing twice is an error of ours, and is raised."""
    os.close(fd)


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────


def failure(errno: int, what: str, call: str, needs: str = "", caps: tuple[str, ...] = ("bpf",)) -> SystemCallError:
    """The exception for an errno: PermissionDenied, NotSupported or SystemCallError.

    `what` completes "cannot …"; `needs` says what would bring a thing that is missing; `caps` are the
    capabilities that the call wants.
    """
    from cygnet import errors

    if errno in (_errno.EPERM, _errno.EACCES):
        from cygnet.kernel.denied import denied

        return denied(errno, what, call, caps)
    if errno in (ENOTSUPP, _errno.EOPNOTSUPP, _errno.ENOSYS):
        return errors.NotSupported(f"to {what}", needs or "another kernel configuration", call=call, errno=errno)
    text = os.strerror(errno)
    return errors.SystemCallError(f"cannot {what}: {text}", call=call, errno=errno)
