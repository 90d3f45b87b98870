; A full LRU hash: the hand goes around to an entry that was not used since it last came by, and takes it out. Then the key
; is sought again, because the end of its chain may have been that entry.
full:
	r0 = *(u64 *)(r1 +128)      ; hand
	r4 = *(u64 *)(r1 +72)       ; stride
	r5 = *(u64 *)(r1 +112)      ; end
ask:
	r3 = *(u64 *)(r0 -8)        ; used?
	if r3 == 0 goto evict
	r3 = 0
	*(u64 *)(r0 -8) = r3
	r0 += r4
	if r0 != r5 goto ask
	r0 = *(u64 *)(r1 +120)      ; first
	goto ask
evict:
	r3 = r0
	r3 += r4
	if r3 != r5 goto hand
	r3 = *(u64 *)(r1 +120)      ; first
hand:
	*(u64 *)(r1 +128) = r3
	r2 = r0                     ; the hash of its key, which is padded with zeros
	r3 = *(u32 *)(r1 +8)        ; key_size
	r3 += 7
	r3 &= -8
	r6 = 0
	r5 = 0x9e3779b97f4a7c15 ll
evict_word:
	r4 = *(u64 *)(r2 +8)
	r6 ^= r4
	r6 *= r5
	r4 = r6
	r4 >>= 32
	r6 ^= r4
	r2 += 8
	r3 -= 8
	if r3 != 0 goto evict_word
	r4 = *(u64 *)(r1 +88)       ; shift
	r6 >>= r4
	r6 <<= 3
	r4 = *(u64 *)(r1 +64)       ; buckets
	r6 += r4
evict_walk:
	r3 = *(u64 *)(r6 +0)
	if r3 == r0 goto unlink
	r6 = r3
	goto evict_walk
unlink:
	r3 = *(u64 *)(r0 +0)
	*(u64 *)(r6 +0) = r3
	r3 = *(u64 *)(r1 +96)       ; free
	*(u64 *)(r0 +0) = r3
	r0 |= 1                     ; not in use
	*(u64 *)(r1 +96) = r0
	r3 = *(u64 *)(r1 +144)      ; count
	r3 -= 1
	*(u64 *)(r1 +144) = r3
	goto seek
prepare:
claimed:
	r3 = 0
	*(u64 *)(r0 -8) = r3        ; not used yet
	*(u64 *)(r0 +0) = r3
	*(u64 *)(r6 +0) = r0
	r3 = *(u64 *)(r1 +144)      ; count
	r3 += 1
	*(u64 *)(r1 +144) = r3
