#include "common.h"

struct key {
	char path[1024];
};

MAP(counts, BPF_MAP_TYPE_PERCPU_HASH, struct key, u64, 4096);
MAP(scratch, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct key, 1);

SEC("tracepoint/syscalls/sys_enter_rmdir")
int on_enter(struct enter *ctx)
{
	u32 zero = 0;
	struct key *key = bpf_map_lookup_elem(&scratch, &zero);

	if (!key)
		return 0;
	__builtin_memset(key, 0, sizeof(*key));
	bpf_probe_read_user_str(key, sizeof(*key), (void *)ctx->args[0]);
	add_one(&counts, key);
	return 0;
}
