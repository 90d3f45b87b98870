#include "common.h"

struct frames {
	u64 ip[127];
};

MAP(counts, BPF_MAP_TYPE_PERCPU_HASH, u32, u64, 4096);
MAP(stacks, BPF_MAP_TYPE_STACK_TRACE, u32, struct frames, 4096);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_enter(void *ctx)
{
	u32 id = bpf_get_stackid(ctx, &stacks, 0);

	add_one(&counts, &id);
	return 0;
}
