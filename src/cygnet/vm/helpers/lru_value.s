; The end of a lookup in an LRU hash: r1 = map, r0 = entry; r0 = address of the value. The entry was used.
	r3 = 1
	*(u64 *)(r0 -8) = r3
	r3 = *(u64 *)(r1 +152)      ; value_at
	r0 += r3
	exit
