#include "common.h"

struct key {
	char path[64];
};

MAP(counts, BPF_MAP_TYPE_PERCPU_HASH, struct key, u64, 4096);

SEC("tracepoint/syscalls/sys_enter_rmdir")
int on_enter(struct enter *ctx)
{
	struct key key = {};

	bpf_probe_read_user_str(&key, sizeof(key), (void *)ctx->args[0]);
	add_one(&counts, &key);
	return 0;
}
