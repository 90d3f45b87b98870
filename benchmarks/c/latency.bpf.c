#include "common.h"

MAP(starts, BPF_MAP_TYPE_HASH, u32, u64, 4096);
MAP(buckets, BPF_MAP_TYPE_PERCPU_ARRAY, u32, u64, 65);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_enter(void *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&starts, &tid, &now, BPF_ANY);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_getpgid")
int on_exit(void *ctx)
{
	u32 tid = bpf_get_current_pid_tgid(), slot;
	u64 *start = bpf_map_lookup_elem(&starts, &tid);

	if (!start)
		return 0;
	slot = bucket(bpf_ktime_get_ns() - *start);
	add_one(&buckets, &slot);
	bpf_map_delete_elem(&starts, &tid);
	return 0;
}
