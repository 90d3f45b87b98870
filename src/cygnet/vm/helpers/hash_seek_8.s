; The beginning of an update or deletion, for 8-byte keys: as hash_seek, which says what is in which register.
	r7 = r2
	r8 = r3
	r9 = r4
seek:
	r5 = *(u64 *)(r7 +0)
	r0 = 0x9e3779b97f4a7c15 ll
	r0 *= r5
	r4 = *(u64 *)(r1 +88)       ; shift
	r0 >>= r4
	r0 <<= 3
	r4 = *(u64 *)(r1 +64)       ; buckets
	r0 += r4
walk:
	r6 = r0
	r0 = *(u64 *)(r0 +0)
	if r0 == 0 goto seek_end
	r4 = *(u64 *)(r0 +8)
	if r4 != r5 goto walk
seek_end:
