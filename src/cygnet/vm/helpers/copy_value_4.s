; The end of an update of a value of 4 bytes: as copy_value.
	r5 = *(u32 *)(r3 +0)
	*(u32 *)(r2 +0) = r5
	r0 = 0
	exit
