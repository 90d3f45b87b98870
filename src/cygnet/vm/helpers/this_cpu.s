; r2 = where the address of a per-CPU hash's values is: r2 becomes the place of this CPU's.
	r2 = *(u64 *)(r2 +0)
	r4 = *(u64 *)(r1 +24)       ; where the CPU's number is
	r4 = *(u64 *)(r4 +0)
	r5 = *(u64 *)(r1 +80)       ; bytes of one CPU
	r4 *= r5
	r2 += r4
