// What the programs share. No kernel header: the two layouts that they need are written here.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef __u64 u64;
typedef __u32 u32;

// syscalls:sys_enter_*: eight bytes common to all tracepoints, the call's number, its arguments.
struct enter {
	u64 common;
	long number;
	u64 args[6];
};

#define MAP(name, kind, key_type, value_type, size) \
	struct {                                    \
		__uint(type, kind);                 \
		__uint(max_entries, size);          \
		__type(key, key_type);              \
		__type(value, value_type);          \
	} name SEC(".maps")

// Adds one to a per-processor count; a key that is new starts at one.
static __always_inline void add_one(void *map, const void *key)
{
	u64 one = 1, *count = bpf_map_lookup_elem(map, key);

	if (count)
		++*count;
	else
		bpf_map_update_elem(map, key, &one, BPF_ANY);
}

// The bucket of a power-of-two histogram: 0 for 0, else 1 + floor(log2(n)).
static __always_inline u32 bucket(u64 n)
{
	u32 log = 0;

#pragma unroll
	for (int shift = 32; shift; shift >>= 1)
		if (n >> shift) {
			n >>= shift;
			log += shift;
		}
	return n ? log + 1 : 0;
}

char LICENSE[] SEC("license") = "GPL";
