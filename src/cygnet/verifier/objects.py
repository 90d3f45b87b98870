"""Objects that programs allocate, and casts to the kernel's types."""

from __future__ import annotations

from cygnet.verifier import reg as r
from cygnet.verifier.env import EINVAL, Env
from cygnet.verifier.reg import TRUSTED, UNTRUSTED, RegState
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_PERCPU_BYTES: Final = 512
# The kernel's own context, by program type (include/linux/bpf_types.h)
_CONTEXTS: Final = {
    **dict.fromkeys(
        ("socket_filter", "sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local",
         "sk_skb"), "sk_buff"),
    "flow_dissector": "bpf_flow_dissector", "xdp": "xdp_buff", "cgroup_sock": "sock", "sk_msg": "sk_msg",
    "cgroup_sock_addr": "bpf_sock_addr_kern", "sock_ops": "bpf_sock_ops_kern", "kprobe": "pt_regs",
    "perf_event": "bpf_perf_event_data_kern", "cgroup_device": "bpf_cgroup_dev_ctx",
    "cgroup_sysctl": "bpf_sysctl_kern", "cgroup_sockopt": "bpf_sockopt_kern", "sk_reuseport": "sk_reuseport_kern",
    "sk_lookup": "bpf_sk_lookup_kern", "netfilter": "bpf_nf_ctx",
}  # fmt: skip


def new(env: Env, type_id: int | None, percpu: bool) -> RegState:
    """bpf_obj_new and bpf_percpu_obj_new of a struct of the program's own BTF."""
    from cygnet.btf import kinds as k
    from cygnet.errors import BtfError
    from cygnet.verifier.records import fields_of

    both = "bpf_obj_new/bpf_percpu_obj_new"
    if type_id is None or not 0 <= type_id <= 0xFFFFFFFF:
        raise Reject("local type ID argument must be in range [0, U32_MAX]", EINVAL)
    if env.btf is None:
        raise Reject(f"{both} requires prog BTF", EINVAL)
    try:
        type = env.btf.type(type_id)
    except BtfError:
        type = None
    if type is None or type.kind != k.STRUCT:
        raise Reject(f"{both} type ID argument must be of a struct", EINVAL)
    if percpu:
        if type.size > MAX_PERCPU_BYTES:
            raise Reject(f"bpf_percpu_obj_new type size ({type.size}) is greater than {MAX_PERCPU_BYTES}", EINVAL)
        from cygnet.verifier.kfuncargs import plain

        if not plain(type, 0):
            raise Reject("bpf_percpu_obj_new type ID argument must be of a struct of scalars", EINVAL)
        if fields_of(env.btf, type_id):
            raise Reject("bpf_percpu_obj_new type ID argument must not contain special fields", EINVAL)
    made = RegState(r.BTF | r.ALLOC | (r.PERCPU if percpu else 0), 0)
    made.btf, made.btf_id = env.btf, type_id
    return made


def kernel_context(env: Env) -> RegState:
    from cygnet.verifier.kerneltypes import struct_id

    name = _CONTEXTS.get(env.prog_type)
    if name is None:
        raise Reject(f"kern ctx type id {_no_structure(env)} is not a struct", EINVAL)
    made = RegState(r.BTF | TRUSTED, 0)
    made.btf, made.btf_id = struct_id(env, name)
    return made


def _no_structure(env: Env) -> int:
    """What the kernel calls the context of a type that has none: a number, or a pointer to anything."""
    from cygnet.verifier.kerneltypes import kernel

    name = "u64" if env.prog_type in ("tracepoint", "raw_tracepoint", "raw_tracepoint_writable") else "void"
    found = kernel(env).find(name)
    return found.id if found is not None else 0


def readonly_cast(env: Env, type_id: int | None) -> RegState:
    """bpf_rdonly_cast: to a struct that loads may fault on safely, or to any bytes."""
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve
    from cygnet.errors import BtfError
    from cygnet.verifier.kerneltypes import kernel

    try:
        type = resolve(kernel(env).type(type_id or 0))
    except BtfError:
        raise Reject(f"Unknown type ID {type_id} passed to kfunc bpf_rdonly_cast", EINVAL) from None
    if type.kind in (k.STRUCT, k.UNION):
        made = RegState(r.BTF | UNTRUSTED, 0)
        made.btf, made.btf_id = type.btf, type.id
        return made
    if type.kind == k.VOID and env.target.at_least(6, 17):
        return RegState(r.MEM | r.RDONLY | UNTRUSTED, 0)
    raise Reject("kfunc bpf_rdonly_cast type ID argument must be of a struct or void", EINVAL)
