#include "common.h"

MAP(counts, BPF_MAP_TYPE_PERCPU_ARRAY, u32, u64, 1);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_enter(void *ctx)
{
	u32 zero = 0;

	add_one(&counts, &zero);
	return 0;
}
