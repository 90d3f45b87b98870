"""Which helpers this machine has not got, and why: the tables only shrink."""

from __future__ import annotations

#: what means nothing without a kernel
KERNEL_ONLY = {
    "skb_under_cgroup": "cgroup arrays hold cgroups of a kernel",
    "skb_get_xfrm_state": "IPsec states are the kernel's",
    "lwt_push_encap": "segment routing is the kernel's",
    "lwt_seg6_store_bytes": "segment routing is the kernel's",
    "lwt_seg6_adjust_srh": "segment routing is the kernel's",
    "lwt_seg6_action": "segment routing is the kernel's",
    "tcp_check_syncookie": "cookies are made with a secret of the kernel",
    "tcp_gen_syncookie": "cookies are made with a secret of the kernel",
    "tcp_raw_gen_syncookie_ipv4": "cookies are made with a secret of the kernel",
    "tcp_raw_gen_syncookie_ipv6": "cookies are made with a secret of the kernel",
    "tcp_raw_check_syncookie_ipv4": "cookies are made with a secret of the kernel",
    "tcp_raw_check_syncookie_ipv6": "cookies are made with a secret of the kernel",
    "tcp_send_ack": "congestion control runs in the kernel's TCP",
    "ima_inode_hash": "the integrity subsystem measures files in the kernel",
    "ima_file_hash": "the integrity subsystem measures files in the kernel",
    "sys_bpf": "bpf(2) is the kernel's",
    "snprintf_btf": "shows objects of a kernel as its BTF describes them",
    "seq_printf_btf": "shows objects of a kernel as its BTF describes them",
    "sys_close": "descriptors are the kernel's",
}
#: what could be there and is not yet
MISSING: dict[str, str] = {}
