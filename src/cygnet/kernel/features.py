"""What this kernel can do, found by trying: each probe is made once, when it is first asked for.

A probe creates an object and drops it at once; nothing is attached. A probe that is refused for want
of privilege cannot tell: it raises PermissionDenied.
"""

from __future__ import annotations

import errno as _errno
import os
import struct

from cygnet.kernel import sys
from cygnet.uapi import bpf, layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_answers: dict[str, bool] = {}


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One instruction's eight bytes; enough to write the probes with."""
    return struct.pack("<BBhi", code, dst | src << 4, off, imm)


EXIT = insn(0x95)
R0_IS_0 = insn(0xB7)


def has(name: str) -> bool:
    """Whether the kernel has a feature: one of `names()`."""
    if name not in _answers:
        _answers[name] = _PROBES[name]()
    return _answers[name]


def do_without(names: Iterable[str]) -> None:
    """Answer from now on that the kernel lacks these."""
    _answers.update(dict.fromkeys(names, False))


def names() -> list[str]:
    return sorted(_PROBES)


# ── how to try ───────────────────────────────────────────────────────────────────────────────────────────


def _answer(result: int, what: str) -> bool:
    """A descriptor is a yes, which is closed; EPERM is not an answer."""
    if result >= 0:
        os.close(result)
        return True
    if result == -_errno.EPERM:
        raise sys.failure(_errno.EPERM, what, "bpf")
    return False


def try_load(insns: bytes, type: int, **fields: int) -> int:
    """Load, without a log: a descriptor or a negative errno."""
    code, license = bytearray(insns), bytearray(b"GPL\0")
    attr = sys.pack(
        layouts.ATTR_PROG_LOAD,
        prog_type=type,
        insns=sys.address(code),
        insn_cnt=len(code) // 8,
        license=sys.address(license),
        **fields,
    )
    return sys.bpf_try(bpf.BPF_PROG_LOAD, attr)


def loads(*insns: bytes, type: int = bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, **fields: int) -> bool:
    return _answer(try_load(b"".join(insns), type, **fields), "probe the kernel's features")


def has_prog_type(type: int) -> bool:
    """Whether the kernel takes programs of a type: it says EINVAL, and nothing in the log, for one it does not know.

    Some types want a function to attach to; they make the verifier speak, or answer ENOTSUPP, which is a yes. A
    kernel that refuses a type to everyone (EPERM, though no capability is missing) has not got it.
    """
    attach = {
        bpf.BPF_PROG_TYPE_CGROUP_SOCK_ADDR: bpf.BPF_CGROUP_INET4_BIND,
        bpf.BPF_PROG_TYPE_SK_LOOKUP: bpf.BPF_SK_LOOKUP,
        bpf.BPF_PROG_TYPE_CGROUP_SOCKOPT: bpf.BPF_CGROUP_GETSOCKOPT,
        bpf.BPF_PROG_TYPE_NETFILTER: bpf.BPF_NETFILTER,
        bpf.BPF_PROG_TYPE_TRACING: bpf.BPF_TRACE_RAW_TP,
    }
    flags = bpf.BPF_F_SLEEPABLE if type == bpf.BPF_PROG_TYPE_SYSCALL else 0
    log = bytearray(4096)
    code, license = bytearray(R0_IS_0 + EXIT), bytearray(b"GPL\0")
    attr = sys.pack(
        layouts.ATTR_PROG_LOAD,
        prog_type=type,
        insns=sys.address(code),
        insn_cnt=2,
        license=sys.address(license),
        expected_attach_type=attach.get(type, 0),
        prog_flags=flags,
        log_level=1,
        log_size=len(log),
        log_buf=sys.address(log),
    )
    result = sys.bpf_try(bpf.BPF_PROG_LOAD, attr)
    # The verifier's words, and errnos other than EINVAL, come only after the type was found.
    spoken = log[0] != 0 or result == -sys.ENOTSUPP
    if result == -_errno.EPERM:
        from cygnet.kernel.denied import has_capability

        return False if has_capability("sys_admin") else _answer(result, "probe a program type")
    return _answer(result, "probe a program type") or spoken


def has_map_type(type: int) -> bool:
    """Whether a map type exists. Some want more than the probe gives, and then answer otherwise than EINVAL."""
    shape = {"key_size": 4, "value_size": 4, "max_entries": 1} | _MAP_SHAPES.get(type, {})
    result = sys.bpf_try(bpf.BPF_MAP_CREATE, sys.pack(layouts.ATTR_MAP_CREATE, map_type=type, **shape))
    if result in (-_errno.EBADF, -sys.ENOTSUPP, -_errno.EOPNOTSUPP):
        return True
    return _answer(result, "probe a map type")


_NO_FD = 0xFFFFFFFF
_KEYLESS = {"key_size": 0}
_RING = {"key_size": 0, "value_size": 0, "max_entries": 4096}
_CGROUP_STORAGE = {"key_size": 16, "max_entries": 0}
# BTF comes last in the kernel's checks, so a missing BTF descriptor (EBADF) tells that all before was right.
_STORAGE = {"max_entries": 0, "map_flags": bpf.BPF_F_NO_PREALLOC, "btf_fd": _NO_FD, "btf_key_type_id": 1,
            "btf_value_type_id": 1}  # fmt: skip
# type → fields of a map that the type's own rules accept
_MAP_SHAPES: dict[int, dict[str, int]] = {
    bpf.BPF_MAP_TYPE_RINGBUF: _RING,
    bpf.BPF_MAP_TYPE_USER_RINGBUF: _RING,
    bpf.BPF_MAP_TYPE_QUEUE: _KEYLESS,
    bpf.BPF_MAP_TYPE_STACK: _KEYLESS,
    bpf.BPF_MAP_TYPE_BLOOM_FILTER: _KEYLESS,
    bpf.BPF_MAP_TYPE_STACK_TRACE: {"value_size": 8},
    bpf.BPF_MAP_TYPE_LPM_TRIE: {"key_size": 8, "map_flags": bpf.BPF_F_NO_PREALLOC},
    bpf.BPF_MAP_TYPE_CGROUP_STORAGE: _CGROUP_STORAGE,
    bpf.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE: _CGROUP_STORAGE,
    bpf.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: {"value_size": 8},
    bpf.BPF_MAP_TYPE_ARENA: {"key_size": 0, "value_size": 0, "map_flags": bpf.BPF_F_MMAPABLE},
    bpf.BPF_MAP_TYPE_ARRAY_OF_MAPS: {"inner_map_fd": _NO_FD},
    bpf.BPF_MAP_TYPE_HASH_OF_MAPS: {"inner_map_fd": _NO_FD},
    bpf.BPF_MAP_TYPE_SK_STORAGE: _STORAGE,
    bpf.BPF_MAP_TYPE_INODE_STORAGE: _STORAGE,
    bpf.BPF_MAP_TYPE_TASK_STORAGE: _STORAGE,
    bpf.BPF_MAP_TYPE_CGRP_STORAGE: _STORAGE,
    bpf.BPF_MAP_TYPE_STRUCT_OPS: {"btf_vmlinux_value_type_id": 1},
}


# ── the probes ───────────────────────────────────────────────────────────────────────────────────────────


def has_helper(number: int, prog_type: int) -> bool:
    """Whether a program of a type may call a helper.

    An unknown helper makes the verifier say "invalid func" or "unknown func"; a known one is refused for
    its arguments, in other words.
    """
    from cygnet.kernel.progs import load_log

    log = load_log(insn(0x85, imm=number) + EXIT, prog_type, level=1)
    if not log:
        raise sys.failure(_errno.EPERM, "probe a helper", "bpf", caps=("bpf", "perfmon"))
    return "invalid func" not in log and "unknown func" not in log and "program of this type cannot use" not in log


def _helper(number: int) -> Callable[[], bool]:
    """Whether a helper can be called from a tracing program."""
    return lambda: has_helper(number, bpf.BPF_PROG_TYPE_RAW_TRACEPOINT)


def _map(type: int) -> Callable[[], bool]:
    return lambda: has_map_type(type)


def _prog(type: int) -> Callable[[], bool]:
    return lambda: has_prog_type(type)


def _batch() -> bool:
    from cygnet.kernel.maps import KernelMap

    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 4, 1, 0, "probe") as store:
        attr = sys.pack(layouts.ATTR_MAP_BATCH, map_fd=store.fd)
        return sys.bpf_try(bpf.BPF_MAP_LOOKUP_BATCH, attr) != -_errno.EINVAL


def _link_create(attach_type: int, prog_type: int) -> bool:
    """Whether a link kind exists: with nothing to attach to, the kernel complains about that, not about the kind."""
    fd = try_load(R0_IS_0 + EXIT, prog_type, expected_attach_type=attach_type)
    if fd < 0:
        _answer(fd, "probe the kernel's links")
        return False
    try:
        attr = sys.pack(layouts.ATTR_LINK_CREATE, prog_fd=fd, target_fd=0xFFFFFFFF, attach_type=attach_type)
        result = sys.bpf_try(bpf.BPF_LINK_CREATE, attr + bytes(48))
    finally:
        os.close(fd)
    return result not in (-_errno.EINVAL, -_errno.EOPNOTSUPP, -sys.ENOTSUPP)


def _perf_link() -> bool:
    """BPF links on perf events (5.15): an older kernel says EINVAL, a newer one EBADF for the missing event."""
    return _link_create(bpf.BPF_PERF_EVENT, bpf.BPF_PROG_TYPE_TRACEPOINT)


def _uprobe_multi() -> bool:
    """uprobe_multi links (6.6): given a path that cannot be resolved, a kernel that has them looks for the file.

    6.6 to 6.12 answer EBADF for a bad pid first; any answer but EINVAL and ENOTSUPP tells that they exist.
    """
    attach = bpf.BPF_TRACE_UPROBE_MULTI
    fd = try_load(R0_IS_0 + EXIT, bpf.BPF_PROG_TYPE_KPROBE, expected_attach_type=attach)
    if fd < 0:
        return _answer(fd, "probe uprobe_multi")
    path, offset = bytearray(b"/\0"), bytearray(8)
    try:
        attr = sys.pack(layouts.ATTR_LINK_CREATE, prog_fd=fd, attach_type=attach)
        tail = sys.pack(layouts.LINK_CREATE_UPROBE_MULTI, path=sys.address(path), offsets=sys.address(offset), cnt=1)
        result = sys.bpf_try(bpf.BPF_LINK_CREATE, attr + tail)
    finally:
        os.close(fd)
    return result == -_errno.EBADF  # the path is not a regular file


def _event_source(name: str) -> Callable[[], bool]:
    return lambda: os.path.exists(f"/sys/bus/event_source/devices/{name}/type")


def _kprobe() -> bool:
    return _event_source("kprobe")()


def _kprobe_multi() -> bool:
    attach = bpf.BPF_TRACE_KPROBE_MULTI
    fd = try_load(R0_IS_0 + EXIT, bpf.BPF_PROG_TYPE_KPROBE, expected_attach_type=attach)
    if fd < 0:
        return _answer(fd, "probe kprobe_multi")
    name = bytearray(b"no_such_function\0")
    names = bytearray(struct.pack("=Q", sys.address(name)))
    try:
        attr = sys.pack(layouts.ATTR_LINK_CREATE, prog_fd=fd, attach_type=attach)
        tail = sys.pack(layouts.LINK_CREATE_KPROBE_MULTI, syms=sys.address(names), cnt=1)
        result = sys.bpf_try(bpf.BPF_LINK_CREATE, attr + tail)
    finally:
        os.close(fd)
    return result in (-_errno.ESRCH, -_errno.ENOENT)


def _fentry() -> bool:
    """Whether programs go on functions of the kernel: it must not refuse the kind, and ftrace must patch functions.

    To try it on a function would take the index of BTF, which is most of the time that a short program takes.
    """
    from cygnet.kernel.denied import has_capability

    no_function = 1  # a BTF id that certainly is none: EINVAL where the kind is known
    attach = bpf.BPF_TRACE_FENTRY
    fd = try_load(R0_IS_0 + EXIT, bpf.BPF_PROG_TYPE_TRACING, expected_attach_type=attach, attach_btf_id=no_function)
    if fd == -_errno.EPERM:
        return False if has_capability("sys_admin") else _answer(fd, "probe fentry")
    _answer(fd, "probe fentry")
    try:
        with open("/sys/kernel/tracing/available_tracers") as file:
            return "function" in file.read().split()
    except OSError:  # it cannot be told: the attachment will tell
        return True


def _btf() -> bool:
    return os.path.exists("/sys/kernel/btf/vmlinux")


def _hardware() -> bool:
    from cygnet.kernel.perf import event_attr, open_event
    from cygnet.uapi import perf

    try:
        os.close(open_event(event_attr(perf.PERF_TYPE_HARDWARE, perf.PERF_COUNT_HW_CPU_CYCLES), 0, -1, "probe"))
    except OSError:
        return False
    return True


_PROBES: dict[str, Callable[[], bool]] = {
    "btf": _btf,
    "ringbuf": _map(bpf.BPF_MAP_TYPE_RINGBUF),
    "batch": _batch,
    "raw_tracepoint": _prog(bpf.BPF_PROG_TYPE_RAW_TRACEPOINT),
    "tracing": _prog(bpf.BPF_PROG_TYPE_TRACING),
    "may_goto": lambda: loads(R0_IS_0, insn(0xE5, off=1), R0_IS_0, EXIT),  # 6.12 refuses a distance of 0
    "movsx": lambda: loads(R0_IS_0, insn(0xBF, off=8), EXIT),
    "bswap": lambda: loads(R0_IS_0, insn(0xD7, imm=16), EXIT),
    "sdiv": lambda: loads(R0_IS_0, insn(0x37, off=1, imm=2), EXIT),
    "atomic_fetch": lambda: loads(
        R0_IS_0, insn(0x7A, dst=10, off=-8), insn(0xB7, dst=1, imm=1), insn(0xDB, dst=10, src=1, off=-8, imm=1), EXIT
    ),
    "load_acquire": lambda: loads(insn(0x7A, dst=10, off=-8), insn(0xDB, src=10, off=-8, imm=0x100), EXIT),
    "for_each_map_elem": _helper(164),
    "loop": _helper(181),
    "map_lookup_percpu_elem": _helper(195),
    "get_func_ip": _helper(173),
    "get_attach_cookie": _helper(174),
    "probe_read_user_str": _helper(114),
    "ktime_get_boot_ns": _helper(125),
    "current_task_btf": _helper(158),
    "strncmp": _helper(182),
    "send_signal": _helper(109),
    "perf_link": _perf_link,
    "uprobe": _event_source("uprobe"),
    "uprobe_multi": _uprobe_multi,
    "fentry": _fentry,
    "kprobe": _kprobe,
    "kprobe_multi": _kprobe_multi,
    "hardware_events": _hardware,
}
