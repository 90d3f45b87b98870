"""What a program may return, by its type and where it is attached. Kernel: check_return_code."""

from __future__ import annotations

from cygnet.verifier import memory, precision
from cygnet.verifier.bits import S32_MAX, S32_MIN, S64_MAX, S64_MIN
from cygnet.verifier.env import EINVAL, Env
from cygnet.verifier.reg import SCALAR, RegState
from cygnet.verifier.regtext import type_text
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ONE: Final = frozenset(
    f"CGROUP_{name}"
    for name in (
        "UDP4_RECVMSG", "UDP6_RECVMSG", "UNIX_RECVMSG", "INET4_GETPEERNAME", "INET6_GETPEERNAME", "UNIX_GETPEERNAME",
        "INET4_GETSOCKNAME", "INET6_GETSOCKNAME", "UNIX_GETSOCKNAME",
    )
)  # fmt: skip
_BOOLEAN: Final = frozenset(
    ("cgroup_sock", "sock_ops", "cgroup_device", "cgroup_sysctl", "cgroup_sockopt", "sk_lookup", "netfilter",
     "cgroup_sock_addr", "cgroup_skb")
)  # fmt: skip


def scalar_text(reg: RegState, low: int, high: int, where: str, name: str) -> str:
    text = f"{where} the register {name} has"
    if reg.smin > S64_MIN:
        text += f" smin={reg.smin}"
    if reg.smax < S64_MAX:
        text += f" smax={reg.smax}"
    if reg.smin == S64_MIN and reg.smax == S64_MAX:
        text += " unknown scalar value"
    return f"{text} should have been in [{low}, {high}]"


class _Range:
    __slots__ = ("high", "low", "narrow")

    def __init__(self, low: int, high: int, narrow: bool = False) -> None:
        self.low, self.high, self.narrow = low, high, narrow


def bounds(env: Env) -> _Range | None:
    """What the program may return; None for anything."""
    prog, attach = env.prog_type, env.attach
    if prog in _BOOLEAN:
        if prog == "cgroup_sock_addr" and attach in _ONE:
            return _Range(1, 1)
        if prog == "cgroup_sock_addr" and attach in ("CGROUP_INET4_BIND", "CGROUP_INET6_BIND"):
            return _Range(0, 3)
        if prog == "cgroup_skb" and attach == "CGROUP_INET_EGRESS":
            return _Range(0, 3)
        return _Range(0, 1)
    if prog == "kprobe":
        return _Range(0, 1) if attach in ("TRACE_KPROBE_SESSION", "TRACE_UPROBE_SESSION") else None
    if prog == "tracing":
        if attach in ("TRACE_FENTRY", "TRACE_FEXIT"):
            return _Range(0, 0)
        return _Range(0, 1) if attach == "TRACE_ITER" else None
    if prog == "lsm":
        return _lsm(env)
    return None


def _lsm(env: Env) -> _Range | None:
    from cygnet.verifier.attach import returns_void, retval_range

    if env.attach == "LSM_CGROUP":
        return _Range(1, 1) if returns_void(env) else _Range(0, 1)
    found = retval_range(env)
    if found is None or (found[0] <= S32_MIN and found[1] >= S32_MAX):
        return None
    return _Range(found[0], found[1], True)


def _void(env: Env) -> bool:
    from cygnet.verifier.attach import returns_void

    if env.prog_type == "lsm":
        return env.attach != "LSM_CGROUP" and returns_void(env)
    return env.prog_type == "struct_ops" and returns_void(env)


def check(env: Env) -> None:
    frame = env.cur.frame()
    sub = frame.subprog != 0
    if (not sub or frame.in_exception_callback) and _void(env):
        return
    if sub and env.subs[frame.subprog].returns_void and not frame.in_async_callback:
        return
    reg = memory.source(env, 0)
    where = "At program exit"
    if frame.in_async_callback:
        limit: _Range | None = _Range(frame.ret_low, frame.ret_high)
        where = "At async callback return"
    elif sub and not frame.in_exception_callback:
        if reg.type != SCALAR:
            raise Reject(f"At subprogram exit the register R0 is not a scalar value ({type_text(reg.type)})", EINVAL)
        return
    else:
        limit = bounds(env)
    if limit is None:
        return
    if reg.type != SCALAR:
        raise Reject(f"{where} the register R0 is not a known value ({type_text(reg.type)})", EINVAL)
    precision.mark(env, 0)
    low, high = (reg.s32_min, reg.s32_max) if limit.narrow else (reg.smin, reg.smax)
    if limit.low <= low and high <= limit.high:
        return
    text = scalar_text(reg, limit.low, limit.high, where, "R0")
    if env.prog_type == "lsm" and env.attach == "LSM_CGROUP" and limit.low == limit.high:
        text += "\nNote, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!"
    raise Reject(text, EINVAL)
