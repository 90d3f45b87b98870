; r0 = entry, r7 = key of 8 bytes: as copy_key.
copy_key:
	r3 = *(u64 *)(r7 +0)
	*(u64 *)(r0 +8) = r3
	r2 = *(u64 *)(r1 +152)      ; value_at
	r2 += r0
	r3 = r8
