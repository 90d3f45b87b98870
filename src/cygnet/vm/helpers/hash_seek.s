; The beginning of an update or deletion: r1 = map, r2 = key, r3 = value, r4 = flags.
; Goes on with the entry in r0, or 0, and in r6 the address of the word that leads to it, or would.
; Then r7 = key, r8 = value, r9 = flags, and r1 is still the map.
	r7 = r2
	r8 = r3
	r9 = r4
seek:
	r2 = r7
	r3 = *(u32 *)(r1 +8)        ; key_size
	r0 = 0
	r5 = 0x9e3779b97f4a7c15 ll
seek_word:
	if r3 < 8 goto seek_tail
	r4 = *(u64 *)(r2 +0)
	r0 ^= r4
	r0 *= r5
	r4 = r0
	r4 >>= 32
	r0 ^= r4
	r2 += 8
	r3 -= 8
	goto seek_word
seek_tail:
	if r3 == 0 goto sought
	if r3 == 4 goto seek_half
	r4 = 0
seek_byte:                          ; the last bytes as a word, from the end
	r3 -= 1
	r4 <<= 8
	r5 = r2
	r5 += r3
	r5 = *(u8 *)(r5 +0)
	r4 |= r5
	if r3 != 0 goto seek_byte
	goto seek_last
seek_half:
	r4 = *(u32 *)(r2 +0)
seek_last:
	r0 ^= r4
	r5 = 0x9e3779b97f4a7c15 ll
	r0 *= r5
sought:
	r4 = *(u64 *)(r1 +88)       ; shift
	r0 >>= r4
	r0 <<= 3
	r4 = *(u64 *)(r1 +64)       ; buckets
	r0 += r4
	r2 = r7
walk:
	r6 = r0
	r0 = *(u64 *)(r0 +0)
	if r0 == 0 goto seek_end
	r3 = *(u32 *)(r1 +8)
same_byte:                          ; from the end: bytes, then half a word, then words
	if r3 & 3 goto same_one
	goto same_half
same_one:
	r3 -= 1
	r4 = r2
	r4 += r3
	r4 = *(u8 *)(r4 +0)
	r5 = r0
	r5 += r3
	r5 = *(u8 *)(r5 +8)
	if r4 != r5 goto walk
	goto same_byte
same_half:
	if r3 & 4 goto same_two
	goto same_word
same_two:
	r3 -= 4
	r4 = r2
	r4 += r3
	r4 = *(u32 *)(r4 +0)
	r5 = r0
	r5 += r3
	r5 = *(u32 *)(r5 +8)
	if r4 != r5 goto walk
same_word:
	if r3 == 0 goto seek_end
	r3 -= 8
	r4 = r2
	r4 += r3
	r4 = *(u64 *)(r4 +0)
	r5 = r0
	r5 += r3
	r5 = *(u64 *)(r5 +8)
	if r4 != r5 goto walk
	goto same_word
seek_end:
