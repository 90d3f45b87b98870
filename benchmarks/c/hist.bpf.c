#include "common.h"

MAP(buckets, BPF_MAP_TYPE_PERCPU_ARRAY, u32, u64, 65);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_enter(struct enter *ctx)
{
	u32 slot = bucket(ctx->args[0]);

	add_one(&buckets, &slot);
	return 0;
}
