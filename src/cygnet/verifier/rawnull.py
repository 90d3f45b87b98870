"""Arguments of raw tracepoints that may be null, or an error instead of a pointer (kernel/bpf/btf.c)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Number of the argument → tracepoints where it may be null; ``prefix_{a b}`` are prefix_a and prefix_b.
_NULL: Final = {
    0: "afs_protocol_error cachefiles_{lookup unlink rename prep_read mark_active mark_failed mark_inactive vfs_error"
    " io_error ondemand_open ondemand_copen ondemand_close ondemand_read ondemand_cread ondemand_fd_write"
    " ondemand_fd_release} mm_{collapse_huge_page_isolate page_alloc page_pcpu_drain page_alloc_zone_locked}"
    " rxrpc_{recvdata client} xs_stream_read_data tcp_send_reset tmigr_update_events amdgpu_vm_bo_{map unmap}"
    " netfs_folioq xfs_defer_{create_intent cancel_list pending_finish pending_abort relog_intent isolate_paused"
    " item_pause item_unpause add_item cancel_item finish_item} xfs_inodegc_{flush push start stop queue throttle}"
    " xfs_fs_sync_fs xfs_blockgc_{start stop worker flush_all} nfsd_dirent nfsd_file_{acquire insert_err cons_err}"
    " nfs4_setup_sequence cfg80211_scan_done",
    1: "sched_pi_setprio afs_make_fs_{call calli call1 call2} afs_flock_ev ext4_mballoc_{discard free} posix_lock_inode"
    " fcntl_setlk locks_remove_posix flock_lock_inode break_lease_{noblock block unblock} generic_delete_lease"
    " time_out_leases mm_khugepaged_{scan_pmd scan_file collapse_file} netfs_failure device_pm_callback_start"
    " rxrpc_{resend tq} xprt_{reserve_cong release_cong get_cong put_cong} tcp_send_reset writeback_dirty_folio"
    " folio_wait_writeback xfs_ioc_free_eofblocks xfs_blockgc_free_space xchk_nlinks_live_update"
    " coda_dec_pic_{run done} cfg80211_scan_done rdev_set_coalesce wiphy_work_{queue run cancel flush}"
    " hugetlbfs_alloc_inode spufs_context neigh_update",
    2: "sched_stick_numa sched_swap_numa fib_table_lookup tcp_sendmsg_locked tegra_dma_tx_status xfs_btree_{updkeys"
    " overlapped_query_range} xchk_metapath_lookup cfg80211_report_wowlan_wakeup cfg80211_inform_bss_frame"
    " kvm_page_fault_enter dpu_crtc_setup_mixer binder_transaction btree_path_free amdtp_packet",
    3: "qdisc_dequeue kfree_skb xfs_iomap_{alloc found} nfsd_file_acquire hfi1_sdma_progress iptfs_ingress_postq_event",
    4: "host1x_cdma_push_gather xfs_map_blocks_{found alloc} pnfs_update_layout pnfs_mds_fallback_{pg_init_read"
    " pg_init_write pg_get_mirror_count read_done write_done read_pagelist write_pagelist}"
    " cfg80211_michael_mic_failure",
}
# … where it may be an error
_ERROR: Final = {
    2: "cachefiles_lookup nfs4_inode_callback_event nfs4_inode_stateid_callback_event",
    3: "mr_integ_alloc",
}


def _names(row: str) -> set[str]:
    found: set[str] = set()
    for part in row.split("}"):
        head, brace, tail = part.partition("{")
        *plain, prefix = head.split(" ") if brace else [*head.split(), ""]
        found.update(plain)
        found.update(prefix + end for end in tail.split())
    return found - {""}


def mark(event: str, argument: int) -> str:
    """``null``, ``error`` or nothing."""
    if event in _names(_ERROR.get(argument, "")):
        return "error"
    return "null" if event in _names(_NULL.get(argument, "")) else ""
