"""Context structures: what a program is handed, field by field.

Offsets and sizes are the uapi's; which program types may read or write a field was asked of the
verifier of Linux 6.18 (a test asks again). A type counts when at least one of its attach types may:
`user_ip4` of bpf_sock_addr, say, is there for the IPv4 ones only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

GROUPS: Final = {
    "skb": "socket_filter sched_cls sched_act cgroup_skb lwt_in lwt_out lwt_xmit sk_skb lwt_seg6local",
    "tc": "sched_cls sched_act",
    "lwt": "lwt_in lwt_out lwt_xmit lwt_seg6local",
}

# Kinds: int, or what a pointer field loads: packet packet_end packet_meta, sock and socket (as in
# facts.helpers), flow_keys, btf:T. A packet pointer is 8 bytes in a register, whatever the field's size.

# fmt: off
# structure: name, offset, size of an element, elements, kind, program types that read, that write (* is all)
_CONTEXTS: Final[dict[str, tuple[tuple[str, int, int, int, str, str, str], ...]]] = {
    "__sk_buff": (
        ("len", 0, 4, 1, "int", "skb", ""),
        ("pkt_type", 4, 4, 1, "int", "skb", ""),
        ("mark", 8, 4, 1, "int", "tc lwt socket_filter cgroup_skb", "tc lwt cgroup_skb"),
        ("queue_mapping", 12, 4, 1, "int", "skb", "tc"),
        ("protocol", 16, 4, 1, "int", "skb", ""),
        ("vlan_present", 20, 4, 1, "int", "skb", ""),
        ("vlan_tci", 24, 4, 1, "int", "skb", ""),
        ("vlan_proto", 28, 4, 1, "int", "skb", ""),
        ("priority", 32, 4, 1, "int", "skb", "tc lwt cgroup_skb sk_skb"),
        ("ingress_ifindex", 36, 4, 1, "int", "skb", ""),
        ("ifindex", 40, 4, 1, "int", "skb", ""),
        ("tc_index", 44, 4, 1, "int", "skb", "tc sk_skb"),
        ("cb", 48, 4, 5, "int", "skb", "tc lwt socket_filter cgroup_skb"),
        ("hash", 68, 4, 1, "int", "skb", ""),
        ("tc_classid", 72, 4, 1, "int", "tc", "tc"),
        ("data", 76, 4, 1, "packet", "tc lwt cgroup_skb sk_skb flow_dissector", ""),
        ("data_end", 80, 4, 1, "packet_end", "tc lwt cgroup_skb sk_skb flow_dissector", ""),
        ("napi_id", 84, 4, 1, "int", "skb", ""),
        ("family", 88, 4, 1, "int", "cgroup_skb sk_skb", ""),
        ("remote_ip4", 92, 4, 1, "int", "cgroup_skb sk_skb", ""),
        ("local_ip4", 96, 4, 1, "int", "cgroup_skb sk_skb", ""),
        ("remote_ip6", 100, 4, 4, "int", "cgroup_skb sk_skb", ""),
        ("local_ip6", 116, 4, 4, "int", "cgroup_skb sk_skb", ""),
        ("remote_port", 132, 4, 1, "int", "cgroup_skb sk_skb", ""),
        ("local_port", 136, 4, 1, "int", "cgroup_skb sk_skb", ""),
        ("data_meta", 140, 4, 1, "packet_meta", "tc", ""),
        ("flow_keys", 144, 8, 1, "flow_keys", "flow_dissector", ""),
        ("tstamp", 152, 8, 1, "int", "tc cgroup_skb", "tc cgroup_skb"),
        ("wire_len", 160, 4, 1, "int", "tc", ""),
        ("gso_segs", 164, 4, 1, "int", "skb", ""),
        ("sk", 168, 8, 1, "sock?", "skb", ""),
        ("gso_size", 176, 4, 1, "int", "skb", ""),
        ("tstamp_type", 180, 1, 1, "int", "tc", ""),
        ("hwtstamp", 184, 8, 1, "int", "tc cgroup_skb", ""),
    ),
    "xdp_md": (
        ("data", 0, 4, 1, "packet", "*", ""),
        ("data_end", 4, 4, 1, "packet_end", "*", ""),
        ("data_meta", 8, 4, 1, "packet_meta", "*", ""),
        ("ingress_ifindex", 12, 4, 1, "int", "*", ""),
        ("rx_queue_index", 16, 4, 1, "int", "*", ""),
        ("egress_ifindex", 20, 4, 1, "int", "*", ""),
    ),
    "bpf_sock": (
        ("bound_dev_if", 0, 4, 1, "int", "*", "*"),
        ("family", 4, 4, 1, "int", "*", ""),
        ("type", 8, 4, 1, "int", "*", ""),
        ("protocol", 12, 4, 1, "int", "*", ""),
        ("mark", 16, 4, 1, "int", "*", "*"),
        ("priority", 20, 4, 1, "int", "*", "*"),
        ("src_ip4", 24, 4, 1, "int", "*", ""),
        ("src_ip6", 28, 4, 4, "int", "*", ""),
        ("src_port", 44, 4, 1, "int", "*", ""),
        ("dst_port", 48, 2, 1, "int", "*", ""),
        ("dst_ip4", 52, 4, 1, "int", "*", ""),
        ("dst_ip6", 56, 4, 4, "int", "*", ""),
        ("state", 72, 4, 1, "int", "*", ""),
        ("rx_queue_mapping", 76, 4, 1, "int", "*", ""),
    ),
    "bpf_sock_ops": (
        ("op", 0, 4, 1, "int", "*", ""),
        ("args", 4, 4, 4, "int", "*", ""),
        ("reply", 4, 4, 1, "int", "*", "*"),
        ("replylong", 4, 4, 4, "int", "*", ""),
        ("family", 20, 4, 1, "int", "*", ""),
        ("remote_ip4", 24, 4, 1, "int", "*", ""),
        ("local_ip4", 28, 4, 1, "int", "*", ""),
        ("remote_ip6", 32, 4, 4, "int", "*", ""),
        ("local_ip6", 48, 4, 4, "int", "*", ""),
        ("remote_port", 64, 4, 1, "int", "*", ""),
        ("local_port", 68, 4, 1, "int", "*", ""),
        ("is_fullsock", 72, 4, 1, "int", "*", ""),
        ("snd_cwnd", 76, 4, 1, "int", "*", ""),
        ("srtt_us", 80, 4, 1, "int", "*", ""),
        ("bpf_sock_ops_cb_flags", 84, 4, 1, "int", "*", ""),
        ("state", 88, 4, 1, "int", "*", ""),
        ("rtt_min", 92, 4, 1, "int", "*", ""),
        ("snd_ssthresh", 96, 4, 1, "int", "*", ""),
        ("rcv_nxt", 100, 4, 1, "int", "*", ""),
        ("snd_nxt", 104, 4, 1, "int", "*", ""),
        ("snd_una", 108, 4, 1, "int", "*", ""),
        ("mss_cache", 112, 4, 1, "int", "*", ""),
        ("ecn_flags", 116, 4, 1, "int", "*", ""),
        ("rate_delivered", 120, 4, 1, "int", "*", ""),
        ("rate_interval_us", 124, 4, 1, "int", "*", ""),
        ("packets_out", 128, 4, 1, "int", "*", ""),
        ("retrans_out", 132, 4, 1, "int", "*", ""),
        ("total_retrans", 136, 4, 1, "int", "*", ""),
        ("segs_in", 140, 4, 1, "int", "*", ""),
        ("data_segs_in", 144, 4, 1, "int", "*", ""),
        ("segs_out", 148, 4, 1, "int", "*", ""),
        ("data_segs_out", 152, 4, 1, "int", "*", ""),
        ("lost_out", 156, 4, 1, "int", "*", ""),
        ("sacked_out", 160, 4, 1, "int", "*", ""),
        ("sk_txhash", 164, 4, 1, "int", "*", "*"),
        ("bytes_received", 168, 8, 1, "int", "*", ""),
        ("bytes_acked", 176, 8, 1, "int", "*", ""),
        ("sk", 184, 8, 1, "socket?", "*", ""),
        ("skb_data", 192, 8, 1, "packet", "*", ""),
        ("skb_data_end", 200, 8, 1, "packet_end", "*", ""),
        ("skb_len", 208, 4, 1, "int", "*", ""),
        ("skb_tcp_flags", 212, 4, 1, "int", "*", ""),
        ("skb_hwtstamp", 216, 8, 1, "int", "*", ""),
    ),
    "bpf_cgroup_dev_ctx": (
        ("access_type", 0, 4, 1, "int", "*", ""),
        ("major", 4, 4, 1, "int", "*", ""),
        ("minor", 8, 4, 1, "int", "*", ""),
    ),
    "sk_msg_md": (
        ("data", 0, 8, 1, "packet", "*", ""),
        ("data_end", 8, 8, 1, "packet_end", "*", ""),
        ("family", 16, 4, 1, "int", "*", ""),
        ("remote_ip4", 20, 4, 1, "int", "*", ""),
        ("local_ip4", 24, 4, 1, "int", "*", ""),
        ("remote_ip6", 28, 4, 4, "int", "*", ""),
        ("local_ip6", 44, 4, 4, "int", "*", ""),
        ("remote_port", 60, 4, 1, "int", "*", ""),
        ("local_port", 64, 4, 1, "int", "*", ""),
        ("size", 68, 4, 1, "int", "*", ""),
        ("sk", 72, 8, 1, "socket", "*", ""),
    ),
    "bpf_raw_tracepoint_args": (
        ("args", 0, 8, 12, "int", "*", ""),
    ),
    "bpf_sock_addr": (
        ("user_family", 0, 4, 1, "int", "*", ""),
        ("user_ip4", 4, 4, 1, "int", "*", "*"),
        ("user_ip6", 8, 4, 4, "int", "*", "*"),
        ("user_port", 24, 4, 1, "int", "*", "*"),
        ("family", 28, 4, 1, "int", "*", ""),
        ("type", 32, 4, 1, "int", "*", ""),
        ("protocol", 36, 4, 1, "int", "*", ""),
        ("msg_src_ip4", 40, 4, 1, "int", "*", "*"),
        ("msg_src_ip6", 44, 4, 4, "int", "*", "*"),
        ("sk", 64, 8, 1, "socket", "*", ""),
    ),
    "sk_reuseport_md": (
        ("data", 0, 8, 1, "packet", "*", ""),
        ("data_end", 8, 8, 1, "packet_end", "*", ""),
        ("len", 16, 4, 1, "int", "*", ""),
        ("eth_protocol", 20, 4, 1, "int", "*", ""),
        ("ip_protocol", 24, 4, 1, "int", "*", ""),
        ("bind_inany", 28, 4, 1, "int", "*", ""),
        ("hash", 32, 4, 1, "int", "*", ""),
        ("sk", 40, 8, 1, "socket", "*", ""),
        ("migrating_sk", 48, 8, 1, "sock?", "*", ""),
    ),
    "bpf_sysctl": (
        ("write", 0, 4, 1, "int", "*", ""),
        ("file_pos", 4, 4, 1, "int", "*", "*"),
    ),
    "bpf_sockopt": (
        ("sk", 0, 8, 1, "socket", "*", ""),
        ("optval", 8, 8, 1, "packet", "*", ""),
        ("optval_end", 16, 8, 1, "packet_end", "*", ""),
        ("level", 24, 4, 1, "int", "*", "*"),
        ("optname", 28, 4, 1, "int", "*", "*"),
        ("optlen", 32, 4, 1, "int", "*", "*"),
        ("retval", 36, 4, 1, "int", "*", "*"),
    ),
    "bpf_sk_lookup": (
        ("sk", 0, 8, 1, "socket?", "*", ""),
        ("cookie", 0, 8, 1, "socket?", "*", ""),
        ("family", 8, 4, 1, "int", "*", ""),
        ("protocol", 12, 4, 1, "int", "*", ""),
        ("remote_ip4", 16, 4, 1, "int", "*", ""),
        ("remote_ip6", 20, 4, 4, "int", "*", ""),
        ("remote_port", 36, 2, 1, "int", "*", ""),
        ("local_ip4", 40, 4, 1, "int", "*", ""),
        ("local_ip6", 44, 4, 4, "int", "*", ""),
        ("local_port", 60, 4, 1, "int", "*", ""),
        ("ingress_ifindex", 64, 4, 1, "int", "*", ""),
    ),
    "bpf_nf_ctx": (
        ("state", 0, 8, 1, "btf:nf_hook_state", "*", ""),
        ("skb", 8, 8, 1, "btf:sk_buff", "*", ""),
    ),
}
# fmt: on


class Field:
    """One field. `size` is an element's in bytes, `count` how many; `readers`, `writers` program types."""

    __slots__ = ("count", "kind", "name", "offset", "readers", "size", "writers")

    def __init__(self, row: tuple[str, int, int, int, str, str, str], everyone: frozenset[str]) -> None:
        self.name, self.offset, self.size, self.count, self.kind, readers, writers = row
        self.readers = _types(readers, everyone)
        self.writers = _types(writers, everyone)

    def __repr__(self) -> str:
        return f"<Field {self.name} +{self.offset}>"


def _types(words: str, everyone: frozenset[str]) -> frozenset[str]:
    if words == "*":
        return everyone
    return frozenset(name for word in words.split() for name in GROUPS.get(word, word).split())


_made: dict[str, dict[str, Field]] = {}


def structures() -> tuple[str, ...]:
    return (*_CONTEXTS, "pt_regs", "bpf_perf_event_data")


def fields(structure: str, machine: str = "x86_64") -> dict[str, Field]:
    """The fields of a context structure by name, in order. Raises KeyError for an unknown one.

    `machine` (as uname has it) matters to pt_regs and bpf_perf_event_data only.
    """
    key = f"{structure} {machine}"
    made = _made.get(key)
    if made is None:
        from cygnet.facts.progtypes import program_types

        everyone = frozenset(kind.name for kind in program_types() if kind.context == structure)
        rows = _CONTEXTS[structure] if structure in _CONTEXTS else _register_rows(structure, machine)
        made = _made[key] = {row[0]: Field(row, everyone) for row in rows}
    return made


def _register_rows(structure: str, machine: str) -> list[tuple[str, int, int, int, str, str, str]]:
    from cygnet.facts.registers import offsets, pt_regs_bytes

    if structure not in ("pt_regs", "bpf_perf_event_data"):
        raise KeyError(structure)
    rows = [(name, offset, 8, 1, "int", "*", "") for name, offset in offsets(machine).items()]
    if structure == "bpf_perf_event_data":
        end = pt_regs_bytes(machine)
        rows += [("sample_period", end, 8, 1, "int", "*", ""), ("addr", end + 8, 8, 1, "int", "*", "")]
    return rows


def field_at(structure: str, offset: int, machine: str = "x86_64") -> Field | None:
    """The first field that covers byte `offset`."""
    for field in fields(structure, machine).values():
        if field.offset <= offset < field.offset + field.size * field.count:
            return field
    return None
