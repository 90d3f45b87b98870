; The end of a lookup in a per-CPU hash: r1 = map, r0 = entry; r0 = address of this CPU's value.
	r3 = *(u64 *)(r1 +152)      ; value_at
	r0 += r3
	r0 = *(u64 *)(r0 +0)        ; the values of all CPUs
	r4 = *(u64 *)(r1 +24)       ; where the CPU's number is
	r4 = *(u64 *)(r4 +0)
	r3 = *(u64 *)(r1 +80)       ; bytes of one CPU
	r4 *= r3
	r0 += r4
	exit
