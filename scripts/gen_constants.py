#!/usr/bin/env python3
"""Write src/cygnet/facts/constants.py: the integer constants that user space's kernel headers define.

Run it on Linux with clang, linux-libc-dev and the C library's headers. What the kernel defines for itself only is in
INTERNAL, from include/linux/*.h of the kernel.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "src" / "cygnet" / "facts" / "constants.py"
WIDTH = 116
HEADERS = """
    sys/stat.h fcntl.h unistd.h linux/types.h
    sys/socket.h netinet/in.h linux/tcp.h linux/udp.h linux/if_ether.h linux/if_arp.h linux/icmp.h
    linux/icmpv6.h linux/netlink.h linux/rtnetlink.h linux/fcntl.h linux/stat.h linux/fs.h linux/sched.h
    linux/capability.h linux/limits.h linux/futex.h linux/mman.h linux/eventpoll.h linux/mount.h linux/prctl.h
    linux/ptrace.h linux/wait.h linux/resource.h linux/poll.h linux/seccomp.h linux/if.h linux/time.h linux/magic.h
    asm/socket.h linux/keyctl.h linux/ioprio.h linux/vm_sockets.h linux/if_packet.h linux/sockios.h linux/inotify.h
    linux/fanotify.h linux/sched/types.h linux/membarrier.h linux/in6.h linux/in.h linux/ip.h linux/memfd.h
    linux/mempolicy.h linux/random.h linux/reboot.h linux/shm.h linux/timerfd.h linux/un.h linux/userfaultfd.h
    linux/xattr.h linux/signalfd.h linux/ipc.h linux/msg.h linux/sem.h linux/elf.h linux/kcmp.h linux/major.h
    linux/nfs.h linux/io_uring.h linux/if_tun.h linux/if_vlan.h linux/if_bridge.h
    linux/netfilter.h linux/netfilter_ipv4.h linux/netfilter_ipv6.h linux/l2tp.h linux/mpls.h linux/pkt_sched.h
    linux/serial.h linux/tty.h linux/usb/ch9.h linux/virtio_ids.h linux/kernel-page-flags.h
    linux/errqueue.h linux/net.h linux/nsfs.h linux/openat2.h linux/personality.h linux/pidfd.h linux/quota.h
    linux/rseq.h linux/sctp.h linux/sysinfo.h linux/taskstats.h linux/utsname.h linux/watchdog.h
    sys/epoll.h sys/eventfd.h sys/inotify.h sys/resource.h linux/if_alg.h linux/pkt_cls.h linux/tls.h
    asm/vmx.h
"""
PRELUDE = "#define _GNU_SOURCE\n#include <stdio.h>\n"
#: of the kernel only; x86-64 where machines differ (pages of 4096 bytes)
INTERNAL = {
    "TASK_RUNNING": 0, "TASK_INTERRUPTIBLE": 1, "TASK_UNINTERRUPTIBLE": 2, "__TASK_STOPPED": 4, "__TASK_TRACED": 8,
    "EXIT_DEAD": 0x10, "EXIT_ZOMBIE": 0x20, "TASK_PARKED": 0x40, "TASK_DEAD": 0x80, "TASK_WAKEKILL": 0x100,
    "TASK_WAKING": 0x200, "TASK_NOLOAD": 0x400, "TASK_NEW": 0x800, "TASK_RTLOCK_WAIT": 0x1000, "TASK_FREEZABLE": 0x2000,
    "TASK_FROZEN": 0x8000, "TASK_KILLABLE": 0x102, "TASK_STOPPED": 0x104, "TASK_TRACED": 8, "TASK_IDLE": 0x402,
    "TASK_NORMAL": 3, "TASK_REPORT": 0x7F, "TASK_COMM_LEN": 16,
    "PF_VCPU": 0x1, "PF_IDLE": 0x2, "PF_EXITING": 0x4, "PF_POSTCOREDUMP": 0x8, "PF_IO_WORKER": 0x10,
    "PF_WQ_WORKER": 0x20, "PF_FORKNOEXEC": 0x40, "PF_SUPERPRIV": 0x100, "PF_DUMPCORE": 0x200, "PF_SIGNALED": 0x400,
    "PF_MEMALLOC": 0x800, "PF_NPROC_EXCEEDED": 0x1000, "PF_USED_MATH": 0x2000, "PF_NOFREEZE": 0x8000,
    "PF_KSWAPD": 0x20000, "PF_MEMALLOC_NOFS": 0x40000, "PF_MEMALLOC_NOIO": 0x80000, "PF_KTHREAD": 0x200000,
    "PF_RANDOMIZE": 0x400000, "PF_NO_SETAFFINITY": 0x4000000, "PF_SUSPEND_TASK": 0x80000000,
    "PAGE_SHIFT": 12, "PAGE_SIZE": 4096, "PAGE_MASK": -4096, "PMD_SHIFT": 21, "HPAGE_PMD_ORDER": 9,
    "BITS_PER_LONG": 64, "BITS_PER_BYTE": 8, "BITS_PER_LONG_LONG": 64, "MAX_ERRNO": 4095, "L1_CACHE_BYTES": 64,
    "MINORBITS": 20, "MINORMASK": 0xFFFFF, "SECTOR_SHIFT": 9, "SECTOR_SIZE": 512, "DISK_NAME_LEN": 32,
    "BDEVNAME_SIZE": 32, "PARTITION_META_INFO_VOLNAMELTH": 64,
    "NSEC_PER_SEC": 10**9, "NSEC_PER_MSEC": 10**6, "NSEC_PER_USEC": 1000, "USEC_PER_SEC": 10**6, "USEC_PER_MSEC": 1000,
    "MSEC_PER_SEC": 1000, "PSEC_PER_NSEC": 1000, "FSEC_PER_SEC": 10**15,
    "U8_MAX": 0xFF, "S8_MAX": 0x7F, "U16_MAX": 0xFFFF, "S16_MAX": 0x7FFF, "U32_MAX": 0xFFFFFFFF, "S32_MAX": 0x7FFFFFFF,
    "U64_MAX": 2**64 - 1, "S64_MAX": 2**63 - 1, "INT_MAX": 0x7FFFFFFF, "INT_MIN": -0x80000000, "UINT_MAX": 0xFFFFFFFF,
    "LONG_MAX": 2**63 - 1, "LONG_MIN": -(2**63), "ULONG_MAX": 2**64 - 1, "LLONG_MAX": 2**63 - 1,
    "ULLONG_MAX": 2**64 - 1,
    "SHRT_MAX": 0x7FFF, "USHRT_MAX": 0xFFFF, "SIZE_MAX": 2**64 - 1, "NULL": 0,
    "FMODE_READ": 0x1, "FMODE_WRITE": 0x2, "FMODE_LSEEK": 0x4, "FMODE_PREAD": 0x8, "FMODE_PWRITE": 0x10,
    "FMODE_EXEC": 0x20, "FMODE_NDELAY": 0x40, "FMODE_EXCL": 0x80,
    "MAY_EXEC": 0x1, "MAY_WRITE": 0x2, "MAY_READ": 0x4, "MAY_APPEND": 0x8, "MAY_ACCESS": 0x10, "MAY_OPEN": 0x20,
    "MAY_CHDIR": 0x40, "MAY_NOT_BLOCK": 0x80,
    "LOOKUP_FOLLOW": 0x1, "LOOKUP_DIRECTORY": 0x2, "LOOKUP_AUTOMOUNT": 0x4, "LOOKUP_EMPTY": 0x8, "LOOKUP_PARENT": 0x10,
    "VM_READ": 0x1, "VM_WRITE": 0x2, "VM_EXEC": 0x4, "VM_SHARED": 0x8, "VM_MAYREAD": 0x10, "VM_MAYWRITE": 0x20,
    "VM_MAYEXEC": 0x40, "VM_MAYSHARE": 0x80, "VM_GROWSDOWN": 0x100, "VM_PFNMAP": 0x400, "VM_LOCKED": 0x2000,
    "VM_IO": 0x4000, "VM_DONTCOPY": 0x20000, "VM_DONTEXPAND": 0x40000, "VM_ACCOUNT": 0x100000, "VM_HUGETLB": 0x400000,
    "KMALLOC_MAX_ORDER": 10, "MAX_ORDER": 10, "MAX_PAGE_ORDER": 10, "PIPE_DEF_BUFFERS": 16,
    "MAX_ARG_STRLEN": 131072, "MODULE_NAME_LEN": 56, "KSYM_NAME_LEN": 512, "NF_MAX_VERDICT": 5,
    "AF_MAX": 46, "PF_MAX": 46, "CPU_MAX": 8192, "PID_MAX_LIMIT": 4194304, "MAX_NICE": 19, "MIN_NICE": -20,
    "MAX_PRIO": 140, "MAX_RT_PRIO": 100, "DEFAULT_PRIO": 120, "MAX_DL_PRIO": 0,
    "REQ_OP_BITS": 8, "REQ_OP_MASK": 0xFF, "BIO_MAX_VECS": 256, "SCSI_SENSE_BUFFERSIZE": 96, "MAX_COMMAND_SIZE": 16,
    "TCP_STATE_MASK": 0xF, "IP_DF": 0x4000, "IP_MF": 0x2000, "IP_OFFSET": 0x1FFF, "IP_CE": 0x8000,
    "TCPHDR_FIN": 0x01, "TCPHDR_SYN": 0x02, "TCPHDR_RST": 0x04, "TCPHDR_PSH": 0x08, "TCPHDR_ACK": 0x10,
    "TCPHDR_URG": 0x20, "TCPHDR_ECE": 0x40, "TCPHDR_CWR": 0x80, "RCV_SHUTDOWN": 1, "SEND_SHUTDOWN": 2,
    "TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5,
    "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11,
    "TCP_NEW_SYN_RECV": 12, "SOL_TCP": 6, "SOL_UDP": 17, "UIO_MAXIOV": 1024, "SIGRTMIN": 32, "SIGRTMAX": 64,
    "S_IRWXUGO": 0o777, "S_IALLUGO": 0o7777, "S_IRUGO": 0o444, "S_IWUGO": 0o222, "S_IXUGO": 0o111, "ENOTSUP": 95,
    "O_LARGEFILE": 0o100000,
    "SHUTDOWN_MASK": 3, "SKB_DST_NOREF": 1, "IP6SKB_FORWARDED": 2,
    "ERESTARTSYS": 512, "ERESTARTNOINTR": 513, "ERESTARTNOHAND": 514, "ENOIOCTLCMD": 515, "ERESTART_RESTARTBLOCK": 516,
    "EPROBE_DEFER": 517, "EOPENSTALE": 518, "ENOPARAM": 519, "EBADHANDLE": 521, "ENOTSYNC": 522, "EBADCOOKIE": 523,
    "IOCB_EVENTFD": 1 << 16, "IOCB_DIRECT": 1 << 17, "IOCB_WRITE": 1 << 18, "IOCB_WAITQ": 1 << 19, "IOCB_NOIO": 1 << 20,
    "TIF_NOTIFY_RESUME": 1, "TIF_SIGPENDING": 2, "TIF_NEED_RESCHED": 3,
    "ENOTSUPP": 524, "ETOOSMALL": 525, "ESERVERFAULT": 526, "EBADTYPE": 527, "EJUKEBOX": 528, "EIOCBQUEUED": 529,
}  # fmt: skip


def headers() -> list[str]:
    """Those that this machine has, and that go together with the ones before."""
    kept: list[str] = []
    for name in HEADERS.split():
        trial = PRELUDE + "".join(f"#include <{one}>\n" for one in [*kept, name])
        if (
            subprocess.run(
                ["clang", "-fsyntax-only", "-x", "c", "-"], input=trial, text=True, capture_output=True
            ).returncode
            == 0
        ):
            kept.append(name)
    return kept


def macros(includes: str) -> list[str]:
    text = subprocess.run(
        ["clang", "-E", "-dM", "-x", "c", "-"], input=includes, text=True, check=True, capture_output=True
    ).stdout
    return sorted(set(re.findall(r"^#define ([A-Z][A-Z0-9_]*[a-zA-Z0-9_]*) \S", text, re.M)))


def values(includes: str, names: list[str]) -> dict[str, int]:
    """The names that are integer constants; the compiler says which are not (a string takes no ``+``)."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "c.c"), Path(folder, "c")
        for _ in range(5):
            lines = [
                f'_Static_assert(__builtin_constant_p({n}), ""); static const long long v_{n} = (long long)+({n});'
                for n in names
            ]
            source.write_text(includes + "#line 1\n" + "\n".join(lines) + "\nint main(void) { return 0; }\n")
            done = subprocess.run(
                ["clang", "-ferror-limit=0", "-w", "-fsyntax-only", source], text=True, capture_output=True
            )
            bad = {int(line) for line in re.findall(r"c\.c:(\d+):\d+: error", done.stderr)}
            if not bad:
                break
            names = [name for number, name in enumerate(names, 1) if number not in bad]
        lines = [f'printf("{n} %lld %d\\n", (long long)({n}), ({n}) > 0);' for n in names]
        source.write_text(includes + "int main(void) {\n" + "\n".join(lines) + "}\n")
        subprocess.run(["clang", "-w", "-o", program, source], check=True)
        text = subprocess.run([program], text=True, check=True, capture_output=True).stdout
    found = {}
    for line in text.splitlines():
        name, value, positive = line.split()
        found[name] = int(value) + (2**64 if int(value) < 0 and positive == "1" else 0)
    return found


def main() -> None:
    includes = PRELUDE + "".join(f"#include <{name}>\n" for name in headers())
    found = values(includes, macros(includes))
    for name, value in INTERNAL.items():
        found[name] = value
    found = {name: value for name, value in found.items() if not name.startswith(("KBUILD", "NR_OPEN_"))}
    lines, line = [], ""
    for name in sorted(found):
        value = found[name]
        word = f"{name}={value if abs(value) < 1000 else hex(value)}"
        if line and len(line) + len(word) + 1 > WIDTH:
            lines.append(line)
            line = ""
        line += (" " if line else "") + word
    lines.append(line)
    OUT.write_text(
        "# Generated by scripts/gen_constants.py from linux-libc-dev and the GNU C library; do not edit.\n"
        '"""Constants that headers define and BTF lacks, as text that is searched when one is asked for."""\n\n'
        'from __future__ import annotations\n\nTEXT = """\n' + "\n".join(lines) + '\n"""\n\n\n'
        "def value(name: str) -> int | None:\n"
        '    """The number behind a name; None when it is not known."""\n'
        '    at = TEXT.find(f"{name}=")\n'
        '    while at > 0 and TEXT[at - 1] not in " \\n":\n'
        '        at = TEXT.find(f"{name}=", at + 1)\n'
        "    if at < 0:\n        return None\n"
        "    return int(TEXT[at + len(name) + 1 :].split(None, 1)[0], 0)\n"
    )


if __name__ == "__main__":
    main()
