; The entry of a key of any size in a hash: r1 = map, r2 = key; goes on with the entry in r0, or exits with 0.
	r0 = 0
	r3 = *(u32 *)(r1 +8)        ; key_size
	r5 = 0x9e3779b97f4a7c15 ll
hash_word:
	if r3 < 8 goto hash_tail
	r4 = *(u64 *)(r2 +0)
	r0 ^= r4
	r0 *= r5
	r4 = r0
	r4 >>= 32
	r0 ^= r4
	r2 += 8
	r3 -= 8
	goto hash_word
hash_tail:
	if r3 == 0 goto hashed
	if r3 == 4 goto hash_half
	r4 = 0
hash_byte:                          ; the last bytes as a word, from the end
	r3 -= 1
	r4 <<= 8
	r5 = r2
	r5 += r3
	r5 = *(u8 *)(r5 +0)
	r4 |= r5
	if r3 != 0 goto hash_byte
	goto hash_last
hash_half:
	r4 = *(u32 *)(r2 +0)
hash_last:
	r0 ^= r4
	r5 = 0x9e3779b97f4a7c15 ll
	r0 *= r5
hashed:
	r4 = *(u64 *)(r1 +88)       ; shift
	r0 >>= r4
	r0 <<= 3
	r4 = *(u64 *)(r1 +64)       ; buckets
	r0 += r4
	r3 = *(u32 *)(r1 +8)
	r3 &= -8
	r2 -= r3                    ; the key's begin again
walk:
	r0 = *(u64 *)(r0 +0)
	if r0 == 0 goto none
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
	if r3 == 0 goto found
	r3 -= 8
	r4 = r2
	r4 += r3
	r4 = *(u64 *)(r4 +0)
	r5 = r0
	r5 += r3
	r5 = *(u64 *)(r5 +8)
	if r4 != r5 goto walk
	goto same_word
none:
	exit
found:
