"""ELF section names: which program type, attach type and target a section means.

The names are those of the C programs that libbpf loads; a section may also be prefixed with ``?``
(loaded on request only). A name is a whole word (``xdp``), or a prefix and a target
(``tracepoint/sched/sched_switch``).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# How the rest of the name, after the slash, is read. A trailing ? makes it optional.
TARGETS: Final = {
    "": "nothing may follow",
    "any": "anything may follow, and means nothing",
    "function": "kernel function, with an optional +offset",
    "pattern": "kernel functions, wildcards allowed",
    "syscall": "system call name",
    "user": "path:function[+offset]",
    "user_pattern": "path:function, wildcards allowed",
    "usdt": "path:provider:name",
    "event": "category/name of a tracepoint",
    "raw": "name of a raw tracepoint",
    "btf": "kernel function or tracepoint that BTF names",
    "hook": "LSM hook",
    "iterator": "kind of object an iterator walks",
    "program": "function of the program it replaces or is attached to",
    "member": "member of the struct_ops that holds it",
}

# fmt: off
# prefix, program type, attach type or "", target, sleepable
_SECTIONS: Final = (
    ("socket", "socket_filter", "", "any", 0),
    ("sk_reuseport/migrate", "sk_reuseport", "SK_REUSEPORT_SELECT_OR_MIGRATE", "", 0),
    ("sk_reuseport", "sk_reuseport", "SK_REUSEPORT_SELECT", "", 0),
    ("kprobe", "kprobe", "", "function?", 0),
    ("kretprobe", "kprobe", "", "function?", 0),
    ("kprobe.multi", "kprobe", "TRACE_KPROBE_MULTI", "pattern?", 0),
    ("kretprobe.multi", "kprobe", "TRACE_KPROBE_MULTI", "pattern?", 0),
    ("kprobe.session", "kprobe", "TRACE_KPROBE_SESSION", "pattern?", 0),
    ("ksyscall", "kprobe", "", "syscall?", 0),
    ("kretsyscall", "kprobe", "", "syscall?", 0),
    ("uprobe", "kprobe", "", "user?", 0),
    ("uretprobe", "kprobe", "", "user?", 0),
    ("uprobe.s", "kprobe", "", "user?", 1),
    ("uretprobe.s", "kprobe", "", "user?", 1),
    ("uprobe.multi", "kprobe", "TRACE_UPROBE_MULTI", "user_pattern?", 0),
    ("uretprobe.multi", "kprobe", "TRACE_UPROBE_MULTI", "user_pattern?", 0),
    ("uprobe.session", "kprobe", "TRACE_UPROBE_SESSION", "user_pattern?", 0),
    ("uprobe.multi.s", "kprobe", "TRACE_UPROBE_MULTI", "user_pattern?", 1),
    ("uretprobe.multi.s", "kprobe", "TRACE_UPROBE_MULTI", "user_pattern?", 1),
    ("uprobe.session.s", "kprobe", "TRACE_UPROBE_SESSION", "user_pattern?", 1),
    ("usdt", "kprobe", "", "usdt?", 0),
    ("usdt.s", "kprobe", "", "usdt?", 1),
    ("tc/ingress", "sched_cls", "TCX_INGRESS", "", 0),
    ("tc/egress", "sched_cls", "TCX_EGRESS", "", 0),
    ("tcx/ingress", "sched_cls", "TCX_INGRESS", "", 0),
    ("tcx/egress", "sched_cls", "TCX_EGRESS", "", 0),
    ("tc", "sched_cls", "", "any", 0),
    ("classifier", "sched_cls", "", "any", 0),
    ("action", "sched_act", "", "any", 0),
    ("netkit/primary", "sched_cls", "NETKIT_PRIMARY", "", 0),
    ("netkit/peer", "sched_cls", "NETKIT_PEER", "", 0),
    ("tracepoint", "tracepoint", "", "event?", 0),
    ("tp", "tracepoint", "", "event?", 0),
    ("raw_tracepoint", "raw_tracepoint", "", "raw?", 0),
    ("raw_tp", "raw_tracepoint", "", "raw?", 0),
    ("raw_tracepoint.w", "raw_tracepoint_writable", "", "raw?", 0),
    ("raw_tp.w", "raw_tracepoint_writable", "", "raw?", 0),
    ("tp_btf", "tracing", "TRACE_RAW_TP", "btf?", 0),
    ("fentry", "tracing", "TRACE_FENTRY", "btf?", 0),
    ("fmod_ret", "tracing", "MODIFY_RETURN", "btf?", 0),
    ("fexit", "tracing", "TRACE_FEXIT", "btf?", 0),
    ("fentry.s", "tracing", "TRACE_FENTRY", "btf?", 1),
    ("fmod_ret.s", "tracing", "MODIFY_RETURN", "btf?", 1),
    ("fexit.s", "tracing", "TRACE_FEXIT", "btf?", 1),
    ("freplace", "ext", "", "program?", 0),
    ("lsm", "lsm", "LSM_MAC", "hook?", 0),
    ("lsm.s", "lsm", "LSM_MAC", "hook?", 1),
    ("lsm_cgroup", "lsm", "LSM_CGROUP", "hook?", 0),
    ("iter", "tracing", "TRACE_ITER", "iterator?", 0),
    ("iter.s", "tracing", "TRACE_ITER", "iterator?", 1),
    ("syscall", "syscall", "", "", 1),
    ("xdp.frags/devmap", "xdp", "XDP_DEVMAP", "", 0),
    ("xdp/devmap", "xdp", "XDP_DEVMAP", "", 0),
    ("xdp.frags/cpumap", "xdp", "XDP_CPUMAP", "", 0),
    ("xdp/cpumap", "xdp", "XDP_CPUMAP", "", 0),
    ("xdp.frags", "xdp", "XDP", "any", 0),
    ("xdp", "xdp", "XDP", "any", 0),
    ("perf_event", "perf_event", "", "any", 0),
    ("lwt_in", "lwt_in", "", "any", 0),
    ("lwt_out", "lwt_out", "", "any", 0),
    ("lwt_xmit", "lwt_xmit", "", "any", 0),
    ("lwt_seg6local", "lwt_seg6local", "", "any", 0),
    ("sockops", "sock_ops", "CGROUP_SOCK_OPS", "any", 0),
    ("sk_skb/stream_parser", "sk_skb", "SK_SKB_STREAM_PARSER", "any", 0),
    ("sk_skb/stream_verdict", "sk_skb", "SK_SKB_STREAM_VERDICT", "any", 0),
    ("sk_skb/verdict", "sk_skb", "SK_SKB_VERDICT", "any", 0),
    ("sk_skb", "sk_skb", "", "any", 0),
    ("sk_msg", "sk_msg", "SK_MSG_VERDICT", "any", 0),
    ("lirc_mode2", "lirc_mode2", "LIRC_MODE2", "any", 0),
    ("flow_dissector", "flow_dissector", "FLOW_DISSECTOR", "any", 0),
    ("cgroup_skb/ingress", "cgroup_skb", "CGROUP_INET_INGRESS", "", 0),
    ("cgroup_skb/egress", "cgroup_skb", "CGROUP_INET_EGRESS", "", 0),
    ("cgroup/skb", "cgroup_skb", "", "", 0),
    ("cgroup/sock_create", "cgroup_sock", "CGROUP_INET_SOCK_CREATE", "", 0),
    ("cgroup/sock_release", "cgroup_sock", "CGROUP_INET_SOCK_RELEASE", "", 0),
    ("cgroup/sock", "cgroup_sock", "CGROUP_INET_SOCK_CREATE", "", 0),
    ("cgroup/post_bind4", "cgroup_sock", "CGROUP_INET4_POST_BIND", "", 0),
    ("cgroup/post_bind6", "cgroup_sock", "CGROUP_INET6_POST_BIND", "", 0),
    ("cgroup/bind4", "cgroup_sock_addr", "CGROUP_INET4_BIND", "", 0),
    ("cgroup/bind6", "cgroup_sock_addr", "CGROUP_INET6_BIND", "", 0),
    ("cgroup/connect4", "cgroup_sock_addr", "CGROUP_INET4_CONNECT", "", 0),
    ("cgroup/connect6", "cgroup_sock_addr", "CGROUP_INET6_CONNECT", "", 0),
    ("cgroup/connect_unix", "cgroup_sock_addr", "CGROUP_UNIX_CONNECT", "", 0),
    ("cgroup/sendmsg4", "cgroup_sock_addr", "CGROUP_UDP4_SENDMSG", "", 0),
    ("cgroup/sendmsg6", "cgroup_sock_addr", "CGROUP_UDP6_SENDMSG", "", 0),
    ("cgroup/sendmsg_unix", "cgroup_sock_addr", "CGROUP_UNIX_SENDMSG", "", 0),
    ("cgroup/recvmsg4", "cgroup_sock_addr", "CGROUP_UDP4_RECVMSG", "", 0),
    ("cgroup/recvmsg6", "cgroup_sock_addr", "CGROUP_UDP6_RECVMSG", "", 0),
    ("cgroup/recvmsg_unix", "cgroup_sock_addr", "CGROUP_UNIX_RECVMSG", "", 0),
    ("cgroup/getpeername4", "cgroup_sock_addr", "CGROUP_INET4_GETPEERNAME", "", 0),
    ("cgroup/getpeername6", "cgroup_sock_addr", "CGROUP_INET6_GETPEERNAME", "", 0),
    ("cgroup/getpeername_unix", "cgroup_sock_addr", "CGROUP_UNIX_GETPEERNAME", "", 0),
    ("cgroup/getsockname4", "cgroup_sock_addr", "CGROUP_INET4_GETSOCKNAME", "", 0),
    ("cgroup/getsockname6", "cgroup_sock_addr", "CGROUP_INET6_GETSOCKNAME", "", 0),
    ("cgroup/getsockname_unix", "cgroup_sock_addr", "CGROUP_UNIX_GETSOCKNAME", "", 0),
    ("cgroup/sysctl", "cgroup_sysctl", "CGROUP_SYSCTL", "", 0),
    ("cgroup/getsockopt", "cgroup_sockopt", "CGROUP_GETSOCKOPT", "", 0),
    ("cgroup/setsockopt", "cgroup_sockopt", "CGROUP_SETSOCKOPT", "", 0),
    ("cgroup/dev", "cgroup_device", "CGROUP_DEVICE", "", 0),
    ("struct_ops", "struct_ops", "", "member?", 0),
    ("struct_ops.s", "struct_ops", "", "member?", 1),
    ("sk_lookup", "sk_lookup", "SK_LOOKUP", "any", 0),
    ("netfilter", "netfilter", "NETFILTER", "any", 0),
)
# fmt: on


class Section:
    """One row. `program_type` and `attach_type` are names (see facts.progtypes), `target` a kind of TARGETS."""

    __slots__ = ("attach_type", "optional_target", "prefix", "program_type", "sleepable", "target")

    def __init__(self, row: tuple[str, str, str, str, int]) -> None:
        self.prefix, self.program_type, self.attach_type, target, sleepable = row
        self.target = target.rstrip("?")
        self.optional_target = target.endswith("?")
        self.sleepable = bool(sleepable)

    def __repr__(self) -> str:
        return f"<Section {self.prefix}>"


_by_prefix: dict[str, Section] = {}


def sections() -> list[Section]:
    if not _by_prefix:
        _by_prefix.update((row[0], Section(row)) for row in _SECTIONS)
    return list(_by_prefix.values())


def find_section(name: str) -> tuple[Section, str] | None:
    """The row that an ELF section name means, and the target after it; None for no program section.

    The longest prefix wins: ``cgroup/sock_create`` is not ``cgroup/sock``.
    """
    sections()
    words = name.removeprefix("?").split("/")
    for count in range(len(words), 0, -1):
        found = _by_prefix.get("/".join(words[:count]))
        if found is not None:
            target = "/".join(words[count:])
            return (found, target) if found.target or not target else None
    return None
