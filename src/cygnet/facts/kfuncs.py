"""Kernel functions that programs may call by BTF id: what the kernel's BTF does not say of them.

Prototypes are in BTF (`decl_tag` bpf_kfunc); flags and program types are only in the kernel's tables
(BTF_ID_FLAGS in kernel/bpf/helpers.c and others, Linux 6.18). Which programs may call is asked of the verifier by a test.

Flags: A the result must be given back · R gives its argument back · N the result may be null · T arguments must be
trusted · U they may be RCU pointers · S may sleep · D destructive · P only under RCU · n x d an iterator's new, next
and destroy · F has no effect on r1 to r5 that are not its own
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

GROUPS: Final = {
    "any": "*",
    "generic": "tracing tracepoint perf_event lsm sched_cls xdp struct_ops syscall cgroup_skb cgroup_sock cgroup_device"
    " cgroup_sock_addr cgroup_sockopt cgroup_sysctl sock_ops",
    "tracing": "tracing tracepoint perf_event lsm",
    "skb": "sched_cls sched_act sk_skb socket_filter lwt_out lwt_in lwt_xmit lwt_seg6local cgroup_skb cgroup_sock"
    " cgroup_device cgroup_sock_addr cgroup_sockopt cgroup_sysctl sock_ops netfilter tracing tracepoint perf_event lsm",
    "cpumask": "tracing tracepoint perf_event lsm struct_ops syscall",
    "tc": "sched_cls sched_act",
    "cgroup": "cgroup_skb cgroup_sock cgroup_device cgroup_sock_addr cgroup_sockopt cgroup_sysctl sock_ops",
}

# fmt: off
# names · flags · programs
_ROWS: Final = (
    ("bpf_rcu_read_lock bpf_rcu_read_unlock bpf_preempt_disable bpf_preempt_enable bpf_local_irq_save"
     " bpf_local_irq_restore", "", "any"),
    ("bpf_cast_to_kern_ctx bpf_rdonly_cast", "F", "any"),
    ("bpf_dynptr_slice bpf_dynptr_slice_rdwr", "N", "any"),
    ("bpf_dynptr_adjust bpf_dynptr_is_null bpf_dynptr_is_rdonly bpf_dynptr_size bpf_dynptr_clone bpf_dynptr_copy"
     " bpf_dynptr_memset", "", "any"),
    ("bpf_iter_num_new bpf_iter_bits_new", "n", "any"),
    ("bpf_iter_kmem_cache_new bpf_iter_dmabuf_new", "nS", "any"),
    ("bpf_iter_task_vma_new", "nU", "any"),
    ("bpf_iter_css_new bpf_iter_task_new", "nTP", "any"),
    ("bpf_iter_css_task_new", "nT", "any"),
    ("bpf_iter_num_next bpf_iter_task_vma_next bpf_iter_css_next bpf_iter_task_next bpf_iter_css_task_next"
     " bpf_iter_bits_next", "xN", "any"),
    ("bpf_iter_kmem_cache_next bpf_iter_dmabuf_next", "xNS", "any"),
    ("bpf_iter_num_destroy bpf_iter_task_vma_destroy bpf_iter_css_destroy bpf_iter_task_destroy"
     " bpf_iter_css_task_destroy bpf_iter_bits_destroy", "d", "any"),
    ("bpf_iter_kmem_cache_destroy bpf_iter_dmabuf_destroy", "dS", "any"),
    ("bpf_wq_init bpf_wq_set_callback_impl bpf_wq_start", "", "any"),
    ("bpf_copy_from_user_str bpf_copy_from_user_task_str bpf_copy_from_user_dynptr bpf_copy_from_user_str_dynptr",
     "S", "any"),
    ("bpf_copy_from_user_task_dynptr bpf_copy_from_user_task_str_dynptr", "ST", "any"),
    ("bpf_probe_read_user_dynptr bpf_probe_read_kernel_dynptr bpf_probe_read_user_str_dynptr"
     " bpf_probe_read_kernel_str_dynptr", "", "any"),
    ("bpf_get_kmem_cache", "", "any"),
    ("bpf_strcmp bpf_strcasecmp bpf_strchr bpf_strchrnul bpf_strnchr bpf_strrchr bpf_strlen bpf_strnlen bpf_strspn"
     " bpf_strcspn bpf_strstr bpf_strnstr", "", "any"),
    ("bpf_stream_vprintk_impl", "T", "any"),
    ("bpf_task_work_schedule_signal_impl bpf_task_work_schedule_resume_impl", "T", "any"),
    ("__bpf_trap bpf_modify_return_test_tp", "", "any"),
    ("bpf_kfunc_call_test_release bpf_kfunc_call_memb_release", "R", "tracing sched_cls syscall"),
    ("bpf_obj_new_impl bpf_percpu_obj_new_impl", "AN", "generic"),
    ("bpf_obj_drop_impl bpf_percpu_obj_drop_impl", "R", "generic"),
    ("bpf_refcount_acquire_impl", "ANU", "generic"),
    ("bpf_list_push_front_impl bpf_list_push_back_impl bpf_rbtree_add_impl", "", "generic"),
    ("bpf_list_pop_front bpf_list_pop_back bpf_rbtree_remove", "AN", "generic"),
    ("bpf_list_front bpf_list_back bpf_rbtree_first bpf_rbtree_root bpf_rbtree_left bpf_rbtree_right", "N", "generic"),
    ("bpf_task_acquire bpf_cgroup_acquire bpf_cgroup_ancestor bpf_task_get_cgroup1", "ANU", "generic"),
    ("bpf_task_release bpf_cgroup_release", "R", "generic"),
    ("bpf_cgroup_from_id bpf_task_from_pid bpf_task_from_vpid", "AN", "generic"),
    ("bpf_task_under_cgroup", "U", "generic"),
    ("bpf_throw", "", "generic"),
    ("bpf_send_signal_task", "T", "generic"),
    ("bpf_cgroup_read_xattr", "U", "any"),
    ("bpf_arena_alloc_pages bpf_arena_free_pages bpf_arena_reserve_pages", "ST", "any"),
    ("bpf_res_spin_lock bpf_res_spin_lock_irqsave", "N", "any"),
    ("bpf_res_spin_unlock bpf_res_spin_unlock_irqrestore", "", "any"),
    ("bpf_map_sum_elem_count", "T", "any"),
    ("bpf_cpumask_create", "AN", "cpumask"),
    ("bpf_cpumask_release", "R", "cpumask"),
    ("bpf_cpumask_acquire", "AT", "cpumask"),
    ("bpf_cpumask_first bpf_cpumask_first_zero bpf_cpumask_first_and bpf_cpumask_set_cpu bpf_cpumask_clear_cpu"
     " bpf_cpumask_test_cpu bpf_cpumask_test_and_set_cpu bpf_cpumask_test_and_clear_cpu bpf_cpumask_setall"
     " bpf_cpumask_clear bpf_cpumask_and bpf_cpumask_or bpf_cpumask_xor bpf_cpumask_equal bpf_cpumask_intersects"
     " bpf_cpumask_subset bpf_cpumask_empty bpf_cpumask_full bpf_cpumask_copy bpf_cpumask_any_distribute"
     " bpf_cpumask_any_and_distribute bpf_cpumask_weight bpf_cpumask_populate", "U", "cpumask"),
    ("bpf_dynptr_from_skb", "T", "skb"),
    ("bpf_dynptr_from_skb_meta", "T", "tc"),
    ("bpf_dynptr_from_xdp bpf_xdp_pull_data", "", "xdp"),
    ("bpf_xdp_metadata_rx_timestamp bpf_xdp_metadata_rx_hash bpf_xdp_metadata_rx_vlan_tag", "T", "any"),
    ("bpf_sock_addr_set_sun_path", "", "cgroup"),
    ("bpf_sk_assign_tcp_reqsk", "T", "sched_cls"),
    ("bpf_sock_ops_enable_tx_tstamp", "T", "cgroup"),
    ("bpf_skb_ct_alloc bpf_skb_ct_lookup", "AN", "sched_cls xdp"),
    ("bpf_xdp_ct_alloc bpf_xdp_ct_lookup", "AN", "sched_cls xdp"),
    ("bpf_ct_insert_entry", "ARN", "sched_cls xdp"),
    ("bpf_ct_release", "R", "sched_cls xdp"),
    ("bpf_ct_set_timeout bpf_ct_change_timeout bpf_ct_set_status bpf_ct_change_status bpf_ct_set_nat_info",
     "T", "sched_cls xdp"),
    ("bpf_xdp_get_xfrm_state", "AN", "xdp"),
    ("bpf_xdp_xfrm_state_release", "R", "xdp"),
    ("bpf_crypto_ctx_create", "ANS", "syscall"),
    ("bpf_crypto_ctx_release", "R", "syscall"),
    ("bpf_crypto_ctx_acquire", "ANU", "syscall"),
    ("bpf_crypto_encrypt bpf_crypto_decrypt", "U", "tc xdp"),
    ("bpf_lookup_user_key", "ANS", "generic"),
    ("bpf_lookup_system_key", "AN", "generic"),
    ("bpf_key_put", "R", "generic"),
    ("bpf_session_is_return bpf_session_cookie", "", "kprobe"),
    ("bpf_get_task_exe_file", "ATN", "lsm"),
    ("bpf_put_file", "R", "lsm"),
    ("bpf_path_d_path", "T", "lsm"),
    ("bpf_get_dentry_xattr bpf_get_file_xattr bpf_set_dentry_xattr bpf_remove_dentry_xattr", "ST", "lsm"),
    ("bpf_sock_destroy", "T", "tracing"),
    ("css_rstat_updated", "", "tracing"),
    ("css_rstat_flush", "S", "tracing"),
    ("tcp_cong_avoid_ai tcp_reno_cong_avoid tcp_reno_ssthresh tcp_reno_undo_cwnd tcp_slow_start", "", "struct_ops"),
    ("bbr_init bbr_main bbr_sndbuf_expand bbr_undo_cwnd bbr_cwnd_event bbr_ssthresh bbr_min_tso_segs bbr_set_state"
     " cubictcp_init cubictcp_recalc_ssthresh cubictcp_cong_avoid cubictcp_state cubictcp_cwnd_event cubictcp_acked",
     "", "struct_ops"),
)
# fmt: on


class KfuncRow:
    """`flags` are letters (see the module); `programs` program types, or None for all."""

    __slots__ = ("flags", "name", "programs")

    def __init__(self, name: str, flags: str, programs: str) -> None:
        self.name = name
        self.flags = frozenset(flags)
        words = " ".join([GROUPS.get(word, word) for word in programs.split()]).split()
        self.programs: frozenset[str] | None = None if "*" in words else frozenset(words)


_rows: dict[str, KfuncRow] = {}


def kfunc(name: str) -> KfuncRow | None:
    """The row of a kernel function; None for one that is not known."""
    if not _rows:
        for names, flags, programs in _ROWS:
            for each in names.split():
                _rows[each] = KfuncRow(each, flags, programs)
    return _rows.get(name)


def kfuncs() -> list[KfuncRow]:
    kfunc("")
    return list(_rows.values())
