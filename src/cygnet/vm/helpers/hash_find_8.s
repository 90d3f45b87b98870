; The entry of an 8-byte key in a hash: r1 = map, r2 = key; goes on with the entry in r0, or exits with 0.
	r5 = *(u64 *)(r2 +0)
	r0 = 0x9e3779b97f4a7c15 ll
	r0 *= r5
	r4 = *(u64 *)(r1 +88)       ; shift
	r0 >>= r4
	r0 <<= 3
	r4 = *(u64 *)(r1 +64)       ; buckets
	r0 += r4
walk:
	r0 = *(u64 *)(r0 +0)
	if r0 == 0 goto none
	r4 = *(u64 *)(r0 +8)
	if r4 != r5 goto walk
	goto found
none:
	exit
found:
