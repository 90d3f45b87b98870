"""Helpers that depend on more than the program's type: its attach type, or whether it may sleep."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from cygnet.verifier.env import Env

_SETSOCKOPT, _GETSOCKOPT = 49, 57
_TRAMPOLINE: Final = frozenset(("TRACE_FENTRY", "TRACE_FEXIT", "MODIFY_RETURN"))
_ITER: Final = frozenset((126, 127, 150))  # seq_printf, seq_write, seq_printf_btf
_BIND: Final = frozenset(("CGROUP_INET4_CONNECT", "CGROUP_INET6_CONNECT"))
_SOCKOPT_ATTACH: Final = frozenset(
    f"CGROUP_{kind}_{what}"
    for kind in ("INET4", "INET6", "UNIX")
    for what in ("BIND", "CONNECT", "GETPEERNAME", "GETSOCKNAME")
) | frozenset(f"CGROUP_{kind}_{what}" for kind in ("UDP4", "UDP6", "UNIX") for what in ("SENDMSG", "RECVMSG"))


_NO_RETVAL: Final = frozenset(
    f"CGROUP_{name}"
    for name in (
        "INET_INGRESS", "INET_EGRESS", "SOCK_OPS", "UDP4_RECVMSG", "UDP6_RECVMSG", "UNIX_RECVMSG", "INET4_GETPEERNAME",
        "INET6_GETPEERNAME", "UNIX_GETPEERNAME", "INET4_GETSOCKNAME", "INET6_GETSOCKNAME", "UNIX_GETSOCKNAME",
    )
)  # fmt: skip


def allowed(env: Env, number: int) -> bool:
    """Of a helper that the program's type may call: may this program?"""
    prog, attach = env.prog_type, env.attach
    if number in (186, 187):
        return attach != "" and attach not in _NO_RETVAL
    if prog == "cgroup_sock_addr":
        if number == 64:
            return attach in _BIND
        if number in (_SETSOCKOPT, _GETSOCKOPT):
            return attach in _SOCKOPT_ATTACH and attach != "CGROUP_UNIX_BIND"
    elif prog == "cgroup_sockopt" and number in (_SETSOCKOPT, _GETSOCKOPT):
        return attach == "CGROUP_SETSOCKOPT"
    elif prog == "tracing":
        if number in _ITER:
            return attach == "TRACE_ITER"
        if number in (183, 185):
            return attach in _TRAMPOLINE
        if number == 184:
            return attach in ("TRACE_FEXIT", "MODIFY_RETURN")
        if number == 174:
            return attach != "TRACE_ITER"
    return True


# Hooks where a socket is locked, or nobody else has it yet
_SOCKOPT_HOOKS: Final = frozenset(
    "socket_sock_rcv_skb sock_graft inet_csk_clone inet_conn_established socket_post_create socket_socketpair".split()
)


def also(env: Env, number: int) -> bool:
    """May this program call a helper that its type may not in general?"""
    if env.attach_func is None:
        return False
    if env.attach == "TRACE_ITER":
        return number in (_SETSOCKOPT, _GETSOCKOPT) and env.attach_func.iterator in ("tcp", "unix")
    if env.attach == "LSM_CGROUP":
        if number in (_SETSOCKOPT, _GETSOCKOPT):
            return env.attach_func.name.removeprefix("bpf_lsm_") in _SOCKOPT_HOOKS
        return number in (81, 186, 187)
    return False


# Functions at whose beginning and end bpf_d_path may be called
_D_PATH: Final = frozenset(
    "security_file_permission security_inode_getattr security_file_open security_path_truncate vfs_truncate"
    " vfs_fallocate dentry_open vfs_getattr filp_close".split()
)


def free(env: Env, number: int) -> bool:
    """May programs that are not under the GPL call a GPL-only helper here all the same?"""
    if number == 27:
        return env.prog_type == "perf_event"
    return number == 173 and env.prog_type == "kprobe" and env.attach.endswith(("_MULTI", "_SESSION"))


def fits_hook(env: Env, number: int) -> bool:
    """May the helper be called at the function that the program is attached to? Kernel: bpf_func_proto.allowed."""
    prog, attach = env.prog_type, env.attach
    name = env.attach_func.name if env.attach_func is not None else ""
    if number == 147:
        return prog == "lsm" or attach == "TRACE_ITER" or name in _D_PATH
    if number in (107, 108) and prog in ("tracing", "syscall"):
        if attach in _TRAMPOLINE:
            return attach != "MODIFY_RETURN" and not name.startswith("bpf_sk_storage")
        return attach in ("TRACE_ITER", "TRACE_RAW_TP")
    return True


def check_func_ip(env: Env) -> None:
    """bpf_get_func_ip is for what runs at a function. Kernel: check_get_func_ip."""
    from cygnet.verifier.env import ENOTSUPP
    from cygnet.verifier.state import Reject

    if env.prog_type == "tracing":
        if env.attach not in _TRAMPOLINE:
            raise Reject("func bpf_get_func_ip#173 supported only for fentry/fexit/fmod_ret programs", ENOTSUPP)
    elif env.prog_type != "kprobe":
        raise Reject(f"func bpf_get_func_ip#173 not supported for program type {env.type_number}", ENOTSUPP)
