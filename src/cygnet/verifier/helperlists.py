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


def allowed(env: Env, number: int) -> bool:
    """Of a helper that the program's type may call: may this program?"""
    prog, attach = env.prog_type, env.attach
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
    elif prog == "kprobe" and number == 173:
        return True
    return True
