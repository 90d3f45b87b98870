#include "common.h"

struct pair {
	long long a, b;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_enter(struct enter *ctx)
{
	struct pair *pair = bpf_ringbuf_reserve(&events, sizeof(*pair), 0);

	if (!pair)
		return 0;
	pair->a = ctx->args[0];
	pair->b = (u32)bpf_get_current_pid_tgid();
	bpf_ringbuf_submit(pair, 0);
	return 0;
}
