"""Why a system call was refused: privilege, lockdown, kernel configuration, or not known.

Found by looking and probing, only after a refusal: nothing here is on the way of a call that works.
"""

from __future__ import annotations

import errno as _errno

from cygnet.errors import PermissionDenied

# include/uapi/linux/capability.h
CAPABILITIES = {
    "dac_read_search": 2,
    "net_admin": 12,
    "ipc_lock": 14,
    "sys_ptrace": 19,
    "sys_admin": 21,
    "sys_resource": 24,
    "syslog": 34,
    "perfmon": 38,
    "bpf": 39,
}


def effective_capabilities() -> int:
    """The bits of this thread's effective capabilities; 0 when /proc does not say."""
    try:
        with open("/proc/thread-self/status") as file:
            for line in file:
                if line.startswith("CapEff:"):
                    return int(line.split()[1], 16)
    except OSError:
        pass
    return 0


def has_capability(name: str) -> bool:
    """Whether a capability is effective; CAP_BPF and CAP_PERFMON are implied by CAP_SYS_ADMIN."""
    bits = effective_capabilities()
    implied = name in ("bpf", "perfmon") and bits >> CAPABILITIES["sys_admin"] & 1
    return bool(bits >> CAPABILITIES[name] & 1 or implied)


def lockdown() -> str:
    """The kernel's lockdown: ``none``, ``integrity``, ``confidentiality``, or "" when it is not known."""
    try:
        with open("/sys/kernel/security/lockdown") as file:
            return file.read().partition("[")[2].partition("]")[0]
    except OSError:
        return ""


def user_namespace_is_initial() -> bool:
    """Capabilities in a child user namespace do not count for bpf(2) or for tracing."""
    try:
        with open("/proc/self/uid_map") as file:
            return file.read().split() == ["0", "0", "4294967295"]
    except OSError:
        return True


def denied(errno: int, what: str, call: str, caps: tuple[str, ...]) -> PermissionDenied:
    """The exception for EPERM or EACCES, with the sentence that fits."""
    reason, sentence, hints = classify(errno, caps)
    return PermissionDenied(f"cannot {what}: {sentence}", reason=reason, call=call, errno=errno, hints=hints)


def classify(errno: int, caps: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]]:
    """(reason, sentence, hints)."""
    missing = [f"CAP_{cap.upper()}" for cap in caps if not has_capability(cap)]
    if missing:
        return "privilege", f"{' and '.join(missing)} missing", ("run it as root, or: sudo cygnet …",)
    if not user_namespace_is_initial():
        return (
            "privilege",
            "this process is in a user namespace of its own, where its capabilities do not count",
            ("run it outside the container, or in one that shares the host's user namespace",),
        )
    mode = lockdown()
    if mode == "confidentiality":
        return (
            "lockdown",
            "the kernel is locked down (confidentiality), which forbids reading its memory",
            ("boot without lockdown=confidentiality",),
        )
    if bpf_works():
        return "config", "this process may use bpf(2), so the kernel's configuration or a policy forbids this", ()
    word = "EPERM" if errno == _errno.EPERM else "EACCES"
    return "unknown", f"the kernel answers {word} and does not say why (a seccomp filter or a security module?)", ()


def bpf_works() -> bool:
    """Whether the simplest privileged use of bpf(2) succeeds: the first map id is asked for."""
    from cygnet.kernel import sys
    from cygnet.uapi import bpf, layouts

    attr = sys.pack(layouts.ATTR_GET_ID)
    return sys.bpf_try(bpf.BPF_MAP_GET_NEXT_ID, attr) in (0, -_errno.ENOENT)
