; r0 = entry, r7 = key: the key goes into the entry, padded with zeros; then r2 is where the value goes, r3 the value.
copy_key:
	r2 = r7
	r3 = *(u32 *)(r1 +8)        ; key_size
	r4 = r0
key_word:
	if r3 < 8 goto key_tail
	r5 = *(u64 *)(r2 +0)
	*(u64 *)(r4 +8) = r5
	r2 += 8
	r4 += 8
	r3 -= 8
	goto key_word
key_tail:
	if r3 == 0 goto key_end
	r5 = 0
	*(u64 *)(r4 +8) = r5
	if r3 < 4 goto key_byte
	r5 = *(u32 *)(r2 +0)
	*(u32 *)(r4 +8) = r5
	r2 += 4
	r4 += 4
	r3 -= 4
key_byte:
	if r3 == 0 goto key_end
	r5 = *(u8 *)(r2 +0)
	*(u8 *)(r4 +8) = r5
	r2 += 1
	r4 += 1
	r3 -= 1
	goto key_byte
key_end:
	r2 = *(u64 *)(r1 +152)      ; value_at
	r2 += r0
	r3 = r8
