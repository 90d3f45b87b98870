"""Constants that kernel headers define and BTF lacks: address families, protocols, error numbers, signals."""

from __future__ import annotations


def constant(name: str) -> int | None:
    """The value of a well-known constant."""
    if name[:1] == "E":
        from cygnet.facts.errnos import error_number

        number = error_number(name)
        if number is not None:
            return number
    if name.startswith("SIG"):
        from cygnet.facts.signals import signal_number

        number = signal_number(name)
        if number is not None:
            return number
    from cygnet.facts.constants import value

    number = value(name)
    return _MORE.get(name) if number is None else number


def of_machine(name: str, machine: str) -> int | None:
    """The number of a system call, as ``__NR_openat`` or ``SYS_openat``."""
    if not name.startswith(("__NR_", "SYS_")):
        return None
    from cygnet.facts.syscalls import syscall_number

    return syscall_number(machine, name.partition("NR_")[2] or name[4:])


#: of headers that the generated table does not read: <stdint.h>, <time.h>, <sys/epoll.h>, <dirent.h>, <sys/mount.h>
_MORE = {
    "UINT8_MAX": 0xFF, "UINT16_MAX": 0xFFFF, "UINT32_MAX": 0xFFFFFFFF, "UINT64_MAX": 0xFFFFFFFFFFFFFFFF,
    "INT8_MAX": 0x7F, "INT16_MAX": 0x7FFF, "INT32_MAX": 0x7FFFFFFF, "INT64_MAX": 0x7FFFFFFFFFFFFFFF,
    "CLOCK_REALTIME": 0, "CLOCK_MONOTONIC": 1, "CLOCK_PROCESS_CPUTIME_ID": 2, "CLOCK_THREAD_CPUTIME_ID": 3,
    "CLOCK_MONOTONIC_RAW": 4, "CLOCK_REALTIME_COARSE": 5, "CLOCK_MONOTONIC_COARSE": 6, "CLOCK_BOOTTIME": 7,
    "CLOCK_TAI": 11, "TIMER_ABSTIME": 1,
    "EPOLLIN": 1, "EPOLLPRI": 2, "EPOLLOUT": 4, "EPOLLERR": 8, "EPOLLHUP": 16, "EPOLLRDHUP": 0x2000,
    "EPOLLONESHOT": 1 << 30, "EPOLLET": 1 << 31,
    "DT_UNKNOWN": 0, "DT_FIFO": 1, "DT_CHR": 2, "DT_DIR": 4, "DT_BLK": 6, "DT_REG": 8, "DT_LNK": 10, "DT_SOCK": 12,
    "MNT_FORCE": 1, "MNT_DETACH": 2, "MNT_EXPIRE": 4, "UMOUNT_NOFOLLOW": 8,
    "NICE_0_LOAD": 1 << 20, "BLK_STS_OK": 0,
}  # fmt: skip
