#include "common.h"

struct key {
	char comm[16];
};

MAP(counts, BPF_MAP_TYPE_PERCPU_HASH, struct key, u64, 4096);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_enter(void *ctx)
{
	struct key key;

	bpf_get_current_comm(&key, sizeof(key));
	add_one(&counts, &key);
	return 0;
}
