"""Program types and attach types, and which belong together.

The names are the uapi's without their prefix, program types in lower case (``kprobe``), attach types
in upper (``TRACE_FENTRY`` for BPF_TRACE_FENTRY).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# fmt: off
# number, name, context struct (see facts.contexts), can be test-run, since, attach types; a first * means
# that expected_attach_type is given when loading
_PROGRAM_TYPES: Final = (
    (0, "unspec", "", 0, "3.18", ""),
    (1, "socket_filter", "__sk_buff", 1, "3.19", ""),
    (2, "kprobe", "pt_regs", 0, "4.1",
     "PERF_EVENT TRACE_KPROBE_MULTI TRACE_UPROBE_MULTI TRACE_KPROBE_SESSION TRACE_UPROBE_SESSION"),
    (3, "sched_cls", "__sk_buff", 1, "4.1", "TCX_INGRESS TCX_EGRESS NETKIT_PRIMARY NETKIT_PEER"),
    (4, "sched_act", "__sk_buff", 1, "4.1", ""),
    (5, "tracepoint", "", 0, "4.7", "PERF_EVENT"),
    (6, "xdp", "xdp_md", 1, "4.8", "XDP XDP_DEVMAP XDP_CPUMAP"),
    (7, "perf_event", "bpf_perf_event_data", 0, "4.9", "PERF_EVENT"),
    (8, "cgroup_skb", "__sk_buff", 1, "4.10", "CGROUP_INET_INGRESS CGROUP_INET_EGRESS"),
    (9, "cgroup_sock", "bpf_sock", 0, "4.10",
     "* CGROUP_INET_SOCK_CREATE CGROUP_INET4_POST_BIND CGROUP_INET6_POST_BIND CGROUP_INET_SOCK_RELEASE"),
    (10, "lwt_in", "__sk_buff", 1, "4.10", ""),
    (11, "lwt_out", "__sk_buff", 1, "4.10", ""),
    (12, "lwt_xmit", "__sk_buff", 1, "4.10", ""),
    (13, "sock_ops", "bpf_sock_ops", 0, "4.13", "CGROUP_SOCK_OPS"),
    (14, "sk_skb", "__sk_buff", 0, "4.14", "SK_SKB_STREAM_PARSER SK_SKB_STREAM_VERDICT SK_SKB_VERDICT"),
    (15, "cgroup_device", "bpf_cgroup_dev_ctx", 0, "4.15", "CGROUP_DEVICE"),
    (16, "sk_msg", "sk_msg_md", 0, "4.17", "SK_MSG_VERDICT"),
    (17, "raw_tracepoint", "bpf_raw_tracepoint_args", 1, "4.17", ""),
    (18, "cgroup_sock_addr", "bpf_sock_addr", 0, "4.17",
     "* CGROUP_INET4_BIND CGROUP_INET6_BIND CGROUP_INET4_CONNECT CGROUP_INET6_CONNECT CGROUP_UNIX_CONNECT"
     " CGROUP_INET4_GETPEERNAME CGROUP_INET6_GETPEERNAME CGROUP_UNIX_GETPEERNAME CGROUP_INET4_GETSOCKNAME"
     " CGROUP_INET6_GETSOCKNAME CGROUP_UNIX_GETSOCKNAME CGROUP_UDP4_SENDMSG CGROUP_UDP6_SENDMSG CGROUP_UNIX_SENDMSG"
     " CGROUP_UDP4_RECVMSG CGROUP_UDP6_RECVMSG CGROUP_UNIX_RECVMSG"),
    (19, "lwt_seg6local", "__sk_buff", 1, "4.18", ""),
    (20, "lirc_mode2", "u32", 0, "4.18", "LIRC_MODE2"),
    (21, "sk_reuseport", "sk_reuseport_md", 0, "4.19", "* SK_REUSEPORT_SELECT SK_REUSEPORT_SELECT_OR_MIGRATE"),
    (22, "flow_dissector", "__sk_buff", 1, "4.20", "FLOW_DISSECTOR"),
    (23, "cgroup_sysctl", "bpf_sysctl", 0, "5.2", "CGROUP_SYSCTL"),
    (24, "raw_tracepoint_writable", "bpf_raw_tracepoint_args", 1, "5.2", ""),
    (25, "cgroup_sockopt", "bpf_sockopt", 0, "5.3", "* CGROUP_GETSOCKOPT CGROUP_SETSOCKOPT"),
    (26, "tracing", "", 1, "5.5", "* TRACE_RAW_TP TRACE_FENTRY TRACE_FEXIT MODIFY_RETURN TRACE_ITER"),
    (27, "struct_ops", "", 1, "5.6", "STRUCT_OPS"),
    (28, "ext", "", 0, "5.6", ""),
    (29, "lsm", "", 0, "5.7", "* LSM_MAC LSM_CGROUP"),
    (30, "sk_lookup", "bpf_sk_lookup", 1, "5.9", "* SK_LOOKUP"),
    (31, "syscall", "", 1, "5.14", ""),
    (32, "netfilter", "bpf_nf_ctx", 1, "6.4", "* NETFILTER"),
)
# fmt: on

# By number, from 0.
_ATTACH_TYPES: Final = (
    "CGROUP_INET_INGRESS CGROUP_INET_EGRESS CGROUP_INET_SOCK_CREATE CGROUP_SOCK_OPS SK_SKB_STREAM_PARSER"
    " SK_SKB_STREAM_VERDICT CGROUP_DEVICE SK_MSG_VERDICT CGROUP_INET4_BIND CGROUP_INET6_BIND CGROUP_INET4_CONNECT"
    " CGROUP_INET6_CONNECT CGROUP_INET4_POST_BIND CGROUP_INET6_POST_BIND CGROUP_UDP4_SENDMSG CGROUP_UDP6_SENDMSG"
    " LIRC_MODE2 FLOW_DISSECTOR CGROUP_SYSCTL CGROUP_UDP4_RECVMSG CGROUP_UDP6_RECVMSG CGROUP_GETSOCKOPT"
    " CGROUP_SETSOCKOPT TRACE_RAW_TP TRACE_FENTRY TRACE_FEXIT MODIFY_RETURN LSM_MAC TRACE_ITER"
    " CGROUP_INET4_GETPEERNAME CGROUP_INET6_GETPEERNAME CGROUP_INET4_GETSOCKNAME CGROUP_INET6_GETSOCKNAME XDP_DEVMAP"
    " CGROUP_INET_SOCK_RELEASE XDP_CPUMAP SK_LOOKUP XDP SK_SKB_VERDICT SK_REUSEPORT_SELECT"
    " SK_REUSEPORT_SELECT_OR_MIGRATE PERF_EVENT TRACE_KPROBE_MULTI LSM_CGROUP STRUCT_OPS NETFILTER TCX_INGRESS"
    " TCX_EGRESS TRACE_UPROBE_MULTI CGROUP_UNIX_CONNECT CGROUP_UNIX_SENDMSG CGROUP_UNIX_RECVMSG"
    " CGROUP_UNIX_GETPEERNAME CGROUP_UNIX_GETSOCKNAME NETKIT_PRIMARY NETKIT_PEER TRACE_KPROBE_SESSION"
    " TRACE_UPROBE_SESSION"
)


class ProgramType:
    """One row. `attach_types` are names; `expects_attach_type` when loading needs one of them."""

    __slots__ = ("attach_types", "context", "expects_attach_type", "id", "name", "since", "test_run")

    def __init__(self, row: tuple[int, str, str, int, str, str]) -> None:
        self.id, self.name, self.context, test_run, self.since, attach = row
        self.test_run = bool(test_run)
        words = attach.split()
        self.expects_attach_type = words[:1] == ["*"]
        self.attach_types = tuple(word for word in words if word != "*")

    def __repr__(self) -> str:
        return f"<ProgramType {self.name} {self.id}>"


_by_name: dict[str, ProgramType] = {}
_attach_ids: dict[str, int] = {}


def names() -> tuple[str, ...]:
    """The program types' names, ``unspec`` left out."""
    return tuple(row[1] for row in _PROGRAM_TYPES[1:])


def program_type(which: int | str) -> ProgramType:
    """A row by number, or by name in either case, with or without BPF_PROG_TYPE_. Raises KeyError."""
    if not _by_name:
        _by_name.update((row[1], ProgramType(row)) for row in _PROGRAM_TYPES)
    if isinstance(which, str):
        return _by_name[which.removeprefix("BPF_PROG_TYPE_").lower()]
    if not 0 <= which < len(_PROGRAM_TYPES):
        raise KeyError(which)
    return _by_name[_PROGRAM_TYPES[which][1]]


def program_types() -> list[ProgramType]:
    return [program_type(row[0]) for row in _PROGRAM_TYPES]


def attach_type(name: str) -> int:
    """The number of an attach type, with or without BPF_. Raises KeyError."""
    if not _attach_ids:
        _attach_ids.update((word, number) for number, word in enumerate(_ATTACH_TYPES.split()))
    return _attach_ids[name.removeprefix("BPF_")]


def attach_type_name(number: int) -> str | None:
    words = _ATTACH_TYPES.split()
    return words[number] if 0 <= number < len(words) else None
