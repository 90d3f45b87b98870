; Nothing to do for an entry of a shared hash that is new, and no way out of a full one.
full:
	r0 = -7                     ; E2BIG
	exit
prepare:
claimed:
	r3 = 0
	*(u64 *)(r0 +0) = r3
	*(u64 *)(r6 +0) = r0
	r3 = *(u64 *)(r1 +144)      ; count
	r3 += 1
	*(u64 *)(r1 +144) = r3
