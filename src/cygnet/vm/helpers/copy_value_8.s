; The end of an update of a value of 8 bytes: as copy_value.
	r5 = *(u64 *)(r3 +0)
	*(u64 *)(r2 +0) = r5
	r0 = 0
	exit
