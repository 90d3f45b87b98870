"""Names of what programs return: XDP_DROP, TC_ACT_SHOT, SK_PASS … by program type."""

from __future__ import annotations

XDP = ("XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT")
# <linux/pkt_cls.h>; -1 takes what was configured
TC = ("TC_ACT_OK", "TC_ACT_RECLASSIFY", "TC_ACT_SHOT", "TC_ACT_PIPE", "TC_ACT_STOLEN", "TC_ACT_QUEUED",
      "TC_ACT_REPEAT", "TC_ACT_REDIRECT", "TC_ACT_TRAP")  # fmt: skip
_SK = ("SK_DROP", "SK_PASS")
_LWT = {0: "BPF_OK", 2: "BPF_DROP", 7: "BPF_REDIRECT", 128: "BPF_LWT_REROUTE"}
_ALLOW = ("DENY", "ALLOW")

_NAMES: dict[str, dict[int, str]] = {
    "xdp": dict(enumerate(XDP)),
    **{kind: {**dict(enumerate(TC)), 0xFFFFFFFF: "TC_ACT_UNSPEC"} for kind in ("sched_cls", "sched_act")},
    **dict.fromkeys(("lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"), _LWT),
    **{kind: dict(enumerate(_SK)) for kind in ("sk_skb", "sk_msg", "sk_lookup", "sk_reuseport")},
    **{
        kind: dict(enumerate(_ALLOW))
        for kind in ("cgroup_skb", "cgroup_sock", "cgroup_device", "cgroup_sock_addr", "cgroup_sysctl",
                     "cgroup_sockopt")
    },
    "flow_dissector": {0: "BPF_OK", 2: "BPF_DROP", 129: "BPF_FLOW_DISSECTOR_CONTINUE"},
    "netfilter": {0: "NF_DROP", 1: "NF_ACCEPT"},
}  # fmt: skip


def code_name(program_type: str, value: int) -> str:
    """The name of a return value, or the number as text where it has none."""
    return _NAMES.get(program_type, {}).get(value & 0xFFFFFFFF, str(value))


def code_value(name: str) -> int:
    """The number of a name of any program type. KeyError for an unknown one."""
    for names in _NAMES.values():
        for value, known in names.items():
            if known == name:
                return value
    raise KeyError(name)
