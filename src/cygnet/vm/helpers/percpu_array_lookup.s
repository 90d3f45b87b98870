; bpf_map_lookup_elem of a per-CPU array: r1 = map, r2 = key; r0 = address of this CPU's value, or 0.
	r0 = *(u32 *)(r2 +0)
	r3 = *(u32 *)(r1 +16)       ; max_entries
	if r0 >= r3 goto none
	r3 = *(u64 *)(r1 +72)       ; stride
	r0 *= r3
	r3 = *(u64 *)(r1 +64)       ; data
	r0 += r3
	r4 = *(u64 *)(r1 +24)       ; where the CPU's number is
	r4 = *(u64 *)(r4 +0)
	r3 = *(u64 *)(r1 +80)       ; bytes of one CPU
	r4 *= r3
	r0 += r4
	exit
none:
	r0 = 0
	exit
