; The end of an update: the value at r3 goes to r2. r1 = map; r0 = 0.
	r0 = *(u32 *)(r1 +12)       ; value_size
value_word:
	if r0 < 8 goto value_half
	r5 = *(u64 *)(r3 +0)
	*(u64 *)(r2 +0) = r5
	r3 += 8
	r2 += 8
	r0 -= 8
	goto value_word
value_half:
	if r0 < 4 goto value_byte
	r5 = *(u32 *)(r3 +0)
	*(u32 *)(r2 +0) = r5
	r3 += 4
	r2 += 4
	r0 -= 4
value_byte:
	if r0 == 0 goto value_end
	r5 = *(u8 *)(r3 +0)
	*(u8 *)(r2 +0) = r5
	r3 += 1
	r2 += 1
	r0 -= 1
	goto value_byte
value_end:
	exit
