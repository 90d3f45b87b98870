"""Numbers with names, against the C library, the installed headers and the running kernel."""

import errno
import os
import platform
import re
import subprocess
from pathlib import Path

import pytest

from cygnet.facts.errnos import error_name, error_number, error_text, texts
from cygnet.facts.gfp import gfp_text, parse_table, table
from cygnet.facts.signals import signal_name, signal_number, signal_text
from cygnet.facts.signals import texts as signal_texts
from cygnet.facts.syscalls import names, syscall_name, syscall_number

ENGLISH = {**os.environ, "LC_ALL": "C"}


def test_error_texts_are_the_c_librarys():
    script = "import os\nfor n in range(140): print(os.strerror(n))"
    shown = subprocess.run(
        ["/usr/bin/env", "python3", "-c", script], env=ENGLISH, capture_output=True, text=True, check=True
    )
    for number, text in enumerate(shown.stdout.splitlines()):
        assert (error_text(number) or f"Unknown error {number}") == text
        assert texts().get(number) == error_text(number)


def test_error_names():
    for number in errno.errorcode:
        assert getattr(errno, error_name(number)) == number == error_number(error_name(number))
    assert (error_name(0), error_name(524), error_name(9999), error_number("ENONSENSE")) == (
        None,
        "ENOTSUPP",
        None,
        None,
    )


def test_signals():
    import signal

    for number in range(1, 32):
        assert signal.Signals[signal_name(number)] == number
        assert signal_number(signal_name(number)) == signal_number(signal_name(number)[3:]) == number
    assert signal_number("SIGIOT") == 6 == signal_number("ABRT")
    assert (signal_name(0), signal_name(32), signal_name(-1), signal_number("SIGNONSENSE")) == (None,) * 4


def test_signal_texts_are_the_c_librarys():
    script = "import ctypes\nf = ctypes.CDLL(None).strsignal\nf.restype = ctypes.c_char_p\n"
    script += "for n in range(65): print(f(n).decode())"
    command = ["/usr/bin/env", "python3", "-c", script]
    shown = subprocess.run(command, env=ENGLISH, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == [signal_text(number) for number in range(65)] == list(signal_texts().values())
    assert signal_text(65) is signal_text(-1) is None


def header_numbers(*arguments):
    shown = subprocess.run(
        ["cc", "-E", "-dM", "-x", "c", *arguments, "/dev/null"], capture_output=True, text=True, check=True
    )
    return {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", shown.stdout, re.M)}


def test_system_calls_agree_with_the_headers():
    theirs = header_numbers("-include", "asm/unistd_64.h")
    assert len(theirs) > 350
    assert {name: syscall_number("x86_64", name) for name in theirs} == theirs
    theirs = header_numbers("-D__BITS_PER_LONG=64", "-include", "asm-generic/unistd.h")
    left_out = {"syscalls", "arch_specific_syscall"}
    assert {name: syscall_number("aarch64", name) for name in theirs if name not in left_out} == {
        name: number for name, number in theirs.items() if name not in left_out
    }


# no longer, or never, anything but "not implemented"
GONE = """
    _sysctl create_module get_kernel_syms query_module nfsservctl getpmsg putpmsg afs_syscall tuxcall security
    set_thread_area get_thread_area epoll_ctl_old epoll_wait_old vserver uselib lookup_dcookie ustat sysfs
"""
# compiled out of some kernels
OPTIONAL = """
    kexec_file_load kexec_load map_shadow_stack lsm_get_self_attr lsm_set_self_attr lsm_list_modules uprobe uretprobe
    memfd_secret pkey_alloc pkey_free pkey_mprotect userfaultfd modify_ldt quotactl quotactl_fd landlock_create_ruleset
    landlock_add_rule landlock_restrict_self add_key request_key keyctl
"""


def test_system_calls_are_the_kernels():
    """Every name has its entry point in the running kernel."""
    prefix = {"x86_64": "__x64_sys_", "aarch64": "__arm64_sys_"}[platform.machine()]
    symbols = set(re.findall(rf" {prefix}(\w+)$", Path("/proc/kallsyms").read_text(), re.M))
    assert len(symbols) > 300
    renamed = {
        "stat": "newstat",
        "fstat": "newfstat",
        "lstat": "newlstat",
        "uname": "newuname",
        "sendfile": "sendfile64",
    }
    renamed |= {"umount2": "umount"}
    missing = {name for name in names(platform.machine()).values() if renamed.get(name, name) not in symbols}
    assert missing <= set(GONE.split()) | set(OPTIONAL.split())


def test_the_numbers_of_this_machine():
    import ctypes

    libc = ctypes.CDLL(None)
    assert libc.syscall(syscall_number(platform.machine(), "getpid")) == os.getpid()
    assert syscall_name("x86_64", 257) == "openat" == syscall_name("aarch64", 56)
    assert syscall_name("x86_64", 400) is None
    assert syscall_name("x86_64", 469) == syscall_name("aarch64", 469) == "file_setattr"
    with pytest.raises(KeyError):
        names("pdp11")


def test_gfp_flags():
    assert gfp_text(0xCC0) == "GFP_KERNEL"
    assert gfp_text(0xDC0) == "GFP_KERNEL|__GFP_ZERO"
    assert gfp_text(0) == "none"
    assert gfp_text(1 << 30 | 1) == "GFP_DMA|0x40000000"
    assert gfp_text(6, [(2, "A"), (4, "B")]) == "A|B"


def test_gfp_table_is_the_kernels():
    form = Path("/sys/kernel/tracing/events/kmem/kmalloc/format")
    if not form.exists():
        from cygnet.errors import NotSupported

        raise NotSupported("tracefs", "tracefs mounted, and root")
    theirs = parse_table(form.read_text())
    assert theirs == list(table())
    assert parse_table("print fmt: no flags") == []
