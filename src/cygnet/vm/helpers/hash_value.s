; The end of a lookup: r1 = map, r0 = entry; r0 = address of the value.
	r3 = *(u64 *)(r1 +152)      ; value_at
	r0 += r3
	exit
