; An entry of a per-CPU hash that is new: it gets the values of its place, or they are made zero again.
full:
	r0 = -7                     ; E2BIG
	exit
prepare:
	r3 = r0
	r4 = *(u64 *)(r1 +120)      ; first
	r3 -= r4
	r4 = *(u64 *)(r1 +72)       ; stride
	r3 /= r4
	r4 = *(u64 *)(r1 +184)      ; bytes of all CPUs' values
	r3 *= r4
	r4 = *(u64 *)(r1 +176)      ; values
	r3 += r4
	r4 = *(u64 *)(r1 +152)      ; value_at
	r4 += r0
	*(u64 *)(r4 +0) = r3
claimed:
	r4 = *(u64 *)(r1 +152)      ; value_at
	r4 += r0
	r4 = *(u64 *)(r4 +0)
	r5 = *(u64 *)(r1 +184)
	r3 = 0
zero:
	*(u64 *)(r4 +0) = r3
	r4 += 8
	r5 -= 8
	if r5 != 0 goto zero
	*(u64 *)(r0 +0) = r3
	*(u64 *)(r6 +0) = r0
	r3 = *(u64 *)(r1 +144)      ; count
	r3 += 1
	*(u64 *)(r1 +144) = r3
