"""What a tracing, LSM or struct_ops program is attached to: the kernel function whose arguments are its context."""

from __future__ import annotations

from cygnet.verifier import reg as r
from cygnet.verifier.context import MAX_FUNC_ARGS, Access
from cygnet.verifier.env import EINVAL, Env
from cygnet.verifier.reg import MAYBE_NULL, TRUSTED
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from cygnet.btf.types import BtfType

_TRAMPOLINES: Final = ("TRACE_FENTRY", "TRACE_FEXIT", "MODIFY_RETURN")
_BOOL_HOOKS: Final = ("xfrm_state_pol_flow_match", "audit_rule_known", "inode_xattr_skipcap")
_DISABLED_HOOKS: Final = frozenset(
    "vm_enough_memory inode_need_killpriv inode_getsecurity inode_listsecurity inode_copy_up_xattr getselfattr"
    " getprocattr setprocattr secctx_to_secid secid_to_secctx ismaclabel".split()
)
# Hooks whose arguments are being made or taken apart
_UNTRUSTED_HOOKS: Final = frozenset(
    "bpf_map_free bpf_prog_free file_alloc_security file_free_security sk_alloc_security sk_free_security"
    " task_free".split()
)
_MAX_ERRNO: Final = 4095

# What an iterator hands over (kernel: the ctx_arg_info of its registration): name → (place of the argument, what)
_TASK: Final = ((8, "task_struct", MAYBE_NULL | TRUSTED),)
_ITERATORS: Final[dict[str, tuple[tuple[int, str, int], ...]]] = {
    "task": _TASK,
    "task_file": ((8, "task_struct", MAYBE_NULL), (24, "file", MAYBE_NULL)),
    "task_vma": ((8, "task_struct", MAYBE_NULL), (16, "vm_area_struct", MAYBE_NULL)),
    "bpf_map": ((8, "bpf_map", MAYBE_NULL | TRUSTED),),
    "bpf_prog": ((8, "bpf_prog", MAYBE_NULL),),
    "bpf_link": ((8, "bpf_link", MAYBE_NULL),),
    "cgroup": ((8, "cgroup", MAYBE_NULL | TRUSTED),),
    "tcp": ((8, "sock_common", MAYBE_NULL | TRUSTED),),
    "udp": ((8, "udp_sock", MAYBE_NULL | TRUSTED),),
    "unix": ((8, "unix_sock", MAYBE_NULL),),
    "netlink": ((8, "netlink_sock", MAYBE_NULL),),
    "ipv6_route": ((8, "fib6_info", MAYBE_NULL),),
    "ksym": ((8, "kallsym_iter", MAYBE_NULL),),
    "kmem_cache": ((8, "kmem_cache", MAYBE_NULL | TRUSTED),),
    "dmabuf": ((8, "dma_buf", MAYBE_NULL),),
    "bpf_map_elem": ((16, "", r.RDONLY), (24, "", 0)),
    "bpf_sk_storage_map": ((16, "sock", MAYBE_NULL), (24, "", 0)),
    "sockmap": ((16, "", r.RDONLY), (24, "sock", MAYBE_NULL)),
}  # fmt: skip


class AttachPoint:
    """`proto` is the function's prototype; `skip` the arguments in front that the program does not see."""

    __slots__ = ("iterator", "name", "proto", "skip")

    def __init__(self, name: str, proto: BtfType, skip: int = 0, iterator: str = "") -> None:
        self.name = name
        self.proto = proto
        self.skip = skip
        self.iterator = iterator


def find(env: Env, name: str) -> AttachPoint:
    """Where the program goes, by the name of a function, tracepoint, iterator or hook. Raises Reject."""
    from cygnet.btf import kinds as k
    from cygnet.verifier.kerneltypes import kernel

    btf = kernel(env)
    if env.attach == "TRACE_RAW_TP":
        plain = name.removeprefix("btf_trace_")
        found = btf.find(f"btf_trace_{plain}", k.TYPEDEF)
        if found is None or found.type.kind != k.PTR:
            raise Reject(f"attach_btf_id {name} is not a typedef", EINVAL)
        return AttachPoint(found.name, found.type.type, 1)
    prefix = {"TRACE_ITER": "bpf_iter_", "LSM_MAC": "bpf_lsm_", "LSM_CGROUP": "bpf_lsm_"}.get(env.attach, "")
    plain = name.removeprefix(prefix) if prefix else name
    found = btf.find(prefix + plain, k.FUNC)
    if found is None:
        raise Reject(f"attach_btf_id {name} is not a function", EINVAL)
    return AttachPoint(found.name, found.type, 0, plain if env.attach == "TRACE_ITER" else "")


def check(env: Env) -> None:
    """May the program be attached as it says? Kernel: check_attach_btf_id."""
    prog, attach = env.prog_type, env.attach
    if prog == "syscall":
        if not env.sleepable:
            raise Reject("Syscall programs can only be sleepable", EINVAL)
        return
    if env.sleepable:
        can = prog in ("lsm", "kprobe", "struct_ops") or (prog == "tracing" and attach in (*_TRAMPOLINES, "TRACE_ITER"))
        if not can:
            raise Reject(
                "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable", EINVAL
            )
    if prog not in ("tracing", "lsm", "ext"):
        return
    if env.attach_func is None:
        raise Reject("Tracing programs must provide btf_id", EINVAL)
    if prog == "ext":  # only another program's functions, and a spec names none
        raise Reject("Cannot replace kernel functions", EINVAL)
    if attach == "TRACE_ITER" and env.attach_func.iterator not in _ITERATORS:
        raise Reject(f"{env.attach_func.name} is no iterator that programs are for", EINVAL)
    if prog == "lsm":
        if not env.gpl:
            raise Reject("LSM programs must have a GPL compatible license", EINVAL)
        hook = env.attach_func.name.removeprefix("bpf_lsm_")
        if hook in _DISABLED_HOOKS:
            raise Reject(f"attach_btf_id {hook} points to disabled hook {env.attach_func.name}", EINVAL)


def _result(point: AttachPoint) -> BtfType:
    from cygnet.btf.layout import resolve

    return resolve(point.proto.type)


def returns_void(env: Env) -> bool:
    from cygnet.btf.kinds import VOID

    return env.attach_func is not None and _result(env.attach_func).kind == VOID


def retval_range(env: Env) -> tuple[int, int] | None:
    """What an LSM hook may return; None where nothing is known."""
    if env.prog_type != "lsm" or env.attach_func is None or returns_void(env):
        return None
    hook = env.attach_func.name.removeprefix("bpf_lsm_")
    return (0, 1) if hook in _BOOL_HOOKS else (-_MAX_ERRNO, 0)


def argument(env: Env, off: int, size: int) -> Access | None:
    """The access at byte `off` of the context: an argument, or the function's result. Kernel: btf_ctx_access."""
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve

    point: AttachPoint | None = env.attach_func
    if point is None:
        return Access() if off % 8 == 0 and off < 8 * MAX_FUNC_ARGS else None
    if off % 8:
        raise Reject(f"func '{point.name}' offset {off} is not multiple of 8\n{_invalid(off, size)}", 13)
    number = off // 8
    params = point.proto.params[point.skip :]
    is_retval = False
    if number < len(params):
        type = resolve(point.proto.btf.type(params[number].type_id))
    elif number == len(params) and env.attach in ("LSM_MAC", "LSM_CGROUP", "TRACE_FEXIT", "MODIFY_RETURN"):
        type = _result(point)
        is_retval = env.attach == "LSM_MAC"
    else:
        raise Reject(f"func '{point.name}' doesn't have {number + 1}-th argument\n{_invalid(off, size)}", 13)
    if type.kind in (k.INT, k.ENUM, k.ENUM64, k.STRUCT, k.UNION):
        access = Access()
        access.is_retval = is_retval
        return access
    if type.kind != k.PTR:
        what = type.name or "void"
        why = f"func '{point.name}' arg{number} '{what}' has type {_kind_text(type)}. Only pointer access is allowed"
        raise Reject(f"{why}\n{_invalid(off, size)}", 13)
    if size != 8:
        raise Reject(f"func '{point.name}' size {size} must be 8\n{_invalid(off, size)}", 13)
    name = params[number].name if number < len(params) else ""
    return _pointer(env, point, off, type, name)


def _invalid(off: int, size: int) -> str:
    return f"invalid bpf_context access off={off} size={size}"


def _kind_text(type: Any) -> str:
    from cygnet.btf.kinds import kind_name

    return kind_name(type.kind)


def _pointer(env: Env, point: AttachPoint, off: int, type: BtfType, param: str) -> Access:
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve, type_tags
    from cygnet.verifier.kerneltypes import struct_id

    for place, name, flags in _ITERATORS.get(point.iterator, ()):
        if place == off:
            if not name:
                return Access(r.BUF | MAYBE_NULL | flags)
            access = Access(r.BTF | flags)
            access.btf, access.btf_id = struct_id(env, name)
            return access
    target = resolve(type.type)
    if target.kind not in (k.STRUCT, k.UNION):
        if target.kind in (k.VOID, k.INT, k.ENUM, k.PTR, k.ENUM64):
            return Access()
        why = f"func '{point.name}' arg{off // 8} type {_kind_text(target)} is not a struct"
        raise Reject(f"{why}\n{_invalid(off, 8)}", 13)
    trusted = env.prog_type == "struct_ops" or env.attach in ("TRACE_RAW_TP", "TRACE_ITER")
    trusted = trusted or (env.prog_type == "lsm" and point.name.removeprefix("bpf_lsm_") not in _UNTRUSTED_HOOKS)
    kind = r.BTF | (TRUSTED if trusted else 0)
    if param.endswith("__nullable"):
        kind |= MAYBE_NULL
    if env.attach == "TRACE_RAW_TP":
        from cygnet.verifier.rawnull import mark

        marked = mark(point.name.removeprefix("btf_trace_"), off // 8)
        if marked == "error":
            return Access()
        if marked == "null":
            kind |= MAYBE_NULL
    tags = type_tags(type.type)
    if "user" in tags:
        kind |= r.USER
    if "percpu" in tags:
        kind |= r.PERCPU
    access = Access(kind)
    access.btf, access.btf_id = target.btf, target.id
    return access
