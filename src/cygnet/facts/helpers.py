"""The helper functions of the kernel: number, result, arguments, and which programs may call them.

Rows are Linux 6.18's (the list of numbers is closed: what is newer is a kfunc). Which programs may
call a helper was asked of that kernel's verifier, program type by program type; a test asks again,
and tries every argument. An older kernel allows fewer: it answers for itself when a program is loaded.

Argument kinds, where ``?`` at the end means that a null pointer will do:

ctx         the program's own context
map         a map, as a constant
key value   readable memory of the map's key or value size; value_out is written instead
mem         readable memory, its size is the next argument; mem_out is written, mem_rw is both
size        the number of bytes, at least 1; size0 may be 0
alloc_size  a constant number of bytes to reserve
num         any number
long_out    8 bytes that are written; int_rw 4 that are read and written
fixed:T     readable memory of the size of struct T
str         a NUL-terminated constant string in a frozen read-only map
sock        a socket of any kind; btf:T a kernel pointer to struct T
record      what ringbuf_reserve gave; dynptr an initialised one; dynptr_out a place for a new one
lock timer  a bpf_spin_lock or bpf_timer inside a map value
func        a function of the program; stack a pointer to its stack
percpu      the address of a per-CPU kernel variable; kptr_slot a pointer field of a map value
...         up to three more numbers, as the format says

Result kinds: int, void, value (of the map), record, socket, tcp_sock, sock, mem, kptr, mem_or_btf
and btf:T; with ``?`` when null must be ruled out first.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Sets of program types that the rows name; `all` is every type but lirc_mode2, and ext, which may
# call what the program it replaces may.
GROUPS: Final = {
    "trace": "kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm syscall",
    "typed": "tracing lsm syscall",
    "tc": "sched_cls sched_act",
    "lwt": "lwt_in lwt_out lwt_xmit lwt_seg6local",
    "net": "lwt_in lwt_out lwt_xmit lwt_seg6local sched_cls sched_act socket_filter xdp cgroup_skb sock_ops sk_skb"
    " sk_msg cgroup_sock_addr flow_dissector sk_lookup",
}

# fmt: off
# number, name without bpf_, result, arguments, programs (a group, a type, or -type), GPL-only
_ROWS: Final = (
    (1, "map_lookup_elem", "value?", "map key", "all lirc_mode2", 0),
    (2, "map_update_elem", "int", "map key value num", "all lirc_mode2", 0),
    (3, "map_delete_elem", "int", "map key", "all lirc_mode2", 0),
    (4, "probe_read", "int", "mem_out size0 num", "trace", 1),
    (5, "ktime_get_ns", "int", "", "all lirc_mode2", 0),
    (6, "trace_printk", "int", "mem size ...", "all lirc_mode2", 1),
    (7, "get_prandom_u32", "int", "", "all lirc_mode2", 0),
    (8, "get_smp_processor_id", "int", "", "all", 0),
    (9, "skb_store_bytes", "int", "ctx num mem size num", "tc lwt_xmit sk_skb", 0),
    (10, "l3_csum_replace", "int", "ctx num num num num", "tc lwt_xmit", 0),
    (11, "l4_csum_replace", "int", "ctx num num num num", "tc lwt_xmit", 0),
    (12, "tail_call", "void", "ctx map num", "all lirc_mode2", 0),
    (13, "clone_redirect", "int", "ctx num num", "tc lwt_xmit", 0),
    (14, "get_current_pid_tgid", "int", "", "all", 0),
    (15, "get_current_uid_gid", "int", "", "all", 0),
    (16, "get_current_comm", "int", "mem_out size", "all", 0),
    (17, "get_cgroup_classid", "int", "ctx", "all", 0),
    (18, "skb_vlan_push", "int", "ctx num num", "tc", 0),
    (19, "skb_vlan_pop", "int", "ctx", "tc", 0),
    (20, "skb_get_tunnel_key", "int", "ctx mem_out size num", "tc lwt_xmit", 0),
    (21, "skb_set_tunnel_key", "int", "ctx mem size num", "tc lwt_xmit", 0),
    (22, "perf_event_read", "int", "map num", "all", 1),
    (23, "redirect", "int", "num num", "tc xdp lwt_xmit", 0),
    (24, "get_route_realm", "int", "ctx", "lwt tc", 0),
    (25, "perf_event_output", "int", "ctx map num mem size0", "all -sk_reuseport -flow_dissector -netfilter", 1),
    (26, "skb_load_bytes", "int", "ctx num mem_out size",
     "lwt tc socket_filter cgroup_skb sk_skb sk_reuseport flow_dissector", 0),
    (27, "get_stackid", "int", "ctx map num", "trace", 1),
    (28, "csum_diff", "int", "mem? size0 mem? size0 num", "lwt tc xdp", 0),
    (29, "skb_get_tunnel_opt", "int", "ctx mem_out size", "tc lwt_xmit", 0),
    (30, "skb_set_tunnel_opt", "int", "ctx mem size", "tc lwt_xmit", 0),
    (31, "skb_change_proto", "int", "ctx num num", "tc", 0),
    (32, "skb_change_type", "int", "ctx num", "tc", 0),
    (33, "skb_under_cgroup", "int", "ctx map num", "lwt tc", 0),
    (34, "get_hash_recalc", "int", "ctx", "lwt tc", 0),
    (35, "get_current_task", "int", "", "all", 1),
    (36, "probe_write_user", "int", "num mem size", "trace", 1),
    (37, "current_task_under_cgroup", "int", "map num", "all", 0),
    (38, "skb_change_tail", "int", "ctx num num", "tc lwt_xmit sk_skb", 0),
    (39, "skb_pull_data", "int", "ctx num", "lwt tc sk_skb", 0),
    (40, "csum_update", "int", "ctx num", "tc lwt_xmit", 0),
    (41, "set_hash_invalid", "int", "ctx", "tc lwt_xmit", 0),
    (42, "get_numa_node_id", "int", "", "all", 0),
    (43, "skb_change_head", "int", "ctx num num", "tc lwt_xmit sk_skb", 0),
    (44, "xdp_adjust_head", "int", "ctx num", "xdp", 0),
    (45, "probe_read_str", "int", "mem_out size0 num", "trace", 1),
    (46, "get_socket_cookie", "int", "ctx",
     "tc typed socket_filter cgroup_skb cgroup_sock sock_ops sk_skb cgroup_sock_addr sk_reuseport", 0),
    (47, "get_socket_uid", "int", "ctx", "tc socket_filter cgroup_skb sk_skb", 0),
    (48, "set_hash", "int", "ctx num", "tc", 0),
    (49, "setsockopt", "int", "ctx num num mem size", "sock_ops cgroup_sock_addr cgroup_sockopt", 0),
    (50, "skb_adjust_room", "int", "ctx num num num", "tc sk_skb", 0),
    (51, "redirect_map", "int", "map num num", "xdp", 0),
    (52, "sk_redirect_map", "int", "ctx map num num", "sk_skb", 0),
    (53, "sock_map_update", "int", "ctx map key num", "sock_ops", 0),
    (54, "xdp_adjust_meta", "int", "ctx num", "xdp", 0),
    (55, "perf_event_read_value", "int", "map num mem_out size", "all", 1),
    (56, "perf_prog_read_value", "int", "ctx mem_out size", "perf_event", 1),
    (57, "getsockopt", "int", "ctx num num mem_out size", "sock_ops cgroup_sock_addr cgroup_sockopt", 0),
    (58, "override_return", "int", "ctx num", "kprobe", 1),
    (59, "sock_ops_cb_flags_set", "int", "ctx num", "sock_ops", 0),
    (60, "msg_redirect_map", "int", "ctx map num num", "sk_msg", 0),
    (61, "msg_apply_bytes", "int", "ctx num", "sk_msg", 0),
    (62, "msg_cork_bytes", "int", "ctx num", "sk_msg", 0),
    (63, "msg_pull_data", "int", "ctx num num num", "sk_msg", 0),
    (64, "bind", "int", "ctx mem size", "cgroup_sock_addr", 0),
    (65, "xdp_adjust_tail", "int", "ctx num", "xdp", 0),
    (66, "skb_get_xfrm_state", "int", "ctx num mem_out size num", "tc", 0),
    (67, "get_stack", "int", "ctx mem_out size0 num", "trace", 1),
    (68, "skb_load_bytes_relative", "int", "ctx num mem_out size num", "tc socket_filter cgroup_skb sk_reuseport", 0),
    (69, "fib_lookup", "int", "ctx mem_rw size num", "tc xdp", 1),
    (70, "sock_hash_update", "int", "ctx map key num", "sock_ops", 0),
    (71, "msg_redirect_hash", "int", "ctx map key num", "sk_msg", 0),
    (72, "sk_redirect_hash", "int", "ctx map key num", "sk_skb", 0),
    (73, "lwt_push_encap", "int", "ctx num mem size", "lwt_in lwt_xmit", 0),
    (74, "lwt_seg6_store_bytes", "int", "ctx num mem size", "lwt_seg6local", 0),
    (75, "lwt_seg6_adjust_srh", "int", "ctx num num", "lwt_seg6local", 0),
    (76, "lwt_seg6_action", "int", "ctx num mem size", "lwt_seg6local", 0),
    (77, "rc_repeat", "int", "ctx", "lirc_mode2", 1),
    (78, "rc_keydown", "int", "ctx num num num", "lirc_mode2", 1),
    (79, "skb_cgroup_id", "int", "ctx", "tc cgroup_skb", 0),
    (80, "get_current_cgroup_id", "int", "", "all", 0),
    (81, "get_local_storage", "value", "map num",
     "cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt", 0),
    (82, "sk_select_reuseport", "int", "ctx map key num", "sk_reuseport", 0),
    (83, "skb_ancestor_cgroup_id", "int", "ctx num", "tc cgroup_skb", 0),
    (84, "sk_lookup_tcp", "socket?", "ctx mem size0 num num", "tc xdp cgroup_skb sk_skb cgroup_sock_addr", 0),
    (85, "sk_lookup_udp", "socket?", "ctx mem size0 num num", "tc xdp cgroup_skb sk_skb cgroup_sock_addr", 0),
    (86, "sk_release", "int", "sock", "tc xdp cgroup_skb sk_skb cgroup_sock_addr sk_lookup", 0),
    (87, "map_push_elem", "int", "map value num", "all lirc_mode2", 0),
    (88, "map_pop_elem", "int", "map value_out", "all lirc_mode2", 0),
    (89, "map_peek_elem", "int", "map value_out", "all lirc_mode2", 0),
    (90, "msg_push_data", "int", "ctx num num num", "sk_msg", 0),
    (91, "msg_pop_data", "int", "ctx num num num", "sk_msg", 0),
    (92, "rc_pointer_rel", "int", "ctx num num", "lirc_mode2", 1),
    (93, "spin_lock", "void", "lock", "all", 0),
    (94, "spin_unlock", "void", "lock", "all", 0),
    (95, "sk_fullsock", "socket?", "sock", "tc cgroup_skb", 0),
    (96, "tcp_sock", "tcp_sock?", "sock", "tc cgroup_skb sock_ops cgroup_sockopt", 0),
    (97, "skb_ecn_set_ce", "int", "ctx", "tc cgroup_skb", 0),
    (98, "get_listener_sock", "socket?", "sock", "tc cgroup_skb", 0),
    (99, "skc_lookup_tcp", "sock?", "ctx mem size0 num num", "tc xdp cgroup_skb sk_skb cgroup_sock_addr", 0),
    (100, "tcp_check_syncookie", "int", "sock mem size mem size", "tc xdp", 1),
    (101, "sysctl_get_name", "int", "ctx mem_out size num", "cgroup_sysctl", 0),
    (102, "sysctl_get_current_value", "int", "ctx mem_out size", "cgroup_sysctl", 0),
    (103, "sysctl_get_new_value", "int", "ctx mem_out size", "cgroup_sysctl", 0),
    (104, "sysctl_set_new_value", "int", "ctx mem size", "cgroup_sysctl", 0),
    (105, "strtol", "int", "mem size num long_out", "all", 0),
    (106, "strtoul", "int", "mem size num long_out", "all", 0),
    (107, "sk_storage_get", "value?", "map sock value? num",
     "tc typed cgroup_skb cgroup_sock sock_ops sk_msg cgroup_sock_addr cgroup_sockopt", 0),
    (108, "sk_storage_delete", "int", "map sock",
     "tc typed cgroup_skb sock_ops sk_msg cgroup_sock_addr cgroup_sockopt", 0),
    (109, "send_signal", "int", "num", "all", 0),
    (110, "tcp_gen_syncookie", "int", "sock mem size mem size", "tc xdp", 1),
    (111, "skb_output", "int", "btf:sk_buff map num mem size0", "typed", 1),
    (112, "probe_read_user", "int", "mem_out size0 num", "all", 1),
    (113, "probe_read_kernel", "int", "mem_out size0 num", "all", 1),
    (114, "probe_read_user_str", "int", "mem_out size0 num", "all", 1),
    (115, "probe_read_kernel_str", "int", "mem_out size0 num", "all", 1),
    (116, "tcp_send_ack", "int", "btf:tcp_sock num", "struct_ops", 0),
    (117, "send_signal_thread", "int", "num", "all", 0),
    (118, "jiffies64", "int", "", "all", 0),
    (119, "read_branch_records", "int", "ctx mem_out? size0 num", "perf_event", 1),
    (120, "get_ns_current_pid_tgid", "int", "num num mem_out size", "all", 0),
    (121, "xdp_output", "int", "btf:xdp_buff map num mem size0", "typed", 1),
    (122, "get_netns_cookie", "int", "ctx?",
     "tc socket_filter cgroup_skb cgroup_sock sock_ops sk_msg cgroup_sock_addr cgroup_sockopt", 0),
    (123, "get_current_ancestor_cgroup_id", "int", "num", "all", 0),
    (124, "sk_assign", "int", "ctx sock num", "tc sk_lookup", 0),
    (125, "ktime_get_boot_ns", "int", "", "all lirc_mode2", 0),
    (126, "seq_printf", "int", "btf:seq_file mem size mem? size0", "tracing", 1),
    (127, "seq_write", "int", "btf:seq_file mem size0", "tracing", 1),
    (128, "sk_cgroup_id", "int", "sock", "cgroup_skb", 0),
    (129, "sk_ancestor_cgroup_id", "int", "sock num", "cgroup_skb", 0),
    (130, "ringbuf_output", "int", "map mem size0 num", "all", 0),
    (131, "ringbuf_reserve", "record?", "map alloc_size num", "all", 0),
    (132, "ringbuf_submit", "void", "record num", "all", 0),
    (133, "ringbuf_discard", "void", "record num", "all", 0),
    (134, "ringbuf_query", "int", "map num", "all", 0),
    (135, "csum_level", "int", "ctx num", "tc lwt_xmit", 0),
    (136, "skc_to_tcp6_sock", "btf:tcp6_sock?", "sock", "net typed", 0),
    (137, "skc_to_tcp_sock", "btf:tcp_sock?", "sock", "net typed", 0),
    (138, "skc_to_tcp_timewait_sock", "btf:tcp_timewait_sock?", "sock", "net typed", 0),
    (139, "skc_to_tcp_request_sock", "btf:tcp_request_sock?", "sock", "net typed", 0),
    (140, "skc_to_udp6_sock", "btf:udp6_sock?", "sock", "net typed", 0),
    (141, "get_task_stack", "int", "btf:task_struct mem_out size0 num", "all", 0),
    (142, "load_hdr_opt", "int", "ctx mem_rw size num", "sock_ops", 0),
    (143, "store_hdr_opt", "int", "ctx mem size num", "sock_ops", 0),
    (144, "reserve_hdr_opt", "int", "ctx num num", "sock_ops", 0),
    (145, "inode_storage_get", "value?", "map btf:inode? value? num", "lsm", 0),
    (146, "inode_storage_delete", "int", "map btf:inode?", "lsm", 0),
    (147, "d_path", "int", "btf:path mem_out size0", "typed", 0),
    (148, "copy_from_user", "int", "mem_out size0 num", "all", 0),
    (149, "snprintf_btf", "int", "mem_out size mem size num", "all", 0),
    (150, "seq_printf_btf", "int", "btf:seq_file mem size0 num", "tracing", 1),
    (151, "skb_cgroup_classid", "int", "ctx", "tc", 0),
    (152, "redirect_neigh", "int", "num mem? size0 num", "tc", 0),
    (153, "per_cpu_ptr", "mem_or_btf?", "percpu num", "all", 0),
    (154, "this_cpu_ptr", "mem_or_btf", "percpu", "all", 0),
    (155, "redirect_peer", "int", "num num", "tc", 0),
    (156, "task_storage_get", "value?", "map btf:task_struct? value? num", "all", 0),
    (157, "task_storage_delete", "int", "map btf:task_struct?", "all", 0),
    (158, "get_current_task_btf", "btf:task_struct", "", "all", 1),
    (159, "bprm_opts_set", "int", "btf:linux_binprm num", "lsm", 0),
    (160, "ktime_get_coarse_ns", "int", "", "net cgroup_sock sk_reuseport cgroup_sysctl", 0),
    (161, "ima_inode_hash", "int", "btf:inode mem_out size", "lsm", 0),
    (162, "sock_from_file", "btf:socket?", "btf:file", "typed", 0),
    (163, "check_mtu", "int", "ctx num int_rw num num", "tc xdp", 1),
    (164, "for_each_map_elem", "int", "map func stack? num", "all", 0),
    (165, "snprintf", "int", "mem_out? size0 str mem? size0", "all", 1),
    (166, "sys_bpf", "int", "num mem size", "syscall", 0),
    (167, "btf_find_by_name_kind", "int", "mem size num num", "syscall", 0),
    (168, "sys_close", "int", "num", "syscall", 0),
    (169, "timer_init", "int", "timer map num", "all", 1),
    (170, "timer_set_callback", "int", "timer func", "all", 1),
    (171, "timer_start", "int", "timer num num", "all", 1),
    (172, "timer_cancel", "int", "timer", "all", 1),
    (173, "get_func_ip", "int", "ctx", "trace", 1),
    (174, "get_attach_cookie", "int", "ctx",
     "raw_tracepoint raw_tracepoint_writable kprobe tracepoint perf_event tracing lsm", 0),
    (175, "task_pt_regs", "btf:pt_regs", "btf:task_struct", "all", 1),
    (176, "get_branch_snapshot", "int", "mem_out size0", "all", 1),
    (177, "trace_vprintk", "int", "mem size mem? size0", "all", 1),
    (178, "skc_to_unix_sock", "btf:unix_sock?", "sock", "net typed", 0),
    (179, "kallsyms_lookup_name", "int", "mem size0 num long_out", "syscall", 0),
    (180, "find_vma", "int", "btf:task_struct num func stack? num", "all", 0),
    (181, "loop", "int", "num func stack? num", "all", 0),
    (182, "strncmp", "int", "mem size str", "all", 0),
    (183, "get_func_arg", "int", "ctx num long_out", "tracing lsm", 0),
    (184, "get_func_ret", "int", "ctx long_out", "tracing lsm", 0),
    (185, "get_func_arg_cnt", "int", "ctx", "tracing lsm", 0),
    (186, "get_retval", "int", "", "cgroup_sock cgroup_sock_addr cgroup_sysctl cgroup_sockopt cgroup_device", 0),
    (187, "set_retval", "int", "num", "cgroup_sock cgroup_sock_addr cgroup_sysctl cgroup_sockopt cgroup_device", 0),
    (188, "xdp_get_buff_len", "int", "ctx", "typed xdp", 0),
    (189, "xdp_load_bytes", "int", "ctx num mem_out size", "xdp", 0),
    (190, "xdp_store_bytes", "int", "ctx num mem size", "xdp", 0),
    (191, "copy_from_user_task", "int", "mem_out size0 num btf:task_struct num", "all", 1),
    (192, "skb_set_tstamp", "int", "ctx num num", "tc", 0),
    (193, "ima_file_hash", "int", "btf:file mem_out size", "lsm", 0),
    (194, "kptr_xchg", "kptr?", "kptr_slot kptr?", "all", 0),
    (195, "map_lookup_percpu_elem", "value?", "map key num", "all", 0),
    (196, "skc_to_mptcp_sock", "btf:mptcp_sock?", "sock", "net typed", 0),
    (197, "dynptr_from_mem", "int", "mem_out size0 num dynptr_out", "all", 0),
    (198, "ringbuf_reserve_dynptr", "int", "map num num dynptr_out", "all", 0),
    (199, "ringbuf_submit_dynptr", "void", "dynptr num", "all", 0),
    (200, "ringbuf_discard_dynptr", "void", "dynptr num", "all", 0),
    (201, "dynptr_read", "int", "mem_out size0 dynptr num num", "all", 0),
    (202, "dynptr_write", "int", "dynptr num mem size0 num", "all", 0),
    (203, "dynptr_data", "mem?", "dynptr num alloc_size", "all", 0),
    (204, "tcp_raw_gen_syncookie_ipv4", "int", "fixed:iphdr mem size0", "tc xdp", 1),
    (205, "tcp_raw_gen_syncookie_ipv6", "int", "fixed:ipv6hdr mem size0", "tc xdp", 1),
    (206, "tcp_raw_check_syncookie_ipv4", "int", "fixed:iphdr fixed:tcphdr", "tc xdp", 1),
    (207, "tcp_raw_check_syncookie_ipv6", "int", "fixed:ipv6hdr fixed:tcphdr", "tc xdp", 1),
    (208, "ktime_get_tai_ns", "int", "", "all", 0),
    (209, "user_ringbuf_drain", "int", "map func stack? num", "all", 0),
    (210, "cgrp_storage_get", "value?", "map btf:cgroup? value? num", "all", 0),
    (211, "cgrp_storage_delete", "int", "map btf:cgroup?", "all", 0),
)
# fmt: on


# What the rows do not say, by number. Names and rules are kernel/bpf/verifier.c's and net/core/filter.c's.
PACKET_ARGUMENTS: Final = frozenset((1, 2, 3, 28, 84, 85, 87, 99, 100, 110, 195, 204, 205, 206, 207))  # pkt_access
CHANGES_PACKET: Final = frozenset(
    (9, 10, 11, 12, 13, 18, 19, 31, 38, 39, 43, 44, 50, 54, 63, 65, 73, 74, 75, 76, 90, 91, 143)
)  # pointers into the packet are void after the call
SLEEPS: Final = frozenset((148, 161, 166, 167, 168, 191, 193))  # only where a program may sleep
RELEASES: Final = {86: 1, 132: 1, 133: 1, 194: 2, 199: 1, 200: 1}  # number of the argument that is given back
ACQUIRES: Final = frozenset((84, 85, 99, 131, 194))  # the result must be given back
CASTS: Final = frozenset((95, 96, 136, 137, 138, 139, 140, 196))  # the result is the argument in another type
SOCK_COMMON_ONLY: Final = frozenset((95, 96, 98, 196))  # take no BTF pointer for a sock

# Arguments where they differ from the row's: (number, programs, arguments)
_VARIANTS: Final = (
    (17, "all -sched_cls -sched_act -lwt_in -lwt_out -lwt_xmit -lwt_seg6local", ""),
    (46, "sk_reuseport typed", "sock?"),
    (49, "cgroup_sockopt tracing lsm", "sock num num mem size"),
    (57, "cgroup_sockopt tracing lsm", "sock num num mem_out size"),
    (107, "cgroup_sock", "map ctx value? num"),
    (124, "sk_lookup", "ctx socket? num"),
    (188, "typed", "btf:xdp_buff"),
)
_variants: dict[tuple[int, str], tuple[str, ...]] = {}

# The first helper of each kernel version
_SINCE: Final = (
    (1, "3.19"), (4, "4.1"), (12, "4.2"), (17, "4.3"), (23, "4.4"), (26, "4.5"), (27, "4.6"), (31, "4.8"),
    (37, "4.9"), (42, "4.10"), (45, "4.11"), (46, "4.12"), (48, "4.13"), (51, "4.14"), (54, "4.15"), (58, "4.16"),
    (60, "4.17"), (65, "4.18"), (81, "4.19"), (84, "4.20"), (91, "5.0"), (93, "5.1"), (99, "5.2"), (109, "5.3"),
    (110, "5.4"), (111, "5.5"), (116, "5.6"), (120, "5.7"), (125, "5.8"), (136, "5.9"), (142, "5.10"), (156, "5.11"),
    (163, "5.12"), (164, "5.13"), (166, "5.14"), (169, "5.15"), (176, "5.16"), (180, "5.17"), (186, "5.18"),
    (194, "5.19"), (204, "6.0"), (208, "6.1"), (210, "6.2"),
)  # fmt: skip


class Helper:
    """One row. `args` are the argument kinds, `programs` the program types by name (``kprobe``)."""

    __slots__ = ("args", "gpl_only", "id", "name", "programs", "result")

    def __init__(self, row: tuple[int, str, str, str, str, int]) -> None:
        self.id, name, self.result, args, programs, gpl = row
        self.name = f"bpf_{name}"
        self.args = tuple(args.split())
        self.gpl_only = bool(gpl)
        self.programs = _program_types(programs)

    def __repr__(self) -> str:
        return f"<Helper {self.name}#{self.id}>"

    @property
    def since(self) -> str:
        """The kernel version that brought it."""
        return [version for first, version in _SINCE if first <= self.id][-1]

    @property
    def variadic(self) -> bool:
        return self.args[-1:] == ("...",)


def _program_types(words: str) -> frozenset[str]:
    from cygnet.facts.progtypes import names

    found: set[str] = set()
    for word in words.split():
        if word == "all":
            found.update(name for name in names() if name not in ("lirc_mode2", "ext"))
        elif word.startswith("-"):
            found.discard(word[1:])
        else:
            found.update(GROUPS.get(word, word).split())
    return frozenset(found)


_ids: dict[str, int] = {}
_helpers: dict[int, Helper] = {}


def helper_id(name: str) -> int | None:
    """The number of a helper by its name, with or without ``bpf_``; None when there is none."""
    if not _ids:
        _ids.update((row[1], row[0]) for row in _ROWS)
    return _ids.get(name.removeprefix("bpf_"))


def helper_name(number: int) -> str | None:
    """The name of helper `number`, as the verifier's log has it (``bpf_map_lookup_elem``)."""
    return f"bpf_{_ROWS[number - 1][1]}" if 0 < number <= len(_ROWS) else None


def helper(which: int | str) -> Helper:
    """The row of a helper by number or name. Raises KeyError."""
    number = helper_id(which) if isinstance(which, str) else which
    if number is None or not 0 < number <= len(_ROWS):
        raise KeyError(which)
    found = _helpers.get(number)
    if found is None:
        found = _helpers[number] = Helper(_ROWS[number - 1])
    return found


def variant(row: Helper, program: str) -> tuple[str, ...]:
    """The argument kinds of a helper as programs of a type see it: some types have one of their own."""
    if not _variants:
        for number, programs, args in _VARIANTS:
            for each in _program_types(programs):
                _variants[number, each] = tuple(args.split())
    return _variants.get((row.id, program), row.args)


def helpers() -> list[Helper]:
    """All rows, by number."""
    return [helper(number) for number in range(1, len(_ROWS) + 1)]
